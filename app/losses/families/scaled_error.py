"""Losses of forecasts of whole series, in units of how much each series changes by itself, or over several quantities at once.

A sample is one series: k steps that were forecast, beside the t steps that were known before (insample).
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, Lt
from typing_extensions import Doc

from app.domains import Interval
from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import DISTRIBUTION, GRADE, numbers, steps
from app.losses.families.mixture_divergence import from_the_end
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, PROPER, SMOOTH, Second, Seconds, loss
from app.losses.numerics.pairs import two_sum
from app.losses.numerics.rows import flat_index, headroom, row_sums
from app.losses.numerics.stable import Array, power_of_two, sign
from app.registry import alias

SERIES = numbers("series", "one number for each step of a series", Interval(), steps(-4, 8), axes="n k")
INSAMPLE = numbers("insample", "the steps of each series that were known before", Interval(), steps(-4, 8), axes="n t")
MEMBERS = numbers("members", "vectors drawn from the predicted distribution, (n, k, d)", Interval(), steps(-4, 8), axes="n k d")
OUTCOME = numbers("outcome", "the vector that came, (n, d)", Interval(), steps(-4, 8), axes="n d")
Season = Annotated[int, Ge(1), Le(100_000), Doc("Steps of a season: the naive forecast repeats what was so many steps before.")]


def _naive(insample: Array, season: int, squared: bool = False) -> tuple[Array, Array]:
    """The mean (or root mean square) of what a naive forecast of each series was off, as a number times a power of two."""
    if insample.shape[1] <= season:
        message = f"season must be less than the {insample.shape[1]} steps of insample: there is nothing to compare with"
        raise InvalidParameter([Fault(("parameters", "season"), "out_of_range", message)])
    unit = power_of_two(np.abs(insample).max(axis=1, keepdims=True))
    known = insample / unit
    change = known[:, season:] - known[:, :-season]
    many = change.shape[1]
    mean = np.sqrt(row_sums(change * change) / many) if squared else row_sums(np.abs(change)) / many
    return mean[:, None], unit


def _room(*arrays: Array) -> Array | float:
    """A factor of rows (n, 1) under which no difference of their numbers overflows."""
    return np.min(np.broadcast_arrays(*map(headroom, arrays)), axis=0)


def _gaps(predictions: Array, targets: Array) -> tuple[Array, Array | float]:
    """Errors times a room (n, 1) in which none of them overflows."""
    room = _room(predictions, targets)
    return predictions * room - targets * room, room


def _in_units(errors: Array, size: Array, *units: Array | float) -> Array:
    """Errors (n, d) over all of these; 0 stays 0 where the size is, since a series that never changed is met then."""
    scaled = errors / size
    for unit in units:
        scaled = scaled / unit
    return np.where(errors == 0, 0.0, scaled)


@loss(
    predictions=SERIES,
    targets={"actual": SERIES, "insample": INSAMPLE},
    formula="mean |p − a|/c; c = mean |Δ|",
    gradient="sign(pⱼ − aⱼ)/(k·c); c = mean |Δ|",
    symbols={"a": "what came", "Δ": "what the known steps are off those a season before"},
    aliases=("mase", "MASE"),
    reference="Hyndman and Koehler (2006), doi:10.1016/j.ijforecast.2006.03.001",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=40.0),
)
def mean_absolute_scaled_error(
    predictions: Array, actual: Array, insample: Array, *, season: Season = 1
) -> tuple[Array, Array, Second]:
    """The absolute error beside that of a naive forecast in the steps before: below 1 is better than repeating the last season.

    A series that never changed has an infinite loss wherever it is missed.

    Use when: forecasts of series of different sizes are compared, some of them with zeros.
    Avoid when: series are known for little more than a season; or large errors are what costs.
    See also: root_mean_squared_scaled_error, mean_scaled_interval_score, weighted_absolute_percentage_error.
    """
    size, unit = _naive(insample, season)
    (errors, room), k = _gaps(predictions, actual), predictions.shape[1]
    values = _in_units(row_sums(np.abs(errors) / k)[:, None], size, unit, room)[:, 0]
    return values, _in_units(sign(errors) / k, size, unit), lambda: np.zeros_like(errors)


@loss(
    predictions=SERIES,
    targets={"actual": SERIES, "insample": INSAMPLE},
    formula="√(mean((p − a)²))/c; c = √(mean Δ²)",
    gradient="(pⱼ − aⱼ)/(k·c²·ℓ); c = √(mean Δ²)",
    symbols={"a": "what came", "Δ": "what the known steps are off those a season before"},
    aliases=("rmsse", "RMSSE"),
    reference="Makridakis, Spiliotis and Assimakopoulos (2022), doi:10.1016/j.ijforecast.2021.11.013",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=40.0),
)
def root_mean_squared_scaled_error(
    predictions: Array, actual: Array, insample: Array, *, season: Season = 1
) -> tuple[Array, Array]:
    """The root of the mean squared error of a series beside that of a naive forecast, as in the M5 competition.

    Where every step is met, the slope is 0.

    Use when: sales with many zeros are forecast, and the mean is wanted: absolute errors would favour forecasts of 0.
    Avoid when: series hold outliers, which rule both roots.
    See also: mean_absolute_scaled_error, root_mean_squared_error.
    """
    size, unit = _naive(insample, season, squared=True)
    errors, room = _gaps(predictions, actual)
    largest = power_of_two(np.abs(errors).max(axis=1, keepdims=True))
    near = errors / largest
    root = np.sqrt(row_sums(near * near) / errors.shape[1])[:, None]
    slope = np.divide(near, root, out=np.zeros_like(near), where=root > 0) / errors.shape[1]
    return _in_units(root * largest, size, unit, room)[:, 0], _in_units(slope, size, unit)


@loss(
    predictions={"lower": SERIES, "upper": SERIES},
    targets={"actual": SERIES, "insample": INSAMPLE},
    formula="mean(u − l + 2/α·max(0, l − a) + 2/α·max(0, a − u))/c; c = mean |Δ|",
    gradient="∂ℓ/∂lⱼ = (2/α·[aⱼ < lⱼ] − 1)/(k·c); ∂ℓ/∂uⱼ = (1 − 2/α·[aⱼ > uⱼ])/(k·c); c = mean |Δ|",
    symbols={
        "l": "the lower ends",
        "u": "the upper ends",
        "a": "what came",
        "Δ": "what the known steps are off those a season before",
    },
    aliases=("msis", "MSIS"),
    reference="Makridakis, Spiliotis and Assimakopoulos (2020), doi:10.1016/j.ijforecast.2019.04.014",
    properties=DIFFERENTIABLE | BOUNDED_GRADIENT,
    cost=Cost(per_number=60.0),
)
def mean_scaled_interval_score(
    lower: Array,
    upper: Array,
    actual: Array,
    insample: Array,
    *,
    alpha: Annotated[float, Ge(1e-3), Lt(1), Doc("Share of steps that may lie outside: 0.05 for an interval of 95 %.")] = 0.05,
    season: Season = 1,
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """The interval score of a series in units of its naive error, as in the M4 competition.

    Use when: intervals of series of different sizes are compared by one number.
    Avoid when: whole distributions are forecast; or series never changed, which makes every width infinite.
    See also: interval_score, mean_absolute_scaled_error.
    """
    size, unit = _naive(insample, season)
    k, outside = lower.shape[1], 2.0 / alpha
    room = _room(lower, upper, actual)
    low, high, came = lower * room, upper * room, actual * room
    below, above = low - came, came - high
    width = row_sums((high - low) / k)[:, None]
    missed = row_sums((np.maximum(below, 0.0) + np.maximum(above, 0.0)) / k)[:, None]
    score = width + outside * missed
    apart = width / size / unit / room + outside * (missed / size / unit / room)  # the score may overflow where this need not
    apart = np.where(np.isnan(apart), np.inf, apart)
    values = np.where(np.isfinite(score), _in_units(score, size, unit, room), apart)
    slopes = np.where(below > 0, outside - 1.0, -1.0) / k, np.where(above > 0, 1.0 - outside, 1.0) / k
    gradient = _in_units(slopes[0], size, unit), _in_units(slopes[1], size, unit)
    return values[:, 0], gradient, lambda: (np.zeros_like(gradient[0]), np.zeros_like(gradient[1]))


@loss(
    predictions=DISTRIBUTION,
    targets=GRADE,
    formula="1/c ∑_(i < k − 1) (F(i) − [i ≥ y])²; F(i) = ∑_(j ≤ i) pⱼ; c = k − 1 if normalized, else 1",
    gradient="2/c ∑_(k − 1 > i ≥ j) (F(i) − [i ≥ y]); F(i) = ∑_(j ≤ i) pⱼ; c = k − 1 if normalized, else 1",
    symbols={"F": "the probability that is predicted up to a class"},
    aliases=("rps", "RPS", "rps_score", alias("normalized_rps", normalized=True)),
    equals=(equal("scoringrules.rps_score(targets + 1, predictions)", reductions=EACH, axes=("n k",)),),
    reference="Epstein (1969), doi:10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | PROPER | BOUNDED_GRADIENT,
)
def ranked_probability_score(
    predictions: Array,
    targets: Array,
    *,
    normalized: Annotated[bool, Doc("Whether the sum is divided by the number of thresholds, k − 1.")] = False,
) -> tuple[Array, Array]:
    """The Brier scores of all thresholds between classes that are in order, added up: probability near the outcome costs less.

    Use when: outcomes are in order, as grades of wind or results of matches, and probabilities of each are forecast.
    Avoid when: classes have no order (brier_score), or the outcome is a number (crps_ensemble).
    See also: brier_score, wasserstein_1d, crps_ensemble.
    """
    k = predictions.shape[1]
    indicator = np.zeros_like(predictions)
    indicator.reshape(-1)[flat_index(targets.astype(np.intp), k)] = 1.0
    gap = predictions - indicator
    totals = np.cumsum(gap, axis=1)
    before = np.concatenate((np.zeros((len(gap), 1)), totals[:, :-1]), axis=1)
    lost = two_sum(predictions, -indicator)[1]
    sums = (totals + np.cumsum(two_sum(before, gap)[1] + lost, axis=1))[:, :-1]
    count = float(max(k - 1, 1)) if normalized else 1.0
    return row_sums(sums * sums) / count, 2.0 * from_the_end(sums) / count
