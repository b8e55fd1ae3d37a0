"""What a run leaves behind: the model that is kept, its losses and metrics, and what it says of the validation rows."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.boosting import categories_of
from app.training.decisions import Decisions, deciding, decisions_of
from app.training.fit import measured, start, stopped
from app.training.forest import Planting
from app.training.learned import under
from app.training.learners import State, learner
from app.training.network import Network
from app.training.resuming import progress_of
from app.training.run import Run
from app.training.trained import Trained
from app.training.trees import NODES, Trees, importances


class Result(NamedTuple):
    """The model that is kept, by what it comes to."""

    epoch: int
    """The epoch it is of; 0 for the model before the first."""
    training_loss: float
    validation_loss: float | None
    metrics: Mapping[str, tuple[float, float | None]]
    predictions: Array
    """(n, *outputs) for the validation rows, or the training rows where there are none, in the targets' own units."""
    by_head: Array | Mapping[str, Array]
    """The same, by name where they are several arrays."""
    per_sample: Array
    """(n,) each of these rows' loss."""
    decisions: Decisions | dict[str, Decisions] | None
    """Between classes, for these rows, by head where heads decide; None of a model that does not."""
    parameters: Mapping[str, Numbers]
    """Weights and biases by name, or the trees' nodes, as plain arrays."""
    feature_importances: Array | None
    """(d,) the share of the gain of all splits that came by each column; None for a network."""
    kept: State
    """The state that holds this model."""


def finish(run: Run, state: State) -> Result:
    """The model of the best epoch where the plan restores it, of the last epoch otherwise.

    Of a run that diverged it is that of the best epoch; of one that diverged at once, the model it began with.
    """
    model, kept, epoch = learner(run), dict(state), int(state["epoch"])
    diverged = stopped(run, state) == "diverged"
    best = int(state["best"][1])
    if diverged and not best:
        kept, epoch = start(run), 0
    elif best and (diverged or run.plan.restore_best):
        kept, epoch = kept | {key: state[f"best.{key}"] for key in model.keys}, best
    model.adopt(kept)
    with np.errstate(all="ignore"):
        (training, validation), metrics = measured(run, model, kept)
        rows = run.validation or run.training
        predictions = model.training_predictions(kept) if run.validation is None else model.validation_predictions(kept)
        per_sample, _ = under(run, kept).objective.losses(predictions, rows.labels)
        shown = _own_units(run, predictions.reshape(-1, *run.objective.outputs))
    parameters = _parameters(run, kept)
    return Result(
        epoch,
        training,
        None if run.validation is None else validation,
        metrics,
        shown,
        run.objective.by_head(shown),
        per_sample,
        decisions_of(run, rows, predictions.reshape(-1, *run.objective.outputs)),
        parameters,
        importances(parameters, run.model.inputs) if isinstance(run.model, Trees) else None,
        kept,
    )


def keep(run: Run, state: State, result: Result) -> Trained:
    """The model of a result as a value, from which the run can go on as well."""
    inputs, forest = np.asarray(run.plan.data.inputs, np.float64), learner(run)
    return Trained(
        chosen=run.plan.model,
        loss={"name": run.plan.loss.thing.name, **run.plan.loss.all},
        precision=run.plan.precision,
        inputs=inputs.shape[1],
        outputs=run.objective.outputs,
        features=run.plan.data.features,
        deciding=deciding(run),
        categories=_categories(run),
        inputs_scale=run.inputs_scale,
        targets_scale=run.targets_scale,
        activation=run.objective.activation,
        encoding=run.objective.encoding,
        heads=run.objective.heads,
        shares=isinstance(forest, Planting) and forest.shares is not None,
        range=np.stack([np.fmin.reduce(inputs), np.fmax.reduce(inputs)]),
        parameters=result.parameters,
        progress=progress_of(run, state),
    )


def _categories(run: Run) -> dict[int, list[str] | list[float]]:
    """What training rows have in columns of categories."""
    words = run.plan.data.words
    return {
        column: [words[column][int(number)] for number in numbers] if column in words else numbers.tolist()
        for column, numbers in categories_of(run).of.items()
    }


def _own_units(run: Run, predictions: Array) -> Array:
    return predictions if run.targets_scale is None else run.targets_scale.restored(predictions)


def _parameters(run: Run, kept: State) -> dict[str, Numbers]:
    if isinstance(run.model, Network):
        return {name: array.copy() for name, array in run.model.named(kept["weights"]).items()}
    ends = kept["trees"]
    nodes = {name: kept[f"tree.{name}"][: ends[-1]].copy() for name in NODES}
    return {"constant": kept["constant"].copy(), "first_nodes": ends[:-1].copy(), **nodes}
