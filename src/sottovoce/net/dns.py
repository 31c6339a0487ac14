"""Asking the DNS what a search for servers wants to know, and remembering it for its TTL."""

import asyncio
import logging
import random
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.message
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from ..errors import SettingsError, Unreachable
from ..sip.targets import (
    Answer,
    NaptrRecord,
    Question,
    RecordType,
    SrvRecord,
    TargetSearch,
    is_ip_address,
)
from ..sip.transport import Target, Transport
from ..sip.uri import MAX_PORT, SipUri

log = logging.getLogger("sottovoce.net")

#: Answers remembered; the one used longest ago goes first.
MAX_CACHED_ANSWERS: Final = 1000
#: Longest that an answer is believed in, whatever its TTL says: a domain that moves is
#: found again within the hour.
MAX_TTL_S: Final = 3600.0
#: The same for "there is none" (RFC 2308 lets it be three hours).
MAX_NEGATIVE_TTL_S: Final = 60.0
#: CNAMEs followed for one question.
MAX_ALIASES: Final = 8
#: For one question, repeats included.
QUESTION_TIMEOUT_S: Final = 3.0
#: For a whole search: three questions one after the other at most.
SEARCH_TIMEOUT_S: Final = 8.0
#: One try at one name server, before the next or the same again.
_TRY_TIMEOUT_S: Final = 1.0
#: RFC 9715: larger answers come over TCP, for datagrams that must be cut get lost.
_DATAGRAM_BYTES: Final = 1232
_DNS_PORT: Final = 53
_HOSTS_FILE: Final = Path("/etc/hosts")

#: Asks one question and says for how many seconds the answer holds.
Ask = Callable[[Question], Awaitable[tuple[Answer, float]]]


class Resolver:
    """The DNS as this process sees it: a hosts file, a cache, a name server.

    Args:
        server: Name server as ``address`` or ``address:port``; those of the system if empty.
            With one given, it alone is asked, and the hosts file.
        hosts_file: Addresses that stand before those of the DNS.
        clock: Monotonic seconds.
        ask: Stands in for the name server, for tests.

    Raises:
        SettingsError: The name server is written wrongly.

    """

    def __init__(
        self,
        server: str = "",
        *,
        hosts_file: Path = _HOSTS_FILE,
        clock: Callable[[], float] = time.monotonic,
        ask: Ask | None = None,
    ) -> None:
        self._uses_system = not server and ask is None
        self._ask = ask or NameServers(parse_name_server(server) if server else None).ask
        self._hosts_file = hosts_file
        self._clock = clock
        self._cache: OrderedDict[Question, tuple[float, Answer]] = OrderedDict()

    async def locate(
        self, uri: SipUri, *, transports: Sequence[Transport], domain: str
    ) -> tuple[Target, ...]:
        """Find the servers that a URI leads to, in the order in which they are tried.

        Args:
            uri: Where a request is to go.
            transports: What may be used, the preferred first.
            domain: Whom the certificate must prove.

        Raises:
            Unreachable: There is none; the message says what was asked and what came.
            SettingsError: The URI asks for a transport that may not be used.

        """
        search = TargetSearch(
            uri, random_below=random.randrange, transports=transports, domain=domain
        )
        try:
            async with asyncio.timeout(SEARCH_TIMEOUT_S):
                while questions := search.questions:
                    answers = await asyncio.gather(*(self.find(each) for each in questions))
                    for question, answer in zip(questions, answers, strict=True):
                        search.receive_answer(question, answer)
        except TimeoutError:
            late = ", ".join(str(each) for each in search.questions)
            raise Unreachable(
                503, f"the DNS did not answer within {SEARCH_TIMEOUT_S:.0f} s: {late}"
            ) from None
        if not search.targets:
            raise Unreachable(
                503,
                f"{uri.host} has no server for this in the DNS ({search.reason}); "
                "give the server with --outbound-proxy",
            )
        return search.targets

    async def find(self, question: Question) -> Answer:
        """Answer one question; what cannot be found out is an answer with a reason."""
        wants_address = question.type in (RecordType.A, RecordType.AAAA)
        if wants_address and (known := addresses_in_hosts(self._hosts_file, question)):
            return Answer(addresses=known)
        found = self._cached(question)
        if found is None:
            found, ttl_s = await self._ask(question)
            self._remember(question, found, ttl_s)
        if wants_address and not found.addresses and self._uses_system:
            # Names that are not in the DNS: mDNS, or whatever else this machine knows.
            return await _ask_system(question) or found
        return found

    def _cached(self, question: Question) -> Answer | None:
        until, answer = self._cache.get(question, (0.0, None))
        if answer is None:
            return None
        if until <= self._clock():
            del self._cache[question]
            return None
        self._cache.move_to_end(question)
        return answer

    def _remember(self, question: Question, answer: Answer, ttl_s: float) -> None:
        longest_s = MAX_NEGATIVE_TTL_S if answer.reason else MAX_TTL_S
        if ttl_s <= 0:
            return
        self._cache[question] = (self._clock() + min(ttl_s, longest_s), answer)
        if len(self._cache) > MAX_CACHED_ANSWERS:
            self._cache.popitem(last=False)


class NameServers:
    """Name servers asked with dnspython.

    Args:
        server: Address and port of the one to ask; None for those in resolv.conf.

    """

    def __init__(self, server: tuple[str, int] | None) -> None:
        self._resolver: dns.asyncresolver.Resolver | None
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = None
            return
        if server is not None:
            self._resolver.nameservers = [server[0]]
            self._resolver.port = server[1]
        self._resolver.timeout = _TRY_TIMEOUT_S
        self._resolver.use_edns(0, 0, _DATAGRAM_BYTES)

    async def ask(self, question: Question) -> tuple[Answer, float]:
        """Ask, and give the answer with its TTL in seconds; failures have none."""
        if self._resolver is None:
            return Answer(reason="this machine knows no name server"), 0.0
        try:
            found = await self._resolver.resolve(
                f"{question.name}.",
                question.type.value,
                raise_on_no_answer=False,
                lifetime=QUESTION_TIMEOUT_S,
                search=False,
            )
            return read_answer(found.response)
        except dns.resolver.NXDOMAIN as error:
            (response,) = error.kwargs["responses"].values()  # search=False: one name was tried
            answer, ttl_s = read_answer(response)
            return replace(answer, reason="no such name"), ttl_s
        except dns.exception.Timeout:
            return Answer(reason="no answer from the name server"), 0.0
        except (dns.exception.DNSException, OSError) as error:
            log.info("DNS: %s: %s", question, error)
            return Answer(reason="the name server could not say"), 0.0


def read_answer(response: dns.message.QueryMessage) -> tuple[Answer, float]:
    """Read the records that answer a response's question, and their TTL in seconds.

    Raises:
        DNSException: The response contradicts itself.

    """
    chain = response.resolve_chaining()
    if len(chain.cnames) > MAX_ALIASES:
        return Answer(reason=f"over {MAX_ALIASES} aliases"), 0.0
    naptr: list[NaptrRecord] = []
    srv: list[SrvRecord] = []
    addresses: list[str] = []
    for each in chain.answer or ():
        if isinstance(each, NAPTR):
            naptr.append(
                NaptrRecord(
                    each.order,
                    each.preference,
                    each.flags.decode("latin-1"),
                    each.service.decode("latin-1"),
                    each.replacement.to_text(omit_final_dot=True),
                )
            )
        elif isinstance(each, SRV):
            target = each.target.to_text(omit_final_dot=True)
            srv.append(SrvRecord(each.priority, each.weight, each.port, target))
        elif isinstance(each, A | AAAA):
            addresses.append(each.address)
    reason = "" if naptr or srv or addresses else "no such record"
    return Answer(tuple(naptr), tuple(srv), tuple(addresses), reason), float(chain.minimum_ttl)


def parse_name_server(text: str) -> tuple[str, int]:
    """Read ``192.0.2.53``, ``192.0.2.53:5353`` or ``[2001:db8::53]:5353``.

    Raises:
        SettingsError: It is none of these.

    """
    host, colon, port = text.rpartition(":")
    if not colon or is_ip_address(text.strip("[]")):
        host, port = text, str(_DNS_PORT)
    host = host.strip("[]")
    if not is_ip_address(host) or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise SettingsError(f"dns_server {text!r}: expected an address such as 192.0.2.53:53")
    return host, int(port)


def addresses_in_hosts(path: Path, question: Question) -> tuple[str, ...]:
    """Read the addresses of a name from a file like ``/etc/hosts``; none if it has none."""
    version = 6 if question.type is RecordType.AAAA else 4
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found: dict[str, None] = {}
    for line in lines:
        address, *names = line.partition("#")[0].lower().split() or [""]
        if (
            question.name in names
            and is_ip_address(address)
            and ip_address(address).version == version
        ):
            found[address] = None
    return tuple(found)


async def _ask_system(question: Question) -> Answer | None:
    family = socket.AF_INET6 if question.type is RecordType.AAAA else socket.AF_INET
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(question.name, None, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a gaierror is an OSError
        return None
    return Answer(addresses=tuple(dict.fromkeys(str(each[4][0]) for each in found)))
