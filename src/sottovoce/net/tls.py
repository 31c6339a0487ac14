"""TLS for SIP: contexts, and what a handshake proved.  RFC 3261 section 26.2.1, RFC 5922."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from ..errors import CertificateRefused, SettingsError
from ..pki.identity import check_identity, subject_identities

#: Forward-secret AEAD suites of TLS 1.2; those of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True)
class TlsSecurity:
    """What protects one connection, as its handshake left it."""

    tls_version: str
    "Such as TLSv1.3."

    cipher: str
    "Such as TLS_AES_256_GCM_SHA384."

    subject_identities: tuple[str, ...]
    "Who the peer's certificate speaks for; empty if it showed none."

    issuer: str
    "Who signed the peer's certificate; empty if it showed none."


def server_context(
    certificate: Path, key: Path, *, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> ssl.SSLContext:
    """Make the context of listening sockets.

    Raises:
        SettingsError: The certificate and key cannot be loaded.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, minimum)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{certificate} and {key}: cannot be used for TLS; expected a PEM certificate "
            "and its unencrypted PEM key"
        ) from error
    return context


def client_context(
    ca: Path | None, *, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> ssl.SSLContext:
    """Make the context of connections that we open.

    The chain is checked here; whom it speaks for is checked by :func:`check_peer`, since
    the host name rule of the standard library is not the one for SIP domains (it knows
    neither ``URI:sip:`` names nor that the domain, not the host, counts).

    Args:
        ca: Trust anchors in PEM instead of the system's.
        minimum: Lowest TLS version.

    Raises:
        SettingsError: ``ca`` cannot be read or holds no certificate.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, minimum)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        is_ssl = isinstance(error, ssl.SSLError)
        found = "holds no certificate" if is_ssl else (error.strerror or "").lower()
        raise SettingsError(
            f"{ca}: {found}; expected PEM, such as 'sottovoce cert export-ca' writes"
        ) from error
    return context


def _harden(context: ssl.SSLContext, minimum: ssl.TLSVersion) -> None:
    context.minimum_version = minimum
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def check_peer(connection: ssl.SSLSocket, domain: str) -> None:
    """Check that the peer's certificate, whose chain holds, speaks for ``domain``.

    Raises:
        CertificateRefused: It does not; the message names what it holds.

    """
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise CertificateRefused(f"the server of {domain} showed no certificate")
    check_identity(der, domain)


def security_of(connection: ssl.SSLSocket) -> TlsSecurity:
    """Describe a connection after its handshake."""
    cipher = connection.cipher()
    der = connection.getpeercert(binary_form=True)
    identities: tuple[str, ...] = ()
    issuer = ""
    if der is not None:
        certificate = x509.load_der_x509_certificate(der)
        identities = tuple(str(identity) for identity in subject_identities(certificate))
        issuer = certificate.issuer.rfc4514_string()
    return TlsSecurity(connection.version() or "", cipher[0] if cipher else "", identities, issuer)


def refusal_of(error: ssl.SSLError, domain: str | None) -> str:
    """Put a failed handshake into one line, with the mend where there is one.

    Args:
        error: What OpenSSL says.
        domain: Whom the peer had to prove; None if the peer connected to us.

    """
    if isinstance(error, ssl.SSLCertVerificationError):
        found = error.verify_message or "not valid"
        mend = {
            10: "the server must renew it",  # X509_V_ERR_CERT_HAS_EXPIRED
            9: "check this machine's clock",  # X509_V_ERR_CERT_NOT_YET_VALID
            18: "give its CA with --ca FILE, if it is the right server",  # self-signed leaf
            19: "give its CA with --ca FILE, if it is the right server",  # self-signed root
            20: "give its CA with --ca FILE, if it is the right server",  # issuer unknown
        }.get(error.verify_code, "ask the operator of the server")
        return f"the certificate shown for {domain or 'the peer'} is refused: {found}; {mend}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    whom = f" with the server of {domain}" if domain else ""
    return f"the TLS handshake{whom} failed: {reason}"
