"""Flow tokens: RFC 5626 section 5.2."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.server.flow_register import FlowPair, FlowRegister
from sottovoce.sip.transport import Flow, Transport

SERVER = ("192.0.2.1", 5061)
ALICE = Flow(Transport.TLS, SERVER, ("198.51.100.7", 40001), connection=7)
BOB = Flow(Transport.UDP, ("192.0.2.1", 5060), ("203.0.113.9", 5060))


def register(epoch: str = "run1", key: bytes = b"k" * 32) -> FlowRegister:
    flows = FlowRegister(epoch, key)
    flows.add_udp_port(BOB.local)
    return flows


def pair_of(flows: FlowRegister) -> FlowPair:
    return FlowPair(flows.add(ALICE), flows.add(BOB))


def test_a_token_brings_both_flows_back() -> None:
    flows = register()
    pair = pair_of(flows)

    read = flows.read_token(flows.token(pair))

    assert read == pair
    assert flows.find(pair.caller) == ALICE
    assert flows.find(pair.callee) == BOB


def test_a_lost_connection_is_found_no_more() -> None:
    flows = register()
    name = flows.add(ALICE)
    flows.forget(ALICE)

    assert flows.find(name) is None


def test_connection_numbers_of_an_earlier_run_mean_nothing() -> None:
    name = register("run1").add(ALICE)
    later = register("run2")
    later.add(ALICE)

    assert later.find(name) is None


def test_a_udp_flow_is_good_after_a_restart_while_its_port_is_open() -> None:
    name = register("run1").name_of(BOB)

    assert register("run2").find(name) == BOB
    assert FlowRegister("run3", b"k" * 32).find(name) is None


def test_a_udp_port_at_every_address_has_flows_at_each() -> None:
    flows = FlowRegister("run1", b"k" * 32)
    flows.add_udp_port(("0.0.0.0", 5060))
    elsewhere = Flow(Transport.UDP, ("192.0.2.1", 5070), BOB.remote)

    assert flows.find(flows.name_of(BOB)) == BOB
    assert flows.find(flows.name_of(elsewhere)) is None


def test_a_flow_that_others_took_the_place_of_leads_to_the_newest() -> None:
    flows = register()
    second, third = replace(ALICE, connection=8), replace(ALICE, connection=9)
    flows.replace("run0/7", ALICE)
    flows.replace(flows.add(ALICE), second)
    flows.replace(flows.add(second), third)

    assert flows.newest("run0/7") == flows.newest(flows.name_of(ALICE)) == flows.name_of(third)
    assert flows.newest("run0/8") == "run0/8"


def test_a_phone_that_goes_back_to_a_udp_flow_makes_no_circle() -> None:
    flows = register()
    one, other = flows.add(BOB), replace(BOB, remote=("203.0.113.9", 5070))
    flows.replace(one, other)
    flows.replace(flows.name_of(other), BOB)
    flows.replace(one, BOB)

    assert flows.newest(flows.name_of(other)) == flows.newest(one) == one


@pytest.mark.rfc("rfc5626-3581", 12)
def test_a_token_of_another_key_is_refused() -> None:
    """Or anybody could write a Route that picks another user's connection."""
    forged = register(key=b"x" * 32)
    token = forged.token(pair_of(forged))

    assert register().read_token(token) is None


@given(st.text(max_size=80))
def test_no_text_from_outside_breaks_the_reader(text: str) -> None:
    flows = register()
    token = flows.token(pair_of(flows))

    assert flows.read_token(text) is None
    assert flows.find(text) is None
    assert flows.read_token(token[:-4] + "AAAA") is None
