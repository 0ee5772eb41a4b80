"""Ended attempts whose files may not be in the object store yet."""

from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import Path

from spawn.core.domain.codec import decode
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import JobState
from spawn.store.results.upload import is_uploaded

_OUTCOMES = {b"JobCompleted", b"JobFailed", b"JobRetryScheduled", b"JobInterrupted"}


def pending_uploads(queue_id: str, rows: Iterable[Row], *, failed_too: bool) -> Iterator[JobState]:
    """Find the ended attempts with local files that may not be in the store, oldest first. Whether
    results are in the store is decided by the log alone.

    Each job is as it was when the attempt ended, even if other attempts followed.

    Args:
        rows: The whole log.
        failed_too: Whether to include results whose upload was given up.
    """
    replay = Replay(queue_id)
    ended: dict[str, JobState] = {}
    for row in rows:
        replay.feed([row])
        if row[1] not in _OUTCOMES:
            continue
        job = _job(replay, row)
        folder = Path(job.folder)
        promised = job.state == "completed" and job.config.result_files
        if job.folder and folder.is_dir() and (promised or not is_uploaded(folder)):
            ended[job.token] = job
    for token, job in ended.items():
        now = replay.state.jobs.get(job.config.job_id)
        newest = now if now is not None and now.token == token else None
        if newest and (newest.uploaded or (newest.upload_failed and not failed_too)):
            continue
        yield job


def _job(replay: Replay, row: Row) -> JobState:
    event = decode(row[2], row[1])
    assert event is not None
    assert event.job_id is not None
    return copy(replay.state.jobs[event.job_id])
