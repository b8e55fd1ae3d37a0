"""python -m tests.insight.simulate_coverage: how often the intervals of an analysis hold the true value, by simulation.

Too long for the suite; what it said last stands in docs/decisions/intervals.md.
"""

import math
import sys
from collections.abc import Callable

import numpy as np

from app.insight.intervals import Asked, error_bar
from app.insight.labels import Labels
from app.insight.measured import measure
from tests.insight.made import batch

Draw = Callable[[np.random.Generator, int], np.ndarray]
LOSSES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, n: rng.normal(10, 1, n), 10.0),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "squared normal": (lambda rng, n: rng.normal(size=n) ** 2, 1.0),
    "lognormal": (lambda rng, n: rng.lognormal(size=n), math.exp(0.5)),
    "30 + t, 3 degrees": (lambda rng, n: np.abs(30 + rng.standard_t(3, n)), 30.0),
    "absolute t, 3 degrees": (lambda rng, n: np.abs(rng.standard_t(3, n)), 2 * math.sqrt(3) / math.pi),
    "Pareto, 2.5": (lambda rng, n: rng.pareto(2.5, n), 1 / 1.5),
    "0 or 1, 30 %": (lambda rng, n: (rng.random(n) < 0.3) * 1.0, 0.3),
}
"""Losses, and their mean."""
SIZES = {20: 2000, 50: 3000, 200: 2000, 1000: 1000}
"""Samples, and how many batches of them."""


FOUND: tuple[str, ...] = ("t", "percentile", "bca", "note")


def share_held(draw: Draw, mean: float, n: int, batches: int, clusters: int = 0) -> dict[str, float]:
    """How often each interval of 95 % holds the mean, and how often there is a note."""
    rng, asked = np.random.default_rng(0), Asked(resamples=600)
    held = dict.fromkeys(FOUND, 0.0)
    for _ in range(batches):
        labels = None
        losses = draw(rng, n)
        if clusters:
            codes = np.arange(n) * clusters // n
            losses = losses + draw(rng, clusters)[codes]
            labels = Labels(tuple(range(clusters)), codes, ("clusters",))
        interval = error_bar(measure(batch("mean_absolute_error", losses, np.zeros(n))), labels, asked).interval
        for name in ("t", "percentile", "bca"):
            low, high = getattr(interval, name) or (math.nan, math.nan)
            held[name] += (low <= mean <= high) / batches
        held["note"] += (interval.note is not None) / batches
    return held


def main() -> None:
    print("| losses | n | t | percentile | bca | with a note |\n|---|--:|--:|--:|--:|--:|")
    for name, (draw, mean) in LOSSES.items():
        for n, batches in SIZES.items():
            row(name, n, share_held(draw, mean, n, batches))
    for clusters in (10, 40):
        draw, mean = LOSSES["normal"]
        row(f"normal, {clusters} clusters", 200, share_held(draw, 2 * mean, 200, 2000, clusters))


def row(name: str, n: int, held: dict[str, float]) -> None:
    print(f"| {name} | {n} | {' | '.join(f'{100 * share:.1f} %' for share in held.values())} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
