"""Calls and registrations through our server over TLS: its CPU time for each.

The server is the real program in a process of its own; what counts is its user and
system time over a run, so the load generator beside it costs nothing here.  A call is
seven messages in and seven out, as in a proxied call with 100, 180, 200, ACK, BYE, 200;
its INVITE carries digest credentials that the server checks.
"""

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sottovoce.secret import Secret
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.framing import StreamFramer
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message

from .report import Row

DOMAIN = "bench.test"
CALLS, WARM_UP_CALLS = 1500, 300
REGISTRATIONS, WARM_UP_REGISTRATIONS = 2000, 300
AIM_CALL_MS = 1.0
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 20000 RTP/SAVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
)


class Phone:
    """One user on one blocking TLS connection."""

    def __init__(self, user: str, password: str, port: int, ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.check_hostname = False
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.user = user
        self._socket = context.wrap_socket(plain, server_hostname=DOMAIN)
        self._framer = StreamFramer()
        self._digest = DigestClient(
            username=user,
            password=Secret(password),
            realms=frozenset({DOMAIN}),
            random_bytes=secrets.token_bytes,
        )
        host, port = self._socket.getsockname()
        self.contact = f"sips:{user}@{host}:{port}"

    def send(self, message: Request | Response) -> None:
        self._socket.sendall(message.to_bytes())

    def receive(self) -> Request | Response:
        while (data := self._framer.next_message()) is None:
            self._framer.receive_bytes(self._socket.recv(65536))
        return parse_message(data)

    def receive_final(self) -> Response:
        while True:
            message = self.receive()
            if isinstance(message, Response) and message.status >= 200:
                return message

    def request(
        self, method: str, uri: str, *fields: tuple[str, str], body: bytes = b""
    ) -> Request:
        return Request.make(
            method,
            uri,
            [
                ("Via", f"SIP/2.0/TLS b.invalid;branch=z9hG4bK{secrets.token_hex(8)};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<sips:{self.user}@{DOMAIN}>;tag={secrets.token_hex(4)}"),
                ("To", f"<sips:{'callee' if method == 'INVITE' else self.user}@{DOMAIN}>"),
                ("Call-ID", secrets.token_hex(8)),
                ("CSeq", f"1 {method}"),
                ("Contact", f"<{self.contact}>"),
                *fields,
                *([("Content-Type", "application/sdp")] if body else []),
            ],
            body,
        )

    def authorized(self, request: Request) -> Response:
        """Send, answering a challenge; the final response."""
        first = self._digest.authorize(request)
        self.send(first)
        response = self.receive_final()
        if response.status in (401, 407):
            if not self._digest.receive_challenge(first, response):
                raise RuntimeError("the server does not take the benchmark's password")
            again = request.with_replaced("CSeq", f"2 {request.method}").with_replaced(
                "Via", f"SIP/2.0/TLS b.invalid;branch=z9hG4bK{secrets.token_hex(8)};rport"
            )
            self.send(self._digest.authorize(again))
            response = self.receive_final()
        return response

    def register(self) -> None:
        response = self.authorized(self.request("REGISTER", f"sips:{DOMAIN}", ("Expires", "600")))
        if response.status != 200:
            raise RuntimeError(f"REGISTER: {response.status} {response.reason}")

    def forget_challenge(self) -> None:
        """The next request is challenged, as that of a phone that keeps nothing."""
        self._digest = DigestClient(
            username=self.user,
            password=self._digest._password,
            realms=frozenset({DOMAIN}),
            random_bytes=secrets.token_bytes,
        )

    def authorize(self, request: Request) -> Request:
        return self._digest.authorize(request)


def one_call(caller: Phone, callee: Phone) -> None:
    """INVITE 100 180 200 ACK BYE 200: each message passes the server once each way."""
    invite = caller.authorize(caller.request("INVITE", f"sips:callee@{DOMAIN}", body=SDP))
    caller.send(invite)
    received = callee.receive()
    if not isinstance(received, Request):
        raise TypeError(f"the callee got {received!r} in place of an INVITE")
    to_tag = secrets.token_hex(4)
    contact = [("Contact", f"<{callee.contact}>")]
    callee.send(Response.to_request(received, 100, to_tag=None))
    callee.send(Response.to_request(received, 180, to_tag=to_tag, fields=contact))
    sdp = [*contact, ("Content-Type", "application/sdp")]
    callee.send(Response.to_request(received, 200, to_tag=to_tag, fields=sdp, body=SDP))
    answer = caller.receive_final()
    if answer.status != 200:
        raise RuntimeError(f"INVITE: {answer.status} {answer.reason}")
    routes = [("Route", each) for each in reversed(answer.items("record-route"))]
    for method, number in (("ACK", 1), ("BYE", 2)):
        caller.send(
            Request.make(
                method,
                callee.contact,
                [
                    ("Via", f"SIP/2.0/TLS b.invalid;branch=z9hG4bK{secrets.token_hex(8)};rport"),
                    ("Max-Forwards", "70"),
                    *routes,
                    ("From", invite.value("from") or ""),
                    ("To", answer.value("to") or ""),
                    ("Call-ID", invite.call_id),
                    ("CSeq", f"{number} {method}"),
                ],
            )
        )
    callee.receive()  # ACK
    bye = callee.receive()
    if not isinstance(bye, Request):
        raise TypeError(f"the callee got {bye!r} in place of a BYE")
    callee.send(Response.to_request(bye, 200, to_tag=None))
    caller.receive_final()


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server() -> Iterator[tuple[int, int, Path, dict[str, str]]]:
    """Our server with two users: process, port, CA file, passwords."""
    program = [sys.executable, "-m", "sottovoce"]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with subprocess.Popen(
            [*program, "serve", "--data", data, "--domain", DOMAIN, "--listen",
             "tls:127.0.0.1:0", "--log-level", "warning", "--json"],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            if process.stdout is None:
                raise RuntimeError("no pipe from the server")
            ready = json.loads(process.stdout.readline())
            passwords = {"caller": secrets.token_hex(8), "callee": secrets.token_hex(8)}
            for user, password in passwords.items():
                subprocess.run(
                    [*program, "user", "add", f"{user}@{DOMAIN}", "--data", data,
                     "--password-stdin"],
                    input=password, text=True, check=True, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            port = int(ready["listen"][0].rpartition(":")[2])
            try:
                yield process.pid, port, Path(ready["ca"]), passwords
            finally:
                process.send_signal(signal.SIGTERM)


def run() -> list[Row]:
    """Measure a proxied call and an authenticated REGISTER."""
    with server() as (pid, port, ca, passwords):
        caller, callee = (Phone(user, word, port, ca) for user, word in passwords.items())
        caller.register()
        callee.register()
        caller.authorized(caller.request("OPTIONS", f"sips:echo@{DOMAIN}"))  # for the 407
        for _ in range(WARM_UP_CALLS):
            one_call(caller, callee)
        before = cpu_s(pid)
        for _ in range(CALLS):
            one_call(caller, callee)
        call_ms = (cpu_s(pid) - before) / CALLS * 1000

        for _ in range(WARM_UP_REGISTRATIONS):
            caller.forget_challenge()
            caller.register()
        before = cpu_s(pid)
        for _ in range(REGISTRATIONS):
            caller.forget_challenge()
            caller.register()
        register_ms = (cpu_s(pid) - before) / REGISTRATIONS * 1000
    return [
        Row(
            "proxied call over TLS, 7 messages in, 7 out, digest checked",
            call_ms,
            unit="ms CPU",
            aim_ours=AIM_CALL_MS,
        ),
        Row("REGISTER over TLS with its 401, digest checked, kept", register_ms, unit="ms CPU"),
    ]
