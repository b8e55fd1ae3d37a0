"""What is told of every request, however it ends: one count and one line of the log, and a span where traces are wanted.

Lines are written together a few times a second: a write for each would cost a small request more than all else of it here.
"""

import asyncio
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import NamedTuple

from app.errors import CallerError, ClientLeft, Unavailable, reason_of
from app.serving.call import Call
from app.serving.exchange import Exchange
from app.serving.log import Format, begun, frames_of, least_level, line, tell
from app.serving.metrics import Meter
from app.serving.problems import status_of
from app.serving.tally import Series
from app.serving.traces import Attribute, Traces
from app.serving.usage import STEPS_A_SECOND

log = logging.getLogger("criterion")

WRITE_SECONDS = 0.05
"""How long a line may wait for others."""
SHOW_SECONDS = 0.5
"""How often what is true of this process now is shown to the others."""
LEFT = 499
"""The status that is counted where the client left before its answer was whole."""
UNKNOWN_CALL = "other"
NO_CALL: Mapping[str, object] = {
    "id": "",
    "key": "",
    "client": None,
    "method": None,
    "call": UNKNOWN_CALL,
    "route": None,
    "loss": "",
    "status": None,
    "reason": None,
    "duration": 0.0,
    "received": 0,
    "sent": 0,
    "samples": 0,
    "cost": 0.0,
}
"""The fields of a request's line, in their order, where nothing is known of it."""

TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
"""A traceparent (W3C Trace Context): what is behind the flags comes with later versions only."""


class Refused(NamedTuple):
    """What ended on a connection without having been a request that a call could be found for."""

    client: str
    error: Exception | None
    """Why; None where nothing was said."""
    request_id: str = ""
    status: int | None = None
    """What was answered; None where the connection was only cut."""
    sent: int = 0


class Observer:
    """Counts and tells of the requests of one process: of several together, soon after they have ended."""

    def __init__(self, meter: Meter, gauges: Callable[[], Mapping[Series, float]], form: Format) -> None:
        self.meter = meter
        self.active: Counter[str] = Counter()
        """The requests of each call that are being answered."""
        self.traces: Traces | None = None
        """Who takes spans, where anybody does."""
        self._gauges = gauges
        self._form: Format = form
        self._ended: list[Exchange] = []
        self._lines: list[dict[str, object]] = []
        self._least = least_level()

    def begin(self) -> None:
        """Count in a part of this process's own, from now on."""
        self.meter.begin()
        self._show()

    async def show(self) -> None:
        """Show again and again what is true of this process."""
        while True:
            self._show()
            await asyncio.sleep(SHOW_SECONDS)

    def begun(self, exchange: Exchange, call: Call) -> None:
        """A request has found its call."""
        exchange.call = call
        self.active[call.label] += 1

    def ended(self, exchange: Exchange) -> None:
        """A request has been answered, or will not be."""
        exchange.seconds = perf_counter() - exchange.began
        if exchange.call is not None:
            self.active[exchange.call.label] -= 1
        if not self._ended:
            self._soon()
        self._ended.append(exchange)

    def write(self) -> None:
        """Count what has ended, and write what there is to be told of it."""
        ended, self._ended = self._ended, []
        for exchange in ended:
            self._count(exchange)
        lines, self._lines = self._lines, []
        if lines:
            sys.stdout.write("".join([line(self._form, fields) for fields in lines]))
            sys.stdout.flush()

    def _soon(self) -> None:
        asyncio.get_running_loop().call_later(WRITE_SECONDS, self.write)

    def _show(self) -> None:
        active = {("criterion_requests_in_progress", label): float(count) for label, count in self.active.items()}
        self.meter.show({**self._gauges(), **active})

    def _count(self, exchange: Exchange) -> None:
        call, usage, status = exchange.call, exchange.usage, exchange.status
        error: Exception | None = exchange.state.get("ended") or exchange.error
        reason = None
        if error is not None or not status:
            status, reason = _end(error, status)
        label = UNKNOWN_CALL if call is None else call.label
        self.meter.count(label, usage.loss, status, exchange.seconds, exchange.received, exchange.sent, usage.samples)
        if exchange.keyed:
            self.meter.count_name(exchange.name, status)
        if reason is not None:
            self.meter.refuse(reason)
        if self.traces is not None:
            self._trace(self.traces, exchange, label, status, error)
        bug = error is not None and not isinstance(error, CallerError | Unavailable | ClientLeft)  # perhaps of a stream
        level = logging.ERROR if bug else _level(status)
        if level >= self._least:
            self._tell(level, exchange, label, status, reason, error)
        elif level == logging.ERROR and error is not None:  # a program that has the service in it hears of failures as of others
            log.error("request %s failed: %s", exchange.request_id.decode("latin-1"), frames_of(error))

    def _trace(self, traces: Traces, exchange: Exchange, label: str, status: int, error: Exception | None) -> None:
        call, usage, method = exchange.call, exchange.usage, exchange.scope["method"]
        attributes: dict[str, Attribute] = {
            "http.request.method": method,
            "http.response.status_code": status,
            "http.request.body.size": exchange.received,
            "http.response.body.size": exchange.sent,
            "criterion.call": label,
            "criterion.request_id": exchange.request_id.decode("latin-1"),
        }
        named = {"criterion.loss": usage.loss, "criterion.samples": usage.samples, "criterion.key": exchange.name}
        attributes |= {name: value for name, value in named.items() if value}
        name = method
        if call is not None:
            name, attributes["http.route"] = f"{method} {call.path}", call.path
        failed = None if status < 500 else type(error).__name__ if error else str(status)
        traces.tell(exchange, name, attributes, failed)

    def refused(self, refused: Refused) -> None:
        """A connection was cut, or its bytes were no request."""
        error = refused.error
        reason = reason_of(error) if isinstance(error, CallerError | Unavailable) else ClientLeft.reason
        if reason is not None:
            self.meter.refuse(reason)
        if refused.status is not None:
            self.meter.count(UNKNOWN_CALL, "", refused.status, 0.0, 0, refused.sent, 0)
        level = logging.WARNING
        if level < self._least:
            return
        event = "connection"
        fields: dict[str, object] = {"client": refused.client, "reason": reason}
        if refused.status is not None:
            event = "request"
            fields = {**NO_CALL, **fields, "id": refused.request_id, "status": refused.status, "sent": refused.sent}
        self._put(level, event, fields)
        self._soon()

    def _tell(self, level: int, exchange: Exchange, label: str, status: int, reason: str | None, error: Exception | None) -> None:
        call, usage = exchange.call, exchange.usage
        client = exchange.scope.get("client")
        fields: dict[str, object] = {
            **NO_CALL,
            "id": exchange.request_id.decode("latin-1"),
            "key": exchange.name,
            "client": client[0] if client else None,
            "call": label,
            "loss": usage.loss,
            "status": status,
            "reason": reason,
            "duration": round(exchange.seconds, 6),
            "received": exchange.received,
            "sent": exchange.sent,
            "samples": usage.samples,
            "cost": usage.cost / STEPS_A_SECOND,
        }
        if call is not None:
            fields["method"], fields["route"] = exchange.scope["method"], call.path
        traced = exchange.fields.get(b"traceparent")
        if traced is not None and (found := _trace(traced.decode("latin-1"))):
            fields["trace_id"], fields["parent_id"] = found
        if level == logging.ERROR and error is not None:
            fields["exception"] = frames_of(error)
        self._put(level, "request", fields)

    def _put(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._lines.append(begun(time.time(), level, event) | fields)


def unobserved(refused: Refused) -> None:
    """What is told of a connection where nobody counts."""
    error = refused.error
    level = logging.WARNING if refused.status is None or refused.status < 500 or isinstance(error, Unavailable) else logging.ERROR
    told = error if level == logging.ERROR else None
    tell(log, level, "connection", told, client=refused.client, id=refused.request_id, status=refused.status)


def _end(error: Exception | None, status: int) -> tuple[int, str | None]:
    """The status and the reason of a request that was not answered as it asked."""
    if error is None or isinstance(error, ClientLeft):
        return LEFT, ClientLeft.reason
    if isinstance(error, CallerError | Unavailable):
        return status or status_of(error), reason_of(error)
    return status or 500, None


def _level(status: int) -> int:
    if status < 500:
        return logging.WARNING if status in (429, LEFT) else logging.INFO
    return logging.WARNING if status == 503 else logging.ERROR


def _trace(traceparent: str) -> tuple[str, str] | None:
    """The trace and the caller's span, where this is a valid traceparent."""
    found = TRACE.fullmatch(traceparent)
    if found is None or (traceparent.startswith("00") and found[3]):
        return None
    return found[1], found[2]
