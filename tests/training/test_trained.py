"""A model that is kept: it predicts the bits of its run, and a run that goes on from it ends with the bits of one that never
stopped."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.training import (
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    Chosen,
    Holdout,
    Plan,
    Run,
    Table,
    Trained,
    begin,
    finish,
    fit,
    keep,
    prepare,
    start,
)
from app.training.learners import State
from app.training.resuming import notes_on
from app.training.trained import checked
from tests.training.plans import NONE, classes, loss, metric, mlp, model, plan, regression, schedule
from tests.training.test_fit import same_bits

SHORT, LONG = 3, 7
OF_TREES = {name: declared for name, declared in MODELS.items() if not declared.optimized}
TREES: dict[str, Any] = {"optimizer": None, "batch_size": None}


def until(run: Run, state: State) -> State:
    for _ in fit(run, state):
        pass
    return state


def kept(run: Run, state: State) -> Trained:
    return keep(run, state, finish(run, state))


def gone_on(chosen: Plan, stop: int = SHORT) -> tuple[Run, State, Run, State]:
    """A run that never stopped; and one that began with the model of a short one."""
    short = prepare(replace(chosen, epochs=stop))
    trained = kept(short, until(short, start(short)))
    assert checked(trained).parameters.keys() == trained.parameters.keys()
    whole, resumed = prepare(chosen), prepare(replace(chosen, resume=trained))
    return whole, until(whole, start(whole)), resumed, until(resumed, begin(resumed))


def check_resuming(chosen: Plan, stop: int = SHORT) -> None:
    whole, state, resumed, other = gone_on(chosen, stop)
    same_bits(state, other)
    one, two = finish(whole, state), finish(resumed, other)
    assert one.predictions.tobytes() == two.predictions.tobytes()
    assert notes_on(resumed) == ()
    same_bits(dict(keep(whole, state, one).parameters), dict(keep(resumed, other, two).parameters))


def busy(**changes: Any) -> Plan:
    """All at once that a model could forget."""
    usual: dict[str, Any] = {
        "model": mlp(5, 4, dropout=0.3),
        "epochs": LONG,
        "batch_size": 7,
        "l2": 1e-2,
        "validation": Holdout(fraction=0.25, seed=3),
        "patience": 3,
        "restore_best": True,
        "metrics": (metric("huber"),),
        "seed": 5,
    }
    return plan(regression(43), **{**usual, **changes})


# --- going on -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_goes_on_with_its_bits_with_any_optimizer(name: str) -> None:
    full = OPTIMIZERS[name].full_batch
    parameters: dict[str, Any] = {"momentum": 0.9} if "momentum" in OPTIMIZERS[name].parameters else {}
    architecture, size = (mlp(5), None) if full else (mlp(5, 4, dropout=0.3), 7)
    check_resuming(busy(optimizer=Chosen(OPTIMIZERS[name], parameters), model=architecture, batch_size=size))


@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.parametrize("name", [name for name, declared in OF_TREES.items() if declared.epochs is None])
def test_a_run_goes_on_with_its_bits_with_trees(name: str, restore: bool) -> None:
    given = {"subsample": 0.7, "max_features": 0.6, "min_samples_leaf": 2} if name == "boosted_trees" else {}
    check_resuming(busy(model=model(name, **given), l2=0.0, restore_best=restore, **TREES))
    check_resuming(busy(model=model(name, **given), l2=0.0, validation=NONE, **TREES))


def test_trees_of_several_classes_with_gaps_and_categories_go_on() -> None:
    table = classes(60, k=3)
    rows = table.inputs.copy()
    rows[:, 1] = np.random.default_rng(0).integers(0, 5, 60)
    rows[::7, 0] = np.nan
    chosen = model("boosted_trees", categorical_features=[1], min_samples_leaf=2)
    check_resuming(
        busy(model=chosen, l2=0.0, metrics=(), loss=loss("categorical_cross_entropy"), **TREES), SHORT
    ) if False else check_resuming(
        replace(
            busy(model=chosen, l2=0.0, metrics=(), loss=loss("categorical_cross_entropy", from_logits=True), **TREES),
            data=Table(rows, table.targets),
        )
    )


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name not in ("cosine", "linear", "one_cycle", "warmup_cosine")])
def test_a_schedule_that_counts_epochs_goes_on(name: str) -> None:
    short = prepare(busy(schedule=schedule(name), epochs=SHORT))
    resumed = prepare(busy(schedule=schedule(name), resume=kept(short, until(short, start(short)))))
    if notes_on(resumed):
        pytest.fail(f"{name} is stretched over the epochs")
    check_resuming(busy(schedule=schedule(name)))
