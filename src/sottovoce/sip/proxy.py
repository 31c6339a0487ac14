"""Stateful proxy core: one request to one or many places, one answer back.  RFC 3261 section 16.

Where a request may go is decided above; this module sends it there, follows every
branch, and chooses what the caller hears.  It never looks into a body.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from ..deadlines import Deadlines
from ..errors import ParseError
from .client_transaction import ClientTransaction
from .element import KEYS_IN_CLEAR, WARNING_AGENT, Element, KeysInClear
from .message import Field, Request, Response, field
from .server_transaction import ServerTransaction
from .timers import RFC3261_TIMERS, TimerValues
from .transactions import (
    MAGIC_COOKIE,
    CancelReceived,
    ResponseFailed,
    ResponseReceived,
    TransactionTimedOut,
    TransportFailed,
)
from .transport import Hop
from .uri import frozen_by_type

DEFAULT_MAX_FORWARDS: Final = 70  # section 8.1.1.6
#: Branches of one request: an account's phones, and no lever for a flood.
MAX_BRANCHES: Final = 10
_LOOP_MARK_LENGTH: Final = 12
#: Section 16.7 item 6: within a class, these say most of what the caller could mend.
_PREFERRED: Final = (401, 407, 415, 420, 484)

ProxyEvent = (
    CancelReceived | ResponseFailed | ResponseReceived | TransactionTimedOut | TransportFailed
)


@frozen_by_type
class ForwardingTarget:
    """One place to send a request to."""

    request_uri: str

    hop: Hop

    record_route: tuple[str, ...] = ()
    "Values to put on top of Record-Route, the topmost first."


class Branch:
    """One copy of a request, on its way to one target."""

    __slots__ = ("cancelled", "context", "provisional", "transaction")

    def __init__(self, context: "ResponseContext") -> None:
        self.context = context
        self.transaction: ClientTransaction | None = None  # None again once it has an answer
        self.provisional = False
        self.cancelled = False


class ResponseContext:
    """A forwarded request and all its branches (section 16.7).

    What is over is let go of at once, so that no circle of references is left: those wait
    for the garbage collector, which took about 100 µs of each call.
    """

    __slots__ = ("done", "finals", "pending", "server")

    def __init__(self, server: ServerTransaction) -> None:
        self.server = server
        self.pending: list[Branch] = []  # have no final response yet
        self.finals: list[Response] = []
        self.done = False  # a final response has gone back

    def end_branch(self, branch: Branch, final: Response) -> None:
        """Keep what a branch ended with."""
        branch.transaction = None
        if branch in self.pending:
            self.pending.remove(branch)
            self.finals.append(final)

    def finish(self) -> None:
        """A final response goes back: no CANCEL is for us any more."""
        self.done = True
        self.finals.clear()
        self.server.owner = None


class Proxy:
    """Forwards requests and brings their responses back.

    Args:
        element: Its lower half.
        timers: Base times; timer C among them.

    """

    def __init__(self, element: Element, *, timers: TimerValues = RFC3261_TIMERS) -> None:
        self._element = element
        self._timers = timers
        self._timer_c = Deadlines[Branch]()

    # Requests

    def forward(
        self,
        server: ServerTransaction,
        request: Request,
        targets: Sequence[ForwardingTarget],
        now: float,
    ) -> None:
        """Send a request to every target at once (section 16.6); answers come back by themselves.

        Args:
            server: The transaction to answer.
            request: The request, own Route entries and credentials for us taken out.
            targets: Where to; at least one.
            now: Monotonic seconds.

        """
        context = ResponseContext(server)
        server.owner = context
        if request.method == "INVITE":
            self._element.reply(server, 100, now)
        fields = _forwarded_fields(request)
        mark = loop_mark(request)
        for target in targets[:MAX_BRANCHES]:
            branch = Branch(context)
            context.pending.append(branch)
            self._send(branch, request, fields, target, mark, now)
        self._conclude(context, now)

    def _send(
        self,
        branch: Branch,
        request: Request,
        fields: list[Field],
        target: ForwardingTarget,
        mark: str,
        now: float,
    ) -> None:
        element = self._element
        if target.record_route:
            fields = [*(field("Record-Route", each) for each in target.record_route), *fields]
        copy = Request(request.method, target.request_uri, fields, request.body)
        try:
            branch.transaction = element.send_request(
                copy, target.hop, branch, now, branch=element.transactions.new_branch(mark)
            )
        except KeysInClear:
            warning = f'399 {WARNING_AGENT} "{KEYS_IN_CLEAR}"'
            context = branch.context
            context.end_branch(branch, self._local(context, 488, [("Warning", warning)]))
            return
        if request.method == "INVITE":
            self._timer_c.set(branch, now + self._timers.c_s)

    def forward_ack(self, ack: Request, target: ForwardingTarget) -> None:
        """Send an ACK for a 2xx on; it has no transaction (section 16.11)."""
        copy = Request("ACK", target.request_uri, _forwarded_fields(ack), ack.body)
        try:
            self._element.send_ack(copy, target.hop)
        except KeysInClear:
            return  # an answer with keys for a clear hop: the call dies without its ACK

    # Responses

    def receive_event(self, event: ProxyEvent, now: float) -> bool:
        """Take an event if it concerns a forwarded request; False if it does not."""
        if isinstance(event, CancelReceived):
            context = event.invite.owner
            if not isinstance(context, ResponseContext):
                return False
            self._cancel_pending(context, now)
            return True
        if isinstance(event, ResponseFailed):
            owner = event.transaction.owner
            if isinstance(owner, ResponseContext):  # the caller is gone: let nobody ring for it
                self._cancel_pending(owner, now)
            return isinstance(owner, ResponseContext)
        branch = event.transaction.owner
        if not isinstance(branch, Branch):
            return False
        if isinstance(event, ResponseReceived):
            self._receive_response(branch, event.response, now)
        elif isinstance(event, TransactionTimedOut):
            self._end_branch(branch, 408, now)
        else:
            self._end_branch(branch, 503, now)
        return True

    def _receive_response(self, branch: Branch, response: Response, now: float) -> None:
        context, status = branch.context, response.status
        if status == 100:  # hop by hop, never forwarded (section 16.7 item 5)
            self._note_provisional(branch, now)
            return
        back = _without_own_via(response)
        if back is None:
            if status >= 200:  # nothing else will come of this branch
                self._end_branch(branch, 502, now)
            return
        if status < 200:
            self._note_provisional(branch, now)
            if not context.done:
                self._respond(context, back, now)
            return
        self._timer_c.set(branch, None)
        context.end_branch(branch, back)
        if status < 300:
            context.finish()
            self._respond(context, back, now)
            self._cancel_pending(context, now)
            return
        if status >= 600:
            self._cancel_pending(context, now)
        self._conclude(context, now)

    def _note_provisional(self, branch: Branch, now: float) -> None:
        branch.provisional = True
        if branch.transaction is None:
            return
        if branch.cancelled:  # the CANCEL had to wait for this (section 9.1)
            self._element.cancel(branch.transaction, now)
        elif branch.transaction.request.method == "INVITE":
            self._timer_c.set(branch, now + self._timers.c_s)

    def _end_branch(self, branch: Branch, status: int, now: float) -> None:
        self._timer_c.set(branch, None)
        context = branch.context
        if branch in context.pending:
            context.end_branch(branch, self._local(context, status))
            self._conclude(context, now)

    def _respond(self, context: ResponseContext, response: Response, now: float) -> None:
        try:
            self._element.respond(context.server, response, now)
        except KeysInClear:
            warning = f'399 {WARNING_AGENT} "{KEYS_IN_CLEAR}"'
            self._element.reply(context.server, 488, now, fields=[("Warning", warning)])

    def _cancel_pending(self, context: ResponseContext, now: float) -> None:
        if context.server.request.method != "INVITE":
            return
        for branch in context.pending:
            if not branch.cancelled and branch.transaction is not None:
                branch.cancelled = True
                if branch.provisional:
                    self._element.cancel(branch.transaction, now)

    def _conclude(self, context: ResponseContext, now: float) -> None:
        """Answer with the best response once every branch has one (section 16.7 item 6)."""
        if context.done or context.pending:
            return
        best = best_response(context.finals)
        context.finish()
        if best.status == 503:  # it says that one server is busy, not that the callee is
            best = self._local(context, 500)
        elif best.status == 408 and context.server.request.method != "INVITE":
            self._element.transactions.drop(context.server, now)
            return  # RFC 4320 section 4.1: it would only arrive too late
        self._respond(context, best, now)

    def _local(
        self, context: ResponseContext, status: int, fields: Sequence[tuple[str, str]] = ()
    ) -> Response:
        tag = self._element.new_token()
        return Response.to_request(context.server.request, status, to_tag=tag, fields=fields)

    # The five calls' other two

    def handle_timer(self, now: float) -> None:
        """Fire timer C where it is due (section 16.8)."""
        for branch in self._timer_c.take_due(now):
            if branch.provisional and branch.transaction is not None:
                branch.cancelled = True
                self._element.cancel(branch.transaction, now)
            else:
                self._end_branch(branch, 408, now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        return self._timer_c.next_deadline()


def _without_own_via(response: Response) -> Response | None:
    """Take our Via off; None if no readable one is left, so that nobody can be meant."""
    try:
        back = response.without_top_item("via")
    except ParseError:
        return None
    return back if "via" in back else None


def _forwarded_fields(request: Request) -> list[Field]:
    """Count Max-Forwards down (section 16.6 item 3); everything else stays as it is."""
    left = request.max_forwards
    if left is None:
        return [field("Max-Forwards", str(DEFAULT_MAX_FORWARDS)), *request.fields]
    counted = ("max-forwards", f"Max-Forwards: {left - 1}")
    return [counted if each[0] == "max-forwards" else each for each in request.fields]


def loop_mark(request: Request) -> str:
    """What our branch ends in: the same again only if the request went in a circle.

    Section 16.6 item 8: over all that decides where a request goes.
    """
    parts = [request.request_uri, request.call_id, str(request.cseq.number)]
    parts += [request.from_.tag or "", request.to.tag or ""]
    parts += [line for name, line in request.fields if name in ("route", "proxy-require")]
    text = "\n".join(parts).encode("utf-8", "surrogateescape")
    return "." + hashlib.blake2s(text, digest_size=_LOOP_MARK_LENGTH // 2).hexdigest()


def has_looped(request: Request, sent_by: Sequence[str]) -> bool:
    """Tell whether this request passed here before, on its way to the same place."""
    passed_here = [
        line
        for name, line in request.fields
        if name == "via" and any(own in line for own in sent_by)
    ]
    if not passed_here:  # as with nearly every request: nothing is parsed for it
        return False
    mark = loop_mark(request)
    for via in request.vias:
        name = f"{via.host}:{via.port}" if via.port else via.host
        branch = via.branch or ""
        if name in sent_by and branch.startswith(MAGIC_COOKIE) and branch.endswith(mark):
            return True
    return False


def best_response(finals: Sequence[Response]) -> Response:
    """Choose what the caller hears when nobody took the request (section 16.7 item 6).

    Any 6xx wins; else the lowest class, and in it what the caller can act upon.  Every
    challenge of every branch goes back with a 401 or 407 (item 7).
    """

    def rank(response: Response) -> tuple[int, int, int]:
        status = response.status
        decline = 0 if status >= 600 else 1
        # 503 loses to the rest of its class: it becomes a 500 of our own.
        return decline, status // 100, 0 if status in _PREFERRED else 2 if status == 503 else 1

    best = min(finals, key=rank)
    if best.status in (401, 407):
        fields = [
            each
            for each in best.fields
            if each[0] not in ("www-authenticate", "proxy-authenticate")
        ]
        challenges = [
            each
            for response in finals
            if response.status in (401, 407)
            for each in response.fields
            if each[0] in ("www-authenticate", "proxy-authenticate")
        ]
        return Response(best.status, best.reason, [*fields, *challenges], best.body)
    return best
