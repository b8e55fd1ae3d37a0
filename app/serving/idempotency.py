"""Idempotency-Key: who sends the same request again under the same key has the first answer again, and no second run.

A run that ends without a whole answer (it is refused, fails, or its client leaves) leaves its key free. A stream is answered
again as a stream, from behind Last-Event-ID on where that is sent.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from app.errors import Fault, InvalidInput, Unavailable
from app.jobs.database import Unreachable
from app.jobs.idempotency import HELD_SECONDS, Answers, Claim, Kept, digest_of
from app.serving.accept import EVENTS
from app.serving.bodies import Body
from app.serving.call import IDEMPOTENCY_KEY
from app.serving.content import Content, Piece, fields_of
from app.serving.content import Field as HeadField
from app.serving.exchange import NO_STORE, STREAM_FIELDS, Exchange
from app.serving.log import tell
from app.serving.state import State
from app.serving.steps import EVENT_ID, Order
from app.wire.unpacking import unpacked_pieces

log = logging.getLogger("criterion")

REPLAYED: HeadField = (b"idempotency-replayed", b"true")
PIECE_BYTES = 256 * 1024
"""So much of an answer is written at a time."""

P = ParamSpec("P")
T = TypeVar("T")


async def asked(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What the jobs' database says; Unavailable where it does not answer."""
    try:
        return await asyncio.to_thread(function, *arguments, **named)
    except Unreachable as error:
        raise Unavailable(f"{error}; try again later") from error


class Keeping:
    """An answer that is kept as it is given. Where the database takes no more, it is given all the same, and not kept."""

    def __init__(self, answers: Answers, held: Claim) -> None:
        self._answers, self._held = answers, held
        self._waiting = bytearray()
        self._written = 0
        self._lost = False
        self.kept = False

    async def add(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._waiting += piece
            if len(self._waiting) >= PIECE_BYTES:
                await self._write()

    async def end(self, content: Content) -> None:
        """The answer, which is this content, is whole."""
        await self._write()
        if not self._lost:
            await self._lasting(self._answers.keep, self._held, content.media_type)
            self.kept = not self._lost

    async def _write(self) -> None:
        piece, number = bytes(self._waiting), self._written
        self._waiting.clear()
        self._written += 1
        if piece and not self._lost:
            await self._lasting(self._answers.write, self._held, number, piece)

    async def _lasting(self, function: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> None:
        try:
            await asyncio.to_thread(function, *arguments, **named)
        except Unreachable as error:
            self._lost = True
            tell(log, logging.WARNING, "answer_not_kept", error)


@contextlib.asynccontextmanager
async def once(exchange: Exchange, state: State, key: str, body: Body, order: Order) -> AsyncGenerator[Keeping | None]:
    """Where this is the first request of its key, what keeps the answer; None where it has been answered again.

    IdempotencyKeyReused, IdempotencyKeyInUse; InvalidInput where this server keeps no answers.
    """
    answers = _answers(state)
    call = exchange.call
    assert call is not None
    query = exchange.query_string.decode("latin-1")
    digest = await asyncio.to_thread(digest_of, f"{call.name}?{query}", _unpacked(body, order, state.settings.max_body_bytes))
    found = await asked(answers.begin, exchange.name, key, digest)
    if isinstance(found, Kept):
        await _answer_again(exchange, answers, found, order)
        yield None
        return
    keeping, holding = Keeping(answers, found), asyncio.create_task(_hold(answers, found))
    try:
        yield keeping
    finally:
        holding.cancel()
        if not keeping.kept:
            with contextlib.suppress(Unreachable):  # then it is free once it is held no longer
                await asyncio.shield(asyncio.to_thread(answers.release, found))


def _answers(state: State) -> Answers:
    if state.jobs is None:
        message = (
            "this server keeps no answers to give again, as its CRITERION_ENGINE_URL is none, or it is made for evaluation only: "
            "leave Idempotency-Key out"
        )
        raise InvalidInput([Fault((IDEMPOTENCY_KEY,), "unexpected", message)])
    return state.jobs.store.answers


def _unpacked(body: Body, order: Order, limit: int) -> Iterator[bytes | memoryview]:
    if order.packed is None:
        yield body.view
    else:
        yield from unpacked_pieces(body.view, order.packed, limit)


async def _hold(answers: Answers, held: Claim) -> None:
    """Hold the key as long as it is worked on; it never returns."""
    while True:
        await asyncio.sleep(HELD_SECONDS / 5)
        with contextlib.suppress(Unreachable):
            await asyncio.to_thread(answers.hold, held)


async def _answer_again(exchange: Exchange, answers: Answers, kept: Kept, order: Order) -> None:
    streamed = kept.media_type == EVENTS
    fields = STREAM_FIELDS if streamed else (*fields_of(Content((), kept.media_type)), NO_STORE)
    await exchange.start(HTTPStatus.OK, (*fields, REPLAYED))
    pieces = answers.pieces(kept)
    if streamed and EVENT_ID.fullmatch(order.last_event):
        pieces = _behind(pieces, b"\nid: %s\n" % order.last_event.encode())
    while piece := await asked(next, pieces, b""):
        await exchange.send(piece)
    await exchange.send(b"", more=False)


def _behind(pieces: Iterator[bytes], mark: bytes) -> Iterator[bytes]:
    """What comes after the event with this mark in it."""
    for piece in pieces:
        _, found, rest = piece.partition(mark)
        if found:
            yield rest.partition(b"\n\n")[2] or next(pieces, b"")
            yield from pieces
