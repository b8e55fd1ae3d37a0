"""What is done with a body, in the server itself or in a process: decode, check, place, call, encode. One piece of code each."""

import re
from collections.abc import Generator, Mapping
from io import BufferedReader
from typing import Any, NamedTuple

from app.errors import CallerError, Fault, InvalidInput, TooLarge
from app.serving.accept import EVENTS
from app.serving.call import Operation
from app.serving.child import Say
from app.serving.content import Content, Piece
from app.serving.pictures import Drawing, drawn
from app.serving.usage import Admit, Usage, anything, usage_named
from app.serving.wires import OWNER
from app.settings import Settings
from app.wire.events import event
from app.wire.json import encode
from app.wire.packing import LEVEL, Coding, pack
from app.wire.unpacking import unpack, unpacked_file

PACKED_BYTES = 1024
"""An answer of fewer bytes is not worth packing."""
EVENT_ID = re.compile("[0-9]{1,18}")
"""An id that an event before the last may have; whatever else a client says is none of ours."""
LAST = "end"
"""The name of the last event, and its id: who reconnects with it has had everything."""


class Order(NamedTuple):
    """A request without its body: what is to be done with that, and how the answer is wanted."""

    operation: Operation
    head: Any
    """What the wire has read in the request's head."""
    arguments: Mapping[str, Any]
    """The arguments of the call's function that stand in the address; for a check that may refer to what is kept also OWNER."""
    settings: Settings
    packed: str | None = None
    """How the body is packed."""
    coding: Coding | None = None
    """How the answer is to be packed."""
    drawing: Drawing | None = None
    """The picture that is wanted of the answer, if any."""
    streamed: bool = False
    last_event: str = ""
    """The id of the last event that the client has had."""


class Event(NamedTuple):
    """Something that has happened in a run. The data of the last one is the whole answer."""

    name: str
    data: object
    usage: Usage | None = None
    """What has been asked for until then beyond what was known before: whoever counts may end it."""


class Elsewhere(Exception):
    """This would hold the event loop: it is for a process."""


def request_of(body: bytes | memoryview | BufferedReader, order: Order, admit: Admit = anything, *, here: bool) -> Any:
    """A body as the request it is; CallerError for what is wrong with it, Elsewhere where it takes too long to do `here`.

    Whoever counts is told of it, unless it is for elsewhere, and may refuse it.
    """
    operation, settings = order.operation, order.settings
    if order.packed is not None:
        read = isinstance(body, bytes | memoryview)
        body = unpacked(body, order.packed, settings, here=here) if read else unpacked_file(body, order.packed)
    document = operation.wire.decode(body, order.head, here)
    try:
        request = document if operation.check is None else operation.check(document, order.arguments, settings)
    except CallerError:
        admit(usage_named(document, order.arguments))
        raise
    usage: Usage = getattr(request, "usage", None) or Usage(cost=getattr(request, "cost", 0.0))
    cost = usage.cost
    if here and cost > settings.inline_cost:
        raise Elsewhere
    admit(usage)
    if cost > settings.max_cost and not usage.timed:
        allowed = f"CRITERION_MAX_COST allows {settings.max_cost:.2g}: send fewer samples at a time"
        raise InvalidInput([Fault((), "limit", f"this takes about {cost:.2g} steps, and {allowed}")])
    return request


def unpacked(body: bytes | memoryview, coding: str, settings: Settings, *, here: bool) -> bytes:
    """The body behind its Content-Encoding; the limit on bodies holds for what comes out."""
    try:
        return unpack(body, coding, settings.large_body_bytes if here else settings.max_body_bytes)
    except TooLarge:
        if here:
            raise Elsewhere from None
        raise


def answer(body: bytes | memoryview, order: Order, admit: Admit = anything, *, here: bool = False) -> Content:
    """The answer to a body."""
    operation = order.operation
    if here and order.drawing and order.drawing.rendered:
        raise Elsewhere
    arguments = dict(order.arguments)
    request = None
    if operation.request is not None:
        request = arguments[operation.request] = request_of(body, order, admit, here=here)
    result = operation.function(**arguments)
    return drawn(result, order.drawing) if order.drawing else operation.wire.encode(result, request)


def packed(content: Content, coding: Coding | None, level: int = LEVEL) -> Content:
    """The content as it is sent to a client that reads this coding."""
    if coding is None or content.size < PACKED_BYTES:
        return content
    return Content(
        (pack(content.pieces, coding, level),), content.media_type, (*content.fields, (b"content-encoding", coding.encode()))
    )


# --- in a process -----------------------------------------------------------------------------------------------------


def answer_job(body: memoryview, say: Say, order: Order) -> tuple[Content, tuple[Piece, ...]]:
    """The answer as a process gives it: what it is, and its bytes apart."""
    content = packed(answer(body, order, say.ask), order.coding)
    return content._replace(pieces=()), tuple(content.pieces)


def check_job(body: memoryview, say: Say, order: Order) -> tuple[Any, tuple[Piece, ...]]:
    """The request of a call that is awaited, checked, and where it is wanted the bytes that it was read from, unpacked."""
    if order.packed is not None:
        body, order = memoryview(unpacked(body, order.packed, order.settings, here=False)), order._replace(packed=None)
    return request_of(body, order, say.ask, here=False), (body,) if order.operation.with_body else ()


def run_job(body: memoryview | BufferedReader, say: Say, order: Order) -> tuple[Content, tuple[Piece, ...]]:
    """The same for a call whose function is a generator of events: told as they come where they are asked for."""
    operation = order.operation
    assert operation.request is not None
    arguments = {name: value for name, value in order.arguments.items() if name != OWNER}
    arguments[operation.request] = request_of(body, order, say.ask, here=False)
    events: Generator[Event] = operation.function(**arguments)
    had = int(order.last_event) if EVENT_ID.fullmatch(order.last_event) else -1
    for number, happened in enumerate(events):
        if happened.usage is not None:
            say.ask(happened.usage)
        data = encode(happened.data)
        if happened.name == LAST:
            if order.streamed:
                return Content((), EVENTS), (event(LAST, data, LAST),)
            content = packed(drawn(happened.data, order.drawing) if order.drawing else Content((data,)), order.coding)
            return content._replace(pieces=()), tuple(content.pieces)
        if order.streamed and number > had:
            say(event(happened.name, data, str(number) if number else None))
    raise RuntimeError(f"{operation.function.__name__} ended without its last event")
