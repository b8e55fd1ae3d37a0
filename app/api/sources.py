"""Data by reference: which files it is, and that they lie where this server may read, or are kept for who asks."""

import glob
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import unquote

from pydantic import Field

from app.api.words import OneOrMore, Part
from app.errors import Fault, FormatUnavailable, InvalidInput, NotFound, Path, SourceEmpty, SourceForbidden
from app.jobs.datasets import Datasets
from app.serving.wires import OWNER
from app.settings import Settings
from app.wire.faults import listed
from app.wire.partitions import ENDINGS, READERS, readable
from app.wire.stores import Stat, is_remote, matching, reason
from app.wire.tables import Column

SCHEME = "file://"
KEPT = "dataset:"
"""Before the name of a data set that is kept (POST /v1/datasets)."""
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


class Source(Part):
    """Files that are one table together."""

    source: Annotated[
        list[str],
        Field(
            description="URLs, `file://` or of an object store (`s3://`), in which * stands for any part of a name, taken in the "
            "order of their names; or `dataset:` and the name of one that is kept.",
            min_length=1,
        ),
        OneOrMore,
    ]
    format: Annotated[
        Literal["npy", "csv", "parquet", "arrow", "json", "npz"] | None,
        Field(description="What the files are; else their ending says it."),
    ] = None


class DataSource(Source):
    """And which of their columns is what."""

    columns: Annotated[
        dict[str, Any],
        Field(description="For predictions, targets, sample_weight and mask a column's name or number, or a list of them."),
    ]
    write: Annotated[
        Written | None, Field(description="Where to write what is computed of each row, as npy files beside each other.")
    ] = None


class Partition(NamedTuple):
    """A file that is part of the data."""

    path: str
    """Of the disk; a URL where it is in a store."""
    form: str
    size: int
    """Bytes."""
    version: str = ""
    """What tells its content from another that was there before."""
    kept: str | None = None
    """The name of the data set that it is, where it is one."""

    @property
    def name(self) -> str:
        """What it is called where something is wrong with it."""
        return File(self.path).name if self.kept is None else KEPT + self.kept

    @property
    def stem(self) -> str:
        return File(self.path).stem if self.kept is None else self.kept

    def output(self, folder: File, name: str) -> File:
        """The file that an output of its rows is written to."""
        return folder / f"{self.stem}.{name}.npy"


class Reach(NamedTuple):
    """What whoever asks can refer to."""

    roots: Sequence[str]
    """The folders in which files may lie."""
    datasets: Datasets
    owner: str
    """Whose data sets."""

    @classmethod
    def of(cls, settings: Settings, arguments: Mapping[str, Any]) -> "Reach":
        return cls(settings.data_roots, datasets_of(settings), arguments.get(OWNER, ""))

    def check(self, partition: Partition) -> None:
        """Before it is read: it still lies where it may."""
        if partition.kept is None and not is_remote(partition.path):
            check_within(partition.path, f"{SCHEME}{partition.path}", self.roots)


def datasets_of(settings: Settings) -> Datasets:
    """The data sets that are kept under these settings."""
    folder = settings.data_dir.absolute() / "datasets"
    bounds = {"most": settings.dataset_count, "most_bytes": settings.dataset_bytes}
    return Datasets(folder, **bounds, retention=settings.dataset_retention_seconds)


def is_reference(data: object) -> bool:
    """Whether what stands in `data` says where data is, and is none itself."""
    if not isinstance(data, dict):
        return False
    document = cast(dict[str, Any], data)
    if "source" in document and isinstance(document.get("columns"), dict):  # a table's own column of that name is a list
        return True
    source = document.get("source")
    urls: list[Any] = cast(list[Any], source) if isinstance(source, list) else [source]
    url = urls[0] if urls else None
    return isinstance(url, str) and ("://" in url or url.startswith(KEPT) or "columns" in document)


# --- which files ------------------------------------------------------------------------------------------------------


def partitions(source: Source, reach: Reach) -> tuple[Partition, ...]:
    """The files, in the order of their names, and after them data sets.

    SourceForbidden for what lies outside of the roots, by a link too; SourceEmpty where there are none; FormatUnavailable for a
    kind that cannot be read here.
    """
    found: dict[str, Partition] = {}
    roots = reach.roots
    for url in source.source:
        if url.startswith(KEPT):
            found[url] = _kept(url.removeprefix(KEPT), source.format, reach)
            continue
        matches = _in_store(url, roots) if is_remote(url) else _on_disk(url, roots)
        if not matches:
            raise SourceEmpty([Fault(SOURCE, "source_empty", f"no file is at {url[:200]}")])
        for match, (size, version) in matches.items():
            found[match] = Partition(match, source.format or _form(match), size, version)
            if len(found) > MOST_PARTITIONS:
                raise InvalidInput([Fault(SOURCE, "limit", f"there are more than {MOST_PARTITIONS} files at {url[:200]}")])
    for form in sorted({partition.form for partition in found.values()}):
        if readable(form):
            continue
        known = ", ".join(form for form in READERS if readable(form))
        raise unavailable(form, ("data", "format"), f"; it reads {known}")
    return tuple(found[match] for match in sorted(found, key=lambda match: (found[match].kept is not None, match)))


def unavailable(form: str, path: Path = (), instead: str = "") -> FormatUnavailable:
    """That this server cannot read such files, and what it takes instead."""
    message = f"this server cannot read {form}, which takes pip install criterion[data]{instead}"
    return FormatUnavailable([Fault(path, "format_unavailable", message)])


def _kept(name: str, form: str | None, reach: Reach) -> Partition:
    """The data set of a name."""
    try:
        dataset = reach.datasets.get(reach.owner, name)
        path = reach.datasets.content(dataset)
    except NotFound as error:
        raise SourceEmpty([Fault(SOURCE, "source_empty", f"{error.detail}; POST /v1/datasets?name=… keeps one")]) from None
    if form not in (None, dataset.form):
        message = f"{KEPT}{name} is {dataset.form}, as it was sent: leave format out"
        raise InvalidInput([Fault(("data", "format"), "unexpected", message)])
    return Partition(str(path), dataset.form, dataset.size, kept=name)


def check_within(path: str, url: str, roots: Sequence[str], where: Path = SOURCE) -> None:
    """SourceForbidden for a path that lies under none of the roots once links are followed."""
    real = os.path.realpath(path)
    if not any(os.path.commonpath((real, _root(root))) == _root(root) for root in roots if not is_remote(root)):
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
        if is_remote(url):
            _check_url(url, roots, where)
            message = "what is computed of each row is written to folders of the server, file:///folder, and to no object store"
            raise InvalidInput([Fault(where, "unexpected", message)])
        path = _path(url, roots, where)
        check_within(path, url, roots, where)
        stems = [part.stem for part in parts]
        twice = next((stem for stem in stems if stems.count(stem) > 1), None) if len({*stems}) < len(stems) else None
        if twice is not None:
            message = f"two partitions are called {twice[:80]!r}, and what is written of them would be one file"
            raise InvalidInput([Fault(where, "duplicate", message)])
        found[name] = File(path)
    return found


def _on_disk(url: str, roots: Sequence[str]) -> dict[str, Stat]:
    """The files of the disk that a URL means, which is looked for nowhere but under the roots."""
    path = _path(url, roots)
    check_within(os.path.dirname(path.partition("*")[0]), url, roots)
    pattern = "*".join(map(glob.escape, path.split("*")))
    found = {match: known for match in sorted(glob.iglob(pattern)) if (known := _stat(match)) is not None}
    for match in found:
        check_within(match, url, roots)
    return found


def _in_store(url: str, roots: Sequence[str]) -> dict[str, Stat]:
    """Those of an object store."""
    _check_url(url, roots)
    try:
        found = matching(url)
    except ImportError as error:
        scheme = url.partition("://")[0]
        message = f"this server cannot read {scheme}://, which takes pip install criterion[data] and what fsspec reads it by"
        raise FormatUnavailable([Fault(SOURCE, "format_unavailable", f"{message}: {str(error)[:200]}")]) from None
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidInput([Fault(SOURCE, "not_read", f"{url[:200]} cannot be read: {reason(error)}")]) from None
    for match in found:
        _check_url(match, roots)
    return found


def _check_url(url: str, roots: Sequence[str], where: Path = SOURCE) -> None:
    """SourceForbidden for a URL of a store that does not begin with one of the roots, or could lead out of it."""
    host, _, path = url.partition("://")[2].partition("/")
    steps = unquote(path).split("/")
    strange = "::" in url or "\\" in url or "#" in url or "\0" in url or any(step in (".", "..") for step in steps)
    under = any(is_remote(root) and f"{url}/".startswith(f"{root.rstrip('/')}/") for root in roots)
    if "@" in host or ("@" in url and not under):  # a secret may have a / in it, and is not said again
        message = "a URL has no user and no password in it here: how the server comes to a store is for its environment"
        raise SourceForbidden([Fault(where, "source_forbidden", message)])
    if strange or not under:
        raise _forbidden(url, roots, where)


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
    way_out = f"it {does} what lies under the folders, and URLs, in CRITERION_DATA_ROOTS, as file:///folder/part-*.npy"
    if not roots:
        way_out = f"it {does} no files: whoever runs it allows folders in CRITERION_DATA_ROOTS"
    return SourceForbidden([Fault(where, "source_forbidden", f"{url[:200]} is not for this server; {way_out}")])


def _stat(path: str) -> Stat | None:
    """What is known of a plain file; None of anything else: nobody waits for a pipe."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Stat(found.st_size, str(found.st_mtime_ns)) if stat.S_ISREG(found.st_mode) else None


def _form(path: str) -> str:
    form = next((form for ending, form in ENDINGS.items() if path.lower().endswith(ending)), None)
    if form is None:
        name = os.path.basename(path)[:80]
        message = f"{name} ends with none of {', '.join(ENDINGS)}: say in format what the files are"
        raise InvalidInput([Fault(("data", "format"), "choice", message)])
    return form


# --- which columns ----------------------------------------------------------------------------------------------------


def roles_of(columns: Mapping[str, Any], sides: Sequence[str], single: Sequence[str] = (GROUPS,)) -> Roles:
    """The columns of each role; named arrays, and heads, are objects of them. InvalidInput for a role that there is not.

    Of those that are `single` each column is by itself, under its own name.
    """
    strangers = [name for name in columns if name not in sides]
    if strangers:
        message = f"there is no role {strangers[0][:80]!r}; there are {', '.join(sides)}"
        raise InvalidInput([Fault(("data", "columns", strangers[0]), "unknown_field", message)])
    apart = {
        name: {str(column): column for column in _several(columns[name])}
        for name in single
        if columns.get(name) is not None and not isinstance(columns[name], Mapping)
    }
    return dict(_roles((), {**columns, **apart}))


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
