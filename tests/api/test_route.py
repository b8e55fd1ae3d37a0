"""JsonRoutes: found by FastAPI or handed the request directly, they answer alike, whatever is asked."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response

from app.api import evaluate
from app.api.examples import EXAMPLES
from app.api.route import Direct
from app.main import create_app
from app.settings import Settings
from tests.api.problem import problem_of

pytestmark = pytest.mark.anyio

BODY = json.dumps(EXAMPLES["huber"]["value"]).encode()
JSON = {"content-type": "application/json"}
LIMIT = 10_000

ASKED: dict[str, dict[str, Any]] = {
    "answered": {"content": BODY, "headers": JSON},
    "in chunks": {"content": [BODY[:7], b"", BODY[7:]], "headers": JSON},
    "no media type": {"content": BODY},
    "another media type": {"content": BODY, "headers": {"content-type": "text/csv"}},
    "empty": {"content": b"", "headers": JSON},
    "not JSON": {"content": b"{", "headers": JSON},
    "not a request": {"content": b"{}", "headers": JSON},
    "faults": {"content": BODY.replace(b'"huber"', b'"hubert"'), "headers": JSON},
    "too large": {"content": BODY + b" " * LIMIT, "headers": JSON},
    "too large, in chunks": {"content": [BODY, b" " * LIMIT], "headers": JSON},
    "packed twice": {"content": BODY, "headers": [("content-encoding", "gzip"), ("content-encoding", "zstd")]},
    "another method": {"method": "PUT", "content": BODY, "headers": JSON},
    "HEAD": {"method": "HEAD"},
}


def served() -> FastAPI:
    """The service, whose JsonRoutes only FastAPI finds."""
    app = create_app(Settings(max_body_bytes=LIMIT))
    app.user_middleware = [each for each in app.user_middleware if each.cls is not Direct]
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")


async def asked(app: FastAPI, method: str = "POST", content: bytes | list[bytes] = b"", headers: Any = None) -> httpx.Response:
    async def arriving(chunks: list[bytes]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async with client_of(app) as client:
        body = arriving(content) if isinstance(content, list) else content
        return await client.request(method, "/v1/evaluate", content=body, headers=headers)


@pytest.mark.parametrize("request_", ASKED.values(), ids=ASKED)
async def test_direct_answer_is_the_one_that_fastapi_gives(request_: dict[str, Any]) -> None:
    found, direct = served(), served()
    direct.add_middleware(Direct, routes=evaluate.router.routes)
    one, other = await asked(found, **request_), await asked(direct, **request_)
    assert (one.status_code, one.content) == (other.status_code, other.content)
    for header in ("content-type", "content-length", "connection", "allow"):
        assert one.headers.get(header) == other.headers.get(header)


async def test_direct_takes_what_its_routes_answer_and_nothing_else() -> None:
    app = FastAPI()
    app.state.settings = Settings()
    app.add_middleware(Direct, routes=evaluate.router.routes)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def elsewhere(path: str) -> Response:
        return Response(f"elsewhere: {path}")

    async with client_of(app) as client:
        answered = await client.post("/v1/evaluate", content=BODY, headers=JSON)
        assert answered.json()["loss"]["name"] == "huber"
        assert (await client.get("/v1/evaluate")).text == "elsewhere: v1/evaluate"
        for path in ("/v1/evaluate/", "/v1/evaluat", "/v1/losses"):
            assert (await client.post(path, content=BODY, headers=JSON)).text == f"elsewhere: {path[1:]}"
        refused = await client.post("/v1/evaluate", content=b"{", headers=JSON)
        assert (refused.status_code, problem_of(refused)["code"]) == (400, "malformed_json")
