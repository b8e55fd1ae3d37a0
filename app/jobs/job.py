"""What a job is, and how it is shown."""

import os
import time
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Unit: TypeAlias = Literal["epochs", "runs", "partitions"]
ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
RESUMABLE: tuple[Status, ...] = ("failed", "cancelled")

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: in the order of their codes, so that ids sort as the numbers that they stand for."""
RANDOM_BITS = 80


class Job(NamedTuple):
    """A job without what it was asked and what it has answered, which may be large."""

    id: str
    owner: str
    """The name of the key that asked for it; nothing where keys are off."""
    kind: str
    status: Status
    priority: int
    total: int
    unit: Unit
    created: float
    """Seconds since 1970, as the others."""
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    """When it is forgotten."""
    run: int = 1
    """One more whenever it is resumed: what is said of an earlier run holds no longer."""
    attempts: int = 0
    done: int = 0
    told: int = 0
    """How many epochs, runs and partitions have been told: what a run says anew after a crash is known by it."""
    events: int = 0
    """How many events there are."""
    used: float = 0.0
    """Seconds of work in this run."""

    @property
    def ended_already(self) -> bool:
        return self.status in ENDED


Run: TypeAlias = tuple[str, int, int]
"""A job, which resumption of it, and which part of it, from 1; 0 where it is done in one."""


class JobEvent(NamedTuple):
    """Something that has happened in a job."""

    number: int
    """From 1."""
    name: str
    data: bytes
    """JSON."""


def new_id() -> str:
    """A ULID: the milliseconds since 1970 and 80 random bits, so that ids sort as the jobs came."""
    number = int(time.time() * 1000) << RANDOM_BITS | int.from_bytes(os.urandom(RANDOM_BITS // 8))
    return "".join(LETTERS[number >> shift & 31] for shift in range(125, -1, -5))


def shown(job: Job, position: int | None = None, result: Any = None, problem: Any = None) -> dict[str, Any]:
    """A job as callers see it; `position` counts only while it is queued."""
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "priority": job.priority,
        "created": moment(job.created),
        "started": moment(job.started),
        "ended": moment(job.ended),
        "expires": moment(job.expires),
        "position": position if job.status == "queued" else None,
        "attempts": job.attempts,
        "progress": {"done": job.done, "total": job.total, "unit": job.unit},
        "result": result,
        "problem": problem,
    }


def moment(seconds: float | None) -> str | None:
    """RFC 3339, in UTC, with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
