"""Data by reference in an object store: a server of S3's protocol, to which jobs come by s3fs. `make test-stores`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import ROOT, serving
from tests.jobs.asking import Jobs
from tests.jobs.test_reference import PARTS, in_arrow, in_csv, in_npy, in_parquet, refusal, work

BUCKET = "bucket"
ROOTS = f"s3://{BUCKET}/run7"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a server of its own, to which the environment of this process, and of those that it starts, leads."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    own = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }
    before = dict(os.environ)
    os.environ.update(own)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    os.environ.clear()
    os.environ.update(before)
    server.stop()


def uploaded(s3: Any, folder: Path, data: dict[str, Any], prefix: str = "run7") -> dict[str, Any]:
    """The files of a folder as objects, and where they are."""
    for path in folder.iterdir():
        if path.is_file():
            s3.upload_file(str(path), BUCKET, f"{prefix}/{path.name}")
    return {**data, "source": data["source"].replace(f"file://{folder}", f"s3://{BUCKET}/{prefix}")}


def emptied(s3: Any) -> None:
    for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=found["Key"])


@pytest.mark.parametrize("written", [in_npy, in_csv, in_parquet, in_arrow])
@pytest.mark.parametrize("kind", ["evaluate", "analyze"])
def test_objects_come_to_what_files_come_to(s3: Any, tmp_path: Path, written: Any, kind: str) -> None:
    emptied(s3)
    data = written(tmp_path, PARTS)
    expected = work(tmp_path, {"loss": "mse", "data": data}, kind=kind)
    request = {"loss": "mse", "data": uploaded(s3, tmp_path, data)}
    for at_once in (True, False):
        assert work(tmp_path, request, kind=kind, roots=ROOTS, at_once=at_once) == expected


def test_large_objects_are_read_in_blocks(s3: Any, tmp_path: Path) -> None:
    """To the bit, where many blocks are read of each, and no more than some are kept."""
    emptied(s3)
    rng = np.random.default_rng(0)
    columns: Any = {name: rng.standard_normal(12_000_000) for name in ("p", "y")}
    np.save(tmp_path / "a.npy", np.column_stack([*columns.values()]))
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    code = (
        "import json, sys; from pathlib import Path; from tests.jobs.test_reference import work\n"
        "most = lambda: int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
        "before = most()\n"
        "_, answer = work(Path(sys.argv[1]), json.loads(sys.argv[2]), roots=sys.argv[3])\n"
        "print(json.dumps([answer, most() - before]))"
    )
    for form, named in (("npy", (0, 1)), ("parquet", ("p", "y"))):
        data = {"source": f"file://{tmp_path}/a.{form}", "columns": dict(zip(("predictions", "targets"), named, strict=True))}
        _, expected = work(tmp_path, {"loss": "mse", "data": data})
        request = {"loss": "mse", "data": uploaded(s3, tmp_path, data)}
        command = [sys.executable, "-c", code, str(tmp_path), json.dumps(request), ROOTS]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        answer, grown = json.loads(done.stdout)
        assert answer == expected
        assert grown < 150 * 1024, "in kB, where each object has 192 MB"


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/other/part-*.npy",
        "s3://bucket/run70/part-*.npy",
        "s3://bucket/run7*/part-0.npy",
        "s3://bucket/run7/../other/part-0.npy",
        "s3://bucket/run7/%2e%2e/other/part-0.npy",
        "s3://key:secret@bucket/run7/part-0.npy",
        "s3://other/run7/part-0.npy",
        "simplecache::s3://bucket/run7/part-0.npy",
        "gs://bucket/run7/part-0.npy",
        "memory://bucket/run7/part-0.npy",
    ],
)
def test_what_is_outside_of_the_roots_is_forbidden(s3: Any, tmp_path: Path, source: str) -> None:
    data = {"source": source, "columns": {"predictions": 0, "targets": 1}}
    error = refusal(tmp_path, {"loss": "mse", "data": data}, roots=ROOTS)
    assert (error.code, error.faults[0].path) == ("source_forbidden", ("data", "source"))
    assert "secret" not in error.detail


def test_what_is_not_there_or_cannot_be_read(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied(s3)
    data = uploaded(s3, tmp_path, in_npy(tmp_path, PARTS))
    for source in ("none-*.npy", "part-[0]*.npy", "part-00?.npy", "none.npy", "part-000.npy/x.npy"):
        error = refusal(tmp_path, {"loss": "mse", "data": {**data, "source": f"{ROOTS}/{source}"}}, roots=ROOTS)
        assert (error.code, error.faults[0].path) == ("source_empty", ("data", "source")), source
    error = refusal(tmp_path, {"loss": "mse", "data": {**data, "write": {"per_sample": ROOTS}}}, roots=ROOTS)
    assert (error.faults[0].code, error.faults[0].path) == ("unexpected", ("data", "write", "per_sample"))
    missing = {**data, "source": "gs://bucket/a.npy"}
    error = refusal(tmp_path, {"loss": "mse", "data": missing}, roots="gs://bucket")
    assert (error.code, error.faults[0].path) == ("format_unavailable", ("data", "source"))
    assert "pip install criterion[data]" in error.detail
    error = refusal(tmp_path, {"loss": "mse", "data": {**data, "source": "s3://nobody/a.npy"}}, roots="s3://nobody")
    assert error.code in ("source_empty", "not_read")
    s3.put_object(Bucket=BUCKET, Key="run7/part-001.npy", Body=b"\x93NUMPY")
    error = refusal(tmp_path, {"loss": "mse", "data": data}, roots=ROOTS)
    assert (error.faults[0].path, error.faults[0].message[:14]) == (("data", "source", 1), "part-001.npy: ")


def test_jobs_on_objects(s3: Any, tmp_path: Path) -> None:
    """Evaluated in parts, and trained on; what has been written anew meanwhile is told."""
    emptied(s3)
    folder = tmp_path / "data"
    folder.mkdir()
    data = in_npy(folder, PARTS * 3)
    events, expected = work(folder, {"loss": "mse", "data": data})
    data = uploaded(s3, folder, data)
    with serving(tmp_path, data_roots=ROOTS, job_slots=2, job_part_bytes=1) as server, server.client() as client:
        jobs = Jobs(client)
        job = jobs.wait(jobs.submit({"loss": "mse", "data": data}, "evaluate"))
        assert job["result"] == expected
        told = [data for _, name, data in jobs.events(job["id"]) if name == "partition"]
        assert told == [data for *_, data in events]
        columns = {"inputs": 0, "targets": 1}
        training = {"loss": "mse", "epochs": 2, "model": "linear", "data": {**data, "columns": columns}}
        assert jobs.wait(jobs.submit(training))["status"] == "succeeded"
        answer = client.post(
            "/v1/jobs", json={"kind": "evaluate", "request": {"loss": "mse", "data": {**data, "source": "s3://x/a.npy"}}}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "source_forbidden")


def test_other_stores_by_their_own_protocol(tmp_path: Path) -> None:
    """HTTP, by what fsspec reads it by."""
    folder = tmp_path / "run7"
    folder.mkdir()
    data = in_npy(folder, PARTS)
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        url = process.stdout.readline().partition("(")[2].partition("/)")[0]
        source = [f"{url}/run7/part-00{number}.npy" for number in range(3)]
        request = {"loss": "mse", "data": {**data, "source": source}}
        assert work(tmp_path, request, roots=f"{url}/run7") == work(tmp_path, {"loss": "mse", "data": data})
        request["data"]["source"] = f"{url}/run7x/part-000.npy"
        assert refusal(tmp_path, request, roots=f"{url}/run7").code == "source_forbidden"
    finally:
        process.kill()
        process.communicate()
