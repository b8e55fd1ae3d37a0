"""Answers on their way: whole ones, those that never change, and those of a process, event by event where they are streamed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from typing import Any, cast

from app.errors import CallerError, Unavailable
from app.serving.bodies import Body, PassingBody
from app.serving.buffers import Buffer
from app.serving.call import Lane
from app.serving.child import Job
from app.serving.content import Content, Field, fields_of
from app.serving.exchange import NO_STORE, STREAM_FIELDS, Exchange
from app.serving.idempotency import Keeping
from app.serving.lanes import TELLING
from app.serving.problems import as_problem, failure
from app.serving.state import State
from app.serving.steps import LAST, Order, answer, answer_job, check_job, packed, run_job
from app.serving.work import Work
from app.wire.events import PING, event
from app.wire.packing import LEVEL_ONCE, Coding

PING_SECONDS = 15.0
"""Silence after which a stream says that it is alive, as proxies want it."""
MAX_AGE: Field = (b"cache-control", b"max-age=300")
VARIES: Field = (b"vary", b"accept-encoding")
INLINE_PACKED_BYTES = 64 * 1024
"""A larger answer is packed in a thread: zlib and zstd leave the interpreter lock alone."""


def reply(exchange: Exchange, content: Content, coding: Coding | None, status: int = 200) -> Awaitable[None]:
    """A whole answer."""
    return exchange.answer(content, status) if coding is None else _reply_packed(exchange, content, coding, status)


async def _reply_packed(exchange: Exchange, content: Content, coding: Coding, status: int) -> None:
    if content.size > INLINE_PACKED_BYTES:
        content = await asyncio.to_thread(packed, content, coding)
    else:
        content = packed(content, coding)
    await exchange.answer(content, status, fields=(NO_STORE, VARIES))


async def reply_constant(exchange: Exchange, state: State, lane: Lane | None, order: Order) -> None:
    """An answer that stays the same: with a tag under which the client may keep it (RFC 9110, 8.8.3)."""
    content = await _answered_elsewhere(exchange, state, lane, order._replace(coding=None)) if lane else answer(b"", order)
    digest = sha256(b"".join(content.pieces))
    tag = b'"%s%s"' % (digest.hexdigest()[:32].encode(), b"-" + order.coding.encode() if order.coding else b"")
    kept = any(name == b"cache-control" for name, _ in content.fields)
    fields = (*(() if kept else (MAX_AGE,)), VARIES, (b"etag", tag))
    known = exchange.listed(b"if-none-match")
    if known and (known.strip() == "*" or tag.decode() in [listed.strip().removeprefix("W/") for listed in known.split(",")]):
        await exchange.start(HTTPStatus.NOT_MODIFIED, (*content.fields, *fields))
        await exchange.send(b"", more=False)
        return
    if kept or content.size > INLINE_PACKED_BYTES:
        content = await asyncio.to_thread(_packed_once, content, order.coding)
    else:
        content = packed(content, order.coding)
    await exchange.answer(content, fields=fields)


@lru_cache(64)
def _packed_once(content: Content, coding: Coding | None) -> Content:
    """A file, or a large answer that stays the same, is packed when it is first asked for."""
    return packed(content, coding, LEVEL_ONCE)


async def _answered_elsewhere(exchange: Exchange, state: State, lane: Lane, order: Order) -> Content:
    """A small answer to an address, from a process."""
    content, written = await _done_elsewhere(exchange, state, lane, answer_job, b"", order)
    return content._replace(pieces=(written,))


async def checked_elsewhere(exchange: Exchange, state: State, lane: Lane, body: Body, order: Order) -> tuple[Any, bytes]:
    """A request, checked in a process, and the bytes that it was read from, unpacked."""
    return await _done_elsewhere(exchange, state, lane, check_job, body.content, order)


async def _done_elsewhere(
    exchange: Exchange, state: State, lane: Lane, job: Job, body: Buffer | bytes, order: Order
) -> tuple[Any, bytes]:
    """What a process knows of its answer, and the answer, which is small."""
    async with state.pool.work(lane, job, body, order, name=exchange.name, asked=exchange.admit) as work:
        exchange.turns = (work.turn,)
        async for _ in work:
            pass
        known, written = work.known, work.answer
    try:
        return known, b"".join(written.pieces())
    finally:
        state.buffers.give(written)


async def reply_stream(exchange: Exchange, events: AsyncGenerator[bytes]) -> None:
    """Events as they come, until there are no more or the client leaves. What breaks them off is told; there is no end then."""
    await exchange.start(HTTPStatus.OK, STREAM_FIELDS)
    gone = asyncio.create_task(exchange.left())
    try:
        async for piece in _told(events, gone):
            await exchange.send(piece)
    except Exception as error:
        exchange.error = error
        await exchange.send(event("error", b"".join(_problem(exchange, error).pieces), None))
    finally:
        gone.cancel()
        await events.aclose()
    if not gone.done():
        await exchange.send(b"", more=False)


async def reply_from_process(
    exchange: Exchange, state: State, lane: Lane, body: Body | PassingBody, order: Order, keeping: Keeping | None = None
) -> None:
    """The answer of a process, its events first where they are asked for. Whoever leaves takes the work along.

    Where it is to be given again, it is kept before the last of it is sent.
    """
    gone = asyncio.create_task(body.left(exchange))
    try:
        job = run_job if lane in TELLING else answer_job
        async with state.pool.work(lane, job, body.content, order, name=exchange.name, asked=exchange.admit) as work:
            exchange.turns = (work.turn,)
            async for piece in _told(work, gone):
                if not exchange.started and piece != PING:  # before the first event, what is wrong is an ordinary answer
                    await exchange.start(HTTPStatus.OK, STREAM_FIELDS)
                if keeping and piece != PING:
                    await keeping.add([piece])
                if exchange.started:
                    await exchange.send(piece)
            if gone.done():
                gone.result()
            else:
                await _last(exchange, state, work, body, order, keeping)
    except Exception as error:
        if not exchange.started:
            raise
        await _broken(exchange, error)
    finally:
        gone.cancel()
        await asyncio.wait([gone])
        if not gone.cancelled():
            gone.exception()  # which has been told, or comes too late


async def _told(work: AsyncIterator[bytes], gone: asyncio.Task[None]) -> AsyncGenerator[bytes]:
    """The events of a run as they come, and a sign of life in silence. It ends with the run, or when the client goes."""
    coming = asyncio.ensure_future(anext(work, None))
    try:
        while not gone.done():
            await asyncio.wait({coming, gone}, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                happened = coming.result()
                if happened is None:
                    return
                coming = asyncio.ensure_future(anext(work, None))
                yield happened
            elif not gone.done():
                yield PING
    finally:
        coming.cancel()


async def _last(
    exchange: Exchange, state: State, work: Work, body: Body | PassingBody, order: Order, keeping: Keeping | None
) -> None:
    """What the process has written, piece by piece: there is no second copy of the whole."""
    content, size = cast(Content, work.known), work.answer.size
    try:
        with state.budget.reserve(size, beside=body.reserved):
            if keeping:
                await keeping.add(work.answer.pieces())
                await keeping.end(content)
            if order.streamed and not exchange.started:
                await exchange.start(HTTPStatus.OK, STREAM_FIELDS)
            if not order.streamed:
                length = (b"content-length", b"%d" % size)
                await exchange.start(HTTPStatus.OK, (*fields_of(content), length, NO_STORE, *((VARIES,) if order.coding else ())))
            for piece in work.answer.pieces():
                await exchange.send(piece)
                await asyncio.sleep(0)  # to a client that reads fast enough, sending never waits, and nobody else had his turn
            await exchange.send(b"", more=False)
    finally:
        state.buffers.give(work.answer)


async def _broken(exchange: Exchange, error: Exception) -> None:
    """The status is sent already: the stream says it."""
    exchange.error = error
    await exchange.send(event("error", b"".join(_problem(exchange, error).pieces), None))
    await exchange.send(event(LAST, b"null", LAST), more=False)


def _problem(exchange: Exchange, error: Exception) -> Content:
    return as_problem(error) if isinstance(error, CallerError | Unavailable) else failure(exchange.request_id.decode())
