"""The textbook formulas of losses that compare sets: samples of a generator, rewards of a batch, members of an ensemble."""

from collections.abc import Sequence
from typing import Any

from tests.losses.exact import Exact, absolute, exp, log, log1p_exp, mean_of, sqrt, total_of
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


# --- two sets of samples --------------------------------------------------------------------------------------------


def mean_over(one: Sequence[Row], other: Sequence[Row], cost: Any, pairs: int) -> Exact:
    return total_of(cost(a, b) for a in one for b in other) / pairs


@oracle
@of_batch
def energy_distance(p: Sequence[Row], y: Sequence[Row]) -> list[Exact]:
    n = len(p)
    own = mean_over(p, p, length, n**2) + mean_over(y, y, length, n**2)
    return [2 * mean_over(p, y, length, n**2) - own] * n


@oracle
@of_batch
@tried({}, {"bandwidth": 0.5}, {"unbiased": True, "bandwidth": 3.0})
def mmd(p: Sequence[Row], y: Sequence[Row], bandwidth: Any = 1, unbiased: bool = False) -> list[Exact]:
    def bell(a: Row, b: Row) -> Exact:
        return exp(-total_of((one - other) ** 2 for one, other in zip(a, b, strict=True)) / (2 * bandwidth**2))

    n = len(p)
    own = mean_over(p, p, bell, 1) + mean_over(y, y, bell, 1)
    own = (own - 2 * n) / (n * (n - 1)) if unbiased else own / n**2
    return [own - 2 * mean_over(p, y, bell, n**2)] * n


@oracle
@of_batch
@tried({"iterations": 2}, {"iterations": 1, "epsilon": 1.0}, {"iterations": 2, "debias": False})
def sinkhorn(p: Sequence[Row], y: Sequence[Row], epsilon: Any = 0.1, iterations: int = 50, debias: bool = True) -> list[Exact]:
    def moved(one: Sequence[Row], other: Sequence[Row]) -> Exact:
        costs = [[total_of((a - b) ** 2 for a, b in zip(x, z, strict=True)) / 2 for z in other] for x in one]
        turned = [list(column) for column in zip(*costs, strict=True)]
        f, g = [Exact(0)] * len(one), [Exact(0)] * len(other)
        for _ in range(iterations):
            g = [least(f, row, epsilon) for row in turned]
            f = [least(g, row, epsilon) for row in costs]
        return mean_of(f) + mean_of(g)

    value = moved(p, y) - (moved(p, p) + moved(y, y)) / 2 if debias else moved(p, y)
    return [value] * len(p)


def least(paid: Row, costs: Row, epsilon: Any) -> Exact:
    """The smooth minimum of what is left to pay."""
    top = max((one - cost).value for one, cost in zip(paid, costs, strict=True))
    return -epsilon * log(mean_of([exp((one - cost - top) / epsilon) for one, cost in zip(paid, costs, strict=True)])) - top
