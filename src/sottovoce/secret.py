"""A value that never shows itself: passwords, master keys, digest hashes."""

import hmac
from typing import Generic, TypeVar

_Value = TypeVar("_Value", str, bytes)


class Secret(Generic[_Value]):
    """Hold a text or bytes value out of logs, traces, errors and ``repr``.

    Only :meth:`reveal` gives the value back, so that a search for that word finds
    each place where a secret is used.
    """

    __slots__ = ("_value",)

    def __init__(self, value: _Value) -> None:
        self._value: _Value = value

    def reveal(self) -> _Value:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self._value), _octets(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
