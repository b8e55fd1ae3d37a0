"""Pieces of jobs, as a process of the pool does them: some seconds of work, from one checkpoint to the next.

A checkpoint is a file of plain arrays. One that is missing or damaged costs time and nothing else: the work is begun anew, and
gives the same bits.
"""

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import Fault, InvalidInput
from app.serving.child import Say
from app.serving.steps import LAST, Event
from app.serving.wires import OWNER, Check
from app.settings import Settings
from app.wire.json import decode, encode

State: TypeAlias = dict[str, NDArray[Any]]
"""Everything that changes while a job is worked on, as plain arrays."""
REQUEST = "request"
"""Where a job's body has the body of the call."""
READ_FROM = "read_from"
"""The attribute of a request in which it has what tells the data that it was read from."""


class History(NamedTuple):
    """What is told of the runs of a job for as long as it is kept: how many, what a list shows of them, and all of it."""

    n: int
    listed: object
    whole: object


class Cut(NamedTuple):
    """How a job is dealt out in parts, each for whoever has time, and what they come to is put together in their order.

    All of it are functions of modules.
    """

    parts: Callable[[Any, int], Sequence[object]]
    """(request, bytes of one) -> which parts there are, each as JSON would have it; fewer than two where it is done in one."""
    steps: Callable[[Any, Any, State], Iterator[Event]]
    """(request, part, state) -> an event wherever it may be left, from a state on. At the end the state is what it comes to."""
    together: Callable[[Any, State, State], Iterator[Event]]
    """(request, state, part) -> the events of a part. At the end the state, empty at first, is what it and that part come to."""
    answer: Callable[[Any, State], object]
    """(request, state) -> what all of them come to."""


class Kind(NamedTuple):
    """How a call is done as a job. All of it are functions of modules."""

    name: str
    unit: Literal["epochs", "runs", "partitions"]
    """What its progress is counted in."""
    total: Callable[[Any], int]
    """How many there are at most."""
    steps: Callable[[Any, State], Iterator[Event]]
    """(request, state) -> events from a state on, the last one `end`. The state, empty at first, is that of the last event; as
    long as it is empty the work is done in one piece."""
    check: Check | None = None
    """How its request is checked, where a job takes more than the call does."""
    history: Callable[[Any], History] | None = None
    """(answer) -> what is told of its runs, where it has trained any."""
    cut: Cut | None = None
    """How it is done in parts, where it can be."""

    def done_by(self, event: Event) -> int:
        """How much is done when this has happened."""
        data: Any = event.data
        return data["epoch"] if self.unit == "epochs" else data[self.unit[:-1]] + 1 if self.unit[:-1] == event.name else 0


class Checkpoint(NamedTuple):
    """How far a run has come: where its state lies, what it must be, and how many events it has told by then."""

    path: str
    digest: str
    told: int
    read_from: str = ""
    """What tells the data that was read from any other, where the request refers to some."""

    def __str__(self) -> str:
        return json.dumps(self)

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        return None if text is None else cls(*json.loads(text))


class Ended(NamedTuple):
    """That a job has come to its end: how many bytes its result has, and how many runs it was, with what is told of them."""

    size: int
    n: int = 0
    listed: int = 0
    whole: int = 0

    def parts(self, written: bytes) -> tuple[bytes, bytes, bytes]:
        """The result and what is told of the runs, as they were written one behind the other."""
        ends = (self.size, self.size + self.listed)
        return written[: ends[0]], written[ends[0] : ends[1]], written[ends[1] :]


class Found(NamedTuple):
    """That a part of a job has come to its end, or that some have been put together: what they come to, as npz, was written."""


class Task(NamedTuple):
    """A piece of a job: what is to be done, from where on, and until when."""

    kind: Kind
    check: Check
    settings: Settings
    checkpoint: Checkpoint | None
    folder: Path
    """Where checkpoints go."""
    owner: str = ""
    """The name of who has asked for the job."""
    part: bytes | None = None
    """JSON: which part of it; None where it is done in one."""


class Joining(NamedTuple):
    """Parts of a job that are to be put together."""

    kind: Kind
    check: Check
    settings: Settings
    owner: str
    found: Sequence[bytes]
    """What they have come to, in their order."""
    begun: bool
    """Whether the first of them is what all until then have come to together."""
    whole: bool
    """Whether they are all there are."""


def jobs_settings(settings: Settings) -> Settings:
    """The settings under which a job is done: its bounds are its own."""
    unbounded = 2**62
    bounds: Mapping[str, object] = {
        "training_seconds": settings.job_seconds,
        "training_epochs": unbounded,
        "training_row_epochs": unbounded,
        "training_memory_bytes": settings.job_memory_bytes,
        "max_cost": float(unbounded),
    }
    return settings.model_copy(update=bounds)


def work_on(body: memoryview, say: Say, task: Task) -> tuple[Checkpoint | Ended | Found, Sequence[bytes]]:
    """A piece of a job, whose events are said as lines: the checkpoint that it has come to, or its end with what was written."""
    began, kind = time.monotonic(), task.kind
    request = task.check(decode(body)[REQUEST], {OWNER: task.owner}, task.settings)
    read_from: str = getattr(request, READ_FROM, "")
    if task.checkpoint is not None and task.checkpoint.read_from != read_from:
        message = "the data is no longer what it was when the job began: submit it anew"
        raise InvalidInput([Fault(("data", "source"), "changed", message)])
    before, state = restored(task.checkpoint)
    for told, event in enumerate(_steps(kind, request, task.part, state), before + 1):
        if event.name == LAST:
            return _ended(kind, event.data)
        if task.part is None:
            say(_line(kind, told - 1, event))
        if state and time.monotonic() - began >= task.settings.job_checkpoint_seconds:
            with contextlib.suppress(OSError):  # the disk is full, perhaps: then it is done in one piece
                return saved(state, told, task.folder)._replace(read_from=read_from), ()
    if task.part is None:
        raise RuntimeError(f"{kind.name} ended without its last event")
    return Found(), (_packed(state),)


def _steps(kind: Kind, request: Any, part: bytes | None, state: State) -> Iterator[Event]:
    if part is None:
        return kind.steps(request, state)
    assert kind.cut is not None
    return kind.cut.steps(request, orjson.loads(part), state)


def join(body: memoryview, say: Say, joining: Joining) -> tuple[Ended | Found, Sequence[bytes]]:
    """Put parts together, whose events are said as those of a piece: what they come to, or the end of the job."""
    kind, cut = joining.kind, joining.kind.cut
    assert cut is not None
    request = joining.check(decode(body)[REQUEST], {OWNER: joining.owner}, joining.settings)
    parts = map(_unpacked, joining.found)
    state = next(parts) if joining.begun else {}
    for part in parts:
        for event in cut.together(request, state, part):
            say(_line(kind, kind.done_by(event) - 1, event))
    return _ended(kind, cut.answer(request, state)) if joining.whole else (Found(), (_packed(state),))


def _line(kind: Kind, number: int, event: Event) -> bytes:
    return orjson.dumps([number, event.name, kind.done_by(event), orjson.Fragment(encode(event.data))]) + b"\n"


def _packed(state: State) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **state)  # pyright: ignore[reportArgumentType]  # allow_pickle is not among the arrays
    return file.getvalue()


def _unpacked(found: bytes) -> State:
    with np.load(io.BytesIO(found), allow_pickle=False) as arrays:
        return dict(arrays)


def _ended(kind: Kind, answer: object) -> tuple[Ended, Sequence[bytes]]:
    result = encode(answer)
    if kind.history is None:
        return Ended(len(result)), (result,)
    n, *told = kind.history(answer)
    listed, whole = map(encode, told)
    return Ended(len(result), n, len(listed), len(whole)), (result, listed, whole)


def saved(state: State, told: int, folder: Path) -> Checkpoint:
    """The state in a file of its own; OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = folder / f"{told}.npz", folder / f"{told}.{os.getpid()}.new"
    try:
        with beside.open("wb") as file:
            np.savez(file, **state)  # pyright: ignore[reportArgumentType]  # allow_pickle is not among the arrays
        with beside.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    for older in folder.glob("*.npz"):
        if older != path:
            older.unlink(missing_ok=True)
    return Checkpoint(str(path), digest, told)


def restored(checkpoint: Checkpoint | None) -> tuple[int, State]:
    """How many events were told, and the state after them: none and nothing where it cannot be read."""
    if checkpoint is None:
        return 0, {}
    try:
        with open(checkpoint.path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != checkpoint.digest:
                return 0, {}
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return checkpoint.told, dict(arrays)
    except (OSError, ValueError):
        return 0, {}


# --- calls that are done in one piece ---------------------------------------------------------------------------------


def one(request: object) -> int:
    return 1


def at_once(function: Callable[[Any], object], request: object, state: State) -> Iterator[Event]:
    """The events of a call that is done as it is when somebody waits for it."""
    answer = function(request)
    yield Event("partition", {"partition": 0})
    yield Event(LAST, answer)
