"""One request and its answer on the wire: what has come, what has been sent, and what every answer carries.

The only place that writes headers.
"""

import re
from collections.abc import Awaitable, Iterable, Sequence
from functools import cached_property
from http import HTTPStatus
from random import getrandbits
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from app.errors import CallerError, Unavailable
from app.serving.accept import EVENTS
from app.serving.buffers import PIECE_BYTES
from app.serving.content import Content, Field, fields_of
from app.serving.problems import rendered, server_error
from app.serving.quotas import Account
from app.serving.usage import NO_USAGE, Usage
from app.serving.work import Turn

if TYPE_CHECKING:
    from app.serving.call import Call

SECURITY: tuple[Field, ...] = (
    (
        b"content-security-policy",
        b"; ".join(
            (
                b"default-src 'none'",
                b"script-src 'self'",
                b"style-src 'self'",
                b"img-src 'self' data:",
                b"connect-src 'self'",
                b"font-src 'self'",
                b"base-uri 'none'",
                b"form-action 'none'",
                b"frame-ancestors 'none'",
            )
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
"""What every answer carries."""

ACCEPTED_ID = re.compile(rb"[\w.:-]{1,100}")
NO_STORE: Field = (b"cache-control", b"no-store")
STREAM_FIELDS: tuple[Field, ...] = ((b"content-type", EVENTS.encode()), NO_STORE, (b"x-accel-buffering", b"no"))
CLOSE: Field = (b"connection", b"close")
DROPPED_BYTES = 64 * 1024
"""A body of at most so many bytes is dropped by the server as it comes, and the connection kept."""


def alone(error: Exception) -> tuple[int, list[Field], bytes]:
    """Status, fields and body of the answer to what is not even a request: it has what every answer has."""
    request_id = _new_id()
    known = isinstance(error, CallerError | Unavailable)
    status, fields, content = rendered(error, "") if known else server_error(request_id.decode(), "")
    return status, [*fields_of(content), NO_STORE, *fields, *SECURITY, (b"x-request-id", request_id)], b"".join(content.pieces)


def _new_id() -> bytes:
    return b"%032x" % getrandbits(128)  # to be told apart, not to be kept from anybody: no system call


class Exchange:
    """A request as it has come, and the answer as it goes. HEAD is GET without a body."""

    arrived = False
    """Whether all of the body is there."""
    started = False
    """Whether some of the answer has been sent."""
    more: tuple[Field, ...] = ()
    """What every answer to it carries beside what all answers do."""
    call: "Call | None" = None
    """The call that it is for, once that is found."""
    name = ""
    """Who asks, where keys are asked for."""
    scopes: tuple[str, ...] | None = None
    """What he may, where keys are asked for."""
    keyed = False
    """Whether they were asked for."""
    account: Account | None = None
    """What is counted, where whoever asks has a quota."""
    usage: Usage = NO_USAGE
    """What it asks for, once that is known."""
    received = 0
    """Bytes of the body that have come."""
    status = 0
    """What has been answered; 0 while nothing has."""
    sent = 0
    """Bytes of the answer's body."""
    seconds = 0.0
    """From its beginning to its end."""
    turns: Sequence[Turn] = ()
    """What processes did for it."""
    error: Exception | None = None
    """Why it was not answered as it asks."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began = perf_counter()
        self.scope = scope
        self._receive, self._send = receive, send
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        """The fields of the head; of one that stands twice the last (`listed` has them all)."""
        method: str = scope["method"]
        self.head_only = method == "HEAD"
        self.method = "GET" if self.head_only else method
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        self.path = path.removeprefix(root) if root else path
        own = self.fields.get(b"x-request-id")
        self.request_id = own if own is not None and ACCEPTED_ID.fullmatch(own) else _new_id()

    # --- the request

    @property
    def state(self) -> dict[str, Any]:
        """What whoever has the connection says of it."""
        return self.scope.setdefault("state", {})

    @property
    def query_string(self) -> bytes:
        return self.scope["query_string"]

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.query_string.decode("latin-1"), keep_blank_values=True) if self.query_string else {}

    def listed(self, name: bytes) -> str:
        """The values of a field that may stand several times, as one list."""
        return ", ".join(value.decode("latin-1") for field, value in self.scope["headers"] if field == name)

    @property
    def declared_size(self) -> int:
        """Content-Length; 0 where the length is not told beforehand."""
        declared = self.fields.get(b"content-length", b"")
        return int(declared) if declared.isdigit() else 0

    async def chunk(self) -> bytes | None:
        """The next piece of the body, None where the client has gone; `arrived` says whether it was the last."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.arrived = True
            return None
        self.arrived = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        self.received += len(body)
        if self.account is not None:
            self.account.receive(self.received)
        return body

    async def left(self) -> None:
        """Returns when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def admit(self, usage: Usage) -> None:
        """What is asked for is known, or more of it, and work on it is about to begin.

        QuotaExceeded where there is not enough left for it.
        """
        self.usage = usage if self.usage is NO_USAGE else self.usage.plus(usage)
        if self.account is not None and usage.cost:
            self.account.begin(usage.cost)

    # --- the answer

    def start(self, status: int, fields: Iterable[Field]) -> Awaitable[None]:
        self.started = True
        self.status = status
        if self.account is not None:
            self.account.settle(self.received)
            self.more = (*self.more, *self.account.fields())
        headers = [*fields, *self.more, *SECURITY, (b"x-request-id", self.request_id)]
        return self._send({"type": "http.response.start", "status": status, "headers": headers})

    def send(self, piece: bytes, *, more: bool = True) -> Awaitable[None]:
        body = b"" if self.head_only else piece
        self.sent += len(body)
        return self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, content: Content, status: int = 200, fields: Sequence[Field] = (NO_STORE,)) -> None:
        """A whole answer."""
        body = b"".join(content.pieces)  # one piece of bytes is not copied
        await self.start(status, (*fields_of(content), (b"content-length", b"%d" % len(body)), *fields))
        sent = 0
        while len(body) - sent > PIECE_BYTES:  # before each piece, most of those before it have been read
            await self.send(body[sent : sent + PIECE_BYTES])
            sent += PIECE_BYTES
        await self.send(body[sent:], more=False)

    async def nothing(self) -> None:
        """There is nothing more to say: a client of server-sent events stops reconnecting (HTML standard, 9.2.3)."""
        await self.start(HTTPStatus.NO_CONTENT, (NO_STORE,))
        await self.send(b"", more=False)

    async def refuse(self, error: CallerError | Unavailable) -> None:
        """Say why a request is not answered. The connection ends with it where much of the body is still to come."""
        self.error = error
        status, fields, content = rendered(error, self.path)
        closing = (CLOSE,) if not self.arrived and self._much_comes() else ()
        await self.answer(content, status, (NO_STORE, *closing, *fields))

    async def fail(self, error: Exception) -> None:
        """Say that the server is to blame, and under which id its log has the reason."""
        self.error = error
        status, fields, content = server_error(self.request_id.decode(), self.path)
        await self.answer(content, status, (NO_STORE, *fields))

    def _much_comes(self) -> bool:
        return self.declared_size > DROPPED_BYTES or b"transfer-encoding" in self.fields
