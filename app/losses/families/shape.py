"""Losses of a predicted distribution whose shape is predicted too: tails, wear, dispersion, shares, angles and mixtures.

Of arrays (n, *d), every number is an element by itself. Each is the negative logarithm of the target's density, with all of
its constants, in double-double: what gamma functions leave of each other is little.
"""

import numpy as np

from app.domains import Interval
from app.libraries import EACH, equal
from app.losses.cost import IN_PAIRS, Cost
from app.losses.encodings import POSITIVE, PROBABILITY, REAL, numbers, steps
from app.losses.loss import DIFFERENTIABLE, SMOOTH, Seconds, loss
from app.losses.numerics.bessel import bessel
from app.losses.numerics.gamma import HALF_LOG_2_PI, log_gamma, log_gamma_and_digamma, trigamma
from app.losses.numerics.pairs import two_sum
from app.losses.numerics.stable import Array
from app.losses.numerics.wide import NEAR, Wide, exp, expm1, log, log1p, log_softmax, standardised, where, wide

SHAPE = numbers("shape", "the shape of a distribution, from 0.001 to 1000", Interval(1e-3, 1e3), steps(0.2, 6))
DEGREES = numbers("degrees", "degrees of freedom, from 0.01 to a million", Interval(1e-2, 1e6), steps(0.5, 8, 0.5))
RATE = numbers("rate", "the mean of a count, from 1e-12 to 1e12", Interval(1e-12, 1e12), steps(0.2, 6))
DISPERSION = numbers("dispersion", "what counts scatter beyond Poisson's, from 1e-6 to 1000", Interval(1e-6, 1e3), steps(0.1, 3))
OCCURRENCES = numbers("occurrences", "a count, from 0 to 1e9", Interval(0.0, 1e9), steps(0, 6, 1.0))
SHARE = numbers("share", "a share above 0 and below 1", Interval(0.0, 1.0, open_low=True, open_high=True), steps(0.05, 0.95))
ANGLE = numbers("angle", "an angle in radians, within ±1e6", Interval(-1e6, 1e6), steps(-3, 3))
CONCENTRATION = numbers("concentration", "how narrow angles lie, from 0 to 1e4", Interval(0.0, 1e4), steps(0.2, 6))
WITHIN = Interval(-1e100, 1e100)
WEIGHTS = numbers("component_logits", "the logit of each component's weight", WITHIN, steps(-3, 3), axes="n k")
MEANS = numbers("component_means", "the mean of each component, within ±1e100", WITHIN, steps(-4, 8), axes="n k")
WITHIN_REACH = numbers("value", "one number per sample, within ±1e100", WITHIN, steps(-3, 3), axes="n")
SCALES = numbers(
    "component_scales", "the deviation of each, from 1e-50 to 1e50", Interval(1e-50, 1e50), steps(0.2, 6), axes="n k"
)
HALF_LOG_PI = Wide(np.full(1, 0.5723649429247001), np.full(1, 5.132975581353913e-18))
LOG_2 = Wide(np.full(1, 0.6931471805599453), np.full(1, 2.3190468138462996e-17))
OF_GAMMA = Cost(per_number=3000.0)
"""Gamma functions of numbers below 16 go up by steps."""


@loss(
    predictions={"degrees": DEGREES, "location": REAL, "scale": POSITIVE},
    targets=REAL,
    formula="ln s + ½ ln(ν·π) + ln Γ(½ν) − ln Γ(½ν + ½) + ½(ν + 1)·ln(1 + z²/ν); z = (y − m)/s",
    gradient=(
        "∂ℓ/∂ν = ½(1/ν + ψ(½ν) − ψ(½ν + ½) + ln(1 + z²/ν) − (1 + 1/ν)·c); ∂ℓ/∂m = −(ν + 1)·z/(ν + z²)/s; "
        "∂ℓ/∂s = (1 − (ν + 1)·c)/s; c = z²/(ν + z²)"
    ),
    symbols={"ν": "the predicted degrees of freedom", "m": "the predicted location", "s": "the predicted scale"},
    aliases=("t_nll", "StudentTNLL", "student_t", "logs_t"),
    equals=(
        equal("scoringrules.logs_t(targets, degrees, location, scale)", reductions=EACH),
        equal("-torch.distributions.StudentT(degrees, location, scale).log_prob(targets)", reductions=EACH),
    ),
    reference="Lange, Little and Taylor (1989), doi:10.1080/01621459.1989.10478852",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=OF_GAMMA,
)
def student_t_nll(
    degrees: Array, location: Array, scale: Array, targets: Array
) -> tuple[Array, tuple[Array, Array, Array], Seconds]:
    """Fits a location, a scale and how heavy the tails are: few degrees of freedom let outliers be, many are gaussian_nll.

    Use when: errors have outliers of unknown size, as returns have, and how many is to be learned with the rest.
    Avoid when: the degrees of freedom are known or data are few: they are hard to learn, and a fixed robust loss is steadier.
    See also: gaussian_nll, laplace_nll, cauchy.
    """
    z, nu = standardised(targets, location, scale), wide(degrees)
    half, far = nu * 0.5, np.abs(z.high) > 1e100
    near = where(far, 0.0, z)
    square = near * near
    half_gap = np.where(far, targets / 2.0 - location / 2.0, 1.0)
    of_tail = where(far, 2.0 * (log(np.abs(half_gap)) + LOG_2 - log(scale)) - log(nu), log1p(square / nu))
    tail = where(far, 1.0, square / (nu + square))
    (lower, of_lower), (upper, of_upper) = log_gamma_and_digamma(half), log_gamma_and_digamma(half + 0.5)
    values = log(scale) + HALF_LOG_PI + log(nu) * 0.5 + lower - upper + (half + 0.5) * of_tail
    of_degrees = (1.0 / nu + of_lower - of_upper + of_tail - (1.0 + 1.0 / nu) * tail) * 0.5
    of_location, of_scale = (
        -where(far, (nu + 1.0) * 0.5 / half_gap, (nu + 1.0) * near / (nu + square) / scale),
        (1.0 - (nu + 1.0) * tail) / scale,
    )

    def seconds() -> tuple[Array, Array, Array]:
        more, inverse = nu + 1.0, where(far, 0.0, 1.0 / (nu + square))
        of_gammas = (trigamma(half) - trigamma(half + 0.5)) * 0.5 - 1.0 / (nu * nu)
        twice = (of_gammas - tail * (1.0 / nu) * (1.0 - 1.0 / nu) + (1.0 + 1.0 / nu) * tail * inverse) * 0.5
        narrow = where(far, -more / half_gap * 0.25 / half_gap, more * (1.0 - tail * 2.0) * inverse / scale / scale)
        wider = (more * tail * (1.0 + nu * inverse * 2.0) - 1.0) / scale / scale
        return twice.high, narrow.high, wider.high

    return values.high, (of_degrees.high, of_location.high, of_scale.high), seconds


@loss(
    predictions={"shape": SHAPE, "scale": POSITIVE},
    targets=POSITIVE,
    formula="ln s − ln h − (h − 1)·u + exp(h·u); u = ln(y/s)",
    gradient="∂ℓ/∂h = u·(exp(h·u) − 1) − 1/h; ∂ℓ/∂s = h·(1 − exp(h·u))/s; u = ln(y/s)",
    symbols={"h": "the predicted shape", "s": "the predicted scale"},
    aliases=("WeibullNLL", "weibull"),
    equals=(equal("-torch.distributions.Weibull(scale, shape).log_prob(targets)", reductions=EACH),),
    reference="Weibull (1951), doi:10.1115/1.4010337",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=IN_PAIRS,
)
def weibull_nll(shape: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array], Seconds]:
    """Fits a time until failure whose risk rises (shape above 1) or falls (below 1) as time goes on.

    Use when: times to failure are all seen to the end, and wear or early faults shall show in the shape.
    Avoid when: some were not seen to the end, which takes a loss of survival; or the risk first falls and then rises.
    See also: exponential_nll, log_normal_nll, gamma_nll.
    """
    h, u = wide(shape), log(targets) - log(scale)
    power = h * u
    grown, raised = expm1(power), exp(power)
    values = log(scale) - log(h) - (h - 1.0) * u + raised

    def second() -> tuple[Array, Array]:
        of_scale = (h * ((h + 1.0) * grown + h)) / scale / scale
        return (1.0 / h / h + u * u * raised).high, of_scale.high

    return values.high, ((u * grown - 1.0 / h).high, -(h * grown / scale).high), second


@loss(
    predictions={"rate": RATE, "dispersion": DISPERSION},
    targets=OCCURRENCES,
    formula="ln Γ(c) + ln Γ(y + 1) − ln Γ(y + c) + (y + c)·ln(1 + α·μ) − y ln(α·μ); c = 1/α",
    gradient="∂ℓ/∂μ = (μ − y)/(μ(1 + α·μ)); ∂ℓ/∂α = (ψ(y + c) − ψ(c) − ln(1 + α·μ))·c² + (μ − y)/(α(1 + α·μ)); c = 1/α",
    symbols={"μ": "the predicted mean", "α": "the predicted dispersion: the variance is μ + α·μ²"},
    aliases=("nb", "nb2", "negative_binomial", "NegativeBinomialDistributionLoss"),
    reference="Hilbe (2011), doi:10.1017/CBO9780511973420",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=OF_GAMMA,
)
def negative_binomial_nll(rate: Array, dispersion: Array, targets: Array) -> tuple[Array, tuple[Array, Array]]:
    """Fits a count that scatters more than its mean: the variance grows with the square of the mean.

    Of a dispersion towards 0 it is the Poisson loss with its factorial.

    Use when: counts are more spread out than a Poisson distribution allows, as sales, visits and reads of genes are.
    Avoid when: zeros are far more than even this allows (zero_inflated_poisson_nll), or counts are about Poisson.
    See also: poisson_nll, zero_inflated_poisson_nll.
    """
    mean, alpha, y = wide(rate), wide(dispersion), wide(targets)
    c, product = 1.0 / alpha, wide(rate) * dispersion
    grown = log1p(product)
    (own, of_own), (both, of_both) = log_gamma_and_digamma(c), log_gamma_and_digamma(y + c)
    values = own + log_gamma(y + 1.0) - both + (y + c) * grown - y * log(product)
    of_mean = (mean - y) / (1.0 + product) / mean
    of_dispersion = ((of_both - of_own - _log_excess(product)) * c - y / (1.0 + product)) * c
    return values.high, (of_mean.high, of_dispersion.high)


def _log_excess(x: Wide) -> Wide:
    """ln(1 + x) − x/(1 + x), by its series where the two terms would cancel."""
    near = where(x.high < NEAR, x, 0.0)
    series = near * near * (0.5 - near * (wide(2.0) / 3.0 - near * (0.75 - near * 0.8)))
    return where(x.high < NEAR, series, log1p(x) - x / (1.0 + x))


@loss(
    predictions={"rate": RATE, "zero_share": PROBABILITY},
    targets=OCCURRENCES,
    formula="−ln(q + (1 − q)·exp(−μ)) if y = 0, else μ − y ln μ + ln Γ(y + 1) − ln(1 − q)",
    gradient=(
        "∂ℓ/∂μ = (1 − q)·exp(−μ)/(q + (1 − q)·exp(−μ)) if y = 0, else 1 − y/μ; "
        "∂ℓ/∂q = (exp(−μ) − 1)/(q + (1 − q)·exp(−μ)) if y = 0, else 1/(1 − q)"
    ),
    symbols={"μ": "the predicted mean of the counts that are not zero for sure", "q": "the predicted share that is"},
    aliases=("zip", "ZeroInflatedPoisson", "zip_nll"),
    reference="Lambert (1992), doi:10.2307/1269547",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=OF_GAMMA,
)
def zero_inflated_poisson_nll(rate: Array, zero_share: Array, targets: Array) -> tuple[Array, tuple[Array, Array]]:
    """Fits a count that is zero for two reasons: it could not happen at all, with a share of its own, or it happened not to.

    Use when: there are more zeros than a Poisson distribution has, as of claims, catches or purchases.
    Avoid when: counts scatter widely above zero as well: negative_binomial_nll allows for that with one number.
    See also: poisson_nll, negative_binomial_nll.
    """
    mean, y, none = wide(rate), wide(targets), targets == 0
    rest = 1.0 - wide(zero_share)
    beside = log(zero_share) + mean  # ln of q·e^μ
    many = np.where(beside.high > 0, beside.high, 0.0)
    sure = -log(zero_share) - log1p(rest * exp(-where(many > 0, beside, 0.0)))
    open_ = mean - log(rest + exp(where(many > 0, 0.0, beside)))
    near = -log1p(rest * expm1(-where(rate < 1.0, mean, 0.0)))
    zero = where(rate < 1.0, near, where(many > 0, sure, open_))
    counted = mean - y * log(mean) + log_gamma(y + 1.0) - log(rest)
    values = where(none, zero, counted)
    of_rate = where(none, rest * exp(where(none, zero - mean, 0.0)), (mean - y) / mean)
    of_share = where(none, expm1(-mean) * exp(where(none, zero, 0.0)), 1.0 / rest)
    return values.high, (of_rate.high, of_share.high)


@loss(
    predictions={"a": SHAPE, "b": SHAPE},
    targets=SHARE,
    formula="ln Γ(a) + ln Γ(b) − ln Γ(a + b) − (a − 1)·ln y − (b − 1)·ln(1 − y)",
    gradient="∂ℓ/∂a = ψ(a) − ψ(a + b) − ln y; ∂ℓ/∂b = ψ(b) − ψ(a + b) − ln(1 − y)",
    symbols={"a": "the predicted shape towards 1", "b": "the predicted shape towards 0"},
    aliases=("BetaDistributionLoss", "logs_beta"),
    equals=(
        equal("scoringrules.logs_beta(targets, a, b)", reductions=EACH),
        equal("-torch.distributions.Beta(a, b).log_prob(targets)", reductions=EACH),
    ),
    reference="Ferrari and Cribari-Neto (2004), doi:10.1080/0266476042000214501",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=OF_GAMMA,
)
def beta_nll(a: Array, b: Array, targets: Array) -> tuple[Array, tuple[Array, Array]]:
    """Fits the distribution of a share between 0 and 1: its mean a/(a + b), and how narrow it is by their sum.

    What Seitzer calls beta-NLL is another thing: beta_weighted_nll.

    Use when: targets are shares or rates within 0 and 1, and how sure the prediction is counts.
    Avoid when: some targets are exactly 0 or 1, where the density has no value (binary_cross_entropy takes them).
    See also: binary_cross_entropy, beta_weighted_nll.
    """
    first, other = wide(a), wide(b)
    yes, no = log(targets), log(1.0 - wide(targets))
    both = first + other
    (whole, of_whole), (one, of_one), (rest, of_rest) = map(log_gamma_and_digamma, (both, first, other))
    values = one + rest - whole - (first - 1.0) * yes - (other - 1.0) * no
    return values.high, ((of_one - of_whole - yes).high, (of_rest - of_whole - no).high)


@loss(
    predictions={"logits": WEIGHTS, "mean": MEANS, "scale": SCALES},
    targets=WITHIN_REACH,
    formula="−ln ∑ⱼ cⱼ·exp(−½zⱼ²)/(sⱼ·√(2π)); c = softmax(g); zⱼ = (y − mⱼ)/sⱼ",
    gradient=(
        "∂ℓ/∂gⱼ = cⱼ − dⱼ; ∂ℓ/∂mⱼ = −dⱼ·zⱼ/sⱼ; ∂ℓ/∂sⱼ = dⱼ·(1 − zⱼ²)/sⱼ; c = softmax(g); zⱼ = (y − mⱼ)/sⱼ; "
        "d = softmax(g − ln s − ½(y − m)²/s²)"
    ),
    symbols={
        "g": "the predicted logits of the components' weights",
        "m": "their means",
        "s": "their deviations",
    },
    aliases=("mdn", "mixture_density", "gmm_nll"),
    reference="Bishop (1994), Mixture Density Networks, https://publications.aston.ac.uk/id/eprint/373/",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=Cost(per_number=250.0),
)
def gaussian_mixture_nll(logits: Array, mean: Array, scale: Array, targets: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Fits several normal distributions and their weights at once: a target may lie near either of them.

    Use when: one input has several plausible targets, as positions after a turn or prices of two markets.
    Avoid when: one peak is enough: components then compete for the same targets, and one may narrow onto a single of them.
    See also: gaussian_nll, student_t_nll.
    """
    z = (wide(targets[:, None]) - mean) / scale
    shares = log_softmax(logits)
    densities = shares - log(scale) - z * z * 0.5 - HALF_LOG_2_PI
    top = densities.max()
    powers = exp(densities - top)
    total = powers.sum()
    own = powers / total
    values = -(top + log(total))
    pull = own * z / scale
    spread = own * (1.0 - z * z) / scale
    return values.high[:, 0], ((exp(shares) - own).high, -pull.high, spread.high)


@loss(
    predictions={"mean": ANGLE, "concentration": CONCENTRATION},
    targets=ANGLE,
    formula="ln(2π·I(0, κ)) − κ + 2κ·(sin(½(y − m)))²",
    gradient="∂ℓ/∂m = κ·sin(m − y); ∂ℓ/∂κ = 2(sin(½(y − m)))² − 1 + I(1, κ)/I(0, κ)",
    symbols={
        "m": "the predicted angle",
        "κ": "the predicted concentration",
        "I": "the modified Bessel function of the first kind, of an order and a number",
    },
    aliases=("VonMisesNLL", "von_mises", "circular_nll"),
    reference="Prokudin, Gehler and Nowozin (2018), arXiv:1805.03430",
    properties=DIFFERENTIABLE | SMOOTH,
    cost=Cost(per_number=300.0),
)
def von_mises_nll(mean: Array, concentration: Array, targets: Array) -> tuple[Array, tuple[Array, Array]]:
    """Fits an angle and how sure it is: a whole turn off is right again. The normal distribution of the circle.

    Use when: headings, phases or times of day are predicted, of which 359° and 1° are neighbours.
    Avoid when: angles have several likely directions; or rotations are of space, not of a plane.
    See also: gaussian_nll, cosine_similarity.
    """
    turn, rest = two_sum(targets, -mean)
    half, low = 0.5 * turn, 0.5 * rest
    sine = np.sin(half) + low * np.cos(half)
    cosine = np.cos(half) - low * np.sin(half)
    scaled, missing = bessel(concentration)
    away = 2.0 * sine * sine
    value = np.log(2.0 * np.pi * scaled) + concentration * away
    return value, (-2.0 * concentration * sine * cosine, away - missing)
