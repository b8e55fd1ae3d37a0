"""Losses of one true class among k: predictions (n, *d, k), one label for each element (n, *d).

A kernel sees rows (m, k) and labels (m,). What else labels may be and say, `app/losses/labels.py` puts around it.
"""

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.losses.encodings import CLASS_LABEL, DISTRIBUTION, LOG_PROBABILITIES, LOGITS, SCORES
from app.losses.inputs import when
from app.losses.labels import ClassWeight, LabelSmoothing
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, PROPER, SMOOTH, Second, loss
from app.losses.numerics.pairs import Pair, constant, difference, pair, pair_add, pair_divide, pair_multiply, two_product, two_sum
from app.losses.numerics.rows import (
    headroom,
    lead_missing,
    row_starts,
    row_sums,
    softmax,
    softmax_cross_entropy,
    softmax_variance,
)
from app.losses.numerics.stable import Array, recovered, xlogy
from app.losses.parameters import PER_CLASS
from app.registry import alias

Index: TypeAlias = NDArray[np.int64]
Labels: TypeAlias = NDArray[Any]
"""Class indices (n,) or rows of probabilities (n, k)."""

FromLogits = Annotated[bool, Doc("Whether predictions are logits, which a softmax turns into probabilities.")]


def _counts(targets: Labels, *, class_weight: list[float] | None = None, **_: object) -> Array | None:
    """The weight of each sample's class; None where all count 1."""
    return None if class_weight is None or len(targets.shape) > 1 else np.asarray(class_weight, np.float64)[targets]


def _flat(targets: Index, k: int) -> NDArray[np.intp]:
    """Where each row's label stands in the flattened rows."""
    return np.arange(0, targets.size * k, k, dtype=np.intp) + targets


def _one_hot(rows: Array) -> NDArray[np.intp] | None:
    """Where each row has its 1, in the flattened rows; None where a row is not one-hot."""
    n, k = rows.shape
    at: NDArray[np.intp] = np.flatnonzero(rows != 0.0)
    if at.size != n or rows.take(at).min() < 1.0:
        return None
    columns = at - row_starts(rows)
    return at if columns.min() >= 0 and columns.max() < k else None


def _ones(at: NDArray[np.intp] | None, shape: tuple[int, ...]) -> Array:
    """Rows with a 1 at each flat index."""
    rows = np.zeros(shape)
    rows.reshape(-1)[at] = 1.0
    return rows


# --- cross-entropies --------------------------------------------------------------------------------------------------


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="−∑ y log p, with p = softmax(x) from logits",
    aliases=(
        "cce", "CategoricalCrossentropy", "categorical_crossentropy",
        "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", "sparse_categorical_cross_entropy",
        "multiclass_cross_entropy", "sparse_multiclass_cross_entropy", "multi_logloss", "mlogloss",
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
        "torch.nn.CrossEntropyLoss(weight, ignore_index, label_smoothing) with from_logits",
        "keras.losses.CategoricalCrossentropy(from_logits, label_smoothing)",
        "keras.losses.SparseCategoricalCrossentropy(from_logits, ignore_class)",
        "sklearn.metrics.log_loss",
        "optax.losses.softmax_cross_entropy with from_logits",
        "optax.losses.softmax_cross_entropy_with_integer_labels with from_logits",
        "xgboost objective multi:softprob with from_logits",
        "lightgbm objective multiclass with from_logits",
        "catboost loss_function MultiClass with from_logits",
    ),
    reference="Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | PROPER,
    counts=_counts,
)  # fmt: skip
def categorical_cross_entropy(
    predictions: Array,
    targets: Labels,
    *,
    from_logits: FromLogits = False,
    label_smoothing: LabelSmoothing = 0.0,
    class_weight: ClassWeight = None,
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
    """
    if from_logits and clip is not None:
        raise InvalidParameter(
            [Fault(("parameters", "clip"), "clip", "clip applies to probabilities; leave it out with from_logits")]
        )
    if targets.ndim == 1:
        counts = _counts(targets, class_weight=class_weight)
        at = _flat(targets, predictions.shape[1])
    else:
        counts, at = None, None if class_weight else _one_hot(targets)
    if at is None or label_smoothing:
        rows = targets if targets.ndim == 2 else _ones(at, predictions.shape)
        shares = _shares(rows, label_smoothing, class_weight)
        if from_logits:
            exact = softmax_cross_entropy(predictions, shares, lambda at: _exact_shares(rows[at], label_smoothing, class_weight))
            return *exact, lambda: row_sums(shares)[:, None] * softmax_variance(predictions)
        return _soft(predictions, shares, clip)
    return _hard_logits(predictions, at, counts) if from_logits else _hard(predictions, at, counts, clip)


def _shares(rows: Array, label_smoothing: float, class_weight: list[float] | None) -> Array:
    """What −log p of each class counts in each row: (1 − ε) y + ε/k, times the weight of the class."""
    shares = (1.0 - label_smoothing) * rows + label_smoothing / rows.shape[1]
    return shares if class_weight is None else shares * np.asarray(class_weight, np.float64)


def _exact_shares(rows: Array, label_smoothing: float, class_weight: list[float] | None) -> Pair:
    """The shares unrounded, for a gradient in which they nearly cancel."""
    kept = pair_multiply(pair(rows), two_sum(np.ones(1), -label_smoothing))
    shares = pair_add(kept, pair_divide(constant(label_smoothing), constant(rows.shape[1])))
    return shares if class_weight is None else pair_multiply(shares, pair(np.asarray(class_weight, np.float64)))


def _hard_logits(x: Array, at: NDArray[np.intp], counts: Array | None) -> tuple[Array, Array, Second]:
    parts = softmax(x, at)
    parts.others.reshape(-1)[at] = 0.0 - parts.rest  # not −0: soft rows give the same bits
    gradient = parts.probabilities()
    if counts is None:
        return parts.surprise, gradient, lambda: softmax_variance(x)
    gradient *= counts[:, None]
    values = np.where(counts == 0, 0.0, counts * parts.surprise)
    return values, gradient, lambda: counts[:, None] * softmax_variance(x)


def _hard(p: Array, at: NDArray[np.intp], counts: Array | None, clip: float | None) -> tuple[Array, Array, Second]:
    true = p.take(at)
    values, slope, second = _soft(true[:, None], np.ones((at.size, 1)) if counts is None else counts[:, None], clip)
    return values, _placed(slope[:, 0], at, p), lambda: _placed(second()[:, 0], at, p)


def _placed(numbers: Array, at: NDArray[np.intp], like: Array) -> Array:
    """Rows of zeros, with one number of each at these flat indices."""
    rows = np.zeros_like(like)
    rows.reshape(-1)[at] = numbers
    return rows


def _soft(p: Array, shares: Array, clip: float | None) -> tuple[Array, Array, Second]:
    if clip is None:
        gradient = np.where(shares == 0, 0.0, -shares / p)
        return -row_sums(xlogy(shares, p)), gradient, lambda: np.where(shares == 0, 0.0, shares / p / p)
    # log(1 − clip) of the exact 1 − clip, which float64 does not hold
    log_p = np.where(p > 1.0 - clip, np.log1p(-clip), np.log(np.maximum(p, clip)))
    inside = (p >= clip) & (p <= 1.0 - clip) & (shares != 0)
    within = (p > clip) & (p < 1.0 - clip) & (shares != 0)
    return -row_sums(shares * log_p), np.where(inside, -shares / p, 0.0), lambda: np.where(within, shares / p / p, 0.0)


@loss(
    predictions=LOG_PROBABILITIES,
    targets=CLASS_LABEL,
    formula="−log p of the true class",
    aliases=(
        "negative_log_likelihood",
        alias("NLLLoss", class_axis=1, ignore_index=-100),
        alias("nll_loss", class_axis=1, ignore_index=-100),
        alias("F.nll_loss", class_axis=1, ignore_index=-100),
    ),
    equals=("torch.nn.NLLLoss(weight, ignore_index)",),
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT | PROPER,
)
def nll(predictions: Array, targets: Index) -> tuple[Array, Array, Second]:
    """Cross-entropy of predictions that are log-probabilities already: picks the true class, takes no logarithm."""
    at = _flat(targets, predictions.shape[1])
    return -predictions.take(at), _placed(np.full(at.size, -1.0), at, predictions), lambda: np.zeros_like(predictions)


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="−α (1 − p)^γ log p, with p the probability of the true class",
    aliases=("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", alias("softmax_focal", from_logits=True)),
    equals=(
        "keras.losses.CategoricalFocalCrossentropy(alpha, gamma, from_logits)",
        "monai.losses.FocalLoss(use_softmax=True, gamma) with from_logits and alpha 1",
    ),
    reference="Lin et al. (2017), arXiv:1708.02002",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)  # fmt: skip
def categorical_focal(
    predictions: Array,
    targets: Index,
    *,
    from_logits: FromLogits = False,
    gamma: Annotated[float, Ge(0), Doc("How strongly samples that are right already are passed over; 0 is cross-entropy.")] = 2.0,
    alpha: Annotated[
        float | list[float], PER_CLASS, Doc("Factor of the loss: one number for every class, or one for each.")
    ] = 0.25,
) -> tuple[Array, Array, Second]:
    """Cross-entropy that fades for samples the model has right, so that the hard ones decide.

    A scalar alpha multiplies every class, as in Keras; it is not alpha for one class and 1 − alpha for the others.
    """
    scale = np.asarray(alpha, np.float64)[targets] if isinstance(alpha, list) else alpha
    at = _flat(targets, predictions.shape[1])
    return (_focal_logits if from_logits else _focal)(predictions, at, gamma, scale)


def _focal_logits(x: Array, at: NDArray[np.intp], gamma: float, scale: Array | float) -> tuple[Array, Array, Second]:
    parts = softmax(x, at)
    miss = parts.rest / parts.total
    p = parts.picked / parts.total
    focus = scale * miss**gamma
    # p is 0 long before the surprise is infinite, and their product then is 0
    pull = focus * (gamma * p * np.minimum(parts.surprise, 1e300) + miss)
    share = np.divide(pull, parts.rest, out=np.zeros_like(pull), where=parts.rest > 0)
    gradient = parts.others * share[:, None]
    thin = (np.abs(share) < 1e-290) & (pull != 0)  # a quotient below the range, of which a product need not be
    if thin.any():
        gradient[thin] = parts.others[thin] / parts.rest[thin, None] * pull[thin, None]
    gradient.reshape(-1)[at] = -pull
    # the surprise may be beyond float64 where its share is not
    values = recovered(
        focus * parts.surprise, lambda: 2.0 * (focus * (np.log(parts.rest) / 2.0 + (parts.shift / 2.0 - x.take(at) / 2.0)))
    )

    def second() -> Array:  # m^γ·(pⱼ(1 − pⱼ)·(γps/m + 1) + (d/m)²·γp·(2m − s·(m − (γ − 1)p))), m = 1 − p, s = −ln p,
        # and d = m for the label, −pⱼ for another class
        surprise = np.minimum(parts.surprise, 1e300)
        ratio = np.divide(surprise, miss, out=np.ones_like(miss), where=miss > 0)
        turn = gamma * p * (2.0 * miss - surprise * (miss - (gamma - 1.0) * p))
        rest = np.broadcast_to(parts.rest[:, None], x.shape)
        odds = np.divide(parts.others, rest, out=np.zeros_like(x), where=rest > 0)
        odds.reshape(-1)[at] = 1.0
        bend = softmax_variance(x) * (gamma * p * ratio + 1.0)[:, None]
        return focus[:, None] * (bend + odds * odds * turn[:, None])

    return values, gradient, second


def _focal(predictions: Array, at: NDArray[np.intp], gamma: float, scale: Array | float) -> tuple[Array, Array, Second]:
    p = predictions.take(at)
    miss, error = two_sum(np.ones_like(p), -p)
    log_p = np.log(p)
    some = miss > 0
    # 1 − p is rounded where p is small: (miss + error)^γ is miss^γ (1 + γ error/miss) to first order
    focus = scale * miss**gamma * (1.0 + gamma * np.divide(error, miss, out=np.zeros_like(p), where=some))
    # log(p) / (1 − p) tends to −1 at p = 1
    slope = gamma * np.divide(log_p, miss, out=np.full_like(p, -1.0), where=some) if gamma else 0.0
    pull = np.where(focus == 0, 0.0, focus * (slope - 1.0 / p))

    def second() -> Array:  # m^γ/p² + γ·m^(γ − 1)·(2/p − (γ − 1)·ln p/m) with m = 1 − p
        steep = focus / p / p
        lead = scale * miss ** (gamma - 1.0) * (1.0 + (gamma - 1.0) * np.divide(error, miss, out=np.zeros_like(p), where=some))
        bend = steep + lead * (2.0 * gamma / p - (gamma - 1.0) * slope) if gamma else steep
        return _placed(np.where(np.equal(scale, 0), 0.0, np.where(np.isinf(steep), np.inf, bend)), at, predictions)

    return -xlogy(focus, p), _placed(pull, at, predictions), second


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="(1 − p^q) / q, with p the probability of the true class",
    aliases=("gce", "CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy", "lq"),
    equals=("keras.losses.CategoricalGeneralizedCrossEntropy(q)",),
    reference="Zhang and Sabuncu (2018), arXiv:1805.07836",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def generalized_cross_entropy(
    predictions: Array,
    targets: Index,
    *,
    q: Annotated[float, Gt(0), Le(1), Doc("Robustness to wrong labels: towards 0 cross-entropy, 1 the linear 1 − p.")] = 0.5,
    from_logits: FromLogits = False,
) -> tuple[Array, Array, Second]:
    """Between cross-entropy and mean absolute error: a wrong label costs at most 1/q, so noise in labels does less harm."""
    at = _flat(targets, predictions.shape[1])
    if from_logits:
        return _generalized_logits(predictions, at, q)
    p = predictions.take(at)
    gradient = _placed(-np.where(p > 0, p**q / p, p ** (q - 1.0)), at, predictions)  # q − 1 is rounded

    def second() -> Array:
        return _placed((1.0 - q) * np.where(p > 0, p**q / p / p, np.inf) if q < 1 else 0.0 * p, at, predictions)

    return -np.expm1(q * np.log(p)) / q, gradient, second


def _generalized_logits(x: Array, at: NDArray[np.intp], q: float) -> tuple[Array, Array, Second]:
    parts = softmax(x, at)
    p = parts.picked / parts.total
    power = p**q
    if p.min() < 1e-290:  # p^q may be far from 0 where p itself has left the range
        gap, lost = difference(x.take(at), np.broadcast_to(parts.shift, p.shape))
        scaled, error = two_product(np.maximum(gap, -1e290), q)
        power = np.where(p > 1e-290, power, np.exp(scaled) * (1.0 + (error + lost * q)) / parts.total**q)
    gradient = parts.probabilities() * power[:, None]
    gradient.reshape(-1)[at] = -parts.rest / parts.total * power
    reached = q * parts.surprise
    values = np.where(reached < 1e-290, parts.surprise, -np.expm1(-reached) / q)  # below, q·surprise loses digits

    def second() -> Array:  # p^q·(pⱼ(1 − pⱼ) − q·d²), d = 1 − p for the label and −pⱼ for another class
        away = softmax(x, at).probabilities()
        away.reshape(-1)[at] = parts.rest / parts.total
        return power[:, None] * (softmax_variance(x) - q * away * away)

    return values, gradient, second


# --- margins ----------------------------------------------------------------------------------------------------------


def _hinge(scores: Array, at: NDArray[np.intp], rivals: Array) -> tuple[Array, Array, Second]:
    """max(0, 1 + the largest rival − score of the label); at a kink it still pulls, at a tie the first rival is pushed."""
    rival: NDArray[np.intp] = row_starts(scores) + rivals.argmax(axis=1)
    room = headroom(scores)
    excess = lead_missing((rivals * room).take(rival), (scores * room).take(at), np.ravel(room))
    active = (excess >= 0).astype(np.float64)
    gradient = np.zeros_like(scores)
    gradient.reshape(-1)[rival] = active
    gradient.reshape(-1)[at] = -active
    values = np.fmax(excess, 0.0) / np.ravel(room)  # fmax: a class without rivals has no excess, but NaN
    return values, gradient, lambda: np.zeros_like(scores)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max(0, 1 − sᵧ + max(0, sⱼ of the wrong classes j))",
    aliases=("CategoricalHinge",),
    equals=("keras.losses.CategoricalHinge()",),
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def categorical_hinge(predictions: Array, targets: Index) -> tuple[Array, Array, Second]:
    """Asks the true class to lead the best wrong one, and zero, by 1.

    Keras' form, in which the true class takes part in the maximum with a score of 0: where all wrong scores are negative
    the loss is 1 − sᵧ. See crammer_singer_hinge for the form without it.
    """
    at = _flat(targets, predictions.shape[1])
    rivals = predictions.copy()
    rivals.reshape(-1)[at] = 0.0
    return _hinge(predictions, at, rivals)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max(0, 1 − sᵧ + max sⱼ over the wrong classes j)",
    aliases=("multiclass_hinge", "multiclass_hinge_loss"),
    equals=(
        "sklearn.metrics.hinge_loss of three or more classes",
        "optax.losses.multiclass_hinge_loss",
        "torchmetrics.functional.classification.multiclass_hinge_loss(multiclass_mode='crammer-singer') of probabilities",
    ),
    reference="Crammer and Singer (2001), Journal of Machine Learning Research 2, 265–292",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def crammer_singer_hinge(predictions: Array, targets: Index) -> tuple[Array, Array, Second]:
    """Asks the true class to lead the best wrong one by 1: only these two are pulled, and no others."""
    at = _flat(targets, predictions.shape[1])
    rivals = predictions.copy()
    rivals.reshape(-1)[at] = -np.inf
    return _hinge(predictions, at, rivals)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="1/k ∑ max(0, m − sᵧ + sⱼ)^p over the wrong classes j",
    aliases=("multi_class_margin", "MultiMarginLoss", "multi_margin_loss", "F.multi_margin_loss"),
    equals=("torch.nn.MultiMarginLoss(p, margin, weight)",),
    reference="Weston and Watkins (1999), Support vector machines for multi-class pattern recognition, ESANN",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def multi_margin(
    predictions: Array,
    targets: Index,
    *,
    p: Annotated[Literal[1, 2], Doc("Power of each violation of the margin.")] = 1,
    margin: Annotated[float, Doc("Lead that the true class should have over each other one.")] = 1.0,
    class_weight: ClassWeight = None,
) -> tuple[Array, Array, Second]:
    """Asks the true class to lead every wrong one by a margin, and adds up the shortfalls, divided by the number of classes.

    Class weights multiply the losses but not the divisor of the mean, as in PyTorch.
    """
    k = predictions.shape[1]
    at = _flat(targets, k)
    room = headroom(predictions)
    scores = predictions * room
    excess = np.maximum(lead_missing(scores, scores.take(at)[:, None], margin * room), 0.0)
    excess.reshape(-1)[at] = 0.0
    weight = 1.0 if class_weight is None else np.asarray(class_weight, np.float64)[targets][:, None]
    if p == 1:
        terms, slope = excess, np.sign(excess) * (weight / k)  # no pull at the margin itself, as in PyTorch
    else:
        terms, slope = excess * excess, excess / k * (2.0 * weight / room)
        room = room * room
    slope.reshape(-1)[at] = -row_sums(slope)
    # the squares may overflow where their mean does not
    mean = recovered(row_sums(terms) / k, lambda: row_sums(excess * (excess / k) if p == 2 else excess / k))
    values = mean[:, None] * weight / room

    def second() -> Array:
        bend = (excess > 0) * (2.0 * weight / k) if p == 2 else np.zeros_like(excess)
        bend.reshape(-1)[at] = row_sums(bend)
        return bend

    values = np.where(weight == 0, 0.0, values)[:, 0]  # a class of no weight costs nothing, however far off it is
    return values, slope, second
