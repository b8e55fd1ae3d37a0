"""From an HTTP request to the bytes of its answer: read, decode, check, call, encode.

An endpoint under a JsonRoute is a plain function from its request model to its answer. FastAPI documents it like any
other; the route itself carries the bytes, since the body goes into arrays and not through Python numbers.
"""

from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from app.api.arrays import decode, encode
from app.api.bodies import read_body
from app.api.problems import from_pydantic
from app.api.workers import Job, Workers
from app.errors import MalformedDocument, UnsupportedMediaType
from app.settings import Settings


class JsonRoute(APIRoute):
    """Answers a JSON document with what its endpoint makes of it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint
        (parameter,) = signature(endpoint, eval_str=True).parameters.values()
        model: type[BaseModel] = parameter.annotation

        async def handler(request: Request) -> Response:
            _check_media_type(request.headers.get("content-type"))
            body = await read_body(request)
            _, content = await run(request, answer, body, endpoint, model)
            return Response(content, media_type="application/json")

        return handler


async def run(request: Request, job: Job, body: list[bytes], *arguments: Any) -> tuple[Any, bytes]:
    """A job on a body: a small one here and now, a large one in a worker process, so that nobody waits for it."""
    settings: Settings = request.app.state.settings
    if sum(map(len, body)) < settings.large_body_bytes:
        return job(body[0] if len(body) == 1 else b"".join(body), *arguments)
    workers: Workers = request.app.state.workers
    return await workers.run(job, body, *arguments)


def answer(body: bytes | memoryview, endpoint: Callable[[Any], object], model: type[BaseModel]) -> tuple[None, bytes]:
    """The endpoint's answer to a body, as bytes; CallerError for everything that is wrong with it."""
    if not body:
        raise MalformedDocument("the body is empty: send a JSON object")
    document = decode(body)
    try:
        request = model.model_validate(document)
    except ValidationError as error:
        raise from_pydantic(error) from None
    return None, encode(endpoint(request))


def _check_media_type(header: str | None) -> None:
    """JSON, or nothing said: many clients send JSON without saying so."""
    media_type = (header or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType(f"send application/json, not {media_type[:80]!r} (curl says so with --json)")
