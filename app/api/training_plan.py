"""A training run in the core's own terms."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, cast

import numpy as np

from app.api.specs import (
    BoundSpec,
    Spec,
)
from app.api.training_fields import ONE_WAY, SCORES, RunFields
from app.api.training_rows import Rows, read_inputs, read_targets, read_weights
from app.errors import CallerError, Fault, InvalidInput
from app.losses import COMPOSED, LOSSES
from app.training import (
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    Chosen,
    Holdout,
    Learn,
    Plan,
    Table,
)
from app.training.agreement import agree_on
from app.training.objective import fitting, predicted
from app.training.weights import ClassWeight
from app.wire import faults

USUAL_OPTIMIZER = Chosen(OPTIMIZERS["adam"], {"learning_rate": 0.01})
USUAL_LOSS = {
    "regression": Chosen(LOSSES["mean_squared_error"], {}),
    "binary": Chosen(LOSSES["binary_cross_entropy"], {"from_logits": True}),
    "multiclass": Chosen(LOSSES["categorical_cross_entropy"], {"from_logits": True}),
}


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
    targets, named, by_name = read_targets(given, ("validation", "targets"), table.classes_by_name if several else None)
    weights = read_weights(validation.sample_weight, ("validation", "sample_weight"))
    return Holdout(None, None, Table(inputs, targets, sample_weight=weights, named=named, classes_by_name=by_name))
