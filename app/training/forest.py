"""Trees beside each other: scikit-learn's decision trees, with the leaves that a loss wants, and the mean of several."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.criteria import IN_SHARES, ONE_BY_ONE, classes_of, is_absolute
from app.training.run import Run, State
from app.training.slopes import Slopes
from app.training.trees import Forest, Tree, add_trees, leaves, no_trees, restore_sums, summed

LEAST_SHARE = 1e-7
"""What a share is to a loss at the least, and what it lacks of 1."""
SWEEPS = 3
"""How often each output's constant is found anew, where outputs are of one loss together."""
BALANCED = 1e-6
"""Share of the slopes' size that their sum may be where a constant is best."""


class Planting:
    """One more tree an epoch; predictions are the mean of what the leaves say."""

    keys = ("sums", "validation_sums", "trees")
    derived = ("sums", "validation_sums")

    def __init__(self, run: Run, forest: Forest) -> None:
        self.run, self.forest = run, forest
        self.slopes = Slopes(run.objective, forest.output, run.training.labels)

    # --- what is the same for all trees ------------------------------------------------------------------------------------

    @cached_property
    def inputs(self) -> Array:
        return in_single_precision(self.run.training.inputs)

    @cached_property
    def validation(self) -> Array | None:
        return None if self.run.validation is None else in_single_precision(self.run.validation.inputs)

    @cached_property
    def weights(self) -> Array:
        """(n,) what each row counts."""
        labels, n = self.run.training.labels, self.run.training.n
        counted = np.ones(n)
        for array in (labels.weights, labels.counts, labels.sample):
            counted = counted if array is None else counted * array.reshape(n, -1).mean(axis=1)
        return counted

    @cached_property
    def shares(self) -> Array | None:
        """(n, k) the share of each class in each row's target; None where a constant of least loss is none of shares."""
        if self.run.objective.encoding not in IN_SHARES:
            return None
        shares = self._of_targets()
        mean = np.average(shares, axis=0, weights=self.weights)
        constant = np.tile(encoded(mean[None], self.run.objective.encoding), (len(shares), 1))
        slopes = self.run.objective.losses(constant, self.run.training.labels)[1]
        flat = slopes.reshape(len(shares), -1) * self.weights[:, None]
        if self.run.objective.encoding in ("distribution", "log_probabilities"):
            return shares  # along which their sum is 1, slopes are
        balanced = np.abs(flat.sum(axis=0)) <= BALANCED * np.abs(flat).sum(axis=0) + 1e-300
        inner = (mean > LEAST_SHARE) & (mean < 1.0 - LEAST_SHARE)
        return shares if (balanced | ~inner).all() else None

    def _of_targets(self) -> Array:
        targets, k = self.run.training.labels.targets, self.forest.outputs
        if self.run.objective.encoding in ONE_BY_ONE:
            numbers = np.asarray(targets, np.float64).reshape(len(targets), k)
            return (numbers + 1.0) / 2.0 if (numbers < 0).any() else numbers
        if targets.ndim == 1:
            return np.eye(k)[targets.astype(np.intp)]
        return np.asarray(targets, np.float64)

    @cached_property
    def classes(self) -> NDArray[np.intp] | None:
        """(n,) the class of each row; None where targets are no classes."""
        return classes_of(self.run.objective, self.run.training.labels, named=self.run.plan.data.classes is not None)

    @cached_property
    def criterion(self) -> str:
        if self.forest.criterion is not None:
            return self.forest.criterion
        if self.classes is not None:
            return "gini"
        return "absolute_error" if is_absolute(self.slopes) else "squared_error"

    # --- trees -----------------------------------------------------------------------------------------------------------------

    def start(self, rng: "np.random.Generator") -> State:
        n, held = self.run.training.n, 0 if self.run.validation is None else self.run.validation.n
        constant = self._leaf_values(np.arange(n), self.weights, np.zeros(n, np.int64), 1)
        return no_trees(constant.shape[1]) | {
            "constant": constant[0],
            "sums": np.zeros((n, constant.shape[1])),
            "validation_sums": np.zeros((held, constant.shape[1])),
        }

    def restore(self, state: State) -> None:
        nothing = np.empty((0, self.forest.inputs))
        rows = {"sums": self.inputs, "validation_sums": nothing if self.validation is None else self.validation}
        restore_sums(state, rows, onto_constant=False)

    def adopt(self, state: State) -> None:
        """Nothing to do: predictions are those of the sums in the state."""

    def resume(self, state: State, rng: "np.random.Generator") -> Callable[[float], float]:
        def epoch(rate: float) -> float:
            tree = self._grown(rng)
            state["sums"] = state["sums"] + tree["value"][leaves(tree, self.inputs)]
            if self.validation is not None:
                state["validation_sums"] = state["validation_sums"] + tree["value"][leaves(tree, self.validation)]
            add_trees(state, [tree])
            _, slope = self.run.objective.losses(self.training_predictions(state), self.run.training.labels)
            return math.sqrt(float(np.vdot(slope, slope))) / len(slope)

        return epoch

    def _grown(self, rng: "np.random.Generator") -> Tree:
        # only a process that trains pays for scikit-learn: seconds and 100 MB
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        forest, n = self.forest, self.run.training.n
        seed = int(rng.integers(2**31))
        drawn = np.bincount(rng.integers(n, size=n), minlength=n) if forest.bootstrap else np.ones(n)
        weights = self.weights * drawn
        rows = np.flatnonzero(weights > 0)
        of_classes = self.criterion in ("gini", "log_loss")
        usual = "sqrt" if self.classes is not None else 1.0
        learner: Any = (DecisionTreeClassifier if of_classes else DecisionTreeRegressor)(
            criterion=self.criterion,
            max_depth=forest.max_depth,
            min_samples_leaf=forest.min_samples_leaf,
            max_features=usual if forest.max_features is None else forest.max_features,
            max_leaf_nodes=forest.max_leaf_nodes,
            random_state=seed,
        )
        learner.fit(self.inputs[rows], self._wanted(of_classes)[rows], sample_weight=weights[rows])
        grown: Any = learner.tree_
        left = np.asarray(grown.children_left, np.int64)
        tree: Tree = {
            "feature": np.where(left < 0, -1, np.asarray(grown.feature, np.int64)),
            "threshold": np.where(left < 0, 0.0, _finite(grown.threshold)),
            "left": left,
            "right": np.asarray(grown.children_right, np.int64),
            "missing_left": np.asarray(grown.missing_go_to_left, np.int64),
            "gain": _gains(grown),
            "members": np.zeros((len(left), 0), np.int64),
        }
        tree["value"] = np.zeros((len(left), 1))
        ends, numbers = np.unique(leaves(tree, self.inputs[rows]), return_inverse=True)
        found = self._leaf_values(rows, weights[rows], numbers, len(ends))
        tree["value"] = np.zeros((len(left), found.shape[1]))
        tree["value"][ends] = found
        return tree

    def _wanted(self, of_classes: bool) -> Numbers:
        """What the tree is grown on."""
        if of_classes:
            assert self.classes is not None
            return self.classes
        if self.shares is not None:
            return self.shares
        targets = np.asarray(self.run.training.labels.targets, np.float64)
        return targets.reshape(len(targets), -1)

    @np.errstate(all="ignore")  # a loss may have poles
    def _leaf_values(self, rows: NDArray[np.intp], weights: Array, leaf: NDArray[np.int64], n_leaves: int) -> Array:
        """(l, k) the shares of the classes in each leaf, or the prediction of least loss over its rows."""
        if self.shares is not None:
            total = np.bincount(leaf, weights, n_leaves)
            columns = [np.bincount(leaf, weights * column, n_leaves) / total for column in self.shares[rows].T]
            return np.stack(columns, axis=1)
        slopes = self._drawn(rows, weights)
        found = np.zeros((n_leaves, self.forest.outputs))
        apart = slopes.point(np.zeros((len(rows), found.shape[1]))).losses.shape[1] == found.shape[1]
        for _ in range(1 if apart else SWEEPS):
            for column in range(found.shape[1]):
                found[:, column] += slopes.least(found[leaf], column, leaf, n_leaves)
        return self.forest.output.of(found)

    def _drawn(self, rows: NDArray[np.intp], weights: Array) -> Slopes:
        """The slopes of rows that were drawn more than once, or weigh what they do."""
        labels = self.run.training.labels.take(rows)
        per_row = labels.weights is None and labels.counts is None and bool((weights == weights[0]).all())
        if per_row:
            return Slopes(self.run.objective, self.forest.output, labels)
        shape = (len(rows), *self.run.objective.outputs[: self.run.objective.depth])
        column = weights.reshape(-1, *(1,) * (len(shape) - 1))
        return Slopes(
            self.run.objective, self.forest.output, labels._replace(weights=np.broadcast_to(column, shape).copy(), sample=None)
        )

    # --- predictions -----------------------------------------------------------------------------------------------------------

    def training_predictions(self, state: State) -> Array:
        return self._predict(state, state["sums"])

    def validation_predictions(self, state: State) -> Array:
        return self._predict(state, state["validation_sums"])

    def looking(self, inputs: Array) -> Callable[[State], Array]:
        added = summed(in_single_precision(inputs), onto_constant=False)
        return lambda state: self._predict(state, added(state))

    def _predict(self, state: State, sums: Array) -> Array:
        mean = mean_of(state, sums)
        return encoded(mean, self.run.objective.encoding) if self.shares is not None else mean


def mean_of(state: Mapping[str, Numbers], sums: Array) -> Array:
    """(n, k) the mean of what the trees of a state say, from the sums of it; the constant where there is none yet."""
    trees = len(state["trees"]) - 1
    return sums / trees if trees else np.tile(state["constant"], (len(sums), 1))


def encoded(shares: Array, encoding: str) -> Array:
    """Shares (n, k) of classes as the loss takes predictions: none is so small, or so large, that it costs more than all else."""
    kept = np.clip(shares, LEAST_SHARE, 1.0 - LEAST_SHARE)
    if encoding == "probability":
        return kept
    if encoding == "logit":
        return np.log(kept) - np.log1p(-kept)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return kept if encoding == "distribution" else np.log(kept)


def in_single_precision(inputs: Array) -> Array:
    """Inputs as scikit-learn's trees see them."""
    return inputs.astype(np.float32).astype(np.float64)


def _finite(threshold: Any) -> Array:
    """Thresholds, where one is infinite that leaves only what is missing on the right."""
    return np.clip(np.asarray(threshold, np.float64), -np.finfo(np.float64).max, np.finfo(np.float64).max)


def _gains(tree: Any) -> Array:
    """(nodes,) by how much each split lowers the impurity, times what its rows count."""
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    cost = np.asarray(tree.impurity) * np.asarray(tree.weighted_n_node_samples)
    return np.where(left < 0, 0.0, np.maximum(cost - cost[left] - cost[right], 0.0))
