"""What our certificates contain and how long they live.  RFC 5280, RFC 5922 section 6, RFC 5924.

=========  ==============================  =================================  =========
profile    subjectAltName                  usage                              life
=========  ==============================  =================================  =========
CA         none                            signs certificates and CRLs        ten years
domain     ``URI:sip:DOMAIN``, ``DNS:``    TLS server and client, sipDomain   397 days
user       ``URI:sip:USER@DOMAIN``         TLS client                         397 days
=========  ==============================  =================================  =========
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .identity import SIP_DOMAIN_USAGE, canonical_domain, parse_address

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=397)  # browsers and phones refuse longer ones of public authorities
CLOCK_SKEW = timedelta(hours=1)  # phones without a battery-backed clock run behind

_COMMON_NAME_CHARACTERS = 64  # ub-common-name, RFC 5280 appendix A


@dataclass(frozen=True, slots=True)
class Profile:
    """All of a certificate but its key, serial number, issuer and time."""

    common_name: str
    "Empty when the name is too long for the field."

    life: timedelta
    "From notBefore's moment on, without the clock skew."

    extensions: tuple[tuple[x509.ExtensionType, bool], ...]
    "Each with whether it is critical."

    @property
    def subject(self) -> x509.Name:
        """The subject's distinguished name."""
        if not self.common_name:
            return x509.Name([])
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])


def ca_profile(name: str) -> Profile:
    """Return the profile of a root that signs leaf certificates and nothing below them."""
    return Profile(
        common_name=name,
        life=CA_LIFE,
        extensions=(
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_key_usage(key_cert_sign=True, crl_sign=True), True),
        ),
    )


def domain_profile(
    domain: str, *, dns_names: Iterable[str] = (), addresses: Iterable[str] = ()
) -> Profile:
    """Return the profile of a server of one SIP domain.

    Args:
        domain: The SIP domain; an IP literal is named as iPAddress beside the URI.
        dns_names: Further host names, for what is not SIP.
        addresses: Further IP literals.

    Raises:
        ValueError: One of them is neither a host name nor an address.

    """
    host = canonical_domain(domain)
    literals = [parse_address(address) for address in (host, *addresses)]
    if None in literals[1:]:
        raise ValueError(f"{list(addresses)!r} holds something that is no IP address")
    names = [canonical_domain(name) for name in dns_names]
    if literals[0] is None:
        names.insert(0, host)
    elif literals[0].version == 6:
        host = f"[{host}]"
    return _leaf(
        canonical_domain(domain),
        (
            x509.UniformResourceIdentifier(f"sip:{host}"),
            *(x509.DNSName(name) for name in dict.fromkeys(names)),
            *(x509.IPAddress(literal) for literal in dict.fromkeys(literals) if literal),
        ),
        (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH, SIP_DOMAIN_USAGE),
    )


def user_profile(user: str, domain: str) -> Profile:
    """Return the profile of one user, who is thereby no domain (RFC 5922 section 7.1)."""
    aor = f"sip:{user}@{canonical_domain(domain)}"
    return _leaf(
        aor.removeprefix("sip:"),
        (x509.UniformResourceIdentifier(aor),),
        (ExtendedKeyUsageOID.CLIENT_AUTH,),
    )


def _leaf(
    common_name: str,
    names: tuple[x509.GeneralName, ...],
    usages: tuple[x509.ObjectIdentifier, ...],
) -> Profile:
    fits = len(common_name) <= _COMMON_NAME_CHARACTERS
    return Profile(
        common_name=common_name if fits else "",
        life=LEAF_LIFE,
        extensions=(
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage(usages), False),
            # Critical when the subject is empty: RFC 5280 section 4.2.1.6.
            (x509.SubjectAlternativeName(names), not fits),
        ),
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
