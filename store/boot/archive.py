"""A folder as an archive: what git would have of it, the same bytes for the same files."""

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

from spawn.core.codec import clean
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.programs import find

_MOMENT = 315532800
"""1980, for every file: tools that zip refuse older ones, and those that compare see no change."""
_NO_REPOSITORY = "not a git repository"


def archive(folder: Path, out: IO[bytes]) -> tuple[str, ...]:
    """Write a folder as `tar.gz`, by name. Modes stay, and links that lead to something inside.

    Git says what is left out, with all that a person has told it: it is asked in a repository for
    what it has or would take, elsewhere by an empty one. Without git a folder that has a
    `.gitignore` is refused. `.git` never travels, and empty folders only without git.

    Returns:
        What stays here though nothing ignores it, by name: links that lead out of the folder, and
        sockets, pipes and devices.

    Raises:
        InvalidArgument: It is no folder, cannot be read, or has nothing to send.
        SpawnError: Git is needed, or fails.
    """
    if not folder.is_dir():
        raise InvalidArgument(f"{clean(str(folder))} is not a folder that can be synced")
    root = folder.resolve()
    found = sorted(set(_files(root)))
    left: list[str] = []
    try:
        with (
            gzip.GzipFile("", "wb", 6, out, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name in found:
                if _add(tar, root, name):
                    continue
                left.append(name)
    except OSError as error:
        raise InvalidArgument(
            f"{clean(str(error.filename or folder))} cannot be synced",
            why=error.strerror or str(error),
            hint="make it readable, or have .gitignore leave it out",
        ) from None
    if len(left) == len(found):
        raise InvalidArgument(
            f"{clean(str(folder))} has nothing to sync", why="it is empty, or all of it is ignored"
        )
    return tuple(clean(name) for name in left)


def _add(tar: tarfile.TarFile, root: Path, name: str) -> bool:
    """Add one entry; returns whether it can travel."""
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
    """Whether a link's target is below the folder, by its words and by where they lead."""
    meant = Path(os.path.normpath(path.parent / target))
    try:
        return meant.is_relative_to(root) and (path.parent / target).resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a ring of links
        return False


def _files(root: Path, below: str = "") -> Iterator[str]:
    """What travels of a folder, and what would if it could: paths below `root`."""
    folder = root / below
    names = _listed(folder)
    if names is None:
        yield from _all(root, folder)
        return
    folders = {""}
    for name in names:
        path = folder / name
        if ".git" in PurePosixPath(name).parts or not os.path.lexists(path):
            continue  # deleted, and git still has it
        if name.endswith("/") or (path.is_dir() and not path.is_symlink()):
            yield from _files(root, f"{below}{name.rstrip('/')}/")  # a repository in it
            continue
        folders.add(name.rpartition("/")[0])
        yield below + name
    for each in folders:  # git passes over these without a word
        for special in os.scandir(folder / each):
            if not (special.is_symlink() or special.is_file() or special.is_dir()):
                yield os.path.relpath(special.path, root)


def _listed(folder: Path) -> list[str] | None:
    """What git has of a folder or would take, nested ignore files and the person's own heeded;
    None without git."""
    listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        known = _git(folder, "rev-parse", "--is-inside-work-tree")
        if known.returncode == 0 and known.stdout.strip() == b"true":
            return _names(_git(folder, *listing))
        if known.returncode != 0 and _NO_REPOSITORY not in known.stderr.decode(errors="replace"):
            raise _failed(known)
        with tempfile.TemporaryDirectory(prefix="spawn-sync-") as empty:
            made = _git(folder, "init", "--quiet", "--template=", empty)
            if made.returncode:
                raise _failed(made)
            place = [f"--git-dir={empty}/.git", f"--work-tree={folder}"]
            return _names(_git(folder, *place, *listing))
    except FileNotFoundError:
        ignoring = next(folder.rglob(".gitignore"), None)
        if ignoring is None:
            return None
        raise SpawnError(
            f"{clean(str(ignoring))} cannot be heeded",
            why="git, which knows what it means, is not installed",
            hint="install git",
        ) from None


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    program = find("git")
    if program is None:
        raise FileNotFoundError(ENOENT, "git is not installed")
    command = [program, "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, env={**environ, "LC_ALL": "C"}, check=False)


def _names(listed: "subprocess.CompletedProcess[bytes]") -> list[str]:
    if listed.returncode:
        raise _failed(listed)
    return [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


def _failed(done: "subprocess.CompletedProcess[bytes]") -> SpawnError:
    why = clean(done.stderr).strip().removeprefix("fatal: ")
    return SpawnError("git cannot say which files are to be synced", why=why.split("\n")[0])


def _all(root: Path, top: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(top):
        base = Path(folder).relative_to(root)
        links = [each for each in folders if (Path(folder) / each).is_symlink()]
        folders[:] = [each for each in folders if each != ".git" and each not in links]
        for name in [*names, *links, *folders]:
            if name != ".git":
                yield (base / name).as_posix()
