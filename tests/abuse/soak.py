"""`python -m tests.abuse.soak SECONDS [--write]`: twice as many calls as there is time for, of every kind, each answer checked.

The server is started here. How much it has time for is measured first, by clients that wait for their answers; then requests
come when they come, whether those before are answered or not, each on a connection of its own. One client in five leaves before
its answer, one in twenty sends and reads a little at a time. What each answer has to be is computed here too, by formulas of
this file.
"""

import asyncio
import io
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tests.abuse import bodies, processes
from tests.abuse.conftest import MEMORY, MIB, SETTINGS, p99, started, written
from tests.abuse.watch import Sightings, Watch
from tests.abuse.wire import CLOSED, JSON, STREAM, Answer, post
from tests.conftest import Server

OVERLOAD = 2.0
"""Times what the server has time for, that is asked."""
VANISHING, SLOW = 0.2, 0.05
"""Shares of requests whose client leaves before it is answered, and whose client sends and reads a little at a time."""
PROMPT = 1.0
"""The fate of a client that neither leaves nor is slow."""
CALLERS = 8
"""Clients that wait for their answers, while it is measured how much the server has time for."""
CALIBRATION = 15.0
"""Seconds of that, at most; a quarter of the whole."""
PATIENCE = 60.0
"""Seconds until a client takes a request for unanswered."""
QUIET = 10.0
"""Seconds after everything, until what is held then counts."""
TINY_P99 = 20.0
"""Milliseconds that 99 of 100 tiny requests may take at most."""
FLAT, BACK = 1.1, 1.2
"""Times the memory at the end may be that of the beginning, and that of the quiet after it that of the quiet before."""
BEHIND = 10
"""Steps of priority by which these clients come behind the server: elsewhere they would have processors of their own."""
SAMPLES = 120
"""Of the memory: to take one stops each process for as long."""
CHUNK = 1 << 16
CLOSE = "Connection: close"


@dataclass(frozen=True)
class Kind:
    message: bytes
    right: Callable[[Answer], bool]
    weight: float
    """Its share of all requests, beside those of the others."""


@dataclass
class Tally:
    """Of one kind: answers by status, seconds of each, those that were wrong, and clients that left."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    seconds: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])
    left: int = 0
    slow: int = 0


# --- what has to come out -------------------------------------------------------------------------------------------------


def _close(given: Any, expected: Any) -> bool:
    return bool(np.allclose(given, expected, rtol=1e-9, atol=1e-15))


def _once(right: Callable[[Answer], bool]) -> Callable[[Answer], bool]:
    """The same, for which bytes that were right once are right."""
    known: set[bytes] = set()

    def whether(given: Answer) -> bool:
        if given.status == 200 and given.body in known:
            return True
        if not right(given):
            return False
        if len(known) < 4:
            known.add(given.body)
        return True

    return whether


def _cross_entropy(n: int, k: int, weight: float) -> Kind:
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
    return Kind(post("/v1/evaluate", body, JSON, CLOSE), _once(right), weight)


def _binary(weight: float) -> Kind:
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
    return Kind(post("/v2/models/mean_squared_error/infer", body, header, CLOSE), _once(right), weight)


def _lines(weight: float) -> Kind:
    """A stream of 50,000 lines: half of them one off."""
    body = b'{"p":0,"y":1}\n{"p":2,"y":2}\n' * 25_000

    def right(given: Answer) -> bool:
        return given.document["value"] == 0.5 and given.document["n_samples"] == 50_000

    return Kind(
        post("/v1/evaluate?loss=mae&predictions=p&targets=y", body, "Content-Type: application/x-ndjson", CLOSE), right, weight
    )


def _training(weight: float) -> Kind:
    """The same numbers each time: the first answer says which."""
    first: list[Any] = []

    def right(given: Answer) -> bool:
        losses = [(epoch["training_loss"], epoch["validation_loss"]) for epoch in given.document["history"]]
        first.append(losses)
        return len(losses) == 40 and losses == first[0] and losses[-1] < losses[0]

    return Kind(post("/v1/train", bodies.training(40), JSON, CLOSE), right, weight)


def _stream(weight: float) -> Kind:
    def right(given: Answer) -> bool:
        return given.body.count(b"event: epoch") == 60 and given.body.count(b"event: end") == 1

    return Kind(post("/v1/train", bodies.training(60), JSON, STREAM, CLOSE), right, weight)


def _bad(weight: float) -> Kind:
    """Half a document."""

    def right(given: Answer) -> bool:
        return given.status == 400 and given.document["code"] == "malformed_json"

    return Kind(post("/v1/evaluate", bodies.TINY[:-9], JSON, CLOSE), right, weight)


def _costly(weight: float) -> Kind:
    """Refused, or answered with nothing: all scores are equal, so that every pair of labels is in the wrong order."""

    def right(given: Answer) -> bool:
        return given.status == 422 or (given.status == 200 and given.document["value"] == 1.0)

    return Kind(post("/v1/evaluate", bodies.half_true(bodies.LABEL_RANKING, 10_000), JSON, CLOSE), right, weight)


def kinds() -> dict[str, Kind]:
    return {
        "8×3": _cross_entropy(8, 3, 40),
        "1000×10": _cross_entropy(1000, 10, 20),
        "10000×100": _cross_entropy(10_000, 100, 1),
        "binary, 1 MB": _binary(10),
        "NDJSON, 50,000 lines": _lines(3),
        "training": _training(3),
        "training, streamed": _stream(3),
        "bad": _bad(15),
        "costly": _costly(5),
    }


# --- the clients ----------------------------------------------------------------------------------------------------------


class _Received(io.BytesIO):
    """What came over a connection, for http.client to read."""

    def makefile(self, mode: str) -> "_Received":
        return self


async def _exchange(server: Server, message: bytes, slow: bool) -> Answer:
    """The answer to a message on a connection of its own; a slow client takes its time with both."""
    loop, connection = asyncio.get_running_loop(), socket.socket()
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, (server.host, server.port))
        try:
            for piece in _pieces(message, slow):
                await loop.sock_sendall(connection, piece)
                await asyncio.sleep(0.3 if slow else 0)
        except ConnectionError:
            pass  # refused before all of it was sent: the answer may lie there already
        chunks: list[bytes] = []
        try:
            while chunk := await loop.sock_recv(connection, CHUNK):
                chunks.append(chunk)
                await asyncio.sleep(0.3 if slow else 0)
        except ConnectionError:
            pass
    finally:
        connection.close()
    return _parsed(b"".join(chunks))


def _pieces(message: bytes, slow: bool) -> list[memoryview | bytes]:
    size = max(1, len(message) // 8) if slow else len(message)
    return [memoryview(message)[start : start + size] for start in range(0, len(message), size)]


def _parsed(received: bytes) -> Answer:
    response = HTTPResponse(cast(socket.socket, _Received(received)), method="POST")
    try:
        response.begin()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except (HTTPException, ConnectionError, ValueError):
        return CLOSED


async def _leave(server: Server, message: bytes, rng: random.Random) -> None:
    """Send some of it, and go."""
    loop, connection = asyncio.get_running_loop(), socket.socket()
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, (server.host, server.port))
        await loop.sock_sendall(connection, memoryview(message)[: rng.randint(1, len(message))])
        await asyncio.sleep(rng.random() * 0.05)
    except ConnectionError:
        pass
    finally:
        connection.close()


async def call(server: Server, kind: Kind, tally: Tally, fate: float, rng: random.Random) -> None:
    """One request, as one of three sorts of clients makes it: from 0 to 1 it leaves, is slow, or is like most."""
    try:
        async with asyncio.timeout(PATIENCE):
            if fate < VANISHING:
                await _leave(server, kind.message, rng)
                tally.left += 1
                return
            began, slow = time.monotonic(), fate < VANISHING + SLOW
            given = await _exchange(server, kind.message, slow)
    except (OSError, TimeoutError) as error:
        tally.wrong.append(repr(error))
        return
    if slow and given.status in (0, 408):  # cut, as is promised
        tally.slow += 1
        return
    tally.statuses[given.status] += 1
    if not slow:
        tally.seconds.append(time.monotonic() - began)
    try:
        if given.status != 503 and not kind.right(given):
            tally.wrong.append(repr(given))
    except (KeyError, ValueError) as error:
        tally.wrong.append(f"{error!r}: {given!r}")


# --- the load -------------------------------------------------------------------------------------------------------------

Tallies = Mapping[str, Tally]


async def capacity(server: Server, asked: Mapping[str, Kind], rng: random.Random, seconds: float) -> float:
    """Requests a second that clients make who wait for their answers, of the same mixture."""
    tallies, ends = defaultdict[str, Tally](Tally), time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < ends:
            name = _drawn(asked, rng)
            await call(server, asked[name], tallies[name], PROMPT, rng)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    refused = sum(tally.statuses[503] for tally in tallies.values())
    return (sum(tally.statuses.total() for tally in tallies.values()) - refused) / seconds


async def load(server: Server, asked: Mapping[str, Kind], rng: random.Random, rate: float, seconds: float) -> Tallies:
    """Requests that come at this rate, whatever becomes of those before."""
    tallies, running = defaultdict[str, Tally](Tally), set[asyncio.Task[None]]()
    os.nice(BEHIND)
    due = began = time.monotonic()
    while due < began + seconds:
        if (now := time.monotonic()) < due:
            await asyncio.sleep(due - now)
        name = _drawn(asked, rng)
        task = asyncio.create_task(call(server, asked[name], tallies[name], rng.random(), rng))
        running.add(task)
        task.add_done_callback(running.discard)
        due += rng.expovariate(rate)
    await asyncio.gather(*running)
    return tallies


def _drawn(asked: Mapping[str, Kind], rng: random.Random) -> str:
    return rng.choices([*asked], [kind.weight for kind in asked.values()])[0]


@dataclass(frozen=True)
class Soaked:
    """What was seen: of each kind, of tiny requests beside them and the memory meanwhile, and the bytes of the tree before and
    after."""

    seconds: float
    rate: float
    tallies: Tallies
    tiny: Sightings
    before: int
    after: int


async def soak(server: Server, seconds: float) -> Soaked:
    asked, rng = kinds(), random.Random(0)
    for kind in asked.values():  # whatever is loaded at first use is there
        assert kind.right(await _exchange(server, kind.message, slow=False))
    await asyncio.sleep(QUIET)
    before = processes.pss(server.port)
    rate = OVERLOAD * await capacity(server, asked, rng, min(CALIBRATION, seconds / 4))
    watch = await asyncio.to_thread(Watch, server.host, server.port, max(1.0, seconds / SAMPLES))
    tallies = await load(server, asked, rng, rate, seconds)
    tiny = await asyncio.to_thread(watch.end)
    await asyncio.sleep(QUIET)
    return Soaked(seconds, rate, tallies, tiny, before, processes.pss(server.port))


def faults(seen: Soaked, log: str) -> list[str]:
    """What must not be, in words."""
    found = [f"{name}: {wrong}" for name, tally in seen.tallies.items() for wrong in tally.wrong[:3]]
    found += [
        f"{name}: {count} answers with {status}"
        for name, tally in seen.tallies.items()
        for status, count in tally.statuses.items()
        if status == 0 or (status >= 500 and status != 503)
    ]
    found += [f"{name}: no answer at all" for name, tally in seen.tallies.items() if not {200, 400, 422} & set(tally.statuses)]
    if seen.tiny.failures or set(seen.tiny.statuses) - {"200"}:
        found.append(f"tiny requests: {seen.tiny.statuses}, {seen.tiny.failures[:3]}")
    if p99(seen.tiny) > TINY_P99:
        found.append(f"tiny requests took p99 {p99(seen.tiny):.1f} ms, at most {TINY_P99:.0f} are allowed")
    first, last = _ends(seen.tiny.memory[1:])
    if last > FLAT * first:
        found.append(f"memory rose from {first / MIB:.0f} to {last / MIB:.0f} MiB")
    if seen.after > BACK * seen.before:
        found.append(f"{seen.after / MIB:.0f} MiB afterwards, {seen.before / MIB:.0f} before")
    if seen.tiny.peak > MEMORY:
        found.append(f"{seen.tiny.peak / MIB:.0f} MiB of {MEMORY / MIB:.0f}")
    if "Traceback" in log:
        found.append("the log has tracebacks")
    return found


def _ends(memory: list[int]) -> tuple[float, float]:
    """The mean of the second quarter, once everything has begun, and that of the last."""
    quarter = max(1, len(memory) // 4)
    return float(np.mean(memory[quarter : 2 * quarter] or memory)), float(np.mean(memory[-quarter:]))


def table(seen: Soaked) -> str:
    lines = ["| kind | answers | left | cut | wrong | p50 ms | p99 ms |", "|---|---|--:|--:|--:|--:|--:|"]
    for name, tally in seen.tallies.items():
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(tally.statuses.items()))
        p50, slowest = np.percentile(tally.seconds or [0.0], (50, 99)) * 1e3
        lines.append(f"| {name} | {answers} | {tally.left} | {tally.slow} | {len(tally.wrong)} | {p50:.1f} | {slowest:.1f} |")
    tiny = seen.tiny
    lines.append(
        f"| tiny | {len(tiny.milliseconds)} × 200 | 0 | 0 | {len(tiny.failures)} | {np.median(tiny.milliseconds):.1f} "
        f"| {p99(tiny):.1f} |"
    )
    first, last = _ends(seen.tiny.memory[1:])
    sizes = (seen.before, first, last, seen.tiny.peak, seen.after)
    before, begun, ended, most, after = (f"{size / MIB:.0f}" for size in sizes)
    asked = f"{seen.rate:.0f} requests a second for {seen.seconds:.0f} s, {OVERLOAD:g} times what there was time for."
    memory = f"MiB before {before}; in the second quarter {begun}, in the last {ended}, at most {most}; afterwards {after}."
    return "\n".join([*lines, "", asked, memory])


def main(seconds: float, write: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), **SETTINGS) as server:
        seen = asyncio.run(soak(server, seconds))
        found = faults(seen, server.log.read_text())
    print(table(seen))
    if write:
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        ended = "".join(f"- **{fault}**\n" for fault in found) or "Nothing was wrong.\n"
        written("make soak SECONDS=600 ARGS=--write", f"On {day}, {os.cpu_count()} cores:\n\n{table(seen)}\n\n{ended}")
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main(float(sys.argv[1]), "--write" in sys.argv[2:])
