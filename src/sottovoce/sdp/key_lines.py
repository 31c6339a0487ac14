"""Where SRTP keys stand in a message: find them, and take them out of what is shown.

Keys stand in ``a=crypto`` lines (RFC 4568), also wrapped by capability negotiation
(``a=acap:1 crypto:…``), in ``a=key-mgmt`` lines (RFC 4567) and in the obsolete
``k=`` line (RFC 4566 section 5.12).  Both functions err on the safe side: they
look at the bytes, not at a parsed description, so that what another parser might
read as a key line counts as one.
"""

import re

HIDDEN = "…"

_LOWER_CASE = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
#: NUL is among them so that UTF-16 reads as ASCII does.
_BLANKS = b" \t\r\n\v\f\0"

_KEY_LINE = re.compile(rb"(?:^|[\r\n])[ \t\0]*[kK][ \t\0]*=")

#: Bodies of these types are shown to people; nothing reads a description out of them.
_NEVER_A_DESCRIPTION = ("text/", "image/", "audio/", "video/")
_INSPECTABLE_ENCODINGS = (b"", b"identity", b"7bit", b"8bit", b"binary")
#: In these, every ASCII character stands for itself.
_INSPECTABLE_CHARSETS = re.compile(rb"utf-?8|us-ascii|ascii|iso-8859-\d{1,2}|windows-125\d")
_PART_ENCODING = re.compile(rb"content-(?:transfer-)?encoding[ \t]*:\s*([^\s;]*)", re.IGNORECASE)
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s\";]*)", re.IGNORECASE)


def carries_keys(body: bytes, content_type: str) -> bool:
    """Tell whether a SIP body holds, or might hold, keys for SRTP.

    Blanks and letter case are disregarded, multipart bodies are searched as a
    whole.  What :func:`cannot_be_inspected` has to be refused beside this.

    Args:
        body: The body as received.
        content_type: Value of the Content-Type header, empty without one.

    """
    if not body:
        return False
    condensed = body.translate(_LOWER_CASE, _BLANKS)
    attribute, inline = b"a=crypto" in condensed, b"inline:" in condensed
    if content_type.lstrip()[:5].lower() == "text/":
        return attribute and inline
    if attribute or inline or b"key-mgmt:" in condensed:
        return True
    kind = _media_type(content_type)
    if kind == "application/mikey":
        return True
    return b"k=" in condensed and _may_be_a_description(kind) and bool(_KEY_LINE.search(body))


def cannot_be_inspected(content_type: str, content_encoding: str, body: bytes) -> bool:
    """Tell whether keys could hide from :func:`carries_keys` in this body.

    That is so for compressed bodies, parts in base64 or quoted-printable, and
    character sets in which ASCII does not stand for itself.  A body of a type in which
    nobody looks for a session description (text, pictures, XML documents) is not meant.

    Args:
        content_type: Value of the Content-Type header, empty without one.
        content_encoding: Value of the Content-Encoding header, empty without one.
        body: The body as received.

    """
    kind = _media_type(content_type)
    if not body or not _may_be_a_description(kind):
        return False
    if content_encoding.strip().lower() not in ("", "identity"):
        return True
    declared = content_type.encode("utf-8", "replace")
    if kind.startswith(("multipart/", "message/")):
        encodings = _PART_ENCODING.findall(body)
        if any(encoding.lower() not in _INSPECTABLE_ENCODINGS for encoding in encodings):
            return True
        declared += b"\n" + body
    charsets = _CHARSET.findall(declared)
    return not all(_INSPECTABLE_CHARSETS.fullmatch(charset.lower()) for charset in charsets)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _may_be_a_description(kind: str) -> bool:
    return not (kind.startswith(_NEVER_A_DESCRIPTION) or kind.endswith("+xml"))


# A base64 text may go on after a fold; "a=..." on an indented next line is no such text.
_INLINE = re.compile(
    r"(inline[ \t]*(?::|%3a)[ \t]*)[^\s|;]+"
    r"(?:\r?\n[ \t]+[A-Z0-9+/]+={0,2}(?=[\s|;]|\Z))*",
    re.IGNORECASE,
)
_KEY_MGMT = re.compile(r"(key-mgmt[ \t]*:[ \t]*(?:mikey[ \t]+)?)[^\r\n]+", re.IGNORECASE)
_MAYBE_K = re.compile(r"k[ \t]*=")  # quick, where the two below are slow
_K_LINE = re.compile(r"((?:^|(?<=[\r\n]))[ \t]*k[ \t]*=[ \t]*)[^\r\n]+", re.IGNORECASE)
_K_INSIDE = re.compile(r"(\bk=(?:clear|base64|uri):)[^\r\n]+", re.IGNORECASE)
_CRYPTO_LINE = re.compile(r"a[ \t]*=[ \t]*crypto[^\r\n]*", re.IGNORECASE)
#: No suite or parameter name has so long a part without an underscore.
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")


def redact(text: str) -> str:
    """Return any text (a message, a description, a log line) without the SRTP keys in it.

    All that follows ``inline:`` up to ``|``, ``;`` or a blank goes, and the values of
    ``key-mgmt`` and ``k=``.  Redacting twice changes nothing more.
    """
    lowered = text.lower()
    if "inline" in lowered:
        text = _INLINE.sub(rf"\1{HIDDEN}", text)
    if "crypto" in lowered:
        text = _CRYPTO_LINE.sub(lambda line: _LONG_BASE64.sub(HIDDEN, line[0]), text)
    if "key-mgmt" in lowered:
        text = _KEY_MGMT.sub(rf"\1{HIDDEN}", text)
    if _MAYBE_K.search(lowered):
        text = _K_LINE.sub(rf"\1{HIDDEN}", text)
        text = _K_INSIDE.sub(rf"\1{HIDDEN}", text)
    return text
