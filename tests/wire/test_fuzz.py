"""A share of what `make fuzz` tries: each decoder reads a bent body as Python's own does, or refuses it as the caller's."""

import io
from typing import Literal

import numpy as np
import pytest

from app.api.evaluating import EVALUATE
from app.errors import MalformedTable
from app.wire.npz import Npz
from tests.wire.fuzz import READ, REFUSED, Fuzzed, bent, refusing, tried
from tests.wire.fuzzed import FUZZED

BODIES = 200


@pytest.mark.parametrize("decoder", FUZZED)
def test_bent_bodies_are_read_right_or_refused(decoder: str) -> None:
    counts = tried(FUZZED[decoder], range(BODIES))
    assert counts.keys() == {READ, REFUSED}
    assert min(counts.values()) > BODIES // 20


FOUND = {
    b"\n1,2\n": REFUSED,  # a header without a name divided by nothing
    b"\xef\xbb\xbf\n1": REFUSED,
    b"p\n ": READ,  # a blank cell that stands alone was no number, and no array of none
    b"p\n \n\n\n": READ,
    b"p,t\r\r\n1;2\r3;4\r": READ,  # the second line ending of a header is an empty line
}
"""CSV that once failed, and what is right."""


@pytest.mark.parametrize("body", FOUND)
def test_what_was_found_before(body: bytes) -> None:
    assert FUZZED["csv"].attempt(body) == FOUND[body]


@pytest.mark.parametrize("rows", ['{}, {"p": 3, "t": 4}', '{"p": 3, "t": 4}, {}', "{}, {}"])
def test_a_row_without_cells_is_not_left_out(rows: str) -> None:
    """The first of them was: the others then stood for the whole table."""
    assert FUZZED["tables"].attempt(f'{{"data": [{rows}], "loss": "mse"}}'.encode()) == REFUSED
    assert FUZZED["lines"].attempt(rows.replace("}, {", "}\n{").encode()) == REFUSED


def test_a_file_behind_something_else_is_refused() -> None:
    """As NumPy refuses it: zipfile reads what programs that unpack themselves end with."""
    body = io.BytesIO()
    np.savez(body, predictions=[1.0], targets=[2.0])
    assert FUZZED["npz"].attempt(body.getvalue()) == READ
    assert FUZZED["npz"].attempt(b"PK,(" + body.getvalue()) == REFUSED


def test_a_torn_header_of_an_array_is_refused() -> None:
    """NumPy's own parser of headers raises what is no ValueError."""
    seed = FUZZED["npz"].seeds[0]
    torn = Fuzzed("torn", [seed.replace(b", }", b",  ")], [b""], FUZZED["npz"].attempt, FUZZED["npz"].wrapped)
    assert tried(torn, range(50))[REFUSED] > 10


def test_a_body_follows_from_its_number() -> None:
    for fuzzed in FUZZED.values():
        assert bent(fuzzed, 7) == bent(fuzzed, 7) != bent(fuzzed, 8)


@pytest.mark.parametrize("gap", ["1", "null", '"NaN"'])
def test_an_array_among_numbers_is_ragged(gap: str) -> None:
    """Where the decoder has made an array of it already, beside a gap or in a column by row."""
    inline = f'{{"loss": "mse", "predictions": [{gap}, [[[1]]]], "targets": [1, 2]}}'
    column = f'{{"loss": "mse", "data": {{"p": {{"0": {gap}, "1": [[[1]]]}}, "t": [1, 2]}}, "predictions": "p", "targets": "t"}}'
    for body in (inline, column):
        assert refusing(EVALUATE, body.encode())


@pytest.mark.parametrize("code", [0x110000, 0xD800])
@pytest.mark.parametrize("order", ["<", ">"])
def test_strings_of_no_characters_are_refused(code: int, order: Literal["<", ">"]) -> None:
    codes = np.array([97, code], np.dtype(np.uint32).newbyteorder(order))
    for array in (codes.view(f"{order}U1"), codes.view(f"{order}U2")):
        with pytest.raises(MalformedTable, match="no characters"):
            Npz(zipped(array)).read(["array"], 2**20)
    assert Npz(zipped(np.array(["é", ""], f"{order}U1"))).read(["array"], 2**20)["array"] == ["é", ""]


def zipped(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, array=array)
    return file.getvalue()
