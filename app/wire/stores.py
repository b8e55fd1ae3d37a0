"""Where files lie that are read: on the disk, or at a URL of an object store that fsspec knows, as `s3://bucket/part-0.npy`.

fsspec is of the extra `criterion[data]`. What it reads a store by (s3fs, gcsfs, adlfs, aiohttp) is installed by whoever runs the
service, and how that comes to its credentials is for its environment alone.
"""

import errno
import io
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any, NamedTuple

BLOCK_BYTES = 4 * 1024 * 1024
MOST_BLOCKS = 8
"""What is kept of a file in a store while it is read."""
VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
"""By what stores tell one content of a file from another."""


class Stat(NamedTuple):
    """What is known of a file before it is read."""

    size: int
    """Bytes."""
    version: str
    """What tells its content from another that was there before, as far as that is known."""


def is_remote(place: str) -> bool:
    """Whether it is a URL, and none of a file of the disk."""
    scheme, separator, _ = place.partition("://")
    return bool(separator) and scheme != "file"


def matching(pattern: str) -> dict[str, Stat]:
    """The files of a store that a URL means, in which * stands for any part of a name.

    ImportError where what reads such a store is not installed; OSError where it cannot be asked.
    """
    store, path = _store(pattern)
    with _asked():
        store.invalidate_cache()
        # whatever else is a pattern to fsspec is none here, as in names of files of the disk
        named = "".join(f"[{letter}]" if letter in "?[" else letter for letter in path)
        while "**" in named:
            named = named.replace("**", "*")
        found: Mapping[str, Mapping[str, Any]] = store.glob(named, detail=True)
    return {store.unstrip_protocol(name): _stat(known) for name, known in found.items() if known["type"] == "file"}


def opened(place: str) -> IO[bytes]:
    """A file of the disk, or of a store, to be read; OSError, or ImportError."""
    if not is_remote(place):
        return open(place, "rb")
    store, path = _store(place)
    with _asked():
        bounded = {"maxblocks": MOST_BLOCKS}
        file = store.open(path, "rb", block_size=BLOCK_BYTES, cache_type="blockcache", cache_options=bounded)
    return Stored(file)  # pyright: ignore[reportReturnType]  # a raw file that reads as much as it is asked for


def reason(error: OSError) -> str:
    """Why a file cannot be read, in words."""
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error)[:200]) or type(error).__name__


class Stored(io.RawIOBase):
    """A file of a store, whose errors are OSError whatever the store is."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        with _asked():
            return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        with _asked():
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _store(url: str) -> tuple[Any, str]:
    fsspec = import_module("fsspec.core")
    try:
        return fsspec.url_to_fs(url)
    except ValueError as error:  # a protocol of which it has not heard
        raise ImportError(str(error)) from None


@contextmanager
def _asked() -> Generator[None]:
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # each store has errors of its own
        raise OSError(errno.EIO, f"{type(error).__name__}: {str(error)[:200]}") from None


def _stat(known: Mapping[str, Any]) -> Stat:
    return Stat(int(known.get("size") or 0), next((str(known[name]).strip('"') for name in VERSIONS if known.get(name)), ""))
