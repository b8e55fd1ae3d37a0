"""Decision trees and random forests: scikit-learn's trees, with the leaves that a loss wants."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from app.errors import InvalidInput
from app.training import Chosen, Holdout, Run, Table, finish, prepare, stopped
from app.training.activations import SOFTMAX
from app.training.diagnosis import diagnose
from app.training.learners import State
from tests.training.plans import NONE, classes, inputs, loss, model, plan, regression, trained


def grown(table: Table, chosen: Chosen, name: str = "decision_tree", epochs: int = 5, **changes: Any) -> tuple[Run, State]:
    parameters = {key: changes.pop(key) for key in [*changes] if key in model(name).thing.parameters}
    usual: dict[str, Any] = {"optimizer": None, "batch_size": None, "standardize_targets": False, "validation": NONE}
    run = prepare(plan(table, loss=chosen, model=model(name, **parameters), epochs=epochs, **{**usual, **changes}))
    return run, trained(run)


@pytest.mark.parametrize(
    ("name", "criterion"), [("mean_squared_error", "squared_error"), ("mean_absolute_error", "absolute_error")]
)
@pytest.mark.parametrize("max_depth", [1, 4, None])
def test_a_tree_of_quantities_is_that_of_scikit_learn(name: str, criterion: str, max_depth: int | None) -> None:
    table = regression(150, 4)
    run, state = grown(table, loss(name), max_depth=max_depth)
    twin = DecisionTreeRegressor(criterion=criterion, max_depth=max_depth, random_state=0).fit(table.inputs, table.targets)
    assert int(state["epoch"]) == 1  # whatever was asked for
    np.testing.assert_allclose(finish(run, state).predictions, twin.predict(table.inputs), rtol=1e-12)


@pytest.mark.parametrize("criterion", ["gini", "log_loss"])
def test_a_tree_of_classes_has_the_shares_of_scikit_learn(criterion: str) -> None:
    table = classes(150)
    run, state = grown(table, loss("categorical_cross_entropy", from_logits=True), max_depth=3, criterion=criterion)
    twin = DecisionTreeClassifier(criterion=criterion, max_depth=3, random_state=0).fit(table.inputs, table.targets)
    np.testing.assert_allclose(SOFTMAX.of(finish(run, state).predictions), twin.predict_proba(table.inputs), atol=1e-6)


def test_shares_of_pure_leaves_cost_what_a_share_of_one_in_ten_million_does() -> None:
    run, state = grown(classes(80, k=2), loss("binary_cross_entropy"))
    assert set(finish(run, state).predictions) == {1e-7, 1.0 - 1e-7}
    assert finish(run, state).training_loss == pytest.approx(1e-7, rel=1e-6)


@pytest.mark.parametrize("name", ["quantile", "huber", "log_cosh", "mean_squared_logarithmic_error", "poisson_deviance"])
def test_leaves_are_constants_of_least_loss(name: str) -> None:
    rows = np.repeat([0.0, 1.0], 9)[:, None]
    targets = np.r_[np.arange(1.0, 10.0), np.arange(2.0, 11.0) ** 2]
    run, state = grown(Table(rows, targets), loss(name), max_depth=1)
    result = finish(run, state)
    for side in (slice(0, 9), slice(9, 18)):
        labels = run.training.labels.take(side)
        reached = run.objective.value(result.predictions[side].reshape(-1, 1), labels)
        least = min(run.objective.value(np.full((9, 1), constant), labels) for constant in np.linspace(0.5, 150, 3000))
        assert reached <= least * (1.0 + 1e-9)


@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "binary_focal"])
def test_other_losses_of_classes_have_leaves_of_least_loss(name: str) -> None:
    run, state = grown(classes(120, k=2), loss(name), max_depth=3)
    model: Any = run.model
    assert model.rate != model.rate  # none
    assert finish(run, state).training_loss < 0.5 * run.objective.value(np.full((120, 1), 0.5), run.training.labels)


def test_a_forest_is_the_mean_of_its_trees() -> None:
    """Without chance in it every tree is the same; with it, errors are those of scikit-learn's forest."""
    table, fresh = regression(200, 4), regression(200, 4, seed=3)
    run, state = grown(table, loss("mean_squared_error"), "random_forest", 3, bootstrap=False)
    np.testing.assert_allclose(finish(run, state).predictions, np.asarray(table.targets), rtol=1e-12)
    run, state = grown(table, loss("mean_squared_error"), "random_forest", 40, validation=Holdout(table=fresh))
    assert len(state["trees"]) == 41
    result = finish(run, state)
    twin = RandomForestRegressor(40, random_state=0).fit(table.inputs, table.targets)
    assert result.validation_loss == pytest.approx(np.square(twin.predict(fresh.inputs) - fresh.targets).mean(), rel=0.15)


def test_a_forest_of_classes_averages_shares() -> None:
    table, fresh = classes(200), classes(200, seed=3)
    fresh = Table(inputs(100, 3, seed=5), np.asarray(table.targets)[:100])
    run, state = grown(
        table, loss("categorical_cross_entropy"), "random_forest", 60, max_depth=4, validation=Holdout(table=fresh)
    )
    shares = finish(run, state).predictions
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    twin = RandomForestClassifier(60, max_depth=4, random_state=0).fit(table.inputs, table.targets)
    assert np.abs(shares - twin.predict_proba(fresh.inputs)).mean() < 0.04


def test_missing_inputs_are_taken_as_scikit_learn_does() -> None:
    table = regression(200, 3)
    holes = np.where(np.random.default_rng(0).random((200, 3)) < 0.2, np.nan, table.inputs)
    run, state = grown(Table(holes, table.targets), loss("mean_squared_error"), max_depth=4)
    twin = DecisionTreeRegressor(max_depth=4, random_state=0).fit(holes, table.targets)
    np.testing.assert_allclose(finish(run, state).predictions, twin.predict(holes), rtol=1e-12)


def test_importances_are_those_of_scikit_learn() -> None:
    table = regression(150, 4)
    run, state = grown(table, loss("mean_squared_error"), max_depth=3)
    twin = DecisionTreeRegressor(max_depth=3, random_state=0).fit(table.inputs, table.targets)
    found = finish(run, state).feature_importances
    assert found is not None
    np.testing.assert_allclose(found, twin.feature_importances_, rtol=1e-9)


@pytest.mark.parametrize(
    ("criterion", "table", "name"),
    [("gini", regression(), "mean_squared_error"), ("poisson", regression(), "mean_squared_error")],
)
def test_a_criterion_that_does_not_fit_is_refused(criterion: str, table: Table, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        grown(table, loss(name), criterion=criterion)
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [(("model", "criterion"), "does_not_fit")]


@pytest.mark.parametrize("name", ["decision_tree", "random_forest"])
def test_a_diagnosis_is_there(name: str) -> None:
    run, state = grown(regression(200, 4), loss("mean_squared_error"), name, 20, validation=Holdout(fraction=0.3))
    assert stopped(run, state) == "completed"
    assert {finding.verdict for finding in diagnose(run, state)} <= {"converged", "overfitting"}
