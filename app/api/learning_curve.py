"""POST /v1/train/learning-curve: what more rows to train on would bring."""

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, NamedTuple

from pydantic import Field, PrivateAttr
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.files import FILES
from app.api.specs import Listed
from app.api.tables import check_columns
from app.api.training import AS_A_RUN, COLUMNS, REFUSALS, TrainRequest, epochs, steps_of, usage_of
from app.api.training_examples import CURVES
from app.errors import CallerError, Fault, InvalidInput
from app.insight.repeats import spread
from app.serving.call import Call
from app.serving.steps import Event
from app.serving.usage import Usage
from app.training import Limits, Plan, Result, begin, finish

MOST_RUNS = 200
SIZES = (0.1, 0.325, 0.55, 0.775, 1.0)


class LearningCurveRequest(TrainRequest):
    """A run, on ever more of its training rows."""

    sizes: Annotated[
        list[Annotated[float, Field(gt=0)]],
        Field(
            description="Shares of the training rows up to 1, or numbers of them, ascending. Default: "
            "[0.1, 0.325, 0.55, 0.775, 1.0].",
            min_length=1,
            max_length=50,
            default_factory=lambda: [*SIZES],
        ),
        Listed,
    ]
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**32)]] | None,
        Field(description="A run of each size from each of these seeds, which draws the rows too.", min_length=1, max_length=50),
        Listed,
    ] = None

    _sized: "Sequence[Sized]" = PrivateAttr(default=())
    _limits: Limits = PrivateAttr(default=Limits())
    _steps: float = PrivateAttr(default=0.0)

    @property
    def sized(self) -> "Sequence[Sized]":
        """The run of each size, checked."""
        return self._sized

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def usage(self) -> Usage:
        """What is counted of it."""
        return usage_of((self.runs[0].plan.loss.thing.name,), self._steps, self.seconds)

    def _check(self, limits: Limits) -> None:
        seeds = self.seeds or [self.seed]
        if self.seeds is not None and "seed" in self.model_fields_set:
            raise InvalidInput([Fault(("seed",), "unexpected", "give seeds in seeds alone")])
        count = len(self.sizes) * len(seeds)
        if count > MOST_RUNS:
            raise InvalidInput([Fault((), "limit", f"these are {count} runs, and at most {MOST_RUNS} are taken on")])
        self._limits = replace(limits, row_epochs=limits.row_epochs // count)
        super()._check(self._limits)
        (whole,) = self.runs
        counts = [_count(size, whole.training.n, place) for place, size in enumerate(self.sizes)]
        for place, (smaller, larger) in enumerate(pairwise(counts), 1):
            if larger <= smaller:
                message = f"sizes[{place}] is {larger} rows, and must be more than the {smaller} before"
                raise InvalidInput([Fault(("sizes", place), "out_of_range", message)])
        self._sized = [Sized(count, _of_size(whole.plan, count)) for count in counts]
        for place, sized in enumerate(self._sized):
            try:
                self._steps += len(seeds) * steps_of(self.prepared(sized.plan, self._limits))
            except CallerError as error:
                message = f"{sized.rows} of the training rows are not enough: {error.detail}"
                raise InvalidInput([Fault(("sizes", place), "no_samples", message)]) from None


class Sized(NamedTuple):
    """A run on some of the training rows."""

    rows: int
    plan: Plan

    def drawn(self, seed: int) -> Plan:
        """Of a seed, which draws the rows too."""
        return replace(self.plan, seed=seed, validation=replace(self.plan.validation, draw=seed))


def _count(size: float, n: int, place: int) -> int:
    """The rows that a size means."""
    if size <= 1:
        count = round(size * n)
        if count:
            return count
        raise InvalidInput([Fault(("sizes", place), "no_samples", f"sizes[{place}]: {size:g} of {n} rows is none")])
    if size != round(size) or size > n:
        message = f"sizes[{place}] must be a share up to 1, or a whole number up to the {n} training rows; got {size:g}"
        raise InvalidInput([Fault(("sizes", place), "out_of_range", message)])
    return int(size)


def _of_size(plan: Plan, count: int) -> Plan:
    """The plan on so many rows; where a step takes more than there are, it takes all."""
    batch = plan.batch_size if plan.batch_size in (None, "full") else min(plan.batch_size, count)
    return replace(plan, batch_size=batch, validation=replace(plan.validation, kept=count))


class MeanAnswer(TypedDict):
    """Over the seeds."""

    n: int
    mean: NumberOrNull
    deviation: Annotated[NumberOrNull, Field(description="With n − 1.")]


class MeanScores(TypedDict):
    """A metric on both kinds of rows."""

    training: MeanAnswer
    validation: MeanAnswer


class PointAnswer(TypedDict):
    """What so many rows come to."""

    rows: int
    training_loss: MeanAnswer
    validation_loss: MeanAnswer
    metrics: dict[str, MeanScores]


class LearningCurveResponse(TypedDict):
    """Scores by the number of rows; rows to validate with are the same throughout."""

    points: list[PointAnswer]


def learning_curve(request: LearningCurveRequest) -> Generator[Event]:
    """What more rows to train on would bring: the same run on ever more of them, on the same rows to validate with.

    The last point is the run by itself. A stream tells of `progress` after each run.
    """
    ends, seeds = time.monotonic() + request.seconds, request.seeds or [request.seed]
    total, done = len(request.sized) * len(seeds), 0
    yield Event("start", {"rows": [sized.rows for sized in request.sized], "of": total})
    points: list[PointAnswer] = []
    for sized in request.sized:
        results: list[Result] = []
        for seed in seeds:
            run, now = request.prepared(sized.drawn(seed), request.limits), time.monotonic()
            state = begin(run)
            for _ in epochs(run, state, now + (ends - now) / (total - done)):
                pass
            results.append(finish(run, state))
            done += 1
            yield Event("progress", {"done": done, "of": total})
        points.append(_point(sized.rows, results))
    yield Event("end", LearningCurveResponse(points=points))


def _point(rows: int, results: Sequence[Result]) -> PointAnswer:
    return PointAnswer(
        rows=rows,
        training_loss=_mean([result.training_loss for result in results]),
        validation_loss=_mean([result.validation_loss for result in results]),
        metrics={
            name: MeanScores(
                training=_mean([result.metrics[name][0] for result in results]),
                validation=_mean([result.metrics[name][1] for result in results]),
            )
            for name in results[0].metrics
        },
    )


def _mean(numbers: Sequence[float | None]) -> MeanAnswer:
    found = spread([number for number in numbers if number is not None and math.isfinite(number)], 0.95)
    return MeanAnswer(n=found.n, mean=found.mean, deviation=found.deviation)


LEARNING_CURVE = Call(
    method="POST",
    path="/v1/train/learning-curve",
    function=learning_curve,
    summary="Train on ever more rows",
    tag="training",
    scope="train",
    lane="training",
    answer=LearningCurveResponse,
    statuses=REFUSALS,
    wires=FILES,
    check=check_columns(LearningCurveRequest, COLUMNS),
    examples=CURVES,
    document=AS_A_RUN,
)
