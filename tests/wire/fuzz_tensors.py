"""Messages of the inference protocol bent at random: their tensors have the numbers that the bytes have, or they are refused."""

import json
import random
from contextlib import suppress
from typing import Any

import numpy as np

from app.api.inference_protocol import CALLS, read_message
from app.errors import CallerError
from app.serving.steps import Order, request_of
from tests.wire.fuzz import READ, REFUSED, SETTINGS, Fuzzed, agree

(INFER,) = [call for call in CALLS if call.name == "infer"]
DTYPES = {"FP64": "<f8", "FP32": "<f4", "FP16": "<f2", "INT64": "<i8", "INT32": "<i4", "UINT8": "u1", "BOOL": "?"}


def tensor(name: str, datatype: str, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, **more}


def binary(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    size = int(np.prod(shape)) * np.dtype(DTYPES[datatype]).itemsize
    return tensor(name, datatype, shape, parameters={"binary_data_size": size})


HEADERS: list[dict[str, Any]] = [
    {"inputs": [binary("predictions", "FP64", [3]), binary("targets", "FP64", [3])]},
    {"inputs": [binary("predictions", "FP32", [2, 2]), binary("targets", "FP32", [2, 2])], "parameters": {"delta": 2.0}},
    {"inputs": [tensor("predictions", "FP64", [2], data=[1, 2.5]), tensor("targets", "INT64", [2], data=[1, 0])], "id": "7"},
    {"inputs": [binary("predictions", "FP16", [4]), binary("targets", "UINT8", [4]), binary("mask", "BOOL", [4])]},
    {
        "inputs": [binary("predictions", "FP64", [2]), binary("targets", "INT32", [2])],
        "outputs": [{"name": "gradient", "parameters": {"binary_data": True}}],
    },
]
WORDS = [
    *(
        word.encode()
        for word in [
            "0",
            "1",
            "-1",
            "3",
            "[2]",
            "[0]",
            "[1,2]",
            "1e9",
            "18446744073709551616",
            "null",
            "true",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            "1.5",
        ]
    ),
    *(word.encode() for word in ['"FP64"', '"INT8"', '"BYTES"', '"predictions"', '"targets"', '"labels"', '"data":[1]']),
    *(b'"binary_data_size": 8', b'"reduction": "sum", ', b"\xff", b"\0"),
]


def message(rng: random.Random, header: bytes) -> bytes:
    """A header with its length before it, and bytes after it: mostly as many as it says."""
    size = rng.randrange(64)
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        given = json.loads(header)["inputs"]
        whole = int(sum(tensor.get("parameters", {}).get("binary_data_size", 0) for tensor in given))
        size = whole if rng.random() < 0.9 else size
    numbers = np.frombuffer(rng.randbytes(max(0, min(size, 4096))), np.int8) / 16.0
    tail = numbers.astype(rng.choice(("<f8", "<f4"))).tobytes()[: max(0, size)]
    said = len(header) + rng.choice((0,) * 12 + (1, -1))
    return said.to_bytes(4, "little", signed=True) + header + tail


def attempt(body: bytes) -> str:
    length, content = int.from_bytes(body[:4], "little"), body[4:]
    length = length if length <= len(content) + 1 else len(content)  # one more than there is may be said
    order = Order(INFER.operation, length, {"name": "huber"}, SETTINGS)
    try:
        request_of(content, order, here=False)
    except CallerError:
        refused = True
    else:
        refused = False
    try:
        tensors = read_message(content, length, quick=False).tensors
    except CallerError:
        agree(refused, "taken, and its tensors refused")
        return REFUSED
    header, place = json.loads(content[:length].decode("utf-8-sig")), length
    for given in header["inputs"]:
        found = tensors[given["name"]]
        if given["datatype"] not in DTYPES:
            continue
        dtype = np.dtype(DTYPES[given["datatype"]])
        size = (given.get("parameters") or {}).get("binary_data_size")
        if size is None:
            agree(
                bool(np.array_equal(found.ravel(), np.array(given["data"]).ravel().astype(found.dtype), equal_nan=False)), found
            )
            continue
        expected = np.frombuffer(content[place : place + size], "u1" if dtype == np.bool_ else dtype)
        expected = expected != 0 if dtype == np.bool_ else expected
        place += size
        agree(found.tobytes() == expected.astype(found.dtype).tobytes(), given, found, expected)
        agree(list(found.shape) == given["shape"], given, found.shape)
    return READ


TENSORS = Fuzzed("tensors", [json.dumps(header).encode() for header in HEADERS], WORDS, attempt, message)
