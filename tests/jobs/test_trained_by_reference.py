"""Training on data by reference: the run of the same rows in the body, to the bit."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.api.jobs import OF_KIND
from app.api.runs import KINDS
from app.api.sources import datasets_of
from app.errors import InvalidInput, SourceEmpty, SourceForbidden
from app.serving.pieces import Checkpoint, Task, jobs_settings, work_on
from app.settings import Settings
from app.wire import partitions
from tests.api.problem import problem_of
from tests.conftest import client_with
from tests.jobs.asking import timeless
from tests.jobs.test_kept import folder, keep
from tests.jobs.test_pieces import REQUESTS, Saying
from tests.jobs.test_reference import refusal, work

__all__ = ["folder"]  # a fixture
pytestmark = pytest.mark.anyio

ROWS = [(x / 10, x % 3, x / 7) for x in range(40)]
NAMES = ("a", "b", "y")
RUN: dict[str, Any] = {"model": "linear", "loss": "mse", "epochs": 3}
INLINE = {"rows": [dict(zip(NAMES, row, strict=True)) for row in ROWS], "targets": "y"}


def _csv(rows: Sequence[Any], path: Path) -> None:
    path.write_text("\n".join((",".join(NAMES), *(",".join(map(str, row)) for row in rows), "")))


def _npy(rows: Sequence[Any], path: Path) -> None:
    np.save(path, np.array(rows))


def _npz(rows: Sequence[Any], path: Path) -> None:
    columns: dict[str, Any] = {name: np.array(column) for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)}
    np.savez(path, **columns)


def _json(rows: Sequence[Any], path: Path) -> None:
    path.write_text(json.dumps([dict(zip(NAMES, row, strict=True)) for row in rows]))


def _parquet(rows: Sequence[Any], path: Path) -> None:
    table: Any = pa.table({name: [*map(float, column)] for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)})
    pq.write_table(table, path)


WRITTEN: dict[str, Callable[[Sequence[Any], Path], None]] = {
    "csv": _csv,
    "npy": _npy,
    "npz": _npz,
    "json": _json,
    "parquet": _parquet,
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_run_on_files_is_that_of_their_rows(folder: Path, form: str) -> None:
    for number, (start, end) in enumerate(((0, 1), (1, 25), (25, 40))):
        WRITTEN[form](ROWS[start:end], folder / f"part-{number}.{form}")
    columns: dict[str, Any] = {"targets": 2} if form == "npy" else {"targets": "y"}
    data = {"source": f"file://{folder}/part-*.{form}", "columns": columns}
    events, answer = work(folder, {**RUN, "data": data}, kind="train", at_once=False)
    expected_events, expected = work(folder, {**RUN, "data": INLINE}, kind="train")
    if form == "npy":
        assert answer["data"].pop("features") == ["0", "1"]
        expected["data"].pop("features")
    assert timeless([events, answer]) == timeless([expected_events, expected])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_trains_takes_what_is_kept(folder: Path, kind: str) -> None:
    _csv(ROWS, folder / "rows.csv")
    keep("n", (folder / "rows.csv").read_bytes(), "csv", NAMES, len(ROWS))
    request = {name: value for name, value in REQUESTS[kind].items() if name != "data"}
    data = {"source": "dataset:n", "columns": {"inputs": ["b", "a"], "targets": "y"}}
    _, answer = work(folder, {**request, "data": data}, kind=kind)
    _, expected = work(folder, {**request, "data": {**INLINE, "inputs": ["b", "a"]}}, kind=kind)
    assert timeless(answer) == timeless(expected)


def test_words_weights_groups_and_classes(folder: Path) -> None:
    rows = [{"x": i / 5, "label": "no" if i % 3 else "yes", "w": 1 + i % 2, "site": i % 4} for i in range(24)]
    keep("n", json.dumps(rows).encode(), "json", ("x", "label", "w", "site"), 24)
    roles = {"inputs": "x", "targets": "label", "sample_weight": "w", "groups": "site"}
    more = {"classes": ["yes", "no"]}
    request = {"model": "linear", "loss": {"name": "bce", "from_logits": True}, "epochs": 2}
    request["validation"] = {"fraction": 0.3, "split": "grouped"}
    _, answer = work(folder, {**request, "data": {"source": "dataset:n", "columns": roles, **more}}, kind="train")
    _, expected = work(folder, {**request, "data": {"rows": rows, **roles, **more}}, kind="train")
    assert answer["data"]["classes"] == ["yes", "no"]
    assert timeless(answer) == timeless(expected)


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ({"columns": {"targets": "z"}}, ("data", "targets"), "there is no column 'z'"),
        ({"columns": {"targets": 3}}, ("data", "columns", "targets"), "numbered from 0 to 2"),
        ({"columns": {"target": "y"}}, ("data", "columns", "target"), "no role 'target'"),
        ({"columns": {"targets": []}}, ("data", "columns", "targets"), "name of a column"),
        ({"columns": {}}, ("data", "targets"), "the columns are a, b, y"),
        ({"columns": ["y"]}, ("data", "columns"), "object"),
        ({"writ": {}}, ("data", "writ"), ""),
        ({"source": []}, ("data", "source"), ""),
        ({"source": "dataset:none"}, ("data", "source"), "no data set"),
        ({"source": "file:///nowhere/x.csv"}, ("data", "source"), "not for this server"),
        ({"format": "npy"}, ("data", "format"), "leave format out"),
    ],
)
def test_what_is_wrong_with_a_reference_is_said(folder: Path, data: Any, path: tuple[str, ...], words: str) -> None:
    _csv(ROWS, folder / "rows.csv")
    keep("n", (folder / "rows.csv").read_bytes(), "csv", NAMES, len(ROWS))
    request = {**RUN, "data": {"source": "dataset:n", "columns": {"targets": "y"}, **data}}
    error = refusal(folder, request, kind="train")
    assert error.faults[0].path == path
    assert words in error.faults[0].message


def test_a_cell_that_is_wrong_has_its_file_and_its_row(folder: Path) -> None:
    _csv(ROWS[:5], folder / "part-0.csv")
    _csv([*ROWS[5:7], (1, "red", 2)], folder / "part-1.csv")
    data = {"source": f"file://{folder}/part-*.csv", "columns": {"targets": "y"}}
    (fault,) = refusal(folder, {**RUN, "data": data}, kind="train").faults
    assert fault.path == ("data", "source", 1, 2, "b")
    assert "row 2, column 'b' of part-1.csv" in fault.message
    (folder / "part-1.csv").write_text("a,c,y\n1,2,3\n")
    (fault,) = refusal(folder, {**RUN, "data": data}, kind="train").faults
    assert fault.path == ("data", "source", 1)
    assert fault.message.startswith("part-1.csv: it has no column 'b'")


@pytest.mark.parametrize("block_bytes", [32, 4096])
def test_gaps_and_words_come_together_from_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    """A block may have numbers alone where another has gaps, or words."""
    monkeypatch.setattr(partitions, "BLOCK_BYTES", block_bytes)
    rows = [{"x": None if i == 13 else i / 5, "kind": "ab"[i % 2], "y": i * i} for i in range(24)]
    lines = (f"{'' if row['x'] is None else row['x']},{row['kind']},{row['y']}" for row in rows)
    (folder / "rows.csv").write_text("\n".join(("x,kind,y", *lines, "")))
    trees = {"name": "boosted_trees", "min_samples_leaf": 2}
    request = {"model": trees, "loss": "mse", "epochs": 2}
    columns: dict[str, Any] = {"inputs": ["x"], "targets": "y"}
    _, answer = work(folder, {**request, "data": {"source": f"file://{folder}/rows.csv", "columns": columns}}, kind="train")
    _, expected = work(folder, {**request, "data": {"rows": rows, **columns}}, kind="train")
    assert timeless(answer) == timeless(expected)


@pytest.mark.parametrize("kept", [True, False])
def test_data_that_changes_in_the_middle_of_a_run_ends_it(folder: Path, kept: bool) -> None:
    """It would be a run on neither."""
    path, other = folder / "rows.csv", folder / "other.csv"
    _csv(ROWS, path)
    _csv(ROWS[::-1], other)
    keep("n", path.read_bytes(), "csv", NAMES, len(ROWS))
    source = "dataset:n" if kept else f"file://{path}"
    body = memoryview(json.dumps({"request": {**RUN, "data": {"source": source, "columns": {"targets": "y"}}}}).encode())
    call = OF_KIND["train"]
    assert call.job
    settings = jobs_settings(Settings(job_checkpoint_seconds=0.0, data_roots=(str(folder),)))
    task = Task(call.job, call.job_check, settings, None, folder / "checkpoints")
    checkpoint, _ = work_on(body, Saying(), task)
    assert isinstance(checkpoint, Checkpoint)
    task = task._replace(checkpoint=Checkpoint.read(str(checkpoint)))
    again, _ = work_on(body, Saying(), task)
    assert again != checkpoint
    datasets_of(settings).delete("", "n")
    keep("n", other.read_bytes(), "csv", NAMES, len(ROWS))
    other.replace(path)
    with pytest.raises(InvalidInput, match="no longer what it was"):
        work_on(body, Saying(), task)


def test_files_lie_where_they_may(folder: Path) -> None:
    _csv(ROWS, folder / "rows.csv")
    (folder / "in").mkdir()
    data = {"source": f"file://{folder}/rows.csv", "columns": {"targets": "y"}}
    assert isinstance(refusal(folder / "in", {**RUN, "data": data}, kind="train"), SourceForbidden)
    (folder / "in" / "link.csv").symlink_to(folder / "rows.csv")
    linked = {**data, "source": f"file://{folder}/in/link.csv"}
    assert isinstance(refusal(folder / "in", {**RUN, "data": linked}, kind="train"), SourceForbidden)
    gone = {**data, "source": f"file://{folder}/none.csv"}
    assert isinstance(refusal(folder, {**RUN, "data": gone}, kind="train"), SourceEmpty)


async def test_calls_that_are_waited_for_take_what_is_kept_and_no_files(folder: Path, anyio_backend: str) -> None:
    _csv(ROWS, folder / "rows.csv")
    async with client_with(data_dir=folder, data_roots=(str(folder),)) as client:

        async def post(path: str, **request: Any) -> httpx.Response:
            return await client.post(path, json=request)

        body = (folder / "rows.csv").read_bytes()
        kept = await client.post("/v1/datasets?name=n", content=body, headers={"content-type": "text/csv"})
        assert kept.status_code == 201
        data = {"source": "dataset:n", "columns": {"targets": "y"}}
        answer, expected = await post("/v1/train", **RUN, data=data), await post("/v1/train", **RUN, data=INLINE)
        assert timeless(answer.json()) == timeless(expected.json())
        entry = (await client.get("/v1/datasets/n")).json()
        assert (await post("/v1/train", **{**entry["example_request"], "loss": "mse"})).status_code == 200
        files = {**data, "source": f"file://{folder}/rows.csv"}
        problem = problem_of(await post("/v1/train", **RUN, data=files))
        assert (problem["status"], problem["errors"][0]["pointer"]) == (422, "/data/source")
        assert "POST /v1/jobs" in problem["detail"]
        job = {"kind": "train", "request": {**RUN, "data": {**data, "source": "dataset:none"}}}
        problem = problem_of(await post("/v1/jobs", **job))
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("source_empty", "/request/data/source")
        assert (await post("/v1/jobs", kind="train", request={**RUN, "data": files})).status_code == 202
