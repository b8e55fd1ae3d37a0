"""What a name may have: exactly, over all processes, and in turn."""

import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest
from pydantic import SecretStr

from app.api.evaluating import EVALUATE
from app.errors import QuotaExceeded
from app.main import create_app
from app.serving.keys import Quota
from app.serving.quotas import Account, Quotas
from app.serving.shared import SharedMemory
from app.serving.slots import Slots
from app.settings import Settings
from tests.conftest import client_of, client_with, serving
from tests.serving.calls import HELD
from tests.serving.keyed import BODY, Made
from tests.serving.test_pipeline import refusal_of

pytestmark = pytest.mark.anyio

MINUTE = {"requests": {"limit": 600, "seconds": 60}, "bytes": {"limit": 100_000_000, "seconds": 60}}
WORK = {"compute": {"limit": 30.0, "seconds": 60}}


class Clock:
    """A time that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def account(clock: Clock) -> Callable[..., Account]:
    quotas = Quotas(SharedMemory(Quotas.memory_bytes()), clock)
    return lambda name="ci", **quota: quotas.account(name, Quota.model_validate(quota))


def rate(response: httpx.Response) -> dict[str, tuple[int, int]]:
    """What is left and the seconds until more, by policy: an RFC 9651 List."""
    found = re.findall(r'"(\w+)";r=(\d+);t=(\d+)', response.headers["ratelimit"])
    assert response.headers["ratelimit"] == ", ".join(f'"{name}";r={r};t={t}' for name, r, t in found)
    return {name: (int(r), int(t)) for name, r, t in found}


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_limit_is_exact_and_comes_back_whole(account: Callable[..., Account], clock: Clock) -> None:
    quota = {"requests": {"limit": 3, "seconds": 10}}
    for _ in range(2):
        for waited in (0, 1, 2):
            clock.now += waited
            account(**quota).open(0, works=False)
        for _ in range(2):
            with pytest.raises(QuotaExceeded) as error:
                account(**quota).open(0, works=False)
            assert (error.value.violated, error.value.retry_after) == (("requests",), 7)
        clock.now += error.value.retry_after


def test_names_do_not_share(account: Callable[..., Account]) -> None:
    quota = {"requests": {"limit": 1, "seconds": 10}}
    account("a", **quota).open(0, works=False)
    account("b", **quota).open(0, works=False)
    with pytest.raises(QuotaExceeded):
        account("a", **quota).open(0, works=False)


def test_what_is_refused_for_one_limit_is_counted_for_none(account: Callable[..., Account]) -> None:
    quota = {"requests": {"limit": 2, "seconds": 10}, "bytes": {"limit": 100, "seconds": 60}}
    for _ in range(5):
        with pytest.raises(QuotaExceeded) as error:
            account(**quota).open(101, works=True)
        assert error.value.violated == ("bytes",)
    account(**quota).open(60, works=True)
    late = account(**quota)
    late.open(0, works=True)
    with pytest.raises(QuotaExceeded):
        late.receive(41)
    again = account(**quota)
    again.open(40, works=True)
    assert dict([again.fields()[1]]) == {b"ratelimit": b'"requests";r=0;t=10, "bytes";r=0;t=60'}


def test_compute_is_estimated_and_then_put_right(account: Callable[..., Account], clock: Clock) -> None:
    work = account(**WORK)
    work.open(10, works=True)
    work.begin(20e9)
    assert b'"compute";r=10000;t=60' in work.fields()[1][1]
    other = account(**WORK)
    other.open(10, works=True)
    with pytest.raises(QuotaExceeded, match="30 seconds of compute per 60 s") as error:
        other.begin(11e9)
    assert error.value.violated == ("compute",)
    clock.now += 2.5
    work.settle(10)
    assert b'"compute";r=27500;t=58' in work.fields()[1][1]
    work.settle(10)
    assert b'"compute";r=27500;t=58' in work.fields()[1][1]


def test_who_has_no_compute_left_may_still_look_around(account: Callable[..., Account], clock: Clock) -> None:
    work = account(**WORK)
    work.open(0, works=True)
    work.begin(30e9)
    account(**WORK).open(0, works=False)
    with pytest.raises(QuotaExceeded):
        account(**WORK).open(0, works=True)


# --- on the wire --------------------------------------------------------------------------------------------------------


@pytest.fixture
def made() -> Made:
    made = Made()
    made.add("ci", "evaluate", "train", quota={**MINUTE, **WORK})
    made.add("few", "evaluate", quota={"requests": {"limit": 2, "seconds": 100}})
    made.add("small", "evaluate", quota={"bytes": {"limit": 100, "seconds": 100}})
    made.add("busy", "evaluate", quota={"compute": {"limit": 1.0, "seconds": 100}})
    made.add("free", "evaluate")
    return made


@pytest.fixture
async def keyed(made: Made) -> AsyncIterator[httpx.AsyncClient]:
    async with client_with(keys=made.text) as client:
        yield client


async def test_every_answer_to_a_name_with_a_quota_says_what_is_left(made: Made, keyed: httpx.AsyncClient) -> None:
    response = await keyed.post("/v1/evaluate", content=BODY, headers=made.head("ci"))
    assert response.headers["ratelimit-policy"] == (
        '"requests";q=600;w=60, "bytes";q=100000000;qu="content-bytes";w=60, "compute";q=30000;qu="criterion-compute-ms";w=60'
    )
    left = rate(response)
    assert left["requests"] == (599, 60)
    assert left["bytes"] == (100_000_000 - len(BODY), 60)
    assert 29_900 <= left["compute"][0] <= 30_000
    for method, path, status in (("GET", "/v1/losses", 200), ("POST", "/v1/train?x", 422), ("GET", "/v1/losses/nothing", 404)):
        response = await keyed.request(method, path, headers=made.head("ci"))
        assert (response.status_code, "requests" in rate(response)) == (status, True)
    assert rate(response)["requests"][0] == 596
    for head in (made.head("free"), {}):
        assert "ratelimit" not in (await keyed.post("/v1/evaluate", content=BODY, headers=head)).headers


async def test_more_than_a_name_may_have_is_429(made: Made, keyed: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await keyed.post("/v1/evaluate", content=b"{", headers=made.head("few"))).status_code == 400
    for path in ("/v1/evaluate", "/v2/models/mse/infer"):
        response = await keyed.post(path, content=BODY, headers=made.head("few"))
        assert response.status_code == 429
        assert 95 <= int(response.headers["retry-after"]) <= 100
        assert rate(response)["requests"][0] == 0
        body = refusal_of(response, path)
    response = await keyed.get("/v1/losses", headers=made.head("few"))
    body = refusal_of(response, "/v1/losses")
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (body["title"], body["status"], body["code"], body["errors"]) == ("Too Many Requests", 429, "quota_exceeded", [])
    assert body["violated-policies"] == ["requests"]
    wait = response.headers["retry-after"]
    assert body["detail"] == f'the quota of the key "few" is 2 requests per 100 s; try again in {wait} s'


async def test_too_many_bytes_are_refused_before_they_come(made: Made, keyed: httpx.AsyncClient) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body is read")
        yield b""

    async def coming() -> AsyncIterator[bytes]:
        for _ in range(101):
            yield b" "

    head = {**made.head("small"), "content-length": "101"}
    assert (await keyed.post("/v1/evaluate", content=never(), headers=head)).status_code == 429
    response = await keyed.post("/v1/evaluate", content=coming(), headers=made.head("small"))
    assert (response.status_code, response.json()["violated-policies"]) == (429, ["bytes"])
    assert (await keyed.post("/v1/evaluate", content=BODY, headers=made.head("small"))).status_code == 200


async def test_compute_that_is_not_left_is_refused_where_the_work_would_be_done(made: Made, keyed: httpx.AsyncClient) -> None:
    huge = {"loss": "mae", "predictions": [[0] * 1000] * 1000, "targets": [[1] * 1000] * 1000, "outputs": ["value"]}
    first = await keyed.post("/v1/evaluate", json=huge, headers=made.head("busy"))
    assert (first.status_code, 0 < rate(first)["compute"][0] < 1000) == (200, True)
    costly = {"loss": "circle", "predictions": [[float(i % 7)] for i in range(20_000)], "targets": [0, 1] * 10_000}
    refused = await keyed.post("/v1/evaluate", json=costly, headers=made.head("busy"))
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["compute"])
    again = await keyed.post("/v1/evaluate", json=huge, headers=made.head("busy"))
    assert again.status_code == 200  # by the same process: the refusal cost none


def test_a_limit_is_exact_over_all_workers(tmp_path: Path) -> None:
    made = Made()
    made.add("crowd", "evaluate", quota={"requests": {"limit": 300, "seconds": 600}})
    made.add("crowd-2", "evaluate", label="crowd", quota={"requests": {"limit": 5, "seconds": 1}})  # the first one's holds
    with serving(tmp_path, keys=made.text, workers=2) as server:

        def ask(number: int) -> int:
            with server.client() as client:
                name = "crowd" if number % 2 else "crowd-2"
                return client.post("/v1/evaluate", content=BODY, headers=made.head(name)).status_code

        with ThreadPoolExecutor(8) as pool:
            counts = Counter(pool.map(ask, range(400)))
    assert counts == {200: 300, 429: 100}


# --- in turn ------------------------------------------------------------------------------------------------------------


async def test_names_are_served_in_turn() -> None:
    slots, order = Slots(1), list[str]()

    async def work(name: str) -> None:
        async with slots.one(name):
            order.append(name)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for name in ["a"] * 5 + ["b"] * 2 + ["c"]:
            group.start_soon(work, name)
    assert order == ["a", "a", "b", "c", "a", "b", "a", "a"]


async def test_a_slot_is_not_lost_to_who_leaves() -> None:
    slots = Slots(1)
    for _ in range(3):
        async with slots.one("a"), anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(slots.one("b").__aenter__)
            await anyio.lowlevel.checkpoint()
            assert slots.waits("b")
            group.cancel_scope.cancel()
        assert not slots.waits("b")
    with anyio.fail_after(1):
        async with slots.one("a"):
            pass


async def test_a_crowd_of_one_name_delays_another_by_one_at_most(tmp_path: Path) -> None:
    """The crowd fills the queue: one of another name waits nevertheless, and its turn comes behind one of the crowd's."""
    made = Made()
    for name in ("crowd", "other"):
        made.add(name)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    settings = Settings(keys=SecretStr(made.text), large_body_bytes=0, large_waiting=2)
    app = create_app(settings, (replace(HELD, scope="evaluate"), EVALUATE))
    done: list[str] = []
    async with client_of(app) as client:

        async def ask(name: str, path: str = "/v1/evaluate", content: bytes = BODY) -> None:
            assert (await client.post(path, content=content, headers=made.head(name))).status_code == 200
            done.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(ask, "crowd", "/held", json.dumps({"path": str(pipe)}).encode())
            for _ in range(2):
                group.start_soon(ask, "crowd")
            while not app.state.pool.full("large"):
                await anyio.sleep(0.001)
            refused = await client.post("/v1/evaluate", content=BODY, headers=made.head("crowd"))
            assert refused.status_code == 503
            group.start_soon(ask, "other")
            while not app.state.pool.full("large", "other"):
                await anyio.sleep(0.001)
            await anyio.to_thread.run_sync(pipe.write_text, "go")
    assert done == ["crowd", "crowd", "other", "crowd"]
