"""Requests as bytes, answers as they come, and whether a refusal is in form."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple

from tests.conftest import Server

JSON = "Content-Type: application/json"
STREAM = "Accept: text/event-stream"
SECURITY_HEADERS = ("content-security-policy", "x-content-type-options", "referrer-policy", "x-request-id")


class Answer(NamedTuple):
    """What came back: status 0 where the connection was closed and nothing was said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:200]!r}"


CLOSED = Answer(0, {}, b"")


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """A whole request, with a Host and the length of its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def post(path: str, body: bytes, *headers: str) -> bytes:
    return request("POST", path, body, *(headers or (JSON,)))


def ask(server: Server, message: bytes, timeout: float = 30.0) -> Answer:
    """The answer to a message on a connection of its own; TimeoutError if there is none in time."""
    with server.connect() as connection:
        return exchange(connection, message, timeout)


def exchange(connection: socket.socket, message: bytes, timeout: float = 30.0) -> Answer:
    connection.settimeout(timeout)
    with suppress(ConnectionError):  # refused before all of it was sent: the answer may lie there already
        connection.sendall(message)
    return answer(connection, timeout, message.partition(b" ")[0].decode(errors="replace"))


def answer(connection: socket.socket, timeout: float = 30.0, method: str = "POST") -> Answer:
    """The next answer on a connection."""
    connection.settimeout(timeout)
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except (HTTPException, ConnectionError):  # http.client's word for nothing at all is RemoteDisconnected, which is both
        return CLOSED
    finally:
        response.close()


def until_closed(connection: socket.socket, timeout: float = 30.0) -> bytes:
    """Everything that is still said, to the end of the connection."""
    connection.settimeout(timeout)
    received: list[bytes] = []
    try:
        while chunk := connection.recv(1 << 16):
            received.append(chunk)
    except ConnectionError:
        pass
    return b"".join(received)


def at_once(work: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """The answers of calls that begin together."""
    ready = threading.Barrier(len(work))

    def begin(call: Callable[[], Answer]) -> Answer:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


# --- in form ------------------------------------------------------------------------------------------------------------


def assert_refused(given: Answer, statuses: Iterable[int] = (413, 422, 503)) -> None:
    """A problem, on /v1 and wherever no protocol says otherwise; or a connection that is closed."""
    if given.status == 0:
        return
    assert given.status in statuses, given
    assert given.headers["content-type"] == "application/problem+json", given
    document = given.document
    assert document["status"] == given.status
    assert document["code"]
    assert document["detail"]
    _assert_says_when(given)


def assert_protocol_refused(given: Answer, statuses: Iterable[int] = (413, 422, 503)) -> None:
    """The inference protocol's error, on /v2."""
    if given.status == 0:
        return
    assert given.status in statuses, given
    assert given.headers["content-type"] == "application/json", given
    assert isinstance(given.document["error"], str)
    _assert_says_when(given)


def _assert_says_when(given: Answer) -> None:
    if given.status == 503:
        assert int(given.headers["retry-after"]) >= 1


def assert_answered_or_refused(given: Answer, statuses: Iterable[int] = (413, 422, 503)) -> None:
    if given.status != 200:
        assert_refused(given, statuses)
