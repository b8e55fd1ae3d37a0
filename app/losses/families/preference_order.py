"""Losses of preferences that compare the rewards of a batch in their order, and not answer by answer.

What counts is how rewards are distributed: the least of one side is set against the least of the other, and so on up.
"""

from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.families.preference import ANSWERS, QUARTER, REFERENCES, SYMBOLS, Beta, LabelSmoothing
from app.losses.loss import BOUNDED_GRADIENT, DIFFERENTIABLE, NON_NEGATIVE, Pullbacks, loss
from app.losses.numerics.logit import balance, logit, plus, times
from app.losses.numerics.pairs import Pair, difference, pair_negative
from app.losses.numerics.stable import Array
from app.registry import alias

Order: TypeAlias = NDArray[np.intp]


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=(
        "(1 − ε)·softplus(−β·z) + ε·softplus(β·z); z = c(i) − d(i); c(i) = aᵢ − bᵢ if paired, else aᵢ − a′ᵢ; "
        "d(i) = a′ⱼ − b′ⱼ if paired, else bⱼ − b′ⱼ"
    ),
    gradient=("∂ℓ/∂aᵢ = β·h; ∂ℓ/∂bᵢ = −β·h if paired, else 0; ∂ℓ/∂bⱼ = 0 if paired, else −β·h; h = ε·σ(β·z) − (1 − ε)·σ(−β·z)"),
    symbols={
        **SYMBOLS,
        "ε": "the label_smoothing: the share of pairs taken to be exchanged",
        "i": "the sample whose loss it is",
        "j": "the sample whose d has the place, from the least on, that c of sample i has",
        "c": "what is to be large",
        "d": "what it is set against",
    },
    aliases=("AOT", "aot_pair", alias("aot_unpaired", paired=False)),
    equals=(
        equal('trl.DPOConfig(loss_type="aot", beta=beta, label_smoothing=label_smoothing)'),
        equal('trl.DPOConfig(loss_type="aot_unpaired", beta=beta, label_smoothing=label_smoothing)', paired=False),
    ),
    reference="Melnyk et al. (2024), arXiv:2406.05882",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    coupling="batch",
    cost=Cost(per_number=60.0, beyond={"n·log n": 20.0}),
)
def aot(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    label_smoothing: LabelSmoothing = 0.0,
    paired: Annotated[
        bool, Doc("Whether margins are set against the reference's margins; otherwise chosen rewards against rejected ones.")
    ] = True,
) -> tuple[Array, Pullbacks]:
    """Makes all of a batch's margins larger than the reference's, place by place in their order: first-order dominance.

    A sample's loss is that of its own margin, or of its chosen answer. Of samples that are equal the first is the less.

    Use when: answers come without a partner (paired = false), or the whole distribution of margins shall move, its worst too.
    Avoid when: batches are small: the order of a few margins says little, and dpo takes each pair by itself.
    See also: dpo, cdpo, nca_pair, wasserstein_1d.
    """
    quarters = [QUARTER * array for array in (chosen, rejected, reference_chosen, reference_rejected)]
    a, b, a0, b0 = quarters
    own, other = (difference(a, b), difference(a0, b0)) if paired else (difference(a, a0), difference(b, b0))
    place, against = _ordered(own), _ordered(other)
    partner = np.empty_like(place)
    partner[place] = against
    z = logit(times(plus(own, pair_negative((other[0][partner], other[1][partner]))), beta / QUARTER))
    values = (1.0 - label_smoothing) * (-z).softplus + label_smoothing * z.softplus
    slope = beta * balance(z, label_smoothing, 1.0 - label_smoothing)

    def pullback(weights: Array) -> tuple[Array, Array]:
        pull = np.where(weights == 0, 0.0, weights * slope)
        if paired:
            return pull, -pull
        of_rejected = np.empty_like(pull)
        of_rejected[partner] = -pull
        return pull, of_rejected

    return values, pullback


def _ordered(x: Pair) -> Order:
    """The places of numbers from the least to the largest."""
    order: Order = np.lexsort((x[1], x[0]))
    return order
