"""Losses drawn from a small grammar: expressions of the residual r = p − y, as `expression` takes them.

    E  =  r  |  a number  |  f(E)  |  E + E  |  E * E  |  E / E  |  minimum(E, E)  |  maximum(E, E)  |  where(r < 0, E, E)

Each r, number, function and operator is a node. Most of what is drawn is no loss: it is refused, and counted by its reason.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from app.errors import InvalidParameter
from app.losses.expressions.compile import expression_of
from app.losses.numerics.stable import Array

NUMBERS = ("0.1", "0.25", "0.5", "1", "2", "4")
FUNCTIONS = ("abs", "abs", "square", "sqrt", "log1p", "exp", "tanh", "arctan", "logcosh")
"""The absolute value twice: a loss of residuals of either sign needs it or a square."""
OPERATORS = ("{} + {}", "{} * {}", "{} / {}")
CHOICES = ("minimum({}, {})", "maximum({}, {})", "where(r < 0, {}, {})")
PAIR = 2
"""Nodes of a function and what it is of: of a number it would be another number."""
SHARE_OF_R = 0.7
"""Of leaves; the others are numbers."""
SHARE_OF_FUNCTIONS = 0.5
"""Of inner nodes."""
DRAWS = 50
"""For each loss that is wanted, at most."""
FARTHEST = 100.0
"""Residuals up to which a loss must be one."""
NEAREST = 1e-9
"""A residual that costs as good as nothing more than none does."""
RESIDUALS = np.concatenate([[0.0], *(sign * np.append(NEAREST, np.geomspace(1e-3, FARTHEST, 76)) for sign in (1.0, -1.0))])
JUMP = 1e-2
"""A share of the largest value: more of it is not as good as nothing."""
SLACK = 1e-9
"""By which a value may be off, as a share of the largest."""


class Refused(NamedTuple):
    """What was drawn and is no loss, by its reason."""

    reason: str
    times: int
    example: str


class Drawn(NamedTuple):
    """Losses that were drawn, each another one."""

    expressions: list[str]
    refused: list[Refused]


def draw(wanted: int, most_nodes: int, rng: "np.random.Generator") -> Drawn:
    """So many different losses of at most so many nodes; fewer where DRAWS times as many draws do not give them."""
    found: list[str] = []
    shapes: set[str] = set()
    refused: dict[str, list[str]] = {}
    for _ in range(DRAWS * wanted):
        if len(found) == wanted:
            break
        text, _ = _expression(int(rng.integers(2, most_nodes + 1)), rng)
        why, shape = flaw_of(text)
        if why is None and shape in shapes:
            why = "it is one that was drawn before, but for a factor"
        if why is not None:
            refused.setdefault(why, []).append(text)
            continue
        shapes.add(shape)
        found.append(text)
    return Drawn(found, [Refused(why, len(texts), min(texts, key=len)) for why, texts in refused.items()])


def _expression(nodes: int, rng: "np.random.Generator") -> tuple[str, bool]:
    """An expression of exactly so many nodes, and whether it needs brackets beside an operator."""
    if nodes == 1:
        return ("r" if rng.random() < SHARE_OF_R else _one_of(NUMBERS, rng)), False
    if nodes == PAIR:
        return f"{_one_of(FUNCTIONS, rng)}(r)", False
    if rng.random() < SHARE_OF_FUNCTIONS:
        return f"{_one_of(FUNCTIONS, rng)}({_expression(nodes - 1, rng)[0]})", False
    first = int(rng.integers(1, nodes - 1))
    parts = [_expression(first, rng), _expression(nodes - 1 - first, rng)]
    if rng.random() < len(OPERATORS) / (len(OPERATORS) + len(CHOICES)):
        return _one_of(OPERATORS, rng).format(*(f"({text})" if compound else text for text, compound in parts)), True
    return _one_of(CHOICES, rng).format(*(text for text, _ in parts)), False


def _one_of(words: tuple[str, ...], rng: "np.random.Generator") -> str:
    return words[int(rng.integers(len(words)))]


@np.errstate(all="ignore")
def flaw_of(text: str) -> tuple[str | None, str]:
    """Why an expression of r is no loss to train on, None for one that is; and its shape, the same for all multiples of it."""
    try:
        values, slope, _ = expression_of(text, {})(RESIDUALS, np.zeros(len(RESIDUALS)))
    except InvalidParameter as error:
        return error.faults[0].message, ""
    values = np.broadcast_to(values, RESIDUALS.shape) - values[0]
    size = float(np.abs(values).max())
    for why, is_so in FLAWS.items():
        if is_so(values, np.broadcast_to(slope, RESIDUALS.shape), SLACK * size):
            return why, ""
    return None, str([round(value, 6) for value in (values / size).tolist()])


Flaw = Callable[[Array, Array, float], bool]
FLAWS: dict[str, Flaw] = {
    "it or its slope is not finite at some residual within 100": lambda values, slope, slack: (
        not (np.isfinite(values).all() and np.isfinite(slope).all())
    ),
    "it costs the same everywhere": lambda values, slope, slack: not values.any(),
    "its least value is not at the target": lambda values, slope, slack: bool(values.min() < -slack),
    "a large residual costs no more than none": lambda values, slope, slack: bool(
        values[np.abs(RESIDUALS) == FARTHEST].min() <= slack
    ),
    "it jumps at the target": lambda values, slope, slack: bool(values[np.abs(RESIDUALS) == NEAREST].max() > JUMP * values.max()),
    "it has no slope on one side": lambda values, slope, slack: not (slope[RESIDUALS < 0].any() and slope[RESIDUALS > 0].any()),
    "it falls away from the target somewhere": lambda values, slope, slack: bool((slope * RESIDUALS).min() < -slack),
}
"""Why it is none -> whether that is so of its values above the one at the target, and of its slope, at RESIDUALS."""
