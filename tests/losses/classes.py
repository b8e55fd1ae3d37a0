"""The textbook formulas of further losses of one class among several, of grades and of several labels at once."""

from collections.abc import Sequence
from typing import Any

from tests.losses.exact import Exact, exp, largest, log, sigmoid, softmax, total_of
from tests.losses.oracle import Row, of_batch, oracle, tried


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


@oracle
def perplexity(x: Sequence[Row], y: Sequence[int], pool: str = "sample") -> Exact:
    return exp(-total_of(log(softmax(row)[token]) for row, token in zip(x, y, strict=True)) / len(y))


@oracle
@tried({}, {"alpha": 1.0}, {"alpha": 0.3}, {"alpha": 5.0})
def class_distance_weighted(x: Row, y: int, alpha: Any = 2) -> Exact:
    powers = [exp(number) for number in x]
    others = [total_of(powers[:c] + powers[c + 1 :]) for c in range(len(x))]
    costs = [Exact(abs(c - y)) ** alpha if c != y else Exact(0) for c in range(len(x))]
    return total_of(cost * (log(total_of(powers)) - log(rest)) for cost, rest in zip(costs, others, strict=True) if cost > 0)


@oracle
def cumulative_link(score: Exact, steps: Row, y: int) -> Exact:
    thresholds = [steps[0] + total_of(exp(step) for step in steps[1 : j + 1]) for j in range(len(steps))]
    above = sigmoid(thresholds[y] - score) if y < len(steps) else Exact(1)
    below = sigmoid(thresholds[y - 1] - score) if y > 0 else Exact(0)
    # of the far side, where both are nearly 1
    mirrored = (sigmoid(score - thresholds[y - 1]) if y > 0 else Exact(1)) - (
        sigmoid(score - thresholds[y]) if y < len(steps) else Exact(0)
    )
    return -log(above - below if above.value < 0.5 else mirrored)


@oracle
@of_batch
@tried({}, {"weightage": "linear"}, {"epsilon": 0.1})
def weighted_kappa(p: Sequence[Row], y: Sequence[int], weightage: str = "quadratic", epsilon: Any = 1e-6) -> list[Exact]:
    grades, power = range(len(p[0])), 1 if weightage == "linear" else 2
    cost = total_of(abs(c - label) ** power * row[c] for row, label in zip(p, y, strict=True) for c in grades)
    chance = total_of(abs(c - label) ** power * row[c] for row in p for label in y for c in grades) / len(p)
    return [log((cost / chance if chance > 0 else Exact(0)) + epsilon)] * len(p)


@oracle
@of_batch
@tried({}, {"positive": 1.0}, {"negative": 0.3})
def two_way(s: Sequence[Row], hot: Sequence[Row], positive: Any = 4, negative: Any = 1) -> list[Exact]:
    def of(rows: Sequence[tuple[Row, Row]]) -> Exact:
        counted = [(x, y) for x, y in rows if total_of(y) > 0]
        losses = [
            log(
                1
                + total_of(exp(n / negative) for n, flag in zip(x, y, strict=True) if flag == 0) ** negative
                * total_of(exp(-n / positive) for n, flag in zip(x, y, strict=True) if flag == 1) ** positive
            )
            for x, y in counted
        ]
        return total_of(losses) / max(1, len(losses))

    columns = [([x[j] for x in s], [y[j] for y in hot]) for j in range(len(s[0]))]
    return [of([*zip(s, hot, strict=True)]) + of(columns)] * len(s)


@oracle
@tried({}, {"scale": 8.0}, {"among_all": True}, {"scale": 8.0, "among_all": True})
def proxy_nca(c: Row, y: int, scale: Any = 1, among_all: bool = False) -> Exact:
    squares = [2 - 2 * number for number in c]
    others = total_of(exp(scale * (squares[y] - square)) for j, square in enumerate(squares) if j != y)
    if len(c) == 1:
        return Exact(0)
    return log(1 + others) if among_all else log(others)


@oracle
@of_batch
@tried({}, {"alpha": 3.0}, {"delta": 0.5}, {"alpha": 100.0, "delta": 0.0})
def proxy_anchor(c: Sequence[Row], y: Sequence[int], alpha: Any = 32, delta: Any = 0.1) -> list[Exact]:
    draw, push = [], []
    for proxy in range(len(c[0])):
        own = [row[proxy] for row, label in zip(c, y, strict=True) if label == proxy]
        others = [row[proxy] for row, label in zip(c, y, strict=True) if label != proxy]
        if own:
            draw.append(log(1 + total_of(exp(-alpha * (number - delta)) for number in own)))
        push.append(log(1 + total_of(exp(alpha * (number + delta)) for number in others)))
    return [total_of(draw) / len(draw) + total_of(push) / len(push)] * len(c)
