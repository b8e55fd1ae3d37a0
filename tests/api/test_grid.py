"""Grids of /v1/train/compare: every combination, its name, error bars and differences of what is repeated, what is refused."""

import math
from itertools import combinations, product
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator
from scipy import stats

from tests.api.problem import problem_of, strictly
from tests.api.test_training import X, Y, bare

pytestmark = pytest.mark.anyio

SIGNS = np.where(Y > 3, 1, -1).tolist()
GROUPS = (np.arange(40) // 5).tolist()
REAL: dict[str, Any] = {
    "data": {"inputs": X.tolist(), "targets": Y.tolist(), "groups": GROUPS},
    "loss": "mse",
    "model": "linear",
    "epochs": 2,
    "metrics": ["r2", "mae"],
}
HUBERS = [{"name": "huber", "delta": 0.5}, {"name": "huber", "delta": 2.0}]


def without(*fields: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in REAL.items() if name not in fields} | more


async def compare(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post("/v1/train/compare", json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def test_every_combination_runs_and_is_the_run_by_itself(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    rates = [0.01, 0.1]
    answer = await compare(
        client,
        **without("loss"),
        losses=[*HUBERS, "mae"],
        optimizers=["adam", "sgd"],
        grid={"optimizer.learning_rate": rates},
        seeds=[1, 2],
    )
    schemas["CompareResponse"].validate(answer)
    assert answer["by"] == "grid"
    assert answer["axes"] == ["loss", "optimizer", "optimizer.learning_rate", "seed"]
    wanted = [*product([*HUBERS, "mae"], ["adam", "sgd"], rates, [1, 2])]
    assert len(answer["runs"]) == len(answer["table"]) == len(wanted) == 24
    for number, (loss, optimizer, rate, seed) in enumerate(wanted):
        run, line = answer["runs"][number], answer["table"][number]
        assert (
            (run["seed"], run["fold"], run["variant"])
            == (line["seed"], line["fold"], line["variant"])
            == (seed, None, number // 2)
        )
        assert run["optimizer"]["learning_rate"] == rate
        if number % 5 == 0:
            alone = {**REAL, "loss": loss, "optimizer": {"name": optimizer, "learning_rate": rate}, "seed": seed}
            response = await client.post("/v1/train", json=alone)
            assert bare(run) == {**bare(strictly(response.text)), "fold": None, "variant": number // 2}
    names = [line["name"] for line in answer["table"]]
    assert len({*names}) == 24
    assert names[0] == "huber(delta=0.5), adam, learning_rate=0.01, seed 1"
    variants = answer["variants"]
    assert [variant["runs"] for variant in variants] == [[2 * place, 2 * place + 1] for place in range(12)]
    assert variants[11]["parameters"] == {"optimizer.learning_rate": 0.1}
    assert variants[11]["loss"]["name"] == "mean_absolute_error"
    assert variants[11]["name"] == "mean_absolute_error, sgd, learning_rate=0.1"


@pytest.mark.parametrize("folds", [None, 3])
async def test_differences_are_those_of_the_scores(folds: int | None, client: httpx.AsyncClient) -> None:
    repeats: dict[str, Any] = {"seeds": [3, 4]} | ({} if folds is None else {"folds": folds})
    request = without("model", models=["linear", {"name": "mlp", "hidden": [4]}, {"name": "mlp", "hidden": [8]}], confidence=0.9)
    answer = await compare(client, **request, **repeats)
    n, runs = 2 * (folds or 1), answer["runs"]
    ratio = 0.0
    if folds:
        ratio = np.mean([run["data"]["validation_rows"] for run in runs]) / np.mean(
            [run["data"]["training_rows"] for run in runs]
        )

    def scores(variant: int, metric: str) -> np.ndarray:
        finals = [run["final"] for run in runs if run["variant"] == variant]
        return np.array(
            [final[metric] if metric == "validation_loss" else final["metrics"][metric]["validation"] for final in finals]
        )

    metrics = ["r2", "mean_absolute_error", "validation_loss"]
    for place, variant in enumerate(answer["variants"]):
        for metric in metrics:
            told, own = variant["scores"][metric], scores(place, metric)
            assert told["n"] == n == len(own)
            assert math.isclose(told["mean"], own.mean())
            assert math.isclose(told["deviation"], own.std(ddof=1))
            error = own.std(ddof=1) * math.sqrt(1 / n + ratio)
            assert math.isclose(told["standard_error"], error)
            assert np.allclose(told["interval"], stats.t.interval(0.9, n - 1, own.mean(), error))
    pairs = [(a, b, metric) for metric in metrics for a, b in combinations(range(3), 2)]
    assert [(told["a"], told["b"], told["metric"]) for told in answer["differences"]] == pairs
    for told in answer["differences"]:
        apart = scores(told["a"], told["metric"]) - scores(told["b"], told["metric"])
        error = apart.std(ddof=1) * math.sqrt(1 / n + ratio)
        assert told["method"] == ("corrected_resampled_t" if folds else "paired_t")
        assert told["n"] == n
        assert math.isclose(told["difference"], apart.mean())
        assert math.isclose(told["standard_error"], error)
        assert np.allclose(told["interval"], stats.t.interval(0.9, n - 1, apart.mean(), error))
        assert math.isclose(told["p_value"], 2 * stats.t.sf(abs(apart.mean() / error), n - 1), rel_tol=1e-9)
    for metric in metrics:
        own = [told for told in answer["differences"] if told["metric"] == metric]
        ordered, largest = sorted(own, key=lambda told: told["p_value"]), 0.0
        for rank, told in enumerate(ordered):
            largest = max(largest, min(1.0, (3 - rank) * told["p_value"]))
            assert math.isclose(told["p_adjusted"], largest)


async def test_losses_of_different_units_are_not_subtracted(client: httpx.AsyncClient) -> None:
    answer = await compare(client, **without("loss"), losses=["mse", "mae"], seeds=[1, 2])
    assert {told["metric"] for told in answer["differences"]} == {"r2", "mean_absolute_error"}


@pytest.mark.parametrize("split", ["random", "grouped", "ordered", "stratified"])
async def test_folds_hold_the_rows_out_in_turn(split: str, client: httpx.AsyncClient) -> None:
    classes = {"data": {"inputs": X.tolist(), "targets": SIGNS}, "loss": "logistic", "metrics": ["accuracy"]}
    request = {**REAL, **(classes if split == "stratified" else {}), "outputs": ["rows"], "validation": {"split": split}}
    answer = await compare(client, **request, folds=4)
    assert (answer["by"], answer["axes"]) == ("fold", ["fold"])
    assert [line["name"] for line in answer["table"]] == [line["fold"] for line in answer["table"]] == [0, 1, 2, 3]
    held = [row for run in answer["runs"] for row in run["rows"]["validation"]]
    assert sorted(held) == ([*range(8, 40)] if split == "ordered" else [*range(40)])
    assert [run["data"]["validation_rows"] for run in answer["runs"]] == [
        8 if split == "ordered" else 10
    ] * 4 or split == "grouped"
    (variant,) = answer["variants"]
    assert variant["runs"] == [0, 1, 2, 3]
    assert answer["differences"] == []


async def test_models_leave_out_what_they_have_no_use_for(client: httpx.AsyncClient) -> None:
    answer = await compare(
        client,
        **without("model", optimizer={"name": "adam", "learning_rate": 0.1}, regularization={"l2": 0.1}, batch_size=8),
        models=["linear", "boosted_trees", "decision_tree"],
        grid={"model.max_depth": [1, 2]},
        outputs=["feature_importances"],
    )
    assert len(answer["runs"]) == 6
    linear, _, boosted, *_ = answer["runs"]
    assert [warning.partition(" is ")[0] for warning in linear["warnings"]] == ["model.max_depth", "outputs"]
    assert {warning.partition(" is left out")[0] for warning in boosted["warnings"]} == {
        "optimizer",
        "regularization",
        "batch_size",
    }
    assert linear["optimizer"]["learning_rate"] == 0.1
    assert boosted["optimizer"] is None
    assert [run["model"].get("max_depth") for run in answer["runs"]] == [None, None, 1, 2, 1, 2]
    assert ["feature_importances" in run for run in answer["runs"]] == [False, False, True, True, True, True]
    assert [variant["parameters"] for variant in answer["variants"]] == [
        {},
        {},
        *[{"model.max_depth": 1}, {"model.max_depth": 2}] * 2,
    ]
    assert len({line["name"] for line in answer["table"]}) == 6


async def test_a_grid_may_change_the_data_and_what_is_within_a_loss(client: httpx.AsyncClient) -> None:
    terms = [{"loss": "mse", "weight": 1.0}, {"loss": "mae", "weight": 1.0}]
    answer = await compare(
        client,
        data={"name": "regression", "n_samples": 60},
        epochs=2,
        loss={"name": "weighted_sum", "terms": terms},
        grid={"data.noise": [0.0, 50.0], "loss.terms.1.weight": [0.5, 4.0], "model": ["linear", "mlp"]},
    )
    assert len(answer["runs"]) == 8
    weights = [run["loss"]["terms"][1]["weight"] for run in answer["runs"]]
    assert weights == [0.5, 0.5, 4.0, 4.0] * 2
    assert [run["model"]["name"] for run in answer["runs"]] == ["linear", "mlp"] * 4
    assert len({run["final"]["training_loss"] for run in answer["runs"]}) == 8


async def test_a_run_without_a_score_leaves_its_pair_out(client: httpx.AsyncClient) -> None:
    """Of a single row there is no r2; without rows held out there is nothing."""
    single = await compare(client, **REAL, optimizers=["sgd", "adam"], seeds=[1, 2], validation={"last": 1})
    none = await compare(client, **REAL, optimizers=["sgd", "adam"], seeds=[1, 2], validation=None)
    for answer, metrics in ((single, {"r2"}), (none, {"r2", "mean_absolute_error", "validation_loss"})):
        for variant in answer["variants"]:
            assert {metric for metric, score in variant["scores"].items() if score["n"] == 0} == metrics
            assert variant["scores"]["r2"] == {"n": 0, "mean": None, "deviation": None, "standard_error": None, "interval": None}
        for told in answer["differences"]:
            counted = (told["n"], told["difference"] is None, told["p_value"] is None, told["p_adjusted"] is None)
            assert counted == ((0, True, True, True) if told["metric"] in metrics else (2, False, False, False))


@pytest.mark.parametrize(
    ("request_", "faults"),
    [
        ({"grid": {"optimizer.foo": [1, 2]}}, [("/grid/optimizer.foo", "unknown_field")]),
        ({"grid": {"optimiser.learning_rate": [1, 2]}}, [("/grid/optimiser.learning_rate", "unknown_field")]),
        ({"grid": {"epochs.x": [1, 2]}}, [("/grid/epochs.x", "unknown_field")]),
        ({"grid": {"losses": ["mse", "mae"]}}, [("/grid/losses", "unknown_field")]),
        ({"grid": {"model.hidden": [[3], [4]]}}, [("/grid/model.hidden", "unknown_field")]),
        ({"grid": {"optimizer.learning_rate": [0.1, -1]}}, [("/grid/optimizer.learning_rate/1", "out_of_range")]),
        ({"grid": {"optimizer.learning_rate": ["a", 0.1]}}, [("/grid/optimizer.learning_rate/0", "type")]),
        ({"grid": {"batch_size": [8, 1000]}}, [("/grid/batch_size/1", "out_of_range")]),
        ({"grid": {"model": ["linear", "mpl"]}}, [("/grid/model/1", "unknown_model")]),
        ({"grid": {"epochs": [1]}}, [("/grid/epochs", "length")]),
        ({"grid": {"epochs": 3}}, [("/grid/epochs", "type")]),
        ({"grid": {}}, [("/grid", "length")]),
        ({"grid": {"seed": [1, 2]}}, [("/grid/seed", "unexpected")]),
        ({"models": ["linear", "mlp"], "model": "linear"}, [("/model", "unexpected")]),
        ({"folds": 1}, [("/folds", "out_of_range")]),
        ({"folds": 21}, [("/folds", "out_of_range")]),
        ({"folds": 3, "validation": {"fraction": 0.2}}, [("/validation/fraction", "unexpected")]),
        ({"folds": 3, "validation": {"last": 2}}, [("/validation/last", "unexpected")]),
        ({"folds": 3, "validation": {"split": "stratified"}}, [("/validation/split", "does_not_fit")]),
        ({"seeds": [*range(15)], "folds": 14}, [("", "limit")]),
        ({"seeds": [1, 2], "confidence": 1}, [("/confidence", "out_of_range")]),
        ({"seeds": [1, 2], "validation": {"split": "random"}}, [("/validation", "choice")]),
        # a loss that one model takes and another does not is the loss's fault, whatever the grid
        ({"losses": ["mse", "hinge"], "seeds": [1, 2], "loss": None}, [("/losses/1", "label")]),
    ],
    ids=lambda case: str(case)[:50],
)
async def test_a_grid_that_is_refused(request_: dict[str, Any], faults: list[tuple[str, str]], client: httpx.AsyncClient) -> None:
    whole = {**REAL, **request_}
    for field in ("model", "epochs", "loss"):
        listed = {"model": "models", "loss": "losses"}.get(field, field)
        if field not in request_ and (field in request_.get("grid", {}) or listed in request_):
            del whole[field]
    if whole.get("loss", 0) is None:
        del whole["loss"]
    response = await client.post("/v1/train/compare", json=whole)
    assert response.status_code == 422, response.text
    assert [(error["pointer"], error["code"]) for error in problem_of(response)["errors"]] == faults


async def test_the_rate_of_an_optimizer_may_be_called_as_pytorch_does(client: httpx.AsyncClient) -> None:
    request = {"data": "moons", "epochs": 1, "optimizers": [{"name": "sgd", "lr": 0.2}, {"name": "sgd", "learning_rate": 0.3}]}
    answer = (await client.post("/v1/train/compare", json=request)).json()
    assert [run["optimizer"]["learning_rate"] for run in answer["runs"]] == [0.2, 0.3]
