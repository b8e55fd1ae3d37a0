"""Rewards of a language model's answers: how much likelier it makes each than a reference does, unrounded."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from app.losses.loss import Seconds
from app.losses.numerics.logit import Logit, logit, times
from app.losses.numerics.pairs import Pair, difference, pair_add, pair_negative
from app.losses.numerics.stable import Array

QUARTER = 0.25
"""Log-probabilities are taken in quarters, exactly, so that no difference of their differences overflows."""
Both: TypeAlias = tuple[Array, Array]


def reward_of(policy: Array, reference: Array) -> Pair:
    """A quarter of how much likelier the model makes an answer than the reference, unrounded."""
    return difference(QUARTER * policy, QUARTER * reference)


def margin_of(chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array) -> Pair:
    """A quarter of the difference of both answers' rewards, unrounded."""
    return pair_add(reward_of(chosen, reference_chosen), pair_negative(reward_of(rejected, reference_rejected)))


def rewards_of(
    beta: float, chosen: Array, rejected: Array, reference_chosen: Array, reference_rejected: Array
) -> tuple[Logit, Logit]:
    """β times the reward of each answer."""
    return (
        logit(times(reward_of(chosen, reference_chosen), beta / QUARTER)),
        logit(times(reward_of(rejected, reference_rejected), beta / QUARTER)),
    )


def pulls_of_margin(beta: Array | float, slope: Array) -> Both:
    """The gradient of a function of β·Δ, which has this slope."""
    pull = beta * slope
    return pull, -pull


def bends_of(beta: float, first: Callable[[], Array], second: Callable[[], Array] | None = None) -> Seconds:
    """The second derivatives of functions of β times rewards; the same twice for one of the margin."""

    def seconds() -> Both:
        bend = beta * (beta * first())
        return bend, bend.copy() if second is None else beta * (beta * second())

    return seconds


def exp_of(high: Array, low: Array) -> Array:
    """e^(high + low)."""
    power = np.exp(high)
    return power + np.where((power > 0) & np.isfinite(power), power * low, 0.0)
