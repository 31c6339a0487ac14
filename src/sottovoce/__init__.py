"""Secure telephony: SIP over TLS and SRTP, on by default."""

from .errors import Error, LocalError, RemoteError

__version__ = "0.1.0"

__all__ = ["Error", "LocalError", "RemoteError", "__version__"]
