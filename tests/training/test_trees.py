"""Boosted trees against scikit-learn's, against a walk by hand, and by what each tree must do to the loss."""

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from app.errors import InvalidInput
from app.training import MODELS, Holdout, Run, Table, finish, fit, prepare, start, stopped
from app.training.activations import SIGMOID, SOFTMAX
from app.training.boosting import Boosting
from app.training.leaf_values import least_of_differences
from app.training.learners import State
from app.training.slopes import sums_of
from app.training.trees import Boosted
from tests.training.plans import NONE, Array, classes, inputs, loss, model, plan, regression, schedule, trained


def boosted(table: Table, name: str, epochs: int = 30, **changes: Any) -> Run:
    parameters = {key: changes.pop(key) for key in [*changes] if key in MODELS["boosted_trees"].parameters}
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


HIST: dict[str, Any] = {"max_iter": 30, "max_leaf_nodes": None, "early_stopping": False, "min_samples_leaf": 5}
SEVERAL_DEPTHS = pytest.mark.parametrize("max_depth", [1, 3, 5])


@SEVERAL_DEPTHS
@pytest.mark.parametrize("name", ["half_squared_error", "mean_squared_error"])
def test_squared_errors_are_boosted_as_in_scikit_learn(name: str, max_depth: int) -> None:
    """A rate of 0.1 is the same of r² and of ½r²: a leaf is the mean residual of its rows."""
    table, fresh = bent(), inputs(100, 4, seed=9)
    outside = Holdout(table=Table(fresh, np.zeros(100)))
    state = trained(boosted(table, name, max_depth=max_depth, min_samples_leaf=5, validation=outside))
    twin = HistGradientBoostingRegressor(max_depth=max_depth, **HIST).fit(table.inputs, table.targets)
    np.testing.assert_allclose(state["sums"][:, 0], twin.predict(table.inputs), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state["validation_sums"][:, 0], twin.predict(fresh), rtol=1e-5, atol=1e-5)


@SEVERAL_DEPTHS
def test_cross_entropies_are_boosted_as_in_scikit_learn(max_depth: int) -> None:
    for k, name in ((2, "binary_cross_entropy"), (3, "categorical_cross_entropy")):
        table = classes(200, k=k)
        for from_logits in (True, False):
            chosen = loss(name, from_logits=from_logits)
            run = boosted(table, name, loss=chosen, max_depth=max_depth, min_samples_leaf=5)
            result = finish(run, trained(run))
            twin = HistGradientBoostingClassifier(max_depth=max_depth, **HIST).fit(table.inputs, table.targets)
            predicted = result.predictions.reshape(200, -1)
            shares = (SIGMOID if k == 2 else SOFTMAX).of(predicted) if from_logits else predicted
            expected = twin.predict_proba(table.inputs)
            apart = np.abs(shares - (expected[:, 1:] if k == 2 else expected))
            assert np.median(apart) < 5e-3  # splits that gain the same but for a rounding may be others
            chosen_shares = expected[np.arange(200), np.asarray(table.targets, int)]
            assert result.training_loss == pytest.approx(-np.log(chosen_shares).mean(), rel=0.1)


def stumps(name: str, targets: list[float], epochs: int, **parameters: Any) -> tuple[Run, State]:
    n = len(targets) // 2
    table = Table(np.repeat([0.0, 1.0], n)[:, None], np.array(targets))
    chosen = loss(name, **{key: parameters.pop(key) for key in [*parameters] if key not in ("learning_rate",)})
    run = boosted(table, name, epochs, loss=chosen, max_depth=1, min_samples_leaf=1, **parameters)
    return run, trained(run)


def test_leaves_are_steps_of_newton_worked_by_hand() -> None:
    _, state = stumps("mean_squared_error", [1, 2, 3, 10, 11, 15], 10, learning_rate=0.1)
    np.testing.assert_allclose(state["history"][[0, 1, 9], 0], [22.916667, 19.069167, 5.7060831], rtol=1e-7)
    np.testing.assert_allclose(state["sums"][[0, 5], 0], [3.7433922, 10.2566078], rtol=1e-7)
    _, state = stumps("binary_cross_entropy", [0, 0, 0, 1, 1, 1, 1, 0], 2, learning_rate=1.0, from_logits=True)
    np.testing.assert_allclose(state["history"][0, 0], 0.5632617, rtol=1e-6)
    np.testing.assert_allclose(state["sums"][[0, 7], 0], [-1.0963391, 1.0963391], rtol=1e-7)
    for from_logits in (True, False):
        run, state = stumps(
            "categorical_cross_entropy",
            [0, 0, 0, 1, 1, 2, 0, 1, 2, 2, 2, 2],
            1,
            learning_rate=1.0,
            from_logits=from_logits,
        )
        shares = finish(run, state).predictions[[0, 7]]
        shares = SOFTMAX.of(shares) if from_logits else shares
        wanted = [[0.5670109, 0.3132936, 0.1196955], [0.1061597, 0.1080742, 0.7857662]]
        np.testing.assert_allclose(shares, wanted, atol=1e-7)


LEAVES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "mean_absolute_error": ({}, [4.0, 27.0]),  # medians
    "quantile": ({"quantile": 0.9}, [16.0, 243.0]),
    "huber": ({"delta": 5.0}, [5.0, 27.0]),
    "mean_squared_error": ({}, [6.2, 72.6]),
}


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_are_constants_of_least_loss(name: str) -> None:
    parameters, wanted = LEAVES[name]
    _, state = stumps(name, [1, 2, 4, 8, 16, 3, 9, 27, 81, 243], 1, learning_rate=1.0, **parameters)
    np.testing.assert_allclose(state["sums"][[0, 9], 0], wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["log_cosh", "huber", "cauchy", "quantile", "mean_absolute_error", "logistic", "binary_focal"])
def test_no_other_constant_of_a_leaf_costs_less(name: str) -> None:
    """Against scalar minimisation of each leaf's rows by SciPy; binary losses have both labels in each."""
    binary = name in ("logistic", "binary_focal")
    targets = [0.0, 1, 1, 0, 1, 1, 0, 0, 1, 0] if binary else [1.0, 2, 4, 8, 16, 3, 9, 27, 81, 243]
    run, state = stumps(name, targets, 1, learning_rate=1.0)
    for rows in (np.arange(5), np.arange(5, 10)):
        labels = run.training.labels.take(rows)

        def cost(constant: float, labels: Any = labels) -> float:
            return run.objective.value(run.objective.activation.of(np.full((5, 1), constant)), labels)

        reached = cost(float(state["sums"][rows[0], 0]))
        assert reached <= cost(float(state["constant"][0])) + 1e-12
        if name not in ("cauchy", "logistic"):  # several least losses; and a step of Newton's
            least = min(cost(constant) for constant in np.linspace(-20, 20 if binary else 260, 4001))
            assert reached <= least + 1e-9 * abs(least)


@pytest.mark.parametrize("level", [0.5, 0.75])
def test_a_quantile_of_many_leaves_is_found_in_a_few_looks(level: float) -> None:
    """Rows on either side of a leaf's constant pull as much each, so that one look tells where they are even."""
    rng = np.random.default_rng(0)
    leaf, corners = rng.integers(0, 12, 5000), rng.standard_cauchy(5000)
    looks = 0

    def slopes(constants: Array) -> tuple[Array, Array]:
        nonlocal looks
        looks += 1
        pulls = np.where(constants[leaf] > corners, 1.0 - level, -level) * (constants[leaf] != corners)
        return sums_of(leaf, pulls, 12)

    found = least_of_differences(slopes, leaf, corners, 12)
    wanted = [np.quantile(corners[leaf == number], level, method="averaged_inverted_cdf") for number in range(12)]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    assert looks <= 8


def test_a_tree_that_is_grown_leaves_nothing_to_collect() -> None:
    """What refers to itself stays until all of a process is looked through, which takes longer than the trees."""
    run = boosted(bent(), "mean_absolute_error", epochs=4)
    epochs = fit(run, start(run))
    next(epochs)
    gc.collect()
    next(epochs)
    assert gc.collect() == 0


def test_the_private_part_of_scikit_learn_is_as_it_was() -> None:
    """What app/training/bins.py stands on: arguments and attributes of the grower; another release has to be looked at."""
    from inspect import signature

    from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower, TreeNode

    wanted = """X_binned gradients hessians max_leaf_nodes max_depth min_samples_leaf min_gain_to_split min_hessian_to_split
        n_bins n_bins_non_missing has_missing_values is_categorical monotonic_cst interaction_cst l2_regularization
        feature_fraction_per_split rng shrinkage n_threads"""
    assert [*signature(TreeGrower).parameters] == wanted.split()
    codes = np.asfortranarray(np.repeat([[0], [1]], 30, axis=0).astype(np.uint8))
    slopes = np.repeat([1.0, -2.0], 30).astype(np.float32)
    grower = TreeGrower(codes, slopes, np.ones(1, np.float32), n_bins=256, n_bins_non_missing=np.array([2], np.uint32))
    grower.grow()
    assert isinstance(grower.root, TreeNode)
    root: Any = grower.root
    assert (grower.n_nodes, root.split_info.feature_idx, root.split_info.bin_idx) == (3, 0, 0)
    assert root.split_info.gain > 0
    assert [leaf.value for leaf in (root.left_child, root.right_child)] == [-1.0, 2.0]
    left = root.left_child
    assert sorted(np.asarray(grower.splitter.partition)[left.partition_start : left.partition_stop]) == [*range(30)]


# --- columns that are missing, named, or constrained ----------------------------------------------------------------------


def test_missing_inputs_go_where_they_gain_more() -> None:
    rows = np.where(np.arange(90) % 3 == 0, np.nan, np.arange(90.0) % 2)[:, None]
    targets = np.where(np.isnan(rows[:, 0]), 7.0, rows[:, 0])
    state = trained(boosted(Table(rows, targets), "mean_squared_error", epochs=3, learning_rate=1.0, min_samples_leaf=5))
    np.testing.assert_allclose(state["sums"][:, 0], targets, atol=1e-9)


def test_missing_inputs_are_boosted_as_in_scikit_learn() -> None:
    table = bent(300)
    holes = np.where(np.random.default_rng(1).random(table.inputs.shape) < 0.2, np.nan, table.inputs)
    state = trained(boosted(Table(holes, table.targets), "mean_squared_error", min_samples_leaf=5))
    twin = HistGradientBoostingRegressor(max_depth=3, **HIST).fit(holes, table.targets)
    np.testing.assert_allclose(state["sums"][:, 0], twin.predict(holes), atol=1e-5)


def test_categories_are_told_apart_in_sets() -> None:
    codes = np.arange(160.0) % 8
    targets = np.isin(codes, [1, 3, 4, 6]).astype(float)
    outside = Table(np.array([[3.0], [0.0], [77.0], [np.nan]]), np.zeros(4))
    run = boosted(
        Table(codes[:, None], targets),
        "mean_squared_error",
        epochs=1,
        learning_rate=1.0,
        max_depth=1,
        categorical_features=[0],
        validation=Holdout(table=outside),
    )
    state = trained(run)
    np.testing.assert_allclose(state["sums"][:, 0], targets, atol=1e-9)
    known, other, unseen, missing = state["validation_sums"][:, 0]
    assert (known, other) == (1.0, 0.0)
    assert unseen == missing
    plain = trained(boosted(Table(codes[:, None], targets), "mean_squared_error", epochs=1, learning_rate=1.0, max_depth=1))
    assert np.abs(plain["sums"][:, 0] - targets).max() > 0.2


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "quantile", "huber", "poisson_deviance"])
@pytest.mark.parametrize("sign", [1, -1])
def test_predictions_follow_their_constraints(name: str, sign: int) -> None:
    rows = inputs(300, 2, seed=4)
    targets = 3.0 + np.abs(np.sin(3 * rows[:, 0])) + rows[:, 1] ** 2 + np.random.default_rng(2).random(300)
    grid = np.column_stack([np.linspace(-3, 3, 60), np.full(60, 0.3)])
    run = boosted(
        Table(rows, targets), name, monotone_constraints=[sign, 0], validation=Holdout(table=Table(grid, np.ones(60))), epochs=40
    )
    result = finish(run, trained(run))
    assert (sign * np.diff(result.predictions) >= 0).all()
    assert np.ptp(result.predictions) > 0


def test_constraints_and_categories_by_name() -> None:
    table = replace(bent(), features=("a", "b", "c", "d"))
    by_name = trained(boosted(table, "mean_squared_error", epochs=5, monotone_constraints={"b": 1}))
    by_place = trained(boosted(table, "mean_squared_error", epochs=5, monotone_constraints=[0, 1, 0, 0]))
    np.testing.assert_array_equal(by_name["sums"], by_place["sums"])


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "too few signs": ({"monotone_constraints": [1]}, "monotone_constraints", "length"),
    "no such name": ({"monotone_constraints": {"z": 1}}, "monotone_constraints", "unknown_feature"),
    "no such column": ({"categorical_features": [9]}, "categorical_features", "out_of_range"),
    "column twice": ({"categorical_features": [1, 1]}, "categorical_features", "duplicate"),
    "ordered categories": (
        {"categorical_features": [0], "monotone_constraints": [1, 0, 0, 0]},
        "monotone_constraints",
        "does_not_fit",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_are_not_there_are_refused(case: str) -> None:
    parameters, field, code = REFUSED[case]
    table = replace(bent(), features=("a", "b", "c", "d"))
    with pytest.raises(InvalidInput) as caught:
        boosted(table, "mean_squared_error", **parameters)
    assert [(fault.path[:2], fault.code) for fault in caught.value.faults] == [(("model", field), code)]


def test_categories_are_whole_numbers_and_constraints_of_one_output() -> None:
    with pytest.raises(InvalidInput, match="whole numbers from 0 on"):
        boosted(bent(), "mean_squared_error", categorical_features=[2])
    with pytest.raises(InvalidInput, match="need one output"):
        boosted(classes(90), "categorical_cross_entropy", monotone_constraints=[1, 0, 0])


def test_settings_bound_what_a_tree_is() -> None:
    table = bent(400)

    def nodes(**parameters: Any) -> Any:
        return finish(run := boosted(table, "mean_squared_error", epochs=1, **parameters), trained(run)).parameters

    assert (nodes(max_depth=8, max_leaf_nodes=5, min_samples_leaf=1)["left"] < 0).sum() == 5
    assert len(np.unique(nodes(max_depth=1, max_bins=2)["threshold"])) == 2  # one, and that of the leaves
    many, few = nodes(max_depth=16, min_samples_leaf=1), nodes(max_depth=16, min_samples_leaf=40)
    assert len(many["left"]) > 300 > len(few["left"])
    small = nodes(l2_regularization=1e6)["value"]
    assert 0 < np.abs(small).max() < 1e-3


def test_importances_are_shares_of_the_gain() -> None:
    rows = inputs(300, 4)
    run = boosted(Table(rows, 3.0 * rows[:, 2] + 0.5 * rows[:, 0]), "mean_squared_error")
    found = finish(run, trained(run)).feature_importances
    assert found is not None
    assert found.sum() == pytest.approx(1.0, rel=1e-12)
    assert found[2] > 0.9 > 0.01 > found[1] + found[3]
    none = boosted(Table(rows[:10], rows[:10, 0]), "mean_squared_error", epochs=2)  # too few rows for a split
    assert not np.any(finish(none, trained(none)).feature_importances)


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


@pytest.mark.parametrize(("name", "newton"), [("categorical_cross_entropy", True), ("brier_score", False)])
def test_whether_leaves_are_steps_of_newton_follows_from_the_loss_and_not_from_the_rows(name: str, newton: bool) -> None:
    """Where a softmax is all but certain its slope hardly changes, and what is seen of that is rounding."""
    for n in range(30, 90):
        run = boosted(classes(n, k=3 if name == "categorical_cross_entropy" else 2), name)
        assert isinstance(run.model, Boosted)
        assert (Boosting(run, run.model).second_at_start is not None) == newton, n


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
    """The single leaf of a tree that cannot split is the mean of the rows that it has seen."""
    table = Table(np.zeros((100, 1)), np.arange(100.0))
    run = boosted(table, "mean_squared_error", epochs=8, learning_rate=1.0, subsample=0.3)
    drawn = np.cumsum(trained(run)["tree.value"][:, 0]) + 49.5
    assert len(set(drawn)) == 8
    np.testing.assert_allclose(drawn * 30, np.round(drawn * 30), atol=1e-9)
    assert (np.abs(drawn - 49.5) < 20).all()


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
    for number, first in enumerate(parameters["first_nodes"]):
        node = first
        while parameters["left"][node] >= 0:
            value = row[parameters["feature"][node]]
            left = parameters["missing_left"][node] > 0 if np.isnan(value) else value <= parameters["threshold"][node]
            node = first + parameters["left" if left else "right"][node]
        sums[number % len(sums)] += parameters["value"][node, 0]
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


def test_huge_numbers_are_scaled_before_they_are_compared() -> None:
    table = bent(40)
    scaled = boosted(Table(table.inputs * 1e100, table.targets), "mean_squared_error", epochs=3, standardize_inputs=True)
    assert stopped(scaled, trained(scaled)) == "completed"


@pytest.mark.parametrize("name", ["max_error", "median_absolute_error", "mean_absolute_percentage_error"])
def test_losses_of_few_rows_do_not_fail(name: str) -> None:
    run = boosted(bent(50), name, epochs=5, validation=NONE)
    assert len(list(fit(run, start(run)))) == 5
