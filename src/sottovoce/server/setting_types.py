"""Kinds of settings that are more than a number or a text."""

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from ..pki.identity import canonical_domain, parse_address
from ..sip.transport import Transport, host_port

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A place to listen at, such as ``tls:[::]:5061``."""

    transport: Transport

    host: str
    "IP address or host name, without brackets."

    port: int
    "0 lets the system choose."

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read ``TRANSPORT:HOST:PORT``.

        Raises:
            ValueError: It is not of that form; says what was expected.

        """
        form = "expected tls:HOST:PORT, tcp:HOST:PORT or udp:HOST:PORT, IPv6 as tls:[::1]:5061"
        name, _, place = text.partition(":")
        host, _, port = place.rpartition(":")
        if name.upper() not in Transport.__members__ or not host:
            raise ValueError(form)
        if host.startswith("[") != (":" in host) or (":" in host and parse_address(host) is None):
            raise ValueError(form)
        if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
            raise ValueError(f"port {port!r} is not a number from 0 to {_MAX_PORT}; {form}")
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            canonical_domain(host)
        return cls(Transport[name.upper()], host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.transport.value.lower()}:{host_port(self.host, self.port)}"


def _listen_address(value: object) -> object:
    return ListenAddress.parse(value) if isinstance(value, str) else value


def _canonical(value: object) -> object:
    return canonical_domain(value) if isinstance(value, str) else value


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(
            f"expected an IP address or network such as 192.0.2.0/24: {error}"
        ) from None


Listen = Annotated[ListenAddress, BeforeValidator(_listen_address)]
HostName = Annotated[str, BeforeValidator(_canonical)]
Network = Annotated[str, BeforeValidator(_network)]
