"""The textbook formulas of losses that compare sets: samples of a generator, rewards of a batch, members of an ensemble."""

from collections.abc import Sequence
from typing import Any

from tests.losses.exact import Exact, absolute, log1p_exp, mean_of, sqrt, total_of
from tests.losses.oracle import Row, of_batch, oracle, tried

# --- generators -----------------------------------------------------------------------------------------------------


@oracle
def wgan(s: Exact, y: Exact) -> Exact:
    return -y * s


@oracle
def minimax_gan(s: Exact) -> Exact:
    return -log1p_exp(s)


@oracle
@of_batch
def relativistic_average_gan(real: Sequence[Exact], fake: Sequence[Exact]) -> list[Exact]:
    best, worst = mean_of(real), mean_of(fake)
    return [(log1p_exp(worst - s) + log1p_exp(t - best)) / 2 for s, t in zip(real, fake, strict=True)]


# --- rewards in their order -----------------------------------------------------------------------------------------


@oracle
@of_batch
@tried({}, {"label_smoothing": 0.2}, {"paired": False}, {"paired": False, "beta": 1.0})
def aot(
    chosen: Sequence[Exact],
    rejected: Sequence[Exact],
    reference_chosen: Sequence[Exact],
    reference_rejected: Sequence[Exact],
    beta: Any = 0.1,
    label_smoothing: Any = 0,
    paired: bool = True,
) -> list[Exact]:
    pairs = (
        (chosen, rejected, reference_chosen, reference_rejected)
        if paired
        else (chosen, reference_chosen, rejected, reference_rejected)
    )
    own, other = ([a - b for a, b in zip(*sides, strict=True)] for sides in (pairs[:2], pairs[2:]))
    order = sorted(range(len(own)), key=lambda index: own[index].value)
    against = sorted(other, key=lambda number: number.value)
    losses = [Exact(0)] * len(own)
    for place, index in enumerate(order):
        z = beta * (own[index] - against[place])
        losses[index] = (1 - label_smoothing) * log1p_exp(-z) + label_smoothing * log1p_exp(z)
    return losses


# --- ensembles of vectors -------------------------------------------------------------------------------------------


def length(a: Row, b: Row) -> Exact:
    return sqrt(total_of((one - other) ** 2 for one, other in zip(a, b, strict=True)))


@oracle
def energy_score(ensemble: Sequence[Row], y: Row, estimator: str = "nrg") -> Exact:
    k = len(ensemble)
    apart = total_of(length(one, other) for one in ensemble for other in ensemble)
    return total_of(length(member, y) for member in ensemble) / k - apart / (2 * k * (k - 1 if estimator == "fair" else k))


def raised(x: Exact, p: Exact) -> Exact:
    return absolute(x) ** p if x != 0 else Exact(0)


@oracle
@tried({}, {"p": 1.0}, {"p": 2.0}, {"p": 0.7})
def variogram_score(ensemble: Sequence[Row], y: Row, p: Any = 0.5) -> Exact:
    pairs = [(i, j) for i in range(len(y)) for j in range(len(y))]
    return total_of(
        (raised(y[i] - y[j], p) - mean_of([raised(member[i] - member[j], p) for member in ensemble])) ** 2 for i, j in pairs
    )
