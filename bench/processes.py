"""Servers as processes: started, asked, and their CPU time and memory read from the kernel. Linux only."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.serving.environment import ENVIRONMENT as SERVED_WITH

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
ENVIRONMENT = {**SERVED_WITH, **os.environ, "PYTHONPATH": str(ROOT)}
"""What `python -m app` sets, here for every contender; what is set already wins, as it does there."""
BARE = {name: value for name, value in ENVIRONMENT.items() if name not in SERVED_WITH}
"""What somebody has who starts the service without all that."""

LARGEST_ANSWER = 1 << 27
START_SECONDS = 30


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str] = {}, *, bare: bool = False
) -> Generator[subprocess.Popen[bytes]]:
    """`python command...` until the end of the block, with more in its environment."""
    given = {**(BARE if bare else ENVIRONMENT), **environment}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


class Connection:
    """One kept-alive connection to an HTTP server. The client does as little as it can."""

    def __init__(self, port: int) -> None:
        self._socket = _connect(port)
        self._buffer = memoryview(bytearray(LARGEST_ANSWER))

    def ask(self, message: bytes) -> memoryview:
        """The body of the answer, valid until the next question."""
        self._socket.sendall(message)
        got, end = 0, -1
        while end < 0:
            got += self._socket.recv_into(self._buffer[got:])
            end = self._buffer.obj.find(b"\r\n\r\n", 0, got)  # type: ignore[union-attr]
        head = bytes(self._buffer[:end]).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"refused: {bytes(self._buffer[:got])[:1000].decode()}")
        start = end + 4
        size = int(re.search(rb"\ncontent-length: (\d+)", head)[1])  # type: ignore[index]
        while got < start + size:
            got += self._socket.recv_into(self._buffer[got:])
        return self._buffer[start : start + size]


class Pipe:
    """A process that answers each line with a line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, message: bytes) -> memoryview:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(message)
        self._process.stdin.flush()
        return memoryview(self._process.stdout.readline())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = socket.create_connection((HOST, port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def family(pid: int) -> list[int]:
    """The process and everything it has started."""
    children = [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    return [pid, *(process for child in children for process in family(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, to the nanosecond: the kernel's own CPU clock of each."""
    return sum(time.clock_gettime_ns(~process << 3 | 2) for process in family(pid)) / 1e9


def forget_peak(pid: int) -> None:
    for process in family(pid):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def peak_megabytes(pid: int) -> float:
    """The most memory that was resident since the peak was forgotten, summed; what processes share counts for each."""
    status = [Path(f"/proc/{process}/status").read_text() for process in family(pid)]
    return sum(int(re.search(r"VmHWM:\s+(\d+)", text)[1]) for text in status) / 1e3  # type: ignore[index]
