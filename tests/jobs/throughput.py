"""What jobs take, by what keeps them and how many workers do them: `python -m tests.jobs.throughput [SMALL] [LONG] [FILES]`.

Small evaluations take no time to speak of, so that the keeping of jobs is measured; small trainings take some 20 ms of a
processor, most of it the diagnosis in their answer; long ones a second, of which as many are done at once as there are
workers and processors. One large job is on files of 200,000 rows and done in parts.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.client import Criterion
from tests.jobs.asking import LONG
from tests.jobs.sites import Site, on_file, on_postgres

SMALL: dict[str, Any] = {"data": {"inputs": [[1], [2], [3], [4]], "targets": [1, 2, 3, 4]}, "loss": "mse", "epochs": 5}
EVALUATION: dict[str, Any] = {"loss": "mse", "predictions": [1, 2, 3, 4], "targets": [1, 2, 3, 5]}
SUBMITTED_AT_ONCE = 8
PART_BYTES = 32 * 2**20


def seconds(site: Site, kind: str, request: dict[str, Any], count: int) -> float:
    """From the first request until the last of so many jobs has ended."""
    clients = [Criterion(url, retries=20, timeout=120) for url in site.urls]
    clients[0].ready()
    clients[0].jobs.submit(kind, request).wait(timeout=120)  # what is started at first use is
    began = time.monotonic()
    with ThreadPoolExecutor(SUBMITTED_AT_ONCE) as threads:
        jobs = [*threads.map(lambda number: clients[number % len(clients)].jobs.submit(kind, request), range(count))]
    for job in jobs:
        job.wait(timeout=600)
    return time.monotonic() - began


def large(site: Site, folder: Path, kind: str) -> float:
    """From the beginning of one job on all of these files to its end."""
    client = Criterion(site.urls[0], retries=20, timeout=120)
    client.ready()
    columns = {"predictions": 0, "targets": 1}
    took: list[float] = []
    for name in ("part-000", "part-*"):  # what is started at first use is
        data = {"source": f"file://{folder}/{name}.npy", "columns": columns}
        job = client.jobs.submit(kind, {"loss": "mse", "data": data}).wait(timeout=600)
        moments = [datetime.fromisoformat(moment) for moment in (job.started or "", job.ended or "")]
        took.append((moments[1] - moments[0]).total_seconds())
    return took[-1]


def main(small: int = 1000, long: int = 24, files: int = 200) -> None:
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    kept: dict[str, Callable[..., AbstractContextManager[Site]]] = {"on a file": on_file}
    kept |= {f"on PostgreSQL, {workers} workers": partial(on_postgres, servers=1, workers=workers) for workers in (1, 2, 3)}
    if small:
        print("| a second | small evaluations | small trainings | long ones |\n|---|--:|--:|--:|")
    for name, running in kept.items() if small else ():
        rates: list[float] = []
        for kind, request, count in (("evaluate", EVALUATION, small), ("train", SMALL, small // 2), ("train", LONG, long)):
            with tempfile.TemporaryDirectory(prefix="criterion-jobs-") as folder, running(Path(folder)) as site:
                rates.append(count / seconds(site, kind, request, count))
        print(f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[2]:.2f} |", flush=True)
    print(f"| {files} files of 200,000 rows | evaluated in | analyzed in |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="criterion-rows-") as rows:
        rng = np.random.default_rng(0)
        for number in range(files):
            np.save(Path(rows) / f"part-{number:03}.npy", rng.standard_normal((200_000, 2), np.float32))
        settings = {"data_roots": rows, "job_part_bytes": PART_BYTES}
        ways = {f"on a file, {slots} slots": partial(on_file, job_slots=slots, **settings) for slots in (1, 2)}
        ways |= {name: partial(running, **settings) for name, running in kept.items() if running is not on_file}
        for name, running in ways.items():
            took: list[float] = []
            for kind in ("evaluate", "analyze"):
                with tempfile.TemporaryDirectory(prefix="criterion-jobs-") as folder, running(Path(folder)) as site:
                    took.append(large(site, Path(rows), kind))
            print(f"| {name} | {took[0]:.1f} s | {took[1]:.1f} s |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
