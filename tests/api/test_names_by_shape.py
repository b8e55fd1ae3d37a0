"""Names that mean one loss or another by the shapes of the arrays mean it in every call, and in every place of one."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

BINARY, MULTICLASS = "binary_cross_entropy", "categorical_cross_entropy"
MEANT: dict[str, dict[str, Any]] = {
    "log_loss": {"circles": BINARY, "iris": MULTICLASS},
    "hinge_loss": {"circles": "hinge", "iris": "crammer_singer_hinge"},
}
ROWS = {"targets": [0, 2], "models": {"a": [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], "b": [[0.6, 0.2, 0.2], [0.3, 0.3, 0.4]]}}
BITS = {"targets": [0, 1], "models": {"a": [0.5, 0.7], "b": [0.4, 0.4]}}


async def ask(client: httpx.AsyncClient, path: str, request: dict[str, Any]) -> Any:
    response = await client.post(path, json=request)
    assert response.status_code == 200, response.text
    return without_times(response.json())


def without_times(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: without_times(item) for name, item in answer.items() if name != "seconds"}
    return [without_times(item) for item in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("name", MEANT)
@pytest.mark.parametrize("data", ["circles", "iris"])
async def test_a_run_is_on_what_the_name_means_beside_these_targets(data: str, name: str, client: httpx.AsyncClient) -> None:
    base = {"data": data, "epochs": 2}
    assert await ask(client, "/v1/train", {**base, "loss": name}) == await ask(
        client, "/v1/train", {**base, "loss": MEANT[name][data]}
    )


async def test_so_it_is_within_another_loss(client: httpx.AsyncClient) -> None:
    def inside(loss: Any) -> dict[str, Any]:
        terms = [{"loss": "brier_score"}, {"loss": loss}]
        return {"data": "iris", "epochs": 2, "loss": {"name": "weighted_sum", "terms": terms}}

    assert await ask(client, "/v1/train", inside("log_loss")) == await ask(client, "/v1/train", inside(MULTICLASS))


async def test_a_parameter_that_one_of_its_meanings_has_decides(client: httpx.AsyncClient) -> None:
    loss = {"name": "log_loss", "class_weight": [1, 2, 3]}
    comparison = await ask(client, "/v1/compare", {**ROWS, "losses": [loss]})
    assert comparison["losses"][0]["loss"]["name"] == "categorical_cross_entropy"


@pytest.mark.parametrize("batch", [ROWS, BITS], ids=["rows", "bits"])
async def test_models_are_compared_by_what_the_name_means(batch: dict[str, Any], client: httpx.AsyncClient) -> None:
    plain = MULTICLASS if batch is ROWS else BINARY
    terms = [{"loss": "log_loss"}, {"loss": "brier_score"}]
    named = {**batch, "losses": ["log_loss", {"name": "weighted_sum", "terms": terms}]}
    spelled = {**batch, "losses": [plain, {"name": "weighted_sum", "terms": [{"loss": plain}, terms[1]]}]}
    assert await ask(client, "/v1/compare", named) == await ask(client, "/v1/compare", spelled)


async def test_runs_and_metrics_too(client: httpx.AsyncClient) -> None:
    compared = await ask(client, "/v1/train/compare", {"data": "iris", "losses": ["log_loss", "hinge_loss"], "epochs": 2})
    assert [line["name"] for line in compared["table"]] == ["categorical_cross_entropy", "crammer_singer_hinge"]
    for data, meant in (("circles", "binary_cross_entropy"), ("iris", "categorical_cross_entropy")):
        run = await ask(client, "/v1/train", {"data": data, "loss": "log_loss", "metrics": ["log_loss", "accuracy"], "epochs": 2})
        scores = run["final"]["metrics"]
        assert [*scores] == [meant, "accuracy"]
        assert scores[meant]["validation"] == pytest.approx(run["final"]["validation_loss"], rel=1e-14)


async def test_where_no_meaning_fits_the_usual_one_says_why(client: httpx.AsyncClient) -> None:
    data = {"inputs": [[1], [2], [3], [4]], "targets": [0.5, 1.5, 2.5, 3.5]}
    response = await client.post("/v1/train", json={"data": data, "loss": "log_loss"})
    assert (response.status_code, "binary_cross_entropy" in response.json()["detail"]) == (422, True)
