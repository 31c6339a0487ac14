"""What the SDP bodies of readable SIP messages tell a third party: addresses, codecs, keys.

RFC 8866, RFC 3264, RFC 4568.
"""

import re
from dataclasses import dataclass, field

from ..errors import RemoteError
from ..keying.sdes import CryptoAttribute
from ..sdp import MediaDescription, SessionDescription
from .call_flow import SipMessageSeen
from .event import Endpoint

#: Keys remembered of one capture; each is tried on each stream.
MAX_KEYS = 256

#: Media lines remembered of one capture.
MAX_MEDIA_LINES = 20_000

_CRYPTO_LINE = re.compile(rb"^[ \t]*a=crypto:([^\r\n]{1,1024})", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KeySeen:
    """An SRTP master key that stood in a message anyone could read."""

    frame: int
    sender: Endpoint
    "Who sent the message: whoever encrypts with the key, or a proxy on the way."

    attribute: CryptoAttribute


@dataclass(frozen=True, slots=True)
class MediaSeen:
    """One ``m=`` line of a message that anyone could read."""

    frame: int
    sender: Endpoint
    "Who sent the message."

    receiver: Endpoint
    "Where the author of the SDP wants its media."

    protocol: str
    "Such as ``RTP/SAVP``."

    codecs: dict[int, tuple[str, int]]
    "Payload type -> encoding name in capitals, clock rate in hertz."


@dataclass(slots=True)
class Announcements:
    """Collect keys and media lines; a key or line that comes again is kept once."""

    keys: list[KeySeen] = field(default_factory=list)
    media: list[MediaSeen] = field(default_factory=list)

    def receive_message(self, seen: SipMessageSeen) -> None:
        """Take the next message; one without readable SDP adds nothing."""
        body = seen.message.body if seen.message else b""
        if not body:
            return
        # Looked for as text: a key gives itself away in an SDP that does not parse too.
        for text in _CRYPTO_LINE.findall(body):
            self._receive_key(seen, text.decode("utf-8", "replace"))
        start = body.find(b"v=0")  # in a multipart body the SDP is one part of several
        if start < 0:
            return
        try:
            description = SessionDescription.parse(body[start:].split(b"\r\n--", 1)[0])
        except RemoteError:
            return
        for line in description.media:
            self._receive_media(seen, description, line)

    def announced_for(self, receiver: Endpoint) -> MediaSeen | None:
        """The newest line that asks for media to be sent there."""
        return next((m for m in reversed(self.media) if m.receiver == receiver), None)

    def codec(self, receiver: Endpoint, payload_type: int) -> tuple[str, int] | None:
        """Name and clock rate of a payload type sent there.

        The receiver's own SDP rules (RFC 3264 section 5.1); without one, what any other
        SDP in the capture says.
        """
        own = self.announced_for(receiver)
        for media in [own] if own else reversed(self.media):
            if payload_type in media.codecs:
                return media.codecs[payload_type]
        return None

    def _receive_key(self, seen: SipMessageSeen, text: str) -> None:
        try:
            attribute = CryptoAttribute.parse(text)
        except RemoteError:  # a suite we cannot decrypt, or damaged
            return
        known = any(attribute.same_key(key.attribute) for key in self.keys)
        if not known and len(self.keys) < MAX_KEYS:
            self.keys.append(KeySeen(seen.frame, seen.source, attribute))

    def _receive_media(
        self, seen: SipMessageSeen, description: SessionDescription, line: MediaDescription
    ) -> None:
        connection = description.connection_of(line)
        if line.media != "audio" or not line.port or connection is None:
            return
        codecs = {
            codec.payload_type: (codec.name.upper(), codec.clock_rate_hz) for codec in line.codecs()
        }
        receiver = Endpoint(str(connection.ip or connection.address), line.port)
        newest = self.announced_for(receiver)
        if newest is not None and (newest.protocol, newest.codecs) == (line.protocol, codecs):
            return
        if len(self.media) < MAX_MEDIA_LINES:
            self.media.append(MediaSeen(seen.frame, seen.source, receiver, line.protocol, codecs))
