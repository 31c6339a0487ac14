"""Names for open flows, and tokens that bring a dialog's requests back to them.

RFC 5626 section 5.2: a flow token stands in the user part of our Record-Route URI, so
that a later request finds the very connection the other phone is on, which is the only
way to a phone behind NAT or without a certificate.  It is authenticated, or anybody
could pick somebody else's connection.
"""

import base64
import binascii
import hashlib
import hmac

from ..net.addresses import is_wildcard
from ..sip.transport import Flow, Transport
from ..sip.uri import frozen_by_type

_TAG_BYTES = 12  # 96 bits: a forger has one guess a request
_MAX_TOKEN_CHARACTERS = 400
#: Flows remembered that others have taken the place of; the oldest is forgotten first.
MAX_REPLACED_FLOWS = 10_000


@frozen_by_type
class FlowPair:
    """The two flows of a dialog, by name: the caller's and the callee's."""

    caller: str
    callee: str


class FlowRegister:
    """Every flow that a phone has used, while it is open.

    Args:
        epoch: Unguessable name of this run: connection numbers of an earlier run of the
            server mean nothing now.
        secret_key: Authenticates tokens.

    """

    def __init__(self, epoch: str, secret_key: bytes) -> None:
        self._epoch = epoch
        self._secret_key = secret_key
        self._connections: dict[int, Flow] = {}
        self._udp_ports: set[tuple[str, int]] = set()
        self._any_address: set[int] = set()  # UDP ports open at every address of a family
        self._successors: dict[str, str] = {}

    def add_udp_port(self, local: tuple[str, int]) -> None:
        """A UDP port is open; flows over it need no connection."""
        if is_wildcard(local[0]):
            self._any_address.add(local[1])
        self._udp_ports.add(local)

    def add(self, flow: Flow) -> str:
        """Remember a flow and return its name."""
        if flow.connection:
            self._connections[flow.connection] = flow
        return self.name_of(flow)

    def forget(self, flow: Flow) -> None:
        """The connection is gone."""
        self._connections.pop(flow.connection, None)

    def replace(self, name: str, flow: Flow) -> None:
        """A phone has come back over another flow: its calls go on there."""
        newest = self.add(flow)
        self._successors.pop(newest, None)  # so that no circle comes about
        if name != newest:
            self._successors[name] = newest
        if len(self._successors) > MAX_REPLACED_FLOWS:
            del self._successors[next(iter(self._successors))]

    def newest(self, name: str) -> str:
        """The name of the flow that has taken a flow's place; its own if none has."""
        while (successor := self._successors.get(name)) is not None:
            name = successor
        return name

    def name_of(self, flow: Flow) -> str:
        """A flow's name, good for as long as :meth:`find` knows it."""
        if flow.connection:
            return f"{self._epoch}/{flow.connection}"
        (local, local_port), (remote, remote_port) = flow.local, flow.remote
        return f"udp/{local}/{local_port}/{remote}/{remote_port}"

    def find(self, name: str) -> Flow | None:
        """The open flow of that name, or None."""
        parts = name.split("/")
        if len(parts) == 2 and parts[0] == self._epoch and parts[1].isdecimal():
            return self._connections.get(int(parts[1]))
        if len(parts) == 5 and parts[0] == "udp" and (parts[2] + parts[4]).isdecimal():
            local, remote = (parts[1], int(parts[2])), (parts[3], int(parts[4]))
            is_open = local in self._udp_ports or local[1] in self._any_address
            return Flow(Transport.UDP, local, remote) if is_open else None
        return None

    def token(self, pair: FlowPair) -> str:
        """Put a pair of flows into the user part of a URI."""
        text = f"{pair.caller} {pair.callee}".encode()
        return base64.urlsafe_b64encode(self._tag(text) + text).rstrip(b"=").decode()

    def read_token(self, token: str) -> FlowPair | None:
        """The pair in a token of ours; None for anything else."""
        if not token or len(token) > _MAX_TOKEN_CHARACTERS:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        tag, text = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(text)):
            return None
        caller, _, callee = text.decode().partition(" ")
        return FlowPair(caller, callee)

    def _tag(self, text: bytes) -> bytes:
        return hashlib.blake2s(text, key=self._secret_key, digest_size=_TAG_BYTES).digest()
