"""Losses of contrasts within a batch: what belongs together is to be more alike than what does not, by cosines or products.

Samples have identities, or come in two sets of which the rows belong together one by one. A zero vector has the cosine 0 with
all others, and the gradient 0.
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
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, Pullback, Pullbacks, loss
from app.losses.numerics.logit import logit, plus
from app.losses.numerics.pairs import Pair, constant, pair_add
from app.losses.numerics.running import gap
from app.losses.numerics.similarities import (
    Flags,
    OfRows,
    Similarities,
    beside,
    log_one_plus,
    over,
    over_rows,
    scaled,
    share_of,
    surprise_of,
)
from app.losses.numerics.stable import Array
from app.registry import alias

Groups: TypeAlias = NDArray[np.int64]
OF_PAIRS = Cost(beyond={"n²": 150.0, "n²·d": 0.5})
IN_VIEW: Mapping[str, str] = {
    "i": "the sample whose loss it is",
    "c": "the cosine of the sample with another",
    "P": "the other samples of its identity",
    "N": "the samples of other identities",
}
_OTHERS: Mapping[str, str] = {name: IN_VIEW[name] for name in "cPN"}
_SETS: Mapping[str, str] = {
    "i": "the row of the first set whose loss it is",
    "c": "the cosine of that row with one of the second set",
}
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


def _of_one(predictions: Array, of_rows: OfRows) -> tuple[Array, Pullback]:
    """The loss of each sample, from its cosines with all."""
    n, alike = len(predictions), beside(predictions, predictions)
    found = over_rows(n, n, alike.tile, of_rows)

    def pullback(weights: Array) -> Array:
        own, others = alike.pulls(found.slopes(weights))
        return own + others

    return found.values, pullback


def _of_two(alike: Similarities, n: int, of_rows: OfRows) -> tuple[Array, Pullbacks]:
    """The loss of each row of one array, from its similarities with all of another."""
    found = over_rows(n, n, alike.tile, of_rows)
    return found.values, lambda weights: alike.pulls(found.slopes(weights))


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

    return _of_one(predictions, of_rows)


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
        return _soft_labels(over(cosines, temperature), np.where(same, share, 0.0), same | other, temperature)

    counted = _with_others(targets)
    return _of_one(predictions, lambda rows, cosines: _where(counted[rows] > 0, *of_rows(rows, cosines)))


def _where(counted: Flags, values: Array, slopes: Array) -> tuple[Array, Array]:
    return np.where(counted, values, 0.0), np.where(counted[:, None], slopes, 0.0)


def _soft_labels(exponents: Pair, labels: Array, which: Flags, unit: float) -> tuple[Array, Array]:
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
    See also: circle, nt_xent, supervised_contrastive, cosent.
    """

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        same, other = _sides(targets, rows)
        above = pair_add(cosines, constant(-base))
        near, far = log_one_plus(scaled(above, -alpha), same), log_one_plus(scaled(above, beta), other)
        return near.values / alpha + far.values / beta, far.slopes - near.slopes

    return _of_one(predictions, of_rows)


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
    See also: supervised_contrastive, triplet_margin, soft_margin_triplet.
    """
    counted = _with_others(targets)

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        found = surprise_of(over(cosines, 0.5 * temperature), *_sides(targets, rows))
        return _where(counted[rows] > 0, found.values, found.slopes / (0.5 * temperature))

    return _of_one(predictions, of_rows)


# --- two sets that belong together row by row ---------------------------------------------------------------------------


def _own(rows: slice, n: int) -> Flags:
    numbers = np.arange(n, dtype=np.int64)
    return numbers[rows, None] == numbers


def _own_among_all(n: int, temperature: float) -> OfRows:
    def of_rows(rows: slice, alike: Pair) -> tuple[Array, Array]:
        own = _own(rows, n)
        found = surprise_of(over(alike, temperature), own, ~own)
        return found.values, found.slopes / temperature

    return of_rows


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    formula="ln ∑ⱼ e^(cⱼ/τ) − cᵢ/τ",
    gradient="∂ℓ/∂cⱼ = 1/τ·(e^(cⱼ/τ)/∑ₗ e^(cₗ/τ) − [i = j])",
    symbols={**_SETS, "l": "counts the rows of the second set"},
    aliases=(
        "InfoNCE",
        "in_batch_negatives",
        alias("MultipleNegativesRankingLoss", temperature=0.05),
        alias("mnrl", temperature=0.05),
    ),
    equals=(equal("sentence_transformers.losses.MultipleNegativesRankingLoss()", temperature=0.05),),
    reference="van den Oord, Li and Vinyals (2018), arXiv:1807.03748",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=OF_PAIRS,
)
def info_nce(first: Array, second: Array, *, temperature: Temperature = 0.07) -> tuple[Array, Pullbacks]:
    """The surprise that each row of the first set finds its own in the second, by the softmax of their cosines.

    The other rows of the second set are what it is told apart from.

    Use when: questions and answers, or sentences and their translations, are given in pairs, and nothing is known to be wrong.
    Avoid when: a batch holds rows that would fit as well: they are pushed away; or batches are small.
    See also: clip, n_pairs, siglip, nt_xent.
    """
    n = len(first)
    return _of_two(beside(first, second), n, _own_among_all(n, temperature))


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    formula="½·ln ∑ⱼ e^(cⱼ/τ) + ½·ln ∑ⱼ e^(bⱼ/τ) − cᵢ/τ",
    gradient="∂ℓ/∂cⱼ = ½/τ·(e^(cⱼ/τ)/∑ₗ e^(cₗ/τ) − [i = j]); ∂ℓ/∂bⱼ = ½/τ·(e^(bⱼ/τ)/∑ₗ e^(bₗ/τ) − [i = j])",
    symbols={
        "i": "the row whose loss it is, of both sets",
        "c": "the cosine of that of the first set with one of the second",
        "b": "the cosine of that of the second set with one of the first",
        "l": "counts the rows of a set as well",
    },
    aliases=(
        "symmetric_info_nce",
        "clip_loss",
        "ClipLoss",
        alias("MultipleNegativesSymmetricRankingLoss", temperature=0.05),
    ),
    equals=(equal("sentence_transformers.losses.MultipleNegativesSymmetricRankingLoss()", temperature=0.05),),
    reference="Radford et al. (2021), arXiv:2103.00020",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=Cost(beyond={"n²": 300.0, "n²·d": 1.0}),
)
def clip(first: Array, second: Array, *, temperature: Temperature = 0.07) -> tuple[Array, Pullbacks]:
    """info_nce both ways: each row finds its own in the other set, whichever it is of; the mean of the two surprises.

    Use when: two kinds of things shall lie in one space, as pictures and their captions, and be found from either side.
    Avoid when: only one side is ever asked for, or batches are too small to hold hard cases.
    See also: info_nce, siglip, vicreg.
    """
    n = len(first)
    there, there_pulls = _of_two(beside(first, second), n, _own_among_all(n, temperature))
    back, back_pulls = _of_two(beside(second, first), n, _own_among_all(n, temperature))

    def pullback(weights: Array) -> tuple[Array, Array]:
        (a, b), (d, c) = there_pulls(0.5 * weights), back_pulls(0.5 * weights)
        return a + c, b + d

    return 0.5 * there + 0.5 * back, pullback


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    formula="∑ⱼ softplus(−zⱼ·(a·cⱼ + b)); zⱼ = 1 if i = j, else −1",
    gradient="∂ℓ/∂cⱼ = −zⱼ·a·σ(−zⱼ·(a·cⱼ + b))",
    symbols={**_SETS, "a": "the scale", "b": "the bias"},
    aliases=("SigLipLoss", "sigmoid_contrastive"),
    reference="Zhai et al. (2023), arXiv:2303.15343",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=OF_PAIRS,
)
def siglip(
    first: Array,
    second: Array,
    *,
    scale: Annotated[float, Gt(0), Le(1000), Doc("What cosines are multiplied by; SigLIP learns it, from 10 on.")] = 10.0,
    bias: Annotated[float, Ge(-1e6), Le(1e6), Doc("What is added to them; SigLIP learns it, from −10 on.")] = -10.0,
) -> tuple[Array, Pullbacks]:
    """Asks of every pair of a row and one of the other set by itself whether they belong together: yes or no, no softmax.

    A row's loss is the sum over the other set, as in the paper.

    Use when: batches are large or spread over machines, and what a pair costs should not depend on all the others.
    Avoid when: batches are small: few pairs belong together beside the many that do not, which the bias has to outweigh.
    See also: clip, info_nce, binary_cross_entropy.
    """
    n = len(first)

    def of_rows(rows: slice, cosines: Pair) -> tuple[Array, Array]:
        own = _own(rows, n)
        x = plus(scaled(cosines, scale), constant(bias))
        z = logit((np.where(own, -x[0], x[0]), np.where(own, -x[1], x[1])))
        return z.softplus.sum(axis=1), np.where(own, -scale, scale) * z.sigmoid

    return _of_two(beside(first, second), n, of_rows)


@loss(
    predictions={"anchor": EMBEDDING, "positive": EMBEDDING},
    targets=GROUP,
    formula="ln ∑ⱼ exp(a·uⱼ) − mean_(j ∈ P) a·uⱼ",
    gradient="∂ℓ/∂a = ∑ⱼ uⱼ·(exp(a·uⱼ)/∑ₗ exp(a·uₗ) − mean_(b ∈ P) [b = j])",
    symbols={
        "a": "the anchor of the sample whose loss it is",
        "u": "the positives of all samples",
        "P": "those of its identity, its own among them",
        "l": "counts the samples as well",
        "b": "a sample of the identity",
    },
    aliases=("npairs", "NpairsLoss", "npairs_loss", "NPairsLoss"),
    equals=(
        equal(
            "tensorflow_addons.losses.NpairsLoss()(targets, anchor @ positive.T)",
            caveat="It takes the similarities themselves.",
        ),
        equal(
            "pytorch_metric_learning.losses.NPairsLoss()(torch.cat((anchor, positive)), torch.cat((targets, targets)))",
            encodings={"anchor": "unit", "positive": "unit", "targets": "apart"},
            differs_at=("gradient",),
            caveat="It takes one pair of each identity, and makes vectors as long as 1 first.",
        ),
    ),
    reference="Sohn (2016), https://papers.nips.cc/paper/6200-improved-deep-metric-learning-with-multi-class-n-pair-loss-objective",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=OF_PAIRS,
)
def n_pairs(anchor: Array, positive: Array, targets: Groups) -> tuple[Array, Pullbacks]:
    """The mean surprise at the positives of an anchor's identity, by the softmax of its products with those of all samples.

    Vectors are taken as long as they are; the paper adds a small penalty on their lengths, which is not in here.

    Use when: each identity gives an anchor and a positive to a batch, and lengths of vectors may say how sure they are.
    Avoid when: only directions shall count (info_nce): products grow with lengths, and the softmax with them.
    See also: info_nce, supervised_contrastive, triplet_margin.
    """

    def of_rows(rows: slice, products: Pair) -> tuple[Array, Array]:
        same = targets[rows, None] == targets
        share = 1.0 / same.sum(axis=1, keepdims=True)
        return _soft_labels(products, np.where(same, share, 0.0), np.ones_like(same), 1.0)

    return _of_two(beside(anchor, positive, cosines=False), len(anchor), of_rows)
