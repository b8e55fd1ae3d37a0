"""Where the time of one request goes: `python -m bench.profile 8x3` (or mse3, 8x3-binary, 1000x10, 10000x100, ...).

Two views, neither of which needs a tool: the live server under cProfile while the request is asked again and again; and
one request through the application in this process, counted in bytecodes and calls, which no other load can disturb.
What is worked on in another process is in neither.
"""

import argparse
import asyncio
import cProfile
import pstats
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from app.main import create_app, serve
from bench.contenders import binary_message, json_message, sample_of, squares_message
from bench.processes import ROOT, Connection, free_port, running

WARM = 50
"""Requests before the one that is counted."""


def message_of(name: str) -> bytes:
    """`mseN`, `NxK` in JSON, or `NxK-binary`."""
    if name.startswith("mse"):
        return squares_message(int(name[3:]))[0]
    size, _, binary = name.partition("-")
    n, k = map(int, size.split("x"))
    sample = sample_of((n, k))
    return binary_message("FP64", sample) if binary else json_message("/v1/evaluate", sample)


# --- the live server ------------------------------------------------------------------------------------------------------


def live(message: bytes, seconds: float, top: int) -> None:
    """The functions of the server process by their own CPU time. The profiler makes calls dearer than they are."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        profile, count = Path(folder) / "profile", 0
        with running(
            ["-m", "bench.profile", "--serve", str(profile)], {"CRITERION_PORT": str(port), "CRITERION_LOG_LEVEL": "warning"}
        ) as process:
            ask = Connection(port).ask
            for _ in range(WARM):
                ask(message)
            process.send_signal(signal.SIGUSR1)
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                ask(message)
                count += 1
            process.send_signal(signal.SIGTERM)
            process.wait()
        print(f"the live server, {count} requests in {seconds:g} s under cProfile")
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(top)


def serve_profiled(path: str) -> None:
    """The service, profiled from SIGUSR1 on."""
    profiler = cProfile.Profile(time.process_time)  # waiting is nobody's time
    signal.signal(signal.SIGUSR1, lambda *_: profiler.enable())
    try:
        serve()
    finally:
        profiler.disable()
        profiler.dump_stats(path)


# --- one request, counted -------------------------------------------------------------------------------------------------


@dataclass
class Counted:
    """Bytecodes and calls of Python functions by file; calls of C functions by name."""

    bytecodes: Counter[str] = field(default_factory=Counter[str])
    calls: Counter[str] = field(default_factory=Counter[str])
    c_calls: Counter[str] = field(default_factory=Counter[str])

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.calls[name] += 1
        elif event == "opcode":
            self.bytecodes[name] += 1
        return self.trace

    def profile(self, _: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            self.c_calls[getattr(function, "__qualname__", repr(function))] += 1


def counted(message: bytes) -> Counted:
    """One request through the application, after some that warm it up."""
    return asyncio.run(_counted(message))


async def _counted(message: bytes) -> Counted:
    scope, body = _scope(message)
    app, counts = create_app(), Counted()
    for _ in range(WARM):
        await _ask(app, scope, body)
    sys.setprofile(counts.profile)
    sys.settrace(counts.trace)
    try:
        await _ask(app, scope, body)
    finally:
        sys.settrace(None)
        sys.setprofile(None)
    return counts


async def _ask(app: Any, scope: dict[str, Any], body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        if event.get("status", 200) != 200:
            raise RuntimeError(f"refused with {event['status']}")

    await app(dict(scope), receive, send)


def _scope(message: bytes) -> tuple[dict[str, Any], bytes]:
    """A request as uvicorn hands it on."""
    head, _, body = message.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, path, _ = first.split(b" ")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.decode(),
        "scheme": "http",
        "path": path.decode(),
        "raw_path": path,
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }, body


def show(counts: Counted, top: int) -> None:
    totals = [sum(counter.values()) for counter in (counts.bytecodes, counts.calls, counts.c_calls)]
    print("one request through the application: {} bytecodes, {} Python calls, {} C calls".format(*totals))
    print(f"{'bytecodes':>10}{'calls':>8}  file")
    for name, number in counts.bytecodes.most_common(top):
        print(f"{number:>10}{counts.calls[name]:>8}  {_short(name)}")
    print(f"{'C calls':>10}  function")
    for name, number in counts.c_calls.most_common(top):
        print(f"{number:>10}  {name}")


def _short(name: str) -> str:
    return name.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("request", nargs="?", default="8x3", help="8x3, 8x3-binary, mse3, 1000x10, ...")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the live server is asked; 0: not at all")
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--top", type=int, default=25, help="lines of each table")
    given = parser.parse_args()
    if given.serve:
        serve_profiled(given.serve)
        return
    message = message_of(given.request)
    if given.seconds:
        live(message, given.seconds, given.top)
    show(counted(message), given.top)


if __name__ == "__main__":
    main()
