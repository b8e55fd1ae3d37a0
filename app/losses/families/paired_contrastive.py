"""Losses of contrasts between two sets whose rows belong together one by one: views, pictures and texts, questions and answers.

A row of the one set is to be more like its own row of the other than like all the others. A zero vector has the cosine 0 with
all others, and the gradient 0.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import EMBEDDING, GROUP
from app.losses.families.contrastive import OF_PAIRS, Groups, Temperature, soft_labels
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, Pullbacks, loss
from app.losses.numerics.logit import logit, plus
from app.losses.numerics.pairs import Pair, constant
from app.losses.numerics.similarities import (
    Flags,
    OfRows,
    Similarities,
    beside,
    over,
    over_rows,
    scaled,
    surprise_of,
)
from app.losses.numerics.small_batches import (
    Exactly,
    all_of,
    pulls_beside,
    slopes_of_labels,
    slopes_of_surprise,
    small,
    turned,
    weighted,
)
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, sigmoid, wide
from app.registry import alias

_SETS: Mapping[str, str] = {
    "i": "the row of the first set whose loss it is",
    "c": "the cosine of that row with one of the second set",
}


def _of_two(alike: Similarities, of_rows: OfRows, exactly: Exactly) -> tuple[Array, Pullbacks]:
    """The loss of each row of one array, from its similarities with all of another; in a small batch with unrounded slopes."""
    n = len(alike.first.scaled)
    found = over_rows(n, n, alike.tile, of_rows)

    def pullback(weights: Array) -> tuple[Array, Array]:
        if small(n, n):
            (of_first, _), (of_second, _) = pulls_beside(alike, weighted(exactly(all_of(alike)), weights))
        else:
            (of_first, _), (of_second, _) = alike.pulls(found.slopes(weights))
        return of_first, of_second

    return found.values, pullback


def _own(rows: slice, n: int) -> Flags:
    numbers = np.arange(n, dtype=np.int64)
    return numbers[rows, None] == numbers


def _own_among_all(n: int, temperature: float) -> OfRows:
    def of_rows(rows: slice, alike: Pair) -> tuple[Array, Array]:
        own = _own(rows, n)
        found = surprise_of(over(alike, temperature), own, ~own)
        return found.values, found.slopes / temperature

    return of_rows


def _own_exactly(n: int, temperature: float) -> Exactly:
    def exactly(cosines: Wide) -> Wide:
        own = _own(slice(None), n)
        return slopes_of_surprise(cosines / temperature, own, ~own) / temperature

    return exactly


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
    return _of_two(beside(first, second), _own_among_all(n, temperature), _own_exactly(n, temperature))


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
    of_rows, exactly = _own_among_all(n, temperature), _own_exactly(n, temperature)
    there, there_pulls = _of_two(alike := beside(first, second), of_rows, exactly)
    back, back_pulls = _of_two(beside(second, first), of_rows, exactly)

    def pullback(weights: Array) -> tuple[Array, Array]:
        if small(n, n):  # what either way pulls may cancel
            cosines = all_of(alike)
            forth, back = (weighted(exactly(item), 0.5 * weights) for item in (cosines, turned(cosines)))
            (of_first, _), (of_second, _) = pulls_beside(alike, forth + turned(back))
            return of_first, of_second
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

    def exactly(cosines: Wide) -> Wide:
        side = np.where(_own(slice(None), n), -1.0, 1.0)
        return sigmoid((cosines * scale + bias) * side) * (side * scale)

    return _of_two(beside(first, second), of_rows, exactly)


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
    aliases=("npairs", "n_pair", "NpairsLoss", "npairs_loss", "NPairsLoss"),
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
        return soft_labels(products, np.where(same, share, 0.0), np.ones_like(same), 1.0)

    def exactly(products: Wide) -> Wide:
        same = targets[:, None] == targets
        labels = wide(same.astype(np.float64)) / same.sum(axis=1, keepdims=True).astype(np.float64)
        return slopes_of_labels(products, labels, np.ones_like(same))

    return _of_two(beside(anchor, positive, cosines=False), of_rows, exactly)
