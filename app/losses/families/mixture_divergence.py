"""Divergences between two distributions over k classes that are symmetric, bounded or have an order to set.

Predictions and targets are rows of probabilities (n, k); the gradient takes each number for itself.
"""

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import DISTRIBUTION
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
from app.losses.numerics.pairs import Pair, difference, pair_add, row_sums_exact, two_sum
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array, exp_tail, sign, xlogy
from app.losses.numerics.wide import NEAR, Wide, exp, log, log1p, where, wide
from app.registry import alias


def _skewed(q: Array, p: Array, beta: float) -> tuple[Array, Array, Second]:
    """β·KL(p ‖ m) + (1 − β)·KL(q ‖ m), with m = β·p + (1 − β)·q, as a sum of terms that are never below 0.

    With p = m·(1 + a) and q = m·(1 + b) it is ∑ m·(β·h(a) + (1 − β)·h(b)), h(a) = (1 + a)·ln(1 + a) − a.
    """
    tiny = np.maximum(p, q) < 1e-250
    if tiny.any():  # of degree 1: shares are taken where the mixture has all of its digits
        unit = np.where(tiny, 2.0**300, 1.0)
        p, q = p * unit, q * unit
    m = beta * p + (1.0 - beta) * q
    gap = np.divide(p - q, m, out=np.zeros_like(m), where=m > 0)
    a, b = (1.0 - beta) * gap, -beta * gap

    def h(x: Array, share: Array) -> tuple[Array, Array]:  # (1 + x)·(e⁻ᵘ − 1 + u) with u = ln(1 + x), and u
        ratio = np.divide(share, m, out=np.ones_like(m), where=m > 0)
        low = x < -0.5
        near = np.where(low, 0.0, x)
        u = np.where(low, np.log(ratio), np.log1p(near))
        return np.where(low, 1.0 - ratio + xlogy(ratio, ratio), (1.0 + near) * exp_tail(-np.log1p(near))), u

    (of_target, _), (of_prediction, log_ratio) = h(a, p), h(b, q)
    terms = m * (beta * of_target + (1.0 - beta) * of_prediction)
    values = row_sums(np.where(tiny, terms * 2.0**-300, terms))

    def second() -> Array:
        bend = np.divide(beta * (1.0 - beta) * p, m, out=np.zeros_like(m), where=m > 0)
        return np.where(p == 0, 0.0, bend / q * np.where(tiny, 2.0**300, 1.0))

    return values, (1.0 - beta) * log_ratio, second


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="½·∑ⱼ pⱼ ln(pⱼ/mⱼ) + ½·∑ⱼ yⱼ ln(yⱼ/mⱼ); m = ½(p + y)",
    gradient="½ ln(pⱼ/mⱼ); m = ½(p + y)",
    symbols={"m": "the mean of both distributions"},
    aliases=("jsd", "js", "jensen_shannon", "JensenShannonDivergence", "js_div"),
    equals=(
        equal(
            "torchmetrics.functional.regression.jensen_shannon_divergence(predictions, targets)",
            differs_at=("gradient",),
            caveat="torchmetrics divides each row by its sum first, and its gradient goes through that.",
        ),
        equal(
            "kornia.losses.js_div_loss_2d(predictions[:, None, None], targets[:, None, None], reduction='none')[:, 0]",
            reductions=EACH,
            differs_at=("gradient at saturated",),
            caveat="A probability of 0 has no slope there.",
        ),
        equal("scipy.spatial.distance.jensenshannon(targets, predictions, axis=1) ** 2", reductions=EACH),
    ),
    reference="Lin (1991), doi:10.1109/18.61115",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def jensen_shannon_divergence(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """How far two distributions are from their mean: never more than ln 2, whatever either of them leaves out.

    Its root is a distance, which SciPy gives. A probability of 0 where the target is above pulls without bound.

    Use when: two distributions are compared of which neither is the truth, or one leaves out classes of the other.
    Avoid when: a model is fitted to true shares by likelihood: kl_divergence is proper for that.
    See also: kl_divergence, generalized_jensen_shannon, total_variation_distance.
    """
    return _skewed(predictions, targets, 0.5)


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="β·∑ⱼ yⱼ ln(yⱼ/mⱼ) + (1 − β)·∑ⱼ pⱼ ln(pⱼ/mⱼ); m = β·y + (1 − β)·p",
    gradient="(1 − β)·ln(pⱼ/mⱼ); m = β·y + (1 − β)·p",
    symbols={"m": "the mixture of both distributions"},
    aliases=("gjsd", "gkd", "generalized_jsd_loss", "skew_jensen_shannon"),
    reference="Agarwal et al. (2024), arXiv:2306.13649; Nielsen (2020), doi:10.3390/e22020221",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET,
)
def generalized_jensen_shannon(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[float, Gt(0), Lt(1), Doc("Share of the target in the mixture: ½ is jensen_shannon_divergence.")] = 0.5,
) -> tuple[Array, Array, Second]:
    """Jensen–Shannon with another share of each: between covering all that the target has and keeping to what it has most.

    Divided by beta it tends to KL(target ‖ prediction) for beta → 0, by 1 − beta to KL(prediction ‖ target) for beta → 1.

    Use when: a language model learns from a larger one by answers of its own, which that one judges.
    Avoid when: values of different shares are compared: their scales differ.
    See also: jensen_shannon_divergence, kl_divergence.
    """
    return _skewed(predictions, targets, beta)


class _PowerSum(NamedTuple):
    """∑ p^α·q^(1 − α) of two distributions."""

    total: Wide
    excess: Wide
    """The sum less 1, which of near distributions is all that counts."""
    pull: Wide
    """Its derivative to each q, over 1 − α: (p/q)^α."""


def _power_sum(q: Array, p: Array, alpha: float) -> _PowerSum:
    order = wide(alpha)
    some = (p > 0) & (q > 0)
    ratio = log(np.where(some, p, 1.0)) - log(np.where(some, q, 1.0))
    raised = exp(ratio * order)
    pull = where(some, raised, np.where(p > 0, np.inf, 0.0))
    terms = where(some, raised * q, np.where((p > 0) & (alpha > 1), np.inf, 0.0))
    total = terms.sum()
    excess = total - 1.0
    near = np.abs(excess.high[:, 0]) < NEAR
    if near.any():
        excess.high[near], excess.low[near] = _excess(terms[near], q[near], p[near], alpha).pair
    return _PowerSum(total, excess, pull)


ALIKE = 2.0**-16
"""How little two shares may differ, times the order, that four terms of a series have all digits."""


def _excess(terms: Wide, q: Array, p: Array, alpha: float) -> Wide:
    """∑ of the terms less 1, by how far they are from α·p + (1 − α)·q, whose sum is nearly 1."""
    order = wide(alpha)
    alike = (np.abs(p - q) * (1.0 + alpha) < ALIKE * q) & (q > 0)
    u = where(alike, (wide(p) - q) / np.where(alike, q, 1.0), 0.0)
    series = 1.0 + u * (order - 2.0) / 3.0 * (1.0 + u * (order - 3.0) / 4.0 * (1.0 + u * (order - 4.0) / 5.0))
    curve = u * u * q * (order * (order - 1.0) / 2.0) * series
    bends = where(alike, curve, terms - p * order - q * (1.0 - order)).sum()
    return bends + (_less_one(p) * order + _less_one(q) * (1.0 - order))


def _less_one(p: Array) -> Wide:
    """What the rows of a distribution add up to beyond 1: (n, 1)."""
    rest = np.hstack((p, np.full((len(p), 1), -1.0)))
    high = row_sums_exact(rest)[:, None]
    return Wide(high, row_sums_exact(np.hstack((rest, -high)))[:, None])


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="ln(∑ⱼ yⱼ^α·pⱼ^(1 − α))/(α − 1)",
    gradient="−(yⱼ/pⱼ)^α/∑ᵢ yᵢ^α·pᵢ^(1 − α)",
    aliases=("renyi", "rényi_divergence", "alpha_renyi"),
    reference="Rényi (1961), https://projecteuclid.org/euclid.bsmsp/1200512181; van Erven and Harremoës (2014), "
    "doi:10.1109/TIT.2014.2320500",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def renyi_divergence(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[
        float, Ge(1e-3), Le(100), Doc("Order: the higher, the more a class counts that the prediction nearly leaves out; not 1.")
    ] = 2.0,
) -> tuple[Array, Array]:
    """A divergence with an order to set: it tends to KL for 1, and for high orders to the worst class's ratio alone.

    Use when: the largest ratio of two distributions is what costs, as in differential privacy; or less than KL hears of it.
    Avoid when: alpha is 1 (kl_divergence), which is refused; or a class may be predicted 0, which orders above 1 make infinite.
    See also: kl_divergence, alpha_divergence.
    """
    if alpha == 1:
        raise InvalidParameter([Fault(("parameters", "alpha"), "out_of_range", "alpha must not be 1: that is kl_divergence")])
    total, excess, pull = _power_sum(predictions, targets, alpha)
    values = where(np.abs(excess.high) < 0.5, log1p(excess), log(total)) / (wide(alpha) - 1.0)
    return values.high[:, 0], -np.where(np.isinf(pull.high), np.inf, np.where(pull.high == 0, 0.0, (pull / total).high))


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="(∑ⱼ yⱼ^α·pⱼ^(1 − α) − 1)/(α(α − 1))",
    gradient="−(yⱼ/pⱼ)^α/α",
    aliases=("amari_alpha", "cressie_read", alias("half_neyman_chi_squared", alpha=2.0)),
    reference="Cressie and Read (1984), doi:10.1111/j.2517-6161.1984.tb01318.x",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def alpha_divergence(
    predictions: Array,
    targets: Array,
    *,
    alpha: Annotated[
        float, Ge(1e-3), Le(100), Doc("Order: ½ is 4 times the squared Hellinger distance, 2 half a chi-square; not 1.")
    ] = 0.5,
) -> tuple[Array, Array, Second]:
    """One family from the Hellinger distance over KL to chi-square: how much a class counts that the prediction leaves out.

    Use when: a fit shall cover every mode of the target (high orders) or keep to one (low orders).
    Avoid when: alpha is 1 (kl_divergence), which is refused; or rows do not sum to 1, since it takes that for granted.
    See also: renyi_divergence, hellinger_distance, kl_divergence.
    """
    if alpha == 1:
        raise InvalidParameter([Fault(("parameters", "alpha"), "out_of_range", "alpha must not be 1: that is kl_divergence")])
    _, excess, pull = _power_sum(predictions, targets, alpha)
    order = wide(alpha)
    values = excess / (order * (order - 1.0))

    def second() -> Array:
        bend = (pull / np.where(predictions > 0, predictions, 1.0)).high
        return np.where(targets == 0, 0.0, np.where(predictions > 0, bend, np.inf))

    return values.high[:, 0], -(pull / order).high, second


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="½·∑ⱼ |pⱼ − yⱼ|",
    gradient="½·sign(pⱼ − yⱼ)",
    aliases=("tv", "statistical_distance"),
    reference="Gibbs and Su (2002), doi:10.1111/j.1751-5823.2002.tb00178.x",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def total_variation_distance(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """How much probability lies elsewhere: the largest difference in what the two give to any set of classes.

    What picture processing calls total variation, the roughness of an image, is another thing. At a tie the slope is 0.

    Use when: the share of cases that come out otherwise is the question, between 0 and 1.
    Avoid when: a model is trained with it: the slope is the same near the target as far from it.
    See also: hellinger_distance, jensen_shannon_divergence, wasserstein_1d.
    """
    gap = predictions - targets
    return row_sums(np.abs(gap)) / 2.0, sign(gap) / 2.0, lambda: np.zeros_like(gap)


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="h if squared, else √h; h = ½·∑ⱼ (√pⱼ − √yⱼ)²",
    gradient="g if squared, else ½g/ℓ; g = ½(1 − √(yⱼ/pⱼ))",
    symbols={"h": "the squared distance"},
    aliases=("hellinger", alias("squared_hellinger", squared=True), alias("bhattacharyya_coefficient_loss", squared=True)),
    reference="Gibbs and Su (2002), doi:10.1111/j.1751-5823.2002.tb00178.x",
    properties=DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET,
)
def hellinger_distance(
    predictions: Array,
    targets: Array,
    *,
    squared: Annotated[bool, Doc("Whether the square is given, which has a slope at the target.")] = False,
) -> tuple[Array, Array]:
    """The Euclidean distance of the roots of two distributions: between 0 and 1, and gentle where one of them is 0.

    At the target the distance has a corner, where the slope is given as 0.

    Use when: distributions are compared that leave classes out, and a true distance is wanted.
    Avoid when: a model is trained and may start at the target; set squared then.
    See also: total_variation_distance, jensen_shannon_divergence, alpha_divergence.
    """
    root, other = np.sqrt(predictions), np.sqrt(targets)
    both = root + other
    gap = np.divide(predictions - targets, both, out=np.zeros_like(both), where=both > 0)  # √p − √y
    squares = row_sums(gap * gap) / 2.0
    slope = np.where(targets == 0, 0.5, np.where(root > 0, gap / root / 2.0, -np.inf))
    if squared:
        return squares, slope
    distance = np.sqrt(squares)
    some = distance[:, None] > 0
    return distance, np.divide(slope, 2.0 * distance[:, None], out=np.zeros_like(slope), where=some)


def running_gaps(predictions: Array, targets: Array) -> Pair:
    """∑ (p − y) up to each class but the last, with what was rounded off on the way."""
    gap, lost = difference(predictions, targets)
    totals = np.cumsum(gap, axis=1)
    before = np.concatenate((np.zeros((len(gap), 1)), totals[:, :-1]), axis=1)
    errors = np.cumsum(two_sum(before, gap)[1] + lost, axis=1)
    return totals[:, :-1], errors[:, :-1]


def from_the_end(numbers: Array) -> Array:
    """The sums of each number and those after it, with a 0 for the class after the last."""
    sums = np.cumsum(numbers[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate((sums, np.zeros((len(numbers), 1))), axis=1)


@loss(
    predictions=DISTRIBUTION,
    targets=DISTRIBUTION,
    formula="∑_(i < k − 1) |F(i)|; F(i) = ∑_(j ≤ i) (pⱼ − yⱼ)",
    gradient="∑_(i ≥ j) sign(F(i)); F(i) = ∑_(j ≤ i) (pⱼ − yⱼ)",
    symbols={"F": "how much more probability is predicted up to a class"},
    aliases=("wasserstein", "earth_mover", "emd", "earth_movers_distance", alias("squared_emd", squared=True)),
    reference="Levina and Bickel (2001), doi:10.1109/ICCV.2001.937632; squared: Hou, Yu and Samaras (2016), arXiv:1611.05916",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def wasserstein_1d(
    predictions: Array,
    targets: Array,
    *,
    squared: Annotated[bool, Doc("Whether the differences are squared: a smooth slope.")] = False,
) -> tuple[Array, Array]:
    """How far probability has to be moved along classes that are in order, a step from one to the next costing 1.

    At a tie the slope is 0.

    Use when: classes are in order, as grades, ages or bins, and a near miss shall cost less than a far one.
    Avoid when: classes have no order; or the steps between them differ in size.
    See also: total_variation_distance, ranked_probability_score.
    """
    sums = pair_add(running_gaps(predictions, targets), (np.zeros(1), np.zeros(1)))
    if squared:
        return row_sums(sums[0] * sums[0]), 2.0 * from_the_end(sums[0])
    return row_sums(np.abs(sums[0])), from_the_end(sign(sums[0]))
