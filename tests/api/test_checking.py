"""/v1/check-gradient and /v1/recommend as a client sees them: examples, refusals with their places, tables, specs that run."""

import json
from typing import Any

import httpx
import pytest
from jsonschema.protocols import Validator

from app.api.insight_examples import CHECKS, RECOMMENDATIONS
from tests.api.problem import problem_of, strictly

pytestmark = pytest.mark.anyio

CHECK: dict[str, Any] = {"reference": "mse", "predictions": [1, 2, 4], "targets": [0, 0, 1], "gradient": [1 / 3, 2 / 3, 1]}


async def ask(client: httpx.AsyncClient, path: str, **request: Any) -> dict[str, Any]:
    response = await client.post(path, json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def test_examples_are_answered_as_the_document_says(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    for path, examples, name in (("/v1/check-gradient", CHECKS, "Check"), ("/v1/recommend", RECOMMENDATIONS, "Recommend")):
        assert len(examples) == 3
        for example in examples.values():
            schemas[f"{name}Request"].validate(example["value"])
            schemas[f"{name}Response"].validate(await ask(client, path, **example["value"]))


async def test_half_a_gradient(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "/v1/check-gradient", **CHECK)
    gradient = answer["outputs"]["gradient"]
    assert (answer["agrees"], gradient["n_disagree"], gradient["max_relative_error"]) == (False, 3, 0.5)
    assert (gradient["max_ulp"], gradient["pattern"]) == (4503599627370496, "everywhere")
    assert (answer["guesses"][0]["convention"], answer["guesses"][0]["factor"]) == ("half", 0.5)


async def test_what_evaluate_answers_agrees(client: httpx.AsyncClient) -> None:
    """Nulls for what is infinite, named arrays, classes by name, tables."""
    arrays: list[dict[str, Any]] = [
        {"loss": "bce", "predictions": [0, 0.5, 1], "targets": [1, 1, 1]},
        {"loss": "gaussian_nll", "predictions": {"mean": [1, 2], "variance": [1, 4]}, "targets": [0, 1]},
        {"loss": "cce", "predictions": [[0.2, 0.8], [0.6, 0.4]], "targets": ["a", "b"], "classes": ["a", "b"]},
    ]
    for request in arrays:
        found = await ask(client, "/v1/evaluate", **request)
        loss = request.pop("loss")
        yours = {name: found[name] for name in ("per_sample", "gradient")}
        assert (await ask(client, "/v1/check-gradient", reference=loss, **request, **yours))["agrees"], loss
    rows = [{"p": 1, "y": 0, "g": 2 / 3}, {"p": 2, "y": 0, "g": 4 / 3}, {"p": 4, "y": 1, "g": 2}]
    table = {"reference": "mse", "data": rows, "predictions": "p", "targets": "y", "gradient": "g"}
    assert (await ask(client, "/v1/check-gradient", **table))["agrees"]


async def test_what_is_no_number_is_taken_and_disagrees(client: httpx.AsyncClient) -> None:
    for gradient in ([None, 4 / 3, 2], ["NaN", 4 / 3, 2], ["Infinity", 4 / 3, 2]):
        answer = await ask(client, "/v1/check-gradient", **{**CHECK, "gradient": gradient})
        assert answer["outputs"]["gradient"]["n_disagree"] == 1
        assert answer["outputs"]["gradient"]["first"][0]["yours"] is None
        assert answer["non_finite"][0]["output"].startswith("outputs.gradient")
    for value in (None, "NaN", "-Infinity"):
        answer = await ask(client, "/v1/check-gradient", **{**CHECK, "gradient": None, "value": value})
        assert not answer["agrees"]
    assert [*(await ask(client, "/v1/check-gradient", **CHECK, value=None))["outputs"]] == ["gradient"]  # null is not given


async def test_a_class_is_named_as_the_request_does(client: httpx.AsyncClient) -> None:
    request = {"reference": "bce", "predictions": [0.2, 0.4, 0.6], "targets": ["no", "yes", "no"], "classes": ["no", "yes"]}
    answer = await ask(client, "/v1/check-gradient", **request, per_sample=[0.22314355131420976, 2, 0.916290731874155])
    assert answer["outputs"]["per_sample"]["class"] == "yes"


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("/v1/check-gradient", {"gradient": [1, 2]}, "/gradient", "shape_mismatch"),
    ("/v1/check-gradient", {"gradient": None}, "", "missing"),
    ("/v1/check-gradient", {"gradient": ["x", 1, 2]}, "/gradient/0", "not_a_number"),
    ("/v1/check-gradient", {"reference": {"name": "huber", "delta": 0}}, "/reference/delta", "out_of_range"),
    ("/v1/check-gradient", {"reference": "hubert"}, "/reference", "unknown_loss"),
    ("/v1/check-gradient", {"reference": None}, "/reference", "type"),
    ("/v1/check-gradient", {"reference": "max_error", "hessian_diagonal": [1, 1, 1]}, "/hessian_diagonal", "output"),
    ("/v1/check-gradient", {"reduction": "none", "value": 1}, "/value", "output"),
    ("/v1/check-gradient", {"rtol": -1}, "/rtol", "out_of_range"),
    ("/v1/check-gradient", {"loss": "mse"}, "/loss", "unknown_field"),
    ("/v1/recommend", {}, "", "missing"),
    ("/v1/recommend", {"task": "guess"}, "/task", "choice"),
    ("/v1/recommend", {"targets": [1]}, "/targets", "too_few_samples"),
    ("/v1/recommend", {"targets": [0.5, 1], "task": "count"}, "/targets", "out_of_range"),
    ("/v1/recommend", {"targets": [10**9, 1, 2], "task": "multiclass"}, "/targets", "out_of_range"),
    ("/v1/recommend", {"targets": [2**53, 1, 2], "task": "multiclass"}, "/targets", "out_of_range"),
    ("/v1/recommend", {"targets": [["a"], ["b", "a"], []]}, "/targets", "type"),
    ("/v1/recommend", {"targets": [1, None]}, "/targets/1", "not_a_number"),
    ("/v1/recommend", {"targets": [1, 2], "predictions": [1]}, "/predictions", "shape_mismatch"),
    ("/v1/recommend", {"task": "count", "limit": 51}, "/limit", "out_of_range"),
]


@pytest.mark.parametrize(("path", "changes", "pointer", "code"), REFUSED)
async def test_refusals(client: httpx.AsyncClient, path: str, changes: dict[str, Any], pointer: str, code: str) -> None:
    response = await client.post(path, json={**CHECK, **changes} if path == "/v1/check-gradient" else changes)
    assert response.status_code == 422, response.text
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in json.loads(response.text)["errors"]], response.text


async def test_recommended_losses_run_as_they_stand(client: httpx.AsyncClient) -> None:
    requests: list[dict[str, Any]] = [
        RECOMMENDATIONS["logits"]["value"],
        {"targets": [0.2, 0.4, 0.9, 0.55], "predictions": [1.0, 2.0, 3.0, -1.0]},
        {"targets": [0, 1, 2, 1, 0], "predictions": [[0.2, 0.3, 0.5]] * 5},
        {"targets": [True, False, True], "predictions": [0.2, 0.3, 0.5]},
    ]
    for arrays in requests:
        answer = await ask(client, "/v1/recommend", **arrays)
        assert answer["recommendations"]
        for recommendation in answer["recommendations"]:
            assert (await ask(client, "/v1/evaluate", loss=recommendation["loss"], **arrays))["value"] is not None


@pytest.mark.parametrize(
    "reference",
    [
        {"name": "weighted_sum", "terms": [{"loss": "mse", "weight": 0.7}, {"loss": "mae", "weight": 0.3}]},
        {"name": "asymmetric", "loss": "huber", "over": 2},
        {"name": "expression", "value": "c**2*log1p((r/c)**2)", "parameters": {"c": 2}},
        {"name": "multi_task", "heads": {"a": {"loss": "mse", "weight": 2}, "b": {"loss": "mae", "log_variance": 0.4}}},
    ],
    ids=lambda reference: reference["name"],
)
async def test_a_composed_loss_is_a_reference(client: httpx.AsyncClient, reference: dict[str, Any]) -> None:
    """What evaluate answers agrees; half of its gradient is found out; a head without a gradient is named."""
    predictions, targets = [2.5, 0.1, 8.0], [3.0, -0.5, 2.0]
    heads = reference["name"] == "multi_task"
    arrays: dict[str, Any] = {
        "predictions": {"a": predictions, "b": predictions[::-1]} if heads else predictions,
        "targets": {"a": targets, "b": targets} if heads else targets,
    }
    answer = (await client.post("/v1/evaluate", json={"loss": reference, **arrays})).json()
    yours = {name: answer[name] for name in ("value", "per_sample", "gradient")}
    asked = {"reference": reference, **arrays}
    found = (await client.post("/v1/check-gradient", json={**asked, **yours})).json()
    assert found["agrees"], found
    assert found["numerical"]["agrees"]
    assert found["numerical"]["n_checked"] >= 3
    gradient = answer["gradient"]
    half: Any = {name: [x / 2 for x in row] for name, row in gradient.items()} if heads else [x / 2 for x in gradient]
    found = (await client.post("/v1/check-gradient", json={**asked, **yours, "gradient": half})).json()
    assert not found["agrees"]
    assert {output["pattern"] for name, output in found["outputs"].items() if name.startswith("gradient")} == {"everywhere"}
    assert found["guesses"][0]["convention"] == "half"
    if heads:
        response = await client.post("/v1/check-gradient", json={**asked, "gradient": {"a": half["a"]}})
        assert [(error["pointer"], error["code"]) for error in problem_of(response)["errors"]] == [("/gradient/b", "missing")]
