"""Every exception this package raises.

* :exc:`Error`
    * :exc:`RemoteError` - the peer sent something it must not
        * :exc:`ParseError` - the bytes do not fit the grammar
        * :exc:`UnauthenticPacket` - tag wrong, or packet seen before
        * :exc:`CertificateRefused` - the peer's certificate does not prove who it must be
    * :exc:`LocalError` - our own caller asked for something that cannot or must not be done
        * :exc:`SettingsError` - a setting, option or file that our user gave is wrong
    * :exc:`RequestFailed` - a request of ours ended without success; carries the SIP status
        * :exc:`AuthenticationFailed` - the server does not take our user name and password
        * :exc:`CallFailed` - the call was not established
        * :exc:`Unreachable` - no answer came back, or no secure connection could be made
"""


class Error(Exception):
    """Root of the tree; catching it catches nothing from the standard library."""


class RemoteError(Error):
    """The peer is at fault: log it, answer it, count it, never crash on it."""

    #: SIP status to answer with when the fault came in a request.
    status_hint: int = 400


class ParseError(RemoteError):
    """The bytes do not fit the grammar.

    Args:
        message: What was found, where, and what was expected.
        status_hint: SIP status to answer with, where 400 does not fit.

    """

    def __init__(self, message: str, *, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


class UnauthenticPacket(RemoteError):
    """A media packet failed authentication or replay protection; drop it."""


class CertificateRefused(RemoteError):
    """The peer's certificate does not prove the identity that was expected of it."""

    status_hint = 403


class LocalError(Error):
    """Our caller is at fault: doing this now would break the RFC or its protection."""


class SettingsError(LocalError):
    """A setting, option or file is wrong; the message names it and the mend."""


class RequestFailed(Error):
    """A request of ours ended without success.

    Args:
        status: SIP status; 408 and 503 also stand for "no answer" and "no connection"
            (RFC 3261 section 8.1.3.1).
        reason: The reason phrase, or what went wrong here.
        warning: Text of the Warning header, empty without one.

    """

    def __init__(self, status: int, reason: str, warning: str = "") -> None:
        super().__init__(f"{status} {reason}" + (f" ({warning})" if warning else ""))
        self.status = status
        self.reason = reason
        self.warning = warning


class AuthenticationFailed(RequestFailed):
    """The server does not take our user name and password."""


class CallFailed(RequestFailed):
    """The call was not established: busy, declined, not found, media refused, ..."""


class Unreachable(RequestFailed):
    """No answer came back, or no connection with the protection asked for could be made."""
