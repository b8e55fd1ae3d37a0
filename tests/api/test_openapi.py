"""The OpenAPI document: valid, complete, and the one that is committed."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema.protocols import Validator
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api import answers, openapi
from app.losses import COMPOSED, LOSSES, NAMED
from app.losses.loss import Property
from app.losses.outputs import OUTPUTS
from app.training import DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

Document = dict[str, Any]

VALUES = {"example", "examples", "default", "const", "enum", "value"}
"""What is under these in a document is no schema."""

UNIONS = {
    "Loss": NAMED.keys(),
    "Model": MODELS.keys(),
    "Optimizer": OPTIMIZERS.keys(),
    "Schedule": SCHEDULES.keys(),
    "Metric": METRICS.keys() | LOSSES.keys(),
    "Data": DATASETS.keys(),
}

NOT_ASKED = {
    "infer",
    "list_jobs",
    "show_job",
    "cancel_job",
    "resume_job",
    "keep_dataset",
    "delete_dataset",
    "list_runs",
    "show_runs",
}
"""Operations whose parameters have no examples, so that there is none of their answer."""
DESCRIBED = {"list_datasets", "list_models", "list_optimizers", "list_schedules", "list_metrics"}
"""Those whose entries are as the examples of the calls that describe one."""


@pytest.fixture
async def document(client: httpx.AsyncClient) -> Document:
    response = await client.get("/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return response.json()


async def test_the_document_is_small_enough_to_be_opened(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/openapi.json")).content) < 500_000


def operations(document: Document) -> list[tuple[str, Document]]:
    return [
        (f"{method.upper()} {path}", operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]


def responses(document: Document, operation: Document) -> list[tuple[str, Document]]:
    """What an operation answers by status, those that are a component in full."""
    shared = document["components"]["responses"]
    return [
        (status, shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response)
        for status, response in operation["responses"].items()
    ]


def success(operation: Document) -> Document:
    """What an operation answers where nothing is wrong."""
    (found,) = (response for status, response in operation["responses"].items() if status < "300")
    return found


def validator(document: Document, schema: Document) -> Validator:
    """Of a schema in the document, with everything it refers to."""
    return OAS31Validator({**schema, "components": document["components"]})


def component(document: Document, name: str) -> Validator:
    return validator(document, {"$ref": f"#/components/schemas/{name}"})


def nodes(value: Any, where: str = "") -> Iterator[tuple[str, Document]]:
    """Every object of the document that is not inside of an example, with the place it has."""
    if isinstance(value, dict):
        yield where, value
        for key, item in value.items():
            if key not in VALUES or where.endswith("/properties"):
                yield from nodes(item, f"{where}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from nodes(item, f"{where}/{index}")


# --- drift -------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_what_has_drifted_is_found_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document, the examples, and the answers that are recorded."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["openapi", str(tmp_path), *arguments])
        return openapi.main()

    answered, document, example = tmp_path / "answers.json", tmp_path / "openapi.json", tmp_path / "examples" / "huber.json"
    answered.write_text(answers.FILE.read_text().replace('"divisor": 4.0', '"divisor": 4.5'))
    monkeypatch.setattr(answers, "FILE", answered)
    monkeypatch.setattr(openapi, "FILE", answered)
    assert run("--check") == 1
    assert "answers.json" in capsys.readouterr().err
    assert run() == 0
    assert json.loads(answered.read_text())["evaluate"]["divisor"] == 4.0
    assert {path.stem for path in tmp_path.glob("examples/*.json")} == set(LOSSES)
    written = document.read_text(), example.read_text()
    document.write_text(written[0].replace("Evaluate a loss", "Evaluate a lass"))
    example.unlink()
    assert run("--check") == 1
    drifted = capsys.readouterr().err
    assert "openapi.json" in drifted
    assert "huber.json" in drifted
    assert run() == 0
    assert (document.read_text(), example.read_text()) == written
    assert openapi.drifted(tmp_path) == {}


def test_the_committed_document_is_the_one_that_is_served(document: Document) -> None:
    assert json.loads((ROOT / "openapi" / "openapi.json").read_text()) == document


# --- the document ------------------------------------------------------------------------------------------------------


@pytest.mark.no_cover  # others run these lines as well
def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_says_who_and_where(document: Document) -> None:
    assert document["info"]["title"] == "Criterion"
    assert document["info"]["license"]["identifier"] == "MIT"
    assert document["info"]["contact"]
    assert document["servers"]
    assert document["security"] == []


def test_the_document_is_no_larger_than_it_has_to_be(document: Document) -> None:
    assert len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()) < 500_000


def test_every_operation_is_described(document: Document) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert operation["tags"], name


def test_no_description_is_indented_as_the_code_is(document: Document) -> None:
    """Which Markdown would show as a block of code, and Python has taken away itself only since 3.13."""
    assert [where for where, node in nodes(document) if "\n    " in str(node.get("description", ""))] == []


def test_operations_are_named_by_their_verbs(document: Document) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert {"evaluate", "train", "compare_runs", "list_losses", "describe_loss", "list_models", "infer"} <= set(ids)
    for operation_id in ids:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)?", operation_id), operation_id


def test_every_operation_of_ours_has_its_errors_as_problems(document: Document) -> None:
    wanted = {
        "GET /v1/losses": {"422"},
        "GET /v1/losses/{name}": {"404"},
        "POST /v1/evaluate": {"400", "413", "415", "422", "503"},
    }
    found = dict(operations(document))
    for name, statuses in wanted.items():
        assert statuses <= found[name]["responses"].keys(), name
    for name, operation in found.items():
        for status, response in responses(document, operation):
            assert response["description"]
            if status >= "400" and not name.partition(" ")[2].startswith("/v2"):
                (media_type,) = response["content"]
                assert media_type == "application/problem+json", (name, status)
                assert response["content"][media_type]["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_fastapis_own_errors_are_not_promised(document: Document) -> None:
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    assert '"ValidationError"' not in text


def test_every_reference_leads_somewhere_and_every_component_is_used(document: Document) -> None:
    text = json.dumps(document)
    wanted = set(re.findall(r'"#/components/([a-z]+/[^"]+)"', text))
    security = [schemes for _, operation in operations(document) for schemes in operation.get("security", [])]
    wanted |= {f"securitySchemes/{scheme}" for schemes in security for scheme in schemes}  # named, and not referred to
    assert wanted == {f"{kind}/{name}" for kind, components in document["components"].items() for name in components}


# --- what generators of clients stumble over -----------------------------------------------------------------------------


def test_every_number_has_its_format(document: Document) -> None:
    formats = {"number": "double", "integer": "int64"}
    found = [(where, node) for where, node in nodes(document) if isinstance(node.get("type"), str | list)]
    assert len(found) > 500
    for where, node in found:
        kinds = [node["type"]] if isinstance(node["type"], str) else node["type"]
        assert node.get("format") == next((formats[kind] for kind in kinds if kind in formats), node.get("format")), where


def test_no_union_stands_within_an_array(document: Document) -> None:
    for where, node in nodes(document):
        assert where.endswith("/properties") or not {"anyOf", "oneOf"} & node.get("items", {}).keys(), where


def test_only_the_tag_of_a_union_has_a_default(document: Document) -> None:
    """And what has one value only, of which nothing need be said."""
    tags = 0
    for where, node in nodes(document):
        if "default" in node and "/schema" in where and "/parameters/" not in where and not where.endswith("/properties"):
            assert node["default"] == node["const"], where
            tags += where.endswith("/name")
    assert tags == sum(map(len, (NAMED, MODELS, OPTIMIZERS, SCHEDULES, METRICS, DATASETS)))


def test_a_default_is_said_in_words(document: Document) -> None:
    fields = document["components"]["schemas"]["TrainRequest"]["properties"]
    assert fields["epochs"]["description"].endswith("Default: 100.")
    assert fields["data"]["description"].endswith('Default: {"name": "circles"}.')
    delta = document["components"]["schemas"]["Huber"]["properties"]["delta"]
    assert (delta["type"], delta["exclusiveMinimum"]) == ("number", 0)
    assert delta["description"].endswith("Default: 1.0.")


def test_a_typed_answer_is_one_type(document: Document) -> None:
    for name, operation in operations(document):
        assert len(success(operation).get("content", {"application/json": {}})) == 1, name


def test_closed_lists_are_enumerated(document: Document) -> None:
    found = dict(operations(document))
    query = {parameter["name"]: parameter["schema"] for parameter in found["GET /v1/losses"]["parameters"]}
    assert set(query["family"]["enum"]) == {loss.family for loss in NAMED.values()}
    assert set(query["property"]["enum"]) == {str(flag.name).lower() for flag in Property}
    fields = document["components"]["schemas"]["EvaluateRequest"]["properties"]
    assert fields["reduction"]["enum"] == ["mean", "sum", "mean_over_samples", "none"]
    assert fields["outputs"]["items"]["enum"] == list(OUTPUTS)
    answer = document["components"]["schemas"]["EvaluateResponse"]
    assert {name for name in OUTPUTS if "description" in answer["properties"][name]} == OUTPUTS.keys()
    assert not OUTPUTS.keys() & {*answer["required"]}
    assert document["components"]["schemas"]["TrainRequest"]["properties"]["outputs"]["items"]["enum"]


@pytest.mark.parametrize("name", UNIONS)
def test_each_union_is_one_component_told_apart_by_its_tags(document: Document, name: str) -> None:
    schemas = document["components"]["schemas"]
    *objects, word = schemas[name]["oneOf"]
    members = [schemas[member["$ref"].rpartition("/")[2]] for member in objects]
    tagged = [member for member in members if "name" in member["properties"]]
    assert {member["properties"]["name"]["const"] for member in tagged} == UNIONS[name]
    assert len(tagged) == len(UNIONS[name]) == len(members) - (name == "Data")
    assert word["type"] == "string"
    for member in tagged:
        made = COMPOSED.get(member["properties"]["name"]["const"])
        assert member["required"] == ["name", *(made.parameters.keys() - made.defaults.keys() if made else ())]
        assert member["properties"]["name"]["default"] == member["properties"]["name"]["const"]
        assert member["additionalProperties"] is False


def test_a_loss_has_its_parameters(document: Document) -> None:
    for member in document["components"]["schemas"]["Loss"]["oneOf"][:-1]:
        properties = document["components"]["schemas"][member["$ref"].rpartition("/")[2]]["properties"]
        assert properties.keys() == {"name", *NAMED[properties["name"]["const"]].parameters}


def test_a_loss_is_the_same_component_wherever_it_stands(document: Document) -> None:
    schemas, reference = document["components"]["schemas"], {"$ref": "#/components/schemas/Loss"}
    evaluate, train, compare = (schemas[f"{name}Request"]["properties"] for name in ("Evaluate", "Train", "Compare"))
    assert evaluate["loss"].items() >= reference.items()
    assert reference in train["loss"]["anyOf"]
    assert compare["losses"]["anyOf"][0]["items"] == reference
    assert set(schemas["EvaluateRequest"]["required"]) == {"loss", "predictions"}
    assert schemas["EvaluateRequest"]["additionalProperties"] is False


# --- what is sent and answered is as the document says -------------------------------------------------------------------

BARE = {
    "EvaluateRequest": [
        {"loss": "mse", "predictions": [1, 2], "targets": [1, 4]},
        {"loss": "hinge", "predictions": [0.3, 2.0], "targets": [1, 0.5]},
        {"loss": {"name": "huber"}, "predictions": [[1]], "targets": [[1]], "mask": None},
        {"loss": "CrossEntropyLoss", "predictions": [[0.5, 1.0]], "targets": ["cat"], "classes": ["cat", "dog"]},
    ],
    "TrainRequest": [
        {},
        {"data": "diabetes", "model": {"name": "mlp", "hidden": [64]}, "loss": "mse", "epochs": 200},
        {"data": {"inputs": [[1], [2]], "targets": [1, 2]}, "metrics": ["r2", "mae"], "optimizer": "adam", "schedule": None},
    ],
    "CompareRequest": [{"losses": ["mse", {"name": "huber", "delta": 2}]}, {"optimizers": ["sgd", "adam"]}],
}
WRONG = {
    "EvaluateRequest": [
        {"loss": {"name": "none_such"}, "predictions": [1]},
        {"loss": {"name": "huber", "dleta": 1}, "predictions": [1]},
        {"loss": {"delta": 1}, "predictions": [1]},
        {"loss": ["mse"], "predictions": [1]},
        {"loss": "mse", "predictions": [1], "reduction": "average"},
        {"predictions": [1]},
    ],
    "TrainRequest": [{"epochs": 0}, {"optimizer": {"name": "adam", "learning_rate": -1}}, {"data": {"inputs": [[1]]}}],
    "CompareRequest": [{"losses": ["mse"]}],
}


@pytest.mark.parametrize("name", BARE)
def test_requests_as_people_write_them_are_valid(document: Document, name: str) -> None:
    for request in BARE[name]:
        component(document, name).validate(request)


@pytest.mark.parametrize("name", WRONG)
def test_requests_that_are_refused_are_not_valid(document: Document, name: str) -> None:
    for request in WRONG[name]:
        assert not component(document, name).is_valid(request), request


@pytest.mark.no_cover  # others run these lines as well
async def test_there_is_one_example_per_loss_and_each_runs(document: Document, client: httpx.AsyncClient) -> None:
    examples = document["paths"]["/v1/evaluate"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert list(examples) == list(NAMED)
    request, answer = (component(document, f"Evaluate{side}") for side in ("Request", "Response"))
    for name, example in examples.items():
        assert ("Also called" in example.get("description", "")) == bool(NAMED[name].aliases)
        assert example["value"]["loss"]["name"] == name
        request.validate(example["value"])
        response = await client.post("/v1/evaluate", json=example["value"])
        assert response.status_code == 200
        answer.validate(response.json())


POLES = {
    "infinite": ("bce", [0.0, 0.9], [1, 1], "mean"),
    "each by itself": ("bce", [0.0, 0.9], [1, 1], "none"),
    "rows": ("categorical_cross_entropy", [[0.0, 1.0], [0.5, 0.5]], [0, 1], "mean"),
    "overflow": ("mse", [1e200, 1.0], [-1e200, 1.0], "mean"),
    "named arrays": ("gaussian_nll", {"mean": [1e200], "variance": [1e-300]}, [0.0], "mean"),
}


@pytest.mark.parametrize("case", POLES)
async def test_an_answer_with_nulls_is_as_described(document: Document, client: httpx.AsyncClient, case: str) -> None:
    loss, predictions, targets, reduction = POLES[case]
    request = {"loss": loss, "predictions": predictions, "targets": targets, "reduction": reduction}
    response = await client.post("/v1/evaluate", json=request)
    answer = response.json()
    assert response.status_code == 200
    assert answer["non_finite"]
    assert None in answer["per_sample"]
    component(document, "EvaluateResponse").validate(answer)


async def test_a_loss_without_a_slope_is_as_described(document: Document, client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/evaluate", json={"loss": "zero_one", "predictions": [0.2], "targets": [1]})).json()
    assert answer["gradient"] is None
    component(document, "EvaluateResponse").validate(answer)


def test_every_operation_shows_an_answer_that_is_as_described(document: Document) -> None:
    answered = {operation["operationId"]: success(operation)["content"] for _, operation in operations(document)}
    shown = {name: content for name, content in answered.items() if "application/json" in content}
    assert answered.keys() - shown.keys() == {"metrics", "follow_job"}  # which are text
    assert {name for name, content in shown.items() if "example" not in content["application/json"]} == NOT_ASKED | DESCRIBED
    for name in shown.keys() - NOT_ASKED - DESCRIBED:
        content = shown[name]["application/json"]
        assert content["example"], name
        validator(document, content["schema"]).validate(content["example"])


def test_every_problem_shows_one_of_its_status(document: Document) -> None:
    problem, seen = component(document, "Problem"), set[str]()
    for name, operation in operations(document):
        for status, response in responses(document, operation):
            content = response.get("content", {}).get("application/problem+json")
            if content is not None:
                (reference,) = content["examples"].values()
                example = document["components"]["examples"][reference["$ref"].rpartition("/")[2]]["value"]
                problem.validate(example)
                assert re.fullmatch(status.replace("XX", r"\d\d"), str(example["status"])), (name, status)
                seen.add(status)
    assert {"400", "404", "413", "415", "422", "503", "4XX", "5XX"} <= seen


async def test_errors_are_as_described(document: Document, client: httpx.AsyncClient) -> None:
    problem = component(document, "Problem")
    for content in (
        b"",
        b"{",
        b"{}",
        b'{"loss": "mse", "predictions": [1, "a"], "targets": [1, 2]}',
        b'{"loss": "x", "predictions": [1]}',
    ):
        problem.validate((await client.post("/v1/evaluate", content=content)).json())
    problem.validate((await client.get("/none")).json())


async def test_catalogues_are_as_described(document: Document, client: httpx.AsyncClient) -> None:
    """Each whole, and each entry by its own address."""
    found = dict(operations(document))
    for name, operation in found.items():
        path = name.partition(" ")[2]
        if operation["operationId"].startswith("list_"):
            answer = (await client.get(path)).json()
            validator(document, success(operation)["content"]["application/json"]["schema"]).validate(answer)
            if f"{name}/{{name}}" not in found:
                continue
            entries = next(iter(answer.values()))
            described = found[f"{name}/{{name}}"]["responses"]["200"]["content"]["application/json"]["schema"]
            for entry in entries:
                validator(document, described).validate((await client.get(f"{path}/{entry['name']}")).json())
