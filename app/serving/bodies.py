"""Request bodies: read as they arrive, unpacked, and refused as soon as they are known to be too large."""

import asyncio
import contextlib
import zlib
from typing import Protocol

import zstandard
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from app.errors import MalformedDocument, StillArriving, TooLarge, UnsupportedMediaType
from app.settings import Settings

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""The window bits with which zlib reads both headers."""

ZSTD_WINDOW = 8 * 1024 * 1024
"""A zstd frame may ask for a window as large as it likes, and that is memory too; compressors take up to this by themselves."""

PIECE = 512
"""Compressed bytes unpacked at a time: zstd can make 128 KB of four, and a bomb must be noticed before it has gone off."""


LINGER_SECONDS = 2.0
"""How long a refused body is still taken in and dropped: a connection closed over unread bytes loses the answer as well."""


class Refusal(Response):
    """A whole answer to a request whose body is still arriving."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_body(request: Request) -> list[bytes]:
    """The whole body in the chunks it came in; TooLarge for one above the limit, before and after it is unpacked."""
    settings: Settings = request.app.state.settings
    limit = settings.max_body_bytes
    headers = dict(request.scope["headers"])
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise StillArriving(f"the body has {declared[:40].decode()} bytes; this server takes {limit} at most")
    chunks = await _chunks(request.receive, limit)
    if b"content-encoding" not in headers:
        return chunks
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower() or "identity"
    return chunks if encoding == "identity" else await asyncio.to_thread(unpack, chunks, encoding, limit)


async def _chunks(receive: Receive, limit: int) -> list[bytes]:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":  # nobody will read the answer, and nothing is wrong with the server
            raise MalformedDocument(f"the connection ended after {size} bytes of the body")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise StillArriving(f"the body is larger than the {limit} bytes that this server takes")
        if chunk:
            chunks.append(chunk)
    return chunks


def unpack(chunks: list[bytes], encoding: str, limit: int) -> list[bytes]:
    """The body behind a Content-Encoding; the limit holds for what comes out."""
    unpacker = _unpacker(encoding)
    unpacked: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            for at in range(0, len(chunk), PIECE):
                if unpacker.eof:
                    raise EOFError("there is more behind its end")
                out = unpacker.decompress(chunk[at : at + PIECE])
                size += len(out)
                if size > limit:
                    raise TooLarge(f"the body unpacks to more than the {limit} bytes that this server takes")
                unpacked.append(out)
        if unpacker.unused_data or not unpacker.eof:
            raise EOFError("there is more behind its end" if unpacker.unused_data else "it ends too early")
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise MalformedDocument(f"the body is not {encoding}: {str(error)[:100]}") from None
    return unpacked


class Unpacker(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _unpacker(encoding: str) -> Unpacker:
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(GZIP_OR_ZLIB)
    if encoding == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
    raise UnsupportedMediaType(f"Content-Encoding may be gzip, deflate or zstd, not {encoding[:40]!r}")
