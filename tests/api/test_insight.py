"""/v1/analyze and /v1/compare as a client sees them: the contract's examples, refusals with their places, tables, infinities."""

import json
from typing import Any

import httpx
import pytest
from jsonschema.protocols import Validator

from app.api.insight_examples import ANALYSES, COMPARISONS
from tests.api.problem import problem_of, strictly
from tests.insight.made import NEW, PREDICTIONS, SITES, TARGETS

pytestmark = pytest.mark.anyio

ANALYZE: dict[str, Any] = {
    "loss": "mse",
    "predictions": PREDICTIONS.tolist(),
    "targets": TARGETS.tolist(),
    "groups": {"site": [*SITES]},
}
COMPARE: dict[str, Any] = {
    "models": {"old": PREDICTIONS.tolist(), "new": NEW.tolist()},
    "targets": TARGETS.tolist(),
    "losses": ["mse", "mae"],
}


async def ask(client: httpx.AsyncClient, path: str, **request: Any) -> dict[str, Any]:
    response = await client.post(path, json=request)
    assert response.status_code == 200, response.text
    return strictly(response.text)


async def test_examples_are_answered_as_the_document_says(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    for path, examples, name in (("/v1/analyze", ANALYSES, "Analyze"), ("/v1/compare", COMPARISONS, "Comparison")):
        assert len(examples) == 3
        for example in examples.values():
            schemas[f"{name}Request"].validate(example["value"])
            schemas[f"{name}Response"].validate(await ask(client, path, **example["value"]))


async def test_every_field_of_the_answers_is_described(client: httpx.AsyncClient) -> None:
    """An answer has the fields of its schema, those within it too, and no others."""
    document = (await client.get("/openapi.json")).json()

    def look(value: Any, schema: dict[str, Any], where: str) -> None:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            schema = next(part for part in schema["anyOf"] if part.get("type") != "null")
            look(value, schema, where)
        elif isinstance(value, dict) and "properties" in schema:
            assert value.keys() <= schema["properties"].keys(), where
            for key, inner in value.items():
                look(inner, schema["properties"][key], f"{where}/{key}")
        elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
            for key, inner in value.items():
                look(inner, schema["additionalProperties"], f"{where}/{key}")
        elif isinstance(value, list) and "items" in schema:
            for inner in value:
                look(inner, schema["items"], where)

    for path, name, request in (("/v1/analyze", "AnalyzeResponse", ANALYZE), ("/v1/compare", "ComparisonResponse", COMPARE)):
        look(await ask(client, path, **request), {"$ref": f"#/{name}"}, name)
    for example in ANALYSES.values():
        look(await ask(client, "/v1/analyze", **example["value"]), {"$ref": "#/AnalyzeResponse"}, "analyze")


async def test_the_same_request_gets_the_same_bytes(client: httpx.AsyncClient) -> None:
    for path, request in (("/v1/analyze", ANALYZE), ("/v1/compare", COMPARE)):
        first, again = [(await client.post(path, json={**request, "seed": 3})).content for _ in range(2)]
        assert first == again
        assert (await client.post(path, json={**request, "seed": 4})).content != first


async def test_groups_stand_alone_or_under_their_names(client: httpx.AsyncClient) -> None:
    alone = await ask(client, "/v1/analyze", **{**ANALYZE, "groups": [*SITES]})
    named = await ask(client, "/v1/analyze", **ANALYZE)
    assert alone["groups"]["group"] == named["groups"]["site"]
    mixed = await ask(client, "/v1/analyze", **{**ANALYZE, "groups": [1, 1.0, True, "1", 2, True, 2, "1"]})
    assert sorted(json.dumps(group["group"]) for group in mixed["groups"]["group"]) == ['"1"', "1", "2", "true"]
    assert (await ask(client, "/v1/analyze", **{**ANALYZE, "groups": None}))["groups"] is None


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("/v1/analyze", {"predictions": [1], "targets": [1], "groups": None}, "/predictions", "too_few_samples"),
    ("/v1/analyze", {"mask": [True] + [False] * 7}, "/mask", "too_few_samples"),
    ("/v1/analyze", {"groups": {"a/b~c": ["x"] * 8}}, "/groups/a~1b~0c", "one_group"),
    ("/v1/analyze", {"groups": {"site": ["x", "y"]}}, "/groups/site", "shape_mismatch"),
    ("/v1/analyze", {"groups": ["x", "y"]}, "/groups", "shape_mismatch"),
    ("/v1/analyze", {"groups": {"site": ["x", None, *"aabbab"]}}, "/groups/site/1", "type"),
    ("/v1/analyze", {"groups": {"site": [[1], *"aabbaba"]}}, "/groups/site/0", "type"),
    ("/v1/analyze", {"groups": {}}, "/groups", "length"),
    ("/v1/analyze", {"groups": {"site": 5}}, "/groups/site", "not_an_array"),
    ("/v1/analyze", {"groups": [[1, 2]] * 8}, "/groups", "shape"),
    ("/v1/analyze", {"clusters": [1] * 8}, "/clusters", "one_group"),
    ("/v1/analyze", {"clusters": [1, 2]}, "/clusters", "shape_mismatch"),
    ("/v1/analyze", {"reduction": "sum"}, "/reduction", "choice"),
    ("/v1/analyze", {"confidence": 0}, "/confidence", "out_of_range"),
    ("/v1/analyze", {"confidence": 1}, "/confidence", "out_of_range"),
    ("/v1/analyze", {"resamples": 100_001}, "/resamples", "out_of_range"),
    ("/v1/analyze", {"n_worst": 1001}, "/n_worst", "out_of_range"),
    ("/v1/analyze", {"bins": 1}, "/bins", "out_of_range"),
    ("/v1/analyze", {"seed": -1}, "/seed", "out_of_range"),
    ("/v1/analyze", {"outputs": ["value"]}, "/outputs", "unknown_field"),
    ("/v1/analyze", {"loss": {"name": "huber", "delta": 0}}, "/loss/delta", "out_of_range"),
    ("/v1/compare", {"models": {"old": [1, 2], "new~/x": [1, 2, 3]}, "targets": [1, 2]}, "/models/new~0~1x", "shape_mismatch"),
    ("/v1/compare", {"models": {"old": [[1, 2]] * 8}, "targets": [[1, 2, 3]] * 8}, "/models/old", "shape_mismatch"),
    ("/v1/compare", {"models": {"old": [1]}, "targets": [1]}, "/targets", "too_few_samples"),
    ("/v1/compare", {"losses": ["mse", {"name": "huber", "delta": -1}]}, "/losses/1/delta", "out_of_range"),
    ("/v1/compare", {"losses": ["mse", "nope"]}, "/losses/1", "unknown_loss"),
    ("/v1/compare", {"losses": []}, "/losses", "length"),
    ("/v1/compare", {"models": {}}, "/models", "length"),
    ("/v1/compare", {"models": [[1, 2]]}, "/models", "not_an_object"),
    ("/v1/compare", {"models": {"old": ["x", 2, 3, 4, 5, 6, 7, 8]}}, "/models/old/0", "not_a_number"),
    ("/v1/compare", {"models": {"old": [None, 2, 3, 4, 5, 6, 7, 8]}}, "/models/old/0", "not_a_number"),
    ("/v1/compare", {"permutations": 100_001}, "/permutations", "out_of_range"),
    ("/v1/compare", {"clusters": [1] * 8}, "/clusters", "one_group"),
    ("/v1/compare", {"loss": "mse"}, "/loss", "unknown_field"),
]


async def test_what_is_wrong_is_told_with_its_place(client: httpx.AsyncClient) -> None:
    for path, changes, pointer, code in REFUSED:
        request = {**(ANALYZE if path == "/v1/analyze" else COMPARE), **changes}
        response = await client.post(path, json=request)
        problem = problem_of(response)
        assert response.status_code == 422, (changes, response.text)
        assert (pointer, code) in [(error["pointer"], error["code"]) for error in problem["errors"]], (changes, problem)


async def test_a_model_of_another_length_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/compare", json={**COMPARE, "models": {"fine": [0] * 8, "short": [1, 2]}})
    (error,) = problem_of(response)["errors"]
    assert error["message"] == "models.short has 2 samples where targets has 8"


async def test_an_infinite_loss_is_null_and_named(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    answer = await ask(client, "/v1/analyze", loss="bce", predictions=[0, 0.9, 0.3], targets=[1, 1, 0])
    schemas["AnalyzeResponse"].validate(answer)
    assert (answer["value"], answer["standard_error"], answer["interval"]["t"], answer["worst"][0]["loss"]) == (None,) * 4
    named = {(entry["output"], tuple(entry["index"])): entry["value"] for entry in answer["non_finite"]}
    assert named["value", ()] == "Infinity"
    assert named["worst.loss", (0,)] == "Infinity"
    assert ("interval.t", ()) in named
    request = {"models": {"a": [0, 0.5, 0.5], "b": [1, 0.6, 0.7]}, "targets": [1, 1, 1], "losses": ["bce"]}
    answer = await ask(client, "/v1/compare", **request)
    schemas["ComparisonResponse"].validate(answer)
    assert answer["losses"][0]["table"][0]["value"] is None
    assert {"output": "losses.table.value", "index": [0, 0], "value": "Infinity"} in answer["non_finite"]


async def test_numbers_near_the_end_of_the_range_have_no_interval(client: httpx.AsyncClient) -> None:
    """The value is finite, and what it adds up from overflows: nothing is recommended, and nothing divided by 0."""
    request = {"loss": "barron", "predictions": [1e308, -1e308, 0], "targets": [1, 1, 2], "resamples": 0}
    answer = await ask(client, "/v1/analyze", **request)
    assert answer["value"] == pytest.approx(6.7e307, rel=1e-2)
    assert (answer["standard_error"], answer["interval"]["t"], answer["interval"]["recommended"]) == (None, None, None)
    answer = await ask(client, "/v1/analyze", **{**request, "loss": "mae", "predictions": [1.7e308, -1.7e308, 1.7e308]})
    assert answer["distribution"]["skewness"] is not None or answer["non_finite"]


async def test_one_loss_is_compared_by_however_the_body_was_read(client: httpx.AsyncClient) -> None:
    """A number that the fast reader of JSON leaves alone, and so lists of objects that it would have built."""
    for number in ("2.0", "2." + "0" * 400, "null"):
        models, losses = f'{{"a": [1, {number}, 3], "b": [2, 2, 2]}}', '[{"name": "mse"}]'
        body = f'{{"models": {models}, "targets": [0, 1, 5], "losses": {losses}, "missing": "drop"}}'
        response = await client.post("/v1/compare", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 200, response.text
        assert len(response.json()["losses"]) == 1


async def test_models_are_compared_on_the_samples_that_all_have(client: httpx.AsyncClient) -> None:
    request = {"models": {"a": [1, 2, None, 4, 9], "b": [1, None, 3, 3, 8]}, "targets": [1, 1, 1, 2, 5], "losses": ["mse"]}
    answer = await ask(client, "/v1/compare", **request, missing="drop")
    assert answer["n_samples"] == 3
    assert [row["value"] for row in answer["losses"][0]["table"]] == pytest.approx([20 / 3, 10 / 3])


async def test_named_predictions_are_compared_too(client: httpx.AsyncClient) -> None:
    models = {name: {"mean": [1, 2, 3], "variance": [spread] * 3} for name, spread in (("sure", 0.5), ("unsure", 2.0))}
    answer = await ask(client, "/v1/compare", models=models, targets=[1, 2.5, 2], losses="gaussian_nll")
    assert [row["model"] for row in answer["losses"][0]["table"]] == ["sure", "unsure"]


async def test_an_analysis_of_elements_counts_samples(client: httpx.AsyncClient) -> None:
    predictions = [[1, 2], [3, 5], [0, None]]
    answer = await ask(client, "/v1/analyze", loss="mse", predictions=predictions, targets=[[1, 1]] * 3, missing="drop")
    assert (answer["n_samples"], answer["n_elements"], answer["n_missing"]) == (3, 5, 1)


async def test_class_names_stand_in_the_confusion(client: httpx.AsyncClient) -> None:
    rows = [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]]
    request = {"predictions": rows, "targets": ["cat", "dog", "dog"], "classes": ["cat", "dog"]}
    assert (await ask(client, "/v1/analyze", loss="cce", **request))["confusion"]["classes"] == ["cat", "dog"]


async def test_too_much_work_is_refused_before_it_is_done(client: httpx.AsyncClient) -> None:
    request = {"loss": "max_error", "predictions": [0.5] * 60_000, "targets": [1.0] * 60_000, "resamples": 100_000}
    (error,) = problem_of(await client.post("/v1/analyze", json=request))["errors"]
    assert error["code"] == "limit"


# --- tables ---------------------------------------------------------------------------------------------------------------

ROWS = [
    {"p": p, "new": new, "y": y, "site": site, "day": day}
    for p, new, y, site, day in zip(PREDICTIONS.tolist(), NEW.tolist(), TARGETS.tolist(), SITES, [1, 2, 3, 4] * 2, strict=True)
]
CSV = "p,new,y,site,day\n" + "".join(",".join(map(str, row.values())) + "\n" for row in ROWS)


async def test_columns_stand_for_groups_clusters_and_models(client: httpx.AsyncClient) -> None:
    columns = {"loss": "mse", "predictions": "p", "targets": "y", "data": ROWS, "groups": ["site"], "clusters": "day"}
    arrays = {**ANALYZE, "clusters": [row["day"] for row in ROWS]}
    assert await ask(client, "/v1/analyze", **columns) == await ask(client, "/v1/analyze", **arrays)
    named = await ask(client, "/v1/analyze", **{**columns, "groups": {"place": "site", "day": "day"}})
    assert list(named["groups"]) == ["place", "day"]
    models = {"models": {"old": "p", "new": "new"}, "targets": "y", "losses": ["mse", "mae"], "data": ROWS}
    assert await ask(client, "/v1/compare", **models) == await ask(client, "/v1/compare", **COMPARE)
    response = await client.post("/v1/analyze", json={**columns, "groups": ["sight"]})
    assert problem_of(response)["errors"][0]["pointer"] == "/groups/sight"


async def test_a_file_is_analyzed(client: httpx.AsyncClient) -> None:
    address = "/v1/analyze?loss=mse&predictions=p&targets=y&groups=site"
    response = await client.post(address, content=CSV, headers={"content-type": "text/csv"})
    assert strictly(response.text) == await ask(client, "/v1/analyze", **ANALYZE)
    few = await client.post(address + "&resamples=0&n_worst=1&confidence=0.9", content=CSV, headers={"content-type": "text/csv"})
    answer = strictly(few.text)
    assert (answer["interval"]["bca"], answer["interval"]["confidence"], len(answer["worst"])) == (None, 0.9, 1)
    empty = CSV.replace("0.0,-0.4,-0.5,a,", "0.0,-0.4,-0.5,,")
    response = await client.post(address, content=empty, headers={"content-type": "text/csv"})
    (error,) = problem_of(response)["errors"]
    assert (error["pointer"], "line 3" in error["message"]) == ("/groups/site/1", True)


async def test_models_of_a_file_are_compared(client: httpx.AsyncClient) -> None:
    head = {"content-type": "text/csv"}

    async def sent(query: dict[str, str]) -> httpx.Response:
        return await client.post("/v1/compare", params=query, content=CSV, headers=head)

    columns = {"models": '{"old": "p", "new": "new"}', "losses": "mse,mae", "targets": "y"}
    whole = await ask(client, "/v1/compare", **COMPARE)
    assert strictly((await sent(columns)).text) == whole
    by_name = strictly((await sent({**columns, "models": "p,new"})).text)
    assert [row["model"] for row in by_name["losses"][0]["table"]] == ["p", "new"]
    assert by_name["losses"][1]["pairs"][0]["p_value"] == whole["losses"][1]["pairs"][0]["p_value"]
    for wrong, pointer in (
        ({"models": "p,knew"}, "/models/knew"),
        ({"losses": "mse,mea"}, "/losses/1"),
        ({"loss": "mse"}, "/loss"),
        ({"targets": "null"}, "/targets"),
    ):
        assert problem_of(await sent({**columns, **wrong}))["errors"][0]["pointer"].startswith(pointer), wrong


async def test_a_file_is_checked(client: httpx.AsyncClient) -> None:
    body = "p,y,mine\n1,0,0.3333333333333333\n2,0,0.6666666666666666\n4,1,1\n"
    address = "/v1/check-gradient?reference=mse&predictions=p&targets=y"
    request = {"reference": "mse", "predictions": [1, 2, 4], "targets": [0, 0, 1], "gradient": [1 / 3, 2 / 3, 1]}
    response = await client.post(address + "&gradient=mine", content=body, headers={"content-type": "text/csv"})
    assert strictly(response.text) == await ask(client, "/v1/check-gradient", **request)
    response = await client.post(address, content=body, headers={"content-type": "text/csv"})
    assert [(error["pointer"], error["code"]) for error in problem_of(response)["errors"]] == [("", "missing")]
    rows = {"reference": "mse", "predictions": "p", "targets": "y", "data": [{"p": 1, "y": 0}, {"p": 2, "y": 0}]}
    assert problem_of(await client.post("/v1/check-gradient", json=rows))["errors"][0]["pointer"] == ""


async def test_an_analysis_and_a_comparison_have_pictures(client: httpx.AsyncClient) -> None:
    for path, request in (("/v1/analyze", ANALYZE), ("/v1/compare", COMPARE)):
        response = await client.post(path, json=request, headers={"accept": "image/svg+xml"})
        assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml"), response.text


# --- composed losses ------------------------------------------------------------------------------------------------------


async def test_composed_losses_stand_where_others_do(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    terms = {"name": "weighted_sum", "terms": [{"weight": 0.7, "loss": "mse"}, {"weight": 0.3, "loss": "mae"}]}
    answer = await ask(client, "/v1/analyze", **{**ANALYZE, "loss": terms})
    schemas["AnalyzeResponse"].validate(answer)
    assert answer["value"] == pytest.approx(0.7 * 7.03125 + 0.3 * 1.9375)
    written = await ask(client, "/v1/analyze", **{**ANALYZE, "loss": {"name": "expression", "value": "r**2"}})
    known = await ask(client, "/v1/analyze", **ANALYZE)
    assert (written["interval"], written["groups"]) == (known["interval"], known["groups"])
    compared = await ask(client, "/v1/compare", **{**COMPARE, "losses": [terms, {"name": "expression", "value": "r**2"}, "mse"]})
    schemas["ComparisonResponse"].validate(compared)
    assert compared["losses"][1]["pairs"] == compared["losses"][2]["pairs"]
    heads = {"name": "multi_task", "heads": {"a": {"loss": "mse"}, "b": {"loss": "mae", "weight": 2.0}}}
    request = {"models": {"m": {"a": [1, 2, 3], "b": [1, 1, 1]}, "n": {"a": [1, 2, 4], "b": [0, 1, 2]}}, "losses": [heads]}
    answer = await ask(client, "/v1/compare", **request, targets={"a": [1, 1, 1], "b": [2, 2, 2]})
    assert [row["value"] for row in answer["losses"][0]["table"]] == pytest.approx([5 / 3 + 2, 10 / 3 + 2])
    response = await client.post("/v1/compare", json={**COMPARE, "losses": [{"name": "expression", "value": "q"}]})
    assert problem_of(response)["errors"][0]["pointer"] == "/losses/0/value"
