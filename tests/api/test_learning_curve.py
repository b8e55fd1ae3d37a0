"""POST /v1/train/learning-curve: each point is a run on some of the rows, and the last is the run by itself."""

import math
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator

from app.api.training_examples import CURVES
from app.training import Holdout
from app.training.splits import split
from tests.api.problem import problem_of, strictly
from tests.api.test_training import STREAM, X, Y
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

PATH = "/v1/train/learning-curve"
REAL: dict[str, Any] = {
    "data": {"inputs": X.tolist(), "targets": Y.tolist()},
    "loss": "mse",
    "model": {"name": "mlp", "hidden": [4]},
    "epochs": 3,
    "metrics": ["r2"],
}


async def curve(client: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    response = await client.post(PATH, json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)["points"]


async def train(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    return strictly((await client.post("/v1/train", json=request)).text)["final"]


async def test_the_last_point_is_the_run_by_itself(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    points = await curve(client, **REAL)
    schemas["LearningCurveResponse"].validate({"points": points})
    assert [point["rows"] for point in points] == [3, 10, 18, 25, 32]
    final = await train(client, **REAL)
    for side in ("training_loss", "validation_loss"):
        assert points[-1][side] == {"n": 1, "mean": final[side], "deviation": None}
    for side in ("training", "validation"):
        assert points[-1]["metrics"]["r2"][side]["mean"] == final["metrics"]["r2"][side]


async def test_each_point_is_the_run_on_its_rows(client: httpx.AsyncClient) -> None:
    """On the same rows to validate with, which no size changes."""
    points = await curve(client, **REAL, sizes=[8, 20], seed=3)
    _, held = split(40, Holdout(0.2))
    for point in points:
        kept, _ = split(40, Holdout(0.2, kept=point["rows"], draw=3))
        alone = await train(
            client,
            **{**REAL, "data": {"inputs": X[kept].tolist(), "targets": Y[kept].tolist()}},
            validation={"inputs": X[held].tolist(), "targets": Y[held].tolist()},
            seed=3,
        )
        assert math.isclose(point["validation_loss"]["mean"], alone["validation_loss"], rel_tol=1e-12)
        assert math.isclose(point["training_loss"]["mean"], alone["training_loss"], rel_tol=1e-12)


async def test_seeds_are_averaged(client: httpx.AsyncClient) -> None:
    seeds = [1, 2, 5]
    together = await curve(client, **REAL, sizes=[0.5, 1.0], seeds=seeds)
    apart = [await curve(client, **REAL, sizes=[0.5, 1.0], seed=seed) for seed in seeds]
    for place, point in enumerate(together):
        for side in ("training_loss", "validation_loss"):
            numbers = [points[place][side]["mean"] for points in apart]
            assert point[side]["n"] == 3
            assert math.isclose(point[side]["mean"], np.mean(numbers))
            assert math.isclose(point[side]["deviation"], np.std(numbers, ddof=1))


async def test_without_rows_to_validate_with_there_is_no_such_loss(client: httpx.AsyncClient) -> None:
    (point,) = await curve(client, **REAL, validation=None, sizes=[1.0])
    assert point["rows"] == 40
    assert point["validation_loss"] == {"n": 0, "mean": None, "deviation": None}


async def test_a_step_takes_no_more_rows_than_there_are(client: httpx.AsyncClient) -> None:
    points = await curve(client, **REAL, sizes=[4, 32], batch_size=16)
    assert points[-1]["training_loss"]["mean"] == (await train(client, **REAL, batch_size=16))["training_loss"]


async def test_a_stream_tells_how_far_it_is(client: httpx.AsyncClient) -> None:
    request = {**REAL, "sizes": [0.5, 1.0], "seeds": [1, 2]}
    start, *told, end = events_in((await client.post(PATH, json=request, headers=STREAM)).text)
    assert start.data == {"rows": [16, 32], "of": 4}
    assert [(event.name, event.data) for event in told] == [("progress", {"done": done, "of": 4}) for done in range(1, 5)]
    assert end.data["points"] == await curve(client, **request)


@pytest.mark.parametrize(
    ("request_", "pointer", "code"),
    [
        ({"sizes": [0.5, 0.2]}, "/sizes/1", "out_of_range"),
        ({"sizes": [0.5, 33]}, "/sizes/1", "out_of_range"),
        ({"sizes": [10.5]}, "/sizes/0", "out_of_range"),
        ({"sizes": [-1]}, "/sizes/0", "out_of_range"),
        ({"sizes": [0.001]}, "/sizes/0", "no_samples"),
        ({"sizes": []}, "/sizes", "length"),
        ({"seeds": [1], "seed": 1}, "/seed", "unexpected"),
        ({"sizes": [*range(2, 23)], "seeds": [*range(10)]}, "", "limit"),
    ],
)
async def test_what_is_refused(request_: dict[str, Any], pointer: str, code: str, client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={**REAL, **request_})
    assert response.status_code == 422, response.text
    assert [(fault["pointer"], fault["code"]) for fault in problem_of(response)["errors"]] == [(pointer, code)]


@pytest.mark.parametrize("name", CURVES)
async def test_an_example_of_the_document(name: str, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    schemas["LearningCurveRequest"].validate(CURVES[name]["value"])
    points = await curve(client, **CURVES[name]["value"])
    schemas["LearningCurveResponse"].validate({"points": points})
    assert points[-1]["validation_loss"]["mean"] < points[0]["validation_loss"]["mean"] or name == "short"
