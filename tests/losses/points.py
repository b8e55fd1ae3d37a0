"""Points where formulas lose their digits: at the ends of every domain, at ties with parameters, at poles and near optima.

Nothing here needs to know a loss: the domains of its arrays say where their extremes are. FURTHER holds what no domain says,
the samples whose parts are hard beside each other: parallel vectors, boxes that touch, labels that fill every frame.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domains import Boxes, Domain, Interval, Simplex
from app.losses.inputs import Encoding
from tests.losses.drawing import meant

Array = NDArray[np.float64]
Sample = tuple[Any, ...]
Parameters = Mapping[str, Any]

STEP = 2.0**-52
LEAST = 5e-324
HUGE = 1.7e308
LARGE = 1e307
"""The largest number worth trying in a row: sums of a few are float64 still."""
SMALL = 1e-8
"""The least share of a label worth trying, and the least that it may lack to be all."""
TINY = 1e-300
"""The least number worth trying beside predictions."""
FAR = 1e4
"""The largest logarithm: beyond, all exponentials are 0 or infinite."""
SHIFTS = (0, 1)
"""How far the extremes of one array are moved along those of another."""
THIRD = 3
"""Each setting of a loss takes the ends and one in three of the other extremes, another third than the setting before."""


def points(
    encodings: Sequence[Encoding], drawn: Sequence[Array], parameters: Parameters, k: int, which: int
) -> list[tuple[Array, ...]]:
    """Batches of the extremes of these encodings, in the shapes of the arrays drawn: crossed, and near each other."""
    choices: list[list[Domain]] = [[encoding.domain for encoding in encodings]]
    if any(encoding.soft is not None for encoding in encodings):
        choices.append([encoding.soft or encoding.domain for encoding in encodings])
    found: list[tuple[Array, ...]] = []
    for domains in choices:
        k = (
            k
            if all(domain == encoding.domain or domain.of_rows for domain, encoding in zip(domains, encodings, strict=True))
            else 2
        )
        pools = [
            extremes(domain, encoding, array, k, which)
            if index == 0
            else with_digits(domain, extremes(domain, encoding, array, k, which))
            for index, (domain, encoding, array) in enumerate(zip(domains, encodings, drawn, strict=True))
        ]
        found += crossed(pools) + near(encodings, domains, pools, parameters)
    return found


def extremes(domain: Domain, encoding: Encoding, drawn: Array, k: int, which: int) -> Array:
    """The extremes (m, ...) of one array, as rows where it has rows; rows of labels and boxes are as they are drawn."""
    shape = drawn.shape[1:]
    if (shape and domain.discrete) or (len(shape) > 1 and domain.of_rows) or isinstance(domain, Boxes):
        return drawn
    numbers = domain.extremes(shape[0] if shape else k)
    if domain.discrete:
        return numbers
    limit = FAR if encoding.link else LARGE if shape else HUGE
    if domain.of_rows:
        return np.maximum(numbers, -limit)
    if "d" in encoding.axes[0].split():  # distances are subtracted: FURTHER has the vectors of other sizes
        numbers = numbers[((np.abs(numbers) >= 0.1) & (np.abs(numbers) <= 100.0)) | (numbers == 0.0)]
    first, *between, last = np.unique(np.clip(numbers, -limit, limit))
    numbers = np.array([first, last, *between[which % THIRD :: THIRD]])
    if not shape:
        return numbers
    places, row = np.arange(numbers.size)[:, None], math.prod(shape)
    rows = np.concatenate([np.tile(numbers[::5, None], row), numbers[(places + np.arange(row)) % numbers.size]])
    return rows.reshape(-1, *shape)


def with_digits(domain: Domain, numbers: Array) -> Array:
    """What predictions are compared with: no share of nearly nothing or nearly all, whose products have few digits left."""
    if domain.discrete or isinstance(domain, Boxes):
        return numbers
    if not isinstance(domain, Simplex) and domain.span != Interval(0.0, 1.0):
        return np.where((numbers != 0) & (np.abs(numbers) < TINY), np.copysign(TINY, numbers), numbers)
    return numbers[sure_or_unsure(domain, numbers)]


def sure_or_unsure(domain: Domain, numbers: Array) -> NDArray[np.bool_]:
    """Which rows have shares of 0 and 1, and others that are neither nearly."""
    share = np.exp(numbers) if domain.span.low < 0.0 else numbers
    usable = (np.abs(np.abs(share - 0.5) - 0.5) >= SMALL) | (share == 0.0) | (share == 1.0)
    return usable.reshape(len(numbers), -1).all(axis=1)


def crossed(pools: Sequence[Array]) -> list[tuple[Array, ...]]:
    """Each extreme of one array beside some of the others."""
    places = np.arange(max(map(len, pools)))
    return [tuple(pool[(places + shift * index) % len(pool)] for index, pool in enumerate(pools)) for shift in SHIFTS]


def near(
    encodings: Sequence[Encoding], domains: Sequence[Domain], pools: Sequence[Array], parameters: Parameters
) -> list[tuple[Array, ...]]:
    """What the first array means in the place of another, exactly, nearly, and as far away as a parameter says."""
    first, found = pools[0], list[tuple[Array, ...]]()
    others = [pool[np.arange(len(first)) % len(pool)] for pool in pools]
    for index, domain in enumerate(domains[1:], 1):
        vectors = first.ndim > 1 and "d" in encodings[0].axes[0].split()  # FURTHER has those that are nearly parallel
        if domain.discrete or vectors or pools[index].shape[1:] != first.shape[1:]:
            continue
        goal = meant(encodings[0], first, domain)
        if goal is None:
            continue
        usable, distances = np.ones(len(goal), np.bool_), set[float]()
        if isinstance(domain, Simplex) or domain.span == Interval(0.0, 1.0):
            usable = sure_or_unsure(domain, goal)
        elif not domain.of_rows:
            distances = {value for value in parameters.values() if isinstance(value, float) and value}
        with np.errstate(over="ignore"):
            pairs = [(first, goal), (first, goal * (1.0 + STEP)), *((first + distance, goal) for distance in distances)]
            for here, there in pairs:
                batch = (domains[0].nearest(here), *others[1:index], domain.nearest(there), *others[index + 1 :])
                found.append(tuple(array[usable] for array in batch))
    return found


# --- further points ---------------------------------------------------------------------------------------------------

VECTORS: Sequence[Sample] = [
    ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]),
    ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ([1.0, 2.0, 3.0], [-2.0, -4.0, -6.0]),
    ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0000001]),
    ([1.0, 2.0, 3.0], [1.0 + STEP, 2.0, 3.0]),
    ([1.0, 2.0, 3.0], [3.0, 0.0, -1.0]),
    ([1e-200, 2e-200, -1e-200], [3.0, 1.0, 1.0]),
    ([1e200, 2e200, -1e200], [3e-200, 1e-200, 1e-200]),
    ([1e300, 1.0, 1e-300], [1.0, 2.0, 3.0]),
    ([1e154, 3e154, 0.0], [1e-170, 0.0, 2e-170]),
    ([HUGE, HUGE, -HUGE], [HUGE, 1.0, 2.0]),
    ([LEAST, 0.0, 0.0], [1.0, 1.0, 0.0]),
    ([0.1, 0.2, 0.3], [0.2, 0.4, 0.6]),
]

TRIPLETS: Sequence[Sample] = [
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.5, 2.0, 3.0]),
    ([1.0, 2.0, 3.0], [1.5, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]),
    ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0 + STEP]),
    ([1.0, 2.0, 3.0], [2.0, 2.5, 3.5], [9.0, -9.0, 9.0]),
    ([1e200, 2e200, 0.0], [3e200, 1e200, 0.0], [1e200, 0.0, 0.0]),
    ([1e-200, 0.0, 0.0], [2e-200, 0.0, 0.0], [3e-200, 1e-200, 0.0]),
    ([8e307, 0.0, 0.0], [-8e307, 0.0, 0.0], [0.0, 1.0, 2.0]),
    ([1e8, 1.0, 0.0], [1e8, 1.0, 0.5], [1e8, 0.0, 0.0]),
    ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.5, -0.2, 0.4]),
    ([0.0, 0.0, 1e-6], [1e-6, 0.0, 0.0], [0.0, 1e-6, 0.0]),
]

BOXES: Sequence[Sample] = [
    ([0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 2.0, 1.0]),
    ([0.0, 0.0, 1.0, 1.0], [3.0, 4.0, 5.0, 5.0]),
    ([0.0, 0.0, 1.0, 1.0], [1.0, 0.3, 2.0, 2.0]),
    ([0.0, 0.0, 4.0, 4.0], [1.0, 1.5, 2.0, 3.0]),
    ([1.0, 1.5, 2.0, 3.0], [0.0, 0.0, 4.0, 4.0]),
    ([0.1, 0.2, 0.7, 0.9], [0.1000001, 0.2, 0.7, 0.9000001]),
    ([0.0, 0.0, 1e-3, 1e3], [1e-4, 1.0, 2e-3, 9e2]),
    ([1e5, 1e5, 1e5 + 3, 1e5 + 2], [1e5 + 1, 1e5 + 0.5, 1e5 + 4, 1e5 + 1.7]),
    ([-1e100, -1e100, 1e100, 2e100], [-2e100, -1e99, 1e99, 1e100]),
    ([1e-100, 1e-100, 3e-100, 2e-100], [2e-100, 1.5e-100, 4e-100, 5e-100]),
    ([1.0, 1.0, 1.0, 2.0], [0.5, 0.0, 3.0, 3.0]),
    ([0.5, 0.0, 3.0, 3.0], [1.0, 1.0, 1.0, 2.0]),
    ([0.0, 0.0, 2.0, 1.0], [0.1, 0.05, 4.1, 2.05]),
    ([1e200, 1e200, 3e200, 4e200], [2e200, 0.0, 4e200, 3e200]),
    ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]),
    ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 2.0]),
    ([1.0, 2.0, 1.0, 2.0], [3.0, 5.0, 3.0, 5.0]),
]


def boxes(parameters: Parameters) -> list[Sample]:
    """The same boxes in the format that is asked for, as near as floats come."""
    formats: Mapping[str, Callable[[float, float, float, float], list[float]]] = {
        "xyxy": lambda x1, y1, x2, y2: [x1, y1, x2, y2],
        "xywh": lambda x1, y1, x2, y2: [x1, y1, x2 - x1, y2 - y1],
        "cxcywh": lambda x1, y1, x2, y2: [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1],
    }
    written = formats[parameters.get("box_format", "xyxy")]
    return [(written(*box), written(*true)) for box, true in BOXES]


LOG_PROBABILITY_ROWS = [
    [math.log(0.1), math.log(0.2), math.log(0.3), math.log(0.4)],
    [0.0, -1e4, -745.0, -1e300],
    [-1e-9, -20.7, -40.0, -50.0],
    [-LEAST, -800.0, -709.0, -37.0],
    [math.log(0.25)] * 4,
]


def sequences(parameters: Parameters) -> list[Sample]:
    """Labels that repeat, that fill every frame, that fit in no way, that are none; frames that are sure, even and torn."""
    a, b, c = [label for label in range(4) if label != parameters.get("blank", 0)]
    labels = [[a, b, -1], [a, a, -1], [a, b, c], [a, a, a], [-1, -1, -1], [b, -1, -1], [c, b, c]]
    torn = [[[800.0, -800.0, 0.0, 3.0], [-36.0, 40.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1e-9], [1e4, -1e4, 5.0, 4.0]]]
    even = [[[0.0] * 4] * 4, [[1.0, 2.0, 0.5, -1.0], [0.3, 0.1, -2.0, 0.7], [-0.3, 1.1, 0.0, 0.2], [2.5, 0.0, 0.1, -0.4]]]
    if parameters.get("from_logits"):
        return [(frames, label) for frames in [*even, *torn] for label in labels]
    sure = [LOG_PROBABILITY_ROWS[index] for index in (0, 2, 4, 3)]
    steep = [[0.0, -1e4, -745.0, -1e8]] * 4
    only_way = ([LOG_PROBABILITY_ROWS[1]] * 3, [a, b, c])  # beside −1e300 the others lose every digit, unless there are none
    return [*((frames, label) for frames in ([LOG_PROBABILITY_ROWS[4]] * 4, sure, steep) for label in labels), only_way]


def lattices(parameters: Parameters) -> list[Sample]:
    """Labels that repeat and none, over nodes that are even, torn and sure."""
    a, b, _ = [label for label in range(4) if label != parameters.get("blank", 0)]
    even = [[[0.0] * 4] * 3] * 4
    mixed = [[[0.1 * t - 0.3, 0.2 * u, 0.5 - 0.1 * t * u, -1.0] for u in range(3)] for t in range(4)]
    torn = [[[800.0, -800.0, 0.0, 3.0], [-36.0, 40.0, 1.0, 0.0], [1e4, -1e4, 5.0, 4.0]]] * 4
    return [(nodes, labels) for nodes in (even, mixed, torn) for labels in ([a, b], [a, a], [b, -1], [-1, -1])]


def groups(_: Parameters) -> list[Sample]:
    """Whole batches: vectors that are equal, opposite and orthogonal, a group of one, nothing to compare with."""
    flat = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0], [0.8, -0.6], [0.28, 0.96]]
    return [
        (flat, [0, 0, 1, 1, 2, 2]),
        (flat, [0, 0, 0, 1, 1, 2]),
        (flat, [0, 1, 0, 1, 0, 1]),
        ([[0.625, 0.75], [0.625, 0.75], [-0.625, -0.75], [-0.625, -0.75]], [0, 1, 0, 1]),
        ([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]], [0, 1, 0, 1]),
        ([[0.1, 0.2], [0.2, 0.1], [0.0, 0.0], [3.0, -4.0]], [0, 1, 0, 1]),
    ]


def two_sets(_: Parameters) -> list[Sample]:
    """Whole batches of two sets: rows that are alike, opposite, torn and zero; a single row."""
    rows = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0], [0.8, -0.6]]
    others = [[0.9, 0.1], [0.6, 0.8], [0.1, 1.0], [1.0, 0.0], [0.0, 0.0]]
    return [(rows, others), (others, rows), (rows, rows[::-1]), ([[3.0, 4.0]], [[4.0, 3.0]]), (rows, [[1.0, 2.0]] * 5)]


def clouds(given: Parameters) -> list[Sample]:
    """Whole batches of two sets of vectors: apart, alike in another order, nearly alike, all in one place, one of each."""
    rows = [[1.0, 0.0], [0.6, 0.8], [0.25, 1.5], [-1.0, 0.125]]
    moved = [[2.0, 0.5], [1.6, 1.3], [1.25, 2.0], [0.0, 0.625]]
    alone = [] if given.get("unbiased") else [([[0.5, 1.0]], [[1.0, 0.25]])]
    return [(rows, moved), (rows, rows[::-1]), (rows, [[x * (1.0 + 2.0**-20), y] for x, y in rows]), (rows, rows[:1] * 4), *alone]


def two_sets_of_groups(parameters: Parameters) -> list[Sample]:
    return [(*sets, list(labels)) for sets in two_sets(parameters) for labels in ([0, 0, 1, 1, 2][: len(sets[0])],)]


def triplets(parameters: Parameters) -> list[Sample]:
    """With swap, not those whose two distances to the negative are one number in float64: which is less is a kink."""
    return [triplet for triplet in TRIPLETS if not (parameters.get("swap") and abs(triplet[0][0]) in (1e-200, 8e307))]


def cohorts(_: Parameters) -> list[Sample]:
    """Whole batches: ties of events and of the censored, one risk far above the others, risks as far apart as floats are."""
    times, events = [1.0, 2.0, 2.0, 2.0, 5.0, 5.0, 7.0], [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    risks = (
        [0.5, -0.3, 1.2, 0.1, -0.8, 0.7, 0.0],
        [0.0] * 7,
        [0.0, 0.0, 0.0, 60.0, 0.0, -60.0, 0.0],
        [800.0, -800.0, 1e4, -1e4, 0.0, 3.0, -745.0],
        [-2000.0, -1300.0, -1301.0, 10.0, 640.0, 640.5, 5.0],
        [1e30, -1e30, 1e30, 1.0, -1e16, 1e16, 0.0],
        [1e8, 1e8 + 1.5, 1e8 - 0.25, 1e8, 1e8 + 0.5, 1e8, 1e8 - 2.0],
        [LEAST, 1e-300, 0.0, -1e-17, STEP, 1e-9, -1e-9],
    )
    orders = (slice(None), slice(None, None, -1))
    return [(risk, times[order], events) for risk in risks for order in orders] + [([3.0], [0.0], [1.0])]


def by_intervals(_: Parameters) -> list[Sample]:
    """Whole batches: risks that are even, torn and sure, events and the censored in the same intervals."""
    intervals, events = [0.0, 2.0, 1.0, 2.0, 1.0], [1.0, 1.0, 0.0, 0.0, 1.0]
    even, torn = [[0.2, -0.5, 1.0]] * 5, [[800.0, -800.0, 0.0], [-40.0, 40.0, 1.0], [0.0] * 3, [1e4, 5.0, -1e4], [0.0, 1e-9, 0.0]]
    return [(even, intervals, events), (torn, intervals, events), (torn[::-1], intervals, events), ([[0.5]], [0.0], [1.0])]


def survivals(_: Parameters) -> list[Sample]:
    """Whole batches: probabilities that are even, sure and nearly so, events and the censored at the same times and the last."""
    times, events = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0], [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    even = [[0.75, 0.5, 0.5, 0.25], [1.0, 1.0, 0.0, 0.0]] * 3
    near = [[1.0 - STEP, 0.5, LEAST, 1e-300], [1.0, 1e-9, 1e-150, 0.0], [STEP, 1.0 - 1e-9, 0.3, 1e-17]] * 2
    return [(rows, order, seen) for rows in (even, near) for order in (times, times[::-1]) for seen in (events, events[::-1])]


def anchored(_: Parameters) -> list[Sample]:
    """Whole batches of cosines with proxies: parallel and opposite, nearly alike, of one class, one alone."""
    torn, near = (
        [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.5], [0.0, 1e-300, -1e-9]],
        [[0.1, 0.1 + STEP, -0.1], [0.1, -0.1, 0.1], [0.3] * 3],
    )
    return [(rows, labels) for rows in (torn, near) for labels in ([0.0, 1.0, 2.0], [2.0] * 3)] + [([[0.5, -0.25]], [1.0])]


def series(_: Parameters) -> list[Sample]:
    """Whole batches of predictions and targets: exact, nearly so, far off, of sizes far apart, with targets near each other."""
    y = [1.0, 2.0, 4.0, 8.5, -3.0]
    return [
        (y, y),
        ([number * (1.0 + STEP) for number in y], y),
        ([0.0] * 5, [0.1, 1e-300, 1e8, -1e8 + 1.0, 3.0]),
        ([HUGE, -HUGE, 1.0, LEAST, 0.0], [1e300, 1e-300, -1e150, 2.0, 0.5]),
        ([1e8, 1e8 + 0.5, 1e8 - 2.0], [1e8, 1e8 + 1.5, 1e8 - 0.25]),
        ([3.0, 1.0], [LEAST, 1e-310]),
    ]


def graded(_: Parameters) -> list[Sample]:
    """Whole batches: grades that are met, nearly met and missed, of one grade, by predictions that are sure and by even ones."""
    sure, even = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.125, 0.0, 0.875]]
    near = [[1.0 - 1e-12, 1e-12, 0.0], [0.0, 1.0, 0.0], [1e-300, 1e-9, 1.0 - 1e-9]]
    return [(rows, labels) for rows in (sure, even, near) for labels in ([0.0, 1.0, 2.0], [2.0, 2.0, 0.0], [1.0, 1.0, 1.0])]


def tagged(_: Parameters) -> list[Sample]:
    """Whole batches: labels of all, some and none, scores that are even, torn and far apart."""
    hot = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    rows = (
        [[0.5, -0.3, 1.2], [0.1, -0.8, 0.7], [0.0, 2.0, -1.0]],
        [[0.0] * 3] * 3,
        [[1e4, -1e4, 3.0], [-1e4, 1e4, 0.0], [40.0, -40.0, 1e-9]],
        [[30.0, -30.0, 5.0], [-30.0, 0.5, 0.0], [-3.0, 30.0, 1e-17]],
    )
    others = ([[1.0, 1.0, 1.0]] * 3, [[0.0, 0.0, 0.0]] * 3)
    return [(scores, labels) for scores in rows for labels in (hot, *others)]


def ensembles(_: Parameters) -> list[Sample]:
    """Ensembles of vectors and outcomes: apart, nearly alike, all alike, torn, the outcome one of them or between two."""
    spread = [[1.0, 2.0, 3.0], [1.5, -2.0, 2.0], [-0.25, 0.5, 4.0]]
    nearly = [[1.0, 2.0, 3.0], [1.0 + STEP, 2.0, 3.0], [1.0, 2.0, 3.0000001]]
    return [
        (spread, [0.5, 0.25, 3.0]),
        (spread, spread[1]),
        (nearly, [1.0, 2.0, 3.0]),
        ([[1.0, 2.0, 3.0]] * 3, [4.0, 2.0, -1.0]),
        ([[0.0, 0.0, 0.0]] * 3, [0.0, 0.0, 0.0]),
        ([[1e8, 1.0, 0.0], [-1e8, 1.0, 0.5], [3.0, 1e-8, 0.25]], [1e-3, 0.5, 2.0]),
        ([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [0.0, 0.0, 0.0]),
        ([[1e150, 2e150, 0.0], [3e150, 1e150, 0.0], [1e150, 0.0, 1e150]], [2e150, 1e150, 1e149]),
        ([[1.0, 2.0, 3.0]], [1.5, 2.5, 3.0]),
        ([[1.0, 0.0, 2.0], [3.0, 0.5, 1.0]], [2.0, 0.25, 1.5]),
    ]


def scored(_: Parameters) -> list[Sample]:
    """Whole batches of scores of real and of made samples: torn apart, nearly alike, as large as floats are, one alone."""
    real = [0.5, -3.0, 800.0, 1e8, 1e-9, -40.0]
    return [
        (real, [-score for score in real]),
        (real, [score * (1.0 + STEP) for score in real]),
        ([HUGE, 1.0, -HUGE], [-HUGE, HUGE, LEAST]),
        ([0.3], [0.2]),
    ]


def rewarded(_: Parameters) -> list[Sample]:
    """Whole batches of answers: likelier and less likely than the reference has them, by little and by all there is."""
    chosen, rejected = [-1.0, -20.5, -3.25, -800.0, -7.0], [-2.0, -5.5, -3.0, -1.0, -9.5]
    nearly = [number * (1.0 + STEP) for number in chosen]
    far = [-HUGE, -1e300, -LEAST, -1.0, -1e150]
    return [
        (chosen, rejected, [-1.5, -19.0, -4.0, -790.0, -8.0], [-2.5, -5.0, -2.0, -1.75, -9.0]),
        (chosen, nearly, nearly, chosen),
        (far, far[::-1], far[2:] + far[:2], [-1.0] * 5),
        ([-1.0], [-2.0], [-3.0], [-5.0]),
    ]


FURTHER: Mapping[str, Callable[[Parameters], Sequence[Sample]]] = {
    "cosine_similarity": lambda _: VECTORS,
    "minkowski": lambda _: VECTORS,
    "weighted_kappa": graded,
    "two_way": tagged,
    "proxy_anchor": anchored,
    "integrated_brier_score": survivals,
    "cosine_embedding": lambda _: [(*pair, y) for pair in VECTORS for y in (-1, 1)],
    "triplet_margin": triplets,
    "circle": groups,
    **dict.fromkeys(("nt_xent", "supervised_contrastive", "multi_similarity", "neighbourhood_components"), groups),
    **dict.fromkeys(("lifted_structure", "batch_all_triplet"), groups),
    **dict.fromkeys(("energy_distance", "mmd", "sinkhorn"), clouds),
    **dict.fromkeys(("info_nce", "clip", "siglip", "barlow_twins", "vicreg"), two_sets),
    **dict.fromkeys(("soft_margin_triplet", "angular"), lambda _: TRIPLETS),
    "n_pairs": two_sets_of_groups,
    "relativistic_average_gan": scored,
    "aot": rewarded,
    "variogram_score": ensembles,
    "energy_score": lambda given: [sample for sample in ensembles(given) if len(sample[0]) > 1 or "estimator" not in given],
    "cox_partial_likelihood": cohorts,
    "deephit_rank": by_intervals,
    **dict.fromkeys(("iou", "giou", "diou", "ciou", "eiou", "focal_eiou", "wiou", "bounded_iou"), boxes),
    "ctc": sequences,
    "rnn_t": lattices,
    **dict.fromkeys(
        ("weighted_absolute_percentage_error", "relative_squared_error", "normalized_root_mean_squared_error"), series
    ),
}


def batches(samples: Sequence[Sample]) -> list[tuple[np.ndarray, ...]]:
    """Samples as arrays, those of one shape in one batch."""
    shaped: dict[Any, list[Sample]] = {}
    for sample in samples:
        shaped.setdefault(tuple(np.shape(array) for array in sample), []).append(sample)
    return [tuple(np.array(column, dtype=np.float64) for column in zip(*group, strict=True)) for group in shaped.values()]
