"""Any octets are a message or a RemoteError; messages survive writing and reading."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from sottovoce.errors import RemoteError
from sottovoce.sip.framing import StreamFramer
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message, salvage

REAL = [
    b"INVITE sip:bob@biloxi.example.com;transport=tls SIP/2.0\r\n"
    b"Via: SIP/2.0/TLS p.example.com:5061;branch=z9hG4bK1.1, SIP/2.0/UDP [2001:db8::1];rport\r\n"
    b"v: SIP/2.0/TLS 192.0.2.101:49170;branch=z9hG4bK74bf9;rport=49170;received=192.0.2.101\r\n"
    b'Route: <sip:edge.example.com:5061;lr>,\r\n "Next, please" <sip:b;lr>\r\n'
    b"Max-Forwards: 69\r\n"
    b'From: "Al\\"ice" <sip:alice@example.com>;tag=9fxced76sl\r\n'
    b"To: Bob <sip:bob@biloxi.example.com>\r\n"
    b"Call-ID: 3848276298220188511@example.com\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.101:49170;transport=tls>;expires=60\r\n"
    b"Expires: 120\r\n"
    b"X-Odd : \xff\xfe;;,,\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n\r\nv=0\r\n",
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
    b"f: sip:alice@a;tag=1\r\nt: <sip:bob@b>;tag=2\r\ni: 1\r\nCSeq: 1 OPTIONS\r\n\r\n",
]
SNIPPETS = [
    b"\r\n", b"\r", b"\n", b"\0", b" ", b",", b";", b":", b'"', b"\\", b"<", b">", b"%", b"=",
    b"Via: ", b"\r\nv\r\n", b"l: 0\r\n", b"SIP/2.0", b"\xff", b"9" * 5000, b"\r\n ",
]  # fmt: skip


def mutated(message: bytes, edits: Sequence[tuple[float, int, bytes]]) -> bytes:
    for place, cut, new in edits:
        at = int(place * len(message))
        message = message[:at] + new + message[at + cut :]
    return message


MUTATED = st.builds(
    mutated,
    st.sampled_from(REAL),
    st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 9), st.sampled_from(SNIPPETS) | st.binary(max_size=4)
        ),
        max_size=5,
    ),
)


def read_everything(message: Request | Response) -> None:
    """Ask for each part that is parsed late; only RemoteError may come of it."""
    late = ["vias", "contacts", "routes", "record_routes", "expires", "content_type", "media_type"]
    if isinstance(message, Request):
        late.append("uri")
    for part in late:
        try:
            getattr(message, part)
        except RemoteError:
            continue
    for name, _ in message.fields:
        message.values(name)


@given(st.binary(max_size=400) | MUTATED)
@example(REAL[0])
@example(REAL[1])
def test_any_octets_are_a_message_or_a_remote_error(octets: bytes) -> None:
    try:
        message = parse_message(octets)
    except RemoteError:
        broken = salvage(octets)
        if broken is not None:
            Response.to_request(broken, 400, to_tag="1").to_bytes()
        return
    read_everything(message)
    assert octets.lstrip(b"\r\n").startswith(message.to_bytes())


@given(MUTATED)
def test_what_was_accepted_is_accepted_again_and_says_the_same(octets: bytes) -> None:
    try:
        message = parse_message(octets)
    except RemoteError:
        return
    again = parse_message(message.with_added("X-Last", "1").to_bytes())
    assert again.start_line == message.start_line
    assert (again.top_via, again.from_, again.to) == (message.top_via, message.from_, message.to)
    assert (again.cseq, again.call_id, again.body) == (message.cseq, message.call_id, message.body)
    kept = [each for each in message.fields if each[0] != "content-length"]
    assert [each for each in again.fields if each[0] != "content-length"][:-1] == kept


@given(MUTATED)
def test_no_line_of_a_message_can_be_read_as_two(octets: bytes) -> None:
    try:
        message = parse_message(octets)
    except RemoteError:
        return
    for _, line in message.fields:
        unfolded = line.replace("\r\n ", "").replace("\r\n\t", "")
        assert "\r" not in unfolded
        assert "\n" not in unfolded


@given(st.lists(st.binary(max_size=40) | MUTATED, max_size=6))
def test_any_stream_gives_messages_or_a_remote_error(parts: list[bytes]) -> None:
    framer = StreamFramer()
    given_octets = taken_octets = 0
    try:
        for part in parts:
            framer.receive_bytes(part)
            given_octets += len(part)
            while (octets := framer.next_message()) is not None:
                taken_octets += len(octets)
                parse_message(octets)
    except RemoteError:
        return
    assert taken_octets + framer.waiting_bytes <= given_octets
