"""Losses that a request makes: over every wire that takes a loss, with what is wrong told where it stands."""

import io
import json
import time
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.examples import COMPOSED_EXAMPLES
from app.losses import COMPOSED
from app.losses.composed import DEEPEST, MOST_LOSSES

THREE = {"predictions": [2.5, 0.0, 8.0], "targets": [3.0, -0.5, 2.0]}


async def ask(client: httpx.AsyncClient, loss: Any, **more: Any) -> httpx.Response:
    return await client.post("/v1/evaluate", json={"loss": loss, **THREE, **more})


def terms(*losses: Any) -> Any:
    return {"name": "weighted_sum", "terms": [{"loss": loss} for loss in losses]}


def heads(**losses: Any) -> Any:
    return {"name": "multi_task", "heads": losses}


def nested(deep: int) -> Any:
    loss: Any = "mse"
    for _ in range(deep):
        loss = {"name": "asymmetric", "loss": loss}
    return loss


def test_there_is_an_example_of_each_way_to_make_a_loss() -> None:
    assert [*COMPOSED_EXAMPLES] == [*COMPOSED]


async def test_terms_are_answered_with_their_losses(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/evaluate", json=COMPOSED_EXAMPLES["weighted_sum"])).json()
    assert answer["loss"]["terms"][1] == {"loss": {"name": "mean_absolute_error"}, "weight": 0.3}
    assert answer["terms"] == [
        {"loss": {"name": "mean_squared_error"}, "weight": 0.7, "value": 12.166666666666666},
        {"loss": {"name": "mean_absolute_error"}, "weight": 0.3, "value": 2.3333333333333335},
    ]
    answer = (await client.post("/v1/evaluate", json=COMPOSED_EXAMPLES["multi_task"])).json()
    assert [term["head"] for term in answer["terms"]] == ["size", "kind"]
    assert answer["terms"][1]["log_variance_gradient"] == pytest.approx(-0.3178540355376168)
    assert answer["targets_encoding"] == {"size": "real", "kind": "class_index"}
    answer = (await ask(client, COMPOSED_EXAMPLES["weighted_sum"]["loss"], reduction="none")).json()
    assert [term["value"] for term in answer["terms"]] == [None, None]


async def test_what_is_told_in_words_stands_beside_numbers_as_words(client: httpx.AsyncClient) -> None:
    request = {"predictions": [0, 1], "targets": [0, 0], "non_finite_as": "string"}
    answer = (await client.post("/v1/evaluate", json={"loss": {"name": "expression", "value": "1/r"}, **request})).json()
    assert answer["per_sample"] == ["Infinity", 1.0]
    assert answer["expression"]["derivative"] == "-1/r**2"


async def test_an_expression_is_answered_with_what_is_known_of_it(client: httpx.AsyncClient) -> None:
    loss = {"name": "expression", "value": "abs(r)"}
    answer = (await ask(client, loss)).json()
    assert answer["expression"]["derivative"] == "sign(r)"
    assert answer["expression"]["not_differentiable"] == ["r = 0"]
    assert answer["expression"]["found"]["minimum"] == {"residual": 0.0, "value": 0.0}
    only = (await ask(client, loss, outputs=["expression"])).json()
    assert only["expression"] == answer["expression"]
    assert "value" not in only
    assert "expression" not in (await ask(client, loss, outputs=["value"])).json()


async def test_a_penalty_stands_beside_the_loss(client: httpx.AsyncClient) -> None:
    penalty = {"l1": 0.1, "l2": 0.01, "weights": {"w": [1, -2, 0], "deep": [[1.0], [0.0]]}}
    answer = (await ask(client, "mse", regularization=penalty)).json()
    assert answer["value"] == 12.166666666666666
    assert answer["regularization"]["value"] == pytest.approx(0.35 + 0.11)
    assert answer["regularization"]["gradient"] == {
        "w": pytest.approx([0.12, -0.14, 0.0]),
        "deep": [[pytest.approx(0.12)], [0.0]],
    }
    assert answer["objective"] == pytest.approx(12.166666666666666 + 0.46)
    assert (await ask(client, "mse", regularization=penalty, reduction="none")).json()["objective"] is None
    wrong = {"l1": -1, "weights": {"w": [1, None]}}
    problem = (await ask(client, "mse", regularization=wrong)).json()
    assert {fault["pointer"] for fault in problem["errors"]} == {"/regularization/l1", "/regularization/weights/w/1"}


async def test_a_name_within_another_loss_means_what_it_means_beside_these_arrays(client: httpx.AsyncClient) -> None:
    loss = {"name": "weighted_sum", "terms": [{"loss": "log_loss"}]}
    for arrays in ({"predictions": [0.2, 0.9], "targets": [0, 1]}, {"predictions": [[0.2, 0.8], [0.9, 0.1]], "targets": [1, 0]}):
        alone = (await client.post("/v1/evaluate", json={"loss": "log_loss", **arrays})).json()
        within = (await client.post("/v1/evaluate", json={"loss": loss, **arrays})).json()
        assert within["value"] == alone["value"]
        assert within["terms"][0]["loss"] == alone["loss"]


@pytest.mark.parametrize(
    ("loss", "pointer", "code"),
    [
        (terms("mse", {"name": "huber", "delta": -1}), "/terms/1/loss/delta", "out_of_range"),
        (terms({"name": "huber", "dleta": 1}), "/terms/0/loss/dleta", "unknown_parameter"),
        (terms("nope"), "/terms/0/loss", "unknown_loss"),
        (terms({"name": "nope"}), "/terms/0/loss/name", "unknown_loss"),
        (terms(5), "/terms/0/loss", "type"),
        (terms({"name": "expression", "value": "q"}), "/terms/0/loss/value", "invalid_expression"),
        (terms(), "/terms", "length"),
        (terms(*["mse"] * 21), "/terms", "length"),
        (terms(*[terms(*["mse"] * 20)] * 20), None, "limit"),
        ({"name": "weighted_sum", "terms": [{"los": "mse"}]}, "/terms/0/los", "unknown_field"),
        ("weighted_sum", "/terms", "missing"),
        (heads(a={"loss": {"name": "asymmetric", "loss": "bce"}}), "/heads/a/loss/loss", "does_not_fit"),
        (heads(a={"loss": "mse", "log_variance": 51}), "/heads/a/log_variance", "out_of_range"),
        (heads(a={"loss": "mse", "log_variance": 1, "weight": 1}), "/heads/a/log_variance", "unexpected"),
        (heads(), "/heads", "length"),
        ({"name": "expression", "value": "r", "parameters": {"c": 1}}, "/parameters/c", "unused_parameter"),
        ({"name": "expression", "value": "r*c", "parameters": {"c": "1"}}, "/parameters/c", "type"),
        ({"name": "expression", "value": 5}, "/value", "type"),
        ({"name": "expression", "value": "p+" * 500_000 + "p"}, "/value", "invalid_expression"),
        (nested(DEEPEST), "/loss" * DEEPEST, "limit"),
    ],
)
async def test_what_is_wrong_is_told_where_it_stands(
    client: httpx.AsyncClient, loss: Any, pointer: str | None, code: str
) -> None:
    response = await ask(client, loss)
    assert response.status_code == 422, response.text
    fault = response.json()["errors"][0]
    assert fault["code"] == code
    assert pointer is None or fault["pointer"] == f"/loss{pointer}"


LISTED = {"name": "quantile", "quantile": [0.1, 0.2]}
"""A number for each of two columns, of which data of one column has none."""
HEADS = {"a": {"loss": "mse"}, "b": {"loss": "CrossEntropyLoss"}}
OF_HEADS = {"a": [1.0, 2.0], "b": [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]}


@pytest.mark.parametrize(
    ("loss", "arrays", "faults"),
    [
        (
            {"name": "weighted_sum", "terms": [{"loss": "hubber"}, {"loss": {"name": "msee"}}, {"loss": 5}]},
            {},
            {
                "/loss/terms/0/loss": "Did you mean huber?",
                "/loss/terms/1/loss/name": "no loss named 'msee'",
                "/loss/terms/2/loss": "loss.terms[2].loss must be a name",
            },
        ),
        (
            {"name": "weighted_sum", "terms": [{"loss": {"name": "expression", "value": text}} for text in ("r**", "q")]},
            {},
            {"/loss/terms/0/loss/value": "at the end", "/loss/terms/1/loss/value": "is not known"},
        ),
        (
            {"name": "weighted_sum", "terms": ["mse", {"loss": "huber", "delta": 1}]},
            {},
            {"/loss/terms/0": '{"loss": "mse"}'},
        ),
        (
            {"name": "weighted_sum", "terms": [{"loss": "huber", "delta": 1}]},
            {},
            {"/loss/terms/0/delta": '{"loss": {"name": "huber", "delta": 1}}'},
        ),
        (
            {"name": "asymmetric", "loss": "huber", "delta": 1},
            {},
            {"/loss/delta": 'delta is a parameter of huber: {"loss": {"name": "huber", "delta": 1}}'},
        ),
        ({"name": "multi_task", "heads": [{"loss": "mse"}]}, {}, {"/loss/heads": "must be an object"}),
        ({"name": "multi_task", "heads": {"a": "mse"}}, {}, {"/loss/heads/a": '{"loss": "mse"}'}),
        (
            {"name": "weighted_sum", "losses": [{"loss": "mse"}]},
            {},
            {"/loss/terms": "missing", "/loss/losses": "did you mean terms?"},
        ),
        (
            {"name": "weighted_sum", "terms": [{"loss": "mse"}, {"loss": "bce"}]},
            {"predictions": [300, 0.5, 1], "targets": [0, 1, 1]},
            {"/predictions/0": "must be in [0, 1] (set from_logits to true if these are logits); got 300 (for binary_cross_"},
        ),
        (
            {"name": "weighted_sum", "terms": [{"loss": "mse"}, {"loss": "mae"}]},
            {"targets": [1, 2]},
            {"/targets": "targets has shape (2,), which does not agree with predictions (3,): 3 samples there, 2 here"},
        ),
        (
            {
                "name": "weighted_sum",
                "terms": [{"loss": "mse"}, {"loss": LISTED}, {"loss": {"name": "asymmetric", "loss": LISTED}}],
            },
            {},
            {"/loss/terms/1/loss/quantile": "no axis", "/loss/terms/2/loss/loss/quantile": "no axis"},
        ),
        (
            {"name": "multi_task", "heads": HEADS},
            {"predictions": OF_HEADS, "targets": {"a": [0, 1, 1], "b": [0, 7]}},
            {
                "/targets/a": "targets.a has shape (3,), which does not agree with predictions.a (2,)",
                "/targets/b/1": "targets.b[1] must be a class index from 0 to 2; got 7",
            },
        ),
        (
            {"name": "multi_task", "heads": HEADS},
            {
                "predictions": OF_HEADS,
                "targets": {"a": [0, 1], "b": [0, 1]},
                "mask": {"b": [0, 0]},
                "sample_weight": {"a": [1, -1]},
            },
            {"/sample_weight/a/1": "sample_weight.a[1] must be finite", "/mask/b": "mask.b drops every sample"},
        ),
        (
            {"name": "multi_task", "heads": {"a": {"loss": "gaussian_nll"}}},
            {"predictions": {"a": {"mean": [1, 2]}}, "targets": {"a": [1, 2]}},
            {"/predictions/a": "predictions.a.variance is missing"},
        ),
        (
            {
                "name": "multi_task",
                "heads": {"a": {"loss": {"name": "weighted_sum", "terms": [{"loss": "mse"}, {"loss": "bce"}]}}},
            },
            {"predictions": {"a": [3, 0.5]}, "targets": {"a": [1, 0]}},
            {"/predictions/a/0": "predictions.a[0] must be in [0, 1]"},
        ),
    ],
)
async def test_all_that_is_wrong_with_the_parts_of_a_loss_is_told_where_the_caller_has_it(
    client: httpx.AsyncClient, loss: Any, arrays: dict[str, Any], faults: dict[str, str]
) -> None:
    response = await client.post("/v1/evaluate", json={"loss": loss, **THREE, **arrays})
    assert response.status_code == 422, response.text
    told = {fault["pointer"]: fault["message"] for fault in response.json()["errors"]}
    assert told.keys() == faults.keys(), told
    for pointer, words in faults.items():
        assert words in told[pointer], told


async def test_warnings_say_of_which_part_they_are(client: httpx.AsyncClient) -> None:
    terms = [{"loss": "BCEWithLogitsLoss"}, {"loss": "mae"}]
    arrays = {"predictions": [0.2, 0.8], "targets": [0, 1]}
    summed = await client.post("/v1/evaluate", json={"loss": {"name": "weighted_sum", "terms": terms}, **arrays})
    assert [warning.partition("false?")[2] for warning in summed.json()["warnings"]] == [" (for binary_cross_entropy)"]
    heads = {"name": "multi_task", "heads": {"yes": terms[0], "size": {"loss": "mape"}}}
    by_head = {side: dict.fromkeys(("yes", "size"), array) for side, array in arrays.items()}
    answer = (await client.post("/v1/evaluate", json={"loss": heads, **by_head})).json()
    assert [warning.partition(" ")[0] for warning in answer["warnings"]] == ["predictions.yes", "targets.size[0]"]


async def test_losses_may_stand_within_each_other_so_far_and_so_many(client: httpx.AsyncClient) -> None:
    assert (await ask(client, nested(DEEPEST - 1))).status_code == 200
    inner = {"name": "weighted_sum", "terms": [{"loss": "mse"}] * 19}
    many = {"name": "weighted_sum", "terms": [{"loss": inner}] * 5}
    assert MOST_LOSSES == 5 * 20
    answer = await ask(client, many)
    assert answer.json()["value"] == pytest.approx(95 * 12.166666666666666)


async def test_the_inference_protocol_takes_the_same_names(client: httpx.AsyncClient) -> None:
    for name, request in COMPOSED_EXAMPLES.items():
        wanted = (await client.post("/v1/evaluate", json=request)).json()
        parameters = {
            key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in request["loss"].items()
        }
        del parameters["name"]
        inputs = []
        for side in ("predictions", "targets"):
            arrays = request[side] if isinstance(request[side], dict) else {"": request[side]}
            for head, array in arrays.items():
                shape = [len(array), len(array[0])] if isinstance(array[0], list) else [len(array)]
                inputs.append({"name": f"{side}.{head}".rstrip("."), "datatype": "FP64", "shape": shape, "data": array})
        response = await client.post(f"/v2/models/{name}/infer", json={"parameters": parameters, "inputs": inputs})
        assert response.status_code == 200, response.text
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        assert outputs["value"] == [wanted["value"]]
        assert outputs["per_sample"] == wanted["per_sample"]
        assert (await client.get(f"/v2/models/{name}")).json()["name"] == name
        assert {output.partition(".")[0] for output in outputs} >= {"value", "per_sample", "gradient"}
    assert outputs["gradient.size"] == [2.0, -1.0]
    assert outputs["terms"] == [term["value"] for term in wanted["terms"]]


async def test_a_network_trains_on_them_as_on_the_loss_of_the_same_formula(client: httpx.AsyncClient) -> None:
    async def final(loss: Any, **more: Any) -> Any:
        request = {"data": "regression", "loss": loss, "epochs": 3, **more}
        response = await client.post("/v1/train", json=request)
        assert response.status_code == 200, response.text
        answer = response.json()
        return answer["final"]["training_loss"], answer["final"]["validation_loss"]

    assert await final({"name": "expression", "value": "r**2"}) == await final("mse")
    two = {"name": "weighted_sum", "terms": [{"loss": "mse", "weight": 0.5}, {"loss": "mae", "weight": 0.25}]}
    assert await final(two) == pytest.approx(await final({"name": "expression", "value": "0.5*r**2 + 0.25*abs(r)"}), rel=1e-9)
    assert await final({"name": "asymmetric", "loss": "mse", "over": 2}) == pytest.approx(
        await final({"name": "expression", "value": "where(r > 0, 2*r**2, r**2)"}), rel=1e-9
    )
    held = {"inputs": [[0.5] * 10] * 3, "targets": [1.0, 2.0, 3.0]}
    data = {
        "inputs": [[float(row % 7), float(row % 5)] for row in range(30)],
        "targets": [float(row % 3) for row in range(30)],
    }
    held = {"inputs": [[1.0, 2.0], [3.0, 1.0]], "targets": [1.0, 2.0]}
    assert await final(two, data=data, validation=held) == pytest.approx(
        await final({"name": "expression", "value": "0.5*r**2 + 0.25*abs(r)"}, data=data, validation=held), rel=1e-9
    )
    compared = await client.post("/v1/train/compare", json={"data": "regression", "epochs": 2, "losses": ["mse", two]})
    assert compared.status_code == 200, compared.text


@pytest.mark.parametrize(
    ("loss", "pointer", "code"),
    [
        ({"name": "weighted_sum", "terms": [{"loss": "mae"}, {"loss": "rmse"}]}, "/loss/terms/1/loss", "not_trainable"),
        ({"name": "multi_task", "heads": {"a": {"loss": "mse"}}}, "/loss", "missing"),
        ({"name": "expression", "value": "r**"}, "/loss/value", "invalid_expression"),
        ({"name": "expression", "value": "sign(r)"}, "/loss", "not_trainable"),
        ({"name": "weighted_sum", "terms": [{"loss": "mae"}, {"loss": "triplet_margin"}]}, "/loss/terms/1/loss", "not_trainable"),
        ({"name": "weighted_sum", "terms": [{"loss": "mae"}, {"loss": LISTED}]}, "/loss/terms/1/loss/quantile", "length"),
        ({"name": "asymmetric", "loss": LISTED}, "/loss/loss/quantile", "length"),
    ],
)
async def test_what_no_network_trains_on_is_told(client: httpx.AsyncClient, loss: Any, pointer: str, code: str) -> None:
    response = await client.post("/v1/train", json={"data": "regression", "loss": loss, "epochs": 1})
    assert response.status_code == 422
    assert (response.json()["errors"][0]["pointer"], response.json()["errors"][0]["code"]) == (pointer, code)


async def test_an_attack_is_answered_in_milliseconds(client: httpx.AsyncClient) -> None:
    await ask(client, "mse")
    for text in (
        "__import__('os').system('id')",
        "(" * 1999,
        "-" * 1999 + "p",
        "p**9**9**9**9",
        "p+" * 500_000,
        "abs(" * 400,
        "p\0",
    ):
        started = time.process_time()
        response = await ask(client, {"name": "expression", "value": text})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/loss/value"
        assert text[:12] not in response.text
        assert time.process_time() - started < 0.25, text[:20]


async def test_a_file_is_evaluated_by_a_loss_of_the_address(client: httpx.AsyncClient) -> None:
    rows = "p,y\n2.5,3\n0,-0.5\n8,2\n"
    for given, loss in (
        ({"loss": "expression", "value": "c*r**2", "c": "2.5"}, {"value": "c*r**2", "parameters": {"c": 2.5}}),
        ({"loss": "expression", "value": "c*r", "parameters": '{"c": 2}'}, {"value": "c*r", "parameters": {"c": 2}}),
        ({"loss": "weighted_sum", "terms": '[{"loss": "mse", "weight": 0.7}]'}, {"terms": [{"loss": "mse", "weight": 0.7}]}),
        ({"loss": '{"name": "asymmetric", "loss": "mse", "over": 2}'}, {"name": "asymmetric", "loss": "mse", "over": 2}),
    ):
        query = {**given, "predictions": "p", "targets": "y"}
        answer = await client.post("/v1/evaluate", params=query, content=rows, headers={"content-type": "text/csv"})
        wanted = (await ask(client, {"name": given["loss"], **loss})).json()
        assert answer.json() == wanted, answer.text
        arrays = io.BytesIO()
        np.savez(arrays, p=THREE["predictions"], y=THREE["targets"])
        headers = {"content-type": "application/x-npz"}
        assert (await client.post("/v1/evaluate", params=query, content=arrays.getvalue(), headers=headers)).json() == wanted
        headers = {"content-type": "text/csv", "accept": "text/csv"}
        table = (await client.post("/v1/evaluate", params=query, content=rows, headers=headers)).text
        assert table.splitlines()[0] == "p,y,loss,gradient"
        assert [float(row.split(",")[2]) for row in table.splitlines()[1:]] == wanted["per_sample"]


async def test_a_name_in_the_address_means_what_it_means_beside_the_columns(client: httpx.AsyncClient) -> None:
    query = {"loss": "weighted_sum", "terms": '[{"loss": "log_loss"}]', "predictions": "a,b", "targets": "y"}
    content, headers = "a,b,y\n0.2,0.8,1\n0.9,0.1,0\n", {"content-type": "text/csv"}
    answer = (await client.post("/v1/evaluate", params=query, content=content, headers=headers)).json()
    assert answer["terms"][0]["loss"]["name"] == "categorical_cross_entropy"


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ({"loss": "expression", "value": "c*r", "c": "x"}, "/c", "type"),
        ({"loss": "expression", "value": "r", "prediction": "p"}, "/prediction", "type"),
        ({"loss": "expression", "value": "r", "d": "5"}, "/d", "unused_parameter"),
        ({"loss": "expression", "value": "r**"}, "/value", "invalid_expression"),
        ({"loss": '{"name": "expression", "value": "r**"}'}, "/loss/value", "invalid_expression"),
        ({"loss": "quantile", "quantile": "0.1,0.2"}, "/quantile", "length"),
        ({"loss": "expression"}, "/loss/value", "missing"),
        ({"loss": "weighted_sum", "terms": '[{"loss": "nope"}]'}, "/terms/0/loss", "unknown_loss"),
        ({"loss": "weighted_sum", "terms": "[1"}, "/terms", "type"),
        ({"loss": "weighted_sum", "term": "[]"}, "/term", "unknown_parameter"),
    ],
)
async def test_what_is_wrong_with_a_loss_of_the_address_is_told(
    client: httpx.AsyncClient, query: dict[str, str], pointer: str, code: str
) -> None:
    sent = {"predictions": "p", "targets": "y", **query}
    response = await client.post("/v1/evaluate", params=sent, content="p,y\n1,2\n", headers={"content-type": "text/csv"})
    assert response.status_code == 422, response.text
    assert [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]] == [(pointer, code)], response.text
