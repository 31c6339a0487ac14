"""A certificate in words: for people and for ``--json``."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from .identity import IdentityKind, all_names, only_refusals, usage_name


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """Who, by whom, for what and until when."""

    subject: str
    "Distinguished name, RFC 4514; may be empty."

    issuer: str
    "Distinguished name, RFC 4514."

    names: tuple[str, ...]
    "Such as ``URI:sip:example.org``; those that prove no domain have the reason in brackets."

    usages: tuple[str, ...]
    "Extended key usages; empty when the certificate does not restrict them."

    key_type: str
    "Such as ``ECDSA P-256``."

    not_before_utc: datetime
    not_after_utc: datetime

    fingerprint_sha256: str
    "Of the DER, colon-separated upper-case hex."

    serial_number: str
    "Hex."


def summarize(certificate: x509.Certificate) -> CertificateSummary:
    """Put a certificate into words.

    Raises:
        CertificateRefused: A part of it cannot be read.

    """
    names = [
        name
        for name in all_names(certificate)
        if name.kind is not IdentityKind.COMMON_NAME or not name.objection  # as in the subject
    ]
    with only_refusals():
        usages = [
            usage_name(usage)
            for extension in certificate.extensions
            if isinstance(extension.value, x509.ExtendedKeyUsage)
            for usage in extension.value
        ]
        return CertificateSummary(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            names=tuple(
                f"{name} ({name.objection})" if name.objection else str(name) for name in names
            ),
            usages=tuple(usages),
            key_type=_key_type(certificate),
            not_before_utc=certificate.not_valid_before_utc,
            not_after_utc=certificate.not_valid_after_utc,
            fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
            serial_number=f"{certificate.serial_number:x}",
        )


def _key_type(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case ec.EllipticCurvePublicKey() as key:
            names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
            return f"ECDSA {names.get(key.curve.name, key.curve.name)}"
        case rsa.RSAPublicKey() as key:
            return f"RSA {key.key_size} bits"
        case dsa.DSAPublicKey() as key:
            return f"DSA {key.key_size} bits"
        case key:
            return type(key).__name__.strip("_").removesuffix("PublicKey")
