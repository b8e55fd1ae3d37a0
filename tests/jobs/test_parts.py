"""Parts of jobs: whatever they are, and whoever has done which of them when, a job tells the same and comes to the same."""

import itertools
import json
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.api.jobs import OF_KIND, check_job
from app.errors import CallerError
from app.jobs.database import open_database
from app.jobs.store import New, Store
from app.serving.pieces import Checkpoint, Ended, Found, Joining, Task, jobs_settings, join, work_on
from app.settings import Settings
from tests.conftest import Server, serving
from tests.jobs.asking import Jobs, worker_of
from tests.jobs.test_pieces import Saying
from tests.jobs.test_reference import PARTS, in_npy, work
from tests.processes import children

# --- in one process ---------------------------------------------------------------------------------------------------


def settings_for(folder: Path, size: int, seconds: float = 1000.0) -> Settings:
    settings = Settings(job_part_bytes=size, job_checkpoint_seconds=seconds, data_roots=(str(folder),))
    return jobs_settings(settings)


def dealt(folder: Path, request: dict[str, Any], size: int, kind: str = "evaluate") -> Sequence[bytes]:
    """The parts of a job."""
    return check_job({"kind": kind, "request": request}, {}, settings_for(folder, size)).parts


def of_part(folder: Path, request: dict[str, Any], part: bytes, kind: str, seconds: float) -> bytes:
    """What a part comes to."""
    call, saying = OF_KIND[kind], Saying()
    assert call.job
    body, checkpoint = memoryview(json.dumps({"request": request}).encode()), None
    while True:
        task = Task(call.job, call.job_check, settings_for(folder, 1, seconds), checkpoint, folder / "checkpoints", "", part)
        reached, written = work_on(body, saying, task)
        assert saying.events == []
        if isinstance(reached, Found):
            return b"".join(written)
        assert isinstance(reached, Checkpoint)
        checkpoint = reached


def put_together(
    folder: Path, request: dict[str, Any], found: Sequence[bytes], kind: str, cuts: Sequence[int]
) -> tuple[list[Any], Any]:
    """What is told and what it comes to, where parts are put together up to each of these in turn, and then all."""
    call, saying = OF_KIND[kind], Saying()
    assert call.job
    body = memoryview(json.dumps({"request": request}).encode())
    reached: object = None
    state: list[bytes] = []
    for start, end in itertools.pairwise((0, *cuts, len(found))):
        parts, whole = [*state, *found[start:end]], end == len(found)
        joining = Joining(call.job, call.job_check, settings_for(folder, 1), "", parts, bool(state), whole)
        reached, written = join(body, saying, joining)
        state = [b"".join(written)]
    assert isinstance(reached, Ended)
    return saying.events, json.loads(state[0])


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of very different lengths, with rows that do not count, and numbers of very different sizes."""
    folder = tmp_path_factory.mktemp("rows")
    rng = random.Random(7)
    for number, count in enumerate((1, 40, 3, 0, 25, 2, 30)):
        lines = [
            f"{rng.choice((1e-9, 0.5, 1.0, 0.3)) * rng.random()},{rng.randint(0, 1)},{rng.uniform(0, 2)},{rng.choice('abc')},"
            f"{int(rng.random() < 0.8 and number != 5)}"
            for _ in range(count)
        ]
        (folder / f"{number}.csv").write_text("\n".join(("p,y,weight,site,mask", *lines, "")))
    return folder


COLUMNS = {"predictions": "p", "targets": "y", "mask": "mask"}
WEIGHED = {**COLUMNS, "sample_weight": "weight"}


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("evaluate", {"loss": "bce", "data": {"columns": COLUMNS}}),
        ("evaluate", {"loss": "rmse", "data": {"columns": WEIGHED}}),
        ("evaluate", {"loss": "huber", "reduction": "sum", "data": {"columns": WEIGHED}}),
        ("analyze", {"loss": "bce", "n_worst": 7, "data": {"columns": {**COLUMNS, "groups": ["site"]}}}),
    ],
)
def test_parts_come_to_what_all_come_to_at_once(rows: Path, tmp_path: Path, kind: str, request_: dict[str, Any]) -> None:
    """To the bit, whatever the parts are, in whatever order they are done, and however they are put together."""
    data = {**request_["data"], "source": f"file://{rows}/*.csv"}
    request = {**request_, "data": data}
    expected = work(rows, request, kind=kind)
    assert [told["partition"] for *_, told in expected[0]] == [*range(7)]
    whole = sum(path.stat().st_size for path in rows.iterdir() if path.suffix == ".csv")
    assert dealt(rows, request, whole, kind) == []
    counts: set[int] = set()
    for size in (1, whole // 3 + 1, whole // 2 + 1):
        parts = dealt(rows, request, size, kind)
        counts.add(len(parts))
        places = [*range(len(parts))]
        random.Random(size).shuffle(places)
        done = {place: of_part(rows, request, parts[place], kind, seconds=place % 2 * 1000.0) for place in places}
        found = [done[place] for place in sorted(done)]
        for cuts in ([], [1], [*range(1, len(parts))]):
            assert put_together(rows, request, found, kind, cuts) == expected
    assert counts == {7, 3, 2}


def test_parts_are_files_that_follow_each_other_and_not_too_many(tmp_path: Path) -> None:
    data = in_npy(tmp_path, PARTS * 100)
    request = {"loss": "mse", "data": data}
    parts = [json.loads(part) for part in dealt(tmp_path, request, 1)]
    assert 200 < len(parts) <= 256
    assert [part["first"] + place for part in parts for place in range(len(part["files"]))] == [*range(300)]
    writing = {**data, "write": {"gradient": f"file://{tmp_path}"}}
    assert dealt(tmp_path, {**request, "data": writing}, 1) == []
    assert dealt(tmp_path, {"loss": "mse", "predictions": [1], "targets": [1]}, 1) == []


def test_parts_that_do_not_go_together_are_told_as_one_that_follows_the_other(tmp_path: Path) -> None:
    for number, targets in enumerate(("1", "0.2")):
        (tmp_path / f"part-{number}.csv").write_text(f"a,b,c,y,z\n0.1,0.2,0.3,{targets},0\n")
    columns = {"predictions": ["a", "b"], "targets": ["y", "z"]}
    request = {"loss": "mse", "data": {"source": f"file://{tmp_path}/*.csv", "columns": columns}}
    parts = dealt(tmp_path, request, 1)
    found = [of_part(tmp_path, request, part, "evaluate", 1000.0) for part in parts]
    one = {**request, "data": {**request["data"], "columns": {"predictions": "a", "targets": "y"}}}
    found[1] = of_part(tmp_path, one, parts[1], "evaluate", 1000.0)
    with pytest.raises(CallerError) as error:
        put_together(tmp_path, request, found, "evaluate", [])
    (fault,) = error.value.faults
    assert (fault.path, fault.code) == (("data", "source", 1), "shape")
    assert fault.message.startswith("part-1.csv: its rows are of another shape")


# --- in the store -----------------------------------------------------------------------------------------------------


def test_parts_wait_for_those_before_them(tmp_path: Path) -> None:
    """Put together in their order, each once; what is wrong with one is told when those before it have been."""
    store = Store(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"), limit=10, retention=60.0)
    new = New("evaluate", 0, 4, "partitions", b"{}", [b"1", b"2", b"3", b"4"])
    identity = store.submit(new, "")[0].job.id
    assert [part for _, part in store.unhanded()] == [1, 2, 3, 4]
    store.handed([(identity, 1, part) for part in (1, 3)])
    assert [part for _, part in store.unhanded()] == [2, 4]
    store.handed([(identity, 1, part) for part in (2, 4)])
    assert store.unhanded() == []
    for part in (3, 1, 2, 4):
        todo = store.begin(identity, 1, part)
        assert todo
        assert (todo.part, todo.join) == (str(part).encode(), None)
    assert store.get(identity, "").job.attempts == 1
    assert store.begin(identity, 1, 3)
    assert store.get(identity, "").job.attempts == 2, "it is begun anew"

    store.worked(identity, 1, 3, 2.0, "far")
    todo = store.to_do(identity, 1, 3)
    assert todo
    assert (todo.checkpoint, todo.job.used) == ("far", 2.0)
    store.part_ended(identity, 1, 3, 1.0, found=b"three")
    assert store.to_do(identity, 1, 3) is None
    store.part_ended(identity, 1, 1, found=b"one")
    todo = store.to_do(identity, 1, 1)
    assert todo
    assert todo.join == ([b"one"], False, 1, False, None)
    store.joined(identity, 1, 1, b"up to one")
    assert store.to_do(identity, 1, 1) is None
    store.part_ended(identity, 1, 4, problem=b"wrong")
    assert store.to_do(identity, 1, 4) is None
    assert store.over([(identity, 1, part) for part in (1, 2, 3, 4)]) == []
    store.part_ended(identity, 1, 2, found=b"two")
    expected = ([b"up to one", b"two", b"three"], True, 3, False, b"wrong")
    for part in (2, 4):
        todo = store.to_do(identity, 1, part)
        assert todo
        assert todo.join == expected
    store.joined(identity, 1, 3, b"up to three")
    assert store.finish(identity, 1, problem=b"{}")

    store.resume(identity, "")
    assert [part for _, part in store.unhanded()] == [1, 2, 3, 4]
    todo = store.begin(identity, 2, 4)
    assert todo
    assert todo.part == b"4"
    store.part_ended(identity, 2, 4, found=b"four")
    todo = store.to_do(identity, 2, 4)
    assert todo
    assert todo.join == ([b"up to three", b"four"], True, 4, True, None)
    assert store.finish(identity, 2, result=b"{}")
    with store.database.transaction() as execute:
        assert execute("SELECT * FROM criterion_parts") == []
    store.database.close()


def test_what_is_behind_a_part_that_cannot_be_done_is_left(tmp_path: Path) -> None:
    store = Store(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"), limit=10, retention=60.0)
    identity = store.submit(New("evaluate", 0, 3, "partitions", b"{}", [b"1", b"2", b"3"]), "")[0].job.id
    runs = [(identity, 1, part) for part in (1, 2, 3)]
    assert store.begin(*runs[1])
    store.part_ended(*runs[1], problem=b"wrong")
    assert store.over(runs) == [runs[2]]
    assert store.begin(*runs[2]) is None
    assert store.begin(*runs[0])
    store.part_ended(*runs[0], problem=b"wrong too")
    todo = store.to_do(*runs[0])
    assert todo
    assert todo.join == ([], False, 0, False, b"wrong too")
    store.database.close()


# --- on a server ------------------------------------------------------------------------------------------------------


def submitted(jobs: Jobs, folder: Path, **more: Any) -> str:
    data = {"source": f"file://{folder}/part-*.npy", "columns": {"predictions": 0, "targets": 1}, **more}
    return jobs.submit({"loss": "mse", "data": data}, "evaluate")


def is_whole(jobs: Jobs, identity: str, events: Sequence[Any]) -> Any:
    """What a job has come to that has told these events, each once and in their order."""
    job = jobs.wait(identity)
    assert job["status"] == "succeeded", job
    told = [*jobs.events(identity)]
    assert [number for number, *_ in told] == [*range(1, len(told) + 1)]
    assert [data for _, name, data in told if name == "partition"] == [data for *_, data in events]
    return job["result"]


def test_a_job_is_done_in_parts(tmp_path: Path) -> None:
    """Each event once and in order; what is wrong with a file is told when all before it have been, and cured by a new start."""
    folder = tmp_path / "data"
    folder.mkdir()
    in_npy(folder, PARTS * 4)
    request = {"loss": "mse", "data": {"source": f"file://{folder}/part-*.npy", "columns": {"predictions": 0, "targets": 1}}}
    events, expected = work(folder, request)
    with serving(tmp_path, data_roots=folder, job_slots=2, job_part_bytes=1) as server, server.client() as client:
        jobs = Jobs(client)
        identity = submitted(jobs, folder)
        assert is_whole(jobs, identity, events) == expected
        assert jobs.show(identity)["attempts"] == 1
        kept = np.load(folder / "part-005.npy")
        for number in (5, 9):
            np.save(folder / f"part-{number:03}.npy", np.array([[1, np.inf]]))
        identity = submitted(jobs, folder)
        job = jobs.wait(identity)
        assert (job["status"], job["progress"]["done"]) == ("failed", 5)
        assert job["problem"]["errors"][0]["pointer"] == "/request/data/source/5/0/1"
        np.save(folder / "part-005.npy", kept)
        np.save(folder / "part-009.npy", np.array(PARTS[0], float).T)
        assert client.post(f"/v1/jobs/{identity}/resume").status_code == 202
        assert is_whole(jobs, identity, events) == expected


def working(server: Server) -> list[int]:
    """The processes that work on parts of a job."""
    return [pid for template in children(worker_of(server)) for pid in children(template)]


@pytest.mark.thorough
def test_parts_whose_processes_are_killed_are_done_by_others(tmp_path: Path) -> None:
    """To the bit, from their checkpoints; a job that is cancelled in the middle goes on from there."""
    folder, rng = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    for number in range(30):
        np.save(folder / f"part-{number:03}.npy", rng.standard_normal((200_000, 2)))
    request = {"loss": "mse", "data": {"source": f"file://{folder}/part-*.npy", "columns": {"predictions": 0, "targets": 1}}}
    events, expected = work(folder, request)
    settings: dict[str, Any] = {"data_roots": folder, "job_part_bytes": 8 * 2**20, "job_checkpoint_seconds": 0.05}
    with serving(tmp_path, job_slots=2, job_attempts=100, **settings) as server, server.client() as client:
        jobs = Jobs(client)
        identity = submitted(jobs, folder)
        for done in (3, 9, 15):
            jobs.until_done(identity, done)
            for pid in working(server):
                os.kill(pid, signal.SIGKILL)
        jobs.until_done(identity, 18)
        os.kill(worker_of(server), signal.SIGKILL)
        assert is_whole(jobs, identity, events) == expected
        assert jobs.show(identity)["attempts"] > 3
        identity = submitted(jobs, folder)
        jobs.until_done(identity, 6)
        assert client.delete(f"/v1/jobs/{identity}").json()["status"] == "cancelled"
        assert client.post(f"/v1/jobs/{identity}/resume").status_code == 202
        assert is_whole(jobs, identity, events) == expected
