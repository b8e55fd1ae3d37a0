"""A batch of masks or of maps of classes, as rows: what overlaps are taken of, and the way back to the predictions."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import Pair, complement, exp_pair, odds, pair
from app.losses.numerics.rows import row_starts, row_sums, softmax
from app.losses.numerics.stable import Array, sigmoid

Pullback: TypeAlias = Callable[[Array], Array]


class Masks(NamedTuple):
    """Predicted masks, a row each: from logits, 1 − p is a quotient too and never a subtraction."""

    p: Array
    rest: Array
    """1 − p."""
    unrounded: Callable[[NDArray[np.bool_]], tuple[Pair, Pair]]
    """Both, of some of the rows or numbers."""
    of_logits: bool


Formula: TypeAlias = Callable[[Masks, Array, Array | None], tuple[Array, Array]]
"""(masks, true masks, weights) -> the loss of each, and its derivative to p."""


class Layout(NamedTuple):
    """A batch (m, *r[, k]) as masks: one row for each sample and class, or of all samples together for each class."""

    m: int
    k: int
    first: int
    """The first class that counts."""
    activation: str
    pooled: bool

    def apply(
        self, formula: Formula, predictions: Array, targets: Array, weights: Array | None
    ) -> tuple[Array, Array | Pullback]:
        """The loss of each sample, and the gradient, or what pulls it back where samples have one loss together."""
        grid = predictions.reshape(self.m, -1, self.k)
        p, rest = self._probabilities(grid)
        masks = Masks(self._rows(p), self._rows(rest), self._unrounded(grid, p, rest), bool(self.activation))
        of_positions = targets.ndim < predictions.ndim
        y = self._rows(self._of_classes(targets, of_positions))
        losses, slope = formula(masks, y, None if weights is None else self._rows(self._spread(weights, of_positions)))
        classes = self.k - self.first
        slope = self._back(slope / classes if classes > 1 else slope, grid.shape)
        slopes = self._chain(slope, p, rest).reshape(predictions.shape)
        if not self.pooled:
            return row_sums(losses.reshape(self.m, classes)) / classes, slopes
        return np.full(self.m, losses.sum() / classes), lambda pulls: slopes * pulls.sum()

    def _probabilities(self, grid: Array) -> tuple[Array, Array]:
        if self.activation == "softmax":
            return _softmax(grid)
        return (sigmoid(grid), sigmoid(-grid)) if self.activation else (grid, 1.0 - grid)

    def _unrounded(self, grid: Array, p: Array, rest: Array) -> Callable[[NDArray[np.bool_]], tuple[Pair, Pair]]:
        def of(where: NDArray[np.bool_]) -> tuple[Pair, Pair]:
            if self.activation == "softmax":
                return pair(self._rows(p)[where]), pair(self._rows(rest)[where])
            x = self._rows(grid)[where]
            return odds(x, exp_pair(-np.abs(x))) if self.activation else (pair(x), complement(x))

        return of

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
        return turned.reshape(self.k - self.first if self.pooled else -1, turned.shape[-1] * (self.m if self.pooled else 1))

    def _back(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Rows as (m, r, k), 0 for a class that does not count."""
        m, r, k = shape
        classes = k - self.first
        turned = rows.reshape(classes, m, r).transpose(1, 2, 0) if self.pooled else rows.reshape(m, classes, r).transpose(0, 2, 1)
        return np.pad(turned, ((0, 0), (0, 0), (self.first, 0))) if self.first else turned

    def _chain(self, slope: Array, p: Array, rest: Array) -> Array:
        """The derivative to the predictions, from that to p."""
        if self.activation == "softmax":
            return _through_softmax(slope, p)
        return slope * (p * rest) if self.activation else slope


def _softmax(grid: Array) -> tuple[Array, Array]:
    """p and 1 − p: that of the likeliest class is the sum of the others."""
    x = grid.reshape(-1, grid.shape[-1])
    top: NDArray[np.intp] = row_starts(x) + x.argmax(axis=1)
    parts = softmax(x, top)
    p = parts.others / parts.total[:, None]
    p.reshape(-1)[top] = parts.picked / parts.total
    rest = 1.0 - p
    rest.reshape(-1)[top] = parts.rest / parts.total
    return p.reshape(grid.shape), rest.reshape(grid.shape)


def _through_softmax(slope: Array, p: Array) -> Array:
    """p·(slope − ∑ p·slope) over the classes, seen from the likeliest one, where the sum would cancel."""
    top = p.argmax(axis=-1)[..., None]
    beside = slope - np.take_along_axis(slope, top, axis=-1)
    mean = row_sums((p * beside).reshape(-1, p.shape[-1]))
    return p * (beside - mean.reshape(*p.shape[:-1], 1))
