"""Live capture: a packet socket where the system allows it, a forwarding tap elsewhere.

Both hand over the same events (:mod:`..event`), so that what judges them cannot tell, and
need not know, how they were captured.
"""

from .packet_socket import PacketCapture
from .tap import Address, TapProxy

__all__ = ["Address", "PacketCapture", "TapProxy"]
