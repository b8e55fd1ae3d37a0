"""Row blocks that fit in the cache, shared among threads.

Whole-array NumPy pays a page fault for every temporary; on blocks of some hundred kilobytes the temporaries of a plain
five-line function stay in the cache. NumPy's loops release the interpreter lock, so that threads share the blocks.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK_BYTES = 256 * 1024
WORTH_A_THREAD = 4
"""Blocks below which handing them to threads costs more than it saves."""

_threads: list[ThreadPoolExecutor] = []


def use_threads(count: int) -> None:
    """From now on, evaluate large batches of this process in `count` threads (1: in the caller's own)."""
    for pool in _threads:
        pool.shutdown(wait=False)
    _threads[:] = [ThreadPoolExecutor(1, thread_name_prefix="rows") for _ in range(count if count > 1 else 0)]


def in_blocks(work: Callable[[slice], None], n: int, row_bytes: int, block_bytes: int = BLOCK_BYTES) -> None:
    """Call `work` on every block of n rows, which are independent: no result depends on how they were cut, or where they ran."""
    step = max(1, block_bytes // max(row_bytes, 1))
    blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    if not _threads or len(blocks) < WORTH_A_THREAD:
        _each(work, blocks)
        return
    queue = iter(blocks)  # every thread takes the next block: a slow one holds nobody up
    for done in [pool.submit(_each, work, queue) for pool in _threads]:
        done.result()


def _each(work: Callable[[slice], None], blocks: Iterable[slice]) -> None:
    with np.errstate(all="ignore"):  # poles and overflows are answers: they are found by their value, and named
        for block in blocks:
            work(block)
