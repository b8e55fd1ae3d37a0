"""GET /metrics: what Prometheus asks for."""

import asyncio
from typing import Annotated

from app.serving.address import Header
from app.serving.call import Call
from app.serving.content import Content
from app.serving.metrics import exposition
from app.serving.state import State


async def metrics(state: State, accept: Annotated[str, Header(include_in_schema=False)] = "") -> Content:
    """Requests by call, loss and status, their time and bytes, refusals by reason, queues, processes and memory: of all
    processes of the server together. With `CRITERION_METRICS_PORT` it is on that port instead."""
    return await asyncio.to_thread(exposition, state.tally, state.jobs and state.jobs.store, accept)


METRICS = Call(
    method="GET",
    path="/metrics",
    function=metrics,
    summary="Metrics of the server",
    tag="health",
    scope="metrics",
    answer=str,
)
