"""What a name may have within some time, counted exactly over all processes of a server.

A window begins with the first thing that is counted in it and ends so many seconds later; so a name that was idle for as
long may use its whole limit at once. Time is the system's monotonic clock, which all processes share.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.errors import QuotaExceeded
from app.serving.content import Field
from app.serving.keys import Quota
from app.serving.shared import NUMBER_BYTES, Numbers, SharedMemory
from app.serving.usage import STEPS_A_SECOND

NAME_BYTES = 64
NAMES = 10_000
"""Names with a quota that a server may come to know while it runs."""


class Policy(NamedTuple):
    """One kind of thing that is counted, as the fields of an answer tell of it."""

    name: str
    unit: str
    scale: float
    """How many units of the fields one counted is."""


REQUESTS = Policy("requests", "", 1)
BYTES = Policy("bytes", ';qu="content-bytes"', 1)
COMPUTE = Policy("compute", ';qu="criterion-compute-ms"', 1000)
POLICIES = (REQUESTS, BYTES, COMPUTE)
ROW_BYTES = NAME_BYTES + 2 * NUMBER_BYTES * len(POLICIES)


class Bound(NamedTuple):
    """A policy with its limit for a name, and where it is counted: two numbers, the window's start and what is used."""

    policy: Policy
    limit: float
    seconds: int
    place: int


class Quotas:
    """The counts of all names."""

    def __init__(self, memory: SharedMemory, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory, self._clock = memory, clock
        self._names = memory.view(0, NAMES * NAME_BYTES)
        self._numbers = memory.numbers(NAMES * NAME_BYTES, NAMES * 2 * len(POLICIES))
        self._rows: dict[str, int] = {}

    @staticmethod
    def memory_bytes() -> int:
        return NAMES * ROW_BYTES

    def account(self, name: str, quota: Quota) -> "Account":
        """One request of a name that has this quota."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = self._row(name.encode())
        limits = (quota.requests, quota.bytes, quota.compute)
        first = row * 2 * len(POLICIES)
        bounds = [
            Bound(policy, limit.limit, limit.seconds, first + 2 * number)
            for number, (policy, limit) in enumerate(zip(POLICIES, limits, strict=True))
            if limit is not None
        ]
        return Account(self._memory, self._numbers, self._clock, name, row, bounds)

    def _row(self, name: bytes) -> int:
        """Where a name is counted, by every process in the same place."""
        wanted = name.ljust(NAME_BYTES, b"\0")
        with self._memory.locked(NAMES):
            for row in range(NAMES):
                written = self._names[row * NAME_BYTES : (row + 1) * NAME_BYTES]
                if written.tobytes() == wanted:
                    return row
                if not written[0]:
                    written[:] = wanted
                    return row
        raise RuntimeError(f"more than {NAMES} names have had a quota since this server began")


class Account:
    """What one request takes of its name's quota."""

    def __init__(
        self,
        memory: SharedMemory,
        numbers: Numbers,
        clock: Callable[[], float],
        name: str,
        row: int,
        bounds: Sequence[Bound],
    ) -> None:
        self._memory, self._numbers, self._clock = memory, numbers, clock
        self._name, self._row, self._bounds = name, row, bounds
        self._taken: dict[Policy, float] = {}
        self._started = 0.0
        self._left: list[tuple[Bound, float, float]] = []

    def open(self, size: int, *, works: bool) -> None:
        """Count a request with a body of so many bytes; one that `works` has to find some compute left."""
        least = 1.0 / STEPS_A_SECOND if works else 0.0
        self._count({REQUESTS: 1, BYTES: size}, {COMPUTE: least})

    def receive(self, size: int) -> None:
        """So many bytes have come, where that is more than was said beforehand."""
        if size > self._taken.get(BYTES, 0.0):
            self._count({BYTES: size - self._taken.get(BYTES, 0.0)})

    def begin(self, cost: float) -> None:
        """Work begins, or goes on, that is estimated to take so many steps."""
        self._count({COMPUTE: cost / STEPS_A_SECOND})
        self._started = self._started or self._clock()

    def settle(self, size: int) -> None:
        """Put the estimates right: so many bytes came, and the work has taken the time since it began."""
        if not self._taken:  # it was refused
            return
        changes = {BYTES: size - self._taken.get(BYTES, 0.0)}
        if COMPUTE in self._taken:
            changes[COMPUTE] = self._clock() - self._started - self._taken[COMPUTE]
        self._change(changes)

    def fields(self) -> tuple[Field, Field]:
        """What every answer says of the limits and of what is left."""
        policies = ", ".join(
            f'"{bound.policy.name}";q={math.floor(bound.limit * bound.policy.scale)}{bound.policy.unit};w={bound.seconds}'
            for bound in self._bounds
        )
        left = ", ".join(
            f'"{bound.policy.name}";r={max(0, math.floor((bound.limit - used) * bound.policy.scale + 1e-6))};t={math.ceil(ends)}'
            for bound, used, ends in self._left
        )
        return (b"ratelimit-policy", policies.encode()), (b"ratelimit", left.encode())

    def _count(self, amounts: dict[Policy, float], looked: dict[Policy, float] | None = None) -> None:
        """Count these amounts, if there is room for all of them and for what is only looked for; QuotaExceeded else."""
        with self._memory.locked(self._row):
            now = self._clock()
            states = [(bound, *self._state(bound, now)) for bound in self._bounds]
            wanted = {**(looked or {}), **amounts}
            violated = [
                (bound, ends)
                for bound, used, ends in states
                if wanted.get(bound.policy) and used + wanted[bound.policy] > bound.limit
            ]
            if violated:
                self._left = states
                if not self._started:
                    self._give_back(now)
            else:
                self._left = [self._add(bound, used, amounts.get(bound.policy, 0.0), now) for bound, used, _ in states]
        if violated:
            raise self._exceeded(violated)
        for policy, amount in amounts.items():
            self._taken[policy] = self._taken.get(policy, 0.0) + amount

    def _change(self, changes: dict[Policy, float]) -> None:
        with self._memory.locked(self._row):
            now = self._clock()
            self._left = [
                self._add(bound, self._state(bound, now)[0], changes.get(bound.policy, 0.0), now) for bound in self._bounds
            ]
        for policy, amount in changes.items():
            self._taken[policy] = self._taken.get(policy, 0.0) + amount

    def _give_back(self, now: float) -> None:
        """A request that is refused is not counted."""
        self._left = [
            self._add(bound, self._state(bound, now)[0], -self._taken.get(bound.policy, 0.0), now) for bound in self._bounds
        ]
        self._taken.clear()

    def _state(self, bound: Bound, now: float) -> tuple[float, float]:
        """What is used, and the seconds until there is more."""
        start, used = self._numbers[bound.place], self._numbers[bound.place + 1]
        ends = start + bound.seconds - now
        return (used, ends) if used and ends > 0 else (0.0, float(bound.seconds))

    def _add(self, bound: Bound, used: float, amount: float, now: float) -> tuple[Bound, float, float]:
        """Count more, or less; the first of a window begins it."""
        if used == 0.0 and amount > 0:
            self._numbers[bound.place] = now
        if amount:
            used = max(0.0, used + amount)
            self._numbers[bound.place + 1] = used
        return bound, *self._state(bound, now)

    def _exceeded(self, violated: Sequence[tuple[Bound, float]]) -> QuotaExceeded:
        wait = max(1, math.ceil(max(ends for _, ends in violated)))
        bound, _ = violated[0]
        what = "seconds of compute" if bound.policy is COMPUTE else bound.policy.name
        return QuotaExceeded(
            f'the quota of the key "{self._name}" is {bound.limit:.15g} {what} per {bound.seconds} s; try again in {wait} s',
            [bound.policy.name for bound, _ in violated],
            wait,
        )
