"""RFC 8446 section 5.1, RFC 5246 section 6.2: seen from outside, on real handshakes."""

import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.trace.event import Endpoint, StreamBytesSeen
from sottovoce.trace.tls_records import TlsObserver

CLIENT, SERVER = Endpoint("10.0.0.1", 40000), Endpoint("10.0.0.2", 5061)
MESSAGE = b"OPTIONS sip:bob@example.test SIP/2.0\r\n\r\n"


def conversation(version: ssl.TLSVersion) -> list[tuple[Endpoint, bytes]]:
    """A handshake and one message each way: (who wrote, what)."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.test").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_context)
    client_context.minimum_version = client_context.maximum_version = version
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="example.test")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    written: list[tuple[Endpoint, bytes]] = []
    wires = [(CLIENT, to_server), (SERVER, to_client)]

    def wire() -> None:
        """Record what was written since; what is on its way was read by now."""
        for who, bio in wires:
            if octets := bio.read():
                written.append((who, octets))
                bio.write(octets)

    done = set[ssl.SSLObject]()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            wire()
    for writer, reader in ((client, server), (server, client)):
        writer.write(MESSAGE)
        wire()
        assert reader.read() == MESSAGE
    return written


def observe(written: list[tuple[Endpoint, bytes]], piece_bytes: int = 1 << 20) -> TlsObserver:
    observer, begun = TlsObserver(), set[Endpoint]()
    for frame, (who, octets) in enumerate(written, 1):
        for start in range(0, len(octets), piece_bytes):
            event = StreamBytesSeen(
                frame,
                float(frame),
                who,
                SERVER if who is CLIENT else CLIENT,
                octets[start : start + piece_bytes],
                after_gap=who not in begun,
            )
            begun.add(who)
            assert observer.receive_event(event)
    return observer


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLS 1.2"), (ssl.TLSVersion.TLSv1_3, "TLS 1.3")]
)
@pytest.mark.parametrize("piece_bytes", [7, 1000, 1 << 20])
def test_version_and_name_are_read_from_a_real_handshake(
    version: ssl.TLSVersion, name: str, piece_bytes: int
) -> None:
    (seen,) = observe(conversation(version), piece_bytes).connections
    assert (seen.client, seen.server) == (CLIENT, SERVER)
    assert seen.version == name
    assert seen.server_name == "example.test"
    assert seen.cipher_suite >> 8 == (0x13 if version is ssl.TLSVersion.TLSv1_3 else 0xC0)
    # Two messages; TLS 1.3 sends most of its handshake and the tickets like that too.
    assert seen.application_records >= 2
    if version is ssl.TLSVersion.TLSv1_2:
        assert seen.application_records == 2
    assert seen.records > seen.application_records


def test_what_is_not_tls_is_left_to_others() -> None:
    observer = TlsObserver()
    event = StreamBytesSeen(1, 1.0, CLIENT, SERVER, MESSAGE, after_gap=True)
    assert not observer.receive_event(event)
    assert observer.connections == []


PIECES = [b"\x16\x03\x01\x00\x02ab", b"rubbish", b"\x17\x03\x03\x00\x01x"]


def test_a_stream_that_stops_being_tls_is_counted_no_further() -> None:
    observer = TlsObserver()
    for number, payload in enumerate(PIECES):
        observer.receive_event(StreamBytesSeen(1, 1.0, CLIENT, SERVER, payload, number == 0))
    assert observer.connections[0].records == 1


def test_a_server_name_cannot_write_to_the_terminal() -> None:
    evil = b"\x1b]0;owned\x07.test"
    name = b"\x00" + len(evil).to_bytes(2) + evil
    extension = b"\x00\x00" + (len(name) + 2).to_bytes(2) + len(name).to_bytes(2) + name
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extension).to_bytes(2) + extension
    hello = b"\x01" + len(body).to_bytes(3) + body
    record = b"\x16\x03\x01" + len(hello).to_bytes(2) + hello
    observer = TlsObserver()
    observer.receive_event(StreamBytesSeen(1, 1.0, CLIENT, SERVER, record, after_gap=True))
    assert observer.connections[0].server_name == "]0;owned.test"


@given(st.binary(max_size=80), st.sampled_from([b"\x01", b"\x02"]), st.integers(0, 60))
def test_any_hello_is_taken(rest: bytes, kind: bytes, zeros: int) -> None:
    hello = kind + bytes(3) + b"\x03\x03" + bytes(zeros) + rest
    record = b"\x16\x03\x01" + len(hello).to_bytes(2) + hello
    observer = TlsObserver()
    observer.receive_event(StreamBytesSeen(1, 1.0, CLIENT, SERVER, record, after_gap=True))
    assert observer.connections[0].records == 1


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    observer = TlsObserver()
    for payload in [b"\x17\x03\x03\x00\x05", *pieces]:
        observer.receive_event(StreamBytesSeen(1, 1.0, CLIENT, SERVER, payload))
