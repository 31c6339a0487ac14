"""What a peer's connections may take before anybody has proved who he is."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from ..sip.transport import Flow
from .source import one_source

log = logging.getLogger("sottovoce.net")

#: Longest time between two looks over all connections; shorter when the limits are.
_SWEEP_MAX_S: Final = 5.0
_SWEEPS_A_LIMIT: Final = 4


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What peers may take of this process before they have proved anything."""

    max_connections: int = 20_000
    "Stream connections at once; each idle TLS one costs about 50 kB."

    max_handshakes: int = 400
    "Handshakes at once; one costs 2 ms of CPU, so all of them cost under a second."

    open_timeout_s: float = 10.0
    "From SYN to the end of the TLS handshake."

    max_connections_per_source: int = 500
    "Of one IPv4 address or one /64: an office behind one address has hundreds of phones."

    max_handshakes_per_source: int = 50
    "Of one source at once; an office that comes back from a power cut takes turns."

    message_timeout_s: float = 30.0
    "From a message's first octet to its last; slow lines need a second."

    idle_timeout_s: float = 60.0
    "Without a message, on an accepted connection over which nobody has authenticated."


class Gate(Protocol):
    """Who is let in, and who is known."""

    def admits(self, address: str) -> bool:
        """Whether anything from that IP address is looked at."""

    def exempts(self, address: str) -> bool:
        """Whether the limits for one source do not hold there."""

    def knows(self, flow: Flow) -> bool:
        """Whether somebody has authenticated over this connection."""


class Everybody:
    """The gate of a program that has no accounts: nobody is banned, and everybody known."""

    def admits(self, address: str) -> bool:
        """See :class:`Gate`."""
        return True

    def exempts(self, address: str) -> bool:
        """See :class:`Gate`."""
        return False

    def knows(self, flow: Flow) -> bool:
        """See :class:`Gate`."""
        return True


@dataclass(slots=True)
class _Peer:
    """One accepted connection."""

    source: str
    quiet_since: float
    "When the last message, or the connection, was first seen to be complete."

    handshaking: bool = True
    messages: int = 0
    begun_at: float | None = None
    "When octets of the message under way were first seen; None between messages."


class PeerWatch:
    """Counts the accepted connections by source, and finds those that hold up.

    Args:
        limits: The driver's.
        gate: Who is let in and known.
        progress: How many messages a connection has brought, and how many octets of the next.

    """

    def __init__(
        self,
        limits: ConnectionLimits,
        gate: Gate,
        progress: Callable[[Flow], tuple[int, int]],
    ) -> None:
        self._limits = limits
        self._gate = gate
        self._progress = progress
        self._peers: dict[int, _Peer] = {}
        self._connections: dict[str, int] = {}
        self._handshakes: dict[str, int] = {}
        self._told: set[str] = set()
        shortest_s = min(limits.message_timeout_s, limits.idle_timeout_s)
        self.sweep_s = min(shortest_s / _SWEEPS_A_LIMIT, _SWEEP_MAX_S)

    def may_connect(self, address: str) -> bool:
        """Whether one more connection from there is taken."""
        if not self._gate.admits(address):
            return False
        source, limits = one_source(address), self._limits
        if (
            self._connections.get(source, 0) < limits.max_connections_per_source
            and self._handshakes.get(source, 0) < limits.max_handshakes_per_source
        ) or self._gate.exempts(address):
            return True
        if source not in self._told:  # one line, however often it tries
            self._told.add(source)
            log.warning("connections of %s refused: the limit for one source is reached", address)
        return False

    def begin(self, number: int, address: str, now: float) -> None:
        """A connection was accepted; its handshake is under way."""
        source = one_source(address)
        self._peers[number] = _Peer(source, now)
        self._connections[source] = self._connections.get(source, 0) + 1
        self._handshakes[source] = self._handshakes.get(source, 0) + 1

    def opened(self, number: int, now: float) -> None:
        """The handshake is over."""
        peer = self._peers.get(number)
        if peer is not None and peer.handshaking:
            peer.handshaking = False
            peer.quiet_since = now
            _subtract(self._handshakes, peer.source)

    def end(self, number: int) -> None:
        """The connection is gone."""
        peer = self._peers.pop(number, None)
        if peer is not None:
            _subtract(self._connections, peer.source)
            self._told.discard(peer.source)
            if peer.handshaking:
                _subtract(self._handshakes, peer.source)

    def overdue(self, flows: Iterable[Flow], now: float) -> list[tuple[Flow, str]]:
        """Find the open connections whose time is over, and say why.

        Times are taken from sweep to sweep, so that nothing is done for each message.
        """
        found = []
        limits, knows = self._limits, self._gate.knows
        for flow in flows:
            peer = self._peers.get(flow.connection)
            if peer is None:  # we opened it
                continue
            messages, octets = self._progress(flow)
            if messages != peer.messages:
                peer.messages, peer.quiet_since, peer.begun_at = messages, now, None
            if not octets:
                peer.begun_at = None
            elif peer.begun_at is None:
                peer.begun_at = now
            elif now - peer.begun_at >= limits.message_timeout_s:
                found.append((flow, "its message took too long"))
                continue
            if now - peer.quiet_since >= limits.idle_timeout_s and not knows(flow):
                found.append((flow, "nobody authenticated, and no message came"))
        return found


def _subtract(counts: dict[str, int], source: str) -> None:
    left = counts[source] - 1
    if left:
        counts[source] = left
    else:
        del counts[source]
