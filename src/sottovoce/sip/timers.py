"""SIP timer values.  RFC 3261 section 17.1.1.1 and table 4; RFC 6026 section 8."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimerValues:
    """The base times that every SIP timer is made from."""

    t1_s: float = 0.5
    "Round-trip time estimate."

    t2_s: float = 4.0
    "Longest gap between retransmissions, other than of INVITE requests."

    t4_s: float = 5.0
    "Longest time a message stays in the network."

    trying_s: float = 0.2
    "How long the user may think before a 100 goes out (section 17.2.1)."

    c_s: float = 190.0
    "Timer C: over three minutes (section 16.6 item 11)."

    @property
    def transaction_s(self) -> float:
        """Timers B, F, H, J, L and M: 64*T1."""
        return 64 * self.t1_s

    def d_s(self, *, reliable: bool) -> float:
        """Timer D: how long to absorb repeats of a final response."""
        return 0.0 if reliable else max(32.0, self.transaction_s)

    def i_s(self, *, reliable: bool) -> float:
        """Timers I and K: how long to absorb what is still in the network."""
        return 0.0 if reliable else self.t4_s

    def j_s(self, *, reliable: bool) -> float:
        """Timer J: how long to repeat the final response to a non-INVITE."""
        return 0.0 if reliable else self.transaction_s


RFC3261_TIMERS = TimerValues()
