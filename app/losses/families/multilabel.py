"""Losses of several labels per sample, each of which is true or not: predictions (n, k), one column per label."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from app.losses.encodings import INDEX_LIST, MULTI_HOT, SCORES, numbers
from app.losses.inputs import Encoding, Numbers, Place, Reading, Sizes, when
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, SYMMETRIC, ZERO_AT_TARGET, loss
from app.losses.numerics.rows import headroom, lead_missing, row_starts, row_sums
from app.losses.numerics.stable import Array, sigmoid, softplus


def _read_whole(array: Numbers, place: Place) -> Reading:
    fits = np.isfinite(array) & (np.floor(array) == array)
    if not fits.all():
        place.refuse_numbers(~fits, array, "a whole number", "label")
    return Reading(array, "label")


def _draw_labels(rng: np.random.Generator, sizes: Sizes) -> Numbers:
    return rng.integers(0, sizes.k, (sizes.n, *sizes.d)).astype(np.float64)


LABEL = Encoding("label", "a class or a 0/1 flag, as a whole number", ("n *d",), _read_whole, _draw_labels, ("class_names",))


def _draw_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.round(rng.integers(-60, 61, shape) * np.float64(0.05), 6)


LABEL_LOGITS = numbers("logits", "the log-odds of each label", "finite", _draw_logits, axes="n k")


@loss(
    predictions=LABEL_LOGITS,
    targets=MULTI_HOT,
    formula="1/k ∑ w log(1 + exp(−x)) of the true labels, log(1 + exp(x)) of the others",
    aliases=(
        "multi_bce",
        "MultiLabelSoftMarginLoss",
        "F.multilabel_soft_margin_loss",
        "multilabel_soft_margin_loss",
        "MultiLogloss",
    ),
    equals=("torch.nn.MultiLabelSoftMarginLoss(weight)", "catboost loss_function MultiLogloss"),
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def multilabel_soft_margin(
    predictions: Array,
    targets: Array,
    *,
    class_weight: Annotated[list[Annotated[float, Ge(0)]] | None, Doc("Weight of each label; null weighs all alike.")] = None,
) -> tuple[Array, Array]:
    """Binary cross-entropy of every label on its own, averaged over the labels.

    Weights multiply the labels' terms; the sum is divided by the number of labels all the same, as in PyTorch.
    """
    sign = 2.0 * targets - 1.0
    against = -sign * predictions
    k = targets.shape[1]
    weight = 1.0 if class_weight is None else np.asarray(class_weight, np.float64)
    return row_sums(softplus(against) / k * weight), -sign * sigmoid(against) / k * weight


def _true_labels(targets: Array) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """The first true label of every row as a flat index, then the second, ...; with which rows have as many."""
    start = row_starts(targets)
    counts = np.count_nonzero(targets, axis=1)
    order = np.argsort(targets == 0, axis=1, kind="stable")
    for place in range(int(counts.max())):
        yield start + order[:, place], counts > place


@loss(
    predictions=SCORES,
    targets=when("target_format", "index_list", INDEX_LIST, MULTI_HOT),
    formula="1/k ∑ max(0, 1 − (sⱼ − sᵢ)) over true labels j and false labels i",
    aliases=("multilabel_hinge", "MultiLabelMarginLoss", "multilabel_margin_loss", "F.multilabel_margin_loss"),
    equals=("torch.nn.MultiLabelMarginLoss()",),
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def multilabel_margin(
    predictions: Array,
    targets: Array,
    *,
    target_format: Annotated[
        Literal["index_list", "multi_hot"], Doc("Whether targets list the true labels, padded with −1, or flag each with 0 or 1.")
    ] = "index_list",
) -> tuple[Array, Array]:
    """Asks every true label to lead every false one by 1, and adds up the shortfalls, divided by the number of labels.

    A list of labels ends at its first −1, whatever stands after it, as in PyTorch.
    """
    n, k = predictions.shape
    room = headroom(predictions)
    scores = predictions * room
    total, gradient = np.zeros((n, k)), np.zeros((n, k))
    for at, some in _true_labels(targets):
        excess = lead_missing(scores, scores.take(at)[:, None], room)
        excess = np.where(some[:, None] & (targets == 0), np.maximum(excess, 0.0), 0.0)
        active = np.sign(excess)  # no pull at the margin itself, as in PyTorch
        total += excess
        gradient += active
        gradient.reshape(-1)[at] -= row_sums(active)
    return (row_sums(total)[:, None] / k / room)[:, 0], gradient / k


@loss(
    predictions=LABEL,
    targets=LABEL,
    formula="1[p ≠ y]",
    aliases=("HammingLoss", "Hamming"),
    equals=("sklearn.metrics.hamming_loss", "torchmetrics.functional.hamming_distance of labels"),
    reference="Hamming (1950), doi:10.1002/j.1538-7305.1950.tb00463.x",
    properties=SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def hamming_loss(predictions: Array, targets: Array) -> tuple[Array, None]:
    """The share of labels that are wrong. Predictions are decided labels, so nothing can be learned by its gradient."""
    return (predictions != targets).astype(np.float64), None


@loss(
    predictions=SCORES,
    targets=MULTI_HOT,
    formula="the share of pairs of a true label j and a false label i with sⱼ ≤ sᵢ",
    aliases=("MultilabelRankingLoss", "multilabel_ranking_loss"),
    equals=("sklearn.metrics.label_ranking_loss", "torchmetrics.functional.classification.multilabel_ranking_loss"),
    reference="Tsoumakas, Katakis and Vlahavas (2010), doi:10.1007/978-0-387-09823-4_34",
    properties=NON_NEGATIVE | ZERO_AT_TARGET,
)
def label_ranking_loss(predictions: Array, targets: Array) -> tuple[Array, None]:
    """The share of pairs of labels in the wrong order. A tie is an error; a row with no or only true labels costs 0."""
    wrong = np.zeros(predictions.shape[0])
    for at, some in _true_labels(targets):
        above = (predictions >= predictions.take(at)[:, None]) & (targets == 0)
        wrong += np.where(some, np.count_nonzero(above, axis=1), 0)
    true = np.count_nonzero(targets, axis=1)
    return wrong / np.maximum(true * (targets.shape[1] - true), 1), None


@loss(
    predictions=SCORES,
    targets=MULTI_HOT,
    formula="the rank of the true label that has the lowest score",
    aliases=("MultilabelCoverageError", "multilabel_coverage_error"),
    equals=("sklearn.metrics.coverage_error", "torchmetrics.functional.classification.multilabel_coverage_error"),
    reference="Tsoumakas, Katakis and Vlahavas (2010), doi:10.1007/978-0-387-09823-4_34",
    properties=NON_NEGATIVE,
)
def coverage_error(predictions: Array, targets: Array) -> tuple[Array, None]:
    """How far down the ranking one must go to meet all true labels. A tie takes the worse rank; a row without any costs 0."""
    lowest = np.where(targets == 0, np.inf, predictions).min(axis=1)
    return np.count_nonzero(predictions >= lowest[:, None], axis=1).astype(np.float64), None
