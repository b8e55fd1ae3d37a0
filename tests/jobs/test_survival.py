"""Whatever is killed, every job that was accepted ends, with the very bits of an undisturbed run; and what the database holds."""

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, serving
from tests.jobs import chaos
from tests.jobs.asking import LONG, ONE_LONG_EPOCH, Jobs, timeless, worker_of
from tests.processes import children, has_ended, poll, processor_time

SETTINGS: dict[str, Any] = {"job_slots": 1, "job_checkpoint_seconds": 0.1}


def undisturbed(server: Server, request: dict[str, Any]) -> Any:
    return timeless(server.ask("POST", "/v1/train", json=request).json())


def at_work(server: Server) -> int:
    """The process that works on the job of a server."""
    (template,) = children(worker_of(server))
    (working,) = children(template)
    return working


def kill_at_work(server: Server) -> None:
    """Kill the process that works on the job, once it does."""
    working = at_work(server)
    before = processor_time(working)
    poll(lambda: processor_time(working) > before, "it does not begin")
    os.kill(working, signal.SIGKILL)


def is_whole(jobs: Jobs, identity: str) -> Any:
    """The result of a job that has told every epoch once."""
    job = jobs.wait(identity)
    assert job["status"] == "succeeded", job
    events = [*jobs.events(identity)]
    assert [number for number, _, _ in events] == [*range(1, len(events) + 1)]
    assert [data["epoch"] for _, name, data in events if name == "epoch"] == [*range(1, job["progress"]["done"] + 1)]
    return timeless(job["result"])


@pytest.mark.thorough
def test_a_job_survives_its_process_its_engine_and_its_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(tmp_path, data_dir=data, **SETTINGS) as server, server.client() as client:
        jobs = Jobs(client)
        expected = undisturbed(server, LONG)
        identity = jobs.submit(LONG)
        jobs.until_done(identity, 20)
        os.kill(at_work(server), signal.SIGKILL)
        jobs.until_done(identity, 60)
        worker = worker_of(server)
        os.kill(worker, signal.SIGKILL)
        poll(lambda: has_ended(worker), "it does not end")
        jobs.until_done(identity, 100)
        template = children(worker_of(server))
        os.kill(server.process.pid, signal.SIGKILL)
        poll(lambda: all(map(has_ended, template)), "what the server has started goes on without it")
    with serving(tmp_path, data_dir=data, **SETTINGS) as server, server.client() as client:
        jobs = Jobs(client)
        assert is_whole(jobs, identity) == expected
        assert jobs.show(identity)["attempts"] >= 3
    assert pickled(data / "engine.sqlite") == []


def pickled(file: Path) -> list[object]:
    """What in a database could be a pickle: as bytes, or as text, in base 64."""
    found: list[object] = []
    with sqlite3.connect(file) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"workflow_status", "operation_outputs", "criterion_jobs"} <= {*tables}
        for table in tables:
            cells = [cell for row in connection.execute(f"SELECT * FROM {table}") for cell in row]
            found += [cell for cell in cells if cell == "py_pickle" or str(cell).startswith(("gAS", "b'\\x80"))]
    connection.close()
    return found


@pytest.mark.thorough
def test_a_piece_whose_process_always_dies_a_job_that_takes_too_long_and_one_that_takes_too_much(tmp_path: Path) -> None:
    with (
        serving(tmp_path, job_slots=1, job_attempts=2, job_seconds=4, job_memory_bytes=64 * 2**20) as server,
        server.client() as client,
    ):
        jobs = Jobs(client)
        identity = jobs.submit(ONE_LONG_EPOCH)
        for attempt in (1, 2):
            jobs.wait(identity, lambda job, attempt=attempt: job["attempts"] == attempt)
            kill_at_work(server)
        job = jobs.wait(identity)
        assert (job["status"], job["problem"]["code"], job["attempts"]) == ("failed", "worker_died", 2)
        resumed = client.post(f"/v1/jobs/{identity}/resume").json()
        assert (resumed["status"], resumed["problem"]) == ("queued", None)
        job = jobs.wait(identity)
        assert (job["status"], job["problem"]["code"]) == ("failed", "deadline")
        # whose history alone is 400 MB
        large = {"data": {"inputs": [[1], [2]], "targets": [1, 2]}, "loss": "mse", "validation": None, "epochs": 10**7}
        job = jobs.wait(jobs.submit(large))
        assert (job["status"], job["problem"]["code"], job["attempts"]) == ("failed", "limit", 1)
        assert job["problem"]["status"] == 422


@pytest.mark.thorough
def test_two_servers_on_one_file_share_its_engine(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with (
        serving(tmp_path, data_dir=data, **SETTINGS) as server,
        serving(tmp_path, data_dir=data, workers=2, **SETTINGS) as other,
        server.client() as client,
        other.client() as others,
    ):
        jobs = Jobs(others)
        identity = Jobs(client).submit(LONG)
        jobs.until_done(identity, 20)
        server.end()
        assert is_whole(jobs, identity) == undisturbed(other, LONG)


@pytest.mark.thorough
@pytest.mark.parametrize("site", chaos.SITES)
def test_random_kills(site: str, tmp_path: Path) -> None:
    """For some time any process of the jobs is killed, or the server itself, or the database is stopped."""
    with chaos.SITES[site](tmp_path, **chaos.SETTINGS) as running:
        ended = chaos.chaos(running, seconds=20)
    assert ended.jobs >= chaos.AT_ONCE
    assert ended.happened.total() > 5
