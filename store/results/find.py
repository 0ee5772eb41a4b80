"""Find the result files that match a job's patterns, and name them for the store."""

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


class ResultFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result file.

    `name` is its path below the attempt's `results/`. Bytes that are not UTF-8 are written as
    `\\xff` in `name` and `path`; `raw` then has the path's bytes in hex.
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
        """The path for system calls.

        Raises:
            ValueError: `raw` is not hex.
        """
        return os.fsdecode(bytes.fromhex(self.raw)) if self.raw else self.path


class ResultLink(Struct, frozen=True, kw_only=True):
    """A link to a folder within the same result folder. `name` and `path` are as in `ResultFile`;
    `target` is relative, with `..` only at its start: see `inside.expect_inside`."""

    name: str
    path: str
    target: str


class EmptyFolder(Struct, frozen=True, kw_only=True):
    """A folder without result files. `name` and `path` are as in `ResultFile`."""

    name: str
    path: str


class FoundResults(Struct, frozen=True, kw_only=True):
    """The matches of a job's patterns, each list sorted by name."""

    files: tuple[ResultFile, ...] = ()
    links: tuple[ResultLink, ...] = ()
    folders: tuple[EmptyFolder, ...] = ()
    unmatched: tuple[str, ...] = ()
    """Patterns that matched no file."""
    left_out: tuple[str, ...] = ()
    """Entries that are not saved, each with the reason."""


def find_results(patterns: Sequence[str], working_directory: str) -> FoundResults:
    """Expand patterns into result files.

    A file is named by its base name; files that would share one are named by their path below
    their deepest common folder. A folder includes its contents: a link to a file in it is another
    file, a link to a folder in it stays a link.

    Args:
        patterns: Absolute, or relative to `working_directory`; `**` matches any depth of folders.
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
    kept = [each for each in found.values() if not (links and is_below_link(each.path, links))]
    named = sorted(zip(_name_all(kept), kept, strict=True))
    if left:  # another pattern may match them
        for path in found:
            for each in (path, *map(str, PurePosixPath(path).parents)):
                left.pop(each, None)
    return FoundResults(
        files=tuple(
            file
            for name, entry in named
            if entry.kind == "file" and (file := _stat(name, entry.path)) is not None
        ),
        links=tuple(
            ResultLink(name=name, path=entry.path, target=entry.detail)
            for name, entry in named
            if entry.kind == "link"
        ),
        folders=tuple(
            EmptyFolder(name=name, path=entry.path)
            for name, entry in named
            if entry.kind == "folder"
        ),
        unmatched=tuple(unmatched),
        left_out=tuple(_utf8(why) for _, why in sorted(left.items())),
    )


def may_find(patterns: Sequence[str], working_directory: str, path: str) -> bool:
    """Whether `find_results` would find a file with this path if it existed."""
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
    """A pattern with wildcards: its fixed folder, and the expression for paths below it."""

    start: str
    wanted: re.Pattern[str]
    depth: int | None
    """How many levels below the folder a match is; None for any."""


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
    """Yield the absolute paths that match a pattern, each folder's entries in order; and whether
    each resolves inside the pattern's fixed folder."""
    whole = os.path.join(working_directory, pattern)  # noqa: PTH118, it keeps `**` as it is
    if os.path.lexists(whole):  # a file may be called `a[1].txt`
        yield os.path.normpath(whole), True
        return
    wild = _wild(pattern, working_directory)
    if wild is None:
        return
    start, only_folders = wild.start, pattern.endswith("/")
    root = os.path.realpath(start)
    for folder, folders, files in os.walk(start, onerror=_raise_unless_missing):
        entries, folder_names = sorted([*folders, *files]), set(folders)
        folders.sort()
        if wild.depth is not None and len(Path(folder).relative_to(start).parts) + 1 >= wild.depth:
            folders.clear()
        for name in entries:
            path = os.path.join(folder, name)  # noqa: PTH118
            if only_folders and name not in folder_names:
                continue
            if wild.wanted.fullmatch(os.path.relpath(path, start)):
                yield path, _resolves_inside(path, root)


def _regex(parts: list[str]) -> str:
    """The pattern as a regular expression. Wildcards do not match a leading dot, as in a shell."""
    pieces = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            pieces.append(r"(?:[^./][^/]*/)*[^./][^/]*" if last else r"(?:[^./][^/]*/)*")
        elif part:
            hidden = "" if part.startswith(".") else r"(?!\.)"
            pieces.append(hidden + _component(part) + ("" if last else "/"))
    return "".join(pieces)


def _component(part: str) -> str:
    """One path component of a pattern as a regular expression: `*`, `?`, `[ab]` and `[!ab]`."""
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
    """A set of characters as a regular expression; empty if it is invalid, such as `[z-a]`."""
    escaped = re.sub(r"([\\\[\]&~|])", r"\\\1", inside)
    group = f"[{'^/' if negated else ''}{escaped}]"
    try:
        re.compile(group)
    except re.error:
        return ""
    return group


class _Entry(NamedTuple):
    """A match of a pattern. `detail` is a link's target, or why the match is left out."""

    kind: Literal["file", "link", "folder", "left out"]
    name: str
    path: str
    detail: str = ""


def _entries(pattern: str, working_directory: str) -> Iterator[_Entry]:
    """Yield the matches of a pattern, and the contents of the folders that match."""
    for path, stays in _matches(pattern, working_directory):
        base = Path(path)
        if not stays:
            yield _left_out_link(base.name, path)
        elif base.is_dir():
            yield from _contents(base)
        elif os.path.lexists(path):
            yield _file_entry(base.name, path)


def _contents(base: Path) -> Iterator[_Entry]:
    """Yield the contents of a folder, recursively."""
    root = os.path.realpath(base)
    for folder, folders, files in os.walk(base, onerror=_raise_unless_missing):
        folders.sort()
        links = [each for each in folders if Path(folder, each).is_symlink()]
        kept = len(folders) > len(links)
        for each in (*links, *sorted(files)):
            inner = Path(folder, each)
            path, name = str(inner), str(inner.relative_to(base.parent))
            if not _resolves_inside(path, root, itself=True):
                entry = _left_out_link(name, path)
            elif each in links:
                entry = _link_entry(name, inner, str(base))
            else:
                entry = _file_entry(name, path)
            kept = kept or entry.kind != "left out"
            yield entry
        if not kept:
            name = str(Path(folder).relative_to(base.parent))
            is_text = _utf8(folder) == folder
            yield _Entry("folder" if is_text else "left out", name, folder, "its name is not UTF-8")


def _file_entry(name: str, path: str) -> _Entry:
    """The entry of a file, or why it is left out."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno not in (ENOENT, ENOTDIR, ELOOP):
            raise
        if Path(path).is_symlink():
            return _left_out_link(name, path)
        return _Entry("file", name, path)  # deleted meanwhile: see `_stat`
    what = next((text for is_one, text in _SPECIAL_FILES if is_one(mode)), "")
    return _Entry("left out" if what else "file", name, path, what)


_SPECIAL_FILES = (
    (S_ISFIFO, "a FIFO"),
    (S_ISSOCK, "a socket"),
    (S_ISCHR, "a device"),
    (S_ISBLK, "a device"),
)


def _left_out_link(name: str, path: str) -> _Entry:
    """The entry of a link that is left out, with the reason."""
    leads = Path(path).exists()
    why = "a link to something outside the results" if leads else "a broken link"
    return _Entry("left out", name, path, why)


def _link_entry(name: str, link: Path, base: str) -> _Entry:
    """The entry of a link to a folder inside `base`, or why it is left out."""
    target = str(link.readlink())
    lexical = os.path.normpath(link.parent / target)
    if target.startswith("/"):
        why = "a link with an absolute target"
    elif not (lexical == base or lexical.startswith(f"{base.rstrip('/')}/")):
        why = "a link to something outside the results"
    elif os.path.realpath(lexical) != os.path.realpath(link):
        why = "a link whose `..` goes through another link"
    elif _utf8(f"{link}{target}") != f"{link}{target}":
        why = "its name is not UTF-8"
    else:
        return _Entry("link", name, str(link), os.path.relpath(lexical, link.parent))
    return _Entry("left out", name, str(link), why)


def _raise_unless_missing(error: OSError) -> None:
    """Raise for an unreadable folder, which may contain results."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _resolves_inside(path: str, root: str, *, itself: bool = False) -> bool:
    """Whether `path`, which is below `root`, resolves to a path below `root`.

    Args:
        itself: Whether `root` itself is accepted.
    """
    if not Path(path).is_symlink():
        return True
    real = os.path.realpath(path)
    return real.startswith(root.rstrip("/") + "/") or (itself and real == root)


def is_below_link(path: str, links: Container[str]) -> bool:
    """Whether a path leads through one of the links. Its file is saved at the link's target."""
    return any(str(parent) in links for parent in PurePosixPath(path).parents)


def _name_all(entries: Sequence[_Entry]) -> list[str]:
    """The names of entries: base names, unless a link would be broken or a folder would have the
    name of a file."""
    paths = [entry.path for entry in entries]
    named = {entry.path: entry.name for entry in entries if entry.kind == "folder"}
    leaves = dict(
        _unique_names({each.path: each.name for each in entries if each.path not in named})
    )
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


def _unique_names(names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield `(name, path)`. Names are unique, and none is a folder of another."""
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
        # The longer names collide, too: name every file by its path, which is unique.
        paths = list(names)
        found = dict(zip(_below_common(paths), paths, strict=True))
    yield from found.items()


def _below_common(paths: list[str]) -> list[str]:
    common = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    return [os.path.relpath(path, common) for path in paths]


def _utf8(name: str) -> str:
    """A name in UTF-8, which S3 and JSON require."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _stat(name: str, path: str) -> ResultFile | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None  # deleted meanwhile
    return ResultFile(
        name=_utf8(name),
        path=_utf8(path),
        raw="" if _utf8(path) == path else os.fsencode(path).hex(),
        size=found.st_size,
        mode=found.st_mode & 0o7777,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
    )
