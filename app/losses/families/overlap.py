"""Losses of whole masks that are made of an overlap: of other kinds, of its powers, and beside a cross-entropy."""

from collections.abc import Callable
from typing import Annotated, cast

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.encodings import LOGIT, PROBABILITY, SOFT_BINARY, mask_of
from app.losses.families.binary import binary_cross_entropy
from app.losses.families.segmentation import (
    MASK,
    TRUE_MASK,
    Activation,
    Background,
    ClassAxis,
    FalseNegatives,
    FalsePositives,
    FromLogits,
    Pool,
    Smooth,
    SmoothDr,
    SmoothNr,
    layout_of,
    smoothing_of,
)
from app.losses.inputs import when
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, Gradient, Second, loss
from app.losses.numerics.masks import Formula, Masks, Slopes
from app.losses.numerics.overlaps import overlap_of
from app.losses.numerics.pairs import Pair, pair, pair_multiply
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array
from app.registry import alias


def _through(formula: Formula, function: Callable[[Array], tuple[Array, Array]]) -> Formula:
    """A function of the loss of each mask, which is given with its derivative."""

    def apply(masks: Masks, y: Array, w: Array | None) -> tuple[Array, Array, Slopes]:
        losses, slope, exact = formula(masks, y, w)
        values, factor = function(losses)

        def unrounded(rows: NDArray[np.bool_]) -> Pair:
            return pair_multiply(exact(rows), pair(factor[rows][:, None]))

        return values, slope * factor[:, None], unrounded

    return apply


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula=("1 − (TP + s)/(TP + FP + FN + s); TP = ∑ᵢ pᵢ·yᵢ; FP = ∑ᵢ pᵢ·(1 − yᵢ); FN = ∑ᵢ (1 − pᵢ)·yᵢ; p = σ(x) if from_logits"),
    gradient="h·((1 − ℓ)(yᵢ + (1 − yᵢ) − yᵢ) − yᵢ)/u; u = TP + FP + FN + s; h = pᵢ(1 − pᵢ) if from_logits, else 1",
    symbols={"i": "a position of the mask"},
    aliases=(
        "iou_seg",
        "soft_iou",
        "intersection_over_union",
        "jaccard_loss",
        alias("JaccardLoss", from_logits=True, pool="batch"),
    ),
    equals=(
        equal(
            "segmentation_models_pytorch.losses.JaccardLoss('binary', smooth=smooth)(predictions[:, None], targets[:, None])",
            from_logits=True,
            pool="batch",
        ),
    ),
    reference="Rahman and Wang (2016), doi:10.1007/978-3-319-50835-1_22",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    weighs_rows=True,
)
def jaccard(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    from_logits: FromLogits = False,
    smooth: Smooth = 0.0,
    smooth_nr: SmoothNr = None,
    smooth_dr: SmoothDr = None,
    class_axis: ClassAxis = None,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """One minus intersection over union of two masks: what IoU counts, with probabilities in place of decisions.

    Use when: models are judged by IoU and a loss of the same kind is wanted.
    Avoid when: masks may be empty or tiny, where a single pixel decides.
    See also: dice, tversky, iou, lovasz_hinge.
    """
    above, below = smoothing_of(smooth, smooth_nr, smooth_dr)
    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)
    return layout.apply(
        lambda masks, y, w: overlap_of(masks, y, w, 1.0, 1.0, above, below - above), predictions, targets, weights
    )


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula=(
        "(1 − (TP + s)/(TP + α·FP + β·FN + s))^γ; TP = ∑ᵢ pᵢ·yᵢ; FP = ∑ᵢ pᵢ·(1 − yᵢ); FN = ∑ᵢ (1 − pᵢ)·yᵢ; "
        "p = σ(x) if from_logits"
    ),
    gradient=(
        "h·γ·c^(γ − 1)·((1 − c)(yᵢ + α(1 − yᵢ) − β·yᵢ) − yᵢ)/u; c = ℓ^(1/γ); u = TP + α·FP + β·FN + s; "
        "h = pᵢ(1 − pᵢ) if from_logits, else 1"
    ),
    symbols={"i": "a position of the mask"},
    aliases=("FocalTverskyLoss",),
    reference="Abraham and Khan (2019), arXiv:1810.07842",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    weighs_rows=True,
)
def focal_tversky(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    alpha: FalsePositives = 0.3,
    beta: FalseNegatives = 0.7,
    gamma: Annotated[
        float, Gt(0), Le(100), Doc("Power of the Tversky loss: below 1 good masks still pull, above 1 poor ones rule.")
    ] = 0.75,
    smooth: Smooth = 0.0,
    from_logits: FromLogits = False,
    class_axis: ClassAxis = None,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """A power of the Tversky loss: masks that are hard, or nearly right, count more. Some texts have 1/γ for the power.

    A mask that is met exactly has the slope 0.

    Use when: lesions are small and some of them hard, and misses cost more than false alarms.
    Avoid when: training is unstable: with γ below 1 the slope grows without bound as a mask is met.
    See also: tversky, dice, binary_focal.
    """

    def raised(losses: Array) -> tuple[Array, Array]:
        some = losses > 0
        factor = np.where(some, gamma * np.where(some, losses, 1.0) ** (gamma - 1.0), 1.0 if gamma == 1 else 0.0)
        return losses**gamma, factor

    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)
    formula = _through(lambda masks, y, w: overlap_of(masks, y, w, alpha, beta, smooth, 0.0), raised)
    return layout.apply(formula, predictions, targets, weights)


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula="ln cosh(1 − (2 ∑ᵢ pᵢ·yᵢ + s)/(∑ᵢ pᵢ + ∑ᵢ yᵢ + s)); p = σ(x) if from_logits",
    gradient="h·tanh(1 − c)·(c − 2yᵢ)/u; c = (2 ∑ⱼ pⱼ·yⱼ + s)/u; u = ∑ⱼ pⱼ + ∑ⱼ yⱼ + s; h = pᵢ(1 − pᵢ) if from_logits, else 1",
    symbols={"i": "a position of the mask", "j": "counts the positions"},
    aliases=("LogCoshDiceLoss", "lc_dice"),
    reference="Jadon (2020), doi:10.1109/CIBCB48159.2020.9277638",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    weighs_rows=True,
)
def log_cosh_dice(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    smooth: Smooth = 0.0,
    from_logits: FromLogits = False,
    class_axis: ClassAxis = None,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """Dice through a log-cosh: nearly its square, so that masks that are almost met hardly pull.

    Use when: training with dice is restless near its end, and a gentler slope there is wanted.
    Avoid when: the last percent of overlap counts, where it hardly pulls.
    See also: dice, log_cosh, focal_tversky.
    """

    def softened(losses: Array) -> tuple[Array, Array]:
        return 0.5 * np.log1p(np.sinh(losses) ** 2), np.tanh(losses)

    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)
    formula = _through(lambda masks, y, w: overlap_of(masks, y, w, 0.5, 0.5, smooth / 2, 0.0), softened)
    return layout.apply(formula, predictions, targets, weights)


@loss(
    predictions=when("from_logits", True, mask_of(LOGIT), mask_of(PROBABILITY)),
    targets=mask_of(SOFT_BINARY),
    formula=(
        "entropy_weight·b + dice_weight·(1 − (2 ∑ᵢ pᵢ·yᵢ + s)/(∑ᵢ pᵢ + ∑ᵢ yᵢ + s)); "
        "b = −1/k ∑ᵢ (yᵢ ln pᵢ + (1 − yᵢ)·ln(1 − pᵢ)); p = σ(x) if from_logits"
    ),
    gradient=(
        "h·(entropy_weight/k·(pᵢ − yᵢ)/(pᵢ(1 − pᵢ)) + dice_weight·(v − 2yᵢ)/u); v = (2 ∑ⱼ pⱼ·yⱼ + s)/u; u = ∑ⱼ pⱼ + ∑ⱼ yⱼ + s; "
        "h = pᵢ(1 − pᵢ) if from_logits, else 1"
    ),
    symbols={
        "i": "a position of the mask",
        "j": "counts the positions",
        "k": "how many positions there are",
    },
    aliases=(
        "combo",
        "combo_loss",
        "dice_bce",
        alias("dice_ce", from_logits=True, smooth=1e-5),
        alias("DiceCELoss", from_logits=True, smooth=1e-5),
    ),
    equals=tuple(
        equal(
            f"monai.losses.{name}(sigmoid=True, smooth_nr=smooth, smooth_dr=smooth, lambda_dice=dice_weight, "
            "lambda_ce=entropy_weight)(predictions[:, None], targets[:, None])",
            from_logits=True,
            smooth=1e-5,
        )
        for name in ("DiceCELoss", "dice_ce")
    ),
    reference="Taghanaki et al. (2019), arXiv:1805.02798",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    weighs_rows=True,
)
def bce_dice(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    entropy_weight: Annotated[float, Ge(0), Le(1e6), Doc("Weight of the mean cross-entropy of the positions.")] = 1.0,
    dice_weight: Annotated[float, Ge(0), Le(1e6), Doc("Weight of the dice loss.")] = 1.0,
    smooth: Smooth = 0.0,
    from_logits: FromLogits = False,
) -> tuple[Array, Gradient]:
    """Cross-entropy of every pixel plus the overlap of the whole mask: the one learns steadily, the other heeds what is rare.

    Use when: masks are learned and neither alone does: dice is restless at first, cross-entropy drowns small masks.
    Avoid when: classes lie along an axis: this takes one mask per row. Then a weighted_sum of two losses does.
    See also: dice, binary_cross_entropy, focal_tversky.
    """
    layout = layout_of(predictions, None, True, None, from_logits, "sample")
    overlap, pull = layout.apply(
        lambda masks, y, w: overlap_of(masks, y, w, 0.5, 0.5, smooth / 2, 0.0), predictions, targets, weights
    )
    entropies = binary_cross_entropy.function(predictions.ravel(), targets.ravel(), from_logits=from_logits)
    entropy, slope = cast(tuple[Array, Array, Second], entropies)[:2]
    flat = np.ones(len(predictions)) if weights is None else weights.reshape(len(predictions), -1).sum(axis=1)
    count = flat * (predictions[0].size if weights is None else 1.0)
    share = 1.0 / np.where(count > 0, count, 1.0)[:, None]
    share = share if weights is None else share * weights.reshape(len(predictions), -1)
    values = row_sums(np.where(share == 0, 0.0, entropy.reshape(len(predictions), -1) * share))
    steep = np.where(share == 0, 0.0, slope.reshape(len(predictions), -1) * share).reshape(predictions.shape)
    return _sum(entropy_weight, values, dice_weight, overlap), _sum(entropy_weight, steep, dice_weight, np.asarray(pull))


def _sum(a: float, x: Array, b: float, y: Array) -> Array:
    return (a * x if a else np.zeros_like(x)) + b * y
