"""Boosted trees against scikit-learn's, against a walk by hand, and by what each tree must do to the loss."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from app.errors import InvalidArray
from app.training import Holdout, Run, Table, finish, fit, prepare, start, stopped
from app.training.activations import IDENTITY
from app.training.learners import State
from app.training.trees import Trees, leaves
from tests.training.plans import NONE, Array, classes, inputs, loss, model, plan, regression, schedule, trained


def boosted(table: Table, name: str, epochs: int = 30, **changes: Any) -> Run:
    parameters = {
        key: changes.pop(key) for key in ("learning_rate", "max_depth", "subsample", "min_samples_leaf") if key in changes
    }
    usual: dict[str, Any] = {
        "loss": loss(name),
        "model": model("boosted_trees", **parameters),
        "optimizer": None,
        "batch_size": None,
        "epochs": epochs,
        "standardize_inputs": False,
        "standardize_targets": False,
        "restore_best": False,
    }
    return prepare(plan(table, **{**usual, **changes}))


def bent(n: int = 200, seed: int = 0) -> Table:
    return regression(n, 4, seed)


# --- scikit-learn's ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "share"), [("half_squared_error", 1.0), ("mean_squared_error", 0.5)])
@pytest.mark.parametrize(("max_depth", "min_samples_leaf"), [(1, 1), (3, 5), (4, 7)])
def test_squared_errors_are_boosted_as_in_scikit_learn(name: str, share: float, max_depth: int, min_samples_leaf: int) -> None:
    """The slope of r² is twice that of ½r², which scikit-learn takes, and so its learning rate counts double.

    Leaves of a single row are left out: which of two columns tells it apart is a matter of chance.
    """
    table, fresh = bent(), inputs(100, 4, seed=9)
    run = boosted(
        table,
        name,
        learning_rate=0.2 * share,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        validation=Holdout(table=Table(fresh, np.zeros(100))),
    )
    state = trained(run)
    twin = GradientBoostingRegressor(
        n_estimators=30, learning_rate=0.2, max_depth=max_depth, min_samples_leaf=min_samples_leaf, random_state=0
    )
    twin.fit(table.inputs, table.targets)
    np.testing.assert_allclose(state["sums"][:, 0], twin.predict(table.inputs), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state["validation_sums"][:, 0], twin.predict(fresh), rtol=1e-10, atol=1e-10)


def test_leaves_are_where_scikit_learn_finds_them() -> None:
    """Also for numbers that differ only beyond single precision, in which both compare."""
    rows = np.round(inputs(500, 3), 1)
    rows[:, 0] *= 1.0 + 1e-9 * np.arange(500)
    tree = Trees(3, 2, IDENTITY, 0.1, 6, 1, 1.0).grow(rows, rows[:, :2] ** 2, 1.0, np.random.default_rng(0))
    twin = DecisionTreeRegressor(max_depth=6, random_state=int(np.random.default_rng(0).integers(2**31))).fit(
        rows, rows[:, :2] ** 2
    )
    fresh = rows + 0.03
    np.testing.assert_array_equal(leaves(tree, fresh), twin.predict(fresh))
    for feature, threshold in zip(tree["feature"], tree["threshold"], strict=True):
        fresh[:, feature] = threshold * (1.0 + np.arange(-250, 250) * 1e-10)
        np.testing.assert_array_equal(leaves(tree, fresh), twin.predict(fresh))


# --- by themselves --------------------------------------------------------------------------------------------------------

SMOOTH = ["mean_squared_error", "half_squared_error", "log_cosh", "huber", "root_mean_squared_error"]


@pytest.mark.parametrize("name", SMOOTH)
def test_every_tree_lowers_the_training_loss(name: str) -> None:
    run = boosted(bent(), name, epochs=40)
    losses = trained(run)["history"][:, 0]
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", ["binary_cross_entropy", "logistic", "exponential", "squared_hinge"])
def test_every_tree_lowers_the_loss_of_two_classes(name: str) -> None:
    table = classes(150, k=2)
    losses = trained(boosted(table, name, epochs=30))["history"][:, 0]
    assert (np.diff(losses) < 0).all()


def test_several_outputs_share_a_tree() -> None:
    table = classes(150)
    run = boosted(table, "categorical_cross_entropy", epochs=30)
    state = trained(run)
    assert state["sums"].shape == (150, 3)
    assert (np.diff(state["history"][:, 0]) < 0).all()
    result = finish(run, state)
    np.testing.assert_allclose(result.predictions.sum(axis=1), 1.0, rtol=1e-12)
    assert np.mean(result.predictions.argmax(axis=1) == table.targets) > 0.95


CONSTANTS = {
    "mean_squared_error": np.mean,
    "half_squared_error": np.mean,
    "root_mean_squared_error": np.mean,
    "mean_absolute_error": np.median,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_boosting_starts_from_the_best_constant(name: str) -> None:
    table = bent(201)
    got = start(boosted(table, name))["constant"]
    if name == "mean_absolute_error":  # the loss is flat around its least value
        targets = np.asarray(table.targets)
        best = np.abs(targets - np.median(targets)).mean()
        assert np.abs(targets - got).mean() < best * 1.001
    else:
        np.testing.assert_allclose(got, CONSTANTS[name](table.targets), rtol=1e-10)


def test_the_best_constant_of_classes_is_their_shares() -> None:
    table = classes(90)
    constant = start(boosted(table, "categorical_cross_entropy"))["constant"]
    shares = np.exp(constant) / np.exp(constant).sum()
    np.testing.assert_allclose(shares, np.bincount(np.asarray(table.targets, int)) / 90, rtol=1e-7)


@pytest.mark.parametrize("name", ["dice", "tversky", "binary_cross_entropy", "hinge"])
def test_a_least_loss_at_infinity_is_no_start(name: str) -> None:
    """Where a sigmoid is flat no tree would ever move."""
    flags = np.ones((60, 4)) if name == "binary_cross_entropy" else np.c_[np.ones((60, 3)), np.arange(60) % 2]
    run = boosted(Table(inputs(60), flags), name, epochs=10)
    losses = trained(run)["history"][:, 0]
    assert (np.diff(losses) < 0).all()


def test_a_share_of_the_rows_is_drawn_for_each_tree() -> None:
    rng = np.random.default_rng(0)
    rows, wanted = np.arange(100.0)[:, None], np.eye(100)
    seen = [Trees(1, 100, IDENTITY, 0.1, 1, 1, 0.3).grow(rows, wanted, 1.0, rng)["value"] for _ in range(5)]
    roots = [np.flatnonzero(seen_rows[0]) for seen_rows in seen]  # the mean of the rows that the root has seen
    assert [len(root) for root in roots] == [30] * 5
    assert len({tuple(root) for root in roots}) == 5


def test_rare_classes_pull_by_their_weight() -> None:
    table = classes(120, k=2)
    plain = trained(boosted(table, "categorical_cross_entropy", epochs=3))
    weighted = boosted(
        table, "categorical_cross_entropy", epochs=3, loss=loss("categorical_cross_entropy", class_weight=[1.0, 20.0])
    )
    pulled = trained(weighted)
    assert (pulled["sums"][:, 1] - pulled["sums"][:, 0]).mean() > (plain["sums"][:, 1] - plain["sums"][:, 0]).mean() + 1.0


# --- what is left behind --------------------------------------------------------------------------------------------------


def walk(parameters: Any, row: Array) -> Array:
    """The sums of one row, from the arrays of a result alone."""
    sums = np.array(parameters["constant"])
    for first in parameters["first_nodes"]:
        node = first
        while parameters["left"][node] >= 0:
            left = np.float32(row[parameters["feature"][node]]) <= parameters["threshold"][node]
            node = first + parameters["left" if left else "right"][node]
        sums = sums + parameters["value"][node]
    return sums


def test_the_parameters_of_a_result_are_the_whole_model() -> None:
    run = boosted(bent(80), "mean_squared_error", epochs=12, validation=Holdout(fraction=0.25))
    result = finish(run, trained(run))
    assert run.validation is not None
    assert result.parameters["first_nodes"].size == 12
    walked = np.array([walk(result.parameters, row)[0] for row in run.validation.inputs])
    np.testing.assert_allclose(result.predictions, walked, rtol=1e-13)
    assert all(array.dtype.kind in "fi" for array in result.parameters.values())


def test_the_best_number_of_trees_is_restored() -> None:
    table = bent(60)
    noise = Table(table.inputs, np.random.default_rng(3).permutation(np.asarray(table.targets)))
    run = boosted(table, "mean_squared_error", epochs=15, learning_rate=0.5, validation=Holdout(table=noise), restore_best=True)
    state = trained(run)
    result = finish(run, state)
    assert result.epoch < 15
    assert result.parameters["first_nodes"].size == result.epoch == int(state["best"][1])
    assert result.validation_loss == state["history"][:, 1].min() == state["best"][0]
    assert run.validation is not None
    walked = np.array([walk(result.parameters, row)[0] for row in run.validation.inputs])
    np.testing.assert_allclose(result.predictions, walked, rtol=1e-13)


def test_a_schedule_scales_each_tree() -> None:
    table = bent(100)
    state = trained(
        boosted(table, "mean_squared_error", epochs=4, learning_rate=0.4, schedule=schedule("exponential", decay=0.5))
    )
    plain: State = trained(boosted(table, "mean_squared_error", epochs=1, learning_rate=0.4))
    np.testing.assert_array_equal(state["history"][:, 2], [0.4, 0.2, 0.1, 0.05])
    first = int(state["trees"][1])
    np.testing.assert_array_equal(state["tree.value"][:first], plain["tree.value"])


def test_rows_of_one_kind_make_trees_of_one_leaf() -> None:
    run = boosted(Table(inputs(20), np.full(20, 3.0)), "mean_squared_error", epochs=3)
    state = trained(run)
    assert stopped(run, state) == "completed"
    np.testing.assert_allclose(state["sums"], 3.0, rtol=1e-12)


def test_numbers_beyond_single_precision_are_refused_where_they_stand() -> None:
    rows = inputs(20)
    rows[3, 1] = 1e39
    with pytest.raises(InvalidArray) as caught:
        boosted(Table(rows, rows[:, 0]), "mean_squared_error")
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [(("data", "inputs", 3, 1), "out_of_range")]
    rows = inputs(20)
    outside = rows.copy()
    outside[4, 2] = -1e300
    with pytest.raises(InvalidArray) as caught:
        boosted(Table(rows, rows[:, 0]), "mean_squared_error", validation=Holdout(table=Table(outside, rows[:, 0])))
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [
        (("validation", "table", "inputs", 4, 2), "out_of_range")
    ]


def test_huge_numbers_are_scaled_before_they_are_compared() -> None:
    table = bent(40)
    scaled = boosted(Table(table.inputs * 1e100, table.targets), "mean_squared_error", epochs=3, standardize_inputs=True)
    assert stopped(scaled, trained(scaled)) == "completed"


@pytest.mark.parametrize("name", ["max_error", "median_absolute_error", "mean_absolute_percentage_error"])
def test_losses_of_few_rows_do_not_fail(name: str) -> None:
    run = boosted(bent(50), name, epochs=5, validation=NONE)
    assert len(list(fit(run, start(run)))) == 5
