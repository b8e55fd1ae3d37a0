"""One SQL on two databases: a file beside the service, or a PostgreSQL server that several machines share.

Statements are written with `?` for what is given, in the part of SQL that both know.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 10.0
"""How long a change of a file waits for another's."""
LASTING: dict[str, Any] = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""Of a connection: a machine that is gone is noticed."""

Row: TypeAlias = tuple[Any, ...]
Execute: TypeAlias = Callable[..., list[Row]]
"""(statement, *values) -> the rows that it gives."""


class Unreachable(Exception):
    """The database does not answer, or cannot take more. What it says may name users, and is not repeated."""


class Database(Protocol):
    """A database, used by one thread at a time."""

    shared: bool
    """Whether machines share it, so that any number of processes may work on its jobs."""

    @property
    def exists(self) -> bool:
        """Whether it is there already: one that is a file comes to be when it is first asked."""
        ...

    def transaction(self, *, changes: bool = True) -> AbstractContextManager[Execute]:
        """Statements of which all hold or none, and whether they change anything; Unreachable where they cannot."""
        ...

    def close(self) -> None: ...


def file_of(url: str) -> Path | None:
    """The file of a database that is one."""
    parts = urlsplit(url)
    return Path(unquote(parts.path.removeprefix("/"))) if parts.scheme == "sqlite" else None


def open_database(url: str, *, lasting: bool = True) -> Database:
    """The database at `sqlite:///file` or `postgresql://...`.

    Of what is not `lasting` a machine that loses its power may lose the last moments: for what would be done again.
    """
    file = file_of(url)
    return Server(url) if file is None else File(file, lasting=lasting)


class File:
    """SQLite, with a log that readers do not wait for. It is loaded when it is first asked, as the driver of a server is."""

    shared = False

    def __init__(self, path: Path, *, lasting: bool) -> None:
        self._path, self._lasting = path, lasting
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        return self._path.exists()

    @contextmanager
    def transaction(self, *, changes: bool = True) -> Generator[Execute]:
        import sqlite3

        with self._lock:
            try:
                connection = self._connection = self._connection or self._connected()
                connection.execute("BEGIN IMMEDIATE" if changes else "BEGIN")
                try:
                    yield partial(_rows, connection.cursor())
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except (sqlite3.OperationalError, OSError) as error:
                self._forget()
                raise Unreachable("the jobs' file cannot be read or written") from error

    def close(self) -> None:
        with self._lock:
            self._forget()

    def _connected(self) -> "sqlite3.Connection":
        import sqlite3

        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")  # which stays; the engine would leave it at the slower one
        connection.execute(f"PRAGMA synchronous={'FULL' if self._lasting else 'NORMAL'}")
        return connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Server:
    """PostgreSQL. Its driver is loaded when it is first asked."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: Any = None

    @property
    def exists(self) -> bool:
        return True

    @contextmanager
    def transaction(self, *, changes: bool = True) -> Generator[Execute]:
        import psycopg

        with self._lock:
            try:
                connection = self._begun()
                try:
                    yield partial(_rows, connection.cursor(), mark="%s")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except psycopg.OperationalError as error:
                self._forget()
                raise Unreachable("the jobs' database does not answer") from error

    def _begun(self) -> Any:
        """A connection on which a transaction has begun: a new one, where the one that was kept has been cut meanwhile."""
        import psycopg

        if self._connection is not None:
            try:
                self._connection.execute("BEGIN")
            except psycopg.OperationalError:
                self._forget()
            else:
                return self._connection
        connection = self._connection = self._connected()
        connection.execute("BEGIN")
        return connection

    def close(self) -> None:
        with self._lock:
            self._forget()

    def _connected(self) -> Any:
        import psycopg

        return psycopg.connect(self._url, autocommit=True, **LASTING)

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _rows(cursor: Any, statement: str, *values: object, mark: str = "?") -> list[Row]:
    cursor.execute(statement.replace("?", mark), values)
    return cursor.fetchall() if cursor.description else []
