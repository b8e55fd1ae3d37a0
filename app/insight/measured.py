"""A loss on a batch, sample by sample: what each sample adds to the value, and how that is put together again."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import CallerError, Fault, InvalidInput, Path
from app.insight.labels import Codes
from app.losses.batch import Batch
from app.losses.evaluate import evaluate
from app.losses.numerics.stable import Array

EPS = float(np.finfo(np.float64).eps)


class Sums(NamedTuple):
    """What samples add to a value that is the root of a mean: numerators and divisors, one row for each mean (g, n)."""

    numerators: Array
    divisors: Array
    power: int

    def of(self, chosen: NDArray[Any]) -> "Sums":
        """Those of some of the samples."""
        divisors = self.divisors
        if divisors.strides[1] == 0:
            count = int(np.count_nonzero(chosen)) if chosen.dtype == np.bool_ else chosen.size
            return Sums(self.numerators[:, chosen], np.broadcast_to(divisors[:, :1], (len(divisors), count)), self.power)
        return Sums(self.numerators[:, chosen], divisors[:, chosen], self.power)

    def by(self, codes: Codes | None) -> "Sums":
        """One for each cluster; without clusters, as they are."""
        if codes is None:
            return self
        numerators, divisors = (np.stack([total(codes, row) for row in rows]) for rows in (self.numerators, self.divisors))
        return Sums(numerators, divisors, self.power)

    def value(self, numerators: Array, divisors: Array) -> Array:
        """The value for sums (g, ...) of numerators and divisors."""
        with np.errstate(all="ignore"):
            means = numerators / divisors
            return (means if self.power == 1 else np.maximum(means, 0.0) ** (1.0 / self.power)).mean(axis=0)

    @property
    def plain(self) -> bool:
        """Whether it is one mean, and all samples count the same in it."""
        return len(self.divisors) == 1 and self.divisors.strides[1] == 0

    def slope(self, row: int) -> tuple[float, float]:
        """One of the means, and the derivative of the value to its sum of numerators."""
        with np.errstate(all="ignore"):
            whole = float(self.divisors[row].sum())
            mean = float(self.numerators[row].sum()) / whole
        root = max(mean, 0.0) ** (1.0 / self.power) if self.power > 1 else 1.0
        outer = 1.0 / (self.power * root ** (self.power - 1)) if root else 0.0
        return mean, outer / whole / len(self.numerators)

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

    batch: Batch
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


def measure(batch: Batch, *, at: Path = ("predictions",)) -> Measured:
    """The loss of each sample that counts; InvalidInput `too_few_samples` where these are fewer than two.

    `at` is where the caller has what decides how many samples there are.
    """
    evaluation = evaluate(batch, outputs=("value", "per_sample", "per_element"))
    per_sample, per_element = (cast(Array, evaluation.outputs[name]) for name in ("per_sample", "per_element"))
    n, power = per_sample.size, batch.mean.power or 1
    depth = math.prod(batch.elements) // n
    losses = per_element.reshape(-1)[slice(None) if batch.kept is None else batch.kept]
    numerators = losses if power == 1 else losses**power
    factors = _product(batch.weights, batch.factors)
    if factors is not None:
        numerators = np.where(factors == 0, 0.0, numerators * factors)
    divisors = _or_ones(_product(batch.weights, batch.counts), batch.size)
    weights = _or_ones(batch.weights, batch.size)
    if depth == 1 and batch.kept is None:
        index: Codes = np.arange(n, dtype=np.intp)
        sums = Sums(numerators[None], divisors[None], power)
    else:
        sample, column = np.divmod(_places(batch), depth)
        index, code = np.unique(sample, return_inverse=True)
        means = depth if batch.mean.by_column and power > 1 else 1
        slot = code if means == 1 else column * index.size + code
        tables = [total(slot, terms, means * index.size).reshape(means, -1) for terms in (numerators, divisors)]
        sums, weights = Sums(tables[0], tables[1], power), total(code, weights, index.size)
    counted = (weights > 0) & (sums.divisors.sum(axis=0) > 0)
    if not counted.all():
        index, weights, sums = index[counted], weights[counted], sums.of(counted)
    _refuse_few(index.size, n, at)
    whole = batch.mean.power is None or batch.loss.coupling == "batch"
    own = per_sample if index.size == n else per_sample[index]
    return Measured(batch, cast(float, evaluation.outputs["value"]), index, own, weights, None if whole else sums)


def total(codes: Codes, terms: Array, size: int = 0) -> Array:
    """The sum of the terms of each code."""
    return np.bincount(codes, terms, size).astype(np.float64, copy=False)


def _refuse_few(counted: int, n: int, at: Path) -> None:
    if counted > 1:
        return
    rule = "an error bar takes two samples or more"
    if n < 2:
        raise InvalidInput([Fault(at, "too_few_samples", f"{at[-1]} has one sample, and {rule}")])
    raise InvalidInput([Fault(("mask",), "too_few_samples", f"only one of {n} samples counts, and {rule}")])


def _places(batch: Batch) -> Codes:
    """The flat index of each element that counts."""
    return np.arange(math.prod(batch.elements), dtype=np.intp) if batch.kept is None else batch.kept


def _or_ones(array: Array | None, n: int) -> Array:
    return np.broadcast_to(np.float64(1.0), (n,)) if array is None else array


def _product(first: Array | None, second: Array | None) -> Array | None:
    return second if first is None else first if second is None else first * second


def _evaluated(batch: Batch, samples: Codes) -> float:
    """The value of a batch that is made of these samples of another; NaN where there is none, as of samples without a weight."""
    n = batch.elements[0]
    places = _places(batch)
    ends: Codes = places.searchsorted(np.arange(n + 1) * (math.prod(batch.elements) // n))
    starts = ends[samples]
    sizes: Codes = ends[samples + 1] - starts
    before: Codes = np.cumsum(sizes) - sizes
    rows: Codes = np.arange(sizes.sum(), dtype=np.intp) + np.repeat(starts - before, sizes)
    weights, counts, factors = (None if part is None else part[rows] for part in (batch.weights, batch.counts, batch.factors))
    some = batch._replace(
        arrays=tuple(array[:][rows] for array in batch.arrays), kept=places[rows], weights=weights, counts=counts,
        factors=factors, n_samples=samples.size, n_elements=rows.size,
    )  # fmt: skip
    try:
        return float(cast(float, evaluate(some, outputs=("value",)).outputs["value"]))
    except (CallerError, ZeroDivisionError, ValueError):  # a part of a batch may be none for this loss
        return math.nan
