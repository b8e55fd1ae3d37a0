"""Points where formulas lose their digits: samples at the ends of every range, at ties, poles, kinks and near optima.

`points(name, parameters)` lists single samples, each a tuple of what the loss takes; those of one shape make a batch.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Sample = tuple[Any, ...]
Parameters = Mapping[str, Any]

STEP = 2.0**-52
LEAST = 5e-324
HUGE = 1.7e308

REALS: Sequence[Sample] = [
    (0.0, 0.0), (-2.5, -2.5), (1.0 + STEP, 1.0), (1.0, 1.0 + STEP), (3.0000001, 3.0), (1e-9, 0.0),
    (LEAST, 0.0), (1e-300, -1e-300), (1e-160, 0.0), (1e150, 0.0), (8e307, -8e307), (-HUGE, HUGE), (HUGE, 2.0),
    (1e16, 1.0), (1.5, 0.5), (0.5, 1.5), (1.5, 0.5 + STEP), (0.1, 0.0), (0.1, 1e-18), (-1.1, -1.0), (0.1, 0.3),
    (17.9, 0.0), (18.1, 0.0), (710.5, 0.0), (3.0, -800.0),
]  # fmt: skip

ABOVE_MINUS_ONE: Sequence[Sample] = [
    (0.0, 0.0), (1.0, 1.0 + STEP), (1.0 + STEP, 1.0), (STEP / 2 - 1.0, 0.0), (0.0, STEP / 2 - 1.0), (STEP / 2 - 1.0, 1e308),
    (1e308, 0.0), (1e308, 1.0000000000000002e308), (HUGE, STEP - 1.0), (1e-300, 0.0), (LEAST, 0.0), (1e-20, 2e-20),
    (1e16, 1e16 + 2), (1e-8, 1.0000000000000002e-8), (-0.999999, -0.9999991), (-0.5, 0.5), (0.3, 0.3000001),
]  # fmt: skip

POSITIVES: Sequence[Sample] = [
    (1.0, 1.0), (1.0 + STEP, 1.0), (1.0, 1.0 + STEP), (1.0000001, 1.0), (0.5000001, 0.5), (2.9999999, 3.0), (1.3, 1.0),
    (2.0, 1.0001), (1e-300, 1.0), (1.0, 1e-300), (1e308, 1e308), (1e300, 1e-300), (1e-308, 1e-308), (1e200, 1e199), (1e5, 1e-5),
    (1e-5, 1e5), (LEAST, LEAST), (math.e, 1.0),
]  # fmt: skip
WITH_ZERO: Sequence[Sample] = [*POSITIVES, (2.0, 0.0), (1e-300, 0.0), (1e308, 0.0)]

LOGITS_OF_ONE = [
    0.0, 1e-300, -LEAST, 1e-9, 2.0, -2.0, 15.3, -15.3, 36.7, -36.7, 40.0, -40.0, 709.9, -709.9, 745.2, -745.2, 800.0, -800.0,
    1e4, -1e4,
]  # fmt: skip
PROBABILITIES = [0.0, 1.0, LEAST, 1e-300, 1e-100, 1e-17, 1e-9, STEP / 4, 0.3, 0.5, 0.5 + STEP, 0.999, 1.0 - 1e-9, 1.0 - STEP / 2]
SOFT = [0.0, 1.0, 0.5, 0.3, 1e-300, 1.0 - STEP / 2]

MARGINS = [
    0.0, 1.0, -1.0, 1.0 + STEP, 1.0 - STEP / 2, STEP - 1.0, 0.3, 0.7, 1e-300, LEAST, 1e-9, 36.8, -36.8, 709.9, -709.9, 745.3,
    800.0, -800.0, 1e16, 1e150, -1e150, 1e308, -1e308,
]  # fmt: skip
SIGNED: Sequence[Sample] = [*itertools.product(MARGINS, [-1.0, 1.0])]

LOGIT_ROWS = [
    [0.0, 0.0, 0.0, 0.0],
    [1.5, 1.5, -2.0, 0.3],
    [40.0, 0.0, -3.0, 1.0],
    [-36.8, 0.0, 0.0, -36.8],
    [800.0, 0.0, -800.0, 799.0],
    [710.0, 709.0, 708.0, -710.0],
    [1e4, -1e4, 0.0, 1.0],
    [1e-300, 0.0, -LEAST, 1e-17],
    [1e16, 1e16 + 2, 0.0, -1e16],
    [1e300, -1e300, 0.0, 1.0],
    [2.0 + STEP * 2, 2.0, 1.9, -7.0],
]
PROBABILITY_ROWS = [
    [0.25, 0.25, 0.25, 0.25],
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 0.5, 0.5, 0.0],
    [1.0 - 1e-9, 1e-9, 0.0, 0.0],
    [1.0 - STEP, STEP / 2, STEP / 4, STEP / 4],
    [1e-300, LEAST, 0.3, 0.7],
    [1e-17, 1.0 - 1e-17, 1e-100, 1e-8],
    [0.1, 0.2, 0.3, 0.4],
    [0.1 + STEP, 0.2 - STEP, 0.3, 0.4],
]
LOG_PROBABILITY_ROWS = [
    [math.log(0.1), math.log(0.2), math.log(0.3), math.log(0.4)],
    [0.0, -1e4, -745.0, -1e300],
    [-1e-9, -20.7, -40.0, -50.0],
    [-LEAST, -800.0, -709.0, -37.0],
    [math.log(0.25)] * 4,
]
LOG_TARGET_ROWS = [row if min(row) > -700 else [0.0, -1e4, -700.0, -1e300] for row in LOG_PROBABILITY_ROWS]
SCORE_ROWS = [
    [0.0, 0.0, 0.0, 0.0],
    [1.0, 2.0, -1.0, 1.0 + STEP],
    [-1.0, -2.0, -3.0, -1e-9],
    [0.3, 1.3, 0.3 + STEP, -0.7],
    [1e16, 1.0, -1e16, 0.0],
    [1e-300, LEAST, -1e-300, 1.0],
    [1e150, -1e150, 3.0, 0.5],
    [8e307, -8e307, 0.0, 1.0],
    [HUGE, 1.0, HUGE, -HUGE],
    [800.0, -800.0, 36.0, -36.0],
    [0.0, 1e200, -1.0, 2.0],
]
HOT_ROWS = [[1, 0, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]]


def indexed(rows: Sequence[Any]) -> list[Sample]:
    return [(row, y) for at, row in enumerate(rows) for y in (at % 4, (at + 1) % 4)]


def crossed(rows: Sequence[Any], others: Sequence[Any]) -> list[Sample]:
    """Each row with two of the others, and with itself where both are of one kind."""
    return [(row, others[(at + shift) % len(others)]) for at, row in enumerate(rows) for shift in (0, 1)]


def softmax(row: Sequence[float]) -> list[float]:
    powers = [math.exp(each - max(row)) for each in row]
    return [each / sum(powers) for each in powers]


def binary(parameters: Parameters) -> list[Sample]:
    if not parameters.get("from_logits"):
        return [*itertools.product(PROBABILITIES, SOFT[:4]), (0.7, 0.7)]
    return [
        *itertools.product(LOGITS_OF_ONE, SOFT[:4]),
        *itertools.product([1e300, -1e300], [0.0, 1.0]),
        (2.0, 1 / (1 + math.exp(-2.0))),
    ]


def categorical(parameters: Parameters) -> list[Sample]:
    rows = LOGIT_ROWS if parameters.get("from_logits") else PROBABILITY_ROWS
    soft = crossed(rows, PROBABILITY_ROWS)
    if parameters.get("from_logits"):
        soft += [(row, softmax(row)) for row in LOGIT_ROWS[:3]]
    return indexed(rows) + soft


def one_label(parameters: Parameters) -> list[Sample]:
    return indexed(LOGIT_ROWS if parameters.get("from_logits") else PROBABILITY_ROWS)


def divergence(parameters: Parameters) -> list[Sample]:
    rows = {"probabilities": PROBABILITY_ROWS, "log_probabilities": LOG_PROBABILITY_ROWS, "logits": LOGIT_ROWS}
    source = parameters.get("input_format", "probabilities")
    if parameters.get("log_target"):
        return crossed([row for row in rows[source] if source != "probabilities" or min(row) > 0], LOG_TARGET_ROWS)
    given = crossed(rows[source], PROBABILITY_ROWS)
    if source == "logits":
        given += [(row, softmax(row)) for row in LOGIT_ROWS[:3]]
    if source == "log_probabilities":
        given += [([math.log(each) for each in row], row) for row in ([0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.15, 0.05])]
    return given


def poisson(parameters: Parameters) -> list[Sample]:
    if not parameters.get("log_input", True):
        return [*POSITIVES[:13], (2.0, 0.0), (1e-300, 0.0), (1e8, 99999999.0), (5.0, 1.0), (5.0, 2.0), (3.0, 170.0)]
    rates = [-1e300, -800.0, -1e-9, 0.0, 1e-300, 1.0, math.log(3.0), 20.0, 709.0, 800.0]
    return [(x, y) for x in rates for y in (0.0, 1.0, 3.0)] + [(math.log(1e6), 1e6), (2.0, 171.0), (-3.0, 0.5), (36.0, 1e15)]


def by_link(parameters: Parameters) -> list[Sample]:
    if not parameters.get("log_input"):
        return [*POSITIVES]
    return [
        (0.0, 1.0), (1e-9, 1.0), (-1e-9, 1.0), (800.0, 1.0), (-800.0, 1e-300), (-700.0, 1e-310), (-1e4, 1.0), (1e4, 1.0),
        (math.log(3.0), 3.0), (1e300, 2.0), (700.0, 1e300), (20.0, 1e-5), (-20.0, 1e5),
    ]  # fmt: skip


GAUSSIANS: Sequence[Sample] = [
    (0.0, 1.0, 0.0), (1.0, 1.0, 1.0), (1.0 + STEP, 1.0, 1.0), (2.0, 1.0, 1.0), (2.0, 1.0 + STEP, 1.0), (1e-9, 1e-3, 0.0),
    (3.0, 4.0, 1.0), (1.0, 1e-9, 1.0), (1.0, 1e-300, 3.0), (1e150, 1e300, 0.0), (1e200, 1e250, 0.0), (1e200, 1.0, 0.0),
    (8e307, 1e308, -8e307), (0.0, 1e308, LEAST), (1e-3, 1e-5, 0.0), (0.1, 0.7, 0.3),
]  # fmt: skip

VECTORS: Sequence[Sample] = [
    ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [-2.0, -4.0, -6.0]), ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0000001]), ([1.0, 2.0, 3.0], [1.0 + STEP, 2.0, 3.0]), ([1.0, 2.0, 3.0], [3.0, 0.0, -1.0]),
    ([1e-200, 2e-200, -1e-200], [3.0, 1.0, 1.0]), ([1e200, 2e200, -1e200], [3e-200, 1e-200, 1e-200]),
    ([1e300, 1.0, 1e-300], [1.0, 2.0, 3.0]), ([1e154, 3e154, 0.0], [1e-170, 0.0, 2e-170]),
    ([HUGE, HUGE, -HUGE], [HUGE, 1.0, 2.0]), ([LEAST, 0.0, 0.0], [1.0, 1.0, 0.0]), ([0.1, 0.2, 0.3], [0.2, 0.4, 0.6]),
]  # fmt: skip

TRIPLETS: Sequence[Sample] = [
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.5, 2.0, 3.0]),
    ([1.0, 2.0, 3.0], [1.5, 2.0, 3.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]),
    ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0 + STEP]), ([1.0, 2.0, 3.0], [2.0, 2.5, 3.5], [9.0, -9.0, 9.0]),
    ([1e200, 2e200, 0.0], [3e200, 1e200, 0.0], [1e200, 0.0, 0.0]),
    ([1e-200, 0.0, 0.0], [2e-200, 0.0, 0.0], [3e-200, 1e-200, 0.0]), ([8e307, 0.0, 0.0], [-8e307, 0.0, 0.0], [0.0, 1.0, 2.0]),
    ([1e8, 1.0, 0.0], [1e8, 1.0, 0.5], [1e8, 0.0, 0.0]), ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.5, -0.2, 0.4]),
    ([0.0, 0.0, 1e-6], [1e-6, 0.0, 0.0], [0.0, 1e-6, 0.0]),
]  # fmt: skip

BOXES: Sequence[Sample] = [
    ([0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 2.0, 1.0]), ([0.0, 0.0, 1.0, 1.0], [3.0, 4.0, 5.0, 5.0]),
    ([0.0, 0.0, 1.0, 1.0], [1.0, 0.3, 2.0, 2.0]), ([0.0, 0.0, 4.0, 4.0], [1.0, 1.5, 2.0, 3.0]),
    ([1.0, 1.5, 2.0, 3.0], [0.0, 0.0, 4.0, 4.0]), ([0.1, 0.2, 0.7, 0.9], [0.1000001, 0.2, 0.7, 0.9000001]),
    ([0.0, 0.0, 1e-3, 1e3], [1e-4, 1.0, 2e-3, 9e2]), ([1e5, 1e5, 1e5 + 3, 1e5 + 2], [1e5 + 1, 1e5 + 0.5, 1e5 + 4, 1e5 + 1.7]),
    ([-1e100, -1e100, 1e100, 2e100], [-2e100, -1e99, 1e99, 1e100]),
    ([1e-100, 1e-100, 3e-100, 2e-100], [2e-100, 1.5e-100, 4e-100, 5e-100]), ([1.0, 1.0, 1.0, 2.0], [0.5, 0.0, 3.0, 3.0]),
    ([0.5, 0.0, 3.0, 3.0], [1.0, 1.0, 1.0, 2.0]), ([0.0, 0.0, 2.0, 1.0], [0.1, 0.05, 4.1, 2.05]),
    ([1e200, 1e200, 3e200, 4e200], [2e200, 0.0, 4e200, 3e200]),
]  # fmt: skip

MASKS: Sequence[tuple[Sequence[float], Sequence[float]]] = [
    ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]), ([1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0]),
    ([0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0]), ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]),
    ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]), ([1e-300, 1e-200, 0.0, LEAST], [0.0, 0.0, 0.0, 0.0]),
    ([1e-300, 1e-200, 0.0, 1e-100], [0.0, 1.0, 0.0, 0.0]), ([1.0 - STEP / 2, 1e-17, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]),
    ([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]), ([0.3, 0.7, 0.2, 0.9], [0.3, 0.7, 0.2, 0.9]),
    ([0.9999999, 1e-7, 0.9999999, 1e-8], [1.0, 0.0, 1.0, 0.0]),
]  # fmt: skip
LOGIT_MASK_ROWS = [
    [0.0, 0.0, 0.0, 0.0],
    [40.0, -40.0, 36.0, 38.0],
    [800.0, -800.0, 745.0, -745.0],
    [-800.0, -700.0, -710.0, -1e4],
    [1e300, -1e300, 3.0, 1e-300],
    [2.0, -1.0, 0.3, 0.5],
]
LOGIT_MASKS: Sequence[Sample] = [
    (row, hot)
    for at, row in enumerate(LOGIT_MASK_ROWS)
    for hot in ([1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0] if at % 2 else [0.3, 0.7, 0.0, 1.0])
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


def masks(parameters: Parameters) -> list[Sample]:
    if "class_axis" in parameters:
        return []
    return [*LOGIT_MASKS] if parameters.get("from_logits") else [*MASKS]


def sequences(parameters: Parameters) -> list[Sample]:
    """Labels that repeat, that fill every frame, that fit in no way, that are none; frames that are sure, even and torn."""
    a, b, c = [label for label in range(4) if label != parameters.get("blank", 0)]
    labels = [[a, b, -1], [a, a, -1], [a, b, c], [a, a, a], [-1, -1, -1], [b, -1, -1], [c, b, c]]
    torn = [[[800.0, -800.0, 0.0, 3.0], [-36.0, 40.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1e-9], [1e4, -1e4, 5.0, 4.0]]]
    even = [[[0.0] * 4] * 4, [[1.0, 2.0, 0.5, -1.0], [0.3, 0.1, -2.0, 0.7], [-0.3, 1.1, 0.0, 0.2], [2.5, 0.0, 0.1, -0.4]]]
    if parameters.get("from_logits"):
        return [(frames, label) for frames in [*even, *torn] for label in labels]
    sure = [LOG_PROBABILITY_ROWS[at] for at in (0, 2, 4, 3)]
    steep = [[0.0, -1e4, -745.0, -1e8]] * 4
    only_way = ([LOG_PROBABILITY_ROWS[1]] * 3, [a, b, c])  # beside −1e300 the others lose every digit, unless there are none
    return [*((frames, label) for frames in ([LOG_PROBABILITY_ROWS[4]] * 4, sure, steep) for label in labels), only_way]


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


def logarithmic(parameters: Parameters) -> list[Sample]:
    return [*ABOVE_MINUS_ONE, *([(-3.0, 2.0), (2.0, -3.0), (-3.0, -2.0)] if parameters else [])]


def by_power(parameters: Parameters) -> Sequence[Sample]:
    power = parameters.get("power", 0)
    return REALS if power == 0 else WITH_ZERO if power < 2 else POSITIVES


def brier(_: Parameters) -> list[Sample]:
    rows = [*indexed(PROBABILITY_ROWS), *crossed(PROBABILITY_ROWS, PROBABILITY_ROWS[3:])]
    return [*itertools.product(PROBABILITIES, SOFT), *rows]


def decisions(_: Parameters) -> list[Sample]:
    numbers = [(0.3, 1), (0.5, 0), (0.5, 1), (0.5 + STEP, 1), (0.3 + STEP, 1), (1.0, 1), (0.0, 1)]
    return [*numbers, *indexed(SCORE_ROWS[1:6])]


def labelled(parameters: Parameters) -> list[Sample]:
    return crossed(SCORE_ROWS, HOT_ROWS if parameters else [[0, 2, -1], [3, -1, 0], [-1, 1, 2], [2, 1, 0]])


def triplets(parameters: Parameters) -> list[Sample]:
    """With swap, not those whose two distances to the negative are one number in float64: which is less is a kink."""
    return [each for each in TRIPLETS if not (parameters.get("swap") and abs(each[0][0]) in (1e-200, 8e307))]


def ranked(_: Parameters) -> list[Sample]:
    return [*((*pair, y) for pair in REALS for y in (-1, 1)), (0.3, 0.0, 1), (0.6, 0.3, 1), (0.3 + STEP, 1e-18, 1)]


DISTANCES = [0.0, LEAST, 1e-200, 0.3, 0.5, 1.0 - STEP / 2, 1.0, 1.0 + STEP, 1e150, 1e308]

POINTS: Mapping[str, Callable[[Parameters], Sequence[Sample]]] = {
    "mean_squared_error": lambda _: REALS,
    "half_squared_error": lambda _: REALS,
    "mean_absolute_error": lambda _: REALS,
    "root_mean_squared_error": lambda _: REALS,
    "mean_squared_logarithmic_error": logarithmic,
    "root_mean_squared_logarithmic_error": logarithmic,
    "median_absolute_error": lambda _: REALS,
    "max_error": lambda _: REALS,
    "mean_absolute_percentage_error": lambda _: REALS,
    "log_cosh": lambda _: REALS,
    "huber": lambda _: REALS,
    "smooth_l1": lambda _: REALS,
    "quantile": lambda _: REALS,
    "epsilon_insensitive": lambda _: REALS,
    "squared_epsilon_insensitive": lambda _: REALS,
    "poisson_deviance": lambda _: WITH_ZERO,
    "gamma_deviance": lambda _: POSITIVES,
    "tweedie_deviance": by_power,
    "binary_cross_entropy": binary,
    "logistic": lambda _: SIGNED,
    "hinge": lambda _: SIGNED,
    "squared_hinge": lambda _: SIGNED,
    "modified_huber": lambda _: SIGNED,
    "perceptron": lambda _: SIGNED,
    "exponential": lambda _: SIGNED,
    "binary_focal": binary,
    "brier_score": brier,
    "zero_one": decisions,
    "categorical_cross_entropy": categorical,
    "nll": lambda _: indexed(LOG_PROBABILITY_ROWS),
    "categorical_hinge": lambda _: indexed(SCORE_ROWS),
    "crammer_singer_hinge": lambda _: indexed(SCORE_ROWS),
    "multi_margin": lambda _: indexed(SCORE_ROWS),
    "categorical_focal": one_label,
    "generalized_cross_entropy": one_label,
    "multilabel_margin": labelled,
    "multilabel_soft_margin": lambda _: crossed(SCORE_ROWS, HOT_ROWS),
    "hamming_loss": lambda _: [(0, 0), (1, 0), (3, 3), (7, -2)],
    "label_ranking_loss": lambda _: crossed(SCORE_ROWS, HOT_ROWS),
    "coverage_error": lambda _: crossed(SCORE_ROWS, HOT_ROWS),
    "kl_divergence": divergence,
    "poisson_nll": poisson,
    "gamma_nll": by_link,
    "tweedie_nll": by_link,
    "gaussian_nll": lambda _: GAUSSIANS,
    "cosine_similarity": lambda _: VECTORS,
    "contrastive": lambda _: [*itertools.product(DISTANCES, [0, 1])],
    "cosine_embedding": lambda _: [(*pair, y) for pair in VECTORS for y in (-1, 1)],
    "hinge_embedding": lambda _: SIGNED,
    "triplet_margin": triplets,
    "circle": groups,
    "margin_ranking": ranked,
    "dice": masks,
    "tversky": masks,
    "iou": boxes,
    "giou": boxes,
    "diou": boxes,
    "ciou": boxes,
    "ctc": sequences,
}


def batches(samples: Sequence[Sample]) -> list[tuple[np.ndarray, ...]]:
    """Samples as arrays, those of one shape in one batch."""
    shaped: dict[Any, list[Sample]] = {}
    for sample in samples:
        shaped.setdefault(tuple(np.shape(each) for each in sample), []).append(sample)
    return [tuple(np.array(column, dtype=np.float64) for column in zip(*group, strict=True)) for group in shaped.values()]
