"""Two boxes beside each other: what they share, how far they are apart, how their shapes differ, and how that moves with them.

Along each axis two boxes leave five lengths: the part they share, what each has beside it, the gap between them, and the
span of both. Areas are sums of products of these, none negative, so that 1 − IoU keeps its digits for nearly equal boxes.
At a tie of two edges, a derivative is the mean of both sides.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import (
    Pair,
    either,
    pair,
    pair_add,
    pair_arctan2,
    pair_divide,
    pair_multiply,
    pair_negative,
    two_sum,
)
from app.losses.numerics.stable import Array, power_of_two

_TURNED = slice(None, None, -1)
_INVERSE_PI_SQUARED = np.full(1, 0.10132118364233778), np.full(1, -3.9662898794394414e-18)
BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh"]


class Axes(NamedTuple):
    """Two intervals along each axis, the predicted and the true one: numbers (2, n), or (n,) of one axis, lengths unrounded."""

    size: Pair
    true_size: Pair
    shared: Pair
    own: Pair
    """What the prediction has beside the shared part: size = shared + own."""
    other: Pair
    """What the target has beside it: true_size = shared + other."""
    gap: Pair
    span: Pair
    centre: Pair
    """How far the prediction's centre is above the target's."""
    inside: tuple[Array, Array]
    """1 where the prediction's lower and upper edge bounds the shared part, 0 where it bounds the span, ½ where it does both."""

    def turned(self, axis: int | slice) -> "Axes":
        """One axis, or each axis where the other one stands."""
        return Axes(*((first[axis], second[axis]) for first, second in self))


@dataclass(frozen=True)
class BoxPair:
    axes: Axes
    eps: Pair
    units: Array
    """What 1 is along each axis (2, n), in the units of the request."""
    box_format: BoxFormat

    @property
    def x_and_y(self) -> tuple[Axes, Axes]:
        return self.axes.turned(0), self.axes.turned(1)


class Pull(NamedTuple):
    """A term's derivatives to the edges along each axis, in parts of which not all depend on the edge."""

    either_edge: Pair | None = None
    inside: Pair | None = None
    """To a lower edge that bounds the shared part; the opposite to an upper one."""
    outside: Pair | None = None
    """To a lower edge that bounds the span; the opposite to an upper one."""


@dataclass(frozen=True)
class Term:
    """A part of a loss: its value and, in units of its own, its derivatives. These cancel with those of other parts."""

    boxes: BoxPair
    value: Pair
    pull: Pull
    weight: Pair | None = None

    def times(self, weight: Pair) -> "Term":
        return replace(self, weight=weight)

    def edges(self) -> tuple[list[Pair], list[Pair]]:
        """What adds up to the derivatives to the lower edges, and to the upper ones, in the units of the request."""
        axes, units = self.boxes.axes, self.boxes.units
        lower: list[Pair] = []
        upper: list[Pair] = []
        for part, share in zip(self.pull, (None, 0.0, 1.0), strict=True):
            if part is None:
                continue
            high, low = part if self.weight is None else pair_multiply(part, self.weight)
            pull = high / units, low / units
            lower.append(pull if share is None else times_exactly(np.abs(share - axes.inside[0]), pull))
            upper.append(pull if share is None else times_exactly(-np.abs(share - axes.inside[1]), pull))
        return lower, upper


def box_pair(predictions: Array, targets: Array, eps: float, box_format: BoxFormat) -> BoxPair:
    """Both boxes in units of a power of two about the size of their span: no area overflows, and scaling rounds nothing.

    The unit is not so small that coordinates far from 0, or eps, would overflow in it.
    """
    both = np.stack([predictions, targets])
    far = power_of_two(np.abs(both).max(axis=(0, 2)))
    low, high = corners_of(both / far[:, None], box_format)
    span = (high[0].max(axis=0) - low[0].min(axis=0)).max(axis=1)
    unit = far * power_of_two(np.maximum(np.maximum(span, 2.0**-60), np.sqrt(eps) / far))
    unit = np.clip(unit, 2.0**-1000, 2.0**1000)
    scale = unit / far

    def edges(corner: Pair, box: int) -> Pair:
        return corner[0][box].T / scale, corner[1][box].T / scale

    axes = axes_of(edges(low, 0), edges(high, 0), edges(low, 1), edges(high, 1))
    return BoxPair(axes, pair(eps / unit / unit), np.stack([unit, unit]), box_format)


def corners_of(boxes: Array, box_format: BoxFormat) -> tuple[Pair, Pair]:
    """The lower and the upper corner, unrounded."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if box_format == "xyxy":
        return pair(first), pair(second)
    if box_format == "xywh":
        return pair(first), two_sum(first, second)
    return two_sum(first, -second / 2.0), two_sum(first, second / 2.0)


def axes_of(low: Pair, high: Pair, true_low: Pair, true_high: Pair) -> Axes:
    size, true_size = pair_add(high, pair_negative(low)), pair_add(true_high, pair_negative(true_low))
    lower, upper = pair_add(low, pair_negative(true_low)), pair_add(high, pair_negative(true_high))
    shift = pair_add(lower, upper)
    above, below = upper[0] > 0, lower[0] < 0  # where the prediction reaches beyond the target
    span = pair_add(either(upper[0] < 0, true_high, high), pair_negative(either(lower[0] > 0, true_low, low)))
    between = pair_add(either(upper[0] < 0, high, true_high), pair_negative(either(lower[0] > 0, low, true_low)))
    apart = between[0] < 0
    own = pair_add(number_where(below, pair_negative(lower)), number_where(above, upper))
    other = pair_add(number_where(~below, lower), number_where(~above, pair_negative(upper)))
    return Axes(
        size=size,
        true_size=true_size,
        shared=number_where(~apart, between),
        own=either(apart, size, own),
        other=either(apart, true_size, other),
        gap=number_where(apart, pair_negative(between)),
        span=span,
        centre=(0.5 * shift[0], 0.5 * shift[1]),
        inside=(0.5 + 0.5 * np.sign(lower[0]), 0.5 - 0.5 * np.sign(upper[0])),
    )


def number_where(condition: NDArray[np.bool_], number: Pair) -> Pair:
    """The number, or 0."""
    return np.where(condition, number[0], 0.0), np.where(condition, number[1], 0.0)


def sum_of(*terms: Pair) -> Pair:
    total = terms[0]
    for term in terms[1:]:
        total = pair_add(total, term)
    return total


def in_own_units(boxes: BoxPair) -> BoxPair:
    """The same boxes with a unit of its own along each axis, the span there: the area of a thin box does not vanish in it.

    Only without eps, beside which the area of such a box is nothing anyhow.
    """
    if boxes.eps[0].any():
        return boxes
    units = power_of_two(boxes.axes.span[0])
    lengths = Axes(*((high / units, low / units) for high, low in boxes.axes))
    return replace(boxes, axes=lengths._replace(inside=boxes.axes.inside), units=boxes.units * units)


def gradient_of(boxes: BoxPair, *terms: Term) -> Array:
    """The derivatives of all terms to the four numbers of a predicted box, added up before they are rounded."""
    edges = [term.edges() for term in terms]
    lower, upper = ([pull for edge in edges for pull in edge[side]] for side in (0, 1))
    if boxes.box_format == "xyxy":
        rows = rounded(*lower), rounded(*upper)
    elif boxes.box_format == "xywh":
        rows = rounded(*lower, *upper), rounded(*upper)
    else:
        rows = rounded(*lower, *upper), rounded(*map(pair_negative, lower), *upper) / 2.0
    return np.concatenate(rows).T


def rounded(*terms: Pair) -> Array:
    """Their sum: 0 where they are opposed, as those of a box that keeps its shape are, but for the rounding of pairs."""
    high, low = sum_of(*terms)
    parts = np.stack([term[0] for term in terms])
    rounded = np.where(np.abs(high) > 2.0**-100 * np.abs(parts).max(axis=0), high + low, 0.0)
    if np.isfinite(parts).all():
        return rounded
    plain = parts.sum(axis=0)  # infinite numbers have no error; opposed, they leave nothing
    return np.where(np.isfinite(parts).all(axis=0), rounded, np.where(np.isnan(plain), 0.0, plain))


def quotient(above: Pair, below: Pair, otherwise: Array | float = 0.0) -> Pair:
    """above / below, where 0 / 0 is `otherwise`."""
    some = below[0] > 0
    high, low = pair_divide(above, (np.where(some, below[0], 1.0), below[1]))
    return np.where(some, high, otherwise), np.where(some, low, 0.0)


def overlap_term(boxes: BoxPair) -> Term:
    """1 − IoU as the area outside the intersection over the union; of two boxes without area 0 where they are one, else 1."""
    boxes = in_own_units(boxes)
    (x, y), a, b, eps = boxes.x_and_y, boxes.axes, boxes.axes.turned(_TURNED), boxes.eps
    common = pair_multiply(x.shared, y.shared)
    only_own = pair_add(pair_multiply(x.own, y.size), pair_multiply(x.shared, y.own))
    only_other = pair_add(pair_multiply(x.other, y.true_size), pair_multiply(x.shared, y.other))
    beside = sum_of(only_own, only_other, eps)
    union = pair_add(beside, common)
    touching = (x.shared[0] > 0) & (y.shared[0] > 0) & (union[0] > 0)
    different = sum((part[0] for axis in (x, y) for part in (axis.own, axis.other, axis.gap)), np.zeros(1)) > 0

    # moving an edge of the intersection takes from it, moving any other adds to the union
    lever = number_where(touching, quotient(b.shared, union))
    taken = sum_of(pair_multiply(a.own, b.size), only_other, eps, common)
    added = pair_add(pair_multiply(a.shared, b.own), common)
    inside, outside = (pair_multiply(lever, quotient(area, union)) for area in (taken, pair_negative(added)))
    return Term(boxes, quotient(beside, union, different.astype(np.float64)), Pull(inside=inside, outside=outside))


def times_exactly(factor: Array | float, number: Pair) -> Pair:
    """The number times a power of two, 0 or −1."""
    return factor * number[0], factor * number[1]


def spare_term(boxes: BoxPair) -> Term:
    """The share of the enclosing box that neither box covers, summed from the rectangles it consists of."""
    boxes = in_own_units(boxes)
    (x, y), a, b, eps = boxes.x_and_y, boxes.axes, boxes.axes.turned(_TURNED), boxes.eps
    area = pair_add(pair_multiply(x.span, y.span), eps)
    spare = sum_of(
        pair_multiply(x.own, y.other),
        pair_multiply(x.other, y.own),
        pair_multiply(x.gap, y.span),
        pair_multiply(y.gap, sum_of(x.own, x.other, x.shared)),
    )
    touching = (x.shared[0] > 0) & (y.shared[0] > 0)

    uncovered = either(touching, b.own, b.size)
    widened = sum_of(
        pair_multiply(a.other, pair_add(b.own, pair_negative(b.other))),
        pair_multiply(b.size, a.gap),
        pair_negative(pair_multiply(a.shared, b.other)),
    )
    widened = pair_add(pair_multiply(b.span, widened), pair_negative(pair_multiply(eps, pair_add(b.other, b.gap))))
    pull = Pull(inside=quotient(uncovered, area), outside=quotient(quotient(widened, area), area))
    return Term(boxes, quotient(spare, area), pull)


def distance_term(boxes: BoxPair) -> Term:
    """The squared distance of the centres over the squared diagonal of the enclosing box.

    An edge of the enclosing box that moves the centre as well pulls both ways.
    """
    x, y = boxes.x_and_y
    diagonal = sum_of(pair_multiply(x.span, x.span), pair_multiply(y.span, y.span), boxes.eps)
    ratio = quotient(pair_add(pair_multiply(x.centre, x.centre), pair_multiply(y.centre, y.centre)), diagonal)

    axes = boxes.axes
    widened = quotient(times_exactly(2.0, pair_multiply(ratio, axes.span)), diagonal)
    return Term(boxes, ratio, Pull(quotient(axes.centre, diagonal), outside=widened))


def size_term(boxes: BoxPair) -> Term:
    """The squared difference of the widths over that of the enclosing box, and the same of the heights."""
    boxes = in_own_units(boxes)
    axes, eps = boxes.axes, boxes.eps
    wider = pair_add(axes.own, pair_negative(axes.other))
    square = pair_add(pair_multiply(axes.span, axes.span), eps)
    ratio = quotient(pair_multiply(wider, wider), square)
    moved = times_exactly(-2.0, quotient(wider, square))
    widened = times_exactly(2.0, quotient(pair_multiply(ratio, axes.span), square))
    total = pair_add((ratio[0][0], ratio[1][0]), (ratio[0][1], ratio[1][1]))
    return Term(boxes, total, Pull(inside=moved, outside=pair_add(moved, widened)))


def aspect_term(boxes: BoxPair) -> Term:
    """v, from the angle between the diagonals: the arctangent of a cross product, where two arctangents would cancel."""
    x, y = boxes.x_and_y
    unit = power_of_two(np.maximum(x.size[0], y.size[0]))
    true_unit = power_of_two(np.maximum(x.true_size[0], y.true_size[0]))
    w, h = times_exactly(1.0 / unit, x.size), times_exactly(1.0 / unit, y.size)
    true_w, true_h = times_exactly(1.0 / true_unit, x.true_size), times_exactly(1.0 / true_unit, y.true_size)
    cross = pair_add(pair_multiply(true_w, h), pair_negative(pair_multiply(w, true_h)))
    angle = pair_arctan2(cross, pair_add(pair_multiply(w, true_w), pair_multiply(h, true_h)))
    diagonal = pair_add(pair_multiply(w, w), pair_multiply(h, h))
    scaled = pair_multiply(pair(np.full(1, 8.0)), pair_multiply(angle, _INVERSE_PI_SQUARED))

    # a wider box turns its diagonal one way, a higher one the other
    lever = quotient((np.stack([h[0], -w[0]]), np.stack([h[1], -w[1]])), diagonal)
    turn = times_exactly(1.0 / unit, pair_multiply(scaled, lever))
    v = pair_multiply(pair_multiply(angle, angle), times_exactly(4.0, _INVERSE_PI_SQUARED))
    return Term(boxes, v, Pull(inside=turn, outside=turn))
