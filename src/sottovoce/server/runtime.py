"""A running server: settings, certificates, accounts, sockets, and a clean end."""

import asyncio
import gc
import logging
import os
import secrets
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from ..errors import SettingsError
from ..net.driver import Driver
from ..net.peer_watch import ConnectionLimits
from ..net.tls import client_context, server_context
from ..pki.certstore import CA_FILE, CertificateStore, ServerCertificate, load_own_certificate
from ..secret import Secret
from ..sip.authenticator import Authenticator
from ..sip.element import Element
from ..sip.registrar import RegistrarSettings
from ..sip.transport import Transport, host_port
from ..sip.user_agent import UserAgent
from ..store import STORE_FILE, SqliteStore
from ..store.model import Account, random_password
from .built_in_numbers import BuiltInNumbers
from .data_folder import SETTINGS_FILE
from .doorkeeper import Doorkeeper
from .flow_register import FlowRegister
from .guard import GuardSettings
from .location import Location
from .node import Node
from .settings import ServeSettings, sample_settings

log = logging.getLogger("sottovoce.server")

DEMO_USERS = ("alice", "bob")
#: Between the last answers and the end of the sockets: a socket closed while the peer's
#: reply is still unread resets the connection, and the peer may lose what was said.
_GRACE_S = 0.2
USER_AGENT = "Sottovoce"
#: New objects, and collections of the generation before, that make the garbage collector
#: look through each generation.  With Python's own (700, 10, 10) it takes about 100 µs of
#: each call, and finds nothing: calls and messages leave no circles of references behind.
COLLECTOR_THRESHOLDS = (10_000, 20, 100)


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What the first start made, to be told once."""

    passwords: dict[str, Secret[str]]
    "Address-of-record to password of the demo accounts."

    settings_file: Path


def prepare(data: Path, domain: str) -> FirstStart | None:
    """Give a data folder its settings file; a new one gets demo accounts, too.

    Returns:
        What was made, to be told; None if the folder was in use before.

    Raises:
        SettingsError: The folder cannot be written.

    """
    settings_file = data / SETTINGS_FILE
    if settings_file.exists():
        return None
    has_accounts = (data / STORE_FILE).exists()
    try:
        descriptor = os.open(settings_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(sample_settings())
    except OSError as error:
        raise SettingsError(f"{settings_file}: cannot be written: {error.strerror}") from error
    passwords: dict[str, Secret[str]] = {}
    if has_accounts:  # somebody added users before the first start: those are wanted, not ours
        return FirstStart(passwords, settings_file)
    with SqliteStore(data / STORE_FILE) as store:
        for user in DEMO_USERS:
            password = random_password()
            account = Account.make(user, domain, password, created_utc=datetime.now(UTC))
            store.add_account(account)
            passwords[f"{user}@{domain}"] = password
    return FirstStart(passwords, settings_file)


class Server:
    """One node on real sockets.

    Use :meth:`start`; then :meth:`stop` once.
    """

    def __init__(self, settings: ServeSettings, data: Path, store: SqliteStore) -> None:
        self.settings = settings
        self.data = data
        self.listen: list[str] = []
        own = settings.certificate_file is not None
        self.ca_file: Path | None = None if own else data / CA_FILE
        "The authority that phones must trust; None: the operator's own certificate is used."
        self._store = store
        loop = asyncio.get_running_loop()
        now = loop.time()
        element = Element(
            secrets.token_bytes, allow_keys_in_clear_text=settings.allow_keys_in_clear_text
        )
        self.doorkeeper = Doorkeeper(guard_settings(settings), element, store, time.time, now)
        self.flows = FlowRegister(secrets.token_hex(4), secrets.token_bytes(32))
        self._user_agent = UserAgent(
            element, random_bytes=secrets.token_bytes, user_agent=USER_AGENT
        )
        self.built_in_numbers = BuiltInNumbers(
            self._user_agent,
            max_calls=settings.max_builtin_calls,
            port_range=(settings.rtp_port_min, settings.rtp_port_max),
            allow_keys_in_clear_text=settings.allow_keys_in_clear_text,
            allow_clear_text_media=settings.allow_clear_text_media,
            pump=self._pump,
        )
        self.node = Node(
            settings.domain,
            element,
            accounts=store,
            location=Location(store, now),
            flows=self.flows,
            authenticator=Authenticator(
                settings.domain,
                secrets.token_bytes(32),
                secrets.token_bytes,
                nonce_life_s=settings.nonce_life_s,
            ),
            doorkeeper=self.doorkeeper,
            user_agent=self._user_agent,
            registrar_settings=RegistrarSettings(
                min_expires_s=settings.registration_min_s,
                default_expires_s=settings.registration_default_s,
                max_expires_s=settings.registration_max_s,
                max_contacts=settings.max_contacts_per_user,
            ),
            md5_only_agents=settings.md5_only_agents,
            wall_clock=time.time,
        )
        self.driver = Driver(
            element,
            self.built_in_numbers.beside(self.node),
            client_tls=client_context(None),
            limits=ConnectionLimits(
                max_connections=settings.max_connections,
                max_handshakes=settings.max_handshakes,
                open_timeout_s=settings.handshake_timeout_s,
                max_connections_per_source=settings.max_connections_per_source,
                max_handshakes_per_source=settings.max_handshakes_per_source,
                message_timeout_s=settings.message_timeout_s,
                idle_timeout_s=settings.idle_timeout_s,
            ),
            gate=self.doorkeeper,
        )
        self.doorkeeper.on_ban = self._close_banned_soon

    @classmethod
    async def start(cls, settings: ServeSettings, data: Path) -> Self:
        """Load or make certificates, open the store and every port.

        Raises:
            SettingsError: A file, a certificate or a port cannot be used.

        """
        certificate = load_certificate(settings, data)
        minimum = ssl.TLSVersion.TLSv1_3 if settings.tls_minimum_version == "1.3" else None
        context = server_context(
            certificate.certificate_file,
            certificate.key_file,
            minimum=minimum or ssl.TLSVersion.TLSv1_2,
        )
        server = cls(settings, data, SqliteStore(data / STORE_FILE))
        try:
            for address in settings.listen:
                tls = context if address.transport is Transport.TLS else None
                bound = server.driver.listen(address.transport, address.host, address.port, tls)
                if address.transport is Transport.UDP:
                    server.flows.add_udp_port(bound)
                name = host_port(settings.domain, bound[1])
                server.driver.element.sent_by.setdefault(address.transport, name)
                server.listen.append(f"{address.transport.value.lower()}:{host_port(*bound)}")
        except SettingsError:
            server._close()
            raise
        server.driver.pump()
        return server

    async def stop(self) -> None:
        """Answer what is under way, say goodbye, save, and close every socket."""
        self.driver.stop_listening()
        now = asyncio.get_running_loop().time()
        self.node.shut_down(now)
        self.driver.pump()
        await self.built_in_numbers.close()
        await asyncio.sleep(_GRACE_S)
        self._close()

    def _close(self) -> None:
        self.driver.close()
        self._store.close()

    def _close_banned_soon(self) -> None:
        """Not at once: the guard calls from within the pump that brought the last guess."""
        asyncio.get_running_loop().call_soon(self.driver.close_banned)

    def _pump(self) -> None:
        self.driver.pump()


def calm_garbage_collector() -> None:
    """Make collections rare, and blind to what the start made: it stays for ever.

    For a process that only serves; :meth:`Server.start` leaves this to the program.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def guard_settings(settings: ServeSettings) -> GuardSettings:
    """Those of the settings that say who is banned."""
    return GuardSettings(
        guess_limit=settings.guess_limit,
        guess_window_s=settings.guess_window_s,
        ban_s=settings.ban_s,
        ban_max_s=settings.ban_max_s,
        exempt=settings.exempt_networks(),
    )


def load_certificate(settings: ServeSettings, data: Path) -> ServerCertificate:
    """The operator's own certificate, or the one made in the data folder.

    Raises:
        SettingsError: It cannot be used.

    """
    if settings.certificate_file is not None and settings.key_file is not None:
        return load_own_certificate(
            settings.certificate_file,
            settings.key_file,
            settings.domain,
            now_utc=datetime.now(UTC),
        )
    return CertificateStore(data).open_or_make(
        settings.domain,
        now_utc=datetime.now(UTC),
        dns_names=settings.certificate_dns_names(),
        addresses=settings.certificate_addresses(),
    )
