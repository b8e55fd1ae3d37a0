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
    [
        "hinge",
        "squared_hinge",
        "logistic",
        "modified_huber",
        "perceptron",
        "exponential",
        "hinge_embedding",
        "BCEWithLogitsLoss",
        "sigmoid_focal",
    ],
)
async def test_two_classes_may_be_bits_signs_or_names(loss: str, client: httpx.AsyncClient) -> None:
    predictions = [0.5, -2.0, 1.5, 3.0]
    forms: dict[str, dict[str, Any]] = {
        "binary": await answer(client, loss, predictions, [1, 0, 0, 1]),
        "sign": await answer(client, loss, predictions, [1, -1, -1, 1]),
        "class_names": await answer(client, loss, predictions, ["yes", "no", "no", "yes"], classes=["no", "yes"]),
    }
    for encoding, found in forms.items():
        assert found["targets_encoding"] == encoding
        assert all(found[output] == forms["binary"][output] for output in NUMBERS)


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
    encodings = [answered["targets_encoding"] for answered in (by_index, one_hot, named)]
    assert encodings == ["class_index", "one_hot", "class_names"]
    for found in (one_hot, named):
        assert all(found[output] == by_index[output] for output in NUMBERS)


async def test_a_class_may_be_a_distribution_where_the_loss_takes_one(client: httpx.AsyncClient) -> None:
    soft = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
    for loss, predictions in (("CrossEntropyLoss", SCORES), ("categorical_cross_entropy", ROWS), ("brier_score", ROWS)):
        found = await answer(client, loss, predictions, soft)
        assert found["targets_encoding"] == "distribution"
    mixed = await answer(client, "categorical_cross_entropy", ROWS, soft)
    hard = [await answer(client, "categorical_cross_entropy", ROWS, [label] * 3) for label in range(3)]
    for row, shares in enumerate(soft):
        expected = sum(share * other["per_sample"][row] for share, other in zip(shares, hard, strict=True))
        assert mixed["per_sample"][row] == pytest.approx(expected, rel=1e-14)


async def test_classes_may_stand_beside_numbers(client: httpx.AsyncClient) -> None:
    assert await answer(client, "CrossEntropyLoss", SCORES, INDICES, classes=CLASSES) == await answer(
        client, "CrossEntropyLoss", SCORES, INDICES
    )


async def test_the_order_of_classes_decides(client: httpx.AsyncClient) -> None:
    found = await answer(client, "multi_margin", SCORES, NAMES, classes=["dog", "cat", "bird"])
    wanted = await answer(client, "multi_margin", SCORES, [1, 0, 0])
    assert all(found[output] == wanted[output] for output in NUMBERS)


async def test_labels_in_rows_are_multi_hot(client: httpx.AsyncClient) -> None:
    found = await answer(client, "multilabel_soft_margin", SCORES, [[1, 0, 1], [0, 0, 0], [1, 1, 1]])
    assert found["targets_encoding"] == "multi_hot"


async def test_lists_of_labels_are_the_same_as_multi_hot_rows(client: httpx.AsyncClient) -> None:
    listed = await answer(client, "multilabel_margin", SCORES, [[0, 2], [1, -1], [-1, 2]])
    loss = {"name": "multilabel_margin", "target_format": "multi_hot"}
    request = {"loss": loss, "predictions": SCORES, "targets": [[1, 0, 1], [0, 1, 0], [0, 0, 0]]}
    hot = (await client.post("/v1/evaluate", json=request)).json()
    assert (listed["targets_encoding"], hot["targets_encoding"]) == ("index_list", "multi_hot")
    assert all(listed[output] == hot[output] for output in NUMBERS)


async def test_groups_may_be_any_whole_numbers_or_names(client: httpx.AsyncClient) -> None:
    rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]]
    numbered = await answer(client, "circle", rows, [-7, -7, 12, 12])
    named = await answer(client, "circle", rows, ["a", "a", "b", "b"], classes=["a", "b"])
    assert (numbered["targets_encoding"], named["targets_encoding"]) == ("group", "class_names")
    assert all(numbered[output] == named[output] for output in NUMBERS)


FAR = 2**53


@pytest.mark.parametrize("loss", ["hamming_loss", "zero_one"])
@pytest.mark.parametrize("far", [FAR, 2**63 - 3, 2**64 - 3, -FAR - 2])
async def test_labels_keep_their_digits(loss: str, far: int, client: httpx.AsyncClient) -> None:
    found = await answer(client, loss, [far, far + 1, 5], [far + 1, far + 1, 5])
    assert found["per_sample"] == [1.0, 0.0, 0.0]


async def test_groups_keep_their_digits(client: httpx.AsyncClient) -> None:
    rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]]
    near, far = [await answer(client, "circle", rows, [n, n, n + 1, n + 1]) for n in (0, FAR)]
    assert all(far[output] == near[output] for output in NUMBERS)


async def test_an_ignored_label_keeps_its_digits(client: httpx.AsyncClient) -> None:
    loss = {"name": "hamming_loss", "ignore_index": FAR + 1}
    found = (
        await client.post("/v1/evaluate", json={"loss": loss, "predictions": [FAR] * 3, "targets": [FAR, FAR + 1, FAR]})
    ).json()
    assert (found["n_samples"], found["value"]) == (2, 0.0)


@pytest.mark.parametrize(
    ("loss", "predictions", "targets", "pointer", "number"),
    [
        ("zero_one", "[9007199254740993.0, 5]", "[9007199254740992, 5]", "/predictions/0", "9007199254740992"),
        ("zero_one", "[9007199254740993, 5.0]", "[9007199254740992, 5]", "/predictions/0", "9007199254740992"),
        ("zero_one", "[1, 5]", "[-1, 18446744073709551615]", "/targets/1", "1.8446744073709552e+19"),
        ("zero_one", "[1, 5]", "[1, 18446744073709551616]", "/targets/1", "1.8446744073709552e+19"),
        ("hamming_loss", "[1, 5]", "[9007199254740993, 5e0]", "/targets/0", "9007199254740992"),
        ("circle", "[[1, 2], [5, 6]]", "[1, 1e16]", "/targets/1", "1e+16"),
        ("CrossEntropyLoss", "[[1, 2], [5, 6]]", "[1, 9007199254740993]", "/targets/1", "9007199254740993"),
        ("multilabel_margin", "[[1, 2], [5, 6]]", "[[1], [9007199254740993]]", "/targets/1/0", "9007199254740993"),
    ],
)
async def test_labels_that_cannot_be_told_apart_are_refused(
    loss: str, predictions: str, targets: str, pointer: str, number: str, client: httpx.AsyncClient
) -> None:
    body = f'{{"loss": "{loss}", "predictions": {predictions}, "targets": {targets}}}'
    response = await client.post("/v1/evaluate", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    (fault,) = response.json()["errors"]
    assert (fault["pointer"], fault["code"]) == (pointer, "label")
    assert fault["message"].endswith(f"; got {number}")


async def test_integers_among_real_numbers_are_the_nearest_of_these(client: httpx.AsyncClient) -> None:
    for number in (FAR + 1, FAR + 3, 2**63 + 2**11 + 1):
        whole = await answer(client, "poisson_deviance", [3, 1], [number, 2])
        assert whole == await answer(client, "poisson_deviance", [3.0, 1.0], [float(number), 2.0])


@pytest.mark.parametrize(
    ("loss", "encoding"), [("mse", "real"), ("poisson_deviance", "non_negative"), ("gamma_deviance", "positive")]
)
async def test_numbers_are_named_too(loss: str, encoding: str, client: httpx.AsyncClient) -> None:
    assert (await answer(client, loss, [1.0, 2.0], [1.5, 0.5]))["targets_encoding"] == encoding
