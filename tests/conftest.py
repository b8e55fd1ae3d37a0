"""The service in two ways: as an ASGI application in this process, and as a real server in its own."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.serving.pipeline import Service
from app.settings import Settings
from tests import folding

ROOT = Path(__file__).parent.parent
os.environ["CRITERION_DATA_DIR"] = mkdtemp(prefix="criterion-")  # of the services in this process
READY = re.compile(r'"event":"ready"| ready url=')
"""The line of the log, of either form, that says that all of a server's workers serve."""
SERVER_LIMIT = 8 * 1024 * 1024
"""Largest body that the server of the tests takes: small, so that it is quick to exceed."""


def pytest_configure(config: pytest.Config) -> None:
    if config.option.keyword:
        folding.together = 1  # then each case has a name of its own to be chosen by


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def app() -> Service:
    return create_app()


@pytest.fixture(scope="session")
async def client(app: Service, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    async with app.running(), client_of(app) as client:
        yield client


@pytest.fixture(scope="session")
async def inline_client(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that works on every body in this process, however large."""
    async with client_with(large_body_bytes=2**40) as client:
        yield client


def client_with(**settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A client of an application with these settings."""
    return client_of(create_app(Settings(**settings)))


@asynccontextmanager
async def client_of(app: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application, whose processes are forked once one is needed, and end with it; a failure inside is
    answered with 500, as a server does."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with closing(app.state.buffers), closing(app.state.pool):
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@dataclass(frozen=True)
class Server:
    """A server process, and where it listens."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, verify=False)  # certificates take longer to load than most answers

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer to a request on a connection of its own."""
        with self.client() as client:
            return client.request(method, path, **more)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=20)

    def end(self) -> int:
        """SIGTERM, and the exit code, once the server and every process that it has started is gone."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)  # waits for the end of stderr, which they all hold
        return self.process.returncode


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    """`python -m app` with these settings, on a port of its own."""
    host, port = "127.0.0.1", _free_port()
    settings = {"host": host, "port": port, "data_dir": folder / f"data-{port}", **settings}
    environment = {f"CRITERION_{name.upper()}": str(value) for name, value in settings.items()}
    log = folder / f"server-{port}.log"
    command = [sys.executable, "-m", "app"]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.PIPE) as process,
    ):
        server = Server(process, host, port, log)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            if process.poll() is None:
                server.end()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), max_body_bytes=SERVER_LIMIT) as running:
        yield running


@pytest.fixture(scope="session")
async def remote(server: Server, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the real server."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30, verify=False) as client:
        yield client


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_ready(server: Server) -> None:
    """Until all of its workers serve, which its log tells; one of them answers earlier."""
    deadline = monotonic() + 120
    while monotonic() < deadline:
        try:
            assert server.ask("GET", "/health/ready").status_code == 200
            if READY.search(server.log.read_text()):
                return
        except httpx.TransportError:
            pass
        if _has_ended(server.process):
            break
    raise RuntimeError(f"the server did not start:\n{server.log.read_text()}")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=0.05)
    except subprocess.TimeoutExpired:
        return False
    return True
