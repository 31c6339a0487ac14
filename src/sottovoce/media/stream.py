"""What a media session is told, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..sdp import Direction
from .codec import PCMU, Codec

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class AudioStream:
    """One negotiated audio stream."""

    remote_address: Address
    "Where the peer's SDP wants RTP; an unspecified address or port 0 is never sent to."

    rtcp_address: Address | None
    "Where it wants RTCP; None to send none."

    codec: Codec = PCMU
    "What we send."

    payload_type: int = 0
    "Of what we send: the number that the peer listed."

    receive_payload_types: Mapping[int, Codec] = field(default_factory=lambda: {0: PCMU})
    "The numbers that we listed."

    direction: Direction = Direction.SENDRECV

    event_payload_type: int | None = None
    "telephone-event as the peer listed it; None: digits cannot be sent."

    receive_event_payload_type: int | None = None
    "telephone-event as we listed it."

    def __post_init__(self) -> None:
        for payload_type in (
            self.payload_type,
            self.event_payload_type,
            *self.receive_payload_types,
        ):
            # RFC 5761 section 4: with the marker bit, 64 to 95 would read as RTCP.
            if payload_type is not None and not (
                0 <= payload_type < 64 or 96 <= payload_type < 128
            ):
                raise ValueError(f"payload type {payload_type} is not in 0..63 or 96..127")


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """The other side pressed a key; reported once, when it was released."""

    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ByeReceived:
    """The source said that it leaves (RTCP BYE); the call is SIP's to end."""

    ssrc: int


@dataclass(frozen=True, slots=True)
class MediaStatistics:
    """A session in numbers."""

    packets_sent: int
    "RTP."

    packets_received: int
    "RTP packets accepted: authentic on a secured session, from the right address on a clear one."

    packets_authenticated: int
    "Those whose SRTP tag was verified; 0 on a clear session."

    packets_refused: int
    "RTP packets dropped: forged, replayed, in clear on a secured session, malformed, or foreign."

    packets_lost: int
    "Expected less received (RFC 3550 section A.3), all sources; never negative."

    packets_late: int
    "Accepted, but after their turn to be played."

    jitter_ms: float
    "Interarrival jitter of the present source (RFC 3550 section 6.4.1)."

    round_trip_ms: float | None
    "By the last report block on us (RFC 3550 section 6.4.1); None before one."

    audio_seconds_received: float
    "Decoded from packets: what concealment made up is not in it."

    audio_seconds_sent: float
    "Written by the application; the silence between is not in it."

    level_in_dbov: float
    "RMS of the last frame played; -127 is digital silence."

    level_out_dbov: float
    "RMS of the last frame sent."

    dtmf_received: str
    "The last digits, oldest first."

    buffer_ms: float
    "What the jitter buffer adds to the delay at present."

    frames_concealed: int
    "Frames that a repeat or silence stood in for."

    frames_overflowed: int
    "Received frames dropped because the application did not read them."

    rtcp_packets_refused: int
    "RTCP datagrams dropped: forged, in clear on a secured session, malformed, or foreign."

    secured: bool
    "SRTP in both directions."
