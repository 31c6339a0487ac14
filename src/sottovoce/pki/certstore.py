"""The certificates of one server in one folder, made and renewed by themselves.

::

    DIR/ca.pem        our root, to be given to phones
    DIR/ca.key        its key; may be taken off line while the domain certificate is fresh
    DIR/domain.pem    the domain's certificate
    DIR/domain.key    its key, kept over renewals

Keys are created with mode 0600, never widened later, and never overwritten.  A key is
written before its certificate, so that whatever moment a machine stops at, the next start
finds a key to certify and not a certificate without its key.
"""

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

from ..errors import CertificateRefused, LocalError, SettingsError
from .authority import CA_NAME, Authority, certificate_to_pem, key_to_pem, make_key
from .identity import check_identity
from .profile import Profile, domain_profile

CA_FILE, CA_KEY_FILE = "ca.pem", "ca.key"
DOMAIN_FILE, DOMAIN_KEY_FILE = "domain.pem", "domain.key"

KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644  # public; the folder's own mode keeps it in
FOLDER_MODE = 0o700

#: A certificate is renewed when this much of its life is over: with 397 days that leaves
#: over four months in which a server is restarted at least once.
_RENEW_AFTER = 2 / 3


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a TLS server loads."""

    certificate_file: Path
    "PEM: the leaf first, then what the chain needs."

    key_file: Path
    "PEM."

    certificate: x509.Certificate
    "The leaf."

    issued_now: bool = False
    "True when it was made or renewed just now."


class CertificateStore:
    """The folder of one server's certificates.

    Args:
        folder: Made with mode 0700 when it is missing and something is to be written.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_file = folder / CA_FILE
        self.ca_key_file = folder / CA_KEY_FILE
        self.domain_file = folder / DOMAIN_FILE
        self.domain_key_file = folder / DOMAIN_KEY_FILE

    def open_or_make(
        self,
        domain: str,
        *,
        now_utc: datetime,
        dns_names: Iterable[str] = (),
        addresses: Iterable[str] = (),
    ) -> ServerCertificate:
        """Return a certificate for a domain, making or renewing what is missing or old.

        Args:
            domain: The SIP domain.
            now_utc: Aware current time.
            dns_names: Further names that a new certificate gets.
            addresses: Further IP literals that a new certificate gets.

        Raises:
            SettingsError: A file cannot be read or written, is not what its name says, or
                key and certificate do not fit; nothing has been overwritten.

        """
        try:
            profile = domain_profile(domain, dns_names=dns_names, addresses=addresses)
        except ValueError as error:
            raise SettingsError(f"domain {domain!r}: {error}; give a host name") from None
        make_private_folder(self.folder)
        if not _exists(self.ca_file):
            self._make_authority(now_utc)
        if _exists(self.domain_file):
            leaf = read_certificate(self.domain_file)
            read_key(self.domain_key_file, fitting=leaf, certificate_file=self.domain_file)
            if _still_good(leaf, read_certificate(self.ca_file), domain, profile, now_utc):
                return ServerCertificate(self.domain_file, self.domain_key_file, leaf)
            self._refuse_to_replace_a_foreign(leaf)
        return self._issue(profile, now_utc)

    def read_authority(self) -> Authority:
        """Load the root and its key.

        Raises:
            SettingsError: One is missing or unreadable, or they do not fit.

        """
        certificate = read_certificate(self.ca_file)
        key = read_key(self.ca_key_file, fitting=certificate, certificate_file=self.ca_file)
        return Authority(certificate, _elliptic(key, self.ca_key_file))

    def _make_authority(self, now_utc: datetime) -> None:
        if _exists(self.ca_key_file):
            key = _elliptic(read_key(self.ca_key_file), self.ca_key_file)
            authority = Authority.make(now_utc=now_utc, private_key=key)
        else:
            authority = Authority.make(now_utc=now_utc)
            _create(self.ca_key_file, key_to_pem(authority.private_key).reveal(), KEY_MODE)
        _create(self.ca_file, certificate_to_pem(authority.certificate), CERTIFICATE_MODE)

    def _issue(self, profile: Profile, now_utc: datetime) -> ServerCertificate:
        authority = self.read_authority()
        if _exists(self.domain_key_file):
            key = _elliptic(read_key(self.domain_key_file), self.domain_key_file)
        else:
            key = make_key()
            _create(self.domain_key_file, key_to_pem(key).reveal(), KEY_MODE)
        try:
            leaf = authority.issue(profile, key.public_key(), now_utc=now_utc)
        except LocalError as error:
            raise SettingsError(
                f"{self.ca_file}: {error}: move {CA_FILE} and {CA_KEY_FILE} away, start again "
                "and give every phone the new one"
            ) from None
        _replace(self.domain_file, certificate_to_pem(leaf), CERTIFICATE_MODE)
        return ServerCertificate(self.domain_file, self.domain_key_file, leaf, issued_now=True)

    def _refuse_to_replace_a_foreign(self, leaf: x509.Certificate) -> None:
        names = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not any(str(name.value).startswith(CA_NAME) for name in names):
            raise SettingsError(
                f"{self.domain_file}: was not made here and does not do for the domain; move it "
                "away, or give your own with the settings certificate_file and key_file"
            )


def load_own_certificate(
    certificate_file: Path, key_file: Path, domain: str, *, now_utc: datetime
) -> ServerCertificate:
    """Check a certificate that the operator brings, before phones do.

    Raises:
        SettingsError: Not readable, key and certificate do not fit, the domain is not in it,
            or its time is over or has not come.

    """
    leaf = read_certificate(certificate_file)
    read_key(key_file, fitting=leaf, certificate_file=certificate_file, group_may_read=True)
    try:
        check_identity(leaf, domain)
    except CertificateRefused as error:
        raise SettingsError(
            f"{certificate_file}: {error}; phones would refuse it: give one for the domain"
        ) from None
    if not leaf.not_valid_before_utc <= now_utc < leaf.not_valid_after_utc:
        raise SettingsError(
            f"{certificate_file}: valid from {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}, today is {now_utc:%Y-%m-%d}; renew it"
        )
    return ServerCertificate(certificate_file, key_file, leaf)


def read_certificate(path: Path) -> x509.Certificate:
    """Read the first certificate of a PEM file.

    Raises:
        SettingsError: It cannot be read or holds none.

    """
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise SettingsError(
            f"{path}: holds no readable PEM certificate; put one there or move the file away"
        ) from None


def read_key(
    path: Path,
    *,
    fitting: x509.Certificate | None = None,
    certificate_file: Path | None = None,
    group_may_read: bool = False,
) -> PrivateKeyTypes:
    """Read an unencrypted PEM key.

    Args:
        path: The key file.
        fitting: The certificate whose key it must be.
        certificate_file: Where that certificate stands, for the message.
        group_may_read: Allow mode 0640, which system-wide certificates have.

    Raises:
        SettingsError: It cannot be read, is readable for others, is no key that TLS
            certificates of ours have, or is the key of another certificate.

    """
    octets = _read(path)
    _check_mode(path, forbidden=0o027 if group_may_read else 0o077)
    try:
        key = serialization.load_pem_private_key(octets, password=None)
    except TypeError:
        raise SettingsError(
            f"{path}: the key is encrypted; give it without a passphrase, mode 0600"
        ) from None
    except ValueError:
        raise SettingsError(
            f"{path}: holds no readable PEM private key; restore it from a copy, or move it "
            "and its certificate away to have new ones made"
        ) from None
    if fitting is not None and key.public_key() != fitting.public_key():
        raise SettingsError(
            f"{path}: is not the key of {certificate_file}; restore the pair from one copy, or "
            "move both away"
        )
    return key


def make_private_folder(folder: Path) -> None:
    """Make a folder only its owner can enter; one that exists is left as it is.

    Raises:
        SettingsError: It cannot be made or is no folder.

    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be made a folder: {error.strerror}; give another with --data"
        ) from None


def _still_good(
    leaf: x509.Certificate, root: x509.Certificate, domain: str, profile: Profile, now_utc: datetime
) -> bool:
    """Tell whether a certificate needs no renewal: right root, names and age."""
    try:
        leaf.verify_directly_issued_by(root)
        check_identity(leaf, domain)
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, CertificateRefused, x509.ExtensionNotFound):
        return False
    wanted = next(e for e, _ in profile.extensions if isinstance(e, x509.SubjectAlternativeName))
    if not set(wanted) <= set(held):
        return False
    begin_utc, end_utc = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return begin_utc <= now_utc < begin_utc + (end_utc - begin_utc) * _RENEW_AFTER


def _elliptic(key: PrivateKeyTypes, path: Path) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SettingsError(
            f"{path}: is no elliptic-curve key, so it was not made here; move it away, or give "
            "your own with the settings certificate_file and key_file"
        )
    return key


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be looked at: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def _check_mode(path: Path, *, forbidden: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & forbidden:
        raise SettingsError(
            f"{path}: mode {mode:04o} lets others at this private key; chmod 600 {path}, and "
            "make a new one if somebody may have read it"
        )


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a new file, in its final mode from the first moment; never over an existing one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # half a key would block the next start
            raise
    except FileExistsError:
        raise SettingsError(
            f"{path}: came into being meanwhile; another start of this server is under way"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that a reader sees the whole old or the whole new one."""
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(OSError):
        new.unlink()  # left behind by a machine that stopped at the wrong moment
    _create(new, content, mode)
    try:
        new.replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None
