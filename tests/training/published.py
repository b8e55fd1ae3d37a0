"""Optimizers as their papers write them: a line a formula, new arrays everywhere.

An optimizer of which no library's trajectory is recorded has its lines here; one of which there is may have both.
`memory` is whatever the paper carries from step to step: every name in it is 0 before the first.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from tests.training.problems import Array

Memory: TypeAlias = defaultdict[str, Any]
PUBLISHED: dict[str, Callable[..., Array]] = {}


def published(step: Callable[..., Array]) -> Callable[..., Array]:
    """(θ, g, memory, t, parameters) -> the next θ, under the name of the optimizer."""
    PUBLISHED[step.__name__] = step
    return step


@published
def adam(
    theta: Array,
    g: Array,
    memory: Memory,
    t: int,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    epsilon_hat: bool,
) -> Array:
    """Kingma and Ba (2015), Algorithm 1, and the ε̂ of their section 2."""
    m = memory["m"] = beta_1 * memory["m"] + (1 - beta_1) * g
    v = memory["v"] = beta_2 * memory["v"] + (1 - beta_2) * g**2
    if epsilon_hat:
        return theta - learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)
    return theta - learning_rate * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)


@published
def lion(
    theta: Array, g: Array, memory: Memory, t: int, *, learning_rate: float, beta_1: float, beta_2: float, weight_decay: float
) -> Array:
    """Chen et al. (2023), Algorithm 2."""
    c = beta_1 * memory["m"] + (1 - beta_1) * g
    memory["m"] = beta_2 * memory["m"] + (1 - beta_2) * g
    return theta - learning_rate * (np.sign(c) + weight_decay * theta)
