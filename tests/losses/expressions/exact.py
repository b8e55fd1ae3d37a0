"""What an expression is, read by Python itself and computed in 50 digits; its derivatives by differences in many more."""

import re
from collections.abc import Mapping
from typing import Any

from mpmath import mp, mpf

NAMES: dict[str, Any] = {
    "abs": abs,
    "sqrt": mp.sqrt,
    "square": lambda x: x * x,
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": lambda x: mp.log(1 + x),
    "log2": lambda x: mp.log(x, 2),
    "log10": mp.log10,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "arctan": mp.atan,
    "erf": mp.erf,
    "gammaln": lambda x: mp.log(abs(mp.gamma(x))),
    "polygamma": lambda n, x: mp.polygamma(int(n), x),
    "sign": mp.sign,
    "minimum": min,
    "maximum": max,
    "clip": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, then, otherwise: then if condition else otherwise,
    "relu": lambda x: max(x, mpf(0)),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "log_sigmoid": lambda x: -mp.log(1 + mp.exp(-x)),
    "logcosh": lambda x: mp.log(mp.cosh(x)),
    "xlogy": lambda x, y: x * mp.log(y) if x else mpf(0),
    "hypot": lambda x, y: mp.sqrt(x * x + y * y),
}


def exact(text: str, parameters: Mapping[str, float], p: Any, y: Any) -> Any:
    """The value at p and y."""
    numbers = re.sub(r"(?<![A-Za-z_0-9.])(\d+\.?\d*(?:[eE][+-]?\d+)?)", r"mpf('\1')", text)
    known = {**NAMES, **{name: mpf(number) for name, number in parameters.items()}, "pi": mp.pi, "mpf": mpf}
    return eval(numbers, {"__builtins__": {}}, {**known, "p": p, "y": y, "r": p - y})  # a text of the tests' own


def derivative(text: str, parameters: Mapping[str, float], p: float, y: float, order: int) -> Any:
    """The derivative to p, by central differences of 60 digits and a step of 1e-15."""
    h = mpf(10) ** -15
    values = [exact(text, parameters, mpf(p) + step * h, mpf(y)) for step in (-2, -1, 0, 1, 2)]
    if order == 1:
        return (values[0] - 8 * values[1] + 8 * values[3] - values[4]) / (12 * h)
    return (-values[0] + 16 * values[1] - 30 * values[2] + 16 * values[3] - values[4]) / (12 * h * h)
