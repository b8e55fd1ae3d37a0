"""POST /v1/train/compare: the same run with several losses, optimizers, models, settings, seeds and folds, side by side."""

import math
import time
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import numpy as np
import orjson
from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema

from app.api.compare_answer import CompareResponse, line, respond_all
from app.api.files import FILES
from app.api.grid import Axis, Grid, Planned, grid_of
from app.api.history import of_runs
from app.api.specs import BoundSpec, EitherLoss, Listed, Spec, list_of
from app.api.tables import check_columns
from app.api.tables_document import TRAINING
from app.api.trained import EitherModel
from app.api.training import AS_A_RUN, COLUMNS, REFUSALS, TrainRequest, epochs, usage_of
from app.api.training_answer import TrainResponse, entry, respond
from app.api.training_examples import COMPARISONS
from app.api.training_fields import EitherOptimizer, with_rate
from app.api.training_plan import meant_beside
from app.api.training_rows import data_of
from app.errors import CallerError, Fault, InvalidInput
from app.insight import charts
from app.losses import NAMED
from app.serving.call import Call
from app.serving.pieces import Kind
from app.serving.steps import Event
from app.serving.usage import Usage
from app.training import MODELS, OPTIMIZERS, Limits, Run, begin, fit
from app.training.run import State
from app.wire.faults import listed
from app.wire.json import encode

MOST_RUNS = 200
MOST_VALUES = 50
AXES = {"losses": "loss", "optimizers": "optimizer", "models": "model"}
"""Fields that list what a run has one of."""


def _with_rates(value: object) -> object:
    """Optimizers whose `lr` is their learning_rate."""
    items = listed(value)
    return [with_rate(item) for item in cast(list[object], items)] if isinstance(items, list) else items


if TYPE_CHECKING:
    LossSpecs: TypeAlias = list[Spec]
    OptimizerSpecs: TypeAlias = list[Spec]
    ModelSpecs: TypeAlias = list[Spec]
else:
    LossSpecs = list_of(EitherLoss, NAMED, "losses")
    OptimizerSpecs = Annotated[list_of(EitherOptimizer, OPTIMIZERS, "optimizers"), BeforeValidator(_with_rates)]
    ModelSpecs = list_of(EitherModel, MODELS, "models")


def _values_by_path(value: object) -> dict[str, list[Any]] | None:
    """Lists of values by dotted paths."""
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        message = 'grid is an object of values by path, as {"optimizer.learning_rate": [0.01, 0.1]}'
        raise InvalidInput([Fault(("grid",), "type" if value != {} else "length", message)])
    found: dict[str, list[Any]] = {}
    faults: list[Fault] = []
    for path, given in cast(dict[str, object], value).items():
        values = listed(given)
        if not isinstance(values, list):
            faults.append(Fault(("grid", path), "type", f"grid.{path[:80]} must be a list of values"))
        elif not 2 <= len(cast(list[Any], values)) <= MOST_VALUES:
            message = f"grid.{path[:80]} must have 2 to {MOST_VALUES} values, not {len(cast(list[Any], values))}"
            faults.append(Fault(("grid", path), "length", message))
        elif path in ("seed", "seeds"):
            faults.append(Fault(("grid", path), "unexpected", "seeds are no setting: give them in seeds"))
        else:
            found[path] = [listed(item) for item in cast(list[Any], values)]
    if faults:
        raise InvalidInput(faults)
    return found


class CompareRequest(TrainRequest):
    """A run several times over, with every combination of what is listed: at least one of these, and at most 200 runs."""

    losses: Annotated[LossSpecs | None, Field(description="A run with each of these losses.", min_length=2, max_length=12)] = None
    optimizers: Annotated[
        OptimizerSpecs | None, Field(description="A run with each of these optimizers.", min_length=2, max_length=12)
    ] = None
    models: Annotated[ModelSpecs | None, Field(description="A run with each of these models.", min_length=2, max_length=12)] = (
        None
    )
    grid: Annotated[
        dict[str, list[Any]] | None,
        BeforeValidator(_values_by_path),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "array", "items": {}}}),
        Field(
            description="2 to 50 values of any settings, each by its path.",
            examples=[{"optimizer.learning_rate": [0.01, 0.1]}],
        ),
    ] = None
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**32)]] | None,
        Field(description="A run from each of these seeds.", min_length=2, max_length=50),
        Listed,
    ] = None
    folds: Annotated[
        int | None,
        Field(description="A run for each of so many folds of the rows, held out in turn, by `validation.split`.", ge=2, le=20),
    ] = None
    confidence: Annotated[float, Field(description="Of the intervals.", gt=0, lt=1)] = 0.95

    _grid: Grid = PrivateAttr()

    @property
    def all_runs(self) -> Grid:
        """Every run that was asked for, checked."""
        return self._grid

    @property
    def usage(self) -> Usage:
        """What is counted of it: a loss that all runs share, and what they take."""
        return usage_of((run.plan.loss.thing.name for run in self._grid.runs), self._grid.steps, self.seconds)

    def _check(self, limits: Limits) -> None:
        axes = [Axis(path, self._meant(given), (field,)) for field, path in AXES.items() if (given := getattr(self, field))]
        axes += [Axis(path, values, ("grid", path)) for path, values in (self.grid or {}).items()]
        self._refuse_twice(axes)
        seeds = self.seeds or []
        count = math.prod(len(axis.values) for axis in axes) * (len(seeds) or 1) * (self.folds or 1)
        if not axes and not seeds and not self.folds:
            message = "compare takes at least one of losses, optimizers, models, grid, seeds and folds"
            raise InvalidInput([Fault((), "choice", message)])
        if count > MOST_RUNS:
            raise InvalidInput([Fault((), "limit", f"these are {count} runs, and at most {MOST_RUNS} are compared")])
        self._grid = grid_of(self, axes, limits, seeds=seeds, folds=self.folds)

    def _meant(self, specs: list[Any]) -> list[Any]:
        """Losses whose names mean something else beside other targets, as they are meant beside those of all runs."""
        if not any(isinstance(spec, BoundSpec) and spec.varies for spec in specs) or "data" in (self.grid or {}):
            return specs
        with suppress(CallerError):  # which is told where runs are made ready
            table = data_of(self).table
            return [meant_beside(spec, table) if isinstance(spec, BoundSpec) else spec for spec in specs]
        return specs

    def _refuse_twice(self, axes: list[Axis]) -> None:
        """Refuse what is said of all runs beside what each has of its own."""
        varied = {axis.path: axis.place[0] for axis in axes if not axis.of_grid} | ({"seed": "seeds"} if self.seeds else {})
        for path, field in varied.items():
            if path in self.model_fields_set:
                message = f"{path} is what is compared: give it in {field} alone"
                raise InvalidInput([Fault((path,), "unexpected", message)])
        ways = self.validation.ways if self.folds and "validation" in self.model_fields_set and self.validation else []
        if ways:
            message = f"folds hold the rows out in turn: leave {' and '.join(ways)} out"
            raise InvalidInput([Fault(("validation", ways[0]), "unexpected", message)])


def compare_runs(request: CompareRequest) -> Generator[Event]:
    """The same run with several losses, optimizers, models, settings, seeds and folds: one table, the curves side by side,
    scored on common metrics, with error bars and paired differences of what is repeated.

    All combinations of what is listed run; a setting that one of them has no use for is left out there, with a warning. The
    time that a run may take is shared by all of them. A stream tells of `progress` after each run.
    """
    grid, ends = request.all_runs, time.monotonic() + request.seconds
    yield Event("start", {"by": grid.by, "axes": grid.axes, "runs": [planned.set_up for planned in grid.runs]})
    answers: list[TrainResponse] = []
    for number, planned in enumerate(grid.runs):
        run = grid.prepared(planned)
        now, state = time.monotonic(), begin(run)
        for epoch in epochs(run, state, now + (ends - now) / (len(grid.runs) - number)):
            yield Event("epoch", {"run": number, **entry(epoch)})
        answers.append(_answer(request, planned, run, state, ends))
        yield Event("progress", {"done": number + 1, "of": len(grid.runs)})
    yield Event("end", respond_all(grid, request.confidence, answers))


def _answer(request: CompareRequest, planned: Planned, run: Run, state: State, ends: float) -> TrainResponse:
    """Of a run of the grid that has come to this state."""
    variant = request.all_runs.variants[planned.variant]
    answer = respond(variant.features, variant.request.outputs, run, state, ends, every=request.every)
    return {**answer, "fold": planned.fold, "variant": planned.variant}


RUN = "run."
"""What the names of the run's own arrays begin with, in the state of all of them."""


def compare_on(request: CompareRequest, state: State) -> Generator[Event]:
    """The same from a state on: the answers of the runs that are done, and where the next one stands."""
    grid = request.all_runs
    for number in range(len(_answered(state)), len(grid.runs)):
        planned = grid.runs[number]
        run = grid.prepared(planned)
        own = {name.removeprefix(RUN): array for name, array in state.items() if name.startswith(RUN)} or begin(run)
        for epoch in fit(run, own):
            state.update({f"{RUN}{name}": array for name, array in own.items()})
            yield Event("epoch", {"run": number, **entry(epoch)})
        answer = _answer(request, planned, run, own, time.monotonic() + request.seconds)
        answered = encode([*_answered(state), answer])
        state.clear()
        state["answers"] = np.frombuffer(answered, np.uint8)
        yield Event("run", {"run": number, **line(planned.name, answer)})
    yield Event("end", respond_all(grid, request.confidence, _answered(state)))


def _answered(state: State) -> list[TrainResponse]:
    """The answers of the runs that are done: JSON, which keeps every digit."""
    return orjson.loads(state["answers"].tobytes()) if "answers" in state else []


def runs_of(request: CompareRequest) -> int:
    return len(request.all_runs.runs)


COMPARE = Call(
    method="POST",
    path="/v1/train/compare",
    function=compare_runs,
    summary="Train on several losses",
    tag="training",
    scope="train",
    lane="training",
    job=Kind("compare", "runs", runs_of, compare_on, check_columns(CompareRequest, COLUMNS, files=True), of_runs),
    picture=charts.train_compare,
    answer=CompareResponse,
    statuses=REFUSALS,
    wires=FILES,
    check=check_columns(CompareRequest, COLUMNS),
    examples=COMPARISONS,
    document={**TRAINING, **AS_A_RUN},
)
