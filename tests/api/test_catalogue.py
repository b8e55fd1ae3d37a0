"""GET /v1/datasets, /v1/models, /v1/optimizers, /v1/schedules and /v1/metrics."""

import inspect
from typing import Any

import httpx
import pytest
from jsonschema.protocols import Validator
from openapi_schema_validator import OAS31Validator

from app.registry import Declared
from app.training import DATASETS, METRICS, MODELS, OPTIMIZERS, SCHEDULES
from tests.api.problem import problem_of, strictly

pytestmark = pytest.mark.anyio

KINDS: dict[str, Any] = {
    "datasets": DATASETS,
    "models": MODELS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "metrics": METRICS,
}
THINGS = [(kind, thing) for kind, registry in KINDS.items() for thing in registry.values()]
KEYS = {
    "name",
    "aliases",
    "alias_parameters",
    "summary",
    "description",
    "parameters",
    "traits",
    "equals",
    "reference",
    "example_request",
}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_thing = pytest.mark.parametrize(("kind", "thing"), THINGS, ids=[f"{kind}-{thing.name}" for kind, thing in THINGS])


@each_kind
async def test_everything_of_a_kind_is_listed(kind: str, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    response = await client.get(f"/v1/{kind}")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer = strictly(response.text)
    schemas["DatasetList" if kind == "datasets" else kind.capitalize()].validate(answer)
    assert answer.keys() == ({kind, "kept", "next"} if kind == "datasets" else {kind})
    assert [entry["name"] for entry in answer[kind]] == list(KINDS[kind])
    for entry in answer[kind]:
        assert entry.keys() == KEYS
        assert (await client.get(f"/v1/{kind}/{entry['name']}")).json() == entry


@each_thing
async def test_an_entry_says_what_the_declaration_says(
    kind: str, thing: Declared, client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    entry = strictly((await client.get(f"/v1/{kind}/{thing.name}")).text)
    schemas["Entry"].validate(entry)
    assert entry["summary"] == inspect.getdoc(thing.function).split("\n")[0]  # type: ignore[union-attr]
    assert entry["description"].startswith(entry["summary"])
    assert entry["aliases"] == [alias.name for alias in thing.aliases]
    assert entry["alias_parameters"] == {alias.name: alias.parameters for alias in thing.aliases if alias.parameters}
    assert ([call["call"] for call in entry["equals"]], entry["reference"]) == (
        [same.call for same in thing.equals],
        thing.reference,
    )
    assert entry["parameters"].keys() == thing.parameters.keys()
    for name, schema in entry["parameters"].items():
        OAS31Validator.check_schema(schema)
        assert schema["default"] == thing.defaults[name]
        assert schema["description"].endswith(".")
        OAS31Validator(schema).validate(schema["default"])
    for trait, value in entry["traits"].items():
        assert getattr(thing, trait) == value
    for alias in thing.aliases:
        assert (await client.get(f"/v1/{kind}/{alias.name}")).json() == entry


async def test_traits_tell_what_else_there_is_to_know(client: httpx.AsyncClient) -> None:
    for path, traits in (
        ("datasets/iris", {"task": "multiclass"}),
        ("models/boosted_trees", {"optimized": False}),
        ("optimizers/lbfgs", {"full_batch": True}),
        ("schedules/cosine", {}),
        ("metrics/r2", {"of": "numbers", "higher_is_better": True}),
    ):
        assert (await client.get(f"/v1/{path}")).json()["traits"] == traits


@each_kind
@pytest.mark.parametrize("name", ["no-such-thing", "x" * 5000, "%00"])
async def test_an_unknown_name(kind: str, name: str, client: httpx.AsyncClient) -> None:
    body = problem_of(await client.get(f"/v1/{kind}/{name}"))
    assert (body["status"], body["code"], body["errors"]) == (404, "not_found", [])
    assert f"no {kind[:-1]} named" in body["detail"]


@pytest.mark.parametrize(
    ("path", "hint"), [("optimizers/adan", "adam"), ("datasets/moon", "moons"), ("schedules/cosin", "cosine")]
)
async def test_an_unknown_name_that_is_close_to_one(path: str, hint: str, client: httpx.AsyncClient) -> None:
    assert f"Did you mean {hint}" in problem_of(await client.get(f"/v1/{path}"))["detail"]


@each_thing
async def test_the_example_runs(kind: str, thing: Declared, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    example = (await client.get(f"/v1/{kind}/{thing.name}")).json()["example_request"]
    schemas["TrainRequest"].validate(example)
    response = await client.post("/v1/train", json={**example, "epochs": 2})
    assert response.status_code == 200, response.text
    answer = strictly(response.text)
    schemas["TrainResponse"].validate(answer)
    grown = kind == "models" and thing.name == "decision_tree"  # one tree, in one epoch however many are asked for
    assert answer["stopped"] == {"epoch": 1 if grown else 2, "reason": "completed"}
    if kind == "metrics":
        assert isinstance(answer["final"]["metrics"][thing.name]["validation"], float)
    elif kind != "datasets":
        assert answer[kind[:-1]] == {**thing.defaults, "name": thing.name}
    assert 2 < example["epochs"] <= 100
