"""Steps as a program of NumPy: each step once, each array freed after its last use, or written over."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from app.losses.expressions.functions import COMPARISONS, FUNCTIONS
from app.losses.expressions.steps import PI, Term
from app.losses.numerics.stable import Array

TESTS = {function.compute for function in COMPARISONS.values()}
"""What gives truth and no number."""


class _Line(NamedTuple):
    """slots[to] = compute(*slots[inputs]); those in `last` are not needed afterwards."""

    compute: Callable[..., Any]
    inputs: tuple[int, ...]
    to: int
    last: tuple[int, ...]
    over: int | None
    """The input whose array may be written over: to take another one for each step is what most of them cost."""


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
                    rows.append((*self._lowered(compute, step.inputs, constants), index))
            elif step.name in ("p", "y", "r"):
                self._variables.append((index, step.name))
            else:
                number = np.pi if step.name == PI else parameters[step.name] if step.name else step.number
                self._slots[index] = np.float64(number)
                constants.add(index)
        kept = constants | set(self._outputs)
        last = {source: number for number, (_, inputs, _) in enumerate(rows) for source in inputs if source not in kept}
        ours = {index for index, name in self._variables if name == "r"} | {to for compute, _, to in rows if compute not in TESTS}
        self._lines: list[_Line] = []
        for number, (compute, inputs, to) in enumerate(rows):
            done = tuple({source for source in inputs if last.get(source) == number})
            into = isinstance(compute, np.ufunc) and compute not in TESTS
            over = next((source for source in done if source in ours), None) if into else None
            self._lines.append(_Line(compute, inputs, to, done, over))

    def _lowered(
        self, compute: Callable[..., Any], inputs: tuple[int, ...], constants: set[int]
    ) -> tuple[Callable[..., Any], tuple[int, ...]]:
        """The same to the last bit, in less time: a square for a power of 2, a product for a quotient by 2, 4, ½ and the like."""
        if inputs[-1] not in constants:
            return compute, inputs
        number = float(self._slots[inputs[-1]])
        if compute is FUNCTIONS["**"].compute and number == 2.0:
            return np.square, inputs[:1]
        if compute is np.true_divide and abs(math.frexp(number)[0]) == 0.5 and 1e-300 < abs(number) < 1e300:
            self._slots.append(np.float64(1.0 / number))
            constants.add(len(self._slots) - 1)
            return np.multiply, (inputs[0], len(self._slots) - 1)
        return compute, inputs

    def __call__(self, predictions: Array, targets: Array) -> list[Array]:
        """The outputs, an array (m,) of its own each."""
        slots = self._slots.copy()
        for index, name in self._variables:
            slots[index] = predictions if name == "p" else targets if name == "y" else predictions - targets
        for compute, inputs, to, last, over in self._lines:
            taken = [slots[source] for source in inputs]
            slots[to] = compute(*taken) if over is None else compute(*taken, out=slots[over])
            for source in last:
                slots[source] = None
        found: list[Array] = []
        for index in self._outputs:
            value = slots[index]
            array: Array = value if np.ndim(value) else np.full(predictions.shape, value)
            shared = array is predictions or array is targets or any(array is other for other in found)
            found.append(array.copy() if shared else array)
        return found
