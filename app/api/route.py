"""From an HTTP request to the bytes of its answer: read, decode, check, call, encode.

An endpoint under a JsonRoute is a plain function from its request model to its answer. FastAPI documents it like any
other; the route itself carries the bytes, since the body goes into arrays and not through Python numbers.
"""

from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.workers import Job, Workers
from app.errors import CallerError, MalformedDocument, Unavailable, UnsupportedMediaType
from app.serving.bodies import read_body
from app.serving.problems import from_pydantic, refusal
from app.settings import Settings
from app.wire.json import decode, encode


class JsonRoute(APIRoute):
    """Answers a JSON document with what its endpoint makes of it.

    It is an ASGI application by itself: FastAPI documents it, but need not be asked for every request.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        (parameter,) = signature(endpoint, eval_str=True).parameters.values()
        self.model: type[BaseModel] = parameter.annotation

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # which refuses it
            return
        request = Request(scope, receive)
        try:
            check_media_type(dict(scope["headers"]).get(b"content-type", b"application/json"))
            body = await read_body(request)
            _, content = await run(request, answer, body, self.endpoint, self.model)
        except (CallerError, Unavailable) as error:
            await refusal(error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Direct:
    """Middleware that knows the JsonRoutes by their paths: FastAPI takes as long to find one as to echo a small model."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        found = [route for route in routes if isinstance(route, JsonRoute)]
        self.applications: dict[tuple[object, object], ASGIApp] = {
            (method, route.path): route.handle for route in found for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self.applications.get((scope.get("method"), scope.get("path")), self.app)
        await application(scope, receive, send)


async def run(request: Request, job: Job, body: list[bytes], *arguments: Any) -> tuple[Any, bytes]:
    """A job on a body: a small one here and now, a large one in a worker process, so that nobody waits for it."""
    settings: Settings = request.app.state.settings
    if sum(map(len, body)) < settings.large_body_bytes:
        return job(body[0] if len(body) == 1 else b"".join(body), *arguments)
    workers: Workers = request.app.state.workers
    return await workers.run(job, body, *arguments)


def answer(body: bytes | memoryview, endpoint: Callable[[Any], object], model: type[BaseModel]) -> tuple[None, bytes]:
    """The endpoint's answer to a body, as bytes; CallerError for everything that is wrong with it."""
    return None, encode(endpoint(request_of(body, model)))


def request_of(body: bytes | memoryview, model: type[BaseModel], settings: Settings | None = None) -> Any:
    """A body as the request it is; CallerError for everything that is wrong with it."""
    if not body:
        raise MalformedDocument("the body is empty: send a JSON object")
    document = decode(body)
    try:
        return model.model_validate(document, context=settings)
    except ValidationError as error:
        raise from_pydantic(error) from None


def check_media_type(header: bytes) -> None:
    """JSON, or nothing said: many clients send JSON without saying so."""
    media_type = header.decode("latin-1").partition(";")[0].strip().lower() or "application/json"
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType(f"send application/json, not {media_type[:80]!r} (curl says so with --json)")
