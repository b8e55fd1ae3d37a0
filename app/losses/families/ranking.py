"""Losses of an order: which of several scores is to be the greater. Only their differences count."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from app.libraries import equal
from app.losses.encodings import REAL, SIGN
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Seconds, loss
from app.losses.numerics.logit import logit, plus, times
from app.losses.numerics.pairs import constant, difference, pair, two_sum
from app.losses.numerics.stable import Array


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
    See also: hinge, label_ranking_loss, bradley_terry.
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
