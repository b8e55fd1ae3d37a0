"""Long matrices in a JSON text, read some rows at a time: a parser takes fifteen bytes of memory for each of its text.

What is not plainly a matrix of numbers stays in the text; so does all of it where anything is in doubt.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from app.losses.numerics.stable import Array
from app.wire.exact import Document

LONG_RUN = 1024 * 1024
"""A shorter matrix is read with the rest."""
PIECE = 512 * 1024
"""Rows of about so many bytes are read at a time."""
BLOCK = 256 * 1024
MARK = "matrix \x01"
"""What stands in the text for a matrix, before its number: no text that has it in it is taken apart."""
_OTHER = np.ones(256, np.bool_)
_OTHER[np.frombuffer(b"0123456789+-.eE,[] \t\r\n", np.uint8)] = False
Read: TypeAlias = Callable[[bytes], NDArray[np.generic] | None]
"""JSON of some rows -> (rows, columns); None for what is none."""


class Rest(NamedTuple):
    """A text without its long matrices."""

    text: bytes
    matrices: Mapping[str, Array]
    """By what stands in their place."""

    def filled(self, document: Document) -> Document | None:
        """The document of the text, with its matrices; None where one is no member of an object."""
        left = dict(self.matrices)
        whole = _filled(document, left)
        return None if left else whole


def _filled(document: Document, left: dict[str, Array]) -> Document:
    filled: Document = {}
    for name, value in document.items():
        if isinstance(value, dict):
            filled[name] = _filled(cast(Document, value), left)
        else:
            filled[name] = left.pop(value) if isinstance(value, str) and value in left else value
    return filled


def without_matrices(body: bytes | memoryview, read: Read) -> Rest | None:
    """The text without matrices of numbers that are long; None where there are none, or one of them is not plainly one."""
    codes = np.frombuffer(body, np.uint8)
    parts: list[bytes] = []
    matrices: dict[str, Array] = {}
    done = 0
    for start, stop in _runs(codes):
        brackets = start + np.flatnonzero(codes[start : start + BLOCK] == ord("["))[:2]
        if len(brackets) < 2 or codes[brackets[0] + 1 : brackets[1]].tobytes().strip():
            continue  # numbers, or nothing, before the first row: no matrix
        first, last = int(brackets[0]), _last(codes, start, stop)
        matrix = _matrix(codes[first : last + 1], read)
        if matrix is None:
            return None
        mark = f"{MARK}{len(matrices)}"
        matrices[mark] = matrix
        parts += [codes[done:first].tobytes(), b'"%s"' % mark.replace("\x01", "\\u0001").encode()]
        done = last + 1
    text = b"".join([*parts, codes[done:].tobytes()]) if matrices else b""
    return Rest(text, matrices) if matrices and text.count(b"\\u0001") == len(matrices) else None


def _runs(codes: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Where long stretches of nothing but numbers, commas and brackets begin and end."""
    before = -1
    for start in range(0, len(codes), BLOCK):
        found = _OTHER[codes[start : start + BLOCK]]
        if not found.any():
            continue
        places = start + np.flatnonzero(found)
        gaps = np.diff(places, prepend=before)
        for place, gap in zip(places[gaps > LONG_RUN].tolist(), gaps[gaps > LONG_RUN].tolist(), strict=True):
            yield place - gap + 1, place
        before = int(places[-1])


def _last(codes: NDArray[np.uint8], start: int, stop: int) -> int:
    """Where the last bracket is that closes within a run, of which the end is near."""
    closing = np.flatnonzero(codes[max(start, stop - BLOCK) : stop] == ord("]"))
    return max(start, stop - BLOCK) + int(closing[-1]) if closing.size else start


def _matrix(codes: NDArray[np.uint8], read: Read) -> Array | None:
    """The numbers of `[[...], ...]`, some rows at a time; None where it is none, or has integers that float64 has not."""
    rows = sum(int(np.count_nonzero(codes[start : start + BLOCK] == ord("["))) for start in range(0, len(codes), BLOCK)) - 1
    matrix: Array | None = None
    done, place, end = 0, 1, len(codes) - 1
    while place < end:
        cut = _row_end(codes, min(place + PIECE, end), end)
        some = None if cut is None else read(b"[" + codes[place:cut].tobytes() + b"]")
        if some is None or cut is None or some.ndim != 2 or some.dtype != np.float64:
            return None
        if matrix is None:
            matrix = np.empty((rows, some.shape[1]))
        if some.shape[1] != matrix.shape[1] or done + len(some) > rows:
            return None
        matrix[done : done + len(some)] = some
        done += len(some)
        rest = codes[cut : min(cut + BLOCK, end)].tobytes()
        comma = len(rest) - len(rest.lstrip())
        if not rest[comma:]:
            place = end
        elif rest[comma : comma + 1] == b"," and cut + comma + 1 < end:
            place = cut + comma + 1
        else:
            return None
    return matrix if done == rows and rows > 0 else None


def _row_end(codes: NDArray[np.uint8], place: int, end: int) -> int | None:
    """Behind the first row that ends at a place or after it, or at the last one that ends before; None where there is none."""
    for start in range(place, end, BLOCK):
        found = np.flatnonzero(codes[start : min(start + BLOCK, end)] == ord("]"))
        if found.size:
            return start + int(found[0]) + 1
    found = np.flatnonzero(codes[max(0, end - BLOCK) : end] == ord("]"))
    return max(0, end - BLOCK) + int(found[-1]) + 1 if found.size else None
