"""The process of runs: it does what the server asks, one order at a time, and says event by event what happens.

It has one BLAS thread and a limit on its memory, and ends with its server, in the middle of whatever it does.
"""

import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from io import BufferedReader
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from app.api.route import request_of
from app.api.workers import framed
from app.errors import CallerError, Fault, InvalidInput
from app.settings import Settings
from app.wire.json import encode

FLUSH_SECONDS = 0.02
"""Events are sent together that come faster than an eye can tell: some runs have a thousand epochs a second."""
RING_SECONDS = 0.1
"""How long after its time an alarm rings again, if it was not heard."""
LIBRARY_BYTES = 160 * 1024**2
"""What SciPy and scikit-learn take, which are loaded when a run first needs them."""
NICENESS = 10
"""A server that shares a processor with a run goes first."""

T = TypeVar("T")
Kind: TypeAlias = Literal["events", "answer", "refused", "failed"]
Endpoint: TypeAlias = Callable[[Any], Generator["Event"]]
"""A function of a module, from its checked request to events; the data of the last one, `end`, is the whole answer."""


class Event(NamedTuple):
    """Something that has happened in a run."""

    name: str
    data: object
    id: int | None = None


class Order(NamedTuple):
    """What is to be done with a body."""

    endpoint: Endpoint
    model: type[BaseModel]
    settings: Settings
    streamed: bool


# --- time -------------------------------------------------------------------------------------------------------------


class TimeUp(Exception):
    """Time is over."""


def until(ends: float, items: Iterator[T]) -> Iterator[T]:
    """The items that come before `ends` (of time.monotonic); TimeUp after them where there would have been more.

    An item that is not there by then is given up halfway, by a signal, which only the main thread hears.
    """
    heeded = False

    def ring(number: int, frame: object) -> None:
        nonlocal heeded
        if heeded:
            heeded = False
            raise TimeUp

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(ends - time.monotonic(), 1e-6), RING_SECONDS)
    try:
        while True:
            if time.monotonic() >= ends:
                raise TimeUp
            heeded = True
            item = next(items, None)
            heeded = False
            if item is None:
                return
            yield item
    finally:
        heeded = False
        signal.setitimer(signal.ITIMER_REAL, 0)


# --- the process ------------------------------------------------------------------------------------------------------


def main(control: socket.socket, memory_bytes: int) -> None:
    """Do what the server asks, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to act on
    os.nice(NICENESS)
    orders: SimpleQueue[tuple[bytes, bytearray | None]] = SimpleQueue()
    threading.Thread(target=_listen, args=(control, orders), daemon=True).start()
    _limit_memory(memory_bytes)
    while True:
        order, body = orders.get()
        for message in _messages(Order(*pickle.loads(order)), body):  # from our own server
            control.sendall(framed(message))


def _listen(control: socket.socket, orders: SimpleQueue[tuple[bytes, bytearray | None]]) -> None:
    """Orders as they come; the end of the process, in the middle of whatever it does, when the server is gone."""
    stream = control.makefile("rb")
    while head := stream.read(4):
        order = stream.read(int.from_bytes(head))
        orders.put((order, _body(stream, int.from_bytes(stream.read(8)))))
    os._exit(0)


def _body(stream: BufferedReader, size: int) -> bytearray | None:
    """The next bytes of the stream; None where there is no room for them."""
    try:
        body = bytearray(size)
    except MemoryError:
        while size:
            size -= len(stream.read(min(size, 65536))) or size
        return None
    stream.readinto(body)
    return body


def _limit_memory(more: int) -> None:
    """At most so many bytes more than the process has now, libraries apart."""
    if sys.platform != "linux":  # elsewhere the data segment is not what arrays lie in
        return
    _ = np.ones((256, 256)) @ np.ones((256, 256))  # OpenBLAS takes its buffer now: where it cannot have it, it ends the process
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[5])
    limit = pages * resource.getpagesize() + LIBRARY_BYTES + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _messages(order: Order, body: bytearray | None) -> Iterator[tuple[Kind, Any]]:
    """What there is to say about an order; what says that it failed leaves the process in an unknown state."""
    try:
        if body is None:
            raise MemoryError
        request = request_of(memoryview(body), order.model, order.settings)
        yield from _events(order, order.endpoint(request))
        return
    except CallerError as error:
        last: tuple[Kind, Any] = "refused", error
    except MemoryError:
        said = f"the run needs more than the {order.settings.training_memory_bytes} bytes of memory that a run may have"
        last = "failed", InvalidInput([Fault("", "limit", f"{said}; a smaller batch_size, model or data set takes less")])
    except Exception as error:  # the server logs it and answers 500
        failure = RuntimeError(f"{type(error).__name__} in a run: {error}")
        failure.add_note(traceback.format_exc())  # which would not come through by itself
        last = "failed", failure
    yield last


def _events(order: Order, events: Generator[Event]) -> Iterator[tuple[Kind, bytes]]:
    held, sent = b"", 0.0
    for event in events:
        if event.name == "end":
            content = encode(event.data)
            yield "answer", held + _event(event, content) if order.streamed else content
        elif order.streamed:
            held += _event(event, encode(event.data))
            if time.monotonic() - sent > FLUSH_SECONDS:
                yield "events", held
                held, sent = b"", time.monotonic()


def _event(event: Event, content: bytes) -> bytes:
    return format_sse_event(event=event.name, id=None if event.id is None else str(event.id), data_str=content.decode())


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
