"""POST /v1/train: what a loss does when a model is trained on it."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from app.api.evaluate import MOST_OUTPUTS, UNTYPED, Names
from app.api.files import FILES, Layout
from app.api.history import of_run
from app.api.specs import (
    LOSS_SPECS,
    BoundSpec,
    Listed,
    LossSpec,
    OfRegistry,
    Spec,
    Specs,
    expanded,
    expander,
    list_of,
    named,
)
from app.api.tables import check_columns
from app.api.tables_document import TRAINING
from app.api.trained import ModelSpec, TrainedModel
from app.api.training_answer import Extra, TrainResponse, entry, respond, seen_by, set_up
from app.api.training_examples import EXAMPLES
from app.api.words import ONE_HOT, TARGETS, OneOrMore, Part
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidArray, InvalidInput, Path
from app.insight import charts
from app.losses import COMPOSED, LOSSES
from app.losses.inputs import Numbers, Raw
from app.registry import Registry
from app.serving.call import Call
from app.serving.pieces import Kind
from app.serving.steps import Event
from app.serving.time_limit import TimeUp, until
from app.serving.usage import STEPS_A_SECOND, Usage
from app.settings import Settings
from app.training import (
    DATASETS,
    METRICS,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    Chosen,
    Data,
    Epoch,
    Holdout,
    Learn,
    Limits,
    Plan,
    Run,
    Table,
    begin,
    fit,
    prepare,
)
from app.training.agreement import agree_on
from app.training.decisions import decisions_of
from app.training.exported import unexportable_because
from app.training.learners import State
from app.training.models import task_of
from app.training.network import Network, Precision
from app.training.objective import fitting, predicted
from app.training.resuming import notes_on
from app.training.side_by_side import SideBySide, together
from app.training.surface import surface
from app.training.trained import MODEL, Trained
from app.training.trees import Trees
from app.training.weights import ClassWeight
from app.wire import faults

SCORES: Registry[Any] = Registry("metric", [*METRICS.values(), *LOSSES.values()], METRICS)
"""What a model may be scored by after each epoch: a metric, or any loss."""

OPTIMIZER_SPECS, SCHEDULE_SPECS = Specs(OPTIMIZERS), Specs(SCHEDULES)
DATASET_SPECS, METRIC_SPECS = Specs(DATASETS), Specs(METRICS)
USUAL_OPTIMIZER = Chosen(OPTIMIZERS["adam"], {"learning_rate": 0.01})
USUAL_LOSS = {
    "regression": Chosen(LOSSES["mean_squared_error"], {}),
    "binary": Chosen(LOSSES["binary_cross_entropy"], {"from_logits": True}),
    "multiclass": Chosen(LOSSES["categorical_cross_entropy"], {"from_logits": True}),
}


# --- the request ------------------------------------------------------------------------------------------------------


FIELDS: Mapping[Path, Path] = {
    ("standardize_targets",): ("standardize", "targets"),
    ("validation", "table"): ("validation",),
    ("monitor",): ("early_stopping", "monitor"),
}
"""Where the request has what a plan calls otherwise."""


Numbers2D = Annotated[
    Any, WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "number"}}})
]
Targets = Annotated[Any, WithJsonSchema(UNTYPED)]
Named = Annotated[Names, Field(min_length=2), Listed]
Classes = Annotated[
    Annotated[
        Annotated[Named, Tag("names")] | Annotated[dict[str, Named], Tag("by head")],
        Discriminator(lambda value: "by head" if isinstance(value, Mapping) else "names"),
    ]
    | None,
    Field(description="Class names in the order of their indices; by head, an object of these."),
]


class InlineData(Part):
    """Rows of one's own."""

    inputs: Annotated[Numbers2D, Field(description="(n, d): one row per sample.")]
    targets: Annotated[
        Targets,
        Field(
            description="(n,) or (n, m): numbers, labels in any encoding the loss accepts, or names; an object of such arrays by "
            "head for multi_task, and by name for losses of several targets. `labels` is the same.",
            validation_alias=TARGETS,
        ),
    ]
    classes: Classes = None
    features: Annotated[
        Names | None, Field(description="Names of the inputs' columns; a table's are those of its columns."), Listed
    ] = None
    sample_weight: Annotated[
        Targets, Field(description="(n,) what each row counts: one of weight 2 is that row twice, one of 0 is not there.")
    ] = None
    groups: Annotated[
        list[int] | list[str] | None,
        Field(description="(n,) whole numbers or words: rows of one group stay together where validation.split is grouped."),
        Listed,
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _features_have_names(cls, document: Any) -> Any:
        if isinstance(document, dict) and isinstance(cast(dict[str, Any], document).get("features"), np.ndarray):
            message = "features are the names of columns; did you mean inputs?"
            raise InvalidInput([Fault(("data", "features"), "type", message)])
        return cast(object, document)


def _data(value: object) -> object:
    """A dataset's name or object, or inline rows."""
    if isinstance(value, str) or (isinstance(value, dict) and "name" in value):
        return expander(DATASETS, ("data",))(cast(object, value))
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    message = "data must be a dataset's name, an object with its name, {inputs, targets}, or a table: " + A_TABLE
    raise InvalidInput([Fault(("data",), "type", message)])


A_TABLE = '{"rows": [{"x": 1, "y": 2}], "targets": "y"}'


def with_rate(value: object) -> object:
    """An optimizer whose `lr` is its learning_rate."""
    given = cast(dict[str, object], value) if isinstance(value, dict) else dict[str, object]()
    if "lr" not in given or "learning_rate" in given:
        return cast(object, value)
    return {"learning_rate" if key == "lr" else key: item for key, item in given.items()}


if TYPE_CHECKING:
    DataSpec: TypeAlias = Spec | InlineData
    EitherOptimizer: TypeAlias = Spec
    OptimizerSpec: TypeAlias = Spec
    ScheduleSpec: TypeAlias = Spec
    MetricSpecs: TypeAlias = list[Spec]
else:
    DataSpec = Annotated[
        named("Data", "dataset", DATASET_SPECS, InlineData), BeforeValidator(_data), OfRegistry(DATASETS, "data", "circles")
    ]
    EitherOptimizer = named("Optimizer", "optimizer", OPTIMIZER_SPECS)
    OptimizerSpec = Annotated[expanded(EitherOptimizer, OPTIMIZERS, "adam"), BeforeValidator(with_rate)]
    ScheduleSpec = expanded(named("Schedule", "schedule", SCHEDULE_SPECS), SCHEDULES)
    MetricSpecs = list_of(named("Metric", "metric", Specs(SCORES, METRIC_SPECS, LOSS_SPECS)), SCORES, "metrics")


ONE_WAY = "validation takes one of fraction, last, and inputs with targets"


class Validation(Part):
    """Which rows the model is not trained on but measured with: a share, the last ones, or others."""

    fraction: Annotated[float | None, Field(description="A share of the rows, drawn by the seed.", gt=0, lt=1)] = None
    split: Annotated[
        Literal["random", "stratified", "grouped", "ordered"],
        Field(
            description="How the share is drawn: stratified takes it of each class, grouped takes whole groups of data.groups, "
            "and ordered takes the last rows, as where rows follow each other in time."
        ),
    ] = "random"
    seed: Annotated[int, Field(description="What the share is drawn from.", ge=0, lt=2**32)] = 0
    last: Annotated[int | None, Field(description="So many rows from the end.", ge=1)] = None
    inputs: Annotated[Numbers2D, Field(description="Other rows altogether, with their targets.")] = None
    targets: Annotated[
        Targets, Field(description="Of these rows; names are among the classes of the data.", validation_alias=TARGETS)
    ] = None
    sample_weight: Annotated[Targets, Field(description="(n,) what each of these rows counts.")] = None

    @property
    def ways(self) -> list[str]:
        """How rows are held out, of which there is to be one; none where folds do it."""
        return [name for name in ("fraction", "last", "inputs") if getattr(self, name) is not None]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if len(self.ways) > 1:
            raise InvalidInput([Fault(("validation",), "choice", f"{ONE_WAY}; got {' and '.join(self.ways)}")])
        if (self.inputs is None) != (self.targets is None):
            raise InvalidInput([Fault(("validation",), "missing", "validation.inputs and validation.targets go together")])
        fixed = self.last is not None or self.inputs is not None
        if fixed and "seed" in self.model_fields_set:
            raise InvalidInput(
                [Fault(("validation", "seed"), "unexpected", "validation.seed is for a fraction: nothing else is drawn")]
            )
        if fixed and self.split != "random":
            raise InvalidInput([Fault(("validation", "split"), "unexpected", "validation.split is for a fraction")])
        if self.inputs is None and self.sample_weight is not None:
            message = "validation.sample_weight is of validation.inputs; other rows have their weight in data.sample_weight"
            raise InvalidInput([Fault(("validation", "sample_weight"), "unexpected", message)])
        return self


class Standardize(Part):
    """Whether columns are moved to mean 0 and divided by their deviation, both taken from the training rows."""

    inputs: bool = True
    targets: Annotated[
        bool | None, Field(description="null: where the loss takes any real number on both sides, and they are no labels.")
    ] = None


class Regularization(Part):
    """Penalties on the weights (not the biases), added to what is minimised and not to the losses that are reported."""

    l1: Annotated[float, Field(description="Times Σ|w|.", ge=0, le=1e6)] = 0.0
    l2: Annotated[float, Field(description="Times Σw².", ge=0, le=1e6)] = 0.0


class GradientClipping(Part):
    """A bound on the gradient of each step; with both, the norm first."""

    norm: Annotated[float | None, Field(description="The whole gradient is scaled down to this norm.", gt=0)] = None
    value: Annotated[float | None, Field(description="Every number of it is cut to ± this.", gt=0)] = None

    @model_validator(mode="after")
    def _any_way(self) -> Self:
        if self.norm is None and self.value is None:
            raise InvalidInput([Fault(("gradient_clipping",), "choice", "gradient_clipping takes norm, value, or both")])
        return self


class EarlyStopping(Part):
    """When to stop before the last epoch: the validation loss (training loss without validation) has ceased to fall."""

    monitor: Annotated[
        str | None,
        Field(description="What tells: training_loss, validation_loss, or a metric, which is then measured too, by its name."),
    ] = None
    patience: Annotated[int, Field(description="Epochs to wait for a lower loss.", ge=1)] = 10
    min_delta: Annotated[float, Field(description="By how much it has to be lower.", ge=0)] = 0.0
    start_from_epoch: Annotated[int, Field(description="So many epochs are never best, and not waited in.", ge=0)] = 0
    restore_best: Annotated[bool, Field(description="Keep the model of the best epoch instead of the last.")] = True


class Learning(Part):
    """Parameters of the loss that move with the weights, from where the loss has them."""

    parameters: Annotated[
        Names,
        Field(
            description="alpha and scale of barron, which is then trained as a likelihood, with its normaliser; "
            "heads.NAME.log_variance of multi_task.",
            min_length=1,
        ),
        Listed,
    ]
    learning_rate: Annotated[float | None, Field(description="null: that of the weights.", gt=0, le=1e6)] = None


def _share(value: object) -> object:
    """A number is the share of the rows to validate with."""
    return {"fraction": value} if isinstance(value, float) or type(value) is int else value


def _usual(value: object) -> object:
    """True is the usual way, false none."""
    return ({} if value else None) if isinstance(value, bool) else value


def _penalties(value: object) -> object:
    if isinstance(value, str) and value in Regularization.model_fields:
        message = f'regularization is an object with its strength: {{"{value}": 0.01}}'
        raise InvalidInput([Fault(("regularization",), "type", message)])
    return value


def _rows_of_a_step(value: object) -> object:
    if value is None or value == "full" or (type(value) is int and value >= 1):
        return value
    code = "out_of_range" if type(value) is int else "type"
    raise InvalidInput([Fault(("batch_size",), code, 'batch_size must be a whole number from 1 on, "full", or null')])


class RunFields(Part):
    """What is said of a run, as it is written: each field by itself."""

    data: Annotated[
        DataSpec,
        Field(
            description="A named dataset; or `inputs` and `targets`; or a table with the name of the column of `targets`: "
            '`{"rows": [{"x": 1, "y": 2}, ...], "targets": "y"}`, or `{"columns": ["x", "y"], "data": [[1, 2], ...], "targets": '
            '"y"}`. `inputs` may then name columns too; without it all others are inputs, and their names are the features. A '
            'table that is kept: `{"source": "dataset:NAME", "columns": {"targets": "y"}}`.',
            validate_default=True,
        ),
    ] = cast(Any, {"name": "circles"})
    model: Annotated[ModelSpec, Field(description="What is trained.", validate_default=True)] = cast(Any, {"name": "mlp"})
    loss: Annotated[
        LossSpec | None,
        Field(description="What it is trained on; null takes what suits a named dataset: mean_squared_error or a cross-entropy."),
    ] = None
    optimizer: Annotated[
        OptimizerSpec | None, Field(description="How weights are moved; null: adam with learning_rate 0.01, or none for trees.")
    ] = None
    schedule: Annotated[ScheduleSpec | None, Field(description="How the learning rate changes with the epochs.")] = None
    epochs: Annotated[int, Field(description="Times that all training rows are seen.", ge=1)] = 100
    batch_size: Annotated[
        Annotated[int, Field(ge=1)] | Literal["full"] | None,
        Field(description='Rows of a step, or "full" for all; null: 32, or all where there are fewer.'),
        BeforeValidator(_rows_of_a_step),
    ] = None
    shuffle: Annotated[bool, Field(description="Whether each epoch sees the rows in a new order.")] = True
    validation: Annotated[
        Validation | None,
        Field(
            description="Rows to measure with: a fifth, if nothing is said; null trains on all. A number is a `fraction`.",
            default_factory=lambda: Validation(fraction=0.2),
        ),
        BeforeValidator(_share),
    ]
    standardize: Annotated[Standardize, Field(default_factory=Standardize)]
    regularization: Annotated[Regularization, Field(default_factory=Regularization), BeforeValidator(_penalties)]
    gradient_clipping: GradientClipping | None = None
    early_stopping: Annotated[
        EarlyStopping | None, Field(description="true stops with the defaults."), BeforeValidator(_usual)
    ] = None
    metrics: Annotated[
        MetricSpecs,
        Field(description="What else to measure after each epoch: metrics, or any loss.", max_length=10, default_factory=list),
        OneOrMore,
    ]
    class_weight: Annotated[
        Any,
        WithJsonSchema(UNTYPED),
        Field(
            description='What rows count by their class, beside their own weight, in both losses: "balanced" (n / (k·n of the '
            "class)), a number for each class, or an object by class name, in which a class that is missing counts 1.",
            examples=["balanced", [1, 5], {"rare": 10}],
        ),
    ] = None
    seed: Annotated[int, Field(description="What weights, order and dropout are drawn from.", ge=0, lt=2**32)] = 0
    every: Annotated[
        int, Field(description="The history keeps each so manieth epoch, beside the first, the best and the last.", ge=1)
    ] = 1
    precision: Annotated[
        Precision, Field(description="What a linear model or a network computes in; its loss is always in float64.")
    ] = "float64"
    learn: Learning | None = None
    resume: Annotated[
        TrainedModel | None,
        Field(description="A `trained_model` of the same request with fewer epochs: the run goes on from it, up to `epochs`."),
    ] = None
    outputs: Annotated[
        list[Extra], Field(description="What else to answer.", max_length=MOST_OUTPUTS, default_factory=list), Listed, OneOrMore
    ]

    _task: str | None = PrivateAttr(default=None)
    _trained: Trained | None = PrivateAttr(default=None)

    @property
    def task(self) -> str | None:
        """What the model's name says of it, as LogisticRegression does: classes or numbers."""
        return self._task

    @property
    def trained(self) -> Trained | None:
        """The model to go on from."""
        return self._trained


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


Words: TypeAlias = Mapping[int, Sequence[str]]
"""The words of columns of categories, in the order of the numbers that stand for them."""


class Rows(NamedTuple):
    """The data of a request, with the names that its columns and classes have, and the kind of its targets."""

    table: Table
    features: tuple[str, ...] | None
    task: str | None


def data_of(request: RunFields) -> Rows:
    given = request.data
    if isinstance(given, InlineData):
        known = request.trained and request.trained.words
        table = _inline(given, request.model, known or None)
        return Rows(table, table.features, None)
    dataset = DATASETS[given.name]
    try:
        data: Data = dataset(**given.given)
    except CallerError as error:
        raise error.moved({(): ("data",)}) from None
    return Rows(Table(data.inputs, data.targets, data.classes, given.name, data.features), data.features, dataset.task)


def _inline(given: InlineData, model: Spec, known: Words | None) -> Table:
    (raw, named, by_name), (inputs, words), weights = _all(
        partial(_targets, given.targets, ("data", "targets"), given.classes),
        partial(_in_columns, given.features, partial(read_inputs, given.inputs, ("data", "inputs"), model, known)),
        partial(_weights, given.sample_weight, ("data", "sample_weight")),
    )
    targets, classes = cast(Raw, raw), None if isinstance(given.classes, Mapping) else given.classes
    if named is None and not isinstance(targets, np.ndarray):
        classes = classes or _occurring(cast(Sequence[str], targets))
    elif named is None and classes is not None:
        _check_indices(cast(Numbers, targets), len(classes), ("data", "targets"))
    features = None if given.features is None else tuple(given.features)
    if features is not None and inputs.ndim == 2 and len(features) != inputs.shape[1]:
        message = f"data.features has {len(features)} names, and data.inputs {inputs.shape[1]} columns: one is needed for each"
        raise InvalidInput([Fault(("data", "features"), "length", message)])
    groups = given.groups
    if groups is not None and len(groups) != len(inputs):
        message = f"data.groups must have one entry per row of inputs: {len(inputs)}, not {len(groups)}"
        raise InvalidInput([Fault(("data", "groups"), "shape_mismatch", message)])
    return Table(inputs, targets, classes, None, features, weights, groups, named, by_name, words)


def _in_columns(features: Sequence[str] | None, read: Callable[[], tuple[Numbers, Words]]) -> tuple[Numbers, Words]:
    """What is read of inputs; what is wrong with a number of theirs is told with the name of its column."""
    try:
        return read()
    except InvalidArray as error:
        if features is None:
            raise
        told = [
            replace(fault, message=f"column {features[fault.path[-1]]!r}: {fault.message}")
            if len(fault.path) == CELL and isinstance(fault.path[-1], int) and fault.path[-1] < len(features)
            else fault
            for fault in error.faults
        ]
        raise InvalidArray(told) from None


CELL = 4
"""Parts of the path of a number of data.inputs."""


def _all(*reads: Callable[[], Any]) -> list[Any]:
    """What all of these read; with one that refuses what it reads, all that is wrong for any of them."""
    found: list[Any] = []
    refused: list[InvalidInput] = []
    for read in reads:
        try:
            found.append(read())
        except InvalidInput as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise InvalidInput([fault for error in refused for fault in error.faults])
    return found


def read_inputs(given: object, path: Path, model: Spec, known: Words | None = None) -> tuple[Numbers, Words]:
    """Inputs as numbers, NaN where one is missing and the model takes that; and the words that columns of categories have.

    A column of other text is refused at its first cell, and a number that is missing wherever it is. `known` are the words of
    other rows: any that is not among them is missing.
    """
    given, words = _without_words(given, model.given.get("categorical_features"), known)
    try:
        inputs = faults.numbers(given, path, gaps=True)
    except InvalidArray as error:
        first = {fault.path[-1]: fault for fault in reversed(error.faults) if fault.code == "not_a_number"}
        text = [replace(fault, message=f"{fault.message}; {ONE_HOT}") for fault in reversed(first.values())]
        raise InvalidArray(text or error.faults) from None
    takes_gaps = not MODELS[model.name].optimized
    missing: list[list[int]] = [] if takes_gaps else np.argwhere(np.isnan(inputs))[:MAX_FAULTS].tolist()
    if missing:
        places = [(*path, *index) for index in missing]
        raise InvalidArray([Fault(place, "not_a_number", f"{faults.name(place)} must be {MISSING}") for place in places])
    return inputs, words


def _without_words(given: object, categorical: object, known: Words | None) -> tuple[object, Words]:
    """Rows with the words of categories as numbers, by the order of their names."""
    rows = faults.listed(given) if isinstance(categorical, list) and not isinstance(given, np.ndarray) else None
    cells = [faults.listed(row) for row in cast(list[object], rows)] if isinstance(rows, list) else []
    if not cells or not all(isinstance(row, list) for row in cells):
        return cast(object, given), known or {}
    table = [list(row) for row in cast(list[list[object]], cells)]
    words = dict(known or {})
    for column in range(max(map(len, table), default=0)) if known is None else ():
        found = {row[column] for row in table if column < len(row) and row[column] is not None and _is_plain(row[column])}
        if _is_categorical(column, cast(list[object], categorical)) and found and all(isinstance(cell, str) for cell in found):
            words[column] = sorted(map(str, found))
    for column, names in words.items():
        places: dict[object, int] = {name: place for place, name in enumerate(names)}
        for row in table:
            if column < len(row) and isinstance(row[column], str):
                row[column] = places.get(row[column])
    return table, words


def _is_plain(cell: object) -> bool:
    return isinstance(cell, str | int | float | bool)


def _is_categorical(column: int, categorical: list[object]) -> bool:
    """Whether a column may be one of categories; those that are told by name are known later."""
    return column in categorical or any(isinstance(name, str) for name in categorical)


TREES = ", ".join(name for name, declared in MODELS.items() if not declared.optimized)
MISSING = (
    "a number, not null or NaN: leave the row out, or fill it in, as with its column's mean or median; "
    f"or take a model that can do without, of {TREES}"
)
"""What is said of an input that is missing."""


def _weights(given: object, path: Path) -> NDArray[np.float64] | None:
    return None if given is None else faults.numbers(given, path)


class Read(NamedTuple):
    """Targets, and where these are several arrays, where each is, and the classes of those that are labels."""

    targets: Raw
    named: SideBySide | None = None
    classes: Mapping[str, Sequence[str]] = {}


def _targets(given: object, path: Path, classes: Sequence[str] | Mapping[str, Sequence[str]] | None = None) -> Read:
    """With the names of classes, of one array or by the names of several; those that occur, where names have none."""
    try:
        targets = faults.tensors(given, path)
    except InvalidArray as error:
        raise _of_missing(error) from None
    several = isinstance(targets, Mapping)
    if classes is not None and several != isinstance(classes, Mapping):
        rule = "an object of names by head, as data.targets are one of arrays" if several else "a list of names"
        raise InvalidInput([Fault(("data", "classes"), "type", f"data.classes must be {rule}")])
    _check_different(classes)
    if several:
        return _together(cast(Mapping[str, Raw], targets), path, cast(Mapping[str, Sequence[str]], classes or {}))
    return Read(np.asarray(targets, np.float64) if isinstance(targets, np.ndarray) else targets)


def _check_different(classes: Sequence[str] | Mapping[str, Sequence[str]] | None) -> None:
    several = classes if isinstance(classes, Mapping) else {} if classes is None else {"": classes}
    for head, names in several.items():
        if len(set(names)) < len(names):
            where = ("data", "classes", head) if head else ("data", "classes")
            raise InvalidInput([Fault(where, "duplicate", f"{faults.name(where)} must be different names")])


def _together(targets: Mapping[str, Raw], path: Path, classes: Mapping[str, Sequence[str]]) -> Read:
    """Targets that are several arrays, as those of several heads are, side by side."""
    if not targets:
        raise InvalidInput([Fault(path, "empty", f"{faults.name(path)} is an object without an array")])
    strangers = [name for name in classes if name not in targets]
    if strangers:
        message = f"data.classes are of the heads that targets have: {', '.join(targets)}"
        raise InvalidInput([Fault(("data", "classes", strangers[0]), "unknown_field", message)])
    arrays: dict[str, Numbers] = {}
    named = dict(classes)
    for name, given in targets.items():
        where, array = (*path, name), given
        if not isinstance(array, np.ndarray):
            named[name] = classes.get(name) or _occurring(cast(Sequence[str], array), where)
            array = _indices(cast(Sequence[str], array), named[name], where)
        elif name in classes:
            _check_indices(array, len(classes[name]), where, name)
        if array.ndim not in (1, 2) or not array.size:
            raise InvalidArray([Fault(where, "shape", f"{faults.name(where)} must have shape (n,) or (n, k); got {array.shape}")])
        arrays[name] = array
    first, lengths = next(iter(arrays)), {name: len(array) for name, array in arrays.items()}
    for name, length in lengths.items():
        if length != lengths[first]:
            where = (*path, name)
            message = f"{faults.name(where)} has {length} rows, and {faults.name((*path, first))} {lengths[first]}"
            raise InvalidArray([Fault(where, "shape_mismatch", message)])
    return Read(*together(arrays), named)


def _indices(targets: Sequence[str], classes: Sequence[str], path: Path) -> Numbers:
    """The places of names among the classes."""
    places = {name: float(place) for place, name in enumerate(classes)}
    unknown = [index for index, name in enumerate(targets) if name not in places][:MAX_FAULTS]
    if unknown:
        known = ", ".join(classes[:MOST_NAMED])
        raise InvalidArray(
            [
                Fault(
                    (*path, index), "unknown_class", f"{faults.name((*path, index))} is {targets[index][:80]!r}, none of {known}"
                )
                for index in unknown
            ]
        )
    return np.array([places[name] for name in targets])


MOST_NAMED = 20
"""Classes that a message lists."""


def _of_missing(error: CallerError) -> CallerError:
    """The same error, with what to do about a row that has no target."""
    faults = [
        replace(fault, message=f"{fault.message}: leave the row out") if fault.message.endswith("not null") else fault
        for fault in error.faults
    ]
    return type(error)(faults)


def _occurring(targets: Sequence[str], path: Path = ("data", "targets")) -> list[str]:
    """The classes, in the order of their names."""
    classes = sorted(set(targets))
    if len(classes) == 1:
        message = f"targets are all {classes[0][:80]!r}, which is one class: name the others in data.classes"
        raise InvalidArray([Fault(path, "label", message)])
    return classes


def _check_indices(targets: Numbers, k: int, path: Path, *head: str) -> None:
    """Indices are below the number of names (or −1 and +1, of two); rows have a column for each."""
    classes = ("data", "classes", *head)
    if targets.ndim == 2 and targets.shape[1] != k:
        columns = f"{faults.name(path)} {targets.shape[1]} columns"
        message = f"{faults.name(classes)} has {k} names, and {columns}: there must be one for each"
        raise InvalidArray([Fault(classes, "shape_mismatch", message)])
    if targets.ndim == 1:
        wrong = np.flatnonzero((targets >= k) | (targets < (-1 if k == 2 else 0)))[:MAX_FAULTS]
        rule = f"must be the index of one of {k} classes"
        if wrong.size:
            messages = {index: f"{faults.name((*path, index))} {rule}; got {targets[index]:g}" for index in wrong.tolist()}
            raise InvalidArray([Fault((*path, index), "label", message) for index, message in messages.items()])


def plan_of(request: RunFields, rows: Rows) -> Plan:
    """The request in the core's own terms."""
    clipping, stopping = request.gradient_clipping, request.early_stopping
    model, loss = Chosen(MODELS[request.model.name], request.model.given), _loss(request, rows)
    metrics = tuple(Chosen(SCORES[metric.name], metric.given) for metric in _metrics(request, rows.table, loss))
    return Plan(
        data=rows.table,
        model=model,
        loss=loss,
        optimizer=_optimizer(request, model),
        schedule=request.schedule and Chosen(SCHEDULES[request.schedule.name], request.schedule.given),
        validation=_held(request, rows.table),
        epochs=request.epochs,
        batch_size=request.batch_size,
        shuffle=request.shuffle,
        standardize_inputs=request.standardize.inputs,
        standardize_targets=request.standardize.targets,
        l1=request.regularization.l1,
        l2=request.regularization.l2,
        clip_norm=clipping and clipping.norm,
        clip_value=clipping and clipping.value,
        patience=stopping and stopping.patience,
        min_delta=stopping.min_delta if stopping else 0.0,
        restore_best=bool(stopping and stopping.restore_best),
        monitor=stopping and _monitor(stopping.monitor, metrics),
        start_from_epoch=stopping.start_from_epoch if stopping else 0,
        metrics=metrics,
        seed=request.seed,
        precision=request.precision,
        class_weight=_class_weight(request.class_weight),
        learn=request.learn and Learn(tuple(request.learn.parameters), request.learn.learning_rate),
        resume=request.trained,
    )


def _monitor(name: str | None, metrics: Sequence[Chosen]) -> Literal["training_loss", "validation_loss"] | Chosen | None:
    """What tells the best epoch: of a metric, as it is among those that are measured, or by itself."""
    if name is None or name in ("training_loss", "validation_loss"):
        return name
    thing, parameters = SCORES.resolve(name, ("early_stopping", "monitor"))
    return next((metric for metric in metrics if metric.thing is thing), Chosen(thing, parameters))


def _class_weight(given: object) -> ClassWeight | None:
    """What rows count by their class, where it is written as one of its three forms."""
    given = faults.listed(given)
    if given is None or given == "balanced":
        return cast(str | None, given)
    numbers: Mapping[object, object]
    if isinstance(given, dict):
        numbers = cast(dict[object, object], given)
    elif isinstance(given, list):
        numbers = dict(enumerate(cast(list[object], given)))
    else:
        message = 'class_weight is "balanced", a list with a number for each class, or an object of such by class name'
        raise InvalidInput([Fault(("class_weight",), "type", message)])
    for key, number in numbers.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number < math.inf:
            message = f"class_weight[{key}] must be a number from 0 on"
            raise InvalidInput([Fault(("class_weight", cast("int | str", key)), "out_of_range", message)])
    return cast(ClassWeight, given)


def _loss(request: RunFields, rows: Rows) -> Chosen:
    if request.loss is not None:
        return _chosen(meant_beside(request.loss, rows.table))
    if rows.task is None:
        if rows.table.named is not None:
            message = f"say with which loss to train on {', '.join(rows.table.named.shapes)}, as multi_task"
            raise InvalidInput([Fault(("loss",), "missing", message)])
        fit = fitting(rows.table.targets, rows.table.classes)
        suits = {"classes": ("binary", "multiclass"), "numbers": ("regression",)}.get(request.task or "", ())
        named = next((USUAL_LOSS[task] for task in suits if USUAL_LOSS[task].thing.name in fit), None)
        if named is not None:
            return named
        usual = " or ".join(chosen.thing.name for chosen in USUAL_LOSS.values() if chosen.thing.name in fit)
        hint = f", as {usual}" if usual else ""
        message = f"say with which loss to train{hint}: it cannot be told from data of your own"
        raise InvalidInput([Fault(("loss",), "missing", message)])
    return USUAL_LOSS[rows.task]


def meant_beside(loss: BoundSpec, table: Table) -> BoundSpec:
    """The loss that its name means beside what a model predicts of these targets: the first meaning that fits them."""
    if not loss.varies:
        return loss
    meanings = [loss.beside(predictions, table.targets) for predictions in predicted(table.targets, table.classes)]
    for meaning in meanings:
        with suppress(CallerError):
            agree_on(meaning.bound, table.targets, table.classes, named=table.named)
            return meaning
    return meanings[0]


def _chosen(loss: BoundSpec) -> Chosen:
    if loss.name in LOSSES:
        return Chosen(LOSSES[loss.name], loss.given)
    shown = {name: value for name, value in loss.document.items() if name != "name"}
    try:
        return Chosen(COMPOSED[loss.name], shown, loss.bound)
    except CallerError as error:
        raise error.moved({("parameters",): ("loss",)}) from None


def _metrics(request: RunFields, table: Table, loss: Chosen) -> Sequence[Spec]:
    """The metrics, each what its name means beside what the model predicts."""
    if not any(isinstance(metric, BoundSpec) and metric.varies for metric in request.metrics):
        return request.metrics
    try:
        objective, _ = agree_on(loss.bound, table.targets, table.classes, named=table.named)
    except CallerError:  # which is told where the run is made ready
        return request.metrics
    predictions = np.broadcast_to(0.0, (len(table.targets), *objective.outputs))
    return [metric.beside(predictions, table.targets) if isinstance(metric, BoundSpec) else metric for metric in request.metrics]


def _optimizer(request: RunFields, model: Chosen) -> Chosen | None:
    if request.optimizer is not None:
        return Chosen(OPTIMIZERS[request.optimizer.name], request.optimizer.given)
    if not model.thing.optimized:
        return None
    return USUAL_OPTIMIZER


def _held(request: RunFields, table: Table) -> Holdout:
    validation = request.validation
    if validation is None:
        return Holdout(fraction=None)
    if not validation.ways:
        raise InvalidInput([Fault(("validation",), "choice", ONE_WAY)])
    if validation.inputs is None:
        return Holdout(validation.fraction, validation.last, None, validation.seed, validation.split)
    inputs, _ = read_inputs(validation.inputs, ("validation", "inputs"), request.model, table.words)
    given, several = cast(object, validation.targets), isinstance(validation.targets, Mapping)
    targets, named, by_name = _targets(given, ("validation", "targets"), table.classes_by_name if several else None)
    weights = _weights(validation.sample_weight, ("validation", "sample_weight"))
    return Holdout(None, None, Table(inputs, targets, sample_weight=weights, named=named, classes_by_name=by_name))


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
