"""Splitting a SIP message and reading what routes it, beside the ``sipmessage`` package.

One INVITE of 14 headers as a proxy receives it.  *Routing read* is what a proxy needs of
each request: top Via's branch, Route, the tags, Call-ID, CSeq, Max-Forwards, and the host
of the Request-URI.  Ours and the peer take turns; the best of several rounds counts.
"""

from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter_ns

from sottovoce.sip import Request, StreamFramer, parse_message

from .report import Row

ROUNDS = 25
ROUND_MESSAGES = 500
AIM_ROUTING_READ_US = 15.0

HEAD = """\
INVITE sip:bob@biloxi.example.com;transport=tls SIP/2.0
Via: SIP/2.0/TLS proxy.atlanta.example.com:5061;branch=z9hG4bK74b43.1
Via: SIP/2.0/TLS 192.0.2.101:49170;branch=z9hG4bK74bf9;rport=49170;received=192.0.2.101
Route: <sip:edge.biloxi.example.com:5061;transport=tls;lr>
Record-Route: <sip:proxy.atlanta.example.com:5061;transport=tls;lr>
Max-Forwards: 69
From: "Alice" <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: "Bob" <sip:bob@biloxi.example.com>
Call-ID: 3848276298220188511@atlanta.example.com
CSeq: 1 INVITE
Contact: <sip:alice@192.0.2.101:49170;transport=tls>
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY
Supported: replaces, timer, outbound
Content-Type: application/sdp
Content-Length: 146
"""
BODY = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.101\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n"
    b"m=audio 49172 RTP/SAVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
).ljust(146, b" ")
INVITE = HEAD.replace("\n", "\r\n").encode() + b"\r\n" + BODY

Operation = Callable[[bytes], object]


def routing_read(data: bytes) -> object:
    request = parse_message(data)
    assert isinstance(request, Request)
    return (
        request.top_via.branch,
        request.routes[0].uri,
        request.to.tag,
        request.from_.tag,
        request.call_id,
        request.cseq.number,
        request.max_forwards,
        request.uri.host,
    )


def framed(data: bytes) -> object:
    framer = StreamFramer()
    framer.receive_bytes(data)
    return framer.next_message()


def spliced(data: bytes) -> object:
    """Parse, then forward as a proxy does: one Via more, one Route and one hop fewer."""
    return (
        parse_message(data)
        .without_top_item("Route")
        .with_replaced("Max-Forwards", "68")
        .with_top("Via", "SIP/2.0/TLS edge.example.com:5061;branch=z9hG4bK77ef4c")
        .to_bytes()
    )


def peer_operations() -> dict[str, Operation]:
    from sipmessage import Message
    from sipmessage import (
        Request as PeerRequest,
    )  # of the "bench" extra: our own figures come without it

    def read(data: bytes) -> object:
        request = Message.parse(data)
        assert isinstance(request, PeerRequest)
        return (
            request.via[0].parameters.get("branch"),
            request.route[0].uri,
            request.to_address.parameters.get("tag"),
            request.from_address.parameters.get("tag"),
            request.call_id,
            request.cseq.sequence,
            request.max_forwards,
            request.uri.host,
        )

    return {"split": Message.parse, "routing read": read}


def microseconds(operation: Operation) -> float:
    started = perf_counter_ns()
    for _ in range(ROUND_MESSAGES):
        operation(INVITE)
    return (perf_counter_ns() - started) / 1000 / ROUND_MESSAGES


def run() -> list[Row]:
    sides: dict[str, dict[str, Operation]] = {
        "ours": {
            "split": parse_message,
            "routing read": routing_read,
            "cut from a stream": framed,
            "parse, splice and write": spliced,
        }
    }
    if find_spec("sipmessage"):
        sides["sipmessage"] = peer_operations()
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for side, operations in sides.items():
            for work, operation in operations.items():
                took = microseconds(operation)
                best[side, work] = min(took, best.get((side, work), took))
    return [
        Row(
            name=f"SIP {work}, INVITE of 14 headers",
            ours=best["ours", work],
            peer=best.get(("sipmessage", work)),
            peer_name="sipmessage" if ("sipmessage", work) in best else "",
            aim_ours=AIM_ROUTING_READ_US if work == "routing read" else None,
        )
        for work in sides["ours"]
    ]
