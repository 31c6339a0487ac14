"""Runs the pure machines on an asyncio loop: sockets in, sockets out, one timer."""

import asyncio
import errno
import itertools
import logging
import os
import socket
import ssl
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ..deadlines import earliest
from ..errors import Error, LocalError, SettingsError, Unreachable
from ..sip.element import CloseFlow, Element, ElementEvent
from ..sip.transactions import Send
from ..sip.transport import Flow, Target, Transport, host_port
from .addresses import SocketAddress, local_address_towards, resolve
from .peer_watch import ConnectionLimits, Everybody, Gate, PeerWatch
from .stream import State, StreamConnection
from .tls import TlsSecurity
from .udp import UdpPort

log = logging.getLogger("sottovoce.net")

#: Messages that wait for one connection to open.
MAX_WAITING_SENDS = 100
ACCEPT_BACKLOG = 1024
MAX_ACCEPTS_A_WAKE_UP = 32
_LISTENER_PAUSE_S = 1.0


class Core(Protocol):
    """The transaction user above the element, with the five calls' faces."""

    def receive_event(self, event: ElementEvent, now: float) -> None:
        """Take one event of the element."""

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""

    def next_deadline(self) -> float | None:
        """When to call handle_timer."""

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """A stream connection is gone."""


@dataclass(slots=True)
class _Opening:
    """A connection on its way, and what waits for it."""

    connection: StreamConnection | None = None
    sends: list[Send] = field(default_factory=list)
    waiters: list[asyncio.Future[Flow]] = field(default_factory=list)
    addresses: list[SocketAddress] = field(default_factory=list)
    "Still to be tried, if the one that is being tried fails."


class Driver:
    """One element, its core above and its sockets below, on one loop.

    Args:
        element: The element to run.
        core: What takes the element's events.
        client_tls: Context for connections that we open.
        limits: On connections of peers.
        gate: Whom to listen to.

    """

    def __init__(
        self,
        element: Element,
        core: Core,
        *,
        client_tls: ssl.SSLContext,
        limits: ConnectionLimits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.element = element
        self._limits = limits or ConnectionLimits()
        self._gate = gate or Everybody()
        self._watch = PeerWatch(self._limits, self._gate, element.progress_of)
        self._sweep: asyncio.TimerHandle | None = None
        self._core = core
        self._client_tls = client_tls
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._connections: dict[int, StreamConnection] = {}
        self._target_of: dict[int, Target] = {}
        self._by_target: dict[Target, int] = {}
        self._opening: dict[Target, _Opening] = {}
        self._handshaking: dict[StreamConnection, asyncio.TimerHandle] = {}
        self._listeners: list[socket.socket] = []
        self._udp: list[UdpPort] = []
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    # Listening

    def listen(
        self, transport: Transport, host: str, port: int, server_tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Open a port for requests; port 0 lets the system choose.

        Returns:
            The address bound.

        Raises:
            SettingsError: The port is in use, not allowed, or the address is not ours.

        """
        try:
            if transport is Transport.UDP:
                udp = UdpPort(self._loop, (host, port), self._receive_datagram)
                self._udp.append(udp)
                return udp.local
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=ACCEPT_BACKLOG)
        except OSError as error:
            number = error.errno or 0  # below 0: of the resolver, not of the system
            text = (error.strerror or str(error)).partition(" (while ")[0]
            reason = text if number < 0 else os.strerror(number)
            raise SettingsError(
                f"cannot listen on {transport.value.lower()}:{host_port(host, port)}: "
                f"{reason.lower()}; choose another --listen address"
            ) from error
        listener.setblocking(False)
        self._listeners.append(listener)
        if self._sweep is None:
            self._sweep_later()
        if (transport is Transport.TLS) != (server_tls is not None):
            raise LocalError("TLS ports, and no others, take a TLS context")
        self._loop.add_reader(listener.fileno(), self._accept, listener, server_tls)
        bound = listener.getsockname()
        return bound[0], bound[1]

    def stop_listening(self) -> None:
        """Take no more connections; those that stand go on."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        for _ in range(MAX_ACCEPTS_A_WAKE_UP):
            try:
                sock, remote = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of file descriptors: let some go first
                log.warning("cannot accept a connection: %s", error)
                self._loop.remove_reader(listener.fileno())
                self._loop.call_later(_LISTENER_PAUSE_S, self._resume, listener, context)
                return
            if (
                len(self._connections) >= self._limits.max_connections
                or len(self._handshaking) >= self._limits.max_handshakes
            ):
                log.warning("connection of %s refused: the limit is reached", remote[0])
                sock.close()
                continue
            if not self._watch.may_connect(remote[0]):
                sock.close()
                continue
            sock.setblocking(False)
            self._adopt(sock, context, None, remote[0])

    def _resume(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener, context)

    def _adopt(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        target: Target | None,
        peer: str = "",
    ) -> StreamConnection:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        number = next(self._numbers)
        if target is not None:
            self._target_of[number] = target
        else:
            self._watch.begin(number, peer, self._loop.time())
        connection = StreamConnection(
            self._loop,
            sock,
            number,
            context=context,
            domain=target.domain if target else None,
            on_open=self._opened,
            on_data=self._receive_stream,
            on_closed=self._lost,
        )
        if connection.state in (State.CONNECTING, State.HANDSHAKING):
            self._handshaking[connection] = self._loop.call_later(
                self._limits.open_timeout_s,
                connection.abandon,
                TimeoutError(f"no connection within {self._limits.open_timeout_s:.0f} s"),
            )
        return connection

    # Connecting

    async def connect(self, target: Target) -> Flow:
        """Open a connection, or find the one that stands.

        Raises:
            Unreachable: No connection came about.
            CertificateRefused: The server there cannot prove ``target.domain``.

        """
        number = self._by_target.get(target)
        if number is not None and (flow := self._connections[number].flow) is not None:
            return flow
        if target.transport is Transport.UDP:
            return await self._udp_flow(target)
        waiter: asyncio.Future[Flow] = self._loop.create_future()
        self._opening_to(target).waiters.append(waiter)
        return await waiter

    def security_of(self, flow: Flow) -> TlsSecurity | None:
        """What protects a flow; None for one without TLS, or gone."""
        connection = self._connections.get(flow.connection)
        return connection.security if connection else None

    def _opening_to(self, target: Target) -> _Opening:
        opening = self._opening.get(target)
        if opening is None:
            opening = self._opening[target] = _Opening()
            self._start(self._open(target, opening))
        return opening

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, target: Target, opening: _Opening) -> None:
        try:
            opening.addresses = await resolve(target)
        except OSError as error:
            self._opening_failed(target, error)
        else:
            self._open_next(target, opening)

    def _open_next(self, target: Target, opening: _Opening) -> None:
        family, address = opening.addresses.pop(0)
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            if (code := sock.connect_ex(address)) not in (0, errno.EINPROGRESS):
                sock.close()
                raise OSError(code, "no route to it")
        except OSError as error:
            self._opening_failed(target, error)
            return
        context = self._client_tls if target.transport is Transport.TLS else None
        opening.connection = self._adopt(sock, context, target)

    async def _udp_flow(self, target: Target) -> Flow:
        try:
            family, address = (await resolve(target))[0]
            remote = address[0], address[1]
            local = local_address_towards(family, remote)
            port = next((udp for udp in self._udp if udp.family == family), None)
            if port is None:
                port = UdpPort(self._loop, (local, 0), self._receive_datagram)
                self._udp.append(port)
        except OSError as error:
            raise _unreachable(target, error) from error
        return Flow(Transport.UDP, port.local_towards(local), remote)

    def _opened(self, connection: StreamConnection) -> None:
        timeout = self._handshaking.pop(connection, None)
        if timeout:
            timeout.cancel()
        flow = connection.flow
        assert flow is not None
        self._connections[flow.connection] = connection
        target = self._target_of.get(flow.connection)
        now = self._loop.time()
        self._watch.opened(connection.number, now)
        self.element.connection_opened(target, flow, now)
        if target is None:
            if not self._gate.admits(flow.remote[0]):  # banned while shaking hands
                self.close_flow(flow, "its source is banned")
            return
        self._by_target[target] = flow.connection
        opening = self._opening.pop(target, _Opening())
        for waiter in opening.waiters:
            if not waiter.done():
                waiter.set_result(flow)
        for send in opening.sends:
            connection.write(send.data)

    def _opening_failed(self, target: Target, error: Exception) -> None:
        opening = self._opening.get(target)
        if opening is None:
            return
        if isinstance(error, OSError) and opening.addresses:
            self._open_next(target, opening)
            return
        del self._opening[target]
        failure: Error = error if isinstance(error, Error) else _unreachable(target, error)
        for waiter in opening.waiters:
            if not waiter.done():
                waiter.set_exception(failure)
        now = self._loop.time()
        for send in opening.sends:
            self.element.send_failed(send, str(failure), now)
        self.pump()

    def _lost(self, connection: StreamConnection, error: Exception) -> None:
        timeout = self._handshaking.pop(connection, None)
        if timeout:
            timeout.cancel()
        self._watch.end(connection.number)
        flow = connection.flow
        target = self._target_of.pop(connection.number, None)
        if target is not None and self._by_target.get(target) == connection.number:
            del self._by_target[target]
        if flow is None or self._connections.pop(flow.connection, None) is None:
            if target is not None:
                self._opening_failed(target, error)
            else:
                log.info("connection of a peer not opened: %s", error)
            return
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        now = self._loop.time()
        self.element.connection_lost(flow, reason, now)
        self._core.connection_lost(flow, reason, now)
        self.pump()

    def close_flow(self, flow: Flow, reason: str = "closed by us") -> None:
        """Close a stream connection, as if it had been lost."""
        connection = self._connections.get(flow.connection)
        if connection is not None:
            connection.abandon(ConnectionResetError(errno.ECONNRESET, reason))

    def close_banned(self) -> None:
        """Close what the gate would not let in any more."""
        for flow in self.connections:
            if not self._gate.admits(flow.remote[0]):
                self.close_flow(flow, "its source is banned")

    def _sweep_later(self) -> None:
        self._sweep = self._loop.call_later(self._watch.sweep_s, self._close_overdue)

    def _close_overdue(self) -> None:
        for flow, reason in self._watch.overdue(self.connections, self._loop.time()):
            log.info("= %s closed: %s", flow, reason)
            self.close_flow(flow, reason)
        self._sweep_later()

    # Running

    def _receive_stream(self, connection: StreamConnection, data: bytes) -> None:
        assert connection.flow is not None
        self.element.receive_stream(data, connection.flow, self._loop.time())
        self.pump()

    def _receive_datagram(self, data: bytes, flow: Flow) -> None:
        if not self._gate.admits(flow.remote[0]):
            return
        self.element.receive_datagram(data, flow, self._loop.time())
        self.pump()

    def pump(self) -> None:
        """Bring events up and bytes down until neither is left, then set the timer."""
        if self._pumping or self.closed:
            return
        self._pumping = True
        try:
            element, core = self.element, self._core
            moved = True
            while moved:
                moved = False
                while (event := element.next_event()) is not None:
                    core.receive_event(event, self._loop.time())
                for send in element.take_sends():
                    moved = True
                    self._transmit(send)
        finally:
            self._pumping = False
        self._set_timer()

    def _transmit(self, send: Send | CloseFlow) -> None:
        if isinstance(send, CloseFlow):
            self.close_flow(send.flow)
            return
        hop = send.hop
        if isinstance(hop, Flow):
            if hop.connection:
                connection = self._connections.get(hop.connection)
                if connection is None:
                    self._fail_send(send, "its connection is gone")
                else:
                    connection.write(send.data)
            else:
                self._send_datagram(send, hop)
            return
        if (number := self._by_target.get(hop)) is not None:
            self._connections[number].write(send.data)
        elif hop.transport is Transport.UDP:
            self._start(self._resolve_and_send(send, hop))
        else:
            waiting = self._opening_to(hop).sends
            if len(waiting) < MAX_WAITING_SENDS:
                waiting.append(send)
            else:
                self._fail_send(send, f"too many requests wait for {hop}")

    def _send_datagram(self, send: Send, flow: Flow) -> None:
        for port in self._udp:
            if port.is_at(flow.local):
                try:
                    port.send(send.data, flow)
                except OSError as error:
                    self._fail_send(send, error.strerror or str(error))
                return
        self._fail_send(send, f"no UDP port {host_port(*flow.local)} is open")

    async def _resolve_and_send(self, send: Send, target: Target) -> None:
        try:
            flow = await self._udp_flow(target)
        except Unreachable as error:
            self._fail_send(send, error.reason)
        else:
            self._send_datagram(send, flow)
        self.pump()

    def _fail_send(self, send: Send, reason: str) -> None:
        """Tell the element, but not from within its own call."""
        self.element.send_failed(send, reason, self._loop.time())
        self._loop.call_soon(self.pump)

    def _set_timer(self) -> None:
        due_at = earliest(self.element.next_deadline(), self._core.next_deadline())
        timer = self._timer
        if due_at is None or (timer is not None and timer.when() <= due_at):
            return  # a timer that fires too early finds nothing due, and is set anew
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(due_at, self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        self.element.handle_timer(now)
        self._core.handle_timer(now)
        self.pump()

    # Ending

    @property
    def connections(self) -> Iterable[Flow]:
        """The stream connections that stand."""
        return [each.flow for each in self._connections.values() if each.flow is not None]

    def close(self) -> None:
        """Close every socket; nothing is called back any more."""
        self.closed = True
        self.stop_listening()
        for timer in (self._timer, self._sweep):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        for connection, timeout in self._handshaking.items():
            timeout.cancel()
            connection.close()
        for connection in self._connections.values():
            connection.close()
        for opening in self._opening.values():
            for waiter in opening.waiters:
                waiter.cancel()
        for udp in self._udp:
            udp.close()
        self._connections.clear()
        self._opening.clear()
        self._udp.clear()


def _unreachable(target: Target, error: Exception) -> Unreachable:
    if isinstance(error, ConnectionRefusedError):
        reason = f"nothing answers at {target}; is the server running there?"
    elif isinstance(error, socket.gaierror):
        reason = f"{target.host} is not known to the DNS; give the server with --outbound-proxy"
    else:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = f"{target} cannot be reached: {text.lower()}"
    return Unreachable(503, reason)
