"""Media ports on loopback sockets."""

import asyncio
import errno
import random
import socket
from collections.abc import Iterator

import pytest

from sottovoce.media import AudioStream, MediaSession, tone, tone_level_dbov
from sottovoce.net.media_clock import MediaClock
from sottovoce.net.media_port import DATAGRAM_BYTES, MediaPort
from sottovoce.rtp import is_rtcp


def session(remote: MediaPort, now: float) -> MediaSession:
    return MediaSession(
        AudioStream(remote.rtp_address, remote.rtcp_address),
        outbound=None,
        inbound=None,
        cname="x",
        random_bytes=random.Random(remote.rtp_address[1]).randbytes,
        now=now,
    )


@pytest.fixture
def outsider() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(2)
        yield made


async def test_ports_are_an_even_one_and_its_neighbour() -> None:
    ports = [MediaPort(asyncio.get_running_loop(), "127.0.0.1") for _ in range(20)]
    for port in ports:
        assert port.rtp_address[1] % 2 == 0
        assert port.rtcp_address == ("127.0.0.1", port.rtp_address[1] + 1)
        port.close()


async def test_range_is_kept_and_its_exhaustion_is_one_clear_error() -> None:
    loop = asyncio.get_running_loop()
    probe = MediaPort(loop, "127.0.0.1")
    first = probe.rtp_address[1]
    probe.close()
    only = MediaPort(loop, "127.0.0.1", port_range=(first - 1, first + 2))
    assert only.rtp_address[1] == first
    with pytest.raises(OSError, match=f"no free pair of UDP ports .* {first - 1}-{first + 2}"):
        MediaPort(loop, "127.0.0.1", port_range=(first - 1, first + 2))
    only.close()


async def test_address_that_is_not_ours_is_an_error_at_once() -> None:
    with pytest.raises(OSError) as caught:
        MediaPort(asyncio.get_running_loop(), "192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_two_ports_on_one_clock_carry_sound_both_ways() -> None:
    loop = asyncio.get_running_loop()
    left, right = MediaPort(loop, "127.0.0.1"), MediaPort(loop, "127.0.0.1")
    clock = MediaClock(loop)
    one, two = session(right, loop.time()), session(left, loop.time() + 0.001)
    left.attach(one)
    right.attach(two)
    clock.add(left)
    clock.add(right)
    one.write_audio(tone(500, 400))
    two.write_audio(tone(900, 400))
    heard: dict[MediaSession, bytes] = {one: b"", two: b""}
    for _ in range(20):
        await clock.wait_tick()
        for end in heard:
            while (frame := end.read_audio()) is not None:
                heard[end] += frame
    clock.close()
    left.close()
    right.close()

    assert tone_level_dbov(heard[one].lstrip(b"\0")[:1600], 900) > -12
    assert tone_level_dbov(heard[two].lstrip(b"\0")[:1600], 500) > -12
    assert one.statistics().packets_refused == two.statistics().packets_refused == 0


async def test_flood_of_garbage_is_drained_and_refused(outsider: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    port, remote = MediaPort(loop, "127.0.0.1"), MediaPort(loop, "127.0.0.1")
    port.attach(session(remote, loop.time()))
    for n in range(200):
        outsider.sendto(b"garbage" * (n % 9), port.rtp_address)
        outsider.sendto(b"garbage" * (n % 9), port.rtcp_address)
    outsider.sendto(bytes(DATAGRAM_BYTES + 500), port.rtp_address)
    for _ in range(100):
        await asyncio.sleep(0)
    assert port.session is not None
    statistics = port.session.statistics()
    port.close()
    remote.close()

    assert statistics.packets_refused == 201
    assert statistics.rtcp_packets_refused == 200


async def test_peer_that_is_not_there_disturbs_nothing() -> None:
    loop = asyncio.get_running_loop()
    port, gone = MediaPort(loop, "127.0.0.1"), MediaPort(loop, "127.0.0.1")
    now = loop.time()
    port.attach(session(gone, now))
    gone.close()
    for n in range(1, 6):
        port.handle_timer(now + n * 0.02)
        await asyncio.sleep(0)
    assert port.session is not None

    assert port.session.statistics().packets_sent == 5
    port.close()


async def test_address_without_a_route_is_counted_and_not_raised() -> None:
    loop = asyncio.get_running_loop()
    port, remote = MediaPort(loop, "127.0.0.1"), MediaPort(loop, "127.0.0.1")
    now = loop.time()
    lost = session(remote, now)
    lost.update(AudioStream(("192.0.2.1", 4000), None), None, None, now)
    port.attach(lost)
    port.handle_timer(now + 0.02)

    assert port.send_errors == 1
    port.close()
    remote.close()


async def test_closing_sends_the_bye_and_rtcp_leaves_from_its_own_port() -> None:
    loop = asyncio.get_running_loop()
    port = MediaPort(loop, "127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(2)
        now = loop.time()
        stream = AudioStream(peer.getsockname(), peer.getsockname())
        saying = MediaSession(
            stream, outbound=None, inbound=None, cname="x", random_bytes=bytes, now=now
        )
        port.attach(saying)
        rtp_address, rtcp_address = port.rtp_address, port.rtcp_address
        port.handle_timer(now + 0.02)
        saying.stop(now + 0.03)
        port.close()
        port.close()
        received = [peer.recvfrom(2048) for _ in range(2)]

    assert [(is_rtcp(data), source) for data, source in received] == [
        (False, rtp_address),
        (True, rtcp_address),
    ]
    with pytest.raises(RuntimeError, match="closed"):
        port.attach(saying)
