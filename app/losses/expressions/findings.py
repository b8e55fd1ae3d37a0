"""What numbers tell about an expression as a function of the residual, the target being 0: found at points, and no proof."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.expressions.compile import Expression
from app.losses.expressions.functions import FUNCTIONS
from app.losses.expressions.parse import MOST_CHARACTERS, is_expression
from app.losses.expressions.program import Program
from app.losses.expressions.simplify import simplified
from app.losses.expressions.steps import Term
from app.losses.expressions.written import mathml, text
from app.losses.numerics.stable import Array

NEAR = np.arange(1, 1001) / 100.0
FAR = np.outer(10.0 ** np.arange(1, 6), np.arange(2, 21) / 2.0).reshape(-1)
POINTS: Array = np.concatenate([-FAR[::-1], -NEAR[::-1], [0.0], NEAR, FAR])
"""Residuals: every hundredth up to 10, and ever fewer up to a million."""
ALIKE = 1e-9
"""Relative difference of two numbers that are taken for the same."""
GROWS = 1.01
"""A slope that is larger by this beyond a residual of 100,000 has no bound that could be seen."""
BESIDE, NEARER = 1e-7, 0.01
"""How far beside a point both sides are compared, and what of it the second time: what does not shrink by half is a jump."""
POLE = 1.1
"""A value that is larger by this so much nearer to a kink has no bound there: even a logarithm grows by more."""
LARGEST_SHOWN = 2000
"""Steps of a derivative that is simplified and shown."""


@dataclass(frozen=True)
class Minimum:
    """The smallest value that was found, and where; of several, the nearest to 0."""

    residual: float
    value: float


@dataclass(frozen=True)
class Findings:
    """What was found at so many residuals where the expression is finite; None where these are too few to tell."""

    points: int
    convex: bool | None
    symmetric: bool | None
    minimum: Minimum | None
    """None where the value still falls at the last of the points, or beside a pole."""
    lipschitz: float | None
    """The largest slope; None where it grows without a bound that could be seen, or is not finite everywhere."""


class Description(NamedTuple):
    """What an answer tells of an expression."""

    derivative: str | None
    """To the prediction, as an expression; None where it is too long for one."""
    derivative_mathml: str | None
    not_differentiable: tuple[str, ...]
    """Conditions under which value or slope jumps or is infinite, where the target is 0, as far as points tell."""
    found: Findings


@lru_cache(256)
def told_of(expression: Expression) -> Description:
    """Everything that an answer tells of it."""
    derivative, drawn = _derivative(expression)
    kinks = _kinks(expression)
    roots = np.concatenate([*kinks.values(), np.zeros(0)])
    return Description(derivative, drawn, (*kinks,), _findings(expression, roots))


def _derivative(expression: Expression) -> tuple[str | None, str | None]:
    slope = expression.slope
    if slope.steps.size_of(slope) > LARGEST_SHOWN:
        return None, None
    terms = simplified(slope)
    written = text(terms)
    if len(written) > MOST_CHARACTERS or not is_expression(written, expression.parameters):
        return None, None
    return written, mathml(terms)


@np.errstate(all="ignore")
def _findings(expression: Expression, kinks: Array) -> Findings:
    values, slopes, _ = expression(POINTS, np.zeros_like(POINTS))
    known = np.isfinite(values) & np.isfinite(slopes)
    count = int(np.count_nonzero(known))
    if count < 3:
        return Findings(count, None, None, None, None)
    beside, falls = _beside_poles(expression, kinks)
    minimum = _minimum(POINTS[np.isfinite(values)], values[np.isfinite(values)], beside[falls])
    residuals, values, slopes = POINTS[known], values[known], slopes[known]
    return Findings(
        count,
        _convex(residuals, values),
        _symmetric(expression, known),
        minimum,
        _bound(residuals, slopes) if count == POINTS.size and not beside.size else None,
    )


def _minimum(residuals: Array, values: Array, falling: Array) -> Minimum | None:
    """The smallest value that is not at an end of the points, nor above one that falls beside a pole."""
    lowest = np.flatnonzero(values == values.min())
    least = lowest[np.argmin(np.abs(residuals[lowest]))]
    bounded = 0 < least < values.size - 1 and not (falling < values[least]).any()
    return Minimum(float(residuals[least]), float(values[least]) + 0.0) if bounded else None


def _beside_poles(expression: Expression, kinks: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The values on both sides of each place that they grow beyond all bounds at, and which of them fall there."""
    step = BESIDE * np.maximum(1.0, np.abs(kinks))
    wide, near = (
        expression(points, np.zeros_like(points))[0]
        for points in (np.concatenate([kinks - h, kinks + h]) for h in (step, NEARER * step))
    )
    grows = np.abs(near) > POLE * np.abs(wide)
    return near[grows], near[grows] < wide[grows]


def _convex(residuals: Array, values: Array) -> bool:
    """Whether each point lies on or below the chord of its neighbours."""
    (left, here, right), (before, value, after) = ((array[:-2], array[1:-1], array[2:]) for array in (residuals, values))
    chord = before + (after - before) * ((here - left) / (right - left))
    size = np.maximum(np.abs(before), np.maximum(np.abs(value), np.abs(after)))
    return bool((value - chord <= ALIKE * size).all())


def _symmetric(expression: Expression, known: NDArray[np.bool_]) -> bool:
    there, _, _ = expression(POINTS, np.zeros_like(POINTS))
    back = there[::-1]
    both = known | known[::-1]
    return bool((np.abs(there - back)[both] <= ALIKE * np.abs(there)[both]).all())


def _bound(residuals: Array, slopes: Array) -> float | None:
    sizes, far = np.abs(slopes), np.abs(residuals) > 1e5
    return None if sizes[far].max() > GROWS * sizes[~far].max() else float(sizes.max())


# --- where there is no derivative ------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def _kinks(expression: Expression) -> dict[str, Array]:
    """Where the value or the slope jumps or is infinite: the conditions, where the target is 0, and the residuals of each."""
    value, steps = expression.value, expression.value.steps
    found: dict[str, Array] = {}
    for index in steps.needed([value]):
        step = steps.all[index]
        kinks = FUNCTIONS[step.name].kinks if step.inputs else None
        for left, right in kinks(*(Term(steps, source) for source in step.inputs)) if kinks else ():
            if steps.depends(left, ("p", "r")) or steps.depends(right, ("p", "r")):
                roots = _roots(Program([left - right], expression.parameters))
                if roots.size and not any(map(partial(np.array_equal, roots), found.values())) and _bends(expression, roots):
                    found[f"{text(simplified(left))} = {text(simplified(right))}"] = roots
    return found


def _roots(difference: Program) -> Array:
    """Where it is 0 or changes its sign."""
    values = difference(POINTS, np.zeros_like(POINTS))[0]
    signs = np.sign(values)
    crossed = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    low, high, side = POINTS[crossed], POINTS[crossed + 1], signs[crossed]
    for _ in range(60):
        middle = (low + high) / 2.0
        same = np.sign(difference(middle, np.zeros_like(middle))[0]) == side
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.concatenate([POINTS[values == 0], high])


def _bends(expression: Expression, roots: Array) -> bool:
    """Whether the value or the slope jumps at one of these."""
    step = BESIDE * np.maximum(1.0, np.abs(roots))
    wide, narrow = _gaps(expression, roots, step), _gaps(expression, roots, NEARER * step)
    return any(
        bool(((gap > wider / 2.0) & (gap > ALIKE * size)).any()) for (gap, size), (wider, _) in zip(narrow, wide, strict=True)
    )


def _gaps(expression: Expression, roots: Array, step: Array) -> list[tuple[Array, Array]]:
    """By how much the values and the slopes on both sides differ, and how large they are."""
    sides = [expression(points, np.zeros_like(points))[:2] for points in (roots - step, roots + step)]
    return [(np.abs(after - before), np.abs(after) + np.abs(before)) for before, after in zip(*sides, strict=True)]
