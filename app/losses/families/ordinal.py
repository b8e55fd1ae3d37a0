"""Losses of one class among several that are in order: a near miss costs less than a far one.

Targets are the indices of the true grades, from 0.
"""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from app.domains import Interval, Whole
from app.libraries import equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import DISTRIBUTION, GRADE, LOGITS, UNIT, VALUE, numbers, per_sample, steps, whole
from app.losses.inputs import Encoding, Numbers, Place, Reading, when
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, Second, Seconds, loss
from app.losses.numerics.rows import row_sums
from app.losses.numerics.similarities import Flags
from app.losses.numerics.stable import Array, exact_sum, sigmoid, sigmoid_slope, softplus
from app.losses.numerics.wide import Wide, exp, exp_tail, expm1, log, log1p, power, softmax_parts, where, wide
from app.losses.numerics.wide import sigmoid as sigmoid_wide
from app.losses.numerics.wide import softplus as softplus_wide
from app.registry import alias

THRESHOLD_LOGITS = numbers(
    "threshold_logits",
    "for each threshold between two grades, the log-odds that the grade lies above",
    Interval(),
    steps(-3, 3),
    axes="n k",
    link=UNIT,
)
THRESHOLDS = numbers(
    "thresholds", "for each threshold between two grades, the probability that it is passed", UNIT, steps(0.05, 0.95), axes="n k"
)


def _read_level(array: Numbers, place: Place) -> Reading:
    domain = Whole(0, place.k)  # so many thresholds lie between one grade more
    return Reading(whole(array, place, domain, lambda domain: f"the index of a grade, from 0 to {domain.high}"), "level")


LEVEL = Encoding(
    "level",
    "the index of the true grade, from 0: how many thresholds it passes",
    ("n",),
    _read_level,
    lambda rng, sizes: rng.integers(0, sizes.k + 1, sizes.n).astype(np.float64),
    domain=Whole(0),
)


@loss(
    predictions=when("from_logits", True, THRESHOLD_LOGITS, THRESHOLDS),
    targets=LEVEL,
    formula=(
        "−∑_(j < c) ([j < y]·ln(p(j)) + [j ≥ y]·ln(1 − p(j))); p(j) = σ(xⱼ) if from_logits, else xⱼ; "
        "c = min(k, y + 1) if conditional, else k"
    ),
    gradient=(
        "0 if j ≥ c, σ(xⱼ) − [j < y] if from_logits, else [j ≥ y]/(1 − xⱼ) − [j < y]/xⱼ; c = min(k, y + 1) if conditional, else k"
    ),
    symbols={"k": "how many thresholds there are"},
    aliases=("coral", "CoralLoss", "ordinal_logistic", "multi_threshold", alias("corn", conditional=True)),
    reference="Cao, Mirjalili and Raschka (2020), arXiv:1901.07884; conditional: Shi, Cao and Raschka (2023), arXiv:2111.08851",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def ordinal_cross_entropy(
    predictions: Array,
    targets: Array,
    *,
    from_logits: Annotated[bool, Doc("Whether predictions are logits instead of probabilities.")] = True,
    conditional: Annotated[
        bool, Doc("Whether a threshold is judged only where the one before is passed, as in CORN; else all are, as in CORAL.")
    ] = False,
) -> tuple[Array, Array, Second]:
    """Binary cross-entropy of each threshold between grades: is the grade above it or not. Each step of a miss costs.

    Use when: classes are grades, as of quality, age or severity, and a model has an output for each threshold.
    Avoid when: the model has an output for each class: soft_ordinal takes those.
    See also: soft_ordinal, cumulative_link, binary_cross_entropy, ranked_probability_score.
    """
    places = np.arange(predictions.shape[1], dtype=np.int64)
    passed: Flags = places < targets[:, None]
    judged: Flags = places <= targets[:, None] if conditional else np.ones_like(passed)
    side = np.where(passed, -1.0, 1.0)
    if from_logits:
        against = side * predictions
        slope, bend = side * sigmoid(against), sigmoid_slope(predictions)
        terms = softplus(against)
    else:
        likely = np.where(passed, predictions, 1.0 - predictions)
        terms = np.where(passed, -np.log(predictions), -np.log1p(-predictions))
        slope, bend = side / likely, 1.0 / likely / likely
    values = row_sums(np.where(judged, terms, 0.0))
    return values, np.where(judged, slope, 0.0), lambda: np.where(judged, bend, 0.0)


@loss(
    predictions=LOGITS,
    targets=GRADE,
    formula=(
        "−∑ⱼ q(j) ln gⱼ; g = softmax(x); q(j) = exp(−α·d(j))/∑ᵢ exp(−α·d(i)); "
        "d(j) = |j − y| if distance = absolute, else (j − y)²"
    ),
    gradient=(
        "gⱼ − q(j); g = softmax(x); q(j) = exp(−α·d(j))/∑ᵢ exp(−α·d(i)); d(j) = |j − y| if distance = absolute, else (j − y)²"
    ),
    symbols={"g": "the predicted probabilities", "q": "the soft label", "d": "how far a grade is from the true one"},
    aliases=("sord", "SORD"),
    reference="Díaz and Marathe (2019), doi:10.1109/CVPR.2019.00487",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def soft_ordinal(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[float, Gt(0), Le(1e3), Doc("How fast a grade's share falls with its distance from the true one.")] = 1.0,
    distance: Annotated[Literal["absolute", "squared"], Doc("What of the distance in grades counts.")] = "absolute",
) -> tuple[Array, Array, Second]:
    """Cross-entropy with labels that are shared among neighbouring grades, the less the farther they are.

    The least value is the entropy of these labels, not 0.

    Use when: a classifier of one output for each grade shall learn that near misses are better than far ones.
    Avoid when: labels are certain and the grades nominal (categorical_cross_entropy); or values must reach 0.
    See also: ordinal_cross_entropy, class_distance_weighted, categorical_cross_entropy, ranked_probability_score.
    """
    apart = np.abs(np.arange(predictions.shape[1], dtype=np.float64) - targets[:, None].astype(np.float64))
    label = softmax_parts(wide(apart if distance == "absolute" else apart * apart) * -alpha)
    seen = softmax_parts(predictions)
    values = -where(label.p.high == 0, 0.0, label.p * seen.logarithm).sum()
    slope = where(seen.p.high > 0.5, label.rest - seen.rest, seen.p - label.p)
    return values.high[:, 0], slope.high, lambda: (seen.p * seen.rest).high


THRESHOLD_STEPS = numbers(
    "threshold_steps",
    "the first threshold between grades, then the logarithm of each step to the next; within ±700",
    Interval(-700.0, 700.0),
    steps(-2, 2),
    axes="n k",
)


@loss(
    predictions={"score": VALUE, "thresholds": THRESHOLD_STEPS},
    targets=LEVEL,
    formula="−ln(σ(t(y) − s) − σ(t(y − 1) − s)); t(j) = a₀ + ∑_(0 < i ≤ j) exp aᵢ",
    gradient=(
        "∂ℓ/∂s = σ(s − t(y)) − σ(t(y − 1) − s); ∂ℓ/∂t(y) = −σ(s − t(y)) − 1/(exp c − 1); "
        "∂ℓ/∂t(y − 1) = σ(t(y − 1) − s) + 1/(exp c − 1); c = t(y) − t(y − 1)"
    ),
    symbols={
        "s": "the predicted score",
        "a": "the first threshold, then the logarithms of the steps to the others",
        "t": "the threshold above a grade; −∞ below the first, ∞ above the last",
        "c": "how wide the grade is",
    },
    aliases=("proportional_odds", "ordered_logit", "pom", "ordinal_regression"),
    reference="Vargas, Gutiérrez and Hervás-Martínez (2020), doi:10.1016/j.neucom.2020.03.034",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def cumulative_link(score: Array, thresholds: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """One score on a line that thresholds cut into grades: the surprise at the true one, as in the proportional odds model.

    Thresholds are predictions too, and cannot fall: each step is an exponential, so that any numbers will do.

    Use when: grades stand for ranges of one quantity that is not seen, and where these lie shall be learnt with it.
    Avoid when: more than one quantity decides on the grade; or thresholds differ by sample, where an output for each does.
    See also: ordinal_cross_entropy, soft_ordinal, logistic.
    """
    k = thresholds.shape[1]
    places = np.arange(k, dtype=np.int64)
    rise = where(places == 0, thresholds, exp(thresholds))
    y = targets[:, None]
    lower: Flags = places < y
    first, last = y == 0, y == k
    below = where(lower, rise, 0.0).sum() - score[:, None]
    width = where(places == y, rise, 0.0).sum()
    above = where(first, width - score[:, None], below + width)
    middle = ~(first | last)
    gap = where(middle, width, 1.0)
    narrow = where(gap.high > 1.0, log1p(-exp(-gap)), log(-expm1(-gap)))
    over, under = where(last, 0.0, sigmoid_wide(-above)), where(first, 0.0, sigmoid_wide(below))
    value = where(last, 0.0, softplus_wide(-above)) + where(first, 0.0, softplus_wide(below)) - where(middle, narrow, 0.0)
    slope = over - under
    # e^a/(e^(e^a) − 1): the exponential of a wide step leaves nothing of it
    spread = where(gap.high > 700.0, 0.0, gap * exp(-gap) / -expm1(-gap))
    own: Flags = (places == y) & middle
    steps_up = where(lower, -slope, 0.0) * rise - where(own, over * rise + spread, 0.0)
    pulls = where(places == 0, -slope, steps_up)

    def seconds() -> tuple[Array, Array]:
        of_above = where(last, 0.0, sigmoid_wide(above) * sigmoid_wide(-above))
        turn = of_above + where(first, 0.0, sigmoid_wide(below) * sigmoid_wide(-below))
        beyond = where(gap.high < 1e-30, -0.5 * gap, exp_tail(-gap) / expm1(-gap))  # 1 − w/(1 − e⁻ʷ)
        of_spread = where(gap.high > 700.0, 0.0, spread * beyond)
        of_own = (of_above * rise - over) * rise - of_spread
        steps = where(lower, (turn * rise - slope) * rise, where(own, of_own, 0.0))
        return turn.high[:, 0], where(places == 0, turn, steps).high

    return value.high[:, 0], (slope.high[:, 0], pulls.high), seconds


@loss(
    predictions=LOGITS,
    targets=GRADE,
    formula="−∑ⱼ |j − y|^α ln(1 − gⱼ); g = softmax(x)",
    gradient="gⱼ·(|j − y|^α/(1 − gⱼ) − ∑ᵢ |i − y|^α·gᵢ/(1 − gᵢ)); g = softmax(x)",
    symbols={"g": "the predicted probabilities"},
    aliases=("cdw_ce", "CDW_CELoss", "CDWCELoss", "class_distance_weighted_cross_entropy"),
    reference="Polat, Ergenc, Kani, Alahdab, Atug and Temizel (2022), arXiv:2202.05167",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def class_distance_weighted(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[float, Gt(0), Le(100), Doc("How much dearer a grade is the farther it is from the true one.")] = 2.0,
) -> tuple[Array, Array]:
    """Takes probability from each wrong grade, with a weight that grows with its distance from the true one.

    Use when: a classifier of one output for each grade makes far misses that are worse than near ones, as of severity.
    Avoid when: classes have no order; or calibrated probabilities are wanted, which near grades lose to far ones here.
    See also: soft_ordinal, weighted_kappa, unlikelihood.
    """
    places = np.arange(predictions.shape[1], dtype=np.int64)
    weight = power(np.abs(places - targets[:, None]).astype(np.float64), alpha)
    seen = softmax_parts(predictions)
    top: Flags = places == predictions.argmax(axis=1)[:, None]
    others = softmax_parts(np.where(top, -1.7e308, predictions))  # of all but the likeliest: what 1 − p of that is made of
    share = where(top, 0.0, others.p)
    second: Flags = places == np.where(top, -np.inf, predictions).argmax(axis=1)[:, None]
    left = where(second, seen.logarithm - others.logarithm, 0.0).sum()
    dearest = where(top, weight, 0.0).sum()
    odds = where(top, 0.0, weight * seen.p / where(top, 1.0, seen.rest))
    total = odds.sum()
    value = where(top, 0.0, weight * -log1p(-where(top, 0.0, seen.p))).sum() - where(dearest.high > 0, dearest * left, 0.0)
    largest = where(top, seen.p, 0.0).sum()
    slope = seen.p * (weight - total + odds) - dearest * largest * share
    return value.high[:, 0], slope.high


@loss(
    predictions=replace(per_sample(DISTRIBUTION), axes=("n k",)),
    targets=per_sample(GRADE),
    formula="ln(n ∑ᵢ ∑ⱼ d(j, yᵢ)·p(i, j)/∑ᵢ ∑ⱼ ∑ₗ d(j, yᵢ)·p(l, j) + ε); d(i, j) = |i − j| if weightage = linear, else (i − j)²",
    gradient=(
        "∂ℓ/∂p(i, j) = (d(j, yᵢ) − c/n·∑ₗ d(j, yₗ))·n/(u·(c + ε)); c = n/u ∑ᵢ ∑ⱼ d(j, yᵢ)·p(i, j); u = ∑ᵢ ∑ⱼ ∑ₗ d(j, yᵢ)·p(l, j)"
    ),
    symbols={
        "p": "a predicted probability: of a sample, of a grade",
        "i": "counts the samples",
        "j": "counts the grades",
        "l": "counts the samples again",
        "d": "what a grade costs beside the true one",
        "c": "what the predictions cost beside those that know nothing of the samples: 1 − κ",
    },
    aliases=("kappa_loss", "quadratic_weighted_kappa", "WeightedKappaLoss"),
    equals=(
        equal(
            "tensorflow_addons.losses.WeightedKappaLoss(num_classes=k, weightage=weightage, epsilon=epsilon)"
            "(targets, predictions)",
            encodings={"targets": "one_hot"},
        ),
    ),
    reference="de la Torre, Puig and Valls (2018), https://www.sciencedirect.com/science/article/abs/pii/S0167865517301666",
    properties=DIFFERENTIABLE,
    coupling="batch",
    cost=IN_PAIRS,
)
def weighted_kappa(
    predictions: Array,
    targets: Array,
    *,
    weightage: Annotated[
        Literal["quadratic", "linear"], Doc("Whether a miss costs its distance squared, or its distance.")
    ] = "quadratic",
    epsilon: Annotated[float, Gt(0), Le(1), Doc("Added before the logarithm: what a batch without an error comes to.")] = 1e-6,
) -> tuple[Array, Pullback]:
    """The logarithm of one minus Cohen's kappa: how much less a batch is missed than by predictions that know nothing of it.

    It is of the whole batch, and each sample has it. Where all are of one grade, and predicted so, kappa counts as 1.

    Use when: graders and models are judged by weighted kappa, as of images of retinas, and batches hold all grades.
    Avoid when: batches are small or of one grade: kappa then is mostly chance; or the loss of single samples is wanted.
    See also: soft_ordinal, class_distance_weighted, mcc.
    """
    n = len(predictions)
    apart = np.abs(np.arange(predictions.shape[1], dtype=np.float64) - targets[:, None].astype(np.float64))
    costs = apart if weightage == "linear" else apart * apart
    by_chance = costs.sum(axis=0)  # whole numbers: exact in any order
    cost = _whole(costs * wide(predictions))
    chance = _whole(by_chance * wide(predictions)) / float(n)
    known = chance.high > 0
    ratio = where(known, cost / where(known, chance, 1.0), 0.0)
    value = float(log(ratio + epsilon).high[0, 0])
    pulls = where(known, (costs - ratio * by_chance / float(n)) / where(known, chance, 1.0) / (ratio + epsilon), 0.0)
    return np.full(n, value), lambda weights: pulls.high * exact_sum(weights)


def _whole(numbers: Wide) -> Wide:
    """The sum of all of them (1, 1)."""
    return Wide(numbers.high.reshape(1, -1), numbers.low.reshape(1, -1)).sum()
