"""What a user agent server refuses, and how it says so.  RFC 3261 section 8.2.

Each check raises :exc:`Refusal`, or another RemoteError whose status is the answer.
"""

from collections.abc import Collection, Sequence
from typing import Final

from ..errors import RemoteError
from .content import MULTIPART, SDP_TYPE, find_sdp
from .grammar import is_token
from .message import Request, Response
from .parser import KNOWN_METHODS
from .transport import Flow

#: Who warns, in a Warning header of ours (section 20.43 allows a pseudonym).
WARNING_AGENT: Final = "sottovoce"
#: Extensions named in one 420; a peer that asks for more learns of the rest the next time.
MAX_UNSUPPORTED: Final = 16


class Refusal(RemoteError):
    """A request gets this answer instead of what it asked for."""

    def __init__(self, status: int, message: str, *fields: tuple[str, str]) -> None:
        super().__init__(message)
        self.status_hint = status
        self.fields = fields


def refusal_fields(error: RemoteError) -> list[tuple[str, str]]:
    """Return the headers that go with the answer to a request at fault."""
    fields = list(error.fields) if isinstance(error, Refusal) else []
    return [*fields, *warning_field(str(error))]


def warning_field(text: str) -> list[tuple[str, str]]:
    """Write a Warning of ours; none for an empty text, or one that a header cannot carry."""
    text = text.replace("\\", "").replace('"', "'")
    if not text or not text.isprintable():
        return []
    return [("Warning", f'399 {WARNING_AGENT} "{text}"')]


def warning_text(response: Response) -> str:
    """Return the text of the first Warning of a response, "" if there is none."""
    value = response.value("warning") or ""
    _, quote, rest = value.partition('"')
    text = rest.partition('"')[0] if quote else value
    return text if text.isprintable() else ""


def check_method(request: Request, allow: Sequence[str]) -> None:
    """405 for a method that is known and not taken, 501 for an unknown one (section 8.2.1)."""
    if request.method in allow:
        return
    # RFC 4475 section 3.1.2.12: a method nobody has heard of is not implemented.
    status = 405 if request.method in KNOWN_METHODS else 501
    raise Refusal(status, f"{request.method} is not taken here", ("Allow", ", ".join(allow)))


def check_require(request: Request, supported: Collection[str]) -> None:
    """420 for an extension that is required and not known (section 8.2.2.3)."""
    unknown = [each for each in request.items("require") if each.lower() not in supported]
    if unknown:
        fields = unsupported_field(unknown)
        raise Refusal(420, "Require names what is not supported", *fields)


def unsupported_field(unknown: Sequence[str]) -> list[tuple[str, str]]:
    """Name unknown extensions in a 420; none of those that a header cannot carry."""
    named = ", ".join(filter(is_token, unknown[:MAX_UNSUPPORTED]))
    return [("Unsupported", named)] if named else []


def check_content(request: Request) -> None:
    """415 for content that must be understood and is not (section 8.2.3)."""
    if not request.body:
        return
    encoding = (request.value("content-encoding") or "identity").lower()
    if encoding != "identity":
        raise Refusal(415, "Content-Encoding is not identity", ("Accept-Encoding", "identity"))
    media_type = request.media_type
    if media_type == SDP_TYPE:
        return
    disposition = (request.value("content-disposition") or "").lower().replace(" ", "")
    if "handling=optional" in disposition:
        return
    if media_type.startswith(MULTIPART) and find_sdp(request) is not None:
        return
    raise Refusal(415, "Content-Type is not application/sdp", ("Accept", SDP_TYPE))


def check_secure(flow: Flow) -> None:
    """403 for a request of a ``sips`` call that came without TLS: its promise is broken."""
    if not flow.secure:
        raise Refusal(403, "a request of a sips call came without TLS")
