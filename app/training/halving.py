"""Successive halving: many trials for a few epochs, the better ones for more (Jamieson and Talwalkar 2016, arXiv:1502.07943)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np


class Rung(NamedTuple):
    """So many trials are trained up to an epoch."""

    trials: int
    epochs: int


def rungs(trials: int, eta: int, epochs: int, least: int | None = None) -> list[Rung]:
    """Of every rung the eta-th part goes on to eta times the epochs, the last to all of them.

    `least` are the epochs of the first; None: as many as leave one trial for the last.
    """
    if least is None:
        halvings = 0
        while eta ** (halvings + 1) <= trials:
            halvings += 1
        least = math.ceil(epochs / eta**halvings)
    found: list[Rung] = []
    while least < epochs and trials > 1:
        found.append(Rung(trials, least))
        trials, least = math.ceil(trials / eta), least * eta
    return [*found, Rung(trials, epochs)]


def epochs_of(ladder: Sequence[Rung]) -> int:
    """Epochs of all rungs together: what has been trained goes on."""
    before, total = 0, 0
    for rung in ladder:
        total += rung.trials * (rung.epochs - before)
        before = rung.epochs
    return total


@dataclass(frozen=True)
class Span:
    """Numbers between two ends, evenly or by their logarithm; whole ones where `whole`."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False

    def draw(self, share: float) -> float | int:
        """The number at a share of the way, in [0, 1)."""
        if self.whole and self.scale == "linear":
            return min(int(self.high), math.floor(self.low + share * (self.high - self.low + 1)))
        low, high = (math.log(end) for end in (self.low, self.high)) if self.scale == "log" else (self.low, self.high)
        number = low + share * (high - low)
        number = min(self.high, max(self.low, math.exp(number) if self.scale == "log" else number))
        return round(number) if self.whole else number


@dataclass(frozen=True)
class Values:
    """Some values, one as likely as the other."""

    values: Sequence[Any]

    def index(self, share: float) -> int:
        return int(share * len(self.values))

    def draw(self, share: float) -> Any:
        return self.values[self.index(share)]


def shares(dimensions: int, trials: int, rng: "np.random.Generator") -> list[list[float]]:
    """For each trial a share of the way along each dimension: of `trials` equal parts of a dimension each has one.

    A Latin hypercube (McKay, Beckman and Conover 1979, doi:10.2307/1268522).
    """
    columns = [(rng.permutation(trials) + rng.random(trials)) / trials for _ in range(dimensions)]
    return np.stack(columns, axis=1).tolist() if columns else [[] for _ in range(trials)]
