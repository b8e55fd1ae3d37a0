"""The output hessian_diagonal, of every loss that has it; test_values compares it with the second derivative of the formula."""

import math
from typing import Any

import numpy as np
import pytest

from app.losses import LOSSES, check, evaluate
from tests.losses.drawing import Case, by_input, cases, gradients_of, kernel_of, over
from tests.losses.test_contract import agree, derivative, weights_for
from tests.losses.test_values import Array, Setting, compared, seconds_of

pytestmark = pytest.mark.no_cover  # test_values runs these lines as well, and to trace them takes as long as they do

TWICE = [loss for loss in LOSSES.values() if loss.derivatives == 2]
CASES = [case for case in cases() if case.loss in TWICE]

each_case = over(CASES)

# --- the formula ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.5])
def test_focal_losses_keep_their_digits_where_they_turn(gamma: float) -> None:
    """From convex to concave, which is where the second derivative crosses 0."""
    x = np.linspace(-8.0, 0.0, 81)
    rows, labels = np.stack((x, 0.0 * x, x / 8.0 - 4.0), axis=1), np.zeros(x.size)
    parameters = {"from_logits": True, "gamma": gamma}
    every = [
        *compared(Setting("binary_focal", parameters, 1), (-x, labels)),
        *compared(Setting("categorical_focal", parameters, 1), (rows, labels)),
    ]
    second = [number for number in every if number.what.startswith("second")]
    assert {number.true > 0 for number in second} == {True, False}
    assert not [str(number) for number in second if number.error > number.allowed]


def test_a_tweedie_deviance_that_does_not_bend_is_0_where_its_powers_are_beyond_float64() -> None:
    batch = check(LOSSES["tweedie_deviance"], {"power": 4.0}, np.array([4.0 * 2.0**-660]), np.array([3.0 * 2.0**-660]))
    assert seconds_of(batch)["predictions"].tolist() == [0.0]


# --- what is answered ---------------------------------------------------------------------------------------------------------


@each_case
def test_it_is_the_derivative_of_the_gradient(case: Case) -> None:
    """For every option and kind of label; under a reduction, with the weights and the divisor that the gradient has."""
    n = 4
    batch = case.batch(case.draw(n=n), sample_weight=weights_for(n))
    slopes, seconds = gradients_of(evaluate(batch, reduction="none")), seconds_of(batch, reduction="none")
    for name, second in seconds.items():
        assert second.shape == slopes[name].shape
        for column in range(second[0].size):
            direction = np.zeros_like(second)
            direction.reshape(n, -1)[:, column] = 1.0
            difference = derivative(
                lambda moved, name=name: gradients_of(evaluate(moved, reduction="none", outputs=("gradient",)))[name],
                batch,
                {name: direction},
            )
            numeric, exact, slope = (array.reshape(n, -1)[:, column] for array in (difference, second, slopes[name]))
            assert agree(numeric, exact, np.abs(exact), np.abs(slope)), (name, column, numeric, exact)
    for reduction in case.reductions:
        reduced = evaluate(batch, reduction=reduction, outputs=("gradient", "hessian_diagonal"))
        for name, second in by_input(reduced.hessian_diagonal).items():
            shares = gradients_of(reduced)[name], slopes[name]
            np.testing.assert_allclose(second * shares[1], seconds[name] * shares[0], rtol=1e-13, err_msg=f"{reduction} {name}")


@over(cases())
def test_a_function_returns_what_its_type_says(case: Case) -> None:
    """Whether a loss has second derivatives is read from there."""
    _, gradient, *second = kernel_of(case.batch())
    assert len(second) == (case.loss.derivatives == 2)
    for function in second:
        with np.errstate(all="ignore"):
            given = function()
        for array, slope in zip(as_tuple(given), as_tuple(gradient), strict=True):
            assert (array.dtype, array.shape) == (np.float64, slope.shape)
            assert not np.shares_memory(array, slope)  # which is scaled where it lies


def as_tuple(derivatives: Any) -> tuple[Array, ...]:
    return derivatives if isinstance(derivatives, tuple) else (derivatives,)


KINKS: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("mean_absolute_error", {}, [2.0], [2.0]),
    ("huber", {"delta": 0.5}, [2.5, 1.5], [2.0, 2.0]),
    ("smooth_l1", {"beta": 0.5}, [2.5, 1.5], [2.0, 2.0]),
    ("squared_epsilon_insensitive", {"epsilon": 0.5}, [2.5, 1.5], [2.0, 2.0]),
    ("squared_hinge", {}, [1.0, -1.0], [1.0, -1.0]),
    ("modified_huber", {}, [1.0, -1.0], [1.0, 1.0]),
    ("multi_margin", {"p": 2}, [[1.0, 0.0]], [0.0]),
    ("contrastive", {"margin": 0.5}, [0.5], [0.0]),
]


@pytest.mark.parametrize(("name", "parameters", "predictions", "targets"), KINKS)
def test_it_is_0_at_a_kink(name: str, parameters: dict[str, Any], predictions: Any, targets: Any) -> None:
    seconds = seconds_of(check(LOSSES[name], parameters, np.array(predictions), np.array(targets)))
    assert not seconds["predictions"].any()


TWO_ROWS, LOG_ODDS = np.array([[0.25, 0.75], [0.75, 0.25]]), math.log1p(-0.25) - math.log(0.25)
CLIPS: list[tuple[str, dict[str, Any], dict[str, Any], Any, Any]] = [
    ("mean_squared_logarithmic_error", {"clip": 0.5}, {}, np.array([0.5, 0.5]), [2.0, 3.0]),
    ("binary_cross_entropy", {"clip": 0.25}, {}, np.array([0.25, 0.75]), [1.0, 0.0]),
    (
        "binary_cross_entropy",
        {"clip": 0.25, "from_logits": True},
        {"from_logits": True},
        np.array([-LOG_ODDS, LOG_ODDS]),
        [1.0, 0.0],
    ),
    ("categorical_cross_entropy", {"clip": 0.25}, {}, TWO_ROWS, [0, 0]),
    ("categorical_cross_entropy", {"clip": 0.25}, {}, TWO_ROWS, [[0.5, 0.5], [0.5, 0.5]]),
    ("gaussian_nll", {"eps": 0.5}, {"eps": 0.0}, {"mean": np.array([1.0, 2.0]), "variance": np.array([0.5, 0.5])}, [0.0, 0.0]),
]
"""What keeps numbers within a limit, and the same without it, of predictions at the limit."""


@pytest.mark.parametrize(("name", "limited", "free", "predictions", "targets"), CLIPS)
def test_at_the_limit_of_a_clip_it_passes_as_the_gradient_does(
    name: str, limited: dict[str, Any], free: dict[str, Any], predictions: Any, targets: Any
) -> None:
    clipped, plain = (check(LOSSES[name], parameters, predictions, np.array(targets)) for parameters in (limited, free))
    for derivative_of in (seconds_of, lambda batch: gradients_of(evaluate(batch))):
        passed, whole = derivative_of(clipped), derivative_of(plain)
        assert passed.keys() == whole.keys()
        for side, numbers in whole.items():
            assert numbers.any()
            np.testing.assert_array_equal(passed[side], numbers)


def test_below_the_limit_a_variance_does_not_bend() -> None:
    predictions = {"mean": np.array([1.0, 2.0]), "variance": np.array([0.5, 0.25])}
    seconds = seconds_of(check(LOSSES["gaussian_nll"], {"eps": 0.5}, predictions, np.array([0.0, 0.0])), reduction="sum")
    assert {name: array.tolist() for name, array in seconds.items()} == {"mean": [2.0, 2.0], "variance": [6.0, 0.0]}


def test_one_variance_for_all_elements_bends_by_all_of_them() -> None:
    mean, targets = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[0.0, 1.5], [1.0, 0.25]])
    shared = check(LOSSES["gaussian_nll"], {}, {"mean": mean, "variance": np.array([0.7, 1.9])}, targets)
    spread = check(LOSSES["gaussian_nll"], {}, {"mean": mean, "variance": np.array([[0.7, 0.7], [1.9, 1.9]])}, targets)
    np.testing.assert_allclose(seconds_of(shared)["variance"], seconds_of(spread)["variance"].sum(axis=1), rtol=1e-15)


@pytest.mark.parametrize(
    "name", ["root_mean_squared_error", "median_absolute_error", "max_error", "circle", "dice", "ciou", "zero_one"]
)
def test_means_of_another_kind_and_losses_that_couple_have_none(name: str) -> None:
    assert LOSSES[name].derivatives < 2


def test_gradient_boosting_takes_them() -> None:
    """One Newton step of XGBoost and LightGBM: p(1 − p) for a logit, eˣ for the logarithm of a rate, 1 for half a square."""
    x, y = np.array([-3.0, 0.1, 2.0]), np.array([0.0, 1.0, 1.0])
    p = 1 / (1 + np.exp(-x))
    for name, truth in (("binary:logistic", p * (1 - p)), ("count:poisson", np.exp(x)), ("reg:squarederror", np.ones(3))):
        loss, preset = LOSSES.resolve(name)
        np.testing.assert_allclose(seconds_of(check(loss, preset, x, y), reduction="sum")["predictions"], truth, rtol=1e-14)
