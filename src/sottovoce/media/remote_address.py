"""Where to send, when the peer's SDP does not know its own address (symmetric RTP, RFC 4961).

A phone behind a NAT announces an address that nobody can reach; its packets show the one
that works.  Whom to believe depends on what proves a packet:

* secured: the source of the newest packet whose tag was verified, whatever the address;
* in clear anybody could claim the stream, so the announced host always wins, and another
  host is believed only while nothing was accepted from elsewhere, and then to the end.
"""

from .stream import Address

_UNSPECIFIED = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, never bound to


class RemoteAddress:
    """The destination of one port's packets."""

    __slots__ = ("_announced", "_learned", "_secured")

    def __init__(self, announced: Address | None, *, secured: bool) -> None:
        self._announced = announced
        self._secured = secured
        self._learned: Address | None = None

    def update(self, announced: Address | None, *, secured: bool) -> None:
        """Take a new description; what was learned holds while the announcement does."""
        if announced != self._announced or secured != self._secured:
            self._learned = None
        self._announced = announced
        self._secured = secured

    @property
    def destination(self) -> Address | None:
        """Where to send; None when the stream is not to be sent at all."""
        announced = self._announced
        if announced is None or announced[1] == 0 or announced[0] in _UNSPECIFIED:
            return None
        return self._learned or announced

    def admits(self, source: Address) -> bool:
        """Say whether a packet that proves nothing may come from here (clear sessions)."""
        if self._learned is None:
            return True
        host = source[0]
        return host == self._learned[0] or (
            self._announced is not None and host == self._announced[0]
        )

    def learn(self, source: Address) -> None:
        """Note where a packet came from that was verified, or admitted and accepted."""
        self._learned = source
