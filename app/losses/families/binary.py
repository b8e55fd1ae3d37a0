"""Losses of a yes-or-no decision: from a probability or logit against 0 and 1, or from a score against −1 and +1."""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Whole
from app.errors import Fault, InvalidArray
from app.libraries import AVERAGES, EACH, equal
from app.losses.cost import Cost
from app.losses.encodings import (
    CLASS_LABEL,
    DISTRIBUTION,
    GROUP,
    LOGIT,
    PROBABILITY,
    SCORE,
    SCORES,
    SIGN,
    SOFT_BINARY,
    UNIT,
)
from app.losses.inputs import Encoding, Numbers, Place, Reading, by_rank, when
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
    Pair,
    complement,
    constant,
    either,
    exp_pair,
    log_pair,
    odds,
    pair,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    two_product,
    two_sum,
)
from app.losses.numerics.rows import row_starts, row_sums
from app.losses.numerics.shares import Shares
from app.losses.numerics.stable import Array, all_finite, sigmoid_slope, softplus_and_sigmoid
from app.losses.parameters import PER_COLUMN
from app.registry import alias

FromLogits: TypeAlias = Annotated[bool, Doc("Whether predictions are logits instead of probabilities.")]
LabelSmoothing: TypeAlias = Annotated[
    float, Ge(0), Le(1), Doc("Moves every target this share of the way to ½: y becomes y(1 − ε) + ε/2.")
]


# --- cross-entropy ----------------------------------------------------------------------------------------------------


@loss(
    predictions=when("from_logits", True, LOGIT, PROBABILITY),
    targets=SOFT_BINARY,
    formula="−(w·y ln p + (1 − y) ln(1 − p)); p = σ(x) if from_logits",
    gradient="(1 − y)·p − w·y·(1 − p) if from_logits, else (1 − y)/(1 − p) − w·y/p",
    aliases=(
        "bce",
        "BCE",
        alias("BCELoss", unless="from_logits", clip=3.720075976020836e-44),  # e⁻¹⁰⁰
        alias("F.binary_cross_entropy", unless="from_logits", clip=3.720075976020836e-44),
        alias("BinaryCrossentropy", unless="from_logits", clip=1e-7),
        alias("binary_crossentropy", unless="from_logits", clip=1e-7),
        "log_loss",
        "binary_logloss",
        "logloss",
        alias("Logloss", from_logits=True),
        alias("bce_with_logits", from_logits=True),
        alias("BCEWithLogitsLoss", from_logits=True),
        alias("binary_cross_entropy_with_logits", from_logits=True),
        alias("F.binary_cross_entropy_with_logits", from_logits=True),
        alias("sigmoid_cross_entropy", from_logits=True),
        alias("sigmoid_binary_cross_entropy", from_logits=True),
        alias("sigmoid_cross_entropy_with_logits", from_logits=True),
        alias("HalfBinomialLoss", from_logits=True),
        alias("binary:logistic", from_logits=True),
        alias("binary:logitraw", from_logits=True),
    ),
    equals=(
        equal(
            "torch.nn.BCELoss(reduction=reduction)(predictions, targets)",
            clip=3.720075976020836e-44,
            differs_at=("gradient at saturated",),
            caveat="PyTorch keeps logarithms above −100, and its gradient at 0 and 1 is the slope of another limit.",
        ),
        equal(
            "torch.nn.BCEWithLogitsLoss(pos_weight=torch.as_tensor(pos_weight), reduction=reduction)(predictions, targets)",
            from_logits=True,
        ),
        equal(
            "keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            clip=1e-7,
        ),
        equal(
            "keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing, reduction=reduction)(targets, "
            "predictions)",
            reductions=AVERAGES,
            from_logits=True,
        ),
        equal("sklearn.metrics.log_loss(targets, predictions, labels=[0, 1])", axes=("n",), clip=2.220446049250313e-16),
        equal("sklearn._loss.loss.HalfBinomialLoss()", reductions=EACH, axes=("n",), from_logits=True),
        equal("optax.losses.sigmoid_binary_cross_entropy(predictions, targets)", reductions=EACH, from_logits=True),
        equal("xgboost.XGBClassifier(objective='binary:logistic')", reductions=EACH, axes=("n",), from_logits=True),
        equal("xgboost.XGBClassifier(objective='binary:logitraw')", reductions=EACH, axes=("n",), from_logits=True),
        equal("xgboost.XGBClassifier(eval_metric='logloss')", axes=("n",), clip=1e-16),
        equal("lightgbm.LGBMClassifier(metric='binary_logloss')", axes=("n",), clip=1e-15),
        equal(
            "lightgbm.LGBMClassifier(objective='binary')",
            axes=("n",),
            from_logits=True,
            clip=1e-15,
            differs_at=("gradient at saturated",),
            caveat="LightGBM clips what it reports, and not the slope that it follows.",
        ),
        equal(
            "lightgbm.LGBMRegressor(objective='cross_entropy')",
            axes=("n",),
            from_logits=True,
            clip=1e-12,
            differs_at=("gradient at saturated",),
            caveat="LightGBM clips what it reports, and not the slope that it follows.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'Logloss')[0]", axes=("n",), from_logits=True),
        equal("catboost.utils.eval_metric(targets, predictions, 'CrossEntropy')[0]", axes=("n",), from_logits=True),
        equal("catboost.CatBoostClassifier(loss_function='Logloss')", reductions=EACH, axes=("n",), from_logits=True),
        equal("catboost.CatBoostRegressor(loss_function='CrossEntropy')", reductions=EACH, axes=("n",), from_logits=True),
    ),
    reference="Good (1952), doi:10.1111/j.2517-6161.1952.tb00104.x",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | PROPER,
)
def binary_cross_entropy(
    predictions: Array,
    targets: Array,
    *,
    from_logits: FromLogits = False,
    label_smoothing: LabelSmoothing = 0.0,
    pos_weight: Annotated[
        Annotated[float, Ge(0)] | list[Annotated[float, Ge(0)]],
        PER_COLUMN,
        Doc("Factor of the term of positive targets: one number, or one for each column of the last axis."),
    ] = 1.0,
    clip: Annotated[
        Annotated[float, Gt(0), Lt(0.5)] | None,
        Doc("Probabilities are kept this far from 0 and 1, with gradient 0 where that moves them."),
    ] = None,
) -> tuple[Array, Array, Second]:
    """The surprise at the outcome, in nats: confident mistakes cost without limit.

    Exact in both tails, where libraries clip: a probability of 0 for what happened costs infinity. PyTorch limits that
    to 100; for Keras' 16.1 set clip=1e-7.

    Use when: the answer is yes or no, or several of these at once, and its probability is wanted.
    Avoid when: labels are often wrong, as a confident mistake costs without limit; or positives are rare and nothing weighs
    them.
    See also: logistic, binary_focal, brier_score, categorical_cross_entropy.
    """
    weight = np.asarray(pos_weight, np.float64)
    plain = label_smoothing == 0 and bool(np.all(weight == 1))
    kernel = _of_logits if from_logits else _of_probabilities
    values, gradient = kernel(predictions, targets, label_smoothing, weight, plain)

    def second() -> Array:
        positive, negative = _weights(targets, label_smoothing, weight)
        if from_logits:
            return (positive + negative) * sigmoid_slope(predictions)
        return _curvature(predictions, positive, negative)

    if clip is None:
        return values, gradient, second
    positive, negative = _weights(targets, label_smoothing, weight)
    logit = np.log(clip) - np.log1p(-clip)
    low, high = (predictions < logit, predictions > -logit) if from_logits else (predictions < clip, 1.0 - predictions < clip)
    rare, usual = -np.log(clip), -np.log1p(-clip)
    values = np.where(low, positive * rare + negative * usual, np.where(high, positive * usual + negative * rare, values))
    return values, np.where(low | high, 0.0, gradient), lambda: np.where(low | high, 0.0, second())


def _of_logits(x: Array, targets: Array, smoothing: float, weight: Array, plain: bool) -> tuple[Array, Array]:
    if not plain:
        return _of_soft_logits(x, targets, smoothing, weight, plain)
    other = 1.0 - targets
    if np.vdot(targets, other) == 0:
        return _of_hard_logits(x, other - targets)
    values, gradient = _of_soft_logits(x, targets, smoothing, weight, plain)
    hard = targets * other == 0
    values[hard], gradient[hard] = _of_hard_logits(x[hard], (other - targets)[hard])
    return values, gradient


def _of_hard_logits(x: Array, sign: Array) -> tuple[Array, Array]:
    """log(1 + eᶻ) and its derivative, z being the logit of the outcome that was not: x for label 0, sign 1, else −x.

    The exponential of an unshifted logit has no error but its own, and keeps all digits in the tail where both are small.
    """
    odds = sign * x
    np.exp(odds, out=odds)
    values = np.log1p(odds)
    odds /= 1.0 + odds
    odds *= sign
    if all_finite(values):
        return values, odds
    beyond = np.isinf(values)  # eᶻ, not the loss: that is z
    return np.where(beyond, sign * x, values), np.where(beyond, sign, odds)


def _of_soft_logits(x: Array, targets: Array, smoothing: float, weight: Array, plain: bool) -> tuple[Array, Array]:
    """|x| times the share on the wrong side, plus log(1 + e^−|x|): two terms that are never below 0.

    `wrong` is that share with the sign of x; it is 0 for a hard label on the right side, so both tails keep all digits.
    """
    positive, negative = (targets, 1.0 - targets) if plain else _weights(targets, smoothing, weight)
    total = 1.0 if plain else positive + negative
    t = np.exp(-np.abs(x))
    wrong = np.where(np.signbit(x), -positive, negative)
    values = x * wrong + total * np.log1p(t)
    gradient = wrong - np.copysign(total * (t / (1.0 + t)), x)
    crossing = np.abs(gradient) < np.abs(wrong) * 0.25  # only a soft label near σ(x) cancels
    if crossing.any():
        weights = np.broadcast_to(weight, x.shape)[crossing]
        gradient[crossing] = _pull_of_logits(x[crossing], *_shares(targets[crossing], smoothing, weights))
    return values, gradient


def _of_probabilities(p: Array, targets: Array, smoothing: float, weight: Array, plain: bool) -> tuple[Array, Array]:
    positive, negative = (targets, 1.0 - targets) if plain else _weights(targets, smoothing, weight)
    values, gradient, wrong = _surprise(p, positive, negative)
    crossing = np.abs(gradient) < wrong / 2.0
    if crossing.any():
        weights = np.broadcast_to(weight, p.shape)[crossing]
        gradient[crossing] = _pull_of_probabilities(p[crossing], *_shares(targets[crossing], smoothing, weights))
    return values, gradient


def _surprise(p: Array, positive: Array, negative: Array) -> tuple[Array, Array, Array]:
    """−positive·ln p − negative·ln(1 − p), its derivative, and the part of that which pulls p down."""
    expected, feared = positive * np.log(p), negative * np.log1p(-p)
    up, down = positive / p, negative / (1.0 - p)
    if not (p.min() > 0 and p.max() < 1):  # 0·ln 0 and 0/0 are 0
        expected, up = (np.where(positive == 0, 0.0, each) for each in (expected, up))
        feared, down = (np.where(negative == 0, 0.0, each) for each in (feared, down))
    return 0.0 - (expected + feared), down - up, down


def _curvature(p: Array, positive: Array, negative: Array) -> Array:
    """The second derivative of that: positive/p² + negative/(1 − p)²."""
    up, down = positive / p / p, negative / (1.0 - p) / (1.0 - p)
    return np.where(positive == 0, 0.0, up) + np.where(negative == 0, 0.0, down)


def _weights(targets: Array, smoothing: float, weight: Array) -> tuple[Array, Array]:
    """What the outcomes 1 and 0 weigh: w·y and 1 − y after smoothing."""
    moved = smoothing * (0.5 - targets)
    return weight * (targets + moved), (1.0 - targets) - moved


def _shares(targets: Array, smoothing: float, weight: Array | float = 1.0) -> tuple[Pair, Pair]:
    """The same unrounded, for a gradient in which the two nearly cancel."""
    away, low = two_sum(-targets, 0.5)
    moved = pair_multiply((away, low), (np.float64(smoothing) + 0.0 * away, 0.0 * away))
    positive = pair_add((targets, 0.0 * targets), moved)
    negative = pair_add(two_sum(-targets, 1.0), (-moved[0], -moved[1]))
    return pair_multiply(positive, (weight + 0.0 * targets, 0.0 * targets)), negative


def _pull_of_logits(x: Array, positive: Pair, negative: Pair) -> Array:
    """negative·σ(x) − positive·σ(−x) where the two nearly cancel."""
    back = np.signbit(x)
    t = exp_pair(-np.abs(x))
    near = either(back, positive, negative)
    far = pair_multiply(either(back, negative, positive), t)
    gap = pair_add(near, (-far[0], -far[1]))[0] / (1.0 + t[0])
    return np.where(back, -gap, gap)


def _pull_of_probabilities(p: Array, positive: Pair, negative: Pair) -> Array:
    """negative/(1 − p) − positive/p where the two nearly cancel."""
    other = complement(p)
    down = pair_multiply(negative, (p, 0.0 * p))
    up = pair_multiply(positive, other)
    return pair_add(down, (-up[0], -up[1]))[0] / p / other[0]


@loss(
    predictions=when("from_logits", True, LOGIT, PROBABILITY),
    targets=SOFT_BINARY,
    formula=(
        "a·(1 − q)^γ·b; b = −(y ln p + (1 − y) ln(1 − p)); q = p·y + (1 − p)(1 − y); a = α·y + (1 − α)(1 − y) if alpha, else 1; "
        "p = σ(x) if from_logits"
    ),
    gradient="c·p·(1 − p) if from_logits, else c; c = a·(1 − q)^(γ − 1)·((1 − q)(p − y)/(p(1 − p)) − γ(2y − 1)·b)",
    aliases=(
        "BinaryFocalCrossentropy",
        "binary_focal_crossentropy",
        "binary_focal_loss",
        "BinaryFocalLoss",
        alias("sigmoid_focal", from_logits=True),
        alias("sigmoid_focal_loss", from_logits=True, alpha=0.25),
    ),
    equals=(
        equal(
            "torchvision.ops.sigmoid_focal_loss(predictions, targets, alpha=alpha, gamma=gamma, reduction=reduction)",
            from_logits=True,
            alpha=0.25,
        ),
        equal(
            "keras.losses.BinaryFocalCrossentropy(gamma=gamma, label_smoothing=label_smoothing, reduction=reduction)(targets, "
            "predictions)",
            reductions=AVERAGES,
            differs_at=("saturated", "zeros"),
            caveat="Keras keeps probabilities 1e-7 from 0 and 1.",
        ),
        equal(
            "keras.losses.BinaryFocalCrossentropy(from_logits=True, apply_class_balancing=True, alpha=alpha, gamma=gamma, "
            "label_smoothing=label_smoothing, reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            from_logits=True,
            alpha=0.25,
            differs_at=("saturated",),
            caveat="Keras keeps probabilities 1e-7 from 0 and 1, those of logits too.",
        ),
        equal(
            "optax.losses.sigmoid_focal_loss(predictions, targets, alpha=alpha, gamma=gamma)",
            reductions=EACH,
            from_logits=True,
            alpha=0.25,
        ),
        equal(
            "segmentation_models_pytorch.losses.FocalLoss('binary', alpha=alpha, gamma=gamma)(predictions, targets)",
            from_logits=True,
            alpha=0.25,
        ),
        equal(
            "monai.losses.FocalLoss(gamma=gamma, alpha=alpha, reduction=reduction)(predictions, targets)",
            from_logits=True,
            alpha=0.25,
            reductions=("mean",),
        ),
        equal(
            "kornia.losses.binary_focal_loss_with_logits(predictions, targets, alpha=alpha, gamma=gamma, reduction=reduction)",
            from_logits=True,
            alpha=0.25,
        ),
    ),
    reference="Lin et al. (2017), doi:10.1109/ICCV.2017.324",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def binary_focal(
    predictions: Array,
    targets: Array,
    *,
    from_logits: FromLogits = False,
    gamma: Annotated[
        float, Ge(0), Doc("Focus: how fast a sample loses weight as its prediction gets right; 0 is cross-entropy.")
    ] = 2.0,
    alpha: Annotated[
        Annotated[float, Ge(0), Le(1)] | None, Doc("Weight of positive targets, 1 − α that of negative ones; null weighs both 1.")
    ] = None,
    label_smoothing: LabelSmoothing = 0.0,
) -> tuple[Array, Array, Second]:
    """Cross-entropy that turns away from what is already right: for few positives among very many easy negatives.

    α is off by default, as in Keras and optax; torchvision sets it to 0.25.

    Use when: positives are few among very many easy negatives, as where a detector looks at every place of a picture.
    Avoid when: probabilities must be calibrated, which its minimiser is not; or labels are noisy: it dwells on what is wrong.
    See also: categorical_focal, dice.
    """
    positive, negative = _shares(targets, label_smoothing)
    balance = np.ones_like(targets) if alpha is None else alpha * positive[0] + (1.0 - alpha) * negative[0]
    kernel = _focal_of_logits if from_logits else _focal_of_probabilities
    return kernel(predictions, positive, negative, gamma, balance)


def _focal_of_probabilities(
    p: Array, positive: Pair, negative: Pair, gamma: float, balance: Array
) -> tuple[Array, Array, Second]:
    yes, no = positive[0], negative[0]
    entropy, pull, down = _surprise(p, yes, no)
    miss, focus = _focus((p, 0.0 * p), complement(p), positive, negative, gamma)
    focus *= balance
    # where nothing is missed, entropy / miss has the limit 1; beside a pole of the entropy's slope the entropy is nothing
    ratio = np.divide(entropy, miss, out=np.ones_like(p), where=miss != 0)
    focusing = np.where(np.isfinite(pull), gamma * (no - yes) * ratio, 0.0)
    slope = pull + focusing
    crossing = np.abs(slope) < np.maximum(down, np.abs(focusing)) * 0.75
    if crossing.any():
        both = _both_of_probabilities(p[crossing])
        slope[crossing] = (
            _focal_slope(both, _only(positive, crossing), _only(negative, crossing), gamma) / p[crossing] / both[1][0]
        )
    # p may be so small that 1/p overflows where the focus makes up for it; at 0 and 1 nothing does
    pole = np.where(p > 0.5, np.inf, -np.where(p == 0, np.inf, focus * yes / p))
    values = np.where(np.isinf(entropy), entropy, focus * entropy)
    gradient = np.where(np.isfinite(pull), focus * slope, pole)

    def second() -> Array:  # with m = 1 − pₜ: m^γ·E″ + γ·m^(γ − 1)·(2m′·E′ + (γ − 1)·m′²·E/m), and m′ = no − yes
        curvature, tilt = _curvature(p, yes, no), no - yes
        _, lead = _focus((p, 0.0 * p), complement(p), positive, negative, gamma - 1.0)
        bend = focus * curvature
        if gamma:
            bend += balance * lead * gamma * (2.0 * tilt * pull + (gamma - 1.0) * tilt * tilt * ratio)
        return np.where(balance == 0, 0.0, np.where(np.isinf(curvature), np.inf, bend))

    return np.where(balance == 0, 0.0, values), np.where(balance == 0, 0.0, gradient), second


def _focal_of_logits(x: Array, positive: Pair, negative: Pair, gamma: float, balance: Array) -> tuple[Array, Array, Second]:
    yes, no = positive[0], negative[0]
    t = np.exp(-np.abs(x))
    entropy = yes * np.maximum(-x, 0.0) + no * np.maximum(x, 0.0) + (yes + no) * np.log1p(t)
    p, q = odds(x, (t, 0.0 * t))
    miss, focus = _focus(p, q, positive, negative, gamma)
    focus *= balance
    ratio = np.divide(p[0] * q[0], miss, out=np.zeros_like(x), where=miss != 0)  # miss underflows no sooner than the gradient
    down, focusing = no * p[0], gamma * (no - yes) * (entropy * ratio)
    slope = (down - yes * q[0]) + focusing
    crossing = np.abs(slope) < np.maximum(down, np.abs(focusing)) * 0.75
    if crossing.any():
        slope[crossing] = _focal_slope(_both_of_logits(x[crossing]), _only(positive, crossing), _only(negative, crossing), gamma)

    def second() -> Array:  # with m = 1 − pₜ, r = m′/m: m^γ·(E″ + γr·(2E′ + E·((γ − 1)·r + 1 − 2p)))
        lean, pull = (no - yes) * ratio, down - yes * q[0]
        steep, turning = (yes + no) * sigmoid_slope(x), entropy * ((gamma - 1.0) * lean + (q[0] - p[0]))
        bend = steep + gamma * np.where(lean == 0, 0.0, lean * (2.0 * pull + turning))
        largest = np.maximum(steep, gamma * np.abs(lean) * np.maximum(np.abs(2.0 * pull), np.abs(turning)))
        crossing = np.abs(bend) < 0.75 * largest
        if crossing.any():
            bend[crossing] = _focal_bend(
                _both_of_logits(x[crossing]), _only(positive, crossing), _only(negative, crossing), gamma
            )
        return focus * bend

    return focus * entropy, focus * slope, second


def _focus(p: Pair, q: Pair, yes: Pair, no: Pair, gamma: float) -> tuple[Array, Array]:
    """1 − pₜ and its power γ: of the unrounded base, since a power magnifies the rounding of what it is taken of."""
    miss, low = pair_add(pair_multiply(no, p), pair_multiply(yes, q))
    rest = np.divide(low, miss, out=np.zeros_like(miss), where=miss != 0)
    return miss, miss**gamma * (1.0 + gamma * rest)


Both: TypeAlias = tuple[Pair, Pair, Pair, Pair]
"""p, 1 − p, ln p and ln(1 − p), all unrounded."""


def _focal_slope(both: Both, yes: Pair, no: Pair, gamma: float) -> Array:
    """The derivative by the logit over (1 − pₜ)^γ, where its terms nearly cancel (only soft labels do that).

    With q = 1 − p it is no·p − yes·q + γ·(no − yes)·entropy·p·q / miss; that by p is the same over p·q.
    """
    p, q, log_p, log_q = both
    entropy = pair_add(pair_multiply(yes, log_p), pair_multiply(no, log_q))  # negative: taken away below
    miss = pair_add(pair_multiply(p, no), pair_multiply(q, yes))
    tilt = pair_multiply(pair_add(no, (-yes[0], -yes[1])), two_product(np.ones_like(p[0]), gamma))
    focusing = pair_multiply(pair_multiply(tilt, entropy), pair_divide(pair_multiply(p, q), miss))
    down, up = pair_multiply(no, p), pair_multiply(yes, q)
    return pair_add(pair_add(down, (-up[0], -up[1])), (-focusing[0], -focusing[1]))[0]


def _focal_bend(both: Both, yes: Pair, no: Pair, gamma: float) -> Array:
    """The second derivative by the logit over (1 − pₜ)^γ, where its terms nearly cancel."""
    p, q, log_p, log_q = both
    entropy = pair_negative(pair_add(pair_multiply(yes, log_p), pair_multiply(no, log_q)))
    miss, slope = pair_add(pair_multiply(p, no), pair_multiply(q, yes)), pair_multiply(p, q)
    lean = pair_multiply(pair_add(no, pair_negative(yes)), pair_divide(slope, miss))
    pull = pair_add(pair_multiply(no, p), pair_negative(pair_multiply(yes, q)))
    tilt = pair_add(pair_multiply(pair_add(constant(gamma), constant(-1.0)), lean), pair_add(q, pair_negative(p)))
    focusing = pair_multiply(lean, pair_add(pair_add(pull, pull), pair_multiply(entropy, tilt)))
    return pair_add(pair_multiply(pair_add(yes, no), slope), pair_multiply(constant(gamma), focusing))[0]


def _both_of_probabilities(p: Array) -> Both:
    other = complement(p)
    log, low = log_pair(other[0])
    return (p, 0.0 * p), other, log_pair(p), (log, low + other[1] / other[0])


def _both_of_logits(x: Array) -> Both:
    """Of t = e^−|x|: the larger of p and 1 − p is 1/(1 + t), and its logarithm −log(1 + t)."""
    t = exp_pair(-np.abs(x))
    whole, rest = pair_add((np.ones_like(x), 0.0 * x), t)
    log, low = log_pair(whole)
    near = (-log, -(low + rest / whole))
    far = pair_add(near, (-np.abs(x), 0.0 * x))
    back = np.signbit(x)
    return *odds(x, t), either(back, far, near), either(back, near, far)


def _only(a: Pair, rows: NDArray[np.bool_]) -> Pair:
    return a[0][rows], a[1][rows]


# --- margins ----------------------------------------------------------------------------------------------------------


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="ln(1 + e^(−y·s))",
    gradient="−y·σ(−y·s)",
    aliases=(
        "soft_margin",
        "SoftMarginLoss",
        "soft_margin_loss",
        "F.soft_margin_loss",
        "softplus_margin",
        "logistic_loss",
        "binomial_deviance",
    ),
    equals=(
        equal(
            "torch.nn.SoftMarginLoss(reduction=reduction)(predictions, targets)",
            differs_at=("saturated",),
            caveat="PyTorch's exponential overflows from scores of −710.",
        ),
        equal("sklearn.linear_model.SGDClassifier(loss='log_loss')", reductions=EACH, axes=("n",)),
        equal("sklearn._loss.loss.HalfBinomialLoss()", reductions=EACH, axes=("n",), encodings={"targets": "binary"}),
        equal(
            "xgboost.XGBClassifier(objective='binary:logistic')",
            reductions=EACH,
            axes=("n",),
            encodings={"targets": "binary"},
        ),
        equal(
            "lightgbm.LGBMClassifier(objective='binary')",
            axes=("n",),
            encodings={"targets": "binary"},
            differs_at=("saturated",),
            caveat="LightGBM keeps probabilities 1e-15 from 0 and 1.",
        ),
    ),
    reference="Cox (1958), doi:10.1111/j.2517-6161.1958.tb00292.x",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def logistic(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Cross-entropy of a score against −1 and +1: every sample keeps pulling, the right ones ever less.

    Use when: labels are −1 and +1 and the score is the log-odds, as in logistic regression.
    Avoid when: samples that are right by far should be left alone: here they keep pulling a little.
    See also: hinge, exponential.
    """
    values, slope = softplus_and_sigmoid(-targets * predictions)
    return values, -targets * slope, lambda: sigmoid_slope(predictions)


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="max(0, m − y·s)",
    gradient="−y if y·s ≤ m, else 0",
    aliases=("Hinge", "hinge_loss", "HingeLoss", "svm", "binary:hinge"),
    equals=(
        equal(
            "keras.losses.Hinge(reduction=reduction)(targets, predictions)",
            reductions=AVERAGES,
            differs_at=("gradient at ties", "gradient at saturated"),
            caveat="At the margin itself the slope is half of it there.",
        ),
        equal("sklearn.metrics.hinge_loss(targets, predictions, labels=[-1, 1])", axes=("n",)),
        equal("sklearn.linear_model.SGDClassifier(loss='hinge')", reductions=EACH, axes=("n",)),
        equal(
            "optax.losses.hinge_loss(predictions, targets)",
            reductions=EACH,
            differs_at=("gradient at ties", "gradient at saturated"),
            caveat="At the margin itself the slope is half of it there.",
        ),
        equal(
            "torchmetrics.functional.classification.binary_hinge_loss(predictions, targets.int())",
            encodings={"predictions": "probability", "targets": "binary"},
            caveat="Where a score lies outside [0, 1], torchmetrics takes the sigmoid of all.",
        ),
        equal(
            "xgboost.XGBClassifier(objective='binary:hinge')",
            reductions=EACH,
            axes=("n",),
            encodings={"targets": "binary"},
            differs_at=("hessian", "gradient at ties"),
            caveat="The second derivative is 1 there, and the slope at the margin itself 0.",
        ),
        equal("catboost.utils.eval_metric(targets, predictions, 'HingeLoss')[0]", axes=("n",), encodings={"targets": "binary"}),
    ),
    reference="Cortes and Vapnik (1995), doi:10.1007/BF00994018",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def hinge(
    predictions: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("Score on the right side from which a sample costs nothing.")] = 1.0,
) -> tuple[Array, Array, Second]:
    """What is missing to the margin: samples beyond it are left alone, the others all pull with the same force.

    At the margin itself the gradient is −y, as in scikit-learn.

    Use when: only the decision counts, as in a support vector machine: samples beyond the margin drop out.
    Avoid when: probabilities are wanted: beyond the margin a score says nothing more.
    See also: squared_hinge, perceptron, modified_huber, crammer_singer_hinge.
    """
    gap = margin - targets * predictions
    return np.maximum(gap, 0.0), np.where(gap >= 0, -targets, 0.0), lambda: np.zeros_like(gap)


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="max(0, 1 − y·s)²",
    gradient="−2y·max(0, 1 − y·s)",
    aliases=("SquaredHinge", "squared_hinge_loss", "l2_svm"),
    equals=(
        equal("keras.losses.SquaredHinge(reduction=reduction)(targets, predictions)", reductions=AVERAGES),
        equal("sklearn.linear_model.SGDClassifier(loss='squared_hinge')", reductions=EACH, axes=("n",)),
        equal("sklearn.svm.LinearSVC(loss='squared_hinge')", axes=("n",)),
        equal(
            "torchmetrics.functional.classification.binary_hinge_loss(predictions, targets.int(), squared=True)",
            encodings={"predictions": "probability", "targets": "binary"},
            caveat="Where a score lies outside [0, 1], torchmetrics takes the sigmoid of all.",
        ),
    ),
    reference="Cortes and Vapnik (1995), doi:10.1007/BF00994018",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET,
)
def squared_hinge(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """The square of what is missing to the margin: samples just short of it hardly pull, those far off more and more.

    Use when: a margin is wanted from a solver that needs a continuous slope.
    Avoid when: labels may be wrong: the pull of a sample grows with its distance on the wrong side.
    See also: modified_huber.
    """
    gap = np.maximum(1.0 - targets * predictions, 0.0)
    return gap * gap, 0.0 - 2.0 * (targets * gap), lambda: np.where(gap > 0, 2.0, 0.0)


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="max(0, 1 − z)² if z ≥ −1, else −4z; z = y·s",
    gradient="−2y·max(0, 1 − z) if z ≥ −1, else −4y",
    aliases=("modified_huber_loss", "ModifiedHuber"),
    equals=(equal("sklearn.linear_model.SGDClassifier(loss='modified_huber')", reductions=EACH, axes=("n",)),),
    reference="Zhang (2004), doi:10.1145/1015330.1015332",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def modified_huber(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Squared hinge that turns linear for samples on the wrong side: an outlier pulls with bounded force.

    Use when: a margin loss shall bear outliers, and its score be read as a probability: (1 + s)/2, cut to [0, 1].
    Avoid when: mislabelled samples must lose their influence: they pull with 4, however far off.
    See also: huber.
    """
    agreement = targets * predictions
    gap = np.clip(1.0 - agreement, 0.0, 2.0)
    values = np.where(agreement < -1.0, -4.0 * agreement, gap * gap)
    return values, 0.0 - 2.0 * (targets * gap), lambda: np.where(np.abs(agreement) < 1.0, 2.0, 0.0)


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="max(0, −y·s)",
    gradient="−y if y·s ≤ 0, else 0",
    aliases=("perceptron_loss", "Perceptron", "perceptron_criterion"),
    equals=(
        equal("sklearn.linear_model.SGDClassifier(loss='perceptron')", reductions=EACH, axes=("n",)),
        equal("sklearn.linear_model.Perceptron()", reductions=EACH, axes=("n",)),
        equal(
            "optax.losses.perceptron_loss(predictions, targets)",
            reductions=EACH,
            differs_at=("gradient at ties", "gradient at zeros"),
            caveat="At a score of 0 the slope is half of it there.",
        ),
    ),
    reference="Rosenblatt (1958), doi:10.1037/h0042519",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | ZERO_AT_TARGET | BOUNDED_GRADIENT,
)
def perceptron(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """How far a score is on the wrong side: only mistakes pull, and any score on the right side will do.

    At a score of 0 the gradient is −y, as in scikit-learn, so that learning can start from 0.

    Use when: classes can be separated and samples come one by one: any score on the right side will do.
    Avoid when: classes overlap, or new data come near the border: it asks for no margin, and weights of 0 cost nothing.
    See also: hinge.
    """
    gap = 0.0 - targets * predictions
    return np.maximum(gap, 0.0), np.where(gap >= 0, -targets, 0.0), lambda: np.zeros_like(gap)


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="e^(−y·s)",
    gradient="−y·e^(−y·s)",
    aliases=("exponential_loss", "ExponentialLoss", "exp_loss", "adaboost", "AdaBoost"),
    equals=(
        equal(
            "sklearn._loss.loss.ExponentialLoss()",
            reductions=EACH,
            axes=("n",),
            encodings={"targets": "binary"},
            differs_at=("saturated",),
            caveat="Where the exponential overflows, scikit-learn has 0 · ∞.",
        ),
        equal("sklearn.ensemble.GradientBoostingClassifier(loss='exponential')", axes=("n",)),
    ),
    reference="Freund and Schapire (1997), doi:10.1006/jcss.1997.1504",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def exponential(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Grows exponentially with the margin on the wrong side: what AdaBoost minimises, and why outliers rule it.

    Use when: AdaBoost is to be followed or explained, whose rounds minimise exactly this.
    Avoid when: a label may be wrong: the cost grows exponentially, so that one such sample outweighs all others.
    See also: logistic.
    """
    values = np.exp(-targets * predictions)
    return values, -targets * values, lambda: values


# --- scores -----------------------------------------------------------------------------------------------------------


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
    See also: categorical_cross_entropy, zero_one.
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
