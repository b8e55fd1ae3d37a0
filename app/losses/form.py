"""What follows from the parameters of a loss and the shapes of its arrays before a number is seen: decided once, and remembered.

The same few losses are evaluated again and again, on arrays of the same few shapes. Whatever does not fit is refused here,
with its reason, each time anew.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidArray, Path
from app.losses.encodings import normalized
from app.losses.inputs import Encoding, Input, Numbers, Place, Shape, Shapes
from app.losses.labels import axis_hint, balanced, by_name, check_smoothing, class_axis_of
from app.losses.loss import SIDES, Kernel, Loss
from app.losses.numerics.means import Mean
from app.losses.numerics.stable import Array
from app.losses.parameters import PER_CLASS, Lists, Per, check_lengths, lists_of, unsettled

FORMS = 16
"""Shapes that are remembered of each loss under its parameters, those that were asked for last."""


class Reads(NamedTuple):
    """One of the arrays: what its numbers mean, and how to speak of them."""

    name: str
    encoding: Encoding
    place: Place


class Selection(NamedTuple):
    """Which elements count, and what."""

    kept: NDArray[np.intp] | None
    """The flat index of each, None where all do."""
    weights: Array | None
    by_element: bool
    """Whether the elements of a sample may differ in weight."""
    n_samples: int
    n_elements: int


class Form(NamedTuple):
    """Arrays of given shapes for a loss under its parameters: they fit, and this is where everything is in them."""

    inputs: tuple[Reads, ...]
    """In the order of the loss's function."""
    shapes: Shapes
    elements: Shape
    """The shape (n, *d) of what the loss is computed on."""
    everything: Selection
    class_axis: int | None
    """Where the classes are, None where that is the last axis."""
    shared: Mapping[str, Shape]
    """The arrays of which one number stands for all elements of a sample, with their shape."""

    def laid_out(self, arrays: Sequence[Numbers]) -> Sequence[Numbers]:
        """The arrays, their classes along the last axis, with a number for each element where elements share one."""
        if self.class_axis is None and not self.shared:
            return arrays
        return [self._laid_out(array, reads) for array, reads in zip(arrays, self.inputs, strict=True)]

    def _laid_out(self, array: Numbers, reads: Reads) -> Numbers:
        if reads.name in self.shared:
            array = np.broadcast_to(array.reshape(-1, *(1,) * (len(self.elements) - 1)), self.elements)
        return array if reads.place.class_axis is None else np.moveaxis(array, reads.place.class_axis, -1)


class Bound(NamedTuple):
    """A loss under its parameters."""

    loss: Loss
    parameters: Mapping[str, Any]
    """All of them."""
    mean: Mean
    """How the elements' losses become one number."""
    kernel: Kernel
    """The function under these, all but those of `columns`."""
    columns: tuple[tuple[str, Per, Sequence[float]], ...]
    """The parameters with one number for each column, or for each sample."""
    counts: Callable[[Any], Array | None] | None
    """What each element counts in the divisor of the mean, from the targets; None where all count 1."""
    factors: Callable[[Any], Array | None] | None
    """What the mean multiplies each element by, while its divisor does not, from the targets; None where that is 1."""
    ignored: int | None
    """The label that stands for none."""
    pair: bool
    """Whether predictions and targets are one array each."""
    form: Callable[[tuple[Shape, ...]], Form]
    """What is the same for all arrays of these shapes, in the order of the function; InvalidArray or InvalidParameter where
    they do not fit."""
    unsettled: tuple[str, ...] = ()
    """The parameters with a number for each class that classes and labels have yet to say."""
    within: Path = ()
    """Where its parameters stand among those of a composed loss."""

    @property
    def name(self) -> str:
        return self.loss.name


class Part(NamedTuple):
    """A loss that is part of a sum."""

    key: str | int
    """Its head, or which of the terms it is."""
    loss: "Bound | Sum"
    weight: float
    log_variance: float | None = None
    """What the weight follows from, where it is learned; half of it is added to the sum."""

    def under(self, log_variance: float) -> "Part":
        """The same with another one."""
        return self._replace(weight=math.exp(-log_variance), log_variance=log_variance)


class Sum(NamedTuple):
    """Several losses, each times its weight: of the same arrays, or each of its own."""

    name: str
    parts: tuple[Part, ...]
    by_head: bool
    """Whether predictions and targets are objects, of what each head predicts."""

    def of(self, part: Part, text: str, by_head: Iterable[str] = SIDES) -> str:
        """What is said of the arrays of one part: of heads with the names that arrays have there, of terms with the loss's."""
        if not self.by_head:
            known = isinstance(part.loss, Sum) or re.search(rf"\b{part.loss.name}\b", text)
            return text if known else f"{text} (for {part.loss.name})"
        return re.sub(rf"(?<![\w.'])({'|'.join(by_head)})\b", lambda name: f"{name[0]}.{str(part.key)[:80]}", text)

    @property
    def derivatives(self) -> Literal[0, 1, 2]:
        """How many derivatives there are: as many as every part has."""
        return min(part.loss.loss.derivatives if isinstance(part.loss, Bound) else part.loss.derivatives for part in self.parts)


def bind(loss: Loss, parameters: Mapping[str, Any]) -> Bound:
    """The loss under these parameters, and where they say nothing, its defaults."""
    asked = {**loss.defaults, **parameters}
    open_yet = unsettled(loss.parameters, asked)
    given = {**asked, **dict.fromkeys(open_yet)} if open_yet else asked
    lists = lists_of(loss.parameters, given)
    return Bound(
        loss,
        asked,
        loss.mean_of(given),
        loss.kernel(given),
        tuple((name, per, numbers) for name, (per, numbers) in lists.items() if per.what in ("column", "sample")),
        loss.counting(given),
        partial(loss.factors, **given) if loss.factors else None,
        given.get("ignore_index"),
        [*loss.inputs] == ["predictions", "targets"] and not any(declared.named for declared in loss.inputs.values()),
        lru_cache(FORMS)(partial(_form, loss, given, lists)),
        open_yet,
    )


def settled(bound: Bound, targets: Numbers, classes: Sequence[str] | Sequence[float] | None, k: int | None) -> Bound:
    """The loss with the weights of its classes as numbers, once labels are read; InvalidParameter where there are no classes."""
    if k is None:
        check_lengths({name: (PER_CLASS, []) for name in bound.unsettled}, k, (1,))
    weights: dict[str, list[float]] = {}
    for name in bound.unsettled:
        asked = bound.parameters[name]
        weights[name] = balanced(targets, k or 0) if asked == "balanced" else by_name(asked, classes, k or 0, name)
    return bind(bound.loss, {**bound.parameters, **weights})._replace(within=bound.within)


def _form(loss: Loss, parameters: Mapping[str, Any], lists: Lists, shapes: tuple[Shape, ...]) -> Form:
    known = Shapes()
    shared: dict[str, Shape] = {}
    found: list[tuple[Input, Encoding, int, int | None, bool]] = []
    rank = len(shapes[0])
    class_axis = class_axis_of(parameters, rank) if "class_axis" in parameters else None
    for (name, declared), shape in zip(loss.inputs.items(), shapes, strict=True):
        encoding = declared.decide(parameters, rank)
        if encoding.of_shares and parameters["normalize"]:
            encoding = normalized(encoding)
        if encoding.shared and _stands_for_all(shape, known):
            shared[name], shape = shape, known.elements
        axis = class_axis if len(shape) == rank else None
        moved = shape if axis is None else (*shape[:axis], *shape[axis + 1 :], shape[axis])
        try:
            row_axes = known.agree(encoding, moved, declared.place, shape)
        except InvalidArray as misfit:
            raise _with_way_out(misfit, loss, parameters, shapes[0], shape) from None
        found.append((declared, encoding, row_axes, axis, len(shape) == rank))
    elements, k = known.elements, known.length("k")
    check_lengths(lists, k, elements)
    check_smoothing(loss.options, parameters, k)
    inputs = tuple(
        Reads(
            taken.name,
            encoding,
            Place(taken.path, elements, None, k, row_axes, axis, classes, _hint(loss, taken, encoding, parameters)),
        )
        for taken, encoding, row_axes, axis, classes in found
    )
    everything = Selection(None, None, False, elements[0], math.prod(elements))
    return Form(inputs, known, elements, everything, class_axis, shared)


def _stands_for_all(shape: Shape, shapes: Shapes) -> bool:
    """Whether an array has one number for all elements of each sample."""
    n = shapes.elements[0]
    return len(shapes.elements) > 1 and shape in ((n,), (n, 1)) and shape != shapes.elements


def _with_way_out(misfit: InvalidArray, loss: Loss, parameters: Mapping[str, Any], first: Shape, shape: Shape) -> InvalidArray:
    """The same refusal, with what is probably meant: a column of two, the loss of more classes or of fewer, or another axis."""
    (fault,) = misfit.faults
    predictions = next(iter(loss.inputs.values())).decide(parameters, len(first))
    rule, mismatch, _ = fault.message.rpartition(": ")
    message = fault.message
    if mismatch and predictions.name in OF_TWO and (words := _of_columns(loss, OF_TWO[predictions.name], first, shape)):
        message = f"{rule}: {words}"
    elif len(first) == 1 and loss.counterpart and predictions.name not in OF_TWO:
        message += f" (one number for each sample? {loss.counterpart} takes these)"
    elif "class_axis" in loss.parameters:
        message += axis_hint(first, shape, class_axis_of(parameters, len(first)))
    return InvalidArray([replace(fault, message=message)])


OF_TWO = {"probability": "send the second", "logit": "send the second less the first", "score": "send the second less the first"}
"""What predictions of two classes are one number of, and how it is made of a column for each class."""


def _of_columns(loss: Loss, second: str, first: Shape, shape: Shape) -> str:
    """What is said of a column for each class beside one label, or the other way round; nothing where it is neither."""
    longer, shorter = (first, shape) if len(first) > len(shape) else (shape, first)
    lengths = {length for axis, length in enumerate(longer) if axis and (*longer[:axis], *longer[axis + 1 :]) == shorter}
    k = min(lengths, default=1)
    if k < 2:
        return ""
    ways = [second if longer is first else "send the second"] if k == 2 else []
    ways += [f"name {loss.counterpart}, which takes a column for each class"] if loss.counterpart else []
    return f"of {'two' if k == 2 else 'several'} columns {', or '.join(ways)}" if ways else ""


def _hint(loss: Loss, declared: Input, encoding: Encoding, parameters: Mapping[str, Any]) -> str:
    """What a number outside [0, 1], or a label above 1, probably means."""
    if declared.side == "predictions" and parameters.get("from_logits") is False:
        return "set from_logits to true if these are logits"
    return f"of more than two classes: {loss.counterpart}" if encoding.labels == "flag" and loss.counterpart else ""
