"""Boosted trees of the service against scikit-learn's HistGradientBoosting: held-out score and CPU time of the whole call.

`python -m bench.trees SEEDS` does it under the settings of the server and with one thread, in turn on the same rows, and prints
what it measured as JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.training import TrainRequest, train
from app.settings import Settings
from bench.processes import running

TREES, DEPTH, RATE, LEAF, QUANTILE = 100, 3, 0.1, 20, 0.9
HELD_OUT = 0.25
SEEDS = 5
BEST = 3
"""Runs on each split, in turn."""
LIMIT, CALL = 1.5, 0.1
"""Times theirs that the whole call may take, beyond so many seconds for the call itself."""
LOG_LOSS, PINBALL, R2 = "log loss", "pinball loss", "r2"
SETTINGS = Settings()
"""Read once, as by the server when it starts."""
Array = NDArray[np.float64]
Rows = tuple[Array, Array]


@dataclass(frozen=True)
class Task:
    """Rows, the loss by both names, and what is scored."""

    rows: Callable[[int], Rows]
    """seed -> inputs and targets."""
    loss: Mapping[str, Any]
    theirs: Mapping[str, Any]
    """Parameters of the library's model."""
    score: str


@dataclass
class Race:
    """Of each seed the score and the seconds of both."""

    task: str
    score: str
    ours: list[float] = field(default_factory=list[float])
    theirs: list[float] = field(default_factory=list[float])
    our_seconds: list[float] = field(default_factory=list[float])
    their_seconds: list[float] = field(default_factory=list[float])

    @property
    def higher(self) -> bool:
        return self.score == R2

    @property
    def worse(self) -> float:
        """By how much ours is worse than theirs, on the mean of the seeds."""
        difference = float(np.mean(self.theirs) - np.mean(self.ours))
        return difference if self.higher else -difference

    @property
    def noise(self) -> float:
        """The standard error of their mean over the seeds."""
        return float(np.std(self.theirs, ddof=1) / np.sqrt(len(self.theirs))) if len(self.theirs) > 1 else float("inf")

    @property
    def ratio(self) -> float:
        """Of the times, the medians of the seeds, without what the call itself may take."""
        return float((np.median(self.our_seconds) - CALL) / np.median(self.their_seconds))

    @property
    def holds(self) -> bool:
        """Whether the row is as good as theirs within noise, and takes at most LIMIT times as long."""
        return self.worse <= self.noise and self.ratio <= LIMIT

    @property
    def row(self) -> list[str]:
        """Of the table: scores with their noise, seconds, ratio, and whether both limits hold."""
        return [
            f"{self.task} ({self.score})",
            f"{np.mean(self.ours):.4f}",
            f"{np.mean(self.theirs):.4f} ± {self.noise:.4f}",
            f"{np.median(self.our_seconds):.3f}",
            f"{np.median(self.their_seconds):.3f}",
            f"{self.ratio:.2f}",
            "yes" if self.holds else "**no**",
        ]


# --- what is raced on ---------------------------------------------------------------------------------------------------------


def _loaded(name: str, seed: int) -> Rows:
    inputs, targets = getattr(import_module("sklearn.datasets"), f"load_{name}")(return_X_y=True)
    return np.asarray(inputs, np.float64), np.asarray(targets, np.float64)


def _made(name: str, seed: int, **parameters: Any) -> Rows:
    inputs, targets = getattr(import_module("sklearn.datasets"), f"make_{name}")(random_state=seed, **parameters)
    return np.asarray(inputs, np.float64), np.asarray(targets, np.float64)


TWO, SEVERAL = ({"name": name, "from_logits": True} for name in ("binary_cross_entropy", "categorical_cross_entropy"))
FRIEDMAN_1000, FRIEDMAN_4000 = (partial(_made, "friedman1", n_samples=n, noise=1.0) for n in (1000, 4000))
AT_09: dict[str, Any] = {"loss": {"name": "quantile", "quantile": QUANTILE}, "theirs": {"loss": "quantile", "quantile": QUANTILE}}
ABSOLUTE: dict[str, Any] = {"loss": {"name": "mean_absolute_error"}, "theirs": {"loss": "absolute_error"}}
SQUARED: dict[str, Any] = {"loss": {"name": "mean_squared_error"}, "theirs": {"loss": "squared_error"}}
CLASSIFICATION = partial(_made, "classification", n_samples=4000, n_features=20, n_informative=10)
TASKS: Mapping[str, Task] = {
    "breast_cancer": Task(partial(_loaded, "breast_cancer"), TWO, {}, LOG_LOSS),
    "circles": Task(partial(_made, "circles", n_samples=1000, noise=0.2, factor=0.7), TWO, {}, LOG_LOSS),
    "digits": Task(partial(_loaded, "digits"), SEVERAL, {}, LOG_LOSS),
    "classification, 10 informative": Task(CLASSIFICATION, TWO, {}, LOG_LOSS),
    "wine": Task(partial(_loaded, "wine"), SEVERAL, {}, LOG_LOSS),
    "quantile 0.9, friedman1 4000": Task(FRIEDMAN_4000, **AT_09, score=PINBALL),
    "quantile 0.9, friedman1 1000": Task(FRIEDMAN_1000, **AT_09, score=PINBALL),
    "mae, diabetes": Task(partial(_loaded, "diabetes"), **ABSOLUTE, score=R2),
    "mse, diabetes": Task(partial(_loaded, "diabetes"), **SQUARED, score=R2),
    "mse, friedman1 1000": Task(FRIEDMAN_1000, **SQUARED, score=R2),
    "mse, friedman1 4000": Task(FRIEDMAN_4000, **SQUARED, score=R2),
}


# --- the race -----------------------------------------------------------------------------------------------------------------


def ours(task: Task, training: Rows, held_out: Rows) -> tuple[float, float]:
    """From the request to the answer of /v1/train, with both losses after every tree and the diagnosis: score and seconds."""
    began = time.process_time()
    request = TrainRequest.model_validate(
        {
            "data": {"inputs": training[0], "targets": training[1]},
            "validation": {"inputs": held_out[0], "targets": held_out[1]},
            "model": {"name": "boosted_trees", "learning_rate": RATE, "max_depth": DEPTH, "min_samples_leaf": LEAF},
            "loss": dict(task.loss),
            "standardize": {"targets": False},
            "epochs": TREES,
            "metrics": ["r2"] if task.score == R2 else [],
        },
        context=SETTINGS,
    )
    *_, end = train(request)
    seconds = time.process_time() - began
    answer: Any = end.data
    final = answer["final"]
    return (final["metrics"]["r2"]["validation"] if task.score == R2 else final["validation_loss"]), seconds


def theirs(task: Task, training: Rows, held_out: Rows) -> tuple[float, float]:
    """Fit, and predictions for both kinds of rows."""
    ensemble: Any = import_module("sklearn.ensemble")
    metrics: Any = import_module("sklearn.metrics")
    settings: dict[str, Any] = {
        "max_iter": TREES,
        "max_depth": DEPTH,
        "learning_rate": RATE,
        "min_samples_leaf": LEAF,
        "max_leaf_nodes": None,
        "early_stopping": False,
    }
    classes = task.score == LOG_LOSS
    began = time.process_time()
    kind = ensemble.HistGradientBoostingClassifier if classes else ensemble.HistGradientBoostingRegressor
    model = kind(**settings, **task.theirs).fit(*training)
    predicted = [model.predict_proba(rows) if classes else model.predict(rows) for rows in (training[0], held_out[0])][1]
    seconds = time.process_time() - began
    if classes:
        return float(metrics.log_loss(held_out[1], predicted, labels=model.classes_)), seconds
    if task.score == PINBALL:
        return float(metrics.mean_pinball_loss(held_out[1], predicted, alpha=QUANTILE)), seconds
    return float(metrics.r2_score(held_out[1], predicted)), seconds


def race(seeds: int = SEEDS) -> list[Race]:
    """Every task on each split, both in turn; the first split warms up, and of BEST runs on each the fastest counts."""
    split: Any = import_module("sklearn.model_selection").train_test_split
    races: list[Race] = []
    for number, (name, task) in enumerate(TASKS.items()):
        print(f"trees: {name}", file=sys.stderr, flush=True)
        raced = Race(name, task.score)
        for seed in range(-1 if number == 0 else 0, seeds):
            inputs, targets = task.rows(max(seed, 0))
            stratify = targets if task.score == LOG_LOSS else None
            x, held_x, y, held_y = split(inputs, targets, test_size=HELD_OUT, random_state=max(seed, 0), stratify=stratify)
            runs = [[run(task, (x, y), (held_x, held_y)) for run in (ours, theirs)] for _ in range(BEST)]
            if seed >= 0:
                (score, _), (other, _) = runs[0]
                raced.ours.append(score)
                raced.theirs.append(other)
                raced.our_seconds.append(min(mine[1] for mine, _ in runs))
                raced.their_seconds.append(min(others[1] for _, others in runs))
        races.append(raced)
    return races


def measured(seeds: int) -> list[Race]:
    """Everything that `python -m bench.trees SEEDS` says."""
    with running(["-m", "bench.trees", str(seeds)]) as process:
        assert process.stdout
        output = process.stdout.read()
        if process.wait():
            raise RuntimeError("boosted trees could not be measured")
    return [Race(**fields) for fields in json.loads(output)]


def main() -> None:
    races = race(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
    print(json.dumps([asdict(raced) for raced in races]))
    for raced in races:
        print("| " + " | ".join(raced.row) + " |", file=sys.stderr)


if __name__ == "__main__":
    main()
