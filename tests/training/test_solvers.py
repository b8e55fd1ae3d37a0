"""Where solvers end: at the minima that linear programs, coordinate descent and published figures have for the same problem."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import Lasso, QuantileRegressor

from app.errors import InvalidParameter
from app.training import DATASETS, OPTIMIZERS, Run, Table, finish, prepare
from app.training.diagnosis import diagnose
from app.training.learners import State
from tests.training.plans import Array, loss, mlp, model, optimizer, penalty, plan, schedule, trained

EXACT = {"model": model("linear"), "standardize_targets": False}


def diabetes() -> Table:
    data = DATASETS["diabetes"]()
    return Table((data.inputs - data.inputs.mean(axis=0)) / data.inputs.std(axis=0), data.targets)


def ended(table: Table, chosen: str, **changes: Any) -> tuple[Run, State, float]:
    """The run, its state, and what it has minimised, penalty and all."""
    run = prepare(plan(table, loss=loss(chosen), **{**EXACT, "standardize_inputs": False, **changes}))
    state = trained(run)
    return run, state, float(state["history"][-1, 0]) + penalty(run, state["weights"])


LBFGS: dict[str, Any] = {"optimizer": optimizer("lbfgs"), "batch_size": None, "epochs": 5}

# --- l1 --------------------------------------------------------------------------------------------------------------


def test_lasso_of_eight_rows_to_its_published_digits() -> None:
    inputs = [[1, 0, 2], [2, 1, 0], [3, 1, 1], [4, 3, 5], [5, 2, 3], [6, 5, 1], [7, 3, 4], [8, 4, 2]]
    table = Table(np.array(inputs, float), np.array([1.1, 2.3, 2.9, 4.2, 4.8, 6.3, 6.9, 8.2]))
    _, state, objective = ended(table, "half_squared_error", l1=0.5, **LBFGS)
    np.testing.assert_allclose(state["weights"], [0.8988095, 0, 0, 0.5428571], atol=5e-8)
    assert state["weights"][1:3].tolist() == [0.0, 0.0]
    assert objective == pytest.approx(0.4899182, abs=5e-8)


STEPS = {"gradient_descent": 0.4, "sgd": 0.4, "adam": 1.0, "rmsprop": 1.0, "rprop": 0.1, "lion": 0.5, "adabelief": 1.0}


@pytest.mark.parametrize("strength", [0.3, 1.0, 8.0])
def test_lbfgs_has_scikit_learns_zeros_and_minimum(strength: float) -> None:
    table = diabetes()
    theirs = Lasso(alpha=strength, tol=1e-12, max_iter=100_000).fit(table.inputs, table.targets)
    _, state, objective = ended(table, "half_squared_error", l1=strength, **LBFGS)
    assert (state["weights"][:-1] == 0.0).tolist() == (theirs.coef_ == 0.0).tolist()
    residual = table.targets - theirs.predict(table.inputs)
    assert objective == pytest.approx(0.5 * (residual**2).mean() + strength * np.abs(theirs.coef_).sum(), rel=1e-9)


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_any_optimizer_end_with_the_same_zeros(name: str) -> None:
    table = diabetes()
    theirs = Lasso(alpha=1.0, tol=1e-12, max_iter=100_000).fit(table.inputs, table.targets)
    changes: dict[str, Any] = {"batch_size": "full", "epochs": 500, "shuffle": False, "l1": 1.0}
    falling = schedule("cosine") if OPTIMIZERS[name].has_rate else None
    chosen = optimizer(name, learning_rate=STEPS[name])
    _, state, _ = ended(table, "half_squared_error", optimizer=chosen, schedule=falling, **changes)
    assert (state["weights"][:-1] == 0.0).tolist() == (theirs.coef_ == 0.0).tolist()
    np.testing.assert_allclose(state["weights"][:-1], theirs.coef_, atol=0.05)


def test_a_proximal_step_of_gradient_descent_is_the_soft_threshold() -> None:
    """Iterative shrinkage: w <- S(w - rate * slope, rate * l1), as long as no weight crosses 0 within a step."""
    table = diabetes()
    chosen = optimizer("gradient_descent", learning_rate=0.1)
    _, state, _ = ended(table, "half_squared_error", optimizer=chosen, batch_size="full", epochs=30, shuffle=False, l1=20.0)
    x, n = np.c_[table.inputs, np.ones(len(table.inputs))], len(table.inputs)
    weights = np.zeros(11)
    for _ in range(30):
        weights -= 0.1 * x.T @ (x @ weights - table.targets) / n
        weights[:-1] = np.sign(weights[:-1]) * np.maximum(np.abs(weights[:-1]) - 0.1 * 20.0, 0.0)
    np.testing.assert_allclose(state["weights"], weights, rtol=1e-10, atol=1e-12)
    assert 0 < (weights[:-1] == 0.0).sum() < 10


def test_hidden_layers_lose_weights_too_and_no_bias() -> None:
    run, state, _ = ended(
        diabetes(), "half_squared_error", model=mlp(8), l1=0.02, epochs=30, standardize_targets=True, batch_size=32
    )
    arrays = finish(run, state).parameters
    assert (arrays["weights_1"] == 0.0).any()
    assert (arrays["biases_1"] != 0.0).all()


def test_an_average_of_steps_takes_no_l1() -> None:
    with pytest.raises(InvalidParameter, match="no weight stays at 0") as refusal:
        prepare(plan(optimizer=optimizer("schedule_free_adamw"), l1=0.1))
    assert refusal.value.faults[0].path == ("regularization", "l1")


# --- corners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_lbfgs_comes_to_the_minimum_of_a_quantile(level: float) -> None:
    table = diabetes()
    theirs = QuantileRegressor(quantile=level, alpha=0.0, solver="highs").fit(table.inputs, table.targets)
    residual = table.targets - theirs.predict(table.inputs)
    run = prepare(plan(table, loss=loss("quantile", quantile=level), standardize_inputs=False, **EXACT, **LBFGS))
    state = trained(run)
    least = np.maximum(level * residual, (level - 1) * residual).mean()
    assert state["history"][-1, 0] == pytest.approx(least, rel=1e-7)
    assert diagnose(run, state)[0].verdict == "converged"


def test_lbfgs_comes_to_the_minimum_of_a_hinge() -> None:
    table = diabetes()
    labels = np.sign(table.inputs[:, 2] + table.inputs[:, 8] + np.random.default_rng(0).normal(size=len(table.inputs)))
    rows = np.c_[table.inputs, np.ones(len(table.inputs))]
    n, d = rows.shape
    least = scipy.optimize.linprog(
        np.r_[np.zeros(d), np.full(n, 1 / n)],
        A_ub=np.c_[-labels[:, None] * rows, -np.eye(n)],
        b_ub=-np.ones(n),
        bounds=[(None, None)] * d + [(0, None)] * n,
    ).fun
    _, _, objective = ended(Table(table.inputs, labels), "hinge", **LBFGS)
    assert objective == pytest.approx(least, rel=1e-7)


def test_l1_and_a_corner_have_exact_zeros_as_well() -> None:
    table = diabetes()
    targets: Array = table.inputs[:, 3] * 2 + table.inputs[:, 1] * table.inputs[:, 2]
    theirs = QuantileRegressor(quantile=0.5, alpha=0.05, solver="highs").fit(table.inputs, targets)
    least = 0.5 * np.abs(targets - theirs.predict(table.inputs)).mean() + 0.05 * np.abs(theirs.coef_).sum()
    _, state, objective = ended(Table(table.inputs, targets), "quantile", l1=0.05, **LBFGS)
    assert objective == pytest.approx(least, rel=1e-7)
    assert (state["weights"][:-1] == 0.0).tolist() == (np.abs(theirs.coef_) < 1e-12).tolist()


def test_where_lbfgs_stops_at_a_corner_it_is_not_called_converged() -> None:
    """Without the search for corners, as of more weights than it is for, L-BFGS-B rests above the minimum."""
    table = diabetes()
    chosen = optimizer("lbfgs", corner_iter=0)
    run = prepare(plan(table, loss=loss("quantile", quantile=0.9), **EXACT, optimizer=chosen, batch_size=None, epochs=40))
    state = trained(run)
    assert state["history"][-1, 0] > 9.0879 * 1.01
    (finding,) = diagnose(run, state)
    assert finding.verdict != "converged"


# --- the log link ----------------------------------------------------------------------------------------------------


def test_poisson_regression_to_its_published_digits() -> None:
    table = Table(np.arange(6.0)[:, None], np.array([1.0, 0, 2, 3, 6, 9]))
    run, state, _ = ended(table, "poisson_deviance", **{**LBFGS, "model": model("linear", output="exp")})
    np.testing.assert_allclose(state["weights"], [0.5720065, -0.6136675], atol=5e-8)
    wanted = [0.5413618, 0.9591950, 1.6995195, 3.0112404, 5.3353719, 9.4533114]
    np.testing.assert_allclose(finish(run, state).predictions, wanted, atol=5e-8)


def test_trees_add_up_logarithms_where_the_output_is_exp() -> None:
    """Full of depth and rate, one leaf for each place, they come to the mean of its targets."""
    table = Table(np.repeat([0.0, 1.0, 2.0], 4)[:, None], np.array([1.0, 0, 2, 1, 4, 6, 5, 5, 20, 22, 18, 24]))
    trees = model("boosted_trees", output="exp", min_samples_leaf=1, learning_rate=1.0)
    chosen = loss("poisson_deviance")
    run = prepare(plan(table, loss=chosen, model=trees, optimizer=None, batch_size=None, epochs=40))
    np.testing.assert_allclose(finish(run, trained(run)).predictions, np.repeat([1.0, 5.0, 21.0], 4), rtol=1e-6)
