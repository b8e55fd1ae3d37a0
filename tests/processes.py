"""The processes of a server, as Linux tells of them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio

from tests.conftest import Server

PATIENCE = 60
"""Seconds until a test gives up waiting for what must happen."""


def poll(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        await anyio.sleep(0.005)


def state(pid: int) -> str:
    """The state of a process; "" where there is none, "Z" where it only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(pid: int) -> bool:
    return state(pid) in ("", "Z", "X")


def children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():  # a child is listed with the thread that started it
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_text().split())
    return found


def template_of(server: Server) -> int:
    """The process from which a server's pool forks its own: with one server process its only child."""
    (template,) = children(server.process.pid)
    return template


def pool_of(server: Server) -> list[int]:
    """The processes of a server's pool."""
    return children(template_of(server))


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def processor_time(pid: int) -> float:
    """Seconds that a process has had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def shared_out(pid: int) -> int:
    """The bytes of memory of a process, each page that several have by the share of one: those of all add up."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@contextmanager
def halted(*pids: int) -> Iterator[tuple[int, ...]]:
    """The processes do not get on meanwhile; they must not notice."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        poll(lambda: all(state(pid) == "T" for pid in pids), "a process does not stop")
        yield pids
    finally:
        for pid in pids:
            if not has_ended(pid):
                os.kill(pid, signal.SIGCONT)
