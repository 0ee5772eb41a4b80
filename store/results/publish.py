"""Bring an attempt's output and results to the object store."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from hashlib import file_digest
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from spawn.core.events import ResultsUploaded
from spawn.core.state import JobState
from spawn.store.failpoints import reached
from spawn.store.files import regular, target
from spawn.store.objects.port import ObjectStore, StoreError, list_all
from spawn.store.results.find import Folder, Found, Linked, Results
from spawn.store.results.journal import Journal, Sent
from spawn.store.results.manifest import NAME, Manifest, load

LOGS = ("stdout.log", "stderr.log")
_WINDOW = 64
"""Files that are on their way at most."""
VERSION = 2
"""Of the manifest in the store."""
_SAVED = "saved"
_MOST = 10
_LONGEST = 300
"""How many things that are left out are named in the log, and letters of each: a line there has at
most 64 KiB."""

T = TypeVar("T")
U = TypeVar("U")


class Lost(Exception):
    """A result file is not what the manifest says, or is none that can be read."""


class OnlyResults(Exception):
    """An attempt's output or facts are not all in the store, though its results are.

    Args:
        uploaded: What `publish` would have returned.
        cause: What went wrong first.
    """

    def __init__(self, uploaded: ResultsUploaded | None, cause: Exception) -> None:
        super().__init__(str(cause))
        self.uploaded = uploaded
        self.cause = cause


class Kept(Found, frozen=True, kw_only=True):
    """A result file as the manifest in the store has it: as it was found, and what was read."""

    sha256: str


class Whole(Struct, frozen=True):
    """How large an object is, bytes, and what it hashes to: so that a copy of it is known again."""

    size: int
    sha256: str


class Listed(Struct, frozen=True, kw_only=True):
    """The manifest in the store: what an attempt has left there.

    Version 2 added `links`, `folders` and `left_out`.
    """

    files: tuple[Kept, ...]
    unmatched: tuple[str, ...] = ()
    links: tuple[Linked, ...] = ()
    folders: tuple[Folder, ...] = ()
    left_out: tuple[str, ...] = ()
    v: int = 1


def publish(
    store: ObjectStore,
    job: JobState,
    *,
    fresh: bool = False,
    pool: Executor | None = None,
    went: Callable[[], None] = lambda: None,
) -> ResultsUploaded | None:
    """Copy an attempt's files into the store; what is there already is left as it is.

    May be repeated after any failure, and goes on where it was.

    Args:
        job: As it was when the attempt ended.
        fresh: Whether nobody has tried before, so that nothing can be there.
        pool: Where several files are copied at once.
        went: Called whenever the store has done something, from any thread.

    Returns:
        What the store has of its results; None for an attempt that promises none.

    Raises:
        Lost: A result file is gone, unreadable, or another than when the job completed.
        OSError: The list of results cannot be read.
        msgspec.DecodeError: The list of results is none.
        StoreError: The store fails.
        OnlyResults: All but its output or facts is there.
    """
    prefix = attempt_prefix(job)
    folder = Path(job.folder)
    promised = job.state == "completed" and bool(job.config.result_files)
    there = {} if fresh else dict(list_all(store, prefix))
    failed: list[Exception] = []

    def keep(key: str, put: Callable[[], object]) -> None:
        if key in there:
            return
        try:
            put()
            went()
        except (OSError, StoreError) as error:  # what else there is may fare better
            failed.append(error)

    output: dict[str, Whole] = {}

    def bring(log: str) -> None:
        if store.far:
            output[log] = Whole(*store.put_file(prefix + log, folder / log))
        else:
            store.link(prefix + log, folder / log)

    for log in LOGS:
        if (folder / log).exists():
            keep(prefix + log, lambda log=log: bring(log))  # type: ignore[misc]
        if store.far and prefix + log in there:  # by an earlier try
            output[log] = Whole(there[prefix + log], _digest(str(folder / log)))
    for name, data in (("exit_code", _exit_code(job)), ("metadata.json", _metadata(job, output))):
        keep(
            prefix + name,
            lambda name=name, data=data: store.put(prefix + name, data, durable=False),  # type: ignore[misc]
        )
    reached("publisher.logs")
    uploaded = _publish_results(store, prefix, folder, there, pool, went) if promised else None
    if failed:
        raise OnlyResults(uploaded, failed[0])
    _mark(folder)
    return uploaded


def attempt_prefix(job: JobState) -> str:
    """Where the files of a job's newest attempt are in the store, with a trailing slash."""
    return f"{job.config.job_id}/attempts/{job.epoch}.{job.attempt}/"


def is_saved(folder: Path) -> bool:
    """Whether all files of an attempt are in the store, though the log may not say so yet."""
    return (folder / _SAVED).exists()


def _mark(folder: Path) -> None:
    """Spare the next runner the question. Whatever is lost of this is only asked again."""
    try:
        os.close(regular(folder / _SAVED, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return


def _publish_results(
    store: ObjectStore,
    prefix: str,
    folder: Path,
    there: Mapping[str, int],
    pool: Executor | None,
    went: Callable[[], None],
) -> ResultsUploaded:
    manifest = load(folder)
    journal = Journal(folder)

    def keep(file: Found) -> Kept:
        key = f"{prefix}results/{file.name}"
        sent = journal.find(file.name) if store.far else None
        if sent is None or there.get(key) != sent.size:
            sent = send(store, key, file, taken=key in there)
            if store.far:
                journal.note(sent)
        went()
        reached("publisher.file")
        return Kept(**msgspec.structs.asdict(file), sha256=sent.sha256)

    kept = tuple(each(keep, manifest.files, pool))
    store.settle()
    stored = store.put(prefix + NAME, listed(kept, manifest))
    reached("publisher.uploaded")
    return ResultsUploaded(
        files=len(kept),
        size=sum(file.size for file in kept),
        key=prefix + NAME,
        sha256=stored,
        unmatched=manifest.unmatched,
        left_out=in_short(manifest.left_out),
    )


def listed(kept: tuple[Kept, ...], found: Manifest | Results) -> bytes:
    """The manifest for the store."""
    rest = {name: getattr(found, name) for name in ("unmatched", "links", "folders", "left_out")}
    return msgspec.json.encode(Listed(files=kept, **rest, v=VERSION), order="sorted")


def in_short(left_out: Sequence[str]) -> tuple[str, ...]:
    """What is left out, as the log names it."""
    named = tuple(each[:_LONGEST] for each in left_out[:_MOST])
    more = len(left_out) - len(named)
    return (*named, f"and {more} more") if more else named


def send(store: ObjectStore, key: str, file: Found, *, taken: bool) -> Sent:
    """Copy a file, or find that an earlier try did.

    Args:
        taken: Whether something has its key in the store already.

    Raises:
        Lost: See `publish`; or what has its key in the store is another file.
    """

    def same() -> None:
        if _identity(os.stat(file.place)) != (file.size, file.mtime_ns, file.inode):
            raise Lost(f"changed: {file.path} is not what it was when the job completed")

    try:
        same()
        size, digest = store.put_file(key, Path(file.place), accept=same)
        if taken and digest != _digest(file.place):
            raise Lost(f"taken: {key} has other bytes in the object store")
    except FileNotFoundError:
        raise Lost(f"gone: {file.path}") from None
    except OSError as error:
        raise Lost(f"unreadable: {file.path}: {error.strerror or error}") from None
    if size != file.size:
        raise Lost(f"taken: {key} has {size} bytes in the object store instead of {file.size}")
    return Sent(file.name, size, digest)


def each(work: Callable[[T], U], items: Iterable[T], pool: Executor | None) -> Iterator[U]:
    """Do the work for each item, in order, several at once where there is a pool."""
    if pool is None:
        yield from map(work, items)
        return
    open_: deque[Future[U]] = deque()
    try:
        for item in items:
            open_.append(pool.submit(work, item))
            if len(open_) >= _WINDOW:
                yield open_.popleft().result()
        while open_:
            yield open_.popleft().result()
    finally:
        for future in open_:
            future.cancel()
        wait_for(open_)


def _digest(path: str) -> str:
    with open(path, "rb", opener=target) as file:
        return file_digest(file, "sha256").hexdigest()


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _exit_code(job: JobState) -> bytes:
    code = job.outcome and job.outcome.exit_code
    return b"\n" if code is None else f"{code}\n".encode()


def _metadata(job: JobState, output: Mapping[str, Whole]) -> bytes:
    facts = {
        "job_id": job.config.job_id,
        "status": job.state,
        "attempt": job.attempt,
        "epoch": job.epoch,
        "command": job.config.command,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "why": job.why,
        "outcome": job.outcome,
        "output": output,
    }
    return msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n"
