"""Losses of whole masks: a row of predictions is one mask of any shape, and has one value.

Overlaps are taken of each mask by itself, never of a batch poured together, so that no mask's loss depends on its company.
Weights of pixels (m, *r) go into all sums.
"""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.losses.encodings import LOGIT, PROBABILITY, SOFT_BINARY, mask_of
from app.losses.inputs import when
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SYMMETRIC, loss
from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    exp_pair,
    odds,
    pair,
    pair_add,
    pair_multiply,
    pair_negative,
    pair_sum,
)
from app.losses.numerics.stable import Array, sigmoid
from app.registry import alias

MASK = when("from_logits", True, mask_of(LOGIT), mask_of(PROBABILITY))
TRUE_MASK = mask_of(SOFT_BINARY)

SmoothNr: TypeAlias = Annotated[Annotated[float, Ge(0)] | None, Doc("What the numerator has instead of `smooth`.")]
SmoothDr: TypeAlias = Annotated[Annotated[float, Ge(0)] | None, Doc("What the denominator has instead of `smooth`.")]


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula="1 − (2∑py + s) / (∑p + ∑y + s), squared: 1 − (2∑py + s) / (∑p² + ∑y² + s)",
    aliases=(
        "Dice",
        "DiceLoss",
        "dice_loss",
        "sorensen_dice",
        "f1_loss",
        alias("binary_dice_loss", from_logits=True, smooth=1.0),
    ),
    equals=(
        "keras.losses.Dice(axis=all but the first)",
        "optax.losses.binary_dice_loss(smooth)",
        "segmentation_models_pytorch.losses.DiceLoss('binary', smooth=smooth) of one mask",
        "monai.losses.DiceLoss(squared_pred=squared, smooth_nr=smooth, smooth_dr=smooth)",
    ),
    reference="Milletari, Navab and Ahmadi (2016), doi:10.1109/3DV.2016.79",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE,
    weighs_rows=True,
)
def dice(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    from_logits: Annotated[bool, Doc("Whether predictions are logits, before the sigmoid.")] = False,
    smooth: Annotated[float, Ge(0), Doc("Added to numerator and denominator: keeps small masks from dominating.")] = 0.0,
    smooth_nr: SmoothNr = None,
    smooth_dr: SmoothDr = None,
    squared: Annotated[bool, Doc("Whether the denominator sums squares (V-Net) rather than the probabilities.")] = False,
) -> tuple[Array, Array]:
    """One minus the overlap of two masks, relative to their size: a rare foreground counts as much as a large one.

    Targets may be soft; the loss then is 0 at the target only with `squared`. Two empty masks without `smooth` have
    loss 0 and gradient 0. Keras and some others pool all masks of a batch by default; this is the loss of each mask.
    """
    above, below = _smoothing(smooth, smooth_nr, smooth_dr)
    if squared:
        return _squared_dice(predictions, targets, weights, above, below - above, from_logits)
    return _overlap(predictions, targets, weights, 0.5, 0.5, above / 2, (below - above) / 2, from_logits)


@loss(
    predictions=MASK,
    targets=TRUE_MASK,
    formula="1 − (TP + s) / (TP + α FP + β FN + s), TP = ∑py, FP = ∑p(1 − y), FN = ∑(1 − p)y",
    aliases=("Tversky", "TverskyLoss", "tversky_loss"),
    equals=(
        "keras.losses.Tversky(alpha, beta, axis=all but the first)",
        "segmentation_models_pytorch.losses.TverskyLoss('binary', smooth=smooth, alpha=alpha, beta=beta) of one mask",
        "monai.losses.TverskyLoss(alpha=alpha, beta=beta, smooth_nr=smooth, smooth_dr=smooth)",
    ),
    reference="Salehi, Erdogmus and Gholipour (2017), doi:10.1007/978-3-319-67389-9_44",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    weighs_rows=True,
)
def tversky(
    predictions: Array,
    targets: Array,
    weights: Array | None = None,
    *,
    alpha: Annotated[float, Ge(0), Le(1e100), Doc("Weight of false positives.")] = 0.5,
    beta: Annotated[float, Ge(0), Le(1e100), Doc("Weight of false negatives.")] = 0.5,
    smooth: Annotated[float, Ge(0), Doc("Added to numerator and denominator: keeps small masks from dominating.")] = 0.0,
    smooth_nr: SmoothNr = None,
    smooth_dr: SmoothDr = None,
    from_logits: Annotated[bool, Doc("Whether predictions are logits, before the sigmoid.")] = False,
) -> tuple[Array, Array]:
    """Dice with a price for each kind of error: beta above alpha makes a learner miss less and mark more.

    `alpha` weighs false positives, as in the paper; Keras before 3.16 had the two exchanged. Two empty masks without
    `smooth` have loss 0 and gradient 0.
    """
    above, below = _smoothing(smooth, smooth_nr, smooth_dr)
    return _overlap(predictions, targets, weights, alpha, beta, above, below - above, from_logits)


def _flat(masks: Array) -> Array:
    return masks.reshape(len(masks), -1)


def _probabilities(predictions: Array, from_logits: bool) -> tuple[Array, Array, Array | float]:
    """p, 1 − p and dp/d(prediction), each mask a row: from logits, 1 − p is a sigmoid too and never a subtraction."""
    flat = _flat(predictions)
    if not from_logits:
        return flat, 1.0 - flat, 1.0
    p, rest = sigmoid(flat), sigmoid(-flat)
    return p, rest, p * rest


def _smoothing(smooth: float, above: float | None, below: float | None) -> tuple[float, float]:
    """What is added to the numerator, and to the denominator."""
    return smooth if above is None else above, smooth if below is None else below


def _sums(numbers: Array, weights: Array | None) -> Array:
    return (numbers if weights is None else numbers * weights).sum(axis=1, keepdims=True)


def _exact_sums(numbers: Pair, weights: Array | None) -> Pair:
    return pair_sum(numbers if weights is None else pair_multiply(numbers, pair(weights)))


def _overlap(
    predictions: Array, targets: Array, weights: Array | None, alpha: float, beta: float, smooth: float, below: float,
    from_logits: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """The errors as a share of everything: a sum of positive terms, where 1 − overlap would cancel.

    `smooth` is added to the hits and `below` to the errors: 0, or what the denominator has more than the numerator.
    """
    p, rest, slope = _probabilities(predictions, from_logits)
    y = targets.reshape(p.shape)
    w = None if weights is None else weights.reshape(p.shape)
    background = 1.0 - y
    hits = _sums(p * y, w) + smooth
    errors = alpha * _sums(p * background, w) + beta * _sums(rest * y, w) + below
    # a sigmoid is never quite 0: where all underflow beside an empty mask, every one of them is still an error
    seen = alpha * background > 0 if w is None else alpha * (background * w) > 0
    total, values = _share(errors, hits, from_logits & seen.any(axis=1))
    hit = hits / total
    up, down = (alpha * hit) * background, (beta * hit + errors / total) * y
    gradient = (up - down) / total
    if below < 0 or np.vdot(y, background) > 0:  # only a soft label cancels, or errors that are made less
        size = (beta * hit + np.abs(errors) / total) * y
        crossing = np.abs(up - down) < (size if below < 0 else np.where(background > 0, size, 0.0))
        rows = crossing.any(axis=1)
        exact = _exact_pull(
            _flat(predictions)[rows], y[rows], None if w is None else w[rows], alpha, beta, smooth, below, from_logits
        )
        gradient[rows] = np.where(crossing[rows], exact, gradient[rows])
    gradient = gradient * slope
    return values, (gradient if w is None else gradient * w).reshape(predictions.shape)


def _exact_pull(
    predictions: Array, y: Array, w: Array | None, alpha: float, beta: float, smooth: float, below: float, from_logits: bool
) -> Array:
    """(α·hits·(1 − y) − (β·hits + errors)·y) / (hits + errors)², in double-double."""
    p, rest = _unrounded(predictions, from_logits)
    background = complement(y)
    false_alarms, misses = _exact_sums(pair_multiply(p, background), w), _exact_sums(pair_multiply(rest, pair(y)), w)
    hits = pair_add(_exact_sums(pair_multiply(p, pair(y)), w), constant(smooth))
    errors = pair_add(pair_multiply(false_alarms, constant(alpha)), pair_multiply(misses, constant(beta)))
    errors = pair_add(errors, constant(below))
    up, down = pair_multiply(hits, constant(alpha)), pair_multiply(hits, constant(beta))
    gain = pair_multiply(pair_add(down, errors), pair(y))
    return _over_square(pair_add(pair_multiply(up, background), pair_negative(gain)), pair_add(hits, errors))


def _squared_dice(
    predictions: Array, targets: Array, weights: Array | None, smooth: float, below: float, from_logits: bool
) -> tuple[Array, Array]:
    """∑(p − y)² / (∑p² + ∑y² + s), where ∑p² + ∑y² − 2∑py would cancel."""
    p, rest, slope = _probabilities(predictions, from_logits)
    y = targets.reshape(p.shape)
    w = None if weights is None else weights.reshape(p.shape)
    residual = np.where(y > 0.5, (1.0 - y) - rest, p - y) if from_logits else p - y
    close = np.abs(residual) < y / 8.0 if from_logits else np.zeros(y.shape, np.bool_)
    if close.any():
        exact = _unrounded(_flat(predictions)[close], from_logits)[0]
        residual[close] = pair_add(exact, pair(-y[close]))[0]
    hits = 2.0 * _sums(p * y, w) + smooth
    errors = _sums(residual * residual, w) + below
    total, values = _share(errors, hits, from_logits | (p > 0).any(axis=1))
    up, down = 2.0 * (hits / total) * residual, 2.0 * (errors / total) * y
    gradient = (up - down) / total
    crossing = np.abs(up - down) < 1.5 * np.abs(down)
    rows = crossing.any(axis=1)
    if rows.any():
        exact = _exact_pull_of_squares(
            _flat(predictions)[rows], y[rows], None if w is None else w[rows], smooth, below, from_logits
        )
        gradient[rows] = np.where(crossing[rows], exact, gradient[rows])
    gradient = gradient * slope
    return values, (gradient if w is None else gradient * w).reshape(predictions.shape)


def _exact_pull_of_squares(
    predictions: Array, y: Array, w: Array | None, smooth: float, below: float, from_logits: bool
) -> Array:
    """2·(hits·(p − y) − errors·y) / (hits + errors)², in double-double."""
    p, _ = _unrounded(predictions, from_logits)
    residual = pair_add(p, pair(-y))
    hits = pair_add(_exact_sums(pair_multiply(p, pair(2.0 * y)), w), constant(smooth))
    errors = pair_add(_exact_sums(pair_multiply(residual, residual), w), constant(below))
    gain = pair_multiply(errors, pair(y))
    return 2.0 * _over_square(pair_add(pair_multiply(hits, residual), pair_negative(gain)), pair_add(hits, errors))


def _over_square(above: Pair, below: Pair) -> Array:
    total = np.where(below[0] == 0, np.inf, below[0])
    return above[0] / total / total


def _unrounded(predictions: Array, from_logits: bool) -> tuple[Pair, Pair]:
    """p and 1 − p."""
    return odds(predictions, exp_pair(-np.abs(predictions))) if from_logits else (pair(predictions), complement(predictions))


def _share(errors: Array, hits: Array, lost: np.bool_ | NDArray[np.bool_]) -> tuple[Array, Array]:
    """errors + hits, ∞ for 0, and the share of the errors (n,): of nothing 0, but 1 where they were lost to underflow."""
    total = errors + hits
    empty = total == 0
    total = np.where(empty, np.inf, total)
    return total, np.where(empty[:, 0] & lost, 1.0, (errors / total)[:, 0])
