"""A binding to save."""

import pytest

from sottovoce.sip.registrar import Binding


@pytest.fixture
def binding() -> Binding:
    """Give one with every field filled, and text as a careless phone writes it."""
    return Binding(
        contact="sip:alice@192.0.2.1:5060;transport=tls",
        params=(("+sip.instance", '"<urn:uuid:0>"'), ("reg-id", "1"), ("ob", None)),
        call_id="a84b4c76e66710",
        cseq=4711,
        expires_utc=1772366415.25,
        flow="7f3a/12",
        received="192.0.2.1:40000",
        user_agent="Tele\udc80fon 'x' \u260e",
    )
