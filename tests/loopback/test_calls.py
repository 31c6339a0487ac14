"""Two of our phones and our server on real sockets: whole calls, and what goes wrong."""

import asyncio
from pathlib import Path

import pytest

from sottovoce import (
    Account,
    AuthenticationFailed,
    Call,
    CallFailed,
    CallState,
    CertificateRefused,
    LocalError,
    Phone,
    SettingsError,
    SrtpPolicy,
    Unreachable,
)
from sottovoce.media.tone import tone, tone_level_dbov
from sottovoce.media.wav import read_wav
from sottovoce.server import built_in_numbers

from .conftest import DOMAIN, Office

WAIT_S = 10


class Answering:
    """An incoming-call handler that answers, and hands the calls over."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Call] = asyncio.Queue()

    async def __call__(self, call: Call) -> None:
        await call.answer()
        self.calls.put_nowait(call)

    async def next(self) -> Call:
        return await asyncio.wait_for(self.calls.get(), WAIT_S)


async def heard(call: Call, frequency_hz: float, seconds: float = 0.6) -> bool:
    """Read what the other side says; the tone is in the last of it, loud."""
    pcm = b""
    async for frame in call.audio():
        pcm += frame
        if len(pcm) >= seconds * 2 * call.rate_hz:
            break
    return tone_level_dbov(pcm[-4800:], frequency_hz) > -25


async def test_two_people_talk_over_tls_and_srtp(office: Office) -> None:
    await office.start()
    answering = Answering()
    async with (
        Phone(office.account("bob"), on_incoming_call=answering),
        Phone(office.account("alice")) as alice,
    ):
        call = await alice.call(f"sips:bob@{DOMAIN}")
        at_bob = await answering.next()
        speaking = asyncio.gather(
            call.write_audio(tone(440, 1500)), at_bob.write_audio(tone(1000, 1500))
        )
        assert all(await asyncio.gather(heard(call, 1000), heard(at_bob, 440)))
        for each in (call, at_bob):
            assert each.security.media_suite == "AES_CM_128_HMAC_SHA1_80"
            assert each.security.media_protected
            assert each.security.signalling is not None
        speaking.cancel()
        await call.hangup()
        await asyncio.wait_for(at_bob.wait_ended(), WAIT_S)

    assert at_bob.ended_by_remote
    assert at_bob.remote_uri == f"sips:alice@{DOMAIN}"
    assert call.statistics is not None
    assert call.statistics.packets_refused == 0


async def test_the_callee_can_hang_up_as_well(office: Office) -> None:
    await office.start()
    answering = Answering()
    async with (
        Phone(office.account("bob"), on_incoming_call=answering),
        Phone(office.account("alice")) as alice,
    ):
        call = await alice.call("bob")
        await (await answering.next()).hangup()
        await asyncio.wait_for(call.wait_ended(), WAIT_S)

    assert call.ended_by_remote


async def test_digits_arrive_in_order(office: Office) -> None:
    await office.start()
    answering = Answering()
    async with (
        Phone(office.account("bob"), on_incoming_call=answering),
        Phone(office.account("alice")) as alice,
    ):
        call = await alice.call("bob")
        at_bob = await answering.next()
        sending = asyncio.create_task(call.send_dtmf("19*#"))
        digits = [await asyncio.wait_for(at_bob.read_digit(), WAIT_S) for _ in range(4)]
        await sending
        await call.hangup()
        assert await asyncio.wait_for(at_bob.read_digit(), WAIT_S) == ""

    assert digits == list("19*#")


async def test_a_file_is_played_to_echo_and_comes_back_into_a_recording(
    office: Office, tmp_path: Path
) -> None:
    await office.start()
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call("echo")
        call.record(tmp_path / "echo.wav")
        await call.write_audio(tone(700, 1200))
        await call.media.drain()
        await call.hangup()

    pcm = read_wav((tmp_path / "echo.wav").read_bytes(), name="echo.wav")
    assert tone_level_dbov(pcm[8000:14000], 700) > -15


@pytest.mark.parametrize("number", ["music", "clock"])
async def test_the_built_in_numbers_play_something(office: Office, number: str) -> None:
    await office.start()
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call(number)
        loud = False
        async with asyncio.timeout(WAIT_S):
            while not loud:
                loud = any(sample > 8 for sample in (await call.read_audio())[1::2])
        await call.hangup()


async def test_hold_silences_the_other_side_and_resume_brings_it_back(office: Office) -> None:
    await office.start()
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call("music")
        assert (await asyncio.wait_for(call.read_audio(), WAIT_S)) != b""
        await call.hold()
        async with asyncio.timeout(WAIT_S):
            while call.media.negotiation.awaiting_answer:
                await asyncio.sleep(0.02)
        statistics = call.statistics
        assert statistics is not None
        before = statistics.packets_received
        await asyncio.sleep(0.3)
        assert call.statistics is not None
        held = call.statistics.packets_received - before
        await call.resume()
        async with asyncio.timeout(WAIT_S):
            while call.statistics.packets_received < before + held + 20:
                await asyncio.sleep(0.02)
        assert call.security.media_protected
        await call.hangup()

    assert held <= 3  # 15 would have come


async def test_a_call_that_nobody_takes_can_be_given_up(office: Office) -> None:
    await office.start()
    rings: asyncio.Queue[Call] = asyncio.Queue()

    async def wait(call: Call) -> None:
        rings.put_nowait(call)

    async with (
        Phone(office.account("bob"), on_incoming_call=wait),
        Phone(office.account("alice")) as alice,
    ):
        with pytest.raises(Unreachable, match="nobody answered"):
            await alice.call("bob", timeout_s=0.5)
        at_bob = await asyncio.wait_for(rings.get(), WAIT_S)
        await asyncio.wait_for(at_bob.wait_ended(), WAIT_S)  # the CANCEL got there

    assert at_bob.state is CallState.ENDED


@pytest.mark.parametrize(
    ("callee", "status"), [("nobody-here", 404), ("bob", 480), ("carol@elsewhere.test", 403)]
)
async def test_a_call_that_cannot_be_has_the_status_that_says_why(
    office: Office, callee: str, status: int
) -> None:
    await office.start()
    async with Phone(office.account("alice")) as alice:
        with pytest.raises((CallFailed, AuthenticationFailed)) as failure:
            await alice.call(callee)

    assert failure.value.status == status


async def test_a_caller_that_vanishes_does_not_keep_a_built_in_number_busy(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_in_numbers, "MAX_SILENCE_S", 0.3)
    await office.start()
    assert office.server is not None
    calls = office.server.built_in_numbers._calls
    async with Phone(office.account("alice"), register=False) as alice:
        call = await alice.call("music")
        await asyncio.sleep(0.7)
        assert len(calls) == 1  # whose packets come is not hung up
        call.media._port.close()
        async with asyncio.timeout(WAIT_S):
            while calls:
                await asyncio.sleep(0.02)


async def test_busy_is_told(office: Office) -> None:
    await office.start()

    async def refuse(call: Call) -> None:
        await call.reject()

    async with (
        Phone(office.account("bob"), on_incoming_call=refuse),
        Phone(office.account("alice")) as alice,
    ):
        with pytest.raises(CallFailed, match="486"):
            await alice.call("bob")


async def test_a_wrong_password_is_refused_and_told(office: Office) -> None:
    await office.start()
    with pytest.raises(AuthenticationFailed, match="wrong user name or password"):
        async with Phone(office.account("alice", password="guess")):
            pass


async def test_nobody_calls_in_somebody_elses_name(office: Office) -> None:
    await office.start()
    account = office.account("bob", password=office.passwords["alice"], auth_user="alice")
    async with Phone(account, register=False) as phone:
        with pytest.raises(AuthenticationFailed, match="From must be the user"):
            await phone.call("echo")


async def test_a_server_that_does_not_prove_the_domain_gets_no_message(office: Office) -> None:
    await office.start()
    account = office.account("alice")
    other = type(account)(
        "sips:alice@other.test",
        password="secret-password",
        outbound_proxy=account.outbound_proxy,
        ca_file=account.ca_file,
    )
    with pytest.raises(CertificateRefused, match=r"other\.test"):
        async with Phone(other):
            pass


@pytest.mark.parametrize("proxy", ["udp", "tcp"])
def test_sips_over_udp_or_tcp_cannot_even_be_asked_for(proxy: str) -> None:
    with pytest.raises(SettingsError, match="sips means TLS"):
        Account(f"sips:alice@{DOMAIN}", "password", f"127.0.0.1:5060;transport={proxy}")


async def test_srtp_keys_do_not_leave_over_udp(office: Office) -> None:
    await office.start("udp", allow_clear_text_sip=True)
    async with Phone(office.account("alice", "udp"), register=False) as alice:
        with pytest.raises(LocalError, match="SRTP is mandatory"):
            await alice.call("echo")


async def test_the_server_refuses_keys_that_come_over_udp_and_says_why(office: Office) -> None:
    await office.start("udp", allow_clear_text_sip=True)
    account = office.account("alice", "udp", allow_keys_in_clear_text=True)
    async with Phone(account, register=False) as alice:
        with pytest.raises(CallFailed) as failure:
            await alice.call("echo")

    assert failure.value.status == 488
    assert "SRTP keys must not travel" in failure.value.warning


async def test_a_built_in_number_does_not_speak_in_clear_unless_it_may(office: Office) -> None:
    await office.start("udp", allow_clear_text_sip=True)
    account = office.account("alice", "udp", srtp=SrtpPolicy.OFF)
    async with Phone(account, register=False) as alice:
        with pytest.raises(CallFailed, match="488"):
            await alice.call("echo")
    await office.stop()

    await office.start("udp", allow_clear_text_sip=True, allow_clear_text_media=True)
    async with Phone(account, register=False) as alice:
        call = await alice.call("echo")
        assert call.security.media_suite is None
        assert not call.security.media_protected
        await call.hangup()


async def test_srtp_is_not_downgraded_by_a_callee_that_has_none(office: Office) -> None:
    await office.start()
    answering = Answering()
    async with (
        Phone(office.account("bob", srtp=SrtpPolicy.OFF), on_incoming_call=answering),
        Phone(office.account("alice")) as alice,
    ):
        with pytest.raises(CallFailed, match="488"):
            await alice.call("bob")


async def test_optional_srtp_falls_back_only_where_both_want_it_and_shows_it(
    office: Office,
) -> None:
    await office.start()
    answering = Answering()
    async with (
        Phone(office.account("bob", srtp=SrtpPolicy.OFF), on_incoming_call=answering),
        Phone(office.account("alice", srtp=SrtpPolicy.OPTIONAL)) as alice,
    ):
        call = await alice.call("bob")
        assert not call.security.media_protected
        await call.hangup()


async def test_a_phone_comes_back_by_itself_when_its_server_was_down(office: Office) -> None:
    await office.start()
    answering = Answering()
    async with (
        Phone(office.account("bob"), on_incoming_call=answering) as bob,
        Phone(office.account("alice")) as alice,
    ):
        await office.stop()
        async with asyncio.timeout(WAIT_S):
            while bob.registered or alice.registered:
                await asyncio.sleep(0.02)
        await office.start()
        async with asyncio.timeout(WAIT_S):
            await bob.wait_registered()
            await alice.wait_registered()
        call = await alice.call("bob")
        await call.hangup()


async def test_bindings_survive_a_restart(office: Office) -> None:
    await office.start("udp", allow_clear_text_sip=True)
    answering = Answering()
    settings = {"srtp": SrtpPolicy.OFF}
    async with Phone(office.account("bob", "udp", **settings), on_incoming_call=answering):
        await office.stop()
        await office.start("udp", allow_clear_text_sip=True)  # bob has not registered again
        async with Phone(office.account("alice", "udp", **settings), register=False) as alice:
            call = await alice.call("bob")
            await call.hangup()


async def test_a_stopping_server_hangs_up_its_own_calls_and_answers_the_others(
    office: Office,
) -> None:
    await office.start()
    async with (
        Phone(office.account("bob"), on_incoming_call=Ringing()),
        Phone(office.account("alice")) as alice,
    ):
        echo = await alice.call("echo")
        ringing = alice.start_call("bob")
        async with asyncio.timeout(WAIT_S):
            while ringing.state is not CallState.RINGING:
                await asyncio.sleep(0.02)
        await office.stop()
        await asyncio.wait_for(echo.wait_ended(), WAIT_S)
        with pytest.raises(Unreachable, match="503"):
            await ringing.wait_settled(WAIT_S)

    assert echo.ended_by_remote


class Ringing:
    """An incoming-call handler that lets it ring."""

    async def __call__(self, call: Call) -> None:
        await call.wait_ended()
