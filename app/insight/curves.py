"""A loss of one number, or a sum of such, as a curve: value, slope and curvature along an axis, where it bends and ends.

    axis_of(bound)  ->  curve(bound, axis, x, target)

Which axis a loss has follows from what its arrays may be and from how it answers, never from its name. What is said of a
curve is found by evaluating the loss, and verified by it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np

from app.domains import Interval
from app.errors import CallerError, Fault, InvalidInput
from app.losses.encodings import SIGNS, UNIT
from app.losses.form import Bound
from app.losses.inputs import Encoding
from app.losses.numerics.stable import Array
from app.losses.sums import AnyBound, batch_of, evaluate

Kind: TypeAlias = Literal["residual", "margin", "probability", "logit", "prediction"]

MESH = 256
"""Pieces of the axis in which a jump of the slope is looked for, beside those that parameters mark."""
CUTS, PIECES = 20, 8
"""How often a piece is cut, into how many each time, until it is as narrow as numbers are."""
NARROW = 1e-13
"""Of the axis: places that are nearer to each other are one."""
JUMP, AROUND = 1e-7, 4
"""Of the slopes so many pieces around: what is more within the narrowest piece is a jump."""
FAR = (1e2, 1e3, 1e4, 1e6, 1e8)
"""How far outside a loss has become what it tends to."""
ALIKE = 1e-6
"""How far two lines may be apart that are one."""
NEAR = (1, 2, 4, 8, 15, 30, 60, 120, 240)
"""Powers of ten by which a pole is approached."""


class Vertical(NamedTuple):
    """The value tends to infinity at this x."""

    x: float


class Oblique(NamedTuple):
    """The value tends to this line; to a horizontal one where the slope is 0."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Axis:
    """What a curve is drawn over."""

    kind: Kind
    low: float
    high: float
    target: float
    domain: Interval
    """What the predictions may be."""

    def predictions(self, x: Array, target: float) -> Array:
        """The predictions at these places."""
        return x + target if self.kind == "residual" else x * self.turn(target)

    def turn(self, target: float) -> float:
        """d(prediction)/dx: a margin is the score of a negative with its sign changed."""
        return -1.0 if self.kind == "margin" and target <= 0 else 1.0


class Curve(NamedTuple):
    """A loss over an axis. What is infinite is so in the arrays, and NaN what is not defined."""

    value: Array
    slope: Array | None
    """d(value)/dx; None where there is none that says anything."""
    curvature: Array | None
    kinks: Sequence[float]
    asymptotes: Sequence[Vertical | Oblique]


class Measured(NamedTuple):
    """A loss at some places."""

    value: Array
    slope: Array | None
    curvature: Array | None


Measure: TypeAlias = Callable[[Array], Measured]


# --- which axis -------------------------------------------------------------------------------------------------------

REAL = Interval()
SCALES: dict[Kind, tuple[float, float, float]] = {
    "residual": (-3.0, 3.0, 0.0),
    "margin": (-3.0, 3.0, 1.0),
    "probability": (0.0, 1.0, 1.0),
    "logit": (-6.0, 6.0, 1.0),
    "prediction": (-3.0, 3.0, 1.0),
}
"""From where to where each is drawn unless something else is asked for, and at which target."""


def axis_of(bound: AnyBound) -> Axis:
    """The axis of a loss, or of a sum of losses; InvalidInput with the reason where it has no curve."""
    pairs = [_encodings(part) for part in _parts(bound)]
    domain = _common(bound, [prediction.domain.span for prediction, _ in pairs])
    targets = {target.domain for _, target in pairs}
    kind: Kind = "prediction"
    if any(prediction.link == UNIT for prediction, _ in pairs):
        kind = "logit"
    elif domain == UNIT:
        kind = "probability"
    elif domain == REAL and SIGNS in targets and _same(bound, (0.7, 1.0), (-0.7, -1.0), (-1.9, 1.0), (1.9, -1.0)):
        kind = "margin"
    elif domain == REAL and targets == {REAL} and _same(bound, (0.7, 0.0), (2.7, 2.0), (-1.5, 0.0), (-3.5, -2.0)):
        kind = "residual"
    low, high, target = SCALES[kind]
    if low <= domain.low:
        low = domain.low + (high - domain.low) / 100 if domain.open_low else domain.low
    return Axis(kind, low, min(high, domain.high), target, domain)


def _parts(bound: AnyBound) -> list[Bound]:
    """The losses that a sum of the same arrays is made of; a loss alone is its own."""
    if isinstance(bound, Bound):
        return [bound]
    if bound.by_head:
        raise _without(bound, "each of its heads has predictions of its own, and a curve has one: draw the losses of its heads")
    return [inner for part in bound.parts for inner in _parts(part.loss)]


def _common(bound: AnyBound, domains: Sequence[Interval]) -> Interval:
    """What the predictions of all may be, without infinities: a curve ends before them."""
    low, open_low = max((domain.low, domain.open_low) for domain in domains)
    high, closed_high = min((domain.high, not domain.open_high) for domain in domains)
    if not low < high:
        raise _without(bound, "its losses have no predictions in common")
    return Interval(low, high, open_low, not closed_high)


def _encodings(bound: Bound) -> tuple[Encoding, Encoding]:
    """Of the one prediction and the one target that a loss with a curve takes."""
    loss = bound.loss
    sides = [(name, declared) for name, declared in loss.inputs.items() if declared.side == "predictions"]
    if [*loss.inputs] != ["predictions", "targets"] or any(declared.named for _, declared in sides):
        raise _without(bound, f"it takes {', '.join(loss.inputs)}, and a curve has one prediction and one target")
    prediction, target = (declared.decide(bound.parameters, 1) for declared in loss.inputs.values())
    if loss.coupling == "batch":
        raise _without(bound, "a sample costs what it does beside the others of its batch, and a curve has one sample")
    if not {"n", "n *d"} & {*prediction.axes}:
        raise _without(bound, f"a sample is a row of several numbers ({' or '.join(prediction.axes)}), and a curve has one")
    if prediction.domain.discrete or not isinstance(prediction.domain, Interval):
        raise _without(bound, f"its predictions are {prediction.meaning}, and a curve goes over numbers between")
    return prediction, target


def _without(bound: AnyBound, reason: str) -> InvalidInput:
    return InvalidInput([Fault(("name",), "no_curve", f"{bound.name} has no curve: {reason}")])


def _same(bound: AnyBound, *places: tuple[float, float]) -> bool:
    """Whether the loss is the same at the first and second, the third and fourth (prediction, target), and so on."""
    predictions, targets = np.array(places).T
    try:
        found = _evaluated(bound, predictions, targets).value
    except CallerError:  # a parameter that does not go with these targets: the curve itself will say so
        return True
    return np.allclose(found[::2], found[1::2], rtol=1e-9, atol=1e-12)


# --- the curve --------------------------------------------------------------------------------------------------------


def curve(bound: AnyBound, axis: Axis, x: Array, target: float) -> Curve:
    """The loss over the axis; CallerError for parameters or a target that it does not take."""

    def measure(places: Array) -> Measured:
        found = _evaluated(bound, axis.predictions(places, target), np.full(places.size, target))
        undefined = np.isnan(found.value)
        slope, curvature = (None if array is None else np.where(undefined, np.nan, array) for array in found[1:])
        return Measured(found.value, None if slope is None else slope * axis.turn(target), curvature)

    line = measure(x)
    asymptotes: list[Vertical | Oblique] = [Vertical(end) for end in _poles_at_ends(measure, axis.domain)]
    kinks: list[float] = []
    for jump in _jumps(measure, _mesh(bound, x, target)) if line.slope is not None else ():
        if _is_pole(measure, jump, axis.domain):
            asymptotes.append(Vertical(jump))
        elif not np.isnan(measure(jump + NARROW * (x[-1] - x[0]) * np.array([-1.0, 1.0])).value).any():  # else it ends there
            kinks.append(jump)
    asymptotes += _lines(measure, axis.domain, max(1.0, *map(abs, (target, *_sizes(bound))))) if line.slope is not None else ()
    return Curve(*line, kinks, sorted(asymptotes, key=lambda found: (isinstance(found, Oblique), *found)))


def _evaluated(bound: AnyBound, predictions: Array, targets: Array) -> Measured:
    derivatives = bound.loss.derivatives if isinstance(bound, Bound) else bound.derivatives
    outputs = ("per_sample", "gradient", "hessian_diagonal")[: 1 + derivatives]
    found = evaluate(batch_of(bound, predictions, targets), reduction="none", outputs=outputs)
    return Measured(found.per_sample, *(cast(Array | None, found.outputs.get(name)) for name in ("gradient", "hessian_diagonal")))


# --- where it bends ---------------------------------------------------------------------------------------------------


def _marks(bound: AnyBound, target: float) -> list[float]:
    """Places of which the parameters speak, the likeliest first: where a loss changes, it is mostly at one of them."""
    numbers = _sizes(bound)
    near = [sign * number for number in (target, *numbers, *(1.0 - number for number in numbers)) for sign in (1.0, -1.0)]
    return [0.0, *near, *(mark + target for mark in near)]


def _sizes(bound: AnyBound) -> list[float]:
    """The parameters that are numbers."""
    return [float(number) for part in _parts(bound) for number in part.parameters.values() if isinstance(number, int | float)]


def _mesh(bound: AnyBound, x: Array, target: float) -> Array:
    """Where pieces of the axis begin and end, in order. Of places that are the same but for rounding, the likeliest."""
    width = x[-1] - x[0]
    places = [float(x[0]), float(x[-1])]
    for mark in _marks(bound, target):
        if x[0] < mark < x[-1] and min(abs(mark - place) for place in places) > NARROW * width:
            places.append(mark)
    even = np.linspace(x[0], x[-1], MESH + 1, dtype=np.float64)
    apart = np.abs(even[:, None] - np.array(places)).min(axis=1) > NARROW * width
    return np.sort(np.append(even[apart], places))


def _jumps(measure: Measure, mesh: Array) -> list[float]:
    """The places strictly within the mesh where the slope is another on both sides, in order.

    Each piece is cut on and on, and that part kept over which the slope changes most: where it is continuous, nothing of the
    change is left.
    """
    low, high = mesh[:-1], mesh[1:]
    at_low, at_high = _slope(measure, low), _slope(measure, high)
    steepest = np.maximum(np.abs(at_low), np.abs(at_high))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(steepest, AROUND, mode="edge"), 2 * AROUND + 1)
    enough = JUMP * around.max(axis=1)
    first, last = low, high
    for _ in range(CUTS):
        left = np.abs(at_high - at_low) > enough
        low, high, at_low, at_high, enough, first, last = (
            array[left] for array in (low, high, at_low, at_high, enough, first, last)
        )
        if not low.size:
            return []
        between = low[:, None] + (high - low)[:, None] * np.arange(1, PIECES) / PIECES
        slopes = np.column_stack([at_low, _slope(measure, between.ravel()).reshape(between.shape), at_high])
        places = np.column_stack([low, between, high])
        steps = np.arange(low.size), np.abs(np.diff(slopes, axis=1)).argmax(axis=1)
        low, at_low, high, at_high = places[:, :-1][steps], slopes[:, :-1][steps], places[:, 1:][steps], slopes[:, 1:][steps]
    found = np.abs(at_high - at_low) > enough
    width = mesh[-1] - mesh[0]
    jumps: list[float] = []
    for start, end, *marks in zip(low[found], high[found], first[found], last[found], strict=True):
        near = next((mark for mark in marks if start - NARROW * width <= mark <= end + NARROW * width), None)
        place = float(_rounded(start, width) if near is None else near)
        if mesh[0] < place < mesh[-1] and not any(abs(place - jump) < NARROW * width for jump in jumps):
            jumps.append(place + 0.0)
    return sorted(jumps)


def _slope(measure: Measure, places: Array) -> Array:
    """The slope, as numbers that can be compared: what is infinite is very steep."""
    slope = measure(places).slope
    assert slope is not None
    return np.nan_to_num(slope, nan=0.0, posinf=1e300, neginf=-1e300)


def _rounded(number: float, width: float) -> float:
    """Without the digits that halving leaves behind."""
    return round(number, 14 - math.floor(math.log10(width)))


# --- what it tends to -------------------------------------------------------------------------------------------------


def _poles_at_ends(measure: Measure, domain: Interval) -> Iterator[float]:
    """The finite ends of the domain towards which the value grows beyond all bounds."""
    for end, inward in ((domain.low, 1.0), (domain.high, -1.0)):
        if math.isfinite(end) and _grows(measure, end, inward, domain):
            yield end


def _is_pole(measure: Measure, place: float, domain: Interval) -> bool:
    return _grows(measure, place, 1.0, domain) or _grows(measure, place, -1.0, domain)


def _grows(measure: Measure, place: float, direction: float, domain: Interval) -> bool:
    """Whether the value tends to infinity from one side: it grows as fast as a logarithm, or is infinite already.

    Where it is not defined, it does not.
    """
    places = [place + direction * 10.0**-power for power in NEAR]
    apart = [near for near in dict.fromkeys(places) if near != place and not domain.outside(np.array([near])).any()]
    value = np.abs(measure(np.array(apart)).value)
    if not np.isfinite(value).all():
        return not np.isnan(value).any()
    steps, powers = np.diff(value), np.array(NEAR[: value.size])
    return value.size > 3 and bool(
        (steps > 0).all() and steps[-1] / steps[-2] >= 0.9 * (powers[-1] - powers[-2]) / (powers[-2] - powers[-3])
    )


def _lines(measure: Measure, domain: Interval, scale: float) -> Iterator[Oblique]:
    """The lines that the value tends to where the domain goes on for ever."""
    known: list[Oblique] = []
    for end, direction in ((domain.low, -1.0), (domain.high, 1.0)):
        line = _line(measure, direction * scale * np.array(FAR)) if math.isinf(end) else None
        if line and not any(np.allclose(line, other, rtol=ALIKE, atol=ALIKE * scale) for other in known):
            known.append(line)
            yield line


def _line(measure: Measure, places: Array) -> Oblique | None:
    """The line that the value is on at these places, each farther out than the one before; None where there is none."""
    value, slope, _ = measure(places)
    if slope is None or not (np.isfinite(value).all() and np.isfinite(slope).all()):
        return None
    steepness = _clean(slope[-1], slope[-1] - slope[-2])
    intercepts = value - steepness * places
    moved = np.abs(np.diff(intercepts))
    allowed = ALIKE * np.maximum(1.0, np.abs(intercepts[1:]))
    if abs(slope[-1] - slope[-2]) > ALIKE * max(1.0, abs(steepness)) or not (moved <= allowed).any():
        return None
    if moved[-1] > 100 * allowed[-1]:
        return None
    settled = int(np.argmin(moved))
    return Oblique(steepness, _clean(float(intercepts[settled + 1]), moved[settled]))


def _clean(number: float, doubt: float) -> float:
    """The roundest number within the doubt: what is within the last digits of 0 is 0."""
    digits = 12 if doubt == 0 else max(0, min(12, -math.ceil(math.log10(abs(doubt))) - 1))
    return round(float(number), digits) + 0.0
