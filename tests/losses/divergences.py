"""The textbook formulas of divergences."""

from typing import Any

from tests.losses.exact import Exact, absolute, log, softmax, sqrt, total_of, xlogy
from tests.losses.oracle import Row, oracle, tried


@oracle
def jensen_shannon_divergence(q: Row, p: Row) -> Exact:
    return generalized_jensen_shannon(q, p)


@oracle
@tried({}, {"beta": 0.1}, {"beta": 0.9})
def generalized_jensen_shannon(q: Row, p: Row, beta: Any = 0.5) -> Exact:
    m = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * divergence(p, m) + (1 - beta) * divergence(q, m)


def divergence(p: Row, m: Row) -> Exact:
    return total_of(a * log(a / b) for a, b in zip(p, m, strict=True) if b > 0)


def power_sum(q: Row, p: Row, alpha: Any) -> Exact:
    return total_of(a**alpha * b ** (1 - alpha) for a, b in zip(p, q, strict=True) if a > 0)


ORDERS = ({}, {"alpha": 0.3}, {"alpha": 3.0})


@oracle
@tried(*ORDERS)
def renyi_divergence(q: Row, p: Row, alpha: Any = 2) -> Exact:
    return log(power_sum(q, p, alpha)) / (alpha - 1)


@oracle
@tried(*ORDERS)
def alpha_divergence(q: Row, p: Row, alpha: Any = 0.5) -> Exact:
    return (power_sum(q, p, alpha) - 1) / (alpha * (alpha - 1))


@oracle
def total_variation_distance(q: Row, p: Row) -> Exact:
    return total_of(absolute(a - b) for a, b in zip(p, q, strict=True)) / 2


@oracle
def hellinger_distance(q: Row, p: Row, squared: bool = False) -> Exact:
    inner = total_of(b / 2 if a == 0 else (a + b - 2 * b ** Exact(0.5) * a ** Exact(0.5)) / 2 for a, b in zip(p, q, strict=True))
    return inner if squared else sqrt(inner)


def running(q: Row, p: Row) -> Row:
    gaps = [b - a for a, b in zip(p, q, strict=True)]
    return [total_of(gaps[: index + 1]) for index in range(len(gaps) - 1)]


@oracle
def wasserstein_1d(q: Row, p: Row, squared: bool = False) -> Exact:
    return total_of(number**2 if squared else absolute(number) for number in running(q, p))


@oracle
def generalized_kl_divergence(q: Row, p: Row) -> Exact:
    return total_of(xlogy(a, a / b) - a + b for a, b in zip(p, q, strict=True))


@oracle
def itakura_saito_divergence(q: Row, p: Row) -> Exact:
    return total_of(a / b - log(a / b) - 1 for a, b in zip(p, q, strict=True))


@oracle
@tried(*({"beta": beta} for beta in (0.5, 0.0, 1.0, 2.0, 1.5, -1.0, 3.0)))
def beta_divergence(q: Row, p: Row, beta: Any = 0.5) -> Exact:
    if beta == 0:
        return itakura_saito_divergence(q, p)
    if beta == 1:
        return generalized_kl_divergence(q, p)
    parts = zip(p, q, strict=True)
    return total_of(a**beta / (beta * (beta - 1)) + b**beta / beta - a * b ** (beta - 1) / (beta - 1) for a, b in parts)


@oracle
@tried({}, {"temperature": 1.0}, {"temperature": 0.5}, {"temperature": 50.0})
def knowledge_distillation(x: Row, y: Row, temperature: Any = 2) -> Exact:
    student, teacher = (softmax([number / temperature for number in row]) for row in (x, y))
    return temperature**2 * total_of(q * (log(q) - log(p)) for q, p in zip(teacher, student, strict=True))
