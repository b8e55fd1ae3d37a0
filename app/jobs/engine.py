"""The engine: which process does which job next, and that another goes on where one has died. DBOS Transact, and only here.

Runs of jobs that are handed to it together are one workflow. Each of its steps is a piece of the work, recorded with which runs
have another piece to come, so that those whose process has died go on with the piece that was under way.
Nothing of a job stands in the engine's tables but its id.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from app.jobs.database import LASTING, file_of
from app.jobs.job import Run

Piece: TypeAlias = Callable[[Sequence[Run]], Awaitable[Sequence[Run]]]
"""Some runs -> those of them that have more to do. It is called again where its process has died over it."""

NAME = "criterion"
VERSION = "3"
"""Of the order of the steps: what was begun under another is for processes of that one."""
QUEUE = "criterion-jobs"
POLL_SECONDS = 0.05
HIGHEST_PRIORITY = 100
TURNS = 1000
"""More than a job has parts: of jobs of one priority the first parts come before the second ones."""
OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
FORGOTTEN = 5000
"""How much is forgotten at a time."""
RECOVERIES = 10_000
"""How often a run may be taken up again: how often its own process may die is counted elsewhere."""


class Engine(Protocol):
    """Does the runs that it is told of, until they have ended. Whatever it has been told outlives its process."""

    async def hand(self, runs: Sequence[Run], priority: int) -> None:
        """Have some runs done by one process; a second time is nothing."""
        ...

    async def adopt(self) -> None:
        """Take over the runs of processes that have died."""
        ...

    async def tidy(self) -> None:
        """Forget what is over."""
        ...


async def launch(url: str, piece: Piece, *, executor: str, at_once: int) -> Engine:
    """The engine on this database, in this process and its event loop; `at_once` runs of it are under way at a time."""
    logging.getLogger("dbos").addHandler(logging.NullHandler())  # which has it say nothing of its own; what it logs is ours
    os.environ.pop("DBOS__APPVERSION", None)
    import sqlalchemy.engine
    import sqlalchemy.event
    from dbos import DBOS

    file = file_of(url)
    if file is not None:
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", _relaxed)

    @DBOS.step(name="piece")
    async def work(runs: list[list[Any]]) -> list[list[Any]]:
        return [[*run] for run in await piece([(identity, number, part) for identity, number, part in runs])]

    @DBOS.workflow(name="job", max_recovery_attempts=RECOVERIES)
    async def job(runs: list[list[Any]]) -> None:
        while runs:
            runs = await work(runs)

    DBOS(
        config={
            "name": NAME,
            "system_database_url": url,
            "executor_id": executor,
            "application_version": VERSION,
            "log_level": "WARNING",
            "serializer": _json(),
            "use_listen_notify": False,
        }
    )
    DBOS.launch()
    await DBOS.register_queue_async(
        QUEUE, worker_concurrency=at_once, polling_interval_sec=POLL_SECONDS, on_conflict="always_update"
    )
    engine = _Dbos(DBOS, job, Leases(url, executor) if file is None else None)
    await engine.adopt()
    return engine


class Leases:
    """That a process lives, as a lock which its own connection holds: of a process that has died others can have it.

    The engine by itself takes up only what a process of the same name has left, and no process ever has that name again.
    """

    def __init__(self, url: str, executor: str) -> None:
        self._url, self._executor = url, executor
        self._connection: Any = None

    def dead(self, executors: Iterable[str]) -> list[str]:
        """Those of these processes that live no longer, of which this one now has the locks: until `release`."""
        import psycopg

        try:
            self._hold()
            return [executor for executor in executors if executor != self._executor and self._locked(executor)]
        except psycopg.OperationalError:  # the database restarts: nobody can work meanwhile
            self._connection = None
            return []

    def release(self, executors: Iterable[str]) -> None:
        for executor in executors:
            self._connection.execute("SELECT pg_advisory_unlock(%s)", [lease_of(executor)])

    def _hold(self) -> None:
        """Have a connection, and on it the lock that says that this process lives."""
        import psycopg

        if self._connection is None or self._connection.closed:
            connection = psycopg.connect(self._url, autocommit=True, **LASTING)
            connection.execute("SELECT pg_advisory_lock(%s)", [lease_of(self._executor)])
            self._connection = connection

    def _locked(self, executor: str) -> bool:
        return bool(self._connection.execute("SELECT pg_try_advisory_lock(%s)", [lease_of(executor)]).fetchone()[0])


class _Dbos:
    def __init__(self, dbos: Any, job: Any, leases: Leases | None) -> None:
        self._dbos, self._job, self._leases = dbos, job, leases

    async def hand(self, runs: Sequence[Run], priority: int) -> None:
        from dbos import SetEnqueueOptions, SetWorkflowID

        place = TURNS * (HIGHEST_PRIORITY + 1 - priority) + runs[0][2]
        with SetWorkflowID(_workflow(runs)), SetEnqueueOptions(priority=place):
            await self._dbos.enqueue_workflow_async(QUEUE, self._job, [[*run] for run in runs])

    async def adopt(self) -> None:
        leases = self._leases
        if leases is None:  # on a file nobody else is at work, and what was left was taken up at the start
            return
        pending = await self._dbos.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        dead = await asyncio.to_thread(leases.dead, {workflow.executor_id for workflow in pending})
        if not dead:
            return
        # anew, and only now: what the process did between the look and its end is not overlooked
        pending = await self._dbos.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        for workflow in pending:
            if workflow.executor_id in dead:
                await self._dbos.resume_workflow_async(workflow.workflow_id, queue_name=QUEUE)
        await asyncio.to_thread(leases.release, dead)

    async def tidy(self) -> None:
        over = await self._dbos.list_workflows_async(status=[*OVER], limit=FORGOTTEN, load_input=False, load_output=False)
        if over:
            await self._dbos.delete_workflows_async([workflow.workflow_id for workflow in over])


def _workflow(runs: Sequence[Run]) -> str:
    """A name that the same runs have again under this version: of one run it tells which."""
    names = [f"{identity}.{run}.{part}" for identity, run, part in runs]
    several = f"{len(names)}.{hashlib.sha256(' '.join(names).encode()).hexdigest()}"
    return f"{VERSION}.{names[0] if len(names) == 1 else several}"


def _relaxed(connection: object, record: object) -> None:
    """The engine's own records need not be on the disk at once: the jobs are, and are handed to it again."""
    import sqlite3

    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL")


def _json() -> Any:
    """JSON in every table: by itself the engine pickles, and whoever can write to its database could run what he likes."""
    from dbos import Serializer

    class Json(Serializer):
        def serialize(self, data: object) -> str:
            return json.dumps(data, default=_plain)

        def deserialize(self, serialized_data: str) -> object:
            return json.loads(serialized_data, object_hook=_revived)

        def name(self) -> str:
            return "criterion_json"

    return Json()


ERROR = "error"


def _revived(found: dict[str, object]) -> object:
    return RuntimeError(found[ERROR]) if ERROR in found else found


def _plain(value: object) -> object:
    """An error by its kind: its text may have what a caller sent in it."""
    if isinstance(value, BaseException):
        return {ERROR: type(value).__name__}
    raise TypeError


def lock_of(file: Path) -> Path:
    """The file that is locked by the process that runs the engine of this one."""
    return file.with_name(f"{file.name}.lock")


def lease_of(executor: str) -> int:
    """The number of the lock that a process holds as long as it lives."""
    return int.from_bytes(hashlib.sha256(executor.encode()).digest()[:8], signed=True)
