"""Losses of an order: which of several scores is to be the greater. Only their differences count."""

from typing import Annotated

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from app.libraries import equal
from app.losses.encodings import REAL, SIGN
from app.losses.loss import BOUNDED_GRADIENT, CONVEX, DIFFERENTIABLE, NON_NEGATIVE, Seconds, loss
from app.losses.numerics.pairs import two_sum
from app.losses.numerics.stable import Array


@loss(
    predictions={"first": REAL, "second": REAL},
    targets=SIGN,
    formula="max(0, m − y·(a − b))",
    gradient="∂ℓ/∂a = −y if y·(a − b) ≤ m, else 0; ∂ℓ/∂b = y if y·(a − b) ≤ m, else 0",
    symbols={"a": "the first score", "b": "the second score"},
    aliases=("MarginRankingLoss", "margin_ranking_loss"),
    equals=(equal("torch.nn.MarginRankingLoss(margin=margin, reduction=reduction)(first, second, targets)"),),
    reference="Herbrich, Graepel and Obermayer (1999), doi:10.1049/cp:19991091",
    properties=CONVEX | DIFFERENTIABLE | NON_NEGATIVE | BOUNDED_GRADIENT,
)
def margin_ranking(
    first: Array,
    second: Array,
    targets: Array,
    *,
    margin: Annotated[float, Ge(0), Doc("How much the score that shall be greater must lead.")] = 0.0,
) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Raises the first score above the second where the target is 1, and the second above the first where it is −1.

    Use when: it is known which of two shall come first, as of search results or recommendations, but no score of either.
    Avoid when: whole lists are judged by their top: every pair counts the same, wherever it stands.
    See also: hinge, label_ranking_loss.
    """
    difference, error = two_sum(first, -second)
    total, rest = two_sum(-targets * difference, margin)
    rest = rest - targets * error
    total = total + np.where(np.isfinite(rest), rest, 0.0)  # the sign at the kink is that of the unrounded difference
    slope = np.where(total >= 0, targets, 0.0)  # active at the kink, as in PyTorch
    return np.maximum(total, 0.0), (-slope, slope), lambda: (np.zeros_like(slope), np.zeros_like(slope))
