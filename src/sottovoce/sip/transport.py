"""How a SIP message travels: transport, flow, target.  RFC 3261 section 18, RFC 5626 section 3."""

from dataclasses import dataclass
from enum import Enum


class Transport(Enum):
    """Transports by the name they have in a Via header (RFC 3261 section 20.42)."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"

    # Compared by identity alone, so the quick hash of object does.
    __hash__ = object.__hash__

    @property
    def reliable(self) -> bool:
        """The transport itself resends what is lost."""
        return self is not Transport.UDP

    @property
    def secure(self) -> bool:
        """Third parties cannot read what it carries."""
        return self is Transport.TLS

    @property
    def default_port(self) -> int:
        """RFC 3261 section 19.1.2."""
        return 5061 if self is Transport.TLS else 5060


@dataclass(frozen=True, slots=True)
class Flow:
    """A path that is open now: one stream connection, or a pair of UDP addresses."""

    transport: Transport

    local: tuple[str, int]
    "Our IP address and port."

    remote: tuple[str, int]
    "The peer's IP address and port."

    connection: int = 0
    "Number of the stream connection, never used twice; 0 for UDP."

    @property
    def secure(self) -> bool:
        """Third parties cannot read what it carries."""
        return self.transport.secure

    def __str__(self) -> str:
        return f"{self.transport.value} {host_port(*self.remote)}"


@dataclass(frozen=True, slots=True)
class Target:
    """A place that a request can be sent to, over a connection opened when there is none.

    Two targets share a connection only if all four fields agree: a certificate that
    proved one domain proves nothing for another one at the same address.
    """

    transport: Transport

    host: str
    "Name or IP address to connect to, without brackets."

    port: int

    domain: str
    "Whom the certificate must prove (RFC 5922 section 7.3): the domain, never the host."

    def __str__(self) -> str:
        return f"{self.transport.value} {host_port(self.host, self.port)}"


Hop = Flow | Target


def host_port(host: str, port: int) -> str:
    """``host:port`` with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
