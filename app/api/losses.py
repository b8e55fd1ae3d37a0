"""GET /v1/losses: the catalogue of everything that can be evaluated."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.evaluate import EvaluateRequest, evaluate
from app.api.examples import example
from app.api.specs import LOSS_SPECS, parameter_schemas
from app.errors import Fault, UnknownName
from app.losses import LOSSES, Loss
from app.losses.inputs import Encoding, Input
from app.losses.loss import Property
from app.registry import did_you_mean
from app.serving.problems import responses
from app.wire.json import decode, encode

router = APIRouter(prefix="/v1/losses", tags=["losses"])


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
    coupling: Annotated[
        str, Field(description="sample: samples are independent; group or batch: a sample's loss depends on others.")
    ]
    mean: Annotated[
        str, Field(description="How reduction `mean` puts samples together: mean, root mean square, median or maximum.")
    ]
    equals: Annotated[list[str], Field(description="Calls of other libraries that give the same number.")]
    reference: str


class Catalogue(TypedDict):
    """The losses that match."""

    losses: list[LossEntry]


FAMILIES = list(dict.fromkeys(loss.family for loss in LOSSES.values()))
PROPERTIES = [(each.name or "").lower() for each in ~Property(0)]


def _one_of(names: list[str]) -> WithJsonSchema:
    """A closed list in the document; what is none of it gets an answer with a suggestion, which Pydantic's has not."""
    return WithJsonSchema({"type": "string", "enum": names})


class Filter(BaseModel):
    """Which losses to list."""

    model_config = ConfigDict(extra="forbid")

    family: Annotated[str | None, _one_of(FAMILIES), Field(description="Only this family, e.g. `regression`.")] = None
    property: Annotated[str | None, _one_of(PROPERTIES), Field(description="Only losses with this property, e.g. `convex`.")] = (
        None
    )
    search: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "maxLength": 200}),
        Field(
            description="Only losses in whose names, aliases, summary or formula these words occur.",
            max_length=200,
            examples=["pinball"],
        ),
    ] = None


class LossDetail(LossEntry):
    """A loss, with a request that works and its answer."""

    example_request: dict[str, Any]
    example_answer: dict[str, Any]


@router.get("", summary="List the losses", response_model=Catalogue, responses=responses(422))
async def list_losses(wanted: Annotated[Filter, Query()]) -> Response:
    """Every loss with its formula, encodings, parameters, properties, and what it is called elsewhere."""
    _refuse_unknown("family", wanted.family, FAMILIES)
    _refuse_unknown("property", wanted.property, PROPERTIES)
    words = _words(wanted.search or "").split()
    found = [
        entry
        for entry in map(_entry, LOSSES.values())
        if wanted.family in (None, entry["family"])
        and (wanted.property is None or wanted.property in entry["properties"])
        and all(word in _text(entry) for word in words)
    ]
    return _json(Catalogue(losses=found))


@router.get("/{name}", summary="Describe a loss", response_model=LossDetail, responses=responses(404))
async def describe_loss(
    name: Annotated[str, Path(description="The name of a loss, or an alias of it.", examples=["huber"])],
) -> Response:
    """One loss, with a request that can be sent as it is, and its answer."""
    loss, _ = LOSSES.find(name)
    return _json(_detail(loss))


@cache
def _detail(loss: Loss) -> LossDetail:
    request = example(loss)
    answer = evaluate(EvaluateRequest.model_validate(decode(encode(request))))
    return LossDetail(**_entry(loss), example_request=request, example_answer=dict(answer))


@cache
def _entry(loss: Loss) -> LossEntry:
    return LossEntry(
        name=loss.name,
        aliases=[each.name for each in loss.aliases],
        alias_parameters=loss.alias_parameters,
        family=loss.family,
        summary=loss.summary,
        description=loss.description,
        formula=loss.formula,
        predictions=_side(loss, "predictions") or [],
        targets=_side(loss, "targets"),
        parameters=parameter_schemas(LOSS_SPECS[loss.name]),
        properties=_properties(loss.properties),
        differentiable=loss.differentiable,
        coupling=loss.coupling,
        mean=loss.mean.name,
        equals=list(loss.equals),
        reference=loss.reference,
    )


def _side(loss: Loss, side: str) -> list[EncodingEntry] | dict[str, list[EncodingEntry]] | None:
    inputs: Mapping[str, Input] = {name: each for name, each in loss.inputs.items() if each.side == side}
    if not inputs:
        return None
    entries = {name: [_encoding(when, encoding) for when, encoding in each.cases] for name, each in inputs.items()}
    return entries if any(each.named for each in inputs.values()) else entries[side]


def _encoding(when: str, encoding: Encoding) -> EncodingEntry:
    return EncodingEntry(
        name=encoding.name, meaning=encoding.meaning, shapes=list(encoding.axes), accepts=list(encoding.accepts), when=when
    )


def _properties(properties: Property) -> list[str]:
    return [(each.name or "").lower() for each in properties]


def _text(entry: LossEntry) -> str:
    return _words(entry["name"], *entry["aliases"], entry["summary"], entry["formula"], entry["family"])


def _words(*texts: str) -> str:
    return " ".join(texts).casefold().replace("_", " ")


def _refuse_unknown(field: str, given: str | None, known: Collection[str]) -> None:
    if given is not None and given not in known:
        raise UnknownName([Fault(f"/{field}", f"unknown_{field}", did_you_mean(field, given, known))])


def _json(answer: object) -> Response:
    return Response(encode(answer), media_type="application/json")
