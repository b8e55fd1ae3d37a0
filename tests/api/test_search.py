"""POST /v1/train/search: what is tried, how far, what is found, and that the rows held out are used for nothing else."""

import json
import math
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator

from app.api.search import SearchRequest, search_on, search_runs, trainings_of
from app.api.training_examples import SEARCHES
from app.settings import Settings
from app.training import Holdout
from app.training.splits import split
from tests.api.problem import problem_of, strictly
from tests.api.test_training import STREAM, X, Y
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

PATH = "/v1/train/search"
RATES = {"optimizer.learning_rate": {"low": 0.001, "high": 0.3, "scale": "log"}}
REAL: dict[str, Any] = {
    "data": {"inputs": X.tolist(), "targets": Y.tolist()},
    "loss": "mse",
    "model": "linear",
    "epochs": 9,
    "trials": 9,
    "space": RATES,
}
KEPT, HELD = (rows.tolist() for rows in split(40, Holdout(0.2, seed=1)))
"""What is searched with, and what is held out, where nothing is said of seeds."""


async def search(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post(PATH, json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def train(client: httpx.AsyncClient, request: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/train", json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def test_trials_go_on_as_far_as_they_are_good(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    answer = await search(client, **REAL)
    schemas["SearchResponse"].validate(answer)
    assert answer["monitor"] == "validation_loss"
    trials = answer["trials"]
    assert [trial["epochs"] for trial in trials] == [9, 3, 3, *[1] * 6]
    for epochs in (3, 1):
        scores = [trial["score"] for trial in trials if trial["epochs"] == epochs]
        assert scores == sorted(scores)
    rates = sorted(trial["parameters"]["optimizer.learning_rate"] for trial in trials)
    edges = np.geomspace(0.001, 0.3, 10)
    assert all(low <= rate <= high for rate, low, high in zip(rates, edges, edges[1:], strict=False))
    best = answer["best"]
    assert (best["parameters"], best["score"]) == (trials[0]["parameters"], trials[0]["score"])
    assert best["loss"]["name"] == "mean_squared_error"
    assert best["request"]["optimizer"]["learning_rate"] == best["parameters"]["optimizer.learning_rate"]


async def test_each_score_is_that_of_the_run_by_itself(client: httpx.AsyncClient) -> None:
    """Trained to the end, or to where it was left, on the rows that are not held out."""
    answer = await search(client, **REAL)
    data = {"inputs": X[KEPT].tolist(), "targets": Y[KEPT].tolist()}
    for place in (0, 1, 4):
        trial = answer["trials"][place]
        alone = {**answer["best"]["request"], "data": data, "epochs": trial["epochs"]}
        alone["optimizer"] = {**alone["optimizer"], "learning_rate": trial["parameters"]["optimizer.learning_rate"]}
        assert (await train(client, alone))["final"]["validation_loss"] == trial["score"]


async def test_the_last_line_is_the_loss_of_the_rows_held_out(client: httpx.AsyncClient) -> None:
    answer = await search(client, **REAL, metrics=["r2"], monitor="r2")
    trained, _ = split(len(KEPT), Holdout(0.2))
    rows = [KEPT[place] for place in trained]
    request = answer["best"]["request"]
    for field, wanted in (("score", request), ("baseline", {**request, "optimizer": None})):
        alone = {
            **wanted,
            "data": {"inputs": X[rows].tolist(), "targets": Y[rows].tolist()},
            "validation": {"inputs": X[HELD].tolist(), "targets": Y[HELD].tolist()},
        }
        run = await train(client, {name: value for name, value in alone.items() if value is not None})
        assert math.isclose(run["final"]["metrics"]["r2"]["validation"], answer["holdout"][field], rel_tol=1e-12)
    holdout = answer["holdout"]
    assert holdout["rows"] == len(HELD) == 8
    assert math.isclose(holdout["difference"], holdout["score"] - holdout["baseline"])
    assert holdout["interval"][0] <= holdout["difference"] <= holdout["interval"][1]


async def test_rows_held_out_are_used_for_nothing_else(client: httpx.AsyncClient) -> None:
    inputs, targets = X.copy(), Y.copy()
    inputs[HELD], targets[HELD] = 50.0, -1000.0
    plain = await search(client, **REAL)
    other = await search(client, **{**REAL, "data": {"inputs": inputs.tolist(), "targets": targets.tolist()}})
    assert plain["trials"] == other["trials"]
    assert plain["best"]["score"] == other["best"]["score"]
    assert plain["holdout"]["score"] != other["holdout"]["score"]


async def test_the_same_request_finds_the_same(client: httpx.AsyncClient) -> None:
    assert await search(client, **REAL) == await search(client, **REAL)
    assert (await search(client, **REAL))["trials"] != (await search(client, **REAL, seed=5))["trials"]


async def test_what_is_within_a_space(client: httpx.AsyncClient) -> None:
    """Whole numbers stay whole, places within lists are places, and few values are all tried."""
    space = {
        "model": {"values": ["mlp"]},
        "model.hidden.0": {"low": 2, "high": 9},
        "batch_size": {"low": 4, "high": 16, "scale": "log"},
        "regularization.l2": {"low": 0.0, "high": 1.0},
    }
    drawn = await search(client, **{**REAL, "space": space, "trials": 6, "epochs": 2})
    for trial in drawn["trials"]:
        assert type(trial["parameters"]["model.hidden.0"]) is int
        assert type(trial["parameters"]["batch_size"]) is int
    assert len({trial["parameters"]["regularization.l2"] for trial in drawn["trials"]}) == 6
    values = {"loss": {"values": ["mse", "mae", {"name": "huber", "delta": 0.5}]}, "shuffle": {"values": [True, False]}}
    all_of_them = await search(client, **{**REAL, "space": values, "trials": 200})
    assert all_of_them["monitor"] == "r2"
    assert len({json.dumps(trial["parameters"]) for trial in all_of_them["trials"]}) == len(all_of_them["trials"]) == 6
    scores = [trial["score"] for trial in all_of_them["trials"] if trial["epochs"] == 9]
    assert scores == sorted(scores, reverse=True)


async def test_models_leave_out_what_they_do_not_have(client: httpx.AsyncClient) -> None:
    space = {"model": {"values": ["linear", "boosted_trees"]}, "model.max_depth": {"low": 1, "high": 4}}
    answer = await search(client, **{**REAL, "space": space, "trials": 4, "epochs": 2})
    assert sorted("model.max_depth" in trial["parameters"] for trial in answer["trials"]) == [False, False, True, True]


async def test_a_stream_tells_how_far_it_is(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=REAL, headers=STREAM)
    start, *told, end = events_in(response.text)
    assert start.data == {
        "trials": 9,
        "rungs": [{"trials": 9, "epochs": 1}, {"trials": 3, "epochs": 3}, {"trials": 1, "epochs": 9}],
    }
    assert [(event.name, event.data) for event in told] == [("progress", {"done": done, "of": 14}) for done in range(1, 15)]
    assert end.data == await search(client, **REAL)


def test_a_search_ends_in_time() -> None:
    request = {**REAL, "data": {"inputs": X, "targets": Y}, "epochs": 10_000, "batch_size": 1, "trials": 3}
    asked = SearchRequest.model_validate(request, context=Settings(training_seconds=1.0))
    *_, end = search_runs(asked)
    answer: Any = end.data
    assert all(trial["epochs"] < 10_000 for trial in answer["trials"])
    assert answer["holdout"]["score"] is not None


GRAMMAR: dict[str, Any] = {
    "datasets": [{"inputs": X.tolist(), "targets": Y.tolist()}, {"name": "regression", "n_samples": 60}],
    "loss": "mse",
    "model": "linear",
    "optimizer": {"name": "adam", "learning_rate": 0.1},
    "epochs": 9,
    "trials": 9,
    "space": {"loss": {"grammar": "residual", "max_nodes": 6}},
}


async def test_losses_are_drawn_and_scored_on_every_data_set(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    schemas["SearchRequest"].validate(GRAMMAR)
    answer = await search(client, **GRAMMAR)
    schemas["SearchResponse"].validate(answer)
    assert answer["monitor"] == "r2"
    best = answer["best"]
    assert best["loss"]["name"] == "expression"
    assert len({trial["parameters"]["loss"]["value"] for trial in answer["trials"]}) == 9
    assert all(refused["times"] >= 1 for refused in answer["refused"])
    evaluated = await client.post("/v1/evaluate", json={"loss": best["loss"], "predictions": [1.0], "targets": [2.0]})
    assert evaluated.status_code == 200


@pytest.mark.thorough
async def test_scores_on_several_data_sets_are_means_of_those_on_each(client: httpx.AsyncClient) -> None:
    answer = await search(client, **GRAMMAR)
    best = answer["best"]
    alone = [
        await search(client, **{**GRAMMAR, "datasets": [data], "space": {"loss": {"values": [best["loss"]]}}, "trials": 2})
        for data in GRAMMAR["datasets"]
    ]
    assert best["score"] == pytest.approx(np.mean([other["best"]["score"] for other in alone]), rel=1e-12)
    for field in ("score", "baseline", "difference"):
        assert answer["holdout"][field] == pytest.approx(np.mean([other["holdout"][field] for other in alone]), rel=1e-9)
    assert answer["holdout"]["rows"] == sum(other["holdout"]["rows"] for other in alone) == 20
    assert answer["holdout"]["interval"][0] <= answer["holdout"]["difference"] <= answer["holdout"]["interval"][1]
    assert await search(client, **GRAMMAR) == answer


def test_a_search_on_several_data_sets_goes_on_from_any_state() -> None:
    sets = [{"inputs": X, "targets": Y}, {"inputs": X[::-1], "targets": Y[::-1] ** 3}]
    request = {**GRAMMAR, "datasets": sets, "trials": 4, "epochs": 4, "eta": 2}

    def asked() -> SearchRequest:
        return SearchRequest.model_validate(request, context=Settings())

    whole: dict[str, Any] = {}
    told = [*search_on(asked(), whole)]
    state: dict[str, Any] = {}
    for stop in (3, 5, 1):  # in the middle of a trial, between two sets of data, and right after
        for count, _ in enumerate(search_on(asked(), state), 1):
            if count == stop:
                break
    *_, end = search_on(asked(), state)
    assert end.data == told[-1].data
    assert sum(event.name == "run" for event in told) == trainings_of(asked())


SPACE_OF_LOSSES: dict[str, Any] = {"space": {"loss": {"values": ["mse", "mae"]}}, "trials": 2}
HUBER = {"loss": "huber", "space": {"loss.delta": {"low": 0.1, "high": 1.0}}}


@pytest.mark.parametrize(
    ("request_", "pointer", "code"),
    [
        ({"space": {}}, "/space", "length"),
        ({"space": 3}, "/space", "type"),
        ({"space": None}, "/space", "type"),
        ({"space": {"optimizer.learning_rate": 3}}, "/space/optimizer.learning_rate", "type"),
        ({"space": {"optimizer.learning_rate": {"low": 1}}}, "/space/optimizer.learning_rate", "choice"),
        ({"space": {"optimizer.learning_rate": {"low": 1, "high": 1}}}, "/space/optimizer.learning_rate/high", "out_of_range"),
        (
            {"space": {"optimizer.learning_rate": {"low": 0, "high": 1, "scale": "log"}}},
            "/space/optimizer.learning_rate/low",
            "out_of_range",
        ),
        ({"space": {"optimizer.learning_rate": {"low": -1, "high": 1}}}, "/space/optimizer.learning_rate/low", "out_of_range"),
        ({"space": {"optimizer.learning_rate": {"values": []}}}, "/space/optimizer.learning_rate/values", "length"),
        (
            {"space": {"optimizer.learning_rate": {"values": [0.1, -1]}}},
            "/space/optimizer.learning_rate/values/1",
            "out_of_range",
        ),
        ({"space": {"optimizer.learning_rate": {"lo": 1, "high": 2}}}, "/space/optimizer.learning_rate/lo", "unknown_field"),
        ({"space": {"optimizer.foo": {"low": 0.1, "high": 1}}}, "/space/optimizer.foo", "unknown_field"),
        ({"space": {"epochs": {"low": 1, "high": 5}}}, "/space/epochs", "unexpected"),
        ({"space": {"data.noise": {"low": 1, "high": 5}}}, "/space/data.noise", "unexpected"),
        ({"space": {"loss": {"grammar": "all"}}}, "/space/loss/grammar", "choice"),
        ({"space": {"loss": {"grammar": "residual", "low": 1}}}, "/space/loss", "choice"),
        ({"space": {"loss": {"grammar": "residual", "max_nodes": 1}}}, "/space/loss/max_nodes", "out_of_range"),
        ({"space": {"model": {"grammar": "residual"}}}, "/space/model/grammar", "unexpected"),
        ({"space": {"loss": {"grammar": "residual"}}, "monitor": "validation_loss"}, "/monitor", "incomparable"),
        ({"datasets": []}, "/datasets", "length"),
        ({"datasets": ["friedman1", "friedmann"]}, "/datasets/1", "unknown_dataset"),
        ({"datasets": ["friedman1", {"inputs": [[1], [2]], "targets": [1]}]}, "/datasets/1/targets", "shape_mismatch"),
        ({"datasets": ["friedman1", "moons"], **SPACE_OF_LOSSES}, "/monitor", "missing"),
        ({**HUBER, "monitor": "validation_loss"}, "/monitor", "incomparable"),
        ({"monitor": "acuracy"}, "/monitor", "unknown_metric"),
        ({"monitor": "accuracy"}, "/monitor", "metric"),
        ({"validation": None}, "/validation", "missing"),
        ({"trials": 1}, "/trials", "out_of_range"),
        ({"eta": 1}, "/eta", "out_of_range"),
        ({"min_epochs": 10}, "/min_epochs", "out_of_range"),
        ({"holdout": {"fraction": 0.01}}, "/holdout/fraction", "no_samples"),
        ({"holdout": {"fraction": 1}}, "/holdout/fraction", "out_of_range"),
        ({"loss": "hinge"}, "/data/targets/0", "label"),
    ],
    ids=lambda case: str(case)[:60],
)
async def test_a_search_that_is_refused(request_: dict[str, Any], pointer: str, code: str, client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={**REAL, **request_})
    assert response.status_code == 422, response.text
    fault = problem_of(response)["errors"][0]
    assert (fault["pointer"], fault["code"]) == (pointer, code)


@pytest.mark.parametrize("name", SEARCHES)
async def test_an_example_of_the_document(name: str, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    request = SEARCHES[name]["value"]
    schemas["SearchRequest"].validate(request)
    answer = await search(client, **request)
    schemas["SearchResponse"].validate(answer)
    assert len(answer["trials"]) == request["trials"]


@pytest.mark.thorough
def test_a_found_loss_is_better_than_squares_where_tails_are_heavy() -> None:
    """Huber's loss with the δ that is best on validation rows, against squares, on rows that neither has seen: 20 seeds."""
    deltas = [{"name": "huber", "delta": float(delta)} for delta in np.geomspace(0.01, 10.0, 9)]
    better = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        inputs = rng.normal(size=(800, 5))
        targets = inputs @ [2.0, -1.0, 0.5, 0.0, 3.0] + 1.0 + rng.standard_t(1.5, 800)
        request = {
            "data": {"inputs": inputs, "targets": targets},
            "model": "linear",
            "loss": "mse",
            "optimizer": "lbfgs",
            "epochs": 6,
            "standardize": {"targets": False},
            "space": {"loss": {"values": deltas}},
            "monitor": "mean_absolute_error",
            "trials": 9,
            "seed": seed,
            "validation": {"fraction": 0.25, "seed": seed},
            "holdout": {"fraction": 0.25},
        }
        *_, end = search_runs(SearchRequest.model_validate(request, context=Settings()))
        answer: Any = end.data
        better += answer["holdout"]["score"] < answer["holdout"]["baseline"]
    assert better >= 18
