"""A share of what `make fuzz` tries: each decoder reads a bent body as Python's own does, or refuses it as the caller's."""

import pytest

from tests.wire.fuzz import FUZZED, READ, REFUSED, Fuzzed, bent, tried

BODIES = 200


@pytest.mark.parametrize("decoder", FUZZED)
def test_bent_bodies_are_read_right_or_refused(decoder: str) -> None:
    counts = tried(FUZZED[decoder], range(BODIES))
    assert counts.keys() == {READ, REFUSED}
    assert min(counts.values()) > BODIES // 20


FOUND: list[tuple[str, bytes]] = [
    ("csv", b"\n1,2\n"),  # a header without a name divided by nothing
    ("csv", b"\xef\xbb\xbf\n1"),
]


@pytest.mark.parametrize(("decoder", "body"), FOUND)
def test_what_was_found_before(decoder: str, body: bytes) -> None:
    assert FUZZED[decoder].attempt(body) == REFUSED


def test_a_torn_header_of_an_array_is_refused() -> None:
    """NumPy's own parser of headers raises what is no ValueError."""
    seed = FUZZED["npz"].seeds[0]
    torn = Fuzzed("torn", [seed.replace(b", }", b",  ")], [b""], FUZZED["npz"].attempt, FUZZED["npz"].wrapped)
    assert tried(torn, range(50))[REFUSED] > 10


def test_a_body_follows_from_its_number() -> None:
    for fuzzed in FUZZED.values():
        assert bent(fuzzed, 7) == bent(fuzzed, 7) != bent(fuzzed, 8)
