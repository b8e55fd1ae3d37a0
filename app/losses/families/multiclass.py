"""Losses of one true class among k: predictions (n, *d, k), one label for each element (n, *d).

A kernel sees rows (m, k) and labels (m,), or the shares (m, k) that classes have of soft, smoothed and weighed labels.
"""

from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.encodings import CLASS_LABEL, DISTRIBUTION, LOG_PROBABILITIES, LOGITS
from app.losses.inputs import when
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, PROPER, SMOOTH, Second, loss
from app.losses.numerics.rows import (
    Index,
    by_rows,
    flat_index,
    places,
    row_sums,
    scattered,
    softmax,
    softmax_variance,
)
from app.losses.numerics.shares import Shares, softmax_cross_entropy
from app.losses.numerics.stable import Array, xlogy
from app.registry import alias

FromLogits = Annotated[bool, Doc("Whether predictions are logits, which a softmax turns into probabilities.")]


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="−∑ⱼ yⱼ ln pⱼ; p = softmax(x) if from_logits",
    gradient="pⱼ − yⱼ if from_logits, else −yⱼ/pⱼ",
    aliases=(
        "cce",
        "sparse_categorical_cross_entropy",
        "multiclass_cross_entropy",
        "sparse_multiclass_cross_entropy",
        "multi_logloss",
        "mlogloss",
        alias("log_loss", shapes=("n k",)),
        alias("CategoricalCrossentropy", unless="from_logits", clip=1e-7),
        alias("categorical_crossentropy", unless="from_logits", clip=1e-7),
        alias("SparseCategoricalCrossentropy", unless="from_logits", clip=1e-7),
        alias("sparse_categorical_crossentropy", unless="from_logits", clip=1e-7),
        alias("CrossEntropyLoss", from_logits=True, class_axis=1, ignore_index=-100),
        alias("cross_entropy", from_logits=True, class_axis=1, ignore_index=-100),
        alias("F.cross_entropy", from_logits=True, class_axis=1, ignore_index=-100),
        alias("softmax_cross_entropy", from_logits=True),
        alias("softmax_cross_entropy_with_integer_labels", from_logits=True),
        alias("safe_softmax_cross_entropy", from_logits=True),
        alias("HalfMultinomialLoss", from_logits=True),
        alias("multi:softprob", from_logits=True),
        alias("multi:softmax", from_logits=True),
        alias("MultiClass", from_logits=True),
    ),
    equals=(
        equal(
            "torch.nn.CrossEntropyLoss(weight=class_weight, ignore_index=ignore_index, label_smoothing=label_smoothing, "
            "reduction=reduction)(predictions, targets)",
            axes=("n k", "n k d"),
            from_logits=True,
            class_axis=1,
            ignore_index=-100,
        ),
        equal(
            "torch.nn.CrossEntropyLoss(weight=class_weight, label_smoothing=label_smoothing, reduction=reduction)(predictions, "
            "targets)",
            axes=("n k", "n k d"),
            encodings={"targets": "distribution"},
            from_logits=True,
            class_axis=1,
            differs_at=("saturated",),
            caveat="Of rows that are all one-hot PyTorch divides by their number, and not by the weights of their classes.",
        ),
        equal(
            "keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            encodings={"targets": "distribution"},
            clip=1e-7,
            differs_at=("gradient",),
            caveat="Keras divides each row by its sum first, and its gradient goes through that.",
        ),
        equal(
            "keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing, reduction=reduction)"
            "(targets, predictions)",
            encodings={"targets": "distribution"},
            from_logits=True,
        ),
        equal(
            "keras.losses.SparseCategoricalCrossentropy(reduction=reduction)(targets, predictions)",
            clip=1e-7,
            differs_at=("gradient",),
            caveat="Keras divides each row by its sum first, and its gradient goes through that.",
        ),
        equal(
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignore_index, reduction=reduction)"
            "(targets, predictions)",
            from_logits=True,
            ignore_index=-1,
        ),
        equal("sklearn.metrics.log_loss(targets, predictions, labels=np.arange(k))", clip=2.220446049250313e-16),
        equal("sklearn._loss.loss.HalfMultinomialLoss(n_classes=k)", reductions=EACH, from_logits=True),
        equal(
            "optax.losses.softmax_cross_entropy(predictions, targets)",
            reductions=EACH,
            encodings={"targets": "distribution"},
            from_logits=True,
        ),
        equal(
            "optax.losses.safe_softmax_cross_entropy(predictions, targets)",
            reductions=EACH,
            encodings={"targets": "distribution"},
            from_logits=True,
        ),
        equal("optax.losses.softmax_cross_entropy_with_integer_labels(predictions, targets)", reductions=EACH, from_logits=True),
        equal(
            "xgboost.XGBClassifier(objective='multi:softprob', num_class=k)",
            reductions=EACH,
            from_logits=True,
            differs_at=("hessian",),
            caveat="XGBoost doubles the second derivative.",
        ),
        equal(
            "xgboost.XGBClassifier(objective='multi:softmax', num_class=k)",
            reductions=EACH,
            from_logits=True,
            differs_at=("hessian",),
            caveat="XGBoost doubles the second derivative.",
        ),
        equal(
            "lightgbm.LGBMClassifier(objective='multiclass', num_class=k)",
            from_logits=True,
            differs_at=("saturated", "hessian"),
            caveat="LightGBM keeps probabilities above 1e-15, and takes k/(k − 1) times the second derivative.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'MultiClass')[0]", from_logits=True),
        equal("catboost.CatBoostClassifier(loss_function='MultiClass')", reductions=EACH, from_logits=True),
    ),
    reference="Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | PROPER,
    either_order=True,
    counterpart="binary_cross_entropy",
)
def categorical_cross_entropy(
    predictions: Array,
    targets: Index | Shares,
    *,
    from_logits: FromLogits = False,
    clip: Annotated[
        float | None,
        Gt(0),
        Le(0.5),
        Doc("Probabilities are moved into [clip, 1 − clip], and pull no more beyond; null leaves them."),
    ] = None,
) -> tuple[Array, Array, Second]:
    """Surprise at the true class: a confident mistake costs without bound, and honest probabilities cost least.

    Targets are class indices or rows of probabilities, one-hot or soft. The mean divides by the sum of the class weights
    where targets are indices and by the number of samples where they are rows, as PyTorch does. Probabilities are never
    divided by their sum; `clip` does what Keras does with 1e-7.

    Use when: each sample has one of several classes, and their probabilities are wanted.
    Avoid when: labels are often wrong, as a confident mistake costs without bound; or a sample may have several labels at once.
    See also: nll, categorical_focal, generalized_cross_entropy, kl_divergence.
    """
    if from_logits and clip is not None:
        message = "clip applies to probabilities; leave it out with from_logits"
        raise InvalidParameter([Fault(("parameters", "clip"), "clip", message)])
    if from_logits and not isinstance(targets, Shares):
        positions = places(targets, predictions)
        parts = softmax(predictions, positions)
        parts.others.ravel("K")[positions] = 0.0 - parts.rest  # not −0: soft rows give the same bits
        return parts.surprise, parts.probabilities(), lambda: softmax_variance(by_rows(predictions))
    predictions = by_rows(predictions)
    if isinstance(targets, Shares):
        if from_logits:
            values, gradient = softmax_cross_entropy(predictions, targets)
            return values, gradient, lambda: row_sums(targets.rounded)[:, None] * softmax_variance(predictions)
        values, gradient, second = _surprise(predictions, targets.rounded, clip)
        return row_sums(values), gradient, second
    positions = flat_index(targets, predictions.shape[1])
    values, slope, bend = _surprise(predictions.take(positions), np.ones(positions.size), clip)
    return values, scattered(slope, positions, predictions), lambda: scattered(bend(), positions, predictions)


def _surprise(p: Array, shares: Array, clip: float | None) -> tuple[Array, Array, Second]:
    """−shares · log p of each number, and its derivatives."""
    if clip is None:
        slope = np.where(shares == 0, 0.0, -shares / p)
        return 0.0 - xlogy(shares, p), slope, lambda: np.where(shares == 0, 0.0, shares / p / p)
    # log(1 − clip) of the exact 1 − clip, which float64 does not hold
    log_p = np.where(p > 1.0 - clip, np.log1p(-clip), np.log(np.maximum(p, clip)))
    inside = (p >= clip) & (p <= 1.0 - clip) & (shares != 0)
    return 0.0 - shares * log_p, np.where(inside, -shares / p, 0.0), lambda: np.where(inside, shares / p / p, 0.0)


@loss(
    predictions=LOG_PROBABILITIES,
    targets=CLASS_LABEL,
    formula="−x_y",
    gradient="−1 if j = y, else 0",
    aliases=(
        "negative_log_likelihood",
        alias("NLLLoss", class_axis=1, ignore_index=-100),
        alias("nll_loss", class_axis=1, ignore_index=-100),
        alias("F.nll_loss", class_axis=1, ignore_index=-100),
    ),
    equals=(
        equal(
            "torch.nn.NLLLoss(weight=class_weight, ignore_index=ignore_index, reduction=reduction)(predictions, targets)",
            axes=("n k", "n k d"),
            class_axis=1,
            ignore_index=-100,
        ),
    ),
    reference="Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT | PROPER,
)
def nll(predictions: Array, targets: Index | Shares) -> tuple[Array, Array, Second]:
    """Cross-entropy of predictions that are log-probabilities already: picks the true class, takes no logarithm.

    Use when: the model ends in a log-softmax, so that its outputs are log-probabilities already.
    Avoid when: outputs are probabilities or logits: nothing turns them into logarithms here.
    See also: categorical_cross_entropy.
    """
    if isinstance(targets, Shares):
        return 0.0 - row_sums(targets.rounded * predictions), -targets.rounded, lambda: np.zeros_like(predictions)
    positions = flat_index(targets, predictions.shape[1])
    gradient = scattered(np.full(positions.size, -1.0), positions, predictions)
    return 0.0 - predictions.take(positions), gradient, lambda: np.zeros_like(predictions)
