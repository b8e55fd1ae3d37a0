"""What an analysis costs beside an evaluation of the same arrays: CPU time of both with their checks, and memory.

Runs in a process of its own, in one thread (`python -m bench.insight ROUNDS NUMBERS`), and prints what it measured as JSON.
"""

import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from app.insight import analyze
from app.losses import LOSSES, Batch, check, evaluate


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
