"""Losses of an order: which of several scores is to be the greater. Only their differences count."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.encodings import LIST_SCORES, REAL, RELEVANCE, SIGN
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Seconds, loss
from app.losses.numerics.logit import logit, plus, times
from app.losses.numerics.pairs import Pair, constant, difference, pair, pair_exp, two_sum
from app.losses.numerics.rows import log_softmax_pair, row_sums
from app.losses.numerics.shares import Shares, softmax_cross_entropy
from app.losses.numerics.stable import Array, power_of_two


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
    aliases=("bpr", "BPR", "bayesian_personalized_ranking", "PairLogit", "pair_logit", "reward_model_loss"),
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
    aliases=("ranking_softmax_loss", "softmax_loss", "QuerySoftMax"),
    equals=(equal("optax.losses.ranking_softmax_loss(predictions, targets, reduce_fn=None)", reductions=EACH),),
    reference="Bruch et al. (2019), doi:10.1145/3341981.3344221",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def ranking_softmax(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Raises the scores of a list's relevant items above all others, each as much as it is relevant.

    Relevances are weights: twice as large ones make the loss twice as large. An item that a shorter list has not has the
    score −Infinity and the relevance 0.

    Use when: a query has a few relevant documents among many, as clicks among the results that were shown.
    Avoid when: the order among relevant items counts, down to the last: only their shares are learnt.
    See also: listnet, categorical_cross_entropy, margin_ranking.
    """
    scale = power_of_two(row_sums(targets))[:, None]  # exactly; of a large sum, only the product with it may overflow
    values, gradient = softmax_cross_entropy(predictions, Shares.of_rows(targets / scale))
    return values * scale[:, 0], gradient * scale


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
def listnet(predictions: Array, targets: Array) -> tuple[Array, Array]:
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

    return softmax_cross_entropy(predictions, Shares(pair_exp(logarithms)[0], unrounded))
