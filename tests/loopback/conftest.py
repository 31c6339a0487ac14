"""Certificates for tests on real sockets, made once a run."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sottovoce.pki.authority import Authority, certificate_to_pem, key_to_pem, make_key
from sottovoce.pki.profile import domain_profile

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
