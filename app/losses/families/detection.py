"""Losses of boxes: how far a predicted box is from the true one, by their overlap.

At a tie of two edges, the gradient is the mean of both sides, as in PyTorch.
"""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from app.domains import Boxes
from app.libraries import equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import REAL
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, loss
from app.losses.numerics.boxes import (
    BoxFormat,
    aspect_term,
    box_pair,
    distance_term,
    gradient_of,
    overlap_term,
    quotient,
    spare_term,
)
from app.losses.numerics.pairs import (
    constant,
    pair_add,
    pair_multiply,
    pair_negative,
)
from app.losses.numerics.stable import Array
from app.registry import alias

Eps: TypeAlias = Annotated[
    float,
    Ge(0),
    Doc("Added to every denominator, an area, as torchvision does; a perfect match then costs something where it is small."),
]


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

    def draw(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
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
    boxes = box_pair(predictions, targets, eps, box_format)
    overlap = overlap_term(boxes)
    return overlap.value[0], gradient_of(boxes, overlap)


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
    boxes = box_pair(predictions, targets, eps, box_format)
    overlap, spare = overlap_term(boxes), spare_term(boxes)
    return overlap.value[0] + spare.value[0], gradient_of(boxes, overlap, spare)


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
    boxes = box_pair(predictions, targets, eps, box_format)
    overlap, distance = overlap_term(boxes), distance_term(boxes)
    return overlap.value[0] + distance.value[0], gradient_of(boxes, overlap, distance)


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
    See also: giou, iou, eiou.
    """
    boxes = box_pair(predictions, targets, eps, box_format)
    overlap, distance, aspect = overlap_term(boxes), distance_term(boxes), aspect_term(boxes)
    v = aspect.value
    rest = pair_add(overlap.value, constant(eps))
    whole = pair_add(rest, v)
    alpha = quotient(v, whole)
    # α² = v²/(rest + v)² comes twice with opposite signs: d(αv) = α(2 − α) dv − α² d(overlap)
    pull, keep = alpha, constant(1.0)
    if not detach_alpha:
        pull = pair_multiply(alpha, pair_add(constant(2.0), pair_negative(alpha)))
        keep = pair_multiply(quotient(rest, whole, 1.0), pair_add(constant(1.0), alpha))
    values = overlap.value[0] + distance.value[0] + alpha[0] * v[0]
    return values, gradient_of(boxes, overlap.times(keep), distance, aspect.times(pull))
