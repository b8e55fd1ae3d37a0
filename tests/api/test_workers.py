"""Large bodies in worker processes: the same answers, the same errors, and nothing left behind when something dies."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
from fastapi import APIRouter

from app.api.examples import EXAMPLES
from app.api.route import JsonRoute
from app.api.workers import KEPT_BYTES, Workers
from app.errors import InvalidArray, Unavailable
from app.main import create_app
from app.settings import Settings
from app.wire.json import encode
from tests.api import jobs
from tests.api.problem import problem_of
from tests.conftest import Server, serving

PATIENCE = 60
"""Seconds until a test gives up waiting for what must happen."""
LARGE = 2000
"""Bytes from which the servers of these tests hand a body to a worker."""


def poll(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def state(pid: int) -> str:
    """The state of a process as Linux says it; "" where there is none, "Z" where it only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(pid: int) -> bool:
    return state(pid) in ("", "Z", "X")


def workers_of(server: Server) -> list[int]:
    """The process ids of a server's workers."""
    threads = Path(f"/proc/{server.process.pid}/task").iterdir()  # a child is listed with the thread that started it
    return [int(child) for each in threads for child in (each / "children").read_text().split()]


def shared_memory_of(server: Server) -> list[int]:
    """The sizes of the memory that a server shares with its workers."""
    return [size for name, size in _files(server) if "memfd:criterion" in name]


def _files(server: Server) -> Iterator[tuple[str, int]]:
    """What a server has open, and how large it is."""
    for each in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(each), each.stat().st_size


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """The process does not get on meanwhile; it must not notice."""
    os.kill(pid, signal.SIGSTOP)
    try:
        poll(lambda: state(pid) == "T", "the worker does not stop")
        yield
    finally:
        if not has_ended(pid):
            os.kill(pid, signal.SIGCONT)


def request(n: int, loss: str = "huber", seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return encode({"loss": loss, "predictions": rng.normal(size=n), "targets": rng.normal(size=n)})


TINY = request(3)
MEDIUM = request(500)


def post(server: Server, body: bytes, path: str = "/v1/evaluate") -> httpx.Response:
    return httpx.post(server.url + path, content=body, timeout=PATIENCE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker, and room for one request to wait for it."""
    folder = tmp_path_factory.mktemp("workers")
    with serving(folder, large_body_bytes=LARGE, large_workers=1, large_waiting=1, threads=2) as running:
        assert post(running, MEDIUM).status_code == 200
        yield running


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def larger_than_before(server: Server, body: bytes = MEDIUM) -> bytes:
    """The body with spaces behind it, so that it needs more shared memory than any before."""
    return body.ljust(max(LARGE, *shared_memory_of(server)) + 1)


def has_reached(server: Server, body: bytes) -> bool:
    """A body larger than those before it is in the memory that a worker sees."""
    return max(shared_memory_of(server)) >= len(body)


# --- the same answers -------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(4)

ANSWERED: dict[str, Any] = {
    **{name: each["value"] for name, each in EXAMPLES.items()},
    "many rows": {
        "loss": "CrossEntropyLoss", "predictions": RNG.normal(size=(3000, 20)).tolist(),
        "targets": RNG.integers(0, 20, 3000).tolist(), "sample_weight": RNG.uniform(0, 2, 3000).tolist(),
    },
    "many numbers": {"loss": "mse", "predictions": RNG.normal(size=90_000).tolist(), "targets": RNG.normal(size=90_000).tolist()},
    "wide rows": {
        "loss": "huber", "predictions": RNG.normal(size=(20, 900)).tolist(), "targets": RNG.normal(size=(20, 900)).tolist(),
    },
    "a pole": {"loss": "binary_cross_entropy", "predictions": [0.0, 0.5] * 300, "targets": [1, 0] * 300},
    "σ in it": {"loss": "mse", "predictions": [1, 2], "targets": [1, 2], "outputs": ["value"]},
}  # fmt: skip

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


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("inline"), large_body_bytes=2**40) as running:
        yield running


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that hands every body to a worker."""
    with serving(tmp_path_factory.mktemp("elsewhere"), large_body_bytes=0, large_workers=2, threads=3) as running:
        yield running


def test_answer_is_that_of_the_server_itself_to_the_byte(inline: Server, elsewhere: Server) -> None:
    with (
        httpx.Client(base_url=inline.url, timeout=PATIENCE) as one,
        httpx.Client(base_url=elsewhere.url, timeout=PATIENCE) as other,
    ):
        for what, document in ANSWERED.items():
            here, there = (caller.post("/v1/evaluate", json=document) for caller in (one, other))
            assert here.status_code == there.status_code == 200, what
            assert here.content == there.content, what
            assert here.headers["content-type"] == there.headers["content-type"]
        for what, body in REFUSED.items():
            here, there = (caller.post("/v1/evaluate", content=body) for caller in (one, other))
            assert problem_of(here) == problem_of(there), what
            assert here.status_code in (400, 422)
            assert problem_of(here)["errors"] or here.status_code == 400
        for name in ("mse", "no_such_loss"):
            for body in (b'{"inputs": []}', TENSORS, TENSORS.replace(b"FP64", b"FP99")):
                here, there = (caller.post(f"/v2/models/{name}/infer", content=body) for caller in (one, other))
                assert (here.status_code, here.content) == (there.status_code, there.content)
    assert len(workers_of(elsewhere)) in (1, 2)
    assert "Traceback" not in inline.log.read_text() + elsewhere.log.read_text()


TENSORS = json.dumps({
    "inputs": [{"name": name, "datatype": "FP64", "shape": [2], "data": [1.0, 0.5]} for name in ("predictions", "targets")]
}).encode()  # fmt: skip


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_killed_worker_is_503_and_the_next_request_works(server: Server, pool: ThreadPoolExecutor) -> None:
    for path, document in (("/v1/evaluate", MEDIUM), ("/v2/models/mse/infer", TENSORS)):
        (worker,) = workers_of(server)
        with halted(worker):
            body = larger_than_before(server, document)
            answer = pool.submit(post, server, body, path)
            poll(lambda body=body: has_reached(server, body), "the request does not reach the worker")
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
        assert len(workers_of(server)) == 1
        assert worker not in workers_of(server)
    assert "Traceback" not in server.log.read_text()


def test_worker_that_died_in_its_sleep_is_replaced(server: Server) -> None:
    (worker,) = workers_of(server)
    os.kill(worker, signal.SIGKILL)
    poll(lambda: has_ended(worker), "the worker does not end")
    assert post(server, MEDIUM).status_code in (200, 503)
    assert post(server, MEDIUM).status_code == 200


def test_one_request_too_many_is_503(server: Server, pool: ThreadPoolExecutor) -> None:
    (worker,) = workers_of(server)
    with halted(worker):
        answers = [pool.submit(post, server, MEDIUM) for _ in range(3)]
        done, waiting = wait(answers, PATIENCE, FIRST_COMPLETED)
        assert [each.result().status_code for each in done] == [503]
        (refused,) = (each.result() for each in done)
        assert refused.headers["retry-after"] == "1"
        problem = problem_of(refused)
        assert problem["code"] == "unavailable"
        assert "waiting" in problem["detail"]
        assert post(server, TINY).status_code == 200
        assert not any(each.done() for each in waiting)
    assert [each.result(PATIENCE).status_code for each in waiting] == [200, 200]
    assert post(server, MEDIUM).status_code == 200


@pytest.mark.parametrize("told", ["the whole body", "half of it"])
def test_caller_who_leaves_harms_nobody(server: Server, told: str) -> None:
    (worker,) = workers_of(server)
    head = f"POST /v1/evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(MEDIUM)}\r\n\r\n".encode()
    with halted(worker):
        for _ in range(2):
            with server.connect() as connection:
                connection.sendall(head + (MEDIUM if told == "the whole body" else MEDIUM[: len(MEDIUM) // 2]))
        assert post(server, TINY).status_code == 200
    # those who left may still be in the queue
    poll(lambda: post(server, MEDIUM).status_code == 200, "the worker is lost")
    assert workers_of(server) == [worker]
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_tiny_requests_are_answered_while_a_large_one_is_worked_on(server: Server, pool: ThreadPoolExecutor) -> None:
    body = request(520_000)
    assert len(body) > 20_000_000
    tiny = 0
    answer = pool.submit(post, server, body)
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as caller:
        while not answer.done():
            assert caller.post("/v1/evaluate", content=TINY).status_code == 200
            tiny += not answer.done()
        assert answer.result().status_code == 200
        assert tiny > 0
        (worker,) = workers_of(server)
        with halted(worker):  # however long it takes
            body = larger_than_before(server, body)
            answer = pool.submit(post, server, body)
            poll(lambda: has_reached(server, body), "the request does not reach the worker")
            for _ in range(20):
                assert caller.post("/v1/evaluate", content=TINY).status_code == 200
            assert not answer.done()
        assert answer.result(PATIENCE).status_code == 200


def test_memory_of_a_large_request_is_bounded(server: Server) -> None:
    """A few times the body, the answer and what both processes map included."""
    body = request(520_000)
    processes = {"server": server.process.pid, "worker": workers_of(server)[0]}
    before = {name: memory(pid, "VmRSS") for name, pid in processes.items()}
    for pid in processes.values():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak so far
    response = post(server, body)
    assert response.status_code == 200
    assert len(response.content) < 1.2 * len(body)
    grown = {name: (memory(pid, "VmHWM") - before[name]) / len(body) for name, pid in processes.items()}
    assert grown["server"] < 4
    assert grown["worker"] < 5.5


def memory(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


@pytest.mark.parametrize("well", [True, False], ids=["answered", "refused"])
def test_shared_memory_is_given_back(server: Server, well: bool) -> None:
    ones = b"1," * 600_000
    body = (
        b'{"loss": "mse", "predictions": [' + ones + b'3], "targets": [' + ones + b"1]" + b" " * (KEPT_BYTES - 1_000_000) + b"}"
    )
    assert KEPT_BYTES < len(body) < 64 * 1024 * 1024
    for _ in range(2):
        response = post(server, body if well else body.replace(b'"mse"', b'"msx"'))
        assert response.status_code == (200 if well else 422)
        poll(lambda: max(shared_memory_of(server)) <= KEPT_BYTES, "the memory is kept")
        assert post(server, MEDIUM).status_code == 200


def test_answer_larger_than_its_body_is_given_back_too(server: Server) -> None:
    predictions, targets = b"1,2,3,4,5," * 200_000, b"9,7,9,6,8," * 200_000
    body = b'{"loss": "log_cosh", "predictions": [' + predictions + b'3], "targets": [' + targets + b"1]}"
    response = post(server, body)
    assert response.status_code == 200
    assert len(response.content) > KEPT_BYTES > len(body)
    poll(lambda: max(shared_memory_of(server)) <= KEPT_BYTES, "the memory is kept")
    assert post(server, MEDIUM).status_code == 200


# --- the end ----------------------------------------------------------------------------------------------------------


@contextmanager
def short_lived(folder: Path, **more: object) -> Iterator[tuple[Server, list[int]]]:
    """A server with its workers started."""
    with serving(folder, large_body_bytes=LARGE, large_workers=2, shutdown_seconds=20, **more) as server:
        with ThreadPoolExecutor(4) as pool:
            while len(workers_of(server)) < 2:
                assert {each.status_code for each in pool.map(lambda _: post(server, MEDIUM), range(4))} == {200}
        yield server, workers_of(server)


def test_sigterm_lets_a_large_request_end_and_then_the_workers(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with short_lived(tmp_path) as (server, workers):
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        body = larger_than_before(server)
        answer = pool.submit(post, server, body)
        poll(lambda: has_reached(server, body), "the request does not reach a worker")
        server.process.send_signal(signal.SIGTERM)
        poll(lambda: not _listens(server), "the server goes on listening")
        assert not answer.done()
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        assert answer.result(PATIENCE).status_code == 200
        assert server.process.wait(PATIENCE) == 0
        assert all(map(has_ended, workers))
        assert "Traceback" not in server.log.read_text()


def _listens(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionError:
        return False
    return True


def test_sigterm_does_not_wait_for_ever(tmp_path: Path) -> None:
    with serving(tmp_path, large_body_bytes=LARGE, shutdown_seconds=0) as server, ThreadPoolExecutor(1) as pool:
        assert post(server, MEDIUM).status_code == 200
        (worker,) = workers_of(server)
        os.kill(worker, signal.SIGSTOP)
        body = larger_than_before(server)
        answer: Future[httpx.Response] = pool.submit(post, server, body)
        poll(lambda: has_reached(server, body), "the request does not reach the worker")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)
        assert has_ended(worker)
        assert answer.exception(PATIENCE) is not None or answer.result().status_code >= 500
        log = server.log.read_text()
        assert "ValueError" not in log
        assert "never retrieved" not in log


def test_sigkill_of_the_server_ends_its_workers(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with short_lived(tmp_path) as (server, workers):
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        body = larger_than_before(server)
        answer = pool.submit(post, server, body)
        poll(lambda: has_reached(server, body), "the request does not reach a worker")
        server.process.kill()
        server.process.wait(PATIENCE)
        for worker in workers:  # the busy one and the idle one
            os.kill(worker, signal.SIGCONT)
        poll(lambda: all(map(has_ended, workers)), "workers have been left behind")
        assert isinstance(answer.exception(PATIENCE), httpx.TransportError)


# --- endpoints that fail, in an application of this process -----------------------------------------------------------


@pytest.fixture(scope="module")
async def failing(anyio_backend: str) -> Any:
    """A client of an application with broken endpoints, all of whose bodies go to a worker."""
    app = create_app(Settings(large_body_bytes=0, threads=1))
    router = APIRouter(route_class=JsonRoute)
    router.post("/buggy")(jobs.buggy)
    router.post("/suicidal")(jobs.suicidal)
    app.router.routes[:0] = router.routes
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.anyio
async def test_bug_in_a_job_is_500_and_says_nothing(failing: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = await failing.post("/buggy", json={"secret": "xyzzy"}, headers={"x-request-id": "my-id"})
    assert answer.status_code == 500
    problem = problem_of(answer)
    assert problem["request_id"] == answer.headers["x-request-id"] == "my-id"
    assert problem["code"] == "internal_error"
    for word in ("division", "ZeroDivisionError", "xyzzy", "Traceback", "jobs"):
        assert word not in answer.text
    assert "my-id" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "jobs.py" in caplog.text  # the log has the place in the worker's code
    assert (await failing.post("/v1/evaluate", content=TINY)).status_code == 200


@pytest.mark.anyio
async def test_job_that_kills_its_process_is_503(failing: httpx.AsyncClient) -> None:
    answer = await failing.post("/suicidal", json={})
    assert answer.status_code == 503
    assert problem_of(answer)["code"] == "unavailable"
    assert (await failing.post("/v1/evaluate", content=TINY)).status_code == 200


# --- Workers themselves -----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_body_and_answer_pass_through_whole() -> None:
    with closing(Workers(count=1, threads=1, waiting=4)) as workers:
        for size in (0, 1, 4095, 4096, 4097, 3_000_000, 5, 40_000_000, 7):
            body = np.random.default_rng(size).bytes(size)
            for cut in (size or 1, 700_001):
                chunks = [body[at : at + cut] for at in range(0, size, cut)]
                assert await workers.run(jobs.reversed_body, chunks, {"note": size}) == ({"note": size}, body[::-1])


@pytest.mark.anyio
async def test_error_arrives_as_it_was_raised() -> None:
    with closing(Workers(count=1, threads=1, waiting=4)) as workers:
        with pytest.raises(InvalidArray) as caught:
            await workers.run(jobs.refused, [b"x" * 10])
        assert caught.value.detail == "10 bytes"
        assert [(each.pointer, each.code, each.message) for each in caught.value.faults] == [
            (f"/{at}", "code", f"message {at}") for at in range(3)
        ]
        with pytest.raises(Unavailable):
            await workers.run(jobs.ended, [b""])
        assert await workers.run(jobs.reversed_body, [b"ab"], None) == (None, b"ba")


@pytest.mark.anyio
async def test_as_many_processes_as_counted_and_one_job_each() -> None:
    with closing(Workers(count=2, threads=1, waiting=20)) as workers:
        seen: list[int] = []

        async def run() -> None:
            seen.append((await workers.run(jobs.process_id, [b"x"]))[0])

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(run)
        assert len(seen) == 12
        assert len(set(seen)) <= 2
    assert all(map(has_ended, seen))


@pytest.mark.anyio
async def test_job_whose_caller_gives_up_does_not_block_the_next() -> None:
    with closing(Workers(count=1, threads=1, waiting=4)) as workers:
        assert await workers.run(jobs.reversed_body, [b"ab"], None) == (None, b"ba")
        for _ in range(5):
            with anyio.move_on_after(0):
                await workers.run(jobs.reversed_body, [b"x" * 1_000_000], None)
            assert await workers.run(jobs.reversed_body, [b"cd"], 1) == (1, b"dc")


@pytest.mark.anyio
async def test_closing_during_a_job_is_quiet() -> None:
    workers = Workers(count=1, threads=1, waiting=4)
    pid, _ = await workers.run(jobs.process_id, [b""])
    os.kill(pid, signal.SIGSTOP)
    async with anyio.create_task_group() as group:

        async def run() -> None:
            with pytest.raises(Unavailable):
                await workers.run(jobs.reversed_body, [b"x" * (KEPT_BYTES + 1)], None)

        group.start_soon(run)
        with anyio.fail_after(PATIENCE):
            while not workers._started[0].bodies._map:
                await anyio.lowlevel.checkpoint()
        workers.close()
    assert has_ended(pid)
    workers.close()
