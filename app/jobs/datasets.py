"""Data sets that are kept under a name: their bytes as files by their hash, and a record for each name.

    lock                     whoever changes anything has it, in whichever process or server
    incoming/…               bytes that have come and have no name yet
    content/HASH             bytes under their hash, once for all the names that they have
    names/of.OWNER/NAME      what is known of them, as JSON

Files are made beside their places and renamed when they are whole and on the disk: what ends halfway leaves nothing but a file
that has no place, which a later change removes. Nobody waits to read: a name is one file, which is replaced and never written.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from app.errors import DatasetExists, DatasetsFull, NotFound
from app.jobs.job import new_id

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a data set may be called: the name of a file, and none of another folder."""
INCOMING_SECONDS = 3600.0
"""After so long nobody gives a name any more to what has come."""
PIECE_BYTES = 1024 * 1024


class Received(NamedTuple):
    """Bytes that have come, are on the disk, and can be read."""

    file: str
    """Where in `incoming` they are."""
    digest: str
    size: int
    form: str
    """What they are, as files of data by reference are: npy, csv, ..."""
    columns: Sequence[str]
    n_rows: int


class Dataset(NamedTuple):
    """What is known of a data set."""

    id: str
    """A ULID, so that they sort as they came."""
    name: str
    digest: str
    """SHA-256, in hex, of the bytes as they were sent."""
    form: str
    n_rows: int
    columns: Sequence[str]
    size: int
    created: float
    """Seconds since 1970, as when it expires."""
    expires: float


class Datasets:
    """The data sets of a folder. Its methods wait for the disk, so they are for threads; OSError where it takes no more."""

    def __init__(self, folder: Path, *, most: int, most_bytes: int, retention: float) -> None:
        """At most so many, of so many bytes together, for each owner; and the seconds for which each is kept."""
        self._folder = folder
        self._most, self._most_bytes, self._retention = most, most_bytes, retention

    def receive(self, content: bytes | memoryview) -> Path:
        """Bytes that are to have a name, on the disk; whoever makes nothing of them removes the file."""
        folder = self._folder / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        self._remove_unnamed(time.time())
        path = folder / new_id()
        try:
            _write(path, content)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def keep(self, owner: str, name: str, received: Received) -> Dataset:
        """Give what has come a name: the data set, or the one that is it already.

        DatasetExists where the name is that of other bytes, DatasetsFull where there would be too much.
        """
        incoming = self._folder / "incoming" / received.file
        try:
            with self._changing() as now:
                known = self._tidied(now).get(owner, {})
                same = known.get(name)
                if same and same.digest != received.digest:
                    raise DatasetExists(f"the name {name} is that of other data, sha256:{same.digest}: {WAY_OUT}")
                if not same:
                    self._check_room([*known.values()], received.size)
                self._place(incoming, received)
                if same:
                    return same
                _, digest, size, form, columns, n_rows = received
                new = Dataset(new_id(), name, digest, form, n_rows, columns, size, now, now + self._retention)
                self._record(owner, new)
                return new
        finally:
            incoming.unlink(missing_ok=True)

    def get(self, owner: str, name: str) -> Dataset:
        """The data set of this name; NotFound."""
        found = self._read(self._path(owner, name)) if NAME.fullmatch(name) else None
        if found is None or found.expires <= time.time():
            raise NotFound(f"no data set is kept under the name {name[:80]!r}")
        return found

    def all_of(self, owner: str) -> list[Dataset]:
        """The data sets of an owner, the newest first."""
        found = map(self._read, self._folder.glob(f"names/{OF}{owner}/*"))
        now = time.time()
        return sorted((dataset for dataset in found if dataset and dataset.expires > now), reverse=True)

    def delete(self, owner: str, name: str) -> Dataset:
        """The data set, which is no longer; NotFound. Whoever is reading it reads on."""
        with self._changing() if self._folder.exists() else contextlib.nullcontext(0.0) as now:
            found = self.get(owner, name)
            self._path(owner, name).unlink()
            self._tidied(now)
            return found

    def content(self, found: Dataset) -> Path:
        """The file of its bytes; NotFound where it is gone, or has been cut."""
        path = self._content(found.digest)
        if not _has(path, found.size):
            raise NotFound(f"what is kept under the name {found.name!r} is damaged: send it again under that name")
        return path

    # --- under the lock

    @contextlib.contextmanager
    def _changing(self) -> Generator[float]:
        """The lock, and what time it is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield time.time()
        finally:
            os.close(descriptor)

    def _tidied(self, now: float) -> dict[str, dict[str, Dataset]]:
        """By owner and name what is kept, once the rest has been removed."""
        found: dict[str, dict[str, Dataset]] = {}
        for path in [*self._folder.glob("names/*/*")]:
            dataset = self._read(path)
            if dataset is None or dataset.expires <= now:
                path.unlink(missing_ok=True)
            else:
                found.setdefault(path.parent.name.removeprefix(OF), {})[dataset.name] = dataset
        named = {dataset.digest for datasets in found.values() for dataset in datasets.values()}
        for path in self._folder.glob("content/*"):
            if path.name not in named:
                path.unlink(missing_ok=True)
        self._remove_unnamed(now)
        return found

    def _remove_unnamed(self, now: float) -> None:
        """What has come and has been left, by a process that has died."""
        for path in self._folder.glob("incoming/*"):
            with contextlib.suppress(OSError):  # it has its name by now
                if now - path.stat().st_mtime > INCOMING_SECONDS:
                    path.unlink()

    def _check_room(self, known: Sequence[Dataset], size: int) -> None:
        taken = sum(dataset.size for dataset in known)
        if len(known) >= self._most:
            raise DatasetsFull(f"{len(known)} data sets are kept already, and no more may be: delete one that is not needed")
        if taken + size > self._most_bytes:
            more = f"{size} bytes more are more than the {self._most_bytes} that may be kept"
            raise DatasetsFull(f"data sets take {taken} bytes already, and {more}: delete what is not needed")

    def _place(self, incoming: Path, received: Received) -> None:
        """The bytes under their hash, unless they are there."""
        content = self._content(received.digest)
        content.parent.mkdir(parents=True, exist_ok=True)
        if not _has(content, received.size):
            incoming.replace(content)
            _sync(content.parent)

    def _record(self, owner: str, dataset: Dataset) -> None:
        path = self._path(owner, dataset.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")  # which is no name: whoever has the lock may remove it
        _write(beside, json.dumps(dataset._asdict()).encode())
        beside.replace(path)
        _sync(path.parent)

    # --- files

    def _path(self, owner: str, name: str) -> Path:
        return self._folder / "names" / f"{OF}{owner}" / name

    def _content(self, digest: str) -> Path:
        return self._folder / "content" / digest

    def _read(self, path: Path) -> Dataset | None:
        """What a record says; None where it is none."""
        try:
            found = Dataset(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.name == path.name else None


OF = "of."
"""Before the name of an owner, which may be empty."""
WAY_OUT = "choose another name, or delete what has it"


def digest_of(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _has(path: Path, size: int) -> bool:
    """Whether there is a file of this size."""
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _write(path: Path, content: bytes | memoryview) -> None:
    """The bytes in a file, on the disk."""
    with path.open("wb") as file:
        for piece in _pieces(memoryview(content)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _pieces(content: memoryview) -> Iterator[memoryview]:
    return (content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES))


def _sync(folder: Path) -> None:
    """That a file has its name in this folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
