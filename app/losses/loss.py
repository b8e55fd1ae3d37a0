"""What a loss is: one decorated function and what is derived from it.

A loss function takes its arrays by position and its parameters by keyword, and returns the losses together with their
derivatives, so that these share their intermediate results and cannot drift apart:

    values, gradient, second = huber(predictions, targets, delta=1.5)

An array has one row for each element on which the loss is computed: a number (m,), or the k numbers of its classes
(m, k). Which rows are one sample is not the kernel's business. `values` has one number per element (m,). `gradient` is
d(values)/d(predictions): an array shaped like the predictions, a tuple of arrays where predictions are named arrays, None
where the derivative is zero or undefined almost everywhere, or, for a loss that couples the samples of a batch or whose
gradient is dear, a function from the weights (m,) of the values to the gradient of their weighted sum. `second`, where a
loss has it, is a function without arguments, called only where it is asked for: to the second derivative of each value to
each number of its prediction by itself, shaped and named as the gradient; 0 at a kink, but at the limit of
a clip it passes where the gradient does. A function whose type says that it returns two things has none.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from app.libraries import Equal
from app.losses.cost import LINEAR, Cost
from app.losses.guide import Guide, guide
from app.losses.inputs import Choice, Encoding, Input, inputs_of
from app.losses.labels import COLUMN_OPTIONS, class_counts, label_options, with_label_options
from app.losses.learnable import Learnable
from app.losses.numerics.means import ARITHMETIC, POOLED, Mean, of_columns
from app.losses.numerics.stable import Array
from app.losses.parameters import pooled_by
from app.registry import Alias, Declared

Pullback: TypeAlias = Callable[[Array], Array]
Pullbacks: TypeAlias = Callable[[Array], tuple[Array, ...]]
Gradient: TypeAlias = Array | tuple[Array, ...] | Pullback | Pullbacks | None
Second: TypeAlias = Callable[[], Array]
Seconds: TypeAlias = Callable[[], tuple[Array, ...]]
Returned: TypeAlias = tuple[Array, Gradient] | tuple[Array, Gradient, Second | Seconds]
Kernel: TypeAlias = Callable[..., Returned]
SIDES = ("predictions", "targets")
Inputs: TypeAlias = Encoding | Choice | Mapping[str, Encoding | Choice] | None


class Property(Flag):
    """Promises about a loss as a function of its predictions; each is checked by a test over the registry."""

    DIFFERENTIABLE = auto()
    SMOOTH = auto()
    CONVEX = auto()
    SYMMETRIC = auto()
    NON_NEGATIVE = auto()
    ZERO_AT_TARGET = auto()
    BOUNDED_GRADIENT = auto()
    PROPER = auto()


NOTHING = Property(0)
DIFFERENTIABLE = Property.DIFFERENTIABLE
SMOOTH = Property.SMOOTH
CONVEX = Property.CONVEX
SYMMETRIC = Property.SYMMETRIC
NON_NEGATIVE = Property.NON_NEGATIVE
ZERO_AT_TARGET = Property.ZERO_AT_TARGET
BOUNDED_GRADIENT = Property.BOUNDED_GRADIENT
PROPER = Property.PROPER
PROMISES: Mapping[Property, str] = {
    DIFFERENTIABLE: "Has a gradient almost everywhere that is not zero almost everywhere.",
    SMOOTH: "The gradient is continuous.",
    CONVEX: "Lies below its chords, as a function of the predictions.",
    SYMMETRIC: "Exchanging predictions and targets leaves it unchanged.",
    NON_NEGATIVE: "Is never below zero.",
    ZERO_AT_TARGET: "Is zero where the predictions equal the targets.",
    BOUNDED_GRADIENT: "No sample pulls with more than a fixed force, however wrong its prediction.",
    PROPER: "Is least, in expectation, for the true probabilities (a proper scoring rule).",
}
"""What each of them promises."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Described(Declared):
    """A loss, or a way to make one, as the catalogue tells of it."""

    inputs: Mapping[str, Input] = field(default_factory=dict[str, Input])
    """Empty where they are those of the losses that it is made of."""
    formula: str
    """What one element costs, in the house's notation (`formula.py`)."""
    gradient: str = ""
    """The derivative of that, in the same notation; nothing where there is none."""
    symbols: Mapping[str, str] = field(default_factory=dict[str, str])
    """Symbols of both formulas that mean what they mean here alone."""
    properties: Property = NOTHING
    coupling: Literal["sample", "group", "batch"] = "sample"
    mean: Mean = ARITHMETIC
    cost: Cost = LINEAR

    @cached_property
    def family_summary(self) -> str:
        """What the losses of its family are of: the first sentence of its module."""
        first = (inspect.getdoc(inspect.getmodule(self.function)) or "").partition("\n\n")[0]
        return f"{' '.join(first.split()).partition('. ')[0].removesuffix('.')}."

    @cached_property
    def guide(self) -> Guide:
        """What the docstring tells a learner."""
        return guide(super().description)

    @property
    def description(self) -> str:
        return self.guide.description


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss(Described):
    """A loss function with everything that is known about it. Call it to call the function."""

    compared: ClassVar[bool] = True
    function: Kernel
    counts: Callable[..., Array | None] | None = None
    """(targets, **parameters) -> (m,): what each counts in the divisor of the mean; 0 where the loss is 0 by definition."""
    factors: Callable[..., Array | None] | None = None
    """(targets, **parameters) -> (m,): what the mean multiplies each by, while its divisor does not; None: 1."""
    cost_of_shares: Cost | None = None
    """What it costs where labels are shares of several classes, if that grows faster."""
    weighs_rows: bool = False
    """Whether the function takes, after its arrays, the weights of the numbers within each row, or None."""
    either_order: bool = False
    """Whether the function takes rows (m, k) of predictions column by column as well: as the classes of maps lie."""
    counterpart: str = ""
    """Of a loss of two classes the one of several, and the other way round: what is asked for where shapes or labels are its."""
    told: Callable[[], tuple[Any, ...]] | None = None
    """What can be told of it beside numbers, where it was written by a caller."""
    learnable: Learnable | None = None
    """Which of its parameters may be learned with a model."""

    def __call__(self, *arrays: Array, **parameters: object) -> Returned:
        return self.kernel({**self.defaults, **parameters})(*arrays)

    def kernel(self, parameters: Mapping[str, Any]) -> Kernel:
        """The function under all of the parameters, as one of arrays."""
        if not self.options:
            return partial(self.function, **parameters) if parameters else self.function
        kernel = partial(self.function, **{name: parameters[name] for name in self.own})
        if not self._takes_shares:
            return kernel
        weight = parameters["class_weight"] if "class_weight" in self.options else None
        return with_label_options(kernel, parameters["label_smoothing"] if "label_smoothing" in self.options else 0.0, weight)

    @cached_property
    def _takes_shares(self) -> bool:
        """Whether the function takes shares of labels, and weights of classes are put around it."""
        return bool(self.options.keys() & {"label_smoothing", "class_weight"})

    def counting(self, parameters: Mapping[str, Any]) -> Callable[[Any], Array | None] | None:
        """What each element counts in the divisor of the mean, as a function of the targets; None where all count 1."""
        if self.counts:
            return partial(self.counts, **parameters)
        weight = parameters["class_weight"] if "class_weight" in self.options else None
        return None if weight is None else partial(class_counts, class_weight=weight)

    def pooled(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the samples of a batch are taken together under these parameters, and have one loss."""
        return any(parameters[name] == value for name, value in self._pools)

    @cached_property
    def _pools(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, value) for name, parameter in self.own.items() if (value := pooled_by(parameter)) is not None)

    def cost_of(self, parameters: Mapping[str, Any], targets: Any) -> Cost:
        """What it costs under these parameters, with labels or with shares of them."""
        if self.cost_of_shares and (parameters.get("label_smoothing") or len(targets.shape) > 1):
            return self.cost_of_shares
        return self.cost

    def mean_of(self, parameters: Mapping[str, Any]) -> Mean:
        """The mean under these parameters: of all elements, or of each column apart."""
        if self.pooled(parameters):
            return POOLED
        by_column = "multioutput" in self.options and parameters["multioutput"] == "uniform_average"
        return of_columns(self.mean) if by_column else self.mean

    @cached_property
    def sides(self) -> Mapping[str, Mapping[str, Input]]:
        """What it takes on each side of the request, by name."""
        return {side: {name: given for name, given in self.inputs.items() if given.side == side} for side in SIDES}

    @cached_property
    def options(self) -> Mapping[str, inspect.Parameter]:
        """The parameters that it has in common with other losses of labels: the function does not see them."""
        sides = ([case for given in self.inputs.values() if given.side == side for _, case in given.cases] for side in SIDES)
        options = label_options(*sides, weighs_rows=self.weighs_rows)
        if self.mean.of_all and any("n *d" in case.axes for given in self.inputs.values() for _, case in given.cases):
            options |= COLUMN_OPTIONS
        return {name: option for name, option in options.items() if name not in self.own}

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        return MappingProxyType({**self.own, **self.options})

    @property
    def differentiable(self) -> bool:
        return DIFFERENTIABLE in self.properties

    @cached_property
    def derivatives(self) -> Literal[0, 1, 2]:
        """How many derivatives there are: the second is that of the value only where this is a plain sum of losses."""
        if not self.differentiable:
            return 0
        returned = inspect.signature(self.function, eval_str=True).return_annotation
        return 2 if len(get_args(returned)) == 3 and self.mean.of_all is None else 1


def loss(
    *,
    predictions: Inputs,
    targets: Inputs = None,
    formula: str,
    gradient: str = "",
    symbols: Mapping[str, str] | None = None,
    properties: Property,
    aliases: tuple[str | Alias, ...] = (),
    equals: tuple[Equal, ...] = (),
    reference: str = "",
    coupling: Literal["sample", "group", "batch"] = "sample",
    mean: Mean = ARITHMETIC,
    counts: Callable[..., Array | None] | None = None,
    factors: Callable[..., Array | None] | None = None,
    cost: Cost = LINEAR,
    cost_of_shares: Cost | None = None,
    weighs_rows: bool = False,
    either_order: bool = False,
    counterpart: str = "",
    learnable: Learnable | None = None,
) -> Callable[[Kernel], Loss]:
    """Declare a function as a loss: its name is the function's, its family the module's, its parameters the keyword-only ones."""

    def declare(kernel: Kernel) -> Loss:
        return Loss(
            function=kernel,
            inputs=MappingProxyType(inputs_of(predictions, targets)),
            formula=formula,
            gradient=gradient,
            symbols=MappingProxyType(symbols or {}),
            properties=properties,
            names=aliases,
            equals=equals,
            reference=reference,
            coupling=coupling,
            mean=mean,
            counts=counts,
            factors=factors,
            cost=cost,
            cost_of_shares=cost_of_shares,
            weighs_rows=weighs_rows,
            either_order=either_order,
            counterpart=counterpart,
            learnable=learnable,
        )

    return declare
