"""The textbook formulas of further losses of one class among several, of grades and of several labels at once."""

from typing import Any

from tests.losses.exact import Exact, exp, largest, log, sigmoid, softmax, total_of
from tests.losses.oracle import Row, oracle, tried


@oracle
@tried({}, {"epsilon": -0.9}, {"epsilon": 5.45})
def poly_cross_entropy(x: Row, y: int, epsilon: Any = 2) -> Exact:
    p = softmax(x)[y]
    return -log(p) + epsilon * (1 - p)


@oracle
@tried({}, {"alpha": 1.0, "beta": 0.3, "log_zero": -9.2})
def symmetric_cross_entropy(x: Row, y: int, alpha: Any = 0.1, beta: Any = 1, log_zero: Any = -4) -> Exact:
    p = softmax(x)
    return -alpha * log(p[y]) - beta * log_zero * total_of(number for c, number in enumerate(p) if c != y)


@oracle
@tried({}, {"beta": 2.0})
def confidence_penalty(x: Row, y: int, beta: Any = 0.1) -> Exact:
    p = softmax(x)
    return -log(p[y]) + beta * total_of(number * log(number) for number in p)


@oracle
def multiclass_perceptron(s: Row, y: int) -> Exact:
    return largest(s) - s[y]


@oracle
def sparsemax(s: Row, y: int) -> Exact:
    ordered = sorted(s, key=lambda number: -number.value)
    support = max(k for k in range(1, len(s) + 1) if 1 + k * ordered[k - 1] > total_of(ordered[:k]))
    tau = (total_of(ordered[:support]) - 1) / support
    return total_of(number**2 - tau**2 for number in ordered[:support]) / 2 + Exact(0.5) - s[y]


@oracle
@tried({}, {"conditional": True}, {"from_logits": False}, {"from_logits": False, "conditional": True})
def ordinal_cross_entropy(x: Row, y: int, from_logits: bool = True, conditional: bool = False) -> Exact:
    yes = [sigmoid(number) if from_logits else number for number in x]
    no = [sigmoid(-number) if from_logits else 1 - number for number in x]
    judged = range(min(len(x), y + 1) if conditional else len(x))
    return -total_of(log(yes[j] if j < y else no[j]) for j in judged)


@oracle
@tried({}, {"alpha": 0.3}, {"distance": "squared"})
def soft_ordinal(x: Row, y: int, alpha: Any = 1, distance: str = "absolute") -> Exact:
    label = softmax([-alpha * Exact(abs(c - y) ** (1 if distance == "absolute" else 2)) for c in range(len(x))])
    return -total_of(q * log(p) for q, p in zip(label, softmax(x), strict=True))


@oracle
def zlpr(s: Row, hot: Row) -> Exact:
    negative = [exp(number) for number, y in zip(s, hot, strict=True) if y == 0]
    positives = [exp(-number) for number, y in zip(s, hot, strict=True) if y == 1]
    return log(1 + total_of(negative)) + log(1 + total_of(positives))


@oracle
@tried({}, {"gamma_neg": 0.0, "gamma_pos": 0.0}, {"gamma_neg": 1.0, "gamma_pos": 3.5, "clip": 0.3}, {"clip": 0.0})
def asymmetric_multilabel(x: Exact, y: Exact, gamma_neg: Any = 4, gamma_pos: Any = 1, clip: Any = 0.05) -> Exact:
    if y == 1:
        return sigmoid(-x) ** gamma_pos * log(1 + exp(-x))
    m = sigmoid(x) - clip
    return -(m**gamma_neg) * log(sigmoid(-x) + clip) if m > 0 else Exact(0)
