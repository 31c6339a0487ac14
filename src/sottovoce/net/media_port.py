"""A pair of UDP sockets for the RTP and RTCP of one media session."""

import asyncio
import errno
import random
import socket

from ..media.session import MediaSession
from ..media.stream import Address
from ..rtp.packet import is_rtcp

MAX_READS_A_WAKE_UP = 64  # then the other sockets get their turn
DATAGRAM_BYTES = 2048  # longer ones are cut, and so refused; an Ethernet frame carries 1500
RECEIVE_BUFFER_BYTES = 256 * 1024  # rides out a stalled process for seconds
PAIR_ATTEMPTS = 200  # of ports the system chooses, until an even one has a free neighbour


class MediaPort:
    """RTP on an even port and RTCP on the next (RFC 3550 section 11), for one session.

    Opening binds the sockets, so that an offer can name them; until :meth:`attach` the
    kernel keeps what arrives.

    Args:
        loop: The loop that watches the sockets.
        host: IP address to bind.
        port_range: First and last port to choose from; None leaves it to the system.

    Raises:
        OSError: The address cannot be bound, or no pair of ports is free.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        *,
        port_range: tuple[int, int] | None = None,
    ) -> None:
        self._loop = loop
        self._session: MediaSession | None = None
        self._watching = False
        self._closed = False
        self._buffer = bytearray(DATAGRAM_BYTES)
        self._view = memoryview(self._buffer)
        self._rtp, self._rtcp = _bind_pair(host, port_range)
        self.send_errors = 0  # datagrams the system did not take

    @property
    def rtp_address(self) -> Address:
        """Host and port that are bound for RTP."""
        name = self._rtp.getsockname()
        return (name[0], name[1])

    @property
    def rtcp_address(self) -> Address:
        """Host and port that are bound for RTCP."""
        name = self._rtcp.getsockname()
        return (name[0], name[1])

    @property
    def session(self) -> MediaSession | None:
        """What the datagrams go to."""
        return self._session

    def attach(self, session: MediaSession) -> None:
        """Feed this session from now on, in place of any before it."""
        if self._closed:
            raise RuntimeError("the media port is closed")
        self._session = session
        if not self._watching:
            self._loop.add_reader(self._rtp.fileno(), self._read_rtp)
            self._loop.add_reader(self._rtcp.fileno(), self._read_rtcp)
            self._watching = True

    def handle_timer(self, now: float) -> None:
        """Pass the tick on and send what comes of it (:class:`~.media_clock.MediaClock`)."""
        if self._session is not None:
            self._session.handle_timer(now)
            self.flush()

    def flush(self) -> None:
        """Send what the session has to send; what the system does not take is lost."""
        if self._session is None or self._closed:
            return
        for destination, data in self._session.take_sends():
            sender = self._rtcp if is_rtcp(data) else self._rtp
            try:
                sender.sendto(data, destination)
            except OSError:  # buffer full, no route, refused: as if the network dropped it
                self.send_errors += 1

    def close(self) -> None:
        """Send what is left (a BYE) and close the sockets."""
        if self._closed:
            return
        self.flush()
        self._closed = True
        if self._watching:
            self._loop.remove_reader(self._rtp.fileno())
            self._loop.remove_reader(self._rtcp.fileno())
        self._rtp.close()
        self._rtcp.close()

    def _read_rtp(self) -> None:
        session = self._session
        if session is None:
            return
        receive, view, buffer, now = session.receive_rtp, self._view, self._buffer, self._now()
        receive_from = self._rtp.recvfrom_into
        for _ in range(MAX_READS_A_WAKE_UP):
            try:
                size, source = receive_from(buffer)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error of an earlier send; it names no packet
                continue
            receive(bytes(view[:size]), source[:2], now)

    def _read_rtcp(self) -> None:
        session = self._session
        if session is None:
            return
        now = self._now()
        for _ in range(MAX_READS_A_WAKE_UP):
            try:
                size, source = self._rtcp.recvfrom_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue
            session.receive_rtcp(bytes(self._view[:size]), source[:2], now)
        self.flush()

    def _now(self) -> float:
        return self._loop.time()


def _bind_pair(
    host: str, port_range: tuple[int, int] | None
) -> tuple[socket.socket, socket.socket]:
    """Bind an even port and its neighbour."""
    for port in _even_ports(port_range):
        try:
            rtp = _bind(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        bound = rtp.getsockname()[1]
        try:
            if bound % 2 == 0:
                return rtp, _bind(host, bound + 1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                rtp.close()
                raise
        rtp.close()
    where = f"{port_range[0]}-{port_range[1]}" if port_range else "those the system gave"
    raise OSError(errno.EADDRINUSE, f"no free pair of UDP ports at {host} among {where}")


def _even_ports(port_range: tuple[int, int] | None) -> list[int]:
    """Ports to try in turn; 0 is the system's choice."""
    if port_range is None:
        return [0] * PAIR_ATTEMPTS
    first, last = port_range
    # Begin anywhere: a port freed a moment ago may still receive its last call's media.
    ports = list(range(first + first % 2, last, 2))
    random.shuffle(ports)
    return ports


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
