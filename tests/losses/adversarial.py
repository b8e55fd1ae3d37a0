"""How many digits are right: the share of values and derivatives within 4 ULP, at points drawn to lose them.

Ordinary points have sizes around 1, extreme ones any size that float64 has. In a third of the samples predictions and
targets nearly agree, to anything between one bit and all of them: logits and labels in their probabilities.

    python -m tests.losses.adversarial [SAMPLES [SEED [LOSS...]]]

prints a line for each loss; `test_adversarial.py` holds the shares of a short run against their floor.
"""

import math
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domains import Boxes, Domain, Simplex
from app.losses import LOSSES
from app.losses.inputs import Encoding, Sizes
from app.losses.parameters import lists_of
from tests.losses.drawing import meant, more_digits, normalised
from tests.losses.exact import BEYOND, ulps
from tests.losses.oracles import K
from tests.losses.test_values import OF_ROWS, SETTINGS, ULP, Setting, compared

Array = NDArray[Any]

REACH = 800.0
"""The largest number worth drawing where it stands for the logarithm of another: beyond, all exponentials are 0 or infinite."""
HEAVY = {"ctc"}
"""Losses of which a sample is a matrix: one in four is enough."""


@dataclass
class Tally:
    """Numbers of one kind: how many, how many of them right, the worst and those not finite where the truth is."""

    numbers: int = 0
    right: int = 0
    lost: int = 0
    worst: float = 0.0
    where: str = ""

    def count(self, error: float, finite: bool, where: str) -> None:
        self.numbers += 1
        self.right += error <= ULP
        self.lost += not finite
        if error > self.worst:
            self.worst, self.where = error, where

    @property
    def share(self) -> float:
        return self.right / self.numbers if self.numbers else 1.0

    def __add__(self, other: "Tally") -> "Tally":
        worst = max(self, other, key=lambda tally: tally.worst)
        return Tally(self.numbers + other.numbers, self.right + other.right, self.lost + other.lost, worst.worst, worst.where)


KINDS = tuple((what, extreme) for what in ("value", "gradient") for extreme in (False, True))


def measure(setting: Setting, samples: int, seed: int) -> dict[tuple[str, bool], Tally]:
    """The tallies of one loss under one setting, over so many samples of each kind."""
    tallies = {kind: Tally() for kind in KINDS}
    for extreme in (False, True):
        rng = np.random.default_rng([seed, extreme, zlib.crc32(str(setting).encode())])
        for batch in batches(setting, samples, extreme, rng):
            for number in compared(setting, batch, second=False):
                error = 0.0 if number.error == 0.0 else ulps(number.got, number.true)
                finite = math.isfinite(number.got) or not abs(number.true) < BEYOND or number.error == 0.0
                what = "value" if number.what.startswith("value") else "gradient"
                tallies[what, extreme].count(error, finite, str(replace(number, error=error, what=f"{setting} {number.what}")))
    return tallies


def batches(setting: Setting, samples: int, extreme: bool, rng: np.random.Generator) -> Iterator[tuple[Array, ...]]:
    """Batches of so many samples in all, their labels hard and, where the loss takes them, soft."""
    loss = LOSSES[setting.name]
    parameters = {**loss.defaults, **setting.parameters}
    encodings = {name: taken.decide(parameters, setting.rank) for name, taken in loss.inputs.items()}
    soft = setting.parameters.get("ignore_index") is None and any(encoding.soft for encoding in encodings.values())
    samples = max(1, samples // 4) if setting.name in HEAVY else samples
    rows = samples if loss.coupling != "batch" else min(samples, 6)
    per_sample = [len(numbers) for per, numbers in lists_of(loss.parameters, parameters).values() if per.what == "sample"]
    for softened in (False, True) if soft else (False,):
        for _ in range(max(1, samples // rows)):
            sizes = Sizes(
                max(per_sample, default=max(2, rows // (2 if soft else 1))),
                K,
                (K,) if setting.rank == 2 and setting.name not in OF_ROWS else (),
            )
            drawn = [points(encoding, sizes, softened, extreme, rng) for encoding in encodings.values()]
            approach(list(encodings.values()), drawn, softened, rng)
            if loss.coupling == "batch" and next(iter(encodings.values())).name == "embedding":
                # embeddings are meant to have length 1; they lose digits where they are nearly parallel
                spread = 2.0 ** -rng.uniform(0.0, 50.0) if extreme else 1.0
                drawn[0] = normalised(rng.standard_normal(drawn[0].shape[1]) + spread * rng.standard_normal(drawn[0].shape))
            yield tuple(drawn)


def points(encoding: Encoding, sizes: Sizes, softened: bool, extreme: bool, rng: np.random.Generator) -> Array:
    """Numbers of an encoding, of every size where they are extreme."""
    drawn = np.asarray(encoding.draw(rng, sizes), np.float64)
    if softened and encoding.soft is not None:
        if encoding.soft.of_rows:
            return shares((sizes.n, sizes.k), extreme, rng)
        return np.where(rng.random(drawn.shape) < 0.2, drawn, within(encoding.soft, rng.random(drawn.shape), extreme, rng))
    domain = encoding.domain
    if domain.discrete:
        return drawn
    if isinstance(domain, Simplex):
        rows = shares(drawn.shape, extreme, rng)
        return np.log(np.maximum(rows, 1e-300)) if domain.logarithms else rows
    if isinstance(domain, Boxes):
        corner, size = (wide(rng, (sizes.n, 2), extreme, 8.0 if extreme else 1.0) for _ in range(2))
        size = np.abs(size)
        return np.concatenate([corner, size if domain.sized else corner + size], axis=1)
    # beyond 2^±200, the squares of one component of a vector are no longer float64 beside those of another
    octaves = (8.0, 60.0, 200.0) if "d" in encoding.axes[0].split() else (8.0, 60.0, 300.0, 1000.0)
    numbers = within(domain, more_digits(encoding, drawn, rng), extreme, rng, octaves)
    if not extreme or encoding.link is None:
        return numbers
    return np.where(np.abs(numbers) < REACH, numbers, rng.uniform(-REACH, REACH, drawn.shape))


def within(
    domain: Domain, drawn: Array, extreme: bool, rng: np.random.Generator, octaves: Sequence[float] = (8.0, 60.0)
) -> Array:
    """The numbers drawn, or as wide as the domain is, by so many octaves."""
    if not extreme:
        return domain.nearest(drawn)
    spread = wide(rng, drawn.shape, True, rng.choice(octaves, (len(drawn), *(1,) * (drawn.ndim - 1))))
    if math.isfinite(domain.span.low) and math.isfinite(domain.span.high):  # near both ends
        small = 2.0 ** -rng.uniform(0.0, 1060.0 if rng.random() < 0.3 else 60.0, drawn.shape)
        return domain.nearest(np.where(rng.random(drawn.shape) < 0.5, domain.span.low + small, domain.span.high - small))
    return domain.nearest(np.abs(spread) if domain.span.low >= 0.0 else spread)


def wide(rng: np.random.Generator, shape: tuple[int, ...], extreme: bool, octaves: float | Array) -> Array:
    """Numbers of either sign whose sizes span so many octaves each way; ordinary ones are normal."""
    normal = rng.standard_normal(shape)
    return np.ldexp(normal, np.rint(octaves * rng.uniform(-1.0, 1.0, shape)).astype(int)) if extreme else normal


def shares(shape: tuple[int, ...], extreme: bool, rng: np.random.Generator) -> Array:
    rows = rng.gamma(0.05 if extreme else 1.0, size=shape) + 1e-300
    return rows / rows.sum(axis=-1, keepdims=True)


def approach(encodings: Sequence[Encoding], drawn: list[Array], softened: bool, rng: np.random.Generator) -> None:
    """Every third sample: what comes later within 1 to 53 bits of the first array, or of the probabilities that it means."""
    first, n = drawn[0], len(drawn[0])
    near = np.arange(n) % 3 == 0
    for index in range(1, len(drawn)):
        encoding = encodings[index]
        domain = encoding.soft if softened and encoding.soft is not None else encoding.domain
        if domain.discrete or drawn[index].shape != first.shape:
            continue
        goal = meant(encodings[0], first, domain)
        if goal is None:
            continue
        bits = rng.uniform(1.0, 54.0, (n, *(1,) * (first.ndim - 1)))
        moved = goal * (1.0 + 2.0**-bits * rng.uniform(-1.0, 1.0, first.shape))
        moved = np.minimum(moved, 0.0) if domain.span.high == 0.0 else domain.nearest(moved)
        drawn[index] = np.where(near.reshape(-1, *(1,) * (first.ndim - 1)), moved, drawn[index])


def totals(tallies: Iterable[dict[tuple[str, bool], Tally]]) -> dict[tuple[str, bool], Tally]:
    total = {kind: Tally() for kind in KINDS}
    for tallied in tallies:
        total = {kind: total[kind] + tallied[kind] for kind in KINDS}
    return total


def row(name: str, tallies: dict[tuple[str, bool], Tally]) -> str:
    shown = "  ".join(f"{100 * tally.share:8.3f} {tally.worst:8.1e} {tally.lost:3d}" for tally in tallies.values())
    return f"{name[:36]:36s} {sum(tally.numbers for tally in tallies.values()):8d}  {shown}"


def main(samples: int, seed: int, names: Sequence[str]) -> None:
    heads = "  ".join(f"{what + (' extreme' if extreme else ''):>21s}" for what, extreme in KINDS)
    print(f"{'share within 4 ULP, worst, lost':36s} {'numbers':>8s}  {heads}")
    measured = {
        name: totals(measure(setting, samples, seed) for setting in SETTINGS if setting.name == name) for name in names or LOSSES
    }
    for name, tallies in measured.items():
        print(row(name, tallies))
    total = totals(measured.values())
    print(row("all", total))
    for name, tallies in measured.items():
        for kind, tally in tallies.items():
            if tally.share < 1.0:
                print(f"{name} {kind}: {tally.numbers - tally.right} of {tally.numbers}; {tally.where[:700]}")


if __name__ == "__main__":
    samples, seed = (int(word) for word in (*sys.argv[1:3], *("30", "0")[len(sys.argv[1:3]) :]))
    main(samples, seed, sys.argv[3:])
