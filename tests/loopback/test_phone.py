"""The phone as programs use it: in the wrong order, twice, and while things break."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sottovoce import Call, CallState, LocalError, Phone

from .conftest import Office

WAIT_S = 10


class Taking:
    """An incoming-call handler that hands the calls over, answered or ringing."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._calls: asyncio.Queue[Call] = asyncio.Queue()

    async def __call__(self, call: Call) -> None:
        if self._answers:
            await call.answer()
        self._calls.put_nowait(call)

    async def next(self) -> Call:
        return await asyncio.wait_for(self._calls.get(), WAIT_S)


@pytest.fixture(autouse=True)
async def nothing_escapes() -> AsyncIterator[None]:
    """No callback fails, and no future or task ends without anybody asking."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert not seen


async def established(call: Call, *, hold: bool) -> None:
    """Change a call and wait for the answer to that."""
    await (call.hold() if hold else call.resume())
    async with asyncio.timeout(WAIT_S):
        while call.media.negotiation.awaiting_answer:
            await asyncio.sleep(0.01)


async def test_a_phone_that_is_not_connected_says_so(office: Office) -> None:
    await office.start()
    phone = Phone(office.account("alice"), register=False)
    with pytest.raises(LocalError, match="not connected"):
        await phone.call("echo")
    async with phone:
        with pytest.raises(LocalError, match="in use already"):
            await phone.__aenter__()
    with pytest.raises(LocalError, match="not connected"):
        await asyncio.wait_for(phone.call("echo"), WAIT_S)


async def test_a_phone_that_was_left_can_be_entered_again_and_called(office: Office) -> None:
    await office.start()
    taking = Taking(answers=True)
    bob = Phone(office.account("bob"), on_incoming_call=taking)
    for _ in range(2):
        async with bob, Phone(office.account("alice"), register=False) as alice:
            await (await alice.call("bob")).hangup()
            await taking.next()


async def test_leaving_the_phone_ends_the_sound_and_cancels_no_reader(office: Office) -> None:
    await office.start()
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call("echo")

        async def read_all() -> bytes:
            return b"".join([frame async for frame in call.audio()])

        reading = asyncio.create_task(read_all())
        await call.read_audio()
    assert await asyncio.wait_for(reading, WAIT_S) is not None


async def test_leaving_the_phone_waits_until_handlers_have_tidied_up(office: Office) -> None:
    await office.start()
    ringing, tidied = asyncio.Event(), []

    async def wait(call: Call) -> None:
        ringing.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append(call)

    async with (
        Phone(office.account("alice"), register=False) as alice,
        Phone(office.account("bob"), on_incoming_call=wait),
    ):
        alice.start_call("bob")
        await asyncio.wait_for(ringing.wait(), WAIT_S)

    assert len(tidied) == 1


async def test_an_answered_call_is_neither_answered_nor_rejected_again(office: Office) -> None:
    await office.start()
    taking = Taking(answers=True)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking),
        Phone(office.account("alice"), register=False) as alice,
    ):
        call = await alice.call("bob")
        at_bob = await taking.next()
        for again in (at_bob.answer, at_bob.reject):
            with pytest.raises(LocalError, match="answered already"):
                await again()
        for wrong in (call.answer, call.reject):
            with pytest.raises(LocalError, match="the call is ours"):
                await wrong()
        await at_bob.ring()

        assert call.state is at_bob.state is CallState.ESTABLISHED
        await established(call, hold=True)
        await call.hangup()


async def test_a_hold_too_early_changes_nothing(office: Office) -> None:
    await office.start()
    taking = Taking(answers=False)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking),
        Phone(office.account("alice"), register=False) as alice,
    ):
        call = alice.start_call("bob")
        at_bob = await taking.next()
        for each in (call, at_bob):
            with pytest.raises(LocalError, match="established"):
                await each.hold()
        await at_bob.answer()
        await call.wait_settled(WAIT_S)
        await established(call, hold=True)
        await established(call, hold=False)
        await call.hangup()


async def test_a_call_given_up_before_the_answer_has_no_status_of_success(office: Office) -> None:
    await office.start()
    taking = Taking(answers=False)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking),
        Phone(office.account("alice"), register=False) as alice,
    ):
        call = alice.start_call("bob")
        await taking.next()
        await call.hangup()

    assert call.end_status == 487


async def test_a_full_disk_ends_the_recording_and_not_the_call(office: Office) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a disk that is always full; Linux has it")
    await office.start()
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call("music")
        call.record("/dev/full")
        async with asyncio.timeout(WAIT_S):
            while not call.recording_error:
                await call.read_audio()
        assert await asyncio.wait_for(call.read_audio(), WAIT_S)
        await call.hangup()
        await asyncio.wait_for(call.wait_ended(), WAIT_S)

    assert "No space left" in call.recording_error


async def test_a_lost_connection_that_nobody_waits_for_is_no_unread_error(office: Office) -> None:
    await office.start()
    async with Phone(office.account("alice"), register=False):
        await office.stop()
        await asyncio.sleep(0.1)


async def test_one_can_call_oneself(office: Office) -> None:
    await office.start()
    taking = Taking(answers=True)
    async with Phone(office.account("alice"), on_incoming_call=taking) as alice:
        call = await alice.call("alice")
        await (await taking.next()).hangup()
        await asyncio.wait_for(call.wait_ended(), WAIT_S)

    assert call.ended_by_remote


async def test_all_phones_of_a_user_ring_until_one_is_answered(office: Office) -> None:
    await office.start()
    one, other = Taking(answers=False), Taking(answers=False)
    async with (
        Phone(office.account("bob"), on_incoming_call=one),
        Phone(office.account("bob"), on_incoming_call=other),
        Phone(office.account("alice"), register=False) as alice,
    ):
        call = alice.start_call("bob")
        silent, answered = await one.next(), await other.next()
        await answered.answer()
        await call.wait_settled(WAIT_S)
        await asyncio.wait_for(silent.wait_ended(), WAIT_S)
        await answered.hangup()
        await asyncio.wait_for(call.wait_ended(), WAIT_S)

    assert silent.answered_at is None


async def test_twenty_calls_between_two_phones_all_carry_sound(office: Office) -> None:
    await office.start()
    taking = Taking(answers=True)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking) as bob,
        Phone(office.account("alice"), register=False) as alice,
    ):
        calls = await asyncio.gather(*(alice.call("bob") for _ in range(20)))
        for call in calls:
            assert await asyncio.wait_for(call.read_audio(), WAIT_S)
        await asyncio.gather(*(call.hangup() for call in calls))
        async with asyncio.timeout(WAIT_S):
            while bob.calls:
                await asyncio.sleep(0.01)


async def lose_connection(phone: Phone) -> None:
    """Cut it as a network does, and wait until the phone is back."""
    phone._server._driver.close_flow(phone.flow)
    async with asyncio.timeout(WAIT_S):
        while phone.registered:
            await asyncio.sleep(0.01)
        await phone.wait_registered()


@pytest.mark.parametrize("who_hangs_up", ["alice", "bob"])
async def test_a_call_goes_on_over_the_next_connection(office: Office, who_hangs_up: str) -> None:
    await office.start()
    taking = Taking(answers=True)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking) as bob,
        Phone(office.account("alice")) as alice,
    ):
        call = await alice.call("bob")
        at_bob = await taking.next()
        await established(call, hold=True)
        await lose_connection(alice)
        await lose_connection(bob)
        await lose_connection(alice)
        await established(call, hold=False)
        ending, told = (call, at_bob) if who_hangs_up == "alice" else (at_bob, call)
        await ending.hangup()
        await asyncio.wait_for(told.wait_ended(), WAIT_S)

    assert told.ended_by_remote


async def test_lost_connections_use_up_no_place_among_the_phones_of_a_user(office: Office) -> None:
    await office.start(max_contacts_per_user=1)
    taking = Taking(answers=True)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking) as bob,
        Phone(office.account("alice"), register=False) as alice,
    ):
        await lose_connection(bob)
        await (await alice.call("bob")).hangup()


async def test_a_caller_whose_connection_is_lost_stops_the_ringing(office: Office) -> None:
    await office.start()
    taking = Taking(answers=False)
    async with (
        Phone(office.account("bob"), on_incoming_call=taking),
        Phone(office.account("alice")) as alice,
    ):
        call = alice.start_call("bob")
        at_bob = await taking.next()
        await lose_connection(alice)
        await asyncio.wait_for(at_bob.wait_ended(), WAIT_S)

    assert call.state is CallState.ENDED
