"""/v1/datasets: tables that are kept under a name."""

import gzip
import hashlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema.protocols import Validator
from pydantic import SecretStr

from app.api.datasets import FORMS
from app.api.sources import datasets_of
from app.settings import Settings
from app.training import DATASETS
from tests.api.problem import problem_of
from tests.conftest import client_with
from tests.serving.keyed import Made

pytestmark = pytest.mark.anyio

TABLE = {"p": [2.5, 0.0, 8.0], "y": [3.0, -0.5, 2.0]}


def _arrow(write: Any) -> bytes:
    buffer = io.BytesIO()
    table: Any = pa.table(TABLE)
    with write(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _saved(write: Any) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


ARRAYS: dict[str, Any] = {name: np.array(column) for name, column in TABLE.items()}
BODIES: dict[str, bytes] = {
    "application/json": json.dumps(TABLE).encode(),
    "text/csv": b"p,y\n2.5,3\n0,-0.5\n8,2\n",
    "application/x-npz": _saved(lambda file: np.savez(file, **ARRAYS)),
    "application/vnd.apache.arrow.stream": _arrow(pa.ipc.new_stream),
    "application/vnd.apache.arrow.file": _arrow(pa.ipc.new_file),
    "application/vnd.apache.parquet": _saved(lambda file: pq.write_table(pa.table(TABLE), file)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
async def shared(folder: Path, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_with(data_dir=folder, dataset_count=3, dataset_bytes=10_000) as client:
        yield client


@pytest.fixture
async def keeper(shared: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client of a service that keeps nothing yet."""
    for kept in (await shared.get("/v1/datasets")).json()["kept"]:
        assert (await shared.delete(f"/v1/datasets/{kept['name']}")).status_code == 200
    return shared


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


async def keep(client: httpx.AsyncClient, name: str, body: bytes = BODIES["text/csv"], kind: str = "text/csv") -> httpx.Response:
    return await client.post("/v1/datasets", params={"name": name}, content=body, headers={"content-type": kind})


async def test_every_form_has_a_body() -> None:
    assert BODIES.keys() == FORMS.keys()


@pytest.mark.parametrize("kind", FORMS)
async def test_a_table_is_kept_in_every_form(kind: str, keeper: httpx.AsyncClient, schemas: dict[str, Validator]) -> None:
    body = BODIES[kind]
    response = await keep(keeper, "run-7", body, kind)
    assert response.status_code == 201, response.text
    answer = response.json()
    schemas["Kept"].validate(answer)
    assert response.headers["location"] == "/v1/datasets/run-7"
    expected = {"name": "run-7", "hash": f"sha256:{hashlib.sha256(body).hexdigest()}", "n_rows": 3, "columns": ["p", "y"]}
    assert answer == {**expected, "bytes": len(body), "expires": answer["expires"]}
    again = await keep(keeper, "run-7", body, kind)
    assert (again.status_code, again.json()) == (201, answer)
    entry = (await keeper.get("/v1/datasets/run-7")).json()
    schemas["Entry"].validate(entry)
    assert answer.items() <= entry.items()
    listed = (await keeper.get("/v1/datasets")).json()
    schemas["DatasetList"].validate(listed)
    assert (listed["kept"], listed["next"]) == ([answer], None)
    deleted = await keeper.delete("/v1/datasets/run-7")
    assert (deleted.status_code, deleted.json()) == (200, answer)
    for gone in (await keeper.get("/v1/datasets/run-7"), await keeper.delete("/v1/datasets/run-7")):
        assert problem_of(gone)["status"] == 404
    assert (await keeper.get("/v1/datasets")).json()["kept"] == []


async def test_a_body_that_is_packed_has_the_hash_of_what_comes_out(keeper: httpx.AsyncClient) -> None:
    plain = (await keep(keeper, "n")).json()
    head = {"content-type": "text/csv", "content-encoding": "gzip"}
    packed = await keeper.post("/v1/datasets?name=n", content=gzip.compress(BODIES["text/csv"]), headers=head)
    assert (packed.status_code, packed.json()) == (201, plain)


async def test_pages_of_what_is_kept(keeper: httpx.AsyncClient) -> None:
    for number in range(3):
        await keep(keeper, f"n{number}")
    first = (await keeper.get("/v1/datasets?limit=2")).json()
    assert [kept["name"] for kept in first["kept"]] == ["n2", "n1"]
    await keeper.delete("/v1/datasets/n1")
    await keep(keeper, "new")
    rest = (await keeper.get("/v1/datasets", params={"limit": 2, "cursor": first["next"]})).json()
    assert ([kept["name"] for kept in rest["kept"]], rest["next"]) == (["n0"], None)
    for wrong in ("cursor=x", "limit=0", "limit=201", "limit=x"):
        body = problem_of(await keeper.get(f"/v1/datasets?{wrong}"))
        assert (body["status"], body["errors"][0]["pointer"]) == (422, f"/{wrong.partition('=')[0]}")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\0", "x" * 65, ".hidden", "é", *list(DATASETS)[:2], "Iris"])
async def test_names_that_nothing_can_have(name: str, keeper: httpx.AsyncClient, folder: Path) -> None:
    body = problem_of(await keep(keeper, name))
    assert (body["status"], body["errors"][0]["pointer"]) == (422, "/name")
    assert not files(folder)


async def test_what_is_wrong_with_a_name_or_too_much_is_said(keeper: httpx.AsyncClient) -> None:
    missing = problem_of(await keeper.post("/v1/datasets", json=TABLE))
    assert (missing["status"], missing["errors"][0]["pointer"]) == (422, "/name")
    unknown = problem_of(await keeper.post("/v1/datasets?nam=x", json=TABLE))
    assert "did you mean name?" in unknown["detail"]
    await keep(keeper, "n")
    other = problem_of(await keep(keeper, "n", b"p,y\n1,2\n"))
    assert (other["status"], other["code"]) == (409, "dataset_exists")
    assert "choose another name" in other["detail"]
    large = problem_of(await keep(keeper, "large", b"p\n" + b"1\n" * 5000))
    assert (large["status"], large["code"]) == (409, "datasets_full")
    await keep(keeper, "m")
    await keep(keeper, "o")
    full = problem_of(await keep(keeper, "p"))
    assert (full["status"], full["code"]) == (409, "datasets_full")
    assert "delete" in full["detail"]


@pytest.mark.parametrize(
    ("kind", "body", "status", "code", "words"),
    [
        ("text/plain", b"x", 415, "unsupported_media_type", "text/csv"),
        ("text/csv", b"", 400, "malformed_table", "is empty"),
        ("text/csv", b"p,y\n", 400, "malformed_table", "no rows"),
        ("text/csv", b"p,y\n1\n", 422, "invalid_request", "line 2 has 1 cells"),
        ("text/csv", b"\xff\xfep\0", 400, "malformed_table", "UTF-16"),
        ("application/json", b"", 400, "malformed_json", "no JSON"),
        ("application/json", b'{"p": [1', 400, "malformed_json", ""),
        ("application/json", b"[1]", 422, "invalid_request", "list of row objects"),
        ("application/json", b'{"p": 1}', 422, "invalid_request", "list of cells"),
        ("application/json", b'[{"p": 1}, {}]', 422, "invalid_request", "columns"),
        ("application/x-npz", b"PK", 400, "malformed_table", "npz"),
        ("application/vnd.apache.arrow.stream", b"ARROW1", 400, "malformed_table", "Arrow"),
        ("application/vnd.apache.parquet", b"PAR1", 400, "malformed_table", "Parquet"),
    ],
)
async def test_what_is_no_table_is_not_kept(
    kind: str, body: bytes, status: int, code: str, words: str, keeper: httpx.AsyncClient, folder: Path
) -> None:
    problem = problem_of(await keep(keeper, "n", body, kind))
    assert (problem["status"], problem["code"]) == (status, code)
    assert words in problem["detail"]
    assert not files(folder)


async def test_each_key_has_data_sets_of_its_own(tmp_path: Path, anyio_backend: str) -> None:
    made = Made()
    for name in ("one", "two"):
        made.add(name, "jobs")
    made.add("trains", "train")
    async with client_with(data_dir=tmp_path, keys=SecretStr(made.text)) as client:
        head = {"content-type": "text/csv", **made.head("one")}
        kept = await client.post("/v1/datasets?name=n", content=BODIES["text/csv"], headers=head)
        assert kept.status_code == 201
        assert (await client.get("/v1/datasets/n", headers=made.head("one"))).status_code == 200
        for method in ("GET", "DELETE"):
            assert (await client.request(method, "/v1/datasets/n", headers=made.head("two"))).status_code == 404
        assert (await client.get("/v1/datasets", headers=made.head("two"))).json()["kept"] == []
        assert (await client.delete("/v1/datasets/n", headers=made.head("trains"))).status_code == 403


async def test_a_disk_that_takes_nothing_is_told(tmp_path: Path, anyio_backend: str) -> None:
    (tmp_path / "datasets").write_text("in the way")
    async with client_with(data_dir=tmp_path) as client:
        problem = problem_of(await keep(client, "n"))
        assert (problem["status"], problem["code"]) == (503, "unavailable")
        assert (await client.get("/v1/datasets")).json()["kept"] == []
        assert (await client.get("/v1/datasets/n")).status_code == 404
        assert (await client.delete("/v1/datasets/n")).status_code in (404, 503)


async def test_retention_is_told(tmp_path: Path, anyio_backend: str) -> None:
    async with client_with(data_dir=tmp_path, dataset_retention_seconds=0.001) as client:
        assert (await keep(client, "n")).status_code == 201
        assert (await client.get("/v1/datasets/n")).status_code == 404
    assert datasets_of(Settings(data_dir=tmp_path)).all_of("") == []
