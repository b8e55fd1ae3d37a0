"""Losses of one class among several that are in order: a near miss costs less than a far one.

Targets are the indices of the true grades, from 0.
"""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from app.domains import Interval, Whole
from app.losses.cost import IN_PAIRS
from app.losses.encodings import GRADE, LOGITS, UNIT, numbers, steps, whole
from app.losses.inputs import Encoding, Numbers, Place, Reading, when
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, loss
from app.losses.numerics.rows import row_sums
from app.losses.numerics.similarities import Flags
from app.losses.numerics.stable import Array, sigmoid, sigmoid_slope, softplus
from app.losses.numerics.wide import softmax_parts, where, wide
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
    See also: soft_ordinal, binary_cross_entropy, ranked_probability_score.
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
    See also: ordinal_cross_entropy, categorical_cross_entropy, ranked_probability_score.
    """
    apart = np.abs(np.arange(predictions.shape[1], dtype=np.float64) - targets[:, None].astype(np.float64))
    label = softmax_parts(wide(apart if distance == "absolute" else apart * apart) * -alpha)
    seen = softmax_parts(predictions)
    values = -where(label.p.high == 0, 0.0, label.p * seen.logarithm).sum()
    slope = where(seen.p.high > 0.5, label.rest - seen.rest, seen.p - label.p)
    return values.high[:, 0], slope.high, lambda: (seen.p * seen.rest).high
