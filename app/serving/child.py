"""A process of the pool: it does one job after the other, says meanwhile what happens, and ends with its server.

A job is done in the main thread, as whatever limits its time by signals needs it.
"""

import ctypes
import logging
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from typing import Any, NamedTuple, NoReturn, Protocol, TypeAlias

import numpy as np

from app.errors import CallerError, Fault, InvalidInput, Unavailable
from app.losses.numerics.blocks import use_threads
from app.serving.buffers import Buffer, Bytes
from app.serving.flow import reading
from app.serving.installed import not_installed
from app.serving.log import IN_A_PROCESS, frames_of, tell
from app.serving.memory import data_bytes, limit_memory

log = logging.getLogger("criterion")

FLUSH_SECONDS = 0.02
"""Events are sent together that come faster than an eye can tell: some runs have a thousand epochs a second."""
FLUSH_BYTES = 64 * 1024
"""Nor is more than this held: the server takes a message as a whole."""
LIBRARY_BYTES = 192 * 1024**2
"""What SciPy, scikit-learn and pyarrow take, which are loaded when a job first needs them."""
THREAD_BYTES = 40 * 1024**2
"""What a thread takes, used or not: its stack, and OpenBLAS's buffer for it."""


class Say(Protocol):
    """How a job speaks with whoever waits for it."""

    def __call__(self, event: bytes) -> None:
        """Send an event."""
        ...

    def ask(self, question: object) -> None:
        """Ask whether it may go on; it is not to where this raises an error."""
        ...


Job: TypeAlias = Callable[..., tuple[Any, Sequence[Bytes]]]
"""(body, say, *arguments) -> (what is to be known about the answer, small; its bytes in pieces). A function of a module.

The body is a memoryview, or a file where it is read as it comes."""

HEAD = struct.Struct("!cI")
"""What a message to the server begins with: its kind and its length."""
EVENTS, QUESTION, OUTCOME = b"e", b"q", b"o"


class Shared(NamedTuple):
    """A buffer of which so many bytes are meant."""

    number: int
    size: int


class Flowing(NamedTuple):
    """What comes through the descriptor that is sent behind those of the buffers."""


class Order(NamedTuple):
    """What is to be done, with what, and how much it may take."""

    job: Job
    body: bytes | Shared | Flowing
    answer: int
    """The number of the buffer that is to be written."""
    arguments: tuple[object, ...]
    threads: int
    memory_bytes: int


class Message(NamedTuple):
    """What the server sends, with the descriptors of `new` beside it, and that of a body that flows. Without an order it is time
    to rest."""

    order: Order | None
    new: Sequence[int]
    forgotten: Sequence[int]


class Outcome(NamedTuple):
    """How a job ended: with what there is to know and `size` bytes in the answer's buffer, or with an error."""

    known: object
    size: int
    error: Exception | None = None
    whole: bool = True
    """Whether the process is in a state that is known."""
    modules: int = 0
    """How many modules the process has loaded by now."""


def main(control: socket.socket) -> NoReturn:
    """Do what the server asks, until it is gone."""
    try:
        _serve(control)
    except ConnectionError:  # the server is gone
        pass
    except BaseException as error:
        tell(log, logging.ERROR, "process_failed", error)
    finally:
        os._exit(1)  # what the template has to do at its end is not the child's to do


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a library may start a process and wait for it
    threading.Thread(target=_end_with_server, args=(control,), daemon=True).start()
    events = _Events(control)
    square = np.ones((128, 128))
    _ = square @ square  # OpenBLAS takes its buffer now: where it cannot have it, it ends the process
    worker = _Worker(data_bytes())
    control.sendall(os.getpid().to_bytes(4))
    while True:
        message, descriptors = _received(control)
        try:
            order = worker.prepared(pickle.loads(message), descriptors)  # from our own server
        except Exception as error:  # it names a job that is not here
            events.send(OUTCOME, _failed(error))
        else:
            if order is not None:
                events.send(OUTCOME, worker.outcome(order, events))


def _end_with_server(control: socket.socket) -> None:
    """End the process, in the middle of whatever it does, when the other end is closed."""
    poll = select.poll()
    poll.register(control, 0)
    poll.poll()
    os._exit(0)


def _received(control: socket.socket) -> tuple[bytes, list[int]]:
    """The next message, and the descriptors that came with it."""
    head, descriptors, _, _ = socket.recv_fds(control, 4, 2)
    return _exactly(control, int.from_bytes(head + _exactly(control, 4 - len(head)))), descriptors


def _exactly(control: socket.socket, size: int) -> bytes:
    received = bytearray(size)
    view = memoryview(received)
    while view:
        count = control.recv_into(view)
        if not count:
            os._exit(0)
        view = view[count:]
    return bytes(received)


class _Events:
    """What is said on its way to the server: at once, or together with what is said soon after."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._held, self._sent = bytearray(), 0.0
        self._lock, self._waiting = threading.Lock(), threading.Event()
        threading.Thread(target=self._flush_late, daemon=True).start()

    def __call__(self, event: bytes) -> None:
        with self._lock:
            self._held += event
            if len(self._held) > FLUSH_BYTES or time.monotonic() - self._sent > FLUSH_SECONDS:
                self._flush()
            else:
                self._waiting.set()

    def ask(self, question: object) -> None:
        self.send(QUESTION, pickle.dumps(question))
        size = int.from_bytes(_exactly(self._control, 4))
        refusal = pickle.loads(_exactly(self._control, size))  # from our own server
        if refusal is not None:
            raise refusal

    def send(self, kind: bytes, content: bytes) -> None:
        """A message, behind what was said before."""
        with self._lock:
            self._flush()
            self._control.sendall(HEAD.pack(kind, len(content)) + content)

    def _flush(self) -> None:
        if self._held:
            self._control.sendall(HEAD.pack(EVENTS, len(self._held)) + self._held)
            self._held.clear()
            self._sent = time.monotonic()

    def _flush_late(self) -> None:
        """Nothing is held for longer than an eye can tell, however long the next event takes."""
        while self._waiting.wait():
            self._waiting.clear()
            time.sleep(FLUSH_SECONDS)
            with self._lock:
                self._flush()


class _Worker:
    """What a process has from one job to the next: the buffers that it has mapped, and its threads."""

    def __init__(self, data_bytes: int) -> None:
        self._data_bytes = data_bytes
        self._buffers: dict[int, Buffer] = {}
        self._flow = -1
        """The descriptor of the body that flows, until it is opened."""
        self._threads = 1

    def prepared(self, message: Message, descriptors: Sequence[int]) -> Order | None:
        """The order of a message, once its buffers are there and others forgotten."""
        order, new, forgotten = message
        for number in forgotten if order else [*self._buffers]:
            self._buffers.pop(number).close()
        if order and isinstance(order.body, Flowing):
            *descriptors, self._flow = descriptors
        for number, descriptor in zip(new, descriptors, strict=True):
            self._buffers[number] = Buffer(number, descriptor)
        if order is None:
            _give_memory_back()
        elif order.threads != self._threads:
            use_threads(order.threads)
            self._threads = order.threads
        return order

    def outcome(self, order: Order, say: Say) -> bytes:
        try:
            return pickle.dumps(self._done(order, say))
        except (CallerError, Unavailable) as refusal:
            return pickle.dumps(Outcome(None, 0, refusal))
        except MemoryError:
            fault = Fault((), "limit", _too_much(order.memory_bytes))
            return pickle.dumps(Outcome(None, 0, InvalidInput([fault]), whole=False))
        except Exception as error:
            refused = not_installed(error)
            return pickle.dumps(Outcome(None, 0, refused)) if refused else _failed(error)

    def _done(self, order: Order, say: Say) -> Outcome:
        answer = self._buffers[order.answer]
        answer.clear()
        limit_memory(self._data_bytes + LIBRARY_BYTES + (order.threads - 1) * THREAD_BYTES + order.memory_bytes)
        try:
            with self._body(order.body) as body:
                known, pieces = order.job(body, say, *order.arguments)
            _write(answer, pieces)
        finally:
            limit_memory(None)
        return Outcome(known, answer.size, modules=len(sys.modules))

    def _body(self, body: bytes | Shared | Flowing) -> AbstractContextManager[memoryview | BufferedReader]:
        if isinstance(body, Flowing):
            return reading(self._flow)
        if isinstance(body, bytes):
            return nullcontext(memoryview(body))
        buffer = self._buffers[body.number]
        buffer.written_elsewhere(body.size)
        return nullcontext(buffer.view().toreadonly())


def _failed(error: Exception) -> bytes:
    """The outcome of a bug: the server logs it and answers 500."""
    failure = RuntimeError(f"{type(error).__name__} in a process of the pool")
    failure.add_note(f"{IN_A_PROCESS}{frames_of(error)}")  # which would not come through by itself
    return pickle.dumps(Outcome(None, 0, failure, whole=False))


def _write(answer: Buffer, pieces: Iterable[Bytes]) -> None:
    for piece in pieces:
        answer.write(piece)


def _too_much(limit: int) -> str:
    return f"the request needs more than the {limit} bytes of memory that one of its kind may have; one with less data takes less"


def _give_memory_back() -> None:
    """What malloc keeps for the next job: its thresholds are set so that it keeps all it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)
