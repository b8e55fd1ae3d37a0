"""/v1/jobs: work that outlives its request. What a call answers to whoever waits for it, a job has as its result."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from app.api.analyzing import ANALYZE
from app.api.compare import COMPARE
from app.api.evaluating import EVALUATE
from app.api.listing import LIMIT, Cursor, Limit, Next, before
from app.api.search import SEARCH
from app.api.training import TRAIN
from app.errors import CallerError, NotFound, ScopeMissing, ShuttingDown
from app.jobs.job import JobEvent, shown
from app.jobs.store import New, Store, Whole
from app.serving.address import Header, Path, Query
from app.serving.call import Call, Caller, IdempotencyKey, Stream
from app.serving.content import Content
from app.serving.content import Field as HeadField
from app.serving.host import Host
from app.serving.idempotency import REPLAYED, asked
from app.serving.lanes import ENDING
from app.serving.pieces import REQUEST, jobs_settings
from app.serving.problems import Problem
from app.serving.state import State
from app.serving.usage import NO_USAGE, Usage
from app.serving.wires import as_model
from app.settings import Settings
from app.wire.events import event
from app.wire.json import encode

OF_KIND: Mapping[str, Call] = {call.job.name: call for call in (TRAIN, COMPARE, SEARCH, EVALUATE, ANALYZE) if call.job}
"""The calls that can be done as jobs."""
LOOK_SECONDS = 0.1
"""How often it is looked for new events."""
END = "end"

Kinds: TypeAlias = Literal["train", "compare", "search", "evaluate", "analyze"]
Statuses: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]


# --- the request ------------------------------------------------------------------------------------------------------


class JobRequest(BaseModel):
    """What is to be done, and how soon."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[Kinds, Field(description="compare is that of training runs.")]
    request: Annotated[dict[str, Any], Field(description="The body of that call; `data` may be in files, or kept.")]
    priority: Annotated[int, Field(description="A job of a higher one is begun first.", ge=-100, le=100)] = 0


class Accepted(NamedTuple):
    """A request that has been checked."""

    kind: str
    priority: int
    total: int
    usage: Usage
    parts: Sequence[bytes]
    """What each of the parts is that it is done in, as JSON."""


def check_job(document: Any, arguments: Mapping[str, Any], settings: Settings) -> Accepted:
    """The request of a job, checked as that of its call would be; CallerError with places in `request`."""
    asked: JobRequest = as_model(JobRequest, document, arguments, settings)
    call = OF_KIND[asked.kind]
    assert call.job is not None
    try:
        request = call.job_check(document[REQUEST], arguments, jobs_settings(settings))
    except CallerError as error:
        raise error.moved({(): (REQUEST,)}) from None
    usage: Usage = getattr(request, "usage", NO_USAGE)
    parts = call.job.cut.parts(request, settings.job_part_bytes) if call.job.cut else ()
    several = [encode(part) for part in parts] if len(parts) > 1 else []
    return Accepted(asked.kind, asked.priority, call.job.total(request), usage._replace(timed=True), several)


# --- the answers ------------------------------------------------------------------------------------------------------


class Progress(TypedDict):
    """How far a job has come."""

    done: int
    total: Annotated[int, Field(description="At most: a run may stop early.")]
    unit: Literal["epochs", "runs", "partitions"]


class JobAnswer(TypedDict):
    """A job."""

    id: str
    kind: Kinds
    status: Statuses
    priority: int
    created: Annotated[str, Field(description="In UTC (RFC 3339).")]
    started: str | None
    ended: str | None
    expires: Annotated[str | None, Field(description="When it is forgotten.")]
    position: Annotated[int | None, Field(description="1 is next; null unless it is queued.")]
    attempts: Annotated[int, Field(description="How often it was begun.")]
    progress: Progress
    result: Annotated[Any, Field(description="What the call would have answered; null in lists.")]
    problem: Annotated[Problem | None, Field(description="Why it has failed; null in lists.")]


class Jobs(TypedDict):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]
    next: Next


def _answer(whole: Whole) -> JobAnswer:
    result, problem = (None if found is None else orjson.Fragment(found) for found in (whole.result, whole.problem))
    return cast(JobAnswer, shown(whole.job, whole.position, result, problem))


# --- the calls --------------------------------------------------------------------------------------------------------

Id = Annotated[str, Path(description="The id of a job.")]


async def submit_job(
    request: JobRequest,
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> JobAnswer:
    """Have a call done for which nobody waits, whatever crashes meanwhile: it goes on from its last checkpoint, to the same bits.

    The request is checked before this answers.
    """
    accepted, body = cast("tuple[Accepted, bytes]", request)
    _check_scope(caller, accepted.kind)
    host = _host(state)
    job = OF_KIND[accepted.kind].job
    assert job is not None
    new = New(accepted.kind, accepted.priority, accepted.total, job.unit, body, accepted.parts)
    whole, replayed = await asked(host.store.submit, new, caller.name, idempotency_key)
    host.wake()
    fields: tuple[HeadField, ...] = ((b"location", f"/v1/jobs/{whole.job.id}".encode()),)
    if replayed:
        fields = (*fields, REPLAYED)
    return cast(JobAnswer, Content((encode(_answer(whole)),), fields=fields))


async def show_job(id: Id, state: State, caller: Caller) -> JobAnswer:  # noqa: A002  # its name on the wire
    """A job as it stands, with its result once it has one."""
    return _answer(await asked(store_of(state).get, id, caller.name))


async def list_jobs(
    state: State,
    caller: Caller,
    status: Annotated[Statuses | None, Query(description="Of this status.")] = None,
    kind: Annotated[Kinds | None, Query(description="Of this kind.")] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Jobs:
    """The jobs of your key, the newest first, a page at a time. A cursor stays good while jobs come and go."""
    found = await asked(store_of(state).page, caller.name, status, kind, limit + 1, before(cursor))
    jobs = [cast(JobAnswer, shown(job, position)) for job, position in found[:limit]]
    return Jobs(jobs=jobs, next=jobs[-1]["id"] if len(found) > limit else None)


async def cancel_job(id: Id, state: State, caller: Caller) -> JobAnswer:  # noqa: A002
    """Cancel a job: its processes end at once. A second time is nothing new; one that is over is not cancelled (409)."""
    return _answer(await asked(store_of(state).cancel, id, caller.name))


async def resume_job(id: Id, state: State, caller: Caller) -> JobAnswer:  # noqa: A002
    """Have a job that was cancelled or has failed go on from its last checkpoint."""
    host = _host(state)
    whole = await asked(host.store.resume, id, caller.name)
    host.wake()
    return _answer(whole)


async def follow_job(
    id: Id,  # noqa: A002
    state: State,
    caller: Caller,
    last_event_id: Annotated[int | None, Header(description="The last event that you have had."), Field(ge=0)] = None,
) -> Stream | None:
    """What has happened in a job and what happens, as server-sent events; whoever has had the last one gets 204.

    Their ids count from 1: `status` with the job, `epoch`, `run` and `partition`, each once, and `end` with the job.
    """
    store, after = store_of(state), last_event_id or 0
    job = (await asked(store.get, id, caller.name)).job
    if job.ended_already and after >= job.events:
        return None
    return Stream(_followed(state, store, id, after))


async def _followed(state: State, store: Store, identity: str, after: int) -> AsyncGenerator[bytes]:
    name = ""
    while not state.pool.ending:
        found: list[JobEvent] = await asked(store.events, identity, after)
        if found:
            name, after = found[-1].name, found[-1].number
            yield b"".join(event(happened.name, happened.data, str(happened.number)) for happened in found)
        elif name == END:
            return
        else:
            await asyncio.sleep(LOOK_SECONDS)
    raise ShuttingDown(ENDING)


# --- what they share --------------------------------------------------------------------------------------------------


def _host(state: State) -> Host:
    if state.jobs is None:
        raise NotFound("this server has no jobs: its CRITERION_ENGINE_URL is none, or it is made for evaluation only")
    return state.jobs


def store_of(state: State) -> Store:
    return _host(state).store


def _check_scope(caller: Caller, kind: str) -> None:
    """Whoever may have jobs may have those alone of which he may have the call."""
    needed = OF_KIND[kind].needs
    if caller.scopes is not None and needed not in caller.scopes:
        allowed = ", ".join(caller.scopes)
        message = f'the key "{caller.name}" has the scopes {allowed}; a job of the kind {kind} needs {needed} too'
        raise ScopeMissing(message, needed)


JOB = "/v1/jobs/{id}"
EXAMPLES = {
    "train": {
        "summary": "A training run",
        "value": {"kind": "train", "request": {"data": "circles", "loss": "hinge", "epochs": 20}},
    }
}

CALLS = (
    Call(
        method="POST",
        path="/v1/jobs",
        function=submit_job,
        summary="Submit a job",
        tag="jobs",
        scope="jobs",
        lane="jobs",
        check=check_job,
        status=202,
        statuses=(404, 422),
        examples=EXAMPLES,
    ),
    Call(
        method="GET",
        path="/v1/jobs",
        function=list_jobs,
        summary="List jobs",
        tag="jobs",
        scope="jobs",
        statuses=(404, 422),
    ),
    Call(
        method="GET",
        path=JOB,
        function=show_job,
        summary="Show a job",
        tag="jobs",
        scope="jobs",
        statuses=(404,),
    ),
    Call(
        method="DELETE",
        path=JOB,
        function=cancel_job,
        summary="Cancel a job",
        tag="jobs",
        scope="jobs",
        statuses=(404, 409),
    ),
    Call(
        method="POST",
        path=f"{JOB}/resume",
        function=resume_job,
        summary="Resume a job",
        tag="jobs",
        scope="jobs",
        status=202,
        statuses=(404, 409),
    ),
    Call(
        method="GET",
        path=f"{JOB}/events",
        function=follow_job,
        summary="Follow a job",
        tag="jobs",
        scope="jobs",
        answer=Stream,
        statuses=(404, 422),
    ),
)
