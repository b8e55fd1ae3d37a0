"""What every loss owes whoever calls it, checked over the registry. Only a loss with a pole is named."""

import inspect
import typing
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Interval, Simplex
from app.errors import InvalidInput, InvalidParameter
from app.losses import LOSSES, Batch, Evaluation, Loss, evaluate
from app.losses.outputs import outputs_of
from tests.folding import in_turn
from tests.losses.drawing import (
    Arrays,
    Case,
    admits,
    as_rows,
    by_input,
    cases,
    default_cases,
    frozen,
    gradients_of,
    kernel_of,
    kinds_of,
    normalised,
    others,
    over,
    rows_of,
    switches,
)

pytestmark = pytest.mark.no_cover  # test_values runs these lines as well, and to trace them takes as long as they do

CASES = cases()
SINGLE = [case for case in CASES if len(case.parameters) < 2]
"""One parameter off its default at most: enough for what no kernel knows of, samples and their weights, order and blocks."""
SEPARATE = [case for case in SINGLE if case.coupling == "sample"]
"""Losses of single samples."""


def holds_a_part_fixed(case: Case) -> bool:
    """Whether the gradient takes a part of the loss for a number, as it is asked to."""
    return any(flag is True for name, flag in case.parameters.items() if name.startswith("detach_"))


DIFFERENTIABLE = [case for case in CASES if case.loss.differentiable and not holds_a_part_fixed(case)]
"""Losses whose gradient is the derivative: all but those asked to hold a factor fixed (test_relations has their gradient)."""

each_case = over(CASES)
each_single_case = over(SINGLE)
each_separate_case = over(SEPARATE)
each_loss = in_turn("loss", LOSSES.values(), ids=list(LOSSES))


def weights_for(n: int) -> NDArray[np.float64]:
    return np.linspace(0.5, 2.5, n) ** 1.5


def same_bits(one: Evaluation, other: Evaluation) -> bool:
    """Value, per-sample losses and gradient agree to the last bit (0 and −0 are one number)."""
    assert one.per_sample is not None
    assert other.per_sample is not None
    gradients = [{} if answered.gradient is None else gradients_of(answered) for answered in (one, other)]
    return (
        np.array_equal(np.float64(one.value or 0), np.float64(other.value or 0), equal_nan=True)
        and np.array_equal(one.per_sample, other.per_sample, equal_nan=True)
        and gradients[0].keys() == gradients[1].keys()
        and all(np.array_equal(gradients[0][name], gradients[1][name], equal_nan=True) for name in gradients[0])
    )


# --- shapes and types -----------------------------------------------------------------------------------------------


@each_single_case
def test_answer_has_the_shapes_and_type_it_promises(case: Case) -> None:
    arrays = case.draw(n=7)
    for reduction in (*case.reductions, "none"):
        answer = case.evaluate(arrays, reduction=reduction)
        assert answer.per_sample is not None
        assert answer.per_sample.shape == (7,)
        assert answer.per_sample.dtype == np.float64
        assert (answer.value is None) == (reduction == "none")
        assert answer.value is None or type(answer.value) is float
        if case.loss.differentiable:
            gradients = gradients_of(answer)
            assert list(gradients) == case.prediction_names
            assert all(gradients[name].shape == arrays[name].shape for name in gradients)
            assert all(gradient.dtype == np.float64 for gradient in gradients.values())
        else:
            assert answer.gradient is None


@each_case
def test_kernel_keeps_to_its_contract(case: Case) -> None:
    batch = case.batch(case.draw(n=7))
    values, gradient, *_ = kernel_of(batch)
    if callable(gradient) and case.coupling == "sample":
        with np.errstate(all="ignore"):
            gradient = gradient(np.ones(batch.size))
    predictions = batch.arrays[: len(case.prediction_names)]
    assert values.dtype == np.float64
    assert values.shape == (batch.size,)
    if case.coupling == "batch":
        assert callable(gradient) == case.loss.differentiable
    elif not case.loss.differentiable:
        assert gradient is None
    else:
        assert isinstance(gradient, tuple) == (len(predictions) > 1)
        gradients: Any = gradient if isinstance(gradient, tuple) else (gradient,)
        assert [np.shape(gradient) for gradient in gradients] == [gradient.shape for gradient in predictions]


@each_single_case
def test_inputs_are_left_as_they_were(case: Case) -> None:
    arrays = case.draw()  # read-only: writing into them would raise
    weights = weights_for(5)
    weights.flags.writeable = False
    before = {name: array.copy() for name, array in arrays.items()}
    case.evaluate(arrays, sample_weight=weights, mask=np.array([True, True, True, True, False]))
    case.evaluate(arrays)
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)


@each_single_case
def test_same_call_gives_the_same_bits(case: Case) -> None:
    assert same_bits(case.evaluate(case.draw(n=9)), case.evaluate(case.draw(n=9)))


# --- the gradient ---------------------------------------------------------------------------------------------------

STEP = 1e-5
"""Small enough that random points keep clear of kinks, large enough that five digits of an error of one rounding show."""


def moved(batch: Batch, directions: Arrays, by: float) -> Batch:
    """The batch with its predictions moved; unchecked, since a derivative leaves the simplex that the rows lie on."""
    if batch.sums is not None and "predictions" in directions:  # of rows that were divided, the rows as they were sent
        sums = batch.sums[:, None]
        rows = batch.arrays[0][:] * sums + by * as_rows(batch, directions["predictions"])
        sums = rows.sum(axis=1)
        return batch._replace(arrays=(rows / sums[:, None], *batch.arrays[1:]), class_axis=None, sums=sums)
    names = [*batch.loss.inputs, "weights"]  # of the numbers within rows, where the loss takes any
    return batch._replace(
        arrays=tuple(
            array[:] + by * as_rows(batch, directions[name]) if name in directions else array
            for name, array in zip(names, batch.arrays, strict=False)
        ),
        class_axis=None,
    )


def derivative(of: Any, batch: Batch, directions: Arrays) -> Any:
    """Central difference of fourth order: its error is h⁴, which leaves the rounding of `of` over h."""
    values = {k: of(moved(batch, directions, k * STEP)) for k in (-2, -1, 1, 2)}
    return (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * STEP)


def agree(numeric: Any, exact: Any, scale: Any, size: Any) -> bool:
    """Within the error of the difference: h⁴ times a few derivatives, and a few roundings of a loss of this size over h."""
    return bool(np.all(np.abs(numeric - exact) <= 1e-7 * scale + 1e-9 * (1 + size)))


SEEDS = {"lifted_structure": 4, "lovasz_softmax": 1}
"""Of 0, two vectors nearly meet, and two errors of a mask: within a step, there is a kink."""


@over([case for case in DIFFERENTIABLE if case.coupling == "sample"])
def test_gradient_is_the_derivative_of_each_sample(case: Case) -> None:
    """Column by column under the defaults; with a parameter off its default, all at once, along a direction that is drawn."""
    batch = case.batch(case.draw(n=6, seed=SEEDS.get(case.loss.name, 0)))
    answer = evaluate(batch, reduction="none")
    assert answer.per_sample is not None
    rng = np.random.default_rng(11)
    for name, gradient in gradients_of(answer).items():
        width = gradient[0].size
        directions = rng.standard_normal((1, 6, width)) if case.parameters else np.eye(width)[:, None].repeat(6, axis=1)
        for direction in directions:
            numeric = derivative(
                lambda some: evaluate(some, reduction="none", outputs=("per_sample",)).per_sample,
                batch,
                {name: direction.reshape(gradient.shape)},
            )
            parts = gradient.reshape(6, -1) * direction
            exact, scale = parts.sum(axis=1), np.abs(parts).sum(axis=1)
            assert agree(numeric, exact, scale, np.abs(answer.per_sample)), (name, direction[0], numeric, exact)


@over([case for case in DIFFERENTIABLE if len(case.parameters) < 2])
def test_gradient_is_the_derivative_of_the_value(case: Case) -> None:
    """Of every reduction with weights, and of the mean without."""
    rng = np.random.default_rng(7)
    plain, weighted = (
        case.batch(case.draw(n=6, seed=SEEDS.get(case.loss.name, 0)), sample_weight=weights) for weights in (None, weights_for(6))
    )
    for batch, reduction in [(plain, "mean"), *((weighted, reduction) for reduction in case.reductions)]:
        answer = evaluate(batch, reduction=reduction)
        gradients = gradients_of(answer)
        directions = {name: rng.standard_normal(gradient.shape) for name, gradient in gradients.items()}
        numeric = derivative(
            lambda some, how=reduction: evaluate(some, reduction=how, outputs=("value",)).value, batch, directions
        )
        exact = sum(float((gradients[name] * directions[name]).sum()) for name in gradients)
        scale = sum(float(np.abs(gradients[name] * directions[name]).sum()) for name in gradients)
        assert answer.value is not None
        assert agree(numeric, exact, scale, abs(answer.value)), (reduction, numeric, exact)


# --- samples: weights, order, masks, blocks -------------------------------------------------------------------------


@each_separate_case
def test_weight_two_is_the_sample_twice(case: Case) -> None:
    arrays = case.draw(n=5)
    twice = np.array([0, 1, 1, 2, 3, 3, 4])
    weights = np.array([1.0, 2.0, 1.0, 2.0, 1.0])
    for reduction in set(case.reductions) - {"mean_over_samples"}:  # which counts samples, not weights
        one = case.evaluate(arrays, reduction=reduction, sample_weight=weights)
        other = case.evaluate(rows_of(arrays, twice), reduction=reduction)
        assert one.value == pytest.approx(other.value, rel=1e-13, abs=1e-15)
        if case.loss.differentiable:
            for name, gradient in gradients_of(other).items():
                summed = np.zeros_like(arrays[name])
                np.add.at(summed, twice, gradient)
                np.testing.assert_allclose(gradients_of(one)[name], summed, rtol=1e-12, atol=1e-15)


@each_single_case
def test_order_of_samples_does_not_matter(case: Case) -> None:
    arrays = case.draw(n=9)
    weights = weights_for(9)
    order = np.random.default_rng(1).permutation(9)
    one = case.evaluate(arrays, sample_weight=weights)
    other = case.evaluate(rows_of(arrays, order), sample_weight=weights[order])
    assert one.per_sample is not None
    assert other.per_sample is not None
    tolerance = 0.0 if case.coupling == "sample" else 1e-10  # a sum over the batch is rounded in its order
    assert other.value == pytest.approx(one.value, rel=tolerance or 1e-14)
    np.testing.assert_allclose(other.per_sample, one.per_sample[order], rtol=tolerance, atol=0)
    if case.loss.differentiable:
        for name, gradient in gradients_of(other).items():
            np.testing.assert_allclose(gradient, gradients_of(one)[name][order], rtol=tolerance or 1e-13, atol=tolerance)


@each_single_case
def test_blocks_are_the_whole_bit_for_bit(case: Case) -> None:
    """Rows alone, and a few of them; test_blocks has more of both, and threads."""
    batch = case.batch(case.draw(n=19), sample_weight=weights_for(19))
    whole = evaluate(batch)
    few = 4 * max(array.nbytes for array in batch.arrays) // 19
    assert same_bits(evaluate(batch, block_bytes=few), whole)
    assert same_bits(evaluate(batch, block_bytes=1), whole)


@each_single_case
def test_mask_is_the_batch_without_these_rows(case: Case) -> None:
    arrays, weights = case.draw(n=9), weights_for(9)
    mask = np.array([True, True, False, True, True, False, True, True, False])
    for reduction in case.reductions:
        masked = case.evaluate(arrays, reduction=reduction, sample_weight=weights, mask=mask)
        fewer = case.evaluate(rows_of(arrays, mask), reduction=reduction, sample_weight=weights[mask])
        assert masked.per_sample is not None
        assert fewer.per_sample is not None
        assert masked.value == fewer.value
        assert (masked.n_samples, masked.divisor) == (fewer.n_samples, fewer.divisor)
        assert np.array_equal(masked.per_sample[mask], fewer.per_sample)
        assert not masked.per_sample[~mask].any()
        if case.loss.differentiable:
            for name, gradient in gradients_of(masked).items():
                assert np.array_equal(gradient[mask], gradients_of(fewer)[name])
                assert not gradient[~mask].any()


@each_separate_case
def test_zero_weight_drops_the_sample(case: Case) -> None:
    arrays, weights = case.draw(n=9), weights_for(9)
    kept = np.array([True, True, False, True, True, False, True, True, True])
    for reduction in set(case.reductions) - {"mean_over_samples"}:
        weighted = case.evaluate(arrays, reduction=reduction, sample_weight=np.where(kept, weights, 0.0))
        fewer = case.evaluate(rows_of(arrays, kept), reduction=reduction, sample_weight=weights[kept])
        assert weighted.value == pytest.approx(fewer.value, rel=1e-14)
        if case.loss.differentiable:
            for name, gradient in gradients_of(weighted).items():
                np.testing.assert_allclose(gradient[kept], gradients_of(fewer)[name], rtol=1e-14, atol=0)
                assert not gradient[~kept].any()


# --- extremes -------------------------------------------------------------------------------------------------------

POLES: Mapping[str, tuple[Mapping[str, object], str]] = {
    "binary_cross_entropy": ({"from_logits": False}, "−log 0 at a true outcome of probability 0"),
    "binary_focal": ({"from_logits": False}, "−log 0 at a true outcome of probability 0"),
    "categorical_cross_entropy": ({"from_logits": False}, "−log 0 at a true class of probability 0"),
    "categorical_focal": ({"from_logits": False}, "−log 0 at a true class of probability 0"),
    "generalized_cross_entropy": ({"from_logits": False}, "the gradient −p^(q−1) at p = 0"),
    "kl_divergence": ({"input_format": "probabilities"}, "log of q = 0 where the target is positive"),
    "dawid_sebastiani_score": ({}, "a variance of nearly nothing beside an error"),
    **dict.fromkeys(("log_normal_nll", "beta_weighted_nll", "barron_nll"), ({}, "a spread of nearly nothing beside an error")),
    "weibull_nll": ({}, "a power of a target far above the scale"),
    "zero_inflated_poisson_nll": ({}, "a count where only zeros are expected"),
    **dict.fromkeys(
        ("jensen_shannon_divergence", "generalized_jensen_shannon", "renyi_divergence", "alpha_divergence", "hellinger_distance"),
        ({}, "the slope at a probability of 0 where the target is positive"),
    ),
    "unified_focal": ({"from_logits": False}, "−log 0 at a pixel that is there"),
    "perplexity": ({"pool": "sample"}, "exp of a surprise of hundreds"),
    "bce_dice": ({"from_logits": False}, "−log 0 at a pixel that is there"),
    "ordinal_cross_entropy": ({"from_logits": False}, "−log 0 at a threshold that is passed"),
    "mean_absolute_scaled_error": ({}, "a series that never changed"),
    "root_mean_squared_scaled_error": ({}, "a series that never changed"),
    "mean_scaled_interval_score": ({}, "a series that never changed"),
    "exponential": ({}, "exp of a large margin on the wrong side"),
    "linex": ({}, "exp of a large residual on the dear side"),
    "log_lin_quantile": ({}, "exp of a large logarithm"),
    "poisson_nll": ({"log_input": True}, "exp of a large logarithm"),
    "gamma_nll": ({"log_input": True}, "exp of a large negative logarithm"),
    "tweedie_nll": ({"log_input": True}, "exp of a large logarithm"),
    "gaussian_focal": ({}, "−log 0 at a peak of probability 0"),
    "aft_nll": ({}, "an event seen at the time 0, whose logarithm is −∞, or never; an exponential of a large logarithm"),
}
"""Losses that are infinite, or beyond float64, at inputs far inside its range; the parameters under which, and why."""


def has_pole(case: Case) -> bool:
    if case.loss.name not in POLES:
        return False
    given = {**case.loss.defaults, **case.parameters}
    return all(given[name] == value for name, value in POLES[case.loss.name][0].items())


EXTREMES = 400
"""Samples drawn from the extremes."""


def extreme(case: Case, limit: float) -> dict[str, NDArray[np.float64]]:
    """A batch whose numbers, labels apart, are drawn from the extremes of their domains, every third row from the ends."""
    rng, n = np.random.default_rng(3), EXTREMES if case.loss.coupling == "sample" else 40  # of which every pair counts
    arrays = dict(case.draw(n=n))
    for name, array in arrays.items():
        domain = case.encodings[name].domain
        extremes = domain.extremes(array.shape[-1], limit)
        between = (np.arange(n) % 3 > 0).reshape(-1, *(1,) * (array.ndim - 1))
        if domain.discrete:
            continue
        if case.loss.coupling == "batch" and case.encodings[name].name == "embedding":  # which are meant to have length 1
            arrays[name] = normalised(rng.choice([-1.0, 1e-8, 1.0], array.shape))
        elif domain.of_rows:
            rows = extremes[rng.integers(len(extremes), size=array.shape[:-1])]
            arrays[name] = rng.permuted(rows, axis=-1) if isinstance(domain, Simplex) else rows
        else:
            arrays[name] = np.where(between, rng.choice(extremes, array.shape), rng.choice(extremes[:2], array.shape))
    return frozen(arrays)


def finite_rows(answer: Evaluation) -> NDArray[np.bool_]:
    """Rows whose loss and gradient are finite."""
    assert answer.per_sample is not None
    finite = np.isfinite(answer.per_sample)
    for gradient in gradients_of(answer).values() if answer.gradient is not None else ():
        finite &= np.isfinite(gradient).reshape(finite.size, -1).all(axis=1)
    return finite


def undefined(numbers: NDArray[np.float64]) -> list[list[int]]:
    """Where the first few NaN are."""
    return np.argwhere(np.isnan(numbers))[:5].tolist()


@each_case
def test_nothing_is_ever_undefined_and_only_poles_are_infinite(case: Case) -> None:
    """Half of the numbers far out, half as far as float64 goes; in the first half a loss is infinite at its poles alone."""
    far, farthest = extreme(case, 1e100), extreme(case, 1e308)
    batch = case.batch(frozen({name: np.concatenate([far[name], farthest[name]]) for name in far}))
    values, *_ = kernel_of(batch)
    assert undefined(values) == []
    columns = np.zeros(batch.elements)
    columns.reshape(-1)[slice(None) if batch.kept is None else batch.kept] = values
    columns = columns.reshape(len(columns), -1)
    opposed = np.isposinf(columns).any(axis=1) & np.isneginf(columns).any(axis=1)  # ∞ − ∞ has no mean
    outputs = {"per_sample", "gradient", *(output.name for output in outputs_of(case.loss))}
    answer = evaluate(batch, reduction="none", outputs=sorted(outputs))
    assert answer.per_sample is not None
    assert undefined(answer.per_sample[~opposed]) == []
    for output in ("gradient", "hessian_diagonal")[: case.loss.derivatives]:
        for name, derivatives in by_input(answer.outputs[output]).items():
            assert undefined(derivatives) == [], (output, name)
    if set(case.parameters) <= set(switches(case.loss)):
        finite = finite_rows(answer)[: batch.elements[0] // 2]
        assert finite.any()
        assert finite.all() == (not has_pole(case))


@over([case for case in SEPARATE if not case.parameters])
def test_zero_weight_drops_an_infinite_sample(case: Case) -> None:
    arrays = extreme(case, 1e308)
    finite = finite_rows(case.evaluate(arrays, reduction="none"))
    assert not (finite.all() and has_pole(case))
    calm = case.draw(n=finite.size)
    mixed = frozen(
        {name: np.where(finite.reshape(-1, *(1,) * (arrays[name].ndim - 1)), calm[name], arrays[name]) for name in arrays}
    )
    for reduction in case.reductions:
        answer = case.evaluate(mixed, reduction=reduction, sample_weight=finite * 1.0)
        alone = case.evaluate(rows_of(mixed, finite), reduction=reduction)
        assert answer.value is not None
        assert np.isfinite(answer.value)
        if reduction != "mean_over_samples":
            assert answer.value == pytest.approx(alone.value, rel=1e-13)
        if case.loss.differentiable:
            assert all(np.isfinite(gradient).all() and not gradient[~finite].any() for gradient in gradients_of(answer).values())


@over([case for case in SEPARATE if not case.parameters])
def test_infinite_sample_does_not_spoil_the_others(case: Case) -> None:
    arrays = extreme(case, 1e308)
    answer = case.evaluate(arrays, reduction="none")
    finite = finite_rows(answer)
    alone = case.evaluate(rows_of(arrays, finite), reduction="none")
    assert answer.per_sample is not None
    assert alone.per_sample is not None
    assert np.array_equal(answer.per_sample[finite], alone.per_sample)
    assert {entry.output.partition(".")[0] for entry in answer.non_finite} <= {"per_sample", "gradient"}
    assert {entry.index[0] for entry in answer.non_finite} <= set(np.flatnonzero(~finite).tolist())


# --- what is said about a loss --------------------------------------------------------------------------------------


@each_loss
def test_loss_explains_itself(loss: Loss) -> None:
    assert loss.summary.endswith(".")
    assert len(loss.summary) <= 130
    assert loss.formula
    assert loss.reference or loss.equals
    assert loss.inputs
    assert (loss.name, loss.family) == (loss.function.__name__, loss.function.__module__.rpartition(".")[2])


@each_loss
def test_every_parameter_has_a_type_a_meaning_and_a_default(loss: Loss) -> None:
    for name, parameter in loss.parameters.items():
        assert parameter.default is not inspect.Parameter.empty, name
        assert typing.get_origin(parameter.annotation) is Annotated, name
        documented = [mark.documentation for mark in kinds_of(parameter.annotation)[1] if isinstance(mark, Doc)]
        assert len(documented) == 1, name
        assert documented[0].endswith("."), name


@each_loss
def test_what_it_says_of_its_parameters_does_not_depend_on_what_was_asked_first(loss: Loss) -> None:
    fresh = replace(loss)
    assert {*fresh.own, *fresh.options} == {*fresh.parameters} == {*fresh.defaults} == {*loss.parameters}


@each_loss
def test_defaults_lie_within_their_bounds(loss: Loss) -> None:
    for name, parameter in loss.parameters.items():
        kinds, metadata = kinds_of(parameter.annotation)
        if isinstance(parameter.default, bool) or parameter.default is None or isinstance(parameter.default, str):
            words = [word for kind in kinds for word in typing.get_args(kind)]
            assert (
                type(parameter.default) in kinds
                or parameter.default in words
                or (parameter.default is None and type(None) in kinds)
            ), name
        else:
            assert isinstance(parameter.default, float | int), name
            assert admits(metadata, parameter.default), name


@each_loss
def test_aliases_resolve_and_can_be_called(loss: Loss) -> None:
    assert LOSSES.resolve(loss.name) == (loss, {})
    assert len({alias.name for alias in loss.aliases}) == len(loss.aliases)
    for other in loss.aliases:
        assert LOSSES.find(other.name, shapes=[(3,) * len(axes.split()) for axes in other.shapes]) == (loss, other.parameters)
        for name, value in other.parameters.items():
            assert name in loss.parameters
            assert value != loss.parameters[name].default
            kinds, metadata = kinds_of(loss.parameters[name].annotation)
            assert type(value) in kinds or any(value in typing.get_args(kind) for kind in kinds)
            assert isinstance(value, bool | str) or admits(metadata, typing.cast(float, value))


@each_loss
def test_reductions_that_mean_nothing_are_refused(loss: Loss) -> None:
    case = default_cases(loss.name)[0]
    for reduction in ("sum", "mean_over_samples"):
        if loss.mean.sums:
            assert case.evaluate(reduction=reduction).value is not None
        else:
            with pytest.raises(InvalidInput):
                case.evaluate(reduction=reduction)


@each_loss
def test_arrays_that_do_not_agree_are_refused(loss: Loss) -> None:
    for case in default_cases(loss.name):
        arrays = case.draw(n=6)
        if len(arrays) > 1:
            for name in arrays:
                with pytest.raises(InvalidInput):
                    case.evaluate({**arrays, name: arrays[name][:-1]})


@each_loss
def test_numbers_that_are_not_finite_are_refused(loss: Loss) -> None:
    for case in default_cases(loss.name):
        for name, array in case.draw(n=6).items():
            domain = case.encodings[name].domain
            meant = (domain if isinstance(domain, Interval) else domain.span).infinite
            for bad in {np.nan, np.inf, -np.inf} - {*meant}:
                spoiled = array.copy()
                spoiled.reshape(-1)[0] = bad
                with pytest.raises(InvalidInput):
                    case.evaluate({**case.draw(n=6), name: spoiled})


def test_parameters_that_contradict_each_other_are_refused() -> None:
    case = next(case for case in cases("categorical_cross_entropy") if case.parameters == {"from_logits": True})
    with pytest.raises(InvalidParameter):
        replace(case, parameters={"from_logits": True, "clip": 0.3}).evaluate()


@in_turn("name", LOSSES)
def test_every_value_of_a_parameter_is_taken_in_some_case(name: str) -> None:
    loss, tried = LOSSES[name], [case.parameters for case in cases(name)]
    for parameter in loss.parameters:
        for value in others(loss, parameter, 1) if parameter != "class_axis" else ():
            assert any(parameter in given and given[parameter] == value for given in tried), (parameter, value)


def test_lists_of_the_wrong_length_are_refused() -> None:
    for case in CASES:
        for name, value in case.parameters.items():
            if isinstance(value, list):
                longer: dict[str, Any] = {**case.parameters, name: [*value, 1.0]}
                with pytest.raises(InvalidInput):
                    replace(case, parameters=longer).evaluate()
