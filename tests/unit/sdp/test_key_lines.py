"""Keys are found wherever they hide, and never shown.  RFC 4568 section 7."""

import pytest

from sottovoce.sdp.key_lines import cannot_be_inspected, carries_keys, redact

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
LINE = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n"
PLAIN = HEAD + "a=rtpmap:0 PCMU/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
MULTIPART = (
    "--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    "--x\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--x--\r\n"
)

TRICKS = {
    "as usual": HEAD + LINE,
    "bare LF": (HEAD + LINE).replace("\r\n", "\n"),
    "bare CR": (HEAD + LINE).replace("\r\n", "\r"),
    "upper case": (HEAD + LINE).upper(),
    "blanks": HEAD + LINE.replace("a=crypto:", " a =\tcrypto :"),
    "folded": HEAD + LINE.replace("crypto", "cry\r\n pto"),
    "no key method": HEAD + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 uri:x",
    "attribute of another name": HEAD + LINE.replace("crypto", "x"),
    "capability negotiation": HEAD + f"a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
    "key-mgmt": HEAD + f"a=key-mgmt:mikey {KEY}",
    "key-mgmt in acap": HEAD + f"a=acap:1 key-mgmt:mikey {KEY}",
    "k line": HEAD + f"k=base64:{KEY}",
    "k line with blanks": HEAD + f" K = clear:{KEY}",
    "UTF-16": (HEAD + LINE).encode("utf-16").decode("latin-1"),
    "UTF-16, k line": (HEAD + f"k=clear:{KEY}").encode("utf-16-be").decode("latin-1"),
}


@pytest.mark.rfc("rfc4568", 5)
@pytest.mark.parametrize("body", TRICKS.values(), ids=TRICKS)
@pytest.mark.parametrize("content_type", ["application/sdp", "Application/SDP ;charset=x", ""])
def test_keys_are_found_whatever_they_look_like(body: str, content_type: str) -> None:
    assert carries_keys(body.encode("latin-1"), content_type)


@pytest.mark.rfc("rfc4568", 5)
@pytest.mark.rfc("rfc8866", 17)
@pytest.mark.parametrize("body", TRICKS.values(), ids=TRICKS)
def test_keys_are_found_in_a_part_of_a_multipart_body(body: str) -> None:
    assert carries_keys(MULTIPART.format(body).encode("latin-1"), "multipart/mixed;boundary=x")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PLAIN, "application/sdp"),
        (MULTIPART.format(PLAIN), "multipart/mixed;boundary=x"),
        ("", "application/sdp"),
        ("Signal=1\r\nDuration=160\r\n", "application/dtmf-relay"),
        ("k=1 and so on, see inline: below", "text/plain"),
        ("<data k='x' display='inline'/>", "application/pidf+xml"),
        ("x\r\nk=1", "application/pidf+xml"),
    ],
)
def test_bodies_without_keys_are_let_through(body: str, content_type: str) -> None:
    assert not carries_keys(body.encode(), content_type)


def test_mikey_body_and_a_line_pasted_into_a_text_count_as_keys() -> None:
    assert carries_keys(b"\x01\x00", "application/mikey")
    assert carries_keys(f"look: {LINE}".encode(), "text/plain")


@pytest.mark.parametrize(
    ("content_type", "content_encoding", "body"),
    [
        ("application/sdp", "gzip", "\x1f\x8b"),
        ("", "deflate", "x"),
        ("application/sdp; charset=utf-7", "", PLAIN),
        ("multipart/mixed", "", "--x\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--x--"),
        ("multipart/mixed", "", "--x\r\ncontent-transfer-encoding :\r\n Quoted-Printable\r\n\r\n"),
        ("multipart/mixed", "", "--x\nContent-Encoding: gzip\n\n\n"),
        ("multipart/mixed", "", '--x\nContent-Type: application/sdp;charset = "utf-16"\n\n\n'),
    ],
)
def test_bodies_in_which_keys_could_hide_are_told(
    content_type: str, content_encoding: str, body: str
) -> None:
    assert cannot_be_inspected(content_type, content_encoding, body.encode("latin-1"))


@pytest.mark.parametrize(
    ("content_type", "content_encoding", "body"),
    [
        ("application/sdp", "", PLAIN),
        ("application/sdp;charset=UTF-8", " Identity ", PLAIN),
        ("application/sdp", "gzip", ""),
        ("multipart/mixed", "", "--x\r\nContent-Transfer-Encoding: 8BIT\r\n\r\nv=0\r\n--x--"),
        ("image/png", "gzip", "x"),
        ("text/plain;charset=utf-16", "", "x"),
        ("application/pidf+xml", "gzip", "x"),
    ],
)
def test_bodies_in_which_they_could_not_are_left_in_peace(
    content_type: str, content_encoding: str, body: str
) -> None:
    assert not cannot_be_inspected(content_type, content_encoding, body.encode())


@pytest.mark.rfc("rfc4568", 21)
@pytest.mark.rfc("rfc8866", 14)
@pytest.mark.parametrize(
    "text",
    [
        LINE,
        f"{HEAD}{LINE}\r\na=sendrecv\r\n",
        f"a=crypto:2 F8 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4 FEC_KEY=inline:{KEY}",
        f"A=CRYPTO:1 X INLINE : {KEY}",
        f"a=crypto:1 X inline:\t{KEY}=",
        f"a=crypto:1 X inline:AAAA\r\n {KEY}\r\nv=0",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}",
        f"a=key-mgmt:mikey {KEY}",
        f"a=key-mgmt:{KEY}",
        f"k=base64:{KEY}",
        f"x\rk=clear:{KEY}",
        f"x\n k = {KEY}",
        f"'v=0 k=base64:{KEY}'",
        f"sip:b@example.org?body=a%3Dcrypto%3A1%20X%20inline%3A{KEY}",
        repr(f"{HEAD}{LINE}\r\na=sendrecv\r\n"),
    ],
)
def test_redacted_text_has_no_key_and_stays_the_same_when_redacted_again(text: str) -> None:
    redacted = redact(text)

    assert KEY[4:12] not in redacted
    assert redact(redacted) == redacted


def test_redacting_leaves_all_else_as_it_was() -> None:
    assert redact(f"{HEAD}{LINE} WSH=64\r\na=sendrecv\r\n") == (
        f"{HEAD}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…|2^20|1:4 WSH=64\r\na=sendrecv\r\n"
    )
    assert redact(f"    {LINE}\n    a=sendrecv\n").endswith("|2^20|1:4\n    a=sendrecv\n")
    assert redact(PLAIN) == PLAIN
    assert redact("k: 100rel\r\nTask=1") == "k: 100rel\r\nTask=1"
