"""Somebody's own value, losses and derivatives beside the reference: where they differ, in which pattern, and probably why."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np

from app.errors import Fault, InvalidArray, InvalidParameter
from app.insight.agreement import (
    Disagreement,
    Flags,
    Tolerance,
    agreeing,
    first_disagreements,
    largest_error,
    most_steps,
)
from app.insight.conventions import By, Case, Given, Guess, guesses, saturated
from app.insight.differences import Checked, Numerical, Places, check_numerically
from app.insight.measured import leaves_of
from app.insight.readings import pair_of
from app.losses.batch import AnyBatch, Batch
from app.losses.evaluate import Reduction
from app.losses.inputs import Shape
from app.losses.layout import restored
from app.losses.numerics.stable import Array
from app.losses.outputs import OUTPUTS, Output, arrays_by_name
from app.losses.sums import evaluate

Pattern: TypeAlias = Literal[
    "where_masked", "at_kinks", "saturated", "where_weights_differ", "one_class", "everywhere", "scattered"
]
Yours: TypeAlias = Mapping[str, float | Array | Mapping[str, Array]]
"""By the name of an output: a number, an array, or an array for each of the named predictions."""
CHECKED = ("value", "per_sample", "gradient", "hessian_diagonal")
"""The outputs that can be compared."""
USUAL = Tolerance()
MOST_OF = 0.5
"""The share of what a pattern speaks of that has to disagree."""
WORK = 1e7
"""Steps that it takes to try other losses and differences on a small batch."""
TRIED = 150.0
"""Times that the reference's own work is done, or another loss's."""


class Compared(NamedTuple):
    """An output of yours beside the reference."""

    agrees: bool
    n: int
    n_disagree: int
    max_relative_error: float | None
    max_ulp: int | None
    pattern: Pattern | None
    of_class: float | None
    """The class that alone disagrees, as the loss counts them; None for another pattern."""
    first: tuple[Disagreement, ...]


class Check(NamedTuple):
    """What a check of somebody's own loss finds."""

    agrees: bool
    outputs: Mapping[str, Compared]
    guesses: tuple[Guess, ...]
    numerical: Numerical | None
    """None for a loss without a gradient."""
    batch: AnyBatch


def cost_of(batch: AnyBatch) -> float:
    """Steps that a check takes."""
    return WORK + TRIED * batch.cost


def check_gradient(given: Given, yours: Yours, *, reduction: Reduction = "mean", tolerance: Tolerance = USUAL) -> Check:
    """Whether yours is what the reference says.

    InvalidArray (`shape_mismatch`, `missing`, `unknown_field`) for arrays of other shapes or names than evaluate gives them,
    InvalidParameter (`output`) for an output that there is not.
    """
    batch = given.batch()
    _refuse_others(batch, yours, reduction)
    evaluation = evaluate(batch, reduction=reduction, outputs=[*yours])
    found = {name: np.asarray(array, np.float64) for name, array in arrays_by_name(evaluation.outputs).items()}
    numbers = _as_evaluated(found, yours)
    reference = {name: found[name] for name in numbers}
    differ = {name: ~agreeing(array, reference[name], tolerance) for name, array in numbers.items()}
    numerical, marks = _numerically(given, batch, differ)
    compared = {name: _compared(numbers[name], reference[name], differ[name], marks, name) for name in numbers}
    limited = frozenset(name for name, agreement in compared.items() if agreement.pattern == "saturated")
    case = Case(given, batch, reduction, evaluation.divisor, numbers, reference, tolerance, limited)
    agrees = all(agreement.agrees for agreement in compared.values())
    return Check(agrees, compared, guesses(case), numerical, batch)


def _numerically(given: Given, batch: AnyBatch, differ: Mapping[str, Flags]) -> tuple[Numerical | None, "_Marks | None"]:
    """The reference by differences, and what is known of its elements; of a sum each of its losses, and of elements nothing."""
    if isinstance(batch, Batch):
        checked = check_numerically(batch, _elements(batch, differ)) if batch.loss.differentiable else None
        return checked.numerical if checked else None, _Marks(given, batch, checked)
    nowhere = np.zeros(0, np.intp)
    parts = [check_numerically(leaf.batch, nowhere).numerical for leaf in leaves_of(batch) if leaf.batch.loss.differentiable]
    if not parts:
        return None, None
    agrees, errors, counts, kinks = zip(*parts, strict=True)
    return Numerical(all(agrees), max(errors), sum(counts), sum(kinks)), None


def _refuse_others(batch: AnyBatch, yours: Yours, reduction: Reduction) -> None:
    """InvalidParameter for an output that the reference has not."""
    for name in yours:
        output = OUTPUTS[name]
        if not output.is_of(batch.loss):
            has = ", ".join(name for name in CHECKED if OUTPUTS[name].is_of(batch.loss))
            message = f"{batch.loss.name} has no {name}; of what can be checked it has {has}"
            raise InvalidParameter([Fault((name,), "output", message)])
        if output.axes == "" and reduction == "none":
            raise InvalidParameter(
                [Fault((name,), "output", f"there is no {name} under the reduction none; leave one of them out")]
            )


def _as_evaluated(found: By, yours: Yours) -> By:
    """Each array of yours by its name, in the shape that the reference has."""
    numbers: dict[str, Array] = {}
    wrong: list[Fault] = []
    for name, array in yours.items():
        shapes = {key: array.shape for key, array in found.items() if key.partition(".")[0] == name}
        numbers |= _read(OUTPUTS[name], shapes, array, wrong)
    if wrong:
        raise InvalidArray(wrong)
    return numbers


def _read(output: Output, shapes: Mapping[str, Shape], array: Any, wrong: list[Fault]) -> Iterator[tuple[str, Array]]:
    parts = {name.partition(".")[2]: (name, shape) for name, shape in shapes.items()}
    named = "" not in parts
    if named != isinstance(array, Mapping):
        shown = f"an object with {', '.join(parts)}" if named else "one array"
        wrong.append(Fault((output.name,), "shape_mismatch", f"{output.name} must be {shown}, as predictions are"))
        return
    given = _flat(cast(Mapping[str, Any], array)) if named else {"": cast(Array, array)}
    for part in given.keys() - parts.keys():
        known = ", ".join(parts)
        wrong.append(Fault((output.name, part), "unknown_field", f"{output.name} has no {part[:80]}; it has {known}"))
    for part, (name, shape) in parts.items():
        path = (output.name, part) if part else (output.name,)
        if part not in given:
            wrong.append(Fault(path, "missing", f"{name} is missing"))
            continue
        numbers = np.asarray(given[part], np.float64)
        if numbers.shape != shape:
            wrong.append(
                Fault(path, "shape_mismatch", f"{name} must have shape {shape}, as evaluate gives it; got {numbers.shape}")
            )
            continue
        yield name, numbers


def _flat(arrays: Mapping[str, Any]) -> dict[str, Array]:
    """Arrays by head, and by name within a head, under one name each."""
    flat: dict[str, Array] = {}
    for name, array in arrays.items():
        inner = _flat(cast(Mapping[str, Any], array)) if isinstance(array, Mapping) else {"": array}
        flat |= {f"{name}.{part}" if part else name: numbers for part, numbers in inner.items()}
    return flat


def _compared(yours: Array, reference: Array, differ: Flags, marks: "_Marks | None", name: str) -> Compared:
    n_disagree = int(np.count_nonzero(differ))
    pattern, of_class = _pattern(yours, reference, differ, marks, name) if n_disagree else (None, None)
    return Compared(
        n_disagree == 0,
        yours.size,
        n_disagree,
        largest_error(yours, reference),
        most_steps(yours, reference),
        pattern,
        of_class,
        first_disagreements(yours, reference, differ),
    )


# --- patterns ------------------------------------------------------------------------------------------------------------


class _Marks(NamedTuple):
    """What is known of the elements of a batch that may be where something disagrees."""

    given: Given
    batch: Batch
    checked: Checked | None

    def of(self, name: str, shape: Shape) -> Iterator[tuple[Pattern, float | None, Flags, float]]:
        """Patterns with the numbers of an output that each speaks of, and the share of these that has to disagree."""
        output, part = name.partition(".")[::2]
        if OUTPUTS[output].axes == "":
            return
        spread = _Spread(self.batch, shape, part)
        weighed, masked = _unweighted(self.given, self.batch), _masked(self.given, self.batch)
        if masked is not None:
            yield "where_masked", None, spread.elements(masked), 0.0
        if self.checked is not None and OUTPUTS[output].axes is None:
            kinks = self.checked.kinks if OUTPUTS[output].derivative == 1 else self.checked.bends
            position = [*self.batch.loss.sides["predictions"]].index(part or "predictions")
            yield "at_kinks", None, spread.numbers(kinks[position]), 0.0
        limited = saturated(self.batch)
        if limited is not None:
            yield "saturated", None, spread.numbers(limited), 0.0
        if weighed is not None:
            yield "where_weights_differ", None, spread.elements(weighed), MOST_OF
        for label, flags in _classes(self.batch, spread):
            yield "one_class", label, flags, MOST_OF


class _Spread(NamedTuple):
    """From elements and their numbers to an output of this shape."""

    batch: Batch
    shape: Shape
    part: str

    def elements(self, flags: Flags) -> Flags:
        """Flags of elements (n, *d) as flags of the output's numbers."""
        n = self.batch.elements[0]
        if self.shape == flags.shape:
            return flags
        if self.part in self.batch.shared or len(self.shape) < flags.ndim or self.shape == (n,):
            some: Flags = np.logical_or.reduce(flags.reshape(n, -1), axis=1)
            return some.reshape(self.shape)
        rows = flags.reshape(*flags.shape, *(1,) * (len(self.shape) - flags.ndim))
        axis = self.batch.class_axis
        row = [length for index, length in enumerate(self.shape) if index != axis] + ([] if axis is None else [self.shape[axis]])
        spread = np.broadcast_to(rows, row)
        return spread if axis is None else np.moveaxis(spread, -1, axis)

    def numbers(self, flags: Flags) -> Flags:
        """Flags of numbers within elements that count (m, *row); of an output of elements or samples, those that have one."""
        whole = restored(flags, self.batch.elements, self.batch.kept, self.batch.class_axis)
        if whole.shape == self.shape:
            return whole
        rows: Flags = np.logical_or.reduce(flags.reshape(len(flags), -1), axis=1)
        return self.elements(restored(rows, self.batch.elements, self.batch.kept, None))


def _pattern(yours: Array, reference: Array, differ: Flags, marks: _Marks | None, name: str) -> tuple[Pattern, float | None]:
    """The first pattern that all disagreements have, and that leaves out numbers which do agree and are not just 0."""
    able = differ | (yours != 0) | (reference != 0)
    for pattern, label, flags, share in marks.of(name, differ.shape) if marks else ():
        spoken, apart = int(np.count_nonzero(flags & able)), bool((able & ~flags).any())
        if not (differ & ~flags).any() and apart and np.count_nonzero(differ) >= share * spoken:
            return pattern, label
    return ("everywhere" if (differ == able).all() else "scattered"), None


def _elements(batch: Batch, differ: Mapping[str, Flags]) -> Places:
    """The elements that count, by their places in the batch, of which a derivative disagrees."""
    flags = np.zeros(batch.elements[0], np.bool_)
    for name, array in differ.items():
        if array.ndim and OUTPUTS[name.partition(".")[0]].axes is None:
            flags |= array.reshape(batch.elements[0], -1).any(axis=1)
    flat = np.repeat(flags, int(np.prod(batch.elements[1:], dtype=np.intp)))
    return np.flatnonzero(flat if batch.kept is None else flat[batch.kept]).astype(np.intp)


def _unweighted(given: Given, batch: Batch) -> Flags | None:
    """Which elements (n, *d) have another weight than 1."""
    return None if given.sample_weight is None else _on_elements(np.asarray(given.sample_weight) != 1.0, batch.elements)


def _masked(given: Given, batch: Batch) -> Flags | None:
    """Which elements (n, *d) are left out, by a mask or for their label, and not for a weight of 0."""
    left_out = ~batch.counted
    if given.sample_weight is not None:
        weightless = _on_elements(np.asarray(given.sample_weight) == 0.0, batch.elements)
        left_out = left_out if weightless is None else left_out & ~weightless
    return left_out if left_out.any() else None


def _on_elements(flags: Flags, elements: Shape) -> Flags | None:
    """Flags of samples or elements as ones of elements; None where they are of other things."""
    if flags.shape == elements:
        return flags
    if flags.shape == elements[:1]:
        return np.broadcast_to(flags.reshape(-1, *(1,) * (len(elements) - 1)), elements)
    return None


def _classes(batch: Batch, spread: _Spread) -> Iterator[tuple[float, Flags]]:
    """Of each class, the numbers of an output that are of its samples; then those that are its own, along the axis of classes."""
    pair = pair_of(batch)
    labels = batch.arrays[-1][:] if pair is not None and pair.targets.labels in ("class", "flag") else np.zeros((0, 0))
    if labels.ndim == 1:
        negative = -1.0 if batch.encodings["targets"] == "sign" else 0.0
        for label in np.unique(labels):
            shown = float(label) if cast(Any, pair).targets.labels == "class" else 1.0 if label > 0 else negative
            yield shown, spread.elements(restored(labels == label, batch.elements, batch.kept, None))
    axis = batch.class_axis if batch.class_axis is not None else -1
    k = batch.shapes.length("k")
    if k and len(spread.shape) > len(batch.elements) and spread.shape[axis] == k:
        along = axis % len(spread.shape)
        columns = np.arange(k).reshape([k if dimension == along else 1 for dimension in range(len(spread.shape))])
        for column in range(k):
            yield float(column), np.broadcast_to(columns == column, spread.shape)
