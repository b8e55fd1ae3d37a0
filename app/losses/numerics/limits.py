"""Infinite scores: what a loss is there is the limit of what it is at finite ones that go to infinity."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from app.losses.numerics.stable import Array

NEAR, FAR = 1e304, 1e305
"""Scores that stand for an infinite one: exponentials of them are 0, and whatever grows with them has grown beyond all else."""
LARGEST = np.float64(1e300)
"""The largest finite score beside which that is so."""
SAME = 1e-6
"""How far, in relation, what has a limit may differ between the two."""


def at_infinity(kernel: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """The kernel for arrays with infinite numbers: its values and derivatives are the limits of its own."""

    def limits(*arrays: Array | None, **columns: Array) -> tuple[Any, ...]:
        near, far = (kernel(*(_finite(array, size) for array in arrays), **columns) for size in (NEAR, FAR))
        return _limit(near, far)

    return limits


def _finite(array: Array | None, size: float) -> Array | None:
    """The array with numbers of this size for infinite ones."""
    if array is None or array.dtype.kind in "iu":
        return array
    return np.where(np.isinf(array), np.copysign(size, array), array)


def _limit(near: Any, far: Any) -> Any:
    """What two answers tend to, whatever they are made of."""
    if near is None:
        return None
    if isinstance(near, tuple):
        return tuple(map(_limit, cast(tuple[Any, ...], near), far))
    if callable(near):

        def later(*weights: Array) -> Any:
            return _limit(near(*weights), far(*weights))

        return later
    grows = np.abs(far) > np.abs(near)
    return np.where(np.isclose(near, far, rtol=SAME, atol=0.0), far, np.where(grows, np.copysign(np.inf, far), 0.0))
