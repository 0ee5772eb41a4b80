"""Upload an attempt's output and results to the object store."""

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

from spawn.core.domain.events import ResultsUploaded
from spawn.core.domain.state import JobState
from spawn.store.failpoints import mark
from spawn.store.files import open_following_links, open_regular
from spawn.store.objects.interface import ObjectStore, StoreError, list_all
from spawn.store.results.find import EmptyFolder, FoundResults, ResultFile, ResultLink
from spawn.store.results.manifest import NAME, Manifest, read_manifest
from spawn.store.results.upload_journal import Journal, Sent

LOGS = ("stdout.log", "stderr.log")
_WINDOW = 64
"""Maximum number of files in progress."""
VERSION = 2
"""Version of the manifest in the store."""
_SAVED = "saved"
_MAX_ENTRIES = 10
_MAX_LENGTH = 300
"""Number of left-out entries that the log names, and characters of each: a line of the log has at
most 64 KiB."""

T = TypeVar("T")
U = TypeVar("U")


class ResultFileLost(Exception):
    """A result file is missing, unreadable or has changed."""


class OutputNotUploaded(Exception):
    """The results of an attempt were uploaded, but not all of its output and metadata.

    Args:
        uploaded: The uploaded results, as `publish` returns them.
        cause: The first error.
    """

    def __init__(self, uploaded: ResultsUploaded | None, cause: Exception) -> None:
        super().__init__(str(cause))
        self.uploaded = uploaded
        self.cause = cause


class UploadedFile(ResultFile, frozen=True, kw_only=True):
    """A result file in the store's manifest, with the hash of the uploaded bytes."""

    sha256: str


class Checksum(Struct, frozen=True):
    """The size in bytes and the hash of an object, to recognize a copy of it."""

    size: int
    sha256: str


class StoredManifest(Struct, frozen=True, kw_only=True):
    """The manifest in the store.

    Version 2 added `links`, `folders` and `left_out`.
    """

    files: tuple[UploadedFile, ...]
    unmatched: tuple[str, ...] = ()
    links: tuple[ResultLink, ...] = ()
    folders: tuple[EmptyFolder, ...] = ()
    left_out: tuple[str, ...] = ()
    v: int = 1


def publish(
    store: ObjectStore,
    job: JobState,
    *,
    fresh: bool = False,
    pool: Executor | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> ResultsUploaded | None:
    """Upload an attempt's files. Objects that exist are not changed.

    May be retried after any failure, and resumes where it stopped.

    Args:
        job: The job as it was when the attempt ended.
        fresh: Whether this is the first try, so that no object can exist.
        pool: Uploads files concurrently (default: one at a time).
        went: Called after each file, from any thread.

    Returns:
        The uploaded results; None for an attempt without results.

    Raises:
        Lost: A result file is missing, unreadable or has changed since the job completed.
        OSError: The manifest cannot be read.
        msgspec.DecodeError: The manifest is invalid.
        StoreError: The store fails.
        OnlyResults: The results were uploaded, but not all of the output and metadata.
    """
    prefix = attempt_prefix(job)
    folder = Path(job.folder)
    promised = job.state == "completed" and bool(job.config.result_files)
    existing = {} if fresh else dict(list_all(store, prefix))
    failed: list[Exception] = []

    def put_if_missing(key: str, put: Callable[[], object]) -> None:
        if key in existing:
            return
        try:
            put()
            on_progress()
        except (OSError, StoreError) as error:  # other files may succeed
            failed.append(error)

    output: dict[str, Checksum] = {}

    def upload_log(log: str) -> None:
        if store.is_remote:
            output[log] = Checksum(*store.put_file(prefix + log, folder / log))
        else:
            store.link(prefix + log, folder / log)

    for log in LOGS:
        if (folder / log).exists():
            put_if_missing(prefix + log, lambda log=log: upload_log(log))  # type: ignore[misc]
        if store.is_remote and prefix + log in existing:  # by an earlier try
            output[log] = Checksum(existing[prefix + log], _digest(str(folder / log)))
    for name, data in (("exit_code", _exit_code(job)), ("metadata.json", _metadata(job, output))):
        put_if_missing(
            prefix + name,
            lambda name=name, data=data: store.put(prefix + name, data, durable=False),  # type: ignore[misc]
        )
    mark("publisher.logs")
    uploaded = (
        _publish_results(store, prefix, folder, existing, pool, on_progress) if promised else None
    )
    if failed:
        raise OutputNotUploaded(uploaded, failed[0])
    _mark(folder)
    return uploaded


def attempt_prefix(job: JobState) -> str:
    """The prefix of the files of a job's newest attempt, with a trailing slash."""
    return f"{job.config.job_id}/attempts/{job.epoch}.{job.attempt}/"


def is_uploaded(folder: Path) -> bool:
    """Whether all files of an attempt are in the store. The log may not have it yet."""
    return (folder / _SAVED).exists()


def _mark(folder: Path) -> None:
    """Mark an attempt as saved. A missing mark only costs the next runner some requests."""
    try:
        os.close(open_regular(folder / _SAVED, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return


def _publish_results(
    store: ObjectStore,
    prefix: str,
    folder: Path,
    existing: Mapping[str, int],
    pool: Executor | None,
    went: Callable[[], None],
) -> ResultsUploaded:
    manifest = read_manifest(folder)
    journal = Journal(folder)

    def upload(file: ResultFile) -> UploadedFile:
        key = f"{prefix}results/{file.name}"
        sent = journal.find(file.name) if store.is_remote else None
        if sent is None or existing.get(key) != sent.size:
            sent = upload_file(store, key, file, exists=key in existing)
            if store.is_remote:
                journal.note(sent)
        went()
        mark("publisher.file")
        return UploadedFile(**msgspec.structs.asdict(file), sha256=sent.sha256)

    kept = tuple(map_concurrently(upload, manifest.files, pool))
    store.flush()
    stored = store.put(prefix + NAME, encode_list(kept, manifest))
    mark("publisher.uploaded")
    return ResultsUploaded(
        files=len(kept),
        size=sum(file.size for file in kept),
        key=prefix + NAME,
        sha256=stored,
        unmatched=manifest.unmatched,
        left_out=summarize_left_out(manifest.left_out),
    )


def encode_list(kept: tuple[UploadedFile, ...], found: Manifest | FoundResults) -> bytes:
    """Encode the manifest for the store."""
    rest = {name: getattr(found, name) for name in ("unmatched", "links", "folders", "left_out")}
    return msgspec.json.encode(StoredManifest(files=kept, **rest, v=VERSION), order="sorted")


def summarize_left_out(left_out: Sequence[str]) -> tuple[str, ...]:
    """Shorten a list of left-out entries for the log."""
    named = tuple(each[:_MAX_LENGTH] for each in left_out[:_MAX_ENTRIES])
    more = len(left_out) - len(named)
    return (*named, f"and {more} more") if more else named


def upload_file(store: ObjectStore, key: str, file: ResultFile, *, exists: bool) -> Sent:
    """Upload a file, or verify the object of an earlier try.

    Args:
        exists: Whether the store may have an object with this key.

    Raises:
        Lost: As in `publish`, or the object has other contents.
    """

    def expect_unchanged() -> None:
        if _identity(os.stat(file.place)) != (file.size, file.mtime_ns, file.inode):
            raise ResultFileLost(f"changed: {file.path} was modified after the job completed")

    try:
        expect_unchanged()
        size, digest = store.put_file(key, Path(file.place), accept=expect_unchanged)
        if exists and digest != _digest(file.place):
            raise ResultFileLost(f"taken: {key} has other contents in the object store")
    except FileNotFoundError:
        raise ResultFileLost(f"gone: {file.path}") from None
    except OSError as error:
        raise ResultFileLost(f"unreadable: {file.path}: {error.strerror or error}") from None
    if size != file.size:
        raise ResultFileLost(
            f"taken: {key} has {size} bytes in the object store instead of {file.size}"
        )
    return Sent(file.name, size, digest)


def map_concurrently(
    work: Callable[[T], U], items: Iterable[T], pool: Executor | None
) -> Iterator[U]:
    """Call `work` for each item and yield the results in order; concurrent if there is a pool."""
    if pool is None:
        yield from map(work, items)
        return
    pending: deque[Future[U]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= _WINDOW:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        wait_for(pending)


def _digest(path: str) -> str:
    with open(path, "rb", opener=open_following_links) as file:
        return file_digest(file, "sha256").hexdigest()


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _exit_code(job: JobState) -> bytes:
    code = job.outcome and job.outcome.exit_code
    return b"\n" if code is None else f"{code}\n".encode()


def _metadata(job: JobState, output: Mapping[str, Checksum]) -> bytes:
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
