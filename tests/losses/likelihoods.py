"""The textbook formulas of losses that are likelihoods: each the negative logarithm of a density."""

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
    """With 300 bits, since more take mpmath seconds, and no second derivative."""
    with mp.workprec(300):
        return chained(x, mp.loggamma(x.value), mp.digamma(x.value), 0)


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
