"""Training from a state: stopped and resumed it ends with the same bits; why it stops, and what it tells of each epoch."""

import io
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.training import (
    OPTIMIZERS,
    SCHEDULES,
    Chosen,
    Epoch,
    Holdout,
    Plan,
    Run,
    Table,
    finish,
    fit,
    history,
    prepare,
    start,
    stopped,
)
from app.training.fit import FIGURES
from app.training.learners import State, learner
from tests.conftest import ROOT
from tests.training.plans import (
    Array,
    classes,
    end,
    inputs,
    loss,
    metric,
    mlp,
    model,
    optimizer,
    plan,
    regression,
    schedule,
    trained,
)

SECONDS = FIGURES.index("seconds")
EPOCHS = 6


def saved(state: State) -> State:
    """The state after a journey through a file that holds plain arrays only."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def same_bits(one: State, other: State) -> None:
    """Every array of two states, the wall clock apart."""
    assert one.keys() == other.keys()
    for key, left in one.items():
        right = other[key]
        assert (left.dtype, left.shape) == (right.dtype, right.shape), key
        if key == "history":
            left, right = np.delete(left, SECONDS, axis=1), np.delete(right, SECONDS, axis=1)
        assert left.tobytes() == right.tobytes(), key


def check_resuming(chosen: Plan) -> State:
    """Stop after every epoch, save, load into a run prepared anew, go on: the end is that of the run that never stopped."""
    whole = trained(prepare(chosen))
    for stop in range(EPOCHS + 1):
        run = prepare(chosen)
        state = start(run)
        for _, _ in zip(range(stop), fit(run, state), strict=False):
            pass
        again = prepare(chosen)
        state = saved(state)
        for _ in fit(again, state):
            pass
        same_bits(state, whole)
        assert stopped(again, state) == stopped(run, whole)
    return whole


def busy(chosen: Chosen, architecture: Chosen, **changes: Any) -> Plan:
    """Everything at once that a state could forget."""
    usual: dict[str, Any] = {
        "optimizer": chosen,
        "model": architecture,
        "epochs": EPOCHS,
        "batch_size": 7,
        "l1": 0.0 if chosen.thing.average else 1e-3,
        "l2": 1e-2,
        "validation": Holdout(fraction=0.25, seed=3),
        "patience": 3,
        "min_delta": 1e-4,
        "restore_best": True,
        "metrics": (metric("huber"), metric("mean_absolute_error")),
        "seed": 5,
    }
    return plan(regression(43), **{**usual, **changes})


STEPPING = {name: optimizer for name, optimizer in OPTIMIZERS.items() if not optimizer.full_batch}
ARCHITECTURES = {"linear": model("linear", initialization="he_normal"), "mlp": mlp(6, 4, dropout=0.3)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", STEPPING)
def test_resuming_changes_no_bit_with_any_optimizer(name: str, architecture: str) -> None:
    chosen = Chosen(OPTIMIZERS[name], {"momentum": 0.9} if "momentum" in OPTIMIZERS[name].parameters else {})
    check_resuming(
        busy(
            chosen,
            ARCHITECTURES[architecture],
            clip_norm=0.5,
            clip_value=0.4,
            schedule=schedule("reduce_on_plateau", patience=0, factor=0.5, threshold=0.1) if chosen.thing.has_rate else None,
        )
    )


@pytest.mark.parametrize("name", [name for name, optimizer in OPTIMIZERS.items() if optimizer.full_batch])
@pytest.mark.parametrize("architecture", [model("linear"), mlp(5, hidden_activation="tanh")], ids=["linear", "mlp"])
def test_resuming_changes_no_bit_where_an_epoch_takes_all_rows(name: str, architecture: Chosen) -> None:
    check_resuming(busy(Chosen(OPTIMIZERS[name], {"max_iter": 3}), architecture, batch_size=None))


@pytest.mark.parametrize("name", SCHEDULES)
def test_resuming_changes_no_bit_with_any_schedule(name: str) -> None:
    whole = check_resuming(busy(optimizer("adam"), ARCHITECTURES["mlp"], schedule=schedule(name), patience=None))
    rates = whole["history"][:, FIGURES.index("learning_rate")]
    wanted = [0.001 * SCHEDULES[name](index, EPOCHS, whole["history"][:index, 1]) for index in range(EPOCHS)]
    np.testing.assert_array_equal(rates, wanted)


@pytest.mark.parametrize("subsample", [0.6, 1.0])
def test_resuming_changes_no_bit_with_trees(subsample: float) -> None:
    trees = model("boosted_trees", subsample=subsample, max_depth=2)
    chosen = busy(optimizer("adam"), trees, optimizer=None, batch_size=None, l1=0.0, l2=0.0, schedule=schedule("exponential"))
    whole = check_resuming(chosen)
    assert whole["trees"].size == int(whole["epoch"]) + 1 > 2


def test_resuming_changes_no_bit_with_classes_weights_and_full_batches() -> None:
    for size in ("full", 5):
        weighted = loss("categorical_cross_entropy", class_weight=[1.0, 2.0, 3.0], label_smoothing=0.1)
        check_resuming(
            plan(
                classes(31),
                loss=weighted,
                epochs=EPOCHS,
                batch_size=size,
                model=mlp(5, dropout=0.2),
                metrics=(metric("accuracy"),),
            )
        )


def test_resuming_after_the_end_changes_nothing() -> None:
    run = prepare(busy(optimizer("adam", learning_rate=0.5), ARCHITECTURES["linear"], patience=1, min_delta=10.0))
    whole = trained(run)
    assert stopped(run, whole) == "early_stopping"
    state = saved(whole)
    assert list(fit(run, state)) == []
    same_bits(state, whole)


def test_a_state_is_plain_arrays() -> None:
    for chosen in (
        busy(optimizer("adam"), mlp(3)),
        busy(optimizer("adam"), model("boosted_trees"), optimizer=None, batch_size=None, l1=0.0, l2=0.0),
    ):
        state = end_of(chosen)
        assert all(type(array) is np.ndarray and array.dtype.kind in "fiu" for array in state.values())
        assert {"rng", "epoch", "history", "best"} <= state.keys()
        assert {key.removeprefix("best.") for key in state if key.startswith("best.")} <= state.keys()


def end_of(chosen: Plan) -> State:
    return trained(prepare(chosen))


def elsewhere(kind: str) -> Plan:
    """The plan that another process makes as well."""
    if kind == "trees":
        return busy(optimizer("adam"), model("boosted_trees", subsample=0.7), optimizer=None, batch_size=None, l1=0.0, l2=0.0)
    return busy(optimizer("nadam"), ARCHITECTURES["mlp"], patience=None)


RESUMED = """
import numpy as np
from app.training import fit, prepare
from tests.training.test_fit import elsewhere
for kind in ("mlp", "trees"):
    with np.load(kind + ".npz", allow_pickle=False) as arrays:
        state = dict(arrays)
    for _ in fit(prepare(elsewhere(kind)), state):
        pass
    np.savez(kind + ".end.npz", **state)
"""


def test_another_process_resumes_with_the_same_bits(tmp_path: Path) -> None:
    for kind in ("mlp", "trees"):
        run = prepare(elsewhere(kind))
        state = start(run)
        for _, _ in zip(range(3), fit(run, state), strict=False):
            pass
        np.savez(tmp_path / kind, allow_pickle=False, **state)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # what the machine needs to compute right (OPENBLAS_CORETYPE) included
    subprocess.run([sys.executable, "-c", RESUMED], cwd=tmp_path, env=environment, timeout=60, check=True)
    for kind in ("mlp", "trees"):
        with np.load(tmp_path / f"{kind}.end.npz", allow_pickle=False) as arrays:
            same_bits(dict(arrays), end_of(elsewhere(kind)))


# --- seeds -------------------------------------------------------------------------------------------------------------


def test_a_run_is_its_plan() -> None:
    changes: dict[str, Any] = {"model": mlp(6, dropout=0.2), "validation": Holdout(fraction=0.2)}
    same_bits(end(**changes, seed=1), end(**changes, seed=1))
    assert end(**changes, seed=1)["weights"].tobytes() != end(**changes, seed=2)["weights"].tobytes()
    same_bits(
        end(model=model("boosted_trees", subsample=0.5), optimizer=None, batch_size=None),
        end(model=model("boosted_trees", subsample=0.5), optimizer=None, batch_size=None),
    )


def test_the_seed_draws_the_weights_and_not_the_validation_rows() -> None:
    one, other = (prepare(plan(seed=seed, validation=Holdout(fraction=0.2))) for seed in (1, 2))
    assert one.validation is not None
    assert other.validation is not None
    np.testing.assert_array_equal(one.validation.inputs, other.validation.inputs)
    assert not np.array_equal(start(one)["weights"], start(other)["weights"])


def test_the_seed_draws_the_order_of_the_rows() -> None:
    """Of a model that starts from 0 whatever the seed."""
    changes: dict[str, Any] = {"model": model("linear"), "epochs": 1}
    assert end(**changes, seed=1)["weights"].tobytes() != end(**changes, seed=2)["weights"].tobytes()
    in_order = [end(**changes, shuffle=False, seed=seed)["weights"].tobytes() for seed in (1, 2)]
    assert in_order[0] == in_order[1]


# --- the end ------------------------------------------------------------------------------------------------------------


def test_a_run_completes_after_its_epochs() -> None:
    run = prepare(plan(epochs=4))
    state = start(run)
    assert stopped(run, state) is None
    assert [epoch.epoch for epoch in fit(run, state)] == [1, 2, 3, 4]
    assert stopped(run, state) == "completed"


def rising(patience: int | None, **changes: Any) -> tuple[Run, State]:
    """The validation loss is least after epoch 1: the validation targets are the opposite of those trained on."""
    table = regression(40)
    opposite = Table(table.inputs, -np.asarray(table.targets))
    fast = optimizer("gradient_descent", learning_rate=0.01)
    run = prepare(
        plan(
            table,
            model=model("linear"),
            optimizer=fast,
            validation=Holdout(table=opposite),
            epochs=20,
            patience=patience,
            standardize_targets=False,
            **changes,
        )
    )
    return run, trained(run)


def test_a_schedule_watches_the_loss_that_patience_watches() -> None:
    plateau = schedule("reduce_on_plateau", patience=0, factor=0.5, threshold=0.0)
    column = FIGURES.index("learning_rate")
    _, state = rising(None, schedule=plateau, shuffle=False)
    np.testing.assert_allclose(state["history"][:4, column], [0.01, 0.01, 0.005, 0.0025])
    state = end(model=model("linear"), optimizer=optimizer("gradient_descent", learning_rate=0.01), schedule=plateau)
    np.testing.assert_array_equal(state["history"][:, column], 0.01)  # the training loss falls


@pytest.mark.parametrize("patience", [1, 2, 7])
def test_patience_is_epochs_without_improvement(patience: int) -> None:
    run, state = rising(patience)
    losses = state["history"][: int(state["epoch"]), 1]
    assert (np.diff(losses) > 0).all()
    assert stopped(run, state) == "early_stopping"
    assert int(state["epoch"]) == 1 + patience


def test_no_patience_at_all_stops_at_the_first_epoch_that_is_no_better() -> None:
    """As in Keras, where patience 0 and 1 are the same."""
    run, state = rising(0)
    assert (stopped(run, state), int(state["epoch"])) == ("early_stopping", 2)


def test_resuming_counts_on_where_it_stopped_being_patient() -> None:
    run, _ = rising(3)
    whole = check_resuming(replace(run.plan, epochs=EPOCHS))
    assert int(whole["epoch"]) == 4 < EPOCHS


def test_without_patience_a_run_goes_on() -> None:
    run, state = rising(None)
    assert stopped(run, state) == "completed"


def test_an_improvement_below_min_delta_is_none() -> None:
    """Every epoch improves by some 0.1 at first, and the best weights are followed all the same."""
    changes: dict[str, Any] = {"epochs": 12, "optimizer": optimizer("gradient_descent", learning_rate=0.01), "patience": 3}
    run = prepare(plan(**changes, min_delta=10.0))
    state = trained(run)
    assert stopped(run, state) == "early_stopping"
    assert int(state["epoch"]) == 4
    assert (state["best"][1], state["best"][3]) == (4, 1)
    np.testing.assert_array_equal(state["best.weights"], state["weights"])
    assert stopped(run, end(**changes, min_delta=0.0)) == "completed"


def test_small_improvements_add_up_to_min_delta() -> None:
    """What patience compares with is the loss of the epoch that it counts from, not the last one."""
    run = prepare(plan(epochs=10, optimizer=optimizer("gradient_descent", learning_rate=0.003), batch_size="full", patience=5))
    losses = trained(run)["history"][:, 0]
    assert (np.diff(losses) < 0).all()
    delta = float(losses[0] - losses[3])
    state = trained(prepare(replace(run.plan, min_delta=delta * 0.999)))
    assert state["best"][3] >= 4


def test_the_best_epoch_is_kept_whether_or_not_it_is_restored() -> None:
    for restore in (True, False):
        run, state = rising(5, restore_best=restore)
        assert state["best"][:2].tolist() == [state["history"][:, 1][:6].min(), 1.0]
        model_of = learner(run)
        kept = {**state, "weights": state["best.weights"].copy()}
        model_of.resume(kept, np.random.default_rng(0))
        assert run.validation is not None
        assert run.objective.value(model_of.validation_predictions(kept), run.validation.labels) == state["best"][0]
        assert finish(run, state).epoch == (1 if restore else 6)


# --- divergence ------------------------------------------------------------------------------------------------------------

DIVERGING = [
    ("sgd", {"learning_rate": 1e6, "momentum": 0.9}, mlp(8)),
    ("gradient_descent", {"learning_rate": 1e6}, model("linear")),
    ("adam", {"learning_rate": 1e6}, mlp(8, 8, hidden_activation="softplus")),
    ("rmsprop", {"learning_rate": 1e6}, mlp(8, hidden_activation="gelu")),
]


@pytest.mark.parametrize(("name", "parameters", "architecture"), DIVERGING, ids=[case[0] for case in DIVERGING])
@pytest.mark.parametrize("rate", [1e6, 1e30, 1e200])
def test_a_rate_that_is_far_too_high_ends_the_run_without_a_word(
    name: str, parameters: dict[str, Any], architecture: Chosen, rate: float
) -> None:
    """Warnings are errors here. The exponential loss turns any large score into an infinity."""
    chosen = optimizer(name, **{**parameters, "learning_rate": rate})
    table = Table(inputs(40), np.arange(40.0) % 2)
    run = prepare(
        plan(
            table,
            loss=loss("exponential"),
            optimizer=chosen,
            model=architecture,
            epochs=30,
            validation=Holdout(last=8, fraction=None),
            metrics=(metric("accuracy"), metric("hinge"), metric("roc_auc")),
        )
    )
    state = start(run)
    seen = list(fit(run, state))
    assert stopped(run, state) == "diverged"
    assert all(math.isfinite(epoch.training_loss) for epoch in seen)
    assert all(epoch.validation_loss is not None and math.isfinite(epoch.validation_loss) for epoch in seen)
    assert len(seen) == int(state["epoch"]) - 1
    assert history(run, state) == seen
    result = finish(run, state)
    assert result.epoch <= len(seen)
    assert math.isfinite(result.training_loss)
    assert np.isfinite(result.predictions).all()
    assert np.isfinite(result.per_sample).all()
    assert all(np.isfinite(parameter).all() for parameter in result.parameters.values())


def test_what_diverges_at_once_leaves_the_model_of_before_the_first_epoch() -> None:
    run = prepare(plan(optimizer=optimizer("gradient_descent", learning_rate=1e200), epochs=3))
    state = start(run)
    assert list(fit(run, state)) == []
    assert stopped(run, state) == "diverged"
    assert history(run, state) == []
    result = finish(run, state)
    assert result.epoch == 0
    first = run.model.named(start(run)["weights"])  # pyright: ignore[reportAttributeAccessIssue]
    for name, array in result.parameters.items():
        np.testing.assert_array_equal(array, first[name])


def test_a_loss_of_validation_rows_that_is_infinite_ends_the_run_as_well() -> None:
    table, far = Table(inputs(40), np.arange(40.0) % 2), Table(inputs(4) * 1e6, np.array([0.0, 1.0, 0.0, 1.0]))
    run = prepare(plan(table, loss=loss("exponential"), validation=Holdout(table=far)))
    state = start(run)
    assert list(fit(run, state)) == []
    assert stopped(run, state) == "diverged"
    assert np.isfinite(state["history"][0, 0])
    assert np.isinf(state["history"][0, 1])


def test_what_has_diverged_stays_so_after_a_journey() -> None:
    run = prepare(plan(optimizer=optimizer("gradient_descent", learning_rate=1e200), epochs=3))
    state = saved(trained(run))
    assert list(fit(run, state)) == []
    assert stopped(run, state) == "diverged"


def test_trees_diverge_without_a_word() -> None:
    """A rate of 1 on e^−yf makes margins, and then losses, explode: boosting stops, too."""
    table = Table(inputs(60), np.r_[np.arange(58.0) % 2, 1e308, -1e308])
    run = prepare(
        plan(
            table,
            model=model("boosted_trees", learning_rate=1.0),
            optimizer=None,
            batch_size=None,
            loss=loss("mean_squared_error"),
            standardize_targets=False,
            epochs=10,
        )
    )
    state = trained(run)
    assert stopped(run, state) == "diverged"
    finish(run, state)


# --- what is told of an epoch ------------------------------------------------------------------------------------------------


def test_an_epoch_is_measured_at_its_end() -> None:
    """Losses and metrics are those of the weights that the state then holds, on all rows, without dropout."""
    table = classes(50)
    chosen = plan(
        table,
        loss=loss("categorical_cross_entropy"),
        model=mlp(6, dropout=0.5),
        validation=Holdout(fraction=0.2),
        metrics=(metric("accuracy"), metric("brier_score")),
    )
    run = prepare(chosen)
    state = start(run)
    for epoch in fit(run, state):
        for rows, told, side in ((run.training, epoch.training_loss, 0), (run.validation, epoch.validation_loss, 1)):
            assert rows is not None
            shares = forward_by_hand(run, state, rows.inputs)
            truth = rows.targets.astype(int)
            assert told == pytest.approx(-np.log(shares[np.arange(rows.n), truth]).mean(), rel=1e-12)
            assert epoch.metrics["accuracy"][side] == np.mean(shares.argmax(axis=1) == truth)
            assert epoch.metrics["brier_score"][side] == pytest.approx(
                ((shares - np.eye(3)[truth]) ** 2).sum(axis=1).mean(), rel=1e-10
            )
        assert epoch.learning_rate == 0.01
        assert epoch.gradient_norm > 0
        assert 0 < epoch.seconds < 60


def forward_by_hand(run: Run, state: State, rows: Array) -> Array:
    named = run.model.named(state["weights"])  # pyright: ignore[reportAttributeAccessIssue]
    hidden = np.maximum(rows @ named["weights_1"] + named["biases_1"], 0.0)
    exponentials = np.exp(hidden @ named["weights_2"] + named["biases_2"])
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_history_is_what_was_yielded_also_after_a_journey() -> None:
    run = prepare(busy(optimizer("adam"), mlp(4), patience=None))
    state = start(run)
    seen = list(fit(run, state))
    assert history(run, state) == seen
    assert history(run, saved(state)) == seen
    assert len(seen) == EPOCHS


def test_what_does_not_exist_is_none() -> None:
    def only(**changes: Any) -> Epoch:
        run = prepare(plan(**changes))
        return next(fit(run, start(run)))

    assert only().validation_loss is None
    assert only(metrics=(metric("r2"),)).metrics["r2"][1] is None
    assert only(optimizer=optimizer("lbfgs"), batch_size=None).learning_rate is None
    assert only(model=model("boosted_trees", learning_rate=0.25), optimizer=None, batch_size=None).learning_rate == 0.25


def test_fitting_adds_to_the_state_and_may_be_left_at_any_epoch() -> None:
    run = prepare(plan(epochs=5))
    state = start(run)
    epochs = fit(run, state)
    assert int(state["epoch"]) == 0
    next(epochs)
    assert int(state["epoch"]) == 1
    next(epochs)
    assert int(state["epoch"]) == 2
    assert len(history(run, state)) == 2
