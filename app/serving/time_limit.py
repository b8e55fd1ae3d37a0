"""A limit on the time of work that comes item by item."""

import math
import signal
import time
from collections.abc import Generator, Iterator
from types import FrameType
from typing import TypeVar

RING_SECONDS = 0.1
"""How long after its time an alarm rings again, if it was not heard."""
IGNORED_SECONDS = 1.0
"""How long after it was heard: raised where an object ends, Python tells of it and goes on. Whatever gives up has as long."""

T = TypeVar("T")


class TimeUp(Exception):
    """Time is over."""


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: given up halfway, it would be broken for whoever comes next."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def until(ends: float, items: Iterator[T]) -> Generator[T]:
    """The items that come before `ends` (of time.monotonic); TimeUp after them where there would have been more.

    An item that is not there by then is given up halfway, by a signal, which only the main thread hears; a module that is being
    imported is waited for.
    """
    heeded, again = False, -math.inf

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal again
        now = time.monotonic()
        if heeded and now >= again and not _imports(frame):
            again = now + IGNORED_SECONDS
            raise TimeUp

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(ends - time.monotonic(), 1e-6), RING_SECONDS)
    try:
        while True:
            if time.monotonic() >= ends:
                raise TimeUp
            heeded = True
            item = next(items, None)
            heeded = False
            if item is None:
                return
            yield item
    finally:
        heeded = False
        signal.setitimer(signal.ITIMER_REAL, 0)
