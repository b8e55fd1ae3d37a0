"""Packed bodies: gzip, deflate and zstd, of which no more is unpacked than is taken."""

import zlib
from collections.abc import Iterator
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
    unpacker = _unpacker(coding)
    size = 0
    try:
        for start in range(0, len(packed), PACKED_PIECE):
            if unpacker.eof:
                raise EOFError("there is more behind its end")
            piece = unpacker.decompress(packed[start : start + PACKED_PIECE])
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
