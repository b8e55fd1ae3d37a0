"""The jobs: every question about them, and every change. What changes a job says so in its events, in the same transaction."""

import json
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from app.errors import JobEnded, JobNotResumable, JobsFull, NotFound
from app.jobs.database import Database, Execute, Row
from app.jobs.idempotency import Answers, claim, digest_of
from app.jobs.job import RESUMABLE, Job, JobEvent, Run, Status, Unit, new_id, shown
from app.jobs.tables import Tables

COLUMNS = ", ".join(Job._fields)
JOBS = ", ".join(f"criterion_jobs.{name}" for name in Job._fields)
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


class Export(NamedTuple):
    """A job that has ended and is to be told of elsewhere."""

    job: Job
    runs: bytes
    """JSON: all that is told of its trainings."""
    problem: bytes | None
    tries: int
    """How often that was begun."""


class New(NamedTuple):
    """A job that is asked for."""

    kind: str
    priority: int
    total: int
    unit: Unit
    body: bytes
    parts: Sequence[bytes] = ()
    """What each of the parts is that it is done in."""


class Join(NamedTuple):
    """Parts that are to be put together."""

    found: Sequence[bytes]
    """What they have come to, in their order."""
    begun: bool
    """Whether the first of them is what all until then have come to together."""
    last: int
    """The number of the last of them."""
    whole: bool
    """Whether they are all there are."""
    problem: bytes | None
    """What is wrong with the part behind them."""


class ToDo(NamedTuple):
    """What is to be done next of a run."""

    job: Job
    body: bytes
    checkpoint: str | None
    part: bytes | None = None
    """What part of the job it is."""
    join: Join | None = None
    """That the part is done, and goes together with those before it."""


class Store:
    """The jobs of a database. Its methods wait for it, so they are for threads; Unreachable where it does not answer."""

    def __init__(self, database: Database, *, limit: int, retention: float, exports: bool = False) -> None:
        self.database = database
        self.limit = limit
        """Jobs that may be queued."""
        self._retention = retention
        """Seconds after its end for which a job is kept."""
        self._exports = exports
        """Whether jobs that end are to be told of elsewhere."""
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
            for number, part in enumerate(new.parts, 1):
                execute("INSERT INTO criterion_parts VALUES (?, ?, ?, 0, 0, NULL, NULL, 0, NULL)", job.id, number, part)
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
                return Whole(self._ended(execute, Job(*rows[0])), None, None, None)
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
            execute("UPDATE criterion_parts SET handed = 0, begun = 0, problem = NULL WHERE job = ?", identity)
            execute("DELETE FROM criterion_exports WHERE job = ?", identity)
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
            going = execute("SELECT 1 FROM criterion_jobs WHERE status IN ('queued', 'running') LIMIT 1")
            return bool(going or (self._exports and execute("SELECT 1 FROM criterion_exports LIMIT 1")))

    def counts(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        """How many jobs are queued and running now, and how many have ever ended, by kind and status."""
        with self._tables.reading() as execute:
            going = execute(
                "SELECT kind, status, count(*) FROM criterion_jobs WHERE status IN ('queued', 'running') GROUP BY 1, 2"
            )
            ended = execute("SELECT kind, status, count FROM criterion_ended")
        return _counted(going), _counted(ended)

    def unhanded(self) -> list[tuple[Job, int]]:
        """Jobs, and parts of jobs, that the engine has not heard of, those that are to be begun first at the front."""
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT COALESCE(part, 0), {JOBS} FROM criterion_jobs LEFT JOIN criterion_parts ON job = id "
                "WHERE status IN ('queued', 'running') AND criterion_jobs.handed = 0 AND COALESCE(criterion_parts.handed, 0) = 0 "
                "ORDER BY priority DESC, id, part LIMIT ?",
                PAGE,
            )
        return [(Job(*columns), part) for part, *columns in rows]

    def handed(self, runs: Iterable[Run]) -> None:
        """The engine has heard of these."""
        with self._tables.changing() as execute:
            for identity, run, part in runs:
                if part:
                    execute("UPDATE criterion_parts SET handed = 1 WHERE job = ? AND part = ?", identity, part)
                execute(
                    "UPDATE criterion_jobs SET handed = 1 WHERE id = ? AND run = ? "
                    "AND NOT EXISTS (SELECT 1 FROM criterion_parts WHERE job = id AND criterion_parts.handed = 0)",
                    identity,
                    run,
                )

    def hand_all_again(self) -> None:
        """Whatever is unfinished is to be handed to the engine, which may have been another: only where nobody is at work."""
        with self._tables.changing() as execute:
            execute("UPDATE criterion_jobs SET handed = 0 WHERE status IN ('queued', 'running')")
            execute("UPDATE criterion_parts SET handed = 0")

    def unended(self, runs: Sequence[Run]) -> list[tuple[Job, int]]:
        """The jobs of these runs that are not over, and their parts."""
        with self._tables.reading() as execute:
            return [
                (Job(*row), part)
                for identity, run, part in runs
                for row in execute(
                    f"SELECT {COLUMNS} FROM criterion_jobs WHERE id = ? AND run = ? AND status IN ('queued', 'running')",
                    identity,
                    run,
                )
            ]

    def to_do(self, identity: str, run: int, part: int) -> ToDo | None:
        """What is next of a run that was begun; None where nothing is, or it is over."""
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT body, checkpoint, {COLUMNS} FROM criterion_jobs "
                "WHERE id = ? AND run = ? AND status IN ('queued', 'running')",
                identity,
                run,
            )
            return _to_do(execute, rows[0], part) if rows else None

    def begin(self, identity: str, run: int, part: int) -> ToDo | None:
        """A run is begun, or begun again after a crash; as `to_do`."""
        with self._tables.changing() as execute:
            rows = execute(
                "UPDATE criterion_jobs SET status = 'running', attempts = attempts + ?, started = COALESCE(started, ?) "
                f"WHERE id = ? AND run = ? AND status IN ('queued', 'running') RETURNING body, checkpoint, {COLUMNS}",
                0 if part else 1,
                time.time(),
                identity,
                run,
            )
            if not rows:
                return None
            body, checkpoint, *columns = rows[0]
            job = Job(*columns)
            job = _begun(execute, job, part) if part else _status_told(execute, job)
            return _to_do(execute, (body, checkpoint, *job), part)

    def tell(self, identity: str, run: int, first: int, happened: Sequence[Happened]) -> None:
        """Events of a run, the first of which has this number among all that it will tell.

        Those that have been told before, by a process that has died since, are left out.
        """
        with self._tables.changing() as execute:
            _tell(execute, identity, run, first, happened)

    def worked(self, identity: str, run: int, part: int, seconds: float, checkpoint: str) -> None:
        """A run has taken so many seconds more, and come to this checkpoint; unless it is over: then not all was told."""
        with self._tables.changing() as execute:
            if _running(execute, identity, run, seconds):
                if part:
                    execute("UPDATE criterion_parts SET checkpoint = ? WHERE job = ? AND part = ?", checkpoint, identity, part)
                else:
                    execute("UPDATE criterion_jobs SET checkpoint = ? WHERE id = ?", checkpoint, identity)

    def part_ended(
        self,
        identity: str,
        run: int,
        part: int,
        seconds: float = 0.0,
        *,
        found: bytes | None = None,
        problem: bytes | None = None,
    ) -> None:
        """A part has come to its end, or cannot; unless the run is over."""
        with self._tables.changing() as execute:
            if _running(execute, identity, run, seconds):
                execute(
                    "UPDATE criterion_parts SET found = ?, problem = ? WHERE job = ? AND part = ?", found, problem, identity, part
                )

    def joined(self, identity: str, run: int, last: int, found: bytes) -> None:
        """What the parts of a run have come to together, up to this one; none of them is needed by itself any longer."""
        with self._tables.changing() as execute:
            if _running(execute, identity, run):
                execute("UPDATE criterion_parts SET joined = 1, found = ? WHERE job = ? AND part = ?", found, identity, last)
                execute("UPDATE criterion_parts SET found = ? WHERE job = ? AND part < ?", b"", identity, last)

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
            if rows and result is not None:
                execute("DELETE FROM criterion_parts WHERE job = ?", identity)
            if rows and runs is not None:
                execute("INSERT INTO criterion_runs VALUES (?, ?, ?, ?)", identity, *runs)
            return self._ended(execute, Job(*rows[0]), problem) if rows else None

    def over(self, runs: Sequence[Run]) -> list[Run]:
        """Those of these runs that are to be worked on no longer: not those that are only about to begin."""
        if not runs:
            return []
        marks = ", ".join("?" * len(runs))
        with self._tables.reading() as execute:
            rows = execute(
                f"SELECT id, run, (SELECT MIN(part) FROM criterion_parts WHERE job = id AND problem IS NOT NULL) "
                f"FROM criterion_jobs WHERE status IN ('queued', 'running') AND id IN ({marks})",
                *(identity for identity, _, _ in runs),
            )
        going = {(identity, run): broken for identity, run, broken in rows}
        return sorted(run for run in runs if run[:2] not in going or run[2] > (going[run[:2]] or run[2]))

    # --- for those who tell of them elsewhere

    def export(self, now: float, again: float) -> Export | None:
        """The next job to be told of, which nobody else is given before the time that is set for another try."""
        with self._tables.changing() as execute:
            rows = execute(
                "UPDATE criterion_exports SET due = ?, tries = tries + 1 WHERE due <= ? "
                "AND job = (SELECT job FROM criterion_exports WHERE due <= ? ORDER BY due, job LIMIT 1) RETURNING job, tries",
                again,
                now,
                now,
            )
            if not rows:
                return None
            ((identity, tries),) = rows
            whole = execute(
                f"SELECT whole, problem, {COLUMNS} FROM criterion_jobs LEFT JOIN criterion_runs ON job = id WHERE id = ?",
                identity,
            )
            if not whole:
                execute("DELETE FROM criterion_exports WHERE job = ?", identity)
                return None
            runs, problem, *columns = whole[0]
            return Export(Job(*columns), _bytes(runs) or NO_RUNS.whole, _bytes(problem), tries)

    def exported(self, identity: str, tries: int) -> None:
        """A job has been told of, as it was then."""
        with self._tables.changing() as execute:
            execute("DELETE FROM criterion_exports WHERE job = ? AND tries = ?", identity, tries)

    def export_again(self, identity: str, due: float) -> None:
        """A job could not be told of: from then on it is tried again."""
        with self._tables.changing() as execute:
            execute("UPDATE criterion_exports SET due = ? WHERE job = ?", due, identity)

    def forget(self, now: float) -> list[tuple[str, int]]:
        """Forget the jobs that have expired; which these were, and how many runs they had."""
        with self._tables.changing() as execute:
            rows = execute("DELETE FROM criterion_jobs WHERE expires <= ? RETURNING id, run", now)
            for identity, _ in rows:
                execute("DELETE FROM criterion_events WHERE job = ?", identity)
                execute("DELETE FROM criterion_requests WHERE job = ?", identity)
                execute("DELETE FROM criterion_runs WHERE job = ?", identity)
                execute("DELETE FROM criterion_parts WHERE job = ?", identity)
                execute("DELETE FROM criterion_exports WHERE job = ?", identity)
        return [(identity, run) for identity, run in rows]

    # --- in a transaction

    def _ended(self, execute: Execute, job: Job, problem: bytes | None = None) -> Job:
        if self._exports:
            execute("INSERT INTO criterion_exports VALUES (?, ?, 0) ON CONFLICT (job) DO NOTHING", job.id, time.time())
        return _status_told(execute, job, problem=problem, end=True)

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


def _begun(execute: Execute, job: Job, part: int) -> Job:
    """A job of which a part is begun, which is told where it is the first of all, or is begun anew."""
    execute("UPDATE criterion_parts SET begun = begun + 1 WHERE job = ? AND part = ?", job.id, part)
    ((of_all, own),) = execute(  # not by RETURNING: of what is NULL SQLite 3.40 says there that it were not
        "SELECT SUM(begun), MAX(CASE WHEN part = ? AND found IS NULL THEN begun ELSE 0 END) FROM criterion_parts WHERE job = ?",
        part,
        job.id,
    )
    if of_all > 1 and own < 2:
        return job
    rows = execute(f"UPDATE criterion_jobs SET attempts = attempts + 1 WHERE id = ? RETURNING {COLUMNS}", job.id)
    return _status_told(execute, Job(*rows[0]))


class _Part(NamedTuple):
    """A row of its table."""

    number: int
    joined: int
    """Whether what it has come to is what it and all before it have come to together."""
    what: bytes | None
    checkpoint: str | None
    problem: bytes | None
    found: bytes | None


def _to_do(execute: Execute, row: Row, part: int) -> ToDo | None:
    """What is next of a run: of a part that has ended to put it together with others; None where these have to end before."""
    body, checkpoint, *columns = row
    job = Job(*columns)
    if not part:
        return ToDo(job, bytes(body), checkpoint)
    rows = execute(  # in one statement, which sees all of them at one moment
        "SELECT part, joined, CASE WHEN part = ? THEN what END, checkpoint, problem, found FROM criterion_parts WHERE job = ? "
        "AND part >= COALESCE((SELECT MAX(part) FROM criterion_parts WHERE job = ? AND joined = 1), 1) ORDER BY part",
        part,
        job.id,
        job.id,
    )
    parts = [_Part(*row) for row in rows]
    done = [*takewhile(lambda one: one.found is not None, parts)]
    behind = parts[len(done) :]
    own = next((one for one in behind if one.number == part), None)
    if own is not None and own.problem is None:
        for_nothing = own.found is not None or any(one.problem is not None for one in behind if one.number < part)
        return None if for_nothing else ToDo(job, bytes(body), own.checkpoint, _bytes(own.what))
    problem = _bytes(behind[0].problem) if behind else None
    begun = bool(done and done[0].joined)
    waits = bool(behind) and problem is None
    if waits and (own is not None or len(done) == begun):
        return None
    found = [bytes(one.found or b"") for one in done]
    return ToDo(job, bytes(body), None, join=Join(found, begun, done[-1].number if done else 0, not behind, problem))


def _running(execute: Execute, identity: str, run: int, seconds: float = 0.0) -> Job | None:
    """A run that goes on, and has taken so many seconds more; nobody else changes it meanwhile."""
    rows = execute(
        f"UPDATE criterion_jobs SET used = used + ? WHERE id = ? AND run = ? AND status = 'running' RETURNING {COLUMNS}",
        seconds,
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
