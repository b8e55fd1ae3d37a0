"""Kinds of work that queue by themselves: how many are done at a time, how many may wait, and what each may take."""

import asyncio
from typing import NamedTuple

from app.errors import QueueFull, ShuttingDown
from app.serving.slots import Slots

ENDING = "the server is about to end"
TELLING = ("training", "streams")
"""Lanes whose work goes on for long, and tells of events meanwhile."""


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
        self.slots = Slots(lane.at_once)
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopped = False

    @property
    def waiting(self) -> int:
        return max(0, len(self._tasks) - self.lane.at_once)

    @property
    def full(self) -> bool:
        return len(self._tasks) >= self.lane.at_once + self.lane.waiting

    def full_for(self, name: str) -> bool:
        """Whether no more of this name can wait: one of each always may, so that a crowd does not keep others out."""
        return self.full and (not name or self.slots.waits(name))

    def check(self, name: str) -> None:
        """ShuttingDown or QueueFull where one more of this name cannot even wait."""
        if self._stopped:
            raise ShuttingDown(ENDING)
        if self.full_for(name):
            working, name = self.lane.at_once, self.lane.name
            if not self.lane.waiting:
                raise QueueFull(f"{working} {name} are worked on already, and none can wait; try again later")
            raise QueueFull(f"{self.waiting} {name} requests are waiting already for the {working} at work; try again later")

    def add(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
