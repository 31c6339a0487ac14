"""The program as its users run it: in processes of its own, with right and wrong input."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sottovoce import Account, Call, Phone
from sottovoce.media.tone import tone, tone_level_dbov
from sottovoce.media.wav import WavWriter, read_wav
from sottovoce.net.tls import server_context

from .conftest import DOMAIN, Certificates

PROGRAM = [sys.executable, "-m", "sottovoce"]
TIMEOUT_S = 30


@dataclass
class Finished:
    status: int
    out: str
    error: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Running:
    """A server in a process of its own."""

    data: Path
    process: subprocess.Popen[str]
    ready: dict[str, Any]
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return str(self.ready["listen"][0]).removeprefix("tls:")

    def command(self, *arguments: str, user: str = "alice", password: str = "") -> Finished:
        """Run a phone's command as a user of this server."""
        return run(
            *arguments,
            "--account", f"sips:{user}@{DOMAIN}",
            "--outbound-proxy", f"{self.place};transport=tls",
            "--ca", str(self.ready["ca"]),
            SOTTOVOCE_PASSWORD=password or self.passwords.get(user, "none"),
        )  # fmt: skip


#: A network of its own: sound in clear is taken from whoever sends it, so late packets of
#: another test's call, to a port that it gave back, could lead a phone's sound astray.
ALONE = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def can_be_alone() -> bool:
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def run(*arguments: str, stdin: str = "", alone: bool = False, **environment: str) -> Finished:
    done = subprocess.run(
        [*(ALONE if alone and can_be_alone() else []), *PROGRAM, *arguments],
        input=stdin,
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def start(data: Path, *arguments: str) -> Running:
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--data", str(data), "--domain", DOMAIN, "--json",
         *(arguments or ("--listen", "tls:127.0.0.1:0"))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    running = Running(data, process, json.loads(process.stdout.readline()))
    accounts = running.ready.get("first_start", {}).get("accounts", {})
    running.passwords = {name.partition("@")[0]: word for name, word in accounts.items()}
    return running


def stop(running: Running) -> str:
    """End it as an operator does; what it logged."""
    running.process.send_signal(signal.SIGTERM)
    _, error = running.process.communicate(timeout=TIMEOUT_S)
    assert running.process.returncode == 0, error
    return error


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Running]:
    running = start(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        stop(running)


def write_wav(path: Path, rate_hz: int) -> Path:
    with path.open("wb") as file:
        writer = WavWriter(file, rate_hz=rate_hz)
        writer.write(tone(500, 1500, rate_hz=rate_hz))
        writer.close()
    return path


def test_first_start_makes_everything_and_a_second_one_tells_no_passwords(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = start(data)
    stop(first)
    second = start(data)
    stop(second)

    assert first.ready["event"] == "ready"
    assert first.ready["domain"] == DOMAIN
    assert first.ready["ca"] == str(data / "ca.pem")
    assert set(first.passwords) == {"alice", "bob"}
    assert "first_start" not in second.ready
    for path in data.iterdir():
        assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".pem", path
    assert "# " in (data / "settings.toml").read_text()


def test_a_call_to_echo_from_a_script(serve: Running, tmp_path: Path) -> None:
    finished = serve.command(
        "call", f"sips:echo@{DOMAIN}",
        "--play", str(write_wav(tmp_path / "in.wav", 44_100)),
        "--record", str(tmp_path / "out.wav"),
        "--duration", "1.6", "--json",
    )  # fmt: skip
    document = finished.document

    assert finished.status == 0, finished.error
    assert document["status"] == 200
    assert document["signalling"]["tls_version"] == "TLSv1.3"
    assert f"URI:sip:{DOMAIN}" in document["signalling"]["subject_identities"]
    assert document["media"]["protection"] == "srtp"
    assert document["media"]["suite"] == "AES_CM_128_HMAC_SHA1_80"
    assert document["media"]["packets_authenticated"] > 50
    assert document["media"]["packets_lost"] == 0
    assert document["audio_seconds_received"] > 1
    pcm = read_wav((tmp_path / "out.wav").read_bytes(), name="out.wav")
    assert tone_level_dbov(pcm[8000:16000], 500) > -15


def test_no_secret_is_in_what_programs_print_or_log(tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--listen", "tls:127.0.0.1:0", "--log-level", "debug")
    finished = running.command("call", "echo", "--duration", "0.3", "--json")
    log = stop(running)

    assert finished.status == 0
    assert "INVITE" in log  # it is the debug log that was searched
    for text in (finished.out, finished.error, log):
        assert running.passwords["alice"] not in text
        assert "inline:" not in text
        assert "response=" not in text


def test_answer_and_call_between_two_processes(serve: Running, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "answer", "--account", f"sips:bob@{DOMAIN}", "--outbound-proxy",
         f"{serve.place};transport=tls", "--ca", str(serve.ready["ca"]), "--echo", "--count", "1",
         "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "SOTTOVOCE_PASSWORD": serve.passwords["bob"]},
    ) as bob:  # fmt: skip
        assert bob.stdout is not None
        assert json.loads(bob.stdout.readline())["event"] == "ready"
        finished = serve.command("call", "bob", "--dtmf", "42", "--duration", "1", "--json")
        ended = json.loads(bob.stdout.readline())
        assert bob.wait(TIMEOUT_S) == 0

    assert finished.status == 0, finished.error
    assert ended["event"] == "call"
    assert ended["ended_by"] == "remote"
    assert ended["media"]["dtmf_received"] == "42"


def test_a_user_added_while_the_server_runs_can_call_at_once(serve: Running) -> None:
    added = run(
        "user", "add", f"carol@{DOMAIN}", "--data", str(serve.data), "--password-stdin",
        stdin="carols-password\n",
    )  # fmt: skip
    assert added.status == 0, added.error

    finished = serve.command(
        "call", "echo", "--duration", "0.2", "--json", user="carol", password="carols-password"
    )
    assert finished.status == 0, finished.error


WRONG: Sequence[tuple[str, tuple[str, ...], int, str]] = (
    ("wav is missing", ("call", "echo", "--play", "/nonexistent.wav"), 2, "/nonexistent.wav"),
    ("wav is none", ("call", "echo", "--play", __file__), 2, "expected"),
    ("recording", ("call", "echo", "--record", "/nonexistent/x.wav"), 2, "there is no folder"),
    ("policy", ("call", "echo", "--srtp", "maybe"), 2, "mandatory, optional or off"),
    ("address", ("call", "sips:@@"), 2, "expected sips:user@domain"),
    ("udp and sips", ("call", f"sips:echo@{DOMAIN};transport=udp"), 2, "does not run over UDP"),
    ("unknown callee", ("call", "nobody"), 1, "404"),
    ("callee not there", ("call", "bob"), 1, "480"),
)


@pytest.mark.parametrize(
    ("arguments", "status", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_what_is_wrong_is_told_in_one_line(
    serve: Running, arguments: tuple[str, ...], status: int, text: str
) -> None:
    finished = serve.command(*arguments)

    assert finished.status == status
    line = finished.error.strip().splitlines()[-1]
    assert line.startswith("sottovoce: ")
    assert text in line
    assert "Traceback" not in finished.error


def test_a_wrong_password_fails_with_a_document_for_scripts(serve: Running) -> None:
    finished = serve.command("call", "echo", "--json", password="guess")

    assert finished.status == 1
    assert finished.document["status"] == 407
    assert "wrong user name or password" in finished.error


def test_no_server_there_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        place = f"127.0.0.1:{unused.getsockname()[1]}"
    finished = run(
        "call", "echo", "--account", f"sips:alice@{DOMAIN}",
        "--outbound-proxy", f"{place};transport=tls", SOTTOVOCE_PASSWORD="x",
    )  # fmt: skip

    assert finished.status == 1
    assert f"nothing answers at TLS {place}" in finished.error


@pytest.mark.parametrize("arguments", [("call", "echo", "--json"), ("answer", "--json")])
def test_ctrl_c_ends_a_command_that_still_waits_for_its_server(arguments: Sequence[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(TIMEOUT_S)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [*PROGRAM, *arguments, "--account", f"sips:alice@{DOMAIN}", "--outbound-proxy", place],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "SOTTOVOCE_PASSWORD": "x"},
        ) as process:  # fmt: skip
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=5)
            connection.close()

    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in error


async def test_a_call_interrupted_while_it_rings_is_no_success(serve: Running) -> None:
    ringing, ended = asyncio.Event(), asyncio.Event()

    async def ring(call: Call) -> None:
        ringing.set()
        await call.wait_ended()
        ended.set()

    ca = str(serve.ready["ca"])
    bob = Account(f"sips:bob@{DOMAIN}", serve.passwords["bob"], serve.place, ca_file=ca)
    async with Phone(bob, on_incoming_call=ring):
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "call", "bob", "--account", f"sips:alice@{DOMAIN}", "--json",
            "--outbound-proxy", serve.place, "--ca", ca,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "SOTTOVOCE_PASSWORD": serve.passwords["alice"]},
        )  # fmt: skip
        await asyncio.wait_for(ringing.wait(), TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
        await asyncio.wait_for(ended.wait(), TIMEOUT_S)

    assert process.returncode == 130
    assert json.loads(out)["status"] == 487


def test_a_recording_that_the_disk_cuts_short_is_a_failure(serve: Running) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a disk that is always full; Linux has it")
    finished = serve.command("call", "echo", "--record", "/dev/full", "--duration", "1.5", "--json")

    assert finished.status == 1
    assert "No space left" in finished.document["error"]
    assert finished.document["status"] == 200


@pytest.mark.parametrize(
    ("name", "text"),
    [("expired", "expired"), ("other-domain", "other.test"), ("other-ca", "--ca FILE")],
)
async def test_a_bad_certificate_ends_the_call_before_a_message_is_sent(
    certificates: Certificates, name: str, text: str
) -> None:
    received = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(100))
        writer.close()

    context = server_context(*certificates.pair(name))
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    finished = await asyncio.to_thread(
        run, "call", "echo", "--account", f"sips:alice@{DOMAIN}",
        "--outbound-proxy", f"127.0.0.1:{port};transport=tls", "--ca", str(certificates.ca),
        SOTTOVOCE_PASSWORD="x",
    )  # fmt: skip
    server.close()

    assert finished.status == 1
    assert text in finished.error
    assert not received


def test_a_port_in_use_is_told(serve: Running, tmp_path: Path) -> None:
    finished = run("serve", "--data", str(tmp_path / "other"), "--listen", f"tls:{serve.place}")

    assert finished.status == 2
    assert "address already in use; choose another --listen" in finished.error


def test_clear_text_sip_is_off_unless_asked_for_by_its_long_name(tmp_path: Path) -> None:
    finished = run("serve", "--data", str(tmp_path / "data"), "--listen", "udp:127.0.0.1:0")

    assert finished.status == 2
    assert "allow_clear_text_sip" in finished.error


def test_demo_shows_what_a_third_party_gets_by_tap(tmp_path: Path) -> None:
    """The tap is what an ordinary user has; the packet socket has a test of its own."""
    finished = run("demo", "--json", "--tap", "--out", str(tmp_path), alone=True)
    acts = {act["name"]: act for act in finished.document["acts"]}

    assert finished.status == 0, finished.error
    assert list(acts) == ["clear", "keys-in-clear", "secure"]
    for name in ("clear", "keys-in-clear"):
        assert acts[name]["sip_messages_readable"] == acts[name]["sip_messages_captured"] > 15
        assert acts[name]["audio_seconds_recovered"] > 10, finished.out
        assert acts[name]["audio_matches_original"] is True
        assert acts[name]["srtp_key_recovered"] is (name == "keys-in-clear")
    secure = acts["secure"]
    assert secure["sip_messages_captured"] > 15
    assert secure["sip_messages_readable"] == 0
    assert secure["srtp_key_recovered"] is False
    assert secure["audio_seconds_recovered"] == 0
    assert secure["audio_matches_original"] is False


def test_demo_by_packet_socket_hears_the_same(tmp_path: Path) -> None:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except PermissionError:
        pytest.skip("needs CAP_NET_RAW: run as root, or setcap cap_net_raw+ep on the python binary")
    finished = run("demo", "--json", "--act", "clear", "--out", str(tmp_path))
    (act,) = finished.document["acts"]

    assert act["audio_matches_original"] is True
    assert (tmp_path / "clear.pcap").stat().st_size > 100_000
