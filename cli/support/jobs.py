"""Check the job id of a command."""

from collections.abc import Iterable

from spawn.core.config.suggestions import nearest
from spawn.core.errors import InvalidArgument
from spawn.core.reports.why.advice import named

_MAX_LISTED = 10


def expect_job(job_id: str, job_ids: Iterable[str], queue_id: str) -> None:
    """Check that a queue has a job.

    Raises:
        InvalidArgument: The queue has no such job; the hint names the nearest one, or lists all.
    """
    known = list(job_ids)
    if job_id in known:
        return
    close = nearest(job_id, known)
    raise InvalidArgument(
        f"queue {queue_id} has no job '{job_id}'",
        hint=f"did you mean '{close}'?" if close else f"it has {named(known, _MAX_LISTED)}",
    )
