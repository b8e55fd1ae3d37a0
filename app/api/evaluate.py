"""POST /v1/evaluate: one loss on one batch."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Self, TypeAlias, cast

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from app.api.files import Layout
from app.api.specs import Listed, LossSpec
from app.api.words import TARGETS, AnyReduction, OneOrMore, Part, or_default
from app.errors import CallerError, Fault, InvalidInput, Path
from app.losses.batch import AnyBatch, Batches, Missing
from app.losses.evaluate import Evaluation, Reduction
from app.losses.form import Sum
from app.losses.inputs import Place
from app.losses.outputs import OUTPUTS, WORDS, NonFiniteAs, Output, in_words
from app.losses.penalty import penalty
from app.losses.sums import batch_of
from app.losses.sums import evaluate as evaluate_batch
from app.serving.usage import Usage, usage_of
from app.wire import faults

UNTYPED: dict[str, Any] = {}
"""The schema of arrays of any depth. Types generated from unions within arrays cannot be filled in, or not be read back."""

NumberOrNull: TypeAlias = Annotated[float | None, WithJsonSchema({"type": ["number", "null"]})]
"""A number of an answer; null where it is infinite, undefined or not there."""


FIELDS: Mapping[Path, Path] = {("parameters",): ("loss",)}
"""Where the request has what the core calls otherwise."""


def _tensors(value: Any, info: ValidationInfo) -> Any:
    if value is None or type(value) is np.ndarray:  # which most are: to build the path takes longer
        return value
    return faults.tensors(value, (str(info.field_name),), gaps=True)


def _numbers(value: object, info: ValidationInfo) -> Any:
    read = partial(faults.numbers, gaps=True)
    return None if value is None else faults.by_name(read, value, (str(info.field_name),))


def _flags(value: object, info: ValidationInfo) -> Any:
    return None if value is None else faults.by_name(faults.flags, value, (str(info.field_name),))


def _or_usual(value: object, validate: ValidatorFunctionWrapHandler) -> Any:
    """Nothing, where null stands for what is not said: what is usual depends on the loss."""
    return [] if value is None else validate(value)


Names = list[Annotated[str, Field(max_length=1000)]]
"""Class names, of a length at which they still fit into a line."""


def _is_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("class_number", "Input should be a number, as the first of the classes is")
    return value


def _kind_of_classes(value: object) -> str:
    first = cast(list[object], value)[0] if isinstance(value, list) and value else None
    return "numbers" if isinstance(first, int | float) and not isinstance(first, bool) else "names"


ClassLabels = Annotated[
    Annotated[Names, Tag("names")] | Annotated[list[Annotated[Any, PlainValidator(_is_number)]], Tag("numbers")],
    Discriminator(_kind_of_classes),
    WithJsonSchema({"type": "array", "items": {}, "minItems": 2}),
]
MOST_OUTPUTS = 20
Arrays = Annotated[Any, BeforeValidator(_tensors), WithJsonSchema(UNTYPED)]
Weights = Annotated[Any, BeforeValidator(_numbers), WithJsonSchema(UNTYPED)]
Flags = Annotated[Any, BeforeValidator(_flags), WithJsonSchema(UNTYPED)]
if TYPE_CHECKING:
    OutputName: TypeAlias = str
else:
    OutputName = Literal[tuple(OUTPUTS)]


LARGEST_WEIGHT = 1e100
"""Beyond, the square of a weight may be infinite."""


def _weights(value: object) -> Any:
    path = ("regularization", "weights")
    if not isinstance(value, Mapping) or not value:
        raise InvalidInput([Fault(path, "type", "regularization.weights must be an object of arrays, with one at least")])
    arrays = {name: faults.numbers(item, (*path, name)) for name, item in cast(Mapping[str, object], value).items()}
    for name, array in arrays.items():
        bad = ~(np.abs(array) <= LARGEST_WEIGHT)
        if bad.any():
            Place((*path, name)).refuse_numbers(bad, array, f"at most {LARGEST_WEIGHT:.0e} in size")
    return arrays


class WeightPenalty(Part):
    """What the weights of a model cost beside its loss: l1 · Σ|w| + l2 · Σw²."""

    l1: Annotated[float, Field(description="Times Σ|w|.", ge=0, le=1e6)] = 0.0
    l2: Annotated[float, Field(description="Times Σw².", ge=0, le=1e6)] = 0.0
    weights: Annotated[
        Any,
        BeforeValidator(_weights),
        WithJsonSchema({"type": "object", "additionalProperties": {}}),
        Field(description="Arrays of any shape, by name.", examples=[{"w": [[0.5, -1.0], [0.0, 2.0]]}]),
    ]


Targets: TypeAlias = Annotated[
    Arrays,
    Field(
        description="What is true: numbers, labels in any encoding the loss accepts, or class names with `classes`. "
        "`labels` is the same.",
        examples=[[3.0, -0.5, 2.0], [0], ["cat"]],
        validation_alias=TARGETS,
    ),
]
SampleWeight: TypeAlias = Annotated[
    Weights,
    Field(
        description="One weight per sample (n,) or per element, at least 0. A weight of 0 drops what it weighs, unseen.",
        examples=[[1, 1, 2], [[1, 0], [0.5, 2]]],
    ),
]
Mask: TypeAlias = Annotated[
    Flags,
    Field(
        description="One flag per sample (n,) or per element; what has false is left out unseen.",
        examples=[[True, True, False], [[True, False], [True, True]]],
    ),
]
TableData: TypeAlias = Annotated[
    Any,
    Field(
        description="A table, whose columns are named where arrays stand otherwise: a name for one column, a list of names for "
        'several side by side. Any of five forms, the same numbers in each: columns and rows, as pandas\' orient "split" has '
        "them; row objects; an object of columns, each a list; or each an object by row; or row objects beside their schema, as "
        'orient "table" has them. null is a missing number. Columns without a role are ignored.',
        examples=[
            {"columns": ["score", "label"], "data": [[0.9, 1], [0.2, 0]]},
            [{"score": 0.9, "label": 1}, {"score": 0.2, "label": 0}],
            {"score": [0.9, 0.2], "label": [1, 0]},
            {"score": {"0": 0.9, "1": 0.2}, "label": {"0": 1, "1": 0}},
            {"schema": {}, "data": [{"score": 0.9, "label": 1}, {"score": 0.2, "label": 0}]},
        ],
    ),
    WithJsonSchema(UNTYPED),
]
ClassesInOrder: TypeAlias = Annotated[
    ClassLabels | None,
    Field(
        description="The classes in the order of their indices, where targets are their names, or numbers but no indices.",
        min_length=2,
        examples=[["cat", "dog"], [1, 2, 3]],
    ),
    Listed,
]
WhatIsMissing: TypeAlias = Annotated[
    Missing,
    Field(
        description="What to do with elements of which a number is null or NaN, where neither mask nor a weight of 0 drops "
        "them: refuse the request, or leave them out and say how many in `n_missing`."
    ),
    or_default("refuse"),
]
"""What losses are evaluated on beside predictions: fields that several requests have."""


NOT_A_SUM = "this takes one loss, and a {} is several: send them one by one, or as one expression"


class BatchRequest(BaseModel):
    """A loss, and the arrays to evaluate it on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    loss: Annotated[
        LossSpec,
        Field(description="The loss and its parameters. A bare name, or an alias, stands for the object with that name."),
    ]
    predictions: Annotated[
        Arrays,
        Field(
            description="What the model says: (n, *d) or (n, *d, k), or an object of named arrays, as the loss declares.",
            examples=[[2.5, 0.0, 8.0], [[0.7, 0.2, 0.1]], {"mean": [0.5], "variance": [2.0]}],
        ),
    ]
    targets: Targets = None
    sample_weight: SampleWeight = None
    mask: Mask = None
    data: TableData = None
    classes: ClassesInOrder = None
    missing: WhatIsMissing = "refuse"

    @model_validator(mode="after")
    def _check(self) -> Self:
        # no private attribute: Pydantic takes as long to set one up as to validate all the fields
        loss = vars(self)["loss"] = self.loss.beside(self.predictions, self.targets)
        try:
            vars(self)["batch"] = batch_of(
                loss.bound,
                self.predictions,
                self.targets,
                sample_weight=self.sample_weight,
                mask=self.mask,
                classes=self.classes,
                missing=self.missing,
            )
        except CallerError as error:
            raise error.moved(FIELDS) from None
        return self

    @property
    def batch(self) -> AnyBatch:
        """The arrays, checked."""
        return vars(self)["batch"]

    @property
    def cost(self) -> float:
        """Steps that the evaluation takes."""
        return self.batch.cost

    @property
    def usage(self) -> Usage:
        """What is counted of it."""
        return usage_of(self.batch, self.cost)


class EvaluateRequest(BatchRequest):
    """A loss, the arrays to evaluate it on, and what to answer."""

    reduction: Annotated[
        Reduction,
        Field(
            description="Over all elements: mean is Σwl/Σw, sum Σwl, mean_over_samples Σwl over their number; "
            "none: no value, each sample's own gradient."
        ),
        AnyReduction,
    ] = "mean"
    outputs: Annotated[
        list[OutputName],
        Field(
            description="What to answer; if nothing is said: value, per_sample, gradient, and what a composed loss has beside. "
            "A loss's entry in the catalogue names those that it has.",
            min_length=1,
            max_length=MOST_OUTPUTS,
            default_factory=list,
        ),
        Listed,
        OneOrMore,
        WrapValidator(_or_usual),
    ]
    regularization: Annotated[
        WeightPenalty | None,
        Field(description="A penalty on a model's weights: answered beside the loss, and added to it in `objective`."),
    ] = None
    non_finite_as: Annotated[
        NonFiniteAs,
        Field(
            description="How numbers of the answer that are infinite or undefined are written: as null, or as the strings "
            '"Infinity", "-Infinity" and "NaN", which readers of typed languages take for numbers. They are in `non_finite` too.'
        ),
        or_default("null"),
    ] = "null"


def _named_in(outputs: Iterable[Output]) -> Iterator[str]:
    """The names of outputs as numbers in them are named by."""
    for output in outputs:
        yield from (output.name,) if output.axes is not None else (output.name, f"{output.name}.<name>")


class NonFiniteNumber(TypedDict):
    """A number of the answer that JSON cannot hold."""

    output: Annotated[str, Field(description=f"Which output: {', '.join(_named_in(OUTPUTS.values()))}.")]
    index: Annotated[list[int], Field(description="Where in it.")]
    value: Annotated[Literal["Infinity", "-Infinity", "NaN"], Field(description="What it is.")]


class Counted(TypedDict):
    """What was evaluated, and how much of it."""

    loss: Annotated[dict[str, Any], Field(description="The loss with every parameter, defaults included.")]
    reduction: Reduction
    n_samples: Annotated[int, Field(description="Samples that count: not masked, not ignored.")]
    n_elements: NotRequired[Annotated[int, Field(description="Elements that count, where a sample has several.")]]
    n_missing: NotRequired[Annotated[int, Field(description="Elements that were left out because a number of them is missing.")]]
    divisor: Annotated[NumberOrNull, Field(description="What Σwl was divided by; null where nothing was.")]


class PenaltyEntry(TypedDict):
    """What the weights cost."""

    value: Annotated[float, Field(description="l1 · Σ|w| + l2 · Σw².")]
    gradient: Annotated[dict[str, Any], Field(description="Its derivative to each weight, by name and in their shape.")]


class Penalties(TypedDict, total=False):
    """What is added to the loss, where it was asked for."""

    regularization: PenaltyEntry
    objective: Annotated[NumberOrNull, Field(description="value and penalty together; null where value is or is not asked for.")]


class Remarks(TypedDict, total=False):
    """What should be known about the outputs."""

    targets_encoding: Annotated[
        str | dict[str, str], Field(description="What the targets were taken for.", examples=["real", "class_index"])
    ]
    non_finite: Annotated[
        list[NonFiniteNumber], Field(description="The nulls of this answer, each with what it is (at most 100).")
    ]
    warnings: Annotated[list[str], Field(description="What was taken at its word, but is probably not meant.")]


class TermEntry(TypedDict):
    """A loss that is part of another."""

    head: NotRequired[Annotated[str, Field(description="What it is the loss of, in a multi_task.")]]
    loss: Annotated[dict[str, Any], Field(description="The loss with every parameter.")]
    weight: Annotated[float, Field(description="What its loss was multiplied by.")]
    value: Annotated[NumberOrNull, Field(description="The reduced loss, before its weight; null with reduction none.")]
    log_variance_gradient: NotRequired[
        Annotated[NumberOrNull, Field(description="d(value)/d(log_variance), where the weight follows from one.")]
    ]


class MinimumEntry(TypedDict):
    """The smallest value that was found; of several, the one nearest to residual 0."""

    residual: float
    value: float


class FoundEntry(TypedDict):
    """What was found at so many residuals from -1,000,000 to 1,000,000, with target 0: no proof. null: it cannot be told."""

    points: Annotated[int, Field(description="Residuals at which loss and slope are finite.")]
    convex: bool | None
    symmetric: bool | None
    minimum: Annotated[MinimumEntry | None, Field(description="null where the loss still falls at the last of them.")]
    lipschitz: Annotated[NumberOrNull, Field(description="The largest slope; null where it grows on or is not finite.")]


class ExpressionEntry(TypedDict):
    """What is known of an expression."""

    derivative: Annotated[
        str | None, Field(description="d(loss)/d(prediction), again as an expression; null where it is too long for one.")
    ]
    derivative_mathml: Annotated[str | None, Field(description="The same as MathML.")]
    not_differentiable: Annotated[list[str], Field(description="Where loss or slope jumps, with target 0.", examples=[["r = 0"]])]
    found: FoundEntry


def _field(output: Output) -> Any:
    """An output as a field of the answer: what stands on the wire for a number, one for each sample, or anything deeper."""
    kinds: dict[str | None, Any] = {"": NumberOrNull, "n": list[NumberOrNull], "t": list[TermEntry], WORDS: ExpressionEntry}
    kind = kinds.get(output.axes, Annotated[Any, WithJsonSchema(UNTYPED)])
    return NotRequired[Annotated[kind, Field(description=output.description, examples=list(output.examples) or None)]]


if TYPE_CHECKING:
    EvaluateResponse: TypeAlias = dict[str, Any]
else:
    _OUTPUTS = {output.name: _field(output) for output in OUTPUTS.values()}
    _REMARKS = {name: NotRequired[field] for part in (Penalties, Remarks) for name, field in part.__annotations__.items()}
    EvaluateResponse = TypedDict("EvaluateResponse", {**Counted.__annotations__, **_OUTPUTS, **_REMARKS})
    EvaluateResponse.__doc__ = "The loss of a batch. Only the outputs asked for are there."


def evaluate(request: EvaluateRequest) -> EvaluateResponse:
    """The loss of a batch: its value, each sample's loss, and the exact gradient of the value.

    Shapes are never broadcast and encodings never guessed: whatever does not fit is refused with the place and the rule.
    """
    try:
        evaluation = evaluate_batch(request.batch, reduction=request.reduction, outputs=request.outputs)
    except CallerError as error:
        raise error.moved(FIELDS) from None
    answer = respond(request.loss.document, evaluation, request.non_finite_as)
    if (asked := request.regularization) is not None:
        found, value = penalty(asked.weights, asked.l1, asked.l2), evaluation.outputs.get("value")
        answer["regularization"] = PenaltyEntry(value=found.value, gradient=cast(dict[str, Any], found.gradient))
        answer["objective"] = value + found.value if isinstance(value, float) else None
    return answer


def respond(loss: dict[str, Any], evaluation: Evaluation, non_finite_as: NonFiniteAs = "null") -> EvaluateResponse:
    """An evaluation as the answer's JSON values."""
    batch, reduction, divisor, outputs, non_finite, warnings = evaluation
    answer: EvaluateResponse = {"loss": loss, "reduction": reduction, "n_samples": batch.n_samples}
    if len(batch.elements) > 1:
        answer["n_elements"] = batch.n_elements
    if batch.n_missing is not None:
        answer["n_missing"] = batch.n_missing
    answer["divisor"] = divisor
    answer.update(outputs)
    if non_finite and non_finite_as == "string":
        answer.update({name: in_words(output) for name, output in outputs.items()})
    if isinstance(told := outputs.get("expression"), tuple):
        answer["expression"] = cast(Any, told)._asdict()
    if isinstance(batch, Batches) and "terms" in outputs:
        answer["terms"] = _terms(batch.loss, loss, answer["terms"])
    if found := encodings_of(batch):
        answer["targets_encoding"] = found
    if non_finite:
        answer["non_finite"] = [
            NonFiniteNumber(output=number.output, index=[*number.index], value=number.value) for number in non_finite
        ]
    if warnings:
        answer["warnings"] = list(warnings)
    return answer


def _terms(loss: Sum, document: dict[str, Any], values: Sequence[Any] | None) -> list[TermEntry]:
    """What the parts of a sum are, and what each of them gives."""
    entries: list[TermEntry] = []
    for part, value in zip(loss.parts, values if values is not None else [None] * len(loss.parts), strict=True):
        shown = document["heads" if loss.by_head else "terms"][part.key]["loss"]
        entry = TermEntry(loss=shown, weight=part.weight, value=value)
        if loss.by_head:
            entry["head"] = str(part.key)
        if part.log_variance is not None:
            known = isinstance(value, float) and math.isfinite(value)
            entry["log_variance_gradient"] = 0.5 - part.weight * value if known else None
        entries.append(entry)
    return entries


def encodings_of(batch: AnyBatch) -> str | dict[str, Any]:
    """What the targets were taken for: of several arrays by name, empty where there are none."""
    return batch.targets_encoding


COLUMNS = Layout(("predictions", "targets", "labels", "sample_weight", "mask"))
"""What may be columns of a table."""
