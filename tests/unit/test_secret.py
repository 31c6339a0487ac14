"""A secret shows in no form that a log line, an error or a dump would use."""

import pickle

import pytest

from sottovoce.secret import Secret


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{0:>30}".format, "{0!r}".format])
def test_value_is_in_no_textual_form(show: object) -> None:
    assert callable(show)
    assert "hunter2" not in show(Secret("hunter2"))


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))


def test_equality_and_truth_are_those_of_the_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    assert Secret(b"k").reveal() == b"k"
