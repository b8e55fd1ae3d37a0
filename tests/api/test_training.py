"""POST /v1/train: what comes of a run, what is refused, and the same numbers as from elsewhere."""

import json
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator

from app.api.training import epochs
from app.api.training_examples import EXAMPLES
from app.losses import LOSSES
from app.training import MODELS, OPTIMIZERS, Chosen, Plan, Table, fit, prepare, start
from tests.api.problem import problem_of, strictly
from tests.conftest import client_with
from tests.folding import in_turn
from tests.serving.streams import events_in

pytestmark = pytest.mark.anyio

STREAM = {"accept": "text/event-stream"}
RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 3)).round(3)
NOISE = RNG.normal(size=40).round(3)
Y = (X @ [2.0, -1.0, 0.5] + 3.0 + 0.1 * NOISE).round(3)
LINE: dict[str, Any] = {
    "data": {"inputs": X.tolist(), "targets": Y.tolist()},
    "model": "linear",
    "loss": "mse",
    "optimizer": "lbfgs",
    "epochs": 2,
    "validation": {"last": 10},
    "standardize": {"inputs": False, "targets": False},
    "outputs": ["parameters", "predictions", "per_sample"],
}
SQUARE = [[0, 0], [0, 1], [1, 0], [1, 1], [0.1, 0], [0, 0.9]]


def inline(targets: Any, inputs: Any = SQUARE, **more: Any) -> dict[str, Any]:
    return {"inputs": inputs, "targets": targets, **more}


async def train(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post("/v1/train", json=request)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return strictly(response.text)


async def refused(client: httpx.AsyncClient, request: Any) -> dict[str, Any]:
    content = request if isinstance(request, bytes) else json.dumps(request).encode()
    response = await client.post("/v1/train", content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422), response.text
    return problem_of(response)


def bare(answer: Any) -> Any:
    """The answer without what differs from run to run."""
    if isinstance(answer, dict):
        return {key: bare(value) for key, value in answer.items() if key != "seconds"}
    return [bare(value) for value in answer] if isinstance(answer, list) else answer


# --- the answer -----------------------------------------------------------------------------------------------------------


async def test_nothing_need_be_said(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    answer = await train(client)
    schemas["TrainResponse"].validate(answer)
    assert answer["model"]["name"] == "mlp"
    assert answer["loss"] == {**LOSSES["binary_cross_entropy"].defaults, "name": "binary_cross_entropy", "from_logits": True}
    assert (answer["optimizer"]["name"], answer["optimizer"]["learning_rate"]) == ("adam", 0.01)
    assert (answer["data"]["training_rows"], answer["data"]["validation_rows"]) == (800, 200)
    assert (answer["data"]["classes"], answer["data"]["batch_size"]) == (["outer", "inner"], 32)
    assert answer["n_parameters"] == 2 * 32 + 32 + 32 + 1
    assert [epoch["epoch"] for epoch in answer["history"]] == [*range(1, 101)]
    assert answer["stopped"] == {"epoch": 100, "reason": "completed"}
    assert answer["history"][-1]["training_loss"] < 0.5 < answer["history"][0]["training_loss"]
    assert all(epoch["gradient_norm"] > 0 and epoch["seconds"] > 0 for epoch in answer["history"])
    validation = [epoch["validation_loss"] for epoch in answer["history"]]
    assert answer["best_epoch"] == 1 + validation.index(min(validation))
    last = answer["history"][-1]
    assert answer["final"] == {key: last[key] for key in ("epoch", "training_loss", "validation_loss", "metrics")}
    assert answer["diagnosis"]
    assert answer.keys().isdisjoint(("parameters", "predictions", "per_sample", "warnings"))


async def test_least_squares_finds_what_numpy_finds(client: httpx.AsyncClient) -> None:
    answer = await train(client, **LINE)
    ones = np.hstack([X, np.ones((40, 1))])
    solution, *_ = np.linalg.lstsq(ones[:30], Y[:30], rcond=None)
    found = [*answer["parameters"]["weights_1"], answer["parameters"]["biases_1"]]
    assert np.allclose(np.array(found).ravel(), solution, atol=1e-6)
    residual = ones @ np.array(found).ravel() - Y
    assert np.allclose(answer["predictions"], (residual + Y)[30:], atol=1e-12)
    assert np.allclose(answer["per_sample"], residual[30:] ** 2, atol=1e-12)
    assert math.isclose(answer["final"]["training_loss"], np.mean(residual[:30] ** 2), rel_tol=1e-9)
    assert math.isclose(answer["final"]["validation_loss"], np.mean(residual[30:] ** 2), rel_tol=1e-9)
    assert answer["history"][0]["learning_rate"] is None  # it has none
    assert answer["data"]["standardized"] == {"inputs": None, "targets": None}


async def test_standardizing_changes_the_units_and_not_the_solution(client: httpx.AsyncClient) -> None:
    plain, moved = await train(client, **LINE), await train(client, **{**LINE, "standardize": {}})
    assert np.allclose(plain["predictions"], moved["predictions"], atol=1e-6)
    scales = moved["data"]["standardized"]
    assert np.allclose(scales["inputs"]["mean"], X[:30].mean(axis=0))
    assert np.allclose(scales["inputs"]["deviation"], X[:30].std(axis=0))
    assert np.allclose([scales["targets"]["mean"], scales["targets"]["deviation"]], [Y[:30].mean(), Y[:30].std()])
    ratio = plain["final"]["validation_loss"] / moved["final"]["validation_loss"]
    assert math.isclose(ratio, Y[:30].var(), rel_tol=1e-4)


COUNTS = RNG.poisson(3.0, 40)
KINDS = np.array(["low", "mid", "high"])[np.digitize(Y, [2.0, 4.0])]


@pytest.mark.parametrize(
    ("loss", "targets", "model"),
    [
        ({"name": "huber", "delta": 0.5}, Y.tolist(), "mlp"),
        ({"name": "quantile"}, Y.tolist(), "boosted_trees"),
        ({"name": "mean_absolute_error"}, np.stack([Y, -Y], axis=1).tolist(), "mlp"),
        ({"name": "root_mean_squared_error"}, Y.tolist(), "linear"),
        ({"name": "poisson_nll"}, COUNTS.tolist(), "mlp"),
        ({"name": "binary_cross_entropy"}, (Y > 3).astype(int).tolist(), "mlp"),
        ({"name": "hinge"}, np.where(Y > 3, 1, -1).tolist(), "linear"),
        ({"name": "categorical_cross_entropy", "from_logits": True}, KINDS.tolist(), "mlp"),
        ({"name": "categorical_focal", "gamma": 1.0}, np.searchsorted(["high", "low", "mid"], KINDS).tolist(), "boosted_trees"),
        ({"name": "kl_divergence"}, RNG.dirichlet([1.0, 2.0], 40).tolist(), "mlp"),
    ],
    ids=lambda case: case["name"] if isinstance(case, dict) else "",
)
async def test_what_evaluate_makes_of_the_predictions(
    loss: dict[str, Any], targets: list[Any], model: str, client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    """The losses of a run are those of /v1/evaluate, on the rows whose predictions are in the answer."""
    request = {"data": {"inputs": X.tolist(), "targets": targets}, "loss": loss, "model": model, "epochs": 3}
    request |= {"standardize": {"targets": False}, "outputs": ["predictions", "per_sample"]}
    for validation, held, side in ({"last": 12}, targets[-12:], "validation"), (None, targets, "training"):
        answer = await train(client, **request, validation=validation)
        schemas["TrainResponse"].validate(answer)
        batch = {"loss": answer["loss"], "predictions": answer["predictions"], "targets": held}
        if answer["data"]["classes"]:
            batch["classes"] = answer["data"]["classes"]
        evaluated = (await client.post("/v1/evaluate", json=batch)).json()
        assert np.allclose(evaluated["per_sample"], answer["per_sample"], rtol=1e-9, atol=1e-12)
        assert math.isclose(evaluated["value"], answer["final"][f"{side}_loss"], rel_tol=1e-9)
        assert evaluated["targets_encoding"] == answer["data"]["targets_encoding"]
        assert answer["data"]["outputs"] == np.array(answer["predictions"]).reshape(len(held), -1).shape[1]


async def test_the_same_seed_gives_the_same_bits(client: httpx.AsyncClient) -> None:
    request = {"data": inline(Y.tolist(), X.tolist()), "loss": "mse", "model": {"name": "mlp", "dropout": 0.3}, "epochs": 3}
    request |= {"outputs": ["parameters", "predictions", "per_sample"], "validation": {"fraction": 0.25, "seed": 7}, "seed": 3}
    answer = bare(await train(client, **request))
    assert bare(await train(client, **request)) == answer
    other = bare(await train(client, **{**request, "seed": 4}))
    assert other["parameters"] != answer["parameters"]
    assert other["data"] == answer["data"]  # the same rows
    assert bare(await train(client, **{**request, "shuffle": False}))["parameters"] != answer["parameters"]
    split = bare(await train(client, **{**request, "validation": {"fraction": 0.25, "seed": 8}}))
    assert split["data"]["standardized"] != answer["data"]["standardized"]


# --- when a run ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restore_best", [True, False])
async def test_early_stopping(restore_best: bool, client: httpx.AsyncClient) -> None:
    request = {"data": inline(NOISE.tolist(), X.tolist()), "loss": "mse", "epochs": 500, "validation": {"last": 15}}
    stopping = {"patience": 7, "restore_best": restore_best}
    answer = await train(client, **request, early_stopping=stopping, outputs=["per_sample"])
    losses = [epoch["validation_loss"] for epoch in answer["history"]]
    best = 1 + losses.index(min(losses))
    assert answer["stopped"] == {"epoch": best + 7, "reason": "early_stopping"}
    assert len(losses) == best + 7
    assert answer["best_epoch"] == best
    kept = best if restore_best else best + 7
    assert (answer["final"]["epoch"], answer["final"]["validation_loss"]) == (kept, losses[kept - 1])
    assert math.isclose(np.mean(answer["per_sample"]), losses[kept - 1], rel_tol=1e-12)
    whole = await train(client, **request)
    assert bare(whole["history"][: best + 7]) == bare(answer["history"])
    assert whole["final"]["epoch"] == 500


@pytest.mark.parametrize(("rate", "model"), [(3.0, "linear"), (1e6, "linear"), (50.0, "mlp")])
async def test_a_run_that_diverges_says_so(
    rate: float, model: str, client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    request = {**LINE, "model": model, "optimizer": {"name": "gradient_descent", "learning_rate": rate}, "batch_size": "full"}
    answer = await train(client, **{**request, "epochs": 5000, "metrics": ["r2"]})
    schemas["TrainResponse"].validate(answer)
    assert answer["stopped"]["reason"] == "diverged"
    assert answer["stopped"]["epoch"] == len(answer["history"]) + 1
    losses = [epoch["validation_loss"] for epoch in answer["history"]]
    assert np.isfinite(losses).all()
    best = answer["best_epoch"]
    assert best == (1 + losses.index(min(losses)) if losses else None)
    assert answer["final"]["epoch"] == (best or 0)  # 0: the model before the first epoch
    assert answer["diagnosis"][0]["verdict"] == "diverging"
    assert all(math.isfinite(number) for number in answer["predictions"])


async def test_what_json_cannot_hold_is_null(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    huge = {"data": inline([0, 1] * 3, [[1e160], [-1e160]] * 3), "model": "linear", "loss": "mae", "validation": {"last": 1}}
    huge |= {"optimizer": {"name": "sgd", "learning_rate": 1e-300}, "standardize": {"inputs": False}, "epochs": 2}
    answer = await train(client, **huge, metrics=["r2"])
    schemas["TrainResponse"].validate(answer)
    assert answer["stopped"]["reason"] == "completed"
    assert [epoch["gradient_norm"] for epoch in answer["history"]] == [None, None]  # its square overflows
    assert answer["history"][0]["metrics"]["r2"]["validation"] is None  # of a single row
    assert isinstance(answer["history"][0]["metrics"]["r2"]["training"], float)
    assert answer["final"]["metrics"]["r2"]["validation"] is None


@pytest.fixture(scope="module")
async def hurried(anyio_backend: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application whose runs have a third of a second."""
    async with client_with(training_seconds=0.3) as client:
        yield client


async def test_a_run_that_takes_too_long_answers_what_there_is(hurried: httpx.AsyncClient) -> None:
    short = {"data": inline(Y.tolist(), X.tolist()), "loss": "mse", "validation": {"last": 10}, "epochs": 2, "batch_size": 1}
    many = await train(hurried, **{**short, "epochs": 10_000}, outputs=["per_sample"])
    done = len(many["history"])
    assert 0 < done < 10_000
    assert many["stopped"] == {"epoch": done, "reason": "time_limit"}
    last = many["history"][-1]
    assert many["final"] == {key: last[key] for key in ("epoch", "training_loss", "validation_loss", "metrics")}
    assert math.isclose(np.mean(many["per_sample"]), last["validation_loss"], rel_tol=1e-12)
    # the next run in the same process has its own time
    assert (await train(hurried, **short))["stopped"] == {"epoch": 2, "reason": "completed"}
    long = inline(RNG.normal(size=6000).tolist(), RNG.normal(size=(6000, 20)).round(2).tolist())
    none = await train(hurried, data=long, loss="mse", model={"name": "mlp", "hidden": [800, 800]}, batch_size=1)
    assert (none["history"], none["best_epoch"]) == ([], None)
    assert none["stopped"] == {"epoch": 0, "reason": "time_limit"}
    assert none["final"]["epoch"] == 0
    assert none["diagnosis"]
    assert (await train(hurried, **short))["stopped"] == {"epoch": 2, "reason": "completed"}
    response = await hurried.post("/v1/train", json={**short, "epochs": 10_000}, headers=STREAM)
    *_, last, end = events_in(response.text)
    assert (last.name, end.name, end.data["stopped"]["reason"]) == ("epoch", "end", "time_limit")
    assert bare(end.data["history"][-1]) == bare(last.data)


@pytest.mark.parametrize("model", ["mlp", "boosted_trees"])
def test_an_epoch_that_is_given_up_leaves_no_trace(model: str) -> None:
    rng = np.random.default_rng(0)
    table = Table(rng.normal(size=(4000, 4)), rng.normal(size=4000))
    chosen = Chosen(MODELS[model], {} if model == "mlp" else {"max_depth": 12})
    optimizer = Chosen(OPTIMIZERS["adam"], {"learning_rate": 0.01}) if model == "mlp" else None
    plan = Plan(data=table, model=chosen, loss=Chosen(LOSSES["huber"], {}), optimizer=optimizer, epochs=500)
    run = prepare(replace(plan, batch_size=1) if model == "mlp" else plan)
    cut, whole = start(run), start(run)
    done = len(list(epochs(run, cut, time.monotonic() + 0.4)))
    assert done < 500
    for _ in zip(range(done), fit(run, whole), strict=False):
        pass
    assert cut.keys() == whole.keys()
    seconds = 4  # the column of the history that differs from run to run
    for key in cut:
        one, other = cut[key], whole[key]
        if key == "history":
            one, other = np.delete(one[:done], seconds, axis=1), np.delete(other[:done], seconds, axis=1)
        assert np.array_equal(one, other, equal_nan=True), key


# --- classes ----------------------------------------------------------------------------------------------------------------


async def test_names_are_classes_in_their_order(client: httpx.AsyncClient) -> None:
    request = {"loss": "CrossEntropyLoss", "epochs": 3, "validation": None, "outputs": ["predictions"], "metrics": ["accuracy"]}
    names = ["dog", "cat", "dog", "eel", "cat", "eel"]
    answer = await train(client, data=inline(names), **request)
    assert answer["data"]["classes"] == ["cat", "dog", "eel"]
    assert (answer["data"]["outputs"], answer["data"]["targets_encoding"]) == (3, "class_names")
    as_numbers = await train(client, data=inline([1, 0, 1, 2, 0, 2]), **request)
    assert as_numbers["data"]["classes"] is None
    assert as_numbers["predictions"] == answer["predictions"]
    told = await train(client, data=inline([1, 0, 1, 2, 0, 2], classes=["cat", "dog", "eel"]), **request)
    assert (told["data"]["classes"], told["predictions"]) == (["cat", "dog", "eel"], answer["predictions"])
    turned = await train(client, data=inline(names, classes=["eel", "dog", "cat", "fox"]), **request)
    assert turned["data"]["classes"] == ["eel", "dog", "cat", "fox"]
    assert turned["data"]["outputs"] == 4


async def test_names_of_validation_rows_are_those_of_the_data(client: httpx.AsyncClient) -> None:
    """Whatever the order of the classes, and whichever of them occur there."""
    names = ["outer", "inner", "inner", "outer", "outer", "inner"]
    for classes in (["outer", "inner"], ["inner", "outer"]):
        for rows in (slice(0, 6), slice(0, 1), slice(1, 3)):
            request = {"data": inline(names, classes=classes), "loss": "bce_with_logits", "epochs": 3, "outputs": ["per_sample"]}
            among = await train(client, **request, validation=None)
            other = await train(client, **request, validation={"inputs": SQUARE[rows], "targets": names[rows]})
            assert np.allclose(other["per_sample"], among["per_sample"][rows], rtol=1e-12)
    # names of a named dataset: swapped names give other losses, the right ones those of their indices
    request = {"data": {"name": "circles", "n_samples": 50}, "epochs": 3, "outputs": ["per_sample"]}
    by = {}
    for key, targets in {"names": ["inner", "outer"], "indices": [1, 0], "swapped": ["outer", "inner"]}.items():
        by[key] = await train(client, **request, validation={"inputs": [[0.1, 0.2], [1, 1]], "targets": targets})
    assert by["names"]["per_sample"] == by["indices"]["per_sample"] != by["swapped"]["per_sample"]


# --- parts that have no optimizer, or no use for one --------------------------------------------------------------------------


async def test_a_schedule_moves_the_rate_of_boosted_trees(client: httpx.AsyncClient) -> None:
    request = {
        "data": inline(Y.tolist(), X.tolist()),
        "loss": "mse",
        "model": {"name": "boosted_trees", "learning_rate": 0.4, "min_samples_leaf": 1},
    }
    answer = await train(client, **request, schedule={"name": "step", "every": 2, "factor": 0.5}, epochs=6)
    assert [epoch["learning_rate"] for epoch in answer["history"]] == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    assert (answer["optimizer"], answer["n_parameters"]) == (None, None)
    assert answer["schedule"] == {"name": "step", "every": 2, "factor": 0.5}
    plain = await train(client, **request, epochs=6)
    assert bare(plain["history"][:2]) == bare(answer["history"][:2])
    assert plain["history"][2]["training_loss"] < answer["history"][2]["training_loss"]


async def test_constant_columns_of_a_named_dataset_do_no_harm(client: httpx.AsyncClient) -> None:
    answer = await train(client, data={"name": "digits", "n_class": 2}, model="linear", epochs=2)
    assert 0.0 not in answer["data"]["standardized"]["inputs"]["deviation"]
    assert answer["history"][-1]["validation_loss"] < 0.2


# --- the stream -------------------------------------------------------------------------------------------------------------


async def test_a_stream_says_epoch_by_epoch_what_the_answer_says_at_once(
    client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    request = {**LINE, "optimizer": "adam", "epochs": 5, "metrics": ["r2"]}
    answer = await train(client, **request)
    response = await client.post("/v1/train", json=request, headers=STREAM)
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    start, *told, end = events_in(response.text)
    assert (start.name, start.id, end.name, end.id) == ("start", None, "end", "end")
    assert [(event.name, event.id) for event in told] == [("epoch", str(number)) for number in range(1, 6)]
    assert bare(end.data) == bare(answer)
    assert [event.data for event in told] == end.data["history"]
    assert start.data == {key: answer[key] for key in start.data}
    assert start.data.keys() == {"model", "n_parameters", "loss", "optimizer", "schedule", "seed", "data"}
    schemas["TrainResponse"].validate(end.data)
    for event in told:
        schemas["EpochEntry"].validate(event.data)


async def test_a_stream_of_a_run_that_diverges_ends_like_any_other(client: httpx.AsyncClient) -> None:
    request = {**LINE, "optimizer": {"name": "gradient_descent", "learning_rate": 3.0}, "batch_size": "full", "epochs": 5000}
    *_, last, end = events_in((await client.post("/v1/train", json=request, headers=STREAM)).text)
    assert (last.name, end.name, end.data["stopped"]["reason"]) == ("epoch", "end", "diverged")
    assert last.data == end.data["history"][-1]


@pytest.mark.parametrize("request_", [{"loss": "hing"}, {"data": "diabetes", "loss": "hinge"}, {"epochs": 10**9}])
async def test_what_is_wrong_is_known_before_the_stream(request_: dict[str, Any], client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/train", json=request_, headers=STREAM)
    assert response.status_code == 422
    assert problem_of(response) == await refused(client, request_)


# --- what is refused --------------------------------------------------------------------------------------------------------

BINARY = inline([0, 1, 0, 1, 0, 1])
HEADS: dict[str, Any] = {"name": "multi_task", "heads": {"a": {"loss": {"name": "bce", "from_logits": True}}}}

REFUSED: list[tuple[Any, str, str, str]] = [
    ({"metrics": ["accuracy"] * 11}, "/metrics", "length", "metrics must have at most 10 items"),
    ({"metrics": ["accuracy", {"name": "huber", "delta": -1}]}, "/metrics/1/delta", "out_of_range", "metrics[1].delta must be"),
    ({"validation": "a fifth"}, "/validation", "type", 'validation must be an object; got "a fifth"'),
    # names, with a suggestion
    ({"data": "circle"}, "/data", "unknown_dataset", "Did you mean circles"),
    ({"data": {"name": "circels"}}, "/data/name", "unknown_dataset", "Did you mean circles"),
    ({"data": {"name": "circles", "noize": 1}}, "/data/noize", "unknown_parameter", "did you mean noise"),
    ({"model": "mpl"}, "/model", "unknown_model", "Did you mean mlp"),
    ({"loss": "hing"}, "/loss", "unknown_loss", "Did you mean hinge"),
    ({"optimizer": {"name": "addam"}}, "/optimizer/name", "unknown_optimizer", "Did you mean adam"),
    ({"optimizer": {"name": "adam", "learning_rat": 1}}, "/optimizer/learning_rat", "unknown_parameter", "learning_rate"),
    ({"schedule": "cosin"}, "/schedule", "unknown_schedule", "Did you mean cosine"),
    ({"metrics": ["accuracy", "acuracy"]}, "/metrics/1", "unknown_metric", "Did you mean accuracy"),
    ({"epocs": 3}, "/epocs", "unknown_field", "'epocs'"),
    ({"losses": ["mse"]}, "/losses", "unknown_field", "'losses'"),
    # where in a union
    ({"data": {"name": "circles", "noise": -1}}, "/data/noise", "out_of_range", "got -1"),
    ({"data": {"inputs": SQUARE}}, "/data/targets", "missing", "data.targets"),
    ({"data": inline([1], rows=3)}, "/data/rows", "unknown_field", "'rows'"),
    ({"data": 5}, "/data", "type", "inputs, targets"),
    ({"data": {"name": "classification", "weights": [0.9, 0.3]}}, "/data/weights", "out_of_range", "1.2"),
    ({"model": {"name": "mlp", "hidden": [8, 0]}}, "/model/hidden/1", "out_of_range", "got 0"),
    ({"model": {"name": "mlp", "hidden": []}}, "/model/hidden", "length", "at least 1"),
    ({"model": {"name": "mlp", "output": "soft"}}, "/model/output", "choice", "softmax"),
    ({"loss": {"name": "huber", "delta": -1}, "data": "diabetes"}, "/loss/delta", "out_of_range", "got -1"),
    ({"optimizer": {"name": "adam", "learning_rate": 0}}, "/optimizer/learning_rate", "out_of_range", "got 0"),
    ({"metrics": [{"name": "huber", "delta": 0}], "data": "diabetes"}, "/metrics/0/delta", "out_of_range", "got 0"),
    ({"metrics": [5]}, "/metrics/0", "type", "a name"),
    ({"validation": {"fraction": 0.5, "foo": 1}}, "/validation/foo", "unknown_field", "'foo'"),
    ({"standardize": {"inputs": 1}}, "/standardize/inputs", "type", "boolean"),
    ({"outputs": ["weights"]}, "/outputs/0", "choice", "parameters"),
    # arrays
    ({"data": inline([1, 2, "a"]), "loss": "mse"}, "/data/targets/2", "not_a_number", "a string"),
    ({"data": inline([]), "loss": "mse"}, "/data/targets", "empty", "empty"),
    ({"data": inline([1, 2]), "loss": "mse"}, "/data/targets", "shape_mismatch", "6, not 2"),
    ({"data": inline({"a": [1, 2, 3, 4, 5, 6]}), "loss": "mse"}, "/data/targets", "not_an_array", "object"),
    ({"data": inline([1, 2], [1, 2]), "loss": "mse"}, "/data/inputs", "shape", "(n, d)"),
    ({"data": inline([1, 2], [[1, 2], [3]]), "loss": "mse"}, "/data/inputs/1", "ragged", "(1,)"),
    ({"data": inline([1, 2], [[1, 2], [3, None]]), "loss": "mse"}, "/data/inputs/1/1", "not_a_number", "null"),
    ({"data": inline([1, 2, 3], [[1, 2], [1, 3], [1, 4]]), "loss": "mse"}, "/data/inputs", "constant_column", "set standardize"),
    ({"data": inline([1, 2], [[1e300], [-1e300]]), "loss": "mse", "validation": None}, "/data/inputs", "out_of_range", "large"),
    (
        {"data": inline([1, 2, 3], [[1], [2], [3]]), "loss": "mse", "validation": {"inputs": [[1, "x"]], "targets": [1]}},
        "/validation/inputs/0/1",
        "not_a_number",
        "a string",
    ),
    (b'{"data": {"inputs": [[1, NaN], [2, 3]], "targets": [1, 2]}, "loss": "mse"}', "/data/inputs/0/1", "not_a_number", "NaN"),
    (b'{"data": {"inputs": [[1], [2]], "targets": [1, 1e999]}, "loss": "mse"}', "/data/targets/1", "not_finite", "Infinity"),
    # classes
    ({"data": inline(["a"] * 6), "loss": "CrossEntropyLoss"}, "/data/targets", "label", "one class"),
    ({"data": inline(["a", "b"] * 3, classes=["a", "c"]), "loss": "CrossEntropyLoss"}, "/data/targets/1", "unknown_class", "'b'"),
    ({"data": inline([0, 1] * 3, classes=["a", "a"]), "loss": "CrossEntropyLoss"}, "/data/classes", "duplicate", "different"),
    ({"data": inline(["a", "b"] * 3, classes=["a", "b", "a"]), "loss": "hinge"}, "/data/classes", "duplicate", "different"),
    ({"data": inline([0, 1] * 3, classes=["a"]), "loss": "CrossEntropyLoss"}, "/data/classes", "length", "at least 2"),
    ({"data": inline([0, 1, 2] * 2, classes=["a", "b"]), "loss": "CrossEntropyLoss"}, "/data/targets/2", "label", "got 2"),
    ({"data": inline([1.5, 7] * 3, classes=["a", "b"]), "loss": "mse"}, "/data/targets/1", "label", "got 7"),
    (
        {"data": inline([[1, 0, 0], [0, 1, 0]] * 3, classes=["a", "b"]), "loss": "CrossEntropyLoss"},
        "/data/classes",
        "shape_mismatch",
        "3 columns",
    ),
    ({"validation": {"inputs": [[1, 2]], "targets": ["iner"]}}, "/validation/targets/0", "unknown_class", "'iner'"),
    (
        {"data": BINARY, "loss": "hinge", "validation": {"inputs": [[1, 2]], "targets": ["a"]}},
        "/validation/targets",
        "not_a_number",
        "class names",
    ),
    ({"data": "regression", "loss": "CrossEntropyLoss"}, "/loss", "label", "class"),
    # what does not go together
    ({"data": BINARY}, "/loss", "missing", "which loss"),
    ({"loss": "zero_one"}, "/loss", "not_trainable", "derivative"),
    ({"loss": "dpo", "data": "diabetes"}, "/loss", "not_trainable", "log-probability"),
    ({"loss": "triplet_margin", "data": "friedman1"}, "/loss", "label", "a label for each row"),
    ({"loss": "gaussian_nll", "data": "diabetes", "metrics": ["r2"]}, "/metrics/0", "metric", "several"),
    ({"loss": "aft_nll", "data": inline([1, 2, 3, 4, 5, 6])}, "/data/targets", "missing", "lower, upper"),
    ({"data": inline({"a": [1, 2, 3], "b": [1, 2]}), "loss": "mse"}, "/data/targets/b", "shape_mismatch", "has 2 rows"),
    (
        {"data": inline({"a": ["x", "y"] * 3}), "loss": HEADS | {"heads": {"a": {"loss": "mse"}}}},
        "/data/targets/a",
        "not_a_number",
        "quantities",
    ),
    ({"data": inline({"a": ["x", "x"] * 3}), "loss": HEADS}, "/data/targets/a", "label", "one class"),
    (
        {"data": inline({"a": ["x", "y"] * 3}, classes={"a": ["x", "z"]}), "loss": HEADS},
        "/data/targets/a/1",
        "unknown_class",
        "'y'",
    ),
    ({"data": inline({"a": [0, 2] * 3}, classes={"a": ["x", "z"]}), "loss": HEADS}, "/data/targets/a/1", "label", "got 2"),
    ({"data": inline({"a": [0, 1] * 3}, classes={"b": ["x", "z"]}), "loss": HEADS}, "/data/classes/b", "unknown_field", "a"),
    ({"data": inline({"a": [0, 1] * 3}, classes={"a": ["x", "x"]}), "loss": HEADS}, "/data/classes/a", "duplicate", "different"),
    ({"data": inline({"a": [0, 1] * 3}, classes=["x", "z"]), "loss": HEADS}, "/data/classes", "type", "by head"),
    ({"data": inline([0, 1] * 3, classes={"a": ["x", "z"]}), "loss": "hinge"}, "/data/classes", "type", "a list"),
    ({"data": inline({}), "loss": "mse"}, "/data/targets", "empty", "without an array"),
    ({"data": inline([0, 1, 2] * 2), "loss": "hinge"}, "/data/targets/2", "label", "got 2"),
    ({"data": "iris", "loss": "hinge"}, "/loss", "label", "−1 or +1"),
    ({"model": {"name": "mlp", "output": "softmax"}, "data": "diabetes"}, "/model/output", "does_not_fit", "softmax"),
    ({"model": "boosted_trees", "optimizer": "adam"}, "/optimizer", "unexpected", "learning_rate is a parameter of the model"),
    ({"model": "boosted_trees", "batch_size": 5}, "/batch_size", "unexpected", "subsample"),
    ({"optimizer": "lbfgs", "batch_size": 5}, "/batch_size", "unexpected", "full"),
    ({"optimizer": "lbfgs", "schedule": "cosine"}, "/schedule", "unexpected", "leave it out"),
    ({"metrics": ["r2"]}, "/metrics/0", "metric", "Metrics that fit: accuracy"),
    ({"metrics": ["accuracy", "acc"]}, "/metrics/1", "duplicate", "accuracy"),
    ({"data": "diabetes", "metrics": ["accuracy"]}, "/metrics/0", "metric", "Metrics that fit: r2"),
    ({"gradient_clipping": {}}, "/gradient_clipping", "choice", "norm, value"),
    ({"standardize": {"targets": True}, "data": "diabetes", "loss": "poisson_nll"}, "/standardize/targets", "targets", "false"),
    # rows
    ({"batch_size": 0}, "/batch_size", "out_of_range", "full"),
    ({"batch_size": "all"}, "/batch_size", "type", "full"),
    ({"batch_size": 801}, "/batch_size", "out_of_range", "at most 800"),
    ({"validation": {}}, "/validation", "choice", "one of"),
    ({"validation": {"fraction": 0.5, "last": 5}}, "/validation", "choice", "got fraction and last"),
    ({"validation": {"fraction": 1.0}}, "/validation/fraction", "out_of_range", "less than 1"),
    ({"validation": {"fraction": 1e-5}}, "/validation/fraction", "no_samples", "validation to null"),
    ({"validation": {"last": 1000}}, "/validation/last", "no_samples", "at most 999"),
    ({"validation": {"last": 5, "seed": 1}}, "/validation/seed", "unexpected", "fraction"),
    ({"validation": {"inputs": [[1, 2]]}}, "/validation", "missing", "go together"),
    ({"validation": {"inputs": [[1, 2, 3]], "targets": [1]}}, "/validation/inputs", "shape_mismatch", "3 columns here and 2"),
    # limits
    ({"epochs": 0}, "/epochs", "out_of_range", "got 0"),
    ({"epochs": 1.5}, "/epochs", "type", "integer"),
    ({"epochs": 10_001}, "/epochs", "limit", "10000"),
    ({"epochs": 10_000, "data": {"name": "circles", "n_samples": 10_000}}, "/epochs", "limit", "20000000"),
    ({"model": {"name": "mlp", "hidden": [4096, 4096]}}, "/model", "limit", "at most 1000000"),
    ({"data": {"name": "regression", "n_samples": 100_000, "n_features": 1000}}, "/data/n_samples", "out_of_range", "9990"),
    ({"seed": -1}, "/seed", "out_of_range", "got -1"),
]


@in_turn(("request_", "pointer", "code", "words"), REFUSED, ids=lambda case: str(case)[:60])
async def test_a_request_that_is_refused(
    request_: Any, pointer: str, code: str, words: str, client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    body = await refused(client, request_)
    schemas["Problem"].validate(body)
    first = body["errors"][0]
    assert (body["status"], first["pointer"], first["code"]) == (422, pointer, code)
    assert words in first["message"]


@pytest.mark.parametrize(
    ("request_", "fitting", "other"),
    [
        ({"data": "diabetes", "loss": "hinge"}, "log_cosh", "squared_hinge"),
        ({"data": "iris", "loss": "hinge"}, "crammer_singer_hinge", "hinge"),
        ({"data": "iris", "loss": "binary_cross_entropy"}, "categorical_cross_entropy", "logistic"),
        ({"data": inline(["a", "b", "c"] * 2), "loss": "mse"}, "categorical_cross_entropy", "huber"),
        ({"data": inline(["a", "b"] * 3), "loss": "mse"}, "binary_cross_entropy", "huber"),
    ],
)
async def test_a_loss_that_does_not_fit_names_those_that_do(
    request_: dict[str, Any], fitting: str, other: str, client: httpx.AsyncClient
) -> None:
    detail = (await refused(client, request_))["detail"]
    losses = detail.partition("Losses that fit these targets: ")[2].rstrip(".").split(", ")
    assert len(losses) == 3
    assert fitting in losses
    assert other not in losses
    assert set(losses) <= set(LOSSES)
    answer = await train(client, **{**request_, "loss": fitting, "epochs": 1})
    assert answer["stopped"]["reason"] == "completed"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"", 400, "malformed_json"), (b"[]", 400, "malformed_json"), (b'{"seed": 1, "seed": 2}', 400, "malformed_json")],
)
async def test_a_body_that_is_refused(content: bytes, status: int, code: str, client: httpx.AsyncClient) -> None:
    body = await refused(client, content)
    assert (body["status"], body["code"]) == (status, code)


async def test_other_methods_and_media_types(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/train")).status_code == 405
    response = await client.post("/v1/train", content=b"epochs=3", headers={"content-type": "application/x-www-form-urlencoded"})
    assert (response.status_code, problem_of(response)["code"]) == (415, "unsupported_media_type")


async def test_the_most_that_is_taken_on_is_a_matter_of_settings() -> None:
    async with client_with(training_epochs=5, training_parameters=10, training_row_epochs=100) as client:
        request = {"data": BINARY, "loss": "hinge", "model": "linear", "validation": None}
        for changes, pointer, words in (
            ({"epochs": 6}, "/epochs", "at most 5"),
            ({"epochs": 5, "model": "mlp"}, "/model", "at most 10"),
            ({"epochs": 5, "data": inline([0, 1] * 15, SQUARE * 5)}, "/epochs", "at most 100"),
        ):
            (fault,) = (await refused(client, {**request, **changes}))["errors"]
            assert (fault["pointer"], fault["code"]) == (pointer, "limit")
            assert words in fault["message"]
        assert (await train(client, **request, epochs=5))["stopped"]["reason"] == "completed"


# --- the examples of the document -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_of_the_document(name: str, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    document = (await client.get("/openapi.json")).json()
    examples = document["paths"]["/v1/train"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert examples[name] == EXAMPLES[name]
    assert examples[name]["summary"]
    assert examples[name]["description"].endswith(".")
    schemas["TrainRequest"].validate(examples[name]["value"])
    answer = await train(client, **examples[name]["value"])
    schemas["TrainResponse"].validate(answer)
    WHAT_IT_SHOWS[name](answer)


def _shows_a_default(answer: dict[str, Any]) -> None:
    assert answer["stopped"]["reason"] == "completed"


def _shows_when_to_stop(answer: dict[str, Any]) -> None:
    assert answer["stopped"]["reason"] == "early_stopping"
    assert answer["final"]["epoch"] == answer["best_epoch"] == answer["stopped"]["epoch"] - 20
    assert answer["history"][-1]["validation_loss"] > answer["final"]["validation_loss"]
    assert answer["history"][-1]["training_loss"] < answer["final"]["training_loss"]
    assert answer["final"]["metrics"]["accuracy"]["validation"] > 0.8


def _shows_a_regression(answer: dict[str, Any]) -> None:
    rates = [epoch["learning_rate"] for epoch in answer["history"]]
    assert rates == sorted(rates, reverse=True)
    assert answer["final"]["metrics"]["r2"]["validation"] > 0.7


def _shows_own_data(answer: dict[str, Any]) -> None:
    assert answer["data"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert np.argmax(answer["predictions"], axis=1).tolist() == [0, 1, 2]
    assert answer["final"]["metrics"]["accuracy"] == {"training": 1.0, "validation": 1.0}
    assert np.shape(answer["parameters"]["weights_1"]) == (2, 3)


def _shows_a_rare_class(answer: dict[str, Any]) -> None:
    assert answer["data"]["validation_rows"] == 100
    assert answer["final"]["metrics"]["roc_auc"]["validation"] > 0.9


def _shows_trees(answer: dict[str, Any]) -> None:
    assert answer["optimizer"] is None
    assert answer["final"]["metrics"]["r2"]["validation"] > 0.3


def _shows_divergence(answer: dict[str, Any]) -> None:
    assert answer["stopped"]["reason"] == "diverged"
    assert answer["diagnosis"][0]["verdict"] == "diverging"
    assert "learning_rate" in answer["diagnosis"][0]["advice"]


def _shows_three_epochs(answer: dict[str, Any]) -> None:
    losses = [epoch["training_loss"] for epoch in answer["history"]]
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)
    assert len(answer["predictions"]) == len(answer["per_sample"]) == 2
    assert np.shape(answer["parameters"]["weights_1"]) == (1, 1)


WHAT_IT_SHOWS = {
    "default": _shows_a_default,
    "classification": _shows_when_to_stop,
    "short": _shows_three_epochs,
    "regression": _shows_a_regression,
    "inline_data": _shows_own_data,
    "rare_class": _shows_a_rare_class,
    "boosted_trees": _shows_trees,
    "rate_too_high": _shows_divergence,
}


# --- the document -----------------------------------------------------------------------------------------------------------


async def test_the_document_has_the_answer_and_the_stream(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, answer in (("/v1/train", "TrainResponse"), ("/v1/train/compare", "CompareResponse")):
        operation = document["paths"][path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("Request")
        content = operation["responses"]["200"]["content"]
        assert content.keys() == {"application/json"}  # a typed client takes any other for one more type of the answer
        assert content["application/json"]["schema"] == {"$ref": f"#/components/schemas/{answer}"}
        assert "text/event-stream" in operation["responses"]["200"]["description"]
        assert {"400", "413", "415", "422", "503"} <= operation["responses"].keys()
    assert "itemSchema" not in json.dumps(document)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"data": BINARY, "loss": {"name": "hinge"}, "batch_size": "full"},
        {"data": inline(["a", "b"] * 3, classes=["b", "a"]), "validation": {"inputs": [[1, 2]], "targets": ["a"]}},
        {"validation": None, "schedule": None, "loss": None, "batch_size": 8},
        {"metrics": [{"name": "accuracy"}, {"name": "huber", "delta": 2.0}], "early_stopping": {}},
    ],
)
async def test_the_schema_takes_what_is_taken(request_: dict[str, Any], schemas: dict[str, Validator]) -> None:
    schemas["TrainRequest"].validate(request_)


@pytest.mark.parametrize(
    "request_",
    [{"epochs": 0}, {"data": {"inputs": SQUARE}}, {"loss": {"name": "no"}}, {"batch_size": "all"}, {"foo": 1}, {"seed": "a"}],
)
async def test_the_schema_refuses_what_is_refused(request_: dict[str, Any], schemas: dict[str, Validator]) -> None:
    assert not schemas["TrainRequest"].is_valid(request_)


# --- models of trees ---------------------------------------------------------------------------------------------------------

COLOURS = ["red", "green", "blue", "red"] * 15
WORDS = {
    "data": {
        "inputs": [[colour, float(row % 7)] for row, colour in enumerate(COLOURS)],
        "targets": [{"red": 5.0, "green": 1.0, "blue": 3.0}[colour] for colour in COLOURS],
        "features": ["colour", "number"],
    },
    "loss": "mse",
    "model": {"name": "boosted_trees", "categorical_features": ["colour"], "learning_rate": 1.0, "min_samples_leaf": 5},
    "validation": {"inputs": [["blue", 0], ["red", 3], ["green", 1], ["mauve", 1], [None, 2]], "targets": [3, 5, 1, 1, 1]},
    "epochs": 3,
    "outputs": ["predictions", "feature_importances"],
}


async def test_words_are_categories_where_they_are_called_so(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/train", json=WORDS)).json()
    *known, unseen, missing = answer["predictions"]
    np.testing.assert_allclose(known, [3.0, 5.0, 1.0], atol=1e-6)
    assert unseen == missing
    assert answer["feature_importances"][0] > 0.99
    assert answer["data"]["standardized"]["inputs"] is None
    problem = problem_of(await client.post("/v1/train", json={**WORDS, "model": "boosted_trees", "validation": None}))
    assert problem["errors"][0]["pointer"] == "/data/inputs/0/0"
    assert "one-hot" in problem["errors"][0]["message"]


@pytest.mark.parametrize("name", ["boosted_trees", "decision_tree", "random_forest"])
async def test_trees_alone_take_what_is_missing(name: str, client: httpx.AsyncClient) -> None:
    rows: list[list[float | None]] = [[None if row % 3 == 0 else float(row), 1.0] for row in range(60)]
    request = {"data": {"inputs": rows, "targets": list(range(60))}, "loss": "mse", "epochs": 4, "model": name}
    assert (await client.post("/v1/train", json=request)).status_code == 200
    problem = problem_of(await client.post("/v1/train", json={**request, "model": "linear"}))
    assert problem["errors"][0]["pointer"] == "/data/inputs/0/0"
    assert name in problem["errors"][0]["message"]


async def test_a_single_tree_says_that_it_needs_one_epoch(client: httpx.AsyncClient) -> None:
    request = {"data": "wine", "model": {"name": "DecisionTreeClassifier", "max_depth": 3}}
    plain = (await client.post("/v1/train", json=request)).json()
    assert (len(plain["history"]), "warnings" in plain) == (1, False)
    many = (await client.post("/v1/train", json={**request, "epochs": 7})).json()
    assert many["warnings"] == ["decision_tree is grown in 1 epoch: epochs 7 changes nothing"]
    assert many["final"] == plain["final"]


async def test_importances_are_of_trees(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.post("/v1/train", json={"outputs": ["predictions", "feature_importances"], "epochs": 1}))
    assert [(fault["pointer"], fault["code"]) for fault in problem["errors"]] == [("/outputs/1", "unexpected")]


@pytest.mark.parametrize(
    ("model", "pointer"),
    [
        ({"name": "boosted_trees", "monotone_constraints": [1, 2]}, "/model/monotone_constraints"),
        ({"name": "boosted_trees", "monotone_constraints": {"a": 1}}, "/model/monotone_constraints/a"),
        ({"name": "boosted_trees", "categorical_features": [7]}, "/model/categorical_features/0"),
        ({"name": "random_forest", "criterion": "gini"}, "/model/criterion"),
        ({"name": "boosted_trees", "max_bins": 256}, "/model/max_bins"),
    ],
)
async def test_what_does_not_fit_the_columns_is_refused(model: dict[str, Any], pointer: str, client: httpx.AsyncClient) -> None:
    request = {"data": inline(Y.tolist(), X.tolist()), "loss": "mse", "model": model}
    problem = problem_of(await client.post("/v1/train", json=request))
    assert problem["status"] == 422
    assert problem["errors"][0]["pointer"].startswith(pointer)


# --- weights and splits --------------------------------------------------------------------------------------------------------


async def test_weights_are_columns_of_a_table_or_lists(client: httpx.AsyncClient) -> None:
    weights = [0.0, 1.0, 2.0, 3.0] * 5
    rows: list[dict[str, float]] = [{"x": float(row), "y": 2.0 * row + row % 3, "w": weights[row]} for row in range(20)]
    common: dict[str, Any] = {"loss": "mse", "model": "linear", "optimizer": "lbfgs", "epochs": 5, "validation": None}
    common |= {"outputs": ["parameters"], "metrics": ["r2"]}
    lists = {"inputs": [[row["x"]] for row in rows], "targets": [row["y"] for row in rows]}
    plain = await train(client, data=lists, **common)
    weighed = await train(client, data={**lists, "sample_weight": weights, "features": ["x"]}, **common)
    tabled = await train(client, data={"rows": rows, "targets": "y", "sample_weight": "w"}, **common)
    assert weighed["parameters"] == tabled["parameters"] != plain["parameters"]
    slope, *_ = np.polyfit([row["x"] for row in rows], [row["y"] for row in rows], 1, w=np.sqrt(weights))
    deviation = weighed["data"]["standardized"]["inputs"]["deviation"][0]
    scale = weighed["data"]["standardized"]["targets"]["deviation"]
    assert weighed["parameters"]["weights_1"][0][0] * scale / deviation == pytest.approx(slope, rel=1e-6)


async def test_splits_by_class_by_group_and_by_time(client: httpx.AsyncClient) -> None:
    data = {"inputs": [[float(row)] for row in range(40)], "targets": ["no", "no", "no", "yes"] * 10}
    common: dict[str, Any] = {"loss": "categorical_cross_entropy", "model": "linear", "epochs": 2}
    for way in ("stratified", "ordered"):
        answer = await train(client, data=data, validation={"fraction": 0.2, "split": way}, **common)
        assert answer["data"]["validation_rows"] == 8
    groups = ["a"] * 30 + ["b"] * 10
    answer = await train(client, data={**data, "groups": groups}, validation={"fraction": 0.2, "split": "grouped"}, **common)
    assert answer["data"]["validation_rows"] == 10
    rare = await train(client, data=data, class_weight={"yes": 10}, validation=None, **common)
    balanced = await train(client, data=data, class_weight="balanced", validation=None, **common)
    assert rare["final"]["training_loss"] != balanced["final"]["training_loss"]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"validation": {"fraction": 0.2, "split": "grouped"}}, "/data/groups", "missing"),
        ({"validation": {"fraction": 0.2, "split": "stratified"}}, "/validation/split", "does_not_fit"),
        ({"validation": {"last": 3, "split": "ordered"}}, "/validation/split", "unexpected"),
        ({"class_weight": "balanced"}, "/class_weight", "does_not_fit"),
        ({"class_weight": 3}, "/class_weight", "type"),
        ({"class_weight": "even"}, "/class_weight", "type"),
        ({"class_weight": {"a": -1}}, "/class_weight/a", "out_of_range"),
    ],
)
async def test_weights_and_splits_that_do_not_fit(
    changes: dict[str, Any], pointer: str, code: str, client: httpx.AsyncClient
) -> None:
    request = {"data": inline(Y.tolist(), X.tolist()), "loss": "mse", "model": "linear", **changes}
    problem = problem_of(await client.post("/v1/train", json=request))
    assert (problem["status"], problem["errors"][0]["pointer"], problem["errors"][0]["code"]) == (422, pointer, code)


@pytest.mark.parametrize("weights", [[1.0], [-1.0] * 30, [0.0] * 30, ["a"] * 30])
async def test_weights_of_rows_that_are_none(weights: list[Any], client: httpx.AsyncClient) -> None:
    request = {"data": {**inline(Y.tolist(), X.tolist()), "sample_weight": weights}, "loss": "mse", "model": "linear"}
    problem = problem_of(await client.post("/v1/train", json=request))
    assert problem["status"] == 422
    assert problem["errors"][0]["pointer"].startswith("/data/sample_weight")


# --- as others write it ---------------------------------------------------------------------------------------------------

TWO, THREE, REAL = [0, 1, 0, 1, 1, 0], [0, 1, 2, 0, 1, 2], [0.5, 1.5, 2.0, 2.5, 4.0, 3.5]


@pytest.mark.parametrize(
    ("model", "targets", "loss"),
    [
        ("logistic_regression", TWO, "binary_cross_entropy"),
        ("LogisticRegression", THREE, "categorical_cross_entropy"),
        ("LogisticRegression", ["a", "b", "c", "a", "b", "c"], "categorical_cross_entropy"),
        ("DecisionTreeClassifier", ["a", "b", "a", "b", "a", "b"], "binary_cross_entropy"),
        ({"name": "RandomForestRegressor", "max_depth": 2}, TWO, "mean_squared_error"),
        ("LinearRegression", REAL, "mean_squared_error"),
    ],
)
async def test_a_models_name_that_says_the_task_needs_no_loss(
    client: httpx.AsyncClient, model: Any, targets: Any, loss: str
) -> None:
    answer = await train(client, data=inline(targets), model=model, epochs=1, validation=None)
    assert answer["loss"]["name"] == loss
    assert loss == "mean_squared_error" or answer["loss"]["from_logits"]


async def test_a_name_without_a_task_or_of_another_still_asks_for_the_loss(client: httpx.AsyncClient) -> None:
    for model in ("mlp", "LogisticRegression"):
        response = await client.post("/v1/train", json={"data": inline(REAL), "model": model})
        assert [(fault["pointer"], fault["code"]) for fault in problem_of(response)["errors"]] == [("/loss", "missing")]


async def test_words_of_keras_and_pytorch_are_taken(client: httpx.AsyncClient) -> None:
    plain = {"data": "moons", "epochs": 2, "validation": {"fraction": 0.3}, "optimizer": {"name": "sgd", "learning_rate": 0.2}}
    other = {"data": "moons", "epochs": 2, "validation_split": 0.3, "optimizer": {"name": "sgd", "lr": 0.2}}
    first, second = [await train(client, **request) for request in (plain, other)]
    assert [entry["validation_loss"] for entry in first["history"]] == [entry["validation_loss"] for entry in second["history"]]


async def test_trees_are_counted_by_epochs(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/train", json={"model": {"name": "boosted_trees", "n_estimators": 50}})
    (fault,) = problem_of(response)["errors"]
    assert (fault["pointer"], fault["code"]) == ("/model/n_estimators", "unknown_parameter")
    assert "counts the trees" in fault["message"]


async def test_a_bad_cell_is_told_with_the_name_of_its_column(client: httpx.AsyncClient) -> None:
    for cell, words in (("red", "one-hot"), (None, "boosted_trees")):
        rows = [[1, 2], [2, cell], [3, 1], [4, 2], [5, 1], [6, 2]]
        response = await client.post("/v1/train", json={"data": inline(REAL, rows, features=["size", "colour"]), "loss": "mse"})
        (fault,) = problem_of(response)["errors"]
        assert fault["pointer"] == "/data/inputs/1/1"
        assert fault["message"].startswith("column 'colour': data.inputs[1, 1] must be a number")
        assert words in fault["message"]


# --- rows in plenty ---------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["float32", "float64"])
async def test_ten_thousand_pictures_train_within_the_default_memory(precision: str) -> None:
    rows = np.random.default_rng(0).random((10_000, 784)).round(3)
    request = {
        "data": {"inputs": rows.tolist(), "targets": (rows[:, 0] * 10).astype(int).tolist()},
        "model": {"name": "mlp", "hidden": [256, 128]},
        "loss": {"name": "categorical_cross_entropy", "from_logits": True},
        "precision": precision,
        "batch_size": 128,
        "epochs": 1,
    }
    async with client_with(training_memory_bytes=512 * 1024 * 1024) as client:
        answer = await train(client, **request)
    assert answer["data"]["training_rows"] == 8000
