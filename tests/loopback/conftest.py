"""Certificates and a server for tests on real sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.phone import Account
from sottovoce.pki.authority import Authority, certificate_to_pem, key_to_pem, make_key
from sottovoce.pki.profile import domain_profile
from sottovoce.secret import Secret
from sottovoce.server.runtime import Server
from sottovoce.server.settings import ServeSettings
from sottovoce.store import STORE_FILE, SqliteStore
from sottovoce.store.model import Account as StoredAccount

DOMAIN = "example.test"


@dataclass(frozen=True)
class Certificates:
    """PEM files of a certificate authority and of good and bad servers."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def pair(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def _write(folder: Path, name: str, authority: Authority, domain: str, now: datetime) -> None:
    key = make_key()
    profile = domain_profile(domain, addresses=["127.0.0.1"] if name == "right" else [])
    certificate = authority.issue(profile, key.public_key(), now_utc=now)
    (folder / f"{name}.pem").write_bytes(certificate_to_pem(certificate))
    (folder / f"{name}.key").write_bytes(key_to_pem(key).reveal())


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("pki")
    now = datetime.now(UTC)
    authority = Authority.make(now_utc=now - timedelta(days=2000))
    _write(folder, "expired", authority, DOMAIN, now - timedelta(days=1500))
    _write(folder, "right", authority, DOMAIN, now)
    _write(folder, "other-domain", authority, "other.test", now)
    _write(folder, "other-ca", Authority.make(now_utc=now), DOMAIN, now)
    (folder / "ca.pem").write_bytes(certificate_to_pem(authority.certificate))
    return Certificates(folder)


class Office:
    """Our server on loopback, in this process, with alice and bob."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.passwords = {"alice": "wonderland", "bob": "bob-password-22"}
        self.server: Server | None = None
        self.ports: dict[str, int] = {}

    async def start(self, *listen: str, **settings: Any) -> None:
        """Start, or start again on the same ports; with no ``listen`` on TLS alone."""
        wanted = listen or ("tls",)
        places = tuple(f"{name}:127.0.0.1:{self.ports.get(name, 0)}" for name in wanted)
        values = ServeSettings.model_validate({"domain": DOMAIN, "listen": places, **settings})
        self.server = await Server.start(values, self.data)
        for name, place in zip(wanted, self.server.listen, strict=True):
            self.ports[name] = int(place.rpartition(":")[2])

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop()
            self.server = None

    def account(self, user: str, transport: str = "tls", **settings: Any) -> Account:
        secure = transport == "tls"
        values: dict[str, Any] = {
            "password": self.passwords.get(user, "none"),
            "outbound_proxy": f"127.0.0.1:{self.ports[transport]};transport={transport}",
            "ca_file": self.data / "ca.pem",
            "allow_clear_text_sip": not secure,
        }
        return Account(f"{'sips' if secure else 'sip'}:{user}@{DOMAIN}", **{**values, **settings})


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made = Office(make_private(tmp_path / "data"))
    with SqliteStore(made.data / STORE_FILE) as store:
        for user, password in made.passwords.items():
            now = datetime.now(UTC)
            store.add_account(StoredAccount.make(user, DOMAIN, Secret(password), created_utc=now))
    yield made
    await made.stop()


def make_private(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder
