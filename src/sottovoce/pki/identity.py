"""Which SIP domain a certificate proves.  RFC 5922 section 7, RFC 5924.

The standard library's host-name check is wrong here: it takes wildcards, which
RFC 5922 forbids, and knows nothing of ``URI:sip:example.org``, which RFC 5922 puts first.
The chain, the validity period and the proof of possession are TLS's work; this
module judges only the names and the purpose.
"""

import ipaddress
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ..errors import CertificateRefused

SIP_DOMAIN_USAGE = ObjectIdentifier("1.3.6.1.5.5.7.3.20")  # id-kp-sipDomain, RFC 5924 section 4

#: A certificate with an extended key usage must hold one of these.  RFC 5924 asks for the
#: first two; the TLS ones are accepted by local policy, which its section 5 leaves open,
#: as public authorities issue nothing else.
_ACCEPTED_USAGES = {
    SIP_DOMAIN_USAGE: "sipDomain",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
}

#: What one error line shows of a certificate that a peer chose: it may hold thousands of names.
SHOWN_NAMES = 6
SHOWN_NAME_CHARACTERS = 80

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")  # "_": seen in private networks
_MAX_NAME_CHARACTERS = 253  # RFC 1035 section 2.3.4, as text without the final dot
_HOST_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:;?]*)(:[0-9]{1,5})?([;?].*)?", re.DOTALL)

#: Characters that IDNA 2003 and IDNA 2008 turn into different names (RFC 5894 section 7.2).
_AMBIGUOUS_IN_IDNA = "ßς\u200c\u200d"


class IdentityKind(Enum):
    """Where in the certificate a name stands."""

    URI = "URI"
    DNS = "DNS"
    IP = "IP"
    COMMON_NAME = "CN"


@dataclass(frozen=True, slots=True)
class Identity:
    """One name in a certificate."""

    kind: IdentityKind
    "Which field it comes from."

    value: str
    "As the certificate has it, such as ``sip:example.org``."

    domain: str = ""
    "The domain or address it proves, in the form of :func:`canonical_domain`; empty: none."

    objection: str = ""
    "Why it proves no domain; empty when it does."

    def __str__(self) -> str:
        return f"{self.kind.value}:{_printable(self.value)}"


def canonical_domain(domain: str) -> str:
    """Return the form in which two domains or addresses are compared.

    Lower case, A-labels, no trailing dot (RFC 5922 section 7.2); IPv6 addresses without
    brackets and shortened.

    Raises:
        ValueError: This is neither a host name nor an address; says why.

    """
    address = parse_address(domain)
    if address is not None:
        return str(address)
    name = domain
    if not name.isascii():
        if any(character in name for character in _AMBIGUOUS_IN_IDNA):
            raise ValueError("has a letter of two meanings in IDNA; write its xn-- form")
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("is no internationalized domain name") from None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if labels[0] == "*":
        raise ValueError("wildcards name no SIP domain")
    if len(name) > _MAX_NAME_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("is no host name")
    if labels[-1].isdigit():  # looks like an address and is none, so nothing may match it
        raise ValueError("is no host name: its last label is a number")
    return name


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an IP literal, IPv6 with or without brackets; None when it is something else."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" not in bare and not bare[-1:].isdigit():
        return None  # nearly every name ends here, at a tenth of what the exception costs
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return None  # a zone is local to one host: no certificate can name it
    return address


def subject_identities(certificate: bytes | x509.Certificate) -> tuple[Identity, ...]:
    """Return the SIP domains and addresses that a certificate proves, in RFC 5922's order.

    ``sip:`` URIs come first, then dNSNames, then addresses; the common name is used only
    by a certificate without a subjectAltName extension (section 7.1).

    Args:
        certificate: DER, or as ``cryptography`` parsed it.

    Raises:
        CertificateRefused: The bytes are no certificate.

    """
    return tuple(name for name in all_names(certificate) if not name.objection)


def all_names(certificate: bytes | x509.Certificate) -> tuple[Identity, ...]:
    """Return every name of a certificate that could be taken for its domain, judged.

    As :func:`subject_identities`, with the names that prove nothing and the objection to each.
    """
    return _judged_names(_read(certificate))


def _judged_names(held: "_Contents") -> tuple[Identity, ...]:
    common_names = [_judged(IdentityKind.COMMON_NAME, name) for name in held.common_names]
    if held.alternative is None:
        return tuple(common_names)
    alternative = held.alternative
    rule = "the common name does not count beside a subjectAltName"
    return (
        *map(_judged_uri, alternative.get_values_for_type(x509.UniformResourceIdentifier)),
        *(
            _judged(IdentityKind.DNS, value)
            for value in alternative.get_values_for_type(x509.DNSName)
        ),
        *(_address(value) for value in alternative.get_values_for_type(x509.IPAddress)),
        *(Identity(name.kind, name.value, objection=rule) for name in common_names),
    )


def check_identity(certificate: bytes | x509.Certificate, domain: str) -> None:
    """Raise unless a certificate proves that its holder serves a SIP domain.

    Names must be equal in whole: no wildcard, no suffix (RFC 5922 section 7.2).

    Args:
        certificate: The peer's own certificate, DER; TLS has verified its chain.
        domain: What the user typed or the Request-URI names, before any DNS look-up
            (section 7.3): never the SRV target or the address dialled.

    Raises:
        CertificateRefused: It does not; the message has what was expected, what the
            certificate holds, and the rule.

    """
    held = _read(certificate)
    try:
        expected = canonical_domain(domain)
    except ValueError as error:
        raise CertificateRefused(
            f"certificate: no certificate can prove {_printable(domain)!r}, which {error}"
        ) from None
    names = _judged_names(held)
    _check_usage(held.usages, expected)
    if any(name.domain == expected for name in names):
        return
    shown = [
        name
        for name in names
        if name.kind is not IdentityKind.COMMON_NAME
        or not name.objection
        or _judged(name.kind, name.value).domain == expected
    ]
    rule = (
        "an address must stand in an iPAddress subjectAltName (RFC 9525 section 6.5)"
        if parse_address(expected) is not None
        else "a name must be equal in whole (RFC 5922 section 7.2)"
    )
    raise CertificateRefused(f"certificate: expected {expected!r}, found {_listed(shown)}; {rule}")


def _check_usage(usages: tuple[ObjectIdentifier, ...] | None, expected: str) -> None:
    """Raise when the certificate was made for other purposes only.  RFC 5924 section 5."""
    if usages is not None and not any(usage in _ACCEPTED_USAGES for usage in usages):
        held = ", ".join(usage_name(usage) for usage in usages[:SHOWN_NAMES])
        raise CertificateRefused(
            f"certificate for {expected!r}: its extended key usage is {held or 'empty'}; expected "
            f"one of {', '.join(_ACCEPTED_USAGES.values())}, or none (RFC 5924 section 5)"
        )


def usage_name(usage: ObjectIdentifier) -> str:
    """Name an extended key usage for people, by its number when it is not a known one."""
    if usage in _ACCEPTED_USAGES:
        return _ACCEPTED_USAGES[usage]
    known = usage._name  # cryptography's own table; its public names stop short of it
    return known if known != "Unknown OID" else usage.dotted_string


@contextmanager
def only_refusals() -> Iterator[None]:
    """Turn whatever a certificate's parser raises into a refusal, and its warnings into nothing.

    ``cryptography`` parses late and by parts, and a peer's octets make it raise much more
    than ValueError: InvalidVersion, TypeError, DuplicateExtension, UnsupportedAlgorithm, ...
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CertificateRefused:
        raise
    except Exception as error:
        raise CertificateRefused(f"certificate: not readable as X.509: {error}") from error


@dataclass(frozen=True, slots=True)
class _Contents:
    """What of a certificate is judged here."""

    alternative: x509.SubjectAlternativeName | None
    common_names: tuple[str, ...]
    usages: tuple[ObjectIdentifier, ...] | None


def _read(certificate: bytes | x509.Certificate) -> _Contents:
    with only_refusals():
        parsed = (
            certificate
            if isinstance(certificate, x509.Certificate)
            else x509.load_der_x509_certificate(certificate)
        )
        alternative = usages = None
        for extension in parsed.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                alternative = extension.value
            elif isinstance(extension.value, x509.ExtendedKeyUsage):
                usages = tuple(extension.value)
        common_names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return _Contents(alternative, tuple(_text(name.value) for name in common_names), usages)


def _judged(kind: IdentityKind, value: str) -> Identity:
    if parse_address(value) is not None:
        return Identity(kind, value, objection="an address counts only as iPAddress")
    try:
        return Identity(kind, value, domain=canonical_domain(value))
    except ValueError as error:
        return Identity(kind, value, objection=str(error))


def _judged_uri(value: str) -> Identity:
    """Judge a URI name by the steps of RFC 5922 section 7.1."""
    scheme, colon, rest = value.partition(":")
    if not colon or scheme.lower() != "sip":
        return Identity(IdentityKind.URI, value, objection="only the scheme sip names a domain")
    if "@" in rest:
        return Identity(IdentityKind.URI, value, objection="names a user, not a domain")
    match = _HOST_PORT.fullmatch(rest)
    judged = _judged(IdentityKind.URI, match["host"] if match else rest)
    return Identity(IdentityKind.URI, value, judged.domain, judged.objection)


def _address(value: object) -> Identity:
    text = str(value)
    return Identity(IdentityKind.IP, text, domain=text)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _listed(names: Iterable[Identity]) -> str:
    texts = [f"{name} ({name.objection})" if name.objection else str(name) for name in names]
    if len(texts) > SHOWN_NAMES:
        texts[SHOWN_NAMES:] = [f"and {len(texts) - SHOWN_NAMES} more"]
    return ", ".join(texts) or "no name"


def _printable(text: str) -> str:
    """Make a peer's text safe for one line of a terminal or log, and short."""
    short = text if len(text) <= SHOWN_NAME_CHARACTERS else text[:SHOWN_NAME_CHARACTERS] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
