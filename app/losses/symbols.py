"""What the symbols of a formula mean: those of the loss's parameters, its own, and those of the house.

A symbol that nobody explains is a fault of the declaration; a test asks for it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, get_args, get_origin

from typing_extensions import Doc

from app.losses.formula import BIG, FUNCTIONS, Node, names, read, written
from app.losses.loss import Described

OF_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "α": ("alpha",),
    "β": ("beta",),
    "γ": ("gamma",),
    "δ": ("delta",),
    "ε": ("epsilon", "eps"),
    "κ": ("kappa",),
    "λ": ("lambda_", "weight"),
    "ρ": ("power",),
    "τ": ("temperature", "quantile", "tau"),
    "θ": ("threshold",),
    "q": ("quantile",),
    "m": ("margin",),
    "s": ("smooth",),
    "w": ("class_weight", "pos_weight"),
}
"""Symbols of parameters; one whose name is its symbol needs no line."""
OF_ARRAYS: Mapping[str, tuple[str, str]] = {
    "p": ("predictions", "the prediction"),
    "x": ("predictions", "the prediction"),
    "s": ("predictions", "the predicted score"),
    "y": ("targets", "the target"),
}
"""Symbols of a loss's arrays, in what they are said by the encoding."""
OF_THE_HOUSE: Mapping[str, str] = {
    "ℓ": "the loss itself",
    "r": "the residual p − y: what is predicted above the target",
    "ŷ": "the decision that the prediction stands for",
    "i": "counts what the sum, or the largest of them, is over",
    "j": "counts what the sum, or the largest of them, is over; in a gradient, one of these",
    "Y": "the labels that are true of the sample",
    "t": "a place in a sequence",
    "k": "how many classes or labels there are",
    "n": "how many samples there are",
    "d": "how many numbers a vector has",
    "e": "Euler's number, 2.718…",
    "π": "the circle's number, 3.1416…",
    "∞": "infinity",
}


class Symbol(NamedTuple):
    """A symbol of a formula, what it means, and the parameter that it is, if it is one."""

    symbol: str
    meaning: str
    parameter: str | None = None


def symbols_of(loss: Described) -> list[Symbol]:
    """Every symbol of a loss's formulas, in the order in which they occur; LookupError for one that nobody explains."""
    trees = [read(formula) for formula in (loss.formula, loss.gradient) if formula]
    defined = {name: meaning for tree in trees for name, meaning in _definitions(tree)}
    choices = choices_of(loss)
    found = dict.fromkeys(name.removeprefix("∂") for tree in trees for name in names(tree))
    return [_symbol(loss, name, defined) for name in found if name not in choices]


def choices_of(loss: Described) -> set[object]:
    """The words that parameters of a loss may be: in a formula, they stand for themselves."""
    return {choice for parameter in loss.parameters.values() for choice in _choices(parameter.annotation)}


def _symbol(loss: Described, name: str, defined: Mapping[str, str]) -> Symbol:
    if name in loss.symbols:
        return Symbol(name, loss.symbols[name])
    parameter = next((known for known in (name, *OF_PARAMETERS.get(name, ())) if known in loss.parameters), None)
    if parameter:
        return Symbol(name, _described(loss, parameter), parameter)
    if name in OF_ARRAYS and OF_ARRAYS[name][0] in loss.inputs:
        side, meaning = OF_ARRAYS[name]
        if name in defined:
            return Symbol(name, f"{meaning}, or {defined[name]}")
        return Symbol(name, ": ".join((meaning, *_told(loss, side))))
    if name in loss.inputs:
        return Symbol(name, ": ".join(("an array of predictions", *_told(loss, name))))
    meaning = defined.get(name) or FUNCTIONS.get(name) or BIG.get(name) or OF_THE_HOUSE.get(name)
    if not meaning:
        raise LookupError(f"the formula of {loss.name} has {name!r}, which nobody explains: say in symbols what it is")
    return Symbol(name, meaning)


def _told(loss: Described, array: str) -> list[str]:
    """What the encoding of an array says of its numbers, where there is only one."""
    cases = loss.inputs[array].cases
    return [cases[0][1].meaning] if len(cases) == 1 else []


def _choices(annotation: object) -> tuple[object, ...]:
    """The values of a parameter that has a closed list of them."""
    return (
        get_args(annotation)
        if get_origin(annotation) is Literal
        else tuple(choice for part in get_args(annotation) for choice in _choices(part))
    )


def _described(loss: Described, parameter: str) -> str:
    """What a parameter says of itself."""
    annotation = loss.parameters[parameter].annotation
    marks = get_args(annotation) if get_origin(annotation) is Annotated else ()
    description = next(mark.documentation for mark in marks if isinstance(mark, Doc)).rstrip(".")
    return description[0].lower() + description[1:]


def _definitions(tree: Node) -> list[tuple[str, str]]:
    """The names that a formula says what they stand for."""
    statements = tree.parts if tree.kind == "statements" else (tree,)
    return [
        (next(names(statement.parts[0])), written(statement.parts[1])) for statement in statements if statement.kind == "define"
    ]
