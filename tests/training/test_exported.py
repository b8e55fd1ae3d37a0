"""ONNX files: what ONNX Runtime makes of one is what the model predicts."""

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from app.losses import COMPOSED, LOSSES
from app.losses.composed import Head
from app.losses.form import bind
from app.training import Chosen, Run, Table, finish, prepare
from app.training.activations import HIDDEN, OUTPUTS
from app.training.exported import ACTIVATIONS, onnx_file, unexportable_because
from app.training.result import keep
from app.training.side_by_side import together
from app.training.trained import Trained
from tests.training.plans import Array, inputs, loss, mlp, model, plan, trained

N = 60
ROWS = inputs(N, 3)
LABELS = np.arange(N) % 3 + 0.0
POSITIVE = (LABELS > 0) + 0.0
NUMBERS = ROWS @ [1.0, -2.0, 0.5] + 0.1 * np.arange(N)


def prepared(targets: Any, **changes: Any) -> Run:
    asked: dict[str, Any] = {"data": Table(ROWS, targets), "model": mlp(5), "epochs": 3, "batch_size": None} | changes
    return prepare(plan(**asked))


def kept(targets: Any, **changes: Any) -> Trained:
    run = prepared(targets, **changes)
    state = trained(run)
    return keep(run, state, finish(run, state))


def told_by_onnx(file: bytes, rows: Array) -> dict[str, Array]:
    """What ONNX Runtime says of rows, by the names of the outputs."""
    onnx.checker.check_model(onnx.load_from_string(file))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, {"inputs": rows})), strict=True))


def compare(made: Trained, rows: Array, tolerance: float) -> dict[str, Array]:
    found, expected = told_by_onnx(onnx_file(made), rows), made.predict(rows)
    if made.heads is None:
        np.testing.assert_allclose(found["predictions"], expected.predictions, rtol=tolerance, atol=tolerance)
        assert found["predictions"].shape == expected.predictions.shape
    else:
        for name, array in made.heads.apart(expected.predictions).items():
            np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance)
    by_head = expected.decided if isinstance(expected.decided, dict) else {"": expected.decided}
    known = {
        f"{head}_probabilities".lstrip("_"): decided.probabilities for head, decided in by_head.items() if decided is not None
    }
    wanted = {name: shares for name, shares in known.items() if shares is not None}
    assert {name for name in found if name.endswith("probabilities")} == {*wanted}
    for name, shares in wanted.items():
        np.testing.assert_allclose(found[name], shares, rtol=tolerance, atol=tolerance)
    return found


def other_rows(n: int = 40) -> Array:
    return 3.0 * np.random.default_rng(7).normal(size=(n, 3))


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_every_hidden_activation(name: str, precision: str, tolerance: float) -> None:
    made = kept(NUMBERS, loss=loss("mean_squared_error"), model=mlp(5, 4, hidden_activation=name), precision=precision)
    compare(made, other_rows(), tolerance)


@pytest.mark.parametrize(
    ("output", "name", "targets"),
    [
        ("identity", "mean_squared_error", NUMBERS),
        ("softplus", "poisson_deviance", LABELS),
        ("exp", "poisson_deviance", LABELS),
        ("sigmoid", "binary_cross_entropy", LABELS > 0),
        ("tanh", "mean_squared_error", np.tanh(NUMBERS)),
        ("softmax", "categorical_cross_entropy", LABELS),
        ("log_softmax", "nll", LABELS),
        ("unit_length", "triplet_margin", LABELS),
    ],
)
def test_every_output(output: str, name: str, targets: Array) -> None:
    made = kept(targets + 0.0, loss=loss(name), model=mlp(5, output=output), standardize_targets=False)
    assert made.activation.name == output
    compare(made, other_rows(), 1e-12)


def test_every_activation_has_its_operators() -> None:
    assert set(ACTIVATIONS) == {*HIDDEN, *OUTPUTS}


def test_logits_scores_scaled_targets_and_two_outputs() -> None:
    logits = loss("categorical_cross_entropy", from_logits=True)
    for name, targets, changes in (
        (logits, LABELS, {}),
        (loss("binary_cross_entropy", from_logits=True), (LABELS > 0) + 0.0, {}),
        (loss("hinge"), np.where(LABELS > 0, 1.0, -1.0), {}),
        (loss("mean_squared_error"), 50.0 + 9.0 * NUMBERS, {"standardize_targets": True}),
        (loss("mean_squared_error"), np.stack([NUMBERS, 4.0 - NUMBERS], axis=1), {"model": model("linear")}),
    ):
        compare(kept(targets, loss=name, **changes), other_rows(), 1e-11)


def test_heads_are_outputs_by_their_names() -> None:
    made = kept(NUMBERS, loss=loss("gaussian_nll"), standardize_targets=False)
    assert [*compare(made, other_rows(), 1e-12)] == ["mean", "variance"]


def test_heads_that_decide_have_probabilities_by_their_names() -> None:
    kind = bind(LOSSES["categorical_cross_entropy"], {"from_logits": True})
    side = bind(LOSSES["binary_cross_entropy"], {"from_logits": True})
    heads = COMPOSED["multi_task"](heads={"kind": Head(kind), "side": Head(side), "size": Head(bind(LOSSES["huber"], {}))})
    targets, named = together({"kind": LABELS, "side": POSITIVE, "size": NUMBERS})
    made = kept(None, data=Table(ROWS, targets, named=named), loss=Chosen(COMPOSED["multi_task"], {}, heads))
    found = compare(made, other_rows(), 1e-12)
    assert [*found] == ["kind", "kind_probabilities", "side", "side_probabilities", "size"]


TREES = {"optimizer": None, "batch_size": None}


@pytest.mark.parametrize("name", ["boosted_trees", "decision_tree", "random_forest"])
@pytest.mark.parametrize(
    ("loss_name", "targets"),
    [("mean_squared_error", NUMBERS), ("categorical_cross_entropy", LABELS), ("binary_cross_entropy", POSITIVE)],
)
def test_trees_with_missing_inputs(name: str, loss_name: str, targets: Array) -> None:
    """The operator for trees gives its sums in single precision."""
    gaps = ROWS.copy()
    gaps[::7, 1] = np.nan
    grown = model(name, min_samples_leaf=3, max_depth=4)
    made = kept(targets, data=Table(gaps, targets), model=grown, loss=loss(loss_name), epochs=6, **TREES)
    rows = other_rows()
    rows[::5, 1] = np.nan
    compare(made, rows, 2e-6)


def test_categories_and_made_ends_are_refused() -> None:
    categories = prepared(
        NUMBERS,
        data=Table(np.stack([LABELS, ROWS[:, 0]], axis=1), NUMBERS),
        model=model("boosted_trees", categorical_features=[0], min_samples_leaf=5),
        loss=loss("mean_squared_error"),
        **TREES,
    )
    assert "categories" in (unexportable_because(categories.model, categories.objective) or "")


def test_the_file_tells_what_its_numbers_are() -> None:
    names = [("a", "b", "c")[int(label)] for label in LABELS]
    table = Table(ROWS, names, classes=("a", "b", "c"), features=("x", "y", "z"))
    file = onnx.load_from_string(onnx_file(kept(names, data=table, loss=loss("categorical_cross_entropy"))))
    told = {prop.key: json.loads(prop.value) for prop in file.metadata_props}
    assert told == {"classes": ["a", "b", "c"], "features": ["x", "y", "z"], "predictions_encoding": "distribution"}
