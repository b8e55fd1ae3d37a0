"""Parameters of a loss that may be learned with a model, as those of the likelihood that the loss is part of.

By itself a loss has nothing against the parameters under which everything costs little. The likelihood has: its normaliser.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from app.losses.numerics.stable import Array


class Span(NamedTuple):
    """Where a parameter is learned."""

    low: float
    high: float
    moves: Literal["logit", "log", "plain"] = "logit"
    """What moves: the logit of its place between its bounds, its logarithm, as that of a scale, or it itself."""


class Learnable(NamedTuple):
    """Which parameters of a loss may be learned, and what the likelihood has beside the loss."""

    spans: Mapping[str, Span]
    """By the parameter's name."""
    words: Mapping[str, str]
    """Other names that they have -> the parameter's."""
    level: Callable[..., float]
    """(**parameters) -> what is added to each element's loss."""
    slopes: Callable[..., Mapping[str, Array]]
    """(predictions, targets, **parameters) -> the derivative of each element's cost (m,), level and all, by parameter."""
