"""NDJSON: a JSON object a line, which is a row of a table. It is read as it comes, some lines at a time.

What a line means is what the object would mean in a table of one JSON body: a block of plain lines is read by a parser that
says so only of what is plainly right, and any other line by line, exactly (exact.py).
"""

import io
import time
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson

from app.errors import CallerError, Fault, InvalidInput, MalformedDocument
from app.wire import exact, tables

BLOCK_BYTES = 1024 * 1024
"""What is read before it is worked on. In memory a line takes ten times its bytes for a moment."""
LONGEST_LINE = 4 * 1024 * 1024
EMPTY = "it is empty, and others follow"
SPACE = b" \t\r"
"""What JSON takes for nothing, but line breaks."""
LINE = ("line",)
"""What the path of a row begins with, in words about it."""


class Lines:
    """A file of rows, whose keys are those of the first."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._texts = self._read()

    @cached_property
    def _first(self) -> Sequence[bytes]:
        """The first lines. MalformedDocument where there are none."""
        found = next(self._texts, None)
        if found is None:
            raise MalformedDocument("the body is empty: send a JSON object a line")
        return found

    @property
    def names(self) -> Sequence[str]:
        """The columns."""
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(_exactly(self._first[:1], None, 0))

    def blocks(self, columns: Collection[tables.Column]) -> Iterator[tables.Block]:
        """These columns, some rows at a time. InvalidInput whose path is the line, and its key, for one that is no such row."""
        first, names = 0, self._names
        for lines in chain((self._first,), self._texts):
            found = _quickly(lines, names, columns)
            if found is None:
                found = _exactly(lines, names, first)
            yield tables.Block(first, {column: found[str(column)] for column in columns})
            first += len(lines)

    def _read(self) -> Iterator[Sequence[bytes]]:
        """Whole lines, as they come. Empty ones may stand at the end alone."""
        count, rest, ended = 0, b"", False
        while text := self._piece(rest, count):
            whole, rest = text
            lines = whole.split(b"\n")
            all_of_them = len(lines)
            while lines and not lines[-1].strip(SPACE):
                lines.pop()
            if lines and ended:
                raise _malformed(count, EMPTY)
            ended = ended or all_of_them - len(lines) > 1  # behind the last line break there is nothing
            if lines:
                yield lines
                count += len(lines)

    def _piece(self, rest: bytes, count: int) -> tuple[bytes, bytes] | None:
        """Whole lines, and what of the next one has been read; None at the end."""
        pieces, size, whole = [rest], len(rest), False
        until = time.monotonic() + tables.BLOCK_SECONDS
        while size < BLOCK_BYTES or not whole:
            piece = self._file.read1(BLOCK_BYTES)
            if not piece:
                return (b"".join(pieces), b"") if size else None
            pieces.append(piece)
            size += len(piece)
            whole = whole or b"\n" in piece
            if whole and time.monotonic() > until:
                break
            if not whole and size > LONGEST_LINE:
                raise _malformed(count, f"it is longer than {LONGEST_LINE} bytes: are there no line breaks?", "limit")
        text = b"".join(pieces)
        end = text.rfind(b"\n") + 1
        return text[:end], text[end:]


def _quickly(lines: Sequence[bytes], names: tuple[str, ...], columns: Collection[tables.Column]) -> dict[str, Any] | None:
    """The columns of plain rows; None where anything about them is not plainly right."""
    try:
        rows: list[dict[str, Any]] = [*map(orjson.loads, lines)]
        cells = {name: [*map(itemgetter(name), rows)] for name in names}
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    if {*map(type, rows)} != {dict} or {*map(len, rows)} != {len(names)}:
        return None
    words = sum([*map(type, column)].count(str) for column in cells.values())
    text = b"".join(lines)
    if text.count(b"{") != len(rows) or text.count(b'"') != 2 * (len(names) * len(rows) + words):
        return None  # there is an object within a cell, or a key stands twice, or there are escapes
    return {name: exact.value(cells[name], tables.DEPTH) for name in map(str, columns)}


def _exactly(lines: Sequence[bytes], names: tuple[str, ...] | None, first: int) -> dict[str, Any]:
    """The same of any rows, all of their columns."""
    try:
        return tables.of_objects([_row(line, number) for number, line in enumerate(lines, first)], LINE, names, first)
    except CallerError as error:
        raise error.moved({LINE: ()}) from None


def _row(line: bytes, number: int) -> Any:
    if not line.strip(SPACE):
        raise _malformed(number, EMPTY)
    try:
        return exact.load(line)
    except MalformedDocument as error:
        reason = error.detail.removeprefix("the body is ")
        raise _malformed(number, f"it is {reason}") from None


def _malformed(number: int, message: str, code: str = "malformed") -> InvalidInput:
    return InvalidInput([Fault((number,), code, f"line[{number}] is no row: {message}")])
