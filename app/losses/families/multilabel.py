"""Losses of several labels per sample, each of which is true or not: predictions (n, k), one column per label."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Le, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Whole
from app.libraries import equal
from app.losses.cost import IN_PAIRS, Cost
from app.losses.encodings import BINARY, INDEX_LIST, LOGIT, MULTI_HOT, ON_BOTH_SIDES, SCORES, TOLD_LIST, UNIT, numbers, whole
from app.losses.inputs import Case, Choice, Encoding, Numbers, Place, Reading, Sizes
from app.losses.labels import Weight
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.pairs import two_sum
from app.losses.numerics.rows import headroom, row_sums
from app.losses.numerics.stable import Array, sigmoid, sigmoid_slope, softplus
from app.losses.numerics.wide import log, log1p, power, where, wide
from app.losses.numerics.wide import sigmoid as sigmoid_wide
from app.losses.numerics.wide import softplus as softplus_wide
from app.losses.parameters import PER_CLASS
from app.registry import alias


def _read_whole(array: Numbers, place: Place) -> Reading:
    return Reading(whole(array, place), "label")


def _draw_labels(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    return rng.integers(0, sizes.k, (sizes.n, *sizes.d)).astype(np.float64)


LABEL = Encoding(
    "label",
    "a class or a 0/1 flag, as a whole number",
    ("n *d",),
    _read_whole,
    _draw_labels,
    ("class_names",),
    "flag",
    domain=Whole(),
)


def draw_logits(rng: "np.random.Generator", shape: tuple[int, ...]) -> Array:
    return np.round(rng.integers(-60, 61, shape) * np.float64(0.05), 6)


LABEL_LOGITS = numbers("logits", "the log-odds of each label", ON_BOTH_SIDES, draw_logits, axes="n *d k", link=UNIT)


def _format(name: str | None, encoding: Encoding) -> Case:
    def holds(parameters: Mapping[str, object], _: int) -> bool:
        return parameters["target_format"] == name

    return Case(f"target_format is {name or 'null'}", holds, encoding)


@loss(
    predictions=LABEL_LOGITS,
    targets=MULTI_HOT,
    formula="1/k ∑ⱼ wⱼ ln(1 + e^(−zⱼ)); zⱼ = (2yⱼ − 1)·xⱼ",
    gradient="wⱼ/k·(σ(xⱼ) − yⱼ)",
    aliases=(
        "multi_bce",
        "MultiLabelSoftMarginLoss",
        "F.multilabel_soft_margin_loss",
        "multilabel_soft_margin_loss",
        "MultiLogloss",
    ),
    equals=(
        equal("torch.nn.MultiLabelSoftMarginLoss(weight=class_weight, reduction=reduction)(predictions, targets)"),
        equal("catboost.utils.eval_metric(targets.T, predictions.T, 'MultiLogloss')[0]"),
    ),
    reference="Boutell et al. (2004), doi:10.1016/j.patcog.2004.03.009",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    weighs_rows=True,
)
def multilabel_soft_margin(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    class_weight: Annotated[
        list[Weight] | dict[str, Weight] | None,
        PER_CLASS,
        Doc("Weight of each label, as a list or by name: one that is not named weighs 1. null weighs all alike."),
    ] = None,
) -> tuple[Array, Array, Second]:
    """Binary cross-entropy of every label on its own, averaged over the labels.

    Class weights multiply the labels' terms; the sum is divided by the number of labels all the same, as in PyTorch. Weights
    and masks of single labels are in both.

    Use when: a sample may have several labels at once, and the probability of each is wanted.
    Avoid when: exactly one label is true (categorical_cross_entropy); or labels are so many that the false ones drown the true.
    See also: binary_cross_entropy, multilabel_margin.
    """
    sign = 2.0 * targets - 1.0
    against = -sign * predictions
    k = _counted(targets, weights)
    weight = 1.0 if class_weight is None else np.asarray(class_weight, np.float64)
    weight = weight if weights is None else weight * weights
    values = row_sums(softplus(against) / k * weight)
    return values, -sign * sigmoid(against) / k * weight, lambda: sigmoid_slope(predictions) / k * weight


def _counted(targets: Array, weights: Array | None) -> Array | int:
    """How many labels each row has, or what they weigh together (n, 1)."""
    return targets.shape[1] if weights is None else row_sums(weights)[:, None]


class _Ordered(NamedTuple):
    """The labels of each row from the lowest score to the highest."""

    order: NDArray[np.intp]
    """(n, k): the column of the label in each place."""
    true: Array
    """(n, k): what the true label in each place weighs, 0 for a false one."""
    false: Array
    true_up_to: Array
    """(n, k): what the true labels weigh up to each place, and the false ones after it."""
    false_after: Array


def _ordered(targets: Array, weights: Array | None, *keys: Array) -> _Ordered:
    """Labels ordered by the last of the keys, those that tie by the one before it."""
    order: NDArray[np.intp] = np.lexsort(keys, axis=1)
    true = np.take_along_axis(targets, order, axis=1)
    false = 1.0 - true
    if weights is not None:
        weight = np.take_along_axis(weights, order, axis=1)
        true, false = true * weight, false * weight
    from_here = np.cumsum(false[:, ::-1], axis=1)[:, ::-1]
    return _Ordered(order, true, false, np.cumsum(true, axis=1), np.pad(from_here[:, 1:], ((0, 0), (0, 1))))


@loss(
    predictions=SCORES,
    targets=Choice((_format("multi_hot", MULTI_HOT), _format("index_list", INDEX_LIST), _format(None, TOLD_LIST))),
    formula="1/k ∑_(i ∈ Y) ∑_(j ∉ Y) max(0, 1 − (sᵢ − sⱼ))",
    gradient="−1/k ∑_(i ∉ Y) [sⱼ − sᵢ < 1] if j ∈ Y, else 1/k ∑_(i ∈ Y) [sᵢ − sⱼ < 1]",
    aliases=(
        "multilabel_hinge",
        alias("MultiLabelMarginLoss", target_format="index_list"),
        alias("multilabel_margin_loss", target_format="index_list"),
        alias("F.multilabel_margin_loss", target_format="index_list"),
    ),
    equals=(equal("torch.nn.MultiLabelMarginLoss(reduction=reduction)(predictions, targets)", target_format="index_list"),),
    reference="Zhang and Zhou (2014), doi:10.1109/TKDE.2013.39",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=Cost(per_number=30.0, beyond={"n·k·log k": 9.0}),
    weighs_rows=True,
)
def multilabel_margin(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    target_format: Annotated[
        Literal["index_list", "multi_hot"] | None,
        Doc("Whether targets list the true labels, padded with −1, or flag each with 0 or 1; null: lists that cannot be flags."),
    ] = None,
) -> tuple[Array, Array, Second]:
    """Asks every true label to lead every false one by 1, and adds up the shortfalls, divided by the number of labels.

    A list of labels ends at its first −1, whatever stands after it, as in PyTorch. A pair counts the product of its labels'
    weights.

    Use when: a sample may have several labels and only their order counts: true ones before false ones.
    Avoid when: a threshold must tell which labels hold: scores have no common zero.
    See also: label_ranking_loss.
    """
    k = _counted(predictions, weights)
    room = headroom(predictions)
    scores = predictions * room
    # a pair is short by what lies between the true label's score and the false one's raised by the margin: each stretch
    # between two neighbours of all these counts once for every pair that spans it, and nothing cancels
    high, low = two_sum(scores, np.where(targets == 0, room, 0.0))
    ordered = _ordered(
        targets, weights, targets, low, high
    )  # no pull at the margin itself, as in PyTorch: false labels come first
    high, low = (np.take_along_axis(part, ordered.order, axis=1) for part in (high, low))
    stretch = np.diff(high, axis=1, append=high[:, -1:]) + np.diff(low, axis=1, append=low[:, -1:])
    values = row_sums(stretch * (ordered.true_up_to * ordered.false_after))
    gradient = np.empty_like(scores)
    pull = ordered.false * ordered.true_up_to - ordered.true * ordered.false_after  # a label is one or the other
    np.put_along_axis(gradient, ordered.order, pull, axis=1)
    return (values[:, None] / k / room)[:, 0], gradient / k, lambda: np.zeros_like(scores)


@loss(
    predictions=LABEL,
    targets=LABEL,
    formula="[p ≠ y]",
    aliases=("HammingLoss", "Hamming"),
    equals=(
        equal("sklearn.metrics.hamming_loss(targets, predictions)"),
        equal(
            "torchmetrics.functional.hamming_distance(predictions, targets, task='multilabel', num_labels=predictions.shape[1])",
        ),
    ),
    reference="Hamming (1950), doi:10.1002/j.1538-7305.1950.tb00463.x",
    properties=SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def hamming_loss(predictions: Array, targets: Array) -> tuple[Array, None]:
    """The share of labels that are wrong. Predictions are decided labels, so nothing can be learned by its gradient.

    Use when: decided labels are judged one by one, several of a sample, each error counting the same.
    Avoid when: a model is trained, as it has no slope; or true labels are rare: to name none looks good.
    See also: zero_one, multilabel_soft_margin.
    """
    return (predictions != targets).astype(np.float64), None


@loss(
    predictions=MULTI_HOT,
    targets=MULTI_HOT,
    formula="1 if ∑ⱼ |pⱼ − yⱼ| > 0, else 0",
    aliases=("subset_zero_one_loss", "exact_match_loss", alias("zero_one_loss", shapes=("n k", "n k"))),
    equals=(equal("sklearn.metrics.zero_one_loss(targets, predictions)"),),
    reference="Tsoumakas, Katakis and Vlahavas (2010), doi:10.1007/978-0-387-09823-4_34",
    properties=SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
    weighs_rows=True,
)
def subset_zero_one(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, None]:
    """Whether any label of a sample is wrong; its mean is one minus the subset accuracy.

    Predictions are decided labels, 0 or 1 for each. Labels that are masked or weigh 0 may be wrong.

    Use when: a set of labels is of use only if all of it is right.
    Avoid when: there are many labels, of which one is nearly always wrong; or a model is trained, as it has no slope.
    See also: hamming_loss, zero_one.
    """
    wrong = predictions != targets
    return (wrong if weights is None else wrong & (weights > 0)).any(axis=1) * 1.0, None


@loss(
    predictions=SCORES,
    targets=MULTI_HOT,
    formula="1/(|Y|(k − |Y|)) ∑_(i ∈ Y) ∑_(j ∉ Y) [sᵢ ≤ sⱼ]",
    aliases=("MultilabelRankingLoss", "multilabel_ranking_loss"),
    equals=(
        equal("sklearn.metrics.label_ranking_loss(targets, predictions)"),
        equal(
            "torchmetrics.functional.classification.multilabel_ranking_loss(predictions, targets.int(), num_labels=k)",
            differs_at=("ties", "zeros", "saturated"),
            caveat="torchmetrics counts a tie as it happens to be sorted.",
        ),
    ),
    reference="Tsoumakas, Katakis and Vlahavas (2010), doi:10.1007/978-0-387-09823-4_34",
    properties=NON_NEGATIVE | ZERO_AT_TARGET,
    cost=Cost(beyond={"n·k·log k": 5.0}),
    weighs_rows=True,
)
def label_ranking_loss(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, None]:
    """The share of pairs of labels in the wrong order. A tie is an error; a row with no or only true labels costs 0.

    Use when: a ranking of labels is judged as a whole: how often a false one stands before a true one.
    Avoid when: a model is trained, as it has no slope (multilabel_margin has one); or only the top of the ranking is looked at.
    See also: multilabel_margin, coverage_error, margin_ranking.
    """
    ordered = _ordered(targets, weights, -targets, predictions)  # true labels come first where they tie
    wrong = (ordered.true * ordered.false_after).sum(axis=1)  # without weights whole numbers: exact in any order
    pairs = ordered.true_up_to[:, -1] * ordered.false.sum(axis=1)
    return np.divide(wrong, pairs, out=np.zeros_like(wrong), where=pairs > 0), None


@loss(
    predictions=SCORES,
    targets=MULTI_HOT,
    formula="∑ⱼ [sⱼ ≥ min_(i ∈ Y) sᵢ]",
    aliases=("MultilabelCoverageError", "multilabel_coverage_error"),
    equals=(
        equal("sklearn.metrics.coverage_error(targets, predictions)"),
        equal("torchmetrics.functional.classification.multilabel_coverage_error(predictions, targets.int(), num_labels=k)"),
    ),
    reference="Tsoumakas, Katakis and Vlahavas (2010), doi:10.1007/978-0-387-09823-4_34",
    properties=NON_NEGATIVE,
    weighs_rows=True,
)
def coverage_error(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, None]:
    """How far down the ranking one must go to meet all true labels. A tie takes the worse rank; a row without any costs 0.

    Use when: it counts how many labels somebody has to read until all true ones are seen.
    Avoid when: a model is trained, as it has no slope; or samples have very different numbers of true labels: its least value
    is that number.
    See also: label_ranking_loss.
    """
    counted = targets if weights is None else targets * weights
    lowest = np.where(counted == 0, np.inf, predictions).min(axis=1)
    reached = predictions >= lowest[:, None]
    return np.count_nonzero(reached, axis=1).astype(np.float64) if weights is None else (reached * weights).sum(axis=1), None


@loss(
    predictions=LOGIT,
    targets=BINARY,
    formula="−(1 − q)^gamma_pos·ln q if y = 1, else −m^gamma_neg·ln(1 − m); q = σ(x); m = max(0, q − clip)",
    gradient=(
        "−(1 − q)^gamma_pos·(gamma_pos·q·softplus(−x) + 1 − q) if y = 1, "
        "q·(1 − q)·(m^gamma_neg/(1 − m) − gamma_neg·m^(gamma_neg − 1)·ln(1 − m)) if q > clip, else 0; "
        "q = σ(x); m = max(0, q − clip)"
    ),
    aliases=("asl", "ASL", "AsymmetricLossMultiLabel", "asymmetric_focal"),
    reference="Ridnik et al. (2021), arXiv:2009.14119",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def asymmetric_multilabel(
    predictions: Array,
    targets: Array,
    *,
    gamma_neg: Annotated[float, Ge(0), Le(100), Doc("How strongly false labels are passed over where they are low.")] = 4.0,
    gamma_pos: Annotated[float, Ge(0), Le(100), Doc("How strongly true labels are passed over where they are high.")] = 1.0,
    clip: Annotated[float, Ge(0), Lt(1), Doc("Probability up to which a label that does not hold costs nothing.")] = 0.05,
) -> tuple[Array, Array]:
    """Focal cross-entropy with another focus for labels that hold and for the many that do not, of which sure ones drop out.

    Every label is an element by itself; the paper sums over all labels.

    Use when: of very many labels few hold, and false ones would drown them.
    Avoid when: probabilities must be calibrated; or labels that hold are often missing, which count as false here.
    See also: binary_focal, zlpr, multilabel_soft_margin.
    """
    positive = targets == 1
    p, q = sigmoid_wide(predictions), sigmoid_wide(-predictions)
    surprise = softplus_wide(-predictions)
    focus = power(q, gamma_pos)
    m = p - clip
    inside = m.high > 0
    m = where(inside, m, 0.5)
    lead, near = power(m, gamma_neg), q + clip
    if clip:
        fear = where(near.high > 0.5, -log1p(-m), -log(near))
        share = q / near
    else:  # of which a sure logit leaves nothing
        fear, share = softplus_wide(predictions), wide(np.ones_like(predictions))
    value = where(positive, focus * surprise, where(inside, lead * fear, 0.0))
    pull = p * lead * (share + gamma_neg * q * fear / m)
    slope = where(positive, -(focus * (gamma_pos * p * surprise + q)), where(inside, pull, 0.0))
    return value.high, slope.high
