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


@published
def adamax(
    theta: Array, g: Array, memory: Memory, t: int, *, learning_rate: float, beta_1: float, beta_2: float, epsilon: float
) -> Array:
    """Kingma and Ba (2015), Algorithm 2, with PyTorch's epsilon."""
    m = memory["m"] = beta_1 * memory["m"] + (1 - beta_1) * g
    u = memory["u"] = np.maximum(beta_2 * memory["u"], np.abs(g) + epsilon)
    return theta - learning_rate / (1 - beta_1**t) * m / u


@published
def adabelief(
    theta: Array, g: Array, memory: Memory, t: int, *, learning_rate: float, beta_1: float, beta_2: float, epsilon: float
) -> Array:
    """Zhuang et al. (2020), Algorithm 2."""
    m = memory["m"] = beta_1 * memory["m"] + (1 - beta_1) * g
    s = memory["s"] = beta_2 * memory["s"] + (1 - beta_2) * (g - m) ** 2 + epsilon
    return theta - learning_rate * (m / (1 - beta_1**t)) / (np.sqrt(s / (1 - beta_2**t)) + epsilon)


@published
def schedule_free_adamw(
    theta: Array,
    g: Array,
    memory: Memory,
    t: int,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    warmup_steps: int,
) -> Array:
    """Defazio et al. (2024), Algorithm 1: θ is their y, where the gradient is taken, and x is the model."""
    y, x, z = theta, memory["x"] if t > 1 else theta, memory["z"] if t > 1 else theta
    v = memory["v"] = beta_2 * memory["v"] + (1 - beta_2) * g**2
    gamma = learning_rate * (min(1, t / warmup_steps) if warmup_steps else 1)
    z = memory["z"] = z - gamma * g / (np.sqrt(v / (1 - beta_2**t)) + epsilon) - gamma * weight_decay * y
    memory["sum"] += gamma**2
    c = gamma**2 / memory["sum"]
    x = memory["x"] = (1 - c) * x + c * z
    return (1 - beta_1) * z + beta_1 * x


@published
def rprop(
    theta: Array,
    g: Array,
    memory: Memory,
    t: int,
    *,
    learning_rate: float,
    shrink: float,
    grow: float,
    smallest_step: float,
    largest_step: float,
) -> Array:
    """Igel and Hüsken (2000), iRprop−, with Δ₀ = learning_rate."""
    delta = memory["delta"] if t > 1 else np.full(theta.shape, learning_rate)
    product = memory["g"] * g
    delta = np.where(product > 0, np.minimum(delta * grow, largest_step), delta)
    delta = np.where(product < 0, np.maximum(delta * shrink, smallest_step), delta)
    memory["delta"] = delta
    memory["g"] = np.where(product < 0, 0.0, g)
    return theta - np.sign(memory["g"]) * delta
