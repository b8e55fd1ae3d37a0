"""Errors that no endpoint makes: unknown addresses, other methods, and failures of the service itself."""

import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from app.main import create_app
from app.serving.call import Call
from app.serving.exchange import SECURITY
from tests.api.problem import problem_of
from tests.processes import eventually

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/loss", "/v1/losses/", "/v1/evaluate/", "/docs/static/none.js"])
async def test_an_unknown_address(path: str, client: httpx.AsyncClient) -> None:
    body = problem_of(await client.get(path))
    assert (body["status"], body["code"]) == (404, "not_found")
    assert path in body["detail"]


@pytest.mark.parametrize(
    "path", ["/" + "x" * 10_000, "/%00", "/%ff%fe", "/..%2f..%2fetc%2fpasswd", "/docs/static/..%2f..%2f__init__.py"]
)
async def test_a_strange_address(path: str, client: httpx.AsyncClient) -> None:
    body = problem_of(await client.get(path))
    assert (body["status"], body["code"]) == (404, "not_found")
    assert len(body["detail"]) < 300


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/evaluate", "POST"),
        ("PUT", "/v1/evaluate", "POST"),
        ("OPTIONS", "/v1/evaluate", "POST"),
        ("POST", "/v1/losses", "GET"),
        ("DELETE", "/v1/losses/huber", "GET"),
        ("POST", "/docs", "GET"),
    ],
)
async def test_another_method(method: str, path: str, allowed: str, client: httpx.AsyncClient) -> None:
    response = await client.request(method, path)
    body = problem_of(response)
    assert (body["status"], body["code"]) == (405, "method_not_allowed")
    assert allowed in response.headers["allow"]


async def test_head_is_answered_as_get_is_without_a_body(client: httpx.AsyncClient) -> None:
    for path in ("/v1/losses", "/v1/losses/huber", "/docs", "/openapi.json", "/v1/losses/none", "/v1/evaluate"):
        plain = {"accept-encoding": "identity"}
        head, get = await client.head(path, headers=plain), await client.get(path, headers=plain)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


@pytest.fixture
async def failing() -> AsyncIterator[httpx.AsyncClient]:
    """A service with a call that fails."""

    def fail() -> None:
        raise RuntimeError("the secret is 1234")

    app = create_app(calls=[Call(method="GET", path=path, function=fail, summary="Fails") for path in ("/fails", "/v2/fails")])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_failure_says_nothing_but_its_request_id(failing: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    response = await failing.get("/fails", headers={"x-request-id": "my-id-1"})
    body = problem_of(response)
    assert (body["status"], body["code"], body["errors"], body["request_id"]) == (500, "internal_error", [], "my-id-1")
    assert "1234" not in response.text
    assert "RuntimeError" not in response.text
    assert response.headers["x-request-id"] == "my-id-1"
    assert {name.decode(): response.headers[name.decode()] for name, _ in SECURITY} == {
        name.decode(): value.decode() for name, value in SECURITY
    }
    await eventually(lambda: "criterion" in [record.name for record in caplog.records], "it is not told")
    (record,) = [record for record in caplog.records if record.name == "criterion"]
    assert record.levelno == logging.ERROR
    assert "my-id-1" in record.getMessage()
    assert "RuntimeError" in record.getMessage()
    assert "1234" not in record.getMessage()  # what an error says may have what a caller sent in it


async def test_a_failure_speaks_the_protocol_where_its_clients_ask(failing: httpx.AsyncClient) -> None:
    response = await failing.get("/v2/fails", headers={"x-request-id": "my-id-2"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    assert "my-id-2" in response.json()["error"]
    assert "1234" not in response.text


@pytest.mark.parametrize("given", ["a" * 101, "a b", "a\tb", "é", "<script>", ""])
async def test_a_strange_request_id_is_replaced(given: str, client: httpx.AsyncClient) -> None:
    response = await client.get("/health/live", headers={b"x-request-id": given.encode()})
    made = response.headers["x-request-id"]
    assert len(made) == 32
    assert int(made, 16) >= 0


async def test_each_request_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    ids = [(await client.get("/health/live")).headers["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3
