"""Losses of a batch whose samples have identities: those of one identity belong together, all others apart.

A sample of which the batch has no other, or none of another identity, may have nothing to learn: its loss is 0, and where
said so it does not count.
"""

from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import EMBEDDING, GROUP
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, Pullback, loss
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    either,
    pair_add,
    pair_multiply,
    pair_negative,
    two_product,
    two_sum,
)
from app.losses.numerics.products import PAIRS_KEPT, one_less_products, slices_of, tiles
from app.losses.numerics.stable import Array, power_of_two, recovered, sigmoid, softplus


def _comparable(targets: NDArray[np.int64], **_parameters: object) -> Array:
    """1 for an anchor with another sample of its class and one of another class, 0 for the rest."""
    _, inverse, sizes = np.unique(targets, return_inverse=True, return_counts=True)
    size = sizes[inverse]
    return ((size > 1) & (size < targets.size)).astype(np.float64)


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula=(
        "softplus(a + b); a = ln ∑_(j ∈ P) e^(γ(Dⱼ + m)(Dⱼ − m)); b = ln ∑_(j ∈ N) e^(γ·max(0, 1 + m − Dⱼ)(1 − m − Dⱼ)); "
        "Dⱼ = max(0, 1 − pᵢ·pⱼ)"
    ),
    gradient=(
        "∂ℓ/∂Dⱼ = 2γ·σ(a + b)·Dⱼ·e^(γ(Dⱼ + m)(Dⱼ − m) − a) if j ∈ P, "
        "−2γ·σ(a + b)(1 − Dⱼ)·e^(γ(1 + m − Dⱼ)(1 − m − Dⱼ) − b) if Dⱼ < 1 + m, else 0; "
        "∂Dⱼ/∂pⱼ = −pᵢ"
    ),
    symbols={"i": "the sample whose loss it is", "P": "the other samples of its class", "N": "the samples of other classes"},
    aliases=("Circle", "CircleLoss", "circle_loss"),
    equals=(
        equal(
            "keras.losses.Circle(gamma=gamma, margin=margin, reduction=reduction)(targets, predictions)",
            differs_at=("gradient at ties",),
            caveat="At a distance of 0 the slope is half of it there.",
        ),
        equal(
            "pytorch_metric_learning.losses.CircleLoss(m=margin, gamma=gamma)(predictions, targets)",
            encodings={"predictions": "unit"},
            differs_at=("gradient",),
            caveat="It makes vectors as long as 1 first: the same for those that are, but for the gradient.",
        ),
    ),
    reference="Sun et al. (2020), doi:10.1109/CVPR42600.2020.00643",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    counts=_comparable,
    cost=Cost(beyond={"n²": 100.0, "n²·d": 0.5}),
)
def circle(
    predictions: Array,
    targets: NDArray[np.int64],
    *,
    gamma: Annotated[float, Gt(0), Doc("How sharply the hardest pairs outweigh the others.")] = 80.0,
    margin: Annotated[
        float, Ge(0), Doc("Distance at which a positive pair rests, and similarity at which a negative one does.")
    ] = 0.4,
) -> tuple[Array, Pullback]:
    """Draws each sample to those of its class and away from all others in the batch, the worst placed pairs most.

    Embeddings are expected to have the length 1 and are not normalised. A sample without another of its class, or of
    another class, has the loss 0 and does not count. The gradient goes through the weights of the pairs, as in Keras.

    Use when: a batch holds several samples of each identity, and all of its pairs shall teach, the worst placed most.
    Avoid when: batches are small or large: without two of an identity nothing is learned, and the work grows with the square of
    the batch.
    See also: triplet_margin, contrastive.
    """
    n = predictions.shape[0]
    blocks = tiles(n, n)
    scale = power_of_two(np.abs(predictions).max(axis=1))[:, None]
    slices = slices_of(predictions / scale)  # scaled, so that no product overflows within a sum
    counted = _comparable(targets) > 0

    def pairs_of(anchors: slice) -> _Pairs:
        apart = one_less_products(slices, anchors, scale[anchors], scale[:, 0])
        return _pairs(apart, targets[anchors, None] == targets, np.arange(n, dtype=np.intp)[anchors], gamma, margin)

    kept = [pairs_of(anchors) for anchors in blocks] if n * n <= PAIRS_KEPT else []
    shares = [_shares(pairs) for pairs in (kept or map(pairs_of, blocks))]
    total = np.where(counted, np.concatenate([share.total for share in shares]), -np.inf)

    def pullback(weights: Array) -> Array:
        gradient = np.zeros_like(predictions)
        pulls = np.where(counted & (weights != 0), weights * sigmoid(total), 0.0)[:, None]
        for anchors, share, pairs in zip(blocks, shares, kept or map(pairs_of, blocks), strict=True):
            slope = _slope(pairs, share, gamma)
            slope = np.where(pulls[anchors] == 0, 0.0, pulls[anchors] * slope)
            gradient[anchors] += slope @ predictions
            gradient += slope.T @ predictions[anchors]
        return gradient

    return softplus(total), pullback


class _Pairs(NamedTuple):
    """Some anchors beside all samples (a, n)."""

    same: NDArray[np.bool_]
    """Whether both are of one class."""
    exponent: Array
    """The logarithm of how much the pair counts, rounded; −∞ for an anchor beside itself."""
    rest: Array
    """What rounding took from it: γ is large, and an exponential magnifies what is missing."""
    lever: Array
    """Half its derivative to the similarity, over γ."""


def _pairs(apart: Pair, same: NDArray[np.bool_], own: NDArray[np.intp], gamma: float, margin: float) -> _Pairs:
    """With u = D for a pair of one class and 1 − D for another, the exponent is γ(u² − m²) and the lever ∓u."""
    beyond = apart[0] < 0.0
    distance = np.where(beyond, 0.0, apart[0]), np.where(beyond, 0.0, apart[1])
    u = either(same, distance, pair_add(pair_negative(distance), constant(1.0)))
    limit = two_product(np.full(1, margin), -margin)
    high, low = pair_multiply(pair_add(pair_multiply(u, u), limit), constant(gamma))
    high = recovered(high, lambda: gamma * (u[0] + margin) * (u[0] - margin))
    active = same | (distance[0] < 1.0 + margin)
    exponent, rest = np.where(active, high, 0.0), np.where(active & np.isfinite(low), low, 0.0)
    exponent[np.arange(len(own), dtype=np.intp), own] = -np.inf
    lever = np.where(active & ~beyond, np.where(same, -u[0], u[0]), 0.0)
    return _Pairs(same, exponent, rest, lever)


class _Shares(NamedTuple):
    """What makes the exponentials of an anchor's pairs sum to 1, those of its own class and the others each (a, 1)."""

    shifts: tuple[Array, Array]
    sums: tuple[Array, Array]
    total: Array
    """(a,): the sum of both logarithms, of which the loss is the softplus."""


def _shares(pairs: _Pairs) -> _Shares:
    sides = pairs.same, ~pairs.same
    largest = [np.where(side, pairs.exponent, -np.inf).max(axis=1, keepdims=True) for side in sides]
    shifts = [np.where(np.isfinite(item), item, 0.0) for item in largest]
    powers = _powers(pairs, shifts[0], shifts[1])
    sums = [np.where(side, powers, 0.0).sum(axis=1, keepdims=True) for side in sides]
    shift, lost = two_sum(shifts[0], shifts[1])
    total = shift + (np.log(sums[0]) + np.log(sums[1]) + lost)
    return _Shares((shifts[0], shifts[1]), (sums[0], sums[1]), total[:, 0])


def _powers(pairs: _Pairs, near_shift: Array, far_shift: Array) -> Array:
    """e to the exponents less the shift of their class."""
    rounded, error = difference(pairs.exponent, np.where(pairs.same, near_shift, far_shift))
    powers = np.exp(rounded)
    return np.where(powers > 0, powers + powers * (error + pairs.rest), 0.0)


def _slope(pairs: _Pairs, shares: _Shares, gamma: float) -> Array:
    """The derivative of each anchor's total to each similarity."""
    powers = _powers(pairs, *shares.shifts)
    sums = (np.where(item > 0, item, 1.0) for item in shares.sums)
    return powers / np.where(pairs.same, *sums) * pairs.lever * (2.0 * gamma)
