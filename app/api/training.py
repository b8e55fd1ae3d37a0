"""POST /v1/train: what a loss does when a model is trained on it."""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Self, cast

import numpy as np
from pydantic import (
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from app.api.files import FILES, Layout
from app.api.history import of_run
from app.api.tables import check_columns
from app.api.tables_document import TRAINING
from app.api.training_answer import TrainResponse, entry, respond, seen_by, set_up
from app.api.training_examples import EXAMPLES
from app.api.training_fields import InlineData, RunFields
from app.api.training_plan import plan_of
from app.api.training_rows import TREES, data_of
from app.errors import CallerError, Fault, InvalidArray, InvalidInput, Path
from app.insight import charts
from app.serving.call import Call
from app.serving.pieces import Kind
from app.serving.steps import Event
from app.serving.time_limit import TimeUp, until
from app.serving.usage import STEPS_A_SECOND, Usage
from app.settings import Settings
from app.training import (
    Epoch,
    Limits,
    Plan,
    Run,
    begin,
    fit,
    prepare,
)
from app.training.decisions import decisions_of
from app.training.exported import unexportable_because
from app.training.learners import State
from app.training.models import task_of
from app.training.network import Network
from app.training.resuming import notes_on
from app.training.surface import surface
from app.training.trained import MODEL
from app.training.trees import Trees

FIELDS: Mapping[Path, Path] = {
    ("standardize_targets",): ("standardize", "targets"),
    ("validation", "table"): ("validation",),
    ("monitor",): ("early_stopping", "monitor"),
}
"""Where the request has what a plan calls otherwise."""


class TrainRequest(RunFields):
    """Data, a model, a loss and how to minimise it. Every field has a default that works."""

    _runs: Sequence[Run] = PrivateAttr(default=())
    _features: tuple[str, ...] | None = PrivateAttr(default=None)
    _seconds: float = PrivateAttr(default=0.0)

    @model_validator(mode="before")
    @classmethod
    def _as_others_write_it(cls, document: Any) -> Any:
        """Keras's validation_split is a fraction to validate with; trees are counted by epochs."""
        given = cast(dict[str, Any], document) if isinstance(document, dict) else {}
        model = given.get("model")
        if isinstance(model, dict) and "n_estimators" in model:
            message = "epochs, a field of the request, counts the trees: leave n_estimators out"
            raise InvalidInput([Fault(("model", "n_estimators"), "unknown_parameter", message)])
        share = given.get("validation_split")
        if type(share) not in (int, float) or "validation" in given:
            return cast(object, document)
        return {"validation" if key == "validation_split" else key: value for key, value in given.items()}

    @model_validator(mode="wrap")
    @classmethod
    def _with_task(cls, document: Any, made: ModelWrapValidatorHandler[Self]) -> Self:
        """The request, which remembers what the model's name says of the task."""
        request = made(document)
        model = cast(dict[str, Any], document).get("model") if isinstance(document, dict) else None
        word = cast(dict[str, Any], model).get("name") if isinstance(model, dict) else model
        request._task = task_of(word) if isinstance(word, str) else None
        return request

    @model_validator(mode="after")
    def _prepare(self, info: ValidationInfo) -> Self:
        self._trained = self.resume and self.resume.read(("resume",))
        settings: Settings = info.context or Settings.model_construct()
        self._seconds = settings.training_seconds
        self._check(limits_of(settings))
        return self

    def _check(self, limits: Limits) -> None:
        """Refuse what cannot be run, and keep what is to be run."""
        rows = data_of(self)
        self._features = rows.features
        self._runs = [self.prepared(plan_of(self, rows), limits)]

    def prepared(self, plan: Plan, limits: Limits) -> Run:
        """The run. Where a loss does not fit a named dataset, the request has no targets that could be wrong."""
        try:
            return self._told(self._resumed(prepare(plan, limits)))
        except CallerError as error:
            mine = error.moved(FIELDS)
            raise (mine if isinstance(self.data, InlineData) else gathered(mine, {("data", "targets"): ("loss",)})) from None

    def _resumed(self, run: Run) -> Run:
        """The run, with warnings of what makes it another than the one that would have gone on."""
        if run.plan.resume is None:
            return run
        try:
            begin(run)
            return replace(run, warnings=(*run.warnings, *notes_on(run)))
        except InvalidArray as error:
            raise error.moved({MODEL: ("resume",)}) from None

    def _told(self, run: Run) -> Run:
        """The run, with a warning of what was asked for and is not done; refused where an output is of other models."""
        if not isinstance(run.model, Trees) and "feature_importances" in self.outputs:
            message = f"feature_importances are of models of trees ({TREES}); {run.plan.model.thing.name} has none"
            raise InvalidInput([Fault(("outputs", self.outputs.index("feature_importances")), "unexpected", message)])
        for output in ("confusion_matrix", "calibration"):
            if output in self.outputs and (message := _undecided(run, output)):
                raise InvalidInput([Fault(("outputs", self.outputs.index(output)), "unexpected", message)])
        if "onnx" in self.outputs:
            _check_onnx(run, self.outputs.index("onnx"))
        epochs = run.plan.model.thing.epochs
        if epochs is None or "epochs" not in self.model_fields_set or self.epochs <= epochs:
            return run
        message = f"{run.plan.model.thing.name} is grown in {epochs} epoch: epochs {self.epochs} changes nothing"
        return replace(run, warnings=(*run.warnings, message))

    @property
    def runs(self) -> Sequence[Run]:
        """Every run that was asked for, checked and ready."""
        return self._runs

    @property
    def usage(self) -> Usage:
        """What is counted of it: its loss, and an estimate of what it takes, which its time limits."""
        return usage_of((run.plan.loss.thing.name for run in self._runs), sum(map(steps_of, self._runs)), self._seconds)

    @property
    def features(self) -> tuple[str, ...] | None:
        """The names of the inputs' columns, where they have any."""
        return self._features

    @property
    def seconds(self) -> float:
        """How long it may take."""
        return self._seconds


def _check_onnx(run: Run, index: int) -> None:
    """Before anything is trained: there can be a file of the model, and what writes it is there."""
    if why := unexportable_because(run.model, run.objective):
        raise InvalidInput([Fault(("outputs", index), "unexpected", f"{why}; take model in its place")])
    if find_spec("onnx") is None:
        raise ModuleNotFoundError(name="onnx")


def _undecided(run: Run, output: str) -> str | None:
    """Why a run has no such output of decisions; None where it has."""
    rows = run.validation or run.training
    found = decisions_of(run, rows, np.zeros((rows.n, *run.objective.outputs)))
    loss, encoding = run.plan.loss.thing.name, run.objective.encoding
    if found is None:
        return f"{output} is of decisions between classes, and {loss} of these targets makes none"
    several = found.values() if isinstance(found, dict) else [found]
    if output == "calibration" and any(decisions.probabilities is None for decisions in several):
        return f"calibration is of probabilities, and {loss} makes {encoding} predictions, which say nothing of them"
    return None


STEPS_A_NUMBER = 6.0
"""About the steps that a weight of a network, or a column under a tree, costs for a row in an epoch."""


def usage_of(losses: Iterable[str], steps: float, seconds: float) -> Usage:
    """What is counted of runs that may take so long."""
    names = {*losses}
    return Usage(names.pop() if len(names) == 1 else "", cost=min(steps, seconds * STEPS_A_SECOND), timed=True)


def steps_of(run: Run) -> float:
    numbers = run.model.size if isinstance(run.model, Network) else run.training.inputs.shape[-1]
    return STEPS_A_NUMBER * run.plan.epochs * len(run.training.inputs) * numbers


def gathered(error: CallerError, fields: Mapping[Path, Path]) -> CallerError:
    """The error with what is wrong anywhere within an argument told at one place: the first at each."""
    faults: dict[Path, Fault] = {}
    for fault in error.faults:
        path = next((to for argument, to in fields.items() if fault.path[: len(argument)] == argument), fault.path)
        faults.setdefault(path, replace(fault, path=path))
    return type(error)([*faults.values()] or error.detail, detail=error.detail)


def limits_of(settings: Settings) -> Limits:
    return Limits(settings.training_epochs, settings.training_parameters, settings.training_row_epochs)


# --- the endpoints ----------------------------------------------------------------------------------------------------

STREAM = {
    "description": "The answer; or with `Accept: text/event-stream` the run as it happens, each event with JSON in one line of "
    "data (the last, which is long, in several): `start` with what is trained on what, an `epoch` for each, as in `history` (its "
    "`id` counts them), and `end` with the whole answer. Should the run fail halfway, `error` comes with a Problem, and `end` "
    "with null. Whoever reconnects with `Last-Event-ID` is told what comes after it, and with that of `end` nothing (204).",
}
"""The stream is in words alone: as a media type beside JSON it would make the answer of a typed client "this or a string"."""
AS_A_RUN: dict[str, Any] = {
    "responses": {
        "200": {"description": "The answer; or with `Accept: text/event-stream` events as of `/v1/train`, and `progress`."}
    }
}
"""Of the other calls that train, whose bodies may be tables too."""
REFUSALS = (400, 409, 413, 415, 422, 503)
SURFACES = 60
"""Epochs of which the surface is told as they come."""


def train(request: TrainRequest) -> Generator[Event]:
    """A short training run: the curves of training and validation loss, where it should have stopped, and what went wrong.

    The same request gives the same numbers on the same machine. A run whose loss ceases to be finite ends as `diverged`,
    one that takes too long as `time_limit`; both answer what there is.
    """
    (run,) = request.runs
    ends, state = time.monotonic() + request.seconds, begin(run)
    yield Event("start", set_up(request.features, run))
    yield from _told(request, run, state, epochs(run, state, ends))
    yield Event("end", respond(request.features, request.outputs, run, state, ends, every=request.every))


def train_on(request: TrainRequest, state: State) -> Generator[Event]:
    """The same from a state on, however long it takes."""
    (run,) = request.runs
    state.update(state or begin(run))
    yield from _told(request, run, state, fit(run, state))
    ends = time.monotonic() + request.seconds
    yield Event("end", respond(request.features, request.outputs, run, state, ends, every=request.every))


def _told(request: TrainRequest, run: Run, state: State, epochs: Iterator[Epoch]) -> Iterator[Event]:
    looking = surface(run) if "surface" in request.outputs else None
    every = -(-request.epochs // SURFACES)
    for epoch in epochs:
        shown = seen_by(looking, state) if looking and (epoch.epoch % every == 0 or epoch.epoch == 1) else None
        yield Event("epoch", entry(epoch, shown))


def epochs_of(request: TrainRequest) -> int:
    (run,) = request.runs
    return run.plan.epochs


COLUMNS = Layout(("inputs", "targets", "labels", "sample_weight", "groups"), ("data",), InlineData, rest="inputs")
"""What may be columns of a table."""

TRAIN = Call(
    method="POST",
    path="/v1/train",
    function=train,
    summary="Train a model on a loss",
    tag="training",
    scope="train",
    lane="training",
    job=Kind("train", "epochs", epochs_of, train_on, check_columns(TrainRequest, COLUMNS, files=True), of_run),
    picture=charts.train,
    answer=TrainResponse,
    statuses=REFUSALS,
    wires=FILES,
    check=check_columns(TrainRequest, COLUMNS),
    examples=EXAMPLES,
    document={**TRAINING, "responses": {"200": STREAM}},
)


def epochs(run: Run, state: State, ends: float) -> Iterator[Epoch]:
    """The epochs that are over before `ends` (of time.monotonic). One that is given up halfway leaves no trace in the state."""
    whole = _copy(state)
    try:
        for epoch in until(ends, fit(run, state)):
            whole = _copy(state)
            yield epoch
    except TimeUp:
        state.clear()
        state.update(whole)


def _copy(state: State) -> State:
    """What goes on changing; rows of the history do not once they are there."""
    return {key: array if key == "history" else array.copy() for key, array in state.items()}
