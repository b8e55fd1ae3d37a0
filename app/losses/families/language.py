"""Losses of language models: of the next word, or another token of a sequence, given all before it.

Predictions are logits over the vocabulary at each place (n, t, k), targets the tokens that came (n, t); a place that is padding
has the label that ignore_index says, or is masked. A token is an element: the mean is over all that count, of all sequences.
"""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.losses.encodings import CLASS_LABEL, LOGITS, MULTI_HOT
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Second, loss
from app.losses.numerics.pairs import pair
from app.losses.numerics.rows import Flat, by_rows, row_starts, row_sums, softmax, softmax_variance
from app.losses.numerics.shares import Shares, columns, softmax_cross_entropy
from app.losses.numerics.similarities import surprise_of
from app.losses.numerics.stable import Array
from app.registry import alias

Index: TypeAlias = NDArray[np.int64]


def _cross_entropy(predictions: Array, targets: Index | Shares) -> tuple[Array, Array]:
    if isinstance(targets, Shares):
        return softmax_cross_entropy(predictions, targets)
    predictions = by_rows(predictions)
    index = row_starts(predictions) + targets
    parts = softmax(predictions, index)
    gradient = parts.others / parts.total[:, None]
    gradient.reshape(-1)[index] = -parts.rest / parts.total
    return parts.surprise, gradient


@loss(
    predictions=LOGITS,
    targets=CLASS_LABEL,
    formula="−ln q_y + a·ln(∑ⱼ exp xⱼ)²; q = softmax(x)",
    gradient="(1 + 2a·ln ∑ᵢ exp xᵢ)·qⱼ − [j = y]; q = softmax(x)",
    symbols={"a": "the weight of the z-loss"},
    aliases=("token_cross_entropy", "causal_lm_loss", "next_token_loss", "ForCausalLMLoss", alias("z_loss", z_loss=1e-4)),
    reference="Chowdhery et al. (2022), arXiv:2204.02311",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def sequence_cross_entropy(
    predictions: Array,
    targets: Index | Shares,
    *,
    z_loss: Annotated[
        float, Ge(0), Le(1e6), Doc("What the squared logarithm of the softmax's divisor costs; PaLM has 1e-4.")
    ] = 0.0,
) -> tuple[Array, Array, Second]:
    """The surprise at the token that came, with a penalty on the level of the logits if wanted (z-loss).

    A sequence's loss is the mean over its tokens. The mean is over all tokens, so that long sequences count more; that of the
    sequences' own losses is had from `per_sample`.

    Use when: a language model is trained to say the next token, with smoothed labels or a z-loss against logits that drift.
    Avoid when: tokens that must not come are to be learnt (unlikelihood), or sequences to be told apart as wholes (dpo).
    See also: categorical_cross_entropy, unlikelihood.
    """
    values, gradient = _cross_entropy(predictions, targets)
    whole = row_sums(targets.rounded) if isinstance(targets, Shares) else np.ones(len(values))
    if not z_loss:
        return values, gradient, lambda: whole[:, None] * softmax_variance(by_rows(predictions))
    predictions = by_rows(predictions)
    index: Flat = row_starts(predictions) + predictions.argmax(axis=1)
    parts = softmax(predictions, index)
    level = np.take(predictions, index) + parts.surprise
    shares = parts.others / parts.total[:, None]
    shares.reshape(-1)[index] = parts.picked / parts.total
    pull = np.where(shares == 0, 0.0, (2.0 * z_loss * whole * level)[:, None] * shares)

    def second() -> Array:
        variance = softmax_variance(predictions)
        of_level = 2.0 * z_loss * (shares * shares + level[:, None] * variance)
        return whole[:, None] * (variance + of_level)

    return values + z_loss * whole * level * level, gradient + pull, second


@loss(
    predictions=LOGITS,
    targets=MULTI_HOT,
    formula="−∑ⱼ yⱼ ln(1 − qⱼ); q = softmax(x)",
    gradient="yⱼ·qⱼ/(1 − qⱼ) − qⱼ·∑ᵢ yᵢ·qᵢ/(1 − qᵢ); q = softmax(x)",
    aliases=("unlikelihood_loss", "token_unlikelihood"),
    reference="Welleck et al. (2020), arXiv:1908.04319",
    properties=DIFFERENTIABLE | SMOOTH | NON_NEGATIVE,
)
def unlikelihood(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Takes probability from tokens that should not come at a place, such as those that came just before.

    Targets have 1 for each of these. It is added to the cross-entropy of the token that came.

    Use when: a model repeats itself, or says what it must not, and which tokens these are is known at each place.
    Avoid when: it is alone: nothing says where the probability is to go (sequence_cross_entropy).
    See also: sequence_cross_entropy, categorical_cross_entropy.
    """
    predictions = by_rows(predictions)
    index = np.arange(len(predictions)), predictions.argmax(axis=1)
    p, unwanted = columns(predictions).p, targets > 0
    likeliest = np.zeros_like(unwanted)
    likeliest[index] = True
    of_likeliest = surprise_of(pair(predictions), ~likeliest, likeliest)  # of the rest of the softmax
    unwelcome = unwanted[index]
    odds = np.where(unwanted & ~likeliest, p / np.where(likeliest, 1.0, 1.0 - p), 0.0)
    others = row_sums(odds)[:, None] - odds
    gradient = np.where(unwanted & ~likeliest, p, 0.0) - p * others  # of a token's own odds, p is left
    values = row_sums(np.where(unwanted & ~likeliest, -np.log1p(-np.where(likeliest, 0.0, p)), 0.0))
    return (
        np.where(unwelcome, values + of_likeliest.values, values),
        np.where(unwelcome[:, None], gradient + of_likeliest.slopes, gradient),
    )
