"""An expression, read once: its kernel, its derivatives, and what can be said about it. The last ones asked for are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.losses.expressions.functions import RULES
from app.losses.expressions.parse import parse
from app.losses.expressions.program import Program
from app.losses.expressions.steps import Term
from app.losses.loss import Second
from app.losses.numerics.stable import Array


@dataclass(frozen=True, eq=False)
class Expression:
    """An expression of predictions and targets with its parameters. Call it as the function of a loss."""

    value: Term
    slope: Term
    curvature: Term
    parameters: Mapping[str, float]

    @property
    def is_zero_at_target(self) -> bool:
        """Whether it is 0 wherever the residual is, and made of nothing but that."""
        if self.value.steps.depends(self.value, ("p", "y")):
            return False
        with np.errstate(all="ignore"):
            return not self(np.zeros(1), np.zeros(1))[0].any()

    @cached_property
    def _first(self) -> Program:
        return Program([self.value, self.slope], self.parameters)

    @cached_property
    def _second(self) -> Program:
        return Program([self.curvature], self.parameters)

    def __call__(self, predictions: Array, targets: Array) -> tuple[Array, Array, Second]:
        values, slope = self._first(predictions, targets)
        return values, slope, lambda: self._second(predictions, targets)[0]


def expression_of(text: str, parameters: Mapping[str, float]) -> Expression:
    """The expression of a text; InvalidParameter where it is none."""
    key = text, tuple(sorted(parameters.items()))
    found = _kept.pop(key, None)
    if found is None:
        found = _compiled(text, parameters)
        room = MOST_KEPT_STEPS - len(found.value.steps.all)
        for oldest in [*_kept]:
            if len(_kept) < MOST_KEPT and sum(len(kept.value.steps.all) for kept in [*_kept.values()]) <= room:
                break
            _kept.pop(oldest, None)
    _kept[key] = found
    return found


def _compiled(text: str, parameters: Mapping[str, float]) -> Expression:
    value, _ = parse(text, dict(parameters))
    slope = value.steps.derivative(value, RULES)
    return Expression(value, slope, slope.steps.derivative(slope, RULES), dict(parameters))


MOST_KEPT, MOST_KEPT_STEPS = 256, 20_000
"""Expressions that are kept, and the steps of all of them: with its programs a step takes some 400 bytes, the largest
expression half a megabyte."""
_kept: dict[tuple[str, tuple[tuple[str, float], ...]], Expression] = {}
"""In the order in which they were last asked for."""
