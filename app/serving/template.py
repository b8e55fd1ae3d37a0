"""The process that the pool's processes are forked from: it has imported what they need, and does nothing else.

    python -m app.serving.template DESCRIPTOR MODULE ...

A fork takes some milliseconds and shares the memory of the modules, where a fresh interpreter takes half a second. It has
a single thread, as a process that forks must, and ends with its server.
"""

import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence

from app.serving import child


def main(requests: socket.socket, modules: Sequence[str]) -> None:
    """Fork a child for each socket that the server sends, until it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server's to act on, and it ends us
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every object that it shares
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
