"""Calls that run in a process of their own, for tests: it imports them by name."""

import os
import resource
import signal
from collections.abc import Generator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from app.errors import Fault, InvalidArray
from app.serving.call import Call
from app.serving.steps import Event


class Task(BaseModel):
    """What to do, and with what."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(default=0, ge=0)
    text: str = ""
    path: str = ""
    times: int = 0


def telling(request: Task) -> Generator[Event]:
    """So many events, and an answer with the text."""
    yield Event("start", {"pid": os.getpid()})
    for number in range(1, request.number + 1):
        yield Event("epoch", {"number": number, "text": request.text})
    answer = {"pid": os.getpid(), "number": request.number, "text": request.text}
    yield Event("end", answer | ({"texts": [request.text] * request.times} if request.times else {}))


def waiting(request: Task) -> Generator[Event]:
    """Begin, and go on when somebody has written into the pipe at the path."""
    yield Event("start", {"pid": os.getpid()})
    yield Event("end", {"pid": os.getpid(), "text": Path(request.path).read_text()})


def failing(request: Task) -> Generator[Event]:
    yield Event("start", {"pid": os.getpid()})
    yield Event("end", {"ratio": 1 / len(request.text[:0])})


def refusing(request: Task) -> Generator[Event]:
    yield Event("start", {"pid": os.getpid()})
    raise InvalidArray([Fault(("text",), "shape", "too late")])


def suicidal(request: Task) -> Generator[Event]:
    yield Event("start", {"pid": os.getpid()})
    os.kill(os.getpid(), signal.SIGKILL)


def hoarding(request: Task) -> Generator[Event]:
    """Take so many megabytes."""
    yield Event("start", {"pid": os.getpid()})
    yield Event("end", {"pid": os.getpid(), "sum": float(np.ones(request.number * 131_072).sum())})


def surroundings(request: Task) -> Generator[Event]:
    """What the process finds."""
    threads = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    yield Event("end", {"threads": threads, "limit": limit, "pid": os.getpid()})


def buggy(request: Task) -> dict[str, float]:
    return {"ratio": 1 / len(request.text[:0])}


def deadly(request: Task) -> dict[str, float]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def held(request: Task) -> dict[str, str]:
    """Answer what somebody writes into the pipe at the path."""
    return {"text": Path(request.path).read_text()}


HELD = Call(method="POST", path="/held", function=held, summary="Held", lane="large")
BROKEN = [
    Call(method="POST", path=f"/{function.__name__}", function=function, summary="Broken", lane="large")
    for function in (buggy, deadly)
]
RUNS = [
    Call(method="POST", path=f"/{function.__name__}", function=function, summary="A run", lane="training")
    for function in (telling, waiting, failing, refusing, suicidal, hoarding, surroundings)
]
