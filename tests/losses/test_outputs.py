"""Every output that is declared, of every loss that has it: its name, its shape, and the same whatever else is asked for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import InvalidParameter, UnknownName
from app.losses import LOSSES, Batch, Evaluation, Loss, check, evaluate
from app.losses.composed import Weighed, expression, weighted_sum
from app.losses.form import bind
from app.losses.outputs import OUTPUTS, USUAL, Output, arrays_by_name, outputs_of, usual_of
from tests.losses.drawing import Array, Case, cases, default_cases, frozen, over, sides

pytestmark = pytest.mark.no_cover  # test_values runs these lines as well, and to trace them takes as long as they do

CASES = default_cases()
SEPARATE = [case for case in CASES if case.loss.coupling == "sample"]
each_case = over(CASES)
each_separate_case = over(SEPARATE)
each_output = pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))


def names_of(loss: Loss) -> tuple[str, ...]:
    return tuple(output.name for output in outputs_of(loss))


def found(batch: Batch, **more: Any) -> dict[str, NDArray[Any]]:
    """Every output that the loss has, array by array."""
    answer = evaluate(batch, outputs=names_of(batch.loss), **more)
    return {name: np.asarray(np.nan if array is None else array) for name, array in arrays_by_name(answer.outputs).items()}


def same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(
        (one[name].dtype, one[name].shape, one[name].tobytes()) == (other[name].dtype, other[name].shape, other[name].tobytes())
        for name in one
    )


# --- the declaration ----------------------------------------------------------------------------------------------------------


@each_output
def test_it_explains_itself(output: Output) -> None:
    assert output.description.partition("\n")[0]
    made = [expression(value="r**2").loss, weighted_sum(terms=[Weighed(bind(LOSSES["mean_squared_error"], {}))])]
    assert any(output.is_of(loss) for loss in (*LOSSES.values(), *made))
    assert output.axes is not None or output.derivative


def test_what_is_answered_unasked_is_what_every_client_has_seen() -> None:
    assert USUAL == ("value", "per_sample", "gradient")
    assert all(usual_of(loss) == USUAL for loss in LOSSES.values())
    assert usual_of(expression(value="r**2").loss) == (*USUAL, "expression")
    assert usual_of(weighted_sum(terms=[Weighed(bind(LOSSES["mean_squared_error"], {}))])) == (*USUAL, "terms")


@over(cases())
def test_each_array_has_the_name_and_shape_that_are_declared(case: Case) -> None:
    batch = case.batch(case.draw(n=6), mask=np.array([True, True, False, True, True, True]))
    shapes = {name: shape for output in outputs_of(case.loss) for name, shape in output.shapes(batch).items()}
    assert [*shapes] == [name for output in outputs_of(case.loss) for name in output.arrays(case.loss)]
    assert {name: array.shape for name, array in found(batch).items()} == shapes


def test_shapes_know_where_the_classes_are_and_what_elements_share() -> None:
    scores = np.zeros((2, 4, 3))
    batch = check(LOSSES["categorical_cross_entropy"], {"from_logits": True, "class_axis": 1}, scores, np.zeros((2, 3)))
    assert OUTPUTS["hessian_diagonal"].shapes(batch) == {"hessian_diagonal": (2, 4, 3)}
    assert found(batch)["hessian_diagonal"].shape == (2, 4, 3)
    predictions = {"mean": np.zeros((2, 3)), "variance": np.ones((2, 1))}
    batch = check(LOSSES["gaussian_nll"], {}, predictions, np.zeros((2, 3)))
    assert OUTPUTS["gradient"].shapes(batch) == {"gradient.mean": (2, 3), "gradient.variance": (2, 1)}
    assert found(batch)["hessian_diagonal.variance"].shape == (2, 1)


@each_case
def test_an_output_that_a_loss_has_not_is_null_where_it_is_usual_and_refused_where_it_is_not(case: Case) -> None:
    batch = case.batch()
    for output in OUTPUTS.values():
        if output.is_of(case.loss):
            assert evaluate(batch, outputs=[output.name]).outputs.keys() == {output.name}
        elif output.always:
            assert evaluate(batch, outputs=[output.name]).outputs == {output.name: None}
        else:
            with pytest.raises(InvalidParameter) as caught:
                evaluate(batch, outputs=["value", output.name])
            assert f"{case.loss.name} has no {output.name}; it has {', '.join(names_of(case.loss))}" in caught.value.detail


def test_a_name_of_no_output_is_refused() -> None:
    batch = CASES[0].batch()
    with pytest.raises(UnknownName, match=r"There is no output named 'gradients'. Did you mean gradient\?"):
        evaluate(batch, outputs=["gradients"])


def test_an_output_is_an_attribute_of_the_evaluation_where_it_was_asked_for() -> None:
    answer = evaluate(CASES[0].batch(), outputs=["value"])
    assert answer.value == answer.outputs["value"]
    with pytest.raises(AttributeError, match="gradient is no output that was asked for"):
        _ = answer.gradient


# --- what is asked for beside it, and what is dropped ---------------------------------------------------------------------------


@each_separate_case
def test_an_output_is_the_same_whatever_is_asked_for_beside_it(case: Case) -> None:
    batch = case.batch(case.draw(n=6))
    together = found(batch)
    for output in outputs_of(case.loss):
        alone = arrays_by_name(evaluate(batch, outputs=[output.name]).outputs)
        assert same({name: np.asarray(array) for name, array in alone.items()}, {name: together[name] for name in alone})


@each_separate_case
def test_what_is_dropped_is_0_in_every_array_and_nothing_to_the_others(case: Case) -> None:
    arrays = case.draw(n=6)
    shape = case.batch(arrays).elements
    mask = (np.arange(np.prod(shape)) % 3 != 1).reshape(shape)
    alone = frozen({name: array[mask].reshape(-1, *array.shape[len(shape) :]) for name, array in arrays.items()})
    spoiled = {
        name: np.where(mask.reshape(*shape, *(1,) * (array.ndim - len(shape))), array, np.nan) for name, array in arrays.items()
    }
    if case.batch(arrays).columns:
        return
    masked, fewer = (found(case.batch(given, **more)) for given, more in ((frozen(spoiled), {"mask": mask}), (alone, {})))
    for output in outputs_of(case.loss):
        for name in output.arrays(case.loss) if output.axes is None or output.axes == "n *d" else ():
            assert not masked[name][~mask].any()
            assert np.array_equal(masked[name][mask], fewer[name].reshape(masked[name][mask].shape)), name


@each_separate_case
def test_single_precision_is_the_same_answer_rounded(case: Case) -> None:
    first = next(iter(case.loss.inputs))
    arrays = {**case.draw(n=6)}
    single = {**arrays, first: arrays[first].astype(np.float32)}
    wide = {**arrays, first: single[first].astype(np.float64)}
    if case.encodings[first].name in ("distribution", "log_probabilities"):
        return  # rows of which the two precisions forgive different sums
    one, other = (found(check(case.loss, case.parameters, *sides(case.loss, given))) for given in (single, wide))
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name].astype(np.float32), rtol=1e-6, atol=1e-37)


# --- what counted -------------------------------------------------------------------------------------------------------------


def evaluated(name: str, parameters: Mapping[str, Any], predictions: Any, targets: Any, **more: Any) -> Evaluation:
    return evaluate(check(LOSSES[name], parameters, np.array(predictions), np.array(targets), **more))


def test_an_evaluation_says_which_elements_counted() -> None:
    scores, labels = [[0.5, 1.5, -1.0], [2.0, 0.0, 1.0]], [[1.0, -1.0, 1.0], [1.0, 9.0, -1.0]]
    every = evaluated("hinge", {}, np.array(scores), np.abs(labels) / np.abs(labels))
    assert every.counted.all()
    assert every.counted.shape == (2, 3)
    answer = evaluated(
        "hinge",
        {"ignore_index": 9},
        scores,
        labels,
        mask=np.array([[True, False, True], [True, True, True]]),
        sample_weight=np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0]]),
    )
    assert answer.counted.tolist() == [[True, False, False], [True, False, True]]
    assert (answer.n_samples, answer.n_elements) == (2, 4)  # of which one weighs nothing


def test_a_class_of_no_weight_does_not_count() -> None:
    rows = np.array([[0.5, 0.25, 0.25]] * 3)
    answer = evaluated("categorical_cross_entropy", {"class_weight": [1.0, 0.0, 2.0]}, rows, [0.0, 1.0, 2.0])
    assert answer.counted.tolist() == [True, False, True]
    assert answer.n_samples == answer.counted.sum()


@each_case
def test_a_sample_that_counts_has_elements_that_do(case: Case) -> None:
    arrays = case.draw(n=6)
    answer = evaluate(case.batch(arrays, mask=np.array([True, False, True, True, True, False])))
    assert answer.n_samples == answer.counted.reshape(6, -1).any(axis=1).sum()
    assert answer.n_elements in (None, answer.counted.sum())


def test_second_derivatives_are_not_computed_unasked() -> None:
    called: list[bool] = []
    batch = CASES[0].batch()

    def kernel(*arrays: Array) -> Any:
        values, gradient, *second = batch.kernel(*arrays)
        return values, gradient, lambda: (called.append(True), second[0]())[1]

    watched = batch._replace(kernel=kernel)
    evaluate(watched)
    assert not called
    evaluate(watched, outputs=["hessian_diagonal"])
    assert called == [True]
