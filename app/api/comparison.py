"""POST /v1/compare: several models on the same targets, by several losses."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Self, TypeAlias, cast

import numpy as np
from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from typing_extensions import TypedDict

from app.api.analysis_answer import Ends, IntervalAnswer
from app.api.evaluate import COLUMNS as EVALUATED
from app.api.evaluate import ClassesInOrder, Mask, NonFiniteNumber, NumberOrNull, SampleWeight, TableData, Targets, WhatIsMissing
from app.api.files import JUDGED, Layout
from app.api.insight_examples import COMPARISONS
from app.api.labels import Clusters
from app.api.plain import Plain
from app.api.specs import BoundSpec, EitherLoss, list_of
from app.api.tables import check_columns
from app.api.tables_document import COMPARISON
from app.api.words import OneOrMore, Part
from app.errors import CallerError, Fault, InvalidArray, Path
from app.insight import Asked, Labels, charts
from app.insight import compare as compare_models
from app.insight.analysis import LOADING, resampling_cost
from app.insight.comparison import cost_of
from app.losses import NAMED
from app.losses.batch import AnyBatch
from app.losses.sums import batch_of
from app.serving.call import Call
from app.serving.usage import Usage
from app.wire import faults

MOST = 50
"""Models, and losses, of a request."""

if TYPE_CHECKING:
    Losses: TypeAlias = list[BoundSpec]
else:
    Losses = list_of(EitherLoss, NAMED, "losses")


def _models(value: object) -> dict[str, Any]:
    """Predictions by the name of their model."""
    if not isinstance(value, Mapping):
        raise InvalidArray([Fault(("models",), "not_an_object", "models must be an object of predictions by the model's name")])
    given = cast(Mapping[str, object], value)
    if not 1 <= len(given) <= MOST:
        raise InvalidArray([Fault(("models",), "length", f"models must name 1 to {MOST} models, not {len(given)}")])
    found: dict[str, Any] = {}
    wrong: list[Fault] = []
    for name, predictions in given.items():
        try:
            found[name] = faults.tensors(predictions, ("models", name), gaps=True)
        except CallerError as error:
            wrong += error.faults
    if wrong:
        raise InvalidArray(wrong)
    return found


class ComparisonRequest(Part):
    """Predictions of several models for the same targets, and the losses to compare them by."""

    model_config = ConfigDict(extra="forbid", strict=True)

    models: Annotated[
        Any,
        PlainValidator(_models),
        WithJsonSchema({"type": "object", "additionalProperties": {}, "minProperties": 1, "maxProperties": MOST}),
        Field(
            description="The predictions of each model by its name, as evaluate takes them.",
            examples=[{"old": [2.5, 0.0, 8.0], "new": [2.9, -0.4, 4.0]}],
        ),
    ]
    targets: Targets = None
    losses: Annotated[
        Losses,
        Field(description="The losses to compare by, as names or objects.", min_length=1, max_length=MOST),
        OneOrMore,
    ]
    sample_weight: SampleWeight = None
    mask: Mask = None
    data: TableData = None
    classes: ClassesInOrder = None
    missing: WhatIsMissing = "refuse"
    clusters: Annotated[
        Clusters,
        Field(
            description="One label per sample (n,), or a column: samples with the same one depend on each other.",
            examples=[[1, 1, 2, 2]],
        ),
    ] = None
    confidence: Annotated[float, Field(description="How often an interval shall hold the true value.", gt=0, lt=1)] = 0.95
    resamples: Annotated[int, Field(description="Resamples of the bootstrap; 0 for none.", ge=0, le=100_000)] = 2000
    seed: Annotated[int, Field(description="The same request with the same seed gets the same answer.", ge=0, lt=2**63)] = 0
    permutations: Annotated[int, Field(description="Sign flips of the permutation test; 0 for none.", ge=0, le=100_000)] = 9999

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_lengths(self.models, self.targets)
        first = next(iter(self.models.values()))
        losses = vars(self)["losses"] = [spec.beside(first, self.targets) for spec in self.losses]
        vars(self)["batches"] = [self._batches(index, spec) for index, spec in enumerate(losses)]
        return self

    @property
    def batches(self) -> list[dict[str, AnyBatch]]:
        """For each loss the models' arrays, checked."""
        return vars(self)["batches"]

    @property
    def cost(self) -> float:
        """Steps that the comparison takes."""
        steps = LOADING
        for batches in self.batches:
            first = next(iter(batches.values()))
            steps += len(batches) * (first.cost + resampling_cost(first, self.resamples))
            steps += cost_of(first, len(batches), self.permutations)
        return steps

    @property
    def usage(self) -> Usage:
        """What is counted of it."""
        evaluated = [batch for batches in self.batches for batch in batches.values()]
        loss = evaluated[0].loss.name if len(self.batches) == 1 else ""
        return Usage(loss, sum(batch.n_samples for batch in evaluated), self.cost)

    def _batches(self, index: int, spec: BoundSpec) -> dict[str, AnyBatch]:
        """The models' batches by one loss, in which the same samples count."""
        made = self._made(index, spec, self.mask)
        if self.missing == "drop" and any(batch.n_missing for batch in made.values()):
            counted = [batch.counted for batch in made.values()]
            if any((other != counted[0]).any() for other in counted):
                common = np.logical_and.reduce(counted)
                if not common.any():
                    message = "no sample is left for which every model has a prediction"
                    raise InvalidArray([Fault(("missing",), "no_samples", message)])
                return self._made(index, spec, common)
        return made

    def _made(self, index: int, spec: BoundSpec, mask: Any) -> dict[str, AnyBatch]:
        made: dict[str, AnyBatch] = {}
        wrong: list[Fault] = []
        for name, predictions in self.models.items():
            try:
                made[name] = batch_of(
                    spec.bound,
                    predictions,
                    self.targets,
                    sample_weight=self.sample_weight,
                    mask=mask,
                    classes=self.classes,
                    missing=self.missing,
                )
            except CallerError as error:
                if not error.faults:
                    raise
                wrong += [_placed(fault, index, name) for fault in error.faults]
        if wrong:
            raise InvalidArray([*dict.fromkeys(wrong)])
        return made


def _placed(fault: Fault, index: int, name: str) -> Fault:
    """What is wrong with the predictions of a model, where this request has them."""
    model: Path = ("models", name)
    message = re.sub(r"\bpredictions\b", lambda _: f"models.{name[:80]}", fault.message)
    if fault.path[:1] == ("predictions",):
        return Fault((*model, *fault.path[1:]), fault.code, message)
    if fault.path[:1] == ("parameters",):
        return Fault(("losses", index, *fault.path[1:]), fault.code, fault.message)
    if fault.code == "shape_mismatch" and fault.path[:1] == ("targets",):
        return Fault(model, fault.code, message)
    return fault


def _check_lengths(models: Mapping[str, Any], targets: Any) -> None:
    """All models have a prediction for each target; without targets, as many as the first of them."""
    wanted = _length(targets) if targets is not None else _length(next(iter(models.values())))
    whose = "targets" if targets is not None else f"models.{next(iter(models))[:80]}"
    wrong = [
        Fault(("models", name), "shape_mismatch", f"models.{name[:80]} has {found} samples where {whose} has {wanted}")
        for name, predictions in models.items()
        if (found := _length(predictions)) != wanted and found is not None and wanted is not None
    ]
    if wrong:
        raise InvalidArray(wrong)


def _length(arrays: Any) -> int | None:
    if isinstance(arrays, dict):
        members: Iterable[Any] = cast(dict[str, Any], arrays).values()
        return next(map(_length, members), None)
    return len(arrays) if hasattr(arrays, "__len__") else None


class RowAnswer(TypedDict):
    """A model by one loss."""

    model: str
    value: NumberOrNull
    standard_error: NumberOrNull
    interval: IntervalAnswer
    rank: Annotated[int, Field(description="1 has the lowest loss; equal ones share the lower rank.")]


class DifferenceAnswer(TypedDict):
    """A sample, and by how much two models differ on it."""

    index: int
    difference: NumberOrNull


class PairAnswer(TypedDict):
    """Two models, sample by sample."""

    models: Annotated[list[str], Field(description="a and b, in the order of the request.")]
    difference: Annotated[NumberOrNull, Field(description="a − b: below 0, a is better.")]
    standard_error: NumberOrNull
    interval: Annotated[
        Ends, Field(description="Of the difference, by the paired t test; where there is none, by the bootstrap.")
    ]
    p_value: Annotated[NumberOrNull, Field(description="Paired t test; null for differences without variance.")]
    p_permutation: Annotated[
        NumberOrNull, Field(description="Sign flips of the differences: exact where there are few samples, else of random ones.")
    ]
    p_adjusted: Annotated[NumberOrNull, Field(description="p_value for the number of pairs (Holm 1979).")]
    won: Annotated[list[float], Field(description="The share of samples on which a, and on which b, has the lower loss.")]
    tied: float
    note: Annotated[str | None, Field(description="Why there are no p-values, where there are none.")]
    largest: Annotated[list[DifferenceAnswer], Field(description="The ten samples on which they differ most.")]


class LossAnswer(TypedDict):
    """All models by one loss."""

    loss: Annotated[dict[str, Any], Field(description="The loss with every parameter, defaults included.")]
    table: Annotated[list[RowAnswer], Field(description="In the order of the models.")]
    pairs: Annotated[list[PairAnswer], Field(description="Each two models.")]
    best: Annotated[
        str | None, Field(description="The model of the lowest loss, where it is so beyond chance against each other one.")
    ]
    conclusion: Annotated[str, Field(description="What may be concluded, in a sentence.")]


class ComparisonResponse(TypedDict):
    """The models by each loss, in the order in which these were asked for."""

    n_samples: Annotated[int, Field(description="Samples that count: not masked, not ignored.")]
    losses: list[LossAnswer]
    non_finite: NotRequired[Annotated[list[NonFiniteNumber], Field(description="The nulls that stand for no finite number.")]]
    warnings: NotRequired[Annotated[list[str], Field(description="What was taken at its word, but is probably not meant.")]]


def compare(request: ComparisonRequest) -> ComparisonResponse:
    """Which of several models is better, by how much, and whether that is more than chance.

    For each loss a table of the models with error bars, and every pair of them compared sample by sample: the difference with
    its interval, p-values by the paired t test and by sign flips, and how often each wins. One model and several losses is one
    table after the other.
    """
    asked = Asked(request.confidence, request.resamples, request.seed)
    plain = Plain()
    losses = [
        {
            "loss": spec.document,
            **compare_models(batches, cast(Labels | None, request.clusters), asked, request.permutations)._asdict(),
        }
        for spec, batches in zip(request.losses, request.batches, strict=True)
    ]
    first = next(iter(request.batches[0].values()))
    answer: dict[str, Any] = {"n_samples": first.n_samples, "losses": plain(losses, "losses")}
    if plain.non_finite:
        answer["non_finite"] = plain.non_finite
    warnings = [f"{name}: {text}" for batches in request.batches for name, batch in batches.items() for text in batch.warnings]
    if warnings:
        answer["warnings"] = [*dict.fromkeys(warnings)]
    return cast(ComparisonResponse, answer)


COLUMNS = Layout(
    ("models", *(side for side in EVALUATED.sides if side != "predictions"), "clusters"), text=("clusters",), single=("models",)
)
"""What may be columns of a table."""

COMPARE_MODELS = Call(
    method="POST",
    path="/v1/compare",
    function=compare,
    summary="Compare models",
    tag="evaluate",
    scope="evaluate",
    lane="large",
    wires=JUDGED,
    check=check_columns(ComparisonRequest, COLUMNS),
    picture=charts.compare,
    statuses=(400, 413, 415, 422, 503),
    examples=COMPARISONS,
    document=COMPARISON,
)
