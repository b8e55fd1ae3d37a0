"""Metrics: what predictions are scored by after each epoch, beside the loss that is trained on.

A metric is one of these functions or any loss that can be read off the same predictions. These functions take
predictions and targets in one form:

    of numbers   both (n,) or (n, m)
    of classes   one number per sample, above a threshold for the positive class, against whether it is the true one; or
                 one per class (n, k), of which the largest decides, against the index of the true one
    of embeddings  (n, d) against the label of each (n,)

`score` brings what a model predicts into that form, or into what a loss takes, by its encoding alone.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import Fault, InvalidInput, InvalidParameter
from app.libraries import Equal, equal
from app.losses import Loss, check, evaluate
from app.losses.encodings import ROW_SUM_TOLERANCE
from app.losses.inputs import Input, Numbers
from app.losses.loss import ZERO_AT_TARGET
from app.losses.numerics.rows import log_softmax
from app.losses.numerics.stable import Array, sigmoid
from app.registry import Alias, Declared

Scored: TypeAlias = tuple[Array, Numbers] | tuple[Array, Numbers, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Metric(Declared):
    """A metric by its name. Call it with predictions and targets in the form of this module for its value."""

    function: Callable[..., float]
    of: Literal["numbers", "classes", "embeddings"]
    higher_is_better: bool
    compares_samples: bool
    """Whether it sets one sample's numbers against another's, so that rows of logits must be made probabilities first."""


def metric(
    *,
    of: Literal["numbers", "classes", "embeddings"],
    higher_is_better: bool = True,
    compares_samples: bool = False,
    aliases: tuple[str | Alias, ...] = (),
    equals: tuple[Equal, ...] = (),
    reference: str = "",
) -> Callable[[Callable[..., float]], Metric]:
    """Declare a function as a metric: its name is the function's, its parameters the keyword-only ones."""
    return lambda function: Metric(
        function=function,
        of=of,
        higher_is_better=higher_is_better,
        compares_samples=compares_samples,
        names=aliases,
        equals=equals,
        reference=reference,
    )


# --- the metrics ------------------------------------------------------------------------------------------------------


@metric(
    of="classes",
    aliases=("acc", "accuracy_score", "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy"),
    equals=(
        equal("sklearn.metrics.accuracy_score(targets, decisions)"),
        equal("keras.metrics.BinaryAccuracy()"),
        equal("keras.metrics.CategoricalAccuracy()"),
    ),
)
def accuracy(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """Share of the samples whose class is decided rightly, in [0, 1]; at the threshold itself the negative class is decided."""
    right = _decided(predictions, threshold) == targets
    return int(np.count_nonzero(right)) / targets.size if weights is None else float(np.average(right, weights=weights))


@metric(
    of="classes",
    aliases=("f1_score", "F1Score", "BinaryF1Score"),
    equals=(
        equal("sklearn.metrics.f1_score(targets, decisions)", caveat="average='macro' for more than one number per sample."),
    ),
    reference="van Rijsbergen (1979), Information Retrieval, Butterworths",
)
def f1(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """Harmonic mean of precision and recall, in [0, 1]: that of the positive class, or the mean over the classes that occur.

    0 for a class that is never predicted rightly.
    """
    return _of_decisions("f1_score", predictions, targets, threshold, weights)


@metric(
    of="classes",
    aliases=("precision_score", "Precision", "BinaryPrecision", "positive_predictive_value"),
    equals=(
        equal(
            "sklearn.metrics.precision_score(targets, decisions)",
            caveat="average='macro' for more than one number per sample.",
        ),
    ),
    reference="van Rijsbergen (1979), Information Retrieval, Butterworths",
)
def precision(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """Share of the samples decided to be of a class that are of it, in [0, 1]: of the positive one, or the mean over the classes
    that occur.

    0 for a class that is never decided.
    """
    return _of_decisions("precision_score", predictions, targets, threshold, weights)


@metric(
    of="classes",
    aliases=("recall_score", "Recall", "BinaryRecall", "sensitivity", "true_positive_rate"),
    equals=(
        equal("sklearn.metrics.recall_score(targets, decisions)", caveat="average='macro' for more than one number per sample."),
    ),
    reference="van Rijsbergen (1979), Information Retrieval, Butterworths",
)
def recall(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """Share of the samples of a class that are decided to be of it, in [0, 1]: of the positive one, or the mean over the classes
    that occur.

    0 for a class that has no samples.
    """
    return _of_decisions("recall_score", predictions, targets, threshold, weights)


@metric(
    of="classes",
    aliases=("balanced_accuracy_score", "macro_recall", "unweighted_average_recall"),
    equals=(equal("sklearn.metrics.balanced_accuracy_score(targets, decisions)"),),
    reference="Brodersen, Ong, Stephan and Buhmann (2010), doi:10.1109/ICPR.2010.764",
)
def balanced_accuracy(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """Mean of the shares of each class that are decided rightly, in [0, 1]: rare classes count as much as others.

    Over the classes that have samples.
    """
    true = targets.astype(np.intp)
    right = _decided(predictions, threshold) == targets
    counts = np.bincount(true, weights)
    shares = np.bincount(true, right if weights is None else right * weights)
    return float((shares[counts > 0] / counts[counts > 0]).mean())


@metric(
    of="classes",
    compares_samples=True,
    aliases=("average_precision_score", "AveragePrecision", "BinaryAveragePrecision", "pr_auc"),
    equals=(equal("sklearn.metrics.average_precision_score(targets, predictions)"),),
    reference="Manning, Raghavan and Schütze (2008), Introduction to Information Retrieval, section 8.4",
)
def average_precision(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """Precision at each positive sample, of the samples ranked no lower, averaged: in [0, 1], 0 without positive samples.

    With one number per class it is the mean over the classes, each against the rest.
    """
    if predictions.ndim == 2:
        columns = enumerate(predictions.T)
        return float(np.mean([average_precision(column, targets == label, 0.0, weights) for label, column in columns]))
    if not (targets if weights is None else targets[weights > 0]).any():
        return 0.0
    return float(_sklearn().average_precision_score(targets, predictions, sample_weight=weights))


def _of_decisions(name: str, predictions: Array, targets: Numbers, threshold: float, weights: Array | None) -> float:
    """A score of scikit-learn's of decisions, 0 where it is undefined."""
    average = "binary" if predictions.ndim == 1 else "macro"
    decided = _decided(predictions, threshold).astype(np.int64)
    of: Callable[..., float] = getattr(_sklearn(), name)
    return float(of(targets.astype(np.int64), decided, average=average, sample_weight=weights, zero_division=0.0))


@metric(
    of="classes",
    compares_samples=True,
    aliases=("auc", "AUC", "roc_auc_score", "AUROC", "BinaryAUROC"),
    equals=(
        equal("sklearn.metrics.roc_auc_score(targets, predictions)"),
        equal("sklearn.metrics.roc_auc_score(targets, predictions, multi_class='ovr')", axes=("n k",)),
    ),
    reference="Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747",
)
def roc_auc(predictions: Array, targets: Numbers, threshold: float = 0.0, weights: Array | None = None) -> float:
    """How often a positive sample ranks above a negative one, in [0, 1], ties counting half: no threshold enters.

    With one number per class it is the mean over the classes, each against the rest. NaN where a class, or the rest, is empty.
    """
    if predictions.ndim == 2:
        return float(np.mean([roc_auc(column, targets == label, 0.0, weights) for label, column in enumerate(predictions.T)]))
    counted = targets if weights is None else targets[weights > 0]
    if counted.all() or not counted.any():
        return float("nan")
    if targets.all() or not targets.any():
        return float("nan")
    return float(_sklearn().roc_auc_score(targets, predictions, sample_weight=weights))


@metric(
    of="numbers",
    aliases=("r2_score", "R2Score", "coefficient_of_determination"),
    equals=(equal("sklearn.metrics.r2_score(targets, predictions)"),),
    reference="Wright (1921), Correlation and causation, J. Agricultural Research 20, 557–585",
)
def r2(predictions: Array, targets: Numbers, weights: Array | None = None) -> float:
    """Share of the targets' variance that the predictions explain: 1 is perfect, 0 no better than their mean, and worse is below.

    The mean over several targets. Of targets that are all the same it is 1 if they are met and 0 otherwise; NaN of one sample.
    """
    if len(targets) < 2:
        return float("nan")
    # in place of r2_score, which takes ten times as long to look at its arrays: a search asks it of thousands of resamples
    wanted, given = targets.reshape(len(targets), -1), predictions.reshape(len(targets), -1)
    weight = 1.0 if weights is None else weights[:, None]
    missed = (weight * (wanted - given) ** 2).sum(axis=0)
    mean = wanted.mean(axis=0) if weights is None else np.average(wanted, axis=0, weights=weights)
    spread = (weight * (wanted - mean) ** 2).sum(axis=0)
    shares = np.where(spread != 0.0, 1.0 - missed / np.where(spread != 0.0, spread, 1.0), np.where(missed != 0.0, 0.0, 1.0))
    return float(shares.mean())


NEIGHBOURS = 2048
"""Rows among which the nearest is looked for: their distances are as many numbers squared."""


@metric(
    of="embeddings",
    aliases=("nearest_neighbour_accuracy", "precision_at_1", "R@1"),
    equals=(equal("pytorch_metric_learning.utils.accuracy_calculator.AccuracyCalculator(include=('precision_at_1',))"),),
    reference="Jégou, Douze and Schmid (2011), doi:10.1109/TPAMI.2010.57",
)
def recall_at_1(predictions: Array, targets: Numbers, weights: Array | None = None) -> float:
    """Share of the samples whose nearest other one, by Euclidean distance of embeddings, has the same label, in [0, 1].

    Samples that are alone with their label are left out; NaN where all are. Of more than 2048 samples, so many of them, evenly.
    """
    n = len(predictions)
    if n > NEIGHBOURS:
        some = np.linspace(0, n - 1, NEIGHBOURS).astype(np.intp)
        predictions, targets, weights = predictions[some], targets[some], None if weights is None else weights[some]
    _, label, counts = np.unique(targets, return_inverse=True, return_counts=True)
    lengths = (predictions * predictions).sum(axis=1)
    distances = lengths - 2.0 * (predictions @ predictions.T)
    np.fill_diagonal(distances, np.inf)
    found, asked = label[distances.argmin(axis=1)] == label, counts[label] > 1
    counted = asked.astype(np.float64) if weights is None else asked * weights
    return float(np.average(found, weights=counted)) if counted.any() else float("nan")


def _decided(predictions: Array, threshold: float) -> NDArray[Any]:
    return predictions > threshold if predictions.ndim == 1 else predictions.argmax(axis=1)


def _sklearn() -> Any:
    # only a process that trains pays for scikit-learn: a second or two, and 100 MB
    import sklearn.metrics

    return sklearn.metrics


# --- scoring ------------------------------------------------------------------------------------------------------------


def score(
    metric: Metric | Loss,
    parameters: Mapping[str, Any],
    predictions: Array,
    encoding: str,
    targets: Numbers,
    weights: Array | None = None,
) -> float:
    """What the metric makes of predictions (n,) or (n, k) in this encoding; NaN where they are not finite.

    Targets are real numbers, {0, 1}, {−1, +1}, class indices, or rows (one-hot or shares). A loss takes the predictions as
    they are where it declares their encoding, and otherwise what they also are: the softmax of logits, a probability as a
    number, and so on; NaN for numbers outside its domain. InvalidParameter, naming the metrics that fit, where this one
    cannot be read off such predictions and targets: `check_metric` tells before a run.
    """
    with np.errstate(all="ignore"):  # what overflows is infinite or NaN, and an answer
        try:
            if isinstance(metric, Loss):
                return _loss(metric, parameters, predictions, encoding, targets, weights)
            scored = _form(metric, predictions, encoding, targets)
            counted = None if weights is None else np.repeat(weights, len(scored[0]) // len(weights))
            return metric.function(*scored, weights=counted, **parameters) if np.isfinite(predictions).all() else float("nan")
        except _Unfit as unfit:
            raise _misfit(metric, str(unfit), predictions, encoding, targets) from None


def check_metric(
    metric: Metric | Loss,
    parameters: Mapping[str, Any],
    encoding: str,
    targets: Numbers,
    *,
    outputs: tuple[int, ...] | None = None,
) -> None:
    """InvalidParameter where `score` would refuse this metric for these targets, whatever is predicted in this encoding.

    `outputs` is the shape of one sample's prediction, () or (k,); None takes that of the targets, or one number for each
    class index where the encoding has one per class.
    """
    if outputs is None:
        outputs = (max(1, int(targets.max()) + 1),) if encoding in PER_CLASS and targets.ndim == 1 else targets.shape[1:]
    k = outputs[0] if outputs else 1
    typical = {"probability": 0.25, "distribution": 1 / k, "log_probabilities": -np.log(k)}.get(encoding, 1.0)
    score(metric, parameters, np.full((len(targets), *outputs), typical), encoding, targets)


class _Unfit(Exception):
    """Why a metric does not fit."""


def _misfit(metric: Metric | Loss, why: str, predictions: Array, encoding: str, targets: Numbers) -> InvalidParameter:
    fitting: list[str] = []
    for other in globals().values():
        if isinstance(other, Metric) and other is not metric:
            try:
                _form(other, predictions, encoding, targets)
            except _Unfit:
                continue
            fitting.append(other.name)
    others = ", ".join([*fitting, f"losses of {encoding} predictions"])
    return InvalidParameter([Fault(("metric",), "metric", f"{metric.name} does not fit: {why}. Metrics that fit: {others}")])


# --- the form of the metrics ----------------------------------------------------------------------------------------------

THRESHOLDS = {"probability": 0.5, "logit": 0.0, "score": 0.0}
"""Encodings of a decision between two classes, and the number above which it is for the positive one."""
PER_CLASS = {"logits", "distribution", "log_probabilities", "scores"}
"""Encodings with a number for each class."""
NUMBERS = {"real", "value", "positive", "non_negative", "above_minus_one"}
"""Encodings of a number for its own sake."""


def _form(metric: Metric, predictions: Array, encoding: str, targets: Numbers) -> Scored:
    """What the metric's function takes; _Unfit where there is no such thing."""
    if metric.of == "embeddings":
        if encoding != "embedding" or predictions.ndim != 2 or targets.ndim != 1:
            raise _Unfit(f"it takes embeddings beside a label for each, and predictions are {encoding}")
        return predictions, targets
    if metric.of == "numbers":
        if encoding not in NUMBERS:
            raise _Unfit(f"it takes real-valued predictions, and these are {encoding}")
        _same_shape(predictions, targets)
        if not np.isfinite(targets).all():
            raise _Unfit("its targets must be finite")
        return predictions, targets
    if encoding not in PER_CLASS and encoding not in THRESHOLDS and encoding not in NUMBERS:
        raise _Unfit(f"it takes predictions of classes, and these are {encoding}")
    if predictions.ndim == 2 and (encoding in PER_CLASS or predictions.shape[1] > 1):
        # so that nothing depends on whether the softmax is in the model or in the loss
        per_class = _softmax(predictions) if encoding == "logits" and metric.compares_samples else predictions
        return per_class, _class_indices(targets, predictions.shape)
    _same_shape(predictions, targets)
    return (predictions.reshape(-1), *_positive(targets.reshape(-1), THRESHOLDS.get(encoding)))


def _same_shape(predictions: Array, targets: Numbers) -> None:
    if predictions.shape != targets.shape:
        raise _Unfit(f"predictions have shape {predictions.shape} and targets {targets.shape}")


def _positive(targets: Numbers, threshold: float | None) -> tuple[NDArray[np.bool_], float]:
    """Which targets are of the positive class, and the threshold; that of plain numbers lies halfway between the labels."""
    if threshold is not None and targets.min() >= 0 and targets.max() <= 1:
        return targets > 0.5, threshold
    if _two_labels(targets, 0):
        return targets == 1, 0.5
    if _two_labels(targets, -1):
        return targets == 1, threshold or 0.0
    raise _Unfit("its targets must be 0 or 1, or −1 and +1, throughout")


def _two_labels(targets: Numbers, negative: int) -> bool:
    return bool(((targets == negative) | (targets == 1)).all())


def _class_indices(targets: Numbers, shape: tuple[int, ...]) -> NDArray[np.intp]:
    n, k = shape
    if targets.shape == (n,):
        indices = targets.astype(np.intp)
        if (indices == targets).all() and indices.min() >= 0 and indices.max() < k:
            return indices
        raise _Unfit(f"its targets must be class indices from 0 to {k - 1}")
    if targets.shape != shape:
        raise _Unfit(f"predictions have shape {shape} and targets {targets.shape}")
    if targets.min() >= 0 and np.abs(targets.sum(axis=1) - 1.0).max() <= ROW_SUM_TOLERANCE:
        return targets.argmax(axis=1)
    raise _Unfit("each row of targets must be of one class: one-hot, or shares that sum to 1")


# --- losses as metrics ----------------------------------------------------------------------------------------------------


def _same(array: Array) -> Array:
    return array


def _softmax(logits: Array) -> Array:
    return np.exp(log_softmax(logits))


_READ_AS: Mapping[str, Mapping[str, Callable[[Array], Array]]] = {
    "logit": {"probability": sigmoid, "score": _same},
    "logits": {"distribution": _softmax, "scores": _same},
    "log_probabilities": {"distribution": np.exp},
    "distribution": {"probability": _same, "scores": _same},
    "probability": {"non_negative": _same},
    "positive": {"non_negative": _same},
    "non_negative": {"above_minus_one": _same},
    "above_minus_one": {"real": _same},
    "value": {"real": _same},
    "real": {"value": _same, "embedding": _same},
}
"""Encoding -> what its numbers also are, and how. A logit or a score is no quantity, though it may be any real number."""

_AS_REAL = ("above_minus_one", "real")
"""The step that only a comparison of like with like allows: elsewhere a real number may stand for the logarithm of a quantity."""


@cache
def _way(encoding: str, wanted: frozenset[str], alike: bool) -> tuple[Callable[[Array], Array], ...] | None:
    """The shortest way from an encoding to a wanted one; None where there is none."""
    ways: dict[str, tuple[Callable[[Array], Array], ...]] = {encoding: ()}
    queue = deque([encoding])
    while queue:
        reached = queue.popleft()
        if reached in wanted:
            return ways[reached]
        for to, step in _READ_AS.get(reached, {}).items():
            if to not in ways and (alike or (reached, to) != _AS_REAL):
                ways[to] = (*ways[reached], step)
                queue.append(to)
    return None


def _loss(
    loss: Loss, parameters: Mapping[str, Any], predictions: Array, encoding: str, targets: Numbers, weights: Array | None
) -> float:
    """The mean of the loss, with predictions and targets as it takes them."""
    given = loss.inputs.get("predictions")
    if len(loss.inputs) != 2 or given is None or given.named:
        raise _Unfit(f"it takes {', '.join(loss.inputs)}, and a model predicts one array for one array of targets")
    declared = given.decide({**loss.defaults, **parameters}, predictions.ndim)
    way = _way(encoding, frozenset({declared.name, *declared.accepts}), ZERO_AT_TARGET in loss.properties)
    if way is None:
        raise _Unfit(f"it takes {_cases(given)}, and predictions are {encoding}")
    if encoding in THRESHOLDS and _two_labels(targets, -1):
        targets = (targets + 1.0) / 2.0  # the labels of a probability, which most losses take instead of signs
    return _value(loss, parameters, predictions, way, targets, weights)


def _cases(given: Input) -> str:
    """What a loss takes, and where it takes what."""
    if len(given.cases) == 1:
        _, encoding = given.cases[0]
        return f"{encoding.name} ({encoding.meaning})"
    return ", ".join(f"{taken.name} {when if when == 'otherwise' else f'where {when}'}" for when, taken in given.cases)


def _value(
    loss: Loss,
    parameters: Mapping[str, Any],
    predictions: Array,
    way: tuple[Callable[[Array], Array], ...],
    targets: Numbers,
    weights: Array | None,
) -> float:
    if not np.isfinite(predictions).all():  # an infinite logit would become a finite probability
        return float("nan")
    for step in way:
        predictions = step(predictions)
    try:
        value = evaluate(check(loss, parameters, predictions, targets, sample_weight=weights), outputs=("value",)).value
    except InvalidInput as refusal:
        first = refusal.faults[0]
        if first.path[:1] == ("predictions",) and len(first.path) > 1:  # a number, not the shape
            return float("nan")
        if first.path[:1] == ("parameters",):
            raise InvalidParameter([first]) from None
        raise _Unfit(first.message) from None
    assert value is not None
    return value
