"""What does jobs, as its processes: one server on a file, or servers and workers on a PostgreSQL of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import ROOT
from tests.jobs.postgres import postgres
from tests.serving.servers import free_port

SETTINGS = {"job_slots": 1, "log_level": "warning"}


class Site(NamedTuple):
    """What is running."""

    programs: dict[str, subprocess.Popen[bytes]]
    urls: list[str]
    start: Callable[[str], None]
    more: Mapping[str, Callable[[], None]]
    """What can happen besides."""


@contextmanager
def on_file(folder: Path, **settings: Any) -> Iterator[Site]:
    """One server, with a worker of its own."""
    port = free_port()
    settings["data_dir"] = folder / "data"
    with _programs({"server": (["serve"], {"port": port})}, settings, folder) as (programs, start):
        yield Site(programs, [f"http://127.0.0.1:{port}"], start, {})


@contextmanager
def on_postgres(folder: Path, *, servers: int = 2, workers: int = 3, **settings: Any) -> Iterator[Site]:
    """So many on one database."""
    ports = [free_port() for _ in range(servers)]
    wanted: dict[str, tuple[list[str], dict[str, Any]]] = {
        **{f"server {number}": (["serve"], {"port": port}) for number, port in enumerate(ports, 1)},
        **{f"worker {number}": (["worker"], {}) for number in range(1, workers + 1)},
    }
    with postgres() as database:

        def restart() -> None:
            database.stop("immediate")
            database.start()

        settings |= {"data_dir": folder / "data", "engine_url": database.url}
        with _programs(wanted, settings, folder) as (programs, start):
            yield Site(programs, [f"http://127.0.0.1:{port}" for port in ports], start, {"database": restart})


@contextmanager
def _programs(
    wanted: Mapping[str, tuple[list[str], dict[str, Any]]], settings: Mapping[str, Any], folder: Path
) -> Iterator[tuple[dict[str, subprocess.Popen[bytes]], Callable[[str], None]]]:
    running: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str) -> None:
        words, own = wanted[name]
        variables = {f"CRITERION_{key.upper()}": str(value) for key, value in {**SETTINGS, **settings, **own}.items()}
        with (folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "app", *words]
            running[name] = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=log, stderr=log)

    try:
        for name in wanted:
            start(name)
        yield running, start
    finally:
        for process in running.values():
            process.kill()
            process.wait()
