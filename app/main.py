"""create_app(settings): wiring as a table of contents."""

from collections.abc import Sequence
from functools import cache, partial

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.calls import CALLS
from app.api.docs import described
from app.serving.budget import Budget
from app.serving.buffers import Buffers
from app.serving.call import Call
from app.serving.exchange import alone
from app.serving.guards import guards
from app.serving.http11 import Limits, protocol
from app.serving.lanes import Lane
from app.serving.pipeline import Service
from app.serving.pool import Pool
from app.serving.server import serve as serve_http
from app.serving.state import State
from app.settings import Settings


def create_app(settings: Settings | None = None, calls: Sequence[Call] = CALLS) -> Service:
    """The whole service as an ASGI application."""
    settings = settings or Settings()
    buffers = Buffers()
    document = cache(partial(described, calls))
    state = State(settings, Pool(lanes(settings), buffers), buffers, Budget(settings.memory_bytes), document)
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
    """Run the service until it is told to stop."""
    serve_http("app.main:create_app", Settings(), http_protocol)


def http_protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """HTTP on the socket, within the limits of the settings."""
    return protocol(alone, Limits.of(settings))


if __name__ == "__main__":
    serve()
