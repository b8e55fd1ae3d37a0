"""Row blocks that fit in the cache, shared among threads.

Whole-array NumPy pays a page fault for every temporary; on blocks of some hundred kilobytes the temporaries of a plain
five-line function stay in the cache. NumPy's loops release the interpreter lock, so that threads share the blocks.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

BLOCK_BYTES = 512 * 1024
"""What a block may have of the widest array."""
BLOCK_ROWS = 56 * 1024
"""Where rows are short, what is made of them has to fit as well."""
LARGER = 4
"""How much larger blocks are for threads: between two NumPy calls they wait for each other's interpreter lock."""

WORTH_A_THREAD = 4
"""Blocks below which handing them to threads costs more than it saves."""

T = TypeVar("T")

_threads: list[ThreadPoolExecutor] = []


def use_threads(count: int) -> None:
    """From now on, evaluate large batches of this process in `count` threads (1: in the caller's own)."""
    for pool in _threads:
        pool.shutdown(wait=False)
    _threads[:] = [ThreadPoolExecutor(1, thread_name_prefix="rows") for _ in range(count - 1)]


def in_blocks(work: Callable[[slice], T], n: int, row_bytes: int, block_bytes: int | None = None) -> list[T]:
    """`work` of every block of n rows, in their order: the rows are independent, and no result may depend on their cut.

    All threads share the blocks, the caller's own among them; where the blocks are few, it takes them all.
    """
    count = -(-n // _block_rows(max(row_bytes, 1), block_bytes))
    if count == 1:
        return [work(slice(0, n))]
    if count >= WORTH_A_THREAD:
        count = min(n, count + -count % (len(_threads) + 1))  # as many for each thread
    blocks = [slice(n * index // count, n * (index + 1) // count) for index in range(count)]
    results: list[Any] = [None] * len(blocks)
    queue = iter(range(len(blocks)))  # every thread takes the next block: a slow one holds nobody up

    def take() -> None:
        for index in queue:
            results[index] = work(blocks[index])

    helpers = _threads if count >= WORTH_A_THREAD else []
    others = [pool.submit(copy_context().run, take) for pool in helpers]  # the context has NumPy's errstate
    try:
        take()
    finally:
        wait(others)
    for future in others:
        future.result()
    return results


def _block_rows(row_bytes: int, block_bytes: int | None) -> int:
    if block_bytes:
        return max(1, block_bytes // row_bytes)
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes) * (LARGER if _threads else 1))
