"""/v1/datasets: data that is kept under a name, beside the data sets that every run may name.

What is sent is a table; it is read once, so that what is wrong with it is told now, and kept as it was sent.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from app.api.catalogue import EPOCHS, Entry, dataset_entries
from app.api.listing import LIMIT, Cursor, Limit, Next, before
from app.api.sources import KEPT, datasets_of, unavailable
from app.errors import NotFound, Unavailable, UnsupportedMediaType
from app.jobs.datasets import NAME, Dataset, Received, digest_of
from app.jobs.job import moment
from app.serving.address import Path, Query
from app.serving.call import Call, Caller
from app.serving.content import Content
from app.serving.exchange import Exchange
from app.serving.state import State
from app.serving.wires import Wire, json_content, json_head
from app.settings import Settings
from app.training import DATASETS
from app.wire.json import encode
from app.wire.outlines import outline
from app.wire.partitions import readable

FORMS: Mapping[str, str] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-npz": "npz",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.parquet": "parquet",
}
"""The media types that a data set may have, and which files they are."""

P = ParamSpec("P")
T = TypeVar("T")


# --- the request ------------------------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """A body, and which file it is."""

    form: str
    body: bytes | memoryview


def _head(form: str, exchange: Exchange) -> str:
    if form == "json":
        try:
            json_head(exchange)
        except UnsupportedMediaType as error:
            raise UnsupportedMediaType(f"{error.detail}; a data set may be {', '.join(FORMS)}") from None
    return form


def _decode(body: bytes | memoryview, form: str, quick: bool) -> Sent:
    return Sent(form, body)


WIRES = {media_type: Wire(partial(_head, form), _decode, json_content) for media_type, form in FORMS.items()}


def receive(sent: Sent, arguments: Mapping[str, Any], settings: Settings) -> Received:
    """What has been sent, on the disk, once it is known that it can be read; CallerError for what is no table."""
    form, body = sent
    if not readable(form):
        raise unavailable(form)
    path = _lasting(datasets_of(settings).receive, body)
    try:
        columns, n_rows = outline(path, form, settings.max_body_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Received(path.name, digest_of(body), len(body), form, columns, n_rows)


def _lasting(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What is kept on the disk; Unavailable where it takes no more."""
    try:
        return function(*arguments, **named)
    except OSError as error:
        raise Unavailable(
            f"nothing can be kept in CRITERION_DATA_DIR now: {os.strerror(error.errno or 0)}; try again later"
        ) from error


async def _asked(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    return await asyncio.to_thread(_lasting, function, *arguments, **named)


def _free(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("it should be 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first")
    if _is_everybodys(name):
        raise ValueError("it should be none of those that every run may name (GET /v1/datasets)")
    return name


def _is_everybodys(name: str) -> bool:
    try:
        DATASETS.find(name)
    except NotFound:
        return False
    return True


# --- the answers ------------------------------------------------------------------------------------------------------


class Kept(TypedDict):
    """A data set of yours."""

    name: str
    hash: Annotated[str, Field(description="`sha256:` of the bytes that were sent.")]
    n_rows: int
    columns: list[str]
    bytes: int
    expires: Annotated[str, Field(description="When it is forgotten (RFC 3339).")]


class DatasetList(TypedDict):
    """Those that every run may name, and yours."""

    datasets: list[Entry]
    kept: Annotated[list[Kept], Field(description="The newest first.")]
    next: Next


def _shown(dataset: Dataset) -> Kept:
    return {
        "name": dataset.name,
        "hash": f"sha256:{dataset.digest}",
        "n_rows": dataset.n_rows,
        "columns": [*dataset.columns],
        "bytes": dataset.size,
        "expires": cast(str, moment(dataset.expires)),
    }


def _entry(dataset: Dataset) -> Entry:
    """As an entry of the catalogue."""
    summary = f"Kept under this name: {dataset.n_rows} rows of {len(dataset.columns)} columns."
    data = {"source": KEPT + dataset.name, "columns": {"targets": dataset.columns[-1]}}
    entry: Any = {
        **_shown(dataset),
        "aliases": [],
        "alias_parameters": {},
        "summary": summary,
        "description": summary,
        "parameters": {},
        "traits": {},
        "equals": [],
        "reference": "",
        "example_request": {"data": data, "epochs": EPOCHS},
    }
    return entry


# --- the calls --------------------------------------------------------------------------------------------------------

Name: TypeAlias = Annotated[str, Path(description="The name of a data set.", examples=[next(iter(DATASETS))])]


async def keep_dataset(
    received: Received,
    state: State,
    caller: Caller,
    name: Annotated[
        Annotated[str, AfterValidator(_free), Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})],
        Query(description="What `dataset:` and this refer to it by."),
    ],
) -> Kept:
    """Keep a table under a name: jobs and runs then take it as `{"source": "dataset:NAME", "columns": {...}}`.

    The same again is the same; the name of other data is 409.
    """
    kept, _ = cast("tuple[Received, bytes]", received)
    found = await _asked(datasets_of(state.settings).keep, caller.name, name, kept)
    fields = ((b"location", f"/v1/datasets/{found.name}".encode()),)
    return cast(Kept, Content((encode(_shown(found)),), fields=fields))


async def list_datasets(state: State, caller: Caller, limit: Limit = LIMIT, cursor: Cursor = None) -> DatasetList:
    """Every dataset that a training run may name, with its parameters; and those that your key keeps, a page at a time."""
    after = before(cursor)
    found = await _asked(datasets_of(state.settings).all_of, caller.name)
    page = [dataset for dataset in found if after is None or dataset.id < after][: limit + 1]
    more = page[limit - 1].id if len(page) > limit else None
    return {"datasets": [*dataset_entries().values()], "kept": [*map(_shown, page[:limit])], "next": more}


async def describe_dataset(name: Name, state: State, caller: Caller) -> Entry:
    """One dataset, with its parameters and a request that uses it; of one that you keep also what its keeping has answered."""
    try:
        return _entry(await _asked(datasets_of(state.settings).get, caller.name, name))
    except NotFound:
        declared, _ = DATASETS.find(name)
        return dataset_entries()[declared.name]


async def delete_dataset(name: Name, state: State, caller: Caller) -> Kept:
    """Keep a data set of yours no longer. What is reading it reads on; a job that begins anew no longer finds it."""
    return _shown(await _asked(datasets_of(state.settings).delete, caller.name, name))


BINARY = {"schema": {"type": "string", "format": "binary"}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A table: row objects, an object of columns, or columns and rows; CSV; arrays by name; Arrow; Parquet.",
        "content": {
            **dict.fromkeys(FORMS, BINARY),
            "application/json": {"schema": {"type": "object"}, "example": {"x": [1, 2, 3], "y": [2, 4, 6.5]}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}

CALLS = (
    Call(
        method="POST",
        path="/v1/datasets",
        function=keep_dataset,
        summary="Keep a dataset",
        tag="jobs",
        scope="jobs",
        lane="jobs",
        wire=WIRES["application/json"],
        wires=WIRES,
        check=receive,
        with_body=False,
        status=201,
        statuses=(400, 409, 413, 415, 422, 503),
        document=BODY,
    ),
    Call(
        method="GET",
        path="/v1/datasets",
        function=list_datasets,
        summary="List the datasets",
        tag="training",
        statuses=(422,),
    ),
    Call(
        method="GET",
        path="/v1/datasets/{name}",
        function=describe_dataset,
        summary="Describe a dataset",
        tag="training",
        statuses=(404,),
    ),
    Call(
        method="DELETE",
        path="/v1/datasets/{name}",
        function=delete_dataset,
        summary="Delete a dataset",
        tag="jobs",
        scope="jobs",
        statuses=(404,),
    ),
)
