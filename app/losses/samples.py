"""Samples and their elements: which elements make up a sample, and what each of them is of it."""

import math

import numpy as np
from numpy.typing import NDArray

from app.losses.batch import Batch
from app.losses.numerics.blocks import in_blocks
from app.losses.numerics.means import shares_of
from app.losses.numerics.stable import Array


def shares_of_elements(batch: Batch) -> tuple[Array | None, float]:
    """What each element is of its sample, as weights (m,) or None, and a divisor."""
    grid = _shares(batch)
    if grid is None:
        return None, float(math.prod(batch.elements[1:]))
    shares = grid.reshape(-1)
    return shares if batch.kept is None else shares[batch.kept], 1.0


def means_of_samples(batch: Batch, losses: Array) -> tuple[Array, Array | None]:
    """The mean of each sample's elements (n,), 0 where none of them counts, and what its derivative has beside their shares."""
    if batch.kept is None and len(losses) == batch.elements[0]:
        return losses, None
    grid = _grid(batch, losses)
    if grid.shape[1] == 1:
        return grid[:, 0], None
    shares = _shares(batch)
    means = np.empty(len(grid))

    def work(rows: slice) -> Array | None:
        means[rows], slope = batch.mean.of_rows(grid[rows], None if shares is None else shares[rows])
        return slope

    slopes = [slope for slope in in_blocks(work, len(grid), grid[0].nbytes) if slope is not None]
    if not slopes:
        return means, None
    flat = np.concatenate(slopes).reshape(-1)
    return means, flat if batch.kept is None else flat[batch.kept]


def _shares(batch: Batch) -> Array | None:
    """What each element is of its sample (n, d), 0 for those that do not count; None where all are alike."""
    depth = math.prod(batch.elements[1:])
    if depth == 1 or not (batch.by_element or _some_in_part(batch.kept, depth)):
        return None
    return shares_of(_grid(batch, batch.weights if batch.weights is not None and batch.by_element else np.ones(batch.size)))


def _grid(batch: Batch, numbers: Array) -> Array:
    """One number for each element that counts as (n, d), 0 for the others."""
    if batch.kept is not None:
        whole = np.zeros(math.prod(batch.elements))
        whole[batch.kept] = numbers
        numbers = whole
    return numbers.reshape(batch.elements[0], -1)


def _some_in_part(kept: NDArray[np.intp] | None, depth: int) -> bool:
    """Whether a sample has elements that count beside others that do not."""
    return kept is not None and kept.size != (np.count_nonzero(np.diff(kept // depth)) + 1) * depth
