"""The server's processes: their memory, their CPU time, who they are. Linux only."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it loads the service, for which a watch has no time
    from tests.conftest import Server


def members(port: int) -> list[int]:
    """The server that listens there and all that it has started, also those that have lost their parent: the port is in the
    environment that they share."""
    mark = b"CRITERION_PORT=%d\0" % port
    return sorted(int(path.name) for path in Path("/proc").glob("[0-9]*") if mark in _environment(path))


def _environment(path: Path) -> bytes:
    try:
        return (path / "environ").read_bytes()
    except OSError:  # somebody else's, or it has ended meanwhile
        return b""


def children(server: "Server") -> list[int]:
    """All of them but the server itself."""
    return [pid for pid in members(server.port) if pid != server.process.pid]


def pss(port: int) -> int:
    """Bytes of them all, what they share counted once (proportional set size)."""
    return sum(_pss(pid) for pid in members(port))


def _pss(pid: int) -> int:
    try:
        return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):  # it has ended meanwhile
        return 0


def cpu_seconds(port: int) -> float:
    """User and system time of the processes that are there now."""
    return sum(_ticks(pid) for pid in members(port)) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def busy(port: int, seconds: float = 1.0) -> float:
    """How many cores they keep busy, over so many seconds."""
    before = cpu_seconds(port)
    time.sleep(seconds)
    return (cpu_seconds(port) - before) / seconds


def descriptors(server: "Server") -> int:
    """Open files and sockets of the server itself."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def send(pid: int, signal_number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal_number)
