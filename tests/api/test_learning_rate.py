"""POST /v1/train/learning-rate: the loss of a step at each rate, where it diverges, and a suggestion that trains."""

from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator

from app.api.training_examples import RATES
from app.training.learning_rate import diverging
from tests.api.problem import problem_of, strictly
from tests.api.test_training import STREAM, X, Y
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

PATH = "/v1/train/learning-rate"
REAL: dict[str, Any] = {
    "data": {"inputs": X.tolist(), "targets": Y.tolist()},
    "loss": "half_squared_error",
    "model": "linear",
    "optimizer": "gradient_descent",
    "batch_size": "full",
    "validation": None,
    "standardize": {"inputs": False, "targets": False},
}


async def find(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post(PATH, json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def test_each_step_is_one_of_gradient_descent(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    """From zeros, on all rows: the same steps by hand."""
    answer = await find(client, **REAL, low=0.01, high=100.0, steps=9)
    schemas["LearningRateResponse"].validate(answer)
    rates = [entry["learning_rate"] for entry in answer["curve"]]
    assert np.allclose(rates, np.geomspace(0.01, 100.0, 9), rtol=1e-12)
    ones, weights = np.hstack([X, np.ones((40, 1))]), np.zeros(4)
    losses: list[float] = []
    for rate in rates:
        weights = weights - rate * ones.T @ (ones @ weights - Y) / 40
        losses.append(float(np.mean((ones @ weights - Y) ** 2) / 2))
    assert np.allclose([entry["loss"] for entry in answer["curve"]], losses, rtol=1e-9)
    wanted = next(rate for place, rate in enumerate(rates) if place and losses[place] > 4 * min(losses[:place]))
    assert answer["diverges_at"] == wanted


async def test_without_end_is_null(client: httpx.AsyncClient) -> None:
    answer = await find(client, **REAL, low=1.0, high=1e6, steps=200)
    losses = [entry["loss"] for entry in answer["curve"]]
    first = losses.index(None)
    assert first > 5
    assert losses[first:] == [None] * (200 - first)
    assert answer["diverges_at"] < answer["curve"][first]["learning_rate"]


@pytest.mark.parametrize(
    ("losses", "wanted"),
    [
        ([1.0, 0.5, 1.9, 2.1], 4.0),
        ([1.0, 0.5, 1.9], None),
        ([3.0, 2.0, float("nan")], 3.0),
        ([-1.0, -2.0, 3.9, 4.1], 4.0),  # a loss below 0 is four times itself where it is lower
        ([], None),
    ],
)
def test_where_it_diverges(losses: list[float], wanted: float | None) -> None:
    assert diverging([1.0, 2.0, 3.0, 4.0][: len(losses)], losses) == wanted


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("data", ["diabetes", "wine"])
async def test_the_suggestion_trains(optimizer: str, data: str, client: httpx.AsyncClient) -> None:
    answer = await find(client, data=data, optimizer=optimizer, epochs=10, steps=60)
    assert answer["suggestion"] is not None
    assert answer["diverges_at"] is None or answer["suggestion"] < answer["diverges_at"]
    chosen = {"name": optimizer, "learning_rate": answer["suggestion"]}
    run = strictly((await client.post("/v1/train", json={"data": data, "optimizer": chosen, "epochs": 10})).text)
    assert run["final"]["training_loss"] < 0.8 * answer["curve"][0]["loss"]


async def test_the_same_request_finds_the_same_and_streams_it(client: httpx.AsyncClient) -> None:
    request = {"data": "iris", "steps": 5}
    start, *told, end = events_in((await client.post(PATH, json=request, headers=STREAM)).text)
    assert start.data == {"steps": 5}
    assert [(event.name, event.data) for event in told] == [("progress", {"done": done, "of": 5}) for done in range(1, 6)]
    assert end.data == await find(client, **request)


@pytest.mark.parametrize(
    ("request_", "pointer", "code"),
    [
        ({"optimizer": "lbfgs", "batch_size": None}, "/optimizer", "unexpected"),
        ({"model": "boosted_trees", "optimizer": None, "batch_size": None}, "/model", "unexpected"),
        ({"low": 1.0, "high": 0.5}, "/high", "out_of_range"),
        ({"low": 0}, "/low", "out_of_range"),
        ({"steps": 1}, "/steps", "out_of_range"),
        ({"steps": 2000}, "/steps", "out_of_range"),
    ],
)
async def test_what_is_refused(request_: dict[str, Any], pointer: str, code: str, client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={**REAL, **request_})
    assert response.status_code == 422, response.text
    assert [(fault["pointer"], fault["code"]) for fault in problem_of(response)["errors"]] == [(pointer, code)]


@pytest.mark.parametrize("name", RATES)
async def test_an_example_of_the_document(name: str, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    schemas["LearningRateRequest"].validate(RATES[name]["value"])
    answer = await find(client, **RATES[name]["value"])
    schemas["LearningRateResponse"].validate(answer)
    assert answer["suggestion"] is not None
