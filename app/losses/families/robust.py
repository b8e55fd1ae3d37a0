"""Losses of a regression with outliers: a residual pulls with bounded force, however far it is.

Of arrays (n, *d), every number is an element by itself. Neither the residual r nor its ratio to the scale at which it
counts as far needs to be finite where the loss is.
"""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.libraries import AVERAGES, EACH, equal
from app.losses.encodings import REAL
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.pairs import (
    difference,
)
from app.losses.numerics.residuals import Scale, absolute, one_less, scaled, seamed, squared, within
from app.losses.numerics.stable import LOG_2, Array, log_tail, recovered, sign


@loss(
    predictions=REAL,
    targets=REAL,
    formula="ln cosh r",
    gradient="tanh r",
    aliases=("logcosh", "LogCosh", "log_cosh_error", "LogCoshError"),
    equals=(
        equal("keras.losses.LogCosh(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("optax.losses.log_cosh(predictions, targets)", reductions=EACH),
        equal(
            "torchmetrics.functional.log_cosh_error(predictions, targets)",
            axes=("n",),
            differs_at=("saturated",),
            caveat="The cosh of torchmetrics overflows from residuals of 711.",
        ),
        equal(
            "catboost.utils.eval_metric(targets, predictions, 'LogCosh')[0]",
            axes=("n",),
            differs_at=("random",),
            caveat="CatBoost's logarithm has four digits.",
        ),
        equal("catboost.CatBoostRegressor(loss_function='LogCosh')", reductions=EACH, axes=("n",)),
    ),
    reference="Saleh and Saleh (2022), arXiv:2208.04564",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def log_cosh(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Quadratic near the target and linear far from it, with no seam between: the smooth relative of Huber's loss.

    Use when: outliers should be bounded and the loss still smooth in all derivatives, as second-order methods and boosting want
    it.
    Avoid when: residuals are not of the order of 1: there is no threshold to set, so that small units make it a plain squared
    error.
    See also: huber, mean_squared_error.
    """
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    near = np.minimum(size, 18.0)
    less, decay = np.expm1(-near), np.exp(-near)
    # cosh r − 1 = expm1(−r)² / (2e⁻ʳ) has no cancellation for small r; beyond 18, ln cosh r is |r| − ln 2 to the last digit
    values = np.where(size < 18.0, np.log1p(less * (less / (2.0 * decay))), (size - LOG_2) + np.exp(-2.0 * size))
    slope = np.tanh(residual)

    def second() -> Array:  # 1 − tanh²
        decay = np.exp(-2.0 * size)
        return 4.0 * decay / np.square(1.0 + decay) * (1.0 - 2.0 * slope * error)

    return values + slope * error, slope, second


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r² if |r| ≤ δ, else δ(|r| − ½δ)",
    gradient="r if |r| ≤ δ, else δ·sign(r)",
    aliases=("HuberLoss", "huber_loss", "F.huber_loss", "Huber"),
    equals=(
        equal("torch.nn.HuberLoss(delta=delta, reduction=reduction)(predictions, targets)"),
        equal("keras.losses.Huber(delta=delta, reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("optax.losses.huber_loss(predictions, targets, delta=delta)", reductions=EACH),
        equal("sklearn.linear_model.SGDRegressor(loss='huber', epsilon=delta)", reductions=EACH, axes=("n",)),
        equal("sklearn._loss.loss.HuberLoss(delta=delta)", reductions=EACH, axes=("n",)),
        equal(
            "lightgbm.LGBMRegressor(objective='huber', alpha=delta)",
            axes=("n",),
            differs_at=("hessian",),
            caveat="LightGBM takes 1 for the second derivative.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, f'Huber:delta={delta}')[0]", axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function=f'Huber:delta={delta}')", reductions=EACH, axes=("n",)),
    ),
    reference="Huber (1964), doi:10.1214/aoms/1177703732",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def huber(
    predictions: Array,
    targets: Array,
    *,
    delta: Annotated[float, Gt(0), Doc("Residual at which the loss turns from quadratic to linear.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Quadratic near the target, linear beyond it: outliers pull with bounded force.

    Use when: most errors are ordinary and a few targets are far off: delta is the residual from which one counts as far off.
    Avoid when: nobody can say what a large residual is: with delta too small it is the median that is fitted, too large the
    mean.
    See also: smooth_l1, quantile.
    """
    residual = predictions - targets
    gradient = residual.clip(-delta, delta)
    values = seamed(predictions, targets, residual, gradient, gradient)
    return values, gradient, lambda: np.where(within(predictions, targets, delta), 1.0, 0.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r²/β if |r| < β, else |r| − ½β",
    gradient="r/β if |r| < β, else sign(r)",
    aliases=("SmoothL1Loss", "smooth_l1_loss", "F.smooth_l1_loss", "SmoothL1"),
    equals=(
        equal("torch.nn.SmoothL1Loss(beta=beta, reduction=reduction)(predictions, targets)"),
        equal("torch.nn.HuberLoss(delta=beta, reduction=reduction)(predictions, targets) / beta"),
    ),
    reference="Girshick (2015), doi:10.1109/ICCV.2015.169",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def smooth_l1(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[
        float, Ge(0), Doc("Residual at which the loss turns from quadratic to linear; 0 makes it the absolute error.")
    ] = 1.0,
) -> tuple[Array, Array, Second]:
    """Absolute error with its corner rounded off: Huber's loss divided by its threshold, so that the far slope is always 1.

    Use when: coordinates such as those of boxes are regressed and no target should pull with more than 1, whatever beta is.
    Avoid when: beta is tuned against a fixed learning rate: smaller betas make the slope near the target steeper; huber's stays
    1.
    See also: mean_absolute_error, giou.
    """
    if beta == 0:
        return absolute(predictions, targets)
    residual = predictions - targets
    near = residual.clip(-beta, beta)
    gradient = near / beta
    values = seamed(predictions, targets, residual, near, gradient)
    return values, gradient, lambda: np.where(within(predictions, targets, beta), 1.0 / beta, 0.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="√((r/c)² + 1) − 1",
    gradient="(r/c²)/√((r/c)² + 1)",
    aliases=("charbonnier_loss",),
    equals=(equal("kornia.losses.charbonnier_loss(predictions, targets, reduction='none')", reductions=EACH, axes=("n",)),),
    reference="Charbonnier et al. (1997), doi:10.1109/83.551699; Barron (2019), arXiv:1701.03077",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def charbonnier(predictions: Array, targets: Array, *, c: Scale = 1.0) -> tuple[Array, Array, Second]:
    """Quadratic near the target and linear far from it, without a seam, in units of the scale.

    Use when: images are compared, or outliers bounded, and the loss is to be convex and smooth.
    Avoid when: the value should be in units of the target: it counts scales. pseudo_huber keeps them.
    See also: pseudo_huber, huber, log_cosh.
    """
    residual = predictions - targets
    bent, slope = _hyperbola(residual, c)
    size = np.abs(residual)
    values = recovered(size / c * bent, lambda: 2.0 * (np.abs(predictions / 2.0 - targets / 2.0) / c * bent))
    return values, slope / c / c, lambda: _bend(predictions, targets, c) / c / c


@loss(
    predictions=REAL,
    targets=REAL,
    formula="δ²(√((r/δ)² + 1) − 1)",
    gradient="r/√((r/δ)² + 1)",
    aliases=("reg:pseudohubererror", "mphe"),
    equals=(equal("xgboost.XGBRegressor(objective='reg:pseudohubererror', huber_slope=delta)", reductions=EACH, axes=("n",)),),
    reference="Hartley and Zisserman (2003), appendix 6.8; Charbonnier et al. (1997), doi:10.1109/83.551699",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def pseudo_huber(
    predictions: Array,
    targets: Array,
    *,
    delta: Annotated[
        float, Ge(1e-100), Le(1e100), Doc("Residual at which the loss turns from quadratic to linear: its slope far off.")
    ] = 1.0,
) -> tuple[Array, Array, Second]:
    """Huber's loss without its seam: half the square near the target, a line of slope delta far from it.

    Use when: outliers are to pull with bounded force and what follows needs all derivatives, as second-order boosting does.
    Avoid when: a few outliers are gross and many: each still pulls with slope delta.
    See also: huber, charbonnier, log_cosh.
    """
    residual = predictions - targets
    bent, slope = _hyperbola(residual, delta)
    values = recovered(
        np.abs(residual) * (delta * bent), lambda: 2.0 * (np.abs(predictions / 2.0 - targets / 2.0) * (delta * bent))
    )
    return values, slope, lambda: _bend(predictions, targets, delta)


def _hyperbola(residual: Array, scale: float) -> tuple[Array, Array]:
    """Of c²(√(z² + 1) − 1), z = r/c: what it is of c·|r|, and its slope, however large r is."""
    ratio = residual / scale
    size = np.abs(ratio)
    root = np.hypot(ratio, 1.0)
    inverse = 1.0 / np.maximum(size, 1.0)  # beyond 1, where neither z nor √(z² + 1) need be finite
    bent = np.where(size > 1.0, 1.0 / (inverse + np.hypot(inverse, 1.0)), size / (1.0 + root))
    return bent, np.where(size > 1.0, scale * sign(residual) / np.hypot(inverse, 1.0), residual / root)


def _bend(predictions: Array, targets: Array, scale: float) -> Array:
    """The second derivative of that, (z² + 1)^−³⁄₂."""
    square = one_less(squared(scaled(predictions, targets, scale)), -1.0)
    return 1.0 / square / np.sqrt(square)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="c²(|r|/c − ln(1 + |r|/c))",
    gradient="r/(1 + |r|/c)",
    aliases=("FairLoss",),
    equals=(
        equal("lightgbm.LGBMRegressor(objective='fair', fair_c=c)", axes=("n",)),
        equal("catboost.utils.eval_metric(targets, predictions, f'FairLoss:smoothness={c}')[0]", axes=("n",)),
    ),
    reference="Fair (1974), Annals of Economic and Social Measurement; Holland and Welsch (1977), doi:10.1080/03610927708827533",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def fair(predictions: Array, targets: Array, *, c: Scale = 1.0) -> tuple[Array, Array, Second]:
    """Turns slowly from half a square to a line of slope c: the gentlest bend of the convex robust losses.

    Use when: outliers should pull with bounded force and there is no residual at which they begin.
    Avoid when: nearly all residuals are ordinary: it is less efficient there than huber.
    See also: huber, log_cosh, pseudo_huber.
    """
    residual = predictions - targets
    size = np.abs(residual)
    ratio = size / c
    near = np.minimum(ratio, 1.0)
    with np.errstate(over="ignore"):
        far = c * (size - c * np.log1p(ratio))
    values = np.where(ratio < 1.0, np.minimum(size, c) * log_tail(near) * np.minimum(size, c), far)
    if not np.isfinite(values).all():
        half = np.abs(predictions / 2.0 - targets / 2.0)
        log = np.where(np.isfinite(ratio), np.log1p(ratio), np.log(np.maximum(half, 1.0)) + LOG_2 - math.log(c))
        values = np.where(np.isfinite(values), values, 2.0 * (c * (half - c / 2.0 * log)))
    bent = np.minimum(size, c) / (1.0 + near)
    steep = c / (1.0 / np.maximum(ratio, 1.0) + 1.0)
    return values, sign(residual) * np.where(ratio < 1.0, bent, steep), lambda: 1.0 / (1.0 + ratio) / (1.0 + ratio)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="width·ln(1 + |r|/ε) if |r| < width, else |r| − width + width·ln(1 + width/ε)",
    gradient="width/(ε + |r|)·sign(r) if |r| < width, else sign(r)",
    aliases=("wing_loss",),
    equals=(
        equal(
            "segmentation_models_pytorch.losses._functional.wing_loss("
            "predictions, targets, width=width, curvature=epsilon, reduction=reduction)",
            reductions=("mean", "sum"),
        ),
    ),
    reference="Feng et al. (2018), arXiv:1711.06753",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def wing(
    predictions: Array,
    targets: Array,
    *,
    width: Annotated[float, Gt(0), Le(1e100), Doc("Residual up to which small errors are magnified.")] = 5.0,
    epsilon: Annotated[float, Ge(1e-100), Le(1e100), Doc("How sharp the tip is: the slope there is width/epsilon.")] = 0.5,
) -> tuple[Array, Array, Second]:
    """Steepest near the target and linear far from it: small errors count for more than their size.

    The slope at r = 0 is taken as 0, and that at |r| = width as 1.

    Use when: points are located, as in faces, and the last half pixel matters as much as the first ten.
    Avoid when: targets are noisy: the noise near the target is what it magnifies.
    See also: mean_absolute_error, smooth_l1.
    """
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    inside = within(predictions, targets, width)
    near, low = np.minimum(size, width), np.where(inside, np.sign(residual) * error, 0.0)
    beyond = recovered(size - width, lambda: 2.0 * (np.abs(predictions / 2.0 - targets / 2.0) - width / 2.0))
    beyond = beyond + np.sign(residual) * error
    values = width * (np.log1p(near / epsilon) + low / (near + epsilon)) + np.where(inside, 0.0, beyond)
    slope = np.where(inside, width / (epsilon + near), 1.0)
    return values, slope * sign(residual), lambda: np.where(inside & (residual != 0), -slope / (epsilon + near), 0.0)
