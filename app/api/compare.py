"""POST /v1/train/compare: the same run with several losses, optimizers or seeds, side by side."""

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

import numpy as np
import orjson
from pydantic import Field
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.files import FILES
from app.api.specs import EitherLoss, Listed, Spec, list_of
from app.api.tables import check_columns
from app.api.tables_document import TRAINING
from app.api.training import COLUMNS, REFUSALS, STREAM, EitherOptimizer, Rows, TrainRequest, epochs, gathered, plan_of
from app.api.training_answer import Scores, TrainResponse, entry, respond, set_up
from app.api.training_examples import COMPARISONS
from app.errors import CallerError, Fault, InvalidInput, InvalidParameter, Path
from app.insight import charts
from app.losses import NAMED
from app.serving.call import Call
from app.serving.pieces import Kind
from app.serving.steps import Event
from app.training import METRICS, OPTIMIZERS, Chosen, Limits, Metric, Plan, Run, begin, fit, prepare
from app.training.learners import State
from app.training.metrics import check_metric
from app.wire.json import encode

COMMON_METRICS = ("accuracy", "r2")
"""What losses are compared by unless something else is asked for: metrics without a unit, where they fit."""

if TYPE_CHECKING:
    LossSpecs: TypeAlias = list[Spec]
    OptimizerSpecs: TypeAlias = list[Spec]
else:
    LossSpecs = list_of(EitherLoss, NAMED, "losses")
    OptimizerSpecs = list_of(EitherOptimizer, OPTIMIZERS, "optimizers")


class CompareRequest(TrainRequest):
    """A run several times over, with one thing changed: the loss, the optimizer or the seed."""

    losses: Annotated[LossSpecs | None, Field(description="A run with each of these losses.", min_length=2, max_length=12)] = None
    optimizers: Annotated[
        OptimizerSpecs | None, Field(description="A run with each of these optimizers.", min_length=2, max_length=12)
    ] = None
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**32)]] | None,
        Field(description="A run from each of these seeds.", min_length=2, max_length=50),
        Listed,
    ] = None

    @property
    def by(self) -> Literal["loss", "optimizer", "seed"]:
        return "loss" if self.losses is not None else "optimizer" if self.optimizers is not None else "seed"

    def _checked(self, rows: Rows, limits: Limits) -> Sequence[Run]:
        given = [name for name in ("losses", "optimizers", "seeds") if getattr(self, name) is not None]
        if len(given) != 1:
            message = "compare takes one of losses, optimizers and seeds" + (f"; got {' and '.join(given)}" if given else "")
            raise InvalidInput([Fault((), "choice", message)])
        if self.by in self.model_fields_set:
            message = f"{self.by} is what is compared: give it in {given[0]} alone"
            raise InvalidInput([Fault((self.by,), "unexpected", message)])
        variants = cast(list[Any], getattr(self, given[0]))
        shared = replace(limits, row_epochs=limits.row_epochs // len(variants))
        plans = [plan_of(self.model_copy(update={self.by: variant}), rows) for variant in variants]
        return _alike(self._each(plans, shared, given[0]), not self.metrics, shared)

    def _each(self, plans: Sequence[Plan], limits: Limits, field: str) -> list[Run]:
        """The runs; what is wrong with what they do not share is told where it stands."""
        if self.by == "seed":  # which nothing that is made ready depends on: no need for fifty copies of the rows
            first = self._prepared(plans[0], limits)
            return [replace(first, plan=plan) for plan in plans]
        runs: list[Run] = []
        refused: dict[int, CallerError] = {}
        for index, plan in enumerate(plans):
            try:
                runs.append(self._prepared(plan, limits))
            except CallerError as error:
                refused[index] = error
        if not refused:
            return runs
        # targets that one loss takes and another does not are not wrong: the other loss is
        mixed = self.by == "loss" and (runs or len({error.faults for error in refused.values()}) > 1)
        theirs: tuple[Path, ...] = (("data", "targets"), ("validation", "targets")) if mixed else ()
        faults = [
            fault
            for index, error in refused.items()
            for fault in gathered(error.moved({(self.by,): (field, index)}), dict.fromkeys(theirs, (field, index))).faults
        ]
        first = next(iter(refused.values()))
        raise type(first)([*dict.fromkeys(faults)] or first.detail, detail=first.detail)


def _alike(runs: Sequence[Run], choose: bool, limits: Limits) -> Sequence[Run]:
    """The runs with targets in the same unit throughout, and metrics that fit all of them where none were asked for."""
    plans = [run.plan for run in runs]
    if len({run.targets_scale is None for run in runs}) > 1:
        plans = [replace(plan, standardize_targets=False) for plan in plans]
    if choose:
        fitting = tuple(Chosen(METRICS[name], {}) for name in COMMON_METRICS if all(_scores(METRICS[name], run) for run in runs))
        plans = [replace(plan, metrics=fitting) for plan in plans]
    return runs if plans == [run.plan for run in runs] else [prepare(plan, limits) for plan in plans]


def _scores(metric: Any, run: Run) -> bool:
    try:
        check_metric(metric, metric.defaults, run.objective.encoding, run.training.targets, outputs=run.objective.outputs)
    except InvalidParameter:
        return False
    return True


class Best(TypedDict):
    """Which run a metric likes best, on validation rows where there are any."""

    run: Annotated[int, Field(description="Its place in `runs`.")]
    score: float


class Line(TypedDict):
    """A run in one line of the table."""

    name: Annotated[str | int, Field(description="The loss, the optimizer or the seed.")]
    epoch: int
    training_loss: NumberOrNull
    validation_loss: NumberOrNull
    metrics: dict[str, Scores]
    stopped: str
    verdict: Annotated[str | None, Field(description="The first of its diagnosis.")]
    seconds: float


class CompareResponse(TypedDict):
    """Several runs side by side. Different losses have different units: compare them by the metrics."""

    by: Literal["loss", "optimizer", "seed"]
    table: list[Line]
    best: Annotated[dict[str, Best], Field(description="By each metric.")]
    runs: list[TrainResponse]


def compare_runs(request: CompareRequest) -> Generator[Event]:
    """The same run with several losses, optimizers or seeds: one table, the curves side by side, scored on common metrics.

    Give one of `losses`, `optimizers` and `seeds`; the rest is as for a single run. The time that a run may take is
    shared by all of them.
    """
    runs, ends = request.runs, time.monotonic() + request.seconds
    yield Event("start", {"by": request.by, "runs": [set_up(request.features, run) for run in runs]})
    answers: list[TrainResponse] = []
    for number, run in enumerate(runs):
        now, state = time.monotonic(), begin(run)
        for epoch in epochs(run, state, now + (ends - now) / (len(runs) - number)):
            yield Event("epoch", {"run": number, **entry(epoch)})
        answers.append(respond(request.features, request.outputs, run, state, ends))
    yield Event("end", respond_all(request, answers))


RUN = "run."
"""What the names of the run's own arrays begin with, in the state of all of them."""


def compare_on(request: CompareRequest, state: State) -> Generator[Event]:
    """The same from a state on: the answers of the runs that are done, and where the next one stands."""
    for number in range(len(_answered(state)), len(request.runs)):
        run = request.runs[number]
        own = {name.removeprefix(RUN): array for name, array in state.items() if name.startswith(RUN)} or begin(run)
        for epoch in fit(run, own):
            state.update({f"{RUN}{name}": array for name, array in own.items()})
            yield Event("epoch", {"run": number, **entry(epoch)})
        answer = respond(request.features, request.outputs, run, own, time.monotonic() + request.seconds)
        answered = encode([*_answered(state), answer])
        state.clear()
        state["answers"] = np.frombuffer(answered, np.uint8)
        yield Event("run", {"run": number, **_line(request.by, answer)})
    yield Event("end", respond_all(request, _answered(state)))


def _answered(state: State) -> list[TrainResponse]:
    """The answers of the runs that are done: JSON, which keeps every digit."""
    return orjson.loads(state["answers"].tobytes()) if "answers" in state else []


def runs_of(request: CompareRequest) -> int:
    return len(request.runs)


COMPARE = Call(
    method="POST",
    path="/v1/train/compare",
    function=compare_runs,
    summary="Train on several losses",
    tag="training",
    scope="train",
    lane="training",
    job=Kind("compare", "runs", runs_of, compare_on),
    picture=charts.train_compare,
    answer=CompareResponse,
    statuses=REFUSALS,
    wires=FILES,
    check=check_columns(CompareRequest, COLUMNS),
    examples=COMPARISONS,
    document={**TRAINING, "responses": {"200": STREAM}},
)


def respond_all(request: CompareRequest, answers: list[TrainResponse]) -> CompareResponse:
    return CompareResponse(
        by=request.by,
        table=[_line(request.by, answer) for answer in answers],
        best=_best(request.runs[0].plan.metrics, answers),
        runs=answers,
    )


def _line(by: Literal["loss", "optimizer", "seed"], answer: TrainResponse) -> Line:
    final, varied = answer["final"], answer[by]
    return Line(
        name=varied if isinstance(varied, int) else (varied or {})["name"],
        epoch=final["epoch"],
        training_loss=final["training_loss"],
        validation_loss=final["validation_loss"],
        metrics=final["metrics"],
        stopped=answer["stopped"]["reason"],
        verdict=next((finding["verdict"] for finding in answer["diagnosis"]), None),
        seconds=sum(epoch["seconds"] for epoch in answer["history"]),
    )


def _best(metrics: Sequence[Chosen], answers: Sequence[TrainResponse]) -> dict[str, Best]:
    """The run that each metric likes best; a metric that is nowhere defined likes none."""
    best: dict[str, Best] = {}
    side: Literal["training", "validation"] = "validation" if answers[0]["data"]["validation_rows"] else "training"
    for chosen in metrics:
        name = chosen.thing.name
        scored = [(answer["final"]["metrics"][name][side], number) for number, answer in enumerate(answers)]
        known = [(score, number) for score, number in scored if score is not None]
        if known:
            pick = max if isinstance(chosen.thing, Metric) and chosen.thing.higher_is_better else min
            score, number = pick(known, key=lambda pair: pair[0])
            best[name] = Best(run=number, score=score)
    return best
