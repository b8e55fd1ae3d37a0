"""The textbook formula of every loss, for one sample, in as many digits as it takes.

Each is written from the literature and the libraries' documentation, not from the kernels: plainly, with no thought of
rounding. The derivative follows from the formula (see `exact`); only the slope at a kink is said, where the service
promises one. `ORACLES[name](*arrays of one sample, **parameters)` gives an Exact; an oracle marked `of_batch` takes whole
arrays and gives one Exact per sample. Where a loss takes a number per sample or a row of them, an oracle marked `of_rows`
takes both; all others are formulas of numbers, and a row's loss is their mean.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mpmath import mp, mpf

from tests.losses import classes, divergences, likelihoods, margins, masks, sets
from tests.losses.exact import (
    EXPONENTIAL_REACH,
    UNDECLARED,
    Exact,
    absolute,
    angle,
    chained,
    clipped,
    constant,
    cosh,
    dot,
    erf,
    exact,
    exp,
    largest,
    log,
    log1p_exp,
    log_factorial,
    mean_of,
    one_hot,
    positive,
    sigmoid,
    smallest,
    softmax,
    sqrt,
    total_of,
    xlogy,
)
from tests.losses.oracle import OF_BATCH, OF_ROWS, ORACLES, TRIED, Formula, Row, of_batch, of_rows, oracle, tried

__all__ = ["COUNTS", "FACTORS", "MATRICES", "MEANS", "OF_BATCH", "OF_ROWS", "ORACLES", "PARAMETERS", "Formula", "K"]

SUBJECTS = (classes, divergences, likelihoods, margins, masks, sets)
"""Modules that hold the oracles of their subject."""


# --- regression -----------------------------------------------------------------------------------------------------


@oracle
def mean_squared_error(p: Exact, y: Exact) -> Exact:
    return (p - y) ** 2


@oracle
def half_squared_error(p: Exact, y: Exact) -> Exact:
    return (p - y) ** 2 / 2


@oracle
def mean_absolute_error(p: Exact, y: Exact) -> Exact:
    return absolute(p - y)


@oracle
def root_mean_squared_error(p: Exact, y: Exact) -> Exact:
    return absolute(p - y)


@oracle
def mean_squared_logarithmic_error(p: Exact, y: Exact, clip: Exact | None = None) -> Exact:
    if clip is not None:
        p, y = clipped(p, clip), clipped(y, clip)
    return (log(1 + p) - log(1 + y)) ** 2


@oracle
def root_mean_squared_logarithmic_error(p: Exact, y: Exact) -> Exact:
    return absolute(log(1 + p) - log(1 + y))


@oracle
def median_absolute_error(p: Exact, y: Exact) -> Exact:
    return absolute(p - y)


@oracle
def max_error(p: Exact, y: Exact) -> Exact:
    return absolute(p - y)


@oracle
def mean_absolute_percentage_error(p: Exact, y: Exact, eps: Any = 2.220446049250313e-16, scale: Any = 1) -> Exact:
    return scale * absolute(p - y) / clipped(absolute(y), eps)


@oracle
def symmetric_mean_absolute_percentage_error(p: Exact, y: Exact, scale: Any = 1) -> Exact:
    total = absolute(p) + absolute(y)
    return 2 * scale * absolute(p - y) / total if total > 0 else Exact(0)


@oracle
def log_cosh(p: Exact, y: Exact) -> Exact:
    return log(cosh(p - y))


@oracle
def huber(p: Exact, y: Exact, delta: Any = 1) -> Exact:
    r = p - y
    return r**2 / 2 if absolute(r) < delta else delta * (absolute(r) - delta / 2)


@oracle
def smooth_l1(p: Exact, y: Exact, beta: Any = 1) -> Exact:
    r = p - y
    return r**2 / (2 * beta) if absolute(r) < beta else absolute(r) - beta / 2


@oracle
def quantile(p: Exact, y: Exact, quantile: Any = 0.5) -> Exact:
    d = y - p
    return quantile * d if d >= 0 else (quantile - 1) * d


@oracle
def epsilon_insensitive(p: Exact, y: Exact, epsilon: Any = 0.1) -> Exact:
    return positive(absolute(p - y) - epsilon, at_zero=0)


@oracle
def squared_epsilon_insensitive(p: Exact, y: Exact, epsilon: Any = 0.1) -> Exact:
    return positive(absolute(p - y) - epsilon, at_zero=0) ** 2


@oracle
def poisson_deviance(p: Exact, y: Exact) -> Exact:
    return 2 * (xlogy(y, y / p) - y + p)


@oracle
def gamma_deviance(p: Exact, y: Exact) -> Exact:
    return 2 * (log(p / y) + y / p - 1)


@oracle
def tweedie_deviance(p: Exact, y: Exact, power: Any = 0) -> Exact:
    if power == 1:
        return poisson_deviance(p, y)
    if power == 2:
        return gamma_deviance(p, y)
    if power == 0:
        return (p - y) ** 2
    a, b = 2 - power, 1 - power
    return 2 * (positive(y, at_zero=0) ** a / (a * b) - y * p**b / b + p**a / a)


# --- robust ---------------------------------------------------------------------------------------------------------


@oracle
def cauchy(p: Exact, y: Exact, c: Any = 1) -> Exact:
    return log(1 + ((p - y) / c) ** 2 / 2)


@oracle
def geman_mcclure(p: Exact, y: Exact, c: Any = 1) -> Exact:
    square = ((p - y) / c) ** 2
    return 2 * square / (square + 4)


@oracle
def welsch(p: Exact, y: Exact, c: Any = 1) -> Exact:
    return 1 - exp(-(((p - y) / c) ** 2) / 2)


@oracle
def charbonnier(p: Exact, y: Exact, c: Any = 1) -> Exact:
    return sqrt(((p - y) / c) ** 2 + 1) - 1


@oracle
def pseudo_huber(p: Exact, y: Exact, delta: Any = 1) -> Exact:
    return delta**2 * (sqrt(((p - y) / delta) ** 2 + 1) - 1)


@oracle
def barron(p: Exact, y: Exact, alpha: Any = 1, c: Any = 1) -> Exact:
    square = ((p - y) / c) ** 2
    if alpha == 2:
        return square / 2
    if alpha == 0:
        return log(square / 2 + 1)
    b = absolute(Exact(0) + alpha - 2)
    return b / alpha * ((square / b + 1) ** (alpha / 2) - 1)


@oracle
def tukey_biweight(p: Exact, y: Exact, c: Any = 4.685) -> Exact:
    r = p - y
    return c**2 / 6 * (1 - (1 - (r / c) ** 2) ** 3 if absolute(r) <= c else Exact(1))


@oracle
def fair(p: Exact, y: Exact, c: Any = 1) -> Exact:
    size = absolute(p - y) / c
    return c**2 * (size - log(1 + size)) if p != y else (p - y) ** 2 / 2


@oracle
def wing(p: Exact, y: Exact, width: Any = 5, epsilon: Any = 0.5) -> Exact:
    size = absolute(p - y)
    return width * log(1 + size / epsilon) if size < width else size - width + width * log(1 + width / epsilon)


@oracle
def berhu(p: Exact, y: Exact, c: Any = 1) -> Exact:
    size = absolute(p - y)
    return size if size <= c else (size**2 + c**2) / (2 * c)


@oracle
def linex(p: Exact, y: Exact, a: Any = 1) -> Exact:
    d = y - p
    return exp(a * d) - a * d - 1


@oracle
def quantile_huber(p: Exact, y: Exact, quantile: Any = 0.5, kappa: Any = 1) -> Exact:
    size, weight = absolute(p - y), quantile if p <= y else 1 - quantile
    return weight * ((p - y) ** 2 / (2 * kappa) if size < kappa else size - kappa / 2)


@oracle
def expectile(p: Exact, y: Exact, tau: Any = 0.5) -> Exact:
    return (tau if p <= y else 1 - tau) * (p - y) ** 2


@oracle
def log_lin_quantile(p: Exact, y: Exact, quantile: Any = 0.5) -> Exact:
    r = exp(p) - y
    return (1 - quantile) * r if r > 0 else -quantile * r


@oracle
def lp_loss(p: Exact, y: Exact, power: Any = 2) -> Exact:
    return (p - y) ** 2 if power == 2 else absolute(p - y) ** power


# --- binary ---------------------------------------------------------------------------------------------------------


def sure(p: Exact, from_logits: bool) -> tuple[Exact, Exact]:
    """The probability and its complement, which is no subtraction where there is a logit: 1 − σ(x) = σ(−x)."""
    return (sigmoid(p), sigmoid(-p)) if from_logits else (p, 1 - p)


def cross_entropy_of(p: Exact, q: Exact, y: Exact, pos_weight: Any = 1) -> Exact:
    return -(pos_weight * xlogy(y, p) + xlogy(1 - y, q))


@oracle
def binary_cross_entropy(
    p: Exact, y: Exact, from_logits: bool = False, label_smoothing: Any = 0, pos_weight: Any = 1, clip: Any = None
) -> Exact:
    p, q = sure(p, from_logits) if clip is None else sure(clipped(p, clip, 1 - clip), False)
    return cross_entropy_of(p, q, smoothed(y, label_smoothing), pos_weight)


def smoothed(y: Exact, label_smoothing: Any) -> Exact:
    return y * (1 - label_smoothing) + label_smoothing / 2


@oracle
def logistic(s: Exact, y: Exact) -> Exact:
    return log(1 + exp(-y * s))


@oracle
def hinge(s: Exact, y: Exact, margin: Any = 1) -> Exact:
    return positive(margin - y * s, at_zero=1)


@oracle
def squared_hinge(s: Exact, y: Exact) -> Exact:
    return positive(1 - y * s, at_zero=0) ** 2


@oracle
def modified_huber(s: Exact, y: Exact) -> Exact:
    return positive(1 - y * s, at_zero=0) ** 2 if y * s > -1 else -4 * y * s


@oracle
def perceptron(s: Exact, y: Exact) -> Exact:
    return positive(-y * s, at_zero=1)


@oracle
def exponential(s: Exact, y: Exact) -> Exact:
    return exp(-y * s)


@oracle
def binary_focal(
    p: Exact, y: Exact, from_logits: bool = False, gamma: Any = 2, alpha: Any = None, label_smoothing: Any = 0
) -> Exact:
    (p, q), y = sure(p, from_logits), smoothed(y, label_smoothing)
    missed = q * y + p * (1 - y)
    balance = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return balance * missed**gamma * cross_entropy_of(p, q, y)


@oracle
@of_rows
def brier_score(
    p: Any, y: Any, scale_by_half: bool | None = None, label_smoothing: Any = 0, class_weight: Row | None = None
) -> Exact:
    if isinstance(p, Exact):
        return (p - (1 - label_smoothing) * y - label_smoothing / 2) ** 2 * (2 if scale_by_half is False else 1)
    soft = [(1 - label_smoothing) * share + label_smoothing / len(p) for share in one_hot(y, len(p))]
    score = total_of((p_c - y_c) ** 2 for p_c, y_c in zip(p, soft, strict=True))
    return (score / 2 if scale_by_half else score) * (dot(soft, class_weight) if class_weight else 1)


@oracle
@of_rows
def zero_one(p: Any, y: Any, threshold: Any = 0.5) -> Exact:
    if not isinstance(p, Exact):
        return Exact(max(range(len(p)), key=lambda c: p[c].value) != y)
    return Exact(p != y if p.whole else Exact(p > threshold) != y)


# --- multiclass -----------------------------------------------------------------------------------------------------


@oracle
def categorical_cross_entropy(
    row: Row,
    y: Any,
    from_logits: bool = False,
    label_smoothing: Any = 0,
    class_weight: Row | None = None,
    clip: Any = None,
) -> Exact:
    k = len(row)
    p = softmax(row) if from_logits else row
    p = p if clip is None else [clipped(number, clip, 1 - clip) for number in p]
    soft = [(1 - label_smoothing) * share + label_smoothing / k for share in one_hot(y, k)]
    return -total_of(w * xlogy(share, p_c) for w, share, p_c in zip(class_weight or [1] * k, soft, p, strict=True))


@oracle
def nll(row: Row, y: int, class_weight: Row | None = None) -> Exact:
    return -row[y] * (class_weight[y] if class_weight else 1)


@oracle
def categorical_hinge(row: Row, y: int) -> Exact:
    return positive(largest([Exact(c != y) * s for c, s in enumerate(row)]) - row[y] + 1, at_zero=UNDECLARED)


def others(row: Row, y: int) -> Row:
    return [s for c, s in enumerate(row) if c != y]


@oracle
def crammer_singer_hinge(row: Row, y: int) -> Exact:
    return positive(1 - row[y] + largest(others(row, y)), at_zero=UNDECLARED)


@oracle
def multi_margin(row: Row, y: int, p: int = 1, margin: Any = 1, class_weight: Row | None = None) -> Exact:
    terms = total_of(positive(margin - row[y] + s, at_zero=0) ** p for s in others(row, y))
    return terms / len(row) * (class_weight[y] if class_weight else 1)


@oracle
def categorical_focal(row: Row, y: int, from_logits: bool = False, gamma: Any = 2, alpha: Any = 0.25) -> Exact:
    p = softmax(row) if from_logits else row
    missed = total_of(others(p, y)) if from_logits else 1 - p[y]
    balance = alpha[y] if isinstance(alpha, list) else alpha
    return -(balance * missed**gamma * log(p[y])) if balance != 0 else Exact(0)


@oracle
def generalized_cross_entropy(row: Row, y: int, q: Any = 0.5, from_logits: bool = False) -> Exact:
    p = (softmax(row) if from_logits else row)[y]
    return (1 - p**q) / q


# --- multilabel -----------------------------------------------------------------------------------------------------


def sides(row: Row, hot: Row) -> tuple[Row, Row]:
    """The scores of the labels that hold, and of those that do not."""
    return [s for s, y in zip(row, hot, strict=True) if y == 1], [s for s, y in zip(row, hot, strict=True) if y == 0]


@oracle
def multilabel_margin(row: Row, hot: Row, target_format: str | None = None) -> Exact:
    held, rest = sides(row, hot)
    return total_of(positive(1 - (s_j - s_i), at_zero=0) for s_j in held for s_i in rest) / len(row)


@oracle
def multilabel_soft_margin(row: Row, hot: Row, class_weight: Row | None = None) -> Exact:
    terms = zip(class_weight or [1] * len(row), row, hot, strict=True)
    return total_of(w * cross_entropy_of(*sure(s, True), y) for w, s, y in terms) / len(row)


@oracle
def subset_zero_one(row: Row, hot: Row) -> Exact:
    return Exact([flag > 0.5 for flag in row] != [flag > 0.5 for flag in hot])


@oracle
def hamming_loss(p: Exact, y: Exact) -> Exact:
    return Exact(p != y)


@oracle
def label_ranking_loss(row: Row, hot: Row) -> Exact:
    held, rest = sides(row, hot)
    pairs = [s_j <= s_i for s_j in held for s_i in rest]
    return Exact(sum(pairs)) / max(len(pairs), 1)


@oracle
def coverage_error(row: Row, hot: Row) -> Exact:
    return Exact(max((sum(s >= s_j for s in row) for s_j in sides(row, hot)[0]), default=0))


# --- divergence -----------------------------------------------------------------------------------------------------


@oracle
def kl_divergence(row: Row, target: Row, input_format: str = "probabilities", log_target: bool = False) -> Exact:
    p = [exp(number) for number in target] if log_target else target
    log_q = {"log_probabilities": list, "probabilities": lambda q: [*map(log, q)], "logits": lambda x: [*map(log, softmax(x))]}
    return total_of(xlogy(p_c, p_c) - p_c * log_q_c for p_c, log_q_c in zip(p, log_q[input_format](row), strict=True) if p_c != 0)


# --- distribution ---------------------------------------------------------------------------------------------------


@oracle
def poisson_nll(p: Exact, y: Exact, log_input: bool = True, full: bool | str = False, eps: Any = 1e-8) -> Exact:
    varying = exp(p) - y * p if log_input else p - xlogy(y, p + eps)
    stirling = xlogy(y, y) - y + log(2 * Exact(mp.pi) * y) / 2 if y > 1 else Exact(0)
    return varying + (stirling if full == "stirling" else log_factorial(y) if full else 0)


@oracle
def gamma_nll(p: Exact, y: Exact, log_input: bool = False) -> Exact:
    return y * exp(-p) + p if log_input else y / p + log(p)


@oracle
def tweedie_nll(p: Exact, y: Exact, power: Any = 1.5, log_input: bool = False) -> Exact:
    mean = exp(p) if log_input else p
    if power == 1:
        return mean - y * log(mean)
    if power == 2:
        return log(mean) + y / mean
    a, b = 2 - power, 1 - power
    return mean**a / a - y * mean**b / b


@oracle
def gaussian_nll(mean: Exact, variance: Exact, y: Exact, full: bool = False, eps: Any = 1e-6) -> Exact:
    v = clipped(variance, eps)
    return (log(v) + (mean - y) ** 2 / v + (log(2 * Exact(mp.pi)) if full else 0)) / 2


@oracle
def exponential_nll(p: Exact, y: Exact) -> Exact:
    return p * y - log(p)


@oracle
def laplace_nll(location: Exact, scale: Exact, y: Exact) -> Exact:
    return log(2 * scale) + absolute(y - location) / scale


# --- metric learning ------------------------------------------------------------------------------------------------


def cosine(a: Row, b: Row) -> Exact:
    """The cosine of the angle between two vectors; 0, wherever one turns, where one of them is 0."""
    squares = dot(a, a), dot(b, b)
    return Exact(0) if 0 in (squares[0].value, squares[1].value) else dot(a, b) / sqrt(squares[0]) / sqrt(squares[1])


@oracle
def cosine_similarity(row: Row, target: Row) -> Exact:
    return -cosine(row, target)


@oracle
def contrastive(d: Exact, same: Exact, margin: Any = 1) -> Exact:
    return same * d**2 + (1 - same) * positive(margin - d, at_zero=0) ** 2


@oracle
def cosine_embedding(first: Row, second: Row, y: Exact, margin: Any = 0) -> Exact:
    return 1 - cosine(first, second) if y > 0 else positive(cosine(first, second) - margin, at_zero=1)


@oracle
def hinge_embedding(x: Exact, y: Exact, margin: Any = 1) -> Exact:
    return x if y > 0 else positive(margin - x, at_zero=1)


def distance(a: Row, b: Row, p: Any, eps: Any) -> Exact:
    """The p-norm of a − b + eps; its slope is declared 0 where that is 0."""
    total = total_of(absolute(x - y + eps) ** p for x, y in zip(a, b, strict=True))
    return total ** (1 / p) if total > 0 else Exact(0)


@oracle
def minkowski(x: Row, y: Row, power: Any = 2) -> Exact:
    sizes = [absolute(a - b) for a, b in zip(x, y, strict=True)]
    return (
        total_of(size**power for size in sizes if size > 0) ** (1 / exact(power)) if any(size > 0 for size in sizes) else Exact(0)
    )


@oracle
def triplet_margin(
    anchor: Row, positives: Row, negative: Row, margin: Any = 1, p: Any = 2, eps: Any = 1e-6, swap: bool = False
) -> Exact:
    far = distance(anchor, negative, p, eps)
    far = smallest([far, distance(positives, negative, p, eps)]) if swap else far
    return positive(distance(anchor, positives, p, eps) - far + margin, at_zero=1)


@oracle
def soft_margin_triplet(anchor: Row, positives: Row, negative: Row) -> Exact:
    return log1p_exp(distance(anchor, positives, Exact(2), Exact(0)) - distance(anchor, negative, Exact(2), Exact(0)))


@oracle
def angular(a: Row, u: Row, v: Row, alpha: Any = 40) -> Exact:
    tangent = mp.tan(exact(alpha).value * mp.pi / 180)
    height = [z - (x + y) / 2 for x, y, z in zip(a, u, v, strict=True)]
    side = [x - y for x, y in zip(a, u, strict=True)]
    return positive(dot(side, side) - 4 * tangent**2 * dot(height, height), at_zero=0)


def with_margin(row: Row, y: int, scale: Any, target: Exact) -> Exact:
    return log(1 + total_of(exp(scale * (number - target)) for index, number in enumerate(row) if index != y))


@oracle
def arcface(row: Row, y: int, margin: Any = 0.5, scale: Any = 64) -> Exact:
    c, (cosine, sine) = row[y], (mp.cos(exact(margin).value), mp.sin(exact(margin).value))
    return with_margin(row, y, scale, c * cosine - sqrt(1 - c**2) * sine if c >= -cosine else c - margin * sine)


@oracle
def cosface(row: Row, y: int, margin: Any = 0.35, scale: Any = 64) -> Exact:
    return with_margin(row, y, scale, row[y] - margin)


@oracle
def sphereface(row: Row, y: int, margin: int = 4, scale: Any = 1) -> Exact:
    turn = mp.acos(row[y].value)
    half = min(int(margin * turn / mp.pi), margin - 1)
    before, here = Exact(1), row[y]
    for _ in range(margin - 1):  # cos(mθ) from cos θ
        before, here = here, 2 * row[y] * here - before
    return with_margin(row, y, scale, (-1) ** half * here - 2 * half)


def columns_of(rows: Sequence[Row]) -> list[Row]:
    """The columns of rows, each less its mean."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [[number - mean_of(column) for number in column] for column in columns]


@oracle
@of_batch
def barlow_twins(first: Sequence[Row], second: Sequence[Row], redundancy: Any = 5e-3, unbiased: bool = False) -> list[Exact]:
    factor = Exact(len(first) - 1) / len(first) if unbiased else Exact(1)
    alike = cosines(columns_of(first), columns_of(second))
    costs = [
        (1 - factor * number) ** 2 if i == j else redundancy * (factor * number) ** 2
        for i, row in enumerate(alike)
        for j, number in enumerate(row)
    ]
    return [total_of(costs)] * len(first)


@oracle
@of_batch
def vicreg(
    first: Sequence[Row],
    second: Sequence[Row],
    invariance: Any = 25,
    variance: Any = 25,
    covariance: Any = 1,
    eps: Any = 1e-4,
) -> list[Exact]:
    n, d = len(first), len(first[0])
    apart = mean_of([(a - b) ** 2 for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)])
    narrow, shared = Exact(0), Exact(0)
    for columns in (columns_of(first), columns_of(second)):
        together = [[dot(a, b) / max(n - 1, 1) for b in columns] for a in columns]
        narrow += mean_of([positive(1 - sqrt(together[j][j] + eps), at_zero=0) for j in range(d)]) / 2
        shared += total_of(together[i][j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return [invariance * apart + variance * narrow + covariance * shared] * n


@oracle
@of_batch
def circle(rows: Sequence[Row], groups: Sequence[int], gamma: Any = 80, margin: Any = 0.4) -> list[Exact]:
    return [circle_of(index, rows, groups, gamma, margin) for index in range(len(rows))]


def circle_of(anchor: int, rows: Sequence[Row], groups: Sequence[int], gamma: Any, margin: Any) -> Exact:
    distances = [positive(1 - dot(rows[anchor], row), at_zero=UNDECLARED) for row in rows]
    near = [1 - d for j, d in enumerate(distances) if groups[j] == groups[anchor] and j != anchor]
    apart = [1 - d for j, d in enumerate(distances) if groups[j] != groups[anchor]]
    if not near or not apart:
        return Exact(0)
    pull = total_of(exp(-gamma * positive(1 + margin - s, at_zero=0) * (s - (1 - margin))) for s in near)
    push = total_of(exp(gamma * positive(s + margin, at_zero=0) * (s - margin)) for s in apart)
    return log(1 + pull * push)


def cosines(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    return [[cosine(row, other) for other in others] for row in rows]


def sides_of(index: int, groups: Sequence[int]) -> tuple[list[int], list[int]]:
    """The others of a sample's group, and the samples of other groups."""
    return (
        [j for j, group in enumerate(groups) if group == groups[index] and j != index],
        [j for j, group in enumerate(groups) if group != groups[index]],
    )


def of_groups(rows: Sequence[Row], groups: Sequence[int], loss: Callable[[Row, list[int], list[int]], Exact]) -> list[Exact]:
    """A loss of (cosines with all, others alike, others not) of each sample."""
    return [loss(alike, *sides_of(index, groups)) for index, alike in enumerate(cosines(rows, rows))]


@oracle
@of_batch
def nt_xent(rows: Sequence[Row], groups: Sequence[int], temperature: Any = 0.07) -> list[Exact]:
    def loss(c: Row, same: list[int], other: list[int]) -> Exact:
        return mean_of([log(1 + total_of(exp((c[index] - c[j]) / temperature) for index in other)) for j in same])

    return of_groups(rows, groups, loss)


@oracle
@of_batch
def supervised_contrastive(rows: Sequence[Row], groups: Sequence[int], temperature: Any = 0.1) -> list[Exact]:
    def loss(c: Row, same: list[int], other: list[int]) -> Exact:
        return mean_of([log(total_of(exp((c[index] - c[j]) / temperature) for index in same + other)) for j in same])

    return of_groups(rows, groups, loss)


@oracle
@of_batch
def multi_similarity(rows: Sequence[Row], groups: Sequence[int], alpha: Any = 2, beta: Any = 50, base: Any = 0.5) -> list[Exact]:
    def loss(c: Row, same: list[int], other: list[int]) -> Exact:
        near = log(1 + total_of(exp(-alpha * (c[j] - base)) for j in same))
        return near / alpha + log(1 + total_of(exp(beta * (c[j] - base)) for j in other)) / beta

    return of_groups(rows, groups, loss)


@oracle
@of_batch
def neighbourhood_components(rows: Sequence[Row], groups: Sequence[int], temperature: Any = 1) -> list[Exact]:
    def loss(c: Row, same: list[int], other: list[int]) -> Exact:
        if not same:
            return Exact(0)
        near, far = (total_of(exp(2 * c[j] / temperature) for j in side) for side in (same, other))
        return log(1 + far / near)

    return of_groups(rows, groups, loss)


def apart_of(rows: Sequence[Row]) -> list[Row]:
    return [[distance(row, other, Exact(2), Exact(0)) for other in rows] for row in rows]


@oracle
@of_batch
def lifted_structure(rows: Sequence[Row], groups: Sequence[int], margin: Any = 1) -> list[Exact]:
    apart = apart_of(rows)
    near = [total_of(exp(margin - apart[index][other]) for other in sides_of(index, groups)[1]) for index in range(len(rows))]

    def loss(i: int, j: int) -> Exact:
        both = near[i] + near[j]
        return positive(log(both) + apart[i][j], at_zero=0) ** 2 / 2 if both > 0 else Exact(0)

    return [mean_of([loss(index, j) for j in sides_of(index, groups)[0]]) for index in range(len(rows))]


@oracle
@of_batch
def batch_all_triplet(
    rows: Sequence[Row],
    groups: Sequence[int],
    margin: Any = 1,
    mining: str = "all",
    only_active: bool = False,
    unit_length: bool = False,
) -> list[Exact]:
    if unit_length:
        lengths = [sqrt(dot(row, row)) for row in rows]
        rows = [
            [number / length if length > 0 else Exact(0) for number in row] for row, length in zip(rows, lengths, strict=True)
        ]
    apart = apart_of(rows)
    found: list[list[Exact]] = []
    for index in range(len(rows)):
        near, far = ([apart[index][j] for j in side] for side in sides_of(index, groups))
        if mining == "hardest" and near and far:
            near, far = [max(near, key=lambda number: number.value)], [min(far, key=lambda number: number.value)]
        found.append([positive(d - other + margin, at_zero=1) for d in near for other in far])
    every = [number for triplets in found for number in triplets]
    scale = Exact(len(every)) / max(sum(number > 0 for number in every), 1) if only_active else Exact(1)
    return [scale * mean_of(triplets) for triplets in found]


def own_of_row(alike: Sequence[Row], temperature: Any) -> list[Exact]:
    return [log(total_of(exp((other - row[index]) / temperature) for other in row)) for index, row in enumerate(alike)]


@oracle
@of_batch
def info_nce(first: Sequence[Row], second: Sequence[Row], temperature: Any = 0.07) -> list[Exact]:
    return own_of_row(cosines(first, second), temperature)


@oracle
@of_batch
def clip(first: Sequence[Row], second: Sequence[Row], temperature: Any = 0.07) -> list[Exact]:
    both = own_of_row(cosines(first, second), temperature), own_of_row(cosines(second, first), temperature)
    return [(there + back) / 2 for there, back in zip(*both, strict=True)]


@oracle
@of_batch
def siglip(first: Sequence[Row], second: Sequence[Row], scale: Any = 10, bias: Any = -10) -> list[Exact]:
    return [
        total_of(log1p_exp((-1 if i == j else 1) * (scale * c + bias)) for j, c in enumerate(row))
        for i, row in enumerate(cosines(first, second))
    ]


@oracle
@of_batch
def n_pairs(anchor: Sequence[Row], positives: Sequence[Row], groups: Sequence[int]) -> list[Exact]:
    found: list[Exact] = []
    for index, row in enumerate(anchor):
        alike = [dot(row, other) for other in positives]
        own = [j for j, group in enumerate(groups) if group == groups[index]]
        found.append(mean_of([log(total_of(exp(other - alike[j]) for other in alike)) for j in own]))
    return found


# --- ranking --------------------------------------------------------------------------------------------------------


@oracle
def margin_ranking(first: Exact, second: Exact, y: Exact, margin: Any = 0) -> Exact:
    return positive(-y * (first - second) + margin, at_zero=1)


@oracle
def bradley_terry(winner: Exact, loser: Exact, margin: Any = 0) -> Exact:
    return log(1 + exp(margin - winner + loser))


@oracle
def margin_mse(a: Exact, b: Exact, y: Exact) -> Exact:
    return (a - b - y) ** 2


def log_softmax(row: Row) -> Row:
    total = log(total_of(exp(number) for number in row))
    return [number - total for number in row]


@oracle
@of_rows
def ranking_softmax(row: Row, relevance: Row) -> Exact:
    return -total_of(y * number for y, number in zip(relevance, log_softmax(row), strict=True) if y != 0)


@oracle
@of_rows
def listnet(row: Row, relevance: Row) -> Exact:
    return -total_of(share * number for share, number in zip(softmax(relevance), log_softmax(row), strict=True) if share != 0)


def item_pairs(grades: Row) -> list[tuple[int, int]]:
    """The pairs of items of a list of which the first has the higher grade; −10³⁰⁰ is the grade of none."""
    there = [index for index, grade in enumerate(grades) if grade > -1e299]
    return [(i, j) for i in there for j in there if grades[i] > grades[j]]


def over_pairs(costs: Sequence[Exact], grades: Row, divide_by: str, pairs: int) -> Exact:
    items = sum(grade > -1e299 for grade in grades)
    return total_of(costs) / max({"pairs": pairs, "items": items, "nothing": 1}[divide_by], 1)


def of_order(row: Row, grades: Row, divide_by: str, cost: Callable[[Exact, Exact], Exact]) -> Exact:
    pairs = item_pairs(grades)
    return over_pairs([cost(row[i] - row[j], grades[i] - grades[j]) for i, j in pairs], grades, divide_by, len(pairs))


@oracle
@of_rows
def pairwise_logistic(row: Row, grades: Row, divide_by: str = "pairs") -> Exact:
    return of_order(row, grades, divide_by, lambda lead, _: log1p_exp(-lead))


@oracle
@of_rows
def pairwise_hinge(row: Row, grades: Row, margin: Any = 1, divide_by: str = "pairs") -> Exact:
    return of_order(row, grades, divide_by, lambda lead, _: positive(margin - lead, at_zero=1))


@oracle
@of_rows
def pairwise_soft_zero_one(row: Row, grades: Row, divide_by: str = "pairs") -> Exact:
    return of_order(row, grades, divide_by, lambda lead, _: sigmoid(-lead))


@oracle
@of_rows
def pairwise_mse(row: Row, grades: Row, divide_by: str = "pairs") -> Exact:
    apart = [a - y for a, y in zip(row, grades, strict=True) if y > -1e299]
    return over_pairs([(a - b) ** 2 for a in apart for b in apart], grades, divide_by, len(apart) ** 2)


@oracle
@of_rows
def pairwise_quantile(row: Row, grades: Row, tau: Any = 0.5, squared: bool = False, divide_by: str = "pairs") -> Exact:
    def cost(lead: Exact, gap: Exact) -> Exact:
        missing = gap - lead
        return (tau if missing >= 0 else 1 - tau) * (missing**2 if squared else missing if missing >= 0 else -missing)

    return of_order(row, grades, divide_by, cost)


@oracle
@of_rows
def cosent(row: Row, grades: Row, scale: Any = 20) -> Exact:
    return log(1 + total_of(exp(scale * (row[j] - row[i])) for i, j in item_pairs(grades)))


def in_list(*rows: Row) -> list[list[Exact]]:
    """Rows without the items that the last of them says the list has not."""
    return [[number for number, grade in zip(row, rows[-1], strict=True) if grade > -1e299] for row in rows]


def best_first(keys: Row) -> list[int]:
    return sorted(range(len(keys)), key=lambda index: -keys[index].value)


def of_places(row: Row, grades: Row, weight: Callable[[int, int], Any]) -> Exact:
    """The surprises of a list in its order, each times the weight of (place, items)."""
    row, grades = in_list(row, grades)
    ordered = [row[index] for index in best_first(grades)]
    surprises = [log(total_of(exp(later - number) for later in ordered[index:])) for index, number in enumerate(ordered)]
    return total_of(weight(index, len(row)) * number for index, number in enumerate(surprises))


@oracle
@of_rows
def listmle(row: Row, grades: Row, divide_by_items: bool = False) -> Exact:
    return of_places(row, grades, lambda _, items: Exact(1) / (items if divide_by_items else 1))


@oracle
@of_rows
def p_listmle(row: Row, grades: Row, relative: bool = False) -> Exact:
    def weight(place: int, items: int) -> Exact:
        whole = sum(2**left - 1 for left in range(1, items + 1))
        return Exact(2 ** (items - place) - 1) / (whole if relative else 1)

    return of_places(row, grades, weight)


def gain(grade: Exact) -> Exact:
    return Exact(2) ** constant(grade) - 1


@oracle
@of_rows
def unique_softmax(row: Row, grades: Row) -> Exact:
    row, grades = in_list(row, grades)
    return total_of(
        gain(y) * log(1 + total_of(exp(other - s) for other, z in zip(row, grades, strict=True) if z < y))
        for s, y in zip(row, grades, strict=True)
        if y > 0
    )


def discount(place: Any) -> Exact:
    return log(1 + Exact(0) + place) / log(Exact(2))


def best_gain(grades: Row) -> Exact:
    return total_of(gain(grades[index]) / discount(place) for place, index in enumerate(best_first(grades), 1))


def soft_places(row: Row, temperature: Any) -> Row:
    return [1 + total_of(sigmoid((other - s) / temperature) for j, other in enumerate(row) if j != i) for i, s in enumerate(row)]


@oracle
@of_rows
def approx_ndcg(row: Row, grades: Row, temperature: Any = 1) -> Exact:
    row, grades = in_list(row, grades)
    best = best_gain(grades)
    reached = total_of(gain(y) / discount(place) for y, place in zip(grades, soft_places(row, temperature), strict=True))
    return -reached / best if best > 0 else Exact(0)


@oracle
@of_rows
def approx_mrr(row: Row, grades: Row, temperature: Any = 0.1) -> Exact:
    row, grades = in_list(row, grades)
    whole = total_of(grades)
    reached = total_of(y / place for y, place in zip(grades, soft_places(row, temperature), strict=True))
    return -reached / whole if whole > 0 else Exact(0)


@oracle
@of_rows
def lambda_loss(
    row: Row,
    grades: Row,
    scheme: str = "ndcg_loss2++",
    sigma: Any = 1,
    mu: Any = 10,
    top: int | None = None,
    binary_logarithm: bool = True,
) -> Exact:
    row, grades = in_list(row, grades)
    best, order = best_gain(grades), best_first(row)
    gains = [gain(y) / best if best > 0 else Exact(0) for y in grades]

    def weight(i: int, j: int, here: int, there: int) -> Exact:
        if scheme == "ranknet":
            return Exact(1)
        if scheme == "ndcg_loss1":
            return gains[i] / discount(here)
        far = abs(here - there)
        tighter = 1 / discount(far) - 1 / discount(far + 1)
        exchanged = absolute(1 / discount(here) - 1 / discount(there))
        of_pair = {"ndcg_loss2": tighter, "lambda_rank": exchanged}.get(scheme, mu * tighter + exchanged)
        return of_pair * absolute(gains[i] - gains[j])

    seen = list(enumerate(order, 1))[:top]
    unit = log(Exact(2)) if binary_logarithm else Exact(1)
    return (
        total_of(
            weight(i, j, here, there) * log1p_exp(sigma * (row[j] - row[i]))
            for here, i in seen
            for there, j in seen
            if scheme == "ndcg_loss1" or grades[i] > grades[j]
        )
        / unit
    )


@oracle
@of_rows
def neural_ndcg(row: Row, grades: Row, temperature: Any = 1) -> Exact:
    row, grades = in_list(row, grades)
    best, k = best_gain(grades), len(row)
    apart = [total_of(absolute(s - other) for other in row) for s in row]
    found = [
        total_of(
            share * gain(y)
            for share, y in zip(
                softmax([((k + 1 - 2 * place) * s - a) / temperature for s, a in zip(row, apart, strict=True)]),
                grades,
                strict=True,
            )
        )
        / discount(place)
        for place in range(1, k + 1)
    ]
    return -total_of(found) / best if best > 0 else Exact(0)


@oracle
@of_rows
def query_softmax(row: Row, relevance: Row, beta: Any = 1, divide_by_relevance: bool = False) -> Exact:
    return ranking_softmax([beta * s for s in row], relevance)  # divide_by_relevance is of the mean: COUNTS


@oracle
@of_rows
def query_rmse(row: Row, grades: Row) -> Exact:
    row, grades = in_list(row, grades)
    residuals = [s - y for s, y in zip(row, grades, strict=True)]
    shift = total_of(residuals) / len(row)
    return sqrt(total_of((number - shift) ** 2 for number in residuals) / len(row))


@oracle
@of_rows
def pointwise_sigmoid(row: Row, grades: Row, divide_by_items: bool = True) -> Exact:
    row, grades = in_list(row, grades)
    sure = [clipped(y, 0, 1) for y in grades]
    costs = [y * log1p_exp(-s) + (1 - y) * log1p_exp(s) for s, y in zip(row, sure, strict=True)]
    return total_of(costs) / (len(row) if divide_by_items else 1)


# --- preference -----------------------------------------------------------------------------------------------------


def margin_of(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any) -> Exact:
    return beta * (a - a0 - b + b0)


@oracle
def dpo(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1, divergence: str = "reverse_kl") -> Exact:
    if divergence == "jensen_shannon":
        return log1p_exp(beta * (log1p_exp(a0 - a) - log1p_exp(b0 - b)))
    return log1p_exp(-margin_of(a, b, a0, b0, beta))


@oracle
def cdpo(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1, label_smoothing: Any = 0) -> Exact:
    z = margin_of(a, b, a0, b0, beta)
    return (1 - label_smoothing) * log1p_exp(-z) + label_smoothing * log1p_exp(z)


@oracle
def robust_dpo(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1, label_smoothing: Any = 0) -> Exact:
    z = margin_of(a, b, a0, b0, beta)
    return ((1 - label_smoothing) * log1p_exp(-z) - label_smoothing * log1p_exp(z)) / (1 - 2 * label_smoothing)


@oracle
def dpo_hinge(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1) -> Exact:
    return positive(1 - margin_of(a, b, a0, b0, beta), 0)


@oracle
def ipo(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1) -> Exact:
    return (margin_of(a, b, a0, b0, 1) - 1 / (2 * beta)) ** 2


@oracle
def dpo_norm(a: Exact, b: Exact, a0: Exact, b0: Exact, a_length: Exact, b_length: Exact, beta: Any = 0.1) -> Exact:
    return log1p_exp(-beta * ((a - a0) / a_length - (b - b0) / b_length))


@oracle
def simpo(a: Exact, b: Exact, beta: Any = 2, gamma: Any = 0.5) -> Exact:
    return log1p_exp(gamma - beta * (a - b))


@oracle
def orpo(a: Exact, b: Exact, beta: Any = 0.1) -> Exact:
    odds = exp(a) / (1 - exp(a)), exp(b) / (1 - exp(b))
    return -a + beta * log(1 + odds[1] / odds[0])


@oracle
def exo(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1, label_smoothing: Any = 1e-3) -> Exact:
    z = margin_of(a, b, a0, b0, beta)
    log_yes, log_no = -log1p_exp(-z), -log1p_exp(z)
    return exp(log_yes) * (log_yes - log(1 - label_smoothing)) + exp(log_no) * (log_no - log(label_smoothing))


@oracle
def discopop(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1, temperature: Any = 0.05) -> Exact:
    z = margin_of(a, b, a0, b0, beta)
    return sigmoid(-z / temperature) * log1p_exp(-z) + sigmoid(z / temperature) * exp(-z)


@oracle
def kto(
    p: Exact, p0: Exact, y: Exact, beta: Any = 0.1, kl: Any = 0, desirable_weight: Any = 1, undesirable_weight: Any = 1
) -> Exact:
    z = beta * (p - p0 - kl)
    return desirable_weight * sigmoid(-z) if y == 1 else undesirable_weight * sigmoid(z)


@oracle
def nca_pair(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1) -> Exact:
    u, v = beta * (a - a0), beta * (b - b0)
    return log1p_exp(-u) + log1p_exp(u) / 2 + log1p_exp(v) / 2


@oracle
def bco_pair(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1, delta: Any = 0) -> Exact:
    return log1p_exp(delta - beta * (a - a0)) + log1p_exp(beta * (b - b0) - delta)


@oracle
def sppo_hard(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1) -> Exact:
    return (a - a0 - 1 / (2 * beta)) ** 2 + (b - b0 + 1 / (2 * beta)) ** 2


@oracle
def apo_zero(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1) -> Exact:
    return sigmoid(-beta * (a - a0)) + sigmoid(beta * (b - b0))


@oracle
def apo_down(a: Exact, b: Exact, a0: Exact, b0: Exact, beta: Any = 0.1) -> Exact:
    return sigmoid(beta * (a - a0)) + sigmoid(-margin_of(a, b, a0, b0, beta))


# --- detection ------------------------------------------------------------------------------------------------------


def area(box: Row) -> Exact:
    return (box[2] - box[0]) * (box[3] - box[1])


def corners(box: Row, box_format: str) -> Row:
    """A box as its two corners."""
    x, y, width, height = box
    if box_format == "xyxy":
        return box
    if box_format == "xywh":
        return [x, y, x + width, y + height]
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def overlap(a: Row, b: Row, eps: Any) -> tuple[Exact, Exact]:
    """Intersection over union, and the union; of two boxes without area 1 where they are one, else 0."""
    sides = [positive(smallest([a[c + 2], b[c + 2]]) - largest([a[c], b[c]]), at_zero=UNDECLARED) for c in (0, 1)]
    shared = sides[0] * sides[1]
    union = area(a) + area(b) - shared
    if union + eps == 0:
        return Exact(all(own == true for own, true in zip(a, b, strict=True))), union
    return shared / (union + eps), union


def hull(a: Row, b: Row) -> Row:
    return [smallest([a[0], b[0]]), smallest([a[1], b[1]]), largest([a[2], b[2]]), largest([a[3], b[3]])]


@oracle
def iou(a: Row, b: Row, eps: Any = 0, box_format: str = "xyxy") -> Exact:
    return 1 - overlap(corners(a, box_format), corners(b, box_format), eps)[0]


@oracle
def giou(a: Row, b: Row, eps: Any = 0, box_format: str = "xyxy") -> Exact:
    a, b = corners(a, box_format), corners(b, box_format)
    share, union = overlap(a, b, eps)
    return 1 - (share - (area(hull(a, b)) - union) / (area(hull(a, b)) + eps))


@oracle
def diou(a: Row, b: Row, eps: Any = 0, box_format: str = "xyxy") -> Exact:
    a, b = corners(a, box_format), corners(b, box_format)
    around = hull(a, b)
    diagonal = (around[2] - around[0]) ** 2 + (around[3] - around[1]) ** 2
    between = total_of(((a[c] + a[c + 2] - b[c] - b[c + 2]) / 2) ** 2 for c in (0, 1))
    return 1 - overlap(a, b, eps)[0] + between / (diagonal + eps)


@oracle
def ciou(a: Row, b: Row, eps: Any = 0, detach_alpha: bool = False, box_format: str = "xyxy") -> Exact:
    a, b = corners(a, box_format), corners(b, box_format)
    v = 4 / Exact(mp.pi) ** 2 * (angle(b[2] - b[0], b[3] - b[1]) - angle(a[2] - a[0], a[3] - a[1])) ** 2
    alpha = v / (1 - overlap(a, b, eps)[0] + v + eps)
    return diou(a, b, eps) + (constant(alpha) if detach_alpha else alpha) * v


def sizes_of(box: Row) -> Row:
    return [box[2] - box[0], box[3] - box[1]]


def centre_of(box: Row) -> Row:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]


def share_of(above: Exact, below: Exact) -> Exact:
    return above / below if below > 0 else Exact(0)


def sizes_apart(a: Row, b: Row, eps: Any) -> Exact:
    return total_of(
        share_of((own - true) ** 2, span**2 + eps)
        for own, true, span in zip(sizes_of(a), sizes_of(b), sizes_of(hull(a, b)), strict=True)
    )


@oracle
def eiou(a: Row, b: Row, eps: Any = 0, box_format: str = "xyxy") -> Exact:
    return diou(a, b, eps, box_format) + sizes_apart(corners(a, box_format), corners(b, box_format), eps)


@oracle
def focal_eiou(a: Row, b: Row, gamma: Any = 0.5, eps: Any = 0, box_format: str = "xyxy") -> Exact:
    shared = 1 - iou(a, b, eps, box_format)
    return shared**gamma * eiou(a, b, eps, box_format) if shared > 0 or gamma == 0 else Exact(0)


@oracle
def wiou(a: Row, b: Row, eps: Any = 0, box_format: str = "xyxy", detach_span: bool = False) -> Exact:
    missing = iou(a, b, eps, box_format)
    a, b = corners(a, box_format), corners(b, box_format)
    apart = total_of((one - other) ** 2 for one, other in zip(centre_of(a), centre_of(b), strict=True))
    span = total_of(number**2 for number in sizes_of(hull(a, b))) + eps
    return exp(share_of(apart, constant(span) if detach_span else span)) * missing


@oracle
def bounded_iou(a: Row, b: Row, beta: Any = 0.2, eps: Any = 1e-3, box_format: str = "xyxy") -> Exact:
    a, b = corners(a, box_format), corners(b, box_format)
    terms: list[Exact] = []
    for own, true, x, y in zip(sizes_of(a), sizes_of(b), centre_of(a), centre_of(b), strict=True):
        far = 2 * absolute(x - y)
        terms.append(1 - positive(quotient_of(true - far, true + far + eps), at_zero=0))
        terms.append(1 - smallest([quotient_of(true, own + eps), quotient_of(own, true + eps)]))
    return total_of(number**2 / (2 * beta) if number < beta else number - beta / 2 for number in terms)


def quotient_of(above: Exact, below: Exact) -> Exact:
    return above / below if below > 0 else Exact(1)


@oracle
def quality_focal(x: Exact, y: Exact, beta: Any = 2) -> Exact:
    return absolute(sigmoid(x) - y) ** beta * (y * log1p_exp(-x) + (1 - y) * log1p_exp(x))


@oracle
def varifocal(x: Exact, y: Exact, alpha: Any = 0.75, gamma: Any = 2) -> Exact:
    cost = y * log1p_exp(-x) + (1 - y) * log1p_exp(x)
    return y * cost if y > 0 else alpha * sigmoid(x) ** gamma * cost


@oracle
def gaussian_focal(p: Exact, y: Exact, alpha: Any = 2, beta: Any = 4) -> Exact:
    if y == 1:
        return -xlogy((1 - p) ** alpha, p)
    return -((1 - y) ** beta) * xlogy(p**alpha, 1 - p)


@oracle
def distribution_focal(row: Row, y: Exact) -> Exact:
    place = smallest([y, Exact(len(row) - 1)])
    shares = [positive(1 - absolute(place - index), at_zero=0) for index in range(len(row))]
    return -total_of(share * number for share, number in zip(shares, log_softmax(row), strict=True) if share > 0)


@oracle
def balanced_l1(p: Exact, y: Exact, alpha: Any = 0.5, gamma: Any = 1.5) -> Exact:
    r, b = p - y if p >= y else y - p, exp(exact(gamma) / alpha) - 1
    return alpha / b * ((b * r + 1) * log(b * r + 1) - b * r) if r < 1 else gamma * r + gamma / b - alpha


# --- sequence -------------------------------------------------------------------------------------------------------


@oracle
def ctc(
    frames: Sequence[Row],
    labels: Sequence[int],
    blank: int = 0,
    from_logits: bool = False,
    zero_infinity: bool = False,
    input_lengths: int | None = None,
    target_lengths: int | None = None,
    divide_by_length: bool = False,
) -> Exact:
    frames = [softmax(frame) if from_logits else [exp(number) for number in frame] for frame in frames[:input_lengths]]
    states = [blank, *(state for label in labels[:target_lengths] if label >= 0 for state in (label, blank))]
    reached = [Exact(index < 2) * frames[0][state] for index, state in enumerate(states)]
    for frame in frames[1:]:
        reached = [
            total_of(reached[b] for b in before(index, states, blank)) * frame[state] for index, state in enumerate(states)
        ]
    total = total_of(reached[-2:])
    return -log(total) if total > 0 else Exact(0 if zero_infinity else mp.inf)  # divide_by_length is of the mean: FACTORS


@oracle
@tried({}, {"blank": 2}, {"blank": 3}, {"input_lengths": [6, 4, 3, 2, 1, 5] * 2, "target_lengths": [2, 1, 0, 1] * 3})
def rnn_t(
    frames: Sequence[Sequence[Row]],
    labels: Sequence[int],
    blank: int = 0,
    input_lengths: int | None = None,
    target_lengths: int | None = None,
) -> Exact:
    labels = [label for label in labels[:target_lengths] if label >= 0]
    shares = [[softmax(row) for row in nodes] for nodes in frames[:input_lengths]]
    ways = [[Exact(0)] * (len(labels) + 1) for _ in shares]
    for t, nodes in enumerate(shares):
        for u in range(len(labels) + 1):
            across = ways[t - 1][u] * shares[t - 1][u][blank] if t else Exact(u == 0)
            ways[t][u] = across + (ways[t][u - 1] * nodes[u - 1][labels[u - 1]] if u else Exact(0))
    return -log(ways[-1][-1] * shares[-1][len(labels)][blank])


def before(position: int, states: Sequence[int], blank: int) -> range:
    """The states from which one may come to this: itself, the one before, and the one before a blank that may be left out."""
    leaps = position >= 2 and states[position] != blank and states[position] != states[position - 2]
    return range(max(position - (2 if leaps else 1), 0), position + 1)


@oracle
def sequence_cross_entropy(row: Row, y: int, z_loss: Any = 0) -> Exact:
    level = log(total_of(exp(number) for number in row))
    return log(total_of(exp(number - row[y]) for number in row)) + z_loss * level**2


@oracle
def unlikelihood(row: Row, unwanted: Row) -> Exact:
    powers = [exp(number) for number in row]
    others = [total_of(powers[:index] + powers[index + 1 :]) for index, flag in enumerate(unwanted) if flag > 0]
    return total_of(log(total_of(powers)) - log(number) for number in others)


# --- survival -------------------------------------------------------------------------------------------------------


@oracle
@of_batch
def cox_partial_likelihood(x: Row, time: Row, event: Row, ties: str = "breslow", divide_by_events: bool = False) -> list[Exact]:
    return [cox_of(index, x, time, event, ties) if event[index] == 1 else Exact(0) for index in range(len(x))]


def cox_of(patient: int, x: Row, time: Row, event: Row, ties: str) -> Exact:
    powers = [exp(score - x[patient]) for score in x]
    at_risk = total_of(power for power, until in zip(powers, time, strict=True) if until >= time[patient])
    tied = [power for power, until, seen in zip(powers, time, event, strict=True) if until == time[patient] and seen == 1]
    gone = [Exact(place) / len(tied) if ties == "efron" else Exact(0) for place in range(len(tied))]
    return total_of(log(at_risk - share * total_of(tied)) for share in gone) / len(tied)


@oracle
def logistic_hazard(x: Row, interval: int, event: Exact) -> Exact:
    until = [log(1 + exp(score)) for score in x[:interval]]
    return total_of(until) + (log(1 + exp(-x[interval])) if event == 1 else log(1 + exp(x[interval])))


@oracle
def pmf_nll(x: Row, interval: int, event: Exact) -> Exact:
    powers = [*map(exp, x), Exact(1)]
    return log(total_of(powers)) - log(powers[interval] if event == 1 else total_of(powers[interval + 1 :]))


@oracle
def mtlr(x: Row, interval: int, event: Exact) -> Exact:
    return pmf_nll([total_of(x[index:]) for index in range(len(x))], interval, event)


@oracle
def survival_bce(x: Row, interval: int, event: Exact) -> Exact:
    before, after = x[:interval], x[interval:] if event == 1 else []
    return total_of([*(log(1 + exp(-score)) for score in before), *(log(1 + exp(score)) for score in after)]) / len(x)


def standard(distribution: str, z: Exact) -> tuple[Exact, Exact, Exact]:
    """The density at a point, what is below it and what is above."""
    if mp.isinf(z.value):
        return Exact(0), Exact(z.value > 0), Exact(z.value < 0)
    if distribution == "normal":
        tail = Exact(mp.erfc(z.value / mp.sqrt(2)) / 2)
        density = exp(-(z**2) / 2) / mp.sqrt(2 * mp.pi)
        above_it = chained(z, tail.value, -density.value, z.value * density.value)
        below = chained(z, mp.erfc(-z.value / mp.sqrt(2)) / 2, density.value, -z.value * density.value)
        return density, below, above_it
    return sigmoid(z) * sigmoid(-z), sigmoid(z), sigmoid(-z)


def of_extremes(low: Exact, high: Exact, unit: Exact) -> Exact:
    """The surprise at an interval, or at a point, of the least of many numbers; by hazards, since e^−e^z has too many digits."""
    if low == high:
        return exp(low) - low + log(unit) if not mp.isinf(low.value) else Exact(mp.inf)
    before = exp(low) if low > -mp.inf else Exact(0)
    if high == mp.inf:
        return before
    within = exp(high) - before
    if within < mpf(2) ** -400:  # the next term of the series is beyond all digits
        return before - (log(within) - within / 2)
    return before - log(1 - exp(-within)) if within < EXPONENTIAL_REACH else before


@oracle
def aft_nll(p: Exact, lower: Exact, upper: Exact, distribution: str = "normal", scale: Any = 1) -> Exact:
    lower, upper = (lower, upper) if lower <= upper else (upper, lower)

    def z(time: Exact) -> Exact:
        return Exact(-mp.inf) if time == 0 else Exact(mp.inf) if mp.isinf(time.value) else (log(time) - p) / scale

    if distribution == "extreme":
        return of_extremes(z(lower), z(upper), scale * lower)
    first, last = standard(distribution, z(lower)), standard(distribution, z(upper))
    if lower == upper:
        return -log(first[0] / (scale * lower)) if 0 < lower < mp.inf else Exact(mp.inf)
    return -log(last[1] - first[1] if last[1] < 0.5 else first[2] - last[2])


@oracle
def cox_case_control(case: Exact, controls: Row, shrink: Any = 0) -> Exact:
    size = absolute(case) + mean_of([absolute(number) for number in controls])
    return log(1 + total_of(exp(number - case) for number in controls)) + shrink * size


@oracle
def pc_hazard(x: Row, interval: int, event: Exact, fraction: Exact) -> Exact:
    risks = [log1p_exp(number) for number in x[: interval + 1]]
    return total_of(risks[:-1]) + fraction * risks[-1] - (log(risks[-1]) if event == 1 else 0)


@oracle
@of_batch
def deephit_rank(x: Sequence[Row], interval: Sequence[int], event: Row, width: Any = 0.1, ties: bool = False) -> list[Exact]:
    chances = [softmax([*row, Exact(0)]) for row in x]
    n = len(x)

    def reached(sample: int, time: int) -> Exact:
        return total_of(chances[sample][: time + 1])

    def later(i: int, j: int) -> bool:
        return interval[i] < interval[j] or (ties and interval[i] == interval[j] and event[j] == 0)

    return [
        total_of(
            exp((reached(j, interval[i]) - reached(i, interval[i])) / width) for j in range(n) if event[i] == 1 and later(i, j)
        )
        / n
        for i in range(n)
    ]


@oracle
@of_batch
def integrated_brier_score(p: Sequence[Row], time: Row, event: Row, times: Any = None) -> list[Exact]:
    grid = [exact(number) for number in (range(1, len(p[0]) + 1) if times is None else times)]

    def uncensored(until: Exact) -> Exact:
        share = Exact(1)
        for when in sorted({number.value for number in time if number <= until}):
            tied = [seen for number, seen in zip(time, event, strict=True) if number == when]
            events = sum(1 for seen in tied if seen == 1)
            at_risk = sum(1 for number in time if number >= when) - events
            if len(tied) > events:
                share *= Exact(at_risk - (len(tied) - events)) / at_risk
        return share

    def score(row: Row, own: Exact, seen: Exact, j: int) -> Exact:
        if own > grid[j]:
            return (1 - row[j]) ** 2 / uncensored(grid[j])
        share = uncensored(own)
        return row[j] ** 2 / share if seen == 1 and share > 0 else Exact(0)

    def integrated(row: Row, own: Exact, seen: Exact) -> Exact:
        scores = [score(row, own, seen, j) for j in range(len(grid))]
        pieces = [(grid[j + 1] - grid[j]) * (scores[j] + scores[j + 1]) / 2 for j in range(len(grid) - 1)]
        return total_of(pieces) / (grid[-1] - grid[0]) if pieces else scores[0]

    return [integrated(*sample) for sample in zip(p, time, event, strict=True)]


# --- forecasting ----------------------------------------------------------------------------------------------------


def above(x: Exact) -> Exact:
    return positive(x, at_zero=0)


@oracle
def interval_score(lower: Exact, upper: Exact, y: Exact, alpha: Any = 0.1) -> Exact:
    return upper - lower + 2 / alpha * (above(lower - y) + above(y - upper))


@oracle
def weighted_interval_score(lower: Row, upper: Row, median: Exact, y: Exact, alphas: Any = None) -> Exact:
    k = len(lower)
    levels = [Exact(2 * j + 1) / (2 * k + 1) for j in range(k)] if alphas is None else alphas
    ends = [
        a / 2 * interval_score(u, v, y, a) if a > 0 else above(u - y) + above(y - v)
        for u, v, a in zip(lower, upper, levels, strict=True)
    ]
    return (absolute(y - median) / 2 + total_of(ends)) / (k + Exact(0.5))


@oracle
def crps_normal(mean: Exact, scale: Exact, y: Exact) -> Exact:
    z = (y - mean) / scale
    return scale * (z * erf(z / mp.sqrt(2)) + exp(-(z**2) / 2) * mp.sqrt(2 / mp.pi) - 1 / mp.sqrt(mp.pi))


@oracle
def crps_laplace(location: Exact, scale: Exact, y: Exact) -> Exact:
    z = (y - location) / scale
    size = absolute(z)  # at 0 the corners of the two terms cancel: there it is a parabola
    return scale * (size + exp(-size) - Exact(0.75) if z.value else Exact(0.25) + z**2 / 2)


@oracle
def crps_logistic(location: Exact, scale: Exact, y: Exact) -> Exact:
    z = (y - location) / scale
    return scale * (z + 2 * log(1 + exp(-z)) - 1)


@oracle
def dawid_sebastiani_score(mean: Exact, variance: Exact, y: Exact) -> Exact:
    return (y - mean) ** 2 / variance + log(variance)


@oracle
def crps_ensemble(x: Row, y: Exact, estimator: str = "nrg") -> Exact:
    k = len(x)
    apart = total_of(absolute(a - b) for a in x for b in x)
    return total_of(absolute(member - y) for member in x) / k - apart / (2 * k * (k - 1 if estimator == "fair" else k))


# --- means ----------------------------------------------------------------------------------------------------------


def root_mean_square(losses: Row, weights: Row) -> Exact:
    return sqrt(total_of(w * loss**2 for w, loss in zip(weights, losses, strict=True)) / total_of(weights))


def median(losses: Row, weights: Row) -> Exact:
    """Of the losses, each as often as its (whole) weight says: the middle one, or half the sum of the two in the middle."""
    ordered = sorted(
        (loss for w, loss in zip(weights, losses, strict=True) for _ in range(int(w.value))), key=lambda loss: loss.value
    )
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def maximum(losses: Row, weights: Row) -> Exact:
    return max((loss for w, loss in zip(weights, losses, strict=True) if w > 0), key=lambda loss: loss.value)


MEANS: Mapping[str, Formula] = {
    "root_mean_squared_error": root_mean_square,
    "root_mean_squared_logarithmic_error": root_mean_square,
    "median_absolute_error": median,
    "max_error": maximum,
    "query_rmse": root_mean_square,
}
"""How (losses, weights) become one number, where it is not Σwl / Σw."""


def class_weight_of(y: Any, class_weight: Row | None = None, **_: Any) -> Exact:
    """What a class index counts in the mean: its weight, 0 if it is ignored. Rows of probabilities count 1, as in PyTorch."""
    if not isinstance(y, int):
        return Exact(1)
    return class_weight[y] if class_weight else Exact(1)


def events_of(event: Exact, divide_by_events: bool = False, **_: Any) -> Exact:
    return event if divide_by_events else Exact(1)


def relevance_of(relevance: Row, divide_by_relevance: bool = False, **_: Any) -> Exact:
    return total_of(relevance) if divide_by_relevance else Exact(1)


COUNTS: Mapping[str, Formula] = {
    "query_softmax": relevance_of,
    "categorical_cross_entropy": class_weight_of,
    "nll": class_weight_of,
    "cox_partial_likelihood": events_of,
}
"""What a sample counts in the divisor of the mean, where that is not 1."""


def share_of_labels(labels: Sequence[int], divide_by_length: bool = False, **_: Any) -> Exact:
    return Exact(1) / max(sum(int(label) >= 0 for label in labels), 1) if divide_by_length else Exact(1)


FACTORS: Mapping[str, Formula] = {"ctc": share_of_labels}
"""What the mean multiplies a sample by, and does not divide by, where that is not 1."""


# --- settings -------------------------------------------------------------------------------------------------------

K = 4
"""Classes, labels and columns of the arrays that the losses are compared on: the length of lists below."""

BALANCE = [0.5, 2.0, 0.0, 1.3]

DICE = (
    {},
    {"smooth": 1.0},
    {"squared": True},
    {"smooth_nr": 0.5, "smooth_dr": 2.0},
    {"squared": True, "smooth_dr": 1.0},
    {"smooth_nr": 2.0, "smooth_dr": 0.5},
    {"squared": True, "smooth_nr": 2.0, "smooth_dr": 0.5},
)

OTHER_BOXES = ({"box_format": "xywh"}, {"box_format": "cxcywh"}, {"box_format": "cxcywh", "eps": 0.01})

MAPS = (
    {"class_axis": -1},
    {"class_axis": -1, "include_background": False, "smooth": 1.0},
    {"class_axis": -1, "activation": "sigmoid", "smooth_nr": 0.0, "smooth_dr": 1.0},
)

PARAMETERS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    **TRIED,
    "mean_squared_logarithmic_error": [{}, {"clip": 1e-7}, {"clip": 0.5}],
    "mean_absolute_percentage_error": [{}, {"scale": 100.0}, {"eps": 1.0}],
    "symmetric_mean_absolute_percentage_error": [{}, {"scale": 100.0}],
    "huber": [{}, {"delta": 0.3}, {"delta": 1e-300}, {"delta": 1e6}],
    "cauchy": [{}, {"c": 0.3}, {"c": 1e-100}, {"c": 1e6}],
    "geman_mcclure": [{}, {"c": 0.3}, {"c": 1e-100}, {"c": 1e6}],
    "welsch": [{}, {"c": 0.3}, {"c": 1e-100}, {"c": 1e6}],
    "charbonnier": [{}, {"c": 0.3}, {"c": 1e6}],
    "pseudo_huber": [{}, {"delta": 0.3}, {"delta": 1e-100}, {"delta": 1e6}],
    "barron": [
        {"c": 0.5},
        {"alpha": -2.0, "c": 1e-100},
        *({"alpha": alpha} for alpha in (-100.0, -2.0, 0.0, 1e-3, 0.5, 1.5, 2.0)),
    ],
    "tukey_biweight": [{}, {"c": 0.3}, {"c": 1e6}],
    "fair": [{}, {"c": 0.3}, {"c": 1e-100}, {"c": 1e6}],
    "wing": [{}, {"width": 0.3, "epsilon": 2.0}],
    "berhu": [{}, {"c": 0.3}],
    "linex": [{}, {"a": -0.3}, {"a": 3.0}],
    "quantile_huber": [{}, {"quantile": 0.9, "kappa": 0.3}, {"quantile": 0.0}, {"quantile": 1.0}],
    "expectile": [{}, {"tau": 0.9}, {"tau": 1e-100}],
    "log_lin_quantile": [{}, {"quantile": 0.9}, {"quantile": 0.0}, {"quantile": 1.0}],
    "lp_loss": [{}, *({"power": power} for power in (1.0, 1.1, 1.5, 3.0, 4.5, 100.0))],
    "smooth_l1": [{}, {"beta": 0.3}, {"beta": 0.0}, {"beta": 1e-300}, {"beta": 1e6}],
    "quantile": [{}, {"quantile": 0.9}, {"quantile": 0.1}, {"quantile": 0.0}, {"quantile": 1.0}],
    "epsilon_insensitive": [{}, {"epsilon": 0.0}, {"epsilon": 1.0}],
    "squared_epsilon_insensitive": [{}, {"epsilon": 0.0}, {"epsilon": 1.0}],
    "tweedie_deviance": [{}, *({"power": power} for power in (-1.5, 1.0, 1.1, 1.5, 1.9, 2.0, 2.5, 3.0))],
    "binary_cross_entropy": [
        {},
        {"label_smoothing": 0.1},
        {"pos_weight": 3.0},
        {"clip": 1e-7},
        {"from_logits": True},
        {"from_logits": True, "label_smoothing": 0.1},
        {"from_logits": True, "pos_weight": 3.0},
    ],
    "hinge": [{}, {"margin": 0.3}],
    "binary_focal": [
        *({"gamma": gamma} for gamma in (2.0, 0.0, 0.5, 1.0, 3.5)),
        *({"from_logits": True, "gamma": gamma} for gamma in (2.0, 0.0, 0.5, 1.0, 3.5)),
        {"alpha": 0.25},
        {"from_logits": True, "alpha": 0.25},
        {"label_smoothing": 0.1},
        {"from_logits": True, "label_smoothing": 0.1},
    ],
    "brier_score": [{}, {"scale_by_half": True}, {"scale_by_half": False}, {"label_smoothing": 0.1}],
    "zero_one": [{}, {"threshold": 0.3}],
    "categorical_cross_entropy": [
        *(
            {"from_logits": logits, **more}
            for logits in (False, True)
            for more in (
                {},
                {"label_smoothing": 0.1},
                {"class_weight": BALANCE},
                {"class_weight": BALANCE, "label_smoothing": 0.1},
            )
        ),
        {"clip": 1e-7},
        {"clip": 0.01},
    ],
    "nll": [{}, {"class_weight": BALANCE}],
    "multi_margin": [{}, {"p": 2}, {"margin": 0.3}, {"class_weight": BALANCE}, {"p": 2, "margin": 1.7, "class_weight": BALANCE}],
    "categorical_focal": [
        {"from_logits": logits, **more}
        for logits in (False, True)
        for more in ({}, {"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 1.0}, {"gamma": 3.5}, {"alpha": 1.0}, {"alpha": BALANCE})
    ],
    "generalized_cross_entropy": [{"from_logits": logits, "q": q} for logits in (False, True) for q in (0.5, 1.0, 0.7, 1e-3)],
    "subset_zero_one": [{}],
    "multilabel_margin": [{}, {"target_format": "multi_hot"}],
    "multilabel_soft_margin": [{}, {"class_weight": BALANCE}],
    "kl_divergence": [
        {"input_format": source, "log_target": logs}
        for source in ("probabilities", "log_probabilities", "logits")
        for logs in (False, True)
    ],
    "poisson_nll": [
        *({"log_input": logs, "full": full} for logs in (True, False) for full in (False, True, "stirling")),
        {"log_input": False, "eps": 0.5},
        {"log_input": False, "eps": 0.0},
    ],
    "gamma_nll": [{}, {"log_input": True}],
    "tweedie_nll": [
        {"log_input": logs, "power": power} for logs in (False, True) for power in (1.5, 1.1, 1.9, 1.0, 2.0, 3.0, 0.0)
    ],
    "gaussian_nll": [{}, {"full": True}, {"eps": 0.5}],
    "contrastive": [{}, {"margin": 0.3}],
    "cosine_embedding": [{}, {"margin": 0.3}, {"margin": -0.5}],
    "hinge_embedding": [{}, {"margin": 0.3}],
    "triplet_margin": [
        {},
        {"margin": 0.3},
        {"p": 1.0},
        {"p": 3.5},
        {"eps": 0.01},
        {"eps": 0.0},
        {"swap": True},
        {"swap": True, "p": 1.5},
    ],
    "circle": [{}, {"gamma": 5.0}, {"margin": 0.1}],
    "batch_all_triplet": [{}, {"margin": 0.3, "only_active": True}, {"mining": "hardest"}, {"unit_length": True}],
    "arcface": [{}, {"margin": 1.5, "scale": 5.0}, {"margin": 0.0}],
    "sphereface": [{}, {"margin": 1}, {"margin": 3, "scale": 5.0}],
    "angular": [{}, {"alpha": 10.0}, {"alpha": 75.0}],
    **{
        name: [{}, {"temperature": 0.5}]
        for name in ("nt_xent", "supervised_contrastive", "neighbourhood_components", "info_nce", "clip")
    },
    "siglip": [{}, {"scale": 3.0, "bias": -1.0}],
    "lifted_structure": [{}, {"margin": 0.3}],
    "multi_similarity": [{}, {"alpha": 5.0, "beta": 10.0, "base": 0.1}],
    "barlow_twins": [{}, {"redundancy": 0.3}, {"unbiased": True}],
    "vicreg": [{}, {"invariance": 1.0, "variance": 3.0, "covariance": 20.0, "eps": 0.1}],
    "approx_ndcg": [{}, {"temperature": 0.3}],
    "approx_mrr": [{}, {"temperature": 1.5}],
    "neural_ndcg": [{}, {"temperature": 0.3}],
    "cosent": [{}, {"scale": 3.0}],
    "cosface": [{}, {"margin": 0.1, "scale": 5.0}],
    "margin_ranking": [{}, {"margin": 0.3}],
    "cox_partial_likelihood": [{}, {"ties": "efron"}, {"divide_by_events": True}],
    "query_softmax": [{}, {"beta": 0.3}, {"beta": 5.0, "divide_by_relevance": True}],
    "lambda_loss": [
        {},
        {"scheme": "ranknet", "sigma": 0.3},
        {"scheme": "ndcg_loss1", "binary_logarithm": False},
        {"scheme": "ndcg_loss2", "top": 2},
        {"scheme": "lambda_rank"},
        {"mu": 0.5},
    ],
    "weighted_interval_score": [{}, {"alphas": [0.05, 0.2, 0.5, 0.9]}],
    "crps_ensemble": [{}, {"estimator": "fair"}],
    "dice": [{"from_logits": logits, **more} for logits in (False, True) for more in (*DICE, *MAPS)],
    "tversky": [
        {"from_logits": logits, **more}
        for logits in (False, True)
        for more in (
            {},
            {"smooth": 1.0},
            {"alpha": 0.3},
            {"beta": 0.7},
            {"alpha": 0.0},
            {"alpha": 0.2, "beta": 1.3},
            {"smooth_nr": 0.5, "smooth_dr": 2.0},
            {"smooth_nr": 2.0, "smooth_dr": 0.5},
            *MAPS,
        )
    ],
    "iou": [{}, {"eps": 1e-7}, {"eps": 0.01}, *OTHER_BOXES],
    "eiou": [{}, {"eps": 0.01}, *OTHER_BOXES],
    "focal_eiou": [{}, {"gamma": 2.0, "eps": 0.01}, {"gamma": 0.0}, *OTHER_BOXES],
    "wiou": [{}, {"eps": 0.01}, {"detach_span": True}, *OTHER_BOXES],
    "bounded_iou": [{}, {"beta": 1.0, "eps": 0.1}, {"box_format": "cxcywh"}],
    "quality_focal": [{}, *({"beta": beta} for beta in (0.0, 3.5))],
    "varifocal": [{}, {"alpha": 0.3, "gamma": 0.5}, {"gamma": 0.0}],
    "gaussian_focal": [{}, {"alpha": 1.0, "beta": 0.5}, {"alpha": 3.5, "beta": 0.0}],
    "balanced_l1": [{}, {"alpha": 3.0, "gamma": 0.7}, {"alpha": 0.2, "gamma": 5.0}],
    "sequence_cross_entropy": [{}, {"z_loss": 0.1}],
    "aft_nll": [
        {"distribution": distribution, "scale": scale}
        for distribution in ("normal", "logistic", "extreme")
        for scale in (1.0, 0.3)
    ],
    "deephit_rank": [{}, {"width": 0.5, "ties": True}],
    "integrated_brier_score": [{}, {"times": [0.5, 2.0, 2.25, 7.0]}],
    "giou": [{}, {"eps": 1e-7}, {"eps": 0.01}, *OTHER_BOXES],
    "diou": [{}, {"eps": 1e-7}, {"eps": 0.01}, *OTHER_BOXES],
    "ciou": [{}, {"eps": 0.01}, {"detach_alpha": True}, {"eps": 1e-7, "detach_alpha": True}, *OTHER_BOXES],
    "ctc": [
        {},
        {"blank": 2},
        {"from_logits": True},
        {"from_logits": True, "blank": 3},
        {"zero_infinity": True},
        {"divide_by_length": True},
        {"from_logits": True, "divide_by_length": True},
        *(
            {"from_logits": logits, "input_lengths": [6, 4, 3, 2, 1, 5] * 2, "target_lengths": [2, 1, 0, 1] * 3}
            for logits in (False, True)
        ),
    ],
}
"""The settings in which a loss is compared with its oracle, every parameter at least once off its default."""

MATRICES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "mean_squared_error": [{}],
    "root_mean_squared_error": [{}],
    "binary_cross_entropy": [{"pos_weight": [0.5, 2.0, 0.0, 1.3]}, {"from_logits": True, "pos_weight": [0.5, 2.0, 0.0, 1.3]}],
    "brier_score": [
        {},
        {"scale_by_half": True},
        {"scale_by_half": False},
        {"label_smoothing": 0.1},
        {"class_weight": BALANCE},
        {"class_weight": BALANCE, "label_smoothing": 0.1},
    ],
    "zero_one": [{}],
    "hamming_loss": [{}],
}
"""Settings of losses that take one number per sample or a row of them, for rows."""
