"""Losses that are others in the limit of a parameter, or under another name: of the same numbers they say the same."""

from typing import Any

import numpy as np
import pytest

from app.losses import LOSSES, check, evaluate
from tests.losses.drawing import Array, gradients_of

RNG = np.random.default_rng(8)
REAL, OTHER = RNG.normal(size=(2, 6)) * 2.0
POSITIVE, RATES = np.exp(RNG.normal(size=(2, 6)))
P, Q = RNG.dirichlet(np.ones(4), (2, 6))
AMOUNTS, SPECTRUM = np.exp(RNG.normal(size=(2, 6, 4)))
LOGITS, LABELS = RNG.normal(size=(6, 4)), RNG.integers(0, 4, 6) * 1.0
COUNTS = RNG.poisson(3.0, 6) * 1.0
MASK, TRUE_MASK = RNG.uniform(0.05, 0.95, (6, 5)), RNG.integers(0, 2, (6, 5)) * 1.0


def losses(name: str, predictions: Any, targets: Any, **parameters: object) -> Array:
    found = evaluate(check(LOSSES[name], parameters, predictions, targets), reduction="none").per_sample
    assert found is not None
    return found


def slopes(name: str, predictions: Any, targets: Any, **parameters: object) -> Array:
    answer = evaluate(check(LOSSES[name], parameters, predictions, targets), reduction="none")
    return next(iter(gradients_of(answer).values()))


def alike(one: Array, other: Array, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_divergences_of_an_order_tend_to_kl() -> None:
    kl = losses("kl_divergence", Q, P)
    for name in ("renyi_divergence", "alpha_divergence"):
        for alpha in (1.0 + 1e-6, 1.0 - 1e-6):
            alike(losses(name, Q, P, alpha=alpha), kl, 1e-5)


def test_skewed_divergences_tend_to_kl_of_either_side() -> None:
    alike(losses("generalized_jensen_shannon", Q, P, beta=1e-9) / 1e-9, losses("kl_divergence", Q, P), 1e-6)
    alike(losses("generalized_jensen_shannon", Q, P, beta=1 - 1e-9) / 1e-9, losses("kl_divergence", P, Q), 1e-6)
    alike(losses("generalized_jensen_shannon", Q, P), losses("jensen_shannon_divergence", Q, P))


def test_an_alpha_divergence_of_a_half_is_four_squared_hellinger_distances() -> None:
    squared = losses("hellinger_distance", Q, P, squared=True)
    alike(losses("alpha_divergence", Q, P, alpha=0.5), 4.0 * squared)
    alike(losses("hellinger_distance", Q, P) ** 2, squared)
    assert (squared <= losses("total_variation_distance", Q, P)).all()


def test_beta_divergences_hold_squares_kl_and_itakura_saito() -> None:
    squares = ((SPECTRUM - AMOUNTS) ** 2).sum(axis=1) / 2.0
    alike(losses("beta_divergence", SPECTRUM, AMOUNTS, beta=2.0), squares)
    alike(losses("beta_divergence", SPECTRUM, AMOUNTS, beta=1.0), losses("generalized_kl_divergence", SPECTRUM, AMOUNTS))
    alike(losses("beta_divergence", SPECTRUM, AMOUNTS, beta=0.0), losses("itakura_saito_divergence", SPECTRUM, AMOUNTS))
    for beta in (0.0, 1.0):  # and continuously
        near = losses("beta_divergence", SPECTRUM, AMOUNTS, beta=beta + 1e-9)
        alike(near, losses("beta_divergence", SPECTRUM, AMOUNTS, beta=beta), 1e-7)


def test_barron_tends_to_its_named_limits() -> None:
    alike(losses("barron", REAL, OTHER, alpha=2.0 - 1e-9), losses("barron", REAL, OTHER, alpha=2.0), 1e-7)
    alike(losses("barron", REAL, OTHER, alpha=1e-9), losses("cauchy", REAL, OTHER), 1e-7)
    alike(losses("barron", REAL, OTHER, alpha=-100.0), losses("welsch", REAL, OTHER), 0.1)
    far, further = (losses("barron", REAL, OTHER, alpha=alpha) - losses("welsch", REAL, OTHER) for alpha in (-50.0, -100.0))
    alike(further / far, 0.5 * np.ones(6), 0.05)  # what is missing falls as 1/α


def test_tweedie_deviances_pass_through_those_of_poisson_and_gamma() -> None:
    for power, name in ((1.0 + 1e-7, "poisson_deviance"), (2.0 - 1e-7, "gamma_deviance"), (2.0 + 1e-7, "gamma_deviance")):
        alike(losses("tweedie_deviance", RATES, POSITIVE, power=power), losses(name, RATES, POSITIVE), 1e-5)


def test_students_distribution_tends_to_the_normal_one() -> None:
    student = losses("student_t_nll", {"degrees": np.full(6, 1e6), "location": REAL, "scale": POSITIVE}, OTHER)
    normal = losses("gaussian_nll", {"mean": REAL, "variance": POSITIVE**2}, OTHER, full=True, eps=0.0)
    alike(student, normal, 1e-3)


def test_weights_by_no_power_of_the_variance_leave_the_normal_likelihood() -> None:
    pair = {"mean": REAL, "variance": POSITIVE}
    alike(losses("beta_weighted_nll", pair, OTHER, beta=0.0), losses("gaussian_nll", pair, OTHER, eps=0.0))
    detached = slopes("beta_weighted_nll", pair, OTHER, beta=1.0, detach_weight=True)
    alike(detached, REAL - OTHER)


def test_counts_without_dispersion_or_sure_zeros_are_poisson() -> None:
    poisson = losses("poisson_nll", RATES, COUNTS, log_input=False, full=True, eps=0.0)
    alike(losses("negative_binomial_nll", {"rate": RATES, "dispersion": np.full(6, 1e-6)}, COUNTS), poisson, 1e-3)
    alike(losses("zero_inflated_poisson_nll", {"rate": RATES, "zero_share": np.zeros(6)}, COUNTS), poisson)


def test_a_weibull_distribution_of_shape_1_is_exponential() -> None:
    weibull = losses("weibull_nll", {"shape": np.ones(6), "scale": 1.0 / RATES}, POSITIVE)
    alike(weibull, losses("exponential_nll", RATES, POSITIVE))


def test_a_mixture_of_one_component_is_normal() -> None:
    one = {"logits": np.zeros((6, 1)), "mean": REAL[:, None], "scale": POSITIVE[:, None]}
    normal = losses("gaussian_nll", {"mean": REAL, "variance": POSITIVE**2}, OTHER, full=True, eps=0.0)
    alike(losses("gaussian_mixture_nll", one, OTHER), normal)


def test_cross_entropies_beside_which_nothing_stands() -> None:
    plain = losses("categorical_cross_entropy", LOGITS, LABELS, from_logits=True)
    alike(losses("poly_cross_entropy", LOGITS, LABELS, epsilon=0.0), plain)
    alike(losses("confidence_penalty", LOGITS, LABELS, beta=0.0), plain)
    alike(losses("symmetric_cross_entropy", LOGITS, LABELS, alpha=1.0, beta=0.0), plain)
    alike(losses("soft_ordinal", LOGITS, LABELS, alpha=1000.0), plain)


def test_two_grades_are_one_decision() -> None:
    flags = RNG.integers(0, 2, 6) * 1.0
    binary = losses("binary_cross_entropy", REAL, flags, from_logits=True)
    for conditional in (False, True):
        alike(losses("ordinal_cross_entropy", REAL[:, None], flags, conditional=conditional), binary)
    two = np.stack([1.0 - MASK[:, 0], MASK[:, 0]], axis=1)
    alike(losses("ranked_probability_score", two, flags), (MASK[:, 0] - flags) ** 2)
    link = {"score": REAL, "thresholds": OTHER[:, None]}
    alike(losses("cumulative_link", link, flags), losses("binary_cross_entropy", REAL - OTHER, flags, from_logits=True))
    softmax = losses("categorical_cross_entropy", LOGITS[:, :2], flags, from_logits=True)
    alike(losses("class_distance_weighted", LOGITS[:, :2], flags), softmax)
    kappas = [losses("weighted_kappa", two, flags, weightage=weightage) for weightage in ("linear", "quadratic")]
    alike(*kappas)


def test_a_step_along_classes_costs_one() -> None:
    sure = np.eye(4)
    alike(losses("wasserstein_1d", sure, sure[[1, 1, 0, 0]]), np.array([1.0, 0.0, 2.0, 3.0]))


def test_overlaps_are_those_of_tversky() -> None:
    alike(losses("jaccard", MASK, TRUE_MASK), losses("tversky", MASK, TRUE_MASK, alpha=1.0, beta=1.0))
    dice = losses("dice", MASK, TRUE_MASK)
    jaccard = losses("jaccard", MASK, TRUE_MASK)
    alike(jaccard, 2.0 * dice / (1.0 + dice))
    alike(losses("focal_tversky", MASK, TRUE_MASK, alpha=0.5, beta=0.5, gamma=1.0), dice)
    alike(losses("log_cosh_dice", MASK, TRUE_MASK), np.log(np.cosh(dice)))


@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_an_asymmetric_focus_that_is_the_same_on_both_sides_is_focal(focus: float) -> None:
    flags = RNG.integers(0, 2, 6) * 1.0
    asymmetric = losses("asymmetric_multilabel", REAL, flags, gamma_neg=focus, gamma_pos=focus, clip=0.0)
    alike(asymmetric, losses("binary_focal", REAL, flags, from_logits=True, gamma=focus))


def test_errors_in_units_of_the_targets_are_those_errors() -> None:
    def value(name: str, **parameters: object) -> float:
        found = evaluate(check(LOSSES[name], parameters, REAL, OTHER)).value
        assert found is not None
        return found

    assert value("weighted_absolute_percentage_error") == pytest.approx(np.abs(REAL - OTHER).sum() / np.abs(OTHER).sum())
    assert value("relative_squared_error") == pytest.approx(((REAL - OTHER) ** 2).sum() / ((OTHER - OTHER.mean()) ** 2).sum())
    spread = value("normalized_root_mean_squared_error", normalization="std")
    assert spread**2 == pytest.approx(value("relative_squared_error"))


# --- of masks, labels, tokens, vectors and angles -------------------------------------------------------------------------


def test_a_unified_focal_loss_without_focus_is_cross_entropy_or_dice() -> None:
    """At equal weights of both kinds of errors; half of it each, and each of two sides a half."""
    even = {"delta": 0.5, "gamma": 0.0}
    entropy = losses("binary_cross_entropy", MASK, TRUE_MASK)
    alike(losses("unified_focal", MASK, TRUE_MASK, weight=1.0, **even), entropy / 4.0)
    both = losses("dice", MASK, TRUE_MASK) + losses("dice", 1.0 - MASK, 1.0 - TRUE_MASK)
    alike(losses("unified_focal", MASK, TRUE_MASK, weight=0.0, **even), both / 2.0)


def test_a_generalized_dice_of_classes_that_count_alike_is_the_dice_of_all_of_them() -> None:
    maps, true = np.stack([1.0 - MASK, MASK], axis=2), np.stack([1.0 - TRUE_MASK, TRUE_MASK], axis=2)
    flat = losses("dice", maps.reshape(6, -1), true.reshape(6, -1))
    alike(losses("generalized_dice", maps, TRUE_MASK, size_weight="uniform"), flat)


def test_hard_masks_have_the_correlation_of_matthews() -> None:
    hard = RNG.integers(0, 2, (6, 40)) * 1.0
    true = np.where(RNG.uniform(size=hard.shape) < 0.3, 1.0 - hard, hard)
    expected = [1.0 - np.corrcoef(one, other)[0, 1] for one, other in zip(hard, true, strict=True)]
    alike(losses("mcc", hard, true), np.array(expected))


def test_a_hard_map_costs_one_less_its_intersections_over_unions() -> None:
    hard = RNG.integers(0, 2, (6, 40)) * 1.0
    true = np.where(RNG.uniform(size=hard.shape) < 0.3, 1.0 - hard, hard)
    of_classes = losses("jaccard", hard, true) + losses("jaccard", 1.0 - hard, 1.0 - true)
    alike(losses("lovasz_softmax", np.stack([1.0 - hard, hard], axis=2), true), of_classes / 2.0)


def test_a_border_that_is_everywhere_as_far_costs_what_is_covered() -> None:
    alike(losses("boundary", MASK, np.full_like(MASK, 3.0)), 3.0 * MASK.mean(axis=1))


def test_one_sample_with_one_true_label_is_a_class() -> None:
    row, label = LOGITS[:1], LABELS[:1].astype(int)
    alike(
        losses("two_way", row, np.eye(4)[label], positive=1.0),
        losses("categorical_cross_entropy", row, LABELS[:1], from_logits=True),
    )


def test_the_perplexity_of_one_token_is_the_inverse_of_its_probability() -> None:
    entropy = losses("categorical_cross_entropy", LOGITS, LABELS, from_logits=True)
    alike(losses("perplexity", LOGITS[:, None], LABELS[:, None]), np.exp(entropy))
    alike(losses("perplexity", LOGITS[None], LABELS[None]), np.exp(entropy.mean(keepdims=True)))


def test_a_student_at_temperature_1_has_the_divergence_from_its_teacher() -> None:
    teacher = RNG.normal(size=(6, 4))
    shares = np.exp(teacher) / np.exp(teacher).sum(axis=1, keepdims=True)
    divergence = losses("kl_divergence", LOGITS, shares, input_format="logits")
    alike(losses("knowledge_distillation", LOGITS, teacher, temperature=1.0), divergence)
    spread = 1e3  # so warm that all classes have the same share, it is the variance of the differences
    variance = (LOGITS - teacher).var(axis=1) / 2.0
    alike(losses("knowledge_distillation", LOGITS, teacher, temperature=spread), variance, 2e-2)


def test_a_rate_over_one_unit_of_exposure_is_a_logit() -> None:
    flags = RNG.integers(0, 2, 6) * 1.0
    rate = losses("cross_entropy_lambda", REAL, {"outcome": flags, "exposure": np.ones(6)})
    alike(rate, losses("binary_cross_entropy", REAL, flags, from_logits=True))


def test_norms_of_vectors_are_roots_of_sums() -> None:
    for power in (1.0, 2.0, 3.5):
        sums = 4.0 * losses("lp_loss", SPECTRUM, AMOUNTS, power=power)  # a mean of four there
        alike(losses("minkowski", SPECTRUM, AMOUNTS, power=power), sums ** (1.0 / power))
    alike(losses("minkowski", SPECTRUM, AMOUNTS, power=1000.0), np.abs(SPECTRUM - AMOUNTS).max(axis=1), 2e-3)


def test_a_distribution_on_the_circle_is_flat_or_nearly_normal() -> None:
    flat = losses("von_mises_nll", {"mean": REAL, "concentration": np.zeros(6)}, OTHER)
    alike(flat, np.full(6, np.log(2.0 * np.pi)))
    near = REAL + 1e-2 * OTHER
    sure = losses("von_mises_nll", {"mean": REAL, "concentration": np.full(6, 1e4)}, near)
    alike(sure, losses("gaussian_nll", {"mean": REAL, "variance": np.full(6, 1e-4)}, near, full=True, eps=0.0), 1e-3)
    turned = losses("von_mises_nll", {"mean": REAL + 2.0 * np.pi, "concentration": POSITIVE}, OTHER)
    alike(turned, losses("von_mises_nll", {"mean": REAL, "concentration": POSITIVE}, OTHER), 1e-13)
