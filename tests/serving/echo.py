"""An application of a few lines behind the service's own server, in its own process: `python -m tests.serving.echo`."""

import asyncio
import hashlib
import json
import os
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import Busy, HeadTooLarge, MalformedRequest, ShuttingDown, TooSlow
from app.serving.http11 import Limits, protocol
from app.serving.server import serve
from app.settings import Settings

STATUS = {MalformedRequest: 400, TooSlow: 408, HeadTooLarge: 431, Busy: 503, ShuttingDown: 503}
OPEN: set[str] = set()
"""Paths of requests that are being answered."""


def render(error: Exception) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    status = STATUS.get(type(error), 500)
    headers = [(b"content-type", b"application/problem+json"), (b"x-request-id", os.urandom(8).hex().encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    return status, headers, json.dumps({"status": status, "detail": str(error) if status != 500 else "failed"}).encode()


def http(settings: Settings) -> type[HttpToolsProtocol]:
    return protocol(render, Limits.of(settings))


async def application(scope: Any, receive: Any, send: Any) -> None:
    """What each path does is in its name; the others say what came."""
    if scope["type"] == "lifespan":
        return
    path = scope["path"]
    if path == "/fails":
        raise ArithmeticError("secret")
    if path == "/says-nothing":
        return
    if path == "/fails-midway":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ArithmeticError("secret")
    if path == "/waits-for-the-end":
        OPEN.add(path)
        while (await receive())["type"] != "http.disconnect":
            pass
        OPEN.discard(path)
        return
    if path == "/waits-for-others":  # until nothing else is open, so that requests behind it have to wait
        while OPEN:
            await asyncio.sleep(0.01)
    if path == "/large":
        body = bytes(50_000_000)
    elif path == "/open":
        body = json.dumps(sorted(OPEN)).encode()
    elif path == "/early":
        body = b"early"
    else:
        body = json.dumps(await described(scope, receive)).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def described(scope: Any, receive: Any) -> dict[str, Any]:
    digest, length, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        digest.update(message["body"])
        length += len(message["body"])
        more = message["more_body"]
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    keys = ("method", "path", "http_version")
    named = {key: scope[key] for key in keys}
    return {**named, "length": length, "sha256": digest.hexdigest(), "headers": headers, "process": os.getpid()}


def create_app() -> Any:
    return application


if __name__ == "__main__":
    sys.modules["tests.serving.echo"] = sys.modules["__main__"]
    serve("tests.serving.echo:create_app", Settings(), http)
