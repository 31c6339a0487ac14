"""What ``sottovoce serve`` can be told, from one source: the fields of :class:`ServeSettings`.

Command line over environment (``SOTTOVOCE_SERVE_…``) over ``DATA/settings.toml`` over
defaults.  The sample file that the first start writes is made from the same fields.
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ..errors import SettingsError
from ..net.source import IpNetwork
from ..pki.identity import parse_address
from .data_folder import DATA_VARIABLE, ENVIRONMENT_PREFIX, SETTINGS_FILE
from .setting_types import HostName, Listen, Network

_MAX_PORT = 65535
_SHOWN_CHARACTERS = 60


def _setting(section: str, default: Any, description: str, **constraints: Any) -> Any:
    return Field(
        default,
        description=description,
        validate_default=True,
        json_schema_extra={"section": section},
        **constraints,
    )


_SIP, _TLS, _USERS = "Domain and addresses", "TLS and certificates", "Users and registration"
_MEDIA, _LIMITS, _GUESSING = "Media", "Limits", "Password guessing"
_WEAKER = "Weaker choices; each prints a warning at start"


class ServeSettings(BaseModel):
    """Settings of the server; frozen, and anything unknown is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: HostName = _setting(
        _SIP,
        "localhost",
        "The SIP domain served: the part after the @ in its users' addresses, and the digest "
        "realm. Passwords are stored as a hash over it, so a change needs new passwords.",
    )
    listen: tuple[Listen, ...] = _setting(
        _SIP,
        ("tls:0.0.0.0:5061",),
        "Where to listen, as TRANSPORT:HOST:PORT; 0.0.0.0 and [::] mean every address. The "
        "transports tcp and udp also need allow_clear_text_sip.",
        min_length=1,
        max_length=32,
    )
    tls_minimum_version: Literal["1.2", "1.3"] = _setting(
        _TLS,
        "1.2",
        "The oldest TLS version a phone may use. Many desk phones end at 1.2.",
    )
    certificate_file: Path | None = _setting(
        _TLS,
        None,
        "PEM file of a certificate of your own, leaf first; without it one is made and renewed "
        "in the data folder. A relative path starts there.",
        examples=["/etc/ssl/sip/fullchain.pem"],
    )
    key_file: Path | None = _setting(
        _TLS,
        None,
        "PEM file of that certificate's private key, without a passphrase, not readable for "
        "others.",
        examples=["/etc/ssl/sip/privkey.pem"],
    )
    certificate_names: tuple[HostName, ...] = _setting(
        _TLS,
        (),
        "Further host names and IP addresses in the made certificate, for phones that check the "
        "address they dial in place of the domain.",
        max_length=64,
    )
    registration_min_s: int = _setting(
        _USERS,
        60,
        "The shortest registration granted, seconds; a shorter wish is answered with 423. It "
        "bounds how often a phone can make the server work.",
        ge=1,
        le=86400,
    )
    registration_default_s: int = _setting(
        _USERS, 3600, "Granted to a phone that names no time, seconds.", ge=1, le=86400
    )
    registration_max_s: int = _setting(
        _USERS,
        7200,
        "The longest registration granted, seconds; a phone that vanished rings no longer than "
        "this.",
        ge=1,
        le=86400,
    )
    max_contacts_per_user: int = _setting(
        _USERS,
        10,
        "Phones that one user may have registered at a time; each call to the user rings them all.",
        ge=1,
        le=100,
    )
    nonce_life_s: int = _setting(
        _USERS,
        300,
        "How long a digest challenge may be answered, seconds; then the phone is given a new one "
        "without asking its user.",
        ge=10,
        le=86400,
    )
    md5_only_agents: tuple[str, ...] = _setting(
        _USERS,
        ("baresip v0.", "baresip v1."),
        "Phones whose User-Agent begins like this are challenged with MD5 alone: they give up "
        "at a SHA-256 challenge, where RFC 8760 wants them to skip it. MD5 is taken from every "
        "phone anyway, and TLS hides the answer from third parties.",
        max_length=64,
    )
    rtp_port_min: int = _setting(
        _MEDIA,
        16384,
        "The lowest UDP port of the built-in numbers' audio, even; open the range in a firewall.",
        ge=1024,
        le=_MAX_PORT - 1,
        multiple_of=2,
    )
    rtp_port_max: int = _setting(
        _MEDIA,
        32767,
        "The highest UDP port of that audio; a call takes two, RTP and RTCP. It ends below the "
        "ports that Linux gives to other programs.",
        ge=1025,
        le=_MAX_PORT,
    )
    max_builtin_calls: int = _setting(
        _LIMITS,
        100,
        "Calls that the built-in numbers (echo, music, clock) answer at a time; each costs a "
        "little CPU fifty times a second. The next caller hears busy.",
        ge=0,
        le=10000,
    )
    max_connections: int = _setting(
        _LIMITS,
        20000,
        "TLS and TCP connections open at a time; each costs tens of kilobytes. Further ones are "
        "closed at once.",
        ge=1,
        le=1000000,
    )
    max_handshakes: int = _setting(
        _LIMITS,
        400,
        "TLS handshakes under way at a time: the costly moment of a connection, and the one "
        "that needs no password.",
        ge=1,
        le=100000,
    )
    handshake_timeout_s: float = _setting(
        _LIMITS,
        10.0,
        "How long a TLS handshake may take, seconds; a phone that went silent frees its place "
        "then.",
        gt=0,
        le=120,
    )
    max_connections_per_source: int = _setting(
        _LIMITS,
        500,
        "Of those connections, how many one IPv4 address (or one /64 of IPv6) may have: an "
        "office behind one address has hundreds of phones, and one host cannot take all places.",
        ge=1,
        le=1000000,
    )
    max_handshakes_per_source: int = _setting(
        _LIMITS,
        50,
        "Of those handshakes, how many one such source may have under way; phones that all "
        "come back after a power cut try again by themselves.",
        ge=1,
        le=100000,
    )
    message_timeout_s: float = _setting(
        _LIMITS,
        30.0,
        "How long a message may take from its first byte to its last, seconds; then the "
        "connection is closed.",
        gt=0,
        le=3600,
    )
    idle_timeout_s: float = _setting(
        _LIMITS,
        60.0,
        "How long a connection over which nobody has authenticated may stay without a message, "
        "seconds. Those of phones that registered or called stay open.",
        gt=0,
        le=86400,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        _LIMITS, "info", "How much is written to stderr. Keys and passwords never are."
    )
    guess_limit: int = _setting(
        _GUESSING,
        10,
        "Wrong passwords from one address that ban it: nothing from there is listened to. For "
        "the network around it (/24, or /64 of IPv6) the limit is 8 (or 2) times as high, and "
        "5 times where somebody has authenticated within the last hour: a guesser in an office "
        "must not ban it lightly. From the second on, the refusals wait up to 2 s. 0 switches "
        "waiting and bans off.",
        ge=0,
        le=10000,
    )
    guess_window_s: float = _setting(
        _GUESSING,
        600.0,
        "What was counted fades to the half in this time, seconds.",
        gt=0,
        le=604800,
    )
    ban_s: float = _setting(
        _GUESSING,
        600.0,
        "How long a first ban lasts, seconds; each further one twice as long. 'sottovoce ban' "
        "shows and lifts them.",
        gt=0,
        le=31536000,
    )
    ban_max_s: float = _setting(
        _GUESSING,
        86400.0,
        "The longest ban, seconds; a source that has been quiet for as long begins anew.",
        gt=0,
        le=31536000,
    )
    ban_exempt: tuple[Network, ...] = _setting(
        _GUESSING,
        ("127.0.0.0/8", "::1/128"),
        "Addresses and networks that are never banned nor made to wait, and that the limits "
        "for one source do not hold for: this machine, or a proxy in front of the server.",
        max_length=256,
    )
    allow_clear_text_sip: bool = _setting(
        _WEAKER,
        False,
        "Permit tcp and udp addresses in listen. Everybody on the path can then read and change "
        "who calls whom.",
    )
    allow_keys_in_clear_text: bool = _setting(
        _WEAKER,
        False,
        "Let SRTP keys (a=crypto) pass over connections that are not TLS. Everybody on the path "
        "can then listen to the calls, although they are encrypted.",
    )

    allow_clear_text_media: bool = _setting(
        _WEAKER,
        False,
        "Let the built-in numbers answer callers without SRTP. Everybody on the path can then "
        "listen to those calls.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "ServeSettings":
        clear = [str(place) for place in self.listen if not place.transport.secure]
        if clear and not self.allow_clear_text_sip:
            raise _fault(
                ("listen",),
                f"{clear[0]} carries SIP in clear text; use tls:, or set allow_clear_text_sip",
            )
        fixed = [str(place) for place in self.listen if place.port]
        if len(set(fixed)) < len(fixed):
            raise _fault(("listen",), "one address stands there twice; name each once")
        if (self.certificate_file is None) != (self.key_file is None):
            raise _fault(
                ("certificate_file", "key_file"),
                "certificate_file and key_file go together; give both",
            )
        if not self.registration_min_s <= self.registration_default_s <= self.registration_max_s:
            raise _fault(
                ("registration_default_s", "registration_min_s", "registration_max_s"),
                f"registration_default_s ({self.registration_default_s}) is not between "
                f"registration_min_s ({self.registration_min_s}) and registration_max_s "
                f"({self.registration_max_s})",
            )
        if self.ban_max_s < self.ban_s:
            raise _fault(
                ("ban_max_s", "ban_s"),
                f"ban_max_s ({self.ban_max_s}) is below ban_s ({self.ban_s})",
            )
        if self.rtp_port_max <= self.rtp_port_min:
            raise _fault(
                ("rtp_port_max", "rtp_port_min"),
                f"rtp_port_max ({self.rtp_port_max}) is not above rtp_port_min "
                f"({self.rtp_port_min})",
            )
        return self

    def certificate_dns_names(self) -> tuple[str, ...]:
        """Those of ``certificate_names`` that are host names."""
        return tuple(name for name in self.certificate_names if parse_address(name) is None)

    def certificate_addresses(self) -> tuple[str, ...]:
        """Those of ``certificate_names`` that are IP addresses."""
        return tuple(name for name in self.certificate_names if parse_address(name) is not None)

    def exempt_networks(self) -> tuple[IpNetwork, ...]:
        """``ban_exempt``, parsed."""
        return tuple(map(ipaddress.ip_network, self.ban_exempt))

    def warnings(self) -> list[str]:
        """Say what each weaker choice gives away, one line each."""
        found = []
        clear = [str(place) for place in self.listen if not place.transport.secure]
        if clear:
            found.append(
                f"allow_clear_text_sip: everybody on the path can read and change SIP on "
                f"{', '.join(clear)}"
            )
        if self.allow_keys_in_clear_text:
            found.append(
                "allow_keys_in_clear_text: SRTP keys pass over connections that are not TLS; "
                "everybody on the path can listen to those calls"
            )
        if self.allow_clear_text_media:
            found.append(
                "allow_clear_text_media: the built-in numbers answer without SRTP; everybody on "
                "the path can listen to those calls"
            )
        if all(not place.transport.secure for place in self.listen):
            found.append("listen: no tls: address, so no phone can connect securely")
        return found


def load_settings(
    data: Path,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ServeSettings:
    """Gather the settings of a server.

    Args:
        data: The data folder; ``settings.toml`` need not be in it.
        overrides: From the command line, by field name; None stands for "not given".
        environment: Where ``SOTTOVOCE_SERVE_…`` variables are looked up; lists in them are
            separated by commas.

    Raises:
        SettingsError: One line that names file (or option, or variable), key and mend.

    """
    path = data / SETTINGS_FILE
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, value in _from_file(path).items():
        values[name], origins[name] = value, f"{path}: {name}"
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != DATA_VARIABLE:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            values[name], origins[name] = _from_text(name, text), variable
    for name in ("certificate_file", "key_file"):
        file = values.get(name)
        if isinstance(file, str) and file:
            values[name] = data / file  # stays as it is when absolute
    for name, value in (overrides or {}).items():
        if value is not None:
            values[name], origins[name] = value, f"--{name.replace('_', '-')}"
    try:
        return ServeSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_one_line(error.errors()[0], origins)) from None


def sample_settings() -> str:
    """Return a ``settings.toml`` that explains every setting and sets none.

    Explanations start with ``# ``, settings with ``#`` alone: what is to be set is
    uncommented by one keystroke.
    """
    lines = [
        "# Settings of 'sottovoce serve'.  Remove the # before a line to set it, then start again.",
        "# The command line and SOTTOVOCE_SERVE_... variables go before this file.",
    ]
    section = ""
    for name, field in ServeSettings.model_fields.items():
        extra = field.json_schema_extra
        own_section = str(extra["section"]) if isinstance(extra, dict) else ""
        if own_section != section:
            section = own_section
            lines += ["", f"# ---- {section} ----"]
        lines.append("")
        lines += [f"# {line}" for line in _wrapped(field.description or "")]
        value = field.examples[0] if field.examples else field.default
        lines.append(f"#{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _from_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}; correct that line") from None


def _from_text(name: str, text: str) -> object:
    """Read an environment variable: lists are comma-separated, all else is left to pydantic."""
    field = ServeSettings.model_fields.get(name)
    if field is not None and isinstance(field.default, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _fault(names: tuple[str, ...], message: str) -> PydanticCustomError:
    """Make an error about settings that do not fit together."""
    return PydanticCustomError("settings", "{message}", {"names": names, "message": message})


def _one_line(error: ErrorDetails, origins: Mapping[str, str]) -> str:
    """Say which setting is wrong, where it comes from, and what was expected."""
    if error["type"] == "settings":
        names = error["ctx"]["names"]
        given = next((name for name in names if name in origins), names[0])
        return f"{origins.get(given, given)}: {error['msg']}"
    name = str(error["loc"][0])
    origin = origins.get(name, name)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, ServeSettings.model_fields, 1)
        hint = f"did you mean {near[0]}?" if near else "settings.toml in the data folder has all"
        return f"{origin}: there is no such setting; {hint}"
    found = repr(error["input"])
    if len(found) > _SHOWN_CHARACTERS:
        found = found[:_SHOWN_CHARACTERS] + "…"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "expected it to")
    return f"{origin}: found {found}, {message}"


def _wrapped(text: str, width: int = 94) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case int() | float():
            return str(value)
        case _:
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
