"""Trees as arrays: what the models made of them have in common, and which leaf a row comes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.activations import Activation

Tree: TypeAlias = dict[str, Numbers]

NODES = ("feature", "threshold", "left", "right", "missing_left", "gain", "members", "value")
"""A tree as arrays, one entry per node. At a leaf `left` is −1 and `value` (width,) is what it adds to the sums. A row goes left
where its number is at most the threshold, or its category is among the `members` (words of 32 bits); one that is missing where
`missing_left` is 1. `gain` is by how much a split lowers what the tree was grown on."""
FRACTIONS = ("threshold", "gain", "value")
"""Which of them are no whole numbers."""
WORD = 32
LARGEST = float(np.finfo(np.float64).max)
"""The threshold that leaves only what is missing on the right."""


@dataclass(frozen=True)
class Trees:
    """What models of trees have in common."""

    inputs: int
    outputs: int
    output: Activation

    @property
    def rate(self) -> float:
        """The learning rate that a schedule multiplies; NaN where there is none."""
        return np.nan

    @property
    def per_epoch(self) -> int:
        """Trees that an epoch adds."""
        return 1


@dataclass(frozen=True)
class Boosted(Trees):
    """Trees of which each corrects the ones before it."""

    learning_rate: float = 0.1
    max_depth: int = 3
    max_leaf_nodes: int | None = None
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    max_bins: int = 255
    max_features: float = 1.0
    monotone: tuple[int, ...] | None = None
    """−1, 0 or 1 for each column."""
    categorical: tuple[int, ...] = ()
    """Columns whose numbers are names."""
    subsample: float = 1.0

    @property
    def rate(self) -> float:
        return self.learning_rate

    @property
    def per_epoch(self) -> int:
        return self.outputs


@dataclass(frozen=True)
class Forest(Trees):
    """Trees that stand beside each other, and of which the mean is taken; one alone is a decision tree."""

    criterion: str | None = None
    max_depth: int | None = None
    min_samples_leaf: int = 1
    max_features: float | None = 1.0
    max_leaf_nodes: int | None = None
    bootstrap: bool = False
    single: bool = True


def largest_input(model: object) -> float:
    """The largest input that a model takes: decision trees compare in single precision."""
    return float(np.finfo(np.float32 if isinstance(model, Forest) else np.float64).max)


@dataclass(frozen=True)
class Categories:
    """The categories that training rows have, by column: their places stand for them in the trees."""

    of: Mapping[int, Array] = field(default_factory=dict[int, Array])

    def read(self, inputs: Array) -> Array:
        """Inputs with each category as its place, and NaN for one that is none of them."""
        if not self.of:
            return inputs
        read = np.array(inputs, np.float64)
        for column, known in self.of.items():
            if not known.size:
                read[:, column] = np.nan
                continue
            places = np.minimum(np.searchsorted(known, read[:, column]), len(known) - 1)
            read[:, column] = np.where(known[places] == read[:, column], places, np.nan)
        return read


def no_trees(values: int, members: int = 0) -> dict[str, Numbers]:
    """What a state holds of trees before there is one: leaves of so many values, and so many words for categories."""
    widths = {"members": (members,), "value": (values,)}
    nodes: dict[str, Numbers] = {
        f"tree.{name}": np.empty((0, *widths.get(name, ())), np.float64 if name in FRACTIONS else np.int64) for name in NODES
    }
    return {**nodes, "trees": np.zeros(1, np.int64)}


def add_trees(state: dict[str, Numbers], trees: Sequence[Tree]) -> None:
    """Put more trees behind those of a state: their nodes, and where each of them ends."""
    for name in NODES:
        state[f"tree.{name}"] = np.concatenate([state[f"tree.{name}"], *(tree[name] for tree in trees)])
    ends = np.cumsum([len(tree["left"]) for tree in trees])
    state["trees"] = np.append(state["trees"], state["trees"][-1] + ends)


def summed(inputs: Array, *, onto_constant: bool) -> Callable[[Mapping[str, Numbers]], Array]:
    """A function from a state to what its trees say of these rows together, (n, k), on top of the constant or by themselves.

    Of a state that has grown, only new trees are asked.
    """
    sums, added = np.zeros(0), 0

    def of(state: Mapping[str, Numbers]) -> Array:
        nonlocal sums, added
        ends, k = state["trees"], state["constant"].size
        if not added or added >= len(ends):
            sums, added = np.tile(state["constant"] if onto_constant else np.zeros(k), (len(inputs), 1)), 0
        for number in range(added, len(ends) - 1):
            tree = {name: state[f"tree.{name}"][ends[number] : ends[number + 1]] for name in NODES}
            values = tree["value"][leaves(tree, inputs)]
            first = number * values.shape[1] % k  # a tree for one output after the other, or one for all of them
            sums[:, first : first + values.shape[1]] += values
        added = len(ends) - 1
        return sums

    return of


def restore_sums(state: dict[str, Numbers], rows: Mapping[str, Array], *, onto_constant: bool) -> None:
    """Put into a state what its trees say of rows, and those of the best epoch, under the names of the rows."""
    for name, inputs in rows.items():
        sums = summed(inputs, onto_constant=onto_constant)
        if "best.trees" in state:
            state[f"best.{name}"] = sums({**state, "trees": state["best.trees"]}).copy()
        state[name] = sums(state).copy()


def categories(inputs: Array, columns: Sequence[int]) -> Categories:
    """Those of training rows."""
    return Categories({column: np.unique(inputs[~np.isnan(inputs[:, column]), column]) for column in columns})


def leaves(tree: Tree, inputs: Array) -> NDArray[np.int64]:
    """(n,) the node at which each row ends, of inputs (n, d) as `Categories.read` gives them."""
    nodes = np.zeros(len(inputs), np.int64)
    inner, gaps = tree["left"] >= 0, bool(np.isnan(inputs).any())
    named = np.asarray(tree["members"].any(axis=1)) if tree["members"].any() else None
    rows, here = np.arange(len(inputs) if inner[0] else 0), nodes
    while rows.size:
        numbers = inputs[rows, tree["feature"][here]]
        goes_left: NDArray[np.bool_] = np.asarray(numbers <= tree["threshold"][here])
        if named is not None:
            goes_left = np.where(named[here], _among(tree["members"][here], numbers), goes_left)
        if gaps:
            goes_left = np.where(np.isnan(numbers), tree["missing_left"][here] > 0, goes_left)
        nodes[rows] = here = np.where(goes_left, tree["left"][here], tree["right"][here])
        further = inner[here]
        rows, here = rows[further], here[further]
    return nodes


def _among(members: NDArray[np.int64], numbers: Array) -> NDArray[np.bool_]:
    """Whether each place is one of the bits of its words."""
    places = np.where(np.isnan(numbers), 0, numbers).astype(np.int64)
    words = members[np.arange(len(places)), np.minimum(places // WORD, members.shape[1] - 1)]
    return np.asarray((words >> (places % WORD)) & 1, np.bool_)


def importances(nodes: Mapping[str, Numbers], columns: int) -> Array:
    """(d,) the share of all gain that came by splits on each column; all 0 where there is none."""
    inner = nodes["left"] >= 0
    gains = np.bincount(nodes["feature"][inner], weights=nodes["gain"][inner], minlength=columns)
    total = gains.sum()
    return gains / total if total > 0 else np.zeros(columns)
