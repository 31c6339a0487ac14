"""Symmetric RTP: whom to believe.  RFC 4961; rfc3550 checklist 13."""

import pytest

from sottovoce.media.remote_address import RemoteAddress

ANNOUNCED, NAT, STRANGER = ("10.0.0.2", 4000), ("192.0.2.7", 61000), ("198.51.100.9", 5000)


def test_nothing_learned_means_the_announced_address() -> None:
    assert RemoteAddress(ANNOUNCED, secured=True).destination == ANNOUNCED


@pytest.mark.rfc("rfc3550", 13)
def test_verified_packet_moves_the_destination_and_the_next_moves_it_again() -> None:
    remote = RemoteAddress(ANNOUNCED, secured=True)
    for source in (NAT, STRANGER):
        remote.learn(source)
        assert remote.destination == source


def test_clear_stream_sticks_to_the_first_host_but_its_port_may_change() -> None:
    remote = RemoteAddress(ANNOUNCED, secured=False)
    assert remote.admits(NAT)
    remote.learn(NAT)

    assert not remote.admits(STRANGER)
    assert remote.admits((NAT[0], 62000))


def test_announced_host_always_wins_on_a_clear_stream() -> None:
    remote = RemoteAddress(ANNOUNCED, secured=False)
    remote.learn(STRANGER)

    assert remote.admits((ANNOUNCED[0], 4444))


def test_new_announcement_forgets_what_was_learned_and_the_same_one_does_not() -> None:
    remote = RemoteAddress(ANNOUNCED, secured=True)
    remote.learn(NAT)
    remote.update(ANNOUNCED, secured=True)
    assert remote.destination == NAT
    remote.update(("10.0.0.3", 4000), secured=True)
    assert remote.destination == ("10.0.0.3", 4000)


def test_what_was_learned_in_clear_does_not_outlive_it() -> None:
    remote = RemoteAddress(ANNOUNCED, secured=False)
    remote.learn(STRANGER)
    remote.update(ANNOUNCED, secured=True)

    assert remote.destination == ANNOUNCED


@pytest.mark.parametrize("nowhere", [None, ("0.0.0.0", 4000), ("::", 4000), ("10.0.0.2", 0)])
def test_hold_by_an_unspecified_address_sends_nowhere(nowhere: tuple[str, int] | None) -> None:
    remote = RemoteAddress(nowhere, secured=True)
    remote.learn(NAT)

    assert remote.destination is None
