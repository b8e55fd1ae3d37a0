"""Losses that ask the score of the true class for a lead over those of the others: predictions (n, *d, k).

A kernel sees rows (m, k) and labels (m,), or the shares (m, k) that classes have of soft, smoothed and weighed labels.
"""

from typing import Annotated, Literal

import numpy as np
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import CLASS_LABEL, SCORES
from app.losses.labels import ClassWeight
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, loss
from app.losses.numerics.pairs import (
    pair,
    pair_add,
    pair_multiply,
    pair_sum,
    renormalised,
    two_sum,
)
from app.losses.numerics.rows import (
    Flat,
    Index,
    flat_index,
    headroom,
    lead_missing,
    row_starts,
    row_sums,
    scattered,
)
from app.losses.numerics.shares import Shares
from app.losses.numerics.stable import Array, recovered
from app.losses.numerics.wide import Wide, where, wide
from app.registry import alias

FromLogits = Annotated[bool, Doc("Whether predictions are logits, which a softmax turns into probabilities.")]


def _hinge(scores: Array, targets: Index | Shares, own: float) -> tuple[Array, Array, Second]:
    """max(0, 1 + the largest rival − score of the label), where the label itself is a rival of score `own`.

    At a kink it still pulls, at a tie the first rival is pushed.
    """
    start = row_starts(scores)
    room = headroom(scores)
    if not isinstance(targets, Shares):
        positions = flat_index(targets, scores.shape[1])
        rivals = scores.copy()
        rivals.reshape(-1)[positions] = own
        rival: Flat = start + rivals.argmax(axis=1)
        excess = lead_missing((rivals * room).take(rival), (scores * room).take(positions), np.ravel(room))
        active = (excess >= 0).astype(np.float64)
        gradient = scattered(active, rival, scores)
        gradient.reshape(-1)[positions] = -active
        values = np.fmax(excess, 0.0) / np.ravel(room)  # fmax: a class without rivals has no excess, but NaN
        return values, gradient, lambda: np.zeros_like(scores)
    first: Flat = start + scores.argmax(axis=1)
    rest = scores.copy()
    rest.reshape(-1)[first] = -np.inf
    second: Flat = start + rest.argmax(axis=1)
    lead = np.repeat(scores.take(first)[:, None], scores.shape[1], axis=1)
    lead.reshape(-1)[first] = rest.take(second)
    excess = lead_missing(np.maximum(lead, own) * room, scores * room, room)
    active = np.where(excess >= 0, targets.rounded, 0.0)
    before = np.arange(scores.size).reshape(scores.shape) > first[:, None]
    before.reshape(-1)[first] = first > second
    pushed = np.where((lead > own) | ((lead == own) & before), active, 0.0)
    gradient = -active
    gradient.reshape(-1)[second] += pushed.take(first)
    pushed.reshape(-1)[first] = -active.take(first)
    high, low = pair_sum(pair(pushed))
    gradient.reshape(-1)[first] = (high + low)[:, 0]
    return row_sums(targets.rounded * np.fmax(excess, 0.0)) / np.ravel(room), gradient, lambda: np.zeros_like(scores)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max(0, 1 − s_y + max(0, max_(j ≠ y) sⱼ))",
    gradient="−1 if j = y and ℓ > 0, 1 if j = c and s_c > 0 and ℓ > 0, else 0",
    symbols={"c": "the wrong class with the largest score"},
    aliases=("CategoricalHinge",),
    equals=(
        equal(
            "keras.losses.CategoricalHinge(reduction=reduction)(targets, predictions)",
            encodings={"targets": "one_hot"},
            differs_at=("gradient at ties", "gradient at zeros", "gradient at saturated"),
            caveat="At a tie the slope is shared there.",
        ),
    ),
    reference="Crammer and Singer (2001), JMLR 2, 265–292, https://www.jmlr.org/papers/v2/crammer01a.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def categorical_hinge(predictions: Array, targets: Index | Shares) -> tuple[Array, Array, Second]:
    """Asks the true class to lead the best wrong one, and zero, by 1.

    Keras' form, in which the true class takes part in the maximum with a score of 0: where all wrong scores are negative
    the loss is 1 − sᵧ. See crammer_singer_hinge for the form without it.

    Use when: Keras' loss of this name is to be matched, as a model trained there gives it.
    Avoid when: all scores may be negative: the true class must then exceed 1 by itself; crammer_singer_hinge asks for a lead
    only.
    See also: crammer_singer_hinge.
    """
    return _hinge(predictions, targets, 0.0)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max(0, 1 − s_y + max_(j ≠ y) sⱼ)",
    gradient="−1 if j = y and ℓ > 0, 1 if j = c and ℓ > 0, else 0",
    symbols={"c": "the wrong class with the largest score"},
    aliases=("multiclass_hinge", "multiclass_hinge_loss", alias("hinge_loss", shapes=("n k", "n"))),
    equals=(
        equal("sklearn.metrics.hinge_loss(targets, predictions, labels=np.arange(k))"),
        equal(
            "optax.losses.multiclass_hinge_loss(predictions, targets)",
            reductions=EACH,
            differs_at=("gradient at ties", "gradient at zeros", "gradient at saturated"),
            caveat="At a tie the slope is shared there.",
        ),
        equal(
            "torchmetrics.functional.classification.multiclass_hinge_loss(predictions, targets, num_classes=k, "
            "multiclass_mode='crammer-singer')",
            encodings={"predictions": "distribution"},
            caveat="Where a score lies outside [0, 1], torchmetrics takes the softmax of all.",
        ),
    ),
    reference="Crammer and Singer (2001), JMLR 2, 265–292, https://www.jmlr.org/papers/v2/crammer01a.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    counterpart="hinge",
)
def crammer_singer_hinge(predictions: Array, targets: Index | Shares) -> tuple[Array, Array, Second]:
    """Asks the true class to lead the best wrong one by 1: only these two are pulled, and no others.

    Use when: only the decision among several classes counts: the true one must lead the best wrong one.
    Avoid when: probabilities are wanted; or classes are many, of which a step moves only two.
    See also: hinge, multi_margin, categorical_cross_entropy.
    """
    return _hinge(predictions, targets, -np.inf)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="w_y/k ∑_(j ≠ y) max(0, m − s_y + sⱼ)ᵖ",
    gradient="gⱼ if j ≠ y, else −∑_(i ≠ y) gᵢ; gⱼ = w_y·p/k·[sⱼ > s_y − m]·max(0, m − s_y + sⱼ)^(p − 1)",
    aliases=("multi_class_margin", "MultiMarginLoss", "multi_margin_loss", "F.multi_margin_loss"),
    equals=(
        equal("torch.nn.MultiMarginLoss(p=p, margin=margin, weight=class_weight, reduction=reduction)(predictions, targets)"),
    ),
    reference="Weston and Watkins (1999), ESANN, https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost_of_shares=Cost(beyond={"n·k²": 80.0}),
    counterpart="hinge",
)
def multi_margin(
    predictions: Array,
    targets: Index | Shares,
    *,
    p: Annotated[Literal[1, 2], Doc("Power of each violation of the margin.")] = 1,
    margin: Annotated[float, Doc("Lead that the true class should have over each other one.")] = 1.0,
    class_weight: ClassWeight = None,
) -> tuple[Array, Array, Second]:
    """Asks the true class to lead every wrong one by a margin, and adds up the shortfalls, divided by the number of classes.

    Class weights multiply the losses but not the divisor of the mean, as in PyTorch.

    Use when: the true class must lead every wrong one by a margin, and all that come too near should be pushed at once.
    Avoid when: probabilities are wanted; or classes are many: the division by their number makes each pull small.
    See also: hinge.
    """
    k = predictions.shape[1]
    weight = np.ones(k) if class_weight is None else np.asarray(class_weight, np.float64)
    if isinstance(targets, Shares):
        return _margins_of_shares(predictions, targets, p, margin, weight)
    positions = flat_index(targets, k)
    excess, _, room = _shortfalls(predictions, positions, margin)
    own = weight[targets][:, None]
    slope = (
        np.sign(excess) * (own / k) if p == 1 else excess / k * (2.0 * own / room)
    )  # no pull at the margin itself, as in PyTorch
    slope.reshape(-1)[positions] = -row_sums(slope)
    values = _mean_of_powers(excess, p, room)[:, None] * own

    def second() -> Array:
        return _margin_bends(excess, positions, p) * own

    return np.where(own == 0, 0.0, values)[:, 0], slope, second  # a class of no weight costs nothing, however far off it is


def _shortfalls(predictions: Array, positions: Flat, margin: float) -> tuple[Array, Array, Array | float]:
    """How far each class comes too near to the label, rounded and the rest, 0 where it does not; all times the room."""
    room = headroom(predictions)
    scores = predictions * room
    gap, lost = two_sum(scores, -scores.take(positions)[:, None])
    excess, error = two_sum(gap, margin * room)
    excess, error = renormalised(excess, error + lost)
    short = excess > 0
    short.reshape(-1)[positions] = False
    return np.where(short, excess, 0.0), np.where(short, error, 0.0), room


def _margin_bends(excess: Array, positions: Flat, p: int) -> Array:
    """2/k for each class that comes too near, and their sum for the label; nothing of p = 1."""
    bends = np.where(excess > 0, 2.0 / excess.shape[1] if p == 2 else 0.0, 0.0)
    bends.reshape(-1)[positions] = row_sums(bends)
    return bends


def _mean_of_powers(excess: Array, p: int, room: Array | float) -> Array:
    k = excess.shape[1]
    # the squares may overflow where their mean does not
    mean = recovered(row_sums(excess**p) / k, lambda: row_sums(excess / k * excess ** (p - 1)))
    return mean / np.ravel(room) ** p


def _margins_of_shares(x: Array, shares: Shares, p: int, margin: float, weight: Array) -> tuple[Array, Array, Second]:
    """Label by label, since each pair of classes has a shortfall of its own."""
    m, k = x.shape
    high, low = pair_multiply(shares.unrounded(np.arange(m, dtype=np.intp)), pair(weight))
    values, slope = np.zeros(m), pair(np.zeros((m, k)))
    scale = np.where(np.equal(headroom(x), 1.0), 1.0, 2.0**-32)  # products of pairs need more room
    for label in range(k):
        excess, error, room = _shortfalls(x, row_starts(x) + label, margin)
        share = high[:, label, None], low[:, label, None]
        pull = pair_multiply(pair(np.sign(excess)) if p == 1 else (excess * scale, error * scale), share)
        values += np.where(high[:, label] == 0, 0.0, high[:, label] * _mean_of_powers(excess, p, room))
        own = pair_sum(pull)
        pull[0][:, label], pull[1][:, label] = -own[0][:, 0], -own[1][:, 0]
        slope = pair_add(slope, pull)

    def of_labels(labels: Index) -> Array:
        positions = flat_index(labels, k)
        return _margin_bends(_shortfalls(x, positions, margin)[0], positions, p) * weight[labels][:, None]

    gradient = (slope[0] + slope[1]) / k * (1.0 if p == 1 else 2.0 / scale / headroom(x))
    return values, gradient, lambda: shares.expected(of_labels)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max_(j < k) sⱼ − s_y",
    gradient="[j = c] − [j = y]",
    symbols={"c": "the class with the largest score"},
    aliases=("multiclass_perceptron_loss",),
    equals=(
        equal(
            "optax.losses.multiclass_perceptron_loss(predictions, targets)",
            reductions=EACH,
            differs_at=("gradient at ties", "gradient at zeros", "gradient at saturated"),
            caveat="At a tie the slope is shared there.",
        ),
    ),
    reference="Collins (2002), doi:10.3115/1118693.1118694",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    counterpart="perceptron",
)
def multiclass_perceptron(predictions: Array, targets: Index | Shares) -> tuple[Array, Array, Second]:
    """How far the true class is behind the best: only mistakes pull, and any lead will do. Of a tie the first class is best.

    Use when: classes can be separated and samples come one by one, as in structured perceptrons.
    Avoid when: classes overlap, or new data come near the border: it asks for no lead.
    See also: perceptron, crammer_singer_hinge.
    """
    room = headroom(predictions)
    scores = predictions * room
    top: Flat = row_starts(scores) + scores.argmax(axis=1)
    behind = scores.take(top)[:, None] - scores
    if isinstance(targets, Shares):
        gradient = -targets.rounded
        others = targets.rounded.copy()
        others.reshape(-1)[top] = 0.0
        gradient.reshape(-1)[top] = row_sums(others)
        return row_sums(targets.rounded * behind / room), gradient, lambda: np.zeros_like(scores)
    positions = flat_index(targets, scores.shape[1])
    gradient = scattered(np.full(positions.size, -1.0), positions, scores)
    gradient.reshape(-1)[top] += 1.0
    return behind.take(positions) / np.ravel(room), gradient, lambda: np.zeros_like(scores)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="½·∑ⱼ max(0, sⱼ − τ)·(sⱼ + τ) + ½ − s_y",
    gradient="max(0, sⱼ − τ) − [j = y]",
    symbols={"τ": "the threshold at which ∑ max(0, s − τ) is 1"},
    aliases=("sparsemax_loss", "multiclass_sparsemax_loss", "fenchel_young"),
    equals=(equal("optax.losses.multiclass_sparsemax_loss(predictions, targets)", reductions=EACH),),
    reference="Martins and Astudillo (2016), arXiv:1602.02068",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=150.0, beyond={"n·k·log k": 5.0}),
    counterpart="binary_sparsemax",
)
def sparsemax(predictions: Array, targets: Index | Shares) -> tuple[Array, Array]:
    """Cross-entropy's counterpart for the projection of scores onto probabilities: classes that are far behind get exactly 0.

    Use when: probabilities shall be 0 for most classes, as in attention and where few labels can hold.
    Avoid when: rare classes count: one that is far behind no longer pulls.
    See also: categorical_cross_entropy, binary_sparsemax, crammer_singer_hinge.
    """
    scores = wide(predictions) - predictions.max(axis=1, keepdims=True)
    ordered = np.sort(scores.high, axis=1)[:, ::-1]
    counts = np.arange(1.0, predictions.shape[1] + 1.0)
    kept = (1.0 + counts * ordered > np.cumsum(np.maximum(ordered, -1e100), axis=1)).sum(axis=1)
    inside = scores.high >= np.take_along_axis(ordered, kept[:, None] - 1, axis=1)
    count = inside.sum(axis=1, keepdims=True).astype(np.float64)
    threshold = (where(inside, scores, 0.0).sum() - 1.0) / count
    p = scores - threshold
    p = where(inside & (p.high > 0), p, 0.0)
    constant_part = (p * (where(p.high > 0, scores, 0.0) + threshold)).sum() * 0.5 + 0.5
    if isinstance(targets, Shares):
        y = Wide(*targets.unrounded(np.arange(len(predictions), dtype=np.intp)))
        return (constant_part * y.sum() - where(y.high == 0, 0.0, y * scores).sum()).high[:, 0], (p * y.sum() - y).high
    positions = flat_index(targets, predictions.shape[1])
    own = Wide(scores.high.take(positions)[:, None], scores.low.take(positions)[:, None])
    label = scattered(np.ones(positions.size), positions, predictions)
    return (constant_part - own).high[:, 0], (p - label).high
