"""a=crypto lines that others published or sent.  Sources stand in sdes.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import ParseError
from sottovoce.keying.sdes import CryptoAttribute

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "sdes.json").read_text(encoding="utf-8")
)["vectors"]

#: Right by the grammar, but of a suite that is left out on purpose.
UNSUPPORTED = {"rfc4568-offer-2"}


def value_of(line: str) -> str:
    """Return the attribute's value; a bare key field gets tag and suite."""
    if line.startswith("inline:"):
        return f"1 AES_CM_128_HMAC_SHA1_80 {line}"
    return line.removeprefix("a=crypto:")


def is_positive(vector: dict[str, Any]) -> bool:
    return vector["expected"].get("accept", True) and vector["id"] not in UNSUPPORTED


@pytest.mark.rfc("rfc4568", 7, 8, 9)
@pytest.mark.parametrize("vector", [v for v in VECTORS if is_positive(v)], ids=lambda v: v["id"])
def test_published_lines_are_read_as_published(vector: dict[str, Any]) -> None:
    line = CryptoAttribute.parse(value_of(vector["line"]))
    read = {
        "tag": line.tag,
        "suite": line.suite.name,
        "key": line.master_key.reveal().hex(),
        "salt": line.master_salt.reveal().hex(),
        "lifetime": line.lifetime_packets,
        "mki": int.from_bytes(line.mki, "big") if line.mki else None,
        "mki_len": len(line.mki),
        "session_params": list(line.session_params),
    }

    expected = vector["expected"]
    assert {name: read[name] for name in expected} == expected


@pytest.mark.rfc("rfc4568", 7, 8, 9, 10, 20)
@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if not is_positive(v)], ids=lambda v: v["id"]
)
def test_lines_that_must_not_be_accepted_are_not(vector: dict[str, Any]) -> None:
    with pytest.raises(ParseError) as caught:
        CryptoAttribute.parse(value_of(vector["line"]))

    assert caught.value.status_hint == 488
    assert "WVNfX19zZW" not in str(caught.value)
