"""The process that the pool's processes are forked from: it has imported what they need, and does nothing else.

    python -m app.serving.template DESCRIPTOR MODULE ...

A fork takes some milliseconds and shares the memory of the modules, where a fresh interpreter takes half a second. It has
a single thread, as a process that forks must, and ends with its server. It is a fork of its server, where that may fork.
"""

import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence

from app.serving import child
from app.serving.environment import ENVIRONMENT, MMAP_THRESHOLD, TRIM_THRESHOLD, set_malloc

KEEP_ALL = {TRIM_THRESHOLD: 1 << 30, MMAP_THRESHOLD: 1 << 30}
"""By its own thresholds malloc would give arrays back to the system and take them anew at every step; these are above the
largest array."""
BEHIND = 5
"""Steps of priority by which those that work come behind their server, so that what it answers itself waits for none of them."""
DESCRIPTORS = 1 << 16
"""A server has opened no more of them before its first request."""


def spawned(requests: socket.socket, modules: Sequence[str]) -> int:
    """The number of a new process that forks a child for each socket it is sent."""
    requests.set_inheritable(True)
    command = [sys.executable, "-m", "app.serving.template", str(requests.fileno()), *modules]
    found = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    return os.posix_spawn(sys.executable, command, found, file_actions=[nothing])


def forked(requests: socket.socket, modules: Sequence[str]) -> int:
    """The same as a fork of this process, which must have a single thread: it shares what this one has loaded."""
    gc.collect()
    gc.freeze()  # a collection would write to, and so copy, every object that is shared
    pid = os.fork()
    if pid == 0:
        try:
            _become(requests, modules)
        finally:
            os._exit(1)  # what the server has to do at its end is not the template's to do
    return pid


def _become(requests: socket.socket, modules: Sequence[str]) -> None:
    """Nothing of the server is left but its memory: not its signals, nor its sockets, which would outlive it here."""
    signal.set_wakeup_fd(-1)
    kept = requests.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, DESCRIPTORS)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    main(requests, modules)


def main(requests: socket.socket, modules: Sequence[str]) -> None:
    """Fork a child for each socket that the server sends, until it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server's to act on, and it ends us
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    set_malloc(KEEP_ALL)
    os.nice(BEHIND)
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # as in the server
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        if not request:
            return
        with socket.socket(fileno=descriptors[0]) as control:
            if os.fork() == 0:
                requests.close()
                child.main(control)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
