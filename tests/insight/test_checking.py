"""check_gradient: wrong versions of every loss, made by each convention, are recognised, and right ones agree."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError
from app.insight.agreement import steps_between
from app.insight.checking import Check, Yours, check_gradient
from app.insight.conventions import CONVENTIONS, Given
from app.insight.differences import check_numerically
from app.losses import LOSSES, Batch
from app.losses.batch import AnyBatch
from app.losses.evaluate import evaluate
from app.losses.form import bind
from app.losses.numerics.stable import Array
from app.losses.outputs import OUTPUTS
from tests.folding import folded
from tests.losses.drawing import Case, cases, default_cases, one_of_each_form, sides

N = 5
FEW_NUMBERS = 200
"""That a case may have: a check asks for the loss beside each of them."""
WITH_GRADIENT = one_of_each_form(
    case
    for case in default_cases()
    if case.loss.differentiable and sum(array.size for array in case.draw(n=N).values()) <= FEW_NUMBERS
)
each_case = folded("case", WITH_GRADIENT, of=lambda case: case.loss.family, long=["language"])


def given(name: str, predictions: Any, targets: Any, sample_weight: Any = None, mask: Any = None, **parameters: Any) -> Given:
    weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    flags = None if mask is None else np.asarray(mask, np.bool_)
    return Given(bind(LOSSES[name], parameters), np.asarray(predictions), np.asarray(targets), weights, flags)


def of_case(case: Case, sample_weight: Array | None = None) -> Given:
    return Given(bind(case.loss, case.parameters), *sides(case.loss, case.draw(n=N)), sample_weight)


def outputs_of(batch: AnyBatch, reduction: Any = "mean") -> dict[str, Any]:
    assert isinstance(batch, Batch)
    names = [name for name in ("value", "per_sample", "gradient", "hessian_diagonal") if OUTPUTS[name].is_of(batch.loss)]
    return dict(evaluate(batch, reduction=reduction, outputs=names).outputs)


def times(outputs: Mapping[str, Any], factor: float, *but: str) -> dict[str, Any]:
    def scaled(found: Any) -> Any:
        return {name: factor * array for name, array in found.items()} if isinstance(found, dict) else factor * found

    return {name: found if name in but else scaled(found) for name, found in outputs.items()}


def names_of(check: Check) -> set[str]:
    """The conventions that explain all of what is wrong and nothing of what is right."""
    wrong = {name for name, output in check.outputs.items() if not output.agrees}
    return {guess.convention for guess in check.guesses if {*guess.explains} == wrong and not guess.against}


# --- the contract's example -----------------------------------------------------------------------------------------------


def test_half_of_a_squared_error_to_the_digit() -> None:
    found = check_gradient(
        given("mean_squared_error", [1.0, 2.0, 4.0], [0.0, 0.0, 1.0]), {"gradient": np.array([1 / 3, 2 / 3, 1])}
    )
    gradient = found.outputs["gradient"]
    assert (found.agrees, gradient.agrees, gradient.n, gradient.n_disagree) == (False, False, 3, 3)
    assert (gradient.max_relative_error, gradient.max_ulp, gradient.pattern) == (0.5, 4503599627370496, "everywhere")
    assert (found.guesses[0].convention, found.guesses[0].factor, found.guesses[0].explains) == ("half", 0.5, ("gradient",))
    assert [difference.index for difference in gradient.first] == [0, 1, 2]
    assert found.numerical is not None
    assert found.numerical.agrees


# --- every form of loss -------------------------------------------------------------------------------------------------------


@each_case
def test_what_the_reference_says_agrees(case: Case) -> None:
    mine = of_case(case, np.linspace(0.5, 2.0, N))
    found = check_gradient(mine, outputs_of(mine.batch()))
    assert found.agrees
    assert found.guesses == ()
    assert all(output.agrees and output.max_ulp == 0 and output.pattern is None for output in found.outputs.values())


@pytest.mark.no_cover  # others run these lines as well
@each_case
def test_each_factor_is_recognised(case: Case) -> None:
    mine = of_case(case)
    batch = mine.batch()
    assert isinstance(batch, Batch)
    right = outputs_of(batch)
    if not right["value"]:  # nothing to see a factor by
        return
    k, divisor = batch.shapes.length("k"), evaluate(batch).divisor
    factors = {"half": 0.5, "double": 2.0, "sign": -1.0, "log2": 1 / math.log(2), "natural": math.log(2)}
    if k and k > 1:
        factors["per_class"] = 1.0 / k
    for name, factor in factors.items():
        assert name in names_of(check_gradient(mine, times(right, factor))), name
    if divisor is None or batch.factors is not None:  # a mean of pairs is not the sum over a number
        return
    own = "per_sample"
    summed, mean = check_gradient(mine, outputs_of(batch, "sum")), check_gradient(mine, right, reduction="sum")
    assert "sum" in names_of(summed)
    assert "mean" in names_of(mean)
    factor = divisor ** (1.0 / (batch.mean.power or 1))
    assert summed.outputs[own].agrees
    assert summed.guesses[0].factor == pytest.approx(factor)
    assert mean.guesses[0].factor == pytest.approx(1 / factor)


@each_case
def test_weights_that_are_left_out_are_noticed(case: Case) -> None:
    mine = of_case(case, np.array([1.0, 1.0, 3.0, 2.0, 0.5]))
    right, wrong = outputs_of(mine.batch()), outputs_of(of_case(case).batch())
    found = check_gradient(mine, wrong)
    if found.agrees:
        assert right["value"] == pytest.approx(wrong["value"])
        return
    assert "unweighted" in names_of(found)


def test_other_losses_are_recognised() -> None:
    """Of each of the registry's losses that takes the arrays: what it gives is taken for it, or for one that is the same."""
    rng = np.random.default_rng(3)
    targets = rng.uniform(0.5, 3.0, 9)
    predictions = targets * rng.uniform(0.6, 1.6, 9)
    taken = 0
    for loss in LOSSES.values():
        if [*loss.inputs] != ["predictions", "targets"] or loss.name == "mean_squared_error" or not loss.differentiable:
            continue
        other = Given(bind(loss, {}), predictions, targets)
        try:
            batch = other.batch()
        except CallerError:
            continue
        taken += 1
        found = check_gradient(
            given("mean_squared_error", predictions, targets),
            {name: array for name, array in outputs_of(batch).items() if name != "hessian_diagonal"},
        )
        assert (
            found.agrees
            or "half" in names_of(found)
            or loss in [guess.loss[0] for guess in found.guesses if guess.loss and guess.convention == "other_loss"]
        ), loss.name
    assert taken > 10


@pytest.mark.thorough
def test_parameters_of_other_libraries_are_recognised_by_their_calls() -> None:
    """The preset of the first call of another library that a loss equals under parameters of its own."""
    seen = 0
    for case in default_cases():
        if not case.loss.differentiable or len(case.draw(n=N)) != 2 or case.d:
            continue
        loss, mine = case.loss, of_case(case)
        for equal in [equal for equal in loss.equals if equal.parameters][:1]:
            try:
                theirs = Given(bind(loss, equal.parameters), mine.predictions, mine.targets).batch()
                wrong = outputs_of(theirs)
            except CallerError:
                continue
            found = check_gradient(mine, wrong) if wrong.keys() == outputs_of(mine.batch()).keys() else None
            if found and not found.agrees and found.guesses[0].convention in ("other_loss", "clip"):
                seen += 1
                same = [guess for guess in found.guesses if guess.convention in ("other_loss", "clip") and guess.loss]
                assert any(guess.loss and guess.loss[0] is loss for guess in same), (case.words, equal.call)
    assert seen > 5


# --- patterns -------------------------------------------------------------------------------------------------------------


def pattern(mine: Given, wrong: Any, output: str = "gradient") -> Any:
    return check_gradient(mine, {output: np.asarray(wrong, np.float64)}).outputs[output].pattern


def test_another_subgradient_is_a_pattern_of_kinks() -> None:
    mine = given("mean_absolute_error", [1.0, 2.0, 3.0, 5.0], [1.0, 0.0, 3.0, 7.0])
    found = check_gradient(mine, {"gradient": np.array([0.25, 0.25, 0.25, -0.25])})
    assert found.outputs["gradient"].pattern == "at_kinks"
    assert found.numerical is not None
    assert (found.numerical.agrees, found.numerical.n_checked, found.numerical.n_at_kinks) == (True, 4, 2)
    huber = given("huber", [1.0, 2.0, 0.3, -1.0], [0.0, 0.0, 0.0, 0.0])
    second = check_gradient(huber, {"hessian_diagonal": np.array([0.25, 0.0, 0.25, 0.25])})
    assert second.outputs["hessian_diagonal"].pattern == "at_kinks"


def test_one_class_is_a_pattern() -> None:
    mine = given("binary_cross_entropy", [0.2, 0.6, 0.7, 0.4, 0.9], [0, 1, 1, 0, 1])
    right = outputs_of(mine.batch())
    positives = np.array([0, 1, 1, 0, 1], bool)
    for name in ("per_sample", "gradient", "hessian_diagonal"):
        found = check_gradient(mine, {name: np.where(positives, 3.0 * right[name], right[name])}).outputs[name]
        assert (found.pattern, found.of_class) == ("one_class", 1.0)
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    several = given("categorical_cross_entropy", rows, [0, 1, 2, 2, 1, 0])
    losses = outputs_of(several.batch())["per_sample"]
    losses[[2, 3]] *= 2.0
    found = check_gradient(several, {"per_sample": losses}).outputs["per_sample"]
    assert (found.pattern, found.of_class) == ("one_class", 2.0)
    signs = given("hinge", [0.2, 0.6, -0.7, 0.4], [-1, 1, 1, -1])
    slopes = outputs_of(signs.batch())["gradient"]
    slopes[[0, 3]] = 0.0
    found = check_gradient(signs, {"gradient": slopes}).outputs["gradient"]
    assert (found.pattern, found.of_class) == ("one_class", -1.0)


def test_weights_masks_and_saturation_are_patterns() -> None:
    p, y = np.array([1.0, 2.0, 4.0, 3.0]), np.zeros(4)
    weighed = given("mean_squared_error", p, y, sample_weight=[1, 2, 1, 3])
    assert pattern(weighed, 2 * p / 7.0) == "where_weights_differ"
    assert check_gradient(weighed, {"gradient": 2 * p / 4.0}).guesses[0].convention == "unweighted"
    dropped = given("mean_squared_error", p, y, sample_weight=[1, 0, 1, 1])
    assert pattern(dropped, 2 * p / 3.0) == "where_weights_differ"
    masked = given("mean_squared_error", p, y, mask=[True, False, True, True])
    assert pattern(masked, 2 * p / 3.0) == "where_masked"
    sure = given("binary_cross_entropy", [0.0, 0.6, 1.0, 0.4], [1, 1, 1, 0])
    limited = given("binary_cross_entropy", [0.0, 0.6, 1.0, 0.4], [1, 1, 1, 0], clip=1e-7)
    right, clipped = outputs_of(sure.batch()), outputs_of(limited.batch())
    for mine, wrong in ((sure, clipped), (limited, right)):
        for name in ("per_sample", "value"):
            found = check_gradient(mine, {name: wrong[name]})
            assert found.guesses[0].convention == "clip", name
            assert name == "value" or found.outputs[name].pattern == "saturated"
    lost = check_gradient(limited, {"value": math.nan})
    assert lost.guesses[0].convention == "clip"
    assert lost.guesses[0].explains == ("value",)


def test_scattered_mistakes_have_no_pattern() -> None:
    p = np.arange(1.0, 21.0)
    wrong = 2 * p / 20
    wrong[[3, 11]] += 1.0
    mine = given("mean_squared_error", p, np.zeros(20))
    found = check_gradient(mine, {"gradient": wrong})
    assert (found.outputs["gradient"].pattern, found.guesses) == ("scattered", ())
    assert [difference.index for difference in found.outputs["gradient"].first] == [3, 11]
    labels = np.arange(20) % 2
    bce = given("binary_cross_entropy", np.full(20, 0.3), labels)
    losses = outputs_of(bce.batch())["per_sample"]
    losses[4] += 1.0
    assert pattern(bce, losses, "per_sample") == "scattered"


def test_a_pattern_is_found_along_any_axis_of_classes() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(4, 3, 5)), rng.integers(0, 3, (4, 5))
    mine = given("categorical_cross_entropy", logits, labels, from_logits=True, class_axis=1)
    slopes = outputs_of(mine.batch())["gradient"]
    own = np.broadcast_to((labels == 2)[:, None, :], slopes.shape)
    found = check_gradient(mine, {"gradient": np.where(own, 2 * slopes, slopes)}).outputs["gradient"]
    assert (found.pattern, found.of_class) == ("one_class", 2.0)
    slopes[:, 1] *= 3.0
    found = check_gradient(mine, {"gradient": slopes}).outputs["gradient"]
    assert (found.pattern, found.of_class) == ("one_class", 1.0)
    assert len(found.first) == 10
    assert found.first[0].index == (0, 1, 0)


# --- what is said of numbers ----------------------------------------------------------------------------------------------


def test_steps_are_counted_across_zero_and_powers_of_two() -> None:
    one = np.array([1.0, 1.0, 0.0, -0.0, 5e-324, -1.0, 2.0**52])
    other = np.array([np.nextafter(1.0, 2), np.nextafter(1.0, 0), 5e-324, 0.0, -5e-324, 1.0, 2.0**52 + 3])
    assert steps_between(one, other).tolist() == [1, 1, 1, 0, 2, 2 * 0x3FF0000000000000, 3]
    assert steps_between(other, one).tolist() == steps_between(one, other).tolist()


def test_what_is_no_number_disagrees_unless_the_reference_is_none() -> None:
    mine = given("binary_cross_entropy", [0.0, 0.5, 0.5], [1, 1, 0])
    losses = np.array([math.inf, math.nan, math.log(2)])
    found = check_gradient(mine, {"per_sample": losses}).outputs["per_sample"]
    assert (found.n_disagree, [difference.index for difference in found.first]) == (1, [1])
    assert (found.first[0].relative_error, found.first[0].ulp) == (None, None)
    assert check_gradient(mine, {"value": math.inf, "per_sample": np.array([math.nan, *np.full(2, math.log(2))])}).agrees
    assert not check_gradient(mine, {"value": 1.0}).agrees


def test_tolerances_are_of_both_kinds() -> None:
    from app.insight.agreement import Tolerance

    mine = given("mean_squared_error", [1000.0, 0.0], [0.0, 0.0])
    near = np.array([1000.0 * (1 + 1e-5), 1e-5])
    assert not check_gradient(mine, {"gradient": near}, tolerance=Tolerance(1e-4, 0.0)).agrees
    assert check_gradient(mine, {"gradient": near}, tolerance=Tolerance(1e-4, 1e-4)).agrees
    assert not check_gradient(mine, {"gradient": near}, tolerance=Tolerance(0.0, 1e-4)).agrees


# --- the reference itself -------------------------------------------------------------------------------------------------


@each_case
def test_the_reference_agrees_with_differences_of_its_values(case: Case) -> None:
    found = check_numerically(case.batch(), np.zeros(0, np.intp)).numerical
    assert found.agrees, found
    assert found.n_checked > 0, found


def test_a_gradient_that_is_none_is_noticed() -> None:
    """One of ciou's is not the derivative of its value: with alpha detached, as torchvision has it."""
    case = next(case for case in cases("ciou") if case.parameters == {"detach_alpha": True})
    found = check_numerically(case.batch(), np.zeros(0, np.intp)).numerical
    assert not found.agrees
    assert found.max_relative_error > 0.01


# --- refusals -------------------------------------------------------------------------------------------------------------

MSE = given("mean_squared_error", [1.0, 2.0, 4.0], [0.0, 0.0, 1.0])
GAUSSIAN = Given(bind(LOSSES["gaussian_nll"], {}), {"mean": np.zeros(2), "variance": np.ones(2)}, np.ones(2))
REFUSED: list[tuple[Given, Yours, str, tuple[Any, ...], str]] = [
    (MSE, {"gradient": np.zeros(2)}, "mean", ("gradient",), "shape_mismatch"),
    (MSE, {"per_sample": np.zeros((3, 1))}, "mean", ("per_sample",), "shape_mismatch"),
    (MSE, {"gradient": {"mean": np.zeros(3)}}, "mean", ("gradient",), "shape_mismatch"),
    (MSE, {"value": 1.0}, "none", ("value",), "output"),
    (GAUSSIAN, {"gradient": np.zeros(2)}, "mean", ("gradient",), "shape_mismatch"),
    (GAUSSIAN, {"gradient": {"mean": np.zeros(2)}}, "mean", ("gradient", "variance"), "missing"),
    (GAUSSIAN, {"gradient": {"mean": np.zeros(2), "variance": np.zeros(3)}}, "mean", ("gradient", "variance"), "shape_mismatch"),
    (GAUSSIAN, {"gradient": dict.fromkeys(("mean", "variance", "x"), np.zeros(2))}, "mean", ("gradient", "x"), "unknown_field"),
    (
        given("cosine_similarity", [[1.0, 2.0]], [[0.0, 1.0]]),
        {"hessian_diagonal": np.zeros((1, 2))},
        "mean",
        ("hessian_diagonal",),
        "output",
    ),
    (given("zero_one", [1.0, 0.0], [0, 1]), {"gradient": np.zeros(2)}, "mean", ("gradient",), "output"),
]


@pytest.mark.parametrize(("mine", "yours", "reduction", "path", "code"), REFUSED)
def test_what_does_not_fit_is_refused(mine: Given, yours: Yours, reduction: Any, path: tuple[Any, ...], code: str) -> None:
    with pytest.raises(CallerError) as refused:
        check_gradient(mine, yours, reduction=reduction)
    assert (refused.value.faults[0].path, refused.value.faults[0].code) == (path, code)


def test_each_convention_is_tried_by_these_tests() -> None:
    tried = {"half", "double", "sign", "log2", "natural", "per_class", "sum", "mean"}
    assert {convention.name for convention in CONVENTIONS} == tried
    assert all(convention.text.endswith(".") for convention in CONVENTIONS)
