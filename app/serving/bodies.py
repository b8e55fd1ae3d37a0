"""Request bodies: read as they arrive into memory that a process can share, unpacked, and refused once they are too large."""

import asyncio
import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard

from app.errors import MalformedDocument, StillArriving, TooLarge, UnsupportedMediaType
from app.serving.budget import TINY_BYTES, Reservation
from app.serving.buffers import Buffer
from app.serving.exchange import Exchange
from app.serving.state import State

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""The window bits with which zlib reads both headers."""
ZSTD_WINDOW = 8 * 1024 * 1024
"""A zstd frame may ask for a window as large as it likes, and that is memory too; compressors take up to this by themselves."""
PACKED_PIECE = 512
"""Compressed bytes unpacked at a time: zstd can make 128 KB of four, and a bomb must be noticed before it has gone off."""
PIECE = 256 * 1024
"""What is unpacked before it is looked at whether it is too much."""


class Body:
    """Bytes that grow as they arrive: pieces at first, then memory that a process can share; all of it within the budget."""

    __slots__ = ("_buffer", "_pieces", "_reservation", "_reserved", "_state", "size")

    def __init__(self, state: State, expected: int = 0) -> None:
        self._state = state
        self._pieces: list[bytes] = []
        self._buffer: Buffer | None = None
        self._reserved = max(expected, TINY_BYTES)
        self._reservation: Reservation | None = state.budget.reserve(expected) if expected > TINY_BYTES else None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take in more; StillArriving where it is too much, Busy where there is no room for it now."""
        self.size += len(chunk)
        limit = min(self._state.settings.max_body_bytes, self._state.settings.memory_bytes)
        if self.size > limit:
            raise StillArriving(f"the body is larger than the {limit} bytes that this server takes")
        if self.size <= TINY_BYTES:
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
        elif self.size > self._reserved:
            self._reservation.grow(self.size - self._reserved)
        self._reserved = max(self._reserved, self.size)

    @property
    def content(self) -> bytes | Buffer:
        """What has arrived, as it can be handed to a process."""
        if self._buffer is not None:
            return self._buffer
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    @property
    def view(self) -> bytes | memoryview:
        """What has arrived, to be read here."""
        content = self.content
        return content if isinstance(content, bytes) else content.view()

    def release(self) -> None:
        """Give back its memory. Nobody may read it any more."""
        if self._buffer is not None:
            self._state.buffers.give(self._buffer)
            self._buffer = None
        if self._reservation is not None:
            self._reservation.release()
            self._reservation = None


async def receive_body(exchange: Exchange, state: State) -> Body:
    """The whole body, unpacked; TooLarge where it is above the limit, before or after. The caller has to release it."""
    declared, limit = exchange.declared_size, min(state.settings.max_body_bytes, state.settings.memory_bytes)
    if declared > limit:
        raise StillArriving(f"the body has {declared} bytes; this server takes {limit} at most")
    coding = _coding(exchange)
    body = Body(state, declared)
    try:
        while not exchange.arrived:
            chunk = await exchange.chunk()
            if chunk is None:  # nobody will read the answer, and nothing is wrong with the server
                raise MalformedDocument(f"the connection ended after {body.size} bytes of the body")
            if chunk:
                body.write(chunk)
        if coding is None:
            return body
        unpacked = Body(state)
        try:
            pieces = unpack(body.view, coding, limit)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                unpacked.write(piece)
        except BaseException:
            unpacked.release()
            raise
    except BaseException:
        body.release()
        raise
    body.release()
    return unpacked


def _coding(exchange: Exchange) -> str | None:
    """How the body is packed; UnsupportedMediaType for what is not known here."""
    if b"content-encoding" not in exchange.fields:
        return None
    coding = exchange.listed(b"content-encoding").strip().lower()
    if coding in ("", "identity"):
        return None
    _unpacker(coding)
    return coding


def unpack(packed: bytes | memoryview, coding: str, limit: int) -> Iterator[bytes]:
    """What is behind a Content-Encoding, in pieces; TooLarge before there is more than `limit` bytes of them."""
    unpacker = _unpacker(coding)
    held: list[bytes] = []
    size, total = 0, 0
    try:
        for start in range(0, len(packed), PACKED_PIECE):
            if unpacker.eof:
                raise EOFError("there is more behind its end")
            held.append(unpacker.decompress(packed[start : start + PACKED_PIECE]))
            size += len(held[-1])
            total += len(held[-1])
            if total > limit:
                raise TooLarge(f"the body unpacks to more than the {limit} bytes that this server takes")
            if size >= PIECE:
                yield b"".join(held)
                held.clear()
                size = 0
        if unpacker.unused_data or not unpacker.eof:
            raise EOFError("there is more behind its end" if unpacker.unused_data else "it ends too early")
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise MalformedDocument(f"the body is not {coding}: {str(error)[:100]}") from None
    yield b"".join(held)


class Unpacker(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, /) -> bytes: ...


def _unpacker(coding: str) -> Unpacker:
    if coding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(GZIP_OR_ZLIB)
    if coding == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
    raise UnsupportedMediaType(f"Content-Encoding may be gzip, deflate or zstd, not {coding[:40]!r}")
