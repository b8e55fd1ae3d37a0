"""Packed bodies: gzip, deflate and zstd on both APIs, broken ones refused, and bombs noticed before they have gone off."""

import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import zstandard

from app.errors import CallerError, MalformedDocument, TooLarge, UnsupportedMediaType
from app.wire.unpacking import unpack
from tests.api.problem import problem_of
from tests.conftest import SERVER_LIMIT, Server
from tests.folding import in_turn

MB = 1024 * 1024

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}

each_encoding = pytest.mark.parametrize("encoding", PACKERS)

REQUEST = json.dumps({"loss": "mse", "predictions": [0.5, 2.0, -1.25], "targets": [0.0, 2.5, 1.0]}).encode()
INFER = json.dumps(
    {
        "inputs": [
            {"name": "predictions", "datatype": "FP64", "shape": [2], "data": [0.5, 2.0]},
            {"name": "targets", "datatype": "FP64", "shape": [2], "data": [0.0, 2.5]},
        ]
    }
).encode()


@pytest.fixture(scope="module")
def caller(server: Server) -> Iterator[httpx.Client]:
    with server.client() as caller:
        yield caller


def bomb(blocks: int) -> bytes:
    """A zstd frame of `blocks` runs of 128 KB, each written in four bytes."""
    header = b"\x28\xb5\x2f\xfd\x00" + bytes([(17 - 10) << 3])
    run = 128 * 1024 << 3 | 1 << 1
    return header + (run.to_bytes(3, "little") + b" ") * (blocks - 1) + ((run | 1).to_bytes(3, "little") + b" ")


def spaces(wbits: int) -> bytes:
    packer = zlib.compressobj(9, wbits=wbits)
    megabyte = b" " * MB
    return b"".join(packer.compress(megabyte) for _ in range(256)) + packer.flush()


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: spaces(31),
    "deflate": lambda: spaces(15),
    "zstd": lambda: bomb(8192),
    "zstd, in one block after another": lambda: zstandard.ZstdCompressor(level=19, write_content_size=False).compress(
        b" " * 128 * MB
    ),
}


# --- what is taken ------------------------------------------------------------------------------------------------------------


@each_encoding
@pytest.mark.parametrize(("path", "body"), [("/v1/evaluate", REQUEST), ("/v2/models/mse/infer", INFER)], ids=["v1", "v2"])
def test_packed_body_is_answered_like_the_plain_one(caller: httpx.Client, encoding: str, path: str, body: bytes) -> None:
    plain = caller.post(path, content=body)
    assert plain.status_code == 200
    for written in (encoding, encoding.upper()):
        packed = caller.post(path, content=PACKERS[encoding](body), headers={"content-encoding": written})
        assert packed.status_code == 200
        assert packed.content == plain.content


@each_encoding
def test_packed_body_may_come_in_chunks(caller: httpx.Client, encoding: str) -> None:
    packed = PACKERS[encoding](REQUEST)
    chunks = iter([packed[:1], packed[1:7], packed[7:]])
    answer = caller.post("/v1/evaluate", content=chunks, headers={"content-encoding": encoding})
    assert answer.status_code == 200
    assert answer.content == caller.post("/v1/evaluate", content=REQUEST).content


@each_encoding
def test_large_body_is_unpacked_before_it_is_worked_on(caller: httpx.Client, encoding: str) -> None:
    draw = random.Random(1)
    numbers = [draw.gauss(0, 1) for _ in range(50_000)]
    body = json.dumps({"loss": "huber", "predictions": numbers, "targets": numbers[::-1]}).encode()
    assert len(body) > MB
    packed = caller.post("/v1/evaluate", content=PACKERS[encoding](body), headers={"content-encoding": encoding})
    assert packed.status_code == 200
    assert packed.content == caller.post("/v1/evaluate", content=body).content


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_body_that_is_not_packed_may_say_so(caller: httpx.Client, encoding: str) -> None:
    assert caller.post("/v1/evaluate", content=REQUEST, headers={"content-encoding": encoding}).status_code == 200


@each_encoding
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000, 3 * MB])
def test_unpacking_gives_the_bytes_that_were_packed(encoding: str, size: int) -> None:
    for body in (random.Random(size).randbytes(size), b"a long run" * (size // 10)):
        packed = PACKERS[encoding](body)
        assert (unpack(packed, encoding, 4 * MB)) == body
        assert (unpack(memoryview(packed), encoding, 4 * MB)) == body


# --- what is too large --------------------------------------------------------------------------------------------------------


@each_encoding
def test_limit_holds_for_what_comes_out(caller: httpx.Client, encoding: str) -> None:
    full = REQUEST + b" " * (SERVER_LIMIT - len(REQUEST))
    headers = {"content-encoding": encoding}
    assert caller.post("/v1/evaluate", content=PACKERS[encoding](full), headers=headers).status_code == 200
    refused = caller.post("/v1/evaluate", content=PACKERS[encoding](full + b" "), headers=headers)
    assert refused.status_code == 413
    problem = problem_of(refused)
    assert problem["code"] == "body_too_large"
    assert str(SERVER_LIMIT) in problem["detail"]
    refused = caller.post("/v2/models/mse/infer", content=PACKERS[encoding](full + b" "), headers=headers)
    assert refused.status_code == 413
    assert str(SERVER_LIMIT) in refused.json()["error"]


@each_encoding
def test_limit_holds_to_the_byte(encoding: str) -> None:
    body = random.Random(2).randbytes(5000) + b"x" * 5000
    assert (unpack(PACKERS[encoding](body), encoding, 10_000)) == body
    with pytest.raises(TooLarge):
        (unpack(PACKERS[encoding](body), encoding, 9_999))


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_without_the_memory(name: str) -> None:
    packed = BOMBS[name]()
    limit = MB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            (unpack(packed, name.partition(",")[0], limit))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit + 20 * MB


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_does_not_reach_the_server(server: Server, caller: httpx.Client, name: str) -> None:
    caller.post("/v1/evaluate", content=REQUEST)
    packed, before = BOMBS[name](), peak_memory(server.process.pid)
    for path in ("/v1/evaluate", "/v2/models/mse/infer"):
        refused = caller.post(path, content=packed, headers={"content-encoding": name.partition(",")[0]})
        assert refused.status_code == 413
    assert peak_memory(server.process.pid) - before < SERVER_LIMIT + 60 * MB
    assert caller.post("/v1/evaluate", content=REQUEST).status_code == 200


def peak_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_zstd_frame_with_a_vast_window_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(30 - 10) << 3]) + (2 << 3 | 1).to_bytes(3, "little") + b"{}"
    tracemalloc.start()
    try:
        with pytest.raises(MalformedDocument, match="zstd"):
            (unpack(frame, "zstd", MB))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MB


# --- what is broken -----------------------------------------------------------------------------------------------------------


def broken(encoding: str) -> dict[str, bytes]:
    packed = PACKERS[encoding](REQUEST)
    return {
        "empty": b"",
        "not packed": REQUEST,
        "garbage": b"\x00\xff" * 50,
        "only the first byte": packed[:1],
        "only the header": packed[:8],
        "without its last byte": packed[:-1],
        "half": packed[: len(packed) // 2],
        "a byte behind": packed + b"x",
        "a kilobyte behind": packed + bytes(1024),
        "twice": packed + packed,
        "another in it": PACKERS[encoding](packed),
    } | ({} if encoding == "zstd" else {"wrong sum": packed[:-4] + b"\x01\x02\x03\x04"})  # zstd needs no sum


@in_turn(("encoding", "what"), [(encoding, what) for encoding in PACKERS for what in broken(encoding)])
@pytest.mark.parametrize("path", ["/v1/evaluate", "/v2/models/mse/infer"], ids=["v1", "v2"])
def test_broken_body_is_refused_with_a_sentence(caller: httpx.Client, encoding: str, what: str, path: str) -> None:
    answer = caller.post(path, content=broken(encoding)[what], headers={"content-encoding": encoding})
    assert answer.status_code == 400
    if path.startswith("/v1"):
        problem = problem_of(answer)
        assert problem["code"] == "malformed_json"
        detail = problem["detail"]
    else:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json().keys() == {"error"}
        detail = answer.json()["error"]
    expected = "not UTF-8|not JSON" if what == "another in it" else f"the body is not {encoding}: "
    assert any(words in detail for words in expected.split("|"))


@each_encoding
def test_every_cut_and_every_changed_byte_is_an_answer_or_a_refusal(encoding: str) -> None:
    packed = PACKERS[encoding](REQUEST)
    for index in range(len(packed)):
        with pytest.raises(MalformedDocument):
            (unpack(packed[:index], encoding, MB))
        changed = packed[:index] + bytes([packed[index] ^ 0x55]) + packed[index + 1 :]
        try:
            (unpack(changed, encoding, MB))
        except CallerError:
            continue


@pytest.mark.parametrize(
    "encoding", ["br", "compress", "gzip, gzip", "gzip,zstd", "identity, gzip", "gzip;q=1", "*", "g" * 500, "gz\tip"]
)
def test_other_encodings_are_refused(caller: httpx.Client, encoding: str) -> None:
    body = gzip.compress(gzip.compress(REQUEST))
    answer = caller.post("/v1/evaluate", content=body, headers={"content-encoding": encoding})
    assert answer.status_code == 415
    problem = problem_of(answer)
    assert problem["code"] == "unsupported_media_type"
    assert "gzip, deflate or zstd" in problem["detail"]
    assert len(problem["detail"]) < 200
    answer = caller.post("/v2/models/mse/infer", content=body, headers={"content-encoding": encoding})
    assert answer.status_code == 415
    assert "gzip, deflate or zstd" in answer.json()["error"]


def test_two_headers_are_two_encodings(caller: httpx.Client) -> None:
    headers = [("content-encoding", "gzip"), ("content-encoding", "gzip")]
    answer = caller.post("/v1/evaluate", content=gzip.compress(REQUEST), headers=headers)
    assert answer.status_code == 415
    assert "'gzip, gzip'" in problem_of(answer)["detail"]


def test_unknown_encoding_is_refused_before_anything_is_unpacked() -> None:
    with pytest.raises(UnsupportedMediaType):
        (unpack(b"not touched", "br", MB))
