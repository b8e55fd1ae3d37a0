"""What the numbers of an array may mean: the encodings of predictions and labels that losses declare.

Nothing is guessed: where several encodings of a label mean the same, the array says by its values which one it is, it
is converted to the one that the loss computes with, and the answer names it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from app.domains import Interval, Labels, Simplex, Whole, all_finite
from app.errors import Fault, InvalidArray
from app.losses.inputs import Encoding, Numbers, Place, Reading, Shape, Sizes
from app.losses.numerics.limits import LARGEST
from app.losses.numerics.lists import ABSENT
from app.losses.numerics.rows import row_sums
from app.losses.numerics.stable import Array

UNIT, SHARES, LOG_SHARES = Interval(0.0, 1.0), Simplex(), Simplex(logarithms=True)
OF_CLASSES, ON_BOTH_SIDES = Interval(infinite=(-np.inf,)), Interval(infinite=(-np.inf, np.inf))
"""Scores: −∞ says of one of several classes that it cannot be; of a decision, ±∞ that it is certain."""
NOT_NEGATIVE = Interval(0.0)
FLAGS, SIGNS = Labels((0.0, 1.0)), Labels((-1.0, 1.0))
WHOLE, INDEX, PADDED_INDEX = Whole(), Whole(0), Whole(-1)
ROW_SUM_TOLERANCE = Simplex.TOLERANCE
ROUNDING = float(np.finfo(np.float64).eps)
NEARLY = 1e-2
"""How far the sum of a row may be from 1 that is taken all the same, with a warning."""
WAY_OUT = "set normalize to true to divide each row by its sum"
FEW = 32
"""Numbers of which Python finds the least sooner than NumPy does."""
OR_SIGNS = "or −1 and +1 throughout"
MOST_LABELS = 100
"""Whole numbers beyond are counts or amounts rather than labels."""
LARGEST_EXACT = 2**53 - 1
"""Beyond, a floating-point number may be what is left of several whole numbers."""

# --- numbers --------------------------------------------------------------------------------------------------------


def numbers(
    name: str,
    meaning: str,
    domain: Interval,
    draw: Callable[["np.random.Generator", Shape], Array],
    *,
    axes: str = "n *d",
    link: Interval | Simplex | None = None,
    in_unit_interval: Callable[[Numbers, str], tuple[str, ...]] | None = None,
) -> Encoding:
    """An encoding of real numbers in an interval. `in_unit_interval` may warn of numbers all in [0, 1]."""
    usual = all_finite if domain.infinite else domain.holds

    def read(array: Numbers, place: Place) -> Reading:
        if not usual(array):
            if not domain.infinite:
                refuse_outside(domain, array, place)
            _check_infinite(domain, array, place)
            return Reading(array, name, infinite=True)
        if in_unit_interval is None or not 0.0 <= array.item(0) <= 1.0:  # as nearly always
            return Reading(array, name)
        if np.minimum.reduce(array, axis=None) < 0.0 or np.maximum.reduce(array, axis=None) > 1.0:
            return Reading(array, name)
        return Reading(array, name, in_unit_interval(array, place.name))

    def sample(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
        lengths: dict[str, Shape] = {"n": (sizes.n,), "k": (sizes.k,), "t": (sizes.k + 2,), "*d": sizes.d}
        shape = sum((lengths.get(axis, (2,)) for axis in axes.split()), ())
        return draw(rng, shape)

    return Encoding(name, meaning, (axes,), read, sample, domain=domain, link=link)


def refuse_outside(domain: Interval, array: Numbers, place: Place) -> NoReturn:
    """Name the numbers that do not lie in the interval, the infinite ones first."""
    unmeant = ~np.isfinite(array) & domain.outside(array)
    if unmeant.any():
        place.refuse_numbers(unmeant, array, Interval(infinite=domain.infinite).rule, "not_finite")
    hints = [place.hint] if domain == UNIT and place.hint else []
    if hints and np.minimum.reduce(array, axis=None) >= 0 and 2 <= np.maximum.reduce(array, axis=None) <= 100:
        hints.append("divide by 100 if these are percentages")
    place.refuse_numbers(domain.outside(array), array, _with(domain.rule, *hints))


def _with(rule: str, *hints: str) -> str:
    """A rule, and what those who break it may have meant."""
    told = "; ".join(hint for hint in hints if hint)
    return f"{rule} ({told})" if told else rule


def _check_infinite(domain: Interval, array: Numbers, place: Place) -> None:
    """Refuse infinite numbers where they mean nothing: those that do not belong to the domain, and a row without a class."""
    if not domain.holds(array):
        refuse_outside(domain, array, place)
    vast = np.isfinite(array) & (np.abs(array) > LARGEST)
    if vast.any():
        place.refuse_numbers(vast, array, f"within ±{LARGEST:g} where others are infinite")
    if domain is OF_CLASSES:
        none: NDArray[np.bool_] = np.logical_and.reduce(np.isneginf(array), axis=-1)
        if none.any():
            place.refuse_numbers(none, array.max(axis=-1), "a row with a finite number, for a class that can be", "not_finite")


def steps(low: float, high: float, step: float = 0.05) -> Callable[["np.random.Generator", Shape], Array]:
    """Multiples of a round step: numbers that read well in an example."""
    return lambda rng, shape: np.asarray(
        np.round(rng.integers(round(low / step), round(high / step) + 1, shape) * step, 6), dtype=np.float64
    )


def _rows_like_probabilities(array: Numbers, name: str) -> tuple[str, ...]:
    if np.allclose(array.sum(axis=-1), 1.0, atol=ROW_SUM_TOLERANCE):
        return (f"{name} are taken as logits, but every row is a probability distribution: is from_logits meant to be false?",)
    return ()


def _like_probabilities(array: Numbers, name: str) -> tuple[str, ...]:
    if ((array > 0) & (array < 1)).any():
        return (f"{name} are taken as logits, but all lie in [0, 1]: is from_logits meant to be false?",)
    return ()


REAL = numbers("real", "any finite number", Interval(), steps(-4, 8))
POSITIVE = numbers("positive", "a number above 0", Interval(0.0, open_low=True), steps(0.2, 6))
NON_NEGATIVE = numbers("non_negative", "a number of at least 0", Interval(0.0), steps(0, 6))
COUNT = numbers("count", "a count or rate, at least 0", Interval(0.0), steps(0, 6, 1.0))
ABOVE_MINUS_ONE = numbers(
    "above_minus_one", "a number above −1, where log(1 + x) exists", Interval(-1.0, open_low=True), steps(-0.8, 8)
)


def _read_divisor(array: Numbers, place: Place) -> Reading:
    reading = REAL.read(array, place)
    sizes = np.abs(array)
    least = int(np.argmin(sizes))
    if sizes.flat[least] > sizes.max() * ROUNDING:
        return reading
    index = ", ".join(map(str, place.index_of([int(along) for along in np.unravel_index(least, array.shape)])))
    message = (
        f"{place.name}[{index}] is {array.flat[least]:g}, and the residual is divided by it: one such element swamps the mean"
    )
    return reading._replace(warnings=(message,))


DIVISOR = replace(
    REAL,
    meaning="any finite number, by which the residual is divided: best well away from 0",
    read=_read_divisor,
    draw=numbers("divisor", "", Interval(), steps(0.5, 8)).draw,
)
SCORE = numbers("score", "a real-valued score: its sign is the decision, its size the confidence", ON_BOTH_SIDES, steps(-3, 3))
LOGIT = numbers(
    "logit", "the log-odds of the positive class", ON_BOTH_SIDES, steps(-3, 3), link=UNIT, in_unit_interval=_like_probabilities
)
PROBABILITY = numbers("probability", "the probability of the positive class, in [0, 1]", UNIT, steps(0.05, 0.95))
SCORES = numbers("scores", "one real-valued score per class", OF_CLASSES, steps(-3, 3), axes="n *d k")
LOGITS = numbers(
    "logits",
    "one logit per class: probabilities before the softmax",
    OF_CLASSES,
    steps(-3, 3),
    axes="n *d k",
    link=SHARES,
    in_unit_interval=_rows_like_probabilities,
)
COSINES = numbers(
    "cosines", "the cosine of the angle to each class, from −1 to 1", Interval(-1.0, 1.0), steps(-0.95, 0.95), axes="n *d k"
)
LIST_SCORES = numbers(
    "list_scores",
    "one real-valued score for each item of a list; −Infinity where a shorter list has none",
    OF_CLASSES,
    steps(-3, 3),
    axes="n k",
)
RELEVANCE = numbers(
    "relevance", "how relevant each item of a list is, from 0 to a million", Interval(0.0, 1e6), steps(0, 4, 1.0), axes="n k"
)
ITEM_SCORES = numbers("item_scores", "one finite score for each item of a list", Interval(), steps(-3, 3), axes="n k")


def _graded(name: str, meaning: str, domain: Interval) -> Encoding:
    """Grades of the items of lists; −∞ stands for an item that a shorter list has not."""
    within = numbers(name, f"{meaning}; −Infinity where a shorter list has none", domain, steps(0, 4, 1.0), axes="n k")

    def read(array: Numbers, place: Place) -> Reading:
        absent = np.isneginf(array)
        if not absent.any():
            return within.read(array, place)
        none: NDArray[np.bool_] = np.logical_and.reduce(absent, axis=-1)
        if none.any():
            place.refuse_numbers(none, array.max(axis=-1), "a list of at least one item", "not_finite")
        within.read(np.where(absent, 0.0, array), place)
        return Reading(np.where(absent, ABSENT, array), name)

    return replace(within, read=read, domain=replace(domain, infinite=(-np.inf,)))


GRADES = _graded("grades", "how good each item of a list is, any number within a million of 0", Interval(-1e6, 1e6))
GAINS = _graded("gains", "how relevant each item of a list is, from 0 to 100: it is worth 2 to that power", Interval(0.0, 100.0))
BIN_SCORES = numbers("bin_scores", "one logit for each whole number from 0 on", Interval(), steps(-3, 3), axes="n k")
BIN_PLACE = numbers("bin_place", "a number from 0 on, between two whole ones", Interval(0.0), steps(0, 2), axes="n")
EMBEDDING = numbers("embedding", "a vector per sample", Interval(), steps(-2, 2), axes="n d")
DISTANCE = numbers("distance", "a distance, at least 0", Interval(0.0), steps(0, 2), axes="n")
VALUE = numbers("value", "one finite number per sample", Interval(), steps(-3, 3), axes="n")
TIME = numbers(
    "time", "a time, at least 0, until the event or until the sample was last seen", Interval(0.0), steps(1, 6, 1.0), axes="n"
)


def _never_as_such(encoding: Encoding) -> Encoding:
    """The same, for kernels that take infinity as it is: of the logarithm of a time no finite one comes near enough to it."""

    def read(array: Numbers, place: Place) -> Reading:
        return encoding.read(array, place)._replace(infinite=False)

    return replace(encoding, read=read)


TIME_OR_NEVER = _never_as_such(
    numbers(
        "time_or_never",
        "a time, at least 0, or Infinity for one that was not reached",
        Interval(0.0, infinite=(np.inf,)),
        steps(1, 6, 1.0),
        axes="n",
    )
)
FRACTION = numbers("fraction", "how much of the interval had passed, from 0 to 1", UNIT, steps(0.05, 0.95), axes="n")
CONTROLS = numbers("controls", "the logarithm of the risk of each control", Interval(), steps(-3, 3), axes="n k")
LOG_RISK = replace(VALUE, name="log_risk", meaning="the logarithm of the sample's risk beside that of others")
ENDS = numbers("ends", "one end for each of several intervals", Interval(), steps(-4, 8), axes="n k")
ENSEMBLE = numbers("ensemble", "numbers drawn from the predicted distribution", Interval(), steps(-4, 8), axes="n k")
PER_INTERVAL = numbers("per_interval", "one number for each interval of time", Interval(), steps(-3, 3), axes="n k", link=UNIT)
LOG_PROBABILITY = numbers(
    "log_probability",
    "the log-probability of a whole answer, at most 0: the sum of those of its tokens",
    Interval(high=0.0),
    steps(-20, -0.5),
    axes="n",
)
MEAN_LOG_PROBABILITY = numbers(
    "mean_log_probability",
    "the mean log-probability of an answer's tokens, below 0",
    Interval(high=0.0, open_high=True),
    steps(-4, -0.1),
    axes="n",
)
LENGTH = numbers("length", "how many tokens an answer has, at least 1", Interval(1.0), steps(1, 9, 1.0), axes="n")


def per_sample(encoding: Encoding) -> Encoding:
    """The encoding for one number for each sample, where the predictions do not have its shape."""

    def draw(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
        return encoding.draw(rng, replace(sizes, d=()))

    return replace(encoding, axes=("n",), draw=draw, accepts=tuple(name for name in encoding.accepts if name != "label_sets"))


def mask_of(encoding: Encoding) -> Encoding:
    """The encoding for whole masks or maps, each the row of one element: at least one axis beyond the samples."""
    drawn = encoding.draw

    def draw(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
        return drawn(rng, replace(sizes, d=(*sizes.d, 4)))

    return replace(encoding, axes=("n m *r",), draw=draw, labels=encoding.labels and "part")


def map_of(encoding: Encoding) -> Encoding:
    """The encoding for maps of classes, each the row of one element: (*r, k), one number for each class at each position."""
    drawn = encoding.draw

    def draw(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
        return drawn(rng, replace(sizes, d=(*sizes.d, 4, sizes.k)))

    return replace(encoding, axes=("n *r k",), draw=draw)


# --- rows that are distributions --------------------------------------------------------------------------------------


def _read_distribution(array: Numbers, place: Place) -> Reading:
    if not UNIT.holds(array):
        refuse_outside(UNIT, array, place)
    off = SHARES.outside(array)
    return Reading(array, "distribution", _nearly_one(array, place) if np.logical_or.reduce(off, axis=None) else ())


def _nearly_one(array: Numbers, place: Place) -> tuple[str, ...]:
    """What is said of rows that sum to nearly 1, as rounded ones do; refused where one is too far from it."""
    sums = SHARES.sums(array)
    far = np.abs(sums - 1.0)
    if far.max() > NEARLY:
        rule = f"a row that sums to 1 (within {NEARLY:g}, and with a warning; {WAY_OUT})"
        place.refuse_numbers(far > NEARLY, sums, rule, "row_sum")
    worst = np.unravel_index(int(far.argmax()), far.shape)
    index = ", ".join(map(str, place.index_of([int(along) for along in worst])))
    off = int(np.count_nonzero(far > SHARES.tolerance(array)))
    return (f"{place.name}[{index}] sums to {sums[worst]:.6g} instead of 1, the worst of {off}: taken as it is ({WAY_OUT})",)


@cache
def normalized(encoding: Encoding) -> Encoding:
    """The encoding of rows that may have any sum above 0: each is divided by it, and read as one that sums to 1."""

    def read(array: Numbers, place: Place) -> Reading:
        if not place.row_axes:  # a label
            return encoding.read(array, place)
        if not NOT_NEGATIVE.holds(array):
            refuse_outside(NOT_NEGATIVE, array, place)
        rows = array.astype(np.float64, copy=False)
        with np.errstate(over="ignore"):
            sums = row_sums(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape[:-1])
        none = ~((sums > 0) & np.isfinite(sums))
        if none.any():
            place.refuse_numbers(none, sums, "a row whose sum is above 0 and finite, to be divided by it", "row_sum")
        return encoding.read(rows / sums[..., None], place)._replace(sums=sums)

    return replace(encoding, read=read)


def _draw_distribution(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    shape = (sizes.n, *sizes.d)
    if sizes.k >= 20:
        return rng.dirichlet(np.ones(sizes.k), shape)
    return np.round((1 + rng.multinomial(20 - sizes.k, np.full(sizes.k, 1 / sizes.k), shape)) * 0.05, 6)


def _read_log_probabilities(array: Numbers, place: Place) -> Reading:
    reading = SCORES.read(array, place)
    if array.max() > ROW_SUM_TOLERANCE:
        rule = "a log-probability, at most 0 (these may be probabilities or logits)"
        place.refuse_numbers(array > ROW_SUM_TOLERANCE, array, rule)
    off = np.abs(np.exp(array).sum(axis=-1) - 1.0) > 1e-3
    message = f"{place.name} are taken as log-probabilities, but the probabilities of {int(off.sum())} rows do not sum to 1"
    warnings = (message,) if off.any() else ()
    return reading._replace(encoding="log_probabilities", warnings=warnings)


DISTRIBUTION = Encoding(
    "distribution",
    "a probability for each class; each row sums to 1",
    ("n *d k",),
    _read_distribution,
    _draw_distribution,
    domain=SHARES,
)
LOG_PROBABILITIES = Encoding(
    "log_probabilities",
    "the logarithm of each class's probability",
    ("n *d k",),
    _read_log_probabilities,
    lambda rng, sizes: np.log(_draw_distribution(rng, sizes)),
    domain=LOG_SHARES,
    link=SHARES,
)


# --- labels ---------------------------------------------------------------------------------------------------------


def _refuse_labels(array: Numbers, place: Place, labels: Labels, rule: str) -> NoReturn:
    place.refuse_numbers(labels.outside(array), array, rule, "label")


def _flag_hint(array: Numbers, place: Place) -> str:
    """What labels that are not those of two classes probably are."""
    least, most = np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None)
    if not np.isfinite(most) or not np.array_equal(np.floor(array), array, equal_nan=True):
        return ""
    if (least, most) == (1, 2):
        return '1 and 2? send "classes": [1, 2]'
    return place.hint if least >= 0 and 2 <= most < MOST_LABELS else ""


def _read_binary(array: Numbers, place: Place) -> Reading:
    if FLAGS.holds(array):
        return Reading(array, "binary")
    if SIGNS.holds(array):
        return Reading((array + 1.0) / 2.0, "sign")
    _refuse_labels(array, place, FLAGS, _with("0 or 1", OR_SIGNS, _flag_hint(array, place)))


def _read_soft_binary(array: Numbers, place: Place) -> Reading:
    if UNIT.holds(array):
        return Reading(array, "binary" if FLAGS.holds(array) else "probability")
    if SIGNS.holds(array):
        return Reading((array + 1.0) / 2.0, "sign")
    place.refuse_numbers(UNIT.outside(array), array, _with("in [0, 1]", OR_SIGNS, _flag_hint(array, place)))


def _read_sign(array: Numbers, place: Place) -> Reading:
    if SIGNS.holds(array):
        return Reading(array, "sign")
    if FLAGS.holds(array):
        return Reading(array * 2.0 - 1.0, "binary")
    zeros_too = bool((array == -1).any())
    allowed = SIGNS if zeros_too else Labels((-1.0, 0.0, 1.0))
    _refuse_labels(array, place, allowed, _with("−1 or +1", _flag_hint(array, place)))


def whole(
    array: Numbers,
    place: Place,
    domain: Whole = WHOLE,
    rule: Callable[[Whole], str] = lambda _: "a whole number",
    hint: Callable[[Numbers, Whole], str] | None = None,
) -> NDArray[Any]:
    """The array as integers of 64 bits, uint64 where int64 does not hold them all; no two that differ become one.

    InvalidArray for a number that is not whole or not in the domain, and for a floating-point number beyond 2⁵³.
    """
    low, high = domain.low, domain.high
    known = array.dtype.kind in "iu"
    bounds = (-(2**63), 2**63 - 1) if known else (-LARGEST_EXACT, LARGEST_EXACT)
    if _are_within(array, bounds[0] if low is None else low, bounds[1] if high is None else high, known):
        return array.astype(np.int64, copy=False)
    outside = domain.outside(array)
    if outside.any():
        place.refuse_numbers(outside, array, rule(domain) + (hint(array, domain) if hint else ""), "label")
    if known:
        return array
    exact = "an integer of 64 bits (a floating-point number beyond 2⁵³ may be what is left of another label)"
    place.refuse_numbers(np.abs(array) > LARGEST_EXACT, array, exact, "label")


def _are_within(array: Numbers, low: int, high: int, known: bool) -> bool:
    """Whether all are from low to high, and whole, which integers are `known` to be. NaN is neither."""
    if array.size <= FEW:  # a list of few says it sooner than NumPy can be asked
        few = array.ravel().tolist()
        return (known or all(map(float.is_integer, few))) and low <= min(few) and max(few) <= high
    if not (low <= np.minimum.reduce(array, axis=None) and np.maximum.reduce(array, axis=None) <= high):
        return False
    return known or bool(np.logical_and.reduce(array.astype(np.int64) == array, axis=None))


def _read_class_index(array: Numbers, place: Place) -> Reading:
    return Reading(whole(array, place, _indices(place.k), _index_rule, _index_hint), "class_index")


@lru_cache(256)
def _indices(k: int | None) -> Whole:
    return INDEX if k is None else replace(INDEX, high=k - 1)


def _index_rule(domain: Whole) -> str:
    return "a whole number" if domain.high is None else f"a class index from 0 to {domain.high}"


def _index_hint(array: Numbers, domain: Whole) -> str:
    """What labels that are no indices of classes probably are."""
    least, most = np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None)
    if least == 1 and domain.high is not None and most == domain.high + 1:
        return " (labels count from 0: if these count from 1, subtract 1 or send classes)"
    return " (or set ignore_index to -100)" if least == -100 else ""


def _read_class_label(array: Numbers, place: Place) -> Reading:
    if not place.row_axes:
        return _read_class_index(array, place)
    reading = _read_distribution(array, place)
    # a one-hot row says what an index says, and gets the same answer
    return Reading(array.argmax(axis=-1), "one_hot") if FLAGS.holds(array) else reading


def _read_class_map(array: Numbers, place: Place) -> Reading:
    if not place.classes:
        return _read_class_index(array, place)._replace(encoding="class_map")
    reading = _read_soft_binary(array, place)
    return reading._replace(encoding={"binary": "multi_hot", "probability": "soft_map"}.get(reading.encoding, reading.encoding))


def _read_event(array: Numbers, place: Place) -> Reading:
    if not FLAGS.holds(array):
        _refuse_labels(array, place, FLAGS, "1 (seen) or 0 (censored)")
    return Reading(array, "event")


def _read_interval(array: Numbers, place: Place) -> Reading:
    return Reading(whole(array, place, _indices(place.k), _interval_rule), "interval")


def _interval_rule(domain: Whole) -> str:
    return "a whole number" if domain.high is None else f"the index of an interval, from 0 to {domain.high}"


def _read_multi_hot(array: Numbers, place: Place) -> Reading:
    if not FLAGS.holds(array):
        _refuse_labels(array, place, FLAGS, "0 or 1 (one column per label)")
    return Reading(array, "multi_hot")


def _read_index_list(array: Numbers, place: Place) -> Reading:
    """Lists of label indices, padded with −1: everything after the first −1 is ignored, as PyTorch does."""
    k = place.k or 0
    indices = whole(array, place, replace(PADDED_INDEX, high=k - 1), _padded_rule)
    kept = np.logical_and.accumulate(indices >= 0, axis=-1)
    hot = np.zeros((*array.shape[:-1], k))
    *rows, _ = np.nonzero(kept)
    hot[*rows, indices[kept]] = 1.0
    return Reading(hot, "index_list")


def _padded_rule(domain: Whole) -> str:
    return f"a label index from 0 to {domain.high}, or −1 for padding"


def _read_told_list(array: Numbers, place: Place) -> Reading:
    """The same, of lists that cannot be taken for flags."""
    if array.shape[-1] == place.k and FLAGS.holds(array):
        message = f"{place.name} may be flags, 0 or 1 for each label, or lists of labels: say which in target_format"
        raise InvalidArray([Fault(place.path, "ambiguous", message)])
    return _read_index_list(array, place)


def _read_group(array: Numbers, place: Place) -> Reading:
    return Reading(whole(array, place), "group")


def _draw_index(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    return rng.integers(0, sizes.k, (sizes.n, *sizes.d)).astype(np.float64)


def _draw_tokens(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    return _draw_index(rng, replace(sizes, d=(sizes.k + 2,)))


def _draw_flags(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    drawn = rng.integers(0, 2, (sizes.n, *sizes.d)).astype(np.float64)
    drawn[0], drawn[-1] = 1.0, 0.0
    return drawn


def _draw_multi_hot(rng: "np.random.Generator", sizes: Sizes) -> Numbers:
    drawn = rng.integers(0, 2, (sizes.n, *sizes.d, sizes.k)).astype(np.float64)
    drawn[..., 0], drawn[..., -1] = 1.0, 0.0
    return drawn


BINARY = Encoding(
    "binary",
    "0 (negative) or 1 (positive)",
    ("n *d",),
    _read_binary,
    _draw_flags,
    ("sign", "class_names", "label_sets"),
    "flag",
    domain=FLAGS,
)
SOFT_BINARY = Encoding(
    "binary",
    "0 or 1, or the probability of the positive class",
    ("n *d",),
    _read_soft_binary,
    _draw_flags,
    ("probability", "sign", "class_names", "label_sets"),
    "flag",
    domain=FLAGS,
    soft=UNIT,
)
SIGN = Encoding(
    "sign",
    "−1 (negative) or +1 (positive)",
    ("n *d",),
    _read_sign,
    lambda rng, sizes: _draw_flags(rng, sizes) * 2 - 1,
    ("binary", "class_names", "label_sets"),
    "flag",
    domain=SIGNS,
)
CLASS_LABEL = Encoding(
    "class_index",
    "the index of the true class, from 0, or a probability for each class",
    ("n *d", "n *d k"),
    _read_class_label,
    _draw_index,
    ("one_hot", "distribution", "class_names"),
    "class",
    domain=INDEX,
    soft=SHARES,
)
GRADE = replace(
    CLASS_LABEL,
    name="grade",
    meaning="the index of the true class among classes in order, from 0",
    axes=("n *d",),
    accepts=(),
    labels=None,
    soft=None,
    read=_read_class_index,
)
CLASS_MAP = Encoding(
    "class_map",
    "the class index of each position, or 0, 1 or a share for each class there",
    ("n *r k", "n *r"),
    _read_class_map,
    lambda rng, sizes: _draw_index(rng, replace(sizes, d=(*sizes.d, 4))),
    ("multi_hot", "soft_map", "sign"),
    "part",
    domain=INDEX,
)
CLASS_INDEX_MAP = replace(
    CLASS_MAP, meaning="the class index of each position", axes=("n *r",), accepts=(), read=_read_class_index
)
TOKEN_LOGITS = numbers(
    "token_logits",
    "one logit for each token of the vocabulary, at each place; within ±1000",
    Interval(-1e3, 1e3),
    steps(-3, 3),
    axes="n t k",
)
TOKENS = replace(
    CLASS_INDEX_MAP,
    name="tokens",
    meaning="the index of the token that came at each place, from 0",
    axes=("n t",),
    draw=_draw_tokens,
)
MULTI_HOT = Encoding(
    "multi_hot",
    "0 or 1 for each label",
    ("n *d k",),
    _read_multi_hot,
    _draw_multi_hot,
    ("label_sets",),
    labels="part",
    domain=FLAGS,
)
INDEX_LIST = Encoding(
    "index_list",
    "the indices of the true labels, padded with −1",
    ("n *d s",),
    _read_index_list,
    lambda rng, sizes: np.stack((_draw_index(rng, replace(sizes, k=sizes.k - 1)), -np.ones((sizes.n, *sizes.d))), axis=-1),
    domain=PADDED_INDEX,
)
TOLD_LIST = replace(INDEX_LIST, read=_read_told_list)
GROUP = Encoding(
    "group",
    "the class or identity of each sample, a whole number",
    ("n",),
    _read_group,
    lambda rng, sizes: np.arange(sizes.n) // 2 + 0.0,
    ("class_names",),
    domain=WHOLE,
)
EVENT = Encoding(
    "event",
    "1 where the event was seen, 0 where it was not until then (censored)",
    ("n",),
    _read_event,
    lambda rng, sizes: _draw_flags(rng, replace(sizes, d=())),
    domain=FLAGS,
)
INTERVAL = Encoding(
    "interval",
    "the index of the interval of time in which the sample was last seen, from 0",
    ("n",),
    _read_interval,
    lambda rng, sizes: _draw_index(rng, replace(sizes, d=())),
    domain=INDEX,
)
