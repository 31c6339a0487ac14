"""What is remembered about a user."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..errors import SettingsError
from ..pki.identity import canonical_domain
from ..secret import Secret
from ..sip.digest import Algorithm, ha1

#: The algorithms a new password is stored for: a server that holds only HA1 needs one for
#: each algorithm it offers (RFC 8760 section 2.1).
STORED_ALGORITHMS = (Algorithm.SHA_256, Algorithm.MD5)

#: A shorter password warns: HA1 can be guessed at off line from one captured answer.
WEAK_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 256  # no phone takes more; bounds what is hashed
MAX_USER_CHARACTERS = 64
MAX_DISPLAY_NAME_CHARACTERS = 128

# No letters that look alike in print; 20 of 31 characters are 99 bits.
_GENERATED_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_GENERATED_CHARACTERS = 20

# RFC 3261's unreserved characters, and "+" for telephone numbers: nothing that would have to
# be escaped in a URI, quoted in a header or told from the colons inside HA1.
_USER = re.compile(r"[A-Za-z0-9_.!~*'()+-]+")


@dataclass(frozen=True, slots=True)
class Account:
    """One user of one domain, who can register and call."""

    user: str
    "Case matters (RFC 3261 section 19.1.4)."

    domain: str
    "As :func:`~sottovoce.pki.identity.canonical_domain` has it; also the digest realm."

    ha1: Mapping[Algorithm, Secret[str]] = field(repr=False)
    "H(user:realm:password) by algorithm; the password itself is kept nowhere."

    created_utc: datetime
    "Aware."

    display_name: str = ""
    "Shown to the called party; may be empty."

    @classmethod
    def make(
        cls,
        user: str,
        domain: str,
        password: Secret[str],
        *,
        created_utc: datetime,
        display_name: str = "",
    ) -> "Account":
        """Make an account from a password, which is forgotten.

        Raises:
            SettingsError: The user name, display name or password cannot be used.

        """
        check_user(user)
        if len(display_name) > MAX_DISPLAY_NAME_CHARACTERS or not display_name.isprintable():
            raise SettingsError(
                f"display name of {user!r}: expected at most {MAX_DISPLAY_NAME_CHARACTERS} "
                "characters, no control characters"
            )
        try:
            domain = canonical_domain(domain)
        except ValueError as error:
            raise SettingsError(f"domain {domain!r} of {user!r}: {error}") from None
        return cls(user, domain, hashed(user, domain, password), created_utc, display_name)

    @property
    def address(self) -> str:
        """``user@domain``."""
        return f"{self.user}@{self.domain}"


def hashed(user: str, domain: str, password: Secret[str]) -> Mapping[Algorithm, Secret[str]]:
    """Return HA1 of a password for every stored algorithm.

    Raises:
        SettingsError: The password is empty, too long or has control characters.

    """
    text = password.reveal()
    if not 1 <= len(text) <= MAX_PASSWORD_CHARACTERS:
        found = f"has {len(text)} characters" if text else "is empty"
        raise SettingsError(
            f"password of {user}@{domain}: {found}, expected 1 to {MAX_PASSWORD_CHARACTERS}; "
            "give another, or --generate for a random one"
        )
    if not text.isprintable():
        raise SettingsError(
            f"password of {user}@{domain}: has a control character, which no phone can be "
            "given; give another, or --generate for a random one"
        )
    return {
        algorithm: ha1(algorithm, user, domain.lower(), password) for algorithm in STORED_ALGORITHMS
    }


def random_password() -> Secret[str]:
    """Make a password that nobody guesses and everybody can type into a phone."""
    letters = (secrets.choice(_GENERATED_ALPHABET) for _ in range(_GENERATED_CHARACTERS))
    return Secret("".join(letters))


def check_user(user: str) -> None:
    """Raise unless this can be the user part of a SIP URI as it stands.

    Raises:
        SettingsError: Empty, too long, or a character that would need escaping.

    """
    if len(user) > MAX_USER_CHARACTERS or not _USER.fullmatch(user):
        raise SettingsError(
            f"user name {user[:MAX_USER_CHARACTERS]!r}: expected 1 to {MAX_USER_CHARACTERS} "
            "letters, digits or -_.!~*'()+"
        )
