"""Losses of classes by angles: cosines of a sample with a vector for each class, the true one made smaller by a margin first.

Predictions are these cosines, of vectors at the length 1; where a model has vectors and weights instead, the gradient goes on
through them.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import Cost
from app.losses.encodings import CLASS_LABEL, COSINES
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, loss
from app.losses.numerics.angles import PI, cosine_and_sine, multiple, sine_of
from app.losses.numerics.pairs import (
    Pair,
    constant,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_multiply,
    pair_negative,
    pair_sum,
    two_sum,
)
from app.losses.numerics.shares import Shares
from app.losses.numerics.similarities import surprise_of
from app.losses.numerics.stable import Array

Index: TypeAlias = NDArray[np.int64]
Target: TypeAlias = Callable[[Array], tuple[Pair, Pair]]
"""Cosines of the true classes (m,) -> what stands for them, and its derivative to them, unrounded."""
Scale: TypeAlias = Annotated[float, Gt(0), Le(1000), Doc("What cosines are multiplied by before the softmax.")]
OF_SHARES = Cost(beyond={"n·k²": 150.0})
_SYMBOLS: Mapping[str, str] = {"a": "the scale", "c": "the cosine with a class"}


def _softmax_loss(predictions: Array, targets: Index | Shares, scale: float, target: Target) -> tuple[Array, Array]:
    """The cross-entropy of the softmax of the cosines, that of the true class replaced; of shares, the expectation."""
    if isinstance(targets, Shares):
        values = targets.expected(lambda labels: _softmax_loss(predictions, labels, scale, target)[0][:, None])
        return values[:, 0], targets.expected(
            lambda labels: _softmax_loss(predictions, labels, scale, target)[1],
            lambda rows, labels: _exact_slopes(predictions[rows], labels, scale, target),
        )
    own: NDArray[np.bool_] = targets[:, None] == np.arange(predictions.shape[1], dtype=np.int64)
    exponents, index, (slope, _) = _exponents(predictions, targets, scale, target)
    found = surprise_of(exponents, own, ~own)
    gradient = scale * found.slopes
    gradient[index] = np.where(gradient[index] == 0, 0.0, gradient[index] * slope)
    return found.values, gradient


def _exponents(
    predictions: Array, targets: Index, scale: float, target: Target
) -> tuple[Pair, tuple[NDArray[np.intp], Index], Pair]:
    """What the softmax is taken of, where the true classes stand in it, and the derivative of what stands for their cosines."""
    index = np.arange(len(targets)), targets
    replaced, slope = target(predictions[index])
    cosines = pair(predictions.copy())
    cosines[0][index], cosines[1][index] = replaced
    return pair_multiply(cosines, constant(scale)), index, slope


def _exact_slopes(predictions: Array, targets: Index, scale: float, target: Target) -> Pair:
    """The gradient of hard labels, unrounded."""
    exponents, index, slope = _exponents(predictions, targets, scale, target)
    powers = pair_exp(pair_add(exponents, pair(-exponents[0].max(axis=1, keepdims=True))))
    share = pair_divide(powers, pair_sum(powers))
    others = share[0].copy(), share[1].copy()
    others[0][index] = others[1][index] = 0.0
    missed = pair_negative(pair_sum(others))
    own = pair_multiply((missed[0][:, 0], missed[1][:, 0]), slope)
    others[0][index], others[1][index] = own
    return pair_multiply(others, constant(scale))


OF_VECTORS = "It takes vectors, and learns those of the classes: cosines where these are the axes and vectors are as long as 1."


@loss(
    predictions=COSINES,
    targets=CLASS_LABEL,
    formula=("ln(1 + ∑_(j ≠ y) e^(a·(cⱼ − u))); u = c_y·A − √(1 − c_y²)·B if c_y ≥ −A, else c_y − m·B"),
    gradient=(
        "a·e^(a·(cⱼ − u))/z if j ≠ y, else −a·(1 − 1/z)·v; z = 1 + ∑_(i ≠ y) e^(a·(cᵢ − u)); "
        "v = 1 if c_y < −A, A if |c_y| = 1, else A + c_y·B/√(1 − c_y²)"
    ),
    symbols={**_SYMBOLS, "A": "the cosine of the margin", "B": "its sine"},
    aliases=("additive_angular", "ArcFaceLoss", "additive_angular_margin"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.ArcFaceLoss(num_classes=k, embedding_size=k, weight_init_func=torch.nn.init.eye_, "
            "margin=np.degrees(margin), scale=scale)(predictions, targets)",
            encodings={"predictions": "unit"},
            differs_at=("gradient",),
            caveat=OF_VECTORS,
        ),
    ),
    reference="Deng et al. (2019), doi:10.1109/CVPR.2019.00482",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost_of_shares=OF_SHARES,
)
def arcface(
    predictions: Array,
    targets: Index | Shares,
    *,
    margin: Annotated[float, Ge(0), Le(3), Doc("Angle, in radians, by which the true class is turned away.")] = 0.5,
    scale: Scale = 64.0,
) -> tuple[Array, Array]:
    """The softmax over classes, with the angle to the true one made larger by a margin: classes become narrow cones.

    Where the angle and the margin are more than half a turn together, it goes on in a straight line, as in the authors' code.
    At a cosine of 1 or −1, where the slope of the angle is infinite, its share of the slope counts as 0.

    Use when: faces or products are told apart by angles, and new identities come later, of which none is trained on.
    Avoid when: labels are noisy or a model is fresh: the margin asks of hard samples what they cannot give (cosface).
    See also: cosface, sphereface, categorical_cross_entropy, triplet_margin.
    """
    cosine, sine = cosine_and_sine(Fraction(margin))

    def target(c: Array) -> tuple[Pair, Pair]:
        across = sine_of(c)
        turned = pair_add(pair_multiply(pair(c), cosine), pair_negative(pair_multiply(across, sine)))
        straight = pair_add(pair(c), pair_negative(pair_multiply(sine, constant(margin))))
        inside = pair_add(pair(c), cosine)[0] >= 0
        some = across[0] > 0
        lever = pair_divide(pair_multiply(pair(c), sine), (np.where(some, across[0], 1.0), across[1]))
        slope = either(some, pair_add(cosine, lever), cosine)
        return either(inside, turned, straight), either(inside, slope, constant(1.0))

    return _softmax_loss(predictions, targets, scale, target)


@loss(
    predictions=COSINES,
    targets=CLASS_LABEL,
    formula="ln(1 + ∑_(j ≠ y) e^(a·(cⱼ − c_y + m)))",
    gradient="a·e^(a·(cⱼ − c_y + m))/z if j ≠ y, else −a·(1 − 1/z); z = 1 + ∑_(i ≠ y) e^(a·(cᵢ − c_y + m))",
    symbols=_SYMBOLS,
    aliases=("am_softmax", "CosFaceLoss", "additive_margin_softmax", "AMSoftmax"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.CosFaceLoss(num_classes=k, embedding_size=k, weight_init_func=torch.nn.init.eye_, "
            "margin=margin, scale=scale)(predictions, targets)",
            encodings={"predictions": "unit"},
            differs_at=("gradient",),
            caveat=OF_VECTORS,
        ),
    ),
    reference="Wang et al. (2018), doi:10.1109/CVPR.2018.00552",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost_of_shares=OF_SHARES,
)
def cosface(
    predictions: Array,
    targets: Index | Shares,
    *,
    margin: Annotated[float, Ge(0), Le(2), Doc("What is taken from the cosine with the true class.")] = 0.35,
    scale: Scale = 64.0,
) -> tuple[Array, Array]:
    """The softmax over classes, with a margin taken from the cosine with the true one: it has to lead all others by that.

    Use when: samples of many identities are told apart by angles, with a margin that is the same at every angle.
    Avoid when: cosines are not of vectors at the length 1: the scale and the margin then mean nothing.
    See also: arcface, sphereface, crammer_singer_hinge, proxy_nca, proxy_anchor.
    """

    def target(c: Array) -> tuple[Pair, Pair]:
        return two_sum(c, np.full_like(c, -margin)), pair(np.ones_like(c))

    return _softmax_loss(predictions, targets, scale, target)


@loss(
    predictions=COSINES,
    targets=CLASS_LABEL,
    formula="ln(1 + ∑_(j ≠ y) e^(a·(cⱼ − ψ)))",
    gradient=("a·e^(a·(cⱼ − ψ))/z if j ≠ y, else −a·(1 − 1/z)·∂ψ/∂c_y; z = 1 + ∑_(i ≠ y) e^(a·(cᵢ − ψ))"),
    symbols={
        **_SYMBOLS,
        "ψ": "(−1)^b times the cosine of the margin times the angle to the true class, less 2b; b counts its half turns",
    },
    aliases=("SphereFaceLoss", "a_softmax", "angular_softmax"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.SphereFaceLoss(num_classes=k, embedding_size=k, weight_init_func=torch.nn.init.eye_, "
            "margin=margin, scale=scale)(predictions, targets)",
            encodings={"predictions": "unit"},
            differs_at=("gradient",),
            caveat=OF_VECTORS,
        ),
    ),
    reference="Liu et al. (2017), doi:10.1109/CVPR.2017.713",
    properties=DIFFERENTIABLE | NON_NEGATIVE,
    cost_of_shares=OF_SHARES,
)
def sphereface(
    predictions: Array,
    targets: Index | Shares,
    *,
    margin: Annotated[int, Ge(1), Le(8), Doc("What the angle to the true class is multiplied by.")] = 4,
    scale: Scale = 1.0,
) -> tuple[Array, Array]:
    """The softmax over classes, with the angle to the true one multiplied: it has to be that many times smaller than the others.

    Use when: results are compared with those of the first losses by angles, or the margin shall grow with the angle.
    Avoid when: training is to be stable from the start: the multiplied angle is steep (cosface, arcface).
    See also: arcface, cosface, categorical_cross_entropy.
    """

    def target(c: Array) -> tuple[Pair, Pair]:
        turned, slope = multiple(c, margin)
        turns = np.zeros_like(c)
        for half in range(1, margin):
            edge = cosine_and_sine(PI * half / margin)[0] if 2 * half != margin else constant(0.0)
            turns += pair_add(pair(c), pair_negative(edge))[0] <= 0
        side = np.where(turns % 2 == 0, 1.0, -1.0)
        total = pair_add((side * turned[0], side * turned[1]), (-2.0 * turns, np.zeros_like(c)))
        return total, (side * slope[0], side * slope[1])

    return _softmax_loss(predictions, targets, scale, target)
