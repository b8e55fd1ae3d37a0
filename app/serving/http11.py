"""HTTP/1.1 on the socket: uvicorn's protocol, with limits, deadlines and answers in form for whatever a stranger sends.

A connection is in one Phase; what happens on it sets its `age` to 0, and one sweep over all connections lets them age.
So a deadline costs a request nothing, and a server that was busy does not blame its clients for it.
"""

import asyncio
import resource
import urllib.parse
from asyncio import Transport
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, cast
from weakref import WeakSet

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from app.errors import Busy, ClientLeft, HeadTooLarge, MalformedRequest, ShuttingDown, TooSlow
from app.serving.observation import Refused, unobserved
from app.serving.turns import TakingTurns, Turns
from app.settings import Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body."""

PIECE = 4096
"""Bytes parsed at a time: no more is parsed while a request waits for the one before it, and this holds some 100 at most."""

HELD_BYTES = 256 * 1024
"""Bytes kept behind a request that is being answered; from there on reading pauses, and the client's sending with it."""

DROP_SECONDS = 0.01
"""How long a connection that is dropped waits between two reads: a crowd of refused bodies would keep the event loop else."""

WATCHED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
"""Fields that say where a request ends, for whom it is, and whether its body waits."""


@dataclass(frozen=True)
class Limits:
    """What one connection may take, in bytes and seconds, and how many there may be; Settings has the same names."""

    connections: int = 1000
    head_bytes: int = 64 * 1024
    head_fields: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    body_bytes_per_second: int = 1024
    write_seconds: float = 20.0
    keep_alive_seconds: float = 75.0
    linger_seconds: float = 2.0

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """As the settings say; connections take half of the descriptors that this process may have, at most."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        named = {field.name: getattr(settings, field.name) for field in fields(cls) if field.name in Settings.model_fields}
        return replace(cls(**named), connections=max(1, min(settings.connections, descriptors // 2)))

    @property
    def sweep_seconds(self) -> float:
        """How often the connections age: deadlines are kept to this."""
        return min(1.0, min(self.head_seconds, self.body_seconds, self.write_seconds, self.keep_alive_seconds) / 4)

    @property
    def refused_connections(self) -> int:
        """Connections beyond the limit that are told so; further ones are just closed."""
        return max(8, self.connections // 8)


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the next request, or the answer to the last"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    REFUSED = "answers to earlier requests, before the last one can be written"
    LINGERING = "the client to read the last answer"


IDLE, HEAD, BODY, REFUSED, LINGERING = Phase


def protocol(render: Callable[[Exception], Answer], limits: Limits) -> type[HttpToolsProtocol]:
    """The class for `uvicorn.run(http=...)`.

    `render` says what an error of app.errors looks like, and any other exception, which is the server's own failure. Its
    headers are sent as they are, with Date, Content-Length and Connection beside them.
    """
    return type("Http11", (Http11,), {"render": staticmethod(render), "limits": limits, "swept": WeakSet(), "turns": Turns()})


class Http11(HttpToolsProtocol):
    """One connection. Not to be used itself: protocol() gives it its limits and its renderer."""

    limits: ClassVar[Limits]
    swept: ClassVar[WeakSet[ServerState]]
    turns: ClassVar[Turns]

    url: bytes

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.head_bytes, self.head_fields = self.limits.head_bytes, self.limits.head_fields  # looked up for each field else
        self.observe: Callable[[Refused], None] = self.app_state.get("refused", unobserved)
        self.application = cast("ASGI3Application", self.app)  # pyright: ignore[reportUnknownMemberType]  # uvicorn has no type for it
        self.reading: TakingTurns
        self.phase = IDLE
        self.error: Exception | None = None
        self.fault: MalformedRequest | HeadTooLarge | None = None
        self.running: RequestResponseCycle | None = None
        self.unparsed = bytearray()
        self.age = self.stalled = 0.0
        self.waiting = self.mark = 0
        self.bytes_left = self.fields_left = self.hosts = self.unfinished = self.remaining = 0
        self.chunked = self.ended = False

    @staticmethod
    def render(error: Exception) -> Answer:
        raise NotImplementedError

    # --- the connection

    def connection_made(self, transport: Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as uvicorn
        super().connection_made(transport)
        self.flow = self.reading = TakingTurns(transport, self.loop, self.turns)
        if self.server_state not in self.swept:
            self.swept.add(self.server_state)
            self.loop.call_later(self.limits.sweep_seconds, self._sweep, self.server_state, self.loop)
        beyond = len(self.connections) - self.limits.connections
        if beyond > self.limits.refused_connections:
            transport.abort()
        elif beyond > 0:
            self._refuse(Busy(f"{self.limits.connections} connections are open, and no more are taken"))

    def connection_lost(self, exc: Exception | None) -> None:
        for cycle in (self.running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                _state(cycle).setdefault("ended", ClientLeft())
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        self.unparsed.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # whether the connection stays open
        """No more will come: what is cut off is answered so, to a client that still reads; one that waited has left."""
        cycle, self.ended = self.cycle, True
        if self.phase is HEAD and self.running is None:
            self._refuse(MalformedRequest("the connection ended in the middle of a head"))
        elif self.phase is BODY and isinstance(cycle, Cycle) and cycle is self.running and not cycle.response_started:
            cycle.end()
            return True
        return False

    def data_received(self, data: bytes) -> None:
        if self.phase is REFUSED or self.phase is LINGERING:
            self._drop(len(data))
        elif self.pipeline or self.unparsed:
            self._hold(data)
        elif len(data) <= PIECE:
            self._feed(data)
        else:
            self._parse(memoryview(data))

    def _drop(self, size: int) -> None:
        """After much of what nobody reads, take no more of it for a moment."""
        if size > HIGH_WATER_LIMIT:
            self.transport.pause_reading()
            self.loop.call_later(DROP_SECONDS, self.turns.ask, self.loop, self._drop_more)

    def _drop_more(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _parse(self, data: memoryview) -> None:
        """Parse until a request has to wait for another's answer; a body whose length is known is taken whole."""
        while data and not self.pipeline and self.error is None:
            size = max(PIECE, self.remaining)
            self._feed(data[:size])
            data = data[size:]
        if data and self.error is None:
            self._hold(data)

    def _hold(self, data: bytes | memoryview) -> None:
        self.unparsed += data
        if len(self.unparsed) >= HELD_BYTES:
            self.reading.held = True
            self.flow.pause_reading()

    def _feed(self, piece: bytes | memoryview) -> None:
        upgraded_from: int | None = None
        self.unfinished += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            upgraded_from = upgrade.args[0]
        except httptools.HttpParserError as error:
            self._refuse(self.fault or MalformedRequest(f"these bytes are no HTTP/1.1 request: {error}"))
        if self.unfinished > self.head_bytes:
            self._refuse(self._head_too_large())
        if upgraded_from is not None:
            self._ignore_upgrade(memoryview(piece)[upgraded_from:])

    def _ignore_upgrade(self, rest: memoryview) -> None:
        """RFC 9110, section 7.8: a server may. llhttp cannot, and has given up: a new one gets the head without the field."""
        kept = b"".join(b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade")
        version = self.parser.get_http_version().encode()
        head = b"%s %s HTTP/%s\r\n%s\r\n" % (self.parser.get_method(), self.url, version, kept)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn
        self._feed(head)
        if self.error is None:
            self._feed(rest)

    # --- what the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.phase = HEAD
        self.age = 0.0
        self.bytes_left, self.fields_left = self.head_bytes, self.head_fields
        self.hosts = self.unfinished = self.remaining = 0
        self.chunked = False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self.bytes_left -= len(url)
        if self.bytes_left < 0:
            self._reject(self._head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        self.unfinished = 0
        self.fields_left -= 1
        self.bytes_left -= len(name) + len(value) + 4
        if self.bytes_left < 0 or self.fields_left < 0:
            self._reject(self._head_too_large())
        if self.phase is not HEAD:  # RFC 9110, section 6.5.1: a trailer is no header, and nothing here asks for one
            return
        name = name.lower()
        if name in WATCHED:
            self._watch(name, value)
        self.headers.append((name, value))

    def _watch(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self.hosts += 1
        elif name == b"content-length":
            self.remaining = int(value)
        elif name == b"transfer-encoding":
            if self.chunked or value.lower() != b"chunked":
                self._reject(MalformedRequest("the only Transfer-Encoding that is taken is chunked, once"))
            self.chunked = True
        elif value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._check_head(method, version)
        if self.parser.should_upgrade():  # this head comes again, without
            return
        scope = self.scope
        scope["method"], scope["http_version"] = method.decode("ascii"), version
        try:
            url = httptools.parse_url(self.url)
            raw_path = url.path or b"/"
            path = raw_path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._reject(MalformedRequest("the address after the method cannot be read"))
        scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = url.query or b""
        self.phase = BODY
        self.age = 0.0
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            on_response=self.on_response_complete,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
        )
        if self.running is None:
            self._start_asgi_task(self.cycle, self.application)
        else:
            self.pipeline.appendleft((self.cycle, self.application))

    def _check_head(self, method: bytes, version: str) -> None:
        if version not in ("1.1", "1.0"):
            self._reject(MalformedRequest("only HTTP/1.1 and HTTP/1.0 are spoken here"))
        if method == b"CONNECT":
            self._reject(MalformedRequest("CONNECT is for proxies, and this is none"))
        if self.hosts != 1 and (version == "1.1" or self.hosts):
            self._reject(MalformedRequest(f"a request has one Host field; this one has {self.hosts}"))
        if self.chunked and version == "1.0":  # RFC 9112, section 6.1
            self._reject(MalformedRequest("HTTP/1.0 has no Transfer-Encoding"))

    def _reject(self, fault: MalformedRequest | HeadTooLarge) -> NoReturn:
        """Stop the parser from within: it reports its own error, and this one says why."""
        self.fault = fault
        raise fault

    def on_body(self, body: bytes) -> None:
        self.unfinished = 0
        self.remaining -= len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        if not cycle.body:
            cycle.body = cast(bytearray, body)  # which receive() hands on without a copy
        elif isinstance(cycle.body, bytes):
            cycle.body = bytearray(b"").join((cycle.body, body))
        else:
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self.phase is not BODY:
            return
        self.phase = IDLE
        self.age = 0.0
        self.unfinished = 0
        self.cycle.more_body = False
        self.cycle.message_event.set()

    # --- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self.running = cycle
        task = self.loop.create_task(self._run(cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _run(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        try:
            await app(cycle.scope, cycle.receive, cycle.send)
            if not cycle.response_complete and not cycle.disconnected:
                raise RuntimeError("the application returned without a whole answer")
        except asyncio.CancelledError:
            self._fail(cycle, ShuttingDown("the server is being stopped, and this was not done in time"))
        except Exception as error:
            self._fail(cycle, error)
        finally:
            cycle.on_response = _nothing  # a cycle of references, or the memory waits for the garbage collector

    def _fail(self, cycle: RequestResponseCycle, error: Exception) -> None:
        """The application has ended without an answer, or in the middle of one, where only a cut can say so."""
        if cycle.disconnected or cycle.response_started:
            if "ended" not in _state(cycle):  # else the application has told of it
                self._tell(error, 500)
            if not cycle.disconnected:
                self.transport.close()
        else:
            cycle.disconnected = True
            self._answer(error)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        cycle, self.running = self.running, None
        if self.transport.is_closing():
            return
        if isinstance(cycle, Cycle) and cycle.lingers:
            self._linger()
            return
        self.age = 0.0
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self.unparsed and not self.pipeline:
            data, self.unparsed = memoryview(bytes(self.unparsed)), bytearray()
            self.reading.held = False
            self.flow.resume_reading()
            self._parse(data)
        if self.phase is REFUSED and self.error is not None and self.running is None:
            self._answer(self.error)

    def _refuse(self, error: Exception) -> None:
        """Answer the request that is arriving with this error, after those before it, and take no other."""
        if self.error is not None:
            return
        self.error = error
        given_to_application, self.phase = self.phase is BODY, REFUSED
        cycle = self.cycle
        if given_to_application:
            _state(cycle)["ended"] = error  # of which the application tells
        if given_to_application and cycle.response_started:
            self.transport.close()
            return
        if given_to_application:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle is self.running:
                self.running = None
            else:
                self.pipeline.popleft()
        if self.running is None:
            self._answer(error, told=given_to_application)

    def _answer(self, error: Exception, *, told: bool = False) -> None:
        """The last answer of the connection, which closes when the client has closed, or has had time to read it."""
        self.error = error
        status, headers, body = self.render(error)
        if not told:
            self._tell(error, status, headers, len(body))
        if self.transport.is_closing():
            return
        lines = [*self.server_state.default_headers, *headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        self.transport.write(STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % field for field in lines) + b"\r\n" + body)
        self._linger()

    def _linger(self) -> None:
        """Close behind the last answer, but not yet over unread bytes: that would reset the connection, and lose the answer."""
        self.phase, self.age = LINGERING, 0.0
        self.pipeline.clear()
        self.unparsed.clear()
        if self.ended:
            self.transport.close()
            return
        self.transport.write_eof()
        self.reading.held = False
        self.flow.resume_reading()

    def _tell(
        self, error: Exception, status: int | None = None, headers: Iterable[tuple[bytes, bytes]] = (), sent: int = 0
    ) -> None:
        """Have it told, and counted, how a connection or what came on it ended."""
        request_id = dict(headers).get(b"x-request-id", b"").decode("latin-1")
        self.observe(Refused(self.client[0] if self.client else "", error, request_id, status, sent))

    def shutdown(self) -> None:
        """The server ends: what is half sent is refused, what is whole is answered."""
        if self.phase in (HEAD, BODY) and self.error is None:
            self._refuse(ShuttingDown("the server is about to end, and this had not all been sent"))
        else:
            super().shutdown()

    def _head_too_large(self) -> HeadTooLarge:
        limits = self.limits
        return HeadTooLarge(f"a head, with its trailers, has {limits.head_bytes} bytes and {limits.head_fields} fields at most")

    # --- deadlines

    @classmethod
    def _sweep(cls, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        """Let every connection of a server age; while there are none, nothing runs."""
        if not state.connections:
            cls.swept.discard(state)
            return
        loop.call_later(cls.limits.sweep_seconds, cls._sweep, state, loop)
        for connection in tuple(cast(set[object], state.connections)):
            if isinstance(connection, Http11):
                connection.grow_older(cls.limits.sweep_seconds)

    def grow_older(self, seconds: float) -> None:
        """So many seconds have passed: end what has waited too long."""
        unsent = self.transport.get_write_buffer_size()
        self.stalled = self.stalled + seconds if unsent and unsent == self.waiting else 0.0
        self.waiting = unsent
        if self.stalled > self.limits.write_seconds:
            if self.running is None or self.running.response_complete:
                self._tell(TooSlow("nothing of the answer was read"))
            else:
                _state(self.running)["ended"] = TooSlow("nothing of the answer was read")
            self.transport.abort()
        elif self.flow.read_paused or self.unparsed or (unsent and self.phase is LINGERING):  # the client waits for us
            self.age = 0.0
        else:
            if self.age == 0.0:
                self.mark = self.remaining
            self.age += seconds
            self._check_age()

    def _check_age(self) -> None:
        age, limits = self.age, self.limits
        if self.phase is IDLE and self.running is None:
            if age > (limits.keep_alive_seconds if self.cycle else limits.head_seconds):
                self.transport.close()
        elif self.phase is HEAD and age > limits.head_seconds:
            self._refuse(TooSlow(f"the head was not there within {limits.head_seconds:g} seconds"))
        elif self.phase is BODY and age > limits.body_seconds:
            self._check_rate()
        elif self.phase is LINGERING and age > limits.linger_seconds:
            self.transport.abort()

    def _check_rate(self) -> None:
        limits = self.limits
        enough = self.mark - self.remaining >= limits.body_bytes_per_second * limits.body_seconds
        if enough or self.cycle.waiting_for_100_continue:
            self.age = 0.0
        else:
            self._refuse(
                TooSlow(
                    f"the body came at less than {limits.body_bytes_per_second} bytes per second for {limits.body_seconds:g} s"
                )
            )


class Cycle(RequestResponseCycle):
    """A request and its answer, whose head is put together from lines that are known: uvicorn looks through all fields anew.

    The head goes out with the first of the body: two writes are two system calls, and two packets.
    """

    head = b""
    """What is still to be written before the body."""
    lingers = False
    """Whether the connection is to be closed, and some of the body is still on its way."""
    ended = False
    """Whether the rest of the body will not come, while an answer may still be read."""

    def end(self) -> None:
        """The application hears that the client has left, and what it answers to that is sent."""
        self.ended, self.keep_alive = True, False
        self.message_event.set()

    async def receive(self) -> "ASGIReceiveEvent":
        return {"type": "http.disconnect"} if self.ended and not self.body else await super().receive()

    async def send(self, message: "ASGISendEvent") -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] != "http.response.start" or self.response_started:
            if not self.keep_alive and self.more_body and not message.get("more_body", False):
                self.keep_alive, self.lingers = True, True
            await super().send(self._behind_head(message) if self.head else message)
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        fields = tuple(message.get("headers", ()))
        own = fields[-1:] if fields and fields[-1][0] == b"x-request-id" else ()
        head = _head(fields[: len(fields) - len(own)])
        self.chunked_encoding = head.chunked
        self.expected_content_length = head.length or 0
        lines = [STATUS_LINE[message["status"]], _head(tuple(self.default_headers)).lines, head.lines, *map(_line, own)]
        self.head = b"".join((*lines, *self._framing(message["status"], head), b"\r\n"))

    def _behind_head(self, message: "ASGISendEvent") -> "ASGISendEvent":
        """The first message of a body as what is written in its place; a body that has no frames takes the head along."""
        head, self.head = self.head, b""
        if self.chunked_encoding or self.scope["method"] == "HEAD" or message["type"] != "http.response.body":
            self.transport.write(head)
            return message
        self.expected_content_length += len(head)
        return {**message, "body": head + message.get("body", b"")}

    def _framing(self, status: int, head: "Head") -> Iterator[bytes]:
        """How the client finds the end of the answer, where the application has not said it."""
        if head.closes:
            self.keep_alive = False
        elif not self.keep_alive:
            yield b"connection: close\r\n"
        if head.length is None and not head.chunked and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            yield b"transfer-encoding: chunked\r\n"


class Head(NamedTuple):
    """Fields as they are sent, and what they say of where the answer ends."""

    lines: bytes
    length: int | None
    chunked: bool
    closes: bool


@lru_cache(maxsize=1024)
def _head(fields: tuple[tuple[bytes, bytes], ...]) -> Head:
    """Remembered: but for its id, an answer of the same length has the same fields."""
    named = dict(fields)
    length = named.get(b"content-length")
    return Head(
        b"".join(map(_line, fields)),
        None if length is None else int(length),
        length is None and b"transfer-encoding" in named,
        b"close" in named.get(b"connection", b"").lower(),
    )


def _line(header: tuple[bytes, bytes]) -> bytes:
    """A field as it is sent; ValueError for what would end it early."""
    name, value = header
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise ValueError(f"not to be sent as a header: {name!r}")
    return b"%b: %b\r\n" % (name.lower(), value)


def _state(cycle: RequestResponseCycle) -> dict[str, Any]:
    """What is known of a request beside itself: under "ended" the reason why it ends otherwise than it was answered."""
    return cycle.scope.setdefault("state", {})


def _nothing() -> None:
    pass
