"""Numbers that are missing, infinite, boolean, or nearly what they should be: taken where that means something, and told."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.examples import example
from app.losses import LOSSES, Loss, check
from tests.api.problem import problem_of
from tests.folding import in_turn

pytestmark = pytest.mark.anyio

EACH = in_turn("loss", [loss for loss in LOSSES.values() if loss.coupling == "sample"], ids=lambda loss: loss.name)
SCORES = [[2.0, 1.0, 0.5], [0.5, 2.5, 1.0], [-1.0, 0.0, 3.0]]
OUTPUTS = ("value", "per_sample", "gradient", "n_samples", "divisor")


async def answer(client: httpx.AsyncClient, request: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/evaluate", json=request)
    assert response.status_code == 200, response.text
    return response.json()


def with_gap(side: Any, gap: object) -> Any:
    """One side of a request, with a gap for the first number of its first array."""
    if isinstance(side, dict):
        name, array = next(iter(side.items()))
        return {**side, name: with_gap(array, gap)}
    first, *rest = side
    return [with_gap(first, gap) if isinstance(first, list) else gap, *rest]


def first_dropped(request: dict[str, Any]) -> list[bool]:
    side = request["predictions"]
    array = next(iter(side.values())) if isinstance(side, dict) else side
    return [False] + [True] * (len(array) - 1)


@pytest.mark.no_cover  # others run these lines as well
@EACH
@pytest.mark.parametrize("gap", [None, "NaN"])
async def test_a_number_is_not_looked_at_where_a_mask_drops_it(loss: Loss, gap: object, client: httpx.AsyncClient) -> None:
    request = json.loads(json.dumps(example(loss)))
    mask = first_dropped(request)
    full = await answer(client, {**request, "mask": mask})
    with_gaps = {**request, "predictions": with_gap(request["predictions"], gap), "mask": mask}
    assert await answer(client, with_gaps) == full
    if "targets" in request:
        with_gaps["targets"] = with_gap(request["targets"], gap)
        assert await answer(client, with_gaps) == full


@pytest.mark.no_cover  # others run these lines as well
@EACH
async def test_a_weight_of_0_drops_it_too(loss: Loss, client: httpx.AsyncClient) -> None:
    request = json.loads(json.dumps(example(loss)))
    weights = [float(flag) for flag in first_dropped(request)]
    full = await answer(client, {**request, "sample_weight": weights})
    gap = {**request, "predictions": with_gap(request["predictions"], None), "sample_weight": weights}
    assert await answer(client, gap) == full


@EACH
async def test_missing_drops_the_element_and_says_so(loss: Loss, client: httpx.AsyncClient) -> None:
    request = json.loads(json.dumps(example(loss)))
    gap = {**request, "predictions": with_gap(request["predictions"], None)}
    dropped = await answer(client, {**gap, "missing": "drop"})
    assert dropped["n_missing"] == 1
    refused = problem_of(await client.post("/v1/evaluate", json=gap))
    assert {fault["code"] for fault in refused["errors"]} == {"not_a_number"}
    assert '"missing": "drop"' in refused["errors"][0]["message"]
    if dropped.get("n_elements", dropped["n_samples"]) == dropped["n_samples"]:
        masked = await answer(client, {**request, "mask": first_dropped(request)})
        assert {name: dropped[name] for name in OUTPUTS} == {name: masked[name] for name in OUTPUTS}


async def test_elements_are_dropped_alone_and_those_that_a_mask_drops_are_not_counted(client: httpx.AsyncClient) -> None:
    request = {"loss": "mse", "predictions": [[1, None], [3, 5]], "targets": [[0, 0], [None, 3]], "missing": "drop"}
    found = await answer(client, request)
    assert (found["value"], found["n_missing"], found["n_elements"], found["n_samples"]) == (2.5, 2, 2, 2)
    assert found["gradient"] == [[1, 0], [0, 2]]
    found = await answer(client, {**request, "mask": [True, False]})
    assert (found["value"], found["n_missing"], found["n_elements"], found["n_samples"]) == (1.0, 1, 1, 1)
    found = await answer(client, {**request, "sample_weight": [[1, 1], [1, None]]})
    assert (found["value"], found["n_missing"]) == (1.0, 3)
    found = await answer(client, {**request, "predictions": [[1, 2], [3, 5]], "targets": [[1, 2], [3, 5]]})
    assert (found["value"], found["n_missing"]) == (0, 0)


async def test_a_row_of_which_a_number_is_missing_is_dropped(client: httpx.AsyncClient) -> None:
    request = {"loss": "CrossEntropyLoss", "predictions": [[1, None, 2], [3, 1, 2]], "targets": [0, 1]}
    found = await answer(client, {**request, "missing": "drop"})
    alone = await answer(client, {"loss": "CrossEntropyLoss", "predictions": [[3, 1, 2]], "targets": [1]})
    assert (found["value"], found["n_missing"]) == (alone["value"], 1)
    assert found["gradient"][0] == [0, 0, 0]


# --- booleans and numbers for labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "predictions", "labels"),
    [
        ("bce", [0.2, 0.8, 0.5], [0, 1, 1]),
        ("hinge", [0.2, -0.8, 0.5], [0, 1, 1]),
        ("CrossEntropyLoss", [[1.0, 2.0], [0.5, 0.1]], [1, 0]),
        ("multilabel_soft_margin", SCORES, [[1, 0, 1], [0, 0, 0], [1, 1, 1]]),
        ("dice", [[0.5, 0.25, 1.0]], [[1, 0, 1]]),
    ],
)
async def test_booleans_are_labels(loss: str, predictions: Any, labels: Any, client: httpx.AsyncClient) -> None:
    numbers = await answer(client, {"loss": loss, "predictions": predictions, "targets": labels})
    flags = await answer(client, {"loss": loss, "predictions": predictions, "targets": np.array(labels, bool).tolist()})
    assert flags["targets_encoding"] == "boolean"
    assert {name: flags[name] for name in OUTPUTS} == {name: numbers[name] for name in OUTPUTS}


@pytest.mark.parametrize(
    ("classes", "labels"),
    [([1, 2, 3], [1, 3, 2]), ([30, 10.5, -7], [30, -7, 10.5]), ([2**60, 2**60 + 1, 5], [2**60, 5, 2**60 + 1])],
)
async def test_classes_may_be_numbers(classes: list[float], labels: list[float], client: httpx.AsyncClient) -> None:
    indices = await answer(client, {"loss": "CrossEntropyLoss", "predictions": SCORES, "targets": [0, 2, 1]})
    found = await answer(client, {"loss": "CrossEntropyLoss", "predictions": SCORES, "targets": labels, "classes": classes})
    assert found["targets_encoding"] == "class_names"
    assert {name: found[name] for name in OUTPUTS} == {name: indices[name] for name in OUTPUTS}


async def test_a_number_that_is_no_class_may_be_masked_or_ignored(client: httpx.AsyncClient) -> None:
    request = {"loss": "CrossEntropyLoss", "predictions": SCORES, "targets": [1, 3, 9], "classes": [1, 2, 3]}
    masked = await answer(client, {**request, "mask": [True, True, False]})
    ignored = await answer(client, {**request, "targets": [1, 3, -100]})
    assert masked["value"] == ignored["value"]
    assert masked["n_samples"] == ignored["n_samples"] == 2


# --- nearly 1, exchanged, infinite ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "told"), [([0.5, 0.5], False), ([0.5, 0.4999995], False), ([0.5, 0.499], True), ([0.5, 0.5099], True)]
)
async def test_rows_that_sum_to_nearly_1_are_taken_as_they_are(row: list[float], told: bool, client: httpx.AsyncClient) -> None:
    request = {"loss": "categorical_cross_entropy", "predictions": [[0.25, 0.75], row], "targets": [0, 0]}
    found = await answer(client, request)
    assert found["value"] == pytest.approx(-(np.log(0.25) + np.log(0.5)) / 2, rel=1e-15)
    if told:
        assert f"predictions[1] sums to {sum(row):.6g} instead of 1" in found["warnings"][0]
    else:
        assert "warnings" not in found


async def test_the_worst_row_is_named(client: httpx.AsyncClient) -> None:
    rows = [[0.5, 0.5], [0.5, 0.501], [0.5, 0.495], [0.5, 0.502]]
    taken = "taken as it is (set normalize to true to divide each row by its sum)"
    found = await answer(client, {"loss": "categorical_cross_entropy", "predictions": rows, "targets": [0, 0, 0, 0]})
    assert found["warnings"] == [f"predictions[2] sums to 0.995 instead of 1, the worst of 3: {taken}"]
    found = await answer(
        client, {"loss": "categorical_cross_entropy", "predictions": rows, "targets": [0] * 4, "mask": [True, True, False, True]}
    )
    assert found["warnings"] == [f"predictions[3] sums to 1.002 instead of 1, the worst of 2: {taken}"]


EXCHANGED = "predictions are all 0 or 1, and targets are not: are they exchanged?"
SOFT = [0.8, 0.3, 0.6]


@pytest.mark.parametrize(
    ("loss", "predictions", "targets", "told"),
    [
        ("bce", [1, 0, 1], SOFT, True),
        ({"name": "bce", "clip": 1e-7}, [1, 0, 1], SOFT, True),
        ("mse", [1, 0, 1], SOFT, True),
        ("brier_score", [1, 0, 1], SOFT, True),
        ("brier_score", [[1, 0], [0, 1]], [[0.8, 0.2], [0.3, 0.7]], True),
        ("bce", [1, 0.5, 1], SOFT, False),
        ("bce", [1, 0, 1], [1, 0, 0], False),
        ("mse", [1, 0, 1], [0.8, 0.3, 1.6], False),
        ("mse", [1, 1, 1], SOFT, False),
        ("mse", [1, 0, 1], [1, 1, 0], False),
        ("brier_score", [[1, 0], [0, 1]], [0, 1], False),
    ],
)
async def test_predictions_and_targets_that_look_exchanged_are_told(
    loss: Any, predictions: Any, targets: Any, told: bool, client: httpx.AsyncClient
) -> None:
    found = await answer(client, {"loss": loss, "predictions": predictions, "targets": targets})
    assert found.get("warnings", []) == [EXCHANGED] * told


async def test_tensors_have_the_same_warnings(client: httpx.AsyncClient) -> None:
    tensors = [
        {"name": name, "datatype": "FP64", "shape": [3], "data": data}
        for name, data in {"predictions": [1, 0, 1], "targets": SOFT}.items()
    ]
    response = await client.post("/v2/models/mse/infer", json={"inputs": tensors})
    assert response.json()["parameters"] == {"warnings": EXCHANGED}
    tensors[0]["data"] = [0.5, 0, 1]
    assert "parameters" not in (await client.post("/v2/models/mse/infer", json={"inputs": tensors})).json()


def boxes(kind: str, n: int, seed: int) -> Any:
    """Boxes [x1, y1, x2, y2] of one picture."""
    rng = np.random.default_rng(seed)
    if kind == "small":
        corner, size = rng.random((n, 2)) * 0.8, rng.random((n, 2)) * 0.2
        return np.concatenate([corner, corner + size], axis=1)
    return np.concatenate([rng.random((n, 2)) * 0.3, 0.7 + rng.random((n, 2)) * 0.3], axis=1)


def sized(corners: Any) -> Any:
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("kind", "n"), [("small", 40), ("large", 40), ("large", 4)])
async def test_boxes_that_look_like_another_format_are_told(kind: str, n: int, seed: int, client: httpx.AsyncClient) -> None:
    corners = boxes(kind, n, seed)

    async def warned(boxes: Any, box_format: str) -> list[str]:
        loss = {"name": "giou", "box_format": box_format}
        return (await answer(client, {"loss": loss, "predictions": boxes.tolist(), "targets": boxes.tolist()})).get(
            "warnings", []
        )

    assert await warned(corners, "xyxy") == []
    assert await warned(sized(corners), "xywh") == []
    if n > 4 and kind == "large":  # small ones are refused: their widths lie below their corners
        told = await warned(sized(corners), "xyxy")
        assert [words.partition(" ")[0] for words in told] == ["predictions", "targets"]
        assert all(words.endswith("is box_format meant to be xywh?") for words in told)
    if n > 4 and kind == "small":
        assert all(words.endswith("is box_format meant to be xyxy?") for words in await warned(corners, "xywh"))
        assert len(await warned(corners, "xywh")) == 2


async def test_infinities_of_an_answer_may_be_words(client: httpx.AsyncClient) -> None:
    request = {"loss": "bce", "predictions": [0, 0.5], "targets": [1, 1]}
    plain = await answer(client, request)
    words = await answer(client, {**request, "non_finite_as": "string"})
    assert (plain["value"], plain["per_sample"][0], plain["gradient"][0]) == (None, None, None)
    assert (words["value"], words["per_sample"][0], words["gradient"][0]) == ("Infinity", "Infinity", "-Infinity")
    assert words["per_sample"][1:] == plain["per_sample"][1:]
    assert words["non_finite"] == plain["non_finite"]
    finite = {"loss": "mse", "predictions": [0, 0.5], "targets": [1, 1]}
    assert await answer(client, finite) == await answer(client, {**finite, "non_finite_as": "string"})


async def test_named_outputs_may_be_words_too(client: httpx.AsyncClient) -> None:
    predictions = {"mean": [1e200], "variance": [1e-300]}
    request = {"loss": {"name": "gaussian_nll", "eps": 0}, "predictions": predictions, "targets": [0], "non_finite_as": "string"}
    found = await answer(client, request)
    assert found["value"] == "Infinity"
    assert "-Infinity" in found["gradient"]["variance"] or "Infinity" in found["gradient"]["mean"]


@pytest.mark.parametrize("place", [0, 250, 499])
@pytest.mark.parametrize("stranger", ['"1"', '"x"', "{}", "[1]", "1" + "0" * 400], ids=lambda text: text[:8])
async def test_what_is_no_number_is_found_in_a_long_array(stranger: str, place: int, client: httpx.AsyncClient) -> None:
    """Long arrays are looked through in blocks: "1" is no number there either."""
    numbers = ["1.5"] * 500
    numbers[place] = stranger
    body = f'{{"loss": "mse", "predictions": [{", ".join(numbers)}], "targets": {[1.0] * 500}}}'
    response = await client.post("/v1/evaluate", content=body)
    assert response.status_code == 422, response.text
    assert any("/predictions" in fault["pointer"] for fault in problem_of(response)["errors"])


# --- infinite scores ----------------------------------------------------------------------------------------------------


MASKED = [[0.5, "-Infinity", 1.25], ["-Infinity", 0.0, 2.0]]
"""Logits of which some classes cannot be."""


async def test_an_infinite_score_is_taken_however_it_is_written(client: httpx.AsyncClient) -> None:
    body = {"loss": "softmax_cross_entropy", "predictions": MASKED, "targets": [0, 2]}
    words = await answer(client, body)
    literal = await client.post("/v1/evaluate", content=json.dumps(body).replace('"-Infinity"', "-Infinity"))
    assert literal.json() == words
    assert words["value"] == pytest.approx(0.6318995085789362, rel=1e-15)
    assert [words["gradient"][0][1], words["gradient"][1][0]] == [0, 0]
    refused = problem_of(await client.post("/v1/evaluate", json={**body, "loss": "cce"}))
    assert refused["errors"][0]["message"] == "predictions[0, 1] must be finite; got -Infinity"
    table = "a,b,c,y\n0.5,-inf,1.25,0\n-inf,0,2,2\n"
    query = {"loss": "softmax_cross_entropy", "predictions": "a,b,c", "targets": "y"}
    rows = await client.post("/v1/evaluate", params=query, content=table, headers={"Content-Type": "text/csv"})
    assert rows.json()["value"] == words["value"], rows.text


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
async def test_a_tensor_of_json_has_gaps_and_infinities_too(datatype: str, client: httpx.AsyncClient) -> None:
    numbers = [number for row in MASKED for number in row]
    inputs = [
        {"name": "predictions", "datatype": datatype, "shape": [2, 3], "data": numbers},
        {"name": "targets", "datatype": "INT64", "shape": [2], "data": [0, 2]},
    ]
    response = await client.post("/v2/models/softmax_cross_entropy/infer", json={"inputs": inputs})
    assert response.json()["outputs"][0]["data"] == [pytest.approx(0.6318995085789362, rel=1e-6)], response.text
    inputs[0]["data"] = [None, *numbers[1:]]
    response = await client.post("/v2/models/softmax_cross_entropy/infer", json={"inputs": inputs})
    assert response.status_code == 400
    asked = {"inputs": inputs, "parameters": {"missing": "drop"}}
    response = await client.post("/v2/models/softmax_cross_entropy/infer", json=asked)
    assert response.json()["parameters"] == {"n_missing": 1}


async def test_infinities_of_a_tensor_may_be_words(client: httpx.AsyncClient) -> None:
    inputs = [
        {"name": "predictions", "datatype": "FP64", "shape": [2], "data": [0, 0.5]},
        {"name": "targets", "datatype": "INT64", "shape": [2], "data": [1, 1]},
    ]
    for way, written in (("string", "Infinity"), ("null", None), (None, None)):
        request = {"inputs": inputs, "parameters": {"non_finite_as": way, "reduction": None}}
        found = (await client.post("/v2/models/bce/infer", json=request)).json()
        assert [output["data"][0] for output in found["outputs"][:2]] == [written, written]
    response = await client.post("/v2/models/bce/infer", json={"inputs": inputs, "parameters": {"non_finite_as": "inf"}})
    assert response.json()["error"] == 'parameters.non_finite_as must be "null" or "string"'


# --- sets of labels, and what may be one or the other ---------------------------------------------------------------------


async def test_sets_of_names_are_flags(client: httpx.AsyncClient) -> None:
    sets = {
        "loss": "multilabel_soft_margin",
        "predictions": SCORES,
        "targets": [["a", "c"], [], ["b"]],
        "classes": ["a", "b", "c"],
    }
    flags = {**sets, "targets": [[1, 0, 1], [0, 0, 0], [0, 1, 0]]}
    found, expected = await answer(client, sets), await answer(client, {key: flags[key] for key in flags if key != "classes"})
    assert {name: found[name] for name in OUTPUTS} == {name: expected[name] for name in OUTPUTS}
    assert found["targets_encoding"] == "label_sets"
    refused = problem_of(await client.post("/v1/evaluate", json={**sets, "targets": [["a", "d"], [], ["b"]]}))
    assert refused["errors"][0]["pointer"] == "/targets/0/1"
    assert "'d', which is not in classes" in refused["errors"][0]["message"]
    refused = problem_of(await client.post("/v1/evaluate", json={key: sets[key] for key in sets if key != "classes"}))
    assert refused["errors"][0]["pointer"] == "/classes"


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge", "dice", "squared_hinge"])
async def test_losses_of_flags_take_sets_of_names_for_columns_of_them(loss: str, client: httpx.AsyncClient) -> None:
    base = {"loss": loss, "predictions": [[0.1, 0.2, 0.9], [0.2, 0.1, 0.5], [0.3, 0.6, 0.4]]}
    found = await answer(client, {**base, "targets": [["c", "a"], [], ["b"]], "classes": ["a", "b", "c"]})
    expected = await answer(client, {**base, "targets": [[1, 0, 1], [0, 0, 0], [0, 1, 0]]})
    assert {name: found[name] for name in OUTPUTS} == {name: expected[name] for name in OUTPUTS}
    assert found["targets_encoding"] == "label_sets"


@pytest.mark.parametrize(
    ("targets", "classes", "pointer", "words"),
    [
        ([["a", "a"], ["b"]], ["a", "b"], "/targets/0/1", "'a' again"),
        ([["a", "x"], ["b"]], ["a", "b"], "/targets/0/1", "'x', which is not in classes"),
        ([["a"], ["b"]], ["a", "b", "c"], "/targets", "(2, 3), which does not agree with predictions (2, 2)"),
        (["a", "b"], ["a", "b"], "/targets", "shape"),
    ],
)
async def test_sets_that_are_none(targets: Any, classes: list[str], pointer: str, words: str, client: httpx.AsyncClient) -> None:
    request = {"loss": "bce", "predictions": [[0.1, 0.2], [0.2, 0.1]], "targets": targets, "classes": classes}
    refused = problem_of(await client.post("/v1/evaluate", json=request))["errors"][0]
    assert refused["pointer"] == pointer
    assert words in refused["message"]


async def test_a_label_of_two_has_two_names(client: httpx.AsyncClient) -> None:
    request = {"loss": "bce", "predictions": [0.2, 0.8], "targets": ["a", "b"], "classes": ["a", "b", "c"]}
    refused = problem_of(await client.post("/v1/evaluate", json=request))["errors"][0]
    assert (refused["pointer"], refused["message"]) == ("/classes", "classes must have one name per class: 2 here, not 3")


async def test_lists_of_labels_that_may_be_flags_are_refused_unless_told(client: httpx.AsyncClient) -> None:
    request = {"loss": "multilabel_margin", "predictions": SCORES, "targets": [[1, 0, 1], [0, 0, 1], [0, 1, 0]]}
    refused = problem_of(await client.post("/v1/evaluate", json=request))
    assert "say which in target_format" in refused["errors"][0]["message"]
    for way in ("multi_hot", "index_list"):
        found = await answer(client, {**request, "loss": {"name": "multilabel_margin", "target_format": way}})
        assert found["targets_encoding"] == way
    torch = await answer(client, {**request, "loss": "MultiLabelMarginLoss"})
    assert torch["targets_encoding"] == "index_list"
    assert (await answer(client, {**request, "targets": [[1, 0, -1], [0, -1, -1], [1, -1, -1]]}))[
        "targets_encoding"
    ] == "index_list"


async def test_rows_of_half_precision_may_be_as_far_from_1_as_it_rounds(client: httpx.AsyncClient) -> None:
    rows = np.random.default_rng(3).dirichlet(np.ones(5), 40).astype(np.float16)
    assert np.abs(rows.astype(np.float64).sum(axis=1) - 1.0).max() > 1e-5
    numbers = {"name": "predictions", "datatype": "FP16", "shape": [40, 5], "data": rows.astype(np.float64).ravel().tolist()}
    labels = {"name": "targets", "datatype": "INT64", "shape": [40], "data": [0] * 40}
    response = await client.post("/v2/models/cce/infer", json={"inputs": [numbers, labels]})
    expected = await answer(
        client, {"loss": "cce", "predictions": rows.astype(np.float64).tolist(), "targets": [0] * 40, "outputs": ["value"]}
    )
    assert response.json()["outputs"][0] == {"name": "value", "datatype": "FP64", "shape": [1], "data": [expected["value"]]}
    assert "sums to" in expected["warnings"][0]
    batch = check(LOSSES["categorical_cross_entropy"], {}, rows, np.zeros(40))
    assert not batch.warnings


@pytest.mark.parametrize("value", ["x", "0.9x", True, {"a": 1}])
async def test_a_parameter_of_several_kinds_says_which_it_takes(value: object, client: httpx.AsyncClient) -> None:
    loss = {"name": "quantile", "quantile": value}
    response = await client.post("/v1/evaluate", json={"loss": loss, "predictions": [1], "targets": [2]})
    (fault,) = problem_of(response)["errors"]
    assert (fault["pointer"], fault["code"]) == ("/loss/quantile", "type")
    assert "must be a number or a list of numbers" in fault["message"]


async def test_a_number_in_the_address_is_one_where_a_list_may_stand(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/losses/quantile/curve?quantile=0.9")
    assert response.status_code == 200
    assert response.json()["curves"][0]["loss"]["quantile"] == 0.9
