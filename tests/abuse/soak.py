"""`python -m tests.abuse.soak SECONDS`: calls of every kind at once, one in five left, every answer checked.

The server is started here. What each answer has to be is computed here too, by formulas of this file.
"""

import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.abuse import bodies, processes
from tests.abuse.conftest import MEMORY, MIB, SETTINGS, started
from tests.abuse.wire import JSON, STREAM, Answer, answer, post
from tests.conftest import Server

VANISHING = 0.2
"""The share of requests whose client leaves before it is answered."""
CLIENTS = {"8x3": 4, "1000x10": 3, "10000x100": 1, "binary": 2, "training": 2, "stream": 1, "bad": 3, "costly": 1}


@dataclass(frozen=True)
class Kind:
    message: bytes
    right: Callable[[Answer], bool]


@dataclass
class Tally:
    """Of one kind: answers by status, seconds of each, those that were wrong, and clients that left."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    seconds: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])
    left: int = 0


# --- what has to come out -------------------------------------------------------------------------------------------------


def _close(given: Any, expected: Any) -> bool:
    return bool(np.allclose(given, expected, rtol=1e-9, atol=1e-15))


def _cross_entropy(n: int, k: int) -> Kind:
    """Softmax cross-entropy of random logits: value, per-sample losses and gradient."""
    rng = np.random.default_rng(n)
    logits, labels = rng.standard_normal((n, k)), rng.integers(k, size=n)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    per_sample = -np.log(softmax[np.arange(n), labels])
    gradient = (softmax - np.eye(k)[labels]) / n

    def right(given: Answer) -> bool:
        document = given.document
        return (
            _close(document["value"], per_sample.mean())
            and _close(document["per_sample"], per_sample)
            and _close(document["gradient"], gradient)
        )

    loss = {"name": "categorical_cross_entropy", "from_logits": True}
    body = bodies.dumps({"loss": loss, "predictions": logits.tolist(), "targets": labels.tolist()})
    return Kind(post("/v1/evaluate", body), right)


def _binary() -> Kind:
    """Squared errors of 1 MB of tensors."""
    rng = np.random.default_rng(1)
    predictions, targets = rng.standard_normal(60_000), rng.standard_normal(60_000)
    expected: dict[str, NDArray[np.float64]] = {
        "value": np.array([np.mean((predictions - targets) ** 2)], np.float64),
        "per_sample": (predictions - targets) ** 2,
        "gradient": 2 * (predictions - targets) / 60_000,
    }

    def right(given: Answer) -> bool:
        start = int(given.headers["inference-header-content-length"])
        outputs = json.loads(given.body[:start])["outputs"]
        for output in outputs:
            size = output["parameters"]["binary_data_size"]
            if not _close(np.frombuffer(given.body[start : start + size], "<f8"), expected[output["name"]]):
                return False
            start += size
        return {output["name"] for output in outputs} == set(expected)

    body, header = bodies.tensors(predictions=predictions, targets=targets)
    return Kind(post("/v2/models/mean_squared_error/infer", body, header), right)


def _training() -> Kind:
    """The same numbers each time: the first answer says which."""
    first: list[Any] = []

    def right(given: Answer) -> bool:
        losses = [(epoch["training_loss"], epoch["validation_loss"]) for epoch in given.document["history"]]
        first.append(losses)
        return len(losses) == 40 and losses == first[0] and losses[-1] < losses[0]

    return Kind(post("/v1/train", bodies.training(40)), right)


def _stream() -> Kind:
    def right(given: Answer) -> bool:
        return given.body.count(b"event: epoch") == 60 and given.body.count(b"event: end") == 1

    return Kind(post("/v1/train", bodies.training(60), JSON, STREAM), right)


def _bad() -> Kind:
    """Half a document."""
    return Kind(
        post("/v1/evaluate", bodies.TINY[:-9]), lambda given: given.status == 400 and given.document["code"] == "malformed_json"
    )


def _costly() -> Kind:
    """Refused, or answered with nothing: all scores are equal, so that every pair of labels is in the wrong order."""
    return Kind(
        post("/v1/evaluate", bodies.half_true(bodies.LABEL_RANKING, 10_000)),
        lambda given: given.status == 422 or (given.status == 200 and given.document["value"] == 1.0),
    )


KINDS: dict[str, Callable[[], Kind]] = {
    "8x3": lambda: _cross_entropy(8, 3),
    "1000x10": lambda: _cross_entropy(1000, 10),
    "10000x100": lambda: _cross_entropy(10_000, 100),
    "binary": _binary,
    "training": _training,
    "stream": _stream,
    "bad": _bad,
    "costly": _costly,
}


# --- the clients ----------------------------------------------------------------------------------------------------------


def client(server: Server, kind: Kind, tally: Tally, rng: random.Random, ends: float) -> None:
    """One request after another; a new connection after each leave, close or error."""
    connection: socket.socket | None = None
    while time.monotonic() < ends:
        connection = connection or server.connect()
        try:
            if rng.random() < VANISHING:
                connection.sendall(kind.message[: rng.randint(1, len(kind.message))])
                time.sleep(rng.random() * 0.05)
                tally.left += 1
                connection.close()
                connection = None
                continue
            began = time.monotonic()
            connection.settimeout(60)
            connection.sendall(kind.message)
            given = answer(connection, 60)
            tally.seconds.append(time.monotonic() - began)
            tally.statuses[given.status] += 1
            if given.status != 503 and not kind.right(given):
                tally.wrong.append(repr(given))
            if given.status == 503:
                time.sleep(0.1)
            if given.status == 0 or given.headers.get("connection") == "close":
                connection.close()
                connection = None
        except (OSError, HTTPException, KeyError, ValueError) as error:
            tally.wrong.append(repr(error))
            connection = None


def soak(server: Server, seconds: float) -> tuple[dict[str, Tally], list[int]]:
    """Tallies by kind, and bytes of the tree: before, ten times during, and after five quiet seconds."""
    kinds = {name: make() for name, make in KINDS.items()}
    tallies: dict[str, Tally] = defaultdict(Tally)
    memory, ends = [processes.pss(server.port)], time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(server, kinds[name], tallies[name], random.Random(f"{name} {number}"), ends))
        for name, count in CLIENTS.items()
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for _ in range(10):
        time.sleep(seconds / 10)
        memory.append(processes.pss(server.port))
    for thread in threads:
        thread.join()
    time.sleep(5)
    return tallies, [*memory, processes.pss(server.port)]


def faults(tallies: dict[str, Tally], memory: list[int], log: str) -> list[str]:
    """What must not be, in words."""
    found = [f"{name}: {wrong}" for name, tally in tallies.items() for wrong in tally.wrong[:3]]
    found += [
        f"{name}: {count} answers with {status}"
        for name, tally in tallies.items()
        for status, count in tally.statuses.items()
        if status == 0 or (status >= 500 and status != 503)
    ]
    found += [f"{name}: no answer at all" for name, tally in tallies.items() if not {200, 400, 422} & set(tally.statuses)]
    if max(memory) > MEMORY:
        found.append(f"{max(memory) / MIB:.0f} MiB of {MEMORY / MIB:.0f}")
    if "Traceback" in log:
        found.append("the log has tracebacks")
    return found


def table(tallies: dict[str, Tally], memory: list[int]) -> str:
    lines = ["| kind | answers | left | wrong | p50 ms | p99 ms |", "|---|---|--:|--:|--:|--:|"]
    for name, tally in tallies.items():
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(tally.statuses.items()))
        p50, p99 = np.percentile(tally.seconds or [0.0], (50, 99)) * 1e3
        lines.append(f"| {name} | {answers} | {tally.left} | {len(tally.wrong)} | {p50:.1f} | {p99:.1f} |")
    before, *during, after = (f"{size / MIB:.0f}" for size in memory)
    return "\n".join([*lines, "", f"MiB before {before}; during {' '.join(during)}; after {after}"])


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), **SETTINGS) as server:
        tallies, memory = soak(server, seconds)
        found = faults(tallies, memory, server.log.read_text())
    print(table(tallies, memory))
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main(float(sys.argv[1]))
