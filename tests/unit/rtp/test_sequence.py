"""RFC 3550 section A.1."""

from sottovoce.rtp.sequence import extend_sequence, extend_timestamp, sequence_distance


def test_distance_crosses_the_wrap_both_ways() -> None:
    assert sequence_distance(2, 65534) == 4
    assert sequence_distance(65534, 2) == -4


def test_number_before_the_wrap_belongs_to_the_cycle_before() -> None:
    assert extend_sequence(65535, 0x10001) == 0xFFFF
    assert extend_sequence(3, 0x10001) == 0x10003
    assert extend_sequence(0, 0xFFFF) == 0x10000


def test_timestamp_goes_on_past_its_wrap() -> None:
    assert extend_timestamp(100, 0xFFFF_FFF0) == 0x1_0000_0064
    assert extend_timestamp(0xFFFF_FFF0, 0x1_0000_0064) == 0xFFFF_FFF0
