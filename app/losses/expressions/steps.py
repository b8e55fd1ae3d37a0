"""An expression as a list of steps, each made of earlier ones, and its derivatives as further steps.

No step is there twice, so that what a value and its derivatives have in common is computed once; and the list grows with
the number of steps only, however deep these are nested.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

VARIABLES = ("p", "y", "r")
"""Prediction, target, and their difference: what the steps without inputs may stand for beside numbers and parameters."""
PI = "pi"


class Step(NamedTuple):
    """A number, a name, or a function of earlier steps."""

    name: str
    """Of the function, the variable or the parameter; empty for a number."""
    inputs: tuple[int, ...] = ()
    number: float = 0.0


class Term:
    """A step to calculate with: operators and calls add further ones to its list, where these change anything."""

    def __init__(self, steps: "Steps", index: int) -> None:
        self.steps, self.index = steps, index

    def call(self, name: str, *others: "Term | float") -> "Term":
        """The function of this step and others."""
        return self.steps.call(name, self, *map(self.steps.term, others))

    @property
    def number(self) -> float | None:
        """The number that it is, None where it is none."""
        step = self.steps.all[self.index]
        return None if step.name else step.number

    def __add__(self, other: "Term | float") -> "Term":
        other = self.steps.term(other)
        return other if self.number == 0.0 else self if other.number == 0.0 else self.call("+", other)

    def __sub__(self, other: "Term | float") -> "Term":
        other = self.steps.term(other)
        return self if other.number == 0.0 else -other if self.number == 0.0 else self.call("-", other)

    def __mul__(self, other: "Term | float") -> "Term":
        other = self.steps.term(other)
        if 0.0 in (self.number, other.number):
            return self.steps.term(0.0)
        return other if self.number == 1.0 else self if other.number == 1.0 else self.call("*", other)

    def __truediv__(self, other: "Term | float") -> "Term":
        other = self.steps.term(other)
        step = self.steps.all[self.index]
        if step.name == "*" and step.inputs[0] == other.index and other.number:
            return Term(self.steps, step.inputs[1])
        return self if self.number == 0.0 or other.number == 1.0 else self.call("/", other)

    def __pow__(self, other: "Term | float") -> "Term":
        other = self.steps.term(other)
        if other.number == 0.0:
            return self.steps.term(1.0)
        return self if other.number == 1.0 else self.call("**", other)

    def __neg__(self) -> "Term":
        step = self.steps.all[self.index]
        if step.name == "neg":
            return Term(self.steps, step.inputs[0])
        return self.steps.term(-step.number) if not step.name else self.call("neg")


Rule: TypeAlias = Callable[..., Term]
"""(the function's step, its inputs, their derivatives) -> its derivative."""


class Steps:
    """The list."""

    def __init__(self) -> None:
        self.all: list[Step] = []
        self._known: dict[Step, int] = {}

    def term(self, value: "Term | float") -> Term:
        """A number as a step; a step as it is."""
        return value if isinstance(value, Term) else self._add(Step("", (), float(value)))

    def name(self, name: str) -> Term:
        """A variable or a parameter."""
        return self._add(Step(name))

    def call(self, name: str, *inputs: Term) -> Term:
        return self._add(Step(name, tuple(term.index for term in inputs)))

    def _add(self, step: Step) -> Term:
        index = self._known.setdefault(step, len(self.all))
        if index == len(self.all):
            self.all.append(step)
        return Term(self, index)

    def needed(self, outputs: Iterable[Term]) -> list[int]:
        """The steps that these are made of, in an order in which they can be computed."""
        wanted = {term.index for term in outputs}
        for index in range(max(wanted), -1, -1):
            if index in wanted:
                wanted.update(self.all[index].inputs)
        return sorted(wanted)

    def depends(self, output: Term, names: Iterable[str]) -> bool:
        """Whether it is made of any of these names."""
        found = {self.all[index].name for index in self.needed([output])}
        return not found.isdisjoint(names)

    def size_of(self, output: Term) -> float:
        """How many steps it is written with, where those that are used again are written again."""
        sizes: dict[int, float] = {}
        for index in self.needed([output]):
            sizes[index] = 1.0 + sum(sizes[source] for source in self.all[index].inputs)
        return sizes[output.index]

    def derivative(self, output: Term, rules: Mapping[str, Rule]) -> Term:
        """Its derivative to the prediction, by the rule of each function."""
        slopes: dict[int, Term] = {}
        for index in self.needed([output]):
            step = self.all[index]
            if not step.inputs:
                slopes[index] = self.term(1.0 if step.name in ("p", "r") else 0.0)
                continue
            within = [slopes[source] for source in step.inputs]
            inputs = [Term(self, source) for source in step.inputs]
            flat = all(slope.number == 0.0 for slope in within)
            slopes[index] = self.term(0.0) if flat else rules[step.name](Term(self, index), *inputs, *within)
        return slopes[output.index]
