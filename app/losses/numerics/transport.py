"""Moving one set of vectors onto another at the least cost, blurred: Sinkhorn's iterations on logarithms, and back through them.

A pair costs half its squared distance. What each side pays is set right in turn, so that its own share of the plan is; of both
sides' payments after the last turn the cost is the sum of the means. Costs of pairs are made a tile at a time, or kept where
they are few.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

import numpy as np

from app.losses.numerics.products import PAIRS_KEPT, tiles
from app.losses.numerics.similarities import Vectors, beside
from app.losses.numerics.stable import Array, exact_sum

Turn: TypeAlias = tuple[int, Array]
"""The side that is set right, and what the other pays at the time."""
SETTLED = 1e-30
"""A derivative to what was paid long ago that is less than this has no share in any digit."""


class Transport:
    """Two sets of vectors (n, d) and (m, d), and what both pay after so many iterations."""

    def __init__(self, first: Array, second: Array, epsilon: float, iterations: int) -> None:
        self.sets, self.epsilon = (first, second), epsilon
        self.alike = beside(first, second, cosines=False), beside(second, first, cosines=False)
        self.few = len(first) * len(second) <= PAIRS_KEPT
        paid = [np.zeros(len(first)), np.zeros(len(second))]
        self.turns: list[Turn] = []
        for _ in range(iterations):
            for side in (1, 0):
                self.turns.append((side, paid[1 - side]))
                paid[side] = self._set_right(side, paid[1 - side])
        self.value = exact_sum(paid[0]) / len(first) + exact_sum(paid[1]) / len(second)

    def _blocks(self, side: int) -> list[slice]:
        return tiles(len(self.sets[side]), len(self.sets[1 - side]))

    @cached_property
    def _kept(self) -> tuple[Array, Array]:
        costs = np.concatenate([self._made(0, rows) for rows in self._blocks(0)])
        return costs, np.ascontiguousarray(costs.T)

    def _made(self, side: int, rows: slice) -> Array:
        alike = self.alike[side]
        halves = [_half_squares(item) for item in (alike.first, alike.second)]
        return np.maximum(halves[0][rows, None] + halves[1] - alike.tile(rows)[0], 0.0)

    def _costs(self, side: int, rows: slice) -> Array:
        """What some vectors of a side cost with all of the other (a, m)."""
        return self._kept[side][rows] if self.few else self._made(side, rows)

    def _plan(self, side: int, rows: slice, paid: Array) -> tuple[Array, Array, Array]:
        """The shares of some rows' plan (a, m) before they are divided by their sum (a, 1), and their largest exponent (a, 1)."""
        exponents = (paid - self._costs(side, rows)) / self.epsilon
        top = exponents.max(axis=1, keepdims=True)
        powers = np.exp(exponents - top)
        return powers, powers.sum(axis=1, keepdims=True), top

    def _set_right(self, side: int, paid: Array) -> Array:
        found = np.empty(len(self.sets[side]))
        for rows in self._blocks(side):
            _, total, top = self._plan(side, rows, paid)
            mean = np.log(total / len(paid))
            if (mean > -0.5).any():  # of which the exponentials left few digits
                rest = (paid - self._costs(side, rows)) / self.epsilon - top
                mean = np.where(mean > -0.5, np.log1p(np.expm1(rest).mean(axis=1, keepdims=True)), mean)
            found[rows] = -self.epsilon * (top + mean)[:, 0]
        return found

    def _pulled(self) -> Iterator[tuple[Turn, Array]]:
        """From the last turn back: what the derivative to the payments that it set is."""
        pulls = [np.full(len(item), 1.0 / len(item)) for item in self.sets]
        for side, paid in reversed(self.turns):
            own = pulls[side]
            if np.abs(own).max() < SETTLED:
                return
            yield (side, paid), own
            back = np.zeros(len(paid))
            for rows in self._blocks(side):
                powers, total, _ = self._plan(side, rows, paid)
                back -= (own[rows, None] / total * powers).sum(axis=0)
            pulls[1 - side] = pulls[1 - side] + back
            pulls[side] = np.zeros_like(own)

    def slopes(self) -> tuple[Array, Array]:
        """The derivatives of the value to both sets."""
        turns = list(self._pulled())
        gradients = [np.zeros_like(item) for item in self.sets]
        for side in (0, 1):
            own, other = self.sets[side], self.sets[1 - side]
            mine = [(paid, pull) for (turned, paid), pull in turns if turned == side]
            for rows in self._blocks(side):
                slope = np.zeros((rows.stop - rows.start, len(other)))
                for paid, pull in mine:
                    powers, total, _ = self._plan(side, rows, paid)
                    slope += pull[rows, None] / total * powers
                gradients[side][rows] += own[rows] * slope.sum(axis=1, keepdims=True) - slope @ other
                gradients[1 - side] += other * slope.sum(axis=0)[:, None] - slope.T @ own[rows]
        return gradients[0], gradients[1]


def _half_squares(item: Vectors) -> Array:
    return (item.squares[0] * (0.5 * item.scale * item.scale))[:, 0]
