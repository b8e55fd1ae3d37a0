"""Requests that are sent again under the same Idempotency-Key: which request has a key, and the answer that it had.

A key belongs to one name and one request. A job has it from its first moment to its last, and is itself what is answered
again. An answer that somebody waits for has it in two steps: while it is worked on the key is held, for some seconds at a
time, so that one whose server has died is free again; once it is whole, it is kept.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from app.jobs.database import Execute
from app.jobs.tables import Tables

HELD_SECONDS = 15.0
"""How long a key is held for somebody who says nothing more."""


class Kept(NamedTuple):
    """An answer that was given."""

    answer: str
    media_type: str


class Claim(NamedTuple):
    """A key under which somebody has begun to work."""

    owner: str
    key: str
    answer: str


def digest_of(call: str, pieces: Iterable[bytes | memoryview]) -> str:
    """What tells one request from another: the call, and the bytes of its body."""
    digest = hashlib.sha256(call.encode() + b"\n")
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


class Known(NamedTuple):
    """What stands under a key already."""

    job: str | None
    answer: str | None
    media_type: str | None


def claim(
    execute: Execute,
    owner: str,
    key: str,
    digest: str,
    *,
    job: str | None = None,
    answer: str | None = None,
    expires: float | None = None,
) -> Known | None:
    """Take the key for a request; what has it already, if anything. IdempotencyKeyReused where that is another request."""
    _forget_expired(execute, time.time())
    taken = execute(
        "INSERT INTO criterion_requests VALUES (?, ?, ?, ?, ?, NULL, ?) ON CONFLICT (owner, key) DO NOTHING RETURNING key",
        owner,
        key,
        digest,
        job,
        answer,
        expires,
    )
    if taken:
        return None
    ((before, *known),) = execute(
        "SELECT digest, job, answer, media_type FROM criterion_requests WHERE owner = ? AND key = ?", owner, key
    )
    if before != digest:
        raise IdempotencyKeyReused("this Idempotency-Key was sent with another request: a new request needs a new one")
    return Known(*known)


def _forget_expired(execute: Execute, now: float) -> None:
    for (answer,) in execute("DELETE FROM criterion_requests WHERE expires <= ? RETURNING answer", now):
        execute("DELETE FROM criterion_answers WHERE answer = ?", answer)
    # a job that nobody has forgotten yet, since no worker is there to do it
    execute("DELETE FROM criterion_requests WHERE job IN (SELECT id FROM criterion_jobs WHERE expires <= ?)", now)


class Answers:
    """Answers that are given again. Its methods wait for the database, so they are for threads; Unreachable as of the jobs."""

    def __init__(self, tables: Tables, retention: float) -> None:
        self._tables, self._retention = tables, retention

    def begin(self, owner: str, key: str, digest: str) -> Claim | Kept:
        """The key, held for this request, or the answer that it had.

        IdempotencyKeyReused where another request has it, IdempotencyKeyInUse where this one is being answered.
        """
        answer = os.urandom(16).hex()
        with self._tables.changing() as execute:
            known = claim(execute, owner, key, digest, answer=answer, expires=time.time() + HELD_SECONDS)
        if known is None:
            return Claim(owner, key, answer)
        if known.answer is None or known.media_type is None:
            raise IdempotencyKeyInUse("the first request of this Idempotency-Key is still being answered; try again later")
        return Kept(known.answer, known.media_type)

    def hold(self, held: Claim) -> None:
        """It is still worked on."""
        self._change(held, "SET expires = ?", time.time() + HELD_SECONDS)

    def write(self, held: Claim, number: int, piece: bytes) -> None:
        """A piece of the answer."""
        with self._tables.changing() as execute:
            execute("INSERT INTO criterion_answers VALUES (?, ?, ?)", held.answer, number, piece)

    def keep(self, held: Claim, media_type: str) -> None:
        """The answer is whole."""
        self._change(held, "SET media_type = ?, expires = ?", media_type, time.time() + self._retention)

    def release(self, held: Claim) -> None:
        """The key is free again, unless the answer is kept."""
        with self._tables.changing() as execute:
            kept = execute("SELECT 1 FROM criterion_requests WHERE answer = ? AND media_type IS NOT NULL", held.answer)
            if not kept:
                execute("DELETE FROM criterion_requests WHERE answer = ?", held.answer)
                execute("DELETE FROM criterion_answers WHERE answer = ?", held.answer)

    def pieces(self, kept: Kept) -> Iterator[bytes]:
        """The answer, a piece at a time."""
        number = 0
        while True:
            with self._tables.reading() as execute:
                rows = execute("SELECT piece FROM criterion_answers WHERE answer = ? AND number = ?", kept.answer, number)
            if not rows:
                return
            yield bytes(rows[0][0])
            number += 1

    def _change(self, held: Claim, change: str, *values: object) -> None:
        with self._tables.changing() as execute:
            execute(
                f"UPDATE criterion_requests {change} WHERE owner = ? AND key = ? AND answer = ?",
                *values,
                held.owner,
                held.key,
                held.answer,
            )
