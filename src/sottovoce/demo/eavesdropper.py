"""The third party: listens on loopback and knows nothing but what it hears."""

import asyncio
import contextlib
from collections.abc import Container
from types import TracebackType
from typing import Self

from ..errors import LocalError
from ..trace.capture import PacketCapture, TapProxy
from ..trace.event import Event
from ..trace.exposure import Exposure, Outsider
from ..trace.pcap import CapturedPacket, pcap_file_header, pcap_record

#: Packets kept for the pcap file; a call of the demo is some 1,500 packets of 250 bytes.
MAX_KEPT_BYTES = 16 * 1024 * 1024

#: How long the wire must be silent before a call counts as over, and how long to wait
#: for that: the last packets of a call are on their way when its ends have hung up.
_SILENCE_S = 0.05
_PATIENCE_S = 1.0


class Eavesdropper:
    """Listen from :meth:`listen` to :meth:`close`, then judge with :meth:`findings`.

    What it is told is where to listen, never what was said: no key, codec, address or
    call.  Its findings come out of captured bytes alone.
    """

    def __init__(self) -> None:
        self._third_party = Outsider()
        self._events = 0
        self._packets: list[CapturedPacket] = []
        self._kept_bytes = 0
        self._capture: PacketCapture | None = None
        #: The relays to lead the traffic through; None where a packet socket listens.
        self.tap: TapProxy | None = None

    @classmethod
    def listen(
        cls,
        *,
        ports: Container[int] | None = None,
        interface: str = "lo",
        allow_packet_socket: bool = True,
    ) -> Self:
        """Begin to listen, on the running loop.

        Args:
            ports: Of the packets on the interface, those from or to these ports; on
                loopback other programs talk too.  A tap hears what is led through it.
            interface: Where the packet socket listens.
            allow_packet_socket: False for the tap even where a packet socket may be had.

        """
        listener = cls()
        if allow_packet_socket:
            with contextlib.suppress(LocalError):
                listener._capture = PacketCapture(
                    listener._receive, interface=interface, ports=ports, keep=listener._keep
                )
        if listener._capture is None:
            listener.tap = TapProxy(listener._receive)
        return listener

    @property
    def method(self) -> str:
        """How it listens, for the report."""
        return (self._capture or self.tap or TapProxy).description

    async def close(self) -> None:
        """Wait for the wire to fall silent, then stop listening.  May be called twice."""
        patience = asyncio.get_running_loop().time() + _PATIENCE_S
        heard = -1
        while heard != self._events and asyncio.get_running_loop().time() < patience:
            heard = self._events
            await asyncio.sleep(_SILENCE_S)
        if self._capture is not None:
            self._capture.close()
        if self.tap is not None:
            await self.tap.close()

    def findings(self) -> Exposure:
        """Judge all that was heard; takes tenths of a second, so call it off the loop."""
        return self._third_party.findings()

    def pcap(self) -> bytes:
        """Return what was captured as a file for Wireshark; empty for a tap."""
        if self._capture is None:
            return b""
        return pcap_file_header() + b"".join(map(pcap_record, self._packets))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _receive(self, event: Event) -> None:
        self._events += 1
        self._third_party.receive_event(event)

    def _keep(self, packet: CapturedPacket) -> None:
        if self._kept_bytes + len(packet.octets) <= MAX_KEPT_BYTES:
            self._kept_bytes += len(packet.octets)
            self._packets.append(packet)
