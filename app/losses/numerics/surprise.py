"""The surprise at one of two outcomes: what cross-entropies of a yes-or-no decision have in common."""

import numpy as np

from app.losses.numerics.pairs import (
    Pair,
    pair_add,
    pair_multiply,
    two_sum,
)
from app.losses.numerics.stable import Array


def surprise(p: Array, positive: Array, negative: Array) -> tuple[Array, Array, Array]:
    """−positive·ln p − negative·ln(1 − p), its derivative, and the part of that which pulls p down."""
    expected, feared = positive * np.log(p), negative * np.log1p(-p)
    up, down = positive / p, negative / (1.0 - p)
    if not (p.min() > 0 and p.max() < 1):  # 0·ln 0 and 0/0 are 0
        expected, up = (np.where(positive == 0, 0.0, numbers) for numbers in (expected, up))
        feared, down = (np.where(negative == 0, 0.0, numbers) for numbers in (feared, down))
    return 0.0 - (expected + feared), down - up, down


def curvature(p: Array, positive: Array, negative: Array) -> Array:
    """The second derivative of that: positive/p² + negative/(1 − p)²."""
    up, down = positive / p / p, negative / (1.0 - p) / (1.0 - p)
    return np.where(positive == 0, 0.0, up) + np.where(negative == 0, 0.0, down)


def outcome_weights(targets: Array, smoothing: float, weight: Array) -> tuple[Array, Array]:
    """What the outcomes 1 and 0 weigh: w·y and 1 − y after smoothing."""
    moved = smoothing * (0.5 - targets)
    return weight * (targets + moved), (1.0 - targets) - moved


def outcome_shares(targets: Array, smoothing: float, weight: Array | float = 1.0) -> tuple[Pair, Pair]:
    """The same unrounded, for a gradient in which the two nearly cancel."""
    away, low = two_sum(-targets, 0.5)
    moved = pair_multiply((away, low), (np.float64(smoothing) + 0.0 * away, 0.0 * away))
    positive = pair_add((targets, 0.0 * targets), moved)
    negative = pair_add(two_sum(-targets, 1.0), (-moved[0], -moved[1]))
    return pair_multiply(positive, (weight + 0.0 * targets, 0.0 * targets)), negative
