"""Files that are parts of one table: whatever the blocks are, the columns are those of the whole file."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import CallerError
from app.wire import partitions
from app.wire.csv import Csv
from app.wire.exact import LazyList
from app.wire.partitions import Column, blocks


def read(path: Path, form: str, *columns: Column, text: frozenset[Column] = frozenset()) -> list[list[Any]]:
    """The columns of all blocks one after the other, each cell as Python has it."""
    found: list[list[Any]] = [[] for _ in columns]
    for block in blocks(str(path), form, columns, text):
        for column, cells in zip(columns, found, strict=True):
            assert block.first == len(cells)
            part = block.columns[column]
            cells += part.tolist() if isinstance(part, np.ndarray) else part.built() if isinstance(part, LazyList) else part
    return found


@pytest.fixture(params=[4 * 1024 * 1024, 100, 7])
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", request.param)
    return request.param


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f4", "<i8", "u1", "?", "<f2"])
def test_npy_is_read_as_numpy_reads_it(tmp_path: Path, block_bytes: int, order: Any, dtype: str) -> None:
    table = np.asarray(np.random.default_rng(0).integers(0, 2, (50, 3)) * 3.25, dtype, order=order)
    np.save(tmp_path / "a.npy", table)
    assert read(tmp_path / "a.npy", "npy", 2, 0) == [table[:, 2].astype(float).tolist(), table[:, 0].astype(float).tolist()]
    np.save(tmp_path / "b.npy", table[:, 1].copy())
    assert read(tmp_path / "b.npy", "npy", 0) == [table[:, 1].astype(float).tolist()]


def test_large_integers_stay_what_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([2**53 + 1, 5]))
    assert read(tmp_path / "a.npy", "npy", 0) == [[2**53 + 1, 5]]


CSV = {
    "plain": 'p,"y",z\r\n' + "".join(f"{index / 7},{index % 2},x\r\n" for index in range(40)),
    "words": "p,y\n" + "".join(f'{index},"a ""quoted"", one\nof two lines"\n' for index in range(20)),
    "gaps": "p;y\n" + ";\n1;2\nNA;3\n" * 9,
    "blank lines at the end": "p,y\n1,2\n3,4\n\n\n",
    "no newline at the end": "p,y\n1,2\n3,4",
    "one column, some of it missing": "p\n" + "1\n\n\n2\n\n" * 8,
    "a header alone": "p,y\n",
    "a byte order mark": "\ufeffp,y\n1,2\n3,4\n",
}


@pytest.mark.parametrize("name", CSV)
def test_csv_is_read_in_blocks_as_it_is_in_one_piece(tmp_path: Path, block_bytes: int, name: str) -> None:
    content = CSV[name].encode()
    (tmp_path / "a.csv").write_bytes(content)
    names = [column for column in ("p", "y") if column in CSV[name].partition("\n")[0]]
    if name == "a header alone":
        expected: list[list[Any]] = [[], []]
    else:
        whole = Csv(content).read(names, 10**9)
        expected = [part.built() if isinstance(part, LazyList) else [*part] for part in whole.values()]
    np.testing.assert_array_equal(read(tmp_path / "a.csv", "csv", *names), expected)
    np.testing.assert_array_equal(read(tmp_path / "a.csv", "csv", *range(len(names))), expected)


TABLE: Any = pa.table(
    {
        "p": [0.5, None, 1.5, 2.5] * 5,
        "single": pa.array([0.1, 0.2, 0.3, 0.4] * 5, pa.float32()),
        "whole": [1, 2, None, 4] * 5,
        "flag": [True, False, None, True] * 5,
        "word": ["a", "b", "a", "c"] * 5,
        "code": pa.array(["a", "b", "a", "c"] * 5).dictionary_encode(),
        "money": pa.array([Decimal("1.25")] * 20),
        "row": pa.FixedSizeListArray.from_arrays(pa.array([float(number) for number in range(40)]), 2),
        "day": pa.array([0] * 20, pa.date32()),
    }
)


def write(path: Path, form: str) -> None:
    if form == "parquet":
        pq.write_table(TABLE, path, row_group_size=7)
    else:
        with pa.OSFile(str(path), "wb") as file:
            make: Any = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
            with make(file, TABLE.schema) as writer:
                writer.write_table(TABLE, max_chunksize=9)


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrow stream"])
def test_parquet_and_arrow_are_read_in_blocks(tmp_path: Path, block_bytes: int, form: str) -> None:
    path, kind = tmp_path / "a", form.partition(" ")[0]
    write(path, form)
    for name in TABLE.column_names[:-1]:
        expected = TABLE.column(name).to_pylist()
        (found,) = read(path, kind, name)
        if name in ("word", "code"):
            assert found == expected
        else:
            np.testing.assert_array_equal(found, np.array(expected, np.float64))
    assert read(path, kind, 4, 1) == [TABLE.column("word").to_pylist(), TABLE.column("single").to_numpy().astype(float).tolist()]
    for column, message in (
        ("day", "its column 'day' is of date32"),
        ("none", "it has no column 'none'"),
        (9, "it has no column 9"),
    ):
        with pytest.raises(CallerError, match=message):
            read(path, kind, column)
    whole = path.read_bytes()
    for content in (whole[:-20], whole[: len(whole) // 2], b"nothing", b""):
        path.write_bytes(content)
        if form != "arrow stream" or content in (b"nothing", whole[: len(whole) // 2]):  # its end is a mark that may be left out
            with pytest.raises(CallerError, match=r"it is no \w+ file that can be read"):
                read(path, kind, "p")


def test_a_line_that_is_wrong_is_named_by_its_place_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 30)
    (tmp_path / "a.csv").write_text("p,y\n" + "1,2\n" * 98 + "1\n")
    with pytest.raises(CallerError, match="line 100 has 1 cells where the header has 2"):
        read(tmp_path / "a.csv", "csv", "p")


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "whole.npy", np.zeros((100, 2)))
    whole = (tmp_path / "whole.npy").read_bytes()
    cases = {
        "it is no npy file": (b"PK\x03\x04", "npy", 0),
        "it has object of shape": ((tmp_path / "objects.npy").read_bytes(), "npy", 0),
        "it has float64 of shape": ((tmp_path / "cube.npy").read_bytes(), "npy", 0),
        "it is cut off": (whole[:-1], "npy", 0),
        "it has no column 2; the columns of its shape": (whole, "npy", 2),
        "it has no column 'p'; the columns of its shape": (whole, "npy", "p"),
        "it has no column 'q'; the columns are p, y": (b"p,y\n1,2\n", "csv", "q"),
        "it has no column -1": (b"p,y\n1,2\n", "csv", -1),
        "the column 'p' stands twice": (b"p,p\n1,2\n", "csv", "p"),
        "is UTF-16": ("p,y".encode("utf-16"), "csv", "p"),
        "it is empty": (b"", "csv", "p"),
    }
    for message, (content, form, column) in cases.items():
        path.write_bytes(content)
        with pytest.raises(CallerError, match=message):
            read(path, form, column)
    with pytest.raises(CallerError, match="it cannot be read: No such file"):
        read(tmp_path / "none", "npy", 0)


def test_a_quote_that_is_not_closed_is_not_looked_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 100)
    monkeypatch.setattr(partitions, "LONGEST_RECORD", 1000)
    (tmp_path / "a.csv").write_text('p,y\n"1,2\n' + "1,2\n" * 10_000)
    with pytest.raises(CallerError, match="is a quote not closed"):
        read(tmp_path / "a.csv", "csv", "p")
