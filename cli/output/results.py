"""The downloaded files of a queue as a tree.

Source: the output of `results` on the manual page.
"""

from collections.abc import Iterator, Sequence

from spawn.cli.output.style import GLYPHS, Style
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import plural, printable
from spawn.store.results.download_attempts import DownloadedFile

_HIDDEN = ("exit_code", "metadata.json")
_MOST = 20
"""Maximum number of files and folders listed in `results/`; the rest is counted."""


def format_size(count: int) -> str:
    """Format a size in bytes with 1024-based units: `8 KB`, `2.3 MB`, `245 MB`."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KB", "MB", "GB", "TB"):
        value /= 1024
        if value < 1023.5 or unit == "TB":
            break
    short = f"{value:.1f}"
    return f"{short.removesuffix('.0') if value < 9.95 else f'{value:.0f}'} {unit}"


def format_elapsed(seconds: float) -> str:
    """Format a duration: `45 seconds`, `2m 5s`."""
    whole = int(seconds)
    return duration(whole) if whole >= 60 else f"{whole} second{'' if whole == 1 else 's'}"


def job_tree(
    job_id: str, status: str, files: Sequence[DownloadedFile], style: Style
) -> Iterator[str]:
    """Yield a job's files, one line each; a folder in `results/` is one line for its content."""
    whole = sum(file.size for file in files if not file.error)
    yield f"  {style(status, GLYPHS[status])} {job_id} ({format_size(whole)})"
    rows = [_row(file.name, file) for file in files if "/" not in file.name and _shown(file)]
    inner = [file for file in files if file.name.startswith("results/")]
    other = [file for file in files if "/" in file.name and not file.name.startswith("results/")]
    rows += [_row(file.name, file) for file in other]
    last = len(rows) - 1 if not inner else len(rows)
    for index, row in enumerate(rows):
        yield f"    {'└─' if index == last else '├─'} {row}"
    if inner:
        yield "    └─ results/"
        entries = list(_entries(inner))
        for index, row in enumerate(entries):
            yield f"        {'└─' if index == len(entries) - 1 else '├─'} {row}"


def _shown(file: DownloadedFile) -> bool:
    return file.name not in _HIDDEN or bool(file.error)


def _entries(files: Sequence[DownloadedFile]) -> Iterator[str]:
    folders: dict[str, list[DownloadedFile]] = {}
    single: list[str] = []
    for file in files:
        path = file.name.removeprefix("results/")
        name, slash, _ = path.partition("/")
        if file.link:  # folders show only the size of their files, which would hide the link
            single.append(_row(path, file))
        elif slash:
            folders.setdefault(name, []).append(file)
        else:
            single.append(_row(name, file))
    folded: list[str] = []
    for name, inside in folders.items():
        whole = sum(file.size for file in inside if not file.error)
        failed = sum(1 for file in inside if file.error)
        unknown = any(not file.verified for file in inside)
        note = f" {failed} failed" * bool(failed) + " (unverified)" * unknown
        folded.append(f"{printable(name)}/ ({format_size(whole)}){note}")
    half = _MOST // 2  # so that many files do not hide the folders, or vice versa
    yield from _first(single, max(half, _MOST - len(folded)), "file")
    yield from _first(folded, max(half, _MOST - len(single)), "folder")


def _first(rows: list[str], most: int, what: str) -> Iterator[str]:
    yield from rows[:most]
    if len(rows) > most:
        yield f"… and {plural(len(rows) - most, f'more {what}')}"


def _row(name: str, file: DownloadedFile) -> str:
    if file.error:
        return f"{printable(name)}: {printable(file.error)}"
    if file.link:
        return f"{printable(name)} -> {printable(file.link)}"
    if file.folder:
        return f"{printable(name)}/ (empty)"
    notes = " (unverified)" * (not file.verified) + " (so far)" * file.partial
    return f"{printable(name)} ({format_size(file.size)}){notes}"
