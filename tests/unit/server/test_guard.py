"""Who is banned and who waits, with a made-up clock."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.server import guard as module
from sottovoce.server.guard import Guard, GuardSettings
from sottovoce.store import Ban

START = 1_000_000.0
GUESSER = "192.0.2.7"
SETTINGS = GuardSettings(guess_limit=10, guess_window_s=600, ban_s=300, ban_max_s=3600)


def fail(guard: Guard, address: str, times: int, *, now: float = START, user: str = "a") -> int:
    """Fail so often; after how many failures a ban came, 0 for none."""
    for number in range(1, times + 1):
        if guard.note_refused(address, user, now).bans:
            return number
    return 0


def test_source_is_banned_at_the_limit_and_no_other_one() -> None:
    guard = Guard(SETTINGS)
    assert fail(guard, GUESSER, 20) == 10
    assert not guard.admits(GUESSER, START)
    assert not guard.admits(f"::ffff:{GUESSER}", START)
    assert guard.admits("192.0.2.8", START)


def test_ban_ends_and_doubles_until_its_maximum() -> None:
    guard, now = Guard(SETTINGS), START
    for expected_s in (300, 600, 1200, 2400, 3600, 3600):
        assert fail(guard, GUESSER, 10, now=now) == 10
        assert not guard.admits(GUESSER, now + expected_s - 0.1)
        now += expected_s
        assert guard.admits(GUESSER, now)


def test_quiet_source_begins_anew_and_is_forgotten() -> None:
    guard = Guard(SETTINGS)
    fail(guard, GUESSER, 10)
    assert guard.take_forgotten(START + 300 + 3599) == []
    assert guard.take_forgotten(START + 300 + 3600) == [GUESSER]
    (ban,) = [ban for _ in range(10) for ban in guard.note_refused(GUESSER, "a", START + 4000).bans]
    assert ban.strikes == 1


def test_counts_fade() -> None:
    guard = Guard(SETTINGS)
    assert fail(guard, GUESSER, 9) == 0
    assert fail(guard, GUESSER, 9, now=START + 600) == 5 + 0
    patient = Guard(SETTINGS)
    for number in range(200):  # one failure in 150 s
        assert not patient.note_refused(GUESSER, "a", START + 150 * number).bans


def test_refusals_wait_longer_and_longer_but_the_first_does_not() -> None:
    guard = Guard(SETTINGS)
    delays = [guard.note_refused(GUESSER, "a", START).delay_s for _ in range(7)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] == 2.0


def test_same_judgement_for_every_account_there_is_or_is_not() -> None:
    one, other = Guard(SETTINGS), Guard(SETTINGS)
    for number in range(9):
        assert one.note_refused(GUESSER, "alice", START) == other.note_refused(
            GUESSER, f"nobody{number}", START
        )


def test_zero_switches_bans_and_waiting_off() -> None:
    guard = Guard(GuardSettings(guess_limit=0))
    for _ in range(1000):
        assert guard.note_refused(GUESSER, "a", START) == module.NOTHING


def test_exempt_sources_are_neither_banned_nor_slowed_but_count_for_their_network() -> None:
    exempt = (ipaddress.ip_network("192.0.2.7/32"),)
    guard = Guard(GuardSettings(guess_limit=10, exempt=exempt))
    for _ in range(100):
        assert guard.note_refused(GUESSER, "a", START) == module.NOTHING
    assert guard.exempts(GUESSER)
    assert not guard.exempts("192.0.2.8")


@pytest.mark.parametrize(
    ("addresses", "prefix", "outside"),
    [
        ([f"192.0.2.{last}" for last in range(1, 255)], "192.0.2.0/24", "192.0.3.1"),
        ([f"2001:db8::{last:x}" for last in range(1, 255)], "2001:db8::/64", "2001:db8:0:1::1"),
    ],
)
def test_network_whose_addresses_take_turns_is_banned_later(
    addresses: list[str], prefix: str, outside: str
) -> None:
    guard = Guard(SETTINGS)
    bans = [
        (number, ban.network)
        for number, address in enumerate(addresses, 1)
        for ban in guard.note_refused(address, "a", START).bans
    ]
    assert [network for _, network in bans][:1] == [prefix]
    assert bans[0][0] == (80 if "/24" in prefix else 20)
    assert not guard.admits(addresses[-1], START)
    assert guard.admits(outside, START)


def test_ban_of_a_network_spares_who_has_authenticated_and_one_by_command_does_not() -> None:
    guard = Guard(SETTINGS, [Ban("192.0.2.0/24", "", START, START + 900, strikes=1)])
    guard.note_accepted("192.0.2.9", "alice", START)
    assert guard.admits("192.0.2.9", START)
    assert not guard.admits("192.0.2.8", START)

    guard.set_bans([Ban("192.0.2.0/24", "", START, None)])
    assert not guard.admits("192.0.2.9", START)


def test_office_bears_more_failures_for_an_hour_after_a_success() -> None:
    guard = Guard(SETTINGS)
    guard.note_accepted(GUESSER, "alice", START)
    assert fail(guard, GUESSER, 60, user="bob") == 50

    late = Guard(SETTINGS)
    late.note_accepted(GUESSER, "alice", START)
    assert fail(late, GUESSER, 60, user="bob", now=START + 3601) == 10


def test_success_takes_back_the_failures_of_its_own_account_alone() -> None:
    guard = Guard(GuardSettings(guess_limit=2))  # 10 for who has authenticated
    guard.note_accepted(GUESSER, "alice", START)
    for _ in range(4):
        assert fail(guard, GUESSER, 1, user="bob") == 0
        assert fail(guard, GUESSER, 1, user="alice") == 0
        guard.note_accepted(GUESSER, "alice", START)
    assert fail(guard, GUESSER, 20, user="carol") == 6


def test_own_account_cannot_wash_away_guesses_by_waiting() -> None:
    """What is given back fades as the count does, so nothing of the others' goes with it."""
    guard = Guard(GuardSettings(guess_limit=2, guess_window_s=600))
    guard.note_accepted(GUESSER, "own", START)
    fail(guard, GUESSER, 8, user="own")
    later = START + 600  # half is left
    fail(guard, GUESSER, 4, user="victim", now=later)
    guard.note_accepted(GUESSER, "own", later)
    assert fail(guard, GUESSER, 20, user="victim", now=later) == 6


def test_malformed_messages_weigh_less() -> None:
    guard = Guard(SETTINGS)
    found = [bool(guard.note_malformed(GUESSER, START).bans) for _ in range(38)]
    assert found.index(True) == 37


def test_flood_of_sources_forgets_counts_and_no_ban(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 100)
    monkeypatch.setattr(module, "MAX_BANS", 5)
    guard = Guard(SETTINGS)
    for last in range(1, 6):
        fail(guard, f"198.51.{last}.1", 10)
    for number in range(2000):
        address = f"10.{number >> 8}.{number & 255}.1"
        guard.note_refused(address, "a" * 5000, START)
        guard.admits(address, START)
    assert not any(guard.admits(f"198.51.{last}.1", START) for last in range(1, 6))
    assert fail(guard, GUESSER, 30) == 0  # no room: slowed only
    assert guard.note_refused(GUESSER, "a", START).delay_s == 2.0
    assert len(guard._failures) <= 100
    assert len(guard._sources) <= 100

    assert fail(guard, GUESSER, 30, now=START + 301) == 1  # the others are over
    assert len(guard.take_forgotten(START + 301)) == 1


def test_honest_sources_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HONEST_SOURCES", 10)
    guard = Guard(SETTINGS)
    for last in range(1, 100):
        guard.note_accepted(f"192.0.2.{last}", "a", START)
    assert len(guard._honest) == 10


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/30", "192.0.2.3", "192.0.2.4"),
        ("10.0.0.0/8", "10.9.8.7", "11.0.0.1"),
        ("2001:db8::/32", "2001:db8:9::1", "2001:db9::1"),
        ("2001:db8::1", "2001:db8:0::1", "2001:db8::2"),
    ],
)
def test_operator_bans_networks_of_any_size(network: str, inside: str, outside: str) -> None:
    guard = Guard(SETTINGS)
    assert guard.admits(inside, START)
    assert guard.set_bans([Ban(network, "by command", START, None)])
    assert not guard.admits(inside, START + 1e9)
    assert guard.admits(outside, START)
    assert not guard.set_bans([])
    assert guard.admits(inside, START)


@given(st.lists(st.tuples(st.sampled_from("rmas"), st.integers(0, 3), st.floats(0, 900))))
def test_count_is_never_negative_and_never_over_the_limit(
    steps: list[tuple[str, int, float]],
) -> None:
    guard, now = Guard(SETTINGS), START
    for what, which, wait in steps:
        now += wait if what == "s" else 0
        address, user = f"192.0.2.{which}", f"user{which % 2}"
        if what == "r":
            guard.note_refused(address, user, now)
        elif what == "m":
            guard.note_malformed(address, now)
        elif what == "a":
            guard.note_accepted(address, user, now)
        for failures in guard._failures.values():
            assert -1e-9 <= failures.count < 50 * 8
            assert sum(failures.by_account.values()) <= failures.count + 1e-6
