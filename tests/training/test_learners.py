"""An epoch of a network: which rows each step sees, what its gradient is, and what it takes in memory."""

import tracemalloc
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from app.errors import InvalidParameter
from app.losses import LOSSES
from app.training import Chosen, Optimizer, Run, Table, history, prepare, start
from app.training.activations import HIDDEN
from app.training.learners import PREDICTED_AT_ONCE, Learner, Weighted, learner
from app.training.network import with_ones
from tests.training.plans import Array, inputs, loss, mlp, model, optimizer, penalty, plan, regression, schedule, trained
from tests.training.published import PUBLISHED

Steps = list[tuple[int, Array]]


def recording(steps: Steps) -> Chosen:
    """An optimizer that moves nothing and keeps what it is given."""

    def record(weights: Array, gradient: Array, slots: Array, scratch: Array, step: int, *, learning_rate: float = 1.0) -> None:
        steps.append((step, gradient.copy()))

    return Chosen(Optimizer(function=record), {})


ROWS = 23


def rows_of_each_step(epochs: int = 1, seed: int = 0, **changes: Any) -> list[list[int]]:
    """Row i has a 1 in column i and the target i + 1: with weights of 0 the gradient shows which rows a batch holds."""
    steps: Steps = []
    table = Table(np.eye(ROWS), np.arange(1.0, ROWS + 1.0))
    usual = {"model": model("linear"), "standardize_inputs": False, "standardize_targets": False, "batch_size": 5}
    run = prepare(plan(table, optimizer=recording(steps), **{**usual, **changes}))
    state, method = start(run), learner(run)
    step = method.resume(state, np.random.default_rng(seed))
    for _ in range(epochs):
        step(1.0)
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
    found: list[list[int]] = []
    for _, gradient in steps:
        rows = np.flatnonzero(gradient[:ROWS])
        np.testing.assert_allclose(gradient[rows], -2.0 * (rows + 1.0) / len(rows), rtol=1e-14)  # its own targets, its own mean
        assert gradient[ROWS] == pytest.approx(-2.0 * (rows + 1.0).mean())
        found.append(rows.tolist())
    return found


# --- batches ------------------------------------------------------------------------------------------------------------


def test_every_row_is_seen_once_in_an_epoch_in_another_order_each_time() -> None:
    batches = rows_of_each_step(epochs=4)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3] * 4
    epochs = [batches[index : index + 5] for index in range(0, 20, 5)]
    for epoch in epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(ROWS))
    assert len({str(epoch) for epoch in epochs}) == 4


def test_without_shuffling_the_order_is_kept() -> None:
    in_order = [list(range(index, min(index + 5, ROWS))) for index in range(0, ROWS, 5)]
    assert rows_of_each_step(epochs=2, shuffle=False) == in_order * 2


@pytest.mark.parametrize("size", ["full", ROWS])
def test_a_full_batch_is_one_step(size: Any) -> None:
    assert rows_of_each_step(epochs=2, batch_size=size) == [list(range(ROWS))] * 2


def test_batches_of_one_row() -> None:
    assert sorted(rows_of_each_step(batch_size=1)) == [[row] for row in range(ROWS)]


def test_the_order_is_the_seed() -> None:
    assert rows_of_each_step(seed=1) == rows_of_each_step(seed=1)
    assert rows_of_each_step(seed=1) != rows_of_each_step(seed=2)


def test_class_weights_move_along_with_their_rows() -> None:
    steps: Steps = []
    table = Table(np.eye(12), np.arange(12.0) % 3)
    weighted = loss("categorical_cross_entropy", class_weight=[1.0, 2.0, 5.0], from_logits=True)
    run = prepare(
        plan(table, model=model("linear"), loss=weighted, optimizer=recording(steps), standardize_inputs=False, batch_size=4)
    )
    learner(run).resume(start(run), np.random.default_rng(3))(1.0)
    for _, gradient in steps:
        of_rows = gradient.reshape(13, 3)[:12]
        rows = np.flatnonzero(of_rows.any(axis=1))
        weights = np.array([1.0, 2.0, 5.0])[rows % 3]
        wanted = (1 / 3 - np.eye(3)[rows % 3]) * (weights / weights.sum())[:, None]
        np.testing.assert_allclose(of_rows[rows], wanted, rtol=1e-13)
    assert len(steps) == 3


# --- the gradient ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["binary_cross_entropy", "categorical_cross_entropy"])
def test_rows_with_ignored_labels_move_nothing(name: str) -> None:
    """Wherever the shuffle puts them: full batches with and without them have the same gradient."""
    labels, ignored = np.arange(12.0) % 2, np.arange(12) % 3 == 1
    table = Table(inputs(12), np.where(ignored, -100.0, labels))
    gradients: list[Array] = []
    for data in (table, Table(table.inputs[~ignored], labels[~ignored])):
        steps: Steps = []
        asked = Chosen(LOSSES[name], {"ignore_index": -100})
        run = prepare(
            plan(data, model=mlp(3), loss=asked, optimizer=recording(steps), standardize_inputs=False, batch_size="full", seed=3)
        )
        learner(run).resume(start(run), np.random.default_rng(1))(1.0)
        gradients.append(steps[0][1])
    assert np.abs(gradients[1]).max() > 0.01
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-15)


def one_gradient(**changes: Any) -> tuple[Run, Array, Array, float]:
    """The run, weights drawn at random, and what the optimizer is given at them, with the norm that the epoch tells."""
    steps: Steps = []
    run = prepare(plan(model=mlp(3), optimizer=recording(steps), batch_size="full", shuffle=False, **changes))
    state = start(run)
    state["weights"] = np.random.default_rng(4).normal(0.0, 0.7, run.model.size)  # pyright: ignore[reportAttributeAccessIssue]
    norm = learner(run).resume(state, np.random.default_rng(0))(1.0)
    return run, state["weights"], steps[0][1], norm


def flags(run: Run) -> Array:
    return run.model.penalized()  # pyright: ignore[reportAttributeAccessIssue]


def test_penalties_pull_weights_and_leave_biases() -> None:
    run, weights, plain, _ = one_gradient()
    for l1, l2 in ((0.3, 0.0), (0.0, 0.2), (0.3, 0.2)):
        _, _, pulled, _ = one_gradient(l1=l1, l2=l2)
        np.testing.assert_allclose(pulled - plain, flags(run) * (l1 * np.sign(weights) + 2 * l2 * weights), atol=1e-14)


def test_penalties_are_in_no_reported_loss() -> None:
    run, _, _, _ = one_gradient()
    heavy, _, _, _ = one_gradient(l1=1.0, l2=1.0)
    state = start(run)
    losses = [
        trained.objective.value(_adopted(trained, state).training_predictions(state), trained.training.labels)
        for trained in (run, heavy)
    ]
    assert losses[0] == losses[1]


def _adopted(run: Run, state: Any) -> Learner:
    method = learner(run)
    method.resume(state, np.random.default_rng(0))
    return method


def test_clipping_by_norm_keeps_the_direction() -> None:
    _, _, plain, norm = one_gradient()
    assert norm == pytest.approx(np.linalg.norm(plain))
    _, _, clipped, told = one_gradient(clip_norm=norm / 4)
    np.testing.assert_allclose(clipped, plain / 4, rtol=1e-13)
    assert told == norm  # before clipping
    _, _, short, _ = one_gradient(clip_norm=norm * 1.01)
    np.testing.assert_array_equal(short, plain)


def test_clipping_by_value_cuts_every_component_after_the_norm() -> None:
    _, _, plain, norm = one_gradient()
    bound = float(np.sort(np.abs(plain))[plain.size // 2])
    _, _, clipped, told = one_gradient(clip_value=bound)
    np.testing.assert_array_equal(clipped, np.clip(plain, -bound, bound))
    assert told == norm
    _, _, both, _ = one_gradient(clip_norm=norm / 2, clip_value=bound)
    np.testing.assert_allclose(both, np.clip(plain / 2, -bound, bound), rtol=1e-13)


def test_clipping_sees_the_penalties() -> None:
    _, _, clipped, norm = one_gradient(l2=5.0, clip_norm=0.1)
    _, _, whole, _ = one_gradient(l2=5.0)
    assert norm == pytest.approx(np.linalg.norm(whole))
    np.testing.assert_allclose(clipped, whole * 0.1 / norm, rtol=1e-13)


def test_the_norm_is_the_mean_over_the_steps() -> None:
    steps: Steps = []
    run = prepare(plan(optimizer=recording(steps), batch_size=8))
    norm = learner(run).resume(start(run), np.random.default_rng(0))(1.0)
    assert len(steps) == 5
    assert norm == pytest.approx(np.mean([np.linalg.norm(gradient) for _, gradient in steps]))


def test_the_learning_rate_is_the_epochs() -> None:
    run = prepare(plan(optimizer=optimizer("gradient_descent", learning_rate=5.0), batch_size="full"))
    moved: list[Array] = []
    for rate in (0.1, 0.2):
        state = start(run)
        before = state["weights"].copy()
        learner(run).resume(state, np.random.default_rng(0))(rate)
        moved.append(state["weights"] - before)
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-9)


# --- predictions of many rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [PREDICTED_AT_ONCE - 1, PREDICTED_AT_ONCE, PREDICTED_AT_ONCE + 1, 2 * PREDICTED_AT_ONCE + 7])
def test_predictions_do_not_depend_on_how_many_are_made_at_once(n: int) -> None:
    rows = inputs(n, 2)
    run = prepare(plan(Table(rows, np.c_[rows, rows.sum(axis=1)]), standardize_inputs=False, standardize_targets=False))
    state = start(run)
    predictions = _adopted(run, state).training_predictions(state)
    named = run.model.named(state["weights"])  # pyright: ignore[reportAttributeAccessIssue]
    hidden = np.maximum(rows @ named["weights_1"] + named["biases_1"], 0.0)
    np.testing.assert_allclose(predictions, hidden @ named["weights_2"] + named["biases_2"], rtol=1e-12, atol=1e-14)


# --- L-BFGS ------------------------------------------------------------------------------------------------------------


def test_lbfgs_finds_the_least_squares_in_an_epoch() -> None:
    table = regression(60, 4)
    run = prepare(plan(table, model=model("linear"), optimizer=optimizer("lbfgs"), batch_size=None, l2=0.05))
    state = start(run)
    norm = learner(run).resume(state, np.random.default_rng(0))(np.nan)
    x = np.c_[run.training.inputs, np.ones(60)]
    ridge = np.diag([0.05] * 4 + [0.0])
    wanted = np.linalg.solve(x.T @ x / 60 + ridge, x.T @ run.training.targets / 60)
    np.testing.assert_allclose(state["weights"], wanted, rtol=1e-8, atol=1e-9)
    assert norm < 1e-8


def test_lbfgs_has_the_gradient_of_its_value() -> None:
    run = prepare(plan(model=mlp(3, hidden_activation="tanh"), optimizer=optimizer("lbfgs"), batch_size=None, l1=0.01, l2=0.02))
    method, state = learner(run), start(run)
    assert isinstance(method, Weighted)
    method.adopt(state)
    first = run.objective.value(method.training_predictions(state), run.training.labels) + penalty(run, state["weights"])

    def value(weights: Array) -> float:
        state["weights"][:] = weights
        return run.objective.value(method.training_predictions(state), run.training.labels) + penalty(run, state["weights"])

    method.resume(state, np.random.default_rng(0))(np.nan)
    reached = state["weights"].copy()
    assert value(reached) < 0.9 * first
    found = scipy.optimize.minimize(value, reached, method="BFGS", options={"maxiter": 200})  # by differences of the value
    assert found.fun <= value(reached) * (1 + 1e-9)


# --- memory ------------------------------------------------------------------------------------------------------------


def peak(run: Run) -> int:
    """Bytes that an epoch has at most above what was there before it, once buffers are made."""
    step = learner(run).resume(start(run), np.random.default_rng(0))
    step(0.01)
    tracemalloc.start()
    try:
        step(0.01)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        step(0.01)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most - before


def test_an_epoch_of_small_steps_allocates_next_to_nothing() -> None:
    """The loss of 32 rows, and which units are above 0, as a mask and as numbers: the one matrix (12.8 kB) that is made."""
    rows = inputs(1000, 2)
    run = prepare(plan(Table(rows, rows[:, 0]), model=mlp(50), batch_size=32, shuffle=False))
    assert peak(run) < 1.5 * 32 * 50 * 8


def test_an_epochs_order_is_drawn_once() -> None:
    """Two arrays of 8 bytes a row, and no second copy of the rows."""
    rows = inputs(4000, 6)
    run = prepare(plan(Table(rows, rows[:, 0]), model=model("linear"), batch_size=32))
    assert 8 * 4000 < peak(run) < 2.5 * 8 * 4000


@pytest.mark.parametrize("name", HIDDEN)
def test_a_step_of_large_layers_allocates_a_few_arrays_of_one_layer_at_most(name: str) -> None:
    """Two layers of 256 × 300 units are 0.6 MB each, and a pass has ten such arrays."""
    rows = inputs(256, 4)
    run = prepare(plan(Table(rows, rows[:, 0]), model=mlp(300, 300, hidden_activation=name), batch_size=256))
    units = 256 * 300 * 8
    most = {"relu": 0.25, "leaky_relu": 1.25, "tanh": 1.1, "sigmoid": 1.1, "elu": 1.1, "softplus": 3.2, "gelu": 3.1}[name]
    assert peak(run) < most * units


def test_a_model_that_is_an_average_of_steps_is_what_is_measured_and_kept() -> None:
    """The library's x, which its users get by eval(); within an epoch the weights are its y, where gradients are taken."""
    run = prepare(plan(model=model("linear"), optimizer=optimizer("schedule_free_adamw"), epochs=2, shuffle=False, batch_size=20))
    state, method = start(run), learner(run)
    rows, targets = run.training.inputs, run.training.labels.targets
    theta, memory = state["weights"].copy(), defaultdict[str, Any](float)
    assert run.plan.optimizer is not None
    for t, first in enumerate((0, 20, 0, 20), start=1):
        x, y = with_ones(rows[first : first + 20]), targets[first : first + 20]
        theta = PUBLISHED["schedule_free_adamw"](theta, 2 * x.T @ (x @ theta - y) / 20, memory, t, **run.plan.optimizer.all)
    state = trained(run)
    np.testing.assert_allclose(state["weights"], memory["x"], rtol=1e-12)
    method.adopt(state)
    value = run.objective.value(method.training_predictions(state), run.training.labels)
    assert value == state["history"][-1, 0]


def test_an_optimizer_without_a_rate_has_none_in_its_history_and_takes_no_schedule() -> None:
    run = prepare(plan(optimizer=optimizer("rprop"), batch_size="full"))
    assert [epoch.learning_rate for epoch in history(run, trained(run))] == [None] * 5
    with pytest.raises(InvalidParameter, match="rprop has no use for schedule"):
        prepare(plan(optimizer=optimizer("rprop"), schedule=schedule("cosine")))
