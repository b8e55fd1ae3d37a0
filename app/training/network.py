"""Layers of weights on one contiguous vector, and the passes forward and backward through them.

A bias is the weight of a constant 1: every layer's input has one more column, of ones, and its weights one more row.
All weights of a network are one vector (P,), and so is their gradient, so that an optimizer is a few operations on
whole vectors, and a network is saved by saving its vector.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from app.losses.numerics.stable import Array
from app.training.activations import Activation

Precision: TypeAlias = Literal["float64", "float32"]
"""What layers compute in."""
Initializer = Callable[["np.random.Generator", int, int], Array]
"""(rng, inputs, outputs) -> weights (inputs, outputs), without the biases."""


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    def draw(rng: "np.random.Generator", inputs: int, outputs: int) -> Array:
        bound = np.sqrt(3.0 * variance(inputs, outputs))
        return rng.uniform(-bound, bound, (inputs, outputs))

    return draw


def _normal(variance: Callable[[int, int], float]) -> Initializer:
    return lambda rng, inputs, outputs: rng.normal(0.0, np.sqrt(variance(inputs, outputs)), (inputs, outputs))


def _he(inputs: int, outputs: int) -> float:
    """He et al. (2015), doi:10.1109/ICCV.2015.123."""
    return 2.0 / inputs


def _glorot(inputs: int, outputs: int) -> float:
    """Glorot and Bengio (2010)."""
    return 2.0 / (inputs + outputs)


def _lecun(inputs: int, outputs: int) -> float:
    """LeCun et al. (1998), doi:10.1007/3-540-49430-8_2."""
    return 1.0 / inputs


INITIALIZERS: Mapping[str, Initializer] = {
    "he_uniform": _uniform(_he),
    "he_normal": _normal(_he),
    "glorot_uniform": _uniform(_glorot),
    "glorot_normal": _normal(_glorot),
    "lecun_uniform": _uniform(_lecun),
    "lecun_normal": _normal(_lecun),
    "zeros": lambda rng, inputs, outputs: np.zeros((inputs, outputs)),
}


@dataclass(frozen=True)
class Network:
    """Fully connected layers; `widths` counts the inputs, the units of every hidden layer, and the outputs."""

    widths: tuple[int, ...]
    hidden: Activation
    output: Activation
    initializer: Initializer
    output_initializer: Initializer
    dropout: float = 0.0

    @property
    def size(self) -> int:
        """P, the number of weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(self.widths))

    def layers(self, vector: Array) -> list[Array]:
        """The vector (P,) as one matrix (inputs + 1, outputs) per layer, the biases in the last row: views, not copies."""
        shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(self.widths)]
        parts = np.split(vector, np.cumsum([rows * columns for rows, columns in shapes])[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def initial(self, rng: "np.random.Generator") -> Array:
        """Weights (P,) as the initializers draw them, biases 0."""
        vector = np.zeros(self.size)
        *hidden, last = self.layers(vector)
        for layer in hidden:
            layer[:-1] = self.initializer(rng, layer.shape[0] - 1, layer.shape[1])
        last[:-1] = self.output_initializer(rng, last.shape[0] - 1, last.shape[1])
        return vector

    def named(self, vector: Array) -> dict[str, Array]:
        """The vector (P,) as arrays by name: weights_1 (inputs, outputs), biases_1 (outputs,), and so on."""
        return {
            f"{part}_{number}": layer[:-1] if part == "weights" else layer[-1]
            for number, layer in enumerate(self.layers(vector), start=1)
            for part in ("weights", "biases")
        }

    def penalized(self) -> Array:
        """(P,) 1 for weights, 0 for biases, which no penalty draws to zero."""
        flags = np.ones(self.size)
        for layer in self.layers(flags):
            layer[-1] = 0.0
        return flags


class _Layer(NamedTuple):
    """A hidden layer's arrays for a number of rows n, `ones` apart all overwritten by every pass.

    One row per unit: so the units are one piece of memory although the next layer's inputs have a row of ones below them.
    """

    weights: Array
    gradient: Array
    sums: Array
    """(outputs, n)"""
    units: Array
    """(outputs, n) activations; a view into the next layer's inputs where nothing is dropped."""
    following: Array
    """(outputs + 1, n): the next layer's inputs, whose last row is 1."""
    slope: Array
    """(outputs, n): the derivative to the sums."""
    kept: Array
    """(outputs, n) dropout's factors; empty where nothing is dropped."""


class Pass:
    """Forward and backward for a fixed number of rows, in buffers made once: a step allocates next to nothing.

    Layers compute in the precision of the weights, the outputs and their slope in float64, as losses do.
    """

    def __init__(
        self, network: Network, weights: Array, gradient: Array, rows: int, rng: "np.random.Generator | None" = None
    ) -> None:
        """`rng` draws dropout's masks; without one nothing is dropped."""
        self.network, self.rng = network, rng
        drops = rng is not None and network.dropout > 0
        self._kind = weights.dtype
        *hidden, (self._weights, self._gradient) = zip(network.layers(weights), network.layers(gradient), strict=True)
        self._hidden = [_buffers(*layer, rows, drops) for layer in hidden]
        shape = (rows, network.widths[-1])
        self.predictions: Array = np.empty(shape)
        """(rows, outputs) of the last pass forward."""
        self.slope: Array = np.empty(shape)
        """(rows, outputs): to be filled with the derivative to the predictions before a pass backward."""
        self._sums = np.empty(shape)
        self._narrow = None if self._kind == np.float64 else np.empty(shape, self._kind)
        """The outputs' sums, and then their slope, in the precision of the layers, where that is another."""
        self._inputs = np.empty((network.widths[0] + 1, rows), self._kind)

    def forward(self, inputs: Array) -> Array:
        """inputs (rows, d + 1), the last column 1 -> predictions (rows, outputs), valid until the next pass."""
        self._inputs = units = inputs.T
        for layer in self._hidden:
            np.dot(layer.weights.T, units, out=layer.sums)  # half of what matmul takes for small matrices
            self.network.hidden.forward(layer.sums, layer.units)
            if layer.kept.size:
                self._drop(layer)
            units = layer.following
        np.dot(units.T, self._weights, out=self._sums if self._narrow is None else self._narrow)
        if self._narrow is not None:
            np.copyto(self._sums, self._narrow)
        self.network.output.forward(self._sums, self.predictions)
        return self.predictions

    def _drop(self, layer: _Layer) -> None:
        """Inverted dropout (Srivastava et al. 2014): what is kept is scaled up, so that prediction needs no change."""
        assert self.rng is not None
        share = 1.0 - self.network.dropout
        self.rng.random(out=layer.kept, dtype=self._kind.type)
        np.divide(layer.kept < share, share, out=layer.kept)
        np.multiply(layer.units, layer.kept, out=layer.following[:-1])

    def backward(self) -> None:
        """The gradient of every weight, from `slope` as it was filled; `slope` is overwritten."""
        self.network.output.backward(self.slope, self._sums, self.predictions)
        if self._narrow is not None:
            np.copyto(self._narrow, self.slope, casting="same_kind")
        last = self.slope if self._narrow is None else self._narrow
        weights, gradient, slope = self._weights, self._gradient, last.T
        for layer in reversed(self._hidden):
            np.dot(layer.following, slope.T, out=gradient)
            np.dot(weights[:-1], slope, out=layer.slope)
            if layer.kept.size:
                np.multiply(layer.slope, layer.kept, out=layer.slope)
            self.network.hidden.backward(layer.slope, layer.sums, layer.units)
            weights, gradient, slope = layer.weights, layer.gradient, layer.slope
        np.dot(self._inputs, slope.T, out=gradient)


def _buffers(weights: Array, gradient: Array, rows: int, drops: bool) -> _Layer:
    shape = (weights.shape[1], rows)
    kind = weights.dtype
    following = np.ones((shape[0] + 1, rows), kind)
    units = np.empty(shape, kind) if drops else following[:-1]
    sums, slope, kept = (np.empty(some, kind) for some in (shape, shape, shape if drops else 0))
    return _Layer(weights, gradient, sums, units, following, slope, kept)


def with_ones(inputs: Array, precision: Precision = "float64") -> Array:
    """(n, d) -> (n, d + 1) in this precision, the last column 1."""
    rows = np.empty((len(inputs), inputs.shape[1] + 1), precision)
    rows[:, :-1], rows[:, -1] = inputs, 1.0
    return rows


PREDICTED_AT_ONCE = 1024
"""Rows of one pass without gradient: its buffers stay in the cache."""


def predict(inputs: Array, pass_of: Callable[[int], Pass]) -> Array:
    """inputs (n, d + 1) -> predictions (n, k), by passes for so many rows; valid until the next call for as many."""
    blocks = [inputs[start : start + PREDICTED_AT_ONCE] for start in range(0, len(inputs), PREDICTED_AT_ONCE)]
    if len(blocks) == 1:
        return pass_of(len(inputs)).forward(inputs)
    return np.concatenate([pass_of(len(block)).forward(block).copy() for block in blocks])
