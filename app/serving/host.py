"""Sees that the jobs of a file are done: where there are some and nobody does them, a process is started for it.

The process lives as long as this one, so that a server leaves nothing behind. Where a service has several processes, or several
services share a file, one of them has it; if that one ends, another sees it within a second.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from app.jobs.database import Unreachable, file_of, open_database
from app.jobs.engine import lock_of
from app.jobs.store import Store
from app.serving.environment import ENVIRONMENT
from app.serving.log import tell
from app.serving.processes import is_stopped
from app.settings import Settings

log = logging.getLogger("criterion")

LOOK_SECONDS = 1.0
LOOKS = 5
"""A process that is found stopped so often in a row is lost."""


def store_of(settings: Settings, *, lasting: bool = True) -> Store | None:
    """The jobs of these settings; None where there are none, or the engine is not installed, as in the image for evaluation."""
    if settings.engine is None or find_spec("dbos") is None:
        return None
    return Store(
        open_database(settings.engine, lasting=lasting),
        limit=settings.job_queue,
        retention=settings.job_retention_seconds,
        exports=bool(settings.mlflow_url),
    )


class Host:
    """The part of one server process in having the jobs done. On PostgreSQL others do it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self.store = settings, store
        self._file = file_of(settings.engine or "")
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = 0
        """How often in a row the process has been found stopped."""
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is a new job."""
        self._woken.set()

    async def watch(self) -> None:
        """Start the process whenever it is missing; it never returns."""
        file = self._file
        if file is None:
            return
        while True:
            with contextlib.suppress(Unreachable):  # whoever asks for a job is told so
                if file.exists() and _is_free(lock_of(file)) and await asyncio.to_thread(self.store.unfinished):
                    self._start()
            self._kill_stopped()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)
            self._woken.clear()

    def close(self) -> None:
        """End the process; what it does is gone on with when there is one again."""
        if self._process is not None:
            self._process.kill()
            self._end(self._process)
        self.store.database.close()

    def _start(self) -> None:
        """Start the process, unless one that was started has not come so far yet."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._end(self._process)
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app", "worker", "--attended"],
            env={**os.environ, **ENVIRONMENT, **self._settings.variables, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
        )
        tell(log, logging.INFO, "worker_started", worker=self._process.pid)

    def _kill_stopped(self) -> None:
        """Kill the process where it has been stopped for long: it would keep the lock, and what it does goes on in another."""
        process = self._process
        self._stopped = self._stopped + 1 if process is not None and is_stopped(process.pid) else 0
        if process is not None and self._stopped >= LOOKS:
            process.kill()
            tell(log, logging.WARNING, "worker_died", worker=process.pid, signal=signal.Signals(signal.SIGKILL).name)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _is_free(path: Path) -> bool:
    """Whether nobody has this lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
