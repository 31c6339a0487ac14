"""What a stranger does to his connection leaves every other one alone."""

import asyncio
import os
import socket
import ssl
import struct
from typing import Any

from sottovoce.net.stream import State, StreamConnection


def nothing(*_: Any) -> None:
    """An upcall that nobody waits for."""


async def test_a_reset_before_the_handshake_leaves_the_next_connection_its_reader() -> None:
    """The next one gets the same descriptor number before the first is tidied up."""
    loop = asyncio.get_running_loop()
    lost: list[Exception] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stranger = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        number = accepted.fileno()
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stranger.close()  # with a reset, as SO_LINGER says
        connection = StreamConnection(
            loop,
            accepted,
            1,
            context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            domain=None,
            on_open=nothing,
            on_data=nothing,
            on_closed=lambda _, error: lost.append(error),
        )
        with socket.socket() as other:
            os.dup2(other.fileno(), number)
        loop.add_reader(number, nothing)
        await asyncio.sleep(0)

        assert connection.state is State.CLOSED
        assert len(lost) == 1
        assert loop.remove_reader(number)
        os.close(number)
