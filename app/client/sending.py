"""The service, asked in turn or by tasks: how requests are sent, tried again, and streams read."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from functools import partial
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypedDict, TypeVar, Unpack, cast, overload

import httpx

from app.client import calls
from app.client.answers import Answer, Picture, Problem
from app.client.events import Events
from app.client.jobs import AsyncJobs, Event, Jobs
from app.client.request import Request

P = ParamSpec("P")
T = TypeVar("T")

URL = "http://127.0.0.1:8000"
RETRIED = (429, 503)
"""What says that the same request may be answered later."""
UNDER_WAY = "idempotency_key_in_use"
"""And so does this: the first of the same requests has not ended."""
BROKEN_OFF = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""Nobody knows whether the request has been done."""
BACKOFF_SECONDS = 0.5
"""Before the first retry where the server says nothing of when; then twice as long each time."""
PICTURED = ("/analyze", "/compare", "/train", "/curve")
"""What has a picture."""
END = "end"
NOTHING_MORE = 204
BROKEN = "the stream ended before its last event"
EVENTS = {"accept": "text/event-stream"}
SVG = {"accept": "image/svg+xml"}


class Options(TypedDict, total=False):
    """How the service is asked."""

    key: str | None
    """An API key; if nothing is said, that of the variable CRITERION_KEY."""
    timeout: float
    """Seconds."""
    retries: int
    """How often a request is sent again that was refused for now."""
    transport: Any
    """What httpx is to send by."""


class _Client:
    """What both clients have: where the service is, and how often they try."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        transport: Any = None,
    ) -> None:
        key = key if key is not None else os.environ.get("CRITERION_KEY")
        self._retries = retries
        self._set_up: dict[str, Any] = {
            "base_url": url.rstrip("/"),
            "timeout": timeout,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            "transport": transport,
        }

    def _wait(self, attempt: int, request: Request[Any], outcome: httpx.Response | httpx.TransportError) -> float:
        """The seconds until the next try; where there is none, the error or the Problem is raised."""
        if isinstance(outcome, BROKEN_OFF) and not request.repeatable:
            raise outcome
        error = _problem(outcome) if isinstance(outcome, httpx.Response) else outcome
        if isinstance(request.body, Iterator):  # some of it has been sent, and will not come again
            raise error
        return self.pause(attempt, error)

    def pause(self, attempt: int, error: Problem | httpx.TransportError) -> float:
        """The seconds until the next try after an error; where there is none, it is raised."""
        refused = isinstance(error, Problem) and error.status not in RETRIED and error.code != UNDER_WAY
        if attempt >= self._retries or refused:
            raise error
        after = error.retry_after if isinstance(error, Problem) else None
        return BACKOFF_SECONDS * 2**attempt if after is None else after


def _problem(response: httpx.Response) -> Problem:
    after = response.headers.get("retry-after", "")
    is_json = "json" in response.headers.get("content-type", "")  # a proxy's answer may be a page
    return Problem(response.status_code, response.json() if is_json else {}, float(after) if after.isdigit() else None)


def _built(http: httpx.Client | httpx.AsyncClient, request: Request[Any]) -> httpx.Request:
    params, body = dict(request.params) or None, request.body
    content = _awaited(body) if isinstance(body, Iterator) and isinstance(http, httpx.AsyncClient) else body
    return http.build_request(request.method, request.path, params=params, content=content, headers=dict(request.headers))


async def _awaited(pieces: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """The same pieces, each made in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _with_picture(answer: T, request: Request[T], send: Callable[[Request[Picture]], Any]) -> T:
    if request.path.endswith(PICTURED) and isinstance(answer, Answer):
        answer.plot = partial(send, _pictured(cast("Request[Answer]", request)))
    return answer


def _pictured(request: Request[Answer]) -> Request[Picture]:
    headers = {**request.headers, **SVG}
    return Request(request.method, request.path, lambda response: Picture(response.text), request.params, request.body, headers)


def _streamed(request: Request[T]) -> Request[T]:
    return replace(request, headers={**request.headers, **EVENTS})


def _sync(make: Callable[P, Request[T]]) -> Callable[Concatenate["Criterion", P], T]:
    def call(self: "Criterion", *arguments: P.args, **options: P.kwargs) -> T:
        return self.send(make(*arguments, **options))

    call.__name__, call.__doc__ = make.__name__, make.__doc__
    return call


def _async(make: Callable[P, Request[T]]) -> Callable[Concatenate["AsyncCriterion", P], Awaitable[T]]:
    def call(self: "AsyncCriterion", *arguments: P.args, **options: P.kwargs) -> Awaitable[T]:
        return self.send(make(*arguments, **options))

    call.__name__, call.__doc__ = make.__name__, make.__doc__
    return call


class Criterion(_Client):
    """The service, asked in turn. As a context it closes its connections."""

    evaluate = _sync(calls.evaluate)
    analyze = _sync(calls.analyze)
    compare = _sync(calls.compare)
    check_gradient = _sync(calls.check_gradient)
    recommend = _sync(calls.recommend)
    predict = _sync(calls.predict)
    compare_runs = _sync(calls.compare_runs)
    search = _sync(calls.search)
    find_rate = _sync(calls.find_rate)
    learning_curve = _sync(calls.learning_curve)
    runs = _sync(calls.runs)
    run = _sync(calls.run)
    losses = _sync(calls.losses)
    curve = _sync(calls.curve)
    describe = _sync(calls.describe)
    datasets = _sync(calls.datasets)
    keep_dataset = _sync(calls.keep_dataset)
    delete_dataset = _sync(calls.delete_dataset)
    dataset_rows = _sync(calls.dataset_rows)
    protocol = _sync(calls.protocol)
    ready = _sync(calls.ready)
    live = _sync(calls.live)
    metrics = _sync(calls.metrics)
    openapi = _sync(calls.openapi)

    def __init__(self, url: str = URL, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._http = httpx.Client(**self._set_up)
        self.jobs = Jobs(self)
        """Work that outlives its request."""

    def send(self, request: Request[T]) -> T:
        """The answer to a request; Problem where there is none."""
        attempt = 0
        while True:
            try:
                outcome = self._http.send(_built(self._http, request))
            except (httpx.ConnectError, *BROKEN_OFF) as error:
                outcome = error
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return _with_picture(request.read(outcome), request, self.send)
            time.sleep(self._wait(attempt, request, outcome))
            attempt += 1

    @overload
    def train(self, *, stream: Literal[False] = False, idempotency_key: str | None = None, **request: Any) -> Answer: ...
    @overload
    def train(
        self, *, stream: Literal[True], idempotency_key: str | None = None, **request: Any
    ) -> Generator[Answer, None, Answer]: ...
    def train(
        self, *, stream: bool = False, idempotency_key: str | None = None, **request: Any
    ) -> Answer | Generator[Answer, None, Answer]:
        """A training run: fields of /v1/train. As a stream, its epochs as they come; to leave it is to end the run."""
        asked = calls.train(request, idempotency_key=idempotency_key)
        return self._epochs(asked) if stream else self.send(asked)

    def _epochs(self, request: Request[Answer]) -> Generator[Answer, None, Answer]:
        for event in self.stream(request):
            if event.name == END:
                return Answer(event.document)
            yield Answer({"event": event.name, **event.document})
        raise httpx.RemoteProtocolError(BROKEN)

    def stream(self, request: Request[Any]) -> Generator[Event]:
        """The events of an answer as they come, the last one `end`; none where the service says that all have come before."""
        built = _built(self._http, _streamed(request))
        with closing(self._http.send(built, stream=True)) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            if response.status_code == NOTHING_MORE:
                return
            reader = Events()
            for line in response.iter_lines():
                for name, document in reader.feed(line):
                    yield Event(name, reader.identity, document)
                    if name == END:
                        return
        raise httpx.RemoteProtocolError(BROKEN)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncCriterion(_Client):
    """The service, asked by tasks. As an asynchronous context it closes its connections."""

    evaluate = _async(calls.evaluate)
    analyze = _async(calls.analyze)
    compare = _async(calls.compare)
    check_gradient = _async(calls.check_gradient)
    recommend = _async(calls.recommend)
    predict = _async(calls.predict)
    compare_runs = _async(calls.compare_runs)
    search = _async(calls.search)
    find_rate = _async(calls.find_rate)
    learning_curve = _async(calls.learning_curve)
    runs = _async(calls.runs)
    run = _async(calls.run)
    losses = _async(calls.losses)
    curve = _async(calls.curve)
    describe = _async(calls.describe)
    datasets = _async(calls.datasets)
    keep_dataset = _async(calls.keep_dataset)
    delete_dataset = _async(calls.delete_dataset)
    dataset_rows = _async(calls.dataset_rows)
    protocol = _async(calls.protocol)
    ready = _async(calls.ready)
    live = _async(calls.live)
    metrics = _async(calls.metrics)
    openapi = _async(calls.openapi)

    def __init__(self, url: str = URL, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._http = httpx.AsyncClient(**self._set_up)
        self.jobs = AsyncJobs(self)
        """Work that outlives its request."""

    async def send(self, request: Request[T]) -> T:
        """The answer to a request; Problem where there is none."""
        attempt = 0
        while True:
            try:
                outcome = await self._http.send(_built(self._http, request))
            except (httpx.ConnectError, *BROKEN_OFF) as error:
                outcome = error
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return _with_picture(request.read(outcome), request, self.send)
            await asyncio.sleep(self._wait(attempt, request, outcome))
            attempt += 1

    async def train(self, *, idempotency_key: str | None = None, **request: Any) -> Answer:
        """A training run: fields of /v1/train."""
        return await self.send(calls.train(request, idempotency_key=idempotency_key))

    async def epochs(self, *, idempotency_key: str | None = None, **request: Any) -> AsyncGenerator[Answer]:
        """The epochs of a training run as they come, and its whole answer as the last; to leave is to end the run."""
        async with aclosing(self.stream(calls.train(request, idempotency_key=idempotency_key))) as events:
            async for event in events:
                yield Answer({"event": event.name, **event.document})

    async def stream(self, request: Request[Any]) -> AsyncGenerator[Event]:
        """As that of Criterion."""
        built = _built(self._http, _streamed(request))
        response = await self._http.send(built, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                raise _problem(response)
            if response.status_code == NOTHING_MORE:
                return
            reader = Events()
            async for line in response.aiter_lines():
                for name, document in reader.feed(line):
                    yield Event(name, reader.identity, document)
                    if name == END:
                        return
            raise httpx.RemoteProtocolError(BROKEN)
        finally:
            await response.aclose()

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
