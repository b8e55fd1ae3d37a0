"""What a parameter with a meaning is, said beside its type and checked once for every loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import Parameter
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args, get_origin

from app.errors import Fault, InvalidParameter
from app.losses.inputs import Shape


@dataclass(frozen=True)
class Per:
    """A list holds one number for each of these."""

    what: Literal["class", "column", "sample", "interval", "time"]


@dataclass(frozen=True)
class Pools:
    """Under this value of a parameter, a loss is one of the whole batch."""

    value: str


@dataclass(frozen=True)
class Level:
    """The parameter is the share of targets that should lie at or below the prediction."""


@dataclass(frozen=True)
class Outside:
    """The parameter is the share of targets that may lie outside of the interval from `lower` to `upper`."""


LEVEL, OUTSIDE = Level(), Outside()
PER_CLASS, PER_COLUMN, PER_SAMPLE = Per("class"), Per("column"), Per("sample")
PER_INTERVAL, PER_TIME = Per("interval"), Per("time")
Lists: TypeAlias = Mapping[str, tuple[Per, list[float]]]
"""Parameters that hold a number for each class, column or sample, by name."""


@cache
def meaning(parameter: Parameter) -> Per | None:
    """What each number of a list is for, None for a parameter that says nothing about it."""
    if get_origin(parameter.annotation) is not Annotated:
        return None
    return next((mark for mark in get_args(parameter.annotation) if isinstance(mark, Per)), None)


@cache
def pooled_by(parameter: Parameter) -> str | None:
    """The value under which a loss is one of the whole batch, None for a parameter that says nothing about it."""
    marks = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else ()
    return next((mark.value for mark in marks if isinstance(mark, Pools)), None)


def is_level(parameter: Parameter) -> bool:
    """Whether it is the share of targets that should lie at or below the prediction."""
    return get_origin(parameter.annotation) is Annotated and LEVEL in get_args(parameter.annotation)


def is_outside(parameter: Parameter) -> bool:
    """Whether it is the share of targets that may lie outside of an interval."""
    return get_origin(parameter.annotation) is Annotated and OUTSIDE in get_args(parameter.annotation)


def lists_of(declared: Mapping[str, Parameter], parameters: Mapping[str, Any]) -> Lists:
    """The parameters that hold a number for each class, column or sample."""
    lists = {name: cast(list[float], value) for name, value in parameters.items() if isinstance(value, list)}
    return {name: (per, numbers) for name, numbers in lists.items() if (per := meaning(declared[name]))} if lists else {}


def unsettled(declared: Mapping[str, Parameter], parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters with a number for each class of which only the classes, or the labels, say what these are."""
    words = (name for name, value in parameters.items() if isinstance(value, str | Mapping))
    return tuple(name for name in words if meaning(declared[name]) is PER_CLASS)


def check_lengths(lists: Lists, k: int | None, elements: Shape) -> None:
    """InvalidParameter for a list that has not one number for each."""
    for name, (per, numbers) in lists.items():
        n, *columns = elements
        wanted = {"class": k, "interval": k, "time": k, "column": columns[-1] if columns else None, "sample": n}[per.what]
        if len(numbers) != wanted:
            counted = f"{wanted}, not {len(numbers)}" if wanted else f"there is no axis of {_plural(per)} here"
            message = f"{name} must have one number per {per.what}: {counted}"
            raise InvalidParameter([Fault(("parameters", name), "length", message)])


def _plural(per: Per) -> str:
    return "classes" if per.what == "class" else f"{per.what}s"
