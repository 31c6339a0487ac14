"""Where accounts, bindings and bans are kept."""

from .ban import Ban
from .interface import AccountStore, BanStore, BindingStore
from .memory import MemoryStore
from .model import Account
from .sqlite import STORE_FILE, SqliteStore

__all__ = [
    "STORE_FILE",
    "Account",
    "AccountStore",
    "Ban",
    "BanStore",
    "BindingStore",
    "MemoryStore",
    "SqliteStore",
]
