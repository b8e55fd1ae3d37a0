"""A loss of several arrays as one of one array: a model has a head for each of its predictions, their columns side by side.

Its targets may be several arrays too. To everything else it is a loss of rows (n, width) and targets (n, width of these).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, NoReturn, cast

import numpy as np

from app.errors import Fault, InvalidArray, InvalidInput, InvalidParameter
from app.losses import Batch, Loss, check
from app.losses.encodings import REAL
from app.losses.form import Bound
from app.losses.inputs import Numbers, Raw, inputs_of
from app.losses.loss import Gradient, Kernel, Returned
from app.losses.numerics.means import ARITHMETIC
from app.losses.numerics.stable import Array
from app.training.activations import Activation, output_of
from app.training.objective import MOST_CLASSES, Labels, Objective, implied, refuse_untrainable
from app.training.side_by_side import Heads, SideBySide, by_name, together


def agree_on_heads(
    bound: Bound, targets: Raw, named: SideBySide | None, classes: Sequence[str] | None, output: Activation | None
) -> tuple[Objective, Labels]:
    """The objective that a loss of several arrays is on these targets; InvalidInput where it is none."""
    loss, parameters = bound.loss, bound.parameters
    refuse_untrainable(loss)
    if output is not None:
        _refuse(
            ("output",), "unexpected", f"{loss.name} has an output of its own for each of {', '.join(loss.sides['predictions'])}"
        )
    if loss.mean_of(parameters) is not ARITHMETIC or loss.pooled(parameters):
        _refuse(("parameters",), "not_trainable", f"a model cannot be trained on {loss.name}: its mean is no mean of samples")
    given = _given(loss, targets, named)
    refused: InvalidInput | None = None
    for k in _lengths(given, classes):
        try:
            made = _outputs(loss, parameters, given, k)
            batch = _checked(loss, parameters, given, classes, made)
        except InvalidInput as refusal:
            refused = refused if refused and _of_predictions(refusal) else refusal
            continue
        return _objective(batch, made, named)
    assert refused is not None
    if not _of_predictions(refused):
        raise refused
    _refuse(("parameters",), "does_not_fit", f"no output of a model is what {loss.name} takes: {refused.faults[0].message}")


def _of_predictions(refusal: InvalidInput) -> bool:
    return refusal.faults[0].path[:1] == ("predictions",)


def _refuse(path: tuple[str, ...], code: str, message: str) -> NoReturn:
    raise InvalidParameter([Fault(path, code, message)])


def _given(loss: Loss, targets: Raw, named: SideBySide | None) -> dict[str, Raw]:
    """The targets by the name that each array has in the loss."""
    wanted = loss.sides["targets"]
    if not any(input_.named for input_ in wanted.values()):
        if named is not None:
            message = f"targets of {loss.name} are one array, not an object"
            raise InvalidArray([Fault(("targets",), "not_an_array", message)])
        return dict.fromkeys(wanted, targets)
    if named is None or set(named.shapes) != set(wanted):
        got = "" if named is None else f"; got {', '.join(named.shapes)}"
        message = f"targets of {loss.name} are an object of arrays: {', '.join(wanted)}{got}"
        raise InvalidArray([Fault(("targets",), "missing", message)])
    assert isinstance(targets, np.ndarray)
    arrays = named.apart(targets)
    return {name: arrays[name] for name in wanted}


def _lengths(given: Mapping[str, Raw], classes: Sequence[str] | None) -> Iterator[int]:
    """How long rows of predictions may be, that targets do not have the shape of: a number for each class, or one less."""
    found = {len(classes)} if classes else {implied(array, MOST_CLASSES) for array in given.values()} - {0}
    found |= {array.shape[1] + 1 for array in given.values() if isinstance(array, np.ndarray) and array.ndim > 1}
    yield from sorted({length for k in found for length in (k - 1, k) if length > 0}) or [1]


def _outputs(
    loss: Loss, parameters: Mapping[str, Any], given: Mapping[str, Raw], k: int
) -> dict[str, tuple[tuple[int, ...], Activation]]:
    """The shape of a row of each array of predictions, and what makes its numbers."""
    elements: tuple[int, ...] = ()
    lengths: dict[str, tuple[int, ...]] = {"k": (k,)}
    for name, array in given.items():
        shape = array.shape[1:] if isinstance(array, np.ndarray) else ()
        axes = loss.inputs[name].decide(parameters, 1 + len(shape)).axes[0].split()[1:]
        if axes == ["*d"]:
            elements = shape
        elif len(axes) == 1:
            lengths[axes[0]] = shape
    made: dict[str, tuple[tuple[int, ...], Activation]] = {}
    for name, input_ in loss.sides["predictions"].items():
        encoding = input_.decide(parameters, 1 + len(elements))
        axes = encoding.axes[0].split()[1:]
        shape = elements if axes == ["*d"] else lengths[axes[0]] if axes else ()
        activation = output_of(encoding.domain, of_rows=bool(shape))
        if activation is None:
            raise InvalidParameter([Fault(("predictions",), "out_of_range", f"{name} must be {encoding.domain.rule}")])
        made[name] = shape, activation
    return made


def _checked(
    loss: Loss,
    parameters: Mapping[str, Any],
    given: Mapping[str, Raw],
    classes: Sequence[str] | None,
    made: Mapping[str, tuple[tuple[int, ...], Activation]],
) -> Batch:
    """The loss's own check of the targets, beside what heads make of sums of 0."""
    n = len(next(iter(given.values())))
    arrays = {
        name: activation.of(np.zeros((n, math.prod(shape)))).reshape(n, *shape) for name, (shape, activation) in made.items()
    }
    several = any(input_.named for input_ in loss.sides["predictions"].values())
    predictions = arrays if several else arrays["predictions"]
    by_names = any(input_.named for input_ in loss.sides["targets"].values())
    targets = given if by_names else given["targets"]
    named = classes if any(not isinstance(array, np.ndarray) for array in given.values()) else None
    batch = check(loss, parameters, cast(Any, predictions), cast(Any, targets), classes=named)
    if batch.kept is not None or batch.counts is not None or batch.factors is not None:
        _refuse(
            ("parameters",), "not_trainable", f"a model cannot be trained on {loss.name} where it leaves out or weighs labels"
        )
    return batch


def _objective(
    batch: Batch, made: Mapping[str, tuple[tuple[int, ...], Activation]], named: SideBySide | None
) -> tuple[Objective, Labels]:
    heads = Heads({name: shape for name, (shape, _) in made.items()}, {name: output for name, (_, output) in made.items()})
    loss, labels = _of_rows(batch, heads)
    encodings = [{name: batch.encodings[name] for name in batch.loss.sides[side]} for side in ("predictions", "targets")]
    several = len(heads.shapes) > 1
    objective = Objective(
        loss,
        batch.parameters,
        (heads.width,) if several else heads.shapes["predictions"],
        heads.activation if several else heads.activations["predictions"],
        by_name(encodings[0]) if several else encodings[0]["predictions"],
        by_name(encodings[1]) if named else encodings[1]["targets"],
        batch.warnings,
        sum=loss.function,
        heads=heads if several else None,
        named=named,
    )

    def read(targets: Raw, classes: Sequence[str] | None) -> Labels:
        given = _given(batch.loss, targets, named)
        return _of_rows(_checked(batch.loss, batch.parameters, given, classes, made), heads)[1]

    return replace(objective, reads=read), labels


def _of_rows(batch: Batch, heads: SideBySide) -> tuple[Loss, Labels]:
    """The loss as one of rows (n, width), whose targets are side by side as well; and these."""
    n, numbers = batch.elements[0], math.prod(batch.elements[1:])
    first = len(heads.shapes)
    targets = [np.asarray(array[:]) for array in batch.arrays[first:]]
    packed = together({str(place): array.reshape(n, -1) for place, array in enumerate(targets)})
    kinds = [(array.dtype, array.shape[1:]) for array in targets]
    rows_of = [array.shape[1:] for array in batch.arrays[:first]]

    def function(predictions: Array, given: Numbers) -> Returned:
        m = len(predictions) * numbers
        read = [
            array.reshape(m, *shape).astype(kind)
            for array, (kind, shape) in zip(packed.named.apart(given).values(), kinds, strict=True)
        ]
        rows = predictions.reshape(len(predictions), -1)
        shown = [array.reshape(m, *row) for array, row in zip(heads.apart(rows).values(), rows_of, strict=True)]
        columns = {name: np.resize(values, m) for name, values in batch.columns.items()}
        values, gradient, *second = batch.kernel(*shown, *read, **columns)

        def side_by_side(arrays: Array | tuple[Array, ...]) -> Array:
            parts = arrays if isinstance(arrays, tuple) else (arrays,)
            return np.hstack([part.reshape(len(rows), -1) for part in parts]).reshape(predictions.shape) / numbers

        losses = values.reshape(len(predictions), numbers).mean(axis=1)
        slopes = side_by_side(_gradient(gradient, m))
        return (losses, slopes, lambda: side_by_side(cast(Any, second[0])())) if second else (losses, slopes)

    return of_rows(batch.loss, function), Labels(packed.rows)


def _gradient(gradient: Gradient, m: int) -> Array | tuple[Array, ...]:
    """Of each element to its own prediction, which is what a sum of all has where no sample looks at another."""
    found = gradient(np.ones(m)) if callable(gradient) else gradient
    assert found is not None
    return found


def of_rows(loss: Loss, function: Kernel, name: str = "") -> Loss:
    """A loss like this one that is computed otherwise, on rows of numbers."""
    return replace(computed_by(loss, function, name), inputs=inputs_of(REAL, REAL), counts=None, factors=None)


def computed_by(loss: Loss, function: Kernel, name: str = "") -> Loss:
    """A loss like this one that is computed otherwise, perhaps under another name."""

    @wraps(loss.function)
    def named(*arrays: Array, **parameters: object) -> Returned:
        return function(*arrays)

    named.__name__ = name or loss.name
    return replace(loss, function=named, names=(), equals=(), learnable=None)
