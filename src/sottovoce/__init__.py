"""Secure telephony: SIP over TLS and SRTP, on by default.

::

    from sottovoce import Account, Phone

    async with Phone(Account("sips:alice@example.org", password="...")) as phone:
        call = await phone.call("sips:bob@example.org")
"""

from typing import TYPE_CHECKING

from .errors import (
    AuthenticationFailed,
    CallFailed,
    CertificateRefused,
    Error,
    LocalError,
    RemoteError,
    RequestFailed,
    SettingsError,
    Unreachable,
)

if TYPE_CHECKING:
    from .phone import Account, Call, CallSecurity, CallState, Phone, SrtpPolicy

__version__ = "0.1.0"

__all__ = [
    "Account",
    "AuthenticationFailed",
    "Call",
    "CallFailed",
    "CallSecurity",
    "CallState",
    "CertificateRefused",
    "Error",
    "LocalError",
    "Phone",
    "RemoteError",
    "RequestFailed",
    "SettingsError",
    "SrtpPolicy",
    "Unreachable",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import the phone when it is first asked for: it takes four times as long as all else."""
    if name in __all__:
        from . import phone

        return getattr(phone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
