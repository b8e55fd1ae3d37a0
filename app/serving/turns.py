"""Whose bytes are read next: connections that send much take turns, so that a round of the event loop stays short."""

import asyncio
from collections import deque
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

READS_A_ROUND = 4
"""Paused connections that are read again in a round of the event loop: 256 KiB of each, which costs up to 1 ms."""


class Turns:
    """Those that wait to be read again, in their order. It is used from one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def ask(self, loop: asyncio.AbstractEventLoop, resume: Callable[[], None]) -> None:
        """Have this called when it is its turn: in the next round, unless others wait already."""
        if not self._waiting:
            loop.call_soon(self._deal, loop)
        self._waiting.append(resume)

    def _deal(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(READS_A_ROUND, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            loop.call_soon(self._deal, loop)


class TakingTurns(FlowControl):
    """A connection's flow. Reading stays paused while it is held, also where the application waits for more."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        super().__init__(transport)
        self.held = False
        self._loop, self._turns, self._asked = loop, turns, False

    def resume_reading(self) -> None:
        if self.read_paused and not self._asked:
            self._asked = True
            self._turns.ask(self._loop, self._resume)

    def _resume(self) -> None:
        self._asked = False
        if not self.held and not self._transport.is_closing():
            super().resume_reading()
