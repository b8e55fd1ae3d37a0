"""What a loss is: one decorated function and what is derived from it.

A loss function takes its arrays by position and its parameters by keyword, and returns per-sample values together with
the gradient, so that the two share their intermediate results and cannot drift apart:

    values, gradient = huber(predictions, targets, delta=1.5)

`values` has one number per sample (n,), or one per element of an array (n, *d), whose rows are then averaged.
`gradient` is d(values)/d(predictions): an array shaped like the predictions, a tuple of arrays where predictions are
named arrays, None where the derivative is zero or undefined almost everywhere, or, for a loss that couples the samples
of a batch or whose gradient is dear, a function from the weights (n,) of the values to the gradient of their weighted sum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from types import MappingProxyType
from typing import Literal, TypeAlias

from app.losses.cost import LINEAR, Cost
from app.losses.inputs import Choice, Encoding, Input, inputs_of
from app.losses.numerics.means import ARITHMETIC, Mean
from app.losses.numerics.stable import Array
from app.registry import Alias, Declared

Pullback: TypeAlias = Callable[[Array], Array]
Gradient: TypeAlias = Array | tuple[Array, ...] | Pullback | None
Kernel: TypeAlias = Callable[..., tuple[Array, Gradient]]
Inputs: TypeAlias = Encoding | Choice | Mapping[str, Encoding | Choice] | None


class Property(Flag):
    """Promises about a loss as a function of its predictions; each is checked by a test over the registry."""

    DIFFERENTIABLE = auto()
    """Has a gradient almost everywhere that is not zero almost everywhere."""
    SMOOTH = auto()
    """The gradient is continuous."""
    CONVEX = auto()
    """Lies below its chords, as a function of the predictions."""
    SYMMETRIC = auto()
    """Exchanging predictions and targets leaves it unchanged."""
    NON_NEGATIVE = auto()
    """Is never below zero."""
    ZERO_AT_TARGET = auto()
    """Is zero where the predictions equal the targets."""
    BOUNDED_GRADIENT = auto()
    """No sample pulls with more than a fixed force, however wrong its prediction."""
    PROPER = auto()
    """Is least, in expectation, for the true probabilities (a proper scoring rule)."""


DIFFERENTIABLE = Property.DIFFERENTIABLE
SMOOTH = Property.SMOOTH
CONVEX = Property.CONVEX
SYMMETRIC = Property.SYMMETRIC
NON_NEGATIVE = Property.NON_NEGATIVE
ZERO_AT_TARGET = Property.ZERO_AT_TARGET
BOUNDED_GRADIENT = Property.BOUNDED_GRADIENT
PROPER = Property.PROPER


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss(Declared):
    """A loss function with everything that is known about it. Call it to call the function."""

    function: Kernel
    inputs: Mapping[str, Input]
    formula: str
    properties: Property
    coupling: Literal["sample", "group", "batch"] = "sample"
    mean: Mean = ARITHMETIC
    counts: Callable[..., Array | None] | None = None
    """(targets, **parameters) -> (n,): what each counts in the divisor of the mean; 0 where the loss is 0 by definition."""
    cost: Cost = LINEAR

    def __call__(self, *arrays: Array, **parameters: object) -> tuple[Array, Gradient]:
        return self.function(*arrays, **parameters)

    @property
    def differentiable(self) -> bool:
        return DIFFERENTIABLE in self.properties


def loss(
    *,
    predictions: Inputs,
    targets: Inputs = None,
    formula: str,
    properties: Property,
    aliases: tuple[str | Alias, ...] = (),
    equals: tuple[str, ...] = (),
    reference: str = "",
    coupling: Literal["sample", "group", "batch"] = "sample",
    mean: Mean = ARITHMETIC,
    counts: Callable[..., Array | None] | None = None,
    cost: Cost = LINEAR,
) -> Callable[[Kernel], Loss]:
    """Declare a function as a loss: its name is the function's, its family the module's, its parameters the keyword-only ones."""

    def declare(kernel: Kernel) -> Loss:
        return Loss(
            function=kernel, inputs=MappingProxyType(inputs_of(predictions, targets)), formula=formula, properties=properties,
            names=aliases, equals=equals, reference=reference, coupling=coupling, mean=mean, counts=counts,
            cost=cost,
        )  # fmt: skip

    return declare
