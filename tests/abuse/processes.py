"""The server's process tree: its memory, its CPU time, its processes. Linux only."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and all that it has started, however indirectly; none if it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(descendant for child in children for descendant in tree(child))]


def pss(pid: int) -> int:
    """Bytes of the whole tree, what processes share counted once (proportional set size)."""
    return sum(_pss(member) for member in tree(pid))


def _pss(pid: int) -> int:
    try:
        return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):  # it has ended meanwhile
        return 0


def cpu_seconds(pid: int) -> float:
    """User and system time of the processes that are there now."""
    return sum(_ticks(member) for member in tree(pid)) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def busy(pid: int, seconds: float = 1.0) -> float:
    """How many cores the tree keeps busy, over so many seconds."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def descriptors(pid: int) -> int:
    """Open files and sockets of the tree."""
    return sum(len(os.listdir(f"/proc/{member}/fd")) for member in tree(pid))


def send(pid: int, signal_number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal_number)
