"""Losses of the time until an event, which of some samples is only known to be later than when they were last seen (censored).

Targets are an object: the `time` of each sample, or the index of the `interval` in which it lies, and the `event`, 1 where it
happened then, 0 where it had not happened until then.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import EVENT, INTERVAL, LOG_RISK, PER_INTERVAL, TIME
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, Second, loss
from app.losses.numerics.pairs import Pair, pair_add
from app.losses.numerics.rows import headroom
from app.losses.numerics.running import exp_of, gap, running_exponentials, shifted_exp
from app.losses.numerics.stable import Array, power_of_two, sigmoid, sigmoid_slope, softplus
from app.registry import alias


def _events(event: Array, *, divide_by_events: bool = False, **_parameters: object) -> Array | None:
    """What a sample counts in the divisor, where that is how many events there are."""
    return event if divide_by_events else None


@loss(
    predictions=LOG_RISK,
    targets={"time": TIME, "event": EVENT},
    formula="δ·(mean_(v < d) ln(∑_(j ∈ R) exp pⱼ − h·∑_(j ∈ D) exp pⱼ) − pᵢ); h = v/d if ties = efron, else 0",
    gradient=(
        "∂ℓ/∂pⱼ = δ·mean_(v < d)(exp pⱼ·(1 − h·[j ∈ D])/(∑_(k ∈ R) exp pₖ − h·∑_(k ∈ D) exp pₖ)) − δ·[j = i] if j ∈ R, else 0"
    ),
    symbols={
        "i": "the sample whose loss it is",
        "δ": "1 where the event was seen, 0 where not",
        "R": "the samples at risk at that time: those whose own time is no earlier",
        "D": "the samples whose event was seen at that very time",
        "d": "how many these are",
        "v": "counts them, from 0",
        "k": "counts what the sum is over",
    },
    aliases=(
        "cox",
        "cox_ph",
        "partial_likelihood",
        alias("survival:cox", divide_by_events=True),
        alias("cox-nloglik", divide_by_events=True),
        alias("cox_ph_loss", divide_by_events=True),
        alias("CoxPHLoss", divide_by_events=True),
        alias("cox_efron", ties="efron"),
    ),
    equals=(
        equal(
            "pycox.models.loss.cox_ph_loss(predictions, time, event)",
            divide_by_events=True,
            caveat="Of events at one time, pycox takes each to come before those that stand after it in the batch.",
        ),
        equal(
            "xgboost.XGBRegressor(objective='survival:cox', eval_metric='cox-nloglik')",
            divide_by_events=True,
            differs_at=("saturated",),
            caveat="Labels are times there, those of samples that are censored below zero; exponentials are in single precision.",
        ),
    ),
    reference="Cox (1975), doi:10.1093/biomet/62.2.269; ties: Efron (1977), doi:10.1080/01621459.1977.10480613",
    properties=DIFFERENTIABLE | CONVEX,
    coupling="batch",
    counts=_events,
    cost=Cost(beyond={"n": 250.0, "n·log n": 10.0}),
)
def cox_partial_likelihood(
    predictions: Array,
    time: Array,
    event: Array,
    *,
    ties: Annotated[
        Literal["breslow", "efron"],
        Doc('How events at one time count: "breslow" as if each came first of them, "efron" as if in an order nobody knows.'),
    ] = "breslow",
    divide_by_events: Annotated[
        bool, Doc("Whether the mean divides by the number of events, as pycox does, instead of that of all samples.")
    ] = False,
) -> tuple[Array, Pullback]:
    """Orders samples by their risk: each event costs what was missing in the risk of its sample beside all still at risk then.

    The mean is over all samples, as in scikit-survival; the sum is that of lifelines. Samples that are all censored cost 0;
    divided by their events, they have no mean and are refused. Weights count events; they do not weigh those at risk.
    With ties = efron, the events of one time share the cost of their order, and one alone may be below 0.

    Use when: it counts who comes first, as patients or machines that fail, and many were not seen to the end.
    Avoid when: the time itself shall be predicted, or batches are small samples of a long study: few are then at risk at once.
    See also: logistic_hazard, pmf_nll.
    """
    order = np.lexsort((predictions, event, -time))  # the later first; of one time, the events last and the riskiest at the end
    risks = _risks(predictions[order], time[order], event[order], ties == "efron")
    values = np.empty_like(predictions)
    values[order] = risks.losses

    def pullback(weights: Array) -> Array:
        unit = power_of_two(np.abs(weights).max(keepdims=True))
        gradient = np.empty_like(predictions)
        gradient[order] = _pulls(risks, weights[order] / unit) * unit
        return gradient

    return values, pullback


class _Risks(NamedTuple):
    """Samples in the order of their times, the latest first, those of one time in one group."""

    x: Array
    event: Array
    group: NDArray[np.intp]
    """(n,): the group of each."""
    losses: Array
    powers: Array
    """(n,): e^(x − shift) of the own group."""
    shift: Array
    """(g,): of each group."""
    at_risk: Array
    """(g,): the sum of the powers of all at risk."""
    rest: Array
    """(n,): that sum without the own power."""
    events: Array
    """(g,): how many events there are in a group."""
    inverse: Array
    """(g,): the mean of 1 / the sum at risk, as each event of the group has it."""
    reduced: Array
    """(g,): the same for an event of the group, which is itself no longer at risk where others came first."""


def _risks(x: Array, time: Array, event: Array, efron: bool) -> _Risks:
    first = np.concatenate((np.ones(1, np.bool_), time[1:] != time[:-1]))
    group = np.cumsum(first, dtype=np.intp) - 1
    starts = np.flatnonzero(first)
    ends = np.concatenate((starts[1:], np.full(1, x.size))) - 1
    running = running_exponentials(x)
    shift = running.shifts[ends]
    before = np.zeros_like(shift)
    before[1:] = running.sums[ends[:-1]] * np.exp(running.shifts[ends[:-1]] - shift[1:])
    powers = shifted_exp(x, shift[group])

    def summed(terms: Array) -> Array:
        return np.bincount(group, weights=terms, minlength=starts.size).astype(np.float64, copy=False)

    top = np.zeros_like(event)
    top[ends] = event[ends]
    censored, most, others = (summed(powers * share) for share in (1.0 - event, event * top, event - event * top))
    tied = most + others
    at_risk = before + (censored + tied)
    # of the riskiest event the others are summed without it: all else would cancel
    rest = (before + censored)[group] + np.where(top > 0, others[group], tied[group] - powers * event)
    ratio = rest / powers
    losses = np.where(ratio < 1e300, np.log1p(ratio), np.log(rest) + (shift[group] - x))
    count = summed(event)
    some = np.maximum(count, 1.0)
    inverse = reduced = 1.0 / at_risk
    if efron:
        place = np.cumsum(event) - event
        place -= place[starts][group]  # how many events of the group come before, in any order
        gone = np.where(event > 0, place / some[group], 0.0)
        left = (before + censored)[group] + (1.0 - gone) * tied[group]
        losses = losses + (summed(event * np.log1p(-gone * (tied / at_risk)[group])) / some)[group]
        inverse, reduced = (summed(event * share / left) / some for share in (1.0, 1.0 - gone))
    return _Risks(x, event, group, np.where(event > 0, losses, 0.0), powers, shift, at_risk, rest, count, inverse, reduced)


def _pulls(risks: _Risks, weights: Array) -> Array:
    """The gradient of the weighted sum of the losses, in the order of the samples there."""
    weights = weights * risks.event
    total = np.bincount(risks.group, weights=weights, minlength=risks.shift.size)
    own = np.where(risks.event > 0, (total * risks.reduced)[risks.group], (total * risks.inverse)[risks.group])
    alone = -weights * (risks.rest / risks.at_risk[risks.group])
    pulls = np.where(risks.event * risks.events[risks.group] == 1.0, alone, risks.powers * own - weights)
    with_events = np.flatnonzero(risks.events)[::-1]  # the earliest first: what it adds is felt by all that come after
    running = running_exponentials(-risks.shift[with_events], (total * risks.inverse)[with_events])
    earlier = with_events.size - with_events[::-1].searchsorted(risks.group, side="right")
    felt = earlier > 0
    last = earlier[felt] - 1
    pulls[felt] += running.sums[last] * shifted_exp(risks.x[felt], -running.shifts[last])
    return pulls


# --- intervals of time --------------------------------------------------------------------------------------------------

_OF_INTERVALS = {"t": "the interval in which the sample was last seen", "δ": "1 where the event was seen, 0 where not"}


@loss(
    predictions=PER_INTERVAL,
    targets={"interval": INTERVAL, "event": EVENT},
    formula="∑_(j ≤ t) softplus(xⱼ) − δ·xₜ",
    gradient="σ(xⱼ) if j < t, σ(xⱼ) − δ if j = t, else 0",
    symbols=_OF_INTERVALS,
    aliases=("nll_logistic_hazard", "NLLLogistiHazardLoss", "discrete_time", "nnet_survival"),
    equals=(equal("pycox.models.loss.nll_logistic_hazard(predictions, interval, event, reduction=reduction)"),),
    reference="Gensheimer and Narasimhan (2019), doi:10.7717/peerj.6257",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def logistic_hazard(predictions: Array, interval: NDArray[np.int64], event: Array) -> tuple[Array, Array, Second]:
    """Sums the cross-entropies of all intervals until the last one seen: in each, the event happens or it does not.

    A prediction is the log-odds that the event happens in that interval if it has not happened before.

    Use when: times are whole periods or cut into intervals, and the risk may rise and fall over time.
    Avoid when: time is continuous and intervals would be coarse, or only the order of risks matters.
    See also: cox_partial_likelihood, pmf_nll, mtlr, integrated_brier_score.
    """
    place = np.arange(predictions.shape[1], dtype=np.int64)
    seen, last = place <= interval[:, None], place == interval[:, None]
    side = np.where(last & (event[:, None] > 0), -1.0, 1.0)
    values = np.where(seen, softplus(side * predictions), 0.0).sum(axis=1)
    gradient = np.where(seen, side * sigmoid(side * predictions), 0.0)
    return values, gradient, lambda: np.where(seen, sigmoid_slope(predictions), 0.0)


@loss(
    predictions=PER_INTERVAL,
    targets={"interval": INTERVAL, "event": EVENT},
    formula="ln(1 + ∑ⱼ exp xⱼ) − xₜ if δ = 1, else ln(1 + ∑ⱼ exp xⱼ) − ln(1 + ∑_(j > t) exp xⱼ)",
    gradient=("sⱼ − [j = t] if δ = 1, sⱼ if j ≤ t, else sⱼ − exp xⱼ/(1 + ∑_(i > t) exp xᵢ); sⱼ = exp xⱼ/(1 + ∑ᵢ exp xᵢ)"),
    symbols=_OF_INTERVALS,
    aliases=("nll_pmf", "NLLPMFLoss", "deephit_nll"),
    equals=(equal("pycox.models.loss.nll_pmf(predictions, interval, event, reduction=reduction)"),),
    reference="Lee, Zame, Yoon and van der Schaar (2018), doi:10.1609/aaai.v32i1.11842",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def pmf_nll(predictions: Array, interval: NDArray[np.int64], event: Array) -> tuple[Array, Array]:
    """Fits a probability for each interval, and one for all time after the last; if censored, that of all that is later counts.

    Probabilities are the softmax of the predictions and of a 0 for the time after the last interval, as in pycox, which adds
    1e-7 within its logarithms.

    Use when: the whole distribution of the time is wanted, of any shape, and times fall into few intervals.
    Avoid when: there are many intervals and few events: most probabilities are then learnt from nothing.
    See also: logistic_hazard, mtlr, categorical_cross_entropy.
    """
    nothing = np.zeros((len(predictions), 1))
    logits = np.hstack((predictions, nothing))
    admitted = _admitted(logits.shape[1], interval, event)
    surprise = _surprise((logits, np.zeros_like(logits)), admitted)
    slopes = np.where(admitted, -surprise.inside, surprise.outside) * surprise.missed[:, None]
    return surprise.values, slopes[:, :-1]


@loss(
    predictions=PER_INTERVAL,
    targets={"interval": INTERVAL, "event": EVENT},
    formula=("ln(1 + ∑ⱼ exp cⱼ) − cₜ if δ = 1, else ln(1 + ∑ⱼ exp cⱼ) − ln(1 + ∑_(j > t) exp cⱼ); cⱼ = ∑_(i ≥ j) xᵢ"),
    gradient=(
        "∑_(i ≤ j) (sᵢ − [i = t]) if δ = 1, ∑_(i ≤ j) sᵢ if j ≤ t, "
        "else ∑_(i ≤ j) sᵢ − (∑_(i ≤ j) exp cᵢ − ∑_(i ≤ t) exp cᵢ)/(1 + ∑_(i > t) exp cᵢ); sⱼ = exp cⱼ/(1 + ∑ᵢ exp cᵢ)"
    ),
    symbols=_OF_INTERVALS,
    aliases=("nll_mtlr", "NLLMTLRLoss", "multi_task_logistic_regression"),
    equals=(equal("pycox.models.loss.nll_mtlr(predictions, interval, event, reduction=reduction)"),),
    reference="Yu, Greiner, Lin and Baracos (2011), https://papers.nips.cc/paper/4210",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def mtlr(predictions: Array, interval: NDArray[np.int64], event: Array) -> tuple[Array, Array]:
    """As pmf_nll, with the sum of all predictions from an interval on for its logit: neighbouring intervals learn together.

    Use when: intervals are many and narrow, so that what is learnt of one should hold for its neighbours.
    Avoid when: the distribution has sharp peaks at known times, which sums of neighbours smooth away.
    See also: pmf_nll, logistic_hazard.
    """
    unit = headroom(predictions) ** 3  # sums of many may overflow where their differences still decide
    logits = _sums_from(predictions * unit)
    admitted = _admitted(logits[0].shape[1], interval, event)
    surprise = _surprise(logits, admitted)
    # what a prediction adds to all intervals up to its own: below the admitted ones a sum of probabilities, from there on
    # what is missing in that sum, which would cancel
    below = surprise.outside.cumsum(axis=1)
    rest = np.where(event[:, None] > 0, surprise.outside, surprise.inside)
    above = np.cumsum(rest[:, :0:-1], axis=1)[:, ::-1]
    early = np.arange(predictions.shape[1], dtype=np.int64) < interval[:, None] + (event[:, None] == 0)
    slopes = np.where(early, below[:, :-1], above * np.where(event > 0, -1.0, 1.0)[:, None]) * surprise.missed[:, None]
    return surprise.values / np.reshape(unit, -1), slopes


@loss(
    predictions=PER_INTERVAL,
    targets={"interval": INTERVAL, "event": EVENT},
    formula="(∑_(j < t) softplus(−xⱼ) + δ·∑_(j ≥ t) softplus(xⱼ))/k",
    gradient="−σ(−xⱼ)/k if j < t, else δ·σ(xⱼ)/k",
    symbols={**_OF_INTERVALS, "k": "how many intervals there are"},
    aliases=("bce_surv_loss", "BCESurvLoss"),
    reference="Kvamme and Borgan (2023), https://jmlr.org/papers/v24/19-1030.html",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def survival_bce(predictions: Array, interval: NDArray[np.int64], event: Array) -> tuple[Array, Array, Second]:
    """Asks at each interval whether the sample is still without the event: all that is known of it, yes or no.

    A prediction is the log-odds of that. What comes after a sample was censored is left out, but counted in the divisor.

    Use when: the chance to be without the event at given times is wanted, such as after one year and after five.
    Avoid when: these chances must fall with time: nothing makes them; those of logistic_hazard do.
    See also: logistic_hazard, binary_cross_entropy, integrated_brier_score.
    """
    place, last = np.arange(predictions.shape[1], dtype=np.int64), interval[:, None]
    side = np.where(place < last, -1.0, 1.0)
    share = np.where((place < last) | (event[:, None] > 0), 1.0 / predictions.shape[1], 0.0)
    values = (softplus(side * predictions) * share).sum(axis=1)
    return values, side * sigmoid(side * predictions) * share, lambda: sigmoid_slope(predictions) * share


def _admitted(k: int, interval: NDArray[np.int64], event: Array) -> NDArray[np.bool_]:
    """The intervals (n, k) in which the event may have happened, as far as is known."""
    place, last = np.arange(k, dtype=np.int64), interval[:, None]
    return np.where(event[:, None] > 0, place == last, place > last)


def _sums_from(x: Array) -> Pair:
    """Σ of each row from each column on, unrounded, and 0 after the last."""
    high, low = np.zeros((len(x), x.shape[1] + 1)), np.zeros((len(x), x.shape[1] + 1))
    for column in range(x.shape[1] - 1, -1, -1):
        high[:, column], low[:, column] = pair_add((high[:, column + 1], low[:, column + 1]), (x[:, column], 0.0 * x[:, column]))
    return high, low


class _Surprise(NamedTuple):
    """−ln of the probability of what is admitted, under the softmax of rows."""

    values: Array
    missed: Array
    """(n,): the probability of what is not admitted."""
    inside: Array
    outside: Array
    """(n, k): what each has of the probability that is admitted, and of that which is not."""


def _surprise(logits: Pair, admitted: NDArray[np.bool_]) -> _Surprise:
    inside, outside = (_shares(logits, which) for which in (admitted, ~admitted))
    lead = gap(outside.largest, inside.largest)
    odds = exp_of(lead) * (outside.total / inside.total)
    values = np.where(odds < 1e300, np.log1p(odds), lead[0] + np.log(outside.total / inside.total))
    missed = np.where(odds < 1.0, odds / (1.0 + odds), 1.0 / (1.0 + 1.0 / odds))
    return _Surprise(values, missed, inside.shares, outside.shares)


class _Shares(NamedTuple):
    shares: Array
    total: Array
    """(n,): the sum of the exponentials over that of the largest logit."""
    largest: Pair
    """(n,): the largest logit."""


def _shares(logits: Pair, which: NDArray[np.bool_]) -> _Shares:
    """The softmax of rows among some of their logits."""
    highest = np.where(which, logits[0], -np.inf).max(axis=1, keepdims=True)
    leading = np.arange(len(which)), np.where(which & (logits[0] == highest), logits[1], -np.inf).argmax(axis=1)
    largest = logits[0][leading], logits[1][leading]
    powers = np.where(which, exp_of(gap(logits, (largest[0][:, None], largest[1][:, None]))), 0.0)
    total = powers.sum(axis=1)
    return _Shares(powers / total[:, None], total, largest)
