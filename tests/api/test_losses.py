"""The catalogue."""

import inspect
from typing import Any

import httpx
import pytest
from jsonschema.protocols import Validator
from openapi_schema_validator import OAS31Validator

from app.losses import COMPOSED, LOSSES, NAMED, Loss
from app.losses.loss import Property
from app.losses.outputs import OUTPUTS
from tests.api.problem import problem_of, strictly
from tests.folding import in_turn

pytestmark = pytest.mark.anyio

each_loss = in_turn("loss", LOSSES.values(), ids=list(LOSSES))

KEYS = {"name", "aliases", "family", "summary", "formula", "properties", "trainable", "why_not"}
DETAILS = KEYS | {
    "alias_parameters",
    "alias_shapes",
    "description",
    "use_when",
    "avoid_when",
    "see_also",
    "formula_mathml",
    "gradient_formula",
    "gradient_mathml",
    "symbols",
    "predictions",
    "targets",
    "parameters",
    "differentiable",
    "outputs",
    "coupling",
    "mean",
    "cost",
    "equals",
    "reference",
    "reference_url",
    "example_request",
    "example_answer",
}
ENCODING_KEYS = {"name", "meaning", "shapes", "accepts", "when", "range"}


async def names(client: httpx.AsyncClient, **query: str) -> list[str]:
    response = await client.get("/v1/losses", params=query)
    assert response.status_code == 200
    return [loss["name"] for loss in response.json()["losses"]]


async def test_every_loss_is_listed_in_the_order_of_its_declaration(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/losses")
    assert response.headers["content-type"] == "application/json"
    listed = strictly(response.text)
    assert listed.keys() == {"losses", "families", "properties"}
    assert [entry["name"] for entry in listed["losses"]] == list(NAMED)
    assert all(entry.keys() == KEYS for entry in listed["losses"])
    assert len(response.content) < 600 * len(NAMED) + 4000, "what it takes to choose one, and no more"


@each_loss
async def test_an_entry_says_what_the_declaration_says(loss: Loss, client: httpx.AsyncClient) -> None:
    entry = (await client.get(f"/v1/losses/{loss.name}")).json()
    assert entry["family"] == loss.function.__module__.rpartition(".")[2]
    assert entry["formula"] == loss.formula
    assert entry["summary"] == inspect.getdoc(loss.function).split("\n")[0]  # type: ignore[union-attr]
    assert entry["aliases"] == [alias.name for alias in loss.aliases]
    assert entry["alias_parameters"] == {alias.name: alias.parameters for alias in loss.aliases if alias.parameters}
    assert [call["call"] for call in entry["equals"]] == [call.call for call in loss.equals]
    assert [call["version"] for call in entry["equals"]] == [call.library.version for call in loss.equals]
    assert entry["reference"] == loss.reference
    assert entry["coupling"] == loss.coupling
    assert {name.upper() for name in entry["properties"]} == {flag.name for flag in Property if flag in loss.properties}
    assert entry["differentiable"] == ("differentiable" in entry["properties"])
    assert entry["outputs"] == [output.name for output in OUTPUTS.values() if output.is_of(loss)]


@pytest.mark.no_cover  # others run these lines as well
@each_loss
async def test_what_a_learner_is_told(loss: Loss, client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    entry = (await client.get(f"/v1/losses/{loss.name}")).json()
    schemas["LossDetail"].validate(entry)
    assert (entry["use_when"], entry["avoid_when"]) == (loss.guide.use_when, loss.guide.avoid_when)
    assert entry["see_also"][: len(loss.guide.see_also)] == list(loss.guide.see_also)
    assert loss.name not in entry["see_also"]
    for other in entry["see_also"]:
        assert loss.name in (await client.get(f"/v1/losses/{other}")).json()["see_also"]
    assert entry["formula_mathml"].startswith("<math")
    assert entry["gradient_formula"] == (loss.gradient or None)
    assert (entry["gradient_mathml"] is None) == (not loss.gradient)
    assert {symbol["parameter"] for symbol in entry["symbols"]} <= {None, *entry["parameters"]}
    assert entry["cost"] == loss.cost.growth
    assert entry["trainable"] == (entry["why_not"] is None)
    assert entry["reference_url"].startswith("https://")


@pytest.mark.thorough
async def test_training_refuses_what_is_said_not_to_be_trainable_and_says_why(client: httpx.AsyncClient) -> None:
    for loss in LOSSES.values():
        entry = (await client.get(f"/v1/losses/{loss.name}")).json()
        response = await client.post("/v1/train", json={"loss": loss.name, "data": {"name": "moons"}, "epochs": 1})
        refused = response.status_code == 422 and response.json()["errors"][0]["code"] == "not_trainable"
        assert refused == (not entry["trainable"]), loss.name
        assert not refused or entry["why_not"] in response.json()["detail"]


async def test_families_and_properties_are_closed_lists_with_a_sentence_each(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/losses")).json()
    parameters = (await client.get("/openapi.json")).json()["paths"]["/v1/losses"]["get"]["parameters"]
    for kind, parameter in (("families", "family"), ("properties", "property")):
        assert all(term["description"].endswith(".") for term in listed[kind])
        (asked,) = [entry for entry in parameters if entry["name"] == parameter]
        assert asked["schema"]["enum"] == [term["name"] for term in listed[kind]]
        for term in listed[kind]:
            assert term["description"] in asked["description"]
            assert await names(client, **{parameter: term["name"]})
    assert {entry["family"] for entry in listed["losses"]} == {term["name"] for term in listed["families"]}


async def test_the_list_is_kept_by_whoever_has_it(client: httpx.AsyncClient) -> None:
    first = await client.get("/v1/losses", params={"search": "robust"})
    again = await client.get("/v1/losses", params={"search": "robust"}, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "max-age" in first.headers["cache-control"]


@each_loss
async def test_parameters_are_described_as_json_schema(loss: Loss, client: httpx.AsyncClient) -> None:
    parameters = (await client.get(f"/v1/losses/{loss.name}")).json()["parameters"]
    assert parameters.keys() == loss.parameters.keys()
    for name, schema in parameters.items():
        OAS31Validator.check_schema(schema)
        assert schema["default"] == loss.defaults[name]
        assert schema["description"].endswith(".")
        OAS31Validator(schema).validate(loss.defaults[name])


@each_loss
async def test_encodings_are_named_with_their_shapes(loss: Loss, client: httpx.AsyncClient) -> None:
    entry = (await client.get(f"/v1/losses/{loss.name}")).json()
    assert encodings(entry["predictions"])
    takes_targets = any(taken.side == "targets" for taken in loss.inputs.values())
    assert (entry["targets"] is not None) == takes_targets
    for encoding in encodings(entry["predictions"]) + encodings(entry["targets"] or []):
        assert encoding.keys() == ENCODING_KEYS
        assert encoding["name"]
        assert encoding["meaning"]
        assert all(shape.startswith("n") for shape in encoding["shapes"])


def encodings(side: Any) -> list[dict[str, Any]]:
    return [encoding for listed in side.values() for encoding in listed] if isinstance(side, dict) else side


async def test_named_inputs_have_encodings_by_name(client: httpx.AsyncClient) -> None:
    entry = (await client.get("/v1/losses/gaussian_nll")).json()
    assert {name: [encoding["name"] for encoding in listed] for name, listed in entry["predictions"].items()} == {
        "mean": ["real"],
        "variance": ["positive", "non_negative"],
    }
    assert [encoding["name"] for encoding in entry["targets"]] == ["real"]


async def test_an_encoding_that_depends_on_a_parameter_says_when(client: httpx.AsyncClient) -> None:
    entry = (await client.get("/v1/losses/binary_cross_entropy")).json()
    assert [(encoding["name"], encoding["when"]) for encoding in entry["predictions"]] == [
        ("logit", "from_logits is true"),
        ("probability", "otherwise"),
    ]


@each_loss
async def test_the_example_answers_as_it_says(loss: Loss, client: httpx.AsyncClient) -> None:
    detail = (await client.get(f"/v1/losses/{loss.name}")).json()
    assert detail.keys() == DETAILS
    response = await client.post("/v1/evaluate", json=detail["example_request"])
    assert response.status_code == 200
    assert strictly(response.text) == detail["example_answer"]
    assert isinstance(detail["example_answer"]["value"], float)
    assert detail["example_answer"].keys().isdisjoint(("warnings", "non_finite"))
    assert (detail["example_answer"]["gradient"] is not None) == loss.differentiable


async def test_a_way_to_make_losses_is_told_as_a_loss_is(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    assert await names(client, family="composed") == list(COMPOSED)
    for name, made in COMPOSED.items():
        entry = (await client.get(f"/v1/losses/{name}")).json()
        schemas["LossDetail"].validate(entry)
        assert entry.keys() == DETAILS
        assert (entry["name"], entry["family"], entry["formula"]) == (name, "composed", made.formula)
        assert min(len(entry["use_when"]), len(entry["avoid_when"])) > 40, name
        assert set(entry["see_also"]) <= NAMED.keys() - {name}
        for other in entry["see_also"]:
            assert name in (await client.get(f"/v1/losses/{other}")).json()["see_also"], (name, other)
        assert entry["formula_mathml"].startswith("<math")
        assert {symbol["parameter"] for symbol in entry["symbols"]} <= {None, *made.parameters}
        for parameter, schema in entry["parameters"].items():
            assert schema["description"].endswith("."), (name, parameter)
            assert ("default" in schema) == (parameter in made.defaults), (name, parameter)
        assert entry["example_request"]["loss"]["name"] == name
        response = await client.post("/v1/evaluate", json=entry["example_request"])
        assert strictly(response.text) == entry["example_answer"]
        assert entry["differentiable"] == (entry["example_answer"]["gradient"] is not None)
        assert entry["outputs"] == [output for output in OUTPUTS if output in entry["outputs"]]
        trained = {"loss": entry["example_request"]["loss"], "data": "regression", "epochs": 1}
        response = await client.post("/v1/train", json=trained)
        apart = name == "multi_task"  # whose targets are an object, which these are not
        assert (response.status_code == 200) == (entry["trainable"] and not apart), name
        assert entry["trainable"] or entry["why_not"] in response.json()["detail"]


async def test_an_alias_answers_as_its_loss(client: httpx.AsyncClient) -> None:
    for loss in LOSSES.values():
        wanted = (await client.get(f"/v1/losses/{loss.name}")).json()
        assert wanted["alias_shapes"] == {alias.name: [*alias.shapes] for alias in loss.aliases if alias.shapes}
        for alias in loss.aliases:
            if not alias.shapes:  # which elsewhere means another
                assert (await client.get(f"/v1/losses/{alias.name}")).json() == wanted


async def test_a_family(client: httpx.AsyncClient) -> None:
    families = {loss.family for loss in NAMED.values()}
    listed = {family: await names(client, family=family) for family in families}
    assert sorted(name for names in listed.values() for name in names) == sorted(NAMED)
    assert "huber" in listed["robust"]
    assert "hinge" in listed["margin"]


async def test_a_property(client: httpx.AsyncClient) -> None:
    convex = await names(client, property="convex")
    assert "mean_squared_error" in convex
    assert "zero_one" not in convex
    assert await names(client, property="proper", family="binary") == ["binary_cross_entropy"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("huber", {"huber", "smooth_l1", "modified_huber"}),
        ("HuberLoss", {"huber"}),
        ("huber regression", {"huber"}),
        ("smooth_l1_loss", {"smooth_l1"}),
        ("BCEWithLogitsLoss", {"binary_cross_entropy"}),
        ("mean squared", {"mean_squared_error", "root_mean_squared_error"}),
        ("mean_squared", {"mean_squared_error", "root_mean_squared_error"}),
        ("reg:squarederror", {"half_squared_error"}),
    ],
)
async def test_a_search_finds_names_aliases_and_words(search: str, found: set[str], client: httpx.AsyncClient) -> None:
    assert found <= set(await names(client, search=search))


async def test_a_search_has_the_likeliest_first_within_a_family_or_a_property(client: httpx.AsyncClient) -> None:
    everywhere = await names(client, search="robust")
    binary = await names(client, search="robust", family="binary")
    assert everywhere[0] == "huber"
    assert binary == [name for name in everywhere if NAMED[name].family == "binary"]
    assert (await names(client, search="outliers", property="smooth", family="robust"))[0] == "huber"
    assert await names(client, search="") == list(NAMED)


@pytest.mark.parametrize("search", ["xyzzy", "lossregression", "%00"])
async def test_a_search_that_finds_nothing(search: str, client: httpx.AsyncClient) -> None:
    assert await names(client, search=search) == []


@pytest.mark.parametrize(
    ("query", "pointer", "code", "words"),
    [
        ({"family": "regresion"}, "/family", "unknown_family", "Did you mean regression"),
        ({"property": "convx"}, "/property", "unknown_property", "Did you mean convex"),
        ({"family": "classification"}, "/family", "unknown_family", "There are regression, relative, robust"),
        ({"family": ""}, "/family", "unknown_family", "''"),
        ({"family": "x" * 5000}, "/family", "unknown_family", "'xxx"),
        ({"search": "x" * 201}, "/search", "length", "at most 200"),
        ({"famly": "regression"}, "/famly", "unknown_field", "'famly'"),
        ({"x" * 5000: "1"}, "/" + "x" * 80, "unknown_field", "'xxx"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_filter_that_is_refused(
    query: dict[str, str], pointer: str, code: str, words: str, client: httpx.AsyncClient
) -> None:
    body = problem_of(await client.get("/v1/losses", params=query))
    (fault,) = body["errors"]
    assert (body["status"], fault["pointer"], fault["code"]) == (422, pointer, code)
    assert words in fault["message"]
    assert "x" * 100 not in str(body)


@pytest.mark.parametrize(
    ("name", "hint"), [("hubr", "huber"), ("CrosEntropyLoss", "CrossEntropyLoss"), ("x" * 5000, ""), ("\x00", "")]
)
async def test_an_unknown_loss(name: str, hint: str, client: httpx.AsyncClient) -> None:
    body = problem_of(await client.get(f"/v1/losses/{name}" if name != "\x00" else "/v1/losses/%00"))
    assert (body["status"], body["code"], body["errors"]) == (404, "not_found", [])
    assert (f"Did you mean {hint}" in body["detail"]) == bool(hint)
    assert "x" * 100 not in str(body)
