"""What each act came to: the third party's findings beside what was really said.

The third party knows nothing of the originals.  They are compared with what it
recovered here, afterwards, by the judge of the demonstration.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..media.wav import WavWriter
from ..trace.audio_evidence import correlation
from ..trace.exposure import Exposure
from ..trace.recovery import RATE_HZ, Protection, StreamExposure
from ..trace.tls_records import TlsConnection
from .ladder import Cast, Row, ladder

#: From here on a recording counts as the original.  G.711 alone leaves 0.99 and up, some
#: lost packets cost a few hundredths; two different voices are under 0.2.
MATCHES_FROM = 0.7

#: Name -> title of the acts, in the order they are played.
TITLES = {
    "clear": "SIP on UDP, RTP in clear",
    "keys-in-clear": "SRTP, its key in clear SIP",
    "secure": "SIP on TLS, SRTP",
}

_NOT_IN_A_FILE_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Heard:
    """One media stream in the third party's hands."""

    title: str
    "Such as ``alice to bob``, or the addresses where no message tells names."

    packets: int
    protection: Protection
    codec: str
    seconds_recovered: float
    is_speech: bool

    saved_as: Path | None
    "The recovered sound, or the noise that an undecrypted stream plays as."

    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActFindings:
    """One act, as the report shows it and ``--json`` prints it."""

    name: str
    "``clear``, ``keys-in-clear`` or ``secure``."

    title: str
    capture_method: str
    sip_messages_captured: int
    sip_messages_readable: int
    tls: tuple[TlsConnection, ...]
    rows: tuple[Row, ...]
    rows_left_out: int
    srtp_key_recovered: bool
    streams: tuple[Heard, ...]
    audio_seconds_recovered: float

    audio_correlation: Mapping[str, float]
    "Speaker -> likeness of the best recovered stream, or of the noise where there is none."

    pcap: Path | None
    "The captured packets, for other tools."

    @property
    def audio_matches_original(self) -> bool:
        """Whether every original was recovered."""
        return self.audio_seconds_recovered > 0 and all(
            value >= MATCHES_FROM for value in self.audio_correlation.values()
        )

    @property
    def verdict(self) -> str:
        """In the words of ``sottovoce audit``."""
        if self.srtp_key_recovered:
            return "keys exposed"
        if self.audio_seconds_recovered > 0:
            return "conversation exposed"
        return "metadata only" if self.sip_messages_readable else "private"

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        return {
            "name": self.name,
            "title": self.title,
            "verdict": self.verdict,
            "capture_method": self.capture_method,
            "sip_messages_captured": self.sip_messages_captured,
            "sip_messages_readable": self.sip_messages_readable,
            "tls_versions": sorted({c.version for c in self.tls if c.version}),
            "tls_records_captured": sum(c.records for c in self.tls),
            "srtp_key_recovered": self.srtp_key_recovered,
            "audio_seconds_recovered": round(self.audio_seconds_recovered, 2),
            "audio_matches_original": self.audio_matches_original,
            "audio_correlation": {
                speaker: round(value, 3) for speaker, value in self.audio_correlation.items()
            },
            "streams": [
                {
                    "title": heard.title,
                    "packets": heard.packets,
                    "protection": heard.protection.value,
                    "codec": heard.codec,
                    "seconds_recovered": round(heard.seconds_recovered, 2),
                    "is_speech": heard.is_speech,
                    "saved_as": str(heard.saved_as) if heard.saved_as else None,
                    "evidence": list(heard.evidence),
                }
                for heard in self.streams
            ],
            "pcap": str(self.pcap) if self.pcap else None,
        }


def demo_document(acts: list[ActFindings]) -> dict[str, Any]:
    """The one document of ``sottovoce demo --json``."""
    return {"acts": [act.to_json() for act in acts]}


def judge_act(
    exposure: Exposure,
    *,
    name: str,
    capture_method: str,
    originals: Mapping[str, bytes],
    folder: Path,
    pcap: bytes = b"",
) -> ActFindings:
    """Save what the third party recovered, and compare it with what was said.

    Args:
        exposure: What :meth:`.Eavesdropper.findings` returned.
        name: Of the act, one of TITLES; file names begin with it.
        capture_method: What :attr:`.Eavesdropper.method` says.
        originals: Speaker -> 16-bit PCM at 8 kHz as it was played into the call.
        folder: Where to save; made if it is not there.
        pcap: What :meth:`.Eavesdropper.pcap` returned.

    Raises:
        OSError: The folder cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    cast = Cast(exposure)
    rows, rows_left_out = ladder(exposure, cast)
    streams = tuple(
        _save(found, cast, number, name, folder) for number, found in enumerate(exposure.streams, 1)
    )
    pcap_file = None
    if pcap:
        pcap_file = folder / f"{name}.pcap"
        pcap_file.write_bytes(pcap)
    return ActFindings(
        name=name,
        title=TITLES[name],
        capture_method=capture_method,
        sip_messages_captured=exposure.sip_messages_captured,
        sip_messages_readable=exposure.sip_messages_readable,
        tls=exposure.tls_connections,
        rows=tuple(rows),
        rows_left_out=rows_left_out,
        srtp_key_recovered=exposure.srtp_key_recovered,
        streams=streams,
        audio_seconds_recovered=exposure.audio_seconds_recovered,
        audio_correlation={
            speaker: max(
                (correlation(pcm, found.pcm or found.noise, RATE_HZ) for found in exposure.streams),
                default=0.0,
            )
            for speaker, pcm in originals.items()
        },
        pcap=pcap_file,
    )


def _save(found: StreamExposure, cast: Cast, number: int, act: str, folder: Path) -> Heard:
    source, destination = found.stream.source, found.stream.destination
    title = cast.speaker(source, destination)
    sound = found.pcm or found.noise
    saved_as = None
    if sound:
        # Names come from a stranger's messages: none of them may lead out of the folder.
        plain = _NOT_IN_A_FILE_NAME.sub("-", title if ":" not in title else f"stream-{number}")
        kind = "" if found.pcm else "-noise"
        saved_as = folder / f"{act}-{number}-{plain}{kind}.wav"
        with saved_as.open("wb") as file:
            writer = WavWriter(file, rate_hz=RATE_HZ)
            writer.write(sound)
            writer.close()
    return Heard(
        title=title,
        packets=found.stream.packets,
        protection=found.protection,
        codec=found.codec,
        seconds_recovered=found.seconds_recovered,
        is_speech=found.speech,
        saved_as=saved_as,
        evidence=found.evidence,
    )
