"""What a loss takes: arrays in an encoding, under a name, in shapes that agree.

An Encoding is a value: its name, its shape and how it reads an array. Shapes are written as axes: `n` samples, `*d` any
number of axes along which a sample has elements, `k` classes; one letter is one length throughout a call ("n *d k"
beside "n *d" is a row of scores beside one label for each element). Nothing is broadcast.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domains import Domain, Interval, Simplex, Whole
from app.errors import MAX_FAULTS, Fault, InvalidArray, Path

Numbers: TypeAlias = NDArray[Any]
Raw: TypeAlias = Numbers | Sequence[object]
"""What a caller may pass: an array of numbers, or a (nested) list of class names."""
Shape: TypeAlias = tuple[int, ...]


MISSING = """a number, not null or NaN (to leave it out, set mask to false there, or send "missing": "drop")"""


class Place(NamedTuple):
    """Where an array stands in the request: how to name what is wrong with it, and what it may refer to."""

    path: Path
    shape: Shape = ()
    """The elements of the request (n, *d), where only some of them are looked at."""
    kept: NDArray[np.intp] | None = None
    """The flat index of each of these."""
    k: int | None = None
    """The number of classes, where predictions have told it."""
    row_axes: int = 0
    """How many of the last axes make up the row of an element: 0 where each number is one."""
    class_axis: int | None = None
    """Where the last axis stands in the request, if elsewhere."""
    classes: bool = True
    """Whether the last axis of the row are the classes."""
    hint: str = ""
    """What a number outside [0, 1], or a label above 1, probably means."""

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path))

    def refuse(self, code: str, message: str) -> NoReturn:
        raise InvalidArray([Fault(self.path, code, message)])

    def refuse_numbers(self, bad: NDArray[np.bool_], array: Numbers, rule: str, code: str = "out_of_range") -> NoReturn:
        """Name every bad number (up to the limit) by its index in the request."""
        missing = bad & np.isnan(array) if array.dtype.kind == "f" else np.zeros_like(bad)
        if missing.any():
            bad, rule, code = missing, MISSING, "not_a_number"
        places = np.argwhere(bad)[:MAX_FAULTS]
        raise InvalidArray(
            [
                Fault(
                    self.path_to(place),
                    code,
                    f"{self.name}[{_index(self.index_of(place))}] must be {rule}; got {_say(array[tuple(place)])}",
                )
                for place in places
            ],
            detail=f"{self.name} must be {rule}; {int(bad.sum())} of {bad.size} {'is' if bad.sum() == 1 else 'are'} not",
        )

    def index_of(self, place: Sequence[int]) -> list[int]:
        """Where a number that was looked at stands in the request."""
        index = [int(along) for along in place]
        if self.kept is not None:
            index[:1] = [int(along) for along in np.unravel_index(int(self.kept[index[0]]), self.shape)]
        if self.class_axis is not None and self.row_axes and self.classes and len(index) == len(self.shape) + self.row_axes:
            index.insert(self.class_axis, index.pop())
        return index

    def path_to(self, place: Sequence[int]) -> Path:
        return (*self.path, *self.index_of(place))


class Reading(NamedTuple):
    """An array as a kernel takes it, the encoding it came in, and what the caller should know about it."""

    array: Numbers
    encoding: str
    warnings: tuple[str, ...] = ()
    infinite: bool = False
    """Whether some of its numbers are infinite, and mean something."""
    sums: Numbers | None = None
    """What each row was divided by, where it was."""


@dataclass(frozen=True)
class Sizes:
    """Lengths to draw arrays for: examples and tests."""

    n: int = 3
    k: int = 3
    d: Shape = ()


@dataclass(frozen=True)
class Encoding:
    """One meaning that an array may have."""

    name: str
    meaning: str
    axes: tuple[str, ...]
    """The shapes it takes, each as axes: "n *d", "n k"."""
    read: Callable[[Numbers, Place], Reading]
    draw: Callable[["np.random.Generator", Sizes], Numbers]
    """Random numbers of this encoding, with few digits."""
    accepts: tuple[str, ...] = ()
    """Other encodings that are taken and converted."""
    labels: Literal["class", "flag", "part"] | None = None
    """Whether a number is the label of an element, one of k classes or one of two, or of a part of it; one may stand for none."""
    shared: bool = False
    """Whether one number may stand for all elements of a sample: (n,) or (n, 1) beside (n, *d)."""
    domain: Domain = field(kw_only=True)
    """What its numbers, or rows of them, may be."""
    soft: Domain | None = field(default=None, kw_only=True)
    """What is taken besides, of labels: shares of several."""
    link: Interval | Simplex | None = field(default=None, kw_only=True)
    """What its numbers stand for: they are the logarithms or log-odds of what lies there."""

    @cached_property
    def of_shares(self) -> bool:
        """Whether it has rows that sum to 1, as it is or where labels are soft."""
        return Simplex() in (self.domain, self.soft)

    @cached_property
    def whole(self) -> bool:
        """Whether integers are read as they are, with all of their 64 bits, as labels and ids are. Every other encoding is one
        of real numbers, computed with in float64: an integer beyond 2⁵³ is rounded to the nearest of these."""
        return isinstance(self.domain, Whole)


@cache
def of_flags(encoding: Encoding) -> Encoding:
    """The encoding of labels for an array of booleans: it is read as 0 and 1, and named for what it was."""

    def read(array: Numbers, place: Place) -> Reading:
        return encoding.read(array, place)._replace(encoding="boolean")

    return replace(encoding, read=read)


@dataclass(frozen=True)
class Case:
    """An encoding, and the parameters under which it holds."""

    when: str
    holds: Callable[[Mapping[str, Any], int], bool]
    encoding: Encoding


@dataclass(frozen=True)
class Choice:
    """Which encoding an array has, decided by the loss's parameters or by the predictions' number of axes."""

    cases: tuple[Case, ...]

    def decide(self, parameters: Mapping[str, Any], rank: int) -> Encoding:
        for case in self.cases:
            if case.holds(parameters, rank):
                return case.encoding
        return self.cases[-1].encoding


def _always(parameters: Mapping[str, Any], rank: int) -> bool:
    return True


def when(parameter: str, value: object, then: Encoding, otherwise: Encoding) -> Choice:
    """`then` where the parameter has this value, `otherwise` elsewhere."""
    shown = {True: "true", False: "false", None: "null"}.get(value, value) if isinstance(value, bool | None) else value
    return Choice(
        (
            Case(f"{parameter} is {shown}", lambda parameters, _: bool(parameters[parameter] == value), then),
            Case("otherwise", _always, otherwise),
        )
    )


def by_rank(vector: Encoding, matrix: Encoding) -> Choice:
    """`vector` beside predictions of one number per sample, `matrix` beside predictions of one row per sample."""
    return Choice(
        (
            Case("predictions have shape (n,)", lambda _, rank: rank == 1, vector),
            Case("predictions have shape (n, k)", _always, matrix),
        )
    )


@dataclass(frozen=True)
class Input:
    """One array that a loss takes: on which side of the request, under which name, in which encoding."""

    name: str
    side: Literal["predictions", "targets"]
    encoding: Encoding | Choice
    named: bool = False
    """Whether its side is an object of arrays."""

    @cached_property
    def path(self) -> Path:
        return (self.side, self.name) if self.named else (self.side,)

    @cached_property
    def place(self) -> Place:
        """Where it stands in a request of which nothing is known yet."""
        return Place(self.path)

    def decide(self, parameters: Mapping[str, Any], rank: int) -> Encoding:
        return self.encoding.decide(parameters, rank) if isinstance(self.encoding, Choice) else self.encoding

    @property
    def cases(self) -> tuple[tuple[str, Encoding], ...]:
        """Every encoding it may have, with the condition in words ("" where there is none)."""
        if isinstance(self.encoding, Choice):
            return tuple((case.when, case.encoding) for case in self.encoding.cases)
        return (("", self.encoding),)


def inputs_of(
    predictions: Encoding | Choice | Mapping[str, Encoding | Choice] | None,
    targets: Encoding | Choice | Mapping[str, Encoding | Choice] | None,
) -> dict[str, Input]:
    """The arrays a loss declares, in the order its function takes them."""
    sides: tuple[tuple[Literal["predictions", "targets"], Any], ...] = (("predictions", predictions), ("targets", targets))
    inputs: dict[str, Input] = {}
    for side, declared in sides:
        if isinstance(declared, Mapping):
            inputs |= {name: Input(name, side, encoding, named=True) for name, encoding in declared.items()}
        elif declared is not None:
            inputs[side] = Input(side, side, declared)
    return inputs


# --- shapes ---------------------------------------------------------------------------------------------------------


class Shapes:
    """The lengths of axes seen so far in one call, and who said so."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Shape, Place, Shape]] = {}
        """Each axis with its length, and the array that said so with its shape."""
        self.depth: int | None = None
        """The number of axes that a star stands for, None where no array has told it."""

    def agree(self, encoding: Encoding, shape: Shape, place: Place, shown: Shape) -> int:
        """Bind each axis of the encoding to its length, and tell how many of them make up a row.

        InvalidArray that names both shapes where an axis has another length already; `shown` is the shape as it was sent.
        """
        axes, row_axes = _fitting(encoding.axes, len(shape), self.depth) or _fitting(encoding.axes, len(shape), None) or ({}, 0)
        if not axes:
            place.refuse("shape", f"{place.name} must have shape {_or(encoding.axes)}; got shape {shown}")
        if 0 in shape:
            place.refuse("empty", f"{place.name} is empty: shape {shown}")
        for axis, where in axes.items():
            length = shape[where]
            before, other, whole = self.known.setdefault(axis, (length, place, shown))
            if before != length:
                message = f"{place.name} has shape {shown}, which does not agree with {other.name} {whole}"
                place.refuse("shape_mismatch", f"{message}: {self._fix(axis, length, axes, shape)}")
        if "*d" in axes or "*r" in axes:
            self.depth = len(self.known["*d" if "*d" in axes else "*r"][0])
        return row_axes

    @property
    def elements(self) -> Shape:
        """The shape (n, *d) of what the loss is computed on."""
        n = self.known["n"][0]
        return n + self.known["*d"][0] if self.depth and "*d" in self.known else n

    def length(self, axis: str) -> int | None:
        """The length of an axis, None where no array has told it."""
        return self.known[axis][0][0] if axis in self.known else None

    @property
    def lengths(self) -> dict[str, int]:
        """The length of every axis; of `*d`, how many numbers its axes have together, as `d`."""
        return {axis.strip("*"): math.prod(length) for axis, (length, _, _) in self.known.items()}

    def _fix(self, axis: str, length: Shape, axes: Mapping[str, slice], shape: Shape) -> str:
        before = self.known[axis][0]
        if axis == "n":
            return f"{before[0]} samples there, {length[0]} here"
        if not axis.startswith("*"):
            return f"axis {axis} is {before[0]} there and {length[0]} here"
        wanted = sum((self.known[name][0] if name in self.known else shape[where] for name, where in axes.items()), ())
        return f"reshape it to {wanted}" if np.prod(wanted) == np.prod(shape) else f"nothing is broadcast, it must be {wanted}"


@cache
def _fitting(alternatives: tuple[str, ...], rank: int, depth: int | None) -> tuple[Mapping[str, slice], int] | None:
    """The first of the shapes that has so many axes: where each is in a shape, and how many make up a row.

    Where `depth` is known, a star stands for so many.
    """
    for axes in map(str.split, alternatives):
        starred = next((position for position, axis in enumerate(axes) if axis.startswith("*")), None)
        spare = rank - len(axes) + (starred is not None)
        if spare < 0 or (starred is None and spare) or (starred is not None and depth not in (None, spare)):
            continue
        ends = [position + 1 if starred is None or position < starred else position + spare for position in range(len(axes))]
        places = {axis: slice(start, end) for axis, start, end in zip(axes, [0, *ends], ends, strict=False)}
        return places, rank - 1 - (spare if "*d" in axes else 0)
    return None


def _or(alternatives: Sequence[str]) -> str:
    return " or ".join(f"({', '.join(axes.split())}{',' * (' ' not in axes)})" for axes in alternatives)


def _index(index: Sequence[int]) -> str:
    return ", ".join(map(str, index))


def _say(number: object) -> str:
    exact = np.asarray(number)
    if exact.dtype.kind in "iu":
        return str(exact)
    value = float(exact.astype(np.float64))
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
