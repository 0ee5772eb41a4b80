"""What a job printed last, wherever that is kept."""

from pathlib import Path

from spawn.core.state import JobState
from spawn.store.tail import head, tail

RAW = ("stdout.log", "stderr.log")


def recent(job: JobState, lines: int) -> tuple[str, ...]:
    """The end of the newest attempt's output, oldest line first.

    From the combined log; where that has nothing of the attempt, as it could not be written, from
    the raw output. The order between the two streams is not known then: stderr comes last, as
    what it says of an end counts more.
    """
    combined = tail(Path(job.log_file), lines, after=job.log_offset) if job.log_file else ()
    if combined or not job.folder:
        return combined
    out, err = (tail(Path(job.folder) / name, lines) for name in RAW)
    err = err[-max((lines + 1) // 2, lines - len(out)) :]
    return (*out[len(out) - min(len(out), lines - len(err)) :], *err)


def beginning(job: JobState) -> tuple[str, ...]:
    """The first lines that the newest attempt printed."""
    combined = head(Path(job.log_file), after=job.log_offset) if job.log_file else ()
    if any(combined) or not job.folder:
        return combined
    return tuple(line for name in RAW for line in head(Path(job.folder) / name))


def is_kept_raw_alone(job: JobState) -> bool:
    """Whether the newest attempt has printed something, and the combined log is not there."""
    try:
        printed = any((Path(job.folder) / name).stat().st_size for name in RAW)
    except OSError:
        return False
    return printed and not is_there(Path(job.log_file))


def is_there(log: Path) -> bool:
    """Whether a log can be found."""
    try:
        log.stat()
    except OSError:
        return False
    return True
