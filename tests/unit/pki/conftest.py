"""Certificates with any names, signed by a throw-away root."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = ec.generate_private_key(ec.SECP256R1())
MakeCertificate = Callable[..., x509.Certificate]


@pytest.fixture
def now_utc() -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def certificate() -> MakeCertificate:
    """Make a self-signed certificate with just these names and usages."""

    def make(
        *names: x509.GeneralName,
        common_name: str = "",
        usages: Iterable[x509.ObjectIdentifier] = (),
    ) -> x509.Certificate:
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(KEY.public_key())
            .serial_number(7)
            .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(KEY, hashes.SHA256())

    return make
