"""What an attempt that was stopped had left of its job's result files: kept, and put back.

It lies beside the attempt's output and never in `results/`, so it is never taken for results. The
list goes last: without one there is no checkpoint.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from threading import Lock

import msgspec

from spawn.core.events import CheckpointSaved
from spawn.core.state import JobState
from spawn.store.objects.port import ObjectStore
from spawn.store.results.find import Found, Results, find
from spawn.store.results.journal import Sent
from spawn.store.results.publish import Kept, attempt_prefix, each, in_short, listed, send
from spawn.store.results.restore import Gone, bring

LIST = "checkpoint.json"
FOLDER = "checkpoint/"


class NotWanted(Exception):
    """Nobody waits for it any more."""


class Checkpoint:
    """What one attempt has left. `save` may be repeated after any failure.

    Args:
        job: As it was when the attempt ended: nothing of that runs any more.
        wanted: Whether somebody still waits for it.
    """

    def __init__(self, job: JobState, wanted: Callable[[], bool]) -> None:
        self._job = job
        self._wanted = wanted
        self._found: Results | None = None
        self._sent: dict[str, Sent] = {}
        self._lock = Lock()
        self._tried: set[str] = set()

    def save(
        self,
        store: ObjectStore,
        *,
        pool: Executor | None = None,
        went: Callable[[], None] = lambda: None,
    ) -> CheckpointSaved | None:
        """Copy what there is into the store.

        Args:
            pool: Where several files are copied at once.
            went: Called whenever the store has done something, from any thread.

        Returns:
            What the store has of it; None where there is nothing to keep.

        Raises:
            Lost: A file is gone, unreadable, or another than a moment ago.
            NotWanted: Nobody waits for it any more.
            OSError: A folder cannot be read.
            StoreError: The store fails.
        """
        config = self._job.config
        if self._found is None:
            self._found = find(config.result_files, config.working_directory)
        if not self._found.files:
            return None
        prefix = attempt_prefix(self._job)

        def keep(file: Found) -> Kept:
            if not self._wanted():
                raise NotWanted
            sent = self._sent.get(file.name) or self._send(store, prefix, file)
            went()
            return Kept(**msgspec.structs.asdict(file), sha256=sent.sha256)

        kept = tuple(each(keep, self._found.files, pool))
        store.settle()
        digest = store.put(prefix + LIST, listed(kept, self._found))
        return CheckpointSaved(
            files=len(kept),
            size=sum(file.size for file in kept),
            key=prefix + LIST,
            sha256=digest,
            left_out=in_short(self._found.left_out),
        )

    def _send(self, store: ObjectStore, prefix: str, file: Found) -> Sent:
        with self._lock:
            again = file.name in self._tried
            self._tried.add(file.name)
        sent = send(store, f"{prefix}{FOLDER}{file.name}", file, taken=again)
        with self._lock:
            self._sent[file.name] = sent
        return sent


def put_checkpoint_back(
    store: ObjectStore, job: JobState, mine: Callable[[str], bool] = lambda _: True
) -> int:
    """Bring a checkpoint's files to the paths that they were found at; see `restore.put_back`.

    Args:
        job: With its `CheckpointSaved`.
    """
    saved = job.checkpoint
    assert saved is not None
    if not saved.key.startswith(f"{job.config.job_id}/") or not saved.key.endswith(f"/{LIST}"):
        raise Gone(f"{saved.key} is no checkpoint of job {job.config.job_id}")
    folder = saved.key.removesuffix(LIST) + FOLDER
    return bring(store, job.config, saved.key, saved.sha256, folder, mine)
