"""The pool of processes: answers and errors as they were, and nothing left behind when something dies or somebody leaves."""

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from app.errors import Busy, InvalidArray, InvalidInput, ProcessLost, TooLate, Unavailable
from app.serving import pool as pools
from app.serving import processes, warm
from app.serving import work as works
from app.serving.buffers import Buffer, Buffers
from app.serving.child import LIBRARY_BYTES, THREAD_BYTES, Job, Say
from app.serving.pool import Lane, Pool, Work
from tests.conftest import ROOT
from tests.processes import eventually
from tests.serving import jobs

PATIENCE = 60
"""Seconds until a test gives up waiting for what must happen."""
MEMORY = 128 * 1024**2
LARGE = Lane("large", at_once=1, waiting=1, seconds=PATIENCE, memory_bytes=MEMORY, threads=3)
TRAINING = Lane("training", at_once=1, waiting=1, seconds=PATIENCE, memory_bytes=MEMORY, threads=1)
CROWD = Lane("crowd", at_once=3, waiting=200, seconds=PATIENCE, memory_bytes=MEMORY, threads=1)


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def running(*lanes: Lane, **more: Any) -> AsyncGenerator[Pool]:
    buffers = Buffers()
    pool = Pool(lanes, buffers, ["tests.serving.jobs"], **more)
    try:
        yield pool
    finally:
        pool.close()
        buffers.close()
        await asyncio.sleep(0)  # who was cancelled is told


@pytest.fixture(scope="module")
async def pool(anyio_backend: object) -> AsyncGenerator[Pool]:
    async with running(LARGE, TRAINING, CROWD) as pool:
        await pool.start()
        yield pool


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


async def done(pool: Pool, job: Job, body: bytes | Buffer = b"", *arguments: object, lane: str = "large") -> Any:
    """What is known of a job's answer, the answer, and the events."""
    async with pool.work(lane, job, body, *arguments) as work:
        events = b"".join([events async for events in work])
        answer = b"".join(work.answer.pieces())
        pool._buffers.give(work.answer)
        return work.known, answer, events


async def pid_of(pool: Pool) -> int:
    """The process that takes the next job."""
    return (await done(pool, jobs.process_id))[0]


@asynccontextmanager
async def halfway(pool: Pool, pipe: Path, lane: str = "large") -> AsyncGenerator[tuple[Work, int]]:
    """Within, a job waits for what comes through the pipe; the work, and its process."""
    async with pool.work(lane, jobs.waiting, b"", str(pipe)) as work:
        yield work, int((await anext(work)).split()[1])


async def rest(pool: Pool, work: Work) -> bytes:
    assert [events async for events in work] == []
    answer = b"".join(work.answer.pieces())
    pool._buffers.give(work.answer)
    return answer


def state(pid: int) -> str:
    """The state of a process as Linux says it; "" where there is none, "Z" where it only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(pid: int) -> bool:
    """Whether it is dead with all its threads: until then its descriptors are open."""
    try:
        return state(pid) in ("", "Z", "X") and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


async def ended(pid: int) -> None:
    await eventually(lambda: has_ended(pid), f"process {pid} goes on")


def template_of(pool: Pool) -> int:
    assert pool._template
    return pool._template._pid


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


# --- answers and errors -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_bodies_and_answers_pass_through_whole(pool: Pool) -> None:
    for size in (0, 1, 65_535, 65_536, 65_537, 3_000_000, 5, 40_000_000, 70_000_000, 7):
        data = np.random.default_rng(size).bytes(size)
        body = pool._buffers.take()
        for start in range(0, size, 700_001):
            body.write(data[start : start + 700_001])
        assert await done(pool, jobs.turned, body, {"note": size}) == ({"note": size}, data[::-1], b"")
        assert bytes(body.view()) == data
        pool._buffers.give(body)
        if size < 4_000_000:
            assert await done(pool, jobs.turned, data) == (None, data[::-1], b"")


@pytest.mark.anyio
async def test_pieces_may_be_arrays(pool: Pool) -> None:
    _, answer, _ = await done(pool, jobs.numbers)
    assert np.array_equal(np.frombuffer(answer), np.arange(1000.0))


@pytest.mark.anyio
async def test_refusal_arrives_as_it_was_raised_and_its_process_goes_on(pool: Pool) -> None:
    pid = await pid_of(pool)
    with pytest.raises(InvalidArray) as caught:
        await done(pool, jobs.refused, b"x" * 10)
    assert caught.value.detail == "10 bytes"
    assert [(fault.path, fault.code, fault.message) for fault in caught.value.faults] == [
        ((index,), "code", f"message {index}") for index in range(3)
    ]
    with pytest.raises(Busy, match="not now"):
        await done(pool, jobs.too_busy)
    assert await pid_of(pool) == pid


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("job", "error", "place"), [(jobs.buggy, "ZeroDivisionError", "jobs.py"), (jobs.secretive, "AttributeError", "child.py")]
)
async def test_bug_says_where_it_is_and_its_process_is_replaced(pool: Pool, job: Job, error: str, place: str) -> None:
    pid = await pid_of(pool)
    with pytest.raises(RuntimeError, match=error) as caught:
        await done(pool, job)
    assert place in "".join(caught.value.__notes__)
    assert await pid_of(pool) != pid  # who knows what state it was in
    await ended(pid)


@pytest.mark.anyio
async def test_job_that_its_process_does_not_know_is_a_bug(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def job(body: memoryview, say: Say) -> jobs.Answer:
        return None, []

    job.__module__, job.__qualname__ = "__main__", "stranger"
    monkeypatch.setattr(sys.modules["__main__"], "stranger", job, raising=False)
    with pytest.raises(RuntimeError, match="AttributeError"):
        await done(pool, job)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        await done(pool, lambda body, say: (None, []))
    assert (await done(pool, jobs.turned, b"ab"))[1] == b"ba"


@pytest.mark.anyio
async def test_more_memory_than_a_job_may_have(pool: Pool) -> None:
    assert await done(pool, jobs.hoarding, b"", 100) == (100 * 131_072, b"", b"")
    pid = await pid_of(pool)
    with pytest.raises(InvalidInput) as caught:
        await done(pool, jobs.hoarding, b"", 1000)
    (fault,) = caught.value.faults
    assert (fault.path, fault.code) == ((), "limit")
    assert str(MEMORY) in fault.message
    assert await pid_of(pool) != pid
    await ended(pid)
    for _ in range(3):  # what malloc keeps of one job is not given to the next on top
        await done(pool, jobs.hoarding, b"", 250)
        with pytest.raises(InvalidInput):
            await done(pool, jobs.hoarding, b"", 500)


@pytest.mark.anyio
async def test_what_a_job_finds_around_it(pool: Pool) -> None:
    template = template_of(pool)
    assert len(list(Path(f"/proc/{template}/task").iterdir())) == 1  # a process that forks has one thread
    for lane in (LARGE, TRAINING, LARGE):
        found, _, _ = await done(pool, jobs.surroundings, lane=lane.name)
        assert found["threads"] == lane.threads
        assert MEMORY + (lane.threads - 1) * THREAD_BYTES < found["limit"] - LIBRARY_BYTES < MEMORY + 512 * 1024**2
        assert (found["environment"]["OPENBLAS_NUM_THREADS"], found["environment"]["OMP_NUM_THREADS"]) == ("1", "1")
        assert "hugetlb" in found["environment"]["GLIBC_TUNABLES"]
        assert found["main"]  # which alone hears signals
        assert found["children are waited for"]
        assert found["imported by"] == template
    assert found["pid"] in children_of(template)


@pytest.mark.anyio
async def test_signals_for_the_server_are_not_for_its_processes(pool: Pool, pipe: Path) -> None:
    """They come to a whole group from a terminal, or from whoever ends a service: the server decides who may end his work."""
    async with halfway(pool, pipe) as (work, pid):
        for number in (signal.SIGINT, signal.SIGTERM):
            for process in (pid, template_of(pool)):
                os.kill(process, number)
        pipe.write_text("go")
        assert await rest(pool, work) == b"go"
    assert await pid_of(pool) == pid


# --- what dies ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_process_that_dies_over_a_job(pool: Pool) -> None:
    for job in (jobs.suicidal, jobs.exiting):
        pid = await pid_of(pool)
        with pytest.raises(ProcessLost):
            await done(pool, job)
        assert await pid_of(pool) != pid
    async with pool.work("large", jobs.suicidal, b"") as work:
        assert await anext(work) == b"alive"
        with pytest.raises(ProcessLost):
            await anext(work)


@pytest.mark.anyio
async def test_a_process_waits_for_whoever_comes_next() -> None:
    async with running(LARGE) as pool:
        await pool.start()
        with pytest.raises(ProcessLost):
            await done(pool, jobs.suicidal)
        await eventually(lambda: pool._spare is not None, "none is forked")
        assert pool._spare
        pid = pool._spare.pid
        assert await pid_of(pool) == pid


@pytest.mark.anyio
async def test_process_that_is_killed_costs_its_own_job_only(pool: Pool, pipe: Path) -> None:
    async with halfway(pool, pipe) as (work, pid), asyncio.TaskGroup() as group:
        waiting = group.create_task(done(pool, jobs.turned, b"ab"))
        await eventually(lambda: pool.full("large"), "nobody waits")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessLost):
            await anext(work)
    assert waiting.result()[1] == b"ba"


@pytest.mark.anyio
@pytest.mark.parametrize("lane", ["large", "training"])
async def test_process_that_is_stopped_costs_its_own_job_only(
    lane: str, pool: Pool, pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "LOOK_SECONDS", 0.02)
    async with pool.work(lane, jobs.waiting, b"", str(pipe)) as work:
        pid = int((await anext(work)).split()[1])
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ProcessLost), anyio.fail_after(PATIENCE / 2):
            await anext(work)
    await ended(pid)
    assert (await done(pool, jobs.turned, b"ab", lane=lane))[1] == b"ba"


@pytest.mark.anyio
async def test_process_that_is_stopped_for_a_moment_goes_on(pool: Pool, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    monkeypatch.setattr(pools, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(processes.Child, "stopped", property(lambda child: looks.append(True) or len(looks) % pools.LOOKS > 0))
    async with halfway(pool, pipe) as (work, _):
        await eventually(lambda: len(looks) > 3 * pools.LOOKS, "nobody looks")
        pipe.write_text("go")
        assert await rest(pool, work) == b"go"


@pytest.mark.anyio
async def test_process_that_died_in_its_sleep_is_not_missed(pool: Pool) -> None:
    pid = await pid_of(pool)
    os.kill(pid, signal.SIGKILL)
    await ended(pid)
    assert await pid_of(pool) != pid


@pytest.mark.anyio
async def test_template_that_is_killed_is_replaced(pool: Pool, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FORK_SECONDS", 10 * PATIENCE)  # it is seen at once, though its children live
    template = template_of(pool)
    async with halfway(pool, pipe) as (work, _):
        os.kill(template, signal.SIGKILL)
        assert (await done(pool, jobs.turned, b"ab", lane="training"))[1] == b"ba"
        pipe.write_text("go")
        assert await rest(pool, work) == b"go"  # whose process is nobody's child now
    with anyio.fail_after(PATIENCE):
        for _ in range(3):
            with pytest.raises(ProcessLost):
                await done(pool, jobs.suicidal)
    assert template_of(pool) != template
    assert pool.health == (True, "")


@pytest.mark.anyio
async def test_template_that_is_stopped_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(LARGE) as pool:
        pid, template = await pid_of(pool), template_of(pool)
        monkeypatch.setattr(processes, "FORK_SECONDS", 0.2)
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
        os.kill(template, signal.SIGSTOP)
        assert (await done(pool, jobs.turned, b"ab"))[1] == b"ba"
        assert template_of(pool) != template
        await ended(template)


@pytest.mark.anyio
async def test_job_that_does_not_end_is_ended(tmp_path: Path) -> None:
    async with running(LARGE._replace(seconds=1.0)) as pool:
        for number in (signal.SIGCONT, signal.SIGSTOP):  # one that is stopped is given up after its time at the latest
            path = tmp_path / str(number)
            os.mkfifo(path)
            async with halfway(pool, path) as (work, pid):
                os.kill(pid, number)
                with pytest.raises(TooLate, match="1 seconds"):
                    await anext(work)
            await ended(pid)
        assert (await done(pool, jobs.turned, b"ab"))[1] == b"ba"


@pytest.mark.anyio
async def test_server_without_processes_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    buffers = Buffers()
    pool = Pool([LARGE], buffers, ["tests.serving.no_such_module"])
    assert pool.health.ready
    with pytest.raises(Unavailable):
        await pool.start()
    assert pool.health == (False, "no process can be started")
    with pytest.raises(Unavailable):
        await done(pool, jobs.turned)
    assert "no process" in caplog.text
    pool.close()


# --- who leaves, who waits ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_who_leaves_takes_the_work_along(pool: Pool, pipe: Path) -> None:
    async with halfway(pool, pipe) as (_, pid):
        pass
    began = time.monotonic()
    assert (await done(pool, jobs.turned, b"ab"))[1] == b"ba"
    assert time.monotonic() - began < PATIENCE / 4
    await ended(pid)


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [0, 0.0001, 0.001, 0.01])
async def test_who_leaves_at_any_time_harms_nobody(pool: Pool, seconds: float) -> None:
    body = pool._buffers.take()
    body.write(bytes(3_000_000))
    for _ in range(10):
        with anyio.move_on_after(seconds):
            await done(pool, jobs.turned, body)
        assert await done(pool, jobs.turned, b"cd", 1) == (1, b"dc", b"")
    pool._buffers.give(body)


@pytest.mark.anyio
async def test_who_leaves_with_the_answer_there_gives_it_back(pool: Pool) -> None:
    pid = await pid_of(pool)
    free = len(pool._buffers._free)
    assert free > 0
    async with pool.work("large", jobs.turned, b"ab") as work:
        await eventually(work._task.done, "the job does not end")
        assert len(pool._buffers._free) == free - 1
    assert len(pool._buffers._free) == free
    assert await pid_of(pool) == pid


@pytest.mark.anyio
async def test_who_leaves_the_queue_makes_room(pool: Pool, pipe: Path) -> None:
    async with halfway(pool, pipe) as (work, pid):
        for _ in range(3):
            assert not pool.full("large")
            async with pool.work("large", jobs.turned, b""):
                assert pool.full("large")
                assert not pool.health.ready
                assert "large" in pool.health.reason
                with pytest.raises(Busy, match="1 large requests are waiting already for the 1 at work"):
                    await done(pool, jobs.turned)
        assert pool.health == (True, "")
        pipe.write_text("go")
        assert await rest(pool, work) == b"go"
    assert await pid_of(pool) == pid


@pytest.mark.anyio
async def test_who_waits_has_a_turn_and_lanes_do_not_wait_for_each_other(pool: Pool, pipe: Path) -> None:
    async with halfway(pool, pipe) as (work, pid), asyncio.TaskGroup() as group:
        waiting = group.create_task(pid_of(pool))
        await eventually(lambda: pool.full("large"), "nobody waits")
        assert (await done(pool, jobs.turned, b"ab", lane="training"))[1] == b"ba"
        assert not waiting.done()
        pipe.write_text("go")
        assert await rest(pool, work) == b"go"
    assert waiting.result() == pid


@pytest.mark.anyio
async def test_a_crowd(pool: Pool) -> None:
    """As many at a time as there may be, each with its own answer."""
    pids: set[int] = set()

    async def run(number: int) -> None:
        text = b"%d" % number
        body = pool._buffers.take()
        body.write(text * 1000)
        note, answer, _ = await done(pool, jobs.turned, body, number, lane="crowd")
        assert (note, answer) == (number, (text * 1000)[::-1])
        pool._buffers.give(body)
        pids.add((await done(pool, jobs.process_id, lane="crowd"))[0])

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(run(number))
    assert 1 <= len(pids) <= CROWD.at_once
    assert not pool._busy


# --- events -------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_many_events_come_in_order_before_the_answer(pool: Pool) -> None:
    _, answer, events = await done(pool, jobs.telling, b"", 20_000)
    assert events.split() == [b"%d" % number for number in range(20_000)]
    assert answer == b"end"


@pytest.mark.anyio
async def test_an_event_does_not_wait_for_the_next(pool: Pool, pipe: Path) -> None:
    async with pool.work("large", jobs.said_and_waiting, b"", str(pipe)) as work:
        events = b""
        with anyio.fail_after(PATIENCE):
            while events != b"first\nsecond\n":
                events += await anext(work)
        pipe.write_text("go")
        assert await rest(pool, work) == b"go"


@pytest.mark.anyio
async def test_who_does_not_read_keeps_neither_the_others_waiting_nor_much_in_memory(pool: Pool) -> None:
    async with pool.work("training", jobs.telling, b"", 50_000) as work:
        assert (await done(pool, jobs.telling, b"", 2, lane="training"))[1:] == (b"end", b"0\n1\n")
        assert len(b"".join([events async for events in work]).split()) == 50_000
        pool._buffers.give(work.answer)
    async with pool.work("training", jobs.flooding, b"", 40, 1_000_000) as work:
        await eventually(lambda: len(work._events._held) > works.HELD_BYTES, "nothing comes")
        assert await done(pool, jobs.turned, b"ab") == (None, b"ba", b"")
        assert len(work._events._held) <= works.HELD_BYTES + 2_000_000
        assert not work._task.done()
        assert sum([len(events) async for events in work]) == 40_000_000
        pool._buffers.give(work.answer)


@pytest.mark.anyio
async def test_job_ends_in_time_whether_its_events_are_read_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(LARGE._replace(seconds=0.5)) as pool, pool.work("large", jobs.flooding, b"", 40, 1_000_000) as work:
        await eventually(work._task.done, "it goes on")
        with pytest.raises(TooLate):
            async for _ in work:
                pass
        assert (await done(pool, jobs.turned, b"ab"))[1] == b"ba"


# --- nothing is left ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_nothing_is_held_after_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "IDLE_SECONDS", 0.3)
    others = {*buffers_in("self")}  # whatever ran before in this process
    async with running(CROWD) as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(done(pool, jobs.hoarding, b"", 100, lane="crowd"))
                group.create_task(done(pool, jobs.turned, bytes(3_000_000), lane="crowd"))
        template = template_of(pool)
        assert len(children_of(template)) > 1
        await eventually(lambda: len(children_of(template)) == 1, "processes are kept")
        await eventually(lambda: not pool._buffers._free, "buffers are kept")
        await eventually(lambda: others.issuperset(buffers_in("self")), "memory is kept")
        (pid,) = children_of(template)
        await eventually(lambda: not buffers_in(str(pid)), "the process that stays keeps buffers")
        await eventually(lambda: resident(pid) < resident(template) + 30 * 1024**2, "it keeps memory")
        assert (await pid_of_lane(pool)) == pid


@pytest.mark.anyio
async def test_the_process_with_the_most_libraries_stays(pipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever worked last: who comes after a quiet while does not wait until SciPy is loaded anew."""
    monkeypatch.setattr(warm, "IDLE_SECONDS", 0.1)
    later = tmp_path / "later"
    os.mkfifo(later)
    async with running(CROWD) as pool:
        loaded, _, _ = await done(pool, jobs.loading, b"", "sqlite3", lane="crowd")
        async with halfway(pool, pipe, "crowd") as (work, first), halfway(pool, later, "crowd") as (longer, last):
            assert first == loaded != last
            pipe.write_bytes(b"go")
            assert await rest(pool, work) == b"go"
            later.write_bytes(b"go")
            assert await rest(pool, longer) == b"go"
        await eventually(lambda: not pool._idle, "none rests")
        assert await pid_of_lane(pool) == loaded


@pytest.mark.anyio
async def test_a_process_that_is_never_idle_forgets_what_is_given_back(pool: Pool) -> None:
    pid = await pid_of(pool)
    before = len(buffers_in(str(pid)))
    for _ in range(10):
        body = pool._buffers.take()
        await done(pool, jobs.turned, body)
        body.close()
    assert await pid_of(pool) == pid
    assert len(buffers_in(str(pid))) <= before + 1


async def pid_of_lane(pool: Pool) -> int:
    return (await done(pool, jobs.process_id, lane="crowd"))[0]


def buffers_in(pid: str) -> list[str]:
    """The buffers that a process has mapped."""
    return [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd:criterion" in line]


def resident(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.anyio
async def test_no_descriptor_is_lost(pool: Pool, pipe: Path) -> None:
    async def some(count: int) -> None:
        body = pool._buffers.take()
        body.write(bytes(100_000))
        for number in range(count):
            await done(pool, jobs.turned, body)
            if number % 10 == 0:
                for job, error in ((jobs.refused, InvalidArray), (jobs.buggy, RuntimeError), (jobs.suicidal, ProcessLost)):
                    with pytest.raises(error):
                        await done(pool, job)
                with anyio.move_on_after(0.001):
                    await done(pool, jobs.turned, body)
        pool._buffers.give(body)
        pid = await pid_of(pool)
        await eventually(lambda: pool._refill is None or pool._refill.done(), "no process is forked")
        gc.collect()
        counts.append((descriptors(), descriptors(template_of(pool)), descriptors(pid)))

    counts: list[tuple[int, int, int]] = []
    pool._buffers._free.close()  # what other tests have left warm would go in the middle of this one
    await some(20)
    await some(200)
    for fewer, more in zip(*counts, strict=True):
        assert abs(more - fewer) < 10


# --- the end ------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_closing_ends_who_works_and_who_waits(pipe: Path) -> None:
    async with running(LARGE) as pool, halfway(pool, pipe) as (work, pid), pool.work("large", jobs.turned, b"") as waiting:
        template = template_of(pool)
        pool.close()
        deadline = time.monotonic() + PATIENCE
        while not has_ended(pid):  # even if the event loop ends with it
            assert time.monotonic() < deadline, "the process goes on"
        for late in (work, waiting):
            with pytest.raises(Unavailable, match="about to end"):
                await anext(late)
        with pytest.raises(Unavailable, match="about to end"):
            await done(pool, jobs.turned)
        with pytest.raises(Unavailable, match="about to end"):
            await pool.start()
        assert pool.health == (False, "the server is about to end")
        await ended(pid)
        await ended(template)
        pool.close()


@pytest.mark.anyio
async def test_closing_while_a_process_starts_leaves_none() -> None:
    async with running(LARGE) as pool, asyncio.TaskGroup() as group:

        async def refused(call: Any) -> None:
            with pytest.raises(Unavailable):
                await call

        group.create_task(refused(done(pool, jobs.turned)))
        group.create_task(refused(pool.start()))
        await eventually(lambda: pool._template is not None, "nothing starts")
        template = template_of(pool)
        pool.close()
        await ended(template)


@pytest.mark.anyio
async def test_one_lane_can_be_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    pipes = [tmp_path / name for name in ("large", "training")]
    for path in pipes:
        os.mkfifo(path)
    async with (
        running(LARGE, TRAINING) as pool,
        halfway(pool, pipes[0]) as (large, _),
        halfway(pool, pipes[1], "training") as (training, pid),
    ):
        pool.stop("training")
        with pytest.raises(Unavailable, match="about to end"):
            await anext(training)
        await ended(pid)
        with pytest.raises(Unavailable, match="about to end"):
            await done(pool, jobs.turned, lane="training")
        pipes[0].write_text("go")
        assert await rest(pool, large) == b"go"


SERVER = """
import asyncio
from app.serving.buffers import Buffers
from app.serving.pool import Lane, Pool
from tests.serving import jobs

async def main():
    pool = Pool([Lane("large", 2, 2, 600.0, 2**30, 1)], Buffers(), ["tests.serving.jobs"])
    async with pool.work("large", jobs.busy, b"", 600.0) as work, pool.work("large", jobs.process_id, b"") as other:
        async for _ in other:
            pass
        while len(pool._busy) < 1:
            await asyncio.sleep(0.01)
        print(pool._template._pid, other.known, *(child.pid for child in pool._busy), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A server process; its template, an idle process and a busy one."""
    with subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield server, [int(pid) for pid in server.stdout.readline().split()]


@pytest.mark.anyio
async def test_nothing_is_left_of_a_server_that_is_killed() -> None:
    with serving() as (server, pids):
        assert len(pids) == 3
        assert not any(map(has_ended, pids))
        server.kill()
        for pid in pids:
            await ended(pid)


@pytest.mark.anyio
async def test_an_iterator_that_is_closed_early_is_quiet(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    async def events() -> AsyncGenerator[bytes]:
        async with pool.work("large", jobs.flooding, b"", 1000, 1000) as work:
            async for chunk in work:
                yield chunk

    async with aclosing(events()) as stream:
        await anext(stream)
    assert await done(pool, jobs.turned, b"ab") == (None, b"ba", b"")
    assert not caplog.records
