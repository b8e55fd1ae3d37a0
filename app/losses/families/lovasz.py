"""Losses of masks by the Lovász extension of intersection over union: errors count by what they cost in it, the worst first."""

from typing import Annotated, Literal

import numpy as np
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import BINARY, CLASS_INDEX_MAP, LOGIT, PROBABILITY, map_of, mask_of
from app.losses.families.segmentation import Activation, Background, FromLogits, MapAxis, Pool, layout_of
from app.losses.inputs import when
from app.losses.loss import CONVEX, DIFFERENTIABLE, NON_NEGATIVE, Gradient, Second, loss
from app.losses.numerics.lovasz import jaccard_costs
from app.losses.numerics.masks import Masks, Slopes
from app.losses.numerics.pairs import pair, two_sum
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array
from app.registry import alias

SORTED = Cost(per_number=150.0)


@loss(
    predictions=mask_of(LOGIT),
    targets=mask_of(BINARY),
    formula="∑ᵢ v(i)·max(0, e(i)); e(i) = 1 − (2yᵢ − 1)·xᵢ",
    gradient="−(2yᵢ − 1)·v(i) if e(i) > 0, else 0; e(i) = 1 − (2yᵢ − 1)·xᵢ",
    symbols={
        "i": "a position of the mask",
        "v": "what intersection over union loses when this position is wrong besides all that are further off",
    },
    aliases=("lovasz", "LovaszHingeLoss", "lovasz_hinge_loss"),
    equals=(
        equal("kornia.losses.lovasz_hinge_loss(predictions[:, None], targets)", axes=("n m r",)),
        equal("kornia.losses.LovaszHingeLoss()(predictions[:, None], targets)", axes=("n m r",)),
    ),
    reference="Berman, Rannen Triki and Blaschko (2018), arXiv:1705.08790",
    properties=DIFFERENTIABLE | CONVEX | NON_NEGATIVE,
    weighs_rows=True,
)
def lovasz_hinge(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Array, Second]:
    """The hinge of every pixel, weighed by what it costs in intersection over union: the convex hull of that loss.

    Each mask by itself, as per_image elsewhere. Where several positions are equally far off, the first comes first; at an error
    of 0 the slope is 0.

    Use when: IoU of masks is what counts, and a network is fine-tuned from a cross-entropy.
    Avoid when: probabilities are wanted; or masks are empty, where only the worst pixel pulls.
    See also: jaccard, lovasz_softmax, hinge, dice.
    """
    scores, y = predictions.reshape(len(predictions), -1), targets.reshape(len(targets), -1)
    size_of = np.ones_like(y) if weights is None else weights.reshape(y.shape)
    side = 2.0 * y - 1.0
    errors, rest = two_sum(-side * scores, 1.0)
    costs = jaccard_costs(errors, rest, y, size_of)
    pulls = (errors > 0) | ((errors == 0) & (rest > 0))
    values = row_sums(np.where(pulls, errors * costs, 0.0))
    return values, np.where(pulls, -side * costs, 0.0).reshape(predictions.shape), lambda: np.zeros_like(predictions)


@loss(
    predictions=when("from_logits", True, map_of(LOGIT), map_of(PROBABILITY)),
    targets=CLASS_INDEX_MAP,
    formula="mean_(c ∈ C) ∑ᵢ v(i, c)·|[yᵢ = c] − p(i, c)|; p = softmax(x) if from_logits",
    gradient="∂ℓ/∂p(i, c) = v(i, c)·([yᵢ ≠ c] − [yᵢ = c])/|C| if c ∈ C, else 0",
    symbols={
        "i": "a position of the map",
        "c": "a class",
        "C": "the classes that occur in the map, or all of them",
        "v": "what intersection over union of the class loses when this position is wrong besides all that are further off",
    },
    aliases=(
        alias("LovaszSoftmaxLoss", from_logits=True, class_axis=1, averaged_classes="all"),
        alias("lovasz_softmax_loss", from_logits=True, class_axis=1, averaged_classes="all"),
    ),
    equals=tuple(
        equal(
            f"kornia.losses.{call}(predictions, targets.long())",
            axes=("n k m r",),
            from_logits=True,
            class_axis=1,
            averaged_classes="all",
            differs_at=("gradient at saturated",),
            caveat="Of positions that are equally far off it puts others first.",
        )
        for call in ("LovaszSoftmaxLoss()", "lovasz_softmax_loss")
    ),
    reference="Berman, Rannen Triki and Blaschko (2018), arXiv:1705.08790",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=SORTED,
    weighs_rows=True,
)
def lovasz_softmax(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    from_logits: FromLogits = False,
    averaged_classes: Annotated[
        Literal["present", "all"], Doc("Which classes are averaged: those that occur in the true map, or all that there are.")
    ] = "present",
    class_axis: MapAxis = -1,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """What is missing of the true class at each position, weighed by its cost in intersection over union, the worst first.

    Where several positions are equally far off, the first comes first; at an error of 0 the slope is 0. A map in which no class
    occurs has loss 0.

    Use when: maps of several classes are judged by their mean IoU, and a network is fine-tuned from a cross-entropy.
    Avoid when: training begins: it learns slowly from far off, where a cross-entropy does not.
    See also: lovasz_hinge, jaccard, generalized_dice.
    """

    def formula(masks: Masks, y: Array, w: Array | None) -> tuple[Array, Array, Slopes]:
        parts = predictions.shape[-1] - layout.first
        (p, p_low), (rest, rest_low) = masks.unrounded(np.ones(len(y), np.bool_))
        true = y.reshape(len(y) * parts, -1)
        sizes = np.ones_like(true) if w is None else w.reshape(true.shape)
        errors, low = (np.where(y == 1, one, other).reshape(true.shape) for one, other in ((rest, p), (rest_low, p_low)))
        costs = jaccard_costs(errors, low, true, sizes)
        seen = np.ones(len(true)) if averaged_classes == "all" else np.sign(row_sums(true * sizes))
        averaged = np.maximum(row_sums(seen.reshape(len(y), parts)), 1.0).repeat(parts)
        costs = costs * (seen / averaged)[:, None]
        slope: Array = np.where(errors == 0, 0.0, np.where(true == 1, -costs, costs)).reshape(y.shape)
        return row_sums((errors * costs).reshape(y.shape)), slope, lambda rows: pair(slope[rows])

    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)._replace(together=True)
    return layout.apply(formula, predictions, targets, weights)
