"""Arrays by name as one: their columns side by side, as the outputs of one model are, or the targets of several losses."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from app.domains import Interval
from app.losses.inputs import Numbers
from app.losses.numerics.stable import Array
from app.training.activations import Activation


@dataclass(frozen=True)
class SideBySide:
    """Where each of several arrays has its columns."""

    shapes: Mapping[str, tuple[int, ...]]
    """The shape of one row of each: () or (k,)."""

    @property
    def width(self) -> int:
        """How many columns they have together."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def columns(self) -> Iterator[slice]:
        """Those of each array, in their order."""
        start = 0
        for shape in self.shapes.values():
            yield slice(start, start + math.prod(shape))
            start += math.prod(shape)

    def apart(self, rows: Numbers) -> dict[str, Numbers]:
        """Rows (n, width) as the arrays (n, *shape) by name, each in one piece, as losses take them."""
        pairs = zip(self.shapes.items(), self.columns, strict=True)
        return {name: np.ascontiguousarray(rows[:, columns]).reshape(len(rows), *shape) for (name, shape), columns in pairs}


@dataclass(frozen=True)
class Heads(SideBySide):
    """The outputs of a model as several arrays, each with an activation of its own."""

    activations: Mapping[str, Activation]

    @cached_property
    def activation(self) -> Activation:
        """Of all columns: it makes of each array's what its own does."""
        parts = [(activation, columns) for activation, columns in zip(self.activations.values(), self.columns, strict=True)]

        def forward(sums: Array, out: Array) -> None:
            for activation, columns in parts:
                activation.forward(sums[:, columns], out[:, columns])

        def backward(slope: Array, sums: Array, made: Array) -> None:
            for activation, columns in parts:
                activation.backward(slope[:, columns], sums[:, columns], made[:, columns])

        return Activation(
            by_name({name: activation.name for name, activation in self.activations.items()}), forward, backward, Interval()
        )


class Together(NamedTuple):
    """Arrays side by side, and where each is."""

    rows: Array
    """(n, width)"""
    named: SideBySide


def together(arrays: Mapping[str, Numbers]) -> Together:
    """Arrays (n, *shape) of as many rows as one."""
    named = SideBySide({name: array.shape[1:] for name, array in arrays.items()})
    return Together(np.hstack([np.asarray(array, np.float64).reshape(len(array), -1) for array in arrays.values()]), named)


def by_name(words: Mapping[str, str]) -> str:
    """What is said of each array, in one line."""
    return ", ".join(f"{name}: {word}" for name, word in words.items())
