"""Many cases of one thing as one test of it, or as two: setting up a test for each would cost more than most cases do."""

import functools
import inspect
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def folded(
    name: str, cases: Iterable[T], of: Callable[[T], object], *, long: Iterable[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The test is made with every case under this name: for each thing one case in `make test`, the rest in `make test-thorough`.

    Which one differs from thing to thing, so that those of all things are of all kinds. All cases of a thing that takes `long`
    are left to the second. A case that fails is named.
    """
    groups: dict[str, list[T]] = {}
    for case in cases:
        groups.setdefault(str(of(case)), []).append(case)
    parameters = [parameter for thing, found in groups.items() for parameter in _parameters(thing, found, thing in long)]

    def decorated(test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        def with_every_case(**given: Any) -> None:
            for case in given.pop(name):
                with noted(f"{name} {case}"):
                    test(**{name: case}, **given)

        @functools.wraps(test)
        async def with_every_case_in_turn(**given: Any) -> None:
            for case in given.pop(name):
                with noted(f"{name} {case}"):
                    await test(**{name: case}, **given)

        made = with_every_case_in_turn if inspect.iscoroutinefunction(test) else with_every_case
        return pytest.mark.parametrize(name, parameters)(made)

    return decorated


def one_of_each(things: Iterable[T], kind: Callable[[T], object]) -> list[Any]:
    """Parameters of a test that knows none of these things by its name: the first of each kind in `make test`, the others in
    `make test-thorough`."""
    seen: set[object] = set()
    parameters: list[Any] = []
    for thing in things:
        marks = [pytest.mark.thorough] if kind(thing) in seen else []
        seen.add(kind(thing))
        parameters.append(pytest.param(thing, marks=marks))
    return parameters


def _parameters(thing: str, cases: list[T], is_long: bool) -> Iterator[object]:
    first = zlib.crc32(thing.encode()) % len(cases)
    yield pytest.param(cases[first : first + 1], id=thing, marks=[pytest.mark.thorough] if is_long else [])
    if len(cases) > 1:
        yield pytest.param([*cases[:first], *cases[first + 1 :]], id=f"{thing}-further", marks=pytest.mark.thorough)


@contextmanager
def noted(what: str) -> Iterator[None]:
    """A failure within says where it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise
