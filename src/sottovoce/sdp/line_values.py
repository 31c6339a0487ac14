"""What stands on single lines of a session description: o=, c=, a= and the directions."""

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum

from ..errors import ParseError
from .key_lines import redact

_SHOWN_CHARACTERS = 40  # of a wrong line in an error text

_DECIMAL = re.compile(r"[0-9]{1,20}")  # 64 bits; RFC 8866 section 5.2 suggests NTP timestamps
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Direction(Enum):
    """Who sends media, seen from the side whose description says so (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> "Direction":
        """The same flows seen from the other side."""
        return _DIRECTIONS[self.receives, self.sends]

    def meet(self, other: "Direction") -> "Direction":
        """Return the flows that both allow; both seen from the same side."""
        return _DIRECTIONS[self.sends and other.sends, self.receives and other.receives]


_DIRECTIONS = {(direction.sends, direction.receives): direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line: who made the description, and which version it is."""

    username: str
    session_id: int
    session_version: int
    address_type: str
    address: str
    network_type: str = "IN"

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Read the value of an ``o=`` line; raises :exc:`ParseError`."""
        words = words_of(text)
        if len(words) != 6:
            raise ParseError(f"o= has {len(words)} fields where RFC 8866 section 5.2 has 6")
        for number in words[1:3]:
            if not _DECIMAL.fullmatch(number):
                raise ParseError(f"o= has {shown(number)} where up to 20 digits were expected")
        return cls(words[0], int(words[1]), int(words[2]), words[4], words[5], words[3])

    def __str__(self) -> str:
        return (
            f"{self.username} {self.session_id} {self.session_version} "
            f"{self.network_type} {self.address_type} {self.address}"
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """A ``c=`` line: where media is to be sent."""

    address: str
    "IP address without brackets, or a host name."

    address_type: str = "IP4"
    network_type: str = "IN"

    multicast_scope: str = ""
    "What follows the address: TTL and number of addresses, as in ``/127/3``."

    @classmethod
    def parse(cls, text: str) -> "Connection":
        """Read the value of a ``c=`` line; raises :exc:`ParseError`."""
        words = words_of(text)
        if len(words) != 3:
            raise ParseError(f"c= has {len(words)} fields where RFC 8866 section 5.7 has 3")
        network_type, address_type, place = words
        address, slash, scope = place.partition("/")
        connection = cls(address, address_type, network_type, slash + scope)
        is_number = not address.strip("0123456789.")
        is_name = not is_number and _HOST_NAME.fullmatch(address)
        if network_type == "IN" and connection.ip is None and not is_name:
            raise ParseError(f"c= has {shown(address)}, which is no {address_type} address")
        return connection

    @classmethod
    def to(cls, address: str) -> "Connection":
        """Return the line for an IP address of either family."""
        return cls(address, "IP6" if ":" in address else "IP4")

    @property
    def ip(self) -> IpAddress | None:
        """The address, unless it is a host name or of a network other than the Internet."""
        if self.network_type != "IN" or "%" in self.address:
            return None
        try:
            if self.address_type == "IP4":
                return ipaddress.IPv4Address(self.address)
            if self.address_type == "IP6":
                return ipaddress.IPv6Address(self.address)
        except ValueError:
            pass
        return None

    def __str__(self) -> str:
        return f"{self.network_type} {self.address_type} {self.address}{self.multicast_scope}"


@dataclass(frozen=True, slots=True, repr=False)
class Attribute:
    """An ``a=`` line.  Its ``repr`` does not show SRTP keys."""

    name: str
    "Compared with regard to case (RFC 8866 section 5.13)."

    value: str | None = None
    "None for a flag such as ``a=sendrecv``."

    @classmethod
    def parse(cls, text: str) -> "Attribute":
        """Read the value of an ``a=`` line; raises :exc:`ParseError`."""
        name, colon, value = text.partition(":")
        if not name:
            raise ParseError("a= without the name of an attribute")
        return cls(name, value if colon else None)

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        return f"Attribute({redact(f'a={self}')!r})"


def words_of(text: str) -> list[str]:
    """Split at blanks; some senders write two, or one at the end."""
    return [word for word in text.split(" ") if word]


def shown(text: str) -> str:
    """Quote a piece of a peer's text for an error: short, ASCII, without keys."""
    return ascii(redact(text)[:_SHOWN_CHARACTERS])
