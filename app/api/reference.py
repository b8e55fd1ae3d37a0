"""Evaluation of data by reference: partition after partition, a block of rows at a time, to the bits of one body of all."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path as File
from typing import Any, cast

import numpy as np

from app.api.blockwise import (
    ELSEWHERE,
    NOTHING,
    Asked,
    Blockwise,
    Evaluated,
    answer_of,
    arrays_of,
    batch_in,
    located,
    merged_so_far,
    refuse_what_takes_all,
    so_far,
    with_block,
)
from app.api.evaluate import FIELDS, EvaluateRequest, evaluate
from app.api.gathered import Progress
from app.api.sources import DataSource, Partition, Reach, check_within, folders, is_reference, partitions, roles_of
from app.errors import CallerError, Fault, InvalidInput
from app.losses.batch import Batch
from app.losses.evaluate import evaluate as evaluate_one
from app.losses.merging import refuse_gradient
from app.losses.sums import evaluate as evaluate_batch
from app.serving.pieces import State, at_once
from app.serving.steps import LAST, Event
from app.serving.wires import Check, as_model
from app.settings import Settings
from app.wire.csv import is_word
from app.wire.npy import Growing
from app.wire.partitions import blocks
from app.wire.tables import Block, Column

SIDES = ("predictions", "targets", "labels", "sample_weight", "mask")


class ByReference(Blockwise):
    """A loss, and where the data is on which it is evaluated."""

    data: DataSource

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The files, in their order."""
        return vars(self)["partitions"]

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


class EvaluateByReference(ByReference, Asked):
    """The same, and what to answer."""


class EvaluatedByReference(Evaluated):
    """The loss of all rows of all partitions."""

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
    refuse_what_takes_all(request)
    if request.writes_gradient:
        try:
            refuse_gradient(request.loss.bound)
        except CallerError as error:
            raise error.moved(FIELDS) from None
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
    refuse_nothing(progress)
    yield Event(LAST, cast(EvaluatedByReference, {**answer_of(request, progress), "partitions": count}))


def refuse_nothing(progress: Progress) -> None:
    if not progress.blocks:
        raise InvalidInput([Fault(("data", "source"), "no_samples", f"{NOTHING}, or the files have none")])


def partition_done(request: ByReference, progress: Progress) -> Event:
    """That one more has been looked at, and what all until then come to."""
    return Event("partition", {"partition": progress.done - 1, **so_far(request, progress)})


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
                progress, batch = with_block(progress, request, block, f"{partition.name}, rows")
            except CallerError as error:
                raise located(error, request.roles, block.first) from None
            if file is not None:
                found = None if batch is None else evaluate_batch(batch, outputs=("per_sample",)).outputs["per_sample"]
                file.append(np.zeros(block.n_rows) if found is None else cast(Any, found))
    return progress


def _write_gradient(progress: Progress, request: ByReference, partition: Partition, number: int) -> None:
    """The gradient of a partition's rows: that of the value of all."""
    divisor = merged_so_far(request, progress).divisor if progress.blocks else None
    with reading(request, partition, number, "gradient") as (rows, file):
        assert file is not None
        for block in rows:
            arrays = arrays_of(request.roles, block)
            spec = request.loss.beside(arrays["predictions"], arrays["targets"])
            batch = batch_in(request, spec, arrays)
            if isinstance(batch, Batch):
                found = evaluate_one(batch, reduction=request.reduction, outputs=("gradient",), divisor=divisor)
                file.append(cast(Any, found.outputs["gradient"]))
            else:
                file.append(np.zeros(np.shape(arrays["predictions"])))


def _words(request: ByReference) -> frozenset[Column]:
    """The columns of labels that are read as words, since one of the classes would be read as a number."""
    classes: list[Any] = list(request.classes or ())
    if not any(isinstance(name, str) and not is_word(name) for name in classes):
        return frozenset()
    return frozenset(column for path, columns in request.roles.items() if path[0] in ("targets", "labels") for column in columns)


# --- where something is wrong -----------------------------------------------------------------------------------------------


def _of_partition(error: CallerError, partition: Partition, number: int) -> CallerError:
    """The same error with the file's name, and its faults within the partition."""
    found = error.faults or (Fault((), error.code, error.detail),)
    return InvalidInput([_within(fault, partition, number) for fault in found])


def _within(fault: Fault, partition: Partition, number: int) -> Fault:
    path = fault.path if fault.path[:1] and fault.path[0] in ELSEWHERE else ("data", "source", number, *fault.path)
    return replace(fault, path=path, message=f"{partition.name}: {fault.message}")
