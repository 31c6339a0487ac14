"""What is kept of one SSRC's packets, sent or received.  RFC 3711 sections 3.2.1 and 3.3.

Each class carries the whole index and, beside it, what the next packet in order needs of
it ready-made: its sequence number, the rollover counter as four bytes, and an
initialization vector that lacks only the sequence number.
"""

from ..errors import LocalError, UnauthenticPacket
from .cipher import PacketCipher
from .replay import ReplayWindow, estimate_index

RTP_INDEX_LIMIT = 1 << 48  # RFC 3711 section 9.2: so many packets a key, then a new key


class OutboundStream:
    """One SSRC that we send.

    Args:
        ssrc: Which.
        cipher: Of SRTP.
        first_index: Of the packet that comes first.

    """

    __slots__ = ("_cipher", "index", "next_in_order", "nonce_base", "roc", "ssrc")

    def __init__(self, ssrc: int, cipher: PacketCipher, first_index: int) -> None:
        self._cipher = cipher
        self.ssrc = ssrc
        self.nonce_base = cipher.nonce_base(ssrc, first_index >> 16)
        self.index = first_index - 1  # of the packet sealed last
        # One more than its sequence number; 65536, which no packet has, where the rollover
        # counter must change.
        self.next_in_order = first_index & 0xFFFF
        self.roc = (first_index >> 16).to_bytes(4, "big")

    def skip_to(self, sequence_number: int) -> None:
        """Move to a packet that is not the next in order.

        Raises:
            LocalError: It does not lie ahead, or the key is used up.

        """
        step = (sequence_number - self.index) & 0xFFFF
        if not 0 < step < 0x8000:
            raise LocalError(
                f"sequence number {sequence_number} does not follow {self.index & 0xFFFF}:"
                " sealing it could use one keystream for two packets"
            )
        index = self.index + step
        if index >= RTP_INDEX_LIMIT:
            raise LocalError("2^48 packets are sealed: the master key is used up")
        self.index = index
        self.nonce_base = self._cipher.nonce_base(self.ssrc, index >> 16)
        self.roc = (index >> 16).to_bytes(4, "big")


class InboundStream(ReplayWindow):
    """One SSRC that we receive; the newest index is the RFC's ROC and s_l in one.

    Args:
        ssrc: Which.
        cipher: Of SRTP.
        first_index: Of the packet that comes first.

    """

    __slots__ = ("_cipher", "next_in_order", "nonce_base", "roc", "ssrc")

    def __init__(self, ssrc: int, cipher: PacketCipher, first_index: int) -> None:
        super().__init__(first_index - 1)
        self._cipher = cipher
        self.ssrc = ssrc
        self.nonce_base = cipher.nonce_base(ssrc, first_index >> 16)
        self.next_in_order = first_index & 0xFFFF  # as of OutboundStream
        self.roc = (first_index >> 16).to_bytes(4, "big")

    def locate(self, unverified_sequence_number: int) -> int:
        """Return the index of a packet that is not the next in order.  Changes nothing.

        Raises:
            UnauthenticPacket: It was received before, is too late, or cannot be.

        """
        index = estimate_index(self.newest, unverified_sequence_number)
        if not 0 <= index < RTP_INDEX_LIMIT:
            raise UnauthenticPacket("packet lies outside the life of the key")
        self.check(index)
        return index

    def commit(self, index: int) -> None:
        super().commit(index)
        self.next_in_order = (self.newest & 0xFFFF) + 1
        self.nonce_base = self._cipher.nonce_base(self.ssrc, self.newest >> 16)
        self.roc = (self.newest >> 16).to_bytes(4, "big")
