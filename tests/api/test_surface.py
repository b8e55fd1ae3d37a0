"""What a model says over its inputs, and the rows it learns from: what is drawn of a run beside its curves."""

from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import make_moons

from tests.api.problem import problem_of
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

LINE: dict[str, Any] = {
    "data": {"inputs": [[0.0], [1.0], [2.0], [4.0]], "targets": [1.0, 3.5, 4.0, 9.0]},
    "model": "linear",
    "loss": "mse",
    "optimizer": {"name": "sgd", "learning_rate": 0.2},
    "epochs": 30,
}
PLANE: dict[str, Any] = {
    "data": {"inputs": [[0, 0], [0, 1], [1, 0], [1, 1], [2, 3]], "targets": [0, 1, 1, 0, 1]},
    "model": {"name": "mlp", "hidden": [5]},
    "loss": {"name": "bce", "from_logits": True},
    "epochs": 20,
}


async def trained(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post("/v1/train", json=request)
    assert response.status_code == 200, response.text
    return response.json()


def on_trees(request: dict[str, Any], model: str | dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in request.items() if name != "optimizer"}, "model": model}


BOOSTED = {"name": "boosted_trees", "min_samples_leaf": 1}
THREE: dict[str, Any] = {"data": {"name": "blobs", "n_samples": 60}, "loss": "categorical_cross_entropy", "epochs": 3}
REQUESTS = {
    "line": LINE,
    "plane": PLANE,
    "boosted line": on_trees(LINE, BOOSTED),
    "boosted plane": on_trees(PLANE, BOOSTED),
    "tree": on_trees(LINE, "decision_tree"),
    "forest": {**on_trees(PLANE, "random_forest"), "loss": "bce"},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_a_surface_is_what_is_predicted_for_these_rows(request_: dict[str, Any], client: httpx.AsyncClient) -> None:
    surface = (await trained(client, **request_, validation=None, outputs=["surface"]))["surface"]
    axes, predictions = surface["axes"], np.array(surface["predictions"])
    columns = np.array(request_["data"]["inputs"], float).T
    for axis, column in zip(axes, columns, strict=True):
        width = column.max() - column.min()
        assert axis[0] == pytest.approx(column.min() - 0.05 * width)
        assert axis[-1] == pytest.approx(column.max() + 0.05 * width)
    assert predictions.shape[:2] == tuple(len(axis) for axis in reversed(axes))
    places = [[x] for x in axes[0]] if len(axes) == 1 else [[x, y] for y in axes[1] for x in axes[0]]
    validation = {"inputs": places, "targets": [0.0] * len(places)}
    asked = await trained(client, **request_, validation=validation, outputs=["predictions"])
    assert predictions.reshape(-1) == pytest.approx(np.array(asked["predictions"]).reshape(-1), rel=1e-12)


@pytest.mark.parametrize("model", [BOOSTED, {"name": "random_forest"}], ids=["boosted", "forest"])
async def test_trees_that_have_grown_are_those_that_were_grown_at_once(model: dict[str, Any], client: httpx.AsyncClient) -> None:
    request = {**THREE, "model": model, "validation": None, "outputs": ["surface"]}
    response = await client.post("/v1/train", json=request, headers={"accept": "text/event-stream"})
    shown = [event.data["surface"] for event in events_in(response.text) if event.name in ("epoch", "end")]
    for epochs in (1, 2, 3):
        alone = (await trained(client, **{**request, "epochs": epochs}))["surface"]
        assert shown[epochs - 1] == alone
        assert np.shape(alone["predictions"]) == (30, 30, 3)
    assert shown[3] == shown[2]


async def test_events_show_at_most_sixty_surfaces_and_the_answer_that_of_the_model_kept(client: httpx.AsyncClient) -> None:
    request = {**LINE, "epochs": 150, "outputs": ["surface"], "early_stopping": {"patience": 149}}
    response = await client.post("/v1/train", json=request, headers={"accept": "text/event-stream"})
    events = events_in(response.text)
    epochs = [event.data["epoch"] for event in events if event.name == "epoch" and "surface" in event.data]
    assert epochs == [1, *range(3, 151, 3)]
    end = events[-1].data
    assert not [epoch for epoch in end["history"] if "surface" in epoch]
    shown = {event.data["epoch"]: event.data["surface"] for event in events if event.name == "epoch" and "surface" in event.data}
    assert shown.get(end["final"]["epoch"], end["surface"]) == end["surface"]


async def test_there_is_none_of_many_columns_or_of_categories(client: httpx.AsyncClient) -> None:
    sorts = {"inputs": [[0], [1], [2], [1]], "targets": [1, 2, 3, 4]}
    for request in (
        {"data": {"name": "iris"}, "model": "linear"},
        {"data": sorts, "model": {"name": "boosted_trees", "categorical_features": [0]}, "loss": "mse", "validation": None},
    ):
        assert (await trained(client, **request, epochs=1, outputs=["surface"]))["surface"] is None


async def test_rows_are_those_of_the_dataset(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/datasets/moons/rows?n_samples=20&noise=0.3&seed=5")
    inputs, targets = map(np.asarray, make_moons(20, noise=0.3, random_state=5))
    assert response.json() == {
        "features": ["x0", "x1"],
        "classes": ["upper", "lower"],
        "inputs": inputs.tolist(),
        "targets": targets.tolist(),
    }


async def test_a_list_stands_as_json(client: httpx.AsyncClient) -> None:
    address = "/v1/datasets/classification/rows?n_samples=100&weights=[0.9]&flip_y=0"
    assert sum((await client.get(address)).json()["targets"]) < 20  # without weights it would be 50


@pytest.mark.parametrize(
    ("address", "status", "code", "pointer"),
    [
        ("/v1/datasets/none/rows", 404, "not_found", None),
        ("/v1/datasets/moons/rows?n=4", 422, "unknown_field", "/n"),
        ("/v1/datasets/moons/rows?n_samples=x", 422, "type", "/n_samples"),
        ("/v1/datasets/moons/rows?n_samples=1", 422, "out_of_range", "/n_samples"),
        ("/v1/datasets/classification/rows?weights=[", 422, None, None),
        ("/v1/datasets/regression/rows?n_samples=100000", 422, "limit", ""),
    ],
)
async def test_what_is_wrong_with_an_address(
    address: str, status: int, code: str | None, pointer: str | None, client: httpx.AsyncClient
) -> None:
    body = problem_of(await client.get(address))
    assert body["status"] == status
    if pointer is not None:
        assert [(fault["pointer"], fault["code"]) for fault in body["errors"]] == [(pointer, code)]


@pytest.mark.parametrize("split", ["random", "ordered", "stratified"])
async def test_predictions_say_which_rows_they_are_of(split: str, client: httpx.AsyncClient) -> None:
    inputs = [[float(i), float(i % 3)] for i in range(20)]
    labels = [i % 2 for i in range(20)]
    request = {"data": {"inputs": inputs, "targets": labels}, "model": "linear", "loss": {"name": "bce", "from_logits": True}}
    request |= {"epochs": 3, "validation": {"fraction": 0.3, "split": split}, "outputs": ["per_sample", "predictions", "rows"]}
    answer = await trained(client, **request)
    assert len(answer["rows"]["validation"]) == 6
    assert sorted(answer["rows"]["training"] + answer["rows"]["validation"]) == list(range(20))
    body = {
        "loss": request["loss"],
        "predictions": answer["predictions"],
        "targets": [labels[row] for row in answer["rows"]["validation"]],
    }
    evaluated = await client.post("/v1/evaluate", json={**body, "outputs": ["per_sample"]})
    assert answer["per_sample"] == pytest.approx(evaluated.json()["per_sample"], rel=1e-12)
    assert (await trained(client, **request | {"validation": None}))["rows"] == {
        "training": list(range(20)),
        "validation": None,
    }
    table = {"inputs": inputs[:4], "targets": labels[:4]}
    assert (await trained(client, **request | {"validation": table}))["rows"]["validation"] == [0, 1, 2, 3]
