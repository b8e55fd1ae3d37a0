"""create_app(settings): wiring only."""

import uvicorn
from fastapi import FastAPI

from app.api import docs, evaluate, health, losses, problems
from app.api.headers import HeadersMiddleware
from app.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole service as an ASGI application."""
    app = FastAPI(title="Criterion", version="0.1.0", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.settings = settings or Settings()
    app.add_middleware(HeadersMiddleware)
    app.include_router(losses.router)
    app.include_router(evaluate.router)
    app.include_router(health.router)
    problems.install(app)
    docs.install(app)
    return app


def serve() -> None:
    """Run the service until it is told to stop."""
    settings = Settings()
    uvicorn.run(
        "app.main:create_app", factory=True, host=settings.host, port=settings.port, workers=settings.workers,
        log_level=settings.log_level, access_log=False, timeout_graceful_shutdown=settings.shutdown_seconds,
    )  # fmt: skip


if __name__ == "__main__":
    serve()
