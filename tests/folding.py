"""Many cases of one thing as one test of it: setting up a test for each would cost more than most cases do."""

import functools
from collections.abc import Callable, Iterable
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
            group = given.pop(name)
            for case in group:
                try:
                    test(**{name: case}, **given)
                except BaseException as error:
                    error.add_note(f"{name} {case}")
                    raise

        return pytest.mark.parametrize(name, list(groups.values()), ids=list(groups))(with_every_case)

    return decorated
