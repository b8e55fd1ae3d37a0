"""create_app(settings): wiring only."""

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from app.api import catalogue, compare, docs, evaluate, health, inference_protocol, losses, training
from app.api.route import Direct
from app.api.runs import Runs
from app.api.workers import Workers
from app.serving import problems
from app.serving.headers import HeadersMiddleware
from app.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole service as an ASGI application."""
    settings = settings or Settings()
    app = FastAPI(
        title="Criterion", version="0.1.0", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_lifespan,
        responses=problems.EVERYWHERE,
    )  # fmt: skip
    app.state.settings = settings
    app.state.workers = Workers(settings.large_workers, settings.threads, settings.large_waiting)
    app.state.runs = Runs(settings)
    app.add_middleware(Direct, routes=evaluate.router.routes)
    app.add_middleware(HeadersMiddleware)
    app.include_router(evaluate.router)
    app.include_router(losses.router)
    app.include_router(training.router)
    app.include_router(compare.router)
    app.include_router(catalogue.router)
    app.include_router(inference_protocol.router)
    app.include_router(health.router)
    problems.install(app)
    docs.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    workers: Workers = app.state.workers
    runs: Runs = app.state.runs
    await workers.start()
    with runs.ended_by_signals():
        yield
    runs.close()
    workers.close()


def _end(number: int, frame: object) -> None:
    sys.exit(0)


def serve() -> None:
    """Run the service until it is told to stop."""
    # uvicorn ends in order and then raises the signal anew: an orderly end is no failure
    signal.signal(signal.SIGTERM, _end)
    settings = Settings()
    uvicorn.run(
        "app.main:create_app", factory=True, host=settings.host, port=settings.port, workers=settings.workers,
        log_level=settings.log_level, access_log=False, timeout_graceful_shutdown=settings.shutdown_seconds,
    )  # fmt: skip


if __name__ == "__main__":
    serve()
