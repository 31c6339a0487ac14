"""The three acts: real calls between two phones through our server, each overheard.

Nothing here tells the third party anything: it gets the ports to listen at, and the
report is made of what it captured.
"""

import asyncio
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..keying import SrtpPolicy
from ..phone import Account, Call, Phone
from ..phone.phone import IncomingCallHandler
from ..secret import Secret
from ..server.runtime import Server
from ..server.settings import ServeSettings
from ..sip.transport import host_port
from ..store import STORE_FILE, SqliteStore
from ..store.model import Account as StoredAccount
from .clips import clip_pcm
from .eavesdropper import Eavesdropper
from .findings import ActFindings, judge_act

DOMAIN = "sotto.example"
HOST = "127.0.0.1"
_RATE_HZ = 8000
_ANSWER_TIMEOUT_S = 10.0

Progress = Callable[[str, float], object]


@dataclass(frozen=True, slots=True)
class Act:
    """How an act's call is protected."""

    name: str
    transport: str
    srtp: SrtpPolicy

    @property
    def clear_sip(self) -> bool:
        """Third parties read the signalling."""
        return self.transport != "tls"


ACTS = (
    Act("clear", "udp", SrtpPolicy.OFF),
    Act("keys-in-clear", "udp", SrtpPolicy.MANDATORY),
    Act("secure", "tls", SrtpPolicy.MANDATORY),
)


async def play_act(
    act: Act,
    folder: Path,
    progress: Progress = lambda text, share: None,
    *,
    allow_packet_socket: bool = True,
) -> ActFindings:
    """Play one act and return what the third party got.

    Args:
        act: Which.
        folder: Where recovered sound is saved.
        progress: Told what happens, and how much of the act is over, 0 to 1.
        allow_packet_socket: False for a tap in the path even where a packet socket is allowed.

    """
    ports: set[int] = set()
    with tempfile.TemporaryDirectory(prefix="sottovoce-demo-") as data:
        passwords = _prepare(Path(data))
        server = await Server.start(_settings(act), Path(data))
        try:
            port = int(server.listen[0].rpartition(":")[2])
            ports.add(port)
            third_party = Eavesdropper.listen(ports=ports, allow_packet_socket=allow_packet_socket)
            try:
                stage = _Stage(act, Path(data), port, passwords, third_party, ports)
                await stage.play(progress)
            finally:
                await third_party.close()
        finally:
            await server.stop()
    progress("the third party looks at what it has", 1.0)
    exposure = await asyncio.to_thread(third_party.findings)
    return judge_act(
        exposure,
        name=act.name,
        capture_method=third_party.method,
        originals={name: clip_pcm(name) for name in passwords},
        folder=folder,
        pcap=third_party.pcap(),
    )


def _prepare(data: Path) -> dict[str, Secret[str]]:
    """Make the accounts of alice and bob."""
    passwords = {name: Secret(secrets.token_hex(8)) for name in ("alice", "bob")}
    with SqliteStore(data / STORE_FILE) as store:
        for name, password in passwords.items():
            now = datetime.now(UTC)
            store.add_account(StoredAccount.make(name, DOMAIN, password, created_utc=now))
    return passwords


def _settings(act: Act) -> ServeSettings:
    return ServeSettings.model_validate(
        {
            "domain": DOMAIN,
            "listen": (f"{act.transport}:{HOST}:0",),
            "allow_clear_text_sip": act.clear_sip,
            "allow_keys_in_clear_text": act.clear_sip,
        }
    )


class _Stage:
    """Two phones and their call."""

    def __init__(
        self,
        act: Act,
        data: Path,
        port: int,
        passwords: dict[str, Secret[str]],
        third_party: Eavesdropper,
        ports: set[int],
    ) -> None:
        self._act = act
        self._data = data
        self._server = (HOST, port)
        self._passwords = passwords
        self._third_party = third_party
        self._ports = ports

    async def play(self, progress: Progress) -> None:
        """Register, call, let both speak at once, hang up."""
        answered: asyncio.Future[Call] = asyncio.get_running_loop().create_future()

        async def take(call: Call) -> None:
            await call.answer()
            answered.set_result(call)

        progress("the phones register", 0.0)
        async with (
            await self._phone("bob", take),
            await self._phone("alice") as alice,
        ):
            progress("alice calls bob", 0.05)
            call = await alice.call("bob")
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                at_bob = await answered
            sounds = {"alice": clip_pcm("alice"), "bob": clip_pcm("bob")}
            longest_s = max(map(len, sounds.values())) / 2 / _RATE_HZ
            speaking = asyncio.gather(
                call.write_audio(sounds["alice"]), at_bob.write_audio(sounds["bob"])
            )
            while not speaking.done():
                share = min(call.duration_s / longest_s, 1.0)
                progress("they talk", 0.1 + 0.85 * share)
                await asyncio.wait({speaking}, timeout=0.1)
            await speaking
            await asyncio.gather(call.media.drain(), at_bob.media.drain())
            await call.hangup()
            await at_bob.wait_ended()

    async def _phone(self, user: str, on_incoming_call: IncomingCallHandler | None = None) -> Phone:
        act, tap = self._act, self._third_party.tap
        server = self._server
        if tap is not None:
            udp = act.transport == "udp"
            server = tap.relay_udp(server) if udp else await tap.relay_tcp(server)
        account = Account(
            f"{'sip' if act.clear_sip else 'sips'}:{user}@{DOMAIN}",
            password=self._passwords[user],
            outbound_proxy=f"{host_port(*server)};transport={act.transport}",
            ca_file=None if act.clear_sip else self._data / "ca.pem",
            srtp=act.srtp,
            display_name=user.capitalize(),
            allow_clear_text_sip=act.clear_sip,
            allow_keys_in_clear_text=act.clear_sip,
        )
        return Phone(
            account,
            on_incoming_call=on_incoming_call,
            announce_media=self._announce,
        )

    def _announce(self, address: tuple[str, int]) -> tuple[str, int]:
        """Let the third party hear the sound: by its port, or by leading it through the tap."""
        self._ports.update((address[1], address[1] + 1))
        tap = self._third_party.tap
        return tap.relay_media(address) if tap is not None else address
