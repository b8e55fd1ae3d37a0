"""Losses of several arrays: a head for each prediction, targets by name, and the losses of several tasks at once."""

from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.losses import COMPOSED, LOSSES, check, evaluate
from app.losses.composed import Head
from app.losses.form import bind
from app.training import Chosen, Holdout, Table, finish, prepare
from app.training.activations import within
from app.training.agreement import agree_on
from app.training.drawn import embeds
from app.training.objective import Labels, Objective, is_of_one, trainable
from app.training.side_by_side import together
from tests.folding import one_of_each
from tests.losses.drawing import Case, cases
from tests.training.plans import Array, inputs, loss, model, optimizer, plan, trained

SEVERAL = [
    case
    for case in cases()
    if trainable(case.loss) and not is_of_one(case.loss) and not embeds(case.loss) and not case.parameters
]
FIRST = {case.loss.name: case for case in reversed(SEVERAL)}
each_case = pytest.mark.parametrize("case", one_of_each(SEVERAL, lambda case: case.loss.family), ids=str)
each_loss = pytest.mark.parametrize("case", one_of_each(FIRST.values(), lambda case: case.loss.family), ids=str)
LBFGS: dict[str, Any] = {
    "model": model("linear"),
    "optimizer": optimizer("lbfgs"),
    "batch_size": None,
    "standardize_inputs": False,
}


def table_of(case: Case, arrays: dict[str, Array]) -> Table:
    """The targets as a table has them, and inputs that tell nothing of them."""
    wanted = case.loss.sides["targets"]
    if not any(input_.named for input_ in wanted.values()):
        return Table(inputs(len(arrays["targets"]), 2), np.asarray(arrays["targets"], np.float64))
    rows, named = together({name: arrays[name] for name in wanted})
    return Table(inputs(len(rows), 2), rows, named=named)


def agreed(case: Case, arrays: dict[str, Array]) -> tuple[Objective, Labels]:
    table = table_of(case, arrays)
    return agree_on(bind(case.loss, case.parameters), table.targets, None, named=table.named)


def multi_task(**heads: Any) -> Chosen:
    made = COMPOSED["multi_task"](heads=heads)
    return Chosen(COMPOSED["multi_task"], {}, made)


# --- values ------------------------------------------------------------------------------------------------------------


@each_case
def test_value_and_slope_are_those_of_evaluate(case: Case) -> None:
    arrays = case.draw(6, 1)
    objective, labels = agreed(case, arrays)
    rows = objective.activation.of(np.random.default_rng(3).normal(size=(6, objective.width)))
    by_name = objective.by_head(rows) if objective.heads else {"predictions": rows}
    assert isinstance(by_name, dict)
    shaped = {name: by_name[name].reshape(6, *arrays[name].shape[1:]) for name in case.loss.sides["predictions"]}
    answer = evaluate(case.batch(arrays | shaped), reduction="mean")
    assert objective.value(rows, labels) == pytest.approx(answer.value, rel=1e-12)
    np.testing.assert_allclose(objective.losses(rows, labels)[0], answer.per_sample.reshape(6, -1).mean(axis=1), rtol=1e-12)
    slope = np.empty_like(rows)
    objective.slope(rows, labels, slope)
    gradient = answer.gradient if isinstance(answer.gradient, dict) else {"predictions": answer.gradient}
    wanted = np.hstack([np.asarray(gradient[name]).reshape(6, -1) for name in shaped])
    np.testing.assert_allclose(slope, wanted, rtol=1e-10, atol=1e-13)


def test_several_tasks_cost_the_weighed_sum_of_each() -> None:
    real, labels = np.linspace(-1.0, 2.0, 8), np.arange(8.0) % 3
    rows, named = together({"size": real, "kind": labels})
    kind = bind(LOSSES["categorical_cross_entropy"], {"from_logits": True})
    chosen = multi_task(size=Head(bind(LOSSES["huber"], {}), weight=0.5), kind=Head(kind, log_variance=0.7))
    objective, taken = agree_on(chosen.bound, rows, None, named=named)
    assert objective.heads is not None
    assert objective.heads.shapes == {"size": (), "kind": (3,)}
    predictions = np.random.default_rng(0).normal(size=(8, 4))
    batches = [
        evaluate(check(LOSSES[name], parameters, shown, given))
        for name, parameters, shown, given in (
            ("huber", {}, predictions[:, 0], real),
            ("categorical_cross_entropy", {"from_logits": True}, predictions[:, 1:], labels),
        )
    ]
    wanted = 0.5 * batches[0].value + np.exp(-0.7) * batches[1].value + 0.35
    assert objective.value(predictions, taken) == pytest.approx(wanted, rel=1e-12)


# --- training ----------------------------------------------------------------------------------------------------------


def test_mean_and_variance_of_two_groups_by_hand() -> None:
    """The maximum likelihood of a normal distribution: mean 2 and 13, variance 1 and 9, loss 1/2 + ln(9)/4."""
    table = Table(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([1.0, 3.0, 10.0, 16.0]))
    run = prepare(plan(table, loss=loss("gaussian_nll"), epochs=20, **LBFGS))
    result = finish(run, trained(run))
    assert isinstance(result.by_head, dict)
    np.testing.assert_allclose(result.by_head["mean"], [2, 2, 13, 13], rtol=1e-6)
    np.testing.assert_allclose(result.by_head["variance"], [1, 1, 9, 9], rtol=1e-5)
    assert result.training_loss == pytest.approx(1.0493061, abs=5e-8)
    assert run.targets_scale is None


def test_trees_have_a_mean_and_a_variance_for_each_leaf() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(200) % 2
    table = Table(group[:, None].astype(float), np.where(group, 13.0, 2.0) + np.where(group, 3.0, 1.0) * rng.normal(size=200))
    trees = model("boosted_trees", learning_rate=1.0)
    run = prepare(plan(table, loss=loss("gaussian_nll"), model=trees, optimizer=None, batch_size=None, epochs=60))
    found = finish(run, trained(run)).by_head
    assert isinstance(found, dict)
    for label in (0, 1):
        own = np.asarray(table.targets)[group == label]
        assert found["mean"][group == label] == pytest.approx(own.mean(), rel=1e-4)
        assert found["variance"][group == label] == pytest.approx(own.var(), rel=1e-2)


@each_loss
def test_a_linear_model_comes_down(case: Case) -> None:
    table = table_of(case, case.draw(24, 2))
    changes: dict[str, Any] = {"model": model("linear"), "optimizer": optimizer("adam"), "validation": Holdout(fraction=0.25)}
    run = prepare(plan(table, loss=Chosen(case.loss, {}), **changes))
    losses = trained(run)["history"][:, 0]
    assert losses[-1] < losses[0]


def test_heads_learn_each_its_own_task() -> None:
    x = np.linspace(-1.0, 1.0, 40)
    rows, named = together({"size": 3.0 * x + 1.0, "sign": (x > 0.2).astype(float)})
    sign = bind(LOSSES["binary_cross_entropy"], {"from_logits": True})
    chosen = multi_task(size=Head(bind(LOSSES["mean_squared_error"], {})), sign=Head(sign))
    run = prepare(plan(Table(x[:, None], rows, named=named), loss=chosen, l2=1e-6, epochs=20, **LBFGS))
    found = finish(run, trained(run)).by_head
    assert isinstance(found, dict)
    np.testing.assert_allclose(found["size"], 3.0 * x + 1.0, atol=1e-4)
    assert ((found["sign"] > 0) == (x > 0.2)).all()


def test_grades_in_order_have_thresholds_of_their_own() -> None:
    x = np.linspace(-2.0, 2.0, 60)
    grades = np.digitize(x, [-1.0, 0.0, 1.0]).astype(float)
    run = prepare(plan(Table(x[:, None], grades), loss=loss("cumulative_link"), l2=1e-4, epochs=30, **LBFGS))
    found = finish(run, trained(run)).by_head
    assert isinstance(found, dict)
    assert found["thresholds"].shape == (60, 3)
    assert np.corrcoef(found["score"], x)[0, 1] > 0.99


# --- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(0.0, 1.999), (0.01, 1e6), (-1e100, 1e100), (1e-50, 1e50), (0.0, 1e4)])
def test_an_output_within_ends_is_there_and_has_the_slope_of_its_differences(ends: tuple[float, float]) -> None:
    activation = within(*ends)
    assert activation is not None
    with np.errstate(over="ignore"):  # as in a run
        far = activation.of(np.array([[-1e3, -800.0, 0.0, 800.0, 1e3]]))
    assert (far >= ends[0]).all()
    assert (far <= ends[1]).all()
    z = np.random.default_rng(0).normal(0.0, 2.0, (50, 2))
    slope = np.ones_like(z)
    activation.backward(slope, z, activation.of(z))
    np.testing.assert_allclose(slope, (activation.of(z + 1e-6) - activation.of(z - 1e-6)) / 2e-6, rtol=1e-6, atol=1e-8)


def test_no_output_is_within_an_interval_without_end() -> None:
    assert within(0.0, np.inf) is None


# --- refusals ----------------------------------------------------------------------------------------------------------

REAL = np.linspace(0.0, 1.0, 8)
PAIR, PAIRED = together({"a": REAL, "b": REAL})
TASKS = multi_task(a=Head(bind(LOSSES["mean_squared_error"], {})), c=Head(bind(LOSSES["mean_squared_error"], {})))
NORMAL = loss("gaussian_nll")
EXP = model("linear", output="exp")
ROWS = Table(inputs(8), REAL)
BOTH = Table(inputs(8), PAIR, named=PAIRED)
BAD: dict[str, tuple[Table, dict[str, Any], tuple[Any, ...], str]] = {
    "an object for one array": (BOTH, {}, ("data", "targets"), "are one array, not an object"),
    "an array for several": (ROWS, {"loss": loss("aft_nll")}, ("data", "targets"), "lower, upper"),
    "other heads": (BOTH, {"loss": TASKS}, ("data", "targets"), "for each head: a, c; got a, b"),
    "one output": (ROWS, {"loss": NORMAL, "model": EXP}, ("model", "output"), "of mean, variance"),
    "metrics": (ROWS, {"loss": NORMAL, "metrics": (loss("huber"),)}, ("metrics", 0), "leave metrics out"),
    "scaled targets": (ROWS, {"loss": NORMAL, "standardize_targets": True}, ("standardize_targets",), "units of their own"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_several_arrays_is_refused_where_it_stands(name: str) -> None:
    table, changes, path, words = BAD[name]
    with pytest.raises(InvalidInput) as refusal:
        prepare(plan(table, **changes))
    (fault,) = refusal.value.faults
    assert (fault.path, words in fault.message) == (path, True), fault


def test_a_head_that_is_refused_is_named() -> None:
    rows, named = together({"a": REAL, "b": REAL - 5.0})
    chosen = multi_task(a=Head(bind(LOSSES["mean_squared_error"], {})), b=Head(bind(LOSSES["poisson_deviance"], {})))
    with pytest.raises(InvalidInput) as refusal:
        prepare(plan(Table(inputs(8), rows, named=named), loss=chosen))
    assert refusal.value.faults[0].path == ("data", "targets", "b", 0)
