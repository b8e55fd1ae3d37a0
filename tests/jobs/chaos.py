"""Jobs while whatever does them is killed at random: every job that was accepted ends, with the bits of an undisturbed run.

    python -m tests.jobs.chaos [SECONDS] [file] [postgres]

On a file there is one server, which has its own worker; on PostgreSQL two servers, three workers and the database, which is
stopped in the middle of things and started again. Programs that die are started again, as what supervises them would.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from app.client import Criterion
from app.client.jobs import Job
from tests.jobs.asking import LONG, timeless
from tests.jobs.sites import Site, on_file, on_postgres
from tests.processes import children, has_ended, poll

SEEDS = 8
"""Different runs, of each of which the undisturbed answer is known."""
AT_ONCE = 12
"""Jobs that wait or run."""
SETTINGS = {"job_checkpoint_seconds": 0.1, "job_attempts": 1000}


class Ended(NamedTuple):
    """How it was."""

    jobs: int
    attempts: int
    """Starts of these jobs."""
    happened: Counter[str]


def chaos(site: Site, seconds: float, seed: int = 1) -> Ended:
    """Kill at random for so long; AssertionError where a job does not end as if nothing had been."""
    rng = random.Random(seed)
    clients = [Criterion(url, retries=20, timeout=120) for url in site.urls]
    clients[0].ready()
    expected = [_asked("POST", f"{site.urls[0]}/v1/train", {**LONG, "seed": seed}) for seed in range(SEEDS)]
    jobs: list[Job] = []
    happened: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        client = rng.choice(clients)
        while len(client.jobs.list(status="queued", most=AT_ONCE)) < AT_ONCE:
            request, key = {**LONG, "seed": len(jobs) % SEEDS}, f"chaos {len(jobs)}"
            jobs.append(client.jobs.submit("train", request, idempotency_key=key))
        time.sleep(rng.uniform(0.2, 1.5))  # something is done in between
        happened[_harm(site, rng)] += 1
    for number, job in enumerate(jobs):
        job.wait(timeout=300)
        result = _asked("GET", f"{site.urls[0]}/v1/jobs/{job.id}")["result"]
        assert result == expected[number % SEEDS], f"{job.id} has other numbers"
        events = [*job.events()]
        told = [event.number for event in events]
        assert told == [*range(1, len(told) + 1)], f"{job.id}: an event is missing or comes twice"
        epochs = [event.epoch for event in events if event.event == "epoch"]
        assert epochs == [*range(1, LONG["epochs"] + 1)], f"{job.id}: an epoch is missing or comes twice"
    return Ended(len(jobs), sum(job.attempts for job in jobs), happened)


def _asked(method: str, url: str, document: Any = None) -> Any:
    """What is answered, without how long anything took."""
    answer = httpx.request(method, url, json=document, timeout=120)
    assert answer.status_code == 200, answer.text
    return timeless(answer.json())


def _harm(site: Site, rng: random.Random) -> str:
    """Kill one program, or one of the processes that it has started, or have something else happen; what it was."""
    what = rng.choice([*site.programs, *site.programs, *site.more])
    if what in site.more:
        site.more[what]()
        return what
    program = site.programs[what]
    below = [*_below(program.pid)]
    if below and rng.random() < 0.6:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(below), signal.SIGKILL)
        return f"a process of {what}"
    program.kill()
    program.wait()
    poll(lambda: all(map(has_ended, below)), f"what {what} has started goes on without it")
    site.start(what)
    return what


def _below(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from _below(child)


SITES: Mapping[str, Callable[..., AbstractContextManager[Site]]] = {"file": on_file, "postgres": on_postgres}


def main(arguments: list[str]) -> None:
    """Each way to keep jobs in turn, and what was done to it."""
    seconds = float(arguments.pop(0)) if arguments and arguments[0].isdecimal() else 60.0
    for name in arguments or SITES:
        with tempfile.TemporaryDirectory(prefix="criterion-chaos-") as folder, SITES[name](Path(folder), **SETTINGS) as site:
            began = time.monotonic()
            jobs, attempts, happened = chaos(site, seconds)
            print(
                f"{name}: {jobs} jobs ended right after {time.monotonic() - began:.0f} s, begun {attempts} times;", dict(happened)
            )


if __name__ == "__main__":
    main(sys.argv[1:])
