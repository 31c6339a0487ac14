"""A certificate authority of one's own, in memory.  ECDSA P-256, RFC 5280."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..errors import LocalError
from ..secret import Secret
from .profile import CLOCK_SKEW, Profile, ca_profile

SerialNumbers = Callable[[], int]

CA_NAME = "Sottovoce CA"

#: Hex digits of the CA's key identifier in its name: two authorities in one trust store
#: must not share a subject, or some verifiers try only the first.
_NAME_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Authority:
    """A root certificate and its key."""

    certificate: x509.Certificate
    "Self-signed; what phones are given to trust."

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    "Signs; never leaves this machine."

    @classmethod
    def make(
        cls,
        *,
        now_utc: datetime,
        private_key: ec.EllipticCurvePrivateKey | None = None,
        serial_numbers: SerialNumbers = x509.random_serial_number,
    ) -> "Authority":
        """Make a root that is valid from an hour ago on.

        Args:
            now_utc: Aware time of issue.
            private_key: A key whose certificate was lost; the name is derived from it, so
                that what the old root signed stays valid under the new one.  Without it a
                key is made.
            serial_numbers: Gives a number not used before.

        """
        key = private_key if private_key is not None else make_key()
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        profile = ca_profile(f"{CA_NAME} {identifier.digest.hex()[:_NAME_DIGITS]}")
        certificate = _sign(
            profile, key.public_key(), profile.subject, key, now_utc, serial_numbers()
        )
        return cls(certificate, key)

    def issue(
        self,
        profile: Profile,
        public_key: ec.EllipticCurvePublicKey,
        *,
        now_utc: datetime,
        serial_numbers: SerialNumbers = x509.random_serial_number,
    ) -> x509.Certificate:
        """Sign a certificate for a key, valid from an hour ago on.

        It never outlives the root: a chain is no stronger than that.

        Raises:
            LocalError: The root itself is over.

        """
        if now_utc >= self.certificate.not_valid_after_utc:
            raise LocalError(
                "CA certificate: ended at "
                f"{self.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; make a new CA"
            )
        return _sign(
            profile,
            public_key,
            self.certificate.subject,
            self.private_key,
            now_utc,
            serial_numbers(),
            latest_end_utc=self.certificate.not_valid_after_utc,
        )


def make_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key: every desk phone that does TLS 1.2 has this curve."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(private_key: ec.EllipticCurvePrivateKey) -> Secret[bytes]:
    """Return a key as unencrypted PKCS #8 PEM."""
    return Secret(
        private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def certificate_to_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _sign(
    profile: Profile,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    now_utc: datetime,
    serial_number: int,
    *,
    latest_end_utc: datetime | None = None,
) -> x509.Certificate:
    end_utc = now_utc + profile.life
    if latest_end_utc is not None:
        end_utc = min(end_utc, latest_end_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(profile.subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(now_utc - CLOCK_SKEW)
        .not_valid_after(end_utc)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    for extension, critical in profile.extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())
