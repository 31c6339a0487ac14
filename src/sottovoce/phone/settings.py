"""What a phone must know: who it is, where its server is, and how much protection it wants."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ParseError, SettingsError
from ..keying.negotiation import SrtpPolicy
from ..net.dns import parse_name_server
from ..secret import Secret
from ..sip.transport import Transport
from ..sip.uri import SipUri


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a phone looks for its server; whom the certificate must prove is another matter."""

    uri: SipUri
    "What to look up by RFC 3263."

    transports: tuple[Transport, ...]
    "What may be used, the preferred first."


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a SIP domain, and how to reach the domain's server safely."""

    uri: str
    "Address-of-record such as ``sips:alice@example.org``."

    password: Secret[str] | str = ""
    "Digest password; kept as a Secret."

    outbound_proxy: str = ""
    """Where to connect, ``host:5061;transport=tls``; if empty, where the domain's DNS says.
    A host without a port is looked up in the DNS as a domain is (RFC 3263)."""

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

    dns_server: str = ""
    "Name server as ``address:port`` in place of the system's, for tests and labs."

    def __post_init__(self) -> None:
        if isinstance(self.password, str):
            object.__setattr__(self, "password", Secret(self.password))
        self.next_hop()
        if self.dns_server:
            parse_name_server(self.dns_server)

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
        if not all(each.secure for each in self.next_hop().transports):
            found.append("allow_clear_text_sip: third parties can read and change the signalling")
        if self.allow_keys_in_clear_text:
            found.append("allow_keys_in_clear_text: whoever reads SRTP keys on the way can listen")
        if self.srtp is not SrtpPolicy.MANDATORY:
            found.append(f"srtp {self.srtp.value}: calls may be in clear text")
        return found

    def next_hop(self) -> NextHop:
        """Where to look for the server.

        Without a transport it is TLS, unless clear text is allowed: then it is what the
        domain's DNS says (RFC 3263 section 4.1).

        Raises:
            SettingsError: The outbound proxy is written wrongly, contradicts the account's
                scheme, or asks for clear text without leave.

        """
        uri = self.sip_uri
        if self.outbound_proxy:
            hop = parse_outbound_proxy(self.outbound_proxy, secure=uri.secure)
        else:
            hop = self._own_domain(uri)
        if not (self.allow_clear_text_sip or all(each.secure for each in hop.transports)):
            shown = ", ".join(each.value for each in hop.transports)
            raise SettingsError(
                f"{hop.uri}: {shown} shows every message to third parties; "
                "use transport=tls, or allow it with --allow-clear-text-sip"
            )
        return hop

    def _own_domain(self, uri: SipUri) -> NextHop:
        if uri.secure and uri.transport == "udp":
            raise SettingsError(
                f"{uri}: sips means TLS, which does not run over UDP; drop transport=udp"
            )
        if uri.secure:
            return NextHop(replace(uri, user=None, password=None), (Transport.TLS,))
        named = uri.transport
        if named is None and self.allow_clear_text_sip:
            bare = SipUri("sip", None, None, uri.host, uri.port)
            return NextHop(bare, (Transport.TLS, Transport.TCP, Transport.UDP))
        # Departs from RFC 3263 4.1, which takes UDP where a sip URI and the DNS leave it open.
        kind = _transport_named(named or "tls", f"account {self.uri!r}")
        return _over(uri.host, uri.port, kind)


def parse_outbound_proxy(text: str, *, secure: bool) -> NextHop:
    """Read ``host[:port][;transport=tls]``, the form in which desk phones have it.

    Without a transport it is TLS.

    Args:
        text: The setting; ``sip:`` or ``sips:`` may stand before it.
        secure: The account is ``sips``.

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
    transport = _transport_named(uri.transport or "tls", f"outbound proxy {text!r}")
    if secure and not transport.secure:
        raise SettingsError(
            f"outbound proxy {text!r}: sips means TLS, which transport={uri.transport} is not; "
            "use transport=tls, or a sip: account"
        )
    return _over(uri.host, uri.port, transport)


def _transport_named(name: str, where: str) -> Transport:
    try:
        return Transport(name.upper())
    except ValueError:
        raise SettingsError(f"{where}: transport {name!r} is not one of tls, tcp, udp") from None


def _over(host: str, port: int | None, transport: Transport) -> NextHop:
    params: dict[str, str | None] = {"transport": transport.value.lower()}
    return NextHop(SipUri("sip", None, None, host, port, params), (transport,))
