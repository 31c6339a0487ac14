"""What is remembered about a banned source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ban:
    """One address or network that the server does not listen to.

    It is kept past its end for a while, for a source that comes back is banned for longer.
    """

    network: str
    "An IP address, or a network as ``203.0.113.0/24``; in the form that ipaddress writes."

    reason: str
    "For the operator."

    since_utc: float
    "Seconds since 1970."

    until_utc: float | None
    "Seconds since 1970; None: until it is lifted."

    strikes: int = 0
    "How many times in a row the server banned this source itself; 0: the operator did."

    def holds(self, now_utc: float) -> bool:
        """Whether it is not over yet."""
        return self.until_utc is None or now_utc < self.until_utc
