"""Many cases of one thing as one test of it: setting up a test for each would cost more than most cases do."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def folded(name: str, cases: Iterable[T], of: Callable[[T], object]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The test is made with every case under this name, one test for all of the same thing; a case that fails is named."""
    groups: dict[str, list[T]] = {}
    for case in cases:
        groups.setdefault(str(of(case)), []).append(case)

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
        return pytest.mark.parametrize(name, list(groups.values()), ids=list(groups))(made)

    return decorated


@contextmanager
def noted(what: str) -> Iterator[None]:
    """A failure within says where it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise
