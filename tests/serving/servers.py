"""Servers of tests.serving.echo, each in its own process, and what is said to them byte by byte."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.conftest import ROOT

HOST = b"Host: test\r\n"
CLOSE = b"Connection: close\r\n"
POST = b"POST /first HTTP/1.1\r\n" + HOST
LAST = b"GET /last HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
"""A request that ends the connection, so that a test can read to the end of it."""

JAVA = (
    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.9\r\n"
)
"""The fields of a stock Java client."""

PATIENCE = 30
"""Seconds after which a test fails: generous, since nothing is measured by it."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class EchoServer:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def say(self, *segments: bytes) -> list[Answer]:
        """Everything that is answered to these bytes, up to the end of the connection; 1xx answers are left out."""
        with self.connect() as connection:
            for segment in segments:
                connection.sendall(segment)
            return parsed(until_closed(connection))

    def get(self, path: str) -> Answer:
        (answer,) = self.say(b"GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" % path.encode())
        return answer

    def signal(self, number: signal.Signals) -> int:
        """The exit code, once every process that holds the server's output is gone."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@contextmanager
def echo_server(folder: Path, *, before: Callable[[], None] | None = None, **settings: Any) -> Iterator[EchoServer]:
    port = free_port()
    log = folder / f"echo-{port}.log"
    with log.open("wb") as output, start(port, output, before, **settings) as process:
        server = EchoServer(process, port, log)
        try:
            wait_until(lambda: is_up(server))
            yield server
        finally:
            if process.poll() is None:
                server.signal(signal.SIGTERM)


def start(port: int, output: Any, before: Callable[[], None] | None = None, **settings: Any) -> subprocess.Popen[bytes]:
    variables = {f"CRITERION_{name.upper()}": str(value) for name, value in {"port": port, **settings}.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.serving.echo"],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=output,
        stderr=subprocess.PIPE,
        preexec_fn=before,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def is_up(server: EchoServer) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return server.get("/").status == 200
    except (OSError, ValueError):
        return False


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE
    while not happened():
        assert monotonic() < deadline, "it did not happen"
        sleep(0.005)  # whoever is waited for may need this processor


def is_in_form(answer: Answer, status: int) -> bool:
    """A problem of the service's own, which ends the connection."""
    assert answer.json()["status"] == answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers
    return True


def is_echo(answer: Answer, path: str, body: bytes = b"") -> bool:
    echo = answer.json()
    assert (answer.status, echo["path"]) == (200, path)
    assert (echo["length"], echo["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    return True


def until_closed(connection: socket.socket) -> bytes:
    received = bytearray()
    while chunk := connection.recv(1 << 20):
        received += chunk
    return bytes(received)


def whole(raw: bytes) -> list[bytes]:
    return [raw]


def in_bytes(raw: bytes) -> list[bytes]:
    return [raw[index : index + 1] for index in range(len(raw))]


def parsed(raw: bytes) -> list[Answer]:
    """The answers in these bytes; each has a Content-Length, or it is the last."""
    answers: list[Answer] = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        status = int(line.split()[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert len(headers) == len(lines), "a header came twice"
        length = int(headers.get("content-length", len(raw))) if status >= 200 else 0
        assert len(raw) >= length, "the answer was cut"
        if status >= 200:
            answers.append(Answer(status, headers, raw[:length]))
        raw = raw[length:]
    return answers
