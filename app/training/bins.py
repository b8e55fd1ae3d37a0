"""Columns of numbers as at most 255 bins each, and the trees that are grown on them.

The trees are scikit-learn's own (`TreeGrower`, a module that its makers call private: docs/decisions/trees.md); nothing else
in this service knows it. Gradients and second derivatives are of whatever loss is trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.trees import LARGEST, Boosted, Tree

LEAST_SECOND = 1e-3
"""The least sum of second derivatives on a side of a split: scikit-learn's."""


class Bins(NamedTuple):
    """Rows by the bin of each of their numbers."""

    codes: NDArray[np.uint8]
    """(n, d), one column after the other in memory; `last` where a number is missing."""
    thresholds: tuple[Array, ...]
    """The largest number of each bin but the last, by column; nothing for categories, each of which is a bin."""
    counts: NDArray[np.uint32]
    """Bins of each column."""
    missing: NDArray[np.bool_]
    """Which columns lack numbers."""
    last: int
    """The bin of what is missing."""


def bins(inputs: Array, trees: Boosted, weights: Array | None) -> Bins:
    """Training rows, as `Categories.read` gives them, in bins that hold about as much weight each."""
    columns = range(inputs.shape[1])
    codes = np.empty(inputs.shape, np.uint8, order="F")
    thresholds: list[Array] = []
    counts = np.empty(len(columns), np.uint32)
    missing = np.isnan(inputs)
    for column in columns:
        numbers, gaps = inputs[:, column], missing[:, column]
        if column in trees.categorical:
            thresholds.append(np.empty(0))
            counts[column] = 1 + (0 if gaps.all() else int(np.nanmax(numbers)))
            codes[:, column] = np.where(gaps, 0, numbers)
        else:
            thresholds.append(_thresholds(numbers[~gaps], None if weights is None else weights[~gaps], trees.max_bins))
            counts[column] = len(thresholds[-1]) + 1
            codes[:, column] = np.searchsorted(thresholds[-1], numbers)
        codes[gaps, column] = trees.max_bins
    return Bins(codes, tuple(thresholds), counts, np.asarray(missing.any(axis=0)), trees.max_bins)


def _thresholds(numbers: Array, weights: Array | None, most: int) -> Array:
    """Halfway between neighbours: of all numbers where there are few, of quantiles otherwise."""
    different = np.asarray(np.unique(numbers), np.float64)
    if len(different) <= most:
        return different[:-1] / 2.0 + different[1:] / 2.0
    order = np.argsort(numbers, kind="stable")
    ordered = np.asarray(numbers[order], np.float64)
    below = np.asarray(np.cumsum(np.ones(len(numbers)) if weights is None else weights[order]), np.float64)
    cuts = float(below[-1]) * np.arange(1, most) / most
    low = np.minimum(np.searchsorted(below, cuts, "left"), len(ordered) - 1)
    high = np.minimum(np.searchsorted(below, cuts, "right"), len(ordered) - 1)
    return np.asarray(np.unique(ordered[low] / 2.0 + ordered[high] / 2.0), np.float64)


@dataclass(frozen=True)
class Grown:
    """A tree, and where the rows that it was grown on ended."""

    tree: Tree
    """Its values are the leaves' −Σg/(Σh + λ), within their bounds, as the grower computed them."""
    leaf: NDArray[np.int64]
    """(n,) the node of each of these rows, or of all."""
    rows: NDArray[np.intp] | None
    """Those that the tree was grown on; None for all."""


def grow(
    bins: Bins,
    rows: NDArray[np.intp] | None,
    gradient: Array,
    second: Array | None,
    l2: float,
    trees: Boosted,
    rng: "np.random.Generator",
) -> Grown:
    """A tree on some of the rows, or all; `second` None is 1 for each of them. The derivatives are of moderate size."""
    # only a process that trains pays for scikit-learn: seconds and 100 MB
    from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower

    codes = bins.codes if rows is None else np.asfortranarray(bins.codes[rows])
    flags = np.zeros(codes.shape[1], np.uint8)
    flags[list(trees.categorical)] = 1
    grower_of: Any = TreeGrower
    grower: Any = grower_of(
        codes,
        gradient.astype(np.float32),
        np.ones(1, np.float32) if second is None else second.astype(np.float32),
        max_leaf_nodes=trees.max_leaf_nodes,
        max_depth=trees.max_depth,
        min_samples_leaf=trees.min_samples_leaf,
        min_hessian_to_split=LEAST_SECOND,
        n_bins=bins.last + 1,
        n_bins_non_missing=bins.counts,
        has_missing_values=bins.missing,
        is_categorical=flags,
        monotonic_cst=trees.monotone,
        l2_regularization=l2,
        feature_fraction_per_split=trees.max_features,
        rng=rng,
        n_threads=1,
    )
    grower.grow()
    leaf, tree = _read(grower, bins, len(codes), trees.categorical)
    return Grown(tree, leaf, rows)


def _read(grower: Any, bins: Bins, n: int, categorical: Sequence[int]) -> tuple[NDArray[np.int64], Tree]:
    """The node at which each row ends (n,), and the tree that a grower has made, its nodes in order of depth first."""
    size = grower.n_nodes
    tree: Tree = dict(zip(("feature", "left", "right"), np.full((3, size), -1, np.int64), strict=True))
    tree["missing_left"] = np.zeros(size, np.int64)
    tree["threshold"], tree["gain"], tree["value"] = np.zeros(size), np.zeros(size), np.zeros((size, 1))
    tree["members"] = np.zeros((size, 8 if categorical else 0), np.int64)
    ends: list[int] = []
    rows: list[int] = []
    waiting: list[tuple[Any, int]] = [(grower.root, -1)]
    for number in range(size):
        node, parent = waiting.pop()
        if parent >= 0:
            tree["right"][parent] = number
        if node.is_leaf:
            tree["value"][number] = node.value
            ends.append(number)
            rows.append(node.partition_stop - node.partition_start)
            continue
        split = node.split_info
        column, last = int(split.feature_idx), int(split.bin_idx)
        tree["feature"][number], tree["gain"][number] = column, split.gain
        tree["missing_left"][number] = split.missing_go_to_left
        if split.is_categorical:
            tree["members"][number] = split.left_cat_bitset
        else:
            edges = bins.thresholds[column]
            tree["threshold"][number] = edges[last] if last < len(edges) else LARGEST
        tree["left"][number] = number + 1
        waiting += [(node.right_child, number), (node.left_child, -1)]
    leaf = np.empty(n, np.int64)
    leaf[np.asarray(grower.splitter.partition)] = np.repeat(ends, rows)  # the rows of leaves lie as these do
    return leaf, tree
