"""Losses of classes by one proxy for each: samples are to be near that of their class, and far from those of the others.

Predictions are the cosines of each sample with every proxy. Where a model has vectors of both, the gradient goes on through the
cosines to either.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.domains import Interval
from app.libraries import equal
from app.losses.cost import IN_PAIRS, Cost
from app.losses.encodings import CLASS_LABEL, COSINES, GRADE, numbers, per_sample, steps
from app.losses.families.angular_margin import OF_VECTORS
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, loss
from app.losses.numerics.pairs import constant, pair, pair_add
from app.losses.numerics.shares import Shares
from app.losses.numerics.similarities import Flags, log_one_plus, scaled
from app.losses.numerics.stable import Array, exact_sum
from app.losses.numerics.wide import Wide, exp, log, sigmoid, softplus, where, wide
from app.registry import alias

Index: TypeAlias = NDArray[np.int64]
OF_BATCH = numbers(
    "cosines", "the cosine of the angle to each proxy, from −1 to 1", Interval(-1.0, 1.0), steps(-0.95, 0.95), axes="n k"
)
PROXY = replace(
    per_sample(GRADE), name="proxy", meaning="the index of the proxy of the sample's class, from 0", accepts=("class_names",)
)
_SYMBOLS: Mapping[str, str] = {"c": "the cosine with a proxy"}


@loss(
    predictions=COSINES,
    targets=CLASS_LABEL,
    formula="ln(1 + u) if among_all, else ln u; u = ∑_(j ≠ y) e^(2b(cⱼ − c_y))",
    gradient=("2b·v·e^(2b(cⱼ − c_y))/u if j ≠ y, else −2b·v; u = ∑_(i ≠ y) e^(2b(cᵢ − c_y)); v = u/(1 + u) if among_all, else 1"),
    symbols={**_SYMBOLS, "b": "the scale"},
    aliases=(
        "ProxyNCA",
        alias("ProxyNCALoss", among_all=True),
        alias("proxy_nca_plus_plus", among_all=True),
    ),
    equals=(
        equal(
            "pytorch_metric_learning.losses.ProxyNCALoss(num_classes=k, embedding_size=k, weight_init_func=torch.nn.init.eye_, "
            "softmax_scale=scale)(predictions, targets)",
            encodings={"predictions": "unit"},
            among_all=True,
            differs_at=("gradient",),
            caveat=OF_VECTORS,
        ),
    ),
    reference="Movshovitz-Attias et al. (2017), doi:10.1109/ICCV.2017.47; among all: Teh et al. (2020), arXiv:2004.01113",
    properties=CONVEX | DIFFERENTIABLE | SMOOTH | BOUNDED_GRADIENT,
    cost=Cost(per_number=400.0),
    cost_of_shares=Cost(beyond={"n·k²": 1000.0}),
)
def proxy_nca(
    predictions: Array,
    targets: Index | Shares,
    *,
    scale: Annotated[float, Gt(0), Le(1000), Doc("What squared distances are multiplied by before the softmax.")] = 1.0,
    among_all: Annotated[
        bool, Doc("Whether the proxy of the true class is one of those in the sum, as in ProxyNCA++; the loss is then above 0.")
    ] = False,
) -> tuple[Array, Array]:
    """Compares a sample with one proxy for each class instead of other samples: nearer to its own than to all others together.

    Of vectors at the length 1 the squared distance of two is 2 − 2·cosine. Of one class alone it is 0.

    Use when: there are too many pairs or triplets to draw from, and each class can have a vector that is learned with the model.
    Avoid when: classes are many and have few samples: proxies of classes that a batch lacks move as well (proxy_anchor).
    See also: proxy_anchor, cosface, neighbourhood_components.
    """
    if not isinstance(targets, Shares):
        value, slope = _nearest(predictions, targets, scale, among_all)
        return value.high, slope.high
    values = targets.expected(
        lambda labels: _nearest(predictions, labels, scale, among_all)[0].high[:, None],
        lambda rows, labels: _nearest(predictions[rows], labels, scale, among_all)[0][:, None].pair,
    )
    return values[:, 0], targets.expected(
        lambda labels: _nearest(predictions, labels, scale, among_all)[1].high,
        lambda rows, labels: _nearest(predictions[rows], labels, scale, among_all)[1].pair,
    )


def _nearest(cosines: Array, labels: Index, scale: float, among_all: bool) -> tuple[Wide, Wide]:
    """The losses of hard labels (m,), and their derivatives to the cosines (m, k)."""
    if cosines.shape[1] == 1:
        return Wide(np.zeros(len(cosines))), Wide(np.zeros_like(cosines))
    own: Flags = labels[:, None] == np.arange(cosines.shape[1], dtype=np.int64)
    true = np.where(own, cosines, 0.0).sum(axis=1, keepdims=True)
    lead = where(own, -np.inf, (wide(cosines) - true) * (2.0 * scale))
    top = lead.max()
    powers = where(own, 0.0, exp(where(own, top, lead) - top))
    total = powers.sum()
    excess = top + log(total)
    pull = sigmoid(excess) if among_all else wide(np.ones_like(total.high))
    slopes = where(own, -pull, pull * (powers / total)) * (2.0 * scale)
    return (softplus(excess) if among_all else excess)[:, 0], slopes


@loss(
    predictions=OF_BATCH,
    targets=PROXY,
    formula=("mean_(j ∈ A) ln(1 + ∑_(i ∈ Zⱼ) e^(−α(c(i, j) − δ))) + 1/k·∑ⱼ ln(1 + ∑_(i ∉ Zⱼ) e^(α(c(i, j) + δ)))"),
    gradient=(
        "∂ℓ/∂c(i, j) = −α/|A|·e^(−α(c(i, j) − δ))/(1 + ∑_(l ∈ Zⱼ) e^(−α(c(l, j) − δ))) if i ∈ Zⱼ, "
        "else α/k·e^(α(c(i, j) + δ))/(1 + ∑_(l ∉ Zⱼ) e^(α(c(l, j) + δ)))"
    ),
    symbols={
        "c": "the cosine of a sample with a proxy",
        "i": "a sample",
        "j": "a proxy",
        "l": "a sample",
        "A": "the proxies whose class has a sample in the batch",
        "Z": "the samples of the class of a proxy",
    },
    aliases=("ProxyAnchor", "ProxyAnchorLoss"),
    equals=(
        equal(
            "pytorch_metric_learning.losses.ProxyAnchorLoss(num_classes=k, embedding_size=k, "
            "weight_init_func=torch.nn.init.eye_, margin=delta, alpha=alpha)(predictions, targets)",
            encodings={"predictions": "unit"},
            differs_at=("gradient",),
            caveat=OF_VECTORS,
        ),
    ),
    reference="Kim, Kim, Cho and Kwak (2020), arXiv:2003.13911",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
    coupling="batch",
    cost=IN_PAIRS,
)
def proxy_anchor(
    predictions: Array,
    targets: Index,
    *,
    alpha: Annotated[float, Gt(0), Le(1e4), Doc("How much the worst placed samples of a proxy outweigh the others.")] = 32.0,
    delta: Annotated[float, Ge(0), Le(2), Doc("How far beyond a cosine of 0 samples shall be, on either side.")] = 0.1,
) -> tuple[Array, Pullback]:
    """Takes each proxy as an anchor: the samples of its class are drawn to it and all others pushed away, the worst placed most.

    It is of the whole batch, and each sample has it: the mean over the proxies that have samples there of what draws, and the
    mean over all proxies of what pushes.

    Use when: classes have several samples in a batch, and how these lie to each other shall count, without drawing pairs.
    Avoid when: batches are small beside the classes: nearly all proxies then only push (proxy_nca); or single losses are wanted.
    See also: proxy_nca, multi_similarity, cosface.
    """
    k = predictions.shape[1]
    own: Flags = targets == np.arange(k, dtype=np.int64)[:, None]
    present = float(np.logical_or.reduce(own, axis=1).sum())
    cosines = pair(predictions.T.copy())
    near = log_one_plus(scaled(pair_add(cosines, constant(-delta)), -alpha), own)
    far = log_one_plus(scaled(pair_add(cosines, constant(delta)), alpha), ~own)
    value = exact_sum(near.values) / present + exact_sum(far.values) / k
    slopes = far.slopes * (alpha / k) - near.slopes * (alpha / present)
    return np.full(len(predictions), value), lambda weights: slopes.T * exact_sum(weights)
