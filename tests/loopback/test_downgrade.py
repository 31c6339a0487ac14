"""A callee or server that breaks its word: our side judges what it was answered, and refuses."""

import asyncio
from collections.abc import Callable

import pytest

from sottovoce import Account, CallFailed, Phone, SrtpPolicy
from sottovoce.net.tls import server_context
from sottovoce.sip import Request, Response, StreamFramer, parse_message

from .conftest import DOMAIN, Certificates

OTHER_KEY = "A" * 40
HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"


def clear(offer: str) -> str:
    return f"{HEAD}m=audio 40000 RTP/AVP 0\r\n"


def secure_without_key(offer: str) -> str:
    return f"{HEAD}m=audio 40000 RTP/SAVP 0\r\n"


def suite_not_offered(offer: str) -> str:
    return (
        f"{HEAD}m=audio 40000 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:{OTHER_KEY}\r\n"
    )


def tag_not_offered(offer: str) -> str:
    return (
        f"{HEAD}m=audio 40000 RTP/SAVP 0\r\n"
        f"a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY}\r\n"
    )


def unencrypted_by_parameter(offer: str) -> str:
    return (
        f"{HEAD}m=audio 40000 RTP/SAVP 0\r\n"
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY} UNENCRYPTED_SRTP\r\n"
    )


class FalseServer:
    """A server with the right certificate that answers every INVITE with this."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self.methods: list[str] = []
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = StreamFramer()
        while data := await reader.read(65536):
            framer.receive_bytes(data)
            while (raw := framer.next_message()) is not None:
                message = parse_message(raw)
                if not isinstance(message, Request):
                    continue
                self.methods.append(message.method)
                if message.method != "ACK":
                    writer.write(self._response(message).to_bytes())
                if message.method == "BYE":
                    self.over.set()
        writer.close()

    def _response(self, request: Request) -> Response:
        fields: list[tuple[str, str]] = []
        body = b""
        if request.method == "INVITE":
            fields += [("Contact", "<sips:x@127.0.0.1>"), ("Content-Type", "application/sdp")]
            body = self._answer(request.body.decode()).encode()
        return Response.to_request(request, 200, to_tag="x", fields=fields, body=body)


@pytest.mark.rfc("rfc4568", 2)
@pytest.mark.parametrize(
    "answer",
    [clear, secure_without_key, suite_not_offered, tag_not_offered, unencrypted_by_parameter],
)
@pytest.mark.parametrize("policy", [SrtpPolicy.MANDATORY, SrtpPolicy.OPTIONAL])
async def test_an_answer_that_would_leave_the_sound_in_clear_ends_the_call(
    certificates: Certificates, answer: Callable[[str], str], policy: SrtpPolicy
) -> None:
    false = FalseServer(answer)
    context = server_context(*certificates.pair("right"))
    server = await asyncio.start_server(false.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    account = Account(
        f"sips:alice@{DOMAIN}",
        "x",
        f"127.0.0.1:{port};transport=tls",
        certificates.ca,
        srtp=policy,
    )
    async with Phone(account, register=False) as phone:
        if policy is SrtpPolicy.OPTIONAL and answer is clear:
            call = await phone.call("bob")  # that is what was allowed, and it shows
            assert not call.security.media_protected
            await call.hangup()
        else:
            with pytest.raises(CallFailed) as failure:
                await phone.call("bob")
            assert failure.value.status == 488
            assert failure.value.warning
        await asyncio.wait_for(false.over.wait(), 10)
    server.close()

    assert false.methods == ["INVITE", "ACK", "BYE"]
