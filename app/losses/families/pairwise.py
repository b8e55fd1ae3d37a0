"""Losses of the pairs of a list: each pair of items of different grades costs something, by how their scores lie.

Of grades only which is higher counts, unless a loss says more. An item that a shorter list has not has the grade −Infinity and
any score; no pair has it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import GRADES, ITEM_SCORES
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, loss
from app.losses.numerics.lists import ExactSlope, PairCost, count_pairs, over_pairs, own_and_others, present, tiles
from app.losses.numerics.logit import logit, plus, times
from app.losses.numerics.pairs import Pair, constant, difference, pair_add, pair_negative
from app.losses.numerics.rows import row_max, row_sums
from app.losses.numerics.running import exp_of, gap
from app.losses.numerics.stable import Array, sign
from app.losses.numerics.wide import NEAR, Wide, exp, where, wide
from app.registry import alias

DivideBy: TypeAlias = Annotated[
    Literal["pairs", "items", "nothing"],
    Doc(
        'What the sum over a list is divided by: "pairs" by how many it has, by which its mean counts among others, as in Rax; '
        '"items" by how many items it has, as in TensorFlow Ranking; "nothing" by nothing, as in allRank.'
    ),
]
BY_PAIRS = Cost(beyond={"n·k²": 110.0})
SYMBOLS: Mapping[str, str] = {
    "N": "how many pairs it has if divide_by = pairs, how many items if divide_by = items, else 1",
}


def _pairs(targets: Array, *, divide_by: str = "pairs", **_parameters: object) -> Array | None:
    """How many pairs each list has, where lists count by them."""
    return count_pairs(targets) if divide_by == "pairs" else None


def _all_pairs(targets: Array, *, divide_by: str = "pairs", **_parameters: object) -> Array | None:
    """The same, where every two items are a pair, also an item and itself."""
    return present(targets).sum(axis=1).astype(np.float64) ** 2 if divide_by == "pairs" else None


def _divided(
    predictions: Array, targets: Array, divide_by: str, cost: PairCost, exact: ExactSlope | None = None
) -> tuple[Array, Array]:
    total, pulls = over_pairs(predictions, targets, cost, exact)
    if divide_by == "nothing":
        return total, pulls
    many = count_pairs(targets) if divide_by == "pairs" else present(targets).sum(axis=1)
    some = np.maximum(many, 1.0)
    return total / some, pulls / some[:, None]


def _powers(lead: Wide) -> tuple[Wide, Wide, NDArray[np.bool_]]:
    """Of the size x of a lead: e⁻ˣ, tanh(½x), and where x is small."""
    x = abs(lead)
    power = exp(-x)
    half = where(x.high < NEAR, x * (0.5 - x * x * (wide(1.0) / 24.0)), (1.0 - power) / (1.0 + power))
    return power, half, x.high < 0.5


def _logistic_slope(lead: Wide) -> tuple[Array, Wide]:
    """−σ(−x), as −½ + ½·tanh(½x) near 0 and as −1 + σ(x) far below."""
    power, half, near = _powers(lead)
    behind = lead.high < 0
    far, half = power / (1.0 + power), half * 0.5
    rest = where(near, where(behind, -half, half), where(behind, far, -far))
    return np.where(near, -0.5, np.where(behind, -1.0, 0.0)), rest


def _soft_slope(lead: Wide) -> tuple[Array, Wide]:
    """−σ(−x)·σ(x), near 0 as −¼ + ¼·tanh(½x)²."""
    power, half, near = _powers(lead)
    one = 1.0 + power
    return np.where(near, -0.25, 0.0), where(near, half * half * 0.25, -power / (one * one))


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ ∑ⱼ [yᵢ > yⱼ]·softplus(sⱼ − sᵢ)/N",
    gradient="∑ᵢ ([yᵢ > yⱼ]·σ(sⱼ − sᵢ) − [yⱼ > yᵢ]·σ(sᵢ − sⱼ))/N",
    symbols=SYMBOLS,
    aliases=(
        "ranknet",
        "RankNetLoss",
        "pairwise_logistic_loss",
        "PairwiseLogisticLoss",
        alias("rankNet", divide_by="nothing"),
    ),
    reference="Burges et al. (2005), doi:10.1145/1102351.1102363",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    counts=_pairs,
    factors=_pairs,
    cost=BY_PAIRS,
)
def pairwise_logistic(predictions: Array, targets: Array, *, divide_by: DivideBy = "pairs") -> tuple[Array, Array]:
    """The surprise at the order of each pair of a list, if the odds of it are the exponential of how far its score leads.

    Use when: lists have graded items, and all of their order counts, that of the bad ones as of the good.
    Avoid when: only the top of a list is seen: every pair counts alike, wherever it stands (lambda_loss, approx_ndcg).
    See also: bradley_terry, pairwise_hinge, listmle, lambda_loss.
    """

    def cost(lead: Pair, _grades: Pair) -> tuple[Array, Array]:
        behind = logit(pair_negative(lead))
        return behind.softplus, -behind.sigmoid

    return _divided(predictions, targets, divide_by, cost, _logistic_slope)


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ ∑ⱼ [yᵢ > yⱼ]·max(0, m − (sᵢ − sⱼ))/N",
    gradient="∑ᵢ ([yᵢ > yⱼ]·[sᵢ − sⱼ ≤ m] − [yⱼ > yᵢ]·[sⱼ − sᵢ ≤ m])/N",
    symbols=SYMBOLS,
    aliases=("pairwise_hinge_loss", "PairwiseHingeLoss", "ranking_svm"),
    reference="Joachims (2002), doi:10.1145/775047.775067",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    counts=_pairs,
    factors=_pairs,
    cost=BY_PAIRS,
)
def pairwise_hinge(
    predictions: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Le(1e100), Doc("By how much the better item's score shall lead.")] = 1.0,
    divide_by: DivideBy = "pairs",
) -> tuple[Array, Array]:
    """Asks of each pair of a list that the better item leads by a margin, and no more. A pair that just does still pulls.

    Use when: the order of a list shall be right with room to spare, and pairs that are so shall be left alone.
    Avoid when: a curvature is wanted, or some grades are noise: a pair that is far off never stops pulling.
    See also: margin_ranking, pairwise_logistic, pairwise_soft_zero_one.
    """

    def cost(lead: Pair, _grades: Pair) -> tuple[Array, Array]:
        missing = plus(constant(margin), pair_negative(lead))[0]
        return np.maximum(missing, 0.0), np.where(missing >= 0, -1.0, 0.0)  # active at the kink, as margin_ranking

    return _divided(predictions, targets, divide_by, cost)


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ ∑ⱼ [yᵢ > yⱼ]·σ(sⱼ − sᵢ)/N",
    gradient="∑ᵢ ([yᵢ > yⱼ] − [yⱼ > yᵢ])·σ(sⱼ − sᵢ)·σ(sᵢ − sⱼ)/N",
    symbols=SYMBOLS,
    aliases=("pairwise_soft_zero_one_loss", "PairwiseSoftZeroOneLoss"),
    reference="Jagerman et al. (2022), doi:10.1145/3534678.3539065",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    counts=_pairs,
    factors=_pairs,
    cost=BY_PAIRS,
)
def pairwise_soft_zero_one(predictions: Array, targets: Array, *, divide_by: DivideBy = "pairs") -> tuple[Array, Array]:
    """The share of a list's pairs that are in the wrong order, softened by the sigmoid so that it has a slope.

    Use when: some grades are plainly wrong, and no pair shall pull the harder the further off it is.
    Avoid when: training starts from anywhere: a pair that is far off hardly pulls at all (pairwise_logistic).
    See also: pairwise_logistic, pairwise_hinge, label_ranking_loss.
    """

    def cost(lead: Pair, _grades: Pair) -> tuple[Array, Array]:
        behind = logit(pair_negative(lead))
        return behind.sigmoid, -behind.slope

    return _divided(predictions, targets, divide_by, cost, _soft_slope)


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="∑ᵢ ∑ⱼ (sᵢ − sⱼ − (yᵢ − yⱼ))²/N",
    gradient="4·∑ᵢ (sⱼ − sᵢ − (yⱼ − yᵢ))/N",
    symbols=SYMBOLS,
    aliases=("pairwise_mse_loss", "PairwiseMSELoss"),
    reference="Jagerman et al. (2022), doi:10.1145/3534678.3539065",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    counts=_all_pairs,
    factors=_all_pairs,
    cost=BY_PAIRS,
)
def pairwise_mse(predictions: Array, targets: Array, *, divide_by: DivideBy = "pairs") -> tuple[Array, Array]:
    """Brings the distance of each two scores of a list to that of their grades: scores up to a constant.

    Every two items are a pair, in both orders, also those of equal grades, and an item and itself, as in Rax.

    Use when: grades are measured, and how far items are apart counts as well as their order, but not the level of a list.
    Avoid when: grades are stars or ranks, whose distances say little: two items far apart outweigh all others.
    See also: query_rmse, margin_mse, pairwise_quantile.
    """
    there, quarter = present(targets), np.where(present(targets), 0.25 * targets, 0.0)  # quarters do not overflow
    residual = difference(0.25 * predictions, quarter)
    costs, pulls = np.empty_like(predictions), np.empty_like(predictions)
    for own in tiles(predictions.shape):
        mine, theirs = ((part[:, own, None], part[:, None, :]) for part in residual)
        high = 4.0 * pair_add((mine[0], theirs[0]), (-mine[1], -theirs[1]))[0]
        apart = np.where(there[:, own, None] & there[:, None, :], high, 0.0)
        costs[:, own], pulls[:, own] = (apart * apart).sum(axis=2), apart.sum(axis=2)
    many = there.sum(axis=1).astype(np.float64)
    some = {"pairs": many * many, "items": many, "nothing": np.ones_like(many)}[divide_by]
    return row_sums(costs) / some, 4.0 * pulls / some[:, None]


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula=(
        "∑ᵢ ∑ⱼ [yᵢ > yⱼ]·c(i, j)/N; c(i, j) = w(i, j)·u(i, j)² if squared, else w(i, j)·|u(i, j)|; "
        "w(i, j) = τ if u(i, j) ≥ 0, else 1 − τ; u(i, j) = yᵢ − yⱼ − (sᵢ − sⱼ)"
    ),
    gradient=(
        "∑ᵢ ([yᵢ > yⱼ]·h(i, j) − [yⱼ > yᵢ]·h(j, i))/N; "
        "h(i, j) = 2w(i, j)·u(i, j) if squared, w(i, j) if u(i, j) ≥ 0, else −w(i, j)"
    ),
    symbols=SYMBOLS,
    aliases=("pairwise_qr", alias("pairwise_qr_loss", squared=True)),
    reference="Jagerman et al. (2022), doi:10.1145/3534678.3539065",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE,
    counts=_pairs,
    factors=_pairs,
    cost=BY_PAIRS,
)
def pairwise_quantile(
    predictions: Array,
    targets: Array,
    *,
    tau: Annotated[float, Ge(0), Le(1), Doc("What a lead that is too small costs, beside 1 − this for one too large.")] = 0.5,
    squared: Annotated[bool, Doc("Whether distances are squared, as in Rax by default.")] = False,
    divide_by: DivideBy = "pairs",
) -> tuple[Array, Array]:
    """Brings the lead of each better item to that of its grade, with one weight for short leads and one for long ones.

    Where the lead is just right, its slope is that of a short one, as that of `quantile`.

    Use when: leads of grades mean something, and a short lead is worse than a long one, or the other way round.
    Avoid when: only the order counts: pairs in the right order pull as well, where their lead is another.
    See also: quantile, pairwise_mse, pairwise_hinge.
    """

    def cost(lead: Pair, grades: Pair) -> tuple[Array, Array]:
        missing = plus(grades, pair_negative(lead))[0]
        weight = np.where(missing >= 0, tau, 1.0 - tau)
        distance = np.where(weight == 0, 0.0, missing)  # of which nothing is left, however far
        if squared:
            return weight * distance * distance, -2.0 * weight * distance
        return weight * np.abs(distance), np.where(missing >= 0, -weight, weight)

    return _divided(predictions, targets, divide_by, cost)


@loss(
    predictions=ITEM_SCORES,
    targets=GRADES,
    formula="ln(1 + ∑ᵢ ∑ⱼ [yᵢ > yⱼ]·e^(λ(sⱼ − sᵢ)))",
    gradient=("λ·∑ᵢ ([yᵢ > yⱼ]·e^(λ(sⱼ − sᵢ)) − [yⱼ > yᵢ]·e^(λ(sᵢ − sⱼ)))/(1 + z); z = ∑ᵢ ∑ⱼ [yᵢ > yⱼ]·e^(λ(sⱼ − sᵢ))"),
    symbols={"λ": "the scale"},
    aliases=("CoSENTLoss", "cosentence"),
    equals=(equal("sentence_transformers.losses.CoSENTLoss(scale=scale)", caveat="A batch of it is a list here."),),
    reference="Su (2022), https://kexue.fm/archives/8847",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=BY_PAIRS,
)
def cosent(
    predictions: Array,
    targets: Array,
    *,
    scale: Annotated[
        float, Gt(0), Le(1000), Doc("What similarities are multiplied by: how sharply the worst pairs stand out.")
    ] = 20.0,
) -> tuple[Array, Array]:
    """Puts similarities into the order of their labels: the worst placed of all pairs pull, the others hardly.

    Predictions are the similarities of pairs of texts, a list of them what sentence-transformers takes for a batch; only the
    order of the targets counts.

    Use when: pairs of sentences have been given grades of likeness, and embeddings shall be alike in that order.
    Avoid when: grades are to be met as numbers, or lists are long and noisy: one pair in the wrong order decides all.
    See also: pairwise_logistic, cosine_embedding, multi_similarity.
    """
    there = present(targets)

    def behind(own: slice) -> tuple[Array, Pair]:
        """1 where an item is better than the other, −1 where worse; and a quarter of how far the better one is behind."""
        mine, theirs = own_and_others(targets, own)
        order = sign(mine - theirs) * there[:, own, None] * there[:, None, :]
        lead = difference(*own_and_others(0.25 * predictions, own))  # quarters do not overflow
        return order, (-order * lead[0], -order * lead[1])

    highest, lowest = np.empty_like(predictions), np.empty_like(predictions)
    for own in tiles(predictions.shape):
        order, (high, low) = behind(own)
        largest = np.where(order > 0, high, -np.inf).max(axis=2)
        highest[:, own] = largest
        lowest[:, own] = np.where((order > 0) & (high == largest[..., None]), low, -np.inf).max(axis=2)
    top = row_max(highest)
    rest_of_top = np.where(highest == top[:, None], lowest, -np.inf).max(axis=1)
    above = top > 0  # else the 1 is the largest exponential
    shift = np.where(above, top, 0.0)[:, None, None], np.where(above, rest_of_top, 0.0)[:, None, None]
    sums, pulls = np.empty_like(predictions), np.empty_like(predictions)
    for own in tiles(predictions.shape):
        order, lead = behind(own)
        powers = exp_of(times(gap(lead, shift), 4.0 * scale))
        sums[:, own] = np.where(order > 0, powers, 0.0).sum(axis=2)
        pulls[:, own] = np.where(order != 0, -order * powers, 0.0).sum(axis=2)
    rest, (exponent, low) = row_sums(sums), times((shift[0][:, 0, 0], shift[1][:, 0, 0]), 4.0 * scale)
    one = exp_of((-exponent, -low))
    values = np.where(above, exponent + (low + np.log(one + rest)), np.log1p(rest))
    return values, scale * pulls / (one + rest)[:, None]
