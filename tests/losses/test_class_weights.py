"""Weights of classes said in words: by the names of classes, or so that all classes count alike."""

from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from app.errors import InvalidParameter
from app.losses import LOSSES, check, evaluate
from app.losses.parameters import PER_CLASS, meaning

WEIGHED = [
    loss.name
    for loss in LOSSES.values()
    if "class_weight" in loss.parameters and meaning(loss.parameters["class_weight"]) is PER_CLASS
]
LABELS = np.array([0, 2, 2, 2, 0, 2])
SHARES = np.full((6, 3), 0.25) + np.eye(3)[LABELS] * 0.25
BALANCED = [loss for loss in WEIGHED if "balanced" in str(LOSSES[loss].parameters["class_weight"].annotation)]


def answers(loss: str, weight: object, targets: object = LABELS, **more: object) -> list[list[float]]:
    declared = LOSSES[loss]
    predictions = declared.inputs["predictions"].decide(declared.defaults, 2)
    from_logits = {"from_logits": True} if "from_logits" in declared.parameters else {}
    of_cosines = predictions.domain.span.low == -1.0
    rows = SHARES if (predictions.of_shares or of_cosines) and not from_logits else np.log(SHARES)
    found = evaluate(check(declared, {"class_weight": weight, **from_logits}, rows, targets, **more))  # pyright: ignore[reportArgumentType]
    outputs: list[Any] = [*found.outputs.values()]
    return [np.ravel(output).tolist() for output in outputs]


def test_most_losses_of_classes_are_here() -> None:
    assert {"categorical_cross_entropy", "multi_margin", "brier_score", "categorical_focal"} <= {*BALANCED}
    assert {*WEIGHED} - {*BALANCED} == {"multilabel_soft_margin"}


@pytest.mark.parametrize("loss", BALANCED)
def test_balanced_is_scikit_learns(loss: str) -> None:
    present = compute_class_weight("balanced", classes=np.array([0, 2]), y=LABELS)
    weights = [present[0], 1.0, present[1]]
    assert answers(loss, "balanced") == answers(loss, weights)
    masked = LABELS != 0
    masked[0] = True
    present = compute_class_weight("balanced", classes=np.array([0, 2]), y=LABELS[masked])
    assert answers(loss, "balanced", mask=masked) == answers(loss, [present[0], 1.0, present[1]], mask=masked)


@pytest.mark.parametrize("loss", BALANCED)
def test_names_numbers_and_indices_say_which_class(loss: str) -> None:
    names = ["cat", "dog", "owl"]
    weights = [1.0, 1.0, 2.5]
    expected = answers(loss, weights)
    assert answers(loss, {"2": 2.5}) == expected
    assert answers(loss, {"owl": 2.5}, [names[label] for label in LABELS], classes=names) == expected
    assert answers(loss, {"3": 2.5, "1": 1.0}, LABELS + 1.0, classes=[1, 2, 3]) == expected
    assert answers(loss, {}) == answers(loss, [1.0, 1.0, 1.0])


def test_labels_by_name_too() -> None:
    given = {"mask": None, "classes": ["a", "b", "c"]}
    scores, flags = np.array([[0.5, -1.0, 2.0], [1.0, 0.3, -0.2]]), np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    loss = LOSSES["multilabel_soft_margin"]
    named = evaluate(check(loss, {"class_weight": {"b": 3.0}}, scores, flags, **given))  # pyright: ignore[reportArgumentType]
    assert named.value == evaluate(check(loss, {"class_weight": [1.0, 3.0, 1.0]}, scores, flags)).value


def test_shares_are_balanced_by_their_sums() -> None:
    loss, rows = LOSSES["categorical_cross_entropy"], np.array([[0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    predictions = rows * 0.8 + 0.2 / 3
    weights = [3 / (2 * 2.25), 3 / (2 * 0.75), 1.0]
    assert (
        evaluate(check(loss, {"class_weight": "balanced"}, predictions, rows)).value
        == evaluate(check(loss, {"class_weight": weights}, predictions, rows)).value
    )


@pytest.mark.parametrize(
    ("weight", "targets", "more", "message"),
    [
        ({"9": 2.0}, LABELS, {}, "There is no class named '9'"),
        ({"dgo": 2.0}, ["cat", "dog"], {"classes": ["cat", "dog", "owl"]}, "Did you mean dog?"),
    ],
)
def test_a_class_that_there_is_not(weight: object, targets: object, more: dict[str, object], message: str) -> None:
    loss, rows = LOSSES["categorical_cross_entropy"], SHARES[: len(targets)]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidParameter, match=message):
        check(loss, {"class_weight": weight}, rows, targets, **more)  # pyright: ignore[reportArgumentType]


def test_without_classes_there_is_nothing_to_weigh() -> None:
    with pytest.raises(InvalidParameter, match="there is no axis of classes here"):
        check(LOSSES["brier_score"], {"class_weight": "balanced"}, np.array([0.5]), np.array([1.0]))
