"""Large bodies in processes of their own: the same answers, the same errors, and nothing left behind when something dies."""

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.calls import CALLS
from app.api.examples import EXAMPLES
from app.main import create_app
from app.settings import Settings
from app.wire.json import encode
from tests.api.problem import problem_of
from tests.conftest import Server, client_of, client_with, serving
from tests.processes import PATIENCE, eventually, halted, has_ended, memory, poll, pool_of, template_of
from tests.serving.calls import BROKEN

LARGE = 2000
"""Bytes from which the servers of these tests hand a body to a process."""


def worker_of(server: Server) -> int:
    """The process that takes the next large request."""
    poll(lambda: len(pool_of(server)) == 1, "there is not one process")
    return pool_of(server)[0]


def shared_memory_of(server: Server) -> int:
    """Bytes that are in use of what a server shares with its processes."""
    return sum(blocks * 512 for name, blocks in _files(server) if "memfd:criterion" in name)


def _files(server: Server) -> Iterator[tuple[str, int]]:
    """What a server has open, and how many blocks of it are in use."""
    for descriptor in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(descriptor), descriptor.stat().st_blocks


def request(n: int, loss: str = "huber", seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return encode({"loss": loss, "predictions": rng.normal(size=n), "targets": rng.normal(size=n)})


TINY = request(3)
MEDIUM = request(500)


def post(server: Server, body: bytes, path: str = "/v1/evaluate") -> httpx.Response:
    return server.ask("POST", path, content=body)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One large request at a time, and no room for another to wait."""
    folder = tmp_path_factory.mktemp("workers")
    with serving(folder, large_body_bytes=LARGE, large_workers=1, large_waiting=0, threads=2) as running:
        assert post(running, MEDIUM).status_code == 200
        yield running


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def is_working(server: Server) -> bool:
    """Whether a large request is under way: with the one at work, another may wait, and no more."""
    return server.ask("GET", "/health/ready").status_code == 503


# --- the same answers -------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(4)

ANSWERED: dict[str, Any] = {
    **{name: example["value"] for name, example in EXAMPLES.items()},
    "many rows": {
        "loss": "CrossEntropyLoss",
        "predictions": RNG.normal(size=(3000, 20)).tolist(),
        "targets": RNG.integers(0, 20, 3000).tolist(),
        "sample_weight": RNG.uniform(0, 2, 3000).tolist(),
    },
    "many numbers": {"loss": "mse", "predictions": RNG.normal(size=90_000).tolist(), "targets": RNG.normal(size=90_000).tolist()},
    "wide rows": {
        "loss": "huber",
        "predictions": RNG.normal(size=(20, 900)).tolist(),
        "targets": RNG.normal(size=(20, 900)).tolist(),
    },
    "a pole": {"loss": "binary_cross_entropy", "predictions": [0.0, 0.5] * 300, "targets": [1, 0] * 300},
    "σ in it": {"loss": "mse", "predictions": [1, 2], "targets": [1, 2], "outputs": ["value"]},
}

REFUSED: dict[str, bytes] = {
    "no JSON": b"{" * 3000,
    "not UTF-8": b'{"loss": "\xff"}' + b" " * 3000,
    "empty": b"",
    "a list": b"[1, 2, 3]",
    "a NaN": request(400).replace(b"[", b"[NaN,", 1),
    "a string among numbers": request(400).replace(b"[", b'["1",', 1),
    "shapes that do not agree": request(400).replace(b"[", b"[1,", 1),
    "ragged rows": b'{"loss": "mse", "predictions": [[1, 2], [3]], "targets": [[1, 2], [3, 4]]}',
    "an unknown loss": request(400, "hubber"),
    "an unknown field": request(400)[:-1] + b', "loss_name": "mse"}',
    "a parameter out of bounds": b'{"loss": {"name": "huber", "delta": -1}, "predictions": [1], "targets": [2]}',
    "two parameters": b'{"loss": {"name": "huber", "delta": "x", "b": 1}, "predictions": [1], "targets": [2]}',
    "thirty bad labels": json.dumps({"loss": "hinge", "predictions": [0.5] * 30, "targets": [7] * 30}).encode(),
}


@pytest.mark.anyio
async def test_answer_of_a_process_is_that_of_the_service_itself_to_the_byte(inline_client: httpx.AsyncClient) -> None:
    async with client_with(large_body_bytes=0, large_workers=2, threads=3) as elsewhere:

        async def both(path: str, **body: Any) -> list[httpx.Response]:
            return [await client.post(path, **body) for client in (inline_client, elsewhere)]

        for what, document in ANSWERED.items():
            here, there = await both("/v1/evaluate", json=document)
            assert here.status_code == there.status_code == 200, what
            assert here.content == there.content, what
            assert here.headers["content-type"] == there.headers["content-type"]
        for what, body in REFUSED.items():
            here, there = await both("/v1/evaluate", content=body)
            assert problem_of(here) == problem_of(there), what
            assert here.status_code in (400, 422)
            assert problem_of(here)["errors"] or here.status_code == 400
        for name in ("mse", "no_such_loss"):
            for body in (b'{"inputs": []}', TENSORS, TENSORS.replace(b"FP64", b"FP99")):
                here, there = await both(f"/v2/models/{name}/infer", content=body)
                assert (here.status_code, here.content) == (there.status_code, there.content)


TENSORS = json.dumps(
    {"inputs": [{"name": name, "datatype": "FP64", "shape": [2], "data": [1.0, 0.5]} for name in ("predictions", "targets")]}
).encode()


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_killed_process_is_503_and_the_next_request_works(server: Server, pool: ThreadPoolExecutor) -> None:
    for path, body in (("/v1/evaluate", MEDIUM), ("/v2/models/mse/infer", TENSORS.ljust(LARGE))):
        worker = worker_of(server)
        with halted(worker):
            answer = pool.submit(post, server, body, path)
            poll(lambda: is_working(server), "the request does not reach the process")
            assert post(server, TINY).status_code == 200
            os.kill(worker, signal.SIGKILL)
            response = answer.result(PATIENCE)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        if path.startswith("/v1"):
            assert problem_of(response)["code"] == "unavailable"
        else:
            assert response.json().keys() == {"error"}
        assert post(server, body, path).status_code == 200
        assert has_ended(worker)
        assert worker_of(server) != worker
    assert '"exception"' not in server.log.read_text()


def test_process_that_died_in_its_sleep_is_not_missed(server: Server) -> None:
    assert post(server, MEDIUM).status_code == 200  # it is awake, and not still being made
    worker = worker_of(server)
    os.kill(worker, signal.SIGKILL)
    poll(lambda: has_ended(worker), "the process does not end")
    assert post(server, MEDIUM).status_code == 200


def test_one_request_too_many_is_503_before_its_body_is_read(server: Server, pool: ThreadPoolExecutor) -> None:
    with halted(worker_of(server)):
        answer = pool.submit(post, server, MEDIUM)
        poll(lambda: is_working(server), "the request does not reach the process")
        with server.connect() as connection:
            connection.sendall(f"POST /v1/evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n".encode())
            refused = connection.recv(65536).decode()
            while '"errors"' not in refused:
                more = connection.recv(65536)
                assert more
                refused += more.decode()
        assert refused.startswith("HTTP/1.1 503")
        assert "retry-after: 1" in refused
        assert "unavailable" in refused
        assert post(server, TINY).status_code == 200
        assert not answer.done()
    assert answer.result(PATIENCE).status_code == 200


@pytest.mark.parametrize("told", ["the whole body", "half of it"])
def test_caller_who_leaves_harms_nobody(server: Server, told: str) -> None:
    head = f"POST /v1/evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(MEDIUM)}\r\n\r\n".encode()
    with halted(worker_of(server)) as (worker,):
        with server.connect() as connection:
            connection.sendall(head + (MEDIUM if told == "the whole body" else MEDIUM[: len(MEDIUM) // 2]))
            if told == "the whole body":
                poll(lambda: is_working(server), "the request does not reach the process")
        poll(lambda: not is_working(server), "the work goes on without its caller")
        assert post(server, TINY).status_code == 200
        if told == "the whole body":
            poll(lambda: has_ended(worker), "the process goes on without the caller")
        else:
            assert not has_ended(worker)
    assert post(server, MEDIUM).status_code == 200
    log = server.log.read_text()
    assert '"exception"' not in log
    assert '"level":"error"' not in log


def test_tiny_requests_are_answered_while_a_large_one_is_worked_on(server: Server, pool: ThreadPoolExecutor) -> None:
    body = request(520_000)
    assert len(body) > 20_000_000
    tiny = 0
    answer = pool.submit(post, server, body)
    with server.client() as caller:
        while not answer.done():
            assert caller.post("/v1/evaluate", content=TINY).status_code == 200
            tiny += not answer.done()
        assert answer.result().status_code == 200
        assert tiny > 0
        with halted(worker_of(server)):  # however long it takes
            answer = pool.submit(post, server, body)
            poll(lambda: is_working(server), "the request does not reach the process")
            for _ in range(20):
                assert caller.post("/v1/evaluate", content=TINY).status_code == 200
            assert not answer.done()
        assert answer.result(PATIENCE).status_code == 200


def test_memory_of_a_large_request_is_bounded(server: Server) -> None:
    """A few times the body, the answer and what both processes map included."""
    body = request(520_000)
    processes = {"server": server.process.pid, "worker": worker_of(server)}
    before = {name: memory(pid, "VmRSS") for name, pid in processes.items()}
    for pid in processes.values():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak so far
    response = post(server, body)
    assert response.status_code == 200
    assert len(response.content) < 1.2 * len(body)
    grown = {name: (memory(pid, "VmHWM") - before[name]) / len(body) for name, pid in processes.items()}
    assert grown["server"] < 3
    assert grown["worker"] < 8


@pytest.mark.thorough
def test_shared_memory_is_given_back(server: Server) -> None:
    ones = b"1," * 600_000
    body = b'{"loss": "mse", "predictions": [' + ones + b'3], "targets": [' + ones + b"1]" + b" " * 40_000_000 + b"}"
    assert post(server, body).status_code == 200
    assert post(server, body.replace(b'"mse"', b'"msx"')).status_code == 422
    poll(lambda: shared_memory_of(server) < 1_000_000, "the memory is kept")
    assert post(server, MEDIUM).status_code == 200


@pytest.mark.anyio
async def test_more_memory_than_a_large_request_may_have_is_refused_with_the_number() -> None:
    async with client_with(large_memory_bytes=64 * 1024**2) as client:
        response = await client.post("/v1/evaluate", content=request(1_500_000))
        assert response.status_code == 422
        (fault,) = problem_of(response)["errors"]
        assert fault["code"] == "limit"
        assert str(64 * 1024**2) in fault["message"]
        assert (await client.post("/v1/evaluate", content=request(100_000))).status_code == 200


def test_work_that_takes_too_long_is_ended(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with serving(tmp_path, large_body_bytes=LARGE, large_seconds=0.5) as server:
        with halted(worker_of(server)) as (worker,):
            response = post(server, MEDIUM)
            assert response.status_code == 503
            assert "0.5 seconds" in problem_of(response)["detail"]
            poll(lambda: has_ended(worker), "the process goes on")
        assert post(server, MEDIUM).status_code == 200


def test_bodies_beyond_the_budget_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with serving(tmp_path, memory_bytes=1_000_000) as server:
        with server.connect() as slow:
            slow.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{")
            poll(lambda: post(server, MEDIUM.ljust(200_000)).status_code == 503, "what is announced does not count")
            response = post(server, MEDIUM.ljust(200_000))
            assert "900000" in problem_of(response)["detail"]
            assert post(server, TINY).status_code == 200
        poll(lambda: post(server, MEDIUM.ljust(200_000)).status_code == 200, "who has left still counts")


# --- the end ----------------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_large_request_end_and_then_the_processes(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with serving(tmp_path, large_body_bytes=LARGE, large_waiting=0, shutdown_seconds=20) as server:
        worker = worker_of(server)
        with halted(worker):
            answer = pool.submit(post, server, MEDIUM)
            poll(lambda: is_working(server), "the request does not reach a process")
            server.process.send_signal(signal.SIGTERM)
            poll(lambda: not _listens(server), "the server goes on listening")
            assert not answer.done()
        assert answer.result(PATIENCE).status_code == 200
        assert server.process.wait(PATIENCE) == 0
        assert has_ended(worker)
        assert '"exception"' not in server.log.read_text()


def _listens(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionError:
        return False
    return True


def test_sigterm_does_not_wait_for_ever(tmp_path: Path) -> None:
    """What is still open at the end of the grace is told so: a large request, and a body that is only half there."""
    with (
        serving(tmp_path, large_body_bytes=LARGE, large_waiting=0, shutdown_seconds=1) as server,
        ThreadPoolExecutor(1) as pool,
        server.connect() as half,
    ):
        worker = worker_of(server)
        with halted(worker):
            half.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            answer = pool.submit(post, server, MEDIUM)
            poll(lambda: is_working(server), "the request does not reach the process")
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(PATIENCE)
            poll(lambda: has_ended(worker), "the process is left behind")
        assert answer.result(PATIENCE).status_code == 503
        told = half.recv(65536)
        assert not told or (told.startswith(b"HTTP/1.1 503") and b"application/problem+json" in told)
        assert '"exception"' not in server.log.read_text()


def test_sigkill_of_the_server_ends_its_processes(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with serving(tmp_path, large_body_bytes=LARGE, large_waiting=0) as server:
        template, worker = template_of(server), worker_of(server)
        with halted(worker):
            answer = pool.submit(post, server, MEDIUM)
            poll(lambda: is_working(server), "the request does not reach a process")
            server.process.kill()
            server.process.wait(PATIENCE)
        poll(lambda: has_ended(worker) and has_ended(template), "processes have been left behind")
        assert isinstance(answer.exception(PATIENCE), httpx.TransportError)


# --- calls that fail, in a service of this process ------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def failing(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with broken calls, all of whose bodies go to a process."""
    async with client_of(create_app(Settings(large_body_bytes=0, threads=1), (*CALLS, *BROKEN))) as client:
        yield client


@pytest.mark.anyio
async def test_bug_in_a_process_is_500_and_says_nothing(failing: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = await failing.post("/buggy", json={"text": "xyzzy"}, headers={"x-request-id": "my-id"})
    assert answer.status_code == 500
    problem = problem_of(answer)
    assert problem["request_id"] == answer.headers["x-request-id"] == "my-id"
    assert problem["code"] == "internal_error"
    for word in ("division", "ZeroDivisionError", "xyzzy", "Traceback", "calls"):
        assert word not in answer.text
    await eventually(lambda: "my-id" in caplog.text, "it is not told")
    assert "ZeroDivisionError" in caplog.text
    assert "calls.py" in caplog.text  # the log has the place in the code that the process ran
    assert (await failing.post("/v1/evaluate", content=TINY)).status_code == 200


@pytest.mark.anyio
async def test_call_that_kills_its_process_is_503(failing: httpx.AsyncClient) -> None:
    answer = await failing.post("/deadly", json={})
    assert answer.status_code == 503
    assert problem_of(answer)["code"] == "unavailable"
    assert (await failing.post("/v1/evaluate", content=TINY)).status_code == 200
