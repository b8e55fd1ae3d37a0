"""How much memory a job may take: a limit that the system holds, so that a job that asks for more gets a MemoryError."""

import contextlib
import resource
import sys
from collections.abc import Generator

_beyond = 0
"""Bytes that were taken where no limit held, and kept."""


def data_bytes() -> int:
    """What RLIMIT_DATA counts: what a process may write to, touched or not."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def limit_memory(limit: int | None) -> None:
    """At most so many bytes, beside those that are beyond limits; None: as many as the system's own limit allows."""
    if sys.platform != "linux":  # elsewhere the data segment is not what arrays lie in
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = None if limit is None else limit + _beyond
    limits = [size for size in (wanted, hard) if size is not None and size != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits, default=resource.RLIM_INFINITY), hard))


@contextlib.contextmanager
def unlimited() -> Generator[None]:
    """Without the limit: for code that ends the process where memory is refused, and whose own need is known to be small."""
    global _beyond
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    before = data_bytes()
    limit_memory(None)
    try:
        yield
    finally:
        taken = data_bytes() - before
        _beyond = max(0, _beyond + taken)
        if soft not in (resource.RLIM_INFINITY, hard):
            resource.setrlimit(resource.RLIMIT_DATA, (soft + max(0, taken), hard))
