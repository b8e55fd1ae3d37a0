"""Losses of boxes: how far a predicted box is from the true one, by their overlap.

Along each axis two boxes leave five lengths: the part they share, what each has beside it, the gap between them, and the
span of both. Areas are sums of products of these, none negative, so that 1 − IoU keeps its digits for nearly equal boxes.
At a tie of two edges, the gradient is the mean of both sides, as in PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from app.losses.cost import IN_PAIRS
from app.losses.encodings import REAL
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, loss
from app.losses.numerics.pairs import (
    Pair,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    renormalised,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import Array, power_of_two
from app.registry import alias

Eps: TypeAlias = Annotated[
    float,
    Ge(0),
    Doc("Added to every denominator, an area, as torchvision does; a perfect match then costs something where it is small."),
]


BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh"]
Format: TypeAlias = Annotated[
    BoxFormat, Doc("What a box is: two corners, a corner with width and height, or the centre with width and height.")
]


def _boxes(box_format: BoxFormat, row: str, rule: str, turned: str, hint: str) -> Encoding:
    """Boxes of this format: of two corners the second is not below the first, widths and heights are not below 0."""
    corners = box_format == "xyxy"

    def read(array: Numbers, place: Place) -> Reading:
        if array.shape[1] != 4:
            place.refuse("shape", f"{place.name} must have shape (n, 4), a row {row} per box; got shape {array.shape}")
        REAL.read(array, place)
        bad = array < (np.concatenate([array[:, :2], array[:, :2]], axis=1) if corners else 0.0)
        bad[:, :2] = False
        if bad.any():
            place.refuse_numbers(bad, array, f"{turned} (boxes are {row}{hint})", "box")
        return Reading(array, f"box_{box_format}")

    def draw(rng: np.random.Generator, sizes: Sizes) -> Numbers:
        corner, size = rng.integers(0, 5, (sizes.n, 2)) * 0.5, rng.integers(2, 7, (sizes.n, 2)) * 0.5
        return np.concatenate([corner, corner + size if corners else size], axis=1)

    return Encoding(f"box_{box_format}", f"a box {row} with {rule}", ("n 4",), read, draw)


def _when_format(encoding: Encoding) -> Case:
    box_format = encoding.name.removeprefix("box_")
    return Case(f"box_format is {box_format}", lambda parameters, _: parameters["box_format"] == box_format, encoding)


_NO_CORNERS = ", not [x1, y1, x2, y2]"
BOX = Choice(
    tuple(
        map(
            _when_format,
            (
                _boxes(
                    "xyxy", "[x1, y1, x2, y2]", "x1 ≤ x2 and y1 ≤ y2", "at least its x1 or y1",
                    ", not [x, y, width, height]: for these set box_format to xywh",
                ),
                _boxes("xywh", "[x1, y1, width, height]", "no width or height below 0", "at least 0", _NO_CORNERS),
                _boxes("cxcywh", "[x, y, width, height], x and y its centre,", "no width or height below 0", "at least 0",
                       _NO_CORNERS),
            ),
        )
    )
)  # fmt: skip


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − |A ∩ B| / |A ∪ B|",
    aliases=("linear_iou", "linear_iou_loss"),
    equals=("tensorflow_addons.losses.giou_loss(mode='iou')", "mmdet.models.losses.IoULoss(mode='linear')"),
    reference="Yu et al. (2016), doi:10.1145/2964284.2967274",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def iou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """One minus intersection over union: blind to scale, and without a gradient where the boxes do not touch.

    The paper and MMDetection's default take −log IoU; this is the linear form, on which GIoU, DIoU and CIoU build.
    """
    boxes = _pair(predictions, targets, eps, box_format)
    return _overlap_term(boxes)


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − IoU + (|C| − |A ∪ B|) / |C|, C the smallest box around both",
    aliases=("GIoULoss", "giou_loss", "generalized_iou", "BoxGIoULoss", alias("generalized_box_iou_loss", eps=1e-7)),
    equals=(
        "torchvision.ops.generalized_box_iou_loss(eps)",
        "tensorflow_addons.losses.GIoULoss()",
        "monai.losses.BoxGIoULoss()",
        "mmdet.models.losses.GIoULoss(eps)",
    ),
    reference="Rezatofighi et al. (2019), doi:10.1109/CVPR.2019.00075",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def giou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """IoU with the empty share of the smallest box around both: boxes that do not touch are drawn together."""
    boxes = _pair(predictions, targets, eps, box_format)
    overlap, overlap_gradient = _overlap_term(boxes)
    spare, spare_gradient = _spare_term(boxes)
    return overlap + spare, overlap_gradient + spare_gradient


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − IoU + ρ² / c², ρ the distance of the centres, c the diagonal of the smallest box around both",
    aliases=("DIoULoss", "diou_loss", "distance_iou", alias("distance_box_iou_loss", eps=1e-7)),
    equals=("torchvision.ops.distance_box_iou_loss(eps)", "mmdet.models.losses.DIoULoss(eps)"),
    reference="Zheng et al. (2020), doi:10.1609/aaai.v34i07.6999",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def diou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """IoU with the distance of the centres: boxes move towards each other directly, also where one holds the other."""
    boxes = _pair(predictions, targets, eps, box_format)
    overlap, overlap_gradient = _overlap_term(boxes)
    distance, distance_gradient = _distance_term(boxes)
    return overlap + distance, overlap_gradient + distance_gradient


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − IoU + ρ²/c² + αv, v = (4/π²)(arctan(w′/h′) − arctan(w/h))², α = v / (1 − IoU + v)",
    aliases=("CIoULoss", "ciou_loss", "complete_iou", alias("complete_box_iou_loss", eps=1e-7, detach_alpha=True)),
    equals=("torchvision.ops.complete_box_iou_loss(eps) with detach_alpha",),
    reference="Zheng et al. (2020), doi:10.1609/aaai.v34i07.6999",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def ciou(
    predictions: Array,
    targets: Array,
    *,
    eps: Eps = 0.0,
    box_format: Format = "xyxy",
    detach_alpha: Annotated[bool, Doc("Whether the gradient takes the weight α as a constant, as torchvision does.")] = False,
) -> tuple[Array, Array]:
    """DIoU with the difference of the aspect ratios: overlap, place and shape in one number.

    With `detach_alpha` the value is the same, but the gradient is no longer its derivative. A box of a single point has
    no aspect ratio: v is 0 then.
    """
    boxes = _pair(predictions, targets, eps, box_format)
    overlap, overlap_gradient = _overlap_term(boxes)
    distance, distance_gradient = _distance_term(boxes)
    v, aspect_gradient = _aspect(boxes)
    rest = overlap + eps
    alpha = _quotient(v, rest + v)
    # α² = v²/(rest + v)² comes twice with opposite signs: d(αv) = α(2 − α) dv − α² d(overlap)
    pull, keep = (alpha, 1.0) if detach_alpha else (alpha * (2.0 - alpha), _quotient(rest, rest + v, 1.0) * (1.0 + alpha))
    values = overlap + distance + alpha * v
    return values, _times(keep, overlap_gradient) + distance_gradient + _times(pull, aspect_gradient)


@dataclass(frozen=True)
class _Axis:
    """Two intervals, the predicted and the true one, along one axis."""

    size: Array
    size_error: Array
    """What rounding took from the size, here and below: (size, error) is a pair."""
    true_size: Array
    true_size_error: Array
    shared: Array
    own: Array
    """What the prediction has beside the shared part: size = shared + own."""
    other: Array
    """What the target has beside it: true_size = shared + other."""
    gap: Array
    span: Array
    low_inside: Array
    """1 where the prediction's lower edge bounds the shared part, 0 where it bounds the span, ½ where it does both."""
    high_inside: Array
    span_error: Array
    centre: Array
    """How far the prediction's centre is above the target's."""
    centre_error: Array


@dataclass(frozen=True)
class _Pair:
    x: _Axis
    y: _Axis
    eps: Array
    units: tuple[Array, Array]
    """What 1 is along x and along y, in the units of the request."""
    box_format: BoxFormat


Force: TypeAlias = Callable[[_Axis, _Axis, Array, float], Array]
"""(axis, the other axis, low_inside or high_inside, +1 for the lower edge or −1 for the upper) -> derivative to that edge."""


def _pair(predictions: Array, targets: Array, eps: float, box_format: BoxFormat) -> _Pair:
    """Both boxes in units of a power of two about the size of their span: no area overflows, and scaling rounds nothing.

    The unit is not so small that coordinates far from 0, or eps, would overflow in it.
    """
    both = np.stack([predictions, targets])
    far = power_of_two(np.abs(both).max(axis=(0, 2)))
    low, high = _corners(both / far[:, None], box_format)
    span = (high[0].max(axis=0) - low[0].min(axis=0)).max(axis=1)
    unit = far * power_of_two(np.maximum(np.maximum(span, 2.0**-60), np.sqrt(eps) / far))
    unit = np.clip(unit, 2.0**-1000, 2.0**1000)
    scale = unit / far

    def edge(corner: Pair, box: int, axis: int) -> Pair:
        return corner[0][box, :, axis] / scale, corner[1][box, :, axis] / scale

    x, y = (_axis(edge(low, 0, axis), edge(high, 0, axis), edge(low, 1, axis), edge(high, 1, axis)) for axis in (0, 1))
    return _Pair(x, y, eps / unit / unit, (unit, unit), box_format)


def _corners(boxes: Array, box_format: BoxFormat) -> tuple[Pair, Pair]:
    """The lower and the upper corner, unrounded."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if box_format == "xyxy":
        return pair(first), pair(second)
    if box_format == "xywh":
        return pair(first), two_sum(first, second)
    return two_sum(first, -second / 2.0), two_sum(first, second / 2.0)


def _axis(low: Pair, high: Pair, true_low: Pair, true_high: Pair) -> _Axis:
    size, size_error = pair_add(high, pair_negative(low))
    true_size, true_size_error = pair_add(true_high, pair_negative(true_low))
    lower, lower_error = pair_add(low, pair_negative(true_low))
    upper, upper_error = pair_add(high, pair_negative(true_high))
    shift, shift_error = two_sum(lower, upper)
    centre, centre_error = renormalised(0.5 * shift, 0.5 * (shift_error + (lower_error + upper_error)))
    span, span_error = pair_add(either(upper < 0, true_high, high), pair_negative(either(lower > 0, true_low, low)))
    between = pair_add(either(upper < 0, high, true_high), pair_negative(either(lower > 0, low, true_low)))[0]
    return _Axis(
        size=size, size_error=size_error, true_size=true_size, true_size_error=true_size_error,
        shared=np.maximum(between, 0.0),
        own=np.minimum(size, np.maximum(-lower, 0.0) + np.maximum(upper, 0.0)),
        other=np.minimum(true_size, np.maximum(lower, 0.0) + np.maximum(-upper, 0.0)),
        gap=np.maximum(-between, 0.0),
        span=span, span_error=span_error,
        low_inside=0.5 + 0.5 * np.sign(lower),
        high_inside=0.5 - 0.5 * np.sign(upper),
        centre=centre, centre_error=centre_error,
    )  # fmt: skip


def _areas(boxes: _Pair) -> _Pair:
    """The same boxes with a unit of its own along each axis, the span there: the area of a thin box does not vanish in it.

    Only without eps, beside which the area of such a box is nothing anyhow.
    """
    if boxes.eps.any():
        return boxes
    x_unit, y_unit = power_of_two(boxes.x.span), power_of_two(boxes.y.span)
    units = boxes.units[0] * x_unit, boxes.units[1] * y_unit
    return replace(boxes, x=_in_units(boxes.x, x_unit), y=_in_units(boxes.y, y_unit), units=units)


def _in_units(axis: _Axis, unit: Array) -> _Axis:
    lengths = {each.name: getattr(axis, each.name) / unit for each in fields(axis) if not each.name.endswith("_inside")}
    return replace(axis, **lengths)


def _gradient(boxes: _Pair, force: Force) -> Array:
    """A term's derivatives to the four numbers of a predicted box."""
    x, y = boxes.x, boxes.y
    lower = np.stack([force(x, y, x.low_inside, 1.0) / boxes.units[0], force(y, x, y.low_inside, 1.0) / boxes.units[1]], axis=1)
    upper = np.stack(
        [force(x, y, x.high_inside, -1.0) / boxes.units[0], force(y, x, y.high_inside, -1.0) / boxes.units[1]], axis=1
    )
    if boxes.box_format == "xyxy":
        return np.concatenate([lower, upper], axis=1)
    grown = upper if boxes.box_format == "xywh" else (upper - lower) / 2.0
    moved = np.where(lower == -upper, 0.0, lower + upper)  # also of two infinite ones: moved, a box keeps its shape
    return np.concatenate([moved, grown], axis=1)


def _times(weight: Array | float, gradient: Array) -> Array:
    """Each row by its weight; a weight of 0 leaves nothing of an infinite slope."""
    column = np.reshape(weight, (-1, 1))
    return np.where(column == 0, 0.0, column * gradient)


def _quotient(above: Array, below: Array, otherwise: Array | float = 0.0) -> Array:
    """above / below, where 0 / 0 is `otherwise`."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), otherwise)


def _overlap_term(boxes: _Pair) -> tuple[Array, Array]:
    """1 − IoU as the area outside the intersection over the union; of two boxes without area 0 where they are one, else 1."""
    boxes = _areas(boxes)
    x, y, eps = boxes.x, boxes.y, boxes.eps
    common = x.shared * y.shared
    only_own = x.own * y.size + x.shared * y.own
    only_other = x.other * y.true_size + x.shared * y.other
    outside = only_own + only_other + eps
    union = outside + common
    touching = (x.shared > 0) & (y.shared > 0) & (union > 0)
    different = (x.own + x.other + x.gap + y.own + y.other + y.gap > 0).astype(np.float64)

    def force(a: _Axis, b: _Axis, inside: Array, sign: float) -> Array:
        # moving an edge of the intersection takes from it, moving any other adds to the union: both in positive terms
        taken = inside * (a.own * b.size + only_other + eps) - (1.0 - inside) * (a.shared * b.own) + (2.0 * inside - 1.0) * common
        return np.divide(sign * b.shared, union, out=np.zeros_like(union), where=touching) * _quotient(taken, union)

    return _quotient(outside, union, different), _gradient(boxes, force)


def _spare_term(boxes: _Pair) -> tuple[Array, Array]:
    """The share of the enclosing box that neither box covers, summed from the rectangles it consists of."""
    boxes = _areas(boxes)
    x, y, eps = boxes.x, boxes.y, boxes.eps
    area = x.span * y.span + eps
    spare = x.own * y.other + x.other * y.own + x.gap * y.span + y.gap * (x.own + x.other + x.shared)
    touching = (x.shared > 0) & (y.shared > 0)

    def force(a: _Axis, b: _Axis, inside: Array, sign: float) -> Array:
        uncovered = np.where(touching, b.own, b.size)
        widened = b.span * (a.other * (b.own - b.other) + b.size * a.gap - a.shared * b.other) - eps * (b.other + b.gap)
        return sign * (inside * _quotient(uncovered, area) + (1.0 - inside) * _quotient(_quotient(widened, area), area))

    return _quotient(spare, area), _gradient(boxes, force)


def _distance_term(boxes: _Pair) -> tuple[Array, Array]:
    """The squared distance of the centres over the squared diagonal of the enclosing box.

    An edge of the enclosing box that moves the centre as well pulls both ways: what is left is taken in double-double.
    """
    x, y = boxes.x, boxes.y
    spans, centres = [(each.span, each.span_error) for each in (x, y)], [(each.centre, each.centre_error) for each in (x, y)]
    diagonal = pair_add(pair_add(*(pair_multiply(each, each) for each in spans)), (boxes.eps, np.zeros_like(boxes.eps)))
    distance = pair_add(*(pair_multiply(each, each) for each in centres))
    below = np.where(diagonal[0] > 0, diagonal[0], 1.0), diagonal[1]
    ratio = pair_divide(distance, below)

    def force(a: _Axis, _: _Axis, inside: Array, sign: float) -> Array:
        factor = (sign * 2.0) * (1.0 - inside)  # 0, 1 or 2, of either sign: exact
        widened = pair_multiply(ratio, (a.span * factor, a.span_error * factor))
        return np.where(diagonal[0] > 0, pair_add((a.centre, a.centre_error), widened)[0] / below[0], 0.0)

    return ratio[0], _gradient(boxes, force)


def _aspect(boxes: _Pair) -> tuple[Array, Array]:
    """v, from the angle between the diagonals: the arctangent of a cross product, where two arctangents would cancel."""
    x, y = boxes.x, boxes.y
    unit, true_unit = power_of_two(np.maximum(x.size, y.size)), power_of_two(np.maximum(x.true_size, y.true_size))
    w, h, true_w, true_h = x.size / unit, y.size / unit, x.true_size / true_unit, y.true_size / true_unit
    low = true_w * (y.size_error / unit) + x.true_size_error / true_unit * h
    low -= w * (y.true_size_error / true_unit) + x.size_error / unit * true_h
    first, first_error = two_product(true_w, h)
    second, second_error = two_product(w, true_h)
    cross, cross_error = two_sum(first, -second)
    angle = np.arctan2(cross + (cross_error + (first_error - second_error) + low), w * true_w + h * true_h)
    diagonal = np.hypot(x.size, y.size)

    def force(a: _Axis, b: _Axis, _: Array, sign: float) -> Array:
        turn = sign if a is x else -sign  # a wider box turns its diagonal one way, a higher one the other
        return (turn * 8.0 / np.pi**2) * _quotient(angle * _quotient(b.size, diagonal), diagonal)

    return (2.0 / np.pi * angle) ** 2, _gradient(boxes, force)
