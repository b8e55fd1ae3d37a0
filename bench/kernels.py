"""The kernels against PyTorch, where it is installed: value, per-sample losses and gradient; forward and backward there.

Runs as a process of its own, under the settings of the server (`python -m bench.kernels ROUNDS NUMBERS...`), and prints
what it measured as JSON. Neither side checks its input here; what our check costs stands beside it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np

from app.losses import LOSSES, check, evaluate
from app.losses.numerics.blocks import use_threads

THREADS = (1, 2)
REPEATS = {1_000_000: 5, 10_000_000: 1}
"""Evaluations in a round."""
PAUSE = 0.01
"""Seconds before each measurement, so that whatever the one before has left behind has ended."""

PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
"""For the environment of the process: PyTorch's threads sleep once they are done, where else they spin into ours."""

torch: Any = import_module("torch") if find_spec("torch") else None


@dataclass(frozen=True)
class Case:
    """A loss, what it is evaluated on, and the same in PyTorch: (predictions, targets) -> per-sample losses."""

    loss: str
    parameters: dict[str, Any]
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    theirs: Callable[[Any, Any], Any]
    k: int = 1
    single: bool = False

    @property
    def name(self) -> str:
        return self.loss + (f", k = {self.k}" if self.k > 1 else "") + (", float32" if self.single else "")


@dataclass
class Timed:
    """Seconds of every evaluation, by who and with how many threads; of the check, once a round."""

    name: str
    loss: str
    k: int
    single: bool
    numbers: int
    ours: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    theirs: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    check: list[float] = field(default_factory=list[float])


def _functional() -> Any:
    return torch.nn.functional


def _pairs(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal(n), rng.standard_normal(n)


def _labelled(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal(n), rng.integers(2, size=n).astype(np.float64)


def _softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _distributions(k: int) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    def draw(rng: np.random.Generator, numbers: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (numbers // k, k)
        return np.log(_softmax(rng.standard_normal(shape))), _softmax(rng.standard_normal(shape))

    return draw


def _indexed(k: int, dtype: type) -> Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]:
    def draw(rng: np.random.Generator, numbers: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.standard_normal((numbers // k, k), dtype=dtype), rng.integers(k, size=numbers // k)

    return draw


def _cases() -> Iterator[Case]:
    yield Case("mean_squared_error", {}, _pairs, lambda x, y: _functional().mse_loss(x, y, reduction="none"))
    yield Case("huber", {}, _pairs, lambda x, y: _functional().huber_loss(x, y, reduction="none"))
    yield Case(
        "binary_cross_entropy",
        {"from_logits": True},
        _labelled,
        lambda x, y: _functional().binary_cross_entropy_with_logits(x, y, reduction="none"),
    )
    for k in (10, 100):
        yield Case(
            "kl_divergence",
            {"input_format": "log_probabilities"},
            _distributions(k),
            lambda x, y: _functional().kl_div(x, y, reduction="none").sum(1),
            k,
        )
    for single in (False, True):
        for k in (3, 10, 100, 1000):
            yield Case(
                "categorical_cross_entropy",
                {"from_logits": True},
                _indexed(k, np.float32 if single else np.float64),
                lambda x, y: _functional().cross_entropy(x, y, reduction="none"),
                k,
                single,
            )


def measure(case: Case, numbers: int, rounds: int) -> Timed:
    """Both sides in turn, with each number of threads, round after round."""
    predictions, targets = case.draw(np.random.default_rng(0), numbers)
    loss = LOSSES[case.loss]
    widened = targets.astype(np.float64, copy=False)
    batch = check(loss, case.parameters, predictions, widened)
    timed = Timed(case.name, case.loss, case.k, case.single, numbers)
    ours = lambda: cast(float, evaluate(batch).value)  # noqa: E731
    theirs = _in_torch(case, predictions, targets) if torch else None
    if theirs is not None and abs(ours() - theirs()) > 1e-4 * abs(ours()):
        raise RuntimeError(f"{case.name}: {ours()} here, {theirs()} in PyTorch")
    for _ in range(rounds):
        timed.check += _seconds(lambda: check(loss, case.parameters, predictions, widened), 1)
        for threads in THREADS:
            use_threads(threads)
            timed.ours.setdefault(threads, []).extend(_seconds(ours, REPEATS.get(numbers, 1)))
            if theirs is not None:
                torch.set_num_threads(threads)
                timed.theirs.setdefault(threads, []).extend(_seconds(theirs, REPEATS.get(numbers, 1)))
    return timed


def _in_torch(case: Case, predictions: np.ndarray, targets: np.ndarray) -> Callable[[], float]:
    x, y = torch.from_numpy(predictions).requires_grad_(), torch.from_numpy(targets)

    def forward_and_backward() -> float:
        x.grad = None
        value = case.theirs(x, y).mean()
        value.backward()
        return value.item()

    return forward_and_backward


def _seconds(work: Callable[[], object], repeats: int) -> list[float]:
    time.sleep(PAUSE)
    seconds: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


def main(rounds: int, sizes: list[int]) -> None:
    for numbers in sizes:
        for case in _cases():
            print(f"{case.name}: {numbers:.0e} numbers", file=sys.stderr, flush=True)
            print(json.dumps(asdict(measure(case, numbers, rounds))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(number) for number in sys.argv[2:]])
