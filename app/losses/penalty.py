"""Penalties on the weights of a model, beside a loss: l1 · Σ|w| + l2 · Σw², as in training and in Keras."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from app.losses.numerics.stable import Array, exact_sum, sign


class Penalty(NamedTuple):
    """What weights cost, and its derivative to each of them: 0 for a weight of 0, where |w| has a kink."""

    value: float
    gradient: dict[str, Array]


def penalty(weights: Mapping[str, Array], l1: float, l2: float) -> Penalty:
    """The penalty of all of the arrays together."""
    flat = np.concatenate([array.reshape(-1) for array in weights.values()])
    value = l1 * exact_sum(np.abs(flat)) + l2 * exact_sum(flat * flat)
    return Penalty(value, {name: l1 * sign(array) + 2.0 * l2 * array for name, array in weights.items()})
