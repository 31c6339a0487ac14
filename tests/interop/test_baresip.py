"""baresip registers at our server, calls, and is called; the sound of both is found."""

import asyncio
from pathlib import Path

import pytest

from sottovoce.phone import Call, Phone

from .conftest import DOMAIN, OUR_TONE_HZ, THEIR_TONE_HZ, Baresip, Serve, heard, write_tone

pytestmark = pytest.mark.interop
CALL_S = 3.0


async def converse(call: Call, folder: Path) -> Path:
    """Play our tone for a while, and record what comes."""
    recording = folder / "ours.wav"
    call.record(recording)
    player = asyncio.create_task(call.play(write_tone(folder / "our-tone.wav", OUR_TONE_HZ)))
    await asyncio.sleep(CALL_S)
    player.cancel()
    return recording


async def test_our_phone_calls_baresip_and_both_hear_each_other(
    serve: Serve, baresip: Baresip, tmp_path: Path
) -> None:
    async with Phone(serve.account("caller")) as phone:
        call = await phone.call(f"sips:callee@{DOMAIN}")
        recording = await converse(call, tmp_path)
        security, statistics = call.security, call.statistics
        await call.hangup()
        await baresip.wait_event("CALL_CLOSED")

    assert security.media_suite == "AES_CM_128_HMAC_SHA1_80"
    assert security.media_protected
    assert statistics is not None
    assert statistics.packets_authenticated == statistics.packets_received > 100
    assert heard(recording, THEIR_TONE_HZ, OUR_TONE_HZ)
    assert heard(await baresip.recording(), OUR_TONE_HZ, THEIR_TONE_HZ)


async def test_baresip_calls_our_phone_and_both_hear_each_other(
    serve: Serve, baresip: Baresip, tmp_path: Path
) -> None:
    calls: asyncio.Queue[Call] = asyncio.Queue()

    async def take(call: Call) -> None:
        await call.answer()
        calls.put_nowait(call)

    async with Phone(serve.account("caller"), on_incoming_call=take):
        await baresip.command("dial", f"sip:caller@{DOMAIN}")
        call = await asyncio.wait_for(calls.get(), 10)
        recording = await converse(call, tmp_path)
        assert call.security.media_protected
        await baresip.command("hangup")
        await asyncio.wait_for(call.wait_ended(), 10)

    assert call.ended_by_remote
    assert heard(recording, THEIR_TONE_HZ, OUR_TONE_HZ)
    assert heard(await baresip.recording(), OUR_TONE_HZ, THEIR_TONE_HZ)
