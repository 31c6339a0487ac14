"""RFC 3261 section 10.2, RFC 5626 section 4, RFC 3608."""

import itertools

import pytest

from sottovoce.errors import LocalError
from sottovoce.secret import Secret
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.message import Request
from sottovoce.sip.registration import MAX_EXPIRES_S, TABLE, Input, Registration, State
from sottovoce.sip.session_events import Registered, RegistrationFailed, Unregistered
from sottovoce.sip.transport import Flow, Hop, Target, Transport

from .conftest import LOCAL, TCP, TLS, Bench

INSTANCE = "urn:uuid:00000000-0000-4000-8000-000000000001"
CONTACT = "sip:alice@192.0.2.1:5061"


def credentials(password: str) -> DigestClient:
    return DigestClient(
        username="alice",
        password=Secret(password),
        realms=frozenset({"example.org"}),
        random_bytes=lambda size: bytes(size),
    )


def register(
    bench: Bench,
    *,
    expires_s: int = 600,
    instance_id: str = INSTANCE,
    uri: str = "sip:example.org",
    hop: Hop = TLS,
    contact: str = CONTACT,
    password: str = "",
) -> tuple[Registration, Request]:
    registration = bench.agent.register(
        uri,
        aor="sip:alice@example.org",
        hop=hop,
        contact=contact,
        display_name="Alice",
        expires_s=expires_s,
        instance_id=instance_id,
        credentials=credentials(password) if password else None,
        now=bench.now,
    )
    return registration, bench.sent_request("REGISTER")


def granted(bench: Bench, *fields: tuple[str, str]) -> float:
    """The registrar says 200: seconds until the refresh."""
    registration, request = register(bench)
    bench.answer(request, 200, *fields, contact=None)
    (event,) = bench.events()
    assert isinstance(event, Registered)
    assert event.registration is registration
    at = bench.agent.next_deadline()
    assert at is not None
    return at - bench.now


@pytest.mark.rfc("rfc5626-3581", 5)
def test_register_says_who_and_where_and_for_how_long(bench: Bench) -> None:
    _, request = register(bench)
    assert request.request_uri == "sip:example.org"
    assert str(request.to) == '"Alice" <sip:alice@example.org>'
    assert request.from_.uri == request.to.uri
    assert request.from_.tag
    assert request.value("contact") == (
        f'<{CONTACT}>;expires=600;+sip.instance="<{INSTANCE}>";reg-id=1'
    )
    assert request.items("supported") == ["path", "outbound"]
    assert request.expires == 600
    assert request.max_forwards == 70


def test_phone_without_an_instance_asks_for_no_outbound(bench: Bench) -> None:
    _, request = register(bench, instance_id="")
    assert request.value("contact") == f"<{CONTACT}>;expires=600"
    assert request.items("supported") == ["path"]


@pytest.mark.rfc("rfc5630", 5)
def test_secure_registration_has_a_secure_contact_and_needs_tls(bench: Bench) -> None:
    _, request = register(bench, uri="sips:example.org", contact=f"{CONTACT};transport=tls")
    assert request.contacts[0].uri == "sips:alice@192.0.2.1:5061"
    with pytest.raises(LocalError, match="sips"):
        register(bench, uri="sips:example.org", hop=TCP)
    assert len(bench.agent.registrations) == 1


@pytest.mark.parametrize(
    ("fields", "granted_s"),
    [
        ([("Contact", f'<{CONTACT}>;+sip.instance="<{INSTANCE}>";reg-id=1;expires=300')], 300),
        # Ours among others, though the registrar shows another address of it.
        (
            [
                ("Contact", "<sip:other@h>;expires=7000"),
                ("Contact", f'<sip:x@nat>;+sip.instance="<{INSTANCE}>";reg-id=1;expires=200'),
            ],
            200,
        ),
        ([("Contact", f'<{CONTACT}>;+sip.instance="<{INSTANCE}>"'), ("Expires", "400")], 400),
        ([("Expires", "500")], 500),
        ([("Expires", "100")], 100),
        ([], 600),
        ([("Contact", "<sip:unknown@h>;expires=7")], 600),
        (
            [("Contact", f'<{CONTACT}>;+sip.instance="<{INSTANCE}>";expires=99999999')],
            MAX_EXPIRES_S,
        ),
    ],
)
def test_refresh_comes_well_before_the_life_granted_ends(
    bench: Bench, fields: list[tuple[str, str]], granted_s: int
) -> None:
    wait_s = granted(bench, *fields)
    assert granted_s / 2 <= wait_s <= min(0.9 * granted_s, granted_s - 32)
    assert wait_s >= 0.8 * granted_s or wait_s >= granted_s - 32


@pytest.mark.parametrize(("granted_s", "low", "high"), [(1, 1, 1), (10, 5, 9), (40, 20, 36)])
def test_refresh_of_a_short_life_comes_neither_late_nor_all_the_time(
    bench: Bench, granted_s: int, low: float, high: float
) -> None:
    assert low <= granted(bench, ("Expires", str(granted_s))) <= high


def test_binding_that_was_not_taken_is_a_failure(bench: Bench) -> None:
    _, request = register(bench)
    bench.answer(request, 200, ("Expires", "0"), contact=None)
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert event.retry_in_s is not None


def test_contact_is_found_by_its_uri_without_an_instance(bench: Bench) -> None:
    _, request = register(bench, instance_id="")
    contacts = ("Contact", f"<sip:other@h>;expires=9, <{CONTACT}>;expires=100")
    bench.answer(request, 200, contacts, contact=None)
    (event,) = bench.events()
    assert isinstance(event, Registered)
    assert event.expires_s == 100


def test_service_route_is_kept_for_calls(bench: Bench) -> None:
    registration, request = register(bench)
    routes = ("Service-Route", "<sip:p1;lr>, <sip:p2;lr>")
    bench.answer(request, 200, routes, contact=None)
    assert registration.service_route == ("<sip:p1;lr>", "<sip:p2;lr>")


@pytest.mark.rfc("rfc5626-3581", 7)
def test_first_hop_without_outbound_is_asked_again_without_it(bench: Bench) -> None:
    _, request = register(bench)
    bench.answer(request, 439)
    again = bench.sent_request("REGISTER")
    assert "reg-id" not in (again.value("contact") or "")
    bench.answer(again, 439)
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert event.retry_in_s is None


@pytest.mark.parametrize(
    "minimum", [[], [("Min-Expires", "600")], [("Min-Expires", "x")], [("Min-Expires", "9999999")]]
)
def test_423_that_asks_for_nothing_sensible_is_a_failure(
    bench: Bench, minimum: list[tuple[str, str]]
) -> None:
    _, request = register(bench)
    bench.answer(request, 423, *minimum)
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert event.status == 423


def test_registrar_that_always_wants_more_is_not_followed_for_ever(bench: Bench) -> None:
    _, request = register(bench, expires_s=10)
    for minimum in range(100, 1000, 100):
        bench.answer(request, 423, ("Min-Expires", str(minimum)))
        sent = bench.sent()
        if not sent:
            break
        assert isinstance(sent[0], Request)
        request = sent[0]
    assert request.expires == 200
    assert isinstance(bench.events()[-1], RegistrationFailed)


@pytest.mark.parametrize(
    ("status", "again"),
    [(403, False), (404, False), (302, False), (603, False), (408, True), (430, True), (500, True)],
)
def test_only_what_may_pass_is_tried_again(bench: Bench, status: int, again: bool) -> None:
    _, request = register(bench)
    bench.answer(request, status)
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert (event.status, event.retry_in_s is not None) == (status, again)
    assert (bench.agent.next_deadline() is not None) is again


@pytest.mark.parametrize(
    ("value", "low", "high"), [("500 (lunch);duration=9", 500, 500), ("-", 30, 60)]
)
def test_registrar_says_when_to_come_back(
    bench: Bench, value: str, low: float, high: float
) -> None:
    _, request = register(bench)
    bench.answer(request, 503, ("Retry-After", value))
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert event.retry_in_s is not None
    assert low <= event.retry_in_s <= high


def test_registrar_cannot_put_a_phone_to_sleep_for_days(bench: Bench) -> None:
    _, request = register(bench)
    bench.answer(request, 503, ("Retry-After", "999999"))
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert event.retry_in_s == 1800


def test_unregistering_waits_for_the_answer_under_way(bench: Bench) -> None:
    registration, request = register(bench)
    registration.unregister(bench.now)
    assert bench.sent() == []
    bench.answer(request, 200, contact=None)
    removal = bench.sent_request("REGISTER")
    assert removal.expires == 0
    assert ";expires=0" in (removal.value("contact") or "")
    assert removal.cseq.number == request.cseq.number + 1
    assert bench.events() == []
    bench.answer(removal, 500)
    assert bench.events() == [Unregistered(registration)]
    assert bench.agent.registrations == ()


def test_challenged_removal_is_a_removal_still(bench: Bench) -> None:
    registration, request = register(bench, password="x")
    bench.answer(request, 200, contact=None)
    registration.unregister(bench.now)
    challenge = ("WWW-Authenticate", 'Digest realm="example.org", nonce="n", qop="auth"')
    bench.answer(bench.sent_request("REGISTER"), 401, challenge)
    again = bench.sent_request("REGISTER")
    assert again.expires == 0
    assert "authorization" in again


def due(bench: Bench) -> Request:
    """Jump to the next deadline: the REGISTER sent then."""
    at = bench.agent.next_deadline()
    assert at is not None
    bench.now = at
    bench.agent.handle_timer(at)
    return bench.sent_request("REGISTER")


def test_back_off_begins_anew_after_a_success(bench: Bench) -> None:
    _, request = register(bench)
    for _ in range(6):
        bench.answer(request, 503)
        request = due(bench)
    bench.answer(request, 200, contact=None)
    request = due(bench)
    bench.events()
    bench.answer(request, 503)
    (event,) = bench.events()
    assert isinstance(event, RegistrationFailed)
    assert event.retry_in_s is not None
    assert 30 <= event.retry_in_s <= 60


def test_registration_that_never_was_is_dropped_without_a_word(bench: Bench) -> None:
    registration, request = register(bench)
    bench.answer(request, 503)
    bench.events()
    registration.unregister(bench.now)
    assert bench.sent() == []
    assert bench.events() == [Unregistered(registration)]
    assert bench.agent.next_deadline() is None


def test_answer_to_an_older_request_says_nothing(bench: Bench) -> None:
    registration, request = register(bench)
    new = Flow(Transport.TLS, LOCAL, TLS.remote, 9)
    bench.agent.replace_flow(TLS, new, bench.now)
    bench.sent()
    bench.answer(request, 403)
    assert bench.events() == []
    assert registration.state is State.REGISTERING


def test_registration_stays_on_the_flow_that_its_connection_became(bench: Bench) -> None:
    target = Target(Transport.TLS, "h", 5061, "h")
    registration, request = register(bench, hop=target)
    bench.element.connection_opened(target, TLS, 0.0)
    bench.answer(request, 200, contact=None)
    assert registration.hop == TLS


#: What each state ignores, written out so that a new input cannot be forgotten.
_ANSWERS = "ACCEPTED FAILED REFUSED CORRECTED"
_TIMERS = "REFRESH_DUE RETRY_DUE"
_EVERYTHING = " ".join(given.name for given in Input)
IGNORED = {
    State.REGISTERING: f"FLOW_LOST {_TIMERS}",
    State.REGISTERED: f"RETRY_DUE {_ANSWERS}",
    State.WAITING: f"REFRESH_DUE FLOW_LOST {_ANSWERS}",
    State.REFUSED: f"FLOW_LOST {_ANSWERS} {_TIMERS}",
    State.UNREGISTER_WAITING: f"CORRECTED FLOW_REPLACED FLOW_LOST UNREGISTER {_TIMERS}",
    State.UNREGISTERING: f"CORRECTED FLOW_REPLACED FLOW_LOST UNREGISTER {_TIMERS}",
    State.ENDED: _EVERYTHING,
}


@pytest.mark.parametrize(("state", "given"), list(itertools.product(State, Input)))
def test_table_says_what_every_state_does_with_every_input(state: State, given: Input) -> None:
    assert ((state, given) in TABLE) is (given.name not in IGNORED[state].split())
