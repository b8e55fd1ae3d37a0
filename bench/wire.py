"""One batch, asked of every contender in turn, round after round: CPU time, latency, rate and memory of each.

Rounds are interleaved (A B C, A B C, ...), so that whatever else the machine does meets all contenders alike.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bench.contenders import (
    CONTENDERS,
    FLOOR,
    JSON,
    LARGE,
    SIZES,
    TINY,
    TWENTY_LINES,
    Ask,
    Contender,
    Size,
    Started,
    agree,
    json_message,
    sample_of,
    squares_message,
    started,
)
from bench.processes import Connection, cpu_seconds, forget_peak, peak_megabytes, running


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int
    seconds: float
    """Of each contender in each round."""
    sizes: tuple[Size, ...] = SIZES
    fewest: int = 2
    """Requests of a contender in a round, however long they take."""


@dataclass
class Measured:
    """What one contender did with one size: a number a round, and a latency a request."""

    cpu_ms: list[float] = field(default_factory=list[float])
    rate: list[float] = field(default_factory=list[float])
    latencies_ms: list[float] = field(default_factory=list[float])
    peak_mb: float = 0.0


Say = Callable[[str], None]
Name = TypeVar("Name")


def measure(plan: Plan, say: Say) -> dict[Size, dict[str, Measured]]:
    """Every contender by name, on every size that it is made for."""
    with started(CONTENDERS) as servers:
        return {size: _measure_size(size, servers, plan, say) for size in plan.sizes}


def _measure_size(size: Size, servers: Mapping[str, Started], plan: Plan, say: Say) -> dict[str, Measured]:
    sample = sample_of(size)
    contenders = {contender.name: contender for contender in CONTENDERS if size in contender.sizes}
    messages = {name: contender.message(sample) for name, contender in contenders.items()}
    agree({name: contender.value(servers[name].connect()(messages[name])) for name, contender in contenders.items()})
    for name in contenders:
        forget_peak(servers[name].pid)
    asked = {name: (servers[name], message) for name, message in messages.items()}
    results = interleaved(asked, plan, say, f"{size[0]}×{size[1]}")
    for name, result in results.items():
        result.peak_mb = peak_megabytes(servers[name].pid)
    return results


def interleaved(asked: Mapping[Name, tuple[Started, bytes]], plan: Plan, say: Say, what: str) -> dict[Name, Measured]:
    """Each server asked its message in turn, round after round."""
    counts = {name: _requests_of_a_round(server, message, plan) for name, (server, message) in asked.items()}
    results = {name: Measured() for name in asked}
    for number in range(plan.rounds):
        say(f"{what}: round {number + 1} of {plan.rounds}")
        for name, (server, message) in asked.items():
            _round(results[name], server, message, counts[name])
    return results


def _requests_of_a_round(server: Started, message: bytes, plan: Plan) -> int:
    """How many requests fill a round. Finding out warms up."""
    taken = latencies(server.connect(), message, plan.seconds / 2)
    return max(plan.fewest, round(plan.seconds * 1e3 * len(taken) / sum(taken)))


def _round(result: Measured, server: Started, message: bytes, count: int) -> None:
    ask = server.connect()
    ask(message)
    cpu, began = cpu_seconds(server.pid), time.perf_counter()
    for _ in range(count):
        before = time.perf_counter()
        ask(message)
        result.latencies_ms.append((time.perf_counter() - before) * 1e3)
    result.rate.append(count / (time.perf_counter() - began))
    result.cpu_ms.append((cpu_seconds(server.pid) - cpu) / count * 1e3)


def latencies(ask: Ask, message: bytes, seconds: float) -> list[float]:
    """Milliseconds of each request, one after another until the time is over: at least one."""
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds
    while not latencies or time.perf_counter() < deadline:
        before = time.perf_counter()
        ask(message)
        latencies.append((time.perf_counter() - before) * 1e3)
    return latencies


# --- one loss of many numbers -------------------------------------------------------------------------------------------


NUMBERS = (3, 500_000, 850_000, 1_500_000)
"""Of mean squared error; the last is nearly as much as the service takes by default."""


@dataclass
class Priced(Measured):
    """What a request with a body of so many bytes costs."""

    body_bytes: int = 0


def prices(plan: Plan, say: Say) -> dict[int, Priced]:
    """Mean squared error in JSON, by how many numbers."""
    messages = {n: squares_message(n) for n in NUMBERS}
    with started([JSON]) as servers:
        server = servers[JSON.name]
        for message, value in messages.values():
            agree({JSON.name: JSON.value(server.connect()(message)), "NumPy": value})
        results = interleaved({n: (server, message) for n, (message, _) in messages.items()}, plan, say, "mean squared error")
    return {
        n: Priced(result.cpu_ms, result.rate, result.latencies_ms, body_bytes=len(messages[n][0].partition(b"\r\n\r\n")[2]))
        for n, result in results.items()
    }


# --- tiny requests while a large one is in ----------------------------------------------------------------------------


@dataclass
class Crowded:
    """Milliseconds of tiny requests alone, of tiny ones while others come one after another, and of these."""

    idle: list[float] = field(default_factory=list[float])
    crowded: list[float] = field(default_factory=list[float])
    large: list[float] = field(default_factory=list[float])


def crowd(plan: Plan, say: Say) -> dict[str, Crowded]:
    """8×3 in JSON beside 20 MB of JSON, which come from a process of their own."""
    results = {contender: Crowded() for contender in (JSON, TWENTY_LINES, FLOOR)}
    with started(results) as servers:
        for number in range(plan.rounds):
            say(f"tiny requests beside large ones: round {number + 1} of {plan.rounds}")
            for contender, result in results.items():
                _crowded_round(contender, servers[contender.name], result, plan.seconds)
    return {contender.name: result for contender, result in results.items()}


def _crowded_round(contender: Contender, server: Started, result: Crowded, seconds: float) -> None:
    tiny = contender.message(sample_of(TINY))
    beside(server, tiny, json_message(tiny.split(b" ")[1].decode(), sample_of(LARGE)), seconds, result)


def beside(server: Started, tiny: bytes, large: bytes, seconds: float, result: Crowded) -> None:
    """Tiny requests alone, and then while a process of its own sends large ones, one after another."""
    ask = server.connect()
    ask(tiny)
    result.idle += latencies(ask, tiny, seconds)
    with running(["-m", "bench.wire", str(server.port), str(seconds)]) as other:
        assert other.stdin
        assert other.stdout
        other.stdin.write(b"%d\n%b" % (len(large), large))
        other.stdin.flush()
        other.stdout.readline()  # the first large request is about to be sent
        result.crowded += latencies(ask, tiny, seconds)
        result.large += json.loads(other.stdout.readline())


def ask_for(port: int, seconds: float) -> None:
    """The message on standard input, behind its length, again and again until the time is over; then their latencies."""
    message = sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
    ask = Connection(port).ask
    print("ready", flush=True)
    print(json.dumps(latencies(ask, message, seconds)), flush=True)


if __name__ == "__main__":
    ask_for(int(sys.argv[1]), float(sys.argv[2]))
