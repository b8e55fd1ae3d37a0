"""GET /v1/losses/{name}/curve: a loss of one number drawn over its axis, with its slope and its curvature."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, cast

import numpy as np
from fastapi import Path, Query
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.evaluate import NumberOrNull
from app.api.files import parameters_of
from app.api.specs import LOSS_SPECS, BoundSpec
from app.errors import MAX_FAULTS, CallerError, Fault, InvalidInput, UnknownName
from app.insight import charts
from app.insight.curves import Axis, Curve, Kind, Oblique, Vertical, axis_of, curve
from app.losses import LOSSES
from app.losses.numerics.stable import Array
from app.serving.address import Rest
from app.serving.call import Call
from app.serving.pictures import ENDINGS
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
    value: Annotated[list[NumberOrNull], Field(description="Of a sample at each x; null where it is infinite.")]
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


def draw_curve(
    name: Annotated[str, Path(description="The name of a loss, or an alias of it.", examples=["huber"])],
    rest: Rest,
    against: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "maxLength": 1000}),
        Query(description="Other losses on the same axis, with commas between.", max_length=1000, examples=["mae"]),
    ] = None,
    low: Annotated[Bound, Query(description="Where x begins; by default what suits the axis.")] = None,
    high: Annotated[Bound, Query(description="Where x ends.")] = None,
    points: Annotated[
        int | None,
        WithJsonSchema({"type": "integer", "minimum": 2, "maximum": 2001, "examples": [5]}),
        Query(description="How many x there are: 201 unless said.", ge=2, le=2001),
    ] = None,
    target: Annotated[Bound, Query(description="The target; by default 0 for a residual, else 1.")] = None,
) -> CurveResponse:
    """What a loss of one number charges along its axis, and how hard it pulls: value, slope, curvature, kinks, asymptotes.

    Parameters of the loss stand in the address too: `/v1/losses/huber/curve?delta=1.5&against=mae`.
    """
    first = _asked(name, rest)
    axis = axis_of(first.single)
    at = axis.target if target is None else target
    low, high = axis.low if low is None else low, axis.high if high is None else high
    _check_range(axis, low, high)
    x = np.linspace(low, high, points or POINTS)
    curves = [_entry(first, _drawn(first, axis, x, at))]
    for index, other in enumerate(_others(against)):
        try:
            theirs = axis_of(other.single)
            if theirs.kind != axis.kind:
                message = f"{other.name} is drawn over the {theirs.kind}, and {first.name} over the {axis.kind}"
                raise InvalidInput([Fault((), "axis", message)])
            _check_range(theirs, low, high)
            curves.append(_entry(other, _drawn(other, theirs, x, at)))
        except CallerError as error:
            raise InvalidInput([Fault(("against", index), error.faults[0].code, error.faults[0].message)]) from None
    return CurveResponse(axis=axis.kind, target=at, x=x.tolist(), curves=curves)


def _asked(name: str, query: Rest) -> BoundSpec:
    """The loss of the address, under the parameters that the query gives it."""
    loss, _ = LOSSES.find(name)
    known = (*OWN, *loss.parameters)
    unknown = [word for word in query if word not in loss.parameters]
    if unknown:
        raise UnknownName([Fault((word,), "unknown_field", _unknown(word, known)) for word in unknown[:MAX_FAULTS]])
    return _spec(name, parameters_of(loss, query))


def _unknown(word: str, known: Sequence[str]) -> str:
    close = meant(word, known, most=1)
    hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
    return f"this curve has no parameter {word[:80]!r}: {hint}"


def _spec(name: str, given: dict[str, Any]) -> BoundSpec:
    loss, preset = LOSSES.resolve(name, (), given)
    spec = LOSS_SPECS[loss.name].model_validate({"name": loss.name, **preset, **given})
    assert isinstance(spec, BoundSpec)
    return spec


def _others(against: str | None) -> Sequence[BoundSpec]:
    names = [other.strip() for other in (against or "").split(",") if other.strip()]
    if len(names) > MOST_AGAINST:
        message = f"against takes at most {MOST_AGAINST} losses; got {len(names)}"
        raise InvalidInput([Fault(("against",), "length", message)])
    for index, other in enumerate(names):
        LOSSES.resolve(other, ("against", index))
    return [_spec(other, {}) for other in names]


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


def _drawn(spec: BoundSpec, axis: Axis, x: Array, target: float) -> Curve:
    try:
        return curve(spec.single, axis, x, target)
    except CallerError as error:
        fault = error.faults[0]
        path = ("target",) if fault.path[:1] == ("targets",) else fault.path[1:]
        raise InvalidInput([Fault(path, fault.code, fault.message.replace("targets[0]", "target"))]) from None


def _entry(spec: BoundSpec, found: Curve) -> CurveEntry:
    return CurveEntry(
        loss=spec.document, value=cast(Any, found.value), slope=cast(Any, found.slope), curvature=cast(Any, found.curvature),
        kinks=[*found.kinks], asymptotes=[*map(_asymptote, found.asymptotes)],
    )  # fmt: skip


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
            }
        ],
    },
)
