"""Beside an attack, in a process of its own: tiny requests one after another, and the memory of the server's tree.

`python -m tests.abuse.watch HOST PORT EVERY` says "ready", goes on to the end of its standard input, and prints what it saw.
To read how much memory a process has stops it for as long: that is done once in EVERY seconds.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from http.client import HTTPException, HTTPResponse

from tests.abuse.processes import pss

REQUEST = b'{"loss":"mse","predictions":[1,2],"targets":[1,3]}'
MESSAGE = b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    REQUEST
)
MESSAGE += REQUEST
INTERVAL = 0.01
PATIENCE = 15.0
"""Seconds that a tiny request may take before it counts as failed."""
REQUESTS_A_CONNECTION = 50
"""Then a new one is opened, as new clients do."""


@dataclass
class Sightings:
    """Milliseconds of each tiny request, statuses, failures in words; bytes of the tree before, and each time since."""

    milliseconds: list[float] = field(default_factory=list[float])
    statuses: dict[str, int] = field(default_factory=dict[str, int])
    failures: list[str] = field(default_factory=list[str])
    memory: list[int] = field(default_factory=list[int])

    @property
    def before(self) -> int:
        return self.memory[0]

    @property
    def peak(self) -> int:
        return max(self.memory)


class Watch:
    """The watching process, seen from the test."""

    def __init__(self, host: str, port: int, every: float = 0.1) -> None:
        command = [sys.executable, "-m", "tests.abuse.watch", host, str(port), str(every)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        self._process.stdout.readline()

    def end(self) -> Sightings:
        report, _ = self._process.communicate(timeout=PATIENCE + 15)
        return Sightings(**json.loads(report))


def main(host: str, port: int, every: float) -> None:
    seen, over = Sightings(memory=[pss(port)]), threading.Event()
    threading.Thread(target=_sample, args=(port, every, seen, over), daemon=True).start()
    prober = threading.Thread(target=_probe, args=(host, port, seen, over))
    prober.start()
    print("ready", flush=True)
    sys.stdin.read()
    over.set()
    prober.join()
    print(json.dumps(asdict(seen)), flush=True)


def _sample(port: int, every: float, seen: Sightings, over: threading.Event) -> None:
    while not over.wait(every):
        seen.memory.append(pss(port))


def _probe(host: str, port: int, seen: Sightings, over: threading.Event) -> None:
    """Each request has its time, and one that waits for those before it has waited: a server that stands still for a second
    is felt by all who come within it, not by one."""
    statuses, due = Counter[str](), time.perf_counter()
    while not over.is_set():
        try:
            with socket.create_connection((host, port), timeout=PATIENCE) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(REQUESTS_A_CONNECTION):
                    if over.wait(max(0.0, due - time.perf_counter())):
                        break
                    statuses[str(_ask(connection))] += 1
                    seen.milliseconds.append((time.perf_counter() - due) * 1e3)
                    due += INTERVAL
        except (OSError, HTTPException) as error:
            seen.failures.append(repr(error))
            due = time.perf_counter() + 0.1
    seen.statuses = dict(statuses)


def _ask(connection: socket.socket) -> int:
    connection.sendall(MESSAGE)
    response = HTTPResponse(connection, method="POST")
    response.begin()
    body = response.read()
    if response.status == 200 and json.loads(body)["value"] != 0.5:
        raise OSError(f"a wrong answer: {body[:200]!r}")
    return response.status


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
