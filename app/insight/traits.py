"""What targets and predictions are like: one function a trait, with its threshold and the numbers that speak for it."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from app.insight.agreement import Flags
from app.insight.distribution import l_skewness, moments
from app.losses.numerics.stable import Array

Task: TypeAlias = Literal["regression", "count", "binary", "multiclass", "multilabel", "quantile", "ranking", "survival"]
TASKS: Sequence[Task] = get_args(Task)
REAL: Sequence[Task] = ("regression", "count", "quantile", "survival")
"""Tasks whose targets are numbers."""
OF_CLASSES: Sequence[Task] = ("binary", "multiclass")
OUTLYING, SPREADS, FAR, NORMAL = 0.005, 5.0, 8.0, 1.4826
SKEWED, LEANING, ZEROS, CENSORED, LEVELS, DISTINCT = 1.0, 1 / 6, 0.1, 0.05, 20, 0.5
"""A law of skewness 1 between the normal and the exponential one has an L-skewness of 1/6."""
FEWEST = 3
"""Targets at an end of a scale that look like a limit: two of a few dozen may be equal by rounding."""
RARE, SATURATED, NEARLY = 0.1, 0.01, 1e-7


def _share(flags: Flags) -> float:
    return float(np.count_nonzero(flags)) / flags.size


class Trait(NamedTuple):
    """Something that the data show."""

    trait: str
    evidence: Mapping[str, float]
    text: str


class Data:
    """Targets (n,) or (n, k), their task, and predictions where there are some."""

    def __init__(self, targets: Array, task: Task, predictions: Array | None, *, boolean: bool, counts: bool) -> None:
        self.targets, self.task, self.predictions, self.boolean = targets, task, predictions, boolean
        self.counts = counts
        """Whether the targets are whole numbers that count something."""

    @cached_property
    def real(self) -> bool:
        """Whether the targets are real numbers, and no counts."""
        return self.task in REAL and not self.counts

    @cached_property
    def numbers(self) -> Array:
        return self.targets.reshape(-1)

    @cached_property
    def residuals(self) -> Array | None:
        """Targets less predictions, where these are numbers on the same scale."""
        if self.predictions is None or self.task not in ("regression", "count") or self.predictions.shape != self.targets.shape:
            return None
        return self.targets - self.predictions

    @cached_property
    def classes(self) -> Array:
        """How often each class occurs, in their order; of one-hot and soft rows, the sum of each column."""
        counted = self.targets.sum(axis=0) if self.targets.ndim > 1 else np.unique(self.targets, return_counts=True)[1]
        return np.asarray(counted, np.float64)

    @cached_property
    def skewness(self) -> float:
        return moments(self.numbers)[1] or 0.0

    @cached_property
    def skewed(self) -> bool:
        """Whether they lean to the right, by more than a few that happen to be far away there."""
        return self.skewness > SKEWED and l_skewness(self.numbers) > LEANING

    @cached_property
    def most_distinct(self) -> bool:
        """Whether at least half of the targets differ from each other, but for zeros and the limits of a censored scale."""
        numbers = self.numbers
        for end in (0.0, *self.limits):
            numbers = numbers[numbers != end]
        return numbers.size > 0 and np.unique(numbers).size >= DISTINCT * numbers.size

    @cached_property
    def limits(self) -> tuple[float, ...]:
        """The largest target, and the smallest other than 0, where so many are equal to it that it looks like a limit."""
        numbers = self.numbers
        if np.unique(numbers).size <= LEVELS:
            return ()
        ends = [numbers.max(), numbers.min()]
        return tuple(
            float(end)
            for end in ends
            if end != 0 and (n := np.count_nonzero(numbers == end)) >= FEWEST and n >= CENSORED * numbers.size
        )


def _share_far(numbers: Array, *, above: bool = False) -> tuple[float, float]:
    """The share of numbers too far from the median, or above it, and the robust spread by which that is measured.

    One alone has to be farther: of many laws, the largest of a hundred numbers now and then is a little too far.
    """
    middle = np.median(numbers)
    spread = NORMAL * float(np.median(np.abs(numbers - middle)))
    if spread == 0.0:  # most are the same: the others are looked at
        rest = numbers[numbers != middle]
        if rest.size < 2:
            return 0.0, 0.0
        middle = np.median(rest)
        spread = NORMAL * float(np.median(np.abs(rest - middle)))
    if spread == 0.0:
        return 0.0, 0.0
    apart = numbers - middle if above else np.abs(numbers - middle)
    far = np.count_nonzero(apart > SPREADS * spread)
    return (far / numbers.size if far > 1 or apart.max() > FAR * spread else 0.0), spread


def outliers(data: Data) -> Trait | None:
    if data.task not in ("regression", "count", "quantile"):
        return None
    numbers = data.targets if data.residuals is None else data.residuals
    found = [_share_far(column) for column in numbers.reshape(len(numbers), -1).T]  # columns may differ in scale
    share, spread = float(np.mean([share for share, _ in found])), max(found)[1]
    if share < OUTLYING or (data.residuals is None and _explained_by_skew(data)):
        return None
    what = "targets" if data.residuals is None else "residuals"
    text = f"{100 * share:.3g} % of the {what} lie beyond 5 robust standard deviations ({spread:.4g}) of their median."
    return Trait("outliers", {"share": share, "robust_std": spread}, text)


def _explained_by_skew(data: Data) -> bool:
    """Whether what is far from the median is so on one side, and not on a logarithmic scale."""
    numbers = data.numbers
    if numbers.min() < 0 or not data.skewed:
        return False
    logarithms = np.log1p(numbers) if data.counts else np.log(numbers[numbers > 0])
    return _share_far(logarithms, above=True)[0] < OUTLYING


def skew(data: Data) -> Trait | None:
    if not data.real or data.numbers.min() < 0 or not data.skewed:
        return None
    text = f"The targets are not negative and skewed to the right (skewness {data.skewness:.3g})."
    return Trait("skew", {"skewness": data.skewness}, text)


def zeros(data: Data) -> Trait | None:
    share = _share(data.numbers == 0)
    if not data.real or data.numbers.min() < 0 or share < ZEROS or share == 1.0 or not data.most_distinct:
        return None
    return Trait(
        "zeros", {"share": share}, f"{100 * share:.3g} % of the targets are exactly 0, the others are spread continuously."
    )


def counts(data: Data) -> Trait | None:
    if not data.counts:
        return None
    mean, variance = float(data.numbers.mean()), float(data.numbers.var())
    text = f"The targets are counts: whole numbers from 0 on (mean {mean:.4g}, variance {variance:.4g})."
    return Trait("counts", {"mean": mean, "variance": variance}, text)


def bounds(data: Data) -> Trait | None:
    numbers = data.numbers
    if not data.real or numbers.min() < 0 or numbers.max() > 1:
        return None
    within = numbers[(numbers > 0) & (numbers < 1)]
    if not within.size or np.unique(within).size < DISTINCT * within.size:
        return None
    low, high = float(numbers.min()), float(numbers.max())
    return Trait("bounds", {"min": low, "max": high}, f"All targets lie in [0, 1], from {low:.4g} to {high:.4g}.")


def censoring(data: Data) -> Trait | None:
    if not data.real or not data.limits:
        return None
    evidence = {
        f"at_{'largest' if end == data.numbers.max() else 'smallest'}": _share(data.numbers == end) for end in data.limits
    }
    shares = " and ".join(f"{100 * _share(data.numbers == end):.3g} % are {end:.6g}" for end in data.limits)
    return Trait("censoring", evidence, f"The targets look cut off: {shares}, an end of their range.")


def ties(data: Data) -> Trait | None:
    n = np.unique(data.numbers).size
    if not data.real or data.most_distinct or n >= DISTINCT * data.numbers.size:
        return None
    text = f"The targets take {n} values in {data.numbers.size}: they are rounded, or grades of a scale."
    return Trait("ties", {"distinct": float(n), "share": n / data.numbers.size}, text)


def imbalance(data: Data) -> Trait | None:
    if data.task not in OF_CLASSES:
        return None
    found = data.classes
    k, total = found.size, found.sum()
    rarest = float(found.min() / total) if k > 1 else 0.0
    if rarest >= (RARE if k <= 2 else RARE / k):
        return None
    text = f"The rarest of {k} classes has {100 * rarest:.3g} % of the samples." if k > 1 else "Only one class occurs."
    return Trait("imbalance", {"rarest_share": rarest, "classes": float(k)}, text)


def label_encoding(data: Data) -> Trait | None:
    if data.task not in OF_CLASSES:
        return None
    found = np.unique(data.numbers)
    if data.boolean:
        kind, text = "booleans", "The labels are booleans, which are taken for 0 and 1."
    elif data.targets.ndim > 1:
        if not np.isin(found, (0.0, 1.0)).all():
            return None
        kind, text = "one_hot", "The labels are one-hot rows, which say what indices of classes do."
    elif found.min() == -1 and found.size <= 2 and np.isin(found, (-1.0, 1.0)).all():
        kind, text = "signs", "The labels are −1 and 1, as losses of margins have them; losses of probabilities take them too."
    elif found.min() == 1 and found.size > 1:
        names = [*range(1, int(found.max()) + 1)] if found.max() <= 5 else f"[1, …, {int(found.max())}]"
        kind, text = "from_one", f'The labels count from 1: send "classes": {names} with them, or subtract 1.'
    else:
        return None
    return Trait("label_encoding", {kind: 1.0}, text)


def saturation(data: Data) -> Trait | None:
    p = data.predictions
    if data.task not in (*OF_CLASSES, "multilabel") or p is None or p.min() < 0 or p.max() > 1:
        return None
    share = _share(_sure(p))
    if share < SATURATED:
        return None
    return Trait("saturation", {"share": share}, f"{100 * share:.3g} % of the probabilities are within 1e-7 of 0 or 1.")


def _sure(p: Array) -> Flags:
    return (p <= NEARLY) | (p >= 1.0 - NEARLY)


TRAITS: Sequence[Callable[[Data], Trait | None]] = (
    outliers,
    skew,
    zeros,
    counts,
    bounds,
    censoring,
    ties,
    imbalance,
    label_encoding,
    saturation,
)


def traits_of(data: Data) -> tuple[Trait, ...]:
    """Those that are present."""
    return tuple(found for trait in TRAITS if (found := trait(data)) is not None)


# --- which task -----------------------------------------------------------------------------------------------------------

MOST_CLASSES, FEW_CLASSES, LEVELS_OF_COUNTS, THIN, RISING, ALIKE = 20, 3, 6, 0.1, 0.25, 0.7


def task_of(targets: Array, predictions: Array | None, *, boolean: bool, names: bool) -> Task:
    """The task of targets that nobody has said it of."""
    if targets.ndim > 1:
        if np.isin(targets, (0.0, 1.0)).all():
            return "multiclass" if targets.shape[1] > 1 and (targets.sum(axis=1) == 1).all() else "multilabel"
        rows = targets.min() >= 0 and bool((np.abs(targets.sum(axis=1) - 1.0) <= 1e-6).all())
        return "multiclass" if rows and targets.shape[1] > 1 else "regression"
    found = np.unique(targets)
    several = predictions is not None and predictions.ndim > 1 and predictions.shape[1] > 1
    if names or boolean or several:
        return "multiclass" if several or found.size > 2 else "binary"
    if found.size <= 2 and (np.isin(found, (0.0, 1.0)).all() or np.isin(found, (-1.0, 1.0)).all()):
        return "binary"
    if not is_count(targets):
        return "regression"
    return "multiclass" if predictions is None and _are_labels(targets) else "count"


def is_count(targets: Array) -> bool:
    """Whether all are whole numbers from 0 on."""
    return targets.ndim == 1 and targets.min() >= 0 and bool((targets == np.floor(targets)).all())


def either(targets: Array) -> bool:
    """Whether the targets are small whole numbers, three or more of them, which may be labels of classes as well as counts."""
    return is_count(targets) and bool(targets.min() <= 1 and targets.max() <= MOST_CLASSES) and np.unique(targets).size > 2


def _are_labels(targets: Array) -> bool:
    """Whether small whole numbers without a gap are rather classes than counts.

    Counts of many levels rise to one of them and fall from there until hardly any are left, zeros apart; those of fewer levels
    are told by how near they are to a Poisson law.
    """
    found, times = np.unique(targets, return_counts=True)
    if found.size > MOST_CLASSES or found[0] > 1 or found[-1] - found[0] != found.size - 1:
        return False
    if found.size <= FEW_CLASSES:
        return True
    body = times[1:] if found[0] == 0 else times
    if found.size >= LEVELS_OF_COUNTS and times[-1] <= THIN * body.max() and _rises_and_falls(body):
        return False
    if found[0] == 1 or times[-1] > RISING * times.max():
        return True
    mean, k = targets.mean(), np.arange(found.size)
    steps = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(k[1:], 1)))])
    expected = np.cumsum(np.exp(k * np.log(mean) - mean - steps))
    return bool(np.abs(np.cumsum(times) / targets.size - expected).max() * np.sqrt(targets.size) > ALIKE)


def _rises_and_falls(times: NDArray[np.intp]) -> bool:
    """Whether frequencies rise to the largest and fall from there, but for two standard deviations of chance."""
    top, steps, chance = int(times.argmax()), np.diff(times), 2.0 * np.sqrt(times + 1.0)
    return bool((steps[:top] >= -chance[:top]).all() and (steps[top:] <= chance[top:-1]).all())
