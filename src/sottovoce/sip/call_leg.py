"""The path of one call: where its requests go, and what they all bear.  RFC 3261 section 12.2.1."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ..errors import LocalError
from .agent_context import AgentContext
from .client_transaction import ClientTransaction
from .content import SDP_TYPE
from .dialog import Dialog
from .digest_client import DigestClient
from .element import KeysInClear
from .message import Request, Response
from .server_transaction import ServerTransaction
from .transport import Flow, Hop

_CREDENTIALS: Final = ("authorization", "proxy-authorization")
#: Answers acknowledged and remembered, in case they come again: forks and re-INVITEs of 32 s.
MAX_REMEMBERED_ACKS: Final = 32


class CallLeg:
    """Sends the requests and responses of one call.

    Args:
        context: What all calls share.
        owner: Who gets the events of its client transactions.
        hop: Where its requests go; becomes a flow with the first answer.
        contact: Our URI.
        credentials: Answers challenges, if there is a password.

    """

    __slots__ = ("_acks", "contact", "context", "credentials", "dialog", "hop", "owner")

    def __init__(
        self,
        context: AgentContext,
        *,
        owner: object,
        hop: Hop,
        contact: str,
        credentials: DigestClient | None = None,
    ) -> None:
        self.context = context
        self.owner = owner
        self.hop = hop
        self.contact = contact
        self.credentials = credentials
        self.dialog: Dialog | None = None
        self._acks: dict[tuple[str, int], Request] = {}

    def move(self, hop: Hop) -> None:
        """Send what comes from now on somewhere else.

        Raises:
            LocalError: The call was promised TLS, and the new hop is without.

        """
        if self.dialog is not None and self.dialog.secure and not hop.transport.secure:
            raise LocalError(f"a sips call does not move to {hop}")
        self.hop = hop

    # Requests

    def send(
        self,
        method: str,
        now: float,
        *,
        dialog: Dialog | None = None,
        sdp: bytes | None = None,
    ) -> ClientTransaction:
        """Send a request inside the dialog, or another one of the same call.

        Raises:
            KeysInClear: The description holds SRTP keys and the hop is not TLS.

        """
        dialog = dialog or self.dialog
        assert dialog is not None
        profile = self.context.profile
        fields = profile.request_fields()
        contact = None
        if method == "INVITE":
            contact = self.contact
            fields = [*profile.capability_fields(), *fields]
        request = dialog.make_request(
            method, contact=contact, fields=[*fields, *_content_fields(sdp)], body=sdp or b""
        )
        return self.start(request, now)

    def start(self, request: Request, now: float) -> ClientTransaction:
        """Send a request of the call, with credentials where the server asked for them."""
        if self.credentials is not None:
            request = self.credentials.authorize(request)
        return self.context.element.send_request(request, self.hop, self.owner, now)

    def answer_challenge(
        self, transaction: ClientTransaction, response: Response, now: float
    ) -> ClientTransaction | None:
        """Send a challenged request again (section 22); None if that would be refused, too."""
        request = transaction.request
        if response.status not in (401, 407) or self.credentials is None:
            return None
        if not self.credentials.receive_challenge(request, response):
            return None
        number = request.cseq.number + 1
        if self.dialog is not None:
            number = self.dialog.local_cseq = max(number, self.dialog.local_cseq + 1)
        again = request.without("via").with_replaced("CSeq", f"{number} {request.method}")
        try:
            return self.start(again, now)
        except KeysInClear:
            return None  # the call has moved to another hop since

    def learn_flow(self, transaction: ClientTransaction) -> None:
        """Stay on the flow that a connection to the first hop turned out to be."""
        if not isinstance(self.hop, Flow) and isinstance(transaction.hop, Flow):
            self.hop = transaction.hop

    # ACK for 2xx: by the call, not by a transaction (section 13.2.2.4)

    def acknowledge(self, dialog: Dialog, invite: Request, sdp: bytes | None = None) -> None:
        """Send the ACK for a 2xx, with the credentials of its INVITE (section 22.1).

        Raises:
            KeysInClear: The answer holds SRTP keys and the hop is not TLS.

        """
        fields = [(name.title(), value) for name in _CREDENTIALS for value in invite.values(name)]
        number = invite.cseq.number
        ack = dialog.make_ack(number, fields=[*fields, *_content_fields(sdp)], body=sdp or b"")
        self.context.element.send_ack(ack, self.hop)
        if len(self._acks) >= MAX_REMEMBERED_ACKS:
            del self._acks[next(iter(self._acks))]
        self._acks[dialog.remote.tag or "", number] = ack

    def repeat_ack(self, response: Response) -> bool:
        """Send the ACK once more for a 2xx that came once more; False if it is a new one."""
        ack = self._acks.get((response.to.tag or "", response.cseq.number))
        if ack is None:
            return False
        with suppress(KeysInClear):  # the call may have moved to another hop since
            self.context.element.send_ack(ack, self.hop)
        return True

    # Responses

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str = "",
        sdp: bytes | None = None,
        to_tag: str | None = None,
    ) -> Response:
        """Answer an INVITE or UPDATE with 101 to 299.

        Raises:
            KeysInClear: The description holds SRTP keys and the request came without TLS.

        """
        fields = [("Contact", f"<{self.contact}>")]
        if status >= 200:
            fields += self.context.profile.response_fields()
        response = Response.to_request(
            transaction.request,
            status,
            reason,
            to_tag=to_tag,
            fields=[*fields, *_content_fields(sdp)],
            body=sdp or b"",
        )
        self.context.element.respond(transaction, response, now)
        return response

    def refuse(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str = "",
        fields: Sequence[tuple[str, str]] = (),
        to_tag: str | None = None,
    ) -> None:
        """Answer a request without a body."""
        self.context.element.reply(
            transaction, status, now, reason=reason, fields=fields, to_tag=to_tag
        )


class UnacknowledgedAnswer:
    """Our 2xx to an INVITE, repeated until its ACK comes (section 13.3.1.4).

    On every transport: a proxy on the way may lose it where we cannot see it.
    """

    __slots__ = ("_context", "_gap_s", "_give_up_at", "_repeat_at", "_response", "_transaction")

    def __init__(
        self,
        context: AgentContext,
        transaction: ServerTransaction,
        response: Response,
        now: float,
    ) -> None:
        timers = context.timers
        self._context = context
        self._transaction = transaction
        self._response = response
        self._gap_s = timers.t1_s
        self._repeat_at = now + self._gap_s
        self._give_up_at = now + timers.transaction_s

    def is_acknowledged_by(self, ack: Request) -> bool:
        """Tell whether an ACK is the one waited for."""
        return ack.cseq.number == self._response.cseq.number

    def handle_timer(self, now: float) -> bool:
        """Repeat the answer if that is due; False once the ACK is 64*T1 late."""
        if now >= self._give_up_at:
            return False
        if now >= self._repeat_at:
            self._gap_s = min(2 * self._gap_s, self._context.timers.t2_s)
            self._repeat_at = now + self._gap_s
            self._context.element.respond(self._transaction, self._response, now)
        return True

    def next_deadline(self) -> float:
        """When to call :meth:`handle_timer`."""
        return min(self._repeat_at, self._give_up_at)


def _content_fields(sdp: bytes | None) -> list[tuple[str, str]]:
    return [("Content-Type", SDP_TYPE)] if sdp else []
