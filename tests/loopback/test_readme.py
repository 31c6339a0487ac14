"""What the README shows is what happens."""

import asyncio
import os
import re
import sys
from pathlib import Path

from sottovoce.media.tone import tone
from sottovoce.media.wav import WavWriter

from .conftest import Office

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_program_is_ten_lines_without_the_blank_ones() -> None:
    assert len([line for line in program().splitlines() if line.strip()]) <= 10


async def test_the_program_runs(office: Office, tmp_path: Path) -> None:
    await office.start()
    with (tmp_path / "question.wav").open("wb") as file:
        writer = WavWriter(file, rate_hz=16_000)
        writer.write(tone(440, 600, rate_hz=16_000))
        writer.close()
    os.link(office.data / "ca.pem", tmp_path / "ca.pem")
    text = program().replace("127.0.0.1:5061", f"127.0.0.1:{office.ports['tls']}")

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    suite, packets = out.decode().split()
    assert process.returncode == 0
    assert suite == "AES_CM_128_HMAC_SHA1_80"
    assert int(packets) > 15


def program() -> str:
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]
