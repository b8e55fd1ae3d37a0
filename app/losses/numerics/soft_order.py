"""Softened orders of lists (n, k), unrounded: where what the places of items pull at a score cancels, it keeps its digits.

Lists are taken whole, so many at a time, or a long one so many items at a time: no digit depends on the other lists.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.cancelling import LOG_2_LOW
from app.losses.numerics.lists import LEFT, PAIRS_AT_ONCE, over, own_and_others, present, tiles
from app.losses.numerics.logit import logit
from app.losses.numerics.pairs import difference
from app.losses.numerics.stable import LOG_2, Array
from app.losses.numerics.wide import Wide, exp, expm1, log, where, wide

LOG_OF_2 = Wide(np.full(1, LOG_2), np.full(1, LOG_2_LOW))
"""ln 2."""
Flags: TypeAlias = NDArray[np.bool_]
SlopesOfRanks: TypeAlias = Callable[[NDArray[np.intp], Wide], Wide]
"""(which lists (m,), their soft ranks (m, k)) -> the derivatives to these."""


def exact_gains(grades: Array) -> Wide:
    """2^y − 1, 0 for an item that is not there."""
    there = present(grades)
    return where(there, expm1(LOG_OF_2 * np.where(there, grades, 0.0)), 0.0)


def discounts(k: int) -> Wide:
    """ln(1 + place) of each place, from 1 to k."""
    return log(np.arange(2.0, k + 2.0))


def best_gain(grades: Array) -> Wide:
    """(n, 1): the gains of the best order, each over the logarithm of its place; 1 where all are 0."""
    best = (exact_gains(-np.sort(-grades, axis=1)) / discounts(grades.shape[1])).sum()
    return where(best.high > 0, best, 1.0)


def _some(n: int, k: int) -> Iterator[slice]:
    step = max(1, PAIRS_AT_ONCE // (k * k))
    return (slice(start, start + step) for start in range(0, n, step))


def _items(k: int) -> Iterator[slice]:
    step = k if k * k <= PAIRS_AT_ONCE else max(1, PAIRS_AT_ONCE // k)
    return (slice(start, min(start + step, k)) for start in range(0, k, step))


def _two(there: Flags, own: slice) -> Flags:
    """Whether the list has both items (n, a, k), and they are two."""
    places = np.arange(there.shape[1], dtype=np.int64)
    both: Flags = there[:, own, None] & there[:, None, :] & (places[own, None] != places)
    return both


# --- soft ranks -----------------------------------------------------------------------------------------------------------


def soft_ranks(scores: Array, there: Flags, temperature: float) -> Array:
    """1 + Σ σ((other − own)/temperature) of each item's list: its place from 1, softened; 1 for an item that is not there."""
    ranks = np.ones_like(scores)
    for own in tiles(scores.shape):
        mine, theirs = own_and_others(scores, own)
        above = logit(over(difference(theirs, mine), temperature)).sigmoid
        ranks[:, own] += np.where(_two(there, own), above, 0.0).sum(axis=2)
    return ranks


def pulls_of_ranks(scores: Array, there: Flags, temperature: float, slopes: Array, exactly: SlopesOfRanks) -> Array:
    """The derivative to the scores of what has these derivatives to the soft ranks; unrounded in short lists where it cancels."""
    pulls, sizes = np.empty_like(scores), np.empty_like(scores)
    for own in tiles(scores.shape):
        mine, theirs = own_and_others(scores, own)
        slope = np.where(_two(there, own), logit(over(difference(theirs, mine), temperature)).slope, 0.0)
        from_here, from_there = own_and_others(slopes, own)
        pulls[:, own] = ((from_there - from_here) * slope).sum(axis=2)
        sizes[:, own] = ((np.abs(from_there) + np.abs(from_here)) * slope).sum(axis=2)
    k = scores.shape[1]
    cancelled = np.flatnonzero((np.abs(pulls) < LEFT * sizes).any(axis=1)) if k * k <= PAIRS_AT_ONCE else np.empty(0, np.intp)
    pulls /= temperature
    for some in _some(len(cancelled), k):
        lists = cancelled[some]
        pulls[lists] = _pulls_of_ranks(wide(scores[lists]), there[lists], temperature, partial(exactly, lists))
    return pulls


def _pulls_of_ranks(scores: Wide, there: Flags, temperature: float, slopes: Callable[[Wide], Wide]) -> Array:
    whole = slice(None)
    mine, theirs = own_and_others(scores, whole)
    ahead = (theirs - mine) / temperature
    power = where(_two(there, whole), exp(-abs(ahead)), 0.0)
    share = 1.0 / (1.0 + power)
    below = power * share
    ranks = 1.0 + where(ahead.high < 0, below, where(_two(there, whole), share, 0.0)).sum()[..., 0]
    from_here, from_there = own_and_others(slopes(ranks), whole)
    return (((from_there - from_here) * (below * share)).sum() / temperature).high[..., 0]


def _put(x: Wide, own: slice, found: Wide) -> None:
    x.high[:, own], x.low[:, own] = found.high[..., 0], found.low[..., 0]


# --- NeuralSort -----------------------------------------------------------------------------------------------------------


class Sorted(NamedTuple):
    """What the mixtures at the places of lists are worth."""

    values: Array
    """(n,): the gains of the places, each over the logarithm of its place, over those of the best order."""
    slopes: Array
    """(n, k): the derivative of that to the scores."""


def neural_sort(scores: Array, grades: Array, temperature: float) -> Sorted:
    """The gains of lists that are sorted by NeuralSort."""
    values, slopes = np.empty(len(scores)), np.empty_like(scores)
    for lists in _some(*scores.shape):
        values[lists], slopes[lists] = _neural_sort(scores[lists], grades[lists], temperature)
    return Sorted(values, slopes)


def _neural_sort(scores: Array, grades: Array, temperature: float) -> tuple[Array, Array]:
    """Items are in their order here, so that a place has less of an item the further off it is.

    What a place has of an item beside 1 of its own falls by d + 3d + 5d + ... of the distances d of neighbours between. The
    pulls of a place at its items add up to 0, and so only those count between which a score lies.
    """
    k, there = scores.shape[1], present(grades)
    order = np.argsort(np.where(there, -scores, np.inf), axis=1, kind="stable")
    ordered, grades = (np.take_along_axis(x, order, axis=1) for x in (scores, grades))
    there = np.take_along_axis(there, order, axis=1)
    worth = exact_gains(grades)
    share = where(there, 1.0 / discounts(k), 0.0) / best_gain(grades)
    step = where(there[:, 1:], wide(ordered[:, :-1]) - ordered[:, 1:], 0.0)
    none = np.zeros((len(scores), 1))
    to_here = Wide(*(np.concatenate((none, part), axis=1) for part in step.pair))[:, None, :]
    from_here = Wide(*(np.concatenate((part, none), axis=1) for part in step.pair))[:, None, :]
    places = np.arange(k, dtype=np.int64)
    value, slope, pulled = (Wide(np.zeros_like(scores)) for _ in range(3))
    for own in _items(k):
        off = places - places[own, None]
        later, earlier, odd = off > 0, off < 0, 2.0 * np.abs(off) - 1.0
        fallen = _along(where(later, to_here * odd, 0.0)) + _back(where(earlier, from_here * odd, 0.0))
        power = where(there[:, own, None] & there[:, None, :], exp(-fallen / temperature), 0.0)
        total = power.sum()
        mixture = power / where(total.high > 0, total, 1.0)
        here, theirs = own_and_others(worth, own)
        ahead = theirs - here
        mean = (mixture * ahead).sum()
        weight = share[:, own, None]
        _put(value, own, (here + mean) * weight)
        pull = mixture * (ahead - mean) * weight
        after, before = _beyond(_back(where(later, pull, 0.0)), 1), _beyond(_along(where(earlier, pull, 0.0)), -1)
        side = where(later, after, before) * -2.0 + pull * odd
        moved = where(off == 0, before - after, where(later, side, -side))
        slope, pulled = slope + _over_places(moved), pulled + _over_places(pull)
    if (step.high == 0).any():  # items that tie have no order: the sum above has given them one
        slope = slope + _within_ties(ordered, there, pulled)
    found = np.empty_like(scores)
    np.put_along_axis(found, order, np.where(there, (slope / temperature).high, 0.0), axis=1)
    return value.sum().high[:, 0], found


def _within_ties(ordered: Array, there: Flags, pulled: Wide) -> Wide:
    found, places = Wide(np.zeros_like(ordered)), np.arange(ordered.shape[1], dtype=np.int64)
    for own in _items(ordered.shape[1]):
        tied = _two(there, own) & (ordered[:, own, None] == ordered[:, None, :])
        here, theirs = own_and_others(pulled, own)
        _put(found, own, (where(tied, here + theirs, 0.0) * np.sign(places - places[own, None]).astype(np.float64)).sum())
    return found


def _over_places(x: Wide) -> Wide:
    """The sum over the places (n, a, k) for each item (n, k)."""
    return Wide(*(part.swapaxes(1, 2) for part in x.pair)).sum()[..., 0]


def _beyond(x: Wide, steps: int) -> Wide:
    """The numbers so many places on, 0 where there are none."""
    found = Wide(np.zeros_like(x.high), np.zeros_like(x.high))
    here, there = (slice(None, -steps), slice(steps, None)) if steps > 0 else (slice(-steps, None), slice(None, steps))
    found.high[..., here], found.low[..., here] = x.high[..., there], x.low[..., there]
    return found


def _along(x: Wide) -> Wide:
    """The sums up to each number of the last axis."""
    far = 1
    while far < x.high.shape[-1]:
        x, far = x + _beyond(x, -far), 2 * far
    return x


def _back(x: Wide) -> Wide:
    """The sums from each number on."""
    found = _along(x[..., ::-1])
    return found[..., ::-1]
