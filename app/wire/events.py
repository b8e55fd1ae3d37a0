"""Server-sent events: JSON in lines that every reader takes (HTML standard, 9.2.6)."""

import re
from collections.abc import Iterator

LONGEST_LINE = 60_000
"""Bytes of a line: readers keep one whole in memory, and some, as Python's asyncio, refuse one of more than 64 KiB."""
FIELD = b"data: "

PING = b": ping\n\n"
"""A comment, which keeps a connection open that proxies would close for its silence."""

TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+\\?"?|,', re.DOTALL)
"""A comma; or a string, which may be cut off, so that the commas in it are passed over."""


def event(name: str, data: bytes, identity: str | None = None) -> bytes:
    """An event with JSON, itself in one line, as its data: in several lines where it is too long for one.

    Readers join the lines by newlines, which JSON may have between its tokens. A string or a number is never cut, so that
    a line is too long where one of them is.
    """
    head = f"event: {name}\n" if identity is None else f"event: {name}\nid: {identity}\n"
    return b"".join((head.encode(), *(FIELD + line + b"\n" for line in _lines(data, LONGEST_LINE - len(FIELD))), b"\n"))


def _lines(data: bytes, longest: int) -> Iterator[bytes]:
    start = 0
    while len(data) - start > longest:
        end = _last_comma(data, start, start + longest) or _first_comma(data, start)
        if end is None:
            break
        yield data[start:end]
        start = end
    yield data[start:]


def _last_comma(data: bytes, start: int, end: int) -> int | None:
    """Where the last comma of this part ends that stands outside of strings; the part begins outside of them."""
    if data.find(b'"', start, end) < 0:
        return data.rfind(b",", start, end) + 1 or None
    commas = [token.end() for token in TOKEN.finditer(data, start, end) if token[0] == b","]
    return commas[-1] if commas else None


def _first_comma(data: bytes, start: int) -> int | None:
    return next((token.end() for token in TOKEN.finditer(data, start) if token[0] == b","), None)
