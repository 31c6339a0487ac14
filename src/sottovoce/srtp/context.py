"""The cryptographic context of one direction.  RFC 3711 sections 3.2 and 3.3."""

from collections.abc import Sized
from struct import Struct

from ..errors import LocalError, ParseError, RemoteError, UnauthenticPacket
from ..secret import Secret
from .cipher import ENCRYPTED_FLAG, RTCP_HEADER_BYTES, RTCP_INDEX_BYTES, make_cipher
from .key_derivation import derive_session_keys
from .replay import DEFAULT_WINDOW_PACKETS, ReplayWindow
from .stream import InboundStream, OutboundStream
from .suite import CryptoSuite

MAX_SSRCS = 128  # a peer that keeps changing its SSRC costs us 128 states, no more
MAX_MKI_BYTES = 128  # RFC 4568 section 6.1
MAX_PACKET_BYTES = 65_535  # a UDP datagram; 2^20 would run into the next packet's keystream
RTCP_INDEX_LIMIT = 1 << 31  # RFC 3711 section 9.2: so many packets a key, then a new key

_RTP_HEADER_BYTES = 12
_read_rtp_header = Struct("!BxH4xI").unpack_from  # first byte, sequence number, SSRC
_read_rtcp_header = Struct("!B3xI").unpack_from  # first byte, SSRC of the sender
_NO_SSRC = 1 << 32  # equals none: stands in the one-stream caches before the first packet


class SrtpContext:
    """Protect or unprotect the packets of one direction with one master key.

    One context serves one direction: make two for a call, one with our key for what we
    send, one with the peer's key for what we receive.  It holds what RFC 3711 calls the
    context of every SSRC that uses the key, SRTP and SRTCP side by side.  Where a
    re-INVITE leaves the keys as they are, keep the object: the rollover counters and
    replay windows must live on (RFC 3711 section 3.3.1), and a sender that began again
    from the same key would give both runs of packets away.

    Not for use by two threads at once.

    Args:
        suite: What was agreed.
        master_key: In the suite's length.
        master_salt: In the suite's length.
        mki: Master key identifier that every packet carries; empty for none.

    Raises:
        LocalError: A length does not fit.

    """

    def __init__(
        self,
        suite: CryptoSuite,
        *,
        master_key: bytes | Secret[bytes],
        master_salt: bytes | Secret[bytes],
        mki: bytes = b"",
    ) -> None:
        if len(mki) > MAX_MKI_BYTES:
            raise LocalError(f"MKI of {len(mki)} bytes is over {MAX_MKI_BYTES}")
        key = master_key if isinstance(master_key, Secret) else Secret(master_key)
        salt = master_salt if isinstance(master_salt, Secret) else Secret(master_salt)
        rtp_keys, rtcp_keys = derive_session_keys(suite, key, salt)
        #: What was agreed.
        self.suite = suite
        #: SRTP packets that :meth:`unprotect` returned.
        self.packets_authenticated = 0
        #: SRTP packets that :meth:`unprotect` refused, for whatever reason.
        self.packets_refused = 0
        #: The same for :meth:`unprotect_rtcp`.
        self.rtcp_packets_authenticated = 0
        self.rtcp_packets_refused = 0
        self._rtp = make_cipher(suite, rtp_keys, suite.tag_bytes, mki)
        self._rtcp = make_cipher(suite, rtcp_keys, suite.rtcp_tag_bytes, mki)
        self._seal = self._rtp.seal
        self._open = self._rtp.open
        self._first_rocs: dict[int, int] = {}
        self._outbound: dict[int, OutboundStream] = {}
        self._inbound: dict[int, InboundStream] = {}
        self._rtcp_next_index: dict[int, int] = {}
        self._rtcp_windows: dict[int, ReplayWindow] = {}
        # Nearly every packet has the SSRC of the one before it.
        self._last_outbound = OutboundStream(_NO_SSRC, self._rtp, 0)
        self._last_inbound = InboundStream(_NO_SSRC, self._rtp, 0)

    # --- SRTP

    def protect(self, packet: bytes) -> bytes:
        """Turn an RTP packet into an SRTP packet.

        Sequence numbers must rise; a step of under 2^15 may wrap past 65535, which adds
        one to the rollover counter.

        Raises:
            ParseError: This is no RTP packet.
            LocalError: The sequence number was used before or goes back (its keystream
                could have been used already), the key is used up, or there are too
                many SSRCs.

        """
        if not _RTP_HEADER_BYTES <= len(packet) <= MAX_PACKET_BYTES:
            raise ParseError(f"RTP packet of {len(packet)} bytes, expected 12 to 65535")
        first, sequence_number, ssrc = _read_rtp_header(packet)
        # Version 2, any padding bit, no extension, no CSRC: nearly every packet of a call.
        header_bytes = 12 if first & 0xDF == 0x80 else _rtp_header_bytes(packet)
        stream = self._last_outbound
        if stream.ssrc != ssrc:
            stream = self._outbound_stream(ssrc, sequence_number)
        # The index is spent before the work is done, so that a failure cannot give it back.
        if sequence_number == stream.next_in_order:
            stream.index += 1
        else:
            stream.skip_to(sequence_number)
        stream.next_in_order = sequence_number + 1
        return self._seal(packet, header_bytes, stream.nonce_base, sequence_number, stream.roc)

    def unprotect(self, packet: bytes) -> bytes:
        """Verify an SRTP packet and turn it into the RTP packet.

        A packet that is refused changes nothing but :attr:`packets_refused`.

        Raises:
            ParseError: This is no RTP packet.
            UnauthenticPacket: Its tag or MKI is wrong, it was received before, it is too
                late, or it is of one SSRC too many.

        """
        try:
            if not _RTP_HEADER_BYTES <= len(packet) <= MAX_PACKET_BYTES:
                raise ParseError(f"RTP packet of {len(packet)} bytes, expected 12 to 65535")
            first, sequence_number, ssrc = _read_rtp_header(packet)
            header_bytes = 12 if first & 0xDF == 0x80 else _rtp_header_bytes(packet)
            stream = self._last_inbound
            if stream.ssrc != ssrc:
                stream = self._inbound_stream(ssrc, sequence_number)
            # Only an authentic packet comes back from open(); before, nothing may change.
            if sequence_number == stream.next_in_order:
                plain = self._open(
                    packet, header_bytes, stream.nonce_base, sequence_number, stream.roc
                )
                # This is stream.commit(), in line.
                stream.newest = index = stream.newest + 1
                stream.slots[index % DEFAULT_WINDOW_PACKETS] = index
                stream.next_in_order = sequence_number + 1
            else:
                index = stream.locate(sequence_number)
                roc = index >> 16
                nonce_base = self._rtp.nonce_base(ssrc, roc)
                plain = self._open(
                    packet, header_bytes, nonce_base, sequence_number, roc.to_bytes(4, "big")
                )
                stream.commit(index)
        except RemoteError:
            self.packets_refused += 1
            raise
        self.packets_authenticated += 1
        if stream is not self._last_inbound:
            self._inbound[ssrc] = self._last_inbound = stream
        return plain

    # --- SRTCP

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Turn a (compound) RTCP packet into an SRTCP packet.

        Raises:
            ParseError: This is no RTCP packet.
            LocalError: The key is used up, or there are too many SSRCs.

        """
        ssrc = _rtcp_ssrc(packet)
        index = self._rtcp_next_index.get(ssrc)
        if index is None:
            _check_room(self._rtcp_next_index)
            index = 0  # RFC 3711 section 3.4
        if index >= RTCP_INDEX_LIMIT:
            raise LocalError("2^31 RTCP packets are sealed: the master key is used up")
        self._rtcp_next_index[ssrc] = index + 1
        return self._rtcp.seal_rtcp(packet, ssrc, index)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Verify an SRTCP packet and turn it into the RTCP packet.

        A packet that is refused changes nothing but :attr:`rtcp_packets_refused`.

        Raises:
            ParseError: This is no RTCP packet.
            UnauthenticPacket: It is in clear, its tag or MKI is wrong, it was received
                before, it is too late, or it is of one SSRC too many.

        """
        try:
            ssrc = _rtcp_ssrc(packet)
            if len(packet) < self._rtcp.rtcp_least_bytes:
                raise UnauthenticPacket("RTCP packet has no room for an SRTCP trailer")
            at = len(packet) - self._rtcp.rtcp_trailer_bytes
            word = int.from_bytes(packet[at : at + RTCP_INDEX_BYTES], "big")
            if not word & ENCRYPTED_FLAG:
                # Even if authentic: UNENCRYPTED_SRTCP (RFC 4568 6.3.2) is never agreed to.
                raise UnauthenticPacket("RTCP packet is not encrypted")
            index = word ^ ENCRYPTED_FLAG
            window = self._rtcp_windows.get(ssrc)
            if window is None:
                if len(self._rtcp_windows) >= MAX_SSRCS:
                    raise UnauthenticPacket(f"packet is of SSRC {MAX_SSRCS + 1}")
                window = ReplayWindow()
            window.check(index)
            plain = self._rtcp.open_rtcp(packet, ssrc, index)
        except RemoteError:
            self.rtcp_packets_refused += 1
            raise
        self.rtcp_packets_authenticated += 1
        window.commit(index)
        self._rtcp_windows[ssrc] = window
        return plain

    # --- rollover counters

    def start_at_roc(self, ssrc: int, roc: int) -> None:
        """Set the rollover counter that the first packet of an SSRC has.

        It is 0 unless a key exchange (RFC 3830 section 6.1.1) or a tracer that joined
        late knows better.

        Raises:
            LocalError: Packets of this SSRC were protected or unprotected already, there
                are too many SSRCs, or a number is out of range.

        """
        if ssrc in self._outbound or ssrc in self._inbound:
            raise LocalError("the rollover counter of an SSRC in use cannot be set")
        if not 0 <= ssrc < 1 << 32 or not 0 <= roc < 1 << 32:
            raise LocalError("SSRC and rollover counter are 32-bit numbers")
        if ssrc not in self._first_rocs:
            _check_room(self._first_rocs)
        self._first_rocs[ssrc] = roc

    def outbound_roc(self, ssrc: int) -> int | None:
        """Return the rollover counter of the packet sealed last, None before the first."""
        stream = self._outbound.get(ssrc)
        return None if stream is None else stream.index >> 16

    def inbound_roc(self, ssrc: int) -> int | None:
        """Return the rollover counter of the newest packet, None before the first."""
        stream = self._inbound.get(ssrc)
        return None if stream is None else stream.newest >> 16

    # --- streams

    def _outbound_stream(self, ssrc: int, sequence_number: int) -> OutboundStream:
        stream = self._outbound.get(ssrc)
        if stream is None:
            _check_room(self._outbound)
            first_index = self._first_rocs.get(ssrc, 0) << 16 | sequence_number
            stream = OutboundStream(ssrc, self._rtp, first_index)
            self._outbound[ssrc] = stream
        self._last_outbound = stream
        return stream

    def _inbound_stream(self, unverified_ssrc: int, sequence_number: int) -> InboundStream:
        """Find the stream, or make one that is kept only when the packet is authentic."""
        stream = self._inbound.get(unverified_ssrc)
        if stream is None:
            if len(self._inbound) >= MAX_SSRCS:
                raise UnauthenticPacket(f"packet is of SSRC {MAX_SSRCS + 1}")
            first_index = self._first_rocs.get(unverified_ssrc, 0) << 16 | sequence_number
            stream = InboundStream(unverified_ssrc, self._rtp, first_index)
        return stream


def _check_room(by_ssrc: Sized) -> None:
    if len(by_ssrc) >= MAX_SSRCS:
        raise LocalError(f"one master key is used for {MAX_SSRCS} SSRCs already")


def _rtp_header_bytes(packet: bytes) -> int:
    """Measure the fixed header, the CSRC list and the extension (RFC 3550 section 5)."""
    first = packet[0]
    if first >> 6 != 2:
        raise ParseError(f"RTP version is {first >> 6}, expected 2")
    header_bytes = _RTP_HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        extension_words = packet[header_bytes + 2 : header_bytes + 4]
        # A length cut short reads as too small a number; the bound below still fails.
        header_bytes += 4 + 4 * int.from_bytes(extension_words, "big")
    if header_bytes > len(packet):
        raise ParseError(f"RTP header of {header_bytes} bytes in a packet of {len(packet)}")
    return header_bytes


def _rtcp_ssrc(packet: bytes) -> int:
    """Read the sender's SSRC, checking what SRTCP relies on and no more."""
    if not RTCP_HEADER_BYTES <= len(packet) <= MAX_PACKET_BYTES:
        raise ParseError(f"RTCP packet of {len(packet)} bytes, expected 8 to 65535")
    first, ssrc = _read_rtcp_header(packet)
    if first >> 6 != 2:
        raise ParseError(f"RTCP version is {first >> 6}, expected 2")
    return int(ssrc)
