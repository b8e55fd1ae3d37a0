"""Losses of boxes: how far a predicted box is from the true one, by their overlap.

Along each axis two boxes leave five lengths: the part they share, what each has beside it, the gap between them, and the
span of both. Areas are sums of products of these, none negative, so that 1 − IoU keeps its digits for nearly equal boxes.
At a tie of two edges, the gradient is the mean of both sides, as in PyTorch.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple, TypeAlias

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Boxes
from app.libraries import equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import REAL
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, loss
from app.losses.numerics.pairs import (
    Pair,
    constant,
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
from app.registry import alias

_TURNED = slice(None, None, -1)
_INVERSE_PI_SQUARED = np.full(1, 0.10132118364233778), np.full(1, -3.9662898794394414e-18)
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
    domain = Boxes(sized=box_format != "xyxy")

    def read(array: Numbers, place: Place) -> Reading:
        if array.shape[1] != 4:
            place.refuse("shape", f"{place.name} must have shape (n, 4), a row {row} per box; got shape {array.shape}")
        REAL.read(array, place)
        bad = domain.outside(array)
        if bad.any():
            place.refuse_numbers(bad, array, f"{turned} (boxes are {row}{hint})", "box")
        return Reading(array, f"box_{box_format}", _other_format(array, box_format, place.name))

    def draw(rng: np.random.Generator, sizes: Sizes) -> Numbers:
        corner, size = rng.integers(0, 5, (sizes.n, 2)) * 0.5, rng.integers(2, 7, (sizes.n, 2)) * 0.5
        return np.concatenate([corner, size if domain.sized else corner + size], axis=1)

    return Encoding(f"box_{box_format}", f"a box {row} with {rule}", ("n 4",), read, draw, domain=domain)


FEWEST_BOXES, STRONG = 20, 0.4
"""From how many boxes on something can be told of what the last two numbers are, and how closely they then follow the first."""


def _other_format(boxes: Numbers, box_format: BoxFormat, name: str) -> tuple[str, ...]:
    """What is said of boxes whose last two numbers go with the first two as those of another format do.

    A far corner moves with the near one. A width falls as its corner moves away, where all boxes lie in one picture: and one
    never below its corner, in every box, along both axes, is a far corner itself.
    """
    if len(boxes) < FEWEST_BOXES or box_format == "cxcywh":
        return ()
    near, last = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    with np.errstate(all="ignore"):
        near, last = near - near.mean(axis=0), last - last.mean(axis=0)
        together = (near * last).sum(axis=0) / np.sqrt((near * near).sum(axis=0) * (last * last).sum(axis=0))
    if box_format == "xyxy" and (together < -STRONG).all():
        return (
            f"{name} are taken as [x1, y1, x2, y2], but x2 and y2 fall where x1 and y1 rise: is box_format meant to be xywh?",
        )
    if box_format == "xywh" and (together > STRONG).all() and (boxes[:, 2:] >= boxes[:, :2]).all():
        return (f"{name} are taken as [x1, y1, width, height], but look like two corners: is box_format meant to be xyxy?",)
    return ()


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
                    "xyxy",
                    "[x1, y1, x2, y2]",
                    "x1 ≤ x2 and y1 ≤ y2",
                    "at least its x1 or y1",
                    ", not [x, y, width, height]: for these set box_format to xywh",
                ),
                _boxes("xywh", "[x1, y1, width, height]", "no width or height below 0", "at least 0", _NO_CORNERS),
                _boxes(
                    "cxcywh",
                    "[x, y, width, height], x and y its centre,",
                    "no width or height below 0",
                    "at least 0",
                    _NO_CORNERS,
                ),
            ),
        )
    )
)


BOTH = {"A": "the predicted box", "B": "the true box", "z": "a coordinate of the predicted box"}
"""Symbols of all formulas of two boxes."""


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − J; J = |A ∩ B|/|A ∪ B|",
    gradient="∂ℓ/∂z = −∂J/∂z; ∂J/∂z = (U·∂I/∂z − I·∂U/∂z)/U²; I = |A ∩ B|; U = |A ∪ B|",
    symbols=BOTH,
    aliases=("linear_iou", "linear_iou_loss"),
    equals=(
        equal("tensorflow_addons.losses.GIoULoss(mode='iou')(targets, predictions)"),
        equal("mmdet.models.losses.IoULoss(mode='linear')(predictions, targets)"),
    ),
    reference="Yu et al. (2016), doi:10.1145/2964284.2967274",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def iou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """One minus intersection over union: blind to scale, and without a gradient where the boxes do not touch.

    The paper and MMDetection's default take −log IoU; this is the linear form, on which GIoU, DIoU and CIoU build.

    Use when: bounding boxes are judged: the share that both have in common, whatever their size.
    Avoid when: a model is trained from boxes that may not touch the true ones: they have no gradient then.
    See also: giou, dice.
    """
    boxes = _pair(predictions, targets, eps, box_format)
    overlap = _overlap_term(boxes)
    return overlap.value[0], _gradient(boxes, overlap)


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − J + (c − U)/c; J = |A ∩ B|/|A ∪ B|; U = |A ∪ B|; c = |C|",
    gradient="∂ℓ/∂z = −∂J/∂z + (U·∂c/∂z − c·∂U/∂z)/c²; ∂J/∂z = (U·∂I/∂z − I·∂U/∂z)/U²; I = |A ∩ B|; U = |A ∪ B|",
    symbols={**BOTH, "C": "the smallest box around both"},
    aliases=("GIoULoss", "giou_loss", "generalized_iou", "BoxGIoULoss", alias("generalized_box_iou_loss", eps=1e-7)),
    equals=(
        equal("torchvision.ops.generalized_box_iou_loss(predictions, targets, eps=eps, reduction=reduction)", eps=1e-7),
        equal("tensorflow_addons.losses.GIoULoss()(targets, predictions)"),
        equal(
            "monai.losses.BoxGIoULoss(reduction=reduction)(predictions, targets)",
            reductions=("mean", "sum"),
            differs_at=("gradient at ties",),
            caveat="Where edges lie on one another the slope is shared otherwise there.",
        ),
        equal("mmdet.models.losses.GIoULoss(eps=eps)(predictions, targets)"),
    ),
    reference="Rezatofighi et al. (2019), doi:10.1109/CVPR.2019.00075",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def giou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """IoU with the empty share of the smallest box around both: boxes that do not touch are drawn together.

    Use when: bounding boxes are regressed, and predicted ones may not touch the true ones at first.
    Avoid when: one box often lies within the other: it is then no more than iou, and slow.
    See also: iou, diou.
    """
    boxes = _pair(predictions, targets, eps, box_format)
    overlap, spare = _overlap_term(boxes), _spare_term(boxes)
    return overlap.value[0] + spare.value[0], _gradient(boxes, overlap, spare)


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − J + ρ²/c²; J = |A ∩ B|/|A ∪ B|",
    gradient="∂ℓ/∂z = −∂J/∂z + 2ρ/c²·∂ρ/∂z − 2ρ²/c³·∂c/∂z; ∂J/∂z = (U·∂I/∂z − I·∂U/∂z)/U²; I = |A ∩ B|; U = |A ∪ B|",
    symbols={
        **BOTH,
        "ρ": "the distance of the centres",
        "c": "the diagonal of the smallest box around both",
    },
    aliases=("DIoULoss", "diou_loss", "distance_iou", alias("distance_box_iou_loss", eps=1e-7)),
    equals=(
        equal("torchvision.ops.distance_box_iou_loss(predictions, targets, eps=eps, reduction=reduction)", eps=1e-7),
        equal("mmdet.models.losses.DIoULoss(eps=eps)(predictions, targets)"),
    ),
    reference="Zheng et al. (2020), doi:10.1609/aaai.v34i07.6999",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def diou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """IoU with the distance of the centres: boxes move towards each other directly, also where one holds the other.

    Use when: bounding boxes are regressed and shall find their place in few steps.
    Avoid when: their shape has to fit as well: centres that agree leave it to the overlap (ciou).
    See also: ciou.
    """
    boxes = _pair(predictions, targets, eps, box_format)
    overlap, distance = _overlap_term(boxes), _distance_term(boxes)
    return overlap.value[0] + distance.value[0], _gradient(boxes, overlap, distance)


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − J + ρ²/c² + α·v; J = |A ∩ B|/|A ∪ B|; v = 4/π²·(arctan(w′/h′) − arctan(w/h))²; α = v/(1 − J + v)",
    gradient=(
        "∂ℓ/∂z = (b − 1)·∂J/∂z + 2ρ/c²·∂ρ/∂z − 2ρ²/c³·∂c/∂z + a·∂v/∂z; a = α if detach_alpha, else α(2 − α); "
        "b = 0 if detach_alpha, else α²; ∂J/∂z = (U·∂I/∂z − I·∂U/∂z)/U²; I = |A ∩ B|; U = |A ∪ B|"
    ),
    symbols={
        **BOTH,
        "ρ": "the distance of the centres",
        "c": "the diagonal of the smallest box around both",
        "w": "the width of the predicted box",
        "h": "its height",
        "w′": "the width of the true box",
        "h′": "its height",
    },
    aliases=("CIoULoss", "ciou_loss", "complete_iou", alias("complete_box_iou_loss", eps=1e-7, detach_alpha=True)),
    equals=(
        equal("torchvision.ops.complete_box_iou_loss(predictions, targets, reduction=reduction)", eps=1e-7, detach_alpha=True),
    ),
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

    Use when: bounding boxes are regressed whose overlap, place and shape shall all fit.
    Avoid when: boxes may be degenerate: a width or height of 0 has no aspect ratio to compare.
    See also: giou, iou.
    """
    boxes = _pair(predictions, targets, eps, box_format)
    overlap, distance, aspect = _overlap_term(boxes), _distance_term(boxes), _aspect(boxes)
    v = aspect.value
    rest = pair_add(overlap.value, constant(eps))
    whole = pair_add(rest, v)
    alpha = _quotient(v, whole)
    # α² = v²/(rest + v)² comes twice with opposite signs: d(αv) = α(2 − α) dv − α² d(overlap)
    pull, keep = alpha, constant(1.0)
    if not detach_alpha:
        pull = pair_multiply(alpha, pair_add(constant(2.0), pair_negative(alpha)))
        keep = pair_multiply(_quotient(rest, whole, 1.0), pair_add(constant(1.0), alpha))
    values = overlap.value[0] + distance.value[0] + alpha[0] * v[0]
    return values, _gradient(boxes, overlap.times(keep), distance, aspect.times(pull))


class _Axes(NamedTuple):
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

    def turned(self, axis: int | slice) -> "_Axes":
        """One axis, or each axis where the other one stands."""
        return _Axes(*((first[axis], second[axis]) for first, second in self))


@dataclass(frozen=True)
class _Pair:
    axes: _Axes
    eps: Pair
    units: Array
    """What 1 is along each axis (2, n), in the units of the request."""
    box_format: BoxFormat

    @property
    def x_and_y(self) -> tuple[_Axes, _Axes]:
        return self.axes.turned(0), self.axes.turned(1)


class _Pull(NamedTuple):
    """A term's derivatives to the edges along each axis, in parts of which not all depend on the edge."""

    either_edge: Pair | None = None
    inside: Pair | None = None
    """To a lower edge that bounds the shared part; the opposite to an upper one."""
    outside: Pair | None = None
    """To a lower edge that bounds the span; the opposite to an upper one."""


@dataclass(frozen=True)
class _Term:
    """A part of a loss: its value and, in units of its own, its derivatives. These cancel with those of other parts."""

    boxes: _Pair
    value: Pair
    pull: _Pull
    weight: Pair | None = None

    def times(self, weight: Pair) -> "_Term":
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
            lower.append(pull if share is None else _times(np.abs(share - axes.inside[0]), pull))
            upper.append(pull if share is None else _times(-np.abs(share - axes.inside[1]), pull))
        return lower, upper


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

    def edges(corner: Pair, box: int) -> Pair:
        return corner[0][box].T / scale, corner[1][box].T / scale

    axes = _axes(edges(low, 0), edges(high, 0), edges(low, 1), edges(high, 1))
    return _Pair(axes, pair(eps / unit / unit), np.stack([unit, unit]), box_format)


def _corners(boxes: Array, box_format: BoxFormat) -> tuple[Pair, Pair]:
    """The lower and the upper corner, unrounded."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if box_format == "xyxy":
        return pair(first), pair(second)
    if box_format == "xywh":
        return pair(first), two_sum(first, second)
    return two_sum(first, -second / 2.0), two_sum(first, second / 2.0)


def _axes(low: Pair, high: Pair, true_low: Pair, true_high: Pair) -> _Axes:
    size, true_size = pair_add(high, pair_negative(low)), pair_add(true_high, pair_negative(true_low))
    lower, upper = pair_add(low, pair_negative(true_low)), pair_add(high, pair_negative(true_high))
    shift = pair_add(lower, upper)
    above, below = upper[0] > 0, lower[0] < 0  # where the prediction reaches beyond the target
    span = pair_add(either(upper[0] < 0, true_high, high), pair_negative(either(lower[0] > 0, true_low, low)))
    between = pair_add(either(upper[0] < 0, high, true_high), pair_negative(either(lower[0] > 0, low, true_low)))
    apart = between[0] < 0
    own = pair_add(_where(below, pair_negative(lower)), _where(above, upper))
    other = pair_add(_where(~below, lower), _where(~above, pair_negative(upper)))
    return _Axes(
        size=size,
        true_size=true_size,
        shared=_where(~apart, between),
        own=either(apart, size, own),
        other=either(apart, true_size, other),
        gap=_where(apart, pair_negative(between)),
        span=span,
        centre=(0.5 * shift[0], 0.5 * shift[1]),
        inside=(0.5 + 0.5 * np.sign(lower[0]), 0.5 - 0.5 * np.sign(upper[0])),
    )


def _where(condition: NDArray[np.bool_], number: Pair) -> Pair:
    """The number, or 0."""
    return np.where(condition, number[0], 0.0), np.where(condition, number[1], 0.0)


def _sum(*terms: Pair) -> Pair:
    total = terms[0]
    for term in terms[1:]:
        total = pair_add(total, term)
    return total


def _areas(boxes: _Pair) -> _Pair:
    """The same boxes with a unit of its own along each axis, the span there: the area of a thin box does not vanish in it.

    Only without eps, beside which the area of such a box is nothing anyhow.
    """
    if boxes.eps[0].any():
        return boxes
    units = power_of_two(boxes.axes.span[0])
    lengths = _Axes(*((high / units, low / units) for high, low in boxes.axes))
    return replace(boxes, axes=lengths._replace(inside=boxes.axes.inside), units=boxes.units * units)


def _gradient(boxes: _Pair, *terms: _Term) -> Array:
    """The derivatives of all terms to the four numbers of a predicted box, added up before they are rounded."""
    edges = [term.edges() for term in terms]
    lower, upper = ([pull for edge in edges for pull in edge[side]] for side in (0, 1))
    if boxes.box_format == "xyxy":
        rows = _rounded(*lower), _rounded(*upper)
    elif boxes.box_format == "xywh":
        rows = _rounded(*lower, *upper), _rounded(*upper)
    else:
        rows = _rounded(*lower, *upper), _rounded(*map(pair_negative, lower), *upper) / 2.0
    return np.concatenate(rows).T


def _rounded(*terms: Pair) -> Array:
    """Their sum: 0 where they are opposed, as those of a box that keeps its shape are, but for the rounding of pairs."""
    high, low = _sum(*terms)
    parts = np.stack([term[0] for term in terms])
    rounded = np.where(np.abs(high) > 2.0**-100 * np.abs(parts).max(axis=0), high + low, 0.0)
    if np.isfinite(parts).all():
        return rounded
    plain = parts.sum(axis=0)  # infinite numbers have no error; opposed, they leave nothing
    return np.where(np.isfinite(parts).all(axis=0), rounded, np.where(np.isnan(plain), 0.0, plain))


def _quotient(above: Pair, below: Pair, otherwise: Array | float = 0.0) -> Pair:
    """above / below, where 0 / 0 is `otherwise`."""
    some = below[0] > 0
    high, low = pair_divide(above, (np.where(some, below[0], 1.0), below[1]))
    return np.where(some, high, otherwise), np.where(some, low, 0.0)


def _overlap_term(boxes: _Pair) -> _Term:
    """1 − IoU as the area outside the intersection over the union; of two boxes without area 0 where they are one, else 1."""
    boxes = _areas(boxes)
    (x, y), a, b, eps = boxes.x_and_y, boxes.axes, boxes.axes.turned(_TURNED), boxes.eps
    common = pair_multiply(x.shared, y.shared)
    only_own = pair_add(pair_multiply(x.own, y.size), pair_multiply(x.shared, y.own))
    only_other = pair_add(pair_multiply(x.other, y.true_size), pair_multiply(x.shared, y.other))
    beside = _sum(only_own, only_other, eps)
    union = pair_add(beside, common)
    touching = (x.shared[0] > 0) & (y.shared[0] > 0) & (union[0] > 0)
    different = sum((part[0] for axis in (x, y) for part in (axis.own, axis.other, axis.gap)), np.zeros(1)) > 0

    # moving an edge of the intersection takes from it, moving any other adds to the union
    lever = _where(touching, _quotient(b.shared, union))
    taken = _sum(pair_multiply(a.own, b.size), only_other, eps, common)
    added = pair_add(pair_multiply(a.shared, b.own), common)
    inside, outside = (pair_multiply(lever, _quotient(area, union)) for area in (taken, pair_negative(added)))
    return _Term(boxes, _quotient(beside, union, different.astype(np.float64)), _Pull(inside=inside, outside=outside))


def _times(factor: Array | float, number: Pair) -> Pair:
    """The number times a power of two, 0 or −1."""
    return factor * number[0], factor * number[1]


def _spare_term(boxes: _Pair) -> _Term:
    """The share of the enclosing box that neither box covers, summed from the rectangles it consists of."""
    boxes = _areas(boxes)
    (x, y), a, b, eps = boxes.x_and_y, boxes.axes, boxes.axes.turned(_TURNED), boxes.eps
    area = pair_add(pair_multiply(x.span, y.span), eps)
    spare = _sum(
        pair_multiply(x.own, y.other),
        pair_multiply(x.other, y.own),
        pair_multiply(x.gap, y.span),
        pair_multiply(y.gap, _sum(x.own, x.other, x.shared)),
    )
    touching = (x.shared[0] > 0) & (y.shared[0] > 0)

    uncovered = either(touching, b.own, b.size)
    widened = _sum(
        pair_multiply(a.other, pair_add(b.own, pair_negative(b.other))),
        pair_multiply(b.size, a.gap),
        pair_negative(pair_multiply(a.shared, b.other)),
    )
    widened = pair_add(pair_multiply(b.span, widened), pair_negative(pair_multiply(eps, pair_add(b.other, b.gap))))
    pull = _Pull(inside=_quotient(uncovered, area), outside=_quotient(_quotient(widened, area), area))
    return _Term(boxes, _quotient(spare, area), pull)


def _distance_term(boxes: _Pair) -> _Term:
    """The squared distance of the centres over the squared diagonal of the enclosing box.

    An edge of the enclosing box that moves the centre as well pulls both ways.
    """
    x, y = boxes.x_and_y
    diagonal = _sum(pair_multiply(x.span, x.span), pair_multiply(y.span, y.span), boxes.eps)
    ratio = _quotient(pair_add(pair_multiply(x.centre, x.centre), pair_multiply(y.centre, y.centre)), diagonal)

    axes = boxes.axes
    widened = _quotient(_times(2.0, pair_multiply(ratio, axes.span)), diagonal)
    return _Term(boxes, ratio, _Pull(_quotient(axes.centre, diagonal), outside=widened))


def _aspect(boxes: _Pair) -> _Term:
    """v, from the angle between the diagonals: the arctangent of a cross product, where two arctangents would cancel."""
    x, y = boxes.x_and_y
    unit = power_of_two(np.maximum(x.size[0], y.size[0]))
    true_unit = power_of_two(np.maximum(x.true_size[0], y.true_size[0]))
    w, h = _times(1.0 / unit, x.size), _times(1.0 / unit, y.size)
    true_w, true_h = _times(1.0 / true_unit, x.true_size), _times(1.0 / true_unit, y.true_size)
    cross = pair_add(pair_multiply(true_w, h), pair_negative(pair_multiply(w, true_h)))
    angle = pair_arctan2(cross, pair_add(pair_multiply(w, true_w), pair_multiply(h, true_h)))
    diagonal = pair_add(pair_multiply(w, w), pair_multiply(h, h))
    scaled = pair_multiply(pair(np.full(1, 8.0)), pair_multiply(angle, _INVERSE_PI_SQUARED))

    # a wider box turns its diagonal one way, a higher one the other
    lever = _quotient((np.stack([h[0], -w[0]]), np.stack([h[1], -w[1]])), diagonal)
    turn = _times(1.0 / unit, pair_multiply(scaled, lever))
    v = pair_multiply(pair_multiply(angle, angle), _times(4.0, _INVERSE_PI_SQUARED))
    return _Term(boxes, v, _Pull(inside=turn, outside=turn))
