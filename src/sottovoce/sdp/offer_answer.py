"""Offer and answer for one audio stream.  RFC 3264.

The functions here know nothing of keys: what stands in ``a=crypto`` lines comes in as
text and is judged by :mod:`sottovoce.keying.negotiation`, which most callers want.
All ``m=`` lines of an offer are answered, one of them with audio, the others refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..errors import RemoteError
from .description import MediaDescription, SessionDescription
from .line_values import Attribute, Connection, Direction, Origin, shown
from .rtp_map import DYNAMIC_PAYLOAD_TYPES, TELEPHONE_EVENT, RtpCodec

PLAIN_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")
SECURE_PROTOCOLS = ("RTP/SAVP", "RTP/SAVPF")

TELEPHONE_EVENTS = "0-15"
"Digits, star, hash and A to D (RFC 4733 section 2.5.2.2)."

MIN_PTIME_MS, MAX_PTIME_MS = 10, 120
"What codecs of telephony are packed in; G.711 of 120 ms still fits an MTU."

# Warning codes, RFC 3261 section 20.43.
WRONG_ADDRESS, WRONG_PROTOCOL, WRONG_MEDIA, WRONG_FORMAT, MISCELLANEOUS = 301, 302, 304, 305, 399


class NotAcceptable(RemoteError):
    """An offer or answer that cannot become a call; the text is fit for a Warning header.

    Args:
        message: What was found and what was expected.
        warning_code: For the Warning header (RFC 3261 section 20.43).
        status_hint: SIP status to answer an offer with.

    """

    def __init__(
        self, message: str, *, warning_code: int = MISCELLANEOUS, status_hint: int = 488
    ) -> None:
        super().__init__(message)
        self.warning_code = warning_code
        self.status_hint = status_hint


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """What our side wants of an audio stream."""

    address: str
    "IP address at which we receive."

    port: int
    "RTP port; RTCP is received at the next one."

    codecs: tuple[RtpCodec, ...]
    "In order of preference, with the payload types that our offers give them."

    telephone_event_payload_type: int | None = 101
    "None for no telephone events."

    ptime_ms: int = 20
    "Audio in each packet that we ask for, and send where the peer asks for nothing."

    direction: Direction = Direction.SENDRECV

    rtcp_mux: bool = False
    "Offer, and accept, RTCP on the RTP port (RFC 5761)."


@dataclass(frozen=True, slots=True)
class NegotiatedAudio:
    """What offer and answer came to, seen from our side."""

    remote_address: str
    "IP address; 0.0.0.0 or :: while the peer takes nothing."

    remote_port: int

    remote_rtcp: tuple[str, int]
    "Where our RTCP goes: ``a=rtcp``, the RTP port with rtcp-mux, else the port after it."

    rtcp_mux: bool

    send_codec: RtpCodec
    "Its payload type is the one that the peer listed, its fmtp what the peer asks for."

    receive_codecs: tuple[RtpCodec, ...]
    "All that the peer may send, with the payload types that we listed."

    send_event_payload_type: int | None
    "Payload type of telephone events to the peer; None: not negotiated."

    receive_event_payload_type: int | None
    "Payload type of telephone events from the peer; None: not negotiated."

    ptime_ms: int
    "Audio in each packet we send."

    direction: Direction
    "From our side: may we send, will we receive."

    protocol: str
    "As both wrote it."

    media_index: int
    "Which ``m=`` line, from 0."

    remote_crypto: str | None = field(default=None, repr=False)
    "The peer's ``a=crypto`` value in force; None: the media is not encrypted."

    @property
    def encrypted(self) -> bool:
        """True if the media is protected by SRTP."""
        return self.remote_crypto is not None

    @property
    def receive_payload_types(self) -> dict[int, RtpCodec]:
        """What each payload type in packets from the peer stands for."""
        return {codec.payload_type: codec for codec in self.receive_codecs}


def make_offer(
    local: LocalAudio,
    *,
    origin: Origin,
    protocol: str = PLAIN_PROTOCOLS[0],
    crypto: Iterable[str] = (),
    previous: SessionDescription | None = None,
    media_index: int = 0,
) -> SessionDescription:
    """Make a first offer, or a new one within a call.

    Args:
        local: What we want.
        origin: The ``o=`` line; the caller counts its version.
        protocol: ``RTP/SAVP`` demands the crypto lines, ``RTP/AVP`` beside them asks for
            them (RFC 8643).
        crypto: Values of ``a=crypto`` lines in order of preference.
        previous: Our last description in this call: its ``m=`` lines stay, and its
            payload types keep their meaning (RFC 3264 section 8).
        media_index: Which of its ``m=`` lines is the audio.

    """
    listed = previous.media[media_index].codecs() if previous else ()
    codecs = _numbered((*local.codecs, *_events_for(local)), listed)
    audio = _audio_media(local, codecs, protocol, local.direction, crypto, mux=local.rtcp_mux)
    media = [_refused(line) for line in previous.media] if previous else [audio]
    media[media_index] = audio
    return SessionDescription(origin, tuple(media), Connection.to(local.address))


def make_answer(
    offer: SessionDescription,
    local: LocalAudio,
    *,
    origin: Origin,
    media_index: int | None = None,
    crypto: str | None = None,
) -> SessionDescription:
    """Answer an offer: one ``m=`` line with audio, port 0 for the others.

    Args:
        offer: The peer's offer.
        local: What we want; the direction is narrowed to what the offer allows.
        origin: The ``o=`` line; the caller counts its version.
        media_index: Which ``m=`` line to accept; the first usable one if None.
        crypto: Value of our ``a=crypto`` line.

    Raises:
        NotAcceptable: There is nothing to accept; the text says why.

    """
    if media_index is None:
        media_index = first_usable_audio(offer, local)
    else:
        check_usable_audio(offer, media_index, local)
    offered = offer.media[media_index]
    if crypto is None and offered.protocol.upper() in SECURE_PROTOCOLS:
        raise NotAcceptable(f"{offered.protocol} cannot be answered without a key")
    pairs = _common(local.codecs, offered.codecs())
    # The offer's payload types are used the other way too: RFC 3264 section 6.1.
    codecs = [replace(ours, payload_type=theirs.payload_type) for ours, theirs in pairs]
    if local.telephone_event_payload_type is not None:
        event = _event_at(codecs[0].clock_rate_hz, offered.codecs())
        codecs += [replace(event, fmtp=TELEPHONE_EVENTS)] if event else []
    audio = _audio_media(
        local,
        codecs,
        offered.protocol,
        local.direction.meet(offer.direction_of(offered).reversed),
        [crypto] if crypto is not None else [],
        mux=local.rtcp_mux and _wants_mux(offered),
    )
    media = [_refused(line) for line in offer.media]
    media[media_index] = audio
    return SessionDescription(origin, tuple(media), Connection.to(local.address))


def judge_answer(
    offer: SessionDescription, answer: SessionDescription, local: LocalAudio, media_index: int = 0
) -> NegotiatedAudio:
    """Check an answer against our offer and return what they came to.

    Raises:
        NotAcceptable: The answer breaks RFC 3264, refuses the audio, or names what was
            not offered.

    """
    if len(answer.media) != len(offer.media):
        raise NotAcceptable(
            f"the answer has {len(answer.media)} m= lines, the offer {len(offer.media)}"
        )
    ours, theirs = offer.media[media_index], answer.media[media_index]
    if theirs.media.lower() == "audio" and theirs.port == 0:
        raise NotAcceptable("the peer refused the audio", warning_code=WRONG_MEDIA)
    if theirs.protocol.upper() != ours.protocol.upper():
        raise NotAcceptable(
            f"{ours.protocol} was offered, {shown(theirs.protocol)} answered",
            warning_code=WRONG_PROTOCOL,
        )
    check_usable_audio(answer, media_index, local)
    pairs = _common(theirs.codecs(), _audio_codecs(ours))
    if not pairs:
        raise NotAcceptable("the answer names no codec of the offer", warning_code=WRONG_FORMAT)
    swapped = [(one, other) for other, one in pairs]
    return _negotiated(offer, answer, local, media_index, swapped)


def negotiated_by_answer(
    offer: SessionDescription, answer: SessionDescription, local: LocalAudio, media_index: int
) -> NegotiatedAudio:
    """Return what a peer's offer and our answer, made by :func:`make_answer`, came to."""
    pairs = _common(_audio_codecs(answer.media[media_index]), offer.media[media_index].codecs())
    return _negotiated(answer, offer, local, media_index, pairs)


def first_usable_audio(offer: SessionDescription, local: LocalAudio) -> int:
    """Return the index of the first ``m=`` line that fits; raises :exc:`NotAcceptable`."""
    refusals = []
    for media_index in range(len(offer.media)):
        try:
            check_usable_audio(offer, media_index, local)
        except NotAcceptable as refusal:
            refusals.append((offer.media[media_index].media.lower() != "audio", refusal))
        else:
            return media_index
    if not refusals:
        raise NotAcceptable("the offer has no m= line", warning_code=WRONG_MEDIA)
    raise min(refusals, key=lambda item: item[0])[1]


def check_usable_audio(
    description: SessionDescription, media_index: int, local: LocalAudio
) -> None:
    """Raise :exc:`NotAcceptable` unless an ``m=`` line of the peer is audio that fits us."""
    media = description.media[media_index]
    if media.media.lower() != "audio":
        raise NotAcceptable(f"{shown(media.media)} is not audio", warning_code=WRONG_MEDIA)
    if media.port == 0:
        raise NotAcceptable("the audio is switched off (port 0)", warning_code=WRONG_MEDIA)
    if media.protocol.upper() not in PLAIN_PROTOCOLS + SECURE_PROTOCOLS:
        raise NotAcceptable(
            f"protocol {shown(media.protocol)} is not RTP/SAVP or RTP/AVP",
            warning_code=WRONG_PROTOCOL,
        )
    _check_address(description.connection_of(media), local)
    if not _common(local.codecs, media.codecs()):
        names = ", ".join(codec.name for codec in local.codecs)
        raise NotAcceptable(f"no codec in common; here: {names}", warning_code=WRONG_FORMAT)


def _check_address(connection: Connection | None, local: LocalAudio) -> None:
    """Where the peer may have us send: one host, in the family of our own socket."""
    if connection is None:
        raise NotAcceptable("c= is missing", warning_code=WRONG_ADDRESS)
    ip = connection.ip
    if ip is None:  # looking up a name the peer chose is not for the media path
        raise NotAcceptable(
            f"c= has {shown(connection.address)}, not an IP address", warning_code=WRONG_ADDRESS
        )
    if ip.is_unspecified:
        return
    if ip.is_multicast or str(ip) == "255.255.255.255":
        raise NotAcceptable(f"c= has {ip}, which is not one host", warning_code=WRONG_ADDRESS)
    if (ip.version == 6) != (":" in local.address):
        raise NotAcceptable(
            f"c= has {ip}, of another family than {local.address}", warning_code=WRONG_ADDRESS
        )


def _audio_media(
    local: LocalAudio,
    codecs: Sequence[RtpCodec],
    protocol: str,
    direction: Direction,
    crypto: Iterable[str],
    *,
    mux: bool,
) -> MediaDescription:
    attributes = []
    for codec in codecs:
        attributes.append(Attribute("rtpmap", codec.rtpmap))
        if codec.fmtp:
            attributes.append(Attribute("fmtp", f"{codec.payload_type} {codec.fmtp}"))
    attributes.append(Attribute("ptime", str(local.ptime_ms)))
    attributes += [Attribute("rtcp-mux")] if mux else []
    attributes += [Attribute("crypto", value) for value in crypto]
    attributes.append(Attribute(direction.value))
    formats = tuple(str(codec.payload_type) for codec in codecs)
    return MediaDescription("audio", local.port, protocol, formats, attributes=tuple(attributes))


def _refused(media: MediaDescription) -> MediaDescription:
    """Port 0; type, protocol and formats as they were (RFC 3264 sections 6 and 8.2)."""
    return MediaDescription(media.media, 0, media.protocol, media.formats or ("0",))


def _events_for(local: LocalAudio) -> list[RtpCodec]:
    """Return a telephone-event format for each clock rate in use (RFC 4733 section 7.1.1)."""
    first = local.telephone_event_payload_type
    if first is None:
        return []
    rates = dict.fromkeys(codec.clock_rate_hz for codec in local.codecs)
    return [
        RtpCodec(TELEPHONE_EVENT, rate, 1, first + place, TELEPHONE_EVENTS)
        for place, rate in enumerate(rates)
    ]


def _numbered(wanted: Iterable[RtpCodec], listed: Iterable[RtpCodec]) -> list[RtpCodec]:
    """Give codecs the payload types they had; no number ever changes its meaning in a call."""
    known = {codec.identity: codec.payload_type for codec in listed}
    taken, numbered = set(known.values()), []
    for codec in wanted:
        number = known.get(codec.identity)
        if number is None:
            free = (choice for choice in DYNAMIC_PAYLOAD_TYPES if choice not in taken)
            own = codec.payload_type
            number = own if own not in taken else next(free, own)
            taken.add(number)
        numbered.append(replace(codec, payload_type=number))
    return numbered


def _common(one: Iterable[RtpCodec], other: Iterable[RtpCodec]) -> list[tuple[RtpCodec, RtpCodec]]:
    """Pair the audio codecs both sides list, in the first one's order."""
    by_identity: dict[tuple[str, int, int], RtpCodec] = {}
    for codec in other:
        by_identity.setdefault(codec.identity, codec)
    by_identity = {key: codec for key, codec in by_identity.items() if key[0] != TELEPHONE_EVENT}
    return [(codec, by_identity[codec.identity]) for codec in one if codec.identity in by_identity]


def _audio_codecs(media: MediaDescription) -> list[RtpCodec]:
    return [codec for codec in media.codecs() if codec.name.lower() != TELEPHONE_EVENT]


def _event_at(clock_rate_hz: int, codecs: Iterable[RtpCodec]) -> RtpCodec | None:
    """Find the telephone events whose durations count on the audio's clock."""
    for codec in codecs:
        if codec.identity[:2] == (TELEPHONE_EVENT, clock_rate_hz):
            return codec
    return None


def _wants_mux(media: MediaDescription) -> bool:
    return bool(media.values("rtcp-mux"))


def _negotiated(
    ours: SessionDescription,
    theirs: SessionDescription,
    local: LocalAudio,
    media_index: int,
    pairs: Sequence[tuple[RtpCodec, RtpCodec]],
) -> NegotiatedAudio:
    """Combine the descriptions of both sides; pairs are (ours, theirs) in the answer's order."""
    our_media, their_media = ours.media[media_index], theirs.media[media_index]
    first, wanted = pairs[0]
    our_event = _event_at(first.clock_rate_hz, our_media.codecs())
    their_event = _event_at(first.clock_rate_hz, their_media.codecs())
    both = our_event is not None and their_event is not None
    connection = theirs.connection_of(their_media)
    address = connection.address if connection else ""
    mux = _wants_mux(our_media) and _wants_mux(their_media)
    return NegotiatedAudio(
        remote_address=address,
        remote_port=their_media.port,
        remote_rtcp=(address, their_media.port) if mux else _rtcp(their_media, address, local),
        rtcp_mux=mux,
        send_codec=replace(first, payload_type=wanted.payload_type, fmtp=wanted.fmtp),
        receive_codecs=tuple(codec for codec, _ in pairs),
        send_event_payload_type=their_event.payload_type if both and their_event else None,
        receive_event_payload_type=our_event.payload_type if both and our_event else None,
        ptime_ms=_send_ptime_ms(their_media, local),
        direction=ours.direction_of(our_media).meet(theirs.direction_of(their_media).reversed),
        protocol=our_media.protocol,
        media_index=media_index,
    )


def _rtcp(media: MediaDescription, address: str, local: LocalAudio) -> tuple[str, int]:
    port, own_address = media.rtcp or (min(media.port + 1, 65_535), None)
    if own_address is not None:
        connection = Connection.to(own_address)
        try:
            _check_address(connection, local)
        except NotAcceptable:
            return address, port
        return own_address, port
    return address, port


def _send_ptime_ms(media: MediaDescription, local: LocalAudio) -> int:
    """What the peer asks for, in whole tens, as far as it makes sense (RFC 3264 section 6.1)."""
    wanted = media.ptime_ms
    if wanted is None or wanted % 10 or not MIN_PTIME_MS <= wanted <= MAX_PTIME_MS:
        wanted = local.ptime_ms
    most = media.maxptime_ms
    if most is not None and wanted > most >= MIN_PTIME_MS:
        wanted = most - most % 10
    return wanted
