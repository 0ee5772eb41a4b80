"""Lists and copies attempts' files on threads of its own, so that the loop never waits."""

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
from spawn.core.errors import SpawnError
from spawn.core.events import Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.state import JobState
from spawn.runner.backoff import OFTEN, Backoff
from spawn.runner.ports import (
    Checkpointed,
    Collected,
    Faltering,
    Happening,
    Hindered,
    Published,
    PutBack,
    Returned,
    Troubled,
)
from spawn.runner.workers import Workers
from spawn.store.objects.port import NotThere, ObjectStore, StoreError, Unavailable
from spawn.store.results import parts
from spawn.store.results.checkpoint import Checkpoint, NotWanted, put_checkpoint_back
from spawn.store.results.manifest import collect, is_collected, load
from spawn.store.results.publish import (
    LOGS,
    Lost,
    OnlyResults,
    attempt_prefix,
    in_short,
    publish,
)
from spawn.store.results.restore import Gone, Restored, put_back

ATTEMPTS_AT_ONCE = 4
FILES_AT_ONCE = 8
AGAIN_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""How long after each refusal the next try is made; after the last one, none."""
FIRST_SECONDS = 0.5
MOST_SECONDS = 20.0
"""The shortest and the longest wait between tries of what may pass."""
PIECE_SECONDS = 30.0
"""How often the output of a job that runs is copied."""


class ThreadPublisher:
    """See `Publisher`.

    Args:
        store: Where files go.
        post: Takes what has happened, from any thread.
        restored: The jobs whose results were restored on this machine.
    """

    def __init__(
        self, store: ObjectStore, post: Callable[[Happening], None], restored: Restored
    ) -> None:
        self.store = store
        self.post = post
        self.restored = restored
        self.given_up = False
        self.files = (
            ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="copier") if store.far else None
        )
        self._failures: dict[str, str] = {}
        self._open: set[str] = set()
        self.backoff = Backoff(FIRST_SECONDS, MOST_SECONDS)
        self._followed: dict[str, JobState] = {}
        self.lock = Lock()
        self._restoring: deque[_Restoring] = deque()
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

    def collect(self, token: str, job: JobConfig, folder: str) -> None:
        """See `Publisher.collect`."""
        self._collectors.add(lambda: self._collect(token, job, Path(folder)))

    def publish(self, token: str, job: JobState, *, last: bool = False) -> None:
        """See `Publisher.publish`."""
        self.given_up = False
        fresh = token in self._followed
        self._followed.pop(token, None)
        failure = self._failures.pop(token, "")
        self._open.add(token)
        self._uploaders.add(_Upload(self, token, job, fresh=fresh, failure=failure, last=last))

    def follow(self, token: str, job: JobState) -> None:
        """See `Publisher.follow`."""
        self._followed[token] = job
        if self.store.far:
            ends = dict.fromkeys(LOGS, 0)
            self._followers.add(lambda: self._follow(token, job, ends), PIECE_SECONDS)

    def put_back(self, job: JobState, as_of: str) -> None:
        """See `Publisher.put_back`."""
        self._bring_back(_Restoring(job, as_of, checkpoint=False))

    def is_back(self, job: JobState) -> bool:
        """See `Publisher.is_back`."""
        return self.restored.has(job)

    def return_checkpoint(self, job: JobState) -> None:
        """See `Publisher.return_checkpoint`."""
        self._bring_back(_Restoring(job, job.ended_at, checkpoint=True))

    def save_checkpoint(self, token: str, job: JobState) -> None:
        """See `Publisher.save_checkpoint`."""
        self._checkpointers.add(_Save(self, token, job))

    def drop_checkpoints(self) -> None:
        """See `Publisher.drop_checkpoints`."""
        self.dropped = True

    def give_up(self) -> None:
        """See `Publisher.give_up`."""
        self.given_up = True
        self._uploaders.hurry()

    @property
    def idle(self) -> bool:
        """Whether no attempt's files are on their way; a `Published` comes with the change."""
        return not self._open

    def abandon(self) -> None:
        """Wait no longer for what is on its way: the next runner brings it."""
        self._open.clear()

    def published(self, outcome: Published) -> None:
        """Tell that an attempt's files are there, or never will be."""
        self._open.discard(outcome.token)
        self.post(outcome)

    def close(self) -> None:
        """Begin nothing any more; what is on its way is the next runner's."""
        self.dropped = True
        self._followed.clear()
        for workers in self._all:
            workers.close()

    def _bring_back(self, restoring: "_Restoring") -> None:
        with self.lock:
            self._restoring.append(restoring)
            if len(self._restoring) == 1:
                self._restorers.add(self._restore)

    def _collect(self, token: str, job: JobConfig, folder: Path) -> None:
        results: Results | None = None
        try:
            results = collect(job, folder)
        except Exception as error:  # the loop waits for an answer, whatever happens here
            self._failures[token] = str(error)
        self.post(Collected(token, results))

    def _follow(self, token: str, job: JobState, ends: dict[str, int]) -> float | None:
        """Bring what an attempt has printed since."""
        for log in LOGS:
            if token not in self._followed:
                return None
            try:
                file = Path(job.folder, log)
                ends[log] = parts.send(self.store, attempt_prefix(job), log, file, ends[log])
            except (OSError, StoreError, NotThere):
                continue  # the next time brings that too
        return PIECE_SECONDS


class _Upload:
    """One attempt's way to the store, try after try.

    Args:
        last: Whether a refusal ends it.
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
        self._pauses = iter(() if last else AGAIN_SECONDS)
        self._asked = time.monotonic()
        self._failures = 0
        self._failing_since = 0.0
        self._told = False
        self._uploaded: ResultsUploaded | None = None

    def __call__(self) -> float | None:
        publisher = self._publisher
        if (pause := publisher.backoff.pause()) and not publisher.given_up:
            self._tell_trouble()
            return pause
        fresh, self._fresh = self._fresh, False
        began = time.monotonic()
        promised = self._job.state == "completed" and bool(self._job.config.result_files)
        folder = Path(self._job.folder)
        try:
            if promised and not self._failure and not is_collected(folder):
                collect(self._job.config, folder)  # an earlier runner could not
            uploaded = publish(
                publisher.store, self._job, fresh=fresh, pool=publisher.files, went=self._went
            )
        except Unavailable as error:
            return self._wait(str(error), began)
        except OnlyResults as unsaved:
            self._uploaded = unsaved.uploaded
            if isinstance(unsaved.cause, Unavailable):
                return self._wait(str(unsaved.cause), began)
            again = self._pause()
            if again is None:
                self._end(self._uploaded, self._failure, str(unsaved.cause))
            return again
        except Exception as error:  # whatever it is, the queue must not wait for ever
            again = self._pause()
            if again is None:
                self._end(None, self._failure or _worded(error))
            return again
        self._end(uploaded, self._failure)
        return None

    def _pause(self) -> float | None:
        """How long to wait before what cannot pass by itself is tried again, should it pass all the
        same; None for ever."""
        return None if self._publisher.given_up else next(self._pauses, None)

    def _wait(self, why: str, began: float) -> float | None:
        """Try again later, unless nobody wants that any more."""
        self._failures += 1
        if self._failures == 1:
            self._failing_since = began
        if self._publisher.given_up:
            if self._uploaded is not None:  # only output is missing
                self._end(self._uploaded, self._failure, why)
            else:
                self._end(None, self._failure or why)
            return None
        again = self._publisher.backoff.failed(why)
        if self._failures >= OFTEN:  # though others may get through
            self._tell(self._failing_since, why)
        self._tell_trouble()
        return again

    def _tell_trouble(self) -> None:
        """Tell that the store fails, for this attempt as for all others."""
        trouble = self._publisher.backoff.trouble
        if trouble is not None:
            since, why = trouble
            self._tell(max(since, self._asked), why)

    def _tell(self, since: float, why: str) -> None:
        if not self._told:
            self._told = True
            self._publisher.post(Troubled(self._token, since, why))

    def _went(self) -> None:
        """Something of it is there: from any thread, and any number of times."""
        self._publisher.backoff.went()
        self._failures = 0
        if self._told:
            self._told = False
            self._publisher.post(Troubled(self._token, None))

    def _end(self, uploaded: ResultsUploaded | None, failure: str, unsaved: str = "") -> None:
        """It is over.

        Args:
            failure: Why its results are not saved.
            unsaved: Why its output is not.
        """
        job = self._job
        promised = job.state == "completed" and bool(job.config.result_files)
        unsaved = unsaved or ("" if promised else failure)
        outcome: ResultsUploaded | ResultsUploadFailed | None = uploaded
        if failure and promised:
            outcome = _failed(failure, Path(job.folder))
        self._publisher.published(Published(self._token, outcome, unsaved))


class _Save:
    """One attempt's checkpoint on its way to the store, try after try."""

    def __init__(self, publisher: ThreadPublisher, token: str, job: JobState) -> None:
        self._publisher = publisher
        self._token = token
        self._checkpoint = Checkpoint(job, lambda: not publisher.dropped)
        self._pauses = iter(AGAIN_SECONDS)
        self._told = False

    def __call__(self) -> float | None:
        publisher = self._publisher
        if publisher.dropped:
            return None
        if pause := publisher.backoff.pause():
            self._falter((publisher.backoff.trouble or (0.0, "it fails"))[1])
            return pause
        try:
            saved = self._checkpoint.save(publisher.store, pool=publisher.files, went=self._went)
        except NotWanted:
            return None
        except Unavailable as error:
            self._falter(str(error))
            return publisher.backoff.failed(str(error))
        except Exception as error:  # whatever it is, the loop waits for an answer
            again = next(self._pauses, None)
            if again is None:
                publisher.post(Checkpointed(self._token, None, _worded(error)))
            return again
        publisher.post(Checkpointed(self._token, saved))
        return None

    def _falter(self, why: str) -> None:
        self._told = True
        self._publisher.post(Faltering(self._token, why))

    def _went(self) -> None:
        self._publisher.backoff.went()
        if self._told:
            self._told = False
            self._publisher.post(Faltering(self._token, ""))


class _Restoring(Struct, frozen=True):
    """A job whose results, or whose checkpoint, are to be restored."""

    job: JobState
    as_of: str
    checkpoint: bool


class _Restore:
    """Jobs' results and checkpoints on their way back, one after the other, try after try.

    Args:
        jobs: The first of them is under way; it goes when it is done.
    """

    def __init__(self, publisher: ThreadPublisher, jobs: deque[_Restoring]) -> None:
        self._publisher = publisher
        self._jobs = jobs
        self._pauses = iter(AGAIN_SECONDS)
        self._backoff = FIRST_SECONDS
        self._newest: dict[str, str] = {}

    def __call__(self) -> float | None:
        job, checkpoint = self._jobs[0].job, self._jobs[0].checkpoint
        job_id, post = job.config.job_id, self._publisher.post
        gone, files = "", 0
        try:
            bring = put_checkpoint_back if checkpoint else put_back
            files = bring(self._publisher.store, job, self._mine)
            if not checkpoint:
                self._publisher.restored.add(job)
        except Gone as error:
            pause = next(self._pauses, None)
            if pause is not None:
                return pause
            gone = str(error)
        except Exception as error:  # whatever it is, the job cannot run without them
            post(Hindered(job_id, _worded(error)))
            self._backoff = min(MOST_SECONDS, self._backoff * 2)
            return self._backoff * random.uniform(0.5, 1.0)
        self._pauses, self._backoff = iter(AGAIN_SECONDS), FIRST_SECONDS
        post((Returned if checkpoint else PutBack)(job_id, job.token, gone, files))
        with self._publisher.lock:
            self._jobs.popleft()
            return 0.0 if self._jobs else None

    def _mine(self, path: str) -> bool:
        """Whether no file was restored there that counts as of a later moment."""
        as_of = self._jobs[0].as_of
        if self._newest.get(path, "") > as_of:
            return False
        self._newest[path] = as_of
        return True


def _worded(error: Exception) -> str:
    """What went wrong, for a person."""
    expected = isinstance(error, SpawnError | Lost | OSError | msgspec.DecodeError)
    return str(error) if expected else f"internal error: {error!r}"


def _failed(error: str, folder: Path) -> ResultsUploadFailed:
    try:
        manifest = load(folder)
    except (OSError, msgspec.DecodeError):
        return ResultsUploadFailed(error=error)
    left_out = in_short(manifest.left_out)
    return ResultsUploadFailed(error=error, unmatched=manifest.unmatched, left_out=left_out)
