"""Packed bodies: gzip, deflate and zstd, of which no more is unpacked than is taken."""

import io
import math
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import zstandard

from app.errors import MalformedDocument, TooLarge, UnsupportedMediaType

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""The window bits with which zlib reads both headers."""
ZSTD_WINDOW = 8 * 1024 * 1024
"""A zstd frame may ask for a window as large as it likes, and that is memory too; compressors take up to this by themselves."""
PACKED_PIECE = 512
"""Compressed bytes unpacked at a time: zstd can make 128 KB of four, and a bomb must be noticed before it has gone off."""


def unpacking(content_encoding: str) -> str | None:
    """How a body is packed, None where it is not; UnsupportedMediaType for what is not known here."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return None
    _unpacker(coding)
    return coding


def unpack(packed: bytes | memoryview, coding: str, limit: int) -> bytes:
    """What is behind a Content-Encoding; TooLarge before there is more than `limit` bytes of it."""
    return b"".join(unpacked_pieces(packed, coding, limit))


def unpacked_pieces(packed: bytes | memoryview, coding: str, limit: int) -> Iterator[bytes]:
    """The same, piece by piece."""
    return _unpacked((packed[start : start + PACKED_PIECE] for start in range(0, len(packed), PACKED_PIECE)), coding, limit)


def unpacked_file(packed: io.BufferedReader, coding: str) -> io.BufferedReader:
    """The same of a file, unpacked as it is read, however long it is."""
    read: Iterable[bytes] = iter(lambda: packed.read1(PACKED_PIECE), b"")
    return io.BufferedReader(_Unpacked(_unpacked(read, coding, math.inf)))


class _Unpacked(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  # what it is called with
        while not self._piece and (piece := next(self._pieces, None)) is not None:
            self._piece = memoryview(piece)
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


def _unpacked(packed: Iterable[bytes | memoryview], coding: str, limit: float) -> Iterator[bytes]:
    unpacker = _unpacker(coding)
    size = 0
    try:
        for part in packed:
            if unpacker.eof:
                raise EOFError("there is more behind its end")
            piece = unpacker.decompress(part)
            size += len(piece)
            if size > limit:
                raise TooLarge(f"the body unpacks to more than the {limit} bytes that this server takes")
            yield piece
        if unpacker.unused_data or not unpacker.eof:
            raise EOFError("there is more behind its end" if unpacker.unused_data else "it ends too early")
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise MalformedDocument(f"the body is not {coding}: {str(error)[:100]}") from None


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
