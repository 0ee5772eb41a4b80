"""Find the result files that a job's patterns name, and what each is called in the store."""

import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct


class Found(Struct, frozen=True, kw_only=True):
    """A result file as it was found. `name` is its path below the attempt's `results/`."""

    name: str
    path: str
    size: int
    mode: int
    mtime_ns: int
    inode: int


def find(patterns: Sequence[str], working_directory: str) -> tuple[list[Found], tuple[str, ...]]:
    """Expand patterns into files.

    Base names are kept; where two files would share one, each is called by its path below the
    deepest folder that they have in common. A folder stands for all files in it; a link in it
    that leads out of it is passed over.

    Args:
        patterns: Absolute, or relative to `working_directory`; `**` crosses folders.

    Returns:
        The files sorted by name, and the patterns that matched nothing.
    """
    unmatched = []
    names: dict[str, str] = {}
    for pattern in patterns:
        matched = False
        for path in _matches(pattern, working_directory):
            for name, file in _files(path):
                matched = True
                names.setdefault(file, name)
        if not matched:
            unmatched.append(pattern)
    return [_stat(name, path) for name, path in sorted(_distinct(names))], tuple(unmatched)


def _matches(pattern: str, working_directory: str) -> Iterator[str]:
    whole = os.path.join(working_directory, pattern)  # noqa: PTH118, glob wants text
    if os.path.lexists(whole):  # a file may be called `a[1].txt`
        yield os.path.normpath(whole)
        return
    for match in sorted(glob.iglob(whole, recursive=True, include_hidden=False)):
        yield os.path.normpath(match)


def _files(path: str) -> Iterator[tuple[str, str]]:
    """Yield `(name, path)` of a file, or of every file below a folder."""
    base = Path(path)
    if base.is_file():
        yield base.name, path
    elif base.is_dir():
        root = os.path.realpath(base)
        for folder, folders, files in os.walk(base):
            folders.sort()
            for file in sorted(files):
                inner = Path(folder, file)
                real = os.path.realpath(inner)
                if Path(real).is_file() and real.startswith(root + os.sep):
                    yield str(inner.relative_to(base.parent)), str(inner)


def _distinct(names: dict[str, str]) -> Iterator[tuple[str, str]]:
    sharing: dict[str, list[str]] = defaultdict(list)
    for path, name in names.items():
        sharing[name].append(path)
    for name, paths in sharing.items():
        if len(paths) == 1:
            yield name, paths[0]
            continue
        common = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
        for path in paths:
            yield os.path.relpath(path, common), path


def _stat(name: str, path: str) -> Found:
    found = os.stat(path)
    return Found(
        name=name,
        path=path,
        size=found.st_size,
        mode=found.st_mode & 0o7777,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
    )
