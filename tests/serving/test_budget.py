"""The count of bytes that requests hold: what is reserved is given back, and what is too much is not reserved."""

import pytest

from app.errors import Busy
from app.serving.budget import TINY_BYTES, Budget

MUCH = 10 * TINY_BYTES


def test_what_is_reserved_counts_until_it_is_released() -> None:
    budget = Budget(3 * MUCH)
    first, second = budget.reserve(MUCH), budget.reserve(MUCH)
    assert (first.size, second.size, budget.used) == (MUCH, MUCH, 2 * MUCH)
    first.grow(5)
    assert (first.size, budget.used) == (MUCH + 5, 2 * MUCH + 5)
    first.release()
    first.release()
    assert (first.size, budget.used) == (0, MUCH)
    second.release()
    assert budget.used == 0


def test_it_is_released_at_the_end_of_a_block_however_it_ends() -> None:
    budget = Budget(MUCH)
    with budget.reserve(MUCH) as reservation:
        assert budget.used == reservation.size == MUCH
    assert budget.used == 0
    with pytest.raises(ZeroDivisionError), budget.reserve(MUCH):
        raise ZeroDivisionError
    assert budget.used == 0


def test_the_last_byte_fits_and_one_more_is_too_much() -> None:
    budget = Budget(2 * MUCH)
    budget.reserve(MUCH)
    reservation = budget.reserve(MUCH)
    with pytest.raises(Busy) as caught:
        reservation.grow(1)
    for number in (2 * MUCH, 1):
        assert str(number) in str(caught.value)
    assert "try again later" in str(caught.value)
    assert (reservation.size, budget.used) == (MUCH, 2 * MUCH)
    with pytest.raises(Busy):
        budget.reserve(TINY_BYTES + 1)
    assert budget.used == 2 * MUCH
    reservation.release()
    budget.reserve(MUCH)


def test_what_is_tiny_always_fits_but_does_not_grow_beyond_it() -> None:
    budget = Budget(0)
    tiny = budget.reserve(TINY_BYTES - 1)
    tiny.grow(1)
    assert budget.used == TINY_BYTES
    with pytest.raises(Busy):
        tiny.grow(1)
    budget.reserve(TINY_BYTES)
    assert budget.used == 2 * TINY_BYTES
