"""Divergences between two distributions over k classes: predictions and targets (n, k)."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import DISTRIBUTION, LOG_PROBABILITIES, LOGITS
from app.losses.inputs import Case, Choice, when
from app.losses.loss import CONVEX, DIFFERENTIABLE, NON_NEGATIVE, PROPER, SMOOTH, ZERO_AT_TARGET, Second, loss
from app.losses.numerics.alike import log_ratio, within_reach
from app.losses.numerics.pairs import (
    Pair,
    constant,
    exp_pair,
    log_excess,
    log_long,
    log_pair,
    pair,
    pair_add,
    pair_multiply,
    pair_negative,
    pair_sum,
    two_sum,
)
from app.losses.numerics.rows import log_softmax, log_softmax_pair, row_sums, softmax_variance
from app.losses.numerics.shares import Shares, softmax_cross_entropy
from app.losses.numerics.stable import Array, all_finite, exp_tail, recovered, xlogy
from app.losses.numerics.wide import Wide, expm1, softmax_parts, where, wide
from app.losses.numerics.wide import exp_tail as wide_exp_tail
from app.registry import alias

_LEAST = -745.0
"""Below the logarithm of every number but 0."""
_CLOSE, _CLOSEST = 2.0**-6, 2.0**-16
"""Below this divergence, so much has cancelled that it is worth the price of pairs; below 16 times this, of logarithms; below the
second, of all their digits."""


def _format(name: str) -> Case:
    encoding = {"probabilities": DISTRIBUTION, "log_probabilities": LOG_PROBABILITIES, "logits": LOGITS}[name]

    def holds(parameters: Any, _: int) -> bool:
        return parameters["input_format"] == name

    return Case(f"input_format is {name}", holds, encoding)


@loss(
    predictions=Choice((_format("probabilities"), _format("log_probabilities"), _format("logits"))),
    targets=when("log_target", True, LOG_PROBABILITIES, DISTRIBUTION),
    formula="∑ⱼ yⱼ ln(yⱼ/pⱼ); p = eˣ if input_format = log_probabilities, softmax(x) if input_format = logits",
    gradient="−yⱼ if input_format = log_probabilities, pⱼ − yⱼ if input_format = logits, else −yⱼ/pⱼ",
    aliases=(
        "kld",
        "kl",
        "relative_entropy",
        "kullback_leibler_divergence",
        "KLDivergence",
        "kldiv",
        alias("KLDivLoss", input_format="log_probabilities"),
        alias("kl_div", input_format="log_probabilities"),
        alias("F.kl_div", input_format="log_probabilities"),
        alias("kl_divergence_with_log_targets", input_format="log_probabilities", log_target=True),
    ),
    equals=(
        equal(
            "torch.nn.KLDivLoss(reduction='batchmean', log_target=log_target)(predictions, targets)",
            input_format="log_probabilities",
        ),
        equal(
            "keras.losses.KLDivergence(reduction=reduction)(targets, predictions)",
            differs_at=("saturated",),
            caveat="Keras keeps both probabilities above 1e-7.",
        ),
        equal("optax.losses.kl_divergence(predictions, targets)", reductions=EACH, input_format="log_probabilities"),
        equal(
            "optax.losses.kl_divergence_with_log_targets(predictions, targets)",
            reductions=EACH,
            input_format="log_probabilities",
            log_target=True,
        ),
        equal(
            "torchmetrics.functional.kl_divergence(targets, predictions)",
            differs_at=("gradient",),
            caveat="torchmetrics divides each row by its sum first, and its gradient goes through that.",
        ),
        equal(
            "kornia.losses.kl_div_loss_2d(predictions[:, None, None], targets[:, None, None], reduction='none')[:, 0]",
            reductions=EACH,
        ),
    ),
    reference="Kullback and Leibler (1951), doi:10.1214/aoms/1177729694",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET | PROPER,
)
def kl_divergence(
    predictions: Array,
    targets: Array,
    *,
    input_format: Annotated[
        Literal["probabilities", "log_probabilities", "logits"],
        Doc("What predictions are: the softmax or the logarithm is taken where needed."),
    ] = "probabilities",
    log_target: Annotated[bool, Doc("Whether targets are log-probabilities.")] = False,
) -> tuple[Array, Array, Second]:
    """Information lost when the prediction stands for the target, KL(target ‖ prediction): mass the prediction misses costs most.

    Sums over the classes of a sample, so that the mean over samples is what PyTorch calls batchmean; its own mean divides
    by the number of classes as well. The gradient takes each number for itself: rows need not stay distributions.

    Use when: targets are distributions themselves, as those of a teacher that a smaller model shall follow.
    Avoid when: predictions may be 0 where targets are not, which costs infinity; or targets are plain classes
    (categorical_cross_entropy).
    See also: categorical_cross_entropy.
    """
    p = np.exp(targets) if log_target else targets
    if input_format == "probabilities" and not log_target:
        values, bands = row_sums(_terms(predictions, p)), ((0.0, _CLOSE, _close_shares),)
    else:
        values = row_sums(_terms_of_logarithms(predictions, targets, p, input_format, log_target))
        bands = tuple(
            (least, most, partial(_close_logarithms, input_format, log_target, logarithm))
            for least, most, logarithm in ((0.0, _CLOSEST, log_pair), (_CLOSEST, 16.0 * _CLOSE, log_long))
        )
    size = np.abs(values)
    for least, most, closely in bands:
        close = np.flatnonzero((size >= least) & (size < most))
        if close.size:
            exact = closely(predictions[close], targets[close])
            values[close] = np.where(np.isfinite(exact), exact, values[close])
    if input_format != "logits":
        gradient = _gradient(predictions, targets, p, input_format, log_target)
        if input_format == "log_probabilities":
            return values, gradient, lambda: np.zeros_like(gradient)
        return values, gradient, lambda: np.where(gradient == 0, 0.0, -gradient / predictions)

    def unrounded(rows: NDArray[np.intp]) -> Pair:
        return exp_pair(targets[rows]) if log_target else pair(p[rows])

    cross_entropy, gradient = softmax_cross_entropy(predictions, Shares(p, unrounded))
    # logits may lie further apart than any float64, against targets that hardly ask for them
    values = recovered(values, lambda: cross_entropy + row_sums(xlogy(p, p)))
    return values, gradient, lambda: row_sums(p)[:, None] * softmax_variance(predictions)


def _terms(q: Array, p: Array) -> Array:
    """p log(p / q), by log1p of the relative distance to the smaller of both: a ratio near 1 keeps its digits."""
    gap = p - q
    distance = np.log1p(np.abs(gap) / np.minimum(p, q))
    if not np.isfinite(distance.max()):  # a quotient above the range, or a number of 0
        distance = np.where(np.isfinite(distance), distance, np.abs(np.log(p) - np.log(q)))
        return np.where(p == 0, 0.0, p * np.copysign(distance, gap))
    return p * np.copysign(distance, gap)


def _terms_of_logarithms(predictions: Array, targets: Array, p: Array, input_format: str, log_target: bool) -> Array:
    terms = targets.copy() if log_target else np.log(targets)
    if not (log_target or all_finite(terms)):
        np.maximum(terms, _LEAST, out=terms)  # finite, so that 0 · log 0 = 0
    logarithm = {"probabilities": np.log, "logits": log_softmax}.get(input_format)
    terms -= logarithm(predictions) if logarithm else predictions
    terms *= p
    if input_format == "probabilities":  # no logarithm is that of a target of 0, even where its exponential is 0
        terms[predictions == 0] = np.inf
    return terms


def _gradient(predictions: Array, targets: Array, p: Array, input_format: str, log_target: bool) -> Array:
    if input_format == "log_probabilities":
        return -p
    if log_target:
        return np.where(p > 1e-307, -p / predictions, -np.exp(targets - np.log(predictions)))
    return np.where(p == 0, 0.0, -p / predictions)


def _close_shares(predictions: Array, targets: Array) -> Array:
    """The divergence of distributions that nearly agree: ∑ p·(q/p − 1 − log(q/p)), all at least 0, and ∑ p − q."""
    excess = np.where(targets > 0, targets * log_excess(predictions, targets), predictions)
    high, low = pair_sum(two_sum(targets, -predictions))
    return row_sums(excess) + (high + low)[:, 0]


def _close_logarithms(
    input_format: str, log_target: bool, logarithm: Callable[[Array], Pair], predictions: Array, targets: Array
) -> Array:
    """The same where either is given by logarithms, of which almost all cancels."""
    p = exp_pair(targets) if log_target else pair(targets)
    some = p[0] > 0
    log_p = pair(targets) if log_target else logarithm(np.where(some, targets, 1.0))
    if input_format == "log_probabilities":  # as they are, so that no more than the sum of a few products is rounded
        gap = pair_add(log_p, pair_negative(pair(np.where(some, predictions, 0.0))))
        high, low = pair_sum(pair_multiply(p, gap))
        return (high + low)[:, 0]
    # ∑ −p·δ with δ = log(q/p) is ∑ p·(e^δ − 1 − δ), all at least 0, and ∑ p − ∑ q
    if input_format == "logits":
        log_q, whole = log_softmax_pair(predictions), constant(1.0)
    else:
        log_q = logarithm(np.where(some, predictions, 1.0))
        whole = pair_sum(pair(np.where(some, predictions, 0.0)))
    gap = pair_add(log_q, pair_negative(log_p))[0]
    beside = np.exp(log_q[0]) * (1.0 + log_q[1]) if input_format == "logits" else 0.0  # of the 1 that a softmax adds up to
    high, low = pair_add(pair_sum(p), pair_negative(whole))
    return row_sums(np.where(some, p[0] * exp_tail(gap), beside)) + (high + low)[:, 0]


@loss(
    predictions=LOGITS,
    targets=LOGITS,
    formula="τ² ∑ⱼ qⱼ·(ln qⱼ − ln gⱼ); q = softmax(y/τ); g = softmax(x/τ)",
    gradient="τ·(gⱼ − qⱼ); q = softmax(y/τ); g = softmax(x/τ)",
    symbols={"q": "the teacher's softened probabilities", "g": "the student's"},
    aliases=("distill_kl", "distillation", "temperature_kl", "DistillKLDivLoss"),
    equals=(
        equal(
            "temperature**2 * torch.nn.KLDivLoss(reduction='batchmean', log_target=True)(torch.log_softmax(predictions / "
            "temperature, 1), torch.log_softmax(targets / temperature, 1))",
            axes=("n k",),
        ),
    ),
    reference="Hinton, Vinyals and Dean (2015), arXiv:1503.02531",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
    cost=IN_PAIRS,
)
def knowledge_distillation(
    predictions: Array,
    targets: Array,
    *,
    temperature: Annotated[
        float, Ge(0.5), Le(1e3), Doc("What logits of both are divided by: above 1, small probabilities count more.")
    ] = 2.0,
) -> tuple[Array, Array, Second]:
    """How far a student's softened probabilities are from those of its teacher, from the logits of both.

    The square of the temperature keeps gradients of one size whatever it is.

    Use when: a small model shall learn all that a large one says of a sample, not only its first choice; mix it with labels.
    Avoid when: the teacher is wrong more often than the labels; or its logits are not at hand (kl_divergence takes shares).
    See also: kl_divergence, categorical_cross_entropy, jensen_shannon_divergence.
    """
    student, teacher = (softmax_parts(_below_largest(logits) / temperature) for logits in (predictions, targets))
    q, p, gap = teacher.p, student.p, teacher.logarithm - student.logarithm
    slope = where(q.high > 0.5, teacher.rest - student.rest, p - q)
    alike: NDArray[np.bool_] = np.logical_or.reduce(np.abs(gap.high) < 2.0**-40, axis=1)
    if alike.any():
        apart = (wide(targets[alike]) - predictions[alike]) / temperature
        near = within_reach(apart)
        exact = log_ratio(p[alike], where(near, apart, 0.0))
        for numbers, better in ((gap, exact), (slope, -p[alike] * expm1(exact))):
            better = where(near, better, numbers[alike])
            numbers.high[alike], numbers.low[alike] = better.pair
    near, some = np.abs(gap.high) < 1.0, q.high > 0
    # qδ − q + p with δ = ln q − ln p, whose sum over the classes is the same: no term of it is below 0
    terms = where(some, where(near, q * wide_exp_tail(-where(near, gap, 0.0)), q * where(some, gap, 0.0) - q + p), p)
    return (terms.sum() * (temperature * temperature)).high[:, 0], (slope * temperature).high, lambda: (p * student.rest).high


def _below_largest(logits: Array) -> Wide:
    """The logits less the largest of their row; what is beyond all measure below it may be divided by a temperature."""
    gap = wide(logits) - wide(logits).max()
    return where(gap.high < -1.7e305, -1.7e305, gap)
