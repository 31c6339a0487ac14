"""``sottovoce cert``, right and wrong."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from sottovoce.pki import CertificateStore

Run = Callable[..., Any]


@pytest.fixture
def store(data: Path) -> CertificateStore:
    made = CertificateStore(data)
    made.open_or_make("example.org", now_utc=datetime.now(UTC))
    return made


def test_certificates_are_shown_to_people(run: Run, data: Path, store: CertificateStore) -> None:
    ended = run("cert", "show", "--data", str(data))
    assert ended.status == 0
    assert "for         URI:sip:example.org, DNS:example.org\n" in ended.out
    assert "usage       serverAuth, clientAuth, sipDomain\n" in ended.out
    assert "key         ECDSA P-256\n" in ended.out
    assert "(396 days left)" in ended.out


def test_certificates_are_shown_to_scripts(run: Run, data: Path, store: CertificateStore) -> None:
    domain, root = run("cert", "show", "--data", str(data), "--json").json["certificates"]

    assert domain["names"] == ["URI:sip:example.org", "DNS:example.org"]
    assert (domain["role"], root["role"]) == ("domain", "ca")
    assert domain["issuer"] == root["subject"]
    assert domain["valid_now"]
    made = x509.load_pem_x509_certificate(store.ca_file.read_bytes())
    der = ssl.PEM_cert_to_DER_cert(store.ca_file.read_text())
    assert root["serial_number"] == f"{made.serial_number:x}"
    assert root["fingerprint_sha256"].replace(":", "").lower() == _sha256(der)


def test_certificate_that_is_over_says_so(run: Run, data: Path) -> None:
    long_ago_utc = datetime.now(UTC) - timedelta(days=500)
    CertificateStore(data).open_or_make("example.org", now_utc=long_ago_utc)
    assert run("cert", "show", "--data", str(data)).out.count("NOT VALID NOW") == 1


def test_own_certificate_is_shown_in_place_of_the_made_ones(
    run: Run, data: Path, store: CertificateStore
) -> None:
    store.domain_file.rename(data / "own.pem")
    (data / "settings.toml").write_text('certificate_file = "own.pem"\nkey_file = "domain.key"')
    (shown,) = run("cert", "show", "--data", str(data), "--json").json["certificates"]
    assert shown["file"] == str(data / "own.pem")


def test_root_is_exported_as_it_is(
    run: Run, data: Path, store: CertificateStore, tmp_path: Path
) -> None:
    pem = store.ca_file.read_text()
    out = tmp_path / "out"
    arguments = ("cert", "export-ca", "--data", str(data))

    assert run(*arguments, "--json").json["pem"] == pem
    assert run(*arguments, "--out", str(out)).status == 0
    assert out.read_text() == pem
    assert run(*arguments, "--out", str(out)).status == 0  # the same again does no harm
    assert (
        run(*arguments, "--der", "--out", str(out) + ".der", "--json").json["file"] == f"{out}.der"
    )
    assert Path(f"{out}.der").read_bytes() == ssl.PEM_cert_to_DER_cert(pem)


def test_root_is_exported_to_stdout_with_the_fingerprint_beside_it(
    data: Path, store: CertificateStore, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from sottovoce.cli.main import main

    assert main(["cert", "export-ca", "--data", str(data)]) == 0
    out, err = capfdbinary.readouterr()
    assert out == store.ca_file.read_bytes()
    assert err.startswith(b"SHA-256 fingerprint ")


def test_other_file_is_not_overwritten(
    run: Run, data: Path, store: CertificateStore, tmp_path: Path
) -> None:
    out = tmp_path / "letter.txt"
    out.write_text("Dear Bob")
    ended = run("cert", "export-ca", "--data", str(data), "--out", str(out))
    assert ended.status == 2
    assert f"--out {out}: is there already with something else in it; remove it" in ended.err
    assert out.read_text() == "Dear Bob"


def test_place_that_cannot_be_written_is_named(
    run: Run, data: Path, store: CertificateStore, tmp_path: Path
) -> None:
    ended = run("cert", "export-ca", "--data", str(data), "--out", str(tmp_path / "no" / "ca.pem"))
    assert ended.status == 2
    assert "cannot be written: No such file or directory" in ended.err


@pytest.mark.parametrize("command", ["show", "export-ca"])
def test_folder_without_certificates_is_wrong_use(run: Run, data: Path, command: str) -> None:
    missing = run("cert", command, "--data", str(data))
    assert (missing.status, "no such folder" in missing.err) == (2, True)
    data.mkdir()
    empty = run("cert", command, "--data", str(data))
    assert (empty.status, ".pem: cannot be read: No such file" in empty.err) == (2, True)


def _sha256(octets: bytes) -> str:
    import hashlib

    return hashlib.sha256(octets).hexdigest()
