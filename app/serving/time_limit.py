"""A limit on the time of work that comes item by item."""

import signal
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

RING_SECONDS = 0.1
"""How long after its time an alarm rings again, if it was not heard."""

T = TypeVar("T")


class TimeUp(Exception):
    """Time is over."""


def until(ends: float, items: Iterator[T]) -> Generator[T]:
    """The items that come before `ends` (of time.monotonic); TimeUp after them where there would have been more.

    An item that is not there by then is given up halfway, by a signal, which only the main thread hears.
    """
    heeded = False

    def ring(number: int, frame: object) -> None:
        nonlocal heeded
        if heeded:
            heeded = False
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
