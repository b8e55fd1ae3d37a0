"""Weights of classes in words, in every call: by the names of classes, or balanced."""

from typing import Any

import httpx
import pytest

from tests.api.problem import problem_of
from tests.api.test_tables import CSV

pytestmark = pytest.mark.anyio

SCORES, LABELS = [[1, 2], [2, 1], [0, 1]], [0, 1, 1]
SPOKEN: list[tuple[Any, list[float]]] = [("balanced", [1.5, 0.75]), ({"1": 2}, [1, 2])]


def ce(weight: object) -> dict[str, Any]:
    return {"name": "categorical_cross_entropy", "from_logits": True, "class_weight": weight}


@pytest.mark.parametrize(("spoken", "numbers"), SPOKEN)
async def test_words_are_numbers_in_every_body(spoken: Any, numbers: list[float], client: httpx.AsyncClient) -> None:
    def values(weight: Any) -> dict[str, Any]:
        return {"loss": ce(weight), "predictions": SCORES, "targets": LABELS}

    expected = (await client.post("/v1/evaluate", json=values(numbers))).json()
    found = (await client.post("/v1/evaluate", json=values(spoken))).json()
    assert found.pop("loss")["class_weight"] == spoken
    assert found == {name: expected[name] for name in found}
    tensors = [
        {"name": "predictions", "datatype": "FP64", "shape": [3, 2], "data": SCORES},
        {"name": "targets", "datatype": "INT64", "shape": [3], "data": LABELS},
    ]
    parameters = {"from_logits": True, "class_weight": spoken}
    inferred = (await client.post("/v2/models/cce/infer", json={"inputs": tensors, "parameters": parameters})).json()
    assert inferred["outputs"][0]["data"] == [expected["value"]]
    query = {"loss": "cce", "from_logits": "true", "predictions": "a,b", "targets": "y"}
    word = spoken if isinstance(spoken, str) else '{"1": 2}'
    rows = "a,b,y\n1,2,0\n2,1,1\n0,1,1\n"
    read = await client.post("/v1/evaluate", params={**query, "class_weight": word}, content=rows, headers=CSV)
    assert read.json()["value"] == expected["value"]


@pytest.mark.parametrize(
    ("weight", "pointer", "words"),
    [
        ("balance", "/loss/class_weight", "must be a list of numbers, an object by name, or 'balanced'; got \"balance\""),
        (True, "/loss/class_weight", "must be a list of numbers, an object by name, or 'balanced'; got true"),
        ([1, -1], "/loss/class_weight/1", "greater than or equal to 0; got -1"),
        ({"0": -1}, "/loss/class_weight/0", "greater than or equal to 0; got -1"),
        ({"2": 1}, "/loss/class_weight/2", "There is no class named '2'. There are 0, 1."),
    ],
)
async def test_what_is_no_weight_has_one_fault(weight: Any, pointer: str, words: str, client: httpx.AsyncClient) -> None:
    request = {"loss": ce(weight), "predictions": SCORES, "targets": LABELS}
    (fault,) = problem_of(await client.post("/v1/evaluate", json=request))["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["message"]


ROWS = {"inputs": [[x] for x in range(10)], "targets": ["a"] * 5 + ["b", "c", "b", "b", "b"], "classes": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("spoken", "numbers"), [("balanced", [7 / (3 * 5), 7 / 3, 7 / 3]), ({"c": 4}, [1, 1, 4])], ids=["balanced", "by name"]
)
async def test_a_run_balances_by_the_rows_that_it_is_trained_on(
    spoken: Any, numbers: list[float], client: httpx.AsyncClient
) -> None:
    base = {"data": ROWS, "validation": {"last": 3}, "epochs": 3, "outputs": ["parameters"]}
    found, expected = [(await client.post("/v1/train", json={**base, "loss": ce(weight)})).json() for weight in (spoken, numbers)]
    assert found["parameters"] == expected["parameters"]
    assert found["final"]["validation_loss"] == expected["final"]["validation_loss"]
