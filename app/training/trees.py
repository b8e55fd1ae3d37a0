"""Boosted trees: gradient descent on the predictions themselves, each step a regression tree (Friedman 2001)."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.activations import Activation

Tree: TypeAlias = dict[str, Numbers]

NODES = ("feature", "threshold", "left", "right", "value")
"""A tree as arrays, one entry per node: at a leaf `left` is −1 and `value` (k,) is what it adds to the sums."""


@dataclass(frozen=True)
class Trees:
    """What the trees of a run have in common."""

    inputs: int
    outputs: int
    output: Activation
    learning_rate: float
    max_depth: int
    min_samples_leaf: int
    subsample: float

    def grow(self, inputs: Array, wanted: Array, rate: float, rng: np.random.Generator) -> Tree:
        """A tree as arrays that moves each row's sums (n, k) by `rate` times what is wanted of it."""
        # only a process that trains pays for scikit-learn: seconds and 100 MB
        from sklearn.tree import DecisionTreeRegressor

        seed = int(rng.integers(2**31))
        rows = np.arange(len(inputs))
        if self.subsample < 1.0:
            rows = np.sort(rng.choice(rows, max(1, round(self.subsample * len(rows))), replace=False))
        learner: Any = DecisionTreeRegressor(max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf, random_state=seed)
        tree: Any = learner.fit(inputs[rows], wanted[rows]).tree_
        return {
            "feature": np.asarray(tree.feature, np.int64),
            "threshold": np.asarray(tree.threshold, np.float64),
            "left": np.asarray(tree.children_left, np.int64),
            "right": np.asarray(tree.children_right, np.int64),
            "value": rate * np.asarray(tree.value[:, :, 0], np.float64),
        }


def leaves(tree: Tree, inputs: Array) -> Array:
    """What the tree adds to the sums (n, k) of each row."""
    # scikit-learn compares in single precision, and so must whoever walks its trees
    compared = inputs.astype(np.float32)
    nodes = np.zeros(len(inputs), np.int64)
    inner = tree["left"] >= 0
    rows = np.flatnonzero(inner[nodes])
    while rows.size:
        here = nodes[rows]
        goes_left: NDArray[np.bool_] = compared[rows, tree["feature"][here]] <= tree["threshold"][here]
        nodes[rows] = np.where(goes_left, tree["left"][here], tree["right"][here])
        rows = rows[inner[nodes[rows]]]
    return np.asarray(tree["value"][nodes], dtype=np.float64)
