"""Losses of several labels per sample that set the scores of true labels against those of false ones: predictions (n, k)."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from app.domains import Interval
from app.losses.cost import IN_PAIRS
from app.losses.encodings import MULTI_HOT, numbers, per_sample
from app.losses.families.multilabel import draw_logits
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, Second, loss
from app.losses.numerics.rows import row_sums
from app.losses.numerics.running import shifted_exp
from app.losses.numerics.similarities import Flags
from app.losses.numerics.stable import Array, exact_sum
from app.losses.numerics.wide import Wide, exp, log, sigmoid, softplus, where, wide

LABEL_SCORES = numbers("label_scores", "a score for each label, above 0 if it is taken", Interval(), draw_logits, axes="n *d k")


BATCH_SCORES = numbers("label_scores", "a score for each label, within ±1e100", Interval(-1e100, 1e100), draw_logits, axes="n k")


@loss(
    predictions=LABEL_SCORES,
    targets=MULTI_HOT,
    formula="ln(1 + ∑_(j ∉ Y) exp(sⱼ)) + ln(1 + ∑_(j ∈ Y) exp(−sⱼ))",
    gradient="−exp(−sⱼ)/(1 + ∑_(i ∈ Y) exp(−sᵢ)) if j ∈ Y, else exp(sⱼ)/(1 + ∑_(i ∉ Y) exp(sᵢ))",
    aliases=("ZLPR", "ZlprLoss", "zero_bounded_log_sum_exp"),
    reference="Su, Murtadha, Pan, Hou, Sun, Huang, Wen and Liu (2022), arXiv:2208.02955",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    weighs_rows=True,
)
def zlpr(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Array, Second]:
    """Asks scores of true labels to lie above 0 and those of the others below, the worst of either first.

    A label counts its weight in its sum.

    Use when: samples have few of many labels, and a threshold of 0 shall decide without balancing the classes.
    Avoid when: the probability of each label is wanted: scores of one sample hang together.
    See also: two_way, multilabel_soft_margin, asymmetric_multilabel.
    """
    values, gradient = np.zeros(len(predictions)), np.zeros_like(predictions)
    sides: list[tuple[Array, Array, Array]] = []
    for holds, side in ((0.0, 1.0), (1.0, -1.0)):
        scores = np.where(targets == holds, side * predictions, -np.inf)
        shift = np.maximum(scores.max(axis=1, keepdims=True), 0.0)
        powers = np.where(targets == holds, shifted_exp(np.where(targets == holds, scores, shift), shift), 0.0)
        powers = powers if weights is None else powers * weights
        rest, one = row_sums(powers)[:, None], np.exp(-shift)
        values += (shift + np.where(shift == 0, np.log1p(rest), np.log(rest + one)))[:, 0]
        gradient += side * powers / (rest + one)
        sides.append((powers, rest, one))
    return values, gradient, lambda: sum((_variance(*side) for side in sides), np.zeros_like(predictions))


def _variance(powers: Array, rest: Array, one: Array) -> Array:
    """p(1 − p) of shares in rest + one: of the largest, 1 − p is what the others have."""
    top = powers == powers.max(axis=1, keepdims=True)
    single = top & (np.cumsum(top, axis=1) == 1)
    others = np.where(single, row_sums(np.where(single, 0.0, powers))[:, None], rest - powers) + one
    return powers / (rest + one) * (others / (rest + one))


@loss(
    predictions=numbers(
        "label_scores", "a score for each label, within ±1e100", Interval(-1e100, 1e100), draw_logits, axes="n k"
    ),
    targets=replace(per_sample(MULTI_HOT), axes=("n k",)),
    formula=(
        "mean_(i ∈ A) softplus(negative·ln ∑_(j ∉ Yᵢ) e^(s(i, j)/negative) + positive·ln ∑_(j ∈ Yᵢ) e^(−s(i, j)/positive)) + "
        "mean_(j ∈ B) softplus(negative·ln ∑_(i ∉ Zⱼ) e^(s(i, j)/negative) + positive·ln ∑_(i ∈ Zⱼ) e^(−s(i, j)/positive))"
    ),
    gradient=("∂ℓ/∂s(i, j) = g(i)·v(i, j)/|A| + h(j)·u(i, j)/|B|"),
    symbols={
        "i": "a sample",
        "j": "a label",
        "A": "the samples of which some label is true",
        "B": "the labels that are true of some sample",
        "Y": "the labels that are true of a sample",
        "Z": "the samples of which a label is true",
        "g": "the slope of a sample's softplus, h that of a label's",
        "h": "the slope of a label's softplus",
        "v": "the share that the score has in its sum of the sample, below 0 for a true label",
        "u": "the share that it has in that of the label",
    },
    aliases=("TwoWayLoss", "two_way_loss"),
    reference=(
        "Kobayashi (2023), CVPR, 7476–7485, "
        "https://openaccess.thecvf.com/content/CVPR2023/html/Kobayashi_Two-Way_Multi-Label_Loss_CVPR_2023_paper.html"
    ),
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=IN_PAIRS,
)
def two_way(
    predictions: Array,
    targets: Array,
    *,
    positive: Annotated[
        float, Gt(1e-3), Le(1e3), Doc("The temperature among true labels: the lower, the more the lowest counts.")
    ] = 4.0,
    negative: Annotated[
        float, Gt(1e-3), Le(1e3), Doc("The temperature among false ones: the lower, the more the highest counts.")
    ] = 1.0,
) -> tuple[Array, Pullback]:
    """Asks true labels of a sample to lie above its false ones, and samples that have a label above those that have it not.

    It is of the whole batch, and each sample has it. Samples without a true label, and labels true of none, do not count.

    Use when: labels are ranked within samples and samples within labels, as in retrieval by tags, and batches are large.
    Avoid when: probabilities of labels are wanted; or batches are so small that most labels are true of no sample.
    See also: zlpr, multilabel_soft_margin, label_ranking_loss.
    """
    value, slope = 0.0, np.zeros_like(predictions)
    for turned in (False, True):
        scores = predictions.T.copy() if turned else predictions
        true: Flags = (targets.T.copy() if turned else targets) > 0
        counted: Flags = np.logical_or.reduce(true, axis=1)
        if not counted.any():
            continue
        low, low_shares = _largest(wide(scores) / negative, ~true)
        high, high_shares = _largest(-wide(scores) / positive, true)
        some: Flags = (counted & ~np.logical_and.reduce(true, axis=1))[:, None]
        lead = where(some, low * negative + high * positive, -1e300)
        pull = sigmoid(lead) * (low_shares - high_shares) / float(counted.sum())
        pulls = np.where(some, pull.high, 0.0)
        value += exact_sum(np.where(some, softplus(lead).high, 0.0)[:, 0]) / float(counted.sum())
        slope += pulls.T if turned else pulls
    return np.full(len(predictions), value), lambda weights: slope * exact_sum(weights)


def _largest(x: Wide, wanted: Flags) -> tuple[Wide, Wide]:
    """ln ∑ eˣ of the numbers of each row that are wanted, and the share of each in that sum."""
    among = where(wanted, x, -np.inf)
    some: Flags = np.logical_or.reduce(wanted, axis=1)[:, None]
    top = where(some, among.max(), 0.0)
    powers = where(wanted, exp(where(wanted, x, top) - top), 0.0)
    total = powers.sum()
    total = where(total.high > 0, total, 1.0)
    return top + log(total), powers / total
