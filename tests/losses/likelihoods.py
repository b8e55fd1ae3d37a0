"""The textbook formulas of losses that are likelihoods: each the negative logarithm of a density."""

from functools import cache
from typing import Any

from mpmath import mp

from tests.losses.exact import Exact, chained, constant, exp, log, softmax, total_of, xlogy
from tests.losses.oracle import Row, oracle, tried


def log_2_pi() -> Exact:
    return Exact(mp.log(2 * mp.pi))


@oracle
def logistic_nll(location: Exact, scale: Exact, y: Exact) -> Exact:
    z = (y - location) / scale
    return z + 2 * log(1 + exp(-z)) + log(scale)


@oracle
def log_normal_nll(location: Exact, scale: Exact, y: Exact) -> Exact:
    return log(y) + log(scale) + ((log(y) - location) / scale) ** 2 / 2 + log_2_pi() / 2


@oracle
@tried({}, {"beta": 1.0}, {"beta": 0.3}, {"detach_weight": True}, {"beta": 0.0})
def beta_weighted_nll(mean: Exact, variance: Exact, y: Exact, beta: Any = 0.5, detach_weight: bool = False) -> Exact:
    weight = variance**beta
    return (constant(weight) if detach_weight else weight) * (log(variance) + (y - mean) ** 2 / variance) / 2


def log_gamma(x: Exact) -> Exact:
    """With 300 bits, since more take mpmath seconds."""
    with mp.workprec(300):
        return chained(x, mp.loggamma(x.value), mp.digamma(x.value), mp.psi(1, x.value))


@cache
def robust_normaliser(alpha: Any) -> tuple[Any, Any]:
    """ln ∫ exp(−ρ(x, α)) dx and its derivative, by quadrature in 30 digits; x is 2·sinh of what is integrated over."""

    def cost(shape: Any, x: Any) -> Any:
        return mp.log(x * x / 2 + 1) if shape == 0 else (2 - shape) / shape * ((x * x / (2 - shape) + 1) ** (shape / 2) - 1)

    def slope(x: Any) -> Any:
        level = mp.log(x * x / (2 - alpha) + 1)
        q = alpha * level / 2
        if q < mp.mpf(10) ** -12:  # its series: the terms below would leave nothing
            return level**2 / 2 * (mp.mpf(1) / 2 + q / 3) - (1 + q) * (level - 1 + mp.exp(-level)) / 2
        power = mp.exp(q)
        return -2 / alpha**2 * (power - 1) + (2 - alpha) / (2 * alpha) * power * level + power * (1 - mp.exp(-level)) / 2

    def over(weight: Any) -> Any:
        ends = [0, 1, 2, 4, 8, 16, 40, 80]
        return 2 * mp.quad(lambda w: weight(2 * mp.sinh(w)) * mp.exp(-cost(alpha, 2 * mp.sinh(w))) * 2 * mp.cosh(w), ends)

    with mp.workprec(160):
        total = over(lambda _: 1)
        return mp.log(total), -over(slope) / total


def at_zero(alpha: Exact, level: Exact) -> Exact:
    """The limit for α → 0, with its slope to α alone in place of that through the level."""
    still = Exact(level.value, {key: slope for key, slope in level.slope.items() if key[0] != "alpha"}, level.bend)
    return still + chained(alpha, 0, level.value**2 / 4 - (level.value - 1 + mp.exp(-level.value)) / 2, 0)


@oracle
def barron_nll(location: Exact, alpha: Exact, scale: Exact, y: Exact) -> Exact:
    square = ((y - location) / scale) ** 2
    b = 2 - alpha
    level = log(square / b + 1)
    cost = b / alpha * (exp(alpha / 2 * level) - 1) if alpha > 0 else at_zero(alpha, level)
    value, slope = robust_normaliser(alpha.value if alpha > 1e-30 else mp.mpf(0))
    return cost + log(scale) + chained(alpha, value, slope, 0)


@oracle
def student_t_nll(nu: Exact, location: Exact, scale: Exact, y: Exact) -> Exact:
    z = (y - location) / scale
    constants = log_gamma(nu / 2) - log_gamma((nu + 1) / 2) + log(nu * Exact(mp.pi)) / 2
    return constants + log(scale) + (nu + 1) / 2 * log(1 + z**2 / nu)


@oracle
def weibull_nll(shape: Exact, scale: Exact, y: Exact) -> Exact:
    ratio = log(y / scale)
    return -log(shape / scale) - (shape - 1) * ratio + exp(shape * ratio)


@oracle
def negative_binomial_nll(mean: Exact, alpha: Exact, y: Exact) -> Exact:
    r = 1 / alpha
    chosen = log_gamma(y + r) - log_gamma(r) - log_gamma(y + 1)
    return -chosen - r * log(r / (r + mean)) - xlogy(y, mean / (r + mean))


@oracle
def zero_inflated_poisson_nll(rate: Exact, share: Exact, y: Exact) -> Exact:
    if y == 0:
        return -log(share + (1 - share) * exp(-rate))
    return rate - y * log(rate) + log_gamma(y + 1) - log(1 - share)


@oracle
def beta_nll(a: Exact, b: Exact, y: Exact) -> Exact:
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b) - (a - 1) * log(y) - (b - 1) * log(1 - y)


@oracle
def gaussian_mixture_nll(logits: Row, mean: Row, scale: Row, y: Exact) -> Exact:
    parts = zip(softmax(logits), mean, scale, strict=True)
    densities = [share * exp(-(((y - m) / s) ** 2) / 2) / (s * mp.sqrt(2 * mp.pi)) for share, m, s in parts]
    return -log(total_of(densities))


@oracle
def von_mises_nll(mean: Exact, concentration: Exact, y: Exact) -> Exact:
    with mp.workprec(300):
        k, apart = concentration.value, mean.value - y.value
        zeroth, first = mp.besseli(0, k), mp.besseli(1, k)
        bent = (1 - first / zeroth / k if k else mp.mpf(1) / 2) - (first / zeroth) ** 2
        value = chained(concentration, mp.log(2 * mp.pi * zeroth), first / zeroth, bent)
        cosine = chained(mean, mp.cos(apart), -mp.sin(apart), -mp.cos(apart))
        return value - concentration * cosine


@oracle
def cross_entropy_lambda(x: Exact, y: Exact, w: Exact) -> Exact:
    if x < -1e3:  # of which 1 + eˣ has no digit left in the numbers of a test
        return (1 - y) * w * exp(x) - y * (log(w) + x)
    expected = w * log(1 + exp(x))
    return (1 - y) * expected - xlogy(y, 1 - exp(-expected))
