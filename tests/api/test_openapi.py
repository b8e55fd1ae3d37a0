"""The OpenAPI document: valid, complete, and the one that is committed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.losses import LOSSES
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

Document = dict[str, Any]


@pytest.fixture
async def document(client: httpx.AsyncClient) -> Document:
    response = await client.get("/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return response.json()


def operations(document: Document) -> list[tuple[str, Document]]:
    return [
        (f"{method.upper()} {path}", operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]


def schema_of(document: Document, name: str) -> Document:
    """A component's schema with everything it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


# --- drift -------------------------------------------------------------------------------------------------------------


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.api.openapi", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_committed_files_are_what_the_code_says() -> None:
    result = check("--check")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_file_that_has_drifted_is_found_and_written_anew(tmp_path: Path) -> None:
    assert check(str(tmp_path)).returncode == 0
    assert check(str(tmp_path), "--check").returncode == 0
    assert {path.stem for path in tmp_path.glob("examples/*.json")} == set(LOSSES)
    file = tmp_path / "openapi.json"
    file.write_text(file.read_text().replace("Evaluate a loss", "Evaluate a lass"))
    (tmp_path / "examples" / "huber.json").unlink()
    result = check(str(tmp_path), "--check")
    assert result.returncode == 1
    assert "openapi.json" in result.stderr
    assert "huber.json" in result.stderr
    assert check(str(tmp_path)).returncode == 0
    assert check(str(tmp_path), "--check").returncode == 0


def test_the_committed_document_is_the_one_that_is_served(document: Document) -> None:
    assert json.loads((ROOT / "openapi" / "openapi.json").read_text()) == document


# --- the document ------------------------------------------------------------------------------------------------------


def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_says_who_and_where(document: Document) -> None:
    assert document["info"]["title"] == "Criterion"
    assert document["info"]["license"]["identifier"] == "MIT"
    assert document["info"]["contact"]
    assert document["servers"]
    assert document["security"] == []


def test_every_operation_is_described(document: Document) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert operation["tags"], name


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
        for status, response in operation["responses"].items():
            assert response["description"]
            if status >= "400" and not name.partition(" ")[2].startswith("/v2"):
                content = response["content"]
                assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}, (
                    name,
                    status,
                )


def test_fastapis_own_errors_are_not_promised(document: Document) -> None:
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    assert '"ValidationError"' not in text


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: Document) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name


def test_the_loss_is_one_union_discriminated_by_its_name(document: Document) -> None:
    request = document["components"]["schemas"]["EvaluateRequest"]
    loss = request["properties"]["loss"]
    assert loss["discriminator"]["propertyName"] == "name"
    assert loss["discriminator"]["mapping"].keys() == LOSSES.keys()
    assert {each["$ref"] for each in loss["oneOf"]} == set(loss["discriminator"]["mapping"].values())
    assert set(request["required"]) == {"loss", "predictions"}
    assert request["additionalProperties"] is False
    for name, reference in loss["discriminator"]["mapping"].items():
        member = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert member["required"] == ["name"]
        assert member["properties"]["name"]["const"] == name
        assert member["additionalProperties"] is False
        assert member["properties"].keys() == {"name", *LOSSES[name].parameters}


def test_parameters_have_their_bounds_and_defaults(document: Document) -> None:
    delta = document["components"]["schemas"]["Huber"]["properties"]["delta"]
    assert (delta["type"], delta["exclusiveMinimum"], delta["default"]) == ("number", 0, 1.0)
    assert delta["description"]


async def test_there_is_one_example_per_loss_and_each_runs(document: Document, client: httpx.AsyncClient) -> None:
    examples = document["paths"]["/v1/evaluate"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert list(examples) == list(LOSSES)
    request, answer = (OAS31Validator(schema_of(document, f"Evaluate{each}")) for each in ("Request", "Response"))
    for name, example in examples.items():
        assert example["summary"]
        assert example["value"]["loss"]["name"] == name
        request.validate(example["value"])
        response = await client.post("/v1/evaluate", json=example["value"])
        assert response.status_code == 200
        answer.validate(response.json())


async def test_errors_are_as_described(document: Document, client: httpx.AsyncClient) -> None:
    problem = OAS31Validator(schema_of(document, "Problem"))
    for content in (
        b"",
        b"{",
        b"{}",
        b'{"loss": "mse", "predictions": [1, "a"], "targets": [1, 2]}',
        b'{"loss": "x", "predictions": [1]}',
    ):
        problem.validate((await client.post("/v1/evaluate", content=content)).json())
    problem.validate((await client.get("/none")).json())


async def test_the_catalogue_is_as_described(document: Document, client: httpx.AsyncClient) -> None:
    OAS31Validator(schema_of(document, "Catalogue")).validate((await client.get("/v1/losses")).json())
    detail = OAS31Validator(schema_of(document, "LossDetail"))
    for name in LOSSES:
        detail.validate((await client.get(f"/v1/losses/{name}")).json())
