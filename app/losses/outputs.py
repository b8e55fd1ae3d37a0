"""What can be asked of an evaluation: each output is declared once, as a function of what was computed.

Its name is the function's and its description the docstring; whether a loss has it follows from the derivatives that the
loss gives. Requests, answers, the inference protocol, the catalogue and the tests go over OUTPUTS.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from app.errors import Fault, InvalidParameter
from app.losses.batch import Batch
from app.losses.form import Bound, Sum
from app.losses.inputs import Numbers, Shape
from app.losses.layout import Apart, restored
from app.losses.loss import Loss
from app.losses.numerics.stable import Array
from app.losses.samples import means_of_samples
from app.registry import Declared, registry

Found: TypeAlias = float | Array | dict[str, Any] | tuple[Any, ...] | None
"""What an output is: a number, an array, an array for each of the named predictions (of each head); None where there is none.
A named tuple is what is told in words beside numbers."""
AnyLoss: TypeAlias = Loss | Sum
Kind: TypeAlias = Literal["any", "sum", "told"]
"""A loss as it is, a sum of several, or one of which something is told in words."""
NonFiniteAs: TypeAlias = Literal["null", "string"]
"""How an answer writes numbers that JSON has not."""
NON_FINITE_LISTED = 100
WORDS = "words"
"""In place of the axes of what is told in words."""


class Computed(NamedTuple):
    """What outputs are made of."""

    batch: Batch
    losses: Array
    """Of each element that counts (m,)."""
    value: float | None
    derivatives: Sequence[Numbers | Apart]
    """Of the value, as rows: the first to each array of predictions, and then the second to each where it was asked for."""


Function: TypeAlias = Callable[[Any], Found]
"""Of what was computed; of a sum, what follows from its parts is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Declared):
    """An output, with everything that is known about it. Call it to find it in what was computed."""

    axes: str | None
    """Its shape as axes, as encodings have them; None: that of the predictions, an array for each of them."""
    derivative: Literal[0, 1, 2] = 0
    """Which derivative of the loss it takes."""
    usual: bool = False
    """Whether it is answered unasked."""
    of: Kind = "any"
    """What losses have it, as far as their derivatives allow."""
    examples: tuple[Any, ...] = ()

    @property
    def always(self) -> bool:
        """Whether every answer has it unless something else is asked for: None for a loss that has it not."""
        return self.usual and self.of == "any"

    def is_of(self, loss: AnyLoss) -> bool:
        """Whether a loss has it."""
        return self in _had(_kind(loss), loss.derivatives)

    def arrays(self, loss: AnyLoss) -> dict[str, str]:
        """The names of its arrays for a loss, each with its axes."""
        if self.axes is not None:
            return {self.name: self.axes} if self.axes != WORDS else {}
        if isinstance(loss, Sum):
            return _of_parts(self, loss)
        declared = loss.sides["predictions"].items()
        return {f"{self.name}.{name}" if input_.named else self.name: input_.cases[0][1].axes[-1] for name, input_ in declared}

    def shapes(self, batch: Batch) -> dict[str, Shape]:
        """The same names, each with the shape that it has for a batch."""
        if self.axes is not None:
            return {self.name: batch.elements[: len(self.axes.split())] if "*" not in self.axes else batch.elements}
        shapes = (_shape_in_request(batch, name, array) for name, array in zip(batch.loss.inputs, batch.arrays, strict=False))
        return dict(zip(self.arrays(batch.loss), shapes, strict=False))


def _of_parts(output: Output, loss: Sum) -> dict[str, str]:
    """The arrays of an output that is shaped as the predictions, for a sum."""
    arrays: dict[str, str] = {}
    for part in loss.parts:
        inner = output.arrays(part.loss.loss if isinstance(part.loss, Bound) else part.loss)
        for name, axes in inner.items():
            arrays[name.replace(output.name, f"{output.name}.{part.key}", 1) if loss.by_head else name] = axes
    return arrays


def output(
    *,
    axes: str | None,
    derivative: Literal[0, 1, 2] = 0,
    usual: bool = False,
    of: Kind = "any",
    examples: tuple[Any, ...] = (),
) -> Callable[[Function], Output]:
    """Declare a function as an output."""
    return lambda function: Output(function=function, axes=axes, derivative=derivative, usual=usual, of=of, examples=examples)


@output(axes="", usual=True)
def value(computed: Computed) -> float | None:
    """The reduced loss."""
    return computed.value


@output(axes="n", usual=True)
def per_sample(computed: Computed) -> Array:
    """Each sample's own loss: (n,), the mean of its elements. 0 for samples left out."""
    return means_of_samples(computed.batch, computed.losses)[0]


@output(axes="n *d", examples=([[0.5, None], [0, 2]],))
def per_element(computed: Computed) -> Array:
    """Each element's own loss: (n, *d), 0 for those left out."""
    batch = computed.batch
    return restored(computed.losses, batch.elements, batch.kept, None)


@output(axes=None, derivative=1, usual=True, examples=([-0.125, None, 0.75], {"mean": [-0.25], "variance": [0.1875]}, None))
def gradient(computed: Computed) -> Array | dict[str, Array]:
    """d(value)/d(predictions), shaped and named as they are; null where there is none of use, and in it where it is infinite."""
    return _as_predictions(computed.batch, computed.derivatives)


@output(axes=None, derivative=2, examples=([0.25, 0.0, 0.5], {"mean": [0.5], "variance": [-0.125]}))
def hessian_diagonal(computed: Computed) -> Array | dict[str, Array]:
    """d²(value)/d(prediction)² of each number by itself, shaped and named as the predictions are: what gradient boosting takes.

    0 at a kink; at the limit of a clip it passes where the gradient does. Refused for a loss that has none: its entry in the
    catalogue names the outputs that it has.
    """
    batch = computed.batch
    return _as_predictions(batch, computed.derivatives[len(batch.loss.sides["predictions"]) :])


@output(axes="t", usual=True, of="sum", examples=([0.5, 0.25],))
def terms(values: Sequence[float]) -> Array:
    """Each term's loss, or each head's, before its weight."""
    return np.array(values)


@output(axes=WORDS, usual=True, of="told")
def expression(computed: Computed) -> Found:
    """What is known of an expression: its derivative, where it has none, and what was found at many points."""
    return computed.batch.loss.told() if computed.batch.loss.told else None


OUTPUTS = registry("output", Output, sys.modules[__name__])
USUAL = tuple(output.name for output in OUTPUTS.values() if output.always)
"""What is answered where nothing is asked for."""


def outputs_of(loss: AnyLoss) -> tuple[Output, ...]:
    """Those that a loss has."""
    return _had(_kind(loss), loss.derivatives)


def usual_of(loss: AnyLoss) -> tuple[str, ...]:
    """What is answered for this loss where nothing is asked for."""
    return _usual(_kind(loss), loss.derivatives)


def asked(loss: Loss, names: tuple[str, ...]) -> tuple[tuple[tuple[str, Function], ...], int]:
    """The functions of these outputs in their order here, and how many derivatives they take; no names: what is usual.

    InvalidParameter for one that the loss has not.
    """
    return _asked(loss.name, _kind(loss), loss.derivatives, names)  # a loss that is made for a request is not to be remembered


def _kind(loss: AnyLoss) -> Kind:
    return "sum" if isinstance(loss, Sum) else "any" if loss.told is None else "told"


@cache
def _had(kind: Kind, derivatives: int) -> tuple[Output, ...]:
    return tuple(output for output in OUTPUTS.values() if output.derivative <= derivatives and output.of in ("any", kind))


@cache
def _usual(kind: Kind, derivatives: int) -> tuple[str, ...]:
    had = _had(kind, derivatives)
    return tuple(output.name for output in OUTPUTS.values() if output.always or (output.usual and output in had))


@lru_cache(maxsize=1024)
def _asked(loss: str, kind: Kind, derivatives: int, names: tuple[str, ...]) -> tuple[tuple[tuple[str, Function], ...], int]:
    had, names = _had(kind, derivatives), names or _usual(kind, derivatives)
    wanted = {OUTPUTS.resolve(name, ("outputs", index))[0]: index for index, name in enumerate(names)}
    missing = {output: index for output, index in wanted.items() if not (output.always or output in had)}
    if missing:
        has = ", ".join(output.name for output in had)
        raise InvalidParameter(
            [
                Fault(("outputs", index), "output", f"{loss} has no {output.name}; it has {has}")
                for output, index in missing.items()
            ]
        )
    functions = [(output.name, output.function if output in had else _none) for output in OUTPUTS.values() if output in wanted]
    return tuple(functions), max((output.derivative for output in wanted if output in had), default=0)


def _none(computed: Computed) -> None:
    """A usual output of a loss that has it not."""


# --- derivatives as the predictions are -----------------------------------------------------------------------------------


def _as_predictions(batch: Batch, derivatives: Sequence[Numbers | Apart]) -> Array | dict[str, Array]:
    inputs = batch.loss.sides["predictions"]
    if "predictions" in inputs:
        return _in_request(batch, "predictions", derivatives[0])
    return {name: _in_request(batch, name, rows) for name, rows in zip(inputs, derivatives, strict=False)}


def _in_request(batch: Batch, name: str, rows: Numbers | Apart) -> Array:
    """Derivatives as the array of this name in the request: where elements share a number, the sum of those to it."""
    array = restored(rows, batch.elements, batch.kept, batch.class_axis)
    if name not in batch.shared:
        return array
    return array.reshape(batch.elements[0], -1).sum(axis=1).reshape(batch.shared[name])


def _shape_in_request(batch: Batch, name: str, array: Numbers | Apart) -> Shape:
    if name in batch.shared:
        return batch.shared[name]
    shape = [*batch.elements, *array.shape[1:]]
    if batch.class_axis is not None and len(shape) > len(batch.elements):
        shape.insert(batch.class_axis, shape.pop())
    return tuple(shape)


# --- numbers that are none --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NonFinite:
    """A number of the answer that is infinite or undefined, and so null in JSON."""

    output: str
    index: tuple[int, ...]
    value: Literal["Infinity", "-Infinity", "NaN"]


def non_finite(outputs: Mapping[str, Found]) -> tuple[list[NonFinite], int]:
    """The first numbers that are infinite or undefined, as many as are listed, and how many there are."""
    found: list[NonFinite] = []
    count = 0
    for name, numbers in arrays_by_name(outputs).items():
        if numbers is None:
            continue
        numbers = np.asarray(numbers)
        places = np.flatnonzero(~np.isfinite(numbers))
        count += places.size
        for place in places[: NON_FINITE_LISTED - len(found)]:
            index = tuple(int(along) for along in np.unravel_index(int(place), numbers.shape))
            found.append(NonFinite(name, index, word(float(numbers[index]))))
    return found, count


def arrays_by_name(outputs: Mapping[str, Found]) -> dict[str, float | Array | None]:
    """Every array of the outputs by the name that `Output.arrays` gives it."""
    arrays: dict[str, float | Array | None] = {}
    for name, found in outputs.items():
        if isinstance(found, dict):
            arrays |= arrays_by_name({f"{name}.{part}": array for part, array in found.items()})
        elif not isinstance(found, tuple):
            arrays[name] = found
    return arrays


def word(number: float) -> Literal["Infinity", "-Infinity", "NaN"]:
    """A number that JSON has no literal for, by its name."""
    return "NaN" if np.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def in_words(found: Found) -> object:
    """An output with strings for the numbers that JSON has not."""
    if isinstance(found, dict):
        return {name: in_words(array) for name, array in found.items()}
    if found is None or isinstance(found, tuple):
        return found
    numbers = np.asarray(found)
    written = numbers.astype(object)
    for place in np.argwhere(~np.isfinite(numbers)):
        written[tuple(place)] = word(float(numbers[tuple(place)]))
    return written.tolist()
