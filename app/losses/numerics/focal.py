"""Focal cross-entropy of a yes-or-no decision: its value and derivatives from probabilities and from logits."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.loss import (
    Second,
)
from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    either,
    exp_pair,
    log_pair,
    odds,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    two_product,
)
from app.losses.numerics.stable import Array, sigmoid_slope
from app.losses.numerics.surprise import curvature, surprise


def focal_of_probabilities(p: Array, positive: Pair, negative: Pair, gamma: float, balance: Array) -> tuple[Array, Array, Second]:
    yes, no = positive[0], negative[0]
    entropy, pull, down = surprise(p, yes, no)
    miss, focus = _focus((p, 0.0 * p), complement(p), positive, negative, gamma)
    focus *= balance
    # where nothing is missed, entropy / miss has the limit 1; beside a pole of the entropy's slope the entropy is nothing
    ratio = np.divide(entropy, miss, out=np.ones_like(p), where=miss != 0)
    focusing = np.where(np.isfinite(pull), gamma * (no - yes) * ratio, 0.0)
    slope = pull + focusing
    crossing = np.abs(slope) < np.maximum(down, np.abs(focusing)) * 0.75
    if crossing.any():
        both = _both_of_probabilities(p[crossing])
        slope[crossing] = (
            _focal_slope(both, _only(positive, crossing), _only(negative, crossing), gamma) / p[crossing] / both[1][0]
        )
    # p may be so small that 1/p overflows where the focus makes up for it; at 0 and 1 nothing does
    pole = np.where(p > 0.5, np.inf, -np.where(p == 0, np.inf, focus * yes / p))
    values = np.where(np.isinf(entropy), entropy, focus * entropy)
    gradient = np.where(np.isfinite(pull), focus * slope, pole)

    def second() -> Array:  # with m = 1 − pₜ: m^γ·E″ + γ·m^(γ − 1)·(2m′·E′ + (γ − 1)·m′²·E/m), and m′ = no − yes
        steep, tilt = curvature(p, yes, no), no - yes
        _, lead = _focus((p, 0.0 * p), complement(p), positive, negative, gamma - 1.0)
        bend = focus * steep
        if gamma:
            bend += balance * lead * gamma * (2.0 * tilt * pull + (gamma - 1.0) * tilt * tilt * ratio)
        return np.where(balance == 0, 0.0, np.where(np.isinf(steep), np.inf, bend))

    return np.where(balance == 0, 0.0, values), np.where(balance == 0, 0.0, gradient), second


def focal_of_logits(x: Array, positive: Pair, negative: Pair, gamma: float, balance: Array) -> tuple[Array, Array, Second]:
    yes, no = positive[0], negative[0]
    t = np.exp(-np.abs(x))
    entropy = yes * np.maximum(-x, 0.0) + no * np.maximum(x, 0.0) + (yes + no) * np.log1p(t)
    p, q = odds(x, (t, 0.0 * t))
    miss, focus = _focus(p, q, positive, negative, gamma)
    focus *= balance
    ratio = np.divide(p[0] * q[0], miss, out=np.zeros_like(x), where=miss != 0)  # miss underflows no sooner than the gradient
    down, focusing = no * p[0], gamma * (no - yes) * (entropy * ratio)
    slope = (down - yes * q[0]) + focusing
    crossing = np.abs(slope) < np.maximum(down, np.abs(focusing)) * 0.75
    if crossing.any():
        slope[crossing] = _focal_slope(_both_of_logits(x[crossing]), _only(positive, crossing), _only(negative, crossing), gamma)

    def second() -> Array:  # with m = 1 − pₜ, r = m′/m: m^γ·(E″ + γr·(2E′ + E·((γ − 1)·r + 1 − 2p)))
        lean, pull = (no - yes) * ratio, down - yes * q[0]
        steep, turning = (yes + no) * sigmoid_slope(x), entropy * ((gamma - 1.0) * lean + (q[0] - p[0]))
        bend = steep + gamma * np.where(lean == 0, 0.0, lean * (2.0 * pull + turning))
        largest = np.maximum(steep, gamma * np.abs(lean) * np.maximum(np.abs(2.0 * pull), np.abs(turning)))
        crossing = np.abs(bend) < 0.75 * largest
        if crossing.any():
            bend[crossing] = _focal_bend(
                _both_of_logits(x[crossing]), _only(positive, crossing), _only(negative, crossing), gamma
            )
        return focus * bend

    return focus * entropy, focus * slope, second


def _focus(p: Pair, q: Pair, yes: Pair, no: Pair, gamma: float) -> tuple[Array, Array]:
    """1 − pₜ and its power γ: of the unrounded base, since a power magnifies the rounding of what it is taken of."""
    miss, low = pair_add(pair_multiply(no, p), pair_multiply(yes, q))
    rest = np.divide(low, miss, out=np.zeros_like(miss), where=miss != 0)
    return miss, miss**gamma * (1.0 + gamma * rest)


Both: TypeAlias = tuple[Pair, Pair, Pair, Pair]
"""p, 1 − p, ln p and ln(1 − p), all unrounded."""


def _focal_slope(both: Both, yes: Pair, no: Pair, gamma: float) -> Array:
    """The derivative by the logit over (1 − pₜ)^γ, where its terms nearly cancel (only soft labels do that).

    With q = 1 − p it is no·p − yes·q + γ·(no − yes)·entropy·p·q / miss; that by p is the same over p·q.
    """
    p, q, log_p, log_q = both
    entropy = pair_add(pair_multiply(yes, log_p), pair_multiply(no, log_q))  # negative: taken away below
    miss = pair_add(pair_multiply(p, no), pair_multiply(q, yes))
    tilt = pair_multiply(pair_add(no, (-yes[0], -yes[1])), two_product(np.ones_like(p[0]), gamma))
    focusing = pair_multiply(pair_multiply(tilt, entropy), pair_divide(pair_multiply(p, q), miss))
    down, up = pair_multiply(no, p), pair_multiply(yes, q)
    return pair_add(pair_add(down, (-up[0], -up[1])), (-focusing[0], -focusing[1]))[0]


def _focal_bend(both: Both, yes: Pair, no: Pair, gamma: float) -> Array:
    """The second derivative by the logit over (1 − pₜ)^γ, where its terms nearly cancel."""
    p, q, log_p, log_q = both
    entropy = pair_negative(pair_add(pair_multiply(yes, log_p), pair_multiply(no, log_q)))
    miss, slope = pair_add(pair_multiply(p, no), pair_multiply(q, yes)), pair_multiply(p, q)
    lean = pair_multiply(pair_add(no, pair_negative(yes)), pair_divide(slope, miss))
    pull = pair_add(pair_multiply(no, p), pair_negative(pair_multiply(yes, q)))
    tilt = pair_add(pair_multiply(pair_add(constant(gamma), constant(-1.0)), lean), pair_add(q, pair_negative(p)))
    focusing = pair_multiply(lean, pair_add(pair_add(pull, pull), pair_multiply(entropy, tilt)))
    return pair_add(pair_multiply(pair_add(yes, no), slope), pair_multiply(constant(gamma), focusing))[0]


def _both_of_probabilities(p: Array) -> Both:
    other = complement(p)
    log, low = log_pair(other[0])
    return (p, 0.0 * p), other, log_pair(p), (log, low + other[1] / other[0])


def _both_of_logits(x: Array) -> Both:
    """Of t = e^−|x|: the larger of p and 1 − p is 1/(1 + t), and its logarithm −log(1 + t)."""
    t = exp_pair(-np.abs(x))
    whole, rest = pair_add((np.ones_like(x), 0.0 * x), t)
    log, low = log_pair(whole)
    near = (-log, -(low + rest / whole))
    far = pair_add(near, (-np.abs(x), 0.0 * x))
    back = np.signbit(x)
    return *odds(x, t), either(back, far, near), either(back, near, far)


def _only(a: Pair, rows: NDArray[np.bool_]) -> Pair:
    return a[0][rows], a[1][rows]
