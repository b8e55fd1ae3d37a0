"""Evaluation of data by reference: partition after partition, a block of rows at a time, to the bits of one body of all."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NotRequired, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.api.evaluate import (
    FIELDS,
    ClassesInOrder,
    Counted,
    EvaluateRequest,
    NumberOrNull,
    Remarks,
    WhatIsMissing,
    encodings_of,
    evaluate,
)
from app.api.plain import Plain
from app.api.sources import DataSource, Partition, Roles, check_within, is_reference, partitions, roles_of
from app.api.specs import BoundSpec, Listed, LossSpec
from app.api.words import AnyReduction, OneOrMore
from app.errors import CallerError, Fault, InvalidInput
from app.losses.batch import AnyBatch, count_missing
from app.losses.form import Bound
from app.losses.merging import Merged, Tally, merged, refuse_whole, tallies
from app.losses.outputs import NonFiniteAs
from app.losses.sums import batch_of
from app.serving.pieces import State, at_once
from app.serving.steps import LAST, Event
from app.serving.wires import Check, as_model
from app.settings import Settings
from app.wire import faults, tables
from app.wire.csv import is_word
from app.wire.partitions import Block, Column, blocks

SIDES = ("predictions", "targets", "labels", "sample_weight", "mask")
MOST_WARNINGS = 10


class EvaluateByReference(BaseModel):
    """A loss, and where the data is on which it is evaluated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    loss: Annotated[LossSpec, Field(description="The loss and its parameters.")]
    data: DataSource
    classes: ClassesInOrder = None
    missing: WhatIsMissing = "refuse"
    reduction: Annotated[Literal["mean", "sum", "mean_over_samples"], AnyReduction] = "mean"
    outputs: Annotated[list[Literal["value", "standard_error"]], Field(min_length=1, max_length=2), Listed, OneOrMore] = [
        "value",
        "standard_error",
    ]
    non_finite_as: NonFiniteAs = "null"

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The files, in their order."""
        return vars(self)["partitions"]

    @property
    def roles(self) -> Roles:
        return vars(self)["roles"]

    @property
    def roots(self) -> Sequence[str]:
        """Where files may lie."""
        return vars(self)["roots"]


class EvaluatedByReference(Counted, Remarks):
    """The loss of all rows of all partitions."""

    value: NotRequired[NumberOrNull]
    standard_error: NotRequired[NumberOrNull]
    partitions: int


def check_job(check: Check, document: Any, arguments: Mapping[str, Any], settings: Settings) -> Any:
    """The request of a job: data by reference, or whatever the call takes."""
    if not (isinstance(document, dict) and is_reference(cast(dict[str, Any], document).get("data"))):
        return check(document, arguments, settings)
    request: EvaluateByReference = as_model(EvaluateByReference, document, arguments, settings)
    try:
        refuse_whole(request.loss.bound)
    except CallerError as error:
        raise error.moved(FIELDS) from None
    if request.missing == "drop" and not isinstance(request.loss.bound, Bound):
        message = "missing: drop is for single losses where data is by reference"
        raise InvalidInput([Fault(("missing",), "does_not_fit", message)])
    vars(request)["roles"] = roles_of(request.data.columns, SIDES)
    vars(request)["roots"] = settings.data_roots
    vars(request)["partitions"] = partitions(request.data, settings.data_roots)
    return request


def total(request: object) -> int:
    """How many partitions there are; a body is one."""
    return len(request.partitions) if isinstance(request, EvaluateByReference) else 1


# --- what is known so far -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """What the partitions that are done have come to."""

    files: Sequence[str]
    """All of them, as they were when the job began."""
    done: int = 0
    n_samples: int = 0
    blocks: int = 0
    tallies: Sequence[Tally] = ()
    loss: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The loss with every parameter."""
    deep: bool = False
    """Whether a sample has several elements."""
    encodings: Sequence[Any] = ()
    """Each one as which targets were read."""
    warnings: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """Of how many blocks each was said, and of which rows first."""

    @property
    def state(self) -> State:
        """The same as an array."""
        document = {**vars(self), "tallies": [tally.document for tally in self.tallies]}
        return {"progress": np.array(json.dumps(document))}

    @classmethod
    def read(cls, state: State) -> "Progress":
        document: dict[str, Any] = json.loads(str(state["progress"]))
        document["tallies"] = [Tally.read(tally) for tally in document["tallies"]]
        return cls(**document)

    def with_batch(self, batch: AnyBatch, spec: BoundSpec, found: Sequence[Tally], rows: str) -> "Progress":
        """With one more block."""
        warnings = dict(self.warnings)
        for warning in batch.warnings:
            if warning in warnings or len(warnings) < MOST_WARNINGS:
                count, first = warnings.get(warning, (0, rows))
                warnings[warning] = (count + 1, first)
        encoding = encodings_of(batch)
        return replace(
            self,
            n_samples=self.n_samples + batch.n_samples,
            blocks=self.blocks + 1,
            tallies=[one + other for one, other in zip(self.tallies or [Tally()] * len(found), found, strict=True)],
            loss=spec.document,
            deep=len(batch.elements) > 1,
            encodings=self.encodings if not encoding or encoding in self.encodings else [*self.encodings, encoding],
            warnings=warnings,
        )

    @property
    def remarks(self) -> list[str]:
        """What is said of all blocks once, and what of some with the rows of the first of them."""
        return [text if count == self.blocks else f"{rows}: {text}" for text, (count, rows) in self.warnings.items()]


# --- block by block -------------------------------------------------------------------------------------------------------


def steps(request: EvaluateByReference | EvaluateRequest, state: State) -> Iterator[Event]:
    """Evaluate partition after partition, from a state on; a body in one piece."""
    if isinstance(request, EvaluateRequest):
        yield from at_once(evaluate, request, state)
        return
    progress = Progress.read(state) if state else Progress([str(partition.path) for partition in request.partitions])
    forms = {str(partition.path): partition for partition in request.partitions}
    for number in range(progress.done, len(progress.files)):
        name = progress.files[number]
        if name not in forms:
            raise InvalidInput([Fault(("data", "source", number), "missing", f"{name.rpartition('/')[2]} is no longer there")])
        progress = replace(_with_partition(progress, request, forms[name], number), done=number + 1)
        state.update(progress.state)
        value = _merged(request, progress).value if progress.tallies else math.nan
        known = value if math.isfinite(value) else None
        yield Event("partition", {"partition": number, "n_samples": progress.n_samples, "value": known})
    yield Event(LAST, _answer(request, progress))


def _with_partition(progress: Progress, request: EvaluateByReference, partition: Partition, number: int) -> Progress:
    check_within(str(partition.path), request.data.source[0], request.roots)
    wanted = {column: None for columns in request.roles.values() for column in columns}
    try:
        for block in blocks(partition.path, partition.form, wanted, _words(request)):
            try:
                progress = _with_block(progress, request, block, partition)
            except CallerError as error:
                raise _located(error, request.roles, block.first) from None
    except CallerError as error:
        raise _of_partition(error, partition, number) from None
    return progress


def _with_block(progress: Progress, request: EvaluateByReference, block: Block, partition: Partition) -> Progress:
    arrays = arrays_of(request.roles, block)
    spec = request.loss.beside(arrays["predictions"], arrays["targets"])
    try:
        batch = batch_of(spec.bound, **arrays, classes=request.classes, missing=request.missing)
        found = tallies(batch, request.reduction, errors="standard_error" in request.outputs)
    except CallerError as error:
        if any(fault.code != "no_samples" for fault in error.faults) or not error.faults:
            raise error.moved(FIELDS) from None
        if request.missing == "drop" and isinstance(spec.bound, Bound):
            n_missing = count_missing(spec.bound, **arrays, classes=request.classes)
            progress = replace(progress, tallies=[one + Tally(n_missing=n_missing) for one in progress.tallies or [Tally()]])
        return progress
    if progress.loss and spec.document != progress.loss:
        raise InvalidInput([Fault((), "shape", "its rows are of another shape than those before: the loss would be another one")])
    last = block.first + batch.elements[0] - 1
    return progress.with_batch(batch, spec, found, f"{partition.path.name}, rows {block.first} to {last}")


def arrays_of(roles: Roles, block: Block) -> dict[str, Any]:
    """The arrays of a request, from the columns that are in their place."""
    document: dict[str, Any] = {}
    for path, columns in roles.items():
        inner = document
        for key in path[:-1]:
            inner = inner.setdefault(str(key), {})
        inner[str(path[-1])] = tables.stacked([block.columns[column] for column in columns])
    targets = document.get("targets", document.get("labels"))
    read = faults.tensors
    weight, mask = document.get("sample_weight"), document.get("mask")
    return {
        "predictions": None if "predictions" not in document else read(document["predictions"], ("predictions",), gaps=True),
        "targets": None if targets is None else read(targets, ("targets",), gaps=True),
        "sample_weight": None if weight is None else faults.numbers(weight, ("sample_weight",), gaps=True),
        "mask": None if mask is None else faults.flags(mask, ("mask",)),
    }


def _words(request: EvaluateByReference) -> frozenset[Column]:
    """The columns of labels that are read as words, since one of the classes would be read as a number."""
    classes: list[Any] = list(request.classes or ())
    if not any(isinstance(name, str) and not is_word(name) for name in classes):
        return frozenset()
    return frozenset(column for path, columns in request.roles.items() if path[0] in ("targets", "labels") for column in columns)


# --- where something is wrong -----------------------------------------------------------------------------------------------

ELSEWHERE = ("loss", "classes", "missing", "reduction")
"""Fields of a request that are not in the data."""


def _of_partition(error: CallerError, partition: Partition, number: int) -> CallerError:
    """The same error with the file's name, and its faults within the partition."""
    found = error.faults or (Fault((), error.code, error.detail),)
    return InvalidInput([_within(fault, partition, number) for fault in found])


def _within(fault: Fault, partition: Partition, number: int) -> Fault:
    path = fault.path if fault.path[:1] and fault.path[0] in ELSEWHERE else ("data", "source", number, *fault.path)
    return replace(fault, path=path, message=f"{partition.path.name}: {fault.message}")


def _located(error: CallerError, roles: Roles, first: int) -> CallerError:
    """The same error, its faults at rows of the file and at columns, as much as is known of them."""
    return InvalidInput([_cell(fault, roles, first) for fault in error.faults]) if error.faults else error


def _cell(fault: Fault, roles: Roles, first: int) -> Fault:
    for role, columns in roles.items():
        beginning = ("targets", *role[1:]) if role[0] == "labels" else role
        if fault.path[: len(beginning)] != beginning:
            continue
        row, column = (*fault.path[len(beginning) :], None, None)[:2]
        if not isinstance(row, int):
            return replace(fault, path=())
        place = 0 if len(columns) == 1 else column
        named = (columns[place],) if isinstance(place, int) and place < len(columns) else ()
        name = faults.name(beginning)
        message = re.sub(rf"{re.escape(name)}\[{row}\b", f"{name}[{first + row}", fault.message, count=1)
        return Fault((first + row, *named), fault.code, message)
    return fault if fault.path[:1] and fault.path[0] in ELSEWHERE else replace(fault, path=())


# --- what it comes to -------------------------------------------------------------------------------------------------------

ANY_LOSS: TypeAdapter[BoundSpec] = TypeAdapter(LossSpec)
PARTIAL = {"binary", "one_hot"}
"""Encodings that are special cases of others: a part of the rows may look like one."""


def _merged(request: EvaluateByReference, progress: Progress) -> Merged:
    spec = request.loss if request.loss.document == progress.loss else ANY_LOSS.validate_python(progress.loss)
    return merged(spec.bound, progress.tallies, request.reduction, progress.n_samples)


def _answer(request: EvaluateByReference, progress: Progress) -> EvaluatedByReference:
    if not progress.blocks:
        message = (
            "no row counts: every target is ignored or missing, weighs 0 or is dropped by the mask, or the files have no rows"
        )
        raise InvalidInput([Fault(("data", "source"), "no_samples", message)])
    found, plain = _merged(request, progress), Plain()
    answer: dict[str, Any] = {"loss": progress.loss, "reduction": request.reduction, "n_samples": found.n_samples}
    if progress.deep:
        answer["n_elements"] = found.n_elements
    if request.missing == "drop":
        answer["n_missing"] = found.n_missing
    numbers = {"value": found.value, "standard_error": found.standard_error}
    answer["divisor"] = found.divisor
    answer |= plain({name: numbers[name] for name in numbers if name in request.outputs})
    answer["partitions"] = progress.done
    if progress.encodings:
        answer["targets_encoding"] = _encoding(progress.encodings)
    if plain.non_finite:
        answer["non_finite"] = plain.non_finite
    if request.non_finite_as == "string":
        answer |= {number["output"]: number["value"] for number in plain.non_finite}
    if remarks := [*progress.remarks, *_unsure(request, found)]:
        answer["warnings"] = remarks
    return cast(EvaluatedByReference, answer)


def _encoding(found: Sequence[Any]) -> Any:
    """As what the targets of all blocks were read."""
    words = [encoding for encoding in found if isinstance(encoding, str)]
    if len(words) < len(found):
        return found[0]
    return ", ".join(sorted({*words} - PARTIAL or {*words}))


def _unsure(request: EvaluateByReference, found: Merged) -> Iterator[str]:
    """Why there is no standard error, where one was asked for."""
    if "standard_error" not in request.outputs or found.standard_error is not None:
        return
    if request.reduction == "sum":
        yield "standard_error is null: it is that of a mean"
    elif not isinstance(request.loss.bound, Bound):
        yield "standard_error is null: how losses go together within a sample cannot be told from sums over partitions"
    else:
        yield "standard_error is null: it takes two samples that count, and of a root a loss above 0"
