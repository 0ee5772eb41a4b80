"""Checkpoints: the result files of a stopped attempt, saved and restored.

A checkpoint is stored beside the attempt's output, never in `results/`, so it is never mistaken for
results. The list is written last: without a list there is no checkpoint.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from threading import Lock

import msgspec

from spawn.core.domain.events import CheckpointSaved
from spawn.core.domain.state import JobState
from spawn.store.objects.interface import ObjectStore
from spawn.store.results.find import FoundResults, ResultFile, find_results
from spawn.store.results.restore import ResultsMissing, restore_files
from spawn.store.results.upload import (
    UploadedFile,
    attempt_prefix,
    encode_list,
    map_concurrently,
    summarize_left_out,
    upload_file,
)
from spawn.store.results.upload_journal import Sent

LIST = "checkpoint.json"
FOLDER = "checkpoint/"


class CheckpointCancelled(Exception):
    """The checkpoint is no longer needed."""


class Checkpoint:
    """The checkpoint of one attempt. `save` may be retried after any failure.

    Args:
        job: The job as it was when the attempt ended. None of its processes runs any more.
        wanted: Returns whether the checkpoint is still needed.
    """

    def __init__(self, job: JobState, wanted: Callable[[], bool]) -> None:
        self._job = job
        self._wanted = wanted
        self._found: FoundResults | None = None
        self._sent: dict[str, Sent] = {}
        self._lock = Lock()
        self._tried: set[str] = set()

    def save(
        self,
        store: ObjectStore,
        *,
        pool: Executor | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> CheckpointSaved | None:
        """Upload the files and their list.

        Args:
            pool: Uploads files concurrently (default: one at a time).
            went: Called after each file, from any thread.

        Returns:
            The saved checkpoint; None if there are no files.

        Raises:
            Lost: A file is missing, unreadable or has changed meanwhile.
            NotWanted: The checkpoint is no longer needed.
            OSError: A folder cannot be read.
            StoreError: The store fails.
        """
        config = self._job.config
        if self._found is None:
            self._found = find_results(config.result_files, config.working_directory)
        if not self._found.files:
            return None
        prefix = attempt_prefix(self._job)

        def upload(file: ResultFile) -> UploadedFile:
            if not self._wanted():
                raise CheckpointCancelled
            sent = self._sent.get(file.name) or self._send(store, prefix, file)
            on_progress()
            return UploadedFile(**msgspec.structs.asdict(file), sha256=sent.sha256)

        kept = tuple(map_concurrently(upload, self._found.files, pool))
        store.flush()
        digest = store.put(prefix + LIST, encode_list(kept, self._found))
        return CheckpointSaved(
            files=len(kept),
            size=sum(file.size for file in kept),
            key=prefix + LIST,
            sha256=digest,
            left_out=summarize_left_out(self._found.left_out),
        )

    def _send(self, store: ObjectStore, prefix: str, file: ResultFile) -> Sent:
        with self._lock:
            retry = file.name in self._tried
            self._tried.add(file.name)
        sent = upload_file(store, f"{prefix}{FOLDER}{file.name}", file, exists=retry)
        with self._lock:
            self._sent[file.name] = sent
        return sent


def restore_checkpoint(
    store: ObjectStore, job: JobState, mine: Callable[[str], bool] = lambda _: True
) -> int:
    """Restore a checkpoint's files to their original paths; see `restore_results`.

    Args:
        job: Must have a saved checkpoint.
    """
    saved = job.checkpoint
    assert saved is not None
    if not saved.key.startswith(f"{job.config.job_id}/") or not saved.key.endswith(f"/{LIST}"):
        raise ResultsMissing(f"{saved.key} is not a checkpoint of job {job.config.job_id}")
    folder = saved.key.removesuffix(LIST) + FOLDER
    return restore_files(store, job.config, saved.key, saved.sha256, folder, mine)
