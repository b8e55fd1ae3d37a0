"""Runs in processes of their own: work that holds a processor for seconds, told event by event.

A child is spawned when it is first needed, works on one run at a time, and ends with its server. A run that nobody
waits for any more is ended together with its child: there is no state to tidy up.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from http import HTTPStatus
from inspect import signature
from types import FrameType
from typing import Any, TypeAlias

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

from app.api.route import check_media_type
from app.api.runner import Kind, Order
from app.api.workers import framed
from app.errors import CallerError, Unavailable
from app.serving.bodies import read_body
from app.serving.problems import CODES, problem, refusal
from app.settings import Settings

log = logging.getLogger("criterion")

PING_SECONDS = 15.0
"""Silence after which a stream says that it is alive, as proxies want it."""
GRACE_SECONDS = 30.0
"""What a run may take beyond its limit, to read its data, to begin, and to be summed up."""

Say: TypeAlias = Callable[[bytes], None]


# --- answering --------------------------------------------------------------------------------------------------------


class RunRoute(APIRoute):
    """Answers a JSON document with what its endpoint, run in a child process, makes of it; as a stream where one is asked for.

    The endpoint's parameter documents the request, its `response_model` the answer.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["response_class"] = JSONResponse  # without one FastAPI documents a generator as a stream of JSON lines
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        (parameter,) = signature(self.endpoint, eval_str=True).parameters.values()

        async def handler(request: Request) -> Response:
            check_media_type(request.headers.get("content-type", "").encode("latin-1"))
            runs: Runs = request.app.state.runs
            streamed = prefers_events(", ".join(request.headers.getlist("accept")))
            order = Order(self.endpoint, parameter.annotation, runs.settings, streamed)
            return await _answer(request, runs, order, await read_body(request))

        return handler


async def _answer(request: Request, runs: "Runs", order: Order, body: list[bytes]) -> Response:
    """A stream from the first event on; before that, what is wrong with the request is an ordinary answer."""
    said: asyncio.Queue[bytes] = asyncio.Queue()
    run = asyncio.create_task(runs.run(order, body, said.put_nowait))
    run.add_done_callback(lambda done: done.cancelled() or done.exception())  # even when nobody is left to see it
    run.add_done_callback(lambda done: said.put_nowait(b""))
    first: bytes | None = None
    try:
        first = await _unless_left(request, said.get())
        if first is None:
            return Response()  # to nobody
        if first:
            return EventStream(first, said, run, str(request.scope.get("request_id", "")))
        return Response(run.result(), media_type="application/json")
    finally:
        if not first:
            run.cancel()


async def _unless_left(request: Request, coming: Coroutine[Any, Any, bytes]) -> bytes | None:
    """What is coming; None where the client goes away before."""
    awaited, leaving = asyncio.create_task(coming), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({awaited, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return awaited.result() if awaited.done() else None
    finally:
        awaited.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """The events of a run as they come. When the client leaves, the run ends."""

    def __init__(self, first: bytes, said: asyncio.Queue[bytes], run: asyncio.Task[bytes], request_id: str) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        self.run, self.events = run, _relayed(first, said, run, request_id)
        super().__init__(self.events, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.run.cancel()
            await self.events.aclose()


async def _relayed(first: bytes, said: asyncio.Queue[bytes], run: asyncio.Task[bytes], request_id: str) -> AsyncGenerator[bytes]:
    chunk = first
    try:
        while chunk:
            yield chunk
            chunk = await _next(said)
        yield run.result()
    except Exception as error:  # the status is sent already: the stream says it
        yield format_sse_event(event="error", data_str=_problem(error, request_id))
        yield format_sse_event(event="end", data_str="null")


async def _next(said: asyncio.Queue[bytes]) -> bytes:
    try:
        async with asyncio.timeout(PING_SECONDS):
            return await said.get()
    except TimeoutError:
        return KEEPALIVE_COMMENT


def _problem(error: Exception, request_id: str) -> str:
    if isinstance(error, CallerError | Unavailable):
        return bytes(refusal(error).body).decode()
    log.error("request %s failed", request_id, exc_info=error)
    status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "the run failed; the server's log has the reason under the request id"
    return bytes(problem(status, CODES[status], detail, request_id=request_id).body).decode()


# --- what a client prefers ------------------------------------------------------------------------------------------------


def prefers_events(accept: str) -> bool:
    """Whether an Accept header asks for a stream of events before it asks for JSON (RFC 9110, 12.5.1)."""
    return _preference(accept, "text/event-stream") > _preference(accept, "application/json")


def _preference(accept: str, media_type: str) -> tuple[float, int, int]:
    """Its quality, how exactly it is named, and how early: the most exact name of a type is the one that counts."""
    exactness = {media_type: 2, media_type.partition("/")[0] + "/*": 1, "*/*": 0}
    named: list[tuple[int, float, int]] = []
    for place, each in enumerate(accept.lower().split(",")):
        name, _, parameters = each.partition(";")
        if name.strip() in exactness:
            quality = re.search(r"(?:^|;)\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
            named.append((exactness[name.strip()], float(quality[1]) if quality else 1.0, -place))
    exact, quality, early = max(named, default=(0, 0.0, 0))
    return (quality, exact, early) if quality else (0.0, 0, 0)


# --- the children -----------------------------------------------------------------------------------------------------


@dataclass
class Child:
    """The server's end of one child process."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def work(self, order: Order, body: list[bytes], say: Say) -> tuple[Kind, Any]:
        """The last message about an order; the events before it are said. Unavailable where the process dies over it."""
        try:
            self.writer.write(framed(tuple(order)) + sum(map(len, body)).to_bytes(8))
            for chunk in body:
                self.writer.write(chunk)
                await self.writer.drain()
            while True:
                size = int.from_bytes(await self.reader.readexactly(4))
                kind, content = pickle.loads(await self.reader.readexactly(size))  # from our own process
                if kind != "events":
                    return kind, content
                say(content)
        except (OSError, asyncio.IncompleteReadError):
            raise Unavailable("the process of this run ended before it was done") from None

    def end(self) -> None:
        self.writer.transport.abort()
        self.process.kill()  # it has nothing to tidy up
        asyncio.get_running_loop().run_in_executor(None, self.process.wait)  # giving back its memory takes a while


@dataclass
class Runs:
    """The children of one server process: started when first needed, one run each at a time."""

    settings: Settings
    _children: list[Child] = field(default_factory=list[Child])
    _idle: list[Child] = field(default_factory=list[Child])
    _waiting: int = 0
    _closed: bool = False

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.settings.training_processes)

    async def run(self, order: Order, body: list[bytes], say: Say) -> bytes:
        """The answer to a body, its events having been said; CallerError or Unavailable. To cancel it is to end the run."""
        async with self._turn():
            child, healthy = await self._take(), False
            try:
                async with asyncio.timeout(self.settings.training_seconds + GRACE_SECONDS):
                    kind, content = await child.work(order, body, say)
                healthy = kind != "failed"
            except TimeoutError:
                raise Unavailable("the run did not end within its time") from None
            finally:
                self._put_back(child, healthy)
        if isinstance(content, Exception):
            raise content
        return content

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """One of as many runs as there may be at a time."""
        if self._free.locked() and self._waiting >= self.settings.training_waiting:
            raise Unavailable(f"{self._waiting} runs are waiting already; try again later")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    async def _take(self) -> Child:
        """A child that is idle and alive, or a new one."""
        while self._idle:
            child = self._idle.pop()
            if child.process.poll() is None:
                return child
            self._put_back(child, healthy=False)
        if not self._closed:
            child = await self._start()
            if not self._closed:
                self._children.append(child)
                return child
            child.end()
        raise Unavailable("the server is about to end")

    async def _start(self) -> Child:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "app.api.runner", str(theirs.fileno()), str(self.settings.training_memory_bytes)]
        environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment)
        try:
            return Child(process, *await asyncio.open_connection(sock=ours))
        except BaseException:
            ours.close()  # which ends it
            raise

    def _put_back(self, child: Child, healthy: bool) -> None:
        if healthy and not self._closed:
            self._idle.append(child)
        elif child in self._children:
            self._children.remove(child)
            child.end()

    @contextlib.contextmanager
    def ended_by_signals(self) -> Generator[None]:
        """Within, the signals that end the server end the runs first: it waits for open streams, and they for their runs."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ours = {number: handler for number, handler in before.items() if callable(handler)}
        if threading.current_thread() is not threading.main_thread():
            ours.clear()

        def end(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.close)
            ours[signal.Signals(number)](number, frame)

        for number in ours:
            signal.signal(number, end)
        try:
            yield
        finally:
            for number, handler in ours.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """End every run. Those who wait for one are told that it is not available."""
        self._closed = True
        for child in self._children:
            child.end()
        self._children.clear()
        self._idle.clear()
