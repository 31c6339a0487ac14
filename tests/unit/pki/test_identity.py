"""RFC 5922 section 7, RFC 5924: the certificate table."""

import contextlib
import ipaddress
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import CertificateRefused
from sottovoce.pki.authority import Authority, make_key
from sottovoce.pki.identity import (
    SHOWN_NAMES,
    SIP_DOMAIN_USAGE,
    canonical_domain,
    check_identity,
    subject_identities,
)
from sottovoce.pki.profile import domain_profile
from sottovoce.pki.summary import summarize

MakeCertificate = Callable[..., x509.Certificate]


def _sample() -> bytes:
    now_utc = datetime(2026, 3, 1, tzinfo=UTC)
    profile = domain_profile("example.org", addresses=["192.0.2.1"])
    issued = Authority.make(now_utc=now_utc).issue(
        profile, make_key().public_key(), now_utc=now_utc
    )
    return issued.public_bytes(Encoding.DER)


SAMPLE = _sample()


def dns(name: str) -> x509.DNSName:
    return x509.DNSName(name)


def uri(value: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(value)


def ip(address: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(address))


@dataclass(frozen=True)
class Case:
    names: tuple[x509.GeneralName, ...] = ()
    domain: str = "example.org"
    common_name: str = ""
    usages: tuple[ObjectIdentifier, ...] = ()
    message: str = ""


ACCEPTED = {
    "URI only": Case((uri("sip:example.org"),)),
    "DNS only": Case((dns("example.org"),)),
    "both": Case((uri("sip:example.org"), dns("example.org"))),
    "second of two URIs": Case((uri("sip:example.com"), uri("sip:example.org"))),
    "URI of another domain beside the right DNS": Case((uri("sip:a.test"), dns("example.org"))),
    "upper case in the certificate": Case((dns("EXAMPLE.Org"),)),
    "upper case in the scheme": Case((uri("SIP:example.org"),)),
    "upper case asked for": Case((uri("sip:example.org"),), "Example.ORG"),
    "trailing dot in the certificate": Case((dns("example.org."),)),
    "trailing dot asked for": Case((dns("example.org"),), "example.org."),
    "URI with port and parameters": Case((uri("sip:example.org:5061;transport=tls"),)),
    "CN without any subjectAltName": Case(common_name="example.org"),
    "IDN by its A-label": Case((dns("xn--bcher-kva.example"),), "bücher.example"),
    "IDN in the CN": Case((), "xn--bcher-kva.example", common_name="Bücher.example"),
    "IPv4 literal": Case((ip("192.0.2.1"),), "192.0.2.1"),
    "IPv6 literal in brackets": Case((ip("2001:db8::1"),), "[2001:DB8:0:0::1]"),
    "IPv6 literal without brackets": Case((ip("2001:db8::1"),), "2001:db8::1"),
    "usage sipDomain": Case((dns("example.org"),), usages=(SIP_DOMAIN_USAGE,)),
    "usage any": Case((dns("example.org"),), usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "usage serverAuth": Case((dns("example.org"),), usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "usage clientAuth": Case((dns("example.org"),), usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "one good usage of two": Case(
        (dns("example.org"),),
        usages=(ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH),
    ),
}

WHOLE = r"a name must be equal in whole \(RFC 5922 section 7\.2\)"
REFUSED = {
    "other domain": Case(
        (uri("sip:example.com"), dns("example.com")),
        message=f"expected 'example.org', found URI:sip:example.com, DNS:example.com; {WHOLE}",
    ),
    "sibling": Case((dns("a.example.org"),), "b.example.org", message="found DNS:a.example.org; "),
    "parent": Case((dns("example.org"),), "sip.example.org", message=f"DNS:example.org; {WHOLE}"),
    "child": Case((dns("sip.example.org"),), message=f"DNS:sip.example.org; {WHOLE}"),
    "suffix without a dot": Case((dns("badexample.org"),), message=WHOLE),
    "wildcard": Case(
        (dns("*.example.org"),),
        "sip.example.org",
        message=r"DNS:\*\.example\.org \(wildcards name no SIP domain\)",
    ),
    "wildcard asked for": Case(
        (dns("*.example.org"),), "*.example.org", message=r"no certificate can prove '\*\.example"
    ),
    "wildcard inside a label": Case((dns("s*.example.org"),), "sip.example.org", message=WHOLE),
    "NUL in the DNS name": Case(
        (dns("example.org\0.evil.test"),),
        message=r"DNS:example\.org\\x00\.evil\.test \(is no host name\)",
    ),
    "NUL in the URI": Case((uri("sip:example.org\0.evil.test"),), message="is no host name"),
    "NUL asked for": Case(
        (dns("example.org\0"),), "example.org\0", message=r"can prove 'example\.org\\\\?x00'"
    ),
    "two trailing dots": Case((dns("example.org.."),), message="is no host name"),
    "empty DNS name": Case((dns(""),), message=r"DNS: \(is no host name\)"),
    "nothing asked for": Case((dns(""),), "", message="no certificate can prove ''"),
    "no names at all": Case(message="found no name"),
    "CN of another domain": Case(common_name="example.com", message="found CN:example.com"),
    "CN beside a DNS name": Case(
        (dns("example.com"),),
        common_name="example.org",
        message=r"CN:example\.org \(the common name does not count beside a subjectAltName\)",
    ),
    "CN beside an address": Case(
        (ip("192.0.2.1"),), common_name="example.org", message="does not count beside"
    ),
    "CN beside a mail address": Case(
        (x509.RFC822Name("root@example.org"),), common_name="example.org", message="not count"
    ),
    "sips URI": Case((uri("sips:example.org"),), message="only the scheme sip names a domain"),
    "https URI": Case((uri("https://example.org"),), message="only the scheme sip"),
    "user in the URI": Case(
        (uri("sip:alice@example.org"),),
        message=r"URI:sip:alice@example\.org \(names a user, not a domain\)",
    ),
    "empty user in the URI": Case((uri("sip:@example.org"),), message="names a user"),
    "user whose name is the domain": Case(
        (uri("sip:example.org;x=@evil.test"),), message="names a user"
    ),
    "slashes in the URI": Case((uri("sip://example.org"),), message="is no host name"),
    "IPv4 literal as DNS name": Case(
        (dns("192.0.2.1"),), "192.0.2.1", message=r"an address counts only as iPAddress\)"
    ),
    "IPv4 literal in the URI": Case(
        (uri("sip:192.0.2.1"),), "192.0.2.1", message="must stand in an iPAddress subjectAltName"
    ),
    "IPv4 literal in the CN": Case((), "192.0.2.1", common_name="192.0.2.1", message="iPAddress"),
    "another address": Case((ip("192.0.2.2"),), "192.0.2.1", message="found IP:192.0.2.2"),
    "address for a name": Case((ip("192.0.2.1"),), message="found IP:192.0.2.1"),
    "address with a zone": Case((ip("fe80::1"),), "fe80::1%eth0", message="can prove 'fe80::1%"),
    "almost an address": Case((dns("1.2.3.256"),), "1.2.3.256", message="last label is a number"),
    "IDN of two meanings": Case((dns("strasse.test"),), "straße.test", message="write its xn--"),
    "wrong usage": Case(
        (dns("example.org"),),
        usages=(ExtendedKeyUsageOID.CODE_SIGNING,),
        message=r"'example\.org': its extended key usage is codeSigning; expected one of sipDomain",
    ),
    "unheard-of usage": Case(
        (dns("example.org"),), usages=(ObjectIdentifier("1.2.3.4"),), message="usage is 1.2.3.4;"
    ),
}


@pytest.mark.rfc("rfc5922", 1, 2, 6, 8, 11, 17)
@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_certificate_that_proves_the_domain_is_accepted(
    case: Case, certificate: MakeCertificate
) -> None:
    made = certificate(*case.names, common_name=case.common_name, usages=case.usages)
    check_identity(made.public_bytes(Encoding.DER), case.domain)


@pytest.mark.rfc("rfc5922", 3, 4, 5, 7, 9, 11)
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_certificate_that_does_not_prove_the_domain_is_refused_with_the_reason(
    case: Case, certificate: MakeCertificate
) -> None:
    made = certificate(*case.names, common_name=case.common_name, usages=case.usages)
    with pytest.raises(CertificateRefused, match=case.message) as refused:
        check_identity(made.public_bytes(Encoding.DER), case.domain)
    assert str(refused.value).isprintable()


def test_identities_are_listed_uris_first_and_only_when_they_prove_something(
    certificate: MakeCertificate,
) -> None:
    made = certificate(
        dns("Example.org"),
        dns("*.example.org"),
        ip("2001:db8::1"),
        uri("sip:example.org"),
        uri("sip:alice@example.org"),
        common_name="example.org",
    )
    found = subject_identities(made)
    assert [str(name) for name in found] == [
        "URI:sip:example.org",
        "DNS:Example.org",
        "IP:2001:db8::1",
    ]
    assert [name.domain for name in found] == ["example.org", "example.org", "2001:db8::1"]


def test_identity_is_the_common_name_when_nothing_else_is_there(
    certificate: MakeCertificate,
) -> None:
    assert [str(n) for n in subject_identities(certificate(common_name="a.test"))] == ["CN:a.test"]


def test_message_about_a_certificate_with_a_thousand_names_stays_short(
    certificate: MakeCertificate,
) -> None:
    made = certificate(*(dns(f"{'a' * 60}.{'b' * 60}.h{i}.test") for i in range(1000)))
    with pytest.raises(CertificateRefused, match=f"and {1000 - SHOWN_NAMES} more") as refused:
        check_identity(made, "example.org")
    assert len(str(refused.value)) < 1000


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_refused(octets: bytes) -> None:
    with pytest.raises(CertificateRefused, match=r"not readable as X\.509"):
        check_identity(octets, "example.org")


def planted(found: bytes, put: bytes, offset: int) -> bytes:
    """Change an octet of the sample, counted from the last place of a known sequence."""
    octets = bytearray(SAMPLE)
    octets[SAMPLE.rindex(found) + offset] = put[0]
    return bytes(octets)


@pytest.mark.parametrize(
    "octets",
    [
        planted(b"\xa0\x03\x02\x01\x02", b"\x05", 4),  # version 6
        planted(b"\x06\x03\x55\x04\x03\x0c", b"\x03", 5),  # common name as a bit string
    ],
    ids=["version", "type of the name"],
)
def test_certificate_that_the_library_stumbles_over_is_refused(octets: bytes) -> None:
    with pytest.raises(CertificateRefused, match=r"not readable as X\.509"):
        check_identity(octets, "example.org")


def test_serial_number_that_the_library_warns_of_makes_no_noise() -> None:
    check_identity(planted(b"\xa0\x03\x02\x01\x02\x02", b"\x80", 7), "example.org")


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_certificate_with_a_changed_byte_is_read_or_refused(position: int, value: int) -> None:
    octets = bytearray(SAMPLE)
    octets[position % len(octets)] = value
    with contextlib.suppress(CertificateRefused):
        check_identity(bytes(octets), "example.org")
    with contextlib.suppress(CertificateRefused, ValueError, x509.InvalidVersion), quiet():
        summarize(x509.load_der_x509_certificate(bytes(octets)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@given(st.text(max_size=40))
def test_canonical_form_is_stable(domain: str) -> None:
    try:
        once = canonical_domain(domain)
    except ValueError:
        return
    assert canonical_domain(once) == once
