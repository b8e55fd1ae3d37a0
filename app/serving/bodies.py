"""Request bodies: read as they arrive into memory that a process can share, and refused as soon as they are too large.

One without an end, perhaps, is not kept: it is handed on as it comes, and what counts is what lies between the two ends.
"""

from app.errors import MalformedDocument, StillArriving
from app.serving.budget import TINY_BYTES, Reservation
from app.serving.buffers import Buffer
from app.serving.exchange import Exchange
from app.serving.flow import HELD_BYTES, Flow
from app.serving.state import State


class Body:
    """Bytes that grow as they arrive: pieces at first, then memory that a process can share; all of it within the budget."""

    __slots__ = ("_buffer", "_limit", "_pieces", "_reservation", "_state", "size")

    def __init__(self, state: State, limit: int, expected: int) -> None:
        self._state, self._limit = state, limit
        self._pieces: list[bytes] = []
        self._buffer: Buffer | None = None
        self._reservation: Reservation | None = state.budget.reserve(expected) if expected > TINY_BYTES else None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take in more; StillArriving where it is too much, OverBudget where there is no room for it now."""
        self.size = size = self.size + len(chunk)
        if size > self._limit:
            raise StillArriving(f"the body is larger than the {self._limit} bytes that this server takes")
        if size <= TINY_BYTES:
            self._pieces.append(chunk)
            return
        self._reserve()
        if self._buffer is None:
            self._buffer = self._state.buffers.take()
            for piece in self._pieces:
                self._buffer.write(piece)
            self._pieces.clear()
        self._buffer.write(chunk)

    def _reserve(self) -> None:
        if self._reservation is None:
            self._reservation = self._state.budget.reserve(self.size)
        elif self.size > self._reservation.size:
            self._reservation.grow(self.size - self._reservation.size)

    @property
    def reserved(self) -> int:
        """The bytes of the budget that it takes."""
        return self._reservation.size if self._reservation else 0

    @property
    def content(self) -> bytes | Buffer:
        """What has arrived, as it can be handed to a process."""
        if self._buffer is not None:
            return self._buffer
        return b"".join(self._pieces)  # one piece of bytes is not copied

    @property
    def view(self) -> bytes | memoryview:
        """What has arrived, to be read here."""
        return self._buffer.view() if self._buffer is not None else b"".join(self._pieces)

    async def left(self, exchange: Exchange) -> None:
        """Returns when the client has gone."""
        await exchange.left()

    def release(self) -> None:
        """Give back its memory. Nobody may read it any more."""
        if self._buffer is not None:
            self._state.buffers.give(self._buffer)
            self._buffer = None
        if self._reservation is not None:
            self._reservation.release()
            self._reservation = None


async def receive_body(exchange: Exchange, state: State) -> Body:
    """The whole body as it comes, packed or not; TooLarge where it is above the limit. The caller has to release it."""
    declared, settings = exchange.declared_size, state.settings
    limit = min(settings.max_body_bytes, settings.memory_bytes)
    if declared > limit:
        raise StillArriving(f"the body has {declared} bytes; this server takes {limit} at most")
    body = Body(state, limit, declared)
    try:
        while not exchange.arrived:
            chunk = await exchange.chunk()
            if chunk is None:  # it may be that nobody reads the answer, and nothing is wrong with the server
                raise MalformedDocument(f"the connection ended after {body.size} bytes of the body")
            if chunk:
                body.write(chunk)
    except BaseException:
        body.release()
        raise
    return body


class PassingBody:
    """A body that a process reads while it comes, however long it is."""

    def __init__(self, state: State) -> None:
        self._reservation = state.budget.reserve(HELD_BYTES)
        self.content = Flow()

    @property
    def reserved(self) -> int:
        """The bytes of the budget that it takes."""
        return self._reservation.size

    async def left(self, exchange: Exchange) -> None:
        """Hand on what comes, as fast as it is read; returns when the client has gone.

        MalformedDocument where that was before the end, QuotaExceeded where more has come than may.
        """
        try:
            while not exchange.arrived:
                chunk = await exchange.chunk()
                if chunk is None:
                    raise MalformedDocument(f"the connection ended after {exchange.received} bytes of the body")
                await self.content.write(chunk)
            self.content.end()
        except BrokenPipeError:  # the process wants no more of it, and is about to say why
            pass
        await exchange.left()

    def release(self) -> None:
        """Nobody may read it any more."""
        self.content.close()
        self._reservation.release()
