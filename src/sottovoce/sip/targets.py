"""Finding the servers of a domain.  RFC 3263 section 4, RFC 2782; the DNS itself stands in net.

::

    URI --> NAPTR --> SRV --> addresses --> targets in the order in which they are tried
     |        |        |         ^
     |        |        +- none --+    the domain itself, at the default port
     |        +- none --> SRV of each transport that may be used
     +- port written out --------^
     +- IP address: no question at all
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Final

from ..errors import SettingsError
from .header_values import Via
from .transport import Target, Transport
from .uri import SipUri

#: Records of one answer that are looked at; the best ones, where they have an order.
MAX_RECORDS: Final = 32
#: SRV names that NAPTR records may send us to.
MAX_SERVICES: Final = 6
#: Hosts whose addresses are asked for: two questions each.
MAX_HOSTS: Final = 12
#: Targets of one search: nobody waits for more than these to fail.
MAX_TARGETS: Final = 16

#: RFC 3263 section 4.1; SIP+D2W and its kin (RFC 7118) are for transports we have not.
_NAPTR_SERVICES: Final = {
    "SIPS+D2T": Transport.TLS,
    "SIP+D2T": Transport.TCP,
    "SIP+D2U": Transport.UDP,
}
_SRV_PREFIXES: Final = {
    Transport.TLS: "_sips._tcp",
    Transport.TCP: "_sip._tcp",
    Transport.UDP: "_sip._udp",
}


class RecordType(Enum):
    """What is asked for, by its name in the DNS."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    A = "A"
    AAAA = "AAAA"

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the DNS."""

    name: str
    "Lower case, without a final dot."

    type: RecordType

    def __str__(self) -> str:
        return f"{self.name} {self.type.value}"


@dataclass(frozen=True, slots=True)
class NaptrRecord:
    """Which service of a domain is where (RFC 3403)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """A server of one service (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS said; only the records of the type asked for count."""

    naptr: tuple[NaptrRecord, ...] = ()
    srv: tuple[SrvRecord, ...] = ()
    addresses: tuple[str, ...] = ()

    reason: str = ""
    "Why there are no records, in a few words."


class TargetSearch:
    """From a URI to the servers that it may be sent to.

    Ask what :attr:`questions` holds, all at once if you like, give each answer to
    :meth:`receive_answer`, and again until there are none left; then :attr:`targets` has
    the result.

    A target's host is an IP address.  Its domain is ``domain``, or else the host that
    stands in the URI: that is whom the certificate must prove, wherever the DNS sent us
    (RFC 5922 section 7.3).

    Args:
        uri: A Request-URI, a Route entry or an outbound proxy.
        random_below: Gives a random whole number from 0 to below its argument; a stateless
            proxy that must choose alike for a retransmission (section 4.4) draws it from
            the branch.
        transports: What may be used, the preferred first.
        domain: Whom the certificate must prove, where it is not the URI's host.

    Raises:
        SettingsError: The URI asks for a transport that is not among them.

    """

    def __init__(
        self,
        uri: SipUri,
        *,
        random_below: Callable[[int], int],
        transports: Sequence[Transport] = (Transport.TLS, Transport.TCP, Transport.UDP),
        domain: str | None = None,
    ) -> None:
        self._random_below = random_below
        self._domain = domain or uri.host
        # Section 4: maddr takes the host's place in the look-up, but proves nothing.
        self._host = _plain(uri.params.get("maddr") or uri.host)
        self._allowed = _allowed(uri, transports)
        self._default = _default(self._allowed)
        self._pending: dict[Question, None] = {}
        self._services: list[tuple[str, Transport]] = []
        self._srv: dict[str, tuple[SrvRecord, ...]] = {}
        self._places: list[tuple[Transport, str, int]] = []
        self._addresses: dict[Question, tuple[str, ...]] = {}
        self._reasons: list[str] = []
        self._targets: tuple[Target, ...] = ()
        if is_ip_address(self._host):
            self._targets = (self._target(self._default, self._host, uri.port),)
        elif uri.port is not None:
            self._ask_addresses([(self._default, self._host, uri.port)])
        elif uri.transport is not None:
            self._ask_srv([(self._service_name(self._default), self._default)])
        else:
            self._ask(Question(self._host, RecordType.NAPTR))

    @property
    def questions(self) -> tuple[Question, ...]:
        """What must be answered next; empty when the search is over."""
        return tuple(self._pending)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The servers in the order in which they are tried; none while questions are open."""
        return self._targets

    @property
    def reason(self) -> str:
        """Which questions had no answer that helps, and why."""
        return "; ".join(self._reasons)

    def receive_answer(self, question: Question, answer: Answer) -> None:
        """Take the answer to one of the questions; others are ignored."""
        if question not in self._pending:
            return
        del self._pending[question]
        match question.type:
            case RecordType.NAPTR:
                self._receive_naptr(question, answer)
            case RecordType.SRV:
                self._receive_srv(question, answer)
            case _:
                self._addresses[question] = answer.addresses[:MAX_RECORDS]
                if not answer.addresses:
                    self._note(question, answer)
                if not self._pending:
                    self._finish()

    # NAPTR: which transports, and where their SRV records are (section 4.1)

    def _receive_naptr(self, question: Question, answer: Answer) -> None:
        best = sorted(answer.naptr, key=lambda each: (each.order, each.preference))
        services: dict[tuple[str, Transport], None] = {}
        for record in best[:MAX_RECORDS]:
            transport = _NAPTR_SERVICES.get(record.service.upper())
            name = _plain(record.replacement)
            if record.flags.upper() == "S" and name and transport in self._allowed:
                assert transport is not None
                services[name, transport] = None
        if services:
            self._ask_srv(list(services)[:MAX_SERVICES])
            return
        if not answer.naptr:
            self._note(question, answer)
        # TLS for a sip URI is a matter of NAPTR or of transport=tls: without either it is
        # tried only where nothing else may be.
        clear = [each for each in self._allowed if not each.secure]
        chosen = clear or list(self._allowed)
        self._ask_srv([(self._service_name(each), each) for each in chosen])

    # SRV: which hosts (section 4.2)

    def _service_name(self, transport: Transport) -> str:
        return f"{_SRV_PREFIXES[transport]}.{self._host}"

    def _ask_srv(self, services: Iterable[tuple[str, Transport]]) -> None:
        self._services = list(services)
        for name, _ in self._services:
            self._ask(Question(name, RecordType.SRV))

    def _receive_srv(self, question: Question, answer: Answer) -> None:
        self._srv[question.name] = answer.srv
        if not answer.srv:
            self._note(question, answer)
        if self._pending:
            return
        if not any(self._srv.values()):
            self._ask_addresses([(self._default, self._host, self._default.default_port)])
            return
        places = []
        for name, transport in self._services:
            for record in in_order(self._srv[name], self._random_below)[:MAX_RECORDS]:
                host = _plain(record.target)
                if not host:
                    self._reasons.append(f"{name} SRV: says that this service is not offered")
                elif record.port:
                    places.append((transport, host, record.port))
        self._ask_addresses(places)

    # Addresses

    def _ask_addresses(self, places: Iterable[tuple[Transport, str, int]]) -> None:
        hosts: dict[str, None] = {}
        for place in dict.fromkeys(places):
            if place[1] in hosts or len(hosts) < MAX_HOSTS:
                hosts[place[1]] = None
                self._places.append(place)
        for host in hosts:
            self._ask(Question(host, RecordType.AAAA))
            self._ask(Question(host, RecordType.A))

    def _finish(self) -> None:
        found: dict[Target, None] = {}
        for transport, host, port in self._places:
            sixes = self._addresses[Question(host, RecordType.AAAA)]
            fours = self._addresses[Question(host, RecordType.A)]
            # By turns, so that a family which does not work here costs one try and not all.
            for at in range(max(len(sixes), len(fours))):
                for address in (*sixes[at : at + 1], *fours[at : at + 1]):
                    found[self._target(transport, address, port)] = None
        self._targets = tuple(found)[:MAX_TARGETS]

    def _target(self, transport: Transport, host: str, port: int | None) -> Target:
        return Target(transport, host, port or transport.default_port, self._domain)

    def _ask(self, question: Question) -> None:
        self._pending[question] = None

    def _note(self, question: Question, answer: Answer) -> None:
        self._reasons.append(f"{question}: {answer.reason or 'no such record'}")


def in_order(
    records: Iterable[SrvRecord], random_below: Callable[[int], int]
) -> tuple[SrvRecord, ...]:
    """Sort SRV records by priority, and by chance within one, as their weights say (RFC 2782)."""
    # Zero weights stand first, where only a zero draws them: seldom, but not never.
    waiting = sorted(records, key=lambda each: (each.priority, each.weight > 0))[:MAX_RECORDS]
    chosen: list[SrvRecord] = []
    while waiting:
        same = [each for each in waiting if each.priority == waiting[0].priority]
        drawn = random_below(sum(each.weight for each in same) + 1)
        running = 0
        for record in same:
            running += record.weight
            if running >= drawn:
                break
        waiting.remove(record)
        chosen.append(record)
    return tuple(chosen)


def uri_of_sent_by(via: Via) -> SipUri:
    """Say where a response goes whose connection is gone (section 5), as a URI to search for.

    Its transport stands there, so that there is no NAPTR; with a port, no SRV either.
    """
    secure = via.transport == Transport.TLS.value
    params: dict[str, str | None] = {} if secure else {"transport": via.transport.lower()}
    return SipUri("sips" if secure else "sip", None, None, via.host, via.port, params)


def is_ip_address(host: str) -> bool:
    """Tell whether a host is an address, without brackets, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _allowed(uri: SipUri, transports: Sequence[Transport]) -> tuple[Transport, ...]:
    """Transports that both the URI and our caller permit."""
    known: Mapping[Transport, str] = _SRV_PREFIXES
    named = uri.transport
    if uri.secure and named == "udp":
        raise SettingsError(
            f"{uri}: sips means TLS, which does not run over UDP; drop transport=udp"
        )
    if uri.secure or named == "tls":
        asked = [Transport.TLS]
    elif named is None:
        asked = list(known)
    else:
        asked = [each for each in known if each.value.lower() == named]
    allowed = tuple(each for each in transports if each in asked)
    if not allowed:
        wanted = "TLS" if uri.secure else f"transport {named!r}"
        ours = ", ".join(each.value.lower() for each in transports)
        raise SettingsError(f"{uri}: {wanted} is not one of {ours}, which may be used here")
    return allowed


def _default(allowed: Sequence[Transport]) -> Transport:
    """Section 4.1: UDP for a sip URI that leaves it open; of the rest, the preferred."""
    if Transport.UDP in allowed:
        return Transport.UDP
    return next((each for each in allowed if not each.secure), allowed[0])
