"""GET /v1/losses/{name}/curve, and the pictures of every call that has one, as a client sees them."""

import re
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from jsonschema.protocols import Validator

from app.api.calls import CALLS
from app.api.curve import OWN
from app.api.insight_examples import DRAWN_AGAINST, DRAWN_ALONE, DRAWN_UNDER
from app.losses import LOSSES
from tests.api.problem import problem_of

pytestmark = pytest.mark.anyio

PICTURED = [call for call in CALLS if call.picture]
HUBER = "/v1/losses/huber/curve?delta=1.5&low=-3&high=3&points=5&against=mae"


async def test_the_curve_of_huber_against_mae(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    response = await client.get(HUBER)
    answer = response.json()
    schemas["CurveResponse"].validate(answer)
    assert (answer["axis"], answer["target"], answer["x"]) == ("residual", 0.0, [-3.0, -1.5, 0.0, 1.5, 3.0])
    huber, mae = answer["curves"]
    assert huber["loss"] == {"name": "huber", "delta": 1.5}
    assert huber["value"] == [3.375, 1.125, 0.0, 1.125, 3.375]
    assert huber["slope"] == [-1.5, -1.5, 0.0, 1.5, 1.5]
    assert (huber["kinks"], mae["kinks"]) == ([], [0.0])
    lines = [{"kind": "oblique", "slope": sign * 1.5, "intercept": -1.125} for sign in (-1, 1)]
    assert huber["asymptotes"] == lines
    assert (mae["loss"]["name"], mae["value"]) == ("mean_absolute_error", [3.0, 1.5, 0.0, 1.5, 3.0])


async def test_the_examples_of_its_parameters_run_alone_and_together(client: httpx.AsyncClient) -> None:
    for key, name in DRAWN_ALONE.items():
        others = {"against": DRAWN_AGAINST[key]["value"], **DRAWN_UNDER.get(key, {"value": {}})["value"]}
        for query in ({"against": DRAWN_AGAINST["alone"]["value"]}, others):
            answer = await client.get(f"/v1/losses/{name['value']}/curve", params=query)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["curves"]) == 1 + len([*filter(None, query["against"].split(","))])


async def test_what_is_infinite_is_null(client: httpx.AsyncClient) -> None:
    (entry,) = (await client.get("/v1/losses/binary_cross_entropy/curve")).json()["curves"]
    assert entry["value"][0] is None
    assert None not in entry["value"][1:]
    assert entry["asymptotes"] == [{"kind": "vertical", "x": 0.0}]


async def test_any_name_of_a_loss_means_what_it_means_elsewhere(client: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    for name, parameters, axis in (
        ("mse", "", "residual"),
        ("torch.nn.HuberLoss", "delta=2", "residual"),
        ("BCEWithLogitsLoss", "", "logit"),
        ("bce", "from_logits=true&target=0", "logit"),
        ("pinball", "quantile=0.9", "residual"),
        ("hinge", "target=-1&margin=2", "margin"),
        ("quantile", "quantile=[0.1]", None),
    ):
        response = await client.get(f"/v1/losses/{name}/curve?points=7&{parameters}")
        if axis is None:
            problem_of(response)
            continue
        answer = response.json()
        schemas["CurveResponse"].validate(answer)
        assert answer["axis"] == axis, name
        assert len(answer["x"]) == len(answer["curves"][0]["value"]) == 7
        assert np.allclose(answer["x"], np.linspace(answer["x"][0], answer["x"][-1], 7))


async def test_a_second_derivative_is_null_where_there_is_none(client: httpx.AsyncClient) -> None:
    (entry,) = (await client.get("/v1/losses/rmse/curve?points=3")).json()["curves"]
    assert entry["curvature"] is None
    assert entry["slope"] == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("path", "status", "pointer", "words"),
    [
        ("huberr/curve", 404, None, "Did you mean huber"),
        ("huber/curve?dleta=1", 422, "/dleta", "did you mean delta?"),
        ("huber/curve?beta=1", 422, "/beta", "did you mean delta?"),
        ("huber/curve?pionts=3", 422, "/pionts", "did you mean points?"),
        ("mse/curve?zzz=1", 422, "/zzz", "it takes against, low, high, points, target, theme"),
        ("huber/curve?delta=0", 422, "/delta", "delta must be greater than 0"),
        ("huber/curve?delta=x", 422, "/delta", "delta must"),
        ("huber/curve?points=1", 422, "/points", "points must be greater than or equal to 2"),
        ("huber/curve?points=2002", 422, "/points", "points must be less than or equal to 2001"),
        ("huber/curve?low=nan", 422, "/low", "low must be a finite number"),
        ("huber/curve?high=1e300", 422, "/high", "high must be less than or equal to 1000000000000000"),
        ("huber/curve?low=1&high=1", 422, "/low", "low must be below high; got 1 and 1"),
        ("huber/curve?low=4", 422, "/low", "low must be below high; got 4 and 3"),
        ("bce/curve?low=-0.5", 422, "/low", "low must be in [0, 1]"),
        ("bce/curve?high=1.5", 422, "/high", "high must be in [0, 1]"),
        ("gamma_deviance/curve?low=0", 422, "/low", "low must be above 0"),
        ("hinge/curve?target=0.5", 422, "/target", "target must be −1 or +1; got 0.5"),
        ("bce/curve?target=2", 422, "/target", "target must be in [0, 1]"),
        ("huber/curve?against=mae,hubert", 422, "/against/1", "Did you mean huber"),
        ("huber/curve?against=mae,bce", 422, "/against/1", "over the probability, and huber over the residual"),
        ("huber/curve?against=triplet", 422, "/against/0", "triplet_margin has no curve"),
        (f"huber/curve?against={','.join(['mae'] * 8)}", 422, "/against", "at most 7 losses; got 8"),
        ("triplet_margin/curve", 422, "/name", "it takes anchor, positive, negative"),
        ("categorical_cross_entropy/curve.svg", 422, "/name", "a sample is a row of several numbers"),
        ("huber/curve?theme=blue", 422, "/theme", "theme must be one of light, dark"),
        ("huber/curve.gif", 404, None, "there is no GET"),
    ],
)
async def test_what_does_not_fit_is_refused_in_any_form(
    client: httpx.AsyncClient, path: str, status: int, pointer: str | None, words: str
) -> None:
    for accept in ("*/*", "image/png"):
        response = await client.get(f"/v1/losses/{path}", headers={"accept": accept})
        assert response.status_code == status, response.text
        problem = problem_of(response)
        assert words in problem["detail"]
        assert [error["pointer"] for error in problem["errors"]] == ([pointer] if pointer else [])


def test_no_loss_has_a_parameter_that_the_curve_has() -> None:
    for loss in LOSSES.values():
        assert not {*OWN} & loss.parameters.keys(), loss.name


async def test_a_curve_is_kept_by_its_tag_in_each_form(client: httpx.AsyncClient) -> None:
    tags: set[str] = set()
    for accept in ("application/json", "image/svg+xml", "application/vnd.vegalite+json"):
        first = await client.get(HUBER, headers={"accept": accept})
        assert first.headers["content-type"] == accept
        assert first.headers["cache-control"] == "max-age=300"
        assert {"accept", "accept-encoding"} <= {*re.split(", *", first.headers["vary"])}
        tags.add(first.headers["etag"])
        again = await client.get(HUBER, headers={"accept": accept, "if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert "accept" in again.headers["vary"]
        head = await client.head(HUBER, headers={"accept": accept})
        assert (head.headers["etag"], head.content) == (first.headers["etag"], b"")
    assert len(tags) == 3


async def test_endings_and_themes(client: httpx.AsyncClient) -> None:
    light, dark = [(await client.get(f"/v1/losses/huber/curve.svg?theme={theme}")).text for theme in ("light", "dark")]
    assert "#ffffff" in light
    assert "#1b1f25" in dark
    assert "#ffffff" not in dark
    png = await client.get("/v1/losses/huber/curve.png", headers={"accept": "application/json"})
    assert png.headers["content-type"] == "image/png"
    assert png.content.startswith(b"\x89PNG")
    plain = await client.get("/v1/losses/huber/curve.json", headers={"accept": "image/png"})
    assert plain.json() == (await client.get("/v1/losses/huber/curve")).json()


RUN: dict[str, Any] = {"data": {"name": "moons", "n_samples": 40}, "epochs": 3}
ASKED: dict[str, dict[str, Any]] = {
    "train": RUN,
    "compare_runs": {**RUN, "losses": ["bce_with_logits", "hinge"]},
}


async def ask(client: httpx.AsyncClient, name: str, accept: str, query: str = "") -> httpx.Response:
    (call,) = [call for call in PICTURED if call.name == name]
    headers = {"accept": accept}
    if call.method == "GET":
        return await client.get(call.path.replace("{name}", "huber") + query, headers=headers)
    body = ASKED[name] if name in ASKED else next(iter(call.examples.values()))["value"]
    return await client.post(call.path + query, json=body, headers=headers)


@pytest.mark.parametrize("name", [call.name for call in PICTURED])
async def test_each_call_with_a_picture_has_it_in_each_form(client: httpx.AsyncClient, name: str) -> None:
    svg = await ask(client, name, "image/*", "?theme=dark")
    assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml")
    root = ElementTree.fromstring(svg.text)
    assert root.get("role") == "img"
    assert [child.tag.partition("}")[2] for child in root[:2]] == ["title", "desc"]
    png = await ask(client, name, "image/png")
    assert (png.status_code, png.headers["content-type"], png.content[:4]) == (200, "image/png", b"\x89PNG")
    definition = await ask(client, name, "application/vnd.vegalite+json")
    assert definition.json()["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    answer = await ask(client, name, "text/html, image/png, */*;q=0.1")
    assert answer.headers["content-type"] == "application/json"
    for response in (svg, png, definition, answer):
        assert "accept" in re.split(", *", response.headers["vary"])
    refused = await ask(client, name, "audio/mpeg")
    assert (refused.status_code, problem_of(refused)["code"]) == (406, "not_acceptable")


async def test_a_run_of_which_a_picture_is_wanted_may_fail_as_any(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/train?theme=dark", json={"epochs": 0}, headers={"accept": "image/png"})
    assert [error["pointer"] for error in problem_of(response)["errors"]] == ["/epochs"]


async def test_other_calls_take_no_theme(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/losses?theme=dark")
    assert problem_of(response)["errors"][0]["pointer"] == "/theme"
    assert (await client.get("/v1/losses", headers={"accept": "audio/mpeg"})).status_code == 200


async def drawn(client: httpx.AsyncClient, name: str, **query: str) -> list[Any]:
    response = await client.get(f"/v1/losses/{name}/curve", params={"points": "13", **query})
    assert response.status_code == 200, response.text
    return response.json()["curves"]


async def test_a_formula_of_ones_own_is_drawn_as_the_loss_of_that_formula(
    client: httpx.AsyncClient, schemas: dict[str, Validator]
) -> None:
    huber = "where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))"
    against = '[{"name": "huber", "delta": 1.5}]'
    mine, theirs = await drawn(client, "expression", value=huber, d="1.5", points="12", against=against)
    assert mine["loss"] == {"name": "expression", "value": huber, "parameters": {"d": 1.5}}
    for field in ("value", "slope", "curvature"):
        assert np.allclose(mine[field], theirs[field], rtol=1e-12), field
    assert (mine["kinks"], mine["asymptotes"]) == (theirs["kinks"], theirs["asymptotes"])
    mine, theirs = await drawn(client, "expression", value="abs(r) + c", c="0", against="mae")
    assert {**mine, "loss": None} == {**theirs, "loss": None}
    (same,) = await drawn(client, "expression", value="abs(r) + c", parameters='{"c": 0}')
    assert same == mine
    answer = (await client.get("/v1/losses/expression/curve", params={"value": "xlogy(y, y/p) + p - y"})).json()
    schemas["CurveResponse"].validate(answer)
    assert (answer["axis"], answer["target"]) == ("prediction", 1.0)
    assert answer["curves"][0]["value"][0] is None


async def test_a_formula_ends_where_it_is_not_defined(client: httpx.AsyncClient) -> None:
    for value, poles, kinks in (("sqrt(p)", [], []), ("log(p)", [0.0], []), ("abs(r)*sqrt(p)", [], [1.0]), ("1/r**2", [0.0], [])):
        (entry,) = await drawn(client, "expression", value=value)
        assert [line["x"] for line in entry["asymptotes"] if line["kind"] == "vertical"] == poles, value
        assert entry["kinks"] == kinks, value
        for value, slope, curvature in zip(entry["value"], entry["slope"], entry["curvature"], strict=True):
            assert value is not None or slope is curvature is None


async def test_a_sum_is_drawn_over_the_axis_that_its_losses_share(client: httpx.AsyncClient) -> None:
    total, mse, mae = await drawn(
        client, "weighted_sum", terms='[{"loss": "mse", "weight": 0.7}, {"loss": "mae", "weight": 0.3}]', against="mse,mae"
    )
    for field in ("value", "slope", "curvature"):
        assert np.allclose(total[field], 0.7 * np.array(mse[field]) + 0.3 * np.array(mae[field]), rtol=1e-12), field
    assert (total["kinks"], total["asymptotes"]) == ([0.0], [])
    for terms, axis in (
        ('[{"loss": "bce"}, {"loss": "mse"}]', "probability"),
        ('[{"loss": "hinge"}, {"loss": "squared_hinge", "weight": 2}]', "margin"),
        ('[{"loss": "BCEWithLogitsLoss"}, {"loss": "mse"}]', "logit"),
        ('[{"loss": {"name": "weighted_sum", "terms": [{"loss": "huber"}]}}]', "residual"),
    ):
        response = await client.get("/v1/losses/weighted_sum/curve", params={"terms": terms})
        assert response.json().get("axis") == axis, response.text


async def test_another_price_for_each_side_is_drawn(client: httpx.AsyncClient) -> None:
    (entry,) = await drawn(client, "asymmetric", loss="mae", over="2", low="-1", high="1", points="5")
    assert entry["value"] == [1.0, 0.5, 0.0, 1.0, 2.0]
    assert entry["loss"] == {"name": "asymmetric", "loss": {"name": "mean_absolute_error"}, "over": 2.0, "under": 1.0}
    assert entry["kinks"] == [0.0]
    picture = await client.get("/v1/losses/expression/curve.svg", params={"value": "c*r**2", "c": "2", "against": "mse"})
    assert picture.status_code == 200
    assert "c 2" in picture.text


@pytest.mark.parametrize(
    ("name", "query", "pointer", "words"),
    [
        ("expression", {}, "/value", "value is missing"),
        ("expression", {"value": "r**"}, "/value", "expression"),
        ("expression", {"value": "r**2", "pionts": "5"}, "/pionts", "pionts"),
        ("expression", {"value": "c*r", "c": "x"}, "/c", "c must be"),
        ("expression", {"value": "c*r", "parameters": '{"c": "x"}'}, "/parameters/c", "c must be"),
        ("expression", {"value": "c*r", "parameters": "x"}, "/parameters", "parameters must be"),
        ("expression", {"value": "r", "against": "asymmetric"}, "/against/0", "loss is missing"),
        ("expression", {"value": "r", "against": '["mse", {"name": "hubert"}]'}, "/against/1/name", "Did you mean huber"),
        ("expression", {"value": "r", "against": "[1"}, "/against", "begins as JSON does"),
        ("asymmetric", {"loss": "bce"}, "/loss", "a loss of numbers"),
        ("asymmetric", {"loss": "mse", "ovr": "2"}, "/ovr", "did you mean over?"),
        ("weighted_sum", {"terms": '[{"loss": {"name": "huber", "delta": -1}}]'}, "/terms/0/loss/delta", "greater than 0"),
        ("weighted_sum", {"terms": "mse"}, "/terms/0", "must be an object"),
        ("weighted_sum", {"terms": '[{"loss": "triplet_margin"}]'}, "/name", "it takes anchor"),
        ("multi_task", {"heads": '{"a": {"loss": "mse"}}'}, "/name", "each of its heads has predictions of its own"),
    ],
)
async def test_what_is_wrong_with_a_loss_of_ones_own_is_told_where_the_address_has_it(
    client: httpx.AsyncClient, name: str, query: dict[str, str], pointer: str, words: str
) -> None:
    problem = problem_of(await client.get(f"/v1/losses/{name}/curve", params=query))
    assert [error["pointer"] for error in problem["errors"]] == [pointer], problem
    assert words in problem["detail"]
