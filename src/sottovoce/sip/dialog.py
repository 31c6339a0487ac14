"""Dialogs: what two user agents remember of each other.  RFC 3261 section 12, RFC 5630."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ..errors import LocalError, ParseError
from .header_values import NameAddress
from .message import Field, Message, Request, Response, field
from .transport import Flow, Transport, host_port
from .uri import SipUri

MAX_FORWARDS: Final = 70  # section 8.1.1.6
MAX_LOCAL_CSEQ: Final = 2**31 - 1  # section 8.1.1.5
#: Requests that move the remote target (section 12.2, RFC 3311 section 5.1).
TARGET_REFRESHERS: Final = frozenset({"INVITE", "UPDATE"})


class DialogId(NamedTuple):
    """What a dialog is known by (section 12)."""

    call_id: str
    local_tag: str
    remote_tag: str

    @classmethod
    def of_request(cls, request: Request) -> "DialogId":
        """Name the dialog that a received request belongs to."""
        return cls(request.call_id, request.to.tag or "", request.from_.tag or "")


class OutOfOrder(ParseError):
    """A request is older than one that came before it (section 12.2.2)."""

    def __init__(self, number: int, seen: int) -> None:
        super().__init__(f"CSeq: {number} is not above {seen}", status_hint=500)


class Dialog:
    """One dialog, early or confirmed; made by :meth:`as_uac` or :meth:`as_uas`.

    A dialog begun with a ``sips`` Request-URI is secure, and its remote target is
    ``sips`` for as long as it lives (RFC 5630 section 5.1.1.2).
    """

    __slots__ = (
        "call_id",
        "local",
        "local_cseq",
        "remote",
        "remote_cseq",
        "remote_target",
        "route_set",
        "secure",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local: NameAddress,
        remote: NameAddress,
        local_cseq: int,
        remote_cseq: int | None,
        remote_target: str,
        route_set: Sequence[str],
        secure: bool,
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.remote_target = remote_target
        self.route_set = tuple(route_set)
        self.secure = secure

    @classmethod
    def as_uac(cls, request: Request, response: Response) -> "Dialog":
        """Make the dialog that a response to our request begins (section 12.1.2).

        Raises:
            ParseError: Contact or Record-Route of the response cannot be followed.

        """
        secure = request.uri.secure
        # Departs from section 12.1.2: 180 responses without Contact are common, and what
        # reached the peer once reaches it again.
        target = _contact_of(response)
        return cls(
            call_id=request.call_id,
            local=_tagged(request.from_, request.from_.tag),
            remote=_tagged(response.to, response.to.tag),
            local_cseq=request.cseq.number,
            remote_cseq=None,
            remote_target=_kept_secure(target) if target and secure else target or str(request.uri),
            route_set=_routes_of(response)[::-1],
            secure=secure,
        )

    @classmethod
    def as_uas(cls, request: Request, local_tag: str) -> "Dialog":
        """Make the dialog that our response to a request begins (section 12.1.1).

        Raises:
            ParseError: Contact is missing, or it or Record-Route cannot be followed.

        """
        secure = request.uri.secure
        target = _contact_of(request)
        if target is None:
            raise ParseError("Contact: missing")
        if "\0" in request.call_id:
            raise ParseError("Call-ID: holds NUL, which no request of ours can repeat")
        return cls(
            call_id=request.call_id,
            local=_tagged(request.to, local_tag),
            remote=_tagged(request.from_, request.from_.tag),
            local_cseq=0,
            remote_cseq=request.cseq.number,
            remote_target=_kept_secure(target) if secure else target,
            route_set=_routes_of(request),
            secure=secure,
        )

    def __repr__(self) -> str:
        return f"<Dialog {self.call_id} with {self.remote.uri}>"

    @property
    def id(self) -> DialogId:
        """What it is known by."""
        return DialogId(self.call_id, self.local.tag or "", self.remote.tag or "")

    # Requests that we send

    def make_request(
        self,
        method: str,
        *,
        contact: str | None = None,
        fields: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """Make the next request of ours, without its Via (section 12.2.1.1).

        Args:
            method: Any but ACK and CANCEL.
            contact: Our URI, where the method carries one.
            fields: More headers in wire form, Content-Type among them if there is a body.
            body: Content.

        """
        if self.local_cseq >= MAX_LOCAL_CSEQ:
            raise LocalError(f"a dialog has no more than {MAX_LOCAL_CSEQ} requests")
        self.local_cseq += 1
        return self._request(method, self.local_cseq, contact, fields, body)

    def make_ack(
        self, cseq_number: int, *, fields: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Make the ACK for a 2xx, without its Via (section 13.2.2.4).

        Args:
            cseq_number: That of the INVITE.
            fields: The INVITE's credentials; Content-Type if there is a body.
            body: The answer, if the 2xx brought the offer.

        """
        return self._request("ACK", cseq_number, None, fields, body)

    def _request(
        self,
        method: str,
        number: int,
        contact: str | None,
        fields: Iterable[tuple[str, str]],
        body: bytes,
    ) -> Request:
        request_uri, routes = self.remote_target, list(self.route_set)
        if routes and not NameAddress.parse(routes[0]).sip_uri.loose_route:
            # The first hop is a strict router: it finds its own URI in the start line.
            routes.append(f"<{request_uri}>")
            first = NameAddress.parse(routes.pop(0)).sip_uri
            params = {name: value for name, value in first.params.items() if name != "method"}
            request_uri = str(replace(first, params=params, headers=""))
        head: list[Field] = [field("Route", route) for route in routes]
        head += [
            field("Max-Forwards", str(MAX_FORWARDS)),
            field("From", str(self.local)),
            field("To", str(self.remote)),
            field("Call-ID", self.call_id),
            field("CSeq", f"{number} {method}"),
        ]
        if contact is not None:
            head.append(field("Contact", f"<{contact}>"))
        head += [field(*pair) for pair in fields]
        return Request(method, request_uri, head, body)

    # Messages that we receive

    def check_request(self, request: Request) -> None:
        """Raise unless a request of the peer is in order; changes nothing (section 12.2.2).

        Raises:
            OutOfOrder: Its CSeq is not above that of the one before.
            ParseError: It would move a secure dialog to an insecure target.

        """
        number = request.cseq.number
        if request.method == "ACK":
            return
        if self.remote_cseq is not None and number <= self.remote_cseq:
            raise OutOfOrder(number, self.remote_cseq)
        if request.method in TARGET_REFRESHERS:
            self._refreshed(request)

    def receive_request(self, request: Request) -> None:
        """Remember the CSeq of a request that :meth:`check_request` let pass."""
        if request.method != "ACK":
            self.remote_cseq = request.cseq.number

    def refresh_target(self, message: Message) -> None:
        """Move the remote target to the Contact of an INVITE, an UPDATE or the 2xx to one.

        The route set stays (section 12.2).

        Raises:
            ParseError: The Contact is malformed, or not secure where the dialog is.

        """
        self.remote_target = self._refreshed(message)

    def _refreshed(self, message: Message) -> str:
        target = _contact_of(message)
        if target is None:
            return self.remote_target
        if not self.secure:
            return target
        uri = SipUri.parse(target)
        if not uri.secure and uri.transport != "tls":
            raise ParseError("Contact: a dialog begun with sips does not move to sip")
        return _kept_secure(target)


def own_contact(flow: Flow, user: str | None, *, secure: bool) -> str:
    """Write the URI at which our end of a flow takes requests.

    Args:
        flow: A flow that the peer, or the peer's proxy, can send requests over.
        user: User part, escaped.
        secure: The Request-URI or topmost route is ``sips`` (RFC 5630 section 5.1).

    """
    userinfo = f"{user}@" if user else ""
    if secure:
        return f"sips:{userinfo}{host_port(*flow.local)}"
    suffix = "" if flow.transport is Transport.UDP else f";transport={flow.transport.value.lower()}"
    return f"sip:{userinfo}{host_port(*flow.local)}{suffix}"


def secure_contact(contact: str) -> str:
    """Write a Contact URI as ``sips``, for a request that is ``sips`` (RFC 5630 section 5.1).

    Raises:
        ParseError: Not a SIP or SIPS URI.

    """
    return _kept_secure(contact)


def _kept_secure(target: str) -> str:
    uri = SipUri.parse(target)
    if uri.secure:
        return target
    # "transport=tls" says with sip what sips says by itself (RFC 5630 section 3.1.4).
    params = {
        name: value
        for name, value in uri.params.items()
        if (name, (value or "").lower()) != ("transport", "tls")
    }
    return str(replace(uri, scheme="sips", params=params))


def _tagged(address: NameAddress, tag: str | None) -> NameAddress:
    # A quoted-pair may bring control characters, which no header of ours can carry.
    name = "".join(each for each in address.display_name if each >= " " and each != "\x7f")
    # Peers of RFC 2543 have no tag (section 12.1.1): then there is none to send back.
    return NameAddress(name, address.uri, {"tag": tag} if tag else {})


def _contact_of(message: Message) -> str | None:
    """Return the one Contact of a message; None if there is none."""
    if "contact" not in message:
        return None
    contacts = message.contacts
    if len(contacts) != 1:
        raise ParseError(f"Contact: {len(contacts)} where a dialog takes 1")
    uri = contacts[0].uri
    try:
        SipUri.parse(uri)
    except ParseError as wrong:
        raise ParseError(f"Contact: {wrong}") from None
    return uri


def _routes_of(message: Message) -> list[str]:
    """Return the Record-Route items as received, each known to be a URI to send to."""
    for route in message.record_routes:
        try:
            _ = route.sip_uri
        except ParseError as wrong:
            raise ParseError(f"Record-Route: {wrong}") from None
    routes = message.items("record-route")
    if any("\0" in each for each in routes):
        raise ParseError("Record-Route: holds NUL, which no request of ours can repeat")
    return routes
