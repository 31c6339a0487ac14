"""What TLS shows to a third party: records, their sizes, and the hellos.  RFC 8446 section 5.

A record's header and the first message each way (ClientHello, ServerHello) are in clear
in every version; from TLS 1.3 on everything after the ServerHello is not.
"""

from dataclasses import dataclass, replace

from .event import Endpoint, StreamBytesSeen

HANDSHAKE, APPLICATION_DATA = 22, 23
_CONTENT_TYPES = {20, 21, HANDSHAKE, APPLICATION_DATA, 24}
_HEADER_BYTES = 5

#: RFC 5246 section 6.2.3 allows 2^14 + 2048; anything longer is not TLS.
MAX_RECORD_BYTES = 18_432

#: Connections remembered in one capture; the rest is not counted.
MAX_CONNECTIONS = 8192

_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_SERVER_NAME, _SUPPORTED_VERSIONS = 0, 43
_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


@dataclass(frozen=True, slots=True)
class TlsConnection:
    """One TLS connection as the wire shows it."""

    client: Endpoint
    "The side that sent the ClientHello; a guess when that was not captured."

    server: Endpoint
    first_frame: int
    first_at_s: float
    version: str = ""
    "As the ServerHello chose it, such as ``TLS 1.3``; empty if that was not captured."

    cipher_suite: int = 0
    "Number in IANA's registry; 0 if the ServerHello was not captured."

    server_name: str = ""
    "The name in the ClientHello (RFC 6066 section 3), which anyone can read."

    records: int = 0
    application_records: int = 0
    "Records of type application_data: SIP, and from TLS 1.3 on most of the handshake too."


def looks_like_tls(octets: bytes | bytearray) -> bool:
    """Say whether bytes can be the start of a TLS record."""
    return (
        len(octets) >= _HEADER_BYTES
        and octets[0] in _CONTENT_TYPES
        and octets[1] == 3
        and octets[2] <= 4
        and 0 < int.from_bytes(octets[3:5]) <= MAX_RECORD_BYTES
    )


class _Direction:
    """Splits one direction into records, holding one record at most."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._is_tls = True

    def receive_bytes(self, octets: bytes) -> list[tuple[int, bytes]]:
        """Return (content type, content) of the records that are whole now."""
        if not self._is_tls:
            return []
        self._pending += octets
        records = []
        while len(self._pending) >= _HEADER_BYTES:
            if not looks_like_tls(self._pending):
                self._is_tls = False
                self._pending.clear()
                break
            end = _HEADER_BYTES + int.from_bytes(self._pending[3:5])
            if len(self._pending) < end:
                break
            records.append((self._pending[0], bytes(self._pending[_HEADER_BYTES:end])))
            del self._pending[:end]
        return records


class TlsObserver:
    """Count the TLS records of all connections of a capture."""

    def __init__(self) -> None:
        self._connections: dict[frozenset[Endpoint], TlsConnection] = {}
        self._directions: dict[tuple[Endpoint, Endpoint], _Direction] = {}

    @property
    def connections(self) -> list[TlsConnection]:
        """What is known of each connection, in order of first sight."""
        return list(self._connections.values())

    def receive_event(self, event: StreamBytesSeen) -> bool:
        """Take the next bytes; say whether they belong to a TLS connection."""
        way = (event.source, event.destination)
        direction = self._directions.get(way)
        if direction is None or event.after_gap:
            if not looks_like_tls(event.payload) or len(self._directions) >= 2 * MAX_CONNECTIONS:
                return direction is not None
            direction = self._directions[way] = _Direction()
        pair = frozenset(way)
        known = self._connections.get(pair) or TlsConnection(
            event.source, event.destination, event.frame, event.at_s
        )
        for content_type, content in direction.receive_bytes(event.payload):
            known = replace(
                known,
                records=known.records + 1,
                application_records=known.application_records + (content_type == APPLICATION_DATA),
            )
            if content_type == HANDSHAKE:
                known = _read_hello(known, event, content)
        self._connections[pair] = known
        return True


def _read_hello(known: TlsConnection, event: StreamBytesSeen, content: bytes) -> TlsConnection:
    """Take what a ClientHello or ServerHello tells (RFC 8446 section 4.1); nothing if damaged."""
    if len(content) < 39 or content[0] not in (_CLIENT_HELLO, _SERVER_HELLO):
        return known
    session_bytes = content[38]
    at = 39 + session_bytes
    if content[0] == _CLIENT_HELLO:
        at += 2 + int.from_bytes(content[at : at + 2])  # cipher suites
        at += 1 + int.from_bytes(content[at : at + 1])  # compression methods
        name = _extensions(content, at).get(_SERVER_NAME, b"")
        # list length 2, type 1, name length 2
        server_name = name[5 : 5 + int.from_bytes(name[3:5])].decode("ascii", "backslashreplace")
        server_name = "".join(filter(str.isprintable, server_name))  # it goes to a terminal
        return replace(
            known, client=event.source, server=event.destination, server_name=server_name
        )
    version = int.from_bytes(content[4:6])
    chosen = _extensions(content, at + 3).get(_SUPPORTED_VERSIONS, b"")
    if len(chosen) == 2:
        version = int.from_bytes(chosen)
    return replace(
        known,
        client=event.destination,
        server=event.source,
        version=_VERSIONS.get(version, f"TLS {version:#06x}"),
        cipher_suite=int.from_bytes(content[at : at + 2]),
    )


def _extensions(content: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at += 2
    while at + 4 <= len(content):
        size_bytes = int.from_bytes(content[at + 2 : at + 4])
        found[int.from_bytes(content[at : at + 2])] = content[at + 4 : at + 4 + size_bytes]
        at += 4 + size_bytes
    return found
