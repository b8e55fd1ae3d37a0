"""From per-sample losses to one number and its gradient: weights, masks, reduction and row blocks. The only place.

The value is a mean f of the losses l (Σwl/Σw for most), the gradient its exact derivative: each sample's own gradient
times df/dl. Losses of single samples are evaluated in blocks of rows that fit in the cache, and summed there; the sum of
all is rounded once, so that no answer depends on how it was cut.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from app.errors import Fault, InvalidParameter
from app.losses.batch import Batch, inputs_on
from app.losses.inputs import Numbers
from app.losses.loss import Gradient, Loss
from app.losses.numerics.blocks import in_blocks
from app.losses.numerics.means import in_units
from app.losses.numerics.stable import NOTHING, Array, Partial, all_finite, exact_sum, partial_sum, sum_of_parts

Reduction: TypeAlias = Literal["mean", "sum", "mean_over_samples", "none"]
Output: TypeAlias = Literal["value", "per_sample", "gradient"]

OUTPUTS: tuple[Output, ...] = ("value", "per_sample", "gradient")
NON_FINITE_LISTED = 100


@dataclass(frozen=True)
class NonFinite:
    """A number of the answer that is infinite or undefined, and so null in JSON."""

    output: str
    index: tuple[int, ...]
    value: Literal["Infinity", "-Infinity", "NaN"]


class Evaluation(NamedTuple):
    """A loss on a batch. `per_sample` is (n,); `gradient` is shaped like the predictions, by name where they are named."""

    reduction: Reduction
    n_samples: int
    divisor: float | None
    value: float | None
    per_sample: Array | None
    gradient: Array | Mapping[str, Array] | None
    encodings: Mapping[str, str]
    non_finite: tuple[NonFinite, ...]
    warnings: tuple[str, ...]


def evaluate(
    batch: Batch, *, reduction: Reduction = "mean", outputs: Collection[Output] = OUTPUTS, block_bytes: int | None = None
) -> Evaluation:
    """The loss of a checked batch: its value under the reduction, each sample's loss, and the gradient of the value.

    With reduction "none" there is no value, and the gradient is that of each sample's own loss (of their sum, for a
    loss that couples the samples of a batch).
    """
    loss = batch.loss
    if not loss.mean.sums and reduction in ("sum", "mean_over_samples"):
        message = f"{loss.name} is the {loss.mean.name} of the losses and has no {reduction}; use mean or none"
        raise InvalidParameter([Fault("/reduction", "reduction", message)])
    total = _total(batch, reduction)
    with np.errstate(all="ignore"):  # poles and overflows are answers here: they are found by their value, and named
        run = _whole if loss.coupling == "batch" else _in_blocks
        losses, value, gradients, sound = run(batch, total, "gradient" in outputs and loss.differentiable, block_bytes)
    if batch.rows is not None:
        losses, gradients = _scatter(losses, batch), [_scatter(each, batch) for each in gradients]
    gradient = _by_name(loss, gradients) if gradients else None
    shown = losses if "per_sample" in outputs else None
    reported = value if "value" in outputs else None
    # a plain sum is finite only where every loss is
    summed = value is not None and math.isfinite(value) and total.weights is None and loss.mean.of_samples is None
    outputs_given = {"value": reported, "per_sample": shown, "gradient": gradient}
    found, count = ([], 0) if summed and sound else _non_finite(outputs_given)
    more = count > NON_FINITE_LISTED
    said = f"non_finite lists the first {NON_FINITE_LISTED} of {count} numbers that are null" if more else ""
    return Evaluation(
        reduction=reduction,
        n_samples=total.n,
        divisor=total.divisor * total.unit if loss.mean.sums and reduction != "none" else None,
        value=reported,
        per_sample=shown,
        gradient=gradient,
        encodings=batch.encodings,
        non_finite=tuple(found),
        warnings=(*batch.warnings, said) if more else batch.warnings,
    )


class _Total(NamedTuple):
    """How samples are put together: each times its weight (None: 1), all divided by the divisor, both in one unit."""

    reduction: Reduction
    weights: Array | None
    divisor: float
    n: int
    unit: float = 1.0


_Run: TypeAlias = tuple[Array, float | None, list[Array], bool]
"""Each sample's loss, the value, the gradients, and whether these are known to be finite."""


def _total(batch: Batch, reduction: Reduction) -> _Total:
    kept = batch.arrays[0].shape[0]
    n = kept if batch.counts is None else int(np.count_nonzero(batch.counts))
    weights = batch.weights
    if reduction == "none":
        return _Total(reduction, None, 1.0, n)
    if reduction == "sum":
        return _Total(reduction, weights, 1.0, n)
    weights, unit = (None, 1.0) if weights is None else in_units(weights)
    if reduction == "mean_over_samples" or (weights is None and batch.counts is None):
        return _Total(reduction, weights, n / unit, n, unit)
    shares = np.ones(kept) if weights is None else weights
    return _Total(reduction, weights, exact_sum(shares if batch.counts is None else shares * batch.counts), n, unit)


def _in_blocks(batch: Batch, total: _Total, wanted: bool, block_bytes: int | None) -> _Run:
    """Losses of single samples: block by block, each gradient scaled and looked through while it is still in the cache."""
    mean = batch.loss.mean
    n = batch.arrays[0].shape[0]
    losses = np.empty(n)
    gradients = [np.empty(array.shape, array.dtype) for array in _predictions(batch)] if wanted else []
    summed = mean.of_samples is None and total.reduction != "none"
    known = total if mean.of_samples is None else _Total("none", None, 1.0, n)
    unsound: list[slice] = []

    def store(rows: slice, weights: Array | None) -> None:
        values, gradient = batch.loss(*(_for_kernel(array[rows]) for array in batch.arrays), **batch.parameters)
        columns = values.size // values.shape[0]
        losses[rows], slope = (values, None) if values.ndim == 1 else mean.of_columns(values.reshape(-1, columns))
        for out, each in zip(gradients, _arrays_of(gradient, values.shape[0]) if wanted else (), strict=True):
            scaled = out[rows]
            _scale(each if slope is None else each * slope.reshape(each.shape), weights, columns * known.divisor, scaled)
            if not all_finite(scaled):
                unsound.append(rows)

    def work(rows: slice) -> Partial:
        weights = None if known.weights is None else known.weights[rows]
        store(rows, weights)  # its arrays are gone when the sum takes their place in the cache
        return partial_sum(_weighted(losses[rows], weights)) if summed else NOTHING

    parts = in_blocks(work, n, max(array.nbytes // n for array in batch.arrays), block_bytes)
    value, slope = _reduce(batch, losses, total, parts)
    for out in gradients if slope is not None else ():
        _scale(out, slope, 1.0, out)
    return losses, value, gradients, not unsound and slope is None


def _whole(batch: Batch, total: _Total, wanted: bool, block_bytes: int | None) -> _Run:
    """Losses that couple the samples of a batch: all at once, the gradient pulled back from the weights of the samples."""
    losses, pullback = batch.loss(*map(_for_kernel, batch.arrays), **batch.parameters)
    value, _ = _reduce(batch, losses, total, [partial_sum(_weighted(losses, total.weights))])
    if not wanted or not callable(pullback):
        return losses, value, [], True
    weights = np.ones_like(losses) if total.weights is None else total.weights
    return losses, value, [pullback(weights / total.divisor)], False


def _for_kernel(block: Numbers) -> Array:
    """Single precision is widened here, a block at a time; class indices stay the integers they are."""
    return block if block.dtype.kind in "iu" else block.astype(np.float64, copy=False)


def _predictions(batch: Batch) -> tuple[Numbers, ...]:
    return batch.arrays[: len(inputs_on("predictions", batch.loss))]


def _arrays_of(gradient: Gradient, n: int) -> tuple[Array, ...]:
    if gradient is None:
        return ()
    if callable(gradient):
        gradient = gradient(np.ones(n))
    return gradient if isinstance(gradient, tuple) else (gradient,)


def _scale(gradient: Array, weights: Array | None, divisor: float, out: Array) -> None:
    """out = gradient · weights / divisor, row by row; a weight of 0 gives 0 even where the gradient is infinite."""
    if weights is not None:
        column = weights.reshape(-1, *(1,) * (gradient.ndim - 1))
        gradient = np.where(column == 0, 0.0, gradient * column)
    if math.frexp(divisor)[0] == 0.5 and 1e-300 < divisor < 1e300:  # a power of two has an exact reciprocal
        np.multiply(gradient, 1.0 / divisor, out=out)
    else:
        np.divide(gradient, divisor, out=out)


def _weighted(losses: Array, weights: Array | None) -> Array:
    return losses if weights is None else np.where(weights == 0, 0.0, losses * weights)


def _reduce(batch: Batch, losses: Array, total: _Total, parts: Sequence[Partial]) -> tuple[float | None, Array | None]:
    """The value, and its derivative to each loss where that was not known beforehand."""
    if total.reduction == "none":
        return None, None
    if batch.loss.mean.of_samples is not None:
        return batch.loss.mean.of_samples(losses, total.weights, total.divisor)
    value = sum_of_parts(parts, lambda: _weighted(losses, total.weights)) / total.divisor
    if not math.isfinite(value) and np.isfinite(weighted := _weighted(losses, total.weights)).all():
        value = exact_sum(weighted / total.divisor)  # the sum overflows where the mean need not
    return value, None


def _scatter(kept: Array, batch: Batch) -> Array:
    """Rows back to where they stand in the request; 0 for those a mask dropped."""
    whole = np.zeros((batch.n, *kept.shape[1:]), kept.dtype)
    whole[batch.rows] = kept
    return whole


def _by_name(loss: Loss, gradients: list[Array]) -> Array | dict[str, Array]:
    inputs = inputs_on("predictions", loss)
    return gradients[0] if "predictions" in inputs else dict(zip(inputs, gradients, strict=True))


def _non_finite(outputs: Mapping[str, float | Array | Mapping[str, Array] | None]) -> tuple[list[NonFinite], int]:
    """The first numbers that are infinite or undefined, as many as are listed, and how many there are."""
    found: list[NonFinite] = []
    count = 0
    for output, numbers in _arrays_by_name(outputs):
        places = np.flatnonzero(~np.isfinite(numbers))
        count += places.size
        for place in places[: NON_FINITE_LISTED - len(found)]:
            index = tuple(int(along) for along in np.unravel_index(int(place), numbers.shape))
            found.append(NonFinite(output, index, word(float(numbers[index]))))
    return found, count


def _arrays_by_name(outputs: Mapping[str, float | Array | Mapping[str, Array] | None]) -> Iterator[tuple[str, Array]]:
    for output, numbers in outputs.items():
        if isinstance(numbers, Mapping):
            yield from ((f"{output}.{name}", array) for name, array in numbers.items())
        elif numbers is not None:
            yield output, np.asarray(numbers)


def word(number: float) -> Literal["Infinity", "-Infinity", "NaN"]:
    """A number that JSON has no literal for, by its name."""
    return "NaN" if np.isnan(number) else "Infinity" if number > 0 else "-Infinity"
