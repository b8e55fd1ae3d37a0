"""From a plan to a run: what is split, scaled and chosen, and what is refused, where and with which fix."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError, InvalidArray, InvalidParameter, Path
from app.losses import LOSSES
from app.training import DATASETS, Holdout, Limits, Plan, Run, Table, finish, prepare
from tests.training.plans import (
    NONE,
    Array,
    classes,
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

N = 40


ANY = Limits()


def refusal(chosen: Plan, limits: Limits = ANY) -> CallerError:
    with pytest.raises(CallerError) as caught:
        prepare(chosen, limits)
    return caught.value


def fault(chosen: Plan, limits: Limits = ANY) -> tuple[Path, str, str]:
    """The only fault of a plan."""
    (found,) = refusal(chosen, limits).faults
    return found.path, found.code, found.message


def table(rows: Any = None, targets: Any = None, names: list[str] | None = None) -> Table:
    usual = regression(N)
    return Table(usual.inputs if rows is None else np.asarray(rows), usual.targets if targets is None else targets, names)


# --- splitting ------------------------------------------------------------------------------------------------------------


def rows_of(run: Run) -> tuple[list[int], list[int]]:
    """Which rows are trained on and which are held out: row i has the target i."""
    held = [] if run.validation is None else run.validation.targets.astype(int).tolist()
    return run.training.targets.astype(int).tolist(), held


def split(held: Holdout, n: int = N) -> tuple[list[int], list[int]]:
    numbered = Table(np.c_[np.arange(float(n)), np.ones(n)], np.arange(float(n)), name="numbered")
    run = prepare(plan(numbered, validation=held, standardize_targets=False, standardize_inputs=False, batch_size=None))
    for rows in (run.training, run.validation):
        if rows is not None:
            np.testing.assert_array_equal(rows.inputs[:, 0], rows.targets)
            np.testing.assert_array_equal(rows.labels.targets, rows.targets)
    return rows_of(run)


@pytest.mark.parametrize(("n", "fraction", "held_out"), [(40, 0.2, 8), (10, 0.25, 2), (10, 0.15, 2), (7, 0.5, 4), (3, 0.34, 1)])
def test_a_fraction_is_drawn_and_both_parts_keep_their_order(n: int, fraction: float, held_out: int) -> None:
    kept, held = split(Holdout(fraction=fraction), n)
    assert len(held) == held_out
    assert kept == sorted(kept)
    assert held == sorted(held)
    assert sorted(kept + held) == list(range(n))


def test_a_fraction_is_drawn_by_its_seed() -> None:
    assert split(Holdout(fraction=0.2, seed=1)) == split(Holdout(fraction=0.2, seed=1))
    assert split(Holdout(fraction=0.2, seed=1)) != split(Holdout(fraction=0.2, seed=2))


def test_the_last_rows_are_the_last_rows() -> None:
    assert split(Holdout(fraction=None, last=13)) == (list(range(27)), list(range(27, 40)))


def test_nothing_is_held_out_where_nothing_is_asked_for() -> None:
    assert split(NONE) == (list(range(N)), [])


def test_other_rows_may_validate() -> None:
    other = regression(9, seed=1)
    run = prepare(plan(table(), validation=Holdout(table=other), standardize_inputs=False, standardize_targets=False))
    assert run.validation is not None
    assert run.training.n == N
    np.testing.assert_array_equal(run.validation.inputs, other.inputs)
    np.testing.assert_array_equal(run.validation.targets, other.targets)


@pytest.mark.parametrize(("n", "fraction", "part"), [(2, 0.1, "validate with"), (4, 0.9, "train on"), (1, 0.5, "validate with")])
def test_a_fraction_that_leaves_no_rows_is_refused(n: int, fraction: float, part: str) -> None:
    chosen = plan(
        Table(inputs(n), np.arange(float(n))), validation=Holdout(fraction=fraction), batch_size=None, standardize_inputs=False
    )
    path, code, message = fault(chosen)
    assert (path, code) == (("validation", "fraction"), "no_samples")
    assert part in message
    assert f"of {n} rows" in message
    assert "set validation to null" in message


@pytest.mark.parametrize("last", [N, N + 1])
def test_last_rows_that_leave_none_are_refused(last: int) -> None:
    path, code, message = fault(plan(table(), validation=Holdout(fraction=None, last=last)))
    assert (path, code) == (("validation", "last"), "no_samples")
    assert f"{last} of {N} rows" in message
    assert f"at most {N - 1}" in message


@pytest.mark.parametrize(
    ("held", "path"), [(Holdout(fraction=None, last=10), ("validation",)), (Holdout(fraction=None, last=30), ("data", "targets"))]
)
def test_rows_of_which_none_counts_are_refused(held: Holdout, path: Path) -> None:
    """Every label that is left is ignored: there is nothing to measure, or nothing to learn."""
    labels = (
        np.r_[np.arange(10.0) % 2, np.full(30, -100.0)] if held.last == 10 else np.r_[np.full(10, -100.0), np.arange(30.0) % 2]
    )
    chosen = plan(table(targets=labels), loss=loss("categorical_cross_entropy", ignore_index=-100), validation=held)
    found = fault(chosen)
    assert found[:2] == (path, "no_samples")


# --- scaling -------------------------------------------------------------------------------------------------------------


def test_scales_are_those_of_the_rows_that_are_trained_on() -> None:
    data = regression(N)
    data = Table(data.inputs * [1.0, 100.0, 1e-3] + [5.0, -7.0, 0.0], np.asarray(data.targets) * 3.0 + 50.0)
    other = Table(data.inputs[:6] * 2.0, np.asarray(data.targets)[:6] * 2.0)
    for held in (Holdout(fraction=None, last=15), Holdout(fraction=0.3), Holdout(table=other)):
        run = prepare(plan(data, validation=held))
        assert run.inputs_scale is not None
        assert run.targets_scale is not None
        assert run.validation is not None
        np.testing.assert_allclose(run.training.inputs.mean(axis=0), 0.0, atol=1e-13)
        np.testing.assert_allclose(run.training.inputs.std(axis=0), 1.0, rtol=1e-12)
        assert run.training.targets.mean() == pytest.approx(0.0, abs=1e-13)
        assert run.training.targets.std() == pytest.approx(1.0, rel=1e-12)
        np.testing.assert_array_equal(run.training.labels.targets, run.training.targets)
        back = run.validation.inputs * run.inputs_scale.deviation + run.inputs_scale.mean
        source = other.inputs if held.table else data.inputs
        assert all(np.isclose(row, source, rtol=1e-12).all(axis=1).any() for row in back)
        assert np.abs(run.validation.inputs.mean(axis=0)).max() > 1e-3  # its own means are not what was taken away
        back = run.validation.targets * run.targets_scale.deviation + run.targets_scale.mean
        assert np.isin(back.round(9), np.round(np.asarray(other.targets if held.table else data.targets), 9)).all()


def test_predictions_are_given_in_the_targets_own_units() -> None:
    data = regression(N)
    data = Table(data.inputs, np.c_[np.asarray(data.targets) * 30.0 + 500.0, data.inputs[:, 1] * 1e-3])
    run = prepare(plan(data, model=model("linear"), optimizer=optimizer("lbfgs"), batch_size=None, epochs=3))
    result = finish(run, trained(run))
    x = np.c_[data.inputs, np.ones(N)]
    wanted = x @ np.linalg.lstsq(x, np.asarray(data.targets, np.float64), rcond=None)[0]
    np.testing.assert_allclose(result.predictions, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "standardized"),
    [
        ("mean_squared_error", True),
        ("huber", True),
        ("quantile", True),
        ("median_absolute_error", True),
        ("max_error", True),
        ("mean_absolute_percentage_error", False),
        ("gamma_deviance", False),
        ("mean_squared_logarithmic_error", False),
        ("poisson_nll", False),
    ],
)
def test_targets_are_standardized_where_the_loss_looks_at_differences_only(name: str, standardized: bool) -> None:
    """A percentage of a standardized target is a percentage of nothing."""
    positive = np.abs(np.asarray(regression(N).targets)) + 1.0
    run = prepare(plan(table(targets=positive), loss=loss(name)))
    assert (run.targets_scale is not None) == standardized


def test_labels_are_not_standardized_though_a_loss_takes_them_for_numbers() -> None:
    for labels in (classes(N, k=2).targets, np.asarray(classes(N, k=2).targets) * 2 - 1):
        assert prepare(plan(table(targets=labels))).targets_scale is None
    assert prepare(plan(table(targets=classes(N).targets, names=["a", "b", "c"]))).targets_scale is None


def test_standardizing_targets_can_be_asked_for_or_forbidden() -> None:
    labels = np.asarray(classes(N, k=2).targets)
    run = prepare(plan(table(targets=labels), standardize_targets=True))
    assert run.training.targets.std() == pytest.approx(1.0)
    assert prepare(plan(standardize_targets=False)).targets_scale is None


@pytest.mark.parametrize("name", ["gamma_deviance", "poisson_nll", "mean_squared_logarithmic_error"])
def test_targets_that_cannot_be_standardized_are_refused_with_the_fix(name: str) -> None:
    positive = np.abs(np.asarray(regression(N).targets)) + 1.0
    path, code, message = fault(plan(table(targets=positive), loss=loss(name), standardize_targets=True))
    assert (path, code) == (("standardize_targets",), "targets")
    assert "set standardize.targets to false" in message


def test_class_names_cannot_be_standardized() -> None:
    names = [["a", "b"][int(label)] for label in np.asarray(classes(N, k=2).targets)]
    path, _, message = fault(plan(table(targets=names, names=["a", "b"]), loss=loss("hinge"), standardize_targets=True))
    assert path == ("standardize_targets",)
    assert "set standardize.targets to false" in message


# --- constant columns ---------------------------------------------------------------------------------------------------------


def constant(columns: list[int], value: float = 0.1, n: int = N) -> Array:
    rows = inputs(n, 4)
    rows[:, columns] = value
    return rows


@pytest.mark.parametrize("columns", [[2], [0, 3]])
def test_columns_that_tell_nothing_are_refused_by_number(columns: list[int]) -> None:
    path, code, message = fault(plan(table(constant(columns))))
    assert (path, code) == (("data", "inputs"), "constant_column")
    assert all(str(column) in message for column in columns)
    assert "set standardize.inputs to false" in message
    assert "remove" in message


def test_constant_columns_are_taken_as_they_are_without_standardizing() -> None:
    run = prepare(plan(table(constant([2])), standardize_inputs=False))
    np.testing.assert_array_equal(run.training.inputs[:, 2], 0.1)


def test_constant_columns_of_a_dataset_are_moved_to_zero() -> None:
    """Some pixels of the digits are always empty."""
    digits = DATASETS["digits"](n_class=3)
    named = Table(digits.inputs, digits.targets, digits.classes, name="digits")
    run = prepare(plan(named, loss=loss("categorical_cross_entropy"), validation=Holdout(fraction=0.2)))
    dead = np.flatnonzero(digits.inputs.min(axis=0) == digits.inputs.max(axis=0))
    assert dead.size
    assert not run.training.inputs[:, dead].any()
    assert run.validation is not None
    assert not run.validation.inputs[:, dead].any()
    assert np.isfinite(run.training.inputs).all()


def test_columns_that_are_constant_where_they_are_trained_on_only_move() -> None:
    rows = inputs(N, 3)
    rows[:30, 1] = 0.1
    run = prepare(plan(table(rows), validation=Holdout(fraction=None, last=10)))
    assert run.validation is not None
    assert not run.training.inputs[:, 1].any()
    np.testing.assert_allclose(run.validation.inputs[:, 1], rows[30:, 1] - 0.1, rtol=1e-12)


# --- inputs and targets that are refused ------------------------------------------------------------------------------------

WRONG_TABLES: dict[str, tuple[Table, Path, str, str]] = {
    "one axis": (Table(np.ones(5), np.ones(5)), ("data", "inputs"), "shape", "(5,)"),
    "three axes": (Table(np.ones((5, 2, 2)), np.ones(5)), ("data", "inputs"), "shape", "(5, 2, 2)"),
    "no rows": (Table(np.ones((0, 2)), np.ones(0)), ("data", "inputs"), "empty", "(0, 2)"),
    "no columns": (Table(np.ones((5, 0)), np.ones(5)), ("data", "inputs"), "empty", "(5, 0)"),
    "fewer targets": (Table(inputs(5), np.ones(4)), ("data", "targets"), "shape_mismatch", "5, not 4"),
    "fewer names": (Table(inputs(3), ["a", "b"], ["a", "b"]), ("data", "targets"), "shape_mismatch", "3, not 2"),
    "targets of three axes": (Table(inputs(5), np.ones((5, 2, 2))), ("data", "targets"), "shape", "(5, 2, 2)"),
    "targets without columns": (Table(inputs(5), np.ones((5, 0))), ("data", "targets"), "empty", "(5, 0)"),
    "a target": (Table(inputs(5), np.array(3.0)), ("data", "targets"), "shape", "()"),
}


@pytest.mark.parametrize("wrong", WRONG_TABLES.values(), ids=list(WRONG_TABLES))
def test_tables_that_are_none_are_refused(wrong: tuple[Table, Path, str, str]) -> None:
    data, path, code, words = wrong
    for chosen, place in ((plan(data), ("data",)), (plan(validation=Holdout(table=data)), ("validation", "table"))):
        found = fault(chosen)
        assert found[:2] == ((*place, *path[1:]), code)
        assert words in found[2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("standardized", [True, False, None])
def test_numbers_that_are_not_finite_are_named(bad: float, standardized: bool | None) -> None:
    rows, targets = inputs(N), np.asarray(regression(N).targets).copy()
    rows[4, 1] = rows[7, 0] = bad
    targets[3] = bad
    faults = refusal(plan(table(rows), standardize_targets=standardized)).faults
    assert [(fault.path, fault.code) for fault in faults] == [
        (("data", "inputs", 4, 1), "not_finite"),
        (("data", "inputs", 7, 0), "not_finite"),
    ]
    assert fault(plan(table(targets=targets), standardize_targets=standardized))[:2] == (("data", "targets", 3), "not_finite")
    assert fault(plan(validation=Holdout(table=table(targets=targets)), standardize_targets=standardized))[:2] == (
        ("validation", "table", "targets", 3),
        "not_finite",
    )
    wide = np.c_[targets, targets]
    faults = refusal(plan(table(targets=wide), standardize_targets=standardized)).faults
    assert [fault.path for fault in faults] == [("data", "targets", 3, 0), ("data", "targets", 3, 1)]


def test_numbers_that_overflow_when_they_are_scaled_are_refused() -> None:
    rows = inputs(N)
    rows[:, 1] *= 1e200
    path, code, message = fault(plan(table(rows)))
    assert (path, code) == (("data", "inputs"), "out_of_range")
    assert "set standardize.inputs to false" in message
    path, code, message = fault(plan(table(targets=np.asarray(regression(N).targets) * 1e200)))
    assert (path, code) == (("data", "targets"), "out_of_range")
    assert "set standardize.targets to false" in message
    rows = inputs(N)
    rows[:, 1] *= 1e-150
    rows[35, 1] = 1e200  # among the rows that validate
    assert fault(plan(table(rows), validation=Holdout(fraction=None, last=10)))[:2] == (("data", "inputs", 35, 1), "out_of_range")
    narrow = inputs(N) * 1e-150
    assert fault(plan(table(narrow), validation=Holdout(table=table(rows))))[:2] == (
        ("validation", "table", "inputs", 35, 1),
        "out_of_range",
    )
    targets = np.asarray(regression(N).targets) * 1e-150
    far = np.asarray(regression(N).targets) * 1e200
    found = fault(plan(table(targets=targets), validation=Holdout(table=table(targets=far[:1], rows=inputs(1)))))
    assert found[:2] == (("validation", "table", "targets", 0), "out_of_range")


# --- validation rows that are refused -----------------------------------------------------------------------------------------


def held(targets: Any, names: list[str] | None = None, columns: int = 3) -> Holdout:
    return Holdout(table=Table(inputs(len(targets), columns), targets, names))


def names_of(labels: list[int]) -> list[str]:
    return [["a", "b", "c"][label] for label in labels]


def test_validation_rows_have_the_columns_of_the_data() -> None:
    path, code, message = fault(plan(validation=held(np.ones(4), columns=2)))
    assert (path, code) == (("validation", "table", "inputs"), "shape_mismatch")
    assert "2 columns" in message
    assert "3 in data.inputs" in message


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        (np.array([0.0, 3.0]), ("validation", "table", "targets", 1)),
        (np.array([0.5, 1.0]), ("validation", "table", "targets", 0)),
        (np.eye(4)[:2], ("validation", "table", "targets")),
        (["a", "z"], ("validation", "table", "targets", 1)),
    ],
)
def test_validation_labels_are_those_of_the_data(labels: Any, path: Path) -> None:
    named = isinstance(labels, list)
    data = classes(N)
    whole = Table(data.inputs, names_of(np.asarray(data.targets, int).tolist()), ["a", "b", "c"]) if named else data
    refused = refusal(plan(whole, loss=loss("categorical_cross_entropy"), validation=held(labels, ["a", "z"] if named else None)))
    assert isinstance(refused, InvalidArray)
    assert refused.faults[0].path == path


def test_class_names_mean_the_same_in_validation_rows() -> None:
    """Whatever order they would have by themselves."""
    labels = np.asarray(classes(N).targets, int).tolist()
    data = Table(classes(N).inputs, names_of(labels), ["c", "a", "b"])
    for names in (["b", "a", "c"], ["b", "c"], None):
        run = prepare(plan(data, loss=loss("categorical_cross_entropy"), validation=held(["b", "c", "c"], names)))
        assert run.validation is not None
        np.testing.assert_array_equal(run.validation.labels.targets, [2, 0, 0])


def test_indices_with_other_class_names_are_refused() -> None:
    data = Table(classes(N).inputs, classes(N).targets, ["a", "b", "c"])
    path, code, message = fault(
        plan(data, loss=loss("categorical_cross_entropy"), validation=held(np.array([0.0, 1.0]), ["b", "a", "c"]))
    )
    assert (path, code) == (("validation", "table", "classes"), "unexpected")
    assert "a, b, c" in message
    prepare(plan(data, loss=loss("categorical_cross_entropy"), validation=held(np.array([0.0, 1.0]), ["a", "b", "c"])))


def test_class_names_are_refused_where_the_data_has_numbers() -> None:
    found = fault(plan(classes(N), loss=loss("categorical_cross_entropy"), validation=held(["a", "b"], ["a", "b"])))
    assert found[:2] == (("validation", "table", "targets"), "not_a_number")


# --- sizes and limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "n", "wanted"), [(None, 40, 32), (None, 10, 10), ("full", 40, 40), (40, 40, 40), (1, 40, 1)])
def test_the_size_of_a_batch(given: Any, n: int, wanted: int) -> None:
    assert prepare(plan(regression(n), batch_size=given)).batch_size == wanted


def test_a_batch_is_no_larger_than_what_is_trained_on() -> None:
    path, code, message = fault(plan(batch_size=33, validation=Holdout(fraction=0.2)))
    assert (path, code) == (("batch_size",), "out_of_range")
    assert "32 rows" in message
    assert '"full"' in message
    prepare(plan(batch_size=32, validation=Holdout(fraction=0.2)))


LIMITED: list[tuple[dict[str, Any], Limits, Path, str]] = [
    ({"epochs": 11}, Limits(epochs=10), ("epochs",), "at most 10"),
    ({"epochs": 10}, Limits(row_epochs=399), ("epochs",), "400; at most 399"),
    ({"model": mlp(10)}, Limits(parameters=50), ("model",), "3-10-1 has 51 parameters; at most 50"),
]


@pytest.mark.parametrize(("changes", "limits", "path", "words"), LIMITED, ids=["epochs", "rows", "parameters"])
def test_runs_beyond_a_limit_are_refused_and_those_at_it_are_not(
    changes: dict[str, Any], limits: Limits, path: Path, words: str
) -> None:
    found = fault(plan(**changes), limits)
    assert found[:2] == (path, "limit")
    assert words in found[2]
    one_more = replace(limits, **{name: value + 1 for name, value in vars(limits).items() if value < 1000})
    prepare(plan(**changes), one_more)


def test_a_model_that_is_refused_was_never_made() -> None:
    """Nine numbers ask for a gigabyte of weights."""
    assert fault(plan(model=mlp(4096, 4096, 4096)))[:2] == (("model",), "limit")


# --- parts that do not go together ------------------------------------------------------------------------------------------

TREES = {"model": model("boosted_trees"), "optimizer": None, "batch_size": None}
LBFGS = {"optimizer": optimizer("lbfgs"), "batch_size": None}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], Path, str]] = {
    "no optimizer": ({"optimizer": None}, ("optimizer",), "missing"),
    "trees with an optimizer": ({**TREES, "optimizer": optimizer("adam")}, ("optimizer",), "unexpected"),
    "trees in batches": ({**TREES, "batch_size": 8}, ("batch_size",), "unexpected"),
    "trees with penalties": ({**TREES, "l1": 0.1}, ("regularization",), "unexpected"),
    "trees with clipping": ({**TREES, "clip_norm": 1.0}, ("gradient_clipping",), "unexpected"),
    "lbfgs in batches": ({**LBFGS, "batch_size": 8}, ("batch_size",), "unexpected"),
    "lbfgs with a schedule": ({**LBFGS, "schedule": schedule("cosine")}, ("schedule",), "unexpected"),
    "lbfgs with clipping": ({**LBFGS, "clip_value": 1.0}, ("gradient_clipping",), "unexpected"),
    "lbfgs with dropout": ({**LBFGS, "model": mlp(3, dropout=0.1)}, ("model", "dropout"), "unexpected"),
}


@pytest.mark.parametrize(("changes", "path", "code"), CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_settings_without_a_meaning_are_refused(changes: dict[str, Any], path: Path, code: str) -> None:
    refused = refusal(plan(**changes))
    assert isinstance(refused, InvalidParameter)
    assert [(fault.path, fault.code) for fault in refused.faults] == [(path, code)]


@pytest.mark.parametrize(
    "changes",
    [
        {**TREES, "batch_size": "full"},
        {**TREES, "schedule": schedule("cosine")},
        {**LBFGS, "batch_size": "full"},
        {**LBFGS, "l1": 0.1, "l2": 0.1},
    ],
)
def test_settings_with_a_meaning_are_taken(changes: dict[str, Any]) -> None:
    prepare(plan(**changes))


# --- metrics ----------------------------------------------------------------------------------------------------------------


def test_a_metric_is_asked_for_once() -> None:
    path, code, message = fault(plan(metrics=(metric("r2"), metric("huber"), metric("huber", delta=2.0))))
    assert (path, code) == (("metrics", 2), "duplicate")
    assert "huber" in message


def test_a_metric_that_does_not_fit_is_named_by_its_place() -> None:
    refused = refusal(plan(classes(N), loss=loss("categorical_cross_entropy"), metrics=(metric("accuracy"), metric("r2"))))
    assert refused.faults[0].path == ("metrics", 1)
    assert "accuracy" in refused.faults[0].message


def test_a_parameter_that_is_refused_is_named_where_the_plan_has_it() -> None:
    positive = table(targets=np.abs(np.asarray(regression(N).targets)) + 1)
    tweedie = loss("tweedie_deviance", power=0.5)
    with pytest.raises(InvalidParameter) as caught:  # the kernel says so
        trained(prepare(plan(positive, loss=tweedie)))
    assert caught.value.faults[0].path == ("loss", "power")
    scored = plan(positive, loss=loss("gamma_deviance"), metrics=(metric("r2"), metric("tweedie_deviance", power=0.5)))
    assert refusal(scored).faults[0].path == ("metrics", 1, "power")


def test_metrics_know_classes_that_do_not_occur() -> None:
    data = Table(classes(N).inputs, classes(N).targets, ["a", "b", "c", "d"])
    prepare(plan(data, loss=loss("categorical_cross_entropy"), metrics=(metric("accuracy"), metric("brier_score"), metric("f1"))))


# --- warnings ---------------------------------------------------------------------------------------------------------------


def test_targets_that_are_all_the_same_are_warned_of() -> None:
    assert prepare(plan()).warnings == ()
    (warning,) = prepare(plan(table(targets=np.full(N, 3.0)), standardize_targets=False)).warnings
    assert "same target" in warning
    assert prepare(plan(table(targets=np.full((N, 2), 3.0)), standardize_targets=False)).warnings == (warning,)


def test_a_softmax_too_many_is_warned_of() -> None:
    twice = loss("categorical_cross_entropy", from_logits=True)
    (warning,) = prepare(plan(classes(N), loss=twice, model=mlp(3, output="softmax"))).warnings
    assert "from_logits" in warning
    assert prepare(plan(classes(N), loss=twice)).warnings == ()


# --- defaults -----------------------------------------------------------------------------------------------------------------


def test_the_shortest_plan_runs() -> None:
    data = regression(N)
    run = prepare(Plan(data=data, model=model("mlp"), loss=loss("mean_squared_error"), optimizer=optimizer("adam"), epochs=2))
    assert run.validation is not None
    assert (run.training.n, run.validation.n) == (32, 8)
    result = finish(run, trained(run))
    assert result.predictions.shape == (8,)


def test_whole_numbers_and_single_precision_are_taken_as_they_are() -> None:
    rows = np.arange(2 * N).reshape(N, 2) % 7
    for kind in (np.int64, np.int8, np.float32, np.bool_):
        run = prepare(plan(Table(rows.astype(kind), rows[:, 0].astype(np.float32)), standardize_inputs=False))
        assert run.training.inputs.dtype == np.float64
        np.testing.assert_array_equal(run.training.inputs, rows.astype(kind))
    assert set(LOSSES)  # and nothing was written to the caller's arrays
    np.testing.assert_array_equal(rows, np.arange(2 * N).reshape(N, 2) % 7)


def test_the_callers_arrays_are_not_written_to() -> None:
    data = regression(N)
    before = data.inputs.copy(), np.array(data.targets)
    data.inputs.flags.writeable = False
    assert isinstance(data.targets, np.ndarray)
    data.targets.flags.writeable = False
    for changes in ({}, {"standardize_inputs": False, "standardize_targets": False, "shuffle": False}, TREES, LBFGS):
        trained(prepare(plan(data, **changes)))
    np.testing.assert_array_equal(data.inputs, before[0])
    np.testing.assert_array_equal(data.targets, before[1])
