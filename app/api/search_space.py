"""The space of a search: ranges of settings, and what each trial draws from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

import numpy as np
from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from app.api.places import leading_nowhere, told_at, with_values
from app.api.training_fields import RunFields
from app.api.words import Part
from app.errors import CallerError, Fault, InvalidInput, Path
from app.losses.composed import expression
from app.serving.problems import from_pydantic
from app.training.grammar import Refused, draw
from app.training.halving import Span, Values, shares
from app.wire.faults import listed

MOST_VALUES = 200
EXACT = 2.0**53
"""From here on a number is no whole one that somebody has counted to."""
INNER = 0.37
"""A share of the way between two ends, where a whole number is none."""
GRAMMATICAL = "loss"
"""The path of which a grammar is."""
FIXED = ("data", "validation", "metrics", "outputs", "seed", "epochs", "every", "resume")
"""Fields that are the same for all trials, or they could not be compared."""


class SearchRange(Part):
    """Numbers between two ends, or some values; of `loss` also a grammar."""

    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    values: Annotated[Any, WithJsonSchema({"type": "array", "items": {}})] = None
    grammar: Annotated[
        Literal["residual"] | None,
        Field(description="Of `loss`: expressions of r = p - y are drawn, as many as there are trials."),
    ] = None
    max_nodes: Annotated[int, Field(description="Of an expression that is drawn.", ge=2, le=25)] = 9

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ends = (self.low is not None) + (self.high is not None)
        if ends + 2 * (self.values is not None) + 2 * (self.grammar is not None) != 2:
            raise InvalidInput([Fault((), "choice", "takes low and high, or values, or for loss a grammar")])
        if self.low is not None and self.high is not None:
            if not self.low < self.high:
                raise InvalidInput([Fault(("high",), "out_of_range", f"high must be above low, {self.low:g}; got {self.high:g}")])
            if self.scale == "log" and self.low <= 0:
                raise InvalidInput([Fault(("low",), "out_of_range", f"low must be above 0 on a log scale; got {self.low:g}")])
        return self


def space_of(value: object) -> dict[str, SearchRange]:
    """Ranges by dotted paths."""
    if not isinstance(value, dict) or not value:
        message = 'space is an object of ranges by path, as {"loss.delta": {"low": 0.1, "high": 10, "scale": "log"}}'
        raise InvalidInput([Fault(("space",), "length" if value == {} else "type", message)])
    found: dict[str, SearchRange] = {}
    faults: list[Fault] = []
    for path, given in cast(dict[str, object], value).items():
        root = path.partition(".")[0]
        if root in FIXED:
            faults.append(Fault(("space", path), "unexpected", f"{root} must be the same for all trials, to compare them"))
            continue
        if path != GRAMMATICAL and isinstance(given, dict) and "grammar" in given:
            message = f"a grammar is of losses: space.{GRAMMATICAL}, not space.{path[:80]}"
            faults.append(Fault(("space", path, "grammar"), "unexpected", message))
            continue
        if not isinstance(given, dict):
            message = f"space.{path[:80]} must be an object with low and high, or with values"
            faults.append(Fault(("space", path), "type", message))
            continue
        document = dict(cast(dict[str, Any], given))
        values = listed(document.get("values"))
        if isinstance(values, list):
            document["values"] = [listed(value) for value in cast(list[Any], values)]
        try:
            found[path] = SearchRange.model_validate(document)
            faults += _of_values(path, found[path].values)
        except ValidationError as error:
            told = from_pydantic(error, document, SearchRange).faults
            faults += [
                replace(fault, path=("space", path, *fault.path), message=f"space.{path[:80]}: {fault.message}") for fault in told
            ]
    if faults:
        raise InvalidInput(faults)
    return found


def _of_values(path: str, values: Any) -> list[Fault]:
    if values is None or (isinstance(values, list) and 1 <= len(cast(list[Any], values)) <= MOST_VALUES):
        return []
    return [Fault(("space", path, "values"), "length", f"space.{path[:80]}.values must be a list of 1 to {MOST_VALUES} values")]


class Draws(NamedTuple):
    """What is tried."""

    settings: list[dict[str, Any]]
    ranges: Mapping[str, Span | Values]
    refused: Sequence[Refused]
    """What was drawn by the grammar and is no loss."""


def draws_of(request: RunFields, space: Mapping[str, SearchRange], trials: int) -> Draws:
    """The settings of each trial; CallerError for ranges that there are none of."""
    refused: list[Refused] = []
    ranges: dict[str, Span | Values] = {}
    for path, given in space.items():
        if given.grammar is None:
            ranges[path] = _range(_with_root(request, path, space), path, given)
            continue
        drawn = draw(trials, given.max_nodes, np.random.default_rng([request.seed, 8]))
        if len(drawn.expressions) < FEWEST:
            message = f"of {given.max_nodes} nodes there are not {FEWEST} losses: take more"
            raise InvalidInput([Fault(("space", path, "max_nodes"), "out_of_range", message)])
        ranges[path] = Values([{"name": expression.name, "value": text} for text in drawn.expressions])
        refused = drawn.refused
    return Draws(_drawn(ranges, trials, request.seed), ranges, refused)


FEWEST = 2
"""Trials that can be told apart."""


def _range(request: RunFields, path: str, given: SearchRange) -> Span | Values:
    """What trials draw from; numbers are whole where the setting is. CallerError for ends that it has not."""
    if given.values is not None:
        return Values(given.values)
    assert given.low is not None
    assert given.high is not None
    for end, number in (("low", given.low), ("high", given.high)):
        _tried(request, path, int(number) if abs(number) < EXACT and number.is_integer() else number, ("space", path, end))
    inner = given.low + INNER * (given.high - given.low)
    try:
        _tried(request, path, inner if inner != round(inner) else inner + INNER, ("space", path))
    except CallerError as error:
        if {fault.code for fault in error.faults} != {"type"}:
            raise
        return Span(given.low, given.high, given.scale, whole=True)
    return Span(given.low, given.high, given.scale)


def _with_root(request: RunFields, path: str, space: Mapping[str, SearchRange]) -> RunFields:
    """The request in which a path is to be found: with the first of several models, losses or optimizers that has it."""
    root = path.partition(".")[0]
    if root == path or root not in space:
        return request
    varied = [with_values(request, {root: value}) for value in space[root].values or ()]
    some = space[path].low if space[path].values is None else space[path].values[0]
    for other in varied:
        try:
            with_values(other, {path: some})
        except CallerError as error:
            if not leading_nowhere(error, [path]):
                return other
        else:
            return other
    return request


def _tried(request: RunFields, path: str, number: float, place: Path) -> None:
    try:
        with_values(request, {path: number})
    except CallerError as error:
        raise told_at(error, {path: place}) from None


def _drawn(ranges: Mapping[str, Span | Values], trials: int, seed: int) -> list[dict[str, Any]]:
    """The settings of each trial: every combination of values where these are few, else drawn evenly."""
    sizes = [len(found.values) for found in ranges.values() if isinstance(found, Values)]
    if len(sizes) == len(ranges) and math.prod(sizes) <= trials:
        grid = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes)).tolist()
        return [
            {path: cast(Values, found).values[index] for (path, found), index in zip(ranges.items(), row, strict=True)}
            for row in grid
        ]
    rows = shares(len(ranges), trials, np.random.default_rng([seed, 5]))
    return [{path: found.draw(share) for (path, found), share in zip(ranges.items(), row, strict=True)} for row in rows]


def place_of(path: str, found: Span | Values, value: Any) -> Path:
    """Where the request has a value."""
    if isinstance(found, Span):
        return ("space", path)
    index = next(index for index, other in enumerate(found.values) if other is value)
    return ("space", path, "values", index)
