"""Boosting: each epoch a tree for each output, grown on the derivatives of the loss that the ones before it left.

A leaf of a loss whose second derivative is positive everywhere is a step of Newton's method, that of any other the constant
of least loss over its rows (Friedman 2001, doi:10.1214/aos/1013203451, sections 4 and 5), and none raises the loss of its rows.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.training.activations import IDENTITY
from app.training.bins import Bins, Grown, bins, grow
from app.training.leaf_values import ordered
from app.training.optimizers import lbfgs
from app.training.run import Run, State
from app.training.slopes import Point, Slopes
from app.training.trees import Boosted, Categories, add_trees, categories, leaves, no_trees, restore_sums, summed

FLAT = 1e-6
"""A change of predictions that is none."""
PROBED = 64
"""Rows at which second derivatives have to be positive, at predictions near and far."""
FAR = -8.0, -4.0, -2.0, -1.0, -0.5, -0.1, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0
"""How far from the best constant these are, in deviations of the targets where predictions have their units."""
MODERATE = 0.01, 100.0
"""Second derivatives between these are left as they are: scikit-learn's trees count them by a number of their own."""
HALVINGS = 30
"""How often the step of a leaf that raises the loss of its rows is halved before it is none."""
ROUNDED = 1e-9
"""A second derivative that is found as a difference of slopes may be rounding where these are all but equal."""
RAISED = 1e-12
"""A share of the loss that may be rounding."""


def categories_of(run: Run) -> Categories:
    """The categories that are known: of training rows, and of a run that goes on those that it began with."""
    if run.plan.resume is not None:
        return run.plan.resume.places
    return categories(run.training.inputs, run.model.categorical if isinstance(run.model, Boosted) else ())


class Boosting:
    """More trees each epoch, on the slope that the trees before them have left."""

    keys = ("sums", "validation_sums", "trees")
    derived = ("sums", "validation_sums")

    def __init__(self, run: Run, trees: Boosted) -> None:
        self.run, self.trees = run, trees
        self.slopes = run.once("slopes", lambda: Slopes(run.objective, trees.output, run.training.labels))

    # --- what is the same for all trees ------------------------------------------------------------------------------------

    @cached_property
    def categories(self) -> Categories:
        return categories_of(self.run)

    @cached_property
    def inputs(self) -> Array:
        return self.categories.read(self.run.training.inputs)

    @cached_property
    def validation(self) -> Array | None:
        return None if self.run.validation is None else self.categories.read(self.run.validation.inputs)

    @cached_property
    def bins(self) -> Bins:
        return self.run.once("bins", lambda: bins(self.inputs, self.trees, self.run.training.row_weights))

    @cached_property
    def second_at_start(self) -> float | None:
        """The mean second derivative at the best constant, for a loss whose second derivative is positive everywhere."""
        return self.run.once("second_at_start", self._second_at_start)

    def _second_at_start(self) -> float | None:
        start = np.tile(self.constant, (self.run.training.n, 1))
        with np.errstate(all="ignore"):
            second = self.slopes.point(start).second
            if second is None or not self._bends_everywhere():
                return None
            mean = float(second().mean())
        return mean if math.isfinite(mean) and mean > 0 else None

    def _bends_everywhere(self) -> bool:
        """Whether second derivatives are positive around the best constant, at near sums and far ones."""
        n, k = self.run.training.n, self.trees.outputs
        first = self.run.training.labels.targets.reshape(n, -1)[:, 0]
        rows = np.argsort(first, kind="stable")[np.linspace(0, n - 1, min(n, PROBED)).astype(np.intp)]
        labels = self.run.training.labels.take(np.tile(rows, len(FAR)))._replace(weights=None, counts=None, sample=None)
        slopes = Slopes(self.run.objective, self.trees.output, labels)
        spread = 1.0 if self.slopes.corners is None else float(self.slopes.corners.std()) or 1.0
        directions = np.random.default_rng(0).normal(size=(len(rows), k)) if k > 1 else np.ones((len(rows), 1))
        sums = self.constant + spread * np.multiply.outer(FAR, directions)
        second = slopes.point(sums.reshape(-1, k)).second
        return second is not None and bool((second() > (0.0 if self.trees.output is IDENTITY else -ROUNDED)).all())

    @cached_property
    def l2(self) -> float:
        """What is added to second derivatives, which count in multiples of the rows' mean weight."""
        weights = self.run.training.row_weights
        return self.trees.l2_regularization / (1.0 if weights is None else float(weights.mean()))

    # --- the start -----------------------------------------------------------------------------------------------------------

    def start(self, rng: "np.random.Generator") -> State:
        held = 0 if self.run.validation is None else self.run.validation.n
        return no_trees(1, 8 if self.trees.categorical else 0) | {
            "constant": self.constant,
            "sums": np.tile(self.constant, (self.run.training.n, 1)),
            "validation_sums": np.tile(self.constant, (held, 1)),
        }

    @cached_property
    def constant(self) -> Array:
        """The sums (k,) that, the same for all rows, have the least loss; 0 where it is least at infinity."""
        n, k = self.run.training.n, self.trees.outputs

        def objective(sums: Array) -> tuple[float, Array]:
            there = self.slopes.point(np.tile(sums, (n, 1)))
            return float(there.losses.mean()), there.slope.sum(axis=0) / there.losses.size

        sums = np.zeros(k)
        with np.errstate(all="ignore"):
            if self.slopes.corners is not None:
                for column in range(k):
                    sums[column] = self.slopes.least(np.zeros((n, k)), column, np.zeros(n, np.int64), 1)[0]
                return sums
            lbfgs(sums, objective, max_iter=100)
            return sums if self._moves(sums) else np.zeros_like(sums)

    def _moves(self, sums: Array) -> bool:
        """Whether any prediction changes if its sum goes further still; if none does, trees have no slope to follow."""
        further = sums + np.diag(np.copysign(np.maximum(np.abs(sums), 1.0), sums))
        predictions = self.trees.output.of(np.vstack([sums, further]))
        return bool(np.abs(predictions - predictions[0]).max() > FLAT)

    # --- an epoch --------------------------------------------------------------------------------------------------------------

    def restore(self, state: State) -> None:
        nothing = np.empty((0, self.trees.inputs))
        rows = {"sums": self.inputs, "validation_sums": nothing if self.validation is None else self.validation}
        restore_sums(state, rows, onto_constant=True)

    def adopt(self, state: State) -> None:
        """Nothing to do: predictions are those of the sums in the state."""

    def resume(self, state: State, rng: "np.random.Generator") -> Callable[[float], float]:
        self.constant = state["constant"]

        known: tuple[Array, Point] | None = None

        def epoch(rate: float) -> float:
            nonlocal known
            sums = state["sums"]
            here = known[1] if known is not None and known[0] is sums else self.slopes.point(sums)
            bends = here.second() if here.second is not None and self.second_at_start is not None else None
            if not np.isfinite(here.slope).all() or (bends is not None and not np.isfinite(bends).all()):
                state["sums"] = np.full_like(sums, np.nan)
                return math.nan
            trees = [self._tree(sums, here, bends, column, rate, rng) for column in range(sums.shape[1])]
            known = self._lowered(sums, here, trees)
            state["sums"] = known[0]
            if self.run.objective.loss.mean.of_all is not None:
                known = None  # what counts is another at another point
            if self.validation is not None:
                steps = [grown.tree["value"][leaves(grown.tree, self.validation), 0] for grown in trees]
                state["validation_sums"] = state["validation_sums"] + np.stack(steps, axis=1)
            add_trees(state, [grown.tree for grown in trees])
            return math.sqrt(float(np.vdot(here.slope, here.slope))) / here.losses.size

        return epoch

    def _tree(self, sums: Array, here: Point, bends: Array | None, column: int, rate: float, rng: "np.random.Generator") -> Grown:
        """A tree for one output, its values times the rate, and the leaf of each row."""
        rows = self._drawn(rng)
        seen = slice(None) if rows is None else rows
        slope = here.slope[:, column]
        bend = None if bends is None else np.maximum(bends[:, column], 0.0)
        grown = self._grown(slope, bend, here.pulls, rows, rng)
        tree = grown.tree
        values = rate * np.where(tree["left"] < 0, self._values(sums, slope, bend, column, grown, seen), 0.0)
        tree["value"] = values[:, None]
        return grown if rows is None else Grown(tree, leaves(tree, self.inputs), rows)

    def _drawn(self, rng: "np.random.Generator") -> NDArray[np.intp] | None:
        """The rows that a tree is grown on; None for all."""
        share, weights = self.trees.subsample, self.run.training.row_weights
        rows = np.arange(self.run.training.n) if weights is None else np.flatnonzero(weights > 0)
        if share < 1.0:
            rows = np.sort(rng.choice(rows, max(1, round(share * len(rows))), replace=False))
        return None if len(rows) == self.run.training.n else rows

    def _grown(
        self, slope: Array, bend: Array | None, pulls: Array | None, rows: NDArray[np.intp] | None, rng: "np.random.Generator"
    ) -> Grown:
        """The derivatives go in units in which they are neither too large nor too small for single precision."""
        trees, n = self.trees, self.run.training.n
        if bend is not None:
            assert self.second_at_start is not None
            moderate = MODERATE[0] <= self.second_at_start <= MODERATE[1]
            unit, heights = 1.0 if moderate else 1.0 / self.second_at_start, bend
        else:
            heights = None if pulls is None else pulls.reshape(n, -1).mean(axis=1)
            unit = 1.0 if heights is None else 1.0 / max(float(heights.mean()), 1e-300)
        constant = heights is None or bool((heights == heights[0]).all())
        if constant and heights is not None:
            unit = 1.0 / float(heights[0]) if heights[0] > 0 else unit
        steep = slope * unit
        if bend is None:
            steep = steep / (float(np.abs(steep).max()) or 1.0)
        chosen = slice(None) if rows is None else rows
        curved = None if constant or heights is None else heights[chosen] * unit
        return grow(self.bins, rows, steep[chosen], curved, self.l2 * unit, trees, rng)

    def _values(
        self, sums: Array, slope: Array, bend: Array | None, column: int, grown: Grown, seen: slice | NDArray[np.intp]
    ) -> Array:
        """(nodes,) what each leaf adds at a rate of 1."""
        tree, leaf, size = grown.tree, grown.leaf, len(grown.tree["left"])
        monotone = self.trees.monotone
        if bend is not None:
            if monotone and size > 1:
                return tree["value"][:, 0]
            down = -np.bincount(leaf, slope[seen], size)
            over = np.bincount(leaf, bend[seen], size) + self.l2
            return np.divide(down, over, out=np.zeros(size), where=over > 0)
        numbers = np.cumsum(tree["left"] < 0) - 1
        slopes = self.slopes if grown.rows is None else self.slopes.of(grown.rows)
        found = slopes.least(sums[seen], column, numbers[leaf], int(numbers[-1]) + 1)
        values = np.where(tree["left"] < 0, found[numbers], 0.0)
        return ordered(tree, values, leaf, monotone) if monotone else values

    def _lowered(self, sums: Array, here: Point, trees: Sequence[Grown]) -> tuple[Array, Point]:
        """The sums with what the trees add, halved where a leaf raises the loss of its rows, until none does.

        Of a tree that is constrained all leaves are halved, as one alone might end on the wrong side of another.
        """
        moved, there, rising = self._moved(sums, here, trees)
        for halving in range(HALVINGS):
            if not any(leaf.any() for leaf in rising):
                break
            for grown, leaf in zip(trees, rising, strict=True):
                chosen = np.full_like(leaf, leaf.any()) if self.trees.monotone else leaf
                grown.tree["value"][chosen] *= 0.5 if halving < HALVINGS - 1 else 0.0
            moved, there, rising = self._moved(sums, here, trees)
        return moved, there

    def _moved(self, sums: Array, here: Point, trees: Sequence[Grown]) -> tuple[Array, Point, list[NDArray[np.bool_]]]:
        """The sums with what the trees add, what the loss is there, and the leaves of each tree that raise it."""
        moved = sums + np.stack([grown.tree["value"][grown.leaf, 0] for grown in trees], axis=1)
        there = self.slopes.point(moved, here.pulls)
        return moved, there, [self._rising(grown, here.losses, there.losses, column) for column, grown in enumerate(trees)]

    def _rising(self, grown: Grown, before: Array, after: Array, column: int) -> NDArray[np.bool_]:
        """(nodes,) whether the rows that a leaf was made for cost more than before, or what is no number."""
        which, size = min(column, before.shape[1] - 1), len(grown.tree["left"])
        seen = slice(None) if grown.rows is None else grown.rows
        leaf, first = grown.leaf[seen], before[seen, which]
        least = np.bincount(leaf, first, size) + RAISED * np.bincount(leaf, np.abs(first), size)
        return ~(np.bincount(leaf, after[seen, which], size) <= least)

    # --- predictions -----------------------------------------------------------------------------------------------------------

    def training_predictions(self, state: State) -> Array:
        return self.trees.output.of(state["sums"])

    def validation_predictions(self, state: State) -> Array:
        return self.trees.output.of(state["validation_sums"])

    def looking(self, inputs: Array) -> Callable[[State], Array]:
        sums = summed(self.categories.read(inputs), onto_constant=True)
        return lambda state: self.trees.output.of(sums(state))
