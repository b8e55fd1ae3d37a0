"""A training run: what was asked for (Plan), and what is trained on what once everything has been checked (Run)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidArray, InvalidInput, InvalidParameter
from app.losses.encodings import EMBEDDING
from app.losses.form import Bound, Sum, bind
from app.losses.inputs import Numbers, Raw
from app.losses.numerics.stable import Array
from app.training.activations import OUTPUTS
from app.training.agreement import agree_on, is_of_several
from app.training.columns import check_categories, columns_by_index
from app.training.criteria import check_criterion
from app.training.drawn import embeds, told_apart
from app.training.embeddings import Drawing
from app.training.learned import Learn, Learned, learned_by
from app.training.metrics import check_metric
from app.training.network import Network, Precision
from app.training.objective import Labels, Objective, of_differences, takes_labels
from app.training.resumable import check_resumed, check_same, scale_for
from app.training.splits import Holdout, split
from app.training.tables import Scale, Table, check_columns, check_table, refuse_at, scaled
from app.training.trees import Boosted, Forest, Trees, largest_input
from app.training.weights import Classes, ClassWeight, check_weights, classes_in, of_classes, weighing

if TYPE_CHECKING:
    from app.training.trained import Trained

T = TypeVar("T")

State: TypeAlias = dict[str, Numbers]
"""Everything that changes during a run, as plain arrays."""

USUAL_BATCH = 32


class Chosen(NamedTuple):
    """A declared thing and the parameters it was given."""

    thing: Any
    parameters: Mapping[str, Any]
    made: Bound | Sum | None = None
    """What a composed loss makes of these."""

    @property
    def all(self) -> dict[str, Any]:
        return {**self.thing.defaults, **self.parameters}

    @property
    def bound(self) -> Bound | Sum:
        """Of a loss: what it is under these."""
        return self.made or bind(self.thing, self.parameters)


@dataclass(frozen=True)
class Limits:
    """The largest run that is taken on."""

    epochs: int = 10_000
    parameters: int = 1_000_000
    row_epochs: int = 20_000_000
    """Training rows times epochs."""


@dataclass(frozen=True)
class Plan:
    """A run as it was asked for; every field but the first three has a default that works."""

    data: Table
    model: Chosen
    """A Model."""
    loss: Chosen
    """A Loss."""
    optimizer: Chosen | None = None
    """An Optimizer; None is right only for a model that has no weights."""
    schedule: Chosen | None = None
    """A Schedule; None leaves the learning rate as it is."""
    validation: Holdout = field(default_factory=Holdout)
    epochs: int = 100
    batch_size: int | Literal["full"] | None = None
    """None takes 32 rows, or all where there are fewer."""
    shuffle: bool = True
    standardize_inputs: bool = True
    standardize_targets: bool | None = None
    """None standardizes them where the loss takes any real number on both sides, and they are no labels."""
    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    patience: int | None = None
    """Epochs without improvement after which to stop; None never stops early."""
    min_delta: float = 0.0
    restore_best: bool = True
    monitor: Literal["training_loss", "validation_loss"] | Chosen | None = None
    """What tells the best epoch: a loss, or a metric, which is then measured too; None: the validation loss where there is."""
    start_from_epoch: int = 0
    """The first epochs, which are never best, and in which nobody waits."""
    metrics: tuple[Chosen, ...] = ()
    """Each a Metric or a Loss."""
    seed: int = 0
    precision: Precision = "float64"
    """What a network computes in."""
    class_weight: ClassWeight | None = None
    """What rows count by their class, in both losses; metrics and scales leave it out."""
    learn: Learn | None = None
    """Parameters of the loss that move with the weights."""
    resume: "Trained | None" = None
    """A model from which to go on; its epochs are among those of this run."""


class Rows(NamedTuple):
    """Rows ready to be trained on."""

    inputs: Array
    """(n, d), standardized if asked for."""
    labels: Labels
    targets: Numbers
    """(n,) or (n, m), as metrics take them."""

    row_weights: Array | None = None
    """(n,) what each row counts in losses; None: 1."""
    sample_weight: Array | None = None
    """(n,) what it counts in metrics: without what its class weighs."""

    @property
    def n(self) -> int:
        return len(self.inputs)

    def take(self, which: NDArray[np.intp]) -> "Rows":
        weights = [None if array is None else array[which] for array in (self.row_weights, self.sample_weight)]
        return Rows(np.ascontiguousarray(self.inputs[which]), self.labels.take(which), self.targets[which], *weights)


@dataclass(frozen=True)
class Run:
    """A run that can begin."""

    plan: Plan
    model: Network | Trees
    objective: Objective
    training: Rows
    validation: Rows | None
    batch_size: int
    inputs_scale: Scale | None
    targets_scale: Scale | None
    warnings: tuple[str, ...]
    trained_on: NDArray[np.intp]
    """(n,) where the rows to train on stand in the data, ascending."""
    held_out: NDArray[np.intp] | None
    """(m,) where those to validate with stand in it, or in their own table; None without any."""
    learned: Learned | None = None
    """The parameters of the loss that move with the weights."""
    found: dict[str, object] = field(default_factory=dict[str, object], init=False, repr=False, compare=False)
    """What its learners have found out, by name."""

    def once(self, name: str, find: Callable[[], T]) -> T:
        """What is the same for every learner of the run, found when it is first asked for; it must not hold the run itself."""
        if name not in self.found:
            self.found[name] = find()
        return cast(T, self.found[name])

    @property
    def base_rate(self) -> float:
        """The learning rate that a schedule multiplies; NaN where there is none."""
        if isinstance(self.model, Trees):
            return self.model.rate
        chosen = self.plan.optimizer
        assert chosen is not None
        return chosen.all["learning_rate"] if chosen.thing.has_rate else np.nan


def prepare(plan: Plan, limits: Limits = Limits()) -> Run:
    """Check a plan and make its arrays ready; InvalidInput with the place and the rule for whatever does not fit."""
    of_trees = not plan.model.thing.optimized
    plan = _with_monitored(plan)
    if plan.model.thing.epochs is not None:
        plan = replace(plan, epochs=plan.model.thing.epochs)
    check_table(plan.data, ("data",), gaps=of_trees)
    if plan.data.sample_weight is not None:
        check_weights(plan.data.sample_weight, len(plan.data.inputs), ("data", "sample_weight"))
    kept, held = split(len(plan.data.inputs), plan.validation, strata(plan), plan.data.groups)
    outside = plan.validation.table
    if outside is not None:
        check_table(outside, ("validation", "table"), plan.data.inputs.shape[1], gaps=of_trees)
        if outside.sample_weight is not None:
            check_weights(outside.sample_weight, len(outside.inputs), ("validation", "table", "sample_weight"))
    check_resumed(plan)
    batch_size = _batch_size(plan.batch_size, len(kept))
    _check_limits(plan, limits, len(kept))
    standardizes = plan.standardize_inputs and not of_trees  # which no tree would notice
    if standardizes and plan.data.name is None:
        check_columns(plan.data)
    weights = plan.data.sample_weight
    inputs_scale = scale_for(plan, "inputs", plan.data.inputs, kept) if standardizes else None
    objective, labels, targets, targets_scale = _targets(plan, kept, batch_size)
    _check_embeddings(plan, objective)
    parameters = columns_by_index(plan.model.all, plan.data, objective.outputs)
    model = plan.model.thing(plan.data.inputs.shape[1], objective.width, objective.activation, **parameters)
    _check_model(model, plan, limits)
    learned = learned_by(plan, model, objective)
    check_same(plan, objective, inputs_scale, targets_scale)
    rows = Rows(scaled(plan.data.inputs, inputs_scale, ("data", "inputs"), largest_input(model), gaps=of_trees), labels, targets)
    rows = _weighed(rows, plan, weights, kept)
    training, validation = rows.take(kept), rows.take(held) if len(held) else None
    training = _relative(training, objective)
    validation = None if validation is None else _relative(validation, objective)
    if outside is not None:
        validation = _outside(outside, plan, objective, inputs_scale, targets_scale, model)
    _check_counts(training, validation)
    _check_metrics(plan, objective, rows.targets)
    if plan.monitor == "validation_loss" and validation is None:
        refuse_at(("monitor",), "missing", "there are no validation rows whose loss could be monitored; take training_loss")
    if isinstance(model, Boosted):
        check_categories(training, validation, model)
    if isinstance(model, Forest):
        check_criterion(model.criterion, objective, training.labels, named=plan.data.classes is not None)
    held_out = np.arange(len(outside.inputs)) if outside is not None else held if len(held) else None
    warnings = _warnings(training, objective)
    scales = inputs_scale, targets_scale
    return Run(plan, model, objective, training, validation, batch_size, *scales, warnings, kept, held_out, learned)


# --- targets ---------------------------------------------------------------------------------------------------------


def _targets(plan: Plan, kept: NDArray[np.intp], step: int) -> tuple[Objective, Labels, Numbers, Scale | None]:
    """The objective, with every target as the loss takes it and as metrics do."""
    targets, wanted = plan.data.targets, plan.standardize_targets
    if wanted and is_of_several(plan.loss.bound):
        message = f"the arrays of {plan.loss.thing.name} have units of their own: leave standardize.targets out"
        raise InvalidParameter([Fault(("standardize_targets",), "unexpected", message)])
    if wanted is not True:
        objective, labels = _agreed(plan, targets, plan.data.classes, kept, step)
        if wanted is False or is_of_several(plan.loss.bound) or _labels_like(plan.data) or not of_differences(objective, labels):
            return objective, labels, targets if isinstance(targets, np.ndarray) else labels.targets, None
    if not isinstance(targets, np.ndarray):
        refuse_at(("standardize_targets",), "targets", "class names cannot be standardized: set standardize.targets to false")
    scale = scale_for(plan, "targets", targets, kept)
    moved = scaled(targets, scale, ("data", "targets"))
    try:
        return *_agreed(plan, moved, None, kept, step), moved, scale
    except InvalidInput as error:
        if wanted is None:
            raise
        why = error.faults[0].message
        message = f"standardized targets do not fit {plan.loss.thing.name}; set standardize.targets to false ({why})"
        raise InvalidParameter([Fault(("standardize_targets",), "targets", message)]) from None


def _agreed(
    plan: Plan, targets: Raw, classes: Sequence[str] | None, kept: NDArray[np.intp], step: int
) -> tuple[Objective, Labels]:
    """The objective, and the targets as it takes them; what does not fit is told where the plan has it."""
    given = plan.model.all.get("output")
    drawing = Drawing(plan.model.all.get("outputs"), step, plan.seed)
    try:
        given_output = OUTPUTS[given] if given else None
        found = agree_on(plan.loss.bound, targets, classes, given_output, kept, plan.data.named, drawing)
    except InvalidInput as error:
        raise error.moved(
            {
                ("targets",): ("data", "targets"),
                ("classes",): ("data", "classes"),
                ("parameters",): ("loss",),
                ("output",): ("model", "output"),
            }
        ) from None
    for head in plan.data.classes_by_name:
        part = found[0].parts.get(head)
        if part is None or not takes_labels(part.loss):
            takes = f"{plan.loss.thing.name if part is None else part.loss.name} takes quantities of {head[:80]}"
            refuse_at(("data", "targets", head), "not_a_number", f"{takes}, and these are names of classes: send numbers")
    return found


def _check_embeddings(plan: Plan, objective: Objective) -> None:
    """Embeddings are of networks, and a width of one's own is of embeddings."""
    name, on_embeddings = plan.loss.thing.name, objective.encoding == EMBEDDING.name and objective.reads is not None
    if on_embeddings and not plan.model.thing.optimized:
        message = f"{name} is on embeddings, which {plan.model.thing.name} does not make: take linear or mlp"
        raise InvalidParameter([Fault(("model",), "does_not_fit", message)])
    if not on_embeddings and plan.model.all.get("outputs") is not None:
        message = f"{name} is not on embeddings: it says itself how many outputs there are; leave outputs out"
        raise InvalidParameter([Fault(("model", "outputs"), "unexpected", message)])


def _labels_like(table: Table) -> bool:
    """Whether the targets stand for classes, although a loss may take them for numbers."""
    if table.classes is not None or not isinstance(table.targets, np.ndarray):
        return True
    values = np.unique(table.targets)
    return values.size == 2 and values[1] == 1 and values[0] in (-1, 0)


def _outside(
    table: Table,
    plan: Plan,
    objective: Objective,
    inputs_scale: Scale | None,
    targets_scale: Scale | None,
    model: Network | Trees,
) -> Rows:
    """Validation rows of their own, with the scales and classes of the data."""
    data = plan.data
    _check_classes(table, data)
    if table.named != data.named:
        refuse_at(
            ("validation", "table", "targets"), "shape_mismatch", "targets must have the arrays of data.targets, shaped alike"
        )
    path, gaps, targets = ("validation", "table", "inputs"), isinstance(model, Trees), table.targets
    inputs = scaled(table.inputs, inputs_scale, path, largest_input(model), gaps=gaps)
    if targets_scale is not None and isinstance(targets, np.ndarray):
        targets = scaled(targets, targets_scale, ("validation", "table", "targets"))
    try:
        labels = objective.labels(targets, data.classes)
    except InvalidInput as error:
        faults = [Fault(fault.path, fault.code, f"of validation: {fault.message}") for fault in error.faults]
        table_path = ("validation", "table")
        raise InvalidArray(faults).moved(
            {("targets",): (*table_path, "targets"), ("classes",): (*table_path, "classes"), ("parameters",): ("loss",)}
        ) from None
    rows = Rows(inputs, labels, targets if isinstance(targets, np.ndarray) else labels.targets)
    return _relative(_weighed(rows, plan, table.sample_weight, None), objective)


def _takes_labels(plan: Plan) -> bool:
    """Whether the loss takes numbers for labels."""
    bound = plan.loss.bound
    while isinstance(bound, Sum):
        bound = bound.parts[0].loss
    if embeds(bound.loss):
        return True
    targets = bound.loss.inputs.get("targets")
    return targets is not None and any("class_names" in encoding.accepts for _, encoding in targets.cases)


def strata(plan: Plan) -> NDArray[np.intp] | None:
    """(n,) the classes that a stratified split keeps in proportion; None where there are none."""
    if plan.validation.split != "stratified":
        return None
    classes = _classes(plan)
    return None if classes is None else classes.of


def _classes(plan: Plan) -> Classes | None:
    """The classes that the targets are of; None where they are none, or several arrays."""
    if plan.data.named is not None:
        return None
    return classes_in(plan.data.targets, plan.data.classes, labels=_takes_labels(plan))


def _weighed(rows: Rows, plan: Plan, sample_weight: Array | None, kept: NDArray[np.intp] | None) -> Rows:
    """The rows with what they count; `kept` are those to train on, None where these are others."""
    weights = sample_weight
    if plan.class_weight is not None:
        by_class = _by_class(plan, rows, kept)
        weights = by_class if weights is None else weights * by_class
    return rows._replace(row_weights=weights, sample_weight=sample_weight)


def _by_class(plan: Plan, rows: Rows, kept: NDArray[np.intp] | None) -> Array:
    """(n,) what rows count by their class; those of other rows than the data's count what their class does there."""
    assert plan.class_weight is not None
    names = plan.data.classes
    own = _classes(plan)
    weights = of_classes(plan.class_weight, own, np.arange(len(plan.data.targets)) if kept is None else kept)
    assert own is not None
    if kept is not None:
        return weights[own.of]
    assert plan.validation.table is not None
    other = classes_in(plan.validation.table.targets, names or own.names, labels=True)
    named = dict(zip(own.names, weights.tolist(), strict=True))
    if other is None:
        return np.ones(rows.n)
    numbers: list[int] = other.of.tolist()
    return np.array([named.get(other.names[number], 1.0) for number in numbers])


def _relative(rows: Rows, objective: Objective) -> Rows:
    return rows._replace(labels=weighing(rows.labels, rows.row_weights, objective))


def _check_classes(table: Table, data: Table) -> None:
    """Class names are taken in the order of the data; indices must have been counted in it."""
    if not isinstance(table.targets, np.ndarray):
        if data.classes is None:
            refuse_at(
                ("validation", "table", "targets"), "not_a_number", "targets are class names here, and numbers in data.targets"
            )
    elif table.classes is not None and list(table.classes) != list(data.classes or []):
        theirs = f"those of data.classes: {', '.join(data.classes)}" if data.classes else "left out, as there are none in data"
        refuse_at(("validation", "table", "classes"), "unexpected", f"classes must be {theirs}")


def _check_counts(training: Rows, validation: Rows | None) -> None:
    """Some label counts on both sides, and some rows can be put together: a mean over nothing is no loss."""
    for rows, path, what in ((training, ("data", "targets"), "train on"), (validation, ("validation",), "validate with")):
        if rows is not None and not rows.labels.any():
            refuse_at(path, "no_samples", f"no row counts of those to {what}: every target is ignored or weighs 0")
        if rows is not None and rows.labels.draw is not None and not told_apart(rows.labels.targets):
            message = (
                f"rows to {what} are put beside one of the same label and one of another: some label needs two rows, and some"
            )
            refuse_at(path, "label", f"{message} row another label")


# --- the rest of the plan -----------------------------------------------------------------------------------------------


def _check_metrics(plan: Plan, objective: Objective, targets: Numbers) -> None:
    if plan.metrics and (objective.heads is not None or objective.named is not None):
        message = "metrics compare one array of predictions with one of targets, and these are several; leave metrics out"
        raise InvalidParameter([Fault(("metrics", 0), "metric", message)])
    names = [metric.thing.name for metric in plan.metrics]
    for index, metric in enumerate(plan.metrics):
        if metric.thing.name in names[:index]:
            raise InvalidParameter([Fault(("metrics", index), "duplicate", f"metrics[{index}] is {metric.thing.name} again")])
        path = ("monitor",) if metric is plan.monitor else ("metrics", index)
        try:
            check_metric(metric.thing, metric.all, objective.encoding, targets, outputs=objective.outputs)
        except InvalidParameter as error:
            raise error.moved({("metric",): path, ("parameters",): path}) from None


def _with_monitored(plan: Plan) -> Plan:
    """The plan with the metric that is monitored among those that are measured."""
    monitor = plan.monitor
    if not isinstance(monitor, Chosen) or any(metric.thing is monitor.thing for metric in plan.metrics):
        return plan
    return replace(plan, metrics=(*plan.metrics, monitor))


def _batch_size(wanted: int | Literal["full"] | None, n: int) -> int:
    if wanted is None:
        return min(USUAL_BATCH, n)
    if wanted == "full":
        return n
    if wanted > n:
        message = f'batch_size is {wanted}, but there are {n} rows to train on; use at most {n}, or "full"'
        raise InvalidParameter([Fault(("batch_size",), "out_of_range", message)])
    return wanted


def _check_limits(plan: Plan, limits: Limits, n: int) -> None:
    if plan.epochs > limits.epochs:
        message = f"epochs must be at most {limits.epochs} here; got {plan.epochs}"
        raise InvalidParameter([Fault(("epochs",), "limit", message)])
    if n * plan.epochs > limits.row_epochs:
        message = f"{n} rows times {plan.epochs} epochs are {n * plan.epochs}; at most {limits.row_epochs} are trained on here"
        raise InvalidParameter([Fault(("epochs",), "limit", message)])


def _check_model(model: Network | Trees, plan: Plan, limits: Limits) -> None:
    if isinstance(model, Trees):
        _check_trees(plan, model)
        return
    if model.size > limits.parameters:
        message = (
            f"a model of widths {'-'.join(map(str, model.widths))} has {model.size} parameters; at most {limits.parameters} here"
        )
        raise InvalidParameter([Fault(("model",), "limit", message)])
    if plan.optimizer is None:
        raise InvalidParameter([Fault(("optimizer",), "missing", f"{plan.model.thing.name} needs an optimizer")])
    if plan.optimizer.thing.full_batch:
        if plan.batch_size not in (None, "full"):
            message = f'{plan.optimizer.thing.name} takes all rows at once: leave batch_size out, or set it to "full"'
            raise InvalidParameter([Fault(("batch_size",), "unexpected", message)])
        _refuse_settings(plan, plan.optimizer.thing.name, ("schedule", "gradient_clipping"))
        if model.dropout:
            message = f"{plan.optimizer.thing.name} needs the same loss at the same weights; dropout must be 0"
            raise InvalidParameter([Fault(("model", "dropout"), "unexpected", message)])
    elif plan.optimizer.thing.average and plan.l1:
        message = f"{plan.optimizer.thing.name} keeps an average of its steps, in which no weight stays at 0: leave l1 out"
        raise InvalidParameter([Fault(("regularization", "l1"), "unexpected", message)])
    elif not plan.optimizer.thing.has_rate:
        _refuse_settings(plan, plan.optimizer.thing.name, ("schedule",))


def _check_trees(plan: Plan, model: Trees) -> None:
    name = plan.model.thing.name
    if plan.optimizer is not None:
        rate = "; its learning_rate is a parameter of the model" if isinstance(model, Boosted) else ""
        message = f"{name} has no weights for an optimizer to move{rate}"
        raise InvalidParameter([Fault(("optimizer",), "unexpected", message)])
    if plan.batch_size not in (None, "full"):
        sample = "subsample" if isinstance(model, Boosted) else "bootstrap of random_forest"
        message = f"{name} takes all rows at once; {sample} is a parameter of the model"
        raise InvalidParameter([Fault(("batch_size",), "unexpected", message)])
    if plan.precision != "float64":
        message = f"precision is of linear models and networks; {name} computes in float64: leave it out"
        raise InvalidParameter([Fault(("precision",), "unexpected", message)])
    _refuse_settings(plan, name, ("regularization", "gradient_clipping"))
    if isinstance(model, Forest):
        _refuse_settings(plan, name, ("schedule",))


def _refuse_settings(plan: Plan, name: str, fields: tuple[str, ...]) -> None:
    given = {
        "schedule": plan.schedule is not None,
        "regularization": plan.l1 > 0 or plan.l2 > 0,
        "gradient_clipping": plan.clip_norm is not None or plan.clip_value is not None,
    }
    for setting in fields:
        if given[setting]:
            raise InvalidParameter([Fault((setting,), "unexpected", f"{name} has no use for {setting}; leave it out")])


def _warnings(training: Rows, objective: Objective) -> tuple[str, ...]:
    same = bool((training.labels.targets == training.labels.targets[:1]).all())
    warnings = ("every training row has the same target: there is nothing to tell apart",) if same else ()
    return (*objective.warnings, *warnings)
