"""The process that does the jobs: the engine says which run is next, and each piece of it is done by a process of a pool.

    python -m app worker

On a file there is one, started by a server where there is something to do (host.py), and it ends with that server. On
PostgreSQL there are as many as are started. It ends without a word to anybody: whatever it was doing goes on elsewhere, or at
the next start, from its last checkpoint.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar, cast

import orjson

from app.errors import CallerError, JobTooLarge, JobTooLong, ProcessLost, ShuttingDown, Unavailable, WorkerDied, reason_of
from app.jobs.database import Unreachable, file_of
from app.jobs.engine import Engine, launch, lock_of
from app.jobs.job import Job, Run
from app.jobs.store import Happened, Join, Runs, ToDo
from app.serving.buffers import Buffer, Buffers
from app.serving.call import Call
from app.serving.content import Content
from app.serving.environment import PIECES, set_malloc
from app.serving.host import store_of
from app.serving.lanes import Lane
from app.serving.log import configure, tell
from app.serving.mlflow import Mlflow, NotExported
from app.serving.pieces import REQUEST, Checkpoint, Ended, Found, Joining, Task, jobs_settings, join, work_on
from app.serving.pool import Pool
from app.serving.problems import as_problem, failure
from app.serving.work import Work
from app.settings import Settings

log = logging.getLogger("criterion")

LANE = "jobs"
LOOK_SECONDS = 0.05
"""How often it is looked for jobs that are new, or are over."""
TIDY_SECONDS = 60.0
ADOPT_SECONDS = 1.0
"""How often it is looked for other processes that have died."""
AGAIN_SECONDS = 0.5
"""How long a database that does not answer is left alone."""
TOGETHER_SECONDS = 0.01
"""What comes within so short a time is written down together."""
EXPORT_LOOK_SECONDS = 1.0
EXPORT_SECONDS = 300.0
"""What has not been told elsewhere is tried again after so long at most."""
IDLE_SECONDS = 60.0
"""A process that was started by a server ends where there is nothing to do for so long."""
ALIVE = Path(tempfile.gettempdir()) / f"criterion-worker-{os.getpid()}"
"""Touched each second while the engine turns and the database answers, for whoever watches a worker that was started by hand."""
FOR_EVER = 1e9
MOST = 2000
"""Runs that one process on a file has in hand; whose turn it is is decided here."""

LOCK_TRIES, LOCK_SECONDS = 10, 0.05

P = ParamSpec("P")
T = TypeVar("T")


def work(settings: Settings, calls: Mapping[str, Call], *, attended: bool) -> None:
    """Do jobs until a signal ends it; where it is `attended`, until stdin ends too, or there is nothing more to do.

    Where another process has the engine of the same file it ends at once.
    """
    configure(settings.log_format, settings.log_level)
    set_malloc(PIECES)
    assert settings.engine is not None
    file = file_of(settings.engine)
    if file is not None and not _locked(lock_of(file)):
        tell(log, logging.INFO, "worker_not_needed")
        return
    asyncio.run(Worker(settings, calls).serve(attended=attended))


def _locked(path: Path) -> bool:
    """Whether this process has the lock now. It is given back by its end alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(LOCK_SECONDS)  # a server may be looking whether somebody has it
    os.close(descriptor)
    return False


def end() -> None:
    """End this process at once: its pool's processes end with it, and nothing has to be tidied up."""
    tell(log, logging.INFO, "stopped")
    ALIVE.unlink(missing_ok=True)
    sys.stdout.flush()
    os._exit(0)


class Waiting(NamedTuple):
    """A piece that waits for its turn."""

    job: Job
    turn: asyncio.Future[None]


class Turns:
    """So many pieces at a time. Next is the highest priority; of those one name after the other; of a name the oldest job."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[Waiting] = []
        self._served: dict[str, int] = {}
        """When each name was last served, as a number that grows."""
        self._clock = 0

    @contextlib.asynccontextmanager
    async def one(self, job: Job) -> AsyncGenerator[None]:
        if self._free and not self._waiting:
            self._free -= 1
            self._serve(job)
        else:
            waiting = Waiting(job, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            try:
                await waiting.turn
            except asyncio.CancelledError:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
                else:
                    self._give()
                raise
        try:
            yield
        finally:
            self._give()

    def passes(self, job: Job) -> bool:
        """Whether somebody waits whose turn comes before the next piece of this job."""
        return any(self._rank(waiting.job) < self._rank(job) for waiting in self._waiting)

    def _give(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        following = min(self._waiting, key=lambda waiting: self._rank(waiting.job))
        self._waiting.remove(following)
        self._serve(following.job)
        if following.turn.cancelled():
            self._give()
        else:
            following.turn.set_result(None)

    def _serve(self, job: Job) -> None:
        self._clock += 1
        self._served[job.owner] = self._clock

    def _rank(self, job: Job) -> tuple[int, int, str]:
        return -job.priority, self._served.get(job.owner, 0), job.id


class Worker:
    """One process's part in the jobs."""

    def __init__(self, settings: Settings, calls: Mapping[str, Call]) -> None:
        store = store_of(settings, lasting=False)  # what is lost of it is done again, to the same bits
        assert store is not None
        self._settings, self._calls, self._store = settings, calls, store
        self._mlflow = Mlflow.of(settings)
        self._bounds = jobs_settings(settings)
        self._shared = store.database.shared
        """Whether other processes do jobs too."""
        self._buffers = Buffers()
        lane = Lane(LANE, settings.job_slots, 1, FOR_EVER, settings.job_memory_bytes, 1)
        self._pool = Pool([lane], self._buffers)
        self._turns = Turns(settings.job_slots)
        self._at_work: dict[Run, asyncio.Task[bool]] = {}
        self._in_hand: set[Run] = set()
        """The runs that this process has been told to do: some twice, after a crash."""
        self._begun: set[Run] = set()
        """The runs that this process has begun."""

    async def serve(self, *, attended: bool) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        if attended:
            loop.add_reader(sys.stdin.fileno(), end)  # whoever has started this process is gone
        await self._pool.start()  # the engine has threads, and a process that others are forked from may have none
        shared = self._shared
        assert self._settings.engine is not None
        executor = f"{socket.gethostname()}.{os.getpid()}.{random.getrandbits(64):x}" if shared else "embedded"
        at_once = self._settings.job_slots if shared else MOST
        # on a file nobody else is at work, and an engine of another version may have left what is not done
        await self._lasting(self._store.unfinished if shared else self._store.hand_all_again)
        engine = await launch(self._settings.engine, self.pieces, executor=executor, at_once=at_once)
        await engine.tidy()  # or what has failed before would not be done when it is handed again
        tell(log, logging.INFO, "worker_ready", executor=executor)
        await asyncio.gather(self._look(engine, attended=attended), *([self._export(self._mlflow)] if self._mlflow else []))

    # --- beside the work

    async def _look(self, engine: Engine, *, attended: bool) -> None:
        """Hand new jobs to the engine, end the work on those that are over, and forget those that have expired."""
        tidied = adopted = busy = time.monotonic()
        while True:
            await self._hand(engine)
            for run in await self._lasting(self._store.over, [*self._at_work]):
                if task := self._at_work.get(run):
                    task.cancel()
            now = time.monotonic()
            if now - tidied >= TIDY_SECONDS:
                tidied = now
                await self._lasting(self._store.forget, time.time())
                await engine.tidy()
            if now - adopted >= ADOPT_SECONDS:
                adopted = now
                await engine.adopt()
                if not attended:
                    ALIVE.touch()
            if self._at_work or (attended and now - busy >= IDLE_SECONDS and await self._lasting(self._store.unfinished)):
                busy = now
            if attended and now - busy >= IDLE_SECONDS:
                end()
            await asyncio.sleep(LOOK_SECONDS)

    async def _export(self, mlflow: Mlflow) -> None:
        """Tell of trainings that have ended, one after the other, again where that fails; it never returns."""
        while True:
            now = time.time()
            found = await self._lasting(self._store.export, now, now + EXPORT_SECONDS)
            if found is None:
                await asyncio.sleep(EXPORT_LOOK_SECONDS)
                continue
            job, call = found.job, self._calls[found.job.kind]
            try:
                if call.job and call.job.history:
                    await asyncio.to_thread(mlflow.send, found)
            except NotExported as error:
                tell(log, logging.WARNING, "not_exported", error, job=job.id)
                wait = min(EXPORT_SECONDS, EXPORT_LOOK_SECONDS * 2**found.tries)
                await self._lasting(self._store.export_again, job.id, time.time() + wait)
            except Exception as error:
                tell(log, logging.ERROR, "not_exported", error, job=job.id)
            else:
                await self._lasting(self._store.exported, job.id, found.tries)

    async def _hand(self, engine: Engine) -> None:
        new = [((job.id, job.run, part), job.priority) for job, part in await self._lasting(self._store.unhanded)]
        # where all of them are for this process they go together, which is as many times less to write down
        for some in [[one] for one in new] if self._shared else filter(None, [new]):
            await engine.hand([run for run, _ in some], some[0][1])
        if new:
            await self._lasting(self._store.handed, [run for run, _ in new])

    async def _lasting(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What a question to the store gives, once its database answers."""
        while True:
            try:
                return await asyncio.to_thread(function, *arguments, **named)
            except Unreachable as error:
                tell(log, logging.WARNING, "database_unreachable", error)
                await asyncio.sleep(AGAIN_SECONDS)

    # --- a piece of work

    async def pieces(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Do the next piece of each of these runs; which have another. On a file they are done to their ends."""
        mine = [run for run in runs if run not in self._in_hand]
        self._in_hand |= {*mine}
        try:
            found = await self._lasting(self._store.unended, mine)
            more = await asyncio.gather(*(self._piece(job, (job.id, job.run, part)) for job, part in found))
        finally:
            self._in_hand -= {*mine}
        return [(job.id, job.run, part) for (job, part), goes_on in zip(found, more, strict=True) if goes_on]

    async def _piece(self, job: Job, run: Run) -> bool:
        """Do the next piece of a run once it is its turn; whether there is another."""
        more = True
        while more:
            async with self._turns.one(job):
                more = await self._cancellable(run)
                while more and not (self._shared or self._turns.passes(job)):
                    more = await self._cancellable(run)
            if self._shared:
                break
        if not more:
            self._begun.discard(run)
        return more

    async def _cancellable(self, run: Run) -> bool:
        task = self._at_work[run] = asyncio.ensure_future(self._done(run))
        await asyncio.wait([task])
        del self._at_work[run]
        return not task.cancelled() and task.result()

    async def _done(self, run: Run) -> bool:
        """Do a piece, again where its process dies; whether there is more."""
        identity = run[0]
        for _ in range(self._settings.job_attempts):
            found = await self._lasting(self._store.to_do if run in self._begun else self._store.begin, *run)
            if found is None:
                return False
            self._begun.add(run)
            try:
                return await (self._tried(run, found) if found.join is None else self._joined(run, found, found.join))
            except ProcessLost as error:
                tell(log, logging.WARNING, "job_process_lost", error, job=identity)
                self._begun.discard(run)
            except ShuttingDown:
                raise
            except (CallerError, Unavailable) as error:
                return await self._failed(run, found, as_problem(_of_job(error, self._settings)))
            except Exception as error:
                tell(log, logging.ERROR, "job_failed", error, job=identity)
                return await self._failed(run, found, failure(identity))
        times = self._settings.job_attempts
        died = WorkerDied(f"the process that worked on this job has died {times} times at the same piece of it")
        found = await self._lasting(self._store.to_do, *run)
        return found is not None and await self._failed(run, found, as_problem(died))

    async def _tried(self, run: Run, todo: ToDo) -> bool:
        job, body, checkpoint, part, _ = todo
        call = self._calls[job.kind]
        assert call.job is not None
        folder = self._folder(job)
        own = folder if part is None else folder / str(run[2])
        task = Task(call.job, call.job_check, self._bounds, Checkpoint.read(checkpoint), own, job.owner, part)
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._settings.job_seconds - job.used),
                self._buffered(body) as content,
                self._pool.work(LANE, work_on, content, task) as work,
            ):
                last = await self._tell(job, work)
        except TimeoutError:
            raise JobTooLong(f"the job has taken more than {self._settings.job_seconds:g} seconds of work") from None
        reached, content = cast("Checkpoint | Ended | Found", work.known), self._taken(work.answer)
        seconds = time.monotonic() - began
        if isinstance(reached, Checkpoint):
            if last is not None:
                await self._lasting(self._store.tell, job.id, job.run, *last)
            await self._lasting(self._store.worked, *run, seconds, str(reached))
            return True
        if isinstance(reached, Found):
            await self._lasting(self._store.part_ended, *run, seconds, found=content)
            _remove(own)
            return True
        return await self._finished(job, reached, content, last)

    async def _joined(self, run: Run, todo: ToDo, parts: Join) -> bool:
        """Put together what parts of a job have come to, and end it where these are all, or the next one cannot be done."""
        job = todo.job
        call = self._calls[job.kind]
        assert call.job is not None
        if len(parts.found) > parts.begun or parts.whole:
            joining = Joining(call.job, call.job_check, self._bounds, job.owner, parts.found, parts.begun, parts.whole)
            async with self._buffered(todo.body) as content, self._pool.work(LANE, join, content, joining) as work:
                last = await self._tell(job, work)
            reached, content = cast("Ended | Found", work.known), self._taken(work.answer)
            if isinstance(reached, Ended):
                return await self._finished(job, reached, content, last)
            if last is not None:
                await self._lasting(self._store.tell, job.id, job.run, *last)
            await self._lasting(self._store.joined, job.id, job.run, parts.last, content)
        if parts.problem is not None:
            self._log(await self._lasting(self._store.finish, job.id, job.run, problem=parts.problem))
        return False

    async def _finished(self, job: Job, reached: Ended, content: bytes, last: tuple[int, list[Happened]] | None) -> bool:
        result, *told = reached.parts(content)
        runs = Runs(reached.n, *told) if reached.n else None
        self._log(await self._lasting(self._store.finish, job.id, job.run, told=last, result=result, runs=runs))
        _remove(self._folder(job))
        return False

    def _taken(self, written: Buffer) -> bytes:
        try:
            return b"".join(written.pieces())
        finally:
            self._buffers.give(written)

    def _folder(self, job: Job) -> Path:
        return self._settings.data_dir.absolute() / "jobs" / job.id

    @contextlib.asynccontextmanager
    async def _buffered(self, body: bytes) -> AsyncGenerator[Buffer | bytes]:
        """The body as a process can be given it: a long one in memory that both map."""
        if len(body) <= SENT_BYTES:
            yield body
            return
        buffer = self._buffers.take()
        buffer.write(body)
        try:
            yield buffer
        finally:
            self._buffers.give(buffer)

    async def _tell(self, job: Job, work: Work) -> tuple[int, list[Happened]] | None:
        """Keep what a process tells, as it comes; what it tells at its very end is for whoever keeps how it has ended."""
        coming = asyncio.ensure_future(anext(work, None))
        try:
            while chunk := await coming:
                coming = asyncio.ensure_future(anext(work, None))
                await asyncio.wait([coming], timeout=TOGETHER_SECONDS)
                lines = [orjson.loads(line) for line in chunk.splitlines()]
                told = lines[0][0], [(name, orjson.dumps(data), done) for _, name, done, data in lines]
                if coming.done() and not coming.exception() and coming.result() is None:
                    return told
                await self._lasting(self._store.tell, job.id, job.run, *told)
            return None
        finally:
            coming.cancel()

    async def _failed(self, run: Run, todo: ToDo, problem: Content) -> bool:
        """End a run that cannot be done. Of a part that is told once those before it have been; whether there is more to do."""
        text = b"".join(problem.pieces)
        if todo.part is not None:
            await self._lasting(self._store.part_ended, *run, problem=text)
            return True
        self._log(await self._lasting(self._store.finish, *run[:2], problem=text))
        return False

    def _log(self, job: Job | None) -> None:
        if job is not None:
            tell(log, logging.INFO, "job", job=job.id, kind=job.kind, status=job.status, attempt=job.attempts)


SENT_BYTES = 64 * 1024
"""A body of at most so many bytes is sent; a longer one lies in memory that the process maps too."""


def _of_job(error: CallerError | Unavailable, settings: Settings) -> CallerError | Unavailable:
    """What went wrong as it is said of a job: places are in its body, and its bounds are its own."""
    if isinstance(error, Unavailable):
        return error
    if reason_of(error) == "limit":
        most = settings.job_memory_bytes
        return JobTooLarge(f"a piece of this job needs more than the {most} bytes of memory that one may have")
    return error.moved({(): (REQUEST,)})


def _remove(folder: Path) -> None:
    """The checkpoints of a job that needs them no longer."""
    shutil.rmtree(folder, ignore_errors=True)
