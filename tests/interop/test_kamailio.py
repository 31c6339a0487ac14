"""Two of our phones register at Kamailio over TLS, and talk through it."""

import asyncio
from pathlib import Path

import pytest

from sottovoce.errors import AuthenticationFailed
from sottovoce.phone import Call, Phone

from .conftest import DOMAIN, OUR_TONE_HZ, THEIR_TONE_HZ, Kamailio, heard, write_tone

pytestmark = pytest.mark.interop


async def test_our_phones_register_and_talk_through_kamailio(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    answered: asyncio.Queue[Call] = asyncio.Queue()

    async def take(call: Call) -> None:
        await call.answer()
        call.record(tmp_path / "bob.wav")
        answered.put_nowait(call)
        await call.play(write_tone(tmp_path / "their-tone.wav", THEIR_TONE_HZ))

    async with (
        Phone(kamailio.account("bob"), on_incoming_call=take),
        Phone(kamailio.account("alice")) as alice,
    ):
        call = await alice.call(f"sip:bob@{DOMAIN}")
        call.record(tmp_path / "alice.wav")
        player = asyncio.create_task(call.play(write_tone(tmp_path / "our-tone.wav", OUR_TONE_HZ)))
        at_bob = await asyncio.wait_for(answered.get(), 10)
        await asyncio.sleep(2.5)
        player.cancel()
        assert call.security.signalling is not None
        assert call.security.media_protected
        await at_bob.hangup()  # the callee's BYE takes the route set the other way
        await asyncio.wait_for(call.wait_ended(), 10)

    assert heard(tmp_path / "alice.wav", THEIR_TONE_HZ, OUR_TONE_HZ)
    assert heard(tmp_path / "bob.wav", OUR_TONE_HZ, THEIR_TONE_HZ)


async def test_a_wrong_password_is_told_as_such(kamailio: Kamailio) -> None:
    account = kamailio.account("alice")
    wrong = type(account)(
        account.uri,
        password="not-it",
        outbound_proxy=account.outbound_proxy,
        ca_file=account.ca_file,
    )
    with pytest.raises(AuthenticationFailed):
        async with Phone(wrong):
            pass
