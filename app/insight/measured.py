"""A loss on a batch, sample by sample: what each sample adds to the value, and how that is put together again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import CallerError, Fault, InvalidInput, Path
from app.insight.labels import Codes
from app.losses.batch import AnyBatch, Batch
from app.losses.numerics.stable import Array
from app.losses.sums import evaluate

EPS = float(np.finfo(np.float64).eps)


class Term(NamedTuple):
    """A part of a value: the root of a mean of powers, times a weight."""

    weight: float
    power: int


class Sums(NamedTuple):
    """What samples add to a value that is a sum of roots of means: numerators and divisors, one row for each mean (g, n)."""

    numerators: Array
    divisors: Array
    terms: tuple[Term, ...]
    """One for each row."""
    constant: float = 0.0
    """What is added to the sum, whatever the samples are."""

    def of(self, chosen: NDArray[Any]) -> "Sums":
        """Those of some of the samples."""
        divisors = self.divisors
        if divisors.strides[1] == 0:
            count = int(np.count_nonzero(chosen)) if chosen.dtype == np.bool_ else chosen.size
            return Sums(self.numerators[:, chosen], np.broadcast_to(divisors[:, :1], (len(divisors), count)), *self[2:])
        return Sums(self.numerators[:, chosen], divisors[:, chosen], *self[2:])

    def by(self, codes: Codes | None) -> "Sums":
        """One for each cluster; without clusters, as they are."""
        if codes is None:
            return self
        numerators, divisors = (np.stack([total(codes, row) for row in rows]) for rows in (self.numerators, self.divisors))
        return Sums(numerators, divisors, *self[2:])

    def value(self, numerators: Array, divisors: Array) -> Array:
        """The value for sums (g, ...) of numerators and divisors."""
        with np.errstate(all="ignore"):
            means = numerators / divisors
            roots = [
                weight * (mean if power == 1 else np.maximum(mean, 0.0) ** (1.0 / power))
                for (weight, power), mean in zip(self.terms, means, strict=True)
            ]
            return np.add.reduce(roots) + self.constant

    @property
    def plain(self) -> bool:
        """Whether it is one mean, and all samples count the same in it."""
        return len(self.divisors) == 1 and self.divisors.strides[1] == 0

    def slope(self, row: int) -> tuple[float, float]:
        """One of the means, and the derivative of the value to its sum of numerators."""
        with np.errstate(all="ignore"):
            whole = float(self.divisors[row].sum())
            mean = float(self.numerators[row].sum()) / whole
        weight, power = self.terms[row]
        root = max(mean, 0.0) ** (1.0 / power) if power > 1 else 1.0
        return mean, weight / (power * root ** (power - 1)) / whole if root else 0.0

    def influences(self) -> Array:
        """What each sample does to the value (n,): the derivative of that to the sample's weight. They add up to 0.

        All 0 where the samples differ by no more than rounding.
        """
        found: list[Array] = []
        with np.errstate(all="ignore"):
            for row, (numerators, divisors) in enumerate(zip(self.numerators, self.divisors, strict=True)):
                mean, slope = self.slope(row)
                apart = numerators - (mean if divisors.strides == (0,) else mean * divisors)
                apart *= 0.0 if _largest(apart) <= 8 * EPS * _largest(numerators) else slope
                found.append(apart)
        return found[0] if len(found) == 1 else np.sum(found, axis=0)


def _largest(numbers: Array) -> float:
    return max(float(numbers.max()), -float(numbers.min()))


@dataclass(frozen=True, eq=False)
class Measured:
    """A loss on the samples that count: those that are not masked, not ignored, and of some weight."""

    batch: AnyBatch
    value: float
    index: Codes
    """(n,) where they stand in the batch."""
    losses: Array
    """(n,) each one's own loss, as evaluate answers it."""
    weights: Array
    """(n,) what each counts: the sum of its elements' weights."""
    sums: Sums | None
    """None for a loss of the whole batch, whose value is no function of sums."""

    @property
    def n(self) -> int:
        return self.index.size

    def value_of(self, chosen: Codes) -> float:
        """The value of these samples, given by their places in `index`, perhaps several times; NaN where there is none."""
        if self.sums is not None:
            some = self.sums.of(chosen)
            return float(some.value(some.numerators.sum(axis=1), some.divisors.sum(axis=1)))
        return _evaluated(self.batch, self.index[chosen])

    @property
    def step_cost(self) -> float:
        """Steps that `value_of` all samples takes."""
        return 12.0 * self.n if self.sums is not None else self.batch.cost


def measure(batch: AnyBatch, *, path: Path = ("predictions",), part: bool = False) -> Measured:
    """The loss of each sample that counts; InvalidInput `too_few_samples` where these are fewer than two, unless it is a `part`.

    `path` is where the caller has what decides how many samples there are.
    """
    alone = ("per_element",) if isinstance(batch, Batch) else ()
    outputs = evaluate(batch, outputs=("value", "per_sample", *alone)).outputs
    value, per_sample = cast(float, outputs["value"]), cast(Array, outputs["per_sample"])
    n = per_sample.size
    if alone:
        index, sums, weights = _counted(leaves_of(batch)[0], cast(Array, outputs["per_element"]))
    else:
        index, sums, weights = _together(leaves_of(batch), n, value)
    if not part:
        _refuse_few(index.size, n, path)
    own = per_sample if index.size == n else per_sample[index]
    return Measured(batch, value, index, own, weights, None if is_whole(batch) else sums)


class Leaf(NamedTuple):
    """A loss that is not made of others, and how much it counts in the one that is."""

    batch: Batch
    weight: float = 1.0


def leaves_of(batch: AnyBatch, weight: float = 1.0) -> list[Leaf]:
    """The losses that a sum of losses is made of; of a loss alone, itself."""
    if isinstance(batch, Batch):
        return [Leaf(batch, weight)]
    parts = zip(batch.loss.parts, batch.parts, strict=True)
    return [leaf for part, within in parts for leaf in leaves_of(within, weight * part.weight)]


def is_whole(batch: AnyBatch) -> bool:
    """Whether the value is no function of sums over samples."""
    return any(leaf.batch.mean.power is None or leaf.batch.loss.coupling == "batch" for leaf in leaves_of(batch))


class _Counted(NamedTuple):
    """The samples that count in a loss, and what each adds to it."""

    samples: Codes
    sums: Sums
    weights: Array


def _counted(leaf: Leaf, per_element: Array) -> _Counted:
    batch, power = leaf.batch, leaf.batch.mean.power or 1
    n, depth = batch.elements[0], math.prod(batch.elements[1:])
    losses = per_element.reshape(-1)[slice(None) if batch.kept is None else batch.kept]
    numerators = losses if power == 1 else losses**power
    factors = _product(batch.weights, batch.factors)
    if factors is not None:
        numerators = np.where(factors == 0, 0.0, numerators * factors)
    divisors = _or_ones(_product(batch.weights, batch.counts), batch.size)
    weights = _or_ones(batch.weights, batch.size)
    if depth == 1 and batch.kept is None:
        index: Codes = np.arange(n, dtype=np.intp)
        sums = Sums(numerators[None], divisors[None], (Term(leaf.weight, power),))
    else:
        sample, column = np.divmod(_places(batch), depth)
        index, code = np.unique(sample, return_inverse=True)
        means = depth if batch.mean.by_column and power > 1 else 1
        slot = code if means == 1 else column * index.size + code
        tables = [total(slot, terms, means * index.size).reshape(means, -1) for terms in (numerators, divisors)]
        sums, weights = Sums(tables[0], tables[1], (Term(leaf.weight / means, power),) * means), total(code, weights, index.size)
    counted = (weights > 0) & (sums.divisors.sum(axis=0) > 0)
    return _Counted(index, sums, weights) if counted.all() else _Counted(index[counted], sums.of(counted), weights[counted])


def _together(leaves: Sequence[Leaf], n: int, value: float) -> _Counted:
    """The samples that count in some of the losses of a sum, and what each adds to its value."""
    parts = [
        _counted(leaf, cast(Array, evaluate(leaf.batch, outputs=("per_element",)).outputs["per_element"])) for leaf in leaves
    ]
    terms = tuple(term for part in parts for term in part.sums.terms)
    numerators, divisors, weights = np.zeros((len(terms), n)), np.zeros((len(terms), n)), np.zeros(n)
    row = 0
    for found in parts:
        rows = slice(row, row + len(found.sums.terms))
        numerators[rows, found.samples], divisors[rows, found.samples] = found.sums[:2]
        weights[found.samples] += found.weights / len(parts)
        row = rows.stop
    index = np.flatnonzero(weights > 0)
    sums = Sums(numerators, divisors, terms)
    with np.errstate(all="ignore"):
        constant = value - float(sums.value(numerators.sum(axis=1), divisors.sum(axis=1)))
    constant = constant if math.isfinite(constant) else 0.0
    return _Counted(index, sums._replace(constant=constant).of(index), weights[index])


def total(codes: Codes, terms: Array, size: int = 0) -> Array:
    """The sum of the terms of each code."""
    return np.bincount(codes, terms, size).astype(np.float64, copy=False)


def _refuse_few(counted: int, n: int, path: Path) -> None:
    if counted > 1:
        return
    rule = "an error bar takes two samples or more"
    if n < 2:
        raise InvalidInput([Fault(path, "too_few_samples", f"{path[-1]} has one sample, and {rule}")])
    raise InvalidInput([Fault(("mask",), "too_few_samples", f"only one of {n} samples counts, and {rule}")])


def _places(batch: Batch) -> Codes:
    """The flat index of each element that counts."""
    return np.arange(math.prod(batch.elements), dtype=np.intp) if batch.kept is None else batch.kept


def _or_ones(array: Array | None, n: int) -> Array:
    return np.broadcast_to(np.float64(1.0), (n,)) if array is None else array


def _product(first: Array | None, second: Array | None) -> Array | None:
    return second if first is None else first if second is None else first * second


def _evaluated(batch: AnyBatch, samples: Codes) -> float:
    """The value of these samples of a batch; NaN where there is none, as of samples without a weight."""
    try:
        return float(cast(float, evaluate(_some(batch, samples), outputs=("value",)).outputs["value"]))
    except (CallerError, ZeroDivisionError, ValueError):  # a part of a batch may be none for this loss
        return math.nan


def _some(batch: AnyBatch, samples: Codes) -> AnyBatch:
    """A batch that is made of these samples of another."""
    if not isinstance(batch, Batch):
        return batch._replace(parts=tuple(_some(part, samples) for part in batch.parts))
    n = batch.elements[0]
    places = _places(batch)
    ends: Codes = places.searchsorted(np.arange(n + 1) * (math.prod(batch.elements) // n))
    starts = ends[samples]
    sizes: Codes = ends[samples + 1] - starts
    before: Codes = np.cumsum(sizes) - sizes
    rows: Codes = np.arange(sizes.sum(), dtype=np.intp) + np.repeat(starts - before, sizes)
    weights, counts, factors, sums = (
        None if part is None else part[rows] for part in (batch.weights, batch.counts, batch.factors, batch.sums)
    )
    return batch._replace(
        arrays=tuple(array[:][rows] for array in batch.arrays),
        kept=places[rows],
        weights=weights,
        counts=counts,
        factors=factors,
        sums=sums,
        n_samples=samples.size,
        n_elements=rows.size,
    )
