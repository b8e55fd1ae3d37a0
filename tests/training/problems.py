"""What the optimizers of the recorded trajectories were given: a start, and the gradient at each step. Sums without BLAS."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HILBERT = 1.0 / (np.arange(4)[:, None] + np.arange(4) + 1.0)
"""Symmetric and positive, with eigenvalues from 1e-4 to 1.5: a valley 15 000 times as long as it is wide, and oblique."""


@dataclass(frozen=True)
class Problem:
    """`minimum` is None where the gradient is not that of one fixed function."""

    start: tuple[float, ...]
    value: Callable[[Array], float]
    gradient: Callable[[Array, int], Array]
    minimum: tuple[float, ...] | None = None


def _valley(weights: Array) -> float:
    away = weights - 1.0
    return 0.5 * float((away * (HILBERT * away).sum(axis=1)).sum())


def _valley_gradient(weights: Array, step: int) -> Array:
    return (HILBERT * (weights - 1.0)).sum(axis=1)


def _rosenbrock(weights: Array) -> float:
    x, y = weights[0::2], weights[1::2]
    return float((100.0 * (y - x * x) ** 2 + (1.0 - x) ** 2).sum())


def _rosenbrock_gradient(weights: Array, step: int) -> Array:
    x, y = weights[0::2], weights[1::2]
    gradient = np.empty_like(weights)
    gradient[0::2] = -400.0 * x * (y - x * x) - 2.0 * (1.0 - x)
    gradient[1::2] = 200.0 * (y - x * x)
    return gradient


def _sparse_gradient(weights: Array, step: int) -> Array:
    """Weight i is asked for at every (i + 1)-th step only, as rare features are: its gradient is 0 until then."""
    return np.where(step % np.arange(1, weights.size + 1) == 0, weights - 0.25, 0.0)


PROBLEMS = {
    "valley": Problem((3.0, -2.0, 5.0, 0.5), _valley, _valley_gradient, minimum=(1.0, 1.0, 1.0, 1.0)),
    "rosenbrock": Problem((-1.2, 1.0, 0.5, 2.0), _rosenbrock, _rosenbrock_gradient, minimum=(1.0, 1.0, 1.0, 1.0)),
    "sparse": Problem((2.0, -1.0, 0.5, 1.0), lambda weights: float("nan"), _sparse_gradient),
}
RECORDED_STEPS = (1, 2, 3, 5, 10, 20, 40)
