"""Losses that shape a space: of embeddings (n, d), which belong together or apart, or of distances between them.

A distance has no gradient where it is 0, nor a cosine at a zero vector: both count as 0 there. Nearly parallel or equally
distant vectors make cosines, distances and their gradients cancel, so these are taken in double-double.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from app.losses.encodings import BINARY, DISTANCE, EMBEDDING, GROUP, REAL, SIGN, Encoding
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    Pullback,
    loss,
)
from app.losses.stable import (
    Array,
    Pair,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_sqrt,
    pair_sum,
    power_of_two,
    sigmoid,
    softplus,
    two_product,
    two_sum,
)


def _per_sample(encoding: Encoding) -> Encoding:
    """One label for each sample, where the predictions do not have the label's shape."""
    return replace(encoding, axes=("n",), draw=lambda rng, sizes: encoding.draw(rng, replace(sizes, d=())))


@loss(
    predictions=EMBEDDING,
    targets=EMBEDDING,
    formula="−a·b / (‖a‖‖b‖)",
    aliases=("CosineSimilarity", "cosine_loss", "cosine_proximity"),
    equals=("keras.losses.CosineSimilarity()", "-optax.losses.cosine_similarity", "-torch.nn.functional.cosine_similarity"),
    properties=DIFFERENTIABLE | SYMMETRIC,
)
def cosine_similarity(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Turns vectors towards their targets, whatever their lengths: −1 where they are parallel, 1 where opposite.

    A zero vector has the loss and the gradient 0.
    """
    cosine = _Cosine(predictions, targets)
    return -cosine.value[0], -cosine.gradient()


@loss(
    predictions=DISTANCE,
    targets=_per_sample(BINARY),
    formula="y·d² + (1 − y)·max(0, m − d)²",
    aliases=("ContrastiveLoss", "contrastive_loss", "siamese"),
    equals=("tfa.losses.ContrastiveLoss(margin)", "2 · sentence_transformers.losses.ContrastiveLoss(margin)"),
    reference="Hadsell, Chopra and LeCun (2006), doi:10.1109/CVPR.2006.100",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def contrastive(
    predictions: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("Distance from which two different samples are far enough apart.")] = 1.0,
) -> tuple[Array, Array]:
    """Pulls two samples of one class together and pushes two of different classes at least a margin apart.

    Targets are 1 for a pair of the same class; Hadsell, Chopra and LeCun write 0 for it, and halve the loss.
    """
    excess = targets * predictions + (1.0 - targets) * np.maximum(margin - predictions, 0.0)
    return excess * excess, (4.0 * targets - 2.0) * excess


@loss(
    predictions={"first": EMBEDDING, "second": EMBEDDING},
    targets=_per_sample(SIGN),
    formula="1 − cos(a, b) if y = 1, max(0, cos(a, b) − m) if y = −1",
    aliases=("CosineEmbeddingLoss", "cosine_embedding_loss"),
    equals=("torch.nn.CosineEmbeddingLoss(margin)",),
    properties=DIFFERENTIABLE | NON_NEGATIVE,
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
    """
    cosine = _Cosine(first, second)
    over = pair_add(cosine.value, (np.full_like(targets, -margin), np.zeros_like(targets)))[0]
    values = np.where(targets > 0, cosine.complement(), np.maximum(over, 0.0))
    slope = np.where(targets > 0, -1.0, np.where(over >= 0, 1.0, 0.0))[:, None]  # active at the kink, as in PyTorch
    return values, (slope * cosine.gradient(), slope * cosine.swapped().gradient())


@loss(
    predictions=REAL,
    targets=SIGN,
    formula="x if y = 1, max(0, m − x) if y = −1",
    aliases=("HingeEmbeddingLoss", "hinge_embedding_loss"),
    equals=("torch.nn.HingeEmbeddingLoss(margin)",),
    properties=CONVEX | DIFFERENTIABLE | BOUNDED_GRADIENT,
)
def hinge_embedding(
    predictions: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("Distance from which two different samples are far enough apart.")] = 1.0,
) -> tuple[Array, Array]:
    """Reduces the distance of two similar samples, and raises that of two different ones up to a margin."""
    same, room = targets > 0, margin - predictions
    # at the margin the hinge is active, as in PyTorch
    return np.where(same, predictions, np.maximum(room, 0.0)), np.where(same, 1.0, np.where(room >= 0, -1.0, 0.0))


@loss(
    predictions={"anchor": EMBEDDING, "positive": EMBEDDING, "negative": EMBEDDING},
    formula="max(0, d(a, p) − d(a, n) + m), d(a, b) = ‖a − b + ε‖ₚ; with swap: min(d(a, n), d(p, n)) for d(a, n)",
    aliases=("TripletMarginLoss", "triplet_margin_loss", "triplet"),
    equals=("torch.nn.TripletMarginLoss(margin, p, eps, swap)", "optax.losses.triplet_margin_loss(eps=0) with eps=0"),
    reference="Balntas, Riba, Ponsa and Mikolajczyk (2016), doi:10.5244/C.30.119",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def triplet_margin(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("How much farther the negative shall be than the positive.")] = 1.0,
    p: Annotated[float, Ge(1), Doc("The norm that measures distances: 2 Euclidean, 1 city block.")] = 2.0,
    eps: Annotated[float, Ge(0), Doc("Added to each difference of two components, as PyTorch does.")] = 1e-6,
    swap: Annotated[bool, Doc("Whether the negative's distance is taken from the positive where it is nearer to that.")] = False,
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Places an anchor nearer to a sample of its own class than to one of another class, by a margin."""
    largest = np.maximum(np.maximum(np.abs(anchor), np.abs(positive)), np.abs(negative)).max(axis=1)
    scale = power_of_two(np.maximum(largest, max(margin, eps)))[:, None]
    a, b, c, shift = anchor / scale, positive / scale, negative / scale, eps / scale
    near, near_direction = _norm(_difference(a, b, shift), p)
    far, direction = _norm(_difference(a, c, shift), p)
    if swap:
        other, other_direction = _norm(_difference(b, c, shift), p)
        gap = pair_add(other, _negative(far))[0]
        share = np.where(gap < 0, 1.0, np.where(gap == 0, 0.5, 0.0))  # a tie is halved, as by PyTorch's minimum
        far = np.where(gap < 0, other[0], far[0]), np.where(gap < 0, other[1], far[1])
        direction = direction[0] * (1.0 - share), direction[1] * (1.0 - share)
        from_positive = other_direction[0] * share, other_direction[1] * share
    else:
        from_positive = np.zeros_like(a), np.zeros_like(a)
    total = pair_add(pair_add(near, _negative(far)), (margin / scale, np.zeros_like(scale)))[0]
    active = np.where(total >= 0, 1.0, 0.0)  # at the kink as well, as in PyTorch
    return (np.maximum(total, 0.0) * scale)[:, 0], (
        active * pair_add(near_direction, _negative(direction))[0],
        -active * pair_add(near_direction, from_positive)[0],
        active * pair_add(direction, from_positive)[0],
    )
