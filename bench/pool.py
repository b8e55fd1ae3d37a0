"""The pool beside AnyIO, loky and pebble: bytes in, as many bytes out, a job that touches every one; one caller.

    pip install anyio loky pebble numpy uvloop annotated-types typing-extensions   # in an environment of its own
    python -m bench.pool [ROUNDS]

Prints the median and the least time of a round trip in milliseconds; the ways take turns within a round.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import anyio.to_process
import loky  # pyright: ignore[reportMissingImports]  # a rival, which only its comparison needs
import numpy as np
import pebble  # pyright: ignore[reportMissingImports]
import uvloop

from app.serving.buffers import Buffers
from app.serving.child import Say
from app.serving.pool import Lane, Pool

SIZES = (1, 12_000_000, 24_000_000, 40_000_000)
CHUNK = 64 * 1024
"""How much of a body arrives at a time."""
WARM_UP = 3


def touched(data: bytes) -> bytes:
    return (np.frombuffer(data, np.uint8) + np.uint8(1)).tobytes()


def job(body: memoryview, say: Say) -> tuple[None, list[memoryview]]:
    return None, [(np.frombuffer(body, np.uint8) + np.uint8(1)).data]


async def measure(size: int, rounds: int) -> None:
    chunks = [os.urandom(min(CHUNK, size - start)) for start in range(0, size, CHUNK)]
    expected = touched(b"".join(chunks))
    buffers = Buffers()
    pool = Pool([Lane("large", 1, 4, 60, 2**30, 1)], buffers, [job.__module__])
    await pool.start()
    executor, processes = loky.get_reusable_executor(1), pebble.ProcessPool(1)

    async def ours() -> list[bytes]:
        body = buffers.take()
        for chunk in chunks:
            body.write(chunk)
        async with pool.work("large", job, body) as work:
            async for _ in work:
                pass
        pieces = list(work.answer.pieces())
        buffers.give(work.answer)
        buffers.give(body)
        return pieces

    async def by_anyio() -> list[bytes]:
        return [await anyio.to_process.run_sync(touched, b"".join(chunks))]

    async def by_loky() -> list[bytes]:
        return [await asyncio.wrap_future(executor.submit(touched, b"".join(chunks)))]

    async def by_pebble() -> list[bytes]:
        return [await asyncio.wrap_future(processes.schedule(touched, args=(b"".join(chunks),)))]

    ways: dict[str, Callable[[], Awaitable[list[bytes]]]] = {
        "pool": ours,
        "anyio": by_anyio,
        "loky": by_loky,
        "pebble": by_pebble,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(WARM_UP + rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            pieces = await way()
            times[name].append(1e3 * (time.perf_counter() - began))
            assert b"".join(pieces) == expected
    for name, taken in times.items():
        print(f"{size:>10} bytes  {name:<7} median {statistics.median(taken[WARM_UP:]):8.2f} ms, least {min(taken):8.2f} ms")
    pool.close()
    buffers.close()
    executor.shutdown(kill_workers=True)
    processes.stop()
    processes.join()


async def main(rounds: int) -> None:
    for size in SIZES:
        await measure(size, rounds)


if __name__ == "__main__":
    from bench.pool import main  # under its name: other processes import the jobs by it

    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
