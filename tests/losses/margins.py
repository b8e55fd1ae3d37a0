"""The textbook formulas of losses of scores and of errors in units of what targets are like."""

from typing import Any

from tests.losses.exact import Exact, absolute, exp, mean_of, positive, sqrt, total_of
from tests.losses.oracle import Row, of_batch, oracle, tried


@oracle
def savage(s: Exact, y: Exact) -> Exact:
    return 1 / (1 + exp(y * s)) ** 2


@oracle
@tried({}, {"cut": -0.3})
def ramp(s: Exact, y: Exact, cut: Any = -1) -> Exact:
    z = y * s
    return Exact(0) if z >= 1 else 1 - cut + Exact(0) if z <= cut else 1 - z


@oracle
def binary_sparsemax(s: Exact, y: Exact) -> Exact:
    z = y * s
    return Exact(0) if z >= 1 else -z if z <= -1 else (1 - z) ** 2 / 4


@oracle
@of_batch
def weighted_absolute_percentage_error(p: Row, y: Row) -> Row:
    size = mean_of([absolute(number) for number in y])
    return [absolute(a - b) / size for a, b in zip(p, y, strict=True)]


@oracle
@of_batch
def relative_squared_error(p: Row, y: Row) -> Row:
    centre = mean_of(y)
    spread = mean_of([(number - centre) ** 2 for number in y])
    return [(a - b) ** 2 / spread for a, b in zip(p, y, strict=True)]


@oracle
@of_batch
def normalized_root_mean_squared_error(p: Row, y: Row, normalization: str = "mean") -> Row:
    centre, ordered = mean_of(y), sorted(y, key=lambda number: number.value)
    scale = {
        "mean": absolute(centre),
        "range": ordered[-1] - ordered[0],
        "std": sqrt(mean_of([(number - centre) ** 2 for number in y])),
        "l2": sqrt(total_of(number**2 for number in y)),
    }[normalization]
    return [absolute(a - b) / scale for a, b in zip(p, y, strict=True)]


def naive(insample: Row, season: int) -> Row:
    return [later - before for before, later in zip(insample[:-season], insample[season:], strict=True)]


@oracle
@tried({}, {"season": 3})
def mean_absolute_scaled_error(p: Row, a: Row, insample: Row, season: int = 1) -> Exact:
    errors = [absolute(one - other) for one, other in zip(p, a, strict=True)]
    return mean_of(errors) / mean_of([absolute(number) for number in naive(insample, season)])


@oracle
@tried({}, {"season": 3})
def root_mean_squared_scaled_error(p: Row, a: Row, insample: Row, season: int = 1) -> Exact:
    errors = [(one - other) ** 2 for one, other in zip(p, a, strict=True)]
    return sqrt(mean_of(errors)) / sqrt(mean_of([number**2 for number in naive(insample, season)]))


@oracle
@tried({}, {"season": 3, "alpha": 0.3})
def mean_scaled_interval_score(lower: Row, upper: Row, a: Row, insample: Row, alpha: Any = 0.05, season: int = 1) -> Exact:
    scores = [
        high - low + 2 / alpha * (positive(low - y, at_zero=0) + positive(y - high, at_zero=0))
        for low, high, y in zip(lower, upper, a, strict=True)
    ]
    return mean_of(scores) / mean_of([absolute(number) for number in naive(insample, season)])


@oracle
def ranked_probability_score(p: Row, y: int, normalized: bool = False) -> Exact:
    gaps = [total_of(p[: index + 1]) - int(index >= y) for index in range(len(p) - 1)]
    return total_of(gap**2 for gap in gaps) / (len(gaps) if normalized else 1)
