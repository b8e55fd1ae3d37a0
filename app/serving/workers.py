"""Several server processes: started, watched, replaced when one dies or no longer answers, and ended together."""

import logging
import signal
import socket
import time
from collections.abc import Callable

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app.serving.log import tell

log = logging.getLogger("criterion")

START_SECONDS = 120.0
"""How long a process may take until it first answers: on a busy machine it starts slowly, and one more would not help."""
ANSWER_SECONDS = 5.0
"""How long one may give no answer afterwards."""
LOOK_SECONDS = 0.05
"""How long an answer is waited for."""


class Workers(Multiprocess):
    """The processes of a server, in this one. `ready` is called once, when all of them serve."""

    def __init__(self, config: Config, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._ready = ready
        self._heard: dict[Process, float] = {}
        """When each has answered last."""
        self._serving: set[Process] = set()
        self._all_served = False
        self.failed = False
        """Whether a process ended before it served: it would again."""

    def terminate_all(self) -> None:
        tell(log, logging.INFO, "stopping")
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if not self._lives(process):
                self._replace(place, process)
        if not self._all_served and self._serving.issuperset(self.processes):
            self._all_served = True
            self._ready()

    def _lives(self, process: Process) -> bool:
        if not process.process.is_alive():
            return False
        now = time.monotonic()
        if self._answers(process):
            self._heard[process] = now
        patience = ANSWER_SECONDS if process in self._serving else START_SECONDS
        return now - self._heard.setdefault(process, now) < patience

    def _answers(self, process: Process) -> bool:
        """Whether it answers now; what it has answered late does not count again."""
        connection, answered = process.parent_conn, False
        try:
            connection.send(b"ping")
            wait = LOOK_SECONDS
            while connection.poll(wait):
                answered, wait = True, 0.0
                if connection.recv():
                    self._serving.add(process)
        except (OSError, EOFError):
            return False
        return answered

    def _replace(self, place: int, process: Process) -> None:
        process.kill()
        process.join()
        self._heard.pop(process, None)
        self._serving.discard(process)
        if process.exitcode == STARTUP_FAILURE:
            self.failed = True
            self.should_exit.set()
            return
        code = process.exitcode or 0
        tell(log, logging.WARNING, "worker_died", worker=process.pid, signal=signal.Signals(-code).name if code < 0 else None)
        self.processes[place] = successor = Process(self.config, self.sockets)
        successor.start()
