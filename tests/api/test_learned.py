"""POST /v1/train with `learn`: parameters of a loss that move with the weights, and the loss that was found."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.test_training import bare, refused, train

pytestmark = pytest.mark.anyio

RNG = np.random.default_rng(8)
X = RNG.normal(size=(60, 2)).round(3)
ROWS = {"inputs": X.tolist(), "targets": (X @ [1.5, -0.5] + 0.3 * RNG.standard_t(2, 60)).round(3).tolist()}
LEARNED: dict[str, Any] = {
    "data": ROWS,
    "model": "linear",
    "loss": "barron",
    "learn": {"parameters": ["alpha", "scale"]},
    "epochs": 4,
    "outputs": ["model"],
}
HEADS: dict[str, Any] = {
    "data": {"inputs": [[0], [0], [1], [1]], "targets": {"a": [2, -2, 2, -2], "b": [1, 2, 3, 4]}},
    "model": "linear",
    "loss": {"name": "multi_task", "heads": {"a": {"loss": "half_squared_error", "weight": 1}, "b": {"loss": "mse"}}},
    "learn": {"parameters": ["heads.a.log_variance"]},
    "optimizer": "lbfgs",
    "epochs": 10,
    "standardize": {"inputs": False},
    "validation": None,
}


async def test_the_found_loss_is_one_that_requests_take(client: httpx.AsyncClient) -> None:
    answer = await train(client, **LEARNED)
    last = answer["history"][-1]["loss_parameters"]
    assert [*last] == ["alpha", "scale"]
    assert answer["learned_loss"] == {"name": "barron", "alpha": last["alpha"], "c": last["scale"]}
    assert answer["loss"] == {"name": "barron", "alpha": 1.0, "c": 1.0}
    request = {"loss": answer["learned_loss"], "predictions": [1, 2], "targets": [2, 2]}
    assert (await client.post("/v1/evaluate", json=request)).status_code == 200
    plain = await train(client, **LEARNED | {"learn": None})
    assert "learned_loss" not in plain
    assert "loss_parameters" not in plain["history"][0]


async def test_log_variance_of_the_contract(client: httpx.AsyncClient) -> None:
    answer = await train(client, **HEADS)
    learned = answer["learned_loss"]["heads"]["a"]
    assert learned.pop("log_variance") == pytest.approx(1.3862944, abs=5e-8)
    assert learned == {"loss": {"name": "half_squared_error", **learned["loss"]}}
    arrays = {"a": [0.0, 1.0], "b": [1.0, 1.0]}
    request = {"loss": answer["learned_loss"], "predictions": arrays, "targets": arrays}
    assert (await client.post("/v1/evaluate", json=request)).status_code == 200


async def test_a_run_goes_on_from_what_it_has_learned(client: httpx.AsyncClient) -> None:
    first, whole = await train(client, **LEARNED), await train(client, **LEARNED | {"epochs": 9})
    resumed = await train(client, **LEARNED | {"epochs": 9, "resume": first["trained_model"]})
    parts = bare(whole), bare(resumed)
    for part in parts:
        part["trained_model"]["state"]["history"].pop("seconds", None)
    assert parts[0] == parts[1]
    rows = {"model": resumed["trained_model"], "inputs": ROWS["inputs"]}
    assert (await client.post("/v1/predict", json=rows)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "pointer", "code", "words"),
    [
        ({"loss": "huber"}, "/learn/parameters/0", "not_learnable", "barron"),
        ({"learn": {"parameters": ["alpha", "delta"]}}, "/learn/parameters/1", "not_learnable", "alpha, scale can"),
        ({"loss": {"name": "barron", "alpha": 2}}, "/loss/alpha", "out_of_range", "from 0 to 1.999"),
        ({"model": "boosted_trees"}, "/learn", "unexpected", "leave learn out"),
        ({"learn": {"parameters": []}}, "/learn/parameters", None, ""),
        ({"learn": {"parameters": ["alpha"], "learning_rate": 0}}, "/learn/learning_rate", None, ""),
    ],
)
async def test_what_cannot_be_learned(
    client: httpx.AsyncClient, changes: dict[str, Any], pointer: str, code: str | None, words: str
) -> None:
    (error,) = (await refused(client, LEARNED | changes))["errors"]
    assert error["pointer"] == pointer
    assert code in (None, error["code"])
    assert words in error["message"]


async def test_a_weight_of_a_head_is_in_the_way_of_its_log_variance(client: httpx.AsyncClient) -> None:
    loss = {"name": "multi_task", "heads": {"a": {"loss": "mse", "weight": 2}, "b": {"loss": "mse"}}}
    (error,) = (await refused(client, HEADS | {"loss": loss}))["errors"]
    assert (error["pointer"], error["code"]) == ("/learn/parameters/0", "not_learnable")
    assert "leave it out" in error["message"]


async def test_models_of_a_comparison_without_weights_learn_nothing(client: httpx.AsyncClient) -> None:
    request = {name: LEARNED[name] for name in ("data", "loss", "learn", "epochs")} | {"models": ["linear", "boosted_trees"]}
    answer = (await client.post("/v1/train/compare", json=request)).json()
    weights, trees = answer["runs"]
    assert "learned_loss" in weights
    assert "learned_loss" not in trees
    assert "learn is left out" in trees["warnings"][0]


async def test_a_perfect_head_is_told_without_a_number_that_is_none(client: httpx.AsyncClient) -> None:
    data = {"inputs": [[0], [1], [2], [3]], "targets": {"a": [0, 1, 2, 3], "b": [1, 2, 2, 1]}}
    answer = await train(client, **HEADS | {"data": data})
    assert math.isfinite(answer["learned_loss"]["heads"]["a"]["log_variance"])


async def test_a_model_in_float32_predicts_and_goes_on_by_the_same_bits(client: httpx.AsyncClient) -> None:
    """Numbers of 32 bits come back from JSON as they went."""
    request = LEARNED | {
        "precision": "float32",
        "model": {"name": "mlp", "hidden": [8]},
        "outputs": ["model", "predictions", "rows"],
    }
    first, whole = await train(client, **request), await train(client, **request | {"epochs": 9})
    assert first["trained_model"]["precision"] == "float32"
    resumed = await train(client, **request | {"epochs": 9, "resume": first["trained_model"]})
    assert bare(resumed["history"]) == bare(whole["history"])
    assert resumed["trained_model"]["parameters"] == whole["trained_model"]["parameters"]
    rows = [ROWS["inputs"][row] for row in whole["rows"]["validation"]]
    answer = (await client.post("/v1/predict", json={"model": resumed["trained_model"], "inputs": rows})).json()
    assert answer["predictions"] == whole["predictions"]


async def test_a_search_tells_the_loss_that_its_best_trial_has_learned(client: httpx.AsyncClient) -> None:
    rates = {"learn.learning_rate": {"values": [0.01, 0.1]}}
    request = {name: LEARNED[name] for name in ("data", "model", "loss", "learn", "epochs")}
    answer = (await client.post("/v1/train/search", json=request | {"space": rates, "trials": 2})).json()
    found = answer["best"]["loss"]
    assert (found["name"], [*found]) == ("barron", ["name", "alpha", "c"])
    assert found["c"] != 1.0
    space = {"learn": {"values": [None, LEARNED["learn"]]}}
    response = await client.post("/v1/train/search", json=request | {"space": space, "trials": 2, "monitor": "validation_loss"})
    assert [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]] == [("/monitor", "incomparable")]
