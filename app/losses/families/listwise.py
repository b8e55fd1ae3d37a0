"""Losses of a whole list: of the order of its items, and of how good that order is, the top before all.

Targets are grades, or what items are worth. An item that a shorter list has not has −Infinity there and any score; it changes
nothing.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.losses.cost import Cost
from app.losses.encodings import GAINS, GRADES, ITEM_SCORES
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, loss
from app.losses.numerics.lists import (
    best_dcg,
    gains_of,
    own_and_others,
    places,
    present,
    surprise_before,
    tiles,
)
from app.losses.numerics.logit import logit, times
from app.losses.numerics.pairs import difference
from app.losses.numerics.rows import row_sums
from app.losses.numerics.soft_order import best_gain, exact_gains, neural_sort, pulls_of_ranks, soft_ranks
from app.losses.numerics.stable import LOG_2, Array
from app.losses.numerics.wide import Wide, log, where, wide
from app.registry import alias

BY_ITEMS = Cost(beyond={"n·k²": 110.0})
BY_SOFT_PLACES = Cost(beyond={"n·k²": 450.0})
Temperature: TypeAlias = Annotated[
    float, Gt(0), Le(1e6), Doc("Differences of scores are divided by it: the smaller, the nearer to true places.")
]
ByItems: TypeAlias = Annotated[
    bool, Doc("Whether the loss of a list is divided by how many items it has, as in TensorFlow Ranking.")
]
_AFTER: Mapping[str, str] = {
    "A": "those that come after an item where grades are sorted, the highest first, and itself",
    "l": "one of these",
}


def _of_items(total: Array, pulls: Array, targets: Array, divide: bool) -> tuple[Array, Array]:
    items = present(targets).sum(axis=1) if divide else np.ones(len(targets))
    return total / items, pulls / items[:, None]


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ (ln ∑_(j ∈ Aᵢ) exp sⱼ − sᵢ)/N",
    gradient="(∑ᵢ [j ∈ Aᵢ]·exp sⱼ/∑_(l ∈ Aᵢ) exp sₗ − 1)/N",
    symbols={**_AFTER, "N": "how many items the list has if divide_by_items, else 1"},
    aliases=("list_mle", "ListMLELoss", "listMLE", "listmle_loss", "plackett_luce"),
    reference="Xia et al. (2008), doi:10.1145/1390156.1390306",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=BY_ITEMS,
)
def listmle(predictions: Array, targets: Array, *, divide_by_items: ByItems = False) -> tuple[Array, Array]:
    """The surprise at the order of a list, if items are drawn one after the other with chances by their scores.

    That is the model of Plackett and Luce. Items of one grade come in the order in which they stand.

    Use when: whole orders are known, as of runners or of items that people sorted.
    Avoid when: many items have the same grade: they are given an order that nobody meant (unique_softmax, pairwise_logistic).
    See also: p_listmle, listnet, pairwise_logistic, unique_softmax.
    """
    there = present(targets)
    total, pulls = surprise_before(predictions, places(targets), np.ones_like(predictions), there)
    return _of_items(total, pulls, targets, divide_by_items)


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ wᵢ·(ln ∑_(j ∈ Aᵢ) exp sⱼ − sᵢ)/W; W = ∑ᵢ wᵢ if relative, else 1",
    gradient="(∑ᵢ wᵢ·[j ∈ Aᵢ]·exp sⱼ/∑_(l ∈ Aᵢ) exp sₗ − wⱼ)/W",
    symbols={**_AFTER, "w": "2 to the power of how many come from an item on, less 1"},
    aliases=("PListMLELoss", "position_aware_listmle"),
    reference="Lan et al. (2014), https://auai.org/uai2014/proceedings/individuals/164.pdf",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=BY_ITEMS,
)
def p_listmle(
    predictions: Array,
    targets: Array,
    *,
    relative: Annotated[bool, Doc("Whether the weights of a list's places are divided by their sum.")] = False,
) -> tuple[Array, Array]:
    """As listmle, with twice the weight for each place further up: an error at the top costs most.

    Of a list with k items the first place weighs 2ᵏ − 1, the last one 1, unless they are relative.

    Use when: whole orders are known, and their first few places are what is seen.
    Avoid when: lists are longer than a few dozen items: all but the top then weighs nothing at all.
    See also: listmle, approx_ndcg, lambda_loss.
    """
    there, order = present(targets), places(targets)
    items = there.sum(axis=1, keepdims=True)
    left = np.where(there, items - order, 0.0)  # from this place on
    whole = np.maximum(items, 1) if relative else np.zeros_like(items)
    weights = np.exp2(np.minimum(left - whole, 1023.0)) - np.exp2(-1.0 * whole)
    if relative:
        weights = weights / row_sums(np.where(there, weights, 0.0))[:, None]
    total, pulls = surprise_before(predictions, order, weights, there)
    return total, pulls


@loss(
    predictions=ITEM_SCORES,
    targets=GAINS,
    formula="∑ᵢ (e^(yᵢ·ln 2) − 1)·ln(1 + ∑ⱼ [yⱼ < yᵢ]·e^(sⱼ − sᵢ))",
    gradient=(
        "∑ᵢ [yⱼ < yᵢ]·(e^(yᵢ·ln 2) − 1)·e^(sⱼ − sᵢ)/z(i, 0) − (e^(yⱼ·ln 2) − 1)·(1 − 1/z(j, 0)); "
        "z(a, b) = 1 + ∑ₗ [yₗ < yₐ]·e^(sₗ − sₐ)"
    ),
    symbols={"l": "counts the items as well", "b": "nothing", "a": "an item"},
    aliases=("unique_softmax_loss", "UniqueSoftmaxLoss"),
    reference="Zhu and Klabjan (2020), doi:10.1145/3336191.3371814",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=BY_ITEMS,
)
def unique_softmax(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Each item's surprise to be the best among itself and all that are worse, weighed by what it is worth.

    Items of one grade do not compete.

    Use when: grades are few, from bad to perfect, and many items share one.
    Avoid when: only one item is relevant, where it is a softmax with another name (ranking_softmax).
    See also: ranking_softmax, listmle, pairwise_logistic.
    """
    total, pulls = surprise_before(predictions, -targets, gains_of(targets), present(targets))
    return total, pulls


@loss(
    predictions=ITEM_SCORES,
    targets=GAINS,
    formula="−∑ᵢ (e^(yᵢ·ln 2) − 1)/ln(1 + rᵢ)/M; rᵢ = 1 + ∑_(j ≠ i) σ((sⱼ − sᵢ)/τ)",
    gradient=(
        "∑_(i ≠ j) (c(i, 0) − c(j, 0))·σ((sᵢ − sⱼ)/τ)·σ((sⱼ − sᵢ)/τ)/τ; c(a, b) = (e^(yₐ·ln 2) − 1)/(M·(1 + rₐ)·ln(1 + rₐ)²)"
    ),
    symbols={
        "M": "the sum of (2^y − 1)/ln(1 + place) of the items in their best order",
        "r": "the place of an item, from 1, softened",
        "a": "an item",
        "b": "nothing",
    },
    aliases=(alias("ApproxNDCGLoss", temperature=0.1), "approxNDCGLoss", "approx_ndcg_loss"),
    reference="Qin, Liu and Li (2010), doi:10.1007/s10791-009-9124-x",
    properties=DIFFERENTIABLE | SMOOTH | BOUNDED_GRADIENT,
    cost=BY_SOFT_PLACES,
)
def approx_ndcg(predictions: Array, targets: Array, *, temperature: Temperature = 1.0) -> tuple[Array, Array]:
    """Minus the discounted gain of a list beside that of its best order, with places softened so that they have a slope.

    The gain of an item of grade y is 2ʸ − 1. A list without an item above 0 has the loss 0.

    Use when: NDCG is what is judged in the end, and lists have several grades.
    Avoid when: training starts from anywhere: places far off hardly pull (lambda_loss, listnet).
    See also: neural_ndcg, lambda_loss, approx_mrr.
    """
    there, gains = present(targets), gains_of(targets)
    best = best_dcg(gains)
    gains = np.where(best[:, None] > 0, gains / np.where(best > 0, best, 1.0)[:, None], 0.0)
    ranks = soft_ranks(predictions, there, temperature)
    discount = np.log2(1.0 + ranks)
    slopes = gains / (LOG_2 * (1.0 + ranks) * discount * discount)

    def exactly(lists: NDArray[np.intp], ranks: Wide) -> Wide:
        return exact_gains(targets[lists]) / best_gain(targets[lists]) / ((1.0 + ranks) * log(1.0 + ranks) ** 2)

    return -row_sums(gains / discount), pulls_of_ranks(predictions, there, temperature, slopes, exactly)


@loss(
    predictions=ITEM_SCORES,
    targets=GAINS,
    formula="−∑ᵢ yᵢ/rᵢ/∑ᵢ yᵢ; rᵢ = 1 + ∑_(j ≠ i) σ((sⱼ − sᵢ)/τ)",
    gradient="∑_(i ≠ j) (yᵢ/rᵢ² − yⱼ/rⱼ²)·σ((sᵢ − sⱼ)/τ)·σ((sⱼ − sᵢ)/τ)/τ/∑ᵢ yᵢ",
    symbols={"r": "the place of an item, from 1, softened"},
    aliases=("ApproxMRRLoss", "approx_mrr_loss"),
    reference="Qin, Liu and Li (2010), doi:10.1007/s10791-009-9124-x",
    properties=DIFFERENTIABLE | SMOOTH | BOUNDED_GRADIENT,
    cost=BY_SOFT_PLACES,
)
def approx_mrr(predictions: Array, targets: Array, *, temperature: Temperature = 0.1) -> tuple[Array, Array]:
    """Minus the mean of 1/place of the relevant items of a list, with places softened so that they have a slope.

    Relevances are weights of that mean. A list without a relevant item has the loss 0.

    Use when: one right answer is looked for, such as a page or a passage, and how far up it stands is judged.
    Avoid when: several grades are to be told apart (approx_ndcg), or training starts from anywhere: far places hardly pull.
    See also: approx_ndcg, ranking_softmax, pairwise_soft_zero_one.
    """
    there = present(targets)
    worth = np.where(there, targets, 0.0)
    whole = row_sums(worth)
    shares = worth / np.where(whole > 0, whole, 1.0)[:, None]
    ranks = soft_ranks(predictions, there, temperature)
    slopes = shares / (ranks * ranks)

    def exactly(lists: NDArray[np.intp], ranks: Wide) -> Wide:
        total = wide(worth[lists]).sum()
        return worth[lists] / where(total.high > 0, total, 1.0) / (ranks * ranks)

    return -row_sums(shares / ranks), pulls_of_ranks(predictions, there, temperature, slopes, exactly)


Scheme: TypeAlias = Literal["ranknet", "ndcg_loss1", "ndcg_loss2", "lambda_rank", "ndcg_loss2++"]


@loss(
    predictions=ITEM_SCORES,
    targets=GAINS,
    formula="∑ᵢ ∑ⱼ w(i, j)·softplus(c(sⱼ − sᵢ))/b",
    gradient="c·∑ᵢ (w(i, j)·σ(c(sⱼ − sᵢ)) − w(j, i)·σ(c(sᵢ − sⱼ)))/b",
    symbols={
        "w": "what a pair weighs, by the scheme: 0 unless the first has the higher grade, but for ndcg_loss1",
        "c": "sigma",
        "b": "ln 2 if the logarithm is binary, else 1",
    },
    aliases=(
        "lambdaLoss",
        "LambdaLoss",
        alias("lambdarank", scheme="lambda_rank"),
        alias("ndcgLoss1", scheme="ndcg_loss1"),
        alias("ndcgLoss2", scheme="ndcg_loss2"),
    ),
    reference="Wang et al. (2018), doi:10.1145/3269206.3271784",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=Cost(beyond={"n·k²": 160.0}),
)
def lambda_loss(
    predictions: Array,
    targets: Array,
    *,
    scheme: Annotated[
        Scheme,
        Doc(
            'What a pair weighs: "lambda_rank" what NDCG changes if the two are exchanged, "ndcg_loss2" a tighter bound of it, '
            '"ndcg_loss2++" both, "ndcg_loss1" the gain of the first over its place, "ranknet" 1.'
        ),
    ] = "ndcg_loss2++",
    sigma: Annotated[float, Gt(0), Le(1000), Doc("What differences of scores are multiplied by.")] = 1.0,
    mu: Annotated[float, Ge(0), Le(1e6), Doc("What ndcg_loss2 weighs beside lambda_rank in ndcg_loss2++.")] = 10.0,
    top: Annotated[Annotated[int, Ge(1)] | None, Doc("How many places count, from the first; null: all.")] = None,
    binary_logarithm: Annotated[bool, Doc("Whether the logarithm is that to base 2, as in allRank.")] = True,
) -> tuple[Array, Array]:
    """Pairs of a list in the wrong order, each by what NDCG would gain if they were exchanged.

    Places are those that the scores give, and their weights have no slope. It is an upper bound of the NDCG that is missing.

    Use when: NDCG is judged in the end and a model is trained from anywhere: pairs far off pull as hard as those that are near.
    Avoid when: lists are long: every pair costs work, and those far down the list weigh next to nothing.
    See also: pairwise_logistic, approx_ndcg, neural_ndcg, p_listmle.
    """
    there, gains = present(targets), gains_of(targets)
    best = best_dcg(gains)
    unit = 1.0 / LOG_2 if binary_logarithm else 1.0
    place = places(np.where(there, predictions, -np.inf))
    worth, best = np.where(there, targets, 0.0), np.where(best > 0, best, np.inf)[:, None]
    weigh = _Weights(gains / best, worth, best, place, scheme, mu)
    counted = there if top is None else there & (place < top)
    costs, pulls = np.empty_like(predictions), np.empty_like(predictions)
    for own in tiles(predictions.shape):
        mine, theirs = own_and_others(targets, own)
        both = counted[:, own, None] & counted[:, None, :]
        here, across = weigh(own)
        if scheme != "ndcg_loss1":
            here, across = here * (mine > theirs), across * (theirs > mine)
        here, across = np.where(both, here, 0.0), np.where(both, across, 0.0)
        behind = logit(times(difference(*reversed(own_and_others(0.25 * predictions, own))), 4.0 * sigma))
        costs[:, own] = np.where(here > 0, here * behind.softplus, 0.0).sum(axis=2)
        pulls[:, own] = (across * (-behind).sigmoid - here * behind.sigmoid).sum(axis=2)
    return unit * row_sums(costs), unit * sigma * pulls


class _Weights(NamedTuple):
    """What pairs weigh, the first item being some of a list (n, a, k) and the second all, or the other way round."""

    gains: Array
    """(n, k): over that of the best order."""
    grades: Array
    """(n, k): 0 for an item that is not there."""
    best: Array
    """(n, 1): the gain of the best order, infinite where it is 0."""
    place: Array
    """(n, k): from 0, by the scores."""
    scheme: Scheme
    mu: float

    def __call__(self, own: slice) -> tuple[Array, Array]:
        gains, (here, there) = own_and_others(self.gains, own), own_and_others(self.place, own)
        ones = np.ones_like(gains[0] - gains[1])
        if self.scheme == "ranknet":
            return ones, ones
        if self.scheme == "ndcg_loss1":
            return ones * (gains[0] / np.log2(2.0 + here)), ones * (gains[1] / np.log2(2.0 + there))
        apart, change = np.abs(here - there), np.abs(gains[0] - gains[1])
        grades = own_and_others(self.grades, own)
        nearly = np.abs(grades[0] - grades[1])  # of what is nearly worth the same, 2^a − 2^b is 2^b·(2^(a − b) − 1)
        less = np.exp2(np.minimum(*grades)) / self.best[..., None]
        change = np.where(nearly < 1.0, np.expm1(np.minimum(nearly, 1.0) * LOG_2) * less, change)
        # 1/log₂(1 + d) − 1/log₂(2 + d) of places that are d apart, as of one quotient
        far = np.maximum(apart, 1.0)
        tighter = np.log1p(1.0 / (1.0 + far)) / LOG_2 / (np.log2(1.0 + far) * np.log2(2.0 + far))
        low, high = np.minimum(here, there), np.maximum(here, there)
        exchanged = np.log1p((high - low) / (2.0 + low)) / LOG_2 / (np.log2(2.0 + low) * np.log2(2.0 + high))
        of_scheme = {"ndcg_loss2": (1.0, 0.0), "lambda_rank": (0.0, 1.0)}.get(self.scheme, (self.mu, 1.0))
        weight = change * (of_scheme[0] * tighter + of_scheme[1] * exchanged)
        return weight, weight


@loss(
    predictions=ITEM_SCORES,
    targets=GAINS,
    formula="−∑ᵢ ∑ⱼ P(i, j)·(e^(yⱼ·ln 2) − 1)/ln(2 + i)/M",
    gradient=(
        "∑ᵢ (Q(i, j)·(k − 1 − 2i) − ∑ₗ (Q(i, j) + Q(i, l))·sign(sⱼ − sₗ))/τ; "
        "Q(i, j) = P(i, j)·(∑ₗ P(i, l)·(e^(yₗ·ln 2) − 1) − e^(yⱼ·ln 2) + 1)/(M·ln(2 + i))"
    ),
    symbols={
        "M": "the sum of (2^y − 1)/ln(1 + place) of the items in their best order",
        "P": "at a place, counted from 0, what an item has of it: the softmax of ((k − 1 − 2i)·sⱼ − ∑ₗ |sⱼ − sₗ|)/τ",
        "l": "counts the items as well",
        "k": "how many items the list has",
    },
    aliases=("neuralNDCG", "neural_sort_ndcg"),
    reference="Pobrotyn and Białobrzeski (2021), arXiv:2102.07831",
    properties=DIFFERENTIABLE | BOUNDED_GRADIENT,
    cost=Cost(beyond={"n·k²": 500.0}),
)
def neural_ndcg(predictions: Array, targets: Array, *, temperature: Temperature = 1.0) -> tuple[Array, Array]:
    """Minus the discounted gain of a list beside that of its best order, sorted by NeuralSort: each place holds a mixture.

    The mixtures of the places are those of Grover et al. (2019), not scaled so that each item has one place in all.

    Use when: NDCG is what is judged in the end, and all places of a list shall learn from all items at once.
    Avoid when: lists are long, or scores often tie: work grows with the square of a list, and mixtures blur.
    See also: approx_ndcg, lambda_loss, listmle.
    """
    values, slopes = neural_sort(predictions, targets, temperature)
    return -values, -slopes
