"""Data by reference: which files it is, and that they lie where this server may read."""

import glob
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import unquote

from pydantic import Field

from app.api.words import OneOrMore, Part
from app.errors import Fault, FormatUnavailable, InvalidInput, Path, SourceEmpty, SourceForbidden
from app.wire.faults import listed
from app.wire.partitions import ENDINGS, READERS, readable
from app.wire.tables import Column

SCHEME = "file://"
SOURCE: Path = ("data", "source")
MOST_PARTITIONS = 100_000
GROUPS = "groups"
"""The role of which each column is by itself, under its own name."""
Roles: TypeAlias = Mapping[Path, Sequence[Column]]
"""Where in a request columns belong: one, or several side by side."""


class Written(Part):
    """The folders that outputs are written to, as `file://` URLs: a file for each partition."""

    per_sample: Annotated[str | None, Field(description="Of each row its own loss.")] = None
    gradient: Annotated[str | None, Field(description="d(value)/d(predictions) of each row.")] = None


class DataSource(Part):
    """Files that are one table together, and which of their columns is what."""

    source: Annotated[
        list[str],
        Field(
            description="`file://` URLs, in which * stands for any part of a name. Files are taken in the order of their names.",
            min_length=1,
        ),
        OneOrMore,
    ]
    format: Annotated[
        Literal["npy", "csv", "parquet", "arrow"] | None, Field(description="What the files are; else their ending says it.")
    ] = None
    columns: Annotated[
        dict[str, Any],
        Field(description="For predictions, targets, sample_weight and mask a column's name or number, or a list of them."),
    ]
    write: Annotated[
        Written | None, Field(description="Where to write what is computed of each row, as npy files beside each other.")
    ] = None


class Partition(NamedTuple):
    """A file that is part of the data."""

    path: File
    form: str

    def output(self, folder: File, name: str) -> File:
        """The file that an output of its rows is written to."""
        return folder / f"{self.path.stem}.{name}.npy"


def is_reference(data: object) -> bool:
    """Whether what stands in `data` says where data is, and is none itself."""
    if not isinstance(data, dict):
        return False
    document = cast(dict[str, Any], data)
    if "source" in document and isinstance(document.get("columns"), dict):  # a table's own column of that name is a list
        return True
    source = document.get("source")
    urls: list[Any] = cast(list[Any], source) if isinstance(source, list) else [source]
    return bool(urls) and isinstance(urls[0], str) and ("://" in urls[0] or "columns" in document)


# --- which files ------------------------------------------------------------------------------------------------------


def partitions(source: DataSource, roots: Sequence[str]) -> tuple[Partition, ...]:
    """The files, in the order of their names.

    SourceForbidden for what lies outside of the roots, by a link too; SourceEmpty where there are none; FormatUnavailable for a
    kind that cannot be read here.
    """
    found: dict[str, Partition] = {}
    for url in source.source:
        pattern = _pattern(url, roots)
        matches = sorted(match for match in glob.iglob(pattern) if _is_file(match))
        if not matches:
            raise SourceEmpty([Fault(SOURCE, "source_empty", f"no file is at {url[:200]}")])
        for match in matches:
            check_within(match, url, roots)
            found[match] = Partition(File(match), source.format or _form(match))
            if len(found) > MOST_PARTITIONS:
                raise InvalidInput([Fault(SOURCE, "limit", f"there are more than {MOST_PARTITIONS} files at {url[:200]}")])
    for form in sorted({partition.form for partition in found.values()}):
        if readable(form):
            continue
        known = ", ".join(form for form in READERS if readable(form))
        message = f"this server cannot read {form}, which takes pip install criterion[data]; it reads {known}"
        raise FormatUnavailable([Fault(("data", "format"), "format_unavailable", message)])
    return tuple(found[match] for match in sorted(found))


def check_within(path: str, url: str, roots: Sequence[str], where: Path = SOURCE) -> None:
    """SourceForbidden for a path that lies under none of the roots once links are followed."""
    real = os.path.realpath(path)
    if not any(os.path.commonpath((real, root)) == root for root in map(_root, roots)):
        raise _forbidden(url, roots, where)


def folders(source: DataSource, parts: Sequence[Partition], roots: Sequence[str]) -> Mapping[str, File]:
    """The folder of each output that is to be written.

    SourceForbidden for one that lies outside of the roots; InvalidInput where two files would be one.
    """
    found: dict[str, File] = {}
    for name, url in (source.write.model_dump() if source.write else {}).items():
        if url is None:
            continue
        where: Path = ("data", "write", name)
        path = _path(url, roots, where)
        check_within(path, url, roots, where)
        stems = [part.path.stem for part in parts]
        twice = next((stem for stem in stems if stems.count(stem) > 1), None) if len({*stems}) < len(stems) else None
        if twice is not None:
            message = f"two partitions are called {twice[:80]!r}, and what is written of them would be one file"
            raise InvalidInput([Fault(where, "duplicate", message)])
        found[name] = File(path)
    return found


def _pattern(url: str, roots: Sequence[str]) -> str:
    """The URL as what `glob` takes, which looks nowhere but under the roots."""
    path = _path(url, roots)
    check_within(os.path.dirname(path.partition("*")[0]), url, roots)
    return "*".join(map(glob.escape, path.split("*")))


def _path(url: str, roots: Sequence[str], where: Path = SOURCE) -> str:
    host, slash, path = url.removeprefix(SCHEME).partition("/")
    path = unquote(slash + path)
    if not url.startswith(SCHEME) or host not in ("", "localhost") or ".." in path.split("/") or "\0" in path:
        raise _forbidden(url, roots, where)
    return path


def _root(root: str) -> str:
    return os.path.realpath(unquote(root.removeprefix(SCHEME)) if root.startswith(SCHEME) else root)


def _forbidden(url: str, roots: Sequence[str], where: Path = SOURCE) -> SourceForbidden:
    does = "reads" if where == SOURCE else "writes"
    way_out = f"it {does} what lies under the folders in CRITERION_DATA_ROOTS, as file:///folder/part-*.npy"
    if not roots:
        way_out = f"it {does} no files: whoever runs it allows folders in CRITERION_DATA_ROOTS"
    return SourceForbidden([Fault(where, "source_forbidden", f"{url[:200]} is not for this server; {way_out}")])


def _is_file(path: str) -> bool:
    """Whether it is a plain file: nobody waits for a pipe."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _form(path: str) -> str:
    form = next((form for ending, form in ENDINGS.items() if path.lower().endswith(ending)), None)
    if form is None:
        name = os.path.basename(path)[:80]
        message = f"{name} ends with none of {', '.join(ENDINGS)}: say in format what the files are"
        raise InvalidInput([Fault(("data", "format"), "choice", message)])
    return form


# --- which columns ----------------------------------------------------------------------------------------------------


def roles_of(columns: Mapping[str, Any], sides: Sequence[str]) -> Roles:
    """The columns of each role; named arrays, and heads, are objects of them. InvalidInput for a role that there is not."""
    strangers = [name for name in columns if name not in sides]
    if strangers:
        message = f"there is no role {strangers[0][:80]!r}; there are {', '.join(sides)}"
        raise InvalidInput([Fault(("data", "columns", strangers[0]), "unknown_field", message)])
    if (groups := columns.get(GROUPS)) is not None and not isinstance(groups, Mapping):
        columns = {**columns, GROUPS: {str(column): column for column in _several(groups)}}
    return dict(_roles((), columns))


def _roles(path: Path, given: Any) -> Iterator[tuple[Path, Sequence[Column]]]:
    if isinstance(given, Mapping):
        for name, inner in cast(Mapping[str, Any], given).items():
            yield from _roles((*path, name), inner)
        return
    named = _several(given)
    if not named or not all(isinstance(column, str | int) and not isinstance(column, bool) for column in named):
        message = f"{path[-1]} must be the name of a column, or its number from 0, or a list of them"
        raise InvalidInput([Fault(("data", "columns", *path), "type", message)])
    yield path, named


def _several(given: object) -> list[Any]:
    """A list of columns, or of one."""
    columns = listed(given)
    return cast(list[Any], columns) if isinstance(columns, list) else [columns]
