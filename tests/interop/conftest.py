"""Programs that we did not write, each started for one test and ended with it."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import SettingsError
from sottovoce.media.tone import tone, tone_level_dbov
from sottovoce.media.wav import WavWriter, read_wav
from sottovoce.phone import Account
from sottovoce.pki.authority import certificate_to_pem, key_to_pem, make_key
from sottovoce.pki.certstore import CertificateStore
from sottovoce.pki.profile import user_profile

DOMAIN = "example.test"
HERE = Path(__file__).parent
OUR_TONE_HZ, THEIR_TONE_HZ = 440, 1000
#: How far the tone must stand out of the other one, which must not be there at all.
CLEARLY_DB = 20.0
START_TIMEOUT_S = 15.0


def require(program: str, package: str) -> str:
    """Return a program's path, or skip the test with the line that installs it."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"needs {program}: sudo apt-get install --no-install-recommends {package}")
    return found


def free_port(kind: int = socket.SOCK_STREAM, *, pair: bool = False) -> int:
    """A port that nobody has now; with ``pair`` the next one is free as well."""
    while True:
        with socket.socket(socket.AF_INET, kind) as one, socket.socket(socket.AF_INET, kind) as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if not pair:
                return port
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def write_tone(path: Path, frequency_hz: float, seconds: float = 20.0) -> Path:
    with path.open("wb") as file:
        writer = WavWriter(file)
        writer.write(tone(frequency_hz, seconds * 1000))
        writer.close()
    return path


def heard(path: Path, frequency_hz: float, other_hz: float) -> bool:
    """The tone is in the recording, loud, and the other one is not."""
    pcm = read_wav(path.read_bytes(), name=str(path))
    # The middle second: neither the start, where the way opens, nor the end.
    middle = len(pcm) // 4 * 2
    second = pcm[max(0, middle - 8000) : middle + 8000]
    wanted, unwanted = tone_level_dbov(second, frequency_hz), tone_level_dbov(second, other_hz)
    return wanted > -30 and wanted > unwanted + CLEARLY_DB


@contextmanager
def running(
    *command: str | Path, cwd: Path, log: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; its output goes to a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)


class Serve:
    """Our server, as its users start it."""

    def __init__(self, data: Path, ready: Mapping[str, Any]) -> None:
        self.data = data
        self.ca = Path(ready["ca"])
        self.port = int(str(ready["listen"][0]).rpartition(":")[2])
        self.passwords: dict[str, str] = {}

    def add_user(self, user: str) -> None:
        """While the server runs."""
        self.passwords[user] = secrets.token_hex(8)
        subprocess.run(
            [sys.executable, "-m", "sottovoce", "user", "add", f"{user}@{DOMAIN}",
             "--data", str(self.data), "--password-stdin"],
            input=self.passwords[user], text=True, check=True, timeout=20, capture_output=True,
        )  # fmt: skip

    def account(self, user: str, **settings: Any) -> Account:
        return Account(
            f"sips:{user}@{DOMAIN}",
            password=self.passwords[user],
            outbound_proxy=f"127.0.0.1:{self.port};transport=tls",
            ca_file=self.ca,
            **settings,
        )


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A server on a port of the system's choice, with users caller and callee."""
    data = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-m", "sottovoce", "serve", "--data", str(data), "--domain", DOMAIN,
         "--listen", "tls:127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        made = Serve(data, json.loads(process.stdout.readline()))
        for user in ("caller", "callee"):
            made.add_user(user)
        yield made
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def user_certificate(data: Path, user: str) -> Path:
    """A certificate of our authority for one user, with its key, in one file."""
    key = make_key()
    certificate = (
        CertificateStore(data)
        .read_authority()
        .issue(user_profile(user, DOMAIN), key.public_key(), now_utc=datetime.now(UTC))
    )
    path = data.parent / f"{user}.pem"
    path.write_bytes(certificate_to_pem(certificate) + key_to_pem(key).reveal())
    return path


class Baresip:
    """A baresip without sound card, told what to do over its control port."""

    def __init__(self, folder: Path, control_port: int) -> None:
        self.folder = folder
        self._control_port = control_port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.events: list[dict[str, Any]] = []

    async def connect(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._reader, self._writer = await asyncio.open_connection(
                    "127.0.0.1", self._control_port
                )
            except OSError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    async def command(self, name: str, params: str = "") -> None:
        assert self._writer is not None
        text = json.dumps({"command": name, "params": params, "token": "t"}).encode()
        self._writer.write(b"%d:%s," % (len(text), text))  # a netstring
        await self._writer.drain()

    async def wait_event(self, kind: str) -> dict[str, Any]:
        """Read what baresip tells until it tells this."""
        assert self._reader is not None
        while True:
            size = int((await self._reader.readuntil(b":"))[:-1])
            told: dict[str, Any] = json.loads((await self._reader.readexactly(size + 1))[:-1])
            self.events.append(told)
            if told.get("type") == kind:
                return told

    async def wait_registered(self) -> None:
        log = self.folder / "log"
        end = time.monotonic() + START_TIMEOUT_S
        while " 200 OK (" not in log.read_text(errors="replace"):
            assert time.monotonic() < end, log.read_text(errors="replace")[-2000:]
            await asyncio.sleep(0.05)

    async def recording(self) -> Path:
        """What it heard; it writes the file's sizes a moment after the call."""
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            (heard_file,) = self.folder.glob("dump-*-dec.wav")
            try:
                read_wav(heard_file.read_bytes(), name=heard_file.name)
            except SettingsError:
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            else:
                return heard_file

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()


@pytest.fixture
async def baresip(serve: Serve, tmp_path: Path) -> AsyncIterator[Baresip]:
    """A baresip registered at our server as ``callee`` over TLS, SRTP mandatory."""
    program = require("baresip", "baresip-core")
    folder = tmp_path / "baresip"
    folder.mkdir()
    write_tone(folder / "tone.wav", THEIR_TONE_HZ)
    sip_port, control_port = free_port(pair=True), free_port()
    rtp_port = free_port(socket.SOCK_DGRAM, pair=True)
    settings = {
        "poll_method": "epoll",
        "sip_listen": f"127.0.0.1:{sip_port}",
        "sip_cafile": str(serve.ca),
        "sip_certificate": str(user_certificate(serve.data, "callee")),  # or it has no TLS
        "call_max_calls": "4",
        "audio_player": "aubridge,null",
        "audio_source": f"aufile,{folder}/tone.wav",
        "audio_alert": "ausine,440",
        "ausrc_srate": "8000",
        "auplay_srate": "8000",
        "ausrc_channels": "1",
        "auplay_channels": "1",
        "audio_buffer": "20-160",
        "rtp_ports": f"{rtp_port}-{rtp_port + 20}",
        "jitter_buffer_delay": "5-10",
        "dns_server": "127.0.0.1:9",
        "net_interface": "127.0.0.1",
        "module_path": "/usr/lib/baresip/modules",
        "ctrl_tcp_listen": f"127.0.0.1:{control_port}",
        "snd_path": str(folder),
    }
    modules = [("module", f"{name}.so") for name in (
        "g711", "aufile", "ausine", "aubridge", "sndfile", "srtp",
    )]  # fmt: skip
    modules += [("module_tmp", "uuid.so"), ("module_tmp", "account.so")]
    modules += [("module_app", "ctrl_tcp.so"), ("module_app", "menu.so")]
    lines = [f"{name}\t{value}" for name, value in (*settings.items(), *modules)]
    (folder / "config").write_text("\n".join(lines) + "\n")
    (folder / "accounts").write_text(
        f"<sip:callee@{DOMAIN};transport=tls>;auth_user=callee;auth_pass={serve.passwords['callee']}"
        f';outbound="sip:127.0.0.1:{serve.port};transport=tls";regint=300;mediaenc=srtp-mand'
        ";answermode=auto;audio_codecs=PCMU/8000/1,PCMA/8000/1\n"
    )
    (folder / "contacts").write_text("")
    with running(program, "-4", "-f", folder, "-t", "60", cwd=folder, log=folder / "log"):
        made = Baresip(folder, control_port)
        try:
            await made.connect()
            await made.wait_registered()
            yield made
        finally:
            await made.close()


class Kamailio:
    """A Kamailio that registers and proxies over TLS."""

    password = "kamailio-secret"

    def __init__(self, ca: Path, port: int) -> None:
        self.ca = ca
        self.port = port

    def account(self, user: str, **settings: Any) -> Account:
        return Account(
            f"sip:{user}@{DOMAIN}",
            password=self.password,
            outbound_proxy=f"127.0.0.1:{self.port};transport=tls",
            ca_file=self.ca,
            **settings,
        )


@pytest.fixture(params=["MD5", "SHA-256"])
def kamailio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kamailio]:
    """Kamailio with a certificate of ours."""
    program = require("kamailio", "kamailio kamailio-tls-modules kamailio-extra-modules")
    run = tmp_path / "kamailio"
    store = CertificateStore(run)
    store.open_or_make(DOMAIN, now_utc=datetime.now(UTC), addresses=["127.0.0.1"])
    port = free_port()
    config = (HERE / "kamailio.cfg").read_text()
    for name, value in (
        ("DOMAIN", DOMAIN),
        ("PORT", str(port)),
        ("RUN", str(run)),
        ("PASSWORD", Kamailio.password),
        ("ALGORITHM", request.param),
    ):
        config = config.replace(f"@{name}@", value)
    (run / "kamailio.cfg").write_text(config)
    (run / "tls.cfg").write_text(
        "[server:default]\nmethod = TLSv1.2+\n"
        f"certificate = {store.domain_file}\nprivate_key = {store.domain_key_file}\n"
        "verify_certificate = no\nrequire_certificate = no\n"
    )
    command = (
        program,
        "-DD",
        "-f",
        run / "kamailio.cfg",
        "-w",
        run,
        "-Y",
        run,
        "-m",
        "64",
        "-M",
        "8",
    )
    with running(*command, cwd=run, log=run / "log"):
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, (run / "log").read_text(errors="replace")[-2000:]
                time.sleep(0.05)
        yield Kamailio(store.ca_file, port)
