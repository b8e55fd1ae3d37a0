"""Losses of a regression with gross outliers: what is far off hardly matters, or not at all.

Of arrays (n, *d), every number is an element by itself. Losses are functions of z = r/c, with a scale c at which a residual
begins to count as far. Neither r nor z needs to be finite where the loss is: beyond `FAR` it follows from half the residual,
which is.
"""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.domains import Interval
from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import REAL, numbers, steps
from app.losses.learnable import Learnable, Span
from app.losses.loss import (
    BOUNDED_GRADIENT,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.normaliser import by_shape, normaliser
from app.losses.numerics.pairs import (
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
from app.losses.numerics.residuals import FAR, Scale, one_less, scaled, squared
from app.losses.numerics.stable import LOG_2, Array
from app.losses.numerics.wide import NEAR, exp, expm1, log, log1p, where, wide

PLACE = numbers("place", "a number within ±1e100", Interval(-1e100, 1e100), steps(-4, 8))
SPREAD = numbers("spread", "a scale, from 1e-50 to 1e50", Interval(1e-50, 1e50), steps(0.2, 6))
ROBUSTNESS = numbers(
    "robustness", "a shape, from 0 for heavy tails to 1.999 for nearly normal ones", Interval(0.0, 1.999), steps(0.1, 1.9)
)


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
    return _cauchy(predictions, targets, c)


def _cauchy(predictions: Array, targets: Array, c: float) -> tuple[Array, Array, Second]:
    exact = ratio, _ = scaled(predictions, targets, c)
    square = ratio * ratio / 2.0
    values = np.log1p(square)
    gradient = ratio / (1.0 + square) / c
    far = np.abs(ratio) >= FAR
    half = np.where(far, predictions / 2.0 - targets / 2.0, 1.0)
    if far.any():  # there ln(1 + ½(r/c)²) is 2 ln(r/c) − ln 2, and its slope 2/r
        values = np.where(far, 2.0 * (np.log(np.abs(half)) + LOG_2 - math.log(c)) - LOG_2, values)
        gradient = np.where(far, 1.0 / half, gradient)

    def second() -> Array:
        whole = one_less(squared(exact), -0.5)
        return np.where(far, -0.5 / half / half, one_less(squared(exact), 0.5) / whole / c / whole / c)

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
    exact = ratio, _ = scaled(predictions, targets, c)
    square = ratio * ratio
    share = 4.0 / (square + 4.0)
    gradient = share * ratio / c * share
    far = np.abs(ratio) >= FAR
    if far.any():  # there it is 16c²/r³
        half = np.where(far, predictions / 2.0 - targets / 2.0, 1.0)
        gradient = np.where(far, 2.0 * (c / half) * (c / half) / half, gradient)

    def second() -> Array:  # in an order in which nothing leaves the range before the end
        whole = one_less(squared(exact), -0.25)
        return one_less(squared(exact), 0.75) / whole / c / whole / c / whole

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
    exact = ratio, _ = scaled(predictions, targets, c)
    square, rest = squared(exact)
    bell, _ = pair_exp((-square / 2.0, -rest / 2.0))  # whose exponent must not be rounded: it is magnified by its size
    return -np.expm1(-square / 2.0), ratio * bell / c, lambda: one_less((square, rest), 1.0) * bell / c / c


def _log_normaliser(*, alpha: float, c: float) -> float:
    value, _ = normaliser(np.full(1, alpha))
    return float(value[0]) + math.log(c)


def _of_shape_and_scale(predictions: Array, targets: Array, *, alpha: float, c: float) -> dict[str, Array]:
    """As in barron_nll, in as many digits as a step needs."""
    shape, b = np.full(1, alpha), 2.0 - alpha
    level = np.log1p(np.square((predictions - targets) / c) / b)
    q = 0.5 * alpha * level
    grown = np.expm1(q)
    _, turn = normaliser(shape)
    return {"alpha": by_shape(shape, level, q, grown) + turn, "c": (1.0 + b * (1.0 + grown) * np.expm1(-level)) / c}


@loss(
    predictions=REAL,
    targets=REAL,
    formula="|α − 2|/α·(((r/c)²/|α − 2| + 1)^(½α) − 1)",
    gradient="(r/c²)((r/c)²/|α − 2| + 1)^(½α − 1)",
    aliases=("general_adaptive", "general_robust"),
    reference="Barron (2019), arXiv:1701.03077",
    properties=DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
    learnable=Learnable(
        {"alpha": Span(0.0, 1.999), "c": Span(1e-100, 1e100, "log")}, {"scale": "c"}, _log_normaliser, _of_shape_and_scale
    ),
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
        return _cauchy(predictions, targets, c)
    if alpha == 2:
        ratio = (predictions - targets) / c
        return ratio * ratio / 2.0, ratio / c, lambda: np.full_like(ratio, 1.0) / c / c
    b = pair_add(constant(2.0), constant(-alpha))
    exact = ratio, _ = scaled(predictions, targets, c)
    share = pair_divide(squared(exact), b)
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


@loss(
    predictions={"location": PLACE, "alpha": ROBUSTNESS, "scale": SPREAD},
    targets=PLACE,
    formula=("ln(1 + ½z²) + ln s + ln Z if α = 0, else b/α·((z²/b + 1)^(½α) − 1) + ln s + ln Z; z = (y − m)/s; b = 2 − α"),
    gradient=(
        "∂ℓ/∂m = −z/s·(z²/b + 1)^(½α − 1); ∂ℓ/∂α = ∂ρ/∂α + ∂Z/∂α/Z; ∂ℓ/∂s = (1 − z²·(z²/b + 1)^(½α − 1))/s; "
        "z = (y − m)/s; b = 2 − α"
    ),
    symbols={
        "m": "the predicted location",
        "α": "the predicted shape",
        "s": "the predicted scale",
        "ρ": "the loss without both logarithms",
        "Z": "the integral of exp(−ρ) over all z",
    },
    aliases=("adaptive_robust", "AdaptiveLossFunction", "nllfun"),
    reference="Barron (2019), arXiv:1701.03077",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=Cost(per_number=3000.0),
)
def barron_nll(location: Array, alpha: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """barron as a likelihood, whose shape and scale are predicted too: what a robust shape saves on outliers, it costs elsewhere.

    The shape is 0 for heavy tails (cauchy) up to 1.999 for nearly normal ones. Without the normaliser, the least shape would
    always win.

    Use when: how many outliers there are is not known, or differs from sample to sample, and is to be learned with the rest.
    Avoid when: the shape is known: barron with that shape has the same gradient to the location, and costs far less.
    See also: barron, student_t_nll, laplace_nll, cauchy.
    """
    b = 2.0 - wide(alpha)
    residual = wide(targets) - location
    z = residual / scale
    share = z * z / b
    level = log1p(share)
    q = level * alpha * 0.5
    grown, kept = expm1(q), -expm1(-level)  # of the power of 1 + z²/b, and what z²/b has of that
    small = q.high < NEAR
    first = where(small, 1.0 + q * (0.5 + q * (wide(1.0) / 6.0 + q / 24.0)), grown / where(small, 1.0, q))  # (e^q − 1)/q
    cost = b * level * 0.5 * first
    steep = exp(q - level) / scale
    level_of_all, turn = normaliser(alpha)
    values = cost + log(scale) + level_of_all
    second = where(
        small, 0.5 + q * (wide(1.0) / 3.0 + q * (0.125 + q / 30.0)), (q * (1.0 + grown) - grown) / where(small, 1.0, q * q)
    )
    power = 1.0 + grown
    of_shape = level * level * 0.5 * second - 0.5 * power * (level - kept)
    of_scale = (1.0 - b * power * kept) / scale
    return values.high, (-(z * steep).high, (of_shape + turn).high, of_scale.high)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="c²/6·(1 − (1 − (r/c)²)³) if |r| ≤ c, else c²/6",
    gradient="r(1 − (r/c)²)² if |r| ≤ c, else 0",
    aliases=("bisquare", "TukeyBiweight", "tukey"),
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
    return values, gradient, lambda: inside * one_less(squared(scaled(predictions, targets, c)), 5.0)
