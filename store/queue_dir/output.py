"""Read a job's output from the combined log or the raw files."""

import os
import re
from pathlib import Path

from spawn.core.domain.codec import valid_utf8
from spawn.core.domain.state import JobState
from spawn.store.files import open_regular

RAW = ("stdout.log", "stderr.log")


def last_lines(job: JobState, lines: int) -> tuple[str, ...]:
    """Return the last lines of the newest attempt's output, oldest first.

    If the combined log has nothing of the attempt, because it could not be written, the lines come
    from the raw files. stderr then comes last, because it is more likely to explain a failure.
    """
    combined = tail(Path(job.log_file), lines, after=job.log_offset) if job.log_file else ()
    if combined or not job.folder:
        return combined
    out, err = (tail(Path(job.folder) / name, lines) for name in RAW)
    err = err[-max((lines + 1) // 2, lines - len(out)) :]
    return (*out[len(out) - min(len(out), lines - len(err)) :], *err)


def beginning(job: JobState) -> tuple[str, ...]:
    """Return the first lines of the newest attempt's output."""
    combined = head(Path(job.log_file), after=job.log_offset) if job.log_file else ()
    if any(combined) or not job.folder:
        return combined
    return tuple(line for name in RAW for line in head(Path(job.folder) / name))


def is_kept_raw_alone(job: JobState) -> bool:
    """Whether the newest attempt has output, but the combined log does not exist."""
    try:
        printed = any((Path(job.folder) / name).stat().st_size for name in RAW)
    except OSError:
        return False
    return printed and not is_accessible(Path(job.log_file))


def is_accessible(log: Path) -> bool:
    """Whether a log exists and can be accessed."""
    try:
        log.stat()
    except OSError:
        return False
    return True


_STAMP = re.compile(rb"\[\d\d:\d\d:\d\d\] ")


def tail(
    path: Path, lines: int, *, after: int = 0, max_bytes: int = 64 * 1024, width: int = 500
) -> tuple[str, ...]:
    """Return the last lines of a text file, oldest first, without empty lines.

    Lines are as a terminal shows them: text that is overwritten after a carriage return is omitted.

    Args:
        after: Offset in bytes at which to start.
        max_bytes: Maximum bytes to read from the end.
        width: Maximum characters of a line; longer lines are cut.

    Returns:
        At most `lines` lines of valid text; none if the file cannot be read.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(after, size - max_bytes)
            file.seek(start)
            data = file.read(max_bytes)
    except OSError:
        return ()
    found = data.split(b"\n")
    whole = found[1:] if start > after else found
    kept = [line for line in whole if line.strip()] or [line for line in found if line.strip()]
    kept = kept[max(0, len(kept) - lines) :]
    return tuple(valid_utf8(visible_part(line))[:width] for line in kept)


def head(path: Path, *, after: int = 0, max_bytes: int = 256 * 1024) -> tuple[str, ...]:
    """Return the first lines of a text file; a carriage return also ends a line.

    Args:
        after: Offset in bytes at which to start.
        max_bytes: Maximum bytes to read.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            file.seek(after)
            return tuple(valid_utf8(file.read(max_bytes)).replace("\r", "\n").split("\n"))
    except OSError:
        return ()


def visible_part(line: bytes) -> bytes:
    """Return the part of a line that a terminal shows, with the time of a combined log's line."""
    parts = [part for part in line.split(b"\r") if part.strip()]
    if len(parts) < 2:
        return parts[0] if parts else line
    stamp = _STAMP.match(line)
    return (stamp[0] if stamp else b"") + parts[-1]
