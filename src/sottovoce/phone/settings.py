"""What a phone must know: who it is, where its server is, and how much protection it wants."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ParseError, SettingsError
from ..keying.negotiation import SrtpPolicy
from ..secret import Secret
from ..sip.transport import Target, Transport, target_of_uri
from ..sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a SIP domain, and how to reach the domain's server safely."""

    uri: str
    "Address-of-record such as ``sips:alice@example.org``."

    password: Secret[str] | str = ""
    "Digest password; kept as a Secret."

    outbound_proxy: str = ""
    "Where to connect, ``host:5061;transport=tls``; the domain itself if empty."

    ca_file: Path | str | None = None
    "Trust anchors in PEM, instead of the system's."

    srtp: SrtpPolicy = SrtpPolicy.MANDATORY
    "Whether a call without SRTP may come about."

    display_name: str = ""
    "Shown to those whom we call."

    auth_user: str = ""
    "User name for the digest, where it is not that of the address-of-record."

    expires_s: int = 600
    "Asked-for life of the registration."

    allow_clear_text_sip: bool = False
    "Let signalling run over UDP or TCP, where third parties read and change it."

    allow_keys_in_clear_text: bool = False
    "Let SRTP keys travel where third parties read them: the media is then in clear, too."

    def __post_init__(self) -> None:
        if isinstance(self.password, str):
            object.__setattr__(self, "password", Secret(self.password))
        self.target()

    @property
    def secret(self) -> Secret[str]:
        """The password."""
        return self.password if isinstance(self.password, Secret) else Secret(self.password)

    @property
    def ca_path(self) -> Path | None:
        """The trust anchors' file."""
        return None if self.ca_file is None else Path(self.ca_file)

    @property
    def sip_uri(self) -> SipUri:
        """The address-of-record in parts.

        Raises:
            SettingsError: It is not one.

        """
        try:
            uri = SipUri.parse(self.uri)
        except ParseError as error:
            raise SettingsError(
                f"account {self.uri!r}: {error}; expected sips:user@domain"
            ) from None
        if uri.user is None:
            raise SettingsError(f"account {self.uri!r}: has no user; expected sips:user@domain")
        return uri

    @property
    def domain(self) -> str:
        """Whom the server's certificate must prove."""
        return self.sip_uri.host

    @property
    def user(self) -> str:
        """User name for the digest."""
        return self.auth_user or self.sip_uri.unescaped_user

    def warnings(self) -> list[str]:
        """Say what each weaker choice gives away, one line each."""
        found = []
        if not self.target().transport.secure:
            found.append("allow_clear_text_sip: third parties can read and change the signalling")
        if self.allow_keys_in_clear_text:
            found.append("allow_keys_in_clear_text: whoever reads SRTP keys on the way can listen")
        if self.srtp is not SrtpPolicy.MANDATORY:
            found.append(f"srtp {self.srtp.value}: calls may be in clear text")
        return found

    def target(self) -> Target:
        """Where to connect.

        Raises:
            SettingsError: The outbound proxy is written wrongly, contradicts the account's
                scheme, or asks for clear text without leave.

        """
        uri = self.sip_uri
        if self.outbound_proxy:
            target = parse_outbound_proxy(self.outbound_proxy, secure=uri.secure, domain=uri.host)
        elif uri.transport in (None, "tls"):
            target = Target(Transport.TLS, uri.host, uri.port or 5061, uri.host)
        else:
            target = target_of_uri(uri)
        if not target.transport.secure and not self.allow_clear_text_sip:
            raise SettingsError(
                f"{target}: {target.transport.value} shows every message to third parties; "
                "use transport=tls, or allow it with --allow-clear-text-sip"
            )
        return target


def parse_outbound_proxy(text: str, *, secure: bool, domain: str) -> Target:
    """Read ``host[:port][;transport=tls]``, the form in which desk phones have it.

    Without a transport it is TLS.

    Args:
        text: The setting; ``sip:`` or ``sips:`` may stand before it.
        secure: The account is ``sips``.
        domain: Whom the certificate must prove, whatever host is dialled.

    Raises:
        SettingsError: It is of another form, or the transport contradicts ``sips``.

    """
    bare = text.strip()
    scheme, colon, rest = bare.partition(":")
    if colon and scheme.lower() in ("sip", "sips"):
        secure, bare = secure or scheme.lower() == "sips", rest
    try:
        uri = SipUri.parse(f"sip:{bare}")
    except ParseError as error:
        raise SettingsError(
            f"outbound proxy {text!r}: {error}; expected host:5061;transport=tls"
        ) from None
    transport = uri.transport or "tls"
    if transport not in ("tls", "tcp", "udp"):
        raise SettingsError(
            f"outbound proxy {text!r}: transport {transport!r} is not one of tls, tcp, udp"
        )
    if secure and transport != "tls":
        raise SettingsError(
            f"outbound proxy {text!r}: sips means TLS, which transport={transport} is not; "
            "use transport=tls, or a sip: account"
        )
    kind = Transport(transport.upper())
    return Target(kind, uri.host, uri.port or kind.default_port, domain)
