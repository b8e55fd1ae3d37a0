"""A batch of masks or of maps of classes, as rows: what overlaps are taken of, and the way back to the predictions."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import Pair, complement, constant, exp_pair, odds, pair, pair_divide, pair_multiply
from app.losses.numerics.rows import row_sums
from app.losses.numerics.shares import Columns, ExactColumns, Rows, columns
from app.losses.numerics.stable import Array, sigmoid

ROUNDINGS = 2.5
"""What a slope of masks has beside a share."""
FEW = 16
"""Positions of a mask up to which its softmax is taken in double-double where it cancels: of more, the roundings average out."""
Pullback: TypeAlias = Callable[[Array], Array]


class Masks(NamedTuple):
    """Predicted masks, a row each: from logits, 1 − p is a quotient too and never a subtraction."""

    p: Array
    rest: Array
    """1 − p."""
    unrounded: Callable[[NDArray[np.bool_]], tuple[Pair, Pair]]
    """Both, of some of the rows or numbers."""
    of_logits: bool


Slopes: TypeAlias = Callable[[NDArray[np.bool_]], Pair]
"""Some of the masks -> the derivative of their losses to p, in double-double."""
Formula: TypeAlias = Callable[[Masks, Array, Array | None], tuple[Array, Array, Slopes]]
"""(masks, true masks, weights) -> the loss of each, and its derivative to p, rounded and unrounded."""


class Layout(NamedTuple):
    """A batch (m, *r[, k]) as masks: one row for each sample and class, or of all samples together for each class."""

    m: int
    k: int
    first: int
    """The first class that counts."""
    activation: str
    pooled: bool
    together: bool = False
    """Whether the masks of a sample's classes, one after the other, are one row, and have one loss."""

    def apply(
        self, formula: Formula, predictions: Array, targets: Array, weights: Array | None
    ) -> tuple[Array, Array | Pullback]:
        """The loss of each sample, and the gradient, or what pulls it back where samples have one loss together."""
        grid = predictions.reshape(self.m, -1, self.k)
        seen = columns(grid.reshape(-1, self.k)) if self.activation == "softmax" else None
        p, rest = self._probabilities(grid) if seen is None else (seen.p.reshape(grid.shape), seen.miss.reshape(grid.shape))
        rounded = self._rows(p), self._rows(rest)
        masks = Masks(*rounded, self._unrounded(grid, *rounded), bool(self.activation))
        of_positions = targets.ndim < predictions.ndim
        y = self._rows(self._of_classes(targets, of_positions))
        losses, slope, exact = formula(masks, y, None if weights is None else self._rows(self._spread(weights, of_positions)))
        parts = 1 if self.together else self.k - self.first
        slope = self._back(slope / parts if parts > 1 else slope, grid.shape)
        if seen is None:
            slopes = slope * (p * rest) if self.activation else slope
        else:
            slopes = self._through_softmax(seen, grid, slope, exact)
        slopes = slopes.reshape(predictions.shape)
        if not self.pooled:
            return row_sums(losses.reshape(self.m, parts)) / parts, slopes
        return np.full(self.m, losses.sum() / parts), lambda pulls: slopes * pulls.sum()

    def _probabilities(self, grid: Array) -> tuple[Array, Array]:
        return (sigmoid(grid), sigmoid(-grid)) if self.activation else (grid, 1.0 - grid)

    def _few(self, grid: Array) -> bool:
        return grid.shape[1] * (self.m if self.pooled else 1) <= FEW

    def _unrounded(self, grid: Array, p: Array, rest: Array) -> Callable[[NDArray[np.bool_]], tuple[Pair, Pair]]:
        def of(where: NDArray[np.bool_]) -> tuple[Pair, Pair]:
            if self.activation == "softmax":
                return self._exact_softmax(grid, where) if self._few(grid) else (pair(p[where]), pair(rest[where]))
            x = self._rows(grid)[where]
            return odds(x, exp_pair(-np.abs(x))) if self.activation else (pair(x), complement(x))

        return of

    def _exact_softmax(self, grid: Array, where: NDArray[np.bool_]) -> tuple[Pair, Pair]:
        """p and 1 − p of some of the rows or numbers."""
        wanted = np.zeros_like(self._rows(grid))
        wanted[where] = 1.0
        positions = self._back(wanted, grid.shape).any(axis=2)
        exact = ExactColumns(grid[positions])

        def picked(numbers: Array) -> Array:
            filled = np.zeros(grid.shape)
            filled[positions] = numbers
            return self._rows(filled)[where]

        (p, p_low), (rest, rest_low) = exact.p, exact.miss
        return (picked(p), picked(p_low)), (picked(rest), picked(rest_low))

    def _through_softmax(self, seen: Columns, grid: Array, slope: Array, exact: Slopes) -> Array:
        """p·(slope − ∑ p·slope) over the classes of each position."""
        x, parts = grid.reshape(-1, self.k), 1 if self.together else self.k - self.first

        def unrounded(positions: Rows, columns: ExactColumns) -> Pair:
            samples = np.zeros(self.m, np.bool_)
            samples[positions // grid.shape[1]] = True
            rows = np.ones(parts, np.bool_) if self.pooled else np.repeat(samples, parts)
            high, low = (self._filled(part, rows, grid.shape)[positions] for part in exact(rows))
            share = pair_divide((high, low), constant(float(-parts)))
            return pair_multiply(columns.p, share)

        return seen.gradient(x, -seen.p * slope.reshape(x.shape), unrounded, ROUNDINGS if self._few(grid) else 0.0)

    def _filled(self, numbers: Array, rows: NDArray[np.bool_], shape: tuple[int, ...]) -> Array:
        """Some of the rows as positions (m·r, k), 0 for the others."""
        filled = np.zeros((rows.size, numbers.shape[1]))
        filled[rows] = numbers
        return self._back(filled, shape).reshape(-1, self.k)

    def _of_classes(self, targets: Array, of_positions: bool) -> Array:
        """(m, r, k), where class indices stand for a 1 in the mask of theirs."""
        if not of_positions:
            return targets.reshape(self.m, -1, self.k)
        return (targets.reshape(self.m, -1, 1) == np.arange(self.k, dtype=np.int64)).astype(np.float64)

    def _spread(self, weights: Array, of_positions: bool) -> Array:
        """(m, r, k), where the weight of a position is that of each of its classes."""
        if not of_positions:
            return weights.reshape(self.m, -1, self.k)
        return np.broadcast_to(weights.reshape(self.m, -1, 1), (self.m, weights.size // self.m, self.k))

    def _rows(self, grid: Array) -> Array:
        """(m, r, k) as one row for each mask, of the classes that count."""
        turned = grid[..., self.first :].transpose((2, 0, 1) if self.pooled else (0, 2, 1))
        turned = turned if turned.flags.c_contiguous else turned.copy()  # sums depend on how numbers lie
        samples, parts = 1 if self.pooled else self.m, 1 if self.together else self.k - self.first
        return turned.reshape(samples * parts, -1)

    def _back(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Rows as (m, r, k), 0 for a class that does not count."""
        m, r, k = shape
        classes = k - self.first
        turned = rows.reshape(classes, m, r).transpose(1, 2, 0) if self.pooled else rows.reshape(m, classes, r).transpose(0, 2, 1)
        return np.pad(turned, ((0, 0), (0, 0), (self.first, 0))) if self.first else turned
