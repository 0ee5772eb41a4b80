"""Lists, uploads and restores attempts' files on threads, so that the loop never waits."""

import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from spawn.core.config.model import JobConfig
from spawn.core.domain.events import Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.domain.state import JobState
from spawn.core.errors import SpawnError
from spawn.runner.ports import (
    CheckpointRestored,
    CheckpointRetrying,
    CheckpointUploaded,
    LoopMessage,
    RestoreRetrying,
    ResultsListed,
    ResultsRestored,
    UploadEnded,
    UploadRetrying,
)
from spawn.runner.transfers.backoff import OUTAGE_FAILURES, Backoff
from spawn.runner.transfers.workers import Workers
from spawn.store.objects.interface import ObjectNotFound, ObjectStore, StoreError, Unavailable
from spawn.store.results import output_pieces
from spawn.store.results.checkpoint import Checkpoint, CheckpointCancelled, restore_checkpoint
from spawn.store.results.manifest import has_manifest, read_manifest, write_manifest
from spawn.store.results.restore import RestoreRecord, ResultsMissing, restore_results
from spawn.store.results.upload import (
    LOGS,
    OutputNotUploaded,
    ResultFileLost,
    attempt_prefix,
    publish,
    summarize_left_out,
)

ATTEMPTS_AT_ONCE = 4
FILES_AT_ONCE = 8
PERMANENT_ERROR_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses between tries after permanent errors, such as a refusal."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
"""Shortest and longest pause between tries after temporary errors."""
OUTPUT_UPLOAD_SECONDS = 30.0
"""Interval at which the output of a running job is uploaded."""


class ThreadPublisher:
    """A `Publisher` with worker threads.

    Args:
        post: Receives happenings, from any thread.
        restored: The jobs whose results were restored on this machine.
    """

    def __init__(
        self, store: ObjectStore, post: Callable[[LoopMessage], None], restored: RestoreRecord
    ) -> None:
        self.store = store
        self.post = post
        self.restored = restored
        self.given_up = False
        self.files = (
            ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="copier")
            if store.is_remote
            else None
        )
        self._failures: dict[str, str] = {}
        self._open: set[str] = set()
        self.backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._followed: dict[str, JobState] = {}
        self.lock = Lock()
        self._restoring: deque[_RestoreRequest] = deque()
        self._restore = _Restore(self, self._restoring)
        self._collectors = Workers("collector")
        self._uploaders = Workers("uploader", ATTEMPTS_AT_ONCE)
        self._followers = Workers("follower")
        self._restorers = Workers("restorer")
        self._checkpointers = Workers("checkpointer", ATTEMPTS_AT_ONCE)
        self.dropped = False
        self._all = (
            *(self._collectors, self._uploaders, self._followers),
            *(self._restorers, self._checkpointers),
        )

    def list_results(self, token: str, job: JobConfig, folder: str) -> None:
        """List an attempt's results."""
        self._collectors.add(lambda: self._collect(token, job, Path(folder)))

    def upload(self, token: str, job: JobState, *, last: bool = False) -> None:
        """Upload an attempt's files."""
        self.given_up = False
        fresh = token in self._followed
        self._followed.pop(token, None)
        failure = self._failures.pop(token, "")
        self._open.add(token)
        self._uploaders.add(_Upload(self, token, job, fresh=fresh, failure=failure, last=last))

    def upload_output(self, token: str, job: JobState) -> None:
        """Upload the output of a running attempt, if the store is remote."""
        self._followed[token] = job
        if self.store.is_remote:
            ends = dict.fromkeys(LOGS, 0)
            self._followers.add(lambda: self._follow(token, job, ends), OUTPUT_UPLOAD_SECONDS)

    def restore_results(self, job: JobState, as_of: str) -> None:
        """Restore a job's results."""
        self._start_restore(_RestoreRequest(job, as_of, checkpoint=False))

    def has_restored(self, job: JobState) -> bool:
        """Whether a job's results are restored."""
        return self.restored.has(job)

    def restore_checkpoint(self, job: JobState) -> None:
        """Restore a job's checkpoint."""
        self._start_restore(_RestoreRequest(job, job.ended_at, checkpoint=True))

    def save_checkpoint(self, token: str, job: JobState) -> None:
        """Upload an attempt's checkpoint."""
        self._checkpointers.add(_CheckpointUpload(self, token, job))

    def drop_checkpoints(self) -> None:
        """Stop saving checkpoints."""
        self.dropped = True

    def give_up(self) -> None:
        """Stop retrying uploads."""
        self.given_up = True
        self._uploaders.hurry()

    @property
    def idle(self) -> bool:
        """Whether no upload is open; a `Published` is posted when that changes."""
        return not self._open

    def abandon(self) -> None:
        """Count open uploads as closed: the next runner finishes them."""
        self._open.clear()

    def published(self, outcome: UploadEnded) -> None:
        """Close an upload and post its outcome."""
        self._open.discard(outcome.token)
        self.post(outcome)

    def close(self) -> None:
        """Start no more work; the next runner finishes what is left."""
        self.dropped = True
        self._followed.clear()
        for workers in self._all:
            workers.close()

    def _start_restore(self, restoring: "_RestoreRequest") -> None:
        with self.lock:
            self._restoring.append(restoring)
            if len(self._restoring) == 1:
                self._restorers.add(self._restore)

    def _collect(self, token: str, job: JobConfig, folder: Path) -> None:
        results: Results | None = None
        try:
            results = write_manifest(job, folder)
        except Exception as error:  # the loop must get its answer
            self._failures[token] = str(error)
        self.post(ResultsListed(token, results))

    def _follow(self, token: str, job: JobState, ends: dict[str, int]) -> float | None:
        """Upload what an attempt has printed since the last call, and advance `ends`."""
        for log in LOGS:
            if token not in self._followed:
                return None
            try:
                file = Path(job.folder, log)
                ends[log] = output_pieces.upload_pieces(
                    self.store, attempt_prefix(job), log, file, ends[log]
                )
            except (OSError, StoreError, ObjectNotFound):
                continue  # the next call uploads it
        return OUTPUT_UPLOAD_SECONDS


class _Upload:
    """The upload of an attempt's files: a task that repeats until it succeeds or gives up.

    Args:
        failure: Why the results could not be listed; empty if they were.
        last: Whether to give up at the first permanent error.
    """

    def __init__(
        self,
        publisher: ThreadPublisher,
        token: str,
        job: JobState,
        *,
        fresh: bool,
        failure: str,
        last: bool,
    ) -> None:
        self._publisher = publisher
        self._token = token
        self._job = job
        self._fresh = fresh
        self._failure = failure
        self._pauses = iter(() if last else PERMANENT_ERROR_PAUSES)
        self._requested_at = time.monotonic()
        self._failures = 0
        self._failing_since = 0.0
        self._reported = False
        """Whether a `Troubled` has reported that this upload is being retried."""
        self._uploaded: ResultsUploaded | None = None

    def __call__(self) -> float | None:
        publisher = self._publisher
        if (pause := publisher.backoff.pause()) and not publisher.given_up:
            self._report_outage()
            return pause
        fresh, self._fresh = self._fresh, False
        began = time.monotonic()
        promised = self._job.state == "completed" and bool(self._job.config.result_files)
        folder = Path(self._job.folder)
        try:
            if promised and not self._failure and not has_manifest(folder):
                write_manifest(self._job.config, folder)  # an earlier runner has failed to
            uploaded = publish(
                publisher.store,
                self._job,
                fresh=fresh,
                pool=publisher.files,
                on_progress=self._record_success,
            )
        except Unavailable as error:
            return self._retry(str(error), began)
        except OutputNotUploaded as unsaved:
            self._uploaded = unsaved.uploaded
            if isinstance(unsaved.cause, Unavailable):
                return self._retry(str(unsaved.cause), began)
            retry_in = self._next_pause(str(unsaved.cause))
            if retry_in is None:
                self._finish(self._uploaded, self._failure, str(unsaved.cause))
            return retry_in
        except Exception as error:  # the queue must not wait forever, whatever the error
            retry_in = self._next_pause(_error_text(error))
            if retry_in is None:
                self._finish(None, self._failure or _error_text(error))
            return retry_in
        self._finish(uploaded, self._failure)
        return None

    def _next_pause(self, why: str) -> float | None:
        """Seconds before the next try after a permanent error; None to give up."""
        pause = None if self._publisher.given_up else next(self._pauses, None)
        if pause is not None:
            now = time.monotonic()
            self._publisher.post(UploadRetrying(self._token, now, why, refused=True))
        return pause

    def _retry(self, why: str, began: float) -> float | None:
        """Record a temporary error; returns the seconds before a retry, None after `give_up`."""
        self._failures += 1
        if self._failures == 1:
            self._failing_since = began
        if self._publisher.given_up:
            if self._uploaded is not None:  # only output is missing
                self._finish(self._uploaded, self._failure, why)
            else:
                self._finish(None, self._failure or why)
            return None
        pause = self._publisher.backoff.record_failure(why)
        if self._failures >= OUTAGE_FAILURES:  # even if other uploads succeed
            self._report(self._failing_since, why)
        self._report_outage()
        return pause

    def _report_outage(self) -> None:
        """Report an outage of the store, which affects all uploads."""
        outage = self._publisher.backoff.outage
        if outage is not None:
            since, why = outage
            self._report(max(since, self._requested_at), why)

    def _report(self, since: float, why: str) -> None:
        if not self._reported:
            self._reported = True
            self._publisher.post(UploadRetrying(self._token, since, why))

    def _record_success(self) -> None:
        """Record that part of the upload has succeeded. From any thread."""
        self._publisher.backoff.record_success()
        self._failures = 0
        if self._reported:
            self._reported = False
            self._publisher.post(UploadRetrying(self._token, None))

    def _finish(self, uploaded: ResultsUploaded | None, failure: str, unsaved: str = "") -> None:
        """Report the outcome.

        Args:
            failure: Why the results are not saved.
            unsaved: Why the output is not saved.
        """
        job = self._job
        promised = job.state == "completed" and bool(job.config.result_files)
        unsaved = unsaved or ("" if promised else failure)
        outcome: ResultsUploaded | ResultsUploadFailed | None = uploaded
        if failure and promised:
            outcome = _failure_event(failure, Path(job.folder))
        self._publisher.published(UploadEnded(self._token, outcome, unsaved))


class _CheckpointUpload:
    """The upload of a checkpoint: a task that repeats until it succeeds or gives up."""

    def __init__(self, publisher: ThreadPublisher, token: str, job: JobState) -> None:
        self._publisher = publisher
        self._token = token
        self._checkpoint = Checkpoint(job, lambda: not publisher.dropped)
        self._pauses = iter(PERMANENT_ERROR_PAUSES)
        self._reported = False

    def __call__(self) -> float | None:
        publisher = self._publisher
        if publisher.dropped:
            return None
        if pause := publisher.backoff.pause():
            self._report((publisher.backoff.outage or (0.0, "a request failed"))[1])
            return pause
        try:
            saved = self._checkpoint.save(
                publisher.store, pool=publisher.files, on_progress=self._record_success
            )
        except CheckpointCancelled:
            return None
        except Unavailable as error:
            self._report(str(error))
            return publisher.backoff.record_failure(str(error))
        except Exception as error:  # the loop must get its answer
            retry_in = next(self._pauses, None)
            if retry_in is None:
                publisher.post(CheckpointUploaded(self._token, None, _error_text(error)))
            return retry_in
        publisher.post(CheckpointUploaded(self._token, saved))
        return None

    def _report(self, why: str) -> None:
        self._reported = True
        self._publisher.post(CheckpointRetrying(self._token, why))

    def _record_success(self) -> None:
        self._publisher.backoff.record_success()
        if self._reported:
            self._reported = False
            self._publisher.post(CheckpointRetrying(self._token, ""))


class _RestoreRequest(Struct, frozen=True):
    """A job whose results or checkpoint are to be restored."""

    job: JobState
    as_of: str
    checkpoint: bool


class _Restore:
    """Restores results and checkpoints: a task that repeats until the queue of requests is empty.

    Args:
        requests: The first is in progress, and removed when it is done.
    """

    def __init__(self, publisher: ThreadPublisher, requests: deque[_RestoreRequest]) -> None:
        self._publisher = publisher
        self._requests = requests
        self._pauses = iter(PERMANENT_ERROR_PAUSES)
        self._backoff = FIRST_PAUSE
        self._newest: dict[str, str] = {}
        """Time of the results that each path was restored from."""

    def __call__(self) -> float | None:
        job, checkpoint = self._requests[0].job, self._requests[0].checkpoint
        job_id, post = job.config.job_id, self._publisher.post
        gone, files = "", 0
        try:
            restore = restore_checkpoint if checkpoint else restore_results
            files = restore(self._publisher.store, job, self._may_write)
            if not checkpoint:
                self._publisher.restored.add(job)
        except ResultsMissing as error:
            pause = next(self._pauses, None)
            if pause is not None:
                return pause
            gone = str(error)
        except Exception as error:  # the job cannot run without its files
            post(RestoreRetrying(job_id, _error_text(error)))
            self._backoff = min(LONGEST_PAUSE, self._backoff * 2)
            return self._backoff * random.uniform(0.5, 1.0)
        self._pauses, self._backoff = iter(PERMANENT_ERROR_PAUSES), FIRST_PAUSE
        post(
            (CheckpointRestored if checkpoint else ResultsRestored)(job_id, job.token, gone, files)
        )
        with self._publisher.lock:
            self._requests.popleft()
            return 0.0 if self._requests else None

    def _may_write(self, path: str) -> bool:
        """Whether a path was not restored from later results."""
        as_of = self._requests[0].as_of
        if self._newest.get(path, "") > as_of:
            return False
        self._newest[path] = as_of
        return True


def _error_text(error: Exception) -> str:
    """The error for a user-facing message."""
    expected = isinstance(error, SpawnError | ResultFileLost | OSError | msgspec.DecodeError)
    return str(error) if expected else f"internal error: {error!r}"


def _failure_event(error: str, folder: Path) -> ResultsUploadFailed:
    try:
        manifest = read_manifest(folder)
    except (OSError, msgspec.DecodeError):
        return ResultsUploadFailed(error=error)
    left_out = summarize_left_out(manifest.left_out)
    return ResultsUploadFailed(error=error, unmatched=manifest.unmatched, left_out=left_out)
