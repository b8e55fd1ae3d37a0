"""POST /v1/train/search: the settings that train best, by successive halving, and what they are worth on rows held out."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
import orjson
from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, ValidationError

from app.api.files import FILES
from app.api.grid import Axis, Grid, Planned, grid_of
from app.api.history import of_search
from app.api.places import document_of, told_at, with_values
from app.api.search_answer import Found, HeldOutAnswer, RefusedAnswer, SearchResponse, TrialAnswer
from app.api.search_space import Draws, SearchRange, draws_of, place_of, space_of
from app.api.tables import check_columns
from app.api.training import AS_A_RUN, COLUMNS, REFUSALS, TrainRequest, epochs, usage_of
from app.api.training_answer import entry, loss_of
from app.api.training_examples import SEARCHES
from app.api.training_fields import SCORES, DataSpec, RunFields
from app.api.training_plan import plan_of
from app.api.training_rows import Rows, data_of
from app.api.words import Part
from app.errors import CallerError, Fault, InvalidInput, Path
from app.insight.intervals import Asked, from_drawn
from app.serving.call import Call
from app.serving.pieces import Kind
from app.serving.problems import from_pydantic
from app.serving.steps import Event
from app.serving.usage import Usage
from app.training import Chosen, Epoch, Holdout, Limits, Metric, Run, Table, begin, finish, fit
from app.training.elsewhere import Judged, judged, resampled
from app.training.grammar import Refused
from app.training.halving import Rung, epochs_of, rungs
from app.training.learners import State
from app.training.run import strata
from app.training.splits import split
from app.training.tables import taken
from app.wire.faults import listed
from app.wire.json import encode

VALIDATION_LOSS = "validation_loss"
RESAMPLES = 1000
"""Of the rows held out, for the interval of the difference."""
MOST_DATASETS = 10


def _datasets(value: object) -> object:
    """Sets of data, each read as `data` is."""
    given = listed(value)
    if given is None:
        return None
    if not isinstance(given, list) or not 1 <= len(cast(list[Any], given)) <= MOST_DATASETS:
        message = f"datasets must be a list of 1 to {MOST_DATASETS} sets of data"
        raise InvalidInput([Fault(("datasets",), "length" if isinstance(given, list) else "type", message)])
    found: list[Any] = []
    for index, data in enumerate(cast(list[Any], given)):
        try:
            found.append(RunFields.model_validate({"data": data}).data)
        except (ValidationError, CallerError) as error:
            told = from_pydantic(error, {"data": data}, RunFields) if isinstance(error, ValidationError) else error
            raise told.moved({("data",): ("datasets", index)}) from None
    return found


class HeldOut(Part):
    """Rows that are used for nothing but the last line."""

    fraction: Annotated[float, Field(description="A share of the rows, drawn as `validation.split` says.", gt=0, lt=1)] = 0.2


class SearchRequest(TrainRequest):
    """A run, and the space of settings in which a better one is looked for."""

    space: Annotated[
        dict[str, SearchRange],
        BeforeValidator(space_of),
        Field(
            description="Ranges by the paths of settings.", examples=[{"loss.delta": {"low": 0.1, "high": 10.0, "scale": "log"}}]
        ),
    ]
    monitor: Annotated[
        str | None,
        Field(
            description="What decides: a metric of the validation rows, or validation_loss. null: the first of `metrics`, or "
            "validation_loss; where the space changes the loss, accuracy or r2."
        ),
    ] = None
    trials: Annotated[int, Field(description="Settings that are tried.", ge=2, le=200)] = 27
    eta: Annotated[int, Field(description="One in so many goes on to as many times the epochs.", ge=2, le=10)] = 3
    min_epochs: Annotated[int | None, Field(description="Of all trials; null: as many as leave one for all epochs.", ge=1)] = None
    holdout: Annotated[HeldOut, Field(default_factory=HeldOut)]
    datasets: Annotated[
        list[DataSpec] | None,
        PlainValidator(_datasets, json_schema_input_type=list[DataSpec] | None),
        Field(
            description="Trials are trained on each of these (1 to 10), as `data` is, and scored by the mean; null: on `data`."
        ),
    ] = None

    _search: "Search" = PrivateAttr()

    @property
    def search(self) -> "Search":
        """All trials, checked."""
        return self._search

    @property
    def usage(self) -> Usage:
        """What is counted of it."""
        grids = [field.grid for field in self._search.fields]
        steps = sum(grid.steps for grid in grids) * self._search.share
        return usage_of((run.plan.loss.thing.name for run in grids[0].runs), steps, self.seconds)

    def _check(self, limits: Limits) -> None:
        if self.validation is None:
            message = "trials are scored on rows to validate with: leave validation out, or say which"
            raise InvalidInput([Fault(("validation",), "missing", message)])
        if self.min_epochs is not None and self.min_epochs > self.epochs:
            raise InvalidInput([Fault(("min_epochs",), "out_of_range", f"min_epochs must be at most epochs, {self.epochs}")])
        first = self.model_copy(update={"data": next(iter(self.data_sets.values()))})
        drawn = draws_of(first, self.space, self.trials)
        asked = _monitored(self)
        ladder = rungs(len(drawn.settings), self.eta, self.epochs, self.min_epochs)
        fields = [
            self._field(asked.model_copy(update={"data": data}), place, drawn, ladder, limits)
            for place, data in self.data_sets.items()
        ]
        metrics = [self._metric(field.grid) for field in fields]
        if any((metric and metric.thing) is not (metrics[0] and metrics[0].thing) for metric in metrics):
            message = "the data sets are scored by different metrics: say by which trials are scored"
            raise InvalidInput([Fault(("monitor",), "missing", message)])
        share = (epochs_of(ladder) + self.epochs) / (self.epochs * (len(drawn.settings) + 1))
        self._search = Search(fields, ladder, metrics[0], share, drawn.refused)

    @property
    def data_sets(self) -> Mapping[Path, Any]:
        """What trials are trained on, by where the request has it."""
        if self.datasets is None:
            return {("data",): self.data}
        return {("datasets", index): data for index, data in enumerate(self.datasets)}

    def _field(self, asked: "SearchRequest", place: Path, drawn: Draws, ladder: Sequence[Rung], limits: Limits) -> "DataField":
        """All trials on one set of data."""
        try:
            return self._planned(asked, drawn, ladder, limits)
        except CallerError as error:
            moved = error.moved({("metrics", len(self.metrics)): ("monitor",)})
            raise (moved.moved({("data",): place}) if place != ("data",) else moved) from None

    def _planned(self, asked: "SearchRequest", drawn: Draws, ladder: Sequence[Rung], limits: Limits) -> "DataField":
        rows = data_of(asked)
        self.prepared(
            plan_of(asked.model_copy(update={"metrics": self.metrics}), rows), limits
        )  # what is wrong with any row is told where it is
        kept, held = asked._parts(rows)
        trials = len(drawn.settings)
        share = (epochs_of(ladder) + self.epochs) / (self.epochs * (trials + 1))
        axes = [
            Axis(
                path,
                [row[path] for row in drawn.settings],
                ("space", path),
                [place_of(path, found, row[path]) for row in drawn.settings],
            )
            for path, found in drawn.ranges.items()
        ]
        combinations = [(trial,) * len(axes) for trial in range(trials)]
        row_epochs = int(limits.row_epochs / share * trials / (trials + 1) / len(self.data_sets))
        longer = replace(limits, row_epochs=row_epochs)

        def read(request: RunFields) -> Rows:
            whole = data_of(request)
            return whole._replace(table=taken(whole.table, kept))

        grid = grid_of(asked, axes, longer, combinations=combinations, read=read)
        grid, baseline = _alike(grid, grid_of(asked, [], longer, read=read))
        return DataField(grid, baseline, taken(rows.table, held))

    def _parts(self, rows: Rows) -> tuple[Any, Any]:
        """The rows to search with, and those held out, as validation rows would be."""
        how = self.validation.split if self.validation else "random"
        n = len(rows.table.inputs)
        if not 0 < round(self.holdout.fraction * n) < n:
            message = f"holdout.fraction {self.holdout.fraction:g} of {n} rows leaves none to search with or none to score"
            raise InvalidInput([Fault(("holdout", "fraction"), "no_samples", message)])
        holdout = Holdout(self.holdout.fraction, seed=self.seed + 1, split=how)
        try:
            plan = replace(plan_of(self, rows), validation=holdout)
            return split(n, holdout, strata(plan), rows.table.groups)
        except CallerError as error:
            raise error.moved({("validation", "fraction"): ("holdout", "fraction")}) from None

    def _metric(self, grid: Grid) -> Chosen | None:
        """What is monitored; None for the loss."""
        metrics = grid.runs[0].plan.metrics
        if self.monitor is None:
            if not metrics and _changes_loss(self.space):
                message = "the space changes the loss, so that losses cannot be compared: say by which metric trials are scored"
                raise InvalidInput([Fault(("monitor",), "missing", message)])
            return metrics[0] if metrics and (self.metrics or _changes_loss(self.space)) else None
        if self.monitor == VALIDATION_LOSS:
            return None
        name = SCORES.resolve(self.monitor)[0].name
        return next(chosen for chosen in metrics if chosen.thing.name == name)


OF_LOSSES = ("standardize", "standardize.targets", "learn", "learn.parameters")
"""Settings by which losses are of another kind or unit."""


def _changes_loss(space: Mapping[str, SearchRange]) -> bool:
    return any(path.partition(".")[0] in ("loss", "class_weight") or path in OF_LOSSES for path in space)


def _monitored(request: SearchRequest) -> SearchRequest:
    """The request with what is monitored among its metrics."""
    if request.monitor is None:
        return request
    if request.monitor == VALIDATION_LOSS:
        if _changes_loss(request.space):
            message = "the space changes the loss, so that its values cannot be compared: name a metric"
            raise InvalidInput([Fault(("monitor",), "incomparable", message)])
        return request
    thing, parameters = SCORES.resolve(request.monitor, ("monitor",))
    if any(metric.name == thing.name for metric in request.metrics):
        return request
    try:
        (own,) = with_values(request, {"metrics": [{"name": thing.name, **parameters}]}).metrics
    except CallerError as error:
        raise told_at(error, {"metrics": ("monitor",)}) from None
    return request.model_copy(update={"metrics": [*request.metrics, own]})


def _alike(grid: Grid, baseline: Grid) -> tuple[Grid, Grid]:
    """Both with the metrics of the trials, and with targets in the same unit."""
    plain = {run.set_up["data"]["standardized"]["targets"] is None for run in (*grid.runs, *baseline.runs)}
    changes: dict[str, Any] = {"metrics": grid.runs[0].plan.metrics} | ({"standardize_targets": False} if len(plain) > 1 else {})
    alike = [one._replace(runs=[run._replace(plan=replace(run.plan, **changes)) for run in one.runs]) for one in (grid, baseline)]
    alike[1].prepared(alike[1].runs[0])
    return alike[0], alike[1]


# --- the search ---------------------------------------------------------------------------------------------------------


class DataField(NamedTuple):
    """Trials on one set of data, what they are held against, and the rows that judge them."""

    grid: Grid
    baseline: Grid
    held: Table


class Search(NamedTuple):
    """Trials that can begin."""

    fields: Sequence[DataField]
    """By set of data."""
    ladder: Sequence[Rung]
    metric: Chosen | None
    """What is monitored; None for the loss."""
    share: float
    """Of the epochs of all trials, how many are trained."""
    refused: Sequence[Refused]

    @property
    def higher(self) -> bool:
        return self.metric is not None and isinstance(self.metric.thing, Metric) and self.metric.thing.higher_is_better

    @property
    def trials(self) -> int:
        return len(self.fields[0].grid.runs)

    def score(self, run: Run, state: State) -> float | None:
        """Of the model that is kept, on validation rows."""
        result = finish(run, state)
        found = result.validation_loss if self.metric is None else result.metrics[self.metric.thing.name][1]
        return found if found is not None and math.isfinite(found) else None

    def order(self, score: float | None) -> float:
        """Less is better."""
        return math.inf if score is None else -score if self.higher else score


class _Part:
    """A trial on one set of data, as far as it has come."""

    def __init__(self, grid: Grid, planned: Planned) -> None:
        self.grid, self.planned = grid, planned
        self.state: State = {}
        """Nothing before it has begun, and once it goes on no more."""

    @property
    def run(self) -> Run:
        return self.grid.prepared(self.planned)

    def go_on(self, epoch: int, train: Callable[[Run, State], Iterator[Epoch]]) -> Iterator[Epoch]:
        """Train up to this epoch, where there is time for it; each epoch as it is over."""
        run = self.run
        self.state = self.state or begin(run)
        if int(self.state["epoch"]) < epoch:
            for reached in train(run, self.state):
                yield reached
                if reached.epoch >= epoch:
                    break


class _Trial:
    """A trial as far as it has come, on every set of data."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self.parts = parts
        self.epochs = 0
        self.scores: list[float | None] = []
        """After each rung, the mean over the sets of data."""

    @property
    def score(self) -> float | None:
        return self.scores[-1] if self.scores else None

    @property
    def planned(self) -> Planned:
        return self.parts[0].planned

    def come_to_a_rung(self, search: Search) -> None:
        self.epochs = max(int(part.state["epoch"]) for part in self.parts)
        scores = [search.score(part.run, part.state) for part in self.parts]
        known = [score for score in scores if score is not None]
        self.scores.append(math.fsum(known) / len(known) if len(known) == len(scores) else None)


def _turns(search: Search, trials: Sequence[_Trial]) -> Iterator[tuple[_Trial, int]]:
    """Which trial is trained next, and up to which epoch: rung by rung those that go on, and at last the request as it was given.

    What has been trained already is passed over.
    """
    *alive, baseline = trials
    for number, rung in enumerate(search.ladder):
        ranked = sorted(alive, key=lambda trial: search.order(trial.scores[number - 1] if number else None))
        alive = ranked[: rung.trials]
        for part in (part for trial in ranked[rung.trials :] for part in trial.parts):
            part.state = {}
        yield from ((trial, rung.epochs) for trial in alive if len(trial.scores) == number)
    if not baseline.scores:
        yield baseline, baseline.planned.plan.epochs


def _begun(search: Search) -> list[_Trial]:
    """Every trial, and behind them the request as it was given."""
    trials = [_Trial([_Part(field.grid, field.grid.runs[number]) for field in search.fields]) for number in range(search.trials)]
    return [*trials, _Trial([_Part(field.baseline, field.baseline.runs[0]) for field in search.fields])]


def search_runs(request: SearchRequest) -> Generator[Event]:
    """Settings that train better, the loss's own among them: parameters of a loss, learning rate, width, depth.

    Trials are drawn from `space`, trained for a few epochs, and one in `eta` goes on to `eta` times as many (successive halving).
    The best and the request as it was given are then scored on rows that nothing else has seen. A stream tells of `progress`
    after each training.
    """
    search, ends = request.search, time.monotonic() + request.seconds
    trials, total = _begun(search), trainings_of(request)
    yield Event("start", {"trials": search.trials, "rungs": [rung._asdict() for rung in search.ladder]})
    for done, (trial, epoch) in enumerate(_turns(search, trials)):
        for number, part in enumerate(trial.parts):
            share = _share(ends, (total - done) * len(trial.parts) - number)
            for _ in part.go_on(epoch, partial(epochs, ends=share)):
                pass
        trial.come_to_a_rung(search)
        yield Event("progress", {"done": done + 1, "of": total})
    yield Event("end", _respond(request, search, trials))


TRIAL = "trial."
"""What the names of a trial's own arrays begin with, its number and that of the set of data, in the state of all of them."""


def search_on(request: SearchRequest, state: State) -> Generator[Event]:
    """The same from a state on, however long it takes: what each trial has come to, and the arrays of those that go on."""
    search = request.search
    trials = _begun(search)
    _restore(trials, state)
    done = sum(len(trial.scores) for trial in trials)
    for number, (trial, epoch) in enumerate(_turns(search, trials), done):
        for part in trial.parts:
            for reached in part.go_on(epoch, fit):
                _save(trials, state)
                yield Event("epoch", {"run": number, **entry(reached)})
        trial.come_to_a_rung(search)
        _save(trials, state)
        yield Event("run", {"run": number, "trial": trials.index(trial), "epochs": trial.epochs, "score": trial.score})
    yield Event("end", _respond(request, search, trials))


def _save(trials: Sequence[_Trial], state: State) -> None:
    told = [[trial.epochs, trial.scores] for trial in trials]
    arrays = {
        f"{TRIAL}{number}.{place}.{name}": array
        for number, trial in enumerate(trials)
        for place, part in enumerate(trial.parts)
        for name, array in part.state.items()
    }
    state.clear()
    state.update(arrays, trials=np.frombuffer(encode(told), np.uint8))


def _restore(trials: Sequence[_Trial], state: State) -> None:
    if not state:
        return
    for trial, (epoch, scores) in zip(trials, orjson.loads(state["trials"].tobytes()), strict=True):
        trial.epochs, trial.scores = epoch, scores
    for name, array in state.items():
        if name.startswith(TRIAL):
            number, place, own = name.removeprefix(TRIAL).split(".", 2)
            trials[int(number)].parts[int(place)].state[own] = array


def trainings_of(request: SearchRequest) -> int:
    """How often something is trained."""
    return sum(rung.trials for rung in request.search.ladder) + 1


def _share(ends: float, count: int) -> float:
    """When the next of so many is to be over."""
    now = time.monotonic()
    return now + (ends - now) / count


def _respond(request: SearchRequest, search: Search, trials: Sequence[_Trial]) -> SearchResponse:
    *tried, baseline = trials
    ranked = sorted(tried, key=lambda trial: (-len(trial.scores), search.order(trial.score)))
    best = ranked[0]
    variants = search.fields[0].grid.variants
    variant = variants[best.planned.variant]
    return SearchResponse(
        monitor=VALIDATION_LOSS if search.metric is None else search.metric.thing.name,
        best=Found(
            parameters=dict(variant.parameters),
            loss=_loss(best),
            request=document_of(variant.request),
            score=best.score,
        ),
        trials=[
            TrialAnswer(parameters=dict(variants[trial.planned.variant].parameters), epochs=trial.epochs, score=trial.score)
            for trial in ranked
        ],
        holdout=_held_out(request, search, best, baseline),
        refused=[RefusedAnswer(**refused._asdict()) for refused in search.refused],
    )


def _loss(best: _Trial) -> dict[str, Any]:
    """That of a trial, with what it has learned of it."""
    first = best.parts[0]
    if first.planned.plan.learn is None or not first.state:
        return first.planned.set_up["loss"]
    return loss_of(first.run, finish(first.run, first.state))


def _held_out(request: SearchRequest, search: Search, best: _Trial, baseline: _Trial) -> HeldOutAnswer:
    """Both on the rows held out of each set of data; rows are drawn within each, and means taken over all."""
    pairs = [
        [_judged(field.held, part) for part in parts]
        for field, *parts in zip(search.fields, best.parts, baseline.parts, strict=True)
    ]
    score, other = (math.fsum(models[side].score(search.metric) for models in pairs) / len(pairs) for side in (0, 1))
    drawn = np.mean(
        [resampled(models, search.metric, RESAMPLES, request.seed + place) for place, models in enumerate(pairs)], axis=0
    )
    known = math.isfinite(score) and math.isfinite(other)
    bar = from_drawn(drawn[:, 0] - drawn[:, 1], Asked(0.95, RESAMPLES, request.seed)) if known else None
    return HeldOutAnswer(
        rows=sum(len(field.held.inputs) for field in search.fields),
        score=score if math.isfinite(score) else None,
        baseline=other if math.isfinite(other) else None,
        difference=score - other if known else None,
        interval=None if bar is None else [*bar[1]],
    )


def _judged(held: Table, part: _Part) -> Judged:
    run = part.run
    return judged(run, finish(run, part.state).kept, held, part.grid.limits)


SEARCH = Call(
    method="POST",
    path="/v1/train/search",
    function=search_runs,
    summary="Search for settings that train better",
    tag="training",
    scope="train",
    lane="training",
    job=Kind("search", "runs", trainings_of, search_on, check_columns(SearchRequest, COLUMNS, files=True), of_search),
    answer=SearchResponse,
    statuses=REFUSALS,
    wires=FILES,
    check=check_columns(SearchRequest, COLUMNS),
    examples=SEARCHES,
    document=AS_A_RUN,
)
