"""The server's processes: uvicorn on sockets of our own, so that connections are dealt to all of them."""

import contextlib
import ctypes
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from app.settings import Settings

log = logging.getLogger("uvicorn.error")

BACKLOG = 2048
DESCRIPTORS_BESIDE_CONNECTIONS = 512
MALLOC = {-1: 8 * 1024**2, -3: 4 * 1024**2}
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD. By its own thresholds malloc gives a piece of a body back to the system as soon as it is
freed, and page faults cost more than all else that is done with it; or it keeps tens of megabytes after a large one."""

Protocol = Callable[[Settings], type[HttpToolsProtocol]]


def serve(factory: str, settings: Settings, protocol: Protocol) -> None:
    """Run the application that `factory` ("module:function") makes until a signal ends it; an orderly end is exit 0.

    `protocol` makes the HTTP protocol class in each server process, so it has to be a function of a module.
    """
    # uvicorn ends in order and then raises the signal anew: an orderly end is no failure
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    _allow_descriptors(settings.connections * 2 + DESCRIPTORS_BESIDE_CONNECTIONS)
    config = Config(factory, settings, protocol)
    listening = [_alone(address) for address in addresses(settings.host, settings.port)]
    log.info("Serving on http://%s:%d (CTRL+C ends it)", settings.host, settings.port)
    if settings.workers > 1:
        _serve_by_several(config, listening)
    else:
        _serve_here(config, listening)


def _serve_here(config: "Config", listening: list[socket.socket]) -> None:
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(listening)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_by_several(config: "Config", listening: list[socket.socket]) -> None:
    """The address is free; now each process gets a socket of its own on it."""
    for check in listening:
        check.close()
    becoming_sockets = cast("list[socket.socket]", addresses(config.host, config.port))
    processes = Multiprocess(config, becoming_sockets)
    processes.run()
    if any(process.exitcode == STARTUP_FAILURE for process in processes.processes):
        sys.exit(STARTUP_FAILURE)


class Config(uvicorn.Config):
    """uvicorn's, which can be sent to a process because the protocol is made where it serves."""

    def __init__(self, factory: str, settings: Settings, protocol: Protocol) -> None:
        super().__init__(
            factory,
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http="httptools",
            ws="none",
            log_level=settings.log_level,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        self.settings = settings
        self.protocol = protocol

    def load(self) -> None:
        _set_malloc()
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
        log.error("cannot listen on %s port %s: %s", *address.where[:2], error.strerror)
        sys.exit(STARTUP_FAILURE)
    return bound


def addresses(host: str, port: int) -> list[Address]:
    """Every address that a host's name stands for."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        log.error("cannot listen on %s: %s", host, error.strerror)
        sys.exit(STARTUP_FAILURE)
    return list(dict.fromkeys(Address(family, cast("tuple[str | int, ...]", where)) for family, _, _, _, where in found))


def _allow_descriptors(wanted: int) -> None:
    """Many systems start processes with 1024 and allow far more to those who ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _set_malloc() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if mallopt is not None:
        for parameter, value in MALLOC.items():
            mallopt(parameter, value)
