"""Endpoints and jobs that fail, for the tests of the workers: a worker process imports them by name."""

import os
import signal
from typing import Any

from pydantic import BaseModel

from app.errors import Fault, InvalidArray


class Anything(BaseModel):
    """A request with a field that no answer may show."""

    secret: str = ""


def buggy(request: Anything) -> dict[str, float]:
    return {"ratio": 1 / len(request.secret[:0])}


def suicidal(request: Anything) -> dict[str, float]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def reversed_body(body: bytes | memoryview, note: object) -> tuple[object, bytes]:
    return note, bytes(body)[::-1]


def refused(body: bytes | memoryview) -> tuple[None, bytes]:
    raise InvalidArray([Fault(f"/{at}", "code", f"message {at}") for at in range(3)], detail=f"{len(body)} bytes")


def process_id(body: bytes | memoryview) -> tuple[int, bytes]:
    return os.getpid(), b""


def ended(body: bytes | memoryview) -> tuple[Any, bytes]:
    os._exit(3)
