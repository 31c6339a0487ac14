"""RFC 3261 sections 8.2, 11, 12.2.2; RFC 5630; RFC 4475 section 3.1.2.12."""

import random

import pytest

from sottovoce.errors import LocalError
from sottovoce.sip.element import KeysInClear
from sottovoce.sip.message import Request, Response
from sottovoce.sip.session_events import CallEnded, CallFailed, IncomingCall
from sottovoce.sip.transport import Flow, Target, Transport

from .conftest import ANSWER, OFFER, TCP, TLS, UDP, Bench

KEYS = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd\r\n"


def refused(bench: Bench, request: Request) -> Response:
    bench.receive(request)
    assert bench.taken
    assert bench.events() == []
    return bench.sent_response()


# Requests outside dialogs


@pytest.mark.rfc("rfc3261-ua-transactions", 15)
@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "NOTIFY", "REFER", "REGISTER", "INFO"])
def test_method_that_is_known_and_not_taken_is_405(bench: Bench, method: str) -> None:
    response = refused(bench, bench.request(method))
    assert response.status == 405
    assert response.items("allow") == ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE"]
    assert response.to.tag


def test_method_that_nobody_knows_is_501(bench: Bench) -> None:
    response = refused(bench, bench.request("NEWMETHOD"))
    assert response.status == 501
    assert "INVITE" in response.items("allow")


@pytest.mark.rfc("rfc3261-ua-transactions", 15)
def test_checks_come_in_the_order_of_the_rfc(bench: Bench) -> None:
    """Method, scheme, merged, Require, content: a request with all faults has the first."""
    faulty = [("Require", "100rel"), ("Content-Type", "text/plain")]
    first = bench.request("INVITE", number=9)
    bench.receive(first)
    bench.sent()
    bench.events()
    statuses = [
        refused(bench, each).status
        for each in (
            bench.request("MESSAGE", *faulty, uri="tel:+1", number=9, body=b"x"),
            bench.request("INVITE", *faulty, uri="tel:+1", number=9, body=b"x"),
            bench.request("INVITE", *faulty, number=9, body=b"x"),
            bench.request("INVITE", *faulty, number=10, body=b"x"),
            bench.request("INVITE", faulty[1], number=11, body=b"x"),
        )
    ]
    assert statuses == [405, 416, 482, 420, 415]


def test_420_names_what_is_not_supported_and_only_that(bench: Bench) -> None:
    response = refused(bench, bench.request("INVITE", ("Require", "outbound, 100rel, timer")))
    assert response.items("unsupported") == ["100rel", "timer"]


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ([("Content-Type", "text/plain")], "accept"),
        ([("Content-Type", "multipart/mixed;boundary=x")], "accept"),
        ([("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")], "accept-encoding"),
    ],
)
def test_415_says_what_would_be_taken(
    bench: Bench, fields: list[tuple[str, str]], header: str
) -> None:
    response = refused(bench, bench.request("INVITE", *fields, body=b"x"))
    assert response.status == 415
    assert header in response


def test_content_that_may_be_ignored_is_ignored(bench: Bench) -> None:
    fields = [("Content-Type", "text/plain"), ("Content-Disposition", "x; handling=optional")]
    bench.receive(bench.request("INVITE", *fields, body=b"x"))
    (event,) = bench.events()
    assert isinstance(event, IncomingCall)
    assert event.session.remote_offer is None


def test_same_request_on_two_ways_is_merged_and_on_one_way_repeated(bench: Bench) -> None:
    invite = bench.request("INVITE")
    bench.receive(invite)
    bench.receive(invite)
    assert len(bench.events()) == 1
    assert bench.sent() == []

    assert refused(bench, bench.request("INVITE")).status == 482
    assert refused(bench, bench.request("INVITE", number=2, to="<sip:a@h>;tag=x")).status == 481


def test_request_that_is_over_may_come_once_more(bench: Bench) -> None:
    for _ in range(2):
        bench.receive(bench.request("OPTIONS"))
        assert bench.sent_response().status == 200
        bench.wait(0)


def test_requests_remembered_against_merging_are_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sottovoce.sip.user_agent.MAX_RECENT_REQUESTS", 8)
    for number in range(1, 50):
        bench.receive(bench.request("OPTIONS", number=number))
        assert len(bench.agent._recent) <= 8
    assert bench.labels() == ["200"] * 49


@pytest.mark.parametrize("method", ["BYE", "OPTIONS", "INVITE", "UPDATE", "INFO"])
def test_request_of_a_dialog_that_is_not_here_is_481(bench: Bench, method: str) -> None:
    assert refused(bench, bench.request(method, to="<sip:alice@h>;tag=gone")).status == 481


@pytest.mark.parametrize("method", ["BYE", "UPDATE"])
def test_request_that_needs_a_dialog_and_names_none_is_481(bench: Bench, method: str) -> None:
    assert refused(bench, bench.request(method)).status == 481


@pytest.mark.parametrize("contact", [None, "*", "<tel:+1>"])
def test_call_without_a_contact_to_answer_to_is_400(bench: Bench, contact: str | None) -> None:
    assert refused(bench, bench.request("INVITE", contact=contact)).status == 400
    assert bench.agent.sessions == ()


def test_options_says_what_is_known(bench: Bench) -> None:
    bench.receive(bench.request("OPTIONS"))
    response = bench.sent_response()
    assert response.status == 200
    assert response.value("accept") == "application/sdp"
    assert response.items("supported") == ["outbound"]
    assert "UPDATE" in response.items("allow")
    assert response.value("server") == "Bench"


def test_header_that_cannot_be_read_is_400_with_a_warning(bench: Bench) -> None:
    response = refused(bench, bench.request("OPTIONS", ("Require", 'a, "b')))
    assert response.status == 400
    assert response.value("warning")


@pytest.mark.rfc("rfc5630", 1)
def test_sips_that_came_without_tls_is_refused() -> None:
    bench = Bench(UDP)
    response = refused(bench, bench.request("INVITE", uri="sips:alice@h", contact="<sips:b@h>"))
    assert response.status == 403


def test_there_is_room_for_so_many_calls_and_no_more() -> None:
    bench = Bench(max_sessions=2)
    for number in (1, 2):
        bench.receive(bench.request("INVITE", call_id=f"c{number}"))
    bench.events()
    response = refused(bench, bench.request("INVITE", call_id="c3"))

    assert (response.status, response.value("retry-after")) == (503, "10")
    with pytest.raises(LocalError, match="2 calls"):
        bench.invite()
    assert bench.sent() == []


def test_events_of_others_are_left_to_them(bench: Bench) -> None:
    foreign = bench.element.send_request(
        bench.request("OPTIONS").without("via"), TLS, object(), bench.now
    )
    bench.sent()
    bench.answer(foreign.request, 200)
    assert not bench.taken
    bench.receive(bench.request("ACK", to="<sip:alice@h>;tag=gone"))
    assert not bench.taken


# Calls of ours


def test_invite_says_who_we_are_and_what_we_know(bench: Bench) -> None:
    session, invite = bench.invite(fields=(("X-Own", "1"),))

    assert invite.request_uri == "sip:bob@example.org"
    assert invite.from_.uri == "sip:alice@example.org"
    assert invite.from_.tag
    assert invite.to.tag is None
    assert invite.max_forwards == 70
    assert str(invite.cseq) == "1 INVITE"
    assert invite.contacts[0].uri == "sip:alice@192.0.2.1:5061;transport=tls"
    assert invite.items("allow") == ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE"]
    assert invite.items("supported") == ["outbound"]
    assert invite.value("user-agent") == "Bench"
    assert invite.value("x-own") == "1"
    assert (invite.media_type, invite.body) == ("application/sdp", OFFER)
    assert session.call_id == invite.call_id
    assert (session.local_uri, session.remote_uri) == (
        "sip:alice@example.org",
        "sip:bob@example.org",
    )


@pytest.mark.rfc("rfc5630", 4, 5)
@pytest.mark.parametrize(
    ("uri", "fields"),
    [
        ("sips:bob@example.org", ()),
        ("sip:bob@example.org", (("Route", "<sips:proxy.example.org;lr>"),)),
    ],
)
def test_contact_is_sips_where_request_uri_or_route_is(
    bench: Bench, uri: str, fields: tuple[tuple[str, str], ...]
) -> None:
    _, invite = bench.invite(uri=uri, fields=fields)
    assert invite.contacts[0].uri == "sips:alice@192.0.2.1:5061"

    bench.agent.invite(
        uri,
        local_uri="sip:alice@example.org",
        hop=TLS,
        contact="sip:alice@pc;transport=tls;ob",
        fields=fields,
        now=0.0,
    )
    assert bench.sent_request("INVITE").contacts[0].uri == "sips:alice@pc;ob"


@pytest.mark.rfc("rfc5630", 1)
@pytest.mark.parametrize("flow", [UDP, TCP])
def test_sips_call_over_a_hop_without_tls_is_not_sent(flow: Flow) -> None:
    bench = Bench(flow)
    with pytest.raises(LocalError, match="sips"):
        bench.invite(uri="sips:bob@example.org")
    with pytest.raises(LocalError, match="sips"):
        bench.invite(fields=(("Route", "<sips:p;lr>"),))
    assert bench.sent() == []
    assert bench.agent.sessions == ()


@pytest.mark.parametrize("uri", ["tel:+1", "bob", "sip:bob@@h", "sip:bob@h\r\nX: y"])
def test_call_to_what_is_no_sip_uri_is_refused_here(bench: Bench, uri: str) -> None:
    with pytest.raises(LocalError):
        bench.invite(uri=uri)
    assert not bench.agent.busy


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_call_with_keys_in_clear_leaves_nothing_behind(flow: Flow) -> None:
    bench = Bench(flow)
    with pytest.raises(KeysInClear):
        bench.invite(KEYS)

    assert bench.sent() == []
    assert not bench.agent.busy
    assert bench.agent.next_deadline() is None
    assert len(bench.element.transactions) == 0


def test_contact_of_a_connection_that_is_not_open_must_be_given(bench: Bench) -> None:
    target = Target(Transport.TLS, "h", 5061, "h")
    with pytest.raises(LocalError, match="Contact"):
        bench.agent.invite("sip:b@h", local_uri="sip:a@h", hop=target, now=0.0)


def test_call_stays_on_the_flow_that_its_connection_became(bench: Bench) -> None:
    target = Target(Transport.TLS, "h", 5061, "h")
    session = bench.agent.invite(
        "sip:b@h", local_uri="sip:a@h", hop=target, contact="sip:a@pc", sdp=OFFER, now=0.0
    )
    bench.element.connection_opened(target, TLS, 0.0)
    bench.answer(bench.sent_request("INVITE"), 200, body=ANSWER)
    assert session.flow == TLS


# Calls to us


@pytest.mark.rfc("rfc3261-ua-transactions", 16)
def test_responses_to_a_call_bear_one_tag_and_its_record_route(bench: Bench) -> None:
    routes = [("Record-Route", "<sip:p2;lr>"), ("Record-Route", "<sip:p1;lr>")]
    bench.receive(bench.request("INVITE", *routes, body=OFFER))
    (event,) = bench.events()
    assert isinstance(event, IncomingCall)
    session = event.session
    session.ring(0.0)
    session.answer(ANSWER, 0.0)
    ringing, answer = bench.sent()

    assert ringing.to.tag == answer.to.tag
    for response in (ringing, answer):
        assert response.values("record-route") == [value for _, value in routes]
        assert response.contacts[0].uri == "sip:alice@192.0.2.1:5061;transport=tls"
    assert answer.items("allow")
    assert answer.items("supported") == ["outbound"]
    assert (answer.media_type, answer.body) == ("application/sdp", ANSWER)


@pytest.mark.rfc("rfc5630", 5)
def test_secure_call_is_answered_with_a_secure_contact(bench: Bench) -> None:
    bench.receive(bench.request("INVITE", uri="sips:alice@h", contact="<sips:bob@h>", body=OFFER))
    (event,) = bench.events()
    assert isinstance(event, IncomingCall)
    event.session.ring(0.0)
    assert bench.sent_response().contacts[0].uri == "sips:alice@192.0.2.1:5061"


def test_offer_is_found_beside_other_parts(bench: Bench) -> None:
    body = (
        b"--x\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n"
        b"--x\r\nContent-Type: application/sdp\r\n\r\n" + OFFER + b"\r\n--x--\r\n"
    )
    content = ("Content-Type", 'multipart/mixed;boundary="x"')
    bench.receive(bench.request("INVITE", content, body=body))
    (event,) = bench.events()
    assert isinstance(event, IncomingCall)
    assert event.session.remote_offer == OFFER


# Flows and the end


def test_later_requests_use_the_flow_that_took_the_old_ones_place(bench: Bench) -> None:
    session, _ = bench.call_out()
    new = Flow(Transport.TLS, LOCAL_AGAIN, TLS.remote, 7)
    bench.agent.replace_flow(TLS, new, 0.0, contact="sip:alice@192.0.2.9:5061;transport=tls")
    session.hang_up(0.0)

    (send,) = bench.element.take_sends()
    assert send.hop == new  # type: ignore[union-attr]
    assert session.contact == "sip:alice@192.0.2.9:5061;transport=tls"


LOCAL_AGAIN = ("192.0.2.9", 5061)


def test_calls_and_registrations_on_other_flows_stay_where_they_are(bench: Bench) -> None:
    session, _ = bench.call_out()
    registration = bench.agent.register(
        "sip:h", aor="sip:a@h", hop=TLS, contact="sip:a@pc", now=0.0
    )
    bench.answer(bench.sent_request("REGISTER"), 200, contact=None)
    bench.events()
    bench.agent.replace_flow(TCP, UDP, 0.0)
    bench.agent.connection_lost(TCP, "reset", 0.0)

    assert session.flow == registration.hop == TLS
    assert bench.sent() == []
    assert bench.events() == []


def test_secure_registration_moves_with_a_secure_contact(bench: Bench) -> None:
    bench.agent.register("sips:h", aor="sips:a@h", hop=TLS, contact="sips:a@pc", now=0.0)
    bench.answer(bench.sent_request("REGISTER"), 200, contact=None)
    with pytest.raises(LocalError, match="sips"):
        bench.agent.replace_flow(TLS, TCP, 0.0)
    new = Flow(Transport.TLS, LOCAL_AGAIN, TLS.remote, 7)
    bench.agent.replace_flow(TLS, new, 0.0, contact="sip:a@192.0.2.9:5061;transport=tls")
    assert bench.sent_request("REGISTER").contacts[0].uri == "sips:a@192.0.2.9:5061"


def test_secure_call_does_not_move_to_a_flow_without_tls(bench: Bench) -> None:
    session, invite = bench.invite(uri="sips:bob@example.org")
    bench.answer(invite, 200, body=ANSWER, contact="<sips:bob@h>")
    with pytest.raises(LocalError, match="sips"):
        bench.agent.replace_flow(TLS, TCP, 0.0)
    assert session.flow == TLS


def test_shutting_down_ends_everything(bench: Bench) -> None:
    standing, _ = bench.call_out()
    calling, invite = bench.invite()
    ringing, _ = bench.call_in()
    bench.answer(invite, 180)
    bench.events()
    assert bench.agent.busy
    bench.agent.shut_down(0.0)

    assert sorted(bench.labels()) == ["480", "BYE", "CANCEL"]
    ended = {event.session for event in bench.events() if isinstance(event, CallEnded)}
    assert ended == {standing, ringing}
    bench.wait(100)
    failed = [event.session for event in bench.events() if isinstance(event, CallFailed)]
    assert failed == [calling]
    assert not bench.agent.busy


def test_has_dialog_tells_our_calls_from_others(bench: Bench) -> None:
    _, invite = bench.call_out()
    assert not bench.agent.has_dialog(bench.request("INFO"))
    bye = bench.later(Request.make("X", "sip:h", [*named(invite)]), "BYE", 1)
    assert bench.agent.has_dialog(bye)
    bench.receive(bye)
    assert not bench.agent.has_dialog(bye)


def named(invite: Request) -> list[tuple[str, str]]:
    """What names the dialog that Bob's tag made of an INVITE."""
    return [
        ("From", invite.value("from") or ""),
        ("To", f"{invite.value('to')};tag=b"),
        ("Call-ID", invite.call_id),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_garbage_in_headers_never_stops_the_agent(bench: Bench, seed: int) -> None:
    """Whatever a request holds, it is answered or handed up, and the agent lives on."""
    chance = random.Random(seed)
    pool = ["contact", "record-route", "require", "from", "expires", "content-type", "route"]
    values = ["", "*", "<", '"', "<sip:a@h>", "<tel:1>", "a;b;b", "<sip:a@h>,,", '"\\\0" <sip:a@h>']
    for number in range(150):
        request = bench.request(chance.choice(["INVITE", "OPTIONS"]), call_id=f"c{number}")
        raw = request.to_bytes()
        for name in chance.sample(pool, 2):
            line = f"{name}: {chance.choice(values)}\r\n".encode()
            raw = raw.replace(b"\r\nContent-Length", b"\r\n" + line + b"Content-Length", 1)
        bench.element.receive_datagram(raw, UDP, bench.now)
        bench.sent()
    for session in bench.agent.sessions:
        session.hang_up(bench.now)
    bench.sent()
