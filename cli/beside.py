"""A page as a file: what lies beside it, and that it takes no other file's place."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from spawn.cli.render.page.page import GENERATOR
from spawn.core.errors import InvalidArgument, SpawnError

NAMES = ("stdout.log", "stderr.log", "results")
_HEAD = 4096


def checked(path: Path, queue_id: str) -> Path:
    """Where a page is to be written; in a folder under a name of its own.

    Raises:
        InvalidArgument: Its folder is not there, or another file would be lost.
    """
    if path.is_dir():
        path = path / f"{queue_id}-report.html"
    if not path.parent.is_dir():
        raise InvalidArgument(
            f"{path} cannot be written",
            why=f"there is no folder {path.parent}",
            hint="make it first, or name another with -o",
        )
    if _is_file(path) and not _is_page(path):
        raise InvalidArgument(
            f"{path} is there already, and is no report",
            hint="name another file with -o, or remove it first",
        )
    return path


def beside(path: Path, job_ids: Iterable[str]) -> frozenset[str]:
    """The files of these jobs in a page's folder, as `results` lays them out: `job/stdout.log`."""
    folder = path.parent
    here = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    return frozenset(
        f"{job_id}/{name}{'/' if name == 'results' else ''}"
        for job_id in job_ids
        if job_id in here
        for name in NAMES
        if (folder / job_id / name).exists()
    )


def write(path: Path, text: str) -> None:
    """Write a page whole or not at all; a pipe or a device is written to as it is.

    Raises:
        SpawnError: It cannot be written.
    """
    data = text.encode("utf-8", "replace")
    try:
        if path.exists() and not _is_file(path):
            path.write_bytes(data)
            return
        target = path.resolve()  # a link stays one
        part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpawnError(f"{path} cannot be written", why=error.strerror or str(error)) from error


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _is_page(path: Path) -> bool:
    """Whether a file is a page that was written before, or empty."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    return not head or f'content="{GENERATOR}"'.encode() in head
