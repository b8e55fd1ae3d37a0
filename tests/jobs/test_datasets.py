"""Data sets that are kept as files: what is under a name is whole, whoever dies, however many keep at once."""

import json
import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from app.errors import DatasetExists, DatasetsFull, NotFound
from app.jobs import datasets as module
from app.jobs.datasets import Dataset, Datasets, Received, digest_of

TABLE = b"p,y\n1,2\n3,4\n"


def of(folder: Path, **bounds: Any) -> Datasets:
    return Datasets(folder, **{"most": 10, "most_bytes": 1000, "retention": 60.0, **bounds})


def keep(datasets: Datasets, name: str, content: bytes = TABLE, owner: str = "") -> Dataset:
    path = datasets.receive(content)
    received = Received(path.name, digest_of(content), len(content), "csv", ["p", "y"], 2)
    return datasets.keep(owner, name, received)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"lock"}


def test_what_is_kept_is_found_listed_and_deleted(tmp_path: Path) -> None:
    datasets = of(tmp_path)
    first, second = keep(datasets, "one"), keep(datasets, "two", b"p,y\n1,1\n")
    assert datasets.get("", "one") == first
    assert datasets.content(first).read_bytes() == TABLE
    assert datasets.all_of("") == [second, first]
    assert (first.digest, first.columns, first.n_rows, first.size) == (digest_of(TABLE), ["p", "y"], 2, len(TABLE))
    assert datasets.delete("", "one") == first
    with pytest.raises(NotFound):
        datasets.get("", "one")
    with pytest.raises(NotFound):
        datasets.delete("", "one")
    assert files(tmp_path) == {f"content/{second.digest}", "names/of./two"}


def test_the_same_again_is_the_same_and_other_data_has_no_room_under_the_name(tmp_path: Path) -> None:
    datasets = of(tmp_path)
    first = keep(datasets, "n")
    assert keep(datasets, "n") == first
    with pytest.raises(DatasetExists, match=f"sha256:{first.digest}"):
        keep(datasets, "n", b"p,y\n5,6\n")
    assert datasets.content(first).read_bytes() == TABLE
    assert len(files(tmp_path)) == 2


def test_each_owner_has_names_of_his_own_and_bytes_are_there_once(tmp_path: Path) -> None:
    datasets = of(tmp_path)
    keep(datasets, "n", owner="ci")
    keep(datasets, "n", owner="")
    keep(datasets, "n", b"p,y\n5,6\n", owner="other")
    assert [len(datasets.all_of(owner)) for owner in ("ci", "", "other", "nobody")] == [1, 1, 1, 0]
    assert len([path for path in files(tmp_path) if path.startswith("content")]) == 2
    datasets.delete("ci", "n")
    assert datasets.content(datasets.get("", "n")).read_bytes() == TABLE


def test_no_more_is_kept_than_may_be(tmp_path: Path) -> None:
    datasets = of(tmp_path, most=2, most_bytes=3 * len(TABLE))
    keep(datasets, "one")
    with pytest.raises(DatasetsFull, match="bytes"):
        keep(datasets, "large", TABLE * 3)
    keep(datasets, "two", TABLE * 2)
    with pytest.raises(DatasetsFull, match="2 data sets"):
        keep(datasets, "three")
    keep(datasets, "one")
    keep(datasets, "three", owner="ci")
    datasets.delete("", "two")
    keep(datasets, "three")
    assert not [path for path in files(tmp_path) if path.startswith("incoming")]


def test_what_has_expired_is_not_there_and_is_removed(tmp_path: Path) -> None:
    datasets = of(tmp_path, retention=-1.0)
    gone = keep(datasets, "n")
    with pytest.raises(NotFound):
        datasets.get("", "n")
    assert datasets.all_of("") == []
    lasting = of(tmp_path)
    other = keep(lasting, "n", b"p,y\n5,6\n")
    assert gone.digest != other.digest
    assert files(tmp_path) == {f"content/{other.digest}", "names/of./n"}


@pytest.mark.parametrize("name", ["", ".", "..", "../n", "a/b", "a\0b", "/etc/passwd", "x" * 65, ".n", "n\n"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "n").write_text(json.dumps({"name": name}))
    with pytest.raises(NotFound):
        of(tmp_path / "in").get("", name)
    with pytest.raises(NotFound):
        of(tmp_path / "in").delete("", name)


def test_a_record_that_is_damaged_is_none_and_content_that_is_cut_is_told(tmp_path: Path) -> None:
    datasets = of(tmp_path)
    first = keep(datasets, "n")
    (tmp_path / "content" / first.digest).write_bytes(TABLE[:-1])
    with pytest.raises(NotFound, match="damaged"):
        datasets.content(first)
    assert keep(datasets, "n") == first
    assert datasets.content(first).read_bytes() == TABLE
    for damage in (b"", b"{", b"[]", b'{"name": "n"}', json.dumps({**first._asdict(), "name": "m"}).encode()):
        (tmp_path / "names/of./n").write_bytes(damage)
        with pytest.raises(NotFound):
            datasets.get("", "n")
        assert datasets.all_of("") == []
    assert keep(datasets, "n").digest == first.digest


def test_what_nobody_gives_a_name_is_removed_after_an_hour(tmp_path: Path) -> None:
    datasets = of(tmp_path)
    old, young = datasets.receive(b"old"), datasets.receive(b"young")
    os.utime(old, (0, 0))
    last = datasets.receive(b"last")
    assert {path.name for path in (tmp_path / "incoming").iterdir()} == {young.name, last.name}
    os.utime(young, (0, 0))
    keep(datasets, "n")
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == [last.name]


def test_a_full_disk_keeps_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    datasets = of(tmp_path)
    keep(datasets, "n")
    before, limits = files(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            keep(datasets, "m", b"x" * 200)
        with pytest.raises(OSError, match="too large"):
            keep(datasets, "m", b"y")  # its record is longer
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    with pytest.raises(NotFound):
        datasets.get("", "m")
    keep(datasets, "m", b"z")
    assert files(tmp_path) == {*before, "names/of./m", f"content/{digest_of(b'z')}"}


def _keeping(folder: Path, number: int) -> None:
    datasets = of(folder, most=1000, most_bytes=10**6)
    for turn in range(20):
        content = b"%d" % (number * (turn % 2))
        for name in ("shared", f"own-{number}"):
            try:
                found = keep(datasets, name, content)
                assert datasets.content(found).read_bytes() == content
                datasets.delete("", name)
            except (DatasetExists, NotFound, FileNotFoundError):  # another had the name, or has deleted it since
                assert name == "shared"


def test_processes_that_keep_and_delete_at_once(tmp_path: Path) -> None:
    """Two servers on one folder: none of them fails, and what is left is whole."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_keeping, args=(tmp_path, number)) for number in range(1, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    datasets = of(tmp_path)
    for found in datasets.all_of(""):
        assert digest_of(datasets.content(found).read_bytes()) == found.digest
    keep(datasets, "last")
    kept = {found.digest for found in datasets.all_of("")}
    assert {path.name for path in (tmp_path / "content").iterdir()} == kept
    assert not [*(tmp_path / "incoming").iterdir()]


@pytest.mark.parametrize("step", ["_write", "_sync"])
def test_whoever_dies_at_any_step_leaves_a_name_whole_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Before and after each time that it writes or syncs."""

    class Killed(BaseException):
        pass

    real, left = getattr(module, step), 0

    def dying(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        real(*arguments)
        left -= 1
        if left == 0:
            raise Killed

    for deaths in range(1, 6):
        folder = tmp_path / str(deaths)
        datasets, left = of(folder), deaths
        with monkeypatch.context() as patched:
            patched.setattr(module, step, dying)
            patched.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # a process that is killed tidies nothing
            died = False
            try:
                keep(datasets, "n")
            except Killed:
                died = True
        assert died is (deaths <= 4)
        for found in datasets.all_of(""):
            assert datasets.content(found).read_bytes() == TABLE
        keep(datasets, "n")
        assert datasets.content(datasets.get("", "n")).read_bytes() == TABLE
        assert {path for path in files(folder) if not path.startswith("incoming")} == {
            f"content/{digest_of(TABLE)}",
            "names/of./n",
        }
