"""Losses that train a language model on the rewards of answers by themselves, or without a reference: one is good, or better.

An answer's implicit reward is β times how much likelier the model makes it than a reference does; those of whole pairs by
their margin are in preference.py.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from app.libraries import equal
from app.losses.encodings import BINARY, LOG_PROBABILITY, MEAN_LOG_PROBABILITY, per_sample
from app.losses.families.preference import ANSWERS, REFERENCES, SYMBOLS, Beta, trl
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, Seconds, loss
from app.losses.numerics.logit import Logit, balance, logit, plus, times
from app.losses.numerics.pairs import constant, difference, pair_divide, pair_negative
from app.losses.numerics.rewards import QUARTER, Both, bends_of, exp_of, pulls_of_margin, reward_of, rewards_of
from app.losses.numerics.stable import Array


@loss(
    predictions={"chosen": MEAN_LOG_PROBABILITY, "rejected": MEAN_LOG_PROBABILITY},
    formula="softplus(γ − β·(a − b))",
    gradient="∂ℓ/∂a = −β·σ(γ − β·(a − b)); ∂ℓ/∂b = β·σ(γ − β·(a − b))",
    symbols={"a": "the mean log-probability of the chosen answer", "b": "the mean log-probability of the rejected answer"},
    aliases=("SimPO",),
    equals=(equal('trl.CPOConfig(loss_type="simpo", cpo_alpha=0.0, beta=beta, simpo_gamma=gamma)'),),
    reference="Meng, Xia and Chen (2024), arXiv:2405.14734",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def simpo(
    chosen: Array,
    rejected: Array,
    *,
    beta: Annotated[float, Gt(1e-100), Lt(1e100), Doc("The reward of a unit of log-probability.")] = 2.0,
    gamma: Annotated[float, Ge(0), Lt(1e100), Doc("By how much the chosen answer's reward shall lead.")] = 0.5,
) -> tuple[Array, Both, Seconds]:
    """Makes the chosen answer likelier per token than the rejected one, by a margin and without a reference model.

    Predictions are the means of the tokens' log-probabilities, which is what the model generates by.

    Use when: a second model for the reference does not fit into memory, or answers must not grow longer.
    Avoid when: the model shall stay near the one that it starts from: nothing here holds it.
    See also: dpo, orpo, dpo_norm, bradley_terry.
    """
    lead = times(difference(QUARTER * chosen, QUARTER * rejected), beta / QUARTER)
    z = logit(plus(lead, constant(-gamma)))
    return (-z).softplus, pulls_of_margin(beta, -(-z).sigmoid), bends_of(beta, lambda: z.slope)


@loss(
    predictions={"chosen": MEAN_LOG_PROBABILITY, "rejected": MEAN_LOG_PROBABILITY},
    formula="−a + β·softplus(−z); z = a − b + ln(1 − eᵇ) − ln(1 − eᵃ)",
    gradient="∂ℓ/∂a = −1 − β·σ(−z)/(1 − eᵃ); ∂ℓ/∂b = β·σ(−z)/(1 − eᵇ)",
    symbols={"a": "the mean log-probability of the chosen answer", "b": "the mean log-probability of the rejected answer"},
    aliases=("ORPO", "odds_ratio_preference_optimization"),
    equals=(equal("trl.ORPOConfig(beta=beta)"),),
    reference="Hong, Lee and Thorne (2024), arXiv:2403.07691",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def orpo(
    chosen: Array,
    rejected: Array,
    *,
    beta: Annotated[float, Gt(1e-100), Lt(1e100), Doc("What the log-odds ratio counts beside the likelihood.")] = 0.1,
) -> tuple[Array, Both]:
    """Learns the chosen answer as a supervised one, and raises its odds above those of the rejected one besides.

    Predictions are the means of the tokens' log-probabilities.

    Use when: fine-tuning and preferences shall be one step, without a reference model.
    Avoid when: the model is tuned already: the likelihood of the chosen answers then outweighs the preference.
    See also: dpo, simpo.
    """
    gap, lost = difference(rejected, chosen)
    likelier = exp_of(gap, lost)
    a, b = -np.expm1(chosen), -np.expm1(rejected)
    odds = likelier * (a / b)  # e⁻ᶻ
    usable = odds < 1e300
    # where the odds leave float64, both parts of their logarithm are above 0: nothing cancels
    surprise = np.where(usable, np.log1p(odds), gap + (np.log(a) - np.log(b)))
    # σ(−z)/(1 − eᵃ): neither underflows between where the odds are small, nor overflows where they are large
    pulled = np.where(odds < 1.0, likelier / b / (1.0 + odds), np.where(usable, odds / (1.0 + odds), 1.0) / a)
    pushed = np.where(usable, odds / (1.0 + odds), 1.0) / b
    return beta * surprise - chosen, (-1.0 - beta * pulled, beta * pushed)


@loss(
    predictions=LOG_PROBABILITY,
    targets={"reference": LOG_PROBABILITY, "desirable": per_sample(BINARY)},
    formula="c·σ(−β·(p − p′ − z)) if y = 1, else d·σ(β·(p − p′ − z))",
    gradient=("−c·β·σ(β·(p − p′ − z))·σ(−β·(p − p′ − z)) if y = 1, else d·β·σ(β·(p − p′ − z))·σ(−β·(p − p′ − z))"),
    symbols={
        "p": "the log-probability of the answer",
        "p′": "the reference's log-probability of the answer",
        "y": "whether the answer is desirable",
        "z": "the kl, from which gains and losses are counted",
        "c": "the desirable_weight",
        "d": "the undesirable_weight",
    },
    aliases=("KTO", "kahneman_tversky_optimization"),
    equals=(
        equal(
            "trl.KTOConfig(beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)",
            caveat="TRL estimates kl in every batch, from answers put beside prompts that are not theirs.",
        ),
    ),
    reference="Ethayarajh et al. (2024), arXiv:2402.01306",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def kto(
    predictions: Array,
    reference: Array,
    desirable: Array,
    *,
    beta: Beta = 0.1,
    kl: Annotated[
        float, Ge(0), Lt(1e100), Doc("How far the model is from the reference in general; its rewards are counted from there.")
    ] = 0.0,
    desirable_weight: Annotated[float, Ge(0), Lt(1e100), Doc("What a desirable answer counts.")] = 1.0,
    undesirable_weight: Annotated[float, Ge(0), Lt(1e100), Doc("What an undesirable answer counts.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """Raises the reward of desirable answers and lowers that of others, each on its own: no pairs are needed.

    Use when: answers have a thumb up or down, and hardly any two belong to the same prompt.
    Avoid when: answers were compared in pairs: their difference says more than two single labels.
    See also: dpo, bco_pair, apo_zero.
    """
    z = logit(times(plus(reward_of(predictions, reference), constant(-QUARTER * kl)), beta / QUARTER))
    side = np.where(desirable > 0, -1.0, 1.0)
    weight = np.where(desirable > 0, desirable_weight, undesirable_weight)
    value = weight * np.where(desirable > 0, (-z).sigmoid, z.sigmoid)
    return value, side * weight * (beta * z.slope), lambda: side * weight * (beta * (beta * z.bend))


REWARDS = {
    **SYMBOLS,
    "u": "the reward of the chosen answer",
    "v": "the reward of the rejected answer",
}
OF_BOTH = "u = β·(a − a′); v = β·(b − b′)"


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"softplus(−u) + ½ softplus(u) + ½ softplus(v); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = β·(½σ(u) − σ(−u)); ∂ℓ/∂b = ½β·σ(v); {OF_BOTH}",
    symbols=REWARDS,
    aliases=("nca", "noise_contrastive_alignment"),
    equals=trl("nca_pair"),
    reference="Chen et al. (2024), arXiv:2402.05369",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def nca_pair(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both, Seconds]:
    """Optimises each answer's likelihood itself, so that the chosen one does not become less likely on the way.

    Use when: dpo lowers the likelihood of both answers, the chosen one only by less.
    Avoid when: only the order counts: a reward that is large already is pulled back here.
    See also: dpo, bco_pair, apo_zero.
    """
    u, v = rewards_of(beta, chosen, rejected, reference_chosen, reference_rejected)
    values = (-u).softplus + 0.5 * (u.softplus + v.softplus)
    gradient = beta * balance(u, 0.5, 1.0), 0.5 * beta * v.sigmoid
    return values, gradient, bends_of(beta, lambda: 1.5 * u.slope, lambda: 0.5 * v.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"softplus(δ − u) + softplus(v − δ); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = −β·σ(δ − u); ∂ℓ/∂b = β·σ(v − δ); {OF_BOTH}",
    symbols=REWARDS,
    aliases=("bco", "binary_classifier_optimization"),
    equals=trl("bco_pair"),
    reference="Jung et al. (2024), arXiv:2404.04656",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def bco_pair(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    delta: Annotated[
        float, Gt(-1e100), Lt(1e100), Doc("The reward that tells good from bad: in the paper, the running mean of all rewards.")
    ] = 0.0,
) -> tuple[Array, Both, Seconds]:
    """A classifier of good and bad answers, whose logit is their reward.

    Use when: answers are labelled good or bad and come in pairs for convenience only.
    Avoid when: good answers of a hard prompt are worse than bad ones of an easy one: one threshold parts all.
    See also: kto, nca_pair, binary_cross_entropy.
    """
    u, v = (
        logit(plus((x.high, x.low), constant(-delta)))
        for x in rewards_of(beta, chosen, rejected, reference_chosen, reference_rejected)
    )
    gradient = -beta * (-u).sigmoid, beta * v.sigmoid
    return (-u).softplus + v.softplus, gradient, bends_of(beta, lambda: u.slope, lambda: v.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="(u − 1/(2β))² + (v + 1/(2β))²; u = a − a′; v = b − b′",
    gradient="∂ℓ/∂a = 2(u − 1/(2β)); ∂ℓ/∂b = 2(v + 1/(2β)); u = a − a′; v = b − b′",
    symbols=REWARDS,
    aliases=("sppo", "SPPO"),
    equals=trl("sppo_hard"),
    reference="Wu et al. (2024), arXiv:2405.00675",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def sppo_hard(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both, Seconds]:
    """Brings the log-ratio of the chosen answer to 1/(2β) and that of the rejected one to −1/(2β).

    Use when: a model is trained in rounds on its own answers, and both must keep a place to be.
    Avoid when: the rejected answers were not the model's own: driving each to one ratio teaches what it never says.
    See also: ipo, mean_squared_error.
    """
    goal = pair_divide(constant(QUARTER), constant(2.0 * beta))
    won = plus(reward_of(chosen, reference_chosen), pair_negative(goal))[0] / QUARTER
    lost = plus(reward_of(rejected, reference_rejected), goal)[0] / QUARTER
    return won * won + lost * lost, (2.0 * won, 2.0 * lost), lambda: (np.full_like(won, 2.0), np.full_like(lost, 2.0))


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"σ(−u) + σ(v); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = −β·σ(u)·σ(−u); ∂ℓ/∂b = β·σ(v)·σ(−v); {OF_BOTH}",
    symbols=REWARDS,
    aliases=("apo",),
    equals=trl("apo_zero"),
    reference="D'Oosterlinck et al. (2024), arXiv:2408.06266",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def apo_zero(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both, Seconds]:
    """Makes the chosen answer likelier and the rejected one less likely, each by itself and only so far.

    Use when: the chosen answers are better than what the model says by itself.
    Avoid when: the model's own answers are better than both, which apo_down is for.
    See also: apo_down, kto, nca_pair.
    """
    u, v = rewards_of(beta, chosen, rejected, reference_chosen, reference_rejected)
    gradient = -beta * u.slope, beta * v.slope
    return (-u).sigmoid + v.sigmoid, gradient, bends_of(beta, lambda: -u.bend, lambda: v.bend)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"σ(u) + σ(v − u); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = β·(σ(u)·σ(−u) − σ(u − v)·σ(v − u)); ∂ℓ/∂b = β·σ(u − v)·σ(v − u); {OF_BOTH}",
    symbols=REWARDS,
    equals=trl("apo_down"),
    reference="D'Oosterlinck et al. (2024), Anchored Preference Optimization, arXiv:2408.06266",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def apo_down(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both]:
    """Makes both answers less likely, the rejected one by more.

    Use when: the model says better things by itself than either answer, of which one is only less bad.
    Avoid when: the chosen answers are what the model shall say, which apo_zero is for.
    See also: apo_zero, dpo.
    """
    u, v = rewards_of(beta, chosen, rejected, reference_chosen, reference_rejected)
    z = logit(plus((u.high, u.low), (-v.high, -v.low)))
    return u.sigmoid + (-z).sigmoid, (beta * _difference_of_slopes(u, z, v), beta * z.slope)


def _difference_of_slopes(u: Logit, z: Logit, v: Logit) -> Array:
    """σ′(u) − σ′(z) of z = u − v, as a product: with e^−|x| for x of both, (s − t)(1 − s·t)/((1 + s)²(1 + t)²).

    |u| + |z| and the difference of both are |v| and |2u − v|.
    """
    turn = plus((2.0 * u.high, 2.0 * u.low), (-v.high, -v.low))[0]
    apart = np.expm1(-np.abs(turn)) * np.expm1(-np.abs(v.high)) * np.maximum(u.power, z.power)
    return -np.sign(turn) * np.sign(v.high) * apart / np.square((1.0 + u.power) * (1.0 + z.power))
