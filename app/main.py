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
from app.serving.host import Host, store_of
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
    buffers, store = Buffers(), store_of(settings)
    state = State(
        settings,
        Pool(lanes(settings), buffers),
        buffers,
        Budget(settings.memory_bytes),
        Quotas(counters.quotas),
        Tally(counters.metrics),
        LiveKeys(settings, counters.keys) if settings.keys or settings.keys_file else None,
        Host(settings, store) if store else None,
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
        Lane("streams", settings.stream_processes, 0, settings.stream_seconds, settings.large_memory_bytes, 1),
        Lane("jobs", 1, CHECKS_WAITING, settings.large_seconds, settings.large_memory_bytes, 1),
    )


CHECKS_WAITING = 256
"""Jobs whose requests may wait to be checked."""


GRACE_SECONDS = 30.0
"""What a run may take beyond its limit, to read its data, to begin, and to be summed up."""


def serve() -> None:
    """Run the service until it is told to stop."""
    settings = _settings()
    counters = Counters.new(settings.workers)
    if settings.metrics_port is not None:
        serve_metrics(Tally(counters.metrics), store_of(settings), settings.metrics_host, settings.metrics_port)
    serve_http(partial(create_app, settings, counters=counters), settings, http_protocol)


def work(*, attended: bool) -> None:
    """Do jobs until a signal ends it; one that is `attended` ends with who has started it, and where there is nothing to do."""
    from app.serving.worker import work as work_on_jobs  # what a server has no use for

    settings = _settings()
    if settings.engine is None:
        print("CRITERION_ENGINE_URL: is none, so that there are no jobs to be done", file=sys.stderr)
        sys.exit(2)
    work_on_jobs(settings, {call.job.name: call for call in CALLS if call.job}, attended=attended)


def _settings() -> Settings:
    """The settings of the environment. One that is wrong ends this with status 2, and a line that says which."""
    try:
        settings = read_settings()
        if settings.keys or settings.keys_file:
            read_keys(settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    return settings


def http_protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """HTTP on the socket, within the limits of the settings."""
    return protocol(alone, Limits.of(settings))


if __name__ == "__main__":
    serve()
