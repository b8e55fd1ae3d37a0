"""POST /v1/check-gradient: somebody's own value, losses and derivatives against the reference."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Self, TypeAlias, cast, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator
from typing_extensions import TypedDict

from app.api.evaluate import COLUMNS as EVALUATED
from app.api.evaluate import (
    UNTYPED,
    Arrays,
    ClassesInOrder,
    Mask,
    NonFiniteNumber,
    NumberOrNull,
    SampleWeight,
    TableData,
    Targets,
    WhatIsMissing,
    encodings_of,
)
from app.api.files import JUDGED, Layout
from app.api.insight_examples import CHECKS
from app.api.plain import Plain
from app.api.specs import BoundSpec, EitherLoss, expanded
from app.api.tables import check_columns
from app.api.tables_document import CHECK
from app.api.words import AnyReduction, Part
from app.errors import CallerError, Fault, InvalidInput, Path
from app.insight.agreement import Tolerance
from app.insight.checking import CHECKED, Check, Compared, Pattern, cost_of
from app.insight.checking import check_gradient as check_against
from app.insight.conventions import CONVENTIONS, Given, Guess
from app.losses import NAMED
from app.losses.batch import AnyBatch
from app.losses.evaluate import Reduction
from app.serving.call import Call
from app.serving.usage import Usage, usage_of
from app.wire import faults
from app.wire.exact import WORDS

FIELDS: Mapping[Path, Path] = {("parameters",): ("reference",)}
"""Where the request has what the core calls otherwise."""
if TYPE_CHECKING:
    Reference: TypeAlias = BoundSpec
    ConventionName: TypeAlias = str
else:
    Reference = expanded(EitherLoss, NAMED, field="reference")
    ConventionName = Literal[(*(convention.name for convention in CONVENTIONS), "unweighted", "clip", "other_loss")]


def _yours(value: object, info: ValidationInfo) -> Any:
    """Numbers as evaluate answers them, null and words for what is none; by name where predictions have names."""
    path = (str(info.field_name),)
    if value is None:
        return None
    if isinstance(value, Mapping):
        given = cast(Mapping[str, object], value)
        return {name: faults.numbers(array, (*path, name), gaps=True) for name, array in given.items()}
    return faults.numbers(value, path, gaps=True)


def _number(value: object) -> object:
    return WORDS[value] if isinstance(value, str) and value in WORDS else value


Yours = Annotated[Any, BeforeValidator(_yours), WithJsonSchema(UNTYPED)]


class CheckRequest(Part):
    """A loss, the arrays to evaluate it on, and what your own code makes of them."""

    reference: Annotated[Reference, Field(description="The loss that yours should be, as a name or an object.")]
    predictions: Annotated[
        Arrays,
        Field(description="What yours was computed on, as evaluate takes it.", examples=[[1.0, 2.0, 4.0]]),
    ]
    targets: Targets = None
    sample_weight: SampleWeight = None
    mask: Mask = None
    data: TableData = None
    classes: ClassesInOrder = None
    missing: WhatIsMissing = "refuse"
    reduction: Annotated[Reduction, Field(description="How yours becomes one number, as evaluate has it."), AnyReduction] = "mean"
    value: Annotated[
        Annotated[float, Field(allow_inf_nan=True)] | None,
        BeforeValidator(_number),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}, {"type": "null"}]}),
        Field(
            description='Your value. "NaN" and "Infinity" are taken, and null where nothing else of yours is given.',
            examples=[7.0],
        ),
    ] = None
    per_sample: Annotated[
        Yours,
        Field(description="Your losses of the samples (n,). What is no number is null or a word.", examples=[[1.0, 4.0, 9.0]]),
    ] = None
    gradient: Annotated[
        Yours,
        Field(
            description="Your derivative of the value, shaped and named as the predictions are.",
            examples=[[0.5, 1.0, 2.0], {"mean": [0.1], "variance": [0.2]}],
        ),
    ] = None
    hessian_diagonal: Annotated[
        Yours,
        Field(
            description="Your second derivative of the value to each number by itself, shaped as the predictions.",
            examples=[[1.0]],
        ),
    ] = None
    rtol: Annotated[float, Field(description="How much may differ, as a share of the reference.", ge=0)] = 1e-6
    atol: Annotated[float, Field(description="How much may differ besides, whatever the reference is.", ge=0)] = 1e-9

    @model_validator(mode="after")
    def _check(self) -> Self:
        loss = vars(self)["reference"] = self.reference.beside(self.predictions, self.targets)
        vars(self)["given"] = given = Given(
            cast(Any, loss.bound),
            self.predictions,
            self.targets,
            self.sample_weight,
            self.mask,
            cast(Any, self.classes),
            self.missing,
        )
        try:
            vars(self)["batch"] = given.batch()
        except CallerError as error:
            raise error.moved(FIELDS) from None
        if not self.yours:
            message = f"there is nothing of yours to check: send one or more of {', '.join(CHECKED)}"
            raise InvalidInput([Fault((), "missing", message)])
        return self

    @property
    def given(self) -> Given:
        """The loss and its arrays."""
        return vars(self)["given"]

    @property
    def yours(self) -> dict[str, Any]:
        """What is to be checked, by the name of the output; a null that stands alone is a value that is no number."""
        found = {name: vars(self)[name] for name in CHECKED if vars(self)[name] is not None}
        return found or ({"value": WORDS[None]} if "value" in self.model_fields_set else {})

    @property
    def cost(self) -> float:
        """Steps that the check takes."""
        batch: AnyBatch = vars(self)["batch"]
        return cost_of(batch)

    @property
    def usage(self) -> Usage:
        """What is counted of it."""
        batch: AnyBatch = vars(self)["batch"]
        return usage_of(batch, self.cost)


class DisagreementAnswer(TypedDict):
    """A number that is another one."""

    index: Annotated[
        int | list[int],
        Field(description="Where it is: of an array with several axes a place along each, of the value an empty list."),
        WithJsonSchema(UNTYPED),
    ]
    yours: NumberOrNull
    reference: NumberOrNull
    relative_error: Annotated[NumberOrNull, Field(description="|yours − reference|/|reference|; null where that is no number.")]
    ulp: Annotated[
        int | None,
        Field(description="How many numbers of 64 bits lie from one to the other."),
        WithJsonSchema({"type": ["integer", "null"]}),
    ]


class OutputCheck(TypedDict):
    """An output of yours beside the reference."""

    agrees: Annotated[bool, Field(description="Whether all are within |yours − reference| ≤ atol + rtol·|reference|.")]
    n: Annotated[int, Field(description="Numbers that were compared.")]
    n_disagree: int
    max_relative_error: Annotated[NumberOrNull, Field(description="The largest, of those whose reference is not 0.")]
    max_ulp: Annotated[
        int | None,
        Field(description="The most numbers of 64 bits between two of them."),
        WithJsonSchema({"type": ["integer", "null"]}),
    ]
    pattern: Annotated[
        Pattern | None,
        Field(
            description="Where it disagrees, and only there: at kinks, for one class, where the weight is not 1, where a mask "
            "drops, at saturated probabilities (within 1e-6 of 0 or 1); everywhere; or scattered."
        ),
        WithJsonSchema({"type": ["string", "null"], "enum": [*get_args(Pattern), None]}),
    ]
    first: Annotated[list[DisagreementAnswer], Field(description="The first ten that disagree, by their place.")]


_OfClass = TypedDict(
    "_OfClass",
    {
        "class": NotRequired[
            Annotated[
                Any, Field(description="The class that alone disagrees, with the pattern one_class."), WithJsonSchema(UNTYPED)
            ]
        ]
    },
)


class OutputCheckOfClass(OutputCheck, _OfClass):
    """An output of yours beside the reference."""


class GuessAnswer(TypedDict):
    """A convention by which yours differs."""

    convention: ConventionName
    factor: NotRequired[Annotated[float, Field(description="What yours is of the reference, or of the loss that is named.")]]
    loss: NotRequired[Annotated[dict[str, Any], Field(description="The loss that yours is, ready to send.")]]
    explains: Annotated[list[str], Field(description="The outputs that are right once it is taken into account.")]
    text: Annotated[str, Field(description="The same in a sentence.")]


class NumericalAnswer(TypedDict):
    """The reference itself, beside differences of its values."""

    agrees: bool
    max_relative_error: Annotated[float, Field(description="Away from kinks, of the slope or a thousandth of the largest one.")]
    n_checked: Annotated[int, Field(description="Numbers that were moved to see what the value does.")]
    n_at_kinks: Annotated[int, Field(description="Those among them where the slope jumps: differences say nothing there.")]


class CheckResponse(TypedDict):
    """What of yours agrees with the reference, and why the rest does not."""

    loss: Annotated[dict[str, Any], Field(description="The reference with every parameter, defaults included.")]
    reduction: Reduction
    n_samples: Annotated[int, Field(description="Samples that count: not masked, not ignored.")]
    agrees: Annotated[bool, Field(description="Whether everything of yours does.")]
    outputs: Annotated[
        dict[str, OutputCheckOfClass],
        Field(description="What was compared, by name; `gradient.mean` and so on where predictions have names."),
    ]
    guesses: Annotated[
        list[GuessAnswer],
        Field(description="What the difference probably is: what explains all of it first, then the simplest first."),
    ]
    numerical: Annotated[NumericalAnswer | None, Field(description="Null for a loss without a gradient.")]
    targets_encoding: NotRequired[Annotated[str | dict[str, str], Field(description="What the targets were taken for.")]]
    non_finite: NotRequired[Annotated[list[NonFiniteNumber], Field(description="The nulls that stand for no finite number.")]]
    warnings: NotRequired[Annotated[list[str], Field(description="What was taken at its word, but is probably not meant.")]]


def check_gradient(request: CheckRequest) -> CheckResponse:
    """Your own loss against the reference: where they differ, in which pattern, and probably why.

    Send what your code makes of the same arrays: its value, its losses of the samples, its gradient, its second derivative, or
    some of these. The reference is checked as well, by differences of its values.
    """
    tolerance = Tolerance(request.rtol, request.atol)
    try:
        found = check_against(request.given, request.yours, reduction=request.reduction, tolerance=tolerance)
    except CallerError as error:
        raise error.moved(FIELDS) from None
    return _respond(request, found)


def _respond(request: CheckRequest, found: Check) -> CheckResponse:
    plain, batch = Plain(), found.batch
    answer: dict[str, Any] = {
        "loss": request.reference.document,
        "reduction": request.reduction,
        "n_samples": batch.n_samples,
        "agrees": found.agrees,
        "outputs": {name: _output(output, request.classes, plain, f"outputs.{name}") for name, output in found.outputs.items()},
        "guesses": [_guess(guess) for guess in found.guesses],
        "numerical": plain(found.numerical, "numerical"),
    }
    if encoding := encodings_of(batch):
        answer["targets_encoding"] = encoding
    if plain.non_finite:
        answer["non_finite"] = plain.non_finite
    if batch.warnings:
        answer["warnings"] = list(batch.warnings)
    return cast(CheckResponse, answer)


def _output(output: Compared, classes: Any, plain: Plain, name: str) -> dict[str, Any]:
    members = output._asdict()
    label = members.pop("of_class")
    if label is not None:
        members["class"] = classes[int(label)] if classes else int(label)
    return plain(members, name)


def _guess(guess: Guess) -> dict[str, Any]:
    shown: dict[str, Any] = {"convention": guess.convention}
    if guess.factor is not None:
        shown["factor"] = guess.factor
    if guess.loss is not None:
        loss, parameters = guess.loss
        shown["loss"] = {"name": loss.name, **parameters}
    return {**shown, "explains": [*guess.explains], "text": guess.text}


COLUMNS = Layout((*EVALUATED.sides, *CHECKED[1:]))
"""What may be columns of a table."""

CHECK_GRADIENT = Call(
    method="POST",
    path="/v1/check-gradient",
    function=check_gradient,
    summary="Check your own loss",
    tag="evaluate",
    scope="evaluate",
    lane="large",
    wires=JUDGED,
    check=check_columns(CheckRequest, COLUMNS),
    statuses=(400, 413, 415, 422, 503),
    examples=CHECKS,
    document=CHECK,
)
