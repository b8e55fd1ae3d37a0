"""bytes -> arrays -> bytes: JSON and the numbers in it. The only place that knows both.

`decode` turns a JSON document into Python values in which every rectangular array of numbers is a float64 ndarray,
made without a Python object per number; any other array stays a list, for whoever wants it to say what is wrong with it.
The fast path only ever says yes. Whatever it cannot prove right, json.loads reads again, slowly and exactly.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn, TypeAlias, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidArray, MalformedDocument
from app.losses.stable import Array

simdjson: Any = import_module("simdjson") if find_spec("simdjson") else None
"""None where there is no wheel for this Python: the exact path then serves alone."""

Document: TypeAlias = dict[str, Any]

BLOCK = 256 * 1024
SATURATED = 0xFFFFFF
"""simdjson counts the elements of an array up to here and no further."""


def encode(answer: object) -> bytes:
    """JSON with the shortest digits that read back as the same number; NaN and infinities as null."""
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def decode(body: bytes | memoryview) -> Document:
    """The JSON object in `body`; MalformedDocument where there is none, or where a key stands twice."""
    document = _decode_fast(body) if simdjson else None
    return document if document is not None else _decode_exactly(body)


# --- the fast path ----------------------------------------------------------------------------------------------------


def _decode_fast(body: bytes | memoryview) -> Document | None:
    """The document, or None where anything about it is not plainly right."""
    try:
        root = simdjson.Parser().parse(body)
        walk = _Walk()
        document = walk.value(root)
    except (ValueError, RuntimeError, TypeError, UnicodeDecodeError, _Doubt):
        return None
    # as_buffer flattens whatever is nested: only when no bracket is left over is every array as deep as it looks
    return cast(Document, document) if isinstance(document, dict) and _brackets(body) == walk.brackets else None


def _brackets(body: bytes | memoryview) -> int:
    """How often `[` stands in the body, counted in blocks that stay in the cache."""
    codes = np.frombuffer(body, dtype=np.uint8)
    return sum(int(np.count_nonzero(codes[at : at + BLOCK] == ord("["))) for at in range(0, codes.size, BLOCK))


class _Doubt(Exception):
    """The fast path is not sure."""


class _Walk:
    """Python values out of a parsed document, counting the arrays it has seen."""

    def __init__(self) -> None:
        self.brackets = 0

    def value(self, node: Any) -> Any:
        if isinstance(node, simdjson.Object):
            keys = list(node.keys())
            if len(set(keys)) != len(keys):
                raise _Doubt
            return {key: self.value(node[key]) for key in keys}
        if isinstance(node, simdjson.Array):
            return self.array(node)
        return node

    def array(self, node: Any) -> Any:
        length = len(node)
        if length == 0 or isinstance(node[0], str | bool | simdjson.Object):
            self.brackets += 1
            return [self.value(each) for each in node]
        numbers: Array = np.frombuffer(node.as_buffer(of_type="d"), dtype=np.float64)
        shape = self.shape(node, numbers.size)
        if int(np.prod(shape)) != numbers.size:
            raise _Doubt
        return numbers.reshape(shape)

    def shape(self, node: Any, size: int) -> tuple[int, ...]:
        """The lengths of the axes, every row's length seen; what is nested deeper shows in the brackets."""
        self.brackets += 1
        length = len(node)
        if not isinstance(node[0], simdjson.Array):
            return (size if length >= SATURATED else length,)
        if length >= SATURATED:
            raise _Doubt
        if not isinstance(node[0][0], simdjson.Array):
            self.brackets += length
            widths = set(map(len, node))
            if len(widths) != 1:
                raise _Doubt
            return (length, widths.pop())
        inner = {self.shape(each, 0) for each in node}
        if len(inner) != 1:
            raise _Doubt
        return (length, *inner.pop())


# --- the exact path ---------------------------------------------------------------------------------------------------


def _decode_exactly(body: bytes | memoryview) -> Document:
    try:
        document = json.loads(str(body, "utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise MalformedDocument(f"the body is not UTF-8: byte {error.start} cannot be decoded") from None
    except RecursionError:
        raise MalformedDocument("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise MalformedDocument(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise MalformedDocument(f"the body is not usable JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise MalformedDocument(f"the body must be a JSON object, not {_kind(document)}")
    try:
        return cast(Document, _with_arrays(document))
    except RecursionError:
        raise MalformedDocument("the body is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise MalformedDocument(f"the key {twice[:80]!r} stands twice in one object")
    return document


def _with_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_arrays(each) for key, each in cast(Document, value).items()}
    if isinstance(value, list):
        items = cast(list[Any], value)
        shape = _shape(items)
        return [_with_arrays(each) for each in items] if shape is None else np.array(items, dtype=np.float64)
    return value


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of a rectangular nested list of finite numbers, None for any other value."""
    if not isinstance(value, list):
        return () if type(value) in (int, float) and -np.inf < value < np.inf and _is_double(value) else None
    shapes = {_shape(each) for each in cast(list[Any], value)}
    inner = shapes.pop() if len(shapes) == 1 else None
    return None if inner is None else (len(cast(list[Any], value)), *inner)


def _is_double(number: float) -> bool:
    return isinstance(number, float) or abs(number) < 1 << 1023


# --- what is wrong with a list that should have been an array -----------------------------------------------------------


def numbers(value: object, pointer: str) -> NDArray[np.float64]:
    """`value` as decoded, where it is an array of numbers; InvalidArray naming every element that is in the way."""
    if isinstance(value, np.ndarray):
        return cast(NDArray[np.float64], value)
    if not isinstance(value, list):
        raise InvalidArray([Fault(pointer, "not_an_array", f"{_name(pointer)} must be an array of numbers, not {_kind(value)}")])
    _refuse(cast(list[Any], value), pointer)


def tensors(value: object, pointer: str) -> Any:
    """`value` as one array, an object of arrays, or a list of class names."""
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
    raise InvalidArray(faults or [Fault(pointer, "empty", f"{_name(pointer)} is empty")])


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
            faults.append(Fault(pointer, "not_finite", f"{_name(pointer)} must be finite; got {_word(value)}"))
    elif not isinstance(value, int) or isinstance(value, bool):
        faults.append(Fault(pointer, "not_a_number", f"{_name(pointer)} must be a number, not {_kind(value)}"))
    elif not _is_double(value):
        faults.append(Fault(pointer, "not_finite", f"{_name(pointer)} is too large for a 64-bit float"))


def _find_ragged(items: list[Any], pointer: str, faults: list[Fault]) -> None:
    """The rows whose shape is not the first row's."""
    shapes = [_outer_shape(each) for each in items]
    for index, shape in enumerate(shapes):
        if 0 in shape:
            faults.append(Fault(f"{pointer}/{index}", "empty", f"{_name(pointer)}[{index}] is empty"))
        elif shape != shapes[0]:
            said = f"has shape {shape} where row 0 has {shapes[0]}"
            faults.append(Fault(f"{pointer}/{index}", "ragged", f"{_name(pointer)}[{index}] {said}: rows must be of one length"))
        elif isinstance(items[index], list):
            _find_ragged(items[index], f"{pointer}/{index}", faults)
        if len(faults) >= MAX_FAULTS:
            return


def _outer_shape(item: Any) -> tuple[int, ...]:
    return (len(cast(list[Any], item)),) if isinstance(item, list) else cast(tuple[int, ...], getattr(item, "shape", ()))


def escape(key: str) -> str:
    """A key as a token of a JSON pointer (RFC 6901), cut to a length worth reading."""
    return key[:80].replace("~", "~0").replace("/", "~1")


def _name(pointer: str) -> str:
    """`/predictions/2/0` as people write it: predictions[2, 0]."""
    parts = pointer.strip("/").split("/")
    words = [part for part in parts if not part.isdigit()]
    indices = [part for part in parts if part.isdigit()]
    return ".".join(words) + (f"[{', '.join(indices)}]" if indices else "")


def _word(number: float) -> str:
    return "NaN" if np.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _kind(value: object) -> str:
    words: dict[type, str] = {bool: "a boolean", str: "a string", int: "a number", float: "a number", dict: "an object"}
    return words.get(type(value), "null" if value is None else "an array")
