"""What a run leaves: the kept model's numbers, which anyone can recompute from its parameters."""

from typing import Any

import numpy as np
import pytest

from app.losses import check, evaluate
from app.training import Chosen, Holdout, Result, Run, Table, finish, fit, prepare, start
from app.training.learners import State
from tests.training.plans import NONE, Array, classes, loss, metric, mlp, model, optimizer, plan, regression, trained


def forward(run: Run, result: Result, rows: Array) -> Array:
    """By hand, from a result's parameters: a relu network of rows in the caller's units, in the targets' units."""
    assert run.inputs_scale is not None
    units = (rows - run.inputs_scale.mean) / run.inputs_scale.deviation
    layers = len(result.parameters) // 2
    for number in range(1, layers + 1):
        units = units @ result.parameters[f"weights_{number}"] + result.parameters[f"biases_{number}"]
        if number < layers:
            units = np.maximum(units, 0.0)
    return units if run.targets_scale is None else units * run.targets_scale.deviation + run.targets_scale.mean


@pytest.mark.parametrize(
    "held", [NONE, Holdout(fraction=0.25), Holdout(table=regression(12, seed=5))], ids=["none", "share", "others"]
)
@pytest.mark.parametrize("architecture", [model("linear"), mlp(6, 4, dropout=0.2)], ids=["linear", "mlp"])
def test_predictions_follow_from_the_parameters(held: Holdout, architecture: Chosen) -> None:
    data = regression(40)
    run = prepare(plan(data, model=architecture, validation=held))
    result = finish(run, trained(run))
    assert run.inputs_scale is not None
    scaled = (run.validation or run.training).inputs
    rows = scaled * run.inputs_scale.deviation + run.inputs_scale.mean
    predictions = forward(run, result, rows)[:, 0]
    np.testing.assert_allclose(result.predictions, predictions, rtol=1e-10, atol=1e-12)


def test_losses_follow_from_the_predictions() -> None:
    run = prepare(
        plan(validation=Holdout(fraction=0.25), standardize_targets=False, metrics=(metric("mean_absolute_error"), metric("r2")))
    )
    result = finish(run, trained(run))
    assert run.validation is not None
    wanted = evaluate(check(run.plan.loss.thing, {}, result.predictions, run.validation.targets))
    assert result.validation_loss == pytest.approx(wanted.value, rel=1e-14)
    np.testing.assert_allclose(result.per_sample, np.asarray(wanted.per_sample), rtol=1e-14)
    residual = result.predictions - run.validation.targets
    assert result.metrics["mean_absolute_error"][1] == pytest.approx(np.abs(residual).mean(), rel=1e-13)
    share = 1 - (residual**2).sum() / ((run.validation.targets - run.validation.targets.mean()) ** 2).sum()
    assert result.metrics["r2"][1] == pytest.approx(share, rel=1e-10)


@pytest.mark.parametrize("restore", [True, False])
def test_it_is_the_best_epoch_or_the_last(restore: bool) -> None:
    """Noise as targets: the validation loss rises sooner or later."""
    data = Table(regression(40).inputs, np.random.default_rng(1).normal(size=40))
    fast = optimizer("adam", learning_rate=0.1)
    run = prepare(
        plan(data, validation=Holdout(fraction=0.5), epochs=25, restore_best=restore, optimizer=fast, metrics=(metric("huber"),))
    )
    state = start(run)
    epochs = list(fit(run, state))
    losses = [epoch.validation_loss or 0.0 for epoch in epochs]
    best = int(np.argmin(losses)) if restore else len(losses) - 1
    assert 0 < int(np.argmin(losses)) < len(losses) - 1
    result = finish(run, state)
    assert result.epoch == best + 1
    assert (result.training_loss, result.validation_loss) == (epochs[best].training_loss, epochs[best].validation_loss)
    assert result.metrics == epochs[best].metrics


def test_the_rows_that_are_shown_are_those_that_validate_if_there_are_any() -> None:
    run = prepare(plan(validation=NONE))
    result = finish(run, trained(run))
    assert (result.predictions.shape, result.per_sample.shape, result.validation_loss) == ((40,), (40,), None)
    run = prepare(plan(classes(40), loss=loss("categorical_cross_entropy"), validation=Holdout(fraction=None, last=7)))
    result = finish(run, trained(run))
    assert (result.predictions.shape, result.per_sample.shape) == ((7, 3), (7,))
    assert result.validation_loss == pytest.approx(result.per_sample.mean())


def test_parameters_are_named_and_shaped() -> None:
    run = prepare(plan(model=mlp(5, 4)))
    shapes = {name: array.shape for name, array in finish(run, trained(run)).parameters.items()}
    assert shapes == {
        "weights_1": (3, 5),
        "biases_1": (5,),
        "weights_2": (5, 4),
        "biases_2": (4,),
        "weights_3": (4, 1),
        "biases_3": (1,),
    }


KINDS: dict[str, dict[str, Any]] = {
    "network": {"model": mlp(4, dropout=0.3)},
    "lbfgs": {"optimizer": optimizer("lbfgs", max_iter=2), "batch_size": None},
    "trees": {"model": model("boosted_trees", subsample=0.5), "optimizer": None, "batch_size": None},
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("restore", [True, False])
def test_looking_at_the_result_changes_nothing(changes: dict[str, Any], restore: bool) -> None:
    """Neither of the state nor of a run that goes on; and the result is a copy."""
    run = prepare(plan(**changes, restore_best=restore, validation=Holdout(fraction=0.2)))
    undisturbed = trained(run)
    state = start(run)
    for _ in fit(run, state):
        before = {key: array.copy() for key, array in state.items()}
        result = finish(run, state)
        _same(state, before)
        for array in (result.predictions, result.per_sample, *result.parameters.values()):
            array[...] = -7
        _same(state, before)
    assert state["epoch"] == undisturbed["epoch"]
    for key in state:
        if key != "history":
            assert state[key].tobytes() == undisturbed[key].tobytes(), key


def _same(state: State, before: State) -> None:
    assert state.keys() == before.keys()
    assert all(state[key].tobytes() == before[key].tobytes() for key in state)


def test_the_same_state_gives_the_same_result() -> None:
    run = prepare(plan(validation=Holdout(fraction=0.2)))
    state = trained(run)
    one, other = finish(run, state), finish(prepare(run.plan), state)
    assert one.predictions.tobytes() == other.predictions.tobytes()
    assert one.parameters.keys() == other.parameters.keys()
    assert all(one.parameters[name].tobytes() == other.parameters[name].tobytes() for name in one.parameters)


def test_before_the_first_epoch_it_is_the_model_as_it_was_drawn() -> None:
    run = prepare(plan())
    result = finish(run, start(run))
    assert result.epoch == 0
    assert np.isfinite(result.training_loss)
