"""Losses of an order: which of several scores is to be the greater. Only their differences count."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import GRADES, ITEM_SCORES, LIST_SCORES, REAL, RELEVANCE, SIGN
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, Seconds, loss
from app.losses.numerics.alike import put_near
from app.losses.numerics.cancelling import cancels
from app.losses.numerics.lists import present
from app.losses.numerics.logit import logit, plus, sigmoid_less, times
from app.losses.numerics.means import QUADRATIC
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_multiply,
    pair_negative,
    pair_sum,
    two_sum,
)
from app.losses.numerics.rows import log_softmax_pair, row_sums, softmax_variance
from app.losses.numerics.running import exp_of
from app.losses.numerics.shares import Shares, softmax_cross_entropy
from app.losses.numerics.stable import Array, power_of_two, sigmoid, sigmoid_slope, softplus
from app.registry import alias


@loss(
    predictions={"first": REAL, "second": REAL},
    targets=SIGN,
    formula="max(0, m − y·(a − b))",
    gradient="∂ℓ/∂a = −y if y·(a − b) ≤ m, else 0; ∂ℓ/∂b = y if y·(a − b) ≤ m, else 0",
    symbols={"a": "the first score", "b": "the second score"},
    aliases=("MarginRankingLoss", "margin_ranking_loss"),
    equals=(equal("torch.nn.MarginRankingLoss(margin=margin, reduction=reduction)(first, second, targets)"),),
    reference="Herbrich, Graepel and Obermayer (1999), doi:10.1049/cp:19991091",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def margin_ranking(
    first: Array,
    second: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("How much the score that shall be greater must lead.")] = 0.0,
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Raises the first score above the second where the target is 1, and the second above the first where it is −1.

    Use when: it is known which of two shall come first, as of search results or recommendations, but no score of either.
    Avoid when: whole lists are judged by their top: every pair counts the same, wherever it stands.
    See also: hinge, label_ranking_loss, bradley_terry, ranking_softmax.
    """
    difference, error = two_sum(first, -second)
    total, rest = two_sum(-targets * difference, margin)
    rest = rest - targets * error
    total = total + np.where(np.isfinite(rest), rest, 0.0)  # the sign at the kink is that of the unrounded difference
    slope = np.where(total >= 0, targets, 0.0)  # active at the kink, as in PyTorch
    return np.maximum(total, 0.0), (-slope, slope), lambda: (np.zeros_like(slope), np.zeros_like(slope))


@loss(
    predictions={"winner": REAL, "loser": REAL},
    formula="softplus(m − (a − b))",
    gradient="∂ℓ/∂a = −σ(m − (a − b)); ∂ℓ/∂b = σ(m − (a − b))",
    symbols={"a": "the score of the winner", "b": "the score of the loser"},
    aliases=(
        "bpr",
        "BPR",
        "bayesian_personalized_ranking",
        "PairLogit",
        "pair_logit",
        "reward_model_loss",
        "relativistic_gan",
        "RSGAN",
    ),
    equals=(equal("trl.RewardConfig()", caveat="TRL takes a margin for each pair from a column of the data."),),
    reference="Bradley and Terry (1952), doi:10.2307/2334029",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def bradley_terry(
    winner: Array,
    loser: Array,
    *,
    margin: Annotated[float, Gt(-1e100), Lt(1e100), Doc("By how much the winner's score shall lead.")] = 0.0,
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """The surprise that the winner of a pair won, if the odds are the exponential of how far its score leads.

    Use when: a reward model is trained on comparisons, or items are recommended that were chosen before others.
    Avoid when: a comparison has no noise, so that scores should be apart by a margin and no further.
    See also: margin_ranking, dpo, logistic.
    """
    z = logit(plus(times(difference(0.25 * winner, 0.25 * loser), 4.0), constant(-margin)))  # quarters do not overflow
    pull = (-z).sigmoid
    return (-z).softplus, (-pull, pull), lambda: (z.slope, z.slope)


@loss(
    predictions={"positive": REAL, "negative": REAL},
    targets=REAL,
    formula="(a − b − y)²",
    gradient="∂ℓ/∂a = 2(a − b − y); ∂ℓ/∂b = −2(a − b − y)",
    symbols={"a": "the score of the passage that answers", "b": "the score of the other passage"},
    aliases=("MarginMSELoss", "MarginMSE"),
    equals=(equal("sentence_transformers.losses.MarginMSELoss()"),),
    reference="Hofstätter et al. (2020), arXiv:2010.02666",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def margin_mse(positive: Array, negative: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Brings the lead of one passage over another to that which a stronger model gives it: its margin, not its scores.

    Use when: a small retrieval model learns from a large one, whose scores have another scale or origin.
    Avoid when: nobody has said how large the lead shall be: a margin for all is better had by margin_ranking.
    See also: mean_squared_error, margin_ranking, bradley_terry.
    """
    gap = 4.0 * plus(difference(0.25 * positive, 0.25 * negative), pair(-0.25 * targets))[0]  # quarters do not overflow
    return gap * gap, (2.0 * gap, -2.0 * gap), lambda: (np.full_like(gap, 2.0), np.full_like(gap, 2.0))


@loss(
    predictions=LIST_SCORES,
    targets=RELEVANCE,
    formula="−∑ᵢ yᵢ ln qᵢ; q = softmax(s)",
    gradient="qᵢ·∑ⱼ yⱼ − yᵢ; q = softmax(s)",
    aliases=("ranking_softmax_loss", "softmax_loss"),
    equals=(equal("optax.losses.ranking_softmax_loss(predictions, targets, reduce_fn=None)", reductions=EACH),),
    reference="Bruch et al. (2019), doi:10.1145/3341981.3344221",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def ranking_softmax(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Raises the scores of a list's relevant items above all others, each as much as it is relevant.

    Relevances are weights: twice as large ones make the loss twice as large. An item that a shorter list has not has the
    score −Infinity and the relevance 0.

    Use when: a query has a few relevant documents among many, as clicks among the results that were shown.
    Avoid when: the order among relevant items counts, down to the last: only their shares are learnt.
    See also: listnet, query_softmax, categorical_cross_entropy, margin_ranking.
    """
    scale = power_of_two(row_sums(targets))[:, None]  # exactly; of a large sum, only the product with it may overflow
    values, gradient = softmax_cross_entropy(predictions, Shares.of_rows(targets / scale))
    return values * scale[:, 0], gradient * scale, lambda: row_sums(targets)[:, None] * softmax_variance(predictions)


@loss(
    predictions=LIST_SCORES,
    targets=LIST_SCORES,
    formula="−∑ᵢ zᵢ ln qᵢ; q = softmax(s); z = softmax(y)",
    gradient="qᵢ − zᵢ; q = softmax(s); z = softmax(y)",
    aliases=("list_net", "ListNet", "ListNetLoss", "top_one_listnet"),
    equals=(equal("sentence_transformers.cross_encoder.losses.ListNetLoss()"),),
    reference="Cao et al. (2007), doi:10.1145/1273496.1273513",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def listnet(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """The cross-entropy of two chances of being first: those by the scores of a list, and those by its relevances.

    An item that a shorter list has not has −Infinity for its score and for its relevance.

    Use when: relevances are grades or a teacher's scores, and every item has some chance of being the best.
    Avoid when: relevances are 0 and 1: the softmax of them leaves the irrelevant ones much of the chance.
    See also: ranking_softmax, kl_divergence.
    """
    logarithms = log_softmax_pair(targets)

    def unrounded(rows: NDArray[np.intp]) -> Pair:
        high, low = logarithms
        return pair_exp((high[rows], low[rows]))

    shares = pair_exp(logarithms)[0]
    values, gradient = softmax_cross_entropy(predictions, Shares(shares, unrounded))
    near: NDArray[np.bool_] = ((np.abs(gradient) < NEARLY * shares) & (shares > 0)).any(axis=1)
    if near.any():
        put_near(gradient, near, predictions, targets)
    return values, gradient, lambda: softmax_variance(predictions)


NEARLY = 2.0**-3
"""What is left of a share, beside that of the targets, where the two nearly agree."""


def _relevance(targets: Array, *, divide_by_relevance: bool = False, **_parameters: object) -> Array | None:
    """The relevance of each list, where the mean divides by it."""
    return row_sums(targets) if divide_by_relevance else None


@loss(
    predictions=LIST_SCORES,
    targets=RELEVANCE,
    formula="−∑ᵢ yᵢ ln qᵢ; q = softmax(β·s)",
    gradient="β·(qᵢ·∑ⱼ yⱼ − yᵢ); q = softmax(β·s)",
    aliases=(alias("QuerySoftMax", divide_by_relevance=True),),
    reference="Cao et al. (2007), doi:10.1145/1273496.1273513",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    counts=_relevance,
)
def query_softmax(
    predictions: Array,
    targets: Array,
    *,
    beta: Annotated[float, Gt(0), Le(1000), Doc("What scores are multiplied by before the softmax.")] = 1.0,
    divide_by_relevance: Annotated[
        bool, Doc("Whether the mean divides by the relevance of all items, as CatBoost does, instead of the number of lists.")
    ] = False,
) -> tuple[Array, Array, Second]:
    """As ranking_softmax, with scores multiplied by a factor first, and a mean for each unit of relevance if wanted.

    An item that a shorter list has not has the score −Infinity and the relevance 0.

    Use when: queries differ in how much is relevant to them, and each relevant item shall count alike in the mean.
    Avoid when: every query shall count alike, whatever it has (ranking_softmax).
    See also: ranking_softmax, query_rmse, listnet.
    """
    index = np.arange(len(predictions)), predictions.argmax(axis=1)
    lead = times(difference(0.25 * predictions, 0.25 * predictions[index][:, None]), 4.0 * beta)  # quarters do not overflow
    powers = exp_of(lead)
    powers[index] = 0.0
    rest = row_sums(powers)
    others = targets.copy()
    others[index] = 0.0
    relevance, remaining = row_sums(targets), row_sums(others)
    values = row_sums(np.where(others > 0, -others * lead[0], 0.0)) + relevance * np.log1p(rest)
    gradient = (powers / (1.0 + rest)[:, None]) * relevance[:, None] - targets
    gradient[index] = (remaining - targets[index] * rest) / (1.0 + rest)
    near: NDArray[np.bool_] = ((np.abs(gradient) < NEARLY * relevance[:, None]) & (targets > 0)).any(axis=1)
    if near.any():
        _put_less_targets(gradient, near, (lead[0][near], lead[1][near]), targets[near])

    def second() -> Array:
        share = powers / (1.0 + rest)[:, None]
        bend = share * (1.0 - share)
        bend[index] = rest / np.square(1.0 + rest)
        return beta * (beta * (relevance[:, None] * bend))

    return values, beta * gradient, second


def _put_less_targets(gradient: Array, rows: NDArray[np.bool_], lead: Pair, targets: Array) -> None:
    """Put p·∑y − y of the softmax p in place of some rows, from logits less the largest; of that, minus all the others'."""
    powers, y = pair_exp(lead), pair(targets)
    total = pair_sum(powers)
    high, low = pair_add(pair_multiply(powers, pair_sum(y)), pair_negative(pair_multiply(y, total)))
    top = np.arange(len(targets)), lead[0].argmax(axis=1)
    high[top] = low[top] = 0.0
    others = pair_sum((high, low))
    high[top] = -others[0][:, 0]
    better = high / total[0]
    gradient[rows] = np.where(np.isfinite(better), better, gradient[rows])


def _items(targets: Array, **_parameters: object) -> Array:
    """How many items each list has."""
    return present(targets).sum(axis=1).astype(np.float64)


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="√(∑ᵢ (sᵢ − yᵢ − c)²/k)",
    gradient="(sᵢ − yᵢ − c)/(k·ℓ) if ℓ ≠ 0, else 0",
    symbols={"c": "the mean of s − y over the list", "k": "how many items the list has"},
    aliases=("QueryRMSE",),
    reference="Gulin, Kuralenok and Pavlov (2011), https://proceedings.mlr.press/v14/gulin11a.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    mean=QUADRATIC,
    counts=_items,
    factors=_items,
    cost=IN_PAIRS,
)
def query_rmse(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """The root mean squared error within each list, after the shift of its scores that fits best: levels are free.

    The mean is the root of that of all items' squares, as in CatBoost. The gradient is 0 where a list fits.

    Use when: grades of one query are to be met as numbers, and queries differ in level, as answers to hard and easy questions.
    Avoid when: only the order of a list counts, or scores are compared across lists (root_mean_squared_error).
    See also: root_mean_squared_error, pairwise_mse, query_softmax.
    """
    there = present(targets)
    unit = power_of_two(np.maximum(np.abs(predictions), np.where(there, np.abs(targets), 0.0)).max(axis=1, keepdims=True))
    high, low = difference(predictions / unit, np.where(there, targets, 0.0) / unit)
    residual = np.where(there, high, 0.0), np.where(there, low, 0.0)
    items = there.sum(axis=1, keepdims=True).astype(np.float64)
    shift = pair_divide(pair_sum(residual), pair(items))
    apart = np.where(there, pair_add(residual, pair_negative(shift))[0], 0.0)
    largest = power_of_two(np.abs(apart).max(axis=1, keepdims=True))
    scaled = apart / largest
    root = np.sqrt(row_sums(scaled * scaled)[:, None] / items)
    values = root * largest * unit
    return values[:, 0], scaled / np.where(root > 0, root, 1.0) / items


def _of_items(targets: Array, *, divide_by_items: bool = True, **_parameters: object) -> Array | None:
    """How many items each list has, where lists count by them."""
    return _items(targets) if divide_by_items else None


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ (softplus(sᵢ) − min(1, max(0, yᵢ))·sᵢ)/N",
    gradient="(σ(sᵢ) − min(1, max(0, yᵢ)))/N",
    symbols={"N": "how many items the list has if divide_by_items, else 1"},
    aliases=("pointwise_sigmoid_loss", "SigmoidCrossEntropyLoss", "pointwise"),
    reference="Jagerman et al. (2022), doi:10.1145/3534678.3539065",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    counts=_of_items,
    factors=_of_items,
)
def pointwise_sigmoid(
    predictions: Array,
    targets: Array,
    *,
    divide_by_items: Annotated[
        bool, Doc("Whether the loss of a list is divided by how many items it has, by which its mean counts among others.")
    ] = True,
) -> tuple[Array, Array, Second]:
    """Asks of each item by itself whether it is relevant: the cross-entropy of the sigmoid of its score, from grade 1 on.

    Grades between 0 and 1 are chances to be relevant. An item that a shorter list has not has the grade −Infinity.

    Use when: scores shall mean something by themselves, as the chance of a click, whatever stands beside an item.
    Avoid when: only the order within a list counts: nothing is learnt from which of two items is the better.
    See also: binary_cross_entropy, pairwise_logistic, ranking_softmax.
    """
    there, relevant = present(targets), np.clip(targets, 0.0, 1.0)
    many = np.where(divide_by_items, there.sum(axis=1), 1.0)
    costs = relevant * softplus(-predictions) + (1.0 - relevant) * softplus(predictions)
    up, down = (1.0 - relevant) * sigmoid(predictions), relevant * sigmoid(-predictions)
    pulls = up - down
    close = cancels(pulls, up)
    if close.any():
        pulls[close] = sigmoid_less(predictions[close], relevant[close])
    values, gradient = row_sums(np.where(there, costs, 0.0)) / many, np.where(there, pulls, 0.0) / many[:, None]
    return values, gradient, lambda: np.where(there, sigmoid_slope(predictions), 0.0) / many[:, None]
