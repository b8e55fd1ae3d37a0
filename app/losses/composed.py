"""Losses that are made when they are asked for: of other losses, or of an expression.

Each is one declared function: called with its parameters it gives what a batch is made for. A loss that is computed element
by element is a loss like any other, made at run time; a sum is its parts.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, wraps
from typing import Annotated, Any, NoReturn, TypeAlias, cast

import numpy as np
from annotated_types import Ge, Le, Len
from typing_extensions import Doc

from app.errors import Fault, InvalidParameter
from app.losses.cost import LINEAR, Cost
from app.losses.encodings import REAL
from app.losses.form import Bound, Part, Sum, bind
from app.losses.inputs import inputs_of
from app.losses.loss import DIFFERENTIABLE, SMOOTH, ZERO_AT_TARGET, Described, Loss, Property, Returned, Second
from app.losses.numerics.stable import Array
from app.registry import registry

MOST_PARTS = 20
"""Terms or heads of one loss."""
DEEPEST = 8
"""Losses within losses."""
COST_OF_STEP = 2.0
"""Operations of each step of an expression and its derivatives, for each number: of an array half as many, of a function ten."""
MOST_LOSSES = 100
"""All that a loss is made of, on every level."""
Composable: TypeAlias = Bound | Sum


@dataclass(frozen=True, eq=False, kw_only=True)
class Composed(Described):
    """A way to make losses. Call it with its parameters to get one."""

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Of the parameters that have one."""
        return {name: default for name, default in super().defaults.items() if default is not inspect.Parameter.empty}


def composed(
    *, formula: str, symbols: Mapping[str, str], aliases: tuple[str, ...] = (), reference: str = ""
) -> Callable[[Callable[..., Composable]], Composed]:
    """Declare a function as a way to make losses."""
    return lambda function: Composed(function=function, formula=formula, symbols=symbols, names=aliases, reference=reference)


# --- written by the caller --------------------------------------------------------------------------------------------------


@composed(
    formula="ℓ(p, y)",
    symbols={"ℓ": "the expression that you write", "p": "the prediction", "y": "the target"},
)
def expression(
    *,
    value: Annotated[
        str,
        Doc(
            "The loss of one prediction p and its target y, with r = p - y: numbers, pi, parameters, + - * / **, and functions "
            "such as abs, sqrt, exp, log1p, minimum, maximum, where(r < 0, then, otherwise), softplus, xlogy or logcosh."
        ),
    ],
    parameters: Annotated[Mapping[str, float], Len(0, MOST_PARTS), Doc("Numbers that the expression has names for.")] = {},
) -> Bound:
    """A custom loss: a formula of your own, of prediction and target, with its exact derivatives.

    Slopes at a kink: abs and relu 0, where that of its branch, minimum and maximum the mean of both. It is read by a grammar
    of its own and never run as code. The answer shows the derivative, where there is none, and what was found numerically.

    Use when: no loss here says what a mistake costs you, and a formula does.
    Avoid when: the loss is here under a name: it is faster, and exact where the formula as written overflows or loses digits.
    See also: asymmetric, weighted_sum.
    """
    from app.losses.expressions.compile import expression_of  # these modules are for expressions alone
    from app.losses.expressions.findings import told_of

    compiled = expression_of(value, parameters)

    def kernel(predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
        return compiled(predictions, targets)

    properties = DIFFERENTIABLE if compiled.slope.number is None or compiled.slope.number != 0.0 else Property(0)
    if compiled.is_zero_at_target:
        properties |= ZERO_AT_TARGET
    kernel.__name__ = expression.name
    made = Loss(
        function=kernel,
        inputs=inputs_of(REAL, REAL),
        formula=value,
        properties=properties,
        told=partial(told_of, compiled),
        cost=Cost(per_number=LINEAR.per_number + COST_OF_STEP * len(compiled.value.steps.all)),
    )
    return bind(made, {})


@composed(
    formula="over·ℓ if p > y, under·ℓ if p < y",
    symbols={"ℓ": "the loss that it is made of", "p": "the prediction", "y": "the target"},
)
def asymmetric(
    *,
    loss: Annotated[Composable, Doc("A loss of numbers that is 0 where they are equal.")],
    over: Annotated[float, Ge(0), Le(1e100), Doc("The factor where the prediction is above its target.")] = 1.0,
    under: Annotated[float, Ge(0), Le(1e100), Doc("The factor where the prediction is below its target.")] = 1.0,
) -> Bound:
    """Any loss of numbers with two prices: one for predictions that are too high, another for those that are too low.

    At the target the factor is the mean of both.

    Use when: the price of mistakes differs by side, as of an empty shelf and a full store.
    Avoid when: a certain share of the targets is to lie below the prediction: quantile says which.
    See also: quantile, expression.
    """
    if over == under == 0.0:
        _refuse(("over",), "out_of_range", "over and under must not both be 0: nothing would cost anything")
    if not isinstance(loss, Bound) or not _is_of_residuals(loss.loss):
        name = loss.name
        message = f"asymmetric takes a loss of numbers that is 0 where prediction and target are equal; {name} is none"
        _refuse(("loss",), "does_not_fit", message)
    inner = loss.loss

    @wraps(inner.function)
    def function(predictions: Array, targets: Array, **parameters: Any) -> Returned:
        return _scaled(inner.function(predictions, targets, **parameters), predictions, targets, over, under)

    function.__name__ = asymmetric.name
    kept = inner.properties & (Property(0) if over != under else SMOOTH) | inner.properties & ~(SMOOTH | Property.SYMMETRIC)
    made = replace(inner, function=function, names=(), equals=(), properties=kept, told=None, learnable=None)
    return bind(made, loss.parameters)._replace(within=("loss", *loss.within))


def _is_of_residuals(loss: Loss) -> bool:
    """Whether it compares a number with a number, and costs nothing where they are equal."""
    cases = [case for input_ in loss.inputs.values() for _, case in input_.cases]
    numbers = all(case.labels is None and {*case.axes} <= {"n", "n *d"} for case in cases)
    return (
        [*loss.inputs] == ["predictions", "targets"]
        and numbers
        and loss.coupling == "sample"
        and ZERO_AT_TARGET in loss.properties
    )


def _scaled(returned: Returned, predictions: Array, targets: Array, over: float, under: float) -> Returned:
    """What a kernel returned, times the factor of each side; at the target both are as good as the other."""
    values, gradient, *second = returned
    above, below = predictions > targets, predictions < targets
    factor = np.where(above, over, np.where(below, under, (over + under) / 2.0))
    slope: Array | None = factor * cast(Array, gradient) if isinstance(gradient, np.ndarray) else None
    if not second:
        return values * factor, slope
    of_second = factor if over == under else np.where(above | below, factor, 0.0)  # a kink
    return values * factor, slope, lambda: second[0]() * of_second  # pyright: ignore[reportReturnType]  # of one array


# --- sums ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weighed:
    """A loss, and what it counts."""

    loss: Annotated[Composable, Doc("The loss and its parameters, or its name.")]
    weight: Annotated[float, Doc("What its loss is multiplied by.")] = 1.0


@dataclass(frozen=True)
class Head:
    """The loss of one output of a model, and what it counts."""

    loss: Annotated[Composable, Doc("The loss and its parameters, or its name.")]
    weight: Annotated[float | None, Doc("What its loss is multiplied by; 1 if nothing is said.")] = None
    log_variance: Annotated[float | None, Ge(-50), Le(50), Doc("s, in place of a weight: it is e^(−s), and s/2 is added.")] = None


@composed(
    formula="∑ᵢ wᵢ·ℓᵢ",
    symbols={"w": "the weight of a term", "ℓ": "the loss of a term"},
)
def weighted_sum(
    *, terms: Annotated[Sequence[Weighed], Len(1, MOST_PARTS), Doc("Losses of the same predictions and targets.")]
) -> Sum:
    """Several losses of the same predictions at once, each times its weight: a combined loss.

    Its mean is the sum of their means, each taken as that loss takes it.

    Use when: one loss has what another lacks, as the overlap of masks and the pixels one by one.
    Avoid when: the losses are of different outputs of a model, which multi_task has apart.
    See also: multi_task, expression.
    """
    return Sum(weighted_sum.name, tuple(Part(index, term.loss, term.weight) for index, term in enumerate(terms)), by_head=False)


@composed(
    formula="∑ᵢ (wᵢ·ℓᵢ + ½sᵢ)",
    symbols={
        "w": "the weight of a head: e⁻ˢ where it has a log_variance s",
        "ℓ": "the loss of a head",
        "s": "the log_variance of a head; 0 where it has none",
    },
    reference="Kendall, Gal and Cipolla (2018), doi:10.1109/CVPR.2018.00781",
)
def multi_task(
    *,
    heads: Annotated[Mapping[str, Head], Len(1, MOST_PARTS), Doc("The loss of each output, under the name that it has.")],
) -> Sum:
    """Several losses for the several outputs of one model: predictions and targets are objects with an array for each.

    A weight may be learned as a log variance s, of which the answer has the derivative: each loss then counts exp(−s), and s/2
    is added, so that no weight shrinks for nothing.

    Use when: a model has several heads, as one that finds where a thing is and which it is.
    Avoid when: all losses are of the same predictions, which weighted_sum takes as one array.
    See also: weighted_sum.
    """
    parts: list[Part] = []
    for name, head in heads.items():
        if "." in name or not name:
            _refuse(("heads", name), "name", "the name of a head has a character at least, and no point")
        if head.weight is not None and head.log_variance is not None:
            _refuse(
                ("heads", name, "log_variance"),
                "unexpected",
                "a head has a weight or a log_variance, which gives one: leave one out",
            )
        part = Part(name, head.loss, 1.0 if head.weight is None else head.weight)
        parts.append(part if head.log_variance is None else part.under(head.log_variance))
    return Sum(multi_task.name, tuple(parts), by_head=True)


def _refuse(path: tuple[str, ...], code: str, message: str) -> NoReturn:
    raise InvalidParameter([Fault(("parameters", *path), code, message)])


COMPOSED = registry("loss", Composed, sys.modules[__name__])
