"""The third party on real sockets, in all three acts.

Two ends talk here without phone or server: real datagrams, real TLS, real SRTP, so that
what is judged is the eavesdropper alone.
"""

import asyncio
import base64
import io
import json
import random
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from rich.console import Console

from sottovoce.demo.clips import clip_pcm
from sottovoce.demo.eavesdropper import Eavesdropper
from sottovoce.demo.findings import ActFindings, demo_document, judge_act
from sottovoce.demo.report import show_act, show_comparison
from sottovoce.media.g711 import encode_a_law
from sottovoce.rtp.packet import RtpPacket
from sottovoce.srtp import CryptoSuite, SrtpContext

Address = tuple[str, int]
SUITE = CryptoSuite.AES_CM_128_HMAC_SHA1_80
KEYS = {name: random.Random(name).randbytes(30) for name in ("alice", "bob")}
ORIGINALS = {name: clip_pcm(name) for name in ("alice", "bob")}
LISTENING = ["packet socket", "tap"]


def udp_socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    opened.bind(("127.0.0.1", 0))
    return opened


class Conversation:
    """Sockets of Alice, Bob and a server, and where each must send to be overheard."""

    def __init__(self) -> None:
        self.signalling = {name: udp_socket() for name in ("alice", "server", "bob")}
        self.media = {name: udp_socket() for name in ("alice", "bob")}
        sockets = [*self.signalling.values(), *self.media.values()]
        self.ports = {opened.getsockname()[1] for opened in sockets}
        self.address: dict[object, Address] = {each: each.getsockname() for each in sockets}

    def lead_through(self, listener: Eavesdropper) -> None:
        if listener.tap is not None:
            for each, address in list(self.address.items()):
                self.address[each] = listener.tap.relay_udp(address)

    def close(self) -> None:
        for each in (*self.signalling.values(), *self.media.values()):
            each.close()

    def sdp(self, name: str, *, keys: bool) -> str:
        host, port = self.address[self.media[name]]
        lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
        lines.append(f"m=audio {port} RTP/{'SAVP' if keys else 'AVP'} 8")
        if keys:
            key = base64.b64encode(KEYS[name]).decode()
            lines.append(f"a=crypto:1 {SUITE.name} inline:{key}")
        return "\r\n".join([*lines, ""])

    def tell(self, source: str, destination: str, first_line: str, sdp: str = "") -> None:
        head = (
            f"{first_line}\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
            "From: <sip:alice@example.test>;tag=1\r\nTo: <sip:bob@example.test>;tag=2\r\n"
            "Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(sdp)}\r\n\r\n"
        )
        to = self.address[self.signalling[destination]]
        self.signalling[source].sendto((head + sdp).encode(), to)

    def set_up(self, *, keys: bool) -> None:
        offer, answer = self.sdp("alice", keys=keys), self.sdp("bob", keys=keys)
        self.tell("alice", "server", "INVITE sip:bob@example.test SIP/2.0", offer)
        self.tell("server", "alice", "SIP/2.0 100 Trying")
        self.tell("server", "bob", "INVITE sip:bob@127.0.0.1 SIP/2.0", offer)
        self.tell("bob", "server", "SIP/2.0 200 OK", answer)
        self.tell("server", "alice", "SIP/2.0 200 OK", answer)

    async def talk(self, *, encrypted: bool) -> None:
        for source, destination in (("alice", "bob"), ("bob", "alice")):
            key = KEYS[source]
            context = SrtpContext(SUITE, master_key=key[:16], master_salt=key[16:])
            coded = encode_a_law(ORIGINALS[source])
            to = self.address[self.media[destination]]
            for number in range(len(coded) // 160):
                payload = coded[160 * number : 160 * number + 160]
                packet = RtpPacket(8, number, 160 * number, ord(source[0]), payload).serialize()
                self.media[source].sendto(context.protect(packet) if encrypted else packet, to)
                if number % 20 == 0:
                    await asyncio.sleep(0)


async def talk_over_tls(listener: Eavesdropper, ports: set[int]) -> None:
    """One message each way over TLS."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.test").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SIP/2.0 200 OK\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
    address = server.sockets[0].getsockname()
    ports.add(address[1])
    if listener.tap is not None:
        address = await listener.tap.relay_tcp(address)
    reader, writer = await asyncio.open_connection(
        *address, ssl=client_context, server_hostname="example.test"
    )
    writer.write(b"OPTIONS sip:bob@example.test SIP/2.0\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"SIP/2.0 200 OK\r\n\r\n"
    writer.close()
    await writer.wait_closed()
    server.close()
    await asyncio.sleep(0.01)


async def play(name: str, listening: str, folder: Path) -> ActFindings:
    conversation = Conversation()
    listener = Eavesdropper.listen(ports=conversation.ports, allow_packet_socket=listening != "tap")
    async with listener:
        if listening != "tap" and listener.tap is not None:
            conversation.close()
            pytest.skip("packet sockets need CAP_NET_RAW (sudo make test)")
        conversation.lead_through(listener)
        if name == "secure":
            await talk_over_tls(listener, conversation.ports)
        else:
            conversation.set_up(keys=name == "keys-in-clear")
        await conversation.talk(encrypted=name != "clear")
    conversation.close()
    return judge_act(
        listener.findings(),
        name=name,
        capture_method=listener.method,
        originals=ORIGINALS,
        folder=folder,
        pcap=listener.pcap(),
    )


@pytest.mark.parametrize("listening", LISTENING)
@pytest.mark.parametrize("name", ["clear", "keys-in-clear"])
async def test_the_conversation_is_recovered(name: str, listening: str, tmp_path: Path) -> None:
    act = await play(name, listening, tmp_path)

    assert listening in act.capture_method
    assert (act.sip_messages_captured, act.sip_messages_readable) == (5, 5)
    assert act.srtp_key_recovered is (name == "keys-in-clear")
    seconds = sum(len(pcm) for pcm in ORIGINALS.values()) / 16_000
    assert act.audio_seconds_recovered == pytest.approx(seconds, abs=0.1)
    assert act.audio_matches_original
    assert min(act.audio_correlation.values()) > 0.99
    assert all(heard.is_speech for heard in act.streams)
    assert [path.suffix for path in sorted(tmp_path.iterdir())].count(".wav") == 2
    assert (act.pcap is not None) is (listening == "packet socket")
    notes = [row.note for row in act.rows if row.note]
    assert notes == [("SDP with the SRTP key" if name == "keys-in-clear" else "SDP")] * 4


@pytest.mark.parametrize("listening", LISTENING)
async def test_nothing_is_recovered_of_a_secure_call(listening: str, tmp_path: Path) -> None:
    act = await play("secure", listening, tmp_path)

    assert act.sip_messages_captured >= 2
    assert act.sip_messages_readable == 0
    assert not act.srtp_key_recovered
    assert act.audio_seconds_recovered == 0.0
    assert not act.audio_matches_original
    assert max(act.audio_correlation.values()) < 0.1
    assert len(act.streams) == 2
    assert all("noise" in str(heard.saved_as) for heard in act.streams)
    (seen,) = act.tls
    assert (seen.version, seen.server_name) == ("TLS 1.3", "example.test")


async def test_the_report_and_the_document_tell_all_three(tmp_path: Path) -> None:
    acts = [await play(name, "tap", tmp_path) for name in ("clear", "keys-in-clear", "secure")]
    page = io.StringIO()
    console = Console(file=page, width=100)
    for number, act in enumerate(acts, 1):
        show_act(console, number, act)
    show_comparison(console, acts)
    shown = page.getvalue()

    for words in ("INVITE sip:bob@example.test", "SDP with the SRTP key", "nothing readable"):
        assert words in shown
    assert base64.b64encode(KEYS["alice"]).decode() not in shown
    document = json.loads(json.dumps(demo_document(acts)))
    assert [act["name"] for act in document["acts"]] == ["clear", "keys-in-clear", "secure"]
    assert [act["audio_matches_original"] for act in document["acts"]] == [True, True, False]
    assert [act["verdict"] for act in document["acts"]] == [
        "conversation exposed",
        "keys exposed",
        "private",
    ]
    assert base64.b64encode(KEYS["alice"]).decode() not in json.dumps(document)
