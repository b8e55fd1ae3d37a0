"""What else is done when the server is told to end."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def before_the_end(action: Callable[[], object]) -> Generator[None]:
    """Within, the signals that end the server do this first: it waits for open streams, and they for their runs."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handlers.clear()

    def end(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(action)
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
