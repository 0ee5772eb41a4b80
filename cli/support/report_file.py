"""The file of an HTML report: its path, the job files next to it, and writing it."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from spawn.cli.output.page.page import GENERATOR
from spawn.core.errors import InvalidArgument, SpawnError

_JOB_FILES = ("stdout.log", "stderr.log", "results")
_HEAD_BYTES = 4096


def check_report_path(path: Path, queue_id: str) -> Path:
    """Check that a report may be written to a path; a folder gets `QUEUE-ID-report.html` in it.

    Raises:
        InvalidArgument: The parent folder does not exist, or the path is another kind of file.
    """
    if path.is_dir():
        path = path / f"{queue_id}-report.html"
    if not path.parent.is_dir():
        raise InvalidArgument(
            f"{path} cannot be written",
            why=f"there is no folder {path.parent}",
            hint="create it first, or choose another with -o",
        )
    if _is_regular(path) and not _is_report(path):
        raise InvalidArgument(
            f"{path} already exists and is not a report",
            hint="choose another file with -o, or remove it first",
        )
    return path


def find_job_files(path: Path, job_ids: Iterable[str]) -> frozenset[str]:
    """Find the jobs' files next to a report, laid out as `results` does: `JOB/stdout.log`."""
    folder = path.parent
    here = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    return frozenset(
        f"{job_id}/{name}{'/' if name == 'results' else ''}"
        for job_id in job_ids
        if job_id in here
        for name in _JOB_FILES
        if (folder / job_id / name).exists()
    )


def write_report(path: Path, text: str) -> None:
    """Write a report atomically; a pipe or a device is written directly.

    Raises:
        SpawnError: The file cannot be written.
    """
    data = text.encode("utf-8", "replace")
    try:
        if path.exists() and not _is_regular(path):
            path.write_bytes(data)
            return
        target = path.resolve()  # keeps a symbolic link
        part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpawnError(f"{path} cannot be written", why=error.strerror or str(error)) from error


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _is_report(path: Path) -> bool:
    """Whether a file is an earlier report, or empty."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    return not head or f'content="{GENERATOR}"'.encode() in head
