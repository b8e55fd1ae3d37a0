"""How far masks overlap, as shares of errors and hits: values that keep their digits where both cancel, and their slopes."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.masks import Masks, Slopes
from app.losses.numerics.pairs import (
    Pair,
    complement,
    constant,
    pair,
    pair_add,
    pair_divide,
    pair_multiply,
    pair_negative,
    pair_sum,
)
from app.losses.numerics.stable import Array

Truth: TypeAlias = tuple[Pair, Pair]
"""What is true of each position, and of its background, unrounded."""


def sums_of(numbers: Array, weights: Array | None) -> Array:
    return (numbers if weights is None else numbers * weights).sum(axis=1, keepdims=True)


def _exact_sums(numbers: Pair, weights: Array | None) -> Pair:
    return pair_sum(numbers if weights is None else pair_multiply(numbers, pair(weights)))


def overlap_of(
    masks: Masks,
    y: Array,
    w: Array | None,
    alpha: float,
    beta: float,
    smooth: float,
    below: float,
    background: Array | None = None,
) -> tuple[Array, Array, Slopes]:
    """The errors as a share of everything: a sum of positive terms, where 1 − overlap would cancel.

    `smooth` is added to the hits and `below` to the errors: 0, or what the denominator has more than the numerator. Where the
    `background` is given, it has its own digits, and y is what it leaves of 1.
    """
    p, rest = masks.p, masks.rest
    truth = (pair(y), complement(y)) if background is None else (complement(background), pair(background))
    background = truth[1][0]
    hits = sums_of(p * y, w) + smooth
    made = alpha * sums_of(p * background, w) + beta * sums_of(rest * y, w)
    errors = made + below
    total = errors + hits
    if below < 0:  # errors that are made less cancel with it, and below 0 with the hits
        rows = errors[:, 0] < made[:, 0] / 2.0
        if rows.any():
            exact_hits, exact_errors = _exact_overlap(masks, rows, truth, w, alpha, beta, smooth, below)
            errors[rows], total[rows] = exact_errors[0], pair_add(exact_hits, exact_errors)[0]
    # a sigmoid is never quite 0: where all underflow beside an empty mask, every one of them is still an error
    seen = alpha * background > 0 if w is None else alpha * (background * w) > 0
    total, values = _share(errors, total, masks.of_logits & seen.any(axis=1))
    values = values + 0.0  # no −0, where `below` takes all errors away
    hit = hits / total
    up, down = (alpha * hit) * background, (beta * hit + errors / total) * y
    gradient = (up - down) / total

    def exact(rows: NDArray[np.bool_]) -> Pair:
        return _exact_pull(masks, rows, truth, w, alpha, beta, smooth, below)

    if below < 0 or np.vdot(y, background) > 0:  # only a soft label cancels, or errors that are made less
        size = (beta * hit + np.abs(errors) / total) * y
        crossing = np.abs(up - down) < (size if below < 0 else np.where(background > 0, size, 0.0))
        rows = np.logical_or.reduce(crossing, axis=1)
        gradient[rows] = np.where(crossing[rows], exact(rows)[0], gradient[rows])
    return values, gradient if w is None else gradient * w, exact if w is None else _weighed(exact, w)


def _exact_overlap(
    masks: Masks, rows: NDArray[np.bool_], truth: Truth, w: Array | None, alpha: float, beta: float, smooth: float, below: float
) -> tuple[Pair, Pair]:
    """The hits and the errors of some of the masks, in double-double."""
    p, rest = masks.unrounded(rows)
    w = None if w is None else w[rows]
    y, background = ((high[rows], low[rows]) for high, low in truth)
    false_alarms, misses = _exact_sums(pair_multiply(p, background), w), _exact_sums(pair_multiply(rest, y), w)
    hits = pair_add(_exact_sums(pair_multiply(p, y), w), constant(smooth))
    errors = pair_add(pair_multiply(false_alarms, constant(alpha)), pair_multiply(misses, constant(beta)))
    return hits, pair_add(errors, constant(below))


def _exact_pull(
    masks: Masks, rows: NDArray[np.bool_], truth: Truth, w: Array | None, alpha: float, beta: float, smooth: float, below: float
) -> Pair:
    """(α·hits·(1 − y) − (β·hits + errors)·y) / (hits + errors)², in double-double."""
    hits, errors = _exact_overlap(masks, rows, truth, w, alpha, beta, smooth, below)
    up, down = pair_multiply(hits, constant(alpha)), pair_multiply(hits, constant(beta))
    y, background = ((high[rows], low[rows]) for high, low in truth)
    gain = pair_multiply(pair_add(down, errors), y)
    return _over_square(pair_add(pair_multiply(up, background), pair_negative(gain)), pair_add(hits, errors))


def squared_dice_of(masks: Masks, y: Array, w: Array | None, smooth: float, below: float) -> tuple[Array, Array, Slopes]:
    """∑(p − y)² / (∑p² + ∑y² + s), where ∑p² + ∑y² − 2∑py would cancel."""
    p, rest = masks.p, masks.rest
    residual = np.where(y > 0.5, (1.0 - y) - rest, p - y) if masks.of_logits else p - y
    close = np.abs(residual) < y / 8.0 if masks.of_logits else np.zeros(y.shape, np.bool_)
    if close.any():
        residual[close] = pair_add(masks.unrounded(close)[0], pair(-y[close]))[0]
    hits = 2.0 * sums_of(p * y, w) + smooth
    made = sums_of(residual * residual, w)
    errors = made + below
    total = errors + hits
    if below < 0:
        rows = errors[:, 0] < made[:, 0] / 2.0
        if rows.any():
            _, exact_hits, exact_errors = _exact_squares(masks, rows, y, w, smooth, below)
            errors[rows], total[rows] = exact_errors[0], pair_add(exact_hits, exact_errors)[0]
    total, values = _share(errors, total, masks.of_logits | (p > 0).any(axis=1))
    up, down = 2.0 * (hits / total) * residual, 2.0 * (errors / total) * y
    gradient = (up - down) / total

    def exact(rows: NDArray[np.bool_]) -> Pair:
        return _exact_pull_of_squares(masks, rows, y, w, smooth, below)

    crossing = np.abs(up - down) < 1.5 * np.abs(down)
    rows = np.logical_or.reduce(crossing, axis=1)
    if rows.any():
        gradient[rows] = np.where(crossing[rows], exact(rows)[0], gradient[rows])
    return values, gradient if w is None else gradient * w, exact if w is None else _weighed(exact, w)


def _exact_squares(
    masks: Masks, rows: NDArray[np.bool_], y: Array, w: Array | None, smooth: float, below: float
) -> tuple[Pair, Pair, Pair]:
    """p − y, the hits and the errors of some of the masks, in double-double."""
    p, _ = masks.unrounded(rows)
    y, w = y[rows], None if w is None else w[rows]
    residual = pair_add(p, pair(-y))
    hits = pair_add(_exact_sums(pair_multiply(p, pair(2.0 * y)), w), constant(smooth))
    return residual, hits, pair_add(_exact_sums(pair_multiply(residual, residual), w), constant(below))


def _exact_pull_of_squares(masks: Masks, rows: NDArray[np.bool_], y: Array, w: Array | None, smooth: float, below: float) -> Pair:
    """2·(hits·(p − y) − errors·y) / (hits + errors)², in double-double."""
    residual, hits, errors = _exact_squares(masks, rows, y, w, smooth, below)
    pull = pair_add(pair_multiply(hits, residual), pair_negative(pair_multiply(errors, pair(y[rows]))))
    return _over_square((2.0 * pull[0], 2.0 * pull[1]), pair_add(hits, errors))


def _over_square(above: Pair, below: Pair) -> Pair:
    """above / below², 0 for 0/0."""
    total = np.where(below[0] == 0, 1.0, below[0]), below[1]
    return pair_divide(pair_divide(above, total), total)


def _weighed(exact: Slopes, w: Array) -> Slopes:
    return lambda rows: pair_multiply(exact(rows), pair(w[rows]))


def _share(errors: Array, total: Array, lost: np.bool_ | NDArray[np.bool_]) -> tuple[Array, Array]:
    """The total, ∞ for 0, and the share of the errors (n,): of nothing 0, but 1 where they were lost to underflow."""
    empty = total == 0
    total = np.where(empty, np.inf, total)
    return total, np.where(empty[:, 0] & lost, 1.0, (errors / total)[:, 0])
