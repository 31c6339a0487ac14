"""Packets, speech and calls to look at."""

import struct
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[3] / "src" / "sottovoce" / "demo"
RATE_HZ = 8000


def _speech(name: str) -> bytes:
    with wave.open(str(DEMO / name), "rb") as clip:
        assert (clip.getframerate(), clip.getsampwidth(), clip.getnchannels()) == (RATE_HZ, 2, 1)
        return clip.readframes(clip.getnframes())


@pytest.fixture(scope="session")
def alice_pcm() -> bytes:
    return _speech("alice.wav")


@pytest.fixture(scope="session")
def bob_pcm() -> bytes:
    return _speech("bob.wav")


def _ipv4(protocol: int, source: str, destination: str, body: bytes) -> bytes:
    addresses = bytes(int(part) for part in f"{source}.{destination}".split("."))
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0) + (
        addresses + body
    )


@pytest.fixture
def udp_packet() -> Callable[..., bytes]:
    """An IPv4 packet that holds a UDP datagram."""

    def build(
        payload: bytes,
        source: tuple[str, int] = ("10.0.0.1", 5060),
        destination: tuple[str, int] = ("10.0.0.2", 5062),
    ) -> bytes:
        header = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0)
        return _ipv4(17, source[0], destination[0], header + payload)

    return build


@pytest.fixture
def tcp_packet() -> Callable[..., bytes]:
    """An IPv4 packet that holds a TCP segment."""

    def build(
        payload: bytes,
        sequence_number: int,
        flags: int = 0x10,
        source: tuple[str, int] = ("10.0.0.1", 40000),
        destination: tuple[str, int] = ("10.0.0.2", 5060),
    ) -> bytes:
        header = struct.pack(
            "!HHIIBBHHH", source[1], destination[1], sequence_number, 0, 0x50, flags, 1000, 0, 0
        )
        return _ipv4(6, source[0], destination[0], header + payload)

    return build
