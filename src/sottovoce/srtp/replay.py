"""Where a packet stands: its index, and whether it was accepted before.

RFC 3711 sections 3.3.1, 3.3.2 and appendix A.
"""

from array import array

from ..errors import UnauthenticPacket

MIN_WINDOW_PACKETS = 64  # RFC 3711 section 3.3.2: "MUST be at least 64"
_NEVER = -1  # no index
DEFAULT_WINDOW_PACKETS = 128  # 2.5 s of speech: later than any jitter buffer would wait


def estimate_index(newest: int, sequence_number: int) -> int:
    """Complete a 16-bit sequence number to a packet index (RFC 3711 appendix A).

    Of the three rollover counters ``roc - 1``, ``roc`` and ``roc + 1``, take the one that
    puts the packet nearest to the newest.

    Args:
        newest: Highest index authenticated so far, ``65536 * roc + s_l``.
        sequence_number: As the packet claims, unverified.

    Returns:
        The index; below 0 where the RFC's ``roc - 1`` would wrap below 0, and 2^48 or
        more where ``roc + 1`` would wrap to 0.  No honest packet has such an index.

    """
    # The RFC's two branches (s_l under 32768 or not) come to these two comparisons.
    step = sequence_number - (newest & 0xFFFF)
    if step > 0x8000:
        step -= 0x10000
    elif step < -0x8000:
        step += 0x10000
    return newest + step


class ReplayWindow:
    """Remember which packets of one SSRC have been accepted.

    Use in two steps, with the authentication tag verified in between::

        window.check(index)       # cheap, so it runs before any cryptography
        verify_tag(packet)        # raises on forgery: the window is untouched
        window.commit(index)      # only now may the packet move the window

    Args:
        before_first: One less than the first index expected, or -1 if any may come first.
        size_packets: How far behind the newest packet a late one may lie.

    """

    __slots__ = ("_size_packets", "newest", "slots")

    def __init__(
        self, before_first: int = -1, *, size_packets: int = DEFAULT_WINDOW_PACKETS
    ) -> None:
        if size_packets < MIN_WINDOW_PACKETS:
            raise ValueError(f"window of {size_packets} packets is under {MIN_WINDOW_PACKETS}")
        #: Highest index committed; never set it from outside.
        self.newest = before_first
        self._size_packets = size_packets
        #: Each index has its slot, where only one the window's size later replaces it; so
        #: moving on clears nothing, however far: SRTCP can jump 2^31.
        self.slots = array("q", [_NEVER]) * size_packets

    def check(self, index: int) -> None:
        """Raise unless a packet with this index may still be accepted.

        Changes nothing, so a forged packet cannot push honest ones out.

        Raises:
            UnauthenticPacket: The index was committed before, or lies the window's size
                or more behind the newest.

        """
        age_packets = self.newest - index
        if age_packets >= self._size_packets:
            raise UnauthenticPacket(f"packet is {age_packets} packets late")
        if self.slots[index % self._size_packets] == index:
            raise UnauthenticPacket("packet was received before")

    def commit(self, index: int) -> None:
        """Record an index whose packet passed :meth:`check` and its tag."""
        self.slots[index % self._size_packets] = index
        if index > self.newest:
            self.newest = index
