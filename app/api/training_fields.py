"""What is said of a training run, as it is written."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, cast

import numpy as np
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    WithJsonSchema,
    model_validator,
)

from app.api.evaluate import MOST_OUTPUTS, UNTYPED, Names
from app.api.specs import (
    LOSS_SPECS,
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
from app.api.trained import ModelSpec, TrainedModel
from app.api.training_answer import Extra
from app.api.words import TARGETS, OneOrMore, Part
from app.errors import Fault, InvalidInput
from app.losses import LOSSES
from app.registry import Registry
from app.training import (
    DATASETS,
    METRICS,
    OPTIMIZERS,
    SCHEDULES,
)
from app.training.network import Precision
from app.training.trained import Trained

SCORES: Registry[Any] = Registry("metric", [*METRICS.values(), *LOSSES.values()], METRICS)
"""What a model may be scored by after each epoch: a metric, or any loss."""

OPTIMIZER_SPECS, SCHEDULE_SPECS = Specs(OPTIMIZERS), Specs(SCHEDULES)
DATASET_SPECS, METRIC_SPECS = Specs(DATASETS), Specs(METRICS)

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
