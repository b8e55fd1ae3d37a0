"""GET /health/live and /health/ready: what a platform asks before it sends traffic."""

from typing import Literal

from fastapi import APIRouter
from typing_extensions import TypedDict

router = APIRouter(prefix="/health", tags=["health"])


class Health(TypedDict):
    """The state of this server process."""

    status: Literal["ok"]


@router.get("/live", summary="Is the process alive?")
async def live() -> Health:
    """Answers as long as the process can answer at all."""
    return {"status": "ok"}


@router.get("/ready", summary="Can it take requests?")
async def ready() -> Health:
    """Answers once every loss is loaded, which is before the port is open."""
    return {"status": "ok"}
