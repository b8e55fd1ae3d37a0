"""Runs in processes of their own: what they say, who waits for them, and nothing left behind when something dies."""

import gzip
import json
import os
import signal
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from app import main
from app.api.calls import CALLS
from app.main import create_app
from app.serving import replies
from app.serving.accept import prefers_events
from app.serving.child import LIBRARY_BYTES
from app.serving.pipeline import Service
from app.settings import Settings
from tests.api.problem import problem_of, strictly
from tests.conftest import Server, serving
from tests.processes import PATIENCE, eventually, has_ended, poll, pool_of, processor_time
from tests.serving.calls import RUNS
from tests.serving.streams import Caller, events_in

STREAM = {"accept": "text/event-stream"}
TINY = {"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}


# --- a service in this process, with calls made for these tests ------------------------------------------------


@asynccontextmanager
async def running(**settings: Any) -> AsyncGenerator[Service]:
    app = create_app(Settings(**settings), (*CALLS, *RUNS))
    with closing(app.state.buffers), closing(app.state.pool):
        yield app


@pytest.fixture(scope="module")
async def app(anyio_backend: str) -> AsyncGenerator[Service]:
    """One run at a time, and one that may wait."""
    async with running(training_processes=1, training_waiting=1, training_memory_bytes=128 * 1024**2) as app:
        yield app


@pytest.fixture(scope="module")
async def caller(app: Service) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as caller:
        yield caller


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


async def told(caller: httpx.AsyncClient, path: str, **document: Any) -> list[Any]:
    response = await caller.post(path, json=document, headers=STREAM)
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    return [*events_in(response.text)]


async def pid_of(caller: httpx.AsyncClient) -> int:
    """The process that works on the next request."""
    return (await caller.post("/telling", json={})).json()["pid"]


@pytest.mark.anyio
async def test_the_data_of_the_last_event_is_the_answer(caller: httpx.AsyncClient) -> None:
    response = await caller.post("/telling", json={"number": 3, "text": "é\n\n\u2028"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer = strictly(response.text)
    events = await told(caller, "/telling", number=3, text="é\n\n\u2028")
    assert [event.name for event in events] == ["start", "epoch", "epoch", "epoch", "end"]
    assert [event.id for event in events] == [None, "1", "2", "3", "end"]
    assert events[0].data == {"pid": answer["pid"]}
    assert events[2].data == {"number": 2, "text": "é\n\n\u2028"}
    assert events[-1].data == answer


@pytest.mark.anyio
async def test_many_events_and_large_bodies_pass_through_whole(caller: httpx.AsyncClient) -> None:
    events = await told(caller, "/telling", number=20_000)
    assert [event.data["number"] for event in events[1:-1]] == [*range(1, 20_001)]
    text = np.random.default_rng(0).bytes(3_000_000).hex()
    assert (await caller.post("/telling", json={"text": text})).json()["text"] == text


@pytest.mark.anyio
async def test_an_event_is_sent_while_the_run_goes_on(app: Service, pipe: Path) -> None:
    async with Caller(app, "/waiting", {"path": str(pipe)}) as client:
        (start,) = events_in((await client.chunk()).decode())
        assert start.name == "start"
        assert (client.status, client.headers["cache-control"]) == (200, "no-store")
        pipe.write_text("go")
        (end,) = events_in((await client.rest()).decode())
        assert end.data == {"pid": start.data["pid"], "text": "go"}


@pytest.mark.anyio
async def test_what_is_wrong_with_a_request_is_no_stream(caller: httpx.AsyncClient) -> None:
    for content, status in ((b"{", 400), (b"", 400), (b'{"number": -1}', 422), (b'{"nummer": 1}', 422)):
        response = await caller.post("/telling", content=content, headers=STREAM)
        assert response.status_code == status
        problem_of(response)
    response = await caller.post("/telling", content=b"a=1", headers={"content-type": "text/plain", **STREAM})
    assert response.status_code == 415
    assert (await caller.get("/telling")).status_code == 405


@pytest.mark.anyio
async def test_who_reconnects_is_told_what_comes_after_it(caller: httpx.AsyncClient) -> None:
    whole = await told(caller, "/telling", number=5)
    for had in range(6):
        response = await caller.post("/telling", json={"number": 5}, headers={**STREAM, "last-event-id": str(had)})
        assert [event.name for event in events_in(response.text)] == ["epoch"] * (5 - had) + ["end"]
        assert [event.id for event in events_in(response.text)] == [event.id for event in whole[1 + had :]]
    response = await caller.post("/telling", json={"number": 5}, headers={**STREAM, "last-event-id": whole[-1].id or ""})
    assert (response.status_code, response.content) == (204, b"")
    for strange in ("²", "-1", "1.5", "", "END", "9" * 5000):  # no id of ours: nothing is known to have been told
        headers = {**STREAM, "last-event-id": strange.encode("latin-1")}
        response = await caller.post("/telling", json={"number": 2}, headers=headers)
        assert [event.name for event in events_in(response.text)] == ["start", "epoch", "epoch", "end"], strange
    response = await caller.post("/telling", json={"number": 5}, headers={"last-event-id": "end"})
    assert response.json()["number"] == 5  # who asks for no stream has had none


@pytest.mark.anyio
async def test_no_line_is_longer_than_readers_take(caller: httpx.AsyncClient) -> None:
    text = 'a "quoted, comma\\", ' * 4
    response = await caller.post("/telling", json={"number": 2, "text": text, "times": 20_000}, headers=STREAM)
    assert len(response.content) > 1_000_000
    assert max(map(len, response.text.split("\n"))) < 64_000
    assert events_in(response.text)[-1].data["texts"] == [text] * 20_000


@pytest.mark.anyio
async def test_a_run_finds_one_thread_and_a_limit(caller: httpx.AsyncClient) -> None:
    found = (await caller.post("/surroundings", json={})).json()
    assert set(found["threads"].values()) == {"1"}
    assert {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"} <= found["threads"].keys()
    assert 128 * 1024**2 < found["limit"] - LIBRARY_BYTES < 512 * 1024**2
    assert found["pid"] == await pid_of(caller)


# --- what goes wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_bug_is_500_and_says_nothing(caller: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    pid = await pid_of(caller)
    answer = await caller.post("/failing", json={"text": "xyzzy"}, headers={"x-request-id": "my-id"})
    assert answer.status_code == 500
    assert problem_of(answer)["request_id"] == "my-id"
    response = await caller.post("/failing", json={"text": "xyzzy"}, headers={"x-request-id": "other-id", **STREAM})
    start, error, end = events_in(response.text)
    assert start.name == "start"
    assert (error.name, error.data["status"], error.data["request_id"]) == ("error", 500, "other-id")
    assert (end.name, end.data) == ("end", None)
    for word in ("division", "ZeroDivisionError", "xyzzy", "Traceback"):
        assert word not in answer.text + response.text
    await eventually(lambda: "other-id" in caplog.text, "it is not told")
    for word in ("my-id", "other-id", "ZeroDivisionError", "calls.py"):
        assert word in caplog.text
    assert await pid_of(caller) != pid  # who knows what state it was in
    await eventually(lambda: has_ended(pid), "it does not end")


@pytest.mark.anyio
async def test_refusal_halfway(caller: httpx.AsyncClient) -> None:
    pid = await pid_of(caller)
    answer = await caller.post("/refusing", json={})
    assert answer.status_code == 422
    assert problem_of(answer)["errors"][0]["pointer"] == "/text"
    start, error, end = await told(caller, "/refusing")
    assert error.data == problem_of(answer)
    assert (start.name, error.name, end.name, end.data, end.id) == ("start", "error", "end", None, "end")
    assert await pid_of(caller) == pid


@pytest.mark.anyio
async def test_process_that_dies(caller: httpx.AsyncClient) -> None:
    answer = await caller.post("/suicidal", json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert problem_of(answer)["code"] == "unavailable"
    start, error, end = await told(caller, "/suicidal")
    assert (start.name, error.name, end.name) == ("start", "error", "end")
    assert error.data == problem_of(answer)
    assert (await caller.post("/telling", json={})).status_code == 200


@pytest.mark.anyio
async def test_more_memory_than_a_run_may_have(caller: httpx.AsyncClient) -> None:
    assert (await caller.post("/hoarding", json={"number": 100})).json()["sum"] == 100 * 131_072
    pid = await pid_of(caller)
    answer = await caller.post("/hoarding", json={"number": 1000})
    assert answer.status_code == 422
    (fault,) = problem_of(answer)["errors"]
    assert (fault["pointer"], fault["code"]) == ("", "limit")
    assert str(128 * 1024**2) in fault["message"]
    assert await pid_of(caller) != pid
    assert (await caller.post("/hoarding", json={"number": 100})).status_code == 200


@pytest.mark.anyio
async def test_run_that_does_not_end_is_ended(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "GRACE_SECONDS", 0.0)
    async with running(training_seconds=2) as app, Caller(app, "/waiting", {"path": str(pipe)}) as client:
        (start,) = events_in((await client.chunk()).decode())
        error, end = events_in((await client.rest()).decode())
        assert (error.name, error.data["status"], end.name) == ("error", 503, "end")
        assert "2 seconds" in error.data["detail"]
        await eventually(lambda: has_ended(start.data["pid"]), "the child goes on")


@pytest.mark.anyio
async def test_a_silent_stream_says_that_it_is_alive(app: Service, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "PING_SECONDS", 0.01)
    async with Caller(app, "/waiting", {"path": str(pipe)}) as client:
        assert b"event: start" in await client.chunk()
        for _ in range(3):
            assert await client.chunk() == b": ping\n\n"
        pipe.write_text("go")
        (end,) = events_in((await client.rest()).decode())
        assert end.data["text"] == "go"


# --- who waits, and who leaves --------------------------------------------------------------------------------------------


@asynccontextmanager
async def halfway(pipe: Path) -> AsyncGenerator[None]:
    """Within, a run is in the middle of its work, waiting for what comes through the pipe."""
    descriptor = await anyio.to_thread.run_sync(os.open, pipe, os.O_WRONLY)  # until somebody reads from it
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.mark.anyio
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_leaves_takes_the_run_along(app: Service, caller: httpx.AsyncClient, pipe: Path, accept: str) -> None:
    pid = await pid_of(caller)
    async with Caller(app, "/waiting", {"path": str(pipe)}, accept) as client, halfway(pipe):
        client.leave()
        await client.task
        await eventually(lambda: has_ended(pid), "the child goes on")
    assert await pid_of(caller) != pid


@pytest.mark.anyio
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_leaves_the_queue_makes_room(app: Service, caller: httpx.AsyncClient, pipe: Path, accept: str) -> None:
    pid = await pid_of(caller)
    async with Caller(app, "/waiting", {"path": str(pipe)}, "application/json") as first:
        async with halfway(pipe):
            for _ in range(3):
                async with Caller(app, "/telling", {}, accept) as second:
                    await eventually(lambda: app.state.pool.full("training"), "the second does not wait")
                    answer = await caller.post("/telling", json={})
                    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                    assert "training" in problem_of(answer)["detail"]
                    second.leave()
                    await second.task
                    await eventually(lambda: not app.state.pool.full("training"), "who has left still waits")
        assert json.loads(await first.rest())["pid"] == pid
    assert (first.status, await pid_of(caller)) == (200, pid)


@pytest.mark.anyio
async def test_who_waits_has_a_turn(app: Service, caller: httpx.AsyncClient, pipe: Path) -> None:
    pid = await pid_of(caller)
    async with Caller(app, "/waiting", {"path": str(pipe)}) as first, Caller(app, "/telling", {}) as second:
        await first.chunk()
        assert second.status == 0
        pipe.write_text("")
        assert [event.data["pid"] for event in events_in((await second.rest()).decode())] == [pid, pid]


@pytest.mark.anyio
async def test_who_does_not_read_does_not_keep_the_others_waiting(app: Service, caller: httpx.AsyncClient) -> None:
    async with Caller(app, "/telling", {"number": 50_000}) as client:
        client.stop_reading()
        assert (await caller.post("/telling", json={"number": 1})).json()["number"] == 1


@pytest.mark.anyio
async def test_as_many_runs_at_a_time_as_there_may_be(tmp_path: Path) -> None:
    pipes = [tmp_path / str(number) for number in range(2)]
    async with running(training_processes=2) as app:
        for pipe in pipes:
            os.mkfifo(pipe)
        async with (
            Caller(app, "/waiting", {"path": str(pipes[0])}) as first,
            Caller(app, "/waiting", {"path": str(pipes[1])}) as second,
            Caller(app, "/telling", {}) as third,
        ):
            starts = [events_in((await caller.chunk()).decode())[0].data["pid"] for caller in (first, second)]
            assert len(set(starts)) == 2
            assert third.status == 0
            pipes[1].write_text("")
            start, _ = events_in((await third.rest()).decode())
            assert start.data == {"pid": starts[1]}
            pipes[0].write_text("")
            await first.rest()


@pytest.mark.anyio
async def test_the_end_of_runs_is_told_to_who_runs_and_who_waits(pipe: Path) -> None:
    async with running() as app:
        first = Caller(app, "/waiting", {"path": str(pipe)})
        second, third, late = (Caller(app, "/telling", {}, accept) for accept in ("application/json", "text/event-stream", ""))
        async with first, second, third, halfway(pipe):
            (start,) = events_in((await first.chunk()).decode())
            app.state.pool.stop("training")
            assert [event.name for event in events_in((await first.rest()).decode())] == ["error", "end"]
            for waiting in (second, third):
                assert strictly((await waiting.rest()).decode())["code"] == "shutting_down"
                assert waiting.status == 503
            await eventually(lambda: has_ended(start.data["pid"]), "the process goes on")
        async with late:
            await late.rest()
        assert late.status == 503


# --- JSON or a stream -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", False),
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream, */*", True),
        ("text/*", True),
        ("application/json, text/event-stream;q=0.5", False),
        ("application/json;q=0.5, text/event-stream", True),
        ("text/event-stream;q=0.5, application/json;q=0.9", False),
        ("application/json, text/event-stream", False),
        ("text/event-stream, application/json", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=0, */*", False),
        ("application/json;q=0, text/event-stream;q=0.1", True),
        ("text/event-stream;q=high", True),
        ("application/text/event-stream", False),
        (", ;q=,", False),
    ],
)
def test_what_a_client_prefers(accept: str, streamed: bool) -> None:
    assert prefers_events(accept) is streamed


@pytest.mark.anyio
async def test_the_answer_is_of_the_preferred_type(caller: httpx.AsyncClient) -> None:
    for accept, found in (
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("application/json;q=0.2, text/event-stream;q=0.5", "text/event-stream"),
    ):
        response = await caller.post("/telling", json={}, headers={"accept": accept})
        assert response.headers["content-type"].partition(";")[0] == found
    response = await caller.post(
        "/telling", json={}, headers=[("accept", "application/json;q=0.5"), ("accept", "text/event-stream")]
    )
    assert response.headers["content-type"].startswith("text/event-stream")


# --- a real server, and a real training -------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
LONG: dict[str, Any] = {
    "data": {"inputs": RNG.normal(size=(400, 3)).round(3).tolist(), "targets": RNG.normal(size=400).round(3).tolist()},
    "loss": "huber",
    "model": {"name": "mlp", "hidden": [64]},
    "batch_size": 1,
    "epochs": 10_000,
}
SHORT = {**LONG, "epochs": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("runs")
    with serving(folder, training_processes=1, training_seconds=PATIENCE, large_body_bytes=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def post(server: Server, document: Any, **headers: str) -> httpx.Response:
    return server.ask("POST", "/v1/train", json=document, headers=headers)


@contextmanager
def streaming(server: Server, document: Any) -> Iterator[Iterator[str]]:
    with server.client() as client, client.stream("POST", "/v1/train", json=document, headers=STREAM) as response:
        assert response.status_code == 200
        yield response.iter_text()


def bare(answer: Any) -> Any:
    """The answer without what differs from run to run."""
    if isinstance(answer, dict):
        return {key: bare(value) for key, value in answer.items() if key != "seconds"}
    return [bare(value) for value in answer] if isinstance(answer, list) else answer


def test_the_same_run_in_another_process_has_the_same_bits(server: Server) -> None:
    document = {**SHORT, "model": {"name": "mlp", "dropout": 0.2}, "outputs": ["parameters", "predictions", "per_sample"]}
    here = post(server, document).json()
    (pid,) = pool_of(server)
    assert bare(post(server, document).json()) == bare(here)
    assert pool_of(server) == [pid]
    os.kill(pid, signal.SIGKILL)
    poll(lambda: has_ended(pid), "it does not end")
    assert bare(post(server, document).json()) == bare(here)
    assert pool_of(server) != [pid]


def test_epochs_come_as_they_are_over_and_others_are_answered_meanwhile(server: Server) -> None:
    with streaming(server, LONG) as chunks:
        text = ""
        while text.count("event: epoch") < 3:
            text += next(chunks)
            assert "event: end" not in text
        for _ in range(20):
            assert server.ask("POST", "/v1/evaluate", json=TINY).json()["value"] == 0.5
        while text.count("event: epoch") < 10:
            text += next(chunks)
        (pid,) = pool_of(server)
    events = events_in(text[: text.rindex("\n\n") + 2])
    assert [event.id for event in events[1:]] == [str(number) for number in range(1, len(events))]
    poll(lambda: has_ended(pid), "the child goes on without its client")
    assert post(server, SHORT).status_code == 200


def test_who_goes_away_without_a_word_ends_the_run(server: Server) -> None:
    body = json.dumps(LONG).encode()
    head = f"POST /v1/train HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    assert post(server, SHORT).status_code == 200
    poll(lambda: len(pool_of(server)) == 1, "there is not one process")
    (pid,) = pool_of(server)
    used = processor_time(pid)
    with server.connect() as connection:
        connection.sendall(head.encode() + body)
        poll(lambda: processor_time(pid) > used + 0.1, "the run does not begin")
        assert not has_ended(pid)
    poll(lambda: has_ended(pid), "the child goes on without its client")
    assert post(server, SHORT).status_code == 200
    assert '"exception"' not in server.log.read_text()


def test_bodies_packed_and_large(server: Server) -> None:
    short = bare(post(server, SHORT).json())
    packed = gzip.compress(json.dumps(SHORT).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    response = server.ask("POST", "/v1/train", content=packed, headers=headers)
    assert bare(response.json()) == short
    large = json.dumps(SHORT).encode() + b" " * 5_000_000
    response = server.ask("POST", "/v1/train", content=large, headers={"content-type": "application/json"})
    assert bare(response.json()) == short


def test_sigterm_ends_runs_streams_and_who_waits(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with serving(tmp_path, training_seconds=PATIENCE, shutdown_seconds=PATIENCE) as running, streaming(running, LONG) as chunks:
        text = next(chunks)
        waiting = [pool.submit(post, running, LONG, accept=accept) for accept in ("application/json", "text/event-stream")]
        pids = pool_of(running)
        assert len(pids) == 1
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        text += "".join(chunks)
        assert running.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < PATIENCE / 4  # it does not wait for anybody's run
        assert [event.name for event in events_in(text)[-2:]] == ["error", "end"]
        for answer in waiting:
            failed = answer.exception(PATIENCE)  # it may not have come so far as to be waiting
            assert isinstance(failed, httpx.TransportError) or answer.result().status_code == 503
        assert all(map(has_ended, pids))
        assert '"exception"' not in running.log.read_text()


def test_sigkill_of_the_server_ends_its_runs(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with serving(tmp_path, training_seconds=10 * PATIENCE) as running:
        assert post(running, SHORT).status_code == 200
        (pid,) = pool_of(running)
        used = processor_time(pid)
        answer = pool.submit(post, running, LONG)
        poll(lambda: processor_time(pid) > used + 0.1, "the run does not begin")
        running.process.kill()
        running.process.wait(PATIENCE)
        poll(lambda: has_ended(pid), "the child goes on without its server")
        assert isinstance(answer.exception(PATIENCE), httpx.TransportError)
