"""What all processes of a server count: numbers in shared memory, added to without a lock, since each process has its own.

A process claims a part when it starts and leaves it when it ends, however it ends: what it has counted stays, and the next
one goes on in its place. So a sum over all parts never falls. A part begins with the names of its cells, a line for each.
"""

from collections.abc import Container, Iterator
from typing import TypeAlias

from app.serving.shared import NUMBER_BYTES, Numbers, SharedMemory

NAMES_BYTES = 4 * 1024**2
CELLS = 64 * 1024
PART_BYTES = NAMES_BYTES + CELLS * NUMBER_BYTES
SPARE = 8
"""Parts beyond the processes that there are to be: one may start before the system has buried another."""

Series: TypeAlias = tuple[str, ...]
"""What is counted: a metric and the values of its labels, which have neither tabs nor lines in them."""


class Tally:
    """The part of one process, and a view of all."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._parts = memory.size // PART_BYTES
        self._part = -1
        self._places: dict[Series, int] = {}
        self._end = 0
        self.cells: Numbers = memory.numbers(0, 0)
        """Its own, where place() says."""

    @staticmethod
    def memory_bytes(processes: int) -> int:
        return (processes + SPARE) * PART_BYTES

    def claim(self, passing: Container[str] = ()) -> None:
        """Have a part of one's own. The metrics that pass with a process begin at 0 again."""
        part = self._memory.claim(place * PART_BYTES for place in range(self._parts)) // PART_BYTES
        self._part, self.cells = part, self._cells(part)
        for series, place, width in self._lines(part):
            self._places[series] = place
            self._end = place + width
            if series[0] in passing:
                self.cells[place] = 0.0

    def place(self, *series: str, width: int = 1) -> int:
        """The first of the cells in which something is counted; they are taken when it first is."""
        found = self._places.get(series)
        if found is not None:
            return found
        place = self._end
        if place + width > CELLS:
            raise RuntimeError("more series than were thought of")
        self._write(f"{place}\t{width}\t" + "\t".join(series) + "\n")
        self._end = place + width
        self._places[series] = place
        return place

    def add(self, *series: str, amount: float = 1.0) -> None:
        self.cells[self.place(*series)] += amount

    def set(self, *series: str, value: float) -> None:
        self.cells[self.place(*series)] = value

    def totals(self) -> dict[Series, list[float]]:
        """Every series with the sums of its cells over all processes."""
        totals: dict[Series, list[float]] = {}
        for part in range(self._parts):
            cells = self._cells(part)
            for series, place, width in self._lines(part):
                own = [*cells[place : place + width]]
                before = totals.get(series)
                totals[series] = own if before is None else [a + b for a, b in zip(before, own, strict=True)]
        return totals

    def _cells(self, part: int) -> Numbers:
        return self._memory.numbers(part * PART_BYTES + NAMES_BYTES, CELLS)

    def _lines(self, part: int) -> Iterator[tuple[Series, int, int]]:
        start = part * PART_BYTES
        used = int(self._memory.numbers(start, 1)[0])
        text = bytes(self._memory.view(start + NUMBER_BYTES, used)).decode()
        for line in text.splitlines():
            place, width, *series = line.split("\t")
            yield tuple(series), int(place), int(width)

    def _write(self, line: str) -> None:
        """One name more: first its bytes, then how many bytes of names there are."""
        start, written = self._part * PART_BYTES, line.encode()
        length = self._memory.numbers(start, 1)
        used = int(length[0])
        if NUMBER_BYTES + used + len(written) > NAMES_BYTES:
            raise RuntimeError("more series than were thought of")
        self._memory.view(start + NUMBER_BYTES + used, len(written))[:] = written
        length[0] = used + len(written)
