"""Losses of a score against −1 and +1: its sign is the decision, and a margin is asked of it."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from app.libraries import AVERAGES, EACH, equal
from app.losses.encodings import (
    SCORE,
    SIGN,
)
from app.losses.loss import (
    BOUNDED_GRADIENT,
    CONVEX,
    DIFFERENTIABLE,
    NON_NEGATIVE,
    SMOOTH,
    ZERO_AT_TARGET,
    Second,
    loss,
)
from app.losses.numerics.stable import Array, sigmoid, sigmoid_slope, softplus_and_sigmoid
from app.losses.numerics.wide import sigmoid as wide_sigmoid
from app.registry import alias


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
    counterpart="categorical_cross_entropy",
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
    aliases=("Hinge", "hinge_loss", "HingeLoss", "svm", "binary:hinge", "gan_hinge", "hinge_gan"),
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
    counterpart="crammer_singer_hinge",
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
    counterpart="multiclass_perceptron",
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


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="1/(1 + e^(y·s))²",
    gradient="−2y·σ(y·s)·σ(−y·s)²",
    aliases=("savage_loss", "SavageBoost"),
    reference="Masnadi-Shirazi and Vasconcelos (2008), NIPS 21, "
    "https://proceedings.neurips.cc/paper/2008/hash/f5deaeeae1538fb6c45901d524ee2f98-Abstract.html",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def savage(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """Costs at most 1: a sample far on the wrong side no longer pulls, so that wrong labels are given up.

    Use when: some labels are wrong, and boosting or a network shall not bend to them.
    Avoid when: the start is poor: samples far on the wrong side are given up as if their labels were wrong.
    See also: logistic, exponential, ramp.
    """
    miss = sigmoid(-targets * predictions)
    gradient = -2.0 * targets * (miss * miss * sigmoid(targets * predictions))

    def second() -> Array:  # 2q²(1 − q)(2 − 3q), which is 0 at q = ⅔
        q = wide_sigmoid(-targets * predictions)
        return (2.0 * q * q * wide_sigmoid(targets * predictions) * (2.0 - 3.0 * q)).high

    return miss * miss, gradient, second


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="min(1 − cut, max(0, 1 − y·s))",
    gradient="−y if cut < y·s < 1, else 0",
    aliases=("ramp_loss", "truncated_hinge"),
    reference="Collobert, Sinz, Weston and Bottou (2006), doi:10.1145/1143844.1143870",
    properties=DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def ramp(
    predictions: Array,
    targets: Array,
    *,
    cut: Annotated[float, Le(0), Ge(-1e6), Doc("Score on the wrong side beyond which a sample costs no more, as y·s.")] = -1.0,
) -> tuple[Array, Array, Second]:
    """The hinge with a lid: beyond the cut a sample is taken for mislabelled and left alone. At both kinks the slope is 0.

    Use when: labels may be wrong and few support vectors are wanted: neither sure samples nor hopeless ones pull.
    Avoid when: training starts from nothing: what is hopeless at first stays so. Start from hinge.
    See also: hinge, savage.
    """
    agreement = targets * predictions
    inside = (agreement < 1.0) & (agreement > cut)
    values = np.clip(1.0 - agreement, 0.0, 1.0 - cut)
    return values, np.where(inside, -targets, 0.0), lambda: np.zeros_like(values)


@loss(
    predictions=SCORE,
    targets=SIGN,
    formula="0 if z ≥ 1, ¼(1 − z)² if z > −1, else −z; z = y·s",
    gradient="−y·min(1, max(0, ½(1 − y·s)))",
    aliases=("binary_sparsemax_loss", "sparsemax_binary", alias("sparsemax_loss", shapes=("n",))),
    equals=(equal("optax.losses.sparsemax_loss(predictions, targets)", reductions=EACH, encodings={"targets": "binary"}),),
    reference="Martins and Astudillo (2016), arXiv:1602.02068",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | NON_NEGATIVE | BOUNDED_GRADIENT,
    counterpart="sparsemax",
)
def binary_sparsemax(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
    """A hinge with a round corner, whose slope is a probability that may be exactly 0 or 1.

    Use when: samples that are right by a margin shall drop out entirely, and a smooth slope and probabilities are wanted.
    Avoid when: probabilities of rare events count: here they become exactly 0.
    See also: modified_huber, hinge, logistic.
    """
    agreement = targets * predictions
    gap = np.clip(1.0 - agreement, 0.0, 2.0)
    values = np.where(agreement <= -1.0, -agreement, gap * gap / 4.0)
    return values, 0.0 - targets * (gap / 2.0), lambda: np.where(np.abs(agreement) < 1.0, 0.5, 0.0)
