"""From the packets of a stream to sound, by evidence alone.

The rule, in this order:

1. *Decrypted*: a key that stood in the captured messages opens packets of the stream.
   The tag must verify, so a wrong key opens nothing.  What it opens is recovered.
2. *Clear*: without such a key the payload octets are looked at in blocks of about a
   second.  A block whose octets are evenly spread (chi-square) cannot be told from
   ciphertext and is not recovered, whatever the header or the SDP calls it.  The others
   are decoded when their codec is G.711: by the static payload type, by the SDP, or,
   when neither says, as the law under which the result sounds like speech.
3. *Encrypted*: for a stream with nothing recovered, every way to read it as G.711 is
   tried all the same, both laws, with and without the octets of a tag at the end.  If
   one sounded like speech it would be recovered; what is heard instead is kept, and
   measured.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..errors import RemoteError
from ..keying.sdes import context_for
from ..media import g711
from ..rtp.packet import RtpPacket
from ..rtp.sequence import timestamp_distance
from .announcements import Announcements, KeySeen
from .audio_evidence import chi_square, looks_encrypted, looks_like_speech, spectral_flatness
from .rtp_streams import RtpStreamSeen

RATE_HZ = 8000
_BYTES_PER_SAMPLE = 2

#: RFC 3551 table 4: the static payload types we can decode.
_STATIC_CODECS = {0: "PCMU", 8: "PCMA"}
_LAWS = {"PCMU": g711.decode_mu_law, "PCMA": g711.decode_a_law}

#: A key that opens none of the first packets of a stream is not its key.  Some may be
#: missing: rollover counters cannot be off so early (a sender starts at 0).
_PACKETS_TO_TRY_A_KEY_ON = 50

#: Packets of one block in rule 2: a second at 20 ms.
_BLOCK_PACKETS = 50

#: Octets an SRTP tag may add at the end: none, HMAC-SHA1 cut to 32 and to 80 bits, GCM.
_TAG_BYTES = (0, 4, 10, 16)

#: A timestamp this far from the one before starts a new stretch behind the old one, so
#: that no packet can make the recording endless.
_MAX_JUMP_TICKS = 60 * RATE_HZ

#: Longest recording of a stream: 16-bit samples, so 58 MB.
_MAX_RECORDED_TICKS = 3600 * RATE_HZ


class Protection(Enum):
    """What a third party finds a stream to be."""

    CLEAR = "clear"
    DECRYPTED = "decrypted"
    ENCRYPTED = "encrypted"
    UNKNOWN_CODEC = "clear, but in a codec that is not decoded here"


@dataclass(frozen=True, slots=True)
class StreamExposure:
    """What was made of one stream."""

    stream: RtpStreamSeen
    protection: Protection
    codec: str
    "``PCMU``, ``PCMA``, another name from SDP, or empty."

    seconds_recovered: float
    "Playing time of the packets that were read; pauses between them do not count."

    pcm: bytes
    "What was recovered, 16 bit little-endian at RATE_HZ, packets placed by timestamp."

    speech: bool
    "Whether the recovered sound is somebody speaking."

    key: KeySeen | None
    "The key that opened it."

    attempts: int
    "Ways to read it that were tried without success."

    noise: bytes
    "What a listener hears who plays the undecrypted packets; empty if recovered."

    noise_flatness: float
    "Spectral flatness of that: about 0.56 for white noise."

    evidence: tuple[str, ...]
    "Why, for a person to check."


@dataclass(frozen=True, slots=True)
class _Decoded:
    seconds: float
    pcm: bytes


def recover(stream: RtpStreamSeen, announcements: Announcements) -> StreamExposure:
    """Make of a stream what a third party can."""
    evidence = _describe(stream, announcements)
    for key in announcements.keys:
        opened = _open_with(key, stream)
        if opened:
            name = key.attribute.suite.name
            evidence.append(
                f"the {name} key of frame {key.frame} opens {len(opened)} of "
                f"{stream.packets} packets"
            )
            return _sound_of(stream, opened, announcements, Protection.DECRYPTED, evidence, key)
    packets = _parse(stream.kept)
    clear = _clear_blocks(packets)
    spread = chi_square(b"".join(packet.payload for packet in packets))
    evidence.append(f"payload octets: chi-square {spread:.0f}, ciphertext has 255±23")
    if clear:
        return _sound_of(stream, clear, announcements, Protection.CLEAR, evidence, None)
    return _try_everything(stream, packets, evidence)


def _describe(stream: RtpStreamSeen, announcements: Announcements) -> list[str]:
    announced = announcements.announced_for(stream.destination)
    if announced is None:
        return ["no readable message announces this stream"]
    return [f"announced as {announced.protocol} in frame {announced.frame}"]


def _open_with(key: KeySeen, stream: RtpStreamSeen) -> list[RtpPacket]:
    """Decrypt what a key opens; empty if it is not this stream's key."""
    context = context_for(key.attribute)
    opened = []
    for tried, octets in enumerate(stream.kept, 1):
        try:
            opened.append(RtpPacket.parse(context.unprotect(octets)))
        except RemoteError:
            if not opened and tried >= _PACKETS_TO_TRY_A_KEY_ON:
                break
    return opened


def _parse(kept: Iterable[bytes]) -> list[RtpPacket]:
    packets = []
    for octets in kept:
        try:
            packets.append(RtpPacket.parse(octets))
        except RemoteError:
            continue
    return packets


def _clear_blocks(packets: list[RtpPacket]) -> list[RtpPacket]:
    """Return the packets of the blocks that are not evenly spread octets."""
    clear: list[RtpPacket] = []
    # The last block takes the rest, so that no block is too small to judge.
    blocks = max(1, len(packets) // _BLOCK_PACKETS)
    for number in range(blocks):
        start = number * _BLOCK_PACKETS
        end = start + _BLOCK_PACKETS if number < blocks - 1 else len(packets)
        block = packets[start:end]
        if not looks_encrypted(b"".join(packet.payload for packet in block)):
            clear += block
    return clear


def _sound_of(
    stream: RtpStreamSeen,
    packets: list[RtpPacket],
    announcements: Announcements,
    protection: Protection,
    evidence: list[str],
    key: KeySeen | None,
) -> StreamExposure:
    """Decode packets that are in clear, or were decrypted."""
    payload_type = stream.payload_type
    codec, rate_hz = announcements.codec(stream.destination, payload_type) or (
        _STATIC_CODECS.get(payload_type, ""),
        RATE_HZ,
    )
    audio = [packet for packet in packets if packet.payload_type == payload_type]
    decoded = _Decoded(0.0, b"")
    if not codec:
        guesses = {law: _decode(audio, law) for law in _LAWS}
        # Both laws may sound like speech; the wrong one is harsher.
        codec = min(guesses, key=lambda law: spectral_flatness(guesses[law].pcm, RATE_HZ))
        if looks_like_speech(guesses[codec].pcm, RATE_HZ):
            decoded = guesses[codec]
            evidence.append(f"payload type {payload_type} sounds like speech read as {codec}")
        else:
            codec = ""
    elif codec in _LAWS and rate_hz == RATE_HZ:
        decoded = _decode(audio, codec)
    if not decoded.pcm:
        if protection is Protection.CLEAR:
            protection = Protection.UNKNOWN_CODEC
        evidence.append(f"payload type {payload_type} {codec or 'of no announced codec'}: not read")
    return StreamExposure(
        stream=stream,
        protection=protection,
        codec=codec,
        seconds_recovered=decoded.seconds,
        pcm=decoded.pcm,
        speech=looks_like_speech(decoded.pcm, RATE_HZ),
        key=key,
        attempts=0,
        noise=b"",
        noise_flatness=0.0,
        evidence=tuple(evidence),
    )


def _try_everything(
    stream: RtpStreamSeen, packets: list[RtpPacket], evidence: list[str]
) -> StreamExposure:
    """Read as G.711 what looks encrypted, in every way there is, and listen."""
    likely_tag = _likely_tag_bytes(packets)
    if likely_tag:
        evidence.append(f"payloads are whole frames of G.711 and {likely_tag} octets: an SRTP tag")
    ways = {
        (law, tag_bytes): _decode(packets, law, tag_bytes)
        for law in _LAWS
        for tag_bytes in _TAG_BYTES
    }
    heard = next(
        (way for way, sound in ways.items() if looks_like_speech(sound.pcm, RATE_HZ)), None
    )
    if heard is not None:
        evidence.append(f"read as {heard[0]} it sounds like speech")
    law = _STATIC_CODECS.get(stream.payload_type, "PCMU")
    noise = ways[(law, likely_tag)]
    flatness = spectral_flatness(noise.pcm, RATE_HZ)
    if heard is None:
        evidence.append(
            f"read as G.711 in {len(ways)} ways: none is speech; spectral flatness "
            f"{flatness:.2f}, white noise has 0.56"
        )
    sound = ways[heard] if heard else _Decoded(0.0, b"")
    return StreamExposure(
        stream=stream,
        protection=Protection.CLEAR if heard else Protection.ENCRYPTED,
        codec=heard[0] if heard else "",
        seconds_recovered=sound.seconds,
        pcm=sound.pcm,
        speech=heard is not None,
        key=None,
        attempts=0 if heard else len(ways),
        noise=b"" if heard else noise.pcm,
        noise_flatness=flatness,
        evidence=tuple(evidence),
    )


def _likely_tag_bytes(packets: list[RtpPacket]) -> int:
    """Octets beyond whole 10 ms frames in most payloads, if a tag has that size; else 0."""
    for tag_bytes in _TAG_BYTES[1:]:
        fitting = sum(
            len(packet.payload) > tag_bytes and (len(packet.payload) - tag_bytes) % 80 == 0
            for packet in packets
        )
        if packets and fitting > 0.9 * len(packets):
            return tag_bytes
    return 0


def _decode(packets: Iterable[RtpPacket], law: str, tag_bytes: int = 0) -> _Decoded:
    """Decode and place by timestamp; what comes twice is heard once, what is missing is silent."""
    decode = _LAWS[law]
    recording = bytearray()
    ticks = 0
    origin = previous = None
    placed: set[int] = set()
    for packet in packets:
        payload = packet.payload[: len(packet.payload) - tag_bytes]
        if origin is None or previous is None:
            origin = previous = packet.timestamp
        if abs(timestamp_distance(packet.timestamp, previous)) > _MAX_JUMP_TICKS:
            origin = packet.timestamp - len(recording) // _BYTES_PER_SAMPLE
        previous = packet.timestamp
        at = timestamp_distance(packet.timestamp, origin & 0xFFFF_FFFF)
        if at < 0 or at in placed or at + len(payload) > _MAX_RECORDED_TICKS:
            continue
        placed.add(at)
        ticks += len(payload)
        start = at * _BYTES_PER_SAMPLE
        if len(recording) < start:
            recording += bytes(start - len(recording))
        samples = decode(payload)
        recording[start : start + len(samples)] = samples
    return _Decoded(ticks / RATE_HZ, bytes(recording))
