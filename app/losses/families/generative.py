"""Losses of generators and of the critics that tell what they make from what is real, on the critic's scores.

A critic learns with real samples labelled 1 and made ones −1; a generator with what it made, labelled 1.
"""

import numpy as np

from app.losses.encodings import REAL, SIGN, VALUE
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    Pullbacks,
    Second,
    loss,
)
from app.losses.numerics.logit import Logit, logit, plus, times
from app.losses.numerics.pairs import Pair, constant, pair, pair_divide
from app.losses.numerics.stable import Array, exact_sum, power_of_two, sigmoid, sigmoid_slope, softplus


@loss(
    predictions=REAL,
    targets=SIGN,
    formula="−y·s",
    gradient="−y",
    aliases=("wasserstein_gan", "wasserstein_critic", "WGAN", "unhinged"),
    reference="Arjovsky, Chintala and Bottou (2017), arXiv:1701.07875",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | BOUNDED_GRADIENT,
)
def wgan(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Raises the scores of real samples and lowers those of made ones without end: a mean is half of how far both are apart.

    Of a generator, the same with all of its samples labelled 1. That the critic's slopes stay bounded, by clipped weights, a
    penalty or normalised layers, is not seen here: without it nothing keeps the scores finite.

    Use when: a critic is held to bounded slopes, and its scores shall tell how far made samples are from real ones.
    Avoid when: nothing bounds the critic: hinge or binary_cross_entropy end by themselves.
    See also: minimax_gan, relativistic_average_gan, hinge.
    """
    return -targets * predictions, -targets, lambda: np.zeros_like(predictions)


@loss(
    predictions=REAL,
    formula="−softplus(s)",
    gradient="−σ(s)",
    aliases=("saturating_gan", "minimax_generator"),
    reference="Goodfellow et al. (2014), arXiv:1406.2661",
    properties=DIFFERENTIABLE | SMOOTH | BOUNDED_GRADIENT,
)
def minimax_gan(predictions: Array) -> tuple[Array, Array, Second]:
    """What a generator minimises in the game as it was written first: ln(1 − σ(s)) of the critic's scores of what it made.

    The critic's own loss in that game is binary_cross_entropy of its logits.

    Use when: the game itself is studied, whose value is the Jensen–Shannon divergence of made and real samples.
    Avoid when: a generator is trained: where the critic is sure it has no slope, and binary_cross_entropy with all labels 1,
    the non-saturating loss, has its largest there.
    See also: wgan, binary_cross_entropy, jensen_shannon_divergence.
    """
    return -softplus(predictions), -sigmoid(predictions), lambda: -sigmoid_slope(predictions)


def _mean(scores: Array) -> Pair:
    """A quarter of the mean (1,), unrounded: quarters do not overflow."""
    unit = power_of_two(np.full(1, 4.0 * len(scores)))
    shares = scores / unit
    total = np.full(1, exact_sum(shares))
    rest = np.full(1, exact_sum(np.concatenate((shares, -total))))
    return pair_divide((total, rest), constant(4.0 * len(scores) / float(unit[0])))


@loss(
    predictions={"real": VALUE, "fake": VALUE},
    formula="½·softplus(b − s) + ½·softplus(t − a)",
    gradient="∂ℓ/∂s = −½·σ(b − s); ∂ℓ/∂t = ½·σ(t − a)",
    symbols={
        "s": "the score of a real sample",
        "t": "the score of a made one",
        "a": "the mean score of the real samples of the batch, which moves with each of them",
        "b": "that of the made ones",
    },
    aliases=("RaGAN", "RaSGAN", "relativistic_average"),
    reference="Jolicoeur-Martineau (2019), arXiv:1807.00734",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
)
def relativistic_average_gan(real: Array, fake: Array) -> tuple[Array, Pullbacks]:
    """Makes real samples look more real than made ones do on average, and made ones less than real ones do.

    A generator learns with both exchanged. The gradient goes through both means.

    Use when: a critic wins too soon: how real made samples look counts only beside the real ones of the batch.
    Avoid when: batches are small, and their means with them; of pairs of one sample each it is bradley_terry.
    See also: wgan, bradley_terry, binary_cross_entropy.
    """
    n = len(real)
    missing = _behind(real, fake), _behind(-fake, -real)

    def pullback(weights: Array) -> tuple[Array, Array]:
        low, high = (0.5 * weights * item.sigmoid for item in missing)
        return -low - high.sum() / n, high + low.sum() / n

    return 0.5 * (missing[0].softplus + missing[1].softplus), pullback


def _behind(scores: Array, others: Array) -> Logit:
    """How much each score is below the mean of the others."""
    mean = _mean(others)
    quarters = plus((np.broadcast_to(mean[0], scores.shape), np.broadcast_to(mean[1], scores.shape)), pair(-0.25 * scores))
    return logit(times(quarters, 4.0))
