"""temporary"""

PING = b": ping\n\n"


def event(name: str, data: bytes, id_: str | None = None) -> bytes:
    return b"".join((b"event: ", name.encode(), b"\n", b"id: %s\n" % id_.encode() if id_ else b"", b"data: ", data, b"\n\n"))
