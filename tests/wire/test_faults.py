"""What is wrong with an array: the same words from either parser, in the order of the text, and no more than is read."""

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from app.errors import MAX_FAULTS, Fault, InvalidArray, MalformedDocument
from app.wire import exact, faults
from app.wire import json as documents
from app.wire.exact import BLOCK, LazyList
from app.wire.json import SLOW_BYTES, Slow, decode

needs_simdjson = pytest.mark.skipif(documents.simdjson is None, reason="no simdjson for this Python")


@pytest.fixture(params=["simdjson", "json"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "json":
        monkeypatch.setattr(documents, "simdjson", None)
    elif documents.simdjson is None:
        pytest.skip("no simdjson for this Python")
    return request.param


def faults_of(text: str) -> list[Fault]:
    with pytest.raises(InvalidArray) as caught:
        faults.numbers(decode(f'{{"x": {text}}}'.encode())["x"], ("x",))
    return list(caught.value.faults)


# --- an independent writing of the rules: element by element, everything built ------------------------------------------------


def brackets(path: tuple[int, ...]) -> str:
    return "x" + (f"[{', '.join(map(str, path))}]" if path else "")


def fault(path: tuple[int, ...], code: str, message: str) -> Fault:
    return Fault(("x", *path), code, message)


def strangers(value: Any, path: tuple[int, ...]) -> list[Fault]:
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in strangers(item, (*path, index))]
    if type(value) in (int, float):
        infinite = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        return [] if math.isfinite(value) else [fault(path, "not_finite", f"{brackets(path)} must be finite; got {infinite}")]
    kind = {str: "a string", bool: "a boolean", dict: "an object"}.get(type(value), "null")
    return [fault(path, "not_a_number", f"{brackets(path)} must be a number, not {kind}")]


def ragged(value: Any, path: tuple[int, ...]) -> list[Fault]:
    if not isinstance(value, list):
        return []
    if not value:
        return [fault(path, "empty", f"{brackets(path)} is empty")]
    found: list[Fault] = []
    first = None
    for index, item in enumerate(value):
        inside = ragged(item, (*path, index))
        found += inside
        if inside:
            continue
        shape, where = np.shape(item), brackets((*path, index))
        first = first or (where, shape)
        if shape != first[1]:
            found.append(
                fault(
                    (*path, index),
                    "ragged",
                    f"{where} has shape {shape} where {first[0]} has {first[1]}: rows must be of one length",
                )
            )
    return found


def expected(text: str) -> list[Fault]:
    value = json.loads(text)
    return (strangers(value, ()) or ragged(value, ()))[:MAX_FAULTS]


LONG = 3 * BLOCK + 7
FAULTY = {
    "null at the end of many numbers": "[" + "1," * LONG + "null]",
    "null at the end of many rows": "[" + "[1, 2]," * LONG + "[3, null]]",
    "null in the middle": "[" + "1," * LONG + "null," + "2," * LONG + "3]",
    "a row among many numbers": "[" + "1," * LONG + "[2]," + "1," * LONG + "3]",
    "one row is longer": "[" + "[1, 2]," * LONG + "[1, 2, 3]," + "[1, 2]," * LONG + "[3, 4]]",
    "rows are longer from here on": "[" + "[1]," * BLOCK + "[1, 2]," * LONG + "[3, 4]]",
    "one row is deeper": "[" + "[1, 2]," * LONG + "[1, [2]]," + "[1, 2]," * LONG + "[3, 4]]",
    "long rows of two lengths": "[[" + "1," * LONG + "1], [" + "1," * LONG + "1, 2]]",
    "long rows in two blocks": "[[" + "[1]," * LONG + "[1]], [" + "[1]," * LONG + "[1, 2]]]",
    "empty lists": "[" + "[]," * LONG + "[]]",
    "empty lists, then null": "[" + "[]," * LONG + "null]",
    "empty lists, then a number": "[" + "[]," * 5 + "7]",
    "lists of empty lists": "[" + "[[]]," * LONG + "[[], 1]]",
    "empty objects": "[" + "{}," * LONG + "{}]",
    "strings, then a number": "[" + '"a",' * LONG + "1]",
    "flags": "[" + "true," * LONG + "false]",
    "objects of lists": '[{"a": [1, [2]]}, 3]',
    "NaN at the end": "[" + "1," * LONG + "NaN]",
    "infinities in rows": "[" + "[1, 2]," * LONG + "[Infinity, -Infinity], [1e999, 1]]",
    "more axes than rows": "[[[1, 2], [3, 4]], [[5, 6]], [[[7]]], 8, [[1, 2], [3, 4]]]",
    "nothing": "[]",
    "null": "[null]",
}


@pytest.mark.parametrize("text", FAULTY.values(), ids=list(FAULTY))
def test_what_is_wrong_is_said_element_by_element(text: str, parser: str) -> None:
    assert faults_of(text) == expected(text)


def random_array(rng: np.random.Generator, depth: int) -> Any:
    if depth == 0:
        odd: list[Any] = [None, True, "a", {}, [], [1.0], math.inf]
        return float(rng.integers(9)) if rng.random() < 0.997 else odd[rng.integers(len(odd))]
    length = int(rng.choice([1, 2, 3, 3, 3, BLOCK, BLOCK + 1])) if depth < 3 else int(rng.integers(1, 4))
    rows = (
        [random_array(rng, depth - 1)] * length if rng.random() < 0.6 else [random_array(rng, depth - 1) for _ in range(length)]
    )
    return rows[:-1] if rng.random() < 0.02 else rows


@pytest.mark.parametrize("seed", range(2))
def test_random_arrays_are_refused_element_by_element(seed: int, parser: str) -> None:
    rng = np.random.default_rng([40, seed])
    refused = 0
    for _ in range(120):
        text = json.dumps(random_array(rng, int(rng.integers(1, 4))))
        known = expected(text)
        if known:
            refused += 1
            assert faults_of(text) == known, text
        else:
            assert faults.numbers(decode(f'{{"x": {text}}}'.encode())["x"], ("x",)).tolist() == json.loads(text)
    assert 20 < refused < 110


# --- what is not built --------------------------------------------------------------------------------------------------------


@needs_simdjson
@pytest.mark.parametrize("element", [b"[]", b"{}", b"[[1],[1,2]]", b'{"a":1}', b"null", b"[null]"])
def test_nothing_is_built_of_what_comes_after_the_last_fault(element: bytes) -> None:
    """simdjson takes eight bytes an element to see whether all are numbers; built, the first would take 20 times the body."""
    body = b'{"x": [' + (element + b",") * 50_000 + element + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArray) as caught:
            faults.numbers(decode(body)["x"], ("x",))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(caught.value.faults) == MAX_FAULTS
    assert peak < 5 * len(body) + 100_000


def test_a_list_that_was_left_is_built_where_a_list_is_wanted(parser: str) -> None:
    text = '[1, "a", true, null, {"b": [1, 2]}, [3, 4], ["c"], [5, "d"]]'
    value = decode(f'{{"x": {text}}}'.encode())["x"]
    assert isinstance(value, LazyList)
    built = faults.listed(value)
    assert isinstance(built, list)
    assert built[:4] == [1, "a", True, None]
    assert built[4]["b"].tolist() == [1, 2]
    assert built[5].tolist() == [3, 4]
    assert built[6] == ["c"]
    assert faults.listed(built[7]) == [5, "d"]


def test_names_are_a_list(parser: str) -> None:
    for names in (["a"], ["a", "b"] * LONG):
        assert decode(json.dumps({"x": names, "y": [1, None]}).encode())["x"] == names
        assert faults.tensors(decode(json.dumps({"x": names}).encode())["x"], ("x",)) == names


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '[{"a": 1, "a": 2}]', "[" * 70 + "1" + "]" * 70, '{"a": [1, {"b": 2, "b": 3}]}']
)
def test_a_short_document_is_checked_in_full_whoever_asks(text: str, parser: str) -> None:
    with pytest.raises(MalformedDocument, match=r"twice|deep"):
        decode(f'{{"x": [null, {text}]}}'.encode())


@needs_simdjson
def test_numbers_survive_an_object_of_many_keys() -> None:
    """simdjson writes them out, and Python reads them."""
    rng = np.random.default_rng(41)
    drawn = rng.integers(0, 2**63, size=4000, dtype=np.int64).view(np.float64)
    numbers = [*drawn[np.isfinite(drawn)].tolist(), -0.0, 5e-324, 2**63, -(2**63), 2**64 - 1]
    body = json.dumps({str(index): number for index, number in enumerate(numbers)}).encode()
    read = exact.document(exact.parse(body))
    assert [repr(number) for number in read.values()] == [repr(number) for number in numbers]


# --- a loop that must not wait --------------------------------------------------------------------------------------------------


def padded(text: str, size: int) -> bytes:
    return text.encode() + b" " * (size - len(text))


@needs_simdjson
def test_a_long_body_that_takes_the_exact_path_is_slow() -> None:
    plain, faulty = '{"x": [1, 2]}', '{"x": [1, null]}'
    assert decode(padded(plain, SLOW_BYTES + 1), quick=True)["x"].tolist() == [1, 2]
    assert isinstance(decode(padded(faulty, SLOW_BYTES), quick=True)["x"], LazyList)
    assert isinstance(decode(padded(faulty, SLOW_BYTES + 1))["x"], LazyList)
    for text in (faulty, "[1, 2]", "{", '{"x": NaN}'):
        with pytest.raises(Slow):
            decode(padded(text, SLOW_BYTES + 1), quick=True)


def test_without_the_fast_parser_every_long_body_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "simdjson", None)
    assert decode(padded('{"x": [1]}', SLOW_BYTES), quick=True)["x"].tolist() == [1]
    with pytest.raises(Slow):
        decode(padded('{"x": [1]}', SLOW_BYTES + 1), quick=True)
