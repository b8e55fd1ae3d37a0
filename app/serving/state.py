"""What one server process has, for the calls that ask for it."""

from dataclasses import dataclass

from app.errors import ShuttingDown, Unavailable
from app.serving.budget import Budget
from app.serving.buffers import Buffers
from app.serving.host import Host
from app.serving.key_file import LiveKeys
from app.serving.pool import Pool
from app.serving.quotas import Quotas
from app.serving.tally import Series, Tally
from app.settings import Settings


@dataclass(frozen=True)
class State:
    """The settings, and what they have led to."""

    settings: Settings
    pool: Pool
    buffers: Buffers
    budget: Budget
    quotas: Quotas
    tally: Tally
    keys: LiveKeys | None
    """The keys in force, where keys are asked for."""
    jobs: Host | None = None
    """Who has jobs done, where there are any."""

    def gauges(self) -> dict[Series, float]:
        """What is true of this process now, as metrics."""
        return {
            ("criterion_budget_bytes",): self.budget.limit,
            ("criterion_budget_used_bytes",): self.budget.used,
            **self.pool.gauges(),
        }

    def check_ready(self) -> None:
        """Unavailable, with the reason, where requests cannot be taken."""
        if not self.pool.health.ready:
            raise (ShuttingDown if self.pool.ending else Unavailable)(self.pool.health.reason)
