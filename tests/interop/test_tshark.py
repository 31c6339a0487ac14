"""A second third party, which we did not write, looks at the same calls."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sottovoce.media.g711 import decode_a_law, decode_mu_law
from sottovoce.trace.audio_evidence import looks_like_speech

from .conftest import require

pytestmark = pytest.mark.interop
RATE_HZ = 8000

#: A network of its own, so that no other test is heard, and root in it, so that tshark may
#: listen; the demo plays while tshark captures.
SCRIPT = """
ip link set lo up || exit 77
"$1" -i lo -w "$2/lo.pcapng" -q 2> "$2/tshark.log" &
for i in $(seq 100); do grep -q 'Capturing on' "$2/tshark.log" && break; sleep 0.1; done
sleep 0.5
"$3" -m sottovoce demo --act "$4" --tap --json --out "$2" > "$2/demo.json" || exit 1
kill -INT $!
wait $!
"""


@dataclass(frozen=True)
class Capture:
    """What tshark captured."""

    program: str
    file: Path

    def fields(self, *arguments: str) -> list[str]:
        """What tshark finds in it, a line a packet."""
        done = subprocess.run(
            [self.program, "-r", self.file, *arguments],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.splitlines()

    def media_ports(self) -> list[str]:
        """Ports to which many UDP packets of a packet clock's size went."""
        ports = self.fields("-Y", "udp.length > 100", "-T", "fields", "-e", "udp.dstport")
        return [port for port in set(ports) if ports.count(port) > 100]

    def speech(self, port: str) -> bool:
        """Decode the port's packets as RTP with either law, and listen."""
        payloads = self.fields(
            "-d", f"udp.port=={port},rtp", "-Y", f"rtp && udp.dstport=={port}",
            "-T", "fields", "-e", "rtp.payload",
        )  # fmt: skip
        octets = b"".join(bytes.fromhex(each.replace(":", ""))[:160] for each in payloads)
        return any(
            looks_like_speech(decode(octets), RATE_HZ) for decode in (decode_mu_law, decode_a_law)
        )


def overhear(act: str, folder: Path) -> Capture:
    """Play one act of the demo while tshark listens."""
    tshark = require("tshark", "tshark")
    require("ip", "iproute2")
    command = ["unshare", "--map-root-user", "--net", "sh", "-c", SCRIPT, "sh"]
    done = subprocess.run(
        [*command, tshark, folder, sys.executable, act], capture_output=True, text=True, timeout=55
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("needs user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1")
    assert done.returncode in (0, 130), done.stderr
    return Capture(tshark, folder / "lo.pcapng")


def test_tshark_reads_the_clear_call_and_hears_it(tmp_path: Path) -> None:
    """Without this the next test could pass on an empty capture."""
    capture = overhear("clear", tmp_path)
    ports = capture.media_ports()

    assert len(capture.fields("-Y", "sip")) > 15
    assert len(ports) >= 2
    assert all(capture.speech(port) for port in ports)


def test_tshark_reads_nothing_of_the_secure_call_and_hears_noise(tmp_path: Path) -> None:
    capture = overhear("secure", tmp_path)
    ports = capture.media_ports()

    assert capture.fields("-Y", "sip") == []
    as_tls = ("-d", "tcp.port==1-65535,tls")  # it looks for TLS at well-known ports only
    assert len(capture.fields(*as_tls, "-Y", "tls.app_data")) > 15
    assert capture.fields(*as_tls, "-Y", "sip") == []
    assert len(ports) >= 2
    assert not any(capture.speech(port) for port in ports)
