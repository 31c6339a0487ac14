"""Where accounts and bindings are kept."""

from .interface import AccountStore, BindingStore
from .memory import MemoryStore
from .model import Account
from .sqlite import STORE_FILE, SqliteStore

__all__ = ["STORE_FILE", "Account", "AccountStore", "BindingStore", "MemoryStore", "SqliteStore"]
