"""Losses of forecasts that say how sure they are: intervals, distributions and ensembles, each judged by what came.

All but the error function is NumPy; that one comes from SciPy, at its first use: NumPy has none, and a series of our own
would be one more thing to be wrong.
"""

from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Lt
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS, Cost
from app.losses.encodings import ENDS, ENSEMBLE, POSITIVE, REAL, VALUE
from app.losses.families.distribution import surprise_of_normal
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    Second,
    Seconds,
    loss,
)
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
)
from app.losses.numerics.running import exp_of
from app.losses.numerics.special import special
from app.losses.numerics.stable import Array, exp_tail, recovered
from app.losses.parameters import OUTSIDE, PER_INTERVAL
from app.registry import alias

# --- intervals ------------------------------------------------------------------------------------------------------------

Estimator = Annotated[
    Literal["nrg", "fair"],
    Doc('Of the ensemble itself ("nrg"), or of the distribution that its members were drawn from ("fair").'),
]


@loss(
    predictions={"lower": REAL, "upper": REAL},
    targets=REAL,
    formula="u − l + 2/α·max(0, l − y) + 2/α·max(0, y − u)",
    gradient="∂ℓ/∂l = 2/α − 1 if y < l, else −1; ∂ℓ/∂u = 1 − 2/α if y > u, else 1",
    symbols={"l": "the lower end of the interval", "u": "the upper end"},
    aliases=("winkler", "winkler_score", "IntervalScore"),
    equals=(equal("scoringrules.interval_score(targets, lower, upper, alpha)", reductions=EACH),),
    reference="Gneiting and Raftery (2007), doi:10.1198/016214506000001437",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def interval_score(
    lower: Array,
    upper: Array,
    targets: Array,
    *,
    alpha: Annotated[
        float,
        Ge(1e-6),
        Lt(1),
        OUTSIDE,
        Doc("Share of targets that may lie outside: 0.1 for an interval that shall hold nine in ten."),
    ] = 0.1,
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """The width of an interval, and 2/alpha times how far the target lies outside: least for two quantiles.

    These are alpha/2 and 1 − alpha/2. At an end the target counts as inside.

    Use when: a forecast is an interval, and both its width and what it misses shall count.
    Avoid when: a whole distribution is forecast, of which an interval is a small part.
    See also: weighted_interval_score, quantile.
    """
    outside = float((2 - Fraction(alpha)) / Fraction(alpha))
    below, above = lower - targets, targets - upper
    # as two pinball losses, of which no two terms cancel
    values = _pinball(below, outside, 1.0) + _pinball(above, outside, 1.0)
    gradient = np.where(below > 0, outside, -1.0), np.where(above > 0, -outside, 1.0)
    return values, gradient, lambda: (np.zeros_like(below), np.zeros_like(above))


@loss(
    predictions={"lower": ENDS, "upper": ENDS, "median": VALUE},
    targets=VALUE,
    formula="(½|y − m| + ∑ⱼ (½αⱼ·(uⱼ − lⱼ) + max(0, lⱼ − y) + max(0, y − uⱼ)))/(k + ½)",
    gradient="∂ℓ/∂lⱼ = ([y < lⱼ] − ½αⱼ)/(k + ½); ∂ℓ/∂uⱼ = (½αⱼ − [y > uⱼ])/(k + ½); ∂ℓ/∂m = ½·sign(m − y)/(k + ½)",
    symbols={
        "l": "the lower ends",
        "u": "the upper ends",
        "m": "the median",
        "α": "alphas: the share of targets that may lie outside of interval j; if null, (2j + 1)/(2k + 1) with j from 0",
        "k": "how many intervals there are",
    },
    aliases=("wis",),
    reference="Bracher, Ray, Gneiting and Reich (2021), doi:10.1371/journal.pcbi.1008618",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def weighted_interval_score(
    lower: Array,
    upper: Array,
    median: Array,
    targets: Array,
    *,
    alphas: Annotated[
        list[Annotated[float, Ge(0), Lt(1)]] | None,
        PER_INTERVAL,
        Doc("Share of targets that may lie outside of each interval; null for levels that are evenly spread."),
    ] = None,
) -> tuple[Array, tuple[Array, Array, Array], Seconds]:
    """Interval scores of several intervals around one median, together: twice the mean pinball loss of all their ends.

    Use when: forecasts come as a median and intervals, as in the forecasting hubs of epidemics.
    Avoid when: samples of the forecast are at hand: crps_ensemble takes them as they are.
    See also: interval_score, crps_ensemble, quantile.
    """
    k = lower.shape[1]
    half = np.arange(1.0, 2.0 * k, 2.0) / (2.0 * (2 * k + 1)) if alphas is None else np.asarray(alphas, np.float64) / 2.0
    y, count = targets[:, None], k + 0.5

    def total(unit: float) -> Array:
        ends = _pinball(lower * unit - y * unit, 1.0 - half, half) + _pinball(y * unit - upper * unit, 1.0 - half, half)
        return (np.abs(median * unit - targets * unit) / 2.0 + ends.sum(axis=1)) / count

    values = recovered(total(1.0), lambda: 8.0 * total(0.125))
    below, above = lower - y, y - upper
    slopes = np.where(below > 0, 1.0 - half, -half), np.where(above > 0, half - 1.0, half), 0.5 * np.sign(median - targets)
    return (
        values,
        (slopes[0] / count, slopes[1] / count, slopes[2] / count),
        lambda: (np.zeros_like(below), np.zeros_like(above), np.zeros_like(targets)),
    )


def _pinball(excess: Array, over: Array | float, under: Array | float) -> Array:
    """What is above 0 times `over`, what is below times −`under`."""
    return np.abs(excess) * np.where(excess > 0, over, under)


# --- distributions --------------------------------------------------------------------------------------------------------

ROOT_2_OVER_PI, ROOT_HALF, ONE_OVER_ROOT_PI = 0.7978845608028654, 0.7071067811865476, 0.5641895835477563
LEAST_OF_NORMAL = 0.23369497725510910
"""√(2/π) − 1/√π: the score, in units of the scale, of a normal forecast whose mean is hit."""
LEAST_OF_LOGISTIC = 0.38629436111989062
"""2 ln 2 − 1, that of a logistic one."""
LOG_2: Pair = (np.full(1, 0.6931471805599453), np.full(1, 2.3190468138462996e-17))
_ONE, _MINUS_ONE = constant(1.0), constant(-1.0)
_OF_NORMAL = {"m": "the predicted mean", "s": "the predicted scale", "z": "how many scales the target is above the mean"}
_OF_OTHERS = {"m": "the predicted location", "s": "the predicted scale"}


class _Standard(NamedTuple):
    """The target as a forecast sees it."""

    residual: Array
    """y − m."""
    z: Pair
    """|y − m|/s, unrounded; at most 800."""


def _standard(location: Array, scale: Array, targets: Array) -> _Standard:
    residual, error = difference(targets, location)
    side = np.where(residual < 0, -1.0, 1.0)
    high, low = pair_divide((side * residual, side * error), (scale, np.zeros_like(scale)))
    plain = np.where(np.isfinite(residual), np.abs(residual) / scale, np.abs(targets / scale - location / scale))
    sound = np.isfinite(high) & np.isfinite(low) & (plain < 800.0)
    return _Standard(residual, (np.where(sound, high, np.minimum(plain, 800.0)), np.where(sound, low, 0.0)))


def _where_near(plain: Array, limit: float, exact: Pair) -> Array:
    """The unrounded numbers in place of the plain ones where terms cancel, and they are in range."""
    return np.where((np.abs(plain) < limit) & np.isfinite(exact[0]), exact[0], plain)


@loss(
    predictions={"mean": REAL, "scale": POSITIVE},
    targets=REAL,
    formula="s·(z·erf(z/√2) + √(2/π)·exp(−½z²) − 1/√π); z = |y − m|/s",
    gradient="∂ℓ/∂m = sign(m − y)·erf(z/√2); ∂ℓ/∂s = √(2/π)·exp(−½z²) − 1/√π; z = |y − m|/s",
    symbols={"m": "the predicted mean", "s": "the predicted scale"},
    aliases=("crps_gaussian", "NormalCRPS"),
    equals=(equal("scoringrules.crps_normal(targets, mean, scale)", reductions=EACH),),
    reference="Gneiting, Raftery, Westveld and Goldman (2005), doi:10.1175/MWR2904.1",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT | CONVEX,
    cost=IN_PAIRS,
)
def crps_normal(mean: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """The squared distance of a normal distribution function from that of the outcome, over all thresholds (CRPS).

    It is in the unit of the target, and the absolute error of a forecast that is quite sure.

    Use when: a model predicts a mean and a scale, and a target far off shall not rule as it does under a likelihood.
    Avoid when: the tails matter, as in risk: it hardly sees how unlikely an extreme target was.
    See also: gaussian_nll, crps_logistic, crps_laplace, crps_ensemble.
    """
    residual, z = _standard(mean, scale, targets)
    certain: Array = np.asarray(special("erf")(z[0] * ROOT_HALF), np.float64)
    square = pair_multiply(z, z)
    fallen = np.expm1(square[0] / -2.0)
    values = np.abs(residual) * certain + scale * (LEAST_OF_NORMAL + ROOT_2_OVER_PI * fallen)
    high, low = pair_add(LOG_2, pair_negative(square))
    spread = (np.expm1(high / 2.0) + np.exp(high / 2.0) * (low / 2.0)) * ONE_OVER_ROOT_PI

    def second() -> tuple[Array, Array]:
        density = ROOT_2_OVER_PI * exp_of((square[0] / -2.0, square[1] / -2.0))
        return density / scale, square[0] * density / scale

    return values, (-np.sign(residual) * certain, spread), second


@loss(
    predictions={"location": REAL, "scale": POSITIVE},
    targets=REAL,
    formula="s·(z + exp(−z) − ¾); z = |y − m|/s",
    gradient="∂ℓ/∂m = sign(m − y)(1 − exp(−z)); ∂ℓ/∂s = (1 + z)·exp(−z) − ¾; z = |y − m|/s",
    symbols=_OF_OTHERS,
    aliases=("LaplaceCRPS",),
    equals=(equal("scoringrules.crps_laplace(targets, location, scale)", reductions=EACH),),
    reference="Jordan, Krüger and Lerch (2019), doi:10.18637/jss.v090.i12",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT | CONVEX,
    cost=IN_PAIRS,
)
def crps_laplace(location: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """The CRPS of a Laplace distribution: as crps_normal, for forecasts whose errors have heavier tails.

    Use when: a model predicts a location and a scale, and errors are mostly small but now and then large.
    Avoid when: errors are about normal: the scale that it learns is then not their standard deviation.
    See also: crps_normal, crps_logistic.
    """
    residual, z = _standard(location, scale, targets)
    powers = exp_of(pair_negative(z))
    near = scale * (0.25 + exp_tail(-np.minimum(z[0], 2.0)))
    values = np.where(z[0] < 1.0, near, np.abs(residual) + scale * (powers - 0.75))
    spread = (1.0 + z[0]) * powers - 0.75
    exact = pair_add(pair_multiply(pair_exp(pair_negative(z)), pair_add(z, _ONE)), constant(-0.75))
    slopes = np.sign(residual) * np.expm1(-z[0]), _where_near(spread, 0.25, exact)
    return values, slopes, lambda: (powers / scale, z[0] * z[0] * powers / scale)


@loss(
    predictions={"location": REAL, "scale": POSITIVE},
    targets=REAL,
    formula="s·(z + 2·softplus(−z) − 1); z = |y − m|/s",
    gradient="∂ℓ/∂m = sign(m − y)·tanh(½z); ∂ℓ/∂s = 2·softplus(−z) + 2z·σ(−z) − 1; z = |y − m|/s",
    symbols=_OF_OTHERS,
    aliases=("LogisticCRPS",),
    equals=(
        equal(
            "scoringrules.crps_logistic(targets, location, scale)",
            reductions=EACH,
            differs_at=("saturated",),
            caveat="From about 700 scales on, its exponential is beyond float64: it says infinity.",
        ),
    ),
    reference="Taillardat, Mestre, Zamo and Naveau (2016), doi:10.1175/MWR-D-15-0260.1",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT | CONVEX,
    cost=IN_PAIRS,
)
def crps_logistic(location: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """The CRPS of a logistic distribution: as crps_normal, with tails a little heavier and nothing but exponentials in it.

    Use when: a model predicts a location and a scale of errors that are nearly normal, with some more in the tails.
    Avoid when: the scale is to be read as a standard deviation, which is 1.81 times as large.
    See also: crps_normal, crps_laplace.
    """
    residual, z = _standard(location, scale, targets)
    powers = exp_of(pair_negative(z))
    share = powers / (1.0 + powers)
    near = scale * (LEAST_OF_LOGISTIC + 2.0 * np.log1p(2.0 * np.square(np.sinh(np.minimum(z[0], 4.0) / 4.0))))
    values = np.where(z[0] < 2.0, near, np.abs(residual) + scale * (2.0 * np.log1p(powers) - 1.0))
    spread = 2.0 * np.log1p(powers) + 2.0 * z[0] * share - 1.0
    fallen = pair_exp(pair_negative(z))
    whole = pair_add(fallen, _ONE)
    half = pair_add(pair_log(whole), pair_divide(pair_multiply(z, fallen), whole))
    exact = pair_add((2.0 * half[0], 2.0 * half[1]), _MINUS_ONE)
    bend = 2.0 * share / (1.0 + powers)
    slopes = -np.sign(residual) * np.tanh(z[0] / 2.0), _where_near(spread, 0.5, exact)
    return values, slopes, lambda: (bend / scale, z[0] * z[0] * bend / scale)


@loss(
    predictions={"mean": REAL, "variance": POSITIVE},
    targets=REAL,
    formula="(m − y)²/v + ln v",
    gradient="∂ℓ/∂m = 2(m − y)/v; ∂ℓ/∂v = 1/v − (m − y)²/v²",
    symbols={"m": "the predicted mean", "v": "the predicted variance"},
    aliases=("dss", "DawidSebastiani"),
    reference="Dawid and Sebastiani (1999), doi:10.1214/aos/1018031101",
    properties=DIFFERENTIABLE | SMOOTH,
)
def dawid_sebastiani_score(mean: Array, variance: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Twice the likelihood of a normal distribution, without its constant: of a forecast, only mean and variance count.

    Use when: forecasts of any shape are compared by their first two moments, as those of counts or epidemics.
    Avoid when: the shape matters: two forecasts with one mean and variance are the same to it.
    See also: gaussian_nll, crps_normal.
    """
    values, (of_mean, of_variance), second = surprise_of_normal(mean, variance, targets)

    def twice() -> tuple[Array, ...]:
        return tuple(2.0 * bend for bend in second())

    return 2.0 * values, (2.0 * of_mean, 2.0 * of_variance), twice


# --- ensembles ------------------------------------------------------------------------------------------------------------


@loss(
    predictions=ENSEMBLE,
    targets=VALUE,
    formula="mean |p − y| − ½·∑ᵢ mean |pᵢ − p|/c; c = k − 1 if estimator = fair, else k",
    gradient="sign(pⱼ − y)/k − ∑ᵢ sign(pⱼ − pᵢ)/(k·c); c = k − 1 if estimator = fair, else k",
    aliases=("crps_nrg", alias("crps_fair", estimator="fair"), "EnsembleCRPS"),
    equals=(equal("scoringrules.crps_ensemble(targets, predictions, estimator=estimator)", reductions=EACH),),
    reference="Gneiting and Raftery (2007), doi:10.1198/016214506000001437; fair: Ferro (2014), doi:10.1002/qj.2270",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=60.0, beyond={"n·k·log k": 5.0}),
)
def crps_ensemble(
    predictions: Array,
    targets: Array,
    *,
    estimator: Estimator = "nrg",
) -> tuple[Array, Array, Second]:
    """How far the members of an ensemble are from the target, less half of how far they are from each other (CRPS).

    The same as the squared distance of the ensemble's distribution function from that of the outcome, over all thresholds,
    and computed as this. With estimator = fair, ensembles of different sizes can be compared; it needs two members.

    Use when: a forecast is a set of samples, as of a weather model, a dropout network or draws from a posterior.
    Avoid when: several quantities depend on each other: of each alone it does not see how.
    See also: crps_normal, quantile, mean_absolute_error.
    """
    k = predictions.shape[1]
    fair = estimator == "fair"
    if fair and k == 1:
        message = "estimator fair needs an ensemble of two members or more: use nrg for one"
        raise InvalidParameter([Fault(("parameters", "estimator"), "out_of_range", message)])
    order = np.argsort(predictions, axis=1, kind="stable")
    members = np.take_along_axis(predictions, order, axis=1)
    y = targets[:, None]
    pairs = float(k * (k - 1) if fair else k * k)
    less = np.arange(1.0, k)
    below, above = (less * (less - fair) / pairs, (k - less) * (k - less - fair) / pairs)
    ends = np.clip(y, members[:, :-1], members[:, 1:])

    def distance(unit: float) -> Array:
        inner = (ends * unit - members[:, :-1] * unit) * below + (members[:, 1:] * unit - ends * unit) * above
        outer = np.maximum(members[:, 0] * unit - targets * unit, 0.0) + np.maximum(targets * unit - members[:, -1] * unit, 0.0)
        return inner.sum(axis=1) + outer

    values = recovered(distance(1.0), lambda: 4.0 * distance(0.25))
    first, last = _runs(members)
    slopes = np.empty_like(members)
    balance = first + last - (k - 1.0)  # how many members are less, less how many are greater
    np.put_along_axis(slopes, order, (np.sign(members - y) * (pairs / k) - balance) / pairs, axis=1)
    return values, slopes, lambda: np.zeros_like(slopes)


def _runs(members: Array) -> tuple[Array, Array]:
    """The first and the last place in a sorted row of what each number is equal to."""
    k = members.shape[1]
    places = np.broadcast_to(np.arange(float(k)), members.shape)
    new = np.ones(members.shape, np.bool_)
    new[:, 1:] = members[:, 1:] != members[:, :-1]
    ending = np.ones(members.shape, np.bool_)
    ending[:, :-1] = new[:, 1:]
    first: Array = np.maximum.accumulate(np.where(new, places, 0.0), axis=1)
    last: Array = np.minimum.accumulate(np.where(ending, places, float(k))[:, ::-1], axis=1)[:, ::-1]
    return first, last
