"""Losses of batches that are parts of one: what each adds, and what they come to together.

What is kept are exact sums, so that value and divisor are to the bit those of one batch with all rows, whatever the parts are
and in whatever order they are added. Losses whose value is no function of sums over samples are refused.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidParameter
from app.losses.batch import AnyBatch, Batch
from app.losses.evaluate import Reduction, Total, losses_of, total_of
from app.losses.form import Bound, Sum
from app.losses.numerics.exactly import Exact, exactly, products, root, whole
from app.losses.numerics.means import SPARE, weighted
from app.losses.numerics.stable import Array, power_of_two
from app.losses.sums import AnyBound, put_together

NOTHING = Exact()


@dataclass(frozen=True)
class Tally:
    """What the elements of batches add to one loss."""

    n_samples: int = 0
    """Those that count."""
    n_elements: int = 0
    n_missing: int = 0
    weighing: int = 0
    """Samples that count something in the divisor."""
    unit: float = 0.0
    """The power of two in which one batch of all would have its weights."""
    numerators: Exact = NOTHING
    """Σ of the weighted losses, or of their squares where the value is the root of a mean of these."""
    divisors: Exact = NOTHING
    squares: Exact = NOTHING
    """Σa² of what the samples add to the numerators."""
    crossed: Exact = NOTHING
    """Σad of that and of what they add to the divisors."""
    divisor_squares: Exact = NOTHING
    """Σd²"""

    def __add__(self, other: "Tally") -> "Tally":
        both: dict[str, Any] = {name: value + getattr(other, name) for name, value in vars(self).items()}
        both["unit"] = max(self.unit, other.unit)
        return Tally(**both)

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON has it, to the bit."""
        return {name: str(value) if isinstance(value, Exact) else value for name, value in vars(self).items()}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        found: dict[str, Any] = {name: Exact.read(value) if isinstance(value, str) else value for name, value in document.items()}
        return cls(**found)


# --- which losses can be put together ---------------------------------------------------------------------------------


def leaves(bound: AnyBound) -> Iterator[Bound]:
    """The losses that a sum of losses is made of; of a loss alone, itself."""
    if isinstance(bound, Bound):
        yield bound
        return
    for part in bound.parts:
        yield from leaves(part.loss)


def refuse_whole(bound: AnyBound) -> None:
    """InvalidParameter for a loss whose value cannot be put together from those of parts of the rows."""
    for leaf in leaves(bound):
        reason = _whole_because(leaf)
        if reason:
            message = f"{leaf.name} cannot be put together from parts of the rows: {reason}; send all rows in one request"
            raise InvalidParameter([Fault(("parameters", *leaf.within), "does_not_fit", message)])


def _whole_because(leaf: Bound) -> str:
    if leaf.loss.coupling == "batch":
        return "it compares the samples of a batch with each other"
    if leaf.mean.power is None:
        return f"its value is the {leaf.mean.name} of the losses, and no mean over samples"
    if leaf.mean.by_column and leaf.mean.of_all is not None:
        return "its value is an average of roots, one of each column"
    if any(leaf.parameters[name] == "balanced" for name in leaf.unsettled):
        return "what balances its classes is known once all labels are (or say the weights)"
    if any(per.what == "sample" for _, per, _ in leaf.columns):
        return "a parameter has a number for each sample"
    return ""


def refuse_gradient(bound: AnyBound) -> None:
    """InvalidParameter for a loss whose gradient does not follow, part by part, from the divisor of all."""
    if isinstance(bound, Sum):
        reason = "it is of several losses; evaluate them one by one"
    elif any(taken.named for taken in bound.loss.sides["predictions"].values()):
        reason = "its predictions are several arrays"
    elif not bound.loss.differentiable:
        reason = f"{bound.name} has none"
    elif bound.mean.of_all is not None:
        reason = f"that of a {bound.mean.name} takes all samples at once"
    else:
        return
    raise InvalidParameter([Fault(("parameters",), "output", f"no gradient can be written of this loss: {reason}")])


# --- what a batch adds ------------------------------------------------------------------------------------------------


def tallies(batch: AnyBatch, reduction: Reduction, *, errors: bool = True) -> tuple[Tally, ...]:
    """What a batch adds to its loss, or to each of those that a sum is made of, in their order.

    Without `errors` what a standard error takes is left out.
    """
    if not isinstance(batch, Batch):
        return tuple(found for part in batch.parts for found in tallies(part, reduction, errors=False))
    return (_tally(batch, reduction, errors),)


class _Added(NamedTuple):
    """What the elements of a batch add to numerators and divisors, each times a power of two; shares None: 1 each."""

    numerators: Array
    exponent: int
    shares: Array | None
    unit: int


def _added(batch: Batch, total: Total) -> _Added:
    losses, exponent = losses_of(batch), _exponent(total.unit)
    if batch.mean.power != 2:
        return _Added(weighted(losses, total.weights), exponent, total.shares, exponent)
    kept = losses if total.weights is None else np.where(total.weights == 0, 0.0, losses)
    scale = float(power_of_two(np.array(np.abs(kept).max())))
    scaled = kept / scale
    numerators = (scaled if total.weights is None else scaled * total.weights) * scaled
    return _Added(numerators, exponent + 2 * _exponent(scale), total.shares, exponent)


@np.errstate(all="ignore")
def _tally(batch: Batch, reduction: Reduction, errors: bool) -> Tally:
    total = total_of(batch, reduction)
    added = _added(batch, total)
    numerators, exponent, shares, unit = added
    found = Tally(
        batch.n_samples,
        batch.n_elements,
        batch.n_missing or 0,
        unit=total.unit,
        numerators=exactly(numerators, exponent),
        divisors=whole(batch.n_elements) if shares is None else exactly(shares, unit),
    )
    if not errors or reduction == "sum":
        return found
    parts = _by_sample(batch, numerators)
    if shares is None and batch.counts is None and parts is numerators:  # each sample counts 1
        squares = products(parts, parts, 2 * exponent)
        return replace(found, weighing=batch.size, squares=squares, crossed=found.numerators, divisor_squares=found.divisors)
    return replace(found, **_squares(parts, _shares_by_sample(batch, added), added))


def tallies_by(batch: Batch, codes: NDArray[np.intp], count: int) -> list[Tally]:
    """What the samples of each code (n,) add to the mean of a loss, as if they were all there are."""
    added = _added(batch, total_of(batch, "mean"))
    parts, divisors = _by_sample(batch, added.numerators), _shares_by_sample(batch, added)
    unit = 0 if added.shares is None else added.unit
    own = codes[_samples(batch)]
    found: list[Tally] = []
    for code in range(count):
        chosen = own == code
        some, shares = parts[chosen], divisors[chosen]
        tally = Tally(some.size, numerators=exactly(some, added.exponent), divisors=exactly(shares, unit))
        found.append(replace(tally, unit=2.0**added.unit, **_squares(some, shares, added)))
    return found


def _squares(parts: Array, divisors: Array, added: _Added) -> dict[str, Any]:
    """The fields of a tally that are of squares and products, and how many samples count."""
    unit = 0 if added.shares is None else added.unit
    return {
        "weighing": int(np.count_nonzero(divisors > 0)),
        "squares": products(parts, parts, 2 * added.exponent),
        "crossed": products(parts, divisors, added.exponent + unit),
        "divisor_squares": products(divisors, divisors, 2 * unit),
    }


def _shares_by_sample(batch: Batch, added: _Added) -> Array:
    shares = added.shares
    if shares is None:
        shares = np.ones(batch.size) if batch.counts is None else (batch.counts > 0).astype(np.float64)
    return _by_sample(batch, shares)


def _samples(batch: Batch) -> NDArray[np.intp]:
    """Which samples have an element that counts, in the order of `_by_sample`."""
    depth = math.prod(batch.elements[1:])
    if batch.kept is None:
        return np.arange(batch.elements[0], dtype=np.intp)
    return batch.kept if depth == 1 else np.unique(batch.kept // depth)


def _by_sample(batch: Batch, terms: Array) -> Array:
    """The sum of what the elements of each sample add, of those that have one that counts."""
    depth = math.prod(batch.elements[1:])
    if depth == 1:
        return terms
    if batch.kept is None:
        return np.add.reduce(terms.reshape(-1, depth), axis=1)
    samples = batch.kept // depth
    return np.add.reduceat(terms, np.flatnonzero(np.diff(samples, prepend=-1)))


def _exponent(power: float) -> int:
    return math.frexp(power)[1] - 1


# --- what they come to ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Merged:
    """What all batches come to together."""

    n_samples: int
    n_elements: int
    n_missing: int
    divisor: float | None
    value: float
    standard_error: float | None
    """s/√n of the samples' losses; of weighted ones, and of a root, what their influences say. None where it cannot be told."""


def value_of(bound: Bound, tally: Tally) -> float:
    """The mean that a tally comes to."""
    return _value(bound, iter((tally,)), "mean")


def merged(bound: AnyBound, found: Sequence[Tally], reduction: Reduction, n_samples: int) -> Merged:
    """The value of a loss, or of a sum of losses, from what its batches have added; `n_samples` of them count."""
    alone = found[0] if isinstance(bound, Bound) else None
    divisors = {_divisor(tally, reduction) for tally in found}
    return Merged(
        n_samples,
        max(tally.n_elements for tally in found),
        max(tally.n_missing for tally in found),
        divisors.pop() if len(divisors) == 1 else None,
        _value(bound, iter(found), reduction),
        standard_error(alone, bound.mean.power or 1, reduction) if alone and isinstance(bound, Bound) else None,
    )


def _divisor(tally: Tally, reduction: Reduction) -> float:
    return 1.0 if reduction == "sum" else tally.divisors.rounded()


def _value(bound: AnyBound, found: Iterator[Tally], reduction: Reduction) -> float:
    if isinstance(bound, Sum):
        return put_together(bound.parts, [_value(part.loss, found, reduction) for part in bound.parts])
    tally = next(found)
    numerators, divisor = tally.numerators, _divisor(tally, reduction)
    if not divisor:
        return math.nan
    if bound.mean.power == 2:
        return _root_of_mean(tally, divisor)
    total = numerators.rounded()
    if math.isfinite(total) or numerators.beyond != 0:
        return total / divisor
    return _scaled(numerators.rounded(-SPARE) / divisor, SPARE)


def _root_of_mean(tally: Tally, divisor: float) -> float:
    """As it is computed of all at once: numerators and divisor in one unit, whose own root need not be a power of two."""
    if tally.numerators.beyond != 0:
        return math.sqrt(abs(tally.numerators.beyond))
    unit = _exponent(tally.unit)
    half = (tally.numerators.exponent - unit) // 2
    return _scaled(math.sqrt(tally.numerators.rounded(-unit - 2 * half)) / math.sqrt(math.ldexp(divisor, -unit)), half)


def _scaled(number: float, exponent: int) -> float:
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)


def standard_error(tally: Tally, power: int, reduction: Reduction) -> float | None:
    """√(n/(n−1) · Σψ²) of the influences ψ of the samples on the value, rounded once; None of a sum, or of fewer than two."""
    n = tally.weighing
    if reduction == "sum" or n < 2 or not tally.divisors.units:
        return None
    sums = (tally.numerators, tally.divisors, tally.squares, tally.crossed, tally.divisor_squares)
    if any(part.beyond != 0 for part in sums):
        return math.nan
    numerator, divisor, squares, crossed, divisor_squares = (part.fraction for part in sums)
    mean = numerator / divisor
    apart = squares - 2 * mean * crossed + mean * mean * divisor_squares
    square = Fraction(n, n - 1) * apart / divisor**2
    if power == 2:
        if not mean:
            return None
        square /= 4 * mean
    return root(max(square, Fraction(0)))
