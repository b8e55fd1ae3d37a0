"""What a process has to find when it starts, since nothing can set it later: threads of BLAS, and how malloc takes pages."""

import ctypes
import os
from collections.abc import Mapping

ENVIRONMENT = {
    # OpenBLAS's threads get in the way of ours, and a process that forks may have none
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Page faults are what large arrays cost most: huge pages, in one arena for all threads.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
}
"""Of a process that is fast, and of each that the pool's are forked from, whatever the server was started with."""

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (mallopt(3))."""
PIECES = {TRIM_THRESHOLD: 8 * 1024**2, MMAP_THRESHOLD: 4 * 1024**2}
"""Of a process that large bodies pass through in pieces. By its own thresholds malloc gives a piece back to the system as soon as
it is freed, and page faults cost more than all else that is done with it; or it keeps tens of megabytes after a large one."""


def fits() -> bool:
    """Whether this process has found all of it."""
    return ENVIRONMENT.items() <= os.environ.items()


def set_malloc(thresholds: Mapping[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if mallopt is not None:
        for parameter, value in thresholds.items():
            mallopt(parameter, value)
