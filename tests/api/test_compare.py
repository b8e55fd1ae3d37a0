"""POST /v1/train/compare: each run is the run by itself, and the table says which is best at what."""

import math
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator
from pydantic import ValidationError

from app.api.compare import CompareRequest
from app.api.training_examples import COMPARISONS
from app.settings import Settings
from app.training import METRICS
from tests.api.problem import problem_of, strictly
from tests.api.test_training import LINE, SQUARE, STREAM, X, Y, bare, inline
from tests.conftest import client_with
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

SIGNS = np.where(Y > 3, 1, -1).tolist()
REAL: dict[str, Any] = {"data": {"inputs": X.tolist(), "targets": Y.tolist()}, "epochs": 4, "validation": {"last": 10}}
BINARY: dict[str, Any] = {**REAL, "data": {"inputs": X.tolist(), "targets": SIGNS}}


async def compare(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post("/v1/train/compare", json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


# --- the answer -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "variants", "request_"),
    [
        ("loss", ["mse", {"name": "huber", "delta": 0.1}, {"name": "huber", "delta": 10.0}], {**REAL, "metrics": ["mae", "r2"]}),
        ("loss", ["hinge", "logistic"], {**BINARY, "metrics": ["accuracy", "roc_auc"], "outputs": ["per_sample"]}),
        ("optimizer", ["sgd", {"name": "adam", "learning_rate": 0.05}, "lbfgs"], {**REAL, "loss": "mae", "metrics": ["r2"]}),
        ("seed", [3, 1, 3], {**REAL, "loss": "mse", "metrics": ["r2"], "model": {"name": "mlp", "dropout": 0.2}}),
    ],
    ids=["losses", "labels", "optimizers", "seeds"],
)
async def test_each_run_is_the_run_by_itself(
    by: str, variants: list[Any], request_: dict[str, Any], client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    field = {"loss": "losses", "optimizer": "optimizers", "seed": "seeds"}[by]
    answer = await compare(client, **request_, **{field: variants})
    schemas["CompareResponse"].validate(answer)
    assert answer["by"] == by
    assert answer["axes"] == [by]
    places = [0] * len(variants) if by == "seed" else [*range(len(variants))]
    for number, (variant, run) in enumerate(zip(variants, answer["runs"], strict=True)):
        alone = await client.post("/v1/train", json={**request_, by: variant})
        assert bare(run) == {**bare(strictly(alone.text)), "fold": None, "variant": places[number]}
    names = [line["name"] for line in answer["table"]]
    assert by == "seed" or len({*names}) == len(names)
    for line, run in zip(answer["table"], answer["runs"], strict=True):
        assert run["seed"] == line["name"] if by == "seed" else line["name"].startswith(run[by]["name"])
        assert line == {
            "name": line["name"],
            "seed": run["seed"],
            "fold": None,
            "variant": run["variant"],
            **run["final"],
            "stopped": run["stopped"]["reason"],
            "verdict": run["diagnosis"][0]["verdict"],
            "seconds": line["seconds"],
        }
        assert math.isclose(line["seconds"], sum(epoch["seconds"] for epoch in run["history"]))
    for name, best in answer["best"].items():
        scores = [line["metrics"][name]["validation"] for line in answer["table"]]
        wanted = max(scores) if name in METRICS and METRICS[name].higher_is_better else min(scores)
        assert (best["score"], best["run"]) == (wanted, scores.index(wanted))
    assert answer["best"].keys() == answer["runs"][0]["final"]["metrics"].keys()


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        ({**REAL, "losses": ["mse", "mae"]}, ["r2"]),
        ({**BINARY, "losses": ["hinge", "logistic"]}, ["accuracy"]),
        ({**BINARY, "losses": ["hinge", "mse"]}, ["accuracy"]),
        ({**REAL, "losses": ["mse", "mae"], "metrics": ["max_error"]}, ["max_error"]),
        ({**REAL, "data": {"inputs": X.tolist(), "targets": np.abs(Y).tolist()}, "losses": ["mse", "poisson_nll"]}, ["r2"]),
    ],
)
async def test_what_losses_are_compared_by(request_: dict[str, Any], chosen: list[str], client: httpx.AsyncClient) -> None:
    answer = await compare(client, **request_)
    for run in answer["runs"]:
        assert list(run["final"]["metrics"]) == chosen
    assert list(answer["best"]) == chosen


async def test_losses_are_compared_in_one_unit(client: httpx.AsyncClient) -> None:
    """Where one loss cannot have its targets standardized, none has."""
    positive = {**REAL, "data": {"inputs": X.tolist(), "targets": np.abs(Y).tolist()}}
    together = await compare(client, **positive, losses=["mse", "mae"])
    assert all(run["data"]["standardized"]["targets"] for run in together["runs"])
    mixed = await compare(client, **positive, losses=["mse", "poisson_nll"])
    assert [run["data"]["standardized"]["targets"] for run in mixed["runs"]] == [None, None]


async def test_without_validation_rows_the_training_rows_decide(client: httpx.AsyncClient) -> None:
    answer = await compare(client, **{**REAL, "validation": None}, losses=["mse", "mae"])
    scores = [line["metrics"]["r2"] for line in answer["table"]]
    assert all(score["validation"] is None for score in scores)
    assert answer["best"]["r2"]["score"] == max(score["training"] for score in scores)


async def test_a_metric_that_is_nowhere_defined_likes_none(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    diverging = {"name": "gradient_descent", "learning_rate": 1e6}
    request = {**LINE, "model": "mlp", "batch_size": "full", "optimizer": diverging, "validation": {"last": 1}}
    request = {**request, "metrics": ["r2"], "outputs": [], "epochs": 50}
    del request["loss"]
    answer = await compare(client, **request, losses=["mse", "mae"])
    schemas["CompareResponse"].validate(answer)
    assert answer["best"] == {}  # r2 of a single row
    assert answer["table"][0]["stopped"] == "diverged"


# --- the stream -------------------------------------------------------------------------------------------------------------


async def test_a_stream_says_which_run_an_epoch_is_of(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    request = {**REAL, "losses": ["mse", "mae", "huber"], "epochs": 3}
    response = await client.post("/v1/train/compare", json=request, headers=STREAM)
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    start, *happened, end = events_in(response.text)
    assert (start.name, end.name) == ("start", "end")
    assert [event.name for event in happened] == ["epoch", "epoch", "epoch", "progress"] * 3
    assert [event.data for event in happened[3::4]] == [{"done": done, "of": 3} for done in (1, 2, 3)]
    told = [event for event in happened if event.name == "epoch"]
    schemas["CompareResponse"].validate(end.data)
    assert bare(end.data) == bare(await compare(client, **request))
    assert start.data["by"] == "loss"
    assert [run["loss"]["name"] for run in start.data["runs"]] == [line["name"] for line in end.data["table"]]
    assert [event.id for event in happened] == [str(number) for number in range(1, 13)]
    whole = [{"run": index, **epoch} for index, run in enumerate(end.data["runs"]) for epoch in run["history"]]
    assert [event.data for event in told] == whole


async def test_what_is_wrong_is_known_before_the_stream(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/train/compare", json={**REAL, "losses": ["mse", "hinge"]}, headers=STREAM)
    assert response.status_code == 422
    assert problem_of(response)["errors"][0]["pointer"] == "/losses/1"


# --- what is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "faults", "words"),
    [
        ({}, [("", "choice")], "at least one of losses, optimizers, models, grid, seeds and folds"),
        ({"losses": ["mse"]}, [("/losses", "length")], "at least 2"),
        ({"losses": ["mse", "mae"], "loss": "mse"}, [("/loss", "unexpected")], "in losses alone"),
        ({"optimizers": ["sgd", "adam"], "optimizer": None}, [("/optimizer", "unexpected")], "in optimizers alone"),
        ({"seeds": [1, 2], "seed": 0}, [("/seed", "unexpected")], "in seeds alone"),
        ({"losses": "mse"}, [("/losses", "type")], "list"),
        ({"losses": ["mse", "hubber"]}, [("/losses/1", "unknown_loss")], "Did you mean huber"),
        ({"losses": ["mse", {"name": "huber", "dela": 1}]}, [("/losses/1/dela", "unknown_parameter")], "delta"),
        ({**REAL, "losses": ["mse", {"name": "huber", "delta": -1}]}, [("/losses/1/delta", "out_of_range")], "got -1"),
        ({"optimizers": ["sgd", {"name": "adam", "beta_1": 1}]}, [("/optimizers/1/beta_1", "out_of_range")], "got 1"),
        ({"seeds": [1, -2]}, [("/seeds/1", "out_of_range")], "got -2"),
        # a loss that does not fit, whether the targets are the caller's or of a dataset
        ({**REAL, "losses": ["mse", "hinge"]}, [("/losses/1", "label")], "−1 or +1"),
        ({**REAL, "losses": ["hinge", "mse"]}, [("/losses/0", "label")], "−1 or +1"),
        ({"data": "diabetes", "losses": ["mse", "hinge"]}, [("/losses/1", "label")], "−1 or +1"),
        ({"data": "diabetes", "losses": ["hinge", "logistic"]}, [("/losses/0", "label"), ("/losses/1", "label")], "−1 or +1"),
        ({**BINARY, "losses": ["mse", "zero_one", "ctc"]}, [("/losses/1", "not_trainable"), ("/losses/2", "not_trainable")], ""),
        (
            {"data": inline([1, 2, 3, 4, 5, 6]), "losses": ["bce", "hinge"]},
            [("/losses/0", "out_of_range"), ("/losses/1", "label")],
            "got 2",
        ),
        ({"data": inline([-1, 1, 1, 1, 1, 2]), "losses": ["logistic", "hinge"]}, [("/data/targets/5", "label")], "got 2"),
        # what is wrong for all of them is told once, where it is
        ({"data": inline([1, 2, 3]), "losses": ["mse", "mae"]}, [("/data/targets", "shape_mismatch")], "6, not 3"),
        ({**REAL, "losses": ["mse", "mae"], "batch_size": 31}, [("/batch_size", "out_of_range")], "at most 30"),
        ({**REAL, "losses": ["mse", "mae"], "metrics": ["accuracy"]}, [("/metrics/0", "metric")], "r2"),
        (
            {**REAL, "losses": ["mse", "mae"], "validation": {"inputs": [[1]], "targets": [1]}},
            [("/validation/inputs", "shape_mismatch")],
            "1 columns",
        ),
        ({**REAL, "loss": "mse", "optimizers": ["sgd", "lbfgs"], "batch_size": 8}, [("/batch_size", "unexpected")], "lbfgs"),
        (
            {"model": "boosted_trees", "optimizers": ["sgd", "adam"]},
            [("/optimizers/0", "unexpected"), ("/optimizers/1", "unexpected")],
            "boosted_trees",
        ),
        # limits are shared
        ({**REAL, "losses": ["mse", "mae"], "epochs": 10_001}, [("/epochs", "limit")], "10000"),
        (
            {"data": {"name": "circles", "n_samples": 2000}, "losses": ["mse", "mae"], "epochs": 10_000},
            [("/epochs", "limit")],
            "at most 10000000",
        ),
    ],
    ids=lambda case: str(case)[:60],
)
async def test_a_comparison_that_is_refused(
    request_: dict[str, Any], faults: list[tuple[str, str]], words: str, client: httpx.AsyncClient
) -> None:
    response = await client.post("/v1/train/compare", json=request_)
    body = problem_of(response)
    assert body["status"] == 422
    assert [(error["pointer"], error["code"]) for error in body["errors"]] == faults
    assert words in body["errors"][0]["message"]


async def test_a_loss_that_does_not_fit_names_those_that_do(client: httpx.AsyncClient) -> None:
    body = problem_of(await client.post("/v1/train/compare", json={**REAL, "losses": ["mse", "hinge"]}))
    assert body["detail"].startswith("hinge and these targets do not fit")
    assert body["detail"].endswith("Losses that fit these targets: mean_squared_error, log_cosh, expectile.")


def test_limits_that_were_raised_hold_for_every_run() -> None:
    """Also for runs that are prepared anew to be in one unit, or for a metric that was not asked for."""
    settings = Settings(training_epochs=20_000)
    document = {"data": {"inputs": np.array(SQUARE), "targets": np.array([1.0, 2, 3, 4, 5, 6])}, "model": "linear"}
    document |= {"losses": ["mse", "poisson_nll"], "epochs": 20_000}
    request = CompareRequest.model_validate(document, context=settings)
    assert [run.plan.epochs for run in request.all_runs.runs] == [20_000, 20_000]
    with pytest.raises(ValidationError):
        CompareRequest.model_validate(document, context=Settings())


# --- time ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def hurried(anyio_backend: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application whose runs have a second and a half."""
    async with client_with(training_seconds=1.5) as client:
        yield client


async def test_time_is_shared(hurried: httpx.AsyncClient) -> None:
    request = {**REAL, "epochs": 10_000, "batch_size": 1}
    answer = await compare(hurried, **request, losses=["mse", "mae", "huber"])
    assert [line["stopped"] for line in answer["table"]] == ["time_limit"] * 3
    assert all(line["epoch"] < 10_000 for line in answer["table"])
    assert answer["table"][0]["epoch"] > 0
    assert answer["table"][0]["seconds"] <= 0.5  # its third
    assert sum(line["seconds"] for line in answer["table"]) <= 1.5
    again = await compare(hurried, **{**request, "epochs": 2}, losses=["mse", "mae"])
    assert [line["stopped"] for line in again["table"]] == ["completed"] * 2


# --- the examples of the document ---------------------------------------------------------------------------------------------


@pytest.mark.no_cover  # others run these lines as well
@pytest.mark.parametrize("name", COMPARISONS)
async def test_an_example_of_the_document(name: str, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/train/compare"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["examples"][name]
    assert example == COMPARISONS[name]
    assert example["summary"]
    assert example["description"].endswith(".")
    schemas["CompareRequest"].validate(example["value"])
    answer = await compare(client, **example["value"])
    schemas["CompareResponse"].validate(answer)
    WHAT_IT_SHOWS[name](answer)


def _shows_outliers(answer: dict[str, Any]) -> None:
    names = [line["name"] for line in answer["table"]]
    errors = [line["metrics"]["mean_absolute_error"]["validation"] for line in answer["table"]]
    by_name = dict(zip(names, errors, strict=True))
    assert names[answer["best"]["mean_absolute_error"]["run"]] == "mean_absolute_error"
    assert 10 * by_name["mean_absolute_error"] < by_name["mean_squared_error"]
    assert by_name["huber"] < by_name["mean_squared_error"]


def _shows_a_rare_class(answer: dict[str, Any]) -> None:
    accuracies = [line["metrics"]["accuracy"]["validation"] for line in answer["table"]]
    scores = [line["metrics"]["f1"]["validation"] for line in answer["table"]]
    assert min(accuracies) > 0.9
    assert answer["best"]["f1"]["run"] == 1
    assert scores[1] > scores[0]


def _shows_optimizers(answer: dict[str, Any]) -> None:
    losses = {line["name"]: line["training_loss"] for line in answer["table"]}
    assert losses["lbfgs"] < losses["sgd"] < losses["gradient_descent"]


def _shows_seeds(answer: dict[str, Any]) -> None:
    assert [line["name"] for line in answer["table"]] == [0, 1, 2, 3, 4]
    assert len({line["validation_loss"] for line in answer["table"]}) == 5


def _shows_two_losses(answer: dict[str, Any]) -> None:
    assert [line["name"] for line in answer["table"]] == ["mean_squared_error", "huber"]
    assert [len(run["history"]) for run in answer["runs"]] == [2, 2]


def _shows_a_grid(answer: dict[str, Any]) -> None:
    assert answer["axes"] == ["optimizer", "optimizer.learning_rate", "fold"]
    assert [variant["name"] for variant in answer["variants"]] == [
        f"{name}, learning_rate={rate}" for name in ("sgd", "adam") for rate in (0.01, 0.1)
    ]
    losses = [variant["scores"]["validation_loss"]["mean"] for variant in answer["variants"]]
    assert min(losses) == losses[3]
    apart = [told for told in answer["differences"] if told["metric"] == "validation_loss"]
    assert len(apart) == 6
    assert all(told["p_adjusted"] < 0.05 for told in apart if told["b"] == 3 and told["a"] != 1)


WHAT_IT_SHOWS = {
    "grid": _shows_a_grid,
    "outliers": _shows_outliers,
    "rare_class": _shows_a_rare_class,
    "optimizers": _shows_optimizers,
    "short": _shows_two_losses,
    "seeds": _shows_seeds,
}
