"""Small runs for tests: things by their name, tables of few rows, and every loss that trains with targets of its own."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.losses import LOSSES
from app.training import METRICS, MODELS, OPTIMIZERS, SCHEDULES, Chosen, Holdout, Plan, Run, Table, fit, prepare, start
from app.training.learners import State
from app.training.network import Network
from app.training.objective import is_of_one, trainable
from tests.losses.drawing import Case, cases

Array = NDArray[np.float64]


NONE = Holdout(fraction=None)


def loss(name: str, **parameters: Any) -> Chosen:
    return Chosen(LOSSES[name], parameters)


def model(name: str, **parameters: Any) -> Chosen:
    return Chosen(MODELS[name], parameters)


def mlp(*hidden: int, **parameters: Any) -> Chosen:
    return model("mlp", hidden=list(hidden or (4,)), **parameters)


def optimizer(name: str, **parameters: Any) -> Chosen:
    return Chosen(OPTIMIZERS[name], parameters)


def schedule(name: str, **parameters: Any) -> Chosen:
    return Chosen(SCHEDULES[name], parameters)


def metric(name: str, **parameters: Any) -> Chosen:
    return Chosen(METRICS[name] if name in METRICS else LOSSES[name], parameters)


def inputs(n: int = 40, d: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng([seed, 10]).normal(size=(n, d))


def regression(n: int = 40, d: int = 3, seed: int = 0) -> Table:
    """A bent function of the inputs, and noise."""
    rows = inputs(n, d, seed)
    noise = np.random.default_rng([seed, 11]).normal(0.0, 0.1, n)
    return Table(rows, rows[:, 0] + np.abs(rows[:, 1]) + noise)


def classes(n: int = 40, d: int = 3, k: int = 3, seed: int = 0) -> Table:
    """Class indices: which of k directions the row points along most."""
    rows = inputs(n, d, seed)
    directions = np.random.default_rng([seed, 12]).normal(size=(d, k))
    labels = (rows @ directions).argmax(axis=1)
    labels[:k] = np.arange(k)
    return Table(rows, labels.astype(np.float64))


def plan(data: Table | None = None, **changes: Any) -> Plan:
    """Regression by a small network, without validation rows; whatever the caller changes of it."""
    usual = Plan(
        data=data or regression(),
        model=mlp(4),
        loss=loss("mean_squared_error"),
        optimizer=optimizer("adam", learning_rate=0.01),
        validation=NONE,
        epochs=5,
        batch_size=8,
    )
    return replace(usual, **changes)


def trained(run: Run) -> State:
    """The state at the end of the run."""
    state = start(run)
    for _ in fit(run, state):
        pass
    return state


def penalty(run: Run, weights: Array) -> float:
    """l1·Σ|w| + l2·Σw², without the biases."""
    assert isinstance(run.model, Network)
    kept = np.concatenate([array.ravel() for name, array in run.model.named(weights).items() if "weights" in name])
    return run.plan.l1 * float(np.abs(kept).sum()) + run.plan.l2 * float((kept**2).sum())


def end(**changes: Any) -> State:
    return trained(prepare(plan(**changes)))


@cache
def training_cases() -> tuple[Case, ...]:
    """Every loss that trains, in every setting, with targets that its own encoding draws: one row per sample at most."""
    return tuple(
        case
        for case in cases()
        if trainable(case.loss)
        and is_of_one(case.loss)
        and max(array.ndim for array in case.draw().values()) <= 2
        and not (case.d and case.batch().mean.by_column)
    )


def default_training_cases() -> list[Case]:
    return [case for case in training_cases() if not case.parameters]


def targets(case: Case, n: int = 8, seed: int = 0) -> Array:
    return case.draw(n, seed)["targets"]


def each_seed(count: int) -> Iterator[np.random.Generator]:
    return (np.random.default_rng(seed) for seed in range(count))
