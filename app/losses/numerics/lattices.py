"""All ways through a lattice of frames and labels: at each node a label is said, or the next frame begun.

The logarithms of what leads to a node and of what goes on from it are kept unrounded, a diagonal of the lattice at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.losses.numerics.wide import Wide, exp, softplus, where

Whole: TypeAlias = NDArray[np.int64]
NEVER = -1e200
"""The logarithm of what cannot be, so far below all others that sums with it stay there, and finite."""


class Steps(NamedTuple):
    """The logarithms of the chances, at each node (n, t, u), of both steps that lead on from it."""

    forward: Wide
    """To the next frame; from the last node, out of the lattice."""
    up: Wide
    """To the next label."""


@dataclass(frozen=True)
class Lattice:
    """The lattices of several sequences, of which each ends at its own last frame and after its own labels."""

    steps: Steps
    frames: Whole
    """(n,)."""
    labels: Whole
    """(n,)."""

    @property
    def _shape(self) -> tuple[int, int, int]:
        n, t, u = self.steps.forward.high.shape
        return n, t, u

    def _diagonals(self) -> Iterator[tuple[Whole, Whole]]:
        """The nodes (t, u) of one diagonal after the other."""
        _, t, u = self._shape
        for place in range(t + u - 1):
            frame: Whole = np.arange(max(0, place - u + 1), min(place, t - 1) + 1, dtype=np.int64)
            yield frame, place - frame

    @cached_property
    def before(self) -> Wide:
        """(n, t, u): ln of the chance to come to a node."""
        found = _nowhere(self._shape)
        for frame, label in self._diagonals():
            if not (frame[0] or label[0]):
                _put(found, (frame, label), 0.0, 0.0)
                continue
            across = _moved(found, frame - 1, label) + _moved(self.steps.forward, frame - 1, label)
            along = _moved(found, frame, label - 1) + _moved(self.steps.up, frame, label - 1)
            total = _log_sum(across, along)
            _put(found, (frame, label), total.high, total.low)
        return found

    @cached_property
    def after(self) -> Wide:
        """(n, t, u): ln of the chance to say the rest and leave, from a node."""
        found = _nowhere(self._shape)
        for frame, label in reversed([*self._diagonals()]):
            last = (frame == self.frames[:, None] - 1) & (label == self.labels[:, None])
            outside = (frame >= self.frames[:, None]) | (label > self.labels[:, None])
            there = _moved(self.steps.forward, frame, label)
            across = where(last, there, _moved(found, frame + 1, label) + there)
            along = _moved(found, frame, label + 1) + _moved(self.steps.up, frame, label)
            total = where(outside, NEVER, where(last, across, _log_sum(across, along)))
            _put(found, (frame, label), total.high, total.low)
        return found

    @property
    def total(self) -> Wide:
        """(n,): ln of the chance of all ways together."""
        return self.after[:, 0, 0]

    def shares(self, row: int) -> tuple[Wide, Wide]:
        """(t, u): how likely each step forward and each step up of a sequence was taken, given its labels."""
        _, t, u = self._shape
        last, labels = int(self.frames[row]), int(self.labels[row])
        beyond = _nowhere((t + 1, u + 1))
        beyond.high[:t, :u], beyond.low[:t, :u] = self.after.high[row], self.after.low[row]
        beyond.high[last, labels], beyond.low[last, labels] = 0.0, 0.0
        here = self.before[row] - self.total[row]
        forward, up = here + self.steps.forward[row] + beyond[1:, :u], here + self.steps.up[row] + beyond[:t, 1:]
        inside = np.zeros((t, u), np.bool_)
        inside[:last, : labels + 1] = True
        return where(inside, exp(forward), 0.0), where(inside, exp(up), 0.0)


def _nowhere(shape: tuple[int, ...]) -> Wide:
    return Wide(np.full(shape, NEVER), np.zeros(shape))


def _put(x: Wide, nodes: tuple[Whole, Whole], high: Array | float, low: Array | float) -> None:
    x.high[:, *nodes], x.low[:, *nodes] = high, low


def _moved(x: Wide, frame: Whole, label: Whole) -> Wide:
    """The numbers of these nodes (n, nodes), those outside of the lattice as what cannot be."""
    _, t, u = x.high.shape
    inside = (frame >= 0) & (frame < t) & (label >= 0) & (label < u)
    nodes = np.clip(frame, 0, t - 1), np.clip(label, 0, u - 1)
    return where(inside, Wide(x.high[:, *nodes], x.low[:, *nodes]), NEVER)


def _log_sum(a: Wide, b: Wide) -> Wide:
    first = a.high >= b.high
    return where(first, a, b) + softplus(where(first, b, a) - where(first, a, b))
