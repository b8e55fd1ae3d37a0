"""Evaluation of data by reference: partition after partition, a block of rows at a time, to the bits of one body of all."""

import math
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path as File
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
    evaluate,
)
from app.api.gathered import Progress
from app.api.plain import Plain
from app.api.sources import DataSource, Partition, Reach, Roles, check_within, folders, is_reference, partitions, roles_of
from app.api.specs import BoundSpec, Listed, LossSpec
from app.api.words import AnyReduction, OneOrMore
from app.errors import CallerError, Fault, InvalidInput
from app.losses.batch import AnyBatch, Batch, count_missing
from app.losses.evaluate import evaluate as evaluate_one
from app.losses.form import Bound
from app.losses.merging import Merged, Tally, merged, refuse_gradient, refuse_whole, tallies
from app.losses.outputs import NonFiniteAs
from app.losses.sums import batch_of
from app.losses.sums import evaluate as evaluate_batch
from app.serving.pieces import State, at_once
from app.serving.steps import LAST, Event
from app.serving.wires import Check, as_model
from app.settings import Settings
from app.wire import faults, tables
from app.wire.csv import is_word
from app.wire.npy import Growing
from app.wire.partitions import Block, Column, blocks

SIDES = ("predictions", "targets", "labels", "sample_weight", "mask")


class ByReference(BaseModel):
    """A loss, and where the data is on which it is evaluated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    loss: Annotated[LossSpec, Field(description="The loss and its parameters.")]
    data: DataSource
    classes: ClassesInOrder = None
    missing: WhatIsMissing = "refuse"
    reduction: Annotated[Literal["mean", "sum", "mean_over_samples"], AnyReduction] = "mean"

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The files, in their order."""
        return vars(self)["partitions"]

    @property
    def roles(self) -> Roles:
        return vars(self)["roles"]

    @property
    def writes_gradient(self) -> bool:
        """Whether a gradient is written: it takes the divisor of all rows, and a second look at each partition."""
        return self.data.write is not None and self.data.write.gradient is not None

    @property
    def folders(self) -> Mapping[str, File]:
        """Where outputs of rows are written to, by name."""
        return vars(self)["folders"]

    @property
    def reach(self) -> Reach:
        """Where they may lie."""
        return vars(self)["reach"]

    @property
    def sure(self) -> bool:
        """Whether a standard error is wanted."""
        return True


class EvaluateByReference(ByReference):
    """The same, and what to answer."""

    outputs: Annotated[list[Literal["value", "standard_error"]], Field(min_length=1, max_length=2), Listed, OneOrMore] = [
        "value",
        "standard_error",
    ]
    non_finite_as: NonFiniteAs = "null"

    @property
    def sure(self) -> bool:
        return "standard_error" in self.outputs


class EvaluatedByReference(Counted, Remarks):
    """The loss of all rows of all partitions."""

    value: NotRequired[NumberOrNull]
    standard_error: NotRequired[NumberOrNull]
    partitions: int


def check_job(
    model: type[ByReference],
    sides: Sequence[str],
    check: Check,
    document: Any,
    arguments: Mapping[str, Any],
    settings: Settings,
) -> Any:
    """The request of a job: data by reference, or whatever the call takes."""
    if not (isinstance(document, dict) and is_reference(cast(dict[str, Any], document).get("data"))):
        return check(document, arguments, settings)
    request: ByReference = as_model(model, document, arguments, settings)
    try:
        refuse_whole(request.loss.bound)
        if request.writes_gradient:
            refuse_gradient(request.loss.bound)
    except CallerError as error:
        raise error.moved(FIELDS) from None
    if request.missing == "drop" and not isinstance(request.loss.bound, Bound):
        message = "missing: drop is for single losses where data is by reference"
        raise InvalidInput([Fault(("missing",), "does_not_fit", message)])
    vars(request)["roles"] = roles_of(request.data.columns, sides)
    vars(request)["reach"] = reach = Reach.of(settings, arguments)
    vars(request)["partitions"] = parts = partitions(request.data, reach)
    vars(request)["folders"] = folders(request.data, parts, settings.data_roots)
    return request


def total(request: object) -> int:
    """How many partitions there are, each looked at twice where a gradient is written; a body is one."""
    return len(request.partitions) * (1 + request.writes_gradient) if isinstance(request, ByReference) else 1


# --- block by block -------------------------------------------------------------------------------------------------------


def steps(request: EvaluateByReference | EvaluateRequest, state: State) -> Iterator[Event]:
    """Evaluate partition after partition, from a state on; a body in one piece."""
    if isinstance(request, EvaluateRequest):
        yield from at_once(evaluate, request, state)
        return
    progress = Progress.read(state) if state else begun(request)
    count = len(progress.files)
    for number in range(progress.done, count * (1 + request.writes_gradient)):
        place = number % count
        partition = partition_of(request, progress, place)
        if number < count:
            progress = _with_partition(progress, request, partition, place)
        else:
            _write_gradient(progress, request, partition, place)
        progress = replace(progress, done=number + 1)
        state.update(progress.state)
        yield partition_done(request, progress)
    yield Event(LAST, _answer(request, progress))


def partition_done(request: ByReference, progress: Progress) -> Event:
    """That one more has been looked at, and what all until then come to."""
    value = merged_so_far(request, progress).value if progress.tallies else math.nan
    told = {"partition": progress.done - 1, "n_samples": progress.n_samples, "value": value if math.isfinite(value) else None}
    return Event("partition", told)


def partition_of(request: ByReference, progress: Progress, place: int) -> Partition:
    """One of the files that were there when the job began; InvalidInput where it no longer is."""
    name = progress.files[place]
    for partition in request.partitions:
        if str(partition.path) == name:
            return partition
    raise InvalidInput([Fault(("data", "source", place), "missing", f"{name.rpartition('/')[2]} is no longer there")])


def begun(request: ByReference) -> Progress:
    """What is known before the first partition."""
    return Progress([str(partition.path) for partition in request.partitions])


@contextmanager
def reading(
    request: ByReference, partition: Partition, number: int, name: str
) -> Generator[tuple[Iterator[Block], Growing | None]]:
    """The blocks of a partition, and the file that an output of its rows is written to, where one is."""
    request.reach.check(partition)
    wanted = dict.fromkeys(column for columns in request.roles.values() for column in columns)
    rows = blocks(partition.path, partition.form, wanted, _words(request))
    path = partition.output(request.folders[name], name) if name in request.folders else None
    if path is not None:
        check_within(str(path), str(path), request.reach.roots, ("data", "write", name))
    try:
        with nullcontext() if path is None else Growing(path) as file:
            yield rows, file
    except OSError as error:
        message = f"{partition.stem}.{name}.npy cannot be written: {os.strerror(error.errno or 0)}"
        raise InvalidInput([Fault(("data", "write", name), "not_written", message)]) from None
    except CallerError as error:
        raise _of_partition(error, partition, number) from None


def _with_partition(progress: Progress, request: ByReference, partition: Partition, number: int) -> Progress:
    with reading(request, partition, number, "per_sample") as (rows, file):
        for block in rows:
            try:
                progress, batch = with_block(progress, request, block, partition)
            except CallerError as error:
                raise located(error, request.roles, block.first) from None
            if file is not None:
                found = None if batch is None else evaluate_batch(batch, outputs=("per_sample",)).outputs["per_sample"]
                file.append(np.zeros(_length(block)) if found is None else cast(Any, found))
    return progress


def _write_gradient(progress: Progress, request: ByReference, partition: Partition, number: int) -> None:
    """The gradient of a partition's rows: that of the value of all."""
    divisor = merged_so_far(request, progress).divisor if progress.blocks else None
    with reading(request, partition, number, "gradient") as (rows, file):
        assert file is not None
        for block in rows:
            arrays = arrays_of(request.roles, block)
            spec = request.loss.beside(arrays["predictions"], arrays["targets"])
            batch = _batch(request, spec, arrays)
            if isinstance(batch, Batch):
                found = evaluate_one(batch, reduction=request.reduction, outputs=("gradient",), divisor=divisor)
                file.append(cast(Any, found.outputs["gradient"]))
            else:
                file.append(np.zeros(np.shape(arrays["predictions"])))


def _length(block: Block) -> int:
    return tables.length(next(iter(block.columns.values())))


def with_block(progress: Progress, request: ByReference, block: Block, partition: Partition) -> tuple[Progress, AnyBatch | None]:
    """With what a block adds, and the batch that it is; None where no row of it counts."""
    arrays = arrays_of(request.roles, block)
    spec = request.loss.beside(arrays["predictions"], arrays["targets"])
    batch = _batch(request, spec, arrays)
    if batch is None:
        if request.missing == "drop" and isinstance(spec.bound, Bound):
            n_missing = count_missing(spec.bound, **arrays, classes=request.classes)
            progress = replace(progress, tallies=[one + Tally(n_missing=n_missing) for one in progress.tallies or [Tally()]])
        return progress, None
    if progress.loss and spec.document != progress.loss:
        raise InvalidInput([Fault((), "shape", "its rows are of another shape than those before: the loss would be another one")])
    found = tallies(batch, request.reduction, errors=request.sure)
    last = block.first + batch.elements[0] - 1
    return progress.with_batch(batch, spec, found, f"{partition.name}, rows {block.first} to {last}"), batch


def _batch(request: ByReference, spec: BoundSpec, arrays: Mapping[str, Any]) -> AnyBatch | None:
    """The rows of a block as a batch; None where none of them counts."""
    try:
        return batch_of(spec.bound, **arrays, classes=request.classes, missing=request.missing)
    except CallerError as error:
        if error.faults and all(fault.code == "no_samples" for fault in error.faults):
            return None
        raise error.moved(FIELDS) from None


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


def _words(request: ByReference) -> frozenset[Column]:
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
    return replace(fault, path=path, message=f"{partition.name}: {fault.message}")


def located(error: CallerError, roles: Roles, first: int) -> CallerError:
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


def merged_so_far(request: ByReference, progress: Progress) -> Merged:
    spec = request.loss if request.loss.document == progress.loss else ANY_LOSS.validate_python(progress.loss)
    return merged(spec.bound, progress.tallies, request.reduction, progress.n_samples)


def refuse_nothing(progress: Progress) -> None:
    if not progress.blocks:
        message = "no row counts: every one is ignored or missing, weighs 0 or is dropped by the mask, or the files have none"
        raise InvalidInput([Fault(("data", "source"), "no_samples", message)])


def counted(request: ByReference, progress: Progress, found: Merged) -> dict[str, int]:
    """How many samples count, and of several elements each, or where some are missing, how many of these."""
    counts = {"n_samples": found.n_samples}
    if progress.deep:
        counts["n_elements"] = found.n_elements
    if request.missing == "drop":
        counts["n_missing"] = found.n_missing
    return counts


def _answer(request: EvaluateByReference, progress: Progress) -> EvaluatedByReference:
    refuse_nothing(progress)
    found, plain = merged_so_far(request, progress), Plain()
    answer: dict[str, Any] = {"loss": progress.loss, "reduction": request.reduction, **counted(request, progress, found)}
    numbers = {"value": found.value, "standard_error": found.standard_error}
    answer["divisor"] = found.divisor
    answer |= plain({name: numbers[name] for name in numbers if name in request.outputs})
    answer["partitions"] = len(progress.files)
    if encoding := progress.encoding:
        answer["targets_encoding"] = encoding
    if plain.non_finite:
        answer["non_finite"] = plain.non_finite
    if request.non_finite_as == "string":
        answer |= {number["output"]: number["value"] for number in plain.non_finite}
    if remarks := [*progress.remarks, *_unsure(request, found)]:
        answer["warnings"] = remarks
    return cast(EvaluatedByReference, answer)


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
