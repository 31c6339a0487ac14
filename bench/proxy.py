"""Calls and registrations through our server over TLS: its CPU time for each.

The server is the real program in a process of its own; what counts is its user and
system time over a run, so the load generator beside it costs nothing here.  A call is
seven messages in and seven out, as in a proxied call with 100, 180, 200, ACK, BYE, 200;
its INVITE carries digest credentials that the server checks.  Kamailio does the same work
in the same run, under the same load; its processes are added up.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from sottovoce.pki.certstore import CertificateStore
from sottovoce.secret import Secret
from sottovoce.sip.digest_client import DigestClient
from sottovoce.sip.framing import StreamFramer
from sottovoce.sip.message import Request, Response
from sottovoce.sip.parser import parse_message

from .report import Row

DOMAIN = "bench.test"
CALLS, WARM_UP_CALLS = 2000, 50
#: A server with more to do than one call finds its code in the processor's cache.
CALLS_AT_ONCE = 20
REGISTRATIONS, WARM_UP_REGISTRATIONS = 2000, 300
AIM_CALL_MS = 1.0
CALL = "proxied call over TLS, 7 messages in, 7 out, digest checked"
REGISTRATION = "REGISTER over TLS with its 401, digest checked, kept"
KAMAILIO_CONFIG = Path(__file__).parents[1] / "tests" / "interop" / "kamailio.cfg"
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

    def receive_requests(self, method: str, count: int) -> list[Request]:
        """Wait for so many requests of a method; ACKs between them are passed over."""
        found: list[Request] = []
        while len(found) < count:
            message = self.receive()
            if isinstance(message, Request) and message.method == method:
                found.append(message)
        return found

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


def calls(caller: Phone, callee: Phone, count: int) -> None:
    """Make calls side by side: INVITE 100 180 200 ACK BYE 200, each passes the server."""
    invites: dict[str, Request] = {}
    for _ in range(count):
        invite = caller.authorize(caller.request("INVITE", f"sips:callee@{DOMAIN}", body=SDP))
        invites[invite.call_id] = invite
        caller.send(invite)
    contact = [("Contact", f"<{callee.contact}>")]
    sdp = [*contact, ("Content-Type", "application/sdp")]
    for received in callee.receive_requests("INVITE", count):
        to_tag = secrets.token_hex(4)
        callee.send(Response.to_request(received, 100, to_tag=None))
        callee.send(Response.to_request(received, 180, to_tag=to_tag, fields=contact))
        callee.send(Response.to_request(received, 200, to_tag=to_tag, fields=sdp, body=SDP))
    for _ in range(count):
        answer = caller.receive_final()
        if answer.status != 200:
            raise RuntimeError(f"INVITE: {answer.status} {answer.reason}")
        for method, number in (("ACK", 1), ("BYE", 2)):
            caller.send(in_dialog(invites[answer.call_id], answer, method, number))
    for bye in callee.receive_requests("BYE", count):
        callee.send(Response.to_request(bye, 200, to_tag=None))
    for _ in range(count):
        caller.receive_final()


def in_dialog(invite: Request, answer: Response, method: str, number: int) -> Request:
    routes = [("Route", each) for each in reversed(answer.items("record-route"))]
    return Request.make(
        method,
        answer.contacts[0].uri,
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


def cpu_s(pid: int) -> float:
    """User and system time of a process and of its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for each in (pid, *children):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A running registrar and proxy."""

    pid: int
    port: int
    ca: Path
    passwords: dict[str, str]


@contextmanager
def sottovoce() -> Iterator[Server]:
    """Our server with two users."""
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
                yield Server(process.pid, port, Path(ready["ca"]), passwords)
            finally:
                process.send_signal(signal.SIGTERM)


@contextmanager
def kamailio() -> Iterator[Server]:
    """Kamailio doing the same work: TLS, digest with SHA-256, record-routing, registrar."""
    program = shutil.which("kamailio") or "/usr/sbin/kamailio"
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        run, port, password = Path(folder), free.getsockname()[1], secrets.token_hex(8)
        free.close()
        store = CertificateStore(run)
        store.open_or_make(DOMAIN, now_utc=datetime.now(UTC))
        config = KAMAILIO_CONFIG.read_text()
        for name, value in (
            ("DOMAIN", DOMAIN), ("PORT", str(port)), ("RUN", folder), ("PASSWORD", password),
            ("ALGORITHM", "SHA-256"),
        ):  # fmt: skip
            config = config.replace(f"@{name}@", value)
        (run / "kamailio.cfg").write_text(config)
        (run / "tls.cfg").write_text(
            "[server:default]\nmethod = TLSv1.2+\n"
            f"certificate = {store.domain_file}\nprivate_key = {store.domain_key_file}\n"
        )
        with subprocess.Popen(
            [program, "-DD", "-f", run / "kamailio.cfg", "-w", run, "-Y", run, "-m", "512"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                wait_for(port)
                users = dict.fromkeys(("caller", "callee"), password)
                yield Server(process.pid, port, store.ca_file, users)
            finally:
                process.send_signal(signal.SIGTERM)


def wait_for(port: int) -> None:
    """Wait until something listens there."""
    end = monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if monotonic() > end:
                raise
            sleep(0.05)
        else:
            return


def measure(server: Server) -> dict[str, float]:
    """CPU milliseconds for each call and registration."""
    caller, callee = (
        Phone(user, word, server.port, server.ca) for user, word in server.passwords.items()
    )
    caller.register()
    callee.register()
    caller.authorized(caller.request("OPTIONS", f"sips:echo@{DOMAIN}"))  # for the 407
    calls(caller, callee, WARM_UP_CALLS)
    found: dict[str, float] = {}
    for name, at_once in (("one after another", 1), (f"{CALLS_AT_ONCE} at once", CALLS_AT_ONCE)):
        before = cpu_s(server.pid)
        for _ in range(CALLS // at_once):
            calls(caller, callee, at_once)
        found[f"{CALL}, {name}"] = (cpu_s(server.pid) - before) / CALLS * 1000

    for count in (WARM_UP_REGISTRATIONS, REGISTRATIONS):
        before = cpu_s(server.pid)
        for _ in range(count):
            caller.forget_challenge()
            caller.register()
        found[REGISTRATION] = (cpu_s(server.pid) - before) / count * 1000
    return found


def run() -> list[Row]:
    """Measure a proxied call and an authenticated REGISTER, beside Kamailio if it is here."""
    with sottovoce() as server:
        ours = measure(server)
    theirs: dict[str, float] = {}
    if shutil.which("kamailio") or Path("/usr/sbin/kamailio").exists():
        with kamailio() as server:
            theirs = measure(server)
    return [
        Row(
            name,
            value,
            unit="ms CPU",
            peer=theirs.get(name),
            peer_name="Kamailio" if theirs else "",
            aim_ours=AIM_CALL_MS if name.startswith(CALL) else None,
        )
        for name, value in ours.items()
    ]
