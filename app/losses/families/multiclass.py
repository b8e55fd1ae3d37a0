"""Losses of one true class among k: predictions (n, *d, k), one label for each element (n, *d).

A kernel sees rows (m, k) and labels (m,), or the shares (m, k) that classes have of soft, smoothed and weighed labels.
"""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.libraries import EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import CLASS_LABEL, DISTRIBUTION, LOG_PROBABILITIES, LOGITS, SCORES
from app.losses.inputs import when
from app.losses.labels import ClassWeight
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, PROPER, SMOOTH, Second, loss
from app.losses.numerics.pairs import (
    Pair,
    constant,
    difference,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_log,
    pair_multiply,
    pair_negative,
    pair_sum,
    renormalised,
    two_product,
    two_sum,
)
from app.losses.numerics.rows import (
    by_rows,
    headroom,
    lead_missing,
    log_softmax_pair,
    places,
    row_starts,
    row_sums,
    softmax,
    softmax_variance,
)
from app.losses.numerics.shares import ExactColumns, Shares, columns, softmax_cross_entropy
from app.losses.numerics.stable import Array, recovered, xlogy
from app.losses.parameters import PER_CLASS
from app.registry import alias

Index: TypeAlias = NDArray[np.int64]
Flat: TypeAlias = NDArray[np.intp]

FromLogits = Annotated[bool, Doc("Whether predictions are logits, which a softmax turns into probabilities.")]


def _flat(targets: Index, k: int) -> Flat:
    """Where each row's label stands in the flattened rows."""
    return np.arange(0, targets.size * k, k, dtype=np.intp) + targets


def _scattered(slope: Array, positions: Flat, like: Array) -> Array:
    """Rows with these numbers at their flat indices and 0 elsewhere."""
    rows = np.zeros_like(like)
    rows.reshape(-1)[positions] = slope
    return rows


# --- cross-entropies --------------------------------------------------------------------------------------------------


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
    positions = _flat(targets, predictions.shape[1])
    values, slope, bend = _surprise(predictions.take(positions), np.ones(positions.size), clip)
    return values, _scattered(slope, positions, predictions), lambda: _scattered(bend(), positions, predictions)


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
        return -row_sums(targets.rounded * predictions), -targets.rounded, lambda: np.zeros_like(predictions)
    positions = _flat(targets, predictions.shape[1])
    gradient = _scattered(np.full(positions.size, -1.0), positions, predictions)
    return -predictions.take(positions), gradient, lambda: np.zeros_like(predictions)


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="−α(1 − p_y)^γ ln p_y; p = softmax(x) if from_logits",
    gradient="c·p_y·([j = y] − pⱼ) if from_logits, else c·[j = y]; c = α(1 − p_y)^(γ − 1)(γ ln p_y − (1 − p_y)/p_y)",
    aliases=("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", alias("softmax_focal", from_logits=True)),
    equals=(
        equal(
            "keras.losses.CategoricalFocalCrossentropy(alpha=alpha, gamma=gamma, label_smoothing=label_smoothing, "
            "reduction=reduction)(targets, predictions)",
            encodings={"targets": "one_hot"},
            differs_at=("saturated", "gradient"),
            caveat="Keras divides each row by its sum first, and keeps probabilities 1e-7 from 0 and 1.",
        ),
        equal(
            "keras.losses.CategoricalFocalCrossentropy(from_logits=True, alpha=alpha, gamma=gamma, "
            "label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            encodings={"targets": "one_hot"},
            from_logits=True,
            differs_at=("saturated",),
            caveat="Keras keeps probabilities 1e-7 from 0 and 1, those of logits too.",
        ),
        equal(
            "k * monai.losses.FocalLoss(use_softmax=True, to_onehot_y=True, gamma=gamma)(predictions, targets[:, None])",
            axes=("n k d",),
            from_logits=True,
            alpha=1.0,
            class_axis=1,
            caveat="MONAI's mean divides by the number of classes too.",
        ),
    ),
    reference="Lin et al. (2017), arXiv:1708.02002",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def categorical_focal(
    predictions: Array,
    targets: Index | Shares,
    *,
    from_logits: FromLogits = False,
    gamma: Annotated[float, Ge(0), Doc("How strongly samples that are right already are passed over; 0 is cross-entropy.")] = 2.0,
    alpha: Annotated[
        float | list[float], PER_CLASS, Doc("Factor of the loss: one number for every class, or one for each.")
    ] = 0.25,
) -> tuple[Array, Array, Second]:
    """Cross-entropy that fades for samples the model has right, so that the hard ones decide.

    A scalar alpha multiplies every class, as in Keras; it is not alpha for one class and 1 − alpha for the others.

    Use when: one class is so common that its easy samples drown the others.
    Avoid when: probabilities must be calibrated, which its minimiser is not; or labels are noisy: it dwells on what is wrong.
    See also: categorical_cross_entropy.
    """
    factor = np.asarray(alpha, np.float64)
    if isinstance(targets, Shares):
        if from_logits:
            return _focal_of_shares(predictions, targets, gamma, factor)
        values, gradient, second = _focal(predictions, gamma, targets.rounded * factor)
        return row_sums(values), gradient, second
    scale = factor[targets] if factor.ndim else factor
    positions = _flat(targets, predictions.shape[1])
    if from_logits:
        return _focal_logits(predictions, positions, gamma, scale)
    values, slope, bend = _focal(predictions.take(positions), gamma, scale)
    return values, _scattered(slope, positions, predictions), lambda: _scattered(bend(), positions, predictions)


def _focal_of_shares(x: Array, shares: Shares, gamma: float, alpha: Array) -> tuple[Array, Array, Second]:
    seen = columns(x)
    focus = shares.rounded * alpha * seen.miss**gamma
    if gamma:
        # the surprise over the miss tends to 1 at p = 1; p is 0 long before the surprise is infinite
        ratio = np.divide(np.minimum(seen.surprise, 1e300), seen.miss, out=np.ones_like(x), where=seen.miss > 0)
        pulls = focus * (gamma * seen.p * ratio + 1.0)
    else:
        pulls = focus

    def exact(rows: Flat, seen: ExactColumns) -> Pair:
        factor = pair_multiply(shares.unrounded(rows), pair(alpha))
        if not gamma:
            return factor
        some = seen.miss[0] > 0
        miss = either(some, seen.miss, constant(1.0))
        power = either(some, pair_exp(pair_multiply(pair_log(miss), constant(gamma))), constant(0.0))
        slope = pair_multiply(pair_multiply(constant(gamma), seen.p), pair_divide(seen.surprise, miss))
        return pair_multiply(pair_multiply(factor, power), pair_add(slope, constant(1.0)))

    def values(surprise: Array) -> Array:
        return row_sums(np.where(focus == 0, 0.0, focus * surprise))

    # a surprise may be beyond float64 where its share is not
    total = recovered(values(seen.surprise), lambda: 4.0 * values(x.take(seen.positions)[:, None] / 4.0 - x / 4.0))

    def of_labels(labels: Index) -> Array:
        return _focal_logits(x, _flat(labels, x.shape[1]), gamma, alpha[labels] if alpha.ndim else alpha)[2]()

    return total, seen.gradient(x, pulls, exact, 2.0 + gamma), lambda: shares.expected(of_labels)


def _focal_logits(x: Array, positions: Flat, gamma: float, scale: Array | float) -> tuple[Array, Array, Second]:
    parts = softmax(x, positions)
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
    gradient.reshape(-1)[positions] = -pull
    # the surprise may be beyond float64 where its share is not
    values = recovered(
        focus * parts.surprise, lambda: 2.0 * (focus * (np.log(parts.rest) / 2.0 + (parts.shift / 2.0 - x.take(positions) / 2.0)))
    )

    def second() -> Array:  # m^γ·turn for the label and m^γ·o·((1 − o)·(m + γps) + o·turn) for another, m = 1 − p, s = −ln p
        # and o = pⱼ/m, its share of the others; the power is that of the unrounded m, whose rounding it would magnify
        miss, low = pair_divide(pair(parts.rest), two_sum(parts.rest, parts.picked))
        rounding = np.divide(low, miss, out=np.zeros_like(miss), where=miss > 0)
        focus = scale * miss**gamma * (1.0 + gamma * np.where(np.isfinite(rounding), rounding, 0.0))
        surprise = np.minimum(parts.surprise, 1e300)
        turn = _focal_turn(x, positions, p, miss, surprise, gamma)
        rest = np.where(parts.rest > 0, parts.rest, 1.0)[:, None]
        odds, further = parts.others / rest, _without_each(parts.others, parts.rest) / rest
        bend = odds * (further * (miss + gamma * p * surprise)[:, None] + odds * turn[:, None])
        bend.reshape(-1)[positions] = turn
        return focus[:, None] * bend

    return values, gradient, second


def _focal_turn(x: Array, positions: Flat, p: Array, miss: Array, surprise: Array, gamma: float) -> Array:
    """p·(m·(1 + 2γ − γs) + γ²·ps), which is 0 where the loss turns from convex to concave; in pairs where the terms cancel."""
    share = p * surprise
    convex, concave = miss * (p * (1.0 + 2.0 * gamma)), miss * (gamma * share)
    turn = (convex - concave) + gamma * p * (gamma * share)
    rows = np.flatnonzero(np.abs(turn) < 0.75 * np.maximum(convex, concave))
    if rows.size:
        label: Flat = positions[rows] % x.shape[1] + row_starts(x[rows])
        log_p = log_softmax_pair(x[rows])
        high, low = log_p[0].take(label), log_p[1].take(label)
        exact, s, power = pair_exp((high, low)), (-high, -low), constant(gamma)
        other = pair_add(constant(1.0), pair_negative(exact))
        lead = pair_add(pair_add(constant(1.0), constant(2.0 * gamma)), pair_negative(pair_multiply(power, s)))
        steep = pair_multiply(pair_multiply(power, power), pair_multiply(exact, s))
        turn[rows] = pair_multiply(exact, pair_add(pair_multiply(other, lead), steep))[0]
    return turn


def _without_each(numbers: Array, totals: Array) -> Array:
    """The sum of each row without each of its numbers: of all but the largest that is a difference which keeps its digits."""
    top = row_starts(numbers) + numbers.argmax(axis=1)
    others = numbers.copy()
    others.reshape(-1)[top] = 0.0
    sums = totals[:, None] - numbers
    sums.reshape(-1)[top] = row_sums(others)
    return sums


def _focal(p: Array, gamma: float, scale: Array) -> tuple[Array, Array, Second]:
    miss, error = two_sum(np.ones_like(p), -p)
    log_p = np.log(p)
    some = miss > 0
    # 1 − p is rounded where p is small: (miss + error)^γ is miss^γ (1 + γ error/miss) to first order
    focus = scale * miss**gamma * (1.0 + gamma * np.divide(error, miss, out=np.zeros_like(p), where=some))
    # log(p) / (1 − p) tends to −1 at p = 1
    slope = gamma * np.divide(log_p, miss, out=np.full_like(p, -1.0), where=some) if gamma else 0.0

    def second() -> Array:  # m^γ/p² + γ·m^(γ − 1)·(2/p − (γ − 1)·ln p/m) with m = 1 − p
        steep = focus / p / p
        lead = scale * miss ** (gamma - 1.0) * (1.0 + (gamma - 1.0) * np.divide(error, miss, out=np.zeros_like(p), where=some))
        bend = steep + lead * (2.0 * gamma / p - (gamma - 1.0) * slope) if gamma else steep
        return np.where(np.equal(scale, 0), 0.0, np.where(np.isinf(steep), np.inf, bend))

    return -xlogy(focus, p), np.where(focus == 0, 0.0, focus * slope - focus / p), second


@loss(
    predictions=when("from_logits", True, LOGITS, DISTRIBUTION),
    targets=CLASS_LABEL,
    formula="(1 − p_y^q)/q; p = softmax(x) if from_logits",
    gradient="p_y^q·(pⱼ − [j = y]) if from_logits, else −[j = y]·p_y^(q − 1)",
    aliases=("gce", "CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy", "lq"),
    equals=(
        equal(
            "keras.losses.CategoricalGeneralizedCrossEntropy(q=q, reduction=reduction)(targets, predictions)",
            differs_at=("gradient at saturated",),
            caveat="At a probability of 0 its gradient is NaN.",
        ),
    ),
    reference="Zhang and Sabuncu (2018), arXiv:1805.07836",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def generalized_cross_entropy(
    predictions: Array,
    targets: Index | Shares,
    *,
    q: Annotated[float, Gt(0), Le(1), Doc("Robustness to wrong labels: towards 0 cross-entropy, 1 the linear 1 − p.")] = 0.5,
    from_logits: FromLogits = False,
) -> tuple[Array, Array, Second]:
    """Between cross-entropy and mean absolute error: a wrong label costs at most 1/q, so noise in labels does less harm.

    Use when: some labels are wrong: a wrong one costs at most 1/q, so that it is outvoted rather than learned.
    Avoid when: labels are clean or classes many: what is far from right hardly pulls, so that it learns slower than
    cross-entropy.
    See also: categorical_cross_entropy, brier_score.
    """
    if isinstance(targets, Shares):
        if from_logits:
            return _generalized_of_shares(predictions, targets, q)
        values, gradient, second = _generalized(predictions, q, targets.rounded)
        return row_sums(values), gradient, second
    positions = _flat(targets, predictions.shape[1])
    if from_logits:
        return _generalized_logits(predictions, positions, q)
    values, slope, bend = _generalized(predictions.take(positions), q, np.ones(positions.size))
    return values, _scattered(slope, positions, predictions), lambda: _scattered(bend(), positions, predictions)


def _generalized(p: Array, q: float, shares: Array) -> tuple[Array, Array, Second]:
    slope = np.where(p > 0, p**q / p, p ** (q - 1.0))  # q − 1 is rounded
    pull = np.where(shares == 0, 0.0, shares * slope)
    steep = np.isinf(slope) & (p > 0) & (shares > 0)
    if steep.any():  # a slope beyond float64, of which a share need not be
        pull[steep] = shares[steep] * p[steep] ** q / p[steep]

    def second() -> Array:
        return np.where(shares == 0, 0.0, (1.0 - q) * np.where(p > 0, pull / p, np.inf)) if q < 1 else np.zeros_like(p)

    return shares * (-np.expm1(q * np.log(p)) / q), -pull, second


def _generalized_of_shares(x: Array, shares: Shares, q: float) -> tuple[Array, Array, Second]:
    seen = columns(x)

    def exact(rows: Flat, seen: ExactColumns) -> Pair:
        return pair_multiply(shares.unrounded(rows), pair_exp(pair_multiply(pair_negative(seen.surprise), constant(q))))

    shift = np.broadcast_to(seen.parts.shift, len(x))[:, None]
    pulls = shares.rounded * _power(x, seen.p, shift, seen.parts.total[:, None], q)
    values = row_sums(shares.rounded * _cost(seen.surprise, q))

    def of_labels(labels: Index) -> Array:
        return _generalized_logits(x, _flat(labels, x.shape[1]), q)[2]()

    return values, seen.gradient(x, pulls, exact, 2.0), lambda: shares.expected(of_labels)


def _generalized_logits(x: Array, positions: Flat, q: float) -> tuple[Array, Array, Second]:
    parts = softmax(x, positions)
    p = parts.picked / parts.total
    power = _power(x.take(positions), p, np.broadcast_to(parts.shift, p.shape), parts.total, q)
    gradient = parts.probabilities() * power[:, None]
    gradient.reshape(-1)[positions] = -parts.rest / parts.total * power

    def second() -> Array:  # p^q·(pⱼ(1 − pⱼ) − q·d²), d = 1 − p for the label and −pⱼ for another class
        away = softmax(x, positions).probabilities()
        away.reshape(-1)[positions] = parts.rest / parts.total
        return power[:, None] * (softmax_variance(x) - q * away * away)

    return _cost(parts.surprise, q), gradient, second


def _power(x: Array, p: Array, shift: Array, total: Array, q: float) -> Array:
    """p^q of p = e^(x − shift) / total, which may be far from 0 where p itself has left the range."""
    power = p**q
    if p.min() >= 1e-290:
        return power
    gap, lost = difference(x, shift)
    scaled, error = two_product(np.maximum(gap, -1e290), q)
    return np.where(p > 1e-290, power, np.exp(scaled) * (1.0 + (error + lost * q)) / total**q)


def _cost(surprise: Array, q: float) -> Array:
    reached = q * surprise
    return np.where(reached < 1e-290, surprise, -np.expm1(-reached) / q)  # below, q·surprise loses digits


# --- margins ----------------------------------------------------------------------------------------------------------


def _hinge(scores: Array, targets: Index | Shares, own: float) -> tuple[Array, Array, Second]:
    """max(0, 1 + the largest rival − score of the label), where the label itself is a rival of score `own`.

    At a kink it still pulls, at a tie the first rival is pushed.
    """
    start = row_starts(scores)
    room = headroom(scores)
    if not isinstance(targets, Shares):
        positions = _flat(targets, scores.shape[1])
        rivals = scores.copy()
        rivals.reshape(-1)[positions] = own
        rival: Flat = start + rivals.argmax(axis=1)
        excess = lead_missing((rivals * room).take(rival), (scores * room).take(positions), np.ravel(room))
        active = (excess >= 0).astype(np.float64)
        gradient = _scattered(active, rival, scores)
        gradient.reshape(-1)[positions] = -active
        values = np.fmax(excess, 0.0) / np.ravel(room)  # fmax: a class without rivals has no excess, but NaN
        return values, gradient, lambda: np.zeros_like(scores)
    first: Flat = start + scores.argmax(axis=1)
    rest = scores.copy()
    rest.reshape(-1)[first] = -np.inf
    second: Flat = start + rest.argmax(axis=1)
    lead = np.repeat(scores.take(first)[:, None], scores.shape[1], axis=1)
    lead.reshape(-1)[first] = rest.take(second)
    excess = lead_missing(np.maximum(lead, own) * room, scores * room, room)
    active = np.where(excess >= 0, targets.rounded, 0.0)
    before = np.arange(scores.size).reshape(scores.shape) > first[:, None]
    before.reshape(-1)[first] = first > second
    pushed = np.where((lead > own) | ((lead == own) & before), active, 0.0)
    gradient = -active
    gradient.reshape(-1)[second] += pushed.take(first)
    pushed.reshape(-1)[first] = -active.take(first)
    high, low = pair_sum(pair(pushed))
    gradient.reshape(-1)[first] = (high + low)[:, 0]
    return row_sums(targets.rounded * np.fmax(excess, 0.0)) / np.ravel(room), gradient, lambda: np.zeros_like(scores)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max(0, 1 − s_y + max(0, max_(j ≠ y) sⱼ))",
    gradient="−1 if j = y and ℓ > 0, 1 if j = c and s_c > 0 and ℓ > 0, else 0",
    symbols={"c": "the wrong class with the largest score"},
    aliases=("CategoricalHinge",),
    equals=(
        equal(
            "keras.losses.CategoricalHinge(reduction=reduction)(targets, predictions)",
            encodings={"targets": "one_hot"},
            differs_at=("gradient at ties", "gradient at zeros", "gradient at saturated"),
            caveat="At a tie the slope is shared there.",
        ),
    ),
    reference="Crammer and Singer (2001), JMLR 2, 265–292, https://www.jmlr.org/papers/v2/crammer01a.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def categorical_hinge(predictions: Array, targets: Index | Shares) -> tuple[Array, Array, Second]:
    """Asks the true class to lead the best wrong one, and zero, by 1.

    Keras' form, in which the true class takes part in the maximum with a score of 0: where all wrong scores are negative
    the loss is 1 − sᵧ. See crammer_singer_hinge for the form without it.

    Use when: Keras' loss of this name is to be matched, as a model trained there gives it.
    Avoid when: all scores may be negative: the true class must then exceed 1 by itself; crammer_singer_hinge asks for a lead
    only.
    See also: crammer_singer_hinge.
    """
    return _hinge(predictions, targets, 0.0)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="max(0, 1 − s_y + max_(j ≠ y) sⱼ)",
    gradient="−1 if j = y and ℓ > 0, 1 if j = c and ℓ > 0, else 0",
    symbols={"c": "the wrong class with the largest score"},
    aliases=("multiclass_hinge", "multiclass_hinge_loss", alias("hinge_loss", shapes=("n k", "n"))),
    equals=(
        equal("sklearn.metrics.hinge_loss(targets, predictions, labels=np.arange(k))"),
        equal(
            "optax.losses.multiclass_hinge_loss(predictions, targets)",
            reductions=EACH,
            differs_at=("gradient at ties", "gradient at zeros", "gradient at saturated"),
            caveat="At a tie the slope is shared there.",
        ),
        equal(
            "torchmetrics.functional.classification.multiclass_hinge_loss(predictions, targets, num_classes=k, "
            "multiclass_mode='crammer-singer')",
            encodings={"predictions": "distribution"},
            caveat="Where a score lies outside [0, 1], torchmetrics takes the softmax of all.",
        ),
    ),
    reference="Crammer and Singer (2001), JMLR 2, 265–292, https://www.jmlr.org/papers/v2/crammer01a.html",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def crammer_singer_hinge(predictions: Array, targets: Index | Shares) -> tuple[Array, Array, Second]:
    """Asks the true class to lead the best wrong one by 1: only these two are pulled, and no others.

    Use when: only the decision among several classes counts: the true one must lead the best wrong one.
    Avoid when: probabilities are wanted; or classes are many, of which a step moves only two.
    See also: hinge, multi_margin, categorical_cross_entropy.
    """
    return _hinge(predictions, targets, -np.inf)


@loss(
    predictions=SCORES,
    targets=CLASS_LABEL,
    formula="w_y/k ∑_(j ≠ y) max(0, m − s_y + sⱼ)ᵖ",
    gradient="gⱼ if j ≠ y, else −∑_(i ≠ y) gᵢ; gⱼ = w_y·p/k·[sⱼ > s_y − m]·max(0, m − s_y + sⱼ)^(p − 1)",
    aliases=("multi_class_margin", "MultiMarginLoss", "multi_margin_loss", "F.multi_margin_loss"),
    equals=(
        equal("torch.nn.MultiMarginLoss(p=p, margin=margin, weight=class_weight, reduction=reduction)(predictions, targets)"),
    ),
    reference="Weston and Watkins (1999), ESANN, https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    cost_of_shares=Cost(beyond={"n·k²": 80.0}),
)
def multi_margin(
    predictions: Array,
    targets: Index | Shares,
    *,
    p: Annotated[Literal[1, 2], Doc("Power of each violation of the margin.")] = 1,
    margin: Annotated[float, Doc("Lead that the true class should have over each other one.")] = 1.0,
    class_weight: ClassWeight = None,
) -> tuple[Array, Array, Second]:
    """Asks the true class to lead every wrong one by a margin, and adds up the shortfalls, divided by the number of classes.

    Class weights multiply the losses but not the divisor of the mean, as in PyTorch.

    Use when: the true class must lead every wrong one by a margin, and all that come too near should be pushed at once.
    Avoid when: probabilities are wanted; or classes are many: the division by their number makes each pull small.
    See also: hinge.
    """
    k = predictions.shape[1]
    weight = np.ones(k) if class_weight is None else np.asarray(class_weight, np.float64)
    if isinstance(targets, Shares):
        return _margins_of_shares(predictions, targets, p, margin, weight)
    positions = _flat(targets, k)
    excess, _, room = _shortfalls(predictions, positions, margin)
    own = weight[targets][:, None]
    slope = (
        np.sign(excess) * (own / k) if p == 1 else excess / k * (2.0 * own / room)
    )  # no pull at the margin itself, as in PyTorch
    slope.reshape(-1)[positions] = -row_sums(slope)
    values = _mean_of_powers(excess, p, room)[:, None] * own

    def second() -> Array:
        return _margin_bends(excess, positions, p) * own

    return np.where(own == 0, 0.0, values)[:, 0], slope, second  # a class of no weight costs nothing, however far off it is


def _shortfalls(predictions: Array, positions: Flat, margin: float) -> tuple[Array, Array, Array | float]:
    """How far each class comes too near to the label, rounded and the rest, 0 where it does not; all times the room."""
    room = headroom(predictions)
    scores = predictions * room
    gap, lost = two_sum(scores, -scores.take(positions)[:, None])
    excess, error = two_sum(gap, margin * room)
    excess, error = renormalised(excess, error + lost)
    short = excess > 0
    short.reshape(-1)[positions] = False
    return np.where(short, excess, 0.0), np.where(short, error, 0.0), room


def _margin_bends(excess: Array, positions: Flat, p: int) -> Array:
    """2/k for each class that comes too near, and their sum for the label; nothing of p = 1."""
    bends = np.where(excess > 0, 2.0 / excess.shape[1] if p == 2 else 0.0, 0.0)
    bends.reshape(-1)[positions] = row_sums(bends)
    return bends


def _mean_of_powers(excess: Array, p: int, room: Array | float) -> Array:
    k = excess.shape[1]
    # the squares may overflow where their mean does not
    mean = recovered(row_sums(excess**p) / k, lambda: row_sums(excess / k * excess ** (p - 1)))
    return mean / np.ravel(room) ** p


def _margins_of_shares(x: Array, shares: Shares, p: int, margin: float, weight: Array) -> tuple[Array, Array, Second]:
    """Label by label, since each pair of classes has a shortfall of its own."""
    m, k = x.shape
    high, low = pair_multiply(shares.unrounded(np.arange(m, dtype=np.intp)), pair(weight))
    values, slope = np.zeros(m), pair(np.zeros((m, k)))
    scale = np.where(np.equal(headroom(x), 1.0), 1.0, 2.0**-32)  # products of pairs need more room
    for label in range(k):
        excess, error, room = _shortfalls(x, row_starts(x) + label, margin)
        share = high[:, label, None], low[:, label, None]
        pull = pair_multiply(pair(np.sign(excess)) if p == 1 else (excess * scale, error * scale), share)
        values += np.where(high[:, label] == 0, 0.0, high[:, label] * _mean_of_powers(excess, p, room))
        own = pair_sum(pull)
        pull[0][:, label], pull[1][:, label] = -own[0][:, 0], -own[1][:, 0]
        slope = pair_add(slope, pull)

    def of_labels(labels: Index) -> Array:
        positions = _flat(labels, k)
        return _margin_bends(_shortfalls(x, positions, margin)[0], positions, p) * weight[labels][:, None]

    gradient = (slope[0] + slope[1]) / k * (1.0 if p == 1 else 2.0 / scale / headroom(x))
    return values, gradient, lambda: shares.expected(of_labels)
