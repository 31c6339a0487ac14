"""One server of one domain: which of registrar, proxy and built-in numbers a request is for.

The order of the questions is that of RFC 3261 section 16.3 to 16.5.
"""

import logging
from collections.abc import Callable
from typing import Final

from ..deadlines import earliest
from ..errors import LocalError, ParseError, RemoteError
from ..pki.identity import canonical_domain
from ..secret import Secret
from ..sip import registrar
from ..sip.authenticator import Authenticator, Outcome
from ..sip.digest import Algorithm
from ..sip.element import (
    KEYS_IN_CLEAR,
    Element,
    ElementEvent,
    KeepAliveReceived,
    MessageRefused,
)
from ..sip.header_values import NameAddress
from ..sip.message import Request, Response
from ..sip.proxy import ForwardingTarget, Proxy, has_looped
from ..sip.server_transaction import ServerTransaction
from ..sip.transactions import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    StrayResponse,
)
from ..sip.transport import Flow, host_port
from ..sip.uas_checks import unsupported_field
from ..sip.uri import SipUri, frozen_by_type
from ..sip.user_agent import UserAgent
from ..store.interface import AccountStore
from .doorkeeper import Doorkeeper
from .flow_register import FlowPair, FlowRegister
from .location import Location
from .policy import reach, record_routes

log = logging.getLogger("sottovoce.server")

METHODS: Final = (
    "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "MESSAGE", "INFO", "UPDATE",
    "PRACK", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH",
)  # fmt: skip
ALLOW: Final = ", ".join(METHODS)
#: Options that a proxy must know of; we have none of them.
PROXY_SUPPORTED: Final = frozenset[str]()
#: What a phone is told to wait when the server goes down in the middle of its request.
RESTART_S: Final = 5
#: Numbers that the server answers itself.
BUILT_IN_NUMBERS: Final = frozenset({"echo", "music", "clock"})


@frozen_by_type
class Route:
    """A request with our own Route entries taken out, and what their tokens said."""

    request: Request
    pair: FlowPair | None


class Node:
    """The core above the server's element.

    Args:
        domain: The domain it is the server of.
        element: Its lower half.
        accounts: Who may register and call.
        location: Where they are registered.
        flows: Their open flows.
        authenticator: Checks digest answers.
        doorkeeper: Slows down and bans who guesses.
        user_agent: Answers for the built-in numbers.
        registrar_settings: Expiry limits.
        md5_only_agents: What the User-Agent of phones begins with that give up at a SHA-256
            challenge.
        wall_clock: Seconds since 1970.

    """

    def __init__(
        self,
        domain: str,
        element: Element,
        *,
        accounts: AccountStore,
        location: Location,
        flows: FlowRegister,
        authenticator: Authenticator,
        doorkeeper: Doorkeeper,
        user_agent: UserAgent,
        registrar_settings: registrar.RegistrarSettings,
        md5_only_agents: tuple[str, ...],
        wall_clock: Callable[[], float],
    ) -> None:
        self.domain = domain
        self._element = element
        self._accounts = accounts
        self._location = location
        self._flows = flows
        self._authenticator = authenticator
        self._doorkeeper = doorkeeper
        self._user_agent = user_agent
        self._registrar_settings = registrar_settings
        self._md5_only_agents = md5_only_agents
        self._wall_clock = wall_clock
        self._proxy = Proxy(element)
        self._addresses: set[str] = set()

    # Events of the element

    def receive_event(self, event: ElementEvent, now: float) -> None:
        """Take one event of the element."""
        match event:
            case ResponseReceived():  # first, for most events are of this kind
                _ = self._proxy.receive_event(event, now) or self._hand_to_user_agent(event, now)
            case RequestReceived(transaction, request):
                self._receive_request(transaction, request, now)
            case AckReceived(request, flow):
                self._receive_ack(event, request, flow, now)
            case MessageRefused(flow, reason):
                log.info("< %s refused: %s", flow, reason)
                if reason != KEYS_IN_CLEAR:
                    self._doorkeeper.note_malformed(flow)
            case StrayResponse(response, flow):
                # RFC 6026 section 8.9 ended the stateless forwarding of these.
                log.debug("< %s stray %d dropped", flow, response.status)
            case KeepAliveReceived():
                pass  # we ping nobody
            case _:
                _ = self._proxy.receive_event(event, now) or self._hand_to_user_agent(event, now)

    def _hand_to_user_agent(self, event: ElementEvent, now: float) -> bool:
        return self._user_agent.receive_event(event, now)

    def _receive_request(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        log.debug("< %s %s %s", transaction.flow, request.method, request.request_uri)
        try:
            self._decide(transaction, request, now)
        except RemoteError as error:
            self._refuse(transaction, error, now)
        except LocalError as error:  # the store cannot be read, for one
            log.error("%s", error)
            self._element.reply(transaction, 500, now)

    def _refuse(self, transaction: ServerTransaction, error: RemoteError, now: float) -> None:
        text = str(error).replace("\\", "").replace('"', "'")
        warning = [("Warning", f'399 {self.domain} "{text}"')] if text.isprintable() else []
        self._element.turn_away(transaction, error.status_hint, now, fields=warning)

    # Requests

    def _decide(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._flows.add(transaction.flow)
        self._addresses.add(host_port(*transaction.flow.local))
        if self._user_agent.has_dialog(request):
            self._hand_to_user_agent(RequestReceived(transaction, request), now)
            return
        route = self._take_own_routes(request)
        request = route.request
        if self._is_unforwardable(transaction, request, now):
            return
        if request.method == "REGISTER":
            self._register(transaction, request, now)
        elif route.pair is not None and request.to.tag:
            self._forward_in_dialog(transaction, request, route.pair, now)
        elif self._is_ours(request.uri):
            self._receive_for_domain(transaction, request, now)
        else:
            self._refuse_foreign(transaction, request, now)

    def _is_unforwardable(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> bool:
        """Sections 16.3 items 2 to 5: scheme, hops left, loops, Proxy-Require."""
        _ = request.uri  # another scheme than sip and sips: 416
        # What is for the server itself goes no further: to a user's phone it would.
        if request.max_forwards == 0 and not (
            (request.method == "REGISTER" or request.uri.user is None)
            and self._is_ours(request.uri)
        ):
            self._element.turn_away(transaction, 483, now)
            return True
        if has_looped(request, tuple(self._element.sent_by.values())):
            self._element.turn_away(transaction, 482, now)
            return True
        unknown = [each for each in request.items("proxy-require") if each not in PROXY_SUPPORTED]
        if unknown:
            fields = unsupported_field(unknown)
            self._element.turn_away(transaction, 420, now, fields=fields)
            return True
        return False

    def _take_own_routes(self, request: Request) -> Route:
        """Section 16.4: take out what earlier Record-Routes of ours put in."""
        pair: FlowPair | None = None
        uri = request.uri
        if "route" in request and "lr" in uri.params and self._flows.read_token(uri.user or ""):
            # A strict router before us put the remote target behind the routes.
            routes = request.items("route")
            if not routes or "\0" in "".join(routes):
                raise ParseError("Route: holds no target that can be sent to")
            last = NameAddress.parse(routes.pop())
            _ = last.sip_uri  # reading is checking
            request = request.without("route")
            if routes:
                request = request.with_top("Route", ", ".join(routes))
            pair = self._flows.read_token(uri.user or "")
            request = request.with_request_uri(last.uri)
        for route in request.routes:
            top = route.sip_uri
            if not self._is_ours(top):
                break
            pair = pair or self._flows.read_token(top.user or "")
            request = request.without_top_item("route")
        return Route(request, pair)

    def _is_ours(self, uri: SipUri) -> bool:
        """The URI's host is our domain, or one of our own addresses."""
        if uri.host == self.domain and uri.port in (None, 5060, 5061):
            return True
        if uri.port is not None and host_port(uri.host, uri.port) in self._addresses:
            return True
        if uri.port in (None, 5060, 5061):
            try:
                if canonical_domain(uri.host) == self.domain:
                    return True
            except ValueError:
                return False
        default = 5061 if uri.secure or uri.transport == "tls" else 5060
        return host_port(uri.host, uri.port or default) in self._addresses

    # In a dialog

    def _forward_in_dialog(
        self, transaction: ServerTransaction, request: Request, pair: FlowPair, now: float
    ) -> None:
        target = self._other_end(request, pair, transaction.flow)
        if target is None:
            self._element.turn_away(transaction, 480, now)
        else:
            self._proxy.forward(transaction, self._without_own_credentials(request), [target], now)

    def _receive_ack(self, event: AckReceived, request: Request, flow: Flow, now: float) -> None:
        try:
            if self._user_agent.has_dialog(request):
                self._hand_to_user_agent(event, now)
                return
            route = self._take_own_routes(request)
            request = route.request
            if route.pair is None or request.max_forwards == 0:
                return
            target = self._other_end(request, route.pair, flow)
        except ParseError:
            return  # nothing answers an ACK
        if target is not None:
            self._proxy.forward_ack(self._without_own_credentials(request), target)

    def _other_end(self, request: Request, pair: FlowPair, flow: Flow) -> ForwardingTarget | None:
        """The flow on the other side of the dialog; None if it, or the right to it, is gone."""
        arrived = self._flows.name_of(flow)
        caller, callee = self._flows.newest(pair.caller), self._flows.newest(pair.callee)
        if arrived not in (caller, callee):
            return None
        name = callee if arrived == caller else caller
        other = self._flows.find(name)
        if other is None or (request.uri.secure and not other.secure):
            return None
        return ForwardingTarget(request.request_uri, other)

    # To the domain

    def _receive_for_domain(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        uri = request.uri
        if uri.user is None:
            self._answer_for_server(transaction, request, now)
            return
        if not self._may_use_domain(transaction, request, now):
            return
        if uri.user in BUILT_IN_NUMBERS:
            self._hand_to_user_agent(RequestReceived(transaction, request), now)
            return
        user = uri.unescaped_user
        if self._accounts.find_account(user, self.domain) is None:
            self._element.reply(transaction, 404, now)
            return
        self._forward_to_phones(transaction, request, now)

    def _forward_to_phones(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        secure = request.uri.secure
        aor = f"sip:{request.uri.user}@{self.domain}"
        aor = SipUri.parse(aor).canonical_aor()
        targets: list[ForwardingTarget] = []
        refused = False
        for binding in self._location.find(aor, self._wall_clock()):
            flow = self._flows.find(binding.flow)
            if flow is None:
                continue
            way = reach(binding, flow, secure=secure)
            if way is None:
                refused = True
                continue
            targets.append(
                ForwardingTarget(
                    way.request_uri, flow, self._record_route(request, transaction.flow, flow)
                )
            )
        if targets:
            self._proxy.forward(transaction, self._without_own_credentials(request), targets, now)
        elif refused:  # RFC 5630 section 6.3: they are there, but not by TLS
            warning = f'380 {self.domain} "SIPS Not Allowed"'
            self._element.reply(transaction, 480, now, fields=[("Warning", warning)])
        else:
            self._element.reply(transaction, 480, now)

    def _record_route(self, request: Request, caller: Flow, callee: Flow) -> tuple[str, ...]:
        if request.method not in ("INVITE", "SUBSCRIBE", "REFER") or request.to.tag:
            return ()
        pair = FlowPair(self._flows.name_of(caller), self._flows.name_of(callee))
        token = self._flows.token(pair)
        return record_routes(token, caller, callee, secure=request.uri.secure)

    def _answer_for_server(
        self, transaction: ServerTransaction, request: Request, now: float
    ) -> None:
        """A request to the domain itself."""
        if request.method == "OPTIONS":
            fields = [("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", "path")]
            self._element.reply(transaction, 200, now, fields=fields)
        elif request.method in METHODS:
            self._element.turn_away(transaction, 404, now)
        else:
            self._element.turn_away(transaction, 405, now, fields=[("Allow", ALLOW)])

    def _refuse_foreign(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if request.to.tag:
            self._element.turn_away(transaction, 481, now)
        elif self._may_use_domain(transaction, request, now):
            warning = f'399 {self.domain} "calls to other domains are not set up here"'
            self._element.reply(transaction, 403, now, fields=[("Warning", warning)])

    # Who asks

    def _may_use_domain(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """Only users of the domain send requests through it; False if it was answered here."""
        user = self._authenticate(transaction, request, now, proxy=True)
        if user is None:
            return False
        sender = request.from_.sip_uri
        if not self._is_ours(sender) or sender.unescaped_user != user:
            warning = f'399 {self.domain} "From must be the user who authenticates"'
            self._element.reply(transaction, 403, now, fields=[("Warning", warning)])
            return False
        return True

    def _authenticate(
        self, transaction: ServerTransaction, request: Request, now: float, *, proxy: bool
    ) -> str | None:
        """Return who sent the request; None if it was challenged (RFC 3261 section 22)."""
        header = "proxy-authorization" if proxy else "authorization"
        flow = transaction.flow
        # What UDP does not prove, the nonce must: that the sender is at that address.
        recipient = "" if flow.transport.reliable else flow.remote[0]
        verdict = self._authenticator.check(
            request.values(header), request.method, request.request_uri, self._find_ha1, now,
            recipient,
        )  # fmt: skip
        if verdict.outcome is Outcome.ACCEPTED:
            self._doorkeeper.accept(flow, verdict.username)
            return verdict.username
        status, name = (407, "Proxy-Authenticate") if proxy else (401, "WWW-Authenticate")
        challenges = self._authenticator.challenges(
            now,
            stale=verdict.outcome is Outcome.STALE,
            md5_only=(request.value("user-agent") or "").startswith(self._md5_only_agents),
            recipient=recipient,
        )
        fields = [(name, each) for each in challenges]
        if verdict.outcome is Outcome.REFUSED:
            self._doorkeeper.refuse(transaction, verdict.unverified_username, status, fields, now)
        else:
            self._element.turn_away(transaction, status, now, fields=fields)
        return None

    def _find_ha1(self, user: str, algorithm: Algorithm) -> Secret[str] | None:
        return self._accounts.find_ha1(user, self.domain, algorithm)

    def _without_own_credentials(self, request: Request) -> Request:
        """Section 22.3: credentials for our realm end here, others go on.

        Those for a UAS in our realm as well: with them the callee could guess passwords.
        """
        realm = f'realm="{self._authenticator.realm}"'
        for name in ("proxy-authorization", "authorization"):
            if name in request:
                request = request.without(name, holding=realm)
        return request

    # Registrar

    def _register(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Section 10.3."""
        if not self._is_ours(request.uri):
            self._element.turn_away(transaction, 403, now)
            return
        user = self._authenticate(transaction, request, now, proxy=False)
        if user is None:
            return
        registered = request.to.sip_uri
        if not self._is_ours(registered):
            self._element.reply(transaction, 404, now)
            return
        if registered.unescaped_user != user:
            self._element.reply(transaction, 403, now)
            return
        aor = SipUri.parse(f"sip:{registered.user}@{self.domain}").canonical_aor()
        now_utc = self._wall_clock()
        # What is bound to a lost connection can never be reached again: it goes.
        bound = self._location.find(aor, now_utc)
        live = [each for each in bound if self._flows.find(each.flow) is not None]
        result = registrar.apply(
            request,
            live,
            now_utc=now_utc,
            flow=self._flows.add(transaction.flow),
            settings=self._registrar_settings,
        )
        if result.status == 200:
            for each in bound:  # one Call-ID is one phone (section 10.2): it has come back
                if each not in live and each.call_id == request.call_id:
                    self._flows.replace(each.flow, transaction.flow)
            self._location.replace(aor, result.bindings, now)
            log.info("= %s registered %s, %d phones", transaction.flow, aor, len(result.bindings))
        response = Response.to_request(
            request,
            result.status,
            result.reason,
            to_tag=self._element.new_token(),
            fields=result.fields,
        )
        self._element.respond(transaction, response, now)

    def shut_down(self, now: float) -> None:
        """Answer what is under way, hang up our own calls, and write bindings down."""
        for transaction in self._element.transactions.unanswered():
            fields = [("Retry-After", str(RESTART_S))]
            self._element.reply(transaction, 503, now, fields=fields)
            self._proxy.receive_event(CancelReceived(transaction), now)
        self._user_agent.shut_down(now)
        self._location.save(now)

    # The rest of the five calls

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """A stream connection is gone: its phone cannot be reached until it comes back."""
        self._flows.forget(flow)
        self._doorkeeper.connection_lost(flow)
        self._user_agent.connection_lost(flow, reason, now)
        log.debug("= %s closed: %s", flow, reason)

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""
        self._proxy.handle_timer(now)
        self._user_agent.handle_timer(now)
        self._location.handle_timer(now, self._wall_clock())
        self._doorkeeper.handle_timer(now)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`."""
        return earliest(
            self._proxy.next_deadline(),
            self._user_agent.next_deadline(),
            self._location.next_deadline(),
            self._doorkeeper.next_deadline(),
        )
