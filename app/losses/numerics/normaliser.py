"""The normaliser of Barron's general robust loss: ln Z(α), Z(α) = ∫ exp(−ρ(x, α)) dx for α from 0 to below 2, and its slope.

With x = √(2 − α)·sinh(w) the integrand is even and analytic in w, and falls at least as e^−|w|: the trapezoidal rule on evenly
spaced nodes has all digits (Trefethen and Weideman 2014, doi:10.1137/130932132).
"""

import numpy as np

from app.losses.numerics.stable import Array

STEP, NODES = 0.125, 385
_W = STEP * np.arange(NODES)
LOG_COSH: Array = _W + np.log1p(np.exp(-2.0 * _W)) - np.log(2.0)
LEVEL: Array = 2.0 * LOG_COSH
"""ln(1 + x²/(2 − α)) at each node."""
WEIGHTS: Array = np.where(_W == 0, 0.5, 1.0)
AT_ONCE = 64
"""Shapes whose nodes are looked at at a time."""


def normaliser(alpha: Array) -> tuple[Array, Array]:
    """ln Z and its derivative, of shapes (m,)."""
    value, slope = np.empty_like(alpha), np.empty_like(alpha)
    for start in range(0, alpha.size, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        value[some], slope[some] = _of_few(alpha[some, None])
    return value, slope


def _of_few(alpha: Array) -> tuple[Array, Array]:
    b = 2.0 - alpha
    q = 0.5 * alpha * LEVEL
    grown = np.expm1(q)
    cost = b * np.where(q > 0, grown / np.where(alpha > 0, alpha, 1.0), LOG_COSH)
    least = np.minimum(cost - LOG_COSH, 800.0).min(axis=1, keepdims=True)
    density = WEIGHTS * np.exp(np.minimum(least - (cost - LOG_COSH), 0.0))
    total = density.sum(axis=1)
    value = np.log(2.0 * STEP * total) - least[:, 0] + 0.5 * np.log(b[:, 0])
    slope = -(density * np.where(density > 0, by_shape(alpha, LEVEL, q, grown), 0.0)).sum(axis=1) / total
    return value, slope


def by_shape(alpha: Array, level: Array, q: Array, grown: Array) -> Array:
    """∂ρ/∂α at a fixed x, of ln(1 + x²/(2 − α)), half of it times α, and e to that less 1."""
    b, kept = 2.0 - alpha, -np.expm1(-level)
    power = 1.0 + grown
    low = 0.5 * level * level * _bent(q, grown) - 0.5 * power * (level - kept)
    safe = np.where(alpha > 0, alpha, 1.0)
    high = (
        b * power * (level / (2.0 * safe) - (alpha + 2.0) / (2.0 * safe * safe)) + 2.0 / safe / safe - 0.5 * power * (1.0 - kept)
    )
    return np.where(alpha < 1.0, low, high)


def _bent(q: Array, grown: Array) -> Array:
    """(q·e^q − e^q + 1)/q²: ½ at 0."""
    near = np.minimum(q, 1.0)
    series = np.zeros_like(q)
    term = np.full_like(q, 0.5)
    for n in range(20):  # q^n·(n + 1)/(n + 2)!
        series += term * (n + 1)
        term = term * near / (n + 3)
    safe = np.where(q > 1.0, q, 2.0)
    return np.where(q > 1.0, (q * grown + q - grown) / safe / safe, series)
