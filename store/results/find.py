"""Find the result files that a job's patterns name, and what each is called in the store."""

import os
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path, PurePosixPath
from stat import S_ISBLK, S_ISCHR, S_ISFIFO, S_ISSOCK
from typing import Literal, NamedTuple

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


class Linked(Struct, frozen=True, kw_only=True):
    """A link to a folder within the same result folder. `name` and `path` are as those of `Found`;
    `target` is relative, and steps up at its beginning alone: see `inside.target_parts`."""

    name: str
    path: str
    target: str


class Folder(Struct, frozen=True, kw_only=True):
    """A folder in which nothing else was found. `name` and `path` are as those of `Found`."""

    name: str
    path: str


class Results(Struct, frozen=True, kw_only=True):
    """What patterns name, each list sorted by name."""

    files: tuple[Found, ...] = ()
    links: tuple[Linked, ...] = ()
    folders: tuple[Folder, ...] = ()
    unmatched: tuple[str, ...] = ()
    """Patterns that matched no file."""
    left_out: tuple[str, ...] = ()
    """What is there and is not kept, each with the reason."""


def find(patterns: Sequence[str], working_directory: str) -> Results:
    """Expand patterns into files.

    Base names are kept; where two files would share one, each is called by its path below the
    deepest folder that they have in common. A folder stands for all that is in it. A link in it to
    a file in it is one more file; a link in it to a folder in it stays a link.

    Args:
        patterns: Absolute, or relative to `working_directory`; `**` crosses folders.
    """
    unmatched = []
    found: dict[str, _Entry] = {}
    left: dict[str, str] = {}
    for pattern in patterns:
        matched = False
        for entry in _entries(pattern, working_directory):
            if entry.kind == "left out":
                left.setdefault(entry.path, f"{entry.name}: {entry.detail}")
                continue
            matched = matched or entry.kind == "file"
            found.setdefault(entry.path, entry)
        if not matched:
            unmatched.append(pattern)
    links = {path for path, entry in found.items() if entry.kind == "link"}
    kept = [each for each in found.values() if not (links and is_behind(each.path, links))]
    named = sorted(zip(_names(kept), kept, strict=True))
    if left:  # another pattern may have named them
        for path in found:
            for each in (path, *map(str, PurePosixPath(path).parents)):
                left.pop(each, None)
    return Results(
        files=tuple(
            file
            for name, entry in named
            if entry.kind == "file" and (file := _stat(name, entry.path)) is not None
        ),
        links=tuple(
            Linked(name=name, path=entry.path, target=entry.detail)
            for name, entry in named
            if entry.kind == "link"
        ),
        folders=tuple(
            Folder(name=name, path=entry.path) for name, entry in named if entry.kind == "folder"
        ),
        unmatched=tuple(unmatched),
        left_out=tuple(_text(why) for _, why in sorted(left.items())),
    )


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


def _matches(pattern: str, working_directory: str) -> Iterator[tuple[str, bool]]:
    """Yield what a pattern names, as absolute paths, each folder's entries in order; and whether
    it stays in the folder that its wildcards begin in."""
    whole = os.path.join(working_directory, pattern)  # noqa: PTH118, it keeps `**` as it is
    if os.path.lexists(whole):  # a file may be called `a[1].txt`
        yield os.path.normpath(whole), True
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
            if wild.wanted.fullmatch(os.path.relpath(path, start)):
                yield path, _stays(path, root)


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


class _Entry(NamedTuple):
    """What a pattern names. `detail` is a link's target, or why something is left out."""

    kind: Literal["file", "link", "folder", "left out"]
    name: str
    path: str
    detail: str = ""


def _entries(pattern: str, working_directory: str) -> Iterator[_Entry]:
    """Yield what a pattern names, and what is in the folders that it names."""
    for path, stays in _matches(pattern, working_directory):
        base = Path(path)
        if not stays:
            yield _out(base.name, path)
        elif base.is_dir():
            yield from _below(base)
        elif os.path.lexists(path):
            yield _file(base.name, path)


def _below(base: Path) -> Iterator[_Entry]:
    """Yield what is in a folder, and in those below it."""
    root = os.path.realpath(base)
    for folder, folders, files in os.walk(base, onerror=_refuse):
        folders.sort()
        links = [each for each in folders if Path(folder, each).is_symlink()]
        kept = len(folders) > len(links)
        for each in (*links, *sorted(files)):
            inner = Path(folder, each)
            path, name = str(inner), str(inner.relative_to(base.parent))
            if not _stays(path, root, itself=True):
                entry = _out(name, path)
            elif each in links:
                entry = _link(name, inner, str(base))
            else:
                entry = _file(name, path)
            kept = kept or entry.kind != "left out"
            yield entry
        if not kept:
            name = str(Path(folder).relative_to(base.parent))
            is_text = _text(folder) == folder
            yield _Entry("folder" if is_text else "left out", name, folder, "its name is no text")


def _file(name: str, path: str) -> _Entry:
    """A file, or why it is none that can be kept."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno not in (ENOENT, ENOTDIR, ELOOP):
            raise
        if Path(path).is_symlink():
            return _out(name, path)
        return _Entry("file", name, path)  # it was there a moment ago: see `_stat`
    what = next((text for is_one, text in _ODD if is_one(mode)), "")
    return _Entry("left out" if what else "file", name, path, what)


_ODD = ((S_ISFIFO, "a FIFO"), (S_ISSOCK, "a socket"), (S_ISCHR, "a device"), (S_ISBLK, "a device"))


def _out(name: str, path: str) -> _Entry:
    """A link that leads to nothing that is kept, and why."""
    leads = Path(path).exists()
    why = "a link that leads out of what is kept" if leads else "a link to nothing"
    return _Entry("left out", name, path, why)


def _link(name: str, link: Path, base: str) -> _Entry:
    """A link to a folder that is inside `base`, or why it cannot stay one."""
    target = str(link.readlink())
    lexical = os.path.normpath(link.parent / target)
    if target.startswith("/"):
        why = "a link with an absolute target"
    elif not (lexical == base or lexical.startswith(f"{base.rstrip('/')}/")):
        why = "a link that leads out of what is kept"
    elif os.path.realpath(lexical) != os.path.realpath(link):
        why = "a link that leads back through another link"
    elif _text(f"{link}{target}") != f"{link}{target}":
        why = "its name is no text"
    else:
        return _Entry("link", name, str(link), os.path.relpath(lexical, link.parent))
    return _Entry("left out", name, str(link), why)


def _refuse(error: OSError) -> None:
    """A folder that cannot be read may hold results: nobody is told that all are there."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _stays(path: str, root: str, *, itself: bool = False) -> bool:
    """Whether `path`, found below `root` without following links, is so when they are followed.

    Args:
        itself: Whether `root` will do, too.
    """
    if not Path(path).is_symlink():
        return True
    real = os.path.realpath(path)
    return real.startswith(root.rstrip("/") + "/") or (itself and real == root)


def is_behind(path: str, links: Container[str]) -> bool:
    """Whether a path leads through a link: what is there is kept where the link leads."""
    return any(str(parent) in links for parent in PurePosixPath(path).parents)


def _names(entries: Sequence[_Entry]) -> list[str]:
    """What each is called: by base names, unless a link would then lead nowhere, or a folder have
    the name of a file."""
    paths = [entry.path for entry in entries]
    named = {entry.path: entry.name for entry in entries if entry.kind == "folder"}
    leaves = dict(_distinct({each.path: each.name for each in entries if each.path not in named}))
    named |= {path: name for name, path in leaves.items()}
    folders = {str(each) for name in named.values() for each in PurePosixPath(name).parents}
    folders |= {named[entry.path] for entry in entries if entry.kind == "folder"}
    links = {named[entry.path]: entry.detail for entry in entries if entry.kind == "link"}
    leads_to = {
        os.path.normpath(PurePosixPath(name).parent / target) for name, target in links.items()
    }
    if folders & leaves.keys() or leads_to - folders - links.keys():
        return _below_common(paths)
    return [named[path] for path in paths]


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
