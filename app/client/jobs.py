"""Work that outlives its request: `c.jobs` submits it, and a job is waited for, followed, cancelled and resumed.

Whoever follows a job is connected again where the connection breaks, or the server is started anew, and misses nothing.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Generator, Mapping
from typing import Any, Generic, NamedTuple, NoReturn, Protocol, Self, TypeVar

import httpx

from app.client import calls
from app.client.answers import Answer, Problem
from app.client.request import Request

LOOK_SECONDS = 0.05, 1.0
"""How long it is waited until a job is looked at again: at first, and at most."""
ENDED = ("succeeded", "failed", "cancelled")

T = TypeVar("T")
C = TypeVar("C")


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    identity: str
    document: Mapping[str, Any]


class Client(Protocol):
    """What sends requests, and tells of streams."""

    def send(self, request: Request[T]) -> T: ...
    def stream(self, request: Request[Any]) -> Generator[Event]: ...
    def pause(self, attempt: int, error: Problem | httpx.TransportError) -> float:
        """The seconds until the next try; where there is none, the error is raised."""
        ...


class AsyncClient(Protocol):
    """The same by tasks."""

    def send(self, request: Request[T]) -> Awaitable[T]: ...
    def stream(self, request: Request[Any]) -> AsyncGenerator[Event]: ...
    def pause(self, attempt: int, error: Problem | httpx.TransportError) -> float: ...


class _Job(Generic[C]):
    """A job as it was when it was last asked for: what the service tells of it are its attributes."""

    def __init__(self, client: C, answer: Answer) -> None:
        self._client, self._answer = client, answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_answer"], name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._answer)!r})"

    def _become(self, answer: Answer) -> Self:
        self._answer = answer
        return self

    @property
    def _over(self) -> bool:
        """Whether it has ended; Problem where it has failed."""
        if self.status == "failed":
            raise Problem(self.problem.status, self.problem)
        return self.status in ENDED

    def _too_late(self, timeout: float | None) -> NoReturn:
        raise TimeoutError(f"the job {self.id} is still {self.status} after {timeout:g} seconds")


class Job(_Job[Client]):
    """A job."""

    def refresh(self) -> Self:
        """As it is now."""
        return self._become(self._client.send(calls.job(self.id)))

    def wait(self, timeout: float | None = None) -> Self:
        """The job once it has ended: with its `result`, or cancelled. Problem where it has failed, TimeoutError after as long."""
        ends, pause = time.monotonic() + (timeout or 0.0), LOOK_SECONDS[0]
        while not self.refresh()._over:
            if timeout is not None and time.monotonic() >= ends:
                self._too_late(timeout)
            time.sleep(pause)
            pause = min(2 * pause, LOOK_SECONDS[1])
        return self

    def events(self, after: int = 0) -> Generator[Answer]:
        """What has happened and what happens, each with its `event` and `number`, from behind a number on; `end` is the last."""
        last, attempt = str(after) if after else "", 0
        while True:
            try:
                for event in self._client.stream(calls.job_events(self.id, last)):
                    last, attempt = event.identity, 0
                    yield Answer({"event": event.name, "number": int(last), **event.document})
            except (Problem, httpx.TransportError) as error:
                time.sleep(self._client.pause(attempt, error))
                attempt += 1
            else:
                return

    def cancel(self) -> Self:
        """Its work ends at once."""
        return self._become(self._client.send(calls.cancel_job(self.id)))

    def resume(self) -> Self:
        """One that was cancelled or has failed goes on from its last checkpoint."""
        return self._become(self._client.send(calls.resume_job(self.id)))


class Jobs:
    """The jobs of your key."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(self, kind: str, request: Mapping[str, Any], *, priority: int = 0, idempotency_key: str | None = None) -> Job:
        """Have a call done for which nobody waits: train, compare, search, evaluate or analyze, with its body."""
        asked = calls.submit_job(kind, request, priority=priority, idempotency_key=idempotency_key)
        return Job(self._client, self._client.send(asked))

    def get(self, identity: str) -> Job:
        """A job by its id."""
        return Job(self._client, self._client.send(calls.job(identity)))

    def list(self, *, status: str | None = None, kind: str | None = None, most: int | None = None) -> list[Job]:
        """All of them, or so many at most, the newest first."""
        found: list[Job] = []
        cursor: str | None = None
        while True:
            page = self._client.send(calls.jobs(status=status, kind=kind, cursor=cursor))
            found += [Job(self._client, answer) for answer in page.jobs]
            cursor = page.next
            if cursor is None or (most is not None and len(found) >= most):
                return found[:most]


class AsyncJob(_Job[AsyncClient]):
    """A job, asked for by tasks."""

    async def refresh(self) -> Self:
        """As it is now."""
        return self._become(await self._client.send(calls.job(self.id)))

    async def wait(self, timeout: float | None = None) -> Self:
        """As `Job.wait`."""
        ends, pause = time.monotonic() + (timeout or 0.0), LOOK_SECONDS[0]
        while not (await self.refresh())._over:
            if timeout is not None and time.monotonic() >= ends:
                self._too_late(timeout)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LOOK_SECONDS[1])
        return self

    async def events(self, after: int = 0) -> AsyncGenerator[Answer]:
        """As `Job.events`."""
        last, attempt = str(after) if after else "", 0
        while True:
            try:
                async for event in self._client.stream(calls.job_events(self.id, last)):
                    last, attempt = event.identity, 0
                    yield Answer({"event": event.name, "number": int(last), **event.document})
            except (Problem, httpx.TransportError) as error:
                await asyncio.sleep(self._client.pause(attempt, error))
                attempt += 1
            else:
                return

    async def cancel(self) -> Self:
        """Its work ends at once."""
        return self._become(await self._client.send(calls.cancel_job(self.id)))

    async def resume(self) -> Self:
        """As `Job.resume`."""
        return self._become(await self._client.send(calls.resume_job(self.id)))


class AsyncJobs:
    """The jobs of your key, asked for by tasks."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def submit(
        self, kind: str, request: Mapping[str, Any], *, priority: int = 0, idempotency_key: str | None = None
    ) -> AsyncJob:
        """As `Jobs.submit`."""
        asked = calls.submit_job(kind, request, priority=priority, idempotency_key=idempotency_key)
        return AsyncJob(self._client, await self._client.send(asked))

    async def get(self, identity: str) -> AsyncJob:
        """A job by its id."""
        return AsyncJob(self._client, await self._client.send(calls.job(identity)))

    async def list(self, *, status: str | None = None, kind: str | None = None, most: int | None = None) -> list[AsyncJob]:
        """As `Jobs.list`."""
        found: list[AsyncJob] = []
        cursor: str | None = None
        while True:
            page = await self._client.send(calls.jobs(status=status, kind=kind, cursor=cursor))
            found += [AsyncJob(self._client, answer) for answer in page.jobs]
            cursor = page.next
            if cursor is None or (most is not None and len(found) >= most):
                return found[:most]
