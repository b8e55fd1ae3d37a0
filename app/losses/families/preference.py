"""Losses that train a language model on preferences: of which of two answers is the better one, by the margin of their rewards.

An answer's implicit reward is β times how much likelier the model makes it than a reference does, and the margin the difference
of two rewards. Both are kept unrounded, since log-probabilities of long answers are large, and their differences small.
"""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from app.libraries import Equal, equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import LENGTH, LOG_PROBABILITY
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Seconds, loss
from app.losses.numerics.logit import Logit, balance, logit, plus, times
from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    log_pair,
    pair,
    pair_add,
    pair_divide,
    pair_log,
    pair_multiply,
    pair_negative,
    two_sum,
)
from app.losses.numerics.rewards import QUARTER, Both, bends_of, exp_of, margin_of, pulls_of_margin, reward_of
from app.losses.numerics.stable import Array

ANSWERS = {"chosen": LOG_PROBABILITY, "rejected": LOG_PROBABILITY}
REFERENCES = {"reference_chosen": LOG_PROBABILITY, "reference_rejected": LOG_PROBABILITY}
SYMBOLS = {
    "a": "the log-probability of the chosen answer",
    "b": "the log-probability of the rejected answer",
    "a′": "the reference's log-probability of the chosen answer",
    "b′": "the reference's log-probability of the rejected answer",
}
Beta: TypeAlias = Annotated[
    float, Gt(1e-100), Lt(1e100), Doc("The reward of a unit of log-probability: how strongly the reference holds.")
]
LabelSmoothing: TypeAlias = Annotated[float, Ge(0), Lt(0.5), Doc("The share of pairs whose answers are taken to be exchanged.")]


def trl(loss_type: str, **more: float) -> tuple[Equal, ...]:
    """How TRL is told a loss of its DPOTrainer."""
    told = "".join(f", {name}={name}" for name in more)
    return (equal(f'trl.DPOConfig(loss_type="{loss_type}", beta=beta{told})'),)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="softplus(−β·Δ); Δ = (a − a′) − (b − b′) if divergence = reverse_kl, else ln σ(a − a′) − ln σ(b − b′)",
    gradient=(
        "∂ℓ/∂a = −β·u·σ(−β·Δ); ∂ℓ/∂b = β·v·σ(−β·Δ); u = 1 if divergence = reverse_kl, else σ(a′ − a); "
        "v = 1 if divergence = reverse_kl, else σ(b′ − b)"
    ),
    symbols=SYMBOLS,
    aliases=("DPO", "dpo_sigmoid", "direct_preference_optimization"),
    equals=(
        *trl("sigmoid"),
        equal('trl.DPOConfig(loss_type="sigmoid", beta=beta, f_divergence_type="js_divergence")', divergence="jensen_shannon"),
    ),
    reference="Rafailov et al. (2023), arXiv:2305.18290; of other divergences Wang et al. (2023), arXiv:2309.16240",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def dpo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array,
    reference_rejected: Array,
    *,
    beta: Beta = 0.1,
    divergence: Annotated[
        Literal["reverse_kl", "jensen_shannon"],
        Doc('What holds the model to the reference: "reverse_kl"; or "jensen_shannon", which lets no reward rise without end.'),
    ] = "reverse_kl",
) -> tuple[Array, Both, Seconds]:
    """Makes the chosen of two answers likelier than the rejected one, by more than the reference model does.

    Use when: a language model shall be fine-tuned on preferences, on pairs of answers that people compared, and no reward model.
    Avoid when: preferences are noisy or nearly certain: it widens the margin of every pair without end.
    See also: ipo, cdpo, simpo, kto, orpo.
    """
    if divergence == "jensen_shannon":
        return _dpo_of_chances(beta, reward_of(chosen, reference_chosen), reward_of(rejected, reference_rejected))
    z = logit(times(margin_of(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    return (-z).softplus, pulls_of_margin(beta, -(-z).sigmoid), bends_of(beta, lambda: z.slope)


def _dpo_of_chances(beta: float, first: Pair, second: Pair) -> tuple[Array, Both, Seconds]:
    """Of ln σ of both rewards, which come in quarters."""
    (a, first), (b, second) = _log_chance(first), _log_chance(second)
    z = logit(times(plus(first, pair_negative(second)), beta / QUARTER))
    pull = beta * (-z).sigmoid

    def bends() -> Both:
        of_first = pull * (-a).sigmoid * (beta * z.sigmoid * (-a).sigmoid + a.sigmoid)
        # β·σ(z)·σ(−b) − σ(b) cancels where the margin turns from convex to concave
        (above, below), (wide, _) = b.shares, z.shares
        turn = pair_add(pair_multiply(pair_multiply(wide, below), constant(beta)), pair_negative(above))[0]
        return of_first, pull * (-b).sigmoid * turn

    return (-z).softplus, (-pull * (-a).sigmoid, pull * (-b).sigmoid), bends


def _log_chance(reward: Pair) -> tuple[Logit, Pair]:
    """A reward, and a quarter of ln σ of it, from a quarter of it."""
    x = logit(times(reward, 1.0 / QUARTER))
    high, low = pair_log(pair_add(constant(1.0), x.power_pair))
    below = np.minimum(reward[0], 0.0), np.where(reward[0] < 0, reward[1], 0.0)
    return x, pair_add(below, (-QUARTER * high, -QUARTER * low))


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
    z = logit(times(margin_of(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    share = 1.0 - label_smoothing
    values = share * (-z).softplus + label_smoothing * z.softplus
    return values, pulls_of_margin(beta, balance(z, label_smoothing, share)), bends_of(beta, lambda: z.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="((1 − ε)·softplus(−β·Δ) − ε·softplus(β·Δ))/(1 − 2ε); Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = −β·(σ(−β·Δ) + ε/(1 − 2ε)); ∂ℓ/∂b = β·(σ(−β·Δ) + ε/(1 − 2ε))",
    symbols={**SYMBOLS, "ε": "the label_smoothing: the share of pairs taken to be exchanged"},
    aliases=("rdpo", "rDPO"),
    equals=trl("robust", label_smoothing=0.0),
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
    z = logit(times(margin_of(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    noise = pair_divide(constant(label_smoothing), two_sum(np.full(1, -2.0 * label_smoothing), 1.0))
    rewarded = pair_multiply((z.high, z.low), noise)
    value = plus((-z).softplus_pair, pair_negative((rewarded[0], np.where(np.isfinite(rewarded[1]), rewarded[1], 0.0))))[0]
    return value, pulls_of_margin(beta, -((-z).sigmoid + noise[0])), bends_of(beta, lambda: z.slope)


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="max(0, 1 − β·Δ); Δ = (a − a′) − (b − b′)",
    gradient="∂ℓ/∂a = −β if β·Δ < 1, else 0; ∂ℓ/∂b = β if β·Δ < 1, else 0",
    symbols=SYMBOLS,
    aliases=("rso", "rso_hinge"),
    equals=trl("hinge"),
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
    z = times(margin_of(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER)
    short = plus(constant(1.0), pair_negative(z))[0]
    slope = np.where(short > 0, -1.0, 0.0)  # at the kink 0, as in TRL
    return np.maximum(short, 0.0), pulls_of_margin(beta, slope), bends_of(beta, lambda: np.zeros_like(short))


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
    margin = margin_of(chosen, rejected, reference_chosen, reference_rejected)
    gap = plus(margin, pair_divide(constant(-QUARTER), constant(2.0 * beta)))[0] / QUARTER
    return gap * gap, (2.0 * gap, -2.0 * gap), lambda: (np.full_like(gap, 2.0), np.full_like(gap, 2.0))


@loss(
    predictions=ANSWERS,
    targets={**REFERENCES, "chosen_length": LENGTH, "rejected_length": LENGTH},
    formula="softplus(−β·Δ); Δ = (a − a′)/c − (b − b′)/d",
    gradient="∂ℓ/∂a = −β·σ(−β·Δ)/c; ∂ℓ/∂b = β·σ(−β·Δ)/d",
    symbols={**SYMBOLS, "c": "the length of the chosen answer", "d": "the length of the rejected answer"},
    aliases=("sigmoid_norm", "length_normalized_dpo"),
    equals=trl("sigmoid_norm"),
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
    first = pair_divide(reward_of(chosen, reference_chosen), pair(chosen_length))
    second = pair_divide(reward_of(rejected, reference_rejected), pair(rejected_length))
    z = logit(times(plus(first, pair_negative(second)), beta / QUARTER))
    pull = (-z).sigmoid

    def bends() -> Both:
        bend = beta * (beta * z.slope)
        return bend / chosen_length / chosen_length, bend / rejected_length / rejected_length

    return (-z).softplus, (-beta * pull / chosen_length, beta * pull / rejected_length), bends


@loss(
    predictions=ANSWERS,
    targets=REFERENCES,
    formula="q·(ln q − ln(1 − ε)) + (1 − q)·(ln(1 − q) − ln ε); q = σ(β·Δ); Δ = (a − a′) − (b − b′)",
    gradient=("∂ℓ/∂a = β·q·(1 − q)·(β·Δ − ln(1 − ε) + ln ε); ∂ℓ/∂b = −β·q·(1 − q)·(β·Δ − ln(1 − ε) + ln ε)"),
    symbols={**SYMBOLS, "ε": "the label_smoothing: the share of pairs taken to be exchanged"},
    aliases=("exo_pair",),
    equals=trl("exo_pair", label_smoothing=0.0),
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
    z = logit(times(margin_of(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    yes, no = pair_log(complement(np.full(1, label_smoothing))), log_pair(np.full(1, label_smoothing))
    above = plus(pair_negative((-z).softplus_pair), pair_negative(yes))
    below = plus(pair_negative(z.softplus_pair), pair_negative(no))
    share, rest = z.shares
    value = pair_add(pair_multiply(share, above), pair_multiply(rest, below))[0]
    beyond = plus((z.high, z.low), pair_add(no, pair_negative(yes)))[0]
    return np.maximum(value, 0.0), pulls_of_margin(beta, np.where(z.slope == 0, 0.0, z.slope * beyond))


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
    z = logit(times(margin_of(chosen, rejected, reference_chosen, reference_rejected), beta / QUARTER))
    u = logit(_finite(pair_divide((z.high, z.low), constant(temperature)), z.high / temperature))
    # e⁻ᶻ·σ(u) = e^(min(u, 0) − z)/(1 + e^−|u|): e⁻ᶻ alone may be infinite where the product is 0
    power, rest = plus((np.minimum(u.high, 0.0), np.where(u.high < 0, u.low, 0.0)), (-z.high, -z.low))
    exponential = exp_of(power, rest) / (1.0 + u.power)
    logistic = (-z).softplus
    slope = (-u).sigmoid / temperature
    turn = exponential * (slope - 1.0) - np.where(u.slope == 0, 0.0, logistic * (u.slope / temperature))
    exact = _pull_of_discopop(z, u, temperature)
    usable = np.isfinite(exact) & (np.abs(z.high) < 300.0) & (np.abs(u.high) < 300.0)
    pull = np.where(usable, exact, turn - (-z).sigmoid * (-u).sigmoid)
    return logistic * (-u).sigmoid + exponential, pulls_of_margin(beta, pull)


def _pull_of_discopop(z: Logit, u: Logit, temperature: float) -> Array:
    """e⁻ᶻ·σ(u)·(σ(−u)/τ − 1) − ln(1 + e⁻ᶻ)·σ(u)·σ(−u)/τ − σ(−z)·σ(−u), unrounded: near its zeros the three nearly cancel."""
    (rising, falling), (on, off) = z.shares, u.shares
    steep = pair_divide(off, constant(temperature))
    power = pair_multiply(pair_divide(falling, rising), on)
    exponential = pair_multiply(power, pair_add(steep, constant(-1.0)))
    logistic = pair_add(pair_multiply((-z).softplus_pair, pair_multiply(on, steep)), pair_multiply(falling, off))
    return pair_add(exponential, pair_negative(logistic))[0]


def _finite(x: Pair, rounded: Array) -> Pair:
    """A pair, or what it is rounded where its parts leave float64."""
    return np.where(np.isfinite(x[0]), x[0], rounded), np.where(np.isfinite(x[1]), x[1], 0.0)
