"""bytes -> arrays -> bytes: JSON and the numbers in it. The only place that knows both.

`decode` turns a JSON document into Python values in which every rectangular array of numbers is a float64 ndarray,
made without a Python object per number; any other array stays a list, for whoever wants it to say what is wrong with it.
The fast path only ever says yes. Whatever it cannot prove right, json.loads reads again, slowly and exactly.
"""

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from typing import Any, NoReturn, TypeAlias, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, MalformedDocument, escape
from app.losses.evaluate import word
from app.losses.numerics.stable import Array

simdjson: Any = import_module("simdjson") if find_spec("simdjson") else None
"""None where there is no wheel for this Python: the exact path then serves alone."""
NESTED = (simdjson.Array, simdjson.Object) if simdjson else ()
NO_NUMBERS = (str, bool, simdjson.Object) if simdjson else ()
"""What an array that is none of numbers begins with."""

Document: TypeAlias = dict[str, Any]

BRACKET = ord("[")
BLOCK = 256 * 1024
KEPT_PARSER_BYTES = 1024 * 1024
SATURATED = 0xFFFFFF
"""simdjson counts the elements of an array up to here and no further."""
MAX_DEPTH = 64
"""Objects and arrays within one another at most: as many axes as an ndarray can have."""
MAX_KEYS = 64
"""Keys of an object on the fast path: simdjson looks for each from the first on."""
LONGEST_INTEGER = 20
"""Characters of the longest integer that may fit in 64 bits."""
HALF_PAIR = re.compile("[\ud800-\udfff]")


def encode(answer: object) -> bytes:
    """JSON with the shortest digits that read back as the same number; NaN and infinities as null."""
    return orjson.dumps(answer, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: object) -> object:
    """An array that orjson does not take as it lies: without axes, or not row by row."""
    if not isinstance(value, np.ndarray):
        raise TypeError
    array = cast(NDArray[Any], value)
    return np.ascontiguousarray(array) if array.ndim else array.item()


def decode(body: bytes | memoryview) -> Document:
    """The JSON object in `body`; MalformedDocument where there is none, or where a key stands twice."""
    document = _decode_fast(body) if simdjson else None
    return document if document is not None else _decode_exactly(body)


_thread = threading.local()


# --- the fast path ----------------------------------------------------------------------------------------------------


def _decode_fast(body: bytes | memoryview) -> Document | None:
    """The document, or None where anything about it is not plainly right."""
    walk = _Walk()
    try:
        root = _parser(len(body)).parse(body)
        document = walk.object(root, 1) if isinstance(root, simdjson.Object) else None
    except (ValueError, RuntimeError, TypeError, IndexError, _Doubt):  # IndexError: an empty row
        return None
    # as_buffer flattens whatever is nested: only when no bracket is left over is every array as deep as it looks
    return document if _brackets(body) == walk.brackets else None


def _parser(size: int) -> Any:
    """The thread's own parser, whose memory is there already; a large body gets one that goes with it."""
    if size > KEPT_PARSER_BYTES:
        return simdjson.Parser()
    if not hasattr(_thread, "parser"):
        _thread.parser = simdjson.Parser()
    return _thread.parser


def _brackets(body: bytes | memoryview) -> int:
    """How often `[` stands in the body, counted in blocks that stay in the cache."""
    codes = np.frombuffer(body, dtype=np.uint8)
    if len(codes) <= BLOCK:
        return int(np.count_nonzero(codes == BRACKET))
    return sum([int(np.count_nonzero(codes[at : at + BLOCK] == BRACKET)) for at in range(0, len(codes), BLOCK)])


class _Doubt(Exception):
    """The fast path is not sure."""


class _Walk:
    """Python values out of a parsed document, counting the arrays it has seen."""

    def __init__(self) -> None:
        self.brackets = 0

    def value(self, node: Any, depth: int) -> Any:
        return self.array(node, depth) if isinstance(node, simdjson.Array) else self.object(node, depth)

    def object(self, node: Any, depth: int) -> Document:
        keys = list(node)
        if len(set(keys)) != len(keys) or len(keys) > MAX_KEYS or depth > MAX_DEPTH or "\0" in "".join(keys):
            raise _Doubt  # simdjson looks up a key with NUL in it by what stands before
        return {key: self.value(each, depth + 1) if isinstance(each := node[key], NESTED) else each for key in keys}

    def array(self, node: Any, depth: int) -> Any:
        first = node[0] if len(node) else ""
        if isinstance(first, NO_NUMBERS):
            self.brackets += 1
            return [self.value(each, depth + 1) if isinstance(each, NESTED) else each for each in node]
        numbers: Array = np.frombuffer(node.as_buffer(of_type="d"))
        shape = self.shape(node, first, numbers.size)
        if math.prod(shape) != numbers.size or depth + len(shape) > MAX_DEPTH + 1:
            raise _Doubt
        return numbers.reshape(shape)

    def shape(self, node: Any, first: Any, size: int) -> tuple[int, ...]:
        """The lengths of the axes, every row's length seen; what is nested deeper shows in the brackets."""
        self.brackets += 1
        length = len(node)
        if not isinstance(first, simdjson.Array):
            return (size if length >= SATURATED else length,)
        if length >= SATURATED:
            raise _Doubt
        if not isinstance(first[0], simdjson.Array):
            self.brackets += length
            widths = set(map(len, node))
            if len(widths) != 1:
                raise _Doubt
            return (length, widths.pop())
        inner = {self.shape(each, each[0], 0) for each in node}
        if len(inner) != 1:
            raise _Doubt
        return (length, *inner.pop())


# --- the exact path ---------------------------------------------------------------------------------------------------


def _decode_exactly(body: bytes | memoryview) -> Document:
    try:
        document = json.loads(str(body, "utf-8-sig"), object_pairs_hook=_unique, parse_int=_integer)
        if isinstance(document, dict):
            return cast(Document, _with_arrays(document, 1))
    except UnicodeDecodeError as error:
        raise MalformedDocument(f"the body is not UTF-8: byte {error.start} cannot be decoded") from None
    except RecursionError:
        raise MalformedDocument(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise MalformedDocument(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    raise MalformedDocument(f"the body must be a JSON object, not {_kind(document)}")


TOO_DEEP = f"the body is nested too deeply: {MAX_DEPTH} objects and arrays within one another are the most"


def _unique(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise MalformedDocument(f"the key {twice[:80]!r} stands twice in one object")
    return document


def _integer(digits: str) -> float:
    """The integer; beyond 64 bits the float, which is infinite, and refused as that, where no double holds it."""
    number = int(digits) if len(digits) <= LONGEST_INTEGER else None
    return float(digits) if number is None or not -(2**63) <= number < 2**64 else number


def _with_arrays(value: Any, depth: int) -> Any:
    """The value with each rectangular list of finite numbers as an array, made from the inside out."""
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, dict | list):
        return value
    if depth > MAX_DEPTH:
        raise MalformedDocument(TOO_DEEP)
    if isinstance(value, dict):
        return {_text(key): _with_arrays(each, depth + 1) for key, each in cast(Document, value).items()}
    items = cast(list[Any], value)
    return _array(items if _all_numbers(items) else [_with_arrays(each, depth + 1) for each in items])


def _text(value: str) -> str:
    if HALF_PAIR.search(value):
        raise MalformedDocument("a string of the body has half of a surrogate pair in it, which is no character")
    return value


def _array(items: list[Any]) -> Any:
    """The items as one array where they are finite numbers, or arrays of one shape; else as they are."""
    if _all_numbers(items):
        return np.array(items, dtype=np.float64) if all(map(math.isfinite, items)) else items
    shapes: set[tuple[int, ...] | None] = {getattr(each, "shape", None) for each in items}
    shape = shapes.pop() if len(shapes) == 1 else None
    return items if shape is None else np.concatenate(items).reshape(len(items), *shape)


def _all_numbers(items: list[Any]) -> bool:
    return bool(items) and set(map(type, items)) <= {int, float}


# --- what is wrong with a list that should have been an array -----------------------------------------------------------


def numbers(value: object, pointer: str) -> NDArray[np.float64]:
    """`value` as decoded, where it is an array of numbers; InvalidArray naming every element that is in the way."""
    if isinstance(value, np.ndarray):
        return cast(Array, value)
    if not isinstance(value, list):
        raise InvalidArray([Fault(pointer, "not_an_array", f"{name(pointer)} must be an array of numbers, not {_kind(value)}")])
    _refuse(cast(list[Any], value), pointer)


def listed(value: object) -> object:
    """A list of numbers was decoded as an array: the list again, for what is no array, with whole numbers as integers."""
    if not isinstance(value, np.ndarray):
        return value
    array = cast(Array, value)
    whole = np.floor(array) == array
    return array.astype(np.int64).tolist() if whole.all() and (np.abs(array) < 2**53).all() else array.tolist()


def tensors(value: object, pointer: str) -> Any:
    """`value` as one array, an object of arrays, or a list of class names."""
    if isinstance(value, np.ndarray):
        return cast(Array, value)
    if isinstance(value, Mapping):
        given = cast(Mapping[str, object], value)
        return {name: _numbers_or_names(each, f"{pointer}/{escape(name)}") for name, each in given.items()}
    return _numbers_or_names(value, pointer)


def _numbers_or_names(value: object, pointer: str) -> Any:
    if isinstance(value, list) and value and all(isinstance(each, str) for each in cast(list[object], value)):
        return cast(list[str], value)
    return numbers(cast(object, value), pointer)


def _refuse(items: list[Any], pointer: str) -> NoReturn:
    faults: list[Fault] = []
    _find_strangers(items, pointer, faults)
    if not faults:
        _find_ragged(items, pointer, faults)
    raise InvalidArray(faults or [_empty(pointer)])


def _find_strangers(value: Any, pointer: str, faults: list[Fault]) -> None:
    if len(faults) >= MAX_FAULTS:
        return
    if isinstance(value, np.ndarray):
        return
    if isinstance(value, list):
        for index, each in enumerate(cast(list[Any], value)):
            _find_strangers(each, f"{pointer}/{index}", faults)
    elif isinstance(value, float):
        if not np.isfinite(value):
            faults.append(Fault(pointer, "not_finite", f"{name(pointer)} must be finite; got {word(value)}"))
    elif not isinstance(value, int) or isinstance(value, bool):
        faults.append(Fault(pointer, "not_a_number", f"{name(pointer)} must be a number, not {_kind(value)}"))


def _find_ragged(items: list[Any], pointer: str, faults: list[Fault]) -> None:
    """What keeps the items from being one array: a list that is none itself, or another shape than the first's."""
    first: tuple[str, tuple[int, ...]] | None = None
    for index, item in enumerate(items):
        at = f"{pointer}/{index}"
        if isinstance(item, list):
            if item:
                _find_ragged(cast(list[Any], item), at, faults)
            else:
                faults.append(_empty(at))
        else:
            shape = np.shape(item)
            first = first or (name(at), shape)
            if shape != first[1]:
                said = f"{name(at)} has shape {shape} where {first[0]} has {first[1]}: rows must be of one length"
                faults.append(Fault(at, "ragged", said))
        if len(faults) >= MAX_FAULTS:
            return


def _empty(pointer: str) -> Fault:
    return Fault(pointer, "empty", f"{name(pointer)} is empty")


def name(pointer: str) -> str:
    """`/predictions/2/0` as people write it: predictions[2, 0]."""
    said = ""
    for digits, group in groupby(pointer.strip("/").split("/"), str.isdigit):
        parts = list(group)
        said += f"[{', '.join(parts)}]" if digits else "." * bool(said) + ".".join(parts)
    return said


def _kind(value: object) -> str:
    words: dict[type, str] = {bool: "a boolean", str: "a string", int: "a number", float: "a number", dict: "an object"}
    return words.get(type(value), "null" if value is None else "an array")
