"""From the losses of elements to one number and its gradient: weights, masks, reduction and row blocks. The only place.

A sample is a row of the request; its elements are what the loss is computed on, and most have one. The value is a mean f
of the elements' losses l (Σwl/Σw for most), the gradient its exact derivative: each element's own gradient times df/dl.
Losses of single samples are evaluated in blocks of elements that fit in the cache, and summed there; the sum of all is
rounded once, so that no answer depends on how it was cut.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidParameter
from app.losses.batch import Batch, inputs_on
from app.losses.inputs import Numbers
from app.losses.layout import Apart, empty_like, restored
from app.losses.loss import Gradient
from app.losses.numerics.blocks import BLOCK_BYTES, in_blocks
from app.losses.numerics.means import average_of_columns, in_units
from app.losses.numerics.stable import NOTHING, Array, Partial, all_finite, exact_sum, partial_sum, sum_of_parts

Reduction: TypeAlias = Literal["mean", "sum", "mean_over_samples", "none"]
Output: TypeAlias = Literal["value", "per_sample", "per_element", "gradient"]

OUTPUTS: tuple[Output, ...] = ("value", "per_sample", "gradient")
"""What is answered where nothing is asked for."""
NON_FINITE_LISTED = 100
_bytes = attrgetter("nbytes")


@dataclass(frozen=True)
class NonFinite:
    """A number of the answer that is infinite or undefined, and so null in JSON."""

    output: str
    index: tuple[int, ...]
    value: Literal["Infinity", "-Infinity", "NaN"]


class Evaluation(NamedTuple):
    """A loss on a batch. `per_sample` is (n,), `per_element` (n, *d); `gradient` is shaped and named as the predictions are."""

    reduction: Reduction
    n_samples: int
    n_elements: int | None
    """Elements that count; None where a sample is one element."""
    divisor: float | None
    value: float | None
    per_sample: Array | None
    per_element: Array | None
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
    loss, mean = batch.loss, batch.mean
    if not mean.sums and reduction in ("sum", "mean_over_samples"):
        message = f"{loss.name} is the {mean.name} of the losses and has no {reduction}; use mean or none"
        raise InvalidParameter([Fault(("reduction",), "reduction", message)])
    total = _total(batch, reduction)
    with np.errstate(all="ignore"):  # poles and overflows are answers here: they are found by their value, and named
        few = block_bytes is None and sum(map(_bytes, batch.arrays)) <= BLOCK_BYTES
        run = _whole if loss.coupling == "batch" else _at_once if few else _in_blocks
        losses, value, gradients, sound = run(batch, total, "gradient" in outputs and loss.differentiable, block_bytes)
        per_sample = _per_sample(batch, losses)[0] if "per_sample" in outputs else None
    gradient = _by_name(batch, gradients) if gradients else None
    per_element = restored(losses, batch.elements, batch.kept, None) if "per_element" in outputs else None
    reported = value if "value" in outputs else None
    # a plain sum is finite only where every loss is
    summed = value is not None and math.isfinite(value) and total.weights is None and mean.of_all is None
    outputs_given = {"value": reported, "per_sample": per_sample, "per_element": per_element, "gradient": gradient}
    found, count = ([], 0) if summed and sound else _non_finite(outputs_given)
    more = count > NON_FINITE_LISTED
    said = f"non_finite lists the first {NON_FINITE_LISTED} of {count} numbers that are null" if more else ""
    return Evaluation(
        reduction=reduction,
        n_samples=batch.n_samples,
        n_elements=batch.n_elements if len(batch.elements) > 1 else None,
        divisor=total.divisor * total.unit if mean.sums and reduction != "none" else None,
        value=reported,
        per_sample=per_sample,
        per_element=per_element,
        gradient=gradient,
        encodings=batch.encodings,
        non_finite=tuple(found),
        warnings=(*batch.warnings, said) if more else batch.warnings,
    )


class _Total(NamedTuple):
    """How elements are put together: each times its weight (None: 1), all divided by the divisor, both in one unit."""

    reduction: Reduction
    weights: Array | None
    divisor: float
    unit: float = 1.0


_Run: TypeAlias = tuple[Array, float | None, list[Numbers | Apart], bool]
"""Each element's loss, the value, the gradients, and whether these are known to be finite."""


def _total(batch: Batch, reduction: Reduction) -> _Total:
    if reduction == "none":
        return _Total(reduction, *_shares(batch))
    if reduction == "sum":
        return _Total(reduction, batch.weights, 1.0)
    total = _mean_of(batch, reduction)
    if reduction == "mean" and batch.factors is not None:
        return total._replace(weights=batch.factors if total.weights is None else batch.factors * total.weights)
    return total


def _mean_of(batch: Batch, reduction: Reduction) -> _Total:
    weights, unit = (None, 1.0) if batch.weights is None else in_units(batch.weights)
    if reduction == "mean_over_samples" or (weights is None and batch.counts is None):
        return _Total(reduction, weights, batch.n_elements / unit, unit)
    shares = np.ones(batch.size) if weights is None else weights
    return _Total(reduction, weights, exact_sum(shares if batch.counts is None else shares * batch.counts), unit)


# --- samples and their elements -------------------------------------------------------------------------------------


def _grid(batch: Batch, numbers: Array) -> Array:
    """One number for each element that counts as (n, d), 0 for the others."""
    if batch.kept is not None:
        whole = np.zeros(math.prod(batch.elements))
        whole[batch.kept] = numbers
        numbers = whole
    return numbers.reshape(batch.elements[0], -1)


def _shares(batch: Batch) -> tuple[Array | None, float]:
    """What each element is of its sample, as weights (m,) or None, and a divisor."""
    depth = math.prod(batch.elements[1:])
    if depth == 1 or not (batch.by_element or _some_in_part(batch.kept, depth)):
        return None, float(depth)
    grid = _grid(batch, batch.weights if batch.weights is not None and batch.by_element else np.ones(batch.size))
    sums = grid.sum(axis=1, keepdims=True)
    shares = np.divide(grid, sums, out=np.zeros_like(grid), where=sums > 0).reshape(-1)
    return shares if batch.kept is None else shares[batch.kept], 1.0


def _some_in_part(kept: NDArray[np.intp] | None, depth: int) -> bool:
    """Whether a sample has elements that count beside others that do not."""
    return kept is not None and kept.size != (np.count_nonzero(np.diff(kept // depth)) + 1) * depth


def _per_sample(batch: Batch, losses: Array) -> tuple[Array, Array | None]:
    """The mean of each sample's elements (n,), 0 where none of them counts, and what its derivative has beside their shares."""
    if batch.kept is None and len(losses) == batch.elements[0]:
        return losses, None
    grid = _grid(batch, losses)
    if grid.shape[1] == 1:
        return grid[:, 0], None
    shares, _ = _shares(batch)
    means, slope = batch.mean.of_rows(grid, None if shares is None else _grid(batch, shares))
    if slope is None:
        return means, None
    return means, slope.reshape(-1) if batch.kept is None else slope.reshape(-1)[batch.kept]


def _restored(batch: Batch, name: str, gradient: Numbers | Apart) -> Array:
    """A gradient as the array of this name in the request: where elements share a number, the sum of what they pull it with."""
    array = restored(gradient, batch.elements, batch.kept, batch.class_axis)
    if name not in batch.shared:
        return array
    return array.reshape(batch.elements[0], -1).sum(axis=1).reshape(batch.shared[name])


# --- blocks of elements ---------------------------------------------------------------------------------------------


def _in_blocks(batch: Batch, total: _Total, wanted: bool, block_bytes: int | None) -> _Run:
    """Losses of single samples: block by block, each gradient scaled and looked through while it is still in the cache."""
    size, mean = batch.size, batch.mean
    losses = np.empty(size)
    gradients = [empty_like(array) for array in _predictions(batch)] if wanted else []
    summed = mean.of_all is None and total.reduction != "none"
    weights, divisor = (total.weights, total.divisor) if mean.of_all is None or total.reduction == "none" else (None, 1.0)
    unsound: list[slice] = []

    def work(rows: slice) -> Partial:
        counted = None if weights is None else weights[rows]
        values, slopes = _on_rows(batch, rows, wanted)
        losses[rows] = values
        for out, slope in zip(gradients, slopes, strict=True):
            if not _scale_into(out, rows, slope, counted, divisor):
                unsound.append(rows)
        slope = slopes = None  # the sum takes their place in the cache
        return partial_sum(_weighted(values, counted)) if summed else NOTHING

    parts = in_blocks(work, size, max([array.nbytes // size for array in batch.arrays]), block_bytes)
    return _reduced(batch, total, losses, gradients, not unsound, parts)


def _at_once(batch: Batch, total: _Total, wanted: bool, block_bytes: int | None) -> _Run:
    """The same for so few that they are one block."""
    rows, summed = slice(0, batch.size), batch.mean.of_all is None or total.reduction == "none"
    weights, divisor = (total.weights, total.divisor) if summed else (None, 1.0)
    losses, slopes = _on_rows(batch, rows, wanted)
    gradients: list[Numbers | Apart] = []
    sound = True
    for array, slope in zip(batch.arrays, slopes, strict=False):
        out = empty_like(array)
        sound &= _scale_into(out, rows, slope, weights, divisor)
        gradients.append(out)
    return _reduced(batch, total, losses, gradients, sound, None)


def _on_rows(batch: Batch, rows: slice, wanted: bool) -> tuple[Array, tuple[Array, ...]]:
    """The kernel's losses of these elements and, if wanted, their gradients to each of the predictions."""
    values, gradient = batch.kernel(*[_for_kernel(array[rows]) for array in batch.arrays], **batch.columns_at(rows))
    return values, _arrays_of(gradient, values.size) if wanted else ()


def _reduced(
    batch: Batch, total: _Total, losses: Array, gradients: list[Numbers | Apart], sound: bool, parts: Sequence[Partial] | None
) -> _Run:
    """With the value; the gradients times its derivative to each loss, where that was not known beforehand."""
    value, slope = _reduce(batch, losses, total, parts)
    for out in gradients if slope is not None else ():
        _scale(out.view if isinstance(out, Apart) else out, slope, 1.0, out.view if isinstance(out, Apart) else out)
    return losses, value, gradients, sound and slope is None


def _whole(batch: Batch, total: _Total, wanted: bool, block_bytes: int | None) -> _Run:
    """Losses that couple the samples of a batch: all at once, the gradient pulled back from the weights of the samples."""
    losses, pullback = batch.kernel(*(_for_kernel(array[:]) for array in batch.arrays))
    value, _ = _reduce(batch, losses, total, [partial_sum(_weighted(losses, total.weights))])
    if not wanted or not callable(pullback):
        return losses, value, [], True
    weights = np.ones_like(losses) if total.weights is None else total.weights
    return losses, value, [pullback(weights / total.divisor)], False


def _for_kernel(block: Numbers) -> Array:
    """Single precision is widened here, a block at a time; class indices stay the integers they are."""
    return block if block.dtype.kind in "iu" else block.astype(np.float64, copy=False)


def _predictions(batch: Batch) -> tuple[Numbers | Apart, ...]:
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


def _scale_into(out: Numbers | Apart, rows: slice, slope: Array, weights: Array | None, divisor: float) -> bool:
    """out[rows] = slope · weights / divisor; whether that is finite."""
    if isinstance(out, Apart):
        _scale(slope, weights, divisor, slope)
        out[rows] = slope
        return all_finite(slope)
    scaled = out[rows]
    _scale(slope, weights, divisor, scaled)
    return all_finite(scaled)


def _weighted(losses: Array, weights: Array | None) -> Array:
    return losses if weights is None else np.where(weights == 0, 0.0, losses * weights)


def _reduce(batch: Batch, losses: Array, total: _Total, parts: Sequence[Partial] | None) -> tuple[float | None, Array | None]:
    """The value, of the losses or of the sums of their parts, and its derivative to each loss where that is not 1 / divisor."""
    if total.reduction == "none":
        return None, _per_sample(batch, losses)[1]
    mean = batch.mean
    if mean.by_column and mean.of_all is not None:
        return average_of_columns(mean.of_all, losses, total.weights, _columns(batch, total))
    if mean.of_all is not None:
        return mean.of_all(losses, total.weights, total.divisor)
    if parts is None:
        summed = exact_sum(_weighted(losses, total.weights))
    else:
        summed = sum_of_parts(parts, lambda: _weighted(losses, total.weights))
    value = summed / total.divisor
    if not math.isfinite(value) and np.isfinite(weighted := _weighted(losses, total.weights)).all():
        value = exact_sum(weighted / total.divisor)  # the sum overflows where the mean need not
    return value, None


def _columns(batch: Batch, total: _Total) -> Iterator[tuple[NDArray[np.intp], float]]:
    """The elements of each column, and what its losses are divided by."""
    places: NDArray[np.intp] = np.arange(batch.size, dtype=np.intp) if batch.kept is None else batch.kept
    column = places % math.prod(batch.elements[1:])
    order = np.argsort(column, kind="stable")
    for elements in np.split(order, np.flatnonzero(np.diff(column[order])) + 1):
        if total.reduction == "sum":
            yield elements, 1.0
        elif total.reduction == "mean" and total.weights is not None:
            yield elements, exact_sum(total.weights[elements])
        else:
            yield elements, elements.size / total.unit


def _by_name(batch: Batch, gradients: list[Numbers | Apart]) -> Array | dict[str, Array]:
    inputs = inputs_on("predictions", batch.loss)
    named = {name: _restored(batch, name, gradient) for name, gradient in zip(inputs, gradients, strict=True)}
    return named["predictions"] if "predictions" in inputs else named


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
