"""Many cases of one thing in a few tests of it: setting up a test for each would cost more than most cases do."""

import functools
import inspect
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Named = tuple[str, tuple[Any, ...]]
"""How a case is called, and its values: one for each name."""

together = 25
"""Cases of one test: few enough that two processes share hundreds of them. Where tests are chosen by name (`-k`) it is 1."""
FEW = 60
"""Things that are a test each: those of all families are, those of all losses are not."""


def in_turn(
    names: str | Sequence[str], cases: Iterable[Any], *, ids: Callable[[Any], object] | Iterable[object] = str
) -> Decorator:
    """The test is made with each of these cases, as `parametrize` has it, but with many of them in one test.

    Each case is tried, whatever becomes of those before it, and each that fails is named.
    """
    several = not isinstance(names, str)
    rows = [tuple(case) if several else (case,) for case in cases]
    words = [" ".join(str(ids(value)) for value in row) for row in rows] if callable(ids) else [str(word) for word in ids]
    named = list(zip(words, rows, strict=True))
    chunks = [named[start : start + together] for start in range(0, len(named), together)]
    parts = [pytest.param(chunk, id=_span([words for words, _ in chunk])) for chunk in chunks]
    return _made_with(tuple(names) if several else (str(names),), parts)


def folded(name: str, cases: Iterable[T], of: Callable[[T], object], *, long: Iterable[str] = ()) -> Decorator:
    """The test is made with every case under this name: for each thing one case in `make test`, the rest in `make test-thorough`.

    Which one differs from thing to thing, so that those of all things are of all kinds. All cases of a thing that takes `long`
    are left to the second. Each case that fails is named; few things are a test each.
    """
    groups: dict[str, list[T]] = {}
    for case in cases:
        groups.setdefault(str(of(case)), []).append(case)
    return _made_with((name,), list(_parts(groups, set(long))))


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


def _parts(groups: dict[str, list[T]], long: set[str]) -> Iterator[Any]:
    first = {thing: zlib.crc32(thing.encode()) % len(found) for thing, found in groups.items()}
    quick = [thing for thing in groups if thing not in long]
    size = together if len(quick) > FEW else 1
    for start in range(0, len(quick), size):
        things = quick[start : start + size]
        yield pytest.param([_named(groups[thing][first[thing]]) for thing in things], id=_span(things))
    for thing, found in groups.items():
        further = [_named(case) for i, case in enumerate(found) if thing in long or i != first[thing]]
        if further:
            yield pytest.param(further, id=f"{thing}-further", marks=pytest.mark.thorough)


def _named(case: object) -> Named:
    return str(case), (case,)


def _span(things: Sequence[str]) -> str:
    return things[0] if len(things) == 1 else f"{things[0][:60]}..{things[-1][:60]}"


def _made_with(names: tuple[str, ...], parts: list[Any]) -> Decorator:
    """A test with these parts of its cases; they stand under the first name, since pytest wants something under each."""

    def made_with(test: Callable[..., Any]) -> Callable[..., Any]:
        def cases_in(given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
            for words, values in given[names[0]]:
                yield words, {**given, **dict(zip(names, values, strict=True))}

        @functools.wraps(test)
        def with_every_case(**given: Any) -> None:
            failures: list[BaseException] = []
            for words, case in cases_in(given):
                with _kept(failures, words):
                    test(**case)
            _raise(failures)

        @functools.wraps(test)
        async def with_every_case_in_turn(**given: Any) -> None:
            failures: list[BaseException] = []
            for words, case in cases_in(given):
                with _kept(failures, words):
                    await test(**case)
            _raise(failures)

        made = with_every_case_in_turn if inspect.iscoroutinefunction(test) else with_every_case
        rows = [pytest.param(*part.values, *(None,) * (len(names) - 1), id=part.id, marks=part.marks) for part in parts]
        return pytest.mark.parametrize(names, rows)(made)

    return made_with


@contextmanager
def _kept(failures: list[BaseException], words: str) -> Iterator[None]:
    """A failure within says where it was, and is kept while the other cases are tried."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        error.add_note(f"case: {words}")
        failures.append(error)


def _raise(failures: list[BaseException]) -> None:
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} cases fail", failures)
