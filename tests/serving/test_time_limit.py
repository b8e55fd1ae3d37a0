"""A limit on time: what comes before it comes, and nothing is left ringing."""

import importlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag

import pytest

from app.serving import time_limit
from app.serving.time_limit import TimeUp, until

PATIENCE = 60
"""Seconds that are never reached."""


def endless(seen: list[int], first: int) -> Iterator[int]:
    """Some numbers, and then nothing for ever."""
    yield from range(first)
    try:
        Flag().wait()
    finally:
        seen.append(-1)


def test_items_that_come_in_time_all_come() -> None:
    assert list(until(time.monotonic() + PATIENCE, iter(range(1000)))) == [*range(1000)]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_item_that_does_not_come_is_given_up() -> None:
    seen: list[int] = []
    with pytest.raises(TimeUp):
        seen.extend(until(time.monotonic() + 0.02, endless(seen, 3)))
    assert seen == [0, 1, 2, -1]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert list(until(time.monotonic() + PATIENCE, iter("abc"))) == ["a", "b", "c"]


def test_time_that_is_over_between_two_items_is_over_all_the_same() -> None:
    ends = time.monotonic() + 0.02
    items = until(ends, iter(range(10)))
    assert next(items) == 0
    while time.monotonic() < ends + 0.05:
        pass  # whoever has an item is not interrupted
    with pytest.raises(TimeUp):
        next(items)


@pytest.mark.parametrize("ends", [0.0, -1e9])
def test_no_time_is_no_items(ends: float) -> None:
    with pytest.raises(TimeUp):
        next(until(time.monotonic() + ends, iter(range(10))))


class Mourned:
    """What Python does when an object goes: an exception in there is told, and goes nowhere."""

    def __init__(self, ends: float) -> None:
        self.ends = ends

    def __del__(self) -> None:
        while time.monotonic() < self.ends:
            pass


def test_an_alarm_in_a_place_where_python_ignores_it_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: ignored.append(told.exc_type))
    ends = time.monotonic() + 0.02

    def items() -> Iterator[int]:
        mourned = Mourned(ends + PATIENCE)
        del mourned
        Flag().wait(PATIENCE)
        yield 0

    with pytest.raises(TimeUp):
        next(until(ends, items()))
    assert ignored == [TimeUp]


def test_an_alarm_that_nobody_heeded_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come when the clock has been looked at and the next item is not begun: here the clock stands still."""
    monkeypatch.setattr(time_limit, "RING_SECONDS", 0.01)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    items = until(0.01, endless([], 1))
    assert next(items) == 0
    began = time.perf_counter()
    while time.perf_counter() < began + 0.05:
        pass
    with pytest.raises(TimeUp):
        next(items)


def test_what_is_left_early_rings_no_more() -> None:
    items = until(time.monotonic() + 0.05, iter(range(10)))
    next(items)
    items.close()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_module_that_is_being_imported_is_whole_for_whoever_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given up halfway, a library would be broken as long as the process lives."""
    monkeypatch.setattr(time_limit, "RING_SECONDS", 0.01)
    slow = "import time\nends = time.monotonic() + 0.1\nwhile time.monotonic() < ends:\n    pass\nwhole = True\n"
    (tmp_path / "criterion_slow_library.py").write_text(slow)
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> Iterator[int]:
        importlib.import_module("criterion_slow_library")
        Flag().wait()
        yield 1

    with pytest.raises(TimeUp):
        next(until(time.monotonic() + 0.02, work()))
    assert sys.modules.pop("criterion_slow_library").whole
