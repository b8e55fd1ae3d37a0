"""Labels in whatever encoding they come: one answer, and the name of what they were taken for."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

SCORES = [[2.0, 1.0, 0.5], [0.5, 2.5, 1.0], [-1.0, 0.0, 3.0]]
ROWS = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.2, 0.7]]
LOG_ROWS = [[-0.7, -1.4, -1.4], [-1.4, -0.7, -1.4], [-2.3, -1.6, -0.35]]
INDICES = [0, 1, 1]
ONE_HOT = [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
NAMES = ["cat", "dog", "dog"]
CLASSES = ["cat", "dog", "bird"]

NUMBERS = {"value", "per_sample", "gradient"}


async def answer(client: httpx.AsyncClient, loss: str, predictions: object, targets: object, **more: object) -> dict[str, Any]:
    request = {"loss": loss, "predictions": predictions, "targets": targets, **more}
    response = await client.post("/v1/evaluate", json=request)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    "loss",
    ["hinge", "squared_hinge", "logistic", "modified_huber", "perceptron", "exponential", "hinge_embedding", "BCEWithLogitsLoss",
     "sigmoid_focal"],
)  # fmt: skip
async def test_two_classes_may_be_bits_signs_or_names(loss: str, client: httpx.AsyncClient) -> None:
    predictions = [0.5, -2.0, 1.5, 3.0]
    forms: dict[str, dict[str, Any]] = {
        "binary": await answer(client, loss, predictions, [1, 0, 0, 1]),
        "sign": await answer(client, loss, predictions, [1, -1, -1, 1]),
        "class_names": await answer(client, loss, predictions, ["yes", "no", "no", "yes"], classes=["no", "yes"]),
    }
    for encoding, found in forms.items():
        assert found["targets_encoding"] == encoding
        assert all(found[each] == forms["binary"][each] for each in NUMBERS)


async def test_a_single_sign_and_a_single_bit_are_told_apart(client: httpx.AsyncClient) -> None:
    for labels, encoding in (([1], "sign"), ([0], "binary"), ([-1], "sign")):
        found = await answer(client, "hinge", [0.5], labels)
        assert (found["targets_encoding"], found["value"]) == (encoding, 0.5 if labels == [1] else 1.5)


async def test_a_soft_label_is_a_probability(client: httpx.AsyncClient) -> None:
    found = await answer(client, "binary_cross_entropy", [0.5, 0.25], [0.5, 1])
    assert found["targets_encoding"] == "probability"
    assert found["gradient"][0] == 0.0


@pytest.mark.parametrize(
    ("loss", "predictions"),
    [
        ("CrossEntropyLoss", SCORES),
        ("categorical_cross_entropy", ROWS),
        ("nll", LOG_ROWS),
        ("multi_margin", SCORES),
        ("categorical_hinge", SCORES),
        ("crammer_singer_hinge", SCORES),
        ("categorical_focal", ROWS),
        ("generalized_cross_entropy", ROWS),
        ("brier_score", ROWS),
        ("zero_one", SCORES),
    ],
)
async def test_a_class_may_be_an_index_a_one_hot_row_or_a_name(
    loss: str, predictions: list[list[float]], client: httpx.AsyncClient
) -> None:
    by_index = await answer(client, loss, predictions, INDICES)
    one_hot = await answer(client, loss, predictions, ONE_HOT)
    named = await answer(client, loss, predictions, NAMES, classes=CLASSES)
    encodings = [each["targets_encoding"] for each in (by_index, one_hot, named)]
    assert encodings == ["class_index", "one_hot", "class_names"]
    for found in (one_hot, named):
        assert all(found[each] == by_index[each] for each in NUMBERS)


async def test_a_class_may_be_a_distribution_where_the_loss_takes_one(client: httpx.AsyncClient) -> None:
    soft = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
    for loss, predictions in (("CrossEntropyLoss", SCORES), ("categorical_cross_entropy", ROWS), ("brier_score", ROWS)):
        found = await answer(client, loss, predictions, soft)
        assert found["targets_encoding"] == "distribution"
    mixed = await answer(client, "categorical_cross_entropy", ROWS, soft)
    hard = [await answer(client, "categorical_cross_entropy", ROWS, [label] * 3) for label in range(3)]
    for row, shares in enumerate(soft):
        expected = sum(share * each["per_sample"][row] for share, each in zip(shares, hard, strict=True))
        assert mixed["per_sample"][row] == pytest.approx(expected, rel=1e-14)


async def test_classes_may_stand_beside_numbers(client: httpx.AsyncClient) -> None:
    assert await answer(client, "CrossEntropyLoss", SCORES, INDICES, classes=CLASSES) == await answer(
        client, "CrossEntropyLoss", SCORES, INDICES
    )


async def test_the_order_of_classes_decides(client: httpx.AsyncClient) -> None:
    found = await answer(client, "multi_margin", SCORES, NAMES, classes=["dog", "cat", "bird"])
    wanted = await answer(client, "multi_margin", SCORES, [1, 0, 0])
    assert all(found[each] == wanted[each] for each in NUMBERS)


async def test_labels_in_rows_are_multi_hot(client: httpx.AsyncClient) -> None:
    found = await answer(client, "multilabel_soft_margin", SCORES, [[1, 0, 1], [0, 0, 0], [1, 1, 1]])
    assert found["targets_encoding"] == "multi_hot"


async def test_lists_of_labels_are_the_same_as_multi_hot_rows(client: httpx.AsyncClient) -> None:
    listed = await answer(client, "multilabel_margin", SCORES, [[0, 2], [1, -1], [-1, 2]])
    loss = {"name": "multilabel_margin", "target_format": "multi_hot"}
    request = {"loss": loss, "predictions": SCORES, "targets": [[1, 0, 1], [0, 1, 0], [0, 0, 0]]}
    hot = (await client.post("/v1/evaluate", json=request)).json()
    assert (listed["targets_encoding"], hot["targets_encoding"]) == ("index_list", "multi_hot")
    assert all(listed[each] == hot[each] for each in NUMBERS)


async def test_groups_may_be_any_whole_numbers_or_names(client: httpx.AsyncClient) -> None:
    rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]]
    numbered = await answer(client, "circle", rows, [-7, -7, 12, 12])
    named = await answer(client, "circle", rows, ["a", "a", "b", "b"], classes=["a", "b"])
    assert (numbered["targets_encoding"], named["targets_encoding"]) == ("group", "class_names")
    assert all(numbered[each] == named[each] for each in NUMBERS)


@pytest.mark.parametrize(
    ("loss", "encoding"), [("mse", "real"), ("poisson_deviance", "non_negative"), ("gamma_deviance", "positive")]
)
async def test_numbers_are_named_too(loss: str, encoding: str, client: httpx.AsyncClient) -> None:
    assert (await answer(client, loss, [1.0, 2.0], [1.5, 0.5]))["targets_encoding"] == encoding
