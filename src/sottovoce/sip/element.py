"""One SIP element: bytes of the network in, transaction events out, and back.

It ties framing, parser, Via rules and transactions together, and it is the one place
where a message with SRTP keys meets the hop it would travel on: keys neither leave on
nor are taken from a hop that is not TLS (RFC 4568 section 7.1).
"""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import LocalError, ParseError
from ..keying.sdes import cannot_be_inspected, carries_keys
from .client_transaction import ClientTransaction
from .framing import StreamFramer
from .header_values import Via
from .message import Message, Request, Response, field
from .parser import parse_message, salvage
from .server_transaction import ServerTransaction
from .timers import RFC3261_TIMERS, TimerValues
from .transactions import Send, TransactionEvent, Transactions
from .transport import Flow, Hop, Target, Transport, host_port

#: Who warns in a Warning header when we have no name of our own to give.
WARNING_AGENT = "sottovoce"
KEYS_IN_CLEAR = "SRTP keys must not travel on a hop without TLS"


@dataclass(frozen=True, slots=True)
class CloseFlow:
    """Command to the transport: this stream cannot be followed any more."""

    flow: Flow
    reason: str


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message was answered or dropped here, for the log."""

    flow: Flow
    reason: str


@dataclass(frozen=True, slots=True)
class KeepAliveReceived:
    """The peer of a stream sent CRLFs between messages: it is there (RFC 5626 section 4.4.1).

    The pongs of two of our pings look like a ping of the peer's own, so both count.
    """

    flow: Flow


ElementEvent = TransactionEvent | MessageRefused | KeepAliveReceived


class KeysInClear(LocalError):
    """Sending this would show SRTP keys to third parties."""


class Element:
    """A SIP element's lower half, under a proxy, a registrar or a user agent.

    Args:
        random_bytes: Source of unguessable octets.
        timers: Base times.
        allow_keys_in_clear_text: Let SRTP keys travel on hops without TLS.
        sent_by: ``host:port`` for our Via headers, by transport; may be filled in later.

    """

    def __init__(
        self,
        random_bytes: Callable[[int], bytes],
        *,
        timers: TimerValues = RFC3261_TIMERS,
        allow_keys_in_clear_text: bool = False,
        sent_by: Mapping[Transport, str] | None = None,
    ) -> None:
        self._random_bytes = random_bytes
        self._allow_keys_in_clear_text = allow_keys_in_clear_text
        self.sent_by = dict(sent_by or {})
        self._anonymous_host = f"{self.new_token()}.invalid"
        self.transactions = Transactions(self.new_token, timers=timers)
        self._framers: dict[int, StreamFramer] = {}
        self._sends: list[Send | CloseFlow] = []
        self._events: deque[ElementEvent] = deque()

    def new_token(self) -> str:
        """64 unguessable bits, for branches, tags and Call-IDs."""
        return self._random_bytes(8).hex()

    # What comes in

    def receive_datagram(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one UDP datagram."""
        if not data.strip(b"\r\n\0 "):  # RFC 5626 section 3.5.1, or four zeros
            return
        self._receive_message(data, flow, now)

    def receive_stream(self, data: bytes, flow: Flow, now: float) -> None:
        """Take what arrived on a stream connection, cut anywhere."""
        framer = self._framers.get(flow.connection)
        if framer is None:
            framer = self._framers[flow.connection] = StreamFramer()
        try:
            framer.receive_bytes(data)
            while (message := framer.next_message()) is not None:
                self._receive_message(message, flow, now)
        except ParseError as error:
            self._refuse_stream(flow, error)
            return
        if pings := framer.take_pings():
            self._sends.append(Send(flow, b"\r\n" * pings))  # RFC 5626 section 4.4.1: the pongs
        if framer.take_pongs() or pings:
            self._events.append(KeepAliveReceived(flow))

    def _refuse_stream(self, flow: Flow, error: ParseError) -> None:
        """Where the next message starts is unknown: nothing more can be read."""
        self._framers.pop(flow.connection, None)
        self._collect_transaction_sends()
        self._sends.append(CloseFlow(flow, str(error)))
        self._events.append(MessageRefused(flow, str(error)))

    def _receive_message(self, data: bytes, flow: Flow, now: float) -> None:
        try:
            message = parse_message(data)
            via = message.top_via
        except ParseError as error:
            self._refuse(data, flow, error)
            return
        if isinstance(message, Request):
            self._receive_request(message, via, flow, now)
        else:
            self._receive_response(message, via, flow, now)

    def _receive_request(self, request: Request, via: Via, flow: Flow, now: float) -> None:
        """RFC 3261 section 18.2.1 and RFC 3581 section 4: mark where it really came from."""
        marked = _with_source(via, flow)
        if marked is not via:
            request = request.with_replaced_top_via(marked)
            via = marked
        transactions = self.transactions
        if request.body and not self._may_carry(request, flow):
            self._answer_statelessly(request, flow, 488, f'399 {WARNING_AGENT} "{KEYS_IN_CLEAR}"')
            self._events.append(MessageRefused(flow, KEYS_IN_CLEAR))
        elif transactions.full and request.method not in ("ACK", "CANCEL"):
            self._answer_statelessly(request, flow, 503, retry_after_s=10)
        else:
            transactions.receive_request(request, via, flow, now)

    def _receive_response(self, response: Response, via: Via, flow: Flow, now: float) -> None:
        if response.body and not self._may_carry(response, flow):
            # The peer has shown its keys already; using them would hide that.  The response
            # itself goes on: whoever called then hangs up, for an answer without media.
            self._events.append(MessageRefused(flow, KEYS_IN_CLEAR))
            kept = [each for each in response.fields if not each[0].startswith("content-")]
            warning = field("Warning", f'399 {WARNING_AGENT} "{KEYS_IN_CLEAR}"')
            response = Response(response.status, response.reason, [*kept, warning])
        self.transactions.receive_response(response, via, flow, now)

    def _refuse(self, data: bytes, flow: Flow, error: ParseError) -> None:
        """Answer a broken request if it says enough of itself; drop everything else."""
        self._events.append(MessageRefused(flow, str(error)))
        request = salvage(data)
        if request is not None and request.method != "ACK":
            request = request.with_replaced_top_via(_with_source(request.top_via, flow))
            warning = str(error).replace("\\", "").replace('"', "'")
            self._answer_statelessly(
                request, flow, error.status_hint, f'399 {WARNING_AGENT} "{warning}"'
            )

    def _answer_statelessly(
        self,
        request: Request,
        flow: Flow,
        status: int,
        warning: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        """RFC 3261 section 8.2.7, with a To tag that a repeat of the request gets again."""
        if request.method == "ACK":
            return
        fields = [("Warning", warning)] if warning.isprintable() and warning else []
        if retry_after_s is not None:
            fields.append(("Retry-After", str(retry_after_s)))
        tag = _stateless_tag(request)
        response = Response.to_request(request, status, to_tag=tag, fields=fields)
        reply_flow = flow
        if not flow.transport.reliable and request.top_via.rport is None:
            port = request.top_via.port or Transport.UDP.default_port
            reply_flow = replace(flow, remote=(flow.remote[0], port))
        self._sends.append(Send(reply_flow, response.to_bytes()))

    # What goes out

    def send_request(
        self,
        request: Request,
        hop: Hop,
        owner: object,
        now: float,
        *,
        branch: str | None = None,
    ) -> ClientTransaction:
        """Put our Via on top of a request and start its transaction.

        Raises:
            KeysInClear: The body holds SRTP keys and the hop is not TLS.

        """
        self.check_may_carry(request, hop)
        branch = branch or self.transactions.new_branch()
        request = request.with_top("Via", self._via(hop, branch))
        return self.transactions.send_request(request, hop, owner, now, branch=branch)

    def send_keep_alive(self, data: bytes, flow: Flow) -> None:
        """Send octets that stand between messages."""
        self._collect_transaction_sends()
        self._sends.append(Send(flow, data))

    def send_ack(self, ack: Request, hop: Hop) -> None:
        """Send the ACK for a 2xx: outside any transaction (section 13.2.2.4)."""
        self.check_may_carry(ack, hop)
        via = self._via(hop, self.transactions.new_branch())
        self._collect_transaction_sends()
        self._sends.append(Send(hop, ack.with_top("Via", via).to_bytes()))

    def forward_response(self, response: Response, flow: Flow) -> None:
        """Send a response without a transaction (section 16.11)."""
        self.check_may_carry(response, flow)
        self._collect_transaction_sends()
        self._sends.append(Send(flow, response.to_bytes()))

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> bool:
        """Answer a request; False if its transaction is already past this response.

        Raises:
            KeysInClear: The body holds SRTP keys and the request came without TLS.

        """
        self.check_may_carry(response, transaction.reply_flow)
        return self.transactions.respond(transaction, response, now)

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        fields: Sequence[tuple[str, str]] = (),
        reason: str = "",
        to_tag: str | None = None,
    ) -> bool:
        """Answer a request without a body; a To tag is made up where one is needed."""
        tag = to_tag or (None if status == 100 else self.new_token())
        response = Response.to_request(
            transaction.request, status, reason, to_tag=tag, fields=fields
        )
        return self.transactions.respond(transaction, response, now)

    def turn_away(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Refuse a request of somebody who has proved nothing, once, and keep nothing of it.

        RFC 3261 section 26.3.2.4: a refusal that is repeated until its ACK comes hits whoever
        owns a made-up address a dozen times, and a flood of requests would fill our memory.
        A client that does not get it sends its request again.
        """
        tag = _stateless_tag(transaction.request)
        self.reply(transaction, status, now, fields=fields, to_tag=tag)
        self.transactions.drop(transaction, now)

    def cancel(self, transaction: ClientTransaction, now: float) -> bool:
        """Cancel an INVITE under way; False if it must wait for a provisional response."""
        return self.transactions.cancel(transaction, now) is not None

    def check_may_carry(self, message: Message, hop: Hop) -> None:
        """Raise KeysInClear unless this message may travel on this hop."""
        if message.body and not self._may_carry(message, hop):
            raise KeysInClear(f"{KEYS_IN_CLEAR}: {hop}")

    def _may_carry(self, message: Message, hop: Hop) -> bool:
        if hop.transport.secure or self._allow_keys_in_clear_text:
            return True
        content_type = message.content_type
        encoding = message.value("content-encoding") or ""
        return not (
            carries_keys(message.body, content_type)
            or cannot_be_inspected(content_type, encoding, message.body)
        )

    def _via(self, hop: Hop, branch: str) -> str:
        transport = hop.transport
        sent_by = self.sent_by.get(transport)
        if sent_by is None:
            # RFC 3261 section 18.1.1 wants a name; a phone behind NAT has none that
            # means anything, and answers come back over the same flow or by rport.
            sent_by = self._anonymous_host
            if isinstance(hop, Flow) and not transport.reliable:
                sent_by = host_port(*hop.local)
        return f"SIP/2.0/{transport.value} {sent_by};branch={branch};rport"

    # What the transport tells

    def connection_opened(self, target: Target | None, flow: Flow, now: float) -> None:
        """A connection stands: asked for by us (``target``), or accepted."""
        if target is not None:
            self.transactions.connection_opened(target, flow)

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """A connection is gone."""
        self._framers.pop(flow.connection, None)
        self.transactions.connection_lost(flow, reason, now)

    def progress_of(self, flow: Flow) -> tuple[int, int]:
        """How many messages a connection has brought, and how many octets of the next one."""
        framer = self._framers.get(flow.connection)
        return (0, 0) if framer is None else (framer.messages, framer.waiting_bytes)

    def send_failed(self, send: Send, reason: str, now: float) -> None:
        """What :meth:`take_sends` gave could not be sent."""
        self.transactions.report_send_failed(send, reason, now)

    # The rest of the five calls

    def handle_timer(self, now: float) -> None:
        """Fire every timer due at or before ``now``."""
        self.transactions.handle_timer(now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self.transactions.next_deadline()

    def take_sends(self) -> list[Send | CloseFlow]:
        """Hand over what is to be sent, in order, and forget it."""
        self._collect_transaction_sends()
        sends, self._sends = self._sends, []
        return sends

    def next_event(self) -> ElementEvent | None:
        """Hand over the oldest event, or None."""
        if self._events:
            return self._events.popleft()
        return self.transactions.next_event()

    def _collect_transaction_sends(self) -> None:
        """Keep the order in which transactions and we ourselves produced bytes."""
        self._sends += self.transactions.take_sends()


def _stateless_tag(request: Request) -> str:
    """A To tag that a repeat of the request gets again (section 8.2.7)."""
    digest = hashlib.blake2s(request.call_id.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _with_source(via: Via, flow: Flow) -> Via:
    """Add ``received`` and ``rport`` where they are wanted; the same object where not."""
    host, port = flow.remote
    params = via.params
    if "rport" in params:  # RFC 3581 section 4: also when both equal what the Via says
        params = params | {"rport": str(port), "received": host}
    elif via.host.lower() == host.lower() and "received" not in params:
        return via
    else:
        params = params | {"received": host}
    return Via(via.transport, via.host, via.port, params)
