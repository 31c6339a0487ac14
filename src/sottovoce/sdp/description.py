"""Session descriptions: parse and serialize.  RFC 8866 (and RFC 4566, which phones still speak).

Liberal where the field is: bare LF, an empty ``s=``, unknown lines and attributes are
taken and kept.  Strict where a wrong guess would do harm: ports, the shape of ``o=``,
``c=`` and ``m=`` lines, lines in the wrong section, sizes.

Lines come out in the order of RFC 8866 section 5; lines of one type keep their order,
those of a type the RFC does not know follow the attributes of their section.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import LocalError, ParseError
from .key_lines import redact
from .line_values import Attribute, Connection, Direction, Origin, shown, words_of
from .rtp_map import RtpCodec, codecs_of

#: More than a SIP message over UDP can carry, and ten times what WebRTC browsers send.
MAX_DESCRIPTION_BYTES = 65_535
#: Room for a MIKEY message with certificates in ``a=key-mgmt``, the longest line of use.
MAX_LINE_BYTES = 8_192
#: A browser's offer has some 300; each line costs an object.
MAX_LINES = 1_000
#: Each needs an answer of its own; a conference offer has a dozen.
MAX_MEDIA = 32

#: Types whose lines are kept as text, in order of output.
_SESSION_ORDER = "iuepbrzk"
_MEDIA_ORDER = "icbk"

_BANDWIDTH = re.compile(r"b=([!-9;-~]{1,32}):([0-9]{1,10})")
_MEDIA_PORT = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")
_RTCP = re.compile(r"([0-9]{1,5})(?: IN IP[46] ([^ ]+))?")  # RFC 3605
_DIRECTIONS = {direction.value: direction for direction in Direction}
_FORBIDDEN = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True, repr=False)
class MediaDescription:
    """An ``m=`` line with the lines that belong to it (RFC 8866 section 5.14)."""

    media: str
    "``audio``, ``video``, ``image``, …"

    port: int
    "0 for a stream that is refused or switched off."

    protocol: str
    "As written: ``RTP/AVP``, ``RTP/SAVP``, ``udptl``, …"

    formats: tuple[str, ...]
    "Payload types, in order of preference, where the protocol is RTP."

    connection: Connection | None = None
    "None where the line of the session counts."

    attributes: tuple[Attribute, ...] = ()
    port_count: int = 1

    other_lines: tuple[str, ...] = ()
    "Whole lines of all other types, known and unknown, in order of output."

    def values(self, name: str) -> list[str]:
        """Return the values of the attributes of that name; of a flag, the empty text."""
        return [item.value or "" for item in self.attributes if item.name == name]

    @property
    def direction(self) -> Direction | None:
        """What this block itself says; see :meth:`SessionDescription.direction_of`."""
        return _direction(self.attributes)

    def codecs(self) -> tuple[RtpCodec, ...]:
        """Return the codecs in order of preference; nothing where the protocol is not RTP."""
        if "RTP/" not in self.protocol.upper():
            return ()
        return codecs_of(self.formats, self.values("rtpmap"), self.values("fmtp"))

    @property
    def rtcp(self) -> tuple[int, str | None] | None:
        """Port and, where it differs, address of ``a=rtcp`` (RFC 3605); None without one."""
        for value in self.values("rtcp")[:1]:
            match = _RTCP.fullmatch(value)
            if match and 0 < int(match[1]) <= 65_535:
                return int(match[1]), match[2]
        return None

    @property
    def ptime_ms(self) -> int | None:
        """``a=ptime``: how much audio the sender of this wants in each packet."""
        return _milliseconds(self.values("ptime"))

    @property
    def maxptime_ms(self) -> int | None:
        """``a=maxptime``: how much audio in a packet the sender of this takes at most."""
        return _milliseconds(self.values("maxptime"))

    @property
    def bandwidth(self) -> dict[str, int]:
        """The ``b=`` lines by modifier: AS and CT in kbit/s, TIAS, RS and RR in bit/s."""
        return _bandwidth(self.other_lines)

    def lines(self) -> list[str]:
        """Return the lines as they are sent, without their ends."""
        port = f"{self.port}/{self.port_count}" if self.port_count != 1 else str(self.port)
        before, after = _split(self.other_lines, "i")
        between, after = _split(after, _MEDIA_ORDER)
        return [
            " ".join([f"m={self.media}", port, self.protocol, *self.formats]),
            *before,
            *([f"c={self.connection}"] if self.connection else []),
            *between,
            *(f"a={attribute}" for attribute in self.attributes),
            *after,
        ]

    def __repr__(self) -> str:
        return f"MediaDescription({redact(chr(10).join(self.lines()))!r})"


@dataclass(frozen=True, slots=True, repr=False)
class SessionDescription:
    """A whole description.  Its ``repr`` does not show SRTP keys."""

    origin: Origin
    media: tuple[MediaDescription, ...] = ()
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    session_name: str = "-"

    times: tuple[str, ...] = ("0 0",)
    "Values of the ``t=`` lines; ``0 0`` is for ever."

    other_lines: tuple[str, ...] = ()
    "Whole lines of all other types, known and unknown, in order of output."

    @classmethod
    def parse(cls, raw: bytes | str) -> "SessionDescription":
        """Read a description.

        Raises:
            ParseError: It breaks the grammar, or goes over a limit of this module.

        """
        head, *blocks = _sections(_numbered_lines(raw))
        media = tuple(_parse_media(block) for block in blocks)
        return _parse_session(head, media)

    def to_bytes(self) -> bytes:
        """Serialize.

        Raises:
            LocalError: A value holds a line end or NUL, so that it would read as other lines.

        """
        lines = self._lines()
        for line in lines:
            if _FORBIDDEN.search(line):
                raise LocalError(f"{shown(line)} holds a line end or NUL")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")

    __bytes__ = to_bytes

    def values(self, name: str) -> list[str]:
        """Return the values of the session's own attributes of that name."""
        return [item.value or "" for item in self.attributes if item.name == name]

    @property
    def bandwidth(self) -> dict[str, int]:
        """The session's own ``b=`` lines by modifier."""
        return _bandwidth(self.other_lines)

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return the ``c=`` line that counts for one of the media blocks."""
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> Direction:
        """Return the direction that counts for one of the media blocks.

        The address 0.0.0.0 means that nothing may be sent there: RFC 3264 section 8.4,
        the hold of RFC 2543.
        """
        direction = media.direction or _direction(self.attributes) or Direction.SENDRECV
        connection = self.connection_of(media)
        if connection and connection.ip is not None and connection.ip.is_unspecified:
            return direction.meet(Direction.SENDONLY)
        return direction

    def _lines(self) -> list[str]:
        before, after = _split(self.other_lines, "iuep")
        bandwidth, after = _split(after, "b")
        between, after = _split(after, _SESSION_ORDER)
        return [
            "v=0",
            f"o={self.origin}",
            f"s={self.session_name}",
            *before,
            *([f"c={self.connection}"] if self.connection else []),
            *bandwidth,
            *(f"t={time}" for time in self.times),
            *between,
            *(f"a={attribute}" for attribute in self.attributes),
            *after,
            *(line for media in self.media for line in media.lines()),
        ]

    def __repr__(self) -> str:
        return f"SessionDescription({redact(chr(10).join(self._lines()))!r})"


@dataclass(slots=True)
class _Section:
    """The lines of the session or of one media block, sorted by type."""

    first: str = ""
    by_type: dict[str, list[str]] = field(default_factory=dict)

    def take(self, letter: str) -> list[str]:
        return self.by_type.pop(letter, [])

    def take_one(self, letter: str) -> str:
        values = self.take(letter)
        if len(values) != 1:
            raise ParseError(f"{letter}= stands {len(values)} times where once was expected")
        return values[0]

    def take_rest(self, order: str) -> tuple[str, ...]:
        """Hand over what is left as whole lines, in order of output."""
        known = [letter for letter in order if letter in self.by_type]
        letters = known + [letter for letter in self.by_type if letter not in known]
        return tuple(f"{letter}={value}" for letter in letters for value in self.by_type[letter])


def _numbered_lines(raw: bytes | str) -> Iterable[tuple[int, str]]:
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "replace")
    if len(raw) > MAX_DESCRIPTION_BYTES:
        raise ParseError(
            f"session description of {len(raw)} octets is over {MAX_DESCRIPTION_BYTES}"
        )
    lines = raw.split(b"\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise ParseError(f"session description has over {MAX_LINES} lines")
    for number, octets in enumerate(lines, 1):
        if len(octets) > MAX_LINE_BYTES:
            raise ParseError(f"line {number} of {len(octets)} octets is over {MAX_LINE_BYTES}")
        # Names in another character set than UTF-8 must not cost anybody a call.
        line = octets.removesuffix(b"\r").decode("utf-8", "replace")
        if _FORBIDDEN.search(line):
            raise ParseError(f"line {number} holds CR or NUL")
        if line:
            yield number, line


def _sections(lines: Iterable[tuple[int, str]]) -> list[_Section]:
    """Sort lines by section and type, the session first."""
    sections = [_Section()]
    for number, line in lines:
        letter, value = line[0], line[2:]
        if line[1:2] != "=":
            raise ParseError(f"line {number}: {shown(line)} is not of the form type=value")
        if letter != "s":
            value = value.rstrip(" \t")
            if value[:1] in (" ", "\t"):
                raise ParseError(f"line {number}: blank after {letter}=")
        if not sections[0].by_type and line.rstrip(" ") != "v=0":
            raise ParseError(f"line {number}: {shown(line)} where v=0 was expected")
        if letter == "m":
            sections.append(_Section(value))
            if len(sections) > MAX_MEDIA + 1:
                raise ParseError(f"over {MAX_MEDIA} m= lines", status_hint=488)
        elif len(sections) > 1 and letter in "vost":
            raise ParseError(f"line {number}: {letter}= after m=, where it cannot stand")
        else:
            # Departs from RFC 8866 section 5: a type it does not know should spoil the whole
            # description; phones of one vendor or another send such lines, so they are kept.
            sections[-1].by_type.setdefault(letter, []).append(value)
    return sections


def _parse_session(head: _Section, media: tuple[MediaDescription, ...]) -> SessionDescription:
    head.take_one("v")
    origin, name = Origin.parse(head.take_one("o")), head.take_one("s")
    times = tuple(head.take("t"))
    if not times:
        raise ParseError("t= is missing")
    connection = Connection.parse(head.take_one("c")) if "c" in head.by_type else None
    attributes = tuple(Attribute.parse(value) for value in head.take("a"))
    rest = head.take_rest(_SESSION_ORDER)
    return SessionDescription(origin, media, connection, attributes, name, times, rest)


def _parse_media(block: _Section) -> MediaDescription:
    words = words_of(block.first)
    if len(words) < 3:
        raise ParseError(f"m={shown(block.first)}: media, port, protocol and formats expected")
    media, port_text, protocol, *formats = words
    match = _MEDIA_PORT.fullmatch(port_text)
    if match is None or int(match[1]) > 65_535:
        raise ParseError(f"m={media}: port {shown(port_text)} is not in 0 to 65535")
    port, port_count = int(match[1]), int(match[2] or 1)
    if port_count == 0:
        raise ParseError(f"m={media}: 0 ports")
    if not formats and port:  # some refuse a stream with "m=video 0 RTP/AVP"
        raise ParseError(f"m={media}: no format after {shown(protocol)}")
    connections = block.take("c")
    if connections[1:]:  # several only for layered multicast, which is none of our business
        block.by_type["c"] = connections[1:]
    return MediaDescription(
        media=media,
        port=port,
        protocol=protocol,
        formats=tuple(formats),
        connection=Connection.parse(connections[0]) if connections else None,
        attributes=tuple(Attribute.parse(value) for value in block.take("a")),
        port_count=port_count,
        other_lines=block.take_rest(_MEDIA_ORDER),
    )


def _split(lines: Iterable[str], letters: str) -> tuple[list[str], list[str]]:
    """Part the lines whose type is among the letters from the rest."""
    lines = list(lines)
    return [x for x in lines if x[:1] in letters], [x for x in lines if x[:1] not in letters]


def _direction(attributes: Iterable[Attribute]) -> Direction | None:
    for item in attributes:
        if item.value is None and item.name in _DIRECTIONS:
            return _DIRECTIONS[item.name]
    return None


def _milliseconds(values: list[str]) -> int | None:
    for value in values[:1]:
        whole = value.partition(".")[0]
        if whole.isascii() and whole.isdigit() and len(whole) <= 5 and int(whole):
            return int(whole)
    return None


def _bandwidth(lines: Iterable[str]) -> dict[str, int]:
    matches = [match for match in map(_BANDWIDTH.fullmatch, lines) if match]
    return {match[1]: int(match[2]) for match in matches}
