"""Expressions bent at random: taken for what Python itself makes of the text, or refused; and never at length."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from app.errors import CallerError
from app.losses.expressions.compile import expression_of
from tests.wire.fuzz import READ, REFUSED, Fuzzed, agree

PARAMETERS = {"d": 1.5}
PREDICTIONS, TARGETS = np.array([0.75, -2.5, 3.25, 0.0]), np.array([1.0, 0.5, -1.25, 0.0])
SLACK = 1e-9
"""Relative: what an expression may differ by that is written in another way than Python computes it."""

PLAIN = [
    "abs",
    "sqrt",
    "square",
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "arctan",
    "sign",
    "minimum",
    "maximum",
    "clip",
    "hypot",
]
NAMES: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in PLAIN},
    "where": lambda condition, then, otherwise: np.where(condition, then, otherwise),
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0.0, -x),
    "logcosh": lambda x: np.logaddexp(x, -x) - math.log(2.0),
}
"""What the names mean, in NumPy's own words. An expression that was taken is one of Python, and has no others but these."""
ZEROS = re.compile(r"(?<![\w.])0+(?=[0-9])")
"""Before a number, where Python has none."""
UNCOMPARED = ("erf", "gammaln", "polygamma", "xlogy")

SEEDS = [
    b"where(abs(r) <= d, r**2/2, d*(abs(r) - d/2))",
    b"r**2 * d",
    b"logcosh(r) + d*0",
    b"-log_sigmoid(p*y) + d - 1.5",
    b"maximum(d*r, (d - 1)*r)",
    b"softplus(-p) + d*square(r)/hypot(r, 1)",
    b"(p - y)**2 / (d + abs(y))",
    b"clip(r, -d, d)*r",
    b"xlogy(y, p) + sqrt(abs(r) + d)",
]
WORDS = [
    *(
        word.encode()
        for word in [
            "p",
            "y",
            "r",
            "d",
            "pi",
            "(",
            ")",
            ",",
            "+",
            "-",
            "*",
            "/",
            "**",
            "<",
            "<=",
            "==",
            "!=",
            "0",
            "1",
            "2",
            "0.5",
            "1e300",
            "1e-300",
            "64",
            "exp(",
            "log(",
            "abs(",
            "where(",
        ]
    ),
    *(
        word.encode()
        for word in [
            "maximum(",
            "sigmoid(",
            "gammaln(",
            "__import__",
            ".real",
            "[0]",
            "exp(exp(",
            "r**-2",
            "j",
            "0x1",
            "1_0",
            "=",
            "\n",
            "é",
        ]
    ),
    *(b"lambda x:", b" ", b"1" * 30, b"(" * 60, b"-" * 60),
]


def attempt(body: bytes) -> str:
    text = body.decode("latin-1")
    try:
        with np.errstate(all="ignore"):  # as evaluate has it
            values, slope, *_ = expression_of(text, PARAMETERS)(PREDICTIONS, TARGETS)
    except CallerError:
        return REFUSED
    agree(values.shape == slope.shape == PREDICTIONS.shape, values, slope)
    if any(name in text for name in UNCOMPARED):
        return READ
    given = {"p": PREDICTIONS, "y": TARGETS, "r": PREDICTIONS - TARGETS, "pi": math.pi, **PARAMETERS}
    with np.errstate(all="ignore"):
        try:
            expected = eval(
                ZEROS.sub("", text.strip()), {"__builtins__": {}}, {**NAMES, **given}
            )  # the text is of our grammar: it was taken
        except (ArithmeticError, OverflowError):  # of two constants, which Python computes by itself
            return READ
        expected = np.broadcast_to(np.asarray(expected, float), PREDICTIONS.shape)
        both = np.isfinite(values) & np.isfinite(expected) & np.isfinite(slope) & (np.abs(expected) < 1e150)
        slack = SLACK * (1.0 + np.abs(expected)) * (1.0 + np.abs(slope))
        agree(bool((np.abs(values - expected)[both] <= slack[both]).all()), text, values, expected)
    return READ


EXPRESSIONS = Fuzzed("expressions", SEEDS, WORDS, attempt)
