"""One TCP or TLS connection, on a non-blocking socket that the loop watches.

Faster than asyncio's streams and transports (docs/benchmarks.md), and the queue of what
a slow peer has not taken yet is bounded.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from ..errors import CertificateRefused, Unreachable
from ..sip.transport import Flow, Transport
from .tls import TlsSecurity, check_peer, refusal_of, security_of

#: A peer that lets this much pile up does not read: its connection is closed.
MAX_WRITE_QUEUE_BYTES = 1 << 20
READ_BYTES = 1 << 16
#: Reads of one connection before the others get their turn.
MAX_READS_A_WAKE_UP = 16


class State(Enum):
    CONNECTING = auto()
    HANDSHAKING = auto()
    OPEN = auto()
    CLOSED = auto()


class StreamConnection:
    """A stream connection from its first SYN to its end.

    The three callbacks are the loop's upcalls into the driver that owns the connection.

    Args:
        loop: The loop that watches the socket.
        sock: Non-blocking; accepted, or on its way to be connected.
        number: The connection's number in its flow.
        context: For TLS; None for plain TCP.
        domain: Whom the peer's certificate must prove, if we open the connection; None if
            we accepted it.
        on_open: Called once, when bytes may be sent.
        on_data: Called with what arrived.
        on_closed: Called once, with the reason, unless we closed it ourselves.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        number: int,
        *,
        context: ssl.SSLContext | None,
        domain: str | None,
        on_open: Callable[["StreamConnection"], None],
        on_data: Callable[["StreamConnection", bytes], None],
        on_closed: Callable[["StreamConnection", Exception], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._context = context
        self._domain = domain
        self._on_open = on_open
        self._on_data = on_data
        self._on_closed = on_closed
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._buffer = bytearray()
        self._security: TlsSecurity | None = None
        self.number = number
        self.flow: Flow | None = None
        self.opened_at = loop.time()
        self.state = State.CONNECTING
        if domain is not None:
            loop.add_writer(self._fd, self._finish_connect)
        else:
            self._begin_handshake()

    @property
    def security(self) -> TlsSecurity | None:
        """What protects the connection; None without TLS."""
        if self._security is None and isinstance(self._socket, ssl.SSLSocket):
            self._security = security_of(self._socket)
        return self._security

    # Opening

    def _finish_connect(self) -> None:
        self._loop.remove_writer(self._fd)
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(OSError(code, os.strerror(code)))
            return
        self._begin_handshake()

    def _begin_handshake(self) -> None:
        if self._context is None:
            self._open(Transport.TCP)
            return
        self.state = State.HANDSHAKING
        try:
            self._socket.getpeername()
        except OSError as error:  # reset already: the ssl module would leak the descriptor
            self._loop.call_soon(self._fail, error)
            return
        try:
            self._socket = self._context.wrap_socket(
                self._socket,
                server_side=self._domain is None,
                server_hostname=self._domain,  # SNI; none is sent for an IP address
                do_handshake_on_connect=False,
            )
        except (OSError, ValueError) as error:
            # The descriptor is closed already; its number may be another connection's by then.
            self._fd = -1
            self._loop.call_soon(self._fail, OSError(f"no TLS on this connection: {error}"))
            return
        self._loop.add_reader(self._fd, self._shake_hands)
        self._shake_hands()

    def _shake_hands(self) -> None:
        """Go on with the handshake; the loop calls again when the peer has spoken."""
        tls = self._socket
        assert isinstance(tls, ssl.SSLSocket)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.remove_writer(self._fd)
            return
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._fd, self._shake_hands)
            return
        except ssl.SSLError as error:
            text = refusal_of(error, self._domain)
            refused = isinstance(error, ssl.SSLCertVerificationError)
            self._fail(CertificateRefused(text) if refused else Unreachable(503, text))
            return
        except OSError as error:
            self._fail(error)
            return
        if self._domain is not None:
            try:
                check_peer(tls, self._domain)
            except CertificateRefused as error:
                self._fail(error)
                return
        self._loop.remove_writer(self._fd)
        self._open(Transport.TLS)

    def _open(self, transport: Transport) -> None:
        try:
            local, remote = self._socket.getsockname()[:2], self._socket.getpeername()[:2]
        except OSError as error:  # the peer has hung up already
            self._fail(error)
            return
        self.flow = Flow(transport, (local[0], local[1]), (remote[0], remote[1]), self.number)
        self.state = State.OPEN
        self._loop.add_reader(self._fd, self._read)
        self._on_open(self)
        if transport is Transport.TLS and self.state is State.OPEN:
            self._read()  # what came with the end of the handshake wakes nobody up

    # Reading

    def _read(self) -> None:
        receive = self._socket.recv
        for _ in range(MAX_READS_A_WAKE_UP):
            try:
                data = receive(READ_BYTES)
            except (ssl.SSLWantReadError, BlockingIOError, InterruptedError):
                return
            except ssl.SSLWantWriteError:  # a key update: written with the next send
                return
            except (ssl.SSLError, OSError) as error:
                self._fail(error)
                return
            if not data:
                self._fail(ConnectionResetError(errno.ECONNRESET, "the peer closed the connection"))
                return
            self._on_data(self, data)
            if self.state is not State.OPEN:
                return
            # OpenSSL gives one record a call; the kernel wakes us for those that it holds.
            if self._context is None or not self._socket.pending():  # type: ignore[attr-defined]
                return
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self.state is State.OPEN:
            self._read()

    # Writing

    def write(self, data: bytes) -> None:
        """Send, or queue what the peer does not take now; closes when too much piles up."""
        if self.state is not State.OPEN:
            return
        if not self._queue:
            try:
                sent = self._socket.send(data)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                sent = 0
            except (ssl.SSLError, OSError) as error:
                self._loop.call_soon(self._fail, error)
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self._fd, self._flush)
        self._queued_bytes += len(data)
        self._queue.append(memoryview(data))
        if self._queued_bytes > MAX_WRITE_QUEUE_BYTES:
            full = OSError(errno.ENOBUFS, f"the peer left {self._queued_bytes} bytes unread")
            self._loop.call_soon(self._fail, full)

    def _flush(self) -> None:
        while self._queue:
            data = self._queue[0]
            try:
                sent = self._socket.send(data)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            except (ssl.SSLError, OSError) as error:
                self._fail(error)
                return
            self._queued_bytes -= sent
            if sent < len(data):
                self._queue[0] = data[sent:]
            else:
                self._queue.popleft()
        self._loop.remove_writer(self._fd)

    # Ending

    def _fail(self, error: Exception) -> None:
        if self.state is not State.CLOSED:
            self.close()
            self._on_closed(self, error)

    def close(self) -> None:
        """Close at once; what was queued is lost."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._queue.clear()
        self._queued_bytes = 0
        # Not unwrap(): that waits for the peer, and a close of the socket tells it as well.
        self._socket.close()

    def abandon(self, error: Exception) -> None:
        """Close, and tell the owner why: it took too long, or its time is over."""
        self._fail(error)
