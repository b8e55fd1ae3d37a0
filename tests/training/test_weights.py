"""What rows count: a row of weight 2 is that row twice; classes; and how rows are held out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from app.errors import InvalidInput
from app.training import Holdout, Table, finish, prepare
from app.training.splits import split
from tests.training.plans import NONE, Array, classes, loss, metric, model, optimizer, plan, regression, trained

TWICE = np.random.default_rng(7).integers(0, 4, 60).astype(float)
"""What each of 60 rows counts."""
WAYS: dict[str, dict[str, Any]] = {
    "lbfgs": {"model": model("linear"), "optimizer": optimizer("lbfgs"), "batch_size": None, "epochs": 20},
    "gradient descent": {
        "model": model("linear"),
        "optimizer": optimizer("gradient_descent", learning_rate=0.1),
        "batch_size": "full",
        "shuffle": False,
        "epochs": 30,
    },
    "boosted_trees": {"model": model("boosted_trees", min_samples_leaf=1), "optimizer": None, "batch_size": None, "epochs": 8},
    "decision_tree": {"model": model("decision_tree", max_depth=3), "optimizer": None, "batch_size": None},
}
LOSSES: dict[str, tuple[Table, tuple[str, ...]]] = {
    "mean_squared_error": (regression(60, 2), ("r2", "mean_absolute_error")),
    "root_mean_squared_error": (regression(60, 2), ("r2",)),
    "huber": (regression(60, 2), ()),
    "categorical_cross_entropy": (classes(60, 2), ("accuracy", "f1", "roc_auc")),
    "binary_cross_entropy": (classes(60, 2, k=2), ("accuracy", "f1", "roc_auc")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_row_of_weight_two_is_that_row_twice(name: str, way: str) -> None:
    table, metrics = LOSSES[name]
    repeated = np.repeat(np.arange(60), TWICE.astype(int))
    twin = Table(table.inputs[repeated], np.asarray(table.targets)[repeated])
    changes = {"loss": loss(name), "metrics": tuple(map(metric, metrics)), "validation": NONE, **WAYS[way]}
    runs = [prepare(plan(item, **changes)) for item in (replace(table, sample_weight=TWICE), twin)]
    weighted, whole = (finish(run, trained(run)) for run in runs)
    if way != "lbfgs":  # whose course depends on roundings
        np.testing.assert_allclose(weighted.predictions[repeated], whole.predictions, rtol=1e-6, atol=1e-7)
    assert weighted.training_loss == pytest.approx(whole.training_loss, rel=1e-6, abs=2e-8)
    for item in metrics:
        assert weighted.metrics[item][0] == pytest.approx(whole.metrics[item][0], rel=1e-6)


def test_steps_weigh_rows_by_their_multiple_of_the_mean() -> None:
    """Σwl / (rows · mean weight): a scale of all weights changes nothing, batch by batch."""
    table = regression(60, 2)
    runs = [prepare(plan(replace(table, sample_weight=TWICE * scale), batch_size=7)) for scale in (1.0, 8.0)]
    first, second = (trained(run)["weights"] for run in runs)
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_balanced_logistic_regression_by_hand() -> None:
    """Weight and bias of scikit-learn's LogisticRegression(class_weight="balanced"), to the digits that are published."""
    table = Table(np.arange(6.0)[:, None], np.array([0.0, 0, 0, 1, 0, 1]))
    run = prepare(
        plan(
            table,
            loss=loss("binary_cross_entropy", from_logits=True),
            model=model("linear"),
            optimizer=optimizer("lbfgs"),
            batch_size=None,
            standardize_inputs=False,
            validation=NONE,
            class_weight="balanced",
            l2=0.1,
            epochs=30,
        )
    )
    result = finish(run, trained(run))
    assert result.parameters["weights_1"].item() == pytest.approx(0.7120384, abs=2e-6)
    assert result.parameters["biases_1"].item() == pytest.approx(-2.0773637, abs=5e-6)
    assert result.training_loss == pytest.approx(0.4566119, abs=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_balanced_weights_are_those_of_scikit_learn(k: int) -> None:
    table = classes(80, k=k)
    name = "binary_cross_entropy" if k == 2 else "categorical_cross_entropy"
    run = prepare(plan(table, loss=loss(name), class_weight="balanced", validation=NONE))
    expected = compute_sample_weight("balanced", table.targets)
    assert run.training.row_weights is not None
    np.testing.assert_allclose(run.training.row_weights, expected, rtol=1e-12)
    assert run.training.sample_weight is None  # metrics and scales leave it out


def test_weights_of_classes_by_index_and_by_name() -> None:
    table = classes(60)
    names = ("a", "b", "c")
    words = Table(table.inputs, [names[int(label)] for label in np.asarray(table.targets)], names)
    chosen = loss("categorical_cross_entropy")
    expected = np.array([1.0, 4.0, 0.5])[np.asarray(table.targets, int)]
    for rows, given in ((table, [1.0, 4.0, 0.5]), (words, {"b": 4.0, "c": 0.5}), (table, {"1": 4.0, "2": 0.5})):
        run = prepare(plan(rows, loss=chosen, class_weight=given, validation=Holdout(fraction=0.3)))
        assert run.validation is not None
        counted = np.sort(np.r_[np.asarray(run.training.row_weights), np.asarray(run.validation.row_weights)])
        np.testing.assert_array_equal(counted, np.sort(expected))
    outside = Table(table.inputs, words.targets)
    run = prepare(plan(words, loss=chosen, class_weight={"b": 4.0, "c": 0.5}, validation=Holdout(table=outside)))
    assert run.validation is not None
    np.testing.assert_array_equal(np.asarray(run.validation.row_weights), expected)


REFUSED: dict[str, tuple[dict[str, Any], tuple[str | int, ...], str]] = {
    "unknown class": ({"class_weight": {"7": 2.0}}, ("class_weight", "7"), "unknown_class"),
    "too few": ({"class_weight": [1.0]}, ("class_weight",), "length"),
    "nothing left": ({"class_weight": [0.0, 0.0, 0.0]}, ("class_weight",), "no_samples"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_of_classes_that_are_not_there_are_refused(case: str) -> None:
    changes, path, code = REFUSED[case]
    with pytest.raises(InvalidInput) as caught:
        prepare(plan(classes(60), loss=loss("categorical_cross_entropy"), **changes))
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [(path, code)]
    with pytest.raises(InvalidInput) as caught:
        prepare(plan(regression(60), class_weight="balanced"))
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [(("class_weight",), "does_not_fit")]


@pytest.mark.parametrize(
    ("weights", "path", "code"),
    [
        (np.ones(59), ("data", "sample_weight"), "shape_mismatch"),
        (np.r_[np.ones(59), -1.0], ("data", "sample_weight", 59), "out_of_range"),
        (np.zeros(60), ("data", "sample_weight"), "no_samples"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Array, path: tuple[str | int, ...], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        prepare(plan(replace(regression(60), sample_weight=weights)))
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [(path, code)]


# --- rows that are held out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_stratified_split_has_its_share_of_each_class(seed: int, fraction: float) -> None:
    labels = np.random.default_rng(seed).choice(4, 97, p=[0.5, 0.3, 0.15, 0.05])
    kept, held = split(97, Holdout(fraction=fraction, seed=seed, split="stratified"), labels)
    assert sorted([*kept, *held]) == [*range(97)]
    assert len(held) == round(fraction * 97)
    counts = np.bincount(labels[held], minlength=4)
    assert (np.abs(counts - fraction * np.bincount(labels, minlength=4)) < 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_grouped_split_tears_no_group_apart(seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, 12, 100).tolist()
    kept, held = split(100, Holdout(fraction=0.3, seed=seed, split="grouped"), groups=groups)
    assert not {groups[row] for row in kept} & {groups[row] for row in held}
    assert sorted([*kept, *held]) == [*range(100)]
    assert 15 <= len(held) <= 45


def test_an_ordered_split_holds_the_last_rows() -> None:
    kept, held = split(10, Holdout(fraction=0.3, split="ordered"))
    assert (kept.tolist(), held.tolist()) == ([*range(7)], [7, 8, 9])


def test_splits_that_have_nothing_to_go_by_are_refused() -> None:
    for way, path in (("stratified", ("validation", "split")), ("grouped", ("data", "groups"))):
        with pytest.raises(InvalidInput) as caught:
            prepare(plan(regression(40), validation=Holdout(fraction=0.2, split=way)))
        assert caught.value.faults[0].path == path
    run = prepare(
        plan(classes(40), loss=loss("categorical_cross_entropy"), validation=Holdout(fraction=0.25, split="stratified"))
    )
    assert run.validation is not None
    assert run.validation.n == 10
