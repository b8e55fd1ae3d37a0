"""GET /v1/losses: the catalogue of everything that can be evaluated."""

import math
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.equals import EqualEntry, equal_entries
from app.api.evaluate import EvaluateRequest, NumberOrNull, evaluate
from app.api.examples import EXAMPLES
from app.api.mathml import mathml
from app.api.specs import LOSS_SPECS, parameter_schemas
from app.errors import Fault, UnknownName
from app.losses import NAMED, Composed, Loss
from app.losses.form import Bound, Sum
from app.losses.inputs import Encoding, Input
from app.losses.loss import PROMISES, Property
from app.losses.outputs import outputs_of
from app.losses.search import search as search_losses
from app.losses.symbols import symbols_of
from app.registry import did_you_mean
from app.serving.address import Path, Query
from app.serving.call import Call
from app.training.objective import untrainable_because
from app.wire.json import decode, encode


class EncodingEntry(TypedDict):
    """One encoding an array may have."""

    name: Annotated[str, Field(examples=["class_index"])]
    meaning: str
    shapes: Annotated[list[str], Field(description="As axes: n samples, k classes, *d any further axes.", examples=[["n *d"]])]
    accepts: Annotated[list[str], Field(description="Other encodings that are taken and converted.")]
    when: Annotated[str, Field(description="The condition under which it holds; empty where it always does.")]
    range: Annotated[
        list[NumberOrNull],
        Field(description="What its numbers lie between; null: no end."),
    ]


class SymbolEntry(TypedDict):
    """A symbol of a formula."""

    symbol: Annotated[str, Field(examples=["δ"])]
    meaning: str
    parameter: Annotated[str | None, Field(description="The parameter that it is, null where it is none.", examples=["delta"])]


class LossEntry(TypedDict):
    """A loss as the list has it: what it takes to choose one."""

    name: str
    aliases: Annotated[list[str], Field(description="Names that other libraries give it; each is accepted wherever the name is.")]
    family: Annotated[str, Field(examples=["regression"])]
    summary: str
    formula: Annotated[str, Field(examples=["½r² if |r| ≤ δ, else δ(|r| − ½δ)"])]
    properties: Annotated[list[str], Field(examples=[["convex", "smooth"]])]
    trainable: Annotated[bool, Field(description="Whether /v1/train takes it, with targets that suit it.")]
    why_not: Annotated[str | None, Field(description="Why /v1/train does not take it; null where it does.")]


class LossDetail(LossEntry):
    """Everything known about a loss, with a request that works and its answer."""

    alias_parameters: Annotated[
        dict[str, dict[str, Any]], Field(description="The parameters that an alias sets, to mean what it means at home.")
    ]
    alias_shapes: Annotated[
        dict[str, list[str]],
        Field(
            description="The axes of predictions, and of targets, for which an alias means this loss and elsewhere another.",
            examples=[{"log_loss": ["n k"]}],
        ),
    ]
    description: str
    use_when: Annotated[str, Field(description="The data and the question that it is for.")]
    avoid_when: Annotated[str, Field(description="When it misleads, and what it costs then.")]
    see_also: Annotated[list[str], Field(description="Losses to look at besides.", examples=[["smooth_l1", "quantile"]])]
    formula_mathml: Annotated[str, Field(description="The formula as an element `math`.")]
    gradient_formula: Annotated[
        str | None,
        Field(description="The derivative of the formula to the prediction; null where there is none.", examples=["2r"]),
    ]
    gradient_mathml: Annotated[str | None, Field(description="The same as an element `math`.")]
    symbols: Annotated[list[SymbolEntry], Field(description="Every symbol of both formulas, explained.")]
    predictions: Annotated[
        list[EncodingEntry] | dict[str, list[EncodingEntry]],
        Field(description="Encodings of the predictions; by name where there are several arrays, none where its losses say."),
    ]
    targets: Annotated[
        list[EncodingEntry] | dict[str, list[EncodingEntry]] | None,
        Field(description="Encodings of the targets; null where the loss takes none, empty where its losses say."),
    ]
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema of each parameter.")]
    differentiable: Annotated[bool, Field(description="Whether there is a gradient that says anything.")]
    outputs: Annotated[
        list[str], Field(description="What /v1/evaluate can answer for it.", examples=[["value", "per_sample", "gradient"]])
    ]
    coupling: Annotated[
        str, Field(description="sample: samples are independent; group or batch: a sample's loss depends on others.")
    ]
    mean: Annotated[
        str, Field(description="How reduction `mean` puts samples together: mean, root mean square, median or maximum.")
    ]
    cost: Annotated[
        str,
        Field(
            description="How the work grows: linear in the numbers sent, or with a product of axes (n samples, k classes, ...).",
            examples=["linear"],
        ),
    ]
    equals: Annotated[list[EqualEntry], Field(description="Calls of other libraries that give the same number.")]
    reference: str
    reference_url: str | None
    example_request: dict[str, Any]
    example_answer: dict[str, Any]


class Term(TypedDict):
    """A family or a property, in a sentence."""

    name: str
    description: str


class Catalogue(TypedDict):
    """The losses that match, and all families and properties that they can be chosen by."""

    losses: list[LossEntry]
    families: list[Term]
    properties: list[Term]


FAMILIES = {loss.family: loss.family_summary for loss in NAMED.values()}
PROPERTIES = {(member.name or "").lower(): promise for member, promise in PROMISES.items()}


def _one_of(names: Collection[str]) -> WithJsonSchema:
    """A closed list in the document; what is none of it gets an answer with a suggestion, which Pydantic's has not."""
    return WithJsonSchema({"type": "string", "enum": [*names]})


def _explained(first: str, terms: Mapping[str, str]) -> str:
    return "\n".join([first, "", *(f"- `{name}`: {description}" for name, description in terms.items())])


def list_losses(
    family: Annotated[
        str | None, _one_of(FAMILIES), Query(description=_explained("Only losses of this family.", FAMILIES))
    ] = None,
    property: Annotated[  # noqa: A002  # its name on the wire
        str | None, _one_of(PROPERTIES), Query(description=_explained("Only losses with this property.", PROPERTIES))
    ] = None,
    search: Annotated[
        str | None,
        Field(max_length=200),
        WithJsonSchema({"type": "string", "maxLength": 200}),
        Query(
            description="Only losses that these words fit, the likeliest first: names, what they are called elsewhere, or what "
            "they are for.",
            examples=["robust regression"],
        ),
    ] = None,
) -> Catalogue:
    """Every loss with its formula and properties, in the order of families; /v1/losses/{name} tells the rest."""
    _refuse_unknown("family", family, FAMILIES)
    _refuse_unknown("property", property, PROPERTIES)
    found = [
        entry
        for entry in map(_entry, search_losses(search, NAMED.values()) if search else NAMED.values())
        if family in (None, entry["family"]) and (property is None or property in entry["properties"])
    ]
    return Catalogue(losses=found, families=_terms(FAMILIES), properties=_terms(PROPERTIES))


def describe_loss(
    name: Annotated[str, Path(description="The name of a loss, or an alias of it.", examples=["huber"])],
) -> LossDetail:
    """One loss, with a request that can be sent as it is, and its answer."""
    loss, _ = NAMED.find(name)
    return _detail(loss)


@cache
def _made(loss: Loss | Composed) -> Loss | Sum:
    """The loss of its example: itself, but for a way to make losses."""
    bound = EvaluateRequest.model_validate(decode(encode(EXAMPLES[loss.name]["value"]))).loss.bound
    return bound.loss if isinstance(bound, Bound) else bound


@cache
def _detail(loss: Loss | Composed) -> LossDetail:
    request = EXAMPLES[loss.name]["value"]
    answer = evaluate(EvaluateRequest.model_validate(decode(encode(request))))
    made = _made(loss)
    return LossDetail(
        **_entry(loss),
        alias_parameters=loss.alias_parameters,
        alias_shapes=loss.alias_shapes,
        description=loss.description,
        use_when=loss.guide.use_when,
        avoid_when=loss.guide.avoid_when,
        see_also=see_also(loss),
        formula_mathml=mathml(loss.formula),
        gradient_formula=loss.gradient or None,
        gradient_mathml=mathml(loss.gradient) or None,
        symbols=[SymbolEntry(**symbol._asdict()) for symbol in symbols_of(loss)],
        predictions=_side(made, "predictions") or [],
        targets=_side(made, "targets"),
        parameters=parameter_schemas(LOSS_SPECS[loss.name]),
        differentiable=made.derivatives > 0,
        outputs=[output.name for output in outputs_of(made)],
        coupling=loss.coupling,
        mean=loss.mean.name,
        cost=loss.cost.growth,
        equals=equal_entries(loss),
        reference=loss.reference,
        reference_url=_url(loss.reference),
        example_request=request,
        example_answer=dict(answer),
    )


@cache
def _entry(loss: Loss | Composed) -> LossEntry:
    why_not = untrainable_because(_made(loss))
    return LossEntry(
        name=loss.name,
        aliases=[alias.name for alias in loss.aliases],
        family=loss.family,
        summary=loss.summary,
        formula=loss.formula,
        properties=_properties(loss.properties),
        trainable=why_not is None,
        why_not=why_not,
    )


def see_also(loss: Loss | Composed) -> list[str]:
    """The losses that it names, and then those that name it."""
    naming = [other.name for other in NAMED.values() if loss.name in other.guide.see_also]
    return [*dict.fromkeys((*loss.guide.see_also, *naming))]


def _url(reference: str) -> str | None:
    """Where the last of what a reference names can be read."""
    places = {"doi:": "https://doi.org/", "arXiv:": "https://arxiv.org/abs/", "https://": "https://"}
    found = [*re.finditer(rf"({'|'.join(places)})(\S+)", reference)]
    return f"{places[found[-1][1]]}{quote(found[-1][2], safe='/:;()._-~%')}" if found else None


def _terms(terms: Mapping[str, str]) -> list[Term]:
    return [Term(name=name, description=description) for name, description in terms.items()]


def _side(loss: Loss | Sum, side: str) -> list[EncodingEntry] | dict[str, list[EncodingEntry]] | None:
    if isinstance(loss, Sum):
        return []
    inputs: Mapping[str, Input] = {name: input_ for name, input_ in loss.inputs.items() if input_.side == side}
    if not inputs:
        return None
    entries = {name: [_encoding(when, encoding) for when, encoding in input_.cases] for name, input_ in inputs.items()}
    return entries if any(input_.named for input_ in inputs.values()) else entries[side]


def _encoding(when: str, encoding: Encoding) -> EncodingEntry:
    span = encoding.domain.span
    return EncodingEntry(
        name=encoding.name,
        meaning=encoding.meaning,
        shapes=list(encoding.axes),
        accepts=list(encoding.accepts),
        when=when,
        range=[end if math.isfinite(end) else None for end in (span.low, span.high)],
    )


def _properties(properties: Property) -> list[str]:
    return [(member.name or "").lower() for member in properties]


def _refuse_unknown(field: str, given: str | None, known: Collection[str]) -> None:
    if given is not None and given not in known:
        raise UnknownName([Fault((field,), f"unknown_{field}", did_you_mean(field, given, known))])


CALLS = (
    Call(
        method="GET",
        path="/v1/losses",
        function=list_losses,
        summary="List the losses",
        tag="losses",
        constant=True,
        statuses=(422,),
    ),
    Call(
        method="GET",
        path="/v1/losses/{name}",
        function=describe_loss,
        summary="Describe a loss",
        tag="losses",
        constant=True,
        statuses=(404,),
    ),
)
