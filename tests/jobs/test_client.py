"""Jobs by the client: `c.jobs`, against a server, and where the connection to one breaks."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.client import AsyncCriterion, Criterion, Problem
from app.client import jobs as module
from tests.conftest import Server, serving
from tests.jobs.asking import LONG

pytestmark = pytest.mark.anyio

EVALUATED = {"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}
STREAM = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("jobs"), job_slots=1, job_checkpoint_seconds=0.2, job_memory_bytes=64 * 2**20) as server:
        yield server


@pytest.fixture
def c(served: Server) -> Iterator[Criterion]:
    with Criterion(served.url, timeout=60) as client:
        yield client


def test_a_job_is_submitted_waited_for_and_found_again(c: Criterion) -> None:
    job = c.jobs.submit("evaluate", EVALUATED, idempotency_key="nightly-1")
    assert job.wait(timeout=60).result.value == 0.5
    assert c.jobs.submit("evaluate", EVALUATED, idempotency_key="nightly-1").id == job.id
    assert c.jobs.get(job.id).status == "succeeded"
    more = [c.jobs.submit("evaluate", EVALUATED) for _ in range(2)]
    assert [found.id for found in c.jobs.list(kind="evaluate")] == [more[1].id, more[0].id, job.id]
    assert len(c.jobs.list(most=1)) == 1
    with pytest.raises(Problem, match="no job"):
        c.jobs.get("01K0000000000000000000000Z")


def test_a_job_is_followed_cancelled_and_resumed(c: Criterion) -> None:
    job = c.jobs.submit("train", {**LONG, "epochs": 100_000})
    for event in job.events():
        if event.event == "epoch" and event.epoch == 3:
            break
    assert job.cancel().status == "cancelled"
    assert job.wait().status == "cancelled"
    assert [found.id for found in c.jobs.list(status="cancelled")] == [job.id]
    assert job.resume().status == "queued"
    with pytest.raises(TimeoutError, match="still"):
        job.wait(timeout=0)
    job.cancel()


def test_what_has_failed_is_a_problem(c: Criterion) -> None:
    large = {"data": {"inputs": [[1], [2]], "targets": [1, 2]}, "loss": "mse", "validation": None, "epochs": 10**7}
    job = c.jobs.submit("train", large)
    with pytest.raises(Problem, match="memory") as raised:
        job.wait()
    assert (raised.value.status, raised.value.code) == (422, "limit")


async def test_the_same_by_tasks(served: Server) -> None:
    async with AsyncCriterion(served.url, timeout=60) as a:
        job = await a.jobs.submit("train", {**LONG, "epochs": 20})
        numbers = [event.number async for event in job.events()]
        assert numbers == [*range(1, len(numbers) + 1)]
        assert len((await job.wait()).result.history) == 20
        assert [event.event async for event in job.events(after=len(numbers) - 1)] == ["end"]
        assert [event async for event in job.events(after=len(numbers))] == []
        assert (await a.jobs.get(job.id)).status == (await a.jobs.list(most=1))[0].status == "succeeded"
        with pytest.raises(Problem, match="succeeded already"):
            await job.cancel()


def test_whoever_follows_a_job_is_connected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server breaks the connection off, refuses one, and ends with a word; nothing is told twice or left out."""
    epochs = [("epoch", f'{{"epoch": {epoch}}}') for epoch in (1, 2, 3)]
    told = [("status", '{"status": "running"}'), *epochs, ("end", '{"status": "succeeded"}')]
    events = [f"event: {name}\nid: {number}\ndata: {data}\n\n" for number, (name, data) in enumerate(told, 1)]
    error = 'event: error\ndata: {"status": 503, "code": "shutting_down", "detail": "", "errors": []}\n\n'
    asked: list[str] = []
    pauses: list[float] = []

    def answered(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json={"id": "1", "status": "queued"})
        asked.append(request.headers.get("last-event-id", ""))
        after = int(asked[-1] or 0)
        match len(asked):
            case 1:
                return httpx.Response(200, headers=STREAM, text="".join(events[:2]) + events[2][:-3])
            case 2:
                raise httpx.ConnectError("refused")
            case 3:
                return httpx.Response(200, headers=STREAM, text=events[after] + error)
            case _:
                return httpx.Response(200, headers=STREAM, text="".join(events[after:]))

    monkeypatch.setattr(module.time, "sleep", pauses.append)
    with Criterion("http://test", transport=httpx.MockTransport(answered)) as c:
        found: list[Any] = [*c.jobs.submit("train", {}).events()]
    assert [event.event for event in found] == [name for name, _ in told]
    assert [event.number for event in found] == [1, 2, 3, 4, 5]
    assert asked == ["", "2", "2", "3"]
    assert pauses == [0.5, 1.0, 0.5]


def test_it_is_given_up_where_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json={"id": "1"}) if request.method == "POST" else httpx.Response(200, headers=STREAM, text="")

    monkeypatch.setattr(module.time, "sleep", bool)
    with (
        Criterion("http://test", transport=httpx.MockTransport(answered), retries=2) as c,
        pytest.raises(httpx.RemoteProtocolError, match="before its last event"),
    ):
        next(c.jobs.submit("train", {}).events())
