"""Formulas evaluated as they are read, with numbers for their symbols: what a reader with a pocket calculator would get."""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.losses.formula import BIG, Node, names, read
from app.losses.numerics.special import special

NUMBERS = {"½": 0.5, "¼": 0.25, "⅓": 1 / 3, "⅔": 2 / 3, "¾": 0.75}
CONSTANTS = {"e": math.e, "π": math.pi, "∞": math.inf}
STEP = 1e-6


def largest(*numbers: Any) -> Any:
    return np.max(numbers[0]) if len(numbers) == 1 else functools.reduce(np.maximum, numbers)


def smallest(*numbers: Any) -> Any:
    return np.min(numbers[0]) if len(numbers) == 1 else functools.reduce(np.minimum, numbers)


def softmax(x: Any) -> Any:
    shares = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def cosine(a: Any, b: Any) -> Any:
    return a @ b / math.sqrt((a @ a) * (b @ b))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "ln": np.log,
    "exp": np.exp,
    "max": largest,
    "min": smallest,
    "sign": np.sign,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arctan": np.arctan,
    "cos": cosine,
    "mean": np.mean,
    "median": np.median,
    "σ": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softmax": softmax,
    "Γ": math.gamma,
    "erf": math.erf,
    "ψ": lambda x: float(special("digamma")(x)),
    "sin": np.sin,
}
GATHERED: Mapping[str, Callable[[list[Any]], Any]] = {"∑": sum, "∏": math.prod, "max": max, "min": min, "mean": np.mean}
RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "≠": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "≤": operator.le,
    "≥": operator.ge,
    "∈": lambda one, many: one in many,
    "∉": lambda one, many: one not in many,
}


@dataclass(frozen=True)
class Numbers:
    """What the symbols of a formula stand for: numbers, rows, functions; and what the formula itself defines."""

    known: Mapping[str, Any]
    ranges: Mapping[str, Any] = field(default_factory=dict)
    """What an index runs over; all others over the k classes."""
    defined: Mapping[str, tuple[tuple[str, ...], Node]] = field(default_factory=dict)
    moved: Callable[[float], "Numbers"] | None = None
    """The same after a small step of what `∂` is with respect to."""

    def beside(self, symbols: Mapping[str, Any] | None = None, /, **known: Any) -> "Numbers":
        return replace(self, known={**self.known, **(symbols or {}), **known})  # a keyword ℓ would be l to Python

    def reading(self, *formulas: str) -> "Numbers":
        """The same with what these formulas define."""
        defined = {}
        for statement in (statement for formula in formulas if formula for statement in statements(formula)):
            if statement.kind == "define" and not next(names(statement.parts[0])).startswith("∂"):
                name, *formal = names(statement.parts[0])
                defined[name] = tuple(formal), statement.parts[1]
        return replace(self, defined=defined)

    def __getitem__(self, name: str) -> Any:
        if name in self.known:
            return self.known[name]
        if name in self.defined:
            found = value(self.defined[name][1], self)
            if found is not None:
                return found
        if name.startswith("∂"):
            return 1.0 if name == "∂z" else self.slope(name[1:])
        return CONSTANTS[name]

    def slope(self, name: str) -> float:
        """By a difference."""
        assert self.moved
        return (self.moved(STEP)[name] - self.moved(-STEP)[name]) / (2 * STEP)


def statements(formula: str) -> tuple[Node, ...]:
    tree = read(formula)
    return tree.parts if tree.kind == "statements" else (tree,)


def evaluated(formula: str, numbers: Numbers) -> Any:
    """What the first statement of a formula comes to, or stands on the right of it."""
    first = statements(formula)[0]
    return value(first.parts[1] if first.kind == "define" else first, numbers)


def slopes(formula: str, numbers: Numbers) -> dict[str, Any]:
    """What a formula says of derivatives: by the name that they are with respect to."""
    found = {}
    for statement in statements(formula):
        if statement.kind == "define":
            above, *below = names(statement.parts[0])
            if above == "∂ℓ":
                found[below[0][1:]] = value(statement.parts[1], numbers)
    return found


def value(node: Node, numbers: Numbers) -> Any:  # one case for each kind of part
    parts = node.parts
    match node.kind:
        case "number":
            return NUMBERS.get(node.text) or float(node.text)
        case "name":
            return numbers[node.text]
        case "group":
            return value(parts[0], numbers)
        case "size":
            inside = value(parts[0], numbers)
            return len(inside) if isinstance(inside, frozenset) else np.abs(inside)
        case "norm":
            return np.linalg.norm(value(parts[0], numbers))
        case "truth":
            return float(value(parts[0], numbers))
        case "root":
            return np.sqrt(value(parts[0], numbers))
        case "call":
            arguments = [value(part, numbers) for part in parts[1].parts]
            return called(parts[0], arguments, numbers)
        case "apply":
            return applied(parts[0], parts[1], numbers)
        case "below":
            return placed(parts[0], parts[1], numbers)
        case "above":
            return np.float_power(value(parts[0], numbers), value(parts[1], numbers))
        case "negative":
            return -value(parts[0], numbers)
        case "product":
            return functools.reduce(
                lambda so_far, factor: multiplied(so_far, *factor),
                zip(node.text, [value(part, numbers) for part in parts[1:]], strict=True),
                value(parts[0], numbers),
            )
        case "sum":
            signs = {"+": operator.add, "−": operator.sub, "∩": operator.and_, "∪": operator.or_}
            total = value(parts[0], numbers)
            for sign, part in zip(node.text, parts[1:], strict=True):
                total = signs[sign](total, value(part, numbers))
            return total
        case "relation":
            sides = [value(part, numbers) for part in parts]
            return functools.reduce(
                operator.and_,
                [RELATIONS[sign](*pair) for sign, pair in zip(node.text, itertools.pairwise(sides), strict=True)],
            )
        case "and":
            return all(value(part, numbers) for part in parts)
        case "cases":
            return chosen(parts, numbers)
        case _:
            raise ValueError(node.kind)


def chosen(parts: tuple[Node, ...], numbers: Numbers) -> Any:
    """The branch that holds; of arrays, each number's own. None where none does."""
    for branch, condition in zip(parts[::2], parts[1::2], strict=False):
        holds = bool(numbers[condition.text]) if condition.kind == "name" else value(condition, numbers)
        if isinstance(holds, np.ndarray):
            return np.where(holds, value(branch, numbers), value(parts[-1], numbers))
        if holds:
            return value(branch, numbers)
    return value(parts[-1], numbers) if len(parts) % 2 else None


def multiplied(one: Any, sign: str, other: Any) -> Any:
    if sign == "/":
        return one / other
    if sign == "·" and np.ndim(one) == 1 and np.ndim(other) == 1 and isinstance(one, np.ndarray):
        return one @ other
    if np.ndim(one) == 0 == np.ndim(other) and 0.0 in (one, other):
        return 0.0
    return one * other


def called(head: Node, arguments: list[Any], numbers: Numbers) -> Any:
    name = head.text
    if name in numbers.defined and numbers.defined[name][0]:
        formal, tree = numbers.defined[name]
        found = value(tree, numbers.beside(**dict(zip(formal, arguments, strict=True))))
        if found is not None:
            return found
    return (numbers.known[name] if name in numbers.known else FUNCTIONS[name])(*arguments)


def applied(head: Node, operand: Node, numbers: Numbers) -> Any:
    if head.kind == "below":
        return GATHERED[head.parts[0].text]([value(operand, inside) for inside in within(head.parts[1], numbers)])
    if head.text in BIG:
        raise ValueError(f"{head.text} of nothing that it counts")
    return FUNCTIONS[head.text](value(operand, numbers))


def within(index: Node, numbers: Numbers) -> Iterator[Numbers]:
    """The numbers with each index that a sum is over."""
    condition = index.parts[0] if index.kind == "group" else index
    name = next(names(condition))
    for number in numbers.ranges.get(name, range(numbers.known.get("k", 0))):
        inside = numbers.beside(**{name: number})
        if condition.kind == "name" or value(condition, inside):
            yield inside


def placed(base: Node, index: Node, numbers: Numbers) -> Any:
    """One of several numbers."""
    if base.kind == "norm":
        return np.linalg.norm(value(base.parts[0], numbers), value(index, numbers))
    where = value(index, numbers)
    if base.text in numbers.defined and numbers.defined[base.text][0]:
        formal, tree = numbers.defined[base.text]
        return value(tree, numbers.beside(**{formal[0]: where}))
    many = numbers[base.text]
    if base.text == "y" and np.ndim(many) == 0:
        return float(where == many)  # of an index, the row that it stands for
    return many if np.ndim(many) == 0 else many[int(where)]
