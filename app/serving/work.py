"""A job under way, as whoever waits for it sees it."""

import asyncio
from dataclasses import dataclass
from typing import Self, TypeAlias

from app.errors import ShuttingDown
from app.serving.buffers import Buffer, Buffers
from app.serving.lanes import ENDING

HELD_BYTES = 4 * 1024 * 1024
"""Events that are kept for a caller who does not read; then the job waits for him."""

Answer: TypeAlias = tuple[object, Buffer]
"""What is known about an answer, and its bytes."""


class Events:
    """What a job has said and its caller has not read."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._change, self._room = asyncio.Event(), asyncio.Event()
        self._ended = False

    async def put(self, events: bytes) -> None:
        """Hold these, and wait while there is more than is held for anybody."""
        self._held += events
        self._change.set()
        while len(self._held) > HELD_BYTES:
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        self._ended = True
        self._change.set()

    async def get(self) -> bytes:
        """What has been said since; nothing when there will be nothing more."""
        await self._change.wait()
        if not self._ended:
            self._change.clear()
        events = bytes(self._held)
        self._held.clear()
        self._room.set()
        return events


@dataclass
class Turn:
    """When a job had a process for itself, in seconds of perf_counter; None where it has not had one."""

    lane: str
    began: float | None = None
    ended: float | None = None


class Work:
    """A job under way, as an asynchronous iterator: its events as they come, then the end, or what went wrong.

    CallerError that the job raised; TooLate, ProcessLost or Unavailable; RuntimeError for a bug, with the job's traceback as
    its note. After the end there are `known` and `answer`, a buffer that is the caller's to give back.
    """

    known: object
    answer: Buffer

    def __init__(self, task: asyncio.Task[Answer], events: Events, buffers: Buffers, turn: Turn) -> None:
        self._task, self._events, self._buffers = task, events, buffers
        self.turn = turn
        self._taken = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if events := await self._events.get():
            return events
        if self._task.cancelled():
            raise ShuttingDown(ENDING)
        self.known, self.answer = self._task.result()
        self._taken = True
        raise StopAsyncIteration

    def leave(self) -> None:
        """End the job, where it has not ended, and give its answer back, where nobody has taken it."""
        self._task.cancel()
        self._task.add_done_callback(self._give_back)

    def _give_back(self, task: asyncio.Task[Answer]) -> None:
        if not (task.cancelled() or task.exception() or self._taken):
            self._buffers.give(task.result()[1])
