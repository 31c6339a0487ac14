"""May this request leave on that hop?  One rule in one place.  RFC 5630, RFC 3261 26.2.2."""

from dataclasses import dataclass

from ..errors import ParseError
from ..sip.registrar import Binding
from ..sip.transport import Flow, Transport, host_port
from ..sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class Reach:
    """How a binding is reached: what to put into the Request-URI."""

    request_uri: str
    flow: Flow


def reach(binding: Binding, flow: Flow, *, secure: bool) -> Reach | None:
    """Decide whether and how a request may go to a phone.

    ``sips`` promises TLS on every hop, so a ``sips`` request only goes to a phone whose
    connection is TLS.  A request to ``sip`` may go anywhere; what must not travel in
    clear (SRTP keys) is refused further down, by the element.

    Departs from RFC 5630 section 5.3, which wants a ``sips`` Contact for a ``sips``
    request: a phone that registered ``sip:…;transport=tls`` over a TLS connection gets it
    over that connection, because the promise is kept.  Desk phones register like that.

    Args:
        binding: Where the user is registered.
        flow: The open flow that it was registered over.
        secure: The Request-URI is ``sips``.

    Returns:
        None if the request must not go there.

    """
    if secure and not flow.secure:
        return None
    try:
        contact = SipUri.parse(binding.contact)
    except ParseError:
        return None
    if contact.secure and not secure:
        # RFC 5630 section 5.3: a sip request reaches a sips contact by its sip form.
        plain = binding.contact[len("sips:") :]
        return Reach(f"sip:{plain}", flow)
    return Reach(binding.contact, flow)


def record_routes(token: str, caller: Flow, callee: Flow, *, secure: bool) -> tuple[str, ...]:
    """Our Record-Route values, the topmost first (RFC 3261 section 16.6 item 4).

    Two when the request leaves by another transport or address than it came by, each
    with the address that its side can reach (RFC 5658).
    """
    near = _record_route(token, caller, secure=secure)
    far = _record_route(token, callee, secure=secure)
    return (near,) if near == far else (far, near)


def _record_route(token: str, flow: Flow, *, secure: bool) -> str:
    address = host_port(*flow.local)
    if secure:
        return f"<sips:{token}@{address};lr>"
    transport = (
        "" if flow.transport is Transport.UDP else f";transport={flow.transport.value.lower()}"
    )
    return f"<sip:{token}@{address}{transport};lr>"
