"""``sottovoce serve``: the registrar, proxy and built-in numbers of one domain."""

import asyncio
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DataOption, JsonOption
from .output import print_json, stderr_console, stdout_console, warn

if TYPE_CHECKING:
    from ..server.runtime import FirstStart, Server
    from ..server.settings import ServeSettings


def register(program: typer.Typer) -> None:
    """Add this command to the program."""
    program.command(
        "serve",
        epilog="Examples:\n\n"
        "  sottovoce serve\n\n"
        "  sottovoce serve --domain example.org --data /srv/sottovoce\n\n"
        "  sottovoce serve --data ./test --domain example.test --listen tls:127.0.0.1:15061 --json",
    )(serve)


def serve(
    *,
    data: DataOption = None,
    domain: Annotated[
        str | None,
        typer.Option(help="SIP domain to serve: what stands after the @.", show_default=False),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRANSPORT:HOST:PORT",
            help="Where to listen; may be given several times. tls: always; tcp: and udp: "
            "with --allow-clear-text-sip. Port 0 lets the system choose.",
            show_default=False,
        ),
    ] = None,
    allow_clear_text_sip: Annotated[
        bool,
        typer.Option(
            "--allow-clear-text-sip",
            help="Permit tcp: and udp: addresses: third parties read and change what passes there.",
        ),
    ] = False,
    allow_keys_in_clear_text: Annotated[
        bool,
        typer.Option(
            "--allow-keys-in-clear-text",
            help="Let SRTP keys pass over connections without TLS: third parties can listen in.",
        ),
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Run the server: registrar, proxy and built-in numbers of one domain.

    The first start makes a certificate authority, a certificate, two demo accounts and a
    settings file, and tells how to connect a phone. Ctrl-C or SIGTERM ends it cleanly.
    """
    from ..pki.certstore import make_private_folder
    from ..server.data_folder import data_folder
    from ..server.runtime import load_certificate, prepare
    from ..server.settings import load_settings

    folder = data_folder(data)
    settings = load_settings(
        folder,
        {
            "domain": domain,
            "listen": listen or None,
            "allow_clear_text_sip": allow_clear_text_sip or None,
            "allow_keys_in_clear_text": allow_keys_in_clear_text or None,
            "log_level": log_level,
        },
    )
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname).1s %(name)s %(message)s"
    )
    for weaker in settings.warnings():
        warn(weaker)
    make_private_folder(folder)
    load_certificate(settings, folder)
    first_start = prepare(folder, settings.domain)
    return asyncio.run(_run(settings, folder, first_start, json=json))


async def _run(
    settings: "ServeSettings", data: Path, first_start: "FirstStart | None", *, json: bool
) -> int:
    from ..server.runtime import Server, calm_garbage_collector

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await Server.start(settings, data)
    calm_garbage_collector()
    try:
        if json:
            document: dict[str, object] = {
                "event": "ready",
                "domain": settings.domain,
                "listen": server.listen,
                "ca": str(server.ca_file) if server.ca_file else None,
                "pid": os.getpid(),
            }
            if first_start is not None:
                document["first_start"] = {
                    "accounts": {
                        name: password.reveal() for name, password in first_start.passwords.items()
                    },
                    "settings": str(first_start.settings_file),
                }
            print_json(document)
        else:
            _greet(server, first_start)
        await stop.wait()
    finally:
        if not json:
            stderr_console().print("Stopping: answering what is under way, saving registrations.")
        await server.stop()
    return 0


def _greet(server: "Server", first_start: "FirstStart | None") -> None:
    """Say where the server listens and how a phone gets there."""
    out = stdout_console()
    domain, ca = server.settings.domain, server.ca_file
    out.print(f"[bold]Sottovoce[/bold] serves [bold]{domain}[/bold] on {', '.join(server.listen)}")
    if ca is not None:
        out.print(f"certificate authority: {ca}")
    if first_start is not None:
        out.print("\nFirst start: made a certificate authority, a certificate and a settings file.")
        if first_start.passwords:
            out.print("Two demo accounts; their passwords are shown [bold]this once[/bold]:\n")
        for address, password in first_start.passwords.items():
            out.print(f"  {address}  {password.reveal()}", markup=False)
        out.print(f"\nAll settings, each explained: {first_start.settings_file}")
    secure = next((each for each in server.listen if each.startswith("tls:")), None)
    if secure is None:
        return
    host, _, port = secure.removeprefix("tls:").rpartition(":")
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104
    program = "sottovoce" if shutil.which("sottovoce") else sys.argv[0]
    trust = f" --ca {ca}" if ca is not None else ""
    out.print("\nTry it from another terminal (it speaks back what you say):\n")
    out.print(
        f"  {program} call sips:echo@{domain} --account sips:alice@{domain} \\\n"
        f'      --outbound-proxy "{host}:{port};transport=tls"{trust} --duration 5\n',
        markup=False,
        soft_wrap=True,
    )
    out.print("A desk phone needs:\n")
    for name, value in (
        ("registrar / domain", domain),
        ("outbound proxy", f"THIS-HOST:{port};transport=tls"),
        ("RTP encryption", "on, mandatory (RTP/SAVP)"),
        ("trusted certificate", str(ca or "none: your own certificate is used")),
    ):
        out.print(f"  {name:<20} {value}", markup=False, soft_wrap=True)
    out.print("\nNumbers to dial: echo, music, clock. Ctrl-C stops the server.")
