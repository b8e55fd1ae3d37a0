"""Losses of sets, ensembles, ways and learned shapes: what they are of one number, one pair, one frame, or in a limit."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import k1

from app.errors import InvalidArray
from app.losses import LOSSES, check, evaluate
from tests.losses.drawing import Array

RNG = np.random.default_rng(15)
REAL, OTHER = RNG.normal(size=(2, 7))
ROWS, TRUE = RNG.normal(size=(2, 6, 3))
MEMBERS, OUTCOME = RNG.normal(size=(6, 5, 3)), RNG.normal(size=(6, 3))
SCALE = np.exp(RNG.normal(size=7))


def losses(name: str, predictions: Any, targets: Any = None, **parameters: Any) -> Array:
    loss, preset = LOSSES.resolve(name)
    found = evaluate(check(loss, {**preset, **parameters}, predictions, targets), reduction="none").per_sample
    assert found is not None
    return found


def alike(one: Any, other: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# --- ensembles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["nrg", "fair"])
def test_an_energy_score_of_one_quantity_is_a_crps(estimator: str) -> None:
    one = losses("energy_score", MEMBERS[:, :, :1], OUTCOME[:, :1], estimator=estimator)
    alike(one, losses("crps_ensemble", MEMBERS[:, :, 0], OUTCOME[:, 0], estimator=estimator))


def test_ensembles_may_be_turned_and_moved() -> None:
    turn, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    alike(losses("energy_score", MEMBERS @ turn + 2.0, OUTCOME @ turn + 2.0), losses("energy_score", MEMBERS, OUTCOME))
    alike(losses("variogram_score", MEMBERS + 2.0, OUTCOME + 2.0), losses("variogram_score", MEMBERS, OUTCOME))


def test_a_variogram_of_order_two_is_that_of_squares() -> None:
    apart = np.square(OUTCOME[:, :, None] - OUTCOME[:, None]) - np.square(MEMBERS[..., None] - MEMBERS[:, :, None]).mean(axis=1)
    alike(losses("variogram_score", MEMBERS, OUTCOME, p=2.0), np.square(apart).sum(axis=(1, 2)))


# --- two sets -------------------------------------------------------------------------------------------------------


def test_an_energy_distance_of_numbers_is_twice_the_square_between_their_distribution_functions() -> None:
    places = np.sort(np.concatenate((REAL, OTHER)))
    gaps = [(place >= REAL).mean() - (place >= OTHER).mean() for place in places[:-1]]
    alike(losses("energy_distance", REAL[:, None], OTHER[:, None]), np.full(7, 2.0 * (np.square(gaps) @ np.diff(places))))


def test_of_a_wide_bell_the_distance_is_that_of_the_means() -> None:
    apart = np.square(ROWS.mean(axis=0) - TRUE.mean(axis=0)).sum()
    alike(1e8 * losses("mmd", ROWS, TRUE, bandwidth=1e4), np.full(6, apart), 1e-6)


@pytest.mark.parametrize("name", ["energy_distance", "mmd", "sinkhorn"])
def test_two_sets_that_are_one_cost_nothing_in_any_order(name: str) -> None:
    alike(losses(name, ROWS, ROWS[::-1]), np.zeros(6))
    alike(losses(name, ROWS, TRUE[::-1]), losses(name, ROWS, TRUE))


def test_transport_without_blur_is_the_best_assignment() -> None:
    costs = np.square(ROWS[:, None] - TRUE).sum(axis=2) / 2
    best = costs[linear_sum_assignment(costs)].mean()
    for epsilon, tolerance in ((0.1, 0.2), (0.01, 0.02)):
        found = losses("sinkhorn", ROWS, TRUE, epsilon=epsilon, debias=False, iterations=100)[0]
        assert best - 1e-9 <= found + epsilon * np.log(6)
        assert found == pytest.approx(best, rel=tolerance)


def test_a_set_that_was_moved_costs_half_the_square_of_the_way() -> None:
    alike(losses("sinkhorn", ROWS, ROWS + np.array([0.3, -0.4, 0.0]), epsilon=10.0), np.full(6, 0.125), 1e-9)


# --- generators -----------------------------------------------------------------------------------------------------


def test_games_of_generators_are_others_of_the_same_scores() -> None:
    alike(losses("minimax_gan", REAL), -losses("vanilla_gan", REAL, np.zeros(7)))
    alike(losses("wgan", REAL, np.ones(7)), -REAL)
    pair = [losses("relativistic_average_gan", {"real": REAL[[i]], "fake": OTHER[[i]]})[0] for i in range(7)]
    alike(pair, losses("relativistic_gan", {"winner": REAL, "loser": OTHER}))


def test_answers_in_the_same_order_as_their_references_are_pairs() -> None:
    a, b = -np.exp(RNG.normal(size=(2, 7)))
    aligned = {"reference_chosen": 2.0 * a, "reference_rejected": 2.0 * b}
    alike(losses("aot", {"chosen": a, "rejected": b}, aligned), losses("dpo", {"chosen": a, "rejected": b}, aligned))
    unpaired = losses("aot_unpaired", {"chosen": a, "rejected": b}, aligned)
    expected = np.log1p(np.exp(-0.1 * (np.sort(-a) - np.sort(-b))))
    alike(np.sort(unpaired), np.sort(expected))


# --- ways -----------------------------------------------------------------------------------------------------------


def test_a_transducer_takes_every_way() -> None:
    frames, labels = RNG.normal(size=(1, 4, 3, 5)), [3, 1]
    p = np.exp(frames[0]) / np.exp(frames[0]).sum(axis=-1, keepdims=True)
    total = 0.0
    for moments in itertools.combinations_with_replacement(range(4), 2):  # the frame at which each label is said
        chance, u = 1.0, 0
        for t in range(4):
            for _ in range(moments.count(t)):
                chance, u = chance * p[t, u, labels[u]], u + 1
            chance *= p[t, u, 0]
        total += chance
    alike(losses("rnn_t", frames, np.array([labels], float)), [-np.log(total)])


def test_a_transducer_with_nothing_to_say_only_goes_on() -> None:
    frames = RNG.normal(size=(6, 4, 2, 5))
    blank = losses("categorical_cross_entropy", frames[:, :, 0].reshape(-1, 5), np.full(24, 2.0), from_logits=True)
    alike(losses("rnn_t", frames, np.full((6, 1), -1.0), blank=2), blank.reshape(6, 4).sum(axis=1))


def test_nodes_that_do_not_fit_the_labels_are_refused() -> None:
    with pytest.raises(InvalidArray, match="one more than there are labels"):
        losses("rnn_t", np.zeros((1, 4, 2, 5)), np.array([[1.0, 2.0]]))


# --- learned shapes -------------------------------------------------------------------------------------------------


def test_barron_has_its_named_losses() -> None:
    for alpha, name in ((2.0, "half_squared_error"), (1.0, "pseudo_huber"), (0.0, "cauchy"), (-2.0, "geman_mcclure")):
        alike(losses("barron", REAL, OTHER, alpha=alpha), losses(name, REAL, OTHER))
    off = [losses("barron", REAL, OTHER, alpha=alpha) - losses("welsch", REAL, OTHER) for alpha in (-49.0, -100.0)]
    assert (np.abs(off[1]) < 0.51 * np.abs(off[0])).all()


def robust(alpha: float) -> Array:
    return losses("barron_nll", {"location": REAL, "alpha": np.full(7, alpha), "scale": SCALE}, OTHER)


def test_a_learned_shape_has_the_normalisers_that_are_known() -> None:
    student = {"degrees": np.ones(7), "location": REAL, "scale": np.sqrt(2.0) * SCALE}
    alike(robust(0.0), losses("student_t_nll", student, OTHER))
    rest = losses("barron", REAL / SCALE, OTHER / SCALE, alpha=1.0) + np.log(SCALE)
    alike(robust(1.0), rest + np.log(2.0 * np.e * k1(1.0)))
    normal = losses("gaussian_nll", {"mean": REAL, "variance": SCALE**2}, OTHER, full=True, eps=0.0)
    off = [robust(alpha) - normal for alpha in (1.99, 1.999)]
    assert (np.abs(off[1]) < 0.2 * np.abs(off[0])).all()
