"""How a model learns for one epoch: by steps of an optimizer, by L-BFGS-B on all rows, or by one more tree.

A learner keeps everything that changes in the state, a dict of arrays, and only buffers in itself.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from app.losses.inputs import Numbers
from app.losses.loss import SMOOTH
from app.losses.numerics.stable import Array
from app.training.boosting import Boosting
from app.training.forest import Planting
from app.training.network import Network, Pass, Precision, predict, with_ones
from app.training.objective import Labels
from app.training.run import Run, State
from app.training.trees import Boosted, Forest


class Learner(Protocol):
    """What `fit` asks of a way to learn."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The arrays of the state that are the model."""
        ...

    @property
    def derived(self) -> tuple[str, ...]:
        """The arrays of the state that follow from the others, and from the rows."""
        ...

    def restore(self, state: State) -> None:
        """Put them into a state that has the others."""
        ...

    def start(self, rng: "np.random.Generator") -> State: ...
    def adopt(self, state: State) -> None:
        """From now on predict with the model of this state."""
        ...

    def resume(self, state: State, rng: "np.random.Generator") -> Callable[[float], float]:
        """A function that trains for one epoch at a learning rate, and gives the mean norm of the gradient."""
        ...

    def training_predictions(self, state: State) -> Array: ...
    def validation_predictions(self, state: State) -> Array: ...
    def looking(self, inputs: Array) -> Callable[[State], Array]:
        """A function from a state to what its model predicts for other rows than those of the run, (n, k)."""
        ...


def learner(run: Run) -> Learner:
    if isinstance(run.model, Boosted):
        return Boosting(run, run.model)
    if isinstance(run.model, Forest):
        return Planting(run, run.model)
    assert isinstance(run.model, Network)
    assert run.plan.optimizer is not None
    return QuasiNewton(run, run.model) if run.plan.optimizer.thing.full_batch else Descent(run, run.model)


class Weighted:
    """What the learners of a network have in common: predictions of weights, and the penalty on them."""

    derived = ()

    def __init__(self, run: Run, network: Network) -> None:
        self.run, self.network = run, network
        q = 0 if run.learned is None else len(run.learned.names)
        self.keys = ("weights", "learned") if q else ("weights",)
        self.precision: Precision = run.plan.precision
        self.weights = np.zeros(network.size + q, self.precision)
        """All that moves: the network's own, and behind them what is learned of the loss."""
        self.gradient = np.zeros(network.size + q, self.precision)
        self.penalized = np.concatenate([network.penalized(), np.zeros(q)]).astype(self.precision)
        self.own, self.learned = self.weights[: network.size], self.weights[network.size :]
        self.l1: Array | None = run.plan.l1 * self.penalized if run.plan.l1 else None
        self._passes: dict[int, Pass] = {}

    @cached_property
    def training(self) -> Array:
        return with_ones(self.run.training.inputs, self.precision)

    @cached_property
    def validation(self) -> Array:
        assert self.run.validation is not None
        return with_ones(self.run.validation.inputs, self.precision)

    def restore(self, state: State) -> None:
        """Nothing to do: predictions are computed anew."""

    def adopt(self, state: State) -> None:
        """The state's weights from now on live in the buffers that every pass looks at."""
        self.own[:] = state["weights"]
        state["weights"] = self.own
        if self.run.learned is not None:
            self.learned[:] = state["learned"]
            state["learned"] = self.learned

    def initial(self, rng: "np.random.Generator") -> State:
        """What it begins with."""
        weights = {"weights": self.network.initial(rng).astype(self.precision)}
        return weights if self.run.learned is None else {**weights, "learned": self.run.learned.start.astype(self.precision)}

    def training_predictions(self, state: State) -> Array:
        return self._predict(self.training)

    def validation_predictions(self, state: State) -> Array:
        return self._predict(self.validation)

    def looking(self, inputs: Array) -> Callable[[State], Array]:
        rows = with_ones(inputs, self.precision)

        def look(state: State) -> Array:
            self.adopt(dict(state))
            return self._predict(rows).copy()

        return look

    def _predict(self, inputs: Array) -> Array:
        """(n, k), valid until the next call for as many rows."""
        return predict(inputs, self._pass)

    def _pass(self, rows: int) -> Pass:
        if rows not in self._passes:
            self._passes[rows] = self.passing(rows)
        return self._passes[rows]

    def passing(self, rows: int, rng: "np.random.Generator | None" = None) -> Pass:
        """Through so many rows; `rng` draws what is dropped."""
        return Pass(self.network, self.own, self.gradient[: self.network.size], rows, rng)

    def slope(self, passing: Pass, inputs: Array, labels: Labels) -> Callable[[], float]:
        """As the gradient the derivative of the mean loss of some rows to all that moves, without penalties; and that mean."""
        objective, learned, predictions = self.run.objective, self.run.learned, passing.forward(inputs)
        if learned is None:
            losses = objective.slope(predictions, labels, passing.slope)
            passing.backward()
            return lambda: objective.mean(losses, labels)
        loss, self.gradient[self.network.size :] = learned.slope(self.learned, predictions, labels, passing.slope)
        passing.backward()
        return lambda: loss

    def add_l2(self) -> None:
        """The slope of l2·Σw² onto the gradient."""
        if self.run.plan.l2:
            self.gradient += 2.0 * self.run.plan.l2 * self.weights * self.penalized


def add_l1(l1: Array, weights: Array, gradient: Array) -> None:
    """The slope of Σ l1·|w| onto the gradient; of a weight of 0, as much as it takes to hold it there, at most."""
    gradient += np.where(weights != 0.0, l1 * np.sign(weights), -np.clip(gradient, -l1, l1))


class Descent(Weighted):
    """Steps of an optimizer, one for each batch of rows."""

    def __init__(self, run: Run, network: Network) -> None:
        super().__init__(run, network)
        assert run.plan.optimizer is not None
        self.optimizer, self.parameters = run.plan.optimizer.thing, run.plan.optimizer.all

    def start(self, rng: "np.random.Generator") -> State:
        state, slots = self.initial(rng), np.zeros((len(self.optimizer.slots), self.weights.size), self.precision)
        if self.optimizer.average:
            slots[self.optimizer.slots.index(self.optimizer.average)] = np.concatenate([state[key] for key in self.keys])
        return {**state, "slots": slots, "step": np.zeros((), np.int64)}

    def resume(self, state: State, rng: "np.random.Generator") -> Callable[[float], float]:
        self.adopt(state)
        slots = state["slots"] = state["slots"].copy()
        scratch = np.empty((2, self.weights.size), self.precision)
        labels = self.run.training.labels
        shuffled, lying = self.training.copy(), labels.take(np.arange(len(labels.targets)))
        batches = self._batches(shuffled, lying, rng)

        def epoch(rate: float) -> float:
            self._shuffle((shuffled, *lying), rng)
            step, norms = int(state["step"]), 0.0
            parameters = {**self.parameters, "learning_rate": rate} if self.optimizer.has_rate else self.parameters
            self._exchange(slots)
            for inputs, labels, passing in batches:
                step += 1
                norms += self._gradient(inputs, labels, passing)
                sides = None if self.l1 is None else np.where(self.weights != 0.0, self.weights, -self.gradient)
                before = self.learned.copy()
                self.optimizer.function(self.weights, self.gradient, slots, scratch, step, **parameters)
                self._pace(before)
                if sides is not None:
                    self._stop_at_zero(sides)
            self._exchange(slots)
            state["step"] = np.array(step)
            return norms / len(batches)

        return epoch

    def _pace(self, before: Array) -> None:
        """What is learned of the loss moves as much farther as its learning rate is higher."""
        if self.run.learned is not None and self.run.learned.pace != 1.0:
            self.learned[:] = before + self.run.learned.pace * (self.learned - before)

    def _exchange(self, slots: Array) -> None:
        """The weights are the model between epochs, and within one the place where the gradient is taken, where these differ."""
        if self.optimizer.average:
            average = slots[self.optimizer.slots.index(self.optimizer.average)]
            average[:], self.weights[:] = self.weights.copy(), average.copy()

    def _batches(self, inputs: Array, labels: Labels, rng: "np.random.Generator") -> list[tuple[Array, Labels, Pass]]:
        """Views of the rows as they lie after each shuffle, with the buffers of their size."""
        size = self.run.batch_size
        cuts = [slice(start, min(start + size, len(inputs))) for start in range(0, len(inputs), size)]
        sizes = {cut.stop - cut.start for cut in cuts}
        passes = {rows: self.passing(rows, rng) for rows in sizes}
        return [(inputs[cut], labels.take(cut), passes[cut.stop - cut.start]) for cut in cuts]

    def _shuffle(self, shuffled: Sequence[Numbers | None], rng: "np.random.Generator") -> None:
        if not self.run.plan.shuffle:
            return
        order = rng.permutation(len(self.training))
        for source, into in zip((self.training, *self.run.training.labels), shuffled, strict=True):
            if source is not None and into is not None:
                np.take(source, order, axis=0, out=into, mode="clip")  # without a copy between

    def _gradient(self, inputs: Array, labels: Labels, passing: Pass) -> float:
        """The gradient of a batch, penalties included and clipped; its norm before it was."""
        self.slope(passing, inputs, labels)
        plan, gradient = self.run.plan, self.gradient
        self.add_l2()
        if self.l1 is not None:
            add_l1(self.l1, self.weights, gradient)
        norm = math.sqrt(gradient.dot(gradient))
        if plan.clip_norm is not None and norm > plan.clip_norm:
            gradient *= plan.clip_norm / norm
        if plan.clip_value is not None:
            np.clip(gradient, -plan.clip_value, plan.clip_value, out=gradient)
        return norm

    def _stop_at_zero(self, sides: Array) -> None:
        """A step ends at 0 where it would leave its side of it, as a proximal step does; a weight that is held at 0 stays there.

        So zeros are exact with every optimizer, whose proximal step would be one in the metric of its own lengths. L-BFGS has the
        same (Andrew and Gao 2007, doi:10.1145/1273496.1273501).
        """
        self.weights[(np.sign(self.weights) != np.sign(sides)) & (self.penalized > 0.0)] = 0.0


class QuasiNewton(Weighted):
    """An epoch is one call of an optimizer that looks at all rows as often as it likes."""

    def start(self, rng: "np.random.Generator") -> State:
        return self.initial(rng)

    def resume(self, state: State, rng: "np.random.Generator") -> Callable[[float], float]:
        self.adopt(state)
        chosen = self.run.plan.optimizer
        assert chosen is not None
        passing = self.passing(len(self.training))

        def objective(weights: Array) -> tuple[float, Array]:
            self.weights[:] = weights
            loss = self.slope(passing, self.training, self.run.training.labels)
            self.add_l2()
            kept = self.weights * self.penalized
            return loss() + self.run.plan.l2 * float(kept @ kept), self.gradient.astype(np.float64)

        def epoch(rate: float) -> float:
            found = self.weights.astype(np.float64)
            chosen.thing(found, objective, self.l1, SMOOTH in self.run.objective.loss.properties, **chosen.all)
            _, gradient = objective(found)
            if self.l1 is not None:
                add_l1(self.l1, found, gradient)
            return math.sqrt(gradient.dot(gradient))

        return epoch
