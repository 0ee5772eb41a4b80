"""Lists and copies an attempt's files on a thread of its own, so that the loop never waits."""

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from spawn.core.config.model import JobConfig
from spawn.core.events import Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.state import JobState
from spawn.runner.ports import Collected, Happening, Published
from spawn.store.objects.port import ObjectStore
from spawn.store.results.manifest import collect
from spawn.store.results.publish import publish


class ThreadPublisher:
    """See `Publisher`.

    Args:
        store: Where files go.
        post: Takes what has happened, from any thread.
    """

    def __init__(self, store: ObjectStore, post: Callable[[Happening], None]) -> None:
        self._store = store
        self._post = post
        self._work: SimpleQueue[Callable[[], Happening] | None] = SimpleQueue()
        self._failures: dict[str, str] = {}
        self._thread = Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def collect(self, token: str, job: JobConfig, folder: str) -> None:
        """See `Publisher.collect`."""
        self._work.put(lambda: Collected(token, self._collect(token, job, Path(folder))))

    def publish(self, token: str, job: JobState) -> None:
        """See `Publisher.publish`."""
        self._work.put(lambda: Published(token, self._publish(token, job)))

    def close(self, seconds: float) -> None:
        """Finish what was asked for, but for no longer than this: the next runner does the rest."""
        self._work.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            self._post(task())

    def _collect(self, token: str, job: JobConfig, folder: Path) -> Results | None:
        try:
            return collect(job, folder)
        except Exception as error:  # the loop waits for an answer, whatever happens here
            self._failures[token] = str(error)
            return None

    def _publish(self, token: str, job: JobState) -> ResultsUploaded | ResultsUploadFailed | None:
        failure = self._failures.pop(token, "")
        try:
            outcome = publish(self._store, job)
        except Exception as error:
            failure, outcome = failure or str(error), None
        promised = job.state == "completed" and bool(job.config.result_files)
        return ResultsUploadFailed(error=failure) if failure and promised else outcome
