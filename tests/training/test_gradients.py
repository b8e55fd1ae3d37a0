"""The gradient of every loss to every weight of every model, against central differences of the mean loss.

What is compared is what an epoch does: one step of gradient_descent with a learning rate of 1 on all rows at once moves
the weights by the gradient, and the loss that it should be the gradient of is the one that the history shows, with the
penalties. Differences are taken over 1e-6 of each weight, at weights drawn off every kink.
"""

from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.training import Chosen, Run, Table, prepare
from app.training.activations import HIDDEN, OUTPUTS
from app.training.learners import Weighted, learner
from app.training.network import Network
from app.training.objective import agree
from tests.folding import one_of_each
from tests.losses.drawing import Case
from tests.training.plans import (
    Array,
    default_training_cases,
    inputs,
    mlp,
    model,
    optimizer,
    penalty,
    plan,
    targets,
    training_cases,
)

ROWS = 7
STEP = 1e-6


def run_of(case: Case, architecture: Chosen, **changes: Any) -> Run:
    table = Table(inputs(ROWS, 2), targets(case, ROWS))
    usual = {
        "loss": Chosen(case.loss, case.parameters),
        "model": architecture,
        "batch_size": "full",
        "shuffle": False,
        "epochs": 1,
        "optimizer": optimizer("gradient_descent", learning_rate=1.0),
        "standardize_targets": False,
    }
    return prepare(plan(table, **{**usual, **changes}))


def weights_of(run: Run) -> Array:
    assert isinstance(run.model, Network)
    return np.random.default_rng(8).normal(0.0, 0.5, run.model.size)


def gradient(run: Run, weights: Array) -> Array:
    """What one step takes from the weights."""
    method = learner(run)
    state = method.start(np.random.default_rng(0))
    state["weights"][:] = weights
    method.resume(state, np.random.default_rng(0))(1.0)
    return weights - state["weights"]


def differences(run: Run, weights: Array) -> Array:
    method = learner(run)
    assert isinstance(method, Weighted)
    state = method.start(np.random.default_rng(0))
    method.adopt(state)

    def value(index: int, step: float) -> float:
        state["weights"][:] = weights
        state["weights"][index] += step
        return run.objective.value(method.training_predictions(state), run.training.labels) + penalty(run, state["weights"])

    return np.array([(value(index, STEP) - value(index, -STEP)) / (2 * STEP) for index in range(weights.size)])


def check_gradient(run: Run) -> None:
    weights = weights_of(run)
    found, wanted = gradient(run, weights), differences(run, weights)
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=2e-8 * scale)
    assert np.abs(wanted).max() > 1e-4  # there is a slope to compare


def fitting_outputs(case: Case) -> tuple[str, ...]:
    def fits(name: str) -> bool:
        try:
            agree(case.loss, case.parameters, targets(case, ROWS), None, OUTPUTS[name])
        except InvalidInput:
            return False
        return True

    return tuple(filter(fits, OUTPUTS))


each_default = pytest.mark.parametrize("case", one_of_each(default_training_cases(), lambda case: case.loss.family), ids=str)


FLAT = {
    ("neural_ndcg", "temperature", 1e6),
    ("approx_ndcg", "temperature", 1e6),
    ("approx_mrr", "temperature", 1e6),
    ("gaussian_focal", "alpha", 100.0),
}
"""Settings whose slopes are below 1e-6, as small as the rounding of the differences: those say nothing of them."""


def is_ordinary(case: Case) -> bool:
    """Whether differences can see its slopes: at the ends of ranges of 200 decades they are as small or as large as these."""
    if any(case.loss.name == name and case.parameters.get(key) == value for name, key, value in FLAT):
        return False
    numbers = [abs(value) for value in case.parameters.values() if isinstance(value, float)]
    return all(number == 0 or 1e-9 < number < 1e9 for number in numbers)


each_setting = pytest.mark.parametrize(
    "case",
    one_of_each([case for case in training_cases() if case.parameters and is_ordinary(case)], lambda case: case.loss.family),
    ids=str,
)


@each_default
def test_of_every_loss_through_every_output(case: Case) -> None:
    for output in fitting_outputs(case):
        check_gradient(run_of(case, model("linear", output=output)))
        check_gradient(run_of(case, mlp(3, output=output)))


@each_setting
def test_of_every_loss_in_every_setting(case: Case) -> None:
    check_gradient(run_of(case, mlp(3, hidden_activation="tanh")))


@pytest.mark.thorough
@pytest.mark.parametrize("hidden", HIDDEN)
def test_of_every_hidden_activation_in_two_layers_with_penalties(hidden: str) -> None:
    for case in default_training_cases():
        check_gradient(run_of(case, mlp(3, 2, hidden_activation=hidden), l1=0.01, l2=0.02))
