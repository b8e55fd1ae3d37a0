"""From the losses of elements to one number and its gradient: weights, masks, reduction and row blocks. The only place.

A sample is a row of the request; its elements are what the loss is computed on, and most have one. The value is a mean f
of the elements' losses l (Σwl/Σw for most), the gradient its exact derivative: each element's own gradient times df/dl.
Losses of single samples are evaluated in blocks of elements that fit in the cache, and summed there; the sum of all is
rounded once, so that no answer depends on how it was cut.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidParameter
from app.losses.batch import AnyBatch, Batch
from app.losses.inputs import Numbers
from app.losses.layout import Apart, empty_like
from app.losses.loss import NON_NEGATIVE, Gradient
from app.losses.numerics.blocks import BLOCK_BYTES, in_blocks
from app.losses.numerics.means import POOLED, average_of_columns, counted, in_units, reduced, scale, weighted
from app.losses.numerics.rows import bends_through_sums, through_sums
from app.losses.numerics.stable import NOTHING, Array, Partial, all_finite, exact_sum, partial_sum
from app.losses.outputs import NON_FINITE_LISTED, USUAL, Computed, Found, NonFinite, asked, non_finite
from app.losses.samples import means_of_samples, shares_of_elements

Reduction: TypeAlias = Literal["mean", "sum", "mean_over_samples", "none"]
MORE_NON_FINITE = f"non_finite lists the first {NON_FINITE_LISTED} of {{}} numbers that are null"
_bytes = attrgetter("nbytes")


class Evaluation(NamedTuple):
    """A loss on a batch: what was asked for, and what counted in it. The outputs are attributes too: `evaluation.gradient`."""

    batch: AnyBatch
    reduction: Reduction
    divisor: float | None
    outputs: Mapping[str, Found]
    """Those asked for, by name; None where the loss has no such output, or the reduction no value."""
    non_finite: tuple[NonFinite, ...]
    warnings: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        """Samples that count: not masked, not ignored."""
        return self.batch.n_samples

    @property
    def n_elements(self) -> int | None:
        """Elements that count; None where a sample is one element."""
        return self.batch.n_elements if len(self.batch.elements) > 1 else None

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which elements the value depends on (n, *d): those not masked, not ignored and of some weight.

        Of a sum, which samples (n,).
        """
        return self.batch.counted

    @property
    def encodings(self) -> Mapping[str, str]:
        """The encoding in which each array came."""
        return self.batch.encodings

    def __getattr__(self, name: str) -> Any:
        try:
            return self.outputs[name]
        except KeyError:
            raise AttributeError(f"{name} is no output that was asked for") from None


@np.errstate(all="ignore")  # poles and overflows are answers here: they are found by their value, and named
def evaluate(
    batch: Batch,
    *,
    reduction: Reduction = "mean",
    outputs: Collection[str] = USUAL,
    block_bytes: int | None = None,
    divisor: float | None = None,
) -> Evaluation:
    """The loss of a checked batch: its value under the reduction, each sample's loss, and the gradient of the value.

    Without outputs there are those that are usual for the loss. With reduction "none" there is no value, and derivatives
    are those of each sample's own loss (of their sum, for a loss that couples the samples of a batch). InvalidParameter
    for an output or a reduction that the loss has not. Of a batch that is part of a larger one, `divisor` is that of all.
    """
    loss, mean = batch.loss, batch.mean
    total = total_of(batch, reduction)
    if divisor is not None:
        total = total._replace(divisor=divisor / total.unit)
    functions, order = asked(loss, tuple(outputs))
    few = block_bytes is None and sum(map(_bytes, batch.arrays)) <= BLOCK_BYTES
    run = _whole if loss.coupling == "batch" or mean is POOLED else _at_once if few else _in_blocks
    losses, value, derivatives, sound = run(batch, total, order, block_bytes)
    computed = Computed(batch, losses, value, derivatives)
    answered: dict[str, Found] = {}
    for name, function in functions:
        answered[name] = function(computed)
    # a plain sum is finite only where every loss is
    summed = value is not None and math.isfinite(value) and total.weights is None and mean.of_all is None
    found, count = ([], 0) if summed and sound else non_finite(answered)
    return Evaluation(
        batch,
        reduction,
        total.divisor * total.unit if mean.sums and reduction != "none" else None,
        answered,
        tuple(found),
        (*batch.warnings, *_remarks(count)) if count else batch.warnings,
    )


def _remarks(count: int) -> Iterator[str]:
    """What should be known about an answer of which so many numbers are not finite."""
    if count > NON_FINITE_LISTED:
        yield MORE_NON_FINITE.format(count)


class Total(NamedTuple):
    """How elements are put together: each times its weight (None: 1), all divided by the divisor, both in one unit."""

    reduction: Reduction
    weights: Array | None
    divisor: float
    unit: float = 1.0
    shares: Array | None = None
    """What each counts in the divisor of a mean; None for 1 each."""


_Run: TypeAlias = tuple[Array, float | None, Sequence[Numbers | Apart], bool]
"""Each element's loss, the value, its derivatives one order after the other, and whether these are known to be finite."""


def total_of(batch: Batch, reduction: Reduction) -> Total:
    """How the elements of a batch are put together; InvalidParameter for a reduction that the loss has not."""
    if not batch.mean.sums and reduction in ("sum", "mean_over_samples"):
        message = f"{batch.loss.name} is the {batch.mean.name} of the losses and has no {reduction}; use mean or none"
        raise InvalidParameter([Fault(("reduction",), "reduction", message)])
    if reduction == "none":
        return Total(reduction, *shares_of_elements(batch))
    weights, counts, factors, unit = batch.weights, batch.counts, batch.factors, 1.0
    if reduction == "sum":
        return Total(reduction, weights, 1.0)
    if weights is None and counts is None and factors is None:
        return Total(reduction, None, float(batch.n_elements))
    if weights is not None:
        weights, unit = in_units(weights)
    shares = counted(weights, counts) if reduction == "mean" else None
    divisor = batch.n_elements / unit if shares is None else exact_sum(shares)
    if reduction == "mean" and factors is not None:
        weights = factors if weights is None else factors * weights
    return Total(reduction, weights, divisor, unit, shares)


@np.errstate(all="ignore")
def losses_of(batch: Batch) -> Array:
    """The loss of each element that counts (m,), of a loss of single samples."""
    losses, size = np.empty(batch.size), batch.size

    def work(rows: slice) -> None:
        losses[rows] = _on_rows(batch, rows, 0)[0]

    in_blocks(work, size, max([array.nbytes // size for array in batch.arrays]))
    return losses


# --- blocks of elements ---------------------------------------------------------------------------------------------


def _in_blocks(batch: Batch, total: Total, order: int, block_bytes: int | None) -> _Run:
    """Losses of single samples: block by block, each derivative scaled and looked through while it is still in the cache."""
    size, mean = batch.size, batch.mean
    losses = np.empty(size)
    derivatives = [empty_like(array, batch.elements, batch.kept) for array in _predictions(batch) * order]
    summed = mean.of_all is None and total.reduction != "none"
    weights, divisor = (total.weights, total.divisor) if mean.of_all is None or total.reduction == "none" else (None, 1.0)
    unsound: list[slice] = []
    reusable = NON_NEGATIVE in batch.loss.properties
    anchor = 0.0  # of the block before

    def work(rows: slice) -> Partial:
        nonlocal anchor
        shares = None if weights is None else weights[rows]
        values, slopes = _on_rows(batch, rows, order)
        losses[rows] = values
        for out, slope in zip(derivatives, slopes, strict=True):
            if not _scale_into(out, rows, slope, shares, divisor):
                unsound.append(rows)
        slope = slopes = None  # their memory is in the cache: the sum takes it over
        if not summed:
            return NOTHING
        part = partial_sum(weighted(values, shares), anchor)
        anchor = part.anchor if reusable else 0.0
        return part

    parts = in_blocks(work, size, max([array.nbytes // size for array in batch.arrays]), block_bytes)
    return _with_value(batch, total, losses, derivatives, not unsound, parts)


def _at_once(batch: Batch, total: Total, order: int, block_bytes: int | None) -> _Run:
    """The same for so few that they are one block."""
    rows, summed = slice(0, batch.size), batch.mean.of_all is None or total.reduction == "none"
    weights, divisor = (total.weights, total.divisor) if summed else (None, 1.0)
    losses, slopes = _on_rows(batch, rows, order)
    derivatives: list[Numbers | Apart] = []
    sound = True
    for array, slope in zip(_predictions(batch) * order, slopes, strict=True):
        out = empty_like(array, batch.elements, batch.kept)
        sound &= _scale_into(out, rows, slope, weights, divisor)
        derivatives.append(out)
    return _with_value(batch, total, losses, derivatives, sound, None)


def _predictions(batch: Batch) -> tuple[Numbers | Apart, ...]:
    return batch.arrays[: len(batch.loss.sides["predictions"])]


def _with_value(
    batch: Batch, total: Total, losses: Array, derivatives: list[Numbers | Apart], sound: bool, parts: Sequence[Partial] | None
) -> _Run:
    """With the value; the derivatives times its own to each loss, where that was not known beforehand."""
    value, slope = _reduce(batch, losses, total, parts)
    for out in derivatives if slope is not None else ():
        scale(out.view if isinstance(out, Apart) else out, slope, 1.0, out.view if isinstance(out, Apart) else out)
    return losses, value, derivatives, sound and slope is None


def _on_rows(batch: Batch, rows: slice, order: int) -> tuple[Array, tuple[Array, ...]]:
    """The kernel's losses of these elements, and their derivatives up to this order to each of the predictions."""
    blocks = [_for_kernel(array[rows]) for array in batch.arrays]
    values, gradient, *second = batch.kernel(*blocks, **(batch.columns_at(rows) if batch.columns else {}))
    derivatives = _arrays_of(gradient, values.size) if order else ()
    if order == 2:
        derivatives += _arrays_of(second[0](), values.size)
    if batch.sums is None or not derivatives:
        return values, derivatives
    slopes, *bends = derivatives
    sums = batch.sums[rows]
    slopes = through_sums(slopes, blocks[0], sums)
    return values, (slopes, *(bends_through_sums(bend, slopes, blocks[0], sums) for bend in bends))


def _whole(batch: Batch, total: Total, order: int, block_bytes: int | None) -> _Run:
    """Losses that couple the samples of a batch: all at once, the gradient pulled back from the weights of the samples."""
    losses, pullback, *_ = batch.kernel(*(_for_kernel(array[:]) for array in batch.arrays))
    value, slope = _reduce(batch, losses, total, [partial_sum(weighted(losses, total.weights))])
    if not order or not callable(pullback):
        return losses, value, [], True
    weights = np.ones_like(losses) if total.weights is None else total.weights
    pulled = pullback(weights / total.divisor if slope is None else slope)
    if batch.sums is not None and not isinstance(pulled, tuple):
        pulled = through_sums(pulled, _for_kernel(batch.arrays[0][:]), batch.sums)
    return losses, value, [*pulled] if isinstance(pulled, tuple) else [pulled], False


def _for_kernel(block: Numbers) -> Array:
    """Single precision is widened here, a block at a time; class indices stay the integers they are."""
    return block if block.dtype.kind in "iu" else block.astype(np.float64, copy=False)


def _arrays_of(derivative: Gradient, n: int) -> tuple[Array, ...]:
    if derivative is None:
        return ()
    if callable(derivative):
        derivative = derivative(np.ones(n))
    return derivative if isinstance(derivative, tuple) else (derivative,)


def _scale_into(out: Numbers | Apart, rows: slice, slope: Array, weights: Array | None, divisor: float) -> bool:
    """out[rows] = slope · weights / divisor; whether that is finite."""
    if isinstance(out, Apart):
        scale(slope, weights, divisor, slope)
        out[rows] = slope
        return all_finite(slope)
    scaled = out[rows]
    scale(slope, weights, divisor, scaled)
    return all_finite(scaled)


def _reduce(batch: Batch, losses: Array, total: Total, parts: Sequence[Partial] | None) -> tuple[float | None, Array | None]:
    """The value, of the losses or of the sums of their parts, and its derivative to each loss where that is not 1 / divisor."""
    if total.reduction == "none":
        return None, means_of_samples(batch, losses)[1]
    if batch.mean.by_column and batch.mean.of_all is not None:
        return average_of_columns(batch.mean.of_all, losses, total.weights, _columns(batch, total))
    return reduced(batch.mean, losses, total.weights, total.divisor, parts)


def _columns(batch: Batch, total: Total) -> Iterator[tuple[NDArray[np.intp], float]]:
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
