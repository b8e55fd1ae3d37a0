"""Evaluation of data by reference: partition after partition, a block of rows at a time, to the bits of one body of all.

Where there is much of it, the partitions are dealt out in parts: files that follow each other, each part a piece of work for
whoever has time. What they come to is put together in their order.
"""

import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path as File
from typing import Any, TypedDict, cast

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

    @cached_property
    def by_path(self) -> Mapping[str, Partition]:
        return {partition.path: partition for partition in self.partitions}

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
    files, progress = files_of(request, state), progress_in(state)
    count = len(files)
    for number in range(done_in(state), count * (1 + request.writes_gradient)):
        place = number % count
        partition = partition_of(request, files[place], place)
        if number < count:
            progress = with_more(progress, of_partition(request, partition, place), partition.name, place)
        else:
            _write_gradient(progress, request, partition, place)
        keep(state, progress, number + 1)
        yield partition_done(request, progress, number)
    yield Event(LAST, answer(request, state))


def answer(request: EvaluateByReference, state: State) -> EvaluatedByReference:
    """What all partitions come to."""
    progress = progress_in(state)
    refuse_nothing(progress)
    count = done_in(state) // (1 + request.writes_gradient)
    return cast(EvaluatedByReference, {**answer_of(request, progress), "partitions": count})


def refuse_nothing(progress: Progress) -> None:
    if not progress.blocks:
        raise InvalidInput([Fault(("data", "source"), "no_samples", f"{NOTHING}, or the files have none")])


def partition_done(request: ByReference, progress: Progress, number: int) -> Event:
    """That one more has been looked at, and what all until then come to."""
    return Event("partition", {"partition": number, **so_far(request, progress)})


def with_more(progress: Progress, own: Progress, name: str, number: int) -> Progress:
    """With what the next partition comes to by itself."""
    try:
        return progress + own
    except CallerError as error:
        raise _of_partition(error, name, number) from None


def partition_of(request: ByReference, path: str, place: int) -> Partition:
    """One of the files that were there when the job began; InvalidInput where it no longer is."""
    partition = request.by_path.get(path)
    if partition is None:
        raise InvalidInput([Fault(("data", "source", place), "missing", f"{path.rpartition('/')[2]} is no longer there")])
    return partition


# --- the state: the files, how many of them are done, and what these come to ------------------------------------------------


def files_of(request: ByReference, state: State) -> list[str]:
    """All files, as they were when the job began."""
    if "files" not in state:
        state["files"] = np.array(json.dumps([*request.by_path]))
    return json.loads(str(state["files"]))


def done_in(state: State) -> int:
    return int(state.get("done", 0))


def progress_in(state: State) -> Progress:
    return Progress.read(json.loads(str(state["progress"]))) if "progress" in state else Progress()


def keep(state: State, progress: Progress, done: int) -> None:
    state["progress"], state["done"] = np.array(json.dumps(progress.document)), np.array(done)


# --- in parts -----------------------------------------------------------------------------------------------------------


class Part(TypedDict):
    """Files that follow each other."""

    first: int
    """The number of the first of them among all."""
    files: list[str]


MOST_PARTS = 256


def parts(request: object, size: int) -> Sequence[Part]:
    """Parts of about one length, of `size` bytes at most; none of what is done one after the other."""
    if not isinstance(request, ByReference) or request.writes_gradient:
        return ()
    whole = max(1, sum(partition.size for partition in request.partitions))
    count = min(MOST_PARTS, -(-whole // size))
    found: dict[int, Part] = {}
    before = 0
    for number, partition in enumerate(request.partitions):
        part = found.setdefault(before * count // whole, {"first": number, "files": []})
        part["files"].append(partition.path)
        before += partition.size
    return [*found.values()]


def part_steps(request: ByReference, part: Part, state: State) -> Iterator[Event]:
    """Look at the partitions of a part, from a state on, in which each stands by itself."""
    for place, partition in undone(request, part, state):
        keep_own(state, place, partition, of_partition(request, partition, place))
        yield looked_at(place)


def undone(request: ByReference, part: Part, state: State) -> Iterator[tuple[int, Partition]]:
    """The partitions of a part that are not in its state, with their numbers among all."""
    for place, path in enumerate(part["files"], part["first"]):
        if f"{OWN}{place}" not in state:
            yield place, partition_of(request, path, place)


def looked_at(number: int) -> Event:
    return Event("partition", {"partition": number})


OWN = "own."
"""What the names begin with of what each partition comes to by itself, in the state of a part."""


def keep_own(state: State, number: int, partition: Partition, found: Progress) -> None:
    state[f"{OWN}{number}"] = np.array(json.dumps([partition.name, found.document]))


def together(request: ByReference, state: State, part: State) -> Iterator[Event]:
    """Have the state come to what it and the next part come to."""
    progress, number = progress_in(state), done_in(state)
    while (own := part.get(f"{OWN}{number}")) is not None:
        name, document = json.loads(str(own))
        progress = with_more(progress, Progress.read(document), name, number)
        number += 1
        keep(state, progress, number)
        yield partition_done(request, progress, number - 1)


# --- a partition ----------------------------------------------------------------------------------------------------------


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
        raise _of_partition(error, partition.name, number) from None


def of_partition(request: ByReference, partition: Partition, number: int) -> Progress:
    """What a partition comes to by itself; the losses of its rows are written where that is asked for."""
    progress = Progress()
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


def _of_partition(error: CallerError, name: str, number: int) -> CallerError:
    """The same error with the file's name, and its faults within the partition."""
    found = error.faults or (Fault((), error.code, error.detail),)
    return InvalidInput([_within(fault, name, number) for fault in found])


def _within(fault: Fault, name: str, number: int) -> Fault:
    path = fault.path if fault.path[:1] and fault.path[0] in ELSEWHERE else ("data", "source", number, *fault.path)
    return replace(fault, path=path, message=f"{name}: {fault.message}")
