"""What is kept for its next use, and let go when that does not come soon."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

IDLE_SECONDS = 10.0
"""How long something stays warm: long enough for a crowd's next request, too short to be held after the crowd."""

T = TypeVar("T")


class Warm(Generic[T]):
    """A stack, so that what is not needed sinks to its bottom; from there it is let go after IDLE_SECONDS.

    It is used from one event loop.
    """

    def __init__(self, let_go: Callable[[T], None]) -> None:
        self._let_go = let_go
        self._stack: list[tuple[float, T]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._stack)

    def __iter__(self) -> Iterator[T]:
        return (item for _, item in self._stack)

    def put(self, item: T) -> None:
        self._stack.append((asyncio.get_running_loop().time(), item))
        self._wait()

    def take(self) -> T | None:
        """What was used last; None where there is nothing."""
        return self._stack.pop()[1] if self._stack else None

    def close(self) -> None:
        """Let everything go at once."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        while self._stack:
            self._let_go(self._stack.pop()[1])

    def _wait(self) -> None:
        if self._stack and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._stack[0][0] + IDLE_SECONDS, self._tidy)

    def _tidy(self) -> None:
        self._timer = None
        latest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._stack and self._stack[0][0] <= latest:
            self._let_go(self._stack.pop(0)[1])
        self._wait()
