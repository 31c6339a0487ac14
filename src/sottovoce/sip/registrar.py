"""What a REGISTER does to the bindings of an address of record.  RFC 3261 section 10.3.

Who may register what is settled before (steps 1 to 5); the outbound part of RFC 5626 is
section 6 for phones that register with us directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil

from ..errors import ParseError
from .grammar import format_params, parse_delta_seconds, unquote
from .header_values import NameAddress
from .message import Request
from .reasons import REASONS
from .uas_checks import unsupported_field
from .uri import SipUri, bracketed

MAX_CONTACT_CHARACTERS = 2048
"A Contact with its parameters; phones stay under 500.  Bounds what a binding keeps."

MAX_REQUEST_CONTACTS = 32
"Contacts in one REGISTER; each is compared with all bindings.  Phones send one or two."

MAX_USER_AGENT_CHARACTERS = 256
"Kept for the operator's list; the rest is cut off."

MAX_REG_ID = 2**31 - 1
"RFC 5626 section 4.2."

# Section 10.3 step 7: an hour or more is never "too brief".
_NEVER_TOO_BRIEF_S = 3600

_SUPPORTED = frozenset({"outbound"})


@dataclass(frozen=True, slots=True)
class RegistrarSettings:
    """How long and how many bindings an address of record may have."""

    min_expires_s: int = 60
    "A shorter wish is answered with 423."

    default_expires_s: int = 3600
    "For a phone that names no time."

    max_expires_s: int = 7200
    "A longer wish is shortened."

    max_contacts: int = 10
    "More are refused: every call rings all of them."


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an address of record: texts, numbers and tuples of them only."""

    contact: str
    "The URI as received."

    params: tuple[tuple[str, str | None], ...]
    "The Contact's parameters as received, without ``expires``."

    call_id: str
    cseq: int

    expires_utc: float
    "Wall-clock seconds since 1970, so that a restart does not change it."

    flow: str
    "Name of the flow it was registered over."

    received: str = ""
    "``address:port`` the REGISTER came from, if its Via tells."

    user_agent: str = ""
    "What the phone calls itself."

    @property
    def instance(self) -> str | None:
        """The ``+sip.instance`` of RFC 5626 without quotes."""
        value = dict(self.params).get("+sip.instance")
        return None if value is None else unquote(value)

    @property
    def reg_id(self) -> int | None:
        """The ``reg-id`` of RFC 5626; None without a usable one."""
        value = dict(self.params).get("reg-id")
        if value is None or not (value.isascii() and value.isdigit()) or len(value) > 10:
            return None
        return int(value) if 0 < int(value) <= MAX_REG_ID else None

    def remaining_s(self, now_utc: float) -> int:
        """Seconds until it expires, never negative."""
        return max(0, ceil(self.expires_utc - now_utc))


@dataclass(frozen=True, slots=True)
class Registration:
    """What to answer, and the bindings from now on."""

    status: int
    reason: str

    fields: tuple[tuple[str, str], ...]
    "Headers of the response in wire form."

    bindings: tuple[Binding, ...]
    "Unchanged unless the status is 200."


class _Refused(Exception):
    """The REGISTER fails as a whole (step 7: it is atomic)."""

    def __init__(self, status: int, *fields: tuple[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.fields = fields


def apply(
    request: Request,
    bindings: Sequence[Binding],
    *,
    now_utc: float,
    flow: str,
    settings: RegistrarSettings = RegistrarSettings(),
) -> Registration:
    """Work out what an authorized REGISTER changes (section 10.3 steps 6 to 8).

    Args:
        request: The REGISTER.
        bindings: What its address of record has; expired ones are dropped.
        now_utc: Wall-clock seconds since 1970.
        flow: Name of the flow the request came over.
        settings: Limits.

    """
    old = tuple(each for each in bindings if each.expires_utc > now_utc)
    try:
        _check_require(request)
        new, outbound = _updated(request, old, now_utc, flow, settings)
    except _Refused as refused:
        return Registration(refused.status, REASONS[refused.status], refused.fields, old)
    except ParseError as wrong:
        return Registration(wrong.status_hint, REASONS[wrong.status_hint], (), old)
    date = format_datetime(datetime.fromtimestamp(now_utc, UTC), usegmt=True)
    fields = [("Contact", _contact(each, now_utc)) for each in new]
    if outbound:
        fields.append(("Require", "outbound"))
    return Registration(200, REASONS[200], (*fields, ("Date", date)), new)


def _check_require(request: Request) -> None:
    unknown = [tag for tag in request.items("require") if tag.lower() not in _SUPPORTED]
    if unknown:
        raise _Refused(420, *unsupported_field(unknown))


def _updated(
    request: Request,
    old: tuple[Binding, ...],
    now_utc: float,
    flow: str,
    settings: RegistrarSettings,
) -> tuple[tuple[Binding, ...], bool]:
    """Return the new bindings, and whether RFC 5626 was applied to any of them."""
    items = request.items("contact")
    if "*" in items:
        return _without_all(request, old, items), False
    if len(items) > MAX_REQUEST_CONTACTS:
        raise _Refused(413)
    bindings = list(old)
    outbound = False
    for contact in request.contacts:
        expires_s = _expires_s(request, contact, settings)
        new = _binding(request, contact, now_utc + expires_s, flow)
        by_instance = _is_outbound(request, new)
        outbound = outbound or by_instance
        at = _find(bindings, new, by_instance=by_instance)
        if at is None:
            at = len(bindings)
        elif any(bindings[at] is each for each in old):
            _check_order(request, bindings[at])
        bindings[at : at + 1] = [new] if expires_s else []
    if len(bindings) > max(settings.max_contacts, len(old)):
        text = f'399 registrar "over {settings.max_contacts} contacts of one address"'
        raise _Refused(403, ("Warning", text))
    return tuple(bindings), outbound


def _without_all(
    request: Request, old: tuple[Binding, ...], items: list[str]
) -> tuple[Binding, ...]:
    """Step 6: ``Contact: *`` stands alone, with Expires 0."""
    if len(items) > 1 or request.expires != 0:
        raise _Refused(400)
    for binding in old:
        _check_order(request, binding)
    return ()


def _binding(request: Request, contact: NameAddress, expires_utc: float, flow: str) -> Binding:
    contact.sip_uri  # noqa: B018 - reading is checking
    if len(contact.uri) + len(format_params(contact.params)) > MAX_CONTACT_CHARACTERS:
        raise _Refused(513)
    via = request.top_via
    host = via.received or via.host
    return Binding(
        contact=contact.uri,
        params=tuple((name, text) for name, text in contact.params.items() if name != "expires"),
        call_id=request.call_id,
        cseq=request.cseq.number,
        expires_utc=expires_utc,
        flow=flow,
        received=f"{bracketed(host)}:{via.rport}" if via.rport else host,
        user_agent=(request.value("user-agent") or "")[:MAX_USER_AGENT_CHARACTERS],
    )


def _expires_s(request: Request, contact: NameAddress, settings: RegistrarSettings) -> int:
    """Step 7: the Contact's own time goes before the Expires header and the default.

    A malformed time counts as none, as RFC 4475 section 3.1.2.4 lets it.
    """
    wish = settings.default_expires_s
    for text in (contact.params.get("expires"), request.value("expires")):
        if text is not None:
            try:
                wish = parse_delta_seconds(text)
            except ParseError:
                continue
            break
    if 0 < wish < min(settings.min_expires_s, _NEVER_TOO_BRIEF_S):
        raise _Refused(423, ("Min-Expires", str(settings.min_expires_s)))
    return min(wish, settings.max_expires_s)


def _is_outbound(request: Request, new: Binding) -> bool:
    """Say if RFC 5626 section 6 applies to a Contact."""
    if new.instance is None or new.reg_id is None:
        return False
    if "outbound" not in (tag.lower() for tag in request.items("supported")):
        return False
    if len(request.items("via")) > 1 and not _first_hop_has_outbound(request):
        raise _Refused(439)
    return True


def _first_hop_has_outbound(request: Request) -> bool:
    paths = request.items("path")
    return bool(paths) and "ob" in NameAddress.parse(paths[-1]).sip_uri.params


def _find(bindings: Sequence[Binding], new: Binding, *, by_instance: bool) -> int | None:
    """Return which binding a new one replaces."""
    if by_instance:  # RFC 5626 section 6: a flow is known by its instance and reg-id
        for at, old in enumerate(bindings):
            if old.reg_id == new.reg_id and old.instance == new.instance:
                return at
    uri = SipUri.parse(new.contact)
    for at, old in enumerate(bindings):
        if by_instance and old.reg_id is not None:
            continue  # another flow, even if its Contact reads the same
        if old.contact == new.contact or uri.equivalent(SipUri.parse(old.contact)):
            return at
    return None


def _check_order(request: Request, binding: Binding) -> None:
    """Refuse a REGISTER that was sent before the one that made a binding (step 7)."""
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise _Refused(500)


def _contact(binding: Binding, now_utc: float) -> str:
    params = format_params(dict(binding.params))
    return f"<{binding.contact}>{params};expires={binding.remaining_s(now_utc)}"
