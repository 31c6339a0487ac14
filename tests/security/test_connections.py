"""What a stranger does to his connection leaves every other one alone."""

import asyncio
import os
import socket
import ssl
import struct
from typing import Any

import pytest

from sottovoce.net.stream import State, StreamConnection


class Gone(ssl.SSLContext):
    """Finds the connection reset and its descriptor closed, as the ssl module may."""

    def wrap_socket(self, sock: socket.socket, *_: Any, **__: Any) -> ssl.SSLSocket:
        sock.close()
        raise OSError("connection reset by peer")


def nothing(*_: Any) -> None:
    """An upcall that nobody waits for."""


@pytest.mark.parametrize("context", [ssl.SSLContext, Gone])
async def test_a_reset_before_the_handshake_leaves_the_next_connection_its_reader(
    context: type[ssl.SSLContext],
) -> None:
    """The next one may get the same descriptor number before the first is tidied up."""
    loop = asyncio.get_running_loop()
    lost: list[Exception] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stranger = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    number = accepted.fileno()
    if context is not Gone:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stranger.close()  # with a reset, as SO_LINGER says
    connection = StreamConnection(
        loop,
        accepted,
        1,
        context=context(ssl.PROTOCOL_TLS_SERVER),
        domain=None,
        on_open=nothing,
        on_data=nothing,
        on_closed=lambda _, error: lost.append(error),
    )
    if accepted.fileno() < 0:  # closed: the number goes to whoever is accepted next
        with socket.socket() as other:
            os.dup2(other.fileno(), number)
        loop.add_reader(number, nothing)
    await asyncio.sleep(0)

    assert connection.state is State.CLOSED
    assert len(lost) == 1
    assert accepted.fileno() == -1
    if context is Gone:
        assert loop.remove_reader(number)
        os.close(number)
