"""Memory that the server and its processes both map: bodies and answers pass through it without being sent."""

import itertools
import mmap
import os
import tempfile
from collections.abc import Iterator

from app.serving.warm import Warm

STEP_BYTES = 64 * 1024 * 1024
"""Address space is taken in such steps: it costs nothing, and memory is only taken where something is written."""
KEPT_BYTES = 64 * 1024 * 1024
"""Memory that free buffers keep for the next request: what a large one and its answer take. A crowd leaves no more."""
PIECE_BYTES = 256 * 1024
"""How much of a buffer is copied at a time, to be sent."""

Bytes = bytes | bytearray | memoryview

_numbers = itertools.count()


class Buffer:
    """An unnamed file that never reaches a disk where the system has memfd; `size` bytes of it have been written.

    A process that has received its descriptor and number makes the same Buffer of them.
    """

    def __init__(self, number: int | None = None, descriptor: int | None = None) -> None:
        self.number = next(_numbers) if number is None else number
        self.descriptor = unnamed_file() if descriptor is None else descriptor
        self.size = 0
        self._map = self._mapped(0)

    @property
    def closed(self) -> bool:
        return self.descriptor < 0

    def write(self, chunk: Bytes) -> None:
        """The chunk behind what is there. It goes by a system call: a store into the map would first clear each new page."""
        end = self.size + (chunk.nbytes if isinstance(chunk, memoryview) else len(chunk))
        if end > len(self._map):
            self._map = self._mapped(max(end, 2 * len(self._map)))
        rest = memoryview(chunk).cast("B") if end > self.size else b""
        while rest:
            count = os.pwrite(self.descriptor, rest, self.size)
            self.size += count
            rest = rest[count:]

    def view(self) -> memoryview:
        """What is written, as it lies there: to be dropped before the buffer is given back."""
        return memoryview(self._map)[: self.size]

    def pieces(self, size: int = PIECE_BYTES) -> Iterator[bytes]:
        """Copies of what is written, so many bytes each but the last."""
        for start in range(0, self.size, size):
            yield self._map[start : min(start + size, self.size)]

    def clear(self) -> None:
        self.size = 0

    @property
    def memory(self) -> int:
        """The bytes of memory that it takes, whatever is written in it now."""
        return 0 if self.closed else os.fstat(self.descriptor).st_blocks * 512

    def written_elsewhere(self, size: int) -> None:
        """Another process has written, from the beginning, so many bytes."""
        if size > len(self._map):
            self._map = self._mapped(size)
        self.size = size

    def close(self) -> None:
        """Give its memory back, once no process has it mapped and nobody here has a view of it."""
        if not self.closed:
            os.close(self.descriptor)
            self.descriptor, self.size, self._map = -1, 0, mmap.mmap(-1, 1)

    def _mapped(self, size: int) -> mmap.mmap:
        """The file, with room for so many bytes. A map is never resized: somebody may have a view of it."""
        length = max(os.fstat(self.descriptor).st_size, -(-size // STEP_BYTES) * STEP_BYTES, STEP_BYTES)
        os.truncate(self.descriptor, length)
        return mmap.mmap(self.descriptor, length)


def unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("criterion")
    with tempfile.TemporaryFile() as file:  # other systems than Linux
        return os.dup(file.fileno())


class Buffers:
    """The buffers of a server process. Who has taken one gives it back, and it stays warm for a while."""

    def __init__(self) -> None:
        self._free = Warm(_end)
        self._closed = False

    def take(self) -> Buffer:
        """An empty buffer."""
        return self._free.take() or Buffer()

    def give(self, buffer: Buffer) -> None:
        """Give a buffer back: nobody may have a view of it, nor may a process write into it."""
        buffer.clear()
        if self._closed or buffer.memory + sum(free.memory for free in self._free) > KEPT_BYTES:
            _end(buffer)
        elif not buffer.closed:
            self._free.put(buffer)

    def close(self) -> None:
        """Keep nothing, from now on."""
        self._closed = True
        self._free.close()


def _end(buffer: Buffer) -> None:
    """Give its memory back now, though a process may keep it mapped until it hears that it is closed."""
    if not buffer.closed:
        os.truncate(buffer.descriptor, 0)
        buffer.close()
