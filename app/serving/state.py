"""What one server process has, for the calls that ask for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.errors import Unavailable
from app.serving.budget import Budget
from app.serving.buffers import Buffers
from app.serving.pool import Pool
from app.settings import Settings


@dataclass(frozen=True)
class State:
    """The settings, and what they have led to."""

    settings: Settings
    pool: Pool
    buffers: Buffers
    budget: Budget
    document: Callable[[], dict[str, Any]]
    """The OpenAPI document."""

    def check_ready(self) -> None:
        """Unavailable, with the reason, where requests cannot be taken."""
        if not self.pool.health.ready:
            raise Unavailable(self.pool.health.reason)
