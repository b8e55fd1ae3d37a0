"""Two softmaxes that nearly agree, as those of a student and its teacher: of their difference all digits are kept."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, expm1, log1p, softmax_parts, where, wide

Where: TypeAlias = NDArray[np.bool_]
REACH = 300.0
"""How far logits may be apart: beyond, two softmaxes do not nearly agree."""

LEAST = 750.0
"""Beyond, an exponential is 0."""


def log_ratio(p: Wide, apart: Wide) -> Wide:
    """ln q − ln p of the softmax p of rows (n, k) and the softmax q of logits that are so far above those of p.

    Seen from the class with the largest share all else is a difference: d − ln(1 + ∑ p·(eᵈ − 1)) loses nothing that is small.
    """
    top = p.high.argmax(axis=1)[:, None]
    beyond = apart - Wide(*(np.take_along_axis(part, top, axis=1) for part in apart.pair))
    return beyond - log1p((p * expm1(where(np.abs(beyond.high) < 2.0 * REACH, beyond, 0.0))).sum())


def within_reach(apart: Wide) -> Where:
    """Rows (n, 1) whose logits are near enough."""
    return (np.abs(apart.high) < REACH).all(axis=1, keepdims=True)


def _below_largest(x: Array) -> Array:
    return x.max(axis=1, keepdims=True) - x


def put_near(gradient: Array, rows: Where, x: Array, y: Array) -> None:
    """Put softmax(x) − softmax(y) in place of the gradient of some rows; a class without a share in both has none in it."""
    here, there = x[rows], y[rows]
    neither = (_below_largest(here) > LEAST) & (_below_largest(there) > LEAST)
    both = np.isfinite(here) & np.isfinite(there)
    apart = where(both, wide(np.where(both, there, 0.0)) - np.where(both, here, 0.0), np.inf)
    apart = where(neither, 0.0, apart)
    near = within_reach(apart)
    p = softmax_parts(here).p
    exact = -(p * expm1(log_ratio(p, where(near, apart, 0.0)))).high
    gradient[rows] = np.where(near, exact, gradient[rows])
