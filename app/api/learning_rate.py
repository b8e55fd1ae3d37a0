"""POST /v1/train/learning-rate: the loss after a step at each of ever higher learning rates, and one of them that trains."""

import math
import time
from collections.abc import Generator, Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.files import FILES
from app.api.tables import check_columns
from app.api.training import AS_A_RUN, COLUMNS, REFUSALS, TrainRequest
from app.api.training_examples import RATES
from app.errors import Fault, InvalidInput
from app.serving.call import Call
from app.serving.steps import Event
from app.serving.time_limit import TimeUp, until
from app.training import Limits, Run
from app.training.learning_rate import diverging, losses, rates, suggested


class LearningRateRequest(TrainRequest):
    """A run, whose learning rate is looked for."""

    low: Annotated[float, Field(description="The lowest rate.", gt=0, le=1e6)] = 1e-6
    high: Annotated[float, Field(description="The highest.", gt=0, le=1e6)] = 10.0
    steps: Annotated[int, Field(description="Rates, each so many times the one before.", ge=2, le=1000)] = 100

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.high <= self.low:
            raise InvalidInput([Fault(("high",), "out_of_range", f"high must be above low, {self.low:g}; got {self.high:g}")])
        return self

    def _check(self, limits: Limits) -> None:
        super()._check(limits)
        plan = self.runs[0].plan
        if plan.optimizer is None:
            message = f"{plan.model.thing.name} has no optimizer, and so no rate of its steps; compare takes model.learning_rate"
            raise InvalidInput([Fault(("model",), "unexpected", message)])
        if "learning_rate" not in plan.optimizer.thing.parameters:
            message = f"{plan.optimizer.thing.name} has no learning rate"
            raise InvalidInput([Fault(("optimizer",), "unexpected", message)])


class RateEntry(TypedDict):
    """A step at a learning rate."""

    learning_rate: float
    loss: Annotated[NumberOrNull, Field(description="Of the training rows after it; null once it is not finite.")]


class LearningRateResponse(TypedDict):
    """The loss by the rate."""

    curve: list[RateEntry]
    suggestion: Annotated[
        float | None, Field(description="A tenth of the rate of the least loss, or less: it has lowered the loss when tried.")
    ]
    diverges_at: Annotated[
        float | None, Field(description="Where the loss is first above four times the least before it, or not finite.")
    ]


def find_rate(request: LearningRateRequest) -> Generator[Event]:
    """A learning rate that trains: one step at each of ever higher rates, and the loss after it (Smith 2017).

    The rates are geometric; a schedule is left out. The suggestion has been tried for a few epochs.
    """
    (run,) = request.runs
    ends = time.monotonic() + request.seconds
    tried = rates(request.low, request.high, request.steps)
    yield Event("start", {"steps": len(tried)})
    found: list[float] = []
    for loss in _in_time(losses(run, tried), ends):
        found.append(loss)
        yield Event("progress", {"done": len(found), "of": len(tried)})
    seen = tried[: len(found)]
    told = [loss if math.isfinite(loss) else None for loss in found]
    curve = [RateEntry(learning_rate=rate, loss=loss) for rate, loss in zip(seen, told, strict=True)]
    suggestion = _suggestion(run, seen, found, ends)
    yield Event("end", LearningRateResponse(curve=curve, suggestion=suggestion, diverges_at=diverging(seen, found)))


def _in_time(items: Iterator[float], ends: float) -> Iterator[float]:
    try:
        yield from until(ends, items)
    except TimeUp:
        return


def _suggestion(run: Run, tried: list[float], found: list[float], ends: float) -> float | None:
    try:
        return next(until(ends, (suggested(run, tried, found) for _ in range(1))), None)
    except TimeUp:
        return None


FIND_RATE = Call(
    method="POST",
    path="/v1/train/learning-rate",
    function=find_rate,
    summary="Find a learning rate",
    tag="training",
    scope="train",
    lane="training",
    answer=LearningRateResponse,
    statuses=REFUSALS,
    wires=FILES,
    check=check_columns(LearningRateRequest, COLUMNS),
    examples=RATES,
    document=AS_A_RUN,
)
