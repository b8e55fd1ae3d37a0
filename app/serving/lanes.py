"""Kinds of work that queue by themselves: how many are done at a time, how many may wait, and what each may take."""

import asyncio
from typing import NamedTuple

from app.errors import Busy, Unavailable

ENDING = "the server is about to end"


class Lane(NamedTuple):
    """What shares a queue, and what each of its jobs may take."""

    name: str
    at_once: int
    """Jobs at a time."""
    waiting: int
    """Jobs that may wait; one more is refused."""
    seconds: float
    """A job that takes longer is ended."""
    memory_bytes: int
    """What a job may take beyond what its process has by itself."""
    threads: int
    """Threads that share a large batch."""


class Line:
    """Who works and who waits in a lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.turns = asyncio.Semaphore(lane.at_once)
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopped = False

    @property
    def full(self) -> bool:
        return len(self._tasks) >= self.lane.at_once + self.lane.waiting

    def check(self) -> None:
        """Unavailable where one more cannot even wait."""
        if self._stopped:
            raise Unavailable(ENDING)
        if self.full:
            working, waiting = self.lane.at_once, len(self._tasks) - self.lane.at_once
            raise Busy(f"{waiting} {self.lane.name} requests are waiting already for the {working} at work; try again later")

    def add(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
