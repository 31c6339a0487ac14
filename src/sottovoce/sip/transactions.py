"""The transaction layer: which message belongs to which transaction.  RFC 3261 section 17.

It owns every transaction, their one heap of deadlines, and the way from a message to
its transaction.  What a transaction user must know comes out as an event.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import field

from ..deadlines import Deadlines
from ..errors import LocalError, ParseError
from . import client_transaction, server_transaction
from .client_transaction import ClientTransaction, cancel_for
from .header_values import Via
from .message import Request, Response
from .server_transaction import ServerTransaction
from .timers import RFC3261_TIMERS, TimerValues
from .transport import Flow, Hop, Target, Transport
from .uri import frozen_by_type

MAGIC_COOKIE = "z9hG4bK"  # RFC 3261 section 8.1.1.7

#: Transactions held at once; beyond it new requests are answered 503.  A call takes two
#: for 32 seconds, so this serves about 1,500 calls a second.
MAX_TRANSACTIONS = 100_000


@frozen_by_type
class RequestReceived:
    """A new request.  Its user must answer the transaction, once, finally."""

    transaction: ServerTransaction
    request: Request


@frozen_by_type
class CancelReceived:
    """A CANCEL; it has been answered 200 here.  The INVITE is for the user to end."""

    invite: ServerTransaction


@frozen_by_type
class AckReceived:
    """An ACK for a 2xx: it belongs to no transaction but to a dialog."""

    request: Request
    flow: Flow


@frozen_by_type
class ResponseReceived:
    """A response that the user of this client transaction must see."""

    transaction: ClientTransaction
    response: Response


@frozen_by_type
class TransactionTimedOut:
    """No answer came; treat as a 408 (section 8.1.3.1)."""

    transaction: ClientTransaction


@frozen_by_type
class TransportFailed:
    """The request could not be sent, or its flow is gone; treat as a 503 (section 8.1.3.1)."""

    transaction: ClientTransaction
    reason: str


@frozen_by_type
class ResponseFailed:
    """A final response was never acknowledged, or its flow is gone."""

    transaction: ServerTransaction


@frozen_by_type
class StrayResponse:
    """A response that fits no transaction (section 16.7 item 1; a UA discards it)."""

    response: Response
    flow: Flow


TransactionEvent = (
    RequestReceived
    | CancelReceived
    | AckReceived
    | ResponseReceived
    | TransactionTimedOut
    | TransportFailed
    | ResponseFailed
    | StrayResponse
)

AnyTransaction = ClientTransaction | ServerTransaction


@frozen_by_type
class Send:
    """Bytes for the transport.

    ``transaction`` is told through :meth:`Transactions.report_send_failed` if they cannot go.
    """

    hop: Hop
    data: bytes = field(repr=False)  # SRTP keys and digests stand in it
    transaction: AnyTransaction | None = None


class Transactions:
    """Every transaction of one element.

    Args:
        new_token: Makes an unguessable token for branches.
        timers: Base times.
        max_transactions: Bound on those held at once.

    """

    def __init__(
        self,
        new_token: Callable[[], str],
        *,
        timers: TimerValues = RFC3261_TIMERS,
        max_transactions: int = MAX_TRANSACTIONS,
    ) -> None:
        self._new_token = new_token
        self._timers = timers
        self._max_transactions = max_transactions
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[tuple[str, ...], ServerTransaction] = {}
        self._on_connection: dict[int, set[AnyTransaction]] = {}
        self._deadlines = Deadlines[AnyTransaction]()
        self._sends: list[Send] = []
        self._events: deque[TransactionEvent] = deque()
        self._error_text = ""

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    @property
    def full(self) -> bool:
        """No room for another request of a peer."""
        return len(self) >= self._max_transactions

    def unanswered(self) -> list[ServerTransaction]:
        """Requests of peers that still wait for their final response."""
        return [each for each in self._servers.values() if not each.answered]

    # What comes in

    def receive_request(self, request: Request, via: Via, flow: Flow, now: float) -> None:
        """Take a request whose top Via (``via``) has been completed by the element."""
        key = _server_key(request, via)
        if request.method == "ACK":
            self._receive_ack(request, key, flow, now)
            return
        known = self._servers.get(key)
        if known is not None:
            known.receive_repeat(now)
            self._settle_server(known, now)
            return
        transaction = ServerTransaction(
            request, flow, _reply_flow(via, flow), key, now, self._timers
        )
        self._servers[key] = transaction
        self._bind(transaction, transaction.reply_flow)
        if request.method == "CANCEL":
            self._receive_cancel(transaction, key, now)
            return
        self._settle_server(transaction, now)
        self._events.append(RequestReceived(transaction, request))

    def _receive_ack(self, request: Request, key: tuple[str, ...], flow: Flow, now: float) -> None:
        invite = self._servers.get(key)
        if invite is None:
            self._events.append(AckReceived(request, flow))
            return
        invite.receive_ack(now)
        for outcome in invite.take_outcome():
            if outcome is server_transaction.Action.PASS_ACK_UP:
                self._events.append(AckReceived(request, flow))
        self._settle_server(invite, now)

    def _receive_cancel(
        self, transaction: ServerTransaction, key: tuple[str, ...], now: float
    ) -> None:
        """RFC 3261 section 9.2: the CANCEL is answered at once, whatever the INVITE does."""
        invite = self._servers.get((*key[:-1], "INVITE"))
        status = 481 if invite is None else 200
        response = Response.to_request(transaction.request, status, to_tag=self._new_token())
        self.respond(transaction, response, now)
        if invite is not None and not invite.answered:
            self._events.append(CancelReceived(invite))

    def receive_response(self, response: Response, via: Via, flow: Flow, now: float) -> None:
        """Take a response; ``via`` is its top Via."""
        transaction = self._clients.get((via.branch or "", response.cseq.method))
        if transaction is None:
            self._events.append(StrayResponse(response, flow))
            return
        transaction.receive_response(response, now)
        self._settle_client(transaction, now, response)

    # What goes out

    def new_branch(self, suffix: str = "") -> str:
        """A branch never used before (section 8.1.1.7); a proxy hides its loop mark in it."""
        return f"{MAGIC_COOKIE}{self._new_token()}{suffix}"

    def send_request(
        self,
        request: Request,
        hop: Hop,
        owner: object,
        now: float,
        *,
        branch: str | None = None,
    ) -> ClientTransaction:
        """Start a client transaction for a request that bears our Via on top.

        Args:
            request: As it goes out.
            hop: Where to.
            owner: Comes back with each event.
            now: Monotonic seconds.
            branch: That of the top Via, to save its being read.

        """
        branch = branch or request.top_via.branch
        if not branch:
            raise LocalError("a request is sent with a branch in its top Via")
        key = (branch, request.method)
        transaction = ClientTransaction(request, hop, key, owner, now, self._timers)
        self._clients[key] = transaction
        self._bind(transaction, hop)
        self._settle_client(transaction, now)
        return transaction

    def cancel(self, transaction: ClientTransaction, now: float) -> ClientTransaction | None:
        """Send a CANCEL for an INVITE under way (section 9.1); None where it would be wrong.

        The caller waits with it until a provisional response has come.  Should nothing
        end the INVITE in 64*T1, it times out.
        """
        if transaction.state is not client_transaction.State.PROCEEDING:
            return None
        transaction.expect_end(now)
        self._settle_client(transaction, now)
        cancel = cancel_for(transaction.request)
        return self.send_request(cancel, transaction.hop, None, now, branch=transaction.key[0])

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> bool:
        """Answer a request; False if the transaction is already past this response."""
        sent = transaction.respond(response, now)
        self._settle_server(transaction, now)
        return sent

    def drop(self, transaction: ServerTransaction, now: float) -> None:
        """Forget a request that gets no answer any more, or is answered only once.

        RFC 4320 section 4.2, RFC 3261 section 26.3.2.4.
        """
        if transaction.state is not server_transaction.State.TERMINATED:
            transaction.drop()
            self._settle_server(transaction, now)

    # What the transport tells

    def connection_opened(self, target: Target, flow: Flow) -> None:
        """Bind requests waiting for this target to the flow that now reaches it."""
        for transaction in self._clients.values():
            if transaction.hop == target:
                transaction.hop = flow
                self._bind(transaction, flow)

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """End what can no longer be answered over this flow."""
        self._error_text = reason
        for transaction in self._on_connection.pop(flow.connection, ()):
            transaction.report_transport_error(now)
            self._settle(transaction, now)

    def report_send_failed(self, send: Send, reason: str, now: float) -> None:
        """The bytes of ``send`` did not reach the network."""
        self._error_text = reason
        if send.transaction is not None:
            send.transaction.report_transport_error(now)
            self._settle(send.transaction, now)

    # The five calls' other four

    def handle_timer(self, now: float) -> None:
        """Fire every timer due at or before ``now``."""
        for transaction in self._deadlines.take_due(now):
            transaction.handle_timer(now)
            self._settle(transaction, now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self._deadlines.next_deadline()

    def take_sends(self) -> list[Send]:
        """Hand over what is to be sent, in order, and forget it."""
        sends, self._sends = self._sends, []
        return sends

    def next_event(self) -> TransactionEvent | None:
        """Hand over the oldest event, or None."""
        return self._events.popleft() if self._events else None

    # After each step of a transaction

    def _settle(self, transaction: AnyTransaction, now: float) -> None:
        if isinstance(transaction, ClientTransaction):
            self._settle_client(transaction, now)
        else:
            self._settle_server(transaction, now)

    def _settle_client(
        self, transaction: ClientTransaction, now: float, response: Response | None = None
    ) -> None:
        if transaction.sends:
            for data in transaction.sends:
                self._sends.append(Send(transaction.hop, data, transaction))
            transaction.sends.clear()
        for outcome in transaction.take_outcome() if transaction.outcome else ():
            if outcome is client_transaction.Action.PASS_UP and response is not None:
                self._events.append(ResponseReceived(transaction, response))
            elif outcome is client_transaction.Action.REPORT_TIMEOUT:
                self._events.append(TransactionTimedOut(transaction))
            else:
                self._events.append(TransportFailed(transaction, self._error_text))
        due_at = transaction.next_deadline()
        if due_at is not None and due_at <= now:  # timers of zero length, on reliable transports
            transaction.handle_timer(now)
            due_at = transaction.next_deadline()
        self._deadlines.set(transaction, due_at)
        if transaction.state is client_transaction.State.TERMINATED:
            self._clients.pop(transaction.key, None)
            self._unbind(transaction, transaction.hop)

    def _settle_server(self, transaction: ServerTransaction, now: float) -> None:
        if transaction.sends:
            for data in transaction.sends:
                self._sends.append(Send(transaction.reply_flow, data, transaction))
            transaction.sends.clear()
        for _ in transaction.take_outcome() if transaction.outcome else ():
            self._events.append(ResponseFailed(transaction))
        due_at = transaction.next_deadline()
        if due_at is not None and due_at <= now:
            transaction.handle_timer(now)
            due_at = transaction.next_deadline()
        self._deadlines.set(transaction, due_at)
        if transaction.state is server_transaction.State.TERMINATED:
            self._servers.pop(transaction.key, None)
            self._unbind(transaction, transaction.reply_flow)

    def _bind(self, transaction: AnyTransaction, hop: Hop) -> None:
        """Remember whom the loss of a connection concerns."""
        if isinstance(hop, Flow) and hop.connection:
            self._on_connection.setdefault(hop.connection, set()).add(transaction)

    def _unbind(self, transaction: AnyTransaction, hop: Hop) -> None:
        if isinstance(hop, Flow) and (there := self._on_connection.get(hop.connection)):
            there.discard(transaction)
            if not there:
                del self._on_connection[hop.connection]


def _server_key(request: Request, via: Via) -> tuple[str, ...]:
    """What makes two requests the same one (section 17.2.3); the method comes last."""
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.branch
    sent_by = f"{via.host}:{via.port or ''}"
    if branch and branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return (branch, sent_by, method)
    # RFC 2543 clients and bare cookies: the request's own identity instead of a branch.
    try:
        to_tag = "" if method in ("INVITE", "CANCEL") else request.to.tag or ""
        from_tag = request.from_.tag or ""
    except ParseError:
        to_tag = from_tag = ""
    number = str(request.cseq.number)
    return (request.request_uri, to_tag, from_tag, request.call_id, number, str(via), method)


def _reply_flow(via: Via, flow: Flow) -> Flow:
    """Where responses go: RFC 3261 section 18.2.2, RFC 3581 section 4."""
    if flow.transport.reliable or via.rport is not None:
        return flow
    port = via.port or Transport.UDP.default_port
    return Flow(flow.transport, flow.local, (flow.remote[0], port))
