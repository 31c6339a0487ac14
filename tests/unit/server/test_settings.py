"""Where settings come from, what is refused, and that the sample file has them all."""

import re
import tomllib
from pathlib import Path

import pytest

from sottovoce.errors import SettingsError
from sottovoce.server.data_folder import SETTINGS_FILE
from sottovoce.server.setting_types import ListenAddress
from sottovoce.server.settings import (
    ServeSettings,
    load_settings,
    sample_settings,
)
from sottovoce.sip.transport import Transport


def load(tmp_path: Path, toml: str = "", /, **overrides: object) -> ServeSettings:
    (tmp_path / SETTINGS_FILE).write_text(toml)
    return load_settings(tmp_path, overrides, environment={})


def uncommented(sample: str) -> str:
    return re.sub(r"^#(?=[a-z0-9_]+ = )", "", sample, flags=re.MULTILINE)


def test_defaults_are_secure(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "missing", environment={})

    assert [str(place) for place in settings.listen] == ["tls:0.0.0.0:5061"]
    assert not settings.allow_clear_text_sip
    assert not settings.allow_keys_in_clear_text
    assert settings.warnings() == []


def test_command_line_goes_before_environment_before_file_before_defaults(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text(
        'domain = "file.test"\nnonce_life_s = 11\nmax_connections = 12\n'
    )
    environment = {"SOTTOVOCE_SERVE_DOMAIN": "env.test", "SOTTOVOCE_SERVE_NONCE_LIFE_S": "21"}
    overrides = {"domain": "option.test", "max_contacts_per_user": None}
    settings = load_settings(tmp_path, overrides, environment)

    assert settings.domain == "option.test"
    assert settings.nonce_life_s == 21
    assert settings.max_connections == 12
    assert settings.max_contacts_per_user == 10


def test_lists_and_switches_can_stand_in_the_environment(tmp_path: Path) -> None:
    environment = {
        "SOTTOVOCE_SERVE_LISTEN": "tls:[::1]:5061, udp:127.0.0.1:0",
        "SOTTOVOCE_SERVE_ALLOW_CLEAR_TEXT_SIP": "true",
        "SOTTOVOCE_SERVE_DATA": "no setting",
        "UNRELATED": "x",
    }
    settings = load_settings(tmp_path, {}, environment)
    assert list(map(str, settings.listen)) == ["tls:[::1]:5061", "udp:127.0.0.1:0"]


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).domain = "other.test"


def test_sample_names_every_setting_once_with_its_explanation() -> None:
    sample = sample_settings()
    for name, field in ServeSettings.model_fields.items():
        assert len(re.findall(rf"^#{name} = ", sample, re.MULTILINE)) == 1
        assert field.description
        assert field.description in re.sub(r"\n# ", " ", sample)
    assert max(map(len, sample.splitlines())) <= 100


def test_sample_as_it_is_sets_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, sample_settings()) == load(tmp_path)


def test_sample_with_every_line_uncommented_is_the_defaults(tmp_path: Path) -> None:
    text = uncommented(sample_settings())
    assert set(tomllib.loads(text)) == set(ServeSettings.model_fields)

    own = {"certificate_file", "key_file"}  # they have an example in place of a default
    loaded = load(tmp_path, text)
    assert loaded.model_dump(exclude=own) == load(tmp_path).model_dump(exclude=own)
    assert loaded.key_file == Path("/etc/ssl/sip/privkey.pem")


REFUSED = {
    'domane = "x.test"': r"settings\.toml: domane: there is no such setting; did you mean domain\?",
    "colour = 1": r"settings\.toml: colour: there is no such setting; settings\.toml in the data",
    "domain = =": r"settings\.toml: not TOML: .*\(at line 1, column 10\); correct that line",
    "domain = 5": r"settings\.toml: domain: found 5, expected it to be a valid string",
    'domain = "*.x.test"': r"domain: found '\*\.x\.test', wildcards name no SIP domain",
    'domain = ""': r"domain: found '', is no host name",
    "listen = []": r"listen: found \[\], Tuple should have at least 1 item",
    'listen = ["5061"]': r"listen: found '5061', expected tls:HOST:PORT, tcp:HOST:PORT or",
    'listen = ["sctp:1.2.3.4:1"]': r"listen: found 'sctp:1\.2\.3\.4:1', expected tls:HOST:PORT",
    'listen = ["tls:::1:5061"]': r"expected .* IPv6 as tls:\[::1\]:5061",
    'listen = ["tls:[::1]"]': r"expected tls:HOST",
    'listen = ["tls:[x]:1"]': r"expected tls:HOST",
    'listen = ["tls::5061"]': r"expected tls:HOST",
    'listen = ["tls:a.test:65536"]': r"port '65536' is not a number from 0 to 65535",
    'listen = ["tls:a.test:"]': r"port '' is not a number",
    'listen = ["tls:a b:5061"]': r"found 'tls:a b:5061', is no host name",
    'listen = ["udp:0.0.0.0:5060"]': r"settings\.toml: listen: udp:0\.0\.0\.0:5060 carries SIP in "
    r"clear text; use tls:, or set allow_clear_text_sip",
    'listen = ["tcp:[::1]:5060", "tls:[::1]:5061"]': r"listen: tcp:\[::1\]:5060 carries SIP in",
    'listen = ["tls:[::]:5061", "tls:[::]:5061"]': "one address stands there twice",
    'tls_minimum_version = "1.1"': r"version: found '1\.1', expected it to be '1\.2' or",
    'certificate_file = "x.pem"': r"toml: certificate_file: certificate_file and key_file go",
    'key_file = "x.pem"': r"toml: key_file: certificate_file and key_file go",
    "registration_min_s = 0": "registration_min_s: found 0, expected it to be greater than",
    "registration_min_s = 4000": r"toml: registration_min_s: registration_default_s \(3600\) is "
    r"not between registration_min_s \(4000\) and registration_max_s \(7200\)",
    "nonce_life_s = 1.5": "nonce_life_s: found 1.5, expected it to be a valid integer",
    "rtp_port_min = 16385": "rtp_port_min: found 16385, expected it to be a multiple of 2",
    "rtp_port_min = 40000": r"rtp_port_max \(32767\) is not above rtp_port_min \(40000\)",
    "handshake_timeout_s = nan": "handshake_timeout_s: found nan, expected",
    "log_level = 'trace'": "log_level: found 'trace', expected it to be 'debug', 'info'",
    f"log_level = '{'x' * 500}'": r"log_level: found 'x{59}…, expected",
    "allow_clear_text_sip = 'perhaps'": "clear_text_sip: found 'perhaps', expected it to be a",
}


@pytest.mark.parametrize(("toml", "message"), REFUSED.items(), ids=[key[:40] for key in REFUSED])
def test_wrong_setting_is_refused_in_one_line_with_file_key_and_mend(
    tmp_path: Path, toml: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        load(tmp_path, toml)
    assert str(refused.value).startswith(
        (str(tmp_path / SETTINGS_FILE), *ServeSettings.model_fields)
    )
    assert "\n" not in str(refused.value)


def test_wrong_option_and_variable_are_named_as_they_were_given(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--nonce-life-s: found -1, "):
        load(tmp_path, nonce_life_s=-1)
    with pytest.raises(SettingsError, match=r"^SOTTOVOCE_SERVE_NONCE_LIFE_S: found 'soon', "):
        load_settings(tmp_path, {}, {"SOTTOVOCE_SERVE_NONCE_LIFE_S": "soon"})
    with pytest.raises(SettingsError, match=r"^SOTTOVOCE_SERVE_LISTN: .* did you mean listen"):
        load_settings(tmp_path, {}, {"SOTTOVOCE_SERVE_LISTN": "x"})


def test_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).mkdir()
    with pytest.raises(SettingsError, match=r"settings\.toml: cannot be read: Is a directory"):
        load_settings(tmp_path, {}, {})


def test_settings_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes('domain = "bücher.test"'.encode("latin-1"))
    with pytest.raises(SettingsError, match="byte 11 is not UTF-8; save it as UTF-8"):
        load_settings(tmp_path, {}, {})


def test_certificate_file_is_relative_to_the_settings_file_but_not_on_the_command_line(
    tmp_path: Path,
) -> None:
    files = 'certificate_file = "own.pem"\nkey_file = "/etc/own.key"'
    settings = load(tmp_path, files)
    assert settings.certificate_file == tmp_path / "own.pem"
    assert settings.key_file == Path("/etc/own.key")
    assert load(tmp_path, files, certificate_file="here.pem").certificate_file == Path("here.pem")


def test_certificate_names_are_told_apart(tmp_path: Path) -> None:
    settings = load(tmp_path, 'certificate_names = ["PBX.local.", "192.0.2.1", "[2001:DB8::1]"]')
    assert settings.certificate_dns_names() == ("pbx.local",)
    assert settings.certificate_addresses() == ("192.0.2.1", "2001:db8::1")


def test_every_weaker_choice_warns(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        listen=["udp:0.0.0.0:5060"],
        allow_clear_text_sip=True,
        allow_keys_in_clear_text=True,
    )
    clear, keys, no_tls = settings.warnings()
    assert clear.startswith("allow_clear_text_sip: everybody on the path can read and change SIP")
    assert keys.startswith("allow_keys_in_clear_text: SRTP keys pass over")
    assert no_tls.startswith("listen: no tls: address")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls:[::1]:5061", ListenAddress(Transport.TLS, "::1", 5061)),
        ("TCP:127.0.0.1:0", ListenAddress(Transport.TCP, "127.0.0.1", 0)),
        ("udp:pbx.example.org:5060", ListenAddress(Transport.UDP, "pbx.example.org", 5060)),
    ],
)
def test_listen_address_is_read_and_written_alike(text: str, expected: ListenAddress) -> None:
    assert ListenAddress.parse(text) == expected
    assert ListenAddress.parse(str(expected)) == expected
