"""Losses that train a language model on preferences: of which of two answers is the better one, or whether one is good.

An answer's implicit reward is β times how much likelier the model makes it than a reference does. Most losses are a function
of the rewards of both answers, or of their difference alone, the margin. Both are kept unrounded, since log-probabilities of
long answers are large, and their differences small.
"""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from app.libraries import Equal, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import BINARY, LENGTH, LOG_PROBABILITY, MEAN_LOG_PROBABILITY, per_sample
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, Seconds, loss
from app.losses.numerics.logit import Logit, balance, logit, plus, times
from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    difference,
    log_pair,
    pair,
    pair_add,
    pair_divide,
    pair_log,
    pair_multiply,
    pair_negative,
    two_sum,
)
from app.losses.numerics.stable import Array

ANSWERS = {"chosen": LOG_PROBABILITY, "rejected": LOG_PROBABILITY}
REFERENCES = {"reference_chosen": LOG_PROBABILITY, "reference_rejected": LOG_PROBABILITY}
SYMBOLS = {
    "a": "the log-probability of the chosen answer",
    "b": "the log-probability of the rejected answer",
    "a′": "the reference's log-probability of the chosen answer",
    "b′": "the reference's log-probability of the rejected answer",
}
QUARTER = 0.25
"""Log-probabilities are taken in quarters, exactly, so that no difference of their differences overflows."""

Beta: TypeAlias = Annotated[
    float, Gt(1e-100), Lt(1e100), Doc("How strongly the model is held to the reference: the reward of a unit of log-probability.")
]
LabelSmoothing: TypeAlias = Annotated[float, Ge(0), Lt(0.5), Doc("The share of pairs whose answers are taken to be exchanged.")]
Both: TypeAlias = tuple[Array, Array]


def _trl(loss_type: str, **more: float) -> tuple[Equal, ...]:
    """How TRL is told a loss of its DPOTrainer."""
    told = "".join(f", {name}={name}" for name in more)
    return (equal(f'trl.DPOConfig(loss_type="{loss_type}", beta=beta{told})'),)


def _reward(policy: Array, reference: Array) -> Pair:
    """A quarter of how much likelier the model makes an answer than the reference, unrounded."""
    return difference(QUARTER * policy, QUARTER * reference)


def _margin(chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array) -> Pair:
    """A quarter of the difference of both answers' rewards, unrounded."""
    return pair_add(_reward(chosen, reference_chosen), pair_negative(_reward(rejected, reference_rejected)))


def _of_margin(beta: Array | float, slope: Array) -> Both:
    """The gradient of a function of β·Δ, which has this slope."""
    pull = beta * slope
    return pull, -pull


def _bends(beta: float, first: Callable[[], Array], second: Callable[[], Array] | None = None) -> Seconds:
    """The second derivatives of functions of β times rewards; the same twice for one of the margin."""

    def seconds() -> Both:
        bend = beta * (beta * first())
        return bend, bend.copy() if second is None else beta * (beta * second())

    return seconds


# --- of the margin --------------------------------------------------------------------------------------------------------


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="softplus(−β·Δ); Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = −β·σ(−β·Δ); ∂ℓ/∂b = β·σ(−β·Δ)",
    symbols=SYMBOLS,
    aliases=("DPO", "dpo_sigmoid", "direct_preference_optimization"),
    equals=_trl("sigmoid"),
    reference="Rafailov et al. (2023), arXiv:2305.18290",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def dpo(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both, Seconds]:
    """Makes the chosen of two answers likelier than the rejected one, by more than the reference model does.

    Use when: a language model shall be fine-tuned on preferences, on pairs of answers that people compared, and no reward model.
    Avoid when: preferences are noisy or nearly certain: it widens the margin of every pair without end.
    See also: ipo, cdpo, simpo, kto, orpo.
    """
    z = logit(times(_margin(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    return (-z).softplus, _of_margin(beta, -(-z).sigmoid), _bends(beta, lambda: z.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="(1 − ε)·softplus(−β·Δ) + ε·softplus(β·Δ); Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = β·(ε·σ(β·Δ) − (1 − ε)·σ(−β·Δ)); ∂ℓ/∂b = β·((1 − ε)·σ(−β·Δ) − ε·σ(β·Δ))",
    symbols={**SYMBOLS, "ε": "the label_smoothing: the share of pairs taken to be exchanged"},
    aliases=("conservative_dpo", "cDPO"),
    reference="Mitchell (2023), A note on DPO with noisy preferences, https://ericmitchell.ai/cdpo.pdf",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def cdpo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    label_smoothing: LabelSmoothing = 0.0,
) -> tuple[Array, Both, Seconds]:
    """As dpo, of labels of which a share may be exchanged: the margin has an end, at the log-odds of that share.

    Use when: annotators disagree on a known share of the pairs, and no pair should be pushed beyond it.
    Avoid when: the estimate shall be unbiased under that noise, which robust_dpo is.
    See also: dpo, robust_dpo, exo.
    """
    z = logit(times(_margin(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    share = 1.0 - label_smoothing
    values = share * (-z).softplus + label_smoothing * z.softplus
    return values, _of_margin(beta, balance(z, label_smoothing, share)), _bends(beta, lambda: z.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="((1 − ε)·softplus(−β·Δ) − ε·softplus(β·Δ))/(1 − 2ε); Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = −β·(σ(−β·Δ) + ε/(1 − 2ε)); ∂ℓ/∂b = β·(σ(−β·Δ) + ε/(1 − 2ε))",
    symbols={**SYMBOLS, "ε": "the label_smoothing: the share of pairs taken to be exchanged"},
    aliases=("rdpo", "rDPO"),
    equals=_trl("robust", label_smoothing=0.0),
    reference="Chowdhury, Kini and Natarajan (2024), arXiv:2403.00409",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def robust_dpo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    label_smoothing: LabelSmoothing = 0.0,
) -> tuple[Array, Both, Seconds]:
    """As dpo, corrected for exchanged labels: its expectation under that noise is what dpo would be without it.

    Below zero it goes without end, since a wide margin is rewarded for what exchanged pairs took from it.

    Use when: the share of exchanged labels is known, and an unbiased estimate matters more than a bounded margin.
    Avoid when: that share is a guess near one half: the correction then multiplies the noise of the loss.
    See also: dpo, cdpo.
    """
    z = logit(times(_margin(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    noise = pair_divide(constant(label_smoothing), two_sum(np.full(1, -2.0 * label_smoothing), 1.0))
    rewarded = pair_multiply((z.high, z.low), noise)
    value = plus((-z).softplus_pair, pair_negative((rewarded[0], np.where(np.isfinite(rewarded[1]), rewarded[1], 0.0))))[0]
    return value, _of_margin(beta, -((-z).sigmoid + noise[0])), _bends(beta, lambda: z.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="max(0, 1 − β·Δ); Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = −β if β·Δ < 1, else 0; ∂ℓ/∂b = β if β·Δ < 1, else 0",
    symbols=SYMBOLS,
    aliases=("rso", "rso_hinge"),
    equals=_trl("hinge"),
    reference="Liu et al. (2023), arXiv:2309.06657",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def dpo_hinge(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both, Seconds]:
    """Widens the margin of a pair until it is 1, and leaves it alone from there.

    Use when: pairs that are right by a clear margin shall not move the model any more.
    Avoid when: fine preferences count: all pairs within the margin pull alike.
    See also: dpo, ipo, hinge.
    """
    z = times(_margin(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER)
    short = plus(constant(1.0), pair_negative(z))[0]
    slope = np.where(short > 0, -1.0, 0.0)  # at the kink 0, as in TRL
    return np.maximum(short, 0.0), _of_margin(beta, slope), _bends(beta, lambda: np.zeros_like(short))


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="(Δ − 1/(2β))²; Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = 2(Δ − 1/(2β)); ∂ℓ/∂b = −2(Δ − 1/(2β))",
    symbols=SYMBOLS,
    aliases=("IPO",),
    equals=(
        equal(
            'trl.DPOConfig(loss_type="ipo", beta=beta)',
            caveat="TRL divides log-probabilities by the lengths of the answers first: send means here for the same.",
        ),
    ),
    reference="Azar et al. (2023), arXiv:2310.12036",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def ipo(
    chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array, *, beta: Beta = 0.1
) -> tuple[Array, Both, Seconds]:
    """Brings the margin of every pair to one value, 1/(2β), so that certain preferences do not drive it to infinity.

    Use when: dpo overfits: few pairs, each compared once, of which the same answer always wins.
    Avoid when: answers differ much in length and log-probabilities are sums: the margin then measures their length.
    See also: dpo, sppo_hard, dpo_hinge.
    """
    margin = _margin(chosen, rejected, reference_chosen, reference_rejected)
    gap = plus(margin, pair_divide(constant(-QUARTER), constant(2.0 * beta)))[0] / QUARTER
    return gap * gap, (2.0 * gap, -2.0 * gap), lambda: (np.full_like(gap, 2.0), np.full_like(gap, 2.0))


@loss(
    predictions=ANSWERS,
    targets={**REFERENCES, "chosen_length": LENGTH, "rejected_length": LENGTH},
    formula="softplus(−β·Δ); Δ = (a − a′)/c − (b − b′)/d",
    gradient="∂ℓ/∂a = −β·σ(−β·Δ)/c; ∂ℓ/∂b = β·σ(−β·Δ)/d",
    symbols={**SYMBOLS, "c": "the length of the chosen answer", "d": "the length of the rejected answer"},
    aliases=("sigmoid_norm", "length_normalized_dpo"),
    equals=_trl("sigmoid_norm"),
    reference="Lambert et al. (2024), Tülu 3, arXiv:2411.15124",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def dpo_norm(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    chosen_length: Array,
    rejected_length: Array,
    *,
    beta: Beta = 0.1,
) -> tuple[Array, Both, Seconds]:
    """As dpo, of rewards per token: a long answer is not preferred for its length.

    Use when: a model trained by dpo grows more talkative than the preferences ask for.
    Avoid when: β comes from a run of plain dpo: means of tokens are smaller by the length, so that β must be larger.
    See also: dpo, simpo.
    """
    first = pair_divide(_reward(chosen, reference_chosen), pair(chosen_length))
    second = pair_divide(_reward(rejected, reference_rejected), pair(rejected_length))
    z = logit(times(plus(first, pair_negative(second)), beta / QUARTER))
    pull = (-z).sigmoid

    def bends() -> Both:
        bend = beta * (beta * z.slope)
        return bend / chosen_length / chosen_length, bend / rejected_length / rejected_length

    return (-z).softplus, (-beta * pull / chosen_length, beta * pull / rejected_length), bends


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
    return (-z).softplus, _of_margin(beta, -(-z).sigmoid), _bends(beta, lambda: z.slope)


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
    likelier = _exp(gap, lost)
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
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="q·(ln q − ln(1 − ε)) + (1 − q)·(ln(1 − q) − ln ε); q = σ(β·Δ); Δ = (a − a′) − (b − b′)",
    gradient=("∂ℓ/∂a = β·q·(1 − q)·(β·Δ − ln(1 − ε) + ln ε); ∂ℓ/∂b = −β·q·(1 − q)·(β·Δ − ln(1 − ε) + ln ε)"),
    symbols={**SYMBOLS, "ε": "the label_smoothing: the share of pairs taken to be exchanged"},
    aliases=("exo_pair",),
    equals=_trl("exo_pair", label_smoothing=0.0),
    reference="Ji et al. (2024), arXiv:2402.00856",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost=IN_PAIRS,
)
def exo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    label_smoothing: Annotated[
        float, Gt(0), Lt(0.5), Doc("The probability left to the rejected answer, from which the divergence is measured.")
    ] = 1e-3,
) -> tuple[Array, Both]:
    """The divergence of the model's preference from the label's, taken the other way round than in dpo: it seeks one mode.

    Use when: the model shall put its weight on the best answers rather than cover all that are good.
    Avoid when: pairs are far on the wrong side: there the slope vanishes, and they are not learnt.
    See also: dpo, cdpo, kl_divergence.
    """
    z = logit(times(_margin(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    yes, no = pair_log(complement(np.full(1, label_smoothing))), log_pair(np.full(1, label_smoothing))
    above = plus(pair_negative((-z).softplus_pair), pair_negative(yes))
    below = plus(pair_negative(z.softplus_pair), pair_negative(no))
    share, rest = z.shares
    value = pair_add(pair_multiply(share, above), pair_multiply(rest, below))[0]
    beyond = plus((z.high, z.low), pair_add(no, pair_negative(yes)))[0]
    return np.maximum(value, 0.0), _of_margin(beta, np.where(z.slope == 0, 0.0, z.slope * beyond))


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="(1 − h)·softplus(−β·Δ) + h·e^(−β·Δ); h = σ(β·Δ/τ); Δ = (a − a′) − (b − b′)",
    gradient=("∂ℓ/∂a = β·g; ∂ℓ/∂b = −β·g; g = h·(1 − h)·(e^(−β·Δ) − softplus(−β·Δ))/τ − (1 − h)·σ(−β·Δ) − h·e^(−β·Δ)"),
    symbols=SYMBOLS,
    aliases=("DiscoPOP", "log_ratio_modulated_loss", "lrml"),
    equals=(equal('trl.DPOConfig(loss_type="discopop", beta=beta, discopop_tau=temperature)'),),
    reference="Lu et al. (2024), arXiv:2406.08414",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    cost=IN_PAIRS,
)
def discopop(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    temperature: Annotated[float, Gt(1e-100), Lt(1e100), Doc("The width in which one loss becomes the other.")] = 0.05,
) -> tuple[Array, Both]:
    """The logistic loss of a wrong pair and the exponential loss of a right one, one turning into the other.

    It was found by a language model that was asked to write losses.

    Use when: dpo is tuned already, and a loss that did better in its authors' comparisons is worth another run.
    Avoid when: the loss is read as a measure: between the two parts it is not convex, and has a local minimum.
    See also: dpo, exponential.
    """
    z = logit(times(_margin(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    u = logit(_finite(pair_divide((z.high, z.low), constant(temperature)), z.high / temperature))
    # e⁻ᶻ·σ(u) = e^(min(u, 0) − z)/(1 + e^−|u|): e⁻ᶻ alone may be infinite where the product is 0
    power, rest = plus((np.minimum(u.high, 0.0), np.where(u.high < 0, u.low, 0.0)), (-z.high, -z.low))
    exponential = _exp(power, rest) / (1.0 + u.power)
    logistic = (-z).softplus
    slope = (-u).sigmoid / temperature
    turn = exponential * (slope - 1.0) - np.where(u.slope == 0, 0.0, logistic * (u.slope / temperature))
    exact = _pull_of_discopop(z, u, temperature)
    usable = np.isfinite(exact) & (np.abs(z.high) < 300.0) & (np.abs(u.high) < 300.0)
    pull = np.where(usable, exact, turn - (-z).sigmoid * (-u).sigmoid)
    return logistic * (-u).sigmoid + exponential, _of_margin(beta, pull)


def _pull_of_discopop(z: Logit, u: Logit, temperature: float) -> Array:
    """e⁻ᶻ·σ(u)·(σ(−u)/τ − 1) − ln(1 + e⁻ᶻ)·σ(u)·σ(−u)/τ − σ(−z)·σ(−u), unrounded: near its zeros the three nearly cancel."""
    (rising, falling), (on, off) = z.shares, u.shares
    steep = pair_divide(off, constant(temperature))
    power = pair_multiply(pair_divide(falling, rising), on)
    exponential = pair_multiply(power, pair_add(steep, constant(-1.0)))
    logistic = pair_add(pair_multiply((-z).softplus_pair, pair_multiply(on, steep)), pair_multiply(falling, off))
    return pair_add(exponential, pair_negative(logistic))[0]


def _exp(high: Array, low: Array) -> Array:
    """e^(high + low)."""
    power = np.exp(high)
    return power + np.where((power > 0) & np.isfinite(power), power * low, 0.0)


def _finite(x: Pair, rounded: Array) -> Pair:
    """A pair, or what it is rounded where its parts leave float64."""
    return np.where(np.isfinite(x[0]), x[0], rounded), np.where(np.isfinite(x[1]), x[1], 0.0)


# --- of each answer's reward ------------------------------------------------------------------------------------------------


def _logits(
    beta: float, chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array
) -> tuple[Logit, Logit]:
    """β times the reward of each answer."""
    return (
        logit(times(_reward(chosen, reference_chosen), beta / QUARTER)),
        logit(times(_reward(rejected, reference_rejected), beta / QUARTER)),
    )


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
    z = logit(times(plus(_reward(predictions, reference), constant(-QUARTER * kl)), beta / QUARTER))
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
    equals=_trl("nca_pair"),
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
    u, v = _logits(beta, chosen, rejected, reference_chosen, reference_rejected)
    values = (-u).softplus + 0.5 * (u.softplus + v.softplus)
    gradient = beta * balance(u, 0.5, 1.0), 0.5 * beta * v.sigmoid
    return values, gradient, _bends(beta, lambda: 1.5 * u.slope, lambda: 0.5 * v.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"softplus(δ − u) + softplus(v − δ); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = −β·σ(δ − u); ∂ℓ/∂b = β·σ(v − δ); {OF_BOTH}",
    symbols=REWARDS,
    aliases=("bco", "binary_classifier_optimization"),
    equals=_trl("bco_pair"),
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
        for x in _logits(beta, chosen, rejected, reference_chosen, reference_rejected)
    )
    gradient = -beta * (-u).sigmoid, beta * v.sigmoid
    return (-u).softplus + v.softplus, gradient, _bends(beta, lambda: u.slope, lambda: v.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="(u − 1/(2β))² + (v + 1/(2β))²; u = a − a′; v = b − b′",
    gradient="∂ℓ/∂a = 2(u − 1/(2β)); ∂ℓ/∂b = 2(v + 1/(2β)); u = a − a′; v = b − b′",
    symbols=REWARDS,
    aliases=("sppo", "SPPO"),
    equals=_trl("sppo_hard"),
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
    won = plus(_reward(chosen, reference_chosen), pair_negative(goal))[0] / QUARTER
    lost = plus(_reward(rejected, reference_rejected), goal)[0] / QUARTER
    return won * won + lost * lost, (2.0 * won, 2.0 * lost), lambda: (np.full_like(won, 2.0), np.full_like(lost, 2.0))


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"σ(−u) + σ(v); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = −β·σ(u)·σ(−u); ∂ℓ/∂b = β·σ(v)·σ(−v); {OF_BOTH}",
    symbols=REWARDS,
    aliases=("apo",),
    equals=_trl("apo_zero"),
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
    u, v = _logits(beta, chosen, rejected, reference_chosen, reference_rejected)
    gradient = -beta * u.slope, beta * v.slope
    return (-u).sigmoid + v.sigmoid, gradient, _bends(beta, lambda: -u.bend, lambda: v.bend)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula=f"σ(u) + σ(v − u); {OF_BOTH}",
    gradient=f"∂ℓ/∂a = β·(σ(u)·σ(−u) − σ(u − v)·σ(v − u)); ∂ℓ/∂b = β·σ(u − v)·σ(v − u); {OF_BOTH}",
    symbols=REWARDS,
    equals=_trl("apo_down"),
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
    u, v = _logits(beta, chosen, rejected, reference_chosen, reference_rejected)
    z = logit(plus((u.high, u.low), (-v.high, -v.low)))
    return u.sigmoid + (-z).sigmoid, (beta * _difference_of_slopes(u, z, v), beta * z.slope)


def _difference_of_slopes(u: Logit, z: Logit, v: Logit) -> Array:
    """σ′(u) − σ′(z) of z = u − v, as a product: with e^−|x| for x of both, (s − t)(1 − s·t)/((1 + s)²(1 + t)²).

    |u| + |z| and the difference of both are |v| and |2u − v|.
    """
    turn = plus((2.0 * u.high, 2.0 * u.low), (-v.high, -v.low))[0]
    apart = np.expm1(-np.abs(turn)) * np.expm1(-np.abs(v.high)) * np.maximum(u.power, z.power)
    return -np.sign(turn) * np.sign(v.high) * apart / np.square((1.0 + u.power) * (1.0 + z.power))
