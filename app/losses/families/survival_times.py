"""Losses of the time until an event: where it lies, as far as that is known, and who of several has it first.

Of some samples an event was seen; of others only an interval of time is known in which it happened, or that it had not until
they were last seen (censored).
"""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Interval
from app.errors import Fault, InvalidParameter
from app.libraries import equal
from app.losses.cost import IN_PAIRS, Cost
from app.losses.encodings import (
    CONTROLS,
    EVENT,
    FRACTION,
    INTERVAL,
    LOG_RISK,
    PER_INTERVAL,
    TIME,
    TIME_OR_NEVER,
    VALUE,
    numbers,
    steps,
)
from app.losses.loss import CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, loss
from app.losses.numerics.intervals import interval_surprise, point_surprise
from app.losses.numerics.pairs import (
    Pair,
    log_pair,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_multiply,
    pair_negative,
    pair_sum,
)
from app.losses.numerics.products import tiles
from app.losses.numerics.rows import below_largest
from app.losses.numerics.running import exp_of, gap
from app.losses.numerics.similarities import log_one_plus, over
from app.losses.numerics.stable import Array, sigmoid, sign, softplus
from app.losses.parameters import PER_TIME

SURVIVAL = numbers(
    "survival", "the probability of no event until each of the times", Interval(0.0, 1.0), steps(0.05, 0.95), axes="n k"
)


@loss(
    predictions=VALUE,
    targets={"lower": TIME, "upper": TIME_OR_NEVER},
    formula="−ln(f(a)/(s·l)) if l = u, else −ln(F(b) − F(a)); a = (ln l − p)/s; b = (ln u − p)/s",
    gradient="f′(a)/(s·f(a)) if l = u, else (f(b) − f(a))/(s·(F(b) − F(a))); a = (ln l − p)/s; b = (ln u − p)/s",
    symbols={
        "l": "the lower end of the time",
        "u": "its upper end",
        "s": "the scale",
        "f": "the density of the distribution",
        "f′": "its slope",
        "F": "the probability of all below",
    },
    aliases=("survival:aft", "aft-nloglik", "aft", "accelerated_failure_time"),
    equals=(
        equal(
            "xgboost.XGBModel(objective='survival:aft', eval_metric='aft-nloglik', aft_loss_distribution=distribution)",
            differs_at=("saturated",),
            caveat="XGBoost keeps densities and probabilities above 1e-12.",
        ),
    ),
    reference="Wei (1992), doi:10.1002/sim.4780111409",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def aft_nll(
    predictions: Array,
    lower: Array,
    upper: Array,
    *,
    distribution: Annotated[
        Literal["normal", "logistic", "extreme"],
        Doc("That of the logarithm of the time, less the prediction and over the scale; extreme is that of a Weibull time."),
    ] = "normal",
    scale: Annotated[float, Gt(0), Le(1e6), Doc("How wide it is.")] = 1.0,
) -> tuple[Array, Array]:
    """Fits the logarithm of a time of which an interval is known: its surprise at the interval, or at the very time.

    Where the ends are the same the event was seen then; a lower end of 0 says that it happened before the upper one, an upper
    end of Infinity that it had not happened until the lower one. Of two ends the smaller is the lower one.

    Use when: the time itself shall be predicted, and some are known by intervals or by when a sample was last seen.
    Avoid when: only the order of risks counts, or nothing is known of how times are distributed (cox_partial_likelihood).
    See also: cox_partial_likelihood, logistic_hazard, pc_hazard.
    """
    first, last = np.minimum(lower, upper), np.maximum(lower, upper)

    def standard(time: Array) -> Pair:
        inside = (time > 0) & np.isfinite(time)
        log = log_pair(np.where(inside, time, 1.0))
        high, low = over(pair_add(log, (-predictions, np.zeros_like(predictions))), scale)
        usable, ends = np.isfinite(high), np.where(time > 0, np.inf, -np.inf)
        rounded = np.where(usable, high, (log[0] - predictions) / scale)
        return np.where(inside, rounded, ends), np.where(inside & usable & np.isfinite(low), low, 0.0)

    seen, bounded = first == last, (first > 0) & np.isfinite(last)
    apart = pair_add(log_pair(np.where(bounded, last, 1.0)), pair_negative(log_pair(np.where(bounded, first, 1.0))))
    width = over(apart, scale)
    wide = np.where(bounded, width[0], np.inf), np.where(bounded, width[1], 0.0)
    within = interval_surprise(distribution, standard(first), standard(last), wide)
    when = np.where(seen & (first > 0) & np.isfinite(first), first, 1.0)
    density = point_surprise(distribution, standard(first), pair_add(log_pair(when), log_pair(np.full_like(when, scale))))
    never = seen & ((first == 0) | np.isinf(first))  # no density has anything there
    values = np.where(never, np.inf, np.where(seen, density.values, within.values))
    return values, np.where(never, 0.0, np.where(seen, density.slopes, within.slopes)) / scale


@loss(
    predictions={"case": LOG_RISK, "controls": CONTROLS},
    formula="ln(1 + ∑ⱼ exp(bⱼ − a)) + c·(|a| + mean |b|)",
    gradient=("∂ℓ/∂a = −1 + 1/(1 + ∑ᵢ exp(bᵢ − a)) + c·sign(a); ∂ℓ/∂bⱼ = exp(bⱼ − a)/(1 + ∑ᵢ exp(bᵢ − a)) + c/k·sign(bⱼ)"),
    symbols={
        "a": "the log-risk of the case, whose event was seen",
        "b": "those of the controls, who were still at risk then",
        "c": "what shrinks them",
        "k": "how many controls there are",
    },
    aliases=("cox_cc", "cox_cc_loss", "CoxCCLoss"),
    equals=(equal("pycox.models.loss.cox_cc_loss(case, controls.T, shrink=shrink)"),),
    reference="Kvamme, Borgan and Scheel (2019), https://jmlr.org/papers/v20/18-424.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE,
)
def cox_case_control(
    case: Array,
    controls: Array,
    *,
    shrink: Annotated[float, Ge(0), Le(1e6), Doc("What the size of the log-risks costs.")] = 0.0,
) -> tuple[Array, tuple[Array, Array]]:
    """The surprise that the case had the event and none of a few controls drawn from those still at risk.

    It stands for the loss over all at risk, which no batch could hold.

    Use when: a Cox model is trained in small batches on many samples, with controls drawn for each event.
    Avoid when: all at risk fit in a batch: what the draw adds is noise (cox_partial_likelihood).
    See also: cox_partial_likelihood, info_nce, bradley_terry.
    """
    lead = gap(pair(controls), pair(case[:, None]))
    found = log_one_plus(lead, np.ones(controls.shape, np.bool_))
    k = controls.shape[1]
    cost = shrink * np.abs(case) + (shrink / k * np.abs(controls)).sum(axis=1)
    share = found.slopes
    return found.values + cost, (-share.sum(axis=1) + shrink * sign(case), share + shrink / k * sign(controls))


@loss(
    predictions=PER_INTERVAL,
    targets={"interval": INTERVAL, "event": EVENT, "fraction": FRACTION},
    formula="∑_(j < t) softplus(xⱼ) + c·softplus(xₜ) − δ·ln softplus(xₜ)",
    gradient="σ(xⱼ) if j < t, σ(xⱼ)·(c − δ/softplus(xⱼ)) if j = t, else 0",
    symbols={
        "t": "the interval in which the sample was last seen",
        "δ": "1 where the event was seen, 0 where not",
        "c": "how much of that interval had passed",
    },
    aliases=("nll_pc_hazard_loss", "NLLPCHazardLoss", "piecewise_constant"),
    equals=(equal("pycox.models.loss.nll_pc_hazard_loss(predictions, interval, event, fraction, reduction=reduction)"),),
    reference="Kvamme and Borgan (2021), doi:10.1007/s10985-021-09532-6",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH,
)
def pc_hazard(predictions: Array, interval: NDArray[np.int64], event: Array, fraction: Array) -> tuple[Array, Array]:
    """Fits a risk that is constant within each interval of time, to times that need not lie at their ends.

    A prediction is the risk before the softplus, over the length of its interval.

    Use when: time is continuous and the risk changes over it, but is much the same within each of a few intervals.
    Avoid when: only the interval of an event is known, not where in it (logistic_hazard).
    See also: logistic_hazard, pmf_nll, aft_nll.
    """
    place, index = np.arange(predictions.shape[1], dtype=np.int64), interval[:, None]
    last = place == index
    share = np.where(place < index, 1.0, np.where(last, fraction[:, None], 0.0))
    risk = softplus(predictions)
    seen = last & (event[:, None] > 0)
    log_risk = np.where(predictions < -37.0, predictions, np.log(np.where(risk > 0, risk, 1.0)))
    values = (share * risk).sum(axis=1) - np.where(seen, log_risk, 0.0).sum(axis=1)
    steep = np.where(predictions < -37.0, 1.0, sigmoid(predictions) / np.where(risk > 0, risk, 1.0))
    return values, share * sigmoid(predictions) - np.where(seen, steep, 0.0)


@loss(
    predictions=PER_INTERVAL,
    targets={"interval": INTERVAL, "event": EVENT},
    formula="δ·∑ⱼ [t < tⱼ]·e^((F(j) − F(i))/b)/n",
    gradient="∂ℓ/∂F(j) = δ·[t < tⱼ]·e^((F(j) − F(i))/b)/(n·b)",
    symbols={
        "i": "the sample whose loss it is",
        "δ": "1 where its event was seen, 0 where not",
        "t": "the interval in which the sample was last seen",
        "F": "of a sample, the probability that its event is no later than the interval t",
        "b": "the width",
        "n": "how many samples there are",
    },
    aliases=("rank_loss_deephit_single", "deephit_ranking"),
    reference="Lee, Zame, Yoon and van der Schaar (2018), doi:10.1609/aaai.v32i1.11842",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    coupling="batch",
    cost=Cost(per_number=200.0, beyond={"n²": 60.0}),
)
def deephit_rank(
    predictions: Array,
    interval: NDArray[np.int64],
    event: Array,
    *,
    width: Annotated[float, Ge(1e-2), Le(1e6), Doc("What differences of probabilities are divided by.")] = 0.1,
    ties: Annotated[
        bool, Doc("Whether a censored sample of the same interval counts as later, as pycox has it by default.")
    ] = False,
) -> tuple[Array, Pullback]:
    """Asks of each event that its sample was likelier to have had it by then than all that were seen later without.

    Probabilities are the softmax of the predictions and of a 0 for the time after the last interval, as in pmf_nll, beside
    which it is used. A sample's loss is the mean over the batch, where pairs that do not count are 0.

    Use when: the order of risks is judged, by concordance, and a likelihood alone gets it wrong.
    Avoid when: it is alone: any probabilities that rise in the right order do, true or not (pmf_nll).
    See also: pmf_nll, cox_partial_likelihood, pairwise_logistic.
    """
    n, k = predictions.shape
    chances = _chances(predictions)
    reached = _running((chances[0][:, :-1], chances[1][:, :-1]))
    ahead = _running((chances[0][:, :0:-1], chances[1][:, :0:-1]))[0][:, ::-1]  # 1 − reached, which may be tiny
    blocks, every = tiles(n, n), np.arange(n, dtype=np.int64)

    def of_pairs(rows: slice) -> Array:
        """What each other sample adds to the losses of some (a, n)."""
        index = interval[rows]
        others = reached[0][:, index].T, reached[1][:, index].T
        own = tuple(part[every[rows], index][:, None] for part in reached)
        lead = over(pair_add(others, (-own[0], -own[1])), width)
        later = interval > index[:, None]
        if ties:
            later |= (interval == index[:, None]) & (event == 0)
        return np.where(later & (event[rows, None] > 0), exp_of(lead), 0.0) / n

    def pullback(weights: Array) -> Array:
        pulls = np.zeros((n, k))
        for rows in blocks:
            pull = weights[rows, None] * of_pairs(rows) / width
            np.add.at(pulls.T, interval[rows], pull)
            pulls[every[rows], interval[rows]] -= pull.sum(axis=1)
        # each chance is in all that are reached from there on, and what is reached before has less of the whole
        later = np.cumsum((pulls * ahead)[:, ::-1], axis=1)[:, ::-1]
        later[:, 1:] -= np.cumsum((pulls * reached[0])[:, :-1], axis=1)
        return chances[0][:, :-1] * later

    return np.concatenate([of_pairs(rows).sum(axis=1) for rows in blocks]), pullback


def _chances(predictions: Array) -> Pair:
    """The softmax of rows and of a 0 beside them, which is the last."""
    powers = pair_exp(below_largest(np.hstack((predictions, np.zeros((len(predictions), 1))))))
    return pair_divide(powers, pair_sum(powers))


def _running(x: Pair) -> Pair:
    """The sums of rows up to each number."""
    high, low = np.empty_like(x[0]), np.empty_like(x[0])
    total = np.zeros(len(high)), np.zeros(len(high))
    for column in range(high.shape[1]):
        total = pair_add(total, (x[0][:, column], x[1][:, column]))
        high[:, column], low[:, column] = total
    return high, low


# --- probabilities at times -----------------------------------------------------------------------------------------------


@loss(
    predictions=SURVIVAL,
    targets={"time": TIME, "event": EVENT},
    formula="∑ⱼ vⱼ·(δ·[T ≤ uⱼ]·pⱼ²/G + [T > uⱼ]·(1 − pⱼ)²/Hⱼ)",
    gradient="2vⱼ·(δ·[T ≤ uⱼ]·pⱼ/G − [T > uⱼ]·(1 − pⱼ)/Hⱼ)",
    symbols={
        "T": "the time of the sample",
        "δ": "1 where the event was seen, 0 where not",
        "u": "the times of the predictions",
        "v": "what each counts in the mean over time, by the trapezoidal rule: they sum to 1",
        "G": "the share of the batch that was not censored until the time of the sample, by Kaplan and Meier",
        "H": "the same share at each of the times",
    },
    aliases=("ibs", "integrated_graf_score", "graf_score"),
    reference="Graf, Schmoor, Sauerbrei and Schumacher (1999), "
    "doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
    coupling="batch",
    cost=Cost(beyond={"n·log n": 60.0}),
)
def integrated_brier_score(
    predictions: Array,
    time: Array,
    event: Array,
    *,
    times: Annotated[
        list[Annotated[float, Ge(0)]] | None,
        PER_TIME,
        Doc("The times that the predictions are of, rising; null for 1, 2, 3 and so on."),
    ] = None,
) -> tuple[Array, Pullback]:
    """The squared error of the probability of no event so far, averaged over time: of a single time it is the Brier score.

    What censored samples would have shown is made up for by weighing the others, as in scikit-survival where censoring is
    learned from the data that are judged. Who has the event at a time is no longer at risk of being censored then. Weights
    of samples do not weigh that estimate.

    Use when: probabilities over time are judged or fitted, sharp and calibrated at once, and who is censored is chance.
    Avoid when: who is censored depends on the risk; or batches are small: so few tell little of censoring (logistic_hazard).
    See also: survival_bce, logistic_hazard, brier_score.
    """
    k = predictions.shape[1]
    grid = np.arange(1.0, k + 1.0) if times is None else np.asarray(times, np.float64)
    if (np.diff(grid) <= 0).any():
        raise InvalidParameter([Fault(("parameters", "times"), "out_of_range", "times must rise from each to the next")])
    uncensored = _uncensored(time, event)
    own = uncensored(time)
    later = time[:, None] > grid
    # an event at the time until which all others were censored has no share that could be made up for
    known = later | ((event > 0) & (own > 0))[:, None]
    weight = np.where(known, _shares_of_time(grid) / np.where(later, uncensored(grid), own[:, None]), 0.0)
    miss = np.where(later, 1.0 - predictions, predictions)
    slopes = 2.0 * weight * np.where(later, -miss, miss)
    return (weight * miss * miss).sum(axis=1), lambda weights: weights[:, None] * slopes


def _uncensored(time: Array, event: Array) -> Callable[[Array], Array]:
    """Times -> the share of samples not censored until then, by Kaplan and Meier; who has the event at a time is not at risk."""
    when, place = np.unique(time, return_inverse=True)
    events, gone = (np.bincount(place, weights=which, minlength=when.size).astype(np.float64) for which in (event, 1.0 - event))
    at_risk = np.maximum(np.cumsum((events + gone)[::-1])[::-1] - events, 1.0)
    share, step = pair_divide(pair(at_risk - gone), pair(at_risk)), 1
    while step < when.size:  # each times those before it, twice as many at every turn
        ahead = pair_multiply((share[0][step:], share[1][step:]), (share[0][:-step], share[1][:-step]))
        share = np.concatenate((share[0][:step], ahead[0])), np.concatenate((share[1][:step], ahead[1]))
        step *= 2
    shares = np.concatenate((np.ones(1), share[0]))
    return lambda until: shares[when.searchsorted(until, side="right")]


def _shares_of_time(grid: Array) -> Array:
    """What each time counts in the mean of a function over all time between them, by the trapezoidal rule."""
    if grid.size == 1:
        return np.ones(1)
    beside = np.concatenate((grid[:1], grid, grid[-1:]))
    return (beside[2:] - beside[:-2]) / (grid[-1] - grid[0]) / 2.0
