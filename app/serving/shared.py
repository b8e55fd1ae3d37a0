"""Memory that all processes of a server count in: numbers, and locks that end with whoever holds them.

It is made once, before there are processes, and sent to each (multiprocessing hands its descriptor on). A lock is one of
POSIX on a byte of it: the system releases it when its process is gone, however that ended.
"""

import contextlib
import fcntl
import mmap
import os
import weakref
from collections.abc import Generator, Iterable
from multiprocessing.reduction import DupFd
from typing import Protocol, TypeAlias, cast

from app.serving.buffers import unnamed_file

NUMBER_BYTES = 8
Numbers: TypeAlias = "memoryview[float]"


class Handed(Protocol):
    """A descriptor on its way to another process."""

    def detach(self) -> int: ...


class SharedMemory:
    """So many bytes, all 0 at first; they take memory where something is written. Used from one thread of each process."""

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self.size = size
        self._descriptor = unnamed_file() if descriptor is None else descriptor
        if descriptor is None:
            os.truncate(self._descriptor, size)
        self._map = mmap.mmap(self._descriptor, size)
        # not before: the first close of a file in a process ends all of its locks on it
        weakref.finalize(self, os.close, self._descriptor)

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (self.size, cast(Handed, DupFd(self._descriptor)))

    def view(self, start: int, size: int) -> memoryview:
        """Bytes of it, which others may write to at any time."""
        return memoryview(self._map)[start : start + size]

    def numbers(self, start: int, count: int) -> Numbers:
        """Float64 numbers of it. One of them is read and written whole."""
        return self.view(start, count * NUMBER_BYTES).cast("d")

    @contextlib.contextmanager
    def locked(self, byte: int) -> Generator[None]:
        """Alone, among all processes, within a lock that has this byte for its name. Nothing may wait within."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, byte)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, byte)

    def claim(self, bytes_: Iterable[int]) -> int:
        """The first of these bytes that no other process has claimed: it is this one's until it ends."""
        for byte in bytes_:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except OSError:
                continue
            return byte
        raise RuntimeError("more processes count in the same memory than it was made for")


def _received(size: int, descriptor: Handed) -> SharedMemory:
    return SharedMemory(size, descriptor.detach())


class Once:
    """Whether something that all processes notice has been noticed: a number of 8 bytes in shared memory, the last mark."""

    def __init__(self, memory: SharedMemory, start: int) -> None:
        self._memory, self._start = memory, start
        self._mark = memory.numbers(start, 1)

    def first(self, mark: float) -> bool:
        """Whether no other process has noticed this, as the last thing."""
        with self._memory.locked(self._start):
            is_first = self._mark[0] != mark
            self._mark[0] = mark
        return is_first
