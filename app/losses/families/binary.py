"""Losses of a yes-or-no decision: from a probability or logit against 0 and 1, or from a score against −1 and +1."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from app.domains import Interval
from app.libraries import AVERAGES, EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import LOGIT, POSITIVE, PROBABILITY, SOFT_BINARY, numbers, steps
from app.losses.inputs import when
from app.losses.labels import OutcomeSmoothing
from app.losses.loss import (
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    PROPER,
    SMOOTH,
    Second,
    loss,
)
from app.losses.numerics.pairs import (
    Pair,
    complement,
    either,
    exp_pair,
    pair_add,
    pair_multiply,
)
from app.losses.numerics.stable import Array, all_finite, log_of_sum, sigmoid_slope
from app.losses.numerics.surprise import curvature, outcome_shares, outcome_weights, surprise
from app.losses.numerics.wide import exp, expm1, log, log1p, where, wide
from app.losses.numerics.wide import sigmoid as sigmoid_wide
from app.losses.numerics.wide import softplus as softplus_wide
from app.losses.parameters import PER_COLUMN
from app.registry import alias

Kernel: TypeAlias = Callable[..., tuple[Array, Array]]
FromLogits: TypeAlias = Annotated[bool, Doc("Whether predictions are logits instead of probabilities.")]


@loss(
    predictions=when("from_logits", True, LOGIT, PROBABILITY),
    targets=SOFT_BINARY,
    formula="−(w·y ln p + (1 − y) ln(1 − p)); p = σ(x) if from_logits",
    gradient="(1 − y)·p − w·y·(1 − p) if from_logits, else (1 − y)/(1 − p) − w·y/p",
    aliases=(
        "bce",
        "BCE",
        alias("BCELoss", unless="from_logits", clip=3.720075976020836e-44),  # e⁻¹⁰⁰
        alias("F.binary_cross_entropy", unless="from_logits", clip=3.720075976020836e-44),
        alias("BinaryCrossentropy", unless="from_logits", clip=1e-7),
        alias("binary_crossentropy", unless="from_logits", clip=1e-7),
        "log_loss",
        "binary_logloss",
        "logloss",
        alias("Logloss", from_logits=True),
        alias("bce_with_logits", from_logits=True),
        alias("BCEWithLogitsLoss", from_logits=True),
        alias("binary_cross_entropy_with_logits", from_logits=True),
        alias("F.binary_cross_entropy_with_logits", from_logits=True),
        alias("sigmoid_cross_entropy", from_logits=True),
        alias("sigmoid_binary_cross_entropy", from_logits=True),
        alias("sigmoid_cross_entropy_with_logits", from_logits=True),
        alias("HalfBinomialLoss", from_logits=True),
        alias("non_saturating_gan", from_logits=True),
        alias("vanilla_gan", from_logits=True),
        alias("binary:logistic", from_logits=True),
        alias("binary:logitraw", from_logits=True),
    ),
    equals=(
        equal(
            "torch.nn.BCELoss(reduction=reduction)(predictions, targets)",
            clip=3.720075976020836e-44,
            differs_at=("gradient at saturated",),
            caveat="PyTorch keeps logarithms above −100, and its gradient at 0 and 1 is the slope of another limit.",
        ),
        equal(
            "torch.nn.BCEWithLogitsLoss(pos_weight=torch.as_tensor(pos_weight), reduction=reduction)(predictions, targets)",
            from_logits=True,
        ),
        equal(
            "keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            clip=1e-7,
        ),
        equal(
            "keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing, reduction=reduction)(targets, "
            "predictions)",
            reductions=AVERAGES,
            from_logits=True,
        ),
        equal("sklearn.metrics.log_loss(targets, predictions, labels=[0, 1])", axes=("n",), clip=2.220446049250313e-16),
        equal("sklearn._loss.loss.HalfBinomialLoss()", reductions=EACH, axes=("n",), from_logits=True),
        equal("optax.losses.sigmoid_binary_cross_entropy(predictions, targets)", reductions=EACH, from_logits=True),
        equal("xgboost.XGBClassifier(objective='binary:logistic')", reductions=EACH, axes=("n",), from_logits=True),
        equal("xgboost.XGBClassifier(objective='binary:logitraw')", reductions=EACH, axes=("n",), from_logits=True),
        equal("xgboost.XGBClassifier(eval_metric='logloss')", axes=("n",), clip=1e-16),
        equal("lightgbm.LGBMClassifier(metric='binary_logloss')", axes=("n",), clip=1e-15),
        equal(
            "lightgbm.LGBMClassifier(objective='binary')",
            axes=("n",),
            from_logits=True,
            clip=1e-15,
            differs_at=("gradient at saturated",),
            caveat="LightGBM clips what it reports, and not the slope that it follows.",
        ),
        equal(
            "lightgbm.LGBMRegressor(objective='cross_entropy')",
            axes=("n",),
            from_logits=True,
            clip=1e-12,
            differs_at=("gradient at saturated",),
            caveat="LightGBM clips what it reports, and not the slope that it follows.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'Logloss')[0]", axes=("n",), from_logits=True),
        equal("catboost.utils.eval_metric(targets, predictions, 'CrossEntropy')[0]", axes=("n",), from_logits=True),
        equal("catboost.CatBoostClassifier(loss_function='Logloss')", reductions=EACH, axes=("n",), from_logits=True),
        equal("catboost.CatBoostRegressor(loss_function='CrossEntropy')", reductions=EACH, axes=("n",), from_logits=True),
    ),
    reference="Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | PROPER,
    counterpart="categorical_cross_entropy",
)
def binary_cross_entropy(
    predictions: Array,
    targets: Array,
    *,
    from_logits: FromLogits = False,
    label_smoothing: OutcomeSmoothing = 0.0,
    pos_weight: Annotated[
        Annotated[float, Ge(0)] | list[Annotated[float, Ge(0)]],
        PER_COLUMN,
        Doc("Factor of the term of positive targets: one number, or one for each column of the last axis."),
    ] = 1.0,
    clip: Annotated[
        Annotated[float, Gt(0), Lt(0.5)] | None,
        Doc("Probabilities are kept this far from 0 and 1, with gradient 0 where that moves them."),
    ] = None,
) -> tuple[Array, Array, Second]:
    """The surprise at the outcome, in nats: confident mistakes cost without limit.

    Exact in both tails, where libraries clip: a probability of 0 for what happened costs infinity. PyTorch limits that
    to 100; for Keras' 16.1 set clip=1e-7.

    Use when: the answer is yes or no, or several of these at once, and its probability is wanted.
    Avoid when: labels are often wrong, as a confident mistake costs without limit; or positives are rare and nothing weighs
    them.
    See also: logistic, binary_focal, brier_score, categorical_cross_entropy.
    """
    weight = np.asarray(pos_weight, np.float64)
    hard, soft = (_of_hard_logits, _of_soft_logits) if from_logits else (_of_hard_probabilities, _of_soft_probabilities)
    if label_smoothing == 0 and bool(np.all(weight == 1)):
        values, gradient = _by_labels(hard, soft, predictions, targets)
    else:
        values, gradient = soft(predictions, targets, label_smoothing, weight)

    def second() -> Array:
        positive, negative = outcome_weights(targets, label_smoothing, weight)
        if from_logits:
            return (positive + negative) * sigmoid_slope(predictions)
        return curvature(predictions, positive, negative)

    if clip is None:
        return values, gradient, second
    positive, negative = outcome_weights(targets, label_smoothing, weight)
    logit = np.log(clip) - np.log1p(-clip)
    low, high = (predictions < logit, predictions > -logit) if from_logits else (predictions < clip, 1.0 - predictions < clip)
    rare, usual = -np.log(clip), -np.log1p(-clip)
    values = np.where(low, positive * rare + negative * usual, np.where(high, positive * usual + negative * rare, values))
    return values, np.where(low | high, 0.0, gradient), lambda: np.where(low | high, 0.0, second())


def _by_labels(hard: Kernel, soft: Kernel, x: Array, targets: Array) -> tuple[Array, Array]:
    """Hard labels take half as much work, and give the same bits whatever stands beside them."""
    other = 1.0 - targets
    if np.vdot(targets, other) == 0:
        return hard(x, targets, other)
    values, gradient = soft(x, targets, 0.0, np.ones(()))
    plain = targets * other == 0
    values[plain], gradient[plain] = hard(x[plain], targets[plain], other[plain])
    return values, gradient


def _of_hard_logits(x: Array, targets: Array, other: Array) -> tuple[Array, Array]:
    """log(1 + eᶻ) and its derivative, z being the logit of the outcome that was not: x for label 0, sign 1, else −x.

    The exponential of an unshifted logit has no error but its own, and keeps all digits in the tail where both are small.
    """
    sign = other - targets
    odds = sign * x
    np.exp(odds, out=odds)
    total = 1.0 + odds
    values = log_of_sum(total, odds - (total - 1.0))
    odds /= total
    odds *= sign
    if all_finite(values):
        return values, odds
    beyond = ~np.isfinite(values)  # eᶻ, not the loss: that is z
    return np.where(beyond, sign * x, values), np.where(beyond, sign, odds)


def _of_soft_logits(x: Array, targets: Array, smoothing: float, weight: Array) -> tuple[Array, Array]:
    """|x| times the share on the wrong side, plus log(1 + e^−|x|): two terms that are never below 0.

    `wrong` is that share with the sign of x; it is 0 for a hard label on the right side, so both tails keep all digits.
    """
    positive, negative = outcome_weights(targets, smoothing, weight)
    both = positive + negative
    t = np.exp(-np.abs(x))
    total = 1.0 + t
    wrong = np.where(np.signbit(x), -positive, negative)
    values = x * wrong + both * log_of_sum(total, t - (total - 1.0))
    gradient = wrong - np.copysign(both * (t / total), x)
    crossing = np.abs(gradient) < np.abs(wrong) * 0.25  # only a soft label near σ(x) cancels
    if crossing.any():
        weights = np.broadcast_to(weight, x.shape)[crossing]
        gradient[crossing] = _pull_of_logits(x[crossing], *outcome_shares(targets[crossing], smoothing, weights))
    return values, gradient


def _of_hard_probabilities(p: Array, targets: Array, other: Array) -> tuple[Array, Array]:
    """−ln of the probability of what happened, p for label 1, else 1 − p; and its derivative.

    One logarithm serves both labels: what 1 − p loses in rounding is found exactly, by Dekker's sum of two.
    """
    sign = other - targets
    signed = sign * p
    chance = other - signed
    lost = other - chance
    lost -= signed
    values = log_of_sum(chance, lost)
    np.subtract(0.0, values, out=values)
    sign /= chance
    return (values if all_finite(values) else np.where(chance == 0, np.inf, values)), sign


def _of_soft_probabilities(p: Array, targets: Array, smoothing: float, weight: Array) -> tuple[Array, Array]:
    positive, negative = outcome_weights(targets, smoothing, weight)
    values, gradient, wrong = surprise(p, positive, negative)
    crossing = np.abs(gradient) < wrong / 2.0
    if crossing.any():
        weights = np.broadcast_to(weight, p.shape)[crossing]
        gradient[crossing] = _pull_of_probabilities(p[crossing], *outcome_shares(targets[crossing], smoothing, weights))
    return values, gradient


def _pull_of_logits(x: Array, positive: Pair, negative: Pair) -> Array:
    """negative·σ(x) − positive·σ(−x) where the two nearly cancel."""
    back = np.signbit(x)
    t = exp_pair(-np.abs(x))
    near = either(back, positive, negative)
    far = pair_multiply(either(back, negative, positive), t)
    gap = pair_add(near, (-far[0], -far[1]))[0] / (1.0 + t[0])
    return np.where(back, -gap, gap)


def _pull_of_probabilities(p: Array, positive: Pair, negative: Pair) -> Array:
    """negative/(1 − p) − positive/p where the two nearly cancel."""
    other = complement(p)
    down = pair_multiply(negative, (p, 0.0 * p))
    up = pair_multiply(positive, other)
    return pair_add(down, (-up[0], -up[1]))[0] / p / other[0]


RATE_SCORE = numbers("rate_score", "a score, whose softplus is the rate at which events come", Interval(), steps(-3, 3))


@loss(
    predictions=RATE_SCORE,
    targets={"outcome": SOFT_BINARY, "exposure": POSITIVE},
    formula="(1 − y)·z − y ln(1 − exp(−z)); z = w·softplus(x)",
    gradient="w·σ(x)·(1 − y/(1 − exp(−z))); z = w·softplus(x)",
    symbols={
        "y": "the outcome: 1 where an event came, or the probability of that",
        "w": "the exposure, in which events may come",
        "z": "how many events are expected",
    },
    aliases=("xentlambda", "complementary_log_log"),
    reference="LightGBM 4.6.0 (2025), Parameters: objective, https://lightgbm.readthedocs.io/en/v4.6.0/Parameters.html",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def cross_entropy_lambda(predictions: Array, outcome: Array, exposure: Array) -> tuple[Array, Array]:
    """Cross-entropy of whether any event came, from its predicted rate: twice the exposure, twice the events.

    Use when: it is only seen whether something happened at all, over spans or areas of different size.
    Avoid when: events are counted (poisson_nll); or every sample was exposed alike, where binary_cross_entropy is the same.
    See also: binary_cross_entropy, poisson_nll.
    """
    x, y, w = predictions, outcome, exposure
    rate, likely = softplus_wide(x), sigmoid_wide(x)
    expected = rate * w
    rare = expected.high < 1e-30  # of which 1 − e⁻ᶻ is z
    some = where(rare, 1.0, where(expected.high > 1e4, 1e4, expected))
    none = exp(-some)
    seen = where(some.high > 1.0, log1p(-none), log(-expm1(-some)))
    far = x < -40.0
    seldom = where(far, x, log(where(far, 1.0, rate))) + log(w)
    value = (1.0 - wide(y)) * expected - where(y == 0, 0.0, y * where(rare, seldom, seen))
    left = where(rare, 1.0, some * none / -expm1(-some))
    steady = where(far, 1.0, likely / where(far, 1.0, rate))
    slope = where(y == 1, 0.0, (1.0 - wide(y)) * (likely * w)) - y * (steady * left)
    return 0.0 + where(y == 1, -where(rare, seldom, seen), value).high, slope.high
