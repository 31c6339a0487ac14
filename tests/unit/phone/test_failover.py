"""One server after the other: who is next, when, and what is told when there is none left."""

import asyncio

import pytest

from sottovoce.errors import AuthenticationFailed, CertificateRefused, Unreachable
from sottovoce.phone.failover import use_first
from sottovoce.sip.transport import Target, Transport


def target(port: int, transport: Transport = Transport.TLS) -> Target:
    return Target(transport, "192.0.2.1", port, "example.org")


class Servers:
    """Servers by port, each with the error that it gives; None for one that works."""

    def __init__(self, **outcomes: Exception | None) -> None:
        self.outcomes = {int(name[1:]): outcome for name, outcome in outcomes.items()}
        self.tried: list[int] = []

    async def attempt(self, target: Target) -> None:
        self.tried.append(target.port)
        outcome = self.outcomes[target.port]
        if isinstance(outcome, TimeoutError):
            await asyncio.Event().wait()
        if outcome is not None:
            raise outcome


REFUSED = Unreachable(503, "nothing answers")
WRONG = CertificateRefused("expected 'example.org', found 'other.test'")


async def test_the_first_that_works_ends_the_search() -> None:
    servers = Servers(p1=None, p2=None)
    await use_first([target(1), target(2)], servers.attempt)

    assert servers.tried == [1]


@pytest.mark.rfc("rfc3263", 10)
@pytest.mark.parametrize("failure", [REFUSED, WRONG, TimeoutError(), Unreachable(503, "busy")])
async def test_each_kind_of_failure_leads_to_the_next(failure: Exception) -> None:
    servers = Servers(p1=failure, p2=None)
    await use_first([target(1), target(2)], servers.attempt, total_s=0.05)

    assert servers.tried == [1, 2]


async def test_a_wrong_password_is_not_carried_to_the_next_server() -> None:
    servers = Servers(p1=AuthenticationFailed(403, "no"), p2=None)
    with pytest.raises(AuthenticationFailed):
        await use_first([target(1), target(2)], servers.attempt)

    assert servers.tried == [1]


@pytest.mark.rfc("rfc5922-5924", 10)
async def test_after_a_wrong_certificate_there_is_no_clear_text() -> None:
    servers = Servers(p1=WRONG, p2=None, p3=None, p4=REFUSED)
    clear = [target(2, Transport.TCP), target(3, Transport.UDP)]
    with pytest.raises(CertificateRefused):
        await use_first([target(1), *clear, target(4)], servers.attempt)

    assert servers.tried == [1, 4]


async def test_a_single_server_fails_in_its_own_words() -> None:
    with pytest.raises(Unreachable) as failure:
        await use_first([target(1)], Servers(p1=REFUSED).attempt)

    assert failure.value is REFUSED


async def test_when_all_fail_each_is_named_with_its_reason_in_one_line() -> None:
    servers = Servers(p1=REFUSED, p2=WRONG, p3=TimeoutError())
    with pytest.raises(CertificateRefused) as failure:
        await use_first([target(1), target(2), target(3)], servers.attempt, total_s=0.05)

    told = str(failure.value)
    assert "\n" not in told
    assert "TLS 192.0.2.1:1: nothing answers" in told
    assert "TLS 192.0.2.1:2: expected 'example.org'" in told
    assert "no answer from TLS 192.0.2.1:3" in told


async def test_servers_that_hang_share_the_time_between_them() -> None:
    servers = Servers(p1=TimeoutError(), p2=TimeoutError(), p3=TimeoutError())
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    with pytest.raises(Unreachable, match="no server can be used"):
        await use_first([target(1), target(2), target(3)], servers.attempt, total_s=0.06)

    assert servers.tried == [1, 2, 3]
    assert loop.time() - began_at < 1
