"""Idempotency-Key: the first answer again, to whom and for how long; and when a key is free."""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.api.calls import CALLS
from app.jobs.database import open_database
from app.jobs.idempotency import HELD_SECONDS, Answers, Claim, Kept, digest_of
from app.jobs.store import New, Store
from app.main import create_app
from app.serving.call import IDEMPOTENCY_KEY
from app.serving.pipeline import Service
from app.settings import Settings
from tests.api.problem import problem_of
from tests.conftest import client_of
from tests.serving.calls import RUNS
from tests.serving.keyed import Made
from tests.serving.streams import Caller, events_in

pytestmark = pytest.mark.anyio

TINY = {"data": {"inputs": [[1], [2], [3]], "targets": [1, 2, 3]}, "loss": "mse", "epochs": 1}
STREAM = {"accept": "text/event-stream"}


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Service, httpx.AsyncClient]]:
    app = create_app(Settings(data_dir=folder, **settings), (*CALLS, *RUNS))
    async with client_of(app) as client:
        yield app, client
    if app.state.jobs:
        app.state.jobs.close()


MADE = Made()
for name in ("a", "b"):
    MADE.add(name, "train", "jobs", "evaluate")
MADE.add("a again", "train", label="a")


@pytest.fixture(scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncGenerator[tuple[Service, httpx.AsyncClient]]:
    async with serving(tmp_path_factory.mktemp("idempotency"), training_processes=2, keys=SecretStr(MADE.text)) as served:
        yield served


@pytest.fixture
def client(served: tuple[Service, httpx.AsyncClient]) -> httpx.AsyncClient:
    return served[1]


def keyed(request: pytest.FixtureRequest | str) -> dict[str, str]:
    """A key of a test's own."""
    return {"idempotency-key": request if isinstance(request, str) else request.node.name}


async def test_the_first_answer_comes_again(client: httpx.AsyncClient, request: pytest.FixtureRequest) -> None:
    task, head = {"number": 2, "text": "ä" * 100_000, "times": 5}, keyed(request)
    first = await client.post("/telling", json=task, headers=head)
    again = await client.post("/telling", json=task, headers=head)
    assert (first.status_code, again.status_code) == (200, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content, "the process that worked on it is named in it"
    assert again.headers["content-type"] == first.headers["content-type"]
    other = await client.post("/telling", json=task, headers={"idempotency-key": "another"})
    assert "idempotency-replayed" not in other.headers


async def test_a_body_is_the_same_however_it_is_packed(client: httpx.AsyncClient, request: pytest.FixtureRequest) -> None:
    body, head = json.dumps({"text": "x"}).encode(), {**keyed(request), "content-type": "application/json"}
    first = await client.post("/telling", content=body, headers=head)
    packed = await client.post("/telling", content=gzip.compress(body), headers={**head, "content-encoding": "gzip"})
    assert (packed.headers["idempotency-replayed"], packed.content) == ("true", first.content)


async def test_another_request_takes_another_key(client: httpx.AsyncClient, request: pytest.FixtureRequest) -> None:
    head = keyed(request)
    assert (await client.post("/telling", json={"text": "x"}, headers=head)).status_code == 200
    for path, task in (("/telling", {"text": "y"}), ("/waiting", {"text": "x"})):
        problem = problem_of(await client.post(path, json=task, headers=head))
        assert problem["code"] == "idempotency_key_reused"
    head |= MADE.head("a")
    assert (await client.post("/v1/train", json=TINY, headers=head)).status_code == 200
    job = {"kind": "evaluate", "request": {"loss": "mse", "predictions": [1], "targets": [2]}}
    for path, document in (("/v1/train", {"epochs": -1}), ("/v1/train/compare", TINY), ("/v1/jobs", job)):
        problem = problem_of(await client.post(path, json=document, headers=head))
        assert problem["code"] == "idempotency_key_reused"


async def test_a_stream_comes_again_as_a_stream(client: httpx.AsyncClient, request: pytest.FixtureRequest) -> None:
    task, head = {"number": 3, "text": "x" * 50_000}, {**keyed(request), **STREAM}
    first = await client.post("/telling", json=task, headers=head)
    again = await client.post("/telling", json=task, headers=head)
    assert first.headers["content-type"].startswith("text/event-stream")
    assert (again.headers["idempotency-replayed"], again.text) == ("true", first.text)
    assert again.headers["content-type"] == first.headers["content-type"]
    for had in (1, 2, 3):
        rest = await client.post("/telling", json=task, headers={**head, "last-event-id": str(had)})
        assert events_in(rest.text) == events_in(first.text)[had + 1 :]
    ended = await client.post("/telling", json=task, headers={**head, "last-event-id": "end"})
    assert ended.status_code == 204


async def test_a_key_is_in_use_while_its_request_is_answered(
    served: tuple[Service, httpx.AsyncClient], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    app, client = served
    pipe, head = tmp_path / "pipe", keyed(request)
    os.mkfifo(pipe)
    task = {"path": str(pipe)}
    async with Caller(app, "/waiting", task, headers_sent=head) as caller:
        await caller.chunk()  # `start`: it runs
        body = json.dumps(task)
        problem = problem_of(await client.post("/waiting", content=body, headers=head))
        assert problem["code"] == "idempotency_key_in_use"
        await asyncio.to_thread(pipe.write_text, "go on")
        rest = await caller.rest()
    again = await client.post("/waiting", content=body, headers=head)
    assert (again.headers["idempotency-replayed"], again.content.endswith(rest)) == ("true", True)


async def test_who_leaves_and_what_fails_leave_the_key_free(
    served: tuple[Service, httpx.AsyncClient], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    app, client = served
    pipe, head = tmp_path / "pipe", keyed(request)
    os.mkfifo(pipe)
    async with Caller(app, "/waiting", {"path": str(pipe)}, headers_sent=head) as caller:
        await caller.chunk()
    assert (await client.post("/telling", json={}, headers=head)).status_code == 200
    for path, accept in (("refusing", STREAM), ("failing", {}), ("suicidal", {}), ("suicidal", STREAM), ("telling", {})):
        own = {**keyed(f"{request.node.name} {path}"), **accept}
        task = {"number": -1} if path == "telling" else {}
        for _ in range(2):
            answer = await client.post(f"/{path}", json=task, headers=own)
            assert "idempotency-replayed" not in answer.headers
            assert answer.status_code != 409


async def test_a_key_belongs_to_a_name(client: httpx.AsyncClient, request: pytest.FixtureRequest) -> None:
    answers = [
        await client.post("/v1/train", json=TINY, headers={**keyed(request), **MADE.head(name)}) for name in ("a", "b", "a again")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, False, True]


async def test_what_a_key_may_be(client: httpx.AsyncClient) -> None:
    rules = {
        "": "at least 1 character",
        "x" * 256: "at most 255 characters",
        "ä": "be printable characters of ASCII",
        "\t-": "ASCII",
    }
    for key, rule in rules.items():
        head = [(b"idempotency-key", key.encode("latin-1"))]
        problem = problem_of(await client.post("/telling", json={}, headers=head))
        assert [fault["pointer"] for fault in problem["errors"]] == ["/idempotency_key"]
        assert rule in problem["detail"]
    for key in ("x" * 255, "~ !"):
        assert (await client.post("/telling", json={}, headers={"idempotency-key": key})).status_code == 200


async def test_a_server_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", engine_url="none") as (_, client):
        problem = problem_of(await client.post("/telling", json={}, headers=keyed("nightly 1")))
        assert "leave Idempotency-Key out" in problem["detail"]
    assert not (tmp_path / "data").exists()


async def test_an_answer_that_cannot_be_kept_is_given(
    served: tuple[Service, httpx.AsyncClient], request: pytest.FixtureRequest
) -> None:
    app, client = served
    assert app.state.jobs
    task, head = {"number": 1, "text": "x" * 300_000}, keyed(request)
    with app.state.jobs.store.database.transaction() as execute:
        ((pages,),) = execute("PRAGMA page_count")
        execute(f"PRAGMA max_page_count = {pages + 10}")  # as if the disk were full
    # what could not be written has the database opened anew, without that limit
    answers = [await client.post("/telling", json=task, headers=head) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, False, True]


def test_every_run_takes_a_key() -> None:
    taking = {call.name for call in CALLS if IDEMPOTENCY_KEY in call.parameters}
    assert taking == {call.name for call in CALLS if call.lane == "training"} | {"submit_job"}


# --- what is kept, and how long -----------------------------------------------------------------------------------------


class Clock:
    """The time of the database's questions, as a test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1e9
        monkeypatch.setattr("time.time", lambda: self.now)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = Store(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"), limit=10, retention=60.0)
    yield store
    store.database.close()


def kept(answers: Answers, digest: str = "d") -> Kept:
    held = answers.begin("ci", "key", digest)
    assert isinstance(held, Claim)
    answers.write(held, 0, b"one")
    answers.write(held, 1, b"two")
    answers.keep(held, "application/json")
    found = answers.begin("ci", "key", digest)
    assert isinstance(found, Kept)
    return found


def test_an_answer_is_forgotten_after_its_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    found = kept(store.answers)
    assert [*store.answers.pieces(found)] == [b"one", b"two"]
    clock.now += 59
    assert isinstance(store.answers.begin("ci", "key", "d"), Kept)
    clock.now += 2
    assert isinstance(store.answers.begin("ci", "key", "other"), Claim)
    assert [*store.answers.pieces(found)] == []


def test_a_key_whose_server_has_died_is_free_after_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    held = store.answers.begin("ci", "key", "d")
    assert isinstance(held, Claim)
    clock.now += HELD_SECONDS - 1
    store.answers.hold(held)
    clock.now += HELD_SECONDS - 1
    with pytest.raises(Exception, match="still being answered"):
        store.answers.begin("ci", "key", "d")
    clock.now += 2
    other = store.answers.begin("ci", "key", "d")
    assert isinstance(other, Claim)
    store.answers.keep(held, "application/json")  # the first was stopped, and goes on
    with pytest.raises(Exception, match="still being answered"):
        store.answers.begin("ci", "key", "d")
    store.answers.release(held)
    store.answers.keep(other, "application/json")
    assert isinstance(store.answers.begin("ci", "key", "d"), Kept)


def test_the_key_of_a_job_that_has_expired_is_free(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    new = New("evaluate", 0, 1, "partitions", b"{}")
    first, _ = store.submit(new, "", "key")
    assert store.submit(new, "", "key")[0].job.id == first.job.id
    store.cancel(first.job.id, "")
    clock.now += 61
    second, replayed = store.submit(new, "", "key")
    assert (second.job.id != first.job.id, replayed) == (True, False)


def test_pieces_make_one_body() -> None:
    assert digest_of("train", [b"ab", b"c"]) == digest_of("train", [b"abc"]) != digest_of("compare_runs", [b"abc"])
