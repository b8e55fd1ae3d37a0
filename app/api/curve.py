"""GET /v1/losses/{name}/curve: a loss of one number drawn over its axis, with its slope and its curvature."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, cast

import numpy as np
from pydantic import Field, ValidationError, WithJsonSchema
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.files import collecting, in_json, parameters_of
from app.api.insight_examples import DRAWN_AGAINST, DRAWN_ALONE, DRAWN_UNDER
from app.api.specs import expander, spec_of
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidInput, UnknownName
from app.insight import charts
from app.insight.curves import Axis, Curve, Kind, Oblique, Vertical, axis_of, curve
from app.losses import NAMED
from app.losses.numerics.stable import Array
from app.losses.sums import AnyBound
from app.serving.address import Path, Query, Rest
from app.serving.call import Call
from app.serving.pictures import ENDINGS
from app.serving.problems import from_pydantic
from app.suggestions import meant

MOST_AGAINST = 7
"""Other losses that a curve is drawn against."""
OWN = ("against", "low", "high", "points", "target", "theme")
FARTHEST = 1e15
POINTS = 201
Bound = Annotated[
    float | None,
    Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False),
    WithJsonSchema({"type": "number", "minimum": -FARTHEST, "maximum": FARTHEST}),
]


class Asymptote(TypedDict):
    """What the loss tends to: a vertical line at x, where it grows without bound, a horizontal one at y, or a sloping one."""

    kind: Literal["vertical", "horizontal", "oblique"]
    x: NotRequired[float]
    y: NotRequired[float]
    slope: NotRequired[float]
    intercept: NotRequired[float]


class CurveEntry(TypedDict):
    """One loss over the axis."""

    loss: Annotated[dict[str, Any], Field(description="The loss with every parameter, defaults included.")]
    value: Annotated[list[NumberOrNull], Field(description="Of a sample at each x; null where it is infinite or not defined.")]
    slope: Annotated[list[NumberOrNull] | None, Field(description="d(value)/dx; null for a loss without a gradient.")]
    curvature: Annotated[
        list[NumberOrNull] | None, Field(description="d²(value)/dx²; null for a loss that has no second derivative.")
    ]
    kinks: Annotated[list[float], Field(description="Where the slope jumps, on the grid or off it, in order.")]
    asymptotes: list[Asymptote]


class CurveResponse(TypedDict):
    """Losses over one axis, the one that was asked for first."""

    axis: Annotated[
        Kind,
        Field(
            description="residual: prediction − target; margin: score times target; probability and logit: of the positive "
            "class; prediction: the prediction itself."
        ),
    ]
    target: Annotated[float, Field(description="The target throughout.")]
    x: list[float]
    curves: list[CurveEntry]


class Asked(NamedTuple):
    """A loss that is to be drawn."""

    document: dict[str, Any]
    """As the answer shows it."""
    bound: AnyBound


def draw_curve(
    name: Annotated[
        str, Path(description="The name of a loss, or an alias of it.", examples=["huber"], openapi_examples=DRAWN_ALONE)
    ],
    rest: Rest,
    against: Annotated[
        str | None,
        Field(max_length=1000),
        WithJsonSchema({"type": "string", "maxLength": 1000}),
        Query(
            description="Other losses on the same axis: names with commas between, or a list of losses in JSON.",
            openapi_examples=DRAWN_AGAINST,
        ),
    ] = None,
    low: Annotated[Bound, Query(description="Where x begins; by default what suits the axis.")] = None,
    high: Annotated[Bound, Query(description="Where x ends.")] = None,
    points: Annotated[
        int | None,
        Field(ge=2, le=2001),
        WithJsonSchema({"type": "integer", "minimum": 2, "maximum": 2001, "examples": [5]}),
        Query(description="How many x there are: 201 unless said."),
    ] = None,
    target: Annotated[Bound, Query(description="The target; by default 0 for a residual, else 1.")] = None,
) -> CurveResponse:
    """What a loss of one number charges along its axis, and how hard it pulls: value, slope, curvature, kinks, asymptotes.

    Parameters of the loss stand in the address too: `/v1/losses/huber/curve?delta=1.5&against=mae`, and so do formulas and
    sums: `/v1/losses/expression/curve?value=log1p((r/c)**2)&c=2`. A + of a formula is written %2B there.
    """
    first = _asked(name, rest)
    axis = axis_of(first.bound)
    position = axis.target if target is None else target
    low, high = axis.low if low is None else low, axis.high if high is None else high
    _check_range(axis, low, high)
    x = np.linspace(low, high, points or POINTS)
    curves = [_entry(first, _drawn(first, axis, x, position))]
    for index, (other_name, given) in enumerate(_others(against)):
        try:
            other = _bound(other_name, given)
            theirs = axis_of(other.bound)
            if theirs.kind != axis.kind:
                message = f"{other.bound.name} is drawn over the {theirs.kind}, and {first.bound.name} over the {axis.kind}"
                raise InvalidInput([Fault((), "axis", message)])
            _check_range(theirs, low, high)
            curves.append(_entry(other, _drawn(other, theirs, x, position)))
        except CallerError as error:
            raise InvalidInput([Fault(("against", index), error.faults[0].code, error.faults[0].message)]) from None
    return CurveResponse(axis=axis.kind, target=position, x=x.tolist(), curves=curves)


def _asked(name: str, query: Rest) -> Asked:
    """The loss of the address, under the parameters that the query gives it."""
    loss, _ = NAMED.find(name)
    known, into = (*OWN, *loss.parameters), collecting(loss)
    others = [word for word in query if word not in loss.parameters]
    if others and into is None:
        raise UnknownName([Fault((word,), "unknown_field", _unknown(word, known)) for word in others[:MAX_FAULTS]])
    try:
        return _bound(name, parameters_of(loss, query))
    except CallerError as error:
        raise (error.moved({(into, word): (word,) for word in others}) if into else error) from None


def _unknown(word: str, known: Sequence[str]) -> str:
    close = meant(word, known, most=1)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
    return f"this curve has no parameter {word[:80]!r}: {hint}"


def _bound(name: str, given: Mapping[str, Any]) -> Asked:
    loss, preset = NAMED.resolve(name, (), given)
    try:
        spec = spec_of(loss.name, {**preset, **given}, strict=False)
        return Asked(spec.document, spec.bound)
    except ValidationError as error:
        raise from_pydantic(error, given) from None
    except CallerError as error:
        raise error.moved({("parameters",): ()}) from None


def _others(against: str | None) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """The names and parameters of the losses that another is drawn against: names with commas between, or a list in JSON."""
    listed = in_json(against or "", ("against",))
    names = [name.strip() for name in (against or "").split(",") if name.strip()]
    losses = cast(list[object], listed) if isinstance(listed, list) else names
    if len(losses) > MOST_AGAINST:
        message = f"against takes at most {MOST_AGAINST} losses; got {len(losses)}"
        raise InvalidInput([Fault(("against",), "length", message)])
    documents = [expander(NAMED, ("against", index))(loss) for index, loss in enumerate(losses)]
    return [(cast(str, document.pop("name")), document) for document in documents]


def _check_range(axis: Axis, low: float, high: float) -> None:
    if not low < high:
        raise InvalidInput([Fault(("low",), "out_of_range", f"low must be below high; got {low:g} and {high:g}")])
    faults = [
        Fault((end,), "out_of_range", f"{end} must be {axis.domain.rule}, what the predictions may be; got {number:g}")
        for end, number in (("low", low), ("high", high))
        if axis.domain.outside(np.array([number])).any()
    ]
    if faults:
        raise InvalidInput(faults)


def _drawn(asked: Asked, axis: Axis, x: Array, target: float) -> Curve:
    try:
        return curve(asked.bound, axis, x, target)
    except CallerError as error:
        fault = error.faults[0]
        path = ("target",) if fault.path[:1] == ("targets",) else fault.path[1:]
        raise InvalidInput([Fault(path, fault.code, fault.message.replace("targets[0]", "target"))]) from None


def _entry(asked: Asked, found: Curve) -> CurveEntry:
    return CurveEntry(
        loss=asked.document,
        value=cast(Any, found.value),
        slope=cast(Any, found.slope),
        curvature=cast(Any, found.curvature),
        kinks=[*found.kinks],
        asymptotes=[*map(_asymptote, found.asymptotes)],
    )


def _asymptote(found: Vertical | Oblique) -> Asymptote:
    if isinstance(found, Vertical):
        return Asymptote(kind="vertical", x=found.x)
    if found.slope == 0:
        return Asymptote(kind="horizontal", y=found.intercept)
    return Asymptote(kind="oblique", slope=found.slope, intercept=found.intercept)


CURVE = Call(
    method="GET",
    path="/v1/losses/{name}/curve",
    also=tuple(f"/v1/losses/{{name}}/curve{ending}" for ending in ENDINGS),
    function=draw_curve,
    summary="Draw the curve of a loss",
    tag="losses",
    lane="large",
    picture=charts.curve,
    constant=True,
    statuses=(404, 422, 503),
    document={
        "responses": {"200": {"description": "The curves. The path may end with `.json`, `.svg` or `.png` too."}},
        "parameters": [
            {
                "name": "parameters",
                "in": "query",
                "description": "Parameters of the loss: `delta=1.5`; what is no number or word stands as JSON.",
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
                "examples": DRAWN_UNDER,
            }
        ],
    },
)
