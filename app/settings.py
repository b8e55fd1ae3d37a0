"""Settings, from CRITERION_* variables, read once and passed down."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CRITERION_", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(default=1, ge=1, le=256, description="Server processes.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(default="info", description="What uvicorn logs.")
    max_body_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1, description="Largest request body; a larger one is refused with 413."
    )
    shutdown_seconds: int = Field(default=10, ge=0, description="How long open requests may go on after SIGTERM.")
