"""What people get wrong, and what they are told: a row for each mistake, with the words that help."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from app.losses import LOSSES
from app.suggestions import SYNONYMS, folded, meant, translated
from app.training import DATASETS, MODELS, OPTIMIZERS, SCHEDULES
from tests.api.problem import problem_of
from tests.folding import in_turn

pytestmark = pytest.mark.anyio

P, T = [0.2, 0.8], [0, 1]
ROWS = [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]
SCORES = [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]


EVALUATE: list[tuple[dict[str, Any], str, str]] = [
    # fields by the names that they have elsewhere
    ({"loss": "bce", "y_pred": P, "y_true": T}, "/y_pred", "did you mean predictions?"),
    ({"loss": "bce", "y_pred": P, "y_true": T}, "/y_true", "did you mean targets?"),
    ({"loss": "bce", "input": P, "target": T}, "/input", "did you mean predictions?"),
    ({"loss": "bce", "input": P, "target": T}, "/target", "did you mean targets?"),
    ({"loss": "bce", "prediction": P, "targets": T}, "/prediction", "did you mean predictions?"),
    ({"loss": "bce", "logits": P, "label_ids": T}, "/logits", "did you mean predictions?"),
    ({"loss": "bce", "logits": P, "label_ids": T}, "/label_ids", "did you mean targets?"),
    ({"loss": "bce", "predictions": P, "references": T}, "/references", "did you mean targets?"),
    ({"loss": "bce", "predictions": P, "targets": T, "weights": [1, 1]}, "/weights", "did you mean sample_weight?"),
    ({"loss": "bce", "predictions": P, "targets": T, "sampleWeight": [1, 1]}, "/sampleWeight", "did you mean sample_weight?"),
    ({"loss": "bce", "predictions": P, "targets": T, "sample_weights": [1, 1]}, "/sample_weights", "did you mean sample_weight?"),
    ({"loss": "bce", "predictions": P, "targets": T, "attention_mask": [1, 1]}, "/attention_mask", "did you mean mask?"),
    ({"loss": "bce", "predictions": P, "targets": T, "Reduction": "sum"}, "/Reduction", "did you mean reduction?"),
    ({"loss": "bce", "predictions": P, "targets": T, "foo": 1}, "/foo", "it has loss, predictions, targets, sample_weight, mask"),
    # what belongs elsewhere
    (
        {"loss": "huber", "predictions": P, "targets": T, "delta": 2},
        "/delta",
        'delta is a parameter of huber: {"loss": {"name": "huber", "delta": 2}}',
    ),
    (
        {"loss": {"name": "HuberLoss"}, "predictions": P, "targets": T, "delta": 2},
        "/delta",
        '{"loss": {"name": "HuberLoss", "delta": 2}}',
    ),
    (
        {"loss": "CrossEntropyLoss", "predictions": SCORES, "targets": T, "class_weights": [1, 1, 2]},
        "/class_weights",
        'class_weights is class_weight, a parameter of categorical_cross_entropy: {"loss": {"name": "CrossEntropyLoss"',
    ),
    ({"name": "huber", "predictions": P, "targets": T}, "/name", "did you mean loss?"),
    (
        {"loss": "triplet_margin", "anchor": [[1]], "positive": [[1]], "negative": [[2]]},
        "/anchor",
        'one of the predictions of triplet_margin: {"predictions": {"anchor": …}}',
    ),
    # parameters
    (
        {"loss": {"name": "CrossEntropyLoss", "weight": [1, 1, 2]}, "predictions": SCORES, "targets": T},
        "/loss/weight",
        "did you mean class_weight?",
    ),
    ({"loss": {"name": "quantile", "tau": 0.5}, "predictions": P, "targets": T}, "/loss/tau", "did you mean quantile?"),
    (
        {"loss": {"name": "CrossEntropyLoss", "padding_idx": 0}, "predictions": SCORES, "targets": T},
        "/loss/padding_idx",
        "did you mean ignore_index?",
    ),
    ({"loss": {"name": "mse", "delta": 1}, "predictions": P, "targets": T}, "/loss/delta", "it takes none"),
    # names
    ({"loss": "rmse_loss", "predictions": P, "targets": T}, "/loss", "Did you mean rmse?"),
    ({"loss": "hubber", "predictions": P, "targets": T}, "/loss", "Did you mean huber?"),
]

TRAIN: list[tuple[dict[str, Any], str, str]] = [
    ({"lr": 0.1}, "/lr", '{"optimizer": {"name": "adam", "learning_rate": 0.1}}'),
    ({"learning_rate": 0.1, "optimizer": "SGD"}, "/learning_rate", '{"optimizer": {"name": "SGD", "learning_rate": 0.1}}'),
    ({"layers": [8]}, "/layers", 'hidden, a parameter of mlp: {"model": {"name": "mlp", "hidden": …}}'),
    ({"model": {"name": "mlp", "layers": [8]}}, "/model/layers", "did you mean hidden?"),
    ({"model": {"name": "mlp", "hidden_layer_sizes": [8]}}, "/model/hidden_layer_sizes", "did you mean hidden?"),
    ({"model": {"name": "mlp", "activation": "relu"}}, "/model/activation", "did you mean hidden_activation?"),
    ({"X": [[1], [2]], "y": [1, 2]}, "/X", "did you mean data.inputs?"),
    ({"X": [[1], [2]], "y": [1, 2]}, "/y", "did you mean data.targets?"),
    ({"data": {"X": [[1], [2]], "y": [1, 2]}}, "/data/X", "did you mean inputs?"),
    ({"data": {"features": [[1], [2]], "labels": [1, 2]}}, "/data/features", "did you mean inputs?"),
    ({"n_epochs": 5}, "/n_epochs", "did you mean epochs?"),
    ({"random_state": 1}, "/random_state", "did you mean seed?"),
    ({"patience": 3}, "/patience", "did you mean early_stopping.patience?"),
    ({"loss": "huber", "delta": 3}, "/delta", '{"loss": {"name": "huber", "delta": 3}}'),
    ({"model": "neural_network"}, "/model", "Did you mean mlp?"),
    ({"model": "xgboost"}, "/model", "Did you mean boosted_trees?"),
    ({"model": "svm"}, "/model", "There are linear, mlp, boosted_trees, decision_tree, random_forest."),
    (
        {"metrics": ["specificity"]},
        "/metrics/0",
        "There are accuracy, f1, precision, recall, balanced_accuracy, average_precision, roc_auc, r2, recall_at_1.",
    ),
    ({"data": "mnist"}, "/data", "There are regression, friedman1, diabetes"),
]

ADDRESSES = [
    ("POST", "/evaluate", "/v1/evaluate"),
    ("POST", "/v1/evaluate/", "/v1/evaluate"),
    ("POST", "/v1//evaluate", "/v1/evaluate"),
    ("POST", "/api/v1/evaluate", "/v1/evaluate"),
    ("POST", "/V1/Evaluate", "/v1/evaluate"),
    ("GET", "/v1/loss", "/v1/losses"),
    ("POST", "/v1/loss", "/v1/losses"),
    ("GET", "/v1/losses/", "/v1/losses"),
    ("GET", "/losses/huber", "/v1/losses/huber"),
    ("POST", "/train/", "/v1/train"),
]


@pytest.mark.parametrize(("body", "pointer", "words"), EVALUATE, ids=lambda part: str(part)[:50])
async def test_an_evaluation(body: dict[str, Any], pointer: str, words: str, client: httpx.AsyncClient) -> None:
    await check_told("/v1/evaluate", body, pointer, words, client)


@pytest.mark.parametrize(("body", "pointer", "words"), TRAIN, ids=lambda part: str(part)[:50])
async def test_a_run(body: dict[str, Any], pointer: str, words: str, client: httpx.AsyncClient) -> None:
    await check_told("/v1/train", body, pointer, words, client)


async def check_told(path: str, body: dict[str, Any], pointer: str, words: str, client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.post(path, json=body))
    assert problem["status"] == 422
    assert words in {fault["pointer"]: fault["message"] for fault in problem["errors"]}[pointer]
    assert not [fault for fault in problem["errors"] if fault["code"] == "missing"]  # it has another name, and that is said


@pytest.mark.parametrize(("method", "path", "right"), ADDRESSES)
async def test_an_address(method: str, path: str, right: str, client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.request(method, path))
    assert problem["status"] == 404
    assert problem["detail"].endswith(f"; did you mean {right}?")


@pytest.mark.parametrize("path", ["/x", "/v3/xyzzy", "/" + "a/" * 3000, "/%00", "/v1/losses/huber/curve/of/it"])
async def test_an_address_like_none(path: str, client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.get(path))
    assert problem["status"] == 404
    assert "did you mean" not in problem["detail"]


async def test_everything_that_is_wrong_is_told_at_once(client: httpx.AsyncClient) -> None:
    body = {"loss": "hubber", "predictions": ["a", 1], "targets": [1, {}], "reduction": "avg", "weights": [1, 1], "mask": "no"}
    problem = problem_of(await client.post("/v1/evaluate", json=body))
    assert [fault["pointer"] for fault in problem["errors"]] == [
        "/loss",
        "/predictions/0",
        "/targets/1",
        "/mask",
        "/reduction",
        "/weights",
    ]
    body = {"loss": {"name": "huber", "dleta": 1, "delta": -1}, "predictions": P, "targets": T, "outputs": ["vale"]}
    problem = problem_of(await client.post("/v1/evaluate", json=body))
    assert {fault["pointer"] for fault in problem["errors"]} == {"/loss/delta", "/loss/dleta", "/outputs/0"}
    assert problem["code"] == "invalid_request"
    problem = problem_of(await client.post("/v1/train", json={"model": "mlpp", "optimizer": "adamm", "loss": "mes", "seed": -1}))
    assert {fault["pointer"] for fault in problem["errors"]} == {"/model", "/optimizer", "/loss", "/seed"}


async def test_several_unknown_names_are_unknown_names(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.post("/v1/train", json={"model": "mlpp", "optimizer": {"name": "sgd", "rate": 1}}))
    assert (problem["code"], len(problem["errors"])) == ("unknown_name", 2)


# --- the table --------------------------------------------------------------------------------------------------------


def fields_of(schema: object) -> set[str]:
    """Every property of an OpenAPI document's schemas."""
    if isinstance(schema, dict):
        own = schema.get("properties")
        inner = set[str]().union(*map(fields_of, schema.values()))
        return inner | (set(own) if isinstance(own, dict) else set())
    return set[str]().union(*map(fields_of, schema)) if isinstance(schema, list) else set()


async def test_every_word_of_ours_is_one(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    things = {name for registry in (LOSSES, DATASETS, MODELS, OPTIMIZERS, SCHEDULES) for name in registry}
    assert set(SYNONYMS) <= fields_of(document["components"]["schemas"]) | things


def test_no_word_means_itself_or_the_same_twice() -> None:
    for ours, theirs in SYNONYMS.items():
        words = [folded(word) for word in theirs.split()]
        assert folded(ours) not in words
        assert len(set(words)) == len(words), ours


@in_turn(("ours", "theirs"), [(ours, word) for ours, theirs in SYNONYMS.items() for word in theirs.split()])
def test_a_word_is_translated_where_ours_is_known(ours: str, theirs: str) -> None:
    assert translated(theirs, [ours, "zzz"]) == ours
    assert translated(theirs.upper(), [ours, "zzz"]) == ours


def test_slips_of_the_pen_are_found_the_nearest_first_and_three_at_most() -> None:
    assert meant("prediction_s", ["predictions", "targets"]) == ["predictions"]
    assert meant("trgets", ["predictions", "targets"]) == ["targets"]
    assert meant("xyzzy", ["predictions", "targets"]) == []
    assert meant("step", ["steps", "stepp", "stepq", "stepr"])[:1] == ["steps"]
    assert len(meant("stepz", ["steps", "stepp", "stepq", "stepr"])) == 3


# --- what is understood -----------------------------------------------------------------------------------------------

RUN: dict[str, Any] = {
    "data": {"inputs": [[1], [2], [3], [4], [5], [6]], "targets": [1, 2, 3, 4, 5, 7]},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "mse",
    "epochs": 2,
    "metrics": ["r2"],
}

SAME: dict[str, dict[str, Any]] = {
    "labels": {"data": {"inputs": RUN["data"]["inputs"], "labels": RUN["data"]["targets"]}},
    "a size that stands alone": {"model": {"name": "mlp", "hidden": 4}},
    "a size with a point": {"model": {"name": "mlp", "hidden": 4.0}},
    "sizes with a point": {"model": {"name": "mlp", "hidden": [4.0]}},
    "whole numbers with a point": {"epochs": 2.0, "seed": 0.0},
    "a metric that stands alone": {"metrics": "r2"},
    "a metric's object that stands alone": {"metrics": {"name": "r2_score"}},
    "null for whatever has a default": dict.fromkeys(
        ("seed", "shuffle", "outputs", "regularization", "standardize", "early_stopping", "optimizer", "schedule")
    ),
    "null within": {"regularization": {"l1": None, "l2": None}, "model": {"name": "mlp", "hidden": [4], "dropout": None}},
}


@pytest.mark.parametrize("name", SAME)
async def test_a_run_that_is_written_otherwise_is_the_same(name: str, client: httpx.AsyncClient) -> None:
    plain, other = [await client.post("/v1/train", json=body) for body in (RUN, {**RUN, **SAME[name]})]
    assert (plain.status_code, other.status_code) == (200, 200)
    assert {**plain.json(), "history": [], "final": []} == {**other.json(), "history": [], "final": []}
    losses = [[epoch["training_loss"] for epoch in answer.json()["history"]] for answer in (plain, other)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


async def test_what_is_wrong_with_labels_is_told_of_them(client: httpx.AsyncClient) -> None:
    data = {"inputs": [[1], [2], [3], [4], [5], [6]], "labels": [1, 2, 3]}
    problem = problem_of(await client.post("/v1/train", json={**RUN, "data": data}))
    assert [fault["pointer"] for fault in problem["errors"]] == ["/data/labels"]


# --- tensors ----------------------------------------------------------------------------------------------------------


def tensor(name: str, data: list[float], datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


async def infer(client: httpx.AsyncClient, *tensors: dict[str, Any], **parameters: object) -> httpx.Response:
    return await client.post("/v2/models/mse/infer", json={"inputs": [*tensors], "parameters": parameters})


async def test_tensors_may_have_the_same_words(client: httpx.AsyncClient) -> None:
    plain = await infer(client, tensor("predictions", [1, 2]), tensor("targets", [1, 5]), reduction="mean_over_samples")
    other = await infer(client, tensor("predictions", [1, 2]), tensor("labels", [1, 5]), reduction="Sum_Over_Batch_Size")
    assert plain.status_code == 200
    assert plain.json() == other.json()
    masked = [tensor("mask", [1, 0], "INT64"), {**tensor("mask", [], "BOOL"), "shape": [2], "data": [True, False]}]
    numbers, flags = [await infer(client, tensor("predictions", [1, 2]), tensor("targets", [2, 5]), mask) for mask in masked]
    assert numbers.json() == flags.json()
    assert numbers.json()["outputs"][0]["data"] == [1.0]


async def test_missing_numbers_of_tensors_are_dropped_where_that_is_asked(client: httpx.AsyncClient) -> None:
    raw = np.array([1.0, np.nan, 4.0]).tobytes()
    header = {"name": "predictions", "datatype": "FP64", "shape": [3], "parameters": {"binary_data_size": len(raw)}}
    document = {"inputs": [header, tensor("targets", [1, 2, 2])], "parameters": {"missing": "drop"}}
    head = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = (await client.post("/v2/models/mse/infer", content=head + raw, headers=headers)).json()
    assert answer["parameters"] == {"n_missing": 1}
    assert answer["outputs"][0]["data"] == [2.0]


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [("y_true", {}, "did you mean targets?"), ("targets", {"reductio": "sum"}, "did you mean reduction?")],
)
async def test_tensors_are_told_what_is_meant(
    name: str, parameters: dict[str, str], words: str, client: httpx.AsyncClient
) -> None:
    response = await infer(client, tensor("predictions", [1, 2]), tensor(name, [1, 5]), **parameters)
    assert response.status_code == 400
    assert words in response.json()["error"]


async def test_all_tensors_of_other_names_are_told(client: httpx.AsyncClient) -> None:
    response = await infer(client, tensor("y_pred", [1, 2]), tensor("y_true", [1, 5]))
    assert {words in response.json()["error"] for words in ("did you mean predictions?", "did you mean targets?")} == {True}
