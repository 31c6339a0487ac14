"""A binding to save."""

import pytest

from sottovoce.sip.registrar import Binding


@pytest.fixture
def binding() -> Binding:
    return Binding("sip:alice@192.0.2.1", 5060.0)
