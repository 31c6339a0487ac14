"""Secure RTP and RTCP.  RFC 3711, 6188 (longer AES keys) and 7714 (AES-GCM).

A reader's way in: :mod:`.suite` names what can be agreed, :mod:`.key_derivation` makes
session keys from the master key, :mod:`.cipher` seals and opens one packet,
:mod:`.replay` says where a packet stands, :mod:`.context` puts them together.
"""

from .context import SrtpContext
from .suite import CryptoSuite

__all__ = ["CryptoSuite", "SrtpContext"]
