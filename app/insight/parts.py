"""An analysis of batches that are parts of one: what each adds, and what they come to; its memory does not grow with the rows.

Quantiles are told from a sketch: each loss is counted by its sign, its exponent and its first BITS digits. Sketches add up
exactly, whatever the parts are and in whatever order; a quantile is right but for QUANTILE_ERROR of itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray
from app.insight.confusion import Counts, counts_of
from app.insight.distribution import MOST_BARS, QUANTILES, Distribution, Histogram
from app.insight.groups import Contrast, Estimate, Group, compared, in_order
from app.insight.labels import Labels, Level
from app.insight.measured import measure
from app.insight.readings import readable
from app.losses.batch import AnyBatch, Batch
from app.losses.form import Bound
from app.losses.merging import NOTHING, Tally, standard_error, tallies_by, value_of
from app.losses.numerics.exactly import Exact, exactly, products, root
from app.losses.numerics.stable import Array

BITS = 10
SHIFT = 52 - BITS
QUANTILE_ERROR = 2.0 ** -(BITS + 1)
MOST_LEVELS = 200
"""Groups of a grouping at most."""


@dataclass(frozen=True)
class Extremes:
    """The samples with the largest losses, largest first: the row, the loss, and what it adds to the weighted sum of them."""

    rows: NDArray[np.intp]
    losses: Array
    terms: Array

    def with_more(self, other: "Extremes", most: int) -> "Extremes":
        rows = np.concatenate([self.rows, other.rows])
        losses, terms = np.concatenate([self.losses, other.losses]), np.concatenate([self.terms, other.terms])
        order = np.lexsort((rows, -losses))[:most]
        return Extremes(rows[order], losses[order], terms[order])


NO_EXTREMES = Extremes(np.empty(0, np.intp), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Parts:
    """What batches add to an analysis."""

    rows: int = 0
    """All of them, those that do not count included."""
    n: int = 0
    keys: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """How many losses have each of these keys, which are in order."""
    least: float = math.inf
    most: float = -math.inf
    losses: Exact = NOTHING
    squares: Exact = NOTHING
    terms: Exact = NOTHING
    """Σ of the losses times the weights of their samples."""
    worst: Extremes = NO_EXTREMES
    confusion: Counts | None = None
    groups: Mapping[str, Mapping[Level, Tally]] = field(default_factory=dict[str, Mapping[Level, Tally]])


def with_batch(parts: Parts, batch: AnyBatch, groupings: Mapping[str, Labels], n_worst: int) -> Parts:
    """With one more batch, whose labels are one for each of its samples."""
    measured = measure(batch, part=True)
    losses, rows = measured.losses, batch.elements[0]
    if not losses.size:
        return without_a_batch(parts, rows)
    with np.errstate(all="ignore"):
        terms = losses * measured.weights
    read = readable(batch)
    own = Parts(
        rows,
        losses.size,
        *np.unique(keys_of(losses), return_counts=True),
        float(losses.min()),
        float(losses.max()),
        exactly(losses),
        products(losses, losses),
        exactly(terms),
        Extremes(measured.index, losses, terms),
        None if read is None else counts_of(read),
        {name: _tallied(batch, labels) for name, labels in groupings.items()},
    )
    return together(parts, own, n_worst)


def together(parts: Parts, other: Parts, n_worst: int) -> Parts:
    """Both; the rows of the other ones follow."""
    if not other.n:
        return without_a_batch(parts, other.rows)
    keys, places = np.unique(np.concatenate([parts.keys, other.keys]), return_inverse=True)
    counts = np.zeros(keys.size, np.int64)
    np.add.at(counts, places, np.concatenate([parts.counts, other.counts]))
    worst = replace(other.worst, rows=other.worst.rows + parts.rows)
    return Parts(
        parts.rows + other.rows,
        parts.n + other.n,
        keys,
        counts,
        min(parts.least, other.least),
        max(parts.most, other.most),
        parts.losses + other.losses,
        parts.squares + other.squares,
        parts.terms + other.terms,
        parts.worst.with_more(worst, n_worst),
        _confused(parts.confusion, other.confusion, first=not parts.n),
        {name: _grouped(name, parts.groups.get(name, {}), found) for name, found in other.groups.items()},
    )


def without_a_batch(parts: Parts, rows: int) -> Parts:
    """With rows none of which counts."""
    return replace(parts, rows=parts.rows + rows)


def _confused(before: Counts | None, found: Counts | None, *, first: bool) -> Counts | None:
    """Of both; None where the classes of the one are not those of the other."""
    if first or before is None or found is None:
        return found if first else None
    if before.classes != found.classes:
        return None
    matrix = None if before.matrix is None or found.matrix is None else before.matrix + found.matrix
    return Counts(before.classes, matrix, before.sums + found.sums)


def _tallied(batch: AnyBatch, labels: Labels) -> dict[Level, Tally]:
    assert isinstance(batch, Batch)
    found = zip(labels.levels, tallies_by(batch, labels.codes, len(labels.levels)), strict=True)
    return {level: tally for level, tally in found if tally.n_samples}


def _grouped(name: str, before: Mapping[Level, Tally], found: Mapping[Level, Tally]) -> dict[Level, Tally]:
    both = {**before, **{level: before.get(level, Tally()) + tally for level, tally in found.items()}}
    if len(both) > MOST_LEVELS:
        message = f"groups.{name} has more than {MOST_LEVELS} labels, which is the most in partitions"
        raise InvalidArray([Fault(("groups", name), "length", message)])
    return both


# --- the sketch -----------------------------------------------------------------------------------------------------------


def keys_of(numbers: Array) -> NDArray[np.int64]:
    """Whole numbers in the order of the numbers, the same for those that agree in their first digits."""
    bits = np.ascontiguousarray(numbers + 0.0).view(np.int64)  # no -0
    size = (bits & np.int64(2**63 - 1)) >> SHIFT
    return np.where(bits < 0, -1 - size, size)


def numbers_of(keys: NDArray[np.int64]) -> Array:
    """A number for each key: the middle of those that have it."""
    size = np.where(keys < 0, -1 - keys, keys)
    low = (size << SHIFT).view(np.float64)
    high = (size << SHIFT | np.int64(2**SHIFT - 1)).view(np.float64)
    with np.errstate(all="ignore"):
        middle = np.where(size == 0, 0.0, np.where(np.isfinite(low), low / 2 + high / 2, low))
    return np.where(keys < 0, -middle, middle)


def distribution(parts: Parts) -> Distribution:
    """Of the losses: standard deviation, least and most to all digits, quantiles and bars from the sketch; no skewness."""
    numbers = np.clip(numbers_of(parts.keys), parts.least, parts.most)
    reach = np.cumsum(parts.counts)

    def quantile(share: float) -> float:
        place = share * (parts.n - 1)
        low, high = (float(numbers[reach.searchsorted(rank, side="right")]) for rank in (math.floor(place), math.ceil(place)))
        return low if low == high else low + (place - math.floor(place)) * (high - low)

    quantiles = {share: quantile(float(share)) for share in QUANTILES}
    std = math.nan
    if parts.n > 1 and parts.losses.beyond == 0 and parts.squares.beyond == 0:
        apart = parts.squares.fraction - parts.losses.fraction**2 / parts.n
        std = root(max(apart / (parts.n - 1), Fraction(0)))
    return Distribution(std, None, parts.least, parts.most, quantiles, _bars(parts, numbers, quantiles))


def _bars(parts: Parts, numbers: Array, quantiles: Mapping[str, float]) -> Histogram | None:
    span = parts.most - parts.least
    if not math.isfinite(span):
        return None
    width = 2.0 * (quantiles["0.75"] - quantiles["0.25"]) / parts.n ** (1.0 / 3.0)
    bars = max(math.ceil(math.log2(parts.n)) + 1, math.ceil(min(span / width, MOST_BARS)) if width > 0 else 0)
    counts, edges = np.histogram(numbers, min(bars, MOST_BARS), (parts.least, parts.most), weights=parts.counts)
    return Histogram(edges, counts.astype(np.intp))


# --- groups ---------------------------------------------------------------------------------------------------------------


def groups(parts: Parts, bound: Bound, confidence: float) -> dict[str, tuple[Group, ...]]:
    """Each group against the rest by Welch's t; InvalidArray where all samples are of one."""
    contrasts: list[tuple[str, Level, Contrast]] = []
    for name, tallied in parts.groups.items():
        if len(tallied) < 2:
            message = f"{name} has only one label among the samples that count: there is nothing to tell apart; send two or more"
            raise InvalidArray([Fault(("groups", name), "one_group", message)])
        found = sorted(tallied.items(), key=lambda pair: (isinstance(pair[0], str), pair[0]))
        tallies = [tally for _, tally in found]
        for (level, own), rest in zip(found, _others(tallies), strict=True):
            both = _estimate(bound, own), _estimate(bound, rest)
            contrasts.append((name, level, compared(own.n_samples, *both, confidence)))
    return in_order(contrasts)


def _others(tallies: Sequence[Tally]) -> list[Tally]:
    """Of each of them the sum of all others."""
    before, after = [Tally()], [Tally()]
    for tally in tallies[:-1]:
        before.append(before[-1] + tally)
    for tally in reversed(tallies[1:]):
        after.append(after[-1] + tally)
    return [one + other for one, other in zip(before, reversed(after), strict=True)]


def _estimate(bound: Bound, tally: Tally) -> Estimate:
    return Estimate(value_of(bound, tally), standard_error(tally, bound.mean.power or 1, "mean"), tally.weighing - 1)
