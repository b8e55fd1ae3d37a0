"""Several models on the same targets, by several losses: which is better, by how much, and whether that is more than chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from app.insight.intervals import Asked, Interval, Pair, around, drawn_values, error_bar, from_drawn, standard_error
from app.insight.labels import Codes, Labels
from app.insight.measured import EPS, Measured, Sums, measure, total
from app.insight.significance import holm, sign_flips, t_tails
from app.losses.batch import AnyBatch
from app.losses.numerics.stable import Array

MOST_DIFFERENT = 10
WHOLE = (
    "This loss is one of the whole batch: its value is no mean over samples, so that neither the t test nor sign flips apply. "
    "Interval and standard error are those of the bootstrap, both models on the same resamples."
)
MOST_NAMED = 5
"""Pairs that a conclusion names."""
INFINITE = "An infinite value has no test."
ALIKE = "The differences have no variance: the models differ by the same on every sample."


class Row(NamedTuple):
    """A model by one loss."""

    model: str
    value: float
    standard_error: float | None
    interval: Interval
    rank: int


@dataclass(frozen=True)
class Difference:
    """A sample on which two models differ."""

    index: int
    difference: float


class Paired(NamedTuple):
    """Two models, sample by sample."""

    models: tuple[str, str]
    difference: float
    standard_error: float | None
    interval: Pair | None
    p_value: float | None
    p_permutation: float | None
    p_adjusted: float | None
    won: tuple[float, float]
    tied: float
    note: str | None
    """Why there are no p-values, where there are none."""
    largest: tuple[Difference, ...]


class ByLoss(NamedTuple):
    """All models by one loss."""

    table: tuple[Row, ...]
    pairs: tuple[Paired, ...]
    best: str | None
    conclusion: str


def compare(batches: Mapping[str, AnyBatch], clusters: Labels | None, asked: Asked, permutations: int) -> ByLoss:
    """The models' batches, whose targets, weights and masks are the same, by the loss that they are of.

    InvalidInput `too_few_samples` where fewer than two samples count.
    """
    measured = {name: measure(batch, path=("targets",)) for name, batch in batches.items()}
    first = next(iter(measured.values()))
    among = None if clusters is None else clusters.of(first.index, first.batch.elements[0])
    drawn = {name: drawn_values(measurement, among, asked) for name, measurement in measured.items() if measurement.sums is None}
    bars = [error_bar(measurement, among, asked, drawn.get(name)) for name, measurement in measured.items()]
    values = [bar.value for bar in bars]
    table = tuple(
        Row(name, *bar, 1 + sum(other < bar.value for other in values)) for name, bar in zip(measured, bars, strict=True)
    )
    pairs = _pairs(measured, among, asked, permutations, drawn)
    best = _best(table, pairs, asked.confidence)
    return ByLoss(table, pairs, best, _conclusion(table, pairs, best, asked.confidence))


def _pairs(
    measured: Mapping[str, Measured], clusters: Labels | None, asked: Asked, permutations: int, drawn: Mapping[str, Array]
) -> tuple[Paired, ...]:
    names = list(combinations(measured, 2))
    if not names:
        return ()
    codes = None if clusters is None else clusters.codes
    influences = {
        name: measurement.sums.influences()
        for name, measurement in measured.items()
        if measurement.sums is not None and math.isfinite(measurement.value)
    }
    tested = [pair for pair in names if pair[0] in influences and pair[1] in influences]
    found = [
        _resampled(measured[one], measured[other], drawn[one], drawn[other], asked)
        if one in drawn
        else _pair(measured[one], measured[other], influences.get(one), influences.get(other), codes, asked)
        for one, other in names
    ]
    flipped = _flipped(measured, tested, codes, asked, permutations)
    adjusted = holm([result.p_value for result in found])
    return tuple(
        _paired(pair, result._replace(p_permutation=flipped.get(pair)), p, measured)
        for pair, result, p in zip(names, found, adjusted, strict=True)
    )


def _paired(pair: tuple[str, str], result: "_Tested", p: float | None, measured: Mapping[str, Measured]) -> Paired:
    one, other = (measured[name] for name in pair)
    shares, tied, largest = _won(one, other)
    note = None
    if result.p_value is None:
        note = INFINITE if not math.isfinite(result.difference) else WHOLE if one.sums is None else ALIKE
    return Paired(pair, *result, p, shares, tied, note, largest)


class _Tested(NamedTuple):
    difference: float
    standard_error: float | None
    interval: Pair | None
    p_value: float | None
    p_permutation: float | None = None


def _pair(
    one: Measured, other: Measured, first: Array | None, second: Array | None, clusters: Codes | None, asked: Asked
) -> _Tested:
    """The paired t test."""
    with np.errstate(all="ignore"):
        difference = one.value - other.value
    if first is None or second is None:
        return _Tested(difference, None, None, None)
    apart = first - second
    largest = max(float(np.abs(first).max()), float(np.abs(second).max()))
    if float(np.abs(apart).max()) <= 8 * EPS * largest:  # what rounding leaves of differences that are all the same
        apart = np.zeros_like(apart)
    error, freedom = standard_error(apart, clusters)
    interval = around(difference, error, freedom, asked.confidence)
    return _Tested(difference, error, interval, t_tails(difference / error, freedom) if error > 0 else None)


def _resampled(one: Measured, other: Measured, first: Array, second: Array, asked: Asked) -> _Tested:
    """Of a loss of the whole batch: the bootstrap of the difference, both models on the same resamples."""
    with np.errstate(all="ignore"):
        difference, apart = one.value - other.value, first - second
    found = from_drawn(apart, asked) if math.isfinite(difference) else None
    return _Tested(difference, *(found or (None, None)), None)


def _flipped(
    measured: Mapping[str, Measured], names: Sequence[tuple[str, str]], codes: Codes | None, asked: Asked, permutations: int
) -> dict[tuple[str, str], float]:
    """The p-value of sign flips for each pair: the same flips for all of them."""
    columns = {name: _weighed(sums) for name, measurement in measured.items() if (sums := measurement.sums) is not None}
    if codes is not None:
        columns = {name: total(codes, column) for name, column in columns.items()}
    if not names:
        return {}
    found = sign_flips(np.stack([columns[one] - columns[other] for one, other in names], axis=1), permutations, asked.seed)
    return {} if found is None else dict(zip(names, found.tolist(), strict=True))


def _weighed(sums: Sums) -> Array:
    """What each sample adds to the value, as far as that is a sum: each mean's numerators by its weight and divisor."""
    shares = [weight / float(row.sum()) for (weight, _), row in zip(sums.terms, sums.divisors, strict=True)]
    return sums.numerators[0] if len(shares) == 1 else np.einsum("g,gn->n", np.array(shares), sums.numerators)


def _won(one: Measured, other: Measured) -> tuple[tuple[float, float], float, tuple[Difference, ...]]:
    """On which share of the samples each has the lower loss, the share of ties, and where they differ most."""
    whole = float(one.weights.sum())
    shares = [float(one.weights[lower].sum()) / whole for lower in (one.losses < other.losses, other.losses < one.losses)]
    with np.errstate(all="ignore"):
        apart = np.where(one.losses == other.losses, 0.0, one.losses - other.losses)  # of two infinite ones too
    order = np.argsort(-np.abs(apart), kind="stable")[:MOST_DIFFERENT]
    tied = float(one.weights[one.losses == other.losses].sum()) / whole
    return (shares[0], shares[1]), tied, tuple(Difference(int(one.index[row]), float(apart[row])) for row in order)


def _best(table: Sequence[Row], pairs: Sequence[Paired], confidence: float) -> str | None:
    """The model of the lowest value, where it is surely lower than each of the others."""
    name = min(table, key=lambda row: row.value if row.value == row.value else math.inf).model
    own = [pair for pair in pairs if name in pair.models]
    return name if own and all(pair.p_adjusted is not None and pair.p_adjusted < 1.0 - confidence for pair in own) else None


def _conclusion(table: Sequence[Row], pairs: Sequence[Paired], best: str | None, confidence: float) -> str:
    if len(table) == 1:
        return "One model alone: there is nothing to compare it with."
    if best is not None:
        own = [pair.p_adjusted for pair in pairs if best in pair.models and pair.p_adjusted is not None]
        than = "the other model" if len(table) == 2 else f"each of the other {len(table) - 1} models"
        return (
            f"{best} has the lowest loss, and it is lower than that of {than} beyond chance (adjusted p at most {max(own):.2g})."
        )
    if not any(pair.p_value is not None for pair in pairs):
        apart = [pair for pair in pairs if pair.interval is not None and not pair.interval[0] <= 0.0 <= pair.interval[1]]
        if apart and all(pair.note == WHOLE for pair in pairs):
            return _by_intervals(apart, confidence)
        return "Nothing may be concluded: none of the differences can be tested."
    lowest = min(table, key=lambda row: row.value if row.value == row.value else math.inf).model
    return (
        f"Nothing may be concluded: {lowest} has the lowest loss here, but not below every other model's beyond chance "
        f"at a confidence of {confidence:g}."
    )


def _by_intervals(apart: Sequence[Paired], confidence: float) -> str:
    """Of a loss that has no test: which intervals leave 0 out."""
    lower = [(pair.models if pair.difference < 0 else pair.models[::-1]) for pair in apart]
    order = ", ".join(f"{one} below {other}" for one, other in lower[:MOST_NAMED])
    more = f" and {len(lower) - MOST_NAMED} more" if len(lower) > MOST_NAMED else ""
    return (
        f"No test applies to a loss of the whole batch; by intervals of {confidence:g} from the same resamples, {order}{more}. "
        "They are not corrected for the number of pairs."
    )


def cost_of(batch: AnyBatch, models: int, permutations: int) -> float:
    """Steps that the pairs take beyond the error bars."""
    n, pairs = min(batch.elements[0], 4096), models * (models - 1) // 2
    return permutations * n * (2.0 + pairs) + 400.0 * batch.elements[0] * (models + pairs)
