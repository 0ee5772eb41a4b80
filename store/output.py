"""Read a job's output from the combined log or the raw files."""

from pathlib import Path

from spawn.core.state import JobState
from spawn.store.tail import head, tail

RAW = ("stdout.log", "stderr.log")


def recent(job: JobState, lines: int) -> tuple[str, ...]:
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
