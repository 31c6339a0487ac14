"""Whom an IP address stands for: the host itself, and the network that its owner moves in."""

import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What one holder of addresses commonly has: a /24 is the smallest network that is routed on
#: its own, a /64 one local network, whose every host picks its addresses as it likes.
PREFIX_BITS = {4: 24, 6: 64}


def parse_source(text: str) -> IpAddress:
    """Read an address as sockets tell it.

    An IPv4 address inside IPv6, as a socket for both shows it, is the IPv4 address: or all of
    IPv4 would be one /64.

    Raises:
        ValueError: It is no IP address.

    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def prefix_of(address: IpAddress) -> IpNetwork:
    """The /24 or /64 that an address is in."""
    return ipaddress.ip_network((address, PREFIX_BITS[address.version]), strict=False)


def parse_network(text: str) -> IpNetwork:
    """Read an address or a network, as an operator writes it.

    Raises:
        ValueError: It is neither; says why.

    """
    if "/" in text:
        return ipaddress.ip_network(text)
    return ipaddress.ip_network(parse_source(text))


def network_text(network: IpNetwork) -> str:
    """Write a network; one of a single address as that address."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if single else network)


def one_source(text: str) -> str:
    """Name what is counted as one peer: an IPv4 address, or a /64 of IPv6."""
    if ":" not in text:
        return text
    try:
        address = parse_source(text)
    except ValueError:
        return text
    return str(address if address.version == 4 else prefix_of(address))
