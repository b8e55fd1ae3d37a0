"""bytes -> arrays -> bytes: JSON and the numbers in it.

`decode` turns a JSON document into Python values in which every rectangular array of numbers is an ndarray, made without a
Python object per number: of float64, but of int64 (uint64 beyond 2⁶³) where all are written as integers and one is beyond
2⁵³, so that labels and ids keep their digits. The fast path only ever says yes. Whatever it cannot prove right is read again,
exactly (exact.py), and what is wrong with an array is found where an array is asked for (faults.py).
"""

import math
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from app.wire import exact, long
from app.wire.exact import MAX_DEPTH, MAX_KEYS, SATURATED, Document, only, simdjson

ARRAY: type | None = simdjson.Array if simdjson else None
OBJECT: type | None = simdjson.Object if simdjson else None
type_of: Callable[[object], object] = type

BRACKET = ord("[")
BLOCK = 256 * 1024
SHORT = 4 * 1024
KEPT_PARSER_BYTES = 1024 * 1024
LONG_TEXT = 4 * 1024 * 1024
"""A shorter text is read as a whole."""
SLOW_BYTES = 16 * 1024
"""A body that the exact path may read while everybody waits."""
MAX_BUILT = 1000
"""Elements of lists that the fast path builds, names and flags apart: more than any request has use for."""


def encode(answer: object) -> bytes:
    """JSON with the shortest digits that read back as the same number; NaN and infinities as null."""
    return orjson.dumps(answer, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: object) -> object:
    """An array that orjson does not take as it lies: without axes, or not row by row."""
    if not isinstance(value, np.ndarray):
        raise TypeError
    array = cast(NDArray[Any], value)
    return np.ascontiguousarray(array) if array.ndim else array.item()


class Slow(Exception):
    """A long body that the fast path does not take: the exact one needs its time."""


def decode(body: bytes | memoryview, *, quick: bool = False) -> Document:
    """The JSON object in `body`; MalformedDocument where there is none, or where a key stands twice.

    An array that is none of numbers is a list where it is short, or all strings, and may else be a LazyList: whoever wants
    a list asks for it by `listed`. With `quick`, a long body that takes the exact path raises Slow instead.
    """
    document = (_decode_fast(body) if len(body) < LONG_TEXT else _decode_in_pieces(body)) if simdjson else None
    if document is not None:
        return document
    if quick and len(body) > SLOW_BYTES:
        raise Slow
    return _decode_lazily(body)


def _decode_lazily(body: bytes | memoryview) -> Document:
    try:
        tree = exact.parse(body) if simdjson else exact.load(body)
    except (ValueError, RuntimeError):
        tree = exact.load(body)
    return exact.document(tree)


# --- the fast path ----------------------------------------------------------------------------------------------------


def _decode_in_pieces(body: bytes | memoryview) -> Document | None:
    """The same of a long text, in little memory where it has long matrices."""
    rest = long.without_matrices(body, _rows_of)
    document = rest and _decode_fast(rest.text)
    return rest.filled(document) if rest and document is not None else _decode_fast(body)


def _rows_of(text: bytes) -> NDArray[Any] | None:
    rows = _decode_fast(b'{"rows":' + text + b"}")
    found = None if rows is None else rows["rows"]
    return cast(NDArray[Any], found) if isinstance(found, np.ndarray) else None


class _Thread(threading.local):
    """The thread's own parser, whose memory is there already; a large body gets one that goes with it."""

    def __init__(self) -> None:
        self.parser = simdjson.Parser()


_thread = _Thread() if simdjson else None


def _decode_fast(body: bytes | memoryview) -> Document | None:
    """The document, or None where anything about it is not plainly right."""
    walk = _Walk()
    try:
        parser = _thread.parser if _thread and len(body) <= KEPT_PARSER_BYTES else simdjson.Parser()
        root = parser.parse(body)
        document = walk.document(root, 1) if type(root) is OBJECT else None
    except (ValueError, RuntimeError, TypeError, IndexError, _Doubt):  # IndexError: an empty row
        return None
    # as_buffer flattens whatever is nested: only when no bracket is left over is every array as deep as it looks
    return document if _brackets(body) == walk.brackets else None


def _brackets(body: bytes | memoryview) -> int:
    """How often `[` stands in the body: NumPy is dear to ask, and counts much faster, in blocks that stay in the cache."""
    if isinstance(body, bytes) and len(body) <= SHORT:
        return body.count(b"[")
    codes = np.frombuffer(body, dtype=np.uint8)
    return sum([int(np.count_nonzero(codes[start : start + BLOCK] == BRACKET)) for start in range(0, len(codes), BLOCK)])


class _Doubt(Exception):
    """The fast path is not sure."""


class _Walk:
    """Python values out of a parsed document, counting the arrays it has seen."""

    brackets = 0
    built = 0

    def document(self, node: Any, depth: int) -> Document:
        keys = list(node)
        if len(keys) > MAX_KEYS or depth > MAX_DEPTH or "\0" in "".join(keys):
            raise _Doubt  # simdjson looks up a key with NUL in it by what stands before
        members: Document = {}
        for key in keys:
            value = node[key]
            kind = type_of(value)
            if kind is ARRAY:
                members[key] = self.array(value, depth + 1)
            else:
                members[key] = self.document(value, depth + 1) if kind is OBJECT else value
        if len(members) != len(keys):  # one stands twice
            raise _Doubt
        return members

    def array(self, node: Any, depth: int) -> Any:
        """An ndarray; its rows are counted where there are two axes, and looked into where there are more."""
        length = len(node)
        first = node[0] if length else ""
        kind = type_of(first)
        if kind is ARRAY:
            return self.rows(node, first, length, depth)
        self.brackets += 1
        if kind is not float and kind is not int:
            return self.items(node, kind, depth)
        numbers = exact.flat(node, first)
        if (numbers.size != length and length < SATURATED) or depth > MAX_DEPTH:
            raise _Doubt
        return numbers

    def rows(self, node: Any, first: Any, length: int, depth: int) -> Any:
        leaf = first[0]
        if type_of(leaf) is not ARRAY:
            self.brackets += 1 + length
            widths = set(map(len, node))
            shape = (length, widths.pop())
            if widths or length >= SATURATED:
                raise _Doubt
        else:
            while type_of(leaf) is ARRAY:
                leaf = leaf[0]
            shape = self.shape(node, first)
        numbers = exact.flat(node, leaf)
        if math.prod(shape) != numbers.size or depth + len(shape) > MAX_DEPTH + 1:
            raise _Doubt
        return numbers.reshape(shape)

    def shape(self, node: Any, first: Any) -> tuple[int, ...]:
        """The lengths of the axes, every row's length seen; what is nested deeper shows in the brackets."""
        self.brackets += 1
        length = len(node)
        if length >= SATURATED:
            raise _Doubt
        if not isinstance(first, simdjson.Array):
            return (length,)
        if not isinstance(first[0], simdjson.Array):
            self.brackets += length
            widths = set(map(len, node))
            if len(widths) != 1:
                raise _Doubt
            return (length, widths.pop())
        inner = {self.shape(row, row[0]) for row in node}
        if len(inner) != 1:
            raise _Doubt
        return (length, *inner.pop())

    def items(self, node: Any, kind: object, depth: int) -> list[Any]:
        if (kind is str or kind is bool) and only(map(type, node)) is kind:
            return node.as_list()
        self.built += len(node)
        if self.built > MAX_BUILT:
            raise _Doubt
        return [self.value(item, depth + 1) for item in node]

    def value(self, node: Any, depth: int) -> Any:
        kind = type_of(node)
        return self.array(node, depth) if kind is ARRAY else self.document(node, depth) if kind is OBJECT else node
