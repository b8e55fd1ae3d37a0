"""Data by reference: files that are one table together come to what one body of all rows comes to."""

import json
import math
import os
import random
import tracemalloc
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.api.jobs import OF_KIND
from app.errors import CallerError, FormatUnavailable, InvalidInput, SourceEmpty, SourceForbidden
from app.serving.pieces import Checkpoint, Ended, Task, jobs_settings, work_on
from app.settings import Settings
from app.wire import arrow, partitions
from tests.conftest import serving
from tests.jobs.asking import Jobs
from tests.jobs.test_pieces import Saying

PARTS = (([2.5, 0, 8], [3, -0.5, 2]), ([1, -1], [1.5, 2]), ([0.5], [0.25]))


def in_npy(folder: Path, parts: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """The parts as files, and where they are."""
    for number, columns in enumerate(parts):
        np.save(folder / f"part-{number:03}.npy", np.array(columns, np.float64).T)
    return {"source": f"file://{folder}/part-*.npy", "columns": {"predictions": 0, "targets": 1}}


def in_csv(folder: Path, parts: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    for number, columns in enumerate(parts):
        rows = (",".join(map(str, row)) for row in zip(*columns, strict=True))
        (folder / f"part-{number:03}.csv").write_text("\n".join(("p,y", *rows, "")))
    return {"source": f"file://{folder}/part-*.csv", "columns": {"predictions": "p", "targets": "y"}}


def work(
    folder: Path, request: dict[str, Any], *, at_once: bool = True, kind: str = "evaluate", roots: str | None = None
) -> tuple[list[Any], Any]:
    """What a job tells, and what it comes to: in one piece, or in one for each partition."""
    call, saying = OF_KIND[kind], Saying()
    assert call.job
    seconds = 1000.0 if at_once else 0.0
    settings = jobs_settings(Settings(job_checkpoint_seconds=seconds, data_roots=(str(folder) if roots is None else roots,)))
    body = memoryview(json.dumps({"kind": kind, "request": request}).encode())
    checkpoint: Checkpoint | None = None
    while True:
        task = Task(call.job, call.job_check, settings, checkpoint, folder / "checkpoints")
        reached, written = work_on(body, saying, task)
        if isinstance(reached, Ended):
            return saying.events, json.loads(reached.parts(b"".join(written))[0])
        assert isinstance(reached, Checkpoint)
        checkpoint = reached


def refusal(folder: Path, request: dict[str, Any], **more: Any) -> CallerError:
    with pytest.raises(CallerError) as found:
        work(folder, request, **more)
    return found.value


def in_parquet(folder: Path, parts: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    for number, columns in enumerate(parts):
        table: Any = pa.table([pa.array(map(float, column)) for column in columns], ["p", "y"])
        pq.write_table(table, folder / f"part-{number:03}.parquet")
    return {"source": f"file://{folder}/part-*.parquet", "columns": {"predictions": "p", "targets": "y"}}


def in_arrow(folder: Path, parts: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    for number, columns in enumerate(parts):
        table: Any = pa.table([pa.array(map(float, column)) for column in columns], ["p", "y"])
        with pa.OSFile(str(folder / f"part-{number:03}.ipc"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    return {"source": f"file://{folder}/part-*.ipc", "format": "arrow", "columns": {"predictions": 0, "targets": 1}}


@pytest.mark.parametrize("written", [in_npy, in_csv, in_parquet, in_arrow])
@pytest.mark.parametrize(
    ("loss", "value", "error"),
    [
        ("mse", 7.635416666666667, 5.85204773336745),
        ("mae", 1.7916666666666667, 0.9407812946931101),
        ({"name": "huber", "delta": 1.5}, 1.9427083333333333, 1.3014019050250303),
    ],
)
def test_the_example_of_three_parts(tmp_path: Path, written: Any, loss: Any, value: float, error: float) -> None:
    data = written(tmp_path, PARTS)
    request = {"loss": loss, "outputs": ["value", "standard_error"], "data": data}
    for at_once in (True, False):
        events, answer = work(tmp_path, request, at_once=at_once)
        assert [(name, done, told["partition"]) for _, name, done, told in events] == [("partition", n + 1, n) for n in range(3)]
        assert [told["n_samples"] for *_, told in events] == [3, 5, 6]
        assert events[-1][3]["value"] == value
        assert (answer["value"], answer["standard_error"]) == (value, error)
        assert (answer["n_samples"], answer["divisor"], answer["partitions"], answer["reduction"]) == (6, 6.0, 3, "mean")


def test_partial_sums_are_not_rounded_in_any_order(tmp_path: Path) -> None:
    for order in ([1e16, 1, 1], [1, 1e16, 1], [1, 1, 1e16]):
        data = in_npy(tmp_path, [([number], [0]) for number in order])
        assert work(tmp_path, {"loss": "mae", "data": data})[1]["value"] == 3333333333333334.0


@pytest.mark.parametrize("block_bytes", [64, 4096])
def test_files_come_to_what_a_body_comes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    """With several columns, weights, masks and labels in words, in blocks of a few rows, to the bit."""
    monkeypatch.setattr(partitions, "BLOCK_BYTES", block_bytes)
    rng = random.Random(0)
    rows = [
        (*(rng.uniform(-3, 3) for _ in range(3)), rng.choice("abc"), rng.uniform(0, 2), int(rng.random() < 0.7))
        for _ in range(60)
    ]
    header = "x,y,z,label,weight,mask"
    for number, (start, end) in enumerate(((0, 1), (1, 40), (40, 40), (40, 60))):
        lines = (",".join(map(str, row)) for row in rows[start:end])
        (tmp_path / f"{number}.csv").write_text("\n".join((header, *lines, "")))
    columns = {"predictions": ["x", "y", "z"], "labels": "label", "sample_weight": "weight", "mask": "mask"}
    request = {"loss": {"name": "CrossEntropyLoss", "label_smoothing": 0.1}, "classes": ["a", "b", "c"]}
    body = {
        **request,
        "predictions": [row[:3] for row in rows],
        "targets": [row[3] for row in rows],
        "sample_weight": [row[4] for row in rows],
        "mask": [bool(row[5]) for row in rows],
    }
    for reduction in ("mean", "sum", "mean_over_samples"):
        _, whole = work(tmp_path, {**body, "reduction": reduction, "outputs": ["value"]})
        data = {"source": f"file://{tmp_path}/*.csv", "columns": columns}
        _, answer = work(tmp_path, {**request, "reduction": reduction, "data": data}, at_once=False)
        for name in ("loss", "value", "divisor", "n_samples", "reduction", "targets_encoding"):
            assert answer[name] == whole[name], (name, reduction)


def test_rows_that_are_missing_are_dropped_and_counted(tmp_path: Path) -> None:
    parts = [([1, np.nan, 2], [1, 1, 1]), ([np.nan], [2]), ([3], [np.nan])]
    request = {"loss": "mse", "missing": "drop", "data": in_npy(tmp_path, parts)}
    _, answer = work(tmp_path, request)
    assert (answer["value"], answer["n_samples"], answer["n_missing"]) == (0.5, 2, 3)
    error = refusal(tmp_path, {**request, "missing": "refuse"})
    assert error.faults[0].path == ("data", "source", 0, 1, 0)


def test_what_is_wrong_is_named_by_partition_row_and_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 32)
    data = in_csv(tmp_path, [([0.5] * 30, [1] * 30), ([0.5] * 30, [0] * 29 + [7])])
    error = refusal(tmp_path, {"loss": "bce", "data": data})
    (fault,) = error.faults
    assert (fault.path, fault.code) == (("data", "source", 1, 29, "y"), "out_of_range")
    assert fault.message.startswith("part-001.csv: targets[29] must be in [0, 1]")
    (tmp_path / "part-000.csv").write_text("p,y\n0.5,1\nx,0\n")
    assert refusal(tmp_path, {"loss": "bce", "data": data}).faults[0].path[:4] == ("data", "source", 0, 1)
    (tmp_path / "part-000.csv").write_text("p,z\n0.5,1\n")
    (fault,) = refusal(tmp_path, {"loss": "bce", "data": data}).faults
    assert (fault.path, fault.code) == (("data", "source", 0), "unknown_column")
    (tmp_path / "part-000.csv").write_text("p,y\n0.5\n")
    (fault,) = refusal(tmp_path, {"loss": "bce", "data": data}).faults
    assert fault.message.startswith("part-000.csv: line 2 has 1 cells")
    assert fault.message.endswith("the delimiter is ',': all lines must have that of the first, which is ',', ';' or a tab")


def test_files_outside_of_the_roots_are_forbidden(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    data = in_npy(outside, PARTS)
    in_npy(inside, PARTS)
    (inside / "link").symlink_to(outside)
    (inside / "part-9.npy").symlink_to(outside / "part-000.npy")
    for source in (
        data["source"],
        f"file://{inside}/../out/part-*.npy",
        f"file://{inside}/%2e%2e/out/part-*.npy",
        f"file://{inside}/link/part-*.npy",
        f"file://{inside}/part-*.npy",
        f"file://{inside}x/part-*.npy",
        "file:///etc/passwd",
        f"http://{inside}/a.npy",
        f"{inside}/part-000.npy",
        "s3://bucket/part-*.npy",
    ):
        request = {"loss": "mse", "data": {**data, "source": source}}
        error = refusal(inside, request)
        assert isinstance(error, SourceForbidden)
        assert error.code == "source_forbidden"
        assert error.faults[0].path == ("data", "source")
        assert "CRITERION_DATA_ROOTS" in error.detail
    without = refusal(inside, {"loss": "mse", "data": {**data, "source": f"file://{inside}/part-000.npy"}}, roots="/nowhere/else")
    assert isinstance(without, SourceForbidden)
    fine = {**data, "source": f"file://localhost{inside}/part-0*.npy"}
    assert work(inside, {"loss": "mse", "data": fine}, roots=f"file://{tmp_path}/in")[1]["partitions"] == 3


def test_sources_that_are_nothing_and_formats_that_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = in_npy(tmp_path, PARTS)
    os.mkfifo(tmp_path / "pipe.npy")
    for source in ("none-*.npy", "part-[0]*.npy", "part-00?.npy", "pipe.npy", "*/x.npy"):
        error = refusal(tmp_path, {"loss": "mse", "data": {**data, "source": f"file://{tmp_path}/{source}"}})
        assert (type(error), error.code, error.faults[0].path) == (SourceEmpty, "source_empty", ("data", "source"))
    parquet = in_parquet(tmp_path, PARTS)
    with monkeypatch.context() as without:
        without.setattr(arrow, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType]
        error = refusal(tmp_path, {"loss": "mse", "data": parquet})
    assert (type(error), error.code, error.faults[0].path) == (FormatUnavailable, "format_unavailable", ("data", "format"))
    assert "pip install criterion[data]" in error.detail
    (tmp_path / "a.orc").write_bytes(b"")
    assert refusal(tmp_path, {"loss": "mse", "data": {**data, "source": f"file://{tmp_path}/a.orc"}}).faults[0].code == "choice"


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/run70/a.npy",
        "s3://bucket/run7*/a.npy",
        "s3://bucket/run7/../a.npy",
        "s3://bucket/run7/%2e%2e/a.npy",
        "s3://key:secret@bucket/run7/a.npy",
        "s3://key:its/secret@bucket/run7/a.npy",
        "filecache::s3://bucket/run7/a.npy",
        "gs://bucket/run7/a.npy",
    ],
)
def test_urls_outside_of_the_roots_are_forbidden(tmp_path: Path, source: str) -> None:
    """Before what reads a store is asked for anything, or is missed; `make test-stores` reads some."""
    data = {**in_npy(tmp_path, PARTS), "source": source}
    error = refusal(tmp_path, {"loss": "mse", "data": data}, roots="s3://bucket/run7")
    assert (error.code, error.faults[0].path) == ("source_forbidden", ("data", "source"))
    assert "secret" not in error.detail
    inside = {**data, "source": "unheard-of://bucket/run7/a.npy"}
    error = refusal(tmp_path, {"loss": "mse", "data": inside}, roots="unheard-of://bucket")
    assert (error.code, error.faults[0].path) == ("format_unavailable", ("data", "source"))
    assert "pip install criterion[data]" in error.detail
    writing = {**in_npy(tmp_path, PARTS), "write": {"per_sample": "s3://bucket/run7"}}
    settings = Settings(data_roots=("s3://bucket/run7", str(tmp_path)))
    with pytest.raises(InvalidInput, match="no object store"):
        OF_KIND["evaluate"].job_check({"loss": "mse", "data": writing}, {}, settings)


def test_files_are_taken_in_the_order_of_their_names_and_once(tmp_path: Path) -> None:
    data = in_npy(tmp_path, PARTS)
    source = [f"file://{tmp_path}/part-002.npy", f"file://{tmp_path}/part-*.npy", f"file://{tmp_path}/part-000.npy"]
    events, answer = work(tmp_path, {"loss": "mse", "data": {**data, "source": source}})
    assert [told["n_samples"] for *_, told in events] == [3, 5, 6]
    assert answer["partitions"] == 3


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"loss": "max_error"}, "cannot be put together from parts of the rows"),
        ({"loss": {"name": "CrossEntropyLoss", "class_weight": "balanced"}}, "known once all labels are"),
        ({"loss": "mse", "reduction": "none"}, "reduction"),
        ({"loss": "mse", "outputs": ["gradient"]}, "outputs"),
        ({"loss": "mse", "predictions": [1]}, "predictions"),
    ],
)
def test_what_cannot_be_done_on_parts_is_refused_at_once(tmp_path: Path, request_: Any, words: str) -> None:
    assert words in refusal(tmp_path, {**request_, "data": in_npy(tmp_path, PARTS)}).detail


def test_columns_that_are_none_are_refused(tmp_path: Path) -> None:
    data = in_npy(tmp_path, PARTS)
    for columns, place in (
        ({"inputs": 0}, "inputs"),
        ({"predictions": 0.5}, "predictions"),
        ({"predictions": []}, "predictions"),
    ):
        error = refusal(tmp_path, {"loss": "mse", "data": {**data, "columns": columns}})
        assert error.faults[0].path == ("data", "columns", place)
    assert refusal(tmp_path, {"loss": "mse", "data": {**data, "columns": {"predictions": 0}}}).faults[0].code == "missing"


@pytest.mark.parametrize("source", [[], 5, None, [5], {"file": "a.npy"}])
def test_a_source_that_is_none_is_told_as_one(tmp_path: Path, source: Any) -> None:
    """And not taken for a column of a table, which may be called so too."""
    error = refusal(tmp_path, {"loss": "mse", "data": {**in_npy(tmp_path, PARTS), "source": source}})
    assert error.faults[0].path[:2] == ("data", "source")
    assert "cells" not in error.detail


def test_what_is_infinite_is_named_and_what_cannot_be_told_has_its_reason(tmp_path: Path) -> None:
    data = in_npy(tmp_path, [([1e200], [0]), ([1], [0])])
    _, answer = work(tmp_path, {"loss": "mse", "data": data})
    assert (answer["value"], answer["non_finite"][0]) == (None, {"output": "value", "index": [], "value": "Infinity"})
    _, answer = work(tmp_path, {"loss": "mse", "data": data, "non_finite_as": "string"})
    assert answer["value"] == "Infinity"
    _, answer = work(tmp_path, {"loss": "mae", "data": data, "reduction": "sum"})
    assert answer["standard_error"] is None
    assert "that of a mean" in answer["warnings"][0]
    data = in_npy(tmp_path, [([1.0], [0]), ([], [])])
    (tmp_path / "part-001.npy").unlink()
    _, answer = work(tmp_path, {"loss": "mae", "data": data})
    assert (answer["value"], answer["standard_error"]) == (1.0, None)
    error = refusal(tmp_path, {"loss": "mae", "data": {**data, "columns": {**data["columns"], "mask": 1}}})
    assert (error.faults[0].code, error.faults[0].path) == ("no_samples", ("data", "source"))


def test_a_file_that_is_gone_meanwhile_ends_the_job(tmp_path: Path) -> None:
    request = {"loss": "mse", "data": in_npy(tmp_path, PARTS)}
    call, saying = OF_KIND["evaluate"], Saying()
    assert call.job
    settings = jobs_settings(Settings(job_checkpoint_seconds=0.0, data_roots=(str(tmp_path),)))
    body = memoryview(json.dumps({"request": request}).encode())
    task = Task(call.job, call.job_check, settings, None, tmp_path / "checkpoints")
    checkpoint, _ = work_on(body, saying, task)
    np.save(tmp_path / "part-0000.npy", np.zeros((9, 2)))  # which comes first, and too late
    (tmp_path / "part-001.npy").unlink()
    with pytest.raises(InvalidInput, match=r"part-001\.npy is no longer there"):
        work_on(body, saying, task._replace(checkpoint=checkpoint))


def test_a_partition_takes_no_more_memory_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 4096)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((20_000, 2)))
    sizes: list[int] = []
    read = partitions._numbers  # pyright: ignore[reportPrivateUsage]

    def watched(file: Any, place: int, dtype: Any, count: int) -> Any:
        sizes.append(count * dtype.itemsize)
        return read(file, place, dtype, count)

    monkeypatch.setattr(partitions, "_numbers", watched)
    data = {"source": f"file://{tmp_path}/a.npy", "columns": {"predictions": 0, "targets": 1}}
    work(tmp_path, {"loss": "mse", "data": data})
    assert (max(sizes), sum(sizes)) == (4096, 320_000)


# --- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_outputs_of_rows_are_written_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    """To the bit those of one body, 0 for rows that do not count, also where no row of a block does."""
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 160)
    rng = np.random.default_rng(1)
    table = np.column_stack([rng.standard_normal((40, 3)), rng.integers(0, 3, 40), rng.uniform(0, 2, 40), np.arange(40) % 11 > 4])
    for number, rows in enumerate((slice(0, 17), slice(17, 40))):
        np.save(tmp_path / f"part-{number}.npy", table[rows])
    columns = {"predictions": [0, 1, 2], "targets": 3, "sample_weight": 4, "mask": 5}
    weighed = {"name": "CrossEntropyLoss", "class_weight": [1, 2, 3]}
    for loss, reduction in product(("CrossEntropyLoss", weighed), ("mean", "sum")):
        request = {"loss": loss, "reduction": reduction}
        body = {"predictions": table[:, :3], "targets": table[:, 3], "sample_weight": table[:, 4], "mask": table[:, 5] == 1}
        _, whole = work(tmp_path, {**request, **{name: array.tolist() for name, array in body.items()}})
        out = f"file://{tmp_path}/a/b"
        data = {"source": f"file://{tmp_path}/part-*.npy", "columns": columns, "write": {"per_sample": out, "gradient": out}}
        events, answer = work(tmp_path, {**request, "data": data}, at_once=at_once)
        assert [told["partition"] for *_, told in events] == [0, 1, 2, 3]
        assert (answer["value"], answer["partitions"]) == (whole["value"], 2)
        for name in ("per_sample", "gradient"):
            parts = [np.load(tmp_path / "a" / "b" / f"part-{number}.{name}.npy") for number in (0, 1)]
            assert np.concatenate(parts).tolist() == whole[name]
        assert len([*(tmp_path / "a" / "b").iterdir()]) == 4


def test_what_is_written_takes_its_place_at_once(tmp_path: Path) -> None:
    """What was there stays until the whole file is; nothing is left of one that was not."""
    data = in_npy(tmp_path, PARTS)
    request = {"loss": "bce", "data": {**data, "write": {"per_sample": f"file://{tmp_path}"}}}
    (tmp_path / "part-000.per_sample.npy").write_bytes(b"before")
    refusal(tmp_path, request)
    assert (tmp_path / "part-000.per_sample.npy").read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {*(f"part-00{n}.npy" for n in range(3)), "part-000.per_sample.npy"}
    work(tmp_path, {**request, "loss": "mae", "data": {**request["data"], "source": f"file://{tmp_path}/part-000.npy"}})
    assert np.load(tmp_path / "part-000.per_sample.npy").tolist() == [0.5, 0.5, 6.0]


def test_where_nothing_may_or_can_be_written(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    data = in_npy(inside, PARTS)
    (inside / "link").symlink_to(tmp_path)
    (inside / "file").write_text("")
    for folder in (f"file://{tmp_path}/out", f"file://{inside}/../out", f"file://{inside}/link/out", "s3://bucket"):
        error = refusal(inside, {"loss": "mse", "data": {**data, "write": {"per_sample": folder}}})
        assert isinstance(error, SourceForbidden)
        assert error.faults[0].path == ("data", "write", "per_sample")
    error = refusal(inside, {"loss": "mse", "data": {**data, "write": {"per_sample": f"file://{inside}/file/out"}}})
    assert (error.faults[0].path, error.faults[0].code) == (("data", "write", "per_sample"), "not_written")
    (inside / "more").mkdir()
    in_npy(inside / "more", PARTS)
    twice = [data["source"], f"file://{inside}/more/part-*.npy"]
    error = refusal(inside, {"loss": "mse", "data": {**data, "source": twice, "write": {"gradient": f"file://{inside}"}}})
    assert error.faults[0].code == "duplicate"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("loss", "words"), [("rmse", "takes all samples at once"), ("zero_one", "has none")])
def test_gradients_that_do_not_follow_part_by_part_are_refused(tmp_path: Path, loss: str, words: str) -> None:
    data = {**in_npy(tmp_path, PARTS), "write": {"gradient": f"file://{tmp_path}"}}
    assert words in refusal(tmp_path, {"loss": loss, "data": data}).detail


# --- analyses -----------------------------------------------------------------------------------------------------------


def test_an_analysis_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as that of a body where it can be told, however it is cut, and null with its reason where not."""
    rng = random.Random(1)
    rows = [(rng.random(), rng.randint(0, 1), rng.choice("abc"), rng.randint(1, 2), int(rng.random() < 0.8)) for _ in range(200)]
    for number, (start, end) in enumerate(((0, 1), (1, 90), (90, 200))):
        lines = (",".join(map(str, row)) for row in rows[start:end])
        (tmp_path / f"{number}.csv").write_text("\n".join(("p,y,site,device,mask", *lines, "")))
    columns = {"predictions": "p", "targets": "y", "mask": "mask", "groups": ["site", "device"]}
    request = {"loss": "bce", "n_worst": 4, "data": {"source": f"file://{tmp_path}/*.csv", "columns": columns}}
    events, found = work(tmp_path, request, kind="analyze")
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 300)
    assert work(tmp_path, request, kind="analyze", at_once=False) == (events, found)
    p, y, site, device, mask = zip(*rows, strict=True)
    body = {"predictions": p, "targets": y, "groups": {"site": site, "device": device}, "mask": [bool(flag) for flag in mask]}
    _, whole = work(tmp_path, {"loss": "bce", "n_worst": 4, "resamples": 0, **body}, kind="analyze")
    for name in ("loss", "n_samples", "value", "confusion", "targets_encoding"):
        assert found[name] == whole[name], name
    for one, expected in zip(found["worst"], whole["worst"], strict=True):
        assert (one["index"], one["loss"]) == (expected["index"], expected["loss"])
        assert one["share"] == pytest.approx(expected["share"], rel=1e-13)
    assert found["standard_error"] == pytest.approx(whole["standard_error"], rel=1e-12)
    assert found["interval"]["t"] == pytest.approx(whole["interval"]["t"], rel=1e-12)
    assert found["quantile_error"] == 2.0**-11
    assert found["distribution"]["quantiles"] == pytest.approx(whole["distribution"]["quantiles"], rel=2.0**-11)
    assert {name: [group["group"] for group in groups] for name, groups in found["groups"].items()} == {
        name: [group["group"] for group in groups] for name, groups in whole["groups"].items()
    }
    assert sum(found["distribution"]["histogram"]["counts"]) == found["n_samples"]
    for name in ("concentration", "residuals", "calibration", "coverage", "slices"):
        assert found[name] is None
        assert name in found["warnings"][0]
    assert [told["partition"] for *_, told in events] == [0, 1, 2]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"reduction": "sum"}, "reduction"),
        ({"loss": {"name": "weighted_sum", "terms": [{"loss": "mse"}, {"loss": "mae"}]}}, "does_not_fit"),
        ({"outputs": ["value"]}, "unknown_field"),
        ({"confidence": 1}, "out_of_range"),
    ],
)
def test_what_is_not_analyzed_in_files(tmp_path: Path, more: Any, code: str) -> None:
    request = {"loss": "mse", "data": in_npy(tmp_path, PARTS), **more}
    assert refusal(tmp_path, request, kind="analyze").faults[0].code == code


def test_an_analysis_writes_nothing_and_takes_two_samples(tmp_path: Path) -> None:
    data = in_npy(tmp_path, PARTS)
    writing = {**data, "write": {"per_sample": f"file://{tmp_path}"}}
    assert refusal(tmp_path, {"loss": "mse", "data": writing}, kind="analyze").faults[0].path == ("data", "write")
    alone = {**data, "source": f"file://{tmp_path}/part-002.npy"}
    assert refusal(tmp_path, {"loss": "mse", "data": alone}, kind="analyze").faults[0].code == "too_few_samples"


@pytest.mark.thorough
def test_two_hundred_partitions_of_forty_million_rows(tmp_path: Path) -> None:
    """To the bit, in the memory of a block, where the files have 320 MB."""
    rng, whole, rest = np.random.default_rng(0), 0, 0.0
    for number in range(200):
        table = rng.standard_normal((200_000, 2), np.float32)
        np.save(tmp_path / f"part-{number:03}.npy", table)
        squares = (table[:, 0].astype(float) - table[:, 1].astype(float)) ** 2
        units = np.floor(squares * 2.0**40)  # whole numbers, which add up without rounding
        whole += int(units.astype(np.int64).sum())
        rest += math.fsum((squares - units * 2.0**-40).tolist())
    total = float(Fraction(whole, 2**40) + Fraction(rest))
    data = {"source": f"file://{tmp_path}/part-*.npy", "columns": {"predictions": 0, "targets": 1}}
    tracemalloc.start()
    try:
        events, answer = work(tmp_path, {"loss": "mse", "data": data})
        assert tracemalloc.get_traced_memory()[1] < 100 * 1024 * 1024
    finally:
        tracemalloc.stop()
        for path in tmp_path.glob("*.npy"):
            path.unlink()
    assert len(events) == 200
    assert (answer["n_samples"], answer["value"]) == (40_000_000, total / 40e6)
    assert answer["standard_error"] == pytest.approx(
        math.sqrt(8 / 40e6), rel=1e-3
    )  # of the squares of normal numbers of variance 2


# --- on a server ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("partitions")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("served"), data_roots=folder) as server, server.client() as client:
        yield client


def test_a_job_on_files(client: httpx.Client, folder: Path) -> None:
    data, jobs = in_npy(folder, PARTS), Jobs(client)
    job = jobs.wait(jobs.submit({"loss": "mse", "data": data}, "evaluate"))
    assert (job["status"], job["progress"]) == ("succeeded", {"done": 3, "total": 3, "unit": "partitions"})
    assert job["result"]["value"] == 7.635416666666667
    told = [data["partition"] for _, name, data in jobs.events(job["id"]) if name == "partition"]
    assert told == [0, 1, 2]
    np.save(folder / "part-001.npy", np.array([[1, np.inf]]))
    job = jobs.wait(jobs.submit({"loss": "mse", "data": data}, "evaluate"))
    assert (job["status"], job["problem"]["status"]) == ("failed", 422)
    (fault,) = job["problem"]["errors"]
    assert (fault["pointer"], fault["code"]) == ("/request/data/source/1/0/1", "not_finite")
    assert fault["message"].startswith("part-001.npy: targets[0] must be finite")


def test_what_is_refused_when_it_is_submitted(client: httpx.Client, folder: Path) -> None:
    for name, status, code in (("/etc/passwd", 403, "source_forbidden"), (f"{folder}/none.npy", 422, "source_empty")):
        data = {"source": f"file://{name}", "columns": {"predictions": 0, "targets": 1}}
        answer = client.post("/v1/jobs", json={"kind": "evaluate", "request": {"loss": "mse", "data": data}})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["errors"][0]["pointer"] == "/request/data/source"
    answer = client.post("/v1/evaluate", json={"loss": "mse", "data": data})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/data/source")
    assert "POST /v1/jobs" in answer.json()["detail"]
