"""Losses of times, boxes, places and tokens that are one another, at their ends or for special arrays."""

from typing import Any

import numpy as np
import pytest

from app.losses import LOSSES, check, evaluate
from tests.losses.drawing import Array, gradients_of

X = np.array([-3.0, -0.4, 0.0, 1.3, 2.5])
BOXES = np.array([[0.0, 0.0, 2.0, 1.0], [1.0, 0.5, 4.0, 3.0], [0.0, 0.0, 1.0, 1.0]])
TRUE = np.array([[0.5, 0.0, 2.5, 1.5], [1.0, 1.0, 3.5, 3.5], [5.0, 5.0, 7.0, 6.0]])
LOGITS = np.array([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7], [0.0, 0.0, 4.0]])


def losses(name: str, predictions: Any, targets: Any = None, **parameters: Any) -> Array:
    found = evaluate(check(LOSSES[name], parameters, predictions, targets), reduction="none").per_sample
    assert found is not None
    return found


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", ["normal", "logistic", "extreme"])
def test_intervals_of_time_that_leave_nothing_out_have_all_of_the_probability(distribution: str) -> None:
    ends = np.array([0.0, 0.3, 1.0, 1.0001, 2.5, 40.0, np.inf])
    times = {"lower": ends[:-1], "upper": ends[1:]}
    for location in (-2.0, 0.5, 3.0):
        surprise = losses("aft_nll", np.full(6, location), times, distribution=distribution, scale=0.7)
        assert np.exp(-surprise).sum() == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("distribution", ["normal", "logistic", "extreme"])
def test_a_short_interval_has_the_density_of_its_time(distribution: str) -> None:
    time, width = np.array([0.5, 1.0, 3.0]), 1e-7
    seen = losses("aft_nll", np.ones(3), {"lower": time, "upper": time}, distribution=distribution)
    near = losses("aft_nll", np.ones(3), {"lower": time - width / 2, "upper": time + width / 2}, distribution=distribution)
    np.testing.assert_allclose(near + np.log(width), seen, rtol=1e-8)


def test_the_ends_of_a_time_may_be_sent_either_way_round() -> None:
    one, other = {"lower": np.array([1.0]), "upper": np.array([4.0])}, {"lower": np.array([4.0]), "upper": np.array([1.0])}
    assert losses("aft_nll", np.array([0.3]), one).tolist() == losses("aft_nll", np.array([0.3]), other).tolist()


def test_a_case_beside_one_control_is_a_comparison() -> None:
    controls = X[::-1, None].copy()
    expected = losses("bradley_terry", {"winner": X, "loser": controls[:, 0]})
    np.testing.assert_allclose(losses("cox_case_control", {"case": X, "controls": controls}), expected, rtol=1e-15)


def test_a_risk_that_is_constant_is_exponential() -> None:
    """Where the risk is the same in all intervals, a time is theirs together."""
    risk = np.log1p(np.exp(0.4))
    rows, interval, fraction = np.full((3, 4), 0.4), np.array([0.0, 2.0, 3.0]), np.array([0.25, 0.5, 1.0])
    found = losses("pc_hazard", rows, {"interval": interval, "event": np.array([1.0, 1.0, 0.0]), "fraction": fraction})
    expected = losses("exponential_nll", np.full(3, risk), interval + fraction) + np.array([0.0, 0.0, np.log(risk)])
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_ranks_of_times_that_nobody_outlives_cost_nothing() -> None:
    rows, seen = np.zeros((3, 2)), {"interval": np.array([1.0, 1.0, 0.0]), "event": np.array([1.0, 1.0, 0.0])}
    assert losses("deephit_rank", rows, seen).tolist() == [0.0, 0.0, 0.0]
    seen["event"][2] = 1.0
    assert losses("deephit_rank", rows, seen).tolist() == [0.0, 0.0, 2 / 3]


# --- boxes ----------------------------------------------------------------------------------------------------------


def test_box_losses_that_hold_one_another() -> None:
    np.testing.assert_allclose(losses("focal_eiou", BOXES, TRUE, gamma=0.0), losses("eiou", BOXES, TRUE), rtol=1e-15)
    share = 1.0 - losses("iou", BOXES, TRUE)
    np.testing.assert_allclose(losses("focal_eiou", BOXES, TRUE), np.sqrt(share) * losses("eiou", BOXES, TRUE), rtol=1e-14)
    apart = losses("diou", BOXES, TRUE) - losses("iou", BOXES, TRUE)
    np.testing.assert_allclose(losses("wiou", BOXES, TRUE), np.exp(apart) * losses("iou", BOXES, TRUE), rtol=1e-14)


def test_boxes_of_the_same_size_need_no_term_of_sizes() -> None:
    moved = BOXES + np.array([0.25, 0.5, 0.25, 0.5])
    np.testing.assert_allclose(losses("eiou", BOXES, moved), losses("diou", BOXES, moved), rtol=1e-14)


@pytest.mark.parametrize("name", ["eiou", "focal_eiou", "wiou"])
def test_boxes_may_be_moved_and_scaled_together(name: str) -> None:
    plain = losses(name, BOXES, TRUE)
    np.testing.assert_allclose(losses(name, 8.0 * BOXES + 16.0, 8.0 * TRUE + 16.0), plain, rtol=1e-14)
    np.testing.assert_array_equal(losses(name, TRUE, TRUE), 0.0)


def test_a_detached_span_changes_the_gradient_alone() -> None:
    free, fixed = (
        evaluate(check(LOSSES["wiou"], {"detach_span": flag}, BOXES, TRUE), reduction="none") for flag in (False, True)
    )
    np.testing.assert_array_equal(free.per_sample, fixed.per_sample)
    assert not np.array_equal(gradients_of(free)["predictions"], gradients_of(fixed)["predictions"])


def test_the_bound_of_a_box_that_is_only_moved_is_that_of_its_place() -> None:
    box, moved = np.array([[0.0, 0.0, 4.0, 2.0]]), np.array([[1.0, 0.0, 5.0, 2.0]])
    most = 1.0 - (4.0 - 2.0) / (4.0 + 2.0)
    assert losses("bounded_iou", moved, box, eps=0.0).tolist() == pytest.approx([most - 0.1], rel=1e-15)


# --- places of a picture ----------------------------------------------------------------------------------------------


def test_focal_losses_of_detectors_at_their_ends() -> None:
    quality, hard = np.array([0.0, 0.3, 0.5, 0.9, 1.0]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    entropy = losses("binary_cross_entropy", X, quality, from_logits=True)
    np.testing.assert_allclose(losses("quality_focal", X, quality, beta=0.0), entropy, rtol=1e-14)
    np.testing.assert_allclose(losses("varifocal", X, quality, gamma=0.0, alpha=1.0)[1:], (quality * entropy)[1:], rtol=1e-14)
    plain = losses("binary_focal", X, hard, from_logits=True, gamma=2.0)
    np.testing.assert_allclose(losses("quality_focal", X, hard), plain, rtol=1e-13)
    chances = 1 / (1 + np.exp(-X))
    np.testing.assert_allclose(losses("gaussian_focal", chances, hard), plain, rtol=1e-13)


def test_a_number_between_two_bins_is_shared_by_them() -> None:
    found = losses("distribution_focal", LOGITS, np.array([0.25, 1.0, 9.0]))
    shares = np.array([[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(found, losses("categorical_cross_entropy", LOGITS, shares, from_logits=True), rtol=1e-14)


def test_both_parts_of_the_balanced_loss_meet() -> None:
    for alpha, gamma in ((0.5, 1.5), (3.0, 0.7)):
        near, far = losses("balanced_l1", np.array([1.0 - 1e-9, 1.0 + 1e-9]), np.zeros(2), alpha=alpha, gamma=gamma)
        assert far - near == pytest.approx(2e-9 * gamma, rel=1e-5)


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_are_classes() -> None:
    labels = np.array([2.0, 0.0, 1.0])
    entropy = losses("categorical_cross_entropy", LOGITS, labels, from_logits=True)
    np.testing.assert_array_equal(losses("sequence_cross_entropy", LOGITS, labels), entropy)
    level = np.log(np.exp(LOGITS).sum(axis=1))
    np.testing.assert_allclose(losses("sequence_cross_entropy", LOGITS, labels, z_loss=0.5), entropy + 0.5 * level**2, rtol=1e-14)


def test_of_two_tokens_not_one_is_the_other() -> None:
    unwanted = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    expected = losses("categorical_cross_entropy", LOGITS[:, :2], 1.0 - unwanted[:, 1], from_logits=True)
    np.testing.assert_allclose(losses("unlikelihood", LOGITS[:, :2], unwanted), expected, rtol=1e-14)
