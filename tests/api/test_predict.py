"""POST /v1/predict, and runs that go on: models that have been to JSON and back."""

import base64
import json
import sys
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from jsonschema.protocols import Validator

from app.api.predict_examples import PREDICTIONS
from app.api.training import TrainRequest
from app.serving.installed import not_installed
from app.settings import Settings
from app.training import MODELS, OPTIMIZERS
from tests.api.problem import problem_of, strictly
from tests.folding import one_of_each

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2)).round(3).tolist()
COLOURS = [["red", "green", "blue"][number] for number in RNG.integers(0, 3, 60)]
SIDES = ["left" if row[0] + row[1] < 0 else "right" for row in X]
THREE = [float(np.argmax([row[0], row[1], -row[0] - row[1]])) for row in X]
LINE = {"data": {"inputs": X, "targets": [2 * row[0] - row[1] + 1 for row in X]}, "loss": "mse"}
TWO = {"data": {"inputs": X, "targets": SIDES}, "loss": {"name": "bce", "from_logits": True}}
CLASSES = {"data": {"inputs": X, "targets": THREE}, "loss": {"name": "categorical_cross_entropy", "from_logits": True}}
SIGNS = {"data": {"inputs": X, "targets": [1 if side == "right" else -1 for side in SIDES]}, "loss": "hinge"}
WORDS = {
    "data": {"inputs": [[row[0], colour] for row, colour in zip(X, COLOURS, strict=True)], "targets": SIDES},
    "loss": {"name": "bce", "from_logits": True},
    "model": {"name": "boosted_trees", "categorical_features": [1], "min_samples_leaf": 3},
}
TASKS: dict[str, dict[str, Any]] = {"line": LINE, "two": TWO, "classes": CLASSES, "signs": SIGNS}


async def asked(client: httpx.AsyncClient, path: str, **request: Any) -> dict[str, Any]:
    response = await client.post(path, json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def trained(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    return await asked(client, "/v1/train", **{"epochs": 3, "outputs": ["model", "predictions", "rows"], **request})


async def faults_of(client: httpx.AsyncClient, path: str, request: Any) -> list[tuple[str, str]]:
    response = await client.post(path, json=request)
    assert response.status_code == 422, response.text
    return [(fault["pointer"], fault["code"]) for fault in problem_of(response)["errors"]]


def bare(answer: Any) -> Any:
    """The answer without the clock: where it stands by itself, and in the history of a model."""
    if isinstance(answer, dict):
        return {key: bare(value) for key, value in answer.items() if key != "seconds"}
    return [bare(value) for value in answer] if isinstance(answer, list) else answer


# --- predictions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("task", TASKS)
async def test_the_rows_of_a_run_are_predicted_as_it_did(task: str, name: str, client: httpx.AsyncClient) -> None:
    request = {**TASKS[task], "model": name}
    run = await trained(client, **request)
    rows = [X[row] for row in run["rows"]["validation"]]
    answer = await asked(client, "/v1/predict", model=run["trained_model"], inputs=rows)
    assert answer["predictions"] == run["predictions"]
    assert answer["n_samples"] == len(rows)
    assert answer["predictions_encoding"] == run["data"]["predictions_encoding"]
    if task == "line":
        assert answer["classes"] is answer["probabilities"] is answer["labels"] is None
        return
    assert answer["classes"] == {"two": ["left", "right"], "classes": [0, 1, 2], "signs": [-1, 1]}[task]
    assert set(answer["labels"]) <= set(answer["classes"])
    if task == "signs":
        assert answer["probabilities"] is None
        assert answer["labels"] == [1 if score > 0 else -1 for score in answer["predictions"]]
        return
    shares = np.array(answer["probabilities"])
    assert shares.shape == (len(rows), len(answer["classes"]))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)
    assert answer["labels"] == [answer["classes"][place] for place in shares.argmax(axis=1)]


async def test_a_model_without_its_state_predicts_all_the_same(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    run = await trained(client, **TWO)
    schemas["TrainResponse"].validate(run)
    model = run["trained_model"]
    assert (model["format"], model["version"], model["precision"]) == ("criterion.model", 1, "float64")
    assert model["range"] == {"min": np.min(X, axis=0).tolist(), "max": np.max(X, axis=0).tolist()}
    whole = await asked(client, "/v1/predict", model=model, inputs=X)
    schemas["PredictResponse"].validate(whole)
    assert await asked(client, "/v1/predict", model={**model, "state": None}, inputs=X) == whole
    del model["state"]
    assert await asked(client, "/v1/predict", model=model, inputs=X) == whole


async def test_the_examples_say_what_they_say(client: httpx.AsyncClient) -> None:
    line, surface, table = [await asked(client, "/v1/predict", **example["value"]) for example in PREDICTIONS.values()]
    assert line["predictions"] == [1.0, 4.0]
    assert surface["surface"]["labels"] == [["yes", "yes"], ["no", "no"]]
    assert table["predictions"] == [8.0, 12.0]


async def test_rows_may_be_a_table_by_the_names_of_the_features(client: httpx.AsyncClient) -> None:
    run = await trained(client, **{**LINE, "data": {**LINE["data"], "features": ["wide", "high"]}})  # type: ignore[dict-item]
    model = run["trained_model"]
    wanted = (await asked(client, "/v1/predict", model=model, inputs=X))["predictions"]
    backwards = {"columns": ["other", "high", "wide"], "data": [[9, row[1], row[0]] for row in X]}
    named = {"rows": [{"high": row[1], "wide": row[0]} for row in X]}
    columns = {"high": [row[1] for row in X], "wide": [row[0] for row in X]}
    for table in (backwards, named, columns):
        assert (await asked(client, "/v1/predict", model=model, inputs=table))["predictions"] == wanted
    request = {"model": model, "inputs": {"rows": [{"high": 1.0, "wde": 2.0}]}}
    assert await faults_of(client, "/v1/predict", request) == [("/inputs", "unknown_column")]
    request = {"model": {**model, "features": None}, "inputs": named}
    assert await faults_of(client, "/v1/predict", request) == [("/inputs", "not_an_array")]


async def test_words_of_categories_are_those_of_the_run(client: httpx.AsyncClient) -> None:
    run = await trained(client, **{**WORDS, "data": {**WORDS["data"], "features": ["size", "colour"]}})  # type: ignore[dict-item]
    model, rows = run["trained_model"], WORDS["data"]["inputs"]  # type: ignore[index]
    assert set(model["categories"]["1"]) == {"red", "green", "blue"}
    chosen = [rows[row] for row in run["rows"]["validation"]]
    answer = await asked(client, "/v1/predict", model=model, inputs=chosen)
    assert answer["predictions"] == run["predictions"]
    table = {"rows": [{"size": size, "colour": colour} for size, colour in chosen]}
    assert (await asked(client, "/v1/predict", model=model, inputs=table))["predictions"] == run["predictions"]
    unseen = await asked(client, "/v1/predict", model=model, inputs=[[0.5, "violet"], [0.5, None]])
    assert unseen["predictions"][0] == unseen["predictions"][1]


async def test_a_surface_is_the_model_at_its_places(client: httpx.AsyncClient) -> None:
    run = await trained(client, **CLASSES)
    model = run["trained_model"]
    answer = await asked(client, "/v1/predict", model=model, surface={"n": 4, "y": [-1.0, 2.0]})
    surface = answer["surface"]
    low, high = np.min(X, axis=0)[0], np.max(X, axis=0)[0]
    np.testing.assert_allclose([surface["x"][0], surface["x"][-1]], [low - 0.05 * (high - low), high + 0.05 * (high - low)])
    assert surface["y"] == [-1.0, 0.0, 1.0, 2.0]
    places = [[x, y] for y in surface["y"] for x in surface["x"]]
    rows = await asked(client, "/v1/predict", model=model, inputs=places)
    for name in ("predictions", "probabilities", "labels"):
        assert np.array(surface[name]).shape[:2] == (4, 4)
        assert [cell for line in surface[name] for cell in line] == rows[name]
    assert (answer["n_samples"], answer["predictions"], answer["labels"]) == (16, None, None)


# --- what is wrong ----------------------------------------------------------------------------------------------------------


def changed(model: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a place; nothing there where it is `...`."""
    copy = json.loads(json.dumps(model))
    *path, last = (int(step) if step.isdecimal() else step for step in place.strip("/").split("/"))
    node = copy
    for step in path:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return copy


BY_HAND: dict[str, tuple[str, Any]] = {
    "another format": ("/format", "pickle"),
    "another version": ("/version", 2),
    "another precision": ("/precision", "float16"),
    "an unknown model": ("/model/name", "transformer"),
    "another width": ("/model/hidden", [9]),
    "more inputs": ("/inputs", 3),
    "no inputs": ("/inputs", 0),
    "no activation": ("/output_activation", "step"),
    "an unknown encoding": ("/predictions_encoding", "logarithm"),
    "NaN": ("/parameters/weights_1/0/0", None),
    "a word": ("/parameters/weights_1/0/0", "much"),
    "no weights": ("/parameters/biases_2", ...),
    "more weights": ("/parameters/weights_9", [1.0]),
    "ragged weights": ("/parameters/weights_1/0", [1.0]),
    "no deviation": ("/scaling/inputs/deviation/1", 0.0),
    "a mean too many": ("/scaling/inputs/mean", [0.0, 0.0, 0.0]),
    "classes": ("/classes", ["a", "b", "c"]),
    "no range": ("/range/min", [1.0]),
    "a field that there is not": ("/weights", 1),
    "a state of no epochs": ("/state/epoch", -1),
}


@pytest.mark.parametrize(("place", "value"), BY_HAND.values(), ids=list(BY_HAND))
async def test_a_model_that_was_changed_is_refused_where_it_was(place: str, value: Any, client: httpx.AsyncClient) -> None:
    model = (await trained(client, **{**TWO, "model": {"name": "mlp", "hidden": [4]}}))["trained_model"]
    found = await faults_of(client, "/v1/predict", {"model": changed(model, place, value), "inputs": X})
    assert found[0][0].startswith("/model/")
    other = {**TWO, "model": {"name": "mlp", "hidden": [4]}, "epochs": 9, "resume": changed(model, place, value)}
    assert (await faults_of(client, "/v1/train", other))[0][0].startswith("/resume")


async def test_a_tree_that_does_not_end_is_refused(client: httpx.AsyncClient) -> None:
    model = (await trained(client, **{**LINE, "model": {"name": "boosted_trees", "min_samples_leaf": 2}}))["trained_model"]
    for name in ("left", "right"):
        request = {"model": changed(model, f"/parameters/{name}/0", 0), "inputs": X}
        assert await faults_of(client, "/v1/predict", request) == [(f"/model/parameters/{name}/0", "out_of_range")]


async def test_what_is_wrong_with_rows(client: httpx.AsyncClient) -> None:
    model = (await trained(client, **TWO))["trained_model"]

    async def refused(**request: Any) -> list[tuple[str, str]]:
        return await faults_of(client, "/v1/predict", {"model": model, **request})

    assert await refused(inputs=[[1.0], [2.0]]) == [("/inputs", "shape_mismatch")]
    assert await refused(inputs=[1.0, 2.0]) == [("/inputs", "shape_mismatch")]
    assert await refused(inputs=[[1.0, None]]) == [("/inputs/0/1", "not_a_number")]
    assert await refused(inputs=[[1.0, "red"]]) == [("/inputs/0/1", "not_a_number")]
    assert await refused() == [("", "choice")]
    assert await refused(inputs=X, surface={}) == [("", "choice")]
    assert await refused(surface={"n": 501}) == [("/surface/n", "out_of_range")]
    assert await refused(surface={"x": [2, 1]}) == [("/surface/x", "out_of_range")]
    assert (await faults_of(client, "/v1/predict", {"inputs": X}))[0][0] == "/model"
    one = (await trained(client, data={"inputs": [[row[0]] for row in X], "targets": SIDES}, loss=TWO["loss"]))["trained_model"]
    assert await faults_of(client, "/v1/predict", {"model": one, "surface": {}}) == [("/surface", "does_not_fit")]


# --- going on ---------------------------------------------------------------------------------------------------------------


LEARNING = [*OPTIMIZERS, *(name for name, model in MODELS.items() if model.epochs is None and not model.optimized)]


def kind_of(name: str) -> object:
    """What its state is made of; the core's own tests go on with each."""
    return name if name in MODELS else (OPTIMIZERS[name].full_batch, len(OPTIMIZERS[name].slots))


@pytest.mark.parametrize("name", one_of_each(LEARNING, kind_of))
async def test_a_run_goes_on_where_it_was(name: str, client: httpx.AsyncClient) -> None:
    """Every number of the answer but the seconds, the model and its state among them."""
    of_trees = name in MODELS
    kind = {"model": name} if of_trees else {"model": {"name": "mlp", "hidden": [4]}, "optimizer": name}
    more = {} if of_trees or OPTIMIZERS[name].full_batch else {"model": {"name": "mlp", "hidden": [4], "dropout": 0.2}}
    request = {**CLASSES, **kind, **more, "early_stopping": {"patience": 50, "monitor": "accuracy"}}
    request["outputs"] = ["model", "predictions", "per_sample", "parameters", "confusion_matrix", "calibration"]
    short = await trained(client, **request, epochs=2)
    whole = await trained(client, **request, epochs=5)
    resumed = await trained(client, **request, epochs=5, resume=short["trained_model"])
    assert bare(resumed) == bare(whole)
    assert len(whole["history"]) == 5


COMPOSED: list[dict[str, Any]] = [
    {"name": "weighted_sum", "terms": [{"loss": "mse", "weight": 0.7}, {"loss": {"name": "huber", "delta": 2.0}, "weight": 0.3}]},
    {"name": "asymmetric", "loss": "mse", "under": 3.0, "over": 1.0},
]


@pytest.mark.parametrize("loss", COMPOSED, ids=lambda loss: loss["name"])
async def test_losses_made_of_others_go_on(loss: dict[str, Any], client: httpx.AsyncClient) -> None:
    request = {**LINE, "loss": loss, "model": "linear"}
    short, whole = await trained(client, **request, epochs=2), await trained(client, **request, epochs=4)
    assert bare(await trained(client, **request, epochs=4, resume=short["trained_model"])) == bare(whole)


async def test_words_go_on_too(client: httpx.AsyncClient) -> None:
    short, whole = await trained(client, **WORDS, epochs=2), await trained(client, **WORDS, epochs=4)
    assert bare(await trained(client, **WORDS, epochs=4, resume=short["trained_model"])) == bare(whole)


async def test_a_run_that_cannot_go_on_is_told_why(client: httpx.AsyncClient) -> None:
    model = (await trained(client, **TWO))["trained_model"]

    async def refused(**request: Any) -> list[tuple[str, str]]:
        return await faults_of(client, "/v1/train", {**TWO, "epochs": 9, "resume": model, **request})

    assert await refused(epochs=3) == [("/epochs", "out_of_range")]
    assert await refused(loss="hinge") == [("/resume", "does_not_fit")]
    assert await refused(model="linear") == [("/resume", "does_not_fit")]
    assert await refused(resume={**model, "state": None}) == [("/resume/state", "missing")]
    assert await refused(resume=changed(model, "/state/arrays/rng", [1, 2])) == [("/resume/state/rng", "shape_mismatch")]
    other = await asked(
        client, "/v1/train", **{**TWO, "data": {"inputs": X[:30], "targets": SIDES[:30]}, "epochs": 9, "resume": model}
    )
    assert any("other rows" in warning for warning in other["warnings"])


# --- what else a run tells of decisions ---------------------------------------------------------------------------------------


async def test_decisions_are_counted(client: httpx.AsyncClient) -> None:
    run = await trained(client, **CLASSES, metrics=["accuracy", "f1"], outputs=["confusion_matrix", "predictions", "rows"])
    true = [int(THREE[row]) for row in run["rows"]["validation"]]
    decided = np.argmax(run["predictions"], axis=1)
    matrix = np.zeros((3, 3))
    for truth, decision in zip(true, decided, strict=True):
        matrix[truth, decision] += 1
    found = run["confusion_matrix"]
    assert found["classes"] == [0, 1, 2]
    assert found["matrix"] == matrix.tolist()
    assert found["support"] == matrix.sum(axis=1).tolist()
    assert run["final"]["metrics"]["accuracy"]["validation"] == matrix.trace() / matrix.sum()
    assert np.mean([score or 0.0 for score in found["f1"]]) == pytest.approx(run["final"]["metrics"]["f1"]["validation"])


async def test_calibration_is_of_the_positive_class(client: httpx.AsyncClient) -> None:
    run = await trained(client, **TWO, validation=None, outputs=["calibration", "predictions", "model"])
    shares = 1 / (1 + np.exp(-np.array(run["predictions"])))
    outcome = np.array([side == "right" for side in SIDES])
    order, bins = np.argsort(shares), run["calibration"]["bins"]
    assert [part["n"] for part in bins] == [6] * 10
    for part, rows in zip(bins, np.split(order, 10), strict=True):
        assert part["mean_predicted"] == pytest.approx(shares[rows].mean())
        assert part["share_observed"] == pytest.approx(outcome[rows].mean())
    gaps = [part["n"] / 60 * abs(part["mean_predicted"] - part["share_observed"]) for part in bins]
    assert run["calibration"]["expected_calibration_error"] == pytest.approx(sum(gaps))


@pytest.mark.parametrize(("task", "output"), [("line", "confusion_matrix"), ("line", "calibration"), ("signs", "calibration")])
async def test_what_decides_nothing_has_none_of_it(task: str, output: str, client: httpx.AsyncClient) -> None:
    request = {**TASKS[task], "outputs": ["predictions", output]}
    assert await faults_of(client, "/v1/train", request) == [("/outputs/1", "unexpected")]


async def test_history_may_be_thinned(client: httpx.AsyncClient) -> None:
    request = {**TWO, "epochs": 13, "early_stopping": {"patience": 50, "monitor": "training_loss"}}
    whole, thin = await trained(client, **request), await trained(client, **request, every=5)
    kept = {1, 5, 10, whole["best_epoch"], 13}
    assert bare(thin["history"]) == [epoch for epoch in bare(whole["history"]) if epoch["epoch"] in kept]
    assert bare({**thin, "history": None}) == bare({**whole, "history": None})


# --- what is monitored --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monitor", ["training_loss", "validation_loss", "acc", "hinge"])
async def test_the_best_epoch_is_that_of_what_is_monitored(monitor: str, client: httpx.AsyncClient) -> None:
    stopping = {"monitor": monitor, "patience": 4, "start_from_epoch": 3}
    run = await trained(
        client, **{**TWO, "epochs": 40, "optimizer": {"name": "sgd", "learning_rate": 0.3}}, early_stopping=stopping
    )
    name = {"acc": "accuracy"}.get(monitor, monitor)
    scores = [epoch[name] if name.endswith("_loss") else epoch["metrics"][name]["validation"] for epoch in run["history"]]
    best = max(scores[3:]) if name == "accuracy" else min(scores[3:])
    assert run["best_epoch"] == 4 + scores[3:].index(best)
    assert run["final"]["epoch"] == run["best_epoch"]
    if run["stopped"]["reason"] == "early_stopping":
        assert run["stopped"]["epoch"] == run["best_epoch"] + 4


async def test_epochs_that_do_not_count_are_not_waited_in(client: httpx.AsyncClient) -> None:
    stopping = {"patience": 1, "start_from_epoch": 6, "monitor": "r2"}
    worse = {"name": "sgd", "learning_rate": 1e-12}
    run = await trained(client, **{**LINE, "epochs": 30, "optimizer": worse}, early_stopping={**stopping, "min_delta": 1.0})
    assert run["stopped"] == {"epoch": 8, "reason": "early_stopping"}
    never = await trained(client, **{**LINE, "epochs": 5}, early_stopping=stopping)
    assert (never["best_epoch"], never["final"]["epoch"]) == (None, 5)


@pytest.mark.parametrize(
    ("stopping", "more", "code"),
    [
        ({"monitor": "accurracy"}, {}, "unknown_metric"),
        ({"monitor": "r2"}, {}, "metric"),
        ({"monitor": "validation_loss"}, {"validation": None}, "missing"),
    ],
)
async def test_what_cannot_be_monitored(stopping: Any, more: Any, code: str, client: httpx.AsyncClient) -> None:
    request = {**TWO, "early_stopping": stopping, **more}
    assert await faults_of(client, "/v1/train", request) == [("/early_stopping/monitor", code)]


# --- several arrays -------------------------------------------------------------------------------------------------------

LONG = pytest.mark.thorough
SEVERAL: dict[str, dict[str, Any]] = {
    "mean and variance": {"data": LINE["data"], "loss": "gaussian_nll"},
    "numbers between ends": {"data": LINE["data"], "loss": "student_t_nll"},
    "two tasks": {
        "data": {"inputs": X, "targets": {"size": LINE["data"]["targets"], "kind": THREE}},
        "loss": {
            "name": "multi_task",
            "heads": {"size": {"loss": "huber"}, "kind": {"loss": {"name": "CrossEntropyLoss"}, "weight": 0.5}},
        },
    },
    "times with an end": {
        "data": {"inputs": X, "targets": {"interval": THREE, "event": [float(side == "left") for side in SIDES]}},
        "loss": "logistic_hazard",
    },
}


@pytest.mark.parametrize("model", ["mlp", "boosted_trees"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG) if name == "numbers between ends" else name for name in SEVERAL])
async def test_heads_are_kept_predict_and_go_on(client: httpx.AsyncClient, name: str, model: str) -> None:
    run = {**SEVERAL[name], "model": model, "outputs": ["model", "predictions", "rows", "per_sample"]}
    whole, first = await trained(client, **run, epochs=4), await trained(client, **run, epochs=2)
    held = (
        [X[row] for row in first["rows"]["validation"]] if isinstance(first["rows"], dict) else [X[row] for row in first["rows"]]
    )
    told = await asked(client, "/v1/predict", model=first["trained_model"], inputs=held)
    assert told["predictions"] == first["predictions"]
    grid = await asked(client, "/v1/predict", model=first["trained_model"], surface={"n": 3})
    if isinstance(told["predictions"], dict):
        assert grid["surface"]["predictions"].keys() == told["predictions"].keys()
    resumed = await trained(client, **run, epochs=4, resume=first["trained_model"])
    assert bare(resumed["history"]) == bare(whole["history"])
    assert resumed["predictions"] == whole["predictions"]


@LONG
async def test_a_head_that_was_changed_by_hand_is_refused(client: httpx.AsyncClient) -> None:
    kept = (await trained(client, **SEVERAL["numbers between ends"], outputs=["model"]))["trained_model"]
    assert kept["heads"]["degrees"] == {"outputs": None, "output_activation": None, "low": 0.01, "high": 1e6}
    for change, pointer, code in (
        ({"low": 2.0, "high": 1.0}, "/model/heads/degrees", "choice"),
        ({"low": None}, "/model/heads/degrees", "choice"),
        ({"outputs": 2}, "/model/heads", "shape_mismatch"),
    ):
        heads = {**kept["heads"], "degrees": {**kept["heads"]["degrees"], **change}}
        bad = {"model": {**kept, "heads": heads}, "inputs": X[:2]}
        assert await faults_of(client, "/v1/predict", bad) == [(pointer, code)]


# --- ONNX ---------------------------------------------------------------------------------------------------------------


async def test_a_file_predicts_what_the_model_does(client: httpx.AsyncClient) -> None:
    run = await trained(client, **CLASSES, outputs=["model", "onnx"])
    predicted = await asked(client, "/v1/predict", model=run["trained_model"], inputs=X)
    session = onnxruntime.InferenceSession(base64.b64decode(run["onnx"]), providers=["CPUExecutionProvider"])
    predictions, probabilities = map(np.asarray, session.run(["predictions", "probabilities"], {"inputs": np.array(X)}))
    np.testing.assert_allclose(predictions, predicted["predictions"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(probabilities, predicted["probabilities"], rtol=1e-12)


async def test_a_file_of_categories_is_refused(client: httpx.AsyncClient) -> None:
    found = await faults_of(client, "/v1/train", {**WORDS, "epochs": 1, "outputs": ["predictions", "onnx"]})
    assert found == [("/outputs/1", "unexpected")]


def test_a_server_without_the_extra_says_so_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        TrainRequest.model_validate({"data": "regression", "outputs": ["onnx"]}, context=Settings())
    told = not_installed(missing.value)
    assert told is not None
    assert told.code == "not_installed"
    assert "criterion[onnx]" in str(told)


# --- heads that decide ------------------------------------------------------------------------------------------------------

TASKS_OF_HEADS: dict[str, Any] = {
    "name": "multi_task",
    "heads": {
        "side": {"loss": {"name": "bce", "from_logits": True}},
        "kind": {"loss": {"name": "categorical_cross_entropy", "from_logits": True}},
        "height": {"loss": "mse"},
    },
}
KINDS = [["ant", "bee", "cat"][int(number)] for number in THREE]
BY_HEAD = {"side": SIDES, "kind": KINDS, "height": [row[0] for row in X]}


async def test_each_head_decides_between_classes_of_its_own(client: httpx.AsyncClient) -> None:
    """Names are read as the indices that they stand for, and told again wherever something is decided."""
    asks = {"loss": TASKS_OF_HEADS, "epochs": 8, "outputs": ["model", "predictions", "rows", "confusion_matrix", "calibration"]}
    run = await trained(client, data={"inputs": X, "targets": BY_HEAD}, **asks)
    names = {"side": ["left", "right"], "kind": ["ant", "bee", "cat"]}
    indices = {**BY_HEAD, **{head: [float(names[head].index(word)) for word in BY_HEAD[head]] for head in names}}
    same = await trained(client, data={"inputs": X, "targets": indices, "classes": names}, **asks)
    assert bare(same) == bare(run)
    assert (run["data"]["classes"], run["data"]["classes_by_head"]) == (None, names)

    held = run["rows"]["validation"]
    found = await asked(client, "/v1/predict", model=run["trained_model"], inputs=[X[row] for row in held])
    assert found["predictions"] == run["predictions"]
    assert found["classes"] == names
    assert {*found["probabilities"]} == {*found["labels"]} == {*names} == {*run["calibration"]}
    for head, words in names.items():
        shares = np.array(found["probabilities"][head])
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)
        assert found["labels"][head] == [words[place] for place in shares.argmax(axis=1)]
        counts = np.zeros((len(words), len(words)))
        for row, label in zip(held, found["labels"][head], strict=True):
            counts[words.index(BY_HEAD[head][row]), words.index(label)] += 1
        assert run["confusion_matrix"][head]["classes"] == words
        assert run["confusion_matrix"][head]["matrix"] == counts.tolist()

    plane = (await asked(client, "/v1/predict", model=run["trained_model"], surface={"n": 3}))["surface"]
    assert np.shape(plane["labels"]["kind"]) == (3, 3)
    assert np.shape(plane["probabilities"]["kind"]) == (3, 3, 3)


async def test_heads_that_are_changed_by_hand_and_other_classes_are_refused(client: httpx.AsyncClient) -> None:
    data = {"inputs": X, "targets": BY_HEAD}
    run = await trained(client, data=data, loss=TASKS_OF_HEADS)
    model = run["trained_model"]
    kind = {**model["heads"]["kind"], "classes": ["ant", "bee"]}
    changed = {**model, "heads": {**model["heads"], "kind": kind}}
    assert await faults_of(client, "/v1/predict", {"model": changed, "inputs": X}) == [("/model/heads/kind/classes", "length")]
    turned = {"data": {**data, "classes": {"kind": ["cat", "bee", "ant"]}}, "loss": TASKS_OF_HEADS, "epochs": 5, "resume": model}
    assert await faults_of(client, "/v1/train", turned) == [("/resume", "does_not_fit")]


async def test_without_names_heads_decide_between_numbers_and_a_class_without_rows_is_named_by_its_head(
    client: httpx.AsyncClient,
) -> None:
    order = np.argsort(KINDS, kind="stable").tolist()
    data = {"inputs": [X[row] for row in order], "targets": {head: [BY_HEAD[head][row] for row in order] for head in BY_HEAD}}
    run = await trained(client, data=data, loss=TASKS_OF_HEADS, validation={"last": KINDS.count("cat")})
    assert run["diagnosis"][0]["summary"].startswith("Of class cat of the head kind there are")
    number = {"inputs": X, "targets": {**BY_HEAD, "kind": THREE, "side": [float(side == "right") for side in SIDES]}}
    run = await trained(client, data=number, loss=TASKS_OF_HEADS)
    assert "classes_by_head" not in run["data"]
    found = await asked(client, "/v1/predict", model=run["trained_model"], inputs=X[:2])
    assert found["classes"] == {"side": [0, 1], "kind": [0, 1, 2]}
