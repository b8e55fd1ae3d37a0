"""Each promise of a loss, held against random points: a flag that is not true fails here."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.domains import Interval, Simplex
from app.losses import Loss
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, NON_NEGATIVE, PROPER, SMOOTH, SYMMETRIC, ZERO_AT_TARGET, Property
from tests.folding import folded
from tests.losses.drawing import Array, Case, cases, default_cases, frozen, gradients_of, over


def promised(flag: Property, every_setting: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The cases of losses that promise this, with their default parameters unless said otherwise."""
    found = [
        case for case in (cases() if every_setting else default_cases()) if all(wanted in case.loss.properties for wanted in flag)
    ]
    return over(found)


def predictions_of(case: Case, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: arrays[name] for name in case.prediction_names}


def per_sample(case: Case, arrays: Mapping[str, Array]) -> Array:
    losses = case.evaluate(frozen(arrays), reduction="none").per_sample
    assert losses is not None
    return losses


# --- convex ---------------------------------------------------------------------------------------------------------


def widened(case: Case, arrays: Mapping[str, Array], factor: float) -> dict[str, Array]:
    """Predictions further out, where their encoding has no bounds: a chord should span more than one piece of a loss."""
    return {name: array * factor if case.encodings[name].domain == Interval() else array for name, array in arrays.items()}


@pytest.mark.no_cover  # others run these lines as well
@promised(CONVEX)
@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_convex_losses_lie_below_their_chords(case: Case, factor: float) -> None:
    arrays = case.draw(n=300, seed=1)
    ends = [
        widened(case, predictions_of(case, arrays), factor),
        widened(case, predictions_of(case, case.draw(n=300, seed=2)), factor),
    ]
    losses = [per_sample(case, {**arrays, **end}) for end in ends]
    values = [case.evaluate(frozen({**arrays, **end})).value for end in ends]
    assert values[0] is not None
    assert values[1] is not None
    for share in (0.05, 0.5, 0.8):
        between = {**arrays, **{name: share * ends[0][name] + (1 - share) * ends[1][name] for name in ends[0]}}
        chord = share * losses[0] + (1 - share) * losses[1]
        assert (per_sample(case, between) <= chord + 1e-12 * (1 + np.abs(losses[0]) + np.abs(losses[1]))).all()
        value = case.evaluate(frozen(between)).value
        assert value is not None
        assert value <= share * values[0] + (1 - share) * values[1] + 1e-12 * (1 + abs(values[0]) + abs(values[1]))


# --- symmetric, non-negative, zero at the target ----------------------------------------------------------------------


@promised(SYMMETRIC)
def test_symmetric_losses_take_either_side_for_the_other(case: Case) -> None:
    """Both sides are drawn as predictions, which the targets of a symmetric loss must be able to hold."""
    here, there = case.draw(n=50, seed=1)["predictions"], case.draw(n=50, seed=2)["predictions"]
    one = case.evaluate(frozen({"predictions": here, "targets": there}))
    other = case.evaluate(frozen({"predictions": there, "targets": here}))
    assert one.per_sample is not None
    assert other.per_sample is not None
    np.testing.assert_allclose(one.per_sample, other.per_sample, rtol=1e-14, atol=0)
    assert one.value == pytest.approx(other.value, rel=1e-14)


@promised(NON_NEGATIVE, every_setting=True)
def test_non_negative_losses_are_never_below_zero(case: Case) -> None:
    arrays = case.draw(n=400, seed=3)
    assert (per_sample(case, arrays) >= 0).all()


@promised(NON_NEGATIVE | ZERO_AT_TARGET, every_setting=True)
def test_non_negative_losses_are_not_below_zero_where_terms_cancel(case: Case) -> None:
    arrays = case.draw(n=1000, seed=3)
    hit = at_target(case, arrays)["predictions"]
    nearness = np.resize([0.0, 1e-16, 1e-12, 1e-8, 1e-4], (len(hit), *(1,) * (hit.ndim - 1)))
    near = hit * (1 + nearness * np.random.default_rng(4).uniform(-1, 1, hit.shape))
    domain = case.encodings["predictions"].domain
    simplex = any(isinstance(encoding.domain, Simplex) for encoding in case.encodings.values())
    lacking = 1e-15 if simplex else 0.0  # rows sum to 1 within a rounding, and the loss may be lower by what is missing
    near = hit if domain.discrete else domain.nearest(near)
    assert (per_sample(case, {**at_target(case, arrays), "predictions": near}) >= -lacking).all()


def at_target(case: Case, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays with predictions that hit the targets, each in its own encoding."""
    assert list(arrays) == ["predictions", "targets"], "of several arrays none equals the targets: the promise means nothing"
    here, there = (case.encodings[side] for side in ("predictions", "targets"))
    known = {name: value for name, value in case.parameters.items() if name != "ignore_index"}
    batch = replace(case, parameters=known).batch(arrays)
    rows = np.asarray(batch.arrays[-1][:])
    predictions, targets = arrays["predictions"], rows.reshape(*batch.elements, *rows.shape[1:])
    if not there.domain.discrete and here.link is None and there.domain.includes(here.domain):
        return {"predictions": predictions, "targets": predictions}
    if there.link is not None:
        targets = np.exp(targets)
    elif targets.ndim < predictions.ndim:  # classes, as rows that are sure of them
        targets = np.eye(predictions.shape[-1])[targets]
    if here.link is not None:
        return {**arrays, "predictions": np.maximum(np.log(np.maximum(targets, 1e-300)), -600.0)}
    if here.name == "distance":  # nought between what belongs together, the margin between what does not
        return {**arrays, "predictions": np.where(targets == 1, 0.0, 1.0)}
    assert targets.shape == predictions.shape
    return {**arrays, "predictions": targets.astype(np.float64)}


@promised(ZERO_AT_TARGET, every_setting=True)
def test_loss_is_zero_at_the_target(case: Case) -> None:
    if "label_smoothing" in case.parameters or (case.words.count(" soft ") and "label_smoothing" in case.loss.options):
        return  # such a label has shares of several targets
    arrays = case.draw(n=60, seed=5)
    losses = per_sample(case, at_target(case, arrays))
    assert np.abs(losses).max() <= 1e-12 + float(case.parameters.get("eps", case.loss.defaults.get("eps", 0.0)))


# --- bounded gradient -------------------------------------------------------------------------------------------------


def largest_pull(case: Case, factor: float) -> float:
    arrays = case.draw(n=400, seed=6)
    further = {name: case.encodings[name].domain.stretched(array, factor) for name, array in predictions_of(case, arrays).items()}
    gradients = gradients_of(case.evaluate(frozen({**arrays, **further}), reduction="none")).values()
    return float(np.sqrt(sum((gradient.reshape(400, -1) ** 2).sum(axis=1) for gradient in gradients)).max())


@pytest.mark.no_cover  # others run these lines as well
@promised(BOUNDED_GRADIENT)
def test_bounded_gradients_do_not_grow(case: Case) -> None:
    usual = max(largest_pull(case, factor) for factor in (1.0, 10.0))
    for factor in (1e-6, 1e-3, 1e2, 1e4, 1e6):
        assert largest_pull(case, factor) <= 2 * usual, factor


# --- smooth -----------------------------------------------------------------------------------------------------------

LINES = 64


def gradient_along(case: Case, fixed: Mapping[str, Array], ends: list[dict[str, Array]]) -> Callable[[Array], Array]:
    """t (m, LINES) -> the gradient of each sample at m points of its own line, (m, LINES, all of its numbers)."""

    def value_at(t: Array) -> Array:
        def point(name: str) -> Array:
            share = t.reshape(*t.shape, *(1,) * (ends[0][name].ndim - 1))
            return ((1 - share) * ends[0][name] + share * ends[1][name]).reshape(-1, *ends[0][name].shape[1:])

        still = {name: np.concatenate([array] * len(t)) for name, array in fixed.items()}
        answer = case.evaluate(frozen({**still, **{name: point(name) for name in ends[0]}}), reduction="none")
        return np.concatenate([gradient.reshape(*t.shape, -1) for gradient in gradients_of(answer).values()], axis=2)

    return value_at


@pytest.mark.no_cover  # others run these lines as well
@folded(
    "case",
    [case for case in default_cases() if SMOOTH in case.loss.properties and case.coupling == "sample"],
    of=lambda case: case.loss.family,
    long=["sequence"],
)
def test_smooth_gradients_do_not_jump(case: Case) -> None:
    """The largest change between neighbouring points of each line is halved thirty times: a jump stays, a slope vanishes."""
    fixed = case.draw(n=LINES, seed=7)
    ends = [widened(case, predictions_of(case, case.draw(n=LINES, seed=seed)), 1.5) for seed in (7, 8)]
    along = gradient_along(case, fixed, ends)
    steps = np.linspace(0, 1, 201)
    gradients = along(np.repeat(steps[:, None], LINES, axis=1))
    steepest = np.abs(np.diff(gradients, axis=0)).max(axis=2).argmax(axis=0)
    low, high = steps[steepest], steps[steepest + 1]
    for _ in range(30):
        middle = (low + high) / 2
        below, here, above = along(np.stack([low, middle, high]))
        first = np.abs(here - below).max(axis=1) >= np.abs(above - here).max(axis=1)
        low, high = np.where(first, low, middle), np.where(first, middle, high)
    ends_of_last = along(np.stack([low, high]))
    jump = np.abs(ends_of_last[1] - ends_of_last[0]).max(axis=1)
    assert (jump <= 1e-6 * (1 + np.abs(gradients).max(axis=(0, 2)))).all()


# --- proper -----------------------------------------------------------------------------------------------------------


def expected(case: Case, predictions: Array, truth: Array) -> Array:
    """The expectation of the loss (n,) when labels follow `truth`: (n,) for yes or no, (n, k) for one of k classes."""
    n = predictions.shape[0]
    if truth.ndim == 1:
        labels, chances = [np.ones(n), np.zeros(n)], [truth, 1 - truth]
    elif case.encodings["targets"].domain.of_rows:
        labels, chances = list(np.eye(truth.shape[1])[:, None, :].repeat(n, axis=1)), list(truth.T)
    else:
        labels, chances = [np.full(n, float(label)) for label in range(truth.shape[1])], list(truth.T)
    return sum(
        (
            chance * per_sample(case, {"predictions": predictions, "targets": label})
            for label, chance in zip(labels, chances, strict=True)
        ),
        np.zeros(n),
    )


@over(
    [
        case
        for case in default_cases()
        if PROPER in case.loss.properties and "soft" not in case.words and max(array.ndim for array in case.draw().values()) < 3
    ]
)
def test_proper_scores_are_least_at_the_truth(case: Case) -> None:
    truth, other = (case.draw(n=300, seed=seed)["predictions"] for seed in (9, 10))
    domain = case.encodings["predictions"].domain
    if not domain.of_rows:
        truth, other = truth.reshape(-1), other.reshape(-1)
    chances = np.exp(truth) if case.encodings["predictions"].link else truth
    at_truth = expected(case, truth, chances)
    assert (at_truth < expected(case, other, chances)).all()
    for share in (0.01, 0.1):  # and nearby
        near = domain.nearest((1 - share) * truth + share * other)
        assert (at_truth < expected(case, near, chances)).all()


def test_promises_are_made() -> None:
    """Every flag is promised by some loss, so that no test above runs over nothing."""
    losses: list[Loss] = [case.loss for case in default_cases()]
    for flag in Property:
        assert any(flag in loss.properties for loss in losses), flag
