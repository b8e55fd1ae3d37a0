"""Rows to train on in any form: the same run, bit for bit; and what is wrong with them, said of the column and the cell."""

import io
import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.test_tables import CSV, NPZ, Body, refused, rows_text

pytestmark = pytest.mark.anyio

RUN = {"loss": "mse", "model": "linear", "epochs": 3, "validation": {"last": 3}, "outputs": ["parameters", "predictions"]}
X, Z, Y = [0.0, 0.1, 2.5, 3.0, 4.25, 5.0, 6.5], [1, 7, 2**60, 3, -1, 0, 5], [1.0, 2.9, 5.2, 6.8, 9.1, 11.0, 13.5]
NAMES = ["b", "a", "b", "c", "a", "c", "b"]
NAMED = {"loss": {"name": "CrossEntropyLoss"}, "model": "linear", "epochs": 3, "validation": {"last": 2}}


def npz_of(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def query_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a request as the address has them: JSON where a field is no word."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in request.items()}


def runs_on(run: Mapping[str, Any], x: list[float], z: list[int], y: list[Any]) -> dict[str, Body]:
    """The same run on the same rows in every form, columns with a role standing in another order than the inputs."""
    columns = {"x": x, "y": y, "z": z}
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    tables: dict[str, Any] = {
        "split": {"columns": [*columns], "index": [*range(len(x))], "data": rows},
        "rows": {"rows": [dict(zip(columns, row, strict=True)) for row in rows]},
        "table": {"schema": {}, "data": [dict(zip(columns, row, strict=True)) for row in rows]},
        "columns": {"columns": columns},
        "columns by row": {"columns": {name: dict(enumerate(column)) for name, column in columns.items()}},
    }
    forms = {form: ({}, json.dumps({**run, "data": {**data, "targets": "y"}}).encode(), {}) for form, data in tables.items()}
    query = {**query_of(run), "targets": "y"}
    matrix = [[a, b] for a, b in zip(x, z, strict=True)]
    arrays = {"inputs": np.array(matrix, np.float64), "targets": np.array(y)}
    return {
        "arrays": ({}, json.dumps({**run, "data": {"inputs": matrix, "targets": y, "features": ["x", "z"]}}).encode(), {}),
        **forms,
        "the inputs named": (
            {},
            json.dumps({**run, "data": {**tables["rows"], "labels": "y", "inputs": ["x", "z"]}}).encode(),
            {},
        ),
        "csv": (query, rows_text(columns), CSV),
        "csv of a spreadsheet": ({**query, "decimal": ","}, rows_text(columns, ";", ",", "\r\n"), CSV),
        "csv with text": (
            {**query, "inputs": "x,z"},
            rows_text({"who": ["Ann, and others"] * len(x), **columns}),
            CSV,
        ),
        "columns of npz": (query, npz_of(**{name: np.array(column) for name, column in columns.items()}), NPZ),
        "npz": ({**query_of(run), "features": "x,z"}, npz_of(**arrays), NPZ),
    }


def but_for_seconds(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: but_for_seconds(value) for name, value in document.items() if name != "seconds"}
    return [*map(but_for_seconds, document)] if isinstance(document, list) else document


@pytest.mark.parametrize("path", ["/v1/train", "/v1/train/compare"])
async def test_a_run_is_the_same_in_every_form(client: httpx.AsyncClient, path: str) -> None:
    for run, y in ((RUN, Y), (NAMED, NAMES)):
        asked = run
        if path.endswith("compare"):
            asked = {name: value for name, value in run.items() if name != "loss"} | {"losses": [run["loss"], run["loss"]]}
        bodies = runs_on(asked, X, Z, y)
        expected: Any = None
        for form, (query, content, head) in bodies.items():
            response = await client.post(path, params=query, content=content, headers=head)
            assert response.status_code == 200, (form, response.text)
            found = but_for_seconds(response.json())
            expected = expected or found
            assert found == expected, form
        run_ = expected if path == "/v1/train" else expected["runs"][0]
        assert run_["data"]["features"] == ["x", "z"]
        assert run_["data"]["classes"] == (None if y is Y else ["a", "b", "c"])


async def test_a_run_streams_whatever_its_data_comes_in(remote: httpx.AsyncClient) -> None:
    query = {"targets": "y", "loss": "mse", "model": "linear", "epochs": "2", "validation": "null"}
    body = rows_text({"x": X, "y": Y})
    answer_ = await remote.post("/v1/train", params=query, content=body, headers={**CSV, "accept": "text/event-stream"})
    assert answer_.text.startswith("event: start")
    assert answer_.text.count("event: epoch") == 2


CSV_RUN = {"loss": "mse", "model": "linear", "epochs": "2", "validation": "null", "targets": "y"}
ROWS = b"x,z,y\n0,1,1.0\n1,0,2.9\n2,2,5.2\n3,1,6.8\n"
WRONG_RUNS: dict[str, tuple[dict[str, str], bytes, str, str, str]] = {
    "a column of text": (
        CSV_RUN,
        ROWS.replace(b",1,", b",red,").replace(b",0,", b",blue,").replace(b",2,", b",red,"),
        "/data/inputs/0/1",
        "not_a_number",
        "one-hot; pandas: get_dummies) (line 2, column 'z': 'red')",
    ),
    "text among numbers": (
        CSV_RUN,
        ROWS.replace(b",2,", b",?,"),
        "/data/inputs/2/1",
        "not_a_number",
        "(line 4, column 'z': '?')",
    ),
    "a missing input": (
        CSV_RUN,
        ROWS.replace(b",2,", b",,"),
        "/data/inputs/2/1",
        "not_a_number",
        "leave the row out, or fill it in, as with its column's mean or median; "
        "or take a model that can do without, of boosted_trees, decision_tree, random_forest "
        "(line 4, column 'z': the cell is empty)",
    ),
    "an infinite input": (
        CSV_RUN,
        ROWS.replace(b",2,", b",inf,"),
        "/data/inputs/2/1",
        "not_finite",
        "(line 4, column 'z': 'inf')",
    ),
    "a missing target": (
        CSV_RUN,
        ROWS.replace(b"2.9", b"NA"),
        "/data/targets/1",
        "not_a_number",
        "leave the row out (line 3, column 'y': 'NA')",
    ),
    "a word among targets": (
        CSV_RUN,
        ROWS.replace(b"2.9", b"high"),
        "/data/targets/1",
        "not_a_number",
        "(line 3, column 'y': 'high')",
    ),
    "targets that are words": (
        CSV_RUN,
        b"x,y\n1,low\n2,high\n3,low\n",
        "/data/targets",
        "not_a_number",
        "(line 2, column 'y': 'low')",
    ),
    "a column that is not there": ({**CSV_RUN, "targets": "Y2"}, ROWS, "/data/targets", "unknown_column", "did you mean 'y'?"),
    "an input that is not there": ({**CSV_RUN, "inputs": "x,zz"}, ROWS, "/data/inputs", "unknown_column", "did you mean 'z'?"),
    "no targets": (
        {name: value for name, value in CSV_RUN.items() if name != "targets"},
        ROWS,
        "/data/targets",
        "missing",
        "name its column; the columns are x, z, y",
    ),
    "nothing but targets": (
        {**CSV_RUN, "targets": "x,z,y"},
        ROWS,
        "/data/inputs",
        "missing",
        "no column is left for inputs; the columns are x, z, y",
    ),
    "no loss": ({**CSV_RUN, "loss": "null"}, ROWS, "/loss", "missing", "say with which loss"),
    "a constant column": (
        CSV_RUN,
        ROWS.replace(b"0,1,", b"0,2,").replace(b"1,0,", b"1,2,").replace(b"3,1,", b"3,2,"),
        "/data/inputs",
        "constant_column",
        "cannot be standardized: 'z'; remove",
    ),
    "another name for targets": ({**CSV_RUN, "y_true": "y"}, ROWS, "/y_true", "unknown_parameter", "did you mean targets?"),
    "a number that is none": ({**CSV_RUN, "epochs": "many"}, ROWS, "/epochs", "type", "epochs must be a valid integer"),
    "a parameter of no loss": (
        {**CSV_RUN, "delta": "1"},
        ROWS,
        "/delta",
        "unknown_parameter",
        "there is no query parameter 'delta'",
    ),
    "torn JSON": ({**CSV_RUN, "optimizer": '{"name":'}, ROWS, "/optimizer", "type", "optimizer begins as JSON does, and is none"),
    "a field in JSON": (
        {**CSV_RUN, "optimizer": '{"name":"sgd","rate":1}'},
        ROWS,
        "/optimizer/rate",
        "unknown_parameter",
        "learning_rate",
    ),
}


@pytest.mark.parametrize("case", WRONG_RUNS)
async def test_what_is_wrong_with_rows_to_train_on(client: httpx.AsyncClient, case: str) -> None:
    query, body, pointer, code, message = WRONG_RUNS[case]
    problem = refused(await client.post("/v1/train", params=query, content=body, headers=CSV), 422)
    assert [(fault["pointer"], fault["code"]) for fault in problem["errors"]] == [(pointer, code)], problem
    assert message in problem["errors"][0]["message"]


WRONG_DATA: dict[str, tuple[Any, str, str]] = {
    "rows of other columns": (
        {"rows": [{"x": 1, "y": 2}, {"x": 1}], "targets": "y"},
        "/data/rows/1",
        "data.rows[1] has not the columns",
    ),
    "no rows": ({"rows": [], "targets": "y"}, "/data/rows", "data.rows has no rows"),
    "columns alone": ({"columns": ["x", "y"], "targets": "y"}, "/data/columns/0", "must be an object of cells"),
    "other lengths": ({"columns": {"x": [1], "z": [1, 2], "y": [1]}, "targets": "y"}, "/data", "1 and 2 rows"),
    "no targets": ({"rows": [{"x": 1, "t": 2}]}, "/data/targets", "name its column; the columns are x, t"),
    "another word for targets": ({"rows": [{"x": 1, "t": 2}], "target": "t"}, "/data/target", "did you mean targets?"),
    "names without a table": (
        {"inputs": [[1], [2]], "targets": "y"},
        "/data/targets",
        "a column can be named where the table is sent in data",
    ),
    "a list": ([{"x": 1, "y": 2}], "/data", '{"rows": [{"x": 1, "y": 2}], "targets": "y"}'),
    "features that are numbers": ({"features": [[1], [2]], "targets": [1, 2]}, "/data/features", "did you mean inputs?"),
    "a feature too few": ({"inputs": [[1, 2], [2, 1]], "targets": [1, 2], "features": ["x"]}, "/data/features", "1 names"),
    "text in arrays": ({"inputs": [[1, "red"], [2, "blue"]], "targets": [1, 2]}, "/data/inputs/0/1", "one-hot"),
    "null in arrays": (
        {"inputs": [[1, None], [2, 3]], "targets": [1, 2]},
        "/data/inputs/0/1",
        "leave the row out, or fill it in",
    ),
    "null among targets": ({"inputs": [[1], [2]], "targets": [1, None]}, "/data/targets/1", "leave the row out"),
}


@pytest.mark.parametrize("case", WRONG_DATA)
async def test_what_is_wrong_with_data_in_json(client: httpx.AsyncClient, case: str) -> None:
    data, pointer, message = WRONG_DATA[case]
    request = {"data": data, "loss": "mse", "model": "linear", "epochs": 1, "validation": None}
    problem = refused(await client.post("/v1/train", json=request), 422)
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer], problem
    assert message in problem["errors"][0]["message"]
