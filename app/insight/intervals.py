"""How far the value of a loss may be from what it would be on all the samples there are: standard error and intervals.

t is recommended wherever it exists: by simulation (docs/decisions/intervals.md) the bootstrap's intervals hold the true mean
no more often, and where tails are heavy less often. They say what t cannot: on which side the value is less sure.
"""

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from app.insight.bootstrap import left_out, resampled
from app.insight.distribution import l_skewness
from app.insight.labels import Codes, Labels
from app.insight.measured import Measured, total
from app.insight.pieces import Powers, powers
from app.insight.significance import normal_quantile, t_quantile
from app.losses.numerics.stable import Array

Pair: TypeAlias = tuple[float, float]

SKEWED = 0.025
"""Squared skewness over n from which a t interval of 95 % may miss a whole percent or more (Hall 1992, section 2.6)."""
GAMMA = 6.0
"""Skewness for each unit of L-skewness, of an exponential law and nearly of any other gamma law that is less skewed."""
HEAVY, LEANING, HEAVY_LEANING = 0.25, 0.2, 0.08
"""Share of the variance from a single sample, and 4/n, that says the tails are too heavy for any of these intervals: of most
samples, and of those whose L-skewness is above the second number."""
FEW_CLUSTERS = 30
WHOLE_BATCH = (
    "This loss is one of the whole batch: only the bootstrap says how sure it is, and that never goes beyond the samples seen."
)


class Interval(NamedTuple):
    """Intervals for the value, each by its method."""

    confidence: float
    t: Pair | None
    percentile: Pair | None
    bca: Pair | None
    recommended: Literal["t", "percentile", "bca"] | None
    resamples: int
    note: str | None


class ErrorBar(NamedTuple):
    """A value, and how sure it is."""

    value: float
    standard_error: float | None
    interval: Interval


class Asked(NamedTuple):
    """How sure an interval is to be, and how it is found."""

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0


def standard_error(influences: Array, clusters: Codes | None) -> tuple[float, int]:
    """That of a value from its influences, and the degrees of freedom: √(n/(n−1)·Σψ²), of clusters' sums where there are any.

    NaN, and 0 degrees, where there is only one.
    """
    pulls = _pulls(influences, clusters)
    return _error(pulls.powers, pulls.n)


class _Pulls(NamedTuple):
    """What each sample, or cluster, does to the value."""

    parts: Array
    powers: Powers
    n: int
    """How many there are: a cluster without samples is none."""


def _pulls(influences: Array, clusters: Codes | None) -> _Pulls:
    if clusters is None:
        return _Pulls(influences, powers(influences), influences.size)
    parts = total(clusters, influences)
    return _Pulls(parts, powers(parts), int(np.count_nonzero(np.bincount(clusters))))


def _error(found: Powers, n: int) -> tuple[float, int]:
    if n < 2:
        return math.nan, 0
    return (found.largest * math.sqrt(n / (n - 1) * found.square) if math.isfinite(found.largest) else math.nan), n - 1


def around(value: float, error: float, freedom: int, confidence: float) -> Pair:
    """The t interval."""
    reach = t_quantile(0.5 + confidence / 2.0, freedom) * error if error else 0.0
    return value - reach, value + reach


def drawn_values(measured: Measured, clusters: Labels | None, asked: Asked, ordered: Array | None = None) -> Array:
    """The value of each resample. The same request draws the same samples: two models on the same targets are paired."""
    return resampled(measured, None if clusters is None else clusters.codes, asked.resamples, asked.seed, ordered)


def from_drawn(drawn: Array, asked: Asked) -> tuple[float, Pair] | None:
    """Standard error and percentile interval by the bootstrap; None where most resamples have no value."""
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < 2 or 2 * drawn.size < asked.resamples:
        return None
    return float(np.std(drawn, ddof=1)), _quantiles(drawn, _tails(asked))


def _tails(asked: Asked) -> Array:
    return np.array([0.5 - asked.confidence / 2.0, 0.5 + asked.confidence / 2.0])


def error_bar(measured: Measured, clusters: Labels | None, asked: Asked, drawn: Array | None = None) -> ErrorBar:
    """The value with its standard error and intervals. What follows from an infinite loss is NaN, what does not exist None.

    `drawn` are its `drawn_values`, where they are known.
    """
    value, codes = measured.value, None if clusters is None else clusters.codes
    if not math.isfinite(value):
        undefined = (math.nan, math.nan)
        t, none = undefined if measured.sums else None, undefined if asked.resamples else None
        return ErrorBar(value, math.nan, Interval(asked.confidence, t, none, none, None, asked.resamples, None))
    drawn = drawn_values(measured, clusters, asked) if drawn is None else drawn
    drawn = drawn[np.isfinite(drawn)]
    known = from_drawn(drawn, asked)
    percentile = None if known is None else known[1]
    t = error = None
    pulls = None if measured.sums is None else _pulls(measured.sums.influences(), codes)
    if pulls is not None:
        error, freedom = _error(pulls.powers, pulls.n)
        t = around(value, error, freedom, asked.confidence)
        if known and error == 0:
            percentile = (value, value)
    elif known:
        error, _ = known
    bca = None if known is None else _bca(measured, codes, pulls, drawn, _tails(asked))
    recommended = "t" if t is not None and math.isfinite(t[0]) else None if percentile is None else "percentile"
    note = WHOLE_BATCH if pulls is None else _note(pulls, clustered=codes is not None)
    return ErrorBar(value, error, Interval(asked.confidence, t, percentile, bca, recommended, asked.resamples, note))


def _quantiles(drawn: Array, shares: Array) -> Pair:
    low, high = np.quantile(drawn, shares)
    return float(low), float(high)


def _bca(measured: Measured, clusters: Codes | None, pulls: _Pulls | None, drawn: Array, tails: Array) -> Pair | None:
    """Bias-corrected and accelerated (Efron 1987, doi:10.1080/01621459.1987.10478410); None where it does not exist."""
    value = measured.value
    if measured.sums is not None:
        rows = measured.sums
        value = float(rows.value(rows.numerators.sum(axis=1), rows.divisors.sum(axis=1)))
    without = left_out(measured, clusters)
    if without is not None:
        largest, square, cube = powers(without.mean() - without)
    elif pulls is not None:
        largest, square, cube = pulls.powers
    else:
        return None
    if not math.isfinite(largest):
        return None
    if largest == 0:
        return (value, value) if np.ptp(drawn) == 0 else None
    rank = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * drawn.size)
    if not 0 < rank < 1:
        return None
    bias = float(normal_quantile(rank))
    acceleration = cube / (6.0 * square**1.5)
    shifted = bias + np.array([float(normal_quantile(tail)) for tail in tails])
    shares = _normal(bias + shifted / (1.0 - acceleration * shifted))
    return _quantiles(drawn, shares)


def _normal(z: Array) -> Array:
    from scipy.special import ndtr  # pyright: ignore[reportUnknownVariableType]

    return np.asarray(ndtr(z), np.float64)


def _leaning(parts: Array) -> float:
    """Their L-skewness; 0 where the numbers at the long end are the same: the tail then ends there, and skewness says it all."""
    found = l_skewness(parts)
    end, beside = np.partition(parts, (-2, -1))[[-1, -2]] if found > 0 else np.partition(parts, (0, 1))[[0, 1]]
    return 0.0 if end == beside else found


def _note(pulls: _Pulls, *, clustered: bool) -> str | None:
    """What may keep the intervals from holding the true value as often as they say; None where nothing is seen to."""
    parts, (largest, square, cube), n = pulls
    share, skewness = (1.0 / square, cube * math.sqrt(n) / square**1.5) if square else (0.0, 0.0)
    matters = square and (share > HEAVY_LEANING + 4.0 / n or GAMMA**2 / n > SKEWED)
    leaning = _leaning(parts / largest) if matters else 0.0
    reasons: list[str] = []
    if clustered and n < FEW_CLUSTERS:
        reasons.append(f"there are only {n} clusters")
    if share > (HEAVY_LEANING if abs(leaning) > LEANING else HEAVY) + 4.0 / n:
        reasons.append(f"a single {'cluster' if clustered else 'sample'} makes {100 * share:.0f} % of the variance")
    few = f"{n} {'clusters' if clustered else 'samples'} are few for losses"
    if skewness**2 / n > SKEWED:
        reasons.append(f"{few} of skewness {skewness:.2g}")
    elif (GAMMA * leaning) ** 2 / n > SKEWED:
        reasons.append(f"{few} that lean to one side (L-skewness {leaning:.2g})")
    warning = "The intervals may hold the true value less often than they say"
    return f"{warning}: {'; '.join(reasons)}." if reasons else None
