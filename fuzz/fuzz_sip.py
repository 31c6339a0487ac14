"""Feed the SIP parsers with what a coverage-guided fuzzer thinks of.

Needs atheris (``pip install atheris``)::

    python fuzz/fuzz_sip.py -max_total_time=600 fuzz/corpus/sip

Any exception but a RemoteError is a find.
"""

import sys

import atheris

with atheris.instrument_imports():
    from sottovoce.errors import RemoteError
    from sottovoce.sip.digest import Challenge, Credentials
    from sottovoce.sip.framing import StreamFramer
    from sottovoce.sip.grammar import parse_params, split_items
    from sottovoce.sip.header_values import CSeq, NameAddress, Via
    from sottovoce.sip.message import Request, Response
    from sottovoce.sip.parser import parse_message, salvage
    from sottovoce.sip.uri import SipUri

LATE = ("vias", "contacts", "routes", "record_routes", "expires", "media_type")
TEXT_PARSERS = (
    SipUri.parse,
    Via.parse,
    NameAddress.parse,
    CSeq.parse,
    Challenge.parse,
    Credentials.parse,
    parse_params,
    split_items,
)


def fuzz_message(data: bytes) -> None:
    """One datagram: parse, read all, write, and parse again."""
    try:
        message = parse_message(data)
    except RemoteError:
        broken = salvage(data)
        if broken is not None:
            Response.to_request(broken, 400, to_tag="1").to_bytes()
        return
    for part in (*LATE, "uri") if isinstance(message, Request) else LATE:
        try:
            getattr(message, part)
        except RemoteError:
            continue
    parse_message(message.with_added("X-Last", "1").to_bytes())


def fuzz_stream(data: bytes) -> None:
    """The same octets in one piece and octet by octet give the same messages."""
    assert _framed([data]) == _framed([data[at : at + 1] for at in range(len(data))])


def _framed(parts: list[bytes]) -> list[bytes | None]:
    framer = StreamFramer()
    messages: list[bytes | None] = []
    try:
        for part in parts:
            framer.receive_bytes(part)
            while (message := framer.next_message()) is not None:
                messages.append(message)
    except RemoteError:
        messages.append(None)
    return messages


def fuzz_text(data: bytes) -> None:
    """One header value."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in TEXT_PARSERS:
        try:
            value = parse(text)
        except RemoteError:
            continue
        if isinstance(value, SipUri | Via):
            assert type(value).parse(str(value)) == value


def fuzz_one(data: bytes) -> None:
    """Let the first octet choose what is fuzzed."""
    chosen = (fuzz_message, fuzz_stream, fuzz_text)[data[0] % 3 if data else 0]
    chosen(data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
