"""python -m tests.insight.simulate_traits: how often traits are found that are there, and such that are not, by simulation.

Too long for the suite, which tries a few draws of the same data; what it said last stands in docs/decisions/recommendations.md.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from app.insight.described import recommend_for
from app.insight.recommend import Recommended

Make = Callable[[np.random.Generator, int], Any]
SQUARES = frozenset({"mean_squared_error", "half_squared_error"})
ROBUST = frozenset({"huber", "mean_absolute_error", "log_cosh", "pseudo_huber", "cauchy", "quantile"})
RATIOS = frozenset({"gamma_deviance", "tweedie_deviance", "mean_squared_logarithmic_error"})
COUNTS = frozenset({"poisson_deviance", "poisson_nll"})
TWO = frozenset({"binary_cross_entropy", "logistic", "brier_score"})
SHARES = frozenset({"binary_cross_entropy"})
CLASSES = frozenset({"categorical_cross_entropy"})


class Made(NamedTuple):
    """Data made by a law: the traits that it has, those that it has nearly, and the losses of which one should come first."""

    make: Make
    first: frozenset[str]
    traits: frozenset[str] = frozenset()
    nearly: frozenset[str] = frozenset()


def _labels(*shares: float) -> Make:
    return lambda rng, n: rng.choice(len(shares), n, p=shares)


def _spoiled(share: float) -> Make:
    def make(rng: np.random.Generator, n: int) -> Any:
        numbers = rng.normal(size=n)
        wild = rng.choice(n, max(1, round(share * n)), replace=False)
        numbers[wild] += rng.choice([-1, 1], wild.size) * rng.uniform(15, 60, wild.size)
        return numbers

    return make


def _some(*traits: str) -> frozenset[str]:
    return frozenset(traits)


MADE: dict[str, Made] = {
    "normal": Made(lambda rng, n: rng.normal(3, 2, n), SQUARES),
    "normal, far from 0": Made(lambda rng, n: rng.normal(100, 5, n), SQUARES),
    "normal, to two digits": Made(lambda rng, n: np.round(rng.normal(3, 2, n), 2), SQUARES, nearly=_some("ties")),
    "uniform": Made(lambda rng, n: rng.uniform(-5, 20, n), SQUARES),
    "logistic": Made(lambda rng, n: rng.logistic(size=n), SQUARES),
    "two hills": Made(lambda rng, n: rng.normal(np.where(rng.random(n) < 0.5, -3, 3), 1), SQUARES),
    "two columns of two scales": Made(lambda rng, n: rng.normal(size=(n, 2)) * (1.0, 1000.0), SQUARES),
    "gamma, shape 9": Made(lambda rng, n: rng.gamma(9, size=n), SQUARES),
    "30 + t, 10 degrees": Made(lambda rng, n: 30 + rng.standard_t(10, n), SQUARES),
    "30 + t, 3 degrees": Made(lambda rng, n: 30 + rng.standard_t(3, n), ROBUST, nearly=_some("outliers")),
    "Cauchy": Made(lambda rng, n: rng.standard_cauchy(n), ROBUST, _some("outliers")),
    "normal, 2 % far off": Made(_spoiled(0.02), ROBUST, _some("outliers")),
    "normal, 5 % far off": Made(_spoiled(0.05), ROBUST, _some("outliers")),
    "exponential": Made(lambda rng, n: rng.exponential(size=n), RATIOS, _some("skew")),
    "gamma, shape 0.5": Made(lambda rng, n: rng.gamma(0.5, 2, n), RATIOS, _some("skew")),
    "lognormal": Made(lambda rng, n: rng.lognormal(size=n), RATIOS, _some("skew")),
    "gamma, 30 % zeros": Made(
        lambda rng, n: np.where(rng.random(n) < 0.3, 0.0, rng.gamma(2, 2, n)),
        frozenset({"tweedie_deviance"}),
        _some("zeros"),
        _some("skew"),
    ),
    "beta": Made(lambda rng, n: rng.beta(2, 3, n), SHARES, _some("bounds")),
    "uniform on [0, 1]": Made(lambda rng, n: rng.uniform(size=n), SHARES, _some("bounds")),
    "normal, cut off above": Made(
        lambda rng, n: np.minimum(rng.normal(5, 1, n), 6.0), frozenset({"quantile"}), _some("censoring")
    ),
    "normal, cut off below": Made(
        lambda rng, n: np.maximum(rng.normal(5, 1, n), 4.0), frozenset({"quantile"}), _some("censoring"), _some("skew")
    ),
    "halves from ½ to 4½": Made(lambda rng, n: rng.integers(1, 10, n) / 2.0, SQUARES | ROBUST, _some("ties")),
    "Poisson, mean 1": Made(lambda rng, n: rng.poisson(1, n), COUNTS, _some("counts"), _some("outliers")),
    "Poisson, mean 3": Made(lambda rng, n: rng.poisson(3, n), COUNTS, _some("counts"), _some("outliers")),
    "Poisson, mean 40": Made(lambda rng, n: rng.poisson(40, n), COUNTS, _some("counts")),
    "negative binomial, mean 18": Made(lambda rng, n: rng.negative_binomial(2, 0.1, n), COUNTS, _some("counts")),
    "geometric, mean 1.5": Made(lambda rng, n: rng.geometric(0.4, n) - 1, COUNTS, _some("counts"), _some("outliers")),
    "Poisson, mean 3, 40 % more zeros": Made(
        lambda rng, n: np.where(rng.random(n) < 0.4, 0, rng.poisson(3, n)), COUNTS, _some("counts"), _some("outliers")
    ),
    "two classes": Made(_labels(0.5, 0.5), TWO),
    "two classes, 20 %": Made(_labels(0.8, 0.2), TWO),
    "two classes, 3 %": Made(_labels(0.97, 0.03), TWO, _some("imbalance")),
    "three classes": Made(lambda rng, n: rng.integers(0, 3, n), CLASSES),
    "five classes, falling": Made(_labels(0.4, 0.25, 0.15, 0.12, 0.08), CLASSES),
    "ten classes": Made(lambda rng, n: rng.integers(0, 10, n), CLASSES, nearly=_some("imbalance")),
    "three classes, 2 %": Made(_labels(0.6, 0.38, 0.02), CLASSES, _some("imbalance")),
    "four classes from 1": Made(lambda rng, n: rng.integers(1, 5, n), CLASSES, _some("label_encoding")),
    "ratings from 1 to 5": Made(
        lambda rng, n: rng.choice([1, 2, 3, 4, 5], n, p=[0.05, 0.1, 0.2, 0.35, 0.3]),
        CLASSES,
        _some("label_encoding"),
        _some("imbalance"),
    ),
    "signs": Made(lambda rng, n: rng.integers(0, 2, n) * 2 - 1, TWO, _some("label_encoding")),
    "booleans": Made(lambda rng, n: rng.random(n) < 0.5, TWO, _some("label_encoding")),
    "one-hot rows": Made(lambda rng, n: np.eye(4)[rng.integers(0, 4, n)], CLASSES, _some("label_encoding")),
    "flags of rows": Made(lambda rng, n: rng.integers(0, 2, (n, 3)), SHARES),
    "names": Made(lambda rng, n: rng.choice(["cat", "dog", "cow"], n).tolist(), CLASSES),
}
SIZES = (30, 100, 400, 2000)
DRAWS = 300


class Counted(NamedTuple):
    """Of some draws: how many show every trait that they have, how many one that they have not, how many begin as they should."""

    found: int
    false: int
    first: int


def traits(answer: Recommended) -> set[str]:
    return {trait.trait for trait in answer.traits}


def count(made: Made, n: int, draws: int) -> Counted:
    counted = Counted(0, 0, 0)
    for seed in range(draws):
        answer = recommend_for(made.make(np.random.default_rng(seed), n), None, None)
        seen = traits(answer)
        counted = Counted(
            counted.found + (made.traits <= seen),
            counted.false + bool(seen - made.traits - made.nearly),
            counted.first + (answer.recommendations[0].loss.name in made.first),
        )
    return counted


def main() -> None:
    print(f"| data | traits | {' | '.join(f'n = {n}' for n in SIZES)} |\n|---|---|{'--:|' * len(SIZES)}")
    for name, made in MADE.items():
        cells: list[str] = []
        for n in SIZES:
            shares = [round(100 * number / DRAWS) for number in count(made, n, DRAWS)]
            cells.append(" · ".join(map(str, shares if made.traits else ["–", *shares[1:]])))
        print(f"| {name} | {', '.join(sorted(made.traits)) or 'none'} | {' | '.join(cells)} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
