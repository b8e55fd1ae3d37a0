"""A server of its own for each attack, a watch around it, and a table of what was seen at the end."""

import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from tests.abuse import bodies, processes
from tests.abuse.watch import Sightings, Watch
from tests.abuse.wire import ask, post
from tests.conftest import ROOT, Server, serving

MIB = 1024**2
SETTINGS: dict[str, Any] = {
    "memory_bytes": 256 * MIB,
    "large_memory_bytes": 512 * MIB,
    "training_memory_bytes": 256 * MIB,
    "large_seconds": 5,
    "training_seconds": 5,
    "head_seconds": 3,
    "body_seconds": 5,
    "write_seconds": 5,
    "shutdown_seconds": 0,
}
"""What every server here is started with, so that each promise is kept or broken within seconds."""


def memory_of(settings: Mapping[str, Any]) -> int:
    """Bytes that the whole tree may take: what the settings give away, and 150 MB for the processes themselves."""
    return 150_000_000 + sum(settings[name] for name in ("memory_bytes", "large_memory_bytes", "training_memory_bytes"))


MEMORY = memory_of(SETTINGS)
LEAN = {"large_memory_bytes": 256 * MIB, "training_memory_bytes": 64 * MIB}
"""For attacks on the memory of many requests, which must not live on what is meant for one."""
P99 = 50.0
"""Milliseconds that 99 of 100 tiny requests may take at most, whatever else goes on."""
SHORTEST = 1.5
"""Seconds that are watched at least: more than a hundred tiny requests."""

Serve: TypeAlias = Callable[..., Server]
Watched: TypeAlias = Callable[..., AbstractContextManager[None]]


class Line(NamedTuple):
    attack: str
    memory: int
    seen: Sightings


TABLE = pytest.StashKey[list[Line]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = []


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Attacks are made where they are asked for by name, as `make abuse` does, and not with the other tests."""
    return None if any("tests/abuse" in str(argument) for argument in config.invocation_params.args) else True


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with these settings besides."""
    contexts: list[AbstractContextManager[Server]] = []

    def start(**settings: object) -> Server:
        contexts.append(started(tmp_path, **{**SETTINGS, **settings}))
        return contexts[-1].__enter__()

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


@contextmanager
def started(folder: Path, **settings: object) -> Generator[Server]:
    """A server that is ended with all its processes, however badly they are."""
    with serving(folder, **settings) as server:
        try:
            yield server
        finally:  # a process that hangs or is stopped does not hear SIGTERM
            for pid in processes.members(server.port):
                processes.send(pid, signal.SIGKILL)
            server.process.wait()


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    """A server that goes from attack to attack, as long as it is well after each."""
    with ExitStack() as stack:
        standing: list[Server] = []

        def well() -> Server:
            if not standing or not _is_well(standing[-1]):
                stack.close()
                standing.append(stack.enter_context(started(tmp_path_factory.mktemp("standing"), **SETTINGS)))
            return standing[-1]

        yield well


@pytest.fixture
def server(standing: Callable[[], Server]) -> Server:
    return standing()


def _is_well(server: Server) -> bool:
    calls = {"/v1/evaluate": (bodies.TINY, bodies.large()), "/v1/train": (bodies.short_training(),)}
    try:
        well = all(ask(server, post(path, body), 2.0).status == 200 for path, given in calls.items() for body in given)
    except OSError:
        return False
    return well and '"exception"' not in server.log.read_text()


@pytest.fixture
def watched(request: pytest.FixtureRequest) -> Watched:
    """Whatever is done within: tiny requests go on as if nothing was, and memory stays within what the settings say."""

    @contextmanager
    def watch(server: Server, memory: int = MEMORY) -> Generator[None]:
        watching, began = Watch(server.host, server.port), time.monotonic()
        try:
            yield
            time.sleep(max(0.0, SHORTEST - (time.monotonic() - began)))
        finally:
            seen = watching.end()
            request.config.stash[TABLE].append(Line(request.node.nodeid.rpartition("::")[2], memory, seen))
        assert not broken(seen, memory)
        assert server.process.poll() is None

    return watch


def broken(seen: Sightings, memory: int) -> list[str]:
    """The promises that were not kept, in words."""
    faults: list[str] = []
    if seen.failures:
        faults.append(f"{len(seen.failures)} tiny requests failed, first {seen.failures[0]}")
    if others := {status: count for status, count in seen.statuses.items() if status not in ("200", "503")}:
        faults.append(f"tiny requests were answered with {others}")
    if p99(seen) > P99:
        faults.append(f"tiny requests took p99 {p99(seen):.0f} ms, at most {max(seen.milliseconds):.0f} ms")
    if seen.peak > memory:
        faults.append(f"the processes took {seen.peak / MIB:.0f} MiB; {memory / MIB:.0f} are allowed")
    return faults


def p99(seen: Sightings) -> float:
    ordered = sorted(seen.milliseconds) or [float("inf")]
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


HEAD = ("attack", "requests", "p50", "p99", "max ms", "failed", "not 200", "MiB", "peak", "allowed")


PAGE = ROOT / "docs/operations.md"


def written(command: str, text: str) -> None:
    """Put this into the page, where it says that the command writes it."""
    mark = re.compile(rf"(<!-- written by `{re.escape(command)}` -->\n).*?(<!-- to here -->\n)", re.DOTALL)
    PAGE.write_text(mark.sub(lambda found: f"{found[1]}{text}{found[2]}", PAGE.read_text()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write", action="store_true", help="write what was tried, and how it ended, into docs/operations.md")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.stash[TABLE]:
        return
    terminalreporter.section(f"tiny requests meanwhile (p99 of {P99:.0f} ms is allowed), and MiB of the processes")
    for first, *others in [HEAD, *map(_cells, config.stash[TABLE])]:
        terminalreporter.write_line(f"{first:<58}" + "".join(f"{cell:>9}" for cell in others))
    if config.getoption("--write"):
        written("make abuse ARGS=--write", _told(config.stash[TABLE]))


def _told(lines: Sequence[Line]) -> str:
    """What was tried as a table: each attack in the words of its test, and what others saw of it meanwhile."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    rows = ["| attack | tiny requests meanwhile | p99 ms | failed | MiB at most | allowed |", "|---|--:|--:|--:|--:|--:|"]
    for line in lines:
        _, count, _, p99_ms, _, failed, _, _, peak, allowed = _cells(line)
        words = line.attack.removeprefix("test_").replace("_", " ").replace("|", "\\|")
        broke = "" if not broken(line.seen, line.memory) else " **broken**"
        rows.append(f"| {words}{broke} | {count} | {p99_ms} | {failed} | {peak} | {allowed} |")
    return "\n".join([f"{len(lines)} attacks on {day}, {os.cpu_count()} cores:", "", *rows, ""])


def _cells(line: Line) -> tuple[str, ...]:
    seen = line.seen
    times = [statistics.median(seen.milliseconds or [float("inf")]), p99(seen), max(seen.milliseconds or [float("inf")])]
    refused = sum(count for status, count in seen.statuses.items() if status != "200")
    sizes = (seen.before, seen.peak, line.memory)
    return (
        line.attack[:57],
        str(len(seen.milliseconds)),
        *(f"{time:.1f}" for time in times),
        str(len(seen.failures)),
        str(refused),
        *(f"{size / MIB:.0f}" for size in sizes),
    )
