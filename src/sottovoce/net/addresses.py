"""IP addresses of a host name, and which of ours leads to one."""

import asyncio
import ipaddress
import socket

from ..sip.transport import Target

#: Addresses of one name that are tried in turn; each may take the whole time to open.
MAX_ADDRESSES = 4

#: Family and address as the socket module has them.
SocketAddress = tuple[int, tuple[str, int] | tuple[str, int, int, int]]


async def resolve(target: Target) -> list[SocketAddress]:
    """Find the addresses of a target, in the order in which the system prefers them.

    Raises:
        OSError: It has none, or its name cannot be one.

    """
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        pass
    else:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        return [(family, (target.host, target.port))]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label of over 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "no possible host name") from error
    wanted: list[SocketAddress] = []
    for family, _, _, _, place in found:
        if family in (socket.AF_INET, socket.AF_INET6) and isinstance(place[0], str):
            wanted.append((family, place))
    if not wanted:
        raise socket.gaierror(socket.EAI_NONAME, "no address of the Internet")
    return wanted[:MAX_ADDRESSES]


def local_address_towards(family: int, remote: tuple[str, int]) -> str:
    """Which of our addresses a datagram to ``remote`` bears; nothing is sent to learn it."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        return str(probe.getsockname()[0])


def is_wildcard(host: str) -> bool:
    """Tell whether binding to it means every address."""
    return host in ("0.0.0.0", "::")  # noqa: S104 - nothing is bound here
