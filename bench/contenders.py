"""Who is measured: our service with JSON and with binary tensors, and its rivals; and what each is sent."""

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from subprocess import Popen
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.processes import Connection, Pipe, free_port, running

Size: TypeAlias = tuple[int, int]
Ask: TypeAlias = Callable[[bytes], memoryview]
"""A message -> the body of its answer, valid until the next question."""

TINY, SMALL, LARGE, LONG = (8, 3), (1000, 10), (10000, 100), (100000, 10)
SIZES: tuple[Size, ...] = (TINY, SMALL, LARGE, LONG)


@dataclass(frozen=True)
class Sample:
    """Logits with all their digits, and the index of each row's class."""

    predictions: NDArray[np.float64]
    targets: NDArray[np.int64]


def sample_of(size: Size) -> Sample:
    rng = np.random.default_rng(0)
    return Sample(rng.standard_normal(size), rng.integers(size[1], size=size[0]))


# --- what is sent -----------------------------------------------------------------------------------------------------


def json_message(path: str, sample: Sample) -> bytes:
    """The same document for everybody: who does not know a field ignores it."""
    loss = {"name": "categorical_cross_entropy", "from_logits": True}
    document = {"loss": loss, "predictions": sample.predictions, "targets": sample.targets}
    return post(path, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), "Content-Type: application/json")


def squares_message(n: int) -> tuple[bytes, float]:
    """Mean squared error of n numbers with all their digits; and its value."""
    predictions, targets = np.random.default_rng(0).standard_normal((2, n))
    document = {"loss": "mean_squared_error", "predictions": predictions, "targets": targets}
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return post("/v1/evaluate", body, "Content-Type: application/json"), float(np.mean((predictions - targets) ** 2))


def binary_message(datatype: str, sample: Sample) -> bytes:
    """The Open Inference Protocol with its binary extension, as its clients write it."""
    dtype = {"FP64": "<f8", "FP32": "<f4"}[datatype]
    tensors = {"predictions": (datatype, sample.predictions.astype(dtype)), "targets": ("INT64", sample.targets)}
    inputs = [
        {"name": name, "datatype": kind, "shape": array.shape, "parameters": {"binary_data_size": array.nbytes}}
        for name, (kind, array) in tensors.items()
    ]
    header = orjson.dumps({"inputs": inputs, "parameters": {"from_logits": True, "binary_data_output": True}})
    body = b"".join((header, *(array.tobytes() for _, array in tensors.values())))
    return post("/v2/models/categorical_cross_entropy/infer", body, f"Inference-Header-Content-Length: {len(header)}")


def post(path: str, body: bytes, header: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{header}\r\n\r\n".encode() + body


# --- what comes back --------------------------------------------------------------------------------------------------


def _of_json(answer: memoryview) -> float | None:
    return orjson.loads(answer).get("value")


def _of_tensors(answer: memoryview) -> float:
    """The value is the first tensor of the answer, behind its header and the spaces that fill it up."""
    header = bytes(answer[: bytes(answer[:2048]).index(b"]}") + 2])
    padded = -(-len(header) // 64) * 64
    return float(np.frombuffer(answer[padded : padded + 8], "<f8" if b"FP64" in header else "<f4")[0])


# --- contenders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    name: str
    command: tuple[str, ...]
    """Of Python, to start it; {port} is where it listens."""
    message: Callable[[Sample], bytes]
    value: Callable[[memoryview], float | None] = _of_json
    """The loss out of an answer; None where it computes none."""
    sizes: tuple[Size, ...] = SIZES
    http: bool = True
    """Else it is asked by a line, and answers with the value."""
    bare: bool = False
    """Started without what `make serve` sets."""


@dataclass(frozen=True)
class Started:
    pid: int
    port: int
    connect: Callable[[], Ask]
    """A new connection: servers close one that has been quiet for some seconds."""


@contextmanager
def started(contenders: Iterable[Contender]) -> Generator[dict[str, Started]]:
    """Each contender in a process of its own, by name."""
    with ExitStack() as stack:
        ports = {contender.name: free_port() for contender in contenders}
        processes = {contender.name: stack.enter_context(_process(contender, ports[contender.name])) for contender in contenders}
        yield {contender.name: _asked(contender, processes[contender.name], ports[contender.name]) for contender in contenders}


def _process(contender: Contender, port: int) -> AbstractContextManager[Popen[bytes]]:
    command = [word.format(port=port) for word in contender.command]
    return running(command, {"CRITERION_PORT": str(port), "CRITERION_LOG_LEVEL": "warning"}, bare=contender.bare)


def _asked(contender: Contender, process: Popen[bytes], port: int) -> Started:
    return Started(process.pid, port, lambda: Connection(port).ask if contender.http else Pipe(process).ask)


def _json_to(path: str) -> Callable[[Sample], bytes]:
    return lambda sample: json_message(path, sample)


def _uvicorn(name: str) -> tuple[str, ...]:
    settings = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return ("-m", "uvicorn", *settings, "--port", "{port}", f"bench.rivals:{name}")


OURS = ("-m", "app")
OURS_BARE = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", "{port}", "--factory", "app.main:create_app")

JSON = Contender("Criterion, JSON", OURS, _json_to("/v1/evaluate"))
BINARY = Contender("Criterion, binary FP64", OURS, lambda sample: binary_message("FP64", sample), _of_tensors)
SINGLE = Contender("Criterion, binary FP32", OURS, lambda sample: binary_message("FP32", sample), _of_tensors)
BARE_JSON = Contender("Criterion, JSON, uvicorn --factory", OURS_BARE, JSON.message, sizes=(LARGE,), bare=True)
BARE_BINARY = Contender(
    "Criterion, binary FP64, uvicorn --factory", OURS_BARE, BINARY.message, _of_tensors, sizes=(LARGE,), bare=True
)
TWENTY_LINES = Contender("(a) FastAPI + Pydantic + NumPy, twenty lines", _uvicorn("twenty_lines"), _json_to("/evaluate"))
TYPED = Contender("(a′) the same with a response model", _uvicorn("twenty_lines"), _json_to("/typed"))
FLOOR = Contender("(b) ASGI + orjson + NumPy, nothing checked", _uvicorn("floor"), _json_to("/evaluate"))
ECHO = Contender("(c) FastAPI, a small model in and out", _uvicorn("echo"), _json_to("/evaluate"), sizes=(TINY,))
BUFFERS = Contender(
    "(d) buffers in, evaluated, out: no HTTP, no check",
    ("-m", "bench.rivals", *map(str, LARGE)),
    lambda _: b"\n",
    lambda answer: float(bytes(answer)),
    sizes=(LARGE,),
    http=False,
)
CONTENDERS = (JSON, BINARY, SINGLE, BARE_JSON, BARE_BINARY, TWENTY_LINES, TYPED, FLOOR, ECHO, BUFFERS)


def agree(answers: dict[str, float | None]) -> None:
    """Whoever computes a loss computes the same one."""
    values: dict[str, Any] = {name: value for name, value in answers.items() if value is not None}
    if max(values.values()) - min(values.values()) > 1e-5 * max(values.values()):
        raise RuntimeError(f"the contenders do not agree: {values}")
