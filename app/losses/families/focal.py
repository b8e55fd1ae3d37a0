"""Cross-entropies that turn away from what is already right, so that the hard samples decide."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.libraries import AVERAGES, EACH, equal
from app.losses.encodings import (
    CLASS_LABEL,
    DISTRIBUTION,
    LOGIT,
    LOGITS,
    PROBABILITY,
    SOFT_BINARY,
)
from app.losses.inputs import when
from app.losses.labels import OutcomeSmoothing
from app.losses.loss import (
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    Second,
    loss,
)
from app.losses.numerics.focal import focal_of_logits, focal_of_probabilities
from app.losses.numerics.pairs import (
    Pair,
    constant,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
    two_sum,
)
from app.losses.numerics.rows import (
    Flat,
    Index,
    flat_index,
    log_softmax_pair,
    row_starts,
    row_sums,
    scattered,
    softmax,
)
from app.losses.numerics.shares import ExactColumns, Shares, columns
from app.losses.numerics.stable import Array, recovered, xlogy
from app.losses.numerics.surprise import outcome_shares
from app.losses.parameters import PER_CLASS
from app.registry import alias

FromLogits = Annotated[bool, Doc("Whether predictions are logits instead of probabilities.")]


@loss(
    predictions=when("from_logits", True, LOGIT, PROBABILITY),
    targets=SOFT_BINARY,
    formula=(
        "a·(1 − q)^γ·b; b = −(y ln p + (1 − y) ln(1 − p)); q = p·y + (1 − p)(1 − y); a = α·y + (1 − α)(1 − y) if alpha, else 1; "
        "p = σ(x) if from_logits"
    ),
    gradient="c·p·(1 − p) if from_logits, else c; c = a·(1 − q)^(γ − 1)·((1 − q)(p − y)/(p(1 − p)) − γ(2y − 1)·b)",
    aliases=(
        "BinaryFocalCrossentropy",
        "binary_focal_crossentropy",
        "binary_focal_loss",
        "BinaryFocalLoss",
        alias("sigmoid_focal", from_logits=True),
        alias("sigmoid_focal_loss", from_logits=True, alpha=0.25),
    ),
    equals=(
        equal(
            "torchvision.ops.sigmoid_focal_loss(predictions, targets, alpha=alpha, gamma=gamma, reduction=reduction)",
            from_logits=True,
            alpha=0.25,
        ),
        equal(
            "keras.losses.BinaryFocalCrossentropy(gamma=gamma, label_smoothing=label_smoothing, reduction=reduction)(targets, "
            "predictions)",
            reductions=AVERAGES,
            differs_at=("saturated", "zeros"),
            caveat="Keras keeps probabilities 1e-7 from 0 and 1.",
        ),
        equal(
            "keras.losses.BinaryFocalCrossentropy(from_logits=True, apply_class_balancing=True, alpha=alpha, gamma=gamma, "
            "label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            from_logits=True,
            alpha=0.25,
            differs_at=("saturated",),
            caveat="Keras keeps probabilities 1e-7 from 0 and 1, those of logits too.",
        ),
        equal(
            "optax.losses.sigmoid_focal_loss(predictions, targets, alpha=alpha, gamma=gamma)",
            reductions=EACH,
            from_logits=True,
            alpha=0.25,
        ),
        equal(
            "segmentation_models_pytorch.losses.FocalLoss('binary', alpha=alpha, gamma=gamma)(predictions, targets)",
            from_logits=True,
            alpha=0.25,
        ),
        equal(
            "monai.losses.FocalLoss(gamma=gamma, alpha=alpha, reduction=reduction)(predictions, targets)",
            from_logits=True,
            alpha=0.25,
            reductions=("mean",),
        ),
        equal(
            "kornia.losses.binary_focal_loss_with_logits(predictions, targets, alpha=alpha, gamma=gamma, reduction=reduction)",
            from_logits=True,
            alpha=0.25,
        ),
    ),
    reference="Lin et al. (2017), doi:10.1109/ICCV.2017.324",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    counterpart="categorical_focal",
)
def binary_focal(
    predictions: Array,
    targets: Array,
    *,
    from_logits: FromLogits = False,
    gamma: Annotated[
        float, Ge(0), Doc("Focus: how fast a sample loses weight as its prediction gets right; 0 is cross-entropy.")
    ] = 2.0,
    alpha: Annotated[
        Annotated[float, Ge(0), Le(1)] | None, Doc("Weight of positive targets, 1 − α that of negative ones; null weighs both 1.")
    ] = None,
    label_smoothing: OutcomeSmoothing = 0.0,
) -> tuple[Array, Array, Second]:
    """Cross-entropy that turns away from what is already right: for few positives among very many easy negatives.

    α is off by default, as in Keras and optax; torchvision sets it to 0.25.

    Use when: positives are few among very many easy negatives, as where a detector looks at every place of a picture.
    Avoid when: probabilities must be calibrated, which its minimiser is not; or labels are noisy: it dwells on what is wrong.
    See also: categorical_focal, dice.
    """
    positive, negative = outcome_shares(targets, label_smoothing)
    balance = np.ones_like(targets) if alpha is None else alpha * positive[0] + (1.0 - alpha) * negative[0]
    kernel = focal_of_logits if from_logits else focal_of_probabilities
    return kernel(predictions, positive, negative, gamma, balance)


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="−α(1 − p_y)^γ ln p_y; p = softmax(x) if from_logits",
    gradient="c·p_y·([j = y] − pⱼ) if from_logits, else c·[j = y]; c = α(1 − p_y)^(γ − 1)(γ ln p_y − (1 − p_y)/p_y)",
    aliases=("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", alias("softmax_focal", from_logits=True)),
    equals=(
        equal(
            "keras.losses.CategoricalFocalCrossentropy(alpha=alpha, gamma=gamma, label_smoothing=label_smoothing, "
            "reduction=reduction)(targets, predictions)",
            encodings={"targets": "one_hot"},
            differs_at=("saturated", "gradient"),
            caveat="Keras divides each row by its sum first, and keeps probabilities 1e-7 from 0 and 1.",
        ),
        equal(
            "keras.losses.CategoricalFocalCrossentropy(from_logits=True, alpha=alpha, gamma=gamma, "
            "label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            encodings={"targets": "one_hot"},
            from_logits=True,
            differs_at=("saturated",),
            caveat="Keras keeps probabilities 1e-7 from 0 and 1, those of logits too.",
        ),
        equal(
            "k * monai.losses.FocalLoss(use_softmax=True, to_onehot_y=True, gamma=gamma)(predictions, targets[:, None])",
            axes=("n k d",),
            from_logits=True,
            alpha=1.0,
            class_axis=1,
            caveat="MONAI's mean divides by the number of classes too.",
        ),
    ),
    reference="Lin et al. (2017), arXiv:1708.02002",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    counterpart="binary_focal",
)
def categorical_focal(
    predictions: Array,
    targets: Index | Shares,
    *,
    from_logits: FromLogits = False,
    gamma: Annotated[float, Ge(0), Doc("How strongly samples that are right already are passed over; 0 is cross-entropy.")] = 2.0,
    alpha: Annotated[
        float | list[float], PER_CLASS, Doc("Factor of the loss: one number for every class, or one for each.")
    ] = 0.25,
) -> tuple[Array, Array, Second]:
    """Cross-entropy that fades for samples the model has right, so that the hard ones decide.

    A scalar alpha multiplies every class, as in Keras; it is not alpha for one class and 1 − alpha for the others.

    Use when: one class is so common that its easy samples drown the others.
    Avoid when: probabilities must be calibrated, which its minimiser is not; or labels are noisy: it dwells on what is wrong.
    See also: categorical_cross_entropy.
    """
    factor = np.asarray(alpha, np.float64)
    if isinstance(targets, Shares):
        if from_logits:
            return _focal_of_shares(predictions, targets, gamma, factor)
        values, gradient, second = _focal(predictions, gamma, targets.rounded * factor)
        return row_sums(values), gradient, second
    scale = factor[targets] if factor.ndim else factor
    positions = flat_index(targets, predictions.shape[1])
    if from_logits:
        return _focal_logits(predictions, positions, gamma, scale)
    values, slope, bend = _focal(predictions.take(positions), gamma, scale)
    return values, scattered(slope, positions, predictions), lambda: scattered(bend(), positions, predictions)


def _focal_of_shares(x: Array, shares: Shares, gamma: float, alpha: Array) -> tuple[Array, Array, Second]:
    seen = columns(x)
    focus = shares.rounded * alpha * seen.miss**gamma
    if gamma:
        # the surprise over the miss tends to 1 at p = 1; p is 0 long before the surprise is infinite
        ratio = np.divide(np.minimum(seen.surprise, 1e300), seen.miss, out=np.ones_like(x), where=seen.miss > 0)
        pulls = focus * (gamma * seen.p * ratio + 1.0)
    else:
        pulls = focus

    def exact(rows: Flat, seen: ExactColumns) -> Pair:
        factor = pair_multiply(shares.unrounded(rows), pair(alpha))
        if not gamma:
            return factor
        some = seen.miss[0] > 0
        miss = either(some, seen.miss, constant(1.0))
        power = either(some, pair_exp(pair_multiply(pair_log(miss), constant(gamma))), constant(0.0))
        slope = pair_multiply(pair_multiply(constant(gamma), seen.p), pair_divide(seen.surprise, miss))
        return pair_multiply(pair_multiply(factor, power), pair_add(slope, constant(1.0)))

    def values(surprise: Array) -> Array:
        return row_sums(np.where(focus == 0, 0.0, focus * surprise))

    # a surprise may be beyond float64 where its share is not
    total = recovered(values(seen.surprise), lambda: 4.0 * values(x.take(seen.positions)[:, None] / 4.0 - x / 4.0))

    def of_labels(labels: Index) -> Array:
        return _focal_logits(x, flat_index(labels, x.shape[1]), gamma, alpha[labels] if alpha.ndim else alpha)[2]()

    return total, seen.gradient(x, pulls, exact, 2.0 + gamma), lambda: shares.expected(of_labels)


def _focal_logits(x: Array, positions: Flat, gamma: float, scale: Array | float) -> tuple[Array, Array, Second]:
    parts = softmax(x, positions)
    miss = parts.rest / parts.total
    p = parts.picked / parts.total
    focus = scale * miss**gamma
    # p is 0 long before the surprise is infinite, and their product then is 0
    pull = focus * (gamma * p * np.minimum(parts.surprise, 1e300) + miss)
    share = np.divide(pull, parts.rest, out=np.zeros_like(pull), where=parts.rest > 0)
    gradient = parts.others * share[:, None]
    thin = (np.abs(share) < 1e-290) & (pull != 0)  # a quotient below the range, of which a product need not be
    if thin.any():
        gradient[thin] = parts.others[thin] / parts.rest[thin, None] * pull[thin, None]
    gradient.reshape(-1)[positions] = -pull
    # the surprise may be beyond float64 where its share is not
    values = recovered(
        focus * parts.surprise, lambda: 2.0 * (focus * (np.log(parts.rest) / 2.0 + (parts.shift / 2.0 - x.take(positions) / 2.0)))
    )

    def second() -> Array:  # m^γ·turn for the label and m^γ·o·((1 − o)·(m + γps) + o·turn) for another, m = 1 − p, s = −ln p
        # and o = pⱼ/m, its share of the others; the power is that of the unrounded m, whose rounding it would magnify
        miss, low = pair_divide(pair(parts.rest), two_sum(parts.rest, parts.picked))
        rounding = np.divide(low, miss, out=np.zeros_like(miss), where=miss > 0)
        focus = scale * miss**gamma * (1.0 + gamma * np.where(np.isfinite(rounding), rounding, 0.0))
        surprise = np.minimum(parts.surprise, 1e300)
        turn = _focal_turn(x, positions, p, miss, surprise, gamma)
        rest = np.where(parts.rest > 0, parts.rest, 1.0)[:, None]
        odds, further = parts.others / rest, _without_each(parts.others, parts.rest) / rest
        bend = odds * (further * (miss + gamma * p * surprise)[:, None] + odds * turn[:, None])
        bend.reshape(-1)[positions] = turn
        return focus[:, None] * bend

    return values, gradient, second


def _focal_turn(x: Array, positions: Flat, p: Array, miss: Array, surprise: Array, gamma: float) -> Array:
    """p·(m·(1 + 2γ − γs) + γ²·ps), which is 0 where the loss turns from convex to concave; in pairs where the terms cancel."""
    share = p * surprise
    convex, concave = miss * (p * (1.0 + 2.0 * gamma)), miss * (gamma * share)
    turn = (convex - concave) + gamma * p * (gamma * share)
    rows = np.flatnonzero(np.abs(turn) < 0.75 * np.maximum(convex, concave))
    if rows.size:
        label: Flat = positions[rows] % x.shape[1] + row_starts(x[rows])
        log_p = log_softmax_pair(x[rows])
        high, low = log_p[0].take(label), log_p[1].take(label)
        exact, s, power = pair_exp((high, low)), (-high, -low), constant(gamma)
        other = pair_add(constant(1.0), pair_negative(exact))
        lead = pair_add(pair_add(constant(1.0), constant(2.0 * gamma)), pair_negative(pair_multiply(power, s)))
        steep = pair_multiply(pair_multiply(power, power), pair_multiply(exact, s))
        turn[rows] = pair_multiply(exact, pair_add(pair_multiply(other, lead), steep))[0]
    return turn


def _without_each(numbers: Array, totals: Array) -> Array:
    """The sum of each row without each of its numbers: of all but the largest that is a difference which keeps its digits."""
    top = row_starts(numbers) + numbers.argmax(axis=1)
    others = numbers.copy()
    others.reshape(-1)[top] = 0.0
    sums = totals[:, None] - numbers
    sums.reshape(-1)[top] = row_sums(others)
    return sums


def _focal(p: Array, gamma: float, scale: Array) -> tuple[Array, Array, Second]:
    miss, error = two_sum(np.ones_like(p), -p)
    log_p = np.log(p)
    some = miss > 0
    # 1 − p is rounded where p is small: (miss + error)^γ is miss^γ (1 + γ error/miss) to first order
    focus = scale * miss**gamma * (1.0 + gamma * np.divide(error, miss, out=np.zeros_like(p), where=some))
    # log(p) / (1 − p) tends to −1 at p = 1
    slope = gamma * np.divide(log_p, miss, out=np.full_like(p, -1.0), where=some) if gamma else 0.0

    def second() -> Array:  # m^γ/p² + γ·m^(γ − 1)·(2/p − (γ − 1)·ln p/m) with m = 1 − p
        steep = focus / p / p
        lead = scale * miss ** (gamma - 1.0) * (1.0 + (gamma - 1.0) * np.divide(error, miss, out=np.zeros_like(p), where=some))
        bend = steep + lead * (2.0 * gamma / p - (gamma - 1.0) * slope) if gamma else steep
        return np.where(np.equal(scale, 0), 0.0, np.where(np.isinf(steep), np.inf, bend))

    return 0.0 - xlogy(focus, p), np.where(focus == 0, 0.0, focus * slope - focus / p), second
