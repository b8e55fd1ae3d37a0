"""Losses that shape a space: of embeddings (n, d), which belong together or apart, or of distances between them.

A distance has no gradient where it is 0, nor a cosine at a zero vector: both count as 0 there.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import BINARY, DISTANCE, EMBEDDING, REAL, SIGN, per_sample
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    SYMMETRIC,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.angles import cosine_and_sine, of_degrees
from app.losses.numerics.logit import logit
from app.losses.numerics.pairs import (
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    pair_sum,
    two_sum,
)
from app.losses.numerics.rows import headroom
from app.losses.numerics.stable import Array, power_of_two
from app.losses.numerics.vectors import cosine_of, lead_of, length_of, scaled_exactly, shifted_difference, turn_of
from app.registry import alias


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
    cosine = cosine_of(predictions, targets)
    return -cosine.value[0], -cosine.gradient


@loss(
    predictions=EMBEDDING,
    targets=EMBEDDING,
    formula="(∑ᵢ |rᵢ|^ρ)^(1/ρ)",
    gradient="sign(rᵢ)·(|rᵢ|/ℓ)^(ρ − 1)",
    aliases=("lp_distance", "euclidean", alias("manhattan", power=1.0)),
    reference="Deza and Deza (2009), Encyclopedia of Distances, doi:10.1007/978-3-642-00234-2",
    properties=CONVEX | DIFFERENTIABLE | SYMMETRIC | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def minkowski(
    predictions: Array,
    targets: Array,
    *,
    power: Annotated[float, Ge(1), Le(1000), Doc("The norm that measures distances: 2 Euclidean, 1 city block.")] = 2.0,
) -> tuple[Array, Array]:
    """The distance of a vector from its target: the root of what lp_loss sums, in the unit of the numbers.

    Where a vector meets its target the gradient is 0, and so it is of a number that does.

    Use when: positions or vectors are predicted and how far off they are counts, not its square: far ones pull no harder.
    Avoid when: near the target a gentle slope is wanted, which mean_squared_error has; here it is of length 1 up to the end.
    See also: lp_loss, mean_squared_error, cosine_similarity.
    """
    room = headroom(np.maximum(np.abs(predictions), np.abs(targets)))
    apart = length_of(two_sum(predictions * room, -targets * room), power)
    return (apart.value[0] / room)[:, 0], apart.slope[0]


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
    cosine = cosine_of(first, second)
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
    aliases=("HingeEmbeddingLoss", "hinge_embedding_loss", "EBGAN", "energy_based_gan"),
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
    See also: soft_margin_triplet, contrastive, circle, margin_ranking.
    """
    largest = np.maximum(np.maximum(np.abs(anchor), np.abs(positive)), np.abs(negative)).max(axis=1)
    scale = power_of_two(np.maximum(largest, max(margin, eps)))[:, None]
    a, b, c, shift = anchor / scale, positive / scale, negative / scale, eps / scale
    near, far = length_of(shifted_difference(a, b, shift), p), length_of(shifted_difference(a, c, shift), p)
    lead = lead_of(near, far, two_sum(c, -b), p)
    turn = turn_of(near, far, two_sum(c, -b), lead, p)
    inward, outward = -near.slope[0], far.slope[0]
    if swap:
        other = length_of(shifted_difference(b, c, shift), p)
        gap = lead_of(other, far, two_sum(b, -a), p)[0]
        share = np.where(gap < 0, 1.0, np.where(gap == 0, 0.5, 0.0))  # a tie is halved, as by PyTorch's minimum
        swapped = lead_of(near, other, pair_add(two_sum(a, -b), two_sum(c, -b)), p)
        lead = np.where(gap < 0, swapped[0], lead[0]), np.where(gap < 0, swapped[1], lead[1])
        push, direction = scaled_exactly(far.slope, 1.0 - share), scaled_exactly(other.slope, share)
        turn = np.where(share > 0, pair_add(near.slope, pair_negative(push))[0], turn)
        inward, outward = -pair_add(near.slope, direction)[0], pair_add(push, direction)[0]
    total = pair_add(lead, (margin / scale, np.zeros_like(scale)))[0]
    active = np.where(total >= 0, 1.0, 0.0)  # at the kink as well, as in PyTorch
    values = np.maximum(total, 0.0) * scale
    return values[:, 0], (active * turn, active * inward, active * outward)


@loss(
    predictions={"anchor": EMBEDDING, "positive": EMBEDDING, "negative": EMBEDDING},
    formula="softplus(‖a − u‖ − ‖a − v‖)",
    gradient=(
        "∂ℓ/∂a = h·((a − u)/‖a − u‖ − (a − v)/‖a − v‖); ∂ℓ/∂u = −h·(a − u)/‖a − u‖; ∂ℓ/∂v = h·(a − v)/‖a − v‖; "
        "h = σ(‖a − u‖ − ‖a − v‖)"
    ),
    symbols={"a": "the anchor", "u": "the positive", "v": "the negative"},
    aliases=("softplus_triplet", "SoftMarginTripletLoss"),
    reference="Hermans, Beyer and Leibe (2017), arXiv:1703.07737",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def soft_margin_triplet(anchor: Array, positive: Array, negative: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Places an anchor nearer to a sample of its own class than to one of another, without a margin and without an end.

    The slope of a distance of 0 is 0.

    Use when: no margin suits all samples, and those of one class shall go on moving together.
    Avoid when: triplets are drawn at random: the many that are right keep pulling a little (triplet_margin).
    See also: triplet_margin, batch_all_triplet, bradley_terry.
    """
    largest = np.maximum(np.maximum(np.abs(anchor), np.abs(positive)), np.abs(negative)).max(axis=1)
    scale = power_of_two(largest)[:, None]
    a, b, c = anchor / scale, positive / scale, negative / scale
    near, far, apart = length_of(two_sum(a, -b), 2.0), length_of(two_sum(a, -c), 2.0), two_sum(c, -b)
    lead = lead_of(near, far, apart, 2.0)
    z = logit((lead[0] * scale, lead[1] * scale))
    turn = turn_of(near, far, apart, lead, 2.0)
    return z.softplus[:, 0], (z.sigmoid * turn, -z.sigmoid * near.slope[0], z.sigmoid * far.slope[0])


@loss(
    predictions={"anchor": EMBEDDING, "positive": EMBEDDING, "negative": EMBEDDING},
    formula="max(0, ‖a − u‖² − 4b·‖v − ½(a + u)‖²)",
    gradient=(
        "∂ℓ/∂a = 2(a − u) + 2b·(2v − a − u) if ℓ > 0, else 0; ∂ℓ/∂u = 2(u − a) + 2b·(2v − a − u) if ℓ > 0, else 0; "
        "∂ℓ/∂v = −4b·(2v − a − u) if ℓ > 0, else 0"
    ),
    symbols={"a": "the anchor", "u": "the positive", "v": "the negative", "b": "the squared tangent of the angle"},
    aliases=("angular_loss",),
    reference="Wang et al. (2017), doi:10.1109/ICCV.2017.283",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def angular(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    alpha: Annotated[
        float, Gt(0), Lt(90), Doc("Angle at the negative, in degrees, that the anchor and the positive may span.")
    ] = 40.0,
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Makes the angle small under which a negative sees the anchor and the positive: blind to the scale of the space.

    This is the loss of a triplet by itself; pytorch-metric-learning puts those of a batch together, by a smooth maximum.

    Use when: distances differ from class to class, so that no margin of distances fits all of them.
    Avoid when: a triplet shall be right by a distance that is the same everywhere (triplet_margin).
    See also: triplet_margin, soft_margin_triplet.
    """
    largest = np.maximum(np.maximum(np.abs(anchor), np.abs(positive)), np.abs(negative)).max(axis=1)
    scale = power_of_two(largest)[:, None]
    a, u, v = anchor / scale, positive / scale, negative / scale
    cosine, sine = cosine_and_sine(of_degrees(alpha))
    tangent = pair_divide(sine, cosine)
    b = pair_multiply(tangent, tangent)
    side, height = two_sum(a, -u), pair_add(two_sum(v, -a), two_sum(v, -u))
    seen = pair_multiply(pair_sum(pair_multiply(height, height)), b)
    total = pair_add(pair_sum(pair_multiply(side, side)), pair_negative(seen))[0]
    active, pushed = np.where(total > 0, 2.0, 0.0) * scale, pair_multiply(height, b)
    return (np.maximum(total, 0.0) * scale * scale)[:, 0], (
        active * pair_add(side, pushed)[0],
        active * pair_add(pair_negative(side), pushed)[0],
        active * -2.0 * pushed[0],
    )
