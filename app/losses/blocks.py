"""Row blocks that fit in the cache, shared among threads.

Whole-array NumPy pays a page fault for every temporary; on blocks of some hundred kilobytes the temporaries of a plain
five-line function stay in the cache. NumPy's loops release the interpreter lock, so that threads share the blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

BLOCK_BYTES = 512 * 1024
SHARED_BLOCK_BYTES = 1024 * 1024
"""Threads take larger blocks: between two NumPy calls they wait for each other's interpreter lock."""

WORTH_A_THREAD = 4
"""Blocks below which handing them to threads costs more than it saves."""

T = TypeVar("T")
U = TypeVar("U")

_threads: list[ThreadPoolExecutor] = []


def use_threads(count: int) -> None:
    """From now on, evaluate large batches of this process in `count` threads (1: in the caller's own)."""
    for pool in _threads:
        pool.shutdown(wait=False)
    _threads[:] = [ThreadPoolExecutor(1, thread_name_prefix="rows") for _ in range(count if count > 1 else 0)]


def in_blocks(work: Callable[[slice], None], n: int, row_bytes: int, block_bytes: int | None = None) -> None:
    """Call `work` on every block of n rows, which are independent: no result depends on how they were cut, or where they ran."""
    block_bytes = block_bytes or (SHARED_BLOCK_BYTES if _threads else BLOCK_BYTES)
    step = max(1, block_bytes // max(row_bytes, 1))
    spread(work, [slice(start, min(start + step, n)) for start in range(0, n, step)])


def spread(work: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """`work` of every item, in their order, by all threads; in the caller's own where the items are few."""
    results: list[Any] = [None] * len(items)
    if not _threads or len(items) < WORTH_A_THREAD:
        _each(work, items, iter(range(len(items))), results)
    else:
        queue = iter(range(len(items)))  # every thread takes the next item: a slow one holds nobody up
        for done in [pool.submit(_each, work, items, queue, results) for pool in _threads]:
            done.result()
    return results


def _each(work: Callable[[T], U], items: Sequence[T], queue: Iterator[int], results: list[Any]) -> None:
    with np.errstate(all="ignore"):  # poles and overflows are answers: they are found by their value, and named
        for at in queue:
            results[at] = work(items[at])
