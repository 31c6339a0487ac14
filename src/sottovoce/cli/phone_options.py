"""Options of the commands that are a phone, and the account they make."""

import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SettingsError
from ..secret import Secret
from .options import read_password
from .output import show_library_warnings, warn

if TYPE_CHECKING:
    from ..phone import Account, Call

PASSWORD_VARIABLE = "SOTTOVOCE_PASSWORD"  # noqa: S105 - the name of one
#: Keys of a phone's settings file.
FILE_KEYS = (
    "account",
    "password",
    "auth_user",
    "display_name",
    "outbound_proxy",
    "dns_server",
    "ca",
    "srtp",
)

AccountOption = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="URI",
        help="Who you are, such as sips:alice@example.org.",
        show_default=False,
    ),
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        "--outbound-proxy",
        metavar="HOST:PORT;transport=tls",
        help="Where to connect, in the form desk phones have it; without it, where the DNS of "
        "the account's domain says. Whatever host stands here, its certificate must be the "
        "domain's.",
        show_default=False,
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="Trust this certificate authority (PEM) in place of the system's.",
        show_default=False,
    ),
]
SrtpOption = Annotated[
    str | None,
    typer.Option(
        "--srtp",
        metavar="POLICY",
        help="mandatory: encrypted or no call (the default); optional: encrypted if the other "
        "side can; off: in clear.",
        show_default=False,
    ),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help=f"TOML file with any of: {', '.join(FILE_KEYS)}. Options go before it.",
        show_default=False,
    ),
]
ClearSipOption = Annotated[
    bool,
    typer.Option(
        "--allow-clear-text-sip",
        help="Permit transport=udp and transport=tcp: others read and change the signalling.",
    ),
]
ClearKeysOption = Annotated[
    bool,
    typer.Option(
        "--allow-keys-in-clear-text",
        help="Send SRTP keys without TLS, and take them: third parties can then listen in.",
    ),
]


def make_account(
    *,
    account: str | None,
    outbound_proxy: str | None,
    ca: Path | None,
    srtp: str | None,
    settings: Path | None,
    password_stdin: bool,
    allow_clear_text_sip: bool,
    allow_keys_in_clear_text: bool,
) -> "Account":
    """Put options, environment and settings file together; ask for what is missing.

    Raises:
        SettingsError: Something is wrong or missing; the message names it.

    """
    from ..phone import Account, SrtpPolicy

    show_library_warnings()
    file = _read_file(settings) if settings is not None else {}
    uri = account or file.get("account")
    if not uri:
        raise SettingsError(
            "no account: give one with --account sips:user@domain, or in a --settings file"
        )
    policy = srtp or file.get("srtp") or SrtpPolicy.MANDATORY.value
    try:
        chosen = SrtpPolicy(policy)
    except ValueError:
        raise SettingsError(f"--srtp {policy!r}: expected mandatory, optional or off") from None
    ca_file = ca or (
        settings.parent / file["ca"] if settings is not None and "ca" in file else None
    )
    made = Account(
        uri,
        outbound_proxy=outbound_proxy or file.get("outbound_proxy", ""),
        dns_server=file.get("dns_server", ""),
        ca_file=ca_file,
        srtp=chosen,
        display_name=file.get("display_name", ""),
        auth_user=file.get("auth_user", ""),
        password=_password(uri, file, from_stdin=password_stdin),
        allow_clear_text_sip=allow_clear_text_sip,
        allow_keys_in_clear_text=allow_keys_in_clear_text,
    )
    for weaker in made.warnings():
        warn(weaker)
    return made


def _password(uri: str, file: dict[str, Any], *, from_stdin: bool) -> Secret[str]:
    if from_stdin:
        return read_password(uri, from_stdin=True, confirm=False)
    if PASSWORD_VARIABLE in os.environ:
        return Secret(os.environ[PASSWORD_VARIABLE])
    if "password" in file:
        return Secret(file["password"])
    try:
        return read_password(uri, from_stdin=False, confirm=False)
    except SettingsError:
        raise SettingsError(
            f"no password for {uri}, and no terminal to ask at: set {PASSWORD_VARIABLE}, or use "
            "--password-stdin or a --settings file"
        ) from None


def _read_file(path: Path) -> dict[str, str]:
    try:
        if "password" in (text := path.read_text(encoding="utf-8")) and (
            stat.S_IMODE(path.stat().st_mode) & 0o077
        ):
            warn(f"{path}: others can read this file with a password; chmod 600 {path}")
        found = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from None
    for key, value in found.items():
        if key not in FILE_KEYS:
            raise SettingsError(f"{path}: no setting {key!r}; there are {', '.join(FILE_KEYS)}")
        if not isinstance(value, str):
            raise SettingsError(f'{path}: {key}: expected text in quotes, such as {key} = "…"')
    return found


def check_writable(path: Path) -> None:
    """Raise unless a recording can be written there, before anybody's phone rings.

    Raises:
        SettingsError: It cannot.

    """
    folder = path.parent
    if not folder.is_dir():
        raise SettingsError(f"{path}: there is no folder {folder}; make it, or name another")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise SettingsError(f"{path}: cannot be written; name another file")


def call_document(call: "Call") -> dict[str, object]:
    """What ``--json`` says of a call that is over."""
    security, statistics = call.security, call.statistics
    tls = security.signalling
    document: dict[str, object] = {
        "status": call.end_status,
        "reason": call.end_reason,
        "ended_by": "remote" if call.ended_by_remote else "local",
        "remote": call.remote_uri,
        "duration_s": round(call.duration_s, 2),
        "signalling": {
            "protection": "tls" if tls else "none",
            "tls_version": tls.tls_version if tls else None,
            "cipher": tls.cipher if tls else None,
            "subject_identities": list(tls.subject_identities) if tls else [],
            "issuer": tls.issuer if tls else None,
            "sips": security.secure_request,
        },
    }
    media: dict[str, object] = {
        "protection": "srtp" if security.media_suite else "none",
        "suite": security.media_suite,
    }
    audio_seconds = 0.0
    if statistics is not None:
        audio_seconds = statistics.audio_seconds_received
        media |= {
            "packets_sent": statistics.packets_sent,
            "packets_received": statistics.packets_received,
            "packets_authenticated": statistics.packets_authenticated,
            "packets_refused": statistics.packets_refused,
            "packets_lost": statistics.packets_lost,
            "packets_late": statistics.packets_late,
            "jitter_ms": round(statistics.jitter_ms, 2),
            "round_trip_ms": statistics.round_trip_ms and round(statistics.round_trip_ms, 2),
            "dtmf_received": statistics.dtmf_received,
        }
    return document | {"media": media, "audio_seconds_received": round(audio_seconds, 2)}
