"""Losses of masks that cover little of a picture: classes count by their size, or true negatives too, or distances."""

from typing import Annotated, Literal, cast

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Interval
from app.libraries import equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import CLASS_MAP, LOGIT, PROBABILITY, SOFT_BINARY, map_of, mask_of, numbers, steps
from app.losses.families.segmentation import (
    MASK,
    TRUE_MASK,
    Activation,
    Background,
    ClassAxis,
    FromLogits,
    MapAxis,
    Pool,
    Smooth,
    layout_of,
)
from app.losses.inputs import when
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, Gradient, loss
from app.losses.numerics.masks import Masks, Slopes
from app.losses.numerics.overlaps import overlap_of
from app.losses.numerics.pairs import Pair, pair
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, log1p, power, sigmoid, softplus, sqrt, where, wide
from app.registry import alias

SIGNED_DISTANCE = mask_of(
    numbers(
        "signed_distance",
        "how far the position is from the border of the true mask, below 0 inside of it; within 1e9 of 0",
        Interval(-1e9, 1e9),
        steps(-4, 8),
    )
)


@loss(
    predictions=when("from_logits", True, map_of(LOGIT), map_of(PROBABILITY)),
    targets=CLASS_MAP,
    formula=(
        "1 − (2 ∑_c v_c ∑ᵢ p(i, c)·y(i, c) + s)/(∑_c v_c ∑ᵢ (p(i, c) + y(i, c)) + s); v_c = 1/(∑ᵢ y(i, c))² if size_weight = "
        "square, 1/∑ᵢ y(i, c) if size_weight = simple, else 1; p = softmax(x) if from_logits"
    ),
    gradient="∂ℓ/∂p(i, c) = v_c·(1 − ℓ − 2y(i, c))/u; u = ∑_b v_b ∑ⱼ (p(j, b) + y(j, b)) + s",
    symbols={
        "i": "a position of the map",
        "j": "counts the positions",
        "c": "a class",
        "b": "counts the classes",
        "v": "what a class counts",
    },
    aliases=(
        "gdl",
        "generalised_dice",
        alias("GeneralizedDiceLoss", from_logits=True, class_axis=1, smooth=1e-5),
    ),
    equals=(
        equal(
            "monai.losses.GeneralizedDiceLoss(softmax=True, to_onehot_y=True, include_background=include_background, "
            "smooth_nr=smooth, smooth_dr=smooth)(predictions, targets[:, None])",
            axes=("n k m",),
            from_logits=True,
            class_axis=1,
            smooth=1e-5,
        ),
    ),
    reference="Sudre et al. (2017), doi:10.1007/978-3-319-67558-9_28",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    weighs_rows=True,
)
def generalized_dice(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    size_weight: Annotated[
        Literal["square", "simple", "uniform"],
        Doc("What a class counts: 1 over its true size squared, 1 over its true size, or 1."),
    ] = "square",
    smooth: Smooth = 0.0,
    from_logits: FromLogits = False,
    class_axis: MapAxis = -1,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """One dice of all classes together, in which a class counts the more the smaller it is: a rare one is as dear as a large one.

    A class that does not occur counts as much as the smallest that does, as in MONAI.

    Use when: maps have classes of very different sizes, as organs and lesions, and one number of all of them is wanted.
    Avoid when: some class covers only a pixel or two, which then decides for the whole map; size_weight simple is gentler.
    See also: dice, lovasz_softmax, unified_focal.
    """

    def weighed(masks: Masks, y: Array, w: Array | None) -> tuple[Array, Array, Slopes]:
        parts = predictions.shape[-1] - layout.first
        counted = (y if w is None else y * w).reshape(len(y), parts, -1)
        sizes = counted.sum(axis=2) ** {"square": 2.0, "simple": 1.0, "uniform": 0.0}[size_weight]
        shares: Array = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        shares = np.where(sizes > 0, shares, shares.max(axis=1, keepdims=True))
        spread = np.repeat(shares, counted.shape[2], axis=1)
        return overlap_of(masks, y, spread if w is None else spread * w, 0.5, 0.5, smooth / 2, 0.0)

    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)._replace(together=True)
    return layout.apply(weighed, predictions, targets, weights)


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula=(
        "1 − (TP·TN − FP·FN)/√b if b > 0, else 1; b = (TP + FP)·(TP + FN)·(TN + FP)·(TN + FN); TP = s + ∑ᵢ pᵢ·yᵢ; "
        "TN = s + ∑ᵢ (1 − pᵢ)·(1 − yᵢ); FP = s + ∑ᵢ pᵢ·(1 − yᵢ); FN = s + ∑ᵢ (1 − pᵢ)·yᵢ; p = σ(x) if from_logits"
    ),
    gradient=(
        "h·((1 − yᵢ)·(TP + FN) − yᵢ·(TN + FP) + (TP·TN − FP·FN)·(TN + FN − TP − FP)/(2(TP + FP)·(TN + FN)))/√b if b > 0, "
        "else 0; h = pᵢ(1 − pᵢ) if from_logits, else 1"
    ),
    symbols={"i": "a position of the mask"},
    aliases=("matthews", "matthews_correlation", "mcc_loss", alias("MCCLoss", smooth=1e-5, pool="batch")),
    equals=(
        equal(
            "segmentation_models_pytorch.losses.MCCLoss(eps=smooth)(predictions[:, None], targets[:, None])",
            smooth=1e-5,
            pool="batch",
        ),
    ),
    reference="Abhishek and Hamarneh (2021), arXiv:2010.13454",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    cost=IN_PAIRS,
    weighs_rows=True,
)
def mcc(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    smooth: Annotated[float, Ge(0), Le(1e6), Doc("Added to each of the four counts.")] = 0.0,
    from_logits: FromLogits = False,
    class_axis: ClassAxis = None,
    include_background: Background = True,
    activation: Activation = None,
    pool: Pool = "sample",
) -> tuple[Array, Gradient]:
    """One minus the correlation of a mask with the true one (Matthews): true negatives count as much as true positives.

    It is 1 for a mask that tells nothing, and 2 for one that is the wrong way round. Where either mask is empty or full, it is 1
    and has the slope 0.

    Use when: foreground and background are both worth something, as where a skin lesion may fill half the picture.
    Avoid when: true masks may be empty: nothing then is learnt of false alarms.
    See also: dice, tversky, brier_score.
    """

    def formula(masks: Masks, y: Array, w: Array | None) -> tuple[Array, Array, Slopes]:
        p, rest = (Wide(*both) for both in masks.unrounded(np.ones(len(y), np.bool_)))
        count = 1.0 if w is None else w
        inside, outside = wide(y) * count, (1.0 - wide(y)) * count
        tp, fn, fp, tn = ((part * mask).sum() + smooth for mask in (inside, outside) for part in (p, rest))
        hit, true, false, missed = tp + fp, tp + fn, tn + fp, tn + fn
        size = hit * true * false * missed
        told = size.high > 0
        root = where(told, sqrt(where(told, size, 1.0)), 1.0)
        agreed = tp * tn - fp * fn
        errors, both = fp + fn, tp * tn
        # ab − cd beside its root: what (ab + …)² has more than (ab − cd)², every term of which is above 0
        excess = both * (tp + tn) * errors + tp * tp * fp * fn + both * errors * errors + (tp + tn) * fp * fn * errors
        excess = excess + tn * tn * fp * fn + 2.0 * both * fp * fn
        near = agreed.high > 0
        value = where(near, excess / root / where(near, root + agreed, 1.0), (root - agreed) / root)
        lean = agreed * (missed - hit) / where(told, 2.0 * hit * missed, 1.0)
        slope = where(told, (outside * (true + lean) - inside * (false - lean)) / root, 0.0)
        losses = np.where(told, value.high, 1.0)[:, 0]
        return losses, slope.high, lambda rows: (slope.high[rows], slope.low[rows])

    layout = layout_of(predictions, class_axis, include_background, activation, from_logits, pool)
    return layout.apply(formula, predictions, targets, weights)


@loss(
    predictions=when("from_logits", True, mask_of(LOGIT), mask_of(PROBABILITY)),
    targets=mask_of(SOFT_BINARY),
    formula=(
        "−½λ/k ∑ᵢ (δ·yᵢ ln pᵢ + (1 − δ)·(1 − yᵢ)·pᵢ^γ ln(1 − pᵢ)) + ½(1 − λ)·(1 − b + (1 − a)^(1 − γ)); "
        "a = (TP + s)/(TP + δ·FN + (1 − δ)·FP + s); b = (TN + s)/(TN + δ·FP + (1 − δ)·FN + s); "
        "TP = ∑ᵢ pᵢ·yᵢ; FP = ∑ᵢ pᵢ·(1 − yᵢ); FN = ∑ᵢ (1 − pᵢ)·yᵢ; TN = ∑ᵢ (1 − pᵢ)·(1 − yᵢ); p = σ(x) if from_logits"
    ),
    gradient=(
        "½h·(λ/k·f + (1 − λ)·g); f = (1 − δ)·(1 − yᵢ)·(pᵢ^γ/(1 − pᵢ) − γ·pᵢ^(γ − 1) ln(1 − pᵢ)) − δ·yᵢ/pᵢ; "
        "g = (1 − yᵢ − b·(1 − δ))/(TN + δ·FP + (1 − δ)·FN + s) + "
        "(1 − γ)·(1 − a)^(−γ)·(a·(1 − δ) − yᵢ)/(TP + δ·FN + (1 − δ)·FP + s); h = pᵢ(1 − pᵢ) if from_logits, else 1"
    ),
    symbols={
        "i": "a position of the mask",
        "k": "how many positions there are",
        "a": "the overlap of the foreground, where what is missed counts δ",
        "b": "that of the background",
    },
    aliases=("asymmetric_unified_focal",),
    reference="Yeung et al. (2022), doi:10.1016/j.compmedimag.2021.102026",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=IN_PAIRS,
    weighs_rows=True,
)
def unified_focal(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    weight: Annotated[float, Ge(0), Le(1), Doc("What the cross-entropy of the positions counts beside the overlaps.")] = 0.5,
    delta: Annotated[float, Gt(0), Lt(1), Doc("What an error in the foreground counts: what is missed, above ½.")] = 0.6,
    gamma: Annotated[
        float, Ge(0), Lt(1), Doc("How much sure background is passed over, and how much a mask that is nearly met still pulls.")
    ] = 0.5,
    smooth: Smooth = 0.0,
    from_logits: FromLogits = False,
) -> tuple[Array, Gradient]:
    """Focal cross-entropy and focal Tversky of one mask under one pair of settings, both gentle with the background alone.

    It is the asymmetric form of the paper, of one foreground; a mask that is met exactly has the slope 0 in its overlap.

    Use when: a small foreground is learned, and neither cross-entropy nor overlap does alone.
    Avoid when: there are several classes of foreground; or probabilities must be calibrated.
    See also: focal_tversky, binary_focal, bce_dice, generalized_dice.
    """

    cancels: list[NDArray[np.bool_]] = []

    def overlaps(masks: Masks, y: Array, w: Array | None) -> tuple[Array, Array, Slopes]:
        def turned(rows: NDArray[np.bool_]) -> tuple[Pair, Pair]:
            p, rest = masks.unrounded(rows)
            return rest, p

        back = Masks(masks.rest, masks.p, turned, masks.of_logits)
        ground, ground_slope, _ = overlap_of(back, 1.0 - y, w, 1.0 - delta, delta, smooth, 0.0, y)
        miss, slope, _ = overlap_of(masks, y, w, 1.0 - delta, delta, smooth, 0.0)
        some = miss > 0
        steep = np.where(some, (1.0 - gamma) * np.where(some, miss, 1.0) ** -gamma, 1.0 if gamma == 0 else 0.0)
        pulls = 0.5 * (steep[:, None] * slope - ground_slope)
        cancels.append(np.logical_or.reduce(np.abs(pulls) < np.abs(ground_slope) / 2.0, axis=1))
        return 0.5 * (ground + miss ** (1.0 - gamma)), pulls, lambda rows: pair(pulls[rows])

    layout = layout_of(predictions, None, True, None, from_logits, "sample")
    overlap, pull = layout.apply(overlaps, predictions, targets, weights)
    entropy, slope = _focal_entropy(predictions, targets, gamma, delta, from_logits)
    rows = len(predictions)
    share = np.ones((rows, 1)) if weights is None else weights.reshape(rows, -1)
    total = share.sum(axis=1, keepdims=True) if weights is not None else np.full((rows, 1), float(predictions[0].size))
    share = share / np.where(total > 0, total, 1.0)
    none = np.broadcast_to(share == 0, (rows, predictions[0].size))
    values = row_sums(np.where(none, 0.0, share * entropy.high.reshape(rows, -1)))
    steep, pull = np.where(none, 0.0, share * slope.high.reshape(rows, -1)), cast(Array, pull).reshape(rows, -1)
    gradient = _mixed(weight, steep, pull)
    crossing = (np.abs(gradient) < 0.5 * (1.0 - weight) * np.abs(pull)).any(axis=1) | cancels[0]
    if crossing.any():
        x, y = predictions.reshape(rows, -1)[crossing], targets.reshape(rows, -1)[crossing]
        w = None if weights is None else np.broadcast_to(weights.reshape(rows, -1), none.shape)[crossing]
        slope = Wide(*(part.reshape(rows, -1)[crossing] for part in slope.pair))
        slope = where(none[crossing], 0.0, slope * share[crossing])
        exact = slope * weight + _pull_of_overlaps(x, y, w, gamma, delta, smooth, from_logits) * (1.0 - weight)
        gradient[crossing] = exact.high
    return _mixed(weight, values, overlap), gradient.reshape(predictions.shape)


def _mixed(weight: float, entropy: Array, overlap: Array) -> Array:
    return (weight * entropy if weight else np.zeros_like(entropy)) + (1.0 - weight) * overlap


def _pull_of_overlaps(x: Array, y: Array, w: Array | None, gamma: float, delta: float, smooth: float, from_logits: bool) -> Wide:
    """The slope of ½·(1 − b + (1 − a)^(1 − γ)), as the formula has it, unrounded."""
    p, rest = (sigmoid(x), sigmoid(-x)) if from_logits else (wide(x), 1.0 - wide(x))
    true, false = wide(y), 1.0 - wide(y)
    minor = 1.0 - wide(delta)

    def total(numbers: Wide) -> Wide:
        return (numbers if w is None else numbers * w).sum()

    missed, alarms = total(rest * true), total(p * false)
    found, passed = total(p * true) + smooth, total(rest * false) + smooth
    fore, back = missed * delta + alarms * minor, alarms * delta + missed * minor
    whole, ground = found + fore, passed + back
    miss = fore / where(whole.high > 0, whole, 1.0)
    some = miss.high > 0
    steep = where(some, (1.0 - wide(gamma)) / power(where(some, miss, 1.0), gamma), 1.0 if gamma == 0 else 0.0)
    pull = steep * (false * (found * minor) - true * (found * delta + fore)) / (whole * whole)
    pull -= (true * (passed * minor) - false * (passed * delta + back)) / (ground * ground)
    pull *= 0.5 if w is None else 0.5 * w
    return pull * (p * rest) if from_logits else pull


def _focal_entropy(x: Array, y: Array, gamma: float, delta: float, from_logits: bool) -> tuple[Wide, Wide]:
    """½(δ·y·(−ln p) + (1 − δ)(1 − y)·p^γ·(−ln(1 − p))), and its derivative."""
    yes, no = wide(y) * (0.5 * delta), (1.0 - wide(y)) * ((1.0 - wide(delta)) * 0.5)
    if from_logits:
        p, rest = sigmoid(x), sigmoid(-x)
        known, alarm, up = softplus(-x), softplus(x), yes * rest
        down = power(p, gamma) * (p + gamma * rest * alarm)
    else:
        p, rest = wide(x), 1.0 - wide(x)
        sure, unit = x == 1, np.where(x < 1e-250, 2.0**300, 1.0)
        known, alarm, up = wide(-np.log(x)), -log1p(-where(sure, 0.5, p)), (yes * unit) / (p * unit)
        alarm, bound = where(sure, np.inf, alarm), where(sure, 1.0, rest)
        lead = power(p, gamma - 1.0) if gamma >= 1 else power(where(p.high > 0, p, 1.0), gamma - 1.0)
        steep = power(p, gamma) / bound + where((p.high > 0) & (gamma > 0), gamma * lead * alarm, 1.0 if gamma == 1 else 0.0)
        down = where(sure, np.inf, steep)
    value = where(y == 0, 0.0, yes * known) + where(y == 1, 0.0, no * (power(p, gamma) * alarm))
    return value, where(y == 1, 0.0, no * down) - where(y == 0, 0.0, up)


@loss(
    predictions=when("from_logits", True, mask_of(LOGIT), mask_of(PROBABILITY)),
    targets=SIGNED_DISTANCE,
    formula="1/k ∑ᵢ yᵢ·pᵢ; p = σ(x) if from_logits",
    gradient="h·yᵢ/k; h = pᵢ(1 − pᵢ) if from_logits, else 1",
    symbols={"i": "a position of the mask", "k": "how many positions there are"},
    aliases=("boundary_loss", "surface_loss"),
    reference="Kervadec et al. (2019), arXiv:1812.07032",
    properties=DIFFERENTIABLE,
    cost=IN_PAIRS,
    weighs_rows=True,
)
def boundary(
    predictions: Array, targets: Array, weights: Array | None = None, *, from_logits: FromLogits = False
) -> tuple[Array, Gradient]:
    """What a mask covers, each position by its distance from the true border: negative inside, so that filling the mask is best.

    Targets are the signed distances, made once for each true mask (scipy.ndimage.distance_transform_edt of both sides). The
    least value is that of the true mask, below 0.

    Use when: a small mask is learned with an overlap, and false alarms far from it shall cost more than near ones.
    Avoid when: it is alone: an empty mask costs 0, which is near its least; add a dice whose share falls.
    See also: dice, bce_dice, generalized_dice.
    """

    def formula(masks: Masks, distance: Array, w: Array | None) -> tuple[Array, Array, Slopes]:
        p = Wide(*masks.unrounded(np.ones(len(distance), np.bool_))[0])
        total = np.full((len(distance), 1), float(distance.shape[1])) if w is None else w.sum(axis=1, keepdims=True)
        share = wide(distance) * (1.0 if w is None else w) / np.where(total > 0, total, 1.0)
        slope = share.high
        return (p * share).sum().high[:, 0], slope, lambda rows: pair(slope[rows])

    layout = layout_of(predictions, None, True, None, from_logits, "sample")
    return layout.apply(formula, predictions, targets, weights)
