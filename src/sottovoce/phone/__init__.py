"""Phones for Python programs: register, call, answer, speak and listen, protected by default."""

from ..keying import SrtpPolicy
from .call import Call, CallSecurity, CallState
from .phone import Phone
from .settings import Account

__all__ = ["Account", "Call", "CallSecurity", "CallState", "Phone", "SrtpPolicy"]
