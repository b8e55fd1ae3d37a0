"""Connections that send much take turns: a few of them in a round of the event loop, each in its turn."""

import asyncio

import pytest

from app.serving.turns import READS_A_ROUND, Turns

pytestmark = pytest.mark.anyio


async def test_a_round_of_the_event_loop_resumes_a_few_in_their_order() -> None:
    turns, loop = Turns(), asyncio.get_running_loop()
    resumed: list[int] = []
    for number in range(10 * READS_A_ROUND):
        turns.ask(loop, lambda number=number: resumed.append(number))
    assert resumed == []
    for number in range(1, 11):
        await asyncio.sleep(0)
        assert resumed == list(range(number * READS_A_ROUND))
    await asyncio.sleep(0)
    turns.ask(loop, lambda: resumed.append(-1))
    await asyncio.sleep(0)
    assert resumed[-1] == -1


async def test_who_asks_again_waits_behind_the_others() -> None:
    turns, loop = Turns(), asyncio.get_running_loop()
    resumed: list[str] = []

    def greedy() -> None:
        resumed.append("greedy")
        if len(resumed) < 100:
            turns.ask(loop, greedy)

    turns.ask(loop, greedy)
    for name in ("a", "b", "c", "d", "e"):
        turns.ask(loop, lambda name=name: resumed.append(name))
    for _ in range(3):
        await asyncio.sleep(0)
    assert set(resumed[:7]) == {"greedy", "a", "b", "c", "d", "e"}
