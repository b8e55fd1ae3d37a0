"""Networks: the weights on one vector, how they are drawn, and the pass forward, with dropout and without."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from app.training.activations import HIDDEN, IDENTITY, SOFTMAX
from app.training.network import INITIALIZERS, Network, Pass, with_ones
from tests.training.plans import Array


def network(*widths: int, dropout: float = 0.0, initializer: str = "he_uniform", hidden: str = "tanh") -> Network:
    return Network(widths, HIDDEN[hidden], IDENTITY, INITIALIZERS[initializer], INITIALIZERS["glorot_uniform"], dropout)


def drawn(made: Network, seed: int = 0) -> Array:
    """Weights and biases, none of them 0."""
    return np.random.default_rng([seed, 1]).normal(0.0, 0.6, made.size)


def by_hand(made: Network, weights: Array, inputs: Array) -> Array:
    """Layer by layer with separate biases."""
    named = made.named(weights)
    units = inputs
    for number in range(1, len(made.widths)):
        units = units @ named[f"weights_{number}"] + named[f"biases_{number}"]
        if number < len(made.widths) - 1:
            units = np.tanh(units)
    return units


# --- one vector -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(3, 1), (1, 1), (3, 4, 2), (2, 5, 1, 3)])
def test_size_counts_weights_and_biases(widths: tuple[int, ...]) -> None:
    made = network(*widths)
    parts = [part for inputs, outputs in pairwise(widths) for part in ((inputs, outputs), (outputs,))]
    named = made.named(np.arange(float(made.size)))
    assert [array.shape for array in named.values()] == parts
    assert list(named) == [f"{part}_{number}" for number in range(1, len(widths)) for part in ("weights", "biases")]
    np.testing.assert_array_equal(np.concatenate([array.ravel() for array in named.values()]), np.arange(made.size))
    assert made.size == sum(np.prod(shape, dtype=int) for shape in parts)


def test_layers_are_views() -> None:
    made = network(3, 4, 2)
    vector = np.zeros(made.size)
    for layer in made.layers(vector):
        layer += 1.0
    np.testing.assert_array_equal(vector, 1.0)


def test_penalties_are_of_weights_and_not_of_biases() -> None:
    made = network(3, 4, 2)
    flags = made.named(made.penalized())
    assert all((array == (name.startswith("weights"))).all() for name, array in flags.items())


VARIANCES: dict[str, Callable[[int, int], float]] = {
    "he": lambda i, o: 2 / i,
    "glorot": lambda i, o: 2 / (i + o),
    "lecun": lambda i, o: 1 / i,
}


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "zeros"])
def test_initializers_draw_the_variance_of_their_paper(name: str) -> None:
    inputs, outputs = 300, 200
    family, kind = name.split("_")
    variance = VARIANCES[family](inputs, outputs)
    weights = INITIALIZERS[name](np.random.default_rng(0), inputs, outputs)
    assert weights.shape == (inputs, outputs)
    assert abs(weights.mean()) < 4 * np.sqrt(variance / weights.size)
    assert weights.var() == pytest.approx(variance, rel=0.03)
    largest, bound = np.abs(weights).max(), np.sqrt(3 * variance)
    assert 0.999 * bound < largest <= bound if kind == "uniform" else largest > 1.5 * bound


def test_hidden_and_last_layers_have_initializers_of_their_own_and_biases_start_at_zero() -> None:
    made = Network((100, 100, 100), HIDDEN["relu"], IDENTITY, INITIALIZERS["he_normal"], INITIALIZERS["zeros"])
    named = made.named(made.initial(np.random.default_rng(0)))
    assert named["weights_1"].std() == pytest.approx(np.sqrt(2 / 100), rel=0.05)
    assert not named["weights_2"].any()
    assert not named["biases_1"].any()
    assert not named["biases_2"].any()


# --- passes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(3, 1), (3, 4), (3, 5, 1), (3, 5, 4, 2)])
@pytest.mark.parametrize("rows", [1, 2, 33])
def test_forward_is_layer_by_layer(widths: tuple[int, ...], rows: int) -> None:
    made = network(*widths)
    weights, inputs = drawn(made), np.random.default_rng(2).normal(size=(rows, 3))
    predictions = Pass(made, weights, np.empty_like(weights), rows).forward(with_ones(inputs))
    assert predictions.shape == (rows, widths[-1])
    np.testing.assert_allclose(predictions, by_hand(made, weights, inputs), rtol=1e-13, atol=1e-14)


def test_the_output_activation_is_applied_to_rows() -> None:
    made = Network((3, 4, 3), HIDDEN["tanh"], SOFTMAX, INITIALIZERS["he_normal"], INITIALIZERS["he_normal"])
    weights, inputs = drawn(made), np.random.default_rng(2).normal(size=(6, 3))
    exponentials = np.exp(by_hand(made, weights, inputs))
    predictions = Pass(made, weights, np.empty_like(weights), 6).forward(with_ones(inputs))
    np.testing.assert_allclose(predictions, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-13)


def test_a_pass_looks_at_the_weights_as_they_are_and_can_be_repeated() -> None:
    made = network(3, 5, 2)
    weights, inputs = drawn(made), with_ones(np.random.default_rng(2).normal(size=(4, 3)))
    passing = Pass(made, weights, np.empty_like(weights), 4)
    first = passing.forward(inputs).copy()
    weights *= 2.0
    assert not np.allclose(passing.forward(inputs), first)
    weights /= 2.0
    np.testing.assert_array_equal(passing.forward(inputs), first)


def gradient(made: Network, weights: Array, inputs: Array, pull: Array, rng: np.random.Generator | None = None) -> Array:
    """Of Σ pull · predictions."""
    found = np.full_like(weights, np.nan)
    passing = Pass(made, weights, found, len(inputs), rng)
    passing.forward(inputs)
    passing.slope[:] = pull
    passing.backward()
    return found


@pytest.mark.parametrize("widths", [(3, 1), (3, 2), (3, 4, 1), (3, 4, 2), (3, 2, 3, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize("rows", [1, 7])
def test_backward_is_the_derivative_by_differences(widths: tuple[int, ...], rows: int) -> None:
    made, step = network(*widths), 1e-6
    rng = np.random.default_rng(4)
    weights, inputs = drawn(made), with_ones(rng.normal(size=(rows, widths[0])))
    pull = rng.normal(size=(rows, widths[-1]))

    def value(index: int, by: float) -> float:
        moved = weights.copy()
        moved[index] += by
        return float((Pass(made, moved, np.empty_like(moved), rows).forward(inputs) * pull).sum())

    wanted = [(value(index, step) - value(index, -step)) / (2 * step) for index in range(made.size)]
    np.testing.assert_allclose(gradient(made, weights, inputs, pull), wanted, rtol=1e-7, atol=1e-8)


# --- dropout ----------------------------------------------------------------------------------------------------------


def test_dropout_leaves_the_expectation_as_it_is() -> None:
    """Of a network that is linear after its hidden layer, so that the mean of many masks is the pass without one."""
    made = network(3, 40, 2, dropout=0.4)
    weights, inputs = drawn(made), with_ones(np.random.default_rng(2).normal(size=(5, 3)))
    gradients = np.empty_like(weights)
    dropping = Pass(made, weights, gradients, 5, np.random.default_rng(7))
    draws = np.array([dropping.forward(inputs).copy() for _ in range(4000)])
    plain = Pass(made, weights, gradients, 5).forward(inputs)
    off = np.abs(draws.mean(axis=0) - plain) / (draws.std(axis=0) / np.sqrt(len(draws)))
    assert off.max() < 4.0
    assert draws.std(axis=0).min() > 0.1


def test_dropout_zeroes_its_share_of_the_units_and_scales_the_rest() -> None:
    """Seen through an identity as the last layer, which shows the units themselves."""
    made = network(2, 200, 200, dropout=0.25)
    weights = np.zeros(made.size)
    named = made.named(weights)
    named["biases_1"][:] = np.arctanh(0.5)
    named["weights_2"][:] = np.eye(200)
    units = Pass(made, weights, np.empty_like(weights), 50, np.random.default_rng(1)).forward(with_ones(np.zeros((50, 2))))
    np.testing.assert_allclose(np.unique(units.round(12)), [0.0, 0.5 / 0.75], rtol=1e-11)
    assert np.mean(units == 0) == pytest.approx(0.25, abs=0.015)
    assert not np.array_equal(units[0], units[1])  # drawn for every row anew


def test_without_a_generator_nothing_is_dropped() -> None:
    made = network(3, 6, 2, dropout=0.9)
    weights, inputs = drawn(made), np.random.default_rng(2).normal(size=(4, 3))
    predictions = Pass(made, weights, np.empty_like(weights), 4).forward(with_ones(inputs))
    np.testing.assert_allclose(predictions, by_hand(made, weights, inputs), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("widths", [(3, 6, 2), (3, 5, 4, 1)])
def test_backward_through_dropout_is_the_derivative_with_that_mask(widths: tuple[int, ...]) -> None:
    made, step = network(*widths, dropout=0.5), 1e-6
    rng = np.random.default_rng(4)
    weights, inputs = drawn(made), with_ones(rng.normal(size=(7, 3)))
    pull = rng.normal(size=(7, widths[-1]))

    def value(index: int, by: float) -> float:
        moved = weights.copy()
        moved[index] += by
        return float((Pass(made, moved, np.empty_like(moved), 7, np.random.default_rng(9)).forward(inputs) * pull).sum())

    wanted = [(value(index, step) - value(index, -step)) / (2 * step) for index in range(made.size)]
    found = gradient(made, weights, inputs, pull, np.random.default_rng(9))  # the same seed draws the same mask
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-8)
    plain = gradient(made, weights, inputs, pull)
    assert not np.allclose(found, plain)
