"""CSV to arrays: what a column holds is what JSON reads of its cells, whichever way the file is read."""

import csv
import io
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput, MalformedTable
from app.wire import csv as reader
from app.wire.csv import BLOCK_BYTES, Csv
from app.wire.json import Slow, decode
from tests.wire.test_json import in_full, same

LIMIT = 2**40

NUMBERS = ["0", "-0", "1", "-7", "0.1", "2.5", "-0.0", "1e5", "1E-7", "1.7976931348623157e308", "5e-324", "9007199254740993"]
EXACT = ["0.30000000000000004", "8.5070591730234615847e37", "179769313486231580793e289", "9007199254740992.5", "1e-400"]
PLAIN = "a,b,c\n1,2.5,-3e2\n4,5,6\n"

# each is the table of PLAIN
AS_PLAIN = {
    "CRLF": "a,b,c\r\n1,2.5,-3e2\r\n4,5,6\r\n",
    "BOM": "\ufeff" + PLAIN,
    "no newline at the end": PLAIN[:-1],
    "newlines at the end": PLAIN + "\n\r\n",
    "spaces": "a, b ,c\n1, 2.5 ,-3e2\n 4,5,6\n",
    "quoted header": '"a","b","c"\n1,2.5,-3e2\n4,5,6\n',
    "quoted cells": 'a,b,c\n"1","2.5",-3e2\n4,"5",6\n',
    "plus, zeros, bare points": "a,b,c\n+1,2.50,-3.E+02\n04,5.,06\n",
    "CR alone": "a,b,c\r1,2.5,-3e2\r4,5,6\r",
    "semicolon": "a;b;c\n1;2.5;-3e2\n4;5;6\n",
    "tab": "a\tb\tc\n1\t2.5\t-3e2\n4\t5\t6\n",
    "commas in quoted names": 'a;b;c;"x,y,z,u,v"\n1;2.5;-3e2;0\n4;5;6;0\n',
    "text beside": 'a,b,c,name\n1,2.5,-3e2,Ann\n4,5,6,"Bob, the\nsecond"\n',
}


def columns(text: str, *names: str, **how: Any) -> dict[str, Any]:
    table = Csv(text.encode(), **how)
    return table.read(names or table.names, LIMIT)


def as_json(cells: list[str]) -> Any:
    return decode(f'{{"column": [{",".join(cells)}]}}'.encode())["column"]


@pytest.mark.parametrize("text", AS_PLAIN.values(), ids=AS_PLAIN)
def test_the_same_table_in_other_dress(text: str) -> None:
    found = columns(text, "a", "b", "c")
    assert {name: column.tolist() for name, column in found.items()} == {"a": [1, 4], "b": [2.5, 5], "c": [-300, 6]}


@pytest.mark.parametrize("text", ["a;b\n1,5;-2\n,5;1e3\n", "a\tb\n1,5\t-2\n0,5\t1e3\n", "b;a\r\n-2;1,5\r\n1e3;0,5\r\n"])
def test_decimal_commas_are_read_where_they_are_announced(text: str) -> None:
    found = columns(text, "a", "b", decimal=",")
    assert (found["a"].tolist(), found["b"].tolist()) == ([1.5, 0.5], [-2, 1000])


def test_a_point_is_no_decimal_point_where_the_comma_is_one() -> None:
    assert columns("a;b\n1.234;2\n5.678;3\n", decimal=",")["a"] == ["1.234", "5.678"]


@pytest.mark.parametrize("numbers", [NUMBERS, EXACT, NUMBERS + EXACT, ["18446744073709551615", "0"], ["18446744073709551616"]])
@pytest.mark.parametrize("beside", ["0", "text"])
def test_a_number_has_the_bits_that_json_gives_it(numbers: list[str], beside: str) -> None:
    """On the fast path, and beside a column of text on the other."""
    text = "x,y\n" + "".join(f"{number},{beside}\n" for number in numbers)
    assert same(columns(text, "x")["x"], as_json(numbers))


def test_random_doubles_have_the_bits_that_json_gives_them() -> None:
    rng = np.random.default_rng(3)
    doubles = rng.integers(0, 2**64, 20_000, dtype=np.uint64).view(np.float64)
    doubles = doubles[np.isfinite(doubles)]
    for beside in ("1", "text"):
        text = "x,y\n" + "".join(f"{number!r},{beside}\n" for number in doubles.tolist())
        assert columns(text, "x")["x"].tobytes() == doubles.tobytes()


def test_what_else_a_cell_says_is_what_json_says_of_it() -> None:
    text = "x,mask,name\n1,TRUE,cat\n,false,dog\nNA,True,1\nInf,0,\n"
    found = columns(text)
    assert in_full(found["x"]) == [1, None, None, np.inf]
    assert in_full(found["mask"]) == [True, False, True, 0]
    assert in_full(found["name"]) == ["cat", "dog", 1, None]
    assert Csv(text.encode()).read(["name"], LIMIT, frozenset(["name"]))["name"] == ["cat", "dog", "1", ""]


def test_one_column_may_have_empty_lines_for_missing_cells() -> None:
    assert in_full(columns("x\n1\n\n3\n")["x"]) == [1, None, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 cells where the header has 2"),
        ("a,b\n1,2\n\n3,4\n", "line 3 has 0 cells"),
        ("a,b\n1,2\n3,4,5\n6\n", "line 3 has 3 cells"),
        ('a,b\n"1\n2",2\n3\n', "line 4 has 1 cells"),
        ("a,b\n1\n2\n", "say another with delimiter="),
        ("a,b\n", "no rows under the header"),
        ("\n1,2\n", "the first line is empty"),
        ("", "the first line is empty"),
        ('a,b\n1,"2\n', "unexpected end of data"),
        ('a,b\n1,"2"3\n', "line 2 is no CSV"),
        ("a,b\n1,\r2\n", "line 3 has 1 cells"),
        ("a,b\r1,2\n", "line 1 is no CSV"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises((MalformedTable, InvalidInput), match=message):
        columns(text)


@pytest.mark.parametrize("body", ["a,b\n1,2\n".encode("utf-16"), "a,ä\n1,2\n".encode("latin-1"), "a\nä\n".encode("latin-1")])
def test_other_encodings_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedTable, match="UTF-"):
        Csv(body).read(["a"], LIMIT)


def test_rows_are_found_across_blocks() -> None:
    """Rows of any length, some longer than a block, each where it belongs."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(30_000, 2))
    padded = [
        f"{a!r},{' ' * (3 * BLOCK_BYTES if index == 7 else index % 5)}{b!r}" for index, (a, b) in enumerate(values.tolist())
    ]
    found = columns("a,b\n" + "\n".join(padded))
    assert np.stack([found["a"], found["b"]], axis=1).tobytes() == values.tobytes()


def test_places_are_lines_whatever_stands_in_quotes() -> None:
    table = Csv(b'a,b\n"x\ny",1\n"z",oops\nw,"1,5"\n')
    assert table.places([(0, "b"), (1, "b"), (2, "b")]) == [
        "line 2, column 'b'",
        "line 4, column 'b': 'oops'",
        "line 5, column 'b': '1,5'; say decimal=, for a decimal comma",
    ]


@pytest.mark.parametrize(("header", "line"), [("a,b", "0.123456789,1"), ("a,name,b,c", "0.123456789,Ann,1,")])
def test_a_million_numbers_take_no_object_each(header: str, line: str) -> None:
    """Beside the arrays themselves there is never more than a few blocks, wherever the body is and whatever stands beside."""
    rows = 200_000
    body = (f"{header}\n" + f"{line}\n" * rows).encode()
    table = Csv(body)
    tracemalloc.start()
    found = table.read(["a", "b"], LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays = sum(column.nbytes for column in found.values())
    assert arrays == rows * 2 * 8
    assert peak < arrays + 16 * BLOCK_BYTES


LONG = 131_073
"""Characters of a cell that are more than csv takes."""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ["", "Bob", '"Bob, the second"', '"two\nlines"', "a\rb", "é", "x" * LONG])
def test_columns_of_numbers_are_the_same_whatever_stands_beside_them(end: str, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell of text is odd, behind some blocks of others; Python's reader is the judge."""
    rows = [[f"{index}.25", f"-{index}", "Ann"] for index in range(100)]
    rows[-3][2] = odd
    for order in ((0, 1, 2), (2, 0, 1), (0, 2, 1)):
        body = "".join(",".join(row[index] for index in order) + end for row in [["p", "t", "n"], *rows]).encode()
        found: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(reader, "BLOCK_BYTES", 512)
            for _ in range(2):
                try:
                    read = Csv(body).read(["p", "t"], LIMIT)
                    found.append({name: column.tobytes() for name, column in read.items()})
                except (MalformedTable, InvalidInput) as error:
                    found.append(str(error))
                patch.setattr(reader, "simdjson", None)
        assert found[0] == found[1]
        assert isinstance(found[0], str) == (odd == "a\rb" or len(odd) == LONG)


def test_text_that_is_not_utf_8_is_refused_beside_numbers_too() -> None:
    with pytest.raises(MalformedTable, match="not UTF-8"):
        Csv(b"p,n\n1,\xff\n" * 3).read(["p"], LIMIT)


def test_cells_that_are_no_plain_numbers_are_read_in_a_small_multiple_of_the_body() -> None:
    body = ("name,b\n" + "ab,\n" * 200_000).encode()
    tracemalloc.start()
    Csv(body).read(["b"], LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * len(body)


def test_who_is_in_a_hurry_is_told_that_text_takes_longer() -> None:
    with pytest.raises(Slow):
        Csv(b"a\n" + b"x\n" * reader.SLOW_BYTES, quick=True).read(["a"], LIMIT)
    assert len(Csv(b"a\n" + b"1\n" * reader.SLOW_BYTES, quick=True).read(["a"], LIMIT)["a"]) == reader.SLOW_BYTES


def test_columns_are_appended_to_the_rows_as_they_are() -> None:
    table = Csv('\ufeffid;"p;q";y\r\n1;0,50;a\r\n2;"1";"b\nc"'.encode(), decimal=",")
    text = b"".join(table.extended({"loss": np.array([0.1, np.inf]), "g;h": np.array([np.nan, -1e-7])})).decode()
    assert text == '\ufeffid;"p;q";y;loss;"g;h"\r\n1;0,50;a;0,1;\r\n2;"1";"b\nc";inf;-1e-07\r\n'


def test_strings_are_written_as_json_has_them() -> None:
    names = ["a", 'b"c', "d\\", "e,f", "ä\u2028", "g\nh"]
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["name"], *[[name] for name in names]])
    assert columns(buffer.getvalue())["name"] == json.loads(json.dumps(names))
