"""What follows from parameters and shapes alone is decided once, and what does not fit is refused each time."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.errors import CallerError
from app.losses import LOSSES, Batch, evaluate
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
