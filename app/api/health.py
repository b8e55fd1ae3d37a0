"""GET /health/live and /health/ready: what a platform asks before it sends traffic."""

from typing import Literal

from typing_extensions import TypedDict

from app.serving.call import Call
from app.serving.state import State


class Health(TypedDict):
    """The state of this server process."""

    status: Literal["ok"]


def live() -> Health:
    """Answers as long as the process can answer at all."""
    return {"status": "ok"}


def ready(state: State) -> Health:
    """Answers 200 where requests can be taken: processes for large ones are alive, and no queue is full. Else 503 says why."""
    state.check_ready()
    return {"status": "ok"}


CALLS = (
    Call(method="GET", path="/health/live", function=live, summary="Is the process alive?", tag="health", scope="open"),
    Call(
        method="GET",
        path="/health/ready",
        function=ready,
        summary="Can it take requests?",
        tag="health",
        scope="open",
        statuses=(503,),
    ),
)
