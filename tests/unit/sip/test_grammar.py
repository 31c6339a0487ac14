"""RFC 3261 sections 7.3.1 and 25.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import LocalError, ParseError
from sottovoce.sip.grammar import (
    MAX_DELTA_SECONDS,
    MAX_PARAMS,
    format_params,
    parse_delta_seconds,
    parse_number,
    parse_params,
    quote,
    shown,
    split_items,
    unfold,
    unquote,
)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("  ", []),
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        ("INVITE, ACK,", ["INVITE", "ACK"]),
        (
            '"Bell, Alexander" <sip:a@b>, <sip:c,d@e>',
            ['"Bell, Alexander" <sip:a@b>', "<sip:c,d@e>"],
        ),
        (r'"a\",b" <sip:a@b>,<sip:c@d>', [r'"a\",b" <sip:a@b>', "<sip:c@d>"]),
    ],
)
def test_commas_in_quotes_and_brackets_do_not_split(text: str, items: list[str]) -> None:
    assert split_items(text) == items


@pytest.mark.parametrize("text", ['"a, b', "<sip:a@b, c", 'a, "b\\"', "a>, <b>"])
def test_unbalanced_list_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        split_items(text)


def test_parameters_keep_order_and_quotes() -> None:
    text = ';Tag=abc ; q = 0.5;lr;+sip.instance="<urn:uuid:1;2>"'
    assert list(parse_params(text).items()) == [
        ("tag", "abc"),
        ("q", "0.5"),
        ("lr", None),
        ("+sip.instance", '"<urn:uuid:1;2>"'),
    ]


@pytest.mark.parametrize(
    "text", [";", ";;a", ";a=", ";a=b c", "a", ";a;A", ';a="x', ";a=<b>", ";a,b", ";a=b\0"]
)
def test_malformed_parameters_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_params(text)


def test_parameters_over_the_limit_are_refused() -> None:
    text = "".join(f";p{number}" for number in range(MAX_PARAMS + 1))
    assert len(parse_params(text[: text.rindex(";")])) == MAX_PARAMS
    with pytest.raises(ParseError):
        parse_params(text)


def test_fold_is_one_space() -> None:
    assert unfold(" a \r\n\t b\r\n ") == "a b"


def test_line_break_cannot_be_quoted() -> None:
    with pytest.raises(LocalError):
        quote("a\r\nX: y")


@given(st.text(st.characters(exclude_characters="\r\n")))
def test_unquote_undoes_quote(text: str) -> None:
    assert unquote(quote(text)) == text
    assert split_items(quote(text) + ",b") == [quote(text), "b"]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9!%*_+`'~.-]{1,9}", fullmatch=True),
        st.none() | st.from_regex(r"[A-Za-z0-9:@/=\[\].-]{1,9}", fullmatch=True),
        max_size=8,
    )
)
def test_parse_params_undoes_format_params(params: dict[str, str | None]) -> None:
    assert parse_params(format_params(params)) == params


@pytest.mark.parametrize("digits", ["", "-1", "+1", "1 ", "0x1", "1.0", "１", "²"])
def test_only_ascii_digits_are_a_number(digits: str) -> None:
    with pytest.raises(ParseError):
        parse_number(digits, 10)
    with pytest.raises(ParseError):
        parse_delta_seconds(digits)


def test_numbers_of_any_length_are_judged_quickly() -> None:
    """int() itself raises ValueError over 4300 digits."""
    assert parse_number("0" * 5000 + "7", 7) == 7
    assert parse_delta_seconds("9" * 5000) == MAX_DELTA_SECONDS
    assert parse_number("4294967295", 2**32 - 1) == 2**32 - 1
    for digits in ("4294967296", "9999999999", "9" * 5000):
        with pytest.raises(ParseError):
            parse_number(digits, 2**32 - 1)


def test_remote_text_is_shown_short_and_harmless() -> None:
    assert shown("a\r\n\x1b[2J\udcff") == "'a\\r\\n\\x1b[2J\\udcff'"
    assert len(shown("a" * 10_000)) < 50
