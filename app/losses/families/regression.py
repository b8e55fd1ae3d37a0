"""Losses of a real-valued prediction. Of arrays (n, *d), every number is an element by itself.

The residual r = prediction − target is rounded once. Where a loss would magnify that rounding (near a threshold, or
where it is nearly quadratic) its exact error is carried along.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.libraries import AT_KINKS, AVERAGES, EACH, equal
from app.losses.encodings import REAL, VALUE
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
from app.losses.numerics.means import MAXIMUM, MEDIAN, QUADRATIC
from app.losses.numerics.pairs import (
    difference,
    two_sum,
)
from app.losses.numerics.residuals import absolute
from app.losses.numerics.stable import Array, recovered, sign
from app.registry import alias


@loss(
    predictions=REAL,
    targets=REAL,
    formula="r²",
    gradient="2r",
    aliases=("mse", "MSE", "MSELoss", "mse_loss", "F.mse_loss", "MeanSquaredError", "squared_error", "l2", "L2", "quadratic"),
    equals=(
        equal("torch.nn.MSELoss(reduction=reduction)(predictions, targets)"),
        equal("keras.losses.MeanSquaredError(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("sklearn.metrics.mean_squared_error(targets, predictions)"),
        equal("optax.losses.squared_error(predictions, targets)", reductions=EACH),
        equal("torchmetrics.functional.mean_squared_error(predictions, targets)"),
        equal("lightgbm.LGBMRegressor(metric='l2')", axes=("n",)),
    ),
    reference="Gauss (1809), Theoria motus; Stigler (1981), doi:10.1214/aos/1176345451",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def mean_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Squared residual: large errors weigh most, and the minimiser is the mean.

    Use when: errors are of one size everywhere and the mean of the target is wanted; it is what least squares minimises.
    Avoid when: a few targets are far off: one error of 10 counts as much as a hundred of 1.
    See also: mean_absolute_error, huber.
    """
    residual = predictions - targets
    values = np.square(residual)
    residual *= 2.0
    return values, residual, lambda: np.full_like(residual, 2.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="½r²",
    gradient="r",
    aliases=("l2_loss", "half_mse", "HalfSquaredError", "reg:squarederror", "lsgan"),
    equals=(
        equal("optax.losses.l2_loss(predictions, targets)", reductions=EACH),
        equal("lightgbm.LGBMRegressor(objective='regression', metric='None')", reductions=EACH, axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function='RMSE')", reductions=EACH, axes=("n",)),
        equal("sklearn._loss.loss.HalfSquaredError()", reductions=EACH, axes=("n",)),
        equal("xgboost.XGBRegressor(objective='reg:squarederror')", reductions=EACH, axes=("n",)),
    ),
    reference="Gauss (1809), Theoria motus; Stigler (1981), doi:10.1214/aos/1176345451",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def half_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Half the squared residual: the gradient is the residual itself, as gradient boosting takes it.

    Use when: a gradient booster or a textbook is to be matched: the gradient is r and the second derivative 1.
    Avoid when: the number is reported as a mean squared error, of which it is half.
    See also: mean_squared_error.
    """
    residual = predictions - targets
    return residual * (residual / 2.0), residual, lambda: np.ones_like(residual)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|r|^ρ",
    gradient="ρ·|r|^(ρ − 1)·sign(r)",
    aliases=("Lq", alias("quartic", power=4.0)),
    equals=(equal("catboost.utils.eval_metric(targets, predictions, f'Lq:q={power}')[0]", axes=("n",)),),
    reference="Nyquist (1983), doi:10.1080/03610928308828618",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def lp_loss(
    predictions: Array,
    targets: Array,
    *,
    power: Annotated[
        float, Ge(1), Le(100), Doc("How fast a residual becomes dearer; 1: the absolute error, 2: the squared error.")
    ] = 2.0,
) -> tuple[Array, Array, Second]:
    """A power of the residual's size, anywhere between and beyond the absolute and the squared error.

    The slope at r = 0 is 0, and so is the second derivative of powers below 2, which has a pole there.

    Use when: squares heed outliers too much and absolute values too little: powers such as 1.5; or large errors are to rule.
    Avoid when: the power is above 2 and targets hold outliers: a single one then rules the fit.
    See also: mean_squared_error, mean_absolute_error, barron, minkowski.
    """
    residual, error = difference(predictions, targets)
    size, side = np.abs(residual), sign(residual)
    # a power magnifies the rounding of what it is taken of
    rest = np.divide(side * error, size, out=np.zeros_like(size), where=(size > 0) & np.isfinite(size))

    def raised(exponent: float) -> Array:
        return np.power(size, exponent) * (1.0 + exponent * rest)

    half = np.abs(predictions / 2.0 - targets / 2.0)
    slope = recovered(power * raised(power - 1.0), lambda: power * 2.0 ** (power - 1.0) * np.power(half, power - 1.0))

    def second() -> Array:
        factor = power * (power - 1.0)
        if factor == 0:
            return np.zeros_like(size)
        bend = np.where(np.isfinite(size), raised(power - 2.0), 2.0 ** (power - 2.0) * np.power(half, power - 2.0))
        return np.where((size > 0) | (power >= 2), factor * bend, 0.0)

    return raised(power), slope * side, second


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|r|",
    gradient="sign(r)",
    aliases=(
        "mae",
        "MAE",
        "L1Loss",
        "l1_loss",
        "F.l1_loss",
        "MeanAbsoluteError",
        "absolute_error",
        "AbsoluteError",
        "l1",
        "L1",
        "reg:absoluteerror",
        "regression_l1",
    ),
    equals=(
        equal("torch.nn.L1Loss(reduction=reduction)(predictions, targets)"),
        equal("keras.losses.MeanAbsoluteError(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("sklearn.metrics.mean_absolute_error(targets, predictions)"),
        equal(
            "sklearn._loss.loss.AbsoluteError()",
            reductions=EACH,
            axes=("n",),
            differs_at=AT_KINKS,
            caveat="The slope at a residual of 0 is −1 there.",
        ),
        equal("torchmetrics.functional.mean_absolute_error(predictions, targets)"),
        equal("xgboost.XGBRegressor(objective='reg:absoluteerror', eval_metric='mae')", axes=("n",)),
        equal(
            "lightgbm.LGBMRegressor(objective='regression_l1')",
            axes=("n",),
            differs_at=("hessian",),
            caveat="LightGBM takes 1 for the second derivative.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'MAE')[0]", axes=("n",)),
        equal("catboost.CatBoostRegressor(loss_function='MAE')", reductions=EACH, axes=("n",), times=2.0),
    ),
    reference="Laplace (1774), translated by Stigler (1986), doi:10.1214/ss/1177013621",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def mean_absolute_error(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Absolute residual: every error pulls with the same force, and the minimiser is the median.

    The gradient at r = 0 is 0, as in PyTorch and Keras; JAX gives 1 there and scikit-learn −1.

    Use when: targets hold outliers, or the median is wanted, or people shall read the error in the unit of the target.
    Avoid when: training must settle with a constant learning rate: the slope near the target is as steep as far from it.
    See also: huber, quantile, median_absolute_error.
    """
    return absolute(predictions, targets)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="√(mean r²)",
    gradient="r/(n·ℓ)",
    aliases=("rmse", "RMSE", "RootMeanSquaredError"),
    equals=(
        equal("keras.metrics.RootMeanSquaredError()(targets, predictions)"),
        equal("sklearn.metrics.root_mean_squared_error(targets, predictions)", multioutput="uniform_average"),
        equal(
            "torchmetrics.functional.mean_squared_error(predictions, targets, squared=False)",
            differs_at=("gradient at exact", "gradient at zeros"),
            caveat="Where all residuals are 0 PyTorch's gradient is NaN.",
        ),
        equal("xgboost.XGBRegressor(eval_metric='rmse')", axes=("n",)),
        equal("lightgbm.LGBMRegressor(metric='rmse')", axes=("n",)),
        equal("catboost.utils.eval_metric(targets, predictions, 'RMSE')[0]", axes=("n",)),
    ),
    reference="Chai and Draxler (2014), doi:10.5194/gmd-7-1247-2014",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=QUADRATIC,
)
def root_mean_squared_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Root of the mean squared residual, in the unit of the target; per_sample is each sample's own.

    Of several columns it is one root over all numbers; `multioutput` takes the mean of the columns' roots, as scikit-learn.

    Use when: one figure in the unit of the target is reported, and large errors should weigh more than in proportion.
    Avoid when: batches are averaged: the mean of roots is not the root of the mean; or outliers would rule the figure.
    See also: mean_squared_error, mean_absolute_error.
    """
    return absolute(predictions, targets)[:2]


@loss(
    predictions=VALUE,
    targets=VALUE,
    formula="median |r|",
    gradient="sign(r) if |r| = ℓ, else 0",
    aliases=("medae", "MedAE", "MedianAbsoluteError"),
    equals=(
        equal("sklearn.metrics.median_absolute_error(targets, predictions)", axes=("n",)),
        equal("catboost.utils.eval_metric(targets, predictions, 'MedianAbsoluteError')[0]", axes=("n",)),
    ),
    reference="Hyndman and Koehler (2006), doi:10.1016/j.ijforecast.2006.03.001",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=MEDIAN,
)
def median_absolute_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """The residual in the middle: half of the samples may be arbitrarily wrong without moving it.

    Of an even number of samples it is the mean of the middle two, which share the gradient.

    Use when: a model is judged on data of which up to half may be arbitrarily wrong, and its typical error is asked for.
    Avoid when: a model is trained: only the one or two samples in the middle have a gradient; or rare large errors matter.
    See also: mean_absolute_error, max_error.
    """
    return absolute(predictions, targets)[:2]


@loss(
    predictions=VALUE,
    targets=VALUE,
    formula="max |r|",
    gradient="sign(r) if |r| = ℓ, else 0",
    aliases=("linf", "l_inf", "maximum_residual", "max_residual"),
    equals=(equal("sklearn.metrics.max_error(targets, predictions)", axes=("n",)),),
    reference="Boyd and Vandenberghe (2004), Convex Optimization, section 6.1, doi:10.1017/CBO9780511804441",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    mean=MAXIMUM,
)
def max_error(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """The largest residual: only the worst sample counts, the first of those where several tie.

    Use when: a bound has to hold for every sample, as of tolerances, safety and approximations.
    Avoid when: targets are noisy: the single worst sample is all that counts, and more data make the value larger.
    See also: mean_absolute_error.
    """
    return absolute(predictions, targets)[:2]


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|r| if |r| ≤ c, else (r² + c²)/(2c)",
    gradient="sign(r) if |r| ≤ c, else r/c",
    aliases=("reverse_huber", "adaptive_huber"),
    reference="Owen (2007), A robust hybrid of lasso and ridge regression; Laina et al. (2016), arXiv:1606.00373",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def berhu(
    predictions: Array,
    targets: Array,
    *,
    c: Annotated[float, Ge(1e-100), Le(1e100), Doc("Residual at which the loss turns from linear to quadratic.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Huber's loss turned round: linear near the target, quadratic beyond c. The slope at r = 0 is 0.

    Papers on depth take a fifth of the batch's largest residual for c; here it is a number, so that samples stay independent.

    Use when: small errors are to count as well as large ones, as in maps of depth, where most are small.
    Avoid when: targets hold outliers: they pull with their square.
    See also: huber, mean_absolute_error.
    """
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    far = (size > c) | ((size == c) & (np.sign(residual) * error > 0))
    beyond = recovered(
        np.maximum(size, c) * (size / c / 2.0) + c / 2.0,
        lambda: np.abs(predictions / 2.0 - targets / 2.0) * (size / c) + c / 2.0,
    )
    slope = np.where(far, recovered(residual / c, lambda: 2.0 * ((predictions / 2.0 - targets / 2.0) / c)), sign(residual))
    return np.where(far, beyond, size), slope, lambda: np.where(far, 1.0 / c, 0.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="max(0, |r| − ε)",
    gradient="sign(r) if |r| > ε, else 0",
    aliases=("EpsilonInsensitive", "epsilon_insensitive_loss", "svr"),
    equals=(
        equal("sklearn.linear_model.SGDRegressor(loss='epsilon_insensitive', epsilon=epsilon)", reductions=EACH, axes=("n",)),
        equal("sklearn.svm.LinearSVR(loss='epsilon_insensitive', epsilon=epsilon)", axes=("n",)),
    ),
    reference="Vapnik (1995), doi:10.1007/978-1-4757-2440-0",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def epsilon_insensitive(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[float, Ge(0), Doc("Residual up to which a prediction costs nothing.")] = 0.1,
) -> tuple[Array, Array, Second]:
    """Absolute residual beyond a tube: predictions within ε of the target are left alone, at its edge too.

    Use when: errors within a known tolerance are as good as none, as in support vector regression.
    Avoid when: the tolerance is a guess: predictions within it are never improved.
    See also: squared_epsilon_insensitive, mean_absolute_error.
    """
    excess, side = _beyond(predictions, targets, epsilon)
    return excess, side * (excess > 0), lambda: np.zeros_like(side)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="max(0, |r| − ε)²",
    gradient="2 max(0, |r| − ε)·sign(r)",
    aliases=("SquaredEpsilonInsensitive", "squared_epsilon_insensitive_loss"),
    equals=(
        equal(
            "sklearn.linear_model.SGDRegressor(loss='squared_epsilon_insensitive', epsilon=epsilon)",
            reductions=EACH,
            axes=("n",),
        ),
        equal("sklearn.svm.LinearSVR(loss='squared_epsilon_insensitive', epsilon=epsilon)", axes=("n",)),
    ),
    reference="Vapnik (1995), doi:10.1007/978-1-4757-2440-0",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def squared_epsilon_insensitive(
    predictions: Array,
    targets: Array,
    *,
    epsilon: Annotated[float, Ge(0), Doc("Residual up to which a prediction costs nothing.")] = 0.1,
) -> tuple[Array, Array, Second]:
    """Squared residual beyond a tube: predictions within ε of the target are left alone, the others pull in proportion.

    Use when: errors within a known tolerance are as good as none and the slope should set in gently beyond it.
    Avoid when: targets hold outliers: beyond the tolerance they weigh as in the squared error.
    See also: mean_squared_error.
    """
    excess, side = _beyond(predictions, targets, epsilon)
    return excess * excess, 2.0 * (side * excess), lambda: np.where(excess > 0, 2.0, 0.0)


def _beyond(predictions: Array, targets: Array, epsilon: float) -> tuple[Array, Array]:
    """max(0, |r| − ε) rounded once, so that the edge of the tube is where it exactly is, and the sign of r."""
    residual, error = difference(predictions, targets)
    side = np.sign(residual)
    excess, low = two_sum(np.abs(residual), -epsilon)
    excess = recovered(excess + (low + side * error), lambda: 2.0 * (np.abs(predictions / 2.0 - targets / 2.0) - epsilon / 2.0))
    return np.maximum(excess, 0.0), side
