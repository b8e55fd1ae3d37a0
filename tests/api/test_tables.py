"""The same data in any form is answered as the JSON arrays are, byte for byte; what is wrong with a cell is said of the cell."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.examples import example
from app.losses import LOSSES, Loss
from tests.api.problem import problem_of
from tests.folding import folded

pytestmark = pytest.mark.anyio

CSV, NPZ = {"content-type": "text/csv"}, {"content-type": "application/x-npz"}
SCORES = b"id,score,label\n1,0.9,1\n2,0.2,0\n3,0.6,1\n"
DECIMAL_COMMAS = SCORES.replace(b",", b";").replace(b".", b",")
ROLES = {"loss": "bce", "predictions": "score", "targets": "label"}

Arrays = dict[str, np.ndarray[Any, Any]]
Body = tuple[dict[str, str], bytes, dict[str, str]]
"""Query, body and head."""


def arrays_of(request: Mapping[str, Any]) -> Arrays:
    """The arrays of a request by the names of the loss's inputs."""
    arrays: Arrays = {}
    for side in ("predictions", "targets", "sample_weight", "mask"):
        given = request.get(side)
        named = given if isinstance(given, dict) else {} if given is None else {side: given}
        arrays |= {name: np.array(values) for name, values in named.items()}
    return arrays


def columns_of(arrays: Arrays) -> dict[str, list[Any]]:
    """The same as columns: those of (n, k) apart."""
    return {
        f"{name}/{index}": column.tolist()
        for name, array in arrays.items()
        for index, column in enumerate(array.reshape(len(array), -1).T)
    }


def spelled(request: Mapping[str, Any]) -> dict[str, str]:
    """The loss and its parameters as the address says them."""
    loss = request["loss"]
    words = {name: json.dumps(value).strip('[]"').replace(" ", "") for name, value in loss.items()}
    return {"loss": words.pop("name"), **words}


def rows_text(columns: Mapping[str, list[Any]], delimiter: str = ",", decimal: str = ".", end: str = "\n") -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([repr(cell).replace(".", decimal) if isinstance(cell, float) else cell for cell in row])
    return file.getvalue().encode()


def roles_of(arrays: Arrays) -> dict[str, list[str]]:
    columns = columns_of(arrays)
    return {name: [column for column in columns if column.startswith(f"{name}/")] for name in arrays}


def as_csv(request: Mapping[str, Any], **dialect: str) -> Body:
    arrays = arrays_of(request)
    query = {name: ",".join(columns) for name, columns in roles_of(arrays).items()}
    body = rows_text({"row": ["some text"] * len(next(iter(arrays.values()))), **columns_of(arrays)}, **dialect)
    said_so = {"decimal": dialect["decimal"]} if "decimal" in dialect else {}
    return {**spelled(request), **query, **said_so}, body, CSV


def plain_csv(request: Mapping[str, Any]) -> Body:
    arrays = arrays_of(request)
    return (
        {**spelled(request), **{name: ",".join(columns) for name, columns in roles_of(arrays).items()}},
        rows_text(columns_of(arrays)),
        CSV,
    )


def as_npz(request: Mapping[str, Any]) -> Body:
    file = io.BytesIO()
    arrays: dict[str, Any] = arrays_of(request)
    np.savez_compressed(file, **arrays)
    return spelled(request), file.getvalue(), NPZ


def in_json(request: Mapping[str, Any], data: Any) -> Body:
    """With columns named where its arrays stood."""
    roles = roles_of(arrays_of(request))
    names = {name: columns[0] if len(columns) == 1 else columns for name, columns in roles.items()}
    named: dict[str, Any] = {}
    for side in ("predictions", "targets", "sample_weight", "mask"):
        if isinstance(request.get(side), dict):
            named[side] = {name: names[name] for name in request[side]}
        elif side in names:
            named[side] = names[side]
    return {}, json.dumps({**request, **named, "data": data}).encode(), {}


def rows_of(request: Mapping[str, Any]) -> list[list[Any]]:
    return [list(row) for row in zip(*columns_of(arrays_of(request)).values(), strict=True)]


def records(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = [*columns_of(arrays_of(request))]
    return [dict(zip(names, row, strict=True)) for row in rows_of(request)]


FORMS: dict[str, Callable[[Mapping[str, Any]], Body]] = {
    "csv": plain_csv,
    "csv with text": as_csv,
    "csv of a spreadsheet": lambda request: as_csv(request, delimiter=";", decimal=",", end="\r\n"),
    "npz": as_npz,
    "split": lambda request: in_json(request, {"columns": [*columns_of(arrays_of(request))], "data": rows_of(request)}),
    "records": lambda request: in_json(request, records(request)),
    "list": lambda request: in_json(request, columns_of(arrays_of(request))),
    "dict": lambda request: in_json(
        request,
        {name: {str(row): cell for row, cell in enumerate(cells)} for name, cells in columns_of(arrays_of(request)).items()},
    ),
}


async def answer(client: httpx.AsyncClient, body: Body) -> httpx.Response:
    query, content, head = body
    return await client.post("/v1/evaluate", params=query, content=content, headers=head)


def fits(loss: Loss, form: str) -> bool:
    """A column has no rows of its own."""
    return form == "npz" or max(array.ndim for array in arrays_of(example(loss)).values()) <= 2


@pytest.mark.no_cover  # others run these lines as well
@folded("case", [(name, form) for name, loss in LOSSES.items() for form in FORMS if fits(loss, form)], of=lambda case: case[0])
async def test_every_loss_is_answered_the_same_in_every_form(client: httpx.AsyncClient, case: tuple[str, str]) -> None:
    name, form = case
    request = example(LOSSES[name])
    expected = await client.post("/v1/evaluate", json=request)
    found = await answer(client, FORMS[form](request))
    assert (found.status_code, found.content) == (200, expected.content), found.text


def test_most_losses_fit_in_columns() -> None:
    assert sum(fits(loss, "csv") for loss in LOSSES.values()) > len(LOSSES) * 0.7


def large(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    return {
        "loss": {"name": "huber", "delta": 0.5},
        "predictions": rng.normal(size=rows).tolist(),
        "targets": rng.normal(size=rows).tolist(),
        "sample_weight": rng.random(rows).tolist(),
        "mask": (rng.random(rows) < 0.9).astype(int).tolist(),
    }


@pytest.mark.parametrize("form", FORMS)
async def test_forms_agree_over_a_socket_and_in_a_process(remote: httpx.AsyncClient, form: str) -> None:
    request = large(30_000)
    expected = await remote.post("/v1/evaluate", json=request)
    found = await answer(remote, FORMS[form](request))
    assert (found.status_code, found.content) == (200, expected.content)


async def test_rows_come_back_with_loss_and_gradient(remote: httpx.AsyncClient) -> None:
    """What is appended reads back as the numbers of the JSON answer, whether here or in a process."""
    for rows in (5, 40_000):
        request = large(rows)
        expected = (await remote.post("/v1/evaluate", json=request)).json()
        query, body, head = as_csv(request, delimiter=";", decimal=",")
        found = await answer(remote, (query, body, {**head, "accept": "text/csv"}))
        assert (found.status_code, found.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        lines = list(csv.reader(io.StringIO(found.text, newline=""), delimiter=";"))
        assert lines[0][-2:] == ["loss", "gradient"]
        numbers = [[float(cell.replace(",", ".")) for cell in line[-2:]] for line in lines[1:]]
        assert numbers == [[*pair] for pair in zip(expected["per_sample"], expected["gradient"], strict=True)]
        assert [line[:-2] for line in lines] == list(csv.reader(io.StringIO(body.decode(), newline=""), delimiter=";"))


async def test_columns_of_several_predictions_have_a_gradient_each(client: httpx.AsyncClient) -> None:
    body = b"loss,cat,dog,y\n9,0.25,0.75,cat\n8,0.5,0.5,dog\n"
    query = {"loss": "cce", "predictions": "cat,dog", "targets": "y", "classes": "cat,dog"}
    found = await answer(client, (query, body, {**CSV, "accept": "text/csv;q=1, application/json;q=0.5"}))
    header, *rows = list(csv.reader(io.StringIO(found.text)))
    assert header == ["loss", "cat", "dog", "y", "loss_", "gradient_cat", "gradient_dog"]
    assert [float(row[4]) for row in rows] == [pytest.approx(np.log(4)), pytest.approx(np.log(2))]
    assert [float(cell) for cell in rows[0][5:]] == [-2.0, 0.0]


async def test_columns_with_the_names_of_roles_need_none_said(client: httpx.AsyncClient) -> None:
    found = await answer(client, ({"loss": "mse"}, b"predictions,targets,sample_weight\n1,2,1\n3,3,0\n", CSV))
    assert found.json()["value"] == 1.0
    file = io.BytesIO()
    np.savez(file, predictions=np.array([1, 3], np.float32), targets=np.array([2, 3], ">i2"), mask=np.array([True, False]))
    assert (await answer(client, ({"loss": "mse"}, file.getvalue(), NPZ))).json()["value"] == 1.0


async def test_the_address_says_what_a_request_says(client: httpx.AsyncClient) -> None:
    query = {**ROLES, "label_smoothing": "0.25", "reduction": "sum", "outputs": "value,per_element", "sample_weight": "id"}
    request = {
        "loss": {"name": "bce", "label_smoothing": 0.25},
        "predictions": [0.9, 0.2, 0.6],
        "targets": [1, 0, 1],
        "sample_weight": [1, 2, 3],
        "reduction": "sum",
        "outputs": ["value", "per_element"],
    }
    expected = await client.post("/v1/evaluate", json=request)
    found = await answer(client, (query, SCORES, CSV))
    assert (found.status_code, found.content) == (200, expected.content)


async def test_whole_numbers_keep_their_digits_side_by_side(client: httpx.AsyncClient) -> None:
    """Labels beyond 2⁵³ are told apart in every form."""
    ids = [2**53, 2**53 + 1]
    for body in (
        ({"loss": "zero_one", "predictions": "p", "targets": "t"}, f"p,t\n{ids[0]},{ids[1]}\n1,1\n".encode(), CSV),
        (
            {},
            json.dumps(
                {"loss": "zero_one", "data": {"p": [ids[0], 1], "t": [ids[1], 1]}, "predictions": "p", "targets": "t"}
            ).encode(),
            {},
        ),
    ):
        found = await answer(client, body)
        plain = await client.post("/v1/evaluate", json={"loss": "zero_one", "predictions": [ids[0], 1], "targets": [ids[1], 1]})
        assert (found.status_code, found.json().get("value")) == (plain.status_code, plain.json().get("value"))


# --- what is wrong ------------------------------------------------------------------------------------------------------------


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that a response with this status is."""
    assert response.status_code == status, response.text
    return problem_of(response)


REFUSED: dict[str, tuple[dict[str, str], bytes, str, str]] = {
    "a column that is not there": ({**ROLES, "predictions": "scroe"}, SCORES, "/predictions", "did you mean 'score'? the"),
    "a role that is none": ({**ROLES, "target": "label"}, SCORES, "/target", "did you mean targets?"),
    "no roles": ({"loss": "bce"}, SCORES, "", "say in the address which is which"),
    "no loss": ({"predictions": "score"}, SCORES, "/loss", "?loss=mse"),
    "a parameter of no loss": ({**ROLES, "delta": "1"}, SCORES, "/delta", "no query parameter 'delta'"),
    "a parameter out of bounds": ({**ROLES, "label_smoothing": "2"}, SCORES, "/label_smoothing", "less than or equal to 1"),
    "a parameter that is no number": ({**ROLES, "label_smoothing": "x"}, SCORES, "/label_smoothing", "number"),
    "a missing cell": (ROLES, SCORES.replace(b"0.2", b""), "/predictions/1", "(line 3, column 'score': the cell is empty)"),
    "a word among numbers": (ROLES, SCORES.replace(b"0.2", b"x"), "/predictions/1", "(line 3, column 'score': 'x')"),
    "decimal commas": (ROLES, DECIMAL_COMMAS, "/predictions/0", "(line 2, column 'score': '0,9'; say decimal=,"),
    "a label out of range": (ROLES, SCORES.replace(b"0.6,1", b"0.6,7"), "/targets/2", "(line 4, column 'label')"),
    "a ragged row": (ROLES, SCORES.replace(b"0.2,0", b"0.2"), "", "line 3 has 2 cells where the header has 3"),
    "a column twice": (ROLES, SCORES.replace(b"id", b"score"), "/predictions", "stands twice"),
    "two kinds of comma": ({**ROLES, "delimiter": ",", "decimal": ","}, SCORES, "/decimal", "both"),
    "an unknown delimiter": ({**ROLES, "delimiter": "x"}, SCORES, "/delimiter", "semicolon"),
    "an unknown reduction": ({**ROLES, "reduction": "x"}, SCORES, "/reduction", "mean"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_is_said_in_the_words_of_the_file(client: httpx.AsyncClient, case: str) -> None:
    query, body, pointer, message = REFUSED[case]
    problem = refused(await answer(client, (query, body, CSV)), 422)
    assert problem["errors"][0]["pointer"] == pointer
    assert message in problem["errors"][0]["message"]


TABLES: dict[str, tuple[Any, str]] = {
    "other rows": ({"p": {"0": 1, "1": 2}, "t": {"1": 1, "0": 2}}, "in another order"),
    "rows of other columns": ([{"p": 1, "t": 2}, {"p": 1, "u": 2}], "t, u; send null"),
    "short rows": ({"columns": ["p", "t"], "data": [[1, 2], [3]]}, "data.data[1] has 1 cells"),
    "short rows of numbers": ({"columns": ["p", "t"], "data": [[1], [3]]}, "data.data[0] has 1 cells"),
    "names that are none": ({"columns": "pt", "data": [[1, 2]]}, "list of the columns' names"),
    "a name twice": ({"columns": ["p", "p"], "data": [[1, 2]]}, "twice"),
    "no table": (7, "data must be"),
    "no rows": ([], "data has no rows"),
    "no columns": ({}, "data has no rows"),
    "columns without rows": ({"columns": ["p", "t"], "data": []}, "data has no rows"),
    "empty columns": ({"p": [], "t": []}, "data has no rows"),
    "rows that are none": ([1, {"p": 1}], "data[0] must be an object"),
    "strings for predictions": ([{"p": "x", "t": 1}], "(row 0, column 'p')"),
    "null for a number": ([{"p": None, "t": 1}, {"p": 1, "t": 1}], "(row 0, column 'p')"),
    "columns of other lengths": ({"p": [1], "q": [1, 2], "t": [1]}, "1 and 2 rows"),
}


@pytest.mark.parametrize("case", TABLES)
async def test_what_is_wrong_with_a_table_in_json(client: httpx.AsyncClient, case: str) -> None:
    data, message = TABLES[case]
    predictions = ["p", "q"] if case == "columns of other lengths" else "p"
    request = {"loss": "mse", "data": data, "predictions": predictions, "targets": "t"}
    problem = refused(await client.post("/v1/evaluate", json=request), 422)
    assert message in problem["detail"]


def npz(arrays: Mapping[str, bytes], **how: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


HUGE = npy(np.zeros(2)).replace(b"(2,), ", b"(9999999999,), ")
FILES: dict[str, tuple[bytes, int, str]] = {
    "no zip": (b"PK no", 400, "no npz file"),
    "objects": (npz({"predictions": npy(np.array([None, 1], dtype=object)), "targets": npy([1.0])}), 400, "Python objects"),
    "a shape that is not there": (npz({"predictions": HUGE, "targets": npy([1.0])}), 400, "(9999999999,) does not take"),
    "a bomb": (npz({"predictions": b"\0" * 2**27, "targets": npy([1.0])}, compression=zipfile.ZIP_DEFLATED), 413, "unpack to"),
    "complex numbers": (npz({"predictions": npy([1j]), "targets": npy([1.0])}), 422, "complex128"),
    "no rows": (npz({"predictions": npy(1.0), "targets": npy([1.0])}), 422, "has no rows"),
    "an array without a role": (npz({"predictions": npy([1.0]), "target": npy([1.0])}), 422, "target is none of"),
}


@pytest.mark.parametrize("case", FILES)
async def test_files_that_are_no_arrays_of_numbers(client: httpx.AsyncClient, case: str) -> None:
    body, status, message = FILES[case]
    assert message in refused(await answer(client, ({"loss": "mse"}, body, NPZ)), status)["detail"]


async def test_csv_is_utf_8(client: httpx.AsyncClient) -> None:
    refused(await answer(client, (ROLES, SCORES, {"content-type": "text/csv; charset=windows-1252"})), 415)
    found = await answer(client, (ROLES, SCORES, {"content-type": 'Text/CSV; header=present; charset="UTF-8"'}))
    assert found.status_code == 200


# --- words ------------------------------------------------------------------------------------------------------------


async def test_labels_are_targets_in_tables_too(client: httpx.AsyncClient) -> None:
    expected = await answer(client, (ROLES, SCORES, CSV))
    rest = {name: value for name, value in ROLES.items() if name != "targets"}
    assert (await answer(client, ({**rest, "labels": "label"}, SCORES, CSV))).content == expected.content
    bare = b"predictions,labels\n0.9,1\n0.2,0\n0.6,1\n"
    assert (await answer(client, ({"loss": "bce"}, bare, CSV))).content == expected.content
    data = {"score": [0.9, 0.2, 0.6], "label": [1, 0, 1]}
    request = {"loss": "bce", "data": data, "predictions": "score", "labels": "label"}
    assert (await client.post("/v1/evaluate", json=request)).content == expected.content
    problem = refused(await answer(client, ({**rest, "labels": "label"}, SCORES.replace(b"0.2,0", b"0.2,7"), CSV)), 422)
    assert problem["errors"][0]["pointer"] == "/labels/1"
    assert "(line 3, column 'label')" in problem["detail"]
    assert "/labels" in {
        fault["pointer"] for fault in refused(await answer(client, ({**ROLES, "labels": "label"}, SCORES, CSV)), 422)["errors"]
    }


async def test_a_word_in_the_column_of_targets_has_a_line(client: httpx.AsyncClient) -> None:
    some = refused(await answer(client, (ROLES, SCORES.replace(b"0.2,0", b"0.2,no"), CSV)), 422)
    assert "(line 3, column 'label': 'no')" in some["detail"]
    query = {"loss": "mse", "predictions": "score", "targets": "label"}
    every = refused(await answer(client, (query, b"score,label\n1,yes\n2,no\n", CSV)), 422)
    assert "(line 2, column 'label': 'yes')" in every["detail"]


@pytest.mark.parametrize("path", ["predictions", "targets"])
async def test_a_name_without_a_table_is_told_where_that_belongs(client: httpx.AsyncClient, path: str) -> None:
    request = {"loss": "mse", "predictions": [1], "targets": [1], path: "score"}
    problem = refused(await client.post("/v1/evaluate", json=request), 422)
    assert problem["errors"][0]["message"].endswith("; a column can be named where the table is sent in data")


async def test_a_table_of_which_no_column_is_named_is_refused(client: httpx.AsyncClient) -> None:
    request = {"loss": "mse", "predictions": [1], "targets": [1], "data": [{"p": 1}]}
    problem = refused(await client.post("/v1/evaluate", json=request), 422)
    assert problem["errors"][0]["pointer"] == "/data"
    assert "no column of data is named" in problem["detail"]


@pytest.mark.parametrize(
    ("classes", "cells"),
    [
        ("cat,dog", "cat dog cat"),
        ("1,2", "1 2 1"),
        ("[1,2]", "1 2 1"),
        ("cat,dog", "0 1 0"),
        ("no,NA", "no NA no"),
        ("false,true", "false true false"),
    ],
)
async def test_classes_are_what_the_cells_say(client: httpx.AsyncClient, classes: str, cells: str) -> None:
    """Names, numbers, indices, and names that would else be missing numbers or flags."""
    body = "s,t,y\n" + "".join(f"{score},1,{cell}\n" for score, cell in zip((0.5, 2, -1), cells.split(), strict=True))
    query = {"loss": "CrossEntropyLoss", "predictions": "s,t", "targets": "y", "classes": classes}
    found = await answer(client, (query, body.encode(), CSV))
    assert found.status_code == 200, found.text
    scores = [[0.5, 1], [2, 1], [-1, 1]]
    plain = await client.post("/v1/evaluate", json={"loss": "CrossEntropyLoss", "predictions": scores, "targets": [0, 1, 0]})
    assert found.json()["value"] == plain.json()["value"]
