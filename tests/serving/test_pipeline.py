"""One pipeline: what holds for one call holds for every call, since there is no other way to one."""

import json
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI

from app.api.calls import CALLS
from app.errors import Forbidden
from app.main import create_app
from app.serving.call import Call
from app.serving.exchange import SECURITY, Exchange
from app.serving.pipeline import Service
from app.settings import Settings
from tests.api.problem import strictly
from tests.conftest import client_of, client_with
from tests.serving.calls import HELD, RUNS

pytestmark = pytest.mark.anyio

EACH = pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
WITH_BODY = pytest.mark.parametrize("call", [call for call in CALLS if call.request], ids=lambda call: call.path)
PAGES = ("/", "/docs", "/docs/", "/docs/errors", "/docs/languages", "/redoc")
"""They name the files of now, and so are asked for again."""
BODY = json.dumps({"loss": "mse", "predictions": [1, 2], "targets": [1, 3]}).encode()


def address(call: Call) -> str:
    """An address of the call that leads somewhere."""
    names = {"name": "huber", "version": "1"}
    kinds = {"datasets": "circles", "models": "mlp", "optimizers": "adam", "schedules": "cosine", "metrics": "accuracy"}
    kind = call.path.split("/")[2] if call.path.count("/") > 1 else ""
    files = {"static": "swagger-ui.css", "playground": "page.css"}
    name = next((file for part, file in files.items() if part in call.path), kinds.get(kind, names["name"]))
    return call.path.replace("{name}", "huber" if call.path.startswith("/v2") else name)


def refusal_of(response: httpx.Response, path: str) -> dict[str, Any]:
    """The body of a refusal, in the form that its path has."""
    kind = "application/json" if path.startswith("/v2") else "application/problem+json"
    assert response.headers["content-type"] == kind
    for name, value in SECURITY:
        assert response.headers[name.decode()] == value.decode()
    assert response.headers["x-request-id"]
    assert "server" not in response.headers
    body = strictly(response.text)
    assert ("error" in body) if path.startswith("/v2") else (body["status"] == response.status_code)
    return body


NEEDED = {("POST", "/v1/datasets"): "?name=n"}
"""What an address has to say."""


async def ask(client: httpx.AsyncClient, call: Call, query: str = "", **more: Any) -> httpx.Response:
    content = BODY if call.method == "POST" else None
    query = query or NEEDED.get((call.method, call.path), "")
    return await client.request(call.method, address(call) + query, **{"content": content, **more})


# --- guards ---------------------------------------------------------------------------------------------------------------


def nobody(exchange: Exchange, call: Call) -> None:
    raise Forbidden(f"{call.name} is for nobody")


@pytest.fixture(scope="module")
async def closed(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service behind a guard that lets nobody in."""
    app = create_app()
    async with client_of(Service(app.calls, app.state, (nobody,))) as client:
        yield client


@EACH
async def test_a_guard_holds_for_every_call(call: Call, closed: httpx.AsyncClient) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body is read before the guards have been asked")
        yield b""

    content = never() if call.method == "POST" else None
    response = await ask(closed, call, content=content)
    assert response.status_code == 403
    assert call.name in json.dumps(refusal_of(response, call.path))


@EACH
async def test_a_guard_holds_under_every_name_of_a_call(call: Call, closed: httpx.AsyncClient) -> None:
    for path in call.also:
        response = await closed.request(call.method, path.format(name="huber", version="1"))
        assert response.status_code == 403


def test_what_fastapi_would_ask_cannot_be_forgotten_since_it_cannot_be_said() -> None:
    """A dependency or a middleware that is put on the application would have to hold for every call: there is no such place."""
    app: Any = create_app()
    for name in ("router", "dependencies", "add_middleware", "middleware", "include_router", "dependency_overrides", "mount"):
        assert not hasattr(app, name)


async def test_a_service_inside_another_application_is_behind_what_that_one_asks() -> None:
    outer, inner = FastAPI(), create_app()
    outer.mount("/losses", inner)

    @outer.middleware("http")
    async def closed(request: Any, go_on: Any) -> Any:
        response = await go_on(request)
        response.headers["x-outer"] = "seen"
        return response

    transport = httpx.ASGITransport(outer)
    async with inner.running(), httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.post("/losses/v1/evaluate", content=BODY)
        assert (response.json()["value"], response.headers["x-outer"]) == (0.5, "seen")


@EACH
async def test_an_unknown_query_parameter_is_refused(call: Call, client: httpx.AsyncClient) -> None:
    response = await ask(client, call, "?loss=mae&serach=x")
    assert response.status_code in (400, 422)
    assert "'serach'" in json.dumps(refusal_of(response, call.path))


@EACH
async def test_a_page_of_another_site_is_refused(call: Call, client: httpx.AsyncClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    response = await ask(client, call, headers=headers)
    assert response.status_code == 403
    refusal_of(response, call.path)
    for site in ("same-origin", "same-site", "none"):
        assert (await ask(client, call, headers={"sec-fetch-site": site})).status_code != 403


@pytest.fixture(scope="module")
async def trusting(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service where hosts are named."""
    async with client_with(trusted_hosts=("example.org", "*.example.net")) as client:
        yield client


@EACH
async def test_another_host_is_refused_where_hosts_are_named(call: Call, trusting: httpx.AsyncClient) -> None:
    for host, served in (("example.org", True), ("a.example.net:8000", True), ("example.net.evil", False), ("", False)):
        response = await ask(trusting, call, headers={"host": host})
        assert (response.status_code != 400 or "host" not in response.text) is served, host


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "\xff", "x" * 5000, "[v1.x]:y"])
async def test_a_host_that_is_none_is_refused_like_another(host: str, trusting: httpx.AsyncClient) -> None:
    response = await trusting.get("/health/live", headers=[(b"host", host.encode("latin-1"))])
    assert response.status_code == 400
    assert "CRITERION_TRUSTED_HOSTS" in refusal_of(response, "/health/live")["detail"]


@EACH
async def test_another_method_is_refused_with_those_there_are(call: Call, client: httpx.AsyncClient) -> None:
    for method in {"GET", "POST", "PUT", "DELETE"} - {other.method for other in CALLS if other.path == call.path}:
        response = await client.request(method, address(call))
        assert response.status_code == 405
        assert call.method in response.headers["allow"]
        refusal_of(response, call.path)


@WITH_BODY
async def test_another_media_type_is_refused(call: Call, client: httpx.AsyncClient) -> None:
    if call.path.startswith("/v2"):  # clients of the protocol send any
        return
    response = await ask(client, call, headers={"content-type": "text/plain"})
    assert response.status_code == 415
    refusal_of(response, call.path)


async def test_a_body_above_the_limit_is_refused() -> None:
    async with client_with(max_body_bytes=10) as client:
        for call in CALLS:
            if call.request:
                response = await ask(client, call)
                assert response.status_code == 413, call.path
                refusal_of(response, call.path)


async def test_an_answer_for_which_there_is_never_room_is_refused_with_what_to_change() -> None:
    """Alone, a body of 1 MB and an answer of 2.75 MB: more than 3 MB, while neither waiting nor trying again would help."""
    request = {"loss": "mae", "predictions": [0] * 250_000, "targets": [3] * 250_000}
    app = create_app(Settings(memory_bytes=3_000_000))
    async with client_of(app) as client:
        for outputs, status in ((["value", "per_sample", "gradient"], 422), (["value"], 200)):
            body = {**request, "outputs": outputs}
            response = await client.post("/v1/evaluate", json=body, headers={"accept-encoding": "identity"})
            assert response.status_code == status
            if status == 422:
                (fault,) = refusal_of(response, "/v1/evaluate")["errors"]
                assert fault["code"] == "limit"
                assert "CRITERION_MEMORY_BYTES allows 3000000" in fault["message"]
            assert app.state.budget.used == 0


SPACE = b" \t\r\n" * 8_000_000


async def test_whitespace_around_a_document_takes_no_memory_beyond_the_body() -> None:
    """A parser would take fourteen times the body, which is beyond what a large request may have here."""
    async with client_with(large_memory_bytes=64 * 1024**2) as client:
        for body in (SPACE + BODY, BODY + SPACE, SPACE[:16_000_000] + BODY + SPACE[:16_000_000]):
            response = await client.post("/v1/evaluate", content=body)
            assert (response.status_code, response.json()["value"]) == (200, 0.5)
        for body in (SPACE, SPACE + b"\0" + BODY):
            response = await client.post("/v1/evaluate", content=body)
            assert response.status_code == 400
            assert refusal_of(response, "/v1/evaluate")["code"] == "malformed_json"


async def test_a_full_queue_refuses_before_the_body_is_read(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body is read though nobody has time for it")
        yield b""

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    settings = Settings(large_body_bytes=0, large_waiting=0, training_waiting=0)
    app = create_app(settings, (*CALLS, *RUNS, HELD))
    async with client_of(app) as client:
        assert (await client.get("/health/ready")).status_code == 200
        for lane, path in (("large", "/held"), ("training", "/waiting")):
            async with anyio.create_task_group() as group:
                group.start_soon(partial(client.post, path, json={"path": str(pipe)}))
                while not app.state.pool.full(lane):
                    await anyio.sleep(0.001)
                for call in CALLS:
                    if call.lane == lane:
                        response = await ask(client, call, content=never(), headers={"content-length": "1000"})
                        assert response.status_code == 503
                        assert int(response.headers["retry-after"]) >= 1
                        refusal_of(response, call.path)
                for ready in ("/health/ready", "/v2/health/ready"):
                    refused = await client.get(ready)
                    assert refused.status_code == 503
                    assert lane in json.dumps(refusal_of(refused, ready))
                assert (await client.get("/health/live")).status_code == 200
                await anyio.to_thread.run_sync(pipe.write_text, "go")
            assert (await client.get("/health/ready")).status_code == 200


# --- what every answer carries ----------------------------------------------------------------------------------------------


@EACH
async def test_every_answer_carries_the_same_fields(call: Call, client: httpx.AsyncClient) -> None:
    response = await ask(client, call, headers={"x-request-id": "mine-7"})
    for name, value in SECURITY:
        assert response.headers.get_list(name.decode()) == [value.decode()]
    assert response.headers["x-request-id"] == "mine-7"
    assert response.headers["cache-control"]
    assert "server" not in response.headers


@pytest.mark.parametrize("call", [call for call in CALLS if call.constant], ids=lambda call: call.path)
async def test_what_stays_the_same_has_a_tag(call: Call, client: httpx.AsyncClient) -> None:
    plain = await ask(client, call, headers={"accept-encoding": "identity"})
    tag = plain.headers["etag"]
    own = call.path in PAGES or "{version}" in call.path  # a file of another version than now's, as here, is not to be kept
    assert plain.headers["cache-control"] == ("no-cache" if own else "max-age=300")
    again = await ask(client, call, headers={"accept-encoding": "identity", "if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    packed = await ask(client, call, headers={"accept-encoding": "gzip"})
    assert packed.content == plain.content
    assert packed.headers["etag"] != tag
    if len(plain.content) > 1024:
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < len(plain.content)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_an_answer_is_packed_where_that_is_asked_for(coding: str, client: httpx.AsyncClient) -> None:
    small, inline, large = 3, 20_000, 100_000
    for n in (small, inline, large):
        request = {"loss": "mae", "predictions": [0] * n, "targets": [1] * n}
        plain = await client.post("/v1/evaluate", json=request, headers={"accept-encoding": "identity"})
        packed = await client.post("/v1/evaluate", json=request, headers={"accept-encoding": f"{coding}, identity;q=0.5"})
        assert "content-encoding" not in plain.headers
        assert packed.content == plain.content
        assert packed.headers["vary"] == "accept-encoding"
        if n > small:
            assert packed.headers["content-encoding"] == coding
            assert int(packed.headers["content-length"]) < len(plain.content) / 2


async def test_an_answer_that_waits_for_its_reader_counts_among_what_is_in_flight() -> None:
    """Worked on in the server itself: 400 KB, answered with more."""
    body = json.dumps({"loss": "mae", "predictions": [0] * 90_000, "targets": [1] * 90_000}, separators=(",", ":")).encode()
    app = create_app()
    used, sent = list[int](), list[bytes]()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        used.append(app.state.budget.used)
        sent.append(message.get("body", b""))

    scope = {"type": "http", "method": "POST", "path": "/v1/evaluate", "query_string": b"", "headers": []}
    async with client_of(app):
        await app(scope, receive, send)
        size = len(b"".join(sent))
        assert json.loads(b"".join(sent))["value"] == 1.0
        assert max(map(len, sent)) <= 256 * 1024 < size
        assert min(used) >= size
        assert app.state.budget.used == 0


async def test_between_the_pieces_of_a_long_answer_others_have_their_turn() -> None:
    """To a client that reads fast enough, sending never waits."""
    body = json.dumps({"loss": "mae", "predictions": [0] * 150_000, "targets": [1] * 150_000}).encode()
    rounds, sent = 0, list[int]()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(rounds)

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await anyio.sleep(0)

    app = create_app()
    scope = {"type": "http", "method": "POST", "path": "/v1/evaluate", "query_string": b"", "headers": []}
    async with client_of(app), anyio.create_task_group() as group:
        group.start_soon(count)
        await app(scope, receive, send)
        group.cancel_scope.cancel()
    assert len(sent) > 5
    assert len(set(sent[1:])) == len(sent) - 1


# --- CORS -------------------------------------------------------------------------------------------------------------------


async def test_cors_lets_the_origins_of_the_settings_in_and_no_other() -> None:
    page, other = "https://page.example", "https://other.example"
    async with client_with(cors_origins=(page,)) as client:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        allowed = await client.options("/v1/evaluate", headers={"origin": page, **asked})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, page)
        assert (await client.options("/v1/evaluate", headers={"origin": other, **asked})).status_code == 403
        answered = await client.post("/v1/evaluate", content=BODY, headers={"origin": page, "sec-fetch-site": "cross-site"})
        assert (answered.status_code, answered.headers["access-control-allow-origin"]) == (200, page)
        refused = await client.post("/v1/evaluate", content=BODY, headers={"origin": other, "sec-fetch-site": "cross-site"})
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
    async with client_with() as client:
        assert (
            "access-control-allow-origin"
            not in (await client.post("/v1/evaluate", content=BODY, headers={"origin": page})).headers
        )


async def test_preflights_are_answered_in_form() -> None:
    page = "https://page.example"
    preflight = {"origin": page, "access-control-request-method": "POST", "x-request-id": "mine-7"}
    refused = [
        {"origin": "https://other.example"},
        {"access-control-request-method": "PUT"},
        {"access-control-request-private-network": "true"},
    ]
    async with client_with(cors_origins=(page,)) as client:
        for path in ("/v1/evaluate", "/v2/models/huber/infer", "/none"):
            for change in refused:
                response = await client.options(path, headers={**preflight, **change})
                assert response.status_code == 403, path
                assert "CRITERION_CORS_ORIGINS" in json.dumps(refusal_of(response, path))
                assert response.headers["x-request-id"] == "mine-7"
            response = await client.options(path, headers=preflight)
            assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, page), path
            assert "POST" in response.headers["access-control-allow-methods"]
            assert response.headers["x-request-id"] == "mine-7"
            for name, value in SECURITY:
                assert response.headers.get_list(name.decode()) == [value.decode()]
    async with client_with() as client:
        response = await client.options("/v1/evaluate", headers=preflight)
        assert response.status_code == 405
        refusal_of(response, "/v1/evaluate")
