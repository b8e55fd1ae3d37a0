"""Losses of similarities, angles and distances that are one another, at their ends or of special batches."""

from typing import Any

import numpy as np
import pytest

from app.losses import LOSSES, check, evaluate
from app.losses.numerics import small_batches
from tests.losses.drawing import Array, gradients_of, normalised

RNG = np.random.default_rng(4)
ONE, OTHER = RNG.standard_normal((6, 5)), RNG.standard_normal((6, 5))
COSINES, LABELS = RNG.uniform(-0.9, 0.9, (5, 4)), np.array([0.0, 3.0, 1.0, 1.0, 2.0])


def losses(name: str, predictions: Any, targets: Any = None, **parameters: Any) -> Array:
    found = evaluate(check(LOSSES[name], parameters, predictions, targets), reduction="none").per_sample
    assert found is not None
    return found


def slopes(name: str, predictions: Any, targets: Any = None, **parameters: Any) -> list[Array]:
    return list(gradients_of(evaluate(check(LOSSES[name], parameters, predictions, targets), reduction="none")).values())


def both(first: Array, second: Array) -> dict[str, Array]:
    return {"first": first, "second": second}


def test_with_one_positive_each_two_losses_of_views_are_one() -> None:
    views, labels = np.concatenate([ONE, OTHER]), np.tile(np.arange(6.0), 2)
    one, other = (losses(name, views, labels, temperature=0.3) for name in ("nt_xent", "supervised_contrastive"))
    np.testing.assert_allclose(one, other, rtol=1e-13)
    near = losses("neighbourhood_components", views, labels, temperature=0.6)
    np.testing.assert_allclose(near, one, rtol=1e-13)


def test_clip_is_info_nce_both_ways() -> None:
    there, back = losses("info_nce", both(ONE, OTHER)), losses("info_nce", both(OTHER, ONE))
    np.testing.assert_allclose(losses("clip", both(ONE, OTHER)), (there + back) / 2, rtol=1e-14)


def test_info_nce_is_the_cross_entropy_of_cosines() -> None:
    alike = normalised(ONE) @ normalised(OTHER).T
    expected = losses("categorical_cross_entropy", alike / 0.2, np.arange(6.0), from_logits=True)
    np.testing.assert_allclose(losses("info_nce", both(ONE, OTHER), temperature=0.2), expected, rtol=1e-13)
    pairs = {"anchor": ONE, "positive": OTHER}
    expected = losses("categorical_cross_entropy", ONE @ OTHER.T, np.arange(6.0), from_logits=True)
    np.testing.assert_allclose(losses("n_pairs", pairs, np.arange(6.0)), expected, rtol=1e-13)


def test_siglip_is_the_cross_entropy_of_every_pair() -> None:
    alike = 7.0 * (normalised(ONE) @ normalised(OTHER).T) - 2.0
    expected = losses("binary_cross_entropy", alike, np.eye(6), from_logits=True) * 6.0
    np.testing.assert_allclose(losses("siglip", both(ONE, OTHER), scale=7.0, bias=-2.0), expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["info_nce", "clip", "siglip"])
def test_only_directions_of_vectors_count(name: str) -> None:
    lengths = np.array([[1e-3], [2.0], [1e5], [1.0], [1e-150], [3.0]])
    np.testing.assert_allclose(losses(name, both(ONE * lengths, OTHER)), losses(name, both(ONE, OTHER)), rtol=1e-12)
    for vectors, pulls in zip((ONE, OTHER), slopes(name, both(ONE, OTHER)), strict=True):
        np.testing.assert_allclose((vectors * pulls).sum(axis=1), 0.0, atol=1e-12)


def test_a_sample_alone_learns_nothing() -> None:
    alone = np.array([[1.0, 2.0], [2.0, -1.0], [0.5, 0.5]])
    for name in ("nt_xent", "supervised_contrastive", "neighbourhood_components", "lifted_structure", "batch_all_triplet"):
        assert losses(name, alone, np.array([0.0, 0.0, 1.0]))[2] == 0.0, name
    assert losses("info_nce", both(alone[:1], alone[1:2])).tolist() == [0.0]


@pytest.mark.parametrize(("name", "margin"), [("arcface", 0.0), ("cosface", 0.0), ("sphereface", 1)])
def test_without_a_margin_an_angle_is_a_logit(name: str, margin: float) -> None:
    expected = losses("categorical_cross_entropy", 5.0 * COSINES, LABELS, from_logits=True)
    np.testing.assert_allclose(losses(name, COSINES, LABELS, margin=margin, scale=5.0), expected, rtol=1e-13)


def test_a_margin_turns_the_true_class_away() -> None:
    rows, labels = np.arange(5), LABELS.astype(int)
    for name, target in (
        ("arcface", lambda c: np.cos(np.arccos(c) + 0.2)),
        ("cosface", lambda c: c - 0.2),
    ):
        moved = COSINES.copy()
        moved[rows, labels] = target(COSINES[rows, labels])
        expected = losses("categorical_cross_entropy", 5.0 * moved, LABELS, from_logits=True)
        np.testing.assert_allclose(losses(name, COSINES, LABELS, margin=0.2, scale=5.0), expected, rtol=1e-13)


def test_a_multiplied_angle_goes_down_all_the_way() -> None:
    steps = np.linspace(-1.0, 1.0, 201)
    found = losses("sphereface", np.column_stack([steps, np.zeros_like(steps)]), np.zeros_like(steps), margin=4)
    assert (np.diff(found) < 0).all()
    assert found[0] == pytest.approx(np.log1p(np.exp(7.0)), rel=1e-14)


def test_a_proxy_among_all_is_a_class_of_a_softmax() -> None:
    expected = losses("categorical_cross_entropy", 6.0 * COSINES, LABELS, from_logits=True)
    np.testing.assert_allclose(losses("proxy_nca", COSINES, LABELS, scale=3.0, among_all=True), expected, rtol=1e-13)
    # without one's own in the sum, of the same odds: e^ℓ is less by 1
    apart = losses("proxy_nca", COSINES, LABELS, scale=3.0)
    np.testing.assert_allclose(np.log1p(np.exp(apart)), expected, rtol=1e-13)
    assert losses("proxy_nca", COSINES[:, :1], np.zeros(5)).tolist() == [0.0] * 5


def test_an_anchor_without_samples_only_pushes() -> None:
    (found,) = losses("proxy_anchor", np.array([[0.5, -0.25]]), np.array([0.0]))
    draw, push = np.log1p(np.exp(-32 * (0.5 - 0.1))), np.log1p(np.exp(32 * (-0.25 + 0.1)))
    assert found == pytest.approx(draw / 1 + push / 2, rel=1e-14)


def test_an_anchor_pulls_most_at_the_worst_placed() -> None:
    cosines = np.array([[0.9, -0.9], [-0.2, 0.3], [0.4, 0.1], [-0.5, 0.95]])
    (slope,) = slopes("proxy_anchor", cosines, np.array([0.0, 0.0, 0.0, 1.0]))
    assert (slope[:3, 0] < 0).all()
    assert np.argmin(slope[:, 0]) == 1
    assert np.argmax(slope[:, 1]) == 1
    # shares of a sum beside 1: alpha over the proxies that have samples, for each sample that has the loss
    assert slope[:3, 0].sum() == pytest.approx(-4 * 32.0 / 2, rel=1e-4)


def test_a_soft_triplet_is_a_preference_for_the_nearer_one() -> None:
    triplet = {"anchor": ONE, "positive": OTHER, "negative": OTHER[::-1]}
    near, far = (np.linalg.norm(ONE - array, axis=1) for array in (OTHER, OTHER[::-1]))
    expected = losses("bradley_terry", {"winner": -near, "loser": -far})
    np.testing.assert_allclose(losses("soft_margin_triplet", triplet), expected, rtol=1e-13)


def test_an_angle_is_blind_to_scale_and_place() -> None:
    triplet = {"anchor": ONE, "positive": ONE + 3.0 * OTHER, "negative": ONE + 0.1 * OTHER[::-1]}
    plain = losses("angular", triplet)
    assert plain.all()
    np.testing.assert_allclose(
        losses("angular", {name: 4.0 * array for name, array in triplet.items()}), 16.0 * plain, rtol=1e-12
    )
    np.testing.assert_allclose(losses("angular", {name: array + 1.0 for name, array in triplet.items()}), plain, rtol=1e-9)


@pytest.mark.parametrize("mining", ["all", "hardest"])
def test_triplets_of_a_batch_are_triplets(mining: str) -> None:
    vectors, groups = ONE, np.array([0.0, 0.0, 0.0, 1.0, 1.0, 2.0])
    found = losses("batch_all_triplet", vectors, groups, mining=mining, margin=2.0)
    for index, group in enumerate(groups):
        near = [j for j in range(6) if groups[j] == group and j != index]
        far = [j for j in range(6) if groups[j] != group]
        costs = [
            losses(
                "triplet_margin",
                {"anchor": vectors[[index]], "positive": vectors[[i]], "negative": vectors[[j]]},
                margin=2.0,
                eps=0.0,
            )[0]
            for i in near
            for j in far
        ]
        assert found[index] == pytest.approx((np.mean(costs) if mining == "all" else max(costs)) if costs else 0.0, rel=1e-13)


def test_views_that_agree_and_tell_different_things_cost_nothing() -> None:
    views = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert losses("barlow_twins", both(views, 3.0 * views)).tolist() == pytest.approx([0.0] * 4, abs=1e-30)
    assert losses("vicreg", both(views, views)).tolist() == [0.0] * 4
    moved = losses("vicreg", both(views, views + 0.5), invariance=8.0)
    assert moved.tolist() == [2.0] * 4


def test_a_column_that_does_not_vary_is_correlated_with_none() -> None:
    views = np.array([[1.0, 5.0], [0.0, 5.0], [-1.0, 5.0]])
    assert losses("barlow_twins", both(views, views)).tolist() == pytest.approx([1.0] * 3, rel=1e-15)
    assert not slopes("barlow_twins", both(views, views))[0][:, 1].any()


OF_SETS = {"mmd", "energy_distance"}
FAMILIES = {"contrastive", "paired_contrastive", "identity_distances"}
OF_BATCHES = [loss.name for loss in LOSSES.values() if loss.family in FAMILIES or loss.name in {"barlow_twins", *OF_SETS}]


@pytest.mark.parametrize("name", OF_BATCHES)
def test_a_batch_too_large_for_twice_the_digits_pulls_as_much(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    views = {"predictions": ONE, "first": ONE, "second": OTHER, "anchor": ONE, "positive": OTHER}
    arrays = {key: view for key, view in views.items() if key in LOSSES[name].inputs}
    targets = None
    if "targets" in LOSSES[name].inputs:
        targets = OTHER if name in OF_SETS else np.array([0.0, 0.0, 1.0, 1.0, 2.0, 2.0])
    given = arrays if len(arrays) > 1 else ONE
    small = losses(name, given, targets), slopes(name, given, targets)
    monkeypatch.setattr(small_batches, "PAIRS", 0)
    np.testing.assert_array_equal(losses(name, given, targets), small[0])
    for large, found in zip(slopes(name, given, targets), small[1], strict=True):
        np.testing.assert_allclose(large, found, rtol=1e-11, atol=1e-15)
