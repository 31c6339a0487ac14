"""Which hop a request may leave on: RFC 5630, RFC 3261 section 26.2.2."""

import pytest

from sottovoce.server.policy import reach, record_routes
from sottovoce.sip.registrar import Binding
from sottovoce.sip.transport import Flow, Transport

TLS = Flow(Transport.TLS, ("192.0.2.1", 5061), ("198.51.100.7", 40001), connection=7)
UDP = Flow(Transport.UDP, ("192.0.2.1", 5060), ("203.0.113.9", 5060))


def binding(contact: str) -> Binding:
    return Binding(contact=contact, params=(), call_id="c", cseq=1, expires_utc=9e9, flow="f")


@pytest.mark.rfc("rfc5630", 1, 2)
@pytest.mark.parametrize("contact", ["sip:bob@203.0.113.9", "sips:bob@203.0.113.9"])
def test_a_sips_request_never_leaves_on_a_hop_without_tls(contact: str) -> None:
    assert reach(binding(contact), UDP, secure=True) is None


def test_a_phone_registered_over_tls_with_a_sip_contact_gets_sips_calls_over_that_tls() -> None:
    way = reach(binding("sip:bob@203.0.113.9;transport=tls"), TLS, secure=True)

    assert way is not None
    assert way.flow is TLS
    assert way.request_uri == "sip:bob@203.0.113.9;transport=tls"


@pytest.mark.rfc("rfc5630", 7)
def test_a_sip_request_reaches_a_sips_contact_by_its_sip_form() -> None:
    way = reach(binding("sips:bob@203.0.113.9;x=1"), TLS, secure=False)

    assert way is not None
    assert way.request_uri == "sip:bob@203.0.113.9;x=1"


@pytest.mark.rfc("rfc3261-registrar-proxy", 17)
def test_one_record_route_where_both_sides_share_transport_and_address() -> None:
    assert record_routes("tok", TLS, TLS, secure=True) == ("<sips:tok@192.0.2.1:5061;lr>",)


@pytest.mark.rfc("rfc3261-registrar-proxy", 17)
def test_two_record_routes_where_the_transport_changes_the_callees_on_top() -> None:
    assert record_routes("tok", TLS, UDP, secure=False) == (
        "<sip:tok@192.0.2.1:5060;lr>",
        "<sip:tok@192.0.2.1:5061;transport=tls;lr>",
    )
