"""Archive a folder reproducibly, with the files that git does not ignore."""

import gzip
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from errno import ENOENT
from pathlib import Path, PurePosixPath
from typing import IO

from spawn.core.domain.codec import valid_utf8
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.programs import find_program

_MOMENT = 315532800
"""1980-01-01, the time of every entry: zip tools reject older times, and equal times make equal
archives."""
_NO_REPOSITORY = "not a git repository"


def archive(folder: Path, out: IO[bytes]) -> tuple[str, ...]:
    """Write a folder as `tar.gz`, sorted by name, with modes and with links that stay inside it.

    git decides which files are included: those that are tracked or not ignored, by all of the
    user's ignore files. Outside a repository, an empty one is used. Without git, a folder with a
    `.gitignore` is rejected. `.git` is never included, empty folders only without git.

    Returns:
        Entries that are omitted although they are not ignored, by name: links that lead out of the
        folder, sockets, pipes and devices.

    Raises:
        InvalidArgument: `folder` is not a folder, is unreadable, or has no files to include.
        SpawnError: git is required or fails.
    """
    if not folder.is_dir():
        raise InvalidArgument(f"{valid_utf8(str(folder))} is not a folder")
    root = folder.resolve()
    found = sorted(set(_files(root)))
    omitted: list[str] = []
    try:
        with (
            gzip.GzipFile("", "wb", 6, out, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name in found:
                if _add(tar, root, name):
                    continue
                omitted.append(name)
    except OSError as error:
        raise InvalidArgument(
            f"{valid_utf8(str(error.filename or folder))} cannot be synced",
            why=error.strerror or str(error),
            hint="make it readable, or exclude it with .gitignore",
        ) from None
    if len(omitted) == len(found):
        raise InvalidArgument(
            f"{valid_utf8(str(folder))} has nothing to sync",
            why="it is empty, or all its files are ignored",
        )
    return tuple(valid_utf8(name) for name in omitted)


def _add(tar: tarfile.TarFile, root: Path, name: str) -> bool:
    """Add one entry; return False if it cannot be archived."""
    path = root / name
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mtime = _MOMENT
    entry.mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        target = str(path.readlink())
        if PurePosixPath(target).is_absolute() or not _inside(root, path, target):
            return False
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        tar.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            entry.size = os.fstat(file.fileno()).st_size
            tar.addfile(entry, file)
    elif stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    else:
        return False
    return True


def _inside(root: Path, path: Path, target: str) -> bool:
    """Whether a link's target is below the folder, both by its text and after resolving it."""
    by_text = Path(os.path.normpath(path.parent / target))
    resolved = path.parent / target
    try:
        return by_text.is_relative_to(root) and resolved.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links
        return False


def _files(root: Path, below: str = "") -> Iterator[str]:
    """Yield the entries of a folder that are not ignored, as paths below `root`."""
    folder = root / below
    names = _list_with_git(folder)
    if names is None:
        yield from _list_all(root, folder)
        return
    folders = {""}
    for name in names:
        path = folder / name
        if ".git" in PurePosixPath(name).parts or not os.path.lexists(path):
            continue  # tracked by git, but deleted
        if name.endswith("/") or (path.is_dir() and not path.is_symlink()):
            yield from _files(root, f"{below}{name.rstrip('/')}/")  # a nested repository
            continue
        folders.add(name.rpartition("/")[0])
        yield below + name
    for each in folders:  # git does not list special files
        for special in os.scandir(folder / each):
            if not (special.is_symlink() or special.is_file() or special.is_dir()):
                yield os.path.relpath(special.path, root)


def _list_with_git(folder: Path) -> list[str] | None:
    """List the tracked and the not ignored files of a folder; None without git."""
    listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree")
        if inside.returncode == 0 and inside.stdout.strip() == b"true":
            return _names(_git(folder, *listing))
        if inside.returncode != 0 and _NO_REPOSITORY not in inside.stderr.decode(errors="replace"):
            raise _git_error(inside)
        with tempfile.TemporaryDirectory(prefix="spawn-sync-") as empty:
            init = _git(folder, "init", "--quiet", "--template=", empty)
            if init.returncode:
                raise _git_error(init)
            place = [f"--git-dir={empty}/.git", f"--work-tree={folder}"]
            return _names(_git(folder, *place, *listing))
    except FileNotFoundError:
        ignore_file = next(folder.rglob(".gitignore"), None)
        if ignore_file is None:
            return None
        raise SpawnError(
            f"{valid_utf8(str(ignore_file))} cannot be applied",
            why="git is not installed",
            hint="install git",
        ) from None


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    program = find_program("git")
    if program is None:
        raise FileNotFoundError(ENOENT, "git is not installed")
    command = [program, "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, env={**environ, "LC_ALL": "C"}, check=False)


def _names(listed: "subprocess.CompletedProcess[bytes]") -> list[str]:
    if listed.returncode:
        raise _git_error(listed)
    return [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


def _git_error(done: "subprocess.CompletedProcess[bytes]") -> SpawnError:
    why = valid_utf8(done.stderr).strip().removeprefix("fatal: ")
    return SpawnError("git cannot list the files to sync", why=why.split("\n")[0])


def _list_all(root: Path, top: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(top):
        base = Path(folder).relative_to(root)
        links = [each for each in folders if (Path(folder) / each).is_symlink()]
        folders[:] = [each for each in folders if each != ".git" and each not in links]
        for name in [*names, *links, *folders]:
            if name != ".git":
                yield (base / name).as_posix()
