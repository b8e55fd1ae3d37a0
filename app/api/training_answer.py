"""The answer of a training run: its set-up, its curves, the model that is kept, and the diagnosis."""

import math
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, cast

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.trained import TrainedModel, document_of
from app.insight.calibration import calibration
from app.insight.confusion import confusion
from app.losses import LOSSES, Batch, check
from app.losses.numerics.stable import Array
from app.serving.time_limit import TimeUp, until
from app.training import Chosen, Epoch, Result, Run, finish, history, keep, stopped
from app.training.decisions import Decisions, of_each
from app.training.diagnosis import diagnose
from app.training.exported import onnx_file
from app.training.learners import State
from app.training.network import Network
from app.training.surface import Surface, surface
from app.training.tables import Scale

DIAGNOSIS_SECONDS = 10.0
"""What diagnoses may take beyond the time of the run: trying other rates takes a large model as long as an epoch."""

Extra: TypeAlias = Literal[
    "parameters",
    "predictions",
    "per_sample",
    "rows",
    "feature_importances",
    "surface",
    "model",
    "confusion_matrix",
    "calibration",
    "onnx",
]


class SurfaceEntry(TypedDict):
    """What the model predicts over the range of its inputs, widened by a twentieth on each side."""

    axes: Annotated[list[list[float]], Field(description="Places along each of one or two columns.")]
    predictions: Annotated[
        Any,
        Field(
            description="At each place, in the targets' own units: (n,), or (n of the second axis, n of the first); with as "
            "many numbers more as the model predicts per row, where these are several."
        ),
    ]


class Scores(TypedDict):
    """A metric on both kinds of rows; null where it is undefined, or where there are no such rows."""

    training: NumberOrNull
    validation: NumberOrNull


class EpochEntry(TypedDict):
    """What an epoch came to. Losses and metrics are those of the weights at its end."""

    epoch: int
    training_loss: float
    validation_loss: NumberOrNull
    metrics: dict[str, Scores]
    learning_rate: Annotated[float | None, Field(description="null for an optimizer that has none.")]
    gradient_norm: Annotated[NumberOrNull, Field(description="Mean over the steps, before clipping; null where it overflows.")]
    seconds: float
    loss_parameters: NotRequired[Annotated[dict[str, float], Field(description="Those that are learned, at its end.")]]
    surface: NotRequired[
        Annotated[SurfaceEntry, Field(description="In events alone, where it was asked for, for at most 60 of the epochs.")]
    ]


class Stopped(TypedDict):
    """When and why the run ended."""

    epoch: Annotated[int, Field(description="The last epoch; for a run that diverged, the one that did.")]
    reason: Literal["completed", "early_stopping", "diverged", "time_limit"]


class Final(TypedDict):
    """The model that is kept: of the last epoch, or of the best where early stopping restores it or the run diverged."""

    epoch: Annotated[int, Field(description="The epoch it is of; 0 is the model before the first.")]
    training_loss: NumberOrNull
    validation_loss: NumberOrNull
    metrics: dict[str, Scores]


class FindingEntry(TypedDict):
    """Something about the run that is worth knowing, with what made the service say so."""

    verdict: Annotated[str, Field(examples=["overfitting"])]
    summary: str
    evidence: dict[str, Any]
    advice: Annotated[str, Field(description="What to try.")]


class DataEntry(TypedDict):
    """What was trained on."""

    training_rows: int
    validation_rows: int
    inputs: Annotated[int, Field(description="Columns of the inputs.")]
    outputs: Annotated[int, Field(description="Numbers that the model predicts per row.")]
    features: list[str] | None
    classes: list[str] | None
    classes_by_head: NotRequired[Annotated[dict[str, list[str]], Field(description="Of targets by head that are labels.")]]
    predictions_encoding: Annotated[str, Field(examples=["logit"])]
    targets_encoding: Annotated[str, Field(examples=["binary"])]
    output_activation: Annotated[str, Field(examples=["identity"])]
    batch_size: int
    standardized: Annotated[
        dict[str, dict[str, Any] | None],
        Field(description="mean and deviation of inputs and targets, null where left as they were."),
    ]


class ConfusionEntry(TypedDict):
    """What was decided of the rows whose predictions are shown, by their class; what rows weigh is summed, and 0/0 is null."""

    classes: list[Any]
    matrix: Annotated[Any, Field(description="(k, k): how many of the first axis' class were decided to be of the second's.")]
    precision: list[NumberOrNull]
    recall: list[NumberOrNull]
    f1: list[NumberOrNull]
    support: list[float]


class CalibrationBin(TypedDict):
    """Rows of like probabilities."""

    n: int
    mean_predicted: float
    share_observed: float


class CalibrationEntry(TypedDict):
    """Whether classes are as probable as is said: of two, the positive one; of more, the decided one against its being right."""

    bins: Annotated[list[CalibrationBin], Field(description="Ten, of about as many rows each.")]
    expected_calibration_error: float


class SetUp(TypedDict):
    """What is trained on what."""

    model: dict[str, Any]
    n_parameters: Annotated[int | None, Field(description="Weights and biases; null for a model that has none.")]
    loss: dict[str, Any]
    optimizer: dict[str, Any] | None
    schedule: dict[str, Any] | None
    seed: int
    data: DataEntry


class TrainResponse(SetUp):
    """A run from its first epoch to its diagnosis."""

    history: list[EpochEntry]
    best_epoch: Annotated[
        int | None,
        Field(description="The epoch of the lowest validation loss (training loss without validation), or the best monitored."),
    ]
    stopped: Stopped
    final: Final
    diagnosis: Annotated[
        list[FindingEntry], Field(description="The most important first; empty only where the run has left no time for it.")
    ]
    warnings: NotRequired[list[str]]
    fold: NotRequired[Annotated[int | None, Field(description="Among several runs: the fold held out, from 0.")]]
    variant: NotRequired[Annotated[int, Field(description="Among several runs: its place in `variants`.")]]
    parameters: NotRequired[
        Annotated[dict[str, Any], Field(description="Arrays by name: weights_1 (inputs, outputs), biases_1, ...")]
    ]
    predictions: NotRequired[
        Annotated[
            Any,
            Field(
                description="For the validation rows, or the training rows without any; in the targets' own units. An object, by "
                "name, where the loss takes several arrays."
            ),
        ]
    ]
    per_sample: NotRequired[Annotated[list[NumberOrNull], Field(description="The loss of each of these rows: (n,).")]]
    rows: NotRequired[
        Annotated[
            dict[str, list[int] | None],
            Field(
                description="Indices from 0, ascending: `training` of data; `validation` of data, or of the rows that were given "
                "to validate with; null without any."
            ),
        ]
    ]
    feature_importances: NotRequired[
        Annotated[
            list[float],
            Field(description="(d,): the share of the gain of all splits that came by each column; all 0 without a split."),
        ]
    ]
    trained_model: NotRequired[TrainedModel]
    onnx: NotRequired[Annotated[str, Field(description="The model as an ONNX file, in base64.")]]
    learned_loss: NotRequired[
        Annotated[
            dict[str, Any],
            Field(description="The loss with what was learned of it, as requests take it: without the normaliser."),
        ]
    ]
    confusion_matrix: NotRequired[
        Annotated[ConfusionEntry | dict[str, ConfusionEntry], Field(description="By head, where heads decide.")]
    ]
    calibration: NotRequired[
        Annotated[CalibrationEntry | dict[str, CalibrationEntry], Field(description="By head, where heads decide.")]
    ]
    surface: NotRequired[
        Annotated[
            SurfaceEntry | None,
            Field(description="Of the model that is kept; null for more than two columns or for categories."),
        ]
    ]


def set_up(features: tuple[str, ...] | None, run: Run) -> SetUp:
    """What is known before the first epoch."""
    plan, objective = run.plan, run.objective
    entry = SetUp(
        model=_named(plan.model) or {},
        n_parameters=run.model.size if isinstance(run.model, Network) else None,
        loss=_named(plan.loss) or {},
        optimizer=_named(plan.optimizer),
        schedule=_named(plan.schedule),
        seed=plan.seed,
        data=DataEntry(
            training_rows=run.training.n,
            validation_rows=run.validation.n if run.validation else 0,
            inputs=run.training.inputs.shape[1],
            outputs=objective.width,
            features=None if features is None else list(features),
            classes=None if plan.data.classes is None else list(plan.data.classes),
            predictions_encoding=objective.encoding,
            targets_encoding=objective.targets_encoding,
            output_activation=objective.activation.name,
            batch_size=run.batch_size,
            standardized={"inputs": _scale(run.inputs_scale), "targets": _scale(run.targets_scale)},
        ),
    )
    if plan.data.classes_by_name:
        entry["data"]["classes_by_head"] = {head: list(names) for head, names in plan.data.classes_by_name.items()}
    return entry


def entry(epoch: Epoch, shown: SurfaceEntry | None = None) -> EpochEntry:
    answer = EpochEntry(
        epoch=epoch.epoch,
        training_loss=epoch.training_loss,
        validation_loss=epoch.validation_loss,
        metrics=_scores(epoch.metrics),
        learning_rate=epoch.learning_rate,
        gradient_norm=_finite(epoch.gradient_norm),
        seconds=epoch.seconds,
    )
    if epoch.loss_parameters:
        answer["loss_parameters"] = dict(epoch.loss_parameters)
    if shown is not None:
        answer["surface"] = shown
    return answer


def seen_by(surface: Surface, state: State) -> SurfaceEntry:
    """The model of a state, over the range of its inputs."""
    return SurfaceEntry(axes=[axis.tolist() for axis in surface.axes], predictions=surface.predict(state))


def respond(
    features: tuple[str, ...] | None, extras: list[Extra], run: Run, state: State, ends: float, *, every: int = 1
) -> TrainResponse:
    """The whole answer of a run that has ended, or whose time is over; `ends` says when that is (of time.monotonic).

    The history keeps each epoch that `every` divides, beside the first, the best and the last.
    """
    result = finish(run, state)
    best, past = int(state["best"][1]), history(run, state)
    shown = {1, best, len(past), *range(every, len(past) + 1, every)}
    answer = TrainResponse(
        **set_up(features, run),
        history=[entry(epoch) for epoch in past if epoch.epoch in shown],
        best_epoch=best or None,
        stopped=Stopped(epoch=int(state["epoch"]), reason=stopped(run, state) or "time_limit"),
        final=_final(result),
        diagnosis=_diagnosis(run, state, ends + DIAGNOSIS_SECONDS),
    )
    if run.learned is not None:
        answer["learned_loss"] = loss_of(run, result)
    if run.warnings:
        answer["warnings"] = list(run.warnings)
    for extra in extras:
        match extra:
            case "surface":
                looking = surface(run)
                answer["surface"] = looking and seen_by(looking, result.kept)
            case "model":
                answer["trained_model"] = cast(Any, document_of(keep(run, state, result)))
            case "onnx":
                answer["onnx"] = b64encode(onnx_file(keep(run, state, result))).decode()
            case "confusion_matrix":
                answer["confusion_matrix"] = of_each(_decisions(result), _confusion)
            case "calibration":
                answer["calibration"] = of_each(_decisions(result), _calibration)
            case "rows":
                answer["rows"] = {"training": cast(Any, run.trained_on), "validation": cast(Any, run.held_out)}
            case "predictions":
                answer["predictions"] = result.by_head
            case _:
                answer[extra] = getattr(result, extra)
    return answer


def loss_of(run: Run, result: Result) -> dict[str, Any]:
    """The loss as a request has it, with what the model that is kept has learned of it."""
    asked = _named(run.plan.loss) or {}
    return asked if run.learned is None else run.learned.document(asked, result.kept["learned"])


BINS = 10


def _decisions(result: Result) -> Decisions | dict[str, Decisions]:
    assert result.decisions is not None
    return result.decisions


def _confusion(decisions: Decisions) -> ConfusionEntry:
    """By the statistics of /v1/analyze, for which a decision is a probability of 1."""
    sure = np.eye(len(decisions.classes))[decisions.decided]
    found = confusion(_batch(sure, decisions), decisions.classes)
    assert found is not None
    return ConfusionEntry(
        classes=list(decisions.classes),
        matrix=found.matrix,
        precision=list(found.precision),
        recall=list(found.recall),
        f1=list(found.f1),
        support=found.support.tolist(),
    )


def _calibration(decisions: Decisions) -> CalibrationEntry:
    assert decisions.probabilities is not None
    shares = decisions.probabilities
    found = calibration(_batch(shares[:, 1] if shares.shape[1] == 2 else shares, decisions), BINS)
    assert found is not None
    bins = [CalibrationBin(n=part.n, mean_predicted=part.mean_prediction, share_observed=part.observed) for part in found.bins]
    return CalibrationEntry(bins=bins, expected_calibration_error=found.ece)


def _batch(predictions: Array, decisions: Decisions) -> Batch:
    """Probabilities of classes as the samples of a loss that takes such."""
    loss = LOSSES["binary_cross_entropy" if predictions.ndim == 1 else "categorical_cross_entropy"]
    return check(loss, {}, predictions, decisions.true.astype(np.float64), sample_weight=decisions.weights)


def _diagnosis(run: Run, state: State, ends: float) -> list[FindingEntry]:
    try:
        (findings,) = until(ends, (diagnose(run, state) for _ in range(1)))
    except TimeUp:
        return []
    return [
        FindingEntry(verdict=finding.verdict, summary=finding.summary, evidence=dict(finding.evidence), advice=finding.advice)
        for finding in findings
    ]


def _final(result: Result) -> Final:
    return Final(
        epoch=result.epoch,
        training_loss=_finite(result.training_loss),
        validation_loss=_finite(result.validation_loss),
        metrics=_scores(result.metrics),
    )


def _scores(metrics: Mapping[str, tuple[float, float | None]]) -> dict[str, Scores]:
    return {name: Scores(training=_finite(pair[0]), validation=_finite(pair[1])) for name, pair in metrics.items()}


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _named(chosen: Chosen | None) -> dict[str, Any] | None:
    return None if chosen is None else {"name": chosen.thing.name, **chosen.all}


def _scale(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else {"mean": scale.mean, "deviation": scale.deviation}
