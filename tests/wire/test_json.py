"""JSON to arrays and back: the fast path says yes to nothing that the exact path reads differently, to the last bit."""

import json
import math
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import MalformedDocument
from app.wire import exact as exact_path
from app.wire import json as arrays
from app.wire.exact import MAX_DEPTH, MAX_KEYS, SATURATED, LazyList
from app.wire.json import decode, encode
from tests.folding import in_turn

needs_simdjson = pytest.mark.skipif(arrays.simdjson is None, reason="no simdjson for this Python: there is no fast path")


def fast(body: bytes) -> dict[str, Any] | None:
    return arrays._decode_fast(body)


def exact(body: bytes) -> dict[str, Any] | None:
    """What the exact path reads from Python's parser, built in full; None where it refuses."""
    try:
        return in_full(exact_path.document(exact_path.load(body)))
    except MalformedDocument:
        return None


def lazy(body: bytes) -> dict[str, Any] | None:
    """What the exact path reads from simdjson's parser, built in full; None where either refuses."""
    try:
        return in_full(exact_path.document(exact_path.parse(body)))
    except (MalformedDocument, ValueError, RuntimeError):
        return None


def in_full(value: Any) -> Any:
    """The value with every list built that was left where it stood."""
    if isinstance(value, dict):
        return {key: in_full(item) for key, item in cast(dict[str, Any], value).items()}
    return [in_full(item) for item in value.built()] if isinstance(value, LazyList) else value


def same(one: object, other: object) -> bool:
    """Equal in types, order of keys, shapes and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        left, right = cast(NDArray[Any], one), cast(NDArray[Any], other)
        return (
            left.dtype == right.dtype in (np.float64, np.int64, np.uint64)
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
        )
    if isinstance(one, dict):
        left, right = cast(dict[str, Any], one), cast(dict[str, Any], other)
        return [*left] == [*right] and all(same(left[key], right[key]) for key in left)
    if isinstance(one, list):
        left, right = cast(list[Any], one), cast(list[Any], other)
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(one, float):
        return one.hex() == cast(float, other).hex()
    return one == other


def test_same_tells_apart() -> None:
    assert same({"a": [1, "x", np.array([1.0])]}, {"a": [1, "x", np.array([1.0])]})
    for one, other in [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.array([0.0]), np.array([-0.0])),
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(1), [0.0]),
        ([1], [1, 2]),
        (np.zeros(1), np.zeros(1, np.float32)),
        (np.zeros(1), np.zeros(1, np.int64)),
        (np.zeros(1, np.uint64), np.zeros(1, np.int64)),
    ]:
        assert not same(one, other)


# --- what the fast path takes ---------------------------------------------------------------------------------------------

CLEAN = {
    "a request": '{"loss": {"name": "huber", "delta": 1.5}, "predictions": [2.5, 0.0, 8.0], "targets": [3, -1, 2]}',
    "an array": '{"a": [1, 2.5, -3e-7]}',
    "one number": '{"a": [7]}',
    "rows": '{"a": [[1, 2], [3, 4], [5, 6]]}',
    "a column": '{"a": [[1], [2], [3]]}',
    "one row": '{"a": [[1, 2, 3]]}',
    "boxes": '{"a": [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]}',
    "four axes": '{"a": [[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]]}',
    "integers and floats": '{"a": [1, 2.0, 3]}',
    "rows of integers, then of floats": '{"a": [[1, 2], [0.5, 0.25]]}',
    "named arrays": '{"predictions": {"mean": [1, 2], "variance": [0.5, 0.25]}}',
    "words and flags": '{"classes": ["cat", "dog"], "mask": [true, false], "reduction": "mean", "flag": true, "nothing": null}',
    "tensors": '{"inputs": [{"name": "x", "shape": [2], "data": [1, 2]}, {"name": "y", "shape": [1, 2], "data": [[3, 4]]}]}',
    "nothing in it": "{}",
    "an empty list": '{"a": []}',
    "an empty object": '{"a": {}}',
    "white space": ' {\t"a" :\r\n[ 1 , 2 ] } \n',
    "signed zeros": '{"a": [0.0, -0.0, 0, 0e5, -0.0e-5]}',
    "the ends of the doubles": '{"a": [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308]}',
    "many digits": '{"a": [0.1000000000000000055511151231257827021181583404541015625, 9007199254740993, 3.14159265358979323846]}',
    "halfway cases": '{"a": [9007199254740993.0, 1.00000000000000011102230246251565, 2.2250738585072011e-308]}',
    "integers of 64 bits": '{"a": [9223372036854775807, -9223372036854775808, 9223372036854775808, 18446744073709551615]}',
    "scalars": '{"a": 1, "b": -0, "c": 1.5, "d": -0.0, "e": 18446744073709551615, "f": 1e3}',
    "text beyond ASCII": '{"größe": ["σ", "\\u03c3", "\\ud83d\\ude00"]}',
    "escapes": '{"a\\n": "\\"\\\\\\/\\b\\f\\t\\u0000"}',
}


@needs_simdjson
@pytest.mark.parametrize("text", CLEAN.values(), ids=list(CLEAN))
def test_fast_path_takes_clean_documents_as_they_are(text: str) -> None:
    taken = fast(text.encode())
    assert taken is not None
    assert same(taken, exact(text.encode()))


@needs_simdjson
def test_fast_path_reads_what_python_reads() -> None:
    text = '{"a": [[1, 2.5], [3, -4e2]], "b": [5], "c": {"d": [[[1]], [[2]]]}, "e": ["x"], "f": 1, "g": []}'
    taken = fast(text.encode())
    assert taken is not None
    plain = json.loads(text)
    assert taken["a"].tolist() == plain["a"]
    assert taken["b"].tolist() == plain["b"]
    assert taken["c"]["d"].tolist() == plain["c"]["d"]
    assert [taken[key] for key in "efg"] == [plain[key] for key in "efg"]


@pytest.mark.parametrize("last", ["4", "9007199254740993"])
def test_arrays_are_of_64_bits_contiguous_and_writable(last: str) -> None:
    body = f'{{"a": [[1, 2], [3, {last}]]}}'.encode()
    for decoded in (decode(body), exact(body)):
        assert decoded is not None
        array = decoded["a"]
        assert array.dtype == (np.float64 if last == "4" else np.int64)
        assert array.shape == (2, 2)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.aligned


INTEGERS = {
    "small ones": ("[0, -1, 2]", np.float64),
    "below 2**53": ("[9007199254740991, -9007199254740991]", np.float64),
    "2**53": ("[9007199254740992]", np.int64),
    "beyond 2**53": ("[9007199254740993, -9007199254740993, 9007199254740992]", np.int64),
    "the ends of int64": ("[9223372036854775807, -9223372036854775808]", np.int64),
    "beyond int64": ("[1, 9223372036854775808, 18446744073709551615]", np.uint64),
    "rows": ("[[1, 9007199254740993], [3, 4]]", np.int64),
    "four axes": ("[[[[9007199254740993]], [[2]]]]", np.int64),
    "for which no type is": ("[-1, 18446744073709551615]", np.float64),
    "too long": ("[1, 18446744073709551616]", np.float64),
    "with a point": ("[9007199254740993, 2.0]", np.float64),
    "with an exponent": ("[9007199254740993, 2e0]", np.float64),
    "rows, one with a point": ("[[9007199254740993, 1], [2, 0.5]]", np.float64),
    "beyond int64, with a point": ("[1, 18446744073709551615, 0.5]", np.float64),
    "far beyond, with a point": ("[1, 1e308, 0.5]", np.float64),
    "a point first": ("[0.5, 9007199254740993]", np.float64),
}


@pytest.mark.parametrize(("text", "dtype"), INTEGERS.values(), ids=list(INTEGERS))
def test_an_array_of_integers_keeps_their_digits(text: str, dtype: type[np.number[Any]]) -> None:
    body = f'{{"a": {text}}}'.encode()
    for decoded in (decode(body), exact(body), lazy(body) if arrays.simdjson else None):
        if decoded is not None:  # simdjson reads no integer that is too long
            assert decoded["a"].dtype == dtype
            assert decoded["a"].tolist() == np.array(json.loads(text), dtype).tolist()


# --- what it must leave to the exact path, or read as that does ---------------------------------------------------------------

NUMBERS = {
    "ragged": "[[1, 2], [3]]",
    "ragged the other way": "[[1], [2, 3]]",
    "ragged with the right total": "[[1, 2, 3], [4], [5, 6]]",
    "ragged deep down": "[[[1, 2], [3, 4]], [[5, 6], [7]]]",
    "ragged in the middle": "[[[1, 2], [3, 4]], [[5, 6]]]",
    "ragged, rows that agree in length": "[[[1], [2, 3]], [[4, 5], [6]]]",
    "a number, then a row": "[1, [2]]",
    "a row, then a number": "[[1], 2]",
    "one row is deeper": "[[[1]], [2, [3]]]",
    "one row is deeper, lengths agree": "[[1, [2]], [3, 4]]",
    "the last row is deeper, lengths agree": "[[1, 2], [3, [4]]]",
    "a deeper row of one": "[[1], [[2]]]",
    "a deeper row first": "[[[1]], [2]]",
    "deeper in the third axis": "[[[1, 2]], [[3, [4]]]]",
    "deeper by two": "[[1, 2], [[[3]], 4]]",
    "an empty row": "[[]]",
    "an empty row first": "[[], [1]]",
    "an empty row last": "[[1], []]",
    "an empty row among numbers": "[1, []]",
    "empty rows": "[[], []]",
    "an empty row deep down": "[[[1]], [[]]]",
    "a boolean among numbers": "[1, true]",
    "a boolean first": "[false, 1]",
    "a boolean in a row": "[[1, 2], [3, true]]",
    "null among numbers": "[1, null]",
    "null first": "[null, 1]",
    "null in a row": "[[1], [null]]",
    "only null": "[null]",
    "a string among numbers": '[1, "2"]',
    "a string first": '["1", 2]',
    "an object among numbers": "[1, {}]",
    "an object first": "[{}, 1]",
    "a row among strings": '["a", [1, 2]]',
    "rows of strings": '[["a", "b"], ["c", "d"]]',
    "rows of flags": "[[true, false], [false, true]]",
    "rows of rows of strings": '[[["a"]], [["b"]]]',
    "rows of mixed types": '[[1, 2], ["a", "b"]]',
    "lists of objects with arrays": '[{"a": [1, 2]}, {"b": [[3]]}]',
    "a number beside objects": '[{"a": [1]}, 2]',
    "2**53 + 1": "[9007199254740993]",
    "2**63": "[9223372036854775808]",
    "−2**63 − 1": "[-9223372036854775809]",
    "2**64 − 1": "[18446744073709551615]",
    "2**64": "[18446744073709551616]",
    "2**64 in a row": "[[1, 2], [3, 18446744073709551616]]",
    "10**400": f"[1{'0' * 400}]",
    "−10**400": f"[-1{'0' * 400}]",
    "10**300": f"[1{'0' * 300}]",
    "10**308 in digits": f"[1{'0' * 308}]",
    "10**5000": f"[1{'0' * 5000}]",
    "400 zeros and a point": f"[0.{'0' * 400}1]",
    "−0": "[-0]",
    "−0 beside a float": "[-0, 0.5]",
    "−0.0": "[-0.0]",
    "1e400": "[1e400]",
    "−1e400": "[-1e400]",
    "1e-400": "[1e-400]",
    "−1e-400": "[-1e-400]",
    "5e-324": "[5e-324]",
    "2e-324": "[2e-324]",
    "the largest double and half a unit": "[1.7976931348623158079372897140530341507993e308]",
    "800 digits": f"[1.{'1' * 800}]",
    "exponent with 20 digits": "[1e-99999999999999999999]",
    "zero with a large exponent": "[0e999999999999]",
    "NaN": "[NaN]",
    "Infinity": "[1, Infinity]",
    "−Infinity": "[-Infinity]",
    "a leading zero": "[01]",
    "a leading plus": "[+1]",
    "a bare point": "[1.]",
    "no digit before the point": "[.5]",
    "hexadecimal": "[0x10]",
    "an underscore": "[1_000]",
    "a trailing comma": "[1, 2,]",
    "a trailing comma in a row": "[[1, 2,], [3, 4]]",
    "no comma": "[1 2]",
    "a comma too many": "[1,, 2]",
    "one bracket missing": "[[1, 2]",
    "one bracket too many": "[1, 2]]",
    "the wrong bracket": "[1, 2}",
    "a comment": "[1 /* one */]",
    "a string with brackets": '"[[1, 2], [3]]"',
    "strings with brackets": '["[", "]", "[["]',
    "a string with escaped brackets": '"\\u005b\\u005B \\\\[ \\"["',
    "half of a pair": '"\\ud800"',
    "the other half": '["\\udc00"]',
    "halves in the wrong order": '"\\udc00\\ud800"',
    "an unknown escape": '"\\x41"',
    "a tab in a string": '"a\tb"',
    "a NUL in a string": '"a\\u0000b"',
    "a string of NUL": '"\0"',
    "no-break space": "[1,\u00a02]",
    "line separator": "[1,\u20282]",
    "form feed": "[1,\f2]",
}


@needs_simdjson
@pytest.mark.parametrize(
    "around",
    ['{"a": %s}', '{"a": [1, 2], "b": %s, "c": [[3]]}', '{"a": {"b": %s}}', '{"a": [{"b": %s}]}', '{"a": "[", "b": %s}'],
    ids=["alone", "among others", "in an object", "in a list", "beside a bracket in a string"],
)
@in_turn("text", NUMBERS.values(), ids=list(NUMBERS))
def test_fast_path_never_says_yes_to_what_is_read_differently(text: str, around: str) -> None:
    body = (around % text).encode()
    for taken in (fast(body), lazy(body)):
        assert taken is None or same(taken, exact(body))


DOCUMENTS = {
    "nothing": b"",
    "white space": b" \n",
    "a list": b"[1, 2]",
    "a list of objects": b'[{"a": [1]}]',
    "a number": b"1",
    "a string": b'"a"',
    "null": b"null",
    "two documents": b'{"a": [1]} {"a": [2]}',
    "two documents, no space": b'{"a": [1]}{"a": [2]}',
    "garbage behind": b'{"a": [1]} x',
    "a bracket behind": b'{"a": [1]}]',
    "a comma behind": b'{"a": [1]},',
    "NUL behind": b'{"a": [1]}\0',
    "NULs behind": b'{"a": [1]}' + bytes(64),
    "NUL before": b'\0{"a": [1]}',
    "a byte order mark": b'\xef\xbb\xbf{"a": [1]}',
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"a": [1]}',
    "a byte order mark within": b'{\xef\xbb\xbf"a": [1]}',
    "a byte order mark of UTF-16": b"\xff\xfe" + '{"a": [1]}'.encode("utf-16-le"),
    "UTF-16 without a mark": '{"a": [1]}'.encode("utf-16-le"),
    "UTF-32": '{"a": [1]}'.encode("utf-32"),
    "Latin-1": '{"größe": [1]}'.encode("latin-1"),
    "a byte of UTF-8 alone": b'{"a": "\xc3"}',
    "an overlong slash": b'{"a": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "beyond Unicode": b'{"a": "\xf4\x90\x80\x80"}',
    "a key twice": b'{"a": [1], "a": [2]}',
    "a key twice, written differently": b'{"a": [1], "\\u0061": [2]}',
    "a key twice in an object": b'{"a": {"b": 1, "b": 1}}',
    "a key twice in a list": b'{"a": [{"b": 1, "b": 2}]}',
    "a key twice, deep down": b'{"a": {"b": [{"c": {"d": [1], "d": [1]}}]}}',
    "the empty key": b'{"": [1]}',
    "the empty key twice": b'{"": [1], "": [2]}',
    "a key with a slash": b'{"a/b": [1], "~0": [2], "a~1b": [3]}',
    "a key with NUL": b'{"a\\u0000b": [1], "a": [2]}',
    "keys that differ behind NUL": b'{"a\\u0000b": [1], "a\\u0000c": [2]}',
    "a key that is half of a pair": b'{"\\ud800": [1]}',
    "keys in bars": b'{"[": [1], "]": [2]}',
    "a key that is a number": b'{"0": [1], "1": [2]}',
    "a key without quotes": b"{a: [1]}",
    "single quotes": b"{'a': [1]}",
    "a key alone": b'{"a"}',
    "a trailing comma": b'{"a": [1],}',
    "only brackets": b"[" * 1000,
    "a bracket in a key makes up for a deeper row": b'{"[": [[1, [2]], [3, 4]]}',
}


@needs_simdjson
@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_fast_path_agrees_about_documents(body: bytes) -> None:
    for taken in (fast(body), lazy(body)):
        assert taken is None or same(taken, exact(body))


@needs_simdjson
@pytest.mark.parametrize(
    ("opening", "innermost", "closing"),
    [
        ("[", "[]", "]"),
        ("[", "1", "]"),
        ('{"a":', "{}", "}"),
        ('{"a":[', "1", "]}"),
        ('[{"a":', "[1]", "}]"),
    ],
)
def test_fast_path_agrees_about_depth(opening: str, innermost: str, closing: str) -> None:
    read: list[bool] = []
    for depth in (*range(MAX_DEPTH // 2 - 3, MAX_DEPTH // 2 + 4), *range(MAX_DEPTH - 3, MAX_DEPTH + 4)):
        body = f'{{"a": {opening * depth}{innermost}{closing * depth}}}'.encode()
        for taken in (fast(body), lazy(body)):
            assert taken is None or same(taken, exact(body))
        read.append(exact(body) is not None)
    assert read == sorted(read, reverse=True)
    assert read[0]
    assert not read[-1]


# --- random documents ---------------------------------------------------------------------------------------------------------


def random_number(rng: np.random.Generator) -> str:
    kind = rng.integers(8)
    if kind == 0:
        return str(int(rng.integers(-9, 10)))
    if kind == 1:
        return str(int(rng.integers(-(2**62), 2**62)) * int(rng.integers(1, 40)))
    if kind == 2:
        return f"{rng.integers(10**15)}.{rng.integers(10**15)}e{rng.integers(-330, 300)}"
    if kind == 3:
        return ("-" if rng.integers(2) else "") + str(rng.choice(["0", "0.0", "1E5", "1e+5", "0e0", "4.9e-324", "1e308"]))
    bits = rng.integers(0, 2**63, dtype=np.int64)
    double = float(np.int64(bits).view(np.float64))
    return repr(double) if math.isfinite(double) else repr(float(rng.normal()))


def random_array(rng: np.random.Generator, shape: tuple[int, ...]) -> str:
    if not shape:
        return random_number(rng)
    return "[" + ",".join(random_array(rng, shape[1:]) for _ in range(shape[0])) + "]"


def random_value(rng: np.random.Generator, depth: int = 0) -> str:
    kind = rng.integers(7 if depth < 3 else 4)
    if kind in (0, 1):
        return random_array(rng, tuple(int(length) for length in rng.integers(1, 5, size=rng.integers(1, 5))))
    if kind == 2:
        return str(rng.choice(["true", "false", "null", '"[x]"', '"\\"["', "[]", "{}", '""', '["a","b"]', "[true,false]"]))
    if kind == 3:
        return random_number(rng)
    if kind == 4:
        return "[" + ",".join(random_value(rng, depth + 1) for _ in range(rng.integers(4))) + "]"
    return random_object(rng, depth)


def random_object(rng: np.random.Generator, depth: int = 0) -> str:
    keys = [str(rng.choice(["a", "b", "[", "\\u0061", "é", "c", "d", "e"])) for _ in range(rng.integers(5))]
    return "{" + ", ".join(f'"{key}": {random_value(rng, depth + 1)}' for key in keys) + "}"


def mutated(rng: np.random.Generator, text: str) -> str:
    """The text with a character or two removed, doubled or exchanged."""
    characters = list(text)
    for _ in range(rng.integers(1, 3)):
        place = int(rng.integers(len(characters)))
        characters[place : place + 1] = [[], [characters[place]] * 2, [str(rng.choice([*'[]{},:"0.-e1t ']))]][rng.integers(3)]
        characters = characters or ["{"]
    return "".join(characters)


@needs_simdjson
@pytest.mark.parametrize("seed", range(8))
def test_fast_path_agrees_on_random_documents(seed: int) -> None:
    rng = np.random.default_rng([20, seed])
    yes = 0
    for _ in range(250):
        text = random_object(rng)
        for body in (text.encode(), mutated(rng, text).encode(), mutated(rng, text).encode()):
            expected = exact(body)
            for taken in (fast(body), lazy(body)):
                yes += taken is not None
                assert taken is None or same(taken, expected), body
    assert yes > 160


@needs_simdjson
@pytest.mark.parametrize("shape", [(5000,), (500, 7), (60, 5, 4), (9, 8, 7, 3)])
def test_large_arrays_come_back_to_the_bit_on_the_fast_path(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    array = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300, size=shape)
    taken = fast(encode({"a": array}))
    assert taken is not None
    assert same(taken["a"], array)


@needs_simdjson
def test_more_elements_than_the_parser_counts() -> None:
    size = SATURATED + 10
    taken = fast(b'{"a": [' + b"1," * (size - 1) + b"2]}")
    assert taken is not None
    assert taken["a"].shape == (size,)
    assert taken["a"][-1] == 2


@needs_simdjson
@pytest.mark.parametrize("keys", [MAX_KEYS, MAX_KEYS + 1, 20_000])
def test_an_object_of_many_keys_is_not_searched_key_by_key(keys: int) -> None:
    body = encode({"a": {f"key {number}": [number] for number in range(keys)}})
    taken = fast(body)
    assert (taken is not None) == (keys <= MAX_KEYS)
    read = exact(body)
    assert read is not None
    assert same(decode(body), read)
    assert same(lazy(body), read)
    assert list(read["a"]) == [f"key {number}" for number in range(keys)]


def test_without_the_fast_parser_the_exact_path_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = decode(CLEAN["a request"].encode())
    monkeypatch.setattr(arrays, "simdjson", None)
    assert same(decode(CLEAN["a request"].encode()), with_it)


@pytest.mark.parametrize("body", [b'{"a": [[1, 2], [3, 4]], "b": "x"}', b'{"a": [1, "x"]}', b'{"a": [[1], [2, 3]]}'])
def test_a_view_is_read_like_bytes(body: bytes) -> None:
    around = memoryview(b"[[" + body + b"]]")[2:-2]
    assert same(in_full(decode(around)), in_full(decode(body)))


# --- encode -------------------------------------------------------------------------------------------------------------------


def test_numbers_come_back_from_the_shortest_digits() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 2**63, size=20_000, dtype=np.int64).view(np.float64)
    array = np.concatenate((drawn[np.isfinite(drawn)], [0.1, 1e22, 1e23, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, 0.0, -0.0]))
    text = encode(array).decode()
    assert np.array(json.loads(text)).tobytes() == array.tobytes()
    for token, number in zip(text.strip("[]").split(","), array.tolist(), strict=True):
        digits, shortest = (text.partition("e")[0].replace(".", "").lstrip("-0").rstrip("0") for text in (token, repr(number)))
        assert len(digits) <= len(shortest), (token, number)


def test_what_is_not_finite_is_null() -> None:
    array = np.array([1.0, np.nan, np.inf, -np.inf])
    assert encode({"a": array, "b": math.nan, "c": np.float64(math.inf)}) == b'{"a":[1.0,null,null,null],"b":null,"c":null}'


def test_single_precision_has_its_own_shortest_digits() -> None:
    array = np.array([0.1, 1 / 3, 16777217.0, 1e-45, 3.4e38], dtype=np.float32)
    text = encode(array)
    assert text.startswith(b"[0.1,0.33333334,")
    assert np.array(json.loads(text), dtype=np.float32).tobytes() == array.tobytes()


ROWS = np.arange(24.0).reshape(2, 3, 4)
LAYOUTS: dict[str, NDArray[Any]] = {
    "0-d": np.array(1.5),
    "0-d integer": np.array(3),
    "0-d, not finite": np.array(math.nan),
    "empty": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
    "Fortran order": np.asfortranarray(ROWS),
    "transposed": ROWS.T,
    "every other": ROWS[:, ::2],
    "backwards": np.arange(5.0)[::-1],
    "a column": ROWS[:, 1, 2],
    "the same number": np.broadcast_to(np.float64(2.0), (3, 2)),
    "read-only": np.frombuffer(np.arange(3.0).tobytes()),
    "not aligned": np.frombuffer(b"x" + np.arange(3.0).tobytes(), dtype=np.float64, offset=1),
    "half precision": np.array([0.5, 65504.0], dtype=np.float16),
    "Fortran order, single precision": np.asfortranarray(ROWS.astype(np.float32)),
    "flags": np.array([True, False]),
    "integers": np.array([[1, 2], [3, 4]]),
}


@pytest.mark.parametrize("array", LAYOUTS.values(), ids=list(LAYOUTS))
def test_every_layout_is_written(array: NDArray[Any]) -> None:
    expected = None if array.ndim == 0 and not np.isfinite(array) else array.tolist()
    assert json.loads(encode({"a": array})) == {"a": expected}


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({"a": object()})


@needs_simdjson
def test_parser_serves_again_after_a_body_that_it_refused() -> None:
    for refused in (b'{"a": [1, 2', b'{"a": [[1, 2], [3]]}', b'{"a": [1, true]}', b"[1]", b'{"a": 1, "a": 2}'):
        assert arrays._decode_fast(refused) is None
        assert arrays._decode_fast(b'{"a": [1, 2]}') is not None
