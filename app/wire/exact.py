"""The exact path: documents whose arrays are not all plain, read without building what nobody asks for.

A tree is what a parser gives: simdjson's proxies, or what `json` makes, in which an object is the tuple of its pairs.
Both are read by the same code, so that both get the same answers.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.errors import MalformedDocument
from app.losses.numerics.stable import Array

simdjson: Any = import_module("simdjson") if find_spec("simdjson") else None
"""None where there is no wheel for this Python: Python's own parser then serves alone."""

Document: TypeAlias = dict[str, Any]

ARRAYS: tuple[type, ...] = (list, simdjson.Array) if simdjson else (list,)
OBJECTS: tuple[type, ...] = (tuple, simdjson.Object) if simdjson else (tuple,)
KINDS = {int: "number", float: "number", bool: "flag", **dict.fromkeys(ARRAYS, "array")}

WORDS: dict[str | None, float] = {None: math.nan, "NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How JSON writes what it has no number for."""
LOOSE: dict[type, str] = {**KINDS, **dict.fromkeys((int, float, str, type(None)), "any")}
"""What the elements of an array with gaps may be."""

CHECKED = 10_000
"""Elements of an array that are checked although nobody may ask for them: all, where a person has written it."""
BLOCK = 128
"""Elements looked at in one go, by loops that run in C."""
SATURATED = 0xFFFFFF
"""simdjson counts the elements of an array up to here and no further."""
MAX_DEPTH = 64
"""Objects and arrays within one another at most: as many axes as an ndarray can have."""
MAX_KEYS = 64
"""Keys of an object that are looked up by simdjson, which searches for each from the first on."""
FAR = 2.0**53
FEW = 16
"""Numbers that Python looks through in less time than it takes to ask NumPy."""
INTEGERS: dict[str, type[np.int64 | np.uint64]] = {"i": np.int64, "u": np.uint64}
"""simdjson's types of integers, in the order in which they are tried."""
LONGEST_INTEGER = 20
"""Characters of the longest integer that may fit in 64 bits."""
HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class LazyList:
    """An array that is none of numbers and no list of strings, left in its tree: who wants a list of it builds it."""

    node: Any
    depth: int

    def item(self, index: int) -> Any:
        return value(self.node[index], self.depth + 1)

    def built(self) -> list[Any]:
        return [value(item, self.depth + 1) for item in self.node]


def document(tree: object) -> Document:
    """The object that a tree is, its arrays as ndarrays, lists of strings or LazyLists."""
    if not isinstance(tree, OBJECTS):
        raise MalformedDocument(f"the body must be a JSON object, not {kind(tree)}")
    return _object(tree, 1)


def value(node: Any, depth: int) -> Any:
    if isinstance(node, str):
        return _text(node)
    if isinstance(node, ARRAYS):
        return _array(node, depth)
    return _object(node, depth) if isinstance(node, OBJECTS) else node


def _object(node: Any, depth: int) -> Document:
    return {key: value(item, depth + 1) for key, item in _members(node, depth)}


def _members(node: Any, depth: int) -> Sequence[tuple[str, Any]]:
    check_depth(depth)
    members = cast(Sequence[tuple[str, Any]], node) if isinstance(node, tuple) else _pairs(node)
    counts = Counter([_text(key) for key, _ in members])
    if len(counts) != len(members):
        twice = next(key for key, count in counts.items() if count > 1)
        raise MalformedDocument(f"the key {twice[:80]!r} stands twice in one object")
    return members


def _pairs(node: Any) -> Sequence[tuple[str, Any]]:
    """The members of simdjson's object, which looks up a key with NUL in it by what stands before, and many keys slowly."""
    keys = list(node)
    if len(keys) > MAX_KEYS or "\0" in "".join(keys):
        return loads(node.mini)
    return [(key, node[key]) for key in keys]


def _text(string: str) -> str:
    if HALF_PAIR.search(string):
        raise MalformedDocument("a string of the body has half of a surrogate pair in it, which is no character")
    return string


def _array(node: Any, depth: int) -> Any:
    check_depth(depth)
    if first_type(node) is str and only(map(type, node)) is str:
        return list(map(_text, node))
    lengths = shape(node, depth)
    array = None if lengths is None else _numbers(node, lengths)
    if array is not None:
        return array
    _check(node, depth, CHECKED)
    return LazyList(node, depth)


def _check(node: Any, depth: int, left: int) -> int:
    """Refuse a key that stands twice, half a pair and nesting too deep, in the first elements; how many may still be seen."""
    check_depth(depth)
    for item in node if isinstance(node, ARRAYS) else [item for _, item in _members(node, depth)]:
        left -= 1
        if left < 0:
            return left
        if isinstance(item, str):
            _text(item)
        elif isinstance(item, ARRAYS + OBJECTS):
            left = _check(item, depth + 1, left)
    return left


def _numbers(node: Any, lengths: tuple[int, ...]) -> NDArray[Any] | None:
    """The array of these lengths; None where Python has read an infinity or NaN."""
    if not isinstance(node, list):
        return flat(node, next(_level(node, len(lengths)))).reshape(lengths)
    array = np.array(node, dtype=np.float64)
    if far(array.reshape(-1)) and only(map(type, _level(node, len(lengths)))) is int:
        for dtype in INTEGERS.values():
            try:
                return np.array(node, dtype)
            except OverflowError:
                continue
    return array if np.isfinite(array).all() else None


def flat(node: Any, first: object) -> NDArray[Any]:
    """All numbers in simdjson's array, however deep: float64, but integers where all are and float64 does not hold each."""
    numbers: Array = np.frombuffer(node.as_buffer(of_type="d"))
    if type(first) is int and far(numbers):
        for code, dtype in INTEGERS.items():
            try:
                return np.frombuffer(node.as_buffer(of_type=code), dtype)
            except (TypeError, ValueError):  # one is a float, or does not fit
                continue
    return numbers


def far(numbers: Array) -> bool:
    """Whether one is 2⁵³ or more, where a double stands for several integers."""
    if numbers.size <= FEW:
        few: list[float] = numbers.tolist()
        return max(map(abs, few)) >= FAR
    return bool(np.maximum.reduce(numbers) >= FAR or np.minimum.reduce(numbers) <= -FAR)


def flags(value: object) -> NDArray[np.bool_] | None:
    """Booleans in a list, or in lists of one length; None for anything else."""
    node = value.node if isinstance(value, LazyList) else value
    lengths = shape(node, leaves="flag") if isinstance(node, ARRAYS) else None
    return None if lengths is None else np.fromiter(_level(node, len(lengths)), np.bool_).reshape(lengths)


def sets_of_names(value: object) -> list[list[str]] | None:
    """Lists of strings in a list, some of them empty or not; None for anything else."""
    node: Any = value.node if isinstance(value, LazyList) else value
    if not isinstance(node, ARRAYS) or first_type(iter(node)) not in ARRAYS:
        return None
    names: list[list[str]] = []
    some = False
    for item in cast(Iterable[Any], node):
        if not isinstance(item, ARRAYS) or not all(isinstance(name, str) for name in item):
            return None
        names.append([_text(name) for name in item])
        some = some or any(name not in WORDS for name in names[-1])
    return names if some else None


def gapped(value: object) -> Array | None:
    """Numbers in a list, or in lists of one length: NaN where one is missing, infinities in words; None for anything else."""
    node = value.node if isinstance(value, LazyList) else value
    lengths = shape(node, leaves="any") if isinstance(node, ARRAYS) else None
    if lengths is None:
        return None
    leaves = (WORDS[leaf] if leaf is None or isinstance(leaf, str) else leaf for leaf in _level(node, len(lengths)))
    try:
        return np.fromiter(leaves, np.float64).reshape(lengths)
    except KeyError:  # a word that stands for no number
        return None


# --- what arrays look like --------------------------------------------------------------------------------------------


def shape(node: Any, depth: int = 1, leaves: str = "number") -> tuple[int, ...] | None:
    """The lengths of the axes; None where the array is ragged or empty, or has anything else in it than numbers (or "flag").

    With "any", null and strings may stand among the numbers.
    """
    kinds = LOOSE if leaves == "any" else KINDS
    lengths: list[int] = []
    while True:
        check_depth(depth + len(lengths))
        length = only(map(len, _level(node, len(lengths))))
        if not length:
            return None
        lengths.append(length)
        inside = only(map(kinds.get, map(type, _level(node, len(lengths)))))
        if inside != "array":
            return _counted(node, lengths) if inside == leaves else None


def _counted(node: Any, lengths: Sequence[int]) -> tuple[int, ...] | None:
    """The lengths where simdjson has counted to the end, counted again where it has not."""
    counted = [length if length < SATURATED else only(map(_count, _level(node, axis))) for axis, length in enumerate(lengths)]
    return None if None in counted else tuple(counted)


def _count(node: Any) -> int:
    return sum(len(block) for _, block in blocks(node))


def _level(node: Any, depth: int) -> Iterator[Any]:
    """What stands so many arrays deep: the array itself at 0, its rows at 1."""
    return iter((node,)) if depth == 0 else chain.from_iterable(_level(node, depth - 1))


def first_type(node: Any) -> type | None:
    return next(map(type, node), None)


def all_numbers(node: Any) -> bool:
    """Whether simdjson finds nothing but finite numbers in it, however deep; no, too, where Python has read it."""
    try:
        return not isinstance(node, list) and node.as_buffer(of_type="d") is not None
    except TypeError:
        return False


def only(items: Iterable[Any]) -> Any:
    """The value that every item has, other than 0 and None; None where there is none such, as soon as that is known."""
    items = iter(items)
    seen: set[Any] = set()
    while len(seen) <= 1 and all(seen) and (block := set(islice(items, BLOCK))):
        seen |= block
    return seen.pop() or None if len(seen) == 1 else None


def blocks(node: Any) -> Iterator[tuple[int, list[Any]]]:
    """The elements in lists of up to BLOCK, each with the index of its first."""
    elements: Iterator[Any] = iter(node)
    start = 0
    while block := list(islice(elements, BLOCK)):
        yield start, block
        start += len(block)


def check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedDocument(TOO_DEEP)


TOO_DEEP = f"the body is nested too deeply: {MAX_DEPTH} objects and arrays within one another are the most"


def kind(node: object) -> str:
    words: dict[type, str] = {bool: "a boolean", str: "a string", int: "a number", float: "a number", dict: "an object"}
    words |= dict.fromkeys(OBJECTS, "an object")
    return words.get(type(node), "null" if node is None else "an array")


# --- trees ------------------------------------------------------------------------------------------------------------


def parse(body: bytes | memoryview) -> Any:
    """simdjson's tree, whose parser lives as long as it does; ValueError or RuntimeError for what is no plain JSON."""
    return simdjson.Parser().parse(body)


def loads(text: str | bytes) -> Any:
    """Python's tree: it reads NaN, infinities and integers of any length too, and says where a text is no JSON."""
    return json.loads(text, object_pairs_hook=tuple, parse_int=_integer)


def load(body: bytes | memoryview) -> Any:
    """Python's tree of a body; MalformedDocument where it is none."""
    try:
        return loads(str(body, "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise MalformedDocument(f"the body is not UTF-8: byte {error.start} cannot be decoded{_looks_like(body)}") from None
    except RecursionError:
        raise MalformedDocument(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedDocument(f"the body is not JSON: {where}{_looks_like(body)}") from None


UTF_16 = "UTF-16: send UTF-8"
BEGINNINGS = {
    b"\x1f\x8b": "gzip: say so in the header Content-Encoding",
    b"\x28\xb5\x2f\xfd": "zstd: say so in the header Content-Encoding",
    b"PK\x03\x04": "a file of arrays: set the header Content-Type to application/x-npz",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
    b"{\0": UTF_16,
    b"\0{": UTF_16,
}
"""What a body is that begins like this, and how it is sent."""


def _looks_like(body: bytes | memoryview) -> str:
    """What a body that is no JSON seems to be."""
    first = bytes(body[:4])
    return next((f"; it looks like {what}" for beginning, what in BEGINNINGS.items() if first.startswith(beginning)), "")


def _integer(digits: str) -> float:
    """The integer; beyond 64 bits the float, which is infinite, and refused as that, where no double holds it."""
    number = int(digits) if len(digits) <= LONGEST_INTEGER else None
    return float(digits) if number is None or not -(2**63) <= number < 2**64 else number
