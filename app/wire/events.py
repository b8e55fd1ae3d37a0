"""temporary"""

PING = b": ping\n\n"


def event(name: str, data: bytes, id: str | None = None) -> bytes:
    return b"".join((b"event: ", name.encode(), b"\n", b"id: %s\n" % id.encode() if id else b"", b"data: ", data, b"\n\n"))
