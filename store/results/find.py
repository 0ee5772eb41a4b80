"""Find the result files that a job's patterns name, and what each is called in the store."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

_WILD = re.compile(r"[*?\[]")
_GROUP = re.compile(r"\[(!?)(\]?[^\]]*)\]")


class Found(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result file as it was found.

    `name` is its path below the attempt's `results/`. Bytes that are no text stand in `name` and
    `path` as `\\xff`; `raw` has those of the path then, in hex.
    """

    name: str
    path: str
    size: int
    mode: int
    mtime_ns: int
    inode: int
    raw: str = ""

    @property
    def place(self) -> str:
        """The path for the system.

        Raises:
            ValueError: `raw` is no hex.
        """
        return os.fsdecode(bytes.fromhex(self.raw)) if self.raw else self.path


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
    found = (_stat(name, path) for name, path in sorted(_distinct(names)))
    return [file for file in found if file is not None], tuple(unmatched)


def may_find(patterns: Sequence[str], working_directory: str, path: str) -> bool:
    """Whether `find` could have found a file of this path, were it there."""
    if os.path.normpath(path) != path:
        return False
    for pattern in patterns:
        whole = os.path.normpath(os.path.join(working_directory, pattern))  # noqa: PTH118
        if path == whole or path.startswith(whole.rstrip("/") + "/"):
            return True
        wild = _wild(pattern, working_directory)
        if wild is not None and path.startswith(wild.start.rstrip("/") + "/"):
            below = PurePosixPath(os.path.relpath(path, wild.start))
            if any(wild.wanted.fullmatch(str(each)) for each in (below, *below.parents[:-1])):
                return True
    return False


class _Wild(Struct, frozen=True):
    """A pattern with wildcards: the folder that it begins in, and what must match below."""

    start: str
    wanted: re.Pattern[str]
    depth: int | None
    """How many folders deep a match is; None for any."""


def _wild(pattern: str, working_directory: str) -> _Wild | None:
    parts = pattern.rstrip("/").split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILD.search(part)), len(parts))
    if fixed == len(parts):
        return None
    start = os.path.normpath(os.path.join(working_directory, "/".join(parts[:fixed]) or "."))  # noqa: PTH118
    if pattern.startswith("/"):
        start = os.path.normpath("/".join(parts[:fixed]) or "/")
    depth = None if "**" in parts else len(parts) - fixed
    return _Wild(start, re.compile(_regex(parts[fixed:])), depth)


def _matches(pattern: str, working_directory: str) -> Iterator[str]:
    """Yield what a pattern names, as absolute paths, each folder's entries in order."""
    whole = os.path.join(working_directory, pattern)  # noqa: PTH118, it keeps `**` as it is
    if os.path.lexists(whole):  # a file may be called `a[1].txt`
        yield os.path.normpath(whole)
        return
    wild = _wild(pattern, working_directory)
    if wild is None:
        return
    start, only_folders = wild.start, pattern.endswith("/")
    root = os.path.realpath(start)
    for folder, folders, files in os.walk(start, onerror=_refuse):
        entries, folder_names = sorted([*folders, *files]), set(folders)
        folders.sort()
        if wild.depth is not None and len(Path(folder).relative_to(start).parts) + 1 >= wild.depth:
            folders.clear()
        for name in entries:
            path = os.path.join(folder, name)  # noqa: PTH118
            if only_folders and name not in folder_names:
                continue
            if wild.wanted.fullmatch(os.path.relpath(path, start)) and _stays(path, root):
                yield path


def _regex(parts: list[str]) -> str:
    """As the shell reads it: no wildcard meets a name that begins with a dot."""
    pieces = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            pieces.append(r"(?:[^./][^/]*/)*[^./][^/]*" if last else r"(?:[^./][^/]*/)*")
        elif part:
            hidden = "" if part.startswith(".") else r"(?!\.)"
            pieces.append(hidden + _segment(part) + ("" if last else "/"))
    return "".join(pieces)


def _segment(part: str) -> str:
    """One name of a pattern as a regular expression: `*`, `?`, `[ab]` and `[!ab]`."""
    pieces = []
    rest = part
    while rest:
        group = _GROUP.match(rest)
        if group:
            pieces.append(_group(group[1], group[2]) or re.escape(group[0]))
            rest = rest[group.end() :]
            continue
        pieces.append({"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])))
        rest = rest[1:]
    return "".join(pieces)


def _group(negated: str, inside: str) -> str:
    """A set of characters as a regular expression; empty where it is none, such as `[z-a]`."""
    escaped = re.sub(r"([\\\[\]&~|])", r"\\\1", inside)
    group = f"[{'^/' if negated else ''}{escaped}]"
    try:
        re.compile(group)
    except re.error:
        return ""
    return group


def _files(path: str) -> Iterator[tuple[str, str]]:
    """Yield `(name, path)` of a file, or of every file below a folder."""
    base = Path(path)
    if base.is_file():
        yield base.name, path
    elif base.is_dir():
        root = os.path.realpath(base)
        for folder, folders, files in os.walk(base, onerror=_refuse):
            folders.sort()
            for file in sorted(files):
                inner = Path(folder, file)
                if inner.is_file() and _stays(str(inner), root):
                    yield str(inner.relative_to(base.parent)), str(inner)


def _refuse(error: OSError) -> None:
    """A folder that cannot be read may hold results: nobody is told that all are there."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _stays(path: str, root: str) -> bool:
    """Whether `path`, found below `root` without following links, is so when they are followed."""
    return not Path(path).is_symlink() or os.path.realpath(path).startswith(root.rstrip("/") + "/")


def _distinct(names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield `(name, path)`, no name twice and none the folder of another."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for path, name in names.items():
        sharing[name].append(path)
    found: dict[str, str] = {}
    for name, paths in sharing.items():
        if len(paths) == 1:
            found.setdefault(name, paths[0])
        else:
            found.update(zip(_below_common(paths), paths, strict=True))
    folders = {str(parent) for name in found for parent in PurePosixPath(name).parents}
    if len(found) < len(names) or folders & found.keys():
        # The longer names met others: every file is called by where it is, which differs.
        paths = list(names)
        found = dict(zip(_below_common(paths), paths, strict=True))
    yield from found.items()


def _below_common(paths: list[str]) -> list[str]:
    common = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    return [os.path.relpath(path, common) for path in paths]


def _text(name: str) -> str:
    """A name in UTF-8, which both S3 and JSON want."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _stat(name: str, path: str) -> Found | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None  # it was there a moment ago, as others come and go
    return Found(
        name=_text(name),
        path=_text(path),
        raw="" if _text(path) == path else os.fsencode(path).hex(),
        size=found.st_size,
        mode=found.st_mode & 0o7777,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
    )
