"""Jobs a second, by what keeps them and how many workers do them: `python -m tests.jobs.throughput`.

Small ones are trained in a hundredth of a second, so that it is the keeping of jobs that is measured; long ones take a second of
a processor each, of which as many are done at once as there are workers and processors.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from app.client import Criterion
from tests.jobs.asking import LONG
from tests.jobs.sites import Site, on_file, on_postgres

SMALL: dict[str, Any] = {"data": {"inputs": [[1], [2], [3], [4]], "targets": [1, 2, 3, 4]}, "loss": "mse", "epochs": 5}
SUBMITTED_AT_ONCE = 8


def seconds(site: Site, request: dict[str, Any], count: int) -> float:
    """From the first request until the last of so many jobs has ended."""
    clients = [Criterion(url, retries=20, timeout=120) for url in site.urls]
    clients[0].ready()
    clients[0].jobs.submit("train", request).wait(timeout=120)  # what is started at first use is
    began = time.monotonic()
    with ThreadPoolExecutor(SUBMITTED_AT_ONCE) as threads:
        submit = lambda number: clients[number % len(clients)].jobs.submit("train", {**request, "seed": number})  # noqa: E731
        jobs = [*threads.map(submit, range(count))]
    for job in jobs:
        job.wait(timeout=600)
    return time.monotonic() - began


def main(small: int = 1000, long: int = 24) -> None:
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print("| | small jobs a second | long ones a second |\n|---|--:|--:|")
    kept: dict[str, Callable[..., AbstractContextManager[Site]]] = {"on a file": on_file}
    kept |= {f"on PostgreSQL, {workers} workers": partial(on_postgres, servers=1, workers=workers) for workers in (1, 2, 3)}
    for name, running in kept.items():
        rates: list[float] = []
        for request, count in ((SMALL, small), (LONG, long)):
            with tempfile.TemporaryDirectory(prefix="criterion-jobs-") as folder, running(Path(folder)) as site:
                rates.append(count / seconds(site, request, count))
        print(f"| {name} | {rates[0]:.0f} | {rates[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
