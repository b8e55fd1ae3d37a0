"""Settings, from CRITERION_* variables, read once and passed down."""

import os
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _cores() -> int:
    """The processors this process may use, which may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CRITERION_", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(default="info", description="What uvicorn logs.")
    max_body_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1, description="Largest request body; a larger one is refused with 413."
    )
    large_body_bytes: int = Field(
        default=512 * 1024, ge=0, description="From this size on, a body is worked on in a worker process."
    )
    large_workers: int = Field(default=1, ge=1, le=64, description="Worker processes for large bodies, per server process.")
    large_waiting: int = Field(
        default=16, ge=0, description="Large requests that may wait for a worker; one more is answered with 503."
    )
    threads: int = Field(default_factory=_cores, ge=1, le=256, description="Threads that share one large batch.")
    shutdown_seconds: int = Field(default=10, ge=0, description="How long open requests may go on after SIGTERM.")
