"""The media of one call: offers, answers and the SRTP keys that go with them.

Puts :mod:`sottovoce.sdp.offer_answer` (RFC 3264) and :mod:`.sdes` (RFC 4568) together
under a policy, RFC 8643's "opportunistic" one among them, and keeps what a call has to
remember: versions, payload types, and the SRTP contexts, whose rollover counters and
replay windows outlive every re-INVITE that leaves the keys alone.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from ..errors import LocalError, RemoteError
from ..sdp.description import MediaDescription, SessionDescription
from ..sdp.line_values import Direction, Origin
from ..sdp.offer_answer import (
    PLAIN_PROTOCOLS,
    SECURE_PROTOCOLS,
    WRONG_MEDIA,
    WRONG_PROTOCOL,
    LocalAudio,
    NegotiatedAudio,
    NotAcceptable,
    check_usable_audio,
    judge_answer,
    make_answer,
    make_offer,
    negotiated_by_answer,
)
from ..srtp import CryptoSuite, SrtpContext
from . import sdes
from .sdes import DEFAULT_SUITES, CryptoAttribute


class SrtpPolicy(Enum):
    """Whether the media of a call is encrypted."""

    MANDATORY = "mandatory"
    "SRTP or no call."

    OPTIONAL = "optional"
    "SRTP if the peer has it (RFC 8643), else in clear; once encrypted, always encrypted."

    OFF = "off"
    "In clear; keys are neither sent nor taken."


@dataclass(frozen=True, slots=True)
class _State:
    """What is in force.  Replaced as a whole, after everything was checked."""

    local: SessionDescription | None = None
    "Our last description that took effect, offer or answer."

    negotiated: NegotiatedAudio | None = None
    own: CryptoAttribute | None = None
    theirs: CryptoAttribute | None = None
    outbound: SrtpContext | None = None
    inbound: SrtpContext | None = None


@dataclass(frozen=True, slots=True)
class _Offer:
    """An offer of ours.  Shared by the forks of a call."""

    description: SessionDescription
    media_index: int
    crypto: tuple[CryptoAttribute, ...]
    wish: Direction
    before: _State
    "What was in force when it was made."

    outbound: dict[int, SrtpContext] = field(default_factory=dict)
    "By tag.  One context per key, so that no two forks encrypt different packets alike."


class SecureMediaNegotiation:
    """Offers and answers of one call, or of one of its early dialogs.

    Whatever raises :exc:`RemoteError` leaves everything in force as it was.  The order
    of calls is that of RFC 6337 section 2: :meth:`make_offer` then
    :meth:`receive_answer`, or :meth:`receive_offer`, which returns the answer; then
    again, any number of times, for hold, refresh and change.

    Args:
        local: What our side wants; replace :attr:`local` before an offer to change it.
        policy: Whether media may, or must, be encrypted.
        keys_allowed: True if the signalling is confidential on this hop, or the user
            decided that keys may travel in clear text all the same (RFC 4568 section 7).
        random_bytes: ``secrets.token_bytes`` or, in tests, something repeatable.
        suites: Offered in this order, and accepted.

    """

    def __init__(
        self,
        local: LocalAudio,
        *,
        policy: SrtpPolicy,
        keys_allowed: bool,
        random_bytes: Callable[[int], bytes],
        suites: Sequence[CryptoSuite] = DEFAULT_SUITES,
    ) -> None:
        self.local = local
        self._policy = policy
        self._keys_allowed = keys_allowed
        self._random_bytes = random_bytes
        self._suites = tuple(suites)
        # 31 bits, for the phones that read it as a signed number of 32.
        session_id = int.from_bytes(random_bytes(4), "big") >> 1
        family = "IP6" if ":" in local.address else "IP4"
        self._first_origin = Origin("-", session_id, 1, family, local.address)
        self._wish = local.direction
        self._state = _State()
        self._offer: _Offer | None = None
        self._awaiting_answer = False
        self._last_sent: SessionDescription | None = None

    # --- What is in force

    @property
    def negotiated(self) -> NegotiatedAudio | None:
        """What offer and answer came to; None before the first answer."""
        return self._state.negotiated

    @property
    def outbound(self) -> SrtpContext | None:
        """Protects what we send; None while there is nothing, or media in clear."""
        return self._state.outbound

    @property
    def inbound(self) -> SrtpContext | None:
        """Unprotects what we receive; None while there is nothing, or media in clear."""
        return self._state.inbound

    @property
    def suite(self) -> CryptoSuite | None:
        """The crypto suite in force; None: the media is not encrypted."""
        return self._state.own.suite if self._state.own else None

    @property
    def local_description(self) -> SessionDescription | None:
        """Our last description that took effect."""
        return self._state.local

    @property
    def awaiting_answer(self) -> bool:
        """True from our offer to its first answer; an offer of the peer is then glare."""
        return self._awaiting_answer

    # --- Our offers

    def make_offer(
        self, *, direction: Direction | None = None, new_keys: bool = False
    ) -> SessionDescription:
        """Make an offer: the first, or a new one within the call.

        Within a call, keys, protocol and payload types stay what they are.

        Args:
            direction: What we want from now on; None for what we wanted so far.
            new_keys: Change the keys, as after forking (RFC 4568 section 7.3).

        Raises:
            LocalError: Our last offer has no answer yet, or SRTP is mandatory and keys
                must not travel here.

        """
        if self._awaiting_answer:
            raise LocalError("an offer was made and is not answered yet")
        state, wish = self._state, direction or self._wish
        protocol, crypto = self._protocol_and_keys(new_keys=new_keys)
        media_index = state.negotiated.media_index if state.negotiated else 0
        description = self._versioned(
            make_offer(
                replace(self.local, direction=self._offered_direction(wish)),
                origin=self._origin(),
                protocol=protocol,
                crypto=[line.to_text() for line in crypto],
                previous=state.local,
                media_index=media_index,
            )
        )
        offer = _Offer(description, media_index, crypto, wish, state)
        if state.own in crypto and state.own is not None and state.outbound is not None:
            offer.outbound[state.own.tag] = state.outbound
        self._offer, self._awaiting_answer, self._last_sent = offer, True, description
        return description

    def hold(self) -> SessionDescription:
        """Make an offer that asks the peer to be silent (RFC 3264 section 8.4)."""
        return self.make_offer(direction=self.local.direction.meet(Direction.SENDONLY))

    def resume(self) -> SessionDescription:
        """Make an offer that ends :meth:`hold`."""
        return self.make_offer(direction=self.local.direction)

    def receive_answer(self, answer: SessionDescription) -> NegotiatedAudio:
        """Judge an answer to our offer and put it in force.

        A 183 and the 200 after it may both bring one; the same keys keep their contexts.

        Raises:
            RemoteError: The answer breaks the rules, refuses the audio, or would leave
                media in clear that has to be encrypted.

        """
        offer = self._offer
        if offer is None:
            raise NotAcceptable("an answer came though no offer was made")
        audio = judge_answer(offer.description, answer, self.local, offer.media_index)
        lines = answer.media[offer.media_index].values("crypto")
        own = theirs = outbound = inbound = None
        if not lines:
            self._check_may_be_clear(audio.protocol, "the answer has no a=crypto line")
        elif not offer.crypto:
            raise NotAcceptable("the answer has an a=crypto line though none was offered")
        else:
            own, theirs = sdes.match(offer.crypto, lines)
            audio = replace(audio, remote_crypto=theirs.to_text())
            outbound = offer.outbound.get(own.tag) or sdes.context_for(own)
            offer.outbound[own.tag] = outbound
            inbound = self._inbound_for(theirs)
        self._state = _State(offer.description, audio, own, theirs, outbound, inbound)
        self._wish, self._awaiting_answer = offer.wish, False
        return audio

    def withdraw_offer(self) -> None:
        """Forget our offer, because the peer refused it; what was in force before is again."""
        if self._offer is not None:
            self._state = self._offer.before
        self._offer, self._awaiting_answer = None, False

    def fork(self) -> "SecureMediaNegotiation":
        """Return a negotiation for another early dialog that answers the same offer.

        Both send with the same key and, for that reason, through the same context:
        two contexts would encrypt different packets with the same key stream.
        """
        other = copy.copy(self)
        if self._offer is not None:
            other._state, other._awaiting_answer = self._offer.before, True
        return other

    # --- The peer's offers

    def receive_offer(self, offer: SessionDescription) -> SessionDescription:
        """Judge an offer of the peer, put it in force and return our answer.

        Raises:
            RemoteError: Nothing in it is acceptable; answer with its status (488, or 491
                while an offer of ours is pending) and its text.

        """
        if self._awaiting_answer:
            raise NotAcceptable("our own offer is not answered yet", status_hint=491)
        media_index, theirs = self._choose_media(offer)
        state, own, outbound = self._state, None, None
        if theirs is not None:
            if state.own is not None and theirs.same_key(state.theirs):
                own, outbound = replace(state.own, tag=theirs.tag), state.outbound
            else:
                (own,) = sdes.fresh([theirs.suite], self._random_bytes)
                own = replace(own, tag=theirs.tag)
                outbound = sdes.context_for(own)
        answer = self._versioned(
            make_answer(
                offer,
                replace(self.local, direction=self._wish),
                origin=self._origin(),
                media_index=media_index,
                crypto=own.to_text() if own else None,
            )
        )
        audio = negotiated_by_answer(offer, answer, self.local, media_index)
        if theirs is not None:
            audio = replace(audio, remote_crypto=theirs.to_text())
        inbound = self._inbound_for(theirs) if theirs is not None else None
        self._state = _State(answer, audio, own, theirs, outbound, inbound)
        self._offer, self._last_sent = None, answer
        return answer

    def _choose_media(self, offer: SessionDescription) -> tuple[int, CryptoAttribute | None]:
        """Return the best ``m=`` line and its accepted key: encrypted before clear."""
        usable: list[tuple[int, CryptoAttribute | None]] = []
        refusals: list[RemoteError] = []
        for media_index, media in enumerate(offer.media):
            try:
                check_usable_audio(offer, media_index, self.local)
                usable.append((media_index, self._accepted_key(media)))
            except RemoteError as refusal:
                if media.media.lower() == "audio":
                    refusals.append(refusal)
        if usable:
            return min(usable, key=lambda choice: (choice[1] is None, choice[0]))
        if refusals:
            raise refusals[0]
        raise NotAcceptable("the offer has no audio", warning_code=WRONG_MEDIA)

    def _accepted_key(self, media: MediaDescription) -> CryptoAttribute | None:
        """Judge protocol and keys of an ``m=`` line; None: in clear, which is allowed."""
        lines = media.values("crypto")
        secure = media.protocol.upper() in SECURE_PROTOCOLS
        if self._policy is SrtpPolicy.OFF:
            if secure:
                raise NotAcceptable(
                    f"{media.protocol} was offered, SRTP is switched off here",
                    warning_code=WRONG_PROTOCOL,
                )
            return None
        if lines and not self._keys_allowed:
            raise NotAcceptable("SRTP keys came over signalling that is not encrypted")
        sdes.check_tags(lines)
        try:
            return sdes.accept(lines, self._suites)
        except RemoteError as refusal:
            self._check_may_be_clear(media.protocol, str(refusal))
            return None

    # --- Rules for both ways

    def _check_may_be_clear(self, protocol: str, found: str) -> None:
        if protocol.upper() in SECURE_PROTOCOLS:
            raise NotAcceptable(f"{protocol} without a usable key: {found}")
        if self._policy is SrtpPolicy.MANDATORY:
            raise NotAcceptable(f"SRTP is mandatory here: {found}")
        if self._state.own is not None:
            raise NotAcceptable(f"this call is encrypted and stays so: {found}")

    def _protocol_and_keys(self, *, new_keys: bool) -> tuple[str, tuple[CryptoAttribute, ...]]:
        """Return what an offer of ours says about protection."""
        state = self._state
        mandatory = self._policy is SrtpPolicy.MANDATORY
        if mandatory and not self._keys_allowed:
            raise LocalError(
                "SRTP is mandatory, but the signalling is not encrypted, so that its keys "
                "would travel in clear text; use TLS"
            )
        first_choice = SECURE_PROTOCOLS[0] if mandatory else PLAIN_PROTOCOLS[0]
        protocol = state.negotiated.protocol if state.negotiated else first_choice
        if self._policy is SrtpPolicy.OFF or not self._keys_allowed:
            return protocol, ()
        if state.own is not None:
            if new_keys:
                return protocol, sdes.fresh([state.own.suite], self._random_bytes)
            return protocol, (state.own,)
        if state.negotiated is not None and not new_keys:
            return protocol, ()  # in clear, and stays so unless asked
        return protocol, sdes.fresh(self._suites, self._random_bytes)

    def _inbound_for(self, theirs: CryptoAttribute) -> SrtpContext:
        state = self._state
        if state.inbound is not None and theirs.same_key(state.theirs):
            return state.inbound
        return sdes.context_for(theirs)

    def _offered_direction(self, wish: Direction) -> Direction:
        """On top of the peer's hold, ours is inactive: RFC 3264 section 8.4."""
        audio = self._state.negotiated
        if wish is Direction.SENDONLY and audio is not None and not audio.direction.sends:
            return Direction.INACTIVE
        return wish

    def _origin(self) -> Origin:
        return self._last_sent.origin if self._last_sent else self._first_origin

    def _versioned(self, description: SessionDescription) -> SessionDescription:
        """Count the version up if the description differs from the last (RFC 3264 section 8)."""
        last = self._last_sent
        if last is None or description == last:
            return description
        origin = replace(last.origin, session_version=last.origin.session_version + 1)
        return replace(description, origin=origin)
