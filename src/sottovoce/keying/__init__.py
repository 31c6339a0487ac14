"""How two ends agree on SRTP keys.

:class:`SecureMediaNegotiation` is what a phone uses; :mod:`.sdes` reads and writes the
``a=crypto`` lines under it.
"""

from .negotiation import SecureMediaNegotiation, SrtpPolicy
from .sdes import CryptoAttribute, cannot_be_inspected, carries_keys, redact

__all__ = [
    "CryptoAttribute",
    "SecureMediaNegotiation",
    "SrtpPolicy",
    "cannot_be_inspected",
    "carries_keys",
    "redact",
]
