"""RFC 5280 and RFC 5922 section 6: what our certificates hold."""

import itertools
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from sottovoce.errors import LocalError
from sottovoce.pki.authority import Authority, certificate_to_pem, make_key
from sottovoce.pki.identity import SIP_DOMAIN_USAGE, check_identity, subject_identities
from sottovoce.pki.profile import CLOCK_SKEW, LEAF_LIFE, domain_profile, user_profile


def issue(domain: str, now_utc: datetime, **further: list[str]) -> x509.Certificate:
    profile = domain_profile(domain, **further)
    return Authority.make(now_utc=now_utc).issue(profile, make_key().public_key(), now_utc=now_utc)


def test_root_signs_leaves_and_nothing_below_them(now_utc: datetime) -> None:
    root = Authority.make(now_utc=now_utc).certificate
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = root.extensions.get_extension_for_class(x509.KeyUsage)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    allowed = {name for name in dir(usage.value) if getattr_or_false(usage.value, name)}
    assert allowed == {"key_cert_sign", "crl_sign"}
    root.verify_directly_issued_by(root)


def getattr_or_false(usage: x509.KeyUsage, name: str) -> bool:
    if name.startswith("_") or name in {"encipher_only", "decipher_only", "public_bytes"}:
        return False
    return getattr(usage, name) is True


def test_domain_certificate_holds_the_sip_uri_and_the_dns_name(now_utc: datetime) -> None:
    leaf = issue("Example.org", now_utc)

    assert [str(name) for name in subject_identities(leaf)] == [
        "URI:sip:example.org",
        "DNS:example.org",
    ]
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        SIP_DOMAIN_USAGE,
    ]
    public_key = leaf.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert public_key.curve.name == "secp256r1"


def test_domain_certificate_holds_further_names_once(now_utc: datetime) -> None:
    leaf = issue(
        "example.org", now_utc, dns_names=["a.test", "example.org"], addresses=["192.0.2.1"]
    )
    assert [str(name) for name in subject_identities(leaf)] == [
        "URI:sip:example.org",
        "DNS:example.org",
        "DNS:a.test",
        "IP:192.0.2.1",
    ]


@pytest.mark.parametrize(
    "domain", ["192.0.2.1", "[2001:db8::1]", "bücher.example", "x" * 60 + ".test"]
)
def test_every_kind_of_domain_gets_a_certificate_that_proves_it(
    domain: str, now_utc: datetime
) -> None:
    check_identity(issue(domain, now_utc), domain)


def test_domain_too_long_for_the_common_name_stands_in_a_critical_subject_alt_name(
    now_utc: datetime,
) -> None:
    leaf = issue("x" * 60 + ".test", now_utc)
    assert list(leaf.subject) == []
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize("wrong", ["*.example.org", "", "a b", "192.0.2.300"])
def test_domain_that_no_certificate_can_prove_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        domain_profile(wrong)


def test_host_name_among_the_addresses_is_refused() -> None:
    with pytest.raises(ValueError, match="no IP address"):
        domain_profile("example.org", addresses=["a.test"])


def test_user_certificate_proves_no_domain(now_utc: datetime) -> None:
    profile = user_profile("alice", "example.org")
    leaf = Authority.make(now_utc=now_utc).issue(profile, make_key().public_key(), now_utc=now_utc)
    assert subject_identities(leaf) == ()


def test_leaf_is_valid_from_an_hour_ago_for_its_life(now_utc: datetime) -> None:
    leaf = issue("example.org", now_utc)
    assert leaf.not_valid_before_utc == now_utc - CLOCK_SKEW
    assert leaf.not_valid_after_utc == now_utc + LEAF_LIFE


def test_leaf_never_outlives_its_root(now_utc: datetime) -> None:
    authority = Authority.make(now_utc=now_utc)
    end_utc = authority.certificate.not_valid_after_utc
    key, profile = make_key().public_key(), domain_profile("example.org")

    late = authority.issue(profile, key, now_utc=end_utc - timedelta(days=1))
    assert late.not_valid_after_utc == end_utc
    with pytest.raises(LocalError, match="make a new CA"):
        authority.issue(profile, key, now_utc=end_utc)


def test_serial_numbers_come_from_the_caller(now_utc: datetime) -> None:
    numbers = itertools.count(41)
    authority = Authority.make(now_utc=now_utc, serial_numbers=lambda: next(numbers))
    leaf = authority.issue(
        domain_profile("example.org"),
        make_key().public_key(),
        now_utc=now_utc,
        serial_numbers=lambda: next(numbers),
    )
    assert (authority.certificate.serial_number, leaf.serial_number) == (41, 42)


def test_root_made_again_from_its_key_still_proves_what_it_signed(now_utc: datetime) -> None:
    first = Authority.make(now_utc=now_utc)
    leaf = first.issue(domain_profile("a.test"), make_key().public_key(), now_utc=now_utc)
    again = Authority.make(now_utc=now_utc, private_key=first.private_key)

    leaf.verify_directly_issued_by(again.certificate)


def test_key_of_the_authority_is_not_in_its_repr(now_utc: datetime) -> None:
    assert "private_key" not in repr(Authority.make(now_utc=now_utc))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="apt install openssl")
def test_openssl_accepts_the_chain_under_its_strict_rules(
    tmp_path: Path, now_utc: datetime
) -> None:
    authority = Authority.make(now_utc=now_utc)
    leaf = authority.issue(
        domain_profile("example.org", addresses=["::1"]), make_key().public_key(), now_utc=now_utc
    )
    (tmp_path / "ca.pem").write_bytes(certificate_to_pem(authority.certificate))
    (tmp_path / "leaf.pem").write_bytes(certificate_to_pem(leaf))
    at = str(int(now_utc.timestamp()))
    said = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", at,
         "-CAfile", "ca.pem", "leaf.pem"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
