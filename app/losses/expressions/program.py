"""Steps as a program of NumPy: each step once, each array freed after its last use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from app.losses.expressions.functions import FUNCTIONS
from app.losses.expressions.steps import PI, Term
from app.losses.numerics.stable import Array


class _Line(NamedTuple):
    """slots[to] = compute(*slots[inputs]); those in `last` are not needed afterwards."""

    compute: Callable[..., Any]
    inputs: tuple[int, ...]
    to: int
    last: tuple[int, ...]


class Program:
    """Terms (each an output) to be computed from predictions and targets. Call it with these."""

    def __init__(self, outputs: Sequence[Term], parameters: Mapping[str, float]) -> None:
        steps = outputs[0].steps
        needed = steps.needed(outputs)
        self._outputs = [output.index for output in outputs]
        self._slots: list[Any] = [None] * (needed[-1] + 1)
        self._variables: list[tuple[int, str]] = []
        rows: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        constants: set[int] = set()
        for index in needed:
            step = steps.all[index]
            if step.inputs:
                compute = FUNCTIONS[step.name].compute
                if constants.issuperset(step.inputs):
                    with np.errstate(all="ignore"):
                        self._slots[index] = np.float64(compute(*(self._slots[source] for source in step.inputs)))
                    constants.add(index)
                else:
                    rows.append((compute, step.inputs, index))
            elif step.name in ("p", "y", "r"):
                self._variables.append((index, step.name))
            else:
                number = np.pi if step.name == PI else parameters[step.name] if step.name else step.number
                self._slots[index] = np.float64(number)
                constants.add(index)
        kept = constants | set(self._outputs)
        last = {source: number for number, (_, inputs, _) in enumerate(rows) for source in inputs if source not in kept}
        self._lines = [
            _Line(compute, inputs, to, tuple({source for source in inputs if last.get(source) == number}))
            for number, (compute, inputs, to) in enumerate(rows)
        ]

    def __call__(self, predictions: Array, targets: Array) -> list[Array]:
        """The outputs, an array (m,) of its own each."""
        slots = self._slots.copy()
        for index, name in self._variables:
            slots[index] = predictions if name == "p" else targets if name == "y" else predictions - targets
        for compute, inputs, to, last in self._lines:
            slots[to] = compute(*[slots[source] for source in inputs])
            for source in last:
                slots[source] = None
        found: list[Array] = []
        for index in self._outputs:
            value = slots[index]
            array: Array = value if np.ndim(value) else np.full(predictions.shape, value)
            shared = array is predictions or array is targets or any(array is other for other in found)
            found.append(array.copy() if shared else array)
        return found
