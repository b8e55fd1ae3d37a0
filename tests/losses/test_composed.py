"""Losses made of others: what their parts give together, the promised examples, and what does not go together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError
from app.losses import LOSSES
from app.losses.batch import Batches
from app.losses.composed import Composable, Head, Weighed, asymmetric, expression, multi_task, weighted_sum
from app.losses.encodings import REAL
from app.losses.form import bind
from app.losses.loss import ZERO_AT_TARGET
from app.losses.outputs import arrays_by_name
from app.losses.penalty import penalty
from app.losses.sums import batch_of, evaluate

P, Y = np.array([2.5, 0.0, 8.0]), np.array([3.0, -0.5, 2.0])
ALL = ("value", "per_sample", "per_element", "gradient", "hessian_diagonal")


def bound(name: str, **parameters: Any) -> Any:
    return bind(LOSSES[name], parameters)


MSE, MAE = bound("mean_squared_error"), bound("mean_absolute_error")


def test_the_seventh_example() -> None:
    answer = evaluate(batch_of(weighted_sum(terms=[Weighed(MSE, 0.7), Weighed(MAE, 0.3)]), P, Y))
    assert answer.value == pytest.approx(9.216666666666667, rel=1e-15)
    assert answer.gradient == pytest.approx([-1 / 3, 1 / 3, 2.9], rel=1e-15)
    assert answer.terms.tolist() == [12.166666666666666, 2.3333333333333335]
    answer = evaluate(batch_of(asymmetric(loss=MSE, over=2.0, under=1.0), P, Y))
    assert answer.value == 24.25
    assert answer.gradient == pytest.approx([-1 / 3, 2 / 3, 8.0], rel=1e-15)
    answer = evaluate(batch_of(expression(value="c**2*log1p((r/c)**2)", parameters={"c": 2.0}), P, Y))
    assert answer.value == pytest.approx(3.231779115502554, rel=1e-15)
    assert answer.gradient == pytest.approx([-0.3137254901960784, 0.3137254901960784, 0.4], rel=1e-15)
    found = penalty({"w": np.array([1.0, -2.0, 0.0])}, 0.1, 0.01)
    assert found.value == pytest.approx(0.35)
    assert found.gradient["w"] == pytest.approx([0.12, -0.14, 0.0])


def test_the_eighth_example() -> None:
    heads = {"size": Head(MSE, 2.0), "kind": Head(bound("categorical_cross_entropy", from_logits=True), log_variance=0.4)}
    predictions = {"size": np.array([1.0, 2.0]), "kind": np.array([[0.0, 1.0], [2.0, 0.0]])}
    targets = {"size": np.array([0.0, 2.5]), "kind": np.array([1.0, 1.0])}
    answer = evaluate(batch_of(multi_task(heads=heads), predictions, targets))
    assert answer.value == pytest.approx(2.267854035537617, rel=1e-15)
    assert answer.terms == pytest.approx([0.625, 1.2200948492805979], rel=1e-15)
    assert answer.gradient["size"].tolist() == [2.0, -1.0]
    assert answer.gradient["kind"][0] == pytest.approx([0.0901384129768127, -0.0901384129768127], rel=1e-14)
    assert answer.per_sample.mean() == pytest.approx(answer.value, rel=1e-15)


REGRESSIONS = [
    name
    for name, loss in LOSSES.items()
    if [*loss.inputs] == ["predictions", "targets"] and all(input_.cases[-1][1] is REAL for input_ in loss.inputs.values())
]


def test_a_sum_is_the_sum_of_its_parts_whatever_is_asked_of_it() -> None:
    rng = np.random.default_rng(1)
    p, y = rng.uniform(0.5, 3.0, (40, 3)), rng.uniform(0.5, 3.0, (40, 3))
    weights, mask = rng.uniform(0.0, 2.0, (40, 3)), rng.uniform(size=(40, 3)) > 0.2
    pairs = [("mean_squared_error", "log_cosh"), ("huber", "mean_squared_error"), ("half_squared_error", "mean_absolute_error")]
    for first, second in pairs:
        for reduction in ("mean", "sum", "mean_over_samples", "none"):
            given = {"sample_weight": weights, "mask": mask}
            parts = [evaluate(batch_of(bound(name), p, y, **given), reduction=reduction, outputs=ALL) for name in (first, second)]
            whole = batch_of(weighted_sum(terms=[Weighed(bound(first), 0.25), Weighed(bound(second), -2.0)]), p, y, **given)
            answer = evaluate(whole, reduction=reduction, outputs=(*ALL, "terms"))
            assert (answer.n_samples, answer.divisor) == (parts[0].n_samples, parts[0].divisor)
            for name in ALL:
                if parts[0].outputs[name] is None:
                    assert answer.outputs[name] is None
                    continue
                first_part, second_part, both = (np.asarray(found.outputs[name]) for found in (*parts, answer))
                wanted = 0.25 * first_part - 2.0 * second_part
                np.testing.assert_allclose(both, wanted, rtol=1e-13, atol=1e-13, err_msg=f"{name} {reduction}")


def test_terms_may_be_means_of_other_kinds_and_losses_of_whole_rows() -> None:
    rng = np.random.default_rng(2)
    p, y = rng.uniform(0.05, 0.95, (20, 6)), (rng.uniform(size=(20, 6)) > 0.5).astype(float)
    terms = [Weighed(bound("binary_cross_entropy")), Weighed(bound("dice"), 0.5)]
    batch = batch_of(weighted_sum(terms=terms), p, y)
    answer, parts = evaluate(batch), [evaluate(batch_of(term.loss, p, y)) for term in terms]
    assert isinstance(batch, Batches)
    assert answer.value == pytest.approx(parts[0].value + 0.5 * parts[1].value, rel=1e-15)
    np.testing.assert_allclose(answer.gradient, parts[0].gradient + 0.5 * parts[1].gradient, rtol=1e-13)
    np.testing.assert_allclose(answer.per_sample, parts[0].per_sample + 0.5 * parts[1].per_sample, rtol=1e-13)
    with pytest.raises(CallerError, match="different shapes"):
        evaluate(batch, outputs=["per_element"])
    square = evaluate(batch_of(weighted_sum(terms=[Weighed(bound("root_mean_squared_error")), Weighed(MAE)]), P, Y))
    assert square.value == pytest.approx(np.sqrt(np.mean((P - Y) ** 2)) + np.mean(np.abs(P - Y)), rel=1e-15)


def test_a_weight_of_0_leaves_nothing_of_a_loss_that_is_infinite() -> None:
    terms = [Weighed(expression(value="log(p)"), 0.0), Weighed(MSE)]
    answer = evaluate(batch_of(weighted_sum(terms=terms), np.array([0.0, 1.0]), np.zeros(2)))
    assert (answer.value, answer.per_sample.tolist()) == (0.5, [0.0, 1.0])
    assert [(number.output, number.index) for number in answer.non_finite] == [("terms", (0,))]


def test_the_gradient_of_a_sum_is_its_derivative() -> None:
    inner = weighted_sum(
        terms=[Weighed(asymmetric(loss=bound("huber"), over=3.0, under=0.5), 1.5), Weighed(expression(value="r**4"))]
    )
    made = multi_task(heads={"a": Head(inner, log_variance=-0.7), "b": Head(bound("log_cosh"), 0.2)})
    rng = np.random.default_rng(4)
    p, y = ({key: rng.normal(size=5) for key in "ab"} for _ in range(2))
    answer, step = evaluate(batch_of(made, p, y)), 1e-6
    for key in "ab":
        for index in range(5):
            ends = []
            for sign in (-1, 1):
                moved = {name: array.copy() for name, array in p.items()}
                moved[key][index] += sign * step
                ends.append(evaluate(batch_of(made, moved, y)).value)
            assert answer.gradient[key][index] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6, abs=1e-9)


# --- asymmetric ----------------------------------------------------------------------------------------------------------------


def test_it_is_the_loss_times_the_price_of_its_side_for_each_loss_of_numbers() -> None:
    rng = np.random.default_rng(3)
    p, y = rng.uniform(0.5, 3.0, 50), rng.uniform(0.5, 3.0, 50)
    taken: list[str] = []
    refused: dict[str, CallerError] = {}
    for name in REGRESSIONS:
        loss = bound(name)
        try:
            made = asymmetric(loss=loss, over=2.0, under=0.25)
        except CallerError as error:
            refused[name] = error
            continue
        taken.append(name)
        factor = np.where(p > y, 2.0, 0.25)
        had = [output for output in ALL if output != "hessian_diagonal" or made.loss.derivatives == 2]
        plain = evaluate(batch_of(loss, p, y), reduction="none", outputs=had)
        answer = evaluate(batch_of(made, p, y), reduction="none", outputs=had)
        for output in had[1:]:
            wanted = factor * np.asarray(plain.outputs[output])
            np.testing.assert_allclose(np.asarray(answer.outputs[output]), wanted, rtol=1e-14, err_msg=name)
        alike = evaluate(batch_of(asymmetric(loss=loss), p, y), outputs=had)
        same = arrays_by_name(evaluate(batch_of(loss, p, y), outputs=had).outputs)
        found = arrays_by_name(alike.outputs)
        assert all(np.array_equal(np.asarray(array), np.asarray(same[output])) for output, array in found.items()), name
    assert not [name for name in refused if ZERO_AT_TARGET in LOSSES[name].properties and LOSSES[name].coupling == "sample"]
    assert {error.faults[0].path for error in refused.values()} <= {("parameters", "loss")}
    assert {"mean_squared_error", "huber", "quantile", "root_mean_squared_error"} <= {*taken}


def test_at_the_target_a_steep_side_and_a_flat_one_have_no_curvature() -> None:
    one = np.ones(1)
    assert evaluate(batch_of(asymmetric(loss=MSE, over=2.0), one, one), outputs=ALL).hessian_diagonal.tolist() == [0.0]
    assert evaluate(batch_of(asymmetric(loss=MSE, over=2.0, under=2.0), one, one), outputs=ALL).hessian_diagonal.tolist() == [4.0]


# --- what does not go together ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "predictions", "targets", "more", "path", "code"),
    [
        (multi_task(heads={"a": Head(MSE), "b": Head(MAE)}), {"a": P}, {"a": Y, "b": Y}, {}, ("predictions", "b"), "missing"),
        (multi_task(heads={"a": Head(MSE), "b": Head(MAE)}), {"a": P, "b": P}, {"a": Y}, {}, ("targets", "b"), "missing"),
        (multi_task(heads={"a": Head(MSE)}), {"a": P, "c": P}, {"a": Y}, {}, ("predictions", "c"), "unknown_field"),
        (multi_task(heads={"a": Head(MSE)}), P, {"a": Y}, {}, ("predictions",), "not_an_object"),
        (multi_task(heads={"a": Head(MSE)}), {"a": P}, None, {}, ("targets",), "missing"),
        (
            multi_task(heads={"a": Head(MSE), "b": Head(MAE)}),
            {"a": P, "b": P[:2]},
            {"a": Y, "b": Y[:2]},
            {},
            ("predictions", "b"),
            "shape_mismatch",
        ),
        (multi_task(heads={"a": Head(MSE)}), {"a": P}, {"a": Y[:2]}, {}, ("targets", "a"), "shape_mismatch"),
        (multi_task(heads={"a": Head(MSE)}), {"a": P}, {"a": Y}, {"mask": {"a": P[:1] > 0}}, ("mask", "a"), "shape_mismatch"),
        (multi_task(heads={"a": Head(MSE)}), {"a": {"x": P}}, {"a": Y}, {}, ("predictions", "a"), "not_an_array"),
        (MSE, P, Y, {"sample_weight": {"a": P}}, ("sample_weight",), "not_an_array"),
        (MSE, P, {"x": Y}, {}, ("targets",), "not_an_array"),
        (
            weighted_sum(terms=[Weighed(MSE), Weighed(bound("quantile", quantile=[0.1, 0.9]))]),
            P,
            Y,
            {},
            ("parameters", "terms", 1, "loss", "quantile"),
            "length",
        ),
        (
            asymmetric(loss=asymmetric(loss=bound("quantile", quantile=[0.1, 0.9]))),
            P,
            Y,
            {},
            ("parameters", "loss", "loss", "quantile"),
            "length",
        ),
    ],
)
def test_what_does_not_fit_is_told_where_it_stands(
    loss: Composable, predictions: Any, targets: Any, more: Mapping[str, Any], path: tuple[str | int, ...], code: str
) -> None:
    with pytest.raises(CallerError) as caught:
        batch_of(loss, predictions, targets, **more)
    assert (caught.value.faults[0].path, caught.value.faults[0].code) == (path, code)


def test_weights_and_masks_may_be_of_each_head() -> None:
    made = multi_task(heads={"a": Head(MSE), "b": Head(MAE, log_variance=2.0)})
    p, y = {"a": P, "b": P}, {"a": Y, "b": Y}
    masks = {"a": np.array([True, False, True]), "b": np.array([True, False, False])}
    answer = evaluate(batch_of(made, p, y, mask=masks))
    assert answer.n_samples == 2
    assert answer.terms.tolist() == [18.125, 0.5]
    assert answer.per_sample[1] == 0.0
    assert answer.per_sample[0] == pytest.approx(0.25 + np.exp(-2.0) * 0.5 + 1.0)
    assert answer.per_sample[2] == 36.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: asymmetric(loss=MSE, over=0.0, under=0.0),
        lambda: asymmetric(loss=bound("binary_cross_entropy")),
        lambda: asymmetric(loss=weighted_sum(terms=[Weighed(MSE)])),
        lambda: asymmetric(loss=expression(value="r**2 + 1")),
        lambda: asymmetric(loss=expression(value="p**2")),
        lambda: multi_task(heads={"a": Head(MSE, 1.0, 0.0)}),
        lambda: multi_task(heads={"a.b": Head(MSE)}),
    ],
)
def test_what_is_no_loss_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(CallerError):
        make()
