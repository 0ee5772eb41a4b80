"""Check the job id of a command."""

from collections.abc import Iterable

from spawn.core.config.suggestions import nearest_name
from spawn.core.errors import InvalidArgument
from spawn.core.reports.why.advice import join_ids

_MAX_LISTED = 10


def expect_job(job_id: str, job_ids: Iterable[str], queue_id: str) -> None:
    """Check that a queue has a job.

    Raises:
        InvalidArgument: The queue has no such job; the hint names the nearest one, or lists all.
    """
    known = list(job_ids)
    if job_id in known:
        return
    close = nearest_name(job_id, known)
    raise InvalidArgument(
        f"queue {queue_id} has no job '{job_id}'",
        hint=f"did you mean '{close}'?" if close else f"it has {join_ids(known, _MAX_LISTED)}",
    )
