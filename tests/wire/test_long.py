"""Long texts, whose matrices are read some rows at a time: what Python's own parser reads of them, or the whole path does."""

import json
from typing import Any

import numpy as np
import pytest

from app.wire import long
from app.wire.exact import simdjson
from app.wire.json import decode

pytestmark = pytest.mark.skipif(simdjson is None, reason="Python's own parser takes no pieces")


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on texts that a test can read: everything is long from a few bytes on."""
    monkeypatch.setattr("app.wire.json.LONG_TEXT", 1)
    for name, size in {"LONG_RUN": 12, "PIECE": 16, "BLOCK": 64}.items():
        monkeypatch.setattr(long, name, size)


def matrix(rows: int, columns: int, seed: int = 0) -> list[list[float]]:
    return np.random.default_rng(seed).normal(size=(rows, columns)).round(3).tolist()


def pieces_of(text: str) -> int:
    """How many matrices were read apart."""
    from app.wire.json import _rows_of  # pyright: ignore[reportPrivateUsage]

    rest = long.without_matrices(text.encode(), _rows_of)
    return 0 if rest is None else len(rest.matrices)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("indent", [None, 0, 3])
@pytest.mark.parametrize("shape", [(1, 40), (2, 30), (50, 1), (37, 5), (200, 3)])
def test_matrices_are_those_that_python_reads(shape: tuple[int, int], indent: int | None) -> None:
    document = {"data": {"inputs": matrix(*shape), "targets": matrix(1, shape[0])[0]}, "epochs": 3, "more": matrix(9, 4, 1)}
    text = json.dumps(document, indent=indent)
    assert pieces_of(text) == 2
    assert plain(decode(text.encode())) == document
    assert decode(text.encode())["data"]["inputs"].dtype == np.float64


ROWS = "[[1.5, 2, 3], [4, 5, 6.25], [7, 8, 9]]"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11]]}',
        '{"a": [[1, 2, 3, 4, 5, 6], []]}',
        '{"a": [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]}',
        '{"a": [[1, 2, 3, 4, 5, 6], [7, [8], 9, 10, 11, 12]]}',
        '{"a": [[9007199254740993, 1], [2, 3], [4, 5], [6, 7], [8, 9]]}',
        '{"a": [[1, 2, 3, 4, 5, 6], 7, [8, 9, 10, 11, 12, 13]]}',
        '{"a": [1, 2, 3, 4, [5, 6, 7, 8, 9], 10, 11]}',
        f'{{"a": [{ROWS}, {ROWS}]}}',
        f'{{"a": [{ROWS}, "x"]}}',
        f'{{"a": "\\u0001", "b": {ROWS}}}',
        f'{{"a": "matrix \\u00010", "b": {ROWS}}}',
        f'{{"a": "of {ROWS} rows"}}',
        f'{{"a": "{ROWS}"}}',
        f'{{"a": "\\"{ROWS}\\"", "b": {ROWS}}}',
    ],
)
def test_what_is_no_plain_matrix_is_read_as_ever(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = decode(text.encode())
    monkeypatch.setattr("app.wire.json.LONG_TEXT", len(text) + 1)
    assert str(plain(found)) == str(plain(decode(text.encode()))) or "LazyList" in str(found)
    assert [*found] == [*json.loads(text)]


@pytest.mark.parametrize(
    "text",
    [
        f'{{"a": {ROWS},}}',
        f'{{"a": {ROWS}',
        f'{{"a": {ROWS}]}}',
        '{"a": [[1, 2, 3, 4, 5, 6] [7, 8, 9, 10, 11, 12]]}',
        '{"a": [[1, 2, 3, 4, 5, 6],, [7, 8, 9, 10, 11, 12]]}',
        '{"a": [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12],]}',
        f'{{"a": {ROWS}, "a": {ROWS}}}',
        f'{{"a": 1 {ROWS}}}',
        f"{ROWS}",
    ],
)
def test_what_is_no_json_is_refused_in_the_same_words(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for least in (1, len(text) + 1):
        monkeypatch.setattr("app.wire.json.LONG_TEXT", least)
        with pytest.raises(Exception) as refused:  # noqa: PT011  # whichever it is, twice the same
            decode(text.encode())
        told.append(repr(refused.value))
    assert told[0] == told[1]


def test_any_cut_of_a_text_is_read_as_the_whole_path_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"a": matrix(6, 3), "b": [1, 2], "c": matrix(4, 2, 1)})

    def outcome(bent: str, least: int) -> str:
        monkeypatch.setattr("app.wire.json.LONG_TEXT", least)
        try:
            return str(plain(decode(bent.encode())))
        except Exception as error:
            return repr(error)

    rng = np.random.default_rng(0)
    for _ in range(300):
        place, char = int(rng.integers(len(text))), str(rng.choice([*'[],"{}1.e- \\']))
        bent = text[:place] + char + text[place + int(rng.integers(2)) :]
        assert outcome(bent, 1).partition("LazyList")[0] == outcome(bent, 10_000).partition("LazyList")[0], bent
