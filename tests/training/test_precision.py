"""Networks in float32: the same runs in half the digits, and bit for bit where float64 is."""

from typing import Any

import numpy as np
import pytest

from app.errors import InvalidParameter
from app.losses import check, evaluate
from app.training import MODELS, OPTIMIZERS, Holdout, Learn, finish, fit, keep, prepare
from app.training.resuming import begin
from tests.training.plans import classes, loss, metric, mlp, model, optimizer, plan, regression, trained

SINGLE: dict[str, Any] = {"precision": "float32"}


def changes_of(name: str) -> dict[str, Any]:
    return {"optimizer": optimizer(name), "batch_size": None if OPTIMIZERS[name].full_batch else 8}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_the_way_that_it_goes_in_float64(name: str) -> None:
    changes = changes_of(name) | {"model": model("linear"), "l2": 0.01, "epochs": 3}
    double, single = (trained(prepare(plan(**changes, **more))) for more in ({}, SINGLE))
    assert double["weights"].dtype == np.float64
    assert {single[key].dtype for key in ("weights", "slots") if key in single} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single["history"][:, 0], double["history"][:, 0], rtol=1e-3)


@pytest.mark.parametrize("hidden", ["relu", "tanh", "gelu", "softplus", "sigmoid", "elu"])
def test_layers_of_any_kind_compute_in_it(hidden: str) -> None:
    changes: dict[str, Any] = {"model": mlp(5, 4, hidden_activation=hidden), "data": classes(), "epochs": 2}
    changes["loss"] = loss("categorical_cross_entropy", from_logits=True)
    double, single = (trained(prepare(plan(**changes, **more))) for more in ({}, SINGLE))
    np.testing.assert_allclose(single["weights"], double["weights"], atol=2e-5)


def test_losses_are_those_of_evaluate_in_float64() -> None:
    run = prepare(
        plan(classes(), loss=loss("categorical_cross_entropy", from_logits=True), metrics=(metric("accuracy"),), **SINGLE)
    )
    state = trained(run)
    result = finish(run, state)
    assert result.predictions.dtype == np.float64
    targets = run.training.targets
    answer = evaluate(check(run.objective.loss, {"from_logits": True}, result.predictions, targets), reduction="mean")
    assert result.training_loss == pytest.approx(answer.value, rel=1e-12)


def test_repeats_predictions_and_runs_that_go_on_are_the_same_bits() -> None:
    changes: dict[str, Any] = {
        "data": regression(60),
        "model": mlp(6, dropout=0.3),
        "validation": Holdout(0.2),
        "patience": 50,
        "loss": loss("barron"),
        "learn": Learn(("alpha", "scale")),
        **SINGLE,
    }
    first, whole = prepare(plan(**changes, epochs=4)), prepare(plan(**changes, epochs=9))
    state = trained(first)
    again, ended = trained(whole), trained(whole)
    kept = keep(first, state, finish(first, state))
    going = prepare(plan(**changes, epochs=9, resume=kept))
    resumed = begin(going)
    assert len(list(fit(going, resumed))) == 5
    seconds = 4
    for key in ended:
        for other in (again, resumed):
            parts = [np.delete(array, seconds, axis=1) if key == "history" else array for array in (ended[key], other[key])]
            np.testing.assert_array_equal(parts[0], parts[1], key)
    result = finish(whole, ended)
    predicted = keep(whole, ended, result).predict(np.asarray(whole.plan.data.inputs)[whole.held_out])
    assert predicted.predictions.tolist() == result.predictions.tolist()


def test_a_run_in_another_precision_is_not_gone_on_with() -> None:
    run = prepare(plan(epochs=2))
    state = trained(run)
    with pytest.raises(InvalidParameter, match="float64") as refused:
        prepare(plan(epochs=4, resume=keep(run, state, finish(run, state)), **SINGLE))
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(("resume",), "does_not_fit")]


@pytest.mark.parametrize("name", [name for name, declared in MODELS.items() if not declared.optimized])
def test_trees_have_none(name: str) -> None:
    changes: dict[str, Any] = {"model": model(name), "optimizer": None, "batch_size": None}
    with pytest.raises(InvalidParameter, match="leave it out") as refused:
        prepare(plan(**changes, **SINGLE))
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [(("precision",), "unexpected")]
