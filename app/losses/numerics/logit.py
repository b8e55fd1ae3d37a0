"""Logits that are differences: unrounded, so that exponentials, sigmoids and their logarithms keep all their digits."""

from typing import NamedTuple

import numpy as np

from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    odds,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
)
from app.losses.numerics.stable import Array


class Logit(NamedTuple):
    """A number as the unrounded sum high + low, and e^−|x| of it."""

    high: Array
    low: Array
    power: Array
    """e^−|x|: of both parts, so that it is as exact as if x had been rounded nowhere."""

    def __neg__(self) -> "Logit":
        return Logit(-self.high, -self.low, self.power)

    @property
    def softplus(self) -> Array:
        """ln(1 + eˣ)."""
        return np.maximum(self.high, 0.0) + (np.log1p(self.power) + np.where(self.high > 0, self.low, 0.0))

    @property
    def sigmoid(self) -> Array:
        """1/(1 + e⁻ˣ)."""
        return np.where(self.high >= 0, 1.0, self.power) / (1.0 + self.power)

    @property
    def slope(self) -> Array:
        """The derivative of the sigmoid, σ(x)·σ(−x)."""
        return self.power / np.square(1.0 + self.power)

    @property
    def bend(self) -> Array:
        """The second derivative of the sigmoid."""
        return -self.slope * np.tanh(0.5 * self.high)

    @property
    def power_pair(self) -> Pair:
        """e^−|x|, itself unrounded."""
        return pair_exp((-np.abs(self.high), np.where(self.high > 0, -self.low, self.low)))

    @property
    def shares(self) -> tuple[Pair, Pair]:
        """σ(x) and σ(−x), unrounded."""
        return odds(self.high, self.power_pair)

    @property
    def softplus_pair(self) -> Pair:
        """ln(1 + eˣ), unrounded."""
        rest = pair_log(pair_add(constant(1.0), self.power_pair))
        return pair_add((np.maximum(self.high, 0.0), np.where(self.high > 0, self.low, 0.0)), rest)


def logit(x: Pair) -> Logit:
    """A pair as a logit; one that is infinite has no error."""
    high, low = x[0], np.where(np.isfinite(x[1]), x[1], 0.0)
    power = np.exp(-np.abs(high))
    return Logit(high, low, power - power * np.where(high > 0, low, -low))


def times(x: Pair, factor: float) -> Pair:
    """x · factor, unrounded; infinite where it leaves float64."""
    high, low = pair_multiply(x, constant(factor))
    return np.where(np.isfinite(high), high, x[0] * factor), np.where(np.isfinite(low), low, 0.0)


def plus(x: Pair, y: Pair) -> Pair:
    """x + y, unrounded; infinite where it leaves float64."""
    high, low = pair_add(x, y)
    return np.where(np.isfinite(high), high, x[0] + y[0]), np.where(np.isfinite(low), low, 0.0)


def balance(x: Logit, up: float, down: float) -> Array:
    """up·σ(x) − down·σ(−x), with all its digits where the two nearly cancel."""
    rising, falling = up * x.sigmoid, down * (-x).sigmoid
    if not (up and down):
        return rising - falling
    odds_there = pair_log(pair_divide(constant(down), constant(up)))
    beyond = plus(odds_there, (-x.high, -x.low))[0]
    near = np.abs(beyond) < 0.5
    return np.where(near, -rising * np.expm1(np.where(near, beyond, 0.0)), rising - falling)


def sigmoid_less(x: Array, y: Array) -> Array:
    """σ(x) − y, with all its digits where the two nearly meet."""
    chance, rest = logit(pair(x)).shares
    near, far = pair_add(chance, pair(-y)), pair_add(complement(y), pair_negative(rest))
    return np.where(y > 0.5, far[0], near[0])
