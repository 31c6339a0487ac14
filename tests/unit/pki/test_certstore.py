"""The folder of certificates: made once, kept private, renewed in time, never overwritten."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sottovoce.errors import SettingsError
from sottovoce.pki.authority import (
    Authority,
    certificate_to_pem,
    key_to_pem,
    make_key,
)
from sottovoce.pki.certstore import CertificateStore, load_own_certificate, read_key
from sottovoce.pki.identity import check_identity
from sottovoce.pki.profile import LEAF_LIFE, domain_profile

NOW_UTC = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "data")


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_first_start_makes_everything_with_private_modes(store: CertificateStore) -> None:
    made = store.open_or_make("example.org", now_utc=NOW_UTC)

    assert made.issued_now
    assert mode(store.folder) == 0o700
    assert mode(store.ca_key_file) == mode(store.domain_key_file) == 0o600
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "ca.key", "ca.pem", "domain.key", "domain.pem",
    ]  # fmt: skip
    check_identity(made.certificate, "example.org")
    made.certificate.verify_directly_issued_by(store.read_authority().certificate)


def test_second_start_uses_what_is_there(store: CertificateStore) -> None:
    first = store.open_or_make("example.org", now_utc=NOW_UTC)
    second = store.open_or_make("example.org", now_utc=NOW_UTC + timedelta(days=30))

    assert not second.issued_now
    assert second.certificate == first.certificate


@pytest.mark.parametrize(("share", "renewed"), [(0.6, False), (0.7, True), (1.5, True)])
def test_certificate_is_renewed_when_two_thirds_of_its_life_are_over(
    store: CertificateStore, share: float, renewed: bool
) -> None:
    first = store.open_or_make("example.org", now_utc=NOW_UTC)
    root = store.ca_file.read_bytes()
    later = store.open_or_make("example.org", now_utc=NOW_UTC + LEAF_LIFE * share)

    assert later.issued_now is renewed
    assert (later.certificate != first.certificate) is renewed
    assert store.ca_file.read_bytes() == root


def test_certificate_from_the_future_is_issued_anew(store: CertificateStore) -> None:
    """A machine whose clock ran ahead at its first start must not be stuck with it."""
    store.open_or_make("example.org", now_utc=NOW_UTC)
    assert store.open_or_make("example.org", now_utc=NOW_UTC - timedelta(days=9)).issued_now


def test_another_domain_gets_a_new_certificate_from_the_same_root(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    root = store.ca_key_file.read_bytes()
    moved = store.open_or_make("example.com", now_utc=NOW_UTC)

    assert moved.issued_now
    check_identity(moved.certificate, "example.com")
    assert store.ca_key_file.read_bytes() == root


def test_further_name_asked_for_later_is_added(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    wider = store.open_or_make("example.org", now_utc=NOW_UTC, addresses=["192.0.2.1"])
    check_identity(wider.certificate, "192.0.2.1")

    assert not store.open_or_make("example.org", now_utc=NOW_UTC).issued_now


def test_authority_key_off_line_is_missed_only_at_renewal(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    store.ca_key_file.unlink()

    assert not store.open_or_make("example.org", now_utc=NOW_UTC).issued_now
    with pytest.raises(SettingsError, match=r"ca\.key: cannot be read: No such file"):
        store.open_or_make("example.com", now_utc=NOW_UTC)


def test_lost_root_certificate_is_made_again_from_its_key(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    key = store.ca_key_file.read_bytes()
    store.ca_file.unlink()

    assert not store.open_or_make("example.org", now_utc=NOW_UTC).issued_now
    assert store.ca_key_file.read_bytes() == key


def test_start_that_stopped_after_the_domain_key_goes_on_with_it(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    key = store.domain_key_file.read_bytes()
    store.domain_file.unlink()
    (store.folder / ".domain.pem.new").write_text("half a certif")

    assert store.open_or_make("example.org", now_utc=NOW_UTC).issued_now
    assert store.domain_key_file.read_bytes() == key
    assert not (store.folder / ".domain.pem.new").exists()


def test_replaced_authority_issues_anew(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    store.ca_file.unlink()
    store.ca_key_file.unlink()

    assert store.open_or_make("example.org", now_utc=NOW_UTC).issued_now


@pytest.mark.parametrize("name", ["ca.key", "domain.key"])
def test_key_of_another_certificate_is_named(store: CertificateStore, name: str) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    (store.folder / name).write_bytes(key_to_pem(make_key()).reveal())

    pem = name.replace(".key", ".pem")
    with pytest.raises(SettingsError, match=rf"{name}: is not the key of .*{pem}; restore"):
        store.open_or_make("example.com", now_utc=NOW_UTC)  # another one, so that it issues


@pytest.mark.parametrize("name", ["ca.pem", "domain.pem", "domain.key"])
def test_file_of_garbage_is_named_and_left_alone(store: CertificateStore, name: str) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    (store.folder / name).write_bytes(b"-----BEGIN garbage\x00\xff")

    with pytest.raises(SettingsError, match=rf"{name}: holds no readable PEM"):
        store.open_or_make("example.org", now_utc=NOW_UTC)
    assert (store.folder / name).read_bytes() == b"-----BEGIN garbage\x00\xff"


def test_key_that_others_can_read_is_refused_with_the_mend(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    store.domain_key_file.chmod(0o640)

    with pytest.raises(SettingsError, match=r"mode 0640 .* chmod 600 "):
        store.open_or_make("example.org", now_utc=NOW_UTC)


def test_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(SettingsError, match="cannot be made a folder: File exists"):
        CertificateStore(tmp_path / "data").open_or_make("example.org", now_utc=NOW_UTC)


def test_key_that_another_start_makes_at_the_same_time_is_not_overwritten(
    store: CertificateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    key = store.ca_key_file.read_bytes()
    monkeypatch.setattr(Path, "exists", lambda _: False)  # it was not there a moment ago

    with pytest.raises(SettingsError, match=r"ca\.key: came into being meanwhile; another start"):
        store.open_or_make("example.org", now_utc=NOW_UTC)
    assert store.ca_key_file.read_bytes() == key


def test_folder_in_place_of_a_file_is_named(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    store.domain_file.unlink()
    store.domain_file.mkdir()
    with pytest.raises(SettingsError, match=r"domain\.pem: cannot be read: Is a directory"):
        store.open_or_make("example.org", now_utc=NOW_UTC)


def test_folder_that_cannot_be_entered_is_named(
    store: CertificateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted, not made by chmod: for root every folder can be entered."""

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(SettingsError, match=r"ca\.pem: cannot be looked at: Permission denied"):
        store.open_or_make("example.org", now_utc=NOW_UTC)


def test_domain_that_is_no_name_is_refused_before_anything_is_written(
    store: CertificateStore,
) -> None:
    with pytest.raises(SettingsError, match=r"domain '\*\.example\.org': wildcards"):
        store.open_or_make("*.example.org", now_utc=NOW_UTC)
    assert not store.folder.exists()


def test_certificate_somebody_else_put_there_is_not_overwritten(
    store: CertificateStore,
) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    foreign = _foreign(store, "example.org")
    with pytest.raises(SettingsError, match=r"was not made here .* certificate_file"):
        store.open_or_make("example.org", now_utc=NOW_UTC)
    assert store.domain_file.read_bytes() == foreign


def _foreign(store: CertificateStore, domain: str) -> bytes:
    key = make_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Somebody's CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW_UTC)
        .not_valid_after(NOW_UTC + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
    )
    pem = certificate_to_pem(builder.sign(key, hashes.SHA256()))
    store.domain_file.write_bytes(pem)
    store.domain_key_file.write_bytes(key_to_pem(key).reveal())
    return pem


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for example.org as an operator brings it."""
    key = make_key()
    leaf = Authority.make(now_utc=NOW_UTC).issue(
        domain_profile("example.org"), key.public_key(), now_utc=NOW_UTC
    )
    certificate_file, key_file = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    certificate_file.write_bytes(certificate_to_pem(leaf))
    key_file.write_bytes(key_to_pem(key).reveal())
    key_file.chmod(0o640)
    return certificate_file, key_file


def test_own_certificate_that_fits_is_taken_with_a_group_readable_key(
    own: tuple[Path, Path],
) -> None:
    taken = load_own_certificate(*own, "example.org", now_utc=NOW_UTC)
    assert (taken.certificate_file, taken.key_file) == own


def test_own_certificate_for_another_domain_is_refused_at_start(own: tuple[Path, Path]) -> None:
    with pytest.raises(SettingsError, match=r"expected 'example\.com'.*phones would refuse it"):
        load_own_certificate(*own, "example.com", now_utc=NOW_UTC)


def test_own_certificate_that_is_over_is_refused_at_start(own: tuple[Path, Path]) -> None:
    with pytest.raises(SettingsError, match="valid from 2026-03-01 to 2027-04-02, today is 2028"):
        load_own_certificate(*own, "example.org", now_utc=NOW_UTC.replace(year=2028))


def test_own_key_with_a_passphrase_is_refused_with_the_mend(own: tuple[Path, Path]) -> None:
    own[1].write_bytes(
        make_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(SettingsError, match="the key is encrypted; give it without"):
        load_own_certificate(*own, "example.org", now_utc=NOW_UTC)


def test_own_key_the_world_can_read_is_refused(own: tuple[Path, Path]) -> None:
    own[1].chmod(0o644)
    with pytest.raises(SettingsError, match="mode 0644"):
        load_own_certificate(*own, "example.org", now_utc=NOW_UTC)


def test_rsa_key_in_place_of_the_authoritys_is_refused(store: CertificateStore) -> None:
    store.open_or_make("example.org", now_utc=NOW_UTC)
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    store.domain_key_file.write_bytes(pem)
    store.domain_file.unlink()

    assert isinstance(read_key(store.domain_key_file), rsa.RSAPrivateKey)
    with pytest.raises(SettingsError, match="is no elliptic-curve key"):
        store.open_or_make("example.org", now_utc=NOW_UTC)
