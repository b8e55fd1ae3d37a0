"""Sums of losses on one call's arrays: a batch for each part, and what they give together. A loss alone is its own sum.

Everything that is asked of an evaluation is linear in its parts: value, losses of samples and elements, derivatives.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from app.errors import CallerError, Fault, InvalidArray, InvalidInput, InvalidParameter, Path
from app.losses.batch import AnyBatch, Arrays, Batch, Batches, Classes, Missing, samples_of
from app.losses.batch import batch_of as batch_of_one
from app.losses.evaluate import MORE_NON_FINITE, Evaluation, Reduction
from app.losses.evaluate import evaluate as evaluate_one
from app.losses.form import Bound, Part, Sum
from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.losses.outputs import NON_FINITE_LISTED, OUTPUTS, Found, non_finite, outputs_of, usual_of

Weights: TypeAlias = Numbers | Mapping[str, Any] | None
"""For all heads, or an object of them by head."""


AnyBound: TypeAlias = Bound | Sum


# --- from arrays to batches ---------------------------------------------------------------------------------------------------


def batch_of(
    bound: AnyBound,
    predictions: Arrays,
    targets: Arrays = None,
    *,
    sample_weight: Weights = None,
    mask: Weights = None,
    classes: Classes | None = None,
    missing: Missing = "refuse",
) -> AnyBatch:
    """The arrays as what a loss, or a sum of them, is evaluated on; CallerError for everything that does not fit."""
    if isinstance(bound, Bound):
        if sample_weight is not None or mask is not None:
            _refuse_objects(bound, sample_weight=sample_weight, mask=mask)
        weight: Any = sample_weight
        counted: Any = mask
        try:
            return batch_of_one(
                bound,
                predictions,
                targets,
                sample_weight=weight,
                mask=counted,
                classes=classes,
                missing=missing,
            )
        except CallerError as error:
            raise (error.moved({("parameters",): ("parameters", *bound.within)}) if bound.within else error) from None
    if bound.by_head:
        sides = {"predictions": predictions, "targets": targets}
        _check_heads(bound, sides)
    batches: list[AnyBatch] = []
    refused: list[_Refused] = []
    for part in bound.parts:
        given: dict[str, Any] = {"predictions": predictions, "targets": targets, "sample_weight": sample_weight, "mask": mask}
        by_head = [name for name, arrays in given.items() if bound.by_head and isinstance(arrays, Mapping)]
        given |= {name: cast(Mapping[str, Any], given[name]).get(str(part.key)) for name in by_head}
        try:
            batches.append(batch_of(part.loss, **given, classes=classes, missing=missing))
        except CallerError as error:
            if not error.faults:
                raise
            places: dict[Path, Path] = {(name,): (name, str(part.key)) for name in by_head}
            places[("parameters",)] = ("parameters", *_place(bound, part))
            refused.append(_Refused(part, by_head, error.moved(places)))
    if refused:
        raise _together(bound, refused)
    _check_samples(bound, batches)
    return Batches(bound, tuple(batches))


class _Refused(NamedTuple):
    """What is wrong with the arrays of a part of a sum."""

    part: Part
    by_head: Sequence[str]
    """The fields that are objects of what each head has."""
    error: CallerError


def _together(bound: Sum, refused: Sequence[_Refused]) -> CallerError:
    """All that is wrong for the parts of a sum: what is so for every term once, what is for some with their names."""
    first, *others = refused
    of_all: set[Fault] = set()
    if len(refused) == len(bound.parts) and not bound.by_head:
        of_all = {*first.error.faults}.intersection(*(other.error.faults for other in others))

    def named(one: _Refused, fault: Fault, text: str) -> str:
        return text if fault in of_all or fault.path[:1] == ("parameters",) else bound.of(one.part, text, one.by_head)

    faults = [replace(fault, message=named(one, fault, fault.message)) for one in refused for fault in one.error.faults]
    beginning, detail = first.error.faults[0], first.error.detail
    of_array = not detail.startswith(beginning.message)
    return type(first.error)([*dict.fromkeys(faults)], detail=named(first, beginning, detail) if of_array else None)


def _refuse_objects(bound: Bound, **weights: Weights) -> None:
    for name, by_head in weights.items():
        if isinstance(by_head, Mapping):
            raise InvalidArray([Fault((name,), "not_an_array", f"{name} of {bound.name} must be an array, not an object")])


def _place(bound: Sum, part: Part) -> Path:
    """Where the loss of a part stands among the parameters of the sum."""
    return ("heads", part.key, "loss") if bound.by_head else ("terms", part.key, "loss")


def _check_heads(bound: Sum, sides: Mapping[str, Any]) -> None:
    """Predictions for every head and no other, and targets where its loss takes any."""
    heads = [str(part.key) for part in bound.parts]
    faults: list[Fault] = []
    for side, given in sides.items():
        if not isinstance(given, Mapping):
            message = f"{side} of {bound.name} must be an object of arrays, one for each head: {', '.join(heads)[:200]}"
            raise InvalidArray([Fault((side,), "missing" if given is None else "not_an_object", message)])
        named = cast(Mapping[str, Any], given)
        faults += [Fault((side, head), "missing", f"{side}.{head[:80]} is missing") for head in heads if head not in named]
        faults += [
            Fault((side, name), "unknown_field", f"there is no head {name[:80]!r}; there are {', '.join(heads)[:200]}")
            for name in named
            if name not in heads
        ]
    if faults:
        raise InvalidArray(faults)


def _check_samples(bound: Sum, batches: Sequence[AnyBatch]) -> None:
    """All heads have the same samples."""
    n = batches[0].elements[0]
    faults = [
        Fault(
            ("predictions", part.key),
            "shape_mismatch",
            f"predictions.{part.key} has {batch.elements[0]} samples, and predictions.{bound.parts[0].key} has {n}",
        )
        for part, batch in zip(bound.parts, batches, strict=True)
        if batch.elements[0] != n
    ]
    if faults:
        raise InvalidArray(faults)


# --- from batches to what was asked ------------------------------------------------------------------------------------------


def evaluate(batch: AnyBatch, *, reduction: Reduction = "mean", outputs: Collection[str] = ()) -> Evaluation:
    """The loss of a checked batch, or the sum of losses, with what is asked for; nothing: what is usual for it."""
    if isinstance(batch, Batch):
        return evaluate_one(batch, reduction=reduction, outputs=outputs)
    return _summed(batch, reduction, tuple(outputs) or usual_of(batch.loss))


@np.errstate(all="ignore")
def _summed(batch: Batches, reduction: Reduction, outputs: tuple[str, ...]) -> Evaluation:
    wanted = _wanted(batch, outputs)
    inner = [name for name in wanted if wanted[name] and name not in ("value", "terms")]
    values: list[float | None] = []
    divisors: set[float | None] = set()
    found: dict[str, Any] = dict.fromkeys(wanted)
    for part, within in zip(batch.loss.parts, batch.parts, strict=True):
        evaluation = _part(batch.loss, part, within, reduction, inner)
        values.append(cast(float | None, evaluation.outputs["value"]))
        divisors.add(evaluation.divisor)
        for name in inner:
            head = part.key if batch.loss.by_head and OUTPUTS[name].axes is None else None
            found[name] = _joined(found[name], _weighed(part, within, name, evaluation.outputs[name]), head)
    if "value" in wanted and None not in values:
        found["value"] = put_together(batch.loss.parts, cast(list[float], values))
    if wanted.get("terms") and None not in values:
        found["terms"] = OUTPUTS["terms"](values)
    answered: dict[str, Found] = {name: found[name] for name in OUTPUTS if name in wanted}
    listed, count = non_finite(answered)
    more = [MORE_NON_FINITE.format(count)] if count > NON_FINITE_LISTED else []
    divisor = divisors.pop() if len(divisors) == 1 else None
    return Evaluation(batch, reduction, divisor, answered, tuple(listed), (*batch.warnings, *more))


def _wanted(batch: Batches, outputs: tuple[str, ...]) -> dict[str, bool]:
    """The outputs that are asked for, and whether the sum has them; InvalidParameter for one that it has not."""
    had = {output.name for output in outputs_of(batch.loss)}
    wanted: dict[str, bool] = {}
    for index, name in enumerate(outputs):
        output = OUTPUTS.resolve(name, ("outputs", index))[0]
        if output.name == "per_element" and len({part.elements for part in batch.parts}) > 1:
            message = f"the losses of this {batch.loss.name} have elements of different shapes, and no per_element in common"
            raise InvalidParameter([Fault(("outputs", index), "output", message)])
        if output.name not in had and not output.usual:
            message = f"this {batch.loss.name} has no {output.name}; it has {', '.join(sorted(had))}"
            raise InvalidParameter([Fault(("outputs", index), "output", message)])
        wanted[output.name] = output.name in had
    return wanted


def _part(loss: Sum, part: Part, batch: AnyBatch, reduction: Reduction, inner: Sequence[str]) -> Evaluation:
    try:
        return evaluate(batch, reduction=reduction, outputs=tuple(dict.fromkeys(("value", *inner))))
    except InvalidInput as error:
        raise error.moved({("parameters",): ("parameters", *_place(loss, part))}) from None


def put_together(parts: Sequence[Part], values: Sequence[float]) -> float:
    """Σ w·l + s/2, rounded once; a weight of 0 leaves nothing of any loss."""
    pairs = [(part.weight, value) for part, value in zip(parts, values, strict=True) if part.weight != 0.0]
    pairs += [(0.5, part.log_variance) for part in parts if part.log_variance is not None]
    if not all(math.isfinite(value) for _, value in pairs):
        return float(np.sum([weight * value for weight, value in pairs]))
    total = sum((Fraction(weight) * Fraction(value) for weight, value in pairs), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.copysign(math.inf, total)


def _weighed(part: Part, within: AnyBatch, name: str, found: Any) -> Any:
    """What a part adds to an output."""
    if isinstance(found, Mapping):
        arrays = cast(Mapping[str, Any], found)
        return {inner: _weighed(part, within, name, array) for inner, array in arrays.items()}
    if not isinstance(found, np.ndarray):
        return None
    array: Array = cast(Array, found) * part.weight if part.weight != 0.0 else np.zeros_like(cast(Array, found))
    if part.log_variance is None or OUTPUTS[name].derivative:
        return array
    counted = samples_of(within).reshape(-1, *(1,) * (array.ndim - 1))
    return array + np.where(counted, part.log_variance / 2.0, 0.0)


def _joined(total: Any, found: Any, head: str | int | None) -> Any:
    """The sum of what the parts so far add to an output and a further one; of what is by head, all under their names."""
    if head is not None:
        return {**cast(Mapping[str, Any], total or {}), str(head): found}
    if isinstance(found, Mapping):
        before = cast(Mapping[str, Any], total or {})
        return {
            **before,
            **{name: _joined(before.get(name), array, None) for name, array in cast(Mapping[str, Any], found).items()},
        }
    return found if total is None else total + found
