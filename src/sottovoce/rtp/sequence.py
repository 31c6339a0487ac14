"""Sequence numbers and timestamps that wrap, put back in order.  RFC 3550 section A.1."""

SEQUENCE_MODULUS = 1 << 16
TIMESTAMP_MODULUS = 1 << 32


def sequence_distance(newer: int, older: int) -> int:
    """Steps from one 16-bit sequence number to another, in -32768 .. 32767."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def timestamp_distance(newer: int, older: int) -> int:
    """Ticks from one 32-bit timestamp to another, in -2**31 .. 2**31 - 1."""
    return ((newer - older + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def extend_sequence(sequence_number: int, reference: int) -> int:
    """Return the extended sequence number nearest to ``reference``, which is one already.

    Negative when the packet lies before the first one of its source.
    """
    return reference + sequence_distance(sequence_number, reference)


def extend_timestamp(timestamp: int, reference: int) -> int:
    """Return the timestamp without wraps that lies nearest to ``reference``."""
    return reference + timestamp_distance(timestamp, reference)
