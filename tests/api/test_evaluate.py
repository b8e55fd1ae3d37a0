"""POST /v1/evaluate: what is asked for, under which reduction, and nothing that JSON cannot hold."""

import json
import math
from typing import Any

import httpx
import numpy as np
import pytest

from app.losses import LOSSES, Loss
from app.losses.inputs import Sizes
from app.losses.outputs import outputs_of
from tests.api.problem import strictly
from tests.folding import in_turn

pytestmark = pytest.mark.anyio

HUBER: dict[str, Any] = {
    "loss": {"name": "huber", "delta": 1.5},
    "predictions": [2.5, 0.0, 8.0],
    "targets": [3.0, -0.5, 2.0],
    "sample_weight": [1, 1, 2],
    "mask": [True, True, True],
    "reduction": "mean",
    "outputs": ["value", "per_sample", "gradient"],
}


async def answer(client: httpx.AsyncClient, request: dict[str, Any] | bytes, **changes: object) -> dict[str, Any]:
    """The answer to a request; an argument that is None leaves its field out."""
    body = request if isinstance(request, bytes) else _changed(request, changes)
    response = await client.post("/v1/evaluate", content=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return strictly(response.text)


def _changed(request: dict[str, Any], changes: dict[str, object]) -> bytes:
    return json.dumps({name: value for name, value in {**request, **changes}.items() if value is not None}).encode()


def batch(loss: str, predictions: object, targets: object = None, **parameters: object) -> dict[str, Any]:
    return {"loss": {"name": loss, **parameters}, "predictions": predictions, "targets": targets}


async def test_the_request_of_the_manual(client: httpx.AsyncClient) -> None:
    assert await answer(client, HUBER) == {
        "loss": {"name": "huber", "delta": 1.5},
        "reduction": "mean",
        "n_samples": 3,
        "divisor": 4.0,
        "value": 4.0,
        "per_sample": [0.125, 0.125, 7.875],
        "gradient": [-0.125, 0.125, 0.75],
        "targets_encoding": "real",
    }


async def test_what_may_be_left_out(client: httpx.AsyncClient) -> None:
    whole = await answer(client, HUBER, sample_weight=[1, 1, 1])
    assert await answer(client, HUBER, sample_weight=None, mask=None, reduction=None, outputs=None) == whole


async def test_a_bare_name_is_the_loss_as_declared(client: httpx.AsyncClient) -> None:
    short, long = await answer(client, HUBER, loss="huber"), await answer(client, HUBER, loss={"name": "huber"})
    assert short == long
    assert short["loss"] == {"name": "huber", "delta": 1.0}


# --- reductions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reduction", "divisor", "value", "gradient"),
    [
        ("mean", 4.0, 4.0, [-0.125, 0.125, 0.75]),
        ("sum", 1.0, 16.0, [-0.5, 0.5, 3.0]),
        ("mean_over_samples", 3.0, 16.0 / 3.0, [-0.5 / 3.0, 0.5 / 3.0, 1.0]),
    ],
)
async def test_a_reduction(
    reduction: str, divisor: float, value: float, gradient: list[float], client: httpx.AsyncClient
) -> None:
    found = await answer(client, HUBER, reduction=reduction)
    assert (found["reduction"], found["divisor"], found["value"], found["gradient"]) == (reduction, divisor, value, gradient)
    assert found["per_sample"] == [0.125, 0.125, 7.875]


async def test_no_reduction_has_no_value_and_each_samples_own_gradient(client: httpx.AsyncClient) -> None:
    found = await answer(client, HUBER, reduction="none")
    assert (found["divisor"], found["value"]) == (None, None)
    assert found["per_sample"] == [0.125, 0.125, 7.875]
    assert found["gradient"] == [-0.5, 0.5, 1.5]
    assert "non_finite" not in found


async def test_a_mean_of_another_kind_has_no_divisor(client: httpx.AsyncClient) -> None:
    found = await answer(client, HUBER, loss="median_absolute_error", sample_weight=None)
    assert (found["value"], found["divisor"], found["per_sample"]) == (0.5, None, [0.5, 0.5, 6.0])


async def test_columns_are_averaged_per_sample(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("mse", [[1, 2], [3, 5]], [[0, 0], [0, 0]]))
    assert (found["per_sample"], found["value"]) == ([2.5, 17.0], 9.75)
    assert found["gradient"] == [[0.5, 1.0], [1.5, 2.5]]


# --- outputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outputs", [["value"], ["gradient"], ["per_sample", "value"], ["gradient", "per_sample"], ["value", "value"]]
)
async def test_only_the_outputs_asked_for_are_there(outputs: list[str], client: httpx.AsyncClient) -> None:
    whole = await answer(client, HUBER)
    found = await answer(client, HUBER, outputs=outputs)
    assert found == {key: value for key, value in whole.items() if key in outputs or key not in HUBER["outputs"]}


async def test_outputs_come_in_one_order_however_they_are_asked_for(client: httpx.AsyncClient) -> None:
    found = await answer(client, HUBER, outputs=["gradient", "per_sample", "value"])
    assert [name for name in found if name in HUBER["outputs"]] == ["value", "per_sample", "gradient"]


async def test_a_loss_without_derivative_has_no_gradient(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("zero_one", [0.9, 0.2, 0.7], [1, 1, 0]))
    assert (found["per_sample"], found["gradient"]) == ([0.0, 1.0, 1.0], None)
    assert "non_finite" not in found


async def test_second_derivatives_are_answered_where_they_are_asked_for(client: httpx.AsyncClient) -> None:
    found = await answer(client, HUBER, outputs=["hessian_diagonal"])
    assert found["hessian_diagonal"] == [0.25, 0.25, 0.0]  # weights 1, 1, 2 of 4; the last residual is beyond delta
    assert not {"value", "per_sample", "gradient"} & found.keys()
    request = batch("gaussian_nll", {"mean": [0.0, 1.0], "variance": [0.5, 2.0]}, [1.0, 0.0])
    found = await answer(client, request, outputs=["hessian_diagonal"], reduction="sum")
    assert found["hessian_diagonal"] == {"mean": [2.0, 0.5], "variance": [6.0, 0.0]}


@in_turn("loss", [loss for loss in LOSSES.values() if loss.derivatives < 2], ids=lambda loss: loss.name)
async def test_second_derivatives_that_a_loss_has_not_are_refused(loss: Loss, client: httpx.AsyncClient) -> None:
    request = await example(client, loss)
    response = await client.post("/v1/evaluate", json={**request, "outputs": ["value", "hessian_diagonal"]})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    has = "gradient" if loss.differentiable else "per_element"
    assert error["pointer"] == "/outputs/1"
    assert error["message"].startswith(f"{loss.name} has no hessian_diagonal; it has value, ")
    assert error["message"].endswith(has)


async def test_non_finite_second_derivatives_say_whose_they_are(client: httpx.AsyncClient) -> None:
    request = batch("gaussian_nll", {"mean": [1e160, 0.0], "variance": [1e-5, 1.0]}, [0.0, 0.0])
    found = await answer(client, request, outputs=["hessian_diagonal"])
    assert [(number["output"], number["index"]) for number in found["non_finite"]] == [("hessian_diagonal.variance", [0])]
    assert found["hessian_diagonal"]["variance"] == [None, -0.25]


# --- weights and masks -------------------------------------------------------------------------------------------------


async def test_weight_2_is_the_sample_twice(client: httpx.AsyncClient) -> None:
    weighted = await answer(client, batch("log_cosh", [1.5, -2.0], [0, 0]), sample_weight=[1, 2])
    repeated = await answer(client, batch("log_cosh", [1.5, -2.0, -2.0], [0, 0, 0]))
    assert weighted["value"] == repeated["value"]
    assert weighted["divisor"] == repeated["divisor"] == 3.0


async def test_a_masked_sample_is_left_out_unseen(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("hinge", [0.5, 3.0, -2.0], [1, 77, 1]), mask=[True, False, True])
    assert (found["n_samples"], found["divisor"]) == (2, 2.0)
    assert (found["per_sample"], found["value"]) == ([0.5, 0.0, 3.0], 1.75)
    assert found["gradient"] == [-0.5, 0.0, -0.5]


async def test_a_masked_row_is_left_out_of_named_inputs(client: httpx.AsyncClient) -> None:
    request = batch("gaussian_nll", {"mean": [1.0, 2.0], "variance": [0.0, 1.0]}, [1.0, 4.0])
    found = await answer(client, request, mask=[False, True])
    assert (found["per_sample"], found["gradient"]) == ([0.0, 2.0], {"mean": [0.0, -2.0], "variance": [0.0, -1.5]})


async def test_an_ignored_label_does_not_count(client: httpx.AsyncClient) -> None:
    request = batch("CrossEntropyLoss", [[2.0, 0.0], [1.0, 1.0], [0.0, 5.0]], [0, 1, -100], ignore_index=-100)
    found = await answer(client, request)
    assert (found["n_samples"], found["divisor"], found["per_sample"][2]) == (2, 2.0, 0.0)
    assert found["gradient"][2] == [0.0, 0.0]
    assert found["value"] == pytest.approx((math.log1p(math.exp(-2.0)) + math.log(2.0)) / 2.0, rel=1e-15)


async def test_class_weights_are_in_the_divisor(client: httpx.AsyncClient) -> None:
    request = batch("categorical_cross_entropy", [[0.5, 0.5], [0.25, 0.75]], [0, 1], class_weight=[1, 3])
    found = await answer(client, request)
    assert found["divisor"] == 4.0
    assert found["value"] == pytest.approx((math.log(2.0) - 3.0 * math.log(0.75)) / 4.0, rel=1e-15)


# --- what JSON cannot hold ---------------------------------------------------------------------------------------------


async def test_a_pole_is_null_and_named_and_spoils_no_other_sample(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("binary_cross_entropy", [0.5, 0.0, 0.25], [1, 1, 0]))
    alone = await answer(client, batch("binary_cross_entropy", [0.5, 0.25], [1, 0]), reduction="sum")
    assert found["value"] is None
    assert found["per_sample"] == [alone["per_sample"][0], None, alone["per_sample"][1]]
    assert found["gradient"] == [alone["gradient"][0] / 3.0, None, alone["gradient"][1] / 3.0]
    assert found["non_finite"] == [
        {"output": "value", "index": [], "value": "Infinity"},
        {"output": "per_sample", "index": [1], "value": "Infinity"},
        {"output": "gradient", "index": [1], "value": "-Infinity"},
    ]


async def test_a_weight_of_0_drops_a_pole(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("binary_cross_entropy", [0.5, 0.0], [1, 1]), sample_weight=[1, 0])
    assert found["value"] == math.log(2.0)
    assert found["per_sample"] == [math.log(2.0), 0.0]
    assert found["gradient"] == [-2.0, 0.0]
    assert "non_finite" not in found
    assert found["n_samples"] == 2


async def test_elements_have_masks_weights_and_losses_of_their_own(client: httpx.AsyncClient) -> None:
    request = batch("mae", [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]])
    found = await answer(client, request, sample_weight=[[1, 3], [2, 2]], outputs=["value", "per_sample", "per_element"])
    assert (found["value"], found["divisor"], found["n_samples"], found["n_elements"]) == (2.625, 8.0, 2, 4)
    assert (found["per_sample"], found["per_element"]) == ([1.75, 3.5], [[1.0, 2.0], [3.0, 4.0]])
    for mask in ([[True, False], [False, False]], [[1, 0], [0, 0]]):
        found = await answer(client, request, mask=mask, outputs=["value", "per_sample", "per_element"])
        assert (found["value"], found["n_samples"], found["n_elements"]) == (1.0, 1, 1)
        assert (found["per_sample"], found["per_element"]) == ([1.0, 0.0], [[1.0, 0.0], [0.0, 0.0]])


async def test_only_what_is_in_the_answer_is_named(client: httpx.AsyncClient) -> None:
    names = {"value": [], "per_sample": [0], "gradient": [0]}
    for name, index in names.items():
        found = await answer(client, batch("binary_cross_entropy", [0.0], [1]), outputs=[name])
        assert [(entry["output"], entry["index"]) for entry in found["non_finite"]] == [(name, index)]


async def test_an_overflow_is_null_and_named(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("mse", [[1e200, 0], [1, 1]], [[0, 0], [1, 1]]))
    assert (found["value"], found["per_sample"]) == (None, [None, 0.0])
    assert found["gradient"] == [[5e199, 0.0], [0.0, 0.0]]
    assert [entry["output"] for entry in found["non_finite"]] == ["value", "per_sample"]


async def test_a_mean_does_not_overflow_where_the_sum_does(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("mae", [1.5e308, 1.5e308], [0, 0]))
    assert found["value"] == 1.5e308
    assert "non_finite" not in found


async def test_a_hundred_non_finite_numbers_are_listed_and_the_rest_counted(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("binary_cross_entropy", [0.0] * 200, [1] * 200))
    assert found["per_sample"] == [None] * 200
    assert len(found["non_finite"]) == 100
    assert any("100 of 401" in warning for warning in found["warnings"])


async def test_non_finite_numbers_of_named_gradients_say_whose_they_are(client: httpx.AsyncClient) -> None:
    request = batch("gaussian_nll", {"mean": [1e300, 0.0], "variance": [1e-5, 1.0]}, [-1e300, 0.0])
    found = await answer(client, request)
    assert {entry["output"] for entry in found["non_finite"]} >= {"value", "per_sample", "gradient.variance"}
    assert found["gradient"]["mean"][1] == 0.0
    assert found["gradient"]["variance"] == [None, 0.25]


# --- every loss --------------------------------------------------------------------------------------------------------

each_loss = in_turn("loss", LOSSES.values(), ids=list(LOSSES))


async def example(client: httpx.AsyncClient, loss: Loss) -> dict[str, Any]:
    return (await client.get(f"/v1/losses/{loss.name}")).json()["example_request"]


@pytest.mark.no_cover  # others run these lines as well
@each_loss
async def test_every_alias_is_the_loss_with_the_parameters_it_sets(loss: Loss, client: httpx.AsyncClient) -> None:
    for alias in loss.aliases:
        request = drawn(loss, {**loss.defaults, **alias.parameters})
        wanted = await answer(client, request, loss={"name": loss.name, **alias.parameters})
        assert await answer(client, request, loss=alias.name) == wanted
        assert await answer(client, request, loss={"name": alias.name}) == wanted
        assert wanted["loss"] == {"name": loss.name, **loss.defaults, **alias.parameters}


def drawn(loss: Loss, parameters: dict[str, Any]) -> dict[str, Any]:
    """A batch for a loss with these parameters."""
    request: dict[str, Any] = {}
    rng = np.random.default_rng(3)
    for name, taken in loss.inputs.items():
        array = np.asarray(taken.decide(parameters, 1).draw(rng, Sizes(n=4)))
        if taken.side == "predictions" and array.ndim > 2 and parameters.get("class_axis") is not None:
            array = np.moveaxis(array, -1, parameters["class_axis"])
        numbers = array.tolist()
        if taken.named:
            request.setdefault(taken.side, {})[name] = numbers
        else:
            request[taken.side] = numbers
    return request


@each_loss
async def test_derivatives_are_shaped_and_named_as_the_predictions(loss: Loss, client: httpx.AsyncClient) -> None:
    request = await example(client, loss)
    found = await answer(client, request)
    assert len(found["per_sample"]) == 4
    assert found["n_samples"] == 4 or (loss.counts and found["per_sample"].count(0.0) == 4 - found["n_samples"])
    derivatives = [output.name for output in outputs_of(loss) if output.derivative]
    for name in derivatives:
        found = await answer(client, request, outputs=[name])
        assert shapes(found[name]) == shapes(request["predictions"])


def shapes(side: Any) -> Any:
    return {name: np.shape(array) for name, array in side.items()} if isinstance(side, dict) else np.shape(side)


@each_loss
async def test_whole_numbers_and_floats_are_the_same(loss: Loss, client: httpx.AsyncClient) -> None:
    request = await example(client, loss)
    as_floats = json.dumps(request)
    as_integers = as_floats.replace(".0,", ",").replace(".0]", "]").replace(".0}", "}")
    assert await answer(client, as_integers.encode()) == await answer(client, as_floats.encode())


# --- other things that are easily lost ---------------------------------------------------------------------------------


async def test_logits_that_look_like_probabilities_get_a_warning(client: httpx.AsyncClient) -> None:
    for request in (batch("BCEWithLogitsLoss", [0.25, 0.75], [0, 1]), batch("CrossEntropyLoss", [[0.2, 0.8]], [1])):
        (warning,) = (await answer(client, request))["warnings"]
        assert "predictions" in warning
        assert "from_logits" in warning
    for request in (batch("BCEWithLogitsLoss", [0.25, 1.75], [0, 1]), batch("CrossEntropyLoss", [[0.2, 0.9]], [1])):
        assert "warnings" not in await answer(client, request)


async def test_a_parameter_overrides_what_an_alias_sets(client: httpx.AsyncClient) -> None:
    found = await answer(client, batch("CrossEntropyLoss", [[0.25, 0.75]], [0], from_logits=False))
    assert found["value"] == math.log(4.0)
    assert found["loss"]["from_logits"] is False


async def test_aliases_mean_what_they_mean_at_home(client: httpx.AsyncClient) -> None:
    logits, labels = [0.3, -1.2, 2.0], [1, 0, 0]
    expected = np.mean([math.log1p(math.exp(-x if y else x)) for x, y in zip(logits, labels, strict=True)])
    for name in ("BCEWithLogitsLoss", "bce_with_logits"):
        found = await answer(client, batch(name, logits, labels))
        assert found["loss"]["name"] == "binary_cross_entropy"
        assert found["loss"]["from_logits"] is True
        assert found["value"] == pytest.approx(expected, rel=1e-14)


async def test_named_inputs(client: httpx.AsyncClient) -> None:
    request = batch("gaussian_nll", {"variance": [1.0, 4.0], "mean": [1.0, 2.0]}, [1.0, 4.0])
    found = await answer(client, request)
    assert found["per_sample"] == pytest.approx([0.0, 0.5 * (math.log(4.0) + 1.0)], rel=1e-15)
    assert found["gradient"] == {"mean": [0.0, -0.25], "variance": [0.25, 0.0]}
    assert found["targets_encoding"] == "real"


async def test_a_loss_without_targets_has_no_encoding_of_them(client: httpx.AsyncClient) -> None:
    sides = {"anchor": [[0.0, 0.0]], "positive": [[3.0, 4.0]], "negative": [[1.0, 0.0]]}
    found = await answer(client, batch("triplet_margin", sides))
    assert found["value"] == pytest.approx(5.0, rel=1e-5)
    assert "targets_encoding" not in found


async def test_a_large_batch_is_answered_to_the_last_digit(client: httpx.AsyncClient, remote: httpx.AsyncClient) -> None:
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(size=(2, 200_000)).round(6)
    residuals = predictions - targets
    body = _changed(batch("mse", predictions.tolist(), targets.tolist()), {})
    assert len(body) > 3_000_000
    for asked in (client, remote):
        found = await answer(asked, body)
        assert found["value"] == math.fsum(residuals**2) / 200_000
        assert found["per_sample"] == (residuals**2).tolist()
        assert found["gradient"] == (2 * residuals / 200_000).tolist()
        assert found["n_samples"] == 200_000


async def test_an_answer_has_every_digit(client: httpx.AsyncClient) -> None:
    numbers = [0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 123456789.123456789]
    found = await answer(client, batch("mae", numbers, [0] * 5), reduction="none")
    assert found["per_sample"] == numbers
