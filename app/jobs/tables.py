"""The tables of the jobs' database, and transactions on them."""

from collections.abc import Generator
from contextlib import contextmanager

from app.jobs.database import Database, Execute

TABLES = (
    """CREATE TABLE IF NOT EXISTS criterion_jobs (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, priority INTEGER NOT NULL,
        run INTEGER NOT NULL, attempts INTEGER NOT NULL, created DOUBLE PRECISION NOT NULL, started DOUBLE PRECISION,
        ended DOUBLE PRECISION, expires DOUBLE PRECISION, done BIGINT NOT NULL, total BIGINT NOT NULL, unit TEXT NOT NULL,
        told BIGINT NOT NULL, events BIGINT NOT NULL, used DOUBLE PRECISION NOT NULL, handed INTEGER NOT NULL,
        checkpoint TEXT, problem BYTEA, result BYTEA, body BYTEA NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS criterion_jobs_status ON criterion_jobs (status, priority, id)",
    "CREATE INDEX IF NOT EXISTS criterion_jobs_owner ON criterion_jobs (owner, id)",
    """CREATE TABLE IF NOT EXISTS criterion_events (
        job TEXT NOT NULL, number BIGINT NOT NULL, name TEXT NOT NULL, data BYTEA NOT NULL, PRIMARY KEY (job, number))""",
    """CREATE TABLE IF NOT EXISTS criterion_parts (
        job TEXT NOT NULL, part BIGINT NOT NULL, what BYTEA NOT NULL, handed INTEGER NOT NULL, begun INTEGER NOT NULL,
        checkpoint TEXT, problem BYTEA, joined INTEGER NOT NULL, found BYTEA, PRIMARY KEY (job, part))""",
    """CREATE TABLE IF NOT EXISTS criterion_ended (
        kind TEXT NOT NULL, status TEXT NOT NULL, count BIGINT NOT NULL, PRIMARY KEY (kind, status))""",
    """CREATE TABLE IF NOT EXISTS criterion_runs (
        job TEXT PRIMARY KEY, n BIGINT NOT NULL, listed BYTEA NOT NULL, whole BYTEA NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS criterion_exports (
        job TEXT PRIMARY KEY, due DOUBLE PRECISION NOT NULL, tries BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS criterion_requests (
        owner TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, job TEXT, answer TEXT, media_type TEXT,
        expires DOUBLE PRECISION, PRIMARY KEY (owner, key))""",
    "CREATE INDEX IF NOT EXISTS criterion_requests_expires ON criterion_requests (expires)",
    """CREATE TABLE IF NOT EXISTS criterion_answers (
        answer TEXT NOT NULL, number BIGINT NOT NULL, piece BYTEA NOT NULL, PRIMARY KEY (answer, number))""",
)
MADE_BY_ONE = 0x63726974
"""The lock under which tables are made: two PostgreSQL sessions that make the same one get in each other's way."""


class Tables:
    """The tables of a database, which are made when they are first asked for."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._made = False

    @contextmanager
    def changing(self) -> Generator[Execute]:
        """A transaction; Unreachable where the database does not answer."""
        self._make()
        with self.database.transaction() as execute:
            yield execute

    @contextmanager
    def reading(self) -> Generator[Execute]:
        """One that changes nothing."""
        self._make()
        with self.database.transaction(changes=False) as execute:
            yield execute

    def _make(self) -> None:
        if self._made:
            return
        with self.database.transaction() as execute:
            if self.database.shared:
                execute("SELECT pg_advisory_xact_lock(?)", MADE_BY_ONE)
            for statement in TABLES:
                execute(statement)
        self._made = True
