"""Bring attempts' files from an object store into a folder, and believe none of it unchecked."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import file_digest, sha256
from pathlib import Path
from stat import S_ISREG
from threading import Event

import msgspec
from msgspec import Struct, structs

from spawn.core.events import ResultsUploaded
from spawn.core.state import JobState
from spawn.store.objects.port import Changed, NotThere, ObjectStore, StoreError, list_all
from spawn.store.results import parts
from spawn.store.results.checkpoint import FOLDER, LIST
from spawn.store.results.download import RANGE, Reader, Stopped, write_all
from spawn.store.results.inside import Inside, folded, parts_of
from spawn.store.results.publish import Whole, attempt_prefix

FACTS = ("exit_code", "metadata.json")
LOGS = ("stdout.log", "stderr.log")
FILES_AT_ONCE = 8
RANGES_AT_ONCE = 4
AHEAD = 64
"""Files that are under way, or wait for that, before the first of them is there."""
JOBS_AHEAD = 8
UNSAVED = "results"
"""The name under which it is told that results are missing that a job has promised."""
WORTH_KNOWING = 256 * 1024
"""Smaller output is brought again sooner than it is compared, bytes."""
_MANIFEST = "manifest.json"
_FACTS = "metadata.json"


class Known(Struct, frozen=True):
    """A result file as the manifest promises it. `mode` is that of the file it was."""

    name: str
    size: int
    sha256: str
    mode: int = 0o644


class Fetched(Struct, frozen=True, kw_only=True):
    """What became of one file.

    `name` is its path below the job's folder; `error` says why it is not there. `verified`: its
    bytes are those that the log vouches for, or its attempt's own output. `skipped`: it was there
    already, and agreed. `partial`: it is output so far, as the attempt runs or its machine is gone.
    """

    name: str
    size: int
    verified: bool = True
    skipped: bool = False
    partial: bool = False
    error: str = ""


class Choice(Struct, frozen=True, kw_only=True):
    """A job, and which of its files to bring. `exit_code` and `metadata.json` always come along.

    `earlier`: where the files of the attempt before its newest are, with a trailing slash. They
    stand in while the newest has left nothing; results it has none.
    """

    job: JobState
    logs: bool = True
    results: bool = True
    earlier: str = ""


class Brought(Struct, frozen=True):
    """What became of a choice: its files, none where the store has nothing. `earlier`: they are
    those of the attempt before."""

    choice: Choice
    files: list[Fetched]
    earlier: bool = False


class _Manifest(Struct, frozen=True):
    files: tuple[Known, ...]


class _Noted(Struct, frozen=True):
    output: dict[str, Whole] = {}


class _Item(Struct, frozen=True, kw_only=True):
    """A file that is to be brought, or has an `error` already. `prefix` is its attempt's."""

    name: str
    prefix: str = ""
    size: int = 0
    known: Known | None = None
    verified: bool = True
    pieces: bool = False
    error: str = ""


class Fetch:
    """One download of many attempts' files, several at once. Use it in a `with`.

    Args:
        root: Each job gets a folder in it; nothing is ever written outside of it.
        coming: Told how many bytes are to come, as that becomes known.
        went: Told how many have come, or need not; both from any thread.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(
        self,
        objects: ObjectStore,
        root: Path,
        *,
        coming: Callable[[int], None] = lambda _: None,
        went: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._objects = objects
        self._inside = Inside(root)
        self._coming = coming
        self._went = went
        self._umask = _umask()
        self._stop = Event()
        self._files = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="file")
        self._ranges = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="range")
        self._reader = Reader(objects, self._ranges, self._stop, went)

    def __enter__(self) -> "Fetch":
        self._inside.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._files.shutdown(cancel_futures=True)
        self._ranges.shutdown(cancel_futures=True)
        self._inside.__exit__(*exception)

    def run(self, choices: Iterable[Choice]) -> Iterator[Brought]:
        """Bring files; yields what became of each choice, in order."""
        open_: deque[Future[Fetched] | Brought] = deque()
        found: list[Fetched] = []

        def take() -> Iterator[Brought]:
            first = open_.popleft()
            if isinstance(first, Brought):
                first.files.extend(found)
                found.clear()
                yield first
            else:
                found.append(first.result())

        for choice, (items, earlier) in self._plans(choices):
            for item in items:
                open_.append(self._files.submit(self._bring, choice.job.config.job_id, item))
                if len(open_) >= AHEAD:
                    yield from take()
            open_.append(Brought(choice, [], earlier))
        while open_:
            yield from take()

    def _plans(self, choices: Iterable[Choice]) -> Iterator[tuple[Choice, "_Plan"]]:
        """Look what there is of each, some ahead of those whose files are under way."""
        ahead: deque[tuple[Choice, Future[_Plan]]] = deque()
        for choice in choices:
            ahead.append((choice, self._files.submit(self._plan, choice)))
            if len(ahead) >= JOBS_AHEAD:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()

    def _plan(self, choice: Choice) -> "_Plan":
        earlier = False
        if not choice.job.attempt:
            return [], earlier
        try:
            items = list(_items(self._objects, choice, attempt_prefix(choice.job)))
            if not items and choice.earlier:
                earlier = True
                only_logs = structs.replace(choice, results=False)
                items = list(_items(self._objects, only_logs, choice.earlier))
        except StoreError as error:
            return [_Item(name=_MANIFEST, error=str(error))], earlier
        if self._inside.folds:
            items = list(_distinct(items))
        self._coming(sum(item.size for item in items if not item.error))
        return items, earlier

    def _bring(self, job_id: str, item: _Item) -> Fetched:
        error, size, skipped = item.error, item.size, False
        try:
            if not error:
                size, skipped = self._copy(job_id, item)
        except NotThere:
            error = "it is gone from the object store"
        except Changed:
            error = "it changed while it was read"
        except Stopped:
            error = "it was interrupted"
        except (OSError, StoreError) as caught:
            error = getattr(caught, "strerror", None) or str(caught)
        except ValueError as caught:
            error = str(caught)
        return Fetched(
            name=item.name,
            size=size,
            verified=item.verified,
            skipped=skipped,
            partial=item.pieces,
            error=error,
        )

    def _copy(self, job_id: str, item: _Item) -> tuple[int, bool]:
        """Write it beside, compare, then give it its name.

        Returns:
            Its bytes, and whether it was there already.

        Raises:
            ValueError: Its name, or its bytes, are not to be had here.
        """
        *folders, name = parts_of(f"{job_id}/{item.name}")
        known = item.known
        with self._inside.folder(tuple(folders)) as folder:
            if known is not None and _agrees(folder, name, known):
                self._went(known.size)
                return known.size, True
            part = sha256(f"{item.prefix}{item.name}".encode()).hexdigest()[:32]
            fd, tried = self._inside.part(part)
            try:
                size = self._write(item, fd)
                executable = known.mode & 0o111 if known is not None else 0
                os.fchmod(fd, (0o666 | executable) & ~self._umask)
                os.rename(tried, name, src_dir_fd=self._inside.parts, dst_dir_fd=folder)
            except BaseException as error:
                useful = known is not None and known.size > RANGE
                if not useful or isinstance(error, Changed | NotThere | ValueError):
                    os.unlink(tried, dir_fd=self._inside.parts)
                raise  # else another try goes on with what there is
            finally:
                os.close(fd)
        return size, False

    def _write(self, item: _Item, fd: int) -> int:
        if item.pieces:
            os.ftruncate(fd, 0)
            size = 0
            for data in parts.read(self._objects, item.prefix, item.name):
                if self._stop.is_set():
                    raise Stopped
                write_all(fd, data, size)
                size += len(data)
                self._went(len(data))
            return size
        known = item.known
        if known is None:
            os.ftruncate(fd, 0)
            self._reader.copy(item.prefix + item.name, item.size, fd)
            return item.size
        begun = os.fstat(fd).st_size == known.size > 0
        digest = self._reader.copy(item.prefix + item.name, known.size, fd, resume=begun)
        if digest != known.sha256 and begun:  # what was there was not what it seemed
            os.ftruncate(fd, 0)
            digest = self._reader.copy(item.prefix + item.name, known.size, fd)
        if digest != known.sha256:
            raise ValueError("its bytes are not those that the log knows")
        return known.size


_Plan = tuple[list[_Item], bool]
"""What there is, and whether it is of the attempt before."""


def _items(objects: ObjectStore, choice: Choice, prefix: str) -> Iterator[_Item]:
    """What there is of an attempt, and what is missing: logs, facts, results, then all else."""
    names = {key.removeprefix(prefix): size for key, size in list_all(objects, prefix)}
    manifest, broken = _manifest(objects, choice.job, prefix) if choice.results else ((), "")
    if broken:
        yield _Item(name=_MANIFEST, error=broken)
    if choice.results and (missing := _unsaved(choice.job)):
        yield _Item(name=UNSAVED, error=missing)
    if choice.logs:
        output = _output(objects, prefix, names)
        for log in LOGS:
            if log in names:
                known = output.get(log)
                yield _Item(name=log, prefix=prefix, size=names[log], known=known)
            elif size := _length(names, log):
                yield _Item(name=log, prefix=prefix, size=size, pieces=True)
    for name in FACTS:
        if name in names:
            yield _Item(name=name, prefix=prefix, size=names[name])
    own = {_MANIFEST, *LOGS, *FACTS}
    if not choice.results:
        return
    for file in sorted(manifest, key=lambda file: file.name):
        name = f"results/{file.name}"
        own.add(name)
        if name not in names:
            error = "it is not in the object store"
        elif names[name] != file.size:
            error = f"it has {names[name]} bytes in the object store instead of {file.size}"
        else:
            yield _Item(name=name, prefix=prefix, size=file.size, known=file)
            continue
        yield _Item(name=name, size=file.size, error=error)
    for item in _checkpoint(objects, choice.job, prefix, names):
        own.add(item.name)
        yield item
    for name in sorted(names.keys() - own):
        if not name.startswith(parts.FOLDER):
            yield _Item(name=name, prefix=prefix, size=names[name], verified=False)


def _checkpoint(
    objects: ObjectStore, job: JobState, prefix: str, names: Mapping[str, int]
) -> Iterator[_Item]:
    """What the attempt has left as it was stopped, where the log vouches for the list of it."""
    saved = job.checkpoint
    if saved is None or saved.key != prefix + LIST:
        return
    files, broken = _listed(objects, saved.key, saved.sha256)
    if broken:
        yield _Item(name=LIST, error=broken)
        return
    listed = Known(LIST, names.get(LIST, 0), saved.sha256)
    for known in (listed, *(structs.replace(each, name=FOLDER + each.name) for each in files)):
        if names.get(known.name) == known.size:
            yield _Item(name=known.name, prefix=prefix, size=known.size, known=known)
        else:
            error = f"it is not in the object store as {LIST} has it"
            yield _Item(name=known.name, size=known.size, error=error)


def _unsaved(job: JobState) -> str:
    """Why the store does not have all results that a job has promised; empty where it has."""
    if job.state != "completed" or not job.config.result_files or job.uploaded:
        return ""
    if job.upload_failed:
        return f"they are not saved: {job.upload_failed.error}"
    return "they are not all saved yet"


def _output(objects: ObjectStore, prefix: str, names: Mapping[str, int]) -> dict[str, Known]:
    """What large output hashes to, as its attempt has noted: so that it need not come twice."""
    if max((names.get(log, 0) for log in LOGS), default=0) < WORTH_KNOWING or _FACTS not in names:
        return {}
    try:
        noted = msgspec.json.decode(objects.read(prefix + _FACTS).data, type=_Noted).output
    except (NotThere, StoreError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {
        log: Known(log, whole.size, whole.sha256)
        for log, whole in noted.items()
        if names.get(log) == whole.size
    }


def _length(names: Mapping[str, int], log: str) -> int:
    """How much of a stream the store has in pieces that follow each other, bytes."""
    at = 0
    while size := names.get(parts.key("", log, at), 0):
        at += size
    return at


def _distinct(items: Sequence[_Item]) -> Iterator[_Item]:
    """Let the first of several names have a file that would be the same for all of them."""
    taken: dict[str, str] = {}
    for item in items:
        first = taken.setdefault(folded(item.name), item.name)
        if first == item.name or item.error:
            yield item
        else:
            yield structs.replace(item, error=f"it would be the same file here as {first}")


def _manifest(objects: ObjectStore, job: JobState, prefix: str) -> tuple[tuple[Known, ...], str]:
    """The manifest that the log vouches for, and why there is none where there should be."""
    uploaded = job.uploaded
    if not isinstance(uploaded, ResultsUploaded):
        return (), ""
    return _listed(objects, prefix + _MANIFEST, uploaded.sha256)


def _listed(objects: ObjectStore, key: str, digest: str) -> tuple[tuple[Known, ...], str]:
    """The files of a list that has this SHA-256, and why there are none."""
    try:
        data = objects.read(key).data
    except NotThere:
        return (), "the list of results is not in the object store"
    except StoreError as error:
        return (), f"the list of results cannot be read: {error}"
    if sha256(data).hexdigest() != digest:
        return (), "the list of results is not the one that the log knows"
    try:
        return msgspec.json.decode(data, type=_Manifest).files, ""
    except msgspec.DecodeError as error:
        return (), f"the list of results cannot be read: {error}"


def _agrees(folder: int, name: str, known: Known) -> bool:
    """Whether a file is there already, byte for byte."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not S_ISREG(there.st_mode) or there.st_size != known.size:
            return False
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            return file_digest(file, "sha256").hexdigest() == known.sha256
    except OSError:
        return False


def _umask() -> int:
    """What this process takes from the modes of new files. Source: proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
