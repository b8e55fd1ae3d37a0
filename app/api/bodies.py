"""Request bodies: read as they arrive, unpacked, and refused as soon as they are known to be too large."""

import asyncio
import zlib
from collections.abc import Callable

import zstandard
from fastapi import Request

from app.errors import MalformedDocument, TooLarge, UnsupportedMediaType
from app.settings import Settings

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""The window bits with which zlib reads both headers."""

PIECE = 64 * 1024
"""Compressed bytes unpacked at a time, so that a bomb is noticed long before it has gone off."""


async def read_body(request: Request) -> list[bytes]:
    """The whole body in the chunks it came in; TooLarge for one above the limit, before and after it is unpacked."""
    settings: Settings = request.app.state.settings
    limit = settings.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body has {declared[:40]} bytes; this server takes {limit} at most")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is larger than the {limit} bytes that this server takes")
        if chunk:
            chunks.append(chunk)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    return chunks if encoding == "identity" else await asyncio.to_thread(unpack, chunks, encoding, limit)


def unpack(chunks: list[bytes], encoding: str, limit: int) -> list[bytes]:
    """The body behind a Content-Encoding; the limit holds for what comes out."""
    unpacked: list[bytes] = []
    size = 0
    try:
        step, finish = _unpacker(encoding)
        for chunk in chunks:
            for at in range(0, len(chunk), PIECE):
                piece = chunk[at : at + PIECE]
                while piece:
                    out, piece = step(piece)
                    size += len(out)
                    if size > limit:
                        raise TooLarge(f"the body unpacks to more than the {limit} bytes that this server takes")
                    unpacked.append(out)
        finish()
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise MalformedDocument(f"the body is not {encoding}: {str(error)[:100]}") from None
    return unpacked


def _unpacker(encoding: str) -> tuple[Callable[[bytes], tuple[bytes, bytes]], Callable[[], None]]:
    """A step from packed bytes to (unpacked, packed bytes left over), and what to do at the end of the body."""
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _zlib()
    if encoding == "zstd":
        return _zstd()
    raise UnsupportedMediaType(f"Content-Encoding may be gzip, deflate or zstd, not {encoding[:40]!r}")


def _zlib() -> tuple[Callable[[bytes], tuple[bytes, bytes]], Callable[[], None]]:
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)

    def step(piece: bytes) -> tuple[bytes, bytes]:
        if unpacker.eof:
            raise zlib.error("there is more behind its end")
        return unpacker.decompress(piece, 16 * PIECE), unpacker.unconsumed_tail or unpacker.unused_data

    def finish() -> None:
        if not unpacker.eof:
            raise EOFError("it ends too early")

    return step, finish


def _zstd() -> tuple[Callable[[bytes], tuple[bytes, bytes]], Callable[[], None]]:
    # a frame may ask for a window as large as it likes: that is memory too
    unpacker = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).decompressobj()

    def step(piece: bytes) -> tuple[bytes, bytes]:
        if unpacker.eof:
            raise zstandard.ZstdError("there is more behind its end")
        return unpacker.decompress(piece), unpacker.unused_data

    def finish() -> None:
        if not unpacker.eof:
            raise EOFError("it ends too early")

    return step, finish
