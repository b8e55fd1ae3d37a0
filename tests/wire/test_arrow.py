"""Arrow that says of itself what is not so: pyarrow reads whatever lies in memory there, unless it is asked to look first."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from app.errors import CallerError
from app.wire.arrow import Stream, outline_of_arrow

ROWS = 12_345


def streamed(*batches: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file.getvalue()


def longer(body: bytes, rows: int) -> bytes:
    """The same, which says of every length that it is another."""
    return body.replace(struct.pack("<q", ROWS), struct.pack("<q", rows))


NUMBERS: Any = pa.record_batch({"p": np.arange(float(ROWS))})
FLAGS: Any = pa.record_batch({"p": pa.array([True] * ROWS)})
MISSING: Any = pa.record_batch({"p": pa.array([1.0, None, *[2.0] * (ROWS - 2)])})
NOTHING: Any = pa.record_batch({"p": pa.nulls(ROWS)})
WORDS: Any = pa.record_batch({"p": pa.array(["abc"] * 3)})
CODES: Any = pa.record_batch({"p": pa.array(["a", "b", "a", "b"]).dictionary_encode()})
PAIRS: Any = pa.record_batch({"p": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * ROWS)), 2)})
LIES = {
    "a row too many": longer(streamed(NUMBERS), ROWS + 1),
    "a million rows too many": longer(streamed(NUMBERS), ROWS + 10**6),
    "rows without end": longer(streamed(NUMBERS), 2**62),
    "fewer than none": longer(streamed(NUMBERS), -1),
    "flags": longer(streamed(FLAGS), ROWS + 10**6),
    "where numbers are missing": longer(streamed(MISSING), ROWS + 10**6),
    "nothing, without end": longer(streamed(NOTHING), 2**62),
    "rows of two": longer(streamed(PAIRS), ROWS + 10**6),
    "a word that is longer": streamed(WORDS).replace(struct.pack("<4i", 0, 3, 6, 9), struct.pack("<4i", 0, 3, 6, 10**9)),
    "a word that ends before it begins": streamed(WORDS).replace(struct.pack("<4i", 0, 3, 6, 9), struct.pack("<4i", 0, 3, -6, 9)),
    "a word that is none": streamed(WORDS).replace(b"abcabcabc", b"abc\xff\xfe\xfdabc"),
    "a code of no word": streamed(CODES).replace(struct.pack("<4i", 0, 1, 0, 1), struct.pack("<4i", 0, 1, 0, 10**8)),
    "a code below none": streamed(CODES).replace(struct.pack("<4i", 0, 1, 0, 1), struct.pack("<4i", 0, 1, 0, -(10**8))),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_not_there_is_not_read(lie: str) -> None:
    rows = Stream(io.BufferedReader(io.BytesIO(LIES[lie])), lambda columns: 1_000_000)
    with pytest.raises(CallerError, match=r"it is no Arrow stream that can be read|has no value"):
        next(rows.blocks(rows.names))


@pytest.mark.parametrize("lie", LIES)
def test_nor_is_it_kept(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(LIES[lie])
    with path.open("rb") as file, pytest.raises(CallerError, match=r"it is no Arrow file that can be read|has no value"):
        outline_of_arrow(file)[1]()


@pytest.mark.parametrize("packed", ["lz4", "zstd"])
def test_nor_where_it_was_packed(packed: str) -> None:
    body = longer(streamed(NUMBERS, compression=packed), ROWS + 10**6)
    rows = Stream(io.BufferedReader(io.BytesIO(body)), lambda columns: 1_000_000)
    with pytest.raises(CallerError, match="it is no Arrow stream that can be read"):
        next(rows.blocks(rows.names))


@pytest.mark.parametrize("batch", [NUMBERS, FLAGS, MISSING, WORDS, CODES, PAIRS], ids=str)
def test_what_is_so_is_read(batch: Any) -> None:
    rows = Stream(io.BufferedReader(io.BytesIO(streamed(batch, batch))), lambda columns: 1000)
    assert sum(len(block.columns["p"]) for block in rows.blocks(rows.names)) == 2 * batch.num_rows
