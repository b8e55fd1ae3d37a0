"""Losses of detectors that ask at every place of a picture at once: whether an object is there, how well its box fits, and where
its edges are.
"""

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.encodings import BIN_PLACE, BIN_SCORES, LOGIT, PROBABILITY, REAL
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
from app.losses.numerics.logit import sigmoid_less
from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    difference,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    two_sum,
)
from app.losses.numerics.residuals import within
from app.losses.numerics.rows import softmax_variance
from app.losses.numerics.shares import Shares, softmax_cross_entropy
from app.losses.numerics.stable import Array, log_tail, recovered, sigmoid, sign, softplus, xlogy


def _cross_entropy(x: Array, quality: Array) -> Array:
    return quality * softplus(-x) + (1.0 - quality) * softplus(x)


@loss(
    predictions=LOGIT,
    targets=PROBABILITY,
    formula="|σ(x) − y|^β·(softplus(x) − y·x)",
    gradient="|σ(x) − y|^β·(σ(x) − y) + β·|σ(x) − y|^(β − 1)·sign(σ(x) − y)·σ(x)·σ(−x)·(softplus(x) − y·x)",
    aliases=("qfl", "QualityFocalLoss", "quality_focal_loss"),
    equals=(equal("mmdet.models.losses.QualityFocalLoss(beta=beta)(predictions, targets)", times=1.0),),
    reference="Li et al. (2020), arXiv:2006.04388",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
)
def quality_focal(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[float, Ge(0), Doc("How much answers that are nearly right are turned down.")] = 2.0,
) -> tuple[Array, Array]:
    """The cross-entropy with the quality of a box, times a power of how far the answer is from it: one score for both.

    The target is the overlap of the predicted box with the true one, or 0 where there is nothing. MMDetection sums over the
    classes of a place.

    Use when: a detector's scores shall say how well boxes fit, since boxes are picked by them.
    Avoid when: targets are 0 and 1: it is the focal loss then, without its balance (binary_focal).
    See also: varifocal, binary_focal, distribution_focal.
    """
    off, cost = sigmoid_less(predictions, targets), _cross_entropy(predictions, targets)
    size = np.abs(off)
    power = size**beta
    bend = np.where(size > 0, beta * size ** (beta - 1.0), 0.0) if beta else np.zeros_like(size)
    slope = sigmoid(predictions) * sigmoid(-predictions)
    turned = np.where((bend == 0) | (slope == 0), 0.0, bend * slope * np.sign(off) * cost)
    return np.where(power == 0, 0.0, power * cost), power * off + turned


@loss(
    predictions=LOGIT,
    targets=PROBABILITY,
    formula="y·(softplus(x) − y·x) if y > 0, else α·σ(x)^γ·softplus(x)",
    gradient="y·(σ(x) − y) if y > 0, else α·σ(x)^γ·(γ·σ(−x)·softplus(x) + σ(x))",
    aliases=("vfl", "VarifocalLoss", "varifocal_loss"),
    equals=(equal("mmdet.models.losses.VarifocalLoss(alpha=alpha, gamma=gamma)(predictions, targets)"),),
    reference="Zhang et al. (2021), doi:10.1109/CVPR46437.2021.00841",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def varifocal(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[float, Ge(0), Le(1e6), Doc("What a place without an object counts.")] = 0.75,
    gamma: Annotated[float, Ge(0), Le(100), Doc("How much places are turned down that are rightly said to be empty.")] = 2.0,
) -> tuple[Array, Array]:
    """The cross-entropy with the quality of a box, weighed by it: good boxes count most, and empty places as in a focal loss.

    The target is the overlap of the predicted box with the true one, or 0 where there is nothing. MMDetection sums over the
    classes of a place.

    Use when: boxes are ranked by their scores, and few good ones stand beside very many empty places.
    Avoid when: poor boxes have to be learnt as well: what has a small quality hardly counts (quality_focal).
    See also: quality_focal, binary_focal, gaussian_focal.
    """
    some = targets > 0
    chance, cost = sigmoid(predictions), softplus(predictions)
    power = alpha * chance**gamma
    empty = power * (gamma * sigmoid(-predictions) * cost + chance)
    empty = np.where(power == 0, 0.0, empty)
    values = np.where(some, targets * _cross_entropy(predictions, targets), np.where(power == 0, 0.0, power * cost))
    return values, np.where(some, targets * sigmoid_less(predictions, targets), empty)


@loss(
    predictions=PROBABILITY,
    targets=PROBABILITY,
    formula="−(1 − p)^α·ln p if y = 1, else −(1 − y)^β·p^α·ln(1 − p)",
    gradient=("α·(1 − p)^(α − 1)·ln p − (1 − p)^α/p if y = 1, else (1 − y)^β·(p^α/(1 − p) − α·p^(α − 1)·ln(1 − p))"),
    aliases=("penalty_reduced_focal", "centernet_focal", "GaussianFocalLoss", "gaussian_focal_loss"),
    equals=(equal("mmdet.models.losses.GaussianFocalLoss(alpha=alpha, gamma=beta)(predictions, targets)"),),
    reference="Law and Deng (2018), doi:10.1007/978-3-030-01264-9_45",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def gaussian_focal(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[float, Ge(1), Le(100), Doc("How much places that are nearly right are turned down.")] = 2.0,
    beta: Annotated[float, Ge(0), Le(100), Doc("How much places near to a peak are.")] = 4.0,
) -> tuple[Array, Array]:
    """The focal loss of a heat map with peaks at its objects: what is near a peak is punished less for being taken for one.

    A target of 1 is a peak; others are the height of the hills around them. CornerNet and CenterNet divide the sum by the number
    of peaks.

    Use when: objects are found as points, such as centres or corners, and a place beside one is nearly right.
    Avoid when: there are no hills around the peaks (binary_focal).
    See also: binary_focal, varifocal, binary_cross_entropy.
    """
    p, rest, peak = predictions, 1.0 - predictions, targets == 1.0
    hill = (1.0 - targets) ** beta
    top, log_rest = rest**alpha, np.log1p(-p)
    values = np.where(peak, -xlogy(top, p), -_product(hill * p**alpha, log_rest)) + 0.0  # no −0
    up = alpha * xlogy(rest ** (alpha - 1.0), p) - np.where(top == 0, 0.0, top / p)
    down = _product(hill * p**alpha, 1.0 / rest) - _product(hill * alpha * p ** (alpha - 1.0), log_rest)
    return values, np.where(peak, up, down)


def _product(a: Array, b: Array) -> Array:
    return np.where(a == 0, 0.0, a * b)


@loss(
    predictions=BIN_SCORES,
    targets=BIN_PLACE,
    formula="−∑ⱼ uⱼ ln qⱼ; q = softmax(x); uⱼ = max(0, 1 − |min(y, k − 1) − j|)",
    gradient="qⱼ − uⱼ; q = softmax(x); uⱼ = max(0, 1 − |min(y, k − 1) − j|)",
    aliases=("dfl", "DistributionFocalLoss", "distribution_focal_loss"),
    equals=(equal("mmdet.models.losses.DistributionFocalLoss()(predictions, targets)"),),
    reference="Li et al. (2020), arXiv:2006.04388",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def distribution_focal(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Fits a distribution over whole numbers to a number between two of them: both share it by how near they are.

    Predictions are the logits of 0, 1, ... up to the last; a target beyond the last counts as the last.

    Use when: the distance of an edge, or another number within known bounds, is predicted with how sure it is.
    Avoid when: bounds are not known, or one number is all that is wanted (smooth_l1, huber).
    See also: quality_focal, categorical_cross_entropy, smooth_l1.
    """
    k = predictions.shape[1]
    place = np.minimum(targets, k - 1.0)[:, None]
    below = np.floor(place)
    beyond, bins = place - below, np.arange(k, dtype=np.float64)

    def unrounded(some: NDArray[np.intp]) -> Pair:
        before, after = bins == below[some], bins == below[some] + 1.0
        high, low = complement(beyond[some])
        return np.where(before, high, np.where(after, beyond[some], 0.0)), np.where(before, low, 0.0)

    shares = Shares(unrounded(np.arange(len(place), dtype=np.intp))[0], unrounded)
    values, gradient = softmax_cross_entropy(predictions, shares)
    return values, gradient, lambda: softmax_variance(predictions)


@loss(
    predictions=REAL,
    targets=REAL,
    formula="α/b·((b·|r| + 1)·ln(b·|r| + 1) − b·|r|) if |r| < 1, else γ·|r| + γ/b − α",
    gradient="sign(r)·α·ln(b·|r| + 1) if |r| < 1, else γ·sign(r)",
    symbols={"b": "e^(γ/α) − 1, so that the two parts meet with the same slope"},
    aliases=("libra_l1", "BalancedL1Loss", "balanced_l1_loss"),
    equals=(equal("mmdet.models.losses.BalancedL1Loss(alpha=alpha, gamma=gamma)(predictions, targets)"),),
    reference="Pang et al. (2019), doi:10.1109/CVPR.2019.00091",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def balanced_l1(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[float, Ge(0.15), Le(100), Doc("How much small residuals pull; the less, the less.")] = 0.5,
    gamma: Annotated[float, Gt(0), Le(100), Doc("What a unit of a large residual costs.")] = 1.5,
) -> tuple[Array, Array, Second]:
    """As smooth_l1, with more pull for small residuals: easy samples count beside the hard ones.

    MMDetection has a β beside, where the loss turns; other than 1 it gives it a corner at 0, and is not here.

    Use when: boxes are regressed, and the many that nearly fit shall go on getting better.
    Avoid when: small residuals are noise, which it follows more than smooth_l1 does.
    See also: smooth_l1, huber, wing.
    """
    residual, error = difference(predictions, targets)
    b = float(pair_exp(pair_divide(constant(gamma), constant(alpha)))[0][0]) if gamma > alpha else math.expm1(gamma / alpha)
    b = b - 1.0 if gamma > alpha else b
    size, inside = np.abs(residual), within(predictions, targets, 1.0)
    near = np.minimum(size, 1.0)
    beyond = recovered(size - 1.0, lambda: 2.0 * (np.abs(predictions / 2.0 - targets / 2.0) - 0.5))
    low = np.sign(residual) * error
    slope = np.where(inside, alpha * np.log1p(b * near), gamma)
    values = alpha / b * _area(b * near) + np.where(inside, slope * low, gamma * (beyond + low))
    return values, slope * sign(residual), lambda: np.where(inside, alpha * b / (1.0 + b * near), 0.0)


def _area(v: Array) -> Array:
    """(1 + v)·ln(1 + v) − v, in pairs but for small v, where its own series is left."""
    small = v < 1e-3
    short = np.where(small, v, 0.0)
    whole = two_sum(np.ones_like(v), v)
    area = pair_add(pair_multiply(whole, pair_log(whole)), (-v, np.zeros_like(v)))[0]
    return np.where(small, short * short * (1.0 - log_tail(short) * (1.0 + short)), area)
