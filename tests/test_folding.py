"""Cases that share a test are all tried, and each that fails is named."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests import folding
from tests.folding import folded, in_turn


def marks_of(test: Callable[..., Any]) -> list[Any]:
    """What pytest is told of a test: names, and a parameter for each test that is made of it."""
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    return list(mark.args)


def made_of_all(test: Callable[..., Any]) -> None:
    names, parameters = marks_of(test)
    for parameter in parameters:
        test(**dict(zip(names, parameter.values, strict=True)))


@pytest.fixture
def tried() -> list[tuple[int, str]]:
    return []


def test_each_case_is_tried_and_each_that_fails_is_named(tried: list[tuple[int, str]]) -> None:
    @in_turn(("number", "word"), [(1, "one"), (2, "two"), (3, "three")])
    def a_test(number: int, word: str) -> None:
        tried.append((number, word))
        if number == 2:
            pytest.fail("even")
        assert number != 3

    with pytest.raises(BaseExceptionGroup) as caught:
        made_of_all(a_test)
    assert tried == [(1, "one"), (2, "two"), (3, "three")]
    assert [error.__notes__ for error in caught.value.exceptions] == [["case: 2 two"], ["case: 3 three"]]


def test_a_single_failure_is_told_as_itself() -> None:
    @in_turn("number", [1, 2])
    def a_test(number: int) -> None:
        assert number == 1

    with pytest.raises(AssertionError) as caught:
        made_of_all(a_test)
    assert caught.value.__notes__ == ["case: 2"]


@pytest.mark.anyio
async def test_coroutines_are_waited_for() -> None:
    @in_turn("number", [1, 2])
    async def a_test(number: int) -> None:
        assert number == 1

    (name,), (parameter,) = marks_of(a_test)
    with pytest.raises(AssertionError):
        await a_test(**{name: parameter.values[0]})


@pytest.mark.parametrize(("together", "tests"), [(25, 4), (1, 100)])
@pytest.mark.parametrize("made", [in_turn, functools.partial(folded, of=lambda case: case)], ids=["in turn", "folded"])
def test_hundreds_are_few_tests_but_where_they_are_chosen_by_name(
    made: Any, together: int, tests: int, monkeypatch: pytest.MonkeyPatch, tried: list[tuple[int, str]]
) -> None:
    monkeypatch.setattr(folding, "together", together)

    @made("case", range(100))
    def a_test(case: int) -> None:
        tried.append((case, ""))

    made_of_all(a_test)
    assert [number for number, _ in tried] == [*range(100)]
    _, parameters = marks_of(a_test)
    assert len({parameter.id for parameter in parameters}) == tests
    assert together > 1 or [parameter.id for parameter in parameters] == [str(case) for case in range(100)]


def test_one_case_of_each_thing_is_tried_and_the_others_are_thorough(tried: list[tuple[int, str]]) -> None:
    @folded("case", [(1, "a"), (2, "a"), (3, "b"), (4, "c")], of=lambda case: case[1], long=["c"])
    def a_test(case: tuple[int, str]) -> None:
        tried.append(case)

    made_of_all(a_test)
    assert sorted(tried) == [(1, "a"), (2, "a"), (3, "b"), (4, "c")]
    _, parameters = marks_of(a_test)
    quick = [words for parameter in parameters if not parameter.marks for words, _ in parameter.values[0]]
    assert len(quick) == 2
    assert "(3, 'b')" in quick
