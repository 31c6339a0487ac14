"""``sottovoce cert``: the server's certificates."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SettingsError
from .options import DataOption, JsonOption, existing_data_folder
from .output import one_line, print_json, stderr_console, stdout_console

app = typer.Typer(
    help="Show the server's certificates, and export the one that phones must trust.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def register(program: typer.Typer) -> None:
    """Add this command to the program."""
    program.add_typer(app, name="cert")


@app.command(epilog="Example:\n\n  sottovoce cert show --json | jq '.certificates[].days_left'")
def show(*, data: DataOption = None, json: JsonOption = False) -> None:
    """Show who the server's certificates are for, by whom, until when, and their fingerprints.

    A name with a reason in brackets proves no SIP domain (RFC 5922 section 7).
    """
    from ..pki.certstore import read_certificate
    from ..pki.summary import summarize

    now_utc = datetime.now(UTC)
    described: list[dict[str, object]] = []
    for role, path in _files(existing_data_folder(data)):
        summary = asdict(summarize(read_certificate(path)))
        begin_utc, end_utc = summary["not_before_utc"], summary["not_after_utc"]
        summary |= {
            "not_before_utc": begin_utc.isoformat(),
            "not_after_utc": end_utc.isoformat(),
        }
        left = {"days_left": (end_utc - now_utc).days, "valid_now": begin_utc <= now_utc < end_utc}
        described.append({"role": role, "file": str(path), **summary, **left})
    if json:
        print_json({"certificates": described})
        return
    _print_for_people(described)


@app.command(
    "export-ca",
    epilog="Examples:\n\n"
    "  sottovoce cert export-ca > ca.pem\n\n"
    "  sottovoce cert export-ca --der --out ca.crt",
)
def export_ca(
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write there; to stdout without it.", show_default=False),
    ] = None,
    der: Annotated[
        bool, typer.Option("--der", help="In DER, which some phones want; PEM without it.")
    ] = False,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Export the root certificate, which phones must be told to trust.

    It holds no secret. Whoever installs it should compare the fingerprint, which is printed on
    stderr, over another way than the file came.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from ..pki.certstore import CA_FILE, read_certificate
    from ..pki.summary import summarize

    root = read_certificate(existing_data_folder(data) / CA_FILE)
    fingerprint = summarize(root).fingerprint_sha256
    content = root.public_bytes(Encoding.DER if der else Encoding.PEM)
    if out is not None:
        _write(out, content)
    if json:
        document: dict[str, object] = {"fingerprint_sha256": fingerprint}
        if out is None:
            document["pem"] = root.public_bytes(Encoding.PEM).decode()
        else:
            document["file"] = str(out)
        print_json(document)
        return
    if out is None:
        if der and sys.stdout.isatty():
            raise SettingsError("--der: octets are not for a terminal; add --out FILE")
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    stderr_console().print(f"SHA-256 fingerprint {fingerprint}", markup=False, soft_wrap=True)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Which files hold the domain's certificate and the root."""
    from ..pki.certstore import CA_FILE, DOMAIN_FILE
    from ..server.settings import load_settings

    own = load_settings(folder).certificate_file
    if own is not None:
        return [("domain", own)]
    return [("domain", folder / DOMAIN_FILE), ("ca", folder / CA_FILE)]


def _print_for_people(described: list[dict[str, object]]) -> None:
    from rich.text import Text

    console = stdout_console()
    for index, certificate in enumerate(described):
        names, usages = certificate["names"], certificate["usages"]
        assert isinstance(names, tuple)
        assert isinstance(usages, tuple)
        left = f"{certificate['days_left']} days left"
        rows = {
            str(certificate["role"]): certificate["file"],
            "for": ", ".join(names) or certificate["subject"],
            "by": certificate["issuer"],
            "usage": ", ".join(usages) or "any",
            "valid from": certificate["not_before_utc"],
            "until": f"{certificate['not_after_utc']} "
            + (f"({left})" if certificate["valid_now"] else "NOT VALID NOW"),
            "key": certificate["key_type"],
            "serial": certificate["serial_number"],
            "SHA-256": certificate["fingerprint_sha256"],
        }
        if index:
            console.print()
        for label, value in rows.items():
            line = Text.assemble((f"{label:<12}", "dim"), one_line(str(value)))
            console.print(line, soft_wrap=True)


def _write(path: Path, content: bytes) -> None:
    """Write a new file, or find that it is there already with just this in it."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        if path.is_file() and path.read_bytes() == content:
            return
        raise SettingsError(
            f"--out {path}: is there already with something else in it; remove it first"
        ) from None
    except OSError as error:
        raise SettingsError(f"--out {path}: cannot be written: {error.strerror}") from None
