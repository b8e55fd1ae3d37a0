"""Activations against their formulas in NumPy, and their derivatives against complex steps and central differences."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domains import Interval
from app.training.activations import HIDDEN, LEAK, OUTPUTS, Activation

Array = NDArray[np.float64]

ALL = {**HIDDEN, **OUTPUTS}
OF_ROWS = {"softmax", "log_softmax", "unit_length"}
each_activation = pytest.mark.parametrize("activation", ALL.values(), ids=list(ALL))

Formula = Callable[[NDArray[np.complexfloating]], NDArray[np.inexact]]
FORMULAS: dict[str, Formula] = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "leaky_relu": lambda z: np.where(z.real > 0, z, z / 100),
    "elu": lambda z: np.where(z.real > 0, z, np.exp(z) - 1),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "exp": np.exp,
    "gelu": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "log_softmax": lambda z: z - np.log(np.exp(z).sum(axis=1, keepdims=True)),
    "unit_length": lambda z: z / np.sqrt((z * z).sum(axis=1, keepdims=True)),
}
"""As textbooks write them, for complex numbers: f(x + ih)/h has the derivative without a difference."""


def forward(activation: Activation, z: Array) -> Array:
    out = np.full(z.shape, np.nan)
    activation.forward(z.copy(), out)
    return out


def backward(activation: Activation, z: Array, slope: Array) -> Array:
    """The derivative of Σ slope · a to z."""
    result = slope.copy()
    activation.backward(result, z.copy(), forward(activation, z))
    return result


def sums(rows: int = 40, width: int = 5) -> Array:
    return np.random.default_rng(1).normal(0.0, 2.0, (rows, width))


def test_a_row_of_huge_sums_has_a_direction_and_a_row_of_zeros_none() -> None:
    rows = forward(OUTPUTS["unit_length"], np.array([[3e200, -4e200], [0.0, 0.0], [3e-310, 4e-310]]))
    np.testing.assert_allclose(rows[:2], [[0.6, -0.8], [0.0, 0.0]], rtol=1e-15)
    slope = backward(OUTPUTS["unit_length"], np.zeros((1, 2)), np.zeros((1, 2)))
    np.testing.assert_array_equal(slope, 0.0)


def test_every_activation_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ALL)
    assert LEAK == 0.01


@each_activation
def test_forward_is_the_formula(activation: Activation) -> None:
    z = sums()
    np.testing.assert_allclose(forward(activation, z), FORMULAS[activation.name](z + 0j).real, rtol=1e-13, atol=1e-15)


@each_activation
def test_backward_is_the_derivative_by_complex_steps(activation: Activation) -> None:
    z, slope, step = sums(), np.random.default_rng(2).normal(size=(40, 5)), 1e-30
    wanted = np.empty_like(z)
    for column in range(z.shape[1]):
        moved = z + 0j
        moved[:, column] += 1j * step
        wanted[:, column] = (FORMULAS[activation.name](moved).imag / step * slope).sum(axis=1)
    np.testing.assert_allclose(backward(activation, z, slope), wanted, rtol=2e-12, atol=1e-14)


@each_activation
def test_backward_is_the_derivative_of_forward_by_differences(activation: Activation) -> None:
    z, slope, step = sums(), np.random.default_rng(3).normal(size=(40, 5)), 1e-6
    assert (np.abs(z) > step).all()  # no kink is crossed
    got = backward(activation, z, slope)
    for column in range(z.shape[1]):
        away = np.zeros(z.shape[1])
        away[column] = step
        rise = ((forward(activation, z + away) - forward(activation, z - away)) * slope).sum(axis=1)
        np.testing.assert_allclose(got[:, column], rise / (2 * step), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_subgradients_at_the_corner_are_those_of_pytorch(name: str) -> None:
    expected = {"relu": 0.0, "leaky_relu": 0.01}[name]  # torch.relu and F.leaky_relu count 0 among the negative
    assert backward(ALL[name], np.zeros((1, 1)), np.ones((1, 1)))[0, 0] == expected


@each_activation
def test_memory_of_any_layout_is_written_in_place(activation: Activation) -> None:
    z = sums()
    wide, slopes = np.full((40, 7), -7.0), np.full((40, 9), -9.0)
    activation.forward(z, wide[:, 1:6])
    np.testing.assert_array_equal(wide[:, [0, 6]], -7.0)
    np.testing.assert_allclose(wide[:, 1:6], forward(activation, z), rtol=1e-14, atol=1e-16)
    slopes[:, 2:7] = 0.5
    activation.backward(slopes[:, 2:7], z, wide[:, 1:6])
    np.testing.assert_array_equal(slopes[:, [0, 1, 7, 8]], -9.0)
    np.testing.assert_allclose(slopes[:, 2:7], backward(activation, z, np.full((40, 5), 0.5)), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    "activation",
    [made for made in ALL.values() if made.name not in OF_ROWS],
    ids=lambda made: made.name,
)
def test_activations_of_single_numbers_know_neither_rows_nor_columns(activation: Activation) -> None:
    z = sums()
    np.testing.assert_allclose(forward(activation, z.T), forward(activation, z).T, rtol=1e-14, atol=1e-16)


@each_activation
def test_activations_lie_in_their_range_and_nearly_fill_it(activation: Activation) -> None:
    """Rows of sums of any size; where ends are open, float64 may round to them."""
    z = np.random.default_rng(4).normal(0.0, 1.0, (4000, 4)) * 10.0 ** np.random.default_rng(5).uniform(-3.0, 1.0, (4000, 1))
    found, ends = forward(activation, z), activation.range.span
    assert activation.range.holds(found) if activation.range.of_rows else Interval(ends.low, ends.high).holds(found)
    assert found.min() < (-0.2 if math.isinf(ends.low) else ends.low + 1e-3)
    assert found.max() > (20.0 if math.isinf(ends.high) else ends.high - 1e-3)


EXTREMES = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softplus": (0.0, 800.0),
    "elu": (-1.0, 800.0),
    "gelu": (0.0, 800.0),
    "relu": (0.0, 800.0),
    "leaky_relu": (-8.0, 800.0),
    "identity": (-800.0, 800.0),
}


@pytest.mark.parametrize(("name", "ends"), EXTREMES.items(), ids=list(EXTREMES))
def test_far_ends_are_the_limits_with_finite_slopes(name: str, ends: tuple[float, float]) -> None:
    z = np.array([[-800.0, 800.0]])
    with np.errstate(over="ignore"):  # the run has it ignored
        np.testing.assert_allclose(forward(ALL[name], z)[0], ends, rtol=1e-15, atol=1e-300)
        assert np.isfinite(backward(ALL[name], z, np.ones((1, 2)))).all()


@pytest.mark.parametrize("name", ["softplus", "exp"])
def test_a_mean_is_positive_where_the_exponential_is_not(name: str) -> None:
    assert forward(ALL[name], np.array([[-800.0, -1e308]])).min() > 0.0


@pytest.mark.parametrize("name", ["log_softmax", "softmax"])
def test_rows_of_huge_sums_stay_distributions(name: str) -> None:
    z = np.array([[1e300, 1e300, -1e300], [1000.0, 999.0, 998.0], [-1e5, -1e5, -1e5]])
    rows = forward(ALL[name], z)
    probabilities = rows if name == "softmax" else np.exp(rows)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(probabilities[0], [0.5, 0.5, 0.0], rtol=1e-14)
    assert np.isfinite(rows[1:]).all()


def test_log_softmax_is_the_logarithm_of_softmax() -> None:
    z = sums()
    np.testing.assert_allclose(forward(ALL["log_softmax"], z), np.log(forward(ALL["softmax"], z)), rtol=1e-12, atol=1e-14)


def test_shares_of_a_row_do_not_change_with_a_constant() -> None:
    z = sums()
    np.testing.assert_allclose(forward(ALL["softmax"], z + 300.0), forward(ALL["softmax"], z), rtol=1e-11)
    slopes = backward(ALL["softmax"], z, np.random.default_rng(5).normal(size=z.shape))
    np.testing.assert_allclose(slopes.sum(axis=1), 0.0, atol=1e-14)  # so that no slope points along it
