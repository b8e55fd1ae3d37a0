"""/v1/runs: what was trained by jobs that have ended, to be compared and laid over one another."""

from typing import Annotated, Any, Literal, TypeAlias, cast, get_args

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from app.api.history import RunEntry
from app.api.jobs import store_of
from app.api.listing import LIMIT, Cursor, Limit, Next, before
from app.jobs.job import Job, shown
from app.serving.address import Path, Query
from app.serving.call import Call, Caller
from app.serving.idempotency import asked
from app.serving.problems import Problem
from app.serving.state import State

TrainingKinds: TypeAlias = Literal["train", "compare", "search"]
EndedStatuses: TypeAlias = Literal["succeeded", "failed", "cancelled"]
KINDS: tuple[TrainingKinds, ...] = get_args(TrainingKinds)


class RunsAnswer(TypedDict):
    """A job that has trained something, and has ended."""

    id: str
    kind: TrainingKinds
    status: EndedStatuses
    created: str
    started: str | None
    ended: str
    expires: Annotated[str, Field(description="When it is forgotten, with its job.")]
    n_runs: Annotated[int, Field(description="Or trials; 0 unless it has succeeded.")]
    runs: Annotated[list[RunEntry], Field(description="In lists without curves, and 20 at most.")]
    problem: Annotated[Problem | None, Field(description="Why it has failed; null in lists.")]


class RunsList(TypedDict):
    """Trainings, the newest first."""

    runs: list[RunsAnswer]
    next: Next


def _shown(job: Job, n: int, runs: bytes, problem: bytes | None = None) -> RunsAnswer:
    known = {field: found for field, found in shown(job).items() if field in RunsAnswer.__annotations__}
    told: dict[str, Any] = {"runs": orjson.Fragment(runs), "problem": None if problem is None else orjson.Fragment(problem)}
    return cast(RunsAnswer, {**known, "n_runs": n, **told})


async def list_runs(
    state: State,
    caller: Caller,
    status: Annotated[EndedStatuses | None, Query(description="Of this status.")] = None,
    kind: Annotated[TrainingKinds | None, Query(description="Of this kind.")] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> RunsList:
    """The trainings of your key that jobs have ended: set-up and final scores, the newest first, a page at a time.

    They are kept as long as their jobs. What was trained while somebody waited (`/v1/train`) is not among them.
    """
    kinds = KINDS if kind is None else (kind,)
    statuses = get_args(EndedStatuses) if status is None else (status,)
    found = await asked(store_of(state).ended, caller.name, kinds, statuses, limit + 1, before(cursor))
    page = [_shown(job, runs.n, runs.listed) for job, runs in found[:limit]]
    return {"runs": page, "next": page[-1]["id"] if len(found) > limit else None}


async def show_runs(
    id: Annotated[str, Path(description="The id of its job.")],  # noqa: A002  # its name on the wire
    state: State,
    caller: Caller,
) -> RunsAnswer:
    """What a job has trained, with the curves of each run."""
    whole, runs = await asked(store_of(state).runs, id, caller.name, KINDS)
    return _shown(whole.job, runs.n, runs.whole, whole.problem)


CALLS = (
    Call(
        method="GET",
        path="/v1/runs",
        function=list_runs,
        summary="List trainings",
        tag="jobs",
        scope="jobs",
        statuses=(404, 422),
    ),
    Call(
        method="GET",
        path="/v1/runs/{id}",
        function=show_runs,
        summary="Show a training",
        tag="jobs",
        scope="jobs",
        statuses=(404,),
    ),
)
