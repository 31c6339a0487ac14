"""Which folder, and whose."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sottovoce.pki import CertificateStore
from sottovoce.server.data_folder import DATA_VARIABLE, data_folder, known_domain


def test_option_goes_before_variable_before_checkout_before_platform(tmp_path: Path) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "site-packages"
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text('[project]\nname = "sottovoce"\n')
    environment = {DATA_VARIABLE: "/env"}

    assert data_folder(Path("given"), environment, checkout=checkout) == Path("given")
    assert data_folder(None, environment, checkout=checkout) == Path("/env")
    assert data_folder(None, {}, checkout=checkout) == Path("sottovoce-data")
    installed = data_folder(None, {}, checkout=elsewhere)
    assert installed.is_absolute()
    assert installed.name == "sottovoce"


@pytest.mark.parametrize("text", ['[project]\nname = "other"', "[tool]", "project = 1", "garbage"])
def test_other_project_that_holds_this_package_is_no_checkout_of_ours(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert data_folder(None, {}, checkout=tmp_path).name == "sottovoce"


def test_domain_is_known_from_certificate_then_environment_then_settings(tmp_path: Path) -> None:
    assert known_domain(tmp_path / "missing", {}) is None
    assert known_domain(tmp_path, {}) is None
    (tmp_path / "settings.toml").write_text('domain = "File.Test"')
    assert known_domain(tmp_path, {}) == "file.test"
    assert known_domain(tmp_path, {"SOTTOVOCE_SERVE_DOMAIN": "env.test"}) == "env.test"
    CertificateStore(tmp_path).open_or_make("made.test", now_utc=datetime.now(UTC))
    assert known_domain(tmp_path, {"SOTTOVOCE_SERVE_DOMAIN": "env.test"}) == "made.test"


@pytest.mark.parametrize("text", ["domain = ", "domain = '*.test'", "domain = []", "x = 1"])
def test_settings_that_name_no_domain_leave_it_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    assert known_domain(tmp_path, {}) is None
