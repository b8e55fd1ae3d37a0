"""Data sets that are kept, as what jobs and runs are on: `"source": "dataset:n"`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.jobs import OF_KIND
from app.api.sources import datasets_of
from app.errors import CallerError, SourceEmpty
from app.jobs.datasets import Received, digest_of
from app.serving.pieces import Checkpoint, Task, jobs_settings, work_on
from app.settings import Settings
from app.wire import partitions
from tests.api.test_datasets import BODIES, FORMS
from tests.conftest import serving
from tests.jobs.asking import Jobs
from tests.jobs.test_pieces import Saying
from tests.jobs.test_reference import PARTS, in_npy, refusal, work

COLUMNS = {"predictions": "p", "targets": "y"}
MSE = {"loss": "mse", "data": {"source": "dataset:n", "columns": COLUMNS}}
VALUE = 12.166666666666666
"""(0.25 + 0.25 + 36) / 3"""


def keep(name: str, body: bytes, form: str, columns: tuple[str, ...] = ("p", "y"), n_rows: int = 3, owner: str = "") -> None:
    datasets = datasets_of(Settings())
    path = datasets.receive(body)
    datasets.keep(owner, name, Received(path.name, digest_of(body), len(body), form, columns, n_rows))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRITERION_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("block_bytes", [16, 4096])
def test_a_job_reads_what_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, block_bytes: int) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", block_bytes)
    keep("n", BODIES[kind], FORMS[kind])
    events, answer = work(folder, MSE, at_once=False)
    assert (answer["value"], answer["n_samples"], answer["partitions"]) == (VALUE, 3, 1)
    assert [told["partition"] for *_, told in events] == [0]
    _, found = work(folder, MSE, kind="analyze")
    assert found["value"] == VALUE


def test_files_and_data_sets_are_one_table(folder: Path) -> None:
    """The example of three parts, one of which is kept."""
    (first, *rest) = PARTS
    data = in_npy(folder, rest)
    keep("n", json.dumps({"0": first[0], "1": first[1]}).encode(), "json", ("0", "1"))
    out = f"file://{folder}/out"
    source = [data["source"], "dataset:n"]
    _, answer = work(folder, {"loss": "mse", "data": {**data, "source": source, "write": {"per_sample": out}}})
    assert (answer["value"], answer["partitions"]) == (7.635416666666667, 3)
    assert np.load(folder / "out" / "n.per_sample.npy").tolist() == [0.25, 0.25, 36.0]


def test_labels_in_words_weights_and_gaps(folder: Path) -> None:
    cells = ((1.0, 0.5, "yes", 1), (0, 2, "no", 2), (0, 1, "no", None))
    rows = [dict(zip(("a", "b", "label", "w"), row, strict=True)) for row in cells]
    keep("n", json.dumps(rows).encode(), "json", ("a", "b", "label", "w"))
    columns = {"predictions": ["a", "b"], "targets": "label", "sample_weight": "w"}
    request = {"loss": "CrossEntropyLoss", "classes": ["yes", "no"], "missing": "drop"}
    body = {**request, "predictions": [[1, 0.5], [0, 2]], "targets": ["yes", "no"], "sample_weight": [1, 2]}
    _, whole = work(folder, body)
    _, answer = work(folder, {**request, "data": {"source": "dataset:n", "columns": columns}})
    assert (answer["value"], answer["n_samples"]) == (whole["value"], 2)


@pytest.mark.parametrize(
    ("data", "pointer", "words"),
    [
        ({"source": "dataset:none"}, ("data", "source"), "no data set is kept under the name 'none'"),
        ({"source": "dataset:../n"}, ("data", "source"), "POST /v1/datasets"),
        ({"source": "dataset:"}, ("data", "source"), "no data set"),
        ({"source": "dataset:*"}, ("data", "source"), "no data set"),
        ({"format": "npy"}, ("data", "format"), "leave format out"),
        ({"columns": {"predictions": "q", "targets": "y"}}, ("data", "source", 0), "dataset:n: it has no column 'q'"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(folder: Path, data: Any, pointer: tuple[Any, ...], words: str) -> None:
    keep("n", BODIES["text/csv"], "csv")
    error = refusal(folder, {"loss": "mse", "data": {**MSE["data"], **data}})
    assert error.faults[0].path == pointer
    assert words in error.faults[0].message


def test_a_cell_that_is_wrong_has_its_place(folder: Path) -> None:
    keep("n", b"p,y\n1,2\n2,x\n", "csv")
    error = refusal(folder, MSE)
    assert error.faults[0].path == ("data", "source", 0, 1, "y")
    assert error.faults[0].message.startswith("dataset:n: ")


def test_what_another_key_keeps_is_not_there(folder: Path) -> None:
    keep("n", BODIES["text/csv"], "csv", owner="other")
    assert isinstance(refusal(folder, MSE), SourceEmpty)


def test_a_data_set_that_is_deleted_or_damaged_ends_a_job_with_the_reason(folder: Path) -> None:
    datasets = datasets_of(Settings())
    keep("n", BODIES["text/csv"], "csv")
    (content,) = (folder / "datasets/content").iterdir()
    content.write_bytes(b"p,")
    assert "send it again" in refusal(folder, MSE).detail
    keep("n", BODIES["text/csv"], "csv")
    assert work(folder, MSE)[1]["value"] == VALUE
    datasets.delete("", "n")
    assert isinstance(refusal(folder, MSE), SourceEmpty)


def test_what_is_deleted_is_read_to_its_end_by_who_reads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "BLOCK_BYTES", 16)
    keep("n", BODIES["text/csv"], "csv")
    datasets = datasets_of(Settings())
    path = datasets.content(datasets.get("", "n"))
    blocks = partitions.blocks(str(path), "csv", ["p"])
    first = next(blocks)
    datasets.delete("", "n")
    assert not path.exists()
    assert [number for block in (first, *blocks) for number in np.asarray(block.columns["p"]).tolist()] == [2.5, 0.0, 8.0]


def test_a_name_that_is_given_to_other_data_meanwhile_ends_a_job(folder: Path) -> None:
    """It would come to neither of both: what had been read is of the one, and the rest of the other."""
    keep("n", BODIES["text/csv"], "csv")
    keep("m", b"p,y\n1,2\n", "csv")
    call = OF_KIND["evaluate"]
    assert call.job
    settings = jobs_settings(Settings(job_checkpoint_seconds=0.0))
    data = {**MSE["data"], "source": ["dataset:n", "dataset:m"]}
    body = memoryview(json.dumps({"kind": "evaluate", "request": {**MSE, "data": data}}).encode())
    checkpoint, _ = work_on(body, Saying(), Task(call.job, call.job_check, settings, None, folder / "checkpoints"))
    assert isinstance(checkpoint, Checkpoint)
    datasets_of(Settings()).delete("", "n")
    keep("n", b"p,y\n5,6\n", "csv")
    with pytest.raises(CallerError, match="no longer there"):
        work_on(body, Saying(), Task(call.job, call.job_check, settings, checkpoint, folder / "checkpoints"))


# --- on a server ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("served")) as server, server.client() as client:
        yield client


def test_a_job_on_a_data_set(client: httpx.Client) -> None:
    kept = client.post("/v1/datasets?name=n", content=BODIES["text/csv"], headers={"content-type": "text/csv"})
    assert kept.status_code == 201
    jobs = Jobs(client)
    job = jobs.wait(jobs.submit(MSE, "evaluate"))
    assert (job["status"], job["result"]["value"]) == ("succeeded", VALUE)
    unknown = {**MSE, "data": {**MSE["data"], "source": "dataset:none"}}
    answer = client.post("/v1/jobs", json={"kind": "evaluate", "request": unknown})
    assert (answer.status_code, answer.json()["code"]) == (422, "source_empty")
    assert answer.json()["errors"][0]["pointer"] == "/request/data/source"
    answer = client.post("/v1/evaluate", json=MSE)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/data/source")
