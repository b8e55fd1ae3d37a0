"""Every loss of the registry that has a slope and an output trains: with Adam, with L-BFGS and with trees."""

from typing import Any

import numpy as np
import pytest

from app.training import Chosen, Holdout, Table, finish, history, prepare, start, stopped
from app.training.learners import learner
from tests.folding import one_of_each
from tests.losses.drawing import Case
from tests.training.plans import Array, default_training_cases, inputs, loss, mlp, model, optimizer, plan, targets, trained

ROWS = 60
UNEVEN = {"max_error", "median_absolute_error", "mean_absolute_percentage_error"}
"""Losses whose slope is that of a row or two, or a hundred times larger for some: a tree's mean of it is no way down."""

SATURATED = {"approx_ndcg", "approx_mrr", "pairwise_soft_zero_one", "ramp"}
"""Losses that lie flat far out: trees begin at the best scores that are the same for all, which are as far apart as that.

Of a ramp that is a score of 1 or −1: one class costs nothing there and the other all that it can, so that neither pulls."""

each_case = pytest.mark.parametrize("case", one_of_each(default_training_cases(), lambda case: case.loss.family), ids=str)
# the first case of each has hard labels: a hinge of soft ones, none of them above a half, is least where all scores are alike
FIRST = {case.loss.name: case for case in reversed(default_training_cases())}
each_loss = pytest.mark.parametrize("case", one_of_each(FIRST.values(), lambda case: case.loss.family), ids=str)


def informative(case: Case) -> Table:
    """Targets as the loss's own encoding draws them, and inputs that tell of them, seen through noise."""
    drawn = targets(case, ROWS)
    numbers = drawn.reshape(ROWS, -1) / np.abs(drawn).max()
    mixed: Array = numbers @ np.random.default_rng(3).normal(size=(numbers.shape[1], 3))
    return Table(mixed + 0.05 * inputs(ROWS, 3), drawn)


def losses_of(case: Case, **changes: Any) -> list[float]:
    """The training loss before the first epoch and after each."""
    run = prepare(plan(informative(case), loss=Chosen(case.loss, case.parameters), **changes))
    state = start(run)
    method = learner(run)
    method.resume(state, np.random.default_rng(0))
    first = run.objective.value(method.training_predictions(state), run.training.labels)
    state = trained(run)
    assert stopped(run, state) == "completed"
    result = finish(run, state)
    assert np.isfinite(result.predictions).all()
    assert result.per_sample.shape == (ROWS if run.validation is None else run.validation.n,)
    return [first, *state["history"][:, 0].tolist()]


@each_case
def test_thirty_epochs_of_adam_lower_it(case: Case) -> None:
    first, *_, last = losses_of(case, model=mlp(16), epochs=30, optimizer=optimizer("adam", learning_rate=0.01), seed=1)
    assert last < first - 0.1 * abs(first)


@each_loss
def test_no_epoch_of_lbfgs_raises_it(case: Case) -> None:
    linear = model("linear", initialization="glorot_uniform")  # of 0, some have a corner there
    losses = losses_of(case, model=linear, epochs=3, optimizer=optimizer("lbfgs", max_iter=5), batch_size=None, seed=1)
    assert (np.diff(losses) <= 1e-12 * np.abs(losses[1:])).all()
    assert losses[-1] < losses[0]


@pytest.mark.thorough
@each_loss
def test_trees_lower_it(case: Case) -> None:
    first, *_, last = losses_of(case, model=model("boosted_trees"), epochs=5, optimizer=None, batch_size=None)
    assert last < first or case.loss.name in UNEVEN | SATURATED or first == 0.0


@pytest.mark.no_cover  # others run these lines as well
@each_loss
@pytest.mark.parametrize("rate", [1e2, 1e6, 1e200])
def test_a_rate_that_is_far_too_high_ends_in_no_error(case: Case, rate: float) -> None:
    """Whatever numbers come to the loss, the history holds finite ones only, and so does the result."""
    fast = optimizer("gradient_descent", learning_rate=rate)
    run = prepare(plan(informative(case), loss=Chosen(case.loss, case.parameters), optimizer=fast, epochs=6))
    state = trained(run)
    assert all(np.isfinite(epoch.training_loss) for epoch in history(run, state))
    assert np.isfinite(finish(run, state).training_loss)


@pytest.mark.parametrize("name", ["poisson_deviance", "tweedie_nll", "mean_squared_logarithmic_error"])
def test_means_that_fall_to_zero_end_in_no_error(name: str) -> None:
    """A positive mean is only just so where the targets pull it to 0."""
    table = Table(inputs(ROWS), np.r_[np.zeros(ROWS - 1), 1.0])
    fast = optimizer("gradient_descent", learning_rate=1e4)
    run = prepare(plan(table, loss=loss(name), optimizer=fast, model=model("linear"), batch_size=5, standardize_targets=False))
    assert all(np.isfinite(epoch.training_loss) for epoch in history(run, trained(run)))


@each_loss
def test_validation_rows_are_measured_too(case: Case) -> None:
    losses_of(case, validation=Holdout(fraction=0.25), epochs=1)
