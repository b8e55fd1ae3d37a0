"""GET /v1/losses: the catalogue of everything that can be evaluated."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.equals import EqualEntry, equal_entries
from app.api.evaluate import EvaluateRequest, evaluate
from app.api.examples import example
from app.api.specs import LOSS_SPECS, parameter_schemas
from app.errors import Fault, UnknownName
from app.losses import LOSSES, Loss
from app.losses.inputs import Encoding, Input
from app.losses.loss import Property
from app.losses.outputs import outputs_of
from app.registry import did_you_mean
from app.serving.call import Call
from app.wire.json import decode, encode


class EncodingEntry(TypedDict):
    """One encoding an array may have."""

    name: Annotated[str, Field(examples=["class_index"])]
    meaning: str
    shapes: Annotated[list[str], Field(description="As axes: n samples, k classes, *d any further axes.", examples=[["n *d"]])]
    accepts: Annotated[list[str], Field(description="Other encodings that are taken and converted.")]
    when: Annotated[str, Field(description="The condition under which it holds; empty where it always does.")]


class LossEntry(TypedDict):
    """Everything known about a loss."""

    name: str
    aliases: Annotated[list[str], Field(description="Names that other libraries give it; each is accepted wherever the name is.")]
    alias_parameters: Annotated[
        dict[str, dict[str, Any]], Field(description="The parameters that an alias sets, to mean what it means at home.")
    ]
    alias_shapes: Annotated[
        dict[str, list[str]],
        Field(
            description="The axes of predictions, and of targets, for which an alias means this loss; for others it means another.",
            examples=[{"log_loss": ["n k"]}],
        ),
    ]
    family: Annotated[str, Field(examples=["regression"])]
    summary: str
    description: str
    formula: str
    predictions: Annotated[
        list[EncodingEntry] | dict[str, list[EncodingEntry]],
        Field(description="Encodings of the predictions; by name where there are several arrays."),
    ]
    targets: Annotated[
        list[EncodingEntry] | dict[str, list[EncodingEntry]] | None,
        Field(description="Encodings of the targets; null where the loss takes none."),
    ]
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema of each parameter.")]
    properties: Annotated[list[str], Field(examples=[["convex", "smooth"]])]
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
    equals: Annotated[list[EqualEntry], Field(description="Calls of other libraries that give the same number.")]
    reference: str


class Catalogue(TypedDict):
    """The losses that match."""

    losses: list[LossEntry]


FAMILIES = list(dict.fromkeys(loss.family for loss in LOSSES.values()))
PROPERTIES = [(member.name or "").lower() for member in ~Property(0)]


def _one_of(names: list[str]) -> WithJsonSchema:
    """A closed list in the document; what is none of it gets an answer with a suggestion, which Pydantic's has not."""
    return WithJsonSchema({"type": "string", "enum": names})


class LossDetail(LossEntry):
    """A loss, with a request that works and its answer."""

    example_request: dict[str, Any]
    example_answer: dict[str, Any]


def list_losses(
    family: Annotated[str | None, _one_of(FAMILIES), Query(description="Only this family, e.g. `regression`.")] = None,
    property: Annotated[  # noqa: A002  # its name on the wire
        str | None, _one_of(PROPERTIES), Query(description="Only losses with this property, e.g. `convex`.")
    ] = None,
    search: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "maxLength": 200}),
        Query(
            description="Only losses in whose names, aliases, summary or formula these words occur.",
            max_length=200,
            examples=["pinball"],
        ),
    ] = None,
) -> Catalogue:
    """Every loss with its formula, encodings, parameters, properties, and what it is called elsewhere."""
    _refuse_unknown("family", family, FAMILIES)
    _refuse_unknown("property", property, PROPERTIES)
    words = _words(search or "").split()
    found = [
        entry
        for entry in map(_entry, LOSSES.values())
        if family in (None, entry["family"])
        and (property is None or property in entry["properties"])
        and all(word in _text(entry) for word in words)
    ]
    return Catalogue(losses=found)


def describe_loss(
    name: Annotated[str, Path(description="The name of a loss, or an alias of it.", examples=["huber"])],
) -> LossDetail:
    """One loss, with a request that can be sent as it is, and its answer."""
    loss, _ = LOSSES.find(name)
    return _detail(loss)


@cache
def _detail(loss: Loss) -> LossDetail:
    request = example(loss)
    answer = evaluate(EvaluateRequest.model_validate(decode(encode(request))))
    return LossDetail(**_entry(loss), example_request=request, example_answer=dict(answer))


@cache
def _entry(loss: Loss) -> LossEntry:
    return LossEntry(
        name=loss.name,
        aliases=[alias.name for alias in loss.aliases],
        alias_parameters=loss.alias_parameters,
        alias_shapes=loss.alias_shapes,
        family=loss.family,
        summary=loss.summary,
        description=loss.description,
        formula=loss.formula,
        predictions=_side(loss, "predictions") or [],
        targets=_side(loss, "targets"),
        parameters=parameter_schemas(LOSS_SPECS[loss.name]),
        properties=_properties(loss.properties),
        differentiable=loss.differentiable,
        outputs=[output.name for output in outputs_of(loss)],
        coupling=loss.coupling,
        mean=loss.mean.name,
        equals=equal_entries(loss),
        reference=loss.reference,
    )


def _side(loss: Loss, side: str) -> list[EncodingEntry] | dict[str, list[EncodingEntry]] | None:
    inputs: Mapping[str, Input] = {name: input_ for name, input_ in loss.inputs.items() if input_.side == side}
    if not inputs:
        return None
    entries = {name: [_encoding(when, encoding) for when, encoding in input_.cases] for name, input_ in inputs.items()}
    return entries if any(input_.named for input_ in inputs.values()) else entries[side]


def _encoding(when: str, encoding: Encoding) -> EncodingEntry:
    return EncodingEntry(
        name=encoding.name, meaning=encoding.meaning, shapes=list(encoding.axes), accepts=list(encoding.accepts), when=when
    )


def _properties(properties: Property) -> list[str]:
    return [(member.name or "").lower() for member in properties]


def _text(entry: LossEntry) -> str:
    return _words(entry["name"], *entry["aliases"], entry["summary"], entry["formula"], entry["family"])


def _words(*texts: str) -> str:
    return " ".join(texts).casefold().replace("_", " ")


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
