"""Where the server keeps its things, and whose they are."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from ..errors import RemoteError, SettingsError
from ..pki.certstore import DOMAIN_FILE, read_certificate
from ..pki.identity import IdentityKind, canonical_domain, subject_identities

SETTINGS_FILE = "settings.toml"
ENVIRONMENT_PREFIX = "SOTTOVOCE_SERVE_"
#: Names the data folder; it is no setting, for the settings are inside.
DATA_VARIABLE = f"{ENVIRONMENT_PREFIX}DATA"
CHECKOUT_FOLDER = "sottovoce-data"
_CHECKOUT_ROOT = Path(__file__).parents[3]


def data_folder(
    given: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    checkout: Path = _CHECKOUT_ROOT,
) -> Path:
    """Choose the data folder; it need not exist.

    What ``--data`` gives, else ``SOTTOVOCE_SERVE_DATA``, else ``./sottovoce-data`` when this
    package runs from a source checkout, else the platform's folder for user data.
    """
    if given is not None:
        return given
    if environment.get(DATA_VARIABLE):
        return Path(environment[DATA_VARIABLE])
    if _is_checkout(checkout):
        return Path(CHECKOUT_FOLDER)
    return Path(platformdirs.user_data_dir("sottovoce", appauthor=False))


def known_domain(data: Path, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the domain a data folder is for, None while that is not known.

    What the last ``serve`` ran for, by the certificate it made; before the first start, what
    the environment or the settings file says.
    """
    try:
        names = subject_identities(read_certificate(data / DOMAIN_FILE))
    except (SettingsError, RemoteError):
        names = ()
    for name in names:
        if name.kind is IdentityKind.URI or name.kind is IdentityKind.DNS:
            return name.domain
    return _set_domain(data, environment)


def _set_domain(data: Path, environment: Mapping[str, str]) -> str | None:
    domain: object = environment.get(f"{ENVIRONMENT_PREFIX}DOMAIN")
    if domain is None:
        try:
            domain = tomllib.loads((data / SETTINGS_FILE).read_text()).get("domain")
        except (OSError, ValueError):
            return None
    try:
        return canonical_domain(str(domain)) if domain else None
    except ValueError:
        return None


def _is_checkout(folder: Path) -> bool:
    """Tell whether a folder is the root of this project's source."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        return bool(project["name"] == "sottovoce")
    except (OSError, ValueError, KeyError, TypeError):
        return False
