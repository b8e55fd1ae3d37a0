"""Processes for what would hold the event loop: large bodies are decoded, evaluated and encoded in them.

The JSON parser and the formatter hold the interpreter lock, so a thread would not do. A body and its answer pass
through memory that both processes map; only who does what goes through a socket. A worker ends with its server.
"""

import asyncio
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.errors import CallerError, Unavailable
from app.losses.numerics.blocks import use_threads

Job: TypeAlias = Callable[..., tuple[Any, bytes]]
"""(body, *arguments) -> (whatever is to be known about the answer, its bytes). A function of a module, with plain arguments."""

KEPT_BYTES = 32 * 1024 * 1024
"""Shared memory that stays mapped between jobs; what a larger one needed is given back."""


class Shared:
    """Memory that two processes map: an unnamed file that never reaches a disk where the system has memfd."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _unnamed_file() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def view(self, size: int, *, grow: bool = False) -> memoryview:
        """The first `size` bytes. Only the side that writes may grow it."""
        if grow and os.fstat(self.descriptor).st_size < size:
            os.ftruncate(self.descriptor, size)
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self.descriptor, max(size, 1)) if size else None
        return memoryview(self._map)[:size] if self._map is not None else memoryview(bytearray())

    def trim(self) -> None:
        """Give back what a large job needed. Nobody may hold a view."""
        if self._map is not None and len(self._map) > KEPT_BYTES:
            self._map = None
            if os.fstat(self.descriptor).st_size > KEPT_BYTES:
                os.ftruncate(self.descriptor, 0)

    def close(self) -> None:
        os.close(self.descriptor)
        self.descriptor, self._map = -1, None  # the number may soon be another file's


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("criterion")
    with tempfile.TemporaryFile() as file:  # other systems than Linux
        return os.dup(file.fileno())


@dataclass
class Worker:
    """The server's end of one worker process."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    bodies: Shared
    answers: Shared

    async def run(self, job: Job, body: list[bytes], arguments: tuple[Any, ...]) -> tuple[Any, bytes]:
        """The job's answer; the CallerError it raised; Unavailable where the process died over it."""
        loop = asyncio.get_running_loop()
        size = sum(map(len, body))
        try:
            await loop.run_in_executor(None, _write, self.bodies, body, size)
            outcome, length = await self._exchange((job, size, arguments))
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome, await loop.run_in_executor(None, _read, self.answers, length)
        finally:
            self.bodies.trim()
            self.answers.trim()

    async def _exchange(self, order: object) -> tuple[Any, int]:
        try:
            self.writer.write(framed(order))
            message = await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(4)))
        except (OSError, asyncio.IncompleteReadError):
            raise Unavailable("the process that was working on this request ended before it was done") from None
        return pickle.loads(message)  # from our own process

    def close(self) -> None:
        self.writer.close()
        self.process.kill()  # it has nothing to tidy up
        self.process.wait()
        self.bodies.close()
        self.answers.close()


def framed(message: object) -> bytes:
    pickled = pickle.dumps(message)
    return len(pickled).to_bytes(4) + pickled


def _write(shared: Shared, chunks: list[bytes], size: int) -> None:
    """The chunks into shared memory. They are given up: the body need not lie in memory twice while it is worked on."""
    view = shared.view(size, grow=True)
    at = 0
    for chunk in chunks:
        view[at : at + len(chunk)] = chunk
        at += len(chunk)
    chunks.clear()


def _read(shared: Shared, size: int) -> bytes:
    return bytes(shared.view(size))


@dataclass
class Workers:
    """The worker processes of one server process: started when first needed, one job each at a time."""

    count: int
    threads: int
    waiting: int
    """Requests that may wait for a worker; one more is refused."""
    _idle: asyncio.LifoQueue[Worker | None] = field(default_factory=asyncio.LifoQueue[Worker | None])
    _started: list[Worker] = field(default_factory=list[Worker])
    _queued: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.count):
            self._idle.put_nowait(None)

    async def start(self) -> None:
        """Start the first worker before it is needed."""
        worker = await self._idle.get()
        self._idle.put_nowait(worker or await self._start())

    async def run(self, job: Job, body: list[bytes], *arguments: Any) -> tuple[Any, bytes]:
        """`job(body, *arguments)` in a worker process, which empties `body`; Unavailable where too many requests wait already."""
        if self._idle.empty() and self._queued >= self.waiting:
            raise Unavailable(f"{self._queued} large requests are waiting already; try again later")
        self._queued += 1
        try:
            worker = await self._idle.get()
        finally:
            self._queued -= 1
        try:
            worker = worker or await self._start()
            # a caller who leaves does not stop the work: the worker could not take the next job halfway through
            work = asyncio.create_task(self._finish(worker, job, body, arguments))
            work.add_done_callback(lambda done: done.cancelled() or done.exception())  # even when nobody is left to see it
            return await asyncio.shield(work)
        except BaseException:
            if worker is None:
                self._idle.put_nowait(None)
            raise

    async def _finish(self, worker: Worker, job: Job, body: list[bytes], arguments: tuple[Any, ...]) -> tuple[Any, bytes]:
        healthy: Worker | None = worker
        try:
            return await worker.run(job, body, arguments)
        except Unavailable:
            healthy = None
            self._end(worker)
            raise
        finally:
            self._idle.put_nowait(healthy)

    async def _start(self) -> Worker:
        worker = await _spawn(self.threads)
        self._started.append(worker)
        return worker

    def _end(self, worker: Worker) -> None:
        if worker in self._started:
            self._started.remove(worker)
            worker.close()

    def close(self) -> None:
        for worker in [*self._started]:
            self._end(worker)


async def _spawn(threads: int) -> Worker:
    ours, theirs = socket.socketpair()
    bodies, answers = Shared(), Shared()
    descriptors = (theirs.fileno(), bodies.descriptor, answers.descriptor)
    command = [sys.executable, "-m", "app.api.workers", *map(str, (*descriptors, threads))]
    process = await asyncio.to_thread(subprocess.Popen[bytes], command, pass_fds=descriptors, stdin=subprocess.DEVNULL)
    theirs.close()
    return Worker(process, *await asyncio.open_connection(sock=ours), bodies, answers)


def main(control: socket.socket, bodies: Shared, answers: Shared, threads: int) -> None:
    """Do what the server asks, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to act on
    use_threads(threads)
    stream = control.makefile("rwb")
    while head := stream.read(4):
        stream.write(framed(_outcome(stream.read(int.from_bytes(head)), bodies, answers)))
        stream.flush()


def _outcome(message: bytes, bodies: Shared, answers: Shared) -> tuple[Any, int]:
    job, size, arguments = pickle.loads(message)  # from our own server
    try:
        known, answer = job(bodies.view(size), *arguments)
    except CallerError as error:
        return error, 0
    except Exception as error:  # the server logs it and answers 500
        failure = RuntimeError(f"{type(error).__name__} in a worker: {error}")
        failure.add_note(traceback.format_exc())  # which would not come through by itself
        return failure, 0
    answers.view(len(answer), grow=True)[:] = answer
    return known, len(answer)


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    main(socket.socket(fileno=numbers[0]), Shared(numbers[1]), Shared(numbers[2]), numbers[3])
