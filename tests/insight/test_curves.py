"""Curves against the evaluation of the loss, formulas worked out by hand, and what losses promise of themselves."""

import math
from typing import Any

import numpy as np
import pytest

from app.errors import CallerError
from app.insight.curves import Axis, Curve, Oblique, Vertical, axis_of, curve
from app.losses import LOSSES, evaluate
from app.losses.batch import check
from app.losses.form import Bound, bind
from app.losses.loss import SMOOTH


def drawn(
    name: str, low: float | None = None, high: float | None = None, target: float | None = None, **parameters: Any
) -> Curve:
    bound = bind(LOSSES[name], parameters)
    axis = axis_of(bound)
    x = np.linspace(axis.low if low is None else low, axis.high if high is None else high, 101)
    return curve(bound, axis, x, axis.target if target is None else target)


def with_curves() -> dict[str, tuple[Bound, Axis]]:
    found: dict[str, tuple[Bound, Axis]] = {}
    for name, loss in LOSSES.items():
        try:
            bound = bind(loss, {})
            found[name] = bound, axis_of(bound)
        except CallerError:
            continue
    return found


CURVES = with_curves()


def test_every_loss_of_one_number_has_a_curve() -> None:
    assert len(CURVES) > 30
    kinds = {
        kind: [name for name, (_, axis) in CURVES.items() if axis.kind == kind] for kind in ("residual", "margin", "probability")
    }
    assert {"mean_squared_error", "huber", "quantile", "log_cosh", "max_error"} <= {*kinds["residual"]}
    assert {"hinge", "logistic", "perceptron", "exponential"} <= {*kinds["margin"]}
    assert {"binary_cross_entropy", "brier_score", "binary_focal"} <= {*kinds["probability"]}
    assert CURVES["gamma_deviance"][1].kind == CURVES["mean_absolute_percentage_error"][1].kind == "prediction"
    assert axis_of(bind(LOSSES["binary_cross_entropy"], {"from_logits": True})).kind == "logit"


@pytest.mark.parametrize(
    "name", ["triplet_margin", "categorical_cross_entropy", "iou", "gaussian_nll", "dice", "hamming_loss", "ctc"]
)
def test_a_loss_of_more_says_why_it_has_none(name: str) -> None:
    with pytest.raises(CallerError, match=f"{name} has no curve: .*a curve"):
        axis_of(bind(LOSSES[name], {}))


def test_numbers_are_those_of_an_evaluation() -> None:
    for name, (bound, axis) in CURVES.items():
        for target in (axis.target, -1.0) if axis.kind == "margin" else (axis.target,):
            x = np.linspace(axis.low, axis.high, 41)
            found = curve(bound, axis, x, target)
            predictions = x + target if axis.kind == "residual" else x * target if axis.kind == "margin" else x
            turn = target if axis.kind == "margin" else 1.0
            for index, prediction in enumerate(predictions):  # one by one: no sample may depend on the others
                batch = check(bound.loss, {}, np.array([prediction]), np.array([target]))
                outputs = ("per_sample", "gradient", "hessian_diagonal")[: 1 + bound.loss.derivatives]
                alone = evaluate(batch, reduction="none", outputs=outputs)
                assert np.array_equal(found.value[index], alone.per_sample[0], equal_nan=True), (name, target, x[index])
                if found.slope is not None:
                    assert np.array_equal(found.slope[index], turn * alone.gradient[0], equal_nan=True), (name, target, x[index])
                if found.curvature is not None:
                    assert np.array_equal(found.curvature[index], alone.hessian_diagonal[0], equal_nan=True), (
                        name,
                        target,
                        x[index],
                    )


def test_the_slope_is_that_of_the_value() -> None:
    for name, (bound, axis) in CURVES.items():
        x = np.linspace(axis.low, axis.high, 4001)[200:-200]
        found = curve(bound, axis, x, axis.target)
        if found.slope is None:
            continue
        measured = np.gradient(found.value, x)
        apart = np.abs(measured - found.slope)[1:-1]
        smooth = np.all(
            [np.abs(x[1:-1] - kink) > 2 * (x[1] - x[0]) for kink in found.kinks] or [np.full(x.size - 2, True)], axis=0
        )
        assert (apart[smooth] < 1e-2 * (1 + np.abs(found.slope[1:-1][smooth]))).all(), (name, apart[smooth].max())


def test_a_smooth_loss_has_no_kink() -> None:
    """What a loss says of itself, at targets on both sides; a smooth one may have kinks only by a clip that is asked for."""
    for name, (bound, axis) in CURVES.items():
        kinks: set[float] = set()
        for target in {"margin": (-1.0, 1.0), "probability": (0.0, 1.0), "residual": (0.0, 2.5)}.get(axis.kind, (1.0,)):
            kinks |= {*curve(bound, axis, np.linspace(axis.low, axis.high, 23), target).kinks}
        if SMOOTH in bound.loss.properties:
            assert not kinks, name


@pytest.mark.parametrize(
    ("name", "parameters", "kinks"),
    [
        ("mean_absolute_error", {}, [0.0]),
        ("quantile", {"quantile": 0.3}, [0.0]),
        ("epsilon_insensitive", {"epsilon": 0.7312345678}, [-0.7312345678, 0.7312345678]),
        ("epsilon_insensitive", {"epsilon": 1e-6}, [-1e-6, 1e-6]),
        ("hinge", {"margin": 0.25}, [0.25]),
        ("perceptron", {}, [0.0]),
        ("huber", {"delta": 0.37}, []),
        ("smooth_l1", {"beta": 0.0}, [0.0]),
        ("mean_absolute_percentage_error", {}, [1.0]),
        ("binary_cross_entropy", {"clip": 0.05}, [0.05, 0.95]),
    ],
)
def test_kinks_stand_where_the_formula_bends(name: str, parameters: dict[str, Any], kinks: list[float]) -> None:
    assert drawn(name, **parameters).kinks == pytest.approx(kinks, abs=1e-15)


def test_kinks_do_not_depend_on_the_grid() -> None:
    bound = bind(LOSSES["epsilon_insensitive"], {"epsilon": 1 / 3})
    for points in (2, 3, 50, 201):
        for low, high in ((-3.0, 3.0), (-0.5, 0.4), (-1000.0, 77.7)):
            kinks = curve(bound, axis_of(bound), np.linspace(low, high, points), 0.0).kinks
            assert kinks == pytest.approx([-1 / 3, 1 / 3], abs=1e-13), (points, low, high)
    assert drawn("epsilon_insensitive", 0.0, 0.2, epsilon=1 / 3).kinks == []


@pytest.mark.parametrize(
    ("name", "target", "parameters", "asymptotes"),
    [
        ("mean_squared_error", None, {}, []),
        ("mean_absolute_error", None, {}, [Oblique(-1.0, 0.0), Oblique(1.0, 0.0)]),
        ("huber", None, {"delta": 1.5}, [Oblique(-1.5, -1.125), Oblique(1.5, -1.125)]),
        ("log_cosh", None, {}, [Oblique(-1.0, -math.log(2)), Oblique(1.0, -math.log(2))]),
        ("quantile", None, {"quantile": 0.9}, [Oblique(-0.9, 0.0), Oblique(0.1, 0.0)]),
        ("hinge", None, {}, [Oblique(-1.0, 1.0), Oblique(0.0, 0.0)]),
        ("logistic", None, {}, [Oblique(-1.0, 0.0), Oblique(0.0, 0.0)]),
        ("exponential", None, {}, [Oblique(0.0, 0.0)]),
        ("binary_cross_entropy", None, {}, [Vertical(0.0)]),
        ("binary_cross_entropy", 0.0, {}, [Vertical(1.0)]),
        ("binary_cross_entropy", 0.3, {}, [Vertical(0.0), Vertical(1.0)]),
        ("binary_cross_entropy", None, {"clip": 1e-7}, []),
        ("brier_score", None, {}, []),
        ("poisson_deviance", None, {}, [Vertical(0.0)]),
        ("poisson_deviance", 0.0, {}, [Oblique(2.0, 0.0)]),
        ("gamma_deviance", None, {}, [Vertical(0.0)]),
        ("mean_squared_logarithmic_error", None, {}, [Vertical(-1.0)]),
    ],
)
def test_asymptotes_are_those_of_the_formula(name: str, target: float | None, parameters: Any, asymptotes: list[Any]) -> None:
    found = drawn(name, target=target, **parameters).asymptotes
    assert [type(one) for one in found] == [type(one) for one in asymptotes]
    for one, expected in zip(found, asymptotes, strict=True):
        assert one == pytest.approx(expected, abs=1e-9)


def test_asymptotes_do_not_depend_on_what_is_drawn() -> None:
    for low, high in ((-1e-3, 1e-3), (5.0, 6.0), (-1e6, 1e6)):
        assert drawn("huber", low, high).asymptotes == drawn("huber").asymptotes, (low, high)


def test_what_is_infinite_stands_so_in_the_curve() -> None:
    found = drawn("binary_cross_entropy")
    assert found.value[0] == math.inf
    assert np.isfinite(found.value[1:]).all()
