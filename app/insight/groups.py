"""In which groups of samples the loss is larger than in the rest, and in which pairs of groups of two groupings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.insight.intervals import Pair, around, standard_error
from app.insight.labels import Labels, Level
from app.insight.measured import Measured
from app.insight.significance import holm, t_quantile, t_tails

FEWEST, FEWEST_OUTSIDE = 5, 2
"""Samples that a pair of groups needs, and those outside of it."""
MOST_FOUND = 10


class Group(NamedTuple):
    """A group against the rest."""

    group: Level
    n: int
    value: float
    interval: Pair | None
    rest: float
    difference: float
    difference_interval: Pair | None
    p_value: float | None
    p_adjusted: float | None


class Slice(NamedTuple):
    """A pair of groups of two groupings against the rest."""

    where: dict[str, Level]
    n: int
    value: float
    difference: float
    p_value: float | None
    p_adjusted: float | None


class Slices(NamedTuple):
    """The pairs with more loss than the rest, of those that were tried."""

    tried: int
    found: tuple[Slice, ...]


class Contrast(NamedTuple):
    """Some of the samples against all others."""

    n: int
    value: float
    interval: Pair | None
    rest: float
    difference: float
    difference_interval: Pair | None
    p_value: float | None


class Estimate(NamedTuple):
    """A value, how sure it is, and by how many degrees of freedom."""

    value: float
    error: float | None
    freedom: int


def groups(
    measured: Measured, groupings: Mapping[str, Labels], clusters: Labels | None, confidence: float
) -> dict[str, tuple[Group, ...]]:
    """Each group against the rest by Welch's t, those of a grouping by their difference; p-values adjusted over all of them."""
    contrasts = [
        (name, level, contrast(measured, labels.codes == code, clusters, confidence))
        for name, labels in groupings.items()
        for code, level in enumerate(labels.levels)
    ]
    return in_order(contrasts)


def in_order(contrasts: Sequence[tuple[str, Level, Contrast]]) -> dict[str, tuple[Group, ...]]:
    """Groups by the name of their grouping, the largest difference first, with p-values adjusted over all of them."""
    adjusted = holm([found.p_value for _, _, found in contrasts])
    answered: dict[str, list[Group]] = {name: [] for name, _, _ in contrasts}
    for (name, level, found), p in zip(contrasts, adjusted, strict=True):
        answered[name].append(Group(level, *found, p))
    return {name: tuple(sorted(found, key=lambda group: _downwards(group.difference))) for name, found in answered.items()}


def slices(measured: Measured, groupings: Mapping[str, Labels], clusters: Labels | None, confidence: float) -> Slices:
    """The pairs of levels of two groupings that have more loss than the rest, the surest first, out of all that were tried."""
    tried = [(where, contrast(measured, inside, clusters, confidence)) for where, inside in pairs_of(groupings, measured.n)]
    adjusted = holm([found.p_value for _, found in tried])
    found = [
        Slice(where, result.n, result.value, result.difference, result.p_value, p)
        for (where, result), p in zip(tried, adjusted, strict=True)
        if result.difference > 0
    ]
    found.sort(key=lambda slice_: (math.inf if slice_.p_adjusted is None else slice_.p_adjusted, _downwards(slice_.difference)))
    return Slices(len(tried), tuple(found[:MOST_FOUND]))


def pairs_of(groupings: Mapping[str, Labels], n: int) -> Iterator[tuple[dict[str, Level], NDArray[np.bool_]]]:
    """Each pair of levels of two groupings that has enough samples, and which these are."""
    for (first, one), (second, other) in combinations(groupings.items(), 2):
        together = one.codes * len(other.levels) + other.codes
        present, counts = np.unique(together, return_counts=True)
        for code, count in zip(present.tolist(), counts.tolist(), strict=True):
            if count >= FEWEST and n - count >= FEWEST_OUTSIDE:
                position, beside = divmod(code, len(other.levels))
                yield {first: one.levels[position], second: other.levels[beside]}, together == code


def count_pairs(groupings: Sequence[Labels]) -> int:
    """How many pairs of levels of two groupings there may be."""
    sizes = [len(labels.levels) for labels in groupings]
    most = min((labels.codes.size for labels in groupings), default=0) // FEWEST
    return sum(min(one * other, most) for one, other in combinations(sizes, 2))


def contrast(measured: Measured, inside: NDArray[np.bool_], clusters: Labels | None, confidence: float) -> Contrast:
    """The samples inside against the others: Welch's t (1947), with the errors of the two values."""
    own, rest = (_estimate(measured, np.flatnonzero(some), clusters) for some in (inside, ~inside))
    return compared(int(np.count_nonzero(inside)), own, rest, confidence)


def compared(n: int, own: Estimate, rest: Estimate, confidence: float) -> Contrast:
    """The value of n samples against that of the others, as they are estimated."""
    interval = None if own.error is None else around(own.value, own.error, own.freedom, confidence)
    difference = own.value - rest.value
    difference_interval = p_value = None
    if own.error is not None and rest.error is not None and math.isfinite(difference):
        squares = own.error**2, rest.error**2
        error = math.sqrt(sum(squares))
        if error > 0:
            freedom = sum(squares) ** 2 / (squares[0] ** 2 / own.freedom + squares[1] ** 2 / rest.freedom)
            reach = t_quantile(0.5 + confidence / 2.0, freedom) * error
            difference_interval, p_value = (difference - reach, difference + reach), t_tails(difference / error, freedom)
        else:
            difference_interval = difference, difference
    return Contrast(n, own.value, interval, rest.value, difference, difference_interval, p_value)


def _estimate(measured: Measured, chosen: NDArray[np.intp], clusters: Labels | None) -> Estimate:
    value = measured.value_of(chosen)
    if measured.sums is None or not math.isfinite(value):
        return Estimate(value, None, 0)
    codes = None if clusters is None else clusters.codes[chosen]
    error, freedom = standard_error(measured.sums.of(chosen).influences(), codes)
    return Estimate(value, error if freedom else None, freedom)


def _downwards(difference: float) -> float:
    return -difference if difference == difference else math.inf
