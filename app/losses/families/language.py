"""Losses of language models: of the next word, or another token of a sequence, given all before it.

Predictions are logits over the vocabulary at each place (n, t, k), targets the tokens that came (n, t); a place that is padding
has the label that ignore_index says, or is masked. A token is an element: the mean is over all that count, of all sequences.
"""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from typing_extensions import Doc

from app.libraries import equal
from app.losses.cost import IN_PAIRS
from app.losses.encodings import CLASS_LABEL, LOGITS, MULTI_HOT, TOKEN_LOGITS, TOKENS
from app.losses.loss import DIFFERENTIABLE, NON_NEGATIVE, SMOOTH, Pullback, Second, loss
from app.losses.numerics.pairs import (
    Pair,
    either,
    pair,
    pair_add,
    pair_divide,
    pair_exp,
    pair_multiply,
    pair_negative,
    pair_sum,
)
from app.losses.numerics.rows import Flat, below_largest, by_rows, row_starts, row_sums, softmax, softmax_variance
from app.losses.numerics.shares import Shares, columns, softmax_cross_entropy
from app.losses.numerics.similarities import Flags, surprise_of
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, exp, softmax_parts, where, wide
from app.losses.parameters import Pools
from app.registry import alias

BLOCK = 1 << 15
"""Logits that are worked on at a time."""
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
    See also: categorical_cross_entropy, unlikelihood, perplexity.
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
    gradient = np.where(unwelcome[:, None], gradient + of_likeliest.slopes, gradient)
    near = (np.abs(gradient) < 0.2 * np.where(unwanted, p, p * others)).any(axis=1)
    if near.any():
        better = _pulls_of_odds(predictions[near], unwanted[near], likeliest[near])
        gradient[near] = np.where(np.isfinite(better), better, gradient[near])
    return np.where(unwelcome, values + of_likeliest.values, values), gradient


def _pulls_of_odds(x: Array, unwanted: NDArray[np.bool_], likeliest: NDArray[np.bool_]) -> Array:
    """p·(y − ∑ of the odds of all other unwanted tokens), unrounded: near its zeros the two nearly cancel."""

    def only(which: NDArray[np.bool_], a: Pair) -> Pair:
        return np.where(which, a[0], 0.0), np.where(which, a[1], 0.0)

    powers = pair_exp(below_largest(x))
    total = pair_sum(powers)
    rest = either(likeliest, pair_sum(only(~likeliest, powers)), pair_add(total, pair_negative(powers)))
    odds = only(unwanted, pair_divide(powers, (np.where(rest[0] > 0, rest[0], 1.0), rest[1])))
    others = either(likeliest, pair_sum(only(~likeliest, odds)), pair_add(pair_sum(odds), pair_negative(odds)))
    return pair_multiply(powers, pair_add(pair(unwanted.astype(np.float64)), pair_negative(others)))[0] / total[0]


@loss(
    predictions=TOKEN_LOGITS,
    targets=TOKENS,
    formula="exp(−1/n ∑ₜ ln q(t, yₜ)); q(t, j) = exp x(t, j)/∑ᵢ exp x(t, i)",
    gradient="∂ℓ/∂x(t, j) = ℓ/n·(q(t, j) − [j = yₜ])",
    symbols={"q": "the predicted probability of a token at a place", "n": "how many places there are"},
    aliases=(alias("Perplexity", pool="batch"), "ppl"),
    equals=(
        equal("torchmetrics.functional.text.perplexity(predictions, targets.long())", pool="batch"),
        equal("torchmetrics.text.Perplexity()(predictions, targets.long())", pool="batch"),
    ),
    reference="Jelinek, Mercer, Bahl and Baker (1977), doi:10.1121/1.2016299",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
    weighs_rows=True,
)
def perplexity(
    predictions: Array,
    targets: Index,
    weights: Array | None = None,
    *,
    pool: Annotated[
        Literal["sample", "batch"],
        Pools("batch"),
        Doc("Whether each sequence has its own mean, or all tokens of the batch have one together."),
    ] = "sample",
) -> tuple[Array, Array | Pullback]:
    """Among how many tokens, all as likely, a model seems to choose: the exponential of the mean cross-entropy of a sequence.

    Use when: language models with the same tokens are compared, in the number that papers report.
    Avoid when: a model is trained, which sequence_cross_entropy does with a slope that no token blows up; or tokens differ.
    See also: sequence_cross_entropy, categorical_cross_entropy.
    """
    n, t, k = predictions.shape
    x, tokens = predictions.reshape(-1, k), targets.reshape(-1, 1)
    counted = np.ones((n, t)) if weights is None else weights
    totals = row_sums(counted)[:, None] if pool == "sample" else np.full((n, 1), counted.sum())
    shares = counted / wide(np.where(totals > 0, totals, 1.0))
    nothing: Array = np.zeros(len(tokens))
    surprise = wide(nothing)
    vocabulary = np.arange(k, dtype=np.int64)
    blocks = [slice(start, start + max(1, BLOCK // k)) for start in range(0, n * t, max(1, BLOCK // k))]
    for block in blocks:  # of which the arithmetic takes many times the memory
        missed = where(vocabulary == tokens[block], softmax_parts(x[block]).logarithm, 0.0).sum()
        surprise.high[block], surprise.low[block] = -missed.high[:, 0], -missed.low[:, 0]
    terms = where(counted == 0, 0.0, _shaped(surprise, (n, t)) * shares)
    mean = terms.sum() if pool == "sample" else _shaped(terms, (1, n * t)).sum() + np.zeros((n, 1))
    values: Array = np.where(totals > 0, exp(mean).high, 0.0)[:, 0]
    means, parts = mean[np.arange(n * t, dtype=np.intp) // t], _shaped(shares, (n * t, 1))
    slope = np.zeros_like(x)
    for block in blocks:
        came: Flags = vocabulary == tokens[block]
        # of a token that is nearly impossible, the perplexity makes up for what is left
        others = where(came, 0.0, exp(softmax_parts(x[block]).logarithm + means[block])) * parts[block]
        others = where(parts[block].high == 0, 0.0, others)
        slope[block] = where(came, -others.sum(), others).high
    pull = slope.reshape(predictions.shape)
    return (values, pull) if pool == "sample" else (values, lambda pulls: pull * pulls.sum())


def _shaped(x: Wide, shape: tuple[int, ...]) -> Wide:
    return Wide(x.high.reshape(shape), x.low.reshape(shape))
