"""CSV to arrays: RFC 4180 as spreadsheets, R and pandas write it, each column as the JSON array of its cells is read.

Columns of plain numbers are read in blocks: their separators become those of JSON, and simdjson makes the numbers, exactly and
without a Python object for one. Any others are read cell by cell, the columns that are wanted are written as JSON, and JSON's
own decoder reads them: the same data is the same array, whichever way it has come.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import MAX_FAULTS, Fault, InvalidInput, MalformedTable
from app.losses.numerics.stable import Array
from app.wire.exact import far, simdjson
from app.wire.json import SLOW_BYTES, Slow, decode

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
HEADER_BYTES = 1024 * 1024
BLOCK_BYTES = 128 * 1024
"""Read at a time: what fits into a processor's own cache."""
BLOCK_CELLS = 16 * 1024
NUMBER_BYTES = b"0123456789+-eE \r"
"""What a plain number has in it beside its decimal point. A carriage return stands before a newline, which is looked at."""

NUMBER = re.compile(r"\s*([+-]?)(?:(\d+)|(\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+))\s*", re.ASCII)
PLAIN = r"-?(?:0|[1-9][0-9]*)(?:{point}[0-9]+)?(?:[eE][+-]?[0-9]+)?"
"""A number as JSON has it, but for its decimal point."""
INFINITE = "1e999"
"""JSON's own spelling of a number that no double holds."""
WORDS = {
    **dict.fromkeys(("", "na", "nan", "null"), "null"),
    "true": "true",
    "false": "false",
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), INFINITE),
    **dict.fromkeys(("-inf", "-infinity"), f"-{INFINITE}"),
}
"""What other words in a column of numbers mean in JSON, whatever their case."""

WITHOUT_A_WORD = "all lines must have that of the first, which is ',', ';' or a tab"
"""What is said of a delimiter where nobody can say which it is: of files, and of what is kept."""


class Csv:
    """A file, its header read. `names` are those of its columns, in their order."""

    def __init__(
        self,
        body: bytes | memoryview,
        *,
        delimiter: str | None = None,
        decimal: str = ".",
        quick: bool = False,
        before: int | None = None,
    ) -> None:
        """`before` counts the lines that stood between the header and the first row, where the body is a piece of a file."""
        self._body = memoryview(body)
        self._before = before or 0
        self._way_out = "say another with delimiter=" if before is None else WITHOUT_A_WORD
        self._quick = quick
        self._decimal = decimal
        self._bom = "\ufeff" if bytes(self._body[: len(BOM)]) == BOM else ""
        self._start, header = header_of(self._body)
        self.delimiter = delimiter or _delimiter(header, decimal)
        self._newline = "\r\n" if header.endswith("\r\n") else "\n"
        self._header = header.rstrip("\r\n")
        self._end = len(self._body) - len(_tail(self._body)) if len(self._body) > self._start else self._start
        self.names = tuple(name.strip() for name in self._split([header]))
        if not any(self.names):
            raise MalformedTable("the first line is empty: it must be the names of the columns")
        if self._end <= self._start:
            raise MalformedTable("there are no rows under the header, which is the first line")

    def _split(self, lines: Iterable[str]) -> list[str]:
        return next(_records(csv.reader(lines, delimiter=self.delimiter, strict=True)), list[str]())

    def read(self, names: Iterable[str], limit: int, text: frozenset[str] = frozenset()) -> dict[str, Any]:
        """These columns, those in `text` as strings; MalformedTable where the rows are not as long as the header.

        A million numbers take 8 MB beside the body. Slow where that takes too long to do here and now.
        """
        wanted = {name: self.names.index(name) for name in names}
        found = self._plain(wanted) if simdjson and not text & wanted.keys() else None
        if found is not None:
            return found
        if self._quick and len(self._body) > SLOW_BYTES:
            raise Slow
        return self._cells(wanted, text)

    # --- plain numbers

    def _plain(self, wanted: Mapping[str, int]) -> dict[str, Any] | None:
        """The columns, where there is nothing but finite numbers as JSON has them in them; else None."""
        columns: dict[str, Array] = {name: np.empty(0) for name in wanted}
        all_of_them, some = [*range(len(self.names))], sorted({*wanted.values()})
        parser, row, taken = simdjson.Parser(), 0, all_of_them
        for block in self._blocks():
            table = self._numbers(parser, block, len(taken)) if taken is all_of_them else None
            if table is None and 0 < len(some) < len(all_of_them):
                taken = some
                table = self._numbers(parser, self._narrowed(block, some), len(some))
            if table is None:
                return None
            if not row:
                total = self._newlines() + 1
                columns = {name: np.empty(total) for name in wanted}
            for name, column in columns.items():
                column[row : row + len(table)] = table[:, taken.index(wanted[name])]
            row += len(table)
        return None if any(far(column) for column in columns.values()) else dict(columns)

    def _numbers(self, parser: Any, block: bytes, width: int) -> Array | None:
        """(rows, width) what stands in lines of plain numbers; None where they are none."""
        delimiter, point = self.delimiter.encode(), self._decimal.encode()
        pattern = b"%s\n" % (delimiter * (width - 1))
        separators = block.translate(None, NUMBER_BYTES + point)
        rows = len(separators) // len(pattern)
        if not rows or separators != pattern * rows or block.count(b"\r") != block.count(b"\r\n"):
            return None
        to_json = bytes.maketrans(point + b"\n\r" + delimiter, b"., ,")
        try:
            numbers = np.frombuffer(parser.parse(b"[%s]" % block[:-1].translate(to_json)).as_buffer(of_type="d"))
        except (ValueError, RuntimeError, TypeError):
            return None
        # of another size where a blank cell stands alone
        return numbers.reshape(rows, width) if numbers.size == rows * width else None

    def _narrowed(self, block: bytes, columns: Sequence[int]) -> bytes:
        """The lines with these columns alone; nothing where a cell may be more than what stands between two delimiters."""
        if b'"' in block or block.count(b"\r") != block.count(b"\r\n") or not _is_utf_8(block):
            return b""
        codes, width = np.frombuffer(block, np.uint8).copy(), len(self.names)
        ends = np.flatnonzero((codes == ord(self.delimiter)) | (codes == ord("\n")))
        lengths = np.diff(ends, prepend=-1)
        if ends.size % width or lengths.max() > csv.field_size_limit():
            return b""
        lines = codes[ends].reshape(-1, width) == ord("\n")
        if lines[:, :-1].any() or not lines[:, -1].all():
            return b""
        codes[ends.reshape(-1, width)[:, columns[-1]]] = ord("\n")
        kept = np.zeros(width, np.bool_)
        kept[[*columns]] = True
        return codes[np.repeat(np.tile(kept, len(lines)), lengths)].tobytes()

    def _newlines(self) -> int:
        codes = np.frombuffer(self._body, dtype=np.uint8)[self._start : self._end]
        return sum(int(np.count_nonzero(codes[start : start + BLOCK_BYTES] == 10)) for start in range(0, len(codes), BLOCK_BYTES))

    def _blocks(self) -> Iterator[bytes]:
        """The rows in blocks of whole lines, the last of which ends with a newline too."""
        start, size = self._start, BLOCK_BYTES
        while start + size < self._end:
            block = bytes(self._body[start : start + size])
            whole = block.rfind(b"\n") + 1
            if whole:
                yield block[:whole]
                start += whole
                size = BLOCK_BYTES
            else:
                size *= 2
        yield bytes(self._body[start : self._end]) + b"\n"

    # --- any cells

    def _cells(self, wanted: Mapping[str, int], text: frozenset[str]) -> dict[str, Any]:
        pieces: dict[str, list[str]] = {name: [] for name in wanted}
        written = {name: _strings if name in text else _Written(self._decimal) for name in wanted}
        rows = self._rows()
        width = len(self.names)
        count = 0
        while block := list(islice(rows, max(1, BLOCK_CELLS // width))):
            if {*map(len, block)} != {width}:
                self._refuse_ragged(count, block)
            count += len(block)
            columns = tuple(zip(*block, strict=True))
            for name, index in wanted.items():
                pieces[name].append(written[name](columns[index]))
        return {name: decode(f'{{"column":[{",".join(column)}]}}'.encode())["column"] for name, column in pieces.items()}

    @property
    def _first(self) -> int:
        """The line on which the rows begin."""
        return self._header.count("\n") + 2 + self._before

    def _lines(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self._body[self._start : self._end]), encoding="utf-8", newline="")

    def _rows(self) -> Iterator[list[str]]:
        rows = _records(csv.reader(self._lines(), delimiter=self.delimiter, strict=True), self._first - 1)
        return (row or [""] for row in rows) if len(self.names) == 1 else rows

    def _refuse_ragged(self, before: int, block: Sequence[Sequence[str]]) -> None:
        lines = self._numbered({before + index for index, row in enumerate(block) if len(row) != len(self.names)})
        faults = [
            Fault((), "ragged", f"line {line} has {len(row)} cells where the header has {len(self.names)}")
            for line, row in lines.values()
        ]
        hint = f"; the delimiter is {self.delimiter!r}: {self._way_out}" if len(faults) == len(block) else ""
        raise InvalidInput([Fault(fault.path, fault.code, fault.message + hint) for fault in faults])

    def _numbered(self, rows: set[int]) -> dict[int, tuple[int, list[str]]]:
        """Of the first of these rows the line on which each begins, and its cells."""
        found: dict[int, tuple[int, list[str]]] = {}
        reader = csv.reader(self._lines(), delimiter=self.delimiter, strict=True)
        first = self._first
        line, last = first, max(rows, default=-1)
        for index, row in enumerate(_records(reader, first - 1)):
            if index in rows:
                found[index] = line, row
            if index == last or len(found) == MAX_FAULTS:
                break
            line = first + reader.line_num
        return found

    def places(self, cells: Sequence[tuple[int, str]]) -> list[str]:
        """Where cells stand, given as row and column, and what is in them where that is not what a number is written as."""
        rows = self._numbered({row for row, _ in cells})
        return [self._place(*rows[row], name) if row in rows else f"row {row}, column {name!r}" for row, name in cells]

    def _place(self, line: int, row: Sequence[str], name: str) -> str:
        index = self.names.index(name)
        cell = row[index] if index < len(row) else ""
        place = f"line {line}, column {name!r}"
        if not cell.strip():
            return f"{place}: the cell is empty"
        if NUMBER.fullmatch(cell.replace(self._decimal, ".")):
            return place
        comma = "; say decimal=, for a decimal comma" if NUMBER.fullmatch(cell.replace(",", ".")) else ""
        return f"{place}: {cell[:40]!r}{comma}"

    # --- back

    def extended(self, columns: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
        """The file as it is, with further columns behind each row: shortest digits, a cell without a number empty."""
        names = io.StringIO()
        csv.writer(names, delimiter=self.delimiter, lineterminator="").writerow(columns)
        yield f"{self._bom}{self._header}{self.delimiter}{names.getvalue()}{self._newline}".encode()
        lines: list[str] = []

        def read() -> Iterator[str]:
            for line in self._lines():
                lines.append(line)
                yield line

        reader = csv.reader(read(), delimiter=self.delimiter, strict=True)
        row = 0
        while block := [_taken(lines) for _ in islice(reader, BLOCK_CELLS)]:
            numbers = [_digits(column[row : row + len(block)], self._decimal) for column in columns.values()]
            row += len(block)
            text = self._newline.join(map(self.delimiter.join, zip(block, *numbers, strict=True)))
            yield f"{text}{self._newline}".encode()


def pieces(line: str) -> list[str]:
    """The cells of one line with commas between them."""
    return [piece.strip() for piece in next(_records(csv.reader([line], strict=True)), list[str]())]


def is_word(cell: str) -> bool:
    """Whether a cell in a column of numbers would be read as text."""
    return NUMBER.fullmatch(cell) is None and cell.strip().lower() not in WORDS


def _taken(lines: list[str]) -> str:
    """The lines that the reader has taken for one record."""
    record = "".join(lines).rstrip("\r\n")
    lines.clear()
    return record


def _digits(numbers: NDArray[Any], decimal: str) -> list[str]:
    if not np.isfinite(numbers).all():
        digits = ["" if np.isnan(number) else repr(number) for number in numbers.tolist()]
    else:
        text = orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
        digits = text[1:-1].decode().split(",")
    return digits if decimal == "." else [number.replace(".", decimal) for number in digits]


def header_of(body: memoryview) -> tuple[int, str]:
    """Where the rows begin, and the header with its newline."""
    head = bytes(body[:HEADER_BYTES])
    if head.startswith(UTF_16):
        raise MalformedTable("the body is UTF-16; send UTF-8 (spreadsheets call it CSV UTF-8)")
    start = len(BOM) if head.startswith(BOM) else 0
    end = head.find(b"\n", start) + 1 or head.find(b"\r", start) + 1
    while end and head.count(b'"', start, end) % 2:  # a name with a newline in it
        end = head.find(b"\n", end) + 1
    if not end and len(body) > len(head):
        raise MalformedTable(f"the header, which is the first line, is longer than {HEADER_BYTES} bytes")
    end = end or len(head)
    names = head[start:end].rstrip(b"\r\n")
    if head[start + len(names) : end] not in (b"", b"\n", b"\r\n", b"\r"):  # of "\r\r\n" the second ends an empty line
        end = start + len(names) + 1
    try:
        return end, head[start:end].decode()
    except UnicodeDecodeError:
        raise MalformedTable(NOT_UTF_8) from None


def _is_utf_8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


NOT_UTF_8 = "the body is not UTF-8; save it as that (spreadsheets call it CSV UTF-8)"


def _delimiter(header: str, decimal: str) -> str:
    """The delimiter that stands most often in the header, outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    candidates = [delimiter for delimiter in ("\t", ",", ";") if delimiter != decimal]
    best = max(candidates, key=bare.count)
    return best if best in bare else candidates[1]


def _tail(body: memoryview) -> bytes:
    """The newlines at the end."""
    end = bytes(body[-BLOCK_BYTES:])
    return end[len(end.rstrip(b"\r\n")) :]


def _records(reader: Any, before: int = 0) -> Iterator[list[str]]:
    """What a reader reads; MalformedTable with the line for what is none."""
    try:
        yield from reader
    except UnicodeDecodeError:
        raise MalformedTable(f"{NOT_UTF_8}: soon after line {before + reader.line_num}") from None
    except csv.Error as error:
        raise MalformedTable(f"line {before + reader.line_num} is no CSV: {error}") from None


def _strings(cells: Sequence[str]) -> str:
    return json.dumps(cells)[1:-1]


class _Written:
    """Cells as the elements of a JSON array: numbers, null, true and false, and strings for anything else."""

    def __init__(self, decimal: str) -> None:
        self._decimal = decimal
        number = PLAIN.format(point=re.escape(decimal))
        self._numbers = re.compile(rf"{number}(?:\n{number})*")

    def __call__(self, cells: Sequence[str]) -> str:
        lines = "\n".join(cells)
        if self._numbers.fullmatch(lines) and lines.count("\n") == len(cells) - 1:
            return lines.replace(self._decimal, ".").replace("\n", ",")
        return ",".join(map(self._cell, cells))

    def _cell(self, cell: str) -> str:
        if self._decimal != "." and "." in cell:  # it may stand between thousands
            return json.dumps(cell)
        number = NUMBER.fullmatch(cell.replace(self._decimal, "."))
        if number is None:
            return WORDS.get(cell.strip().lower()) or json.dumps(cell)
        sign, whole, real = number.groups()
        sign = sign.replace("+", "")
        return sign + (whole.lstrip("0") or "0") if whole else sign + repr(float(real)).replace("inf", INFINITE)
