"""Identities between losses: what two of them must agree on, in every sample and in the gradient.

Most fail for a wrong factor, sign, divisor or parameter that a loss's own formula, copied into a test, would repeat.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.losses import LOSSES, Evaluation, check, evaluate
from tests.losses.drawing import Array, gradients_of

SQUARED, ABSOLUTE, PERCENTAGE = "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"
SQUARED_LOGARITHMIC = "mean_squared_logarithmic_error"
BCE, CROSS_ENTROPY, GENERALIZED = "binary_cross_entropy", "categorical_cross_entropy", "generalized_cross_entropy"
SOFT_MARGINS = "multilabel_soft_margin"

N, K = 40, 4
RNG = np.random.default_rng(11)

REAL, TRUE_REAL = RNG.normal(1, 3, (2, N))
POSITIVE, TRUE_POSITIVE = np.exp(RNG.normal(0, 1, (2, N)))
SCORES = RNG.normal(0, 2, N)
SIGNS = np.where(RNG.uniform(size=N) < 0.5, -1.0, 1.0)
FLAGS = (SIGNS + 1) / 2
CHANCES = 1 / (1 + np.exp(-SCORES))
SOFT_FLAGS = RNG.uniform(0, 1, N)
LOGITS = RNG.normal(0, 2, (N, K))
LABELS = RNG.integers(0, K, N).astype(np.float64)
ONE_HOT = np.eye(K)[LABELS.astype(int)]
TRUTH = RNG.dirichlet(np.ones(K), N)
MULTI_HOT = np.concatenate([np.ones((N, 1)), RNG.integers(0, 2, (N, K - 2)), np.zeros((N, 1))], axis=1)
CLASS_WEIGHTS = [0.5, 2.0, 1.0, 3.0]
WEIGHTS = RNG.uniform(0.2, 2, N)


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


LOG_PROBABILITIES = log_softmax(LOGITS)
PROBABILITIES = np.exp(LOG_PROBABILITIES)


def run(
    name: str, predictions: Any, targets: Any = None, *, reduction: Any = "none", weight: Array | None = None, **parameters: Any
) -> Evaluation:
    """A loss by name or alias."""
    loss, preset = LOSSES.resolve(name)
    mask = parameters.pop("mask", None)
    return evaluate(
        check(loss, {**preset, **parameters}, predictions, targets, sample_weight=weight, mask=mask), reduction=reduction
    )


def losses(name: str, predictions: Any, targets: Any = None, **more: Any) -> Array:
    found = run(name, predictions, targets, **more).per_sample
    assert found is not None
    return found


def slopes(name: str, predictions: Any, targets: Any = None, **more: Any) -> Array:
    """The gradient of a loss of one array of predictions."""
    return gradients_of(run(name, predictions, targets, **more))["predictions"]


def value(name: str, predictions: Any, targets: Any = None, *, reduction: Any = "mean", **more: Any) -> float:
    found = run(name, predictions, targets, reduction=reduction, **more).value
    assert found is not None
    return found


def close(one: Any, other: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def same(
    one: tuple[Any, ...], other: tuple[Any, ...], factor: float = 1.0, constant: Any = 0.0, tolerance: float = 1e-12
) -> None:
    """one = factor · other + constant, and so for the gradient. Each is a name, its arrays and, at the end, its parameters."""
    mine, theirs = (run(*call[:-1], **call[-1]) if isinstance(call[-1], dict) else run(*call) for call in (one, other))
    assert mine.per_sample is not None
    assert theirs.per_sample is not None
    close(mine.per_sample, factor * theirs.per_sample + constant, tolerance)
    assert (mine.gradient is None) == (theirs.gradient is None)
    if mine.gradient is not None:
        for here, there in zip(gradients_of(mine).values(), gradients_of(theirs).values(), strict=True):
            close(here, factor * there, tolerance)


def softmax_pullback(probabilities: Array, gradient: Array) -> Array:
    """The gradient to logits of what has this gradient to their softmax."""
    return probabilities * (gradient - (probabilities * gradient).sum(axis=-1, keepdims=True))


# --- regression -----------------------------------------------------------------------------------------------------

PAIR = (REAL, TRUE_REAL)
POSITIVE_PAIR = (POSITIVE, TRUE_POSITIVE)


@pytest.mark.parametrize("delta", [0.3, 1.0, 2.5])
def test_smooth_l1_is_huber_over_delta(delta: float) -> None:
    same(("smooth_l1", *PAIR, {"beta": delta}), ("huber", *PAIR, {"delta": delta}), factor=1 / delta)


def test_huber_between_its_ends() -> None:
    same(("huber", *PAIR, {"delta": 1e6}), ("half_squared_error", *PAIR))
    same(("huber", *PAIR, {"delta": 1e-9}), (ABSOLUTE, *PAIR), factor=1e-9, tolerance=1e-17)
    same(("smooth_l1", *PAIR, {"beta": 0.0}), (ABSOLUTE, *PAIR))


def test_factors_of_the_squared_error() -> None:
    same((SQUARED, *PAIR), ("half_squared_error", *PAIR), factor=2)
    same((SQUARED, *PAIR), ("tweedie_deviance", *PAIR, {"power": 0.0}))
    same((SQUARED, *PAIR), ("squared_epsilon_insensitive", *PAIR, {"epsilon": 0.0}))


def test_members_of_the_general_robust_loss() -> None:
    for alpha, name in ((2.0, "half_squared_error"), (1.0, "charbonnier"), (0.0, "cauchy"), (-2.0, "geman_mcclure")):
        same(("barron", *PAIR, {"alpha": alpha}), (name, *PAIR))
    same(("barron", *PAIR, {"alpha": 1e-12, "c": 0.7}), ("cauchy", *PAIR, {"c": 0.7}), tolerance=1e-10)
    same(("charbonnier", *PAIR, {"c": 0.7}), ("pseudo_huber", *PAIR, {"delta": 0.7}), factor=1 / 0.49)


def test_asymmetric_losses_between_their_sides() -> None:
    same(("expectile", *PAIR, {"tau": 0.5}), (SQUARED, *PAIR), factor=0.5)
    same(("quantile_huber", *PAIR, {"kappa": 0.7}), ("smooth_l1", *PAIR, {"beta": 0.7}), factor=0.5)
    same(("quantile_huber", *PAIR, {"quantile": 0.9, "kappa": 1e-9}), ("quantile", *PAIR, {"quantile": 0.9}), tolerance=1e-8)
    same(("lp_loss", *PAIR, {"power": 1.0}), (ABSOLUTE, *PAIR))
    same(("lp_loss", *PAIR, {"power": 2.0}), (SQUARED, *PAIR))


def test_quantile_at_the_median_is_half_the_absolute_error() -> None:
    same(("quantile", *PAIR, {"quantile": 0.5}), (ABSOLUTE, *PAIR), factor=0.5)
    same(("epsilon_insensitive", *PAIR, {"epsilon": 0.0}), (ABSOLUTE, *PAIR))


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_quantiles_mirror_each_other(quantile: float) -> None:
    mirrored = run("quantile", -REAL, -TRUE_REAL, quantile=1 - quantile)
    close(losses("quantile", *PAIR, quantile=quantile), mirrored.per_sample)
    close(slopes("quantile", *PAIR, quantile=quantile), -gradients_of(mirrored)["predictions"])
    close(
        losses("quantile", *PAIR, quantile=quantile) + losses("quantile", *PAIR, quantile=1 - quantile), losses(ABSOLUTE, *PAIR)
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 2.0])
def test_squared_epsilon_insensitive_is_the_square(epsilon: float) -> None:
    plain = losses("epsilon_insensitive", *PAIR, epsilon=epsilon)
    close(losses("squared_epsilon_insensitive", *PAIR, epsilon=epsilon), plain**2)
    close(
        slopes("squared_epsilon_insensitive", *PAIR, epsilon=epsilon),
        2 * plain * slopes("epsilon_insensitive", *PAIR, epsilon=epsilon),
    )


@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_roots_are_roots_of_the_mean(weight: Array | None) -> None:
    rows = REAL.reshape(-1, 4), TRUE_REAL.reshape(-1, 4)
    for arrays, share in ((PAIR, weight), (rows, None if weight is None else weight[:10])):
        close(value("root_mean_squared_error", *arrays, weight=share) ** 2, value(SQUARED, *arrays, weight=share))
        close(losses("root_mean_squared_error", *arrays) ** 2, losses(SQUARED, *arrays))
        squared = run(SQUARED, *arrays, reduction="mean", weight=share)
        rooted = run("root_mean_squared_error", *arrays, reduction="mean", weight=share)
        assert rooted.value is not None
        close(gradients_of(rooted)["predictions"] * 2 * rooted.value, gradients_of(squared)["predictions"])
    above = np.expm1(np.abs(REAL)), np.expm1(np.abs(TRUE_REAL))
    close(
        value("root_mean_squared_logarithmic_error", *above, weight=weight) ** 2,
        value(SQUARED_LOGARITHMIC, *above, weight=weight),
    )


def test_logarithmic_error_is_the_squared_error_of_logarithms() -> None:
    logarithms = np.log1p(POSITIVE), np.log1p(TRUE_POSITIVE)
    close(losses(SQUARED_LOGARITHMIC, *POSITIVE_PAIR), losses(SQUARED, *logarithms))
    close(slopes(SQUARED_LOGARITHMIC, *POSITIVE_PAIR), slopes(SQUARED, *logarithms) / (1 + POSITIVE))


def test_clipped_numbers_are_clipped_on_both_sides() -> None:
    clipped = run(SQUARED_LOGARITHMIC, *PAIR, clip=0.5)
    raised = run(SQUARED_LOGARITHMIC, np.maximum(REAL, 0.5), np.maximum(TRUE_REAL, 0.5))
    close(clipped.per_sample, raised.per_sample)
    close(gradients_of(clipped)["predictions"], np.where(REAL < 0.5, 0.0, gradients_of(raised)["predictions"]))


def test_median_and_maximum_are_of_the_absolute_errors() -> None:
    errors = np.abs(REAL - TRUE_REAL)
    for odd in (N, N - 1):
        arrays = REAL[:odd], TRUE_REAL[:odd]
        close(losses("median_absolute_error", *arrays), errors[:odd])
        close(value("median_absolute_error", *arrays), np.median(errors[:odd]))
    close(losses("max_error", *PAIR), errors)
    close(value("max_error", *PAIR), errors.max())
    slope = slopes("max_error", *PAIR, reduction="mean")
    assert np.flatnonzero(slope).tolist() == [int(errors.argmax())]


def test_percentage_error_is_the_absolute_error_in_parts_of_the_target() -> None:
    close(losses(PERCENTAGE, *PAIR) * np.abs(TRUE_REAL), losses(ABSOLUTE, *PAIR))
    same((PERCENTAGE, *PAIR, {"scale": 100.0}), (PERCENTAGE, *PAIR), factor=100.0)
    close(losses(PERCENTAGE, *PAIR, eps=1e3), losses(ABSOLUTE, *PAIR) / 1e3)


def test_log_cosh_is_between_square_and_absolute() -> None:
    small = REAL, REAL + 1e-4 * SCORES
    close(losses("log_cosh", *small) / losses("half_squared_error", *small), np.ones(N), 1e-6)
    far = REAL, REAL + 100 * SIGNS
    close(losses("log_cosh", *far), losses(ABSOLUTE, *far) - np.log(2))
    assert (losses("log_cosh", *PAIR) <= losses("half_squared_error", *PAIR)).all()
    assert (losses("log_cosh", *PAIR) <= losses(ABSOLUTE, *PAIR)).all()


def test_tweedie_holds_the_other_deviances() -> None:
    same(("tweedie_deviance", *POSITIVE_PAIR, {"power": 1.0}), ("poisson_deviance", *POSITIVE_PAIR), tolerance=1e-11)
    same(("tweedie_deviance", *POSITIVE_PAIR, {"power": 2.0}), ("gamma_deviance", *POSITIVE_PAIR), tolerance=1e-11)
    inverse_gaussian = (POSITIVE - TRUE_POSITIVE) ** 2 / (POSITIVE**2 * TRUE_POSITIVE)
    close(losses("tweedie_deviance", *POSITIVE_PAIR, power=3.0), inverse_gaussian, 1e-11)
    for power in (1.0, 2.0):  # and continuously
        close(
            losses("tweedie_deviance", *POSITIVE_PAIR, power=power + 1e-9),
            losses("tweedie_deviance", *POSITIVE_PAIR, power=power),
            1e-7,
        )


# --- likelihoods ----------------------------------------------------------------------------------------------------


def test_likelihoods_are_half_deviances_and_a_constant() -> None:
    p, y = POSITIVE_PAIR
    same(
        ("poisson_nll", p, y, {"log_input": False, "eps": 0.0}),
        ("poisson_deviance", p, y),
        factor=0.5,
        constant=y - y * np.log(y),
    )
    same(("gamma_nll", p, y), ("gamma_deviance", p, y), factor=0.5, constant=1 + np.log(y))
    for power in (1.2, 1.5, 2.5, 3.0):
        constant = -(y ** (2 - power)) / ((1 - power) * (2 - power))
        same(
            ("tweedie_nll", p, y, {"power": power}),
            ("tweedie_deviance", p, y, {"power": power}),
            factor=0.5,
            constant=constant,
            tolerance=1e-11,
        )


@pytest.mark.parametrize(
    ("name", "more"),
    [("poisson_nll", {"eps": 0.0}), ("gamma_nll", {}), ("tweedie_nll", {"power": 1.5}), ("tweedie_nll", {"power": 3.0})],
)
def test_logarithms_as_input_are_the_same_loss(name: str, more: dict[str, float]) -> None:
    plain, logarithmic = {**more, "log_input": False}, {**more, "log_input": True}
    close(losses(name, np.log(POSITIVE), TRUE_POSITIVE, **logarithmic), losses(name, *POSITIVE_PAIR, **plain))
    close(slopes(name, np.log(POSITIVE), TRUE_POSITIVE, **logarithmic), POSITIVE * slopes(name, *POSITIVE_PAIR, **plain))


def test_full_poisson_adds_the_factorial() -> None:
    counts = RNG.poisson(3.0, N).astype(np.float64)
    factorials = np.array([np.log(np.arange(1, count + 1)).sum() for count in counts])
    same(("poisson_nll", SCORES, counts, {"full": True}), ("poisson_nll", SCORES, counts), constant=factorials)
    stirling = losses("poisson_nll", SCORES, counts, full="stirling") - losses("poisson_nll", SCORES, counts)
    many = counts > 1
    close(stirling[~many], np.zeros((~many).sum()))
    assert (stirling[many] < factorials[many]).all()
    assert (stirling[many] > factorials[many] - 1 / (12 * counts[many])).all()


def test_gaussian_of_variance_one_is_half_the_squared_error() -> None:
    found = run("gaussian_nll", {"mean": REAL, "variance": np.ones(N)}, TRUE_REAL)
    close(found.per_sample, losses("half_squared_error", *PAIR))
    close(gradients_of(found)["mean"], slopes("half_squared_error", *PAIR))
    close(gradients_of(found)["variance"], 0.5 - losses("half_squared_error", *PAIR))
    same(
        ("gaussian_nll", {"mean": REAL, "variance": POSITIVE}, TRUE_REAL, {"full": True}),
        ("gaussian_nll", {"mean": REAL, "variance": POSITIVE}, TRUE_REAL),
        factor=1.0,
        constant=0.5 * np.log(2 * np.pi),
    )
    raised = run("gaussian_nll", {"mean": REAL, "variance": POSITIVE}, TRUE_REAL, eps=0.7)
    close(raised.per_sample, losses("gaussian_nll", {"mean": REAL, "variance": np.maximum(POSITIVE, 0.7)}, TRUE_REAL))
    assert not gradients_of(raised)["variance"][POSITIVE < 0.7].any()


# --- two classes ----------------------------------------------------------------------------------------------------


def test_logistic_is_cross_entropy_from_logits() -> None:
    same(("logistic", SCORES, SIGNS), (BCE, SCORES, FLAGS, {"from_logits": True}))
    same(("logistic", SCORES, SIGNS), (BCE, SCORES, SIGNS, {"from_logits": True}))
    close(losses(SOFT_MARGINS, LOGITS, MULTI_HOT), losses(BCE, LOGITS, MULTI_HOT, from_logits=True))
    close(slopes(SOFT_MARGINS, LOGITS, MULTI_HOT), slopes(BCE, LOGITS, MULTI_HOT, from_logits=True))


BINARY_FORMS = [
    (BCE, {}),
    (BCE, {"label_smoothing": 0.2}),
    (BCE, {"pos_weight": 3.0}),
    ("binary_focal", {}),
    ("binary_focal", {"gamma": 0.5, "alpha": 0.3}),
    ("binary_focal", {"label_smoothing": 0.2}),
]


@pytest.mark.parametrize(("name", "parameters"), BINARY_FORMS)
@pytest.mark.parametrize("targets", [FLAGS, SOFT_FLAGS], ids=["hard", "soft"])
def test_logits_and_probabilities_agree(name: str, parameters: dict[str, float], targets: Array) -> None:
    close(losses(name, SCORES, targets, from_logits=True, **parameters), losses(name, CHANCES, targets, **parameters), 1e-11)
    pulled = slopes(name, CHANCES, targets, **parameters) * CHANCES * (1 - CHANCES)
    close(slopes(name, SCORES, targets, from_logits=True, **parameters), pulled, 1e-11)


@pytest.mark.parametrize("from_logits", [True, False])
def test_binary_focal_without_focus_is_cross_entropy(from_logits: bool) -> None:
    predictions = SCORES if from_logits else CHANCES
    for targets in (FLAGS, SOFT_FLAGS):
        same(
            ("binary_focal", predictions, targets, {"gamma": 0.0, "from_logits": from_logits}),
            (BCE, predictions, targets, {"from_logits": from_logits}),
        )
        same(
            ("binary_focal", predictions, targets, {"alpha": 0.5, "from_logits": from_logits}),
            ("binary_focal", predictions, targets, {"from_logits": from_logits}),
            factor=0.5,
        )


def test_alpha_weighs_the_classes() -> None:
    weighed = losses("binary_focal", CHANCES, FLAGS, alpha=0.8)
    close(weighed, np.where(FLAGS == 1, 0.8, 0.2) * losses("binary_focal", CHANCES, FLAGS), 1e-12)


@pytest.mark.parametrize("from_logits", [True, False])
def test_smoothing_is_a_softer_target(from_logits: bool) -> None:
    predictions = SCORES if from_logits else CHANCES
    for targets in (FLAGS, SOFT_FLAGS):
        softer = 0.9 * targets + 0.05
        same(
            (BCE, predictions, targets, {"label_smoothing": 0.1, "from_logits": from_logits}),
            (BCE, predictions, softer, {"from_logits": from_logits}),
        )
        same(
            ("binary_focal", predictions, targets, {"label_smoothing": 0.1, "from_logits": from_logits}),
            ("binary_focal", predictions, softer, {"from_logits": from_logits}),
        )


def test_positive_weight_is_a_sample_weight_of_the_positive() -> None:
    close(losses(BCE, CHANCES, FLAGS, pos_weight=3.0), np.where(FLAGS == 1, 3.0, 1.0) * losses(BCE, CHANCES, FLAGS))
    columns = LOGITS.reshape(-1, 2), MULTI_HOT.reshape(-1, 2)
    factors = np.array([3.0, 0.5])
    plain = losses(BCE, LOGITS.reshape(-1), MULTI_HOT.reshape(-1), from_logits=True).reshape(-1, 2)
    close(
        losses(BCE, *columns, from_logits=True, pos_weight=factors.tolist()),
        (plain * np.where(columns[1] == 1, factors, 1.0)).mean(axis=1),
    )


def test_clipped_probabilities_are_clipped_probabilities() -> None:
    hard = np.where(RNG.uniform(size=N) < 0.5, FLAGS, CHANCES)
    clipped = run(BCE, hard, 1 - FLAGS, clip=1e-3)
    close(clipped.per_sample, losses(BCE, np.clip(hard, 1e-3, 1 - 1e-3), 1 - FLAGS), 1e-10)
    assert not gradients_of(clipped)["predictions"][hard == FLAGS].any()


def test_margins_and_their_squares() -> None:
    same(("perceptron", SCORES, SIGNS), ("hinge", SCORES, SIGNS, {"margin": 0.0}))
    hinge = losses("hinge", SCORES, SIGNS)
    close(losses("squared_hinge", SCORES, SIGNS), hinge**2)
    close(slopes("squared_hinge", SCORES, SIGNS), 2 * hinge * slopes("hinge", SCORES, SIGNS))
    z = SIGNS * SCORES
    close(losses("modified_huber", SCORES, SIGNS), np.where(z >= -1, hinge**2, -4 * z))
    close(slopes("modified_huber", SCORES, SIGNS), np.where(z >= -1, -2 * SIGNS * hinge, -4 * SIGNS))
    close(losses("hinge", 3 * SCORES, SIGNS, margin=3.0), 3 * hinge)


def test_exponential_is_the_exponential_of_the_perceptron_without_its_corner() -> None:
    close(np.log(losses("exponential", SCORES, SIGNS)), -SIGNS * SCORES)
    close(slopes("exponential", SCORES, SIGNS), -SIGNS * losses("exponential", SCORES, SIGNS))
    close(np.log1p(losses("exponential", SCORES, SIGNS)), losses("logistic", SCORES, SIGNS))


@pytest.mark.parametrize("name", ["logistic", "hinge", "squared_hinge", "modified_huber", "perceptron", "exponential"])
def test_labels_of_either_kind_are_the_same_labels(name: str) -> None:
    found = run(name, SCORES, FLAGS)
    close(found.per_sample, losses(name, SCORES, SIGNS))
    assert found.encodings["targets"] == "binary"
    assert run(name, SCORES, SIGNS).encodings["targets"] == "sign"


def test_brier_is_the_squared_error_of_probabilities() -> None:
    same(("brier_score", CHANCES, FLAGS), (SQUARED, CHANCES, FLAGS))
    pairs = np.stack([1 - CHANCES, CHANCES], axis=1)
    close(losses("brier_score", pairs, FLAGS), 2 * losses("brier_score", CHANCES, FLAGS))
    close(losses("brier_score", pairs, FLAGS, scale_by_half=True), losses("brier_score", CHANCES, FLAGS))
    close(losses("brier_score", CHANCES, FLAGS, scale_by_half=False), 2 * losses("brier_score", CHANCES, FLAGS))
    same(("brier_score", CHANCES, FLAGS, {"scale_by_half": True}), ("brier_score", CHANCES, FLAGS))
    same(("brier_score", PROBABILITIES, LABELS, {"scale_by_half": False}), ("brier_score", PROBABILITIES, LABELS))
    same(("brier_score", PROBABILITIES, TRUTH), (SQUARED, PROBABILITIES, TRUTH), factor=K)


def test_zero_one_counts_wrong_decisions() -> None:
    close(losses("zero_one", CHANCES, FLAGS), (CHANCES > 0.5) != FLAGS)
    close(losses("zero_one", CHANCES, FLAGS, threshold=0.8), (CHANCES > 0.8) != FLAGS)
    close(losses("zero_one", LOGITS, LABELS), LOGITS.argmax(axis=1) != LABELS)
    other = RNG.permutation(LABELS)
    close(losses("zero_one", other, LABELS), losses("hamming_loss", other, LABELS))
    assert value("zero_one", LOGITS, LABELS) == pytest.approx(np.mean(LOGITS.argmax(axis=1) != LABELS))
    close(losses("hamming_loss", MULTI_HOT[::-1].copy(), MULTI_HOT), (MULTI_HOT[::-1] != MULTI_HOT).mean(axis=1))


# --- several classes ------------------------------------------------------------------------------------------------


def test_two_classes_are_one_logit() -> None:
    two = LOGITS[:, :2].copy()
    difference = two[:, 1] - two[:, 0]
    close(losses(CROSS_ENTROPY, two, FLAGS, from_logits=True), losses(BCE, difference, FLAGS, from_logits=True))
    slope = slopes(BCE, difference, FLAGS, from_logits=True)
    close(slopes(CROSS_ENTROPY, two, FLAGS, from_logits=True), np.stack([-slope, slope], axis=1))


def test_categorical_focal_without_focus_is_cross_entropy() -> None:
    same(("categorical_focal", PROBABILITIES, LABELS, {"gamma": 0.0, "alpha": 1.0}), (CROSS_ENTROPY, PROBABILITIES, LABELS))
    same(
        ("categorical_focal", LOGITS, LABELS, {"gamma": 0.0, "alpha": 0.3, "from_logits": True}),
        (CROSS_ENTROPY, LOGITS, LABELS, {"from_logits": True}),
        factor=0.3,
    )
    same(
        ("categorical_focal", LOGITS, LABELS, {"alpha": [0.25] * K, "from_logits": True}),
        ("categorical_focal", LOGITS, LABELS, {"from_logits": True}),
    )
    weighed = losses("categorical_focal", PROBABILITIES, LABELS, alpha=CLASS_WEIGHTS)
    close(weighed, np.array(CLASS_WEIGHTS)[LABELS.astype(int)] * losses("categorical_focal", PROBABILITIES, LABELS, alpha=1.0))


def test_generalized_cross_entropy_between_its_ends() -> None:
    cross_entropy = losses(CROSS_ENTROPY, PROBABILITIES, LABELS)
    close(losses(GENERALIZED, PROBABILITIES, LABELS, q=1e-9), cross_entropy, 1e-7)
    close(losses(GENERALIZED, PROBABILITIES, LABELS, q=1.0), 1 - np.exp(-cross_entropy))
    close(slopes(GENERALIZED, PROBABILITIES, LABELS, q=1.0), -ONE_HOT)


CATEGORICAL_FORMS: list[tuple[str, dict[str, Any]]] = [
    (CROSS_ENTROPY, {}),
    (CROSS_ENTROPY, {"label_smoothing": 0.2}),
    (CROSS_ENTROPY, {"class_weight": CLASS_WEIGHTS, "label_smoothing": 0.2}),
    ("categorical_focal", {"gamma": 1.5}),
    (GENERALIZED, {"q": 0.7}),
]


@pytest.mark.parametrize(("name", "parameters"), CATEGORICAL_FORMS)
def test_softmax_logits_and_distributions_agree(name: str, parameters: dict[str, Any]) -> None:
    close(losses(name, LOGITS, LABELS, from_logits=True, **parameters), losses(name, PROBABILITIES, LABELS, **parameters), 1e-11)
    pulled = softmax_pullback(PROBABILITIES, slopes(name, PROBABILITIES, LABELS, **parameters))
    close(slopes(name, LOGITS, LABELS, from_logits=True, **parameters), pulled, 1e-11)


@pytest.mark.parametrize("parameters", [{}, {"label_smoothing": 0.1}, {"class_weight": CLASS_WEIGHTS}], ids=str)
@pytest.mark.parametrize("from_logits", [True, False])
def test_one_hot_rows_and_indices_are_the_same_labels(parameters: dict[str, Any], from_logits: bool) -> None:
    predictions = LOGITS if from_logits else PROBABILITIES
    given = {**parameters, "from_logits": from_logits}
    same((CROSS_ENTROPY, predictions, ONE_HOT, given), (CROSS_ENTROPY, predictions, LABELS, given))
    assert run(CROSS_ENTROPY, predictions, ONE_HOT, **given).encodings["targets"] == "one_hot"


@pytest.mark.parametrize(
    "name",
    [
        "nll",
        "categorical_hinge",
        "crammer_singer_hinge",
        "multi_margin",
        "categorical_focal",
        GENERALIZED,
        "zero_one",
        "brier_score",
    ],
)
def test_every_loss_of_class_indices_takes_one_hot_rows(name: str) -> None:
    predictions = {
        "nll": LOG_PROBABILITIES,
        "categorical_focal": PROBABILITIES,
        GENERALIZED: PROBABILITIES,
        "brier_score": PROBABILITIES,
    }
    same((name, predictions.get(name, LOGITS), ONE_HOT), (name, predictions.get(name, LOGITS), LABELS))


def test_nll_of_the_log_softmax_is_cross_entropy() -> None:
    close(losses("nll", LOG_PROBABILITIES, LABELS), losses(CROSS_ENTROPY, LOGITS, LABELS, from_logits=True))
    for more in ({"class_weight": CLASS_WEIGHTS}, {"ignore_index": 2}, {"class_weight": CLASS_WEIGHTS, "ignore_index": 2}):
        close(value("nll", LOG_PROBABILITIES, LABELS, **more), value(CROSS_ENTROPY, LOGITS, LABELS, from_logits=True, **more))


@pytest.mark.parametrize("from_logits", [True, False])
def test_smoothed_labels_are_soft_labels(from_logits: bool) -> None:
    predictions = LOGITS if from_logits else PROBABILITIES
    for targets, rows in ((LABELS, ONE_HOT), (TRUTH, TRUTH)):
        softer = 0.7 * rows + 0.3 / K
        same(
            (CROSS_ENTROPY, predictions, targets, {"label_smoothing": 0.3, "from_logits": from_logits}),
            (CROSS_ENTROPY, predictions, softer, {"from_logits": from_logits}),
        )


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
def test_class_weights_are_the_sample_weights_of_their_classes(weight: Array | None) -> None:
    of_class = np.array(CLASS_WEIGHTS)[LABELS.astype(int)]
    weights = of_class if weight is None else weight * of_class
    for name, predictions, more in (
        (CROSS_ENTROPY, LOGITS, {"from_logits": True}),
        (CROSS_ENTROPY, PROBABILITIES, {}),
        ("nll", LOG_PROBABILITIES, {}),
    ):
        weighed = run(name, predictions, LABELS, reduction="mean", weight=weight, class_weight=CLASS_WEIGHTS, **more)
        plain = run(name, predictions, LABELS, reduction="mean", weight=weights, **more)
        close(weighed.value, plain.value)
        assert weighed.divisor == pytest.approx(plain.divisor)
        close(gradients_of(weighed)["predictions"], gradients_of(plain)["predictions"])


def test_class_weights_of_rows_weigh_their_terms() -> None:
    found = run(CROSS_ENTROPY, PROBABILITIES, TRUTH, reduction="mean", class_weight=CLASS_WEIGHTS)
    close(found.per_sample, -(TRUTH * np.log(PROBABILITIES) * CLASS_WEIGHTS).sum(axis=1))
    assert found.divisor == N
    margins = run("multi_margin", LOGITS, LABELS, reduction="mean", class_weight=CLASS_WEIGHTS)
    close(margins.per_sample, np.array(CLASS_WEIGHTS)[LABELS.astype(int)] * losses("multi_margin", LOGITS, LABELS))
    assert margins.divisor == N


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("index", [1, -100])
def test_ignored_labels_are_masked(weight: Array | None, index: int) -> None:
    kept = LABELS != 1
    targets = np.where(kept, LABELS, index)
    for name, predictions, more in (
        (CROSS_ENTROPY, LOGITS, {"from_logits": True}),
        (CROSS_ENTROPY, PROBABILITIES, {}),
        ("nll", LOG_PROBABILITIES, {}),
    ):
        for reduction in ("mean", "sum", "mean_over_samples"):
            ignored = run(name, predictions, targets, reduction=reduction, weight=weight, ignore_index=index, **more)
            masked = run(name, predictions, LABELS, reduction=reduction, weight=weight, mask=kept, **more)
            close(ignored.value, masked.value)
            assert (ignored.n_samples, ignored.divisor) == (masked.n_samples, pytest.approx(masked.divisor))
            close(ignored.per_sample, masked.per_sample)
            close(gradients_of(ignored)["predictions"], gradients_of(masked)["predictions"])


def test_margins_of_two_classes() -> None:
    two = LOGITS[:, :2].copy()
    same(("multi_margin", two, FLAGS), ("crammer_singer_hinge", two, FLAGS), factor=0.5)
    close(losses("crammer_singer_hinge", two, FLAGS), losses("hinge", two[:, 1] - two[:, 0], FLAGS))
    close(losses("multi_margin", two, FLAGS, p=2), losses("squared_hinge", two[:, 1] - two[:, 0], FLAGS) / 2)


def test_hinges_of_several_classes() -> None:
    raised = LOGITS + 10  # no score below 0, so that Keras' mask by multiplication hides the true class
    same(("categorical_hinge", raised, LABELS), ("crammer_singer_hinge", raised, LABELS))
    lowered = LOGITS - 10
    close(losses("categorical_hinge", lowered, LABELS), 1 - lowered[np.arange(N), LABELS.astype(int)])
    assert (losses("crammer_singer_hinge", LOGITS, LABELS) <= K * losses("multi_margin", LOGITS, LABELS) + 1e-12).all()


def test_one_true_label_is_a_class() -> None:
    lists = np.stack([LABELS, np.full(N, -1.0)], axis=1)
    same(("multilabel_margin", LOGITS, lists), ("multi_margin", LOGITS, LABELS))
    same(("multilabel_margin", LOGITS, ONE_HOT, {"target_format": "multi_hot"}), ("multi_margin", LOGITS, LABELS))
    ranks = (LOGITS[np.arange(N), LABELS.astype(int)][:, None] <= LOGITS).sum(axis=1)
    close(losses("coverage_error", LOGITS, ONE_HOT), ranks)
    close(losses("label_ranking_loss", LOGITS, ONE_HOT), (ranks - 1) / (K - 1))


def test_index_lists_are_multi_hot_rows() -> None:
    lists = np.array([[*np.flatnonzero(row), *[-1] * int(K - row.sum())] for row in MULTI_HOT], dtype=np.float64)
    same(("multilabel_margin", LOGITS, lists), ("multilabel_margin", LOGITS, MULTI_HOT, {"target_format": "multi_hot"}))


def test_orders_of_many_labels_are_those_of_their_pairs() -> None:
    rng = np.random.default_rng(8)
    scores = rng.integers(-6, 7, (40, 70)) / 4  # many tie, and many meet the margin exactly
    scores[20:30] *= 1e9
    scores[30:] += rng.normal(size=(10, 70))
    hot = (rng.random(scores.shape) < rng.random((40, 1))).astype(float)
    hot[0], hot[1] = 0.0, 1.0
    pairs = (hot[:, :, None] == 1) & (hot[:, None, :] == 0)  # (row, true label, false label)
    lead = scores[:, :, None] - scores[:, None, :]
    short = np.where(pairs, np.maximum(1.0 - lead, 0.0), 0.0)
    active = short > 0
    found = run("multilabel_margin", scores, hot, target_format="multi_hot")
    assert found.per_sample is not None
    np.testing.assert_allclose(found.per_sample, short.sum(axis=(1, 2)) / 70, rtol=1e-14)
    np.testing.assert_array_equal(gradients_of(found)["predictions"], (active.sum(axis=1) - active.sum(axis=2)) / 70.0)
    wrong = (pairs & (lead <= 0)).sum(axis=(1, 2))
    np.testing.assert_array_equal(losses("label_ranking_loss", scores, hot), wrong / np.maximum(pairs.sum(axis=(1, 2)), 1))


def test_label_weights_weigh_the_terms_of_their_labels() -> None:
    terms = losses(BCE, LOGITS.reshape(-1), MULTI_HOT.reshape(-1), from_logits=True).reshape(N, K)
    close(losses(SOFT_MARGINS, LOGITS, MULTI_HOT, class_weight=CLASS_WEIGHTS), (terms * CLASS_WEIGHTS).mean(axis=1))


# --- divergence -----------------------------------------------------------------------------------------------------


def test_divergence_from_a_class_is_cross_entropy() -> None:
    same(("kl_divergence", PROBABILITIES, ONE_HOT), (CROSS_ENTROPY, PROBABILITIES, ONE_HOT))
    same(("kl_divergence", LOGITS, ONE_HOT, {"input_format": "logits"}), (CROSS_ENTROPY, LOGITS, LABELS, {"from_logits": True}))
    entropy = -(TRUTH * np.log(TRUTH)).sum(axis=1)
    same(("kl_divergence", PROBABILITIES, TRUTH), (CROSS_ENTROPY, PROBABILITIES, TRUTH), constant=-entropy)


@pytest.mark.parametrize("log_target", [False, True])
def test_divergence_takes_its_predictions_in_three_forms(log_target: bool) -> None:
    truth = log_softmax(np.log(TRUTH)) if log_target else TRUTH
    plain = losses("kl_divergence", PROBABILITIES, TRUTH)
    given = {"log_target": log_target}
    close(losses("kl_divergence", PROBABILITIES, truth, **given), plain)
    close(losses("kl_divergence", LOG_PROBABILITIES, truth, input_format="log_probabilities", **given), plain)
    close(losses("kl_divergence", LOGITS, truth, input_format="logits", **given), plain)
    slope = slopes("kl_divergence", PROBABILITIES, truth, **given)
    close(slopes("kl_divergence", LOG_PROBABILITIES, truth, input_format="log_probabilities", **given), PROBABILITIES * slope)
    close(slopes("kl_divergence", LOGITS, truth, input_format="logits", **given), softmax_pullback(PROBABILITIES, slope))


# --- embeddings, pairs, triplets --------------------------------------------------------------------------------------

FIRST, SECOND, THIRD = RNG.normal(0, 1, (3, N, 3))


def test_cosine_embedding_is_one_minus_the_cosine_or_the_cosine() -> None:
    together = run("cosine_embedding", {"first": FIRST, "second": SECOND}, np.ones(N))
    close(together.per_sample, 1 + losses("cosine_similarity", FIRST, SECOND))
    close(gradients_of(together)["first"], slopes("cosine_similarity", FIRST, SECOND))
    close(gradients_of(together)["second"], slopes("cosine_similarity", SECOND, FIRST))
    apart = run("cosine_embedding", {"first": FIRST, "second": SECOND}, -np.ones(N), margin=-1.0)
    close(apart.per_sample, 1 - losses("cosine_similarity", FIRST, SECOND))
    close(gradients_of(apart)["first"], -slopes("cosine_similarity", FIRST, SECOND))
    scaled = losses("cosine_similarity", FIRST * 7, SECOND / 3)
    close(scaled, losses("cosine_similarity", FIRST, SECOND))


def test_margin_ranking_is_a_hinge_of_the_difference() -> None:
    for margin in (0.0, 0.5):
        ranking = run("margin_ranking", {"first": REAL, "second": TRUE_REAL}, SIGNS, margin=margin)
        hinge = run("hinge", REAL - TRUE_REAL, SIGNS, margin=margin)
        close(ranking.per_sample, hinge.per_sample)
        close(gradients_of(ranking)["first"], gradients_of(hinge)["predictions"])
        close(gradients_of(ranking)["second"], -gradients_of(hinge)["predictions"])


def test_embedding_losses_of_a_distance() -> None:
    distances = np.abs(REAL) / 3
    close(losses("contrastive", distances, np.ones(N)), losses(SQUARED, distances, np.zeros(N)))
    close(losses("contrastive", distances, np.zeros(N)), losses("squared_hinge", distances, np.ones(N)))
    close(losses("contrastive", distances, np.zeros(N), margin=2.0), losses("hinge", distances, np.ones(N), margin=2.0) ** 2)
    apart = SIGNS == -1
    close(losses("hinge_embedding", distances, SIGNS), np.where(apart, losses("hinge", distances, np.ones(N)), distances))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("margin", [1.0, 20.0])
def test_triplets_compare_two_distances(p: float, margin: float) -> None:
    def distance(one: Array, other: Array) -> Array:
        return (np.abs(one - other + 1e-6) ** p).sum(axis=1) ** (1 / p)

    triplet = {"anchor": FIRST, "positive": SECOND, "negative": THIRD}
    close(
        losses("triplet_margin", triplet, p=p, margin=margin),
        np.maximum(distance(FIRST, SECOND) - distance(FIRST, THIRD) + margin, 0),
    )
    nearer = np.minimum(distance(FIRST, THIRD), distance(SECOND, THIRD))
    close(
        losses("triplet_margin", triplet, p=p, margin=margin, swap=True), np.maximum(distance(FIRST, SECOND) - nearer + margin, 0)
    )


def test_triplets_of_far_apart_pull_and_push_alike() -> None:
    gradients = gradients_of(run("triplet_margin", {"anchor": FIRST, "positive": SECOND, "negative": THIRD}, margin=20.0))
    close(sum(gradients.values()), np.zeros_like(FIRST))  # moving all three together changes no distance
    close(np.sqrt((gradients["positive"] ** 2).sum(axis=1)), np.ones(N))


def test_circle_compares_each_anchor_with_its_own_and_the_others() -> None:
    embeddings = FIRST[:8] / np.sqrt((FIRST[:8] ** 2).sum(axis=1, keepdims=True))
    groups = np.array([0.0, 0, 0, 1, 1, 2, 2, 3])
    cosine = embeddings @ embeddings.T
    gamma, margin = 10.0, 0.25
    expected = np.zeros(8)
    for anchor in range(7):  # the last has no other of its group
        own = [cosine[anchor, other] for other in range(8) if groups[other] == groups[anchor] and other != anchor]
        others = [cosine[anchor, other] for other in range(8) if groups[other] != groups[anchor]]
        pull = sum(np.exp(-gamma * max(1 + margin - s, 0) * (s - (1 - margin))) for s in own)
        push = sum(np.exp(gamma * max(s + margin, 0) * (s - margin)) for s in others)
        expected[anchor] = np.log1p(pull * push)
    found = run("circle", embeddings, groups, gamma=gamma, margin=margin, reduction="mean")
    close(found.per_sample, expected, 1e-11)
    assert found.value == pytest.approx(expected.sum() / 7)
    assert found.divisor == 7


def test_lists_are_classes_whose_labels_have_shares() -> None:
    shares = {"from_logits": True}
    same(("ranking_softmax", LOGITS, TRUTH), (CROSS_ENTROPY, LOGITS, TRUTH, shares))
    same(("ranking_softmax", LOGITS, 4 * TRUTH), ("ranking_softmax", LOGITS, TRUTH), factor=4)
    same(("listnet", LOGITS, np.log(TRUTH) + 3.0), (CROSS_ENTROPY, LOGITS, TRUTH, shares))


def test_an_item_that_a_list_has_not_changes_nothing() -> None:
    for name, absent in (("ranking_softmax", 0.0), ("listnet", -np.inf)):
        longer = (np.insert(array, 1, number, axis=1) for array, number in ((LOGITS, -np.inf), (TRUTH, absent)))
        found, plain = run(name, *longer), run(name, LOGITS, TRUTH)
        close(found.per_sample, plain.per_sample)
        close(found.gradient, np.insert(plain.gradient, 1, 0.0, axis=1))


# --- preference -----------------------------------------------------------------------------------------------------

ANSWERS = {"chosen": -10 * POSITIVE, "rejected": -10 * TRUE_POSITIVE}
REFERENCES = {"reference_chosen": -12 * TRUE_POSITIVE[::-1], "reference_rejected": -9 * POSITIVE[::-1]}
PREFERENCES = (ANSWERS, REFERENCES)
REWARDS = (
    0.1 * (ANSWERS["chosen"] - REFERENCES["reference_chosen"]),
    0.1 * (ANSWERS["rejected"] - REFERENCES["reference_rejected"]),
)
MARGIN = REWARDS[0] - REWARDS[1]


def test_preferences_without_noise_are_those_of_dpo() -> None:
    same(("cdpo", *PREFERENCES, {"label_smoothing": 0.0}), ("dpo", *PREFERENCES, {}))
    same(("robust_dpo", *PREFERENCES, {"label_smoothing": 0.0}), ("dpo", *PREFERENCES, {}))
    ones = {"chosen_length": np.ones(N), "rejected_length": np.ones(N)}
    same(("dpo_norm", ANSWERS, {**REFERENCES, **ones}, {}), ("dpo", *PREFERENCES, {}))


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_the_robust_loss_under_noise_is_that_of_clean_labels(noise: float) -> None:
    """In expectation over exchanged pairs; and the conservative one is that expectation of the plain loss."""
    exchanged = (
        {"chosen": ANSWERS["rejected"], "rejected": ANSWERS["chosen"]},
        {"reference_chosen": REFERENCES["reference_rejected"], "reference_rejected": REFERENCES["reference_chosen"]},
    )

    def expected(name: str, **more: float) -> Array:
        return (1 - noise) * losses(name, *PREFERENCES, **more) + noise * losses(name, *exchanged, **more)

    close(expected("robust_dpo", label_smoothing=noise), losses("dpo", *PREFERENCES))
    close(losses("cdpo", *PREFERENCES, label_smoothing=noise), expected("dpo"))


def test_preferences_are_losses_of_a_margin() -> None:
    close(losses("dpo", *PREFERENCES), losses("logistic", MARGIN, np.ones(N)))
    close(losses("dpo", *PREFERENCES), losses("bradley_terry", {"winner": REWARDS[0], "loser": REWARDS[1]}))
    close(losses("dpo_hinge", *PREFERENCES), losses("hinge", MARGIN, np.ones(N)))
    close(losses("ipo", *PREFERENCES), losses(SQUARED, 10 * MARGIN, np.full(N, 5.0)))
    close(losses("margin_mse", {"positive": REAL, "negative": SCORES}, TRUE_REAL), losses(SQUARED, REAL - SCORES, TRUE_REAL))
    close(
        losses("simpo", ANSWERS, beta=0.3, gamma=0.7),
        losses("logistic", 0.3 * (ANSWERS["chosen"] - ANSWERS["rejected"]) - 0.7, np.ones(N)),
    )


def test_a_ceiling_of_rewards_is_that_of_their_chances() -> None:
    """Under Jensen–Shannon a reward is ln σ of what it is under the reverse KL: none above 0, and all alike far below."""
    chances = {
        side: -losses("logistic", ANSWERS[side] - REFERENCES[f"reference_{side}"], np.ones(N)) for side in ("chosen", "rejected")
    }
    nothing = {name: np.zeros(N) for name in REFERENCES}
    close(losses("dpo", *PREFERENCES, divergence="jensen_shannon"), losses("dpo", chances, nothing))
    far = {name: numbers - 1e6 for name, numbers in ANSWERS.items()}
    close(losses("dpo", far, REFERENCES, divergence="jensen_shannon"), losses("dpo", *PREFERENCES), 1e-9)


def test_preferences_are_losses_of_two_rewards() -> None:
    won, lost = (losses("logistic", reward, side * np.ones(N)) for reward, side in zip(REWARDS, (1, -1), strict=True))
    close(losses("bco_pair", *PREFERENCES), won + lost)
    close(losses("nca_pair", *PREFERENCES), won + (losses("logistic", REWARDS[0], -np.ones(N)) + lost) / 2)
    close(
        losses("sppo_hard", *PREFERENCES),
        losses(SQUARED, 10 * REWARDS[0], np.full(N, 5.0)) + losses(SQUARED, 10 * REWARDS[1], np.full(N, -5.0)),
    )
    kto = [
        losses("kto", ANSWERS[side], {"reference": REFERENCES[f"reference_{side}"], "desirable": np.full(N, flag)})
        for side, flag in (("chosen", 1.0), ("rejected", 0.0))
    ]
    close(losses("apo_zero", *PREFERENCES), kto[0] + kto[1])


def test_exo_is_the_divergence_of_two_preferences() -> None:
    rows = np.stack([MARGIN, np.zeros(N)], axis=1)
    labels = np.tile([0.9, 0.1], (N, 1))
    shares = np.exp(log_softmax(rows))
    close(losses("exo", *PREFERENCES, label_smoothing=0.1), losses("kl_divergence", labels, shares), 1e-11)


def test_a_blend_so_wide_that_it_never_turns_is_half_of_each_loss() -> None:
    both = losses("dpo", *PREFERENCES) + losses("exponential", MARGIN, np.ones(N))
    close(losses("discopop", *PREFERENCES, temperature=1e30), both / 2)


@pytest.mark.parametrize("name", ["dpo", "ipo", "dpo_hinge", "exo", "discopop", "apo_zero", "nca_pair", "sppo_hard"])
def test_only_how_much_likelier_an_answer_is_than_for_the_reference_counts(name: str) -> None:
    moved = [{side: array - 3.0 for side, array in arrays.items()} for arrays in PREFERENCES]
    close(losses(name, *moved), losses(name, *PREFERENCES), 1e-9)


# --- masks and boxes ------------------------------------------------------------------------------------------------

MASKS = 1 / (1 + np.exp(-RNG.normal(0, 2, (N, 3, 4))))
TRUE_MASKS = RNG.integers(0, 2, (N, 3, 4)).astype(np.float64)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice_is_tversky_of_halves(smooth: float) -> None:
    same(
        ("dice", MASKS, TRUE_MASKS, {"smooth": 2 * smooth}),
        ("tversky", MASKS, TRUE_MASKS, {"alpha": 0.5, "beta": 0.5, "smooth": smooth}),
    )
    jaccard = losses("tversky", MASKS, TRUE_MASKS, alpha=1.0, beta=1.0)
    dice = losses("dice", MASKS, TRUE_MASKS)
    close(jaccard, 2 * dice / (1 + dice))


def test_tversky_exchanges_its_errors_with_its_weights() -> None:
    swapped = losses("tversky", TRUE_MASKS, MASKS, alpha=0.8, beta=0.3)
    close(losses("tversky", MASKS, TRUE_MASKS, alpha=0.3, beta=0.8), swapped)
    missed = losses("tversky", MASKS, TRUE_MASKS, alpha=0.0, beta=1.0)
    close(missed, 1 - (MASKS * TRUE_MASKS).sum(axis=(1, 2)) / TRUE_MASKS.sum(axis=(1, 2)))


def test_squared_dice_of_hard_masks_is_dice() -> None:
    other = TRUE_MASKS[::-1].copy()
    close(losses("dice", other, TRUE_MASKS, squared=True), losses("dice", other, TRUE_MASKS))
    intersection = (MASKS * TRUE_MASKS).sum(axis=(1, 2))
    close(
        losses("dice", MASKS, TRUE_MASKS, squared=True),
        1 - 2 * intersection / ((MASKS**2).sum(axis=(1, 2)) + TRUE_MASKS.sum(axis=(1, 2))),
    )


@pytest.mark.parametrize(
    ("name", "parameters"), [("dice", {}), ("dice", {"squared": True, "smooth": 1.0}), ("tversky", {"alpha": 0.2, "beta": 0.9})]
)
def test_masks_of_logits_and_probabilities_agree(name: str, parameters: dict[str, Any]) -> None:
    logits = np.log(MASKS) - np.log1p(-MASKS)
    close(losses(name, logits, TRUE_MASKS, from_logits=True, **parameters), losses(name, MASKS, TRUE_MASKS, **parameters), 1e-11)
    pulled = slopes(name, MASKS, TRUE_MASKS, **parameters) * MASKS * (1 - MASKS)
    close(slopes(name, logits, TRUE_MASKS, from_logits=True, **parameters), pulled, 1e-11)


def test_empty_masks_agree_with_each_other() -> None:
    nothing = np.zeros((2, 4))
    for name in ("dice", "tversky"):
        found = run(name, nothing, nothing)
        close(found.per_sample, np.zeros(2))
        assert not gradients_of(found)["predictions"].any()


CORNERS = RNG.uniform(-3, 3, (2, N, 2))
BOXES, TRUE_BOXES = (np.concatenate([corners, corners + RNG.uniform(0.5, 4, (N, 2))], axis=1) for corners in CORNERS)


def test_boxes_far_apart_cost_more_in_each_refinement() -> None:
    iou = losses("iou", BOXES, TRUE_BOXES)
    assert (losses("giou", BOXES, TRUE_BOXES) >= iou - 1e-12).all()
    assert (losses("diou", BOXES, TRUE_BOXES) >= iou - 1e-12).all()
    assert (losses("ciou", BOXES, TRUE_BOXES) >= losses("diou", BOXES, TRUE_BOXES) - 1e-12).all()
    assert (iou <= 1 + 1e-12).all()
    assert (losses("giou", BOXES, TRUE_BOXES) <= 2 + 1e-12).all()


def test_boxes_of_the_same_shape_need_no_aspect_term() -> None:
    width = TRUE_BOXES[:, 2:] - TRUE_BOXES[:, :2]
    moved = np.concatenate([BOXES[:, :2], BOXES[:, :2] + 1.5 * width], axis=1)
    close(losses("ciou", moved, TRUE_BOXES), losses("diou", moved, TRUE_BOXES))


def test_boxes_inside_one_another_have_no_empty_corner() -> None:
    inside = np.concatenate([TRUE_BOXES[:, :2] + 0.1, TRUE_BOXES[:, 2:] - 0.1], axis=1)
    close(losses("giou", inside, TRUE_BOXES, eps=0.0), losses("iou", inside, TRUE_BOXES, eps=0.0))
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (inside, TRUE_BOXES)]
    close(losses("iou", inside, TRUE_BOXES, eps=0.0), 1 - areas[0] / areas[1])


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
def test_boxes_may_be_moved_and_scaled_together(name: str) -> None:
    close(losses(name, 8 * BOXES + 1, 8 * TRUE_BOXES + 1, eps=0.0), losses(name, BOXES, TRUE_BOXES, eps=0.0))
    slope = slopes(name, BOXES, TRUE_BOXES, eps=0.0)
    close(slopes(name, 8 * BOXES, 8 * TRUE_BOXES, eps=0.0), slope / 8)
    turned = [1, 0, 3, 2]  # x for y
    close(losses(name, BOXES[:, turned], TRUE_BOXES[:, turned]), losses(name, BOXES, TRUE_BOXES))
    close(slopes(name, BOXES[:, turned], TRUE_BOXES[:, turned]), slopes(name, BOXES, TRUE_BOXES)[:, turned])


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
def test_a_box_is_the_same_box_in_every_format(name: str) -> None:
    sizes = [boxes[:, 2:] - boxes[:, :2] for boxes in (BOXES, TRUE_BOXES)]
    places = {"xywh": 0.0, "cxcywh": 0.5}
    slope = slopes(name, BOXES, TRUE_BOXES)
    low, high = slope[:, :2], slope[:, 2:]
    for box_format, share in places.items():
        given = [np.hstack([boxes[:, :2] + share * size, size]) for boxes, size in zip((BOXES, TRUE_BOXES), sizes, strict=True)]
        close(losses(name, *given, box_format=box_format), losses(name, BOXES, TRUE_BOXES))
        moved = np.hstack([low + high, high - share * (low + high)])
        np.testing.assert_allclose(slopes(name, *given, box_format=box_format), moved, rtol=1e-9, atol=1e-12)


def test_detached_alpha_changes_the_gradient_alone() -> None:
    """With α held fixed the gradient is that of diou and α times that of the aspect term."""
    fixed, free = run("ciou", BOXES, TRUE_BOXES, detach_alpha=True), run("ciou", BOXES, TRUE_BOXES)
    assert fixed.per_sample is not None
    assert free.per_sample is not None
    assert np.array_equal(fixed.per_sample, free.per_sample)

    def shape(boxes: Array) -> Array:
        return np.arctan((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))

    v = 4 / np.pi**2 * (shape(TRUE_BOXES) - shape(BOXES)) ** 2
    alpha = v / (losses("iou", BOXES, TRUE_BOXES) + v)
    w, h = (BOXES[:, 2:] - BOXES[:, :2]).T
    outward = 8 / np.pi**2 * (shape(BOXES) - shape(TRUE_BOXES)) / (w * w + h * h)
    aspect = np.stack([-h, w, h, -w], axis=1) * (alpha * outward)[:, None]
    close(gradients_of(fixed)["predictions"], slopes("diou", BOXES, TRUE_BOXES) + aspect, 1e-6)
    assert not np.allclose(gradients_of(fixed)["predictions"], gradients_of(free)["predictions"], rtol=1e-3, atol=1e-3)


# --- sequences ------------------------------------------------------------------------------------------------------

FRAMES = RNG.normal(0, 1.5, (6, 5, K))


def test_one_frame_of_one_label_is_cross_entropy() -> None:
    labels = RNG.integers(1, K, 6).astype(np.float64)
    frames = FRAMES[:, :1].copy()
    close(losses("ctc", frames, labels[:, None], from_logits=True), losses(CROSS_ENTROPY, frames[:, 0], labels, from_logits=True))
    close(
        slopes("ctc", frames, labels[:, None], from_logits=True)[:, 0],
        slopes(CROSS_ENTROPY, frames[:, 0], labels, from_logits=True),
    )


def paths(frames: int, k: int) -> NDArray[np.int_]:
    return np.stack(np.meshgrid(*[np.arange(k)] * frames, indexing="ij"), axis=-1).reshape(-1, frames)


def reading(path: Array, blank: int) -> list[int]:
    """What an alignment says: repeats merged, then blanks dropped."""
    merged = [int(label) for index, label in enumerate(path) if index == 0 or label != path[index - 1]]
    return [label for label in merged if label != blank]


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("labels", [[1], [1, 3], [3, 3], [1, 3, 1], [3, 3, 3]], ids=str)
def test_ctc_is_the_sum_over_all_alignments(labels: list[int], blank: int) -> None:
    logs = log_softmax(FRAMES)
    fitting = [path for path in paths(5, K) if reading(path, blank) == labels]
    chances = np.array([[np.exp(logs[row, np.arange(5), path].sum()) for path in fitting] for row in range(6)])
    targets = np.tile(np.array([*labels, -1.0]), (6, 1))
    found = run("ctc", FRAMES, targets, from_logits=True, blank=blank)
    close(found.per_sample, -np.log(chances.sum(axis=1)), 1e-11)
    posterior = np.zeros_like(FRAMES)
    for path, chance in zip(fitting, (chances / chances.sum(axis=1, keepdims=True)).T, strict=True):
        posterior[:, np.arange(5), path] += chance[:, None]
    close(gradients_of(found)["predictions"], np.exp(logs) - posterior, 1e-11)
    free = run("ctc", logs, targets, blank=blank)
    close(free.per_sample, found.per_sample, 1e-11)
    close(gradients_of(free)["predictions"], -posterior, 1e-11)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e16, 1e100, 1e307])
def test_ctc_pulls_by_a_difference_of_two_probabilities(scale: float) -> None:
    rng = np.random.default_rng(12)
    logits = rng.choice([-1.0, 0.0, 1.0], (500, 5, K)) * scale + rng.choice([-800.0, -1.0, 0.0, 1e4], (500, 5, K))
    for labels in ([1.0, 2.0], [1.0, 1.0]):
        slope = slopes("ctc", logits, np.tile(np.array(labels), (500, 1)), from_logits=True)
        assert (np.abs(slope) <= 1 + 1e-12).all()
        assert (np.abs(slope.sum(axis=2)) <= 1e-12).all()


def test_alignments_that_do_not_exist_are_infinite_or_nothing() -> None:
    targets = np.tile(np.array([1.0, 1, 1, -1]), (6, 1))  # three of a kind need two blanks between them: five frames
    short = FRAMES[:, :4].copy()
    assert np.isposinf(losses("ctc", short, targets, from_logits=True)).all()
    nothing = run("ctc", short, targets, from_logits=True, zero_infinity=True)
    close(nothing.per_sample, np.zeros(6))
    assert not gradients_of(nothing)["predictions"].any()
    assert not gradients_of(run("ctc", short, targets, from_logits=True))["predictions"].any()


def test_classes_may_be_renamed() -> None:
    order = np.array([2, 0, 3, 1])  # class c moves to place order[c]
    renamed = np.empty_like(FRAMES)
    renamed[:, :, order] = FRAMES
    targets = np.tile(np.array([1.0, 3.0]), (6, 1))
    moved = order[targets.astype(int)].astype(np.float64)
    close(losses("ctc", renamed, moved, from_logits=True, blank=2), losses("ctc", FRAMES, targets, from_logits=True))


LENGTHS: dict[str, Any] = {"input_lengths": [5, 4, 3, 2, 5, 0], "target_lengths": [2, 1, 2, 0, 1, 0]}


@pytest.mark.parametrize("from_logits", [True, False])
def test_what_is_beyond_the_end_of_a_sequence_is_not_looked_at(from_logits: bool) -> None:
    frames = FRAMES if from_logits else log_softmax(FRAMES)
    targets = np.tile(np.array([1.0, 3.0]), (6, 1))
    ends = list(zip(LENGTHS["input_lengths"], LENGTHS["target_lengths"], strict=True))
    spoiled = frames.copy(), targets.copy()
    for row, (frame, label) in enumerate(ends):
        spoiled[0][row, frame:], spoiled[1][row, label:] = np.nan, np.nan
    whole = run("ctc", *spoiled, from_logits=from_logits, **LENGTHS)
    gradient = gradients_of(whole)["predictions"]
    for row, (frame, label) in enumerate(ends):
        assert not gradient[row, frame:].any()
        if not frame:  # no frames spell no labels, with certainty
            assert np.asarray(whole.per_sample)[row] == 0.0
            continue
        labels = targets[row : row + 1, :label] if label else np.array([[-1.0]])
        alone = run("ctc", frames[row : row + 1, :frame], labels, from_logits=from_logits)
        assert np.array_equal(np.asarray(whole.per_sample)[row], np.asarray(alone.per_sample)[0])
        assert np.array_equal(gradient[row, :frame], gradients_of(alone)["predictions"][0])


def test_lengths_belong_to_their_samples_however_they_are_cut_or_masked() -> None:
    targets = np.tile(np.array([1.0, 3.0]), (6, 1))
    mask = np.array([True, False, True, True, False, True])
    loss, parameters = LOSSES["ctc"], {"from_logits": True, **LENGTHS}
    kept: dict[str, Any] = {name: np.array(lengths)[mask].tolist() for name, lengths in LENGTHS.items()}
    few = run("ctc", FRAMES[mask], targets[mask], from_logits=True, **kept)
    for block_bytes in (None, 1):
        some = evaluate(check(loss, parameters, FRAMES, targets, mask=mask), reduction="none", block_bytes=block_bytes)
        assert np.array_equal(np.asarray(some.per_sample)[mask], np.asarray(few.per_sample))


def test_the_mean_of_torch_divides_each_sequence_by_its_labels() -> None:
    targets = np.array([[1.0, 3.0], [1.0, -1.0], [2.0, 3.0], [-1.0, -1.0], [3.0, -1.0], [1.0, 2.0]])
    labels, weights = np.array([2, 1, 2, 1, 1, 2]), np.arange(6.0)
    alone = losses("ctc", FRAMES, targets, from_logits=True)
    parameters = {"from_logits": True, "divide_by_length": True}
    batch = check(LOSSES["ctc"], parameters, FRAMES, targets, sample_weight=weights)
    mean, total = evaluate(batch), evaluate(batch, reduction="sum")
    assert mean.value == pytest.approx((weights * alone / labels).sum() / 15, rel=1e-14)
    assert total.value == pytest.approx((weights * alone).sum(), rel=1e-14)
    assert np.array_equal(np.asarray(mean.per_sample)[1:], alone[1:])
    pull = gradients_of(total)["predictions"] / labels[:, None, None] / 15
    np.testing.assert_allclose(gradients_of(mean)["predictions"], pull, rtol=1e-14)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "call"),
    [
        ("MSELoss", lambda: (SQUARED, *PAIR)),
        ("HuberLoss", lambda: ("huber", *PAIR)),
        ("L1Loss", lambda: (ABSOLUTE, *PAIR)),
        ("SmoothL1Loss", lambda: ("smooth_l1", *PAIR)),
        ("SoftMarginLoss", lambda: ("logistic", SCORES, SIGNS)),
        ("NLLLoss", lambda: ("nll", LOG_PROBABILITIES, LABELS)),
        ("MultiMarginLoss", lambda: ("multi_margin", LOGITS, LABELS)),
        ("BCELoss", lambda: (BCE, CHANCES, FLAGS)),
        ("MultiLabelSoftMarginLoss", lambda: (SOFT_MARGINS, LOGITS, MULTI_HOT)),
    ],
)
def test_library_names_mean_our_defaults(alias: str, call: Callable[[], tuple[Any, ...]]) -> None:
    name, *arrays = call()
    same((alias, *arrays), (name, *arrays))


def test_library_names_that_take_logits_say_so() -> None:
    for name in ("CrossEntropyLoss", "F.cross_entropy"):
        same((name, LOGITS, LABELS), (CROSS_ENTROPY, LOGITS, LABELS, {"from_logits": True}))
    for name in ("BCEWithLogitsLoss", "bce_with_logits"):
        same((name, SCORES, FLAGS), (BCE, SCORES, FLAGS, {"from_logits": True}))


LIBRARY_DEFAULTS: dict[str, dict[str, object]] = {
    "HuberLoss": {"delta": 1.0},
    "SmoothL1Loss": {"beta": 1.0},
    "MarginRankingLoss": {"margin": 0.0},
    "HingeEmbeddingLoss": {"margin": 1.0},
    "CosineEmbeddingLoss": {"margin": 0.0},
    "TripletMarginLoss": {"margin": 1.0, "p": 2.0, "eps": 1e-6, "swap": False},
    "MultiMarginLoss": {"p": 1, "margin": 1.0, "class_weight": None},
    "MultiLabelMarginLoss": {"target_format": "index_list"},
    "PoissonNLLLoss": {"log_input": True, "full": False, "eps": 1e-8},
    "GaussianNLLLoss": {"full": False, "eps": 1e-6},
    "KLDivLoss": {"input_format": "log_probabilities", "log_target": False},
    "CrossEntropyLoss": {"from_logits": True, "label_smoothing": 0.0, "class_weight": None},
    "BCELoss": {"from_logits": False, "clip": np.exp(-100.0)},
    "BCEWithLogitsLoss": {"from_logits": True, "pos_weight": 1.0},
    "CTCLoss": {"blank": 0, "zero_infinity": False, "from_logits": False, "divide_by_length": True},
    "sigmoid_focal_loss": {"from_logits": True, "alpha": 0.25, "gamma": 2.0},
    "generalized_box_iou_loss": {"eps": 1e-7},
    "distance_box_iou_loss": {"eps": 1e-7},
    "complete_box_iou_loss": {"eps": 1e-7, "detach_alpha": True},
    "BinaryCrossentropy": {"from_logits": False, "label_smoothing": 0.0, "clip": 1e-7},
    "CategoricalCrossentropy": {"from_logits": False, "label_smoothing": 0.0, "clip": 1e-7},
    "BinaryFocalCrossentropy": {"from_logits": False, "gamma": 2.0, "alpha": None, "label_smoothing": 0.0},
    "CategoricalFocalCrossentropy": {"from_logits": False, "gamma": 2.0, "alpha": 0.25},
    "CategoricalGeneralizedCrossEntropy": {"q": 0.5},
    "Circle": {"gamma": 80.0, "margin": 0.4},
    "Dice": {"pool": "batch", "smooth_nr": 0.0, "smooth_dr": 1e-7},
    "Tversky": {"alpha": 0.5, "beta": 0.5, "pool": "batch", "smooth_nr": 0.0, "smooth_dr": 1e-7},
    "binary_dice_loss": {"from_logits": True, "smooth": 2.0},
    "log_loss": {"from_logits": False, "clip": None},
    "sklearn.metrics.log_loss": {"from_logits": False, "clip": float(np.finfo(np.float64).eps)},
    "Logloss": {"from_logits": True},
    "mean_pinball_loss": {"quantile": 0.5},
    "mean_tweedie_deviance": {"power": 0.0},
    "epsilon_insensitive": {"epsilon": 0.1},
}
"""What PyTorch, torchvision, Keras and scikit-learn take where nothing is said."""


@pytest.mark.parametrize("name", LIBRARY_DEFAULTS)
def test_library_names_bring_their_defaults(name: str) -> None:
    loss, preset = LOSSES.resolve(name)
    meant = {**loss.defaults, **preset}
    assert {parameter: meant[parameter] for parameter in LIBRARY_DEFAULTS[name]} == LIBRARY_DEFAULTS[name]


@pytest.mark.parametrize("power", [1.5, 1.9])
def test_a_mean_of_zero_has_an_answer_where_nothing_was_counted(power: float) -> None:
    """No request may have it, but an activation that underflows does: the limit of p^(2−ρ)/(2−ρ) is 0."""
    with np.errstate(all="ignore"):
        values, *_ = LOSSES["tweedie_nll"].function(np.array([0.0, 0.25]), np.zeros(2), power=power)
    assert values.tolist() == pytest.approx([0.0, 0.25 ** (2 - power) / (2 - power)], rel=1e-15)


# --- what only a mean of another kind, of other units or of too many poles shows -------------------------------------------


def test_weighted_columns_have_roots_of_their_own() -> None:
    rng = np.random.default_rng(5)
    predictions, targets = rng.normal(size=(2, 7, 3))
    weights = rng.uniform(0.5, 2.0, size=(7, 3))
    roots = [np.sqrt(np.average((predictions - targets)[:, j] ** 2, weights=weights[:, j])) for j in range(3)]
    batch = check(
        LOSSES["root_mean_squared_error"], {"multioutput": "uniform_average"}, predictions, targets, sample_weight=weights
    )
    assert evaluate(batch).value == pytest.approx(sum(roots) / 3, rel=1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_mean_over_samples_counts_elements_whatever_the_scale_of_the_weights(scale: float) -> None:
    weights, losses = scale * np.array([1.0, 2.0, 3.0, 5.0]), np.array([4.0, 1.0, 0.25, 2.0])
    batch = check(LOSSES["mean_absolute_error"], {}, losses, np.zeros(4), sample_weight=weights)
    answer = evaluate(batch, reduction="mean_over_samples")
    assert answer.divisor == 4.0
    assert answer.value == pytest.approx(float(np.sum(weights / 4.0 * losses)), rel=1e-14)


@pytest.mark.parametrize(("poles", "told"), [(100, False), (101, True)])
def test_more_nulls_than_are_listed_are_told(poles: int, told: bool) -> None:
    batch = check(LOSSES["binary_cross_entropy"], {"from_logits": False}, np.zeros(poles), np.ones(poles))
    answer = evaluate(batch, outputs=("per_sample",))
    assert len(answer.non_finite) == 100
    assert any(f"of {poles} numbers" in warning for warning in answer.warnings) is told
