"""Losses of a batch whose samples have identities, by how far all are apart: those of one identity near, all others far.

A sample of which the batch has no other, or none of another identity, may have nothing to learn: its loss is 0, and where
the loss says so it does not count.
"""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import EMBEDDING, GROUP
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, Pullback, loss
from app.losses.numerics.pairs import (
    Pair,
    constant,
    either,
    pair_add,
    pair_multiply,
    two_sum,
)
from app.losses.numerics.products import PAIRS_KEPT, tiles
from app.losses.numerics.running import exp_of, gap
from app.losses.numerics.similarities import Distances, Share, share_of, vectors
from app.losses.numerics.small_batches import all_of, powers_of, pulls_apart, small, turned
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, exp, log, where, wide
from app.registry import alias


def _pairs_alike(targets: NDArray[np.int64], **_parameters: object) -> Array:
    """How many other samples of its identity each has."""
    _, inverse, sizes = np.unique(targets, return_inverse=True, return_counts=True)
    return (sizes[inverse] - 1).astype(np.float64)


def _sides(targets: NDArray[np.int64], rows: slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples are of the identity of some rows, these themselves left out, and which are not."""
    same = targets[rows, None] == targets
    numbers = np.arange(targets.size, dtype=np.int64)
    return same & (numbers[rows, None] != numbers), ~same


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula="½·mean_(j ∈ P) max(0, dⱼ + ln(∑_(l ∈ N) e^(m − dₗ) + ∑_(l ∈ N) e^(m − b(j, l))))²",
    gradient=("∂ℓ/∂dⱼ = hⱼ if j ∈ P, else −∑_(i ∈ P) hᵢ·e^(m − dⱼ)/(∑_(l ∈ N) e^(m − dₗ) + ∑_(l ∈ N) e^(m − b(i, l)))"),
    symbols={
        "d": "the distance of the sample from another",
        "b": "the distance of two others",
        "h": "what is in the maximum, over how many P are",
        "P": "the other samples of its identity",
        "N": "the samples of other identities",
        "l": "one of these",
    },
    aliases=("LiftedStructureLoss", "lifted_struct_loss", "LiftedStructLoss", "lifted_structured"),
    equals=(
        equal("tensorflow_addons.losses.LiftedStructLoss(margin=margin)(targets, predictions)"),
        equal(
            "pytorch_metric_learning.losses.LiftedStructureLoss(neg_margin=margin)(predictions, targets)",
            encodings={"predictions": "unit"},
            differs_at=("gradient",),
            caveat="It makes vectors as long as 1 first: the same for those that are, but for the gradient.",
        ),
    ),
    reference="Oh Song et al. (2016), doi:10.1109/CVPR.2016.434",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    counts=_pairs_alike,
    factors=_pairs_alike,
    cost=Cost(beyond={"n²": 500.0, "n²·d": 4.0}),
)
def lifted_structure(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    margin: Annotated[float, Ge(0), Le(1e6), Doc("How far samples of other identities shall be farther off.")] = 1.0,
) -> tuple[Array, Pullback]:
    """Draws each pair of one identity together against all samples of others that are near to either of the two.

    A sample's loss is the mean over its pairs, and the mean of the batch that over all pairs. Vectors are taken as long as
    they are.

    Use when: batches hold a few samples of many identities, and the nearest of all others shall push.
    Avoid when: identities have many samples: the work grows with all pairs, and each pulls by itself (supervised_contrastive).
    See also: triplet_margin, batch_all_triplet, multi_similarity, circle.
    """
    n, apart = len(predictions), Distances(vectors(predictions))
    blocks = tiles(n, n)

    def room(rows: slice) -> Share:
        high, low = apart.tile(rows)
        return share_of(pair_add(constant(margin), (-high, -low)), _sides(targets, rows)[1])

    tops, totals = (np.empty(n), np.empty(n)), np.empty(n)
    for rows in blocks:
        tops[0][rows], tops[1][rows] = (nearby := room(rows)).largest
        totals[rows] = nearby.total
    many = np.maximum(_pairs_alike(targets), 1.0)

    def over(rows: slice) -> tuple[Array, Array]:
        """How much is in the maximum of each pair (a, n), and the share of the row's own others in its logarithm."""
        own, other = (tops[0][rows, None], tops[1][rows, None]), (tops[0][None, :], tops[1][None, :])
        first = own[0] >= other[0]
        top = either(first, own, other)
        here, there = (exp_of(gap(item, top)) * total for item, total in ((own, totals[rows, None]), (other, totals)))
        sums = here + there
        some = _sides(targets, rows)[0] & (sums > 0)
        log = np.log(np.where(some, sums, 1.0))
        excess = pair_add(pair_add(apart.tile(rows), top), (log, np.zeros_like(log)))[0]
        return np.where(some, np.maximum(excess, 0.0), 0.0), np.where(some, here / np.where(some, sums, 1.0), 0.0)

    values = np.concatenate([(np.square(over(rows)[0])).sum(axis=1) for rows in blocks]) / (2.0 * many)

    def exactly(weights: Array) -> Wide:
        distance, (same, other) = all_of(apart), _sides(targets, slice(None))
        nearby = powers_of(margin - distance, other)
        some = same & (nearby.total.high > 0) & (nearby.total.high.T > 0)
        ahead = nearby.largest - turned(nearby.largest)
        first, power = ahead.high >= 0, exp(-abs(ahead))
        here, there = nearby.total * where(first, 1.0, power), turned(nearby.total) * where(first, power, 1.0)
        sums = where(some, here + there, 1.0)
        share = where(some, here / sums, 0.0)
        excess = where(some, distance + where(first, nearby.largest, turned(nearby.largest)) + log(sums), 0.0)
        excess = where(excess.high > 0, excess, 0.0)
        pulls = wide(weights)[:, None] / many[:, None]
        return pulls * excess - ((pulls + turned(pulls)) * excess * share).sum() * nearby.shares

    def pullback(weights: Array) -> Array:
        if small(n, n):
            return pulls_apart(apart, exactly(weights))
        pulls = weights / many

        def slopes(rows: slice) -> Array:
            excess, share = over(rows)
            pushed = ((pulls[rows, None] + pulls) * excess * share).sum(axis=1, keepdims=True)
            return pulls[rows, None] * excess - pushed * room(rows).shares

        return apart.pulls(slopes)

    return values, pullback


def _triplets(targets: NDArray[np.int64], *, mining: str = "all", **_parameters: object) -> Array:
    """How many triplets count of which each sample is the anchor."""
    alike = _pairs_alike(targets)
    triplets = alike * (targets.size - 1.0 - alike)
    return np.minimum(triplets, 1.0) if mining == "hardest" else triplets


def _running(x: Pair) -> Pair:
    """0 and the sums of the first so many, unrounded."""
    high = np.concatenate((np.zeros(1), np.cumsum(x[0])))
    errors = two_sum(high[:-1], x[0])[1] + x[1]
    return high, np.concatenate((np.zeros(1), np.cumsum(errors)))


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula=(
        "max(0, max_(j ∈ P) dⱼ − min_(l ∈ N) dₗ + m) if mining = hardest, else mean_(j ∈ P) mean_(l ∈ N) a·max(0, dⱼ − dₗ + m)"
    ),
    gradient=(
        "∂ℓ/∂dⱼ = [j = b]·h − [j = c]·h if mining = hardest, a·mean_(l ∈ N) [dⱼ − dₗ + m ≥ 0]/|P| if j ∈ P, "
        "else −a·mean_(l ∈ P) [dₗ − dⱼ + m ≥ 0]/|N|"
    ),
    symbols={
        "d": "the distance of the sample from another",
        "P": "the other samples of its identity",
        "N": "the samples of other identities",
        "l": "one of these",
        "a": "1, or where only active triplets count, how many there are in the batch for each that is",
        "b": "the sample of P that is farthest off",
        "c": "the sample of N that is nearest",
        "h": "1 if ℓ ≥ 0 before its maximum, else 0",
    },
    aliases=(
        "BatchAllTripletLoss",
        "triplet_all",
        alias("batch_hard", mining="hardest"),
        alias("TripletHardLoss", mining="hardest"),
        alias("BatchHardTripletLoss", mining="hardest"),
    ),
    equals=(
        equal(
            "pytorch_metric_learning.losses.TripletMarginLoss(margin=margin)(predictions, targets)",
            only_active=True,
            unit_length=True,
            differs_at=("gradient at zeros",),
            caveat="A zero vector is divided by 1e-12 there, and has a gradient as large.",
        ),
    ),
    reference="Hermans, Beyer and Leibe (2017), arXiv:1703.07737",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    counts=_triplets,
    factors=_triplets,
    cost=Cost(beyond={"n²": 500.0, "n²·d": 4.0}),
)
def batch_all_triplet(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    margin: Annotated[float, Ge(0), Le(1e6), Doc("How much farther the negative shall be than the positive.")] = 1.0,
    mining: Annotated[
        Literal["all", "hardest"], Doc('Which triplets count of each anchor: "all", or the "hardest" one of all.')
    ] = "all",
    only_active: Annotated[
        bool, Doc("Whether the mean over all triplets is over those that are not 0, as in pytorch-metric-learning.")
    ] = False,
    unit_length: Annotated[bool, Doc("Whether vectors are taken at the length 1, as in pytorch-metric-learning.")] = False,
) -> tuple[Array, Pullback]:
    """Places each sample of a batch nearer to all of its identity than to any of another, by a margin: all its triplets.

    A sample's loss is the mean over the triplets of which it is the anchor, and the mean of the batch that over all of them.
    At the margin a triplet still pulls.

    Use when: identities are known and batches hold several samples of each, so that no triplets need to be drawn.
    Avoid when: most triplets are right already, and drown those that are not; or one in each class is an outlier (hardest).
    See also: triplet_margin, soft_margin_triplet, lifted_structure, circle.
    """
    n, apart = len(predictions), Distances(vectors(predictions), unit_length)
    blocks = tiles(n, n)
    count = _triplets(targets, mining=mining)
    many = np.maximum(count, 1.0)

    def of_rows(rows: slice) -> tuple[Array, Array, float]:
        """The sum over the triplets of some anchors, its derivatives to their distances, and how many are not 0."""
        distances, (same, other) = apart.tile(rows), _sides(targets, rows)
        values, slopes, active = np.zeros(len(same)), np.zeros(same.shape), 0.0
        for row in np.flatnonzero(same.any(axis=1) & other.any(axis=1)):
            high, low = distances[0][row], distances[1][row]
            near, far = np.flatnonzero(same[row]), np.flatnonzero(other[row])
            near, far = near[np.argsort(high[near])], far[np.argsort(high[far])]
            if mining == "hardest":
                near, far = near[-1:], far[:1]
            reach = pair_add((high[near], low[near]), constant(margin))
            within = high[far].searchsorted(reach[0], side="right")  # the negatives that are not farther off than this
            before = _running((high[far], low[far]))
            inside = pair_multiply(reach, (within.astype(np.float64), np.zeros(near.size)))
            missing = pair_add(inside, (-before[0][within], -before[1][within]))[0]
            values[row] = np.maximum(missing, 0.0).sum()
            active += (high[far].searchsorted(reach[0], side="left")).sum()
            slopes[row, near] = within
            slopes[row, far] = -(near.size - reach[0].searchsorted(high[far], side="left"))
        return values, slopes, active

    found = [of_rows(rows) for rows in blocks] if n * n <= PAIRS_KEPT else None
    sums, actives = zip(*((value, active) for value, _, active in found or map(of_rows, blocks)), strict=True)
    scale = float(count.sum()) / max(sum(actives), 1.0) if only_active else 1.0
    kept = {rows.start: slope for rows, (_, slope, _) in zip(blocks, found or [], strict=False)}

    def pullback(weights: Array) -> Array:
        if small(n, n):
            active = max(sum(actives), 1.0) if only_active else float(count.sum())
            share = wide(weights) * float(count.sum()) / (active * many)
            return pulls_apart(apart, share[:, None] * np.concatenate([*kept.values()]))
        pulls = scale * weights / many

        def slopes(rows: slice) -> Array:
            slope = kept[rows.start] if kept else of_rows(rows)[1]
            return pulls[rows, None] * slope

        return apart.pulls(slopes)

    return scale * np.concatenate(sums) / many, pullback
