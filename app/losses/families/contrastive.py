"""Losses of contrasts within a batch: what belongs together is to be more alike than what does not, by cosines or products.

Samples have identities. A zero vector has the cosine 0 with all others, and the gradient 0.
"""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import EMBEDDING, GROUP
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, Pullback, loss
from app.losses.numerics.pairs import Pair, constant, pair_add
from app.losses.numerics.running import gap
from app.losses.numerics.similarities import (
    Flags,
    OfRows,
    beside,
    log_one_plus,
    over,
    over_rows,
    scaled,
    share_of,
    surprise_of,
)
from app.losses.numerics.small_batches import (
    Exactly,
    all_of,
    powers_of,
    pulls_beside,
    slopes_of_labels,
    slopes_of_log_one_plus,
    slopes_of_surprise,
    small,
    weighted,
)
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, where, wide

Groups: TypeAlias = NDArray[np.int64]
OF_PAIRS = Cost(beyond={"n²": 150.0, "n²·d": 0.5})
IN_VIEW: Mapping[str, str] = {
    "i": "the sample whose loss it is",
    "c": "the cosine of the sample with another",
    "P": "the other samples of its identity",
    "N": "the samples of other identities",
}
_OTHERS: Mapping[str, str] = {name: IN_VIEW[name] for name in "cPN"}
Temperature: TypeAlias = Annotated[
    float, Ge(1e-3), Le(1e6), Doc("What similarities are divided by: the smaller, the more the nearest of the others count.")
]


def _others_alike(targets: Groups) -> Array:
    """How many other samples of its identity each has."""
    _, inverse, sizes = np.unique(targets, return_inverse=True, return_counts=True)
    return (sizes[inverse] - 1).astype(np.float64)


def _positive_pairs(targets: Groups, **_parameters: object) -> Array:
    return _others_alike(targets)


def _with_others(targets: Groups, **_parameters: object) -> Array:
    """1 for a sample of whose identity there is another, 0 for the rest."""
    return np.minimum(_others_alike(targets), 1.0)


def _sides(targets: Groups, rows: slice) -> tuple[Flags, Flags]:
    """Which samples are of the identity of some rows, these themselves left out, and which are not."""
    same = targets[rows, None] == targets
    numbers = np.arange(targets.size, dtype=np.int64)
    return same & (numbers[rows, None] != numbers), ~same


def _of_one(predictions: Array, of_rows: OfRows, exactly: Exactly) -> tuple[Array, Pullback]:
    """The loss of each sample, from its cosines with all; in a small batch with unrounded slopes."""
    n, alike = len(predictions), beside(predictions, predictions)
    found = over_rows(n, n, alike.tile, of_rows)

    def pullback(weights: Array) -> Array:
        if small(n, n):
            return pair_add(*pulls_beside(alike, weighted(exactly(all_of(alike)), weights)))[0]
        return pair_add(*alike.pulls(found.slopes(weights)))[0]

    return found.values, pullback


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula="mean_(j ∈ P) ln(1 + ∑_(l ∈ N) e^((cₗ − cⱼ)/τ))",
    gradient=(
        "∂ℓ/∂cⱼ = −mean_(b ∈ P) [b = j]·h_b if j ∈ P, else mean_(b ∈ P) h_b·e^(cⱼ/τ)/∑_(l ∈ N) e^(cₗ/τ); "
        "h_b = 1/τ·(1 − 1/(1 + ∑_(l ∈ N) e^((cₗ − c_b)/τ)))"
    ),
    symbols={**_OTHERS, "l": "one of these", "b": "a sample of the identity", "h": "how much is missing of it"},
    aliases=("ntxent", "NTXentLoss", "simclr", "SimCLRLoss"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.NTXentLoss(temperature=temperature)(predictions, targets)",
            differs_at=("gradient at zeros",),
            caveat="A zero vector is divided by 1e-12 there, and has a gradient as large.",
        ),
        equal(
            "optax.losses.ntxent(predictions, targets, temperature=temperature)",
            differs_at=("gradient at zeros", "saturated"),
            caveat="optax adds 1e-6 to what it takes roots of, and takes the exponentials as they are.",
        ),
    ),
    reference="Chen et al. (2020), arXiv:2002.05709",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    counts=_positive_pairs,
    factors=_positive_pairs,
    cost=OF_PAIRS,
)
def nt_xent(predictions: Array, targets: Groups, *, temperature: Temperature = 0.07) -> tuple[Array, Pullback]:
    """The surprise that each other sample of one's identity is nearer than all of other identities, by the softmax of cosines.

    Only that one and those of other identities are in the softmax. A sample's loss is the mean over the others of its
    identity; the mean of the batch is that over all such pairs, as in optax and pytorch-metric-learning.

    Use when: two or more views of each sample are in the batch, and all other samples shall be told apart from them.
    Avoid when: many samples of the batch are truly alike without having the same label: they are pushed apart.
    See also: supervised_contrastive, info_nce, multi_similarity, circle.
    """

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        same, other = _sides(targets, rows)
        exponents = over(cosines, temperature)
        rivals = share_of(exponents, other)
        odds = rivals.against(exponents)
        many = np.maximum(same.sum(axis=1, keepdims=True), 1)
        missed = np.where(same, odds.share / many, 0.0)
        slopes = missed.sum(axis=1, keepdims=True) * rivals.shares - missed
        return np.where(same, odds.log_one_plus, 0.0).sum(axis=1) / many[:, 0], slopes / temperature

    def exactly(cosines: Wide) -> Wide:
        same, other = _sides(targets, slice(None))
        exponents = cosines / temperature
        rivals = powers_of(exponents, other)
        missed = where(same, rivals.beside(exponents) / np.maximum(same.sum(axis=1, keepdims=True), 1.0), 0.0)
        return (missed.sum() * rivals.shares - missed) / temperature

    return _of_one(predictions, of_rows, exactly)


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula="ln ∑_(l ≠ i) e^(cₗ/τ) − mean_(j ∈ P) cⱼ/τ",
    gradient="∂ℓ/∂cⱼ = 1/τ·(e^(cⱼ/τ)/∑_(l ≠ i) e^(cₗ/τ) − mean_(b ∈ P) [b = j])",
    symbols={**{name: IN_VIEW[name] for name in "icP"}, "l": "a sample", "b": "a sample of the identity"},
    aliases=("supcon", "SupConLoss"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.SupConLoss(temperature=temperature)(predictions, targets)",
            differs_at=("gradient at zeros",),
            caveat="A zero vector is divided by 1e-12 there, and has a gradient as large.",
        ),
    ),
    reference="Khosla et al. (2020), arXiv:2004.11362",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    counts=_with_others,
    cost=OF_PAIRS,
)
def supervised_contrastive(predictions: Array, targets: Groups, *, temperature: Temperature = 0.1) -> tuple[Array, Pullback]:
    """The mean surprise at the others of one's identity, by the softmax of the cosines with all other samples of the batch.

    A sample of whose identity there is no other has the loss 0 and does not count.

    Use when: labels are there, and a representation is wanted in which classes are clusters, before a classifier is put on it.
    Avoid when: a class has many samples in a batch: those that are near already hold back the others, which share one softmax.
    See also: nt_xent, multi_similarity, neighbourhood_components.
    """

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        same, other = _sides(targets, rows)
        share = 1.0 / np.maximum(same.sum(axis=1, keepdims=True), 1.0)
        return soft_labels(over(cosines, temperature), np.where(same, share, 0.0), same | other, temperature)

    def exactly(cosines: Wide) -> Wide:
        same, other = _sides(targets, slice(None))
        labels = wide(same.astype(np.float64)) / np.maximum(same.sum(axis=1, keepdims=True), 1.0)
        slopes = slopes_of_labels(cosines / temperature, labels, same | other) / temperature
        return where(counted[:, None] > 0, slopes, 0.0)

    counted = _with_others(targets)
    return _of_one(predictions, lambda rows, cosines: _where(counted[rows] > 0, *of_rows(rows, cosines)), exactly)


def _where(counted: Flags, values: Array, slopes: Array) -> tuple[Array, Array]:
    return np.where(counted, values, 0.0), np.where(counted[:, None], slopes, 0.0)


def soft_labels(exponents: Pair, labels: Array, which: Flags, unit: float) -> tuple[Array, Array]:
    """The cross-entropy of labels that sum to 1 in a row, and the softmax: from the largest exponent, nothing cancels."""
    share = share_of(exponents, which)
    below = gap((share.largest[0][:, None], share.largest[1][:, None]), exponents)[0]
    index = np.arange(len(labels)), np.where(which, share.shares, -1.0).argmax(axis=1)
    others = share.shares.copy()
    others[index] = 0.0
    rest = others.sum(axis=1)
    values = np.where(labels > 0, labels * below, 0.0).sum(axis=1) + np.log1p(rest * share.total)
    slopes = share.shares - labels
    beside = labels.copy()
    beside[index] = 0.0
    slopes[index] = beside.sum(axis=1) - rest
    return values, slopes / unit


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula="1/α·ln(1 + ∑_(j ∈ P) e^(−α(cⱼ − b))) + 1/β·ln(1 + ∑_(j ∈ N) e^(β(cⱼ − b)))",
    gradient=(
        "∂ℓ/∂cⱼ = −e^(−α(cⱼ − b))/(1 + ∑_(l ∈ P) e^(−α(cₗ − b))) if j ∈ P, else e^(β(cⱼ − b))/(1 + ∑_(l ∈ N) e^(β(cₗ − b)))"
    ),
    symbols={**_OTHERS, "b": "the base", "l": "one of these"},
    aliases=("MultiSimilarityLoss", "ms_loss"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.MultiSimilarityLoss(alpha=alpha, beta=beta, base=base)(predictions, targets)",
            differs_at=("gradient at zeros",),
            caveat="A zero vector is divided by 1e-12 there, and has a gradient as large.",
        ),
    ),
    reference="Wang et al. (2019), doi:10.1109/CVPR.2019.00516",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=OF_PAIRS,
)
def multi_similarity(
    predictions: Array,
    targets: Groups,
    *,
    alpha: Annotated[float, Gt(0), Le(1e4), Doc("How much the least alike of one's identity outweigh the others.")] = 2.0,
    beta: Annotated[float, Gt(0), Le(1e4), Doc("How much the most alike of other identities outweigh the others.")] = 50.0,
    base: Annotated[float, Ge(-10), Le(10), Doc("The cosine at which alike and different meet.")] = 0.5,
) -> tuple[Array, Pullback]:
    """Draws the least alike samples of one's identity and pushes the most alike of others, each side by itself.

    Every sample counts. The paper, and a miner in pytorch-metric-learning, first leaves out the pairs that are easy.

    Use when: a batch holds several samples of each identity, and both sides shall learn though one has hardly anything left.
    Avoid when: cosines of different samples are hardly ever above the base: nothing pushes then.
    See also: circle, nt_xent, supervised_contrastive, cosent, proxy_anchor.
    """

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        same, other = _sides(targets, rows)
        above = pair_add(cosines, constant(-base))
        near, far = log_one_plus(scaled(above, -alpha), same), log_one_plus(scaled(above, beta), other)
        return near.values / alpha + far.values / beta, far.slopes - near.slopes

    def exactly(cosines: Wide) -> Wide:
        (same, other), above = _sides(targets, slice(None)), cosines - base
        return slopes_of_log_one_plus(above * beta, other) - slopes_of_log_one_plus(above * -alpha, same)

    return _of_one(predictions, of_rows, exactly)


@loss(
    predictions=EMBEDDING,
    targets=GROUP,
    formula="ln ∑_(l ≠ i) e^(2cₗ/τ) − ln ∑_(j ∈ P) e^(2cⱼ/τ)",
    gradient=("∂ℓ/∂cⱼ = 2/τ·(e^(2cⱼ/τ)/∑_(l ≠ i) e^(2cₗ/τ) − [j ∈ P]·e^(2cⱼ/τ)/∑_(l ∈ P) e^(2cₗ/τ))"),
    symbols={**{name: IN_VIEW[name] for name in "icP"}, "l": "a sample"},
    aliases=("NCALoss", "neighbourhood_components_analysis"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.NCALoss(softmax_scale=1 / temperature)(predictions, targets)",
            differs_at=("zeros",),
            caveat="A zero vector lies in the middle of all others there, at the distance 1.",
        ),
    ),
    reference="Goldberger et al. (2004), https://papers.nips.cc/paper/2566-neighbourhood-components-analysis",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    counts=_with_others,
    cost=OF_PAIRS,
)
def neighbourhood_components(
    predictions: Array,
    targets: Groups,
    *,
    temperature: Annotated[
        float,
        Ge(1e-3),
        Le(1e6),
        Doc("What squared distances are divided by: 1 over the scale of pytorch-metric-learning."),
    ] = 1.0,
) -> tuple[Array, Pullback]:
    """The surprise that a neighbour drawn at random is of one's identity, nearer ones being likelier.

    Vectors are taken at the length 1, where the squared distance of two is 2 − 2·cosine. A sample of whose identity there is
    no other has the loss 0 and does not count.

    Use when: the nearest neighbours of a sample decide in the end: one near sample of its identity is enough.
    Avoid when: all samples of an identity shall be in one place: those far off hardly pull (supervised_contrastive).
    See also: supervised_contrastive, triplet_margin, soft_margin_triplet, proxy_nca.
    """
    counted = _with_others(targets)

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        found = surprise_of(over(cosines, 0.5 * temperature), *_sides(targets, rows))
        return _where(counted[rows] > 0, found.values, found.slopes / (0.5 * temperature))

    def exactly(cosines: Wide) -> Wide:
        slopes = slopes_of_surprise(cosines / (0.5 * temperature), *_sides(targets, slice(None)))
        return where(counted[:, None] > 0, slopes / (0.5 * temperature), 0.0)

    return _of_one(predictions, of_rows, exactly)
