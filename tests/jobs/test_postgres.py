"""Jobs on PostgreSQL: any number of processes, on any machines, of which one goes on with what another has left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml

from tests.conftest import ROOT, serving
from tests.jobs.asking import LONG, Jobs, timeless
from tests.jobs.postgres import Postgres, postgres
from tests.jobs.test_reference import work
from tests.processes import poll

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@contextmanager
def worker(folder: Path, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m app worker`, ready."""
    variables = {name if name.isupper() else f"CRITERION_{name.upper()}": str(value) for name, value in settings.items()}
    log = folder / f"worker-{len([*folder.glob('worker-*')])}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "app", "worker"]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=output)
    try:
        poll(lambda: "worker_ready" in log.read_text() or process.poll() is not None, "the worker is not ready")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGKILL)


def test_a_worker_shows_that_it_lives(tmp_path: Path, database: Postgres) -> None:
    """By the command of docker-compose.yml, with 3 seconds for half a minute, and the worker's process id for a container's."""
    check = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["worker"]["healthcheck"]["test"]
    with worker(tmp_path, engine_url=database.url, data_dir=tmp_path / "data", TMPDIR=tmp_path) as process:
        own = check.replace("$$", "$").replace("/tmp/criterion-worker-1", f"{tmp_path}/criterion-worker-{process.pid}")
        shell = ["sh", "-c", own.replace("-lt 30", "-lt 3")]
        healthy = lambda: subprocess.run(shell, stderr=subprocess.DEVNULL, check=False).returncode == 0  # noqa: E731
        poll(healthy, "a worker that is ready does not show it")
        process.send_signal(signal.SIGSTOP)
        poll(lambda: not healthy(), "a worker that is stopped still seems to live")
        process.send_signal(signal.SIGCONT)
        poll(healthy, "a worker that goes on does not show it")
        database.stop("immediate")
        poll(lambda: not healthy(), "a worker without its database still seems to live")
        database.start()
        poll(healthy, "a worker whose database is back does not show it")
    assert not [*tmp_path.glob("criterion-worker-*")]


def at_work(database: Postgres) -> int:
    """The process that has the run which goes on."""
    with psycopg.connect(database.url) as connection:
        ((executor,),) = connection.execute("SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING'").fetchall()
    return int(executor.split(".")[-2])


def test_another_process_goes_on_where_one_has_died_and_the_database_may_restart(tmp_path: Path, database: Postgres) -> None:
    settings = {"engine_url": database.url, "data_dir": tmp_path / "data", "job_slots": 1, "job_checkpoint_seconds": 0.1}
    with serving(tmp_path, **settings) as server, server.client() as client:
        jobs = Jobs(client)
        expected = timeless(client.post("/v1/train", json=LONG).json())
        with worker(tmp_path, **settings), worker(tmp_path, **settings):
            identity = jobs.submit(LONG)
            jobs.until_done(identity, 20)
            os.kill(at_work(database), signal.SIGKILL)
            jobs.until_done(identity, 100)
            database.stop("immediate")
            database.start()
            job = jobs.wait(identity)
            kept = client.post("/v1/datasets?name=n", json={"p": [2.5, 0.0, 8.0], "y": [3.0, -0.5, 2.0]})
            assert kept.status_code == 201
            data = {"source": "dataset:n", "columns": {"predictions": "p", "targets": "y"}}
            evaluated = jobs.wait(jobs.submit({"loss": "mae", "data": data}, "evaluate"))
            assert evaluated["result"]["value"] == 7 / 3
        (found,) = client.get("/v1/runs?limit=5").json()["runs"]
        assert (found["id"], found["runs"][0]["final"]) == (identity, job["result"]["final"])
        (run,) = client.get(f"/v1/runs/{identity}").json()["runs"]
        assert run["curves"]["epoch"] == [*range(1, LONG["epochs"] + 1)]
        assert timeless(job["result"]) == expected
        assert job["attempts"] >= 2
        events = [*jobs.events(identity)]
        assert [data["epoch"] for _, name, data in events if name == "epoch"] == [*range(1, LONG["epochs"] + 1)]
    with psycopg.connect(database.url) as connection:
        for table in ("workflow_status", "operation_outputs"):
            kinds = connection.execute(f"SELECT DISTINCT serialization FROM dbos.{table}").fetchall()  # pyright: ignore
            assert {kind for (kind,) in kinds} <= {"criterion_json", None}


def test_the_parts_of_a_job_are_done_by_several_workers(tmp_path: Path, database: Postgres) -> None:
    """To the bit, also where one of them is killed in the middle, each event once and in order."""
    folder, rng = tmp_path / "rows", np.random.default_rng(1)
    folder.mkdir()
    for number in range(24):
        np.save(folder / f"part-{number:03}.npy", rng.standard_normal((100_000, 2)))
    data = {"source": f"file://{folder}/part-*.npy", "columns": {"predictions": 0, "targets": 1}}
    events, expected = work(folder, {"loss": "mse", "data": data}, kind="analyze")
    settings: dict[str, Any] = {"engine_url": database.url, "data_dir": tmp_path / "data", "job_slots": 1, "data_roots": folder}
    settings |= {"job_checkpoint_seconds": 0.05, "job_part_bytes": 3_000_000}
    with (
        serving(tmp_path, **settings) as server,
        server.client() as client,
        worker(tmp_path, **settings) as first,
        worker(tmp_path, **settings),
    ):
        jobs = Jobs(client)
        identity = jobs.submit({"loss": "mse", "data": data}, "analyze")
        jobs.until_done(identity, 4)
        with psycopg.connect(database.url) as connection:
            begun = "SELECT DISTINCT executor_id FROM dbos.workflow_status WHERE status IN ('PENDING', 'SUCCESS')"
            assert len(connection.execute(begun).fetchall()) >= 2
        first.kill()
        job = jobs.wait(identity)
        assert (job["status"], job["result"]) == ("succeeded", expected)
        told = [*jobs.events(identity)]
        assert [number for number, *_ in told] == [*range(1, len(told) + 1)]
        assert [data for _, name, data in told if name == "partition"] == [data for *_, data in events]
