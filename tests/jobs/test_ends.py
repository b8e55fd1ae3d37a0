"""What docs/operations.md says of the bad days of jobs: each has the end that stands there."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.api.jobs import OF_KIND
from app.jobs.database import Unreachable, open_database
from app.jobs.store import New, Store
from app.serving.environment import ENVIRONMENT
from app.serving.pieces import saved
from tests.conftest import ROOT, serving
from tests.jobs.asking import LONG, ONE_LONG_EPOCH, Jobs, worker_of
from tests.jobs.test_pieces import done
from tests.jobs.test_survival import SETTINGS, at_work, is_whole, undisturbed
from tests.processes import has_ended, poll

NEW = New("train", 0, 300, "epochs", json.dumps({"kind": "train", "request": LONG}).encode())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = store_in(tmp_path)
    yield store
    store.database.close()


def store_in(folder: Path, **bounds: Any) -> Store:
    return Store(open_database(f"sqlite:///{folder / 'engine.sqlite'}"), limit=10, retention=60.0)


@contextmanager
def worker(folder: Path, version: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`criterion worker` on the file in a folder, of another version of the engine's steps if one is said."""
    patch = f"import app.jobs.engine as engine; engine.VERSION = {version!r}; " if version else ""
    code = f"{patch}import runpy, sys; sys.argv = ['criterion', 'worker']; runpy.run_module('app', run_name='__main__')"
    variables = {"data_dir": folder, "job_slots": 1, "job_checkpoint_seconds": 0.1}
    environment = {**os.environ, **ENVIRONMENT, **{f"CRITERION_{name.upper()}": str(value) for name, value in variables.items()}}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# --- the clock, the disk ------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_costs_no_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now)
    first = store.submit(NEW, "")[0].job
    assert store.begin(first.id, 1, 0)
    now -= 3600  # back
    second = store.submit(NEW, "")[0].job
    assert [job.id for job, _ in store.page("", None, None, 10, None)] == [first.id, second.id], "by the clock"
    store.tell(first.id, 1, 0, [("epoch", b"{}", 1)])
    now += 10 * 365 * 86400  # forth
    assert store.forget(now) == []
    store.tell(first.id, 1, 1, [("epoch", b"{}", 2)])
    assert store.finish(first.id, 1, result=b"{}")
    assert store.get(first.id, "").job.status == "succeeded"
    assert [event.number for event in store.events(first.id, 0)] == [1, 2, 3, 4, 5, 6]
    assert store.begin(second.id, 1, 0)
    now += 61
    assert store.forget(now) == [(first.id, 1)]


def test_a_full_disk_takes_no_job_and_loses_none(store: Store) -> None:
    job = store.submit(NEW, "")[0].job
    with store.database.transaction() as execute:
        ((pages,),) = execute("PRAGMA page_count")
        execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unreachable):
        store.submit(NEW._replace(body=b"x" * 100_000), "")
    assert store.get(job.id, "").job.status == "queued"  # the file is opened anew, without that limit
    assert store.submit(NEW, "")[0].job.status == "queued"


def test_without_room_for_checkpoints_a_job_is_done_in_one_piece(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_bytes(b"")  # where the folder would be
    with pytest.raises(OSError, match="full"):
        saved({}, 1, full)
    assert OF_KIND["train"].job
    events, answer, pieces = done("train", full, at_once=False)
    assert pieces == 1
    assert (events, answer) == done("train", tmp_path / "room", at_once=False)[:2]


# --- processes ----------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_cancel_is_answered_in_a_fifth_of_a_second_and_its_process_gone_in_another(tmp_path: Path) -> None:
    """The best of some tries: the machine may be busy."""
    answered: list[float] = []
    gone: list[float] = []
    with serving(tmp_path, **SETTINGS) as server, server.client() as client:
        jobs = Jobs(client)
        for _ in range(5):
            identity = jobs.submit(ONE_LONG_EPOCH)
            jobs.wait(identity, lambda job: job["status"] == "running")
            working = at_work(server)
            began = time.monotonic()
            assert client.delete(f"/v1/jobs/{identity}").json()["status"] == "cancelled"
            answered.append(time.monotonic() - began)
            poll(lambda working=working: has_ended(working), "its process goes on")
            gone.append(time.monotonic() - began)
    assert min(answered) < 0.2
    assert min(gone) < 0.4


@pytest.mark.thorough
def test_what_is_stopped_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, **SETTINGS) as server, server.client() as client:
        jobs = Jobs(client)
        expected = undisturbed(server, LONG)
        identity = jobs.submit(LONG)
        jobs.until_done(identity, 20)
        os.kill(at_work(server), signal.SIGSTOP)
        jobs.until_done(identity, 60)
        stopped = worker_of(server)
        os.kill(stopped, signal.SIGSTOP)
        poll(lambda: has_ended(stopped), "it is left alone")
        assert is_whole(jobs, identity) == expected
        assert jobs.show(identity)["attempts"] >= 3


@pytest.mark.thorough
def test_a_second_worker_on_a_file_is_not_needed(tmp_path: Path) -> None:
    with worker(tmp_path):
        poll(lambda: "worker_ready" in (tmp_path / "worker.log").read_text(), "it is not ready")
        with worker(tmp_path) as second:
            assert second.wait(60) == 0
        assert "worker_not_needed" in (tmp_path / "worker.log").read_text()


@pytest.mark.thorough
def test_what_a_worker_of_another_version_has_left_is_done(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    running, queued = (store.submit(NEW, "")[0].job.id for _ in range(2))
    with worker(tmp_path, version="0"):
        poll(lambda: store.get(running, "").job.done > 20, "it does not begin")
    with sqlite3.connect(tmp_path / "engine.sqlite") as connection:
        versions = connection.execute("SELECT DISTINCT application_version FROM workflow_status").fetchall()
    connection.close()
    assert versions == [("0",)]
    assert store.get(queued, "").job.status == "queued"
    with worker(tmp_path):
        poll(lambda: {store.get(job, "").job.status for job in (running, queued)} == {"succeeded"}, "they are left alone")
    assert store.get(running, "").job.attempts == 2
    events = [json.loads(event.data)["epoch"] for event in store.events(running, 0) if event.name == "epoch"]
    assert events == [*range(1, LONG["epochs"] + 1)]
    store.database.close()


def test_the_page_tells_how_each_ends() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    table = page[page.index("| what happens | how it ends |") :].split("\n\n")[0]
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)", sources, re.M))
    named = set(re.findall(r"`(test_\w+)`", table))
    assert named
    assert named <= tests
