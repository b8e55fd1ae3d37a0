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
    training_processes: int = Field(default=1, ge=1, le=64, description="Training runs at a time, per server process.")
    training_waiting: int = Field(
        default=8, ge=0, description="Runs that may wait for another to end; one more is answered with 503."
    )
    training_seconds: float = Field(default=30, gt=0, description="How long a run may take; then it answers what there is.")
    training_epochs: int = Field(default=10_000, ge=1, description="Epochs of a run at most.")
    training_parameters: int = Field(default=1_000_000, ge=1, description="Weights and biases of a model at most.")
    training_row_epochs: int = Field(default=20_000_000, ge=1, description="Training rows times epochs of a run at most.")
    training_memory_bytes: int = Field(
        default=512 * 1024**2, ge=64 * 1024**2, description="Memory that a run may take beyond its process's own."
    )
    connections: int = Field(
        default=1000, ge=1, description="Open connections, per server process; one more is answered with 503."
    )
    head_bytes: int = Field(
        default=64 * 1024, ge=1024, description="Request line, headers and trailers at most; more is refused with 431."
    )
    head_fields: int = Field(default=100, ge=10, description="Headers and trailers of a request at most.")
    head_seconds: float = Field(
        default=10, gt=0, description="How long a request's head may take to arrive, or the first byte of a connection."
    )
    body_seconds: float = Field(default=10, gt=0, description="For how long a body may arrive more slowly than it must.")
    body_bytes_per_second: int = Field(default=1024, ge=0, description="How fast a body must arrive; a slower one gets 408.")
    write_seconds: float = Field(default=20, gt=0, description="How long a client may read nothing of an answer that waits.")
    keep_alive_seconds: float = Field(default=75, gt=0, description="How long a connection may wait for another request.")
    shutdown_seconds: int = Field(default=10, ge=0, description="How long open requests may go on after SIGTERM.")
