"""Metrics: values against scikit-learn and independent writings, in every encoding; losses as metrics; refusals."""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import sklearn.metrics
from numpy.testing import assert_array_equal
from scipy.special import expit, softmax

from app.errors import InvalidInput, InvalidParameter, UnknownName
from app.losses import LOSSES, Loss, check, evaluate
from app.losses import encodings as declared
from app.losses.inputs import Encoding, Sizes
from app.losses.loss import ZERO_AT_TARGET
from app.losses.numerics.stable import Array
from app.registry import registry
from app.training import metrics
from app.training.metrics import (
    Metric,
    accuracy,
    average_precision,
    balanced_accuracy,
    check_metric,
    f1,
    precision,
    r2,
    recall,
    roc_auc,
    score,
)
from tests.folding import in_turn

METRICS = registry("metric", Metric, metrics)
OF_CLASSES = tuple(metric for metric in METRICS.values() if metric.of == "classes")
FITTING = ", ".join(metric.name for metric in OF_CLASSES)
EACH_OF_CLASSES = pytest.mark.parametrize("metric", OF_CLASSES, ids=lambda metric: metric.name)
SEEDS = pytest.mark.parametrize("seed", range(5))


def two_classes(seed: int, n: int = 60) -> tuple[Array, Array]:
    """Logits with ties and a 0 among them, and labels {0, 1} that they tell something of."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(size=n), 1)
    logits[:2] = 0.0
    return logits, (logits + rng.normal(size=n) > 0.2).astype(np.float64)


def three_classes(seed: int, n: int = 60) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3))
    return logits, (logits + rng.normal(size=(n, 3))).argmax(axis=1).astype(np.float64)


def one_hot(labels: Array, k: int = 3) -> Array:
    return np.eye(k)[labels.astype(int)]


# --- independent writings -----------------------------------------------------------------------------------------------


def f1_of(decided: list[int], true: list[int], positive: int) -> float:
    hits = sum(d == t == positive for d, t in zip(decided, true, strict=True))
    misses = sum((d == positive) != (t == positive) for d, t in zip(decided, true, strict=True))
    return 2 * hits / (2 * hits + misses) if hits or misses else 0.0


def auc_of(scores: Array, true: Array) -> float:
    """The share of (positive, negative) pairs in the right order."""
    gaps = np.subtract.outer(scores[true == 1], scores[true == 0])
    return float(np.mean((gaps > 0) + 0.5 * (gaps == 0)))


@SEEDS
def test_binary_metrics_are_their_definitions(seed: int) -> None:
    logits, labels = two_classes(seed)
    decided, true = [int(x > 0) for x in logits], [int(y) for y in labels]
    assert score(accuracy, {}, logits, "logit", labels) == sum(d == t for d, t in zip(decided, true, strict=True)) / 60
    assert score(f1, {}, logits, "logit", labels) == pytest.approx(f1_of(decided, true, 1), rel=1e-14)
    assert score(roc_auc, {}, logits, "logit", labels) == pytest.approx(auc_of(logits, labels), rel=1e-14)


@SEEDS
def test_metrics_of_several_classes_are_their_definitions(seed: int) -> None:
    logits, labels = three_classes(seed)
    decided, true = [max(range(3), key=lambda c, row=row: row[c]) for row in logits.tolist()], [int(y) for y in labels]
    assert score(accuracy, {}, logits, "logits", labels) == sum(d == t for d, t in zip(decided, true, strict=True)) / 60
    expected = np.mean([f1_of(decided, true, c) for c in range(3)])
    assert score(f1, {}, logits, "logits", labels) == pytest.approx(expected, rel=1e-14)
    shares = softmax(logits, axis=1)
    expected = np.mean([auc_of(shares[:, c], (labels == c).astype(float)) for c in range(3)])
    assert score(roc_auc, {}, logits, "logits", labels) == pytest.approx(expected, rel=1e-14)


@SEEDS
def test_metrics_are_scikit_learns(seed: int) -> None:
    logits, labels = two_classes(seed)
    rows, indices = three_classes(seed)
    shares = softmax(rows, axis=1)
    assert score(accuracy, {}, expit(logits), "probability", labels) == sklearn.metrics.accuracy_score(labels, logits > 0)
    assert score(f1, {}, expit(logits), "probability", labels) == sklearn.metrics.f1_score(labels, logits > 0)
    assert score(roc_auc, {}, expit(logits), "probability", labels) == sklearn.metrics.roc_auc_score(labels, logits)
    assert score(accuracy, {}, shares, "distribution", indices) == sklearn.metrics.accuracy_score(indices, rows.argmax(axis=1))
    assert score(f1, {}, shares, "distribution", indices) == sklearn.metrics.f1_score(
        indices, rows.argmax(axis=1), average="macro"
    )
    for metric, theirs in ((precision, sklearn.metrics.precision_score), (recall, sklearn.metrics.recall_score)):
        assert score(metric, {}, logits, "logit", labels) == theirs(labels, logits > 0)
        assert score(metric, {}, rows, "logits", indices) == theirs(indices, rows.argmax(axis=1), average="macro")
    balanced = sklearn.metrics.balanced_accuracy_score
    assert score(balanced_accuracy, {}, logits, "logit", labels) == pytest.approx(balanced(labels, logits > 0), rel=1e-14)
    assert score(balanced_accuracy, {}, rows, "logits", indices) == pytest.approx(
        balanced(indices, rows.argmax(axis=1)), rel=1e-14
    )
    assert score(average_precision, {}, logits, "logit", labels) == sklearn.metrics.average_precision_score(labels, logits)
    expected = sklearn.metrics.average_precision_score(one_hot(indices), shares, average="macro")
    assert score(average_precision, {}, rows, "logits", indices) == pytest.approx(expected, rel=1e-14)
    expected = sklearn.metrics.roc_auc_score(indices, shares, multi_class="ovr")
    assert score(roc_auc, {}, shares, "distribution", indices) == pytest.approx(expected, rel=1e-14)
    assert score(r2, {}, logits, "real", labels) == sklearn.metrics.r2_score(labels, logits)
    assert score(r2, {}, rows, "real", shares) == sklearn.metrics.r2_score(shares, rows)


def test_what_is_undefined_of_decisions_is_zero() -> None:
    """No sample decided, or none there: 0, as scikit-learn says it; a class without samples is none of balanced accuracy's."""
    low, high, none = -np.ones(4), np.ones(4), np.zeros(4)
    some = np.array([0.0, 1.0, 0.0, 1.0])
    assert score(precision, {}, low, "logit", some) == 0.0
    assert score(recall, {}, high, "logit", none) == 0.0
    assert score(average_precision, {}, high, "logit", none) == 0.0
    assert score(balanced_accuracy, {}, low, "logit", none) == 1.0
    assert score(balanced_accuracy, {}, low, "logit", some) == 0.5


@SEEDS
def test_a_row_of_weight_two_is_that_row_twice(seed: int) -> None:
    logits, labels = two_classes(seed)
    weights = np.random.default_rng(seed).integers(0, 3, len(labels)).astype(float)
    twice = np.repeat(np.arange(len(labels)), weights.astype(int))
    for metric in OF_CLASSES:
        weighed = score(metric, {}, logits, "logit", labels, weights)
        assert weighed == pytest.approx(score(metric, {}, logits[twice], "logit", labels[twice]), rel=1e-12), metric.name


def test_r2_is_the_variance_explained() -> None:
    predictions, targets = np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0])
    expected = 1 - np.sum((targets - predictions) ** 2) / np.sum((targets - targets.mean()) ** 2)
    assert score(r2, {}, predictions, "real", targets) == pytest.approx(expected, rel=1e-15)
    assert score(r2, {}, targets, "real", targets) == 1.0
    assert score(r2, {}, np.full(4, targets.mean()), "real", targets) == pytest.approx(0.0, abs=1e-15)


# --- encodings mean the same --------------------------------------------------------------------------------------------


def of_two(logits: Array) -> dict[str, Array]:
    """One model's decisions between two classes in every encoding of them."""
    return {"logit": logits, "score": logits, "probability": expit(logits)}


def of_several(logits: Array) -> dict[str, Array]:
    shares = softmax(logits, axis=1)
    return {"logits": logits, "distribution": shares, "log_probabilities": np.log(shares)}


@EACH_OF_CLASSES
@SEEDS
def test_a_metric_of_two_classes_does_not_depend_on_how_they_are_encoded(metric: Metric, seed: int) -> None:
    logits, labels = two_classes(seed)
    expected = score(metric, {}, logits, "logit", labels)
    assert 0.3 < expected < 1.0
    for (encoding, predictions), targets in product(of_two(logits).items(), (labels, 2 * labels - 1, labels.astype(np.int64))):
        assert score(metric, {}, predictions, encoding, targets) == expected
        assert score(metric, {}, predictions[:, None], encoding, targets[:, None]) == expected


@EACH_OF_CLASSES
@SEEDS
def test_a_metric_of_several_classes_does_not_depend_on_how_they_are_encoded(metric: Metric, seed: int) -> None:
    logits, labels = three_classes(seed)
    expected = score(metric, {}, logits, "logits", labels)
    soft = 0.7 * one_hot(labels) + 0.1
    for (encoding, predictions), targets in product(of_several(logits).items(), (labels, one_hot(labels), soft)):
        assert score(metric, {}, predictions, encoding, targets) == pytest.approx(expected, rel=1e-14)


def test_rows_of_scores_and_of_one_probability_a_class_are_decided_by_the_largest() -> None:
    rows = np.array([[0.9, 0.8], [0.1, 0.3], [0.6, 0.7], [0.2, 0.1]])
    hot = one_hot(np.array([0, 1, 0, 0]), 2)
    for encoding in ("scores", "probability", "real"):
        assert score(accuracy, {}, rows, encoding, hot) == 0.75


def test_a_plain_number_is_for_the_nearer_label() -> None:
    predictions = np.array([0.4, 0.6, -3.0, 0.4])
    assert score(accuracy, {}, predictions, "real", np.array([0.0, 1, 0, 1])) == 0.75
    assert score(accuracy, {}, predictions, "real", np.array([1.0, 1, -1, -1])) == 0.75
    assert score(accuracy, {}, predictions, "real", np.array([1.0, 1, -1, 1])) == 1.0


def test_at_the_threshold_the_negative_class_is_decided() -> None:
    assert score(accuracy, {}, np.array([0.0, -0.0]), "logit", np.array([0.0, 0.0])) == 1.0
    assert score(accuracy, {}, np.array([0.5, 0.5]), "probability", np.array([0.0, 0.0])) == 1.0
    assert score(accuracy, {}, np.array([0.0, 0.0]), "score", np.array([1.0, -1.0])) == 0.5
    assert score(accuracy, {}, np.zeros((2, 3)), "logits", np.array([0.0, 1.0])) == 0.5


def test_soft_labels_are_of_the_class_they_lean_to() -> None:
    assert score(accuracy, {}, np.array([1.0, 1.0, -1.0]), "logit", np.array([0.9, 0.2, 0.3])) == pytest.approx(2 / 3)


def test_ranks_of_small_probabilities_are_kept() -> None:
    assert score(roc_auc, {}, np.array([1e-20, 2e-20, 3e-20]), "probability", np.array([0.0, 1, 1])) == 1.0


# --- undefined ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [np.zeros(4), np.ones(4), -np.ones(4)])
def test_roc_auc_of_one_class_is_undefined(labels: Array) -> None:
    assert np.isnan(score(roc_auc, {}, np.linspace(0, 1, 4), "probability", labels))


def test_roc_auc_is_undefined_where_a_class_is_missing() -> None:
    assert np.isnan(score(roc_auc, {}, np.eye(3)[[0, 1, 1]], "distribution", np.array([0.0, 1, 1])))


def test_r2_of_one_sample_is_undefined() -> None:
    assert np.isnan(score(r2, {}, np.array([1.0]), "real", np.array([1.0])))


def test_f1_of_nothing_found_is_zero() -> None:
    assert score(f1, {}, -np.ones(3), "logit", np.array([0.0, 1, 1])) == 0.0
    assert score(f1, {}, -np.ones(3), "logit", np.zeros(3)) == 0.0


@pytest.mark.no_cover  # others run these lines as well
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@in_turn("name", [*METRICS, *LOSSES])
def test_predictions_that_are_not_finite_give_nan(name: str, bad: float) -> None:
    """Of every metric and loss, in every encoding in which it fits."""
    for case, outcome in zip(cases(), outcomes(name), strict=True):
        if outcome is not None:
            predictions = case.predictions.copy()
            predictions[3] = bad
            assert np.isnan(score(by_name(name), {}, predictions, case.encoding, case.targets))


@pytest.mark.parametrize("size", [1e160, 1.7e308])
def test_predictions_that_overflow_are_an_answer(size: float) -> None:
    predictions, targets = np.array([size, -size, 1.0]), np.array([1.0, 2.0, 3.0])
    assert not score(r2, {}, predictions, "real", targets) > 0
    assert score(LOSSES["mean_squared_error"], {}, predictions, "real", targets) == np.inf
    assert score(accuracy, {}, predictions * [[1.0, 1, 1]] * np.eye(3), "logits", np.array([0.0, 0, 2])) == 1.0


def test_a_number_outside_the_domain_of_a_loss_gives_nan() -> None:
    msle, targets = LOSSES["mean_squared_logarithmic_error"], np.array([1.0, 2.0])
    assert score(msle, {}, np.array([1.0, 2.0]), "above_minus_one", targets) == 0.0
    assert np.isnan(score(msle, {}, np.array([1.0, -1.5]), "above_minus_one", targets))


def test_a_pole_is_infinite() -> None:
    cross_entropy = LOSSES["binary_cross_entropy"]
    assert score(cross_entropy, {}, np.array([0.0, 0.5]), "probability", np.array([1.0, 1.0])) == np.inf


# --- losses as metrics ----------------------------------------------------------------------------------------------------

ENCODINGS: tuple[Encoding, ...] = (
    declared.REAL,
    declared.VALUE,
    declared.POSITIVE,
    declared.NON_NEGATIVE,
    declared.ABOVE_MINUS_ONE,
    declared.PROBABILITY,
    declared.LOGIT,
    declared.SCORE,
    declared.LOGITS,
    declared.DISTRIBUTION,
    declared.LOG_PROBABILITIES,
    declared.SCORES,
    declared.EMBEDDING,
    declared.DISTANCE,
)
N, K = 12, 3


class Case(NamedTuple):
    """Predictions in an encoding, beside targets that may or may not go with them."""

    encoding: str
    predictions: Array
    targets: Array


@cache
def cases() -> tuple[Case, ...]:
    """Every encoding of predictions beside every kind of targets."""
    rng = np.random.default_rng(4)
    labels, indices = (np.arange(N) % 2).astype(float), (np.arange(N) % K).astype(float)
    kinds: list[Array] = [labels, 2 * labels - 1, indices, one_hot(indices), rng.dirichlet(np.ones(K), N), rng.random(N) + 0.5]
    return tuple(Case(source.name, drawn(source, targets), targets) for source in ENCODINGS for targets in kinds)


def drawn(source: Encoding, targets: Array) -> Array:
    """Predictions of one number per class where the encoding has that, or as many as there are targets."""
    further = targets.shape[1:] if source.axes == ("n *d",) else ()
    return np.array(source.draw(np.random.default_rng(3), Sizes(n=N, k=K, d=further)), dtype=np.float64)


def by_name(name: str) -> Metric | Loss:
    return METRICS.get(name) or LOSSES[name]


@cache
def outcomes(name: str) -> tuple[float | None, ...]:
    """The score of every case, None where it is refused."""
    return tuple(outcome(by_name(name), case) for case in cases())


def outcome(metric: Metric | Loss, case: Case) -> float | None:
    try:
        return score(metric, {}, case.predictions, case.encoding, case.targets)
    except InvalidParameter as error:
        refusal = error
    assert [(fault.path, fault.code) for fault in refusal.faults] == [(("metric",), "metric")]
    return None


def read_as(source: str, wanted: str) -> Callable[[Array], Array] | None:
    """What may be read as what, written down from what the encodings mean."""
    plain: dict[str, set[str]] = {
        "positive": {"non_negative", "above_minus_one", "real", "value", "embedding"},
        "non_negative": {"above_minus_one", "real", "value", "embedding"},
        "above_minus_one": {"real", "value", "embedding"},
        "real": {"value", "embedding"},
        "value": {"real", "embedding"},
        "probability": {"label", "non_negative", "above_minus_one", "real", "value", "embedding"},
        "distribution": {"scores", "label", "probability", "non_negative", "above_minus_one", "real", "value", "embedding"},
        "logits": {"scores"},
        "logit": {"score"},
    }
    if source == wanted or wanted in plain.get(source, set()):
        return lambda x: x
    through: dict[str, tuple[str, Callable[[Array], Array]]] = {
        "logit": ("probability", expit),
        "logits": ("distribution", lambda x: softmax(x, axis=1)),
        "log_probabilities": ("distribution", np.exp),
    }
    if source in through:
        step, convert = through[source]
        further = read_as(step, wanted)
        return further and (lambda x: further(convert(x)))
    return None


@in_turn("name", LOSSES)
def test_a_loss_is_scored_in_every_encoding_that_is_exactly_its_own(name: str) -> None:
    """Its own evaluation of independently converted predictions, and a refusal for everything else."""
    for case, outcome in zip(cases(), outcomes(name), strict=True):
        expected = evaluated(LOSSES[name], case)
        assert (outcome is None) == (expected is None)
        if expected is not None:
            assert outcome == pytest.approx(expected, rel=1e-12, abs=1e-300)


def evaluated(loss: Loss, case: Case) -> float | None:
    """The loss by its own evaluation; None where it does not take what the predictions may be read as."""
    if set(loss.inputs) != {"predictions", "targets"}:
        return None
    wanted = loss.inputs["predictions"].decide(loss.defaults, case.predictions.ndim).name
    convert = read_as(case.encoding, wanted)
    comparable = case.encoding in ("real", "value", wanted) or ZERO_AT_TARGET in loss.properties
    if convert is None or (wanted in ("real", "value", "embedding") and not comparable):
        return None
    signs = case.encoding in ("logit", "probability", "score") and set(case.targets.flat) == {-1, 1}
    try:
        batch = check(loss, {}, convert(case.predictions), (case.targets + 1) / 2 if signs else case.targets)
        return evaluate(batch, outputs=("value",)).value
    except InvalidInput:
        return None


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("binary_cross_entropy", "logit"),
        ("brier_score", "logit"),
        ("zero_one", "logit"),
        ("hinge", "logit"),
        ("mean_absolute_error", "logit"),
        ("mean_absolute_error", "probability"),
        ("mean_absolute_error", "positive"),
        ("max_error", "real"),
        ("poisson_deviance", "positive"),
        ("mean_squared_logarithmic_error", "non_negative"),
        ("categorical_cross_entropy", "logits"),
        ("brier_score", "logits"),
        ("zero_one", "logits"),
        ("categorical_hinge", "logits"),
        ("categorical_cross_entropy", "log_probabilities"),
        ("zero_one", "log_probabilities"),
        ("categorical_focal", "distribution"),
        ("nll", "log_probabilities"),
        ("zero_one", "scores"),
        ("cosine_similarity", "real"),
        ("poisson_nll", "value"),
    ],
)
def test_some_that_fit(name: str, encoding: str) -> None:
    assert any(outcome is not None for case, outcome in zip(cases(), outcomes(name), strict=True) if case.encoding == encoding)


@pytest.mark.parametrize(
    ("name", "encoding", "words"),
    [
        ("binary_cross_entropy", "real", "logit where from_logits is true, probability otherwise, and predictions are real"),
        ("mean_squared_error", "score", "it takes real (any finite number), and predictions are score"),
        ("poisson_nll", "positive", "real where log_input is true, non_negative otherwise, and predictions are positive"),
        ("mean_squared_logarithmic_error", "real", "it takes above_minus_one where clip is null, real otherwise"),
        ("hinge", "probability", "it takes score ("),
        ("hinge_embedding", "probability", "it takes real ("),
        ("gaussian_nll", "real", "it takes mean, variance, targets"),
        ("triplet_margin", "embedding", "it takes anchor, positive, negative"),
        ("iou", "real", "it takes box_xyxy"),
    ],
)
def test_some_that_do_not_fit(name: str, encoding: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        score(LOSSES[name], {}, np.ones(4), encoding, np.array([0.0, 1, 0, 1]))
    assert words in refusal.value.faults[0].message


def test_losses_of_a_classifier_against_scikit_learn() -> None:
    logits, labels = two_classes(1)
    rows, indices = three_classes(1)
    log_loss = sklearn.metrics.log_loss
    p, shares = expit(logits), softmax(rows, axis=1)
    assert score(LOSSES["binary_cross_entropy"], {}, logits, "logit", labels) == pytest.approx(log_loss(labels, p))
    assert score(LOSSES["categorical_cross_entropy"], {}, rows, "logits", indices) == pytest.approx(log_loss(indices, shares))
    assert score(LOSSES["brier_score"], {}, logits, "logit", labels) == pytest.approx(sklearn.metrics.brier_score_loss(labels, p))
    expected = sklearn.metrics.mean_squared_error(labels, p)
    assert score(LOSSES["mean_squared_error"], {}, logits, "logit", 2 * labels - 1) == pytest.approx(expected)
    assert score(LOSSES["hinge"], {}, logits, "logit", labels) == pytest.approx(sklearn.metrics.hinge_loss(labels, logits))


@SEEDS
def test_the_zero_one_loss_is_what_accuracy_leaves(seed: int) -> None:
    zero_one = LOSSES["zero_one"]
    logits, labels = two_classes(seed)
    rows, indices = three_classes(seed)
    for targets in (labels, 2 * labels - 1):
        for encoding in ("logit", "probability"):
            both = [score(metric, {}, of_two(logits)[encoding], encoding, targets) for metric in (accuracy, zero_one)]
            assert sum(both) == pytest.approx(1.0, rel=1e-15)
    for encoding, predictions in of_several(rows).items():
        both = [score(metric, {}, predictions, encoding, indices) for metric in (accuracy, zero_one)]
        assert sum(both) == pytest.approx(1.0, rel=1e-15)


def test_parameters_decide_what_a_loss_takes() -> None:
    cross_entropy, (logits, labels) = LOSSES["binary_cross_entropy"], two_classes(2)
    of_logits = score(cross_entropy, {"from_logits": True}, logits, "logit", labels)
    assert of_logits == pytest.approx(score(cross_entropy, {}, logits, "logit", labels), rel=1e-14)
    with pytest.raises(InvalidParameter, match="it takes logit where from_logits is true, probability otherwise"):
        score(cross_entropy, {"from_logits": True}, expit(logits), "probability", labels)
    clipped = score(LOSSES["mean_squared_logarithmic_error"], {"clip": 1e-7}, logits, "real", labels)
    assert clipped == pytest.approx(np.mean((np.log1p(np.maximum(logits, 1e-7)) - np.log1p(np.maximum(labels, 1e-7))) ** 2))


def test_a_loss_that_refuses_its_parameter_is_named_where_it_stands() -> None:
    with pytest.raises(InvalidParameter) as refusal:
        score(LOSSES["tweedie_deviance"], {"power": 0.5}, np.ones(3), "positive", np.ones(3))
    assert refusal.value.faults[0].path == ("parameters", "power")


# --- refusals -----------------------------------------------------------------------------------------------------------

LABELS = np.array([0.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("metric", "encoding", "targets", "words"),
    [
        (
            accuracy,
            "real",
            np.array([0.5, 2.0, 1.0, 0.0]),
            "0 or 1, or −1 and +1, throughout. Metrics that fit: r2, losses of real",
        ),
        (f1, "positive", np.array([0.0, 1.0, 2.0, 1.0]), "0 or 1, or −1 and +1, throughout. Metrics that fit: r2, losses of"),
        (
            accuracy,
            "logit",
            np.array([0.0, 1.0, 2.0, 1.0]),
            "0 or 1, or −1 and +1, throughout. Metrics that fit: losses of logit",
        ),
        (accuracy, "logit", np.array([-1.0, 0.0, 1.0, 1.0]), "0 or 1, or −1 and +1, throughout"),
        (
            r2,
            "logit",
            LABELS,
            f"takes real-valued predictions, and these are logit. Metrics that fit: {FITTING}, losses",
        ),
        (
            r2,
            "distribution",
            LABELS,
            f"and these are distribution. Metrics that fit: {FITTING}, losses of distribution",
        ),
        (
            roc_auc,
            "distance",
            LABELS,
            "takes predictions of classes, and these are distance. Metrics that fit: losses of distance",
        ),
        (accuracy, "logits", np.array([0.0, 1.0, 2.0, 1.0]), "class indices from 0 to 1"),
        (accuracy, "logits", np.array([0.0, 1.0, -1.0, 1.0]), "class indices from 0 to 1"),
        (accuracy, "logits", np.array([0.0, 1.0, 0.5, 1.0]), "class indices from 0 to 1"),
        (accuracy, "logits", np.ones((4, 2)), "each row of targets must be of one class"),
        (accuracy, "logits", np.ones((4, 3)), "predictions have shape (4, 2) and targets (4, 3)"),
        (accuracy, "logit", LABELS[:, None], "predictions have shape (4,) and targets (4, 1)"),
        (r2, "real", LABELS[:3], "predictions have shape (4,) and targets (3,)"),
        (r2, "real", np.array([0.0, 1.0, np.nan, 0.0]), "its targets must be finite"),
        (accuracy, "logits", np.array([0.0, 1.0, np.nan, 0.0]), "class indices from 0 to 1"),
    ],
)
def test_a_metric_that_does_not_fit_names_those_that_do(metric: Metric, encoding: str, targets: Array, words: str) -> None:
    predictions = np.full((4, 2), 0.5) if encoding in ("logits", "distribution") else np.full(4, 0.5)
    with pytest.raises(InvalidParameter) as refusal:
        score(metric, {}, predictions, encoding, targets)
    (fault,) = refusal.value.faults
    assert (fault.path, fault.code) == (("metric",), "metric")
    assert fault.message.startswith(f"{metric.name} does not fit: ")
    assert words in fault.message


@pytest.mark.no_cover  # others run these lines as well
@in_turn("name", [*METRICS, *LOSSES])
def test_check_metric_refuses_what_score_would_refuse_later(name: str) -> None:
    for case, outcome in zip(cases(), outcomes(name), strict=True):
        assert (outcome is None) == refused(by_name(name), case)


def refused(metric: Metric | Loss, case: Case) -> bool:
    try:
        check_metric(metric, {}, case.encoding, case.targets, outputs=case.predictions.shape[1:])
    except InvalidParameter:
        return True
    return False


def test_check_metric_infers_one_output_per_class_or_target() -> None:
    check_metric(accuracy, {}, "logits", np.array([0.0, 2.0, 1.0]))
    check_metric(roc_auc, {}, "probability", LABELS)
    check_metric(r2, {}, "real", np.ones((4, 3)))
    check_metric(LOSSES["nll"], {}, "log_probabilities", np.array([0.0, 2.0, 1.0]))
    with pytest.raises(InvalidParameter):
        check_metric(accuracy, {}, "logits", np.array([-1.0, -1.0]))


# --- the registry ---------------------------------------------------------------------------------------------------------


def test_no_name_of_a_metric_is_that_of_a_loss() -> None:
    for name in (name for metric in METRICS.values() for name in (metric.name, *(alias.name for alias in metric.aliases))):
        with pytest.raises(UnknownName):
            LOSSES.resolve(name)


@EACH_OF_CLASSES
def test_higher_is_better(metric: Metric) -> None:
    logits, labels = np.array([-2.0, 1.0, 2.0, -1.0]), np.array([0.0, 1, 1, 0])
    values = [score(metric, {}, sign * logits, "logit", labels) for sign in (1, -1)]
    assert values[1] < values[0] == 1.0
    assert metric.higher_is_better
    assert not metric.parameters


def test_inputs_stay_as_they_are() -> None:
    logits, labels = three_classes(0)
    kept = logits.copy(), labels.copy()
    for metric in (*OF_CLASSES, LOSSES["categorical_cross_entropy"], LOSSES["zero_one"]):
        score(metric, {}, logits, "logits", labels)
    assert_array_equal(logits, kept[0])
    assert_array_equal(labels, kept[1])
