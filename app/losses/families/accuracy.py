"""Losses that judge decisions and probability forecasts, of two classes or of several."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, Lt
from typing_extensions import Doc

from app.domains import Whole
from app.errors import Fault, InvalidArray
from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import (
    CLASS_LABEL,
    DISTRIBUTION,
    GROUP,
    PROBABILITY,
    SCORES,
    SOFT_BINARY,
    UNIT,
)
from app.losses.inputs import Encoding, Numbers, Place, Reading, by_rank
from app.losses.labels import ClassWeight, class_counts, one_hot
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    PROPER,
    SMOOTH,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.pairs import (
    constant,
    pair,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    two_sum,
)
from app.losses.numerics.rows import row_starts, row_sums
from app.losses.numerics.shares import Shares
from app.losses.numerics.stable import Array


@loss(
    predictions=by_rank(PROBABILITY, DISTRIBUTION),
    targets=by_rank(SOFT_BINARY, CLASS_LABEL),
    formula="2h·(p − y)² if binary, else h ∑ⱼ (pⱼ − yⱼ)²",
    gradient="4h·(p − y) if binary, else 2h·(pⱼ − yⱼ)",
    symbols={
        "binary": "that predictions are (n,), the probability of the positive class",
        "h": "½ with scale_by_half, and by default where predictions are (n,); else 1",
    },
    aliases=("brier", "BrierScore", "brier_score_loss", "quadratic_score"),
    equals=(
        equal(
            "sklearn.metrics.brier_score_loss(targets, predictions, scale_by_half=scale_by_half)",
            axes=("n",),
            scale_by_half=True,
        ),
        equal("sklearn.metrics.brier_score_loss(targets, predictions, labels=np.arange(k))", axes=("n k",)),
        equal("scoringrules.brier_score(targets, predictions)", reductions=EACH, axes=("n",)),
        equal("sklearn.metrics.brier_score_loss(targets, predictions)", axes=("n",)),
        equal("catboost.utils.eval_metric(targets, np.log(predictions) - np.log1p(-predictions), 'BrierScore')[0]", axes=("n",)),
    ),
    reference="Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT | PROPER,
    counts=class_counts,
)
def brier_score(
    predictions: Array,
    targets: Array,
    *,
    scale_by_half: Annotated[
        bool | None, Doc("Whether the sum of squares over the classes is halved; null halves it for two classes as (n,) only.")
    ] = None,
    label_smoothing: Annotated[
        float, Ge(0), Le(1), Doc("Share of each label that is spread evenly over all classes; (n,) is of two.")
    ] = 0.0,
    class_weight: ClassWeight = None,
) -> tuple[Array, Array, Second]:
    """Squared error of a probability forecast: rewards calibration as well as sharpness, and stays bounded.

    Predictions (n,) are the probability of the positive class, rows (n, k) that of each class. The weight of a row is that of
    its class, the expected one of a soft label; the mean divides by it where targets are indices.

    Use when: probability forecasts are judged, calibration and sharpness in one bounded number, or trained where labels are
    noisy.
    Avoid when: rare events matter: forecasts of 0.001 and of 0.01 cost nearly the same; cross-entropy tells them apart.
    See also: categorical_cross_entropy, zero_one, integrated_brier_score.
    """
    if predictions.ndim == 1:
        scale = 2.0 if scale_by_half is False else 1.0
        residual = predictions - targets if not label_smoothing else _residual(predictions, targets, label_smoothing, 2)
        return scale * (residual * residual), (2.0 * scale) * residual, lambda: np.full_like(residual, 2.0 * scale)
    scale = 0.5 if scale_by_half else 1.0
    if targets.ndim == 2 or label_smoothing:
        rows = targets if targets.ndim == 2 else one_hot(targets, predictions.shape[1])
        residual = _residual(predictions, rows, label_smoothing, rows.shape[1]) if label_smoothing else predictions - rows
    else:
        residual = predictions.copy()
        residual[np.arange(targets.size), targets.astype(np.intp)] -= 1.0
    values, gradient = scale * (residual * residual).sum(axis=1), (2.0 * scale) * residual
    if class_weight is None:
        return values, gradient, lambda: np.full_like(residual, 2.0 * scale)
    factor = _weights_of(targets, residual.shape[1], label_smoothing, class_weight)
    return factor * values, factor[:, None] * gradient, lambda: np.full_like(residual, 2.0 * scale) * factor[:, None]


def _residual(predictions: Array, targets: Array, label_smoothing: float, k: int) -> Array:
    """What is predicted above (1 − ε) y + ε/k, rounded once."""
    kept = pair_multiply(pair(targets), two_sum(np.ones(1), -label_smoothing))
    smoothed = pair_add(kept, pair_divide(constant(label_smoothing), constant(k)))
    return pair_add(pair(predictions), pair_negative(smoothed))[0]


def _weights_of(targets: Array, k: int, label_smoothing: float, class_weight: object) -> Array:
    """The weight of each row's class, or what is expected of it."""
    weight = np.asarray(class_weight, np.float64)
    if targets.ndim == 1 and not label_smoothing:
        return weight[targets.astype(np.intp)]
    rows = targets if targets.ndim == 2 else one_hot(targets, k)
    return (((1.0 - label_smoothing) * rows + label_smoothing / k) * weight).sum(axis=1)


def _read_label(array: Numbers, place: Place) -> Reading:
    return GROUP.read(array, place)._replace(encoding="label")


def _read_label_or_probability(array: Numbers, place: Place) -> Reading:
    if array.dtype.kind in "iu" or (np.floor(array) == array).all():
        return _read_label(array, place)
    if not np.isfinite(array).all():
        place.refuse_numbers(~np.isfinite(array), array, "finite", "not_finite")
    if not UNIT.holds(array):
        place.refuse_numbers(UNIT.outside(array), array, "in [0, 1], a probability (or whole numbers throughout, class labels)")
    return Reading(array, "probability")


LABEL = Encoding(
    "label",
    "the label of a class, a whole number",
    ("n",),
    _read_label,
    SOFT_BINARY.draw,
    ("class_names",),
    "flag",
    domain=Whole(),
)
LABEL_OR_PROBABILITY = Encoding(
    "label",
    "the label of a class, a whole number, or the probability of label 1 against label 0",
    ("n",),
    _read_label_or_probability,
    SOFT_BINARY.draw,
    ("probability",),
    domain=Whole(),
    soft=UNIT,
)


@loss(
    predictions=by_rank(LABEL_OR_PROBABILITY, SCORES),
    targets=by_rank(LABEL, CLASS_LABEL),
    formula="[ŷ ≠ y]",
    aliases=("0-1", "zero_one_loss", "ZeroOneLoss", "misclassification", "misclassification_error", "accuracy_loss", "merror"),
    equals=(
        equal("sklearn.metrics.zero_one_loss(targets, predictions)", axes=("n",), encodings={"predictions": "binary"}),
        equal("xgboost.XGBClassifier(eval_metric='error')", axes=("n",)),
        equal("xgboost.XGBClassifier(eval_metric='merror')", axes=("n k",)),
        equal("catboost.utils.eval_metric(targets, predictions, 'ZeroOneLoss')[0]", axes=("n",), threshold=0.0),
    ),
    reference="Hastie, Tibshirani and Friedman (2009), section 2.4, doi:10.1007/978-0-387-84858-7",
    properties=NON_NEGATIVE | ZERO_AT_TARGET,
    cost=Cost(per_number=10.0),
)
def zero_one(
    predictions: Array,
    targets: Array | Shares,
    *,
    threshold: Annotated[float, Ge(0), Lt(1), Doc("A probability above this decides for label 1.")] = 0.5,
) -> tuple[Array, None]:
    """Whether the decision is wrong; its mean is the error rate, one minus the accuracy.

    Predictions (n,) are class labels, or probabilities decided by the threshold; of rows (n, k) the class with the largest
    score is taken, the first where several tie.

    Use when: the share of wrong decisions is asked for, one minus the accuracy.
    Avoid when: a model is trained, as it has no slope; or one class is rare: to name the other one always looks good.
    See also: brier_score, hamming_loss.
    """
    if isinstance(targets, Shares):
        others = targets.rounded.copy()
        others.reshape(-1)[row_starts(others) + predictions.argmax(axis=1)] = 0.0
        return row_sums(others), None
    if predictions.ndim == 2:
        return (predictions.argmax(axis=1) != targets) * 1.0, None
    probability = np.floor(predictions) != predictions
    if ((targets != 0) & (targets != 1))[probability].any():
        raise InvalidArray([Fault(("targets",), "label", "targets must be 0 or 1 where predictions are probabilities")])
    decided = np.where(probability, predictions > threshold, predictions)
    return (decided != targets) * 1.0, None
