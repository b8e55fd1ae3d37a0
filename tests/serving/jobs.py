"""Jobs for the tests of the pool, which its processes import by name."""

import importlib
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import Busy, Fault, InvalidArray
from app.losses.numerics import blocks
from app.serving.child import Say

IMPORTED_BY = os.getpid()

Answer = tuple[Any, list[bytes | memoryview]]


def turned(body: memoryview, say: Say, note: object = None) -> Answer:
    """The body from its end to its beginning, in pieces that are not alike."""
    answer = bytes(body)[::-1]
    return note, [answer[:1], memoryview(answer)[1:70_000], answer[70_000:]]


def incremented(body: memoryview, say: Say) -> Answer:
    """Each byte but one larger: nothing but touching them all."""
    return None, [(np.frombuffer(body, np.uint8) + np.uint8(1)).data]


def numbers(body: memoryview, say: Say) -> Answer:
    return None, [np.arange(1000.0).data]


def process_id(body: memoryview, say: Say) -> Answer:
    return os.getpid(), []


def loading(body: memoryview, say: Say, name: str) -> Answer:
    """Load a library."""
    importlib.import_module(name)
    return os.getpid(), []


def refused(body: memoryview, say: Say) -> Answer:
    raise InvalidArray([Fault((index,), "code", f"message {index}") for index in range(3)], detail=f"{len(body)} bytes")


def too_busy(body: memoryview, say: Say) -> Answer:
    raise Busy("not now")


def buggy(body: memoryview, say: Say) -> Answer:
    return 1 / len(body[:0]), []


def secretive(body: memoryview, say: Say) -> Answer:
    """What it knows cannot be sent."""
    return lambda: None, [b"x"]


def exiting(body: memoryview, say: Say) -> Answer:
    sys.exit(3)


def suicidal(body: memoryview, say: Say) -> Answer:
    say(b"alive")
    os.kill(os.getpid(), signal.SIGKILL)
    return None, []


def telling(body: memoryview, say: Say, count: int) -> Answer:
    for number in range(count):
        say(b"%d\n" % number)
    return os.getpid(), [b"end"]


def waiting(body: memoryview, say: Say, path: str) -> Answer:
    """Begin, and go on when somebody has written into the pipe at the path."""
    say(b"begun %d\n" % os.getpid())
    return os.getpid(), [Path(path).read_bytes()]


def said_and_waiting(body: memoryview, say: Say, path: str) -> Answer:
    """Two events, the second of which is not due, and nothing more before somebody writes into the pipe."""
    say(b"first\n")
    say(b"second\n")
    return None, [Path(path).read_bytes()]


def flooding(body: memoryview, say: Say, events: int, size: int) -> Answer:
    for _ in range(events):
        say(b"x" * size)
    return None, []


def hoarding(body: memoryview, say: Say, megabytes: int) -> Answer:
    return float(np.ones(megabytes * 131_072).sum()), []


def surroundings(body: memoryview, say: Say) -> Answer:
    """What a job finds around it."""
    return {
        "pid": os.getpid(),
        "imported by": IMPORTED_BY,
        "environment": {name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GLIBC_TUNABLES")},
        "limit": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "threads": len(blocks._threads) + 1,
        "main": threading.current_thread() is threading.main_thread(),
        "children are waited for": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    }, []


def busy(body: memoryview, say: Say, seconds: float) -> Answer:
    """Hold a processor."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sum(range(1000))
    return None, []
