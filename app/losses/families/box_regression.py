"""Losses of boxes that look beyond their overlap: at sizes, at how good a box is already, and at each edge by itself."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import IN_PAIRS
from app.losses.families.detection import BOTH, BOX, Eps, Format
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, loss
from app.losses.numerics.boxes import (
    Pull,
    Term,
    box_pair,
    distance_term,
    gradient_of,
    overlap_term,
    quotient,
    size_term,
    sum_of,
    times_exactly,
)
from app.losses.numerics.pairs import (
    constant,
    either,
    pair,
    pair_add,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
)
from app.losses.numerics.stable import Array
from app.registry import alias

_OVERLAP = "∂J/∂z = (U·∂I/∂z − I·∂U/∂z)/U²; I = |A ∩ B|; U = |A ∪ B|"
_SIZES = {
    "ρ": "the distance of the centres",
    "c": "the diagonal of the smallest box around both",
    "w": "the width of the predicted box",
    "h": "its height",
    "w′": "the width of the true box",
    "h′": "its height",
    "b": "the width of the smallest box around both",
    "d": "its height",
}


@loss(
    predictions=BOX,
    targets=BOX,
    formula="1 − J + ρ²/c² + (w − w′)²/b² + (h − h′)²/d²; J = |A ∩ B|/|A ∪ B|",
    gradient=(
        "∂ℓ/∂z = −∂J/∂z + 2ρ/c²·∂ρ/∂z − 2ρ²/c³·∂c/∂z + 2(w − w′)/b²·∂w/∂z − 2(w − w′)²/b³·∂b/∂z + 2(h − h′)/d²·∂h/∂z "
        f"− 2(h − h′)²/d³·∂d/∂z; {_OVERLAP}"
    ),
    symbols={**BOTH, **_SIZES},
    aliases=("EIoULoss", "eiou_loss", "efficient_iou"),
    reference="Zhang et al. (2022), doi:10.1016/j.neucom.2022.07.042",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def eiou(predictions: Array, targets: Array, *, eps: Eps = 0.0, box_format: Format = "xyxy") -> tuple[Array, Array]:
    """DIoU with the differences of width and of height, each by itself: either is pulled, where ciou pulls their ratio.

    Use when: bounding boxes are regressed, and their width and height shall each fit, not only their proportion.
    Avoid when: boxes without width and height occur: a side of the box around both may then be 0.
    See also: ciou, diou, focal_eiou, wiou.
    """
    boxes = box_pair(predictions, targets, eps, box_format)
    terms = overlap_term(boxes), distance_term(boxes), size_term(boxes)
    return sum_of(*(term.value for term in terms))[0], gradient_of(boxes, *terms)


@loss(
    predictions=BOX,
    targets=BOX,
    formula="J^γ·(1 − J + ρ²/c² + (w − w′)²/b² + (h − h′)²/d²); J = |A ∩ B|/|A ∪ B|",
    gradient=(
        "∂ℓ/∂z = γ·ℓ/J·∂J/∂z + J^γ·(−∂J/∂z + 2ρ/c²·∂ρ/∂z − 2ρ²/c³·∂c/∂z + 2(w − w′)/b²·∂w/∂z − 2(w − w′)²/b³·∂b/∂z + "
        f"2(h − h′)/d²·∂h/∂z − 2(h − h′)²/d³·∂d/∂z); {_OVERLAP}"
    ),
    symbols={**BOTH, **_SIZES},
    aliases=("FocalEIoULoss", "focal_eiou_loss"),
    reference="Zhang et al. (2022), doi:10.1016/j.neucom.2022.07.042",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def focal_eiou(
    predictions: Array,
    targets: Array,
    *,
    gamma: Annotated[float, Ge(0), Le(100), Doc("How much boxes that overlap little are turned down; 0 is eiou.")] = 0.5,
    eps: Eps = 0.0,
    box_format: Format = "xyxy",
) -> tuple[Array, Array]:
    """EIoU times a power of the overlap: boxes that already lie well pull most, those that hardly overlap the least.

    Boxes that do not touch cost nothing and have no gradient.

    Use when: many predicted boxes are poor and would outweigh the few good ones, which are to become exact.
    Avoid when: boxes may not touch the true ones: nothing draws them there (eiou, giou).
    See also: eiou, wiou, iou.
    """
    boxes = box_pair(predictions, targets, eps, box_format)
    overlap, distance, size = overlap_term(boxes), distance_term(boxes), size_term(boxes)
    share = pair_add(constant(1.0), pair_negative(overlap.value))
    some = share[0] > 0
    base = np.where(some, share[0], 1.0), np.where(some, share[1], 0.0)
    focus = pair_exp(pair_multiply(pair_log(base), constant(gamma)))
    focus = np.where(some, focus[0], 0.0 if gamma else 1.0), np.where(some, focus[1], 0.0)
    whole = sum_of(overlap.value, distance.value, size.value)
    bend = pair_exp(pair_multiply(pair_log(base), constant(gamma - 1.0)))
    turned = pair_multiply(pair_multiply(bend, whole), constant(-gamma))
    turned = np.where(some, turned[0], 0.0), np.where(some, turned[1], 0.0)
    values = pair_multiply(focus, whole)[0]
    return values, gradient_of(boxes, overlap.times(pair_add(focus, turned)), distance.times(focus), size.times(focus))


@loss(
    predictions=BOX,
    targets=BOX,
    formula="e^(ρ²/c²)·(1 − J); J = |A ∩ B|/|A ∪ B|",
    gradient=("∂ℓ/∂z = ℓ·(2ρ/c²·∂ρ/∂z − b·2ρ²/c³·∂c/∂z) − e^(ρ²/c²)·∂J/∂z; b = 0 if detach_span, else 1; " + _OVERLAP),
    symbols={
        **BOTH,
        "ρ": "the distance of the centres",
        "c": "the diagonal of the smallest box around both",
    },
    aliases=("WIoULoss", "wiou_loss", "wise_iou", alias("wiou_v1", detach_span=True)),
    reference="Tong et al. (2023), arXiv:2301.10051",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def wiou(
    predictions: Array,
    targets: Array,
    *,
    eps: Eps = 0.0,
    box_format: Format = "xyxy",
    detach_span: Annotated[
        bool, Doc("Whether the gradient takes the diagonal of the box around both as a constant, as the authors do.")
    ] = False,
) -> tuple[Array, Array]:
    """The missing overlap, times a factor from 1 to 2.72 that grows with the distance of the centres (Wise-IoU, version 1).

    With `detach_span` the value is the same, but the gradient is no longer its derivative.

    Use when: labels are rough: once boxes overlap well, distances and shapes shall no longer count much.
    Avoid when: width and height shall be exact: nothing asks for them but the overlap (eiou).
    See also: diou, eiou, focal_eiou.
    """
    boxes = box_pair(predictions, targets, eps, box_format)
    overlap, distance = overlap_term(boxes), distance_term(boxes)
    factor = pair_exp(distance.value)
    value = pair_multiply(factor, overlap.value)
    pull = Pull(distance.pull.either_edge) if detach_span else distance.pull
    return value[0], gradient_of(boxes, overlap.times(factor), replace(distance, pull=pull).times(value))


@loss(
    predictions=BOX,
    targets=BOX,
    formula="∑ⱼ h(uⱼ); h(u) = ½u²/β if u < β, else u − ½β",
    gradient="∂ℓ/∂z = ∑ⱼ min(1, uⱼ/β)·∂uⱼ/∂z",
    symbols={
        "u": (
            "four terms, each from 0 to 1: of the centre, 1 − max(0, (w′ − 2|x|)/(w′ + 2|x| + ε)) with its distance x along an "
            "axis, and of the size along an axis, 1 − min(w′/(w + ε), w/(w′ + ε))"
        ),
        "z": "a coordinate of the predicted box",
    },
    aliases=("BoundedIoULoss", "bounded_iou_loss"),
    equals=(equal("mmdet.models.losses.BoundedIoULoss(beta=beta, eps=eps)(predictions, targets)", times=4.0),),
    reference="Tychsen-Smith and Petersson (2018), doi:10.1109/CVPR.2018.00719",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def bounded_iou(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[float, Gt(0), Le(1), Doc("Where each of the four terms turns from quadratic to linear.")] = 0.2,
    eps: Annotated[float, Ge(0), Le(1e6), Doc("A length that is added below each fraction, as in MMDetection.")] = 1e-3,
    box_format: Format = "xyxy",
) -> tuple[Array, Array]:
    """The most that IoU could be where only one of place, width and height were wrong, for each of them, and smoothed.

    Use when: the place and the size of a box shall be learnt each by itself, on the scale of IoU.
    Avoid when: the overlap itself is to be optimised: boxes far apart cost no more than those that just do not touch.
    See also: iou, smooth_l1, eiou.
    """
    boxes = box_pair(predictions, targets, 0.0, box_format)
    axes, small = boxes.axes, pair(eps / boxes.units)
    away = np.sign(axes.centre[0])
    far = times_exactly(2.0 * away, axes.centre)
    below = sum_of(axes.true_size, far, small)
    inside = pair_add(axes.true_size, pair_negative(far))[0] > 0
    place = quotient(pair_add(times_exactly(2.0, far), small), below)
    place = np.where(inside, place[0], np.where(far[0] > 0, 1.0, place[0])), np.where(inside, place[1], 0.0)
    steep = quotient(quotient(sum_of(times_exactly(4.0, axes.true_size), times_exactly(2.0, small)), below), below)
    placed = times_exactly(np.where(inside, 0.5 * away, 0.0), steep)

    wider = pair_add(axes.own, pair_negative(axes.other))
    side = np.sign(wider[0])
    own, true = pair_add(axes.size, small), pair_add(axes.true_size, small)
    shape = quotient(pair_add(times_exactly(side, wider), small), either(side > 0, own, true))
    growing, shrinking = quotient(quotient(axes.true_size, own), own), quotient(constant(1.0), true)
    sized = pair_add(times_exactly(-0.5 - 0.5 * side, growing), times_exactly(0.5 - 0.5 * side, shrinking))

    slopes = [np.minimum(u[0] / beta, 1.0) for u in (place, shape)]
    costs = [np.where(u[0] < beta, 0.5 * u[0] * u[0] / beta, u[0] - 0.5 * beta).sum(axis=0) for u in (place, shape)]
    moved, grown = (pair_multiply(pair(slope), pull) for slope, pull in zip(slopes, (placed, sized), strict=True))
    term = Term(boxes, pair(costs[0]), Pull(moved, inside=grown, outside=grown))
    return costs[0] + costs[1], gradient_of(boxes, term)
