"""How much work a loss is, from the lengths of its axes alone: known before any of it is done.

Memory needs no declaration: no loss takes more than a small multiple of its arrays beside a fixed number of megabytes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Cost:
    """Elementary operations of value and gradient, of which a core does about 1e9 a second."""

    per_number: float = 20.0
    """For each number of the arrays, whatever its axis: all there is to a linear loss."""
    beyond: Mapping[str, float] = field(default_factory=dict[str, float])
    """What comes on top, the fastest growing last: a product of axes (`n`, `n²`, `log n`) and its operations for each."""

    @cached_property
    def growth(self) -> str:
        """How the work grows, in a word: "linear", "n·k·log k", "n·t·s"."""
        return list(self.beyond)[-1] if self.beyond else "linear"

    @cached_property
    def _terms(self) -> tuple[tuple[float, tuple[Callable[[Mapping[str, int]], float], ...]], ...]:
        return tuple((multiple, tuple(map(_factor, product.split("·")))) for product, multiple in self.beyond.items())

    def __call__(self, numbers: int, lengths: Mapping[str, int]) -> float:
        """Operations for arrays of so many numbers in all, whose axes have these lengths."""
        total = self.per_number * numbers
        for multiple, factors in self._terms:
            total += multiple * math.prod(factor(lengths) for factor in factors)
        return total


def _factor(word: str) -> Callable[[Mapping[str, int]], float]:
    if word.endswith("²"):
        return lambda lengths: lengths[word[:-1]] ** 2
    if word.startswith("log "):
        return lambda lengths: math.log2(lengths[word[4:]] + 1)
    return lambda lengths: lengths[word]


LINEAR = Cost()
IN_PAIRS = Cost(per_number=150.0)
"""Linear, and dear: most of it is computed with twice the digits."""
