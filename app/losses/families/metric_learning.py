"""Losses that shape a space: of embeddings (n, d), which belong together or apart, or of distances between them.

A distance has no gradient where it is 0, nor a cosine at a zero vector: both count as 0 there. Nearly parallel or equally
distant vectors make cosines, distances and their gradients cancel, so these are taken in double-double.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS, Cost
from app.losses.encodings import BINARY, DISTANCE, EMBEDDING, GROUP, REAL, SIGN, per_sample
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    Pullback,
    Second,
    loss,
)
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
    pair_sqrt,
    pair_sum,
    renormalised,
    two_product,
    two_sum,
)
from app.losses.numerics.stable import Array, power_of_two, recovered, sigmoid, softplus


@loss(
    predictions=EMBEDDING,
    targets=EMBEDDING,
    formula="−p·y/(‖p‖‖y‖)",
    gradient="(p·y)p/(‖p‖³‖y‖) − y/(‖p‖‖y‖)",
    aliases=("CosineSimilarity", "cosine_loss", "cosine_proximity"),
    equals=(
        equal(
            "keras.losses.CosineSimilarity(reduction=reduction)(targets, predictions)",
            differs_at=("saturated", "gradient at zeros"),
            caveat="Keras takes vectors for as long as its epsilon at least; the gradient of a zero vector is NaN.",
        ),
        equal(
            "-optax.losses.cosine_similarity(predictions, targets)",
            reductions=EACH,
            differs_at=("zeros",),
            caveat="Of a zero vector it is NaN there.",
        ),
        equal(
            "-torch.nn.functional.cosine_similarity(predictions, targets)",
            reductions=EACH,
            differs_at=("saturated",),
            caveat="PyTorch takes vectors for as long as 1e-8 at least.",
        ),
    ),
    reference="Salton, Wong and Yang (1975), doi:10.1145/361219.361220",
    properties=DIFFERENTIABLE | SYMMETRIC,
    cost=IN_PAIRS,
)
def cosine_similarity(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Turns vectors towards their targets, whatever their lengths: −1 where they are parallel, 1 where opposite.

    A zero vector has the loss and the gradient 0.

    Use when: only the direction of a vector means something, as of embeddings of texts.
    Avoid when: lengths carry meaning, as of counts or coordinates: they are ignored.
    See also: cosine_embedding.
    """
    cosine = _cosine(predictions, targets)
    return -cosine.value[0], -cosine.gradient


@loss(
    predictions=DISTANCE,
    targets=per_sample(BINARY),
    formula="y·d² + (1 − y)·max(0, m − d)²",
    gradient="2y·d − 2(1 − y)·max(0, m − d)",
    symbols={"d": "the distance of the two samples, which is the prediction"},
    aliases=("ContrastiveLoss", "contrastive_loss", "siamese"),
    equals=(
        equal("tensorflow_addons.losses.ContrastiveLoss(margin=margin)(targets, predictions)"),
        equal("sentence_transformers.losses.ContrastiveLoss(margin=margin)", times=2.0),
    ),
    reference="Hadsell, Chopra and LeCun (2006), doi:10.1109/CVPR.2006.100",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def contrastive(
    predictions: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("Distance from which two different samples are far enough apart.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Pulls two samples of one class together and pushes two of different classes at least a margin apart.

    Targets are 1 for a pair of the same class; Hadsell, Chopra and LeCun write 0 for it, and halve the loss.

    Use when: pairs are known to be same or different, and distances in an embedding shall tell.
    Avoid when: most pairs are different: beyond the margin they teach nothing, so that hard ones must be searched.
    See also: triplet_margin, hinge_embedding, cosine_embedding.
    """
    excess = targets * predictions + (1.0 - targets) * np.maximum(margin - predictions, 0.0)
    pulled = (targets > 0) | (predictions < margin)
    return excess * excess, (4.0 * targets - 2.0) * excess, lambda: np.where(pulled, 2.0, 0.0)


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    targets=per_sample(SIGN),
    formula="1 − c if y = 1, else max(0, c − m); c = cos(a, b)",
    gradient="∂ℓ/∂a = h·(b/(‖a‖‖b‖) − c·a/‖a‖²); ∂ℓ/∂b = h·(a/(‖a‖‖b‖) − c·b/‖b‖²); h = −1 if y = 1, 1 if c ≥ m, else 0",
    symbols={"a": "the first vector", "b": "the second vector"},
    aliases=("CosineEmbeddingLoss", "cosine_embedding_loss"),
    equals=(
        equal(
            "torch.nn.CosineEmbeddingLoss(margin=margin, reduction=reduction)(first, second, targets)",
            differs_at=("saturated",),
            caveat="PyTorch adds 1e-12 to the squares of the lengths.",
        ),
    ),
    reference="Bromley et al. (1993), doi:10.1142/S0218001493000339",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def cosine_embedding(
    first: Array,
    second: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(-1), Le(1), Doc("Cosine up to which two different samples are far enough apart.")] = 0.0,
) -> tuple[Array, tuple[Array, Array]]:
    """Turns two vectors to each other where they belong together, and away from each other, up to a margin, where not.

    The cosine with a zero vector is 0 and has the gradient 0; PyTorch adds 1e-12 to the squares of the lengths instead.

    Use when: pairs are known to be alike or not, as two texts or faces, and only directions count.
    Avoid when: distances are used later on; or all negative pairs of a batch are at hand, of which it looks at one each.
    See also: contrastive.
    """
    cosine = _cosine(first, second)
    over = pair_add(cosine.value, (np.full_like(targets, -margin), np.zeros_like(targets)))[0]
    values = np.where(targets > 0, cosine.complement, np.maximum(over, 0.0))
    slope = np.where(targets > 0, -1.0, np.where(over >= 0, 1.0, 0.0))[:, None]  # active at the kink, as in PyTorch
    # the cosine of vectors near 0 is as steep as numbers get: what is not pulled must not become 0 · ∞
    return values, (
        np.where(slope == 0, 0.0, slope * cosine.gradient),
        np.where(slope == 0, 0.0, slope * cosine.swapped.gradient),
    )


@loss(
    predictions=REAL,
    targets=SIGN,
    formula="x if y = 1, else max(0, m − x)",
    gradient="1 if y = 1, −1 if x ≤ m, else 0",
    aliases=("HingeEmbeddingLoss", "hinge_embedding_loss"),
    equals=(equal("torch.nn.HingeEmbeddingLoss(margin=margin, reduction=reduction)(predictions, targets)"),),
    reference="Mobahi, Collobert and Weston (2009), doi:10.1145/1553374.1553469",
    properties=CONVEX | DIFFERENTIABLE | BOUNDED_GRADIENT,
)
def hinge_embedding(
    predictions: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("Distance from which two different samples are far enough apart.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Reduces the distance of two similar samples, and raises that of two different ones up to a margin.

    Use when: distances of pairs are at hand, and all that are too near or too far should pull alike.
    Avoid when: a fine fit near 0 is wanted: similar pairs pull as hard at a small distance as at a large one.
    See also: contrastive, hinge.
    """
    same, room = targets > 0, margin - predictions
    # at the margin the hinge is active, as in PyTorch
    gradient = np.where(same, 1.0, np.where(room >= 0, -1.0, 0.0))
    return np.where(same, predictions, np.maximum(room, 0.0)), gradient, lambda: np.zeros_like(room)


@loss(
    predictions={"anchor": EMBEDDING, "positive": EMBEDDING, "negative": EMBEDDING},
    formula="max(0, d(a, u) − h + m); h = min(d(a, v), d(u, v)) if swap, else d(a, v); d(a, u) = ‖a − u + ε‖ₚ",
    gradient=(
        "∂ℓ/∂aⱼ = g(a, u) − g(a, v) if ℓ > 0, else 0; ∂ℓ/∂uⱼ = −g(a, u) if ℓ > 0, else 0; "
        "∂ℓ/∂vⱼ = g(a, v) if ℓ > 0, else 0; g(a, u) = sign(zⱼ)·|zⱼ|^(p − 1)/‖z‖ₚ^(p − 1); z = a − u + ε"
    ),
    symbols={"a": "the anchor", "u": "the positive", "v": "the negative"},
    aliases=("TripletMarginLoss", "triplet_margin_loss", "triplet"),
    equals=(
        equal(
            "torch.nn.TripletMarginLoss(margin=margin, p=p, eps=eps, swap=swap, reduction=reduction)(anchor, positive, negative)",
        ),
        equal(
            "optax.losses.triplet_margin_loss(anchor, positive, negative, margin=margin, eps=0.0)",
            reductions=EACH,
            eps=0.0,
            differs_at=("gradient at exact", "gradient at zeros"),
            caveat="Of two equal vectors the gradient is NaN there.",
        ),
    ),
    reference="Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def triplet_margin(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("How much farther the negative shall be than the positive.")] = 1.0,
    p: Annotated[float, Ge(1), Le(1000), Doc("The norm that measures distances: 2 Euclidean, 1 city block.")] = 2.0,
    eps: Annotated[float, Ge(0), Doc("Added to each difference of two components, as PyTorch does.")] = 1e-6,
    swap: Annotated[bool, Doc("Whether the negative's distance is taken from the positive where it is nearer to that.")] = False,
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Places an anchor nearer to a sample of its own class than to one of another class, by a margin.

    Use when: samples have identities, as faces or products, and the nearest neighbours of a new one shall be its own.
    Avoid when: triplets are drawn at random: most are right soon and teach nothing, so that hard ones must be searched.
    See also: contrastive, circle, margin_ranking.
    """
    largest = np.maximum(np.maximum(np.abs(anchor), np.abs(positive)), np.abs(negative)).max(axis=1)
    scale = power_of_two(np.maximum(largest, max(margin, eps)))[:, None]
    a, b, c, shift = anchor / scale, positive / scale, negative / scale, eps / scale
    near, far = _length(_difference(a, b, shift), p), _length(_difference(a, c, shift), p)
    lead = _lead(near, far, two_sum(c, -b), p)
    turn = _turn(near, far, two_sum(c, -b), lead, p)
    inward, outward = -near.slope[0], far.slope[0]
    if swap:
        other = _length(_difference(b, c, shift), p)
        gap = _lead(other, far, two_sum(b, -a), p)[0]
        share = np.where(gap < 0, 1.0, np.where(gap == 0, 0.5, 0.0))  # a tie is halved, as by PyTorch's minimum
        swapped = _lead(near, other, pair_add(two_sum(a, -b), two_sum(c, -b)), p)
        lead = np.where(gap < 0, swapped[0], lead[0]), np.where(gap < 0, swapped[1], lead[1])
        push, direction = _scaled(far.slope, 1.0 - share), _scaled(other.slope, share)
        turn = np.where(share > 0, pair_add(near.slope, pair_negative(push))[0], turn)
        inward, outward = -pair_add(near.slope, direction)[0], pair_add(push, direction)[0]
    total = pair_add(lead, (margin / scale, np.zeros_like(scale)))[0]
    active = np.where(total >= 0, 1.0, 0.0)  # at the kink as well, as in PyTorch
    values = np.maximum(total, 0.0) * scale
    return values[:, 0], (active * turn, active * inward, active * outward)


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
    step = max(1, PAIRS_AT_ONCE // n)
    tiles = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    scale = power_of_two(np.abs(predictions).max(axis=1))[:, None]
    slices = _slices(predictions / scale)  # scaled, so that no product overflows within a sum
    counted = _comparable(targets) > 0

    def pairs_of(anchors: slice) -> _Pairs:
        apart = _one_less_products(slices, anchors, scale[anchors], scale[:, 0])
        return _pairs(apart, targets[anchors, None] == targets, np.arange(n, dtype=np.intp)[anchors], gamma, margin)

    kept = [pairs_of(anchors) for anchors in tiles] if n * n <= PAIRS_KEPT else []
    shares = [_shares(pairs) for pairs in (kept or map(pairs_of, tiles))]
    total = np.where(counted, np.concatenate([share.total for share in shares]), -np.inf)

    def pullback(weights: Array) -> Array:
        gradient = np.zeros_like(predictions)
        pulls = np.where(counted & (weights != 0), weights * sigmoid(total), 0.0)[:, None]
        for anchors, share, pairs in zip(tiles, shares, kept or map(pairs_of, tiles), strict=True):
            slope = _slope(pairs, share, gamma)
            slope = np.where(pulls[anchors] == 0, 0.0, pulls[anchors] * slope)
            gradient[anchors] += slope @ predictions
            gradient += slope.T @ predictions[anchors]
        return gradient

    return softplus(total), pullback


ROUNDING = 2.0**-100
"""What is smaller than this share of the terms it is the difference of is their rounding, in double-double: it counts as 0."""

PAIRS_AT_ONCE = 2**15
"""Pairs of samples in a tile: what keeps the memory of a batch of n from growing as n², and a tile in the cache."""

PAIRS_KEPT = 2**18
"""Pairs of samples up to which all tiles are kept for the gradient, in 25 bytes for each, and not computed once more."""


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


class _Slices(NamedTuple):
    """Rows of numbers of at most 1 as sums of three, the first two of so few bits that their products add up without rounding.

    See Ozaki, Ogita, Oishi and Rump (2012), doi:10.1007/s11075-011-9478-1.
    """

    first: Array
    second: Array
    left: Array
    right: Array
    """What is left of a·b, as one product: second·(second + third) + first·third + third·whole."""


def _slices(rows: Array) -> _Slices:
    bits = (53 - rows.shape[1].bit_length()) // 2
    anchors = 1.5 * 2.0 ** (52 - bits), 1.5 * 2.0 ** (52 - 2 * bits)
    first = (rows + anchors[0]) - anchors[0]
    rest = rows - first
    second = (rest + anchors[1]) - anchors[1]
    third = rest - second
    return _Slices(first, second, np.hstack((second, first, third)), np.hstack((rest, third, rows)))


def _one_less_products(slices: _Slices, anchors: slice, own_scale: Array, scale: Array) -> Pair:
    """1 − a·b of the anchors beside all rows: of parallel vectors of length 1, all but the last digits cancel."""
    first, second, left, right = slices
    total, error = two_sum(first[anchors] @ first.T, first[anchors] @ second.T)
    high, more = two_sum(total, second[anchors] @ first.T)
    low = (error + more + left[anchors] @ right.T) * own_scale * scale
    high = high * own_scale * scale
    rounded, lost = two_sum(-high, 1.0)
    apart, rest = renormalised(rounded, lost - low)
    return recovered(apart, lambda: 1.0 - high), np.where(np.isfinite(rest), rest, 0.0)


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
    shifts = [np.where(np.isfinite(highest), highest, 0.0) for highest in largest]
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
    sums = (np.where(totals > 0, totals, 1.0) for totals in shares.sums)
    return powers / np.where(pairs.same, *sums) * pairs.lever * (2.0 * gamma)


# --- cosines and norms in double-double -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cosine:
    """The cosine between the rows of two arrays, and all that follows from it. A zero vector has the cosine 0."""

    a: Array
    b: Array
    a_scale: Array
    b_scale: Array
    """(n, 1): the powers of two by which a and b have been divided, so that their squares stay within range."""
    aa: Pair
    bb: Pair
    ab: Pair
    """(n, 1): a·a, b·b and a·b."""

    @cached_property
    def norms(self) -> Pair:
        """‖a‖‖b‖, 1 for a zero vector."""
        high, low = pair_sqrt(pair_multiply(self.aa, self.bb))
        return np.where(high > 0, high, 1.0), low

    @cached_property
    def value(self) -> Pair:
        high, low = pair_divide(self.ab, self.norms)
        return high[:, 0], low[:, 0]

    @cached_property
    def tangent(self) -> Array:
        """b‖a‖² − a(a·b): where the vectors are nearly parallel, only these digits of the cosine's gradient are left."""
        along = pair_multiply(pair(self.b), self.aa)
        across = pair_add(along, pair_negative(pair_multiply(pair(self.a), self.ab)))[0]
        lost = np.abs(across) < 2.0**-48 * np.abs(along[0])  # what pairs leave of it is less than a float
        rows = np.flatnonzero(lost.any(axis=1))
        if rows.size:
            across[rows] = np.where(lost[rows], _tangent_beside_largest(self.a[rows], self.b[rows]), across[rows])
        return across

    @property
    def gradient(self) -> Array:
        """d cos / d a = tangent / (‖a‖³‖b‖)."""
        return self.tangent / pair_multiply(_some(self.aa), self.norms)[0] / self.a_scale

    @property
    def complement(self) -> Array:
        """1 − cos, from the length of the tangent (the sine) where it would cancel."""
        apart = pair_add(pair_negative(self.value), constant(1.0))[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            whole = pair_multiply(pair_multiply(self.aa, self.norms), pair_add(self.norms, self.ab))[0][:, 0]
            sine = (self.tangent * self.tangent).sum(axis=1) / whole
        return np.where(self.value[0] > 0.5, sine, apart)

    @property
    def swapped(self) -> "_Cosine":
        return replace(self, a=self.b, b=self.a, a_scale=self.b_scale, b_scale=self.a_scale, aa=self.bb, bb=self.aa)


def _tangent_beside_largest(a: Array, b: Array) -> Array:
    """b‖a‖² − a(a·b) without what the largest component of a adds to both terms alike, where it is all that was left of them.

    With that component m it is aₘ(bᵢaₘ − aᵢbₘ) + bᵢ·Σa² − aᵢ·Σab, the sums without m; what cancels here again counts as 0.
    """
    m = np.arange(len(a)), np.abs(a).argmax(axis=1)
    a_m, b_m = a[m][:, None], b[m][:, None]
    others_a, others_b = a.copy(), b.copy()
    others_a[m] = others_b[m] = 0.0
    aa, ab = (pair_sum(two_product(others_a, x)) for x in (others_a, others_b))
    turned = pair_multiply(pair_add(two_product(b, a_m), pair_negative(two_product(a, b_m))), pair(a_m))
    along = pair_multiply(pair(b), aa)
    rest = pair_add(along, pair_negative(pair_multiply(pair(a), ab)))
    across = pair_add(turned, rest)[0]
    return np.where(np.abs(across) < ROUNDING * np.maximum(np.abs(turned[0]), np.abs(along[0])), 0.0, across)


def _cosine(first: Array, second: Array) -> _Cosine:
    a_scale, b_scale = (power_of_two(np.abs(vectors).max(axis=1))[:, None] for vectors in (first, second))
    a, b = first / a_scale, second / b_scale
    aa, bb, ab = (pair_sum(two_product(x, y)) for x, y in ((a, a), (b, b), (a, b)))
    return _Cosine(a, b, a_scale, b_scale, aa, bb, ab)


class _Length(NamedTuple):
    """‖x‖ₚ of the rows of an array of pairs."""

    vector: Pair
    value: Pair
    """(n, 1)."""
    slope: Pair
    """Its derivative to x, which is 0 at 0."""


def _length(x: Pair, p: float) -> _Length:
    if p == 1.0:
        sign = np.sign(x[0])
        return _Length(x, pair_sum(_scaled(x, sign)), pair(sign))
    size = np.abs(x[0]).max(axis=1, keepdims=True)
    if p == 2.0:
        scale = power_of_two(size)
        scaled = _scaled(x, 1.0 / scale)
        norm = pair_sqrt(pair_sum(pair_multiply(scaled, scaled)))
        return _Length(x, _scaled(norm, scale), pair_divide(scaled, _some(norm)))
    share = pair_divide(_scaled(x, np.sign(x[0])), pair(np.where(size > 0, size, 1.0)))
    some = share[0] > 1e-290
    share = np.where(some, share[0], 1.0), np.where(some, share[1], 0.0)
    log = pair_log(share)
    powers = _scaled(pair_exp(pair_multiply(log, constant(p))), some.astype(np.float64))
    total = _some(pair_sum(powers))
    log_norm = pair_divide(pair_log(total), constant(p))
    norm = pair_exp(log_norm)
    slope = pair_divide(powers, pair_multiply(share, pair_divide(total, norm)))
    small = some & (powers[0] < 1e-250)
    if small.any():  # a power below the range, of which the one before need not be
        below = pair_add(log, pair_negative(log_norm))
        slope[0][small], slope[1][small] = pair_exp(pair_multiply((below[0][small], below[1][small]), constant(p - 1.0)))
    return _Length(x, pair_multiply(norm, pair(size)), _scaled(slope, np.sign(x[0])))


def _lead(x: _Length, y: _Length, apart: Pair, p: float) -> Pair:
    """‖x‖ − ‖y‖ from x − y, which may be exact where the two lengths differ by less than their own rounding.

    ‖x‖² − ‖y‖² is Σ (x − y)(x + y); city blocks are compared side by side.
    """
    if p == 1.0:
        sign, other = np.sign(x.vector[0]), np.sign(y.vector[0])
        beside = pair_add(_scaled(x.vector, sign), _scaled(y.vector, -other))
        return pair_sum(
            (np.where(sign == other, sign * apart[0], beside[0]), np.where(sign == other, sign * apart[1], beside[1]))
        )
    if p == 2.0:
        both = pair_add(x.value, y.value)
        unit = 1.0 / power_of_two(both[0])
        product = pair_multiply(apart, _scaled(pair_add(x.vector, y.vector), unit))
        return pair_divide(pair_sum(product), _some(_scaled(both, unit)))
    return pair_add(x.value, pair_negative(y.value))


def _turn(x: _Length, y: _Length, apart: Pair, lead: Pair, p: float) -> Array:
    """x/‖x‖ − y/‖y‖, the slope of the lead where both are moved at once: (x − y − y·lead/‖y‖) / ‖x‖."""
    if p != 2.0:
        return pair_add(x.slope, pair_negative(y.slope))[0]
    turn = pair_divide(pair_add(apart, pair_negative(pair_multiply(y.slope, lead))), _some(x.value))[0]
    return np.where(x.value[0] > 0, turn, -y.slope[0])


def _some(x: Pair) -> Pair:
    """A pair to divide by: 1 for 0."""
    return np.where(x[0] > 0, x[0], 1.0), x[1]


def _difference(a: Array, b: Array, shift: Array) -> Pair:
    """a − b + shift, before any rounding."""
    high, low = two_sum(a, -b)
    total, error = two_sum(high, shift)
    return renormalised(total, error + low)


def _scaled(x: Pair, factor: Array) -> Pair:
    """A pair times powers of two, 0 or ±1: exact."""
    return x[0] * factor, x[1] * factor
