"""What follows from parameters and shapes alone is decided once, and what does not fit is refused each time."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError, InvalidInput
from app.losses import LOSSES, Batch, Loss, check, evaluate
from app.losses.batch import batch_of
from app.losses.form import FORMS, Bound, bind
from tests.losses.drawing import Case, cases, default_cases, over, sides

MISSHAPED: Sequence[Callable[[Any], Any]] = (
    lambda array: array[:, None],
    lambda array: array[None],
    lambda array: array.reshape(-1),
    lambda array: array[:-1],
    lambda array: np.repeat(array, 2, axis=-1),
    lambda array: np.repeat(array, 2, axis=min(1, array.ndim - 1)),
    lambda array: array[:0],
    lambda array: np.float64(1.0).reshape(()),
)
each_case = over(cases())


def outcome(bound: Bound, predictions: Any, targets: Any) -> Any:
    """The value, or what is wrong."""
    try:
        return evaluate(batch_of(bound, predictions, targets)).value
    except CallerError as error:
        return type(error), error.faults


@each_case
def test_arrays_of_any_shape_are_taken_or_refused_and_the_second_time_as_the_first(case: Case) -> None:
    drawn = case.draw()
    bound = bind(case.loss, case.parameters)
    for name, misshaped in itertools.product(drawn, MISSHAPED):
        given = sides(case.loss, {**drawn, name: np.asarray(misshaped(drawn[name]))})
        first = outcome(bound, *given)
        assert outcome(bound, *given) == first
        assert outcome(bind(case.loss, case.parameters), *given) == first
    assert outcome(bound, *sides(case.loss, drawn)) == evaluate(case.batch(drawn)).value  # nothing of what was wrong is left


@over(default_cases())
def test_the_same_shapes_are_not_looked_at_twice(case: Case) -> None:
    bound = bind(case.loss, case.parameters)
    shapes = tuple(array.shape for array in case.draw().values())
    assert bound.form(shapes) is bound.form(shapes)
    for n in range(3, 3 + 2 * FORMS):
        batch: Batch = batch_of(bound, *sides(case.loss, case.draw(n=n)))
        assert batch.n_samples <= n
        assert batch.elements[0] == n
    assert bound.form.cache_info().currsize == FORMS  # type: ignore[attr-defined]


def test_a_bound_loss_has_every_parameter() -> None:
    for loss in LOSSES.values():
        assert bind(loss, {}).parameters == loss.defaults


OF_TWO = {
    "probability": "send the second,",
    "logit": "send the second less the first,",
    "score": "send the second less the first,",
}
"""How predictions of two classes are made of a column for each."""


def fault_of(loss: Loss, predictions: Any, targets: Any, **parameters: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        check(loss, parameters, predictions, targets)
    (fault,) = refused.value.faults
    return fault.message


def test_a_column_for_each_class_is_told_what_to_do_of_every_loss_of_two_and_the_other_way_round() -> None:
    columns, labels = np.array([[0.2, 0.8], [0.3, 0.7], [0.9, 0.1]]), np.array([1.0, 0.0, 1.0])
    told = 0
    for loss in LOSSES.values():
        if [*loss.inputs] != ["predictions", "targets"] or loss.inputs["targets"].named:
            continue
        for _, encoding in loss.inputs["predictions"].cases:
            flags = {case.labels for _, case in loss.inputs["targets"].cases} == {"flag"}
            if encoding.name not in OF_TWO or not flags or encoding.axes != ("n *d",):
                continue
            logits = {"from_logits": encoding.name == "logit"} if "from_logits" in loss.parameters else {}
            words = fault_of(loss, columns, labels, **logits) + ","
            assert OF_TWO[encoding.name] in words, (loss.name, words)
            assert "send the second," in fault_of(loss, columns[:, 1], np.eye(2)[[1, 0, 1]], **logits) + ","
            assert "must be" not in words, (loss.name, words)
            told += 1
            if loss.counterpart:
                assert f"name {loss.counterpart}, which takes a column for each class" in words
                assert loss.counterpart in fault_of(loss, np.ones((3, 4)) / 4, labels, **logits)
                assert loss.counterpart in fault_of(loss, columns[:, 1], np.array([0.0, 2.0, 1.0]), **logits)
                other = {name: value for name, value in logits.items() if name in LOSSES[loss.counterpart].parameters}
                assert check(LOSSES[loss.counterpart], other, columns, labels).n_samples == 3
    assert told > 10


def test_the_counterpart_of_a_loss_of_two_classes_is_of_several() -> None:
    paired = [loss for loss in LOSSES.values() if loss.counterpart]
    assert len(paired) > 8
    for loss in paired:
        one, other = ({case.labels for _, case in side.inputs["targets"].cases} for side in (loss, LOSSES[loss.counterpart]))
        assert {*one, *other} == {"flag", "class"}, loss.name
        if "class" in one:
            words = fault_of(loss, np.array([0.2, 0.8]), np.array([0.0, 1.0]))
            assert words.endswith(f"(one number for each sample? {loss.counterpart} takes these)")
