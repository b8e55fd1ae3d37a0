"""Cross-entropies that bear wrong labels, or guard against certainty: of one true class among k."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import CLASS_LABEL, DISTRIBUTION, LOGITS
from app.losses.inputs import when
from app.losses.loss import CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, loss
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    pair_exp,
    pair_multiply,
    pair_negative,
    two_product,
)
from app.losses.numerics.rows import (
    Flat,
    Index,
    flat_index,
    row_sums,
    scattered,
    softmax,
    softmax_variance,
)
from app.losses.numerics.shares import ExactColumns, Shares, columns
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Like, LogSoftmax, Wide, softmax_parts, where, wide
from app.registry import alias

FromLogits = Annotated[bool, Doc("Whether predictions are logits, which a softmax turns into probabilities.")]


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="(1 − p_y^q)/q; p = softmax(x) if from_logits",
    gradient="p_y^q·(pⱼ − [j = y]) if from_logits, else −[j = y]·p_y^(q − 1)",
    aliases=("gce", "CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy", "lq"),
    equals=(
        equal(
            "keras.losses.CategoricalGeneralizedCrossEntropy(q=q, reduction=reduction)(targets, predictions)",
            differs_at=("gradient at saturated",),
            caveat="At a probability of 0 its gradient is NaN.",
        ),
    ),
    reference="Zhang and Sabuncu (2018), arXiv:1805.07836",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def generalized_cross_entropy(
    predictions: Array,
    targets: Index | Shares,
    *,
    q: Annotated[float, Gt(0), Le(1), Doc("Robustness to wrong labels: towards 0 cross-entropy, 1 the linear 1 − p.")] = 0.5,
    from_logits: FromLogits = False,
) -> tuple[Array, Array, Second]:
    """Between cross-entropy and mean absolute error: a wrong label costs at most 1/q, so noise in labels does less harm.

    Use when: some labels are wrong: a wrong one costs at most 1/q, so that it is outvoted rather than learned.
    Avoid when: labels are clean or classes many: what is far from right hardly pulls, so that it learns slower than
    cross-entropy.
    See also: categorical_cross_entropy, brier_score.
    """
    if isinstance(targets, Shares):
        if from_logits:
            return _generalized_of_shares(predictions, targets, q)
        values, gradient, second = _generalized(predictions, q, targets.rounded)
        return row_sums(values), gradient, second
    positions = flat_index(targets, predictions.shape[1])
    if from_logits:
        return _generalized_logits(predictions, positions, q)
    values, slope, bend = _generalized(predictions.take(positions), q, np.ones(positions.size))
    return values, scattered(slope, positions, predictions), lambda: scattered(bend(), positions, predictions)


def _generalized(p: Array, q: float, shares: Array) -> tuple[Array, Array, Second]:
    slope = np.where(p > 0, p**q / p, p ** (q - 1.0))  # q − 1 is rounded
    pull = np.where(shares == 0, 0.0, shares * slope)
    steep = np.isinf(slope) & (p > 0) & (shares > 0)
    if steep.any():  # a slope beyond float64, of which a share need not be
        pull[steep] = shares[steep] * p[steep] ** q / p[steep]

    def second() -> Array:
        return np.where(shares == 0, 0.0, (1.0 - q) * np.where(p > 0, pull / p, np.inf)) if q < 1 else np.zeros_like(p)

    return shares * (0.0 - np.expm1(q * np.log(p)) / q), -pull, second


def _generalized_of_shares(x: Array, shares: Shares, q: float) -> tuple[Array, Array, Second]:
    seen = columns(x)

    def exact(rows: Flat, seen: ExactColumns) -> Pair:
        return pair_multiply(shares.unrounded(rows), pair_exp(pair_multiply(pair_negative(seen.surprise), constant(q))))

    shift = np.broadcast_to(seen.parts.shift, len(x))[:, None]
    pulls = shares.rounded * _power(x, seen.p, shift, seen.parts.total[:, None], q)
    values = row_sums(shares.rounded * _cost(seen.surprise, q))

    def of_labels(labels: Index) -> Array:
        return _generalized_logits(x, flat_index(labels, x.shape[1]), q)[2]()

    return values, seen.gradient(x, pulls, exact, 2.0), lambda: shares.expected(of_labels)


def _generalized_logits(x: Array, positions: Flat, q: float) -> tuple[Array, Array, Second]:
    parts = softmax(x, positions)
    p = parts.picked / parts.total
    power = _power(x.take(positions), p, np.broadcast_to(parts.shift, p.shape), parts.total, q)
    gradient = parts.probabilities() * power[:, None]
    gradient.reshape(-1)[positions] = -parts.rest / parts.total * power

    def second() -> Array:  # p^q·(pⱼ(1 − pⱼ) − q·d²), d = 1 − p for the label and −pⱼ for another class
        away = softmax(x, positions).probabilities()
        away.reshape(-1)[positions] = parts.rest / parts.total
        return power[:, None] * (softmax_variance(x) - q * away * away)

    return _cost(parts.surprise, q), gradient, second


def _power(x: Array, p: Array, shift: Array, total: Array, q: float) -> Array:
    """p^q of p = e^(x − shift) / total, which may be far from 0 where p itself has left the range."""
    power = p**q
    if p.min() >= 1e-290:
        return power
    gap, lost = difference(x, shift)
    scaled, error = two_product(np.maximum(gap, -1e290), q)
    return np.where(p > 1e-290, power, np.exp(scaled) * (1.0 + (error + lost * q)) / total**q)


def _cost(surprise: Array, q: float) -> Array:
    reached = q * surprise
    return np.where(reached < 1e-290, surprise, -np.expm1(-reached) / q)  # below, q·surprise loses digits


# --- beside the cross-entropy of logits -----------------------------------------------------------------------------------


def _shares(targets: Index | Shares, like: Array) -> Wide:
    """The share of each class in each row, unrounded."""
    if isinstance(targets, Shares):
        return Wide(*targets.unrounded(np.arange(len(like), dtype=np.intp)))
    return wide(scattered(np.ones(len(like)), flat_index(targets, like.shape[1]), like))


def _cross_entropy(seen: LogSoftmax, y: Wide) -> tuple[Wide, Wide]:
    """−∑ y ln p of each row (n, 1), and its derivative to the logits, p·∑y − y."""
    values = -where(y.high == 0, 0.0, y * seen.logarithm).sum()
    whole = y.sum()
    return values, where(seen.p.high > 0.5, (whole - y) - seen.rest * whole, seen.p * whole - y)


def _with_miss(x: Array, targets: Index | Shares, entropy: float, miss: Like) -> tuple[Array, Array, Second]:
    """entropy · cross-entropy + miss · ∑ y·(1 − p)."""
    seen, y = softmax_parts(x), _shares(targets, x)
    values, slope = _cross_entropy(seen, y)
    missed, met = (y * seen.rest).sum(), (y * seen.p).sum()
    away = where(met.high > missed.high, (y.sum() - y) - missed, met - y)
    surprise = values * entropy if entropy else wide(0.0)  # of a surprise beyond float64 too, nothing is nothing

    def second() -> Array:
        return (seen.p * (seen.rest * y.sum() * entropy + away * (seen.rest - seen.p) * miss)).high

    return (surprise + missed * miss).high[:, 0], (slope * entropy + seen.p * away * miss).high, second


@loss(
    predictions=LOGITS,
    targets=CLASS_LABEL,
    formula="−ln q_y + ε·(1 − q_y); q = softmax(x)",
    gradient="(1 + ε·q_y)·(qⱼ − [j = y]); q = softmax(x)",
    aliases=(
        "poly1",
        "PolyCrossEntropy",
        "poly_loss",
        "poly_loss_cross_entropy",
        alias("poly1_softmax", epsilon=1.0),
    ),
    equals=(
        equal(
            "optax.losses.poly_loss_cross_entropy(predictions, targets, epsilon=epsilon)",
            reductions=EACH,
            encodings={"targets": "distribution"},
        ),
    ),
    reference="Leng et al. (2022), arXiv:2204.12511",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def poly_cross_entropy(
    predictions: Array,
    targets: Index | Shares,
    *,
    epsilon: Annotated[
        float, Ge(-1), Le(1e6), Doc("Weight of the first power of 1 − p: above 0 sure classes pull more, below 0 less.")
    ] = 2.0,
) -> tuple[Array, Array, Second]:
    """Cross-entropy with another weight for the first term of its series: one number that fits it to a data set.

    The paper takes 1 by default, optax 2.

    Use when: cross-entropy works, and a little more is sought by tuning one number.
    Avoid when: probabilities must be calibrated: its minimiser is not.
    See also: categorical_cross_entropy, categorical_focal, symmetric_cross_entropy.
    """
    return _with_miss(predictions, targets, 1.0, epsilon)


@loss(
    predictions=LOGITS,
    targets=CLASS_LABEL,
    formula="−α·ln q_y − β·log_zero·(1 − q_y); q = softmax(x)",
    gradient="(α − β·log_zero·q_y)·(qⱼ − [j = y]); q = softmax(x)",
    aliases=("sce", "SCELoss", "symmetric_ce"),
    reference="Wang et al. (2019), arXiv:1908.06112",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def symmetric_cross_entropy(
    predictions: Array,
    targets: Index | Shares,
    *,
    alpha: Annotated[float, Ge(0), Le(1e6), Doc("Weight of the cross-entropy.")] = 0.1,
    beta: Annotated[float, Ge(0), Le(1e6), Doc("Weight of the reverse cross-entropy, which bears wrong labels.")] = 1.0,
    log_zero: Annotated[float, Ge(-1e3), Le(0), Doc("What stands for the logarithm of a label's 0.")] = -4.0,
) -> tuple[Array, Array, Second]:
    """Cross-entropy with some of its reverse, in which label and prediction change places: that is bounded and bears noise.

    Use when: some labels are wrong: the bounded part keeps them from ruling, the other keeps learning fast.
    Avoid when: labels are clean: the reverse part only slows it.
    See also: generalized_cross_entropy, poly_cross_entropy, categorical_cross_entropy.
    """
    return _with_miss(predictions, targets, alpha, wide(-beta) * log_zero)


@loss(
    predictions=LOGITS,
    targets=CLASS_LABEL,
    formula="−ln q_y + β ∑ⱼ qⱼ ln qⱼ; q = softmax(x)",
    gradient="qⱼ − [j = y] + β·qⱼ(ln qⱼ − ∑ᵢ qᵢ ln qᵢ); q = softmax(x)",
    aliases=("entropy_regularised", "entropy_regularized", "max_entropy"),
    reference="Pereyra et al. (2017), arXiv:1701.06548",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def confidence_penalty(
    predictions: Array,
    targets: Index | Shares,
    *,
    beta: Annotated[float, Ge(0), Le(1e6), Doc("What a unit of entropy is worth.")] = 0.1,
) -> tuple[Array, Array, Second]:
    """Cross-entropy that rewards doubt: the entropy of the prediction is taken off, so that none is surer than it helps.

    The value may be below 0.

    Use when: a network is surer than it is right, and its outputs shall stay soft without soft labels.
    Avoid when: labels can be smoothed, which does nearly the same with a value that stays a likelihood.
    See also: categorical_cross_entropy, symmetric_cross_entropy.
    """
    seen, y = softmax_parts(predictions), _shares(targets, predictions)
    values, slope = _cross_entropy(seen, y)
    some = where(seen.p.high == 0, 0.0, seen.logarithm)
    negentropy, price = (seen.p * some).sum(), y.sum() * beta

    def second() -> Array:
        bend = seen.rest * (y.sum() + price) + (seen.rest - seen.p) * (some - negentropy) * price
        return (seen.p * bend).high

    return (values + negentropy * price).high[:, 0], (slope + seen.p * (some - negentropy) * price).high, second
