"""The torture messages of RFC 4475, all 50, as octets in the RFC's own archive.

The messages are not part of this repository; without the folder beside it these tests
are skipped, and the unit tests hold the same rules with messages of their own.
"""

from pathlib import Path

import pytest

from sottovoce.errors import ParseError
from sottovoce.sip.framing import StreamFramer
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message, salvage

FOLDER = Path(__file__).parents[2] / "../shared/torture/rfc4475"
FILES = sorted(FOLDER.glob("*.dat"))

pytestmark = [
    pytest.mark.rfc("rfc4475-5118", 1, 2, 3, 4, 5, 6, 7, 10),
    pytest.mark.skipif(not FILES, reason="the torture messages are not beside this repository"),
]

#: Status to answer with; 0 is silence: a response, or a request that names no caller.
REFUSED = {
    "badaspec": 400, "baddn": 400, "badinv01": 400, "badvers": 505, "bigcode": 0, "clerr": 400,
    "insuf": 400, "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400, "mcl01": 400,
    "mismatch01": 400, "mismatch02": 501, "multi01": 400, "ncl": 400, "quotbal": 400,
    "scalar02": 400, "scalarlg": 0, "test": 400, "trws": 400,
}  # fmt: skip

#: These say too little, or what is broken is the Via: no answer finds its way.
UNANSWERABLE = {"badinv01", "insuf", "test"}

#: Accepted whole, but the Request-URI is refused by whom it is for.
URI_REFUSED = {"escruri": 400, "novelsc": 416, "unkscm": 416}


def octets(name: str) -> bytes:
    return (FOLDER / f"{name}.dat").read_bytes()


def names(*but: str) -> list[str]:
    return [path.stem for path in FILES if path.stem not in but]


def request(name: str) -> Request:
    parsed = parse_message(octets(name))
    assert isinstance(parsed, Request)
    return parsed


def test_all_of_the_archive_is_here() -> None:
    assert len(FILES) == 50


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse_message(octets(name))
    if REFUSED[name]:
        assert refused.value.status_hint == REFUSED[name]
    answerable = bool(REFUSED[name]) and name not in UNANSWERABLE
    assert (salvage(octets(name)) is not None) is answerable


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - UNANSWERABLE))
def test_answer_to_a_refused_request_is_a_message(name: str) -> None:
    broken = salvage(octets(name))
    if broken is None:
        return
    assert broken.method != "ACK"
    written = Response.to_request(broken, 400, to_tag="1").to_bytes()
    assert written.startswith(b"SIP/2.0 400 Bad Request\r\n")
    assert b"branch=" in written or name == "ltgtruri"


@pytest.mark.parametrize("name", names(*REFUSED))
def test_accepted_and_written_octet_for_octet(name: str) -> None:
    raw = octets(name)
    message = parse_message(raw)
    written = message.to_bytes()
    assert raw.startswith(written)
    assert raw[len(written) :] == (b"" if name != "dblreq" else raw[-450:])
    again = parse_message(message.with_added("X-Last", "1").to_bytes())
    assert again.fields[: len(message.fields)] == message.fields
    assert again.body == message.body


@pytest.mark.parametrize("name", names(*REFUSED))
def test_request_uri(name: str) -> None:
    message = parse_message(octets(name))
    if not isinstance(message, Request):
        return
    if name not in URI_REFUSED:
        assert str(message.uri) == message.request_uri
        return
    with pytest.raises(ParseError) as refused:
        message.uri  # noqa: B018
    assert refused.value.status_hint == URI_REFUSED[name]


def through_stream(raw: bytes, cut: int) -> list[bytes]:
    framer = StreamFramer()
    taken = []
    for part in (raw[:cut], raw[cut:]):
        framer.receive_bytes(part)
        while (message := framer.next_message()) is not None:
            taken.append(message)
    return taken


#: Where no Content-Length tells a stream how long the message is.
LOST_ON_A_STREAM = {"inv2543", "mcl01", "ncl"}


@pytest.mark.parametrize("name", names(*LOST_ON_A_STREAM, "baddn", "clerr", "test", "dblreq"))
def test_stream_cut_at_any_octet_gives_the_same_message(name: str) -> None:
    raw = octets(name)
    for cut in range(len(raw)):
        first = through_stream(raw, cut)[0]
        assert raw.startswith(first)
    if name not in REFUSED:
        assert parse_message(first).to_bytes() == parse_message(raw).to_bytes()


@pytest.mark.parametrize("name", sorted(LOST_ON_A_STREAM))
def test_stream_without_one_length_is_lost(name: str) -> None:
    with pytest.raises(ParseError):
        through_stream(octets(name), 10)


@pytest.mark.parametrize("name", ["baddn", "clerr"])
def test_stream_waits_for_what_was_announced(name: str) -> None:
    assert through_stream(octets(name), 10) == []


# What single messages are there for


def test_wsinv() -> None:
    invite = request("wsinv")
    assert (invite.max_forwards, invite.cseq.number, invite.value("subject")) == (68, 9, "")
    assert [via.host for via in invite.vias] == [
        "192.0.2.2", "spindle.example.com", "192.168.255.111",
    ]  # fmt: skip
    assert [via.branch for via in invite.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert (invite.to.tag, invite.from_.tag) == ("1918181833n", "98asjd8")
    assert invite.from_.display_name == 'J Rosenberg \\"'
    assert invite.value("NewFangledHeader") == "newfangled value continued newfangled value"
    assert invite.value("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert invite.contacts[0].display_name == 'Quoted string ""'
    assert invite.contacts[0].params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert invite.routes[0].sip_uri.params == {
        "lr": None, "unknownwith": "value", "unknown-no-value": None,
    }  # fmt: skip


def test_intmeth() -> None:
    odd = request("intmeth")
    assert odd.method == odd.cseq.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert odd.to.display_name == "BEL:\a NUL:\0 DEL:\x7f"
    assert odd.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert odd.call_id == """intmeth.word%ZK-!.*_+'@word`~)(><:\\/"][?}{"""
    assert odd.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"


def test_esc01_and_esc02() -> None:
    invite = request("esc01")
    assert invite.uri.unescaped_user == "sips:user@example.com"
    assert invite.to.sip_uri.unescaped_user == "user"
    assert invite.from_.sip_uri.unescaped_user == "I have spaces"
    register = request("esc02")
    assert register.method == "RE%47IST%45R"
    assert len(register.contacts) == 2
    assert "%Z%45" in (register.to.display_name, register.from_.display_name)


def test_escnull_keeps_two_users_apart() -> None:
    users = {contact.sip_uri.unescaped_user for contact in request("escnull").contacts}
    assert users == {"\0", "\0\0"}


def test_longreq() -> None:
    assert len(request("longreq").vias) == 34


def test_dblreq_is_the_register_alone() -> None:
    assert request("dblreq").method == "REGISTER"
    assert b"INVITE" not in request("dblreq").to_bytes()


def test_semiuri() -> None:
    uri = request("semiuri").uri
    assert (uri.unescaped_user, uri.params) == ("user;par=u@example.net", {})


def test_transports() -> None:
    transports = [via.transport for via in request("transports").vias]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_mpart01_keeps_the_nuls_of_its_body() -> None:
    assert len(request("mpart01").body) == 553
    assert b"\0" in request("mpart01").body


def test_responses_with_unusual_reasons() -> None:
    unusual, empty = parse_message(octets("unreason")), parse_message(octets("noreason"))
    assert isinstance(unusual, Response)
    assert isinstance(empty, Response)
    assert unusual.reason.startswith("= 2**3 * 5**2 но сто")
    assert (empty.status, empty.reason) == (100, "")


def test_badbranch_has_the_cookie_and_nothing_else() -> None:
    assert request("badbranch").top_via.branch == "z9hG4bK"


def test_inv2543_is_accepted() -> None:
    old = request("inv2543")
    assert (old.top_via.branch, old.from_.tag, old.max_forwards) == (None, None, None)
    assert len(old.body) == 105


def test_regbadct_contact_is_refused() -> None:
    with pytest.raises(ParseError):
        request("regbadct").contacts  # noqa: B018
