"""The server's end of the pool's processes: the template that they are forked from, and each of them."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.errors import CallerError
from app.serving import environment, template
from app.serving.buffers import Buffer
from app.serving.child import EVENTS, HEAD, QUESTION, Message, Order, Outcome
from app.serving.flow import Flow

START_SECONDS = 60.0
"""How long a template may take to import what it needs and to fork its first child."""
FORK_SECONDS = 5.0
"""How long it may take afterwards; one that has been stopped takes for ever."""
CHUNK_BYTES = 64 * 1024
"""How much is read from a process at a time."""


class Template:
    """A process that forks children. OSError where it is dead, stopped, or cannot."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._requests, theirs = socket.socketpair()
        self._requests.setblocking(False)
        self._has_forked = False
        # what this process has loaded would be loaded once more; where it has threads, a fork may come in the middle of one
        start = template.forked if environment.fits() and threading.active_count() == 1 else template.spawned
        with theirs:
            self._pid = start(theirs, modules)

    async def fork(self) -> "Child":
        """A new child, ready for its first order."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                socket.send_fds(self._requests, [b"f"], [theirs.fileno()])
            async with asyncio.timeout(FORK_SECONDS if self._has_forked else START_SECONDS):
                pid = int.from_bytes(await _received(ours, 4, bytearray()))
            self._has_forked = True
            return Child(ours, pid)
        except BaseException:
            ours.close()  # which ends it, should it come
            raise

    def close(self) -> None:
        self._requests.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger has stopped a process; never, where the system does not tell."""
    return _state_of(pid) in (b"T", b"t")


def _state_of(pid: int) -> bytes:
    """The state of a process as Linux names it; nothing, where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1]
    except OSError:
        return b""


class Child:
    """A process that does one job after the other."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self.pid = pid
        self.modules = 0
        """How many modules it had loaded after its last job."""
        self._control = control
        self._descriptor = _descriptor_of(pid)
        self._held = bytearray()
        self._mapped: dict[int, Buffer] = {}

    @property
    def alive(self) -> bool:
        """Whether it waits for an order: asked before it has one."""
        try:
            return bool(self._control.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return self._state not in (b"Z", b"X")  # killed, its threads may keep its end of the socket open for a moment
        except OSError:
            return False

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it; never, where the system does not tell."""
        return is_stopped(self.pid)

    @property
    def _state(self) -> bytes:
        return _state_of(self.pid)

    async def work(
        self,
        order: Order,
        buffers: Sequence[Buffer],
        say: Callable[[bytes], Awaitable[None]],
        asked: Callable[[Any], None],
        flow: Flow | None = None,
    ) -> Outcome:
        """How a job ended, its events having been said; OSError where the process dies over it.

        What it asks is answered by `asked`, which raises an error where it is not to go on.
        """
        loop = asyncio.get_running_loop()
        message = pickle.dumps(Message(order, *self._unknown(buffers)))
        descriptors = [buffer.descriptor for buffer in buffers if buffer.number not in self._mapped]
        self._mapped.update((buffer.number, buffer) for buffer in buffers)
        if flow:
            descriptors.append(flow.descriptor)
        socket.send_fds(self._control, [len(message).to_bytes(4)], descriptors)
        if flow:
            flow.given()
        await loop.sock_sendall(self._control, message)
        while True:
            kind, size = HEAD.unpack(await _received(self._control, HEAD.size, self._held))
            content = await _received(self._control, size, self._held)
            if kind == EVENTS:
                await say(content)
            elif kind == QUESTION:
                refusal = pickle.dumps(_refusal(asked, pickle.loads(content)))  # from our own process
                await loop.sock_sendall(self._control, len(refusal).to_bytes(4) + refusal)
            else:
                outcome: Outcome = pickle.loads(content)
                self.modules = outcome.modules or self.modules
                return outcome

    def _unknown(self, buffers: Sequence[Buffer]) -> tuple[list[int], list[int]]:
        """The buffers that it has not mapped yet, and those that it may forget."""
        forgotten = [number for number, buffer in self._mapped.items() if buffer.closed]
        for number in forgotten:
            del self._mapped[number]
        return [buffer.number for buffer in buffers if buffer.number not in self._mapped], forgotten

    def rest(self) -> None:
        """Have it give back what it keeps for its next job. OSError where it is dead."""
        message = pickle.dumps(Message(None, (), ()))
        self._control.send(len(message).to_bytes(4) + message)
        self._mapped.clear()

    def kill(self) -> None:
        """End the process, in the middle of whatever it does: it has nothing to tidy up."""
        with contextlib.suppress(ProcessLookupError):  # it is dead already
            if self._descriptor >= 0:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it, and be done with it: nobody may wait for its word."""
        self.kill()
        self._control.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _refusal(asked: Callable[[Any], None], question: object) -> CallerError | None:
    try:
        asked(question)
    except CallerError as error:
        return error
    return None


def _descriptor_of(pid: int) -> int:
    """A process's descriptor, which cannot be another one's by the time it is killed, as its number can; −1 without pidfd."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


async def _received(control: socket.socket, size: int, held: bytearray) -> bytes:
    """The next bytes from a process; what comes behind them is held."""
    loop = asyncio.get_running_loop()
    while len(held) < size:
        chunk = await loop.sock_recv(control, CHUNK_BYTES)
        if not chunk:
            raise ConnectionResetError("the process has ended")
        held += chunk
    content = bytes(held[:size])
    del held[:size]
    return content
