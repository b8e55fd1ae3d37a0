"""The server's processes: uvicorn on sockets of our own, so that connections are dealt to all of them."""

import contextlib
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.serving.log import configure, tell
from app.serving.workers import Workers
from app.settings import Settings

log = logging.getLogger("criterion")

BACKLOG = 2048
DESCRIPTORS_BESIDE_CONNECTIONS = 512

Factory = Callable[[], object] | str
Protocol = Callable[[Settings], type[HttpToolsProtocol]]


def serve(factory: Factory, settings: Settings, protocol: Protocol) -> None:
    """Run the application that `factory` makes until a signal ends it; an orderly end is exit 0.

    `protocol` makes the HTTP protocol class. Both are sent to each server process, so they have to be functions of modules.
    """
    configure(settings.log_format, settings.log_level)
    # uvicorn ends in order and then raises the signal anew: an orderly end is no failure
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    _allow_descriptors(settings.connections * 2 + DESCRIPTORS_BESIDE_CONNECTIONS)
    config = Config(factory, settings, protocol)
    listening = [_alone(address) for address in addresses(settings.host, settings.port)]
    try:
        (_serve_by_several if settings.workers > 1 else _serve_here)(config, listening)
    finally:
        tell(log, logging.INFO, "stopped")


def _serve_here(config: "Config", listening: list[socket.socket]) -> None:
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(listening)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_by_several(config: "Config", listening: list[socket.socket]) -> None:
    """The address is free; now each process gets a socket of its own on it."""
    for check in listening:
        check.close()
    becoming_sockets = cast("list[socket.socket]", addresses(config.host, config.port))
    workers = Workers(config, becoming_sockets, lambda: _ready(config.settings))
    workers.run()
    if workers.failed:
        sys.exit(STARTUP_FAILURE)


def _ready(settings: Settings) -> None:
    """Say where the service is: how its address is written in a URL, whatever it listens on."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"
    tell(log, logging.INFO, "ready", url=url, docs=f"{url}/docs", page=f"{url}/", workers=settings.workers)


class Server(uvicorn.Server):
    """uvicorn's, which says when it is ready and when it is told to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _ready(cast(Config, self.config).settings)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        tell(log, logging.INFO, "stopping")
        await super().shutdown(sockets)


class Config(uvicorn.Config):
    """uvicorn's, which can be sent to a process because the protocol is made where it serves."""

    def __init__(self, factory: Factory, settings: Settings, protocol: Protocol) -> None:
        super().__init__(
            cast("Callable[..., Any]", factory),
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        self.settings = settings
        self.protocol = protocol

    def load(self) -> None:
        configure(self.settings.log_format, self.settings.log_level)
        self.http = self.protocol(self.settings)
        super().load()


class Address(NamedTuple):
    """Where to listen, as the system has resolved it. Sent to a process, it arrives as a socket of that process's own."""

    family: socket.AddressFamily
    where: tuple[str | int, ...]

    def __reduce__(self) -> tuple[Callable[..., socket.socket], tuple[object, ...]]:
        return _one_of_several, tuple(self)


def _one_of_several(family: socket.AddressFamily, where: tuple[str | int, ...]) -> socket.socket:
    """The system deals connections among the sockets of an address, and not among the processes that share one."""
    return _bound(Address(family, where), socket.SO_REUSEADDR, socket.SO_REUSEPORT)


def _alone(address: Address) -> socket.socket:
    """Listens already, so that a second service is told at once."""
    listening = _bound(address, socket.SO_REUSEADDR)
    listening.listen(BACKLOG)
    return listening


def _bound(address: Address, *options: int) -> socket.socket:
    """A socket at this address; where that cannot be, one line in the log and the end of this process."""
    bound = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if address.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address.where)
    except OSError as error:
        host, port = address.where[:2]
        tell(log, logging.ERROR, "cannot_listen", host=host, port=port, reason=error.strerror)
        sys.exit(STARTUP_FAILURE)
    return bound


def addresses(host: str, port: int) -> list[Address]:
    """Every address that a host's name stands for."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        tell(log, logging.ERROR, "cannot_listen", host=host, port=port, reason=error.strerror)
        sys.exit(STARTUP_FAILURE)
    return list(dict.fromkeys(Address(family, cast("tuple[str | int, ...]", where)) for family, _, _, _, where in found))


def _allow_descriptors(wanted: int) -> None:
    """Many systems start processes with 1024 and allow far more to those who ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
