"""create_app(settings): wiring as a table of contents."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.calls import CALLS
from app.api.metrics import METRICS
from app.serving.budget import Budget
from app.serving.buffers import Buffers
from app.serving.call import Call
from app.serving.exchange import alone
from app.serving.guards import guards
from app.serving.http11 import Limits, protocol
from app.serving.key_file import LiveKeys
from app.serving.key_file import read as read_keys
from app.serving.lanes import Lane
from app.serving.metrics import serve_metrics
from app.serving.pipeline import Service
from app.serving.pool import Pool
from app.serving.quotas import Quotas
from app.serving.server import serve as serve_http
from app.serving.shared import SharedMemory
from app.serving.state import State
from app.serving.tally import Tally
from app.settings import Settings, read_settings


class Counters(NamedTuple):
    """Where all processes of a server count together."""

    quotas: SharedMemory
    keys: SharedMemory
    metrics: SharedMemory

    @classmethod
    def new(cls, workers: int) -> "Counters":
        sizes = (Quotas.memory_bytes(), LiveKeys.memory_bytes(), Tally.memory_bytes(workers))
        return cls(*map(SharedMemory, sizes))


def create_app(settings: Settings | None = None, calls: Sequence[Call] = CALLS, counters: Counters | None = None) -> Service:
    """The whole service as an ASGI application; ValueError for keys that cannot be read."""
    settings = settings or Settings()
    counters = counters or Counters.new(settings.workers)
    buffers = Buffers()
    state = State(
        settings,
        Pool(lanes(settings), buffers),
        buffers,
        Budget(settings.memory_bytes),
        Quotas(counters.quotas),
        Tally(counters.metrics),
        LiveKeys(settings, counters.keys) if settings.keys or settings.keys_file else None,
    )
    if settings.metrics_port is not None:
        calls = [call for call in calls if call is not METRICS]
    return Service(calls, state, guards(state))


def lanes(settings: Settings) -> tuple[Lane, ...]:
    """What shares the pool of processes, and within which bounds."""
    return (
        Lane(
            "large",
            settings.large_workers,
            settings.large_waiting,
            settings.large_seconds,
            settings.large_memory_bytes,
            settings.threads,
        ),
        Lane(
            "training",
            settings.training_processes,
            settings.training_waiting,
            settings.training_seconds + GRACE_SECONDS,
            settings.training_memory_bytes,
            1,
        ),
    )


GRACE_SECONDS = 30.0
"""What a run may take beyond its limit, to read its data, to begin, and to be summed up."""


def serve() -> None:
    """Run the service until it is told to stop. A setting that is wrong ends it with status 2, and a line that says which."""
    try:
        settings = read_settings()
        if settings.keys or settings.keys_file:
            read_keys(settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    counters = Counters.new(settings.workers)
    if settings.metrics_port is not None:
        serve_metrics(Tally(counters.metrics), settings.metrics_host, settings.metrics_port)
    serve_http(partial(create_app, settings, counters=counters), settings, http_protocol)


def http_protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """HTTP on the socket, within the limits of the settings."""
    return protocol(alone, Limits.of(settings))


if __name__ == "__main__":
    serve()
