"""One pool of processes for everything that would hold the event loop: large bodies, costly small ones, training runs.

The JSON parser and the formatter hold the interpreter lock, so a thread would not do. Kinds of work queue in lanes of
their own and share the processes. Who leaves takes the work along: its process is killed, and another is forked.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from time import perf_counter
from typing import Any, NamedTuple

from app.errors import InvalidInput, ProcessLost, ShuttingDown, TooLate, Unavailable
from app.serving.buffers import Buffer, Buffers
from app.serving.child import Flowing, Job, Order, Outcome, Shared
from app.serving.flow import Flow
from app.serving.lanes import ENDING, TELLING, Lane, Line
from app.serving.processes import Child, Template
from app.serving.warm import Warm
from app.serving.work import Answer, Events, Turn, Work

log = logging.getLogger("criterion")

LOOK_SECONDS = 1.0
"""How often the processes at work are looked at."""
QUEUES = {"large": "pool", "training": "train"}
"""Under which word the waiting of a lane is counted, where it is."""
LOOKS = 5
"""One that is found stopped so often in a row is lost: it would keep its place in the lane until its time is over."""


def _nothing(subject: object) -> None:
    pass


class Health(NamedTuple):
    ready: bool
    reason: str
    """Why not; empty where it is ready."""


class Pool:
    """The processes of one server process, and who waits for them."""

    def __init__(self, lanes: Iterable[Lane], buffers: Buffers, modules: Iterable[str] = ("app.main",)) -> None:
        self._lines = {lane.name: Line(lane) for lane in lanes}
        self._buffers = buffers
        self._modules = tuple(modules)
        self._template: Template | None = None
        self._busy: set[Child] = set()
        self._stopped: dict[Child, int] = {}
        """Those at work that are stopped, and how often they have been found so."""
        self._next_look: asyncio.TimerHandle | None = None
        self._idle = Warm(self._let_rest)
        self._spare: Child | None = None
        """A process at rest: one always waits, for whoever comes next."""
        self._refill: asyncio.Task[None] | None = None
        self._failure = ""
        self._closed = self._ending = False
        self.died: Callable[[str], object] = _nothing
        """Called with the reason where a process ends before its time."""

    async def start(self) -> None:
        """Have a process ready before it is needed; Unavailable where there can be none."""
        if self._spare is None:
            self._keep(await self._fork())

    def full(self, lane: str, name: str = "") -> bool:
        """Whether the next job of a lane would be refused to somebody of this name."""
        return self._lines[lane].full_for(name)

    @contextlib.asynccontextmanager
    async def work(
        self,
        lane: str,
        job: Job,
        body: Buffer | Flow | bytes,
        *arguments: object,
        name: str = "",
        asked: Callable[[Any], None] = _nothing,
    ) -> AsyncGenerator[Work]:
        """A job under way: `job(body, say, *arguments)`. To leave before it has ended is to end it.

        Those who wait are served in turn by their `name`. What the job asks is answered by `asked`. Unavailable where it
        cannot even wait: its lane is full, or closed.
        """
        line = self._lines[lane]
        line.check(name)
        events, turn = Events(), Turn(lane)
        task = asyncio.create_task(self._carry(line, turn, name, events, asked, job, body, arguments))
        line.add(task)
        task.add_done_callback(lambda done: events.end())
        work = Work(task, events, self._buffers, turn)
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
        reason = ENDING if self.ending else "" if alive else self._failure
        reason = reason or (full and f"no more requests can wait: {full}")
        return Health(not reason, reason)

    @property
    def ending(self) -> bool:
        return self._closed or self._ending

    def gauges(self) -> dict[tuple[str, ...], float]:
        """How many processes there are, and how many requests wait for them, as metrics."""
        idle = len(self._idle) + (self._spare is not None)
        lines = {QUEUES[name]: line for name, line in self._lines.items() if name in QUEUES}
        waiting = {("criterion_queue_length", queue): float(line.waiting) for queue, line in lines.items()}
        limits = {("criterion_queue_limit", queue): float(line.lane.waiting) for queue, line in lines.items()}
        states = {("criterion_pool_processes", "idle"): float(idle), ("criterion_pool_processes", "busy"): float(len(self._busy))}
        return {**states, **waiting, **limits}

    def end(self) -> None:
        """Say that it is not ready any more; runs and streams are ended at once, and large requests may still be finished."""
        self._ending = True
        for lane in {*TELLING} & {*self._lines}:
            self.stop(lane)

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
        if self._next_look:
            self._next_look.cancel()
        self._idle.close()
        if spare := self._take_spare():
            spare.close()
        if self._template:
            self._template.close()
            self._template = None

    async def _carry(
        self,
        line: Line,
        turn: Turn,
        name: str,
        events: Events,
        asked: Callable[[Any], None],
        job: Job,
        body: Buffer | Flow | bytes,
        arguments: tuple[object, ...],
    ) -> Answer:
        """What is known about a job's answer, and the answer, once it is the job's turn."""
        async with line.slots.one(name):
            child, whole, death = await self._take(), False, "client_left"
            turn.began = perf_counter()
            try:
                async with asyncio.timeout(line.lane.seconds):
                    outcome, answer = await self._done(child, line.lane, events, asked, job, body, arguments)
                whole, death = outcome.whole, "memory" if isinstance(outcome.error, InvalidInput) else ""
            except TimeoutError:
                death = "deadline"
                raise TooLate(f"the work on this request was ended: it took more than {line.lane.seconds:g} seconds") from None
            except OSError:
                death = "killed"
                raise ProcessLost("the process that was working on this request ended before it was done") from None
            finally:
                turn.ended = perf_counter()
                self._put_back(child, whole)
                if death and not (whole or self.ending):
                    self.died(death)
        if outcome.error:
            self._buffers.give(answer)
            raise outcome.error
        answer.written_elsewhere(outcome.size)
        return outcome.known, answer

    async def _done(
        self,
        child: Child,
        lane: Lane,
        events: Events,
        asked: Callable[[Any], None],
        job: Job,
        body: Buffer | Flow | bytes,
        arguments: tuple[object, ...],
    ) -> tuple[Outcome, Buffer]:
        answer = self._buffers.take()
        shared = [body, answer] if isinstance(body, Buffer) else [answer]
        flow = body if isinstance(body, Flow) else None
        sent = Shared(body.number, body.size) if isinstance(body, Buffer) else Flowing() if isinstance(body, Flow) else body
        order = Order(job, sent, answer.number, arguments, lane.threads, lane.memory_bytes)
        try:
            return await child.work(order, shared, events.put, asked, flow), answer
        except BaseException:
            answer.close()  # a process that is being killed may still write into it: nobody else may have it
            raise

    async def _take(self) -> Child:
        """A process that is idle and alive, or a new one."""
        while (child := self._idle.take() or self._take_spare() or await self._coming()) and not child.alive:
            child.close()
        child = child or await self._fork()
        self._busy.add(child)
        self._look_soon()
        return child

    async def _coming(self) -> Child | None:
        """The process that is about to be the spare one, if one is: another would be one too many."""
        if self._refill is None or self._refill.done():
            return None
        await asyncio.wait([self._refill])
        return self._take_spare()

    def _look_soon(self) -> None:
        if self._busy and self._next_look is None:
            self._next_look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Kill what has been stopped for long: its job hears of it as of any process that is lost."""
        self._stopped = {child: self._stopped.get(child, 0) + 1 for child in self._busy if child.stopped}
        for child, looks in self._stopped.items():
            if looks >= LOOKS:
                log.warning("process %d is killed: it has been stopped for %g seconds", child.pid, looks * LOOK_SECONDS)
                child.kill()
        self._next_look = None
        self._look_soon()

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
        """Let go of a process that has been idle: one stays, as the spare one."""
        try:
            child.rest()
        except OSError:
            child.close()
            self._refill_soon()
        else:
            self._keep(child)

    def _keep(self, child: Child) -> None:
        """Have this process wait for whoever comes next, instead of the one that does: unless that has loaded more libraries.

        To load SciPy, or the engine that draws, takes a second.
        """
        if self._closed:
            child.close()
            return
        if older := self._take_spare():
            if older.modules > child.modules and older.alive:
                child, older = older, child
            older.close()
        self._spare = child

    def _refill_soon(self) -> None:
        if not (self._closed or self._idle or self._spare or (self._refill and not self._refill.done())):
            self._refill = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        with contextlib.suppress(Unavailable):  # which is logged, and tried again when somebody needs it
            self._keep(await self._fork())

    async def _fork(self) -> Child:
        """A new process; from a new template, where the old one is dead or stopped."""
        for _ in range(2):
            if self._closed:
                raise ShuttingDown(ENDING)
            template = self._template = self._template or Template(self._modules)
            try:
                child = await template.fork()
            except OSError as error:
                self._replace(template, error)
            else:
                self._failure = ""
                return child
        self._failure = "no process can be started"
        log.error("no process for large requests and training runs can be started")
        raise Unavailable(f"{self._failure}; try again later")

    def _replace(self, template: Template, error: OSError) -> None:
        if self._template is template:
            log.warning("the process that others are forked from is replaced: %r", error)
            self._template = None
            template.close()
