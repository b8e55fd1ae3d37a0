"""One pool of processes for everything that would hold the event loop: large bodies, costly small ones, training runs.

The JSON parser and the formatter hold the interpreter lock, so a thread would not do. Kinds of work queue in lanes of
their own and share the processes. Who leaves takes the work along: its process is killed, and another is forked.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterable
from typing import NamedTuple, Self, TypeAlias

from app.errors import Busy, ProcessLost, TooLate, Unavailable
from app.serving.buffers import Buffer, Buffers
from app.serving.child import Job, Order, Shared
from app.serving.processes import Child, Template
from app.serving.warm import Warm

log = logging.getLogger("criterion")

HELD_BYTES = 4 * 1024 * 1024
"""Events that are kept for a caller who does not read; then the job waits for him."""
ENDING = "the server is about to end"

Answer: TypeAlias = tuple[object, Buffer]
"""What is known about an answer, and its bytes."""


class Lane(NamedTuple):
    """What shares a queue, and what each of its jobs may take."""

    name: str
    at_once: int
    """Jobs at a time."""
    waiting: int
    """Jobs that may wait; one more is refused."""
    seconds: float
    """A job that takes longer is ended."""
    memory_bytes: int
    """What a job may take beyond what its process has by itself."""
    threads: int
    """Threads that share a large batch."""


class Health(NamedTuple):
    ready: bool
    reason: str
    """Why not; empty where it is ready."""


class Pool:
    """The processes of one server process, and who waits for them."""

    def __init__(self, lanes: Iterable[Lane], buffers: Buffers, modules: Iterable[str] = ("app.main",)) -> None:
        self._lines = {lane.name: _Line(lane) for lane in lanes}
        self._buffers = buffers
        self._modules = tuple(modules)
        self._template: Template | None = None
        self._busy: set[Child] = set()
        self._idle = Warm(self._let_rest)
        self._spare: Child | None = None
        """A process at rest: one always waits, for whoever comes next."""
        self._refill: asyncio.Task[None] | None = None
        self._failure = ""
        self._closed = False

    async def start(self) -> None:
        """Have a process ready before it is needed; Unavailable where there can be none."""
        self._spare = self._spare or await self._fork()

    def full(self, lane: str) -> bool:
        """Whether the next job of a lane would be refused."""
        return self._lines[lane].full

    @contextlib.asynccontextmanager
    async def work(self, lane: str, job: Job, body: Buffer | bytes, *arguments: object) -> AsyncGenerator["Work"]:
        """A job under way: `job(body, say, *arguments)`. To leave before it has ended is to end it.

        Unavailable where it cannot even wait: its lane is full, or closed.
        """
        line = self._lines[lane]
        line.check()
        events = _Events()
        task = asyncio.create_task(self._carry(line, events, job, body, arguments))
        line.add(task)
        task.add_done_callback(lambda done: events.end())
        work = Work(task, events, self._buffers)
        try:
            yield work
        finally:
            work.leave()
            await asyncio.wait([task])

    @property
    def health(self) -> Health:
        """Whether there is a process or could be, and room in every queue."""
        alive = self._busy or self._idle or self._spare or not self._failure
        full = ", ".join(name for name, line in self._lines.items() if line.full)
        reason = ENDING if self._closed else "" if alive else self._failure
        reason = reason or (full and f"no more requests can wait: {full}")
        return Health(not reason, reason)

    def stop(self, lane: str) -> None:
        """End a lane: Unavailable for whoever works or waits in it, or comes later."""
        self._lines[lane].stop()

    def close(self) -> None:
        """End every job and every process, at once."""
        self._closed = True
        for child in self._busy:
            child.kill()
        for line in self._lines.values():
            line.stop()
        if self._refill:
            self._refill.cancel()
        self._idle.close()
        if spare := self._take_spare():
            spare.close()
        if self._template:
            self._template.close()
            self._template = None

    async def _carry(
        self, line: "_Line", events: "_Events", job: Job, body: Buffer | bytes, arguments: tuple[object, ...]
    ) -> Answer:
        """What is known about a job's answer, and the answer, once it is the job's turn."""
        lane = line.lane
        async with line.turns:
            child, answer, whole = await self._take(), self._buffers.take(), False
            shared = [body, answer] if isinstance(body, Buffer) else [answer]
            sent = Shared(body.number, body.size) if isinstance(body, Buffer) else body
            order = Order(job, sent, answer.number, arguments, lane.threads, lane.memory_bytes)
            try:
                async with asyncio.timeout(lane.seconds):
                    outcome = await child.work(order, shared, events.put)
                whole = outcome.whole
            except TimeoutError:
                raise TooLate(f"the work on this request was ended, since it took more than {lane.seconds:g} seconds") from None
            except OSError:
                raise ProcessLost("the process that was working on this request ended before it was done") from None
            finally:
                self._put_back(child, whole)
                if not whole:
                    answer.close()  # a process that is being killed may still write into it
        if outcome.error:
            self._buffers.give(answer)
            raise outcome.error
        answer.written_elsewhere(outcome.size)
        return outcome.known, answer

    async def _take(self) -> Child:
        """A process that is idle and alive, or a new one."""
        while (child := self._idle.take() or self._take_spare()) and not child.alive:
            child.close()
        child = child or await self._fork()
        self._busy.add(child)
        return child

    def _take_spare(self) -> Child | None:
        child, self._spare = self._spare, None
        return child

    def _put_back(self, child: Child, whole: bool) -> None:
        self._busy.discard(child)
        if whole and not self._closed:
            self._idle.put(child)
        else:
            child.close()
            self._refill_soon()

    def _let_rest(self, child: Child) -> None:
        """Let go of a process that has been idle: the one that worked last is the spare one, the others end."""
        if older := self._take_spare():
            older.close()
        try:
            if self._closed:
                raise BrokenPipeError
            child.rest()
            self._spare = child
        except OSError:
            child.close()
            self._refill_soon()

    def _refill_soon(self) -> None:
        if not (self._closed or self._idle or self._spare or (self._refill and not self._refill.done())):
            self._refill = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        with contextlib.suppress(Unavailable):  # which is logged, and tried again when somebody needs it
            self._spare = await self._fork()

    async def _fork(self) -> Child:
        """A new process; from a new template, where the old one is dead or stopped."""
        for _ in range(2):
            if self._closed:
                raise Unavailable(ENDING)
            template = self._template = self._template or Template(self._modules)
            try:
                child = await template.fork()
            except OSError as error:
                log.warning("the process that others are forked from is replaced: %r", error)
                if self._template is template:
                    self._template = None
                    template.close()
            else:
                self._failure = ""
                return child
        self._failure = "no process can be started"
        log.error("no process for large requests and training runs can be started")
        raise Unavailable(f"{self._failure}; try again later")


class _Line:
    """Who works and who waits in a lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.turns = asyncio.Semaphore(lane.at_once)
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._stopped = False

    @property
    def full(self) -> bool:
        return len(self._tasks) >= self.lane.at_once + self.lane.waiting

    def check(self) -> None:
        """Unavailable where one more cannot even wait."""
        if self._stopped:
            raise Unavailable(ENDING)
        if self.full:
            working, waiting = self.lane.at_once, len(self._tasks) - self.lane.at_once
            raise Busy(f"{waiting} {self.lane.name} requests are waiting already for the {working} at work; try again later")

    def add(self, task: asyncio.Task[Answer]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()


class Work:
    """A job under way, as an asynchronous iterator: its events as they come, then the end, or what went wrong.

    CallerError that the job raised; TooLate, ProcessLost or Unavailable; RuntimeError for a bug, with the job's traceback as
    its note. After the end there are `known` and `answer`, a buffer that is the caller's to give back.
    """

    known: object
    answer: Buffer

    def __init__(self, task: asyncio.Task[Answer], events: "_Events", buffers: Buffers) -> None:
        self._task, self._events, self._buffers = task, events, buffers
        self._taken = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if events := await self._events.get():
            return events
        if self._task.cancelled():
            raise Unavailable(ENDING)
        self.known, self.answer = self._task.result()
        self._taken = True
        raise StopAsyncIteration

    def leave(self) -> None:
        """End the job, where it has not ended, and give its answer back, where nobody has taken it."""
        self._task.cancel()
        self._task.add_done_callback(self._give_back)

    def _give_back(self, task: asyncio.Task[Answer]) -> None:
        if not (task.cancelled() or task.exception() or self._taken):
            self._buffers.give(task.result()[1])


class _Events:
    """What a job has said and its caller has not read."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._change, self._room = asyncio.Event(), asyncio.Event()
        self._ended = False

    async def put(self, events: bytes) -> None:
        """Hold these, and wait while there is more than is held for anybody."""
        self._held += events
        self._change.set()
        while len(self._held) > HELD_BYTES:
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        self._ended = True
        self._change.set()

    async def get(self) -> bytes:
        """What has been said since; nothing when there will be nothing more."""
        await self._change.wait()
        if not self._ended:
            self._change.clear()
        events = bytes(self._held)
        self._held.clear()
        self._room.set()
        return events
