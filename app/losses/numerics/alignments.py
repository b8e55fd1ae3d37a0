"""All ways to read frames as labels: the sum of their probabilities, and each class's share of it in each frame.

States are blank, label, blank, ..., blank. An alignment is in one state of each frame, and from frame to frame stays,
goes on by one, or passes over a blank. Rows of logarithms, one number per state, are swept from frame to frame. They are
pairs, here stacked (2, n, l), so that a long sweep adds no error to large sums. No array has all frames and all states:
rows are kept of some frames, from which those between are swept again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.pairs import Pair, renormalised, two_sum
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array

ROWS_HELD = 1 << 18
"""States times frames of which rows are held at once: some forty megabytes with what is computed from them."""
ALL = slice(None)


@dataclass(frozen=True)
class Sweep:
    """One direction in which frames and states are read. What follows a state is what leads there when read backwards."""

    emissions: Array
    """(2, n·t·k): the log-probability of each class in each frame."""
    first: NDArray[np.int64]
    """(n, l): where the emission of each state stands in the first frame that is read."""
    stride: int
    """From a frame's emissions to those of the next that is read."""
    frames: int
    start: Array
    """(2, n, l): log 1 for the states an alignment may begin in, log 0 for the others."""
    barred: Array
    """(2, n, l): log 0 for the states that may not be entered past the one before them."""
    highest_begin: int
    lowest_end: int
    """The last state that one of the samples may begin in, and the first that one may end in."""
    impossible: Array
    """(2, n, l + 2): log 0, with two states that nothing reaches before the first."""

    def own(self, frame: int | NDArray[np.int64], states: slice = ALL) -> Array:
        """What the states of a frame emit, or of several."""
        return self.emissions.take(self.first[:, states] + frame * self.stride, axis=1)

    def step(self, row: Array, frame: int) -> Array:
        """From all ways into each state of a frame, before its own emission, to those into each of the next."""
        now, then = self._states(frame), self._states(frame + 1)
        led, into = self.impossible.copy(), self.impossible[..., 2:].copy()
        plus(row[..., now], self.own(frame, now), out=led[..., now.start + 2 : now.stop + 2])
        stay, move, skip = (led[..., then.start + back : then.stop + back] for back in (2, 1, 0))
        _log_sum(stay, move, skip + self.barred[..., then], out=into[..., then])
        return into

    def _states(self, frame: int) -> slice:
        """The states of a frame that an alignment can be in: it can have come there, and still reach the end."""
        stop = min(self.highest_begin + 1 + 2 * frame, self.first.shape[1])
        start = self.lowest_end - 2 * (self.frames - 1 - frame)
        return slice(min(max(start, 0), stop - 1), stop)


@dataclass(frozen=True)
class Kept:
    """The rows of every so-many-th frame from the first on, and that of the last."""

    sweep: Sweep
    start: int
    stop: int
    stride: int
    rows: list[Array]
    last: Array

    def from_the_end(self) -> Iterator[tuple[int, Array]]:
        """The rows of all frames, stacked (2, frames, n, l), the last frames first, each with the number of its first frame."""
        if self.stride == 1:
            yield self.start, np.stack(self.rows, axis=1)
            return
        for number in reversed(range(len(self.rows))):
            start = self.start + number * self.stride
            yield from kept(self.sweep, self.rows[number], start, min(start + self.stride, self.stop)).from_the_end()


def kept(sweep: Sweep, row: Array, start: int, stop: int) -> Kept:
    """Sweep the frames from `start` to before `stop`, and keep as many rows as may be held."""
    held = max(2, ROWS_HELD // sweep.first.size)
    stride = -(-(stop - start) // held)
    rows = [row]
    for frame in range(start + 1, stop):
        row = sweep.step(row, frame - 1)
        if (frame - start) % stride == 0:
            rows.append(row)
    return Kept(sweep, start, stop, stride, rows, row)


class Alignments:
    """The alignments of frames with labels: emissions (n, t, k) as log-probabilities, targets (n, s) padded with −1."""

    def __init__(self, emissions: Pair, targets: NDArray[np.int64], blank: int) -> None:
        n, frames, k = self.shape = emissions[0].shape
        count = (targets >= 0).sum(axis=1)
        targets = targets[:, : count.max()]
        length = 2 * targets.shape[1] + 1
        self.states = np.full((n, length), blank)
        self.states[:, 1::2] = np.where(targets < 0, blank, targets)
        self.last = 2 * count
        least = int(self.last.min())
        place: NDArray[np.int64] = np.arange(length, dtype=np.int64)
        before = self.last[:, None] - place
        ends = (before == 0) | (before == 1)
        begins = np.broadcast_to(place < 2, ends.shape)
        skips = np.zeros((n, length), dtype=np.bool_)
        skips[:, 3::2] = targets[:, 1:] != targets[:, :-1]  # equal labels would merge
        skips_back = np.zeros_like(skips)
        skips_back[:, 2:] = skips[:, :1:-1]
        first = self.states + np.arange(n, dtype=np.int64)[:, None] * (frames * k)
        last = first[:, ::-1] + (frames - 1) * k
        flat = np.stack(emissions).reshape(2, -1)
        nothing = _log_of(np.zeros((n, length + 2), dtype=np.bool_))
        start, start_back, barred, barred_back = map(_log_of, (begins, ends[:, ::-1], skips, skips_back))
        self.forwards = Sweep(flat, first, k, frames, start, barred, 1, max(least - 1, 0), nothing)
        last_back = max(length - 2, 0)
        self.backwards = Sweep(flat, last, -k, frames, start_back, barred_back, length - least, last_back, nothing)
        self.led = kept(self.forwards, self.forwards.start, 0, frames)

    def total(self) -> Pair:
        """The log-probability of all alignments of each row (n,), −∞ where there are none."""
        through = plus(self.led.last, self.forwards.own(self.shape[1] - 1))
        rows, nothing = np.arange(self.shape[0], dtype=np.int64), self.forwards.impossible[..., 0]
        blank, label = through[:, rows, self.last], through[:, rows, np.maximum(self.last - 1, 0)]
        total = _log_sum(blank, np.where(self.last > 0, label, nothing), nothing)
        return total[0], total[1]

    def posterior(self) -> Array:
        """The probability of each class in each frame among the alignments (n, t, k), summed over the states of the class.

        Every alignment is in one state of each frame, so a frame's states add up to the same total. Taken from them, it
        cannot be far off them, however large the logarithms are.
        """
        posterior = np.empty(self.shape)
        row = self.backwards.start
        for start, led in self.led.from_the_end():
            stop = start + led.shape[1]
            follows = np.empty_like(led)
            for frame in reversed(range(start, stop)):
                follows[:, frame - start] = row[..., ::-1]
                if frame:
                    row = self.backwards.step(row, self.shape[1] - 1 - frame)
            frames: NDArray[np.int64] = np.arange(start, stop, dtype=np.int64)[:, None, None]
            through = plus(plus(led, self.forwards.own(frames)), follows)
            posterior[:, start:stop] = self._by_class(through)
        return posterior

    def _by_class(self, through: Array) -> Array:
        """Of the log-probability of all alignments through each state (frames, n, l), each class's share (n, frames, k)."""
        largest = through[0] == through[0].max(axis=2, keepdims=True)  # of huge logarithms the low parts tell which it is
        top = np.where(largest, through[1], -np.inf).argmax(axis=2)[..., None]
        high, low = plus(through, -np.take_along_axis(through, top[None], axis=3))
        share = np.exp(high) * np.exp(np.clip(low, -1.0, 1.0))  # low is only beyond 1 where the exponential of high is 0
        frames, (n, _, k) = len(high), self.shape
        row = np.arange(n, dtype=np.int64)[:, None] * frames + np.arange(frames, dtype=np.int64)[:, None, None]
        flat = row * k + self.states
        counted = np.bincount(flat.ravel(), weights=share.ravel(), minlength=n * frames * k).astype(np.float64, copy=False)
        counted = counted.reshape(-1, k)
        whole = row_sums(counted)[:, None]
        np.divide(counted, whole, out=counted, where=whole > 0)  # 0 stays where every sum is below the least number
        return counted.reshape(n, frames, k)


def _log_of(possible: NDArray[np.bool_]) -> Array:
    """log 1 or log 0, stacked with its low part."""
    return np.stack((np.where(possible, 0.0, -np.inf), np.zeros(possible.shape)))


def plus(a: Array, b: Array, out: Array | None = None) -> Array:
    """a + b of stacked pairs, with −∞ for what is −∞ or too low to be a number."""
    total, error = two_sum(a[0], b[0])
    return _sound(total, error + (a[1] + b[1]), out)


def _sound(total: Array, error: Array, out: Array | None) -> Array:
    total, rest = renormalised(total, error)
    result = np.empty((2, *total.shape)) if out is None else out
    sound = np.isfinite(rest)  # else the total is infinite too, or came out of infinities
    result[0], result[1] = np.where(sound, total, -np.inf), np.where(sound, rest, 0.0)
    return result


def _log_sum(a: Array, b: Array, c: Array, out: Array | None = None) -> Array:
    """log(eᵃ + eᵇ + eᶜ) as the greatest plus log1p of a small number, kept unrounded."""
    first = _not_less(a, b)
    greater, second = np.where(first, a, b), np.where(first, b, a)
    first = _not_less(greater, c)
    greatest, third = np.where(first, greater, c), np.where(first, c, greater)
    second -= greatest  # undefined where all are −∞, which `_sound` puts right
    third -= greatest
    total, error = two_sum(greatest[0], np.log1p(np.exp(second[0] + second[1]) + np.exp(third[0] + third[1])))
    return _sound(total, error + greatest[1], out)


def _not_less(a: Array, b: Array) -> NDArray[np.bool_]:
    return (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] >= b[1]))
