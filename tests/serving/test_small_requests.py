"""What a small request costs, in bytecodes and calls: numbers that no other load and no other machine changes."""

import sys

import pytest

from bench.profile import counted, message_of

MOST = {"8x3": (3830, 140), "8x3-binary": (4250, 147), "mse3": (3240, 127)}
"""Bytecodes and Python calls at most: lowered when there are fewer, and raised only with a reason in the commit."""


@pytest.mark.parametrize("request_", MOST)
def test_a_small_request_takes_no_more_steps_than_it_did(request_: str) -> None:
    before = sys.gettrace()
    try:
        counts = counted(message_of(request_))
    finally:
        sys.settrace(before)  # coverage traces too
    bytecodes, calls = MOST[request_]
    assert sum(counts.bytecodes.values()) <= bytecodes
    assert sum(counts.calls.values()) <= calls
