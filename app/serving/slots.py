"""Who is next where several wait: one of each name in turn, so that a crowd of one delays another by one at most."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Slots:
    """So many may be at work at a time; the others wait. It is used from one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits, by name; the name whose turn it is comes first."""

    @asynccontextmanager
    async def one(self, name: str) -> AsyncGenerator[None]:
        """A slot, once it is this one's turn."""
        await self._take(name)
        try:
            yield
        finally:
            self._give()

    def waits(self, name: str) -> bool:
        """Whether somebody of this name waits already."""
        return name in self._waiting

    async def _take(self, name: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(name, turn)
            else:  # the slot came at the same moment
                self._give()
            raise

    def _give(self) -> None:
        """Hand the slot to whoever is next; his name goes behind all others."""
        if not self._waiting:
            self._free += 1
            return
        name = next(iter(self._waiting))
        turns = self._waiting.pop(name)
        turn = turns.popleft()
        if turns:
            self._waiting[name] = turns
        if turn.cancelled():  # and is not told so yet
            self._give()
        else:
            turn.set_result(None)

    def _forget(self, name: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(name, deque())
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[name]
