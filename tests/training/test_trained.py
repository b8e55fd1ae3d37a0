"""A model that is kept: it predicts the bits of its run, and a run that goes on from it ends with the bits of one that never
stopped. One that was changed by hand is refused, wherever it was changed."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from app.errors import InvalidArray, InvalidInput
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
from app.training.decisions import Deciding, Decisions
from app.training.learners import State
from app.training.resuming import notes_on
from app.training.trained import Decided, Progress, checked
from tests.training.plans import NONE, Array, classes, inputs, loss, metric, mlp, model, optimizer, plan, regression, schedule
from tests.training.test_fit import same_bits

SHORT, LONG = 3, 7
TREES: dict[str, Any] = {"optimizer": None, "batch_size": None, "l2": 0.0}
OF_TREES = [name for name, declared in MODELS.items() if not declared.optimized]
GROWN = {"boosted_trees": {"subsample": 0.7, "max_features": 0.6, "min_samples_leaf": 2}}


def until_its_end(run: Run, state: State) -> State:
    for _ in fit(run, state):
        pass
    return state


def kept(chosen: Plan) -> tuple[Run, Trained]:
    run = prepare(chosen)
    state = until_its_end(run, start(run))
    return run, keep(run, state, finish(run, state))


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
    return plan(**{"data": regression(43), **usual, **changes})


def of_trees(name: str, **changes: Any) -> Plan:
    return busy(**{"model": model(name, **GROWN.get(name, {})), **TREES, **changes})


def sorted_rows() -> Table:
    """Three classes by columns of which one is of categories and one lacks numbers."""
    table = classes(60, k=3)
    rows = table.inputs.copy()
    rows[:, 1] = np.random.default_rng(0).integers(0, 5, 60)
    rows[::7, 0] = np.nan
    return Table(rows, table.targets)


SORTS = of_trees(
    "boosted_trees",
    data=sorted_rows(),
    model=model("boosted_trees", categorical_features=[1], min_samples_leaf=2),
    loss=loss("categorical_cross_entropy", from_logits=True),
    metrics=(),
)

# --- going on -------------------------------------------------------------------------------------------------------------


def check_resuming(chosen: Plan, stop: int = SHORT) -> None:
    """The state and the result of a run from a kept model are those of the run that never stopped."""
    _, trained = kept(replace(chosen, epochs=stop))
    whole, resumed = prepare(chosen), prepare(replace(chosen, resume=checked(trained)))
    state, other = until_its_end(whole, start(whole)), until_its_end(resumed, begin(resumed))
    same_bits(other, state)
    one, two = finish(whole, state), finish(resumed, other)
    assert one.predictions.tobytes() == two.predictions.tobytes()
    same_bits(dict(one.parameters), dict(two.parameters))
    assert notes_on(resumed) == ()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_goes_on_with_its_bits_by_any_optimizer(name: str) -> None:
    parameters: dict[str, Any] = {"momentum": 0.9} if "momentum" in OPTIMIZERS[name].parameters else {}
    full = {"model": mlp(5), "batch_size": None} if OPTIMIZERS[name].full_batch else {}
    check_resuming(busy(optimizer=Chosen(OPTIMIZERS[name], parameters), **full))


@pytest.mark.parametrize("held", [NONE, Holdout(fraction=0.25, seed=3), Holdout(table=regression(9, seed=5))])
@pytest.mark.parametrize("name", [name for name in OF_TREES if MODELS[name].epochs is None])
def test_a_run_goes_on_with_its_bits_by_trees(name: str, held: Holdout) -> None:
    check_resuming(of_trees(name, validation=held, restore_best=held is NONE))


def test_classes_gaps_and_categories_go_on() -> None:
    check_resuming(SORTS)


STRETCHED = {"cosine", "one_cycle"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_unless_it_is_stretched_over_the_epochs(name: str) -> None:
    chosen = busy(schedule=schedule(name))
    if name not in STRETCHED:
        check_resuming(chosen)
        return
    _, trained = kept(replace(chosen, epochs=SHORT))
    assert [note.partition(" of the")[0] for note in notes_on(prepare(replace(chosen, resume=trained)))] == ["the learning rates"]


def test_a_run_that_stopped_early_or_diverged_stays_where_it_was() -> None:
    early = busy(epochs=60, patience=1, optimizer=optimizer("sgd", learning_rate=0.5))
    run, trained = kept(early)
    assert trained.progress is not None
    assert trained.progress.epoch < run.plan.epochs
    check_resuming(replace(early, epochs=200), stop=60)
    with np.errstate(all="ignore"):
        check_resuming(busy(epochs=50, optimizer=optimizer("sgd", learning_rate=1e200), model=model("linear")), stop=40)


def test_a_metric_that_tells_the_best_epoch_does_so_further_on() -> None:
    monitored = {"monitor": metric("r2"), "start_from_epoch": 2, "patience": 2}
    check_resuming(busy(**monitored, epochs=12), stop=5)


def test_other_rows_are_taken_and_said_to_be_others() -> None:
    chosen = busy()
    _, trained = kept(replace(chosen, epochs=SHORT))
    resumed = prepare(replace(chosen, data=regression(50, seed=8), resume=trained))
    assert resumed.inputs_scale is trained.inputs_scale
    (note,) = notes_on(resumed)
    assert "other rows" in note
    state = until_its_end(resumed, begin(resumed))
    assert int(state["epoch"]) == LONG or state["best"][3]


def test_another_optimizer_begins_with_a_memory_of_its_own() -> None:
    chosen = busy(optimizer=optimizer("adam", learning_rate=0.01))
    _, trained = kept(replace(chosen, epochs=SHORT))
    resumed = prepare(replace(chosen, optimizer=optimizer("sgd", learning_rate=0.01, momentum=0.9), resume=trained))
    assert any("by adam" in note for note in notes_on(resumed))
    state = begin(resumed)
    assert not state["slots"].any()
    assert not state["step"]
    assert trained.progress is not None
    np.testing.assert_array_equal(state["weights"], trained.progress.arrays["weights"])


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"model": mlp(6, 4, dropout=0.3)}, "resume"),
    "another kind of model": ({"model": model("linear")}, "resume"),
    "another loss": ({"loss": loss("mean_absolute_error")}, "resume"),
    "another parameter of the loss": ({"loss": loss("huber", delta=2.0)}, "resume"),
    "other columns": ({"data": regression(43, d=4)}, "resume"),
    "other outputs": ({"data": Table(regression(43).inputs, inputs(43, 2))}, "resume"),
    "other scales": ({"standardize_targets": False}, "resume"),
    "too few epochs": ({"epochs": SHORT}, "epochs"),
}


@pytest.mark.parametrize(("changes", "place"), MISFITS.values(), ids=list(MISFITS))
def test_a_model_of_another_request_is_refused(changes: dict[str, Any], place: str) -> None:
    chosen = busy(loss=loss("huber", delta=1.0)) if "loss" in changes else busy()
    _, trained = kept(replace(chosen, epochs=SHORT))
    with pytest.raises(InvalidInput) as error:
        prepare(replace(chosen, resume=trained, **changes))
    (fault,) = error.value.faults
    assert (fault.path, fault.code) == ((place,), "out_of_range" if place == "epochs" else "does_not_fit")


def test_one_tree_has_nothing_to_go_on_with() -> None:
    _, trained = kept(of_trees("decision_tree"))
    with pytest.raises(InvalidInput, match="nothing to go on with"):
        prepare(of_trees("decision_tree", resume=trained))


# --- predictions ------------------------------------------------------------------------------------------------------------

DECIDING: dict[str, tuple[Chosen, Table]] = {
    "numbers": (loss("mean_squared_error"), regression(43)),
    "columns of numbers": (loss("mean_squared_error"), Table(inputs(43), inputs(43, 2, seed=4))),
    "log-odds": (loss("binary_cross_entropy", from_logits=True), classes(43, k=2)),
    "a probability": (loss("binary_cross_entropy", from_logits=False), classes(43, k=2)),
    "logits": (loss("categorical_cross_entropy", from_logits=True), classes(43)),
    "shares": (loss("categorical_cross_entropy", from_logits=False), classes(43)),
    "their logarithms": (loss("nll"), classes(43)),
    "a score": (loss("hinge"), Table(inputs(43), np.where(classes(43, k=2).targets == 1, 1.0, -1.0))),  # type: ignore[operator]
    "scores": (loss("multi_margin"), classes(43)),
}


SHARES: dict[str, Callable[[Array], Array]] = {
    "logit": lambda shown: np.stack([1.0 - expit(shown), expit(shown)], axis=1),
    "probability": lambda shown: np.stack([1.0 - shown, shown], axis=1),
    "logits": lambda shown: softmax(shown, axis=1),
    "distribution": lambda shown: shown,
    "log_probabilities": np.exp,
}


def each_model(chosen: Chosen, table: Table) -> Iterator[Plan]:
    for name, declared in MODELS.items():
        changes = {"data": table, "loss": chosen, "metrics": (), "epochs": SHORT}
        yield of_trees(name, **changes) if not declared.optimized else busy(**changes, model=model(name))


@pytest.mark.parametrize(("chosen", "table"), DECIDING.values(), ids=list(DECIDING))
def test_predictions_are_those_of_the_run(chosen: Chosen, table: Table) -> None:
    """Bit for bit for the same rows together; one by one to 1e-12; of all rows that the run has seen."""
    for wanted in each_model(chosen, table):
        for held in (NONE, wanted.validation):
            run = prepare(replace(wanted, validation=held))
            state = until_its_end(run, start(run))
            result = finish(run, state)
            trained = checked(keep(run, state, result))
            rows = np.asarray(table.inputs)[run.trained_on if run.held_out is None else run.held_out]
            found = trained.predict(rows)
            assert found.predictions.tobytes() == result.predictions.tobytes(), wanted.model.thing.name
            alone = np.concatenate([trained.predict(row[None]).predictions for row in rows])
            np.testing.assert_allclose(alone, found.predictions, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("chosen", "table"), DECIDING.values(), ids=list(DECIDING))
def test_probabilities_and_decisions_follow_from_predictions(chosen: Chosen, table: Table) -> None:
    for wanted in each_model(chosen, table):
        _, trained = kept(wanted)
        found, targets = trained.predict(np.asarray(table.inputs)), np.asarray(table.targets)
        if trained.encoding == "real":
            assert trained.deciding is found.decided is None
            continue
        decided = found.decided
        assert isinstance(decided, Decided)
        assert decided.classes == tuple(np.unique(targets).tolist())
        shown = found.predictions
        if trained.encoding in ("score", "scores"):
            assert decided.probabilities is None
            np.testing.assert_array_equal(decided.places, shown > 0 if shown.ndim == 1 else shown.argmax(axis=1))
            continue
        shares = SHARES[trained.encoding](shown)
        assert decided.probabilities is not None
        np.testing.assert_allclose(decided.probabilities, shares, atol=1e-6 if wanted.model.thing.name in OF_TREES else 1e-14)
        np.testing.assert_allclose(decided.probabilities.sum(axis=1), 1.0, atol=1e-12)
        np.testing.assert_array_equal(decided.places, decided.probabilities.argmax(axis=1))


LABELS: dict[str, tuple[Chosen, list[float], tuple[float, ...] | None]] = {
    "signs to log-odds": (loss("binary_cross_entropy", from_logits=True), [1, -1], (-1, 1)),
    "flags to a score": (loss("hinge"), [1, 0], (0, 1)),
    "an ignored label": (loss("binary_cross_entropy", from_logits=True, ignore_index=-1), [0, 1, -1], (0, 1)),
    "one class alone": (loss("binary_cross_entropy", from_logits=True), [1], (0, 1)),
    "a share": (loss("binary_cross_entropy", from_logits=True), [0.25, 1], None),
    "flags to a number": (loss("mean_squared_error"), [0, 1], None),
    "classes": (loss("categorical_cross_entropy", from_logits=True), [0, 2], (0, 1, 2)),
}


@pytest.mark.parametrize(("chosen", "labels", "expected"), LABELS.values(), ids=list(LABELS))
def test_classes_are_the_numbers_that_targets_had(chosen: Chosen, labels: list[float], expected: Any) -> None:
    table = Table(inputs(12), np.resize(np.array(labels, np.float64), 12))
    run, trained = kept(busy(data=table, loss=chosen, metrics=(), epochs=1, validation=NONE))
    assert trained.deciding == (None if expected is None else Deciding(expected, trained.encoding))
    decisions = finish(run, start(run)).decisions
    assert (decisions is None) == (expected is None)
    if isinstance(decisions, Decisions):
        true = [decisions.classes[place] for place in decisions.true.tolist()]
        assert true == [label for label in np.resize(labels, 12).tolist() if label in decisions.classes]


def test_several_labels_of_a_row_are_no_class() -> None:
    table = Table(inputs(12), np.resize(np.array([0.0, 1.0, 1.0]), (12, 2)))
    chosen = busy(data=table, loss=loss("binary_cross_entropy", from_logits=True), metrics=(), epochs=1, validation=NONE)
    assert kept(chosen)[1].deciding is None


def test_shares_of_leaves_are_probabilities_as_they_are() -> None:
    """In the loss they are kept from 0 and 1, in probabilities not."""
    table = classes(43)
    _, trained = kept(of_trees("decision_tree", data=table, loss=loss("categorical_cross_entropy"), metrics=(), validation=NONE))
    decided = trained.predict(np.asarray(table.inputs)).decided
    assert isinstance(decided, Decided)
    assert decided.probabilities is not None
    assert set(np.unique(decided.probabilities)) == {0.0, 1.0}


def test_what_no_training_row_had_is_missing() -> None:
    run, trained = kept(SORTS)
    rows = np.asarray(run.plan.data.inputs).copy()[:6]
    rows[:, 1] = [99, 98, 97, 96, 95, 94]
    gaps = rows.copy()
    gaps[:, 1] = np.nan
    np.testing.assert_array_equal(trained.predict(rows).predictions, trained.predict(gaps).predictions)


def test_a_column_without_a_category_is_all_missing() -> None:
    rows = sorted_rows().inputs.copy()
    rows[:, 1] = np.nan
    chosen = replace(SORTS, data=Table(rows, sorted_rows().targets), epochs=SHORT)
    run, trained = kept(chosen)
    assert trained.categories == {1: []}
    assert run.held_out is not None
    assert np.isfinite(checked(trained).predict(rows).predictions).all()


@pytest.mark.parametrize("rows", [np.zeros((2, 4)), np.zeros(3), np.zeros((0, 3))])
def test_rows_of_other_columns_are_refused(rows: Array) -> None:
    _, trained = kept(busy(epochs=1))
    with pytest.raises(InvalidArray) as error:
        trained.predict(rows)
    assert [(fault.path, fault.code) for fault in error.value.faults] == [(("inputs",), "shape_mismatch")]


# --- changed by hand ------------------------------------------------------------------------------------------------------


def with_parameter(trained: Trained, name: str, change: Any) -> Trained:
    array = trained.parameters[name].copy()
    changed = change(array)
    return replace(trained, parameters={**trained.parameters, name: array if changed is None else changed})


def putting(place: Any, number: float) -> Any:
    def change(array: Any) -> Any:
        array = array.astype(float)
        array[place] = number
        return array

    return change


OF_NETWORK: dict[str, tuple[str, Any, str]] = {
    "NaN": ("weights_1", putting((0, 1), np.nan), "not_finite"),
    "infinite": ("biases_2", putting(0, np.inf), "not_finite"),
    "another width": ("weights_2", lambda array: array[:, :2], "shape_mismatch"),
    "flat": ("weights_1", np.ravel, "shape_mismatch"),
}
OF_NODES: dict[str, tuple[str, Any, str]] = {
    "its own child": ("left", putting(0, 0), "out_of_range"),
    "a child before it": ("right", putting(0, -5), "out_of_range"),
    "a child of another tree": ("right", putting(0, 10_000), "out_of_range"),
    "half a node": ("left", putting(0, 1.5), "type"),
    "a column that there is not": ("feature", putting(0, 3), "out_of_range"),
    "NaN": ("value", putting(1, np.nan), "not_finite"),
    "fewer nodes": ("threshold", lambda array: array[:-1], "shape_mismatch"),
    "more outputs": ("constant", lambda array: np.append(array, 0.0), "shape_mismatch"),
    "trees that fall": ("first_nodes", putting(1, 0), "out_of_range"),
    "a tree that begins nowhere": ("first_nodes", putting(0, 1), "out_of_range"),
}


@pytest.mark.parametrize(("name", "change", "code"), OF_NETWORK.values(), ids=list(OF_NETWORK))
def test_weights_that_no_run_has_left_are_refused(name: str, change: Any, code: str) -> None:
    _, trained = kept(busy(epochs=1))
    refuses(with_parameter(trained, name, change), name, code)


@pytest.mark.parametrize("of", ["boosted_trees", "random_forest"])
@pytest.mark.parametrize(("name", "change", "code"), OF_NODES.values(), ids=list(OF_NODES))
def test_trees_that_no_run_has_left_are_refused(name: str, change: Any, code: str, of: str) -> None:
    _, trained = kept(of_trees(of, epochs=2))
    refuses(with_parameter(trained, name, change), name, code)


def refuses(trained: Trained, name: str, code: str) -> None:
    with pytest.raises(InvalidArray) as error:
        checked(trained)
    (fault,) = error.value.faults
    assert (fault.path[:3], fault.code) == (("model", "parameters", name), code)


def test_a_large_tree_that_does_not_end_is_refused_within_a_second() -> None:
    _, trained = kept(of_trees("boosted_trees", epochs=1))
    n = 1_000_000
    nodes = {name: np.zeros((n, *array.shape[1:])) for name, array in trained.parameters.items()}
    endless = {**nodes, "constant": np.zeros(1), "first_nodes": np.zeros(1), "left": np.arange(1.0, n + 1), "right": np.zeros(n)}
    began = time.process_time()
    refuses(replace(trained, parameters=endless), "left", "out_of_range")
    assert time.process_time() - began < 1.0


OTHERWISE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a name too many": ({"features": ("a", "b", "c", "d")}, ("features",)),
    "a range of fewer": ({"range": np.zeros((2, 2))}, ("range",)),
    "classes of numbers": ({"deciding": Deciding(("a", "b", "c"), "logits")}, ("classes",)),
    "a category that is no column": ({"categories": {7: [1.0]}}, ("categories", "7")),
}


@pytest.mark.parametrize(("changes", "place"), OTHERWISE.values(), ids=list(OTHERWISE))
def test_what_does_not_belong_to_the_model_is_refused(changes: dict[str, Any], place: tuple[str, ...]) -> None:
    _, trained = kept(busy(epochs=1))
    with pytest.raises(InvalidArray) as error:
        checked(replace(trained, **changes))
    assert error.value.faults[0].path == ("model", *place)


EACH_KIND = {"network": busy(), "boosted": of_trees("boosted_trees"), "forest": of_trees("random_forest")}


@pytest.mark.parametrize("chosen", EACH_KIND.values(), ids=list(EACH_KIND))
def test_a_state_with_anything_missing_or_of_another_shape_or_number_is_refused(chosen: Plan) -> None:
    """Never a failure of another kind; a number of the history may be missing, since metrics may be others."""
    _, trained = kept(replace(chosen, epochs=SHORT))
    progress = trained.progress
    assert progress is not None
    for key, array in progress.arrays.items():
        for arrays in spoiled(progress.arrays, key, array) if array.size else ():
            resumed = prepare(replace(chosen, resume=with_state(trained, progress._replace(arrays=arrays))))
            with pytest.raises(InvalidArray) as error:
                begin(resumed)
            assert error.value.faults[0].path[:2] == ("model", "state"), key
    short = {name: column[:1] for name, column in progress.history.items()}
    with pytest.raises(InvalidArray):
        begin(prepare(replace(chosen, resume=with_state(trained, progress._replace(history=short)))))


def spoiled(arrays: Mapping[str, Any], key: str, array: Any) -> Iterator[dict[str, Any]]:
    yield {name: other for name, other in arrays.items() if name != key}
    yield {**arrays, key: np.zeros((2, *array.shape))}
    if key != "best":
        yield {**arrays, key: np.full(array.shape, np.nan)}


def with_state(trained: Trained, progress: Progress) -> Trained:
    return replace(trained, progress=progress)
