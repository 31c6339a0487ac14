"""The demonstration on a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..trace.recovery import Protection
from .findings import ActFindings, Heard
from .ladder import Row

_MAX_LANES = 3
_LANE_MIN_CHARACTERS, _LANE_MAX_CHARACTERS = 16, 34
#: Of a line: the panel's frame, the packet number, the last lane's name, the note.
_OTHER_CHARACTERS = 4 + 7 + 8 + 22


def show_act(console: Console, number: int, act: ActFindings) -> None:
    """Print one act: what went by, what could be read, what was recovered."""
    colour = _colour(act)
    parts: list[RenderableType] = [Text(f"Captured by {act.capture_method}.", style="dim")]
    parts += [Text(), *_signalling(act, console.width), Text(), *map(_stream, act.streams)]
    if act.pcap is not None:
        parts.append(Text(f"All packets: {act.pcap}", style="dim"))
    parts += [Text(), Text(_summary(act), style=f"bold {colour}")]
    title = Text(f" Act {number}: {act.title} ", style=f"bold {colour}")
    console.print(Panel(Group(*parts), title=title, title_align="left", border_style=colour))


def show_comparison(console: Console, acts: Sequence[ActFindings]) -> None:
    """Print the table that puts the acts side by side."""
    table = Table(box=box.SIMPLE_HEAD, title="What the third party got", title_justify="left")
    table.add_column("")
    for act in acts:
        table.add_column(act.title, style=_colour(act), overflow="fold")
    lines: list[tuple[str, Iterable[str]]] = [
        ("SIP messages read", (_messages(act) for act in acts)),
        ("SRTP key", (_yes_no(act.srtp_key_recovered) for act in acts)),
        ("conversation", (f"{act.audio_seconds_recovered:.1f} s" for act in acts)),
        ("same as spoken", (_likeness(act) for act in acts)),
        ("verdict", (act.verdict for act in acts)),
    ]
    for head, cells in lines:
        table.add_row(Text(head, style="bold"), *cells)
    console.print(table)


def _signalling(act: ActFindings, width: int) -> list[RenderableType]:
    if act.rows:
        shown: list[RenderableType] = [Text("Signalling, as the third party reads it:")]
        shown.append(_ladder(act.rows, width))
        if act.rows_left_out:
            shown.append(Text(f"  ... and {act.rows_left_out} more messages", style="dim"))
        return shown
    shown = [Text("Signalling, as the third party sees it:")]
    for seen in act.tls:
        name = f", for {seen.server_name}" if seen.server_name else ""
        shown.append(
            Text(
                f"  {seen.client} -> {seen.server}  {seen.version or 'TLS'}{name}, "
                f"{seen.records} records, nothing readable"
            )
        )
    if len(shown) == 1:
        shown.append(Text("  nothing"))
    return shown


def _ladder(rows: Sequence[Row], width: int) -> RenderableType:
    """Lanes with arrows for two or three parties, a list for more."""
    lanes = list(dict.fromkeys(name for row in rows for name in (row.source, row.destination)))
    if len(lanes) > _MAX_LANES:
        return Group(*(_row_text(row) for row in rows))
    if len(lanes) == _MAX_LANES and "server" in lanes:
        others = [name for name in lanes if name != "server"]
        lanes = [others[0], "server", others[1]]
    fitting = (width - _OTHER_CHARACTERS) // max(1, len(lanes) - 1)
    lane = min(max(fitting, _LANE_MIN_CHARACTERS), _LANE_MAX_CHARACTERS)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", style="dim", min_width=5)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="bold red")
    heads = "".join(f"{name[: lane - 1]:<{lane}}" for name in lanes[:-1]) + lanes[-1]
    grid.add_row("frame", Text(heads))
    for row in rows:
        grid.add_row(str(row.frame), Text(_arrow(row, lanes, lane)), Text(row.note))
    return grid


def _arrow(row: Row, lanes: list[str], lane: int) -> str:
    """Draw the lanes, and the message on its way between two of them."""
    source, destination = lanes.index(row.source), lanes.index(row.destination)
    left, right = sorted((source, destination))
    line = list("|".ljust(lane) * (len(lanes) - 1) + "|")
    room = (right - left) * lane - 2  # for the label, between the lane and the arrow's head
    if room > 0:
        text = row.text if len(row.text) + 4 <= room else row.short
        label = f" {text} "[:room].center(room, "-")
        body = f"{label}>" if source < destination else f"<{label}"
        line[left * lane + 1 : right * lane] = body
    return "".join(line)


def _row_text(row: Row) -> Text:
    note = f"  [{row.note}]" if row.note else ""
    return Text(f"  {row.frame:>5}  {row.source} -> {row.destination}  {row.text}{note}")


def _stream(heard: Heard) -> Text:
    text = Text(f"Media {heard.title}, {heard.packets} packets: ")
    if heard.seconds_recovered:
        how = "decrypted, " if heard.protection is Protection.DECRYPTED else ""
        kind = "speech" if heard.is_speech else "sound"
        text.append(
            f"{how}{heard.codec}, {heard.seconds_recovered:.1f} s of {kind} recovered\n",
            style="bold red",
        )
        text.append(f"  {heard.saved_as}")
    else:
        text.append(f"{heard.protection.value}, nothing recovered\n", style="bold green")
        text.append("\n".join(f"  {line}" for line in heard.evidence), style="dim")
        if heard.saved_as is not None:
            text.append(f"\n  what it plays as (loud noise): {heard.saved_as}", style="dim")
    return text


def _summary(act: ActFindings) -> str:
    if act.audio_seconds_recovered > 0:
        key = "took the SRTP key from the signalling and " if act.srtp_key_recovered else ""
        return (
            f"A third party read {act.sip_messages_readable} messages, {key}"
            f"has {act.audio_seconds_recovered:.1f} s of the conversation "
            f"({_likeness(act)} as spoken)."
        )
    if act.sip_messages_readable:
        return f"A third party read {act.sip_messages_readable} messages, and heard nothing."
    return "A third party knows when these hosts talked, and heard nothing of it."


def _messages(act: ActFindings) -> str:
    if act.tls:
        records = sum(seen.records for seen in act.tls)
        return f"{act.sip_messages_readable} ({records} TLS records)"
    return f"{act.sip_messages_readable} of {act.sip_messages_captured}"


def _likeness(act: ActFindings) -> str:
    if not act.audio_seconds_recovered:
        return "no"
    # Rounded down: 100 % is for what is the same in every bit.
    return f"{int(100 * min(act.audio_correlation.values(), default=0.0))} % the same"


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _colour(act: ActFindings) -> str:
    if act.audio_seconds_recovered > 0 or act.srtp_key_recovered:
        return "red"
    return "green"
