"""Bytes on their way to a process that reads them as they come: no more of them are held than lie in the system's buffer."""

import asyncio
import io
import socket

HELD_BYTES = 1024 * 1024
"""What lies between a client and a process at most, about: as much as the socket holds, and a piece on either side of it."""

PIECE_BYTES = 64 * 1024


class Flow:
    """The server's end, whose other end goes to a process by its descriptor."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    @property
    def descriptor(self) -> int:
        """Of the other end."""
        return self._theirs.fileno()

    def given(self) -> None:
        """A process has the other end: nobody else has it, so that its end is noticed."""
        self._theirs.close()

    async def write(self, chunk: bytes) -> None:
        """Hand this on, once there is room for it; BrokenPipeError where nobody reads any more."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._ours, chunk)
        except ConnectionResetError as error:  # what was handed on before has not been read either
            raise BrokenPipeError from error

    def end(self) -> None:
        """There is nothing more to come."""
        self._ours.close()

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def reading(descriptor: int) -> io.BufferedReader:
    """The other end, as a file."""
    return io.BufferedReader(io.FileIO(descriptor), PIECE_BYTES)
