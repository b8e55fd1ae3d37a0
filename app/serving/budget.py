"""One count of the bytes that a server process holds for its requests: bodies on their way, unpacked ones, and answers.

Whoever would take more than there is room for is refused before it does, so that a crowd costs refusals and no memory.
"""

from types import TracebackType
from typing import Self

from app.errors import Fault, InvalidInput, OverBudget

TINY_BYTES = 64 * 1024
"""What a request may always have: a crowd of large ones must not refuse the small ones too, nor a probe."""


class Budget:
    """At most `limit` bytes at a time; `used` are those that are reserved now."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def reserve(self, size: int, *, beside: int = 0) -> "Reservation":
        """So many bytes, until they are released, for a request that has others `beside` them.

        OverBudget where there is no room for them now, InvalidInput where there never is.
        """
        if size > TINY_BYTES and beside + size > self.limit:
            allowed = f"CRITERION_MEMORY_BYTES allows {self.limit}: send fewer samples at a time, or ask for fewer outputs"
            raise InvalidInput([Fault((), "limit", f"the request and its answer have {beside + size} bytes, and {allowed}")])
        reservation = Reservation(self)
        reservation.grow(size)
        return reservation


class Reservation:
    """The bytes of one request: `size` of them."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self.size = budget, 0

    def grow(self, size: int) -> None:
        """So many bytes more; OverBudget where there is no room for them, and then it has what it had."""
        budget = self._budget
        if budget.used + size > budget.limit and self.size + size > TINY_BYTES:
            raise OverBudget(
                f"the requests that are being answered hold {budget.used} of the {budget.limit} bytes that they may have "
                f"together, and this one needs {size} more; try again later"
            )
        budget.used += size
        self.size += size

    def release(self) -> None:
        """Give everything back; once more is nothing."""
        self._budget.used -= self.size
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
