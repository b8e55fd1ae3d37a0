"""What an analysis costs beside an evaluation of the same arrays, and a loss written as text beside the one that is built in:
CPU time with their checks, and of an analysis memory.

Runs in a process of its own, in one thread (`python -m bench.insight ROUNDS NUMBERS`), and prints what it measured as JSON.
"""

import json
import math
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from app.insight import analyze
from app.losses import LOSSES, Batch, check, evaluate
from app.losses.composed import expression
from app.losses.form import Bound, bind
from app.losses.sums import batch_of
from app.losses.sums import evaluate as evaluate_any


@dataclass
class Analyzed:
    """CPU seconds of each round, and the most memory that an analysis had beyond its batch, over that of the batch."""

    name: str
    samples: int
    evaluated: list[float] = field(default_factory=list[float])
    analyzed: list[float] = field(default_factory=list[float])
    memory: float = 0.0

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(ours / one for ours, one in zip(self.analyzed, self.evaluated, strict=True))


@dataclass
class Written:
    """CPU seconds of each round of a loss, and of the same as an expression."""

    name: str
    expression: str
    samples: int
    built_in: list[float] = field(default_factory=list[float])
    written: list[float] = field(default_factory=list[float])

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(text / loss for text, loss in zip(self.written, self.built_in, strict=True))


EXPRESSIONS: Sequence[tuple[str, dict[str, Any], str, dict[str, float]]] = (
    ("mean_squared_error", {}, "r**2", {}),
    ("mean_absolute_error", {}, "abs(r)", {}),
    ("huber", {"delta": 1.5}, "where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))", {"d": 1.5}),
    ("log_cosh", {}, "logcosh(r)", {}),
    ("cauchy", {"c": 2.0}, "log1p((r/c)**2/2)", {"c": 2.0}),
    ("binary_cross_entropy", {"from_logits": True}, "softplus(p) - p*y", {}),
)
"""A loss with its parameters, and the same as an expression."""


def measure_written(rounds: int, n: int) -> Iterator[Written]:
    rng = np.random.default_rng(0)
    real = 2.0 * rng.standard_normal(n), 2.0 * rng.standard_normal(n)
    flags = real[0], rng.integers(2, size=n) * 1.0
    for name, parameters, text, numbers in EXPRESSIONS:
        predictions, targets = flags if name == "binary_cross_entropy" else real
        pair = bind(LOSSES[name], parameters), expression(value=text, parameters=numbers)
        found = Written(name, text, n)

        def valued(bound: Bound, arrays: Any = (predictions, targets)) -> float:
            return cast(float, evaluate_any(batch_of(bound, *arrays)).value)

        if not math.isclose(valued(pair[0]), valued(pair[1]), rel_tol=1e-9):
            raise RuntimeError(f"{text} is not {name}")
        for _ in range(rounds):
            found.built_in.append(_seconds(partial(valued, pair[0])))
            found.written.append(_seconds(partial(valued, pair[1])))
        yield found


def _cases(n: int) -> Iterator[tuple[str, dict[str, Any], np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    yield "mean_squared_error", {}, rng.standard_normal(n), rng.standard_normal(n)
    yield "binary_cross_entropy", {"from_logits": True}, rng.standard_normal(n), rng.integers(2, size=n) * 1.0
    rows = rng.standard_normal((n, 10))
    yield "categorical_cross_entropy", {"from_logits": True}, rows, rng.integers(10, size=n) * 1.0


def measure(rounds: int, n: int) -> Iterator[Analyzed]:
    for name, parameters, predictions, targets in _cases(n):
        found = Analyzed(name, n)

        def checked(name: str = name, parameters: Any = parameters, arrays: Any = (predictions, targets)) -> Batch:
            return check(LOSSES[name], parameters, *arrays)

        analyze(checked())  # which loads SciPy
        for _ in range(rounds):
            found.evaluated.append(_seconds(lambda: evaluate(checked())))
            found.analyzed.append(_seconds(lambda: analyze(checked())))
        batch = checked()
        tracemalloc.start()
        analyze(batch)
        found.memory = tracemalloc.get_traced_memory()[1] / sum(array.nbytes for array in batch.arrays)
        tracemalloc.stop()
        yield found


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    for analyzed in measure(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(asdict(analyzed)), flush=True)
    for written in measure_written(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(asdict(written)), flush=True)
