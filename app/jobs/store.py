"""The jobs: every question about them, and every change. What changes a job says so in its events, in the same transaction."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from app.errors import JobEnded, JobNotResumable, JobsFull, NotFound
from app.jobs.database import Database, Execute, Row
from app.jobs.idempotency import Answers, claim, digest_of
from app.jobs.job import RESUMABLE, Job, JobEvent, Status, Unit, new_id, shown
from app.jobs.tables import Tables

COLUMNS = ", ".join(Job._fields)
PAGE = 500
"""Events that are read at a time."""


Happened: TypeAlias = tuple[str, bytes, int]
"""An event that a run tells: its name, JSON, and how much is done."""


class Whole(NamedTuple):
    """A job with what it has come to."""

    job: Job
    position: int | None
    """How many would be begun before it, and itself; None unless it is queued."""
    result: bytes | None
    problem: bytes | None
    """Both JSON."""


class Runs(NamedTuple):
    """What is told of the trainings of a job."""

    n: int
    listed: bytes
    """JSON, as what follows: what a list shows of them."""
    whole: bytes


NO_RUNS = Runs(0, b"[]", b"[]")


class New(NamedTuple):
    """A job that is asked for."""

    kind: str
    priority: int
    total: int
    unit: Unit
    body: bytes


class Store:
    """The jobs of a database. Its methods wait for it, so they are for threads; Unreachable where it does not answer."""

    def __init__(self, database: Database, *, limit: int, retention: float) -> None:
        self.database = database
        self.limit = limit
        """Jobs that may be queued."""
        self._retention = retention
        """Seconds after its end for which a job is kept."""
        self._tables = Tables(database)
        self.answers = Answers(self._tables, retention)
        """Of calls that somebody waits for, under their Idempotency-Keys."""

    # --- for callers

    def submit(self, new: New, owner: str, key: str | None = None) -> tuple[Whole, bool]:
        """The new job, or the one that was asked for under this Idempotency-Key; and whether it is that.

        JobsFull where too many are queued, IdempotencyKeyReused where the key was sent with another body.
        """
        job = Job(new_id(), owner, new.kind, "queued", new.priority, new.total, new.unit, time.time())
        with self._tables.changing() as execute:
            if key is not None:
                known = claim(execute, owner, key, digest_of("job", [new.body]), job=job.id)
                if known and known.job:
                    return self._whole(execute, known.job, owner), True
            self._check_room(execute)
            marks = ", ".join("?" * (len(job) + 2))
            execute(f"INSERT INTO criterion_jobs ({COLUMNS}, handed, body) VALUES ({marks})", *job, 0, new.body)
            position = _position(execute, job)
            return Whole(_status_told(execute, job, position), position, None, None), False

    def get(self, identity: str, owner: str) -> Whole:
        """A job of this owner; NotFound."""
        with self._tables.reading() as execute:
            return self._whole(execute, identity, owner)

    def page(
        self, owner: str, status: str | None, kind: str | None, limit: int, before: str | None
    ) -> list[tuple[Job, int | None]]:
        """Jobs with their positions, the newest first, from before this id on."""
        wanted = [("owner = ?", owner), ("status = ?", status), ("kind = ?", kind), ("id < ?", before)]
        given = [(condition, value) for condition, value in wanted if value is not None]
        where = " AND ".join(condition for condition, _ in given)
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT {COLUMNS} FROM criterion_jobs WHERE {where} ORDER BY id DESC LIMIT ?",
                *(value for _, value in given),
                limit,
            )
            jobs = [Job(*row) for row in rows]
            return [(job, _position(execute, job)) for job in jobs]

    def ended(
        self, owner: str, kinds: Sequence[str], statuses: Sequence[str], limit: int, before: str | None
    ) -> list[tuple[Job, Runs]]:
        """Jobs of these kinds that have ended so, each with what a list shows of its runs, the newest first."""
        marks = [", ".join("?" * len(words)) for words in (kinds, statuses)]
        after, given = ("AND id < ?", [before]) if before else ("", [])
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT n, listed, {COLUMNS} FROM criterion_jobs LEFT JOIN criterion_runs ON job = id WHERE owner = ? "
                f"AND kind IN ({marks[0]}) AND status IN ({marks[1]}) AND expires > ? {after} ORDER BY id DESC LIMIT ?",
                owner,
                *kinds,
                *statuses,
                time.time(),
                *given,
                limit,
            )
        return [(Job(*job), Runs(n, bytes(listed), b"") if n else NO_RUNS) for n, listed, *job in rows]

    def runs(self, identity: str, owner: str, kinds: Sequence[str]) -> tuple[Whole, Runs]:
        """A job of one of these kinds that has ended, and all that is told of its runs; NotFound."""
        with self._tables.reading() as execute:
            whole = self._whole(execute, identity, owner)
            rows = execute("SELECT n, listed, whole FROM criterion_runs WHERE job = ?", identity)
        if whole.job.kind not in kinds or not whole.job.ended_already:
            raise NotFound(
                f"the job {identity} has no runs that have ended: its kind is {whole.job.kind}, and it is {whole.job.status}"
            )
        return whole, Runs(rows[0][0], bytes(rows[0][1]), bytes(rows[0][2])) if rows else NO_RUNS

    def cancel(self, identity: str, owner: str) -> Whole:
        """The job, which is cancelled; JobEnded where it has succeeded or failed."""
        with self._tables.changing() as execute:
            rows = execute(
                f"UPDATE criterion_jobs SET status = 'cancelled', ended = ?, expires = ? WHERE id = ? AND owner = ? "
                f"AND status IN ('queued', 'running') RETURNING {COLUMNS}",
                *self._ends(),
                identity,
                owner,
            )
            if rows:
                return Whole(_status_told(execute, Job(*rows[0]), end=True), None, None, None)
            whole = self._whole(execute, identity, owner)
        if whole.job.status != "cancelled":
            raise JobEnded(f"the job has {whole.job.status} already")
        return whole

    def resume(self, identity: str, owner: str) -> Whole:
        """The job, queued again to go on from its last checkpoint; JobNotResumable unless it was cancelled or has failed."""
        with self._tables.changing() as execute:
            whole = self._whole(execute, identity, owner)
            if whole.job.status not in RESUMABLE:
                raise JobNotResumable(f"the job is {whole.job.status}: only one that was cancelled or has failed is resumed")
            self._check_room(execute)
            rows = execute(
                "UPDATE criterion_jobs SET status = 'queued', run = run + 1, ended = NULL, expires = NULL, used = 0, handed = 0, "
                f"problem = NULL WHERE id = ? AND status IN {RESUMABLE} RETURNING {COLUMNS}",
                identity,
            )
            job = Job(*rows[0])
            position = _position(execute, job)
            return Whole(_status_told(execute, job, position), position, None, None)

    def events(self, identity: str, after: int) -> list[JobEvent]:
        """What has happened in a job after the event of this number, PAGE of it at most."""
        with self._tables.reading() as execute:
            rows = execute(
                "SELECT number, name, data FROM criterion_events WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
                identity,
                after,
                PAGE,
            )
        return [JobEvent(number, name, bytes(data)) for number, name, data in rows]

    # --- for those who do them

    def unfinished(self) -> bool:
        """Whether there is anything to do."""
        with self._tables.reading() as execute:
            return bool(execute("SELECT 1 FROM criterion_jobs WHERE status IN ('queued', 'running') LIMIT 1"))

    def counts(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        """How many jobs are queued and running now, and how many have ever ended, by kind and status."""
        with self._tables.reading() as execute:
            going = execute(
                "SELECT kind, status, count(*) FROM criterion_jobs WHERE status IN ('queued', 'running') GROUP BY 1, 2"
            )
            ended = execute("SELECT kind, status, count FROM criterion_ended")
        return _counted(going), _counted(ended)

    def unhanded(self) -> list[Job]:
        """The jobs that the engine has not heard of, those that are to be begun first at the front."""
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT {COLUMNS} FROM criterion_jobs WHERE status IN ('queued', 'running') AND handed = 0 "
                "ORDER BY priority DESC, id LIMIT ?",
                PAGE,
            )
        return [Job(*row) for row in rows]

    def handed(self, jobs: Iterable[Job]) -> None:
        """The engine has heard of these."""
        with self._tables.changing() as execute:
            for job in jobs:
                execute("UPDATE criterion_jobs SET handed = 1 WHERE id = ? AND run = ?", job.id, job.run)

    def hand_all_again(self) -> None:
        """Whatever is unfinished is to be handed to the engine, which may have been another: only where nobody is at work."""
        with self._tables.changing() as execute:
            execute("UPDATE criterion_jobs SET handed = 0 WHERE status IN ('queued', 'running')")

    def unended(self, runs: Sequence[tuple[str, int]]) -> list[Job]:
        """The jobs of these runs that are not over."""
        with self._tables.reading() as execute:
            rows = [
                row
                for identity, run in runs
                for row in execute(
                    f"SELECT {COLUMNS} FROM criterion_jobs WHERE id = ? AND run = ? AND status IN ('queued', 'running')",
                    identity,
                    run,
                )
            ]
        return [Job(*row) for row in rows]

    def to_do(self, identity: str, run: int) -> tuple[Job, bytes, str | None] | None:
        """A job, what it was asked, and its last checkpoint; None where this run of it is over."""
        with self._tables.reading() as execute:
            rows = execute(f"SELECT body, checkpoint, {COLUMNS} FROM criterion_jobs WHERE id = ?", identity)
        if not rows:
            return None
        body, checkpoint, *columns = rows[0]
        job = Job(*columns)
        return None if job.run != run or job.ended_already else (job, bytes(body), checkpoint)

    def begin(self, identity: str, run: int) -> tuple[Job, bytes, str | None] | None:
        """A run is begun, or begun again after a crash; as `to_do`."""
        with self._tables.changing() as execute:
            rows = execute(
                "UPDATE criterion_jobs SET status = 'running', attempts = attempts + 1, started = COALESCE(started, ?) "
                f"WHERE id = ? AND run = ? AND status IN ('queued', 'running') RETURNING body, checkpoint, {COLUMNS}",
                time.time(),
                identity,
                run,
            )
            if not rows:
                return None
            body, checkpoint, *columns = rows[0]
            return _status_told(execute, Job(*columns)), bytes(body), checkpoint

    def tell(self, identity: str, run: int, first: int, happened: Sequence[Happened]) -> None:
        """Events of a run, the first of which has this number among all that it will tell.

        Those that have been told before, by a process that has died since, are left out.
        """
        with self._tables.changing() as execute:
            _tell(execute, identity, run, first, happened)

    def worked(self, identity: str, run: int, seconds: float, checkpoint: str) -> None:
        """A run has taken so many seconds more, and come to this checkpoint; unless it is over: then not all was told."""
        with self._tables.changing() as execute:
            execute(
                "UPDATE criterion_jobs SET used = used + ?, checkpoint = ? WHERE id = ? AND run = ? AND status = 'running'",
                seconds,
                checkpoint,
                identity,
                run,
            )

    def finish(
        self,
        identity: str,
        run: int,
        *,
        told: tuple[int, Sequence[Happened]] | None = None,
        result: bytes | None = None,
        problem: bytes | None = None,
        runs: Runs | None = None,
    ) -> Job | None:
        """A run has told the last of its events, and ended with a result or with a problem; None where it was over already."""
        status: Status = "failed" if result is None else "succeeded"
        with self._tables.changing() as execute:
            if told is not None:
                _tell(execute, identity, run, *told)
            rows = execute(
                "UPDATE criterion_jobs SET status = ?, ended = ?, expires = ?, result = ?, problem = ? "
                f"WHERE id = ? AND run = ? AND status = 'running' RETURNING {COLUMNS}",
                status,
                *self._ends(),
                result,
                problem,
                identity,
                run,
            )
            if rows and runs is not None:
                execute("INSERT INTO criterion_runs VALUES (?, ?, ?, ?)", identity, *runs)
            return _status_told(execute, Job(*rows[0]), problem=problem, end=True) if rows else None

    def over(self, runs: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those of these runs that are to be worked on no longer: not those that are only about to begin."""
        if not runs:
            return []
        marks = ", ".join("?" * len(runs))
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT id, run FROM criterion_jobs WHERE status IN ('queued', 'running') AND id IN ({marks})",
                *(identity for identity, _ in runs),
            )
        return sorted({*runs} - {(identity, run) for identity, run in rows})

    def forget(self, now: float) -> list[tuple[str, int]]:
        """Forget the jobs that have expired; which these were, and how many runs they had."""
        with self._tables.changing() as execute:
            rows = execute("DELETE FROM criterion_jobs WHERE expires <= ? RETURNING id, run", now)
            for identity, _ in rows:
                execute("DELETE FROM criterion_events WHERE job = ?", identity)
                execute("DELETE FROM criterion_requests WHERE job = ?", identity)
                execute("DELETE FROM criterion_runs WHERE job = ?", identity)
        return [(identity, run) for identity, run in rows]

    # --- in a transaction

    def _ends(self) -> tuple[float, float]:
        now = time.time()
        return now, now + self._retention

    def _whole(self, execute: Execute, identity: str, owner: str) -> Whole:
        rows = execute(
            f"SELECT result, problem, {COLUMNS} FROM criterion_jobs "
            "WHERE id = ? AND owner = ? AND (expires IS NULL OR expires > ?)",
            identity,
            owner,
            time.time(),
        )
        if not rows:
            raise NotFound(f"there is no job {identity[:80]!r}")
        result, problem, *columns = rows[0]
        job = Job(*columns)
        return Whole(job, _position(execute, job), _bytes(result), _bytes(problem))

    def _check_room(self, execute: Execute) -> None:
        queued = execute("SELECT count(*) FROM criterion_jobs WHERE status = 'queued'")[0][0]
        if queued >= self.limit:
            raise JobsFull(f"{queued} jobs are queued already, and no more may be; try again later")


def _position(execute: Execute, job: Job) -> int | None:
    """1 is next; None unless it is queued."""
    if job.status != "queued":
        return None
    ahead = execute(
        "SELECT count(*) FROM criterion_jobs WHERE status = 'queued' AND (priority > ? OR (priority = ? AND id < ?))",
        job.priority,
        job.priority,
        job.id,
    )
    return int(ahead[0][0]) + 1


def _tell(execute: Execute, identity: str, run: int, first: int, happened: Sequence[Happened]) -> None:
    job = _running(execute, identity, run)
    if job is None:
        return
    new = happened[max(0, job.told - first) :]
    for place, (name, data, _) in enumerate(new, job.events + 1):
        execute("INSERT INTO criterion_events VALUES (?, ?, ?, ?)", identity, place, name, data)
    execute(
        "UPDATE criterion_jobs SET told = ?, done = ?, events = ? WHERE id = ?",
        max(job.told, first + len(happened)),
        max([job.done, *(done for _, _, done in new)]),
        job.events + len(new),
        identity,
    )


def _running(execute: Execute, identity: str, run: int) -> Job | None:
    """A run that goes on, which nobody else changes meanwhile."""
    rows = execute(
        f"UPDATE criterion_jobs SET told = told WHERE id = ? AND run = ? AND status = 'running' RETURNING {COLUMNS}",
        identity,
        run,
    )
    return Job(*rows[0]) if rows else None


def _status_told(
    execute: Execute, job: Job, position: int | None = None, *, problem: bytes | None = None, end: bool = False
) -> Job:
    """The job, with an event that tells its status, and the last one where it has ended."""
    told = {**shown(job, position), "problem": None if problem is None else json.loads(problem)}
    data = json.dumps(told, separators=(",", ":")).encode()
    names: list[str] = ["status", "end"] if end else ["status"]
    for number, name in enumerate(names, job.events + 1):
        execute("INSERT INTO criterion_events VALUES (?, ?, ?, ?)", job.id, number, name, data)
    execute("UPDATE criterion_jobs SET events = ? WHERE id = ?", job.events + len(names), job.id)
    if end:
        more = "ON CONFLICT (kind, status) DO UPDATE SET count = criterion_ended.count + 1"
        execute(f"INSERT INTO criterion_ended VALUES (?, ?, 1) {more}", job.kind, job.status)
    return job._replace(events=job.events + len(names))


def _counted(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    return {(kind, status): count for kind, status, count in rows}


def _bytes(column: Row | bytes | memoryview | None) -> bytes | None:
    return None if column is None else bytes(column)
