"""Bodies bent at random, for each decoder: read as Python's own csv, json and NumPy read them, or refused as the caller's.

Each body follows from its decoder's name and its number (`bent`). `fuzzed.py` has the list of all, and makes them.
"""

import csv
import io
import json
import random
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from app.api.compare import COMPARE
from app.api.evaluating import EVALUATE
from app.api.files import Asked, read_csv, read_npz
from app.api.training import TRAIN
from app.errors import CallerError
from app.serving.call import Call
from app.serving.steps import Order, request_of
from app.settings import Settings
from app.wire import tables
from app.wire.csv import Csv
from app.wire.json import decode
from app.wire.npz import Npz
from tests.wire.test_json import in_full

LIMIT = 2**20
SETTINGS = Settings.model_construct(max_body_bytes=LIMIT)
READ, REFUSED = "read", "refused"


class Wrong(AssertionError):
    """A body that was read as something else than it is."""


@dataclass(frozen=True)
class Fuzzed:
    """A decoder: bodies to begin with, what is put into them, and how one is tried."""

    name: str
    seeds: Sequence[bytes]
    words: Sequence[bytes]
    attempt: Callable[[bytes], str]
    """READ or REFUSED; Wrong, or any other exception, where something is to be mended."""
    wrapped: Callable[[random.Random, bytes], bytes] = lambda rng, body: body


def bent(fuzzed: Fuzzed, number: int) -> bytes:
    """The body of this number: a seed with one to four things in it put in, left out, doubled, moved or torn."""
    rng = random.Random(f"{fuzzed.name}-{number}")
    body = rng.choice(fuzzed.seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        start = rng.randrange(len(body) + 1)
        end = min(len(body), start + rng.choice((0, 0, 1, 1, 2, 3, 8)))
        if rng.random() < 0.5 and (token := TOKEN.search(body, start)):
            start, end = token.span()
        middle = rng.choice(
            (
                b"",
                rng.choice(fuzzed.words),
                rng.choice(fuzzed.words),
                body[start:end] * 2,
                bytes((rng.randrange(256),)),
                rng.choice(fuzzed.seeds)[start : start + 12],
            )
        )
        body = body[:start] + middle + body[end:]
    return fuzzed.wrapped(rng, body)


TOKEN = re.compile(rb"[-+.\w]+")
"""A number, or a word."""


def tried(fuzzed: Fuzzed, numbers: range) -> Counter[str]:
    """How many of these bodies were read and refused; an exception that names the body where one was neither."""
    counts: Counter[str] = Counter()
    for number in numbers:
        body = bent(fuzzed, number)
        try:
            counts[fuzzed.attempt(body)] += 1
        except Exception as error:
            raise Wrong(f"{fuzzed.name} {number}: {error!r}: {body!r}") from error
    return counts


def agree(condition: bool, *what: object) -> None:
    if not condition:
        raise Wrong(*what)


# --- what a cell, or a number in JSON, means --------------------------------------------------------------------------

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MISSING = ("", "na", "nan", "null")
INFINITE = {"inf": np.inf, "infinity": np.inf, "+inf": np.inf, "+infinity": np.inf, "-inf": -np.inf, "-infinity": -np.inf}


def meaning(cell: str, decimal: str) -> Any:
    """A cell as Python's float() reads it; a missing one, a flag, or the text that it is."""
    bare = cell.strip().lower()
    if bare in MISSING:
        return None
    if bare in INFINITE:
        return INFINITE[bare]
    if bare in ("true", "false"):
        return bare == "true"
    bare = cell.strip(" \t\r\n\f\v").lower()
    if decimal != ".":
        bare = "?" if "." in bare else bare.replace(decimal, ".")
    return (int(bare) if bare.lstrip("+-").isdigit() else float(bare)) if NUMBER.fullmatch(bare) else cell


def equal(found: Any, expected: Any) -> bool:
    """Whether a value that was decoded is the one that Python reads, each number with its double's bits or all its digits."""
    found = in_full(found)
    if isinstance(found, np.ndarray):
        given = cast(Any, found)
        if given.dtype.kind in "iu":
            return bool(given.tolist() == expected)
        return np.shape(expected) == given.shape and given.tobytes() == np.array(expected, np.float64).tobytes()
    if isinstance(found, list):
        ours, theirs = cast(list[Any], found), cast(Any, expected)
        return isinstance(theirs, list) and len(ours) == len(cast(list[Any], theirs)) and all(map(equal, ours, cast(Any, theirs)))
    if isinstance(found, dict):
        members = cast(dict[str, Any], found)
        return (
            isinstance(expected, dict)
            and [*members] == [*expected]
            and all(equal(members[key], expected[key]) for key in members)
        )
    if isinstance(found, bool) or isinstance(expected, bool) or not isinstance(found, int | float):
        return type(found) is type(expected) and found == expected
    return isinstance(expected, int | float) and (found == expected or found == float(expected) or found != found)


def asked_of(call: Call, body: bytes, media_type: bytes | None = None, head: Any = None) -> None:
    """The body as a request of this call; CallerError where it is none."""
    wire = call.operation_of({} if media_type is None else {b"content-type": media_type}).wire
    request_of(body, Order(call.operation._replace(wire=wire), head, {}, SETTINGS), here=False)


# --- CSV --------------------------------------------------------------------------------------------------------------

DIALECTS: Sequence[Mapping[str, Sequence[str]]] = ({}, {}, {"decimal": [","]}, {"delimiter": [";"]}, {"delimiter": ["tab"]})
CSV_ROLES = {"loss": ["mse"], "predictions": ["p"], "targets": ["t"]}
CSV_RUN = {"loss": ["mse"], "targets": ["t"], "model": ["linear"], "epochs": ["1"], "validation": ["null"]}
CSV_SEEDS = [
    b"p,t\n1,2\n3,4\n",
    b"p,t,w\r\n0.5,1,2\r\n.25,0,1\r\n1e-3,1,0\r\n",
    "\ufeffp;t\n1,5;2,25\n-3;4\n".encode(),
    b'p,t,"name, of it"\n1,2,"a ""b"", c"\n3,4,"two\nlines"\n',
    b"p\tt\n1\t2\n3\t4",
    b"p,t\n1,NA\n,2\nInf,true\n",
    b"p,t\n9007199254740993,18446744073709551615\n-9223372036854775808,1\n",
    b"p,t\r1,2\r3,4\r",
    b"t,p\nyes,1\nno,2\n",
    b"p\n1\n\n3\n",
    b"p,t\n" + b"0.1234567890123456789,1.7976931348623157e308\n" * 6,
]
CSV_WORDS = [
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b'"',
    b'""',
    b"0",
    b"1",
    b"-",
    b"+",
    b".",
    b"e",
    b"E5",
    b"1e400",
    b"5e-324",
    b"NaN",
    b"NA",
    b"inf",
    b"-Infinity",
    b"true",
    b"null",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff",
    "é".encode(),
    "\u2028".encode(),
    "\u0661".encode(),
    b" ",
    b"00",
    b"0x1F",
    b"1_000",
    b"9007199254740993",
    b"18446744073709551616",
    b"1.5",
    b"1,5",
    b"p",
    b"t",
    b"=1+1",
    b"1e",
    b"\x1c",
    b"\x85",
]


def try_csv(body: bytes) -> str:
    dialect = DIALECTS[len(body) % len(DIALECTS)]
    for call, roles in ((EVALUATE, CSV_ROLES), *(((TRAIN, CSV_RUN),) if len(body) % 16 == 0 else ())):
        refusing(call, body, b"text/csv", Asked({**roles, **dialect}, rows=False))
    try:
        table = cast(Csv, read_csv(body, Asked(dialect, rows=False), quick=False).table)
    except CallerError:
        return REFUSED
    wanted = [name for name in table.names if table.names.count(name) == 1]
    apart: dict[str, Any] = {}
    for name in wanted:
        with suppress(CallerError):
            apart |= table.read([name], LIMIT)
    try:
        columns = table.read(wanted, LIMIT)
        text = table.read(wanted, LIMIT, frozenset(wanted))
    except CallerError:
        agree(not apart, "refused, and a column of it taken", apart)
        return REFUSED
    lines = io.StringIO(body.rstrip(b"\r\n").decode("utf-8-sig"), newline="")
    _, *rows = [row or [""] for row in csv.reader(lines, delimiter=table.delimiter)]
    decimal = dialect.get("decimal", ["."])[-1]
    for name in wanted:
        cells = [row[table.names.index(name)] for row in rows]
        expected = [meaning(cell, decimal) for cell in cells]
        agree(equal(columns[name], expected), name, in_full(columns[name]), expected)
        agree(equal(apart[name], expected), f"{name} alone", in_full(apart[name]), expected)
        agree(equal(text[name], cells), name, in_full(text[name]), cells)
    return READ


def refusing(call: Call, body: bytes, media_type: bytes | None = None, head: Any = None) -> bool:
    """Whether the call refuses it, as it may; any other exception goes on."""
    try:
        asked_of(call, body, media_type, head)
    except CallerError:
        return True
    return False


# --- JSON -------------------------------------------------------------------------------------------------------------

JSON_SEEDS = [
    b'{"loss": "mse", "predictions": [1, 2.5, -3e2], "targets": [1, 2, 3]}',
    b'{"loss": {"name": "huber", "delta": 1.5}, "predictions": [[1, 2], [3, 4]], "targets": [[0, 0.5], [1e-3, 4]], '
    b'"mask": [true, false]}',
    b'{"loss": "CrossEntropyLoss", "predictions": [[0.1, 0.9], [0.8, 0.2]], "targets": ["a", "b"], "classes": ["a", "b"]}',
    b'{"loss": "mse", "predictions": [1, null, "NaN"], "targets": [1, "Infinity", 3], "missing": "drop", "outputs": ["value"]}',
    b'{"loss": "zero_one", "predictions": [9007199254740993, 1], "targets": [18446744073709551615, 1]}',
    b'{"loss": {"name": "gaussian_nll"}, "predictions": {"mean": [1, 2], "variance": [1, 2]}, "targets": [[1], [2, 3]]}',
]
JSON_WORDS = [
    b"1",
    b"2.5",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b"-",
    b"+1",
    b"01",
    b"1e400",
    b"1e-400",
    b"5e-324",
    b"9007199254740993",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"[[[1]]]",
    b"[]",
    b"{}",
    b'"a": 1, ',
    b'"predictions": [1], ',
    b'"1"',
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"1.",
    b".5",
    b"-0",
    b"-0.0",
    b"1" * 400,
]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    agree(len({key for key, _ in pairs}) == len(pairs), "a key stands twice and was taken")
    return dict(pairs)


def plain_json(body: bytes) -> dict[str, Any]:
    return json.loads(body.decode("utf-8-sig"), object_pairs_hook=unique, parse_int=whole)


def whole(digits: str) -> int | float:
    """An integer of 64 bits keeps its digits; any other is the nearest double, or infinite."""
    return int(digits) if len(digits) < 25 and -(2**63) <= int(digits) < 2**64 else float(digits)


def try_json(body: bytes) -> str:
    refusing(EVALUATE, body)
    try:
        document = decode(body)
    except CallerError:
        return REFUSED
    expected = plain_json(body)
    agree(equal(document, expected), in_full(document), expected)
    return READ


TABLE_SEEDS = [
    b'{"data": {"columns": ["p", "t"], "index": [0, 1], "data": [[1, 2.5], [3, 4]]}, '
    b'"loss": "mse", "predictions": "p", "targets": "t"}',
    b'{"data": [{"p": 1, "t": 2.5}, {"t": 4, "p": 3}], "loss": "mse", "predictions": "p", "targets": "t"}',
    b'{"data": {"p": [1, 3], "t": [2.5, 4], "y": ["a", "b"]}, "loss": "mse", "predictions": ["p", "t"], "targets": ["t", "p"]}',
    b'{"data": {"p": {"0": 1, "1": 3}, "t": {"0": 2.5, "1": null}}, "loss": "mse", "predictions": "p", "targets": "t"}',
    b'{"data": {"schema": {}, "data": [{"p": 9007199254740993, "t": 1}]}, "loss": "mse", "predictions": "p", "targets": "t"}',
    b'{"data": {"columns": ["p", "t"], "data": [[1, "x"], [null, true]]}, "loss": "mse", "predictions": "p", "targets": "t"}',
]
TRAIN_SEEDS = [
    b'{"data": {"rows": [{"p": 1, "t": 2}, {"p": 2, "t": 3}], "targets": "t"}, "loss": "mse", "model": "linear", "epochs": 1}',
    b'{"data": {"columns": {"p": [1, 2], "t": [3, 4]}, "targets": "t", "inputs": ["p"]}, "loss": "mse", "model": "linear"}',
]
TABLE_WORDS = [
    *JSON_WORDS,
    b'"p"',
    b'"t"',
    b'{"p": 1, "t": 2}, ',
    b'"columns": ["p"], ',
    b'"data": [[1]], ',
    b'"rows": [{"p": 1}], ',
]


def plain_table(data: Any) -> dict[str, list[Any]]:
    """The columns of a table, read from Python's own document."""
    if isinstance(data, dict):
        document = cast(dict[str, Any], data)
        if {"columns", "data"} <= document.keys() <= {"columns", "data", "index"}:
            names: list[Any] = document["columns"]
            return {name_of(name): [row[index] for row in document["data"]] for index, name in enumerate(names)}
        if document.keys() != {"schema", "data"}:
            return {name: [*column.values()] if isinstance(column, dict) else column for name, column in document.items()}
        data = document["data"]
    rows = cast(list[dict[str, Any]], data)
    return {name: [row[name] for row in rows] for name in rows[0]}


def name_of(name: Any) -> str:
    return str(int(name)) if isinstance(name, float) and name.is_integer() and abs(name) < 2**53 else str(name)


def try_table(body: bytes) -> str:
    for call in (EVALUATE, *((TRAIN, COMPARE) if len(body) % 16 == 0 else ())):
        refusing(call, body)
    try:
        data = decode(body).get("data")
        if data is None:
            return REFUSED
        table = tables.table(data)
        columns = table.read(table.names, LIMIT)
    except CallerError:
        return REFUSED
    expected = plain_table(plain_json(body)["data"])
    agree(equal(columns, expected), in_full(columns), expected)
    return READ


# --- npz --------------------------------------------------------------------------------------------------------------


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


NPY_SEEDS = [
    npy(array)
    for array in (
        np.array([1.0, 2.5]),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([1, 2**60]),
        np.array([2**64 - 1], np.uint64),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.asfortranarray(np.arange(4.0).reshape(2, 2)),
        np.array([1, 2], ">i2"),
        np.array([1.0, np.nan, np.inf], np.float16),
        np.array([1j, 2]),
        np.array(["2020-01-01"], "M8[D]"),
        np.array([b"a"]),
    )
]
LAST = ("targets.npy", NPY_SEEDS[0])
NPY_WORDS = [
    b"'<f8'",
    b"'<i8'",
    b"'<U1'",
    b"'|O'",
    b"'|V3'",
    b"True",
    b"False",
    b"(2,)",
    b"(1, 2)",
    b"()",
    b"(0,)",
    b"(-1,)",
    b"(99999999999,)",
    b"\x93NUMPY",
    b"\x01\x00",
    b"\x02\x00",
    b"\x03\x00",
    b"\0" * 8,
    b"\xff" * 8,
    b"{",
    b"}",
    b"'",
    b", ",
    b"__import__('os')",
    b"[('a', '<f8')]",
]


def zipped(rng: random.Random, body: bytes) -> bytes:
    """An array as the predictions of a file, which is torn itself now and then; or one that is right, of any kind."""
    if rng.random() < 0.3:
        body = npy(drawn(rng))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))) as archive:
        for name, array in ((rng.choice(("predictions.npy", "predictions.npy", "predictions", "../a.npy")), body), LAST):
            archive.writestr(zipfile.ZipInfo(name), array, archive.compression)
    packed = bytearray(file.getvalue())
    if rng.random() < 0.3:
        for _ in range(rng.randint(1, 4)):
            packed[rng.randrange(len(packed))] = rng.choice((0, 1, 255, rng.randrange(256)))
    return bytes(packed)


def drawn(rng: random.Random) -> Any:
    """An array of any kind, shape and bits."""
    dtype = np.dtype(rng.choice(("<f8", ">f8", "<f4", "<f2", "<i8", ">i8", "<u8", "<i4", ">u2", "i1", "?", "<f16", "<c8", "V3")))
    shape = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 3)))
    array = np.frombuffer(rng.randbytes(dtype.itemsize * int(np.prod(shape))), dtype).reshape(shape)
    return np.asfortranarray(array) if rng.random() < 0.3 else array


def try_npz(body: bytes) -> str:
    refusing(EVALUATE, body, b"application/x-npz", Asked({"loss": ["mse"]}, rows=False))
    try:
        table = cast(Npz, read_npz(body, Asked({}, rows=False), quick=False).table)
        arrays = table.read(table.names, LIMIT)
    except CallerError:
        return REFUSED
    with np.load(io.BytesIO(body), allow_pickle=False) as theirs:
        for name, found in arrays.items():
            expected = theirs[name]
            if isinstance(found, list):
                agree(found == expected.tolist(), found, expected)
            else:
                whole = found.dtype.kind in "iu"
                agree(found.shape == expected.shape, found, expected)
                agree(
                    bool(np.array_equal(found, expected if whole else expected.astype(np.float64), equal_nan=not whole)),
                    found,
                    expected,
                )
    return READ


DECODERS = (
    Fuzzed("csv", CSV_SEEDS, CSV_WORDS, try_csv),
    Fuzzed("tables", [*TABLE_SEEDS, *TRAIN_SEEDS], TABLE_WORDS, try_table),
    Fuzzed("npz", NPY_SEEDS, NPY_WORDS, try_npz, zipped),
    Fuzzed("json", JSON_SEEDS, JSON_WORDS, try_json),
)
