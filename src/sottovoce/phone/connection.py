"""A phone's one connection to its server: opened, registered over, and reopened when lost."""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from typing import Final

from ..errors import AuthenticationFailed, CallFailed, Error, LocalError, RequestFailed, Unreachable
from ..net.dns import Resolver
from ..net.driver import Driver
from ..net.tls import TlsSecurity, client_context
from ..sip.digest_client import DigestClient
from ..sip.element import Element, ElementEvent, KeepAliveReceived
from ..sip.keep_alive import KeepAlive
from ..sip.registration import Registration
from ..sip.session_events import (
    Registered,
    RegistrationFailed,
    Unregistered,
    UserAgentEvent,
)
from ..sip.transport import Flow, Target, Transport, host_port
from ..sip.user_agent import UserAgent
from .failover import use_first
from .settings import Account

log = logging.getLogger("sottovoce.phone")

USER_AGENT: Final = "Sottovoce phone"
#: First and longest wait before a lost connection is tried again (RFC 5626 section 4.5
#: has longer ones for phones by the million; each wait is drawn from 50 to 100 %).
RECONNECT_FIRST_S: Final = 0.5
RECONNECT_MAX_S: Final = 60.0
_UNREGISTER_S: Final = 2.0


class ServerConnection:
    """The way to the server, and the user agent that speaks over it.

    It is the core that the driver feeds; what the user agent tells about calls goes to
    ``on_event``.

    Args:
        account: Who we are, and how to reach the server.
        registers: Tell the server where we are.
        on_event: Called with each event of a call.

    """

    def __init__(
        self, account: Account, *, registers: bool, on_event: Callable[[UserAgentEvent], None]
    ) -> None:
        self._account = account
        self._registers = registers
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        element = Element(
            secrets.token_bytes, allow_keys_in_clear_text=account.allow_keys_in_clear_text
        )
        self.agent = UserAgent(element, random_bytes=secrets.token_bytes, user_agent=USER_AGENT)
        self.credentials = DigestClient(
            username=account.user,
            password=account.secret,
            realms=frozenset({account.domain}),
            random_bytes=secrets.token_bytes,
        )
        self._driver = Driver(element, self, client_tls=client_context(account.ca_path))
        self._contact_user = secrets.token_hex(4)
        self._flow: Flow | None = None
        self.security: TlsSecurity | None = None
        "What protects the way to the server; None without TLS."
        self.registered = asyncio.Event()
        self._registration: Registration | None = None
        self._settled: asyncio.Future[None] | None = None
        self._return: asyncio.Task[None] | None = None
        self._keep_alive: KeepAlive | None = None
        self._resolver = Resolver(account.dns_server)
        self._trying = False
        self._lost: Flow | None = None
        self._closing = False

    @property
    def flow(self) -> Flow:
        """The connection itself.

        Raises:
            LocalError: There is none yet, or no more.

        """
        if self._flow is None:
            raise LocalError("the phone is not connected; use it in `async with Phone(...)`")
        return self._flow

    @property
    def contact(self) -> str:
        """Where requests reach us: over this very flow."""
        flow = self.flow
        if flow.secure and self._account.sip_uri.secure:
            return f"sips:{self._contact_user}@{host_port(*flow.local)}"
        transport = flow.transport
        param = "" if transport is Transport.UDP else f";transport={transport.value.lower()}"
        return f"sip:{self._contact_user}@{host_port(*flow.local)}{param}"

    async def open(self) -> None:
        """Connect and register, at the first of the domain's servers that takes us.

        Raises:
            Unreachable: No connection came about, or no server answers the registration.
            CertificateRefused: A server cannot prove that it is the account's, and no other
                does.
            RequestFailed: It does not take the registration.

        """
        self._trying = True
        try:
            hop = self._account.next_hop()
            targets = await self._resolver.locate(
                hop.uri, transports=hop.transports, domain=self._account.domain
            )
            await use_first(targets, self._try)
        finally:
            self._trying = False

    async def _try(self, target: Target) -> None:
        old = self._flow
        self._flow = await self._driver.connect(target)
        self.security = self._driver.security_of(self._flow)
        log.info("= connected to %s", target)
        self._settled = self._loop.create_future()
        now = self._loop.time()
        reliable = self._flow.transport.reliable
        self._keep_alive = KeepAlive(random.random, now) if reliable else None
        if old is not None:  # registers anew by itself
            self.agent.replace_flow(old, self._flow, now, contact=self.contact)
            if old != self._flow:
                self._driver.close_flow(old)
        if self._registers and self._registration is None:
            uri = self._account.sip_uri
            self._registration = self.agent.register(
                f"{uri.scheme}:{uri.host}",
                aor=f"{uri.scheme}:{uri.user}@{uri.host}",
                hop=self.flow,
                contact=self.contact,
                expires_s=self._account.expires_s,
                credentials=self.credentials,
                now=now,
            )
        self.pump()
        if self._registration is not None:
            await self._settled
        if self._lost == self._flow:
            raise Unreachable(503, f"{target} closed the connection at once")

    async def close(self) -> None:
        """Unregister and disconnect."""
        self._closing = True
        if self._return is not None:
            self._return.cancel()
        try:
            if self._registration is not None and self.registered.is_set():
                self._settled = self._loop.create_future()
                self._registration.unregister(self._loop.time())
                self.pump()
                await asyncio.wait({self._settled}, timeout=_UNREGISTER_S)
        finally:
            self._driver.close()
            self._flow = None
            self.registered.clear()

    def pump(self) -> None:
        """Send what there is to send."""
        self._driver.pump()

    # What the driver brings

    def receive_event(self, event: ElementEvent, now: float) -> None:
        """Take one event of the element."""
        if isinstance(event, KeepAliveReceived):
            if self._keep_alive is not None and event.flow == self._flow:
                self._keep_alive.receive_pong(now)
            return
        self.agent.receive_event(event, now)
        self._hand_events_on()

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""
        self.agent.handle_timer(now)
        self._hand_events_on()
        if self._keep_alive is not None and self._flow is not None:
            self._keep_alive.handle_timer(now)
            for ping in self._keep_alive.take_sends():
                self._driver.element.send_keep_alive(ping, self._flow)
            if self._keep_alive.next_event() is not None:
                self._driver.close_flow(self._flow)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timer`."""
        times = (
            self.agent.next_deadline(),
            self._keep_alive.next_deadline() if self._keep_alive else None,
        )
        return min((each for each in times if each is not None), default=None)

    def connection_lost(self, flow: Flow, reason: str, now: float) -> None:
        """Come back; calls go on, for their sound takes another way."""
        self.agent.connection_lost(flow, reason, now)
        self._hand_events_on()
        if flow != self._flow or self._closing:
            return
        self._keep_alive = None
        log.warning("connection to the server lost: %s", reason)
        self.registered.clear()
        if self._settled is not None and not self._settled.done():
            self._settle(Unreachable(503, f"connection lost: {reason}"))
        self._lost = flow
        if self._trying:
            return  # whoever tries finds out, and goes on to the next server
        if self._return is None or self._return.done():
            self._return = self._loop.create_task(self._come_back())

    def _hand_events_on(self) -> None:
        while (event := self.agent.next_event()) is not None:
            match event:
                case Registered() | Unregistered():
                    if isinstance(event, Registered):
                        self.registered.set()
                    self._settle(None)
                case RegistrationFailed(_, status, reason):
                    self.registered.clear()
                    self._settle(failure(status, reason))
                case _:
                    self._on_event(event)

    def _settle(self, error: RequestFailed | None) -> None:
        waiter = self._settled
        if waiter is None or waiter.done():
            if error is not None:
                log.warning("registration failed: %s", error)
        elif error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
            waiter.exception()  # whoever waits is told; nobody has to wait

    async def _come_back(self) -> None:
        wait_s = RECONNECT_FIRST_S
        while True:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            wait_s = min(2 * wait_s, RECONNECT_MAX_S)
            try:
                await self.open()
            except AuthenticationFailed as error:
                log.error("the server does not take the password any more: %s", error)
                return  # again and again the same one would only get us banned
            except Error as error:
                log.warning("no way back to the server yet: %s", error)
            else:
                return


def failure(status: int, reason: str, warning: str = "") -> RequestFailed:
    """The exception for a final status (RFC 3261 section 21)."""
    if status in (401, 407):
        wrong = "wrong user name or password; check --account and the password"
        return AuthenticationFailed(status, wrong, warning)
    if status == 403:
        return AuthenticationFailed(status, reason, warning)
    if status in (408, 503):
        return Unreachable(status, reason, warning)
    return CallFailed(status, reason, warning)
