"""What a file says of itself is what is read of it, whatever form it has."""

import io
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import CallerError
from app.wire import partitions
from app.wire.outlines import OUTLINES, Outline, outline
from app.wire.partitions import READERS, blocks

LIMIT = 2**20
COLUMNS = {"p": [1.5, -2.0, 3.25], "y": [1.0, 0.0, 2.0]}
ARRAYS: dict[str, Any] = {name: np.array(column) for name, column in COLUMNS.items()}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def saved(write: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _stream(file: Any) -> None:
    table: Any = pa.table(COLUMNS)
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


FORMS: dict[str, tuple[bytes, ...]] = {
    "npy": (saved(lambda file: np.save(file, np.array([*COLUMNS.values()]).T)),),
    "csv": (b"p,y\n1.5,1\n-2,0\n3.25,2\n", b"\xef\xbb\xbfp;y\r\n1.5;1\r\n-2;0\r\n3.25;2"),
    "parquet": (saved(lambda file: pq.write_table(pa.table(COLUMNS), file)),),
    "arrow": (saved(_stream),),
    "json": tuple(
        json.dumps(table).encode()
        for table in (COLUMNS, ROWS, {"columns": [*COLUMNS], "data": [[*row.values()] for row in ROWS]})
    ),
    "npz": (saved(lambda file: np.savez_compressed(file, **ARRAYS)),),
}


def test_every_form_that_is_read_has_its_outline() -> None:
    assert OUTLINES.keys() == READERS.keys() == FORMS.keys()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("block_bytes", [16, 4096])
def test_an_outline_is_of_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, block_bytes: int) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", block_bytes)
    for number, body in enumerate(FORMS[form]):
        path = tmp_path / str(number)
        path.write_bytes(body)
        names = ["0", "1"] if form == "npy" else [*COLUMNS]
        assert outline(path, form, LIMIT) == Outline(names, 3)
        wanted: list[Any] = [1, 0] if form == "npy" else ["y", "p"]
        found = [*blocks(str(path), form, wanted)]
        for column, expected in zip(wanted, (COLUMNS["y"], COLUMNS["p"]), strict=True):
            read = [number for block in found for number in np.asarray(block.columns[column]).tolist()]
            assert read == expected
        assert [block.first for block in found] == [*np.cumsum([0, *(len(block.columns[wanted[0]]) for block in found[:-1])])]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("body", [b"", b"\0", b"[", b"{}", b"nonsense", b"PAR1PAR1", b"\xff" * 100])
def test_what_is_no_table_is_refused(tmp_path: Path, form: str, body: bytes) -> None:
    path = tmp_path / "body"
    path.write_bytes(body)
    with pytest.raises(CallerError):
        outline(path, form, LIMIT)


@pytest.mark.parametrize("form", FORMS)
def test_files_that_are_cut_are_refused_or_shorter(tmp_path: Path, form: str) -> None:
    """And never fail in another way."""
    path, body = tmp_path / "body", FORMS[form][0]
    for end in range(0, len(body), max(1, len(body) // 50)):
        path.write_bytes(body[:end])
        try:
            assert outline(path, form, LIMIT).n_rows <= 3
        except CallerError:
            continue


@pytest.mark.parametrize(
    ("form", "body", "words"),
    [
        ("csv", b"p,y\n", "no rows"),
        ("csv", b"p,y\n1,2\n3\n", "line 3 has 1 cells"),
        ("csv", b"p,y\n1,2\n3,4,5\n", "line 3 has 3 cells"),
        ("json", b'{"p": [1, 2], "y": [1]}', "'y' has 1 rows"),
        ("json", b'{"rows": [{"p": 1}]}', "has objects in it"),
        ("json", b'{"p": []}', "no rows"),
        ("json", b"[1, 2]", "list of row objects"),
        ("json", b'[{"p": 1}, {"q": 1}]', "has not the columns"),
        ("json", b'[{"p": 1},', "no JSON"),
        ("json", b"3", "object of columns"),
        ("json", b'[{"p": 1}], "q": 2', "no JSON: Extra data"),
        ("npz", saved(lambda file: np.savez(file, p=np.zeros(3), y=np.zeros(2))), "'y' has 2 rows"),
        ("npz", saved(lambda file: np.savez(file, p=np.array(1.0))), "no rows"),
        ("npz", saved(lambda file: np.savez_compressed(file, p=np.zeros(2**18))), "unpack to"),
        ("npz", saved(lambda file: np.savez(file, p=np.array([object()]))), "Python objects"),
        ("parquet", saved(lambda file: pq.write_table(pa.table({"p": pa.array([], pa.float64())}), file)), "no rows"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, form: str, body: bytes, words: str) -> None:
    path = tmp_path / "body"
    path.write_bytes(body)
    with pytest.raises(CallerError, match=words):
        outline(path, form, LIMIT)


def test_a_row_of_json_that_is_wrong_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b'[{"p": 1}, {"p": 1}, {"q": 1}]')
    for read in (lambda: outline(path, "json", LIMIT), lambda: [*blocks(str(path), "json", ["p"])]):
        with pytest.raises(CallerError) as found:
            read()
        assert found.value.faults[0].path == (2,)


def test_an_array_for_which_there_is_no_memory_is_none_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(saved(lambda file: np.savez_compressed(file, p=np.zeros(2**25))))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with Path("/proc/self/statm").open() as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**27, limits[1]))
    try:
        with pytest.raises(MemoryError):
            next(blocks(str(path), "npz", ["p"]))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
