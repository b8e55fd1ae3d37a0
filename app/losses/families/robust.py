"""Losses of a residual that far residuals pull at weakly, or not at all. Of arrays (n, *d), every number is an element by itself.

Most are functions of z = r/c, with a scale c at which a residual begins to count as far. Neither r nor z needs to be
finite where the loss is: beyond `FAR` it follows from half the residual, which is.
"""

import math
import sys
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
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
    Pair,
    constant,
    difference,
    log_pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
)
from app.losses.numerics.seams import seamed, within
from app.losses.numerics.stable import LOG_2, Array, exp_tail, log_tail, recovered, sign

FAR = 1e140
"""A ratio r/c from which on 1 + (r/c)² is (r/c)² to the last digit, and whose square is far from the end of the range."""

Scale = Annotated[float, Ge(1e-100), Le(1e100), Doc("Residual from which on a target counts as far.")]

# --- members of one family, and the family itself ----------------------------------------------------------------------


@loss(
    predictions=REAL,
    targets=REAL,
    formula="ln(1 + ½(r/c)²)",
    gradient="(r/c²)/(1 + ½(r/c)²)",
    aliases=("lorentzian", "cauchy_loss"),
    equals=(equal("kornia.losses.cauchy_loss(predictions, targets, reduction='none')", reductions=EACH, axes=("n",)),),
    reference="Black and Anandan (1996), doi:10.1006/cviu.1996.0006; Barron (2019), arXiv:1701.03077",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def cauchy(predictions: Array, targets: Array, *, c: Scale = 1.0) -> tuple[Array, Array, Second]:
    """Grows like a logarithm: a residual of √2·c pulls most, and what is farther pulls less.

    Use when: outliers are many and gross, as mismatched points are, and a start near the solution is at hand.
    Avoid when: the start may be far off: what is far hardly pulls, so that a fit can stay where it began.
    See also: geman_mcclure, welsch, barron.
    """
    exact = ratio, _ = _ratio(predictions, targets, c)
    square = ratio * ratio / 2.0
    values = np.log1p(square)
    gradient = ratio / (1.0 + square) / c
    far = np.abs(ratio) >= FAR
    half = np.where(far, predictions / 2.0 - targets / 2.0, 1.0)
    if far.any():  # there ln(1 + ½(r/c)²) is 2 ln(r/c) − ln 2, and its slope 2/r
        values = np.where(far, 2.0 * (np.log(np.abs(half)) + LOG_2 - math.log(c)) - LOG_2, values)
        gradient = np.where(far, 1.0 / half, gradient)

    def second() -> Array:
        whole = _one_less(_squared(exact), -0.5)
        return np.where(far, -0.5 / half / half, _one_less(_squared(exact), 0.5) / whole / c / whole / c)

    return values, gradient, second


@loss(
    predictions=REAL,
    targets=REAL,
    formula="2(r/c)²/((r/c)² + 4)",
    gradient="16(r/c²)/((r/c)² + 4)²",
    aliases=("geman_mcclure_loss",),
    equals=(equal("kornia.losses.geman_mcclure_loss(predictions, targets, reduction='none')", reductions=EACH, axes=("n",)),),
    reference="Geman and McClure (1987), Bulletin of the ISI 52:5–21; Barron (2019), arXiv:1701.03077",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def geman_mcclure(predictions: Array, targets: Array, *, c: Scale = 1.0) -> tuple[Array, Array, Second]:
    """Costs at most 2: what is far off costs the same however far, and no longer pulls.

    Use when: outliers are to be left out rather than bounded, in registration and reconstruction.
    Avoid when: the start is far off, or every target is to be met: far ones are given up.
    See also: cauchy, welsch, tukey_biweight.
    """
    exact = ratio, _ = _ratio(predictions, targets, c)
    square = ratio * ratio
    share = 4.0 / (square + 4.0)
    gradient = share * ratio / c * share
    far = np.abs(ratio) >= FAR
    if far.any():  # there it is 16c²/r³
        half = np.where(far, predictions / 2.0 - targets / 2.0, 1.0)
        gradient = np.where(far, 2.0 * (c / half) * (c / half) / half, gradient)

    def second() -> Array:  # in an order in which nothing leaves the range before the end
        whole = _one_less(_squared(exact), -0.25)
        return _one_less(_squared(exact), 0.75) / whole / c / whole / c / whole

    return 0.5 * square * share, gradient, second


@loss(
    predictions=REAL,
    targets=REAL,
    formula="1 − exp(−½(r/c)²)",
    gradient="(r/c²) exp(−½(r/c)²)",
    aliases=("leclerc", "correntropy", "welsch_loss"),
    equals=(equal("kornia.losses.welsch_loss(predictions, targets, reduction='none')", reductions=EACH, axes=("n",)),),
    reference="Dennis and Welsch (1978), doi:10.1080/03610917808812083; Barron (2019), arXiv:1701.03077",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def welsch(predictions: Array, targets: Array, *, c: Scale = 1.0) -> tuple[Array, Array, Second]:
    """Costs at most 1, and the pull of a far residual vanishes like the tail of a bell curve.

    Use when: outliers are to have no say at all, and the scale of honest errors is known.
    Avoid when: that scale is a guess: residuals of a few scales are already ignored.
    See also: cauchy, geman_mcclure, tukey_biweight.
    """
    exact = ratio, _ = _ratio(predictions, targets, c)
    square, rest = _squared(exact)
    bell, _ = pair_exp((-square / 2.0, -rest / 2.0))  # whose exponent must not be rounded: it is magnified by its size
    return -np.expm1(-square / 2.0), ratio * bell / c, lambda: _one_less((square, rest), 1.0) * bell / c / c


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
    reference="Charbonnier et al. (1997), doi:10.1109/83.551699; Hartley and Zisserman (2003), appendix 6.8",
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
    square = _one_less(_squared(_ratio(predictions, targets, scale)), -1.0)
    return 1.0 / square / np.sqrt(square)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|α − 2|/α·(((r/c)²/|α − 2| + 1)^(½α) − 1)",
    gradient="(r/c²)((r/c)²/|α − 2| + 1)^(½α − 1)",
    aliases=("general_adaptive", "general_robust"),
    reference="Barron (2019), arXiv:1701.03077",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def barron(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[
        float,
        Ge(-100),
        Le(2),
        Doc("Shape: the lower, the less a far residual pulls. 2: squares, 0: cauchy."),
    ] = 1.0,
    c: Scale = 1.0,
) -> tuple[Array, Array, Second]:
    """One family of robust losses with a shape to set: squares, charbonnier, cauchy, geman_mcclure and all between them.

    Its limits are taken where alpha is 2 (half the square of r/c) and 0 (cauchy); welsch is that for alpha → −∞.

    Use when: nobody knows how robust the loss should be: the shape is searched for, or learned.
    Avoid when: the shape is known: the loss of that name says it, and computes it with fewer steps.
    See also: charbonnier, cauchy, geman_mcclure, welsch.
    """
    if alpha == 0:
        return cauchy(predictions, targets, c=c)
    if alpha == 2:
        ratio = (predictions - targets) / c
        return ratio * ratio / 2.0, ratio / c, lambda: np.full_like(ratio, 1.0) / c / c
    b = pair_add(constant(2.0), constant(-alpha))
    exact = ratio, _ = _ratio(predictions, targets, c)
    share = pair_divide(_squared(exact), b)
    square, _ = whole = pair_add(constant(1.0), share)
    power = pair_multiply(pair_log(whole), constant(alpha / 2.0))
    raised, _ = pair_exp(power)
    growth = np.where(share[0] < 0.5, alpha / 2.0 * np.log1p(share[0]), power[0])
    factor = (2.0 - alpha) / alpha
    values = np.where(np.abs(growth) < 0.5, np.expm1(growth), raised - 1.0) * factor
    values = np.where(share[0] < 1e-20, 0.5 * ratio * ratio, values)  # where a growth that small has lost its digits
    gradient = ratio / square / c * raised
    far = np.abs(ratio) >= FAR
    half = np.where(far, np.abs(predictions / 2.0 - targets / 2.0), 1.0)
    root = half
    if far.any():
        unit = pair_add(log_pair(np.full(1, c / 2.0)), pair_multiply(pair_log(b), constant(0.5)))
        distance = pair_add(log_pair(half), pair_negative(unit))
        root, _ = pair_exp(pair_multiply(distance, constant(alpha / 2.0)))  # whose square is ((r/c)²/b)^½α
        values = np.where(far, (root * root - 1.0) * factor, values)
        gradient = np.where(far, root / half / 2.0 * root * np.sign(ratio) * (2.0 - alpha), gradient)

    def second() -> Array:
        turn, _ = pair_add(constant(1.0), pair_multiply(pair_add(constant(alpha), constant(-1.0)), share))
        bend = turn / square / c / square / c * raised  # in an order in which nothing leaves the range before the end
        return np.where(far, (alpha - 1.0) * (2.0 - alpha) * (root / half / 2.0) * (root / half / 2.0), bend)

    return values, gradient, second


# --- shapes of their own ----------------------------------------------------------------------------------------------


@loss(
    predictions=REAL,
    targets=REAL,
    formula="c²/6·(1 − (1 − (r/c)²)³) if |r| ≤ c, else c²/6",
    gradient="r(1 − (r/c)²)² if |r| ≤ c, else 0",
    aliases=("bisquare", "TukeyBiweight"),
    equals=(equal("statsmodels.robust.norms.TukeyBiweight(c=c).rho(predictions - targets)", reductions=EACH, axes=("n",)),),
    reference="Beaton and Tukey (1974), doi:10.1080/00401706.1974.10489171",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def tukey_biweight(predictions: Array, targets: Array, *, c: Scale = 4.685) -> tuple[Array, Array, Second]:
    """Quadratic near the target, and beyond c a constant: what is farther has no say at all.

    The default is 95 % efficient where residuals are normal with deviation 1.

    Use when: residuals are in units of their spread, and gross errors are to be left out entirely.
    Avoid when: the start is far off: beyond c nothing pulls back.
    See also: geman_mcclure, welsch, huber.
    """
    residual, error = difference(predictions, targets)
    size = np.abs(residual)
    # 1 − z² from the unrounded gap to the threshold: it is all that is left of the slope there
    gap = np.where(size <= c, np.maximum((c - size) - np.sign(residual) * error, 0.0), 0.0)
    size = np.minimum(size, c)
    share = size / c
    inside = gap / c * (1.0 + share)
    values = size * size * (1.0 + inside + inside * inside) / 6.0
    gradient = size * inside * inside * np.sign(residual)
    return values, gradient, lambda: inside * _one_less(_squared(_ratio(predictions, targets, c)), 5.0)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="c²(|r|/c − ln(1 + |r|/c))",
    gradient="r/(1 + |r|/c)",
    aliases=("FairLoss", "FairLoss:smoothness"),
    equals=(equal("lightgbm.LGBMRegressor(objective='fair', fair_c=c)", reductions=EACH, axes=("n",)),),
    reference="Fair (1974), Ann. Econ. Soc. Meas. 3; Holland and Welsch (1977), doi:10.1080/03610927708827533",
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
    formula="exp(a·d) − a·d − 1; d = y − p",
    gradient="−a(exp(a·d) − 1)",
    reference="Varian (1975), A Bayesian approach to real estate assessment; Zellner (1986), doi:10.1080/01621459.1986.10478289",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def linex(
    predictions: Array,
    targets: Array,
    *,
    a: Annotated[
        float, Ge(-1e100), Le(1e100), Doc("Which side costs more, and how steeply: above 0 predictions below the target. Not 0.")
    ] = 1.0,
) -> tuple[Array, Array, Second]:
    """Exponential on one side of the target and linear on the other: errors of one sign are far dearer.

    Use when: to fall short is a disaster and to overshoot a nuisance, as with dams, stocks and doses.
    Avoid when: residuals are many times 1/a: the exponential side overflows.
    See also: expectile, quantile.
    """
    if a == 0:
        raise InvalidParameter([Fault(("parameters", "a"), "out_of_range", "a must not be 0: the loss would be 0 everywhere")])
    residual, error = difference(predictions, targets)
    exponent, low = pair_multiply((residual, error), constant(-a))
    exponent = np.minimum(recovered(exponent, lambda: 2.0 * (a * (targets / 2.0 - predictions / 2.0))), sys.float_info.max)
    decay, growth = np.expm1(exponent), np.exp(exponent)
    # what the exponential magnifies must not be left out, but where it is beyond the range
    low = np.where(np.isfinite(growth) & np.isfinite(low), low, 0.0)
    values = exp_tail(exponent) + np.multiply(decay, low, out=np.zeros_like(low), where=low != 0)
    more = np.multiply(growth, low, out=np.zeros_like(low), where=low != 0)
    return values, -a * (decay + more), lambda: a * (a * (growth + more))


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|q − [r > 0]|·h; h = r²/(2κ) if |r| ≤ κ, else |r| − ½κ",
    gradient="|q − [r > 0]|·g; g = r/κ if |r| ≤ κ, else sign(r)",
    aliases=("qr_dqn", "huber_quantile"),
    reference="Dabney et al. (2018), arXiv:1710.10044; Aravkin et al. (2014), arXiv:1402.4624",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def quantile_huber(
    predictions: Array,
    targets: Array,
    *,
    quantile: Annotated[float, Ge(0), Le(1), Doc("Share of the targets that should lie below the prediction.")] = 0.5,
    kappa: Annotated[float, Ge(1e-100), Le(1e100), Doc("Residual at which the loss turns from quadratic to linear.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """The quantile loss with its corner rounded: quadratic within kappa of the target.

    Use when: quantiles are learned by gradient steps, as in distributional reinforcement learning.
    Avoid when: the quantile itself is wanted: within kappa it leans towards the expectile.
    See also: quantile, expectile, smooth_l1.
    """
    residual = predictions - targets
    weight = np.where(residual > 0, 1.0 - quantile, quantile)
    near = residual.clip(-kappa, kappa)
    gradient = weight * (near / kappa)
    values = seamed(predictions, targets, residual, near, gradient)
    return values, gradient, lambda: np.where(within(predictions, targets, kappa), weight / kappa, 0.0)


def _ratio(predictions: Array, targets: Array, scale: float) -> Pair:
    """r/scale, unrounded, and within ±FAR: beyond, the loss is that of r → ∞, or follows from half the residual."""
    residual, error = difference(predictions, targets)
    whole = recovered(residual / scale, lambda: (predictions / 2.0 - targets / 2.0) / scale * 2.0)
    ratio, low = pair_divide((residual, error), constant(scale))
    usable = np.isfinite(low) & (np.abs(ratio) < FAR) & (np.abs(residual) > 1e-290)  # below, pairs lose digits
    return np.where(usable, ratio, np.clip(whole, -FAR, FAR)), np.where(usable, low, 0.0)


def _squared(ratio: Pair) -> Pair:
    return pair_multiply(ratio, ratio)


def _one_less(square: Pair, factor: float) -> Array:
    """1 − factor·square, which must not be rounded before."""
    high, low = pair_add(constant(1.0), pair_multiply(square, constant(-factor)))
    return high + low
